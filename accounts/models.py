"""Teams, customers' accounts, who may enter, whom to call, and how the portal reaches their cloud."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Cast, Lower, Now
from django.db.models.lookups import Regex
from django.utils.crypto import salted_hmac
from django.utils.functional import cached_property

from accounts.contacts.fields import E164, LONGEST
from accounts.contacts.hours import HoursKind
from portal.crypto import EncryptedTextField
from portal.rows import Referenced
from portal.search import SearchText
from portal.zones import validate_time_zone


class UserManager(BaseUserManager["User"]):
    """Makes and finds users by mail, whatever the case in which it was typed."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Return a new user; without a password the user cannot log in by one."""
        if not email:
            raise ValueError("A user needs a mail address.")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        """Return the user with this mail; raises User.DoesNotExist."""
        return self.get(email=(username or "").strip().lower())


class User(Referenced, AbstractBaseUser):
    """A person who logs in. What they may do stands in memberships alone: there is no superuser.

    `is_operator` is for the people who run the installation: health and queues, no row of any account.
    `session_generation` is part of what every session is held against: one more ends them all at once.
    """

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    is_operator = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    session_generation = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    limit: Any = None
    """What a service token that acts in this user's name leaves of their rights; None in every other request."""

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    personal_fields = ("name", "email")

    class Meta:
        constraints = [models.CheckConstraint(name="user_email_lower", condition=Q(email=Lower("email")))]

    def __str__(self) -> str:
        return self.name

    @cached_property
    def is_in_a_team(self) -> bool:
        """Whether the user is a launch manager somewhere: asked once, for the words of pages (what one may do is in portal/access.py)."""
        return self.team_memberships.exists()

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Return what a session must carry: it ends with a new password or a new generation."""
        held = f"{self.password}\n{self.session_generation}"
        return salted_hmac("accounts.User.session", held, secret=secret, algorithm="sha256").hexdigest()


class TeamRole(models.TextChoices):
    """What a user may do in all accounts of a team (portal/access.py has the table)."""

    LAUNCH_MANAGER = "launch_manager", "launch manager"
    LEAD = "lead", "lead"


class AccountRole(models.TextChoices):
    """What a customer's user may do in the own account (portal/access.py has the table)."""

    VIEWER = "viewer", "viewer"
    EDITOR = "editor", "editor"
    APPROVER = "approver", "approver"
    ADMIN = "admin", "admin"


