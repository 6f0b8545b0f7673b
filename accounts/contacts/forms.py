"""Shape and validity of what people type about contacts. What may be done is for the services."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.utils import timezone

from accounts.contacts import coverage
from accounts.contacts.fields import (
    FIRST_ORDER,
    LAST_ORDER,
    LONGEST,
    clean_phone,
    clean_text,
    reach_conflict,
)
from accounts.contacts.hours import HoursKind, countries, lines_of, spans_from_words, spans_of
from accounts.contacts.hours import kept as kept_spans
from accounts.contacts.models import OtherKind, OtherParty, Rotation, RotationMember
from accounts.contacts.rotation import HandOver
from accounts.contacts.rotation import kept as kept_hand_overs
from accounts.forms import ZoneField
from accounts.models import Account, Authority, Channel, Contact, ContactRole, Team
from portal.errors import Refused

_LINES = {"rows": 2, "autocomplete": "off"}


def number_of(text: str) -> str:
    """Return a number as it is kept: the usual separators taken out, so that it can be pasted as it is written."""
    try:
        return clean_phone(text)
    except Refused as refusal:
        raise ValidationError(refusal.says) from refusal


class PhoneField(forms.CharField):
    """A telephone number, as it is kept."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.TextInput(attrs={"type": "tel", "autocomplete": "off"}))
        super().__init__(max_length=40, required=False, **options)

    def clean(self, value: Any) -> str:
        """Return it as E.164, or ""."""
        return number_of(super().clean(value))


@cache
def _countries() -> list[tuple[str, str]]:
    return [("", "not said"), *((code, code) for code in countries())]


