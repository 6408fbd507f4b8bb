"""The Ray cluster that trainings run on: one of our own on this machine, or a running one that is joined."""

import atexit
import logging
import os
import re
import secrets
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mtl_search.execution.ray_settings

# isort: split
import ray
from ray import _raylet
from ray._private import node, worker
from ray.job_config import JobConfig

from mtl_search.errors import ClusterError, UserError, reason_of
from mtl_search.execution import guard
from mtl_search.execution.ray_start import ProgramEndedError, loopback, ray_starts
from mtl_search.execution.worker_starts import failed_start
from mtl_search.internal.characters import LONG
from mtl_search.internal.signals import interrupt_run, signals_wait
from mtl_search.internal.temporary import temporary_folder

assert mtl_search.execution.ray_settings.RAY_SETTINGS

WORKER: Any = worker
RAYLET: Any = _raylet
"""What Ray does not show to the outside, without types."""

QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
HERE = "train in this process with `--workers 0`"
PROBE_SECONDS, PROBES = 1.0, 3
"""How often it is looked whether a cluster is there, and how often in a row it must not be to be taken for lost.

Ray's core ends this process some 2 seconds after Ray on this machine has died, without a word.
"""
PROGRESS = re.compile(r"\[[^]]* I \d")
"""How lines of Ray's logs begin that tell of nothing wrong."""
ANSWER_SECONDS = 3.0
"""Within which a machine of the cluster must answer: a first message that is lost is sent again after
one second."""


