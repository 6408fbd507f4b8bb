"""A bank of primitives and its recombination in a training step, by torch and by the kernels in C.

For layers of several widths, strides and banks: the milliseconds of both, forward and backward, side by side; by
responses or by blocks of minimal filtering; and how many times longer torch takes, which folds the weights into one
convolution. A layer reads shared features and makes shared ones and those of the tasks' own. Times are of the process,
so that other work on the machine counts little.

    python benchmarks/forms.py [--threads N] [--batch N] [--rounds N] [--banks linear paper pooling]
                              [--csv FOLDER]

``results/forms.csv``: torch 2.13.0, while other work ran on the second core; the rows of the other banks than
``linear`` are older than minimal filtering (``blocks``), which they do not take. torch takes 1.7 to 5 times as long.

torch had two further forms until there were kernels, one convolution for all weights and filters before a 1x1
convolution, chosen by a model fitted to two processors: 1.3 times as fast as folding in the geometric mean of these
rows, and the kernels 2.0 times as fast as the fastest. Where there is no compiler, a step is slower without them.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from measured import Table, add_option
from mtl_search.kernels.bank import Measured, recombined, takes_blocks
from mtl_search.networks.operators import Bank, make_operator

LAYERS = [
    (16, (16, 8), 36, 1),
    (16, (48, 32), 36, 1),
    (16, (32, 256), 36, 1),
    (32, (32, 64), 36, 2),
    (48, (48, 32), 36, 2),
    (48, (48, 32), 18, 1),
    (48, (96, 64), 18, 2),
    (32, (32, 256), 36, 2),
    (32, (32, 256), 18, 1),
    (64, (64, 512), 36, 2),
    (64, (64, 512), 18, 1),
    (96, (96, 64), 18, 1),
]
"""Shared features in, shared and own features out, height and width of the input, stride."""
COLUMNS = {
    "bank": "",
    "in": "",
    "out": "",
    "pixels": "",
    "stride": "",
    "torch, ms": ".0f",
    "kernels, ms": ".0f",
    "by": "",
    "times": ".2f",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--banks", nargs="+", default=["linear", "paper", "pooling"])
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), batch {arguments.batch}\n")
    same = {"threads": arguments.threads, "batch": arguments.batch}
    table = Table(COLUMNS, arguments.csv, same=same)
    for bank in arguments.banks:
        for layer in LAYERS:
            channels, outputs, side, stride = layer
            setting = bank, channels, f"{outputs[0]} + {outputs[1]}", f"{side} x {side}", stride
            table.add(*setting, *measured(bank, *layer, arguments.batch, arguments.rounds))


def measured(
    name: str, channels: int, outputs: tuple[int, int], side: int, stride: int, batch: int, rounds: int
) -> tuple[float | str, ...]:
    """The columns that are measured, of one layer."""
    bank = make_operator(name, channels, torch.Generator().manual_seed(0))
    assert isinstance(bank, Bank)
    frozen = bank.frozen_bank(channels)
    assert frozen is not None
    x = torch.randn(batch, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weights = [torch.randn(count, bank.taps, channels).requires_grad_() for count in outputs]
    ways = {
        "torch": lambda: folded(bank, x, stride, weights),
        "kernels": lambda: features(recombined(x, frozen, weights, stride)),
    }
    upstream = [torch.randn_like(made) for made in ways["torch"]()]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, make in ways.items():
            start = time.process_time()
            torch.autograd.grad(make(), [x, *weights], upstream)
            if number:
                seconds[way].append(time.process_time() - start)
    by_torch, by_kernels = (1000 * statistics.median(seconds[way]) for way in ways)
    by = "blocks" if takes_blocks(x, frozen, sum(outputs), stride) else "responses"
    return by_torch, by_kernels, by, by_torch / by_kernels


def folded(bank: Bank, x: Tensor, stride: int, weights: Sequence[Tensor]) -> list[Tensor]:
    """By torch."""
    read = bank.features(x, stride)
    return [bank.convolve(read, weight, stride, 1) for weight in weights]


def features(made: Sequence[Measured]) -> list[Tensor]:
    """Without their moments."""
    return [one.features for one in made]


if __name__ == "__main__":
    main()
