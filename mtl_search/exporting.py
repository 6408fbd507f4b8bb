"""Exports a trained network of a run as a model file that needs nothing of this package, with a card beside it.

The file holds the plain graph of :mod:`mtl_search.networks.deployment`, behind the normalisation of its inputs. Before
it stands in its place its outputs are compared with those of the trained network.
"""

import importlib.util
import itertools
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from mtl_search import __version__, cost
from mtl_search.architecture import Architecture
from mtl_search.datasets import Dataset
from mtl_search.environment import now
from mtl_search.errors import FieldError, MTLSearchError, RunFolderError, StorageError, UnknownNameError, UserError
from mtl_search.evaluation import Entrant, entrant_of
from mtl_search.experiment import Training
from mtl_search.files import alone_in, write_bytes, write_json, write_text
from mtl_search.layout import CARD, CARD_PAGE, DETAILS, EXPORT, EXPORTS, MODELS
from mtl_search.methods import make_method
from mtl_search.networks.deployment import FromRawInputs, deployed
from mtl_search.outcomes import Comparison, load_comparison, outcome_folder
from mtl_search.reading import read_json
from mtl_search.records import MOST_SEEDS
from mtl_search.run_folder import Run, load_run
from mtl_search.run_writer import remove_half_written
from mtl_search.runner import prepare
from mtl_search.weights import has_weights, load_weights
from mtl_search.wording import count

