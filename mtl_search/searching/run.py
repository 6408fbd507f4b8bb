"""Runs searches: new ones, and those that go on."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from mtl_search import cost
from mtl_search.datasets import Dataset
from mtl_search.datasets._saving import saving
from mtl_search.errors import AllFailedError, ClusterError, SearchInterruptedError, existing_folder
from mtl_search.evaluation import Evaluate, evaluate_by_epoch
from mtl_search.execution.capacity import check_here, check_memory, first_banks
from mtl_search.execution.engine import RunJobs, engine
from mtl_search.execution.jobs import Work
from mtl_search.internal.files import alone_in
from mtl_search.internal.layout import DATA, JOURNAL
from mtl_search.internal.signals import advise, signals_interrupt, uninterrupted
from mtl_search.internal.streams import say_on_terminal
from mtl_search.metrics.scores import WORST_TASK, headline_word
from mtl_search.runs.folder import Run, check_free, load_run
from mtl_search.runs.provenance import begin_environment, grown, resumed_environment
from mtl_search.runs.status import hours_spent
from mtl_search.runs.writer import RunWriter, make_folder
from mtl_search.samplers.study import Study
from mtl_search.searching.callbacks import Callback
from mtl_search.searching.confirmation import confirm, searching_part
from mtl_search.searching.loop import SearchLoop
from mtl_search.searching.preparation import prepare, worker_count
from mtl_search.searching.progress import Progress
from mtl_search.searching.remarks import remarks
from mtl_search.searching.request import default_folder, experiment_name, requested_experiment
from mtl_search.searching.tensorboard import callbacks_of
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import TRAINING
from mtl_search.spaces.settings import Training
from mtl_search.spaces.space import SearchSpace


def search(
    space: SearchSpace | Experiment | None = None,
    dataset: Dataset | None = None,
    *,
    trials: int | None = None,
    hours: float | None = None,
    workers: int | str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    training: Training | None = None,
    out: str | Path | None = None,
    address: str | None = None,
    show_progress: bool = False,
    callbacks: Sequence[Callback] = (),
    evaluate: Evaluate = evaluate_by_epoch,
) -> Run:
    """Search a space: train candidates, keep the Pareto front.

    :param space: What to search: an experiment, or a bare space, for which everything else has its default; if left
        out, what :func:`~mtl_search.first_experiment` would write for such a dataset.
    :param dataset: What to train on; loaded as the experiment says if left out. The test split is not touched. One
        that was not loaded by name is written into the run's folder, so that all that follows does without it.
    :param trials: Candidates to train; as the following, the experiment's own number if left out.
    :param hours: Time for the search.
    :param workers: Trials at the same time; ``"auto"``: as the processors allow; 0: in this process, one by one.
    :param epochs: Epochs of each training.
    :param seed: Seed of the sampler and of every training. With one worker or none, the same seed gives the same trials
        and the same numbers.
    :param sampler: ``bayesian``, ``tpe``, ``nsga2``, ``nsga3``, ``random``, ``qmc`` or ``evolution``.
    :param training: Epochs, batch size, optimiser and schedule of every training.
    :param out: Folder for the run, new or empty; ``results/<name>-<time>`` if left out.
    :param address: Address of a running Ray cluster to join; a local one is started otherwise.
    :param show_progress: Whether to show progress on standard error.
    :param callbacks: What is told how the search goes, in this process; an error in one does not end the search.
    :param evaluate: Does the training of a candidate; for tests, and for methods of your own.
    :returns: The finished run. Trials that failed are in it, with their reasons.
    :raises UserError: If something given is wrong; nothing is written then.
    :raises SearchInterruptedError: On SIGINT or SIGTERM. :func:`resume` goes on, each trial from its last epoch.
    :raises StorageError: If the folder can no longer be written; what was written before is whole.
    :raises AllFailedError: If all of the first trials failed alike.
    """
    settings = {"trials": trials, "hours": hours, "workers": workers, "seed": seed, "sampler": sampler}
    name = experiment_name(space, dataset)
    folder = Path(out) if out is not None else default_folder(name)
    check_free(folder)
    data = None if dataset is None or dataset.loadable else saving(dataset, folder / DATA)
    dataset = dataset if data is None else data.dataset
    experiment = requested_experiment(space, name, dataset, settings, training, epochs)
    told = callbacks_of(experiment, callbacks)
    if address is None:
        check_here(experiment.search, changeable=True)
    with signals_interrupt(), _an_interruption_says("interrupted before the search began"):
        say_on_terminal(f"loading dataset {experiment.dataset.title} ...", show_progress)
        dataset = prepare(experiment, dataset).without("test")
        if address is None:
            check_memory(first_banks(experiment), dataset)
        say_on_terminal("starting workers ...", show_progress and experiment.search.workers != 0)
        with _engine(experiment, dataset, address, evaluate) as run_jobs:
            make_folder(folder)
            say_on_terminal(f"run: {folder}", show_progress)
            advise(f"go on with: mtl-search resume {folder}")
            with alone_in(folder), _an_interruption_says(_before_a_trial(folder)):
                writer = _writer(folder, begin_environment(experiment, dataset), experiment, dataset)
                with uninterrupted():
                    writer.begin(experiment, data)
                    study = _study(experiment, dataset, folder)
                progress = _progress(experiment, dataset, show_progress)
                for remark in remarks(experiment, dataset):
                    progress.say(remark)
                part = searching_part(experiment)
                with told.telling(experiment, writer.path):
                    _conduct(SearchLoop(part, dataset, writer, study, progress, callbacks=told), run_jobs)
    return load_run(folder)


def resume(
    path: str | Path,
    dataset: Dataset | None = None,
    *,
    trials: int | None = None,
    hours: float | None = None,
    workers: int | None = None,
    address: str | None = None,
    allow_changes: bool = False,
    show_progress: bool = False,
    callbacks: Sequence[Callback] = (),
    evaluate: Evaluate = evaluate_by_epoch,
) -> Run:
    """Go on with a search that was cut off, whatever by, or that is to have a larger budget.

    Everything is taken from the plain files of its folder. Trials that ended stay as they are; those that were under
    way go on from their last checkpoint.

    :param path: Folder of the run to go on with.
    :param dataset: Loaded as the experiment says if left out.
    :param trials: Candidates to train in all; may only grow.
    :param hours: Time for the search in all; may only grow.
    :param workers: Trials at the same time.
    :param address: Address of a running Ray cluster to join; a local one is started otherwise.
    :param allow_changes: Whether to go on though the experiment, the data, the source or a library has changed.
    :param show_progress: Whether to show progress on standard error.
    :param callbacks: What is told how the search goes, as in :func:`search`.
    :param evaluate: Does the training of a candidate, as in :func:`search`.
    :raises ChangedError: If one of them has changed and changes are not allowed; nothing is written then.
    :raises RunFolderError: If it is not the folder of a run, or another process works in it.
    :raises SearchInterruptedError: As :func:`search`.
    """
    existing_folder(path)
    advise(f"go on with: mtl-search resume {path}")
    with signals_interrupt(), alone_in(Path(path)), _an_interruption_says(_before_a_trial(path)):
        run = load_run(path)
        experiment = grown(run, trials, hours, workers)
        told = callbacks_of(experiment, callbacks)
        if address is None:
            check_here(experiment.search, changeable=False)
        say_on_terminal(f"loading dataset {experiment.dataset.title} ...", show_progress)
        dataset = prepare(experiment, dataset).without("test")
        if address is None:
            check_memory(first_banks(experiment), dataset)
        environment = resumed_environment(run, experiment, dataset, allow_changes)
        if show_progress:
            _say_what_is_overridden(environment["sessions"][-1]["changes"])
            for remark in run.remarks:
                _say(remark)
        say_on_terminal("starting workers ...", show_progress and experiment.search.workers != 0)
        with _engine(experiment, dataset, address, evaluate) as run_jobs:
            writer = _writer(run.path, environment, experiment, dataset)
            writer.go_on(experiment)
            study = _study(experiment, dataset, run.path)
            progress = _progress(experiment, dataset, show_progress)
            part = searching_part(experiment)
            loop = SearchLoop(part, dataset, writer, study, progress, hours_spent(run), told)
            with told.telling(experiment, run.path):
                _conduct(loop, run_jobs, run)
    return load_run(path)


@contextmanager
def _an_interruption_says(message: str) -> Iterator[None]:
    """Where :func:`_conduct` does not yet say how far the search had come.

    While Ray starts and stops it answers SIGTERM by itself, with the end of the process.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        raise SearchInterruptedError(message) from error


