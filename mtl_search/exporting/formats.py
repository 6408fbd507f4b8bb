"""The formats of model files: writes a plain graph as one, and compares what it computes with the trained network.

The graph is one of :mod:`mtl_search.networks.deployment`.
"""

import importlib.util
import itertools
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from mtl_search.datasets import Dataset
from mtl_search.errors import UserError
from mtl_search.networks.deployment import BATCH, dynamic_axes
from mtl_search.tasks import Task

Format = Literal["onnx", "torch"]
INPUTS = {3: "image", 2: "sequence", 1: "features"}
"""Dimensions of a sample -> name of the input."""
CHECKED = 64
"""Samples whose outputs are compared: a difference that only few inputs show is found, in a second."""
TOLERANCE = 1e-5
"""Largest difference of an output, in units of the largest output, or absolute where that is below 1:
some hundred times what float32 rounds, for it does so in every layer."""
TOLD = "model_card"
"""Name of the card in the metadata of a file."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")
"""What the format ``onnx`` needs: the extra ``export``."""


def write_onnx(
    graph: fx.GraphModule, dataset: Dataset, path: Path, told: str = "{}"
) -> Callable[[Tensor], list[NDArray[np.float32]]]:
    """Write an ONNX file.

    :param graph: The network as a graph, for inputs of the dataset in the units of its data.
    :param dataset: What the network was trained on: tasks name the outputs, inputs give their shape and type.
    :param path: Where the file is written.
    :param told: The card of the model as JSON, which the file holds in its metadata.
    :returns: What computes the outputs of all tasks, ``[batch, ...]`` each, by means of that file.
    """
    import onnxruntime

    program = torch.onnx.export(
        graph,
        (_example(dataset),),
        dynamo=True,
        dynamic_shapes=(_named_axes(dataset),),
        input_names=[input_name(dataset)],
        output_names=list(output_names(dataset).values()),
        verbose=False,
    )
    assert program is not None
    _set_apart(program.model.graph)
    program.model.metadata_props[TOLD] = told
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {input_name(dataset): inputs.numpy()})


def _set_apart(graph: Any) -> None:
    """Give other names to what is inside a graph where a task has the same one: ``mean``, say.

    :param graph: A graph of the library ``onnx_ir``.
    """
    ends = [*graph.inputs, *graph.outputs]
    taken = {value.name for value in ends}
    inside = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    names = taken | {value.name for value in inside}
    for value in inside:
        if value.name in taken and not any(value is end for end in ends):
            value.name = next(name for number in itertools.count() if (name := f"{value.name}_{number}") not in names)
            names.add(value.name)


def write_program(
    graph: fx.GraphModule, dataset: Dataset, path: Path, told: str = "{}"
) -> Callable[[Tensor], list[NDArray[np.float32]]]:
    """Write a program for ``torch.export.load``; parameters and result as of :func:`write_onnx`."""
    shapes = (dynamic_axes(dataset.input_shape),)
    with torch.no_grad():
        program = torch.export.export(graph, (_example(dataset),), dynamic_shapes=shapes)
        torch.export.save(program, path, extra_files={f"{TOLD}.json": told})
    written = torch.export.load(path).module()

    def compute(inputs: Tensor) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            outputs = written(inputs)
        return [outputs[task.name].numpy() for task in dataset.tasks]

    return compute


Opened = tuple[Callable[[Tensor], Mapping[str, Tensor]], str]
"""What computes the outputs of a model file, by their names in it, and the card that it holds; empty without one."""


def opened_onnx(path: Path) -> Opened:
    """An ONNX file, to be used by means of onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name, *_ = (one.name for one in session.get_inputs())
    names = [one.name for one in session.get_outputs()]

    def compute(inputs: Tensor) -> Mapping[str, Tensor]:
        return dict(zip(names, map(torch.from_numpy, session.run(None, {name: inputs.numpy()})), strict=True))

    return compute, session.get_modelmeta().custom_metadata_map.get(TOLD, "")


