"""Pages of baselines: list, one version, propose, decide, withdraw; and what speaks for a pool's ceiling."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.facts import last_day
from accounts.models import Account, CloudConnection
from accounts.views import AccountPage
from capacity.baselines import ceilings, doubts, selectors, services, shown, stretches
from capacity.baselines.forms import LimitForm, ProposeForm, SeriesForm
from capacity.baselines.models import MeasuredBaseline
from capacity.benchmarks import selectors as benchmarks
from capacity.benchmarks.models import Benchmark
from capacity.pool_names import pool_named
from capacity.reference import Sizes, proves_nothing
from portal.access import Permission, holders
from portal.approvals.models import Verdict
from portal.approvals.pages import ApprovePage, AskedPage, EndPage, asked_shown
from portal.errors import NotPermitted, Refused, form_status
from portal.paging import keyset


class BaselinePage(AccountPage, abstract=True):
    """What the pages of baselines share."""

    tab = "baselines"

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which this reader types times."""
        return ZoneInfo(self.user.time_zone or "UTC")


class BaselineList(BaselinePage):
    """Every version of every pool's baseline, the newest first."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them with their age, their owner, and how the site stands."""
        account = self.find(Account, account_ref)
        page = keyset(selectors.of_account(account), request, order="-id", filters={"account": account.pk})
        now, pools = timezone.now(), shown.pools_of(account)
        words = {(one.connection_ref, one.balancer_id): one.words for one in pools}
        return self.show(
            "capacity/baselines/list.html",
            page=page,
            rows=[
                (
                    row,
                    words.get(
                        (row.connection.ref, row.balancer_id), f"{row.connection.name}, {row.balancer_id}"
                    ),
                    selectors.standing(getattr(row, "newest", ())),
                    row.status == "approved" and row.valid_until <= now,
                    last_day(row.valid_until),
                    proves_nothing(row, now),
                )
                for row in page.rows
            ],
            pools=pools[: shown.POOLS_SHOWN],
        )


class OneBaseline(BaselinePage, abstract=True):
    """What the pages of one version share."""

    def row_shown(self, row: MeasuredBaseline, *, problem: str = "", status: int = 200) -> HttpResponse:
        """Return the page of one version."""
        return self.show(
            "capacity/baselines/detail.html",
            status=status,
            row=row,
            known=shown.detail_of(row, timezone.now()),
            pool_named=pool_named(row.connection, row.balancer_id),
            may_withdraw=row.request.status in {"open", "approved"}
            and Permission.BASELINE_PROPOSE in self.granted,
            problem=problem,
            **asked_shown(row.request, self.user),
        )


class BaselineDetail(OneBaseline):
    """One version: figures with spread and tolerance, what came since, who approved it."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, baseline_ref: UUID) -> HttpResponse:
        """Opening it changes nothing."""
        return self.row_shown(self.find(selectors.whole(), baseline_ref))


class AskedBaseline(AskedPage, abstract=True):
    """What approving and ending a version share."""

    rows = selectors.whole()
    row_url = "capacity:baseline"


class BaselineApprove(OneBaseline, AskedBaseline, ApprovePage):
    """The customer's yes to exactly what was seen."""

    permission = Permission.PLAN_APPROVE
    done = "You have approved it. The site is held against it from now on."

    def approve(self, row: MeasuredBaseline, digest: str) -> None:
        """Approve what was seen."""
        services.decide(row, Verdict.APPROVE, actor=self.user, seen_digest=digest)


class BaselineReject(BaselinePage, AskedBaseline, EndPage):
    """The customer's no."""

    permission = Permission.PLAN_APPROVE
    heading, label = "Turn this baseline down?", "Turn it down"
    leaves = "The baseline before it stays what the site is held against. Your launch manager reads why."
    done = "You have turned it down."

    def end(self, row: MeasuredBaseline, reason: str, digest: str) -> None:
        """Turn down what was seen."""
        services.decide(row, Verdict.REJECT, actor=self.user, seen_digest=digest, reason=reason)


class BaselineWithdraw(BaselinePage, AskedBaseline, EndPage):
    """It counts no more, or is no longer asked for."""

    permission = Permission.BASELINE_PROPOSE
    heading, label = "Withdraw this baseline?", "Withdraw it"
    leaves = "It stays to be read, with your reason. The approved version before it counts again."
    done = "It is withdrawn."

    def end(self, row: MeasuredBaseline, reason: str, digest: str) -> None:
        """Withdraw it."""
        services.withdraw(row, actor=self.user, reason=reason)


