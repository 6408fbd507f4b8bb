"""What a run was made with: versions, hardware, source revision."""

import hashlib
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mtl_search.internal.processors import processors
from mtl_search.kernels.library import built

PACKAGE = Path(__file__).parents[1]
SOURCES = {".py", ".c", ".h"}
PACKAGES = ("mtl_search", "torch", "optuna", "ray", "numpy", "pandas", "plotly", "moocore")

GIT_SECONDS = 10
"""For git to answer, which takes some hundredths; of a source on a slow network the revision is left out then."""


def describe_environment(seed: int) -> dict[str, Any]:
    """What stands in ``environment.json`` when a run starts.

    :param seed: Seed of the run.
    """
    return {
        "command": _command(),
        "seed": seed,
        "started": now(),
        "finished": None,
        "source_revision": source_revision(),
        "source_digest": source_digest(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "kernels": kernels(),
        "hardware": {"processor": _processor(), "cores": processors(), "system": platform.system()},
    }


def _command() -> str | None:
    """The command line, where this process is one of ours."""
    program = Path(sys.argv[0])
    ours = "mtl-search" in program.name or program.parts[-2:] in (("mtl_search", "launch.py"), ("mtl_search", "cli.py"))
    return shlex.join(["mtl-search", *sys.argv[1:]]) if ours else None


def kernels() -> str:
    """What trains on this processor: the kernels in C, or torch's operations and why."""
    problem = built("float").problem
    return f"of torch: {problem}" if problem else "in C"


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def source_revision() -> str | None:
    """The git revision of the package's source, with ``+changes`` where files differ from it; ``None`` outside git."""
    revision = _git(PACKAGE, "rev-parse", "HEAD")
    if revision is None or _git(PACKAGE, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return revision + ("+changes" if _git(PACKAGE, "status", "--porcelain", ".") else "")


def source_digest() -> str:
    """A digest of the package's source, which tells apart what a revision with changes does not."""
    digest = hashlib.sha256()
    for path in sorted(path for path in PACKAGE.rglob("*.*") if path.suffix in SOURCES):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]  # 64 bits: no two sources agree by accident


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The model of the processor, as Linux tells it, else the kind of machine."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
