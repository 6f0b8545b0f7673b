"""Pages of growth and size: pools with what they need, events that were detected, prices, what if."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from accounts.models import Account, CloudConnection
from accounts.views import AccountPage
from capacity.baselines.doubts import doubts_about
from capacity.benchmarks.selectors import pools_of
from capacity.metrics.kinds import DEMAND_UNIT, MetricKind
from capacity.metrics.models import Metric
from capacity.reference import Site, sizes_of
from capacity.reports import detected, selectors, services, sized
from capacity.reports.forms import (
    AddPoolForm,
    ChangePoolForm,
    DismissForm,
    NameForm,
    PriceForm,
    SizeForm,
    WhatIfForm,
)
from capacity.reports.links import cost_url, plan_url, record_url
from capacity.reports.models import DetectedEvent, DetectedState, ServerPrice, SizedPool
from capacity.reports.trying import flavors_of, try_out
from capacity.reports.versions import check_rules_seen, locked_pool, rules_version
from capacity.reports.wording import lasts_words
from capacity.sizing import Lasts, WhatIf
from portal.access import Permission
from portal.audit.models import AuditEntry
from portal.errors import Refused, StaleState, Trouble, form_status
from portal.paging import keyset

DETECTED_SHOWN = 8
ALIKE_SHOWN = 50
MOST_DEMANDS = 60


AN_EVENT = 2.0
"""What "what if" begins with, in times normal."""


class GrowthPage(AccountPage, abstract=True):
    """What the pages of growth and size share."""

    tab = "growth"


def demands_of(account: Account) -> list[Metric]:
    """Return the metrics that can size a pool, by name; one query."""
    rows = Metric.objects.filter(account=account, unit=DEMAND_UNIT, kind=MetricKind.THROUGHPUT)
    return list(rows.order_by("-is_vital", "name", "resource", "pk")[:MOST_DEMANDS])


def _free_pools(account: Account) -> list[tuple[str, str]]:
    """Return the pools that something is known of and that are not sized yet; two queries."""
    taken = {
        f"{ref}:{balancer}"
        for ref, balancer in SizedPool.objects.filter(account=account).values_list(
            "connection__ref", "balancer_id"
        )
    }
    return [(key, words) for key, words in pools_of(account) if key not in taken][:MOST_DEMANDS]


class GrowthOverview(GrowthPage):
    """The account's pools with what they need, and the stretches that wait for a name."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        account = self.find(Account, account_ref)
        return self._page(account, self._form(account))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Size a pool, and look at it at once."""
        account = self.find(Account, account_ref)
        form, status = self._form(account, request.POST), 422
        if form.is_valid():
            ref, _, balancer_id = form.cleaned_data["pool"].partition(":")
            connection = CloudConnection.objects.get(account=account, ref=ref)
            try:
                pool = sized.size_pool(account, connection, balancer_id, actor=self.user, **form.chosen())
            except Refused as refusal:
                status = form_status(refusal)
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{pool.name} is sized by {pool.metric} from now on.")
                _look(request, pool)
                return redirect("capacity:sized-pool", pool_ref=pool.ref)
        return self._page(account, form, status=status)

    def _form(self, account: Account, data: object = None) -> AddPoolForm:
        return AddPoolForm(data, metrics=demands_of(account), pools=_free_pools(account))

    def _page(self, account: Account, form: AddPoolForm, status: int = 200) -> HttpResponse:
        now = timezone.now()
        rows = selectors.listed_pools().filter(account=account).order_by("name", "pk")[: selectors.MOST_SIZED]
        proposed = selectors.detected().filter(account=account, state=DetectedState.PROPOSED)
        return self.show(
            "capacity/growth/overview.html",
            status=status,
            sized=[(pool, lasts_words(pool.runway, now)) for pool in rows],
            proposed=proposed.order_by("-starts_at", "-pk")[:DETECTED_SHOWN],
            form=form,
            cost_url=cost_url(account),
        )


class PoolGone(StaleState):
    """A pool that somebody sizes no more. `now` is the same pool where it was sized anew since."""

    def __init__(self, says: str, account: Account, now: SizedPool | None) -> None:
        super().__init__(says, code="pool_removed")
        self.account, self.now = account, now


class PoolPage(GrowthPage, abstract=True):
    """What the pages of one pool share."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone of whoever reads."""
        return ZoneInfo(self.user.time_zone or "UTC")

    def find_pool(self, ref: UUID, rows: QuerySet[SizedPool] | None = None) -> SizedPool:
        """Return the pool. Of one that somebody sizes no more, say so to whoever may read it, with what was typed."""
        try:
            return self.find(selectors.pools() if rows is None else rows, ref)
        except Http404:
            gone = AuditEntry.objects.filter(what="sized_pool.removed", subject_ref=str(ref)).last()
            if gone is None or gone.account_ref is None:
                raise
            account = self.find(Account, gone.account_ref)
        typed = [
            f"{field.label}: {self.request.POST[name]}"
            for name, field in SizeForm.base_fields.items()
            if name != "metric" and self.request.POST.get(name)
        ]
        wrote = f" You had typed: {'; '.join(typed)}." if typed else ""
        was = gone.before or {}
        now = account.sized_pools.filter(
            connection__ref=str(was.get("connection")), balancer_id=str(was.get("balancer_id"))
        ).first()
        # Whoever only follows a link did nothing that could be left undone.
        nothing = ", so nothing was done" if self.request.method == "POST" else ""
        raise PoolGone(
            f"{gone.actor_name or 'Somebody'} said on {gone.at.astimezone(self.zone):%Y-%m-%d} that “{gone.subject_label}” is "
            f"sized no more{nothing}.{wrote} What was measured stays; size the pool again under “Growth and size” of {account}.",
            account,
            now,
        )

    def lead_on(self, gone: PoolGone) -> HttpResponse:
        """Lead whoever follows an old link to the pool as it is sized now, else to where it can be sized again."""
        if gone.now is not None:
            return redirect("capacity:sized-pool", pool_ref=gone.now.ref)
        messages.warning(self.request, gone.says)
        return redirect("capacity:growth-overview", account_ref=gone.account.ref)


