"""The reads behind reviews, scorecard and Monday list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, QuerySet

from accounts.contacts.proving import standings
from accounts.contacts.selectors import STALE_AFTER
from accounts.facts import (
    Fact,
    Finding,
    ask,
    ask_one,
    counted,
    fact_of,
    facts,
    last_day,
    risk_of,
    worst_of,
)
from accounts.models import Account, AccountStatus, Contact
from accounts.reviews.content import Answered, answered, fingerprint, is_over, with_end
from accounts.reviews.grades import Grade
from accounts.reviews.models import (
    ActionItem,
    ActionState,
    Review,
    ReviewItem,
    ReviewSchedule,
    ReviewSignature,
    ReviewSnapshot,
    Standing,
    StandingLook,
)
from portal.access import Permission, visible_to

FIRST_SHOWN = 5


# --- scorecard ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One fact of a scorecard with what was found, and the one thing to do about it."""

    fact: Fact
    finding: Finding
    url: str

    @property
    def key(self) -> str:
        """The fact's name."""
        return self.fact.key

    @property
    def holds_until(self) -> date | None:
        """The last day on which its evidence holds."""
        return last_day(self.finding.expires_at) if self.finding.expires_at else None


@dataclass(frozen=True)
class Scorecard:
    """How one account stands: each line with its rule, the worst first, and how many stand how. No figure alone."""

    lines: tuple[Line, ...]
    counts: Mapping[str, int]
    worst: Grade
    looked_at: datetime


def scorecard_of(account: Account, now: datetime) -> Scorecard:
    """Return an account's scorecard from a fresh look, heavy facts as last looked at: a constant number of queries."""
    light = {fact.key for fact in facts() if not fact.is_heavy}
    found = ask_one(account, now, keys=light) | as_last_looked(account)
    lines = [Line(fact, found[fact.key], fact.act.url_of(account)) for fact in facts() if fact.key in found]
    lines.sort(key=lambda line: (-risk_of(line.fact, line.finding), line.fact.order))
    return Scorecard(tuple(lines), counted(found), worst_of(list(found.values())), now)


def as_last_looked(account: Account) -> dict[str, Finding]:
    """Return the heavy facts of an account as they stood when all accounts were last looked at; two queries."""
    heavy = [fact.key for fact in facts() if fact.is_heavy]
    rows = {row.key: row for row in Standing.objects.filter(account=account, key__in=heavy)}
    at = last_look()
    found = {}
    for key in heavy:
        row = rows.get(key)
        if row is not None:
            found[key] = Finding(Grade(row.grade), row.says, row.rule, at or row.observed_at, row.expires_at)
        elif at is not None and at >= account.created_at:
            found[key] = Finding(
                Grade.GREEN, "Nothing was amiss at the last look.", "Looked at every five minutes.", at
            )
        else:
            found[key] = Finding(Grade.UNKNOWN, "It was not looked at yet.", "Unknown is never green.")
    return found


# --- reviews -----------------------------------------------------------------------------------------------


def reviews_of(account: Account) -> QuerySet[Review]:
    """Return an account's reviews."""
    return Review.objects.filter(account=account).select_related("owner", "participant", "snapshot")


def schedule_of(account: Account) -> ReviewSchedule:
    """Return how often the account is reviewed; the usual interval where nobody set one."""
    found = ReviewSchedule.objects.filter(account=account).first()
    return found or ReviewSchedule(account=account)


def day_there(account: Account, now: datetime) -> date:
    """Return which day it is where the account is."""
    return now.astimezone(ZoneInfo(account.time_zone)).date()


def good_until(account: Account, now: datetime) -> date:
    """Return until which day a review holds whose last needed signature is given at this moment. The one rule for it."""
    return day_there(account, now) + timedelta(days=schedule_of(account).interval_days)


