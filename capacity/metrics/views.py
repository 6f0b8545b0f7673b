"""Pages of series: the account's metrics with the vital ones first, one metric's chart, its points as JSON and CSV."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account
from accounts.views import AccountPage
from capacity.metrics import chart, overlays, selectors, series, services
from capacity.metrics.asked import moment_asked
from capacity.metrics.kinds import Good
from capacity.metrics.models import Metric
from capacity.metrics.series import Step
from capacity.metrics.table import tables_of
from capacity.reports.models import ReportState
from capacity.reports.selectors import backdrop_of, detected, ended_of, reports, sentence_of, unnamed_in
from portal.access import Permission, in_database
from portal.csvfile import NOT_WHOLE, attachment, lines
from portal.errors import Refused
from portal.paging import keyset
from portal.ui.charts import Marker

MOST_LINES = 5000
DETECTED_SHOWN = 10
WHOLE = Metric.objects.select_related("account")


_FORECAST = {
    "point": "forecast",
    **{
        f"{side}{sure}": f"forecast_{word}_{sure}"
        for sure in (50, 80, 95)
        for side, word in (("lower", "from"), ("upper", "to"))
    },
}
"""The forecast's columns, by what a file calls them."""


class MetricPage(AccountPage, abstract=True):
    """What the pages of metrics share."""

    tab = "metrics"

    @property
    def zone(self) -> ZoneInfo:
        """The zone of whoever reads."""
        return ZoneInfo(self.user.time_zone or "UTC")

    def window(self, metric: Metric, now: datetime) -> tuple[datetime, datetime]:
        """Return the stretch that the address asks for."""
        asked = self.request.GET
        return chart.window_asked(
            metric,
            now,
            span=asked.get("span", ""),
            begins=moment_asked(asked.get("from"), "from"),
            ends=moment_asked(asked.get("to"), "to"),
        )


class MetricList(MetricPage):
    """The account's metrics: vital figures first, then all of them by name."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        account = self.find(Account, account_ref)
        text = request.GET.get("q", "").strip()[:100]
        vital = selectors.vital_of(account)
        days = selectors.last_days(vital, timezone.now())
        page = keyset(
            selectors.listed(account, text), request, order="name", filters={"account": account.pk, "q": text}
        )
        return self.show(
            "capacity/metrics/list.html", page=page, vital=[(one, days[one.pk]) for one in vital], query=text
        )


class MetricDetail(MetricPage):
    """One series as a chart that can be zoomed, with the table of its values behind it."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, metric_ref: UUID) -> HttpResponse:
        """Show the stretch that is asked for; a year if none is."""
        metric = self.find(WHOLE, metric_ref)
        now = timezone.now()
        begins, ends = self.window(metric, now)
        found = chart.drawn(metric, begins, ends, now)
        events = _events(metric, begins, ends)
        moments = overlays.moments_in(metric.account, begins, ends)
        backdrop = _backdrop(metric, found)
        return self.show(
            "capacity/metrics/detail.html",
            metric=metric,
            found=found,
            drawn=found.lines(metric.name, self.zone),
            tables=tables_of(found, backdrop, events, moments, zone=self.zone, unit=metric.unit),
            events=events,
            moments=moments,
            markers=[
                *(Marker(max(one.begins, begins), one.label) for one in events[-6:]),
                *(Marker(one.at, one.label) for one in moments[-6:]),
            ],
            spans=chart.SPANS,
            span="" if request.GET.get("from") else request.GET.get("span", "year"),
            earlier=_window_query(begins - (ends - begins), begins),
            later=_window_query(ends, ends + (ends - begins))
            if metric.last_at is not None and metric.last_at >= ends
            else "",
            window=_window_query(begins, ends),
            data=_data(metric, found, backdrop, events, moments),
            **_growth_shown(metric, now),
            zone_label="UTC" if found.step is Step.DAY else str(self.zone),
        )


class MetricData(MetricPage):
    """A stretch of a series as the chart's script takes it, with the tables behind it as the page has them."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, metric_ref: UUID) -> HttpResponse:
        """Answer with as fine a step as fits."""
        metric = self.find(WHOLE, metric_ref)
        now = timezone.now()
        begins, ends = self.window(metric, now)
        found = chart.drawn(metric, begins, ends, now)
        backdrop = _backdrop(metric, found)
        events = _events(metric, begins, ends)
        moments = overlays.moments_in(metric.account, begins, ends)
        tables = tables_of(found, backdrop, events, moments, zone=self.zone, unit=metric.unit)
        written = render_to_string("capacity/metrics/_tables.html", {"metric": metric, "tables": tables})
        return JsonResponse({**_data(metric, found, backdrop, events, moments), "tables": written})


class MetricVital(MetricPage):
    """Count a figure among the account's vital ones, or no more."""

    permission = Permission.SAMPLE_ADD

    def post(self, request: HttpRequest, metric_ref: UUID) -> HttpResponse:
        """Do so; repeated, nothing more happens."""
        metric = self.find(WHOLE, metric_ref)
        is_vital = request.POST.get("vital") == "1"
        try:
            services.set_vital(metric, is_vital, actor=self.user)
        except Refused as refusal:
            messages.error(request, refusal.says)
        else:
            said = "counts among the vital figures." if is_vital else "is no vital figure any more."
            if is_vital and metric.manner.good is Good.LESS:
                said += " Less of it is better, so no verdict of a scale-down looks at it: those ask whether one has fallen."
            messages.success(request, f"{metric} {said}")
        return redirect("capacity:metric", metric_ref=metric.ref)


