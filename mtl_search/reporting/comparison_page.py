"""What the page of a comparison says: its question, its answer, its tables and figures, as plain data for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_search.comparison.results import Comparison
from mtl_search.comparison.summary import (
    HARD_SHARING,
    Entrant,
    anchor,
    by_key,
    difference,
    entrants_of,
    score_names,
)
from mtl_search.metrics.intervals import deviations_to_each_side
from mtl_search.metrics.pareto import COSTS as PLAIN_COSTS
from mtl_search.metrics.scores import is_error
from mtl_search.reporting.comparison_answer import answer, pick_names, question, state
from mtl_search.reporting.figures import (
    branch_points_data,
    cosines_data,
    differences_data,
    hypervolume_data,
    importance_data,
    interval_data,
    objective_label,
    shares_data,
    standings_data,
)
from mtl_search.reporting.text import (
    as_pairs,
    augmentation_text,
    cost_text,
    count,
    made_by_machine,
    quality_text,
    rounded,
    score_text,
    share_text,
    signed,
)
from mtl_search.runs.folder import Run

SPLITS = {"test": "test split", "val": "validation split"}

COSTS = ("learnable_parameters", "fixed_parameters", "macs", "macs_of_one_task")
TRAINING = {"samples": "training_samples", "macs": "training_macs", "seconds": "seconds"}
"""What a training costs -> the field of an outcome that holds it, all phases together."""


def comparison_data(run: Run, comparison: Comparison) -> dict[str, Any]:
    """Everything that the page of a comparison shows.

    :returns: Plain data. Means and intervals are over seeds; accuracies are 0 to 1, Delta_m and differences in percent.
    :raises RunFolderError: If the details of a complete training cannot be read.
    """
    entrants = entrants_of(comparison)
    other, scores = anchor(run, entrants), score_names(comparison)
    return {
        "split": SPLITS[comparison.asked["split"]],
        "question": question(entrants),
        "answer": answer(entrants, other, SPLITS[comparison.asked["split"]]),
        "state": state(comparison),
        "scores": scores,
        "entrants": [_row(entrant, by_key(entrants, HARD_SHARING), scores) for entrant in entrants],
        "costs_relative_to": HARD_SHARING if by_key(entrants, HARD_SHARING) else None,
        "standings": standings_data(entrants),
        "differences": _differences(entrants, other),
        "failed": [_failed(entrants, comparison, key, seed) for key, seed in comparison.missing],
        "unresolved": dict(comparison.asked.get("unresolved", {})),
        "picks": [_pick(run, entrant) for entrant in entrants if entrant.is_pick],
        "shares": shares_data(entrants),
        "branch_points": [data for data in map(branch_points_data, entrants) if data],
        "cosines": _cosines(entrants, other),
        "hypervolume": _hypervolume(run),
        "importance": importance_data(run),
        "notes": _notes(entrants, scores),
        "made": _made(run, comparison, entrants),
    }


# The table


def _row(entrant: Entrant, base: Entrant | None, scores: Sequence[str]) -> dict[str, Any]:
    known = {
        "entrant": entrant.key,
        "label": entrant.label,
        "kind": entrant.about["kind"],
        "picks": pick_names(entrant.about.get("picks", [])),
        "description": entrant.about.get("description", ""),
        "method": entrant.method,
        "balancing": entrant.balancing,
        "seeds": [outcome.seed for outcome in entrant.outcomes],
        "accuracy": interval_data(entrant.accuracy),
        "delta_m": interval_data(entrant.delta_m),
        "scores": {name: interval_data(entrant.score(name)) for name in scores},
    }
    costs = {name: _spread(entrant, name) for name in COSTS}
    training = {name: _spread(entrant, cost) for name, cost in TRAINING.items()}
    return {**known, **costs, "training": training, "relative": _relative(entrant, base), "phases": _phases(entrant)}


def _spread(entrant: Entrant, cost: str) -> dict[str, float] | None:
    """Mean over seeds, least and most."""
    if not entrant.outcomes:
        return None
    values = [getattr(outcome, cost) for outcome in entrant.outcomes]
    return {"mean": entrant.mean(cost), "least": min(values), "most": max(values)}


def _relative(entrant: Entrant, base: Entrant | None) -> dict[str, float] | None:
    """Costs of training as multiples of hard sharing's, means over seeds."""
    if base is None or not entrant.outcomes:
        return None
    return {name: entrant.mean(cost) / base.mean(cost) for name, cost in TRAINING.items() if base.mean(cost) > 0}


def _phases(entrant: Entrant) -> list[dict[str, Any]]:
    return [{"phase": name, **costs} for name, costs in entrant.phases().items()]


def _failed(entrants: Sequence[Entrant], comparison: Comparison, key: str, seed: int) -> dict[str, Any]:
    reasons = [one.error for one in comparison.failed if (one.entrant, one.seed) == (key, seed)]
    label = next(one.label for one in entrants if one.key == key)
    reason = reasons[-1] if reasons else "not trained yet"
    return {"entrant": key, "label": label, "seed": seed, "failed": bool(reasons), "reason": reason}


