"""What accounts themselves know: contacts, access, reviews, follow-ups, approvals; and what people answer by hand.

Each fact is a query over many accounts (`gather_…`) and a pure judge beside it. The limits stand in the judges' rules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.urls import reverse

from accounts import selectors
from accounts.contacts.selectors import CONFIRMED_FOR, STALE_AFTER, coverages_of
from accounts.facts import Act, Fact, Finding, Grade, plural, register_batch, register_fact
from accounts.models import Account, ApiToken, ContactRole, Invitation, Membership
from accounts.reviews.models import ActionItem, ActionState, Review, ReviewItem, ReviewSchedule, ReviewStatus
from accounts.reviews.template import BY_HAND
from portal.approvals.models import ApprovalRequest, ApprovalStatus

SOON = timedelta(days=14)
NEVER_CAME_AFTER = timedelta(days=14)
INVITED_LONG_AGO = timedelta(days=7)
UNANSWERED_AFTER = timedelta(hours=24)
RED_UNANSWERED_AFTER = timedelta(hours=72)
FIRST_REVIEW_WITHIN = timedelta(days=30)
MANY_ACTIONS = 5


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


# --- contacts ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ContactsKnown:
    """The contacts of one account, counted. `oldest` is the least fresh confirmation, None if one was never confirmed."""

    listed: int
    emergency: int
    due: int
    stale: int
    unconfirmed: int
    oldest: date | None
    bouncing: int = 0
    disowned: int = 0


def gather_contacts(accounts: QuerySet[Account], now: datetime) -> Mapping[int, ContactsKnown]:
    """Return the counts of each account's contacts; one query. Who has no contact is there too, with none."""
    today = now.date()
    due_before, stale_before = today - CONFIRMED_FOR, today - STALE_AFTER
    rows: Any = (
        accounts.values("pk")
        .annotate(
            listed=Count("contacts"),
            emergency=Count("contacts", filter=Q(contacts__roles__contains=[ContactRole.EMERGENCY])),
            due=Count(
                "contacts",
                filter=Q(contacts__confirmed_on__lt=due_before, contacts__confirmed_on__gte=stale_before),
            ),
            stale=Count("contacts", filter=Q(contacts__confirmed_on__lt=stale_before)),
            unconfirmed=Count(
                "contacts", filter=Q(contacts__pk__isnull=False, contacts__confirmed_on__isnull=True)
            ),
            oldest=Min("contacts__confirmed_on"),
            bouncing=Count("contacts", filter=Q(contacts__bouncing_since__isnull=False)),
            disowned=Count("contacts", filter=Q(contacts__disowned_at__isnull=False)),
        )
        .order_by()
    )
    return {
        row.pop("pk"): ContactsKnown(**(row | {"oldest": None if row["unconfirmed"] else row["oldest"]}))
        for row in rows
    }