class Team(Referenced):
    """The launch managers who look after a set of accounts.

    `duty_number` reaches whoever is on duty, `bridge` is where everybody meets in an emergency (a number or an address).
    """

    name = models.CharField(max_length=200, unique=True)
    duty_number = models.CharField(max_length=16, blank=True, default="", db_default="")
    bridge = models.CharField(max_length=300, blank=True, default="", db_default="")
    created_at = models.DateTimeField(auto_now_add=True)

    team_path = ""

    rule_says = {"team_duty_number_e164": "Number: with + and country code, digits only, like +493012345678."}

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="team_duty_number_e164",
                condition=Q(duty_number="") | Q(duty_number__regex=r"^\+[1-9][0-9]{6,14}$"),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TeamMembership(Referenced):
    """A user's role in a team. `granted_by` is None only for what the installation began with."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="team_memberships")
    role = models.CharField(max_length=20, choices=TeamRole.choices)
    granted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    team_path = "team"

    people = ("user",)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="team_member_once", fields=["team", "user"]),
            models.CheckConstraint(name="team_role_known", condition=Q(role__in=TeamRole.values)),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role}"


class AccountStatus(models.TextChoices):
    """An account is archived, never silently deleted."""

    ACTIVE = "active", "active"
    ARCHIVED = "archived", "archived"


class Account(Referenced):
    """One customer. `milestone` runs from 1 to 5; 5 is steady state.

    `notes` are shared with the customer, `team_notes` are read by the team only.
    """

    name = models.CharField(max_length=200)
    number = models.CharField(max_length=60)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="accounts")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    service_level = models.CharField(max_length=60, blank=True)
    milestone = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=10, choices=AccountStatus.choices, default=AccountStatus.ACTIVE)
    notes = models.TextField(blank=True)
    team_notes = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    account_path = ""

    class Meta:
        constraints = [
            models.UniqueConstraint(name="account_number_once_a_team", fields=["team", "number"]),
            models.CheckConstraint(name="account_milestone_1_to_5", condition=Q(milestone__range=(1, 5))),
            models.CheckConstraint(
                name="account_status_known",
                condition=Q(status__in=AccountStatus.values),
            ),
        ]
        indexes = [
            models.Index(fields=["name", "id"], name="account_name"),
            models.Index(fields=["number", "id"], name="account_number"),
            models.Index(fields=["milestone", "id"], name="account_milestone"),
            models.Index(fields=["created_at", "id"], name="account_created"),
            GinIndex(OpClass(SearchText("name", "number"), name="gin_trgm_ops"), name="account_search"),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(Referenced):
    """A user's role in one account. `granted_by` is None only for what the installation began with.

    `granted_as` is the role in which it was given: one given by a lead is named on every approval resting on it.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=AccountRole.choices)
    granted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    granted_as = models.CharField(max_length=20, blank=True, db_default="")
    granted_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    account_path = "account"

    people = ("user",)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="account_member_once", fields=["account", "user"]),
            models.CheckConstraint(name="account_role_known", condition=Q(role__in=AccountRole.values)),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role}"


class Invitation(Referenced):
    """An offer of one role, on an account or in a team, to whoever reads this mail address.

    Single use. Of the token in the mail only a keyed hash is kept; `prefix` lets a person tell which it is.
    Whether it still holds is asked afresh each time (accounts/invitations.py): the inviter may have lost the
    right to give the role. Sending it again makes a new token, and the old one ends.
    """

    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.CASCADE, related_name="invitations"
    )
    team = models.ForeignKey(
        Team, null=True, blank=True, on_delete=models.CASCADE, related_name="invitations"
    )
    email = models.EmailField()
    role = models.CharField(max_length=20)
    digest = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    revoked_at = models.DateTimeField(null=True, blank=True)

    account_path = "account"
    team_path = "team"
    personal_fields = ("email",)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="invitation_of_account_or_team",
                condition=Q(account__isnull=False, team__isnull=True, role__in=AccountRole.values)
                | Q(account__isnull=True, team__isnull=False, role__in=TeamRole.values),
            ),
            models.CheckConstraint(name="invitation_email_lower", condition=Q(email=Lower("email"))),
            models.CheckConstraint(
                name="invitation_digest_is_sha256", condition=Q(digest__regex=r"^[0-9a-f]{64}$")
            ),
            models.CheckConstraint(
                name="invitation_used_or_revoked",
                condition=Q(accepted_at__isnull=True) | Q(revoked_at__isnull=True),
            ),
            models.UniqueConstraint(
                name="invitation_open_once_an_account",
                fields=["account", "email"],
                condition=Q(accepted_at__isnull=True, revoked_at__isnull=True, account__isnull=False),
            ),
            models.UniqueConstraint(
                name="invitation_open_once_a_team",
                fields=["team", "email"],
                condition=Q(accepted_at__isnull=True, revoked_at__isnull=True, team__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email}: {self.role}"


class InvitationSent(models.Model):
    """One mail of an invitation: what the limits per inviter and per account count."""

    invitation = models.ForeignKey(Invitation, on_delete=models.CASCADE, related_name="sent")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["by", "at"], name="invitation_sent_by")]

    def __str__(self) -> str:
        return f"{self.invitation_id} {self.at:%Y-%m-%d %H:%M}"


