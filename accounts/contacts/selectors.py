"""The reads about contacts that pages, API and other parts ask: whom to call in which order, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Prefetch, Q, QuerySet

from accounts.contacts import coverage
from accounts.contacts.hours import (
    Hours,
    HoursKind,
    is_public_holiday,
    lines_of,
    moment,
    reachable_at,
    spans_of,
)
from accounts.contacts.models import CoverageOverride, CoverageRules, RoleDuty, Rotation, RotationMember
from accounts.contacts.proving import Standing, numbers_of, standings
from accounts.contacts.rotation import Duty, hand_overs_of, in_order_at, on_duty_at, shifts
from accounts.contacts.uses import record_read as record_read
from accounts.contacts.uses import record_use as record_use
from accounts.contacts.uses import uses_of as uses_of
from accounts.models import Account, Contact, ContactRole, TeamMembership
from portal.access import Permission, visible_to
from portal.audit.models import AuditEntry
from portal.audit.words import what_words
from portal.lists import ListAsked, both_ways
from portal.notify.models import Message
from portal.notify.services import recipient_key
from portal.search import containing

CONFIRMED_FOR = timedelta(days=90)
STALE_AFTER = timedelta(days=180)
FRESHNESS = ("confirmed", "due", "stale", "unconfirmed", "bouncing", "disowned")
CONTACT_ORDERS = both_ways("escalation_order", "name", "confirmed_on", "created_at")
CONTACT_FILTERS: Mapping[str, tuple[str, ...]] = {"role": tuple(ContactRole.values), "freshness": FRESHNESS}


def freshness(
    confirmed_on: date | None, *, today: date, is_bouncing: bool = False, is_disowned: bool = False
) -> str:
    """Return how fresh a contact is: confirmed, due (90 days), stale (180 days), unconfirmed (never), bouncing, disowned."""
    if is_disowned:
        return "disowned"
    if is_bouncing:
        return "bouncing"
    if confirmed_on is None:
        return "unconfirmed"
    age = today - confirmed_on
    if age > STALE_AFTER:
        return "stale"
    return "due" if age > CONFIRMED_FOR else "confirmed"


def freshness_of(contact: Contact, *, today: date) -> str:
    """Return how fresh a contact is today."""
    return freshness(
        contact.confirmed_on,
        today=today,
        is_bouncing=contact.bouncing_since is not None,
        is_disowned=contact.disowned_at is not None,
    )


def contacts_found(user: Any, text: str) -> QuerySet[Contact]:
    """Return the contacts that the user may read whose name, mail address or phone number hold `text`."""
    rows = visible_to(user, Contact, Permission.CONTACT_VIEW)
    return containing(rows, text, "name", "email", "phone", short_inside=False)


def contacts_narrowed(rows: QuerySet[Contact], asked: ListAsked, *, today: date) -> QuerySet[Contact]:
    """Return those contacts of one account's `rows` that fit what was asked: text, role, freshness."""
    role, fresh = asked.filters.get("role", ""), asked.filters.get("freshness", "")
    if role:
        rows = rows.filter(roles__contains=[role])
    if fresh:
        rows = rows.filter(disowned_at__isnull=fresh != "disowned")
    if fresh and fresh != "disowned":
        rows = rows.filter(bouncing_since__isnull=fresh != "bouncing")
    due_before, stale_before = today - CONFIRMED_FOR, today - STALE_AFTER
    match fresh:
        case "confirmed":
            rows = rows.filter(confirmed_on__gte=due_before)
        case "due":
            rows = rows.filter(confirmed_on__lt=due_before, confirmed_on__gte=stale_before)
        case "stale":
            rows = rows.filter(confirmed_on__lt=stale_before)
        case "unconfirmed":
            rows = rows.filter(confirmed_on__isnull=True)
    return containing(rows, asked.text, "name", "email", "phone")


