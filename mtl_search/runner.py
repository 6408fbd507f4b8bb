"""Searches: asks for candidates, has them trained, keeps the front, writes the run's folder."""

import math
import os
from collections.abc import Mapping
from dataclasses import astuple, replace
from datetime import datetime
from pathlib import Path

from rich.console import Console

from mtl_search import cost
from mtl_search.architecture import Architecture
from mtl_search.balancing import make_balancing
from mtl_search.cost import Cost
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.engine import Job, Work, engine
from mtl_search.environment import describe_environment, now
from mtl_search.errors import (
    DatasetError,
    ExperimentError,
    FieldError,
    SearchInterruptedError,
    UnknownNameError,
    UserError,
)
from mtl_search.evaluation import Evaluate, Report, evaluate_by_epoch, mean_headline
from mtl_search.experiment import Experiment, Training, experiment_of
from mtl_search.networks.operators import check_independence
from mtl_search.progress import Progress
from mtl_search.run_folder import JOURNAL, Run, RunWriter, check_free, front_of, load_run
from mtl_search.samplers import Proposals
from mtl_search.space import SearchSpace
from mtl_search.trial import State, Trial
from mtl_search.weights import save_weights

INFEASIBLE_IN_A_ROW = 500
"""Candidates in a row that break a constraint, after which the search gives up."""


def search(
    space: SearchSpace | Experiment,
    dataset: Dataset | None = None,
    *,
    trials: int | None = None,
    workers: int | str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    training: Training | None = None,
    out: str | Path | None = None,
    address: str | None = None,
    show_progress: bool = False,
    evaluate: Evaluate = evaluate_by_epoch,
) -> Run:
    """Search a space: train candidates, keep the Pareto front.

    :param space: What to search: an experiment, or a bare space, for which everything else has its default.
    :param dataset: What to train on; loaded as the experiment says if left out. The test split is not touched.
    :param trials: Candidates to train; as the following, the experiment's own number if left out.
    :param workers: Trials at the same time; ``"auto"``: as the processors allow; 0: in this process, one by one.
    :param epochs: Epochs of each training.
    :param seed: Seed of the sampler and of every training. With one worker or none, the same seed gives the same trials
        and the same numbers.
    :param sampler: ``tpe``, ``nsga2`` or ``random``.
    :param training: Budget and optimiser.
    :param out: Folder for the run, new or empty; ``results/<name>-<time>`` if left out.
    :param address: Of a running Ray cluster; a local one is started otherwise.
    :param show_progress: Whether to show progress on standard error.
    :param evaluate: Does the training of a candidate; for tests, and for methods of your own.
    :returns: The finished run. Trials that failed are in it, with their reasons.
    :raises UserError: If something given is wrong; nothing is written then.
    :raises SearchInterruptedError: On SIGINT or SIGTERM. The trials that had ended are in the folder.
    """
    settings = {"trials": trials, "workers": workers, "seed": seed, "sampler": sampler}
    experiment = _experiment(space, dataset, settings, training, epochs)
    folder = Path(out) if out is not None else default_folder(experiment.name)
    check_free(folder)
    dataset = prepare(experiment, dataset).without("test")
    count = worker_count(experiment)
    console = Console(stderr=True) if show_progress else None
    work = Work(evaluate, dataset, experiment.training, experiment.search.cpus)
    with engine(work, experiment.search, count, address) as run_jobs:
        campaign = Campaign(experiment, dataset, folder, console)
        try:
            with campaign.progress:
                run_jobs(campaign)
        except KeyboardInterrupt as error:
            done, asked = len(campaign.complete), experiment.search.trials
            raise SearchInterruptedError(
                f"interrupted after {done} of {asked} trials; what they gave is in {folder}."
            ) from error
        finally:
            campaign.finish()
    return load_run(folder)


def prepare(experiment: Experiment, dataset: Dataset | None = None) -> Dataset:
    """Load the experiment's dataset, and check what needs it, before anything is written or trained.

    :param dataset: Used instead of loading one.
    :raises UserError: As :func:`check_experiment`, or if the dataset cannot be loaded; the message names the file.
    """
    try:
        if dataset is None:
            dataset = load_dataset(experiment.dataset.name, **experiment.dataset.options)
        check_experiment(experiment, dataset)
    except UserError as error:
        if experiment.source is None:
            raise
        raise ExperimentError(f"{experiment.source}: {error}") from error
    return dataset


