"""Shape and validity of the API's input and output for people, contacts, connections and tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts import invitations, selectors
from accounts.models import (
    Account,
    AccountRole,
    ApiToken,
    CloudConnection,
    Invitation,
    Membership,
    OpenedNetwork,
    Team,
    TeamMembership,
    TeamRole,
)
from accounts.services import check_identity_url
from accounts.tokens import networks_of
from portal.access import SCOPES, SERVICE_ROLES, SERVICE_SCOPES, Permission
from portal.api import judged
from portal.zones import validate_time_zone


class TeamRefOut(serializers.Serializer[Any]):
    """A team, by reference and name."""

    ref = serializers.UUIDField()
    name = serializers.CharField()


class AccountOut(serializers.ModelSerializer[Account]):
    """One customer. `team_notes` is null for whoever may not read the team's notes."""

    team = TeamRefOut()
    team_notes = serializers.SerializerMethodField()

    class Meta:
        model = Account
        fields = (
            "ref",
            "name",
            "number",
            "team",
            "time_zone",
            "service_level",
            "milestone",
            "status",
            "notes",
            "team_notes",
            "created_at",
            "updated_at",
        )

    def get_team_notes(self, account: Account) -> str | None:
        """Return the team's own notes where the caller may read them."""
        granted = self.context.get("granted", frozenset())
        return account.team_notes if Permission.TEAM_NOTES in granted else None


class AccountIn(serializers.Serializer[Any]):
    """What can be changed of an account."""

    name = serializers.CharField(max_length=200, required=False)
    time_zone = serializers.CharField(max_length=64, required=False, validators=[validate_time_zone])
    service_level = serializers.CharField(max_length=60, required=False, allow_blank=True)
    milestone = serializers.IntegerField(min_value=1, max_value=5, required=False)
    notes = serializers.CharField(required=False, allow_blank=True)
    team_notes = serializers.CharField(required=False, allow_blank=True)


class CheckLineOut(serializers.Serializer[Any]):
    """One thing that the credentials may do, may not do, or of which it is not known."""

    name = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["ok", "not", "unknown"])
    says = serializers.CharField()


class CheckOut(serializers.Serializer[Any]):
    """What the read-only test found."""

    is_usable = serializers.BooleanField()
    checked_at = serializers.DateTimeField()
    lines = CheckLineOut(many=True)


class ConnectionOut(serializers.ModelSerializer[CloudConnection]):
    """Where the portal reaches a provider account. The key is never given."""

    account = serializers.UUIDField(source="account.ref")
    check_result = CheckOut(allow_null=True)

    class Meta:
        model = CloudConnection
        fields = (
            "ref",
            "account",
            "name",
            "provider",
            "identity_url",
            "username",
            "tenant",
            "region",
            "last_checked_at",
            "check_result",
            "used_at",
            "created_at",
            "updated_at",
        )


class NetworkOut(serializers.ModelSerializer[OpenedNetwork]):
    """A private network that an operator opened for the account, and why."""

    class Meta:
        model = OpenedNetwork
        fields = ("ref", "network", "reason", "opened_at")


class ConnectionIn(serializers.Serializer[Any]):
    """A new cloud connection. `api_key` is stored encrypted and never shown again."""

    name = serializers.CharField(max_length=100)
    provider = serializers.ChoiceField(choices=["rackspace"], default="rackspace")
    identity_url = serializers.URLField(max_length=300)
    username = serializers.CharField(max_length=200)
    api_key = serializers.CharField(max_length=500, write_only=True)
    tenant = serializers.CharField(max_length=60)
    region = serializers.CharField(max_length=20)

    def validate_identity_url(self, value: str) -> str:
        """Refuse an address that the portal would not call, or that is not the provider's."""
        return judged(check_identity_url, value)


class ConnectionChange(ConnectionIn):
    """What can be changed of a connection; once used, only name, username and key."""

    provider = serializers.ChoiceField(choices=["rackspace"])


class NodeOut(serializers.Serializer[Any]):
    """One node of a load balancer, as the provider shows it."""

    id = serializers.CharField()
    address = serializers.CharField()
    port = serializers.IntegerField()
    condition = serializers.CharField()
    status = serializers.CharField()
    type = serializers.CharField()
    weight = serializers.IntegerField(allow_null=True)


class FoundServerOut(serializers.Serializer[Any]):
    """One server."""

    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    addresses = serializers.ListField(child=serializers.CharField())


class MemberOut(serializers.Serializer[Any]):
    """A node and the one server that has its address."""

    node = NodeOut()
    server = FoundServerOut()