def with_freshness(rows: Sequence[Any], *, today: date) -> list[Any]:
    """Give each contact its `freshness`."""
    for row in rows:
        row.freshness = freshness_of(row, today=today)
    return list(rows)


def with_proofs(rows: Sequence[Any]) -> list[Any]:
    """Give each contact its `standing`: what of it is proven. One query."""
    found = standings(rows)
    for row in rows:
        row.standing = found[row.pk]
    return list(rows)


def first_contacts(account: Account, *, today: date, limit: int) -> list[Any]:
    """Return up to `limit` contacts of an account in their order of call, each with its `freshness`."""
    rows = Contact.objects.filter(account=account).order_by("escalation_order", "pk")[:limit]
    return with_freshness(list(rows), today=today)


# --- one contact at a moment -------------------------------------------------------------------------------


def hours_of(contact: Contact) -> Hours:
    """Return a contact's hours, with the public holidays of where they are and their own days off."""
    away = frozenset(contact.days_off)
    return Hours(
        kind=HoursKind(contact.hours),
        zone=contact.time_zone,
        spans=spans_of(contact.weekly_hours),
        is_free=partial(is_public_holiday, contact.holidays_country, contact.holidays_subdivision),
        is_away=away.__contains__,
    )


def is_valid_on(contact: Contact, day: date) -> bool:
    """Whether a day lies within a contact's valid from and until."""
    return (contact.valid_from is None or contact.valid_from <= day) and (
        contact.valid_until is None or day <= contact.valid_until
    )


def order_for(contact: Contact, role: str) -> int:
    """Return a contact's place in the order of a role: the role's own, or else the one for all."""
    return int(contact.role_orders.get(role, contact.escalation_order))


# --- whom to call ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Callee:
    """One person in the order of call, at one moment.

    `why_not` is "" for whoever can be called, else the sentence that says why not; such a person keeps the place in the
    list, so that nobody wonders who is missing. `is_reachable_now` is None while nobody said when. `email` is "" where
    mail comes back. `is_on_duty` is whom the role's rotation names at this moment.
    """

    contact: Contact
    place: int
    phone: str
    phones: tuple[str, ...]
    email: str
    time_zone: str
    local_time: datetime
    is_reachable_now: bool | None
    is_proven: bool
    is_on_duty: bool = False
    is_expired: bool = False
    is_bouncing: bool = False
    preferred_channel: str = ""
    language: str = ""
    why_not: str = ""

    @property
    def can_be_called(self) -> bool:
        """Whether there is a way, and no reason against it."""
        return not self.why_not


def call_order(account: Account, role: str, at: datetime, *, about: str = "") -> list[Callee]:
    """Return whom to call for a role at a moment, in order: at most four queries.

    Whoever the role's rotation has on duty comes first, then the rotation's next ones, then the others of the role in
    their order. With `about` (a provider's id of a load balancer or server) those who are named for it come before
    those who are responsible for everything, and those named for other things only come last.
    """
    contacts = list(Contact.objects.filter(account=account, roles__contains=[role]).order_by("pk"))
    listed = sorted(contacts, key=lambda one: (_about(one, about), order_for(one, role), one.pk))
    duty = RoleDuty.objects.filter(account=account, role=role).select_related("rotation").first()
    on_duty = None
    if duty is not None:
        turns = duty_of(duty.rotation)
        on_duty = on_duty_at(turns, at)
        first = list(dict.fromkeys(in_order_at(turns, at)))
        listed = [*first, *(one for one in listed if one not in first)]
    proven = standings(listed)
    return [
        _callee(contact, place, at, proven[contact.pk], is_on_duty=contact == on_duty)
        for place, contact in enumerate(listed, 1)
    ]


def _about(contact: Contact, about: str) -> int:
    if not about or not contact.responsible_for:
        return 1 if about else 0
    return 0 if any(one["id"] == about for one in contact.responsible_for) else 2


