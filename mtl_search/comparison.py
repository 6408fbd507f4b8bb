"""Comparisons: picks from a front and baselines, trained from scratch at equal budget, over seeds.

Trained on the training and validation samples together; the test split is read once, at the end of each training. What
ended is kept: the same call again goes on where the last one stopped, and trains again what failed.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from mtl_search import cost
from mtl_search.architecture import Architecture
from mtl_search.balancing import make_balancing
from mtl_search.capacity import check_here, check_memory, first_banks
from mtl_search.datasets import Dataset
from mtl_search.engine import Job, Wait, Work, engine
from mtl_search.environment import describe_environment, now
from mtl_search.errors import (
    ClusterError,
    FieldError,
    RunFolderError,
    SearchInterruptedError,
    StorageError,
    UnknownNameError,
    UserError,
    existing_folder,
)
from mtl_search.evaluation import (
    Entrant,
    Evaluate,
    Phase,
    Report,
    entrant_of,
    evaluate_by_epoch,
    mean_quality,
    missing_scores,
)
from mtl_search.experiment import MOST_MACHINES, Experiment, Search, Training
from mtl_search.files import alone_in
from mtl_search.layout import COMPARISON
from mtl_search.outcomes import (
    Comparison,
    Outcome,
    load_comparison,
    outcome_folder,
    write_asked,
    write_details,
    write_outcomes,
)
from mtl_search.pareto import direction_of
from mtl_search.processors import processors
from mtl_search.progress import Trainings
from mtl_search.recipes import Baseline, load_baselines
from mtl_search.resuming import changed_data, described
from mtl_search.run_folder import Run, check_free, load_run
from mtl_search.run_writer import RunWriter, make_folder, remove_half_written
from mtl_search.runner import default_folder, prepare
from mtl_search.signals import advise
from mtl_search.temporary import temporary_folder
from mtl_search.trial import State, Trial
from mtl_search.weights import check_weights, has_weights, load_weights, save_weights

MOST_SEEDS = 1_000
"""Trainings of each entrant. Comparisons of the literature have three to ten."""
PICKS = ("knee", "best", "smallest")
MATCHED = "matched:"
COSINES = ("hard_sharing",)
"""Baselines whose gradients are followed, besides all picks."""

ALIKE = ("width_multiplier", "balancing")
"""What a baseline must have in common with the one whose trained weights it starts from; else it trains its own."""

FinalSplit = Literal["test", "val"]


@dataclass(frozen=True)
class Entry:
    """One entrant of a comparison.

    :param key: Name of a baseline, or ``trial-<number>``.
    :param entrant: What is trained.
    :param about: What ``comparison.json`` says of it: plain data.
    :param trial: Number of the trial that it comes from; ``None`` for a baseline.
    """

    key: str
    entrant: Entrant
    about: Mapping[str, Any]
    trial: int | None = None


def compare(
    run: Run | Experiment | str | Path,
    dataset: Dataset | None = None,
    *,
    baselines: Sequence[str] = ("all",),
    picks: Sequence[str] | None = None,
    seeds: int = 3,
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
    :param picks: ``knee``, ``best``, ``smallest``, ``matched:<baseline>`` (the best of the front with at most that
        baseline's learnable parameters), or numbers of trials; the first three if left out.
    :param seeds: Trainings of each, seeds 0 to ``seeds - 1``.
    :param workers: Trainings at the same time; 0: in this process. The experiment's number if left out.
    :param out: Folder for a comparison without a search, new or empty; ``results/<name>-<time>`` if left out.
    :param address: Of a running Ray cluster.
    :param show_progress: Whether to show progress on standard error.
    :param evaluate: Does a training; for tests.
    :returns: The comparison. Trainings that failed are in it, with their reasons.
    :raises UserError: If something given is wrong; nothing is written then.
    :raises SearchInterruptedError: On SIGINT or SIGTERM. What had ended is in the folder; the same call goes on.
    """
    _check_counts(seeds, workers)
    if isinstance(run, Experiment):
        return _compare(run, dataset, baselines, picks, seeds, workers, out, address, show_progress, evaluate)
    with _held(run.path if isinstance(run, Run) else Path(run)) as held:
        return _compare(held, dataset, baselines, picks, seeds, workers, out, address, show_progress, evaluate)


@contextmanager
def _held(path: Path) -> Iterator[Run]:
    """A run whose folder is this process's alone, read after it was: nobody changes what it holds."""
    existing_folder(path)
    with alone_in(path):
        run = load_run(path)
        remove_half_written(path)
        yield run


