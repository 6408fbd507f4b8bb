"""Deployment and export: the plain network, the files, and the cards beside them."""

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from made_networks import (
    IMAGE_BANKS,
    SHAPE,
    generic_model,
    made_architecture,
    made_inputs,
    made_tasks,
    random_architecture,
)
from made_problems import made_problem, solve
from made_runs import made_experiment
from mtl_search import build_model, compare, export, load_run, search
from mtl_search.errors import UnknownNameError, UserError
from mtl_search.exporting.formats import TOLERANCE, largest_difference, output_names, write_onnx
from mtl_search.exporting.trained import load_trained
from mtl_search.internal.registry import METHODS
from mtl_search.methods import make_method
from mtl_search.networks.deployment import FromRawInputs, deployed
from mtl_search.networks.network import MultiTaskNetwork
from mtl_search.runs.folder import Run
from mtl_search.searching.preparation import prepare
from mtl_search.tasks import Task

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

OWN_METHODS = [name for name in METHODS.names() if name != "etr_nlp"]
BASELINES = ("hard_sharing", "interrogate@0.3", "conal")


def operations(network: nn.Module) -> list[str]:
    assert isinstance(network, torch.fx.GraphModule)
    return [str(node.target) for node in network.graph.nodes if node.op == "call_function"]


@torch.no_grad()
def assert_equal(network: nn.Module, plain: nn.Module, x: torch.Tensor, tolerance: float = 1e-9) -> None:
    expected = network.eval()(x)
    for batch in (x, x[:1]):
        found = plain(batch)
        for task, output in found.items():
            assert torch.allclose(output, expected[task][: len(batch)], rtol=tolerance, atol=tolerance), task


@pytest.mark.parametrize("bank", IMAGE_BANKS)
@pytest.mark.thin(40)
def test_a_bank_of_linear_primitives_is_one_convolution(bank: str) -> None:
    network = generic_model(made_architecture(bank, 0.5), made_tasks()).eval()
    plain = deployed(network, SHAPE)
    assert_equal(network, plain, made_inputs())
    assert not [name for name in operations(plain) if "batch_norm" in name]
    if bank == "linear":
        # S to S', S to P' and P to P' in the second layer; in the first there is no P.
        assert operations(plain).count("aten.conv2d.default") == 5


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.thin(12)
def test_the_plain_network_of_any_architecture_computes_the_same(seed: int) -> None:
    network = generic_model(random_architecture(seed), made_tasks(1 + seed % 4)).eval()
    assert_equal(network, deployed(network, SHAPE), made_inputs())


@pytest.mark.slow
def test_deploying_leaves_the_network_as_it_was() -> None:
    network = generic_model(made_architecture(), made_tasks())
    network.train()
    network.heads.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deployed(network, SHAPE)
    assert network.training
    assert not network.heads.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_the_implementation_deploy_holds_the_same_weights() -> None:
    trained = generic_model(made_architecture(), made_tasks(), dtype=torch.float32)
    x = made_inputs(torch.float32)
    network = build_model(trained.architecture, trained.tasks, SHAPE, implementation="deploy").eval()
    first = network(x)
    network.load_state_dict(trained.state_dict())
    assert_equal(trained, network, x, 1e-5)
    assert not torch.allclose(network(x)["a"], first["a"], atol=1e-3)
    assert set(network.state_dict()) == set(trained.state_dict())
    assert network.train()(x)["a"].requires_grad


@pytest.mark.slow
def test_the_implementation_deploy_follows_its_weights_and_inputs() -> None:
    trained = generic_model(made_architecture(), made_tasks(), dtype=torch.float32)
    network = build_model(trained.architecture, trained.tasks, SHAPE, implementation="deploy").eval()
    network.load_state_dict(trained.state_dict())
    x = made_inputs(torch.float32)
    assert_equal(trained, network, x, 1e-5)
    with torch.no_grad():
        for model in (trained, network):
            for parameter in model.heads.parameters():
                parameter.mul_(0.5)
    assert_equal(trained, network, x, 1e-5)
    assert_equal(trained, network, made_inputs(torch.float32, shape=(SHAPE[0], 2 * SHAPE[1], SHAPE[2])), 1e-5)


