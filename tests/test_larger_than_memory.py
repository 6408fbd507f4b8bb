"""Data four times as large as the memory that a process may take: checked, trained on and measured within that.

The limit is that of ``ulimit -v``, set in a process of its own after a small training: what the libraries take, and
load when they are first used, depends on how torch was built.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

LIMIT = 64 * 2**20
SIDE = 64
SAMPLES = 4 * LIMIT // (3 * SIDE**2)

TRAIN = """
import json, resource, sys
from pathlib import Path

import numpy as np

from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.internal.arrays import FileArray
from mtl_search.training.batches import InFiles
from mtl_search.datasets import Split, make_dataset
from mtl_search.evaluation import Entrant, evaluate
from mtl_search.spaces.settings import Training
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.runs.provenance import data_digest
from mtl_search.tasks import make_task
from mtl_search.training.devices import device_of
from mtl_search.training.trainer import DeviceSplit


def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def made(rows):
    splits = {
        split: Split(inputs[part], {name: array[part] for name, array in targets.items()})
        for split, part in rows.items()
    }
    return make_dataset("large", tasks, splits)


def trained(dataset):
    return evaluate(Entrant(HardSharing(), backbone), dataset.merged(), training, seed=0, split="test")


folder, limit = Path(sys.argv[1]), int(sys.argv[2])
names = ("kind", "bright")
inputs, targets = FileArray(folder / "inputs.npy"), {name: FileArray(folder / f"{name}.npy") for name in names}
tasks = (make_task("classification", "kind", classes=3), make_task("binary", "bright"))
backbone = Backbone((Stage(4, 1, 2), Stage(8, 1, 2)), stem=4, stem_stride=4)
training = Training(epochs=1, batch_size=64, device="cpu")
trained(made({"train": slice(0, 300), "val": slice(300, 400), "test": slice(400, 700)}))

before = memory("VmSize")
resource.setrlimit(resource.RLIMIT_AS, (before + limit, before + limit))
try:
    np.asarray(inputs)
except MemoryError:
    refused = True

dataset = made({"train": slice(0, -512), "val": slice(-512, -256), "test": slice(-256, None)})
held = DeviceSplit(dataset.splits["train"], dataset, device_of("cpu")).held
digest = data_digest(dataset)
trial = trained(dataset)
print(json.dumps({
    "bytes": inputs.nbytes,
    "refused": refused,
    "in_files": isinstance(held, InFiles),
    "scores": dict(trial.scores),
}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of three kinds, dark ones and bright ones, and what they show."""
    rng = np.random.default_rng(0)
    kind, bright = rng.integers(0, 3, SAMPLES), rng.integers(0, 2, SAMPLES)
    np.save(tmp_path / "kind.npy", kind)
    np.save(tmp_path / "bright.npy", bright)
    file = np.lib.format.open_memmap(tmp_path / "inputs.npy", "w+", np.uint8, (SAMPLES, 3, SIDE, SIDE))
    for number in range(SAMPLES):
        file[number, kind[number]] = 60 + 120 * bright[number]
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
@pytest.mark.slow
def test_data_four_times_the_memory_limit_is_trained_on_within_it(folder: Path) -> None:
    command = [sys.executable, "-c", TRAIN, str(folder), str(LIMIT)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    (folder / "inputs.npy").unlink()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bytes"] > 3.99 * LIMIT
    assert found["refused"], "there is no room for all of it at once"
    assert found["in_files"]
    assert found["scores"]["kind/accuracy"] > 0.9
    assert found["scores"]["bright/accuracy"] > 0.9