def _callee(contact: Contact, place: int, at: datetime, proven: Standing, *, is_on_duty: bool) -> Callee:
    local = at.astimezone(ZoneInfo(contact.time_zone))
    is_expired = not is_valid_on(contact, local.date())
    is_bouncing = contact.bouncing_since is not None
    reachable = reachable_at(hours_of(contact), at)
    return Callee(
        contact=contact,
        place=place,
        phone=contact.phone,
        phones=tuple(numbers_of(contact)),
        email=contact.email if contact.takes_mail else "",
        time_zone=contact.time_zone,
        local_time=local,
        # Whoever is on duty is reachable: that is what the duty means.
        is_reachable_now=True if is_on_duty else reachable,
        is_proven=proven.is_proven,
        is_on_duty=is_on_duty,
        is_expired=is_expired,
        is_bouncing=is_bouncing,
        preferred_channel=contact.preferred_channel,
        language=contact.language,
        why_not=_why_not(contact, local.date()),
    )


def _why_not(contact: Contact, day: date) -> str:
    if contact.valid_from is not None and day < contact.valid_from:
        return f"valid only from {contact.valid_from}"
    if contact.valid_until is not None and day > contact.valid_until:
        return f"not valid since {contact.valid_until}"
    if not contact.phone and contact.bouncing_since is not None:
        return "mail comes back, and there is no number"
    if not contact.phone and contact.disowned_at is not None:
        return "the mailbox says: this is not me, and there is no number"
    return ""


def duty_of(rotation: Rotation) -> Duty:
    """Return a rotation with its members (contacts or users) in order: one query, none where they were fetched with it."""
    if "places" in getattr(rotation, "_prefetched_objects_cache", {}):
        return _duty(rotation, sorted(rotation.places.all(), key=lambda place: place.place))
    places = RotationMember.objects.filter(rotation=rotation).select_related("contact", "user")
    return _duty(rotation, places.order_by("place"))


def rotations_of(account: Account) -> QuerySet[Rotation]:
    """Return an account's rotations with members and roles: three queries, however many."""
    places = Prefetch("places", RotationMember.objects.select_related("contact", "user"))
    rows = Rotation.objects.filter(account=account).select_related("account")
    return rows.prefetch_related(places, "role_duties")


def duty_listed(rotation: Rotation) -> Duty:
    """Return a rotation of `rotations_of` with its members in order, without a query."""
    return _duty(rotation, sorted(rotation.places.all(), key=lambda place: place.place))


def _duty(rotation: Rotation, places: Iterable[RotationMember]) -> Duty:
    return Duty(
        zone=rotation.time_zone,
        starts_on=rotation.starts_on,
        hand_overs=hand_overs_of(rotation.hand_overs),
        members=tuple(place.contact or place.user for place in places),
    )


# --- coverage ----------------------------------------------------------------------------------------------

_WEEK = timedelta(days=7)


def rules_for(account: Account) -> tuple[coverage.Rule, ...]:
    """Return an account's rules: its own, or those of its preset, or the standard ones."""
    return _rules(CoverageRules.objects.filter(account=account).first())


def _rules(row: CoverageRules | None) -> tuple[coverage.Rule, ...]:
    if row is None:
        return coverage.PRESETS[coverage.DEFAULT].rules
    if row.preset in coverage.PRESETS:
        return coverage.PRESETS[row.preset].rules
    return coverage.rules_of(row.rules)


def coverage_of(account: Account, at: datetime) -> list[coverage.Gap]:
    """Return what an account lacks in contacts at a moment, worst rule first as the account lists them: five queries."""
    return coverages_of([account], at)[account.pk]


def coverages_of(accounts: Sequence[Account], at: datetime) -> dict[int, list[coverage.Gap]]:
    """Return what each account lacks in contacts, by its key: five queries for all of them."""
    rules = {row.account_id: row for row in CoverageRules.objects.filter(account__in=accounts)}
    people = people_of(accounts, at)
    return {
        account.pk: coverage.gaps_in(
            people[account.pk], _rules(rules.get(account.pk)), at=at, zone=account.time_zone
        )
        for account in accounts
    }