@dataclass(frozen=True)
class ReviewNow:
    """A review that is not signed by both sides, as it stands at this moment. `rows` go with `items`."""

    rows: tuple[ReviewItem, ...]
    items: tuple[Answered, ...]
    actions: tuple[ActionItem, ...]
    fingerprint: str


def review_now(review: Review, now: datetime, *, sealed: bool = False) -> ReviewNow:
    """Return a review as it stands, from live data and what people answered. `sealed` keeps people as tokens.

    The fingerprint is always of the stored form, so that it is the same for whoever asks.
    """
    stored = list(ReviewItem.objects.sealed().filter(review=review).order_by("position"))
    actions = list(
        ActionItem.objects.sealed()
        .filter(account=review.account, state=ActionState.OPEN)
        .select_related("owner_user", "owner_contact")
        .order_by("due_on", "pk")
    )
    wanted = {row.key for row in stored}
    found = ask_one(review.account, now, keys=wanted)
    items = [_answered(row, found.get(row.key)) for row in stored]
    print_of = fingerprint(
        review=str(review.ref),
        held_on=str(review.held_on),
        people=[str(review.owner.ref), str(review.participant.ref) if review.participant else ""],
        items=items,
        actions=[plain_action(one) for one in actions],
    )
    if not sealed:
        from portal.audit.subjects import open_rows

        open_rows(stored, ReviewItem.sealed_fields)
        open_rows(actions, ActionItem.sealed_fields)
        items = [_answered(row, found.get(row.key)) for row in stored]
    return ReviewNow(tuple(stored), tuple(items), tuple(actions), print_of)


def _answered(row: ReviewItem, finding: Finding | None) -> Answered:
    return answered(
        key=row.key,
        title=row.title,
        question=row.question,
        hand=row.grade,
        reason=row.reason,
        notes=row.notes,
        answered_at=row.answered_at,
        finding=finding if measures(row.key) else None,
    )


def measures(key: str) -> bool:
    """Whether the portal answers this item from live data."""
    fact = fact_of(key)
    return fact is not None and fact.in_review and not fact.by_hand


def plain_action(action: ActionItem) -> dict[str, Any]:
    """Return an action item as JSON can hold it, as far as nobody is named in it beside tokens."""
    return {
        "ref": str(action.ref),
        "title": action.title,
        "due_on": str(action.due_on),
        "state": action.state,
    }


def signatures_of(review: Review) -> list[ReviewSignature]:
    """Return every signature of a review, in their order; those that were voided too."""
    return list(ReviewSignature.objects.filter(review=review).select_related("by").order_by("pk"))


