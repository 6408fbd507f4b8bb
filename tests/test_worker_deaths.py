"""What Ray says of a worker that is gone, and what a trial's row says of it."""

import os
from pathlib import Path

import pytest

import made_processes
from mtl_search.execution.worker_deaths import Death, death_of, raised
from mtl_search.runs.folder import load_run

NOT_IMPORTED = """\
Failure # 1 (occurred at 2026-01-30_04-13-02)
The actor died because of an error raised in its creation task, \x1b[36mray::JobTrainable.__init__()\x1b[39m (pid=99, \
ip=127.0.0.1, actor_id=1b7527b94b647e0512a28e3001000000, repr=<mtl_search.execution.engine.FunctionActorManager.\
_create_fake_actor_class.<locals>.TemporaryActor object at 0x7f1f900443d0>)
  At least one of the input arguments for this task could not be computed:
ray.exceptions.RaySystemError: System error: libbroken.so.3: cannot open shared object file: No such file or directory
traceback: Traceback (most recent call last):
          ^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/me/mtl_search/pareto.py", line 10, in <module>
    import moocore
  File "/home/me/site-packages/moocore/__init__.py", line 5, in find_spec
    import libbroken
ImportError: libbroken.so.3: cannot open shared object file: No such file or directory
"""
CRASHED = """\
Failure # 1 (occurred at 2026-01-30_04-14-00)
The actor died unexpectedly before finishing this task.
\tclass_name: JobTrainable
\tactor_id: b6b152f75606d3f26e0fd4d401000000
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker \
unexpectedly exits with a connection error code 2. End of file.
The actor never ran - it was cancelled before it started running.
"""
SHORT_OF_MEMORY = """\
Failure # 1 (occurred at 2026-01-30_04-14-00)
Task was killed due to the node running low on memory.
Memory on the node (IP: 127.0.0.1, ID: 00) where the task was running was 15.21GB / 16.00GB (0.95).
"""
UNREADABLE = """\
Traceback (most recent call last):
  File "/home/me/default_worker.py", line 3, in <module>
    import my_module
  File "/home/me/my_module.py", line 7
    def f(:
          ^
SyntaxError: invalid syntax
"""
OF_SEVERAL_LINES = """\
Traceback (most recent call last):
  File "/home/me/a.py", line 1, in f
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/home/me/b.py", line 1, in g
my_package.errors.OwnError: first line
  second\x1b[31m line
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            NOT_IMPORTED,
            "a worker could not start 3 times: ImportError: libbroken.so.3: cannot open shared object file: No such "
            "file or directory",
        ),
        (CRASHED, "the worker process died 3 times"),
    ],
)
def test_what_may_go_better_elsewhere_is_told_after_all_attempts(text: str, reason: str) -> None:
    death = death_of(text)
    assert not death.final
    assert death.told(times=3) == reason


def test_a_worker_that_is_ended_for_its_memory_is_not_tried_again() -> None:
    death = death_of(SHORT_OF_MEMORY)
    assert death.final
    assert death.told(times=1) == "out of memory: the machine had little left, and Ray ended the worker"
    assert Death().told(times=1) == "the worker process died"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (UNREADABLE, "SyntaxError: invalid syntax"),
        (OF_SEVERAL_LINES, r"my_package.errors.OwnError: first line second\x1b[31m line"),
        ("[raylet] cannot start\nno room\n\n", "no room"),
        ("Traceback (most recent call last):\n", ""),
        ("", ""),
    ],
)
def test_the_error_is_what_the_last_traceback_ends_with(text: str, error: str) -> None:
    assert raised(text) == error


BROKEN_IN_WORKERS = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic" and sys.argv[0].endswith("default_worker.py"):
            raise ImportError("libbroken.so.3: cannot open shared object file")

sys.meta_path.insert(0, Broken())
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
@pytest.mark.slow
def test_a_trial_says_which_library_its_worker_could_not_load(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN_IN_WORKERS)
    small = ["--set", "dataset.train=300", "--set", "dataset.val=50", "--set", "dataset.test=50"]
    command = ["search", "quickstart", *small, "--workers", "1", "--trials", "1", "--set", "search.retries=0"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with made_processes.driver([*command, "--out", str(tmp_path / "run")], {"PYTHONPATH": path}) as search:
        status, shown = search.end()
    assert status == 1, shown
    (trial,) = load_run(tmp_path / "run").trials
    assert trial.error == "a worker could not start: ImportError: libbroken.so.3: cannot open shared object file"
