"""What holds for every method: the same budget for all, networks that learn in every part, the same seed the same end.

Everything registered is tested; every recipe that comes with the package is pinned in one table.
"""

import re
from dataclasses import dataclass
from itertools import chain

import pytest
import torch
from torch import nn

from made_networks import single_threaded
from made_problems import TRAINING, made_dataset, solve
from mtl_search import cost
from mtl_search.cli.commands import list_names
from mtl_search.cli.listing import listing
from mtl_search.comparison.recipes import Baseline, load_baselines
from mtl_search.datasets import Dataset
from mtl_search.internal.registry import METHODS
from mtl_search.methods import Method, MethodContext
from mtl_search.spaces.experiment import load_experiment
from mtl_search.spaces.yaml_files import yaml_files
from mtl_search.tasks import Classification
from mtl_search.testing import check_method
from mtl_search.testing._budget import budget_of_all

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

every_method = pytest.mark.parametrize("name", METHODS.names()[::-1])  # what is quick stands first


@dataclass(frozen=True)
class Pinned:
    """What the network of a recipe costs, on the backbone of ``quickstart``, for its two tasks of ten classes.

    :param macs: Of all tasks together.
    :param macs_of_one: Of one task alone, the mean over tasks.
    """

    learnable: int
    fixed: int
    macs: int
    macs_of_one: int


PINNED = {
    "balanced@uncertainty": Pinned(23_724, 0, 1_893_408, 1_891_488),
    "balanced@dwa": Pinned(23_724, 0, 1_893_408, 1_891_488),
    "balanced@pcgrad": Pinned(23_724, 0, 1_893_408, 1_891_488),
    "balanced@cagrad": Pinned(23_724, 0, 1_893_408, 1_891_488),
    "balanced@upgrad": Pinned(23_724, 0, 1_893_408, 1_891_488),
    "conal": Pinned(43_588, 0, 3_782_976, 1_891_488),  # the tasks part before the stem
    "cross_stitch": Pinned(44_004, 0, 3_782_976, 3_781_056),
    "etr_nlp@0.9": Pinned(15_102, 6_200, 2_424_282, 2_161_380),
    "etr_nlp@0.8": Pinned(15_552, 6_700, 2_547_321, 2_038_422),
    "etr_nlp@0.8-mixed": Pinned(17_382, 6_700, 4_080_246, 2_372_547),
    "hard_sharing": Pinned(23_724, 0, 1_893_408, 1_891_488),
    "hard_sharing_widths@0.5": Pinned(6_976, 0, 480_144, 479_184),
    "hard_sharing_widths@0.75": Pinned(14_126, 0, 1_070_136, 1_068_696),
    "hard_sharing_widths@1.5": Pinned(50_264, 0, 4_239_792, 4_236_912),
    "interrogate@0.05": Pinned(36_901, 0, 3_109_380, 2_617_572),  # no target is reached in so few steps
    "interrogate@0.15": Pinned(36_901, 0, 3_109_380, 2_617_572),
    "interrogate@0.3": Pinned(36_901, 0, 3_109_380, 2_617_572),
    "interrogate@0.4": Pinned(36_901, 0, 3_109_380, 2_617_572),
    "interrogate@0.5": Pinned(38_357, 0, 3_261_012, 2_687_556),
    "interrogate_budget": Pinned(37_265, 0, 3_156_036, 2_629_236),
    "learning_to_branch": Pinned(37_644, 0, 3_013_152, 1_891_488),  # leaves the trunk after the second layer
    "mtan": Pinned(64_076, 0, 6_828_576, 4_359_072),
    "recon": Pinned(23_812, 0, 3_782_976, 1_891_488),  # a stem for each task
    "single_task": Pinned(43_588, 0, 3_782_976, 1_891_488),
}


@every_method
@pytest.mark.thin(9)
def test_the_contract(name: str) -> None:
    check_method(METHODS.get(name))


def test_the_budget_is_that_of_the_settings() -> None:
    samples, rates, decays = zip(*budget_of_all().steps, strict=True)
    steps = TRAINING.epochs * 4
    assert budget_of_all().optimiser is torch.optim.AdamW
    assert [len(batch) for batch in samples] == [TRAINING.batch_size] * steps
    assert list(decays) == [TRAINING.weight_decay] * steps
    assert max(rates) == pytest.approx(TRAINING.learning_rate, rel=0.1)
    assert rates[-1] < 1e-4 * TRAINING.learning_rate
    first, second = (list(chain(*samples[start : start + 4])) for start in (0, 4))
    assert len(set(first)) == len(first)
    assert first != second


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """Of the shape that ``quickstart`` has."""
    tasks = (Classification("left"), Classification("right"))
    return made_dataset(tasks, side=36, sizes={"train": 128, "val": 32})


def network_of(baseline: Baseline, problem: MethodContext) -> nn.Module:
    """What a method ends with; not trained where that is what it begins with."""
    if type(baseline.method).train is Method.train:
        return baseline.method.build(problem)
    return solve(baseline.method, problem).trained.model


@pytest.mark.parametrize("baseline", load_baselines(["all"]), ids=lambda baseline: baseline.key)
@pytest.mark.thin(3)
def test_what_the_networks_of_the_recipes_cost(baseline: Baseline, digits: Dataset) -> None:
    backbone = load_experiment("quickstart").backbone.build()
    problem = MethodContext(backbone, digits, TRAINING, width_multiplier=baseline.width_multiplier)
    model = network_of(baseline, problem)
    found = cost.measure(model, digits.input_shape)
    one = baseline.method.macs_of_one_task(model, problem)
    assert Pinned(found.learnable_parameters, found.fixed_parameters, found.macs, one) == PINNED[baseline.key]


def test_nothing_is_pinned_that_is_not_shipped() -> None:
    assert set(PINNED) == {baseline.key for baseline in load_baselines(["all"])}


def test_every_recipe_says_what_it_is_in_a_line() -> None:
    lines = listing("baselines")
    assert list(lines) == sorted(yaml_files("baselines"))
    for name, line in lines.items():
        assert line.endswith("."), name
        assert "\n" not in line, name
        assert 20 < len(line) <= 100, name


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    list_names("baselines")
    printed = capsys.readouterr().out
    for name, line in listing("baselines").items():
        assert re.search(rf"^{name} +{re.escape(line)}$", printed, re.MULTILINE)


def test_every_registered_method_has_a_recipe() -> None:
    used = {baseline.method.name for baseline in load_baselines(["all"])}
    assert used == set(METHODS.names())