class Cluster:
    """A cluster that trainings run on.

    :param where: What messages call it.
    :param folder: Folder for the files that Ray Tune writes.
    """

    def __init__(self, where: str, folder: Path) -> None:
        self.where, self.folder = where, folder
        self.nodes: list[node.Node] = []
        """What this process started, also of a start that failed half-way, which Ray itself knows nothing of."""
        self.doors: dict[str, tuple[str, int]] = {}
        self.over = threading.Event()
        self.lost = self.unable = ""

    def start(self, **options: Any) -> None:
        """Start it, or join the one at an address."""
        with ray_starts(self.nodes, self.told):
            ray.init(job_config=OwnPath(), **options, **QUIET)
        head, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        here = WORKER._global_node
        self.doors = {
            f"its head at {head}:{port} does not answer": (head.strip("[]"), int(port)),
            "Ray on this machine does not answer": (here.node_ip_address, here.node_manager_port),
        }

    def told(self, reason: str) -> str:
        """What the command says that ends because Ray does not start."""
        return f"error: {_not_started(reason, self)}"

    def shut_down(self) -> None:
        """Leave it, and end what was started. Of one that is lost Ray must not be asked: that ends this process."""
        with signals_wait():
            if self.lost:
                atexit.unregister(WORKER.shutdown)
            else:
                ray.shutdown()
            for one in self.nodes:
                one.kill_all_processes(check_alive=False, allow_graceful=False)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Interrupt the run once the cluster is lost; what Ray does by itself is to wait for a minute.

        :raises ClusterError: If it is lost, and Ray may end this process at any time, or if no worker of it can start.
        """
        watch = threading.Thread(target=self._watch, name="mtl-search-watch", daemon=True)
        watch.start()
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            if self.unable:
                raise ClusterError(f"a worker cannot start: {self.unable}") from error
            self.lost = self.lost or self._missing()
            if self.lost:
                raise ClusterError(f"the Ray cluster {self.where} is lost: {self.lost}") from error
            raise
        finally:
            self.over.set()

    def _watch(self) -> None:
        """A process that ends closes its connections at once; a machine that is gone does not answer any more."""
        missed = 0
        while not self.over.is_set():
            with ExitStack() as held:
                found = [_opened(door) for door in self.doors.values()]
                held_open = [held.enter_context(one) for one in found if one is not None]
                closed = len(held_open) < len(found)
                while not closed and not self.over.is_set() and not self._missing() and not self._unable():
                    closed = _wait_for_an_end(held_open, PROBE_SECONDS)
            missing, self.unable = self._missing(), self._unable()
            missed = missed + 1 if missing else 0
            if missed == PROBES or (closed and missing) or self.unable:
                self.lost = missing
                interrupt_run()
                return

    def _missing(self) -> str:
        """What does not answer; empty if all do."""
        found = {what: _opened(door) for what, door in self.doors.items()}
        for one in found.values():
            if one is not None:
                one.close()
        return next((what for what, one in found.items() if one is None), "")

    def _unable(self) -> str:
        """Why its workers cannot start; empty where nothing is known of it."""
        return next((why for logs in self.folder.glob("r/session_*/logs") if (why := failed_start(logs))), "")


@contextmanager
def local_cluster(cpus: int, gpus: int, store_bytes: int) -> Iterator[Cluster]:
    """A cluster of our own, that listens on the loopback alone.

    Nothing is left of it afterwards, and it has nothing to do with any other: what the user set for those is not read.

    :param store_bytes: Bytes of memory of its object store.
    :raises ClusterError: If it does not start.
    """
    with temporary_folder() as folder, _guarded(folder), _environment(folder):
        cluster = Cluster("on this machine", folder)
        try:
            _start(cluster, num_cpus=cpus, num_gpus=gpus, object_store_memory=store_bytes)
            yield cluster
        finally:
            cluster.shut_down()


@contextmanager
def joined_cluster(address: str) -> Iterator[Cluster]:
    """A running cluster. Of our folder nothing is left afterwards.

    :raises UserError: If there is none at the address.
    """
    with temporary_folder() as folder:
        cluster = Cluster(f"at {address}", folder)
        try:
            _join(cluster, address)
            yield cluster
        finally:
            cluster.shut_down()


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


def _start(cluster: Cluster, **options: Any) -> None:
    try:
        with loopback():
            folder = str(cluster.folder / "r")  # Ray lets everybody read it, but nobody else comes so far
            cluster.start(address="local", include_dashboard=False, _temp_dir=folder, **options)
    except ProgramEndedError as error:
        raise ClusterError(_not_started(str(error), cluster)) from error
    except Exception as error:
        raise ClusterError(_not_started(reason_of(error), cluster)) from error


def _join(cluster: Cluster, address: str) -> None:
    host, colon, port = address.rpartition(":")
    try:
        if colon and "://" not in address:
            socket.create_connection((host, int(port)), timeout=5).close()  # seconds, for a machine that is far or busy
        cluster.start(address=address)
    except (OSError, ValueError, ConnectionError, RuntimeError) as error:
        raise UserError(f"--address {address}: there is no Ray cluster to join: {reason_of(error)}.") from error


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """What a cluster of our own inherits: our import path, a token for it alone, and no Redis of another cluster.

    The path is ours as it is, with what stands last in it last: the user's own modules hide none of those before.
    """
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))  # 256 bits: nobody guesses it
    paths = [path or os.getcwd() for path in sys.path]
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if os.pathsep not in path)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    for name in ("RAY_REDIS_ADDRESS", "RAY_BACKEND_LOG_LEVEL"):  # its logs tell which workers were started
        os.environ.pop(name, None)
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


def _not_started(reason: str, cluster: Cluster) -> str:
    """Why Ray did not start, and what its programs said last where Ray only waited for them in vain."""
    logs = sorted(cluster.folder.glob("r/session_*/logs/*.err"))
    lines = [line for log in logs for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = [line for line in lines if line and not PROGRESS.match(line)]
    why = f"{reason} ({said[-1].strip()[:LONG]})" if said else reason
    return f"Ray does not start on this machine: {why}; {HERE}."


def _opened(door: tuple[str, int]) -> socket.socket | None:
    """A connection; ``None`` where nobody answers."""
    try:
        return socket.create_connection(door, timeout=ANSWER_SECONDS)
    except OSError:
        return None


def _wait_for_an_end(connections: list[socket.socket], seconds: float) -> bool:
    """Whether one of the connections was closed from the other side within a time."""
    readable, _, _ = select.select(connections, [], [], seconds)
    return any(not _received(one) for one in readable)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except OSError:
        return b""
