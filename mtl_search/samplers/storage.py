"""The journal of a search as Optuna's storage, and the study that it holds."""

from collections.abc import Container, Sequence

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from mtl_search.metrics.pareto import Direction
from mtl_search.samplers.journal import Journal

STUDY = "search"
"""The name of the study in the journal. Journals of earlier runs hold it: it stays as it is."""


class StudyJournal(Journal, BaseJournalBackend):
    """The journal as Optuna's storage uses it."""


class StudyStorage(JournalStorage):
    """Optuna's, which goes through all trials each time it is asked for them; here the list is there at once."""

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if deepcopy:
            return super().get_all_trials(study_id, deepcopy, states)
        trials = self._replay_result._trials.values()  # of the one study, in their order
        return list(trials) if states is None else [trial for trial in trials if trial.state in states]


def loaded_study(journal: StudyJournal, directions: Sequence[Direction]) -> optuna.Study | None:
    """The study that a journal holds; ``None``, and the journal says why, where that is not the one of this search.

    Whatever Optuna stumbles over while it reads a file that others may have written: the file is then of no use, and
    what it should hold is known from the tables.
    """
    try:
        study = optuna.load_study(study_name=STUDY, storage=(storage := StudyStorage(journal)))
        names = [direction.name.lower() for direction in study.directions]
        is_ours = len(storage.get_all_studies()) == 1 and names == list(directions)
        journal.problem = "" if is_ours else "it is of another search"
    except Exception as error:
        journal.problem = f"it cannot be read: {type(error).__name__}"
    return None if journal.problem else study
