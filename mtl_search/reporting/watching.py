"""Serves a live page of a run on the loopback, from its plain files, which are only read."""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from mtl_search.errors import FieldError, UserError
from mtl_search.internal.layout import CONFIRMATIONS, ENVIRONMENT, EPOCHS, EXPERIMENT, TRIALS
from mtl_search.internal.reading import read_text
from mtl_search.reporting.figures import plotly_js
from mtl_search.reporting.live import figures_of, live_data, live_text
from mtl_search.reporting.pages import rendered
from mtl_search.runs.folder import load_run

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")
"""What a browser on this machine may call it. Another name in a request is one of a foreign page, which had it
resolved to the loopback so as to read the answer."""
PATIENCE = 10.0
"""Seconds that a browser has to send its request."""
SOURCES = (EXPERIMENT, ENVIRONMENT, TRIALS, EPOCHS, CONFIRMATIONS)
"""The files by whose sizes and times it is seen whether there is something new."""
FRESH = 10.0
"""Seconds after which the time left is reckoned anew though no file has changed."""
SAFE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of every answer: the page runs the two scripts of this server and nothing else, wherever it came from."""
HTML, SCRIPT, JSON = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "application/json"


class Watcher:
    """The state of a run as the page asks for it, computed anew when a file of the run has changed.

    :param folder: Folder of the run.
    :raises RunFolderError: If it is not the folder of a run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = load_run(folder).experiment.name
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._until = 0.0
        self._state = _state_of(folder)

    def state(self) -> dict[str, Any]:
        """What the page shows now.

        ``told``, ``headline`` and ``caption`` are sentences, ``text`` is HTML, ``figures`` are by name, and ``version``
        is a digest of all but ``told``. Where a file cannot be read, as one that is being copied, the state is that of
        before, and ``told`` says so.
        """
        with self._lock:
            seen = tuple(_stamp(self.folder / name) for name in SOURCES)
            if seen != self._seen or time.monotonic() >= self._until:
                try:
                    self._state = _state_of(self.folder)
                    self._seen, self._until = seen, time.monotonic() + FRESH
                except UserError as error:
                    self._state = {**self._state, "told": f"What is shown is from before: {error}"}
            return self._state


@contextmanager
def watching(run: str | Path, port: int | None = None) -> Iterator[tuple[str, Callable[[], None]]]:
    """A server of the live page of a run, which answers nobody but browsers on this machine.

    :param run: Folder of a run that another process may be writing.
    :param port: Port of the loopback to listen on; a free one if left out.
    :returns: The address of the page, and what serves it until it is interrupted.
    :raises RunFolderError: If it is not the folder of a run.
    :raises UserError: If the port cannot be used.
    """
    if port is not None and not 1 <= port <= 65535:
        raise FieldError("--port", "must be a whole number from 1 to 65535", port)
    watcher = Watcher(Path(run))
    try:
        server = _Server((LOOPBACK, port or 0), partial(_Handler, _answers(watcher)))
    except OSError as error:
        advice = "Leave out --port to have a free one."
        raise UserError(f"port {port} cannot be used: {error.strerror}. {advice}") from error
    with server:
        yield f"http://{LOOPBACK}:{server.server_port}/", server.serve_forever


def watch(run: str | Path, port: int | None = None, say: Callable[[str], None] = print) -> None:
    """Serve a live page of a run until Ctrl+C: the front, learning curves, failures, the time left.

    Nothing is written. The page is for browsers on this machine; through ``ssh -L PORT:127.0.0.1:PORT`` it is for
    those elsewhere.

    :param run: Folder of a run that another process may be writing.
    :param port: Port of the loopback to listen on; a free one if left out.
    :param say: What shows the address of the page, and at the end that it has ended.
    :raises RunFolderError: If it is not the folder of a run.
    :raises UserError: If the port cannot be used.
    """
    with watching(run, port) as (address, serve):
        say(f"watching {run}: {address} (Ctrl+C ends this, not the search)")
        try:
            serve()
        except KeyboardInterrupt:
            say("no longer watching")


Answer = Callable[[], tuple[str, str]]
"""Makes the type and the text of an answer."""


def _answers(watcher: Watcher) -> Mapping[str, Answer]:
    """Path -> what makes its answer. There is nothing else, and no path names a file."""
    page = rendered("watch.html", name=watcher.name)
    script = read_text(Path(__file__).parent / "templates" / "watch.js")
    library = plotly_js()
    return {
        "/": lambda: (HTML, page),
        "/watch.js": lambda: (SCRIPT, script),
        "/plotly.js": lambda: (SCRIPT, library),
        "/state": lambda: (JSON, json.dumps(watcher.state())),
    }


class _Server(ThreadingHTTPServer):
    """Answers each browser in a thread of its own, so that a slow one keeps nobody waiting."""

    def server_bind(self) -> None:
        """Without looking up the name of the machine, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves while it is answered is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET of the paths that there are, to requests that name the loopback.

    :param answers: Path of a request -> what makes its answer.
    """

    server: _Server
    timeout = PATIENCE
    server_version, sys_version = "mtl-search", ""

    def __init__(self, answers: Mapping[str, Answer], *given: Any) -> None:
        self.answers = answers
        super().__init__(*given)

    def do_GET(self) -> None:
        if self.headers.get("Host") not in {f"{name}:{self.server.server_port}" for name in NAMES}:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "this page is for browsers on this machine\n")
            return
        answer = self.answers.get(urlsplit(self.path).path)
        if answer is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "there is no such page\n")
            return
        self._send(HTTPStatus.OK, *answer())

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not shown."""

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **SAFE}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _state_of(folder: Path) -> dict[str, Any]:
    data = live_data(load_run(folder))
    figures = {name: json.loads(figure.to_json()) for name, figure in figures_of(data).items()}
    state = {"headline": data["headline"], "text": live_text(data), "caption": data["caption"], "figures": figures}
    version = hashlib.blake2b(json.dumps(state).encode(), digest_size=8).hexdigest()  # bytes: no two agree by accident
    return {**state, "told": f"As of {time.strftime('%H:%M:%S')}.", "version": version}


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; ``None`` where it is not there."""
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
