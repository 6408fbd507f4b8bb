"""The exact forms of a bank in a training step, see :mod:`mtl_search.networks.forms`.

For layers of several widths, strides and banks: the milliseconds of every form, forward and backward, side by side,
and which of torch's :func:`mtl_search.networks.forms.fastest` takes, whose constants come from here; where there are
kernels in C, they are taken. How many times longer ``folded`` takes than what is taken comes last. A layer reads shared
features and makes shared ones and those of the tasks' own. Times are of the process, so that other work on the machine
counts little.

    python benchmarks/forms.py [--threads N] [--batch N] [--rounds N] [--banks linear paper pooling]

One thread of an AMD EPYC with AVX2, torch 2.13.0, milliseconds. What is taken is on average 0.2 % slower than the
fastest, 6 % at most; the choice for AVX-512 would be 5 % slower here, at most 79 %:

| bank | in | out | pixels | stride | folded | joined | filtered | taken |
|---|---|---|---|---|---|---|---|---|
| linear | 16 | 16 + 8 | 36 x 36 | 1 | 63 | 65 | 122 | folded |
| linear | 16 | 48 + 32 | 36 x 36 | 1 | 174 | 198 | 198 | folded |
| linear | 16 | 32 + 256 | 36 x 36 | 1 | 1012 | 1080 | 809 | filtered |
| linear | 32 | 32 + 64 | 36 x 36 | 2 | 167 | 159 | 231 | joined |
| linear | 48 | 48 + 32 | 36 x 36 | 2 | 267 | 257 | 356 | joined |
| linear | 48 | 48 + 32 | 18 x 18 | 1 | 159 | 158 | 186 | folded |
| linear | 48 | 96 + 64 | 18 x 18 | 2 | 107 | 103 | 117 | joined |
| linear | 32 | 32 + 256 | 36 x 36 | 2 | 480 | 489 | 463 | joined |
| linear | 32 | 32 + 256 | 18 x 18 | 1 | 365 | 389 | 319 | filtered |
| linear | 64 | 64 + 512 | 36 x 36 | 2 | 1842 | 1804 | 1719 | filtered |
| linear | 64 | 64 + 512 | 18 x 18 | 1 | 1454 | 1524 | 1043 | filtered |
| linear | 96 | 96 + 64 | 18 x 18 | 1 | 536 | 527 | 532 | filtered |
| paper | 16 | 16 + 8 | 36 x 36 | 1 | 154 |  | 276 | folded |
| paper | 16 | 48 + 32 | 36 x 36 | 1 | 376 |  | 269 | filtered |
| paper | 16 | 32 + 256 | 36 x 36 | 1 | 1483 |  | 867 | filtered |
| paper | 32 | 32 + 64 | 36 x 36 | 2 | 272 |  | 362 | folded |
| paper | 48 | 48 + 32 | 36 x 36 | 2 | 389 |  | 613 | folded |
| paper | 48 | 48 + 32 | 18 x 18 | 1 | 259 |  | 253 | filtered |
| paper | 48 | 96 + 64 | 18 x 18 | 2 | 203 |  | 182 | filtered |
| paper | 32 | 32 + 256 | 36 x 36 | 2 | 732 |  | 640 | filtered |
| paper | 32 | 32 + 256 | 18 x 18 | 1 | 602 |  | 385 | filtered |
| paper | 64 | 64 + 512 | 36 x 36 | 2 | 2099 |  | 1541 | filtered |
| paper | 64 | 64 + 512 | 18 x 18 | 1 | 2007 |  | 1151 | filtered |
| paper | 96 | 96 + 64 | 18 x 18 | 1 | 802 |  | 727 | filtered |
| pooling | 16 | 16 + 8 | 36 x 36 | 1 | 91 |  | 137 | folded |
| pooling | 16 | 48 + 32 | 36 x 36 | 1 | 272 |  | 231 | filtered |
| pooling | 16 | 32 + 256 | 36 x 36 | 1 | 1205 |  | 673 | filtered |
| pooling | 32 | 32 + 64 | 36 x 36 | 2 | 211 |  | 188 | filtered |
| pooling | 48 | 48 + 32 | 36 x 36 | 2 | 263 |  | 224 | filtered |
| pooling | 48 | 48 + 32 | 18 x 18 | 1 | 162 |  | 142 | filtered |
| pooling | 48 | 96 + 64 | 18 x 18 | 2 | 126 |  | 78 | filtered |
| pooling | 32 | 32 + 256 | 36 x 36 | 2 | 408 |  | 215 | filtered |
| pooling | 32 | 32 + 256 | 18 x 18 | 1 | 422 |  | 212 | filtered |
| pooling | 64 | 64 + 512 | 36 x 36 | 2 | 2073 |  | 920 | filtered |
| pooling | 64 | 64 + 512 | 18 x 18 | 1 | 1485 |  | 624 | filtered |
| pooling | 96 | 96 + 64 | 18 x 18 | 1 | 564 |  | 334 | filtered |

One thread of an AMD EPYC with AVX-512. What is taken is on average 1.7 % slower than the fastest, 21 % at most:

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

from mtl_search.native.bank import Measured
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
    print("| bank | in | out | pixels | stride | folded | joined | filtered | of torch's | native | over folded |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
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
    times = {form: f"{medians[form]:.0f}" if form in medians else "" for form in get_args(Form)}
    setting = f"{name} | {channels} | {outputs[0]} + {outputs[1]} | {side} x {side} | {stride}"
    told = f"{times['folded']} | {times['joined']} | {times['filtered']} | {of_torch} | {times['native']}"
    return f"| {setting} | {told} | {medians['folded'] / medians[taken]:.2f}x |"


def features(made: Sequence[Measured]) -> list[Tensor]:
    """Without their moments."""
    return [one.features for one in made]


if __name__ == "__main__":
    main()
