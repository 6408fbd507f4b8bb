"""The card of a model file: what is known of it, as data for programs and as a page for people."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mtl_search import __version__, cost
from mtl_search.datasets import Dataset
from mtl_search.datasets._samples import reading_of
from mtl_search.errors import UserError
from mtl_search.exporting.formats import CHECKED, input_name, input_type, output_names
from mtl_search.exporting.trained import Trained
from mtl_search.internal.layout import CARD, MODELS
from mtl_search.internal.reading import read_json
from mtl_search.metrics.scores import headline_word
from mtl_search.reporting.text import count
from mtl_search.runs.environment import now
from mtl_search.runs.folder import Run
from mtl_search.tasks import Task

UNITS = {"uint8": ": 0 to 255", "uint16": ": 0 to 65,535, and less where the files hold less"}
"""Type of the data -> what the card adds about its units."""

CHANCES = "the probability of each class or label, of two classes that of the second"


def other_files(folder: Path, made_from: Mapping[str, Any], written: str) -> dict[str, float]:
    """Files of the same model in other formats that the folder holds already -> their largest difference.

    :raises UserError: If it holds another model, or a card that is not ours.
    """
    path = folder / CARD
    if not path.exists():
        return {}
    try:
        before = read_json(path, follow=False)
    except UserError:
        before = {}
    if not isinstance(before, dict) or before.get("made_from") != json.loads(json.dumps(made_from)):
        raise UserError(f"{path}: is the card of another model; give another `--out`.")
    noted = before.get("files")
    files = {name: found for name, found in noted.items() if name in MODELS.values()} if isinstance(noted, dict) else {}
    return {
        name: float(difference)
        for name, difference in files.items()
        if name != written and isinstance(difference, int | float) and (folder / name).exists()
    }


def model_card(run: Run, trained: Trained, dataset: Dataset, made_from: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a model, besides of its files: model files hold it in their metadata.

    :param run: The run that the network is of.
    :param trained: The network and its scores.
    :param dataset: What the network was trained on.
    :param made_from: Which run, which of its networks, and how that was made.
    """
    found = cost.measure(trained.network, dataset.input_shape)
    units = UNITS.get(str(dataset.splits["train"].inputs.dtype), "")
    return {
        "title": f"{trained.title} of {run.path.resolve().name}",
        "made_by": f"mtl_search {__version__}",
        "exported": now(),
        "input": {
            "name": input_name(dataset),
            "shape": _input_axes(dataset),
            "type": str(input_type(dataset)).removeprefix("torch."),
            "units": f"as in the data, before any normalisation{units}{_padding(dataset)}",
            "normalisation_inside": _normalisation(dataset),
        },
        "tasks": [
            {
                "name": task.name,
                **task.describe(),
                "onnx_output": output_names(dataset)[task.name],
                "outputs": task.outputs,
                "output_means": _means(task, made_from),
            }
            for task in dataset.tasks
        ],
        "reading": reading_of(dataset).to_dict(),
        "dataset": {"name": dataset.title, "options": dict(dataset.options), "found": dict(dataset.found)},
        "metrics": {"split": trained.about["measured_on"], "values": dict(trained.scores)},
        "cost": {
            "learnable_parameters": found.learnable_parameters,
            "fixed_parameters": found.fixed_parameters,
            "macs": found.macs,
            **({"embedding_parameters": found.embedding_parameters} if found.embedding_parameters else {}),
        },
        "made_from": dict(made_from),
        "picked": trained.picked,
        "training": run.experiment.training.model_dump(mode="json"),
        "checked_samples": min(CHECKED, len(dataset.splits["val"])),
    }


def _input_axes(dataset: Dataset) -> list[Any]:
    """The axes of a batch: sizes, and words for those of any size."""
    if len(dataset.input_shape) != 2:
        return ["batch", *dataset.input_shape]
    return ["batch", f"length up to {dataset.input_shape[0]}", *([] if dataset.vocabulary else dataset.input_shape[1:])]


def _padding(dataset: Dataset) -> str:
    """How sequences are padded, in words; empty where inputs are none."""
    if len(dataset.input_shape) != 2:
        return ""
    value = f"-1; tokens are below {dataset.vocabulary:,}" if dataset.vocabulary else "NaN in all channels"
    return f"; shorter sequences of a batch are padded at their end by {value}"


