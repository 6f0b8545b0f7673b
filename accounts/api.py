"""The API of accounts, contacts, cloud connections, tokens and oneself: the same services as the pages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import examples, selectors, services
from accounts.clouds import discover_pools, test_connection
from accounts.models import Account, CloudConnection, Membership, OpenedNetwork, TeamMembership
from accounts.serializers import (
    AccountIn,
    AccountOut,
    CheckOut,
    ConnectionChange,
    ConnectionIn,
    ConnectionOut,
    DiscoveryOut,
    MeIn,
    MeOut,
    NetworkOut,
)
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import Refused
from portal.lists import ListAsked, filter_parameter, order_parameter, search_parameter

_ACCOUNT_LIST = [
    search_parameter("name, number or contacts"),
    filter_parameter("status", selectors.ACCOUNT_FILTERS["status"], "Only accounts with this status."),
    filter_parameter("milestone", selectors.ACCOUNT_FILTERS["milestone"], "Only accounts at this milestone."),
    OpenApiParameter("team", OpenApiTypes.UUID, description="Only accounts of this team."),
    order_parameter(selectors.ACCOUNT_ORDERS),
]


class AccountListApi(PortalAPIView):
    """Accounts that you see."""

    permission = Permission.ACCOUNT_VIEW

    @documented(
        "accounts_list",
        AccountOut,
        summary="List the accounts that you see",
        paged=True,
        example=examples.ACCOUNT,
        parameters=_ACCOUNT_LIST,
        tag="accounts",
    )
    def get(self, request: Request) -> Response:
        """The team's own notes are given by the single account only."""
        rows = self.visible(Account.objects.select_related("team"))
        params = self.request.query_params.dict()
        if params.get("team"):
            params["team"] = _reference(params["team"])
        asked = ListAsked.of(
            params,
            filters={**selectors.ACCOUNT_FILTERS, "team": [params.get("team", "")]},
            orders=selectors.ACCOUNT_ORDERS,
            strict=True,
        )
        # What is found among contacts tells what they hold, letter by letter.
        reads_contacts = self.has_scope(Permission.CONTACT_VIEW)
        found = selectors.narrowed(rows, asked, viewer=self.user if reads_contacts else None)
        return self.page(found, AccountOut, order=asked.order)