class SizedPoolPage(PoolPage):
    """One pool: what it needs now, at the forecast peak, for each event, how long it lasts, what is more than needed."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, pool_ref: UUID) -> HttpResponse:
        """Show it."""
        try:
            pool = self.find_pool(pool_ref)
        except PoolGone as gone:
            return self.lead_on(gone)
        return self._page(pool, self._form(pool))

    def post(self, request: HttpRequest, pool_ref: UUID) -> HttpResponse:
        """Change by what it is sized."""
        pool = self.find_pool(pool_ref)
        form, status = self._form(pool, request.POST), 422
        if form.is_valid():
            try:
                with transaction.atomic():
                    check_rules_seen(locked_pool(pool), form.cleaned_data["seen"])
                    sized.change_pool(pool, actor=self.user, **form.chosen())
            except StaleState as stale:
                status, typed = form_status(stale), request.POST.copy()
                # Whoever reads what is there now may put what was typed in its place.
                pool = self.find_pool(pool_ref)
                typed["seen"] = rules_version(pool)
                form = self._form(pool, typed)
                form.add_error(None, stale.says)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "Kept, with your name in the audit.")
                return redirect("capacity:sized-pool", pool_ref=pool.ref)
        return self._page(pool, form, status=status)

    def _form(self, pool: SizedPool, data: object = None) -> ChangePoolForm:
        initial = {
            "name": pool.name,
            "metric": str(pool.metric.ref) if pool.metric else "",
            "headroom": pool.headroom,
            "fewest": pool.fewest,
            "seen": rules_version(pool),
        }
        return ChangePoolForm(data, initial=initial, metrics=demands_of(pool.account))

    def _page(self, pool: SizedPool, form: SizeForm, status: int = 200) -> HttpResponse:
        now = timezone.now()
        found = selectors.sized(pool, now)
        site = Site(pool.connection.ref, pool.balancer_id)
        flavors = flavors_of(pool)
        doubts = doubts_about(pool.connection, pool.balancer_id, found.ceiling) if found.ceiling else ()
        return self.show(
            "capacity/growth/pool.html",
            status=status,
            pool=pool,
            one=found,
            sizes=sizes_of(pool.account, site, now) if found.ceiling is None else None,
            form=form,
            what_if=WhatIfForm(flavors=flavors, initial=_as_it_is(found)),
            plan_url=plan_url_of(found, doubts),
            doubts=doubts,
        )


def plan_url_of(found: selectors.Sized, doubts: Sequence[str] = ()) -> str:
    """Return where a plan that takes the surplus out is begun; "" where nothing is more than needed."""
    pool, sizing = found.pool, found.sizing
    if not sizing.surplus or pool.servers is None:
        return ""
    target = pool.servers - sizing.surplus
    parts = [f"{sizing.needed_now} for the usual peak"]
    if sizing.needed_peak is not None:
        parts.append(f"{sizing.needed_peak} for the forecast peak")
    reason = f"Sizing: {', '.join(parts)}, with {pool.headroom:.0%} free."
    if sizing.kept_for_host:
        reason += f" {sizing.kept_for_host} more by load, kept for the loss of a physical host."
    if sizing.lasts_without.state is not Lasts.UNKNOWN:
        reason += f" {target} server{'s' if target > 1 else ''} last{'' if target > 1 else 's'} until: {found.lasts_without}."
    for says in doubts:
        reason += f" Doubtful: {says}"
    # Whoever approves must see that the servers are missed again, and when.
    if event := sizing.asks_for_more:
        needs = "an unknown number" if event.servers is None else str(event.servers)
        if event.is_over_limit:
            needs = "more than fits under the pool’s own limit"
        reason += f" Not for {event.event.name} from {event.event.starts_at:%Y-%m-%d}, which needs {needs}."
    return plan_url(pool.account, str(pool.connection.ref), pool.balancer_id, target, reason)


def _as_it_is(found: selectors.Sized) -> dict[str, object]:
    """Return what the sliders begin with."""
    growth = None if found.demand is None else found.demand.growth
    return {
        "growth": None if growth is None else round(growth * 100, 1),
        "multiple": AN_EVENT,
        "headroom": round(found.rules.headroom * 100),
        "servers": found.pool.servers,
    }


class WhatIfPage(PoolPage):
    """What if growth, an event, the servers or what stays free were others: a page, and its answer alone for the script."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, pool_ref: UUID) -> HttpResponse:
        """Answer."""
        try:
            pool = self.find_pool(pool_ref)
        except PoolGone as gone:
            # A script that asks for the answer alone could do nothing with another page.
            if request.GET.get("part") == "answer":
                raise
            return self.lead_on(gone)
        now = timezone.now()
        flavors = flavors_of(pool)
        is_asked = bool(set(request.GET) & set(WhatIfForm.base_fields))
        form = WhatIfForm(request.GET if is_asked else None, flavors=flavors)
        is_good = is_asked and form.is_valid()
        # As it opens, an event stands in the form, so it stands in the answer.
        answer = try_out(pool, form.tried() if is_good else WhatIf(multiple=AN_EVENT), now)
        as_it_is = _as_it_is(answer.now)
        if not is_asked:
            form = WhatIfForm(flavors=flavors, initial=as_it_is)
        else:
            # What the address leaves out stays as it is: its fields and sliders stand there. It is checked already; without
            # a multiple there is no event.
            form.data = {**as_it_is, "multiple": "", **request.GET.dict()}
        template = "_answer" if request.GET.get("part") == "answer" else "what_if"
        return self.show(
            f"capacity/growth/{template}.html",
            status=422 if is_asked and not is_good else 200,
            pool=pool,
            one=answer.now,
            answer=answer,
            what_if=form,
        )


