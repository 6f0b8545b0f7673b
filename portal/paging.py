"""Keyset pages for pages and API: fast and stable on millions of rows, forwards and backwards.

Rows are ordered by one field and then by id, nulls last. The cursor holds the last row's two values, is
signed, and is bound to order and filter: a cursor of another list is refused instead of showing nonsense.

    page = keyset(rows, request.GET, order="-id", filters={"status": "open"})
    page.rows, page.next_url, page.previous_url
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django.core import signing
from django.db.models import F, Model, Q, QuerySet

from portal.errors import Refused

Row = TypeVar("Row", bound=Model)
DEFAULT_LIMIT = 25
MAX_LIMIT = 200
_SALT = "portal.paging"


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of rows in their order. The cursors are None at the ends; the URLs are relative ("?…")."""

    rows: list[Row]
    next_cursor: str | None
    previous_cursor: str | None
    next_url: str | None
    previous_url: str | None
    summary: str = ""


def _pack(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"t": value.isoformat()}
    if isinstance(value, UUID | Decimal):
        return {"s": str(value)}
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        return datetime.fromisoformat(value["t"]) if "t" in value else value["s"]
    return value


def _bound_to(order: str, filters: Mapping[str, Any]) -> str:
    text = json.dumps([order, {key: str(value) for key, value in sorted(filters.items())}])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _beyond(field: str, descending: bool, value: Any, pk: int) -> Q:
    """Return the rows that come after (value, pk) when ordered by field, then id, nulls last."""
    after = "lt" if descending else "gt"
    if field in {"id", "pk"}:
        return Q(**{f"pk__{after}": pk})
    if value is None:
        return Q(**{f"{field}__isnull": True, f"pk__{after}": pk})
    same = Q(**{field: value, f"pk__{after}": pk})
    return Q(**{f"{field}__{after}": value}) | same | Q(**{f"{field}__isnull": True})


def _before(field: str, descending: bool, value: Any, pk: int) -> Q:
    """Return the rows that come before (value, pk) in the same order."""
    before = "gt" if descending else "lt"
    if field in {"id", "pk"}:
        return Q(**{f"pk__{before}": pk})
    if value is None:
        return Q(**{f"{field}__isnull": False}) | Q(**{f"{field}__isnull": True, f"pk__{before}": pk})
    return Q(**{f"{field}__{before}": value}) | Q(**{field: value, f"pk__{before}": pk})


def limit_of(params: Mapping[str, str]) -> int:
    """Return the page length asked for; Refused for one that is no number from 1 to 200."""
    text = params.get("limit", "")
    if not text:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or len(text) > 6 or not 1 <= int(text) <= MAX_LIMIT:
        raise Refused(f"`limit` is a number from 1 to {MAX_LIMIT}.", code="bad_limit")
    return int(text)


def keyset(
    rows: QuerySet[Row], params: Mapping[str, str], *, order: str, filters: Mapping[str, Any] | None = None
) -> Page[Row]:
    """Return the page that `params` (`cursor`, `limit`) ask for, in one query.

    `order` is a field name, with "-" for descending; `filters` are what the caller filtered by, so that
    a cursor is only good for the same list. Raises Refused for a cursor that is not ours or of another list.
    """
    limit = limit_of(params)
    field, descending = order.lstrip("-"), order.startswith("-")
    bound = _bound_to(order, filters or {})
    backwards, position = False, None
    if cursor := params.get("cursor", ""):
        try:
            held = signing.loads(cursor, salt=_SALT)
        except signing.BadSignature:
            raise Refused(
                "This cursor is not one of ours. Start from the first page.", code="bad_cursor"
            ) from None
        if held["b"] != bound:
            raise Refused("This cursor is of another list. Start from the first page.", code="bad_cursor")
        backwards, position = held["d"] == "p", (_unpack(held["v"]), held["k"])
    found = rows
    if position is not None:
        found = found.filter((_before if backwards else _beyond)(field, descending, *position))
    first = F(field)
    ordering: list[Any]
    if descending != backwards:
        ordering = [first.desc(nulls_first=True) if backwards else first.desc(nulls_last=True), "-pk"]
    else:
        ordering = [first.asc(nulls_first=True) if backwards else first.asc(nulls_last=True), "pk"]
    if field in {"id", "pk"}:
        ordering = ordering[1:]
    got = list(found.order_by(*ordering)[: limit + 1])
    more = len(got) > limit
    got = got[:limit]
    if backwards:
        got.reverse()

    def cursor_at(row: Row, direction: str) -> str:
        held = {"b": bound, "d": direction, "v": _pack(getattr(row, field)), "k": row.pk}
        return signing.dumps(held, salt=_SALT, compress=True)

    has_next = bool(got) and (more or backwards)
    has_previous = bool(got) and (more if backwards else position is not None)
    after = cursor_at(got[-1], "n") if has_next else None
    before = cursor_at(got[0], "p") if has_previous else None
    return Page(got, after, before, _url(params, after), _url(params, before))


def _url(params: Mapping[str, str], cursor: str | None) -> str | None:
    if cursor is None:
        return None
    kept = {key: value for key, value in params.items() if key != "cursor"}
    return "?" + urlencode({**kept, "cursor": cursor})
