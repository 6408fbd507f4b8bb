"""What TorchJD's aggregators need around them; the only module that imports it.

TorchJD (Quinton & Rey, Jacobian Descent for Multi-Objective Optimization, 2024, arXiv 2406.16232).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Generator, Tensor
from torch.nn import Parameter

from mtl_search.balancing import GradientBalancing
from mtl_search.errors import UserError
from mtl_search.seeds import generator

missing: ImportError | None = None
try:
    import torchjd.aggregation
    import torchjd.linalg
except ImportError as error:
    missing = error

Algorithm = Callable[[Tensor], Tensor]
"""Jacobian ``[tasks, values]`` to gradient ``[values]``, or Gramian ``[tasks, tasks]`` to weights ``[tasks]``."""
COLUMNS = 2**20
"""Values of each task's gradient that are in double precision at a time."""


class TorchJDBalancing(GradientBalancing):
    """Leaves the mathematics to TorchJD."""

    @abstractmethod
    def algorithm(self, tasks: int) -> Algorithm:
        """The object of TorchJD that does the work, for this many tasks, with no memory of earlier trainings."""

    def check(self) -> None:
        try:
            self.algorithm(2)
        except ImportError as error:
            raise UserError(f"balancing `{self.name}` needs TorchJD: pip install 'mtl-search[balancing]'.") from error

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        super().start(tasks, parameters, seed)
        self.solve = self.algorithm(len(tasks))
        self.lot = generator(seed, "balancing")

    def aggregate(self, jacobian: Tensor) -> Tensor:
        with _global_draws_from(self.lot, jacobian.device):
            return self.solve(jacobian)


class GramianBalancing(TorchJDBalancing):
    """Combines the gradients with weights that follow from their inner products alone.

    The products are taken in double precision and divided by their trace: TorchJD's tolerances are absolute numbers,
    and gradients shrink during a training. The weights of all these algorithms are the same at any scale.
    """

    @abstractmethod
    def weights(self, gramian: Tensor) -> Tensor:
        """The weights of the gradients, ``[tasks]``; with weights of 1 they are added up.

        :param gramian: ``[tasks, tasks]``, double, on the CPU, of trace 1.
        """

    def aggregate(self, jacobian: Tensor) -> Tensor:
        products = gramian(jacobian)
        size = products.trace()
        if not size:
            return torch.zeros_like(jacobian[0])
        with _global_draws_from(self.lot, torch.device("cpu")):
            weights = self.weights(products / size)
        return weights.to(jacobian) @ jacobian


def gramian(jacobian: Tensor) -> Tensor:
    """The inner products of gradients ``[tasks, values]`` with each other: ``[tasks, tasks]``, double, on the CPU."""
    parts = [part.double() @ part.double().T for part in jacobian.split(COLUMNS, dim=1)]
    return torch.stack(parts).sum(dim=0).cpu()


def library() -> ModuleType:
    """TorchJD, of which ``aggregation`` and ``linalg`` are loaded.

    :raises ImportError: If it is not installed. What an algorithm needs besides, it asks for when it is made.
    """
    if missing is not None:
        raise missing
    return torchjd


@contextmanager
def _global_draws_from(lot: Generator, device: torch.device) -> Iterator[None]:
    """TorchJD draws from torch's global generators: for a while they draw from ``lot``, then are as they were."""
    sources = [torch.default_generator]
    if device.type == "cuda":
        sources.append(torch.cuda.default_generators[device.index or 0])
    kept = [source.get_state() for source in sources]
    for source in sources:
        source.manual_seed(int(torch.randint(2**62, (), generator=lot)))
    try:
        yield
    finally:
        for source, state in zip(sources, kept, strict=True):
            source.set_state(state)
