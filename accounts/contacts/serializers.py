"""Shape and validity of the API's input and output for contacts, rotations, coverage and other parties."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.contacts import asking, coverage, selectors
from accounts.contacts.fields import (
    E164,
    FIRST_ORDER,
    LAST_ORDER,
    LONGEST,
    MOST_DAYS_OFF,
    MOST_PHONES,
    clean_text,
    reach_conflict,
)
from accounts.contacts.hours import HoursKind, check_spans, spans_of
from accounts.contacts.models import (
    CoverageOverride,
    LinkFor,
    OtherKind,
    OtherParty,
    ProvenKind,
    Rotation,
)
from accounts.contacts.proving import Standing, standings
from accounts.contacts.rotation import MOST_HAND_OVERS, next_hand_over
from accounts.models import Authority, Channel, Contact, ContactRole
from portal.errors import Refused
from portal.zones import validate_time_zone

RULE_ROLES = [(role, role) for role in coverage.RULE_ROLES]
RESPONSIBLE_KINDS = [("load_balancer", "load balancer"), ("server", "server")]
_E164 = rf"^{E164}$"
_E164_SAYS: dict[str, Any] = {"invalid": "Use the E.164 form with country code, like +493012345678."}


class SpanOut(serializers.Serializer[Any]):
    """A stretch of one day of the week; 0 is Monday. An end before the start is on the next day; 00:00 to 00:00 is a whole day."""

    day = serializers.IntegerField(min_value=0, max_value=6)
    vars()["from"] = serializers.RegexField(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    until = serializers.RegexField(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")


class ResponsibleOut(serializers.Serializer[Any]):
    """A load balancer or server that a contact is named for: the provider's id, and what it is called."""

    kind = serializers.ChoiceField(choices=RESPONSIBLE_KINDS)
    id = serializers.CharField(max_length=100)
    label = serializers.CharField(max_length=200, allow_blank=True, required=False)  # type: ignore[assignment]


class ContactListOut(serializers.ListSerializer[Any]):
    """Many contacts, with what is proven of them by one query."""

    def to_representation(self, data: Any) -> list[Any]:
        """Return them in order."""
        rows = list(data)
        found = standings(rows)
        for row in rows:
            row.standing = found[row.pk]
        return super().to_representation(rows)


class ContactOut(serializers.ModelSerializer[Contact]):
    """A person to call.

    `freshness` is confirmed, due (90 days), stale (180 days), unconfirmed, bouncing (mail comes back), or disowned
    (whoever reads the mailbox says: this is not me; `disowned_at`, `disowned_says`). A channel is
    proven by somebody's answer on it: `mail_proven_at`, and the `phones_proven`. `is_proven` is of the person: a shared
    mailbox proves the mailbox alone.
    """

    account = serializers.UUIDField(source="account.ref")
    freshness = serializers.SerializerMethodField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=ContactRole.choices))
    role_orders = serializers.DictField(child=serializers.IntegerField())
    weekly_hours = SpanOut(many=True)
    responsible_for = ResponsibleOut(many=True)
    mail_proven_at = serializers.SerializerMethodField()
    phones_proven = serializers.SerializerMethodField()
    is_proven = serializers.SerializerMethodField()
    seen = serializers.SerializerMethodField()

    class Meta:
        model = Contact
        list_serializer_class = ContactListOut
        fields = (
            "ref",
            "account",
            "name",
            "title",
            "organization",
            "email",
            "is_shared_mailbox",
            "phone",
            "more_phones",
            "no_phone_because",
            "time_zone",
            "hours",
            "weekly_hours",
            "holidays_country",
            "holidays_subdivision",
            "days_off",
            "preferred_channel",
            "language",
            "roles",
            "authority",
            "escalation_order",
            "role_orders",
            "responsible_for",
            "valid_from",
            "valid_until",
            "external_id",
            "confirmed_on",
            "confirmed_by_name",
            "freshness",
            "bouncing_since",
            "disowned_at",
            "disowned_says",
            "mail_proven_at",
            "phones_proven",
            "is_proven",
            "seen",
            "notes",
            "created_at",
            "updated_at",
        )

    def _standing(self, contact: Any) -> Standing:
        if not hasattr(contact, "standing"):
            contact.standing = standings([contact])[contact.pk]
        found: Standing = contact.standing
        return found

    @extend_schema_field(serializers.ChoiceField(choices=selectors.FRESHNESS))
    def get_freshness(self, contact: Contact) -> str:
        """Return how fresh the confirmation is today."""
        return selectors.freshness_of(contact, today=timezone.now().date())

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_mail_proven_at(self, contact: Contact) -> str | None:
        """Return when the mail address was proven."""
        proven = self._standing(contact).mail
        return proven.at.isoformat() if proven is not None else None

    @extend_schema_field(serializers.DictField(child=serializers.DateTimeField()))
    def get_phones_proven(self, contact: Contact) -> dict[str, str]:
        """Return when each proven number was."""
        return {number: one.at.isoformat() for number, one in self._standing(contact).phones.items()}

    @extend_schema_field(serializers.CharField())
    def get_seen(self, contact: Contact) -> str:
        """Return the digest of what is confirmed of the contact."""
        return asking.seen_of(contact)

    @extend_schema_field(serializers.BooleanField())
    def get_is_proven(self, contact: Contact) -> bool:
        """Return whether the person was proven on a channel that stands."""
        return self._standing(contact).is_proven


