"""Nash-MTL (Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik & Fetaya, ICML 2022, arXiv 2202.01017)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, GramianBalancing, library

EXPECTED = (
    "You are solving a parameterized problem that is not DPP",  # it is compiled anew for every solve: slow, not wrong
    "Solution may be inaccurate",  # one of a row of approximations, when gradients oppose each other almost exactly
)
"""What CVXPY has to say about TorchJD's problem, which nobody who trains a network can act on."""


@dataclass
class NashMTL(GramianBalancing):
    """The Nash bargain between the tasks: weights with ``gramian @ weights == 1 / weights`` (the paper's algorithm 1).

    TorchJD's ``NashMTL``, which starts from the weights of the step before. Those of the paper make a step of the same
    length whatever the gradients; like the authors' code, it has them for a Gramian divided by its Frobenius norm,
    so that tasks that agree take the step that they take without balancing. Where a task has no gradient at all there
    is nothing to bargain about, and the gradients are added up.

    :param max_norm: Longest step at what is shared; the authors' code has 1. 0 for no limit, as in the paper.
    :param iterations: Convex problems solved in one step, at most.
    """

    name = "nash_mtl"
    max_norm: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    iterations: Annotated[int, Field(ge=1)] = 20

    def algorithm(self, tasks: int) -> Algorithm:
        made = library().aggregation.NashMTL(n_tasks=tasks, max_norm=0.0, optim_niter=self.iterations)
        return made.weighting

    def weights(self, gramian: Tensor) -> Tensor:
        if not bool(gramian.diagonal().all()):
            return torch.ones_like(gramian[0])
        with _without_expected_warnings():
            return self.solve(_root(gramian))

    def aggregate(self, jacobian: Tensor) -> Tensor:
        step = super().aggregate(jacobian)
        norm = step.norm()
        return step * (self.max_norm / norm) if 0 < self.max_norm < norm else step


def _root(gramian: Tensor) -> Tensor:
    """A small stand-in for the Jacobian, with the same Gramian: ``[tasks, tasks]``."""
    values, vectors = torch.linalg.eigh(gramian)
    return vectors * values.clamp(min=0).sqrt()


@contextmanager
def _without_expected_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message, UserWarning)
        yield
