"""Hosts through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from capacity.hosts import selectors, services
from capacity.hosts.models import HOST_STATES, ProofWay, ProvenHost
from portal.access import Permission
from portal.api import PortalAPIView, documented

HOST: dict[str, Any] = {
    "ref": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c002",
    "place": "shop.example.com",
    "state": "host_proven",
    "record_name": "_steady-state.shop.example.com",
    "file_url": "https://shop.example.com/.well-known/steady-state.txt",
    "proof": "steady-state=qk0N3pV5bHq0c1b8p2yQ0bq3b6Jt1c9u",
    "way": "dns",
    "proven_at": "2026-11-23T12:10:31Z",
    "holds_until": "2026-12-23T12:10:31Z",
    "checked_at": "2026-11-23T12:10:31Z",
    "problem": "",
}


class HostOut(serializers.ModelSerializer[ProvenHost]):
    """One host, what to publish (`proof`, at `record_name` or `file_url`), and what the newest look found. `way` is "" without a proof."""

    state = serializers.ChoiceField(choices=HOST_STATES)
    holds_until = serializers.DateTimeField(allow_null=True)
    way = serializers.ChoiceField(choices=[("", "none"), *ProofWay.choices])

    class Meta:
        model = ProvenHost
        fields = (*HOST,)


class HostIn(serializers.Serializer[Any]):
    """A host as `shop.example.com`: exactly this name, on ports 80 and 443; with a port that one alone."""

    place = serializers.CharField(max_length=300)


class HostListApi(PortalAPIView):
    """Hosts that the account says are its own."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.LOAD_DRAFT

    @documented(
        "hosts_list", HostOut, summary="List an account’s hosts", paged=True, example=HOST, tag="capacity"
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """With what to publish, and whether it was found."""
        account = self.find(Account, account_ref)
        return self.page(selectors.whole().filter(account=account), HostOut, order="place")

    @documented(
        "hosts_add",
        HostOut,
        summary="Enter a host",
        request=HostIn,
        status=201,
        once=True,
        example={
            **HOST,
            "state": "host_waiting",
            "way": "",
            "proven_at": None,
            "holds_until": None,
            "checked_at": None,
        },
        request_example={"place": "shop.example.com"},
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """The answer says what to publish, and where. It counts once a check has found it."""
        account = self.find(Account, account_ref)
        data = self.read(HostIn)
        return self.once(
            lambda: self.show(HostOut, services.add(account, data["place"], actor=self.user), status=201)
        )


class HostApi(PortalAPIView):
    """One host."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.LOAD_DRAFT

    @documented("hosts_read", HostOut, summary="Read one host", example=HOST, tag="capacity")
    def get(self, request: Request, host_ref: UUID) -> Response:
        """With an ETag."""
        host = self.find(selectors.whole(), host_ref)
        return self.show(HostOut, host, version=_version(host))

    @documented("hosts_remove", None, summary="Remove a host", status=204, if_match=True, tag="capacity")
    def delete(self, request: Request, host_ref: UUID) -> Response:
        """No load begins there any more, and one that is on ends within two seconds."""
        host = self.find(selectors.whole(), host_ref)
        self.match(host, _version(host))
        services.remove(host, actor=self.user)
        return Response(status=204)


class HostCheckApi(PortalAPIView):
    """Look for a host's proof."""

    permission = Permission.LOAD_DRAFT

    @documented(
        "hosts_check",
        HostOut,
        summary="Look for a host’s proof now",
        command=True,
        example=HOST,
        tag="capacity",
    )
    def post(self, request: Request, host_ref: UUID) -> Response:
        """Asks the TXT record, then the file. `state` says what was found; 503 says that neither could be asked."""
        host = self.find(selectors.whole(), host_ref)
        return self.once(lambda: self.show(HostOut, services.check(host, actor=self.user)), required=True)


def _version(host: ProvenHost) -> str:
    """What a look may change."""
    return f"{host.way} {host.checked_at} {host.problem}"
