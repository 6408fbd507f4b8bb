"""Promising trials are trained again with other seeds: each once, whatever happens, and the means count."""

import shutil
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from confirm import MODEL, SINGLE, Judge, Problem, Way, searched
from mtl_search.errors import ExperimentError, RunFolderError, SearchInterruptedError
from mtl_search.evaluation import Report
from mtl_search.internal.layout import CONFIRMATIONS
from mtl_search.internal.seeds import derived_seed
from mtl_search.runs.belief import Beliefs
from mtl_search.runs.chances import chances, promising
from mtl_search.runs.confirmations import Confirmation
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.picks import pick
from mtl_search.runs.status import status
from mtl_search.searching.run import resume, search

TRIALS, TOP, SEEDS = 14, 2, 2


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem(3)


def asked(problem: Problem, **search: object) -> object:
    confirm = {"top": TOP, "seeds": SEEDS}
    return problem.experiment.changed({"search": {"trials": TRIALS, "workers": 0, "confirm": confirm, **search}})


@pytest.fixture(scope="module")
def run(problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("confirmed") / "run"
    return search(asked(problem), problem.dataset, out=folder, evaluate=problem.evaluate)


def test_confirmations_are_trials_of_the_budget(run: Run, problem: Problem) -> None:
    assert len(run.trials) == TRIALS - TOP * SEEDS
    seeds = [derived_seed(run.experiment.search.seed, f"confirmation {number}") for number in range(SEEDS)]
    chosen = promising(Beliefs(run.experiment, run.complete), TOP)
    assert [(one.trial, one.seed) for one in run.confirmations] == [(one, seed) for seed in seeds for one in chosen]
    for one in run.confirmations:
        assert one.accuracy == pytest.approx(problem.drawn(run.trial(one.trial).architecture.id, one.seed))
    assert not status(run).ended_early
    assert status(run).confirmations == {"asked": 4, "trained": 4}


def test_the_means_count_all_trainings_of_a_trial(run: Run) -> None:
    estimates = run.beliefs.of("accuracy").estimates
    confirmed = {one.trial for one in run.confirmations}
    assert {number for number, one in estimates.items() if one.trainings == 1 + SEEDS} == confirmed
    others = [one.error for number, one in estimates.items() if number not in confirmed]
    assert max(estimates[number].error for number in confirmed) < statistics.median(others)


def test_a_pick_says_how_sure_it_is(run: Run) -> None:
    found = pick(run, "best")
    assert run.chances is not None
    assert found.chance == run.chances.best[found.trial.number]
    assert sum(run.chances.best.values()) == pytest.approx(1)
    assert 0 < found.chance <= 1
    assert found.to_dict()["trainings"] == found.estimate.trainings


@pytest.mark.parametrize("trainings", [3, TRIALS - 4, TRIALS - 3, TRIALS - 1])
@pytest.mark.thin(4)
def test_a_search_that_is_cut_off_confirms_the_same(trainings: int, run: Run, problem: Problem, tmp_path: Path) -> None:
    begun: list[tuple[str, int]] = []

    def until_cut_off(*given: object) -> Iterator[Report]:
        begun.append((given[0].id, given[3]))
        if len(begun) == trainings + 1:
            raise KeyboardInterrupt
        yield from problem.evaluate(*given)

    with pytest.raises(SearchInterruptedError, match=f"after {trainings} of {TRIALS} trials"):
        search(asked(problem), problem.dataset, out=tmp_path / "run", evaluate=until_cut_off)
    with (tmp_path / "run" / CONFIRMATIONS).open("a") as table:
        table.write("3,12")  # what a dying machine wrote of a row
    assert len(load_run(tmp_path / "run").confirmations) == max(0, trainings - (TRIALS - TOP * SEEDS))
    again = resume(tmp_path / "run", problem.dataset, evaluate=until_cut_off)
    assert (tmp_path / "run" / CONFIRMATIONS).read_text() == (run.path / CONFIRMATIONS).read_text()
    assert sorted(begun[:trainings] + begun[trainings + 1 :]) == sorted(set(begun)), "each training once"
    assert [trial.number for trial in again.front] == [trial.number for trial in run.front]


def test_a_row_that_stands_twice_is_one(run: Run, problem: Problem, tmp_path: Path) -> None:
    copied = copy_of(run, tmp_path)
    lines = (copied / CONFIRMATIONS).read_text().splitlines(keepends=True)
    (copied / CONFIRMATIONS).write_text("".join([*lines, lines[1]]))
    assert load_run(copied).confirmations == run.confirmations
    resume(copied, problem.dataset, evaluate=problem.evaluate)
    assert (copied / CONFIRMATIONS).read_text() == "".join(lines)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "0,5,1,0.0,,,0.5,0.0\n",
            r"line 6: a confirmation without an error must have .*`accuracy`",
        ),
        ("x,5,1,0.0,0.5,,0.5,0.0\n", r"confirmations\.csv: line 6: `trial` must be a whole number"),
        ("0,5,1,0.0,nan,,0.5,0.0\n", r"confirmations\.csv: line 6: `accuracy` must be a finite number"),
        ("0,5,1\n", r"confirmations\.csv: line 6: has 3 values"),
    ],
)
def test_a_wrong_row_is_named(line: str, message: str, run: Run, tmp_path: Path) -> None:
    copied = copy_of(run, tmp_path)
    with (copied / CONFIRMATIONS).open("a") as table:
        table.write(line)
    with pytest.raises(RunFolderError, match=message):
        load_run(copied)


