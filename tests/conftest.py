"""Which tests are slow: those marked so or ``alone``, and of a test that is marked ``thin`` most of its cases."""

import os
from collections import Counter

import pytest


def pytest_configure() -> None:
    """Do not wait for the disk: to kill a process, as tests do, leaves what was written; only a power cut does not."""
    os.fsync = lambda fd: None  # in this process, not in those that it starts


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test with ``@pytest.mark.thin(n)`` the first case and every n-th after it belong to ``make test``."""
    cases = Counter[str]()
    for item in items:
        if item.get_closest_marker("alone") is not None:
            item.add_marker(pytest.mark.slow)
        thin = item.get_closest_marker("thin")
        if thin is not None:
            name, _, _ = item.nodeid.partition("[")
            if cases[name] % thin.args[0]:
                item.add_marker(pytest.mark.slow)
            cases[name] += 1
