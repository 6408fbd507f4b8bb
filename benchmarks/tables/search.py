"""Searches on the tables in simulated time: how far from the front each sampler is, by what it would recommend.

    python benchmarks/tables/search.py [NAME ...] [--samplers random,tpe,bayesian] [--seeds 20] [--budget 60]

For each table and sampler the hypervolume that is lost against the front of means over seeds, in percent, after 5, 10,
20, ... trainings of a mean architecture: mean over seeds with its 95 % interval. Then the compute after which 5 % are
lost and no more: median, 10th and 90th percentile over seeds.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from multiprocessing import Pool

import numpy as np

from mtl_search.metrics.intervals import interval
from mtl_search.tables import load_table, regret, simulate, table_names

SAMPLERS = "random,tpe,bayesian"
GRID = (5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 120.0)
STEPS = 2.0
"""Compute between which the loss of 5 % is looked for."""
ENOUGH = 0.05
WORKERS = 4
"""Simulated."""
Task = tuple[str, str, int, float]


def curve(task: Task) -> dict[float, float]:
    """Compute -> what is lost then, of one search."""
    name, sampler, seed, budget = task
    trajectory = simulate(load_table(name), sampler, budget, seed, workers=WORKERS)
    at = sorted({*(spent for spent in GRID if spent <= budget), *np.arange(STEPS, budget + STEPS / 2, STEPS).tolist()})
    return {point.spent: point.lost for point in regret(trajectory, at)}


def row(sampler: str, curves: Sequence[dict[float, float]], budget: float) -> str:
    """A line of the table."""
    cells = []
    for spent in (spent for spent in GRID if spent <= budget):
        found = interval([100 * of_seed[spent] for of_seed in curves])
        half = "" if found.high is None else f" ±{found.high - found.mean:.1f}"
        cells.append(f"{found.mean:.1f}{half}")
    needed = [next((spent for spent, lost in of_seed.items() if lost <= ENOUGH), math.inf) for of_seed in curves]
    low, high = np.quantile(needed, [0.1, 0.9], method="nearest")
    return f"| {sampler} | {' | '.join(cells)} | {statistics.median(needed):.0f} ({low:.0f}-{high:.0f}) |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", help="of tables, or paths of Parquet files; all that are shipped if left out"
    )
    parser.add_argument("--samplers", default=SAMPLERS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=float, default=60.0, help="in trainings of a mean architecture")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    heads = [f"{spent:g}" for spent in GRID if spent <= given.budget]
    with Pool(given.processes) as pool:
        for name in given.names or table_names():
            print(f"\n{load_table(name)!r}\n\n| sampler | {' | '.join(heads)} | to {ENOUGH:.0%} |", flush=True)
            print("|---" * (len(heads) + 2) + "|")
            for sampler in given.samplers.split(","):
                tasks = [(name, sampler, seed, given.budget) for seed in range(given.seeds)]
                print(row(sampler, pool.map(curve, tasks, chunksize=1), given.budget), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