class PoolOut(serializers.Serializer[Any]):
    """One load balancer with the servers behind it."""

    balancer_id = serializers.CharField(source="balancer.id")
    name = serializers.CharField(source="balancer.name")
    status = serializers.CharField(source="balancer.status")
    has_health_monitor = serializers.BooleanField(source="balancer.has_health_monitor")
    session_persistence = serializers.CharField(source="balancer.session_persistence", allow_null=True)
    members = MemberOut(many=True)


class UnmatchedNodeOut(serializers.Serializer[Any]):
    """A node whose address no server has (`servers` is empty) or several have."""

    balancer_id = serializers.CharField()
    node = NodeOut()
    servers = FoundServerOut(many=True)


class SharedServerOut(serializers.Serializer[Any]):
    """A server with nodes in more than one load balancer."""

    server = FoundServerOut()
    balancer_ids = serializers.ListField(child=serializers.CharField())


class DiscoveryOut(serializers.Serializer[Any]):
    """What the credentials see, with what could not be matched."""

    is_fully_matched = serializers.BooleanField()
    pools = PoolOut(many=True)
    unknown_nodes = UnmatchedNodeOut(many=True)
    ambiguous_nodes = UnmatchedNodeOut(many=True)
    servers_in_none = FoundServerOut(many=True)
    servers_in_several = SharedServerOut(many=True)
    gone_balancers = serializers.ListField(child=serializers.CharField())


class PersonOut(serializers.Serializer[Any]):
    """Somebody with a log-in, by reference and name."""

    ref = serializers.UUIDField()
    name = serializers.CharField()


class TokenOut(serializers.ModelSerializer[ApiToken]):
    """A token of yours, without its secret."""

    class Meta:
        model = ApiToken
        fields: tuple[str, ...] = (
            "ref",
            "name",
            "prefix",
            "scopes",
            "networks",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        )


class TokenMadeOut(TokenOut):
    """A new token. `token` is given this once; a replay of the request has null there."""

    token = serializers.CharField(allow_null=True)

    class Meta(TokenOut.Meta):
        fields = (*TokenOut.Meta.fields, "token")


class TokenIn(serializers.Serializer[Any]):
    """A new token: what for, what it may, until when (a year at most), and from where it may be used."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), min_length=1)
    expires_at = serializers.DateTimeField()
    networks = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        max_length=20,
        help_text="Addresses and networks like 203.0.113.0/24; none is everywhere.",
    )

    def validate_networks(self, values: list[str]) -> list[str]:
        """Refuse what is no network."""
        for value in values:
            judged(lambda one: networks_of([one]), value)
        return networks_of(values)


class ServiceTokenOut(TokenOut):
    """A token of an account, without its secret. It acts in its maker's name on this account alone."""

    made_by = PersonOut(source="user")

    class Meta(TokenOut.Meta):
        fields = (*TokenOut.Meta.fields, "role", "made_by")


class ServiceTokenMadeOut(ServiceTokenOut):
    """A new token of an account. `token` is given this once; a replay of the request has null there."""

    token = serializers.CharField(allow_null=True)

    class Meta(ServiceTokenOut.Meta):
        fields = (*ServiceTokenOut.Meta.fields, "token")


class ServiceTokenIn(TokenIn):
    """A new token of an account: as TokenIn, and in which role it acts there."""

    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SERVICE_SCOPES), min_length=1)
    role = serializers.ChoiceField(choices=SERVICE_ROLES)


class RoleOut(serializers.Serializer[Any]):
    """A role of yours on an account or in a team."""

    ref = serializers.UUIDField()
    name = serializers.CharField()
    role = serializers.CharField()


class MeOut(serializers.Serializer[Any]):
    """You."""

    ref = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    time_zone = serializers.CharField()
    is_operator = serializers.BooleanField()
    accounts = RoleOut(many=True)
    teams = RoleOut(many=True)
    scopes = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Of the token used; null for a session."
    )


class MeIn(serializers.Serializer[Any]):
    """What you can change of yourself."""

    name = serializers.CharField(max_length=200)
    time_zone = serializers.CharField(max_length=64, validators=[validate_time_zone])


# --- people ------------------------------------------------------------------------------------------------


