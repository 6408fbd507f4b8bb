"""Where a training stands after an epoch, and how one that does not fit is refused."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mtl_search.errors import CheckpointError


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands after an epoch: all that is needed to go on as if it had never stopped.

    :param tensors: The network's and the optimiser's state, those of the generators and of the balancing.
    :param values: Plain data for JSON: ``epoch``, the epochs trained, and the state of the schedule.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    @property
    def epoch(self) -> int:
        """Epochs trained."""
        return int(self.values["epoch"])

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``<prefix>.``, without it."""
        return {
            name.removeprefix(f"{prefix}."): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(f"{prefix}.")
        }


@contextmanager
def restoring() -> Iterator[None]:
    """Where something is taken from a checkpoint, which is a file that may have been damaged or exchanged.

    :raises CheckpointError: If it does not hold what is taken from it.
    """
    try:
        yield
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"not a checkpoint of this training: {error}") from error
