"""The exact forms of a bank in a training step, see :mod:`mtl_search.networks.forms`.

For layers of several widths, strides and banks: the milliseconds of every form, forward and backward, side by side,
and which of torch's :func:`mtl_search.networks.forms.fastest` takes, whose constants come from here; where there are
kernels in C, they are taken, by responses or by blocks of minimal filtering. How many times longer ``folded`` takes
than what is taken comes last. A layer reads shared features and makes shared ones and those of the tasks' own. Times
are of the process, so that other work on the machine counts little.

    python benchmarks/forms.py [--threads N] [--batch N] [--rounds N] [--banks linear paper pooling]

One thread of an AMD EPYC with AVX2, torch 2.13.0, while other work ran on the second core; the rows of the other banks
than ``linear`` are older than minimal filtering (``blocks``), which they do not take. The kernels are 2.0 times as fast
as the fastest of torch's forms, 1.3 to 4.0. What is chosen of torch's is on average 1.5 % slower than their fastest,
15 % at most:

| bank | in | out | pixels | stride | folded | joined | filtered | of torch's | native | by | over folded |
|---|---|---|---|---|---|---|---|---|---|---|---|
| linear | 16 | 16 + 8 | 36 x 36 | 1 | 77 | 83 | 134 | folded | 42 | blocks | 1.86x |
| linear | 16 | 48 + 32 | 36 x 36 | 1 | 179 | 229 | 219 | folded | 96 | blocks | 1.87x |
| linear | 16 | 32 + 256 | 36 x 36 | 1 | 951 | 870 | 681 | filtered | 340 | blocks | 2.79x |
| linear | 32 | 32 + 64 | 36 x 36 | 2 | 145 | 131 | 158 | joined | 72 | responses | 2.02x |
| linear | 48 | 48 + 32 | 36 x 36 | 2 | 179 | 195 | 234 | joined | 105 | responses | 1.69x |
| linear | 48 | 48 + 32 | 18 x 18 | 1 | 136 | 137 | 132 | folded | 46 | blocks | 2.95x |
| linear | 48 | 96 + 64 | 18 x 18 | 2 | 81 | 74 | 65 | joined | 40 | responses | 2.04x |
| linear | 32 | 32 + 256 | 36 x 36 | 2 | 375 | 338 | 303 | joined | 180 | responses | 2.08x |
| linear | 32 | 32 + 256 | 18 x 18 | 1 | 309 | 333 | 293 | filtered | 138 | blocks | 2.24x |
| linear | 64 | 64 + 512 | 36 x 36 | 2 | 1633 | 1632 | 1306 | filtered | 733 | responses | 2.23x |
| linear | 64 | 64 + 512 | 18 x 18 | 1 | 1384 | 1299 | 941 | filtered | 541 | blocks | 2.56x |
| linear | 96 | 96 + 64 | 18 x 18 | 1 | 537 | 581 | 535 | filtered | 201 | blocks | 2.67x |
| paper | 16 | 16 + 8 | 36 x 36 | 1 | 133 |  | 293 | folded | 56 | responses | 2.38x |
| paper | 16 | 48 + 32 | 36 x 36 | 1 | 470 |  | 432 | filtered | 178 | responses | 2.64x |
| paper | 16 | 32 + 256 | 36 x 36 | 1 | 1749 |  | 989 | filtered | 587 | responses | 2.98x |
| paper | 32 | 32 + 64 | 36 x 36 | 2 | 279 |  | 368 | folded | 99 | responses | 2.81x |
| paper | 48 | 48 + 32 | 36 x 36 | 2 | 455 |  | 673 | folded | 113 | responses | 4.03x |
| paper | 48 | 48 + 32 | 18 x 18 | 1 | 271 |  | 269 | filtered | 110 | responses | 2.47x |
| paper | 48 | 96 + 64 | 18 x 18 | 2 | 162 |  | 187 | filtered | 56 | responses | 2.92x |
| paper | 32 | 32 + 256 | 36 x 36 | 2 | 706 |  | 508 | filtered | 194 | responses | 3.65x |
| paper | 32 | 32 + 256 | 18 x 18 | 1 | 586 |  | 364 | filtered | 242 | responses | 2.42x |
| paper | 64 | 64 + 512 | 36 x 36 | 2 | 2088 |  | 1537 | filtered | 741 | responses | 2.82x |
| paper | 64 | 64 + 512 | 18 x 18 | 1 | 1976 |  | 1128 | filtered | 727 | responses | 2.72x |
| paper | 96 | 96 + 64 | 18 x 18 | 1 | 815 |  | 689 | filtered | 363 | responses | 2.25x |
| pooling | 16 | 16 + 8 | 36 x 36 | 1 | 125 |  | 180 | folded | 75 | responses | 1.67x |
| pooling | 16 | 48 + 32 | 36 x 36 | 1 | 322 |  | 275 | filtered | 108 | responses | 3.00x |
| pooling | 16 | 32 + 256 | 36 x 36 | 1 | 1127 |  | 628 | filtered | 488 | responses | 2.31x |
| pooling | 32 | 32 + 64 | 36 x 36 | 2 | 227 |  | 205 | filtered | 75 | responses | 3.03x |
| pooling | 48 | 48 + 32 | 36 x 36 | 2 | 356 |  | 222 | filtered | 71 | responses | 5.01x |
| pooling | 48 | 48 + 32 | 18 x 18 | 1 | 162 |  | 120 | filtered | 58 | responses | 2.80x |
| pooling | 48 | 96 + 64 | 18 x 18 | 2 | 118 |  | 62 | filtered | 30 | responses | 3.87x |
| pooling | 32 | 32 + 256 | 36 x 36 | 2 | 451 |  | 283 | filtered | 148 | responses | 3.06x |
| pooling | 32 | 32 + 256 | 18 x 18 | 1 | 436 |  | 236 | filtered | 164 | responses | 2.66x |
| pooling | 64 | 64 + 512 | 36 x 36 | 2 | 2210 |  | 795 | filtered | 532 | responses | 4.16x |
| pooling | 64 | 64 + 512 | 18 x 18 | 1 | 1685 |  | 694 | filtered | 498 | responses | 3.39x |
| pooling | 96 | 96 + 64 | 18 x 18 | 1 | 814 |  | 477 | filtered | 257 | responses | 3.16x |

One thread of an AMD EPYC with AVX-512, before there were kernels. What is taken is on average 1.7 % slower than the
fastest, 21 % at most:

| bank | in | out | pixels | stride | folded | joined | filtered | taken |
|---|---|---|---|---|---|---|---|---|
| linear | 16 | 16 + 8 | 36 x 36 | 1 | 34 | 28 | 40 | folded |
| linear | 16 | 48 + 32 | 36 x 36 | 1 | 68 | 85 | 65 | folded |
| linear | 16 | 32 + 256 | 36 x 36 | 1 | 280 | 328 | 252 | filtered |
| linear | 32 | 32 + 64 | 36 x 36 | 2 | 61 | 55 | 56 | joined |
| linear | 48 | 48 + 32 | 36 x 36 | 2 | 110 | 72 | 86 | joined |
| linear | 48 | 48 + 32 | 18 x 18 | 1 | 49 | 48 | 53 | folded |
| linear | 48 | 96 + 64 | 18 x 18 | 2 | 38 | 34 | 35 | joined |
| linear | 32 | 32 + 256 | 36 x 36 | 2 | 141 | 142 | 122 | filtered |
| linear | 32 | 32 + 256 | 18 x 18 | 1 | 98 | 100 | 85 | filtered |
| linear | 64 | 64 + 512 | 36 x 36 | 2 | 476 | 477 | 446 | filtered |
| linear | 64 | 64 + 512 | 18 x 18 | 1 | 370 | 401 | 323 | filtered |
| linear | 96 | 96 + 64 | 18 x 18 | 1 | 147 | 149 | 144 | filtered |
| paper | 16 | 16 + 8 | 36 x 36 | 1 | 54 |  | 60 | filtered |
| paper | 16 | 48 + 32 | 36 x 36 | 1 | 163 |  | 82 | filtered |
| paper | 16 | 32 + 256 | 36 x 36 | 1 | 552 |  | 278 | filtered |
| paper | 32 | 32 + 64 | 36 x 36 | 2 | 98 |  | 88 | filtered |
| paper | 48 | 48 + 32 | 36 x 36 | 2 | 143 |  | 143 | filtered |
| paper | 48 | 48 + 32 | 18 x 18 | 1 | 78 |  | 72 | filtered |
| paper | 48 | 96 + 64 | 18 x 18 | 2 | 50 |  | 42 | filtered |
| paper | 64 | 64 + 512 | 36 x 36 | 2 | 701 |  | 461 | filtered |
| paper | 64 | 64 + 512 | 18 x 18 | 1 | 572 |  | 334 | filtered |
| paper | 96 | 96 + 64 | 18 x 18 | 1 | 211 |  | 180 | filtered |
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from mtl_search.kernels.bank import Measured, takes_blocks
from mtl_search.networks.forms import Form, can_be_joined, fastest, has_native_form, recombined
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
    print("| bank | in | out | pixels | stride | folded | joined | filtered | of torch's | native | by | over folded |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
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
    forms += ["native"] if has_native_form(bank) else []
    upstream = [torch.randn_like(made) for made in features(recombined("folded", bank, x, stride, weights))]
    seconds: dict[Form, list[float]] = {form: [] for form in forms}
    for number in range(rounds + 1):
        for form in forms:
            start = time.process_time()
            made = features(recombined(form, bank, x, stride, weights))
            torch.autograd.grad(made, [x, *weights], upstream)
            if number:
                seconds[form].append(time.process_time() - start)
    medians = {form: 1000 * statistics.median(seconds[form]) for form in forms}
    of_torch = fastest(bank.terms, channels, outputs, stride)
    taken = "native" if "native" in medians else of_torch
    by = ""
    if "native" in medians:
        by = "blocks" if takes_blocks(x, bank.native(), sum(outputs), stride) else "responses"
    times = {form: f"{medians[form]:.0f}" if form in medians else "" for form in get_args(Form)}
    setting = f"{name} | {channels} | {outputs[0]} + {outputs[1]} | {side} x {side} | {stride}"
    told = f"{times['folded']} | {times['joined']} | {times['filtered']} | {of_torch} | {times['native']} | {by}"
    return f"| {setting} | {told} | {medians['folded'] / medians[taken]:.2f}x |"


def features(made: Sequence[Measured]) -> list[Tensor]:
    """Without their moments."""
    return [one.features for one in made]


if __name__ == "__main__":
    main()
