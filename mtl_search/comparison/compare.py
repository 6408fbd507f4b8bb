"""Comparisons: picks from a front and baselines, trained from scratch at equal budget, over seeds.

Trained on the training and validation samples together; the test split is read once, at the end of each training. What
ended is kept: the same call again goes on where the last one stopped, and trains again what failed.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from mtl_search.comparison import SEEDS
from mtl_search.comparison.budget import factor_of
from mtl_search.comparison.control import control_experiments, search_controls
from mtl_search.comparison.entrants import check_entries
from mtl_search.comparison.lineup import Lineup
from mtl_search.comparison.picks import Picks
from mtl_search.comparison.plan import Plan
from mtl_search.comparison.recipes import load_baselines
from mtl_search.comparison.results import Comparison, load_comparison
from mtl_search.comparison.trainings import FinalSplit
from mtl_search.datasets import Dataset
from mtl_search.errors import (
    FieldError,
    RunFolderError,
    UserError,
    existing_folder,
)
from mtl_search.evaluation import Evaluate, evaluate_by_epoch
from mtl_search.execution.capacity import check_here, check_memory, first_banks
from mtl_search.internal.files import alone_in
from mtl_search.internal.processors import processors
from mtl_search.internal.temporary import temporary_folder
from mtl_search.runs.environment import describe_environment
from mtl_search.runs.folder import Run, check_free, load_run
from mtl_search.runs.provenance import changed_data, described
from mtl_search.runs.writer import RunWriter, make_folder, remove_half_written
from mtl_search.searching.preparation import prepare
from mtl_search.searching.request import default_folder
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.section import MOST_MACHINES

MOST_TRAININGS = 1_000
"""Of each entrant, to tune it: more than anybody pays for, so that a slip is refused."""
MOST_SEEDS = 1_000
"""Trainings of each entrant. Comparisons of the literature have three to ten."""


def compare(
    run: Run | Experiment | str | Path,
    dataset: Dataset | None = None,
    *,
    baselines: Sequence[str] = ("all",),
    picks: Sequence[str] | None = None,
    seeds: int = SEEDS,
    tune: int | None = None,
    budget: str = "epochs",
    control: bool = False,
    workers: int | None = None,
    out: str | Path | None = None,
    address: str | None = None,
    show_progress: bool = False,
    evaluate: Evaluate | None = None,
) -> Comparison:
    """Train picks of a run's front and baselines from scratch, and measure them on the test split.

    All of them get the same budget: the same samples in the same order for each seed, the same optimiser and schedule.
    Methods that train in several phases spend more before; it is counted.

    :param run: A run or its folder; or an experiment, for its dataset, backbone and training, without any search.
    :param dataset: Loaded as the experiment says if left out.
    :param baselines: Names of recipes, ``<recipe>@<variant>``, paths of YAML files, or ``all``.
    :param picks: ``knee`` (the best where the front has none), ``best``, ``smallest`` or numbers of trials, as
        everywhere (:func:`~mtl_search.runs.picks.pick`), or ``matched:<baseline>`` (the best of the front with at most
        that baseline's learnable parameters); the first three if left out.
    :param seeds: Trainings of each; by default as many as an interval needs. Their seeds follow that of the search,
        whose trainings chose the picks, and are 0, 1, ... where there is no search.
    :param tune: Trainings of each baseline and pick, before, on training and validation samples, to choose its own
        settings with: what the experiment leaves open of ``training``, or the learning rate, and the options that its
        recipe names as tunable. Variants of a recipe share what is found. Not tuned if left out, or as the comparison
        in the folder was.
    :param budget: ``epochs``; or ``macs``, to train each once more for every seed, at equal compute, as
        ``<name>~macs``: with the multiply-accumulates that hard sharing spends in the experiment's epochs, or with
        ``macs:2`` twice as many; see :mod:`~mtl_search.comparison.budget`.
    :param control: Whether to search twice more, without primitives and hard sharing alone, with as many trainings, and
        to compare what that finds; ``best`` is one of the picks then. See :mod:`~mtl_search.comparison.control`.
    :param workers: Trainings at the same time; 0: in this process. The experiment's number if left out.
    :param out: Folder for a comparison without a search, new or empty; ``results/<name>-<time>`` if left out.
    :param address: Address of a running Ray cluster to join; without it, trainings run on this machine.
    :param show_progress: Whether to show progress on standard error.
    :param evaluate: Does a training; for tests.
    :returns: The comparison. Trainings that failed are in it, with their reasons.
    :raises UserError: If something given is wrong; nothing is written then.
    :raises SearchInterruptedError: On SIGINT or SIGTERM. What had ended is in the folder; the same call goes on.
    """
    _check_counts(seeds, workers, tune)
    wanted = _Wanted(
        baselines, picks, seeds, tune, factor_of(budget), control, workers, out, address, show_progress, evaluate
    )
    if isinstance(run, Experiment):
        return _compare(run, dataset, wanted)
    with _held(run.path if isinstance(run, Run) else Path(run)) as held:
        return _compare(held, dataset, wanted)


@dataclass(frozen=True)
class _Wanted:
    """What :func:`compare` was called with; ``factor`` is that of its budget."""

    baselines: Sequence[str]
    picks: Sequence[str] | None
    seeds: int
    tune: int | None
    factor: float | None
    control: bool
    workers: int | None
    out: str | Path | None
    address: str | None
    show_progress: bool
    evaluate: Evaluate | None

    @property
    def all_picks(self) -> Sequence[str] | None:
        """The picks, and what the controls are compared with."""
        without_best = self.control and self.picks is not None and "best" not in self.picks
        return [*(self.picks or ()), "best"] if without_best else self.picks


@contextmanager
def _held(path: Path) -> Iterator[Run]:
    """A run whose folder is this process's alone, read after it was: nobody changes what it holds."""
    existing_folder(path)
    with alone_in(path):
        run = load_run(path)
        remove_half_written(path)
        yield run


def _compare(run: Run | Experiment, dataset: Dataset | None, wanted: _Wanted) -> Comparison:
    """A comparison in the folder of a run that is locked, or in a new one."""
    if not isinstance(run, Run):
        _check_needs_no_run(wanted)
    experiment, address = run.experiment if isinstance(run, Run) else run, wanted.address
    if address is None:
        at_once = {} if wanted.workers is None else {"workers": wanted.workers}
        check_here(experiment.search.model_copy(update=at_once), changeable=False)
    named = load_baselines(wanted.baselines)
    data = prepare(experiment, dataset)
    if isinstance(run, Run):
        _check_data(run, data, "to compare")
    entries = Lineup(experiment, named, Picks.none()).entries()
    known = check_entries(entries, experiment, data)
    chosen = Picks.none()
    if isinstance(run, Run):
        chosen = Picks(run, wanted.all_picks, {**_trained_sizes(run.path), **known})
    if chosen.names and address is None:
        check_memory(first_banks(experiment), data)
    if not entries and not chosen.names:
        raise UserError("there is nothing to compare: give baselines, or picks of a run.")
    folder = run.path if isinstance(run, Run) else _new_folder(experiment, wanted.out)
    plan = Plan(folder, data, Lineup(experiment, named, chosen), wanted.seeds, "test", wanted.tune, wanted.factor)
    plan = replace(plan, console=Console(stderr=True) if wanted.show_progress else None)
    if isinstance(run, Run):
        plan = _with_controls(replace(plan, first_seed=_first_seed(run)), run, wanted)
    else:
        plan = _in_a_new_folder(plan, experiment, wanted.tune)
    count = _worker_count(experiment, wanted.workers, plan.trainings_asked, joins=address is not None)
    return plan.carry_out(experiment.search, count, address, wanted.evaluate)


def _check_needs_no_run(wanted: _Wanted) -> None:
    """
    :raises UserError: If something is asked for that only the folder of a search has.
    """
    if wanted.picks:
        raise UserError(f"pick `{wanted.picks[0]}` needs a run to pick from: give the folder of a search.")
    if wanted.control:
        raise UserError("`control` needs a run, whose search it does again in other spaces: give the folder of one.")


def _first_seed(run: Run) -> int:
    """The seeds of a comparison follow that of the search, which chose the picks by its trainings."""
    return run.experiment.search.seed + 1 if run.trials else 0


def _with_controls(plan: Plan, run: Run, wanted: _Wanted) -> Plan:
    """A plan with what the controls find, once the comparison itself is known to be right."""
    if not wanted.control:
        return plan
    experiments = control_experiments(run)
    plan.check()
    found = search_controls(
        run,
        experiments,
        plan.data,
        workers=wanted.workers,
        address=wanted.address,
        show_progress=wanted.show_progress,
        evaluate=wanted.evaluate or evaluate_by_epoch,
    )
    return replace(plan, lineup=replace(plan.lineup, controls=found))


def _in_a_new_folder(plan: Plan, experiment: Experiment, tune: int | None) -> Plan:
    """A plan that makes its folder when it begins: that of a run without trials."""
    folder, data = plan.path, plan.data
    environment = {**describe_environment(experiment.search.seed), **described(data)}
    writer = RunWriter(folder, environment, data.score_names, rows=data.rows)
    same = "baselines" if tune is None else f"baselines and `--tune {tune}`"
    advice = f"`mtl-search compare {folder}` with the same {same} goes on"
    return replace(plan, hold=functools.partial(_begun, writer, experiment), advice=advice)


def train_alone(
    what: Architecture | str,
    experiment: Experiment,
    *,
    seeds: int = 1,
    split: FinalSplit = "test",
    out: str | Path | None = None,
    run: Run | None = None,
) -> Comparison:
    """Train one architecture or baseline from scratch, in this process with all its processors, and measure it.

    :param what: An architecture, or the name of a baseline.
    :param experiment: Brings data, training, and the backbone of a baseline.
    :param split: What it is measured on: ``test`` after training on training and validation samples, or ``val``.
    :param out: Folder for weights and scores, new or empty; nothing is kept if left out.
    :param run: A search whose data this must be.
    :raises UserError: If something given is wrong; nothing is written then.
    """
    _check_counts(seeds)
    named = [] if isinstance(what, Architecture) else load_baselines([what])
    lineup = Lineup(experiment, named, Picks.none(), [what] if isinstance(what, Architecture) else [])
    data = prepare(experiment)
    if run is not None:
        _check_data(run, data, "to train on it, or say `--like EXPERIMENT`")
    check_entries(lineup.entries(), experiment, data)
    with temporary_folder() as scratch:
        folder = scratch / "kept" if out is None else Path(out)
        make_folder(folder)
        with alone_in(folder):
            check_free(folder)
            advice = "nothing is kept" if out is None else f"what ended is in {folder}"
            plan = Plan(folder, data, lineup, seeds, split, advice=advice, command=None, console=Console(stderr=True))
            settings = experiment.search.model_copy(update={"cpus": processors()})
            return plan.carry_out(settings, workers=0)


def _check_data(run: Run, data: Dataset, what_for: str) -> None:
    changed = changed_data(run, data)
    if changed:
        raise RunFolderError(f"{run.path}: its data is not what the search saw: {changed[0]}. Restore it {what_for}.")


def _check_counts(seeds: int, workers: int | None = None, tune: int | None = None) -> None:
    if tune is not None and not 1 <= tune <= MOST_TRAININGS:
        raise FieldError("tune", f"must be from 1 to {MOST_TRAININGS:,}", tune)
    if not 1 <= seeds <= MOST_SEEDS:
        raise FieldError("seeds", f"must be from 1 to {MOST_SEEDS:,}", seeds)
    if workers is not None and not 0 <= workers <= MOST_MACHINES:
        raise FieldError("workers", f"must be from 0 to {MOST_MACHINES:,}", workers)


def _new_folder(experiment: Experiment, out: str | Path | None) -> Path:
    """The folder of a comparison without a search: that of a run without trials. Made when the trainings begin."""
    folder = Path(out) if out is not None else default_folder(f"{experiment.name}-comparison")
    check_free(folder)
    return folder


@contextmanager
def _begun(writer: RunWriter, experiment: Experiment) -> Iterator[None]:
    """The new folder of a comparison, for this process alone."""
    make_folder(writer.path)
    with alone_in(writer.path):
        writer.begin(experiment)
        yield


def _trained_sizes(path: Path) -> dict[str, int]:
    """Baselines that were trained in a run's folder before -> the mean of their learnable parameters."""
    before = load_comparison(path)
    if before is None:
        return {}
    found = {key: [one.learnable_parameters for one in before.of(key)] for key in before.entrants}
    return {key: round(sum(sizes) / len(sizes)) for key, sizes in found.items() if sizes}


def _worker_count(experiment: Experiment, workers: int | None, trainings: int, joins: bool) -> int | None:
    """Trainings at the same time; ``None``: as many as the cluster has room for that is joined."""
    asked = experiment.search.workers if workers is None else workers
    if asked == 0:
        return 0
    if isinstance(asked, str) and joins:
        return None
    most = asked if isinstance(asked, int) else processors() // experiment.search.cpus
    return max(1, min(most, trainings))
