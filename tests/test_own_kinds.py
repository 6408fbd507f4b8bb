"""A kind of task from outside of the package, with fields of its own: what is said of its data and of its outputs."""

from pathlib import Path

import numpy as np
import pytest

from mtl_search.cli.checking import check_text
from mtl_search.exporting.export import export
from mtl_search.searching.check import check
from mtl_search.searching.run import search
from mtl_search.spaces.experiment import Experiment, load_experiment

KIND = """
from dataclasses import dataclass, replace

import numpy as np
import torch

from mtl_search.metrics.scores import Metric
from mtl_search.tasks import Task


@dataclass(frozen=True)
class Counts(Task):
    kind, integer, outputs, output_means = "counts", True, 1, "the logarithm of a count"
    metrics = (Metric("nearness"),)
    mean: float = 0.0

    def learned(self, targets):
        return replace(self, mean=float(np.mean(targets[targets >= 0])))

    def totals(self, output, target):
        there = self.known(target)
        near = (-(output[:, 0].exp() - target).abs()).exp().where(there, 0)
        return torch.stack([near.double().sum(), there.double().sum()])

    def loss(self, output, target, label_smoothing=0.0):
        near, count = self.totals(output, target)
        return ((count - near) / count.clamp(min=1)).to(output.dtype)

    def scores(self, totals):
        return {"nearness": float(totals[0] / totals[1])} if totals[1] else {}
"""
EXPERIMENT = """
dataset: {name: table, file: days.csv, tasks: {gusts: {kind: "own_counts:Counts"}, calm: binary}, split: part}
backbone: {kind: vector, stages: [{width: 8}]}
training: {epochs: 1, batch_size: 20}
search: {trials: 1, workers: 0}
"""
GUSTS = (0, 1, 2, 3, 7, None)
"""In turn; `None` is an empty cell."""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_counts.py").write_text(KIND)
    rng, lines = np.random.default_rng(0), ["x,gusts,calm,part"]
    for number in range(180):
        gusts = GUSTS[number % len(GUSTS)]
        part = ("train", "val", "test")[number // 60]
        lines.append(f"{rng.normal():.3f},{'' if gusts is None else gusts},{number % 2},{part}")
    (tmp_path / "days.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "days.yaml").write_text(EXPERIMENT)
    return load_experiment(tmp_path / "days.yaml")


def test_integers_of_a_kind_without_classes_have_a_range(experiment: Experiment) -> None:
    (gusts, calm) = check(experiment).tasks
    assert gusts["ranges"] == {"train": [0, 7], "val": [0, 7], "test": [0, 7]}
    assert gusts["missing"] == {"train": 10, "val": 10, "test": 10}
    assert [row["train"] for row in calm["classes"]] == [30, 30]
    assert "highest" in check_text(check(experiment))


@pytest.mark.slow
def test_a_number_that_was_learned_stands_in_the_card(experiment: Experiment, tmp_path: Path) -> None:
    path = export(search(experiment, out=tmp_path / "run"), format="torch")
    page = path.with_name("MODEL_CARD.md").read_text()
    assert "| gusts | counts | 1 | the logarithm of a count (`mean` 2.6) |" in page
