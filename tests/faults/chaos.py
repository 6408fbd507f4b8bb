"""Signals at random moments, to searches and comparisons: nothing may be lost, doubled or left behind.

::

    PYTHONPATH=tests python tests/faults/chaos.py --signals 100 --seed 0 --out chaos.json

Each case is one search or one comparison. A command of it is signalled, and the command that goes on is signalled
again, two or three times, until one is let alone and must end with everything that was asked for, and with the numbers
of a case that nothing happened to. Prints a table of what was signalled, by what, and what was wrong afterwards; ends
with 1 if anything was. What has been done stands in the file of ``--out`` and is not done again.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import made_processes
from made_faults import assert_whole, timeless
from made_processes import Driver, command_of, driver
from mtl_search.comparison.results import load_comparison
from mtl_search.runs.folder import load_run
from mtl_search.runs.trial import State

TRIALS = 6
SETTINGS = {
    "dataset.train": 1200,
    "dataset.val": 200,
    "dataset.test": 50,
    "training.epochs": 3,
    "search.trials": TRIALS,
}
SEARCH = ["search", "quickstart", *(f"--set={key}={value}" for key, value in SETTINGS.items())]
ENTRANTS = ["--baselines", "hard_sharing,single_task,etr_nlp", "--pick", "knee", "--seeds", "2"]
LATE = 0.75
"""Share of signals that wait until the command has ended a training; the others come at any moment from its start."""
STARTING_SECONDS = 12.0
"""The others come within so long: loading libraries and starting Ray takes most of it."""
GONE_SECONDS = 10.0
"""After the end of a command none of its processes may be there for longer."""
OF_TORCH = "torchinductor_"
"""What torch makes in the temporary folder and keeps for the next process begins so."""
BAD_WORDS = ("Traceback", "*** SIG", "StackTrace", "core dumped", "terminate called")
"""What no user may see."""


@dataclass(frozen=True)
class Blow:
    """What is done to whom.

    :param victim: ``driver``, ``group`` (the driver and all processes of its group, as a terminal does), ``worker``,
        ``raylet`` or ``gcs``.
    :param number: Name of the signal.
    """

    victim: str
    number: str


OF_ANY = [Blow(victim, name) for victim in ("driver", "group") for name in ("SIGINT", "SIGTERM", "SIGKILL")]
OF_RAY = [*OF_ANY, *[Blow(victim, "SIGKILL") for victim in ("worker", "worker", "worker", "raylet", "raylet", "gcs")]]
COMMANDS = {"worker": "ray::JobTrainable", "raylet": "raylet/raylet", "gcs": "gcs_server"}
"""Victim -> what its command line holds."""


@dataclass
class Record:
    """A signal that was sent, and what came of it.

    :param case: Number of the case.
    :param kind: ``search`` or ``comparison``.
    :param workers: Of the command that was signalled.
    :param ended: Trainings that this command had ended before.
    :param status: Its exit status; ``None`` where it went on to its end by itself.
    :param problems: What was wrong after it; that of a whole case stands at its last signal.
    """

    case: int
    kind: str
    workers: int
    victim: str
    number: str
    ended: int
    status: int | None = None
    problems: list[str] = field(default_factory=list)


def rows_of(table: Path) -> int:
    """Trainings that are noted in a table, its last line included only if it is whole."""
    text = table.read_text(encoding="utf-8") if table.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    return sum(1 for row in csv.DictReader(whole.splitlines()) if row["state"] != "INFEASIBLE")


class Case:
    """A search or a comparison to which things happen.

    :param folder: Of the run; that of a comparison holds the search already.
    """

    kind = "search"
    table = "trials.csv"

    def __init__(self, number: int, folder: Path, undisturbed: Path, workers: int, rng: random.Random) -> None:
        self.number, self.folder, self.undisturbed, self.workers, self.rng = number, folder, undisturbed, workers, rng
        self.scratch = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
        self.records: list[Record] = []

    def command(self) -> list[str]:
        """What begins it or goes on with it."""
        begun = (self.folder / "experiment.yaml").exists()
        start = ["resume", str(self.folder)] if begun else [*SEARCH, "--out", str(self.folder)]
        return [*start, "--workers", str(self.workers)]

    def rows(self) -> int:
        """Trainings that have ended."""
        return rows_of(self.folder / self.table)

    def run(self, blows: int) -> list[Record]:
        """Signal it so often, then let it end; what was sent, with what was wrong."""
        for _ in range(blows):
            if not self._strike():
                break
        with driver(self.command(), {"TMPDIR": str(self.scratch)}) as last:
            status, shown = last.end()
            left = not last.wait_until_all_are_gone(GONE_SECONDS)
        problems = [] if status == 0 else [f"the last command ended with {status}: {shown[-400:]}"]
        problems += ["a process is left after the last command"] if left else []
        names = [path.name for path in self.scratch.iterdir() if not path.name.startswith(OF_TORCH)]
        problems += [f"left in the temporary folder: {name}" for name in names]
        if not problems:
            problems += self.wrong()
        if self.records:
            self.records[-1].problems += problems
        shutil.rmtree(self.scratch, ignore_errors=True)
        return self.records

    def _strike(self) -> bool:
        """Start the command and send it one signal; whether it is to be gone on with."""
        before = self.rows()
        with driver(self.command(), {"TMPDIR": str(self.scratch)}) as started:
            if self.rng.random() < LATE:
                self._wait(started, lambda: self.rows() > before)
                time.sleep(self.rng.random())
            else:
                time.sleep(self.rng.random() * STARTING_SECONDS)
            blow = self.rng.choice(OF_RAY if self.workers else OF_ANY)
            ended = self.rows() - before
            if started.process.poll() is not None or not send(started, blow):
                started.end()
                return True
            record = Record(self.number, self.kind, self.workers, blow.victim, blow.number, ended)
            self.records.append(record)
            record.status, shown = started.end()
            if not started.wait_until_all_are_gone(GONE_SECONDS):
                record.problems.append("a process is left after ten seconds")
        record.problems += [f"shows {word}: {shown[-600:]}" for word in BAD_WORDS if word in shown]
        record.problems += self.wrong_status(record, shown)
        return record.status != 0

    def _wait(self, started: Driver, condition: Callable[[], bool]) -> None:
        while started.process.poll() is None and not condition():
            time.sleep(0.02)

    def wrong_status(self, record: Record, shown: str) -> list[str]:
        """Whether the command ended as it must after its signal."""
        status, by_name = record.status, f"after {record.number} to {record.victim}"
        if record.victim in ("driver", "group") and record.number == "SIGKILL":
            allowed: tuple[int, ...] = (-signal.SIGKILL, 0)
        elif record.victim in ("driver", "group"):
            allowed = (130, 0)
        elif record.victim == "worker":
            allowed = (0,)
        else:
            allowed = (1, 0)
        if status not in allowed:
            return [f"ended with {status} {by_name}: {shown[-600:]}"]
        begun = self.rows() > 0
        if status in (1, 130) and begun and "mtl-search" not in shown and "same command" not in shown:
            return [f"does not say how to go on {by_name}: {shown[-600:]}"]
        return []

    def wrong(self) -> list[str]:
        """What is not as in a case that nothing happened to."""
        try:
            run = load_run(self.folder)
            assert_whole(run, TRIALS)
        except AssertionError as error:
            return [f"not whole: {error}"]
        if self.workers < 2 and timeless(run) != timeless(load_run(self.undisturbed)):
            return ["other numbers than undisturbed"]
        failed = [trial.error for trial in run.trials if trial.state is State.FAILED]
        return [f"failed: {error}" for error in failed]


class ComparisonCase(Case):
    """A comparison of a search that had ended."""

    kind = "comparison"
    table = "baselines.csv"

    def command(self) -> list[str]:
        return ["compare", str(self.folder), *ENTRANTS, "--workers", str(self.workers)]

    def wrong(self) -> list[str]:
        found, expected = scores_of(self.folder), scores_of(self.undisturbed)
        lost, more = expected.keys() - found.keys(), found.keys() - expected.keys()
        problems = [f"lost: {one}" for one in sorted(lost)] + [f"not asked for: {one}" for one in sorted(more)]
        problems += [f"other numbers: {key}" for key in expected.keys() & found.keys() if expected[key] != found[key]]
        with (self.folder / self.table).open(encoding="utf-8") as file:
            counts = Counter((row["entrant"], row["seed"]) for row in csv.DictReader(file))
        problems += [f"doubled: {one}" for one, count in counts.items() if count > 1]
        problems += [f"half written: {path.name}" for path in self.folder.rglob(".*.tmp")]
        with_weights = {path.parent for path in (self.folder / "comparison").rglob("weights.safetensors")}
        return problems + ([] if len(with_weights) == len(expected) else [f"weights of {len(with_weights)} only"])


def scores_of(folder: Path) -> dict[tuple[str, int], dict[str, float]]:
    """Entrant and seed -> scores, of what is complete."""
    comparison = load_comparison(folder)
    assert comparison is not None
    return {(one.entrant, one.seed): one.scores for key in comparison.entrants for one in comparison.of(key)}


def send(started: Driver, blow: Blow) -> bool:
    """Send a signal; whether there was a process to get it."""
    number = signal.Signals[blow.number]
    if blow.victim == "group":
        started.signal(number)
        return True
    if blow.victim == "driver":
        os.kill(started.process.pid, number)
        return True
    found = [pid for pid in started.processes() if COMMANDS[blow.victim] in command_of(pid)]
    for pid in found[:1]:
        os.kill(pid, number)
    return bool(found)


def undisturbed_runs(folder: Path) -> tuple[Path, Path]:
    """A search, and a copy of it with a comparison, to which nothing happens."""
    search, comparison = folder / "search", folder / "comparison"
    if not comparison.exists():
        shutil.rmtree(search, ignore_errors=True)
        status, shown = made_processes.run([*SEARCH, "--workers", "0", "--out", str(search)])
        assert status == 0, shown
        shutil.copytree(search, folder / "copy", dirs_exist_ok=True)
        status, shown = made_processes.run(["compare", str(folder / "copy"), *ENTRANTS, "--workers", "0"])
        assert status == 0, shown
        (folder / "copy").rename(comparison)
    return search, comparison


def table_of(records: Sequence[Record]) -> str:
    """A line for each kind of case and signal: how many, how many of them late, statuses, how many with problems."""
    lines = [
        "| case | to | signal | sent | after a training had ended | exit statuses | with problems |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.kind, record.victim, record.number), []).append(record)
    for (kind, victim, number), group in sorted(groups.items()):
        statuses = ", ".join(f"{status}: {count}" for status, count in Counter(one.status for one in group).items())
        late, wrong = sum(one.ended > 0 for one in group), sum(bool(one.problems) for one in group)
        lines.append(f"| {kind} | {victim} | {number} | {len(group)} | {late} | {statuses} | {wrong} |")
    late, wrong = sum(one.ended > 0 for one in records), sum(bool(one.problems) for one in records)
    lines.append(f"| all | | | {len(records)} | {late} | | {wrong} |")
    return "\n".join(lines)


def main() -> None:
    """Do cases until so many signals were sent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("chaos.json"))
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "chaos-runs")
    options = parser.parse_args()
    told = json.loads(options.out.read_text()) if options.out.exists() else []
    records = [Record(**one) for one in told]
    options.scratch.mkdir(parents=True, exist_ok=True)
    search, comparison = undisturbed_runs(options.scratch)
    number = 1 + max((one.case for one in records), default=-1)
    while len(records) < options.signals:
        rng = random.Random(f"{options.seed} {number}")
        folder = options.scratch / f"case{number}"
        shutil.rmtree(folder, ignore_errors=True)
        workers = rng.choice([0, 1, 1, 2])
        if rng.random() < 0.4:
            shutil.copytree(search, folder)
            case: Case = ComparisonCase(number, folder, comparison, workers, rng)
        else:
            case = Case(number, folder, search, workers, rng)
        found = case.run(rng.choice([2, 3]))
        records += found
        options.out.write_text(json.dumps([asdict(one) for one in records], indent=1))
        wrong = [problem for one in found for problem in one.problems]
        print(
            f"case {number} ({case.kind}, workers {workers}): {len(found)} signals; {wrong or 'nothing wrong'}",
            flush=True,
        )
        if not wrong:
            shutil.rmtree(folder, ignore_errors=True)
        number += 1
    print(table_of(records))
    sys.exit(any(one.problems for one in records))


if __name__ == "__main__":
    main()
