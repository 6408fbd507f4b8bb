"""Tunes what is compared: each method gets the same number of trainings to choose its own settings with.

On the training samples, scored on the validation samples; the test split is not read. In the folder of a comparison::

    tuning.csv           a row per training: what was tuned, with what values, and what came out
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mtl_search.comparison.progress import ComparisonProgress
from mtl_search.datasets import Dataset
from mtl_search.errors import StorageError
from mtl_search.evaluation import Entrant, Report, mean_quality, wrong_scores
from mtl_search.execution.jobs import Job, Wait
from mtl_search.internal.characters import printable, quoted
from mtl_search.internal.files import write_text
from mtl_search.internal.layout import TUNING
from mtl_search.internal.seeds import derived_seed
from mtl_search.runs.rows import (
    csv_line,
    once,
    parsed,
    read_table,
    real,
    real_or_none,
    state_of,
    whole,
    written_seconds,
)
from mtl_search.runs.trial import State
from mtl_search.samplers.tuning import Told, Tuner
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import TRAINING
from mtl_search.spaces.ranges import Range
from mtl_search.spaces.section import MOST_RATE, SEED_BITS

OPTION = "options."
"""What the names of a method's own options begin with, as those of training settings do with ``training.``."""
AROUND = 8.0
"""Where an experiment leaves no training setting open, the learning rate is tuned from its own over this to its own
times this: of the rates that were measured the best lay within."""
LIMITS = {
    "training.learning_rate": (1e-8, MOST_RATE),
    "training.weight_decay": (0.0, MOST_RATE),
    "training.label_smoothing": (0.0, 0.9),
}
"""Setting -> how far its range may grow: to where a learning rate no longer moves float32 weights, to what a setting
may be at most, to labels that are smoothed away. Ranges of options do not grow: a recipe gives what its method
allows."""
COLUMNS = ("subject", "number", "state", "seed", "epochs", "seconds", "accuracy", "training_macs", "values", "error")


@dataclass(frozen=True)
class TuningTraining:
    """One training of the tuning: a row of ``tuning.csv``.

    :param subject: What was tuned: the name of a recipe, or ``trial-<number>``.
    :param number: From 0, in the order of the subject's trainings.
    :param values: ``training.<setting>`` and ``options.<option>`` -> value.
    :param accuracy: Mean quality on the validation samples; ``None`` for one that failed.
    :param training_macs: Multiply-accumulates of all phases, forward and backward.
    """

    subject: str
    number: int
    state: State
    seed: int
    values: Mapping[str, Any]
    epochs: int = 0
    seconds: float = 0.0
    accuracy: float | None = None
    training_macs: int = 0
    error: str = ""


@dataclass(frozen=True)
class Subject:
    """What is tuned together.

    :param key: Name of a recipe, whose variants share what is found, or ``trial-<number>``.
    :param entrants: Names of the entrants that it is for.
    :param lead: That of them which is trained.
    :param offers: ``training.<setting>`` and ``options.<option>`` -> what is offered.
    :param usual: ``training.<setting>`` and ``options.<option>`` -> the value where nothing is tuned.
    """

    key: str
    entrants: tuple[str, ...]
    lead: str
    offers: Mapping[str, Any]
    usual: Mapping[str, Any]

    def tuner(self, trainings: int, seed: int) -> Tuner:
        """What proposes its values."""
        settled = {name: (offer.low, offer.high) for name, offer in self.offers.items() if isinstance(offer, Range)}
        return Tuner(self.offers, self.usual, trainings, {**settled, **LIMITS}, derived_seed(seed, "tuning values"))


def training_offers(experiment: Experiment) -> dict[str, Any]:
    """Training setting -> what is offered for it: what the experiment leaves open, or the learning rate."""
    return dict(experiment.space.training) or {"learning_rate": rate_offer(experiment)}


def rate_offer(experiment: Experiment) -> Range:
    """The range of the learning rate where the experiment gives none."""
    rate = experiment.training.learning_rate
    return Range(float(f"{rate / AROUND:.3g}"), float(f"{min(rate * AROUND, MOST_RATE):.3g}"), log=True)


