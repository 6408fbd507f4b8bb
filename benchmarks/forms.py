"""A bank of primitives and its recombination in a training step, by torch and by the kernels in C.

For layers of several widths, strides and banks: the milliseconds of both, forward and backward, side by side; by
responses or by blocks of minimal filtering; and how many times longer torch takes, which folds the weights into one
convolution. A layer reads shared features and makes shared ones and those of the tasks' own. Times are of the process,
so that other work on the machine counts little.

    python benchmarks/forms.py [--threads N] [--batch N] [--rounds N] [--banks linear paper pooling]

One thread of an AMD EPYC with AVX2, torch 2.13.0, while other work ran on the second core; the rows of the other banks
than ``linear`` are older than minimal filtering (``blocks``), which they do not take:

| bank | in | out | pixels | stride | torch | kernels | by | times |
|---|---|---|---|---|---|---|---|---|
| linear | 16 | 16 + 8 | 36 x 36 | 1 | 77 | 42 | blocks | 1.86x |
| linear | 16 | 48 + 32 | 36 x 36 | 1 | 179 | 96 | blocks | 1.87x |
| linear | 16 | 32 + 256 | 36 x 36 | 1 | 951 | 340 | blocks | 2.79x |
| linear | 32 | 32 + 64 | 36 x 36 | 2 | 145 | 72 | responses | 2.02x |
| linear | 48 | 48 + 32 | 36 x 36 | 2 | 179 | 105 | responses | 1.69x |
| linear | 48 | 48 + 32 | 18 x 18 | 1 | 136 | 46 | blocks | 2.95x |
| linear | 48 | 96 + 64 | 18 x 18 | 2 | 81 | 40 | responses | 2.04x |
| linear | 32 | 32 + 256 | 36 x 36 | 2 | 375 | 180 | responses | 2.08x |
| linear | 32 | 32 + 256 | 18 x 18 | 1 | 309 | 138 | blocks | 2.24x |
| linear | 64 | 64 + 512 | 36 x 36 | 2 | 1633 | 733 | responses | 2.23x |
| linear | 64 | 64 + 512 | 18 x 18 | 1 | 1384 | 541 | blocks | 2.56x |
| linear | 96 | 96 + 64 | 18 x 18 | 1 | 537 | 201 | blocks | 2.67x |
| paper | 16 | 16 + 8 | 36 x 36 | 1 | 133 | 56 | responses | 2.38x |
| paper | 16 | 48 + 32 | 36 x 36 | 1 | 470 | 178 | responses | 2.64x |
| paper | 16 | 32 + 256 | 36 x 36 | 1 | 1749 | 587 | responses | 2.98x |
| paper | 32 | 32 + 64 | 36 x 36 | 2 | 279 | 99 | responses | 2.81x |
| paper | 48 | 48 + 32 | 36 x 36 | 2 | 455 | 113 | responses | 4.03x |
| paper | 48 | 48 + 32 | 18 x 18 | 1 | 271 | 110 | responses | 2.47x |
| paper | 48 | 96 + 64 | 18 x 18 | 2 | 162 | 56 | responses | 2.92x |
| paper | 32 | 32 + 256 | 36 x 36 | 2 | 706 | 194 | responses | 3.65x |
| paper | 32 | 32 + 256 | 18 x 18 | 1 | 586 | 242 | responses | 2.42x |
| paper | 64 | 64 + 512 | 36 x 36 | 2 | 2088 | 741 | responses | 2.82x |
| paper | 64 | 64 + 512 | 18 x 18 | 1 | 1976 | 727 | responses | 2.72x |
| paper | 96 | 96 + 64 | 18 x 18 | 1 | 815 | 363 | responses | 2.25x |
| pooling | 16 | 16 + 8 | 36 x 36 | 1 | 125 | 75 | responses | 1.67x |
| pooling | 16 | 48 + 32 | 36 x 36 | 1 | 322 | 108 | responses | 3.00x |
| pooling | 16 | 32 + 256 | 36 x 36 | 1 | 1127 | 488 | responses | 2.31x |
| pooling | 32 | 32 + 64 | 36 x 36 | 2 | 227 | 75 | responses | 3.03x |
| pooling | 48 | 48 + 32 | 36 x 36 | 2 | 356 | 71 | responses | 5.01x |
| pooling | 48 | 48 + 32 | 18 x 18 | 1 | 162 | 58 | responses | 2.80x |
| pooling | 48 | 96 + 64 | 18 x 18 | 2 | 118 | 30 | responses | 3.87x |
| pooling | 32 | 32 + 256 | 36 x 36 | 2 | 451 | 148 | responses | 3.06x |
| pooling | 32 | 32 + 256 | 18 x 18 | 1 | 436 | 164 | responses | 2.66x |
| pooling | 64 | 64 + 512 | 36 x 36 | 2 | 2210 | 532 | responses | 4.16x |
| pooling | 64 | 64 + 512 | 18 x 18 | 1 | 1685 | 498 | responses | 3.39x |
| pooling | 96 | 96 + 64 | 18 x 18 | 1 | 814 | 257 | responses | 3.16x |

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--banks", nargs="+", default=["linear", "paper", "pooling"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), batch {arguments.batch}\n")
    print("| bank | in | out | pixels | stride | torch | kernels | by | times |")
    print("|---|---|---|---|---|---|---|---|---|")
    for bank in arguments.banks:
        for layer in LAYERS:
            print(row(bank, *layer, arguments.batch, arguments.rounds), flush=True)


def row(name: str, channels: int, outputs: tuple[int, int], side: int, stride: int, batch: int, rounds: int) -> str:
    """Measure one layer."""
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
    setting = f"{name} | {channels} | {outputs[0]} + {outputs[1]} | {side} x {side} | {stride}"
    return f"| {setting} | {by_torch:.0f} | {by_kernels:.0f} | {by} | {by_torch / by_kernels:.2f}x |"


def folded(bank: Bank, x: Tensor, stride: int, weights: Sequence[Tensor]) -> list[Tensor]:
    """By torch."""
    read = bank.features(x, stride)
    return [bank.convolve(read, weight, stride, 1) for weight in weights]


def features(made: Sequence[Measured]) -> list[Tensor]:
    """Without their moments."""
    return [one.features for one in made]


if __name__ == "__main__":
    main()