class ContactRole(models.TextChoices):
    """For what a contact is called."""

    PRIMARY = "primary", "primary"
    TECHNICAL = "technical", "technical"
    EMERGENCY = "emergency", "emergency"
    BILLING = "billing", "billing"
    SECURITY = "security", "security"


class Authority(models.TextChoices):
    """What a contact may decide for the account, each more than the one before."""

    INFORM = "inform", "is informed"
    TECHNICAL = "technical", "decides technical matters: reboot, put back, stop"
    SPEND = "spend", "decides to delete or to spend"


class Channel(models.TextChoices):
    """How somebody likes to be reached first."""

    MAIL = "mail", "mail"
    PHONE = "phone", "phone"
    SMS = "sms", "text message"


class Contact(Referenced):
    """A person to call for support, of one account. Purpose is support: the database takes no other.

    `phone` is E.164 or empty, the best number; `more_phones` are others. Two rows that are one person stay two rows,
    one per account. `hours` says what is known of the working hours, `weekly_hours` holds them
    (accounts/contacts/hours.py); around the clock and weekly ones are by the wall of `time_zone`. `role_orders` gives a
    role an order of its own, `escalation_order` holds for every other. `responsible_for` narrows what the contact is
    called about to load balancers and servers: `{"kind": "server", "id": provider's id, "label": "web-3"}`.
    `confirmed_on` is the newest confirmation that still holds; proofs and confirmations are rows of their own.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="contacts")
    # Names of today are shorter (accounts/names.py); older ones stay as they are.
    name = models.CharField(max_length=200)
    title = models.CharField(max_length=LONGEST["title"], blank=True)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=16, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    roles = ArrayField(models.CharField(max_length=20, choices=ContactRole.choices), default=list, blank=True)
    escalation_order = models.PositiveSmallIntegerField(default=1)
    role_orders = models.JSONField(default=dict, blank=True, db_default={})
    more_phones = ArrayField(models.CharField(max_length=16), default=list, blank=True, db_default=[])
    no_phone_because = models.CharField(
        max_length=LONGEST["no_phone_because"], blank=True, default="", db_default=""
    )
    organization = models.CharField(max_length=LONGEST["organization"], blank=True, default="", db_default="")
    external_id = models.CharField(max_length=LONGEST["external_id"], null=True, blank=True)
    hours = models.CharField(
        max_length=16,
        choices=[(kind.value, kind.value) for kind in HoursKind],
        default=HoursKind.UNKNOWN.value,
        db_default=HoursKind.UNKNOWN.value,
    )
    weekly_hours = models.JSONField(default=list, blank=True, db_default=[])
    holidays_country = models.CharField(max_length=2, blank=True, default="", db_default="")
    holidays_subdivision = models.CharField(max_length=40, blank=True, default="", db_default="")
    days_off = ArrayField(models.DateField(), default=list, blank=True, db_default=[])
    preferred_channel = models.CharField(
        max_length=5, choices=Channel.choices, blank=True, default="", db_default=""
    )
    language = models.CharField(max_length=LONGEST["language"], blank=True, default="", db_default="")
    authority = models.CharField(
        max_length=10, choices=Authority.choices, default=Authority.INFORM, db_default=Authority.INFORM.value
    )
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True)
    responsible_for = models.JSONField(default=list, blank=True, db_default=[])
    is_shared_mailbox = models.BooleanField(default=False, db_default=False)
    bouncing_since = models.DateTimeField(null=True, blank=True)
    bounce_says = models.CharField(max_length=200, blank=True, default="", db_default="")
    # Mail came back last at this moment: no proof of a mail address up to it counts, whatever became of the address since.
    mail_unproven_at = models.DateTimeField(null=True, blank=True)
    # Whoever reads the mailbox said: this is not me, or remove me. Stands until somebody settles it.
    disowned_at = models.DateTimeField(null=True, blank=True)
    disowned_says = models.CharField(max_length=500, blank=True, default="", db_default="")
    confirmed_on = models.DateField(null=True, blank=True)
    confirmed_by_name = models.CharField(max_length=200, blank=True)
    notes = models.TextField(blank=True)
    purpose = models.CharField(max_length=10, default="support", editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    account_path = "account"

    personal_fields = (
        "name",
        "title",
        "email",
        "phone",
        "notes",
        "more_phones",
        "no_phone_because",
        "organization",
        "external_id",
        "days_off",
        "language",
        "bounce_says",
        "disowned_says",
    )
    # Whoever tells a contact something says for what support: the use is logged for the person to see.
    is_used_for_support = True
    # The entry says who confirmed; the name of that other person is no value of this one.
    unrecorded_fields = ("confirmed_by_name",)

    rule_says = {
        "contact_phone_e164": "Phone: with + and country code, digits only, like +493012345678.",
        "contact_can_be_reached": "Give a phone number or a mail address: a contact must be one that can be reached.",
        "contact_order_from_1": "Order of call: 1 is called first.",
        "contact_roles_known": "Called for: there is no such role.",
        "contact_more_phones_e164": "Other numbers: each with + and country code, digits only, like +493012345678.",
        "contact_valid_in_order": "Valid until: the last day is not before the first.",
        "contact_hours_known": "Working hours: weekly hours need at least one day, the other kinds have none.",
        "contact_authority_known": "May decide: there is no such authority.",
        "contact_external_id_once": "Another contact of this account has this external id already.",
    }

    class Meta:
        constraints = [
            models.CheckConstraint(name="contact_for_support_only", condition=Q(purpose="support")),
            models.CheckConstraint(
                name="contact_phone_e164",
                condition=Q(phone="") | Q(phone__regex=rf"^{E164}$"),
            ),
            models.CheckConstraint(name="contact_can_be_reached", condition=~Q(phone="", email="")),
            models.CheckConstraint(
                name="contact_roles_known",
                condition=Q(roles__contained_by=ContactRole.values),
            ),
            models.CheckConstraint(name="contact_order_from_1", condition=Q(escalation_order__gte=1)),
            models.CheckConstraint(
                name="contact_more_phones_e164",
                # The text of an array: each number between commas or braces.
                condition=Regex(
                    Cast("more_phones", models.TextField()),
                    rf"^\{{({E164}(,{E164})*)?\}}$",
                ),
            ),
            models.CheckConstraint(
                name="contact_valid_in_order",
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
            ),
            models.CheckConstraint(
                name="contact_hours_known",
                condition=(Q(hours="weekly") & ~Q(weekly_hours=[]))
                | Q(hours__in=["unknown", "around_the_clock"], weekly_hours=[]),
            ),
            models.CheckConstraint(
                name="contact_authority_known", condition=Q(authority__in=Authority.values)
            ),
            models.UniqueConstraint(
                name="contact_external_id_once",
                fields=["account", "external_id"],
                condition=Q(external_id__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["account", "escalation_order", "id"], name="contact_order"),
            models.Index(fields=["account", "name", "id"], name="contact_name"),
            # Whom an account has, how fresh and for what, without a look at the rows: the dashboard asks it of all.
            models.Index(
                fields=["account", "confirmed_on", "id"], include=["roles"], name="contact_freshness"
            ),
            # Who has somebody for emergencies: asked of every account at once.
            models.Index(
                fields=["account"], name="contact_emergency", condition=Q(roles__contains=["emergency"])
            ),
            GinIndex(
                OpClass(SearchText("name", "email", "phone"), name="gin_trgm_ops"), name="contact_search"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def takes_mail(self) -> bool:
        """Whether mail may go there: there is an address, none came back, and nobody there said that it is not them."""
        return bool(self.email) and self.bouncing_since is None and self.disowned_at is None


class CloudConnection(Referenced):
    """The credentials and region with which the portal reaches one provider account.

    From `used_at` on (the first plan drawn up with it) provider, endpoint, tenant and region stay as they
    are: a trigger refuses the change, since approved digests and claims rest on them. `check_result` is
    what the last read-only test found; None if never tested.
    """

    is_titled_freely = True

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="connections")
    name = models.CharField(max_length=100)
    provider = models.CharField(max_length=20, default="rackspace")
    identity_url = models.URLField(max_length=300)
    username = models.CharField(max_length=200)
    api_key = EncryptedTextField()
    tenant = models.CharField(max_length=60)
    region = models.CharField(max_length=20)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    last_checked_at = models.DateTimeField(null=True, blank=True)
    check_result = models.JSONField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    account_path = "account"

    class Meta:
        constraints = [
            models.UniqueConstraint(name="connection_name_once", fields=["account", "name"]),
            models.CheckConstraint(
                name="connection_provider_known",
                condition=Q(provider__in=["rackspace"]),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class OpenedNetwork(Referenced):
    """A private network in which the portal may ask servers for this account, in CIDR notation; opened by an operator."""

    is_titled_freely = True

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="networks")
    network = models.CharField(max_length=43)
    reason = models.CharField(max_length=500)
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    opened_at = models.DateTimeField(auto_now_add=True)

    account_path = "account"
    rule_says: ClassVar[dict[str, str]] = {
        "network_opened_once": "This network is open for this account already."
    }

    class Meta:
        constraints = [
            models.UniqueConstraint(name="network_opened_once", fields=["account", "network"]),
        ]

    def __str__(self) -> str:
        return self.network


class ApiToken(Referenced):
    """A key for the API. Only its SHA-256 is stored; `prefix` lets a person tell which it is.

    A user's own acts as the user does. One with an `account` is that account's service token: it reaches no other
    account, as far as `role` goes, and only as long as `user`, who made it, might make it still (docs/decisions/0025).
    `networks` are where it may be used from, as CIDR; none is everywhere.
    """

    is_titled_freely = True

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.CASCADE, related_name="service_tokens"
    )
    role = models.CharField(max_length=20, blank=True, default="", db_default="")
    networks = ArrayField(models.CharField(max_length=43), default=list, blank=True, db_default=[])
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20)
    digest = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=40), default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="made")
    """The token with which it was made; None if a person made it. It ends with that one."""

    account_path = "account"

    people = ("user",)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="token_of_account_has_role",
                condition=Q(account__isnull=True, role="")
                | Q(account__isnull=False, role__in=[*AccountRole.values, TeamRole.LAUNCH_MANAGER]),
            ),
            models.CheckConstraint(
                name="token_digest_is_sha256",
                condition=Q(digest__regex=r"^[0-9a-f]{64}$"),
            ),
            models.CheckConstraint(
                name="token_ends_after_start",
                condition=Q(expires_at__gt=F("created_at")),
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-id"], name="token_user"),
            models.Index(fields=["account", "-id"], name="token_account", condition=Q(account__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name


class LoginThrottle(models.Model):
    """Failed log-ins of one (mail, address), as a keyed hash: the row names nobody."""

    key = models.CharField(max_length=64, unique=True)
    fails = models.PositiveIntegerField(default=0)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return self.key[:8]


class ResetRequest(models.Model):
    """Somebody typed this mail address and asked for a link to set a new password; a worker sees to it.

    The row is written for any address, known or not: the page that takes it does the same work for both.
    """

    email = EncryptedTextField()
    asked_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"asked {self.asked_at:%F %T}"


# Subjects with models of their own, in packages; imported last, since they name what stands above.
from accounts.calendar import models as _calendar  # noqa: E402,F401
from accounts.cases import models as _cases  # noqa: E402,F401
from accounts.contact_files import models as _contact_files  # noqa: E402,F401
from accounts.contacts import models as _contacts  # noqa: E402,F401
from accounts.reach import models as _reach  # noqa: E402,F401
from accounts.reviews import models as _reviews  # noqa: E402,F401