class ProposePage(BaselinePage, abstract=True):
    """What proposing shares, whatever it is made from."""

    def form_for(self, account: Account, source: services.Source, data: Any = None) -> ProposeForm:
        """Return the form, filled in with what is usual."""
        people = list(holders(Permission.SAMPLE_VIEW, account))
        until = (timezone.now() + services.LASTS).date()
        own = next((str(one.ref) for one in people if one.pk == self.user.pk), "")
        return ProposeForm(
            data,
            people=people,
            tolerances=source.tolerances,
            has_events=bool(source.events),
            initial={"valid_until": until, "owner": own},
        )

    def proposed(self, source: services.Source, form: ProposeForm) -> MeasuredBaseline | None:
        """Propose what was typed; None with the refusal in the form."""
        if not form.is_valid():
            return None
        try:
            return services.propose(
                source,
                valid_until=form.cleaned_data["valid_until"],
                reason=form.cleaned_data["reason"],
                owner=form.owner_of(),
                tolerances=form.tolerances(),
                with_events=form.cleaned_data.get("with_events", False),
                actor=self.user,
            )
        except NotPermitted:
            raise
        except Refused as refusal:
            form.add_error(None, refusal.says)
            return None


class BenchmarkPropose(ProposePage):
    """A benchmark as the next version of its pool's baseline."""

    permission = Permission.BASELINE_PROPOSE

    def get(self, request: HttpRequest, benchmark_ref: UUID) -> HttpResponse:
        """Show what would be approved, and ask until when and why."""
        row = self.find(benchmarks.whole(), benchmark_ref)
        source = self._source(row, request.GET.get("load"))
        return self._page(row, source, self.form_for(row.account, source))

    def post(self, request: HttpRequest, benchmark_ref: UUID) -> HttpResponse:
        """Propose it: the customer's approvers are asked."""
        row = self.find(benchmarks.whole(), benchmark_ref)
        source = self._source(row, request.POST.get("load"))
        form = self.form_for(row.account, source, request.POST)
        made = self.proposed(source, form)
        if made is None:
            return self._page(row, source, form, status=422)
        messages.success(request, "It is proposed. The customer’s approvers were asked.")
        return redirect("capacity:baseline", baseline_ref=made.ref)

    def _source(self, row: Benchmark, load: str | None) -> services.Source:
        try:
            chosen = float(load) if load else None
        except ValueError:
            chosen = None
        if chosen is not None and not abs(chosen) < float("inf"):
            chosen = None
        return services.from_benchmark(row, users_per_node=chosen)

    def _page(
        self, row: Benchmark, source: services.Source, form: ProposeForm, status: int = 200
    ) -> HttpResponse:
        return self.show(
            "capacity/baselines/propose.html",
            status=status,
            row=row,
            source=source,
            figures=shown.figures_of(source.measured, source.tolerances),
            loads=shown.loads_of(row, source),
            load=shown.load_words(source.measured.load),
            load_value=repr(source.measured.load.per_node) if source.measured.load else "",
            replaced=selectors.replaced_by(source.connection, source.balancer_id, source.kind),
            form=form,
        )


class SeriesPropose(ProposePage):
    """A stretch of normal series as the next version of a pool's baseline."""

    permission = Permission.BASELINE_PROPOSE

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Ask for the stretch; with one in the address, show what it says and ask until when and why."""
        account = self.find(Account, account_ref)
        if "begins_at" not in request.GET:
            return self._page(account, self._series(account, None))
        series = self._series(account, request.GET)
        source = self._source(account, series)
        form = None if source is None else self.form_for(account, source)
        return self._page(account, series, source, form, status=200 if source else 422)

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Propose it: the customer's approvers are asked."""
        account = self.find(Account, account_ref)
        series = self._series(account, request.POST)
        source = self._source(account, series)
        if source is None:
            return self._page(account, series, status=422)
        form = self.form_for(account, source, request.POST)
        made = self.proposed(source, form)
        if made is None:
            return self._page(account, series, source, form, status=422)
        messages.success(request, "It is proposed. The customer’s approvers were asked.")
        return redirect("capacity:baseline", baseline_ref=made.ref)

    def _series(self, account: Account, data: Any) -> SeriesForm:
        now = timezone.now().replace(minute=0, second=0, microsecond=0)
        return SeriesForm(
            data,
            pools=benchmarks.pools_of(account),
            resources=stretches.resources_of(account),
            zone=self.zone,
            initial={"begins_at": now - timedelta(days=1), "ends_at": now},
        )

    def _source(self, account: Account, series: SeriesForm) -> services.Source | None:
        if not series.is_valid():
            return None
        given = dict(series.cleaned_data)
        connection, balancer_id = benchmarks.connection_of(account, given.pop("pool"))
        if connection is None:
            series.add_error("pool", "Choose one of the account’s pools.")
            return None
        try:
            return services.from_series(account, connection, balancer_id, **given)
        except Refused as refusal:
            series.add_error(None, refusal.says)
            return None

    def _page(
        self,
        account: Account,
        series: SeriesForm,
        source: services.Source | None = None,
        form: ProposeForm | None = None,
        status: int = 200,
    ) -> HttpResponse:
        return self.show(
            "capacity/baselines/propose_series.html",
            status=status,
            series=series,
            source=source,
            figures=() if source is None else shown.figures_of(source.measured, source.tolerances),
            load="" if source is None else shown.load_words(source.measured.load),
            replaced=None
            if source is None
            else selectors.replaced_by(source.connection, source.balancer_id, source.kind),
            form=form,
            zone_name=str(self.zone),
        )


