"""The losses and metrics of each kind are those of scikit-learn, or of their definitions written out."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as sk
from torch.nn import functional as F

from made_kinds import SIDE, learned, made_outputs, made_targets, made_task, perfect_outputs, prepared, scores_of
from made_networks import single_threaded
from mtl_search.errors import FieldError, UserError
from mtl_search.metrics.scores import Metric
from mtl_search.tasks import Depth, Edges, Regression, Task, make_task

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

random_cases = pytest.mark.parametrize(
    ("seed", "missing"), [(0, 0.0), (1, 0.0), (2, 0.2), (3, 0.2), (4, 0.5), (5, 0.7)]
)
Array = NDArray[Any]


def case(kind: str, seed: int, missing: float) -> tuple[Task, Array, Array]:
    """A task that knows its data, targets, and outputs between random and right."""
    targets = made_targets(kind, seed, missing)
    task = learned(made_task(kind), targets)
    drawn, right = made_outputs(task, targets, seed), perfect_outputs(task, targets)
    outputs = drawn + right * (0.02 if float(right.max()) == 60 else 0.7)
    return task, targets, outputs.numpy()


def found(task: Task, outputs: Array, targets: Array) -> dict[str, float]:
    return scores_of(task, torch.from_numpy(outputs), targets, 17)


def cross_entropy(logits: Array, targets: Array) -> float:
    """The mean of minus the logarithm of the probability of what is right, logits ``[n, classes]``."""
    logits = logits.astype(np.float64)
    logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-logarithms[np.arange(len(targets)), targets].mean())


def binary_cross_entropy(logits: Array, targets: Array) -> float:
    return cross_entropy(np.stack([np.zeros_like(logits), logits], axis=1), targets)


def loss_of(task: Task, outputs: Array, targets: Array, smoothing: float = 0.0) -> float:
    return float(task.loss(torch.from_numpy(outputs), prepared(task, targets), smoothing))


@random_cases
def test_classification(seed: int, missing: float) -> None:
    task, targets, outputs = case("classification", seed, missing)
    there = targets >= 0
    right, logits = targets[there], outputs[there]
    expected = {"accuracy": sk.accuracy_score(right, logits.argmax(axis=1)), "loss": cross_entropy(logits, right)}
    assert found(task, outputs, targets) == pytest.approx(expected, rel=1e-5)
    assert loss_of(task, outputs, targets) == pytest.approx(expected["loss"], rel=1e-5)
    assert task.quality(expected) == expected["accuracy"]


@random_cases
def test_binary(seed: int, missing: float) -> None:
    task, targets, outputs = case("binary", seed, missing)
    there = targets >= 0
    right, logits = targets[there], outputs[there, 0]
    said = (logits > 0).astype(int)
    expected = {
        "accuracy": sk.accuracy_score(right, said),
        "f_score": sk.f1_score(right, said),
        "balanced_accuracy": sk.balanced_accuracy_score(right, said),
        "loss": binary_cross_entropy(logits, right),
    }
    assert found(task, outputs, targets) == pytest.approx(expected, rel=1e-5)
    assert loss_of(task, outputs, targets) == pytest.approx(expected["loss"], rel=1e-5)


def test_binary_where_an_answer_does_not_occur() -> None:
    task, wrong, right = make_task("binary", "task"), torch.tensor([[3.0], [-3.0]]), torch.tensor([[-3.0], [-3.0]])
    no = np.array([0, 0])
    assert scores_of(task, wrong, no)["balanced_accuracy"] == 0.5
    assert scores_of(task, right, no)["balanced_accuracy"] == 1
    assert scores_of(task, right, no)["f_score"] == sk.f1_score(no, no, zero_division=0) == 0


@pytest.mark.parametrize("kind", ["binary", "multi_label"])
def test_smoothed_labels_of_yes_or_no_are_those_of_two_classes(kind: str) -> None:
    task, targets, outputs = case(kind, 0, 0.0)
    logits = torch.from_numpy(outputs).flatten()
    two = torch.stack([torch.zeros_like(logits), logits], dim=1)
    expected = F.cross_entropy(two, torch.from_numpy(targets).flatten(), label_smoothing=0.2)
    assert loss_of(task, outputs, targets, 0.2) == pytest.approx(float(expected), rel=1e-5)


@random_cases
def test_multi_label(seed: int, missing: float) -> None:
    task, targets, outputs = case("multi_label", seed, missing)
    columns = [
        (targets[:, label][there], outputs[:, label][there]) for label in range(3) for there in [targets[:, label] >= 0]
    ]
    there = targets >= 0
    expected = {
        "accuracy": np.mean([sk.accuracy_score(right, logits > 0) for right, logits in columns]),
        "f_score": np.mean([sk.f1_score(right, logits > 0, zero_division=0) for right, logits in columns]),
        "loss": binary_cross_entropy(outputs[there], targets[there]),
    }
    assert found(task, outputs, targets) == pytest.approx(expected, rel=1e-5)
    assert loss_of(task, outputs, targets) == pytest.approx(expected["loss"], rel=1e-5)


def test_labels_without_a_target_are_no_part_of_the_means() -> None:
    task = make_task("multi_label", "task", labels=2)
    outputs = torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, 1.0]])
    targets = np.array([[1, -1], [0, -1], [0, -1]])
    scores = scores_of(task, outputs, targets)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["f_score"] == pytest.approx(2 / 3)


@random_cases
@pytest.mark.parametrize("error", ["squared", "absolute"])
def test_regression_in_the_units_of_the_targets(seed: int, missing: float, error: str) -> None:
    targets = made_targets("regression", seed, missing) * np.float32([1, 100])
    task = learned(make_task("regression", "task", size=2, error=error), targets)
    outputs = 0.7 * perfect_outputs(task, targets).numpy() + 0.5 * made_outputs(task, targets, seed).numpy()
    assert isinstance(task, Regression)
    assert task.mean == pytest.approx(np.nanmean(targets, axis=0))
    assert task.deviation == pytest.approx(np.nanstd(targets, axis=0))
    values = outputs * np.array(task.deviation) + np.array(task.mean)
    columns = [(targets[there, n], values[there, n]) for n in range(2) for there in [~np.isnan(targets[:, n])]]
    scaled = (np.abs(values - targets) / np.array(task.deviation))[~np.isnan(targets)]
    expected = {
        "rmse": np.mean([sk.root_mean_squared_error(*pair) for pair in columns]),
        "mae": np.mean([sk.mean_absolute_error(*pair) for pair in columns]),
        "r2": np.mean([sk.r2_score(*pair) for pair in columns]),
        "loss": np.mean(scaled**2 if error == "squared" else scaled),
    }
    assert found(task, outputs, targets) == pytest.approx(expected, rel=1e-5)
    assert loss_of(task, outputs, targets) == pytest.approx(expected["loss"], rel=1e-5)
    assert task.quality(expected) == pytest.approx(
        1 - expected["rmse"] / np.nanstd(targets.astype(np.float64), axis=0).mean()
    )


def test_the_mean_of_the_training_targets_has_a_quality_of_0() -> None:
    targets = made_targets("regression", 0, 0.3)
    task = learned(made_task("regression"), targets)
    scores = scores_of(task, torch.zeros(60, 2), targets)
    assert task.quality(scores) == pytest.approx(0, abs=1e-6)
    assert scores["r2"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("output", [3.3, 4.0])
def test_r2_of_targets_that_are_all_the_same_is_undefined(samples: int, output: float) -> None:
    scores = scores_of(Regression("task"), torch.full((samples, 1), output), np.full(samples, 3.3, dtype=np.float32))
    assert list(scores) == ["rmse", "mae", "loss"]
    assert scores["rmse"] == pytest.approx(abs(output - 3.3), abs=1e-6)


def test_r2_is_the_mean_over_the_numbers_that_vary() -> None:
    targets = np.stack([np.full(60, 2.0), np.arange(60)], axis=1).astype(np.float32)
    outputs = torch.from_numpy(targets) + 3
    r2 = scores_of(Regression("task", size=2), outputs, targets)["r2"]
    assert r2 == pytest.approx(sk.r2_score(targets[:, 1], outputs[:, 1].numpy()))


def test_targets_far_from_0_lose_no_digits() -> None:
    """Years: their squares are a million times their variance."""
    rng = np.random.default_rng(0)
    targets = (1990 + 5 * rng.standard_normal(1000)).astype(np.float32)
    task = learned(make_task("regression", "year"), np.resize(targets, 60))
    outputs = prepared(task, targets) + 0.1 * torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    assert isinstance(task, Regression)
    values = outputs[:, 0].double().numpy() * task.deviation[0] + task.mean[0]
    assert scores_of(task, outputs, targets, 100)["r2"] == pytest.approx(sk.r2_score(targets, values), abs=1e-5)


def test_a_regression_of_one_number_takes_a_row_or_a_column() -> None:
    row = made_targets("regression")[:, 0].copy()
    task = make_task("regression", "task")
    first, second = learned(task, row), learned(task, row[:, None])
    assert first == second
    assert torch.equal(prepared(first, row), prepared(second, row[:, None]))
    assert prepared(first, row).shape == (60, 1)


@random_cases
def test_segmentation(seed: int, missing: float) -> None:
    task, targets, outputs = case("segmentation", seed, missing)
    there = targets >= 0
    right, logits = targets[there], np.moveaxis(outputs, 1, -1)[there]
    said = logits.argmax(axis=1)
    expected = {
        "miou": sk.jaccard_score(right, said, average="macro"),
        "pixel_accuracy": sk.accuracy_score(right, said),
        "loss": cross_entropy(logits, right),
    }
    assert found(task, outputs, targets) == pytest.approx(expected, rel=1e-5)
    assert loss_of(task, outputs, targets) == pytest.approx(expected["loss"], rel=1e-5)


def test_classes_that_do_not_occur_are_no_part_of_the_mean() -> None:
    task = make_task("segmentation", "task", classes=5)
    targets = np.array([[[0, 0], [1, -1]]])
    outputs = F.one_hot(torch.tensor([[[0, 1], [1, 4]]]), 5).movedim(-1, 1).float()
    assert scores_of(task, outputs, targets)["miou"] == pytest.approx((1 / 2 + 1 / 2) / 2)


@random_cases
def test_depth(seed: int, missing: float) -> None:
    task, targets, outputs = case("depth", seed, missing)
    there = targets > 0
    right, said = targets[there].astype(np.float64), outputs[:, 0][there]
    expected = {"abs_error": np.abs(said - right).mean(), "rel_error": (np.abs(said - right) / right).mean()}
    assert found(task, outputs, targets) == pytest.approx(expected, rel=1e-5)
    assert loss_of(task, outputs, targets) == pytest.approx(expected["abs_error"], rel=1e-5)
    best = min(np.abs(right - constant).mean() for constant in right)
    assert task.quality(expected) == pytest.approx(1 - expected["abs_error"] / best, abs=1e-4)


def test_depths_of_0_and_below_are_missing() -> None:
    targets = np.array([[[0, -1], [np.nan, 2]]], dtype=np.float32)
    assert scores_of(Depth("task"), torch.full((1, 1, 2, 2), 3.0), targets) == {"abs_error": 1, "rel_error": 0.5}


@random_cases
def test_normals(seed: int, missing: float) -> None:
    task, targets, outputs = case("normals", seed, missing)
    there = targets.any(axis=1)
    right, said = (np.moveaxis(one, 1, -1)[there].astype(np.float64) for one in (targets, outputs))
    cosines = (right * said).sum(axis=1) / np.linalg.norm(right, axis=1) / np.linalg.norm(said, axis=1)
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    scores = found(task, outputs, targets)
    assert scores.pop("median_angle") == pytest.approx(np.median(angles), abs=0.0051)
    expected = {
        "mean_angle": angles.mean(),
        **{f"within_{limit:g}": (angles < limit).mean() for limit in (11.25, 22.5, 30)},
        "loss": (1 - cosines).mean(),
    }
    assert scores == pytest.approx(expected, rel=1e-4)
    assert loss_of(task, outputs, targets) == pytest.approx(expected["loss"], rel=1e-4)


def test_small_angles_are_exact_and_no_direction_is_a_right_angle() -> None:
    task = make_task("normals", "task")
    targets = np.zeros((1, 3, 1, 2), dtype=np.float32)
    targets[0, 2] = 1
    outputs = torch.zeros(1, 3, 1, 2)
    outputs[0, 2, 0, 0], outputs[0, 0, 0, 0] = 5.0, 5 * float(np.tan(np.radians(1e-3)))
    assert scores_of(task, outputs, targets)["mean_angle"] == pytest.approx((1e-3 + 90) / 2, abs=1e-6)
    outputs.requires_grad_()
    (gradient,) = torch.autograd.grad(task.loss(outputs, torch.from_numpy(targets)), outputs)
    assert gradient.isfinite().all()
    assert gradient.any()


def f_score(right: Array, said: Array, beta_squared: float) -> float:
    return float(sk.fbeta_score(right, said, beta=beta_squared**0.5, zero_division=0))


@random_cases
@pytest.mark.parametrize(("kind", "beta_squared"), [("edges", 1.0), ("saliency", 0.3)])
@pytest.mark.thin(4)
def test_maps_at_their_best_threshold(kind: str, beta_squared: float, seed: int, missing: float) -> None:
    task, targets, outputs = case(kind, seed, missing)
    there = targets >= 0
    right, logits = targets[there], outputs[:, 0][there]
    probability = torch.from_numpy(logits).sigmoid().numpy()
    best = max(f_score(right, probability >= level / 256, beta_squared) for level in range(256))
    scores = found(task, outputs, targets)
    assert scores[task.headline.name] == pytest.approx(best, rel=1e-9)
    assert best > f_score(right, probability >= 0, beta_squared)
    if kind == "saliency":
        assert scores["mae"] == pytest.approx(np.abs(probability - right).mean(), rel=1e-5)
        assert scores["loss"] == pytest.approx(binary_cross_entropy(logits, right), rel=1e-5)
    else:
        weights = np.where(right == 1, 0.95, 0.05)
        each = [binary_cross_entropy(logits[n : n + 1], right[n : n + 1]) for n in range(len(right))]
        assert scores["loss"] == pytest.approx((weights * each).mean(), rel=1e-5)
    assert loss_of(task, outputs, targets) == pytest.approx(scores["loss"], rel=1e-5)


def test_edges_of_other_weights_are_computed_by_themselves() -> None:
    assert Edges("a").alike != Edges("b", positive_weight=0.5).alike


def test_an_error_whose_constant_is_not_learned_has_no_quality() -> None:
    for task in (Regression("task"), Depth("task"), make_task("normals", "task")):
        with pytest.raises(UserError, match=r"task `task`: has learned no \w+ yet; `make_dataset` does it"):
            task.quality({task.headline.name: 1.0})


@pytest.mark.parametrize(("name", "higher"), [("rmse", True), ("my_error", True), ("f_score", False), ("r2", False)])
def test_the_name_of_a_metric_says_its_direction(name: str, higher: bool) -> None:
    with pytest.raises(FieldError, match="`higher_is_better` must be False for a name that ends in loss, error"):
        Metric(name, higher)
    assert Metric(name, not higher).higher_is_better != higher


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("classification", {"classes": 1}, r"`tasks\.task\.classes` must be greater than or equal to 2, but got 1"),
        ("multi_label", {"labels": 0}, r"`tasks\.task\.labels` must be greater than or equal to 1, but got 0"),
        ("regression", {"size": 0}, r"`tasks\.task\.size` must be greater than or equal to 1, but got 0"),
        ("regression", {"error": "cubed"}, r"`tasks\.task\.error` must be 'squared' or 'absolute', but got 'cubed'"),
        ("regression", {"deviation": [0.0]}, r"`tasks\.task\.deviation\.0` must be greater than 0"),
        ("edges", {"positive_weight": 1}, r"`tasks\.task\.positive_weight` must be less than 1"),
        ("binary", {"classes": 2}, r"`tasks\.task\.classes` is no option of `binary`"),
        ("regresion", {}, r"there is no task kind `regresion`\. Did you mean `regression`\?"),
        (
            "test_kinds:made_task",
            {},
            r"task kind `test_kinds:made_task` must be a class derived from Task, but it is not",
        ),
    ],
)
def test_wrong_options_are_refused(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_task(kind, "task", **options)


def test_a_kind_from_elsewhere_is_named_by_its_path() -> None:
    task = make_task("mtl_search.tasks.depth:Depth", "task")
    assert task == Depth("task")
    assert made_targets("depth").shape == (60, SIDE, SIDE)