class SizedPoolLook(PoolPage):
    """Ask the provider how many servers are in service."""

    permission = Permission.SAMPLE_ADD

    def post(self, request: HttpRequest, pool_ref: UUID) -> HttpResponse:
        """Look, and show what was seen."""
        pool = self.find_pool(pool_ref, selectors.pools().defer(None))
        _look(request, pool)
        return redirect("capacity:sized-pool", pool_ref=pool.ref)


class SizedPoolRemove(PoolPage):
    """Size a pool no more."""

    permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, pool_ref: UUID) -> HttpResponse:
        """Ask first: nothing brings its rules back."""
        try:
            pool = self.find_pool(pool_ref)
        except PoolGone as gone:
            return self.lead_on(gone)
        return self.show("capacity/growth/remove.html", pool=pool)

    def post(self, request: HttpRequest, pool_ref: UUID) -> HttpResponse:
        """Do so; what was measured stays."""
        pool = self.find_pool(pool_ref)
        account = pool.account
        sized.remove_pool(pool, actor=self.user)
        messages.success(request, f"{pool.name} is not sized any more. Its metric stays.")
        return redirect("capacity:growth-overview", account_ref=account.ref)


def _look(request: HttpRequest, pool: SizedPool) -> None:
    try:
        seen = sized.look_at(SizedPool.objects.select_related("connection", "account").get(pk=pool.pk))
    except Trouble as trouble:
        messages.warning(request, trouble.says)
    else:
        messages.success(request, f"The provider shows {seen.servers} servers in service.")


class GrowthAsk(GrowthPage):
    """Ask for a metric's growth report now."""

    permission = Permission.SAMPLE_ADD

    def post(self, request: HttpRequest, metric_ref: UUID) -> HttpResponse:
        """Note it; a worker makes it within moments."""
        metric = self.find(Metric.objects.select_related("account"), metric_ref)
        try:
            services.ask(metric, actor=self.user)
        except Refused as refusal:
            messages.error(request, refusal.says)
        else:
            messages.success(request, "The report is being made. It takes seconds; then this page shows it.")
        return redirect("capacity:metric", metric_ref=metric.ref)


