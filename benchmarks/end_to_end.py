"""Where the time of the quickstart search goes: training, evaluation, data, engine, start-up, end.

The command itself is run, ``mtl-search search quickstart``, in a process of its own, with the settings as shipped. What
it does is not changed; some functions are timed, in the process of the search and in its workers.

    python benchmarks/end_to_end.py [EXPERIMENT] [--set search.trials=4]... [--out FOLDER] [--csv FOLDER]
    python benchmarks/end_to_end.py --run FOLDER [--csv FOLDER]

The time is divided twice, both times so that the rows sum to the whole. *Of the wall time*: what the workers do at the
same time shares it, and a worker for which there is no trial left has no share. *Of all slots*: the seconds from the
start of the command to its end, times the number of workers, also those that no worker could have used: while the
command imports torch every slot waits, and so does a slot for the last trial of another one.

- *start-up*: from the start of the command to the first trial of that slot, but for making the dataset;
- *training*: the epochs, without making their batches;
- *data*: making the dataset, taking it to where the network trains, making batches of it, also those of the evaluation;
- *evaluation*: scores on validation samples;
- *engine*: all else between a slot's first trial and its last. Within a trial that is what a worker waits for between
  two epochs, while the process of the search books the first; between trials a new candidate is proposed and sent;
- *end*: from a slot's last trial to the end of the command: one worker waits for the other, Ray stops, the page is
  made.

A worker that gets less than a processor, since others use it, trains longer; how much of its training time each ran is
said beside the table. With ``--out`` the times are kept in the run's folder, from which ``--run`` prints the tables
again. The folder of any other search does not say when its command began and ended; of it ``--run`` tells the share of
the trials from ``started`` to ``finished`` only.

``results/end_to_end.csv``: two cores, torch 2.13.0, the kernels in C, the quickstart as shipped: 24 trials on 2
workers, 234 s from start to end, of which 87 % are training, 3 % the engine and 6 % start-up.

How long one worker waits for the last trial of the other is chance: 2 s here; 4 and 13 s in two earlier runs, in which
training took 85.3 and 85.4 % of all slots' seconds, 35 to 41 s in three more, with 81.1 to 82.4 %. In another nothing
of torch and Ray was in memory yet: start-up took 40 s, and training 80.5 % of the wall time (88.1 % of it from the
first trial's begin to the last one's end). With AVX-512 and before there were kernels, training took 87.5 % of all
slots'.
"""

import argparse
import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from measured import Table, add_option

# What the search imports is imported within functions here: how long that takes is measured.

TIMES = "times.jsonl"
"""In a run's folder: a line of the command, a line of its process, a line for every trial."""

SEARCH = "from end_to_end import run_timed; run_timed()"

TRAINING = "epochs"
WAITING = "waiting for the other workers"
GROUPS = {
    "training": (TRAINING,),
    "evaluation": ("scores",),
    "data": ("dataset made", "taken to the device", "batches"),
    "engine": (
        "network built, the rest of a trial",
        "cost counted",
        "state copied",
        "between epochs",
        "between trials",
    ),
    "start-up": ("Python and imports", "experiment checked", "Ray started", "workers started", "the rest of start-up"),
    "end": (WAITING, "Tune ends", "Ray stopped", "page made", "the rest of the end"),
}
COLUMNS = {
    "group": "",
    "piece": "",
    "seconds": ".1f",
    "of the wall time, %": ".1f",
    "slot seconds": ".1f",
    "of all slots, %": ".1f",
}
MEANWHILE = ("sampler", "files", "tensors fetched", "booking")
"""What the process of the search does while the workers train."""