def judge_contacts(known: ContactsKnown | None, now: datetime) -> Finding:
    """Nobody to call or nobody for emergencies is red, a stale or unconfirmed contact amber, all confirmed green."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Contacts could not be read.", "Unknown is never green.")
    parts = (
        ("listed", known.listed),
        ("for emergencies", known.emergency),
        ("due", known.due),
        ("stale", known.stale),
        ("never confirmed", known.unconfirmed),
        ("mail comes back", known.bouncing),
        ("says: this is not me", known.disowned),
    )
    at = _midnight(known.oldest) if known.oldest else None
    expires = at + CONFIRMED_FOR + timedelta(days=1) if at else None
    if known.listed == 0:
        return Finding(
            Grade.RED, "Nobody to call: no contact is listed.", "An account has contacts.", parts=parts
        )
    if known.emergency == 0:
        return Finding(
            Grade.RED, "No emergency contact.", "Somebody is called in an emergency.", at, None, parts
        )
    open_ones = known.due + known.stale + known.unconfirmed
    if known.stale or known.unconfirmed:
        grade = Grade.RED if open_ones == known.listed and known.due == 0 else Grade.AMBER
        says = [
            plural(known.stale, "contact is stale", "contacts are stale") if known.stale else "",
            plural(known.unconfirmed, "contact was", "contacts were") + " never confirmed"
            if known.unconfirmed
            else "",
        ]
        rule = (
            "At least one contact is confirmed within 180 days."
            if grade is Grade.RED
            else "Each contact is confirmed within 180 days."
        )
        return Finding(grade, f"{' and '.join(filter(None, says))}.", rule, at, None, parts)
    if known.disowned:
        return Finding(
            Grade.AMBER,
            f"From the mailbox of {plural(known.disowned, 'contact')}: this is not me.",
            "Nobody who is listed says that it is not them.",
            at,
            None,
            parts,
        )
    if known.bouncing:
        return Finding(
            Grade.AMBER,
            f"Mail to {plural(known.bouncing, 'contact')} comes back.",
            "Each mail address takes mail.",
            at,
            None,
            parts,
        )
    if known.due:
        says_due = plural(known.due, "contact is", "contacts are")
        return Finding(
            Grade.AMBER,
            f"{says_due} due for confirmation.",
            "Each contact is confirmed within 90 days.",
            at,
            None,
            parts,
        )
    return Finding(
        Grade.GREEN,
        f"{plural(known.listed, 'contact')}, all confirmed in time.",
        "Each contact is confirmed within 90 days, and one is for emergencies.",
        at,
        expires,
        parts,
    )


# --- coverage ----------------------------------------------------------------------------------------------

_LACKS = {
    "no": "too few",
    "unproven": "not proven in time",
    "asleep": "nobody awake now",
    "uncovered": "not at every hour",
}


def gather_coverage(accounts: QuerySet[Account], now: datetime) -> Mapping[int, tuple[tuple[str, str], ...]]:
    """Return what each account lacks by its coverage rules, as (role, code); six queries. Nobody is named."""
    found = coverages_of(list(accounts), now)
    return {pk: tuple((gap.role, gap.code) for gap in gaps) for pk, gaps in found.items()}


def judge_coverage(known: tuple[tuple[str, str], ...] | None, now: datetime) -> Finding:
    """Somebody whom the rules ask for is missing: red. Somebody is unproven, or not there at an hour: amber."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Coverage could not be read.", "Unknown is never green.")
    rule = "The contacts are as the account's own coverage rules ask."
    if not known:
        return Finding(Grade.GREEN, "The contacts cover what the rules ask for.", rule, now)
    lacks = [(role, _LACKS.get(code.partition("_")[0], "missing")) for role, code in known]
    grade = Grade.RED if any(code.startswith("no_") for _, code in known) else Grade.AMBER
    says = "; ".join(f"{role} contact: {what}" for role, what in lacks)
    return Finding(grade, f"{says[0].upper()}{says[1:]}.", rule, now, None, tuple(lacks))


# --- access and roles --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AccessKnown:
    """Who gets in, counted. `without_factor` is None where the portal offers no second factor."""

    members: int
    admins: int
    approvers: int
    never_came: int
    without_factor: int | None
    invited_long_ago: int
    tokens_ending: int


def gather_access(accounts: QuerySet[Account], now: datetime) -> Mapping[int, AccessKnown]:
    """Return the counts of each account's access; four queries."""
    with_factors = selectors.has_factors()
    rows: Any = Membership.objects.filter(account__in=accounts.values("pk"), user__is_active=True)
    if with_factors:
        rows = rows.annotate(_has=Exists(selectors.strong_factors().filter(user=OuterRef("user"))))
    counted = {
        row["account"]: row
        for row in rows.order_by()
        .values("account")
        .annotate(
            members=Count("pk"),
            admins=Count("pk", filter=Q(role="admin")),
            approvers=Count("pk", filter=Q(role__in=("approver", "admin"))),
            never_came=Count(
                "pk", filter=Q(user__last_login__isnull=True, granted_at__lt=now - NEVER_CAME_AFTER)
            ),
            **({"without_factor": Count("pk", filter=Q(_has=False))} if with_factors else {}),
        )
    }
    invited = _by_account(
        Invitation.objects.filter(
            account__in=accounts.values("pk"),
            accepted_at__isnull=True,
            revoked_at__isnull=True,
            created_at__lt=now - INVITED_LONG_AGO,
        )
    )
    tokens = _by_account(
        ApiToken.objects.filter(
            account__in=accounts.values("pk"),
            revoked_at__isnull=True,
            expires_at__gt=now,
            expires_at__lt=now + SOON,
        )
    )
    nobody: dict[str, Any] = {"members": 0, "admins": 0, "approvers": 0, "never_came": 0}
    found = {}
    for pk in accounts.values_list("pk", flat=True):
        row = counted.get(pk, nobody)
        found[pk] = AccessKnown(
            row["members"],
            row["admins"],
            row["approvers"],
            row["never_came"],
            row.get("without_factor", 0) if with_factors else None,
            invited.get(pk, 0),
            tokens.get(pk, 0),
        )
    return found