def _each(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[\n,;]", text) if part.strip()]


class ContactForm(forms.Form):
    """A person to call, in groups: who, how to reach, when, for what."""

    name = forms.CharField(max_length=LONGEST["name"])
    title = forms.CharField(max_length=LONGEST["title"], required=False)
    organization = forms.CharField(
        max_length=LONGEST["organization"],
        required=False,
        help_text="Only if it is another one than the customer.",
    )

    phone = PhoneField(label="Phone", help_text="The best number, with country code, like +493012345678.")
    more_phones = forms.CharField(
        required=False,
        label="Other numbers",
        help_text="One a line.",
        widget=forms.Textarea(attrs={**_LINES, "inputmode": "tel"}),
    )
    no_phone_because = forms.CharField(
        max_length=LONGEST["no_phone_because"],
        required=False,
        label="No phone, because",
        help_text="An answer, too. Nobody needs to make a number up.",
    )
    email = forms.EmailField(max_length=LONGEST["email"], required=False, label="Mail address")
    is_shared_mailbox = forms.BooleanField(
        required=False,
        label="Several people read this mailbox",
        help_text="An answer from it then proves the mailbox, and not this person.",
    )
    preferred_channel = forms.ChoiceField(
        choices=[("", "not said"), *Channel.choices], required=False, label="Likes to be reached by"
    )
    language = forms.CharField(
        max_length=LONGEST["language"], required=False, help_text="As a short tag, like en, de or pt-BR."
    )

    time_zone = ZoneField()
    hours = forms.ChoiceField(
        choices=[
            (HoursKind.UNKNOWN.value, "not known: the portal assumes nothing"),
            (HoursKind.ALWAYS.value, "around the clock"),
            (HoursKind.WEEKLY.value, "by the week, as below"),
        ],
        required=False,
        label="Can be reached",
    )
    weekly_hours = forms.CharField(
        required=False,
        label="Hours of the week",
        help_text="By the clock where the person is, a line each: Mon to Fri 08:00 to 17:00. A night goes past midnight: 22:00 to 06:00.",
        widget=forms.Textarea(attrs={**_LINES, "rows": 3}),
    )
    holidays_country = forms.ChoiceField(
        choices=_countries,
        required=False,
        label="Public holidays of",
        help_text="On these the weekly hours do not hold.",
    )
    holidays_subdivision = forms.CharField(
        max_length=40, required=False, label="Part of the country", help_text="Like BY for Bavaria."
    )
    days_off = forms.CharField(
        required=False,
        label="Days off",
        help_text="Like 2026-12-23, one a line.",
        widget=forms.Textarea(attrs=_LINES),
    )

    roles = forms.MultipleChoiceField(
        choices=ContactRole.choices, widget=forms.CheckboxSelectMultiple, label="Called for", required=False
    )
    authority = forms.ChoiceField(choices=Authority.choices, required=False, label="May decide")
    escalation_order = forms.IntegerField(
        min_value=FIRST_ORDER,
        max_value=LAST_ORDER,
        initial=1,
        label="Order of call",
        help_text="1 is called first.",
    )
    own_orders = forms.CharField(
        required=False,
        label="Another order for single roles",
        help_text="Like emergency 2, one a line.",
        widget=forms.Textarea(attrs=_LINES),
    )
    responsible = forms.CharField(
        required=False,
        label="Only for these load balancers and servers",
        help_text="Left empty: for everything. One a line, with the provider's id and what it is called: server 8f1d2c9e web-07, or load balancer 71 shop.",
        widget=forms.Textarea(attrs=_LINES),
    )
    valid_from = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    valid_until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    external_id = forms.CharField(
        max_length=LONGEST["external_id"],
        required=False,
        label="Id in your own list",
        help_text="Imports find the row by it.",
    )
    notes = forms.CharField(
        required=False,
        label="Notes (shared with the customer)",
        help_text="Never a support PIN.",
        # A browser counts a line's end as one character and sends two: the rule itself counts what is kept.
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": LONGEST["notes"]}),
    )

    groups: ClassVar[Sequence[tuple[str, tuple[str, ...]]]] = (
        ("Who", ("name", "title", "organization")),
        (
            "How to reach them",
            (
                "phone",
                "more_phones",
                "no_phone_because",
                "email",
                "is_shared_mailbox",
                "preferred_channel",
                "language",
            ),
        ),
        ("What for", ("roles", "authority", "escalation_order", "own_orders", "responsible")),
        (
            "When",
            (
                "time_zone",
                "hours",
                "weekly_hours",
                "holidays_country",
                "holidays_subdivision",
                "days_off",
                "valid_from",
                "valid_until",
            ),
        ),
        ("More", ("external_id", "notes")),
    )

    def grouped(self) -> list[tuple[str, list[BoundField]]]:
        """Return the fields under their headings."""
        return [(title, [self[name] for name in names]) for title, names in self.groups]

    def _read(self, name: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(self.cleaned_data[name])
        except Refused as refusal:
            raise ValidationError(refusal.says) from refusal

    def clean_more_phones(self) -> list[str]:
        """Return the other numbers as they are kept."""
        return [number_of(one) for one in _each(self.cleaned_data["more_phones"])]

    def clean_hours(self) -> str:
        """Return what is known; nothing chosen is unknown."""
        return self.cleaned_data["hours"] or HoursKind.UNKNOWN.value

    def clean_authority(self) -> str:
        """Return what was chosen; nothing is the least."""
        return self.cleaned_data["authority"] or Authority.INFORM.value

    def clean_weekly_hours(self) -> list[dict[str, Any]]:
        """Return the hours of the week as they are kept."""
        return kept_spans(self._read("weekly_hours", spans_from_words))

    def clean_days_off(self) -> list[date]:
        """Return the days."""
        try:
            return [date.fromisoformat(one) for one in _each(self.cleaned_data["days_off"])]
        except ValueError as error:
            raise ValidationError("Write days like 2026-12-23, one a line.") from error

    def clean_own_orders(self) -> dict[str, int]:
        """Return the order by role."""
        found = {}
        for line in _each(self.cleaned_data["own_orders"]):
            role, _, order = line.rpartition(" ")
            is_number = order.isascii() and order.isdigit() and len(order) < 5
            if role.strip() not in ContactRole.values or not is_number:
                raise ValidationError("Write a role and its order, like emergency 2, one a line.")
            if role.strip() in found:
                raise ValidationError(
                    f"{role.strip()} stands there twice. A role has one order: keep one line."
                )
            found[role.strip()] = int(order)
        return found

    def clean_responsible(self) -> list[dict[str, str]]:
        """Return the load balancers and servers."""
        found = []
        for line in self.cleaned_data["responsible"].splitlines():
            words = line.split()
            if not words:
                continue
            kind, rest = (
                ("load_balancer", words[2:]) if words[:2] == ["load", "balancer"] else ("server", words[1:])
            )
            if not rest or (kind == "server" and words[0] != "server"):
                raise ValidationError(
                    "Write server or load balancer, the provider's id and what it is called, one a line."
                )
            found.append({"kind": kind, "id": rest[0], "label": " ".join(rest[1:])})
        return found

    def clean(self) -> dict[str, Any]:
        """Ask for a way to reach the person; the database holds the same rule, in words for nobody."""
        data = super().clean() or {}
        if not data.get("email") and not data.get("phone") and not {"email", "phone"} & set(self.errors):
            self.add_error("email", "A mail address or a phone number is needed.")
        for name in LONGEST:
            if name in data:
                try:
                    data[name] = clean_text(name, data[name])
                except Refused as refusal:
                    self.add_error(name, refusal.says)
        conflict = reach_conflict(
            phone=data.get("phone", ""),
            email=data.get("email", ""),
            no_phone_because=data.get("no_phone_because", ""),
            preferred=data.get("preferred_channel", ""),
        )
        # Of a number that was not taken nobody can say whether it is there.
        if conflict is not None and not {"phone", "email", *conflict[:1]} & set(self.errors):
            self.add_error(*conflict)
        if data.get("hours") == HoursKind.WEEKLY and data.get("weekly_hours") == []:
            self.add_error("weekly_hours", "Say the hours of the week, or choose that they are not known.")
        return data

    def fields_of(self) -> dict[str, Any]:
        """Return what was typed as the services of contacts take it."""
        data = dict(self.cleaned_data)
        data["role_orders"], data["responsible_for"] = data.pop("own_orders"), data.pop("responsible")
        return data


def typed(contact: Contact) -> dict[str, Any]:
    """Return a contact as the form shows it."""
    words = {"load_balancer": "load balancer", "server": "server"}
    return {
        **{name: getattr(contact, name) for name in ContactForm.base_fields if hasattr(contact, name)},
        "more_phones": "\n".join(contact.more_phones),
        "weekly_hours": "\n".join(lines_of(spans_of(contact.weekly_hours))),
        "days_off": "\n".join(str(day) for day in contact.days_off),
        "own_orders": "\n".join(f"{role} {order}" for role, order in contact.role_orders.items()),
        "responsible": "\n".join(
            f"{words[one['kind']]} {one['id']} {one['label']}".strip() for one in contact.responsible_for
        ),
        "external_id": contact.external_id or "",
    }


class ProveForm(forms.Form):
    """A call that somebody made: which number or address, and what was said."""

    channel = forms.ChoiceField(label="They answered on", widget=forms.RadioSelect)
    reason = forms.CharField(
        max_length=300, required=False, label="How you knew that it is them", widget=forms.TextInput()
    )

    def __init__(self, data: Any = None, *, contact: Contact) -> None:
        super().__init__(data)
        numbers = [(f"phone:{number}", number) for number in (contact.phone, *contact.more_phones) if number]
        choice = self.fields["channel"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = numbers
        if numbers:
            self.initial["channel"] = numbers[0][0]


class CoverageForm(forms.Form):
    """Which rules hold for an account: a preset, or own ones, a line each."""

    preset = forms.ChoiceField(label="Rules", widget=forms.RadioSelect)
    rules = forms.CharField(
        required=False,
        label="Own rules",
        help_text="Only with “own rules”. A line each: role, how many, then, if wanted, proven 90 and around the clock. Like: emergency 2 proven 90 around the clock. Roles: primary, backup, technical, emergency, billing, security.",
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
    )

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        choice = self.fields["preset"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [
            *((name, f"{one.title}: {one.says}") for name, one in coverage.PRESETS.items()),
            ("own", "own rules, as below"),
        ]

    def clean_rules(self) -> list[dict[str, Any]]:
        """Return own rules as they are kept; none unless they were chosen."""
        if self.cleaned_data.get("preset") != "own":
            return []
        found = []
        for line in self.cleaned_data["rules"].splitlines():
            if line.strip():
                read = _RULE.fullmatch(" ".join(line.lower().split()))
                if read is None:
                    raise ValidationError(
                        f"“{line.strip()[:60]}” cannot be read. Write like: emergency 2 proven 90 around the clock."
                    )
                found.append(
                    {
                        "role": read["role"],
                        "count": int(read["count"] or 1),
                        "around_the_clock": bool(read["always"]),
                        "proven_within_days": int(read["days"]) if read["days"] else None,
                    }
                )
        try:
            return coverage.kept(coverage.rules_of(found))
        except Refused as refusal:
            raise ValidationError(refusal.says) from refusal


_RULE = re.compile(
    rf"(?P<role>{'|'.join(coverage.RULE_ROLES)})(?: (?P<count>\d{{1,2}}))?(?: proven (?P<days>\d{{1,3}}))?(?P<always> around the clock)?"
)


def rule_line(rule: coverage.Rule) -> str:
    """Return a rule as the form shows it."""
    days = "" if rule.proven_within_days is None else f" proven {rule.proven_within_days}"
    return f"{rule.role} {rule.count}{days}{' around the clock' if rule.around_the_clock else ''}"


class OverrideForm(forms.Form):
    """Why something may begin although somebody is missing, and for how long."""

    reason = forms.CharField(
        max_length=1000, label="Why it may begin all the same", widget=forms.Textarea(attrs={"rows": 3})
    )
    hours = forms.TypedChoiceField(
        coerce=int,
        choices=[(4, "4 hours"), (12, "12 hours"), (24, "a day"), (72, "3 days"), (168, "a week")],
        initial=12,
        label="Holds for",
    )

    def expires_at(self) -> datetime:
        """Return when it ends."""
        return timezone.now() + timedelta(hours=self.cleaned_data["hours"])


_WEEKDAYS = (
    (0, "Monday"),
    (1, "Tuesday"),
    (2, "Wednesday"),
    (3, "Thursday"),
    (4, "Friday"),
    (5, "Saturday"),
    (6, "Sunday"),
)


class TurnsForm(forms.Form):
    """When the duty passes on, for an account's rotation and a team's roster alike."""

    name = forms.CharField(max_length=80)
    time_zone = ZoneField()
    starts_on = forms.DateField(label="Begins on", widget=forms.DateInput(attrs={"type": "date"}))
    hand_over_days = forms.TypedMultipleChoiceField(
        coerce=int,
        choices=_WEEKDAYS,
        widget=forms.CheckboxSelectMultiple,
        label="The duty passes on every",
    )
    hand_over_at = forms.RegexField(
        r"^([01]?[0-9]|2[0-3]):[0-5][0-9](\s*,\s*([01]?[0-9]|2[0-3]):[0-5][0-9])*$",
        label="at",
        initial="09:00",
        help_text="By the clock of the time zone, like 09:00, or 09:00, 21:00 for day and night.",
        max_length=60,
    )

    def hand_overs(self) -> list[dict[str, Any]]:
        """Return the hand-over times as they are kept."""
        times = [
            datetime.strptime(one.strip(), "%H:%M").time()  # noqa: DTZ007 - a time on a wall has no zone
            for one in self.cleaned_data["hand_over_at"].split(",")
        ]
        return kept_hand_overs(
            sorted({HandOver(day, at) for day in self.cleaned_data["hand_over_days"] for at in times})
        )

    def clean(self) -> dict[str, Any]:
        """Ask that no two people have the same place: whose turn it is first would be a guess."""
        data = super().clean() or {}
        holders: dict[int, str] = {}
        for person in getattr(self, "people", ()):
            place = data.get(f"place_{person.pk}")
            if place in holders:
                self.add_error(
                    f"place_{person.pk}",
                    f"{holders[place]} has place {place} already. Give each person a place of their own.",
                )
            elif place:
                holders[place] = person.name
        return data

    def turns(self) -> dict[str, Any]:
        """Return what was typed about name and times, as the services take it."""
        data = self.cleaned_data
        return {
            "name": data["name"],
            "time_zone": data["time_zone"],
            "starts_on": data["starts_on"],
            "hand_overs": self.hand_overs(),
        }


def _turns_typed(row: Rotation | None, zone: str, today: date) -> dict[str, Any]:
    if row is None:
        return {"time_zone": zone, "starts_on": today, "hand_over_days": [0], "hand_over_at": "09:00"}
    return {
        "name": row.name,
        "time_zone": row.time_zone,
        "starts_on": row.starts_on,
        "hand_over_days": sorted({one["day"] for one in row.hand_overs}),
        "hand_over_at": ", ".join(sorted({one["at"] for one in row.hand_overs})),
    }


class RotationForm(TurnsForm):
    """An account's rotation. The members' order is the order of their numbers."""

    roles = forms.MultipleChoiceField(
        choices=ContactRole.choices,
        widget=forms.CheckboxSelectMultiple,
        required=False,
        label="Whoever is on duty is called first for",
    )

    def __init__(self, data: Any = None, *, account: Account, rotation: Rotation | None = None) -> None:
        self.people = list(Contact.objects.filter(account=account).order_by("name", "pk")[:200])
        places = (
            {} if rotation is None else {place.contact_id: place.place + 1 for place in rotation.places.all()}
        )
        roles = [] if rotation is None else [duty.role for duty in rotation.role_duties.all()]
        initial = {**_turns_typed(rotation, account.time_zone, timezone.now().date()), "roles": roles}
        super().__init__(data, initial=initial)
        for person in self.people:
            self.fields[f"place_{person.pk}"] = forms.IntegerField(
                min_value=1, max_value=30, required=False, label=person.name, initial=places.get(person.pk)
            )

    def place_fields(self) -> list[BoundField]:
        """Return a field for each contact: their place in the order."""
        return [self[f"place_{person.pk}"] for person in self.people]

    def members(self) -> list[Contact]:
        """Return the members in order."""
        chosen = [(self.cleaned_data.get(f"place_{one.pk}"), one.pk, one) for one in self.people]
        return [one for place, _, one in sorted((c for c in chosen if c[0]), key=lambda c: c[:2])]


class RosterForm(TurnsForm):
    """A team's duty roster: its number, its bridge, and each member's place and number."""

    number = PhoneField(label="The team's number", help_text="Reaches whoever is on duty.")
    bridge = forms.CharField(
        max_length=300,
        required=False,
        label="The bridge",
        help_text="Where everybody meets in an emergency: a number or an address.",
    )

    def __init__(self, data: Any = None, *, team: Team, rotation: Rotation | None = None) -> None:
        from accounts.selectors import people_of

        self.people = [row.user for row in people_of(team) if row.user.is_active]
        places: dict[int | None, RotationMember] = (
            {} if rotation is None else {place.user_id: place for place in rotation.places.all()}
        )
        initial = {
            **_turns_typed(rotation, "UTC", timezone.now().date()),
            "number": team.duty_number,
            "bridge": team.bridge,
        }
        if rotation is None:
            initial["name"] = "Duty"
        super().__init__(data, initial=initial)
        for person in self.people:
            place = places.get(person.pk)
            self.fields[f"place_{person.pk}"] = forms.IntegerField(
                min_value=1,
                max_value=30,
                required=False,
                label=f"{person.name}: place",
                initial=place.place + 1 if place else None,
            )
            self.fields[f"phone_{person.pk}"] = PhoneField(
                label=f"{person.name}: number", initial=place.phone if place else ""
            )

    def place_fields(self) -> list[BoundField]:
        """Return two fields for each member: place and number."""
        return [self[f"{what}_{person.pk}"] for person in self.people for what in ("place", "phone")]

    def members(self) -> list[tuple[Any, str]]:
        """Return the members in order, each with their number."""
        data = self.cleaned_data
        chosen = [(data.get(f"place_{one.pk}"), one.pk, one) for one in self.people]
        found = sorted((c for c in chosen if c[0]), key=lambda c: c[:2])
        return [(one, data.get(f"phone_{one.pk}") or "") for _, _, one in found]


class PartyForm(forms.Form):
    """Another party that the account depends on."""

    kind = forms.ChoiceField(choices=OtherKind.choices)
    name = forms.CharField(max_length=200)
    customer_number = forms.CharField(max_length=100, required=False, label="Customer number there")
    phone = PhoneField()
    email = forms.EmailField(required=False, label="Mail address")
    url = forms.URLField(max_length=300, required=False, label="Page", assume_scheme="https")
    how_to_reach = forms.CharField(
        max_length=1000,
        required=False,
        label="How to reach them",
        help_text="What to say first, who answers at night. Never a password or a support PIN.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )


def party_typed(party: OtherParty) -> dict[str, Any]:
    """Return another party as the form shows it."""
    return {name: getattr(party, name) for name in PartyForm.base_fields}
