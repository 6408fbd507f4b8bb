"""Who takes part in a comparison: baselines and picks, as they are or at the settings that tuning found for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtl_search.comparison.control import Control
from mtl_search.comparison.entrants import Entry, architecture_entry, baseline_entry, trial_entry
from mtl_search.comparison.picks import Picks
from mtl_search.comparison.recipes import Baseline
from mtl_search.comparison.tuning import OPTION, Subject, divided, training_offers
from mtl_search.errors import UserError
from mtl_search.evaluation import Entrant
from mtl_search.runs.trial import Trial
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import TRAINING

BALANCING = "balancing"


@dataclass(frozen=True)
class Lineup:
    """Everybody in a comparison.

    :param baselines: In the order in which they were named.
    :param picks: Trials that are picked from a run; :meth:`Picks.none` without a run.
    :param architectures: Architectures that were read from files.
    :param controls: Searches of controls, once they are done.
    """

    experiment: Experiment
    baselines: Sequence[Baseline]
    picks: Picks
    architectures: Sequence[Architecture] = ()
    controls: Sequence[Control] = ()

    def entries(self, tuned: Mapping[str, Mapping[str, Any]] | None = None) -> list[Entry]:
        """All but the picks of the search itself.

        :param tuned: Subject -> values, as :meth:`~.tuning.TuningTrainings.found` has them.
        """
        return [
            *(self._baseline(one, (tuned or {}).get(one.recipe, {})) for one in self.baselines),
            *(architecture_entry(one, self.experiment) for one in self.architectures),
            *(self._control(control, number, tuned or {}) for control in self.controls for number in control.picks),
        ]

    def pick(self, number: int, tuned: Mapping[str, Mapping[str, Any]] | None = None) -> Entry:
        """A pick; at the values that the search chose for it where it was not tuned."""
        values = (tuned or {}).get(f"trial-{number}")
        training = None if values is None else divided(values)[0]
        return trial_entry(self._trial(number), self.picks.reasons(number), self.experiment, training)

    def subjects(self) -> list[Subject]:
        """What is tuned: each recipe once, for its variants share what is found, and each pick.

        :raises UserError: If a pick is known only after trainings of the comparison.
        """
        if self.picks.waiting:
            pick = next(iter(self.picks.waiting))
            raise UserError(
                f"pick `{pick}` is known only after the trainings of that baseline, so it cannot be tuned before: "
                "name the trial by its number."
            )
        recipes = dict.fromkeys(baseline.recipe for baseline in self.baselines)
        return [
            *(self._recipe([one for one in self.baselines if one.recipe == recipe]) for recipe in recipes),
            *(self._found(f"trial-{number}", self._trial(number)) for number in self.picks.chosen),
            *(self._found(one.key(number), one.run.trial(number)) for one in self.controls for number in one.picks),
        ]

    def entrant_of(self, subject: Subject, values: Mapping[str, Any]) -> Entrant:
        """What is trained to tune a subject, with these values."""
        tuned = {subject.key: values}
        for number in self.picks.chosen:
            if subject.key == f"trial-{number}":
                return self.pick(number, tuned).entrant
        for control in self.controls:
            for number in control.picks:
                if subject.key == control.key(number):
                    return self._control(control, number, tuned).entrant
        lead = next(one for one in self.baselines if one.key == subject.lead)
        return self._baseline(lead, values).entrant

    def _recipe(self, variants: Sequence[Baseline]) -> Subject:
        """A recipe; of several variants the one in the middle is trained, for they may be points of a curve."""
        lead = variants[len(variants) // 2]
        offers, usual = self._training(lead.balancing is None, {})
        offers |= {OPTION + name: offer for name, offer in lead.tunable.items()}
        usual |= {OPTION + name: getattr(lead.method, name) for name in lead.tunable}
        return Subject(lead.recipe, tuple(one.key for one in variants), lead.key, offers, usual)

    def _found(self, key: str, trial: Trial) -> Subject:
        """What a search found; its usual values are those that the search chose for it."""
        offers, usual = self._training(True, trial.training)
        return Subject(key, (key,), key, offers, usual)

    def _training(self, balances: bool, own: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is offered for training, and the usual values.

        :param balances: Whether the balancing may be chosen; not where a recipe names its own.
        :param own: Training settings of its own.
        """
        offers = {name: one for name, one in training_offers(self.experiment).items() if balances or name != BALANCING}
        usual = {name: own.get(name, self.experiment.setting(name)) for name in offers}
        named = (({TRAINING + name: value for name, value in one.items()}) for one in (offers, usual))
        return next(named), next(named)

    def _baseline(self, baseline: Baseline, values: Mapping[str, Any]) -> Entry:
        training, options = divided(values)
        return baseline_entry(baseline, self.experiment, training, options)

    def _control(self, control: Control, number: int, tuned: Mapping[str, Mapping[str, Any]]) -> Entry:
        values = tuned.get(control.key(number))
        return control.entry(number, None if values is None else divided(values)[0])

    def _trial(self, number: int) -> Trial:
        return self.picks.run.trial(number)
