"""The API of runs: one and many, commands, journal, samples, the live stream, reports and lessons."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from portal.access import Permission, in_database
from portal.api import documented
from portal.errors import Refused
from portal.moments import moment_of
from portal.runs.models import JournalEntry, RunCommand
from portal.runs.selectors import samples
from portal.runs.stream import journal_events
from portal.runs.types import RunStatus
from portal.streams import TOO_MANY, take_seat, while_allowed
from scaledown import offers, records, services
from scaledown import serializers as shapes
from scaledown import serializers_runs as of_runs
from scaledown.api_shared import ORDER, RUN_EXAMPLE, RUNS, STATUS, TITLE, ScaledownView
from scaledown.report import report
from scaledown.selectors import is_customer

_RUN_STATUSES = frozenset(status.value for status in RunStatus)


class RunListApi(ScaledownView):
    """Runs of every account that you see."""

    permission = Permission.RUN_VIEW

    @documented(
        "runs_list",
        of_runs.RunRowOut,
        summary="List the scale-down runs that you see",
        paged=True,
        example=of_runs.RUN_ROW,
        parameters=[STATUS, TITLE, ORDER],
        tag="scale-down",
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.listed(self.visible(RUNS), _RUN_STATUSES, of_runs.RunRowOut)


class AccountRunListApi(ScaledownView):
    """Runs of one account."""

    permission = Permission.RUN_VIEW

    @documented(
        "account_runs_list",
        of_runs.RunRowOut,
        summary="List an account's scale-down runs",
        paged=True,
        example=of_runs.RUN_ROW,
        parameters=[STATUS, TITLE, ORDER],
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.listed(RUNS.filter(account=account), _RUN_STATUSES, of_runs.RunRowOut)


class RunApi(ScaledownView):
    """One run."""

    permission = Permission.RUN_VIEW

    @documented(
        "runs_read",
        shapes.RunOut,
        summary="Read a run as its live page shows it",
        example=RUN_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """Servers, counts with grade and age, load, probes, what is next, commands that make sense now."""
        return self.show_run(self.find(RUNS, run_ref))


class RunCommandsApi(ScaledownView):
    """Commands of people to a run."""

    permission = Permission.RUN_VIEW
    # The right for the very command is asked for when its name is known.
    write_permission = Permission.RUN_PAUSE

    @documented(
        "run_commands_list",
        of_runs.CommandOut,
        summary="List the commands that were given to a run",
        paged=True,
        example=of_runs.COMMAND_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """Newest first, each with what the run answered."""
        run = self.find(RUNS, run_ref)
        return self.page(RunCommand.objects.filter(run=run), of_runs.CommandOut)

    @documented(
        "run_commands_give",
        of_runs.CommandOut,
        summary="Give a command to a run",
        request=of_runs.CommandIn,
        status=202,
        command=True,
        example=of_runs.COMMAND_EXAMPLE,
        request_example={
            "name": "pause",
            "args": {"when": "after_this_server"},
            "status": "running",
            "digest": shapes.PLAN_ROW["digest"],
        },
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """Accepted here, answered by the run's next tick; `on_the_wire` names what had been sent."""
        data = self.read(of_runs.CommandIn)
        rule = offers.RULES.get(data["name"])
        run = self.find(RUNS, run_ref, rule.permission if rule is not None else None)
        return self.once(
            lambda: self.show(
                of_runs.CommandOut,
                services.command(
                    run,
                    data["name"],
                    actor=self.user,
                    args=data.get("args", {}),
                    reason=data.get("reason", ""),
                    seen_status=data["status"],
                    seen_digest=data["digest"],
                    seen_held=data.get("held_version", ""),
                ),
                status=202,
            ),
            required=True,
        )


