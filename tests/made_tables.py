"""A table of trained architectures that is made in seconds."""

from pathlib import Path

from tables import make

TINY = """
dataset: {name: yeast}
backbone: {kind: vector, stem: 8, stages: [{width: 8}, {width: 8}]}
space:
  bank: [conv]
  shared_ratio: [1.0, 0.5]
  branch_depth: [1]
  width_multiplier: [0.5, 1.0]
  layers:
    0: {bank: [vector_nonlinear, conv], shared_ratio: [1.0]}
    1: {shared_ratio: [1.0, 0.5, 0.0]}
training: {epochs: 3, batch_size: 256, learning_rate: 0.01}
search: {trials: 12, sampler: random, learning_curves: true}
"""
"""An experiment of 12 architectures, each trained in some tenths of a second."""
ARCHITECTURES, SEEDS, EPOCHS = 12, 2, 3


def tiny_experiment(folder: Path) -> Path:
    """The YAML file of :data:`TINY`, written to a folder."""
    path = folder / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


def make_tiny(folder: Path, *arguments: str) -> int:
    """The status of the command that makes the table in a folder."""
    return make.main([str(tiny_experiment(folder)), "--out", str(folder), "--seeds", str(SEEDS), *arguments])
