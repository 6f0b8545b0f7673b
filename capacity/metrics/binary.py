"""PostgreSQL's binary COPY format and numpy arrays: whole blocks at a time, no value by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# PostgreSQL counts microseconds from 2000.
PG_EPOCH_US = 946_684_800_000_000
# Signature, flags, length of the header's extension.
_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TAIL = b"\xff\xff"


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
    """Return what a query answers as columns; `columns` names each with its numpy type. No column may be NULL."""
    statement = f"COPY ({query}) TO STDOUT (FORMAT BINARY)"
    # The driver's own cursor: Django's, where it notes statements, takes no parameters here.
    with cursor.db.wrap_database_errors, cursor.cursor.copy(statement, parameters) as copy:
        data = b"".join(copy)
    kinds = {name: np.dtype(kind) for name, kind in columns.items()}
    rows = np.frombuffer(data[len(_HEAD) : -len(_TAIL)], dtype=_record(kinds))
    return {name: rows[name].astype(kind) for name, kind in kinds.items()}