def opened_program(path: Path) -> Opened:
    """A program of torch, to be used by means of torch."""
    told = {f"{TOLD}.json": ""}
    program = torch.export.load(path, extra_files=told).module()
    return program, str(told[f"{TOLD}.json"])


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Without the warnings of torch's exporter about its own parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def output_names(dataset: Dataset) -> dict[str, str]:
    """Task -> the name of its output in an ONNX file.

    It is that of the task, with ``_`` for what is no letter and no digit, and with a number where it would be the name
    of the input or of another output.
    """
    plain = {task.name: re.sub(r"[^\w.-]", "_", task.name) for task in dataset.tasks}
    taken = {input_name(dataset)}
    names = {task: name for task, name in plain.items() if task == name and name not in taken}
    for task, name in plain.items():
        if task not in names:
            others = (f"{name}_{number}" if number else name for number in itertools.count())
            names[task] = next(other for other in others if other not in taken | set(names.values()))
    return {task: names[task] for task in plain}


def input_name(dataset: Dataset) -> str:
    """The name of the input in a model file."""
    return INPUTS[len(dataset.input_shape)]


def input_type(dataset: Dataset) -> torch.dtype:
    """Of the numbers that a file reads: float64 where float32 would make one of several, int64 of tokens."""
    if dataset.vocabulary:
        return torch.int64
    return torch.float32 if dataset.centre is None else torch.float64


def _example(dataset: Dataset) -> Tensor:
    shape = dataset.input_shape[:1] if dataset.vocabulary else dataset.input_shape
    return torch.zeros(BATCH, *shape, dtype=input_type(dataset))


def _named_axes(dataset: Dataset) -> dict[int, Any]:
    """The axes of a batch that may have any size, with their names."""
    names = ("batch", "length") if len(dataset.input_shape) == 2 else ("batch",)
    return {axis: torch.export.Dim(name) for axis, name in enumerate(names)}


def _raw(inputs: NDArray[Any], dataset: Dataset) -> Tensor:
    """Samples of a dataset in the units of the data, as a file reads them."""
    samples = torch.from_numpy(np.array(inputs)).to(input_type(dataset))
    if dataset.centre is None:
        return samples
    return samples + torch.from_numpy(dataset.centre).view(-1, *[1] * (samples.ndim - 2))


def largest_difference(
    compute: Callable[[Tensor], Sequence[NDArray[np.float32]]], network: nn.Module, dataset: Dataset
) -> float:
    """The largest difference from the outputs of the network, on samples of the data, in batches of several sizes.

    Not a number where one of the outputs is none.
    """
    inputs = _raw(np.asarray(dataset.splits["val"].inputs[:CHECKED]), dataset)
    differences: list[np.floating[Any]] = []
    for batch in (inputs[:1], inputs[1:]):
        if len(batch) == 0:
            continue
        with torch.no_grad():
            expected = network(batch)
        for task, found in zip(dataset.tasks, compute(batch), strict=True):
            wanted = _scaled(expected[task.name].numpy(), task)
            differences.append(np.abs(_scaled(found, task) - wanted).max() / max(1.0, np.abs(wanted).max()))
    return float(np.max(differences))


def _scaled(values: NDArray[Any], task: Task) -> NDArray[np.float64]:
    """Values as the head puts them out, so that they are compared alike whatever their units are."""
    ends = torch.zeros(2, task.outputs, *[1] * (values.ndim - 2), dtype=torch.float64)
    ends[1] = 1
    zero, one = task.in_units(ends).numpy()
    scaled: NDArray[np.float64] = (values.astype(np.float64) - zero) / (one - zero)
    return scaled


def check_packages(format: str) -> None:
    """Check that what a format needs is installed; imports nothing.

    :raises UserError: If a package is missing.
    """
    missing = [name for name in NEEDED if format == "onnx" and importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the format onnx needs {', '.join(missing)}: pip install 'mtl_search[export]', or choose the format torch."
        )
