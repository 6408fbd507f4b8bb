"""Equal tuning: what is tried and chosen, and that a comparison is tuned once, whatever interrupts it."""

import csv
import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from made_comparisons import Cut
from made_runs import made_experiment
from mtl_search import write_report
from mtl_search.comparison.compare import compare
from mtl_search.comparison.results import load_comparison
from mtl_search.comparison.tuning import load_tuning
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import FieldError, RunFolderError, SearchInterruptedError, UserError
from mtl_search.evaluation import Report
from mtl_search.runs.folder import Run
from mtl_search.samplers.tuning import Told, Tuner
from mtl_search.searching.run import search
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.ranges import Range

RATES = Range(0.001, 0.05, log=True)


def tuner(trainings: int, seed: int = 0, **offers: Any) -> Tuner:
    usual = {"rate": 0.003, **{name: offer[0] for name, offer in offers.items()}}
    return Tuner({"rate": RATES, **offers}, usual, trainings, {"rate": (1e-6, 1.0)}, seed)


def told_by(one: Tuner, best: float, noise: float = 0.0, seed: int = 0) -> list[Told]:
    """Trainings whose quality falls with the squared logarithm of what the rate is off."""
    rng, told = random.Random(seed), list[Told]()
    while (values := one.ask(told)) is not None:
        told.append(Told(values, 0.9 - 0.01 * math.log(values["rate"] / best) ** 2 + rng.gauss(0, noise)))
    return told


# What is tried


def test_the_usual_values_come_first_then_others_all_different() -> None:
    told = told_by(tuner(8), 0.02)
    assert told[0].values == {"rate": 0.003}
    assert len({one.values["rate"] for one in told}) == 8


@pytest.mark.slow
def test_eight_trainings_come_near_the_best_rate() -> None:
    """0.4 points of noise: the mean over seeds of what the chosen rate loses is far below it."""
    lost = []
    for seed in range(12):
        one = tuner(8, seed)
        chosen = one.chosen(told_by(one, 0.02, noise=0.004, seed=seed))
        assert chosen is not None
        lost.append(0.01 * math.log(chosen["rate"] / 0.02) ** 2)
    assert fmean(lost) < 0.002, "the usual rate loses 0.036"


def test_a_range_grows_once_where_the_best_lies_at_its_end() -> None:
    one = tuner(8)
    told = told_by(one, 0.2)
    (rates,) = one.offered(told).values()
    assert (rates.low, rates.high) == (0.001, pytest.approx(0.05 * math.sqrt(50), rel=0.01))
    assert one.offered(told[:5])["rate"] == RATES, "not before three quarters of the trainings"
    chosen = one.chosen(told)
    assert chosen is not None
    assert chosen["rate"] > 0.05


def test_a_range_grows_as_far_as_it_may() -> None:
    one = Tuner({"rate": RATES}, {"rate": 0.003}, 8, {"rate": (1e-6, 0.06)})
    assert one.offered(told_by(one, 0.2))["rate"].high == 0.06


def test_an_end_is_said() -> None:
    one = Tuner({"rate": RATES}, {"rate": 0.003}, 8, {"rate": (0.001, 0.05)})
    assert one.at_end(told_by(one, 0.2)) == {"rate": "high"}
    assert one.at_end(told_by(one, 0.01)) == {}


def test_options_that_are_no_numbers_are_all_tried() -> None:
    one = tuner(10, kind=("a", "b", "c"))
    told: list[Told] = []
    while (values := one.ask(told)) is not None:
        told.append(Told(values, {"a": 0.5, "b": 0.9, "c": 0.6}[values["kind"]]))
    chosen = one.chosen(told)
    assert chosen is not None
    assert chosen["kind"] == "b"
    assert {point.values["kind"] for point in told} == {"a", "b", "c"}


def test_tuning_ends_where_all_that_is_offered_was_tried() -> None:
    one = Tuner({"rate": (0.01, 0.02, 0.04)}, {"rate": 0.01}, 8, {})
    assert sorted(told.values["rate"] for told in told_by(one, 0.02)) == [0.01, 0.02, 0.04]