def _experiment(
    space: SearchSpace | Experiment,
    dataset: Dataset | None,
    settings: Mapping[str, object],
    training: Training | None,
    epochs: int | None,
) -> Experiment:
    """The experiment that the arguments of :func:`search` describe, checked."""
    if isinstance(space, SearchSpace):
        if dataset is None:
            raise FieldError("dataset", "must be given with a bare space", dataset)
        space = experiment_of(space, dataset.name, dataset.options)
    changes = {
        "search": {name: value for name, value in settings.items() if value is not None},
        "training": {**(training.model_dump() if training else {}), **({} if epochs is None else {"epochs": epochs})},
    }
    if dataset is not None:
        changes["dataset"] = {"name": dataset.name, **dataset.options}
    return space.changed(changes)


def check_experiment(experiment: Experiment, dataset: Dataset) -> None:
    """Check what needs the primitives or the dataset: before anything is written or trained.

    :raises UserError: For an unknown option of the balancing or a library that it lacks, dependent kernels, an
        objective that the dataset does not measure, a training split of less than a batch, or constraints that no
        architecture keeps.
    """
    make_balancing(experiment.training.balancing.name, experiment.training.balancing.options)
    for bank in sorted({bank for layer in experiment.search_space.layers for bank in layer.bank}):
        check_independence(bank)
    for objective in experiment.objectives:
        if "/" in objective and objective not in dataset.score_names:
            raise UnknownNameError("objective", objective, dataset.score_names)
    samples = len(dataset.splits["train"])
    if samples < experiment.training.batch_size:
        raise DatasetError(
            f"`training.batch_size` must be at most the number of training samples, {samples}, "
            f"but got {experiment.training.batch_size}."
        )
    low, _ = cost_range(experiment, dataset)
    for name, limit in experiment.constraints.limits().items():
        if getattr(low, name) > limit:
            raise ExperimentError(
                f"`constraints.{name}` must leave something to search, but got {limit:,}: "
                f"the cheapest architecture found in the space has {getattr(low, name):,}."
            )


def cost_range(experiment: Experiment, dataset: Dataset, samples: int = 200) -> tuple[Cost, Cost]:
    """The lowest and the highest of each cost over architectures drawn by lot, and over all of a small space.

    :param samples: Architectures to draw.
    """
    space = experiment.search_space
    if space.size <= samples:
        drawn = list(space.architectures())
    else:
        drawn = [space.sample(seed) for seed in range(samples)]
        ends = (min(space.width_multiplier), max(space.width_multiplier))
        drawn += [replace(architecture, width_multiplier=width) for architecture in drawn for width in ends]
    costs = [cost.estimate(architecture, dataset.tasks, dataset.input_shape) for architecture in drawn]
    columns = list(zip(*(astuple(one) for one in costs), strict=True))
    return Cost(*map(min, columns)), Cost(*map(max, columns))


