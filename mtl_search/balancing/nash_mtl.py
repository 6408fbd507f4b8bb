"""Nash-MTL (Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik & Fetaya, ICML 2022, arXiv 2202.01017)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mtl_search.balancing._gramian import GramianBalancing

REGULARISATION = 1e-9
"""Added to the cosine of each gradient with itself, so that there is a bargain for exactly opposed ones, too. Larger,
it would move the weights of gradients that are not opposed."""
SHORTEST = 1e-12
"""A gradient shorter than this, all together being of length 1, counts as so long: double precision knows its direction
no longer."""
CONVERGED = 1e-9
"""Newton decrement below which the weights are taken as found: about their error, in parts of them. In 1,000 made
problems of up to 40 tasks, 16 steps were the most to it where the gradients do not depend on each other."""
MOST_STEPS = 500
"""Steps of Newton that are taken at most. Where gradients depend on each other, more tasks than dimensions, rounding
kept the decrement at up to 5e-6 in the same problems: all steps are taken, and the weights are as good as they get."""


@dataclass
class NashMTL(GramianBalancing):
    """The Nash bargain between the tasks: weights with ``gramian @ weights == 1 / weights`` (the paper's claim 3.1).

    The paper finds the weights by a row of convex problems, each around the solution of the one before, and so do its
    code and TorchJD's copy of it, which end far from the bargain or divide by zero where they begin from weights that
    some task loses by. We minimise ``weights @ gramian @ weights / 2 - sum(log(weights))``, which is convex, and whose
    derivative is zero there and only there: by damped Newton, without a memory of earlier steps.

    The paper's weights make a step whose length is the root of the number of tasks, whatever the gradients. So does the
    authors' code: it divides the Gramian by its Frobenius norm for its solver, and puts the scale back. Here it is not
    put back (ours): tasks that agree then take the step that they take without balancing, at the same learning rate.

    :param max_norm: Longest step at what is shared; the authors' code has 1. 0 for no limit, as in the paper.
    """

    name = "nash_mtl"
    max_norm: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    def weights(self, gramian: Tensor) -> Tensor:
        lengths = gramian.diagonal().sqrt().clamp(min=SHORTEST)
        cosines = gramian / torch.outer(lengths, lengths)
        return gramian.norm().sqrt() * bargain(cosines) / lengths

    def aggregate(self, jacobian: Tensor) -> Tensor:
        step = super().aggregate(jacobian)
        norm = step.norm()
        return step * (self.max_norm / norm) if 0 < self.max_norm < norm else step


def bargain(cosines: Tensor) -> Tensor:
    """The weights ``[tasks]`` with ``cosines @ weights == 1 / weights``, by damped Newton.

    :param cosines: ``[tasks, tasks]``, positive semidefinite.
    """
    matrix = cosines + REGULARISATION * torch.eye(len(cosines), dtype=cosines.dtype)
    weights = torch.ones_like(matrix[0])
    for _ in range(MOST_STEPS):
        slope = matrix @ weights - 1 / weights
        step = torch.linalg.solve(matrix + weights.pow(-2).diag(), slope)
        decrement = (slope @ step).clamp(min=0).sqrt()
        weights = weights - step / (1 + decrement)
        if decrement < CONVERGED:
            break
    return weights
