"""What every business row has: a bigint key inside, a random reference outside (URLs, API, logs)."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from datetime import date
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models, transaction
from django.db.models.functions import Coalesce
from django.db.models.sql import Query
from django.db.models.sql.constants import SINGLE

from portal.errors import Refused
from portal.moments import EARLIEST_YEAR, LATEST_YEAR

log = structlog.get_logger(__name__)


class Referenced(models.Model):
    """A row with a public `ref` (UUIDv4). Internal keys never leave the portal."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True


def check_row(row: models.Model) -> None:
    """Ask the model's own rules. Raises Refused with a sentence per field, and none with a constraint's name.

    A model may say what each of its check constraints means: `rule_says = {"ceiling_positive": "…"}`.
    """
    says: list[str] = []
    try:
        row.full_clean(exclude=_known_by_now(row), validate_constraints=False)
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            name = "" if field == "__all__" else f"{field.replace('_', ' ').capitalize()}: "
            says.append(name + " ".join(messages))
    says += _far_off(row)
    if not says:
        known = getattr(row, "rule_says", {})
        says += [known.get(name, _UNFIT) for name in _checks_failed(row)]
        for constraint in row._meta.constraints:
            if isinstance(constraint, models.CheckConstraint):
                continue
            try:
                constraint.validate(row._meta.model, row)
            except ValidationError as error:
                is_plain = isinstance(constraint, models.UniqueConstraint)
                says.append(known.get(constraint.name) or (" ".join(error.messages) if is_plain else _UNFIT))
    if says:
        raise Refused(" ".join(says), code="invalid")


def _far_off(row: models.Model) -> list[str]:
    """Return a sentence for each moment at the edge of the calendar: in another time zone, or a day further, there is none."""
    return [
        f"{field.name.replace('_', ' ').capitalize()}: a year from {EARLIEST_YEAR + 1} to {LATEST_YEAR - 1}."
        for field in row._meta.concrete_fields
        if isinstance(field, models.DateField)
        and isinstance(at := getattr(row, field.attname), date)
        and not EARLIEST_YEAR < at.year < LATEST_YEAR
    ]


def _known_by_now(row: models.Model) -> set[str]:
    """Return the fields that need no question: a new row's random reference, and keys of rows that were just read.

    Were one of them wrong after all, the database's own constraints would refuse the row.
    """
    known = {"ref"} if isinstance(row, Referenced) and row._state.adding else set()
    for field in row._meta.concrete_fields:
        if isinstance(field, models.ForeignKey) and not field.unique and field.is_cached(row):
            other: Any = field.get_cached_value(row)
            if other is not None and not other._state.adding and not field.get_limit_choices_to():
                known.add(field.name)
    return known


def _checks_failed(row: models.Model) -> list[str]:
    """Return the names of the check constraints that the row breaks, asked of the database in one query.

    `CheckConstraint.validate()` asks the same, one query and one savepoint for each. Unknown passes, as in SQL.
    """
    checks = [one for one in row._meta.constraints if isinstance(one, models.CheckConstraint)]
    if not checks:
        return []
    asked = Query(None)
    values = row._get_field_expression_map(meta=row._meta)  # type: ignore[attr-defined]
    for name, value in values.items():
        given = value if hasattr(value, "resolve_expression") else models.Value(value)
        asked.add_annotation(given, name, select=False)
    for number, check in enumerate(checks):
        holds = Coalesce(
            models.ExpressionWrapper(models.Q(check.condition), output_field=models.BooleanField()),
            True,
            output_field=models.BooleanField(),
        )
        asked.add_annotation(holds, f"_check_{number}")
    connection = connections[DEFAULT_DB_ALIAS]
    # A question that fails must not take the transaction at hand with it.
    guard = transaction.atomic() if connection.in_atomic_block else nullcontext()
    try:
        with guard:
            answer = asked.get_compiler(using=DEFAULT_DB_ALIAS).execute_sql(SINGLE)
    except DatabaseError as error:
        # The row itself is asked of the same constraints when it is written.
        log.warning("checks_not_asked", model=row._meta.label, error=type(error).__name__)
        return []
    return [check.name for check, holds in zip(checks, answer, strict=True) if not holds]


_UNFIT = "Something in it is outside of what can be kept, or does not fit the rest. Nothing was changed."
