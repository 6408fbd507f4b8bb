"""The command line. Each command is one call of a public function; what is heavy is imported where it is used."""

import atexit
import gc
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from mtl_search.characters import printable
from mtl_search.errors import (
    ClusterError,
    MTLSearchError,
    SearchInterruptedError,
    UserError,
    existing_folder,
    shown_path,
)
from mtl_search.signals import INTERRUPTED, caught, end_on_signals, interrupted
from mtl_search.streams import open_streams

if TYPE_CHECKING:
    from mtl_search.architecture import Architecture
    from mtl_search.experiment import Experiment
    from mtl_search.outcomes import Comparison
    from mtl_search.run_folder import Run
    from mtl_search.trial import Trial

RARELY = 50_000, 20, 20
"""Thresholds of the garbage collector: imports make a million objects that stay, through which it goes again and again.
At the end it would go through them once more, so they are taken from it then. Both together are 3 seconds."""

app = typer.Typer(
    name="mtl-search",
    help="Multi-task architecture search: how much should the tasks share, layer by layer?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

NO_CODE = "Load no code of your own: what a file names as my_package.module:Name is refused."
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the experiment: training.epochs=3. Repeatable."),
]


def _refuse_own_code(context: typer.Context, refused: bool) -> None:
    """While the command runs."""
    if refused:
        from mtl_search.own_code import own_code_allowed

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
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


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
        _end(interrupted(), INTERRUPTED)


def main() -> None:
    """Run a command; end with 0, 1 (ended short), 2 (the input is wrong) or 130 (interrupted), told in one line."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except UserError as error:
        _end(f"error: {error}", 2)
    except SearchInterruptedError as error:
        _end(str(error), INTERRUPTED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # how typer answers Ctrl+C, without a word
            _end(interrupted(), INTERRUPTED)
        raise
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # Ray is left as it is: it would be asked about what is lost, for a minute
    except MTLSearchError as error:
        _end(f"error: {error}", 1)


def _end(message: str, status: int) -> None:
    _say(message, sys.stderr)
    raise SystemExit(status)


def _say(text: object, file: TextIO | None = None) -> None:
    """Print what may hold names that others chose: what a terminal would obey is shown as escapes.

    Line ends stay, those of messages of several lines; in what the command was given they are shown, too.
    """
    shown = str(text)
    for given in sys.argv[1:]:
        shown = shown.replace(given, printable(given)) if "\n" in given.strip("\n") else shown
    print(printable(shown, keep="\n"), file=file)


@app.callback(invoke_without_command=True)
def _begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    no_code: Annotated[bool, typer.Option("--no-code", help=NO_CODE)] = False,
) -> None:
    """What comes before the command: own code is looked for in the current folder, too."""
    from mtl_search.own_code import own_code_allowed

    context.with_resource(own_code_allowed(not no_code, here=True))
    if version:
        import mtl_search

        _say(mtl_search.__version__)
        raise typer.Exit


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
    no_code: NoCodeOption = False,
) -> None:
    """Search a space: train candidates on Ray Tune workers, keep the Pareto front, draw it."""
    from mtl_search.experiment import load_experiment

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

    from mtl_search.report import write_report
    from mtl_search.runner import search as run_search

    run = run_search(checked, out=out, address=address, show_progress=True)
    page = write_report(run)
    _print_run(run)
    _say(f"\nrun:  {run.path}\npage: {page}")
    _exit_if_short(run)


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
    no_code: NoCodeOption = False,
) -> None:
    """Go on with a search that was cut off, whatever by, or that is to have a larger budget.

    Trials that ended stay; those that were under way go on from their last checkpoint.
    """
    from mtl_search.report import write_report
    from mtl_search.runner import resume as go_on

    resumed = go_on(
        run,
        trials=trials,
        hours=hours,
        workers=workers,
        address=address,
        allow_changes=allow_changes,
        show_progress=True,
    )
    page = write_report(resumed)
    _print_run(resumed)
    _say(f"\nrun:  {resumed.path}\npage: {page}")
    _exit_if_short(resumed)


@app.command()
def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Trials by state, the front, and the time left: also while the search is running."""
    from mtl_search.run_folder import load_run
    from mtl_search.status import status as status_of

    loaded = load_run(run)
    if as_json:
        _print_json(status_of(loaded))
    else:
        _print_run(loaded)


@app.command()
def report(run: RunArgument) -> None:
    """Render the pages and report.json again from the folder."""
    from mtl_search.report import write_report

    _say(write_report(run))


