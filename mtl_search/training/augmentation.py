"""Augmentation: training samples that are moved at random, batch by batch, on the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_search.errors import FieldError
from mtl_search.internal.seeds import generator
from mtl_search.spaces.settings import AugmentationSettings


@dataclass(frozen=True)
class Moves:
    """How each of several pictures is moved.

    :param shift: Pixels of padding on every side.
    :param corners: ``[pictures, 2]``, row and column of the padded picture at which what is left of it begins: 0 to
        twice the shift.
    :param mirrored: ``[pictures]`` bool, whether left and right are exchanged.
    """

    shift: int
    corners: Tensor
    mirrored: Tensor

    def to(self, device: torch.device) -> "Moves":
        """The same moves, on a device."""
        return Moves(self.shift, self.corners.to(device), self.mirrored.to(device))

    def split(self, size: int) -> list["Moves"]:
        """Those of so many pictures after the others."""
        parts = zip(self.corners.split(size), self.mirrored.split(size), strict=True)
        return [Moves(self.shift, *part) for part in parts]

    def apply(self, pictures: Tensor, fill: float = 0) -> Tensor:
        """The moved pictures, of the same shape and kind of number.

        :param pictures: ``[pictures, channels, height, width]``
        :param fill: What comes in from outside.
        """
        _, channels, height, width = pictures.shape
        padded = F.pad(pictures, [self.shift] * 4, value=fill)
        row, column = (torch.arange(side, device=pictures.device) for side in (height, width))
        rows = row + self.corners[:, :1]
        columns = torch.where(self.mirrored[:, None], width - 1 - column, column) + self.corners[:, 1:]
        places = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
        everywhere = places.flatten(1)[:, None].expand(-1, channels, -1)
        return padded.flatten(2).gather(2, everywhere).view_as(pictures)


class Augmentation:
    """Draws the moves of training samples.

    :param settings: Settings that say how samples are moved.
    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    :param seed: Seed of the training.
    :raises FieldError: As :func:`check_augmentation`.
    """

    def __init__(self, settings: AugmentationSettings, input_shape: tuple[int, ...], seed: int) -> None:
        check_augmentation(settings, input_shape)
        self.settings = settings
        self.rng = generator(seed, "augmentation")

    def draw(self, samples: int) -> Moves:
        """Those of so many samples, each by itself; drawn on the processor, so that they are the same everywhere."""
        shift = self.settings.shift
        corners = torch.randint(0, 2 * shift + 1, (samples, 2), generator=self.rng)
        mirrored = torch.randint(0, 1 + self.settings.flip, (samples,), generator=self.rng).bool()
        return Moves(shift, corners, mirrored)


def check_augmentation(settings: AugmentationSettings | None, input_shape: Sequence[int]) -> None:
    """Check what needs the data.

    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    :raises FieldError: If a shift may leave nothing of a picture, or the inputs are no pictures.
    """
    if settings is not None and len(input_shape) < 3:
        found = f"rows of {input_shape[0]} features" if len(input_shape) == 1 else "sequences"
        rule = f"must be left out: the inputs are {found}, and it moves pictures"
        raise FieldError("training.augmentation", rule, settings.model_dump())
    if settings is not None and settings.shift >= (side := min(input_shape[1:])):
        rule = f"must be below the shorter side of the inputs, {side} pixels"
        raise FieldError("training.augmentation.shift", rule, settings.shift)
