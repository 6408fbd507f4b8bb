"""Equal training compute: how long each entrant is trained for all to spend what hard sharing spends.

At equal epochs a method whose steps cost more, or that trains in several phases, has more compute than another one.
With ``--budget macs`` each entrant is trained once more for each seed, as its twin: with the same settings, and epochs
that are as much shorter or longer as its training at equal epochs took more or less multiply-accumulates than hard
sharing does. Phases keep their proportions.
"""

from dataclasses import dataclass, replace
from typing import Any

from mtl_search import cost
from mtl_search.comparison.entrants import Entry
from mtl_search.comparison.results import TWIN
from mtl_search.datasets import Dataset
from mtl_search.errors import UserError
from mtl_search.evaluation import Entrant
from mtl_search.methods import make_method
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.section import LONGEST_EPOCH
from mtl_search.training.trainer import BACKWARD_MACS

BASE = "hard_sharing"
MOST_FACTOR = 100.0
"""In what hard sharing spends: the longest trainings of the literature have not a tenth of that."""


@dataclass(frozen=True)
class Budget:
    """What every twin spends.

    :param macs: Multiply-accumulates of a training, forward and backward, all phases together.
    :param factor: That, in what hard sharing spends in the epochs of the experiment.
    """

    macs: float
    factor: float

    def epoch_length(self, spent: int) -> float:
        """The length of a twin's epochs.

        :param spent: Multiply-accumulates of the same training at epochs of length 1.
        """
        return min(max(self.macs / spent, 1 / LONGEST_EPOCH), LONGEST_EPOCH)

    def to_dict(self) -> dict[str, Any]:
        """As ``comparison.json`` has it."""
        return {"unit": "macs", "macs": round(self.macs), "factor": self.factor}


def factor_of(text: str) -> float | None:
    """What ``--budget`` asks for: ``macs`` or ``macs:<factor>``; ``None`` for ``epochs``, which everybody has anyway.

    :raises UserError: If it is none of these.
    """
    if text == "epochs":
        return None
    unit, colon, given = text.partition(":")
    try:
        factor = float(given) if colon else 1.0
    except ValueError:
        factor = 0.0
    if unit != "macs" or not 1 / MOST_FACTOR <= factor <= MOST_FACTOR:
        raise UserError(
            f"`budget` must be `epochs`, `macs` or `macs:<factor>` with a factor from {1 / MOST_FACTOR:g} to"
            f" {MOST_FACTOR:g}, but got {text!r}."
        )
    return factor


def budget_of(factor: float, experiment: Experiment, data: Dataset) -> Budget:
    """What hard sharing spends in the experiment's epochs, so many times; counted on its network, without training.

    :param data: With the training samples that entrants are trained on.
    """
    training = experiment.training
    method = make_method(BASE, {})
    model = method.build(Entrant(method, experiment.backbone.build()).context(data, training, seed=0))
    samples = len(data.splits["train"]) // training.batch_size * training.batch_size
    forward = cost.count_macs(model, data.input_shape)
    return Budget(factor * forward * (1 + BACKWARD_MACS) * samples * training.epochs, factor)


def twin_of(entry: Entry, factor: float) -> Entry:
    """The twin of an entrant: the same, to be trained within the budget."""
    key = f"{entry.key}{TWIN}"
    about = {**entry.about, "key": key, "twin_of": entry.key, "budget": factor}
    return Entry(key, replace(entry.entrant, cosines=False), about, entry.trial)


def at_length(entrant: Entrant, length: float) -> Entrant:
    """An entrant whose epochs have that length."""
    return replace(entrant, training={**entrant.training, "epoch_length": length})
