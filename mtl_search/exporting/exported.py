"""Exported model files, read again: what they hold of themselves says how data is read and what outputs mean."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mtl_search.datasets._samples import Reading
from mtl_search.errors import UserError
from mtl_search.exporting.answers import answer
from mtl_search.exporting.formats import opened_onnx, opened_program
from mtl_search.internal.layout import MODELS
from mtl_search.internal.reading import parse_json
from mtl_search.tasks import Task, make_task

Exported = tuple[tuple[Task, ...], Reading, Callable[[Tensor], Mapping[str, Tensor]]]
"""Tasks, how samples are read, and what computes the outputs of all tasks."""


BESIDES = ("onnx_output", "outputs", "output_means")
"""What a card says of a task besides its kind and its fields."""


def is_exported(path: Path) -> bool:
    """Whether a path is that of an exported model: a model file, or a folder with one."""
    return path.suffix in _endings() if path.is_file() else any((path / name).is_file() for name in MODELS.values())


def _endings() -> set[str]:
    return {Path(name).suffix for name in MODELS.values()}


def load_exported(path: Path) -> Exported:
    """The model in a file, or in a folder: of two files the ONNX one, where onnxruntime is installed.

    :raises UserError: If it cannot be read, does not say what it is, or a package is missing.
    """
    file = path if path.is_file() else _file_in(path)
    onnx = file.suffix == Path(MODELS["onnx"]).suffix
    if onnx and importlib.util.find_spec("onnxruntime") is None:
        raise UserError(f"{file}: is read with onnxruntime: pip install 'mtl_search[export]'.")
    try:
        compute, text = (opened_onnx if onnx else opened_program)(file)
    except Exception as error:  # both libraries meet damage with errors of any kind
        raise UserError(f"{file}: is no model that can be read: {' '.join(str(error).split())[:200]}.") from error
    told = _told(file, text)

    def answers(inputs: Tensor) -> Mapping[str, Tensor]:
        found = compute(inputs)
        outputs = {task.name: found[told.names[task.name] if onnx else task.name] for task in told.tasks}
        if told.probabilities:
            return outputs
        return {task.name: answer(task, outputs[task.name], in_units=True) for task in told.tasks}

    return told.tasks, told.reading, answers


def _file_in(folder: Path) -> Path:
    there = {name: folder / file for name, file in MODELS.items() if (folder / file).is_file()}
    usable = [name for name in there if name != "onnx" or importlib.util.find_spec("onnxruntime") is not None]
    return there[usable[0] if usable else "onnx"]


class _Told(NamedTuple):
    """What the card in a file says.

    :param tasks: The tasks that the network predicts.
    :param reading: How samples are read for it.
    :param names: Task -> the name of its output in an ONNX file.
    :param probabilities: Whether the file puts out probabilities instead of logits.
    """

    tasks: tuple[Task, ...]
    reading: Reading
    names: dict[str, str]
    probabilities: bool


def _told(file: Path, text: str) -> _Told:
    """What the card in a file says.

    :raises UserError: If it holds no card, or one from before there was what is needed.
    """
    try:
        card = parse_json(text)
        told = [{key: value for key, value in one.items() if key not in BESIDES} for one in card["tasks"]]
        tasks = tuple(make_task(one.pop("kind"), **one) for one in told)
        names = {one["name"]: one["onnx_output"] for one in card["tasks"]}
        return _Told(tasks, Reading.from_dict(card["reading"]), names, "probabilities" in card["made_from"])
    except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file}: does not say what it was trained on, as files of `mtl-search export` do: export it again, or "
            "name the run."
        ) from error