def people_of(accounts: Sequence[Account], at: datetime) -> dict[int, list[coverage.Person]]:
    """Return the contacts of accounts as coverage sees them at a moment: four queries for all of them."""
    duties = _duties(accounts, at)
    # Whoever is called for nothing meets no rule.
    called = ~Q(roles=[]) | Q(pk__in=list(duties)) if duties else ~Q(roles=[])
    rows = Contact.objects.filter(called, account__in=accounts).order_by("escalation_order", "pk")
    # Rows instead of models: an account may list thousands, of whom a dozen columns are asked.
    contacts: list[Any] = list(rows.values_list(*_ASKED, named=True))
    proven = standings(contacts, among=rows)
    found: dict[int, list[coverage.Person]] = {account.pk: [] for account in accounts}
    for contact in contacts:
        found[contact.account_id].append(_person(contact, proven[contact.pk], duties.get(contact.pk, {}), at))
    return found


_ASKED = (
    "pk",
    "ref",
    "account_id",
    "name",
    "roles",
    "email",
    "phone",
    "more_phones",
    "is_shared_mailbox",
    "bouncing_since",
    "disowned_at",
    "mail_unproven_at",
    "time_zone",
    "hours",
    "weekly_hours",
    "days_off",
    "holidays_country",
    "holidays_subdivision",
    "valid_from",
    "valid_until",
    "escalation_order",
    "role_orders",
)


def _person(
    contact: Any, proven: Standing, duty: Mapping[str, list[tuple[datetime, datetime]]], at: datetime
) -> coverage.Person:
    return coverage.Person(
        name=contact.name,
        roles=frozenset({*contact.roles, *duty}),
        hours=hours_of(contact),
        has_phone=bool(contact.phone),
        has_mail=bool(contact.email) and contact.disowned_at is None,
        is_bouncing=contact.bouncing_since is not None,
        is_valid=contact.valid_from is contact.valid_until is None
        or is_valid_on(contact, at.astimezone(ZoneInfo(contact.time_zone)).date()),
        proven_at=proven.person_at,
        order=order_for(contact, ContactRole.PRIMARY),
        duty=duty,
    )


def _duties(
    accounts: Sequence[Account], at: datetime
) -> dict[int, dict[str, list[tuple[datetime, datetime]]]]:
    """Return by contact and role when a rotation has them on duty in the coming week."""
    rows = list(RoleDuty.objects.filter(account__in=accounts).select_related("rotation"))
    places: dict[int, list[RotationMember]] = {}
    if rows:
        listed = RotationMember.objects.filter(rotation__in=[row.rotation_id for row in rows])
        for place in listed.select_related("contact").order_by("place"):
            places.setdefault(place.rotation_id, []).append(place)
    found: dict[int, dict[str, list[tuple[datetime, datetime]]]] = {}
    for row in rows:
        turns = _duty(row.rotation, places.get(row.rotation_id, []))
        for member in turns.members:
            found.setdefault(member.pk, {}).setdefault(row.role, [])
        for shift in shifts(turns, at, at + _WEEK):
            found[shift.member.pk][row.role].append(
                (shift.begins.astimezone(UTC), shift.ends.astimezone(UTC))
            )
    return found


# --- may something begin? ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BeginRule:
    """Who must be there before a run or drill begins: a primary and a backup, proven within days, awake at that hour."""

    proven_within_days: int = 180
    needs_backup: bool = True
    needs_awake: bool = True

    def rules(self) -> tuple[coverage.Rule, ...]:
        """Return it as rules of coverage."""
        roles = ("primary", coverage.BACKUP) if self.needs_backup else ("primary",)
        return tuple(
            coverage.Rule(role, proven_within_days=self.proven_within_days, awake=self.needs_awake)
            for role in roles
        )


