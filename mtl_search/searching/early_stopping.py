"""Early stopping with several objectives: successive halving in which a front, not a single best, is kept.

Decides, and knows nothing of workers: the engine shows it to Ray Tune as a scheduler.
"""

import math
from collections.abc import Sequence

from mtl_search.errors import FieldError
from mtl_search.metrics.pareto import Direction, best_first


class SuccessiveHalving:
    """Asynchronous successive halving (Li et al., MLSys 2020, algorithm 2) with several objectives.

    After certain epochs, the rungs, a trial is compared with all that reached the same rung before it; it goes on if it
    is among the best ``1 / factor`` of them. Best is the lower non-dominated rank (Deb et al., 2002) of its quality at
    the rung against its cost, which is known before training; among trials of one rank the one in the less crowded
    place, as in MO-ASHA (Schmucker et al., 2021). So a small network is not stopped for being less accurate than a
    large one. Nothing waits: the first trials at a rung are compared with few, and go on more often.

    The variant that stops (Ray's ``ASHAScheduler``), not the one that pauses and promotes later: our reading for a
    budget of a few epochs, where a paused trial would be promoted into a rung that others have left.

    :param directions: For each objective, whether it is maximised or minimised.
    :param epochs: Number of epochs of a whole training.
    :param grace: Epochs that every trial gets: the first rung.
    :param factor: A rung lets one in so many go on, and the next rung is so many times as many epochs; above 1.
    """

    def __init__(self, directions: Sequence[Direction], epochs: int, grace: int, factor: float) -> None:
        if factor <= 1:
            raise FieldError("factor", "must be above 1", factor)
        if grace < 1:
            raise FieldError("grace", "must be at least 1", grace)
        self.directions, self.factor = list(directions), factor
        self.rungs = tuple(dict.fromkeys(_rungs(epochs, grace, factor)))
        self._reached: dict[int, dict[int, list[float]]] = {rung: {} for rung in self.rungs}

    def record(self, trial: int, epoch: int, values: Sequence[float]) -> None:
        """Note what a trial had reached after an epoch; epochs that are no rung are passed over.

        :param values: Values of the objectives after that epoch, finite.
        """
        if epoch in self._reached:
            self._reached[epoch][trial] = list(values)

    def goes_on(self, trial: int, epoch: int) -> bool:
        """Whether a trial that was recorded at a rung goes on; ``True`` after epochs that are no rung.

        What was recorded later plays no part: the answer is the same whenever it is asked for.
        """
        if epoch not in self._reached:
            return True
        reached = self._reached[epoch]
        place_in_time = list(reached).index(trial)
        order = best_first(list(reached.values())[: place_in_time + 1], self.directions)
        return order.index(place_in_time) < math.ceil(len(order) / self.factor)


def _rungs(epochs: int, grace: int, factor: float) -> list[int]:
    """Epochs after which trials are compared: ``grace``, ``grace * factor``, ..., below ``epochs``."""
    found, rung = [], float(grace)
    while round(rung) < epochs:
        found.append(round(rung))
        rung *= factor
    return found
