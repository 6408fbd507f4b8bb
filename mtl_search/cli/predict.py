"""The command ``predict``: a trained network is asked about data, and its answers become a table and maps."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtl_search.cli.application import OF_A_RUN, JsonOption, NoCodeOption
from mtl_search.cli.printing import print_json, say
from mtl_search.cli.targets import divided, say_entrant, say_pick
from mtl_search.errors import UserError, no_such_file, shown_path

if TYPE_CHECKING:
    from mtl_search.exporting.model import Model


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
