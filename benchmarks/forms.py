"""The exact forms of a bank in a training step, see :mod:`mtl_search.networks.forms`.

For layers of several widths, strides and banks: the time of every form, forward and backward, side by side, and which
of them :func:`mtl_search.networks.forms.fastest` takes, whose constants come from here. A layer reads shared features
and makes shared ones and those of the tasks' own. Times are of the process, so that other work on the machine counts
little.

    python benchmarks/forms.py [--threads N] [--batch N] [--rounds N] [--banks linear paper]

One thread of an AMD EPYC with AVX-512, torch 2.13.0, milliseconds:

| bank | in | out | pixels | stride | folded | joined | filtered |
|---|---|---|---|---|---|---|---|
| linear | 16 | 16 + 8 | 36 x 36 | 1 | 34 | 28 | 40 |
| linear | 16 | 48 + 32 | 36 x 36 | 1 | 68 | 85 | 65 |
| linear | 16 | 32 + 256 | 36 x 36 | 1 | 280 | 328 | 252 |
| linear | 32 | 32 + 64 | 36 x 36 | 2 | 61 | 55 | 56 |
| linear | 48 | 48 + 32 | 36 x 36 | 2 | 110 | 72 | 86 |
| linear | 48 | 48 + 32 | 18 x 18 | 1 | 49 | 48 | 53 |
| linear | 48 | 96 + 64 | 18 x 18 | 2 | 38 | 34 | 35 |
| linear | 32 | 32 + 256 | 36 x 36 | 2 | 141 | 142 | 122 |
| linear | 32 | 32 + 256 | 18 x 18 | 1 | 98 | 100 | 85 |
| linear | 64 | 64 + 512 | 36 x 36 | 2 | 476 | 477 | 446 |
| linear | 64 | 64 + 512 | 18 x 18 | 1 | 370 | 401 | 323 |
| linear | 96 | 96 + 64 | 18 x 18 | 1 | 147 | 149 | 144 |
| paper | 16 | 16 + 8 | 36 x 36 | 1 | 54 | | 60 |
| paper | 16 | 48 + 32 | 36 x 36 | 1 | 163 | | 82 |
| paper | 16 | 32 + 256 | 36 x 36 | 1 | 552 | | 278 |
| paper | 32 | 32 + 64 | 36 x 36 | 2 | 98 | | 88 |
| paper | 48 | 48 + 32 | 36 x 36 | 2 | 143 | | 143 |
| paper | 48 | 48 + 32 | 18 x 18 | 1 | 78 | | 72 |
| paper | 48 | 96 + 64 | 18 x 18 | 2 | 50 | | 42 |
| paper | 64 | 64 + 512 | 36 x 36 | 2 | 701 | | 461 |
| paper | 64 | 64 + 512 | 18 x 18 | 1 | 572 | | 334 |
| paper | 96 | 96 + 64 | 18 x 18 | 1 | 211 | | 180 |
"""

import argparse
import statistics
import time

import torch

from mtl_search.networks.forms import Form, can_be_joined, fastest, recombined
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
    parser.add_argument("--banks", nargs="+", default=["linear", "orthonormal7", "paper"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), batch {arguments.batch}\n")
    print("| bank | in | out | pixels | stride | folded, ms | joined, ms | filtered, ms | taken | over folded |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for bank in arguments.banks:
        for layer in LAYERS:
            print(row(bank, *layer, arguments.batch, arguments.rounds), flush=True)


def row(name: str, channels: int, outputs: tuple[int, int], side: int, stride: int, batch: int, rounds: int) -> str:
    """Measure one layer."""
    bank = make_operator(name, channels, torch.Generator().manual_seed(0))
    assert isinstance(bank, Bank)
    x = torch.randn(batch, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weights = [torch.randn(count, bank.taps, channels).requires_grad_() for count in outputs]
    forms: list[Form] = ["folded", "joined", "filtered"] if can_be_joined(bank.terms) else ["folded", "filtered"]
    upstream = [torch.randn_like(made) for made in recombined("folded", bank, x, stride, weights)]
    seconds: dict[Form, list[float]] = {form: [] for form in forms}
    for number in range(rounds + 1):
        for form in forms:
            start = time.process_time()
            torch.autograd.grad(recombined(form, bank, x, stride, weights), [x, *weights], upstream)
            if number:
                seconds[form].append(time.process_time() - start)
    medians = {form: 1000 * statistics.median(seconds[form]) for form in forms}
    taken = fastest(bank.terms, channels, outputs, stride)
    times = " | ".join(f"{medians[form]:.0f}" if form in medians else "" for form in ("folded", "joined", "filtered"))
    setting = f"{name} | {channels} | {outputs[0]} + {outputs[1]} | {side} x {side} | {stride}"
    return f"| {setting} | {times} | {taken} | {medians['folded'] / medians[taken]:.2f}x |"


if __name__ == "__main__":
    main()
