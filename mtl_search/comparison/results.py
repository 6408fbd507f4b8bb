"""What came out of a comparison: trainings from scratch, over seeds, of picks from the front and of baselines.

In a run's folder::

    comparison.json      what was asked for: entrants, seeds, split, training settings
    baselines.csv        a row per entrant and seed
    comparison/<entrant>/seed<k>/details.json, weights.safetensors

Everything that is shown of a comparison is computed from these files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mtl_search.internal.characters import printable
from mtl_search.internal.files import write_json, write_text
from mtl_search.internal.later import later
from mtl_search.internal.layout import COMPARISON, CONTROL, DETAILS, FORMAT, OUTCOMES, TRAININGS, check_inside
from mtl_search.metrics.relative_gain import delta_m
from mtl_search.metrics.scores import headlines, is_error, is_optional
from mtl_search.runs.records import BranchDetails, Details, Request, check_record, read_record
from mtl_search.runs.rows import (
    LARGEST,
    csv_line,
    of_training,
    once,
    parsed,
    read_table,
    state_of,
    whole,
    written_seconds,
)
from mtl_search.runs.trial import State
from mtl_search.runs.trial_rows import COLUMNS
from mtl_search.spaces.settings import Training

REFERENCE = "single_task"
"""The entrant that Delta_m is taken over."""

TWIN = "~macs"
"""What the key of a twin ends with, an entrant at equal compute (:mod:`~mtl_search.comparison.budget`). No name of a
recipe or a variant has it."""

ROUTING_CONTROL, HARD_SHARING_CONTROL = "routing", "hard_sharing"
"""Names of the controls (:mod:`~mtl_search.comparison.control`)."""

OWN_COLUMNS = ("entrant", "balancing", "split", "macs_of_one_task", "training_samples", "training_macs")
"""Columns of ``baselines.csv`` beside those of ``trials.csv``, before the scores."""


@dataclass(frozen=True)
class Outcome:
    """One training of one entrant, and what came out of it: a row of ``baselines.csv``.

    :param entrant: Name of a baseline, or ``trial-<number>`` for an architecture from the front.
    :param state: How the training ended: ``COMPLETE`` or ``FAILED``.
    :param method: Name of the method.
    :param seed: Seed of the initial weights, the primitives, and the order of the samples.
    :param split: What it was scored on.
    :param trial: Number of the trial that it comes from; ``None`` for a baseline.
    :param balancing: Name of the balancing.
    :param epochs: Epochs of the phase ``training``.
    :param seconds: Time that all phases of the training took, in seconds.
    :param accuracy: Mean over tasks of each task's quality: its headline, or of an error the skill; 1 is perfect.
    :param delta_m: Mean relative gain in percent over the single-task networks of the same seed; ``None`` until these
        are trained. See :func:`with_delta_m`.
    :param learnable_parameters: Learnable parameters of the network that was measured.
    :param fixed_parameters: Frozen values in that network, such as kernels of primitives.
    :param macs: Multiply-accumulates of one forward pass for all tasks, one sample.
    :param macs_of_one_task: Multiply-accumulates of one forward pass for one task alone, the mean over tasks.
    :param training_samples: Samples seen in all phases.
    :param training_macs: Multiply-accumulates of all phases, forward and backward.
    :param error: Why the training failed; empty if it is complete.
    :param scores: ``"<task>/<metric>"`` -> the metric's value on the split.
    """

    entrant: str
    state: State
    method: str
    seed: int
    split: str
    trial: int | None = None
    balancing: str = "equal"
    epochs: int = 0
    seconds: float = 0.0
    accuracy: float | None = None
    delta_m: float | None = None
    learnable_parameters: int = 0
    fixed_parameters: int = 0
    macs: int = 0
    macs_of_one_task: int = 0
    training_samples: int = 0
    training_macs: int = 0
    error: str = ""
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """A comparison, finished or not, as its folder tells it.

    :param path: Folder of the run that was compared.
    :param request: ``comparison.json``, what was asked for: ``entrants`` (mappings with a ``key`` and ``seeds``), the
        most ``seeds`` of one, the ``first_seed`` of all (0 in those of earlier versions), the entrants of the last call
        as ``now``, ``split``, ``training``, ``unresolved``, ``environment``.
    :param outcomes: Every training that ended.
    """

    path: Path
    request: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def entrants(self) -> list[str]:
        """Names of all entrants, in the order they were asked for."""
        return [entrant["key"] for entrant in self.request["entrants"]]

    def dataframe(self) -> Any:
        """The trainings that ended as a frame of pandas, a row each, by entrant and seed."""
        return later("comparison.frames", "outcomes_frame")(self)

    @property
    def first_seed(self) -> int:
        """The seed of each entrant's first training."""
        return int(self.request.get("first_seed", 0))

    def of(self, entrant: str) -> tuple[Outcome, ...]:
        """The complete trainings of an entrant, by seed."""
        found = [one for one in self.outcomes if one.entrant == entrant and one.state is State.COMPLETE]
        return tuple(sorted(found, key=lambda one: one.seed))

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The trainings that failed."""
        return tuple(one for one in self.outcomes if one.state is State.FAILED)

    @property
    def missing(self) -> list[tuple[str, int]]:
        """Entrant and seed of every training that was asked for and is not complete."""
        done = {(one.entrant, one.seed) for one in self.outcomes if one.state is State.COMPLETE}
        first = self.first_seed
        asked = [(about["key"], first + n) for about in self.request["entrants"] for n in range(about["seeds"])]
        return [one for one in asked if one not in done]

    @property
    def missing_now(self) -> list[tuple[str, int]]:
        """Those of :attr:`missing` that the last call asked for."""
        return [one for one in self.missing if one[0] in self.request["now"]]

    def details(self, entrant: str, seed: int) -> dict[str, Any]:
        """What a training told besides its scores: ``phases``, and what is its method's own.

        :raises RunFolderError: If the file cannot be read.
        """
        path = outcome_folder(self.path, entrant, seed) / DETAILS
        found = read_record(path, Details)
        if found.get("alpha"):
            check_record(path, found, BranchDetails)
        return found


def is_twin(about: Mapping[str, Any]) -> bool:
    """Whether what ``comparison.json`` says of an entrant is of a twin."""
    return bool(about.get("twin_of"))


def control_folder(path: Path, name: str) -> Path:
    """Where a control of a run is, a run itself."""
    return path / CONTROL / name


def outcome_folder(path: Path, entrant: str, seed: int) -> Path:
    """The folder of one training."""
    return path / TRAININGS / entrant / f"seed{seed}"


def load_comparison(path: str | Path) -> Comparison | None:
    """Read the comparison in a run's folder; ``None`` where there is none.

    :raises RunFolderError: If a file of it cannot be read; the message names it.
    """
    folder = Path(path)
    if not folder.exists():  # a comparison without a search makes it when its trainings begin
        return None
    check_inside(folder)
    if not (folder / COMPARISON).exists():
        return None
    request = read_record(folder / COMPARISON, Request)
    training = Training.model_validate(request["training"])  # with the defaults of settings that came later
    request = {"environment": {}, **request, "training": training.model_dump(mode="json")}
    return Comparison(folder, request, _read_outcomes(folder / OUTCOMES))


def _read_outcomes(path: Path) -> tuple[Outcome, ...]:
    if not path.exists():
        return ()
    rows = once(path, read_table(path, (*COLUMNS, *OWN_COLUMNS)).rows, ["entrant", "seed"])
    return tuple(with_delta_m(list(parsed(path, rows, _outcome))))  # older tables have another Delta_m


def write_request(path: Path, request: Mapping[str, Any]) -> None:
    """Write ``comparison.json``."""
    write_json(path / COMPARISON, {"format": FORMAT, **request})


def write_details(path: Path, outcome: Outcome, details: Mapping[str, Any]) -> Path:
    """Write what a training tells besides its row; gives its folder."""
    folder = outcome_folder(path, outcome.entrant, outcome.seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / DETAILS, details)
    return folder


def write_outcomes(path: Path, outcomes: Sequence[Outcome], score_names: Sequence[str]) -> None:
    """Write ``baselines.csv`` anew, Delta_m included where it is known.

    :param score_names: ``<task>/<metric>``, the last columns.
    """
    columns = [*COLUMNS, *OWN_COLUMNS, *score_names]
    rows = [_row(outcome, columns) for outcome in with_delta_m(outcomes)]
    write_text(path / OUTCOMES, "".join(csv_line(values) for values in (columns, *rows)))


def with_delta_m(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The same outcomes with Delta_m over the single-task networks, seed by seed.

    Each training is measured against the single-task networks of its own seed, so that what varies over an entrant's
    seeds has the spread of both in it, and so has an interval over them. It covers what it should whatever the two have
    in common in a seed: 95 to 96 % in ``benchmarks/delta_m_coverage.py``, where the reference's mean taken as known
    gives 53 to 99 %.

    One metric stands for each task, its headline, higher or lower is better. A seed that single task was not trained
    with has no Delta_m; the networks for one task each have 0 by definition. None has any where a headline of single
    task is not above 0 in some seed: a gain over it has no meaning, and one that is near 0 is as uncertain as it is
    large.
    """
    references = reference_headlines(outcomes)
    return [replace(one, delta_m=_gain(one, references)) for one in outcomes]