# The figures' data with their sentences


def _differences(entrants: Sequence[Entrant], other: Entrant | None) -> dict[str, Any] | None:
    if other is None:
        return None
    found = [difference(one, other) for one in entrants if one.outcomes and one is not other]
    data = differences_data(found, other)
    return {**data, "notes": _difference_notes(data, other)} if data["rows"] else None


def _difference_notes(data: Mapping[str, Any], other: Entrant) -> list[str]:
    rows, seeds = data["rows"], sorted({row["points"]["count"] for row in data["rows"]})
    chosen = (
        "It is the pick with the best validation accuracy in the search: nothing was chosen by the numbers shown here."
        if other.is_pick
        else "It was chosen by these same numbers, so that the others look a little worse beside it than they are."
    )
    widths = [
        f"with {number} seeds it reaches {deviations_to_each_side(number):.1f} standard deviations to each side"
        for number in seeds
        if number > 1
    ]
    intervals = [row for row in rows if row["points"]["low"] is not None]
    outside = sum(row["excludes_zero"] for row in intervals)
    notes = [
        f"Each row is an entrant minus {other.label}, on the same seed, averaged over seeds. {chosen}",
        "The interval is the 95 % interval of Student's t distribution for the mean of these differences."
        + (f" It is wide: {'; '.join(widths)}." if widths else " With one seed there is none."),
    ]
    if intervals:
        notes.append(
            f"{outside} of {count(len(intervals), 'interval excludes', 'intervals exclude')} 0. They are not corrected"
            " for their number: where nothing differs, about one in twenty would still exclude 0."
        )
    return notes


def _cosines(entrants: Sequence[Entrant], other: Entrant | None) -> dict[str, Any] | None:
    data = rounded(cosines_data(entrants, by_key(entrants, HARD_SHARING)))
    return {**data, "sentences": _cosine_sentences(data, other)} if data else None


def _cosine_sentences(data: Mapping[str, Any], other: Entrant | None) -> list[str]:
    maps = {one["entrant"]: one for one in data["maps"]}
    base = maps.get(HARD_SHARING)
    if base is None:
        return []
    sentences = [
        f"In hard sharing the cosine is {signed(base['mean']['mean'])} on average over layers and epochs, and below 0"
        f" in {share_text(base['negative']['mean'])} of them."
    ]
    pick = maps.get(other.key) if other and other.is_pick else None
    if pick is None:
        return sentences
    text = (
        f"In {pick['label']} it is {signed(pick['mean']['mean'])} in what is still shared, and below 0 in"
        f" {share_text(pick['negative']['mean'])}:"
    )
    return [*sentences, f"{text} {_interference(pick['difference'])}"]


def _interference(change: Mapping[str, Any] | None) -> str:
    if change is None:
        return "they have no seed in common, so the two are not compared."
    moved = f"a change of {signed(change['mean'])}"
    if change["low"] is None:
        return f"{moved} in one seed, from which alone nothing follows."
    ends = f"95\N{NO-BREAK SPACE}% interval {signed(change['low'])} to {signed(change['high'])}"
    if change["low"] > 0:
        return f"{moved} ({ends}). Interference fell."
    if change["high"] < 0:
        return f"{moved} ({ends}). Interference did not fall: it grew."
    return f"{moved} ({ends}). The interval includes 0: whether interference fell stays open."


def _hypervolume(run: Run) -> dict[str, Any] | None:
    data = hypervolume_data(run)
    if data is None:
        return None
    reference, ideal = (_place(data["objectives"], data[name]) for name in ("reference_point", "ideal_point"))
    note = (
        "The part of the objectives that the trials of the search dominate, on the validation split. 0 % is the"
        f" reference point ({reference}), the same for the whole search: of a cost its limit, where it has one,"
        " otherwise the largest that was met; of a quality the worst that was met. 100 % would be the best of each at"
        f" once ({ideal})."
    )
    return {**data, "note": note}


def _place(objectives: Sequence[str], values: Sequence[float]) -> str:
    labels = [objective_label(name).removesuffix(", in percent") for name in objectives]
    texts = [
        cost_text(v, name) if name in PLAIN_COSTS else score_text(v, name)
        for name, v in zip(objectives, values, strict=True)
    ]
    return ", ".join(f"{label} {text}" for label, text in zip(labels, texts, strict=True))


def _pick(run: Run, entrant: Entrant) -> dict[str, Any]:
    trial = run.trial(entrant.about["trial"])
    return {
        "entrant": entrant.key,
        "label": entrant.label,
        "trial": trial.number,
        "picks": pick_names(entrant.about.get("picks", [])),
        "validation_accuracy": trial.accuracy,
        "accuracy": interval_data(entrant.accuracy),
        "learnable_parameters": trial.learnable_parameters,
        "summary": str(trial.architecture),
        "architecture": trial.architecture.to_dict(),
        "tasks": list(dict.fromkeys(name.partition("/")[0] for name in trial.scores)),
    }