@dataclass(frozen=True)
class MayBegin:
    """Whether something may begin: what is missing, and the override that lets it begin all the same."""

    gaps: tuple[coverage.Gap, ...]
    override: CoverageOverride | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether nothing is missing, or a lead took it on."""
        return not self.gaps or self.override is not None


def can_begin(account: Account, at: datetime, rule: BeginRule | None = None) -> MayBegin:
    """Return whether a run or drill may begin at a moment: at most six queries.

    An override holds from when it was given until it expires or is taken back, and is named only where it is needed.
    """
    asked = (rule or BeginRule()).rules()
    people = people_of([account], at)[account.pk]
    gaps = tuple(coverage.gaps_in(people, asked, at=at, zone=account.time_zone))
    return MayBegin(gaps, override_at(account, at) if gaps else None)


def override_at(account: Account, at: datetime) -> CoverageOverride | None:
    """Return the override that holds at a moment."""
    given = CoverageOverride.objects.filter(
        account=account, at__lte=at, expires_at__gt=at, ended_at__isnull=True
    )
    return given.order_by("-pk").first()


# --- duty --------------------------------------------------------------------------------------------------


def on_duty_now(rotation: Rotation, at: datetime) -> Any | None:
    """Return the contact or user on duty in a rotation at a moment; None before the start. One query."""
    return on_duty_at(duty_of(rotation), at)


@dataclass(frozen=True)
class OnDuty:
    """Somebody of a team on duty: until when, and the number they answer."""

    name: str
    phone: str
    begins: datetime
    ends: datetime


@dataclass(frozen=True)
class TeamDuty:
    """An account's launch team: its number, its bridge, who is on duty now and tonight. None where nobody said."""

    team: str
    number: str
    bridge: str
    now: OnDuty | None = None
    tonight: OnDuty | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.number or self.bridge or self.now)


NIGHT_BEGINS = time(22)


def team_duty(account: Account, at: datetime) -> TeamDuty:
    """Return who of the launch team is on duty now, and at 22:00 of this day by the account's clock: two queries."""
    team = account.team
    rotation = Rotation.objects.filter(team=team).first()
    if rotation is None:
        return TeamDuty(team.name, team.duty_number, team.bridge)
    # Who was switched off answers no call; who is of the team no more is nobody's business here.
    of_team = TeamMembership.objects.filter(team=team, user__is_active=True).values("user")
    places = list(rotation.places.select_related("user").filter(user__in=of_team).order_by("place"))
    numbers = {place.user_id: place.phone for place in places}
    turns = _duty(rotation, places)
    zone = ZoneInfo(account.time_zone)
    night = max(moment(at.astimezone(zone).date(), NIGHT_BEGINS, zone), at)

    def there(when: datetime) -> OnDuty | None:
        turn = next(iter(shifts(turns, when, when + _WEEK)), None)
        if turn is None or turn.begins > when:
            return None
        begins = next(
            (
                one.begins
                for one in shifts(turns, when - _WEEK, when + _WEEK)
                if one.begins <= when < one.ends
            ),
            when,
        )
        return OnDuty(turn.member.name, numbers[turn.member.pk] or team.duty_number, begins, turn.ends)

    return TeamDuty(team.name, team.duty_number, team.bridge, there(at), there(night))


# --- as pages and API show it ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """What an ETag of an account's rules is made of."""

    ref: Any
    updated_at: datetime


def coverage_version(account: Account) -> Version:
    """Return which version of its rules an account has; the standard ones have the account's own beginning."""
    row = CoverageRules.objects.filter(account=account).first()
    return Version(account.ref, row.updated_at if row is not None else account.created_at)


