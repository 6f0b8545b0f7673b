"""Keyset pages for pages and API: fast and stable on millions of rows, forwards and backwards.

Rows are ordered by one field and then by id, nulls last. The cursor holds the values of the row at the page's
edge, so it costs the thousandth page what it costs the first, and rows that come or go meanwhile neither
double nor hide others. It is encrypted (the values may be a person's name, and addresses end in logs), ends
after a week, and is bound to viewer, address, order and filters: one of another list, or of somebody else, is refused
instead of showing nonsense.

    page = keyset(rows, request, order="-id", filters={"status": "open"})
    page.rows, page.next_url, page.previous_url
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model, Q, QuerySet
from django.db.models.fields.tuple_lookups import (
    Tuple,
    TupleGreaterThan,
    TupleGreaterThanOrEqual,
    TupleLessThan,
    TupleLessThanOrEqual,
)

from portal.errors import Malformed, Refused

Row = TypeVar("Row", bound=Model)
DEFAULT_LIMIT = 25
MAX_LIMIT = 200
CURSOR_LASTS = timedelta(days=7)
MAX_CURSOR_LENGTH = 4000
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


class Asked(Protocol):
    """What of a request a page rests on; Django's and the REST framework's have it."""

    @property
    def GET(self) -> Any:  # noqa: N802 - Django's name
        """The query string's parameters."""

    @property
    def user(self) -> Any:
        """Who asks."""

    @property
    def path(self) -> str:
        """The address of the list."""


@dataclass(frozen=True)
class _Edge:
    """Where a page begins: after the row with these values (before it if `backwards`), or at it."""

    value: Any
    pk: int
    backwards: bool
    inclusive: bool = False


# --- the cursor ---------------------------------------------------------------------------------------------

_KINDS: Mapping[str, Any] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "uuid": UUID,
    "decimal": Decimal,
}


def _pack(value: Any) -> Any:
    match value:
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case time():
            return {"time": value.isoformat()}
        case UUID():
            return {"uuid": str(value)}
        case Decimal():
            return {"decimal": str(value)}
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        (kind, text) = next(iter(value.items()))
        return _KINDS[kind](text)
    return value


def _box() -> MultiFernet:
    """Return what closes and opens cursors: a key of their own, made of the secret key and its forerunners."""
    return _box_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=2)
def _box_of(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"{_SALT}:{key}".encode()).digest())) for key in keys]
    )


def _bound_to(order: str, filters: Mapping[str, Any], scope: tuple[str, ...]) -> str:
    text = json.dumps([order, {key: str(value) for key, value in sorted(filters.items())}, scope])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _seal(bound: str, edge: _Edge) -> str:
    held = [bound, int(edge.backwards), int(edge.inclusive), edge.pk, _pack(edge.value)]
    return _box().encrypt(json.dumps(held, separators=(",", ":")).encode()).decode().rstrip("=")


def _open(cursor: str, bound: str) -> _Edge:
    """Return where a cursor points; Malformed (400) for one that is forged, too old, or of another list."""
    lasts = int(CURSOR_LASTS.total_seconds())
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        if len(cursor) > MAX_CURSOR_LENGTH or not cursor.isascii():
            raise InvalidToken
        held = json.loads(_box().decrypt(padded.encode(), ttl=lasts))
    except InvalidToken:
        raise Malformed(
            "This cursor is not one of ours, or is older than a week. Start from the first page.",
            code="bad_cursor",
        ) from None
    if held[0] != bound:
        raise Malformed(
            "This cursor is of another list or of other filters. Start from the first page.",
            code="bad_cursor",
        )
    return _Edge(_unpack(held[4]), held[3], bool(held[1]), bool(held[2]))


# --- the rows -----------------------------------------------------------------------------------------------


def limit_of(params: Mapping[str, str]) -> int:
    """Return the page length asked for; Refused for one that is no number from 1 to 200."""
    text = params.get("limit", "")
    if not text:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or len(text) > 6 or not 1 <= int(text) <= MAX_LIMIT:
        raise Refused(f"`limit` is a number from 1 to {MAX_LIMIT}.", code="bad_limit")
    return int(text)


def _may_be_null(model: type[Model], path: str) -> bool:
    """Whether an order field can be null. What is no field (an annotation) can."""
    here: Any = model
    for part in path.split("__"):
        try:
            field = here._meta.get_field(part)
        except FieldDoesNotExist:
            return True
        if getattr(field, "null", False):
            return True
        here = field.related_model
    return False


def _value(row: Any, path: str) -> Any:
    for part in path.split("__"):
        row = getattr(row, part)
    return row


