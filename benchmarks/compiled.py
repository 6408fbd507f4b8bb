"""Whether ``torch.compile`` makes a training step faster: the fused network as it is, and compiled.

The networks are those of ``step_time.py``, for the bank of linear primitives; a step is forward, losses, backward and
AdamW. The steps of both alternate, and the loss of a first step on equal weights says that they are the same function.
The first step of the compiled network is the one in which it is compiled.

    python benchmarks/compiled.py [--threads N] [--batch N] [--steps N] [--csv FOLDER]

``results/compiled.csv``: torch 2.13.0, ``--steps 3``, while other work ran beside it. As it is, the network trains with
the kernels in C, which the compiler does not know: compiled, it took 1.5 and 1.8 times as long, after a first step of
one or two minutes.

Before there were kernels, compiling was slower than torch's operations, too: 1.19 and 1.26 times their time for 2
tasks, 1.30 and 1.98 times for 8, after a first step of up to 550 s. So ``training.compile`` is off: on the processor it
is slower, and every candidate would be compiled for minutes. On a GPU it was not measured.
"""

import argparse
import itertools
import statistics
import time

import torch

from measured import Table, add_option
from mtl_search.internal.memory import keep_freed_memory
from mtl_search.training.devices import compiled
from step_time import SHAPE, Forward, loss, made_model, made_tasks, network, now, processor, step

SETTINGS = tuple(itertools.product((64,), (2, 8), (0.75, 0.5)))
"""Width, tasks, shared ratio."""
COLUMNS = {
    "width": "",
    "tasks": "",
    "ratio": "",
    "as it is, ms": ".0f",
    "compiled, ms": ".0f",
    "ratio of times": ".2f",
    "first step, s": ".0f",
    "losses differ by": ".1e",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    print(f"torch {torch.__version__}, {processor()}, {arguments.threads} thread(s), batch {arguments.batch}\n")
    same = {"threads": arguments.threads, "batch": arguments.batch}
    table = Table(COLUMNS, arguments.csv, same=same)
    for setting in SETTINGS:
        table.add(*setting, *measured(*setting, arguments.batch, arguments.steps))


def measured(width: int, tasks: int, ratio: float, batch: int, steps: int) -> tuple[float, ...]:
    """The columns that are measured, of one setting."""
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
    return as_it_is, in_compiled, in_compiled / as_it_is, first, difference


if __name__ == "__main__":
    main()