@pytest.mark.slow
def test_the_implementation_deploy_follows_weights_that_are_put_in_place_of_others() -> None:
    network = build_model(made_architecture(), made_tasks(), SHAPE, implementation="deploy").eval()
    x = made_inputs(torch.float32)
    network(x)
    halves = parameters_to_vector(network.parameters()) / 2
    vector_to_parameters(halves, network.parameters())
    found = network(x)
    network.implementation = "fused"
    torch.testing.assert_close(found, network(x), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_implementation_deploy_can_be_copied_and_saved_after_use() -> None:
    network = build_model(made_architecture(), made_tasks(), SHAPE, implementation="deploy").eval()
    x = made_inputs(torch.float32)
    expected = network(x)
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        torch.testing.assert_close(again(x), expected)


@pytest.mark.slow
def test_where_the_implementation_deploy_is_used_first_does_not_matter() -> None:
    x = made_inputs(torch.float32)

    def first_used(around: AbstractContextManager[object]) -> MultiTaskNetwork:
        network = build_model(made_architecture(), made_tasks(), SHAPE, implementation="deploy").eval()
        with around:
            network(x)
        return network

    expected = first_used(nullcontext())(x)
    for around in (torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode(), torch.no_grad()):
        torch.testing.assert_close(first_used(around)(x.clone().requires_grad_()), expected)


@pytest.mark.parametrize("kind", ["plain", "residual"])
@pytest.mark.parametrize("name", OWN_METHODS)
@pytest.mark.thin(20)
def test_every_method_is_rebuilt_and_deployed(name: str, kind: str) -> None:
    problem = made_problem(kind=kind, epochs=1)  # type: ignore[arg-type]
    method = make_method(name, {})
    trained = solve(method, problem).trained
    details = json.loads(json.dumps(trained.details))
    network = method.rebuild(problem, details)
    network.load_state_dict(trained.model.state_dict())
    x = torch.randn(5, *problem.input_shape)
    assert_equal(trained.model, deployed(network, problem.input_shape), x, 1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small search and comparison, with real weights."""
    changes = ["dataset.train=300", "dataset.val=100", "dataset.test=60", "training.batch_size=50"]
    experiment = made_experiment(changes)
    folder = tmp_path_factory.mktemp("runs") / "small"
    found = search(experiment, trials=3, epochs=1, workers=0, out=folder)
    compare(found, baselines=list(BASELINES), picks=["knee"], seeds=1, workers=0)
    return load_run(folder)


def samples_of(run: Run) -> torch.Tensor:
    return torch.from_numpy(np.array(prepare(run.experiment).splits["val"].inputs[:20])).float()


@torch.no_grad()
def expected_of(run: Run, which: str | int | None) -> dict[str, np.ndarray]:
    dataset = prepare(run.experiment)
    mean, std = (torch.from_numpy(np.array(part)).view(-1, 1, 1) for part in (dataset.mean, dataset.std))
    network = load_trained(run, which, dataset).network
    return {task: output.numpy() for task, output in network((samples_of(run) - mean) / std).items()}


@pytest.mark.slow
@pytest.mark.parametrize("which", [None, *BASELINES])
def test_an_onnx_file_is_used_with_onnxruntime_and_numpy_alone(run: Run, which: str | None, tmp_path: Path) -> None:
    path = export(run, which, out=tmp_path)
    np.save(tmp_path / "inputs.npy", samples_of(run).numpy())
    code = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
inputs = numpy.load("inputs.npy")
for size in (1, 20):
    found = session.run(None, {"image": inputs[:size]})
    names = [output.name for output in session.get_outputs()]
    numpy.savez(f"outputs{size}.npz", **dict(zip(names, found)))
assert not {"torch", "mtl_search"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    expected = expected_of(run, which)
    for size in (1, 20):
        found = np.load(tmp_path / f"outputs{size}.npz")
        assert set(found) == set(expected)
        for task, output in expected.items():
            np.testing.assert_allclose(found[task], output[:size], atol=1e-5, rtol=1e-5)
    card = json.loads((tmp_path / "model_card.json").read_text())
    assert card["files"][path.name] <= 1e-5
    assert [task["name"] for task in card["tasks"]] == ["left", "right"]


@pytest.mark.slow
def test_a_torch_program_is_used_with_torch_alone(run: Run, tmp_path: Path) -> None:
    path = export(run, format="torch", out=tmp_path)
    outputs = torch.export.load(path).module()(samples_of(run))
    for task, output in expected_of(run, None).items():
        np.testing.assert_allclose(outputs[task].detach().numpy(), output, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_the_card_says_what_it_was_measured_on_and_how_it_was_made(run: Run) -> None:
    assert run.knee is not None
    number = run.knee.number
    path = export(run, number)
    export(run, number, format="torch")
    assert path == run.path / "exports" / str(number) / "model.onnx"
    card = json.loads(path.with_name("model_card.json").read_text())
    assert set(card["files"]) == {"model.onnx", "model.pt2"}
    assert card["metrics"] == {"split": "val", "values": dict(run.knee.scores)}
    assert card["made_from"]["architecture"] == json.loads(run.knee.architecture.to_json())
    page = path.with_name("MODEL_CARD.md").read_text()
    assert f"Trial {number} of small" in page
    assert f"{run.knee.learnable_parameters:,} learnable parameters" in page
    of_test = export(run, "hard_sharing")
    card = json.loads(of_test.with_name("model_card.json").read_text())
    assert card["metrics"]["split"] == "test"
    assert card["made_from"]["trained_on"] == "the training and validation splits"


@pytest.mark.slow
def test_what_cannot_be_exported_is_said(run: Run) -> None:
    with pytest.raises(UserError, match="there is no trial 17"):
        export(run, 17)
    with pytest.raises(UnknownNameError, match="Did you mean `hard_sharing`"):
        export(run, "hard_sharin")
    with pytest.raises(UserError, match="hard_sharing, seed 4, were not kept; those of seed 1"):
        export(run, "hard_sharing", seed=4)
    off_front = next((trial.number for trial in run.complete if trial not in run.front), None)
    if off_front is not None:
        with pytest.raises(UserError, match=f"the weights of trial {off_front} were not kept"):
            export(run, off_front)
    with pytest.raises(UserError, match="there is no entrant"):
        export(run, "²")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_folder_holds_one_model(run: Run, tmp_path: Path) -> None:
    export(run, format="torch", out=tmp_path / "model")
    before = files_of(tmp_path / "model")
    with pytest.raises(UserError, match="is the card of another model"):
        export(run, "hard_sharing", out=tmp_path / "model")
    assert files_of(tmp_path / "model") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model_card.json").write_text("[]")
    with pytest.raises(UserError, match="is the card of another model"):
        export(run, out=tmp_path / "other")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="must be a folder"):
        export(run, out=tmp_path / "file")


def test_outputs_that_are_no_numbers_are_not_taken_for_equal(run: Run) -> None:
    dataset = prepare(run.experiment)
    network = load_trained(run, None, dataset).network
    whole = FromRawInputs(network, dataset.mean, dataset.std, dataset.input_shape)
    difference = largest_difference(lambda x: [np.full((len(x), 10), np.nan, np.float32)] * 2, whole, dataset)
    assert not difference <= TOLERANCE


@pytest.mark.slow
def test_a_dataset_of_ones_own_is_given(run: Run, tmp_path: Path) -> None:
    dataset = prepare(run.experiment)
    assert export(run, dataset=dataset, out=tmp_path).exists()


@pytest.mark.parametrize("names", [("image", "image_1"), ("keys", "a b.c"), ("a_b", "a b"), ("x/y\nz", "ähre")])
@pytest.mark.thin(4)
@pytest.mark.slow
def test_outputs_of_an_onnx_file_have_names_of_their_own(run: Run, tmp_path: Path, names: tuple[str, str]) -> None:
    """Batches of none, one and seven samples, too."""
    dataset = prepare(run.experiment)
    renamed = dataclasses.replace(
        dataset, tasks=tuple(made_task(task, name) for task, name in zip(dataset.tasks, names, strict=True))
    )
    network = deployed(load_trained(run, None, dataset).network, dataset.input_shape)
    compute = write_onnx(network, renamed, tmp_path / "model.onnx")
    samples = samples_of(run) / 255
    for size in (0, 1, 7):
        with torch.no_grad():
            expected = network(samples[:size])
        for found, task in zip(compute(samples[:size]), dataset.tasks, strict=True):
            np.testing.assert_allclose(found, expected[task.name].numpy(), atol=1e-5)
    told = {"image": "image_2", "a b.c": "a_b.c", "a b": "a_b_1", "x/y\nz": "x_y_z"}
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [one.name for one in session.get_outputs()] == [told.get(name, name) for name in names]
    assert output_names(renamed) == {name: told.get(name, name) for name in names}


def made_task(task: Task, name: str) -> Task:
    """The same task of another name, be it one that no experiment may give it."""
    renamed = copy.copy(task)
    object.__setattr__(renamed, "name", name)
    return renamed


@pytest.mark.parametrize("names", [("mean", "conv2d"), ("folded0", "relu"), ("linear", "linear_0")])
@pytest.mark.thin(3)
@pytest.mark.slow
def test_tasks_may_be_named_as_what_is_inside_of_an_onnx_file(run: Run, tmp_path: Path, names: tuple[str, str]) -> None:
    dataset = prepare(run.experiment)
    tasks = [dataclasses.replace(task, name=name) for task, name in zip(dataset.tasks, names, strict=True)]
    network, x = deployed(load_trained(run, None, dataset).network, dataset.input_shape), samples_of(run) / 255
    with torch.no_grad():
        expected = network(x)
    path = tmp_path / "model.onnx"
    compute = write_onnx(network, dataclasses.replace(dataset, tasks=tuple(tasks)), path)
    for found, task in zip(compute(x), dataset.tasks, strict=True):
        np.testing.assert_allclose(found, expected[task.name].numpy(), atol=1e-5)
    assert [one.name for one in onnxruntime.InferenceSession(path).get_outputs()] == list(names)


@pytest.mark.parametrize("seed", [-1, 10**30])
def test_a_seed_that_no_training_has(seed: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"`seed` must be from 0 to 2,147,493,647, but got {seed}\."):
        export(tmp_path, "0", format="torch", seed=seed)