def _by_account(rows: QuerySet[Any]) -> dict[int, int]:
    return dict(rows.order_by().values("account").annotate(of=Count("pk")).values_list("account", "of"))


def judge_access(known: AccessKnown | None, now: datetime) -> Finding:
    """No admin is red; one admin, nobody to approve, no second factor, unused roles or ending tokens are amber."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Access could not be read.", "Unknown is never green.")
    parts: list[tuple[str, int | float | str]] = [
        ("members", known.members),
        ("admins", known.admins),
        ("may approve", known.approvers),
        ("never logged in", known.never_came),
        ("invited over a week ago", known.invited_long_ago),
        ("tokens ending within 14 days", known.tokens_ending),
    ]
    if known.without_factor is not None:
        parts.append(("without a second factor", known.without_factor))
    if known.admins == 0:
        return Finding(
            Grade.RED,
            "Nobody of the customer's administers the account.",
            "An account has an admin who can log in.",
            now,
            None,
            tuple(parts),
        )
    concerns = [
        ("Only one admin is left.", "An account has two admins.") if known.admins == 1 else None,
        (
            f"{plural(known.without_factor, 'member has', 'members have')} no second factor.",
            "Each member has a second factor.",
        )
        if known.without_factor
        else None,
        (
            f"{plural(known.never_came, 'role is', 'roles are')} held by somebody who never logged in.",
            "Who holds a role for two weeks has logged in.",
        )
        if known.never_came
        else None,
        (
            f"{plural(known.invited_long_ago, 'invitation waits', 'invitations wait')} for over a week.",
            "An invitation is taken up within a week.",
        )
        if known.invited_long_ago
        else None,
        (
            f"{plural(known.tokens_ending, 'service token ends', 'service tokens end')} within 14 days.",
            "A token is renewed two weeks before it ends.",
        )
        if known.tokens_ending
        else None,
    ]
    amiss = [one for one in concerns if one is not None]
    if amiss:
        return Finding(
            Grade.AMBER,
            " ".join(says for says, _ in amiss),
            " ".join(rule for _, rule in amiss),
            now,
            None,
            tuple(parts),
        )
    return Finding(
        Grade.GREEN,
        f"{plural(known.members, 'member')}, {plural(known.admins, 'admin')}.",
        "Two admins, each role used, nothing ends soon.",
        now,
        None,
        tuple(parts),
    )


# --- reviews and follow-ups --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReviewKnown:
    """When the account was reviewed last and is to be next, and whether one is under way."""

    opened_at: datetime
    last_on: date | None
    next_on: date | None
    under_way_since: date | None


def gather_review(accounts: QuerySet[Account], now: datetime) -> Mapping[int, ReviewKnown]:
    """Return where each account's reviews stand; three queries."""
    reviews: Any = (
        Review.objects.filter(account__in=accounts.values("pk"))
        .order_by()
        .values("account")
        .annotate(
            last_on=Max("held_on", filter=Q(status=ReviewStatus.SIGNED)),
            under_way=Min("held_on", filter=Q(status=ReviewStatus.OPEN)),
        )
    )
    held = {row["account"]: row for row in reviews}
    planned = dict(
        ReviewSchedule.objects.filter(account__in=accounts.values("pk")).values_list("account", "next_on")
    )
    return {
        pk: ReviewKnown(
            opened,
            held.get(pk, {}).get("last_on"),
            planned.get(pk),
            held.get(pk, {}).get("under_way"),
        )
        for pk, opened in accounts.values_list("pk", "created_at")
    }


