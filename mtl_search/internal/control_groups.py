"""The control groups of Linux that this process is in: how containers and schedulers bound what it may take."""

from collections.abc import Iterator
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
"""Where control groups are."""
OURS = Path("/proc/self/cgroup")
"""Which ones this process is in: lines of number, controllers and path."""


def own_groups(controller: str, mounted: Path = MOUNTED, ours: Path = OURS) -> Iterator[tuple[Path, int]]:
    """Folders of the groups of this process that may bound something, each up to the root, with their version: 2 or 1.

    :param controller: What version 1 calls what is bound: ``memory`` or ``cpu``.
    """
    lines = ours.read_text(encoding="utf-8").splitlines() if ours.exists() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and controller not in controllers.split(","):
            continue
        root, version = (mounted / controllers, 1) if controllers else (mounted, 2)
        place = root / path.lstrip("/")
        yield from ((group, version) for group in (place, *place.parents) if group.is_relative_to(root))
