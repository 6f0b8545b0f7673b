"""What scale-down knows of how accounts stand: the way back after the last event; and of a team's quarter.

The fact is gathered for many accounts in a constant number of queries and judged by a pure function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.facts import Act, Fact, Finding, Grade, plural, register_fact
from accounts.models import Account, Team
from accounts.reviews.quarter import Figure, Part, Shown, register_part
from capacity.models import TrafficEvent
from portal.runs.models import OVER, Run, RunSample
from portal.runs.types import RunStatus
from scaledown.models import Plan, PlanStatus, Retirement, ScaleUpEntry
from scaledown.services import KIND
from scaledown.types import Phase

OVERSIZED_AFTER = timedelta(days=3)
LONG_OVERSIZED_AFTER = timedelta(days=14)
GONE = (Phase.RETIRED.value, Phase.GONE.value)


@dataclass(frozen=True)
class ScaleBackKnown:
    """What is left of the events of one account that are over, and what is being done about it.

    `recorded` are the servers that were written down as added, `left` those of them that no run has taken out;
    `ended_at` is the end of the oldest event that left something, else of the last one. `last_event_at` is the end of
    the last event, None if there was none, and `is_last_recorded` whether anybody wrote down what was added for it.
    """

    last_event_at: datetime | None
    is_last_recorded: bool
    recorded: int
    left: int
    ended_at: datetime | None
    plans_waiting: int
    plans_ready: int
    runs_live: int
    runs_halted: int
    halted_since: datetime | None


def gather_scale_back(accounts: QuerySet[Account], now: datetime) -> Mapping[int, ScaleBackKnown]:
    """Return the scale-back of each account; five queries."""
    of = accounts.values("pk")
    last = dict(
        TrafficEvent.objects.filter(account__in=of, ends_at__lte=now)
        .order_by()
        .values("account")
        .annotate(ended=Max("ends_at"))
        .values_list("account", "ended")
    )
    taken_out = Retirement.objects.filter(
        run__account=OuterRef("record__account"),
        run__is_rehearsal=False,
        server_id=OuterRef("server_id"),
        phase__in=GONE,
    )
    entries: Any = (
        ScaleUpEntry.objects.filter(record__account__in=of, record__event__ends_at__lte=now)
        .annotate(_is_out=Exists(taken_out))
        .order_by()
        .values("record__account")
        .annotate(
            recorded=Count("pk"),
            left=Count("pk", filter=Q(_is_out=False)),
            oldest=Min("record__event__ends_at", filter=Q(_is_out=False)),
            newest=Max("record__event__ends_at"),
        )
    )
    servers = {row["record__account"]: row for row in entries}
    plans: Any = (
        Plan.objects.filter(account__in=of, status__in=(PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED))
        .exclude(expires_at__lte=now)
        .order_by()
        .values("account")
        .annotate(
            waiting=Count("pk", filter=Q(status=PlanStatus.AWAITING_APPROVAL)),
            ready=Count("pk", filter=Q(status=PlanStatus.APPROVED)),
        )
    )
    planned = {row["account"]: row for row in plans}
    runs: Any = (
        Run.objects.filter(account__in=of, kind=KIND, is_rehearsal=False)
        .exclude(status__in=OVER)
        .order_by()
        .values("account")
        .annotate(
            live=Count("pk"),
            halted=Count("pk", filter=Q(status=RunStatus.HALTED.value)),
            since=Min("halted_at", filter=Q(status=RunStatus.HALTED.value)),
        )
    )
    running = {row["account"]: row for row in runs}
    found = {}
    for pk in accounts.values_list("pk", flat=True):
        server, plan, run = servers.get(pk, {}), planned.get(pk, {}), running.get(pk, {})
        found[pk] = ScaleBackKnown(
            last.get(pk),
            pk in last and server.get("newest") == last[pk],
            server.get("recorded", 0),
            server.get("left", 0),
            server.get("oldest") or last.get(pk),
            plan.get("waiting", 0),
            plan.get("ready", 0),
            run.get("live", 0),
            run.get("halted", 0),
            run.get("since"),
        )
    return found


def judge_scale_back(known: ScaleBackKnown | None, now: datetime) -> Finding:
    """A halted run, or servers left for two weeks, are red; three days amber; without a record nobody knows."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Scale-downs could not be read.", "Unknown is never green.")
    parts = (
        ("servers added for events that are over", known.recorded),
        ("still there", known.left),
        ("plans waiting for approval", known.plans_waiting),
        ("plans approved and not started", known.plans_ready),
        ("runs under way", known.runs_live),
        ("runs halted", known.runs_halted),
    )
    if known.runs_halted:
        return Finding(
            Grade.RED,
            f"{plural(known.runs_halted, 'run has', 'runs have')} halted and waits for a decision.",
            "A halted run is decided.",
            known.halted_since,
            None,
            parts,
        )
    if known.left and known.ended_at is not None:
        over = now - known.ended_at
        doing = (
            " A run is taking them out."
            if known.runs_live
            else " A plan is approved; somebody starts it."
            if known.plans_ready
            else " A plan waits for approval."
            if known.plans_waiting
            else " No plan was drawn up."
        )
        grade = (
            Grade.GREEN
            if over <= OVERSIZED_AFTER
            else Grade.AMBER
            if over <= LONG_OVERSIZED_AFTER or known.runs_live
            else Grade.RED
        )
        rule = (
            "What an event needed is gone within three days."
            if grade is not Grade.RED
            else "Nothing of an event is left after two weeks."
        )
        ago = f"{plural(over.days, 'day')} ago" if over.days else "less than a day ago"
        says = (
            f"{plural(known.left, 'server')} of {known.recorded} added for an event that ended {ago} "
            f"{'is' if known.left == 1 else 'are'} still there.{doing}"
        )
        expires = known.ended_at + OVERSIZED_AFTER if grade is Grade.GREEN else None
        return Finding(grade, says, rule, known.ended_at, expires, parts)
    if known.last_event_at is None:
        return Finding(
            Grade.GREEN,
            "No event is over yet, so nothing is left of one.",
            "Nothing of an event is left.",
            now,
        )
    if not known.is_last_recorded:
        return Finding(
            Grade.UNKNOWN,
            f"Nobody wrote down what was added for the event that ended on {known.last_event_at:%Y-%m-%d}.",
            "Without a record nobody knows what is left.",
            known.last_event_at,
            None,
            parts,
        )
    return Finding(
        Grade.GREEN,
        f"All {known.recorded} servers that were added for events are out again.",
        "Nothing of an event is left.",
        known.last_event_at,
        None,
        parts,
    )


