"""Pages of drills: draw up, ask, decide, attest, start; live, its commands; what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import Account, User
from accounts.views import AccountPage
from capacity.benchmarks.selectors import connection_of, pools_of
from drills.after.freshness import so_far, with_freshness
from drills.plans import selectors, services
from drills.plans.choice import Choice, first_choice, is_held_for_real
from drills.plans.forms import DrillForm, initial_of
from drills.plans.models import Drill, DrillStatus, HeldDrill
from drills.plans.people import offered
from drills.plans.pool import Pool, read_pool
from drills.scenarios.selectors import Shown, library
from drills.scenarios.selectors import scenario as scenario_by_key
from drills.scenarios.types import Scenario
from drills.told.calls import calls_of
from drills.types import BY_PEOPLE, INFORMED_WHOM, MarkKind
from portal.access import AsyncPortalView, Permission
from portal.approvals.models import Verdict
from portal.approvals.pages import ApprovePage, AskedPage, EndPage, asked_shown
from portal.errors import NotPermitted, Refused, Trouble, form_status
from portal.frozen import replace
from portal.paging import keyset
from portal.runs.live import page_stream
from portal.runs.stream import Change
from portal.search import text_of
from portal.ui.charts import in_zone


class DrillPage(AccountPage, abstract=True):
    """What these pages share."""

    tab = "drills"


class DrillList(DrillPage):
    """The account's drills, the newest first."""

    permission = Permission.DRILL_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        account = self.find(Account, account_ref)
        rows = selectors.drills_for(self.user).filter(account=account)
        page = keyset(rows, request, order="-id", filters={"account": account.pk})
        with_freshness(page.rows)
        return self.show("drills/list.html", page=page)


class DrillChoose(DrillPage):
    """Choose a scenario for a new drill."""

    permission = Permission.DRILL_DRAFT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the team's scenarios."""
        account = self.find(Account, account_ref)
        return self.show("drills/choose.html", scenarios=library(account.team))


def looks_for_people(data: Any) -> bool:
    """Whether what was sent asks for others to choose from: by its button, or by Enter after a name was typed."""
    do = data.get("do", "")
    return do == "find" or (do != "keep" and text_of(data.get("find", "")) != text_of(data.get("found", "")))


def _chosen(data: Any, initial: Mapping[str, Any], *names: str) -> list[str]:
    """Return the references that stand in these fields: as they were sent, or as they are kept."""
    found: list[str] = []
    for name in names:
        kept = initial.get(name, ())
        found += data.getlist(name) if data else [kept] if isinstance(kept, str) else kept
    return found


class DrillForms(DrillPage, abstract=True):
    """What drawing up and changing share."""

    def form_for(
        self,
        account: Account,
        scenario: Scenario,
        data: Any = None,
        *,
        initial: Mapping[str, Any],
        pool: str,
    ) -> tuple[DrillForm, str]:
        """Return the form, and why the servers of its pool could not be read, or ""."""
        servers, problem = self._servers(account, (data or {}).get("pool", pool) if data else pool)
        form = DrillForm(
            data,
            account=account,
            scenario=scenario,
            pools=pools_of(account),
            servers=servers,
            people=offered(
                account,
                contacts=_chosen(data, initial, "participants"),
                watchers=_chosen(data, initial, "observers", "reporter"),
                text=text_of(data.get("find", "")) if data else "",
            ),
            initial=initial,
        )
        if data and looks_for_people(data):
            # Nothing is kept yet: what is missing is said once it is.
            form.errors.clear()
        return form, problem

    def _servers(self, account: Account, key: str) -> tuple[list[tuple[str, str]], str]:
        connection, balancer_id = connection_of(account, key)
        if connection is None or not balancer_id:
            return [], ""
        try:
            pool = read_pool(connection, [balancer_id])
        except Trouble as trouble:
            return [], trouble.says
        return [(one.id, f"{one.name} ({one.status})") for one in pool.servers], pool.problem()

    def page(self, scenario: Scenario, form: DrillForm, problem: str, **context: Any) -> HttpResponse:
        """Return the page of the form."""
        return self.show("drills/form.html", form=form, scenario=scenario, problem=problem, **context)


