"""Queries that are asked all the time: Django writes their SQL once, and after that only their values differ.

    _ROLES = Compiled(lambda user, account: Membership.objects.filter(user=user, …).values_list("role"), int, int)
    rows = _ROLES.rows(user.pk, account.pk)

Writing the SQL of one query takes Django longer than PostgreSQL takes to answer it, and planning it PostgreSQL longer than
carrying it out (`portal.prepared`). What is answered is as fresh as ever: nothing but text and plan are kept.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import Model, QuerySet, Subquery

from portal.prepared import preparing

Row = TypeVar("Row", bound=Model)

# Values that stand in for the real ones while the SQL is written, one after the other of each type.
_MARKS: dict[type, Callable[[int], Any]] = {
    int: lambda n: 9_100_000_000_000_000_000 + n,
    str: lambda n: f"\ue000mark {n}\ue000",
    uuid.UUID: lambda n: uuid.UUID(int=(0x5EAD << 112) + n),
    date: lambda n: date(1701, 1, 1) + timedelta(days=n),
    datetime: lambda n: datetime(1702, 1, 1, tzinfo=UTC) + timedelta(days=n),
}


class Compiled(Generic[Row]):
    """One query, made by `make` from values of these types: int (a key), str, UUID, date or datetime.

    `make` sees made-up values, once, so it must not look at them: the same query for all. Raises
    ImproperlyConfigured at the first use for a query in which a value shows nowhere.
    """

    def __init__(self, make: Callable[..., QuerySet[Row, Any]], *types: type) -> None:
        self._make = make
        self._types = types
        self._lock = threading.Lock()
        self._sql = ""
        self._params: list[tuple[int | None, Any]] = []
        """For each parameter which value stands there, or None and what always stands there."""
        self._model: type[Row]
        self._is_plain = False

    def rows(self, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a `values_list()`, as the database has them: for columns that Django converts use `instances`."""
        params = self._filled(values)
        if not self._is_plain:
            raise ImproperlyConfigured(f"The rows of {self._sql!r} are not what the database has.")
        with preparing(), connection.cursor() as cursor:
            cursor.execute(self._sql, params)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def instances(self, *values: Any) -> list[Row]:
        """Return model instances; of a query without `select_related`. An annotation comes as the database has it."""
        params = self._filled(values)
        with preparing():
            return list(self._model._default_manager.raw(self._sql, params))

    def _filled(self, values: tuple[Any, ...]) -> list[Any]:
        if len(values) != len(self._types):
            raise TypeError(f"{len(self._types)} values are needed, not {len(values)}.")
        for value, kind in zip(values, self._types, strict=True):
            # A None would need IS NULL, which is another query.
            if not isinstance(value, kind):
                raise TypeError(f"{value!r} is no {kind.__name__}.")
        if not self._sql:
            with self._lock:
                if not self._sql:
                    self._write()
        return [fixed if at is None else _as_django_sends(fixed, values[at]) for at, fixed in self._params]

    def _write(self) -> None:
        marks = [_MARKS[kind](number) for number, kind in enumerate(self._types)]
        query = self._make(*marks)
        sql, params = query.query.sql_with_params()
        self._params = [(_place(marks, param), param) for param in params]
        if set(range(len(marks))) - {at for at, _ in self._params}:
            raise ImproperlyConfigured(f"Not all of its values stand in {sql!r}.")
        if any(at is None and _is_of_a_mark(param) for at, param in self._params):
            # Of what is worked out from a value the next one would be another: it must be a value itself.
            raise ImproperlyConfigured(f"Something worked out from one of its values stands in {sql!r}.")
        compiler = query.query.get_compiler(connection=connection)
        compiler.setup_query()
        self._is_plain = bool(query.query.values_select) and not compiler.get_converters(
            _column(expression) for expression, _, _ in compiler.select
        )
        self._model = query.model
        self._sql = sql


def _column(expression: Any) -> Any:
    """Return the column that a subquery of one column gives, as the database has it; else the expression itself."""
    is_one = isinstance(expression, Subquery) and len(expression.query.select) == 1
    return expression.query.select[0] if is_one else expression


def _place(marks: list[Any], param: Any) -> int | None:
    return next(
        (at for at, mark in enumerate(marks) if isinstance(param, type(mark)) and param == mark), None
    )


def _is_of_a_mark(param: Any) -> bool:
    """Whether a parameter is what only a made-up value can have come to: a date around theirs, a number beyond all keys."""
    match param:
        case date():
            return 1700 <= param.year <= 1703
        case bool():
            return False
        case int():
            return param > 9_000_000_000_000_000_000
        case str():
            return "\ue000" in param
    return False


def _as_django_sends(mark: Any, value: Any) -> Any:
    # Numbers go out as psycopg's Int8 and the like, so that PostgreSQL need not guess.
    return type(mark)(value) if isinstance(mark, int) else value