def _compare(
    run: Run | Experiment,
    dataset: Dataset | None,
    baselines: Sequence[str],
    picks: Sequence[str] | None,
    seeds: int,
    workers: int | None,
    out: str | Path | None,
    address: str | None,
    show_progress: bool,
    evaluate: Evaluate | None,
) -> Comparison:
    """A comparison in the folder of a run that is locked, or in a new one."""
    if picks and not isinstance(run, Run):
        raise UserError(f"pick `{picks[0]}` needs a run to pick from: give the folder of a search.")
    experiment = run.experiment if isinstance(run, Run) else run
    if address is None:
        at_once = {} if workers is None else {"workers": workers}
        check_here(experiment.search.model_copy(update=at_once), changeable=False)
    entries = [baseline_entry(one, experiment) for one in load_baselines(baselines)]
    data = prepare(experiment, dataset)
    if isinstance(run, Run):
        _check_data(run, data, "to compare")
    known = _check_entries(entries, experiment, data)
    chosen = Picks(run, picks, {**_trained_sizes(run.path), **known}) if isinstance(run, Run) else Picks.none()
    if chosen.names and address is None:
        check_memory(first_banks(experiment), data)
    if not entries and not chosen.names:
        raise UserError("there is nothing to compare: give baselines, or picks of a run.")
    folder = run.path if isinstance(run, Run) else _new_folder(experiment, out)
    contest = Contest(folder, data, experiment.training, entries, chosen, seeds, "test")
    if not isinstance(run, Run):
        environment = {**describe_environment(experiment.search.seed), **described(data)}
        writer = RunWriter(folder, environment, data.score_names, rows=data.rows)
        contest.folder = functools.partial(_begun, writer, experiment)
        contest.advice = f"`mtl-search compare {folder}` with the same baselines goes on"
    contest.progress.console = Console(stderr=True) if show_progress else None
    count = _worker_count(experiment, workers, len(contest.pending), joins=address is not None)
    return _hold(contest, experiment.search, count, address, evaluate)


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
    entries = (
        [architecture_entry(what, experiment)]
        if isinstance(what, Architecture)
        else [baseline_entry(one, experiment) for one in load_baselines([what])]
    )
    data = prepare(experiment)
    if run is not None:
        _check_data(run, data, "to train on it, or say `--like EXPERIMENT`")
    _check_entries(entries, experiment, data)
    with temporary_folder() as scratch:
        folder = scratch / "kept" if out is None else Path(out)
        make_folder(folder)
        with alone_in(folder):
            check_free(folder)
            contest = Contest(folder, data, experiment.training, entries, Picks.none(), seeds, split)
            contest.progress.console = Console(stderr=True)
            contest.advice = "nothing is kept" if out is None else f"what ended is in {folder}"
            contest.command = None
            settings = experiment.search.model_copy(update={"cpus": processors()})
            return _hold(contest, settings, workers=0)


def _check_data(run: Run, data: Dataset, what_for: str) -> None:
    changed = changed_data(run, data)
    if changed:
        raise RunFolderError(f"{run.path}: its data is not what the search saw: {changed[0]}. Restore it {what_for}.")


def _hold(
    contest: "Contest",
    settings: Search,
    workers: int | None,
    address: str | None = None,
    evaluate: Evaluate | None = None,
) -> Comparison:
    """Do the trainings of a contest that are missing, in a folder that this process is alone in."""
    work = Work(
        evaluate or functools.partial(evaluate_by_epoch, split=contest.split),
        contest.data,
        contest.training,
        settings.cpus,
    )
    with engine(work, settings, workers, address) as run_jobs, contest.folder():
        advise(contest.advice)
        contest.begin()
        try:
            with contest.progress:
                run_jobs(contest)
        except KeyboardInterrupt as error:
            left = len(contest.missing)
            raise SearchInterruptedError(f"interrupted: {left} trainings are left; {contest.advice}.") from error
        except ClusterError as error:
            raise ClusterError(f"{error}; {contest.advice}") from error
        finally:
            contest.finish()
    found = load_comparison(contest.path)
    assert found is not None
    return found


