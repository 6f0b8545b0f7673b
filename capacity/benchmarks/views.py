"""Pages of benchmarks: list, hand in, read, describe, set aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.models import Account, CloudConnection
from accounts.views import AccountPage
from capacity.baselines.models import MeasuredBaseline
from capacity.benchmarks import selectors, services
from capacity.benchmarks.forms import AsideForm, BenchmarkForm, ChangeEnvironmentForm
from capacity.benchmarks.models import Benchmark
from capacity.pool_names import pool_named
from portal.access import Permission
from portal.csvfile import attachment
from portal.errors import Refused, StaleState, form_status
from portal.frozen import replace
from portal.paging import keyset
from portal.ui.charts import in_zone


class BenchmarkPage(AccountPage, abstract=True):
    """What the pages of benchmarks share."""

    tab = "benchmarks"

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which this reader types times."""
        return ZoneInfo(self.user.time_zone or "UTC")


class BenchmarkList(BenchmarkPage):
    """The account's benchmarks, the newest first; and the form to hand one in."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        account = self.find(Account, account_ref)
        return self._page(account, BenchmarkForm(zone=self.zone, pools=selectors.pools_of(account)))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Take a file in; a refusal says which line is wrong and what to do."""
        account = self.find(Account, account_ref)
        pools = selectors.pools_of(account)
        form = BenchmarkForm(request.POST, request.FILES, zone=self.zone, pools=pools)
        if form.is_valid():
            connection, balancer_id = selectors.connection_of(account, form.pool_key())
            try:
                row, is_new = services.take_in(
                    account,
                    form.content(),
                    file_name=form.cleaned_data["file"].name,
                    title=form.cleaned_data["title"],
                    actor=self.user,
                    connection=connection,
                    balancer_id=balancer_id,
                    **form.described(),
                )
                if is_new:
                    messages.success(request, "The benchmark was taken in.")
                else:
                    self._fill_in(row, form, (connection, balancer_id) if connection else None)
            except Refused as refusal:
                form.add_error("file", refusal.says)
            else:
                return redirect("capacity:benchmark", benchmark_ref=row.ref)
        return self._page(account, form, status=422)

    def _fill_in(self, row: Benchmark, form: BenchmarkForm, pool: tuple[CloudConnection, str] | None) -> None:
        """Take what was typed of a file that is there, and say what was not taken: nothing is lost silently."""
        row, new, stays = services.fill_in(row, actor=self.user, pool=pool, **form.described())
        said = "This very file was taken in before; here it is."
        if new:
            said += f" New of it: {_labels(form, new)}."
        messages.success(self.request, said)
        kept = []
        if stays:
            kept.append(
                f"Something else was said of it before, and stays: {_labels(form, stays)}. "
                "Change under “Environment” what is wrong there"
                + (
                    "; a pool on which a baseline or a ceiling rests cannot be: say that this benchmark does not count, then hand the "
                    "file in again."
                    if "pool" in stays and services.does_pool_stay(row)
                    else "."
                ),
            )
        title = form.cleaned_data["title"].strip()
        if title and title != row.title:
            kept.append(f"Its name stays “{row.title}”.")
        if kept:
            messages.warning(self.request, " ".join(kept))

    def _page(self, account: Account, form: BenchmarkForm, status: int = 200) -> HttpResponse:
        page = keyset(
            selectors.listed().filter(account=account),
            self.request,
            order="-id",
            filters={"account": account.pk},
        )
        return self.show(
            "capacity/benchmarks/list.html",
            page=page,
            rows=[(row, selectors.invalid_because(row)) for row in page.rows],
            form=form,
            most_mb=services.MOST_BYTES >> 20,
            zone_name=str(self.zone),
            status=status,
        )


