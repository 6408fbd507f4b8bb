"""Weights on disk: safetensors, which runs no code when it is read."""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

FILE = "weights.safetensors"


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write ``weights.safetensors`` into a folder, under a temporary name first. No weights write nothing."""
    if not weights:
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".weights.{os.getpid()}.tmp"
    save_file({name: value.contiguous() for name, value in weights.items()}, temporary)
    temporary.replace(folder / FILE)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The weights that :func:`save_weights` wrote into a folder."""
    return load_file(folder / FILE)


def has_weights(folder: Path) -> bool:
    """Whether a folder holds weights."""
    return (folder / FILE).exists()