def baseline_entry(baseline: Baseline, experiment: Experiment) -> Entry:
    """A baseline on an experiment's backbone."""
    entrant = replace(baseline.entrant(experiment.backbone.build()), cosines=baseline.key in COSINES)
    about = {
        "key": baseline.key,
        "kind": "baseline",
        "recipe": baseline.recipe,
        "variant": baseline.variant,
        "description": baseline.description,
        "method": baseline.method.name,
        "options": dict(baseline.options),
        "balancing": (baseline.balancing or experiment.training.balancing).model_dump(mode="json"),
        "width_multiplier": baseline.width_multiplier,
        "curve": baseline.curve,
    }
    return Entry(baseline.key, entrant, about)


def architecture_entry(architecture: Architecture, experiment: Experiment) -> Entry:
    """An architecture from a file."""
    key = f"architecture-{architecture.id}"
    balancing = experiment.training.balancing.model_dump(mode="json")
    about = {"key": key, "kind": "architecture", "method": "etr_nlp", "balancing": balancing}
    return Entry(key, entrant_of(architecture), about)


def trial_entry(trial: Trial, names: Sequence[str], experiment: Experiment) -> Entry:
    """A trial of a search, from scratch.

    :param names: What it was picked as.
    """
    about = {
        "key": f"trial-{trial.number}",
        "kind": "pick",
        "trial": trial.number,
        "picks": list(names),
        "method": "etr_nlp",
        "balancing": experiment.training.balancing.model_dump(mode="json"),
    }
    entrant = replace(entrant_of(trial.architecture), cosines=True)
    return Entry(f"trial-{trial.number}", entrant, about, trial.number)


def _check_counts(seeds: int, workers: int | None = None) -> None:
    if not 1 <= seeds <= MOST_SEEDS:
        raise FieldError("seeds", f"must be from 1 to {MOST_SEEDS:,}", seeds)
    if workers is not None and not 0 <= workers <= MOST_MACHINES:
        raise FieldError("workers", f"must be from 0 to {MOST_MACHINES:,}", workers)


def _check_entries(entries: Sequence[Entry], experiment: Experiment, dataset: Dataset) -> dict[str, int]:
    """Build each network once, so that what cannot be built is said before anything is trained.

    :returns: Key -> learnable parameters, of those whose network is known before training.
    """
    found = {}
    for entry in entries:
        try:
            problem = entry.entrant.problem(dataset, experiment.training, seed=0)
            check_memory(entry.entrant.method.first_banks(problem), dataset)
            model = entry.entrant.method.build(problem)
            balancing = make_balancing(problem.training.balancing.name, problem.training.balancing.options)
            balancing.start([task.name for task in dataset.tasks], list(model.parameters()), seed=0)
        except UserError as error:
            raise UserError(f"baseline `{entry.key}`: {error}") from error
        if entry.entrant.method.measured_as_built:
            found[entry.key] = cost.measure(model, dataset.input_shape).learnable_parameters
    return found


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