def _normalisation(dataset: Dataset) -> dict[str, Any]:
    """What is subtracted, and what is divided by; nothing of tokens."""
    if dataset.vocabulary:
        return {}
    centre = {} if dataset.centre is None else {"centre": dataset.centre.tolist()}
    return {**centre, "mean": dataset.mean.tolist(), "std": dataset.std.tolist()}


def _means(task: Task, made_from: Mapping[str, Any]) -> str:
    """What an output of a task is in the files."""
    example = torch.zeros(1, task.outputs, *[1] * (2 * task.dense))
    is_chance = made_from.get("probabilities", False) and task.probabilities(example) is not None
    return CHANCES if is_chance else task.output_means


def card_page(card: Mapping[str, Any]) -> str:
    """A card as Markdown, for people."""
    made, read = card["made_from"], card["input"]
    files = "\n".join(f"| `{name}` | {difference:.1e} |" for name, difference in card["files"].items())
    tasks = "\n".join(
        f"| {task['name']} | {task['kind']} | {task['outputs']} | {_meaning(task)} |" for task in card["tasks"]
    )
    metrics = "\n".join(f"| {name} | {value:.4f} |" for name, value in card["metrics"]["values"].items())
    seeds, word = made.get("accuracy_of_all_seeds", {}), headline_word(card["metrics"]["values"])
    spread = (
        f"\nMean {word} of all seeds: {', '.join(f'{100 * one:.2f} %' for one in seeds.values())}.\n" if seeds else ""
    )
    choices = made.get("architecture") or {"options": made.get("options"), "balancing": made.get("balancing")}
    return f"""# {card["title"]}

Predicts {len(card["tasks"])} tasks from one input. Made by {card["made_by"]} on {card["exported"]}.

| file | largest difference of its outputs from the trained network's, on {card["checked_samples"]} samples |
|---|---|
{files}

## Use

Input `{read["name"]}`: {read["type"]} `[{", ".join(map(str, read["shape"]))}]`, {read["units"]}. The
normalisation is part of the model. Outputs are named as the tasks{_renamed(card["tasks"])}.{
        _features(card["dataset"]["found"])
    }

| task | kind | outputs | an output is |
|---|---|---|---|
{tasks}

## Measured on the split `{card["metrics"]["split"]}` of {card["dataset"]["name"]}

| metric | value |
|---|---|
{metrics}
{spread}
Trained on {made["trained_on"]}, seed {made["seed"]}, for {count(card["training"]["epochs"], "epoch", "epochs")}.

## Cost

{card["cost"]["learnable_parameters"]:,} learnable parameters, {card["cost"]["fixed_parameters"]:,} fixed ones,
{card["cost"]["macs"]:,} multiply-accumulates for a sample, before folding.

## How it was made

Method `{made["method"]}`.{_picked(card)}

```json
{json.dumps(choices, indent=2, ensure_ascii=False)}
```
"""


def _picked(card: Mapping[str, Any]) -> str:
    """Why this trial of the search was taken; empty for what is no trial."""
    return f" This trial is {card['picked']}." if card["picked"] else ""


def _renamed(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Which outputs of an ONNX file are named otherwise than their tasks; empty where none is."""
    others = [f"`{task['name']}` is `{task['onnx_output']}`" for task in tasks if task["onnx_output"] != task["name"]]
    return f", but in an ONNX file {', '.join(others)}" if others else ""


def _features(found: Mapping[str, Any]) -> str:
    """Which columns of a table the input is made of; empty where it is no table."""
    if "features" not in found:
        return ""
    names = ", ".join(f"`{name}`" for name in found["features"])
    filled = "".join(f"\nAn empty `{name}` is {value:.7g}." for name, value in found.get("filled", {}).items())
    rule = "`column=category` is 1 where the column holds that category, else 0."
    return f"\n\nThe features, in this order: {names}.{f' {rule}' if '=' in names else ''}{filled}"


def _meaning(task: Mapping[str, Any]) -> str:
    """What an output is, with the names and the numbers that are needed to use it."""
    names = [f"in this order: {_listed(task['names'])}"] if task.get("names") else []
    scales = [f"`{name}` {_listed(task[name])}" for name in ("mean", "deviation") if task.get(name)]
    told = [*names, *scales]
    return f"{task['output_means']} ({'; '.join(told)})" if told else str(task["output_means"])


def _listed(value: Any) -> str:
    """Several names or numbers, or one: in a kind of task from outside these words may stand for either."""
    several = value if isinstance(value, list | tuple) else (value,)
    return ", ".join(f"{one:.7g}" if isinstance(one, float) else str(one) for one in several)