def with_expiry(review: Review, data: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    """Return the items of a signed snapshot, each with the last day of its evidence and whether it is over by now."""
    items = [with_end(item, review.good_until) for item in data.get("items", [])]
    return [{**item, "is_over": is_over(item, now), "last_day": _last_day(item)} for item in items]


def _last_day(item: Mapping[str, Any]) -> date | None:
    ends = item.get("expires_at")
    return last_day(datetime.fromisoformat(ends)) if ends else None


def snapshots_of(account: Account) -> QuerySet[ReviewSnapshot]:
    """Return what was signed of an account, without the contents."""
    return ReviewSnapshot.objects.filter(account=account).defer("data").order_by("-no")


# --- action items ------------------------------------------------------------------------------------------


def actions_of(account: Account, *, state: str = "") -> QuerySet[ActionItem]:
    """Return an account's action items."""
    rows = ActionItem.objects.filter(account=account).select_related(
        "owner_user", "owner_contact", "review", "account"
    )
    return rows.filter(state=state) if state else rows


def is_proven(contact: Contact, today: date) -> bool:
    """Whether a contact can be given something to do: a channel is proven, and the role confirmed in 180 days."""
    return bool(_proven([contact], today))


def proven_contacts(account: Account, today: date) -> list[Contact]:
    """Return the contacts of an account who can be given something to do; two queries."""
    rows = Contact.objects.filter(account=account).order_by("escalation_order", "pk")
    return _proven(list(rows), today)


def _proven(contacts: Sequence[Contact], today: date) -> list[Contact]:
    known = standings(contacts)
    return [
        one
        for one in contacts
        if known[one.pk].is_proven
        and one.confirmed_on is not None
        and today - one.confirmed_on <= STALE_AFTER
        and one.bouncing_since is None
        and one.disowned_at is None
    ]


def owner_name(action: ActionItem) -> str:
    """Return who an action item belongs to; "" where that contact is gone."""
    owner = action.owner_user or action.owner_contact
    return owner.name if owner is not None else ""


# --- over all accounts -------------------------------------------------------------------------------------

GRADES_SHOWN = ("open", "red", "amber", "unknown", "all")


def monday_lines(user: Any, *, grade: str = "open", team: str = "", key: str = "") -> QuerySet[Standing]:
    """Return what needs somebody this week over all accounts of the user's own teams, as last looked at.

    `grade`: *open* is red and amber, *all* has what is unknown too.
    """
    rows = visible_to(user, Standing, Permission.TEAM_WEEK).select_related("account", "account__team")
    rows = rows.filter(account__status=AccountStatus.ACTIVE)
    if grade == "open":
        rows = rows.filter(grade__in=[Grade.RED, Grade.AMBER])
    elif grade != "all":
        rows = rows.filter(grade=grade)
    if team:
        rows = rows.filter(account__team__ref=team)
    return rows.filter(key=key) if key else rows


@dataclass(frozen=True)
class Week:
    """One line of the Monday list: as last looked at, and as it stands now."""

    row: Standing
    title: str
    finding: Finding
    action: str
    url: str
    is_done: bool


def asked_again(rows: Sequence[Standing], now: datetime) -> list[Week]:
    """Return the lines as they stand at this moment: a constant number of queries for all of them.

    What was settled since the last look stays in its place and is marked, so that nothing jumps away under the hand.
    """
    accounts = {row.account_id for row in rows}
    keys = {row.key for row in rows}
    found = ask(Account.objects.filter(pk__in=accounts), now, keys=keys) if rows else {}
    lines = []
    for row in rows:
        fact = fact_of(row.key)
        finding = found.get(row.account_id, {}).get(row.key)
        if fact is None or finding is None:
            continue
        lines.append(
            Week(row, fact.title, finding, fact.act.label, fact.act.url_of(row.account), finding.is_good)
        )
    return lines


def last_look() -> datetime | None:
    """Return when all accounts were last looked at; None if never."""
    return StandingLook.objects.values_list("at", flat=True).first()


def worst_accounts(user: Any, *, limit: int) -> list[int]:
    """Return the keys of the active accounts with the most that stands red, then amber, as last looked at; one query."""
    rows = visible_to(user, Standing, Permission.REVIEW_VIEW).filter(
        grade__in=[Grade.RED, Grade.AMBER], account__status=AccountStatus.ACTIVE
    )
    by_account: Any = (
        rows.order_by()
        .values("account")
        .annotate(reds=Count("pk", filter=Q(grade=Grade.RED)), all=Count("pk"))
    )
    return [row["account"] for row in by_account.order_by("-reds", "-all", "account")[:limit]]


def with_standings(rows: Sequence[Any]) -> list[Any]:
    """Give each account its `standings_shown`: what is red or amber as last looked at. One query for all."""
    of: dict[int, list[Standing]] = {}
    listed = Standing.objects.filter(account__in=[row.pk for row in rows], grade__in=[Grade.RED, Grade.AMBER])
    for one in listed.order_by("-risk", "-pk"):
        fact = fact_of(one.key)
        one.title = fact.title if fact is not None else one.key  # type: ignore[attr-defined]
        of.setdefault(one.account_id, []).append(one)
    for row in rows:
        standings = of.get(row.pk, [])
        row.standings_shown, row.standings_more = (
            standings[:FIRST_SHOWN],
            max(0, len(standings) - FIRST_SHOWN),
        )
    return list(rows)
