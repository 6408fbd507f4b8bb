"""A trial under way: how it begins, and what is known of it after an epoch."""

from dataclasses import dataclass, replace

from mtl_search import cost
from mtl_search.datasets import Dataset
from mtl_search.evaluation import Report, mean_quality, worst_quality
from mtl_search.networks.network import build_model
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.trial import State, Trial
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import Proposal


@dataclass
class RunningTrial:
    """A candidate that is being trained.

    :param trial: The trial as it stands now: its costs, and what is known since its last epoch.
    :param curve: Epoch -> what was noted after it.
    :param start: The epoch whose checkpoint it goes on from; 0: from the beginning.
    """

    trial: Trial
    curve: dict[int, EpochRow]
    start: int = 0

    def note(self, row: EpochRow) -> None:
        """How far it has come."""
        self.trial = replace(self.trial, epochs=row.epoch, seconds=row.seconds)


def begun(number: int, proposal: Proposal, experiment: Experiment, dataset: Dataset) -> Trial:
    """A trial that begins, with what is known of it before it is trained."""
    architecture = proposal.architecture
    known = cost.estimate(architecture, dataset.tasks, dataset.input_shape)
    return Trial(
        number,
        State.RUNNING,
        architecture,
        proposal.training,
        seed=experiment.search.seed,
        learnable_parameters=known.learnable_parameters,
        fixed_parameters=known.fixed_parameters,
        macs=known.macs,
        latency_ms=_latency_ms(architecture, dataset) if experiment.measures_latency else None,
    )


def _latency_ms(architecture: Architecture, dataset: Dataset) -> float:
    model = build_model(architecture, dataset.tasks, dataset.input_shape)
    return round(cost.latency_ms(model, dataset.input_shape), 4)  # 0.1 microseconds: clocks tell no less


def epoch_row(number: int, report: Report, experiment: Experiment, dataset: Dataset) -> EpochRow:
    """A report as a row of ``epochs.csv``, with the qualities where it has scores."""
    row = EpochRow(number, report.epoch, report.seconds, report.loss, None, dict(report.scores))
    if not report.scores:
        return row
    worst = worst_quality(dataset.tasks, report.scores) if experiment.measures_worst_task else None
    accuracy = mean_quality(dataset.tasks, report.scores, experiment.task_weights)
    return replace(row, accuracy=accuracy, worst_task=worst)


def scored(trial: Trial, row: EpochRow) -> Trial:
    """A trial with what was measured after an epoch."""
    return replace(trial, accuracy=row.accuracy, worst_task=row.worst_task, scores=dict(row.scores))


def objective_value(trial: Trial, objective: str) -> float:
    """What a trial that was scored has of an objective."""
    value = trial.value(objective)
    assert value is not None
    return float(value)


def excess(trial: Trial, experiment: Experiment) -> dict[str, float]:
    """Limited cost -> by how much a trial is above the limit; at most 0 where it keeps it."""
    limits = experiment.constraints.limits()
    return {name: objective_value(trial, name) - limit for name, limit in limits.items()}
