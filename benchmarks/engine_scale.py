"""What the engine costs as a search grows: trials that are trained by a stub, next to a plain Ray Tune script.

A stub takes no time and reports once. Everything that is measured is the engine's: proposing, starting a trial on a
worker that another one has left, booking the result, writing the run's folder. Beside it stands what one would write
without this package: ``tune.Tuner`` with ``OptunaSearch``, reused workers, the same sampler, the same space, the same
two objectives; it keeps no table of its own, and writes what Tune writes.

    python benchmarks/engine_scale.py [--trials 100 1000 5000] [--sampler nsga2] [--workers 2] [--plain] [--csv FOLDER]

Each row is a process of its own. Seconds per trial are those between the first and the last trial, by the clock and of
the driver's processor time; start-up is everything before the first. ``results/engine_scale.csv``: NSGA-II, two workers
and the driver on two cores, Python 3.11, Ray 2.60, Optuna 5.0.

From 100 to 5,000 trials a trial gets 1.14 times as dear here, 1.5 times with the plain script. Most of the
start-up is Ray's and that of the imports.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measured import Table, add_option

SPACE = ["space.bank=[paper, linear, orthonormal, nonlinear]", "training.epochs=1"]

FIGURES = ("seconds", "last", "processor", "processor_last", "start", "memory", "folder")
COLUMNS = {
    "engine": "",
    "trials": "",
    "s a trial": ".3f",
    "s a trial, last tenth": ".3f",
    "driver CPU s a trial": ".3f",
    "driver CPU s a trial, last tenth": ".3f",
    "start-up, s": ".1f",
    "memory, MB": ".0f",
    "folder, MB": ".1f",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--sampler", default="nsga2")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plain", action="store_true", help="also Ray Tune and OptunaSearch alone")
    parser.add_argument("--one", choices=["ours", "plain"], help=argparse.SUPPRESS)
    add_option(parser)
    arguments = parser.parse_args()
    if arguments.one:
        measure = ours if arguments.one == "ours" else plain
        print(json.dumps(measure(arguments.trials[0], arguments.sampler, arguments.workers)))
        return
    print(f"{arguments.sampler}, {arguments.workers} workers, {os.cpu_count()} cores")
    same = {"sampler": arguments.sampler, "workers": arguments.workers}
    table = Table(COLUMNS, arguments.csv, same=same)
    for trials in arguments.trials:
        for kind in ("ours", "plain") if arguments.plain else ("ours",):
            found = in_a_process(kind, trials, arguments.sampler, arguments.workers)
            table.add(kind, trials, *(found[name] for name in FIGURES))


def in_a_process(kind: str, trials: int, sampler: str, workers: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", kind, "--trials", str(trials)]
    command += ["--sampler", sampler, "--workers", str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


class Clock:
    """Notes when each trial ends, and what processor time this process had then taken."""

    def __init__(self) -> None:
        self.began = time.time()
        self.ends: list[float] = []
        self.processor: list[float] = []

    def note(self) -> None:
        self.ends.append(time.time())
        self.processor.append(time.process_time())


def figures(clock: Clock, folder: Path) -> dict[str, float]:
    """Seconds per trial, of the clock and of the driver's processor, over all trials and over the last tenth."""
    tenth = max(2, len(clock.ends) // 10)

    def of_a_trial(times: list[float]) -> float:
        return (times[-1] - times[0]) / (len(times) - 1)

    return {
        "start": clock.ends[0] - clock.began,
        "seconds": of_a_trial(clock.ends),
        "last": of_a_trial(clock.ends[-tenth:]),
        "processor": of_a_trial(clock.processor),
        "processor_last": of_a_trial(clock.processor[-tenth:]),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "folder": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20,
    }


def scores_of(parameters: float, shared: float) -> dict[str, float]:
    """Made up, so that there is a front."""
    accuracy = 1 - 10 / parameters**0.5 - 0.05 * abs(shared - 0.6)
    return {f"{task}/{metric}": accuracy for task in ("left", "right") for metric in ("accuracy", "loss")}


def stub(architecture: Any, dataset: Any, training: Any, seed: int, options: Any) -> Iterator[Any]:
    """A training that takes no time."""
    from mtl_search.evaluation import Report

    shared = sum(layer.shared_ratio for layer in architecture.layers) / len(architecture.layers)
    yield Report(1, 0.0, 1.0, scores=scores_of(1e4 * architecture.width_multiplier, shared), done=True)


def ours(trials: int, sampler: str, workers: int) -> dict[str, float]:
    clock = Clock()
    from mtl_search import load_dataset, load_experiment, search
    from mtl_search.searching.loop import SearchLoop

    end = SearchLoop._end

    def timed(self: SearchLoop, *arguments: Any, **options: Any) -> None:
        end(self, *arguments, **options)
        clock.note()

    SearchLoop._end = timed  # type: ignore[method-assign]
    changes = [*SPACE, f"search.trials={trials}", f"search.sampler={sampler}"]
    dataset = load_dataset("multi_mnist", train=200, val=100)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        run = search(load_experiment("quickstart", changes), dataset, workers=workers, out=place, evaluate=stub)
        assert len(run.complete) == trials
        return figures(clock, place)


def plain_space(trial: Any) -> None:
    """The same space, asked for as one would of Optuna."""
    from mtl_search import load_experiment

    space = load_experiment("quickstart", SPACE).search_space
    space.resolve(lambda name, options: trial.suggest_categorical(name, options))


def plain(trials: int, sampler: str, workers: int) -> dict[str, float]:
    clock = Clock()
    import optuna
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    samplers = {"nsga2": optuna.samplers.NSGAIISampler, "tpe": optuna.samplers.TPESampler}

    class Stub(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.config = new_config
            return True

        def step(self) -> dict[str, Any]:
            ratios = [value for name, value in self.config.items() if name.endswith("shared_ratio")]
            width = self.config["width_multiplier"]
            accuracy = scores_of(1e4 * width, sum(ratios) / len(ratios))["left/accuracy"]
            return {"accuracy": accuracy, "parameters": 1e4 * width, "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {}

        def load_checkpoint(self, checkpoint: Any) -> None:
            return None

    class Ends(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            clock.note()

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        searcher = OptunaSearch(
            plain_space, sampler=samplers[sampler](seed=0), metric=["accuracy", "parameters"], mode=["max", "min"]
        )
        tuner = tune.Tuner(
            tune.with_resources(Stub, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=trials,
                max_concurrent_trials=workers,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(storage_path=folder, name="plain", verbose=0, callbacks=[Ends()]),
        )
        tuner.fit()
        assert len(clock.ends) == trials
        ray.shutdown()
        return figures(clock, Path(folder))


if __name__ == "__main__":
    main()
