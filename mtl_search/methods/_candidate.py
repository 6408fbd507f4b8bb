"""An ETR-NLP architecture as a method, so that it is trained and measured like every other."""

from dataclasses import dataclass

from torch import nn

from mtl_search import cost
from mtl_search.architecture import Architecture
from mtl_search.methods import Method, Problem
from mtl_search.networks.network import MultiTaskNetwork, build_model


@dataclass(frozen=True)
class Candidate(Method):
    """Any ETR-NLP architecture: what a search proposes.

    :param architecture: Its backbone and width stand in it; those of the problem are not used.
    """

    name = "etr_nlp"
    architecture: Architecture

    def first_banks(self, problem: Problem) -> set[str]:
        return set() if self.architecture.backbone.stem else {self.architecture.layers[0].bank}

    def build(self, problem: Problem) -> MultiTaskNetwork:
        return build_model(self.architecture, problem.tasks, problem.input_shape, problem.seed)

    def macs_of_one_task(self, model: nn.Module, problem: Problem) -> int:
        each = [cost.estimate(self.architecture, [task], problem.input_shape).macs for task in problem.tasks]
        return round(sum(each) / len(each))
