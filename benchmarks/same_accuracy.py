"""Nothing gets faster by getting different: the accuracy of a network trained by the reference and by the fused form.

The same network, the quickstart's data and training, seeds 0 to 4: mean accuracy on the validation split after the last
epoch. The two differ by rounding, which training amplifies: not seed by seed, but in distribution they are the same.

    python benchmarks/same_accuracy.py [--seeds 5] [--epochs 8] [--threads 1] [--csv FOLDER]

``results/same_accuracy.csv``: torch 2.13.0, one thread, with the kernels in C; seconds of the processor. Over five
seeds 94.23 ± 0.60 % by the reference and 94.22 ± 0.57 % by the fused form, in a third of the time.
"""

import argparse
import statistics
import time

import torch

from measured import Table, add_option
from mtl_search import Architecture, build_model, load_experiment
from mtl_search.evaluation import mean_quality
from mtl_search.internal.memory import keep_freed_memory
from mtl_search.networks.network import Implementation
from mtl_search.searching.preparation import prepare
from mtl_search.spaces.architecture import LayerChoice
from mtl_search.training.scoring import scores_on
from mtl_search.training.trainer import Trainer

IMPLEMENTATIONS: tuple[Implementation, ...] = ("reference", "fused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    experiment = load_experiment("quickstart", [f"training.epochs={arguments.epochs}"])
    data = prepare(experiment)
    backbone = experiment.search_space.backbone
    architecture = Architecture(backbone, (LayerChoice("linear", 0.5),) * backbone.layers)
    accuracies: dict[str, list[float]] = {name: [] for name in IMPLEMENTATIONS}
    columns = {f"{name}, {unit}": spec for name in IMPLEMENTATIONS for unit, spec in (("%", ".2f"), ("s", ".0f"))}
    table = Table({"seed": "", **columns}, arguments.csv)
    for seed in range(arguments.seeds):
        cells: list[float] = []
        for name in IMPLEMENTATIONS:
            start = time.process_time()
            model = build_model(architecture, data.tasks, data.input_shape, seed, name)
            trainer = Trainer(model, data.tasks, data, experiment.training, seed)
            for _ in trainer.epochs():
                pass
            scores = scores_on(model, data.tasks, data, "val", trainer.device)
            accuracies[name].append(mean_quality(data.tasks, scores))
            cells += [100 * accuracies[name][-1], time.process_time() - start]
        table.add(seed, *cells)
    reference, fused = map(summary, accuracies.values())
    table.add("mean and deviation", reference, "", fused, "")


def summary(values: list[float]) -> str:
    """Mean and standard deviation, in per cent."""
    return f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f}"


if __name__ == "__main__":
    main()