class _PersonRow(serializers.ModelSerializer[Any]):
    """What members of accounts and teams share. Address, log-ins and factors are for who manages members."""

    manages: Permission
    user = PersonOut()
    email = serializers.SerializerMethodField()
    granted_by_name = serializers.SerializerMethodField()
    last_login = serializers.SerializerMethodField()
    is_active = serializers.BooleanField(source="user.is_active", help_text="False where the log-in is off.")
    has_second_factor = serializers.SerializerMethodField()

    def _manages(self) -> bool:
        return self.manages in self.context.get("granted", frozenset())

    def get_email(self, row: Any) -> str | None:
        """Return the mail address; null for who does not manage members."""
        return row.user.email if self._manages() else None

    def get_granted_by_name(self, row: Any) -> str | None:
        """Return who gave the role; null for the installation itself."""
        return row.granted_by.name if row.granted_by else None

    def get_last_login(self, row: Any) -> datetime | None:
        """Return the last log-in; null for never, and for who does not manage members."""
        return row.user.last_login if self._manages() else None

    def get_has_second_factor(self, row: Any) -> bool | None:
        """Return whether the log-in has one; null for who does not manage members."""
        if not self._manages():
            return None
        view = self.context["view"]
        if not hasattr(view, "factors"):
            rows: Any = self.parent.instance if isinstance(self.parent, serializers.ListSerializer) else [row]
            view.factors = selectors.with_second_factor(one.user for one in rows)
        return None if view.factors is None else row.user_id in view.factors


class AccountMemberOut(_PersonRow):
    """Somebody with a role on the account."""

    manages = Permission.MEMBER_EDIT
    role = serializers.ChoiceField(choices=AccountRole.choices)

    class Meta:
        model = Membership
        fields = (
            "ref",
            "user",
            "email",
            "role",
            "granted_by_name",
            "granted_as",
            "granted_at",
            "last_login",
            "is_active",
            "has_second_factor",
            "updated_at",
        )


class TeamMemberOut(_PersonRow):
    """Somebody with a role in the team."""

    manages = Permission.TEAM_EDIT
    role = serializers.ChoiceField(choices=TeamRole.choices)

    class Meta:
        model = TeamMembership
        fields = (
            "ref",
            "user",
            "email",
            "role",
            "granted_by_name",
            "last_login",
            "is_active",
            "has_second_factor",
            "created_at",
            "updated_at",
        )


class MemberRoleIn(serializers.Serializer[Any]):
    """Another role on the account."""

    role = serializers.ChoiceField(choices=AccountRole.choices)


class TeamRoleIn(serializers.Serializer[Any]):
    """Another role in the team."""

    role = serializers.ChoiceField(choices=TeamRole.choices)


class InvitationOut(serializers.ModelSerializer[Invitation]):
    """An offer of a role. The link is in the mail alone. `state` is asked afresh: *void* where the inviter may
    no longer give the role."""

    role = serializers.CharField(help_text="A role on an account, or one in a team.")
    state = serializers.SerializerMethodField()
    invited_by_name = serializers.SerializerMethodField()

    class Meta:
        model = Invitation
        fields = (
            "ref",
            "email",
            "role",
            "state",
            "prefix",
            "invited_by_name",
            "created_at",
            "expires_at",
            "accepted_at",
            "revoked_at",
            "updated_at",
        )

    @extend_schema_field(
        serializers.ChoiceField(choices=["pending", "accepted", "revoked", "expired", "void"])
    )
    def get_state(self, row: Invitation) -> str:
        """Return where it stands now."""
        if row.accepted_at or row.revoked_at or row.expires_at <= timezone.now():
            return "accepted" if row.accepted_at else "revoked" if row.revoked_at else "expired"
        return "pending" if invitations.refusal_of(row, now=timezone.now()) is None else "void"

    def get_invited_by_name(self, row: Invitation) -> str | None:
        """Return who invites."""
        return row.invited_by.name if row.invited_by else None


class InvitationIn(serializers.Serializer[Any]):
    """Somebody to invite to an account."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(choices=AccountRole.choices)


class TeamInvitationIn(serializers.Serializer[Any]):
    """Somebody to invite to a team."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(choices=TeamRole.choices)


class JoinIn(serializers.Serializer[Any]):
    """What the mail's link ends with; name and password where the address has no log-in yet."""

    token = serializers.CharField(max_length=100)
    name = serializers.CharField(max_length=200, required=False)
    password = serializers.CharField(max_length=256, required=False, write_only=True, trim_whitespace=False)


class JoinedOut(serializers.Serializer[Any]):
    """What was joined: an account or a team, and as what."""

    account = PersonOut(allow_null=True)
    team = PersonOut(allow_null=True)
    role = serializers.CharField()


class TeamOut(serializers.ModelSerializer[Team]):
    """A team of launch managers that you are in."""

    class Meta:
        model = Team
        fields = ("ref", "name", "created_at")


class AccountOpenIn(serializers.Serializer[Any]):
    """A new customer's account."""

    name = serializers.CharField(max_length=200)
    number = serializers.CharField(max_length=60)
    time_zone = serializers.CharField(max_length=64, required=False, validators=[validate_time_zone])
    service_level = serializers.CharField(max_length=60, required=False, allow_blank=True)
    milestone = serializers.IntegerField(min_value=1, max_value=5, required=False)


class RecordedReasonIn(serializers.Serializer[Any]):
    """Why; it stays on the record."""

    reason = serializers.CharField(max_length=1000)