def judge_review(known: ReviewKnown | None, now: datetime) -> Finding:
    """Overdue is red, no review within the first 30 days amber, due within two weeks amber, else green."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Reviews could not be read.", "Unknown is never green.")
    today = now.date()
    at = min(_midnight(known.last_on + timedelta(days=1)), now) if known.last_on else None
    also = f" One is under way since {known.under_way_since}." if known.under_way_since else ""
    if known.last_on is None:
        if known.next_on is not None and known.next_on < today:
            days = (today - known.next_on).days
            return Finding(
                Grade.RED,
                f"The first review is {plural(days, 'day')} overdue.{also}",
                "A review is held by its date.",
                parts=(("days overdue", days),),
            )
        is_new = now - known.opened_at < FIRST_REVIEW_WITHIN
        return Finding(
            Grade.UNKNOWN if is_new else Grade.AMBER,
            f"No review was signed yet.{also}",
            "A first review is signed within 30 days.",
        )
    expires = _midnight(known.next_on) + timedelta(days=1) if known.next_on else None
    if known.next_on is None:
        return Finding(Grade.AMBER, f"The next review has no date.{also}", "The next review has a date.", at)
    days = (today - known.next_on).days
    parts = (("last", str(known.last_on)), ("next", str(known.next_on)))
    if days > 0:
        return Finding(
            Grade.RED,
            f"The review is {plural(days, 'day')} overdue.{also}",
            "A review is held by its date.",
            at,
            expires,
            parts,
        )
    if -days <= SOON.days:
        soon = "today" if days == 0 else f"in {plural(-days, 'day')}"
        return Finding(
            Grade.AMBER,
            f"The next review is due {soon}.{also}",
            "A review is prepared two weeks ahead.",
            at,
            expires,
            parts,
        )
    return Finding(
        Grade.GREEN,
        f"Signed on {known.last_on}, the next one is on {known.next_on}.",
        "A review is held by its date.",
        at,
        expires,
        parts,
    )


@dataclass(frozen=True)
class ActionsKnown:
    """Open action items of one account. `oldest_due` is the earliest due date, None without any."""

    open: int
    overdue: int
    oldest_due: date | None


def gather_actions(accounts: QuerySet[Account], now: datetime) -> Mapping[int, ActionsKnown]:
    """Return the open action items of each account, counted; two queries."""
    today = now.date()
    rows = {
        row["account"]: row
        for row in ActionItem.objects.filter(account__in=accounts.values("pk"), state=ActionState.OPEN)
        .order_by()
        .values("account")
        .annotate(of=Count("pk"), overdue=Count("pk", filter=Q(due_on__lt=today)), oldest=Min("due_on"))
    }
    none: dict[str, Any] = {"of": 0, "overdue": 0, "oldest": None}
    return {
        pk: ActionsKnown(row["of"], row["overdue"], row["oldest"])
        for pk in accounts.values_list("pk", flat=True)
        for row in (rows.get(pk, none),)
    }


def judge_actions(known: ActionsKnown | None, now: datetime) -> Finding:
    """An overdue action item is red, more than five open ones are amber."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Action items could not be read.", "Unknown is never green.")
    parts = (("open", known.open), ("overdue", known.overdue))
    if known.overdue:
        return Finding(
            Grade.RED,
            f"{plural(known.overdue, 'action item is', 'action items are')} overdue, the oldest since {known.oldest_due}.",
            "An action item is done by its date.",
            now,
            None,
            parts,
        )
    if known.open > MANY_ACTIONS:
        return Finding(
            Grade.AMBER,
            f"{known.open} action items are open at once.",
            f"At most {MANY_ACTIONS} action items are open at once.",
            now,
            None,
            parts,
        )
    says = (
        f"{plural(known.open, 'action item')} open, none overdue."
        if known.open
        else "No action item is open."
    )
    return Finding(Grade.GREEN, says, "An action item is done by its date.", now, None, parts)


# --- approvals ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ApprovalsKnown:
    """Approvals that wait, and since when the oldest one does."""

    waiting: int
    since: datetime | None


def gather_approvals(accounts: QuerySet[Account], now: datetime) -> Mapping[int, ApprovalsKnown]:
    """Return the approvals of each account that nobody answered; two queries."""
    rows = {
        row["account"]: row
        for row in ApprovalRequest.objects.filter(
            account__in=accounts.values("pk"), status=ApprovalStatus.OPEN
        )
        .exclude(expires_at__lte=now)
        .order_by()
        .values("account")
        .annotate(of=Count("pk"), since=Min("created_at"))
    }
    none: dict[str, Any] = {"of": 0, "since": None}
    return {
        pk: ApprovalsKnown(row["of"], row["since"])
        for pk in accounts.values_list("pk", flat=True)
        for row in (rows.get(pk, none),)
    }


