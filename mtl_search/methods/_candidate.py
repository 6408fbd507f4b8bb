"""An ETR-NLP architecture as a method, so that it is trained and measured like every other."""

from dataclasses import dataclass

from torch import nn

from mtl_search import cost
from mtl_search.methods import Method, MethodContext
from mtl_search.networks.network import MultiTaskNetwork, build_model
from mtl_search.spaces.architecture import Architecture


@dataclass(frozen=True)
class Candidate(Method):
    """Any ETR-NLP architecture: what a search proposes.

    :param architecture: The architecture, which brings its backbone and width; those of the context are not used.
    """

    name = "etr_nlp"
    architecture: Architecture

    def first_banks(self, context: MethodContext) -> set[str]:
        return set() if self.architecture.backbone.entry else {self.architecture.layers[0].bank}

    def build(self, context: MethodContext) -> MultiTaskNetwork:
        return build_model(self.architecture, context.tasks, context.input_shape, context.seed)

    def macs_of_one_task(self, model: nn.Module, context: MethodContext) -> int:
        each = [cost.estimate(self.architecture, [task], context.input_shape).macs for task in context.tasks]
        return round(sum(each) / len(each))
