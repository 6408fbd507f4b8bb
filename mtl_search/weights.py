"""Weights and checkpoints on disk: safetensors, which runs no code when it is read."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from mtl_search.files import write_bytes
from mtl_search.layout import CHECKPOINT, WEIGHTS
from mtl_search.training import Checkpoint


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write ``weights.safetensors`` into a folder. No weights write nothing."""
    if weights:
        _save(folder / WEIGHTS, weights, {})


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The weights that :func:`save_weights` wrote into a folder."""
    return load_file(folder / WEIGHTS)


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
            return Checkpoint(tensors, json.loads(file.metadata()["values"]))
    except (FileNotFoundError, SafetensorError):
        return None


def _save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save({name: value.contiguous() for name, value in tensors.items()}, metadata=dict(header)))
