"""The layers of an architecture as a table, which every drawing of it is made from.

No network is built for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mtl_search.networks.geometry import BlockGeometry, geometry
from mtl_search.spaces.architecture import Architecture, scaled
from mtl_search.spaces.backbone import EXPANSION


@dataclass(frozen=True)
class LayerRow:
    """What one layer (in a residual backbone: one block) is made of.

    :param number: Number of the layer in the network, from 0.
    :param stage: Number of its stage, from 0.
    :param stride: Stride of the layer's operator.
    :param bank: The bank of primitives chosen for it.
    :param shared_ratio: Shared channels / all channels, 0 to 1.
    :param branch_depth: Learned sub-layers in the branch of each task.
    :param width: All channels, shared and specific together.
    :param shared: New channels that all tasks share.
    :param specific: New channels of each task.
    :param carried_shared: Shared channels carried on from before, where it makes no new ones.
    :param carried: Channels of each task carried on from before, where it makes no new ones.
    :param dilation: Dilation of the stage that the layer is in.
    """

    number: int
    stage: int
    stride: int
    bank: str
    shared_ratio: float
    branch_depth: int
    width: int
    shared: int
    specific: int
    carried_shared: int = 0
    carried: int = 0
    dilation: int = 1


def layer_table(architecture: Architecture, input_channels: int = 1) -> list[LayerRow]:
    """The layers of an architecture, input to output.

    :param input_channels: Channels of a sample; matters only where the first layer shares nothing and there is no stem.
    """
    shapes = {"rows": (input_channels,), "sequences": (1, input_channels), "images": (input_channels, 1, 1)}
    network = geometry(architecture, 1, shapes[architecture.backbone.reads])
    return [_row(number, block, architecture) for number, block in enumerate(network.blocks)]


def _row(number: int, block: BlockGeometry, architecture: Architecture) -> LayerRow:
    choice, made, after = architecture.layers[number], block.layers[-1], block.after
    return LayerRow(
        number,
        block.stage,
        block.stride,
        choice.bank,
        choice.shared_ratio,
        choice.branch_depth,
        _width(architecture, block.stage),
        shared=after.shared if made.makes_shared else 0,
        specific=after.specific if made.makes_specific else 0,
        carried_shared=0 if made.makes_shared else after.shared,
        carried=0 if made.makes_specific else after.specific,
        dilation=made.dilation,
    )


def _width(architecture: Architecture, stage: int) -> int:
    """Channels of a layer of a stage, or of a block."""
    width = architecture.width(architecture.backbone.stages[stage])
    return EXPANSION * width if architecture.backbone.kind == "bottleneck" else width


def entry_channels(architecture: Architecture) -> int:
    """Channels of the stem or the embedding, 0 for none."""
    return scaled(architecture.backbone.entry, architecture.width_multiplier) if architecture.backbone.entry else 0


def made_of(architecture: Architecture) -> str:
    """The backbone and what holds for all layers, in words."""
    backbone = architecture.backbone
    unit = f"{backbone.kind} block" if backbone.residual else "layer"
    entry = "embedding" if backbone.embedding else "stem"
    stem = f"{entry} of {counted(entry_channels(architecture), 'channel')}, " if backbone.entry else ""
    branches = "branches of convolutions" if architecture.specific == "conv" else "branches of primitives"
    width = f"width x{architecture.width_multiplier:g}"
    return f"{stem}{counted(backbone.layers, unit)}, {width}, {branches}, {architecture.routing} routing"


def described(architecture: Architecture, rows: Sequence[LayerRow], tasks: Sequence[str]) -> str:
    """An architecture and its layers in words, for who cannot see a drawing."""
    layers = [
        f"Layer {row.number}: {row.bank}, {counted(row.shared, 'shared channel')}, {row.specific} for each task."
        for row in rows
    ]
    return " ".join([f"{made_of(architecture)}; tasks {', '.join(tasks)}.", *layers])


def counted(number: int, noun: str) -> str:
    """``1 layer``, ``3 layers``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def shortened(text: str, length: int) -> str:
    """A text of at most ``length`` characters; an ellipsis stands for what is left out."""
    return text if len(text) <= length else text[: length - 1] + "…"
