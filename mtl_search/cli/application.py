"""The application that commands belong to, and the options that several of them have."""

from pathlib import Path
from typing import Annotated

import typer

from mtl_search.cli.printing import say

app = typer.Typer(
    name="mtl-search",
    help="Multi-task architecture search: how much should the tasks share, layer by layer?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

OF_A_RUN = "ID: knee, best, smallest or the number of a trial. A RUN alone: its knee, or its best if it has none."
NO_CODE = "Load no code of your own: what a file names as my_package.module:Name is refused."
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the experiment: training.epochs=3. Repeatable."),
]


def _refuse_own_code(context: typer.Context, refused: bool) -> None:
    """While the command runs."""
    if refused:
        from mtl_search.internal.own_code import own_code_allowed

        context.with_resource(own_code_allowed(False))


NoCodeOption = Annotated[
    bool,
    typer.Option(
        "--no-code",
        callback=_refuse_own_code,
        expose_value=False,
        help=NO_CODE,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only what came out.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


@app.callback(invoke_without_command=True)
def _begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    no_code: Annotated[bool, typer.Option("--no-code", help=NO_CODE)] = False,
) -> None:
    """What comes before the command: own code is looked for in the current folder, too."""
    from mtl_search.internal.own_code import own_code_allowed

    context.with_resource(own_code_allowed(not no_code, here=True))
    if version:
        import mtl_search

        say(mtl_search.__version__)
        raise typer.Exit
