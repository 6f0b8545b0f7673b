"""PostgreSQL's binary COPY format and numpy arrays: whole blocks at a time, no value by value.

Source: PostgreSQL documentation, COPY, *Binary Format*.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# PostgreSQL counts microseconds from 2000.
PG_EPOCH_US = 946_684_800_000_000
# Signature, flags, length of the header's extension.
_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TAIL = b"\xff\xff"
# A row of a count and a value: how many fields, the count's length and the count, the value's length (-1: NULL).
_ROW = struct.Struct(">hiqi")
_PACKED = 65_536
_SENT = {
    "bigint": ("int8send", "i8"),
    "integer": ("int4send", "i4"),
    "timestamptz": ("timestamptz_send", "i8"),
    "double precision": ("float8send", "f8"),
}
"""SQL types, with the function that gives a value's bytes as they are sent, and numpy's name for these."""


def _record(columns: Mapping[str, np.dtype[Any]]) -> np.dtype[Any]:
    """Return what one row looks like: a count of fields, and a length before each."""
    fields: list[Any] = [("fields", ">i2")]
    for name, kind in columns.items():
        fields += [(f"length of {name}", ">i4"), (name, kind.newbyteorder(">"))]
    return np.dtype(fields)


def copy_in(cursor: Any, table: str, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write columns of equal length into a table; their types must be as wide as the table's."""
    length = len(next(iter(columns.values())))
    rows = np.zeros(length, dtype=_record({name: values.dtype for name, values in columns.items()}))
    rows["fields"] = len(columns)
    for name, values in columns.items():
        rows[f"length of {name}"] = values.dtype.itemsize
        rows[name] = values
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    # Django hands `copy` to the driver: refusals are made its own here.
    with cursor.db.wrap_database_errors, cursor.copy(statement) as copy:
        copy.write(_HEAD)
        copy.write(rows.tobytes())
        copy.write(_TAIL)


def copy_out(
    cursor: Any, query: str, parameters: Sequence[Any], columns: Mapping[str, str]
) -> dict[str, npt.NDArray[Any]]:
    """Return what a query answers as columns, in its order; `columns` names each with its SQL type (a key of `_SENT`).

    Moments are microseconds since 2000. No column may be NULL: raises ValueError. The server packs many rows into one
    value: with a message a row, as COPY sends them, their reading takes twenty times as long as the query.
    """
    packed = " || ".join(f"{_SENT[kind][0]}({name})" for name, kind in columns.items())
    statement = (
        "COPY (SELECT count(*), string_agg(packed, ''::bytea ORDER BY n) FROM"  # noqa: S608 - names of our own
        f" (SELECT row_number() OVER () AS n, {packed} AS packed FROM ({query}) AS asked) AS rows"
        f" GROUP BY n / {_PACKED} ORDER BY n / {_PACKED}) TO STDOUT (FORMAT BINARY)"
    )
    # The driver's own cursor: Django's, where it notes statements, takes no parameters here.
    with cursor.db.wrap_database_errors, cursor.cursor.copy(statement, parameters) as copy:
        data = b"".join(copy)
    record = np.dtype([(name, f">{_SENT[kind][1]}") for name, kind in columns.items()])
    rows = np.frombuffer(b"".join(_values(data, record.itemsize)), dtype=record)
    return {name: rows[name].astype(_SENT[kind][1]) for name, kind in columns.items()}


def _values(data: bytes, size: int) -> Iterator[bytes]:
    """Yield the packed values of an answer whose rows are a count and a value with so many times `size` bytes."""
    place = len(_HEAD)
    while data[place : place + len(_TAIL)] != _TAIL:
        _, _, count, length = _ROW.unpack_from(data, place)
        if length != count * size:
            raise ValueError("A column that is read is NULL.")
        place += _ROW.size + length
        yield data[place - length : place]