class ContactIn(serializers.Serializer[Any]):
    """A person to call; a mail address or a phone number is needed."""

    name = serializers.CharField(max_length=LONGEST["name"])
    title = serializers.CharField(max_length=LONGEST["title"], required=False, allow_blank=True)
    organization = serializers.CharField(max_length=LONGEST["organization"], required=False, allow_blank=True)
    email = serializers.EmailField(max_length=LONGEST["email"], required=False, allow_blank=True)
    is_shared_mailbox = serializers.BooleanField(required=False)
    phone = serializers.RegexField(_E164, required=False, allow_blank=True, error_messages=_E164_SAYS)
    more_phones = serializers.ListField(
        child=serializers.RegexField(_E164, error_messages=_E164_SAYS), required=False, max_length=MOST_PHONES
    )
    no_phone_because = serializers.CharField(
        max_length=LONGEST["no_phone_because"], required=False, allow_blank=True
    )
    time_zone = serializers.CharField(max_length=64, required=False, validators=[validate_time_zone])
    hours = serializers.ChoiceField(choices=[kind.value for kind in HoursKind], required=False)
    weekly_hours = SpanOut(many=True, required=False)
    holidays_country = serializers.RegexField(r"^[A-Z]{2}$", required=False, allow_blank=True)
    holidays_subdivision = serializers.CharField(max_length=40, required=False, allow_blank=True)
    days_off = serializers.ListField(child=serializers.DateField(), required=False, max_length=MOST_DAYS_OFF)
    preferred_channel = serializers.ChoiceField(choices=Channel.choices, required=False, allow_blank=True)
    language = serializers.CharField(max_length=LONGEST["language"], required=False, allow_blank=True)
    roles = serializers.ListField(
        child=serializers.ChoiceField(choices=ContactRole.choices), required=False, max_length=5
    )
    authority = serializers.ChoiceField(choices=Authority.choices, required=False)
    escalation_order = serializers.IntegerField(min_value=FIRST_ORDER, max_value=LAST_ORDER, required=False)
    role_orders = serializers.DictField(
        child=serializers.IntegerField(min_value=FIRST_ORDER, max_value=LAST_ORDER), required=False
    )
    responsible_for = ResponsibleOut(many=True, required=False)
    valid_from = serializers.DateField(required=False, allow_null=True)
    valid_until = serializers.DateField(required=False, allow_null=True)
    external_id = serializers.CharField(
        max_length=LONGEST["external_id"], required=False, allow_null=True, allow_blank=True
    )
    notes = serializers.CharField(max_length=LONGEST["notes"], required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask the rules that the form and the import ask, and name the field."""
        wrong = {}
        for name in LONGEST:
            if attrs.get(name):
                try:
                    attrs[name] = clean_text(name, attrs[name])
                except Refused as refusal:
                    wrong[name] = [refusal.says]
        if attrs.get("weekly_hours"):
            try:
                check_spans(spans_of(attrs["weekly_hours"]))
            except Refused as refusal:
                wrong["weekly_hours"] = [refusal.says]
        # Of a change it is the service that knows the rest.
        conflict = (
            None
            if self.partial
            else reach_conflict(
                phone=attrs.get("phone", ""),
                email=attrs.get("email", ""),
                no_phone_because=attrs.get("no_phone_because", ""),
                preferred=attrs.get("preferred_channel", ""),
            )
        )
        if conflict is not None:
            wrong.setdefault(conflict[0], [conflict[1]])
        if wrong:
            raise serializers.ValidationError(wrong)
        return attrs


class ContactAddIn(ContactIn):
    """A new person to call. `all_the_same` adds somebody who looks like one who is listed (409 without)."""

    all_the_same = serializers.BooleanField(required=False)


class ProveIn(serializers.Serializer[Any]):
    """A call that you made: on which number or address the person answered, and what they said."""

    channel = serializers.ChoiceField(choices=ProvenKind.choices)
    value = serializers.CharField(max_length=254)
    reason = serializers.CharField(max_length=300, allow_blank=True, required=False)


class KeepIn(serializers.Serializer[Any]):
    """Why the contact is right as listed, although the reader of the mailbox said that it is not them."""

    reason = serializers.CharField(max_length=300)


class AskIn(serializers.Serializer[Any]):
    """What the mailed link is for."""

    use = serializers.ChoiceField(choices=LinkFor.choices)


class ConfirmListIn(serializers.Serializer[Any]):
    """Who is still right, and of each the `seen` that was read: it names the name, address, number, roles and authority."""

    contacts = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=200)
    seen = serializers.DictField(child=serializers.CharField(max_length=64))

    def validate_seen(self, seen: dict[str, str]) -> dict[str, str]:
        """Ask that each is the reference of a contact."""
        for ref in seen:
            try:
                UUID(ref)
            except ValueError:
                raise serializers.ValidationError(f"“{ref[:40]}” is no contact's reference.") from None
        return seen

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask what was seen of each."""
        known = {UUID(ref) for ref in attrs["seen"]}
        if missing := [str(ref) for ref in attrs["contacts"] if ref not in known]:
            raise serializers.ValidationError({"seen": [f"Send what you read of {', '.join(missing[:5])}."]})
        return attrs


class ConfirmedOut(serializers.Serializer[Any]):
    """How many were confirmed."""

    confirmed = serializers.IntegerField()


class LinkOut(serializers.Serializer[Any]):
    """A link that was mailed. The link itself is in the mail alone."""

    ref = serializers.UUIDField()
    use = serializers.ChoiceField(choices=LinkFor.choices)
    made_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class MomentThere(serializers.DateTimeField):
    """A moment written in its own zone, with that zone's offset; the plain field turns it into UTC."""

    def enforce_timezone(self, value: Any) -> Any:
        """Keep the zone."""
        return value


class CalleeOut(serializers.Serializer[Any]):
    """One person in the order of call. `why_not` is "" for whoever can be called; unknown is null."""

    contact = serializers.UUIDField(source="contact.ref")
    name = serializers.CharField(source="contact.name")
    place = serializers.IntegerField()
    phone = serializers.CharField()
    phones = serializers.ListField(child=serializers.CharField())
    email = serializers.CharField()
    time_zone = serializers.CharField()
    local_time = MomentThere()
    is_reachable_now = serializers.BooleanField(allow_null=True)
    is_proven = serializers.BooleanField()
    is_on_duty = serializers.BooleanField()
    is_expired = serializers.BooleanField()
    is_bouncing = serializers.BooleanField()
    preferred_channel = serializers.CharField()
    language = serializers.CharField()
    why_not = serializers.CharField()


class CallOrderOut(serializers.Serializer[Any]):
    """Whom to call for a role, at a moment."""

    role = serializers.ChoiceField(choices=ContactRole.choices)
    at = serializers.DateTimeField()
    people = CalleeOut(many=True)


class RuleOut(serializers.Serializer[Any]):
    """So many people in a role; `backup` is somebody besides the primary."""

    role = serializers.ChoiceField(choices=RULE_ROLES)
    count = serializers.IntegerField(min_value=1, max_value=20, default=1)
    around_the_clock = serializers.BooleanField(default=False)
    proven_within_days = serializers.IntegerField(min_value=1, max_value=730, allow_null=True, default=None)


class GapOut(serializers.Serializer[Any]):
    """One thing that is missing, and what to do about it."""

    role = serializers.CharField()
    code = serializers.CharField()
    says = serializers.CharField()
    todo = serializers.CharField()


class OverrideOut(serializers.ModelSerializer[CoverageOverride]):
    """A lead's decision that runs and drills may begin although somebody is missing."""

    class Meta:
        model = CoverageOverride
        fields = ("ref", "reason", "by_name", "at", "expires_at", "gaps", "ended_at")


class CoverageOut(serializers.Serializer[Any]):
    """What an account must have in contacts, what is missing, and whether a run may begin now."""

    preset = serializers.CharField()
    rules = RuleOut(many=True)
    gaps = GapOut(many=True)
    may_begin = serializers.BooleanField()
    begin_gaps = GapOut(many=True)
    override = OverrideOut(allow_null=True)


class CoverageIn(serializers.Serializer[Any]):
    """A preset, or rules of one's own; one of the two."""

    preset = serializers.ChoiceField(choices=list(coverage.PRESETS), required=False)
    rules = RuleOut(many=True, required=False)


class OverrideIn(serializers.Serializer[Any]):
    """Why it may begin all the same, and until when (at most 14 days)."""

    reason = serializers.CharField(max_length=1000)
    expires_at = serializers.DateTimeField()


class HandOverOut(serializers.Serializer[Any]):
    """A time of the week at which the duty passes on; 0 is Monday."""

    day = serializers.IntegerField(min_value=0, max_value=6)
    at = serializers.RegexField(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")


class RotationOut(serializers.ModelSerializer[Rotation]):
    """People who are on duty in turn. `on_duty` is null before the first hand-over.

    `next_hand_over_at` is when the duty passes on next, in the rotation's zone, and `next_on_duty` to whom.
    """

    account = serializers.UUIDField(source="account.ref")
    hand_overs = HandOverOut(many=True)
    members = serializers.SerializerMethodField()
    roles = serializers.SerializerMethodField()
    on_duty = serializers.SerializerMethodField()
    next_hand_over_at = serializers.SerializerMethodField()
    next_on_duty = serializers.SerializerMethodField()

    class Meta:
        model = Rotation
        fields = (
            "ref",
            "account",
            "name",
            "time_zone",
            "starts_on",
            "hand_overs",
            "members",
            "roles",
            "on_duty",
            "next_hand_over_at",
            "next_on_duty",
            "created_at",
            "updated_at",
        )

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_members(self, row: Rotation) -> list[str]:
        """Return the members' references in order."""
        return [str(member.ref) for member in selectors.duty_of(row).members]

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=ContactRole.choices)))
    def get_roles(self, row: Rotation) -> list[str]:
        """Return the roles that use it."""
        return sorted(duty.role for duty in row.role_duties.all())

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_on_duty(self, row: Rotation) -> str | None:
        """Return who is on duty now."""
        found = selectors.on_duty_now(row, timezone.now())
        return str(found.ref) if found is not None else None

    def _next(self, row: Rotation) -> tuple[datetime, Any] | None:
        return next_hand_over(selectors.duty_of(row), timezone.now())

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_hand_over_at(self, row: Rotation) -> str | None:
        """Return when the duty passes on next."""
        found = self._next(row)
        return found[0].isoformat() if found is not None else None

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_next_on_duty(self, row: Rotation) -> str | None:
        """Return who takes over then."""
        found = self._next(row)
        return str(found[1].ref) if found is not None else None