def test_a_failed_training_is_a_bad_one() -> None:
    one, told = tuner(8), list[Told]()
    while (values := one.ask(told)) is not None:
        told.append(Told(values, None if values["rate"] > 0.01 else values["rate"]))
    chosen = one.chosen(told)
    assert chosen is not None
    assert 0.005 < chosen["rate"] <= 0.01, "what is next to those that fail is not the best that is expected"
    assert tuner(2).chosen([Told({"rate": 0.003}, None)]) is None


# In a comparison


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    small = ["dataset.train=256", "dataset.val=64", "dataset.test=64", "training.epochs=1", "training.batch_size=64"]
    return made_experiment([*small, "search.trials=3", "search.workers=0"])


@pytest.fixture(scope="module")
def dataset(experiment: Experiment) -> Dataset:
    return load_dataset("multi_mnist", **experiment.dataset.options)


@pytest.fixture(scope="module")
def searched(experiment: Experiment, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return search(experiment, dataset, out=tmp_path_factory.mktemp("tuning") / "run")


@pytest.fixture
def folder(searched: Run, tmp_path: Path) -> Path:
    return shutil.copytree(searched.path, tmp_path / "run")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_entrant_has_the_same_number_of_trainings_once(folder: Path, dataset: Dataset) -> None:
    """Interrupted while it tunes and while it compares; the same call goes on and trains nothing twice."""
    asked: dict[str, Any] = {"baselines": ["hard_sharing", "cross_stitch"], "picks": ["best"], "seeds": 2, "tune": 4}
    for after, left in ((5, "7 of the trainings that tune are left"), (9, "4 trainings are left")):
        with pytest.raises(SearchInterruptedError, match=left):
            compare(folder, dataset, **asked, workers=0, evaluate=Cut(after))
    last = Cut(-1)
    found = compare(folder, dataset, **asked, workers=0, evaluate=last)
    assert len(last.rates) == 4
    assert [one.state.value for one in found.outcomes] == ["COMPLETE"] * 6
    rows = rows_of(folder / "tuning.csv")
    pick = next(about for about in found.request["entrants"] if about["kind"] == "pick")
    for key in ("hard_sharing", "cross_stitch", pick["key"]):
        assert [row["number"] for row in rows if row["subject"] == key] == ["0", "1", "2", "3"]
    assert len({row["seed"] for row in rows}) == 1
    assert rows[0]["seed"] not in {str(one.seed) for one in found.outcomes}


def test_what_was_chosen_is_what_is_trained_and_told(folder: Path, dataset: Dataset) -> None:
    seen = Cut(-1)
    found = compare(folder, dataset, baselines=["cross_stitch"], picks=[], seeds=1, tune=4, workers=0, evaluate=seen)
    (about,) = found.request["tuning"]["subjects"]
    best = max(load_tuning(folder), key=lambda one: one.accuracy or 0)
    assert set(about["offers"]) == {"training.learning_rate", "options.rate", "options.self_weight"}
    assert set(about["chosen"]) == set(about["offers"]) == set(best.values)
    (entrant,) = found.request["entrants"]
    assert entrant["training"] == {"learning_rate": about["chosen"]["training.learning_rate"]}
    assert seen.rates[-1] == about["chosen"]["training.learning_rate"]
    for name, value in about["chosen"].items():
        if name.startswith("options."):
            assert entrant["options"][name.removeprefix("options.")] == value
    rows = rows_of(folder / "tuning.csv")
    assert about["training_macs"] == sum(int(row["training_macs"]) for row in rows)


@pytest.mark.slow
def test_a_comparison_is_gone_on_with_as_it_was_tuned(folder: Path, dataset: Dataset) -> None:
    first = compare(folder, dataset, baselines=["hard_sharing"], picks=[], seeds=1, tune=3, workers=0)
    more = compare(folder, dataset, baselines=["hard_sharing", "mtan"], picks=[], seeds=2, workers=0)
    assert [about["key"] for about in more.request["tuning"]["subjects"]] == ["hard_sharing", "mtan"]
    assert more.request["entrants"][0]["training"] == first.request["entrants"][0]["training"]
    assert len(rows_of(folder / "tuning.csv")) == 6
    with pytest.raises(RunFolderError, match=r"tuned by 3 trainings each, .* but got `--tune 5`"):
        compare(folder, dataset, baselines=["hard_sharing"], picks=[], seeds=2, tune=5, workers=0)


def test_an_untuned_comparison_is_not_mixed_with_a_tuned_one(folder: Path, dataset: Dataset) -> None:
    compare(folder, dataset, baselines=["hard_sharing"], picks=[], seeds=1, workers=0)
    with pytest.raises(RunFolderError, match=r"without tuning, .* but got `--tune 2`"):
        compare(folder, dataset, baselines=["hard_sharing"], picks=[], seeds=1, tune=2, workers=0)
    assert not (folder / "tuning.csv").exists()


@pytest.mark.slow
def test_a_comparison_that_began_to_tune_is_not_gone_on_with_untuned(experiment: Experiment, tmp_path: Path) -> None:
    """Also one without a search, whose folder holds nothing else yet."""
    out, asked = tmp_path / "run", {"baselines": ["hard_sharing"], "seeds": 1, "workers": 0}
    with pytest.raises(SearchInterruptedError, match=r"with the same baselines and `--tune 3` goes on"):
        compare(experiment, **asked, tune=3, out=out, evaluate=Cut(2))  # type: ignore[arg-type]
    with pytest.raises(RunFolderError, match=r"tuning.csv: holds trainings of a comparison that is to be tuned"):
        compare(out, **asked)  # type: ignore[arg-type]
    found = compare(out, **asked, tune=3)  # type: ignore[arg-type]
    assert [row["number"] for row in rows_of(out / "tuning.csv")] == ["0", "1", "2"]
    assert len(found.outcomes) == 1


def test_the_test_split_is_not_read_by_tuning(folder: Path, dataset: Dataset) -> None:
    class Looks(Cut):
        def __call__(self, what: Any, dataset: Dataset, *rest: Any) -> Iterator[Report]:
            splits.append(sorted(dataset.splits))
            return super().__call__(what, dataset, *rest)

    splits: list[list[str]] = []
    with pytest.raises(SearchInterruptedError):
        compare(folder, dataset, baselines=["hard_sharing"], picks=[], seeds=1, tune=2, workers=0, evaluate=Looks(2))
    assert splits[:2] == [["train", "val"]] * 2


def test_a_pick_that_is_not_known_cannot_be_tuned(folder: Path, dataset: Dataset) -> None:
    with pytest.raises(UserError, match=r"`matched:interrogate@0.3` is known only .* by its number"):
        compare(folder, dataset, baselines=["interrogate"], picks=["matched:interrogate@0.3"], tune=2, workers=0)
    with pytest.raises(FieldError, match=r"`tune` must be from 1"):
        compare(folder, dataset, baselines=["hard_sharing"], tune=0, workers=0)


def test_the_page_tells_what_was_tuned(folder: Path, dataset: Dataset) -> None:
    compare(folder, dataset, baselines=["hard_sharing"], picks=[], seeds=1, tune=3, workers=0)
    write_report(folder)
    told = json.loads((folder / "report.json").read_text())["comparison"]["tuning"]
    found = load_comparison(folder)
    assert found is not None
    (about,) = found.request["tuning"]["subjects"]
    assert [row["setting"] for row in told["rows"]] == ["learning rate"]
    assert float(told["rows"][0]["chosen"]) == about["chosen"]["training.learning_rate"]
    assert told["costs"][0]["trainings"] == 3
    page = (folder / "report.html").read_text()
    assert "<h2>Tuning</h2>" in page


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"values": "[1]"}, "`values` must be a JSON object"),
        ({"values": "{"}, "`values` must be a JSON object"),
        ({"accuracy": ""}, "a complete training has no value in column `accuracy`"),
        ({"state": "STOPPED"}, "`state` must be one of COMPLETE, FAILED"),
        ({"number": "-1"}, "`number` must be a whole number"),
    ],
)
def test_a_damaged_table_is_named_by_its_line(cells: dict[str, str], message: str, tmp_path: Path) -> None:
    row = {"subject": "hard_sharing", "number": "0", "state": "COMPLETE", "seed": "5", "epochs": "1", "seconds": "1"}
    row |= {"accuracy": "0.5", "training_macs": "10", "values": '{"training.learning_rate": 0.1}', "error": ""} | cells
    with (tmp_path / "tuning.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    with pytest.raises(RunFolderError, match=f"tuning.csv: line 2: {message}"):
        load_tuning(tmp_path)