def reference_headlines(outcomes: Sequence[Outcome]) -> dict[int, dict[str, float]]:
    """Seed -> headline of each task, ``<task>/<metric>`` -> value, of the single-task networks that are trained.

    Empty where a headline is not above 0 in some seed; less than 1e-30 counts as 0, so that gains are finite.
    """
    trained = [one for one in outcomes if one.entrant == REFERENCE and one.state is State.COMPLETE]
    found = {one.seed: {name: one.scores[name] for name in headlines(one.scores)} for one in trained}
    return found if all(value >= 1 / LARGEST for scores in found.values() for value in scores.values()) else {}


def _gain(outcome: Outcome, references: Mapping[int, Mapping[str, float]]) -> float | None:
    """Delta_m over the reference of the same seed."""
    if outcome.state is not State.COMPLETE or outcome.seed not in references:
        return None
    reference = references[outcome.seed]
    own = [outcome.scores[name] for name in reference]
    return delta_m(own, list(reference.values()), [not is_error(name) for name in reference])


def _row(outcome: Outcome, columns: Sequence[str]) -> list[Any]:
    values = {**asdict(outcome), **outcome.scores}
    values["state"] = outcome.state.value
    values["error"] = " ".join(outcome.error.split())
    values["seconds"] = written_seconds(outcome.seconds)
    # 6 decimals of percent: far below its spread over seeds
    values["delta_m"] = None if outcome.delta_m is None else round(outcome.delta_m, 6)
    return [values.get(column) for column in columns]


def _outcome(row: Mapping[str, str]) -> Outcome:
    state = state_of(row, (State.COMPLETE, State.FAILED))
    scores = [name for name in row if "/" in name]
    needed = ["accuracy", *headlines(scores), *(name for name in scores if not is_optional(name))]
    empty = [name for name in needed if state is State.COMPLETE and row[name] == ""]
    if empty:
        raise ValueError(f"a complete training has no value in column `{empty[0]}`.")
    return Outcome(
        **of_training(row),
        entrant=printable(row["entrant"]),
        state=state,
        split=printable(row["split"]),
        trial=whole(row, "trial") if row["trial"] else None,
        balancing=printable(row["balancing"]),
        macs_of_one_task=whole(row, "macs_of_one_task"),
        training_samples=whole(row, "training_samples"),
        training_macs=whole(row, "training_macs"),
    )