class RunJournalApi(ScaledownView):
    """A run's journal."""

    permission = Permission.RUN_VIEW

    @documented(
        "run_journal",
        of_runs.JournalOut,
        summary="Read a run's journal, oldest first",
        paged=True,
        example=of_runs.JOURNAL_EXAMPLE,
        parameters=[
            OpenApiParameter("after", OpenApiTypes.INT, description="Only entries after this number.")
        ],
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """The same entries as the event stream, as JSON."""
        run = self.find(RUNS, run_ref)
        after = _whole_number(request.query_params.get("after", "0"), "after")
        rows = JournalEntry.objects.filter(run=run, seq__gt=after)
        return self.page(rows, of_runs.JournalOut, order="seq", filters={"after": after})


class RunSamplesApi(ScaledownView):
    """A run's series."""

    permission = Permission.RUN_VIEW

    @documented(
        "run_samples",
        of_runs.SamplesOut,
        summary="Read a run's series: connections, load, probes, servers in service",
        example=of_runs.SAMPLES_EXAMPLE,
        parameters=[
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="Only points after this time."),
            OpenApiParameter("series", OpenApiTypes.STR, description="Only these, separated by commas."),
        ],
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """At most 5,000 points, the oldest first: ask again with `since` for more."""
        run = self.find(RUNS, run_ref)
        since = _moment(request.query_params.get("since", ""))
        wanted = tuple(name for name in request.query_params.get("series", "").split(",") if name)
        rows: dict[str, list[Any]] = {}
        for row in samples(run, since=since, series=wanted)[:5000]:
            rows.setdefault(row.series, []).append(row)
        found = [{"series": name, "points": points} for name, points in sorted(rows.items())]
        return self.show(of_runs.SamplesOut, {"series": found})


def _whole_number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(f"`{name}` is a whole number.", code="bad_filter")
    return int(text)


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    found = moment_of(text)
    if found is None:
        raise Refused("`since` is a time with its zone, like 2026-11-23T12:00:00Z.", code="bad_filter")
    return found


class RunEventsApi(ScaledownView):
    """A run as server-sent events."""

    permission = Permission.RUN_VIEW

    @extend_schema(
        operation_id="run_events",
        summary="Follow a run as server-sent events",
        description="Events `entry` (one journal entry each, `id` is its number), `tick` and `end`. "
        "Resumable with Last-Event-ID.",
        parameters=[
            OpenApiParameter(
                "Last-Event-ID",
                OpenApiTypes.INT,
                OpenApiParameter.HEADER,
                description="The number of the last entry that you have.",
            )
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR, description="id: 7\nevent: entry\ndata: {…}"
            )
        },
        tags=["scale-down"],
    )
    def get(self, request: Request, run_ref: UUID) -> StreamingHttpResponse:
        """Ends when the run is over and everything was sent, or when the reader may no longer read."""
        run = self.find(RUNS, run_ref)
        after = _whole_number(request.headers.get("Last-Event-ID", "0") or "0", "Last-Event-ID")
        seat = take_seat(self.user.pk, self.token)
        if seat is None:
            raise Throttled(detail=TOO_MANY)
        may_read_on = partial(in_database, self.reads_on())
        stream = while_allowed(
            journal_events(run.pk, after, for_customer=is_customer(self.granted)), seat, may_read_on
        )
        response = StreamingHttpResponse(stream, content_type="text/event-stream")
        response["X-Accel-Buffering"] = "no"
        if not database.in_atomic_block:
            # A stream may last for hours and must not hold a connection meanwhile.
            database.close()
        return response


class RunReportApi(ScaledownView):
    """A run's report."""

    permission = Permission.RUN_VIEW

    @documented(
        "runs_report",
        shapes.ReportOut,
        summary="Read what a run did",
        example=shapes.example_of(shapes.Report),
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """Also while it is under way, as far as it got."""
        run = self.find(RUNS, run_ref)
        return self.show(shapes.ReportOut, report(run, for_customer=is_customer(self.granted)))


class RunLessonsApi(ScaledownView):
    """Lessons of a run."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "runs_write_lesson",
        shapes.ReportOut,
        summary="Write on a run's report what to do better next time",
        request=of_runs.LessonIn,
        status=201,
        once=True,
        example=shapes.example_of(shapes.Report),
        request_example={"text": "Take the ceiling from a benchmark before the next event."},
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """Answers the report with the lesson on it."""
        run = self.find(RUNS, run_ref)
        data = self.read(of_runs.LessonIn)

        def effect() -> Response:
            records.write_lesson(run, text=data["text"], actor=self.user)
            done = report(run, for_customer=is_customer(self.granted))
            return self.show(shapes.ReportOut, done, status=201)

        return self.once(effect)