def _before_a_trial(path: str | Path) -> str:
    return f"interrupted before a trial began; go on with: mtl-search resume {path}"


def _say_what_is_overridden(changes: Sequence[str]) -> None:
    if changes:
        listed = "".join(f"\n  {change}" for change in changes)
        told = f"trials from here on are made differently than those before (noted in environment.json):{listed}"
        _say(told)


def _say(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def _engine(
    experiment: Experiment, dataset: Dataset, address: str | None, evaluate: Evaluate
) -> AbstractContextManager[RunJobs]:
    """What does the trainings; it is started before anything is written."""
    work = Work(evaluate, dataset, experiment.training, experiment.search.cpus)
    return engine(work, experiment.search, worker_count(experiment, joins=address is not None), address)


def _writer(folder: Path, environment: Mapping[str, Any], experiment: Experiment, dataset: Dataset) -> RunWriter:
    own = ["latency_ms"] if experiment.measures_latency else []
    own += [TRAINING + name for name in experiment.space.training]
    qualities = [WORST_TASK] if experiment.measures_worst_task else []
    return RunWriter(folder, environment, dataset.score_names, own, dataset.rows, qualities)


def _study(experiment: Experiment, dataset: Dataset, folder: Path) -> Study:
    space, settings = experiment.proposal_space, experiment.search
    return Study(
        space,
        experiment.objectives,
        functools.partial(cost.estimate, tasks=dataset.tasks, input_shape=dataset.input_shape),
        settings.sampler,
        settings.seed,
        folder / JOURNAL,
        [space.point(answers) for answers in settings.points],
        experiment.constraints.limits(),
        about={"experiment": experiment.name, "dataset": experiment.dataset.title, "sampler": settings.sampler},
    )


def _progress(experiment: Experiment, dataset: Dataset, shown: bool) -> Progress:
    console, word = Console(stderr=True) if shown else None, headline_word(dataset.score_names)
    return Progress(searching_part(experiment).search.trials, experiment.training.epochs, console, word)


def _conduct(loop: SearchLoop, run_jobs: RunJobs, before: Run | None = None) -> None:
    """Do the trainings of a loop; whatever ends it is written down.

    :param before: The run that is gone on with.
    """
    try:
        with loop.progress:
            if before is not None:
                loop.take_up(before)
            run_jobs(loop)
            loop.finish()
            confirm(loop, run_jobs)
    except KeyboardInterrupt as error:
        loop.finish()
        after = f"interrupted after {_how_far(loop)}"
        raise SearchInterruptedError(f"{after}; go on with: mtl-search resume {loop.writer.shown}") from error
    except ClusterError as error:
        loop.finish()
        raise ClusterError(f"{error}; go on with: mtl-search resume {loop.writer.shown}") from error
    except AllFailedError:
        loop.finish()
        raise
    loop.finish()


def _how_far(loop: SearchLoop) -> str:
    run = load_run(loop.writer.path)
    again = f", {len(run.confirmations)} of them to confirm others" if run.experiment.search.confirm else ""
    return f"{loop.ended + len(run.confirmations)} of {run.experiment.search.trials} trials{again}"
