"""A pruned InterroGate network against the gated one that it was pruned from: one forward pass, in evaluation mode.

Both have the same weights and give the same outputs. The gates are drawn by lot, each open with the given chance; their
passes alternate, so that a machine whose speed drifts slows both, and what is counted is processor time, so that other
work on it does not. What counts is the ratio: the median over the passes of the gated network's time over the pruned
one's. Beside it stands the ratio of their MACs: what it would be if time were spent on multiplications only.

    python benchmarks/pruned_speed.py [--threads N] [--batch N] [--passes N] [--csv FOLDER]

``results/pruned_speed.csv``: 21 passes, torch 2.13.0, while other work kept the machine busy.

The time falls less than the MACs: a convolution of three output channels takes nearly as long as one of sixteen, and a
task's own and shared channels have to be brought together. What helps are norms folded into the convolutions, and
channels sorted by their gates, so that bringing them together is one copy of a few whole pieces.
"""

import argparse
import itertools
import platform
import statistics
import time

import torch
from torch import Tensor, nn

from measured import Table, add_option
from mtl_search import cost
from mtl_search.methods.interrogate import prune
from mtl_search.networks.gated import GatedNetwork
from mtl_search.spaces.backbone import Backbone, Kind, Stage
from mtl_search.tasks import Classification

SHAPE = (1, 36, 36)
KINDS: tuple[Kind, ...] = ("plain", "residual")
TASKS = (2, 4)
SHARES = (0.1, 0.5, 0.9)
COLUMNS = {
    "backbone": "",
    "tasks": "",
    "share of open gates": "",
    "gated, ms": ".0f",
    "pruned, ms": ".0f",
    "ratio": ".2f",
    "ratio of MACs": ".2f",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--passes", type=int, default=15)
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {platform.machine()}, {arguments.threads} thread(s), batch {arguments.batch}\n")
    same = {"threads": arguments.threads, "batch": arguments.batch}
    table = Table(COLUMNS, arguments.csv, same=same)
    for setting in itertools.product(KINDS, TASKS, SHARES):
        table.add(*setting, *measured(*setting, arguments.batch, arguments.passes))


def measured(kind: Kind, tasks: int, share: float, batch: int, passes: int) -> tuple[float, ...]:
    """The columns that are measured, of one setting."""
    gated = network(kind, tasks, share)
    pruned = prune(gated)
    slow, fast = forward_times(gated, pruned, torch.randn(batch, *SHAPE), passes)
    ratio = statistics.median(one / other for one, other in zip(slow, fast, strict=True))
    macs = cost.count_macs(gated, SHAPE) / cost.count_macs(pruned, SHAPE)
    return statistics.median(slow), statistics.median(fast), ratio, macs


def network(kind: Kind, tasks: int, share: float) -> GatedNetwork:
    """A stem and five modules of 24 to 64 channels, every gate open with a chance of ``share``."""
    backbone = Backbone((Stage(24, 2), Stage(32, 2, 2), Stage(64)), kind, stem=16, stem_stride=2, head_pool=2)
    model = GatedNetwork(backbone, [Classification(f"task{number}") for number in range(tasks)], SHAPE)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for alpha in model.gates:
            alpha.copy_(share - torch.rand(alpha.shape, generator=rng))
    return model.eval()


@torch.no_grad()
def forward_times(gated: nn.Module, pruned: nn.Module, x: Tensor, passes: int) -> tuple[list[float], list[float]]:
    """Processor time of each pass of both, ms; a first one of each is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(passes + 1):
        for model, found in zip((gated, pruned), times, strict=True):
            start = time.process_time()
            model(x)
            if number:
                found.append(1000 * (time.process_time() - start))
    return times


if __name__ == "__main__":
    main()
