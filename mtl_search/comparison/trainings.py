"""The trainings of a comparison, and what is kept of each as it ends."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from mtl_search.comparison.budget import Budget, at_length, twin_of
from mtl_search.comparison.entrants import Entry
from mtl_search.comparison.lineup import Lineup
from mtl_search.comparison.picks import MATCHED
from mtl_search.comparison.progress import ComparisonProgress
from mtl_search.comparison.results import (
    Comparison,
    Outcome,
    load_comparison,
    outcome_folder,
    write_details,
    write_outcomes,
    write_request,
)
from mtl_search.comparison.tuning import Tuned
from mtl_search.datasets import Dataset
from mtl_search.errors import RunFolderError, StorageError, UserError
from mtl_search.evaluation import Entrant, Report, mean_quality, wrong_scores
from mtl_search.execution.jobs import Job, Wait
from mtl_search.internal.layout import COMPARISON
from mtl_search.runs.environment import describe_environment, now
from mtl_search.runs.trial import State
from mtl_search.runs.weights import check_weights, has_weights, load_weights, save_weights
from mtl_search.training.monitor import Phase

ALIKE = ("width_multiplier", "balancing")
"""What a baseline must have in common with the one whose trained weights it starts from; else it trains its own."""

FinalSplit = Literal["test", "val"]


class ComparisonTrainings:
    """The trainings of a comparison: a source for the engine. What ended before is not done again.

    :param path: Folder that the comparison is written to.
    :param dataset: The dataset with all its splits.
    :param lineup: Everybody who takes part: baselines, picks, architectures and controls.
    :param split: ``test``: trained on training and validation samples; ``val``: on the training samples.
    :param seeds: Trainings of each entrant.
    :param tuning: The settings that were chosen for each; ``None`` where they were not tuned.
    :param first_seed: Seed of the first training of each entrant; the others follow it. A comparison that the folder
        holds keeps its own.
    :param budget: What every twin spends, at equal compute; no entrant has a twin if left out.
    :param command: That goes on, for messages; ``None`` where none does.
    :raises UserError: If a pick waits for a baseline that does not take part, or the folder holds a comparison that was
        made in another way.
    """

    def __init__(
        self,
        path: Path,
        dataset: Dataset,
        lineup: Lineup,
        seeds: int,
        split: FinalSplit,
        tuning: Tuned | None = None,
        first_seed: int = 0,
        budget: Budget | None = None,
        command: str | None = "compare",
    ) -> None:
        picks, self.lineup, self.tuning, self.command = lineup.picks, lineup, tuning, command
        self.path, self.training, self.picks, self.split = path, lineup.experiment.training, picks, split
        self.weights = lineup.experiment.task_weights
        self.data = dataset.merged() if split == "test" else dataset.without("test")
        self.budget = budget
        self.entries: dict[str, Entry] = {}
        for entry in lineup.entries(self._tuned):
            self._add(entry)
        for missing in sorted(picks.baselines_needed() - set(self.entries)):
            raise UserError(
                f"pick `{MATCHED}{missing}` needs the baseline `{missing}`: add it to those to compare with."
            )
        for number in picks.chosen:
            self._add(lineup.pick(number, self._tuned))
        self.before = load_comparison(path)
        self.first_seed = first_seed if self.before is None else self.before.first_seed
        self.seeds = range(self.first_seed, self.first_seed + seeds)
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        if self.before is not None:
            self._check_same(self.before)
            self.outcomes = {(one.entrant, one.seed): one for one in self.before.outcomes}
            self._forget_what_changed(self.before)
        self.open: dict[int, tuple[str, int]] = {}
        self.numbers = 0
        self.pending = [(key, seed) for seed in self.seeds for key in self.entries if not self._done(key, seed)]
        for key, seed in self.pending:
            if (place := outcome_folder(path, key, seed).parent).exists() and not place.is_dir():
                raise RunFolderError(f"{place}: is a file, but must be the folder of an entrant: move it away.")
            if start := self._start(key, seed):
                check_weights(start)
        self.progress = ComparisonProgress(len(self.pending))

    @property
    def missing(self) -> list[tuple[str, int]]:
        """Entrant and seed of the trainings that are not done."""
        return [*self.pending, *self.open.values()]

    def begin(self) -> None:
        """Write what is asked for."""
        self.environment = describe_environment(seed=0)
        self._write_request()
        self._resolve_waiting()

    def finish(self) -> None:
        """Write when it ended."""
        self.environment["finished"] = now()
        self._write_request()

    # What the engine calls

    def ask(self) -> Job | Wait | None:
        """The next training whose beginning is known."""
        while (begun := self._begin_next()) is not None:
            number, key, seed = begun
            if not self._has_no_length(key, seed):
                self.progress.start(number, f"{key}, seed {seed}")
                return Job(number, self._entrant(key, seed), seed)
            self.fail(number, "its training at equal epochs failed, so what it spends is not known")
        return Wait() if self.pending or (self.open and self.picks.waiting) else None

    def _begin_next(self) -> tuple[int, str, int] | None:
        """Open the first training that waits for no other: its number, entrant and seed; ``None`` where all wait."""
        for place, (key, seed) in enumerate(self.pending):
            if not self._waits(key, seed):
                del self.pending[place]
                number, self.numbers = self.numbers, self.numbers + 1
                self.open[number] = (key, seed)
                return number, key, seed
        return None

    def report(self, number: int, report: Report) -> bool:
        """An epoch of a training, or its end; it always goes on to its end."""
        self.progress.epoch(number, report.phase, report.epoch)
        if report.done:
            self._book(number, report)
        return not report.done

    def _book(self, number: int, report: Report) -> None:
        if wrong := wrong_scores(self.data.tasks, report):
            self.fail(number, wrong)
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

    def _write_request(self) -> None:
        with self._writing():
            write_request(self.path, self._request())

    def _add(self, entry: Entry) -> list[str]:
        """Let an entrant take part, and its twin, if there are twins; gives their keys."""
        added = [entry] if self.budget is None else [entry, twin_of(entry, self.budget.factor)]
        self.entries |= {one.key: one for one in added}
        return [one.key for one in added]

    def _check_same(self, before: Comparison) -> None:
        """Trainings made in another way are not mixed with new ones."""
        request = before.request
        kept = {"split": request["split"], "training": request["training"]}
        wanted = {"split": self.split, "training": self.training.model_dump(mode="json")}
        for name, value in wanted.items():
            if kept[name] != value:
                raise RunFolderError(
                    f"{self.path / COMPARISON}: holds a comparison with `{name}` {kept[name]}, which must be the same "
                    f"to go on with it, but got {value}."
                )
        for about in request["entrants"]:
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
        same = ("method", "options", "balancing", "width_multiplier", "trial", "training", "budget")
        return [name for name in same if entry and (about.get(name) or None) != (entry.about.get(name) or None)]

    def _forget_what_changed(self, before: Comparison) -> None:
        """Trainings that failed say nothing of a recipe that was mended since."""
        changed = {about["key"] for about in before.request["entrants"] if self._changed(about)}
        self.outcomes = {one: outcome for one, outcome in self.outcomes.items() if one[0] not in changed}

    def _request(self) -> dict[str, Any]:
        """What ``comparison.json`` says: entrants of earlier calls stay in it."""
        earlier = {about["key"]: about for about in self.before.request["entrants"]} if self.before else {}
        entrants = {**earlier, **{key: dict(entry.about) for key, entry in self.entries.items()}}
        picked_now = {name for names in self.picks.chosen.values() for name in names}
        for key, about in entrants.items():
            kept = [name for name in earlier.get(key, {}).get("picks", []) if name not in picked_now]
            own = self.entries[key].about.get("picks", []) if key in self.entries else []
            reasons = {**earlier.get(key, {}).get("reasons", {}), **about.get("reasons", {})}
            seeds = max(earlier.get(key, {}).get("seeds", 0), len(self.seeds) if key in self.entries else 0)
            entrants[key] = {**about, "seeds": seeds, **({"picks": [*kept, *own]} if "picks" in about else {})}
            if "reasons" in about:
                entrants[key]["reasons"] = {name: reasons[name] for name in entrants[key]["picks"] if name in reasons}
        unresolved = dict(self.before.request["unresolved"]) if self.before else {}
        unresolved = {name: reason for name, reason in unresolved.items() if name not in picked_now}
        return {
            "seeds": max(about["seeds"] for about in entrants.values()),
            "first_seed": self.first_seed,
            "now": list(self.entries),
            "split": self.split,
            "training": self.training.model_dump(mode="json"),
            "entrants": list(entrants.values()),
            "unresolved": {**unresolved, **self.picks.unresolved},
            **({"control": control} if (control := self._all_controls()) else {}),
            **({"budget": budget} if (budget := self._all_budgets()) else {}),
            "environment": self.environment,
            "revisions": self._revisions(),
            **({"tuning": self._all_tuned(self.tuning)} if self.tuning else {}),
        }

    def _all_budgets(self) -> Any:
        """What ``comparison.json`` says of the budget of twins, those of earlier calls included."""
        return self.budget.to_dict() if self.budget else self.before and self.before.request.get("budget")

    def _all_controls(self) -> dict[str, Any]:
        """What ``comparison.json`` says of the controls, those of earlier calls included."""
        earlier = dict(self.before.request.get("control", {})) if self.before else {}
        return {**earlier, **{control.name: control.to_dict() for control in self.lineup.controls}}

    @property
    def _tuned(self) -> Mapping[str, Mapping[str, Any]]:
        return self.tuning.found if self.tuning else {}

    def _all_tuned(self, tuning: Tuned) -> dict[str, Any]:
        """What ``comparison.json`` says of the tuning: of entrants of earlier calls, too."""
        earlier = (self.before.request.get("tuning") or {"subjects": []})["subjects"] if self.before else []
        subjects = {about["key"]: about for about in (*earlier, *tuning.subjects)}
        return {"trainings": tuning.trainings, "seed": tuning.seed, "subjects": list(subjects.values())}

    def _revisions(self) -> list[Any]:
        """The source revisions that trainings were made with, oldest first."""
        earlier = list(self.before.request.get("revisions", [])) if self.before else []
        own = self.environment["source_revision"]
        return earlier if own in earlier else [*earlier, own]

    def _done(self, key: str, seed: int) -> bool:
        found = self.outcomes.get((key, seed))
        return found is not None and found.state is State.COMPLETE

    def _waits(self, key: str, seed: int) -> bool:
        """Whether it starts from weights that are still being trained, or is the twin of what is."""
        source = self._twin_of(key) or self.entries[key].entrant.method.starts_from
        return bool(source) and ((source, seed) in self.pending or (source, seed) in self.open.values())

    def _twin_of(self, key: str) -> str:
        """The entrant whose twin it is; empty for one that is none."""
        return str(self.entries[key].about.get("twin_of", ""))

    def _has_no_length(self, key: str, seed: int) -> bool:
        """Whether it is a twin, and what the training takes that it is the twin of is not known."""
        source = self._twin_of(key)
        return bool(source) and not self._done(source, seed)

    def _start(self, key: str, seed: int) -> Path | None:
        """The folder of the trained weights that an entrant starts from, where there are some."""
        source = self.entries[key].entrant.method.starts_from
        if self._twin_of(key) or source not in self.entries or not self._done(source, seed):
            return None  # a twin pays for all of its phases
        alike = all(self.entries[source].about[name] == self.entries[key].about[name] for name in ALIKE)
        folder = outcome_folder(self.path, source, seed)
        return folder if alike and has_weights(folder) else None

    def _entrant(self, key: str, seed: int) -> Entrant:
        entrant, start = self.entries[key].entrant, self._start(key, seed)
        if self.budget is not None and (source := self._twin_of(key)):
            return at_length(entrant, self.budget.epoch_length(self.outcomes[source, seed].training_macs))
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
            accuracy=mean_quality(self.data.tasks, report.scores, self.weights),
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
            write_outcomes(self.path, list(self.outcomes.values()), self.data.final_score_names)
        self.progress.end(number, f"{outcome.entrant}, seed {outcome.seed}", outcome.accuracy, outcome.error)
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
                self.progress.say(self.picks.texts()[-1])
                keys = self._add(self.lineup.pick(trial.number))
                new = [(key, seed) for seed in self.seeds for key in keys if not self._done(key, seed)]
                self.pending += [one for one in new if one not in self.missing]
                self.progress.asked += len(new)
            self._write_request()
