"""Tries many mutations, and prints those that broke a rule: ``python tests/fuzz/run.py --mutations 5000``.

``--only 17`` tries one, by its number; ``--input FOLDER --target NAME`` what was kept of one.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["OMP_NUM_THREADS"] = "1"  # a forked process waits for ever for the threads that OpenMP had in the other one

from guard import Guard
from targets import TARGETS
from workers import Result, call, try_all, write_seeds

SEEDS = "seeds"


def main() -> int:
    """Status 1 where a rule was broken."""
    given = _arguments()
    given.keep = given.keep.resolve()
    given.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        if given.input is not None:
            (target,) = [target for target in TARGETS if target.name == given.target]
            failure = call(target, given.input.resolve(), Guard())
            print(failure)
            return int(failure is not None)
        scratch = Path(place).resolve()
        write_seeds(scratch / SEEDS)
        numbers = range(given.mutations) if given.only is None else [given.only]
        failed, ends = 0, time.monotonic() + given.seconds
        with closing(try_all(given.seed, numbers, scratch / SEEDS, scratch / "work", given.keep)) as results:
            for result in results:
                failed += result.failure is not None
                if given.json or result.failure is not None:
                    print(json.dumps(asdict(result)) if given.json else _line(result, given.keep), flush=True)
                if time.monotonic() > ends:
                    break
    return int(failed > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="try the mutation of this number alone")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for inputs that broke a rule")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for every mutation")
    parser.add_argument("--input", type=Path, help="a folder that was kept")
    parser.add_argument("--target", choices=[target.name for target in TARGETS], help="what is called with it")
    return parser.parse_args()


def _line(result: Result, keep: Path) -> str:
    assert result.failure is not None
    failure = result.failure
    return (
        f"{failure.kind} at {failure.place or '-'}: {failure.message}\n"
        f"    {result.target}: {result.change}; seed {result.seed}, number {result.index}, "
        f"kept in {keep}/{result.seed}-{result.index}"
    )


if __name__ == "__main__":
    sys.exit(main())
