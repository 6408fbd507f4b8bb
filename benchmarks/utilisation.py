"""How much of the workers' time a search spends on training: a real search of trials of about a minute each.

    python benchmarks/utilisation.py [--trials 16] [--workers 2] [--epochs 16]

Utilisation is the sum of the trials' seconds (training and scoring, as in ``trials.csv``) over the workers' seconds
from the start of the first trial to the end of the last. With few trials the end counts much: one worker waits for the
other.

Two cores of an AMD EPYC, as shipped: 16 trials of 56 s on 2 workers in 482 s, a utilisation of 0.928. With 8 trials of
104 s it was 0.836: the last trial of one worker ran while the other had none left.
"""

import argparse
import tempfile
import time
from pathlib import Path

from mtl_search import load_dataset, load_experiment, search
from mtl_search.execution.jobs import Job
from mtl_search.searching.loop import SearchLoop


class Clock:
    """Notes when a loop gives out its first job, and when its last trial ends."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        ask, end = SearchLoop.ask, SearchLoop._end

        def asked(loop: SearchLoop) -> Job | None:
            self.first = self.first or time.time()
            return ask(loop)

        def ended(loop: SearchLoop, *arguments: object, **options: object) -> None:
            end(loop, *arguments, **options)  # type: ignore[arg-type]
            self.last = time.time()

        SearchLoop.ask, SearchLoop._end = asked, ended  # type: ignore[method-assign,assignment]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=16)
    arguments = parser.parse_args()
    changes = [f"search.trials={arguments.trials}", f"training.epochs={arguments.epochs}", "search.sampler=random"]
    experiment = load_experiment("quickstart", changes)
    dataset = load_dataset(experiment.dataset.name, **experiment.dataset.options)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        run = search(experiment, dataset, workers=arguments.workers, out=Path(folder) / "run")
    seconds = [trial.seconds for trial in run.complete]
    wall = clock.last - clock.first
    print(f"{len(seconds)} trials of {sum(seconds) / len(seconds):.0f} s on {arguments.workers} workers, {wall:.0f} s")
    print(f"utilisation {sum(seconds) / (arguments.workers * wall):.3f}")


if __name__ == "__main__":
    main()
