"""How long commands take to start: the help, and what prints a few lines, against Python itself.

Commands alternate, each in a process of its own, so that a machine whose speed drifts slows all.

    python benchmarks/start_up.py [--rounds N] [--csv FOLDER]

``results/start_up.csv``: Python 3.11, torch 2.13.0, while other work ran beside it.

The help is a text in a file that stands there as it is printed; all others import typer.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measured import Table, add_option

COMMAND = str(Path(sys.executable).with_name("mtl-search"))
PYTHON = [sys.executable, "-c", "pass"]
COMMANDS = {
    "python -c pass": PYTHON,
    "mtl-search --help": [COMMAND, "--help"],
    "mtl-search search --help": [COMMAND, "search", "--help"],
    "mtl-search --version": [COMMAND, "--version"],
    "mtl-search list spaces": [COMMAND, "list", "spaces"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    add_option(parser)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(1 + arguments.rounds):
        for name, command in COMMANDS.items():
            seconds[name].append(seconds_of(command))
    medians = {name: statistics.median(found[1:]) for name, found in seconds.items()}  # the first reads the files
    table = Table({"command": "", "ms": ".0f", "of Python": ".2f"}, arguments.csv)
    for name, median in medians.items():
        table.add(name, 1000 * median, median / medians["python -c pass"])


def seconds_of(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
