"""The ends of the costs of a space: near the true ones, and found in a bounded number of steps."""

import pytest

from made_runs import made_experiment
from mtl_search.cost import estimate
from mtl_search.searching import cost_range as module
from mtl_search.searching.cost_range import cost_ends
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.layer_space import LayerSpace
from mtl_search.spaces.space import SearchSpace
from mtl_search.tasks import Binary

TASKS = (Binary("a"), Binary("b"))
SHAPE = (1, 8, 8)
COSTS = ("learnable_parameters", "fixed_parameters", "macs")


def test_they_are_found_nearly_from_a_few_architectures() -> None:
    changes = ["space.bank=[paper, linear, orthonormal7]", "space.shared_ratio=[1.0, 0.75, 0.25]"]
    space = made_experiment([*changes, "space.width_multiplier=[0.5, 1.5]"]).search_space
    true, found = cost_ends(space, TASKS, SHAPE, space.size), cost_ends(space, TASKS, SHAPE)
    assert (true.about, found.about) == (False, False)
    for name in COSTS:
        assert getattr(true.low, name) <= getattr(found.low, name) <= 1.05 * getattr(true.low, name)
        assert getattr(true.high, name) >= getattr(found.high, name) >= 0.95 * getattr(true.high, name)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [4, 256])
def test_of_a_very_large_space_they_are_looked_for_within_limits(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = LayerSpace(("paper",), tuple(number / 100 for number in range(1, 101)), tuple(range(1, 11)))
    widths = tuple(1 + number / 100 for number in range(100))
    space = SearchSpace(Backbone((Stage(20, depth=depth),)), (layer,) * depth, widths)
    costed = []
    monkeypatch.setattr(module.cost, "estimate", lambda one, *_, **given: costed.append(one) or estimate(one, **given))
    found = cost_ends(space, TASKS, SHAPE)
    assert found.about
    assert len(costed) * depth <= 2 * module.MOST_LAYERS_DRAWN + 18 * module.MOST_LAYERS_TRIED
    alike = [estimate(one, TASKS, SHAPE) for one in ends_of(space)]
    for name in COSTS:
        assert getattr(found.low, name) <= min(getattr(one, name) for one in alike)
        assert getattr(found.high, name) >= max(getattr(one, name) for one in alike)


def ends_of(space: SearchSpace) -> list[Architecture]:
    """Architectures of equal layers that have the least or the greatest option everywhere."""
    depth = space.backbone.layers
    layer = LayerSpace(("paper",), (0.01, 1.0), (1, 10))
    return list(SearchSpace(space.backbone, (layer,) * depth, (1.0, 1.99)).uniform())