class Picks:
    """Which trials of a run are compared, and as what.

    :param run: Where they are picked from.
    :param names: As :func:`compare` has them; the default ones of a run with complete trials for ``None``.
    :param known: Baseline -> learnable parameters, where known before training. Others are known later.
    :raises UserError: If a name is none, a trial is not there, or none is small enough.
    """

    def __init__(self, run: Run, names: Sequence[str] | None, known: Mapping[str, int]) -> None:
        only_compared = not run.trials and (run.path / COMPARISON).exists()
        self.run = run
        self.names = list(names if names is not None else () if only_compared else PICKS)
        self.chosen: dict[int, list[str]] = {}
        self.waiting: dict[str, str] = {}
        self.unresolved: dict[str, str] = {}
        if self.names and not run.front:
            raise RunFolderError(f"{run.path}: no trial of this run is complete, so there is none to pick.")
        for name in self.names:
            self._choose(name, known)

    @classmethod
    def none(cls) -> "Picks":
        """No picks: a comparison without a search."""
        picks = cls.__new__(cls)
        picks.names, picks.chosen, picks.waiting, picks.unresolved = [], {}, {}, {}
        return picks

    def baselines_needed(self) -> set[str]:
        """The baselines that a pick waits for."""
        return set(self.waiting.values())

    def resolve(self, baseline: str, parameters: int | None) -> Trial | None:
        """The pick that waited for a baseline, now that its trainings ended.

        :param parameters: Its learnable parameters; ``None`` if no training of it is complete.
        """
        name = next(pick for pick, key in self.waiting.items() if key == baseline)
        del self.waiting[name]
        if parameters is None:
            self.unresolved[name] = f"no training of {baseline} is complete"
            return None
        trial = self._matched(parameters)
        if trial is None:
            self.unresolved[name] = f"no trial of the front has at most the {parameters:,} parameters of {baseline}"
            return None
        self.chosen.setdefault(trial.number, []).append(name)
        return trial

    def _choose(self, name: str, known: Mapping[str, int]) -> None:
        if name.startswith(MATCHED) and name.removeprefix(MATCHED) not in known:
            self.waiting[name] = name.removeprefix(MATCHED)
        else:
            self.chosen.setdefault(self._pick(name, known).number, []).append(name)

    def _pick(self, name: str, known: Mapping[str, int]) -> Trial:
        if name.isdecimal():
            trial = self.run.trial(int(name))
            if trial.state is not State.COMPLETE:
                raise RunFolderError(f"{self.run.path}: trial {name} is {trial.state.value}, not complete.")
            return trial
        if name.startswith(MATCHED):
            limit = known[name.removeprefix(MATCHED)]
            found = self._matched(limit)
            if found is None:
                least = self.run.front[0].learnable_parameters
                raise UserError(
                    f"pick `{name}`: no trial of the front has at most {limit:,} learnable parameters; "
                    f"the smallest has {least:,}."
                )
            return found
        if name == "knee":
            assert self.run.knee is not None
            return self.run.knee
        if name == "smallest":
            return min(self.run.front, key=lambda trial: (trial.learnable_parameters, trial.number))
        if name == "best":
            return max(self.run.front, key=self._quality)
        raise UnknownNameError("pick", name, [*PICKS, f"{MATCHED}<baseline>", "<trial>"])

    def _matched(self, limit: float) -> Trial | None:
        small = [trial for trial in self.run.front if trial.learnable_parameters <= limit]
        return max(small, key=self._quality, default=None)

    def _quality(self, trial: Trial) -> float:
        """The experiment's first quality, higher is better."""
        quality = self.run.qualities[0]
        value = trial.value(quality)
        assert value is not None
        return float(value) if direction_of(quality) == "maximize" else -float(value)


