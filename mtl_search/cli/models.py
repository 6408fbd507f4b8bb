"""Commands for a trained network in use: it becomes a file, or is asked about data."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mtl_search.cli.application import OF_A_RUN, JsonOption, NoCodeOption
from mtl_search.cli.printing import print_json, say
from mtl_search.cli.targets import divided, say_entrant, say_pick
from mtl_search.errors import UserError, no_such_file, shown_path

if TYPE_CHECKING:
    from mtl_search.exporting.model import Model


def export_model(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN[:ID]", help=f"{OF_A_RUN} ID may be an entrant of the comparison, too: hard_sharing, trial-24."
        ),
    ],
    format: Annotated[Literal["onnx", "torch"], typer.Option(help="onnx, or torch: for torch.export.load.")] = "onnx",
    seed: Annotated[int | None, typer.Option(help="Which training of an entrant; the first one if left out.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Put out probabilities of classes and labels instead of logits.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write into; RUN/exports/ID if left out.")] = None,
    as_json: JsonOption = False,
    no_code: NoCodeOption = False,
) -> None:
    """Write a trained network as a model file that needs no mtl_search, checked, with a model card beside it."""
    path, which = divided(target)
    from mtl_search.exporting.export import export
    from mtl_search.exporting.trained import chosen
    from mtl_search.runs.folder import load_run

    run = load_run(path)
    found = chosen(run, which)
    if isinstance(found, str):
        say_entrant(run, found, seed)
    else:
        say_pick(run, found)
    written = export(run, which, format=format, seed=seed, probabilities=probabilities, out=out)
    card = written.with_name("MODEL_CARD.md")
    if as_json:
        print_json({"model": str(written), "card": str(card)})
    else:
        say(f"model: {written}\ncard:  {card}")


def predict(
    target: Annotated[
        str, typer.Argument(metavar="RUN[:ID]|MODEL", help=f"{OF_A_RUN} MODEL: a file or a folder of `export`.")
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A table, an npz file or pictures, as those trained on.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write a CSV file, and maps beside it; printed if left out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Which training of an entrant; the first one if left out.")] = None,
    as_json: JsonOption = False,
    no_code: NoCodeOption = False,
) -> None:
    """Ask a trained network about data: labels by their names, probabilities, numbers in their units, maps."""
    if not data.exists():
        raise UserError(f"{shown_path(data)}: {no_such_file(data)}")
    if out is not None:
        from mtl_search.exporting.written import check_out

        check_out(out, data)
    model = _model(target, seed)
    dense = [task.name for task in model.tasks if task.dense]
    if dense and out is None:
        raise UserError(f"`--out` must say where files go: {', '.join(dense)} has an answer for every pixel.")

    from mtl_search.exporting.written import csv_text, maps_folder, rows_of, write_predictions

    samples = model.samples(data)
    for note in samples.notes:
        say(note, sys.stderr)
    rows = rows_of(model, samples) if out is None else write_predictions(model, samples, out)
    if as_json:
        print_json(rows)
    elif out is None:
        say(csv_text(rows).removesuffix("\n"))
    else:
        say(f"predictions: {out}" + (f"\nmaps:        {maps_folder(out)}" if dense else ""))


def _model(target: str, seed: int | None) -> "Model":
    """The network that is meant; which one of a run is said."""
    from mtl_search.exporting.exported import is_exported
    from mtl_search.exporting.model import load_model
    from mtl_search.exporting.trained import chosen
    from mtl_search.runs.folder import load_run

    if is_exported(Path(target)):
        return load_model(target, seed=seed)
    path, which = divided(target)
    run = load_run(path)
    found = chosen(run, which)
    if isinstance(found, str):
        say_entrant(run, found, seed)
    else:
        say_pick(run, found)
    return load_model(run, which, seed=seed)
