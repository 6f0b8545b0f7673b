"""Narrowing the audit: by kind, person, thing, time and a word. The same for page, API and download."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Q, QuerySet

from portal.audit.models import AuditEntry
from portal.audit.words import WHAT
from portal.errors import Refused
from portal.moments import moment_of

NAMES = ("what", "actor", "subject", "from", "to", "q")


@dataclass(frozen=True)
class AuditFilter:
    """What is asked for; empty fields ask for everything. Times are aware; `to` is the first moment after."""

    what: str = ""
    """One kind (`contact.changed`) or all of a thing (`contact`)."""
    actor: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
    q: str = ""
    """A part of the kind, as written or in words: "changed", "contact confirmed"."""

    def rows(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Return those of `rows` that are asked for."""
        if self.what:
            rows = rows.filter(Q(what=self.what) | Q(what__startswith=f"{self.what}."))
        if self.actor:
            rows = rows.filter(actor_ref=self.actor)
        if self.subject:
            rows = rows.filter(subject_ref=self.subject)
        if self.since is not None:
            rows = rows.filter(at__gte=self.since)
        if self.until is not None:
            rows = rows.filter(at__lt=self.until)
        if self.q:
            in_words = [kind for kind, words in WHAT.items() if self.q in words.lower()]
            rows = rows.filter(Q(what__contains=self.q.replace(" ", "_")) | Q(what__in=in_words))
        return rows

    def named(self) -> dict[str, str]:
        """Return what is asked for, by name: for cursors, links and the record of a download."""
        found = {
            "what": self.what,
            "actor": self.actor,
            "subject": self.subject,
            "from": self.since.isoformat() if self.since else "",
            "to": self.until.isoformat() if self.until else "",
            "q": self.q,
        }
        return {name: value for name, value in found.items() if value}


def filter_of(params: Mapping[str, str]) -> AuditFilter:
    """Return the filter that `params` (`what`, `actor`, `subject`, `from`, `to`, `q`) ask for.

    `from` and `to` are dates (whole days in UTC, `to` included) or times with their zone. Raises Refused.
    """
    actor = params.get("actor", "").strip()
    if actor:
        try:
            actor = str(uuid.UUID(actor))
        except ValueError:
            raise Refused("`actor` is the reference of a user.", code="bad_filter") from None
    return AuditFilter(
        what=params.get("what", "").strip()[:60],
        actor=actor,
        subject=params.get("subject", "").strip()[:64],
        since=_moment(params.get("from", ""), "from", is_end=False),
        until=_moment(params.get("to", ""), "to", is_end=True),
        q=params.get("q", "").strip().lower()[:60],
    )


def _moment(text: str, name: str, *, is_end: bool) -> datetime | None:
    text = text.strip()
    if not text:
        return None
    try:
        if len(text) == 10:
            day = datetime.combine(date.fromisoformat(text), time(), UTC)
            return day + timedelta(days=1) if is_end else day
        found = moment_of(text)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise Refused(
            f"`{name}` is a day like 2026-11-23, or a time with its zone like 2026-11-23T12:00:00Z.",
            code="bad_filter",
        )
    return found
