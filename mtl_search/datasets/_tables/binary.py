"""Tables that keep the types of their columns: Parquet, folders of it, Feather, JSON lines."""

from pathlib import Path

import pyarrow as pa
from pyarrow import dataset as arrow_dataset
from pyarrow import feather, parquet
from pyarrow import json as arrow_json

from mtl_search.datasets._tables.delimited import BLOCK
from mtl_search.datasets._tables.sources import Source, beginning, is_compressed
from mtl_search.errors import DatasetError

PARQUET, FEATHER = (".parquet", ".pq"), (".feather", ".arrow", ".ipc")
BEGINNINGS = {b"PAR1": PARQUET, b"ARROW1": FEATHER, b"FEA1": FEATHER}
"""How a file begins -> the endings of its sort."""
BEGINNING = 1024
"""Bytes in which the first object of a file of JSON must begin: before it stand blanks at most."""


def is_binary(path: Path) -> bool:
    """Whether a file is Parquet or Feather, or is named so."""
    return _sort(path) is not None


def read_binary(path: Path) -> pa.Table:
    """The table of a Parquet or a Feather file.

    :raises DatasetError: If it cannot be read.
    """
    sort = _sort(path)
    try:
        return parquet.read_table(path, partitioning=None) if sort == PARQUET else feather.read_table(path)
    except (pa.ArrowException, OSError) as error:
        name = "Parquet" if sort == PARQUET else "Feather"
        raise DatasetError(f"{path}: is no {name} file that can be read: {_sentence(error)}.") from error


def read_folder(path: Path) -> pa.Table:
    """The table of all Parquet files in a folder and the folders in it, one after the other by their names.

    Folders that are named ``column=value`` are a column.

    :raises DatasetError: If there are none, one cannot be read, or has other columns than the first.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PARQUET and file.is_file())
    if not files:
        raise DatasetError(f"{path}: is a folder without Parquet files: name a file of a table.")
    try:
        schemas = [parquet.read_schema(file) for file in files]
        for file, schema in zip(files, schemas, strict=True):
            if set(schema.names) != set(schemas[0].names):
                other = sorted(set(schema.names) ^ set(schemas[0].names))[0]
                raise DatasetError(f"{file}: must have the columns of {files[0]}, but one of the two has no `{other}`.")
        names = [str(file) for file in files]
        found = arrow_dataset.dataset(names, format="parquet", partitioning="hive", partition_base_dir=str(path))
        return found.to_table(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path}: is no folder of Parquet files that can be read: {_sentence(error)}.") from error


def read_json(source: Source) -> pa.Table:
    """The table of a file with a JSON object in each line; what an object lacks is missing.

    :raises DatasetError: If it is no such file.
    """
    with source.opened() as file:
        start = file.read(BEGINNING).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise DatasetError(f"{source.path}: is empty: it must hold a JSON object in each line.")
    if start.startswith(b"["):
        raise DatasetError(f"{source.path}: must hold a JSON object in each line, not a list of them.")
    try:
        with source.opened() as file:
            return arrow_json.read_json(file, arrow_json.ReadOptions(use_threads=False, block_size=BLOCK))
    except (pa.ArrowException, OSError) as error:
        reason = _sentence(error)
        raise DatasetError(f"{source.path}: must hold a JSON object in each line: {reason}.") from error


def _sort(path: Path) -> tuple[str, ...] | None:
    """The endings of the sort of a file, as it begins, else as it is named."""
    start = beginning(path)
    told = next((sort for mark, sort in BEGINNINGS.items() if start.startswith(mark)), None)
    endings = [] if is_compressed(start) else [ending.lower() for ending in path.suffixes]
    named = next((sort for sort in (PARQUET, FEATHER) if any(one in endings for one in sort)), None)
    return told or named


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
