"""Pages of runs: live, journal, commands, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from portal.access import AsyncPortalView, Permission
from portal.errors import NotPermitted, Refused, StaleState, form_status
from portal.paging import keyset
from portal.runs import charge
from portal.runs.live import page_stream
from portal.runs.models import JournalEntry, Run
from portal.runs.stream import Change
from scaledown import records, services, shown
from scaledown.forms import (
    ReasonForm,
)
from scaledown.live import LiveRun, journal_shown, live_run
from scaledown.offers import most_sensible_first
from scaledown.progress import progress_from_plain
from scaledown.report import report
from scaledown.selectors import is_customer
from scaledown.views.shared import (
    RUNS,
    ScaledownPage,
)

# --- the live run ---------------------------------------------------------------------------------------------

PARTS = ("state", "lanes", "charts", "journal")
"""The partials of the live page: `runs/_<name>.html`, each an event of the stream by this name."""


def run_context(
    live: LiveRun, *, granted: frozenset[Permission], zone: ZoneInfo, server: str
) -> dict[str, Any]:
    """Return what the partials of the live page show; the page and the stream use the same."""
    customer = is_customer(granted)
    names = frozenset(lane.server_name for lane in live.lanes)
    journal = [
        entry for entry in live.journal if not server or entry.subject in {server, _id_of(live, server)}
    ]
    has_hold = any(lane.phase == "held" or lane.left_from == "held" for lane in live.lanes)
    serving = min((one.serving for one in live.serving if one.serving is not None), default=None)
    return {
        "live": live,
        "plain_words": customer,
        "customer": customer,
        "rank": live.halt.rank if live.halt else "",
        "buttons": [
            shown.button(live, offer, customer=customer)
            | ({"tone": "primary"} if live.halt and number == 0 and not offer.is_dangerous else {})
            for number, offer in enumerate(
                most_sensible_first(live.offers, live.halt.next_commands if live.halt else ())
            )
        ]
        + ([shown.refused_resume(live, customer=customer)] if live.cannot_go_on else []),
        "halt_words": live.halt.says.removeprefix("Paused for safety:").strip() if live.halt else "",
        "lanes": [
            shown.lane_shown(
                live, lane, zone, customer=customer, with_hold=has_hold, with_image=bool(live.images)
            )
            for lane in live.lanes
        ],
        "nodes": shown.load_nodes(live, customer=customer),
        "drains": shown.drains(live, zone),
        "probes": [{"probe": probe, "points": shown.zoned(probe.latencies, zone)} for probe in live.probes],
        "serving": serving,
        "of_total": shown.of_total(live),
        "floor_words": f"never fewer than {live.floor}",
        "in_charge_words": live.in_charge or "nobody",
        "charge_until": live.charge_until,
        "backup": live.backup,
        # A moment that has passed is no forecast: what is waited for simply takes longer.
        "until": live.until if live.until is not None and live.until > timezone.now() else None,
        "now": timezone.now(),
        "zone_label": shown.zone_label(zone),
        "entries": shown.entries_shown(journal, names),
        "server": server,
        "server_names": [lane.server_name for lane in live.lanes],
        "waiting": [one for one in live.commands if one.accepted is None],
        "answers": [one for one in live.commands if one.accepted is not None][:3],
        "verdict": shown.newest_verdict(live, customer=customer),
        "may_grow": bool(live.growable) and live.growth is None and Permission.RUN_COMMAND in granted,
        "can_approve": Permission.PLAN_APPROVE in granted,
        "on_now": next((lane for lane in live.lanes if lane.phase in _IN_HAND), None),
    }


_IN_HAND = frozenset({"draining", "removing", "verifying", "deleting", "confirming"})


def _id_of(live: LiveRun, name: str) -> str:
    return next((lane.server_id for lane in live.lanes if lane.server_name == name), name)


class RunPageView(ScaledownPage, abstract=True):
    """What the pages of one run share."""

    def server_filter(self, request: HttpRequest) -> str:
        """Return the server whose journal lines are wanted, or ""."""
        return request.GET.get("server", "").strip()[:255]


class RunDetail(RunPageView):
    """The live run. Opened late it shows the same; without JavaScript it refreshes itself."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Show it as it is now."""
        run = self.find(RUNS, run_ref)
        live = live_run(run, granted=self.granted)
        server = self.server_filter(request)
        query = f"?{urlencode({'server': server})}" if server else ""
        return self.show(
            "runs/run_detail.html",
            **run_context(live, granted=self.granted, zone=self.zone, server=server)
            | {
                "stream_url": reverse("scaledown:run-stream", args=[run.ref]) + query,
                "viewer_ref": str(self.user.ref),
                "asked_of_me": list(charge.asked_of(self.user, run)[:2])
                if Permission.RUN_COMMAND in self.granted
                else [],
            },
        )


