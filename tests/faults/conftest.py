"""A search that nothing is done to, which those that something is done to are compared with."""

from pathlib import Path

import pytest

import made_processes
from made_faults import SEARCH
from mtl_search.runs.folder import Run, load_run

if not Path("/proc/self/environ").exists():
    collect_ignore_glob = ["*"]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    status, shown = made_processes.run([*SEARCH, "--workers", "0", "--out", str(folder)])
    assert status == 0, shown
    return load_run(folder)
