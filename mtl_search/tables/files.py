"""Tables in Parquet files: a row for each training. What depends on the epoch is a list in its column."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from mtl_search.errors import UserError, shown_path
from mtl_search.tables.trainings import MEASURED, Array, TaskFacts, Trainings

DESCRIBED = b"mtl_search.table"
"""Key of the file's metadata under which its tasks, its experiment and its environment stand, as JSON."""
FORMAT = 1
TEST, COSINE, BETWEEN = "test/", "cosine/", " / "
COMPRESSION = "zstd"


def write_table(path: Path, trainings: Trainings) -> None:
    """Write a table; numbers are kept as float32, but costs that are whole."""
    seeds, architectures = len(trainings.seeds), len(trainings.architectures)
    columns: dict[str, Any] = {
        "architecture": _dictionary(np.repeat(trainings.architectures, seeds)),
        "seed": pa.array(np.tile(trainings.seeds, architectures), pa.int32()),
        "training_loss": _lists(trainings.training_loss),
        **{name: _lists(values) for name, values in trainings.scores.items()},
        **{TEST + name: _floats(values) for name, values in trainings.test.items()},
        **{name: _measured(name, values) for name, values in trainings.measured.items()},
        **{COSINE + BETWEEN.join(pair): _floats(values) for pair, values in trainings.cosines.items()},
        "choices": _dictionary(np.repeat(trainings.choices, seeds)),
    }
    described = json.dumps({"format": FORMAT, **trainings.described()}).encode()
    table = pa.table(columns).replace_schema_metadata({DESCRIBED: described})
    parquet.write_table(table, path, compression=COMPRESSION, compression_level=19, use_dictionary=["architecture"])


def read_table(path: Path) -> Trainings:
    """Read a table.

    :raises UserError: If there is no such file, or it is none of ours.
    """
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{shown_path(path)}: is no table of trained architectures: {error}") from error
    described = json.loads((table.schema.metadata or {}).get(DESCRIBED, b"{}"))
    if described.get("format") != FORMAT:
        raise UserError(
            f"{shown_path(path)}: is no table of trained architectures of format {FORMAT}; those are made by "
            "benchmarks/tables/make.py."
        )
    found = list(zip(table["architecture"].to_pylist(), table["seed"].to_pylist(), strict=True))
    architectures, seeds = (list(dict.fromkeys(column)) for column in zip(*found, strict=True))
    if found != list(itertools.product(architectures, seeds)):
        raise UserError(
            f"{shown_path(path)}: must hold each of its {len(architectures)} architectures with each of its "
            f"{len(seeds)} seeds, one after the other, but got {len(found)} rows in another order."
        )
    return _trainings(table, described)


def _trainings(table: pa.Table, described: Mapping[str, Any]) -> Trainings:
    of_row = table["architecture"].to_pylist()
    architectures, seeds = tuple(dict.fromkeys(of_row)), tuple(dict.fromkeys(table["seed"].to_pylist()))
    choices = dict(zip(of_row, table["choices"].to_pylist(), strict=True))
    shape = len(architectures), len(seeds)
    names = [name for name in table.column_names if name not in ("architecture", "seed", "choices")]
    arrays = {name: _array(table[name], shape) for name in names}
    loss = arrays.pop("training_loss")
    test = {name.removeprefix(TEST): arrays.pop(name) for name in names if name.startswith(TEST)}
    pairs = [name for name in names if name.startswith(COSINE)]
    cosines = {_pair(name): arrays.pop(name) for name in pairs}
    measured = {name: arrays.pop(name) for name in MEASURED if name in arrays}
    made_by = {name: described[name] for name in ("experiment", "environment")}
    tasks = tuple(TaskFacts(**task) for task in described["tasks"])
    texts = tuple(choices[one] for one in architectures)
    return Trainings(tasks, architectures, texts, seeds, arrays, loss, test, cosines, measured, made_by)


def _pair(name: str) -> tuple[str, str]:
    first, second = name.removeprefix(COSINE).split(BETWEEN)
    return first, second


def _array(column: pa.ChunkedArray, shape: tuple[int, ...]) -> Array:
    """``[architectures, seeds]``; of lists ``[architectures, seeds, epochs]``."""
    held = column.combine_chunks()
    is_list = pa.types.is_fixed_size_list(held.type)
    values = (held.flatten() if is_list else held).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.asarray(values.reshape(*shape, -1) if is_list else values.reshape(shape))


def _dictionary(texts: NDArray[np.str_]) -> pa.Array:
    return pa.array(texts.tolist(), pa.string()).dictionary_encode()


def _floats(values: Array) -> pa.Array:
    return pa.array(values.ravel().astype(np.float32))


def _measured(name: str, values: Array) -> pa.Array:
    return _floats(values) if name in ("latency_ms", "seconds") else pa.array(values.ravel().astype(np.int64))


def _lists(values: Array) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(_floats(values), values.shape[2])


def names_of(folder: Path) -> Sequence[str]:
    """Names of the tables in a folder."""
    return sorted(path.stem for path in folder.glob("*.parquet"))
