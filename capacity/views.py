"""What is known of a pool (figures with their source, probes, how connections are counted), and traffic events."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.models import CloudConnection
from accounts.views import AccountPage
from capacity import services
from capacity.events import callable_of, change_event, check_event_seen, fixed_of, remove_event
from capacity.forms import EventForm, PoolForm, as_typed
from capacity.models import CountSource, Probe, TrafficEvent
from capacity.pool_names import named, with_pool_name
from capacity.reference import Site, event_at, reference_for, sizes_of
from portal.access import Permission, PortalView
from portal.errors import Refused, StaleState, form_status


class PoolKnown(PortalView):
    """One pool's figures, with a form to enter newer ones."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which this reader types times."""
        return ZoneInfo(self.user.time_zone or "UTC")

    def get(self, request: HttpRequest, connection_ref: UUID, balancer_id: str) -> HttpResponse:
        """Show what is known; None is *unknown*."""
        connection = self.find(with_pool_name(balancer_id), connection_ref)
        return self._page(connection, balancer_id, PoolForm(account=self.account, zone=self.zone))

    def post(self, request: HttpRequest, connection_ref: UUID, balancer_id: str) -> HttpResponse:
        """Enter what was given; the rest stays as it is."""
        connection = self.find(with_pool_name(balancer_id), connection_ref)
        form = PoolForm(request.POST, account=self.account, zone=self.zone)
        seen, status = request.POST.get("seen"), 422
        if form.is_valid():
            try:
                services.enter_known(connection, balancer_id, form.cleaned_data, actor=self.user, seen=seen)
            except StaleState as stale:
                # Whoever reads what counts now may put what was typed in its place.
                seen, status = None, form_status(stale)
                form.add_error(None, stale.says)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "Entered, with your name and the time.")
                return redirect("capacity:pool-known", connection_ref=connection.ref, balancer_id=balancer_id)
        return self._page(connection, balancer_id, form, seen=seen, status=status)

    def _page(
        self,
        connection: CloudConnection,
        balancer_id: str,
        form: PoolForm,
        *,
        seen: str | None = None,
        status: int = 200,
    ) -> HttpResponse:
        of_pool = {"connection": connection, "balancer_id": balancer_id}
        now = timezone.now()
        reference = reference_for(self.account, Site(connection.ref, balancer_id), now)
        sizes = sizes_of(self.account, Site(connection.ref, balancer_id), now)
        return self.render(
            "capacity/pool_known.html",
            status=status,
            connection=connection,
            balancer_id=balancer_id,
            pool_named=named(getattr(connection, "pool_name", ""), balancer_id),
            form=form,
            reference=reference,
            sizes=sizes,
            seen=seen or sizes.version,
            event=event_at(self.account, now) if reference is None else reference.event,
            probes=Probe.objects.filter(**of_pool).order_by("name"),
            counts=CountSource.objects.filter(**of_pool).first(),
            zone_name=str(self.zone),
            nav_key="accounts",
        )


EVENTS = TrafficEvent.objects.select_related("account", "entered_by", "freeze")


class EventPage(AccountPage):
    """One traffic event: what was planned for it, what was seen of it, and a form to change it."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD
    tab = "scaledown"

    def get(self, request: HttpRequest, event_ref: UUID) -> HttpResponse:
        """Show it; what is unknown stays so."""
        event = self.find(EVENTS, event_ref)
        return self._page(event, self._form(event))

    def post(self, request: HttpRequest, event_ref: UUID) -> HttpResponse:
        """Change what was typed as another than it is."""
        event = self.find(EVENTS, event_ref)
        form, status = self._form(event, request.POST), 422
        if form.is_valid():
            try:
                with transaction.atomic():
                    check_event_seen(event, form.cleaned_data["seen"])
                    change_event(event, form.chosen(), actor=self.user)
            except StaleState as stale:
                # Whoever reads what is there now may put what was typed in its place.
                status, typed = form_status(stale), request.POST.copy()
                event = self.find(EVENTS, event_ref)
                typed["seen"] = event.updated_at.isoformat()
                form = self._form(event, typed)
                form.add_error(None, stale.says)
            except Refused as refusal:
                status = form_status(refusal)
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "Kept, with your name in the audit.")
                return redirect("capacity:traffic-event", event_ref=event.ref)
        return self._page(event, form, status=status)

    def _form(self, event: TrafficEvent, data: Any = None) -> EventForm:
        return EventForm(
            data,
            initial=as_typed(event),
            zone=ZoneInfo(self.user.time_zone or "UTC"),
            contacts=callable_of(event.account, event),
            may_freeze=Permission.CALENDAR_EDIT in self.granted,
            fixed=fixed_of(event),
        )

    def _page(self, event: TrafficEvent, form: EventForm, status: int = 200) -> HttpResponse:
        return self.show(
            "capacity/events/event.html",
            status=status,
            event=event,
            form=form,
            zone_name=self.user.time_zone or "UTC",
            called=event.contacts.order_by("escalation_order", "pk"),
            stretches=event.detected.select_related("metric").order_by("starts_at", "pk"),
            records=event.scale_up_records.count(),
        )


class EventRemove(AccountPage):
    """Call a traffic event off."""

    permission = Permission.SAMPLE_ADD
    tab = "scaledown"

    def get(self, request: HttpRequest, event_ref: UUID) -> HttpResponse:
        """Ask first: nothing brings it back."""
        return self._ask(self.find(EVENTS, event_ref))

    def post(self, request: HttpRequest, event_ref: UUID) -> HttpResponse:
        """Call it off."""
        event = self.find(EVENTS, event_ref)
        try:
            remove_event(event, actor=self.user)
        except Refused as refusal:
            return self._ask(event, problem=refusal.says, status=form_status(refusal))
        messages.success(request, f"{event.name} is called off.")
        return redirect("scaledown:record-list", account_ref=event.account.ref)

    def _ask(self, event: TrafficEvent, *, problem: str = "", status: int = 200) -> HttpResponse:
        frozen = " Its freeze ends, and changes are not held back by it any more." if event.freeze_id else ""
        return self.show(
            "components/confirm_page.html",
            title=f"Call “{event.name}” off?",
            text=f"It leaves the calendar, and no pool is sized for it any more.{frozen} That it was planned stays in the audit.",
            button="Call it off",
            action=self.request.path,
            problem=problem,
            back_label=event.name,
            back_url=reverse("capacity:traffic-event", args=[event.ref]),
            status=status,
        )