class Contest:
    """The trainings of a comparison: a source for the engine. What ended before is not done again.

    :param path: The run's folder.
    :param dataset: With all its splits.
    :param split: ``test``: trained on training and validation samples; ``val``: on the training samples.
    :raises UserError: If a pick waits for a baseline that does not take part, or the folder holds a comparison that was
        made in another way.
    """

    def __init__(
        self,
        path: Path,
        dataset: Dataset,
        training: Training,
        entries: Sequence[Entry],
        picks: Picks,
        seeds: int,
        split: FinalSplit,
    ) -> None:
        self.path, self.training, self.picks, self.split = path, training, picks, split
        self.folder: Callable[[], AbstractContextManager[None]] = nullcontext
        self.advice = "the same command goes on"
        self.command: str | None = "compare"
        self.data = dataset.merged() if split == "test" else dataset.without("test")
        self.entries = {entry.key: entry for entry in entries}
        for missing in sorted(picks.baselines_needed() - set(self.entries)):
            raise UserError(
                f"pick `{MATCHED}{missing}` needs the baseline `{missing}`: add it to those to compare with."
            )
        for number, names in picks.chosen.items():
            self._add(trial_entry(picks.run.trial(number), names, picks.run.experiment))
        self.before = load_comparison(path)
        self.seeds = seeds
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        if self.before is not None:
            self._check_same(self.before)
            self.outcomes = {(one.entrant, one.seed): one for one in self.before.outcomes}
            self._forget_what_changed(self.before)
        self.open: dict[int, tuple[str, int]] = {}
        self.numbers = 0
        self.pending = [(key, seed) for seed in range(seeds) for key in self.entries if not self._done(key, seed)]
        for key, seed in self.pending:
            if (place := outcome_folder(path, key, seed).parent).exists() and not place.is_dir():
                raise RunFolderError(f"{place}: is a file, but must be the folder of an entrant: move it away.")
            if start := self._start(key, seed):
                check_weights(start)
        self.progress = Trainings(len(self.pending))

    @property
    def missing(self) -> list[tuple[str, int]]:
        """Entrant and seed of the trainings that are not done."""
        return [*self.pending, *self.open.values()]

    def begin(self) -> None:
        """Write what is asked for."""
        self.environment = describe_environment(seed=0)
        self._write_asked()
        self._resolve_waiting()

    def finish(self) -> None:
        """Write when it ended."""
        self.environment["finished"] = now()
        self._write_asked()

    # What the engine calls

    def ask(self) -> Job | Wait | None:
        """The next training whose beginning is known."""
        for place, (key, seed) in enumerate(self.pending):
            if not self._waits(key, seed):
                del self.pending[place]
                number, self.numbers = self.numbers, self.numbers + 1
                self.open[number] = (key, seed)
                self.progress.start(number, f"{key}, seed {seed}")
                return Job(number, self._entrant(key, seed), seed)
        return Wait() if self.pending or (self.open and self.picks.waiting) else None

    def report(self, number: int, report: Report) -> bool:
        """An epoch of a training, or its end; it always goes on to its end."""
        self.progress.epoch(number, report.phase, report.epoch)
        if report.done:
            self._book(number, report)
        return not report.done

    def _book(self, number: int, report: Report) -> None:
        missing = missing_scores(self.data.tasks, report.scores)
        if missing:
            self.fail(number, f"the evaluation gave no score {', '.join(missing)}")
            return
        wrong = [f"{name} = {value}" for name, value in report.scores.items() if not math.isfinite(value)]
        if wrong:
            self.fail(number, f"the scores are not finite: {', '.join(wrong)}")
            return
        key, seed = self.open[number]
        phases = {**self._phases_before(key, seed), **report.phases}
        outcome = self._outcome(key, seed, report, phases)
        details = {**report.details, "phases": {name: asdict(phase) for name, phase in phases.items()}}
        with self._writing():
            save_weights(write_details(self.path, outcome, details), report.weights)
        self._end(number, outcome)

    def fail(self, number: int, reason: str) -> None:
        """A training ended by an error."""
        key, seed = self.open[number]
        entry = self.entries[key]
        failed = Outcome(key, State.FAILED, entry.entrant.method.name, seed, self.split, entry.trial, error=reason)
        self._end(number, replace(failed, balancing=entry.about["balancing"]["name"]))

    # Its parts

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """
        :raises StorageError: If something cannot be written.
        """
        try:
            yield
        except OSError as error:
            raise StorageError(self.path, error, self.command) from error

    def _write_asked(self) -> None:
        with self._writing():
            write_asked(self.path, self._asked())

    def _add(self, entry: Entry) -> None:
        self.entries[entry.key] = entry

    def _check_same(self, before: Comparison) -> None:
        """Trainings made in another way are not mixed with new ones."""
        asked = before.asked
        kept = {"split": asked["split"], "training": asked["training"]}
        now_asked = {"split": self.split, "training": self.training.model_dump(mode="json")}
        for name, value in now_asked.items():
            if kept[name] != value:
                raise RunFolderError(
                    f"{self.path / COMPARISON}: holds a comparison with `{name}` {kept[name]}, which must be the same "
                    f"to go on with it, but got {value}."
                )
        for about in asked["entrants"]:
            changed = self._changed(about)
            if changed and before.of(about["key"]):
                found = self.entries[about["key"]].about.get(changed[0])
                raise RunFolderError(
                    f"{self.path / COMPARISON}: `{about['key']}` was trained with {changed[0]} "
                    f"{about.get(changed[0])}, which must be the same to go on, but got {found}. "
                    "Give the recipe another name to have both."
                )

    def _changed(self, about: Mapping[str, Any]) -> list[str]:
        """What of an entrant of an earlier call is different now."""
        entry = self.entries.get(about["key"])
        same = ("method", "options", "balancing", "width_multiplier", "trial")
        return [name for name in same if entry and about.get(name) != entry.about.get(name)]

    def _forget_what_changed(self, before: Comparison) -> None:
        """Trainings that failed say nothing of a recipe that was mended since."""
        changed = {about["key"] for about in before.asked["entrants"] if self._changed(about)}
        self.outcomes = {one: outcome for one, outcome in self.outcomes.items() if one[0] not in changed}

    def _asked(self) -> dict[str, Any]:
        """What ``comparison.json`` says: entrants of earlier calls stay in it."""
        earlier = {about["key"]: about for about in self.before.asked["entrants"]} if self.before else {}
        entrants = {**earlier, **{key: dict(entry.about) for key, entry in self.entries.items()}}
        picked_now = {name for names in self.picks.chosen.values() for name in names}
        for key, about in entrants.items():
            kept = [name for name in earlier.get(key, {}).get("picks", []) if name not in picked_now]
            own = self.entries[key].about.get("picks", []) if key in self.entries else []
            seeds = max(earlier.get(key, {}).get("seeds", 0), self.seeds if key in self.entries else 0)
            entrants[key] = {**about, "seeds": seeds, **({"picks": [*kept, *own]} if "picks" in about else {})}
        unresolved = dict(self.before.asked["unresolved"]) if self.before else {}
        unresolved = {name: reason for name, reason in unresolved.items() if name not in picked_now}
        return {
            "seeds": max(about["seeds"] for about in entrants.values()),
            "now": list(self.entries),
            "split": self.split,
            "training": self.training.model_dump(mode="json"),
            "entrants": list(entrants.values()),
            "unresolved": {**unresolved, **self.picks.unresolved},
            "environment": self.environment,
            "revisions": self._revisions(),
        }

    def _revisions(self) -> list[Any]:
        """The source revisions that trainings were made with, oldest first."""
        earlier = list(self.before.asked.get("revisions", [])) if self.before else []
        own = self.environment["source_revision"]
        return earlier if own in earlier else [*earlier, own]

    def _done(self, key: str, seed: int) -> bool:
        found = self.outcomes.get((key, seed))
        return found is not None and found.state is State.COMPLETE

    def _waits(self, key: str, seed: int) -> bool:
        """Whether it starts from weights that are still being trained."""
        source = self.entries[key].entrant.method.starts_from
        return bool(source) and ((source, seed) in self.pending or (source, seed) in self.open.values())

    def _start(self, key: str, seed: int) -> Path | None:
        """The folder of the trained weights that an entrant starts from, where there are some."""
        source = self.entries[key].entrant.method.starts_from
        if source not in self.entries or not self._done(source, seed):
            return None
        alike = all(self.entries[source].about[name] == self.entries[key].about[name] for name in ALIKE)
        folder = outcome_folder(self.path, source, seed)
        return folder if alike and has_weights(folder) else None

    def _entrant(self, key: str, seed: int) -> Entrant:
        entrant, start = self.entries[key].entrant, self._start(key, seed)
        return entrant if start is None else replace(entrant, given=load_weights(start))

    def _phases_before(self, key: str, seed: int) -> dict[str, Phase]:
        """What the weights took that it started from."""
        if self._start(key, seed) is None:
            return {}
        source = self.entries[key].entrant.method.starts_from
        found = self.outcomes[source, seed]
        name = f"{source} initialisation".replace("_", "-")
        return {name: Phase(found.epochs, found.training_samples, found.seconds, found.training_macs)}

    def _outcome(self, key: str, seed: int, report: Report, phases: Mapping[str, Phase]) -> Outcome:
        entry = self.entries[key]
        assert report.cost is not None
        return Outcome(
            entrant=key,
            state=State.COMPLETE,
            method=entry.entrant.method.name,
            seed=seed,
            split=self.split,
            trial=entry.trial,
            balancing=entry.about["balancing"]["name"],
            epochs=report.epoch,
            seconds=sum(phase.seconds for phase in phases.values()),
            accuracy=mean_quality(self.data.tasks, report.scores),
            learnable_parameters=report.cost.learnable_parameters,
            fixed_parameters=report.cost.fixed_parameters,
            macs=report.cost.macs,
            macs_of_one_task=report.macs_of_one_task,
            training_samples=sum(phase.samples for phase in phases.values()),
            training_macs=sum(phase.macs for phase in phases.values()),
            scores=dict(report.scores),
        )

    def _end(self, number: int, outcome: Outcome) -> None:
        del self.open[number]
        self.outcomes[outcome.entrant, outcome.seed] = outcome
        with self._writing():
            write_outcomes(self.path, list(self.outcomes.values()), self.data.score_names)
        self.progress.end(number, outcome)
        self._resolve_waiting()

    def _resolve_waiting(self) -> None:
        """Pick what waited for a baseline that is now trained."""
        for baseline in sorted(self.picks.baselines_needed()):
            missing = {key for key, _ in self.missing}
            if baseline in missing:
                continue
            found = [one for (key, _), one in self.outcomes.items() if key == baseline and one.state is State.COMPLETE]
            sizes = [one.learnable_parameters for one in found]
            trial = self.picks.resolve(baseline, round(sum(sizes) / len(sizes)) if sizes else None)
            if trial is not None:
                entry = trial_entry(trial, self.picks.chosen[trial.number], self.picks.run.experiment)
                self._add(entry)
                new = [(entry.key, seed) for seed in range(self.seeds) if not self._done(entry.key, seed)]
                self.pending += [one for one in new if one not in self.missing]
                self.progress.asked += len(new)
            self._write_asked()