class DrillNew(DrillForms):
    """Draw up a drill of one scenario."""

    permission = Permission.DRILL_DRAFT

    def get(self, request: HttpRequest, account_ref: UUID, drill_scenario: str) -> HttpResponse:
        """Show the form with what the scenario proposes."""
        account = self.find(Account, account_ref)
        shown = self._shown(account, drill_scenario)
        pools = pools_of(account)
        pool = pools[0][0] if len(pools) == 1 else ""
        initial = initial_of(
            first_choice(shown.scenario), account.time_zone, title=shown.scenario.title, pool=pool
        )
        form, problem = self.form_for(account, shown.scenario, initial=initial, pool=pool)
        return self.page(shown.scenario, form, problem)

    def post(self, request: HttpRequest, account_ref: UUID, drill_scenario: str) -> HttpResponse:
        """Keep it as a draft."""
        account = self.find(Account, account_ref)
        shown = self._shown(account, drill_scenario)
        form, problem = self.form_for(account, shown.scenario, request.POST, initial={}, pool="")
        if looks_for_people(request.POST):
            return self.page(shown.scenario, form, problem)
        status = 422
        if form.is_valid():
            connection, _ = connection_of(account, form.cleaned_data["pool"])
            try:
                drill = services.draft_with(
                    form.people,
                    account=account,
                    scenario=shown,
                    title=form.cleaned_data["title"],
                    choice=form.choice(first_choice(shown.scenario)),
                    connection=connection,
                    facilitator=form.leader,
                    actor=self.user,
                )
            except NotPermitted:
                raise
            except Refused as refusal:
                form.add_error(None, refusal.says)
                status = form_status(refusal)
            else:
                return redirect("drills:drill", drill_ref=drill.ref)
        return self.page(shown.scenario, form, problem, status=status)

    def _shown(self, account: Account, key: str) -> Shown:
        shown = scenario_by_key(account.team, key)
        if shown is None or not shown.is_listed:
            raise Http404
        return shown


