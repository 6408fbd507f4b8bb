"""Networks for the rows of a table: what holds for those for images holds for them."""

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from made_networks import (
    generic_model,
    gradients,
    made_architecture,
    made_inputs,
    made_tasks,
    random_vector_architecture,
    single_threaded,
)
from made_problems import TRAINING, solve
from mtl_search import cost
from mtl_search.cost import Cost
from mtl_search.datasets import Dataset, DatasetSource, Split, make_dataset
from mtl_search.errors import ExperimentError, FieldError, UserError
from mtl_search.exporting.export import export
from mtl_search.internal.registry import METHODS
from mtl_search.methods import MethodContext, make_method
from mtl_search.networks.deployment import deployed
from mtl_search.networks.network import build_model
from mtl_search.networks.pointwise import Pointwise, pointwise
from mtl_search.reporting.drawing_text import text_drawing
from mtl_search.reporting.layer_table import layer_table
from mtl_search.reporting.search_page import write_report
from mtl_search.searching.preparation import check_experiment
from mtl_search.searching.run import search
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.experiment import Experiment, parse_experiment
from mtl_search.tasks import Classification, Regression

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

FEATURES = (13, 64, 8, 9)
RANDOM = range(40)
DEPLOYED = ("interrogate", "mtan")
"""Methods with networks that are not of the ordinary modules alone: a graph of each is made, which takes a while."""
TASKS = (Classification("sign", 2), Regression("sums", size=2))


def shape_of(seed: int) -> tuple[int]:
    return (FEATURES[seed % len(FEATURES)],)


def vector_architecture(bank: str = "vector", ratio: float = 0.5, depth: int = 1, **others: Any) -> Architecture:
    return made_architecture(bank, ratio, depth, strides=(1, 1), kind="vector", **others)


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert list(found) == list(expected)
    for name, output in expected.items():
        limit = tolerance * max(1.0, float(output.detach().abs().max()))
        torch.testing.assert_close(found[name], output, atol=limit, rtol=0)


