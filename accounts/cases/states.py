"""How bad a case is, where it stands, and the moves between. Values in, values out."""

from __future__ import annotations

from django.db import models


class Severity(models.TextChoices):
    """The ranks of a halt (spec of scale-down), worst first. Only the first wakes a customer."""

    SITE_IN_DANGER = "site_in_danger", "site in danger"
    DECIDE_TODAY = "decide_today", "decide today"
    SAFE_WAITING = "safe_waiting", "safe, waiting"


class CaseStatus(models.TextChoices):
    """Whose turn it is, or that it is over."""

    OPEN = "open", "open"
    WAITING_CUSTOMER = "waiting_customer", "waiting for the customer"
    WAITING_PROVIDER = "waiting_provider", "waiting for the provider"
    SOLVED = "solved", "solved"
    CLOSED = "closed", "closed"


LIVE = (CaseStatus.OPEN, CaseStatus.WAITING_CUSTOMER, CaseStatus.WAITING_PROVIDER)
OVER = (CaseStatus.SOLVED, CaseStatus.CLOSED)
MOVES: dict[CaseStatus, frozenset[CaseStatus]] = {
    **{one: frozenset({*LIVE, *OVER} - {one}) for one in LIVE},
    CaseStatus.SOLVED: frozenset({CaseStatus.OPEN, CaseStatus.CLOSED}),
    CaseStatus.CLOSED: frozenset({CaseStatus.OPEN}),
}
RANK = {one: place for place, one in enumerate(Severity)}


def may_move(was: str, to: str) -> bool:
    """Whether a case may go from one status to another."""
    return CaseStatus(to) in MOVES[CaseStatus(was)]


def after_reply(status: str, *, by_customer: bool) -> CaseStatus:
    """Return where a case stands once somebody answered: the customer's word gives it back to the team."""
    now = CaseStatus(status)
    if by_customer and now in {CaseStatus.WAITING_CUSTOMER, CaseStatus.SOLVED}:
        return CaseStatus.OPEN
    return now
