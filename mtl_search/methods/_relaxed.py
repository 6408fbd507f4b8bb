"""Relaxed networks on the backbone of a context, and the paths that tasks choose between in them."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mtl_search.methods import MethodContext
from mtl_search.networks.paths import Path
from mtl_search.networks.relaxed import RelaxedNetwork


def relaxed_network(
    context: MethodContext, candidates: Sequence[Sequence[Path]], known: Mapping[str, Tensor] | None = None
) -> RelaxedNetwork:
    """The relaxed network on a context's backbone; new modules start with the weights of the trunk.

    :param candidates: The paths that each task may take, task by task.
    :param known: Weights of an earlier network to go on from.
    """
    model = RelaxedNetwork(
        context.backbone, candidates, context.tasks, context.input_shape, context.seed, context.width_multiplier
    )
    model.start_from(known or {})
    return model


def leaving(task: int, place: int, places: int) -> Path:
    """The trunk up to a place, and from there on the task's private modules."""
    return (0,) * place + (task + 1,) * (places - place)


def group_after(place: int, tasks: int) -> int:
    """Number of the modules that those share who have the trunk in common up to a place, besides private ones."""
    return tasks + 1 + place
