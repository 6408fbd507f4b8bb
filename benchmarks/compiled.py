"""Whether ``torch.compile`` makes a training step faster: the fused network as it is, and compiled.

The networks are those of ``step_time.py``, for the bank of linear primitives; a step is forward, losses, backward and
AdamW. The steps of both alternate, and the loss of a first step on equal weights says that they are the same function.
The first step of the compiled network is the one in which it is compiled.

    python benchmarks/compiled.py [--threads N] [--batch N] [--steps N]

One thread of an AMD EPYC with AVX2, torch 2.13.0, batch 128, ``--steps 3``, while other work ran beside it. As it is,
the network trains with the kernels in C, which the compiler does not know:

| width | tasks | ratio | as it is, ms | compiled, ms | ratio of times | first step, s | losses differ by |
|---|---|---|---|---|---|---|---|
| 64 | 2 | 0.75 | 762 | 1385 | 1.82x | 128 | 0.0e+00 |
| 64 | 2 | 0.5 | 724 | 1069 | 1.48x | 83 | 0.0e+00 |

Before there were kernels, compiling was slower than torch's operations, too: 1.19 and 1.26 times their time for 2
tasks, 1.30 and 1.98 times for 8, after a first step of up to 550 s. So ``training.compile`` is off: on the processor it
is slower, and every candidate would be compiled for minutes. On a GPU it was not measured.
"""

import argparse
import itertools
import statistics
import time

import torch

from mtl_search.internal.memory import keep_freed_memory
from mtl_search.training.devices import compiled
from step_time import SHAPE, Forward, loss, made_model, made_tasks, network, now, processor, step

SETTINGS = tuple(itertools.product((64,), (2, 8), (0.75, 0.5)))
"""Width, tasks, shared ratio."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    print(f"torch {torch.__version__}, {processor()}, {arguments.threads} thread(s), batch {arguments.batch}\n")
    print("| width | tasks | ratio | as it is, ms | compiled, ms | ratio of times | first step, s | losses differ by |")
    print("|---|---|---|---|---|---|---|---|")
    for setting in SETTINGS:
        print(row(*setting, arguments.batch, arguments.steps), flush=True)


def row(width: int, tasks: int, ratio: float, batch: int, steps: int) -> str:
    """Measure one setting."""
    made = made_tasks(tasks)
    models = [made_model("fused", network("linear", width, ratio), made) for _ in range(2)]
    optimisers = [torch.optim.AdamW(model.parameters(), fused=True) for model in models]
    forwards: list[Forward] = [models[0], compiled(models[1], SHAPE)]
    inputs, target = torch.randn(batch, *SHAPE), torch.randint(0, 10, (batch,))
    begin = time.perf_counter()
    loss_compiled = loss(forwards[1], made, inputs, target).item()
    step(forwards[1], made, optimisers[1], inputs, target)
    first = time.perf_counter() - begin
    difference = abs(loss(forwards[0], made, inputs, target).item() - loss_compiled)
    step(forwards[0], made, optimisers[0], inputs, target)
    times: list[list[float]] = [[], []]
    for _ in range(steps):
        for forward, optimiser, found in zip(forwards, optimisers, times, strict=True):
            start = now()
            step(forward, made, optimiser, inputs, target)
            found.append(1000 * (now() - start))
    as_it_is, in_compiled = map(statistics.median, times)
    ratio_of_times = in_compiled / as_it_is
    return (
        f"| {width} | {tasks} | {ratio} | {as_it_is:.0f} | {in_compiled:.0f} | {ratio_of_times:.2f}x | {first:.0f} "
        f"| {difference:.1e} |"
    )


if __name__ == "__main__":
    main()
