"""What commands print, and with which status they end."""

import json
import sys
from typing import TYPE_CHECKING, TextIO

from mtl_search.internal.characters import printable
from mtl_search.metrics.scores import headline_word, is_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mtl_search.comparison.results import Comparison, Outcome
    from mtl_search.runs.folder import Run
    from mtl_search.runs.status import RunStatus
    from mtl_search.runs.trial import Trial


def end(message: str, status: int) -> None:
    say(message, sys.stderr)
    raise SystemExit(status)


def say(text: object, file: TextIO | None = None) -> None:
    """Print what may hold names that others chose: what a terminal would obey is shown as escapes.

    Line ends stay, those of messages of several lines; in what the command was given they are shown, too.
    """
    shown = str(text)
    for given in sys.argv[1:]:
        shown = shown.replace(given, printable(given)) if "\n" in given.strip("\n") else shown
    print(printable(shown, keep="\n"), file=file)


def print_comparison(comparison: "Comparison") -> None:
    """A line per entrant: accuracy and Delta_m, their means over seeds."""
    from mtl_search.comparison.results import TWIN

    width = max(map(len, comparison.entrants))
    split, word = comparison.request["split"], headline_word(name for one in comparison.outcomes for name in one.scores)
    say(f"{'':{width}}  {f'{split} {word}':>13}  {'Delta_m':>8}  {'learnable':>10}  {'MACs':>12}  seeds")
    for key in sorted(comparison.entrants, key=lambda name: name.endswith(TWIN)):
        found = comparison.of(key)
        if not found:
            say(f"{key:{width}}  no training is complete")
            continue
        accuracy, learnable, macs = (
            sum(getattr(one, name) for one in found) / len(found)
            for name in ("accuracy", "learnable_parameters", "macs")
        )
        gains = [one.delta_m for one in found if one.delta_m is not None]
        gain = f"{sum(gains) / len(gains):+.2f} %" if gains else "-"
        say(f"{key:{width}}  {accuracy:13.2%}  {gain:>8}  {learnable:>10,.0f}  {macs:>12,.0f}  {len(found)}")
        _print_successes(found, width)
    for name, reason in comparison.request["unresolved"].items():
        say(f"pick {name}: {reason}")


def _print_successes(found: "Sequence[Outcome]", width: int) -> None:
    """How often the networks of an entrant succeeded in a simulation, task by task, if they acted in one."""
    from mtl_search.metrics.scores import SIMULATED

    acted = all(any(name.endswith(SIMULATED) for name in one.scores) for one in found)
    names = [name for name in found[0].scores if acted and name.endswith(SIMULATED)]
    rates = {name: sum(one.scores[name] for one in found) / len(found) for name in names}
    if rates:
        each = ", ".join(f"{name.partition('/')[0]} {rate:.0%}" for name, rate in rates.items())
        say(f"{'':{width}}  success in simulation {sum(rates.values()) / len(rates):.1%}: {each}")


def comparison_data(comparison: "Comparison") -> dict[str, object]:
    """A comparison as plain data for JSON: what was asked for, a row for each training, and what is missing."""
    from dataclasses import asdict

    return {
        "path": str(comparison.path),
        "request": dict(comparison.request),
        "outcomes": [asdict(one) for one in comparison.outcomes],
        "missing": [list(one) for one in comparison.missing],
    }


def exit_if_trainings_are_missing(comparison: "Comparison", as_json: bool = False) -> None:
    """Status 1 where trainings failed, each named.

    :param as_json: Whether standard output is to hold nothing else than JSON.
    """
    for one in comparison.failed:
        say(f"{one.entrant}, seed {one.seed} FAILED: {printable(one.error)}", sys.stderr if as_json else None)
    missing, now = comparison.missing, comparison.missing_now
    if len(missing) > len(now):
        others = sorted({key for key, _ in missing} - {key for key, _ in now})
        say(f"asked for earlier and not complete: {', '.join(others)}", sys.stderr if as_json else None)
    if now:
        names = ", ".join(f"{key} (seed {seed})" for key, seed in now)
        end(f"not complete: {names}; the same command trains them again", 1)


def print_cost(trial: "Trial | None", tasks: int) -> None:
    if trial is None:
        say("(cost depends on the tasks and the size of the inputs: show it from its run, as RUN:ID)")
        return
    say(
        f"cost: {trial.learnable_parameters:,} learnable parameters, {trial.fixed_parameters:,} fixed, "
        f"{trial.macs:,} MACs for {'its task' if tasks == 1 else f'all {tasks} tasks'}"
    )