class Clock:
    """Seconds of named pieces, each without those of the pieces within it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.processor: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.began: dict[str, float] = {}
        """When each piece began for the first time."""
        self.spans: list[tuple[str, float, float]] = []
        """A piece, from when, to when: as the clock says, in order."""
        self._open: list[str] = []
        self._last = self._last_processor = 0.0

    @contextmanager
    def piece(self, name: str) -> Iterator[None]:
        """Count what is done meanwhile as a piece."""
        self._book()
        self._open.append(name)
        self.calls[name] += 1
        self.began.setdefault(name, self._last)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def _book(self) -> None:
        now, processor = time.time(), time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._last
            self.processor[self._open[-1]] += processor - self._last_processor
            self.spans.append((self._open[-1], round(self._last, 4), round(now, 4)))
        self._last, self._last_processor = now, processor

    @contextmanager
    def timing(self, piece: str, home: Any, *names: str) -> Iterator[None]:
        """Count the calls of some functions of a module or class as a piece."""
        before = {name: getattr(home, name) for name in names}
        for name, function in before.items():
            setattr(home, name, self._timed(piece, function))
        try:
            yield
        finally:
            for name, function in before.items():
                setattr(home, name, function)

    def _timed(self, piece: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.piece(piece):
                return function(*arguments, **options)

        return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="quickstart")
    parser.add_argument("--set", dest="changes", metavar="KEY=VALUE", action="append", default=[])
    parser.add_argument("--out", type=Path, help="keep the run in this folder, new or empty")
    parser.add_argument("--run", type=Path, help="measure nothing: print what is known of this folder")
    add_option(parser)
    arguments = parser.parse_args()
    if arguments.run is None:
        with tempfile.TemporaryDirectory() as scratch:
            place = arguments.out or Path(scratch) / "run"
            run_command(arguments.experiment, arguments.changes, place)
            print_tables(place, arguments.csv)
    elif (arguments.run / TIMES).exists():
        print_tables(arguments.run, arguments.csv)
    else:
        print_from_files(arguments.run)


def run_command(experiment: str, changes: Sequence[str], place: Path) -> None:
    """Run the search and leave its times in its folder."""
    with tempfile.TemporaryDirectory() as scratch:
        times = Path(scratch) / TIMES
        command = [sys.executable, "-c", SEARCH, str(times), "search", experiment, "--out", str(place)]
        command += itertools.chain.from_iterable(("--set", change) for change in changes)
        path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
        began = time.time()
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        ended = time.time()
        if done.returncode:
            raise SystemExit(done.stderr)
        add_line(times, kind="command", began=began, ended=ended)
        (place / TIMES).write_bytes(times.read_bytes())


def add_line(times: Path, **values: Any) -> None:
    """Several processes add lines to the same file."""
    with times.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def run_timed() -> None:
    """The process of the search: the command line, whose arguments stand after the name of the file of times."""
    began, clock, times = time.time(), Clock(), Path(sys.argv.pop(1))
    sys.argv[0] = "mtl-search"
    with clock.piece("Python and imports"):
        from mtl_search.cli import commands as cli
        from mtl_search.execution import engine
        from mtl_search.reporting import search_page as report
        from mtl_search.runs.writer import RunWriter
        from mtl_search.samplers import study as samplers
        from mtl_search.searching import run as runner
        from mtl_search.searching.loop import SearchLoop
    runner.search = functools.partial(runner.search, evaluate=functools.partial(evaluate_timed, times=times))
    writes = ("start", "add_epoch", "add_checkpoint", "add", "add_weights", "keep_checkpoints")
    with ExitStack() as stack:
        for piece, home, *names in (
            ("dataset made", runner, "load_dataset"),
            ("experiment checked", runner, "check_experiment"),
            ("Ray started", engine.ray, "init"),
            ("booking", SearchLoop, "ask", "report", "fail"),
            ("sampler", samplers.Study, "ask", "tell"),
            ("files", RunWriter, *writes),
            ("tensors fetched", engine, "_unpacked"),
            ("Ray stopped", engine.ray, "shutdown"),
            ("page made", report, "write_report"),
        ):
            stack.enter_context(clock.timing(piece, home, *names))
        try:
            cli.main()
        finally:  # it ends with an exit status
            add_line(times, kind="search", began=began, ended=time.time(), first=clock.began, **counted(clock))


def counted(clock: Clock) -> dict[str, dict[str, float]]:
    return {"seconds": dict(clock.seconds), "processor": dict(clock.processor), "calls": dict(clock.calls)}


def evaluate_timed(what: Any, dataset: Any, training: Any, seed: int, options: Any, *, times: Path) -> Iterator[Any]:
    """In a worker: the evaluation that searches do, and a line with its times."""
    from mtl_search import cost, evaluation
    from mtl_search.training.trainer import DeviceSplit, Trainer

    began, clock = time.time(), Clock()
    reports = evaluation.evaluate_by_epoch(what, dataset, training, seed, options)
    with ExitStack() as stack:
        for piece, home, *names in (
            (TRAINING, Trainer, "_epoch"),
            ("scores", evaluation, "scores_on"),
            ("taken to the device", DeviceSplit, "__init__"),
            ("batches", DeviceSplit, "batch"),
            ("cost counted", cost, "measure", "count_macs", "estimate"),
            ("state copied", Trainer, "checkpoint"),
        ):
            stack.enter_context(clock.timing(piece, home, *names))
        done = False
        while not done:
            with clock.piece("network built, the rest of a trial"):
                report = next(reports)
            done = report.done
            if done:
                whole = {"process": os.getpid(), "began": began, "ended": time.time(), "spans": clock.spans}
                add_line(times, kind="trial", **whole, **counted(clock))
            yield report


def print_tables(place: Path, folder: Path | None) -> None:
    """The time of the slots, and what the process of the search did meanwhile."""
    lines = [json.loads(line) for line in (place / TIMES).read_text(encoding="utf-8").splitlines()]
    command, search = (next(line for line in lines if line["kind"] == kind) for kind in ("command", "search"))
    trials = [line for line in lines if line["kind"] == "trial"]
    slots = {line["process"]: [trial for trial in trials if trial["process"] == line["process"]] for line in trials}
    wall = command["ended"] - command["began"]
    found: Counter[str] = Counter()
    for slot in slots.values():
        found.update(start_of(slot, command, search))
        found.update(trials_of(slot))
        found.update(end_of(slot, max(trial["ended"] for trial in trials), command, search))
    print(f"{len(trials)} trials, {len(slots)} workers, {os.cpu_count()} cores, {wall:.1f} s from start to end\n")
    print_parts(of_the_clock(found, list(slots.values())), found, folder)
    processor = sum(trial["processor"][TRAINING] for trial in trials)
    print(f"\nof the seconds of training the workers ran {processor / found[TRAINING]:.1%} on a processor")
    during = max(trial["ended"] for trial in trials) - min(trial["began"] for trial in trials)
    print(f"training from the first trial's begin to the last one's end: {found[TRAINING] / len(slots) / during:.1%}\n")
    print_meanwhile(search)


def start_of(slot: list[dict[str, Any]], command: dict[str, Any], search: dict[str, Any]) -> dict[str, float]:
    """Seconds of a slot before its first trial."""
    seconds, first = search["seconds"], min(trial["began"] for trial in slot)
    parts = {name: seconds[name] for name in ("dataset made", "experiment checked", "Ray started")}
    parts["Python and imports"] = search["began"] - command["began"] + seconds["Python and imports"]
    parts["workers started"] = first - search["first"]["booking"]
    return {**parts, "the rest of start-up": first - command["began"] - sum(parts.values())}


def trials_of(slot: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of a slot from the begin of its first trial to the end of its last."""
    parts: Counter[str] = Counter()
    for trial in slot:
        parts.update(trial["seconds"])
        parts["between epochs"] += trial["ended"] - trial["began"] - sum(trial["seconds"].values())
    span = max(trial["ended"] for trial in slot) - min(trial["began"] for trial in slot)
    parts["between trials"] = span - sum(parts.values())
    return parts


