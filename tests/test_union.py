"""Several datasets as one: labels that the other parts miss, and samples drawn by size or evenly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_networks import made_architecture, single_threaded
from mtl_search import Split, dataset_function, load_dataset, load_experiment
from mtl_search.datasets import Dataset, make_dataset
from mtl_search.errors import DatasetError, UserError
from mtl_search.evaluation import EvaluationOptions, evaluate_by_epoch
from mtl_search.searching.preparation import check_experiment
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Binary, Classification, Depth, Regression, Segmentation
from mtl_search.training.held_out import divided
from mtl_search.training.sample_order import drawn_order

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

SIDE = 8


@dataset_function
def pictures(samples: int, seed: int = 0, kind: str = "uint8", side: int = SIDE) -> Dataset:
    """Dark and bright pictures, with a class and a number."""
    rng = np.random.default_rng(seed)
    splits = {}
    for name in ("train", "val", "test"):
        inputs = rng.integers(0, 256, (samples, 1, side, side)).astype(kind)
        bright = inputs.mean(axis=(1, 2, 3)).astype(np.float32)
        splits[name] = Split(inputs, {"bright": (bright > np.median(bright)).astype(np.uint8), "mean": bright})
    return make_dataset("pictures", (Binary("bright"), Regression("mean")), splits)


@dataset_function
def scenes(samples: int) -> Dataset:
    """Pictures with a class of the whole, and targets of every pixel."""
    rng = np.random.default_rng(1)
    splits = {}
    for name in ("train", "val", "test"):
        inputs = rng.integers(0, 256, (samples, 1, SIDE, SIDE)).astype(np.uint8)
        targets = {
            "bright": np.arange(samples) % 3,
            "mask": (inputs[:, 0] > 99).astype(np.uint8),
            "depth": 1 + inputs[:, 0].astype(np.float32),
        }
        splits[name] = Split(inputs, targets)
    return make_dataset(
        "scenes", (Classification("bright", classes=3), Segmentation("mask", 2), Depth("depth")), splits
    )


def united(left: int = 16, right: int = 48) -> Dataset:
    parts = {"left": {"name": "test_union:pictures", "samples": left}, "right": {"name": "test_union:scenes"}}
    parts["right"]["samples"] = right
    return load_dataset("union", parts=parts)


def test_a_sample_has_the_labels_of_its_part() -> None:
    dataset = united()
    assert [task.name for task in dataset.tasks] == ["left.bright", "mean", "right.bright", "mask", "depth"]
    sources = {0: (pictures(16), {"left.bright": "bright", "mean": "mean"})}
    sources[1] = (scenes(48), {"right.bright": "bright", "mask": "mask", "depth": "depth"})
    for split, samples in dataset.splits.items():
        assert samples.parts is not None
        assert samples.parts.tolist() == [0] * 16 + [1] * 48
        for part, (source, names) in sources.items():
            rows = samples.parts == part
            np.testing.assert_array_equal(samples.inputs[rows], source.splits[split].inputs)
            for task in dataset.tasks:
                known = task.known(samples.targets[task.name])
                if task.name not in names:
                    assert not known[rows].any()
                    continue
                assert known[rows].all()
                wanted = source.splits[split].targets[names[task.name]]
                np.testing.assert_array_equal(samples.targets[task.name][rows], wanted)


def test_parts_stay_with_their_samples() -> None:
    dataset = united()
    merged = dataset.merged().splits["train"]
    assert merged.parts is not None
    assert merged.parts.tolist() == ([0] * 16 + [1] * 48) * 2
    for split in divided(dataset, 0.25, seed=3).splits.values():
        assert split.parts is not None
        has_mean = ~np.isnan(split.targets["mean"])
        np.testing.assert_array_equal(split.parts == 0, has_mean)


def test_rows_and_what_was_found_name_the_part(tmp_path: Path) -> None:
    lines = {"a": ["x,a", *(f"{n},{n % 2}" for n in range(20))], "b": ["x,b", *(f"{n},{n % 3}" for n in range(30))]}
    for name, text in lines.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([*text, ""]), encoding="utf-8")
    parts = {name: {"name": "table", "file": str(tmp_path / f"{name}.csv"), "tasks": [name]} for name in lines}
    dataset = load_dataset("union", parts=parts)
    assert dataset.found == {"features": ["x"], "kinds_found": {"a": "binary", "b": "classification"}}
    rows = sorted(row for of_split in dataset.rows.values() for row in of_split)
    assert rows == sorted([f"a:{n}" for n in range(20)] + [f"b:{n}" for n in range(30)])


def test_parts_that_are_not_alike() -> None:
    parts: dict[str, dict[str, Any]] = {
        name: {"name": "test_union:pictures", "samples": 16, "kind": kind}
        for name, kind in (("left", "uint8"), ("right", "float32"))
    }
    with pytest.raises(DatasetError, match=r"`dataset.parts.right`: inputs .* uint8 \[1, 8, 8\] .*`left`.*got float32"):
        load_dataset("union", parts=parts)
    parts["right"] |= {"kind": "uint8", "side": 9}
    with pytest.raises(DatasetError, match=r"`dataset.parts.right`: inputs .* but got uint8 \[1, 9, 9\]"):
        load_dataset("union", parts=parts)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": {"name": "multi_mnist"}}, "at least two parts"),
        ({"a": {"name": "multi_mnist"}, "b": "multi_mnist"}, "`dataset.parts.b` must be a mapping"),
        ({"a/b": {"name": "multi_mnist"}, "b": {"name": "multi_mnist"}}, "names that are words"),
        (
            {"a": {"name": "test_union:pictures", "sampls": 3}, "b": {"name": "multi_mnist"}},
            "`dataset.parts.a`: `dataset.sampls` is no parameter",
        ),
    ],
)
def test_parts_that_are_declared_wrongly(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_dataset("union", parts=parts)


def test_even_sampling_draws_as_many_of_each_part() -> None:
    samples = united(left=10, right=54).splits["train"]
    assert samples.parts is not None
    rng, again = (torch.Generator().manual_seed(5) for _ in range(2))
    shares = []
    for _ in range(50):
        order = drawn_order(samples, "evenly", 60, rng)
        assert torch.equal(order, drawn_order(samples, "evenly", 60, again))
        parts = samples.parts[order.numpy()]
        assert np.bincount(parts).tolist() == [30, 30]
        counts = np.bincount(order.numpy(), minlength=64)
        assert set(counts[:10].tolist()) == {3}
        assert set(counts[10:].tolist()) == {0, 1}
        shares.append((parts.reshape(6, 10) == 0).mean(axis=1))
    assert np.abs(np.mean(shares, axis=0) - 0.5).max() < 0.1
    seen = {int(row) for _ in range(20) for row in drawn_order(samples, "evenly", 60, rng)}
    assert seen == set(range(64))


def test_sampling_by_size_is_a_permutation() -> None:
    samples = united().splits["train"]
    order = drawn_order(samples, "by_size", 64, torch.Generator().manual_seed(0))
    assert order.tolist() == torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()


@pytest.mark.parametrize("sampling", ["by_size", "evenly"])
def test_a_training_goes_on_bit_for_bit(sampling: str) -> None:
    parts = {
        name: {"name": "test_union:pictures", "samples": samples, "seed": seed}
        for seed, (name, samples) in enumerate((("left", 16), ("right", 40)))
    }
    dataset = load_dataset("union", parts=parts)
    training = Training(epochs=3, batch_size=8, sampling=sampling)  # type: ignore[arg-type]
    architecture = made_architecture("paper", 0.5)
    whole = list(evaluate_by_epoch(architecture, dataset, training, 0, EvaluationOptions(checkpoints=True)))
    for cut in range(2):
        rest = list(
            evaluate_by_epoch(architecture, dataset, training, 0, EvaluationOptions(start=whole[cut].checkpoint))
        )
        assert rest[-1].scores == whole[-1].scores
        for name, weight in whole[-1].weights.items():
            assert torch.equal(weight, rest[-1].weights[name])


def test_even_sampling_needs_parts() -> None:
    experiment = load_experiment("quickstart", ["training.sampling=evenly", "dataset={name: multi_mnist, train: 500}"])
    dataset = load_dataset("multi_mnist", train=500, val=50, test=50)
    with pytest.raises(UserError, match=r"`training.sampling` must be `by_size` for a dataset that is no `union`"):
        check_experiment(experiment, dataset)
