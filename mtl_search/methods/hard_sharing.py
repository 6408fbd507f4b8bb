"""Hard parameter sharing (Caruana, 1997)."""

from dataclasses import dataclass

from mtl_search.methods import Method, MethodContext
from mtl_search.networks.paths import PathNetwork


@dataclass(frozen=True)
class HardSharing(Method):
    """One trunk that all tasks share, and a head for each."""

    name = "hard_sharing"

    def build(self, context: MethodContext) -> PathNetwork:
        return context.path_network([(0,) * len(context.shapes) for _ in context.tasks])
