"""Balancings for which the inner products of the tasks' gradients are enough."""

from abc import abstractmethod

import torch
from torch import Tensor

from mtl_search.balancing import GradientBalancing

COLUMNS = 2**20
"""Values of each task's gradient that are in double precision at a time: 8 MB for each task, whatever the network."""


class GramianBalancing(GradientBalancing):
    """Combines the gradients with weights that follow from their inner products alone.

    The products are taken in double precision and divided by their trace: solvers have absolute tolerances, and
    gradients shrink during a training. The weights of all these algorithms are the same at any scale.
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
        return self.weights(products / size).to(jacobian) @ jacobian


def gramian(jacobian: Tensor) -> Tensor:
    """The inner products of gradients ``[tasks, values]`` with each other: ``[tasks, tasks]``, double, on the CPU."""
    parts = [part.double() @ part.double().T for part in jacobian.split(COLUMNS, dim=1)]
    return torch.stack(parts).sum(dim=0).cpu()