class RunStream(AsyncPortalView):
    """The live page's stream: the partials that changed, after each tick. Holds no connection while it waits."""

    permission = Permission.RUN_VIEW

    async def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponseBase:
        """Ends when the run, the session or the reader's right is over. 429 where too many are open."""
        run = await self.afind(RUNS, run_ref)
        server = request.GET.get("server", "").strip()[:255]
        render = _renderer(self, run, server, get_token(request))
        return page_stream(self, run.pk, render, for_customer=is_customer(self.granted))


def _renderer(
    view: AsyncPortalView, run: Run, server: str, token: str
) -> Callable[[Change], Mapping[str, str]]:
    """Return what makes the partials for one reader, and leaves out those that are as they were."""
    granted, user = view.granted, view.request.user
    zone = ZoneInfo(user.time_zone or "UTC")
    sent: dict[str, str] = {}

    def render(change: Change) -> Mapping[str, str]:
        live = live_run(run, granted=granted)
        # No request: its context processors would ask the database for the alarms of every page.
        context = run_context(live, granted=granted, zone=zone, server=server) | {"csrf_token": token}
        found = {part: render_to_string(f"runs/_{part}.html", context) for part in PARTS}
        news = {part: html for part, html in found.items() if sent.get(part) != html}
        sent.update(news)
        return news

    return render


class RunJournal(RunPageView):
    """The whole journal, in pages; each line has an address of its own."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Newest first."""
        run = self.find(RUNS, run_ref)
        server = self.server_filter(request)
        rows = JournalEntry.objects.filter(run=run)
        progress = progress_from_plain(run.progress)
        names = {way.name: way.server_id for way in progress.servers}
        if server:
            rows = rows.filter(subject__in=[server, names.get(server, server)])
        page = keyset(rows, request, order="-seq", filters={"server": server, "run": run.pk})
        lines = [journal_shown(entry, for_customer=self.customer) for entry in page.rows]
        return self.show(
            "runs/run_journal.html",
            run=run,
            page=page,
            entries=shown.entries_shown(lines, frozenset(names)),
            server=server,
            server_names=list(names),
        )


_NUMBERS: Mapping[str, Callable[[str], Any]] = {"seconds": float, "connections": int}