# --- a team's quarter --------------------------------------------------------------------------------------


def gather_quarter(team: Team, since: datetime, until: datetime) -> Shown:
    """Return what scale-downs did in a quarter: servers out, server-hours saved, harm seen, leftovers; four queries."""
    runs = Run.objects.filter(account__team=team, kind=KIND, is_rehearsal=False)
    deleted = Retirement.objects.filter(
        run__account__team=team,
        run__is_rehearsal=False,
        phase=Phase.RETIRED.value,
        phase_since__lt=until,
    )
    out = deleted.filter(phase_since__gte=since).count()
    end = min(until, timezone.now())
    # From its deletion to the end of the quarter, also of those that went in quarters before.
    seconds = sum(
        max(0.0, (end - max(since, at)).total_seconds())
        for at in deleted.values_list("phase_since", flat=True)
        if at is not None
    )
    begun = runs.filter(created_at__gte=since, created_at__lt=until)
    failed = RunSample.objects.filter(run=OuterRef("pk"), series__startswith="probe:", detail__ok=False)
    watched = RunSample.objects.filter(run=OuterRef("pk"), series__startswith="probe:")
    harm: Any = begun.annotate(_failed=Exists(failed), _watched=Exists(watched)).aggregate(
        seen=Count("pk", filter=Q(_failed=True)),
        unwatched=Count("pk", filter=Q(_watched=False)),
        all=Count("pk"),
    )
    left = gather_scale_back(Account.objects.filter(team=team), end)
    unwatched = harm["unwatched"]
    return Shown(
        figures=(
            Figure("Servers taken out", out),
            Figure(
                "Server-hours saved",
                round(seconds / 3600, 1),
                note="counted from each deletion to the end of the quarter, or to now; no prices yet",
            ),
            Figure(
                "Runs with harm seen",
                None if harm["all"] and unwatched == harm["all"] else harm["seen"],
                note=(
                    "a check of the site failed during the run"
                    + (f"; {plural(unwatched, 'run')} watched by no check" if unwatched else "")
                ),
            ),
            Figure(
                "Servers left of events that are over",
                sum(one.left for one in left.values()),
                note="of recorded scale-ups; an event without a record cannot be counted",
            ),
        )
    )


def register() -> None:
    """Register both; called once when the app is ready."""
    register_fact(
        Fact(
            "scale_back",
            "Scale-back after the last event",
            gather_scale_back,
            judge_scale_back,
            Act("Take the servers out", lambda account: reverse("scaledown:plan-list", args=[account.ref])),
            order=10,
        )
    )
    register_part(Part("scaledown", "Scale-downs", gather_quarter, order=20))
