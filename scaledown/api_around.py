"""The API of what stands around scale-downs: scale-up records, protected servers, standstills."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection
from capacity.models import TrafficEvent
from portal.access import Permission
from portal.api import documented
from portal.runs.models import Run, Standstill
from portal.runs.standstills import accounts_in
from scaledown import records, standstills
from scaledown import serializers as shapes
from scaledown import serializers_around as around
from scaledown.api_shared import ScaledownView
from scaledown.models import ProtectedServer, ScaleUpRecord
from scaledown.pool import look_at_server, read_pool
from scaledown.selectors import is_customer

_RECORDS = ScaleUpRecord.objects.select_related("account", "connection", "event").prefetch_related("entries")


_PROTECTED = ProtectedServer.objects.select_related("connection", "marked_by", "account")


class RecordListApi(ScaledownView):
    """Scale-up records of an account."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.PLAN_DRAFT

    @documented(
        "scale_up_records_list",
        around.ScaleUpRecordOut,
        summary="List what was added for events",
        paged=True,
        example=around.RECORD_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.page(_RECORDS.filter(account=account), around.ScaleUpRecordOut)

    @documented(
        "scale_up_records_write",
        around.ScaleUpRecordOut,
        summary="Write down what was added for an event, in order",
        request=around.ScaleUpRecordIn,
        status=201,
        once=True,
        example=around.RECORD_EXAMPLE,
        request_example={
            "event": around.RECORD_EXAMPLE["event"],
            "connection": around.RECORD_EXAMPLE["connection"],
            "entries": [
                {"server_id": "4f1b9a52", "server_name": "web-04", "added_at": "2026-11-12T08:00:00Z"}
            ],
        },
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Replaces an earlier record of the same event and connection."""
        self.find(Account, account_ref)
        data = self.read(around.ScaleUpRecordIn)

        def effect() -> Response:
            held = records.record_scale_up(
                event=self.own(
                    TrafficEvent.objects.select_related("account"), data["event"], "traffic event"
                ),
                connection=self.own(CloudConnection.objects, data["connection"], "cloud connection"),
                entries=[
                    records.AddedServer(
                        entry["server_id"],
                        entry["server_name"],
                        entry["added_at"],
                        entry.get("source", "by_hand"),
                        tuple(entry.get("evidence", ())),
                    )
                    for entry in data["entries"]
                ],
                actor=self.user,
            )
            return self.show(around.ScaleUpRecordOut, _RECORDS.get(pk=held.pk), status=201)

        return self.once(effect)


class RecordApi(ScaledownView):
    """One scale-up record."""

    permission = Permission.PLAN_VIEW

    @documented(
        "scale_up_records_read",
        around.ScaleUpRecordOut,
        summary="Read one scale-up record",
        example=around.RECORD_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, record_ref: UUID) -> Response:
        """With every server in the order in which it went in."""
        return self.show(around.ScaleUpRecordOut, self.find(_RECORDS, record_ref))


class ReconstructApi(ScaledownView):
    """What the provider shows of a scale-up."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "scale_up_records_reconstruct",
        around.ReconstructedOut,
        summary="Reconstruct what was added from what the provider shows",
        request=around.ReconstructIn,
        example={"entries": [{k: v for k, v in around.ENTRY_EXAMPLE.items() if k != "position"}]},
        request_example={
            "event": around.RECORD_EXAMPLE["event"],
            "connection": around.RECORD_EXAMPLE["connection"],
            "balancer_ids": ["71"],
        },
        asks_provider=True,
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Nothing is written; a person checks it and sends it as a record."""
        self.find(Account, account_ref)
        data = self.read(around.ReconstructIn)
        event = self.own(TrafficEvent.objects, data["event"], "traffic event")
        through = self.own(CloudConnection.objects, data["connection"], "cloud connection")
        found = records.reconstruct(event, read_pool(through, data["balancer_ids"]))
        return self.show(around.ReconstructedOut, {"entries": found})


class ProtectedListApi(ScaledownView):
    """Servers that no plan may contain."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SERVER_PROTECT

    @documented(
        "protected_servers_list",
        around.ProtectedServerOut,
        summary="List an account's protected servers",
        paged=True,
        example=around.PROTECTED_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.page(_PROTECTED.filter(account=account), around.ProtectedServerOut)

    @documented(
        "protected_servers_protect",
        around.ProtectedServerOut,
        summary="Protect a server: no plan may contain it",
        request=around.ProtectedServerIn,
        status=201,
        once=True,
        asks_provider=True,
        example=around.PROTECTED_EXAMPLE,
        request_example={
            name: around.PROTECTED_EXAMPLE[name]
            for name in ("connection", "server_id", "server_name", "reason")
        },
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """A live run that would delete it halts at its next look.

        An id that the provider does not know is refused (422, `unknown_server`). A provider that does not
        answer refuses nothing: the server is protected, and `checked_at` is null.
        """
        account = self.find(Account, account_ref)
        data = self.read(around.ProtectedServerIn)
        connection = self.own(CloudConnection.objects, data["connection"], "cloud connection")
        seen = look_at_server(connection, data["server_id"])

        def effect() -> Response:
            mark = records.protect_server(
                account=account,
                connection=connection,
                seen=seen,
                server_id=data["server_id"],
                server_name=data["server_name"],
                reason=data["reason"],
                actor=self.user,
            )
            return self.show(around.ProtectedServerOut, _PROTECTED.get(pk=mark.pk), status=201)

        return self.once(effect)


class ProtectedLiftApi(ScaledownView):
    """Lift a protection."""

    permission = Permission.SERVER_PROTECT

    @documented(
        "protected_servers_lift",
        around.ProtectedServerOut,
        summary="Lift a server's protection",
        request=shapes.ReasonIn,
        command=True,
        example=around.PROTECTED_EXAMPLE,
        request_example={"reason": "The licence was moved."},
        tag="scale-down",
    )
    def post(self, request: Request, mark_ref: UUID) -> Response:
        """Answers the mark as it was; the audit keeps it with the reason."""
        mark = self.find(_PROTECTED, mark_ref)
        data = self.read(shapes.ReasonIn)

        def effect() -> Response:
            answer = self.show(around.ProtectedServerOut, mark)
            records.unprotect_server(mark, actor=self.user, reason=data["reason"])
            return answer

        return self.once(effect, required=True)


class StandstillView(ScaledownView, abstract=True):
    """What the views of standstills share."""

    def out_context(self) -> dict[str, Any]:
        """Add which runs are this account's: a wider standstill names others' too."""
        refs = Run.objects.filter(account=self.account).values_list("ref", flat=True) if self.account else ()
        return {
            **super().out_context(),
            "run_refs": frozenset(str(ref) for ref in refs),
            "for_customer": is_customer(self.granted),
        }


class StandstillListApi(StandstillView):
    """Standstills that touch an account."""

    permission = Permission.RUN_VIEW
    write_permission = Permission.STANDSTILL_PUT

    @documented(
        "standstills_list",
        around.StandstillOut,
        summary="List the standstills that touch an account",
        paged=True,
        example=around.STANDSTILL_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first, those in force and those lifted."""
        account = self.find(
            Account.objects.select_related("team").prefetch_related("connections"), account_ref
        )
        rows = Standstill.objects.filter(scope__in=standstills.standstill_scopes([account]))
        return self.page(rows, around.StandstillOut)

    @documented(
        "standstills_put",
        around.StandstillOut,
        summary="Stop everything: nothing is sent any more but putting back",
        request=around.StandstillIn,
        status=201,
        command=True,
        example=around.STANDSTILL_EXAMPLE,
        request_example={"scope": "account", "reason": "The payment provider is down."},
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """`on_the_wire` names what had been sent before."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        data = self.read(around.StandstillIn)

        def effect() -> Response:
            named = data.get("connection")
            put = standstills.put_standstill(
                data["scope"],
                account=account,
                actor=self.user,
                reason=data["reason"],
                connection=self.own(CloudConnection.objects, named, "cloud connection") if named else None,
            )
            return self.show(around.StandstillOut, put, status=201)

        return self.once(effect, required=True)


class StandstillLiftApi(StandstillView):
    """Let work go on."""

    permission = Permission.STANDSTILL_LIFT

    @documented(
        "standstills_lift",
        around.StandstillOut,
        summary="Lift a standstill, with a reason",
        request=shapes.ReasonIn,
        command=True,
        example=around.STANDSTILL_EXAMPLE,
        request_example={"reason": "Payments work again."},
        tag="scale-down",
    )
    def post(self, request: Request, standstill_ref: UUID) -> Response:
        """Leads only."""
        standstill = Standstill.objects.filter(ref=standstill_ref).first()
        account = self.find(
            accounts_in(standstill.scope if standstill else ""), _first_visible(self, standstill)
        )
        data = self.read(shapes.ReasonIn)
        assert standstill is not None
        return self.once(
            lambda: self.show(
                around.StandstillOut,
                standstills.lift_standstill(
                    standstill, account=account, actor=self.user, reason=data["reason"]
                ),
            ),
            required=True,
        )


def _first_visible(view: ScaledownView, standstill: Standstill | None) -> UUID:
    # What is the operator's is nobody's account's.
    named = standstill if standstill is not None and standstill.scope != "all" else None
    account = view.visible(accounts_in(named.scope if named else ""), Permission.ACCOUNT_VIEW).first()
    if account is None:
        raise Http404("There is nothing here that you can see.")
    return UUID(str(account.ref))
