"""Commands that train from scratch: picks and baselines side by side, or one of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mtl_search.cli.application import OF_A_RUN, JsonOption, NoCodeOption, QuietOption
from mtl_search.cli.printing import (
    comparison_data,
    exit_if_trainings_are_missing,
    print_comparison,
    print_json,
    say,
)
from mtl_search.cli.targets import loaded, names_in
from mtl_search.errors import UserError

if TYPE_CHECKING:
    from mtl_search.runs.folder import Run
    from mtl_search.spaces.experiment import Experiment


def compare(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run.")] = None,
    baselines: Annotated[
        str, typer.Option(help="Names (see `list baselines`), NAME@VARIANT or YAML files, with commas; all; none.")
    ] = "all",
    pick: Annotated[
        str | None,
        typer.Option(help="knee, best, smallest, matched:BASELINE or numbers of trials, with commas; none."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each.")] = 3,  # comparison.SEEDS
    tune: Annotated[
        int | None, typer.Option(help="Before that, trainings of each to choose its own learning rate and options.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="epochs; macs: each once more, with the compute of hard sharing; macs:2: twice that.")
    ] = "epochs",
    control: Annotated[
        bool, typer.Option("--control", help="Search again without primitives, and hard sharing alone; compare them.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Trainings at the same time; 0: in this process.")] = None,
    address: Annotated[str | None, typer.Option(help="Join the Ray cluster at this address.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Without a run: on this dataset, and its backbone.")] = None,
    like: Annotated[str | None, typer.Option(help="Without a run: on this experiment's data and backbone.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Without a run: epochs of each training.")] = None,
    out: Annotated[Path | None, typer.Option(help="Without a run: folder, new or empty.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    no_code: NoCodeOption = False,
) -> None:
    """Train picks of the front and baselines from scratch, at equal budget, over seeds; measure on the test split.

    The same command again goes on where it stopped, and trains again what failed.
    """
    from mtl_search.comparison.compare import compare as run_comparison
    from mtl_search.comparison.train import experiment_for
    from mtl_search.runs.folder import load_run

    if run is not None:
        without = {"--dataset": dataset, "--like": like, "--epochs": epochs, "--out": out}
        for option, value in without.items():
            if value is not None:
                raise UserError(f"{option} is for a comparison without a run; {run} brings its own.")
        subject: Run | Experiment = load_run(run)
    else:
        subject = experiment_for(dataset, like, epochs)

    from mtl_search.reporting.search_page import write_report

    comparison = run_comparison(
        subject,
        baselines=names_in(baselines),
        picks=None if pick is None else names_in(pick),
        seeds=seeds,
        tune=tune,
        budget=budget,
        control=control,
        workers=workers,
        out=out,
        address=address,
        show_progress=not quiet,
    )
    page = write_report(comparison.path).with_name("report.html")
    if as_json:
        print_json({**comparison_data(comparison), "page": str(page)})
    else:
        print_comparison(comparison)
        say(f"\npage: {page}")
    exit_if_trainings_are_missing(comparison, as_json)


def train(
    target: Annotated[
        str,
        typer.Argument(metavar="ARCHITECTURE.json|RUN[:ID]|BASELINE", help=OF_A_RUN),
    ],
    dataset: Annotated[str | None, typer.Option(help="Dataset by name, with its default options.")] = None,
    like: Annotated[str | None, typer.Option(help="Take dataset, backbone and training from this experiment.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of trainings.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each training.")] = None,
    split: Annotated[
        Literal["test", "val"],
        typer.Option(help="test: train on training and validation samples, measure on the test split."),
    ] = "test",
    out: Annotated[Path | None, typer.Option(help="Write weights and scores here, a new or empty folder.")] = None,
    as_json: JsonOption = False,
    no_code: NoCodeOption = False,
) -> None:
    """Train an architecture or a baseline from scratch and measure it. Data and settings of a RUN are its own."""
    from mtl_search.comparison.train import train as run_training

    comparison = run_training(
        *loaded(target), dataset=dataset, like=like, seeds=seeds, epochs=epochs, split=split, out=out
    )
    if as_json:
        print_json({**comparison_data(comparison), "path": None if out is None else str(out)})
    else:
        print_comparison(comparison)
        if out is not None:
            say(f"\nfolder: {out}")
    exit_if_trainings_are_missing(comparison, as_json)