def divided(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tuned values as those of training settings and those of a method's options."""
    parts = ({}, {})  # type: tuple[dict[str, Any], dict[str, Any]]
    for name, value in values.items():
        parts[not name.startswith(TRAINING)][name.partition(".")[2]] = value
    return parts


@dataclass(frozen=True)
class Tuned:
    """What tuning chose.

    :param trainings: Number of trainings that each subject had to be tuned with.
    :param seed: Seed that all trainings of the tuning had in common.
    :param subjects: What ``comparison.json`` says of each: plain data with ``key``, ``entrants``, ``trained`` (which of
        them), ``offers`` as they were in the end, ``grown`` (whose range grew), ``usual``, ``chosen``, ``at_end``
        (setting -> ``low`` or ``high``), and what it took.
    """

    trainings: int
    seed: int
    subjects: Sequence[Mapping[str, Any]]

    @property
    def found(self) -> dict[str, Mapping[str, Any]]:
        """Subject -> the chosen values."""
        return {about["key"]: about["chosen"] for about in self.subjects}


EntrantOf = Callable[[Subject, Mapping[str, Any]], Entrant]
"""What to train of a subject with given values."""


class TuningTrainings:
    """The trainings of the tuning: a source for the engine. What ended before is not done again.

    All trainings have the same seed, one that no training of the comparison has: what differs between two trainings of
    a method is what is tuned. Each depends on what came out of those of the same subject before it, and on nothing
    else, so that neither the number of workers nor an interruption changes what is chosen.

    :param path: The folder of the comparison.
    :param entrant_of: What to train: (subject, values) -> entrant.
    :param trainings: Number of trainings that each subject is tuned with.
    :param seed: Seed of the experiment; those of tuning are derived from it.
    :param weights: Task -> how much it counts in the mean quality; 1 where it is not named.
    :raises RunFolderError: If ``tuning.csv`` cannot be read.
    """

    def __init__(
        self,
        path: Path,
        dataset: Dataset,
        subjects: Sequence[Subject],
        entrant_of: EntrantOf,
        trainings: int,
        seed: int,
        weights: Mapping[str, float],
    ) -> None:
        self.path, self.data, self.entrant_of, self.weights = path, dataset.without("test"), entrant_of, weights
        self.subjects = {subject.key: subject for subject in subjects}
        self.tuners = {subject.key: subject.tuner(trainings, seed) for subject in subjects}
        self.seed = derived_seed(seed, "tuning") % 2**SEED_BITS
        self.trainings = trainings
        self.ended = load_tuning(path)
        self.open: dict[int, TuningTraining] = {}
        self.numbers = 0
        left = sum(max(0, trainings - len(self.of(key))) for key in self.subjects)
        self.progress = ComparisonProgress(left)

    def of(self, key: str) -> list[TuningTraining]:
        """The trainings of a subject that ended, in their order."""
        return sorted((one for one in self.ended if one.subject == key), key=lambda one: one.number)

    def told(self, key: str) -> list[Told]:
        return [Told(one.values, one.accuracy) for one in self.of(key)]

    def begin(self) -> None:
        """Write the table, so that whoever goes on knows that there is one."""
        self._write()

    def ask(self) -> Job | Wait | None:
        """The next training of a subject none of whose trainings is under way."""
        busy = {one.subject for one in self.open.values()}
        for key in self.subjects:
            values = None if key in busy else self.tuners[key].ask(self.told(key))
            if values is not None:
                number, self.numbers = self.numbers, self.numbers + 1
                self.open[number] = TuningTraining(key, len(self.of(key)), State.FAILED, self.seed, values)
                self.progress.start(number, f"{key}, tuning {self.open[number].number}")
                return Job(number, self.entrant_of(self.subjects[key], values), self.seed)
        return Wait() if self.open else None

    def report(self, number: int, report: Report) -> bool:
        """An epoch of a training, or its end; it always goes on to its end."""
        self.progress.epoch(number, report.phase, report.epoch)
        if report.done:
            if wrong := wrong_scores(self.data.tasks, report):
                self.fail(number, wrong)
            else:
                self._end(number, report)
        return not report.done

    def fail(self, number: int, reason: str) -> None:
        """A training ended by an error: a value that it fails with is a bad one."""
        begun = self.open.pop(number)
        self._add(number, replace(begun, error=" ".join(reason.split())))

    @property
    def missing(self) -> int:
        """Trainings that are not done."""
        return self.progress.asked - self.progress.done

    def found(self) -> Tuned:
        """What was chosen."""
        described = [self._described(subject) for subject in self.subjects.values()]
        return Tuned(self.trainings, self.seed, described)

    def _described(self, subject: Subject) -> dict[str, Any]:
        tuner, told, trainings = self.tuners[subject.key], self.told(subject.key), self.of(subject.key)
        offered = tuner.offered(told)
        return {
            "key": subject.key,
            "entrants": list(subject.entrants),
            "trained": subject.lead,
            "offers": {name: plain(offer) for name, offer in offered.items()},
            "grown": [name for name, offer in offered.items() if offer != subject.offers[name]],
            "usual": dict(subject.usual),
            "chosen": tuner.chosen(told) or dict(subject.usual),
            "at_end": tuner.at_end(told),
            "trainings": len(trainings),
            "failed": sum(one.state is State.FAILED for one in trainings),
            "epochs": sum(one.epochs for one in trainings),
            "seconds": written_seconds(sum(one.seconds for one in trainings)),
            "training_macs": sum(one.training_macs for one in trainings),
        }

    def _end(self, number: int, report: Report) -> None:
        begun = self.open.pop(number)
        ended = replace(
            begun,
            state=State.COMPLETE,
            epochs=report.epoch,
            seconds=report.seconds,
            accuracy=mean_quality(self.data.tasks, report.scores, self.weights),
            training_macs=report.training_macs,
        )
        self._add(number, ended)

    def _add(self, number: int, training: TuningTraining) -> None:
        self.ended.append(training)
        self._write()
        shown = ", ".join(f"{name.partition('.')[2]} {_shown(value)}" for name, value in training.values.items())
        name = f"{training.subject}, tuning {training.number} ({shown})"
        self.progress.end(number, name, training.accuracy, training.error)

    def _write(self) -> None:
        try:
            write_text(self.path / TUNING, "".join(map(csv_line, [COLUMNS, *map(_row, self.ended)])))
        except OSError as error:
            raise StorageError(self.path, error, "compare") from error


def load_tuning(path: Path) -> list[TuningTraining]:
    """The trainings in ``tuning.csv``; none where it is not there.

    :raises RunFolderError: If it cannot be read; the message names the line.
    """
    table = path / TUNING
    if not table.exists():
        return []
    rows = once(table, read_table(table, COLUMNS).rows, ["subject", "number"])
    return list(parsed(table, rows, _training))


def _training(row: Mapping[str, str]) -> TuningTraining:
    state = state_of(row, (State.COMPLETE, State.FAILED))
    accuracy = real_or_none(row, "accuracy")
    if state is State.COMPLETE and accuracy is None:
        raise ValueError("a complete training has no value in column `accuracy`.")
    return TuningTraining(
        subject=printable(row["subject"]),
        number=whole(row, "number"),
        state=state,
        seed=whole(row, "seed"),
        values=_values(row["values"]),
        epochs=whole(row, "epochs"),
        seconds=real(row, "seconds", least=0),
        accuracy=accuracy,
        training_macs=whole(row, "training_macs"),
        error=printable(row["error"]),
    )


def _values(text: str) -> dict[str, Any]:
    """
    :raises ValueError: If it is no JSON object of plain values.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(isinstance(one, str | int | float) for one in values.values()):
        raise ValueError(f"`values` must be a JSON object of texts and numbers, but got {quoted(text)}.")
    return values


def _row(training: TuningTraining) -> list[Any]:
    values = {**vars(training), "values": json.dumps(training.values), "state": training.state.value}
    values["seconds"] = written_seconds(training.seconds)
    return [values[column] for column in COLUMNS]


def plain(offer: Any) -> Any:
    """What is offered, as plain data for JSON and YAML."""
    return asdict(offer) if isinstance(offer, Range) else list(offer)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
