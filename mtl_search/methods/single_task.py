"""One network per task: the reference of Delta_m."""

from dataclasses import dataclass

from mtl_search.methods import Method, Problem
from mtl_search.networks.paths import PathNetwork


@dataclass(frozen=True)
class SingleTask(Method):
    """One network for each task, nothing shared; the tasks are trained side by side."""

    name = "single_task"

    def build(self, problem: Problem) -> PathNetwork:
        places = len(problem.shapes)
        return problem.path_network([(number,) * places for number in range(len(problem.tasks))])