def worker_count(experiment: Experiment) -> int:
    """Trials at the same time: as the experiment says, or as many as the processors and the trials allow."""
    asked = experiment.search.workers
    if isinstance(asked, int):
        return min(asked, experiment.search.trials)
    return max(1, min(processors() // experiment.search.cpus, experiment.search.trials))


def processors() -> int:
    """Processors of this machine."""
    return os.cpu_count() or 1


def default_folder(name: str) -> Path:
    """``results/<name>-<time>``, with a number behind it where two would be the same."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    numbered = (Path("results") / (stem if number == 1 else f"{stem}-{number}") for number in range(1, 1000))
    return next(folder for folder in numbered if not folder.exists())


class Campaign:
    """One search under way: proposes candidates, books results, writes the folder. A source for the engine."""

    def __init__(self, experiment: Experiment, dataset: Dataset, folder: Path, console: Console | None) -> None:
        environment = describe_environment(experiment.search.seed)
        self.writer = RunWriter(folder, experiment, environment, dataset.score_names)
        self.experiment, self.dataset = experiment, dataset
        settings = experiment.search
        self.proposals = Proposals(
            experiment.search_space, experiment.objectives, settings.sampler, settings.seed, folder / JOURNAL
        )
        self.progress = Progress(settings.trials, experiment.training.epochs, console)
        self.open: dict[int, tuple[Architecture, Cost]] = {}
        self.epochs: dict[int, Report] = {}
        self.complete: list[Trial] = []
        self.started = self.numbers = 0

    def ask(self) -> Job | None:
        """The next candidate that keeps the constraints; those that do not are booked as infeasible."""
        for _ in range(INFEASIBLE_IN_A_ROW):
            if self.started == self.experiment.search.trials:
                return None
            architecture = self.proposals.ask()
            if architecture is None:
                return None
            number, self.numbers = self.numbers, self.numbers + 1
            known = cost.estimate(architecture, self.dataset.tasks, self.dataset.input_shape)
            excess = self._excess(known)
            if max(excess.values(), default=0) <= 0:
                self.started += 1
                self.open[number] = (architecture, known)
                self.progress.start(number)
                return Job(number, architecture, self.experiment.search.seed)
            self._book_infeasible(number, architecture, known, excess)
        return None

    def report(self, number: int, report: Report) -> None:
        """An epoch of a trial; after the last one the trial is complete."""
        self.epochs[number] = report
        if not report.done:
            self.progress.epoch(number, report.epoch)
            return
        wrong = self._wrong_scores(report.scores)
        if wrong:
            self.fail(number, wrong)
            return
        architecture, known = self.open[number]
        accuracy = mean_headline(self.dataset.tasks, report.scores)
        trial = self._trial(number, State.COMPLETE, architecture, known, accuracy=accuracy, scores=report.scores)
        self.proposals.tell(architecture, [self._value(trial, name) for name in self.experiment.objectives])
        self.complete.append(trial)
        front = self.front()
        if trial in front:
            save_weights(self.writer.checkpoint(number), report.weights)
        self._end(trial)
        self.writer.keep_checkpoints([kept.number for kept in front])

    def fail(self, number: int, reason: str) -> None:
        """A trial ended by an error."""
        architecture, known = self.open[number]
        self.proposals.tell_failed(architecture, reason)
        self._end(self._trial(number, State.FAILED, architecture, known, error=reason))

    def _wrong_scores(self, scores: Mapping[str, float]) -> str:
        """What is wrong with the scores of a last report; empty if nothing is."""
        missing = [name for name in self.dataset.score_names if name not in scores]
        if missing:
            return f"the evaluation gave no score {', '.join(missing)}"
        endless = [f"{name} = {value}" for name, value in scores.items() if not math.isfinite(value)]
        return f"the scores are not finite: {', '.join(endless)}" if endless else ""

    def front(self) -> tuple[Trial, ...]:
        """The front of the trials so far."""
        return front_of(self.complete, self.experiment.objectives)

    def finish(self) -> None:
        """Write when the run ended."""
        self.writer.finish(now())

    def _book_infeasible(
        self, number: int, architecture: Architecture, known: Cost, excess: Mapping[str, float]
    ) -> None:
        self.proposals.tell_infeasible(architecture, excess)
        limits = self.experiment.constraints.limits()
        broken = [f"{name} {getattr(known, name):,} > {limits[name]:,}" for name in excess if excess[name] > 0]
        self._end(self._trial(number, State.INFEASIBLE, architecture, known, error="; ".join(broken)))

    def _excess(self, known: Cost) -> dict[str, float]:
        limits = self.experiment.constraints.limits()
        return {name: float(getattr(known, name) - limit) for name, limit in limits.items()}

    def _trial(
        self,
        number: int,
        state: State,
        architecture: Architecture,
        known: Cost,
        *,
        accuracy: float | None = None,
        scores: Mapping[str, float] | None = None,
        error: str = "",
    ) -> Trial:
        last = self.epochs.pop(number, None)
        return Trial(
            number,
            state,
            architecture,
            seed=self.experiment.search.seed,
            epochs=last.epoch if last else 0,
            seconds=last.seconds if last else 0.0,
            accuracy=accuracy,
            learnable_parameters=known.learnable_parameters,
            fixed_parameters=known.fixed_parameters,
            macs=known.macs,
            error=error,
            scores=dict(scores or {}),
        )

    def _end(self, trial: Trial) -> None:
        self.open.pop(trial.number, None)
        self.writer.add(trial)
        self.progress.end(trial, self.front())

    def _value(self, trial: Trial, objective: str) -> float:
        value = trial.value(objective)
        assert value is not None
        return float(value)
