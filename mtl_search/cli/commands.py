"""The command line. Each command is one call of a public function; what is heavy is imported where it is used."""

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtl_search.cli.application import OF_A_RUN, JsonOption, NoCodeOption, QuietOption, RunArgument, SetOption, app
from mtl_search.cli.comparing import compare, train
from mtl_search.cli.models import export_model, predict
from mtl_search.cli.printing import (
    end,
    exit_if_short,
    print_cost,
    print_json,
    print_run,
    say,
)
from mtl_search.cli.starting import init as init
from mtl_search.cli.targets import loaded
from mtl_search.cli.watching import watch
from mtl_search.errors import (
    ClusterError,
    MTLSearchError,
    SearchInterruptedError,
    UserError,
    shown_path,
)
from mtl_search.internal.signals import INTERRUPTED, caught, end_on_signals, interrupted
from mtl_search.internal.streams import open_streams, say_on_terminal

if TYPE_CHECKING:
    from mtl_search.runs.folder import Run
    from mtl_search.spaces.experiment import Experiment

RARELY = 50_000, 20, 20
"""Thresholds of the garbage collector: imports make a million objects that stay, through which it goes again and again.
At the end it would go through them once more, so they are taken from it then. Both together are 3 seconds."""


def program() -> None:
    """Run the command that this process is for: signals end it with their own status, its streams take everything."""
    open_streams()
    end_on_signals()
    gc.set_threshold(*RARELY)
    atexit.register(gc.freeze)
    try:
        with caught():
            main()
    except KeyboardInterrupt:
        end(interrupted(), INTERRUPTED)


def main() -> None:
    """Run a command; end with 0, 1 (ended short), 2 (the input is wrong) or 130 (interrupted), told in one line."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except UserError as error:
        end(f"error: {error}", 2)
    except SearchInterruptedError as error:
        end(str(error), INTERRUPTED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # how typer answers Ctrl+C, without a word
            end(interrupted(), INTERRUPTED)
        raise
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # Ray is left as it is: it would be asked about what is lost, for a minute
    except MTLSearchError as error:
        end(f"error: {error}", 1)


@app.command()
def search(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="A name (see `list spaces`) or a YAML file.")],
    trials: Annotated[int | None, typer.Option(help="Candidates to train.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at the same time; 0: in this process.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each training.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampler and of every training.")] = None,
    hours: Annotated[float | None, typer.Option(help="Time for the search.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the run, new or empty.")] = None,
    address: Annotated[str | None, typer.Option(help="Join the Ray cluster at this address.")] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    no_code: NoCodeOption = False,
) -> None:
    """Search a space: train candidates on Ray Tune workers, keep the Pareto front, draw it."""
    say_on_terminal(f"reading experiment {experiment} ...", shown=not quiet)
    from mtl_search.spaces.experiment import load_experiment

    options = {
        "search.trials": trials,
        "search.hours": hours,
        "search.workers": workers,
        "training.epochs": epochs,
        "search.seed": seed,
    }
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    checked = load_experiment(experiment, [*(changes or []), *given])
    _check_dataset(checked)
    say_on_terminal("loading torch and Ray ...", shown=not quiet)

    from mtl_search.reporting.search_page import write_report
    from mtl_search.searching.run import search as run_search

    run = run_search(checked, out=out, address=address, show_progress=not quiet)
    _tell(run, write_report(run), as_json)


@app.command()
def resume(
    run: RunArgument,
    trials: Annotated[int | None, typer.Option(help="Candidates to train in all; may only grow.")] = None,
    hours: Annotated[float | None, typer.Option(help="Time for the search in all; may only grow.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at the same time; 0: in this process.")] = None,
    address: Annotated[str | None, typer.Option(help="Join the Ray cluster at this address.")] = None,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Go on though source, data, libraries or the experiment changed.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    no_code: NoCodeOption = False,
) -> None:
    """Go on with a search that was cut off, whatever by, or that is to have a larger budget.

    Trials that ended stay; those that were under way go on from their last checkpoint.
    """
    say_on_terminal("loading torch and Ray ...", shown=not quiet)
    from mtl_search.reporting.search_page import write_report
    from mtl_search.searching.run import resume as go_on

    resumed = go_on(
        run,
        trials=trials,
        hours=hours,
        workers=workers,
        address=address,
        allow_changes=allow_changes,
        show_progress=not quiet,
    )
    _tell(resumed, write_report(resumed), as_json)


def _tell(run: "Run", page: Path, as_json: bool) -> None:
    """What came out of a search; status 1 where it is short of what was asked for."""
    if as_json:
        from mtl_search.runs.status import status as status_of

        print_json({**status_of(run).to_dict(), "page": str(page)})
    else:
        print_run(run)
        say(f"\nrun:  {run.path}\npage: {page}")
    exit_if_short(run)


@app.command()
def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Trials by state, the front, and the time left: also while the search is running."""
    from mtl_search.runs.folder import load_run
    from mtl_search.runs.status import status as status_of

    found = load_run(run)
    if as_json:
        print_json(status_of(found).to_dict())
    else:
        print_run(found)


