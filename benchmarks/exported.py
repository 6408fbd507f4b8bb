"""Exported models in an environment that has onnxruntime and numpy only: are they the trained networks, and how fast?

    python benchmarks/exported.py [--epochs 2] [--csv FOLDER]

A short search and comparison on quickstart's data trains the networks: what counts is not how good they are. Each is
exported and then used in a fresh virtual environment, which this script makes. Differences are the largest over all
outputs of 200 validation samples, in batches of 1 and 200. Latency is that of one sample on one thread, the median of
300 passes: of the trained network in torch, of the plain network that it is exported as, in torch, and of the file in
onnxruntime.

``results/exported.csv``: torch 2.13.0, one thread. Files give what the networks give, to a few millionths, and take a
twentieth to an eighth of their time.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from measured import Table, add_option
from mtl_search import compare, export, load_experiment, search
from mtl_search.datasets import Dataset
from mtl_search.exporting.trained import load_trained
from mtl_search.networks.deployment import FromRawInputs, deployed
from mtl_search.runs.folder import Run, load_run
from mtl_search.searching.preparation import prepare

ENTRANTS = (None, "hard_sharing", "interrogate@0.3", "conal")
PASSES = 300
COLUMNS = {"network": "", "difference": ".1e", "eager, ms": ".3f", "plain, ms": ".3f", "onnxruntime, ms": ".3f"}
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

USE = """
import json, statistics, sys, time
import numpy, onnxruntime
assert not any(name in sys.modules for name in ("torch", "mtl_search"))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("model.onnx", options)
inputs = numpy.load("inputs.npy")
names = [output.name for output in session.get_outputs()]
for size in (1, len(inputs)):
    numpy.savez(f"outputs{size}.npz", **dict(zip(names, session.run(None, {"image": inputs[:size]}))))
seconds = []
for _ in range(PASSES):
    start = time.perf_counter()
    session.run(None, {"image": inputs[:1]})
    seconds.append(time.perf_counter() - start)
print(json.dumps(1000 * statistics.median(seconds)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        python = fresh_environment(Path(scratch) / "environment")
        run, dataset = trained_run(Path(scratch) / "run", arguments.epochs)
        versions = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
        packages = [line.split()[0] for line in versions.splitlines()[2:]]
        print(f"one thread of {platform.processor() or platform.machine()}; torch {torch.__version__}")
        print(f"packages in the fresh environment: {', '.join(packages)}")
        table = Table(COLUMNS, arguments.csv)
        for which in ENTRANTS:
            found = measured(run, which, dataset, Path(scratch) / str(which), python)
            table.add(which or "ETR-NLP, the knee", *found)


def fresh_environment(folder: Path) -> Path:
    """A virtual environment with onnxruntime and numpy; its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "-q", "-c", CONSTRAINTS, "onnxruntime", "numpy"]
    subprocess.run(command, check=True)
    return python


def trained_run(folder: Path, epochs: int) -> tuple[Run, Dataset]:
    """A short search, and a comparison of what else is exported."""
    experiment = load_experiment("quickstart", ["dataset.train=2000"])
    run = search(experiment, trials=4, epochs=epochs, workers=0, out=folder)
    compare(run, baselines=[one for one in ENTRANTS if one], picks=["knee"], seeds=1, workers=0)
    return load_run(folder), prepare(experiment)


def measured(run: Run, which: str | None, dataset: Dataset, folder: Path, python: Path) -> tuple[float, ...]:
    """Export a network, use it in the fresh environment, and compare: the difference, and three latencies, ms."""
    inputs = torch.from_numpy(np.array(dataset.splits["val"].inputs[:200])).float()
    trained = load_trained(run, which, dataset)
    network = FromRawInputs(trained.network, dataset.mean, dataset.std, dataset.input_shape).eval()
    export(run, which, out=folder)
    np.save(folder / "inputs.npy", inputs.numpy())
    code = f"PASSES = {PASSES}\n{USE}"
    used = subprocess.run([python, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    difference = 0.0
    for size in (1, len(inputs)):
        with torch.no_grad():
            expected = network(inputs[:size])
        found = np.load(folder / f"outputs{size}.npz")
        difference = max(difference, *(float(np.abs(found[task] - expected[task].numpy()).max()) for task in expected))
    eager, plain = latency(network, inputs[:1]), latency(deployed(network, dataset.input_shape), inputs[:1])
    return difference, eager, plain, json.loads(used.stdout)


@torch.no_grad()
def latency(network: Callable[[Tensor], object], x: Tensor) -> float:
    """Milliseconds of a pass, the median."""
    seconds = []
    for number in range(PASSES + 20):
        start = time.perf_counter()
        network(x)
        if number >= 20:
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
