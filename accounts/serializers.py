"""Shape and validity of the API's input and output for people, contacts, connections and tokens."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts import selectors
from accounts.models import Account, ApiToken, CloudConnection, Contact, ContactRole
from portal.access import SCOPES, Permission
from portal.api import judged
from portal.egress import check_url
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


class ContactOut(serializers.ModelSerializer[Contact]):
    """A person to call. `freshness` is confirmed, due (90 days), stale (180 days) or unconfirmed."""

    account = serializers.UUIDField(source="account.ref")
    freshness = serializers.SerializerMethodField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=ContactRole.choices))

    class Meta:
        model = Contact
        fields = (
            "ref",
            "account",
            "name",
            "title",
            "email",
            "phone",
            "time_zone",
            "roles",
            "escalation_order",
            "confirmed_on",
            "confirmed_by_name",
            "freshness",
            "notes",
            "created_at",
            "updated_at",
        )

    @extend_schema_field(serializers.ChoiceField(choices=["confirmed", "due", "stale", "unconfirmed"]))
    def get_freshness(self, contact: Contact) -> str:
        """Return how fresh the confirmation is today."""
        return selectors.freshness(contact.confirmed_on, today=timezone.now().date())


class ContactIn(serializers.Serializer[Any]):
    """A person to call; a mail address or a phone number is needed."""

    name = serializers.CharField(max_length=200)
    title = serializers.CharField(max_length=200, required=False, allow_blank=True)
    email = serializers.EmailField(required=False, allow_blank=True)
    phone = serializers.RegexField(
        r"^\+[1-9][0-9]{6,14}$",
        required=False,
        allow_blank=True,
        error_messages={"invalid": "Use the E.164 form with country code, like +493012345678."},
    )
    time_zone = serializers.CharField(max_length=64, required=False, validators=[validate_time_zone])
    roles = serializers.ListField(
        child=serializers.ChoiceField(choices=ContactRole.choices), required=False, max_length=5
    )
    escalation_order = serializers.IntegerField(min_value=1, max_value=999, required=False)
    notes = serializers.CharField(required=False, allow_blank=True)


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
        """Refuse an address that the portal would not call."""
        return judged(check_url, value)


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


class TokenOut(serializers.ModelSerializer[ApiToken]):
    """A token of yours, without its secret."""

    class Meta:
        model = ApiToken
        fields = ("ref", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")


class TokenMadeOut(TokenOut):
    """A new token. `token` is given this once; a replay of the request has null there."""

    token = serializers.CharField(allow_null=True)

    class Meta(TokenOut.Meta):
        fields = (*TokenOut.Meta.fields, "token")  # type: ignore[assignment]


class TokenIn(serializers.Serializer[Any]):
    """A new token: what for, what it may, until when (a year at most)."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), min_length=1)
    expires_at = serializers.DateTimeField()


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
