"""One network per task: the reference of Delta_m."""

from dataclasses import dataclass

from mtl_search.methods import Method, MethodContext
from mtl_search.networks.paths import PathNetwork


@dataclass(frozen=True)
class SingleTask(Method):
    """One network for each task, nothing shared; the tasks are trained side by side."""

    name = "single_task"

    def build(self, context: MethodContext) -> PathNetwork:
        places = len(context.shapes)
        return context.path_network([(number,) * places for number in range(len(context.tasks))])
