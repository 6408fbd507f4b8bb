"""What the page of a comparison says: its question, its answer, its tables and figures, as plain data for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_search.comparison.own_networks import shortfalls
from mtl_search.comparison.results import Comparison
from mtl_search.comparison.summary import (
    HARD_SHARING,
    EntrantSummary,
    anchor,
    by_key,
    entrants_of,
    score_names,
    twins_of,
)
from mtl_search.metrics.intervals import Interval
from mtl_search.metrics.pareto import COSTS as PLAIN_COSTS
from mtl_search.metrics.scores import headline_word
from mtl_search.reporting.comparison_answer import (
    answer,
    own_network_sentence,
    pick_names,
    question,
    seeds_to_decide,
    state,
)
from mtl_search.reporting.comparison_budgets import budgets_data
from mtl_search.reporting.comparison_controls import controls_data
from mtl_search.reporting.comparison_differences import differences_with_notes
from mtl_search.reporting.comparison_notes import table_notes
from mtl_search.reporting.comparison_tuning import tuning_data
from mtl_search.reporting.figures import (
    branch_points_data,
    cosines_data,
    hypervolume_data,
    importance_data,
    interval_data,
    objective_label,
    shares_data,
    standings_data,
)
from mtl_search.reporting.numbers import signed
from mtl_search.reporting.text import (
    as_pairs,
    augmentation_text,
    cost_text,
    count,
    made_by_machine,
    rounded,
    score_text,
    share_text,
)
from mtl_search.runs.folder import Run

SPLITS = {"test": "test split", "val": "validation split"}

COSTS = ("learnable_parameters", "fixed_parameters", "macs", "macs_of_one_task")
TRAINING = {"samples": "training_samples", "macs": "training_macs", "seconds": "seconds"}
"""What a training costs -> the field of an outcome that holds it, all phases together."""


def comparison_data(run: Run, comparison: Comparison) -> dict[str, Any]:
    """Everything that the page of a comparison shows.

    :returns: Plain data. Means and intervals are over seeds; ``word`` is what the mean over tasks is called; accuracies
        are 0 to 1, Delta_m and differences in percent.
    :raises RunFolderError: If the details of a complete training cannot be read.
    """
    entrants = entrants_of(comparison)
    other, scores = anchor(run, entrants), score_names(comparison)
    word = headline_word(scores)
    controls = controls_data(comparison, entrants)
    told = answer(entrants, other, f"mean {word} on the {SPLITS[comparison.request['split']]}")
    asked, short = run.experiment.constraints.no_task_below_its_own_network, shortfalls(entrants, scores)
    if asked:
        told = [*told, own_network_sentence(entrants, short)]
    return {
        "split": SPLITS[comparison.request["split"]],
        "question": question(entrants),
        "answer": [*(controls["sentences"] if controls else []), *told],
        "controls": controls,
        "below_single_task": short,
        "budgets": budgets_data(comparison, entrants, twins_of(comparison), other),
        "state": state(comparison),
        "scores": scores,
        "word": word,
        "entrants": [_row(entrant, by_key(entrants, HARD_SHARING), scores) for entrant in entrants],
        "costs_relative_to": HARD_SHARING if by_key(entrants, HARD_SHARING) else None,
        "standings": standings_data(entrants, word),
        "differences": differences_with_notes(entrants, other, word),
        "failed": [_failed(entrants, comparison, key, seed) for key, seed in comparison.missing],
        "unresolved": dict(comparison.request.get("unresolved", {})),
        "picks": [_pick(run, entrant) for entrant in entrants if entrant.is_pick],
        "tuning": tuning_data(comparison),
        "shares": shares_data(entrants),
        "branch_points": [data for data in map(branch_points_data, entrants) if data],
        "cosines": _cosines(entrants, other),
        "hypervolume": _hypervolume(run, word),
        "importance": importance_data(run),
        "notes": table_notes(entrants, scores),
        "made": _made(run, comparison, entrants),
    }


# The table


def _row(entrant: EntrantSummary, base: EntrantSummary | None, scores: Sequence[str]) -> dict[str, Any]:
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


def _spread(entrant: EntrantSummary, cost: str) -> dict[str, float] | None:
    """Mean over seeds, least and most."""
    if not entrant.outcomes:
        return None
    values = [getattr(outcome, cost) for outcome in entrant.outcomes]
    return {"mean": entrant.mean(cost), "least": min(values), "most": max(values)}


def _relative(entrant: EntrantSummary, base: EntrantSummary | None) -> dict[str, float] | None:
    """Costs of training as multiples of hard sharing's, means over seeds."""
    if base is None or not entrant.outcomes:
        return None
    return {name: entrant.mean(cost) / base.mean(cost) for name, cost in TRAINING.items() if base.mean(cost) > 0}


def _phases(entrant: EntrantSummary) -> list[dict[str, Any]]:
    return [{"phase": name, **costs} for name, costs in entrant.phases().items()]


def _failed(entrants: Sequence[EntrantSummary], comparison: Comparison, key: str, seed: int) -> dict[str, Any]:
    reasons = [one.error for one in comparison.failed if (one.entrant, one.seed) == (key, seed)]
    label = next(one.label for one in entrants if one.key == key)
    reason = reasons[-1] if reasons else "not trained yet"
    return {"entrant": key, "label": label, "seed": seed, "failed": bool(reasons), "reason": reason}


