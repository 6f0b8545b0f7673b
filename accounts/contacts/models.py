"""Rotations, proofs and confirmations of contacts, other parties, and the log of who used what is held about people."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q

from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced
from portal.zones import validate_time_zone

_ROLES = ["primary", "technical", "emergency", "billing", "security"]


class Rotation(Referenced):
    """A list of people who are on duty in turn, of an account (contacts) or of a team (users).

    `hand_overs` are times of the week on the wall of `time_zone` (accounts/contacts/rotation.py).
    """

    is_titled_freely = True

    account = models.ForeignKey(
        "accounts.Account", null=True, blank=True, on_delete=models.CASCADE, related_name="rotations"
    )
    team = models.ForeignKey(
        "accounts.Team", null=True, blank=True, on_delete=models.CASCADE, related_name="rotations"
    )
    name = models.CharField(max_length=80)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    starts_on = models.DateField()
    hand_overs = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    account_path = "account"
    team_path = "team"

    rule_says = {
        "rotation_name_once_an_account": "The account has a rotation of this name already.",
        "rotation_once_a_team": "The team has a duty roster already.",
    }

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(
                name="rotation_of_account_or_team",
                condition=Q(account__isnull=False, team__isnull=True)
                | Q(account__isnull=True, team__isnull=False),
            ),
            models.UniqueConstraint(
                name="rotation_name_once_an_account",
                fields=["account", "name"],
                condition=Q(account__isnull=False),
            ),
            models.UniqueConstraint(
                name="rotation_once_a_team", fields=["team"], condition=Q(team__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RotationMember(models.Model):
    """One place in a rotation: a contact, or a user of a team's roster with the number they answer."""

    rotation = models.ForeignKey(Rotation, on_delete=models.CASCADE, related_name="places")
    place = models.PositiveSmallIntegerField()
    contact = models.ForeignKey(
        "accounts.Contact", null=True, blank=True, on_delete=models.CASCADE, related_name="places"
    )
    user = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.CASCADE, related_name="duty_places"
    )
    phone = models.CharField(max_length=16, blank=True)

    class Meta:
        app_label = "accounts"
        constraints = [
            models.UniqueConstraint(name="rotation_place_once", fields=["rotation", "place"]),
            models.CheckConstraint(
                name="rotation_place_of_one",
                condition=Q(contact__isnull=False, user__isnull=True)
                | Q(contact__isnull=True, user__isnull=False),
            ),
            models.CheckConstraint(
                name="rotation_phone_e164",
                condition=Q(phone="") | Q(phone__regex=r"^\+[1-9][0-9]{6,14}$"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rotation}: {self.place}"


class RoleDuty(models.Model):
    """For this role of an account whoever is on duty in the rotation is called first."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="role_duties")
    role = models.CharField(max_length=20)
    rotation = models.ForeignKey(Rotation, on_delete=models.CASCADE, related_name="role_duties")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.UniqueConstraint(name="role_duty_once", fields=["account", "role"]),
            models.CheckConstraint(name="role_duty_role_known", condition=Q(role__in=_ROLES)),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.rotation}"


class ProvenKind(models.TextChoices):
    """What was proven."""

    MAIL = "mail", "mail address"
    PHONE = "phone", "phone number"


class ProvenHow(models.TextChoices):
    """By what."""

    LINK = "link", "link in a mail, and its button"
    CODE = "code", "code read out on the phone"
    CALL = "call", "call, logged by a named person"


class ChannelProof(Referenced):
    """Somebody answered on this very mail address or number. Never changed (a trigger refuses it); goes with its contact.

    `value_digest` is a keyed hash of the address or number (accounts/contacts/proving.py), so that a changed value has no
    proof any more. `by_ref` and `by_name` (sealed) are the user who logged it, empty where the person answered. A
    doubtful one counts for nothing.
    """

    contact = models.ForeignKey("accounts.Contact", on_delete=models.CASCADE, related_name="proofs")
    kind = models.CharField(max_length=5, choices=ProvenKind.choices)
    value_digest = models.CharField(max_length=64)
    how = models.CharField(max_length=5, choices=ProvenHow.choices)
    at = models.DateTimeField()
    by_ref = models.CharField(max_length=36, blank=True)
    by_name = models.TextField(blank=True)
    agent = models.CharField(max_length=300, blank=True)
    is_doubtful = models.BooleanField(default=False)
    reason = models.CharField(max_length=300, blank=True)

    account_path = "contact__account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name", "reason")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="proof_kind_known", condition=Q(kind__in=ProvenKind.values)),
            models.CheckConstraint(name="proof_how_known", condition=Q(how__in=ProvenHow.values)),
            models.CheckConstraint(
                name="proof_digest_is_sha256", condition=Q(value_digest__regex=r"^[0-9a-f]{64}$")
            ),
            # A call is somebody's word, so it has a name.
            models.CheckConstraint(name="proof_call_is_by_a_user", condition=~Q(how="call", by_ref="")),
        ]
        indexes = [models.Index(fields=["contact", "-id"], name="proof_of_contact")]

    def __str__(self) -> str:
        return f"{self.kind} {self.how} {self.at:%F}"


class ConfirmedBy(models.TextChoices):
    """By which channel an answer came."""

    PORTAL = "portal", "in the portal"
    API = "api", "by the API"
    LINK = "link", "by the link in a mail"
    CALL = "call", "on the phone, logged by a named person"


class RoleConfirmation(Referenced):
    """ "Still me, still right": somebody confirmed a contact's roles. Never changed; goes with its contact."""

    contact = models.ForeignKey("accounts.Contact", on_delete=models.CASCADE, related_name="confirmations")
    at = models.DateTimeField()
    on = models.DateField()
    roles = ArrayField(models.CharField(max_length=20), default=list)
    channel = models.CharField(max_length=6, choices=ConfirmedBy.choices)
    by_ref = models.CharField(max_length=36, blank=True)
    by_name = models.TextField(blank=True)
    agent = models.CharField(max_length=300, blank=True)
    is_doubtful = models.BooleanField(default=False)
    reason = models.CharField(max_length=300, blank=True)

    account_path = "contact__account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name", "reason")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(
                name="confirmation_channel_known", condition=Q(channel__in=ConfirmedBy.values)
            ),
        ]
        indexes = [models.Index(fields=["contact", "-id"], name="confirmation_of_contact")]

    def __str__(self) -> str:
        return f"{self.channel} {self.on}"