def print_run(run: "Run") -> None:
    from mtl_search.runs.picks import hard_sharing_text, means_text, pick, pick_text
    from mtl_search.runs.status import status as status_of

    data = status_of(run)
    states = ", ".join(f"{count} {state}" for state, count in data.states.items()) or "no trial has ended"
    again = f", and {data.confirmations['trained']} confirmations" if data.confirmations["asked"] else ""
    say(f"{run.experiment.name}: {states}{again} of {data.asked} asked for")
    _print_under_way(data)
    for remark in data.remarks:
        say(f"  {remark}")
    for trial in run.trials:
        if trial.state == "FAILED":
            say(f"  trial {trial.number} FAILED: {printable(trial.error)}")
    if run.front:
        _print_constraints(run)
        say(f"front ({len(run.front)}), cheapest first:")
        others = "".join(f"  {name:>8}" for name in run.wanted if name != "accuracy")
        head = f"{run.mean_name.split()[-1]:>8}  {'mean':>14}{others}"
        say(f"  {'trial':>5}  {head}  {'learnable':>10}  architecture")
    for trial in run.front:
        mark = "" if trial is not run.pick else "  <- knee" if run.knee else "  <- best (no knee)"
        estimate = run.beliefs.of("accuracy").estimates[trial.number]
        bar = "" if estimate.bar is None else f"{100 * estimate.mean:.2f} ± {100 * estimate.bar:.2f}"
        others = "".join(_cell(name, trial.value(name)) for name in run.wanted if name != "accuracy")
        quality = f"{trial.accuracy:8.2%}  {bar:>14}{others}  {trial.learnable_parameters:>10,}"
        say(f"  {trial.number:>5}  {quality}  {trial.proposal}{mark}")
    if run.front:
        say(f"  {means_text(run)}")
        say(f"  {pick_text(run, pick(run))}")
    if told := hard_sharing_text(run):
        say(f"  {told}")


def _cell(name: str, value: float | None) -> str:
    """A quality under its name in a table."""
    shown = "-" if value is None else f"{value:.2%}" if is_share(name) else f"{value:.4g}"
    return f"  {shown:>{max(8, len(name))}}"  # 8: of `accuracy`, of a percentage with two decimals


def _print_constraints(run: "Run") -> None:
    """How many trials keep the limits on qualities, where there are some."""
    from mtl_search.runs.picks import limit_texts

    if limits := " and ".join(limit_texts(run)):
        whose = "theirs" if run.keeping else "that of all"
        kept = f"{len(run.keeping)} of {len(run.complete)} complete trials keep the constraints"
        say(f"  {kept}, {limits}; the front is {whose}")


def _print_under_way(data: "RunStatus") -> None:
    """What a running search is doing; of one that is not running, what waits for `resume`."""
    from mtl_search.execution.display import duration

    trials = ", ".join(f"{one['trial']} (epoch {one['epochs']})" for one in data.under_way)
    if data.running:
        left = data.seconds_left
        shown = "time left not known before a trial has ended" if left is None else f"{duration(left)} left"
        say(f"  running; under way: {trials or 'none'}; {shown}")
    elif data.ended_early:
        cut_off = f"; under way when it ended: {trials}" if trials else ""
        say(f"  not running, and short of what was asked for{cut_off}; go on with: mtl-search resume {data.path}")
    elif data.ended_because:
        say(f"  ended before the last trial: {data.ended_because}")


def exit_if_short(run: "Run") -> None:
    """Status 1 where trials failed or are missing; a budget that is used up and a space without more are no failure."""
    from mtl_search.runs.status import broke_constraints_at_last, ended_because, trained

    asked = run.experiment.search.trials
    failed = [trial.number for trial in run.trials if trial.state == "FAILED"]
    if failed:
        end(f"{len(failed)} of {asked} trials failed: {', '.join(map(str, failed))}", 1)
    if trained(run) < asked and not ended_because(run):
        broke = broke_constraints_at_last(run)
        why = f": the last {broke} candidates in a row broke constraints; relax these" if broke else ""
        end(f"only {trained(run)} of {asked} trials were trained{why}", 1)


def print_json(data: object) -> None:
    text = json.dumps(data, indent=2, ensure_ascii=False)
    print("".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text))
