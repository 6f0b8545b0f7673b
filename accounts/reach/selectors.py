"""The reads behind the pages and the API of reaching people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from accounts.contacts.hours import reachable_at
from accounts.contacts.proving import numbers_of
from accounts.contacts.selectors import hours_of
from accounts.models import Account, Contact
from accounts.reach.escalation import ANSWERS, Outcome
from accounts.reach.models import Reach, ReachState, ReachStep, ReachTry


@dataclass(frozen=True)
class Row:
    """One person of a reach as its page shows it. `contact` is None once the person is gone from the account."""

    step: ReachStep
    tries: tuple[ReachTry, ...]
    is_current: bool
    contact: Contact | None
    numbers: tuple[str, ...]
    local_time: datetime | None
    is_reachable_now: bool | None
    not_tried: str = ""
    """Why this person was not asked: at once for who is left out, else once it is over; "" for who was asked or may still be."""
    not_answered: str = ""
    """What a try that stayed without a result waited for in vain; "" while it is under way."""

    @property
    def open_try(self) -> ReachTry | None:
        """The newest try, while something can still be said of it."""
        last = self.tries[-1] if self.tries else None
        askable = (Outcome.WAITING, Outcome.VOICEMAIL, Outcome.NO_ANSWER)
        return last if last is not None and last.outcome in askable else None

    @property
    def late_try(self) -> ReachTry | None:
        """The newest try, while nothing but an answer can still be said of it: the number was wrong, or they said no."""
        last = self.tries[-1] if self.tries else None
        is_late = last is not None and last.outcome in (Outcome.WRONG_NUMBER, Outcome.REFUSED)
        return last if is_late else None

    @property
    def answer(self) -> ReachTry | None:
        """The try that this person answered."""
        return next((one for one in self.tries if one.outcome in ANSWERS), None)

    @property
    def after_s(self) -> float | None:
        """Seconds from the asking to the answer."""
        return self.answer.answered_s if self.answer is not None else None


def reaches_of(account: Account) -> QuerySet[Reach]:
    """Return an account's reaches."""
    return Reach.objects.filter(account=account)


def rows_of(reach: Reach, now: datetime) -> list[Row]:
    """Return the people of a reach in their order with their tries and results: three queries, three more to open names."""
    steps = list(reach.steps.select_related("contact").order_by("place"))
    tries: dict[int, list[ReachTry]] = {}
    for one in (
        ReachTry.objects.filter(step__reach=reach)
        .order_by("step__place", "number")
        .prefetch_related("results")
    ):
        tries.setdefault(one.step_id, []).append(one)
    asked = [step for step in steps if step.pk in tries]
    current = asked[-1] if asked and reach.state == ReachState.RUNNING else None
    over = _why_over(reach, steps, tries)
    return [_row(step, tries.get(step.pk, []), step is current, now, over) for step in steps]


def _why_over(reach: Reach, steps: list[ReachStep], tries: dict[int, list[ReachTry]]) -> str:
    """Return what ended it, as the rest of a sentence; "" while it is under way."""
    if reach.state == ReachState.RUNNING or reach.ended_at is None:
        return ""
    at = f"{reach.ended_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if reach.state == ReachState.STOPPED:
        return f"stopped by {reach.stopped_by_name or 'somebody'} at {at}"
    for step in steps:
        if any(one.outcome in ANSWERS for one in tries.get(step.pk, [])):
            return f"{step.contact_name} answered first, at {at}"
    return f"the list was through at {at}"


def _row(step: ReachStep, tries: list[ReachTry], is_current: bool, now: datetime, over: str) -> Row:
    contact = step.contact
    return Row(
        step=step,
        tries=tuple(tries),
        is_current=is_current,
        contact=contact,
        numbers=tuple(numbers_of(contact)) if contact is not None else (),
        local_time=now.astimezone(ZoneInfo(contact.time_zone)) if contact is not None else None,
        is_reachable_now=reachable_at(hours_of(contact), now) if contact is not None else None,
        not_tried=_not_tried(step, tries, over),
        not_answered=f"no result: {over}" if over else "",
    )


def _not_tried(step: ReachStep, tries: list[ReachTry], over: str) -> str:
    if step.left_out:
        return f"not asked: {step.left_out}"
    return f"not tried: {over}" if over and not tries else ""


@dataclass(frozen=True)
class Counts:
    """How many were asked until now, of how many who are asked one after the other, of how many who have the role."""

    asked: int
    to_ask: int
    listed: int


def counts_of(reach: Reach, rows: Sequence[Row]) -> Counts:
    """Return how many of a reach's people (`rows_of`) were asked. Who had no way left when the turn came was not."""
    asked = sum(any(one.mail_digest or one.phone_digest for one in row.tries) for row in rows)
    to_ask = sum(not row.step.left_out for row in rows)
    return Counts(asked, to_ask, len(rows) if reach.listed is None else reach.listed)


def last_test(account: Account) -> Any:
    """Return the newest reach test of an account that came to an end: for the review's facts."""
    over = (ReachState.ANSWERED, ReachState.NOBODY)
    return Reach.objects.filter(account=account, kind="test", state__in=over).order_by("-pk").first()