class OtherKind(models.TextChoices):
    """Who else is called when the site is down."""

    AGENCY = "agency", "agency"
    REGISTRAR = "registrar", "DNS registrar"
    CDN = "cdn", "CDN"
    PAYMENT = "payment", "payment provider"
    OTHER = "other", "other"


class OtherParty(Referenced):
    """A company that the account depends on, its customer number there, and how to reach it."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="other_parties")
    kind = models.CharField(max_length=10, choices=OtherKind.choices)
    name = models.CharField(max_length=200)
    customer_number = models.CharField(max_length=100, blank=True)
    phone = models.CharField(max_length=16, blank=True)
    email = models.EmailField(blank=True)
    url = models.URLField(max_length=300, blank=True)
    how_to_reach = models.TextField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    account_path = "account"

    # An agency may be one person: what is kept of it stands under a key of its own, as a person's does.
    personal_fields = ("name", "customer_number", "phone", "email", "url", "how_to_reach")

    rule_says = {
        "party_phone_e164": "Phone: with + and country code, digits only, like +493012345678.",
        "party_can_be_reached": "Say how to reach them: a number, a mail address, a page, or in words.",
    }

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="party_kind_known", condition=Q(kind__in=OtherKind.values)),
            models.CheckConstraint(
                name="party_phone_e164", condition=Q(phone="") | Q(phone__regex=r"^\+[1-9][0-9]{6,14}$")
            ),
            models.CheckConstraint(
                name="party_can_be_reached", condition=~Q(phone="", email="", url="", how_to_reach="")
            ),
        ]
        indexes = [models.Index(fields=["account", "name", "id"], name="party_name")]

    def __str__(self) -> str:
        return self.name


class SupportPin(models.Model):
    """Whether the account has its support PIN at hand, and as of when. The PIN itself is never stored."""

    account = models.OneToOneField("accounts.Account", on_delete=models.CASCADE, related_name="support_pin")
    is_ready = models.BooleanField()
    as_of = models.DateField()

    class Meta:
        app_label = "accounts"

    def __str__(self) -> str:
        return f"{'ready' if self.is_ready else 'not ready'} {self.as_of}"


class UsedBy(models.TextChoices):
    """By which way contact data left the account's own pages."""

    EXPORT = "export", "export"
    API = "api", "read by the API"
    MAIL = "mail", "mail to the person"
    CALL = "call", "call or text message to the person"
    CASE = "case", "support case"
    OTHER = "other", "other use"


