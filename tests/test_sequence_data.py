"""Sequences as data: read, checked, batched, searched, exported and predicted; every method trains on them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_networks import single_threaded
from made_problems import TRAINING, solve
from mtl_search import cost, load_dataset
from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.datasets._memory import dataset_from
from mtl_search.errors import DatasetError, FieldError
from mtl_search.exporting.export import export
from mtl_search.exporting.model import load_model
from mtl_search.internal.registry import METHODS
from mtl_search.methods import MethodContext, make_method
from mtl_search.networks.network import build_model
from mtl_search.reporting.search_page import write_report
from mtl_search.searching.check import check
from mtl_search.searching.preparation import check_experiment
from mtl_search.searching.run import search
from mtl_search.searching.starting import experiment_for
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.experiment import Experiment, parse_experiment
from mtl_search.tasks import Classification
from mtl_search.training.batches import DeviceSplit
from mtl_search.training.trainer import Trainer

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

CPU = torch.device("cpu")
TOKENS = np.array([[3, 1, 2, -1], [0, -1, -1, -1], [4, 4, 4, 4], [1, 2, -1, -1], [2, 2, 1, -1], [0, 3, -1, -1]] * 6)
SERIES = np.where(TOKENS[:, :, None] < 0, np.nan, TOKENS[:, :, None] * [1.0, 10.0])
CLASSES = np.array([0, 1, 0, 1, 1, 0] * 6)
EXPERIMENT: dict[str, Any] = {
    "name": "sequences",
    "dataset": {"name": "order", "train": 96, "val": 40, "test": 40, "length": 18},
    "backbone": {"kind": "sequence", "embedding": 6, "stages": [{"width": 8}, {"width": 8}]},
    "space": {"bank": ["sequence", "sequence_mixing"], "shared_ratio": [1.0, 0.5]},
    "training": {"epochs": 1, "batch_size": 32, "device": "cpu"},
    "search": {"trials": 2, "workers": 0},
}


def experiment(**changes: Any) -> Experiment:
    return parse_experiment({**EXPERIMENT, **changes}, "sequences.yaml")


def tokens(**options: Any) -> Dataset:
    return dataset_from(TOKENS, {"even": CLASSES}, layout="sequence", **options)


def series() -> Dataset:
    return dataset_from(SERIES, {"even": CLASSES}, layout="sequence")


# What is read


def test_tokens_and_series_in_memory() -> None:
    made = tokens()
    assert (made.input_shape, made.vocabulary) == ((4, 5), 5)
    assert made.splits["train"].inputs.dtype == np.int16
    assert (made.mean.tolist(), made.std.tolist()) == ([0.0], [1.0])
    assert series().input_shape == (4, 2)
    flat = series().splits["train"].inputs.reshape(-1, 2)
    np.testing.assert_allclose(series().mean, np.nanmean(flat, axis=0), rtol=1e-6)
    np.testing.assert_allclose(series().std, np.nanstd(flat, axis=0), rtol=1e-5)
    assert dataset_from(SERIES[:, :, 0], {"even": CLASSES}, layout="sequence").input_shape == (4, 1)
    assert dataset_from(TOKENS.clip(0), {"even": CLASSES}).input_shape == (4,), "without a layout it is a table"


def test_sequences_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sequences.npz"
    np.savez(file, tokens=TOKENS, series=SERIES, even=CLASSES)
    for name, shape in (("tokens", (4, 5)), ("series", (4, 2))):
        made = load_dataset("arrays", file=str(file), inputs=name, tasks=["even"], layout="sequence")
        assert made.input_shape == shape
    with pytest.raises(DatasetError, match=r"`dataset\.channels` must be left out of sequences"):
        load_dataset("arrays", file=str(file), inputs="series", tasks=["even"], layout="sequence", channels="last")


def changed(values: np.ndarray[Any, Any], place: Any, value: float) -> np.ndarray[Any, Any]:
    values = values.copy()
    values[place] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(TOKENS, (7, 1), 3), None),
        (changed(TOKENS, (7, 2), 3), r"row 7.*, position 1: padding must be at the end"),
        (changed(TOKENS, (7, 0), -1), r"row 7.*, position 0: a sequence must have a position that is none of padding"),
        (changed(TOKENS, (8, 3), -2), r"row 8.*, position 3: tokens must be 0 or more, or -1 where padded"),
        (changed(SERIES, (6, 1, 0), np.nan), r"row 6.*, position 1: a position must be NaN in all channels"),
        (changed(SERIES, (6, 1, 0), 1e39), r"row 6.*, position 1: numbers must be finite, and no larger"),
        (SERIES[:, :, :, None], r"sequences must be whole numbers \[samples, length\], which are tokens"),
    ],
)
def test_what_is_no_sequence_is_refused(values: np.ndarray[Any, Any], message: str | None) -> None:
    if message is None:
        assert dataset_from(values, {"even": CLASSES}, layout="sequence").vocabulary == 5
        return
    with pytest.raises(DatasetError, match=message):
        dataset_from(values, {"even": CLASSES}, layout="sequence")


def test_splits_of_ones_own_are_checked_alike() -> None:
    """With the row of the split; types that are no tokens are refused."""
    wrong = changed(TOKENS, (7, 2), 3).astype(np.int32)
    targets = {"even": CLASSES}
    with pytest.raises(DatasetError, match=r"^split `val`, row 7, position 1: padding must be at the end"):
        make_dataset(
            "own",
            (Classification("even", 2),),
            {
                "train": Split(TOKENS.astype(np.int32), targets),
                "val": Split(wrong, targets),
            },
        )
    with pytest.raises(DatasetError, match=r"tables must be float32, and tokens int16 or int32, but got int64"):
        make_dataset("own", (Classification("even", 2),), {"train": Split(TOKENS, targets)})


def test_a_task_for_every_pixel_is_refused() -> None:
    maps = {"maps": np.zeros((len(TOKENS), 4, 2), np.int64)}
    with pytest.raises(DatasetError, match=r"a target for every pixel, so that inputs must be images, but got seq"):
        dataset_from(TOKENS, maps, tasks={"maps": {"kind": "segmentation", "classes": 2}}, layout="sequence")


# Batches


@pytest.mark.parametrize("make", [tokens, series])
def test_batches_are_cut_to_their_longest_sample(make: Any) -> None:
    dataset = make()
    split = dataset.splits["train"]
    data = DeviceSplit(split, dataset, CPU)
    order = torch.arange(len(split))
    gone = split.inputs[..., 0] if split.inputs.ndim == 3 else split.inputs
    lengths = ((gone >= 0) if split.inputs.ndim == 2 else ~np.isnan(gone)).sum(axis=1)
    for start, (inputs, _) in zip(range(0, len(split), 2), data.batches(order, 2), strict=True):
        assert inputs.shape[1] == lengths[start : start + 2].max()
        whole = (split.inputs[start : start + 2, : inputs.shape[1]] - dataset.mean) / dataset.std
        np.testing.assert_allclose(inputs.numpy(), whole, rtol=1e-5, atol=1e-6)
    assert data.batch(slice(1, 2))[0].shape[1] == lengths[1]
    assert DeviceSplit(split, dataset, CPU, trimmed=False).batch(slice(1, 2))[0].shape[1] == 4


def test_what_is_measured_is_an_example_of_what_is_read() -> None:
    """Tokens are integers, and a network for them is told by its embedding."""
    backbone = Backbone((Stage(8),), "sequence", embedding=6)
    architecture = Architecture(backbone, (LayerChoice("sequence", 0.5),))
    model = build_model(architecture, tokens().tasks, (4, 5))
    assert cost.measure(model, (4, 5)) == cost.estimate(architecture, tokens().tasks, (4, 5))
    assert cost.latency_ms(model, (4, 5), passes=1) > 0
    trainer = Trainer(model, tokens().tasks, tokens(), TRAINING.model_copy(update={"batch_size": 8}), seed=0)
    assert trainer.macs_per_sample == 3 * cost.count_macs(model, (4, 5))


# The dataset `order`


def test_in_order_a_bag_of_words_knows_nothing() -> None:
    """Of tokens that stand once in every sequence the counts are constant, and others are drawn by lot."""
    data = load_dataset("order", train=1500, val=500, test=100)
    assert data.input_shape == (24, 12)
    bags = {}
    for name, split in data.splits.items():
        bags[name] = np.stack([(np.asarray(split.inputs) == token).sum(axis=1) for token in range(12)], axis=1)
        assert (bags[name][:, :4] == 1).all()
    for task in ("far", "near"):
        signs = {name: 2.0 * np.asarray(split.targets[task]) - 1 for name, split in data.splits.items()}
        weights, *_ = np.linalg.lstsq(bags["train"].astype(float), signs["train"], rcond=None)
        right = np.mean(np.sign(bags["val"] @ weights) == signs["val"])
        assert 0.4 < right < 0.6
    order = [np.asarray(data.splits["val"].inputs).tolist(), data.splits["val"].targets]
    for row, far, near in zip(order[0], order[1]["far"], order[1]["near"], strict=True):
        assert (row.index(0) > row.index(1)) == far
        assert row.index(3) - row.index(2) == (-1 if near else 1)
        marks = sorted((row.index(0), row.index(1)))
        length = sum(token >= 0 for token in row)
        assert marks[1] - marks[0] >= 6
        assert marks[0] >= 4
        assert marks[1] < length - 4
    again = load_dataset("order", train=1500, val=500, test=100)
    assert np.array_equal(again.splits["test"].inputs, data.splits["test"].inputs)


# Experiments


def test_an_experiment_is_checked() -> None:
    found = check(experiment())
    assert found.inputs["kind"] == "sequence"
    assert found.inputs["tokens"] == 12
    assert found.inputs["lengths"][::2] == [17, 18]
    assert found.embedding_parameters == [72, 72]
    assert {layer.bank for layer in experiment(space={}).search_space.layers} == {("sequence",)}


@pytest.mark.parametrize("make", [tokens, series])
def test_a_first_experiment_is_one_for_sequences(make: Any) -> None:
    found = experiment_for(dataclasses.replace(make(), name="arrays"), "first")
    check_experiment(found, make())
    assert found.search_space.backbone.kind == "sequence"
    assert "conv" in found.search_space.layers[0].bank


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"kind": "sequence"}, r"`backbone\.embedding` must be the number of channels .* for inputs are tokens"),
        ({"kind": "plain"}, r"`backbone\.kind` must be `sequence`, for inputs are sequences"),
    ],
)
def test_a_backbone_that_is_not_for_tokens_is_refused(backbone: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        check_experiment(experiment(backbone={**backbone, "stages": [{"width": 8}]}, space={}), tokens())


def test_an_embedding_is_refused_for_vectors() -> None:
    with pytest.raises(FieldError, match=r"`backbone\.embedding` must be left out, for inputs are no tokens"):
        check_experiment(experiment(), series())


@pytest.mark.slow
def test_sequences_are_searched_exported_and_predicted(tmp_path: Path) -> None:
    run = search(experiment(), out=tmp_path / "run")
    assert len(run.complete) == 2
    assert "sequence" in write_report(run.path).read_text(encoding="utf-8")
    inputs = np.asarray(load_dataset("order", train=96, val=40, test=40, length=18).splits["val"].inputs)
    expected = load_model(run).predict(inputs).columns
    for format in ("torch", "onnx"):
        file = export(run, format=format)  # type: ignore[arg-type]
        card = json.loads((file.parent / "model_card.json").read_text(encoding="utf-8"))
        assert card["input"]["shape"] == ["batch", "length up to 18"]
        assert card["cost"]["embedding_parameters"] == 72
        short = inputs[(inputs >= 0).sum(axis=1) <= 17]
        for name, values in load_model(file).predict(inputs).columns.items():
            assert np.array_equal(values, expected[name]) or np.allclose(values, expected[name], atol=1e-4)
        cut, whole = load_model(file).predict(short[:, :17]).columns, load_model(file).predict(short).columns
        assert all(np.array_equal(cut[name], whole[name]) for name in whole if whole[name].dtype.kind != "f")
    with pytest.raises(DatasetError, match=r"row 0, position 0: must be a token below 12"):
        load_model(run).predict(np.full((1, 3), 12))
    with pytest.raises(DatasetError, match=r"of a length of at most 18"):
        load_model(run).predict(np.full((1, 19), 1))


@pytest.mark.slow
def test_a_series_in_memory_is_searched_and_kept(tmp_path: Path) -> None:
    backbone = {"kind": "sequence", "stem": 6, "stages": [{"width": 8}]}
    training = {"epochs": 1, "batch_size": 8, "device": "cpu"}
    run = search(experiment(backbone=backbone, training=training), series(), out=tmp_path / "run")
    assert len(run.complete) == 2
    assert load_model(run).predict(SERIES[:3, :3]).columns


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_trains_on_tokens_and_is_rebuilt(name: str) -> None:
    backbone = Backbone((Stage(6, 2), Stage(8, 1)), "sequence", embedding=5)
    dataset = load_dataset("order", train=64, val=32, test=8, length=18)
    problem = MethodContext(backbone, dataset, TRAINING.model_copy(update={"epochs": 1, "batch_size": 32}))
    method = make_method(name, {})
    trained = solve(method, problem).trained
    network = method.rebuild(problem, json.loads(json.dumps(trained.details)))
    network.load_state_dict(trained.model.state_dict())
    x = torch.from_numpy(np.asarray(dataset.splits["val"].inputs)).long()
    with torch.no_grad():
        expected, found = trained.model.eval()(x), network.eval()(x)
        row = x[3][x[3] >= 0][None]
        alone = network(row)
    for task in ("far", "near"):
        assert torch.equal(found[task], expected[task])
        torch.testing.assert_close(alone[task], found[task][3:4], atol=1e-5, rtol=1e-5)
    assert method.macs_of_one_task(network, problem) > 0