class DrillEdit(DrillForms):
    """Change a draft."""

    permission = Permission.DRILL_DRAFT

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Show the form."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        choice = services.choice_of(drill)
        pool = _pool_key(drill, choice)
        people = list(drill.parts.select_related("contact", "user"))
        initial = initial_of(
            choice,
            drill.account.time_zone,
            title=drill.title,
            pool=pool,
            facilitator=str(drill.facilitator.ref),
            participants=[str(one.contact.ref) for one in people if one.contact],
            observers=[str(one.user.ref) for one in people if one.user and one.role == "observer"],
            reporter=next((str(one.user.ref) for one in people if one.user and one.role == "reporter"), ""),
        )
        scenario = services.scenario_of(drill)
        form, problem = self.form_for(drill.account, scenario, initial=initial, pool=pool)
        return self.page(scenario, form, problem, drill=drill)

    def post(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Keep what was changed."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        scenario = services.scenario_of(drill)
        form, problem = self.form_for(drill.account, scenario, request.POST, initial={}, pool="")
        if looks_for_people(request.POST):
            return self.page(scenario, form, problem, drill=drill)
        status = 422
        if form.is_valid():
            connection, _ = connection_of(drill.account, form.cleaned_data["pool"])
            try:
                services.change_with(
                    drill,
                    form.people,
                    title=form.cleaned_data["title"],
                    choice=form.choice(services.choice_of(drill)),
                    connection=connection,
                    facilitator=form.leader,
                    actor=self.user,
                )
            except NotPermitted:
                raise
            except Refused as refusal:
                form.add_error(None, refusal.says)
                status = form_status(refusal)
            else:
                return redirect("drills:drill", drill_ref=drill.ref)
        return self.page(scenario, form, problem, drill=drill, status=status)


def _pool_key(drill: Drill, choice: Choice) -> str:
    if drill.connection is None or not choice.balancer_ids:
        return ""
    return f"{drill.connection.ref}:{choice.balancer_ids[0]}"


def pool_for(drill: Drill) -> Pool | None:
    """Return a fresh look at the pool of a drill that has one and is held for real. Raises the troubles of the provider."""
    choice = services.choice_of(drill)
    if drill.connection is None or not choice.balancer_ids or not is_held_for_real(choice):
        return None
    return read_pool(drill.connection, choice.balancer_ids)


class OneDrill(DrillPage, abstract=True):
    """What the pages of one drill share."""

    def row_shown(self, drill: Drill, *, problem: str = "", status: int = 200) -> HttpResponse:
        """Return the page of a drill."""
        now = timezone.now()
        plan = services.data_of(drill)
        choice, scenario = services.choice_of(drill), services.scenario_of(drill)
        is_ready = drill.status == DrillStatus.APPROVED and plan is not None
        known = services.known_checks(drill, plan, now) if plan and is_ready else {}
        return self.show(
            "drills/drill.html",
            status=status,
            drill=drill,
            plan=plan,
            choice=choice,
            scenario=scenario,
            script=selectors.script_rows(drill, choice, scenario),
            words=selectors.injection_words(plan) if plan else "",
            people=list(drill.parts.select_related("contact", "user").order_by("role", "pk")),
            checks=selectors.checks_of(drill, plan, now, known) if plan and is_ready else [],
            missing=services.not_ready(drill, plan, now, known) if plan and is_ready else [],
            held=getattr(drill, "held", None),
            so_far=so_far(drill),
            problem=problem,
            **asked_shown(drill.request, self.user),
        )


class DrillDetail(OneDrill):
    """One drill: what it is to show, what is done, who approved it, what is missing before its start."""

    permission = Permission.DRILL_VIEW

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Opening it changes nothing."""
        return self.row_shown(self.find(selectors.drills_for(self.user), drill_ref))


class DrillSubmit(OneDrill):
    """Ask for approval."""

    permission = Permission.DRILL_SUBMIT

    def post(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Freeze it from a fresh look at the pool; the customer's approvers are asked."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        try:
            services.submit(drill, actor=self.user, pool=pool_for(drill))
        except NotPermitted:
            raise
        except Trouble as trouble:
            return self.row_shown(drill, problem=trouble.says, status=form_status(trouble))
        messages.success(request, "It is submitted. The customer’s approvers were asked.")
        return redirect("drills:drill", drill_ref=drill.ref)


class AskedDrill(AskedPage, abstract=True):
    """What approving and ending a drill share."""

    row_url = "drills:drill"

    def rows_known(self) -> QuerySet[Drill]:
        """Return the drills that the reader may know of."""
        return selectors.drills_for(self.user)


class DrillApprove(OneDrill, AskedDrill, ApprovePage):
    """The customer's yes to exactly what was seen."""

    permission = Permission.PLAN_APPROVE
    done = "You have approved the drill."

    def approve(self, row: Drill, digest: str) -> None:
        """Approve what was seen."""
        services.decide(row, Verdict.APPROVE, actor=self.user, seen_digest=digest)


class DrillReject(DrillPage, AskedDrill, EndPage):
    """The customer's no."""

    permission = Permission.PLAN_APPROVE
    heading, label = "Turn this drill down?", "Turn it down"
    leaves = "Nothing is touched. Your launch manager reads why."
    done = "You have turned it down."

    def end(self, row: Drill, reason: str, digest: str) -> None:
        """Turn down what was seen."""
        services.decide(row, Verdict.REJECT, actor=self.user, seen_digest=digest, reason=reason)


class DrillWithdraw(DrillPage, AskedDrill, EndPage):
    """It is not held."""

    permission = Permission.DRILL_DRAFT
    heading, label = "Withdraw this drill?", "Withdraw it"
    leaves = "It is not held, and stays to be read with your reason. One that has begun is stopped on its live page."
    done = "It is withdrawn."

    def end(self, row: Drill, reason: str, digest: str) -> None:
        """Withdraw it."""
        services.withdraw(row, actor=self.user, reason=reason)


class DrillCopy(DrillPage):
    """Hold a drill again."""

    permission = Permission.DRILL_DRAFT

    def post(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Make a draft with the same choices."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        try:
            made = services.copy(drill, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            messages.error(request, refusal.says)
            return redirect("drills:drill", drill_ref=drill.ref)
        return redirect("drills:drill-edit", drill_ref=made.ref)


class DrillAttest(OneDrill):
    """Say that a check before the start is done."""

    permission = Permission.DRILL_RUN

    def post(self, request: HttpRequest, drill_ref: UUID, check_key: str) -> HttpResponse:
        """Note it with name and time."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        try:
            services.attest(drill, check_key, says=request.POST.get("says", ""), actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            return self.row_shown(drill, problem=refusal.says, status=form_status(refusal))
        return redirect("drills:drill", drill_ref=drill.ref)


class DrillStart(OneDrill):
    """Begin a drill."""

    permission = Permission.DRILL_RUN

    def post(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Start it; a refusal says what holds it back."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        try:
            services.start(drill, actor=self.user, seen_digest=request.POST.get("digest", ""))
        except NotPermitted:
            raise
        except Trouble as trouble:
            return self.row_shown(drill, problem=trouble.says, status=form_status(trouble))
        return redirect("drills:drill-live", drill_ref=drill.ref)


# --- a drill under way --------------------------------------------------------------------------------------


def _held(drill: Drill) -> HeldDrill:
    held: HeldDrill | None = getattr(drill, "held", None)
    if held is None:
        raise Http404
    return held


def _context(held: HeldDrill, reader: User, granted: frozenset[Permission], zone: ZoneInfo) -> dict[str, Any]:
    live = selectors.live_drill(held, timezone.now())
    may_note = Permission.DRILL_NOTE in granted
    may_acknowledge = may_note and not selectors.only_watches(reader, held.drill)
    return {
        "live": replace(live, probes=in_zone(live.probes, zone), serving=in_zone(live.serving, zone)),
        "zone_label": str(zone),
        "calls": calls_of(held),
        "may_lead": Permission.DRILL_RUN in granted,
        "may_note": may_note,
        "may_acknowledge": may_acknowledge,
        "may_stop": Permission.DRILL_STOP in granted,
        "whom": INFORMED_WHOM.items(),
        "moments": [
            (one.value, MOMENTS[one.value])
            for one in sorted(BY_PEOPLE, key=lambda one: list(MOMENTS).index(one.value))
            if one not in OF_DATA and (may_acknowledge or one is not MarkKind.ACKNOWLEDGED)
        ],
    }


OF_DATA = frozenset({MarkKind.NEWEST_DATA, MarkKind.COMPLETE})
"""What is said with more than a button."""
MOMENTS = {
    "detected": "noticed",
    "acknowledged": "acknowledged",
    "informed": "those who must know were told",
    "mitigated": "the harm is over",
    "usable": "usable again",
    "newest_data": "the newest data found",
    "complete": "the check of completeness",
}


class DrillLive(DrillPage):
    """A drill under way: clock, steps, servers, probes, journal, and the buttons that anybody may press."""

    permission = Permission.DRILL_VIEW

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Show it as it is now; without JavaScript it refreshes itself."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        held = _held(drill)
        zone = ZoneInfo(self.user.time_zone or "UTC")
        return self.show("drills/live.html", drill=drill, **_context(held, self.user, self.granted, zone))


class DrillStream(AsyncPortalView):
    """The stream of a drill's page. Holds no database connection while it waits."""

    permission = Permission.DRILL_VIEW

    async def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponseBase:
        """Ends when the drill, the session or the reader's right is over. 429 where too many are open."""
        drill = await self.afind(selectors.drills_for(self.user), drill_ref)
        held = _held(drill)
        return page_stream(self, held.run_id, _renderer(self, held, get_token(request)), for_customer=False)


def _renderer(view: AsyncPortalView, held: HeldDrill, token: str) -> Callable[[Change], Mapping[str, str]]:
    reader, granted = view.request.user, view.granted
    zone = ZoneInfo(reader.time_zone or "UTC")

    def render(change: Change) -> Mapping[str, str]:
        context = _context(held, reader, granted, zone) | {"csrf_token": token}
        return {"state": render_to_string("drills/_live.html", context)}

    return render


class DrillCommand(DrillPage):
    """Ask something of a drill under way: stop it, say that it is real, note a moment, say that a step is done."""

    permission = Permission.DRILL_VIEW

    def post(self, request: HttpRequest, drill_ref: UUID, drill_command: str) -> HttpResponse:
        """Give the command; the drill answers at its next look, within seconds."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        held = _held(drill)
        try:
            services.command(
                held,
                drill_command.replace("-", "_"),
                actor=self.user,
                reason=request.POST.get("reason", ""),
                args=args_of(request.POST, ZoneInfo(self.user.time_zone or "UTC")),
            )
        except NotPermitted:
            raise
        except Refused as refusal:
            messages.error(request, refusal.says)
        return redirect("drills:drill-live", drill_ref=drill.ref)


def args_of(data: Any, zone: ZoneInfo) -> dict[str, Any]:
    """Return what a form says besides the command's name and reason. A moment was typed by the wall of `zone`."""
    found: dict[str, Any] = {}
    if data.get("number", "").isascii() and data.get("number", "").isdigit():
        found["number"] = int(data["number"][:4])
    if data.get("value_wall"):
        try:
            found["value_at"] = datetime.fromisoformat(data["value_wall"]).replace(tzinfo=zone).isoformat()
        except ValueError:
            raise Refused("Say the newest data's day and time.", code="bad_args") from None
    for name in ("kind", "server", "whom", "outcome"):
        if data.get(name):
            found[name] = str(data[name])[:100]
    ticked = data.getlist("ticked")
    if ticked:
        verdict = "failed" if data.get("verdict") == "failed" else "passed"
        found[verdict] = [str(one)[:200] for one in ticked[:20]]
    return found
