"""Files about the project say the same: versions, systems, and what is run."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import mtl_search

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FILES = [".pre-commit-config.yaml", ".github/workflows/tests.yml", "CITATION.cff"]
TEXTS = [*FILES, ".github/ISSUE_TEMPLATE/bug.md", ".github/ISSUE_TEMPLATE/question.md", "CONTRIBUTING.md"]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == mtl_search.__version__
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_what_is_declared_is_tested() -> None:
    jobs = read(".github/workflows/tests.yml")["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]
    declared = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one) for one in PROJECT["classifiers"]]
    assert matrix["python"] == [one[1] for one in declared if one]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    assert {one for one in PROJECT["classifiers"] if one.startswith("Operating")} == {
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
    }
    assert matrix["os"] == jobs["nightly"]["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest"]
    assert "--resolution lowest-direct" in str(jobs["lowest"])


@pytest.mark.parametrize("job", ["tests", "lint", "lowest", "nightly"])
def test_jobs_run_what_is_there(job: str) -> None:
    steps = [step["run"] for step in read(".github/workflows/tests.yml")["jobs"][job]["steps"] if "run" in step]
    targets = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for step in steps:
        program, *arguments = step.split()
        if program == "make":
            assert arguments[0] in targets
        elif program.startswith(".ci/"):
            assert (ROOT / program).is_file()


def test_hooks_are_the_tools_of_the_project() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    named = [hook["entry"].split()[0] for hook in local["hooks"]]
    assert named == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy"]


@pytest.mark.parametrize("name", TEXTS)
def test_no_place_of_one_machine_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|(?<![\w.])/(home|work|root|tmp|mnt)/", text)
