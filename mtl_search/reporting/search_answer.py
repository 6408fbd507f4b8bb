"""What a search found, in sentences that are computed from its numbers."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mtl_search.metrics.scores import WORST_TASK
from mtl_search.reporting.text import cost_text, count, score_text
from mtl_search.runs.folder import Run
from mtl_search.runs.picks import hard_sharing, limit_texts
from mtl_search.runs.trial import ENDS, Trial


def summary(run: Run, quality: str, cost: str) -> list[str]:
    """What was found, what the knee is, and whether limits on qualities are kept.

    :param quality: The objective that the plot shows.
    :param cost: The objective that the plot shows as the cost of a candidate.
    """
    if run.best is None:
        return [f"No candidate was trained to its end: {states_text(run)}."]
    told = [_what_was_found(run, run.best, quality, cost), _what_the_knee_is(run, run.best, quality, cost)]
    if hard := hard_sharing(run):
        told.append(
            f"Hard sharing, everything shared and no primitives, was tried, too: trial {hard.number} reaches"
            f" {_quality(run, hard, quality)} with {cost_text(_number(hard, cost), cost)} {_noun(cost)}."
        )
    limits = " and ".join(limit_texts(run))
    if limits and not run.keeping:
        told.append(f"No candidate keeps the constraints, {limits}: the front is that of all candidates.")
    elif limits:
        told.append(
            f"{count(len(run.keeping), 'candidate keeps', 'candidates keep')} the constraints, {limits}; the front is"
            " made of them."
        )
    return told


def caption(run: Run, pareto: Mapping[str, Any]) -> str:
    """What the plot shows.

    :param pareto: Data of the plot of the front, which is drawn.
    """
    better = "up" if pareto["quality"]["direction"] == "maximize" else "down"
    text = f"Each point is a candidate trained for its whole budget; {better} and to the left is better."
    if run.beliefs.of(pareto["quality"]["name"]).source != "trained":
        text += " It stands at its mean over seeds, as far as that is known; bars, of the front, are 95 %."
    objectives = [axis["label"] for axis in pareto["objectives"]]
    kept = " among those that keep the constraints" if limit_texts(run) and run.keeping else ""
    if len(objectives) == 2:
        return f"{text} The line is the front: the best that was found for each cost{kept}."
    return (
        f"{text} The search had {len(objectives)} objectives: {'; '.join(objectives)}. The plot shows two of them; the"
        f" front is that of all{kept}, so that some of its points look as if others were better."
    )


def states_text(run: Run) -> str:
    """How many trials ended in each way."""
    counts = Counter(trial.state for trial in run.trials)
    return ", ".join(f"{counts[state]:,} {state.value.lower()}" for state in ENDS if counts[state]) or "none has ended"


def _what_was_found(run: Run, best: Trial, quality: str, cost: str) -> str:
    trained = count(len(run.complete), "candidate was", "candidates were")
    front = count(len(run.front), "of them is", "of them are")
    costs = [_number(trial, cost) for trial in run.front]
    span = " to ".join(cost_text(end, cost) for end in sorted({min(costs), max(costs)}))
    of_best = cost_text(_number(best, cost), cost)
    return (
        f"{trained} trained on {run.experiment.dataset.title}; {front} on the front, with {span} {_noun(cost)}."
        f" The best, trial {best.number}, reaches {_quality(run, best, quality)} with {of_best}."
    )


def _what_the_knee_is(run: Run, best: Trial, quality: str, cost: str) -> str:
    knee = run.knee
    if knee is None:
        few = "it has fewer than three candidates" if len(run.front) < 3 else "it hardly bends"
        return f"The front has no knee, for {few}. What is taken where none is named is the same trial {best.number}."
    if best.number == knee.number:
        return f"The knee of the front, after which more cost stops to pay, is the same trial {knee.number}."
    own, other = _number(knee, cost), _number(best, cost)
    fewer = f", {other / own:.1f} times fewer than the best" if 0 < own < other else ""
    amount = f"{cost_text(own, cost)} {_noun(cost)}"
    return f"The knee, trial {knee.number}, reaches {_quality(run, knee, quality)} with {amount}{fewer}."


def _number(trial: Trial, objective: str) -> float:
    value = trial.value(objective)
    assert value is not None, "a complete trial has a value for every objective"
    return value


def _noun(cost: str) -> str:
    """A cost as it stands after a number."""
    nouns = {"macs": "MACs", "total_parameters": "parameters", "latency_ms": "milliseconds"}
    return nouns.get(cost, cost.replace("_", " "))


def _quality(run: Run, trial: Trial, name: str) -> str:
    """The quality of a trial as it stands in a sentence."""
    task, _, metric = name.partition("/")
    text = score_text(_number(trial, name), name)
    if metric:
        return f"{text} {metric} in task {task}"
    return f"{text} in the worst task" if name == WORST_TASK else f"{text} {run.mean_name}"
