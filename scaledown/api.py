"""The API of scale-down: the same services and selectors as the pages.

What needs the provider reads it before the transaction begins, so that none waits for HTTP.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db.models import QuerySet
from django.http import Http404, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.models import Account, CloudConnection
from capacity.models import TrafficEvent
from portal.access import Permission, in_database
from portal.api import PortalAPIView, documented, etag_of
from portal.errors import Refused, StaleState
from portal.lists import ListAsked, order_parameter
from portal.moments import moment_of
from portal.runs.models import JournalEntry, Run, RunCommand, Standstill
from portal.runs.selectors import samples
from portal.runs.standstills import accounts_in
from portal.runs.stream import journal_events
from portal.runs.types import RunStatus
from portal.streams import TOO_MANY, take_seat, while_allowed
from scaledown import offers, services
from scaledown import serializers as shapes
from scaledown.candidates import Pool
from scaledown.models import Plan, PlanStatus, ProtectedServer, ScaleUpRecord
from scaledown.pool import look_at_server, read_pool
from scaledown.report import report
from scaledown.selectors import is_customer, live_run, plan_page

_PLANS = Plan.objects.select_related("account", "connection", "event", "author")
_RUNS = Run.objects.filter(kind=services.KIND).select_related("account", "in_charge", "backup")
_RECORDS = ScaleUpRecord.objects.select_related("account", "connection", "event").prefetch_related("entries")
_PROTECTED = ProtectedServer.objects.select_related("connection", "marked_by", "account")

_STATUS = OpenApiParameter("status", OpenApiTypes.STR, description="Only those with this status.")
# Rows are numbered in the order in which they were made.
_ORDERS = {"-created_at": "-id", "created_at": "id"}
_TITLE = OpenApiParameter("q", OpenApiTypes.STR, description="Only those whose title holds this text.")
_ORDER = order_parameter(tuple(_ORDERS))
_PLAN_EXAMPLE = shapes.example_of(shapes.PlanPage)
RUN_EXAMPLE = shapes.example_of(shapes.LiveRun)


class ScaledownView(PortalAPIView, abstract=True):
    """What the views of scale-down share."""

    def own(self, rows: Any, ref: UUID, what: str) -> Any:
        """Return a row of the account at hand that the body names; Refused (422) if there is none."""
        row = rows.filter(account=self.account, ref=ref).first()
        if row is None:
            raise Refused(f"This account has no {what} {ref}.", code="unknown_reference")
        return row

    def show_plan(self, plan: Plan, *, status: int = 200) -> Response:
        """Return a plan as its page shows it, with its ETag."""
        whole = _PLANS.get(pk=plan.pk)
        page = plan_page(whole, viewer=self.user, granted=self.granted)
        data = shapes.PlanOut(page, context=self.out_context()).data
        return Response(self._thinned(data), status=status, headers={"ETag": etag_of(whole)})

    def show_run(self, run: Run, *, status: int = 200) -> Response:
        """Return a run as its live page shows it."""
        return self.show(shapes.RunOut, live_run(run, granted=self.granted), status=status)

    def listed(
        self, rows: QuerySet[Any], statuses: frozenset[str], shape: type[BaseSerializer[Any]]
    ) -> Response:
        """Return the page that the query asks for by `status`, `q` and `order`; Refused for an unknown value."""
        asked = ListAsked.of(
            self.request.query_params, filters={"status": statuses}, orders=tuple(_ORDERS), strict=True
        )
        if asked.filters["status"]:
            rows = rows.filter(status=asked.filters["status"])
        if asked.text:
            rows = rows.filter(title__icontains=asked.text)
        return self.page(rows, shape, order=_ORDERS[asked.order], filters=asked.filters)


# --- scale-up records -----------------------------------------------------------------------------------


class RecordListApi(ScaledownView):
    """Scale-up records of an account."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.PLAN_DRAFT

    @documented(
        "scale_up_records_list",
        shapes.ScaleUpRecordOut,
        summary="List what was added for events",
        paged=True,
        example=shapes.RECORD_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.page(_RECORDS.filter(account=account), shapes.ScaleUpRecordOut)

    @documented(
        "scale_up_records_write",
        shapes.ScaleUpRecordOut,
        summary="Write down what was added for an event, in order",
        request=shapes.ScaleUpRecordIn,
        status=201,
        once=True,
        example=shapes.RECORD_EXAMPLE,
        request_example={
            "event": shapes.RECORD_EXAMPLE["event"],
            "connection": shapes.RECORD_EXAMPLE["connection"],
            "entries": [
                {"server_id": "4f1b9a52", "server_name": "web-04", "added_at": "2026-11-12T08:00:00Z"}
            ],
        },
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Replaces an earlier record of the same event and connection."""
        self.find(Account, account_ref)
        data = self.read(shapes.ScaleUpRecordIn)

        def effect() -> Response:
            held = services.record_scale_up(
                event=self.own(
                    TrafficEvent.objects.select_related("account"), data["event"], "traffic event"
                ),
                connection=self.own(CloudConnection.objects, data["connection"], "cloud connection"),
                entries=[
                    services.AddedServer(
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
            return self.show(shapes.ScaleUpRecordOut, _RECORDS.get(pk=held.pk), status=201)

        return self.once(effect)


class RecordApi(ScaledownView):
    """One scale-up record."""

    permission = Permission.PLAN_VIEW

    @documented(
        "scale_up_records_read",
        shapes.ScaleUpRecordOut,
        summary="Read one scale-up record",
        example=shapes.RECORD_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, record_ref: UUID) -> Response:
        """With every server in the order in which it went in."""
        return self.show(shapes.ScaleUpRecordOut, self.find(_RECORDS, record_ref))


class ReconstructApi(ScaledownView):
    """What the provider shows of a scale-up."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "scale_up_records_reconstruct",
        shapes.ReconstructedOut,
        summary="Reconstruct what was added from what the provider shows",
        request=shapes.ReconstructIn,
        example={"entries": [{k: v for k, v in shapes.ENTRY_EXAMPLE.items() if k != "position"}]},
        request_example={
            "event": shapes.RECORD_EXAMPLE["event"],
            "connection": shapes.RECORD_EXAMPLE["connection"],
            "balancer_ids": ["71"],
        },
        asks_provider=True,
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Nothing is written; a person checks it and sends it as a record."""
        self.find(Account, account_ref)
        data = self.read(shapes.ReconstructIn)
        event = self.own(TrafficEvent.objects, data["event"], "traffic event")
        through = self.own(CloudConnection.objects, data["connection"], "cloud connection")
        found = services.reconstruct(event, read_pool(through, data["balancer_ids"]))
        return self.show(shapes.ReconstructedOut, {"entries": found})


# --- plans ----------------------------------------------------------------------------------------------


class PlanListApi(ScaledownView):
    """Plans of an account."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.PLAN_DRAFT

    @documented(
        "plans_list",
        shapes.PlanRowOut,
        summary="List an account's scale-down plans",
        paged=True,
        example=shapes.PLAN_ROW,
        parameters=[_STATUS, _TITLE, _ORDER],
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.listed(_PLANS.filter(account=account), frozenset(PlanStatus.values), shapes.PlanRowOut)

    @documented(
        "plans_draft",
        shapes.PlanOut,
        summary="Draw up a draft",
        request=shapes.PlanIn,
        status=201,
        once=True,
        example=_PLAN_EXAMPLE,
        request_example={
            "title": "After Black Friday",
            "connection": shapes.PLAN_ROW["connection"],
            "event": shapes.PLAN_ROW["ref"],
            "choice": {"balancer_ids": ["71"], "floor": 2, "soak_s": 300},
        },
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Nothing is read at the provider yet; preview it next."""
        account = self.find(Account, account_ref)
        data = self.read(shapes.PlanIn)

        def effect() -> Response:
            event = data.get("event")
            plan = services.draft_plan(
                account=account,
                connection=self.own(CloudConnection.objects, data["connection"], "cloud connection"),
                actor=self.user,
                title=data["title"],
                choice=shapes.choice_from(data["choice"]),
                event=self.own(TrafficEvent.objects, event, "traffic event") if event else None,
            )
            return self.show_plan(plan, status=201)

        return self.once(effect)


class PlanApi(ScaledownView):
    """One plan."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.PLAN_DRAFT

    @documented("plans_read", shapes.PlanOut, summary="Read a plan", example=_PLAN_EXAMPLE, tag="scale-down")
    def get(self, request: Request, plan_ref: UUID) -> Response:
        """With its preview, its approvals, and what can be done with it now (`acts`)."""
        return self.show_plan(self.find(_PLANS, plan_ref))

    @documented(
        "plans_change",
        shapes.PlanOut,
        summary="Change a draft",
        request=shapes.PlanChangeIn,
        if_match=True,
        once=True,
        example=_PLAN_EXAMPLE,
        request_example={"choice": {"target": 4}},
        tag="scale-down",
    )
    def patch(self, request: Request, plan_ref: UUID) -> Response:
        """Only what is given is changed. A submitted plan is frozen: copy it."""
        plan = self.find(_PLANS, plan_ref)
        data = self.read(shapes.PlanChangeIn)

        def effect() -> Response:
            locked = Plan.objects.select_for_update().get(pk=plan.pk)
            self.match(locked)
            options: dict[str, Any] = {}
            if "event" in data:
                event = data["event"]
                options["event"] = self.own(TrafficEvent.objects, event, "traffic event") if event else None
            if "choice" in data:
                options["choice"] = shapes.choice_from(data["choice"], services.choice_of(locked))
            changed = services.edit_draft(locked, actor=self.user, title=data.get("title"), **options)
            return self.show_plan(changed)

        return self.once(effect)


def _look(plan: Plan) -> Pool:
    """Read the pool of a plan, before any transaction."""
    return read_pool(plan.connection, services.choice_of(plan).balancer_ids)


class PlanPreviewApi(ScaledownView):
    """What a plan would do."""

    permission = Permission.PLAN_VIEW

    @documented(
        "plans_preview",
        shapes.PreviewOut,
        summary="Read the pool afresh and show exactly what the plan would do",
        request=None,
        example=shapes.example_of(shapes.Preview),
        asks_provider=True,
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Changes nothing at the provider. A draft keeps the newest preview of those who may change it."""
        plan = self.find(_PLANS, plan_ref)
        pool = _look(plan)
        return self.show(shapes.PreviewOut, services.preview_plan(plan, actor=self.user, pool=pool))


class PlanSubmitApi(ScaledownView):
    """Freeze a plan and ask for approval."""

    permission = Permission.PLAN_SUBMIT

    @documented(
        "plans_submit",
        shapes.PlanOut,
        summary="Freeze a plan and ask for approval; this is the provider side's approval",
        request=shapes.SubmitIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"reason": "The event is over."},
        asks_provider=True,
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """The pool is read afresh; blocking warnings forbid it (422)."""
        plan = self.find(_PLANS, plan_ref)
        data = self.read(shapes.SubmitIn)
        pool = _look(plan) if plan.status == PlanStatus.DRAFT else None

        def effect() -> Response:
            if pool is None:
                raise StaleState("This plan was submitted already.", code="plan_status_changed")
            submitted = services.submit_plan(plan, actor=self.user, pool=pool, reason=data.get("reason", ""))
            return self.show_plan(submitted)

        return self.once(effect, required=True)


class PlanApproveApi(ScaledownView):
    """The customer's yes."""

    permission = Permission.PLAN_APPROVE

    @documented(
        "plans_approve",
        shapes.PlanOut,
        summary="Approve for the customer exactly the plan that was seen",
        request=shapes.SeenIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"digest": shapes.PLAN_ROW["digest"], "reason": "Go ahead."},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Another digest than the plan's is a conflict (409): read it again."""
        plan = self.find(_PLANS, plan_ref)
        data = self.read(shapes.SeenIn)
        return self.once(
            lambda: self.show_plan(
                services.approve_plan(
                    plan, actor=self.user, seen_digest=data["digest"], reason=data.get("reason", "")
                )
            ),
            required=True,
        )


class PlanRejectApi(ScaledownView):
    """The customer's no."""

    permission = Permission.PLAN_APPROVE

    @documented(
        "plans_reject",
        shapes.PlanOut,
        summary="Reject for the customer, with a reason",
        request=shapes.RejectIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"digest": shapes.PLAN_ROW["digest"], "reason": "We have a sale on Friday."},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """The plan ends; a copy can be changed and submitted."""
        plan = self.find(_PLANS, plan_ref)
        data = self.read(shapes.RejectIn)
        return self.once(
            lambda: self.show_plan(
                services.reject_plan(plan, actor=self.user, seen_digest=data["digest"], reason=data["reason"])
            ),
            required=True,
        )


class PlanVoidApi(ScaledownView):
    """Withdraw a plan."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "plans_void",
        shapes.PlanOut,
        summary="Withdraw a plan that shall not run",
        request=shapes.ReasonIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"reason": "The event was moved."},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Its approvals end with it."""
        plan = self.find(_PLANS, plan_ref)
        data = self.read(shapes.ReasonIn)
        return self.once(
            lambda: self.show_plan(services.void_plan(plan, actor=self.user, reason=data["reason"])),
            required=True,
        )


class PlanCopyApi(ScaledownView):
    """Do it again."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "plans_copy",
        shapes.PlanOut,
        summary="Copy a plan into a new draft",
        request=None,
        status=201,
        command=True,
        example=_PLAN_EXAMPLE,
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """With the same choices and without approvals."""
        plan = self.find(_PLANS, plan_ref)
        return self.once(
            lambda: self.show_plan(services.copy_plan(plan, actor=self.user), status=201), required=True
        )


class PlanStartApi(ScaledownView):
    """Start the run of an approved plan."""

    permission = Permission.RUN_START

    @documented(
        "plans_start",
        shapes.RunOut,
        summary="Start the run of an approved plan",
        request=shapes.StartIn,
        status=201,
        command=True,
        example=RUN_EXAMPLE,
        request_example={"status": "approved", "digest": shapes.PLAN_ROW["digest"]},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """The plan is used from then on; whoever approved it for the customer cannot start it."""
        plan = self.find(_PLANS, plan_ref)
        data = self.read(shapes.StartIn)
        return self.once(
            lambda: self.show_run(
                services.start_run(
                    plan,
                    actor=self.user,
                    seen_digest=data["digest"],
                    seen_status=data["status"],
                    override_reason=data.get("override_reason", ""),
                ),
                status=201,
            ),
            required=True,
        )


class PlanRehearseApi(ScaledownView):
    """Everything but the changes."""

    permission = Permission.RUN_START

    @documented(
        "plans_rehearse",
        shapes.RunOut,
        summary="Rehearse a plan: every change is withheld and journalled as would-have",
        request=None,
        status=201,
        command=True,
        example=RUN_EXAMPLE,
        asks_provider=True,
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Needs no approval, since nothing changes."""
        plan = self.find(_PLANS, plan_ref)
        pool = _look(plan)
        return self.once(
            lambda: self.show_run(services.rehearse(plan, actor=self.user, pool=pool), status=201),
            required=True,
        )


# --- runs -----------------------------------------------------------------------------------------------

_RUN_STATUSES = frozenset(status.value for status in RunStatus)


class RunListApi(ScaledownView):
    """Runs of every account that you see."""

    permission = Permission.RUN_VIEW

    @documented(
        "runs_list",
        shapes.RunRowOut,
        summary="List the scale-down runs that you see",
        paged=True,
        example=shapes.RUN_ROW,
        parameters=[_STATUS, _TITLE, _ORDER],
        tag="scale-down",
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.listed(self.visible(_RUNS), _RUN_STATUSES, shapes.RunRowOut)


class AccountRunListApi(ScaledownView):
    """Runs of one account."""

    permission = Permission.RUN_VIEW

    @documented(
        "account_runs_list",
        shapes.RunRowOut,
        summary="List an account's scale-down runs",
        paged=True,
        example=shapes.RUN_ROW,
        parameters=[_STATUS, _TITLE, _ORDER],
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.listed(_RUNS.filter(account=account), _RUN_STATUSES, shapes.RunRowOut)


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
        return self.show_run(self.find(_RUNS, run_ref))


class RunCommandsApi(ScaledownView):
    """Commands of people to a run."""

    permission = Permission.RUN_VIEW
    # The right for the very command is asked for when its name is known.
    write_permission = Permission.RUN_PAUSE

    @documented(
        "run_commands_list",
        shapes.CommandOut,
        summary="List the commands that were given to a run",
        paged=True,
        example=shapes.COMMAND_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """Newest first, each with what the run answered."""
        run = self.find(_RUNS, run_ref)
        return self.page(RunCommand.objects.filter(run=run), shapes.CommandOut)

    @documented(
        "run_commands_give",
        shapes.CommandOut,
        summary="Give a command to a run",
        request=shapes.CommandIn,
        status=202,
        command=True,
        example=shapes.COMMAND_EXAMPLE,
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
        data = self.read(shapes.CommandIn)
        rule = offers.RULES.get(data["name"])
        run = self.find(_RUNS, run_ref, rule.permission if rule is not None else None)
        return self.once(
            lambda: self.show(
                shapes.CommandOut,
                services.command(
                    run,
                    data["name"],
                    actor=self.user,
                    args=data.get("args", {}),
                    reason=data.get("reason", ""),
                    seen_status=data["status"],
                    seen_digest=data["digest"],
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
        shapes.JournalOut,
        summary="Read a run's journal, oldest first",
        paged=True,
        example=shapes.JOURNAL_EXAMPLE,
        parameters=[
            OpenApiParameter("after", OpenApiTypes.INT, description="Only entries after this number.")
        ],
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """The same entries as the event stream, as JSON."""
        run = self.find(_RUNS, run_ref)
        after = _whole_number(request.query_params.get("after", "0"), "after")
        rows = JournalEntry.objects.filter(run=run, seq__gt=after)
        return self.page(rows, shapes.JournalOut, order="seq", filters={"after": after})


class RunSamplesApi(ScaledownView):
    """A run's series."""

    permission = Permission.RUN_VIEW

    @documented(
        "run_samples",
        shapes.SamplesOut,
        summary="Read a run's series: connections, load, probes, servers in service",
        example=shapes.SAMPLES_EXAMPLE,
        parameters=[
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="Only points after this time."),
            OpenApiParameter("series", OpenApiTypes.STR, description="Only these, separated by commas."),
        ],
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """At most 5,000 points, the oldest first: ask again with `since` for more."""
        run = self.find(_RUNS, run_ref)
        since = _moment(request.query_params.get("since", ""))
        wanted = tuple(name for name in request.query_params.get("series", "").split(",") if name)
        rows: dict[str, list[Any]] = {}
        for row in samples(run, since=since, series=wanted)[:5000]:
            rows.setdefault(row.series, []).append(row)
        found = [{"series": name, "points": points} for name, points in sorted(rows.items())]
        return self.show(shapes.SamplesOut, {"series": found})


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
        run = self.find(_RUNS, run_ref)
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
        run = self.find(_RUNS, run_ref)
        return self.show(shapes.ReportOut, report(run, for_customer=is_customer(self.granted)))


class RunLessonsApi(ScaledownView):
    """Lessons of a run."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "runs_write_lesson",
        shapes.ReportOut,
        summary="Write on a run's report what to do better next time",
        request=shapes.LessonIn,
        status=201,
        once=True,
        example=shapes.example_of(shapes.Report),
        request_example={"text": "Take the ceiling from a benchmark before the next event."},
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """Answers the report with the lesson on it."""
        run = self.find(_RUNS, run_ref)
        data = self.read(shapes.LessonIn)

        def effect() -> Response:
            services.write_lesson(run, text=data["text"], actor=self.user)
            done = report(run, for_customer=is_customer(self.granted))
            return self.show(shapes.ReportOut, done, status=201)

        return self.once(effect)


# --- protected servers ----------------------------------------------------------------------------------


class ProtectedListApi(ScaledownView):
    """Servers that no plan may contain."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SERVER_PROTECT

    @documented(
        "protected_servers_list",
        shapes.ProtectedServerOut,
        summary="List an account's protected servers",
        paged=True,
        example=shapes.PROTECTED_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.page(_PROTECTED.filter(account=account), shapes.ProtectedServerOut)

    @documented(
        "protected_servers_protect",
        shapes.ProtectedServerOut,
        summary="Protect a server: no plan may contain it",
        request=shapes.ProtectedServerIn,
        status=201,
        once=True,
        asks_provider=True,
        example=shapes.PROTECTED_EXAMPLE,
        request_example={
            name: shapes.PROTECTED_EXAMPLE[name]
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
        data = self.read(shapes.ProtectedServerIn)
        connection = self.own(CloudConnection.objects, data["connection"], "cloud connection")
        seen = look_at_server(connection, data["server_id"])

        def effect() -> Response:
            mark = services.protect_server(
                account=account,
                connection=connection,
                seen=seen,
                server_id=data["server_id"],
                server_name=data["server_name"],
                reason=data["reason"],
                actor=self.user,
            )
            return self.show(shapes.ProtectedServerOut, _PROTECTED.get(pk=mark.pk), status=201)

        return self.once(effect)


class ProtectedLiftApi(ScaledownView):
    """Lift a protection."""

    permission = Permission.SERVER_PROTECT

    @documented(
        "protected_servers_lift",
        shapes.ProtectedServerOut,
        summary="Lift a server's protection",
        request=shapes.ReasonIn,
        command=True,
        example=shapes.PROTECTED_EXAMPLE,
        request_example={"reason": "The licence was moved."},
        tag="scale-down",
    )
    def post(self, request: Request, mark_ref: UUID) -> Response:
        """Answers the mark as it was; the audit keeps it with the reason."""
        mark = self.find(_PROTECTED, mark_ref)
        data = self.read(shapes.ReasonIn)

        def effect() -> Response:
            answer = self.show(shapes.ProtectedServerOut, mark)
            services.unprotect_server(mark, actor=self.user, reason=data["reason"])
            return answer

        return self.once(effect, required=True)


# --- standstills ----------------------------------------------------------------------------------------


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
        shapes.StandstillOut,
        summary="List the standstills that touch an account",
        paged=True,
        example=shapes.STANDSTILL_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first, those in force and those lifted."""
        account = self.find(
            Account.objects.select_related("team").prefetch_related("connections"), account_ref
        )
        rows = Standstill.objects.filter(scope__in=services.standstill_scopes([account]))
        return self.page(rows, shapes.StandstillOut)

    @documented(
        "standstills_put",
        shapes.StandstillOut,
        summary="Stop everything: nothing is sent any more but putting back",
        request=shapes.StandstillIn,
        status=201,
        command=True,
        example=shapes.STANDSTILL_EXAMPLE,
        request_example={"scope": "account", "reason": "The payment provider is down."},
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """`on_the_wire` names what had been sent before."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        data = self.read(shapes.StandstillIn)

        def effect() -> Response:
            named = data.get("connection")
            put = services.put_standstill(
                data["scope"],
                account=account,
                actor=self.user,
                reason=data["reason"],
                connection=self.own(CloudConnection.objects, named, "cloud connection") if named else None,
            )
            return self.show(shapes.StandstillOut, put, status=201)

        return self.once(effect, required=True)


class StandstillLiftApi(StandstillView):
    """Let work go on."""

    permission = Permission.STANDSTILL_LIFT

    @documented(
        "standstills_lift",
        shapes.StandstillOut,
        summary="Lift a standstill, with a reason",
        request=shapes.ReasonIn,
        command=True,
        example=shapes.STANDSTILL_EXAMPLE,
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
                shapes.StandstillOut,
                services.lift_standstill(standstill, account=account, actor=self.user, reason=data["reason"]),
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
