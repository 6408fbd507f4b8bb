"""The entry point of the command: prints the help at once, and hands everything else to :mod:`mtl_search.cli.commands`.

What prints the help in colour takes ten times as long to load as Python itself; the text is kept in ``help.txt``, which
``make help`` writes.
"""

import gc
import sys

HELP = f"{__file__.removesuffix('launch.py')}help.txt"


def main() -> None:
    """Run the command line. From here on signals end it with their own status, and its streams take everything."""
    from mtl_search.internal.streams import open_streams

    open_streams()
    if sys.argv[1:] in (["--help"], ["-h"]) and sys.stdout.encoding == "utf-8":
        with open(HELP, encoding="utf-8") as file:
            sys.stdout.write(file.read())
    else:
        from mtl_search.internal.signals import advise, end_on_signals

        end_on_signals()
        if {"resume", "compare"} & set(sys.argv[1:3]):
            advise("the same command goes on")
        from mtl_search.cli import commands as cli

        try:
            cli.program()
        finally:
            gc.freeze()  # what torch and Ray leave is not searched for garbage at the very end: that takes seconds


if __name__ == "__main__":
    main()