def test_a_confirmation_of_no_trial_does_not_count(run: Run, tmp_path: Path) -> None:
    copied = copy_of(run, tmp_path)
    with (copied / CONFIRMATIONS).open("a") as table:
        table.write("99,5,1,0.0,0.5,,0.5,0.0\n")
    found = load_run(copied)
    assert found.confirmations == run.confirmations
    assert "confirmations.csv: rows of trial 99 do not count" in found.remarks[0]


def test_a_confirmation_that_fails_is_told_and_tells_nothing(problem: Problem, tmp_path: Path) -> None:
    def fails_again(*given: object) -> Iterator[Report]:
        if given[3]:
            raise RuntimeError("out of luck")
        yield from problem.evaluate(*given)

    run = search(asked(problem), problem.dataset, out=tmp_path / "run", evaluate=fails_again)
    assert [one.error for one in run.confirmations] == ["RuntimeError: out of luck"] * 4
    assert all(one.trainings == 1 for one in run.beliefs.of("accuracy").estimates.values())
    assert not status(run).ended_early


def test_confirming_must_leave_something_to_search(problem: Problem) -> None:
    with pytest.raises(ExperimentError, match=r"`search\.trials` must be above .*, 4, which are of them, but got 4"):
        asked(problem, trials=4)


def test_few_trials_are_told_as_trained(run: Run) -> None:
    few = Beliefs(run.experiment, run.complete[:7])
    assert few.of("accuracy").source == "trained"
    assert [few.value(trial, "accuracy") for trial in run.complete[:7]] == [one.accuracy for one in run.complete[:7]]
    assert chances(few) is None


def test_where_nothing_is_explained_means_are_those_of_the_trainings(run: Run) -> None:
    """Qualities that have nothing to do with what was trained."""
    order = sorted(run.complete, key=lambda trial: derived_seed(7, str(trial.number)))
    trials = [replace(trial, accuracy=0.5 + 0.01 * (place % 2)) for place, trial in enumerate(order)]
    alone = Beliefs(run.experiment, trials).of("accuracy")
    assert alone.source == "trained"
    assert alone.reason == "choices and costs tell no more of it than chance would"
    number, value = trials[0].number, trials[0].accuracy
    again = [Confirmation(number, seed, accuracy=value + change) for seed, change in ((1, 0.02), (2, 0.04))]
    means = Beliefs(run.experiment, trials, again).of("accuracy")
    assert means.source == "means"
    assert means.estimates[number].mean == pytest.approx(value + 0.02)
    assert means.estimates[number].error == pytest.approx(0.02 / 3**0.5)  # the spread of -0.02, 0, 0.02
    assert means.estimates[trials[1].number].error == pytest.approx(0.02)


@pytest.mark.slow
def test_picks_by_means_are_told_closer_to_the_truth() -> None:
    """A smaller version of benchmarks/confirm.py: four problems, twice as much noise."""
    told: dict[Way, list[dict[str, float]]] = {SINGLE: [], MODEL: [], Way(True, 3, 2): []}
    for seed in range(4):
        problem = Problem(seed, noise=0.01)
        found = searched(problem, 24)
        judge = Judge(problem, [found.trial(number) for number in found.ended])
        for way, rows in told.items():
            rows.append(judge.judged(way))
    flattered = {way: statistics.fmean(row["flattered"] for row in rows) for way, rows in told.items()}
    assert flattered[SINGLE] > 2 * abs(flattered[MODEL])
    front = {way: statistics.fmean(row["front"] for row in rows) for way, rows in told.items()}
    assert front[MODEL] > front[SINGLE]


def copy_of(run: Run, folder: Path) -> Path:
    return Path(shutil.copytree(run.path, folder / "copy"))