class BenchmarkDetail(BenchmarkPage):
    """One benchmark: what was measured, how it went, what the file cannot tell."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, benchmark_ref: UUID) -> HttpResponse:
        """Show it."""
        row = self.find(selectors.whole(), benchmark_ref)
        return self._page(row, self._form(row))

    def post(self, request: HttpRequest, benchmark_ref: UUID) -> HttpResponse:
        """Say in which environment it ran."""
        row = self.find(selectors.whole(), benchmark_ref)
        form, status = self._form(row, request.POST), 422
        if form.is_valid():
            connection, balancer_id = selectors.connection_of(row.account, form.pool_key())
            pool = (connection, balancer_id) if connection is not None else None
            try:
                with transaction.atomic():
                    now = services.locked(row)
                    if form.cleaned_data["seen"] != services.described_version(now):
                        raise StaleState("Somebody changed this meanwhile, so nothing was kept.")
                    before = selectors.force_of(now)
                    now = services.describe(now, actor=self.user, pool=pool, **form.described())
                    lost = before - selectors.force_of(now)
            except StaleState as stale:
                status, typed = form_status(stale), request.POST.copy()
                # Whoever reads what is there now may put what was typed in its place.
                row = self.find(selectors.whole(), benchmark_ref)
                typed["seen"] = services.described_version(row)
                form = self._form(row, typed)
                form.add_error(
                    None,
                    f"{stale.says} Now it says: {form.said_by_another() or 'what you typed'}. Below stands what you typed: "
                    "correct it, then press “Keep it” again to put it in place of that.",
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "Kept, with your name in the audit.")
                for says in lost:
                    messages.warning(request, says)
                return redirect("capacity:benchmark", benchmark_ref=row.ref)
        return self._page(row, form, status=status)

    def _form(self, row: Benchmark, data: Any = None) -> ChangeEnvironmentForm:
        initial = {name: getattr(row, name) for name in services.DESCRIBED}
        initial["pool"] = f"{row.connection.ref}:{row.balancer_id}" if row.connection else ""
        initial["seen"] = services.described_version(row)
        return ChangeEnvironmentForm(data, initial=initial, zone=self.zone, **self._pools(row))

    def _page(self, row: Benchmark, form: ChangeEnvironmentForm, status: int = 200) -> HttpResponse:
        course = selectors.course_of(row.result, row.ran_at)
        return self.show(
            "capacity/benchmarks/detail.html",
            row=row,
            result=row.result,
            invalid="" if row.set_aside_at else selectors.invalid_because(row),
            course=replace(
                course,
                load=tuple(in_zone(course.load, self.zone)),
                users=tuple(in_zone(course.users, self.zone)),
                latency=tuple(in_zone(course.latency, self.zone)),
            ),
            form=form,
            resting=selectors.resting_on(row),
            left_without=services.LEFT_WITHOUT,
            pool_named=pool_named(row.connection, row.balancer_id) if row.connection else "",
            zone_label=str(self.zone),
            status=status,
        )

    def _pools(self, row: Benchmark) -> dict[str, Any]:
        """Return what the form asks of the pool: nothing of who only reads, nor where something rests on it."""
        if Permission.SAMPLE_ADD not in self.granted or services.does_pool_stay(row):
            return {}
        return {"pools": selectors.pools_of(row.account), "pool_is_said": bool(row.balancer_id)}


def _labels(form: BenchmarkForm, names: Iterable[str]) -> str:
    return ", ".join(str(form.fields[name].label) for name in names)


class BenchmarkAside(BenchmarkPage):
    """Ask why it does not count, or let it count again."""

    permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, benchmark_ref: UUID) -> HttpResponse:
        """Ask for the reason."""
        row = self.find(selectors.whole(), benchmark_ref)
        resting = selectors.resting_on(row)
        return self._ask(row, AsideForm(has_baselines=bool(resting)), resting)

    def post(self, request: HttpRequest, benchmark_ref: UUID) -> HttpResponse:
        """Set it aside; with `act=count` let it count again."""
        row = self.find(selectors.whole(), benchmark_ref)
        if request.POST.get("act") == "count":
            services.count_again(row, actor=self.user)
            messages.success(request, "It counts again.")
            return redirect("capacity:benchmark", benchmark_ref=row.ref)
        resting = selectors.resting_on(row)
        form, status = AsideForm(request.POST, has_baselines=bool(resting)), 422
        if form.is_valid():
            try:
                services.set_aside(
                    row,
                    because=form.cleaned_data["reason"],
                    with_baselines=form.cleaned_data.get("with_baselines", False),
                    actor=self.user,
                )
            except Refused as refusal:
                status = form_status(refusal)
                form.add_error("reason", refusal.says)
            else:
                messages.success(request, "It does not count any more. It stays here to be read.")
                return redirect("capacity:benchmark", benchmark_ref=row.ref)
        return self._ask(row, form, resting, status=status)

    def _ask(
        self, row: Benchmark, form: AsideForm, resting: Sequence[MeasuredBaseline], status: int = 200
    ) -> HttpResponse:
        return self.show(
            "capacity/benchmarks/aside.html",
            row=row,
            form=form,
            resting=resting,
            left_without=services.LEFT_WITHOUT,
            status=status,
        )


class BenchmarkFileView(BenchmarkPage):
    """The file as it was handed in."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, benchmark_ref: UUID) -> HttpResponse:
        """Give it as a download; no browser shows it as a page."""
        return file_answer(self.find(selectors.whole().select_related("file"), benchmark_ref))


def file_answer(row: Benchmark) -> HttpResponse:
    """Return a benchmark's file as a download."""
    answer = HttpResponse(services.file_of(row), content_type="application/octet-stream")
    answer["Content-Disposition"] = attachment(row.file_name)
    return answer
