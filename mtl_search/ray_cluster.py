"""The Ray cluster that trainings run on: one of our own on this machine, or a running one that is joined."""

import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mtl_search.ray_settings

# isort: split
import ray
from ray import _raylet
from ray._private import node, ray_constants, utils, worker
from ray.job_config import JobConfig

from mtl_search import guard
from mtl_search.errors import ClusterError, UserError, reason_of
from mtl_search.signals import interrupt_run, signals_wait
from mtl_search.temporary import temporary_folder

assert mtl_search.ray_settings.RAY_SETTINGS

WORKER: Any = worker
RAYLET: Any = _raylet
NODE: Any = node.Node
"""What Ray does not show to the outside, without types."""

QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
HERE = "train in this process with `--workers 0`"
PROBE_SECONDS, PROBES = 1.0, 4
"""How often it is looked whether a cluster is there, and how often in a row it must not be to be taken for lost."""
ANSWER_SECONDS = 3.0
"""Within which a machine of the cluster must answer."""


@contextmanager
def local_cluster(cpus: int, gpus: int, store_bytes: int) -> Iterator[Path]:
    """A cluster of our own, that listens on the loopback alone; gives a folder for Tune.

    Nothing is left of it afterwards, and it has nothing to do with any other: what the user set for those is not read.

    :param store_bytes: Of its object store.
    :raises ClusterError: If it does not start.
    """
    with temporary_folder() as folder, _guarded(folder), _environment(folder), ExitStack() as started:
        with _answers_kept(), _loopback(), _known_nodes() as nodes:
            started.callback(_shut_down, nodes)
            try:
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    num_gpus=gpus,
                    object_store_memory=store_bytes,
                    include_dashboard=False,
                    job_config=OwnPath(),
                    _temp_dir=str(folder / "r"),
                    **QUIET,
                )
            except Exception as error:
                raise ClusterError(f"Ray does not start on this machine: {_cause(error, folder)}; {HERE}.") from error
        with _watched("on this machine"):
            yield folder


@contextmanager
def joined_cluster(address: str) -> Iterator[Path]:
    """A running cluster; gives a folder for Tune, of which nothing is left afterwards.

    :raises UserError: If there is none at the address.
    """
    with temporary_folder() as folder, ExitStack() as joined:
        with _answers_kept():
            joined.callback(_shut_down, [])
            _join(address)
        with _watched(f"at {address}"):
            yield folder


class OwnPath(JobConfig):
    """Workers do not look for modules in the folder of the script, and in the current one, before all others.

    Ray has them do so unless they have a folder of their own to work in.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


def machines() -> list[Mapping[str, float]]:
    """What each machine of the cluster has: ``CPU`` and ``GPU``."""
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [one["Resources"] for one in found if one["Alive"]]


def _join(address: str) -> None:
    host, colon, port = address.rpartition(":")
    try:
        if colon and "://" not in address:
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, job_config=OwnPath(), **QUIET)
    except (OSError, ValueError, ConnectionError, RuntimeError) as error:
        raise UserError(f"--address {address}: there is no Ray cluster to join: {reason_of(error)}.") from error


def _shut_down(nodes: list[node.Node]) -> None:
    """:param nodes: What was started, also of a start that failed half-way, which Ray itself knows nothing of."""
    with signals_wait():
        ray.shutdown()
        for one in nodes:
            one.kill_all_processes(check_alive=False, allow_graceful=False)


@contextmanager
def _answers_kept() -> Iterator[None]:
    """Our answers to signals stay while Ray starts: Python's, and the ones that its core sets below Python."""
    connect, set_handler = WORKER.connect, utils.set_sigterm_handler

    def connect_without_signals(*arguments: Any, **options: Any) -> None:
        with signals_wait():
            connect(*arguments, **options)

    WORKER.connect, utils.set_sigterm_handler = connect_without_signals, lambda handler: None
    try:
        yield
    finally:
        WORKER.connect, utils.set_sigterm_handler = connect, set_handler


@contextmanager
def _loopback() -> Iterator[None]:
    """A cluster of one machine needs no address that others reach; Ray does so by itself on macOS."""
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _known_nodes() -> Iterator[list[node.Node]]:
    """The nodes that Ray makes meanwhile, each from the moment before it starts its first process."""
    known: list[node.Node] = []
    initialise = NODE.__init__

    def noted(self: node.Node, *arguments: Any, **options: Any) -> None:
        known.append(self)
        initialise(self, *arguments, **options)

    NODE.__init__ = noted
    try:
        yield known
    finally:
        NODE.__init__ = initialise


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """What a cluster of our own inherits: our import path, a token for it alone, and no Redis of another cluster.

    The path is ours as it is, with what stands last in it last: the user's own modules hide none of those before.
    """
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    paths = [path or os.getcwd() for path in sys.path]
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if os.pathsep not in path)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    os.environ.pop("RAY_REDIS_ADDRESS", None)
    RAYLET.AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        for name in {*os.environ} - {*before}:
            del os.environ[name]
        os.environ.update(before)
        RAYLET.AuthenticationTokenLoader.instance().reset_cache()
        RAYLET.Config.initialize("")


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """Have a process of its own end what is left of the cluster, also when this one is killed."""
    command = [sys.executable, "-I", "-S", guard.__file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield
        finally:
            with signals_wait():
                process.communicate()


def _cause(error: Exception, folder: Path) -> str:
    """Why Ray did not start: the last line that one of its programs left, where Ray itself only waited in vain."""
    return reason_of(error)


@contextmanager
def _watched(where: str) -> Iterator[None]:
    """Interrupt the run once the cluster is lost. Ray itself waits for a minute, and then ends the process.

    :raises ClusterError: If it is lost.
    """
    watch = _Watch()
    watch.start()
    try:
        yield
    except KeyboardInterrupt as error:
        if watch.lost:
            raise ClusterError(f"the Ray cluster {where} is lost: {watch.lost}") from error
        raise
    finally:
        watch.over.set()


class _Watch(threading.Thread):
    """Looks whether the head of the cluster and Ray on this machine are there."""

    def __init__(self) -> None:
        super().__init__(name="mtl-search-watch", daemon=True)
        head, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        here = WORKER._global_node
        self.doors = {
            f"its head at {head}:{port} does not answer": (head.strip("[]"), int(port)),
            "Ray on this machine does not answer": (here.node_ip_address, here.node_manager_port),
        }
        self.over = threading.Event()
        self.lost = ""

    def run(self) -> None:
        missed = dict.fromkeys(self.doors, 0)
        while not self.over.wait(PROBE_SECONDS):
            for what, door in self.doors.items():
                missed[what] = 0 if _answers(door) else missed[what] + 1
                if missed[what] == PROBES:
                    self.lost = what
                    interrupt_run()
                    return


def _answers(door: tuple[str, int]) -> bool:
    try:
        socket.create_connection(door, timeout=ANSWER_SECONDS).close()
    except OSError:
        return False
    return True