def judge_approvals(known: ApprovalsKnown | None, now: datetime) -> Finding:
    """Unanswered for a day is amber, for three days red."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Approvals could not be read.", "Unknown is never green.")
    rule = "An approval is answered within a day."
    parts = (("waiting", known.waiting),)
    waited = now - known.since if known.since else timedelta(0)
    if waited > UNANSWERED_AFTER:
        grade = Grade.RED if waited > RED_UNANSWERED_AFTER else Grade.AMBER
        hours = int(waited.total_seconds() // 3600)
        return Finding(
            grade,
            f"{plural(known.waiting, 'approval waits', 'approvals wait')} for an answer, the oldest for {hours} hours.",
            rule if grade is Grade.AMBER else "No approval waits longer than three days.",
            known.since,
            None,
            parts,
        )
    says = (
        f"{plural(known.waiting, 'approval waits', 'approvals wait')} since less than a day."
        if known.waiting
        else "No approval waits."
    )
    return Finding(Grade.GREEN, says, rule, now, None, parts)


# --- answered by hand --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HandAnswer:
    """What the last signed review says of an item that the portal cannot know yet."""

    grade: str
    held_on: date
    good_until: date | None


def gather_by_hand(
    accounts: QuerySet[Account], now: datetime, keys: Collection[str]
) -> Mapping[str, Mapping[int, HandAnswer]]:
    """Return the newest signed answer of each account to each of these items; one query.

    An answer holds until the next review was to be held.
    """
    rows = (
        ReviewItem.objects.filter(
            review__account__in=accounts.values("pk"), review__status=ReviewStatus.SIGNED, key__in=list(keys)
        )
        .exclude(grade="")
        .order_by("review__account", "key", "-review__held_on", "-review__pk")
        .distinct("review__account", "key")
        .values_list("review__account", "key", "grade", "review__held_on", "review__good_until")
    )
    found: dict[str, dict[int, HandAnswer]] = {key: {} for key in keys}
    for pk, key, grade, held_on, until in rows:
        found[key][pk] = HandAnswer(grade, held_on, until)
    return found


def _one_by_hand(accounts: QuerySet[Account], now: datetime, *, key: str) -> Mapping[int, HandAnswer]:
    return gather_by_hand(accounts, now, [key])[key]


def judge_by_hand(known: HandAnswer | None, now: datetime, *, why: str) -> Finding:
    """What people signed holds until the next review; before and after that it is unknown."""
    if known is None:
        return Finding(
            Grade.UNKNOWN,
            f"Nobody answered it yet. {why}",
            "What the portal cannot know is answered by hand in a review.",
            by_hand=True,
        )
    at = _midnight(known.held_on)
    until = _midnight(known.good_until) + timedelta(days=1) if known.good_until else None
    says = f"Answered by hand on {known.held_on}: {known.grade}."
    rule = "An answer by hand holds until the next review is due."
    if until is not None and until <= now:
        return Finding(
            Grade.UNKNOWN, f"{says} It held until {known.good_until}.", rule, at, until, by_hand=True
        )
    return Finding(Grade(known.grade), says, rule, at, until, by_hand=True)


def _to(name: str) -> Any:
    return lambda account: reverse(name, args=[account.ref])


def register() -> None:
    """Register all of them; called once when the app is ready."""
    reviews = Act("Hold a review", _to("accounts:review-list"))
    register_fact(
        Fact(
            "contacts",
            "Contacts",
            gather_contacts,
            judge_contacts,
            Act("Look after the contacts", _to("accounts:contact-list")),
            order=20,
        )
    )
    register_fact(
        Fact(
            "coverage",
            "Coverage",
            gather_coverage,
            judge_coverage,
            Act("Close the gaps", _to("accounts:contact-list")),
            order=25,
            in_review=False,
            is_heavy=True,
        )
    )
    register_fact(
        Fact(
            "access",
            "Access and roles",
            gather_access,
            judge_access,
            Act("Look at who has access", _to("accounts:access")),
            order=60,
        )
    )
    register_fact(
        Fact(
            "approvals",
            "Approvals",
            gather_approvals,
            judge_approvals,
            Act("Remind whoever approves", _to("accounts:account-detail")),
            order=30,
            in_review=False,
        )
    )
    register_fact(
        Fact(
            "actions",
            "Action items",
            gather_actions,
            judge_actions,
            Act("Follow the action items up", _to("accounts:action-list")),
            order=40,
            in_review=False,
        )
    )
    register_fact(Fact("review", "Review", gather_review, judge_review, reviews, order=50, in_review=False))
    register_batch("by_hand", gather_by_hand)
    for place, item in enumerate(BY_HAND):
        register_fact(
            Fact(
                item.key,
                item.title,
                partial(_one_by_hand, key=item.key),
                partial(judge_by_hand, why=item.why_by_hand),
                reviews,
                order=70 + place,
                by_hand=True,
                batch="by_hand",
            )
        )