@app.command()
def show(
    target: Annotated[str, typer.Argument(metavar="ARCHITECTURE.json|RUN[:ID]", help="A RUN alone shows its knee.")],
    svg: Annotated[Path | None, typer.Option(help="Write the drawing to this SVG file, too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """An architecture: layers, sharing, cost, as a table and a picture."""
    from mtl_search.drawing import svg_drawing, text_drawing

    run, trial = _of_run(target)
    architecture = trial.architecture if trial else _architecture(target)
    tasks = (run.task_names if run else []) or ["a", "b"]
    if svg is not None:
        try:
            svg.write_text(svg_drawing(architecture, tasks), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{shown_path(svg)}: cannot be written: {error.strerror}.") from error
        _say(f"picture: {svg}", sys.stderr)
    if as_json:
        _print_json(_architecture_data(architecture, trial))
    else:
        _say(f"{architecture.id}  {architecture}\n\n{text_drawing(architecture, tasks)}".removesuffix("\n"))
        _print_cost(trial, len(tasks))


@app.command()
def compare(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run.")] = None,
    baselines: Annotated[
        str, typer.Option(help="Names (see `list baselines`), NAME@VARIANT or YAML files, with commas; all; none.")
    ] = "all",
    pick: Annotated[
        str | None,
        typer.Option(help="knee, best, smallest, matched:BASELINE or numbers of trials, with commas; none."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each.")] = 3,
    workers: Annotated[int | None, typer.Option(help="Trainings at the same time; 0: in this process.")] = None,
    address: Annotated[str | None, typer.Option(help="Join the Ray cluster at this address.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Without a run: on this dataset, and its backbone.")] = None,
    like: Annotated[str | None, typer.Option(help="Without a run: on this experiment's data and backbone.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Without a run: epochs of each training.")] = None,
    out: Annotated[Path | None, typer.Option(help="Without a run: folder, new or empty.")] = None,
    no_code: NoCodeOption = False,
) -> None:
    """Train picks of the front and baselines from scratch, at equal budget, over seeds; measure on the test split.

    The same command again goes on where it stopped, and trains again what failed.
    """
    from mtl_search.comparison import compare as run_comparison
    from mtl_search.run_folder import load_run

    if run is not None:
        without = {"--dataset": dataset, "--like": like, "--epochs": epochs, "--out": out}
        for option, value in without.items():
            if value is not None:
                raise UserError(f"{option} is for a comparison without a run; {run} brings its own.")
        subject: Run | Experiment = load_run(run)
    else:
        subject = _experiment_for(dataset, like, epochs)

    from mtl_search.report import write_report

    comparison = run_comparison(
        subject,
        baselines=_names(baselines),
        picks=None if pick is None else _names(pick),
        seeds=seeds,
        workers=workers,
        out=out,
        address=address,
        show_progress=True,
    )
    _print_comparison(comparison)
    page = write_report(comparison.path)
    _say(f"\npage: {page.with_name('report.html')}")
    _exit_if_trainings_are_missing(comparison)


@app.command()
def train(
    target: Annotated[
        str,
        typer.Argument(metavar="ARCHITECTURE.json|RUN[:ID]|BASELINE", help="A RUN alone trains its knee."),
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
    no_code: NoCodeOption = False,
) -> None:
    """Train an architecture or a baseline from scratch and measure it. Data and settings of a RUN are its own."""
    from mtl_search.comparison import train_alone

    architecture, experiment, run = _trained(target, dataset, like, epochs)
    comparison = train_alone(architecture or target, experiment, seeds=seeds, split=split, out=out, run=run)
    _print_comparison(comparison)
    if out is not None:
        _say(f"\nfolder: {out}")
    _exit_if_trainings_are_missing(comparison)


@app.command("export")
def export_model(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN[:ID]", help="ID: a trial of the front, or an entrant of the comparison. A RUN alone: its knee."
        ),
    ],
    format: Annotated[Literal["onnx", "torch"], typer.Option(help="onnx, or torch: for torch.export.load.")] = "onnx",
    seed: Annotated[int, typer.Option(help="Which training of an entrant.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write into; RUN/exports/ID if left out.")] = None,
    no_code: NoCodeOption = False,
) -> None:
    """Write a trained network as a model file that needs no mtl_search, checked, with a model card beside it."""
    path, which = (target, None) if os.path.isdir(target) else _divided(target)
    from mtl_search.exporting import export

    written = export(path, which, format=format, seed=seed, out=out)
    _say(f"model: {written}\ncard:  {written.with_name('MODEL_CARD.md')}")


@app.command("list")
def list_names(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="spaces, baselines, datasets, tasks, primitives, methods or balancings."),
    ],
    as_json: JsonOption = False,
) -> None:
    """What can be used by name."""
    from mtl_search.listing import listing

    found = listing(what)
    if as_json:
        _print_json(found)
    elif not found:
        _say(f"there are no {what} yet")
    else:
        width = max(map(len, found))
        _say("\n".join(f"{name:{width}}  {about}" for name, about in found.items()))


@app.command()
def check(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="A name (see `list spaces`) or a YAML file.")],
    changes: SetOption = None,
    as_json: JsonOption = False,
    no_code: NoCodeOption = False,
) -> None:
    """Validate an experiment and its data without training: what was found, the size of the space, the costs."""
    from mtl_search.experiment import load_experiment

    checked = load_experiment(experiment, changes or [])
    _check_dataset(checked)

    from mtl_search.checking import check as checked_data
    from mtl_search.checking import check_text

    found = checked_data(checked)
    if as_json:
        _print_json(found)
    else:
        _say(check_text(found))


def _check_dataset(experiment: "Experiment") -> None:
    """Refuse wrong options of a dataset before what trains is loaded, which takes seconds more."""
    from mtl_search.datasets import dataset_source

    try:
        dataset_source(experiment.dataset.name, experiment.dataset.options)
    except UserError as error:
        raise UserError(f"{experiment.source}: {error}") from error


def _divided(target: str) -> tuple[str, str]:
    """``RUN:ID`` as folder and name."""
    path, _, name = target.rpartition(":")
    existing_folder(path or target)
    return path, name


def _of_run(target: str) -> "tuple[Run, Trial] | tuple[None, None]":
    """A run and the trial of it that is meant, if the target is a run: the one named, or its knee."""
    from mtl_search.run_folder import load_run

    path, colon, name = target.rpartition(":")
    if colon and os.path.isdir(path):
        number = name.removeprefix("trial-")
        if not number.isdecimal():
            raise UserError(f"{path}: `{name}` is no trial; give its number, or no name for the knee.")
        run = load_run(path)
        return run, run.trial(int(number))
    if not os.path.isdir(target):
        return None, None
    run = load_run(target)
    if run.knee is None:
        raise UserError(f"{target}: no trial of this run is complete; name one as {target}:ID.")
    return run, run.knee


def _architecture(path: str) -> "Architecture":
    from mtl_search.architecture import Architecture

    return Architecture.load(path)


def _trained(
    target: str, dataset: str | None, like: str | None, epochs: int | None
) -> "tuple[Architecture | None, Experiment, Run | None]":
    """What to train, ``None`` for a baseline; the experiment that brings the rest; the run whose data it must have."""
    is_file = target.endswith(".json")
    if is_file or os.path.isdir(target.rpartition(":")[0] or target):
        run, trial = _of_run(target)
        architecture = trial.architecture if trial else _architecture(target)
        if run is not None and dataset is None and like is None:
            return architecture, _with_epochs(run.experiment, epochs), run
    else:
        architecture = None
    if dataset is None and like is None:
        raise UserError(
            f"{'a file' if is_file else 'a baseline'} holds no data: say `--dataset NAME`, "
            "or `--like EXPERIMENT` for its data and settings."
        )
    return architecture, _experiment_for(dataset, like, epochs), None


def _experiment_for(dataset: str | None, like: str | None, epochs: int | None) -> "Experiment":
    """An experiment by name or path, or the one that comes with the package for a dataset."""
    from mtl_search.experiment import experiment_on, load_experiment

    if like is None and dataset is None:
        raise UserError("give the folder of a run, or `--dataset NAME`, or `--like EXPERIMENT`.")
    found = load_experiment(like) if like is not None else experiment_on(str(dataset))
    if like is not None and dataset is not None and dataset != found.dataset.name:
        found = found.changed({"dataset": {"name": dataset}})
    return _with_epochs(found, epochs)


def _with_epochs(experiment: "Experiment", epochs: int | None) -> "Experiment":
    return experiment if epochs is None else experiment.changed({"training": {"epochs": epochs}})


def _names(text: str) -> list[str]:
    """Names with commas between them; ``none`` is no name.

    :raises UserError: If there is nothing else in it.
    """
    names = [name for part in text.split(",") if (name := part.strip())]
    if not names:
        raise UserError("`--baselines` and `--pick` must hold names with commas between them, or `none`, but got none.")
    return [] if names == ["none"] else names


def _print_comparison(comparison: "Comparison") -> None:
    """A line per entrant: accuracy and Delta_m, their means over seeds."""
    width = max(map(len, comparison.entrants))
    split = comparison.asked["split"]
    _say(f"{'':{width}}  {split + ' accuracy':>13}  {'Delta_m':>8}  {'learnable':>10}  {'MACs':>12}  seeds")
    for key in comparison.entrants:
        found = comparison.of(key)
        if not found:
            _say(f"{key:{width}}  no training is complete")
            continue
        accuracy, learnable, macs = (
            sum(getattr(one, name) for one in found) / len(found)
            for name in ("accuracy", "learnable_parameters", "macs")
        )
        gains = [one.delta_m for one in found if one.delta_m is not None]
        gain = f"{sum(gains) / len(gains):+.2f} %" if gains else "-"
        _say(f"{key:{width}}  {accuracy:13.2%}  {gain:>8}  {learnable:>10,.0f}  {macs:>12,.0f}  {len(found)}")
    for name, reason in comparison.asked["unresolved"].items():
        _say(f"pick {name}: {reason}")


def _exit_if_trainings_are_missing(comparison: "Comparison") -> None:
    """Status 1 where trainings failed, each named."""
    for one in comparison.failed:
        _say(f"{one.entrant}, seed {one.seed} FAILED: {printable(one.error)}")
    missing, now = comparison.missing, comparison.missing_now
    if len(missing) > len(now):
        others = sorted({key for key, _ in missing} - {key for key, _ in now})
        _say(f"asked for earlier and not complete: {', '.join(others)}")
    if now:
        names = ", ".join(f"{key} (seed {seed})" for key, seed in now)
        _end(f"not complete: {names}; the same command trains them again", 1)


def _architecture_data(architecture: "Architecture", trial: "Trial | None") -> dict[str, Any]:
    from dataclasses import asdict

    from mtl_search.drawing import layer_table

    data = {**architecture.to_dict(), "id": architecture.id}
    data["channels"] = [asdict(row) for row in layer_table(architecture)]
    if trial is not None:
        names = ("learnable_parameters", "fixed_parameters", "macs")
        data["cost"] = {name: getattr(trial, name) for name in names}
    return data


def _print_cost(trial: "Trial | None", tasks: int) -> None:
    if trial is None:
        _say("(cost depends on the tasks and the size of the inputs: show it from its run, as RUN:ID)")
        return
    _say(
        f"cost: {trial.learnable_parameters:,} learnable parameters, {trial.fixed_parameters:,} fixed, "
        f"{trial.macs:,} MACs for {'its task' if tasks == 1 else f'all {tasks} tasks'}"
    )


def _print_run(run: "Run") -> None:
    from mtl_search.status import status as status_of

    data = status_of(run)
    states = ", ".join(f"{count} {state}" for state, count in data["states"].items()) or "no trial has ended"
    _say(f"{run.experiment.name}: {states} of {data['asked']} asked for")
    _print_under_way(data)
    for remark in data["remarks"]:
        _say(f"  {remark}")
    for trial in run.trials:
        if trial.state == "FAILED":
            _say(f"  trial {trial.number} FAILED: {printable(trial.error)}")
    if run.front:
        _say(f"front ({len(run.front)}), cheapest first:")
        _say(f"  {'trial':>5}  {'accuracy':>8}  {'learnable':>10}  architecture")
    for trial in run.front:
        knee = "  <- knee" if trial is run.knee else ""
        quality = f"{trial.accuracy:8.2%}  {trial.learnable_parameters:>10,}"
        _say(f"  {trial.number:>5}  {quality}  {trial.architecture}{knee}")


def _print_under_way(data: dict[str, Any]) -> None:
    """What a running search is doing; of one that is not running, what waits for `resume`."""
    from mtl_search.progress import duration

    trials = ", ".join(f"{one['trial']} (epoch {one['epochs']})" for one in data["under_way"])
    if data["running"]:
        left = data["seconds_left"]
        shown = "time left not known before a trial has ended" if left is None else f"{duration(left)} left"
        _say(f"  running; under way: {trials or 'none'}; {shown}")
    elif data["ended_early"]:
        cut_off = f"; under way when it ended: {trials}" if trials else ""
        _say(f"  not running, and short of what was asked for{cut_off}; go on with: mtl-search resume {data['path']}")
    elif data["ended_because"]:
        _say(f"  ended before the last trial: {data['ended_because']}")


def _exit_if_short(run: "Run") -> None:
    """Status 1 where trials failed or are missing; a budget that is used up and a space without more are no failure."""
    from mtl_search.status import broke_constraints_at_last, ended_because, trained

    asked = run.experiment.search.trials
    failed = [trial.number for trial in run.trials if trial.state == "FAILED"]
    if failed:
        _end(f"{len(failed)} of {asked} trials failed: {', '.join(map(str, failed))}", 1)
    if trained(run) < asked and not ended_because(run):
        broke = broke_constraints_at_last(run)
        why = f": the last {broke} candidates in a row broke constraints; relax these" if broke else ""
        _end(f"only {trained(run)} of {asked} trials were trained{why}", 1)


def _print_json(data: object) -> None:
    text = json.dumps(data, indent=2, ensure_ascii=False)
    print("".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text))


if __name__ == "__main__":
    program()