class RunCommandPage(RunPageView):
    """A command: dangerous ones and those that need a reason are asked for on a page of their own."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, run_ref: UUID, name: str) -> HttpResponse:
        """Ask, naming the act, its size and what it leaves."""
        run = self.find(RUNS, run_ref)
        return self._ask(run, name.replace("-", "_"))

    def post(self, request: HttpRequest, run_ref: UUID, name: str) -> HttpResponse:
        """Give the command; the run's next tick answers it."""
        run = self.find(RUNS, run_ref)
        name = name.replace("-", "_")
        reason = request.POST.get("reason", "")[:1000]
        try:
            given = services.command(
                run,
                name,
                actor=self.user,
                args=self._args(request),
                reason=reason,
                seen_status=request.GET.get("seen_status") or None,
                seen_held=request.GET.get("seen_held", ""),
            )
        except NotPermitted:
            raise
        except Refused as refusal:
            if request.POST.get("confirmed"):
                return self._ask(run, name, problem=refusal.says, typed=reason, status=form_status(refusal))
            raise
        said = "Your command was taken. The run answers it at its next step, within seconds."
        if given.on_the_wire:
            said += f" On its way at that moment: {given.on_the_wire}"
        messages.success(request, said)
        return redirect("scaledown:run-detail", run_ref=run.ref)

    def _args(self, request: HttpRequest) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in ("when", "server"):
            if request.GET.get(name):
                found[name] = request.GET[name][:255]
        for name, read in _NUMBERS.items():
            if request.GET.get(name):
                try:
                    found[name] = read(request.GET[name])
                except ValueError:
                    raise Refused(f"“{name}” must be a number.", code="bad_argument") from None
        if request.GET.get("confirm") == "true":
            found["confirm"] = True
        return found

    def _ask(
        self, run: Run, name: str, *, problem: str = "", typed: str = "", status: int = 200
    ) -> HttpResponse:
        live = live_run(run, granted=self.granted)
        server, when = self.request.GET.get("server", ""), self.request.GET.get("when", "")
        everything = [*live.offers, *(offer for lane in live.lanes for offer in lane.offers)]
        offer = next(
            (
                one
                for one in everything
                if one.name == name
                and (not server or one.args.get("server") == server)
                and (not when or one.args.get("when") == when)
            ),
            None,
        )
        rule = services.offers.RULES.get(name)
        if rule is None:
            raise Http404("There is no such command.")
        if rule.permission not in self.granted:
            self.refuse(rule.permission, run)
        if offer is None:
            raise StaleState(
                problem or f"“{name.replace('_', ' ')}” makes sense only {rule.when}. Nothing was sent.",
                code="command_refused",
            )
        made = shown.button(live, offer, customer=self.customer)
        args = {**shown.plain_args(offer), "seen_status": live.status, "seen_held": live.held_version}
        return self.show(
            "runs/command_page.html",
            status=status,
            live=live,
            offer=offer,
            label=made["label"].removesuffix("…"),
            leaves=made["leaves"],
            action=f"{self.request.path}?{urlencode(args)}",
            problem=problem,
            form=ReasonForm(initial={"reason": typed}),
        )


# --- the report -----------------------------------------------------------------------------------------------


class RunReport(RunPageView):
    """What a run did, for launch manager and customer; made to be printed."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Show it; while the run is under way, as far as it got."""
        return self.report_shown(self.find(RUNS, run_ref))

    def report_shown(
        self, run: Run, *, status: int = 200, problem: str = "", typed: str = ""
    ) -> HttpResponse:
        """Return the report's page."""
        found = report(run, for_customer=self.customer)
        return self.show(
            "runs/report.html",
            status=status,
            run=run,
            report=found,
            size_words=f"{found.nodes_before} → {found.nodes_after}",
            gone=sum(1 for server in found.servers if server.outcome == "gone"),
            left_out=sum(1 for server in found.servers if server.outcome == "left_out"),
            verdicts=shown.report_verdicts(found, customer=self.customer),
            drains=shown.report_drains(found, self.zone),
            marks=shown.drain_marks(found, self.zone),
            probes=[
                {
                    "probe": probe,
                    "series": [shown.Series(probe.name, shown.zoned(probe.latencies, self.zone))],
                }
                for probe in found.probes
            ],
            vital=shown.report_vital(found, self.zone),
            peak_vital=shown.peak_vital(found),
            zone_label=shown.zone_label(self.zone),
            problem=problem,
            typed=typed,
        )


class RunLesson(RunReport):
    """Write on the report what to do better next time."""

    permission = Permission.RUN_VIEW
    write_permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """A reload of the refused form shows the report."""
        return redirect("scaledown:run-report", run_ref=self.find(RUNS, run_ref).ref)

    def post(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Write it down."""
        run = self.find(RUNS, run_ref)
        text = request.POST.get("text", "")[:4000]
        try:
            records.write_lesson(run, text=text, actor=self.user)
        except Refused as refusal:
            return self.report_shown(run, problem=refusal.says, typed=text, status=form_status(refusal))
        messages.success(request, "The lesson is on the report.")
        return redirect(reverse("scaledown:run-report", args=[run.ref]) + "#lessons")