# How the numbers were made


def _notes(entrants: Sequence[Entrant], scores: Sequence[str]) -> list[str]:
    """What to know about the table."""
    notes = [
        "Below each mean stands its 95 % interval over seeds (Student's t), where it has two or more. It tells how the"
        " mean would move with other seeds, on the same data.",
        "Delta_m is the mean relative gain over tasks against the single-task networks, whose scores are averaged over"
        " their seeds; how far that average itself is off is not in the intervals.",
        "Fixed parameters are frozen values, such as the kernels of primitives. MACs are multiply-accumulates for one"
        " sample; for one task, the mean over tasks.",
    ]
    quality = quality_text(scores)
    if quality:
        notes.append(f"Mean accuracy is {quality}")
    errors = [name for name in scores if is_error(name)]
    if errors:
        notes.append(f"Lower is better in {', '.join(errors)}.")
    if by_key(entrants, HARD_SHARING):
        notes.append(
            "The cost of training is told in multiples of hard sharing's, every phase counted. Seconds depend on what"
            " else the machine did."
        )
    if any(entrant.delta_m is None for entrant in entrants if entrant.outcomes):
        notes = [note for note in notes if not note.startswith("Delta_m")]
        notes.append("There is no Delta_m: it is over single-task networks that are trained and above 0 in every task.")
    return notes + [_ties(entrant) for entrant in entrants if any(details.get("ties") for details in entrant.details)]


def _ties(entrant: Entrant) -> str:
    """Of a method that chooses between parents, which of its choices were none."""
    told = [", ".join(details["ties"]) for details in entrant.details if details.get("ties")]
    return (
        f"{entrant.label} chose on ties, with less than 10 points between the likeliest two, in {len(told)} of"
        f" {len(entrant.details)} trainings: {'; '.join(told)}. Another seed may choose otherwise there."
    )


def _made(run: Run, comparison: Comparison, entrants: Sequence[Entrant]) -> list[dict[str, str]]:
    asked, dataset = comparison.asked, run.experiment.dataset
    environment = asked["environment"]
    pairs = {
        "Dataset": ", ".join([dataset.name, *as_pairs(dataset.options)]),
        "Splits": _splits(asked["split"], bool(run.trials)),
        "Budget": _budget(asked["training"]),
        "Equal for all": "samples, number of epochs, optimiser, learning rates and batch size of the phase `training`;"
        " and for each seed the order of the samples in it.",
        "Spent besides": _spent_besides(entrants),
        "Seeds": f"{asked['seeds']} for each entrant: of initial weights, primitives, and order of the samples.",
        "Better is": "higher for accuracies and Delta_m; lower for parameters, MACs and the cost of training.",
        **made_by_machine(environment),
        "Source revision": ", ".join(filter(None, asked.get("revisions", [environment.get("source_revision")]))),
        "Search": f"{count(len(run.trials), 'trial', 'trials')}, sampler {run.experiment.search.sampler},"
        f" {sum(trial.seconds for trial in run.trials):,.0f} s of training; its numbers are on the page pareto.html."
        if run.trials
        else "none; only baselines are compared.",
    }
    return [{"name": name, "text": text} for name, text in pairs.items() if text]


def _splits(split: str, searched: bool) -> str:
    if split == "test":
        return (
            "each entrant was trained from scratch on the training and validation samples together, and scored once,"
            " at the end, on the test split."
            + (" The search and the choice of the picks never read the test split." if searched else "")
        )
    return (
        "each entrant was trained on the training split and scored on the validation split, which the search chose by."
    )


def _budget(training: Mapping[str, Any]) -> str:
    balancing = training["balancing"]
    return (
        f"{count(training['epochs'], 'epoch', 'epochs')}, batches of {training['batch_size']}, AdamW, learning rate up"
        f" to {training['learning_rate']:g} ({training['schedule'].replace('_', ' ')}), weight decay"
        f" {training['weight_decay']:g}, label smoothing {training['label_smoothing']:g}"
        f"{augmentation_text(training.get('augmentation'))}, balancing of the tasks"
        f" {balancing['name'] if isinstance(balancing, Mapping) else balancing} unless the table says otherwise."
    )


def _spent_besides(entrants: Sequence[Entrant]) -> str:
    """Which methods had phases before the last one, and how many samples these saw, as part of the last one's."""
    spent = []
    for entrant in entrants:
        phases = entrant.phases()
        last = phases.pop("training", None)
        for name, costs in phases.items():
            share = f", {costs['samples'] / last['samples']:.2g} times the samples of `training`" if last else ""
            spent.append(f"{entrant.method.replace('_', ' ')}: {name}{share}")
    return "; ".join(dict.fromkeys(spent)) + "." if spent else "nothing: no method has a phase before `training`."
