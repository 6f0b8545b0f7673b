"""Pages around a plan: scale-up records, protected servers, stopping everything."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, CloudConnection
from capacity.events import add_event, callable_of
from capacity.forms import EventForm
from capacity.models import TrafficEvent
from portal.access import Permission
from portal.errors import NotPermitted, Refused, Trouble, form_status
from portal.paging import keyset
from portal.runs.models import Run, Standstill
from scaledown import drawing, records, standstills
from scaledown.forms import ProtectForm, RecordForm
from scaledown.models import ProtectedServer, ScaleUpRecord
from scaledown.pool import look_at_server, read_pool
from scaledown.selectors import is_customer
from scaledown.views.shared import (
    ScaledownPage,
)

# --- records, protected servers -------------------------------------------------------------------------------


class RecordList(ScaledownPage):
    """Traffic events and what was added for them."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Newest first."""
        self.find(Account, account_ref)
        return self._page(self._form())

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Add an event; of one that has begun, go on to what was added for it."""
        account = self.find(Account, account_ref)
        form, status = self._form(request.POST), 422
        if form.is_valid():
            try:
                event = add_event(account, actor=self.user, **form.chosen())
            except Refused as refusal:
                status = form_status(refusal)
                form.add_error(None, refusal.says)
            else:
                if event.starts_at > timezone.now():
                    # Nothing is added for it yet, so there is no record to write.
                    messages.success(
                        request,
                        f"{event.name} was added. “Growth and size” says how many servers each sized pool needs for it. "
                        "Once servers are added for it, write down here which.",
                    )
                    return redirect("scaledown:record-list", account_ref=account.ref)
                messages.success(request, f"{event.name} was added. Now write down what was added for it.")
                return redirect("scaledown:record-detail", event_ref=event.ref)
        return self._page(form, status=status)

    def _form(self, data: Any = None) -> EventForm:
        may_add = Permission.SAMPLE_ADD in self.granted
        return EventForm(
            data,
            zone=self.zone,
            contacts=callable_of(self.account) if may_add else (),
            may_freeze=Permission.CALENDAR_EDIT in self.granted,
        )

    def _page(self, form: EventForm, status: int = 200) -> HttpResponse:
        return self.show(
            "scaledown/record_list.html",
            events=drawing.events_of(self.account),
            form=form,
            zone_name=str(self.zone),
            status=status,
        )


class RecordDetail(ScaledownPage):
    """The scale-up record of one event: by hand, or reconstructed from the provider and then checked."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, event_ref: UUID) -> HttpResponse:
        """Show the record; with `from` (a cloud connection) also what the provider shows."""
        event = self.find(TrafficEvent, event_ref)
        return self._page(event, self._form(event), self._found(request, event))

    def post(self, request: HttpRequest, event_ref: UUID) -> HttpResponse:
        """Write the record; what was reconstructed keeps its evidence."""
        event = self.find(TrafficEvent, event_ref)
        form = RecordForm(request.POST, connections=self.connections())
        status = 422
        found: dict[str, Any] = {}
        if form.is_valid():
            connection = form.connections[form.cleaned_data["connection"]]
            try:
                known = self._reconstructed(event, connection) if "evidence" in request.POST else {}
                records.record_scale_up(
                    event=event,
                    connection=connection,
                    actor=self.user,
                    entries=[
                        known.get(server_id) or records.AddedServer(server_id, name, at)
                        for name, server_id, at in form.cleaned_data["servers"]
                    ],
                )
            except Trouble as trouble:
                form.add_error(None, trouble.says)
                status = form_status(trouble)
            else:
                messages.success(request, "The scale-up record is written.")
                return redirect("scaledown:record-detail", event_ref=event.ref)
        return self._page(event, form, found, status)

    def _form(self, event: TrafficEvent) -> RecordForm:
        return RecordForm(connections=self.connections())

    def _reconstructed(
        self, event: TrafficEvent, connection: CloudConnection
    ) -> dict[str, records.AddedServer]:
        whole = self.find(CloudConnection, connection.ref)
        ids = [one.id for one in drawing.balancers_of(whole)]
        return {one.server_id: one for one in records.reconstruct(event, read_pool(whole, ids))}

    def _found(self, request: HttpRequest, event: TrafficEvent) -> dict[str, Any]:
        wanted = request.GET.get("from", "")
        connection = next((row for row in self.connections() if str(row.ref) == wanted), None)
        if connection is None:
            return {}
        try:
            rows = list(self._reconstructed(event, connection).values())
        except Trouble as trouble:
            return {"problem": trouble.says}
        lines = "\n".join(
            f"{row.server_name}, {row.server_id}, {row.added_at:%Y-%m-%d %H:%M:%S}" for row in rows
        )
        form = RecordForm(initial={"connection": wanted, "servers": lines}, connections=self.connections())
        return {"found": rows, "looked": True, "form": form}

    def _page(
        self, event: TrafficEvent, form: RecordForm, found: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        records = (
            ScaleUpRecord.objects.filter(event=event)
            .select_related("connection", "recorded_by")
            .prefetch_related("entries")
            .order_by("pk")
        )
        return self.show(
            "scaledown/record_detail.html",
            event=event,
            records=list(records),
            **{"form": form, "connections": self.connections(), **found},
            status=status,
        )


class Protected(ScaledownPage):
    """Servers that no plan may contain."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SERVER_PROTECT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        self.find(Account, account_ref)
        initial = {name: request.GET.get(name, "") for name in ("connection", "server_id", "server_name")}
        return self._page(ProtectForm(initial=initial, connections=self.connections()))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Mark one."""
        account = self.find(Account, account_ref)
        form = ProtectForm(request.POST, connections=self.connections())
        if form.is_valid():
            data = form.cleaned_data
            # The rows of the choices lack what the look needs (the key).
            connection = self.find(CloudConnection, form.connections[data["connection"]].ref)
            seen = look_at_server(connection, data["server_id"])
            try:
                mark = records.protect_server(
                    account=account,
                    connection=connection,
                    seen=seen,
                    server_id=data["server_id"],
                    server_name=data["server_name"],
                    reason=data["reason"],
                    actor=self.user,
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{mark.server_name} is protected: no plan may contain it.")
                if mark.checked_at is None:
                    messages.warning(
                        request,
                        f"Not checked whether {connection} has this server. {seen.problem} Check the id yourself: "
                        f"{mark.server_id}.",
                    )
                elif mark.server_name != data["server_name"]:
                    messages.warning(
                        request,
                        f"The provider calls {mark.server_id} {mark.server_name}, not {data['server_name']}. If you "
                        "meant another server, protect that one too.",
                    )
                return redirect("scaledown:protected", account_ref=account.ref)
        return self._page(form, status=422)

    def _page(self, form: ProtectForm, status: int = 200) -> HttpResponse:
        page = keyset(drawing.protected_of(self.account), self.request, order="server_name")
        return self.show("scaledown/protected.html", page=page, marks=page.rows, form=form, status=status)


class ProtectedLift(ScaledownPage):
    """Lift a server's protection, with a reason."""

    permission = Permission.SERVER_PROTECT

    def get(self, request: HttpRequest, mark_ref: UUID) -> HttpResponse:
        """Ask for the reason."""
        return self._ask(self.find(ProtectedServer, mark_ref))

    def post(self, request: HttpRequest, mark_ref: UUID) -> HttpResponse:
        """Lift it."""
        mark = self.find(ProtectedServer, mark_ref)
        name = mark.server_name
        records.unprotect_server(mark, actor=self.user, reason=request.POST.get("reason", "")[:1000])
        messages.success(request, f"{name} is no longer protected.")
        return redirect("scaledown:protected", account_ref=self.account.ref)

    def _ask(self, mark: ProtectedServer) -> HttpResponse:
        return self.show(
            "components/confirm_page.html",
            title=f"Lift the protection of {mark.server_name}?",
            text=f"A plan may then take {mark.server_name} out and delete it. It was protected because: {mark.reason}",
            action=self.request.path,
            button=f"Lift the protection of {mark.server_name}",
            back_url=reverse("scaledown:protected", args=[self.account.ref]),
            reason="required",
        )


# --- stop everything ------------------------------------------------------------------------------------------


class StandstillPage(ScaledownPage):
    """Stop everything: no change is sent any more but putting back, until a person lifts it."""

    permission = Permission.RUN_VIEW
    write_permission = Permission.STANDSTILL_PUT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show what stands still, and what can be stopped."""
        self.find(Account.objects.select_related("team"), account_ref)
        return self._page()

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Stop it."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        scope, _, connection_ref = request.POST.get("scope", "account").partition(":")
        reason = request.POST.get("reason", "")[:1000]
        connection = next((row for row in self.connections() if str(row.ref) == connection_ref), None)
        try:
            put = standstills.put_standstill(
                scope, account=account, actor=self.user, reason=reason, connection=connection
            )
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._page(
                problem=refusal.says, typed=reason, scope=request.POST.get("scope", ""), status=422
            )
        said = "Everything is stopped. Nothing is sent any more but putting back."
        own = set(map(str, Run.objects.filter(account=account).values_list("ref", flat=True)))
        sent = [one["says"] for one in put.on_the_wire if one["run"] in own]
        if sent:
            said += f" On its way at that moment: {' '.join(sent)}"
        messages.success(request, said)
        return redirect("scaledown:standstill", account_ref=account.ref)

    def _page(
        self, *, problem: str = "", typed: str = "", scope: str = "account", status: int = 200
    ) -> HttpResponse:
        account = self.account
        scopes = standstills.standstill_scopes([account])
        standing = Standstill.objects.filter(scope__in=scopes, lifted_at__isnull=True).order_by("at", "pk")
        past = Standstill.objects.filter(scope__in=scopes, lifted_at__isnull=False).select_related(
            "lifted_by"
        )
        words = {
            f"account:{account.ref}": str(account),
            f"team:{account.team.ref}": f"all accounts of {account.team}",
            "all": "the whole portal",
        } | {f"connection:{row.ref}": f"cloud connection {row}" for row in self.connections()}
        rows = [
            {
                "row": row,
                "scope": words.get(row.scope, row.scope),
                "can_lift": row.scope != "all",
                "is_others": row.is_wide and is_customer(self.granted),
            }
            for row in standing
        ]
        choices = [
            ("account", f"All of {account}"),
            *((f"connection:{row.ref}", f"Cloud connection {row}") for row in self.connections()),
        ]
        if Permission.RUN_COMMAND in self.granted:
            choices.append(("team", f"All accounts of {account.team}"))
        return self.show(
            "scaledown/standstill.html",
            status=status,
            standing=rows,
            past=[
                {
                    "row": row,
                    "scope": words.get(row.scope, row.scope),
                    "is_others": row.is_wide and is_customer(self.granted),
                }
                for row in past.order_by("-at", "-pk")[:10]
            ],
            choices=choices,
            scope=scope,
            problem=problem,
            typed=typed,
        )


class StandstillLift(ScaledownPage):
    """Let work go on, with a reason. Leads only."""

    permission = Permission.STANDSTILL_LIFT

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Lift it."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        scopes = [scope for scope in standstills.standstill_scopes([account]) if scope != "all"]
        try:
            ref = UUID(request.POST.get("standstill", ""))
        except ValueError:
            raise Refused(
                "Name the standstill that shall be lifted. Nothing was changed.", code="unknown"
            ) from None
        row = Standstill.objects.filter(ref=ref, scope__in=scopes).first()
        if row is None:
            raise Refused("There is no such standstill on this account. Nothing was changed.", code="unknown")
        standstills.lift_standstill(
            row, account=account, actor=self.user, reason=request.POST.get("reason", "")[:1000]
        )
        messages.success(request, "The standstill is lifted. Runs look afresh and go on.")
        return redirect("scaledown:standstill", account_ref=account.ref)