# The figures' data with their sentences


def _cosines(entrants: Sequence[EntrantSummary], other: EntrantSummary | None) -> dict[str, Any] | None:
    data = rounded(cosines_data(entrants, by_key(entrants, HARD_SHARING)))
    return {**data, "sentences": _cosine_sentences(data, other)} if data else None


def _cosine_sentences(data: Mapping[str, Any], other: EntrantSummary | None) -> list[str]:
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
        return f"{moved} in {count(change['count'], 'seed', 'seeds')}, from which alone nothing follows."
    ends = f"95\N{NO-BREAK SPACE}% interval {signed(change['low'])} to {signed(change['high'])}"
    if change["low"] > 0:
        return f"{moved} ({ends}). Interference fell."
    if change["high"] < 0:
        return f"{moved} ({ends}). Interference did not fall: it grew."
    return (
        f"{moved} ({ends}). The interval includes 0: whether interference fell stays open"
        f"{seeds_to_decide(Interval(**change))}."
    )


def _hypervolume(run: Run, word: str) -> dict[str, Any] | None:
    data = hypervolume_data(run)
    if data is None:
        return None
    reference, ideal = (_place(data["objectives"], data[name], word) for name in ("reference_point", "ideal_point"))
    note = (
        "The part of the objectives that the trials of the search dominate, on the validation split. 0 % is the"
        f" reference point ({reference}), the same for the whole search: of a cost its limit, where it has one,"
        " otherwise the largest that was met; of a quality the worst that was met. 100 % would be the best of each at"
        f" once ({ideal})."
    )
    return {**data, "note": note}


def _place(objectives: Sequence[str], values: Sequence[float], word: str) -> str:
    means = {"accuracy": f"mean {word} over tasks"}
    labels = [means.get(name) or objective_label(name).removesuffix(", in percent") for name in objectives]
    texts = [
        cost_text(v, name) if name in PLAIN_COSTS else score_text(v, name)
        for name, v in zip(objectives, values, strict=True)
    ]
    return ", ".join(f"{label} {text}" for label, text in zip(labels, texts, strict=True))


def _pick(run: Run, entrant: EntrantSummary) -> dict[str, Any]:
    trial = run.trial(entrant.about["trial"])
    return {
        "entrant": entrant.key,
        "label": entrant.label,
        "trial": trial.number,
        "picks": pick_names(entrant.about.get("picks", [])),
        "validation_accuracy": trial.accuracy,
        "accuracy": interval_data(entrant.accuracy),
        "learnable_parameters": trial.learnable_parameters,
        "summary": str(trial.proposal),
        "architecture": trial.architecture.to_dict(),
        "tasks": list(dict.fromkeys(name.partition("/")[0] for name in trial.scores)),
    }


# How the numbers were made


def _made(run: Run, comparison: Comparison, entrants: Sequence[EntrantSummary]) -> list[dict[str, str]]:
    request, dataset = comparison.request, run.experiment.dataset
    environment = request["environment"]
    pairs = {
        "Dataset": ", ".join([dataset.name, *as_pairs(dataset.options)]),
        "Splits": _splits(request["split"], bool(run.trials)),
        "Budget": _budget(request["training"]),
        "Equal for all": _equal_for_all(request.get("tuning")),
        "Spent besides": _spent_besides(entrants),
        "Seeds": f"{request['seeds']} for each entrant: of initial weights, primitives, and order of the samples.",
        "Better is": "higher for the mean over tasks and Delta_m; lower for parameters, MACs and the cost of training.",
        **made_by_machine(environment),
        "Source revision": ", ".join(filter(None, request.get("revisions", [environment.get("source_revision")]))),
        "Search": f"{count(len(run.trials), 'trial', 'trials')}, sampler {run.experiment.search.sampler},"
        f" {sum(trial.seconds for trial in run.trials):,.0f} s of training; its numbers are on the page pareto.html."
        if run.trials
        else "none; only baselines are compared.",
    }
    return [{"name": name, "text": text} for name, text in pairs.items() if text]


def _equal_for_all(tuning: Mapping[str, Any] | None) -> str:
    same = "samples, number of epochs, optimiser"
    if tuning is None:
        return (
            f"{same}, learning rates and batch size of the phase `training`; and for each seed the order of the samples"
            " in it."
        )
    return f"{same} of the phase `training`, and {count(tuning['trainings'], 'training', 'trainings')} to tune each."


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


def _spent_besides(entrants: Sequence[EntrantSummary]) -> str:
    """Which methods had phases before the last one, and how many samples these saw, as part of the last one's."""
    spent = []
    for entrant in entrants:
        phases = entrant.phases()
        last = phases.pop("training", None)
        for name, costs in phases.items():
            share = f", {costs['samples'] / last['samples']:.2g} times the samples of `training`" if last else ""
            spent.append(f"{entrant.method.replace('_', ' ')}: {name}{share}")
    return "; ".join(dict.fromkeys(spent)) + "." if spent else "nothing: no method has a phase before `training`."
