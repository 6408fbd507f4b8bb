"""A cluster of our own: for this user alone, on the loopback, with workers that import what the command does."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import _raylet
from ray._private import node, ray_constants, services, utils, worker
from ray.job_config import JobConfig

from mtl_search.errors import ClusterError
from mtl_search.execution import guard
from mtl_search.execution.ray_cluster import Cluster, OwnPath, local_cluster
from mtl_search.internal.streams import foreign_output_hidden, say_last

HIDING = "raise ImportError('the file of the user was imported')\n"


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (worker, "shutdown"),
        (worker, "_global_node"),
        (worker, "_worker_logs_enabled"),
        (utils, "set_sigterm_handler"),
        (worker, "connect"),
        (ray_constants, "ENABLE_RAY_CLUSTER"),
        (node, "wait_for_persisted_port"),
        (services, "get_node"),
        (services, "ConsolePopen"),
        (node.Node, "kill_all_processes"),
        (node.Node, "node_ip_address"),
        (node.Node, "node_manager_port"),
        (JobConfig, "_runtime_env_has_working_dir"),
        (_raylet, "AuthenticationTokenLoader"),
        (_raylet, "Config"),
    ],
)
def test_what_ray_does_not_promise_is_there(where: Any, name: str) -> None:
    assert hasattr(where, name)


@pytest.mark.slow
def test_ray_that_does_not_start_says_why() -> None:
    """There is no memory for such an object store."""
    with (
        pytest.raises(ClusterError, match=r"^Ray does not start on this machine: .*; train in this process with"),
        local_cluster(1, 0, 2**60),
    ):
        pass
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ


@pytest.mark.parametrize(("name", "place"), [("gcs_server", "GCS_SERVER_EXECUTABLE"), ("raylet", "RAYLET_EXECUTABLE")])
@pytest.mark.thin(2)
def test_a_program_of_ray_that_ends_is_named(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself waits for half a minute, and tells of a file that did not come."""
    program = tmp_path / name
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setattr(services, place, str(program))
    with pytest.raises(ClusterError) as raised, local_cluster(1, 0, 100 * 2**20):
        pass
    told = f"its program `{name}` ended with status 3; train in this process with `--workers 0`."
    assert str(raised.value) == f"Ray does not start on this machine: {told}"


def test_what_is_written_while_ray_starts_is_hidden_but_for_last_words(capfd: pytest.CaptureFixture[str]) -> None:
    with foreign_output_hidden():
        os.write(2, b"gcs_client.cc: failed")
        say_last("interrupted")
    os.write(2, b"after")
    assert capfd.readouterr().err == "interrupted\nafter"


@pytest.fixture(scope="module")
def folder_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    for name in ("random", "queue", "token", "copy", "numpy", "optuna", "ray"):
        (folder / f"{name}.py").write_text(HIDING)
    (folder / "my_own_module.py").write_text("WORD = 'found'\n")
    return folder


@pytest.fixture(scope="module")
def cluster(folder_of_the_user: Path) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder_of_the_user)
        patch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
        patch.setenv("RAY_REDIS_ADDRESS", "192.0.2.1:6379")
        patch.setattr(sys, "path", [*sys.path, str(folder_of_the_user)])
        with local_cluster(1, 0, 100 * 2**20) as made:
            yield made


def listening() -> set[tuple[str, int]]:
    """Addresses, as the system writes them, and ports at which processes of this cluster listen."""
    inodes = {
        os.readlink(link)
        for process in [*guard.processes_of(Path(os.environ["RAY_AUTH_TOKEN_PATH"]).parent), os.getpid()]
        for link in Path(f"/proc/{process}/fd").iterdir()
        if link.is_symlink()
    }
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    found = [row[1].rsplit(":", 1) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    return {(address, int(port, 16)) for address, port in found}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells who listens")
def test_it_listens_on_the_loopback_alone(cluster: Cluster) -> None:
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    found = listening()
    assert len(found) >= 3, "the head, the raylet and its agent"
    assert {address for address, _ in found} <= loopback


@pytest.mark.skipif(not Path("/proc").exists(), reason="Linux tells of processes")
def test_the_guard_knows_processes_whose_title_stands_where_the_token_stood(cluster: Cluster) -> None:
    end = time.monotonic() + 60
    while not (titled := [one for one in children_of("raylet/raylet", cluster.folder) if b"ray::" in command(one)]):
        assert time.monotonic() < end, "no agent has begun"
        time.sleep(0.1)
    assert {*titled} <= {*guard.processes_of(cluster.folder)}


def children_of(program: str, folder: Path) -> list[int]:
    """Processes that a program of the cluster has started."""
    parents = [one for one in guard.processes_of(folder) if program.encode() in command(one).split(b"\0")[0]]
    listings = [Path(f"/proc/{one}/task/{one}/children").read_text().split() for one in parents]
    return [int(child) for children in listings for child in children]


def command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def test_nobody_else_can_read_what_belongs_to_it(cluster: Cluster) -> None:
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert token.parent == cluster.folder
    assert token.stat().st_mode & 0o777 == 0o600
    assert cluster.folder.stat().st_mode & 0o777 == 0o700
    assert len(token.read_text()) == 64


def test_workers_import_libraries_before_files_of_the_user(cluster: Cluster, folder_of_the_user: Path) -> None:
    @ray.remote
    def imported() -> list[str]:
        import copy
        import queue
        import random
        import token

        import my_own_module
        import numpy
        import optuna

        modules = (copy, queue, random, token, numpy, optuna, my_own_module)
        return [str(module.__file__) for module in modules]

    *libraries, own = ray.get(imported.remote())
    assert not any(name.startswith(str(folder_of_the_user)) for name in libraries)
    assert own == str(folder_of_the_user / "my_own_module.py")


def test_answers_to_signals_are_those_of_before(cluster: Cluster) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_it_has_nothing_to_do_with_any_other(cluster: Cluster) -> None:
    assert all(host == "127.0.0.1" for host, _ in cluster.doors.values())
    assert issubclass(OwnPath, JobConfig)


def test_a_port_that_nobody_listens_at_is_lost() -> None:
    made = Cluster("here", Path())
    with socket.create_server(("127.0.0.1", 0)) as server:
        made.doors = {"it": server.getsockname()}
        assert made._missing() == ""
    assert made._missing() == "it"
