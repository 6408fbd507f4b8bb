"""The command that begins: a first experiment for data of the user's own."""

from pathlib import Path
from typing import Annotated

import typer

from mtl_search.cli.application import JsonOption, app
from mtl_search.cli.printing import print_json, say


@app.command()
def init(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A table, an npz file or a folder of pictures.")],
    tasks: Annotated[
        str, typer.Option(metavar="NAME,...", help="Columns to be predicted: species,price or 'label_*'.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="The YAML file; beside the data if left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a table, arrays or pictures, and write an experiment that searches on them."""
    from mtl_search.searching.starting import first_experiment

    written = first_experiment(data, [name.strip() for name in tasks.split(",") if name.strip()], out)
    if as_json:
        print_json({"experiment": str(written)})
        return
    say(f"{written}\n\nlook at it, then: mtl-search check {written}\n                  mtl-search search {written}")
