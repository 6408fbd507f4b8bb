"""Changes to tables: cells, columns, rows, encodings, separators; in CSV, Parquet and lines of JSON."""

import codecs
import csv
import gzip
import io
import json
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import nasty
import pyarrow as pa
import pyarrow.parquet

Rows = list[list[str]]


def changed_csv(data: bytes, other: bytes, random: Random) -> bytes:
    """A CSV file with some cells or rows changed, and now and then written in another way."""
    rows = [row for row in csv.reader(io.StringIO(data.decode(errors="replace"))) if row]
    for _ in range(random.choice((1, 1, 2, 5))):
        random.choice(CHANGES)(rows, random)
    return _written(rows, random)


def _written(rows: Rows, random: Random) -> bytes:
    text = io.StringIO()
    way = random.random()
    separator = random.choice((";", "\t", "|", " ")) if way < 0.1 else ","
    ending = random.choice(("\r\n", "\r", "\n\n")) if 0.1 < way < 0.2 else "\n"
    quoting = csv.QUOTE_ALL if 0.2 < way < 0.25 else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=separator, lineterminator=ending, quoting=quoting).writerows(rows)
    if way > 0.95:
        return gzip.compress(_encoded(text.getvalue(), "utf-8"), mtime=0)
    if way > 0.85:
        return _encoded(text.getvalue(), random.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig")))
    return _encoded(text.getvalue().rstrip("\n") if way > 0.8 else text.getvalue(), "utf-8")


def _encoded(text: str, encoding: str) -> bytes:
    mark = codecs.BOM_UTF8 if encoding == "utf-8-sig" else b""
    return mark + text.encode(encoding.removesuffix("-sig"), errors="replace")


def _cell(rows: Rows, random: Random) -> None:
    row = random.choice(rows[1:] or rows)
    row[random.randrange(len(row))] = random.choice(nasty.CELLS)


def _column(rows: Rows, random: Random) -> None:
    """All cells of a column, or many."""
    number, share, cell = random.randrange(len(rows[0])), random.choice((0.1, 0.5, 1)), random.choice(nasty.CELLS)
    for row in rows[1:]:
        if number < len(row) and random.random() < share:
            row[number] = cell


def _header(rows: Rows, random: Random) -> None:
    rows[0][random.randrange(len(rows[0]))] = random.choice((*nasty.TEXTS, *rows[0]))


def _double_row(rows: Rows, random: Random) -> None:
    place = random.randrange(len(rows))
    rows[place:place] = [list(rows[place]) for _ in range(random.choice((1, 3, 100)))]


def _drop_row(rows: Rows, random: Random) -> None:
    if len(rows) > 1:
        del rows[random.randrange(len(rows))]


def _few_rows(rows: Rows, random: Random) -> None:
    del rows[random.choice((1, 2, 4)) :]


def _ragged(rows: Rows, random: Random) -> None:
    row = random.choice(rows)
    if random.random() < 0.5 and len(row) > 1:
        row.pop()
    else:
        row.append(random.choice(nasty.CELLS))


def _double_column(rows: Rows, random: Random) -> None:
    number, times = random.randrange(len(rows[0])), random.choice((1, 1, 200))
    for row in rows:
        row.extend(row[number : number + 1] * times)


def _drop_column(rows: Rows, random: Random) -> None:
    number = random.randrange(len(rows[0]))
    for row in rows:
        if len(row) > 1:
            del row[number : number + 1]


def _shuffle(rows: Rows, random: Random) -> None:
    random.shuffle(rows)


CHANGES: tuple[Callable[[Rows, Random], None], ...] = (
    *([_cell] * 6),
    *([_column] * 3),
    *(_header, _double_row, _drop_row, _few_rows, _ragged, _double_column, _drop_column, _shuffle),
)


def changed_lines(data: bytes, other: bytes, random: Random) -> bytes:
    """Lines of JSON, some of them changed."""
    lines = data.decode(errors="replace").splitlines()
    for place in random.sample(range(len(lines)), min(len(lines), random.choice((1, 1, 3)))):
        lines[place] = random.choice((_odd_line, _odd_value, _twice, _half))(lines[place], random)
    return "\n".join(lines).encode(errors="replace") + b"\n"


def _odd_line(line: str, random: Random) -> str:
    return random.choice((*nasty.JSON, ""))


def _odd_value(line: str, random: Random) -> str:
    row = json.loads(line)
    row[random.choice(list(row))] = "MARK"
    return json.dumps(row).replace('"MARK"', random.choice(nasty.JSON))


def _twice(line: str, random: Random) -> str:
    return f"{line}\n{line}"


def _half(line: str, random: Random) -> str:
    return line[: len(line) // 2]


def changed_parquet(data: bytes, other: bytes, random: Random) -> bytes:
    """A Parquet file with a column of another type."""
    table = pa.parquet.read_table(io.BytesIO(data))
    number = random.randrange(table.num_columns)
    column = random.choice(COLUMNS)(table.num_rows, random)
    name = table.column_names[number] if random.random() < 0.8 else random.choice(nasty.TEXTS)
    table = table.set_column(number, name, column)
    written = io.BytesIO()
    pa.parquet.write_table(table, written, compression=random.choice(("snappy", "none", "gzip", "zstd")))
    return written.getvalue()


def _array(kind: pa.DataType, *values: Any) -> Callable[[int, Random], pa.Array]:
    """Makes columns of a type from some values."""
    return lambda rows, random: pa.array([random.choice(values) for _ in range(rows)], type=kind)


def _categories(rows: int, random: Random) -> pa.Array:
    return pa.array([random.choice("abc") for _ in range(rows)]).dictionary_encode()


COLUMNS: tuple[Callable[[int, Random], pa.Array], ...] = (
    _categories,
    _array(pa.null(), None),
    _array(pa.bool_(), True, False, None),
    _array(pa.int8(), -128, 127),
    _array(pa.uint64(), 0, 2**64 - 1),
    _array(pa.int64(), None, 2**53 + 1),
    _array(pa.float16(), 1.0, 2.5),
    _array(pa.float64(), float("nan"), float("inf"), -0.0, 1e308),
    _array(pa.decimal128(20, 5), Decimal("1.5"), None),
    _array(pa.string(), *nasty.CELLS[:24]),
    _array(pa.large_string(), "a", None),
    _array(pa.binary(), b"\xff", b""),
    _array(pa.timestamp("ns"), 0, 10**18, None),
    _array(pa.timestamp("s", tz="Europe/Berlin"), 0, 1),
    _array(pa.date32(), 0, 20_000),
    _array(pa.duration("ms"), 0, 5),
    _array(pa.time64("us"), 0, 5),
    _array(pa.list_(pa.int64()), [1, 2], [], None),
    _array(pa.struct([("a", pa.int64())]), {"a": 1}, None),
    _array(pa.map_(pa.string(), pa.int64()), [("a", 1)]),
)