app.command()(watch)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folder of a run; of several, with --out.")],
    plotly: Annotated[
        Path | None, typer.Option(help="Share plotly.js with other pages in this file, instead of one in each.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write one page of all these runs to this .html file, and none of theirs.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Render the pages and report.json again from the folder.

    With --out instead one page of all the runs that are named: their fronts in one plot, and tables.
    """
    if out is not None:
        from mtl_search.reporting.runs_page import write_runs_report

        _tell_page(write_runs_report(runs, out, plotly), as_json)
        return
    if len(runs) > 1:
        raise UserError(f"report: {len(runs)} runs go on one page; name its file with --out, such as --out runs.html.")

    from mtl_search.reporting.search_page import write_report

    _tell_page(write_report(runs[0], plotly), as_json)


def _tell_page(page: Path, as_json: bool) -> None:
    if as_json:
        print_json({"page": str(page)})
    else:
        say(page)


@app.command()
def show(
    target: Annotated[str, typer.Argument(metavar="ARCHITECTURE.json|RUN[:ID]", help=OF_A_RUN)],
    svg: Annotated[Path | None, typer.Option(help="Write the drawing to this SVG file, too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """An architecture: layers, sharing, cost, as a table and a picture."""
    from mtl_search.reporting.show import show as shown

    found = shown(*loaded(target))
    architecture = found.architecture
    if svg is not None:
        try:
            svg.write_text(found.svg, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{shown_path(svg)}: cannot be written: {error.strerror}.") from error
        say(f"picture: {svg}", sys.stderr)
    if as_json:
        print_json(found.to_dict())
    else:
        named = found.pick.trial.proposal if found.pick else architecture
        say(f"{architecture.id}  {named}\n\n{found.text}".removesuffix("\n"))
        print_cost(found.pick.trial if found.pick else None, len(found.tasks))


app.command()(compare)
app.command()(train)
app.command("export")(export_model)
app.command()(predict)


@app.command("list")
def list_names(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="spaces, baselines, datasets, tasks, primitives, methods or balancings."),
    ],
    as_json: JsonOption = False,
) -> None:
    """What can be used by name."""
    from mtl_search.cli.listing import listing

    found = listing(what)
    if as_json:
        print_json(found)
    elif not found:
        say(f"there are no {what} yet")
    else:
        width = max(map(len, found))
        say("\n".join(f"{name:{width}}  {about}" for name, about in found.items()))


@app.command()
def check(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="A name (see `list spaces`) or a YAML file.")],
    changes: SetOption = None,
    as_json: JsonOption = False,
    no_code: NoCodeOption = False,
) -> None:
    """Validate an experiment and its data without training: what was found, the size of the space, the costs."""
    from mtl_search.spaces.experiment import load_experiment

    checked = load_experiment(experiment, changes or [])
    _check_dataset(checked)

    from mtl_search.cli.checking import check_text
    from mtl_search.searching.check import check as checked_data

    found = checked_data(checked)
    if as_json:
        print_json(found.to_dict())
    else:
        say(check_text(found))


def _check_dataset(experiment: "Experiment") -> None:
    """Refuse wrong options of a dataset before what trains is loaded, which takes seconds more."""
    from mtl_search.datasets import dataset_source

    try:
        dataset_source(experiment.dataset.name, experiment.dataset.options)
    except UserError as error:
        raise UserError(f"{experiment.source}: {error}") from error
