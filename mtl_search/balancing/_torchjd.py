"""What TorchJD's aggregators need around them; the only module that imports it.

TorchJD (Quinton & Rey, Jacobian Descent for Multi-Objective Optimization, 2024, arXiv 2406.16232).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Generator, Tensor
from torch.nn import Parameter

from mtl_search.balancing import RNG_STATE, GradientBalancing
from mtl_search.balancing._gramian import GramianBalancing
from mtl_search.errors import UserError
from mtl_search.internal.seeds import generator

missing: ImportError | None = None
try:
    import torchjd.aggregation
    import torchjd.linalg
except ImportError as error:
    missing = error

Algorithm = Callable[[Tensor], Tensor]
"""Jacobian ``[tasks, values]`` to gradient ``[values]``, or Gramian ``[tasks, tasks]`` to weights ``[tasks]``."""


class TorchJDBalancing(GradientBalancing):
    """Leaves the mathematics to TorchJD."""

    @abstractmethod
    def algorithm(self, tasks: int) -> Algorithm:
        """The object of TorchJD that does the work, for this many tasks.

        :raises ImportError: If something that it needs is not installed.
        """

    def check(self) -> None:
        try:
            self.algorithm(2)
        except ImportError as error:
            raise UserError(f"balancing `{self.name}` needs TorchJD: pip install 'mtl-search[balancing]'.") from error

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        super().start(tasks, parameters, seed)
        self.made = self.algorithm(len(tasks))
        self.rng = generator(seed, "balancing")

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), RNG_STATE: self.rng.get_state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        super().restore(state)
        self.rng.set_state(state[RNG_STATE])

    def solve(self, matrix: Tensor) -> Tensor:
        """What :meth:`algorithm` makes of a matrix; whatever it draws comes from the seed of the training."""
        with _global_draws_from(self.rng, matrix.device):
            return self.made(matrix)


class TorchJDWeighting(TorchJDBalancing, GramianBalancing):
    """Leaves the weights of the gradients to TorchJD."""


def library() -> ModuleType:
    """TorchJD, of which ``aggregation`` and ``linalg`` are loaded.

    :raises ImportError: If it is not installed. What an algorithm needs besides, it asks for when it is made.
    """
    if missing is not None:
        raise missing
    return torchjd


@contextmanager
def _global_draws_from(rng: Generator, device: torch.device) -> Iterator[None]:
    """TorchJD draws from torch's global generators: for a while they draw from ``rng``, then are as they were."""
    sources = [torch.default_generator]
    if device.type == "cuda":
        sources.append(torch.cuda.default_generators[device.index or 0])
    kept = [source.get_state() for source in sources]
    for source in sources:
        # a seed has 64 bits, of which `randint` draws 63 at most
        source.manual_seed(int(torch.randint(2**62, (), generator=rng)))
    try:
        yield
    finally:
        for source, state in zip(sources, kept, strict=True):
            source.set_state(state)
