"""Hard parameter sharing (Caruana, 1997)."""

from dataclasses import dataclass

from mtl_search.methods import Method, Problem
from mtl_search.networks.paths import PathNetwork


@dataclass(frozen=True)
class HardSharing(Method):
    """One trunk that all tasks share, and a head for each."""

    name = "hard_sharing"

    def build(self, problem: Problem) -> PathNetwork:
        return problem.path_network([(0,) * len(problem.shapes) for _ in problem.tasks])