class CeilingPage(BaselinePage):
    """What speaks for a pool's ceiling, the curve through the steps, the pool's own limit."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, connection_ref: UUID, balancer_id: str) -> HttpResponse:
        """Show it."""
        connection = self._connection(connection_ref)
        return self._page(connection, balancer_id, LimitForm(), size=request.GET.get("size", ""))

    def post(self, request: HttpRequest, connection_ref: UUID, balancer_id: str) -> HttpResponse:
        """Let the strongest evidence count (`act=take`), enter what the pool carries at most, or take it back (`act=take_back`)."""
        connection = self._connection(connection_ref)
        act, seen = request.POST.get("act"), request.POST.get("seen")
        form = LimitForm() if act in ("take", "take_back") else LimitForm(request.POST)
        try:
            if act == "take":
                taken = request.POST.get("taken")
                services.take_ceiling(
                    connection,
                    balancer_id,
                    actor=self.user,
                    seen=seen,
                    taken=taken,
                    for_higher=request.POST.get("for_higher") == "yes",
                    mix=request.POST.get("mix", ""),
                    size=request.POST.get("size", ""),
                )
                messages.success(request, "It counts from now on, with your name and the time.")
            elif act == "take_back":
                kind = request.POST.get("kind", "")
                services.take_back_limit(connection, balancer_id, kind=kind, actor=self.user, seen=seen)
                messages.success(request, "Taken back. The least of what remains counts, if anything does.")
            elif form.is_valid():
                services.enter_limit(connection, balancer_id, actor=self.user, seen=seen, **form.cleaned_data)
                messages.success(request, "Entered, with your name and the time.")
            else:
                # Of what others changed meanwhile nobody was told yet: what was seen stays what it was.
                return self._page(connection, balancer_id, form, seen=seen, status=422)
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._page(
                connection,
                balancer_id,
                form,
                problem=refusal.says,
                status=form_status(refusal),
                size=request.POST.get("size", ""),
            )
        here = reverse("capacity:ceiling", args=[connection.ref, balancer_id])
        size = request.POST.get("size", "")
        return redirect(f"{here}?{urlencode({'size': size})}" if size else here)

    def _connection(self, connection_ref: UUID) -> CloudConnection:
        rows = CloudConnection.objects.select_related("account").defer("api_key")
        return self.find(rows, connection_ref)

    def _page(
        self,
        connection: CloudConnection,
        balancer_id: str,
        form: LimitForm,
        *,
        problem: str = "",
        seen: str | None = None,
        status: int = 200,
        size: str = "",
    ) -> HttpResponse:
        found = ceilings.ceiling_of(connection, balancer_id, size=size)
        nodes = found.run.node_count if found.run is not None else None
        against, against_taken = doubts.doubts_of(connection, balancer_id, found)
        return self.show(
            "capacity/baselines/ceiling.html",
            status=status,
            connection=connection,
            balancer_id=balancer_id,
            pool_named=pool_named(connection, balancer_id),
            found=found,
            asked_size=size,
            drawn=shown.drawn(found.steps, found.fit, found.latency, nodes, found.promised),
            form=form,
            ceilings_seen=Sizes(found.in_force).version,
            taken_seen=ceilings.taken_version(found.ranked),
            other_seen=ceilings.taken_version(found.other) if found.other else "",
            limits_seen=seen or ceilings.limits_version(found.limits),
            problem=problem,
            doubts=against,
            taken_doubts=against_taken,
        )
