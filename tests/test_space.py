from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mtl_search.errors import FieldError, UnknownNameError
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.experiment import load_space
from mtl_search.spaces.layer_space import LayerSpace
from mtl_search.spaces.space import Granularity, SearchSpace

BACKBONE = Backbone((Stage(8, depth=2), Stage(12, stride=2)))
LAYER = LayerSpace(("paper", "linear"), (1.0, 0.5, 0.25), (1, 3, 2))
FIXED = LayerSpace(("conv",), (0.5,), (1,))

SPACES = {
    "layer": SearchSpace(BACKBONE, (LAYER, LayerSpace(), FIXED), (0.5, 1.0)),
    "stage": SearchSpace(BACKBONE, (LAYER, LAYER, FIXED), (2.0, 0.5, 1.0), "stage"),
    "network": SearchSpace(BACKBONE, (LAYER,) * 3, (1.0,), "network", "conv", "mixed"),
    "no ratio of 1": SearchSpace(BACKBONE, (LayerSpace(("random",), (0.75, 0.5), (0, 1)),) * 3),
}
SIZES = {"layer": 2 * 14 * 4 * 1, "stage": 3 * 14 * 1, "network": 14, "no ratio of 1": 4**3}

every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


class Asked:
    """Answers every question with the option at ``index`` and records what was asked."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.questions: dict[str, list[Any]] = {}

    def __call__(self, name: str, options: Sequence[Any]) -> Any:
        assert name not in self.questions
        self.questions[name] = list(options)
        return options[self.index % len(options)]


def assert_same_within_groups(space: SearchSpace, architecture: Architecture) -> None:
    for group in space.groups():
        assert len({architecture.layers[layer] for layer in group}) == 1


def changes_between(space: SearchSpace, one: Architecture, other: Architecture) -> int:
    """How many groups, the width counted as one, differ."""
    groups = sum(one.layers[group[0]] != other.layers[group[0]] for group in space.groups())
    return groups + (one.width_multiplier != other.width_multiplier)


@every_space
def test_same_seed_draws_the_same(space: SearchSpace) -> None:
    assert [space.sample(seed) for seed in range(100)] == [space.sample(seed) for seed in range(100)]
    assert len({space.sample(seed) for seed in range(100)}) > min(space.size, 100) / 2


@every_space
def test_samples_are_contained(space: SearchSpace) -> None:
    for seed in range(300):
        architecture = space.sample(seed)
        assert space.contains(architecture)
        assert_same_within_groups(space, architecture)


@pytest.mark.parametrize("name", SPACES)
def test_size_is_the_number_of_different_architectures(name: str) -> None:
    space = SPACES[name]
    listed = list(space.architectures())
    assert space.size == len(listed) == len(set(listed)) == SIZES[name]
    assert all(space.contains(architecture) for architecture in listed)


@every_space
def test_sampling_reaches_the_whole_space(space: SearchSpace) -> None:
    assert {space.sample(seed) for seed in range(40 * space.size)} == set(space.architectures())


def test_quickstart_has_its_size() -> None:
    assert load_space("quickstart").size == 3 * (3 * (1 + 3 * 2)) ** 3


def test_depth_is_asked_only_below_a_ratio_of_one() -> None:
    sharing, branching = Asked(0), Asked(1)
    SPACES["layer"].resolve(sharing)
    SPACES["layer"].resolve(branching)
    first = ["width_multiplier", "layer0.bank", "layer0.shared_ratio"]
    assert list(sharing.questions) == [*first, "layer1.shared_ratio"]
    assert list(branching.questions) == [*first, "layer0.branch_depth", "layer1.shared_ratio"]
    assert branching.questions["layer0.branch_depth"] == [1, 3, 2]
    assert branching.questions["width_multiplier"] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("name", "questions"),
    [
        ("stage", ["width_multiplier", "stage0.bank", "stage0.shared_ratio", "stage0.branch_depth"]),
        ("network", ["network.bank", "network.shared_ratio", "network.branch_depth"]),
    ],
)
def test_layers_that_choose_together_are_asked_once(name: str, questions: list[str]) -> None:
    asked = Asked(1)
    architecture = SPACES[name].resolve(asked)
    assert list(asked.questions) == questions
    assert_same_within_groups(SPACES[name], architecture)


@pytest.mark.parametrize(
    ("granularity", "groups"),
    [("layer", [[0], [1], [2]]), ("stage", [[0, 1], [2]]), ("network", [[0, 1, 2]])],
)
def test_granularity_groups_layers(granularity: Granularity, groups: list[list[int]]) -> None:
    space = SearchSpace(BACKBONE, (LAYER,) * 3, granularity=granularity)
    assert [list(group) for group in space.groups()] == groups


def test_granularity_refuses_groups_of_different_options() -> None:
    with pytest.raises(FieldError, match=r"`granularity` joins layers whose options differ, but got 'stage'"):
        SearchSpace(BACKBONE, (LAYER, FIXED, LAYER), granularity="stage")


@every_space
def test_neighbours_are_other_architectures_of_the_space_one_change_away(space: SearchSpace) -> None:
    for architecture in space.architectures():
        neighbours = space.neighbours(architecture)
        assert neighbours
        assert len(set(neighbours)) == len(neighbours)
        assert architecture not in neighbours
        for neighbour in neighbours:
            assert space.contains(neighbour)
            assert changes_between(space, architecture, neighbour) == 1


@every_space
def test_neighbourhood_is_symmetric_and_connected(space: SearchSpace) -> None:
    neighbours = {architecture: set(space.neighbours(architecture)) for architecture in space.architectures()}
    for architecture, others in neighbours.items():
        assert all(architecture in neighbours[other] for other in others)
    reached, edge = set(), {next(iter(neighbours))}
    while edge:
        reached |= edge
        edge = {other for architecture in edge for other in neighbours[architecture]} - reached
    assert reached == set(neighbours)


def test_options_step_to_the_next_in_order() -> None:
    space = SPACES["stage"]
    wide = replace(space.sample(0), width_multiplier=2.0)
    widths = {other.width_multiplier for other in space.neighbours(wide)}
    assert widths == {2.0, 1.0}


def test_contains_refuses_what_the_space_does_not_offer() -> None:
    space = SPACES["stage"]
    inside = next(found for found in space.architectures() if found.layers[0].shared_ratio == 0.5)
    deep, shared = replace(inside.layers[0], branch_depth=7), replace(inside.layers[0], shared_ratio=0.6)
    other_bank = replace(inside.layers[0], bank="sobel")
    outside = [
        replace(inside, width_multiplier=3.0),
        replace(inside, specific="conv"),
        replace(inside, routing="mixed"),
        replace(inside, backbone=replace(BACKBONE, stem=4)),
        replace(inside, layers=(other_bank, other_bank, inside.layers[2])),
        replace(inside, layers=(deep, deep, inside.layers[2])),
        replace(inside, layers=(shared, shared, inside.layers[2])),
        replace(inside, layers=(inside.layers[0], replace(inside.layers[0], shared_ratio=0.25), inside.layers[2])),
    ]
    assert space.contains(inside)
    assert [space.contains(architecture) for architecture in outside] == [False] * len(outside)


def test_a_space_checks_its_options() -> None:
    with pytest.raises(FieldError, match=r"`shared_ratio` must be a number from 0 to 1, but got 1\.3"):
        LayerSpace(shared_ratio=(1.3,))
    with pytest.raises(FieldError, match="`bank` must not offer the same option twice"):
        LayerSpace(bank=("paper", "paper"))
    with pytest.raises(FieldError, match="`branch_depth` must offer at least one option"):
        LayerSpace(branch_depth=())
    with pytest.raises(UnknownNameError, match="Did you mean `sobel`"):
        LayerSpace(bank=("sobl",))
    with pytest.raises(FieldError, match="`layers` must hold 3 spaces, one per layer, but got 1"):
        SearchSpace(BACKBONE, (LAYER,))


@pytest.mark.parametrize(
    ("name", "seed", "expected"),
    [
        ("quickstart", 0, "x1 [orthonormal 100% · orthonormal 25%/2 · orthonormal 25%/2]"),
        ("quickstart", 1, "x0.5 [conv 100% · orthonormal 100% · orthonormal 25%/2]"),
        ("quickstart", 2, "x0.5 [nonlinear 100% · orthonormal 75%/2 · orthonormal 75%/1]"),
        ("quickstart", 3, "x0.5 [conv 75%/2 · conv 25%/1 · conv 100%]"),
    ],
)
def test_seeds_are_pinned(name: str, seed: int, expected: str) -> None:
    assert str(load_space(name).sample(seed)) == expected