def end_of(
    slot: list[dict[str, Any]], last: float, command: dict[str, Any], search: dict[str, Any]
) -> dict[str, float]:
    """Seconds of a slot after its last trial.

    :param last: When the last trial of all ended.
    """
    own = max(trial["ended"] for trial in slot)
    parts = {name: search["seconds"][name] for name in ("Ray stopped", "page made")}
    parts[WAITING] = last - own
    parts["Tune ends"] = search["first"]["Ray stopped"] - last
    return {**parts, "the rest of the end": command["ended"] - own - sum(parts.values())}


def of_the_clock(found: Counter[str], slots: list[list[dict[str, Any]]]) -> Counter[str]:
    """Seconds of the clock: what the slots do at the same time shares them, and one that waits for others has no share.

    :param found: Seconds of all slots together.
    """
    clock = Counter({piece: seconds / len(slots) for piece, seconds in found.items()})
    waited = clock.pop(WAITING)
    spans = [span for slot in slots for trial in slot for span in trial["spans"]]
    ends = sorted(max(trial["ended"] for trial in slot) for slot in slots)
    for left in range(1, len(slots)):
        begin, end = ends[-left - 1], ends[-left]  # so long `left` slots had work
        more = 1 / left - 1 / len(slots)
        for piece, from_when, to_when in spans:
            seconds = more * max(0.0, min(to_when, end) - max(from_when, begin))
            clock[piece] += seconds
            waited -= seconds
    clock["between epochs"] += waited
    return clock


def print_parts(clock: Counter[str], slots: Counter[str], folder: Path | None) -> None:
    """A row for each group and its pieces: seconds of the clock, and those of all slots together."""
    wall, all_slots = clock.total(), slots.total()
    table = Table(COLUMNS, folder)

    def add(group: str, piece: str, seconds: float, slot_seconds: float) -> None:
        table.add(group, piece, seconds, 100 * seconds / wall, slot_seconds, 100 * slot_seconds / all_slots)

    for group, pieces in GROUPS.items():
        add(group, "", *(sum(found[piece] for piece in pieces) for found in (clock, slots)))
        for piece in pieces if len(pieces) > 1 else ():
            add(group, piece, clock[piece], slots[piece])
    add("together", "", wall, all_slots)


def print_meanwhile(search: dict[str, Any]) -> None:
    print("| in the process of the search | seconds | calls | ms a call |")
    print("|---|---|---|---|")
    for name in MEANWHILE:
        seconds, calls = search["seconds"].get(name, 0.0), search["calls"].get(name, 0)
        print(f"| {name} | {seconds:.2f} | {calls} | {1000 * seconds / max(1, calls):.1f} |")


def print_from_files(place: Path) -> None:
    """What the files of any search say."""
    from mtl_search import load_run
    from mtl_search.searching.preparation import worker_count

    run = load_run(place)
    started, finished = (datetime.fromisoformat(run.environment[name]) for name in ("started", "finished"))
    seconds, workers = sum(trial.seconds for trial in run.trials), worker_count(run.experiment) or 1
    span = (finished - started).total_seconds()
    print(f"{len(run.trials)} trials, {workers} workers, {span:.0f} s from `started` to `finished`:")
    print(f"training and evaluation {seconds:.1f} of {workers * span:.0f} slot seconds, {seconds / workers / span:.1%}")
    print("Not recorded: imports, making the dataset and starting Ray, which come before `started`.")


if __name__ == "__main__":
    main()
