"""Options of the fuzzing: how much of it, and which."""

import sys
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fuzzing")
    group.addoption("--fuzz-mutations", type=int, help="how many inputs are changed and tried")
    group.addoption(
        "--fuzz-seconds", type=float, help="end after this time; without a number of mutations no other end"
    )
    group.addoption(
        "--fuzz-seed", type=int, default=0, help="other mutations; a number and this make the same one again"
    )
    group.addoption("--fuzz-keep", type=Path, help="folder for inputs that broke a rule")


if not sys.platform.startswith("linux"):  # processes fork, and Linux tells what memory they took
    collect_ignore_glob = ["*"]
