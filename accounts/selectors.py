"""The reads behind accounts' pages and API, already limited to what the user may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar, cast

from django.apps import apps
from django.db.models import Case, Count, Exists, Model, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from accounts.contacts.selectors import CONFIRMED_FOR as CONFIRMED_FOR
from accounts.contacts.selectors import contacts_found as contacts_found
from accounts.contacts.selectors import coverages_of
from accounts.contacts.selectors import first_contacts as first_contacts
from accounts.models import (
    Account,
    AccountRole,
    AccountStatus,
    CloudConnection,
    Contact,
    ContactRole,
    Membership,
    Team,
    TeamMembership,
    User,
)
from portal.access import Permission, visible_to
from portal.lists import ListAsked, both_ways
from portal.search import SHORTEST_INSIDE, containing

Row = TypeVar("Row", bound=Model)
ACCOUNT_ORDERS = both_ways("name", "number", "milestone", "created_at")
ACCOUNT_FILTERS: Mapping[str, tuple[str, ...]] = {
    "status": tuple(AccountStatus.values),
    "milestone": ("1", "2", "3", "4", "5"),
}


def accounts_seen(user: Any) -> QuerySet[Account]:
    """Return the accounts that the user sees."""
    return visible_to(user, Account, Permission.ACCOUNT_VIEW).select_related("team")


def narrowed(rows: QuerySet[Account], asked: ListAsked, *, viewer: Any) -> QuerySet[Account]:
    """Return those accounts of `rows` that fit what was asked: text, status, milestone, team (a reference).

    The text is looked for in name and number, and among the contacts that the viewer may read: somebody on
    the phone gives a name, a number or a mail address before they know an account number. A viewer of None reads
    no contact.
    """
    status, milestone, team = (asked.filters.get(name, "") for name in ("status", "milestone", "team"))
    if status:
        rows = rows.filter(status=status)
    if milestone:
        rows = rows.filter(milestone=milestone)
    if team:
        rows = rows.filter(team__ref=team)
    if asked.text:
        found: Any = containing(Account.objects.all(), asked.text, "name", "number").values("pk")
        if viewer is not None and len(asked.text) >= SHORTEST_INSIDE:
            # One list of both, each by its own index: "in this list or in that one" would look at every account.
            found = found.union(contacts_found(viewer, asked.text).values("account"))
        rows = rows.filter(pk__in=found)
    return rows


def with_concerns(rows: Sequence[Any], *, at: datetime) -> list[Any]:
    """Give each account its `concerns`, each a sentence: what its rules miss, whom mail does not reach, who is not fresh.

    At most six queries for all of them.
    """
    gaps = coverages_of(list(rows), at)
    counted = {one["account"]: one for one in _counted(Contact.objects.filter(account__in=rows), at.date())}
    for row in rows:
        found = counted.get(row.pk, _NOBODY)
        row.contact_count = found["contact_count"]
        row.concerns = _concerns([gap.says for gap in gaps[row.pk]], found)
    return list(rows)


_NOBODY = {"contact_count": 0, "contacts_unconfirmed": 0, "contacts_bouncing": 0, "contacts_disowned": 0}


def _counted(rows: QuerySet[Contact], today: date) -> Any:
    """Return a queryset that counts contacts by account: all, those not confirmed in time, those whose mail comes back."""
    return (
        rows.order_by()
        .values("account")
        .annotate(
            contact_count=Count("pk"),
            contacts_unconfirmed=Count("pk", filter=_not_confirmed_since(today - CONFIRMED_FOR)),
            contacts_bouncing=Count("pk", filter=Q(bouncing_since__isnull=False)),
            contacts_disowned=Count("pk", filter=Q(disowned_at__isnull=False)),
        )
    )


def _concerns(gaps: Sequence[str], counted: Mapping[str, int]) -> list[str]:
    if not counted["contact_count"]:
        return ["There is nobody to call: no contact is listed."]
    found = list(gaps)
    for name, says in (
        ("contacts_disowned", "From the mailbox of {}: this is not me."),
        ("contacts_bouncing", "Mail to {} comes back."),
        ("contacts_unconfirmed", "{} not confirmed in 90 days."),
    ):
        if count := counted[name]:
            found.append(says.format(f"{count} contact" if count == 1 else f"{count} contacts"))
    return found


def worst_first(user: Any, *, today: date, limit: int, among: Sequence[int] | None = None) -> list[Any]:
    """Return up to `limit` active accounts, those with the most amiss first; `with_concerns` says what it is.

    `among` narrows it to some accounts, by their keys. One query. Of each account it reads, from indexes alone, whether anybody is listed, whether anybody is for
    emergencies, and how many were not confirmed in time.
    """
    listed = Contact.objects.filter(account=OuterRef("pk")).order_by()
    unconfirmed = listed.filter(_not_confirmed_since(today - CONFIRMED_FOR)).values("account")
    found: Any = (
        accounts_seen(user)
        .filter(status=AccountStatus.ACTIVE, **({"pk__in": among} if among is not None else {}))
        .annotate(
            _has_contact=Exists(listed),
            _has_emergency=Exists(listed.filter(roles__contains=[ContactRole.EMERGENCY])),
            contacts_unconfirmed=Coalesce(Subquery(unconfirmed.annotate(of=Count("pk")).values("of")), 0),
        )
        .order_by(
            "_has_contact",
            Case(When(_has_contact=False, then="name"), default=Value("")),
            "_has_emergency",
            "-contacts_unconfirmed",
            "pk",
        )
    )
    return list(found[:limit])


def _not_confirmed_since(day: date) -> Q:
    return Q(confirmed_on__isnull=True) | Q(confirmed_on__lt=day)


def connections_of(account: Account) -> QuerySet[CloudConnection]:
    """Return an account's cloud connections without their keys."""
    return CloudConnection.objects.filter(account=account).defer("api_key").order_by("name", "pk")