def _reference(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise Refused("`team` is the reference of a team.", code="bad_filter") from None


class AccountApi(PortalAPIView):
    """One account."""

    permission = Permission.ACCOUNT_VIEW
    write_permission = Permission.ACCOUNT_EDIT

    @documented(
        "accounts_read", AccountOut, summary="Read one account", example=examples.ACCOUNT, tag="accounts"
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """With an ETag for a later change."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        return self.show(AccountOut, account)

    @documented(
        "accounts_change",
        AccountOut,
        summary="Change an account",
        request=AccountIn,
        if_match=True,
        example=examples.ACCOUNT,
        request_example={"milestone": 5},
        tag="accounts",
    )
    def patch(self, request: Request, account_ref: UUID) -> Response:
        """Only the fields given are changed."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        data = self.read(AccountIn)

        def effect() -> Response:
            locked = Account.objects.select_for_update().select_related(None).get(pk=account.pk)
            self.match(locked)
            changed = services.change_account(locked, data, actor=self.user)
            return self.show(AccountOut, Account.objects.select_related("team").get(pk=changed.pk))

        return self.once(effect)


class ConnectionListApi(PortalAPIView):
    """Cloud connections of an account."""

    permission = Permission.CONNECTION_VIEW
    write_permission = Permission.CONNECTION_EDIT

    @documented(
        "connections_list",
        ConnectionOut,
        summary="List an account's cloud connections",
        paged=True,
        example=examples.CONNECTION,
        tag="connections",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Without their keys."""
        account = self.find(Account, account_ref)
        rows = CloudConnection.objects.filter(account=account).defer("api_key").select_related("account")
        return self.page(rows, ConnectionOut, order="name", filters={"account": account.pk})

    @documented(
        "connections_add",
        ConnectionOut,
        summary="Add a cloud connection",
        request=ConnectionIn,
        status=201,
        once=True,
        example=examples.CONNECTION,
        request_example=examples.CONNECTION_IN,
        tag="connections",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """The key is stored encrypted and never shown again."""
        account = self.find(Account, account_ref)
        data = self.read(ConnectionIn)
        return self.once(
            lambda: self.show(
                ConnectionOut, services.add_connection(account, data, actor=self.user), status=201
            )
        )


class NetworkListApi(PortalAPIView):
    """Private networks that are opened for an account."""

    permission = Permission.CONNECTION_VIEW

    @documented(
        "networks_list",
        NetworkOut,
        summary="List the private networks that are opened for an account",
        paged=True,
        example=examples.NETWORK,
        tag="connections",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Where the portal asks servers for this account, besides public addresses. An operator opens and closes them."""
        account = self.find(Account, account_ref)
        rows = OpenedNetwork.objects.filter(account=account)
        return self.page(rows, NetworkOut, order="network", filters={"account": account.pk})


class ConnectionApi(PortalAPIView):
    """One cloud connection."""

    permission = Permission.CONNECTION_VIEW
    write_permission = Permission.CONNECTION_EDIT

    @documented(
        "connections_read",
        ConnectionOut,
        summary="Read one cloud connection",
        example=examples.CONNECTION,
        tag="connections",
    )
    def get(self, request: Request, connection_ref: UUID) -> Response:
        """Without its key."""
        return self.show(ConnectionOut, self.find(CloudConnection.objects.defer("api_key"), connection_ref))

    @documented(
        "connections_change",
        ConnectionOut,
        summary="Change a cloud connection",
        request=ConnectionChange,
        if_match=True,
        example=examples.CONNECTION,
        request_example={"name": "Shop, Dallas"},
        tag="connections",
    )
    def patch(self, request: Request, connection_ref: UUID) -> Response:
        """Once a plan was drawn up with it, provider, endpoint, tenant and region stay (422)."""
        connection = self.find(CloudConnection, connection_ref)
        data = self.read(ConnectionChange, partial=True)

        def effect() -> Response:
            locked = (
                CloudConnection.objects.select_for_update(of=("self",))
                .select_related("account")
                .get(pk=connection.pk)
            )
            self.match(locked)
            return self.show(ConnectionOut, services.change_connection(locked, data, actor=self.user))

        return self.once(effect)


class ConnectionCheckApi(PortalAPIView):
    """The read-only test of a cloud connection."""

    permission = Permission.CONNECTION_EDIT

    @documented(
        "connections_check",
        CheckOut,
        summary="Test what a connection may do, reading only",
        command=True,
        example=examples.CHECK,
        asks_provider=True,
        tag="connections",
    )
    def post(self, request: Request, connection_ref: UUID) -> Response:
        """The answer is kept with the connection. Nothing is changed at the provider."""
        connection = self.find(CloudConnection, connection_ref)
        kept = self.answered_before(required=True)
        if kept is not None:
            return kept
        # Outside of the transaction, which would hold a connection for as long as the provider takes.
        result = test_connection(connection)

        def effect() -> Response:
            services.store_check(connection, result, at=timezone.now(), actor=self.user)
            return Response(CheckOut(result).data)

        return self.once(effect, required=True)


class ConnectionDiscoveryApi(PortalAPIView):
    """What a cloud connection sees."""

    permission = Permission.CONNECTION_VIEW

    @documented(
        "connections_discover",
        DiscoveryOut,
        summary="List pools and servers as the provider shows them now",
        example=examples.DISCOVERY,
        asks_provider=True,
        tag="connections",
    )
    def get(self, request: Request, connection_ref: UUID) -> Response:
        """Reads the provider; what could not be matched is listed, never left out."""
        connection = self.find(CloudConnection, connection_ref)
        return Response(DiscoveryOut(discover_pools(connection)).data)


class MeApi(PortalAPIView):
    """Oneself."""

    permission = Permission.SIGNED_IN

    @documented("me_read", MeOut, summary="Read who you are and your roles", example=examples.ME, tag="me")
    def get(self, request: Request) -> Response:
        """Roles on accounts and in teams; the scopes of the token used."""
        return Response(MeOut(self._me()).data)

    @documented(
        "me_change",
        MeOut,
        summary="Change your name or time zone",
        request=MeIn,
        example=examples.ME,
        request_example={"time_zone": "Europe/Berlin"},
        once=True,
        tag="me",
    )
    def patch(self, request: Request) -> Response:
        """Only the fields given are changed."""
        data = self.read(MeIn, partial=True)

        def effect() -> Response:
            user = self.user
            services.change_own_settings(user, **{"name": user.name, "time_zone": user.time_zone, **data})
            return Response(MeOut(self._me()).data)

        return self.once(effect)

    def _me(self) -> dict[str, Any]:
        user = self.user
        memberships = Membership.objects.filter(user=user).select_related("account").order_by("account__name")
        teams = TeamMembership.objects.filter(user=user).select_related("team").order_by("team__name")
        return {
            "ref": user.ref,
            "email": user.email,
            "name": user.name,
            "time_zone": user.time_zone,
            "is_operator": user.is_operator,
            "accounts": [
                {"ref": row.account.ref, "name": row.account.name, "role": row.role} for row in memberships
            ],
            "teams": [{"ref": row.team.ref, "name": row.team.name, "role": row.role} for row in teams],
            "scopes": self.token.scopes if self.token is not None else None,
        }