def coverage_seen(account: Account, at: datetime) -> dict[str, Any]:
    """Return an account's rules, gaps, and whether a run may begin at a moment: at most nine queries."""
    row = CoverageRules.objects.filter(account=account).first()
    rules = _rules(row)
    people = people_of([account], at)[account.pk]
    begin = coverage.gaps_in(people, BeginRule().rules(), at=at, zone=account.time_zone)
    override = override_at(account, at)
    return {
        "preset": coverage.DEFAULT if row is None else row.preset,
        "rules": rules,
        "gaps": coverage.gaps_in(people, rules, at=at, zone=account.time_zone),
        "begin_gaps": begin,
        "may_begin": not begin or override is not None,
        "override": override,
    }


# --- what is held about a person ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """Everything that the portal holds about one contact in its account, for that person to read."""

    details: tuple[tuple[str, str], ...]
    proofs: Iterable[Any]
    confirmations: Iterable[Any]
    uses: Iterable[Any]
    changes: Sequence[Any]
    mails: Iterable[Any]


_NOT_SHOWN = frozenset({"id", "ref", "account", "purpose"})
_SHOWN_OF_EACH = 200
# Where the field's own name is not what people say.
_CALLED = {
    "email": "Mail address",
    "more_phones": "Other numbers",
    "hours": "Can be reached",
    "weekly_hours": "Hours of the week",
    "holidays_country": "Public holidays of",
    "holidays_subdivision": "Part of the country",
    "roles": "Called for",
    "authority": "May decide",
    "escalation_order": "Order of call",
    "role_orders": "Order for single roles",
    "external_id": "Id in the customer's list",
    "is_shared_mailbox": "Several people read this mailbox",
    "confirmed_by_name": "Confirmed by",
    "bouncing_since": "Mail comes back since",
    "bounce_says": "What the mail system said",
    "mail_unproven_at": "Mail came back last",
    "disowned_at": "Said at the page of a link: this is not me",
    "disowned_says": "What was said with it",
    "created_at": "Listed since",
    "updated_at": "Last changed",
}


def held_about(contact: Contact, at: datetime) -> Held:
    """Return all that is held about a contact, who used it and why: at most twelve queries.

    Only what belongs to this row of this account; that the same person may be listed elsewhere is for them to know.
    """
    details = [
        (_CALLED.get(field.name, field.verbose_name.capitalize()), _in_words(contact, field.name))
        for field in contact._meta.concrete_fields
        if field.name not in _NOT_SHOWN
    ]
    changes = AuditEntry.objects.filter(
        account_ref=contact.account.ref, subject_type="accounts.contact", subject_ref=str(contact.ref)
    ).order_by("-pk")
    mails = Message.objects.filter(
        account=contact.account_id, recipient_key=recipient_key(None, contact.email)
    ).order_by("-pk")
    return Held(
        tuple((name, value) for name, value in details if value),
        contact.proofs.order_by("-pk")[:_SHOWN_OF_EACH],
        contact.confirmations.order_by("-pk")[:_SHOWN_OF_EACH],
        uses_of(contact)[:_SHOWN_OF_EACH],
        [(entry.at, what_words(entry.what), entry.actor_name) for entry in changes[:_SHOWN_OF_EACH]],
        mails[:_SHOWN_OF_EACH] if contact.email else [],
    )


def _in_words(contact: Contact, name: str) -> str:
    value = getattr(contact, name)
    if name == "hours":
        return {"unknown": "not known", "weekly": "by the week"}.get(value, "around the clock")
    if name == "weekly_hours":
        return "; ".join(lines_of(spans_of(value)))
    if name == "role_orders":
        return ", ".join(f"{role} {order}" for role, order in value.items())
    if name == "responsible_for":
        return ", ".join(f"{one['kind'].replace('_', ' ')} {one['label'] or one['id']}" for one in value)
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, datetime):
        return f"{value.astimezone(ZoneInfo(contact.time_zone)):%Y-%m-%d %H:%M} ({contact.time_zone})"
    display = getattr(contact, f"get_{name}_display", None)
    return str(display() if display is not None else value or "")
