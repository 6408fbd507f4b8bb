"""Changed files of every kind end well: with what they are good for, or with one message.

``pytest tests/fuzz --fuzz-mutations 5000`` takes 20 minutes on one core, ``--fuzz-seconds 3600`` an hour. What broke a
rule is kept, and told with its seed and number: ``python tests/fuzz/run.py --seed 0 --only 17`` tries it alone.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from targets import TARGETS

RUN = Path(__file__).with_name("run.py")
USUAL = 300, 60.0
"""Mutations and seconds where no option says more."""
MANY = 10**9
STARTING_S = 120
"""Seconds for imports and for making the valid inputs."""

Results = list[dict[str, Any]]


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What came of all mutations, tried in a process of its own: what watches them cannot be taken off again."""
    options = request.config.option
    seconds = getattr(options, "fuzz_seconds", None)
    count = getattr(options, "fuzz_mutations", None)
    if seconds is None and count is None:
        count, seconds = USUAL
    kept = getattr(options, "fuzz_keep", None) or tmp_path_factory.mktemp("fuzz-failures")
    arguments = [
        "--mutations",
        str(count or MANY),
        "--seed",
        str(getattr(options, "fuzz_seed", 0)),
        "--keep",
        str(kept),
    ]
    arguments += ["--seconds", str(seconds)] if seconds is not None else []
    done = subprocess.run([sys.executable, str(RUN), "--json", *arguments], stdout=subprocess.PIPE)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, "not one mutation was tried"
    assert done.returncode == any(result["failure"] for result in found), "the suite itself failed"
    return found


@pytest.mark.slow
@pytest.mark.parametrize("target", [target.name for target in TARGETS])
def test_changed_files_end_well(target: str, results: Results) -> None:
    failed = [result for result in results if result["target"] == target and result["failure"]]
    told = [
        f"{one['failure']['kind']} at {one['failure']['place'] or '-'}: {one['failure']['message']}\n"
        f"    seed {one['seed']}, number {one['index']}: {one['change']}"
        for one in failed
    ]
    assert not told, "\n".join(told)
