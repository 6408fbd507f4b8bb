"""The samplers of the package on a table: by the study of a real search, which loads torch and Optuna."""

from collections.abc import Sequence

from mtl_search.cost import Cost
from mtl_search.samplers.study import Study
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.proposal import Proposal
from mtl_search.tables.table import Table
from mtl_search.tables.trajectory import Observation

COSTS = ("learnable_parameters", "fixed_parameters", "macs")


class StudySampler:
    """Asks a study, and tells it; of a training that was stopped early it is told nothing, as in a real search.

    :param table: The table that is searched.
    :param name: Name of the sampler.
    :param objectives: Names of the objectives.
    :param seed: Seed of the sampler's own draws.
    """

    def __init__(self, table: Table, name: str, objectives: Sequence[str], seed: int) -> None:
        self.costs = {cost: table.values(cost)[:, 0] for cost in COSTS}
        self.table = table
        space = table.experiment.proposal_space
        self.study = Study(space, list(objectives), self._cost, name, seed, None)

    def ask(self) -> Architecture | None:
        proposal = self.study.ask()
        return None if proposal is None else proposal.architecture

    def tell(self, observation: Observation) -> None:
        proposal = Proposal(observation.architecture)
        if observation.complete:
            self.study.tell(proposal, observation.values)
        else:
            self.study.tell_stopped(proposal, observation.values)

    def _cost(self, architecture: Architecture) -> Cost:
        place = self.table.place(architecture)
        return Cost(**{cost: int(values[place]) for cost, values in self.costs.items()})
