"""Augmentation: what moves, by how much, and that nothing else changes."""

from collections.abc import Iterator
from math import isfinite

import numpy as np
import pytest
import torch
from torch import Tensor

from made_dense import ALL_MAPS, MIXED, made_squares
from made_networks import made_tasks, single_threaded
from made_problems import made_dataset, made_problem, operators_of, solve
from mtl_search.errors import FieldError
from mtl_search.evaluation import Entrant, EvaluationOptions, evaluate_by_epoch
from mtl_search.internal.registry import METHODS
from mtl_search.methods import make_method
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.reporting.text import augmentation_text
from mtl_search.spaces.settings import AugmentationSettings, Training
from mtl_search.training.augmentation import Augmentation, Moves
from mtl_search.training.batches import DeviceSplit

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

CPU = torch.device("cpu")
BOTH = AugmentationSettings(shift=2, flip=True)
SHAPE = (3, 7, 9)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of every batch that is moved the number of its samples."""
    found: list[int] = []
    apply = Moves.apply

    def counted(moves: Moves, pictures: Tensor, fill: float = 0) -> Tensor:
        found.append(len(pictures))
        return apply(moves, pictures, fill)

    monkeypatch.setattr(Moves, "apply", counted)
    return found


def made_pictures(count: int = 40, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def drawn(settings: AugmentationSettings, count: int = 40, seed: int = 0) -> Moves:
    return Augmentation(settings, SHAPE, seed).draw(count)


def moved_one_by_one(pictures: Tensor, moves: Moves, fill: float = 0) -> Iterator[Tensor]:
    """Each picture padded, cut out and mirrored by itself."""
    *_, height, width = pictures.shape
    sides = (moves.shift, moves.shift)
    for picture, (row, column), mirrored in zip(pictures, moves.corners.tolist(), moves.mirrored.tolist(), strict=True):
        padded = np.pad(picture.numpy(), ((0, 0), sides, sides), constant_values=fill)
        cut = padded[:, row : row + height, column : column + width]
        yield torch.from_numpy((cut[:, :, ::-1] if mirrored else cut).copy())


@pytest.mark.parametrize(
    "settings", [BOTH, AugmentationSettings(shift=6), AugmentationSettings(flip=True)], ids=["both", "shift", "flip"]
)
@pytest.mark.parametrize("fill", [0, 7])
def test_pictures_are_moved_each_by_itself(settings: AugmentationSettings, fill: int) -> None:
    pictures, moves = made_pictures(), drawn(settings)
    found = moves.apply(pictures, fill)
    assert (found.dtype, found.shape) == (torch.uint8, pictures.shape)
    assert torch.equal(found, torch.stack(list(moved_one_by_one(pictures, moves, fill))))
    assert not torch.equal(found, pictures)


def test_a_move_in_the_middle_is_none() -> None:
    pictures = made_pictures()
    still = Moves(2, torch.full((40, 2), 2), torch.zeros(40, dtype=torch.bool))
    assert torch.equal(still.apply(pictures), pictures)


def test_every_move_is_drawn_and_no_other() -> None:
    moves = drawn(BOTH, count=1000)
    corners = {tuple(corner) for corner in moves.corners.tolist()}
    assert corners == {(row, column) for row in range(5) for column in range(5)}
    assert 400 < int(moves.mirrored.sum()) < 600
    assert not drawn(AugmentationSettings(shift=2), count=1000).mirrored.any()
    assert not drawn(AugmentationSettings(flip=True), count=1000).corners.any()


def test_moves_are_drawn_from_the_seed_and_anew_each_time() -> None:
    one, again, other = (Augmentation(BOTH, SHAPE, seed) for seed in (0, 0, 1))
    first = one.draw(40)
    assert torch.equal(first.corners, again.draw(40).corners)
    assert not torch.equal(first.corners, other.draw(40).corners)
    assert not torch.equal(first.corners, one.draw(40).corners)


def test_moves_come_apart_in_order() -> None:
    pictures, moves = made_pictures(), drawn(BOTH)
    parts = [part.apply(some) for part, some in zip(moves.split(16), pictures.split(16), strict=True)]
    assert torch.equal(torch.cat(parts), moves.apply(pictures))


def test_more_samples_are_no_more_operations() -> None:
    few, many = (operators_of(lambda n=n: drawn(BOTH, n).apply(made_pictures(n))) for n in (2, 64))
    assert few == many


def test_maps_move_with_their_pictures_and_what_comes_in_is_missing() -> None:
    dataset = made_squares(ALL_MAPS)
    split = DeviceSplit(dataset.splits["train"], dataset, CPU)
    moves = Augmentation(BOTH, dataset.input_shape, 0).draw(40)
    _, targets = split.batch(slice(0, 40))
    _, moved = split.batch(slice(0, 40), moves)
    for task in dataset.tasks:
        still, found = targets[task.name], moved[task.name]
        picture = still if still.ndim == 4 else still[:, None]
        fill = float("nan") if still.is_floating_point() else -1
        expected = torch.stack(list(moved_one_by_one(picture, moves, fill))).view_as(still)
        if task.kind == "normals":
            expected[moves.mirrored, 0] *= -1
        torch.testing.assert_close(found, expected, equal_nan=True)
        known = task.known(found)
        shown = torch.stack(list(moved_one_by_one(torch.ones(40, 1, *still.shape[-2:]), moves)))[:, 0] > 0
        assert torch.equal(known, shown & torch.stack(list(moved_one_by_one(task.known(still)[:, None], moves)))[:, 0])
        assert not known.all()
    assert moved.present is not None
    assert moved.present.all()


def test_targets_of_a_whole_sample_stay_as_they_are() -> None:
    dataset = made_squares(MIXED)
    split = DeviceSplit(dataset.splits["train"], dataset, CPU)
    moves = Augmentation(BOTH, dataset.input_shape, 0).draw(40)
    assert torch.equal(split.batch(slice(0, 40))[1]["large"], split.batch(slice(0, 40), moves)[1]["large"])


def test_samples_are_moved_before_they_are_normalised() -> None:
    """What comes in from outside is a black pixel, not one of mean brightness."""
    dataset = made_dataset(made_tasks(1))
    split = DeviceSplit(dataset.splits["train"], dataset, CPU)
    moves = Moves(3, torch.full((8, 2), 6), torch.zeros(8, dtype=torch.bool))
    still, _ = split.batch(slice(0, 8))
    inputs, _ = split.batch(slice(0, 8), moves)
    assert torch.equal(inputs[:, :, :-3, :-3], still[:, :, 3:, 3:])
    black = float((0 - dataset.mean[0]) / dataset.std[0])
    torch.testing.assert_close(inputs[:, :, -3:], torch.full_like(inputs[:, :, -3:], black))
    assert black < -1


def test_only_training_batches_are_moved(applied: list[int]) -> None:
    """Neither what is scored nor what the cosines between gradients are measured on."""
    problem = made_problem(augmentation=BOTH)
    entrant = Entrant(HardSharing(), problem.backbone, cosines=True)
    options = EvaluationOptions(scored_after=(1,))
    *_, last = evaluate_by_epoch(entrant, problem.dataset, problem.training, 0, options, split="val")
    assert last.scores
    assert last.details["cosines"]
    assert applied == [16] * 4 * 2, "4 steps in each of 2 epochs"


@pytest.mark.parametrize("name", METHODS.names())
@pytest.mark.thin(3)
def test_every_method_trains_on_moved_samples_in_all_its_phases(name: str, applied: list[int]) -> None:
    """All samples that were seen, besides those that a search holds out to choose by."""
    solved = solve(make_method(name, {}), made_problem(augmentation=BOTH))
    assert all(isfinite(epoch.loss) for epoch in solved.epochs)
    held_out = sum(epoch.samples for epoch in solved.epochs) - sum(applied)
    assert held_out == (3 * 14 if name == "conal" else 0), "in the one epoch after the warm-up"
    plain = solve(make_method(name, {}), made_problem())
    assert [epoch.loss for epoch in plain.epochs] != [epoch.loss for epoch in solved.epochs]


def test_the_order_of_the_samples_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    batch = DeviceSplit.batch

    def noted(split: DeviceSplit, samples: Tensor, moves: Moves | None = None) -> object:
        seen.append(samples.tolist())
        return batch(split, samples, moves)

    monkeypatch.setattr(DeviceSplit, "batch", noted)
    for augmentation in (None, BOTH):
        solve(HardSharing(), made_problem(augmentation=augmentation))
    half = len(seen) // 2
    assert seen[:half] == seen[half:]
    assert half == 8


def test_the_same_seed_moves_the_same(applied: list[int]) -> None:
    losses = [
        [epoch.loss for epoch in solve(HardSharing(), made_problem(augmentation=BOTH, seed=seed)).epochs]
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert len(applied) == 3 * 8


@pytest.mark.parametrize(("shift", "refused"), [(6, False), (7, True), (40, True)])
def test_a_shift_must_leave_something_of_a_picture(shift: int, refused: bool) -> None:
    if not refused:
        assert drawn(AugmentationSettings(shift=shift)).shift == shift
        return
    with pytest.raises(FieldError, match=rf"`training.augmentation.shift` must be below .* 7 pixels, but got {shift}"):
        drawn(AugmentationSettings(shift=shift))


def test_a_trainer_refuses_a_shift_that_does_not_fit() -> None:
    problem = made_problem(augmentation=AugmentationSettings(shift=10))
    with pytest.raises(FieldError, match=r"must be below the shorter side of the inputs, 10 pixels"):
        problem.trainer(HardSharing().build(problem))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (None, ""),
        (BOTH, ", samples shifted by up to 2 pixels and mirrored at random"),
        (AugmentationSettings(shift=1), ", samples shifted by up to 1 pixel"),
        (AugmentationSettings(flip=True), ", samples mirrored at random"),
    ],
)
def test_reports_say_what_was_moved(settings: AugmentationSettings | None, text: str) -> None:
    assert augmentation_text(Training(augmentation=settings).model_dump()["augmentation"]) == text