class DetectedList(GrowthPage):
    """Every stretch that left its band, the newest first."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them; the filter stands in the address."""
        account = self.find(Account, account_ref)
        state = request.GET.get("state", "")
        rows = selectors.detected().filter(account=account)
        if state in DetectedState.values:
            rows = rows.filter(state=state)
        page = keyset(rows, request, order="-starts_at", filters={"account": account.pk, "state": state})
        shown = [one for one in DetectedState if one is not DetectedState.WITHDRAWN]
        return self.show("capacity/growth/detected_list.html", page=page, state_shown=state, states=shown)


class DetectedPage(GrowthPage):
    """One stretch: name it, or say that it was no event."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, detected_ref: UUID) -> HttpResponse:
        """Show it."""
        row = self.find(selectors.profiled(), detected_ref)
        return self._page(row, NameForm(), self._dismiss(row))

    def post(self, request: HttpRequest, detected_ref: UUID) -> HttpResponse:
        """Do what was decided."""
        row = self.find(selectors.profiled(), detected_ref)
        is_dismissed = "dismiss" in request.POST
        name = NameForm(None if is_dismissed else request.POST)
        dismiss = self._dismiss(row, request.POST if is_dismissed else None)
        form = dismiss if is_dismissed else name
        seen = request.POST.get("seen", "")
        if form.is_valid():
            try:
                if is_dismissed:
                    detected.dismiss_detected(
                        row,
                        reason=dismiss.cleaned_data["reason"],
                        also=dismiss.also_refs(),
                        actor=self.user,
                        seen=seen,
                    )
                    said = "Dismissed. It stays out of growth and forecasts."
                else:
                    detected.name_detected(row, name=form.cleaned_data["name"], actor=self.user, seen=seen)
                    said = f"“{form.cleaned_data['name']}” is on record as a traffic event."
            except Refused as refusal:
                # As somebody else left it since: then its form may be gone from the page, and the sentence must not be.
                row = selectors.profiled().filter(pk=row.pk).first() or row
                typed = form.cleaned_data["reason" if is_dismissed else "name"]
                status = form_status(refusal)
                return self._page(row, name, dismiss, status=status, problem=refusal.says, typed=typed)
            else:
                messages.success(request, said)
                return redirect("capacity:detected-list", account_ref=row.account.ref)
        return self._page(row, name, dismiss, status=422)

    def _dismiss(self, row: DetectedEvent, data: Any = None) -> DismissForm:
        alike = selectors.alike_of(row)[:ALIKE_SHOWN] if row.state != DetectedState.NAMED else ()
        return DismissForm(data, alike=alike, is_rise=row.is_rise)

    def _page(
        self,
        row: DetectedEvent,
        name: NameForm,
        dismiss: DismissForm,
        status: int = 200,
        problem: str = "",
        typed: str = "",
    ) -> HttpResponse:
        return self.show(
            "capacity/growth/detected.html",
            row=row,
            record_url=record_url(row.event),
            name=name,
            dismiss=dismiss,
            status=status,
            problem=problem,
            typed=typed,
        )


class Prices(GrowthPage):
    """What servers cost the account an hour, by size."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        return self._page(self.find(Account, account_ref), PriceForm())

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Enter a price; one of the same size is replaced."""
        account = self.find(Account, account_ref)
        form = PriceForm(request.POST)
        if form.is_valid():
            try:
                sized.set_price(account, actor=self.user, **form.cleaned_data)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "Entered, with your name and the time.")
                return redirect("capacity:prices", account_ref=account.ref)
        return self._page(account, form, status=422)

    def _page(self, account: Account, form: PriceForm, status: int = 200) -> HttpResponse:
        rows = ServerPrice.objects.filter(account=account).select_related("entered_by")
        page = keyset(rows, self.request, order="flavor", filters={"account": account.pk})
        return self.show("capacity/growth/prices.html", page=page, form=form, status=status)


class PriceRemove(GrowthPage):
    """Take a price away."""

    permission = Permission.SAMPLE_ADD

    def post(self, request: HttpRequest, price_ref: UUID) -> HttpResponse:
        """Do so; estimates are told in server-hours then."""
        price = self.find(ServerPrice.objects.select_related("account"), price_ref)
        account = price.account
        sized.remove_price(price, actor=self.user)
        messages.success(request, f"The price of {price.flavor} is taken away.")
        return redirect("capacity:prices", account_ref=account.ref)
