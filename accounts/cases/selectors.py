"""The reads behind pages and API of cases."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db.models import Case, Count, F, Q, QuerySet, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from accounts.cases.models import CaseAttachment, CaseEntry, SupportCase
from accounts.cases.states import LIVE, CaseStatus, Severity
from accounts.contacts.selectors import Callee, call_order
from accounts.models import Account, ContactRole
from portal.access import Permission, visible_to
from portal.audit.subjects import open_values

FILTERS = {"status": ["live", *CaseStatus.values], "severity": list(Severity.values)}
ORDERS = ("-id", "rank", "-updated_at")
LONGEST_CELL = 2000
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")
MOST_SHOWN = 200
SHARE_OF_PAGE = 4


def open_cases_of(account: Account) -> list[SupportCase]:
    """Return an account's cases that are not over, the worst first, then the oldest. One query, one more for names."""
    rows = SupportCase.objects.filter(account=account, status__in=LIVE)
    return list(rows.order_by("rank", "pk"))


def cases_of(account: Account, *, status: str = "", severity: str = "") -> QuerySet[SupportCase]:
    """Return an account's cases; `status` may be "live"."""
    rows: QuerySet[SupportCase] = SupportCase.objects.filter(account=account)
    if status == "live":
        rows = rows.filter(status__in=LIVE)
    elif status:
        rows = rows.filter(status=status)
    return rows.filter(severity=severity) if severity else rows


def open_cases_for(user: Any, *, limit: int) -> list[SupportCase]:
    """Return the live cases of all accounts that a user sees, the worst first, of one rank the newest; one query.

    Where several accounts have some, the worst `SHARE_OF_PAGE` of each come before the others, so that nobody fills the
    page of all. Each row carries `of_account`, how many its account has, and `of_all`.
    """
    rows = visible_to(user, SupportCase.objects.all(), Permission.CASE_VIEW).filter(status__in=LIVE)
    worst = [F("rank").asc(), F("pk").desc()]
    rows = rows.annotate(
        place=Window(RowNumber(), partition_by=[F("account")], order_by=worst),
        of_account=Window(Count("pk"), partition_by=[F("account")]),
        of_all=Window(Count("pk")),
    )
    is_over_share = Case(When(place__lte=SHARE_OF_PAGE, then=0), default=1)
    return list(rows.select_related("account").order_by(is_over_share, *worst)[:limit])


def not_shown(cases: Sequence[SupportCase]) -> tuple[int, list[tuple[Account, int]]]:
    """Return how many live cases a cut list of `open_cases_for` leaves out, and of which accounts shown how many."""
    here = Counter(case.account_id for case in cases)
    rows: dict[int, Any] = {case.account_id: case for case in cases}
    of = [(row.account, row.of_account - here[pk]) for pk, row in rows.items() if row.of_account > here[pk]]
    every: Any = cases[0] if cases else None
    return (every.of_all - len(cases) if every is not None else 0), of


def to_call(case: SupportCase) -> list[Callee]:
    """Return the emergency contacts whom no mail reaches, in the order of call, while a site is in danger; else nobody."""
    if case.severity != Severity.SITE_IN_DANGER or case.is_over:
        return []
    called = call_order(case.account, ContactRole.EMERGENCY, timezone.now())
    return [one for one in called if one.phone and not one.email and one.can_be_called]


def thread(case: SupportCase) -> list[CaseEntry]:
    """Return who was told of a case, and the newest 200 things that were said on it, oldest first. The API has all."""
    newest = case.entries.exclude(kind="told").order_by("-pk").values("pk")[:MOST_SHOWN]
    shown = Q(kind="told") | Q(pk__in=newest)
    return list(case.entries.filter(shown).select_related("by").order_by("pk"))


def shown(attachment: CaseAttachment) -> Any:
    """Return what was frozen, with people by name or as erased."""
    return open_values([json.loads(attachment.content)])[0]


def as_rows(value: Any, name: str = "", depth: int = 0) -> list[tuple[str, str]]:
    """Return a frozen value as lines of (where, what), to be read as a table."""
    if isinstance(value, dict) and value and depth < 6:
        return [
            row
            for key, item in value.items()
            for row in as_rows(item, f"{name} › {_name(key)}" if name else _name(key), depth + 1)
        ]
    if isinstance(value, list) and value and depth < 6:
        if all(not isinstance(item, dict | list) for item in value):
            return [(name, ", ".join(_word(item) for item in value)[:LONGEST_CELL])]
        return [
            row
            for place, item in enumerate(value, start=1)
            for row in as_rows(item, f"{name} {place}".strip(), depth + 1)
        ]
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False) if value else "none"
    return [(name, _word(value)[:LONGEST_CELL])]


def _name(key: Any) -> str:
    return str(key).replace("_", " ")


def _word(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    found = _MOMENT.fullmatch(text)
    return f"{found.group(1)} {found.group(2)} UTC" if found else text or "none"


def as_table(value: Any) -> tuple[list[str], list[list[tuple[str, str]]]] | None:
    """Return a list of like objects (a journal) as columns, and rows of (column, cell); None for anything else."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return None
    flat = [key for key in value[0] if not isinstance(value[0][key], dict | list)]
    nested = [key for key in value[0] if key not in flat]
    columns = [_name(key) for key in (*flat, *nested)]
    rows = []
    for item in value:
        cells = [_flat(item[key]) if key in item else "" for key in (*flat, *nested)]
        # What was left out of too long a list says so in a row of its own.
        other = {key: item[key] for key in item if key not in value[0]}
        if other:
            cells[0] = "; ".join([part for part in (cells[0], _flat(other)) if part])
        rows.append(list(zip(columns, cells, strict=True)))
    return columns, rows


def _flat(value: Any) -> str:
    if not isinstance(value, dict | list):
        return _word(value)[:LONGEST_CELL]
    return "; ".join(f"{name}: {said}" if name else said for name, said in as_rows(value))[:LONGEST_CELL]
