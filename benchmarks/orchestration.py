"""What the search engine adds to the trainings: 40 trials that sleep one second, on two workers.

Twenty seconds of sleep are due on each worker. Everything above is the engine's: proposing, starting a trial on a
worker that another one has left, booking the result, writing the run's folder.

    python benchmarks/orchestration.py [--trials N] [--workers N]

Measured on two cores: 21.6 s from the first start to the last end, 1.6 s above the ideal 20 s.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mtl_search import Architecture, Training, load_dataset, load_experiment, search
from mtl_search.datasets import Dataset
from mtl_search.evaluation import EvaluationOptions, Report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    experiment = load_experiment("quickstart", [f"search.trials={arguments.trials}", "training.epochs=1"])
    dataset = load_dataset("multi_mnist", train=200, val=100)
    with tempfile.TemporaryDirectory() as folder:
        run = search(
            experiment, dataset, workers=arguments.workers, out=Path(folder) / "run", evaluate=sleep_one_second
        )
        starts = [trial.scores["left/loss"] for trial in run.complete]
    seconds = max(starts) + 1 - min(starts)
    ideal = arguments.trials / arguments.workers
    print(f"{len(run.complete)} trials of 1 s on {arguments.workers} workers: {seconds:.1f} s from the first start")
    print(f"to the last end, {seconds - ideal:.1f} s above the ideal {ideal:.0f} s")


def sleep_one_second(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    """A training that only takes time; its start stands where the loss would."""
    start = time.time()
    time.sleep(1)
    scores = {"left/accuracy": 0.5, "right/accuracy": 0.5, "left/loss": start, "right/loss": start}
    yield Report(1, 1.0, 0.0, scores=scores, done=True)


if __name__ == "__main__":
    main()