@pytest.mark.parametrize("seed", RANDOM)
@pytest.mark.thin(3)
def test_fused_equals_reference_and_every_parameter_learns(seed: int) -> None:
    architecture, shape, tasks = random_vector_architecture(seed), shape_of(seed), made_tasks(1 + seed % 3)
    fused = generic_model(architecture, tasks, shape)
    reference = build_model(architecture, tasks, shape, 99, "reference").double()
    reference.load_state_dict(fused.state_dict())
    x = made_inputs(shape=shape)
    before = copy.deepcopy(fused.state_dict())
    with torch.no_grad():
        assert_equal(fused(x), reference(x), 1e-10)
    fused.load_state_dict(before)
    reference.load_state_dict(before)
    found, expected = gradients(fused, x), gradients(reference, x)
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert float((found[name] - gradient).norm()) <= 1e-8 * max(float(gradient.norm()), 1e-2 * largest), name
        assert float(gradient.abs().max()) > 1e-9 * largest, f"{name} has a gradient of zero"
    for name, buffer in reference.named_buffers():
        torch.testing.assert_close(fused.get_buffer(name), buffer, atol=1e-10, rtol=1e-10)
    with torch.no_grad():
        assert_equal(fused.eval()(x), reference.eval()(x), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_plain_network_computes_the_same(seed: int) -> None:
    network = generic_model(random_vector_architecture(seed), made_tasks(1 + seed % 3), shape_of(seed)).eval()
    plain, x = deployed(network, shape_of(seed)), made_inputs(shape=shape_of(seed))
    assert isinstance(plain, torch.fx.GraphModule)
    norms = [node for node in plain.graph.nodes if "batch_norm" in str(node.target)]
    assert not norms or network.architecture.routing == "mixed"
    with torch.no_grad():
        for batch in (x, x[:1]):
            assert_equal(dict(plain(batch)), network(batch), 1e-9)


@pytest.mark.parametrize("start", range(0, 120, 40))
@pytest.mark.thin(200)
def test_random_architectures_cost_what_they_are_estimated_to(start: int) -> None:
    for seed in range(start, start + 40):
        architecture, tasks, shape = random_vector_architecture(seed), made_tasks(1 + seed % 4), shape_of(seed)
        measured = cost.measure(build_model(architecture, tasks, shape), shape)
        assert cost.estimate(architecture, tasks, shape) == measured, str(architecture)


def test_costs_by_hand() -> None:
    """One layer of 16 outputs on 24 features, in 8 groups: an output reads 3 features of each of 3 responses."""
    layers = (LayerChoice("vector", 1.0),)
    architecture = Architecture(Backbone((Stage(16),), "vector"), layers)
    found = cost.estimate(architecture, (Classification("a", 5),), (24,))
    assert found == Cost(16 * 3 * 3 + 2 * 16 + 17 * 5, 24 + 24 + 24**2, 16 * 24 + 16 * 5)
    ordinary = replace(architecture, layers=(LayerChoice("conv", 1.0),))
    assert cost.estimate(ordinary, (Classification("a", 5),), (24,)).learnable_parameters == 16 * 24 + 2 * 16 + 17 * 5


def test_sharing_everything_with_conv_is_a_multilayer_perceptron() -> None:
    model = generic_model(vector_architecture("conv", 1, stem=6), made_tasks(), (13,)).eval()
    assert model.stem is not None
    x = features = made_inputs(shape=(13,))
    steps = [(model.stem[0].weight.flatten(1), model.stem[1])]  # type: ignore[index]
    steps += [(block.layers[0].shared_weight[:, 0], block.layers[0].shared_norm) for block in model.blocks]  # type: ignore[union-attr, index]
    for kernel, norm in steps:
        made = F.linear(features, kernel)
        features = F.relu(F.batch_norm(made, norm.running_mean, norm.running_var, norm.weight, norm.bias))
    expected = F.linear(features, model.heads.shared_weight, model.heads.bias)
    torch.testing.assert_close(torch.cat(list(model(x).values()), dim=1), expected)


def test_a_bank_of_linear_primitives_is_one_product() -> None:
    """S to S', S to P' and P to P' in the second layer; in the first there is no P. Two heads of two weights follow."""
    model = build_model(vector_architecture(), made_tasks(5), (13,)).eval()
    x = made_inputs(torch.float32, shape=(13,))
    with torch.no_grad(), Called() as called:
        model(x)
    assert "aten.convolution.default" not in called.names
    folded = 5
    assert called.names.count("aten.mm.default") + called.names.count("aten.bmm.default") == 2 * folded + 2


class Called(TorchDispatchMode):
    """Notes the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("groups", [1, 3])
def test_pointwise_is_a_convolution(groups: int) -> None:
    x = made_inputs(shape=(groups * 5, 1, 1)).requires_grad_()
    kernel = made_inputs(batch=groups * 4, shape=(5,)).requires_grad_()
    expected = F.conv2d(x, kernel[:, :, None, None], groups=groups)
    torch.testing.assert_close(pointwise(x, kernel, groups), expected)
    weights = torch.arange(expected.numel()).view_as(expected)
    of_ours = torch.autograd.grad((pointwise(x, kernel, groups) * weights).sum(), (x, kernel))
    for one, other in zip(of_ours, torch.autograd.grad((expected * weights).sum(), (x, kernel)), strict=True):
        torch.testing.assert_close(one, other)


def test_a_pointwise_convolution_takes_images_of_any_size() -> None:
    module, x = Pointwise(3, 4).double(), made_inputs(shape=(3, 5, 6))
    torch.testing.assert_close(module(x), nn.Conv2d.forward(module, x))
    torch.testing.assert_close(module(x[:, :, :1, :1]), module(x)[:, :, :1, :1])


# Methods


@dataclass(frozen=True)
class Rows(DatasetSource):
    """The sign of a product, and two sums with a square, of features of several scales. Some labels are missing."""

    name = "rows"

    def load(self) -> Dataset:
        sizes = {"train": 256, "val": 64, "test": 64}
        splits = {split: self._split(np.random.default_rng(n), sizes[split]) for n, split in enumerate(sizes)}
        return make_dataset("rows", TASKS, splits)

    def _split(self, rng: np.random.Generator, size: int) -> Split:
        x = rng.standard_normal((size, 12))
        sums = np.stack([x[:, 2] + x[:, 3] ** 2, 100 + 10 * x[:, 4]], axis=1)
        targets = {
            "sign": np.where(rng.random(size) < 0.2, -1, x[:, 0] > 0),
            "sums": np.where(rng.random((size, 2)) < 0.2, np.nan, sums).astype(np.float32),
        }
        return Split((x * 10.0 ** np.arange(-3, 9) + 5).astype(np.float32), targets)


def made_problem() -> MethodContext:
    backbone = Backbone((Stage(12, 2), Stage(16, 1)), "vector", stem=10)
    return MethodContext(backbone, Rows().load(), TRAINING.model_copy(update={"epochs": 1, "batch_size": 32}))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_trains_on_rows_and_is_rebuilt(name: str) -> None:
    problem, method = made_problem(), make_method(name, {})
    trained = solve(method, problem).trained
    network = method.rebuild(problem, json.loads(json.dumps(trained.details)))
    network.load_state_dict(trained.model.state_dict())
    network.eval()
    x = torch.randn(5, *problem.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(x)
        assert {name: output.shape for name, output in expected.items()} == {"sign": (5, 2), "sums": (5, 2)}
        assert_equal(trained.model.eval()(x), expected, 1e-6)
        if name in DEPLOYED:
            assert_equal(dict(deployed(network, problem.input_shape)(x)), expected, 1e-5)
    assert 0 < method.macs_of_one_task(network, problem) <= cost.count_macs(network, problem.input_shape)
    kernels = {module.kernel_size for module in network.modules() if isinstance(module, nn.Conv2d)}
    assert kernels <= {(1, 1)}


@pytest.mark.parametrize("name", METHODS.names())
def test_no_method_takes_a_backbone_of_the_other_kind(name: str) -> None:
    problem = made_problem()
    of_images = replace(problem, backbone=Backbone((Stage(12, 2),)))
    with pytest.raises(FieldError, match=r"`backbone\.kind` must be `vector`, for inputs are rows of 12 features"):
        make_method(name, {}).build(of_images)


# From an experiment to a model file


def made_experiment(**changes: Any) -> Experiment:
    settings: dict[str, Any] = {
        "dataset": {"name": "test_vectors:Rows"},
        "backbone": {"kind": "vector", "stages": [{"width": 16, "depth": 2}]},
        "space": {"bank": ["vector", "vector_nonlinear", "conv"], "shared_ratio": [1.0, 0.5, 0.0]},
        "training": {"epochs": 6, "batch_size": 32, "device": "cpu"},
        "search": {"trials": 3, "workers": 0},
    }
    return parse_experiment({**settings, **changes}, "rows.yaml")


@pytest.mark.slow
def test_rows_are_searched_reported_and_exported(tmp_path: Path) -> None:
    run = search(made_experiment(), out=tmp_path / "run")
    assert len(run.complete) == 3
    assert max(trial.scores["sign/accuracy"] for trial in run.complete) > 0.6
    assert "rows" in write_report(run.path).read_text(encoding="utf-8")
    dataset = Rows().load()
    for format, compute in (("torch", _program), ("onnx", _session)):
        model = export(run, format=format)  # type: ignore[arg-type]
        card = json.loads((model.parent / "model_card.json").read_text(encoding="utf-8"))
        assert (card["input"]["name"], card["input"]["shape"]) == ("features", ["batch", 12])
        assert card["input"]["units"] == "as in the data, before any normalisation"
        logits = compute(model, dataset.splits["val"].inputs)
        targets = dataset.splits["val"].targets["sign"]
        right = (logits.argmax(axis=1) == targets)[targets >= 0].mean()
        assert run.knee is not None
        assert right == pytest.approx(run.knee.scores["sign/accuracy"])


def _program(model: Path, inputs: Any) -> Any:
    with torch.no_grad():
        return torch.export.load(model).module()(torch.from_numpy(inputs))["sign"].numpy()


def _session(model: Path, inputs: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model).run(["sign"], {"features": inputs})[0]


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (
            {"stages": [{"width": 8}, {"width": 8, "stride": 2}]},
            r"`backbone\.stages\.1\.stride` must be 1 .* got 2",
        ),
        ({"stages": [{"width": 8}], "head_pool": 2}, r"`backbone\.head_pool` must be 1 .* `vector`"),
        ({"stages": [{"width": 8}], "stem": 4, "stem_stride": 2}, r"`backbone\.stem_stride` must be 1"),
    ],
)
def test_strides_and_grids_are_refused(backbone: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=rf"^rows\.yaml: {message}"):
        made_experiment(backbone={"kind": "vector", **backbone})


def test_what_is_for_images_is_refused_before_anything_is_trained() -> None:
    dataset = Rows().load()
    check_experiment(made_experiment(), dataset)
    with pytest.raises(UserError, match=r"the bank `paper` has primitives that are not for the rows of a table"):
        check_experiment(made_experiment(space={"bank": ["paper", "vector"]}), dataset)
    residual = made_experiment(backbone={"kind": "residual", "stages": [{"width": 8, "depth": 2}]})
    with pytest.raises(FieldError, match=r"`backbone\.kind` must be `vector`, .* but got 'residual'"):
        check_experiment(residual, dataset)
    with pytest.raises(FieldError, match=r"`training\.augmentation` must be left out"):
        check_experiment(made_experiment(training={"augmentation": {"flip": True}}), dataset)
    with pytest.raises(
        FieldError, match=r"must be `plain`, `residual` or `bottleneck`, for inputs are images of shape \(3, 5, 6\)"
    ):
        build_model(vector_architecture(), made_tasks(), (3, 5, 6))


def test_the_default_bank_is_for_rows() -> None:
    space = made_experiment(space={"shared_ratio": [1.0, 0.5]}).search_space
    assert {layer.bank for layer in space.layers} == {("vector",)}
    again = parse_experiment(made_experiment(space={"shared_ratio": [1.0, 0.5]}).to_dict(), "again")
    assert again.search_space == space


def test_an_architecture_is_drawn_and_read_back() -> None:
    architecture = vector_architecture("vector_nonlinear", 0.5, stem=6)
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert [(row.shared, row.specific) for row in layer_table(architecture, 13)] == [(4, 4), (6, 6)]
    assert "vector_nonlinear" in text_drawing(architecture, ["a", "b"])
