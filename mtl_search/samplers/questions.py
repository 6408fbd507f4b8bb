"""The questions of a space as Optuna's parameters, and its answers as those of a proposal."""

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import optuna

from mtl_search.spaces.ranges import Range


def rounded(offer: Range | Sequence[Any], value: Any) -> Any:
    """An answer as a proposal has it. Optuna gets to numbers among options by steps: six decimals of these count."""
    if isinstance(offer, Range) and isinstance(value, float):
        return offer.rounded(value)
    return round(value, 6) if isinstance(value, float) else value


def suggest(trial: optuna.Trial, name: str, options: Range | Sequence[Any]) -> Any:
    """Ask Optuna a question. Evenly spaced numbers keep their order; other options are categories."""
    if isinstance(options, Range):
        return options.rounded(trial.suggest_float(name, options.low, options.high, log=options.log))
    step = _even_step(options)
    if step is None:
        return trial.suggest_categorical(name, options)
    value = trial.suggest_float(name, min(options), max(options), step=step)
    return min(options, key=lambda option: abs(option - value))


def _even_step(options: Sequence[Any]) -> float | None:
    """The distance between evenly spaced numbers, three or more; ``None`` for other options."""
    if len(options) < 3 or not all(isinstance(option, int | float) for option in options):
        return None
    ordered = sorted(Decimal(str(option)) for option in options)
    steps = {after - before for before, after in itertools.pairwise(ordered)}
    return float(steps.pop()) if len(steps) == 1 else None
