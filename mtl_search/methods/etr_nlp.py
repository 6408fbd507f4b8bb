"""ETR-NLP (Ding, Lu, Wang, Cheng & Boddeti, CVPR 2023, arXiv 2308.02066)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import nn

from mtl_search.methods import Method, MethodContext
from mtl_search.methods._candidate import Candidate
from mtl_search.networks.network import MultiTaskNetwork
from mtl_search.spaces.architecture import Architecture, LayerChoice, Routing, Specific
from mtl_search.spaces.banks import default_bank


@dataclass(frozen=True)
class ETRNLP(Method):
    """A fixed architecture: one sharing ratio and one bank of non-learnable primitives in all layers.

    Our reading: the paper's code was never published. Of two independent re-implementations both have an ordinary
    convolution in the tasks' branches, and a pass for each task.

    :param shared_ratio: Shared channels / all channels, gamma in the paper. The re-implementations have 0.8 and 0.9.
    :param bank: The primitives. ``paper`` is our reading: which ones the paper has is not known to us. Random kernels,
        average pooling and perturbation are in both re-implementations, shift in one, dilated kernels in the other.
        They are for images: on the rows of a table ``vector`` takes their place.
    :param branch_depth: Learned sub-layers in each task's branch.
    :param specific: What the branches are made of: ``nlp`` (the paper's wording) or ``conv`` (as re-implemented).
    :param routing: ``strict`` (ours), or ``mixed`` (as re-implemented): a pass for each task.
    """

    name = "etr_nlp"
    shared_ratio: Annotated[float, Field(ge=0, le=1)] = 0.9
    bank: str = "paper"
    branch_depth: Annotated[int, Field(ge=1)] = 1
    specific: Specific = "nlp"
    routing: Routing = "strict"

    def first_banks(self, context: MethodContext) -> set[str]:
        return self._candidate(context).first_banks(context)

    def build(self, context: MethodContext) -> MultiTaskNetwork:
        return self._candidate(context).build(context)

    def macs_of_one_task(self, model: nn.Module, context: MethodContext) -> int:
        return self._candidate(context).macs_of_one_task(model, context)

    def _candidate(self, context: MethodContext) -> Candidate:
        bank = default_bank(context.backbone.kind) if self.bank == "paper" else self.bank
        choice = LayerChoice(bank, self.shared_ratio, self.branch_depth)
        layers = (choice,) * context.backbone.layers
        return Candidate(Architecture(context.backbone, layers, context.width_multiplier, self.specific, self.routing))