class RotationIn(serializers.Serializer[Any]):
    """A rotation of an account's contacts."""

    name = serializers.CharField(max_length=80)
    time_zone = serializers.CharField(max_length=64, required=False, validators=[validate_time_zone])
    starts_on = serializers.DateField()
    hand_overs = HandOverOut(many=True, max_length=MOST_HAND_OVERS)  # type: ignore[call-arg]  # of its list
    members = serializers.ListField(child=serializers.UUIDField(), max_length=30)
    roles = serializers.ListField(
        child=serializers.ChoiceField(choices=ContactRole.choices), required=False, max_length=5
    )


class PartyOut(serializers.ModelSerializer[OtherParty]):
    """Another party that the account depends on."""

    account = serializers.UUIDField(source="account.ref")

    class Meta:
        model = OtherParty
        fields = (
            "ref",
            "account",
            "kind",
            "name",
            "customer_number",
            "phone",
            "email",
            "url",
            "how_to_reach",
            "created_at",
            "updated_at",
        )


class PartyIn(serializers.Serializer[Any]):
    """Another party; say in one way or other how to reach it."""

    kind = serializers.ChoiceField(choices=OtherKind.choices)
    name = serializers.CharField(max_length=200)
    customer_number = serializers.CharField(max_length=100, required=False, allow_blank=True)
    phone = serializers.RegexField(_E164, required=False, allow_blank=True, error_messages=_E164_SAYS)
    email = serializers.EmailField(required=False, allow_blank=True)
    url = serializers.URLField(max_length=300, required=False, allow_blank=True)
    how_to_reach = serializers.CharField(max_length=1000, required=False, allow_blank=True)


class SupportPinOut(serializers.Serializer[Any]):
    """Whether the support PIN is at hand; null if nobody said. The PIN itself is never stored."""

    is_ready = serializers.BooleanField(allow_null=True)
    as_of = serializers.DateField(allow_null=True)


class SupportPinIn(serializers.Serializer[Any]):
    """Whether the support PIN is at hand."""

    is_ready = serializers.BooleanField()


class OnDutyOut(serializers.Serializer[Any]):
    """Somebody of the launch team on duty: until when, and the number they answer."""

    name = serializers.CharField()
    phone = serializers.CharField()
    begins = serializers.DateTimeField()
    ends = serializers.DateTimeField()


class DutyOut(serializers.Serializer[Any]):
    """The launch team's duty: its number, its bridge, who is on now and tonight (22:00 by the account's clock)."""

    team = serializers.CharField()
    number = serializers.CharField()
    bridge = serializers.CharField()
    now = OnDutyOut(allow_null=True)
    tonight = OnDutyOut(allow_null=True)
