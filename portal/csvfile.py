"""Lists as CSV: RFC 4180, streamed in slices, and safe to open in a spreadsheet.

    return csv_response("accounts", HEADER, cells, rows, order="name", may_read_on=self.reads_on())

A page's list and its CSV are the same queryset. Whoever hands out personal data asks for the right and the
reason, and puts the export on record, before calling this.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from typing import Any, TypeVar
from urllib.parse import quote

from django.db.models import Max, Model, QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from portal.access import in_database
from portal.paging import MAX_LIMIT, keyset

Row = TypeVar("Row", bound=Model)
# A spreadsheet runs a cell that begins like this; a plain number or phone number does no harm.
_RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")
# What some programs drop before they look: blanks, quotes, and what cannot be seen.
_DROPPED = " '\"\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u3000\ufeff"
# An import that meets this line refuses the file.
NOT_WHOLE = "The right to read this ended here: the file is not whole."
# Of no file's name: control and formatting characters (they can turn a name around), and what separates or is quoted.
_NOT_IN_NAME = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff/\\:*?\"<>|%]+"
)
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def cell(value: Any) -> str:
    """Return one value as a cell: nothing for None, lists joined, times in UTC, and never a formula."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return value.isoformat()
        case int() | float() | Decimal():
            # A number is no formula, whatever its sign and exponent.
            return str(value)
        case list() | tuple():
            return cell(", ".join(str(item) for item in value))
    text = str(value).replace("\x00", "")
    if text.lstrip(_DROPPED).startswith(_RUNS) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def unguarded(text: str) -> str:
    """Return a cell's text without the apostrophe that `cell` put before it; any other text as it is."""
    return text[1:] if text.startswith("'") and cell(text[1:]) == text else text


def lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows of values as lines of CSV (CRLF, quoted where needed) in UTF-8."""
    out = StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return out.getvalue().encode()


def attachment(name: str) -> str:
    """Return the Content-Disposition of a download, whatever somebody typed into its name (RFC 6266, RFC 8187).

    `filename` is the name in plain ASCII, the same for the same name; `filename*` the whole of it, where that differs,
    without what a file system takes for something else.
    """
    whole = " ".join(_NOT_IN_NAME.sub("-", name).split())[:150].strip(" .-") or "file"
    ascii_only = unicodedata.normalize("NFKD", whole).encode("ascii", "ignore").decode()
    plain = _NOT_PLAIN.sub("-", ascii_only).strip("-") or "file"
    if plain.startswith("."):
        plain = f"file{plain}"
    found = f'attachment; filename="{plain}"'
    return found if plain == whole else f"{found}; filename*=UTF-8''{quote(whole, safe='')}"


def csv_response(
    name: str,
    header: Sequence[str],
    cells: Callable[[Any], Sequence[Any]],
    rows: QuerySet[Row],
    *,
    order: str,
    may_read_on: Callable[[], bool],
) -> StreamingHttpResponse:
    """Return `rows` as a file `name-DATE.csv`, slice by slice, as `streamed` does."""
    return streamed(
        f"{name}-{timezone.now():%Y-%m-%d}.csv",
        "text/csv; charset=utf-8; header=present",
        rows,
        order=order,
        may_read_on=may_read_on,
        head=lines([header]),
        torn=lines([[NOT_WHOLE]]),
        part=lambda found: lines([cells(row) for row in found]),
    )


def streamed(
    filename: str,
    content_type: str,
    rows: QuerySet[Row],
    *,
    order: str,
    part: Callable[[Sequence[Any]], bytes],
    may_read_on: Callable[[], bool],
    head: bytes = b"",
    torn: bytes = b"",
) -> StreamingHttpResponse:
    """Return `rows` as a file, slice by slice: `head`, then what `part` makes of each slice of rows.

    Each slice is one short query of its own, so no database connection is held while a slow reader reads,
    and memory does not grow with the list. `may_read_on` (the view's `reads_on()`) is asked before each: whoever loses
    the right or the session gets `torn` and no more. Rows that were added after this was called are not in it.
    """
    last = rows.model._default_manager.aggregate(last=Max("pk"))["last"] or 0
    rows = rows.filter(pk__lte=last)

    def slice_at(cursor: str) -> tuple[bytes, str | None]:
        if not may_read_on():
            return torn, None
        found = keyset(rows, {"limit": str(MAX_LIMIT), "cursor": cursor}, order=order)
        return part(found.rows) if found.rows else b"", found.next_cursor

    async def body() -> AsyncGenerator[bytes, None]:
        if head:
            yield head
        cursor: str | None = ""
        while cursor is not None:
            found, cursor = await in_database(slice_at, cursor)
            if found:
                yield found

    response = StreamingHttpResponse(body(), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Cache-Control"] = "private, no-store"
    return response