# --- people ------------------------------------------------------------------------------------------------

_ORDER = {role: rank for rank, role in enumerate(["lead", "launch_manager", *reversed(AccountRole.values)])}


def members_of(account: Account, *, with_factors: bool = False) -> list[Membership]:
    """Return an account's members, those who may most first, with who gave them the role: one query.

    `with_factors` gives each a `has_second_factor`.
    """
    rows = Membership.objects.filter(account=account).select_related("user", "granted_by")
    rows = _with_factor(rows) if with_factors else rows
    return sorted(rows, key=lambda row: (_ORDER[row.role], row.user.name.lower(), row.pk))


def people_of(team: Team, *, with_factors: bool = False) -> list[TeamMembership]:
    """Return a team's members, leads first, with who gave them the role: one query.

    `with_factors` gives each a `has_second_factor`.
    """
    rows = TeamMembership.objects.filter(team=team).select_related("user", "granted_by")
    rows = _with_factor(rows) if with_factors else rows
    return sorted(rows, key=lambda row: (_ORDER[row.role], row.user.name.lower(), row.pk))


def _with_factor(rows: QuerySet[Row]) -> QuerySet[Row]:
    found: Any = rows.annotate(has_second_factor=Exists(strong_factors().filter(user=OuterRef("user"))))
    return cast(QuerySet[Row], found)


def strong_factors() -> Any:
    """Return the second factors that count: apps and security keys."""
    factors: Any = apps.get_app_config("mfa").get_model("Authenticator")
    return factors._default_manager.filter(type__in=["totp", "webauthn"])


def has_factors() -> bool:
    """Whether the portal offers a second factor at all."""
    return apps.is_installed("allauth.mfa")


def with_second_factor(users: Iterable[User]) -> set[int] | None:
    """Return the keys of those who have a second factor; None where the portal offers none. One query."""
    if not has_factors():
        return None
    strong = strong_factors().filter(user__in=[user.pk for user in users])
    return set(strong.values_list("user_id", flat=True))