class ContactUse(Referenced):
    """One use of contact data outside of the account's own pages: who, when, what for, and of whom.

    One row however many contacts: `contact_ids` are internal keys, which name nobody once the rows are gone.
    `by_name` and `reason` are sealed. Never changed; dropped after a year and a month.
    """

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="contact_uses")
    contact_ids = ArrayField(models.BigIntegerField())
    way = models.CharField(max_length=6, choices=UsedBy.choices)
    reason = models.TextField()
    at = models.DateTimeField()
    by_ref = models.CharField(max_length=36, blank=True)
    by_name = models.TextField(blank=True)
    token_prefix = models.CharField(max_length=20, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=16, blank=True, default="", db_default="")
    """A keyed hash of the reason: tells whether a program said the same before, without reading what is sealed."""

    account_path = "account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name", "reason")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="use_way_known", condition=Q(way__in=UsedBy.values)),
            models.CheckConstraint(name="use_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(name="use_of_somebody", condition=~Q(contact_ids=[])),
        ]
        indexes = [
            GinIndex(fields=["contact_ids"], name="use_of_contact"),
            models.Index(fields=["account", "-id"], name="use_of_account"),
            models.Index(fields=["at"], name="use_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.way} {self.at:%F %T}"


class CoverageRules(models.Model):
    """What an account must have in contacts. No row means the preset *standard*.

    `preset` is the name of the one chosen, "" where `rules` were edited (accounts/contacts/coverage.py says their shape).
    """

    account = models.OneToOneField(
        "accounts.Account", on_delete=models.CASCADE, related_name="coverage_rules"
    )
    preset = models.CharField(max_length=30, blank=True)
    rules = models.JSONField(default=list)
    updated_at = models.DateTimeField(auto_now=True)

    account_path = "account"

    class Meta:
        app_label = "accounts"

    def __str__(self) -> str:
        return self.preset or "own rules"


class CoverageOverride(Referenced):
    """A lead's decision to go on although somebody is missing: with a reason, until a moment. Stays on the record.

    `by_name` and `reason` are sealed.
    """

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="overrides")
    reason = models.TextField()
    at = models.DateTimeField()
    expires_at = models.DateTimeField()
    by_ref = models.CharField(max_length=36)
    by_name = models.TextField()
    gaps = models.JSONField(default=list)
    ended_at = models.DateTimeField(null=True, blank=True)

    account_path = "account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name", "reason")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="override_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(name="override_ends_after_start", condition=Q(expires_at__gt=F("at"))),
        ]
        indexes = [models.Index(fields=["account", "-id"], name="override_of_account")]

    def __str__(self) -> str:
        return f"until {self.expires_at:%F %H:%M}"


class LinkFor(models.TextChoices):
    """What a link in a mail to a contact is for."""

    PROVE = "prove", "prove the mail address"
    CONFIRM = "confirm", "confirm that it is still right"
    SEE = "see", "see what is held"


class ContactLink(Referenced):
    """A link that was mailed to a contact. Of its token only a keyed hash is kept; opening it changes nothing.

    It ends by time, when it was answered, when a newer one for the same was sent, or when somebody revokes it; and it
    is for the address that it was sent to (`value_digest`), so a changed address voids it.
    """

    contact = models.ForeignKey("accounts.Contact", on_delete=models.CASCADE, related_name="links")
    use = models.CharField(max_length=8, choices=LinkFor.choices)
    digest = models.CharField(max_length=64, unique=True)
    value_digest = models.CharField(max_length=64)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    asked_by_ref = models.CharField(max_length=36, blank=True)

    account_path = "contact__account"

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="contact_link_use_known", condition=Q(use__in=LinkFor.values)),
            models.CheckConstraint(
                name="contact_link_digest_is_sha256", condition=Q(digest__regex=r"^[0-9a-f]{64}$")
            ),
        ]
        indexes = [models.Index(fields=["contact", "use", "-id"], name="contact_link_newest")]

    def __str__(self) -> str:
        return f"{self.use} {self.made_at:%F}"


class PhoneCode(models.Model):
    """A code that a named person reads out on the phone; the one who answers types it. One per contact, five tries."""

    contact = models.OneToOneField("accounts.Contact", on_delete=models.CASCADE, related_name="phone_code")
    digest = models.CharField(max_length=64)
    value_digest = models.CharField(max_length=64)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    by_ref = models.CharField(max_length=36)
    by_name = models.TextField()

    class Meta:
        app_label = "accounts"

    def __str__(self) -> str:
        return f"code {self.made_at:%F}"
