"""What is known of a pool: figures with their source, probes, how connections are counted."""

from __future__ import annotations

from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from accounts.models import CloudConnection
from capacity import services
from capacity.forms import PoolForm
from capacity.models import CountSource, Probe
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