class MetricCsv(MetricPage):
    """A stretch of a series as a file: all of its points, however many."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, metric_ref: UUID) -> HttpResponseBase:
        """Give it by the step that is asked for, else as the chart shows it."""
        metric = self.find(WHOLE, metric_ref)
        now = timezone.now()
        begins, ends = self.window(metric, now)
        asked = request.GET.get("step", "")
        step = Step(asked) if asked in Step.values else chart.drawn(metric, begins, ends, now).step
        response = StreamingHttpResponse(
            self._slices(metric, step, begins, ends), content_type="text/csv; charset=utf-8; header=present"
        )
        name = f"{metric.name}-{begins:%Y-%m-%d}-{step.value}.csv"
        response["Content-Disposition"] = attachment(name)
        response["Cache-Control"] = "private, no-store"
        return response

    def _slices(
        self, metric: Metric, step: Step, begins: datetime, ends: datetime
    ) -> AsyncGenerator[bytes, None]:
        may_read_on = self.reads_on()
        columns = series.columns_of(step)
        step_s = chart.STEP_S.get(step, 0)
        backdrop = backdrop_of(metric.pk, step_s, begins, ends, metric.last_at).as_plain()
        band, cone = backdrop.get("band"), backdrop.get("cone")
        usual = {at: (low, high) for at, low, high in zip(*band.values(), strict=True)} if band else {}
        # A sample lies in the band of its hour.
        width_s = step_s or 3600
        more = [*(("usual_from", "usual_to") if band else ()), *(_FORECAST.values() if cone else ())]

        def behind(at: datetime) -> list[float | None]:
            found = usual.get(at.timestamp() // width_s * width_s, (None, None)) if band else ()
            return [*found, *([None] * len(_FORECAST) if cone else ())]

        def ahead() -> bytes:
            without = [None] * (len(columns) - 1 + (2 if band else 0))
            moments = [datetime.fromtimestamp(at, UTC) for at in cone["at"]] if cone else []
            values = zip(*(cone[name] for name in _FORECAST), strict=True) if cone else ()
            return lines([[at, *without, *of] for at, of in zip(moments, values, strict=True)])

        def slice_from(at: datetime) -> tuple[bytes, datetime | None]:
            if not may_read_on():
                return lines([[NOT_WHOLE]]), None
            found = series.read(metric, step, at, ends, limit=MOST_LINES)
            if not len(found["at"]):
                return b"", None
            moments = [datetime.fromtimestamp(one / 1e6, UTC) for one in found["at"].tolist()]
            rows = zip(moments, *(found[name].tolist() for name in columns[1:]), strict=True)
            following = moments[-1] + timedelta(microseconds=1) if len(moments) == MOST_LINES else None
            return lines([[*row, *behind(row[0])] for row in rows]), following

        async def body() -> AsyncGenerator[bytes, None]:
            yield lines([[*columns, *more]])
            at: datetime | None = begins
            while at is not None:
                part, at = await in_database(slice_from, at)
                if part:
                    yield part
            if cone and await in_database(may_read_on):
                yield ahead()

        return body()


def _events(metric: Metric, begins: datetime, ends: datetime) -> list[overlays.Event]:
    """Return what is on record and what was detected without a name, in order: two queries."""
    found = overlays.events_in(metric.account, begins, ends) + unnamed_in(metric.pk, begins, ends)
    return sorted(found, key=lambda one: one.begins)


def _backdrop(metric: Metric, found: chart.Drawn) -> dict[str, Any]:
    """Return the band and the forecast behind what is drawn, as columns; one query."""
    step_s = chart.STEP_S.get(found.step, 0)
    return backdrop_of(metric.pk, step_s, found.begins, found.ends, metric.last_at).as_plain()


def _data(
    metric: Metric,
    found: chart.Drawn,
    backdrop: dict[str, Any],
    events: list[overlays.Event],
    moments: list[overlays.Moment],
) -> dict[str, Any]:
    return {
        "title": str(metric),
        "unit": metric.unit,
        "url": reverse("capacity:metric-data", args=[metric.ref]),
        **found.as_plain(),
        **overlays.as_plain(events, moments),
        **backdrop,
    }


def _growth_shown(metric: Metric, now: datetime) -> dict[str, Any]:
    """Return the metric's growth report for the page, and what it found; three queries."""
    report = reports().filter(metric=metric).first()
    is_made = report is not None and report.state == ReportState.MADE
    rows = detected().filter(metric=metric).order_by("-starts_at", "-pk")[:DETECTED_SHOWN] if is_made else ()
    return {
        "report": report,
        "is_made": is_made,
        "has_ended": bool(ended_of(report, now)),
        "is_asked": report is not None and (report.made_at is None or report.made_at < report.asked_at),
        "sentence": sentence_of(report, now) if report is not None and is_made else "",
        "detected": rows,
    }


def _window_query(begins: datetime, ends: datetime) -> str:
    """Return a stretch as it stands in an address."""
    return f"from={begins.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}&to={ends.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