Format = Literal["onnx", "torch"]
INPUTS = {3: "image", 1: "features"}
"""Dimensions of a sample -> name of the input."""
UNITS = {"uint8": ": 0 to 255", "uint16": ": 0 to 65,535, and less where the files hold less"}
"""Type of the data -> what the card adds about its units."""
CHECKED = 64
"""Samples whose outputs are compared."""
TOLERANCE = 1e-5
"""Largest difference of an output, in units of the largest output, or absolute where that is below 1."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")
"""What the format ``onnx`` needs: the extra ``export``."""


@dataclass(frozen=True)
class Trained:
    """A trained network of a run.

    :param name: Of its folder: number of the trial, or entrant of the comparison and seed.
    :param title: For people.
    :param network: With its weights, in evaluation mode.
    :param about: What the card says of how it was made: plain data.
    :param scores: ``"<task>/<metric>"`` -> value, on the split and seed that ``about`` names.
    """

    name: str
    title: str
    network: nn.Module
    about: Mapping[str, Any]
    scores: Mapping[str, float]


def export(
    run: Run | str | Path,
    which: str | int | None = None,
    *,
    format: Format = "onnx",
    seed: int = 0,
    out: str | Path | None = None,
    dataset: Dataset | None = None,
) -> Path:
    """Write a trained network as a model file, ``model_card.json`` and ``MODEL_CARD.md``.

    Its input is named ``image``: float32 ``[batch, channels, height, width]`` in the units of the data (0 to 255 where
    those are bytes); of a table ``features``: ``[batch, features]``. It is float64 where float32 would make one of
    several values of the data. Its outputs are named as the tasks; in an ONNX file as :func:`output_names` says, and
    the card. The batch may have any size.

    :param run: A run, or its folder.
    :param which: Number of a trial on the front, or an entrant of the run's comparison (``hard_sharing``,
        ``trial-24``); the knee if left out.
    :param format: ``onnx``, or ``torch``: a program for ``torch.export.load``.
    :param seed: Which training of an entrant.
    :param out: Folder to write into; ``RUN/exports/<which>`` if left out.
    :param dataset: Used instead of loading the one that the run names, as in :func:`~mtl_search.search`.
    :returns: The model file.
    :raises UserError: If there is no such network, its weights were not kept, or a package is missing.
    :raises MTLSearchError: If the outputs of the file are not those of the network; it is not kept then.
    """
    if format not in get_args(Format):
        raise FieldError("format", "must be `onnx` or `torch`", format)
    if not 0 <= seed < MOST_SEEDS:
        raise FieldError("seed", f"must be from 0 to {MOST_SEEDS - 1:,}", seed)
    _check_packages(format)
    loaded = run if isinstance(run, Run) else load_run(run)
    data = prepare(loaded.experiment, dataset)
    trained = load_trained(loaded, which, data, seed)
    whole = FromRawInputs(trained.network, data.mean, data.std, data.input_shape, data.centre).eval()
    folder = Path(out) if out is not None else loaded.path / EXPORTS / trained.name
    made_from = {"run": loaded.path.resolve().name, "name": trained.name, **trained.about}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"{folder}: is a file; `--out` must be a folder.") from error
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}.") from error
    with alone_in(folder, EXPORT):
        try:
            return _written(loaded, trained, data, whole, made_from, folder, format)
        except OSError as error:
            raise StorageError(folder, error, None) from error


def _written(
    run: Run,
    trained: Trained,
    data: Dataset,
    whole: nn.Module,
    made_from: Mapping[str, Any],
    folder: Path,
    format: Format,
) -> Path:
    """Write the model file and its card into a folder that this process is alone in."""
    others = _other_files(folder, made_from, MODELS[format])
    remove_half_written(folder, EXPORT)
    path = folder / MODELS[format]
    writing = folder / f".writing-{MODELS[format]}"
    writing.unlink(missing_ok=True)
    try:
        with _quiet():
            graph = deployed(whole, data.input_shape, _input_type(data))
            compute = (_write_onnx if format == "onnx" else _write_program)(graph, data, writing)
        difference = _difference(compute, whole, data)
        if not difference <= TOLERANCE:
            raise MTLSearchError(
                f"{path}: not written, for its outputs differ from those of the trained network by {difference:.1e}, "
                f"which must be at most {TOLERANCE:.0e}."
            )
        write_bytes(path, writing.read_bytes())
    finally:
        writing.unlink(missing_ok=True)
    card = _card(run, trained, data, made_from, {**others, path.name: difference})
    write_json(folder / CARD, card)
    write_text(folder / CARD_PAGE, _page(card))
    return path


def load_trained(run: Run, which: str | int | None, dataset: Dataset, seed: int = 0) -> Trained:
    """A trained network of a run, with its weights.

    :param which: As in :func:`export`.
    :raises UserError: If there is none of that name, or its weights were not kept.
    """
    if which is None:
        if run.knee is None:
            raise UserError(f"{run.path}: no trial of this run is complete, so there is nothing to export.")
        which = run.knee.number
    if str(which).isdecimal():
        return _trained_trial(run, int(which), dataset)
    return _trained_entrant(run, str(which), dataset, seed)


def _trained_trial(run: Run, number: int, dataset: Dataset) -> Trained:
    trial = run.trial(number)
    if not has_weights(run.checkpoint(number)):
        kept = ", ".join(str(one.number) for one in run.front if has_weights(run.checkpoint(one.number)))
        raise UserError(
            f"{run.path}: the weights of trial {number} were not kept, only those of the front ({kept or 'none here'})."
        )
    entrant = entrant_of(trial.architecture)
    about = {
        **_architecture(trial.architecture),
        "seed": trial.seed,
        "trained_on": "the training split",
        "measured_on": "val",
    }
    network = _network(entrant, dataset, run.experiment.training, trial.seed, {}, run.checkpoint(number))
    return Trained(str(number), f"Trial {number}", network, about, trial.scores)


def _trained_entrant(run: Run, key: str, dataset: Dataset, seed: int) -> Trained:
    comparison = load_comparison(run.path)
    if comparison is None:
        raise UserError(f"{run.path}: holds no comparison, so `{key}` must be the number of a trial.")
    if key not in comparison.entrants:
        raise UnknownNameError("entrant", key, comparison.entrants)
    outcome = next((one for one in comparison.of(key) if one.seed == seed), None)
    folder = outcome_folder(run.path, key, seed)
    if outcome is None or not has_weights(folder):
        seeds = [one.seed for one in comparison.of(key) if has_weights(outcome_folder(run.path, key, one.seed))]
        found = f"those of seed {', '.join(map(str, seeds))}" if seeds else "none here"
        raise UserError(f"{run.path}: the weights of {key}, seed {seed}, were not kept; {found}.")
    about = next(one for one in comparison.asked["entrants"] if one["key"] == key)
    training = Training.model_validate(comparison.asked["training"])
    made: dict[str, Any]
    if about.get("trial") is not None:
        architecture = run.trial(about["trial"]).architecture
        entrant, made = entrant_of(architecture), _architecture(architecture)
    else:
        method = make_method(about["method"], about["options"])
        entrant = Entrant(method, run.experiment.backbone.build(), about["width_multiplier"])
        made = {name: about[name] for name in ("method", "options", "balancing", "width_multiplier")}
        made["backbone"] = asdict(entrant.backbone)
    details = comparison.details(key, seed)
    network = _network(entrant, dataset, training, seed, details, folder)
    split = str(comparison.asked["split"])
    trained_on = "the training and validation splits" if split == "test" else "the training split"
    made |= {"seed": seed, "trained_on": trained_on, "measured_on": split, **_spread(comparison, key)}
    return Trained(f"{key}-seed{seed}", f"{key}, seed {seed},", network, made, outcome.scores)


def _network(
    entrant: Entrant, dataset: Dataset, training: Training, seed: int, details: Mapping[str, Any], folder: Path
) -> nn.Module:
    try:
        network = entrant.method.rebuild(entrant.problem(dataset, training, seed), details)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunFolderError(
            f"{folder / DETAILS}: does not tell how the network of {entrant.method.name} is made: {error}. "
            "Put it back from a copy."
        ) from error
    try:
        network.load_state_dict(load_weights(folder))
    except RuntimeError as error:
        raise RunFolderError(f"{folder}: the weights do not fit the network that they are said to be of.") from error
    return network.eval()


def _architecture(architecture: Architecture) -> dict[str, Any]:
    return {"method": "etr_nlp", "architecture": json.loads(architecture.to_json())}


def _spread(comparison: Comparison, key: str) -> dict[str, Any]:
    """The scores of all seeds, so that the card does not show one lucky one alone."""
    return {"accuracy_of_all_seeds": {str(one.seed): one.accuracy for one in comparison.of(key)}}


# Files


def _write_onnx(graph: fx.GraphModule, dataset: Dataset, path: Path) -> Callable[[Tensor], list[NDArray[np.float32]]]:
    import onnxruntime

    program = torch.onnx.export(
        graph,
        (_example(dataset),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=[_input_name(dataset)],
        output_names=list(output_names(dataset).values()),
        verbose=False,
    )
    assert program is not None
    _set_apart(program.model.graph)
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {_input_name(dataset): inputs.numpy()})


def _set_apart(graph: Any) -> None:
    """Give other names to what is inside a graph where a task has the same one: ``mean``, say.

    :param graph: Of ``onnx_ir``.
    """
    ends = [*graph.inputs, *graph.outputs]
    taken = {value.name for value in ends}
    inside = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    names = taken | {value.name for value in inside}
    for value in inside:
        if value.name in taken and not any(value is end for end in ends):
            value.name = next(name for number in itertools.count() if (name := f"{value.name}_{number}") not in names)
            names.add(value.name)


def _write_program(
    graph: fx.GraphModule, dataset: Dataset, path: Path
) -> Callable[[Tensor], list[NDArray[np.float32]]]:
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    with torch.no_grad():
        torch.export.save(torch.export.export(graph, (_example(dataset),), dynamic_shapes=shapes), path)
    program = torch.export.load(path).module()

    def compute(inputs: Tensor) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            outputs = program(inputs)
        return [outputs[task.name].numpy() for task in dataset.tasks]

    return compute


@contextmanager
def _quiet() -> Iterator[None]:
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
    taken = {_input_name(dataset)}
    names = {task: name for task, name in plain.items() if task == name and name not in taken}
    for task, name in plain.items():
        if task not in names:
            others = (f"{name}_{number}" if number else name for number in itertools.count())
            names[task] = next(other for other in others if other not in taken | set(names.values()))
    return {task: names[task] for task in plain}


def _input_name(dataset: Dataset) -> str:
    return INPUTS[len(dataset.input_shape)]


def _input_type(dataset: Dataset) -> torch.dtype:
    """Of the numbers that a file reads: float64 where float32 would make one of several."""
    return torch.float32 if dataset.centre is None else torch.float64


def _example(dataset: Dataset) -> Tensor:
    return torch.zeros(2, *dataset.input_shape, dtype=_input_type(dataset))


def _raw(inputs: NDArray[Any], dataset: Dataset) -> Tensor:
    """Samples of a dataset in the units of the data, as a file reads them."""
    samples = torch.from_numpy(np.array(inputs)).to(_input_type(dataset))
    if dataset.centre is None:
        return samples
    return samples + torch.from_numpy(dataset.centre).view(-1, *[1] * (samples.ndim - 2))


def _difference(
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
            wanted = expected[task.name].numpy()
            differences.append(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))
    return float(np.max(differences))


def _check_packages(format: str) -> None:
    missing = [name for name in NEEDED if format == "onnx" and importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the format onnx needs {', '.join(missing)}: pip install 'mtl_search[export]', or choose the format torch."
        )


# The card


def _other_files(folder: Path, made_from: Mapping[str, Any], written: str) -> dict[str, float]:
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


def _card(
    run: Run, trained: Trained, dataset: Dataset, made_from: Mapping[str, Any], files: Mapping[str, float]
) -> dict[str, Any]:
    """What is known of a model.

    :param made_from: Which run, which of its networks, and how that was made.
    :param files: Name of each model file -> largest difference of its outputs from those of the trained network.
    """
    found = cost.measure(trained.network, dataset.input_shape)
    units = UNITS.get(str(dataset.splits["train"].inputs.dtype), "")
    return {
        "title": f"{trained.title} of {run.path.resolve().name}",
        "files": dict(files),
        "made_by": f"mtl_search {__version__}",
        "exported": now(),
        "input": {
            "name": _input_name(dataset),
            "shape": ["batch", *dataset.input_shape],
            "type": str(_input_type(dataset)).removeprefix("torch."),
            "units": f"as in the data, before any normalisation{units}",
            "normalisation_inside": {
                **({} if dataset.centre is None else {"centre": dataset.centre.tolist()}),
                "mean": dataset.mean.tolist(),
                "std": dataset.std.tolist(),
            },
        },
        "tasks": [
            {
                "name": task.name,
                **task.describe(),
                "onnx_output": output_names(dataset)[task.name],
                "outputs": task.outputs,
                "output_means": task.output_means,
            }
            for task in dataset.tasks
        ],
        "dataset": {"name": dataset.name, "options": dict(dataset.options), "found": dict(dataset.found)},
        "metrics": {"split": trained.about["measured_on"], "values": dict(trained.scores)},
        "cost": {
            "learnable_parameters": found.learnable_parameters,
            "fixed_parameters": found.fixed_parameters,
            "macs": found.macs,
        },
        "made_from": dict(made_from),
        "training": run.experiment.training.model_dump(mode="json"),
        "checked_samples": min(CHECKED, len(dataset.splits["val"])),
    }


def _page(card: Mapping[str, Any]) -> str:
    made, read = card["made_from"], card["input"]
    files = "\n".join(f"| `{name}` | {difference:.1e} |" for name, difference in card["files"].items())
    tasks = "\n".join(
        f"| {task['name']} | {task['kind']} | {task['outputs']} | {_meaning(task)} |" for task in card["tasks"]
    )
    metrics = "\n".join(f"| {name} | {value:.4f} |" for name, value in card["metrics"]["values"].items())
    seeds = made.get("accuracy_of_all_seeds", {})
    spread = (
        f"\nMean accuracy of all seeds: {', '.join(f'{100 * one:.2f} %' for one in seeds.values())}.\n" if seeds else ""
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

Method `{made["method"]}`.

```json
{json.dumps(choices, indent=2, ensure_ascii=False)}
```
"""


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
    names = [f"in this order: {', '.join(task['names'])}"] if task.get("names") else []
    scales = [
        f"`{name}` {', '.join(f'{value:.7g}' for value in task[name])}"
        for name in ("mean", "deviation")
        if task.get(name)
    ]
    told = [*names, *scales]
    return f"{task['output_means']} ({'; '.join(told)})" if told else str(task["output_means"])
