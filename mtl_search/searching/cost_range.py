"""The lowest and the highest cost of a space, found without costing all of its architectures."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from mtl_search import cost
from mtl_search.cost import Cost
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.layer_space import MOST_OPTIONS, LayerSpace
from mtl_search.spaces.space import SearchSpace
from mtl_search.tasks import Task

SAMPLES = 50
"""Architectures that are drawn by lot: they tell where most of a space lies."""
STARTS = 3
"""Architectures from which each end is looked for: one alone may stop where no single change leads further."""
MOST_LAYERS_DRAWN = 10_000
"""Layers of the architectures that are drawn: 50 of 200 layers. Costing so many takes half a second."""
MOST_LAYERS_TRIED = 6_000
"""Layers of the architectures that are tried on the way to one end, of which there are six from three starts each.
The spaces that come with the package need up to 5,500; all together are some seconds."""


@dataclass(frozen=True)
class CostEnds:
    """The lowest and the highest of each cost in a space.

    :param low: The lowest of each; they may be of several architectures.
    :param high: The highest of each.
    :param about: Whether the space is too large to look for them to the end.
    """

    low: Cost
    high: Cost
    about: bool


@functools.lru_cache(maxsize=1)  # a check asks for them twice
def cost_ends(
    space: SearchSpace, tasks: tuple[Task, ...], input_shape: tuple[int, ...], samples: int = SAMPLES
) -> CostEnds:
    """The ends of each cost of a space.

    Of a small space they are those of all architectures. Of a larger one they are the ends that are found from some
    architectures, drawn by lot or of equal layers, by changing one choice after the other as long as that leads
    further; in a very large one only for some steps.

    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    :param samples: Architectures to draw; a space of at most so many is small.
    """
    is_small = space.size <= samples
    drawn = list(space.architectures()) if is_small else _drawn(space, samples)
    tries = 0 if is_small else max(1, MOST_LAYERS_TRIED // space.backbone.layers)
    estimate = functools.cache(functools.partial(cost.estimate, tasks=tasks, input_shape=input_shape))
    cut_short = False

    def end(name: str, sign: int) -> int:
        nonlocal cut_short

        def value(architecture: Architecture) -> int:
            return sign * int(getattr(estimate(architecture), name))

        found = sorted(drawn, key=value)[:STARTS]
        if not is_small:
            descents = [space.descend(one, value, tries) for one in found]
            found = [one for one, _ in descents]
            cut_short |= not all(ended for _, ended in descents)
        return sign * min(map(value, found))

    names = [field.name for field in fields(Cost)]
    low, high = (Cost(*(end(name, sign) for name in names)) for sign in (1, -1))
    return CostEnds(low, high, cut_short)


def _drawn(space: SearchSpace, samples: int) -> Sequence[Architecture]:
    """Architectures of equal layers, from one end of the options to the other, and some by lot."""
    most = MOST_LAYERS_DRAWN // space.backbone.layers
    alike = [one for one in _of_equal_layers(space, most) if space.contains(one)]
    return [*alike, *(space.sample(seed) for seed in range(min(samples, most)))]


def _of_equal_layers(space: SearchSpace, most: int) -> Iterator[Architecture]:
    """At most so many: of each question the same number of options, the least and the greatest among them."""
    first = space.layers[0]
    questions = (space.width_multiplier, first.bank, first.shared_ratio, first.branch_depth)
    each = MOST_OPTIONS
    while each > 2 and math.prod(min(each, len(options)) for options in questions) > most:
        each -= 1
    widths, banks, ratios, depths = (_thinned(options, each) for options in questions)
    thinned = LayerSpace(banks, ratios, depths)
    return replace(space, layers=(thinned,) * space.backbone.layers, width_multiplier=widths).uniform()


def _thinned(options: tuple[Any, ...], most: int) -> tuple[Any, ...]:
    """Of many options so many, at equal distances from the least to the greatest."""
    if len(options) <= most:
        return options
    ordered = sorted(options)
    return tuple(ordered[place * (len(ordered) - 1) // (most - 1)] for place in range(most))
