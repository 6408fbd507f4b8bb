"""Weights and checkpoints on disk: safetensors, which runs no code when it is read."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from mtl_search.errors import RunFolderError, UserError
from mtl_search.internal.files import write_bytes
from mtl_search.internal.layout import CHECKPOINT, WEIGHTS
from mtl_search.internal.reading import parse_json
from mtl_search.training.checkpoint import Checkpoint


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write ``weights.safetensors`` into a folder. No weights write nothing."""
    if weights:
        _save(folder / WEIGHTS, weights, {})


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The weights that :func:`save_weights` wrote into a folder.

    :raises RunFolderError: If they cannot be read.
    """
    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise RunFolderError(
            f"{folder / WEIGHTS}: holds no weights: {error}. Put it back from a copy, or train the network again."
        ) from error


def check_weights(folder: Path) -> None:
    """Check that the weights in a folder are whole, from their header.

    :raises RunFolderError: If they are not, or are not there.
    """
    try:
        with safe_open(folder / WEIGHTS, framework="pt"):
            return
    except (OSError, SafetensorError) as error:
        raise RunFolderError(
            f"{folder / WEIGHTS}: holds no weights: {error}. Put it back from a copy, or remove it to do without."
        ) from error


def has_weights(folder: Path) -> bool:
    """Whether a folder holds weights."""
    return (folder / WEIGHTS).exists()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``training.safetensors`` into a folder; what is no tensor stands in its header."""
    _save(folder / CHECKPOINT, checkpoint.tensors, {"values": json.dumps(checkpoint.values)})


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint that :func:`save_checkpoint` wrote into a folder; ``None`` if there is none that is whole."""
    try:
        with safe_open(folder / CHECKPOINT, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
            values = parse_json((file.metadata() or {}).get("values", ""))
    except (OSError, SafetensorError, UserError):
        return None
    epoch = values.get("epoch") if isinstance(values, dict) else None
    return Checkpoint(tensors, values) if isinstance(epoch, int) and epoch > 0 else None


def _save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save({name: value.contiguous() for name, value in tensors.items()}, metadata=dict(header)))
