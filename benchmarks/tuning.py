"""What tuning in a few trainings loses against the best values, on made-up truths with the noise of real trainings.

The quality of a training falls with the squared logarithm of what its rate is off the best one, and of an option of the
method likewise, by as much as was measured on Multi-Fashion (a factor of 4 costs two points); a training has 0.4 points
of noise. Compared are the tuner of ``compare --tune``, as many values of a Sobol sequence of which the luckiest is
taken, and the usual value. Points lost, mean over seeds with its 95 % interval.

    python benchmarks/tuning.py [--seeds 40] [--trainings 4,8,16]
"""

import argparse
import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from mtl_search.metrics.intervals import interval
from mtl_search.samplers.tuning import Told, Tuner
from mtl_search.spaces.ranges import Range

RATES = Range(0.001, 0.05, log=True)
USUAL = 0.003
BESTS = (0.003, 0.02, 0.05, 0.1)
"""Best rates: the usual one, one inside of the range, one at its end, one beyond it."""
NOISE = 0.4
"""Points, of one training."""
PER_SQUARE = 1.0
"""Points lost for the squared natural logarithm of what the rate is off: 1.9 for a factor of 4."""
OPTION = Range(1.0, 100.0, log=True)
BEST_OPTION, PER_SQUARE_OF_OPTION = 30.0, 0.3
Values = Mapping[str, Any]


def lost(values: Values, best: float) -> float:
    """Points that values lose against the best ones."""
    points = PER_SQUARE * math.log(values["rate"] / best) ** 2
    if "option" in values:
        points += PER_SQUARE_OF_OPTION * math.log(values["option"] / BEST_OPTION) ** 2
    return points


def tuner(trainings: int, seed: int, options: int) -> Tuner:
    offers: dict[str, Any] = {"rate": RATES, "option": OPTION}
    usual = {"rate": USUAL, "option": 10.0}
    names = ["rate", "option"][: 1 + options]
    limits = {"rate": (1e-8, 1e6), "option": (OPTION.low, OPTION.high)}
    return Tuner({name: offers[name] for name in names}, {name: usual[name] for name in names}, trainings, limits, seed)


def by_model(one: Tuner, best: float, rng: random.Random) -> Values:
    """What the tuner chooses."""
    told: list[Told] = []
    while (values := one.ask(told)) is not None:
        told.append(Told(values, -lost(values, best) + rng.gauss(0, NOISE)))
    chosen = one.chosen(told)
    assert chosen is not None
    return chosen


def by_luck(one: Tuner, best: float, rng: random.Random) -> Values:
    """The luckiest of the usual values and of those that come first in the sequence."""
    tried = [dict(one.usual), *one.points([])[: one.trainings - 1]]
    return max(tried, key=lambda values: -lost(values, best) + rng.gauss(0, NOISE))


def usual(one: Tuner, best: float, rng: random.Random) -> Values:
    """Nothing is tuned."""
    return one.usual


WAYS: tuple[Callable[[Tuner, float, random.Random], Values], ...] = (usual, by_luck, by_model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--trainings", default="4,8,16")
    asked = parser.parse_args()
    print(f"{'settings':>8}{'best rate':>11}{'trainings':>11}" + "".join(f"{way.__name__:>24}" for way in WAYS))
    for options in (0, 1):
        for best in BESTS:
            for trainings in map(int, asked.trainings.split(",")):
                cells = []
                for way in WAYS:
                    seeds = range(asked.seeds)
                    chosen = [way(tuner(trainings, seed, options), best, random.Random(seed)) for seed in seeds]
                    found = interval([lost(values, best) for values in chosen])
                    cells.append(f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})")
                print(
                    f"{1 + options:>8}{best:>11g}{trainings:>11}" + "".join(f"{cell:>24}" for cell in cells), flush=True
                )


if __name__ == "__main__":
    main()