def _from(edge: _Edge, field: str, *, down: bool) -> Any:
    """Return the condition that a row of the edge's own part lies on its far side."""
    if field in {"id", "pk"} or edge.value is None:
        return Q(**{f"pk__{'lt' if down else 'gt'}{'e' if edge.inclusive else ''}": edge.pk})
    # As one comparison of rows it is a range of an index; as "greater, or equal with a greater id" it is not.
    return _COMPARE[down, edge.inclusive](Tuple(F(field), F("pk")), (edge.value, edge.pk))


_COMPARE: Mapping[tuple[bool, bool], Any] = {
    (True, False): TupleLessThan,
    (True, True): TupleLessThanOrEqual,
    (False, False): TupleGreaterThan,
    (False, True): TupleGreaterThanOrEqual,
}


def _take(
    rows: QuerySet[Row], field: str, *, down: bool, edge: _Edge | None, count: int, late: bool = False
) -> list[Row]:
    """Return up to `count` rows from `edge` on, in the direction in which it looks (`down` by the values).

    Rows with a value and those without one are asked for apart, so that each part is one range of an
    index. That takes one query, or two where the field can be null and the first part gave too few.
    """
    sign = "-" if down else ""
    if field in {"id", "pk"}:
        found = (rows if edge is None else rows.filter(_from(edge, field, down=down))).order_by(f"{sign}pk")
        if late:
            return list(rows.filter(pk__in=found.values("pk")[:count]).order_by(f"{sign}pk"))
        return list(found[:count])
    backwards = edge is not None and edge.backwards
    can_be_null = _may_be_null(rows.model, field)
    parts = ([True, False] if backwards else [False, True]) if can_be_null else [False]
    if edge is not None and can_be_null:
        parts = parts[parts.index(edge.value is None) :]
    got: list[Row] = []
    for is_null in parts:
        part = rows.filter(**{f"{field}__isnull": is_null}) if can_be_null else rows
        if edge is not None and (edge.value is None) is is_null:
            part = part.filter(_from(edge, field, down=down))
        order = (f"{sign}pk",) if is_null else (f"{sign}{field}", f"{sign}pk")
        got += list(part.order_by(*order)[: count - len(got)])
        if len(got) >= count:
            break
    return got


def keyset(
    rows: QuerySet[Row],
    asked: Asked | Mapping[str, str],
    *,
    order: str,
    filters: Mapping[str, Any] | None = None,
    late: bool = False,
) -> Page[Row]:
    """Return the page that the query string of `asked` (`cursor`, `limit`) asks for, in one query or two.

    `order` is a field name that `rows` can be ordered by, with "-" for descending; a path like
    `team__name` needs select_related. A second query comes only where that field can be null. A cursor is
    good for the same viewer, address and query string only (a bare mapping has neither viewer nor
    address), and for the same `filters`: those that do not stand in the query string. With `late`, rows ordered
    by id are first looked for by key alone: where an index holds all that they are narrowed by, only those of the
    page are read, however rare they are. Raises Malformed (400) for a cursor that is forged, a week old or of
    another list, Refused for a bad `limit`.
    """
    params, scope = _asked(asked)
    limit = limit_of(params)
    field, descending = order.removeprefix("-"), order.startswith("-")
    named = {f"?{key}": value for key, value in params.items() if key not in _NOT_BOUND and value}
    bound = _bound_to(order, {**named, **(filters or {})}, (rows.model._meta.label_lower, *scope))
    edge = _open(params["cursor"], bound) if params.get("cursor") else None
    backwards = edge is not None and edge.backwards
    got = _take(rows, field, down=descending != backwards, edge=edge, count=limit + 1, late=late)
    more = len(got) > limit
    got = got[:limit]
    if backwards:
        got.reverse()
    has_next, has_previous = (True, more) if backwards else (more, edge is not None)
    after = before = None
    if got:
        after = _Edge(_value(got[-1], field), got[-1].pk, backwards=False) if has_next else None
        before = _Edge(_value(got[0], field), got[0].pk, backwards=True) if has_previous else None
    elif edge is not None:
        # Everything on this side went away meanwhile: the way back begins with the row that was the edge.
        back = replace(edge, backwards=not edge.backwards, inclusive=True)
        after, before = (back, None) if backwards else (None, back)
    next_cursor = _seal(bound, after) if after else None
    previous_cursor = _seal(bound, before) if before else None
    return Page(got, next_cursor, previous_cursor, _url(params, next_cursor), _url(params, previous_cursor))


_NOT_BOUND = frozenset({"cursor", "limit", "fields"})


def _asked(asked: Asked | Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the query string's parameters, and who asks at which address."""
    if isinstance(asked, Mapping):
        return dict(asked), ()
    return asked.GET.dict(), (str(getattr(asked.user, "ref", "")), asked.path)


def _url(params: Mapping[str, str], cursor: str | None) -> str | None:
    if cursor is None:
        return None
    kept = {key: value for key, value in params.items() if key != "cursor"}
    return "?" + urlencode({**kept, "cursor": cursor})
