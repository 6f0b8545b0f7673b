"""What holds a scale-down back, who overrode it, and windows in the calendar.

Freezes of the account's calendar do, traffic events that need the servers and that the plan's approvers did not see so, and,
before anything begins, support cases that are open with a site in danger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.urls import reverse

from accounts.calendar.models import CalendarKind
from accounts.calendar.selectors import Freeze, Item, Source, freezes_at, register_source
from capacity.baselines.doubts import doubts_about
from capacity.versions import version_of
from portal import access
from portal.access import Permission
from portal.audit.services import record
from portal.errors import NotPermitted, Refused, StaleState
from portal.frozen import replace
from portal.runs import journal
from portal.runs import services as runs
from portal.runs.models import Run
from portal.runs.types import Entry
from scaledown import ahead, asked, hours
from scaledown.canonical import from_plain, frozen_plan, to_plain
from scaledown.known import RISE, RISE_LASTS, event_known, load_known, rises_on
from scaledown.models import FreezeOverride, Plan, PlanStatus
from scaledown.types import Phase, PlanData

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection, User
    from scaledown.known import LoadKnown

RESTS_ON, DOUBT, CASE = "what-it-rests-on", "doubt-", "case-"
"""The references of forecast peak and ceiling where they are worse by now, of what speaks against the ceiling, and of cases."""
UNCOUNTED = "how many it needs did not stand in its preview"


_HEADINGS = {
    "event": "A traffic event needs the servers",
    "rise": "The servers may be needed",
    "case": "A severe support case is open",
}


@dataclass(frozen=True)
class InTheWay(Freeze):
    """What is no freeze and holds as one does: a traffic event or a rise that needs more servers than a plan leaves, or a case.

    `kind` is one of `_HEADINGS`. Its sentence does not name it, as a freeze's does not give its title.
    """

    sentence: str = ""
    needed: int | None = None
    """How many servers it needs; None where that is not known."""

    @classmethod
    def of(cls, seen: ahead.EventShown, title: str, sentence: str, *, kind: str = "event") -> InTheWay:
        """Return it as what holds."""
        return cls(seen.ref, title, kind, "account", seen.starts_at, seen.ends_at, sentence, seen.needed)

    @property
    def is_open_ended(self) -> bool:
        """Whether nobody knows when it ends: all but an event."""
        return self.kind != "event"

    @property
    def case_ref(self) -> str:
        """The reference of the case that it is, or ""."""
        return self.ref.removeprefix(CASE) if self.kind == "case" else ""

    @property
    def heading(self) -> str:
        """What stands over its sentence."""
        return _HEADINGS[self.kind]

    @property
    def seen(self) -> ahead.EventShown:
        """What whoever overrides it has read of it."""
        return ahead.EventShown(self.ref, self.starts_at, self.ends_at, self.needed)

    @property
    def says(self) -> str:
        """The sentence for people."""
        return self.sentence


def for_start(plan: Plan, data: PlanData, now: datetime) -> list[Freeze]:
    """Return what a plan would start into now, or when its window opens; what ends last comes last.

    At most five queries, those of `known.load_known`, and those of `doubts_about`.
    """
    begins = hours.begins_at(data, now)
    found = freezes_at(plan.account, begins)
    if begins == now:  # what is open as a later window opens, that one's pre-flight finds
        found += _severe_cases(plan.account, None, now)
    if plan.submitted_at is not None and plan.preview is not None:
        load = _load_of(plan, data, now)
        found += [*_needs(plan, data, load, begins, now), *_doubted(plan, plan.preview, data, load, now)]
    return sorted(found, key=lambda one: one.ends_at)


def _severe_cases(account: Account, run: Run | None, now: datetime) -> list[InTheWay]:
    """Return the cases of an account that are open with a site in danger; one query.

    Not those that the portal opened as this run itself halted: whoever resumes it answers them by that.
    """
    own = f"run:{run.ref}:" if run is not None else None
    return [
        InTheWay.of(
            ahead.EventShown(f"{CASE}{case.ref}", now, now + RISE_LASTS, None),
            "A support case",
            f"Support case {case.short} has been open since {_clock(case.created_at)} UTC, with a site in danger.",
            kind="case",
        )
        for case in asked.SEVERE_CASES.instances(account.pk)
        if own is None or not (case.opened_for or "").startswith(own)
    ]


def _load_of(plan: Plan, data: PlanData, now: datetime) -> LoadKnown:
    """Return what is known by now of what the servers of a plan carry, and of what comes."""
    return load_known(plan.connection, data.balancer_ids, _sizes_of(data), now)


def _sizes_of(data: PlanData) -> Counter[str]:
    return Counter(one.flavor_id or "" for one in (*data.servers, *data.remaining))


def _doubted(
    plan: Plan, preview: Mapping[str, Any], data: PlanData, load: LoadKnown, now: datetime
) -> list[InTheWay]:
    """Return what speaks against what one server carries and stood in no preview: it is worse than what was approved."""
    if load.ceiling is None:
        return []
    told = " ".join(one["says"] for one in preview["warnings"] if one["code"] == "ceiling_doubtful")
    sizes = _sizes_of(data)
    doubts = [
        says
        for says in doubts_about(plan.connection, load.balancer_id, load.ceiling, sizes=sizes)
        if says not in told
    ]
    if not doubts:
        return []
    says = f"What one server carries, {load.ceiling.requests_per_s:g} requests/s, is doubtful. {' '.join(doubts)}"
    # Whoever lets one pass lets no other one pass.
    seen = ahead.EventShown(f"{DOUBT}{version_of(*doubts)[:16]}", now, now + RISE_LASTS, None)
    return [InTheWay.of(seen, "What the plan rests on", says, kind="rise")]


def _needs(
    plan: Plan, data: PlanData, load: LoadKnown, moment: datetime, now: datetime, *, staying: int = 0
) -> list[InTheWay]:
    """Return what needs more servers than they knew of who approved a plan. Two queries.

    `staying` is how many of its servers do not leave any more, beside its target.

    Every event near is held against what is known now, and so is the plan itself: not only events change, but the usual peak
    and what one server carries as well.
    """
    near = asked.EVENTS.instances(plan.account_id, moment, moment + ahead.AHEAD)
    shown, looked_at = _shown(plan.preview or {})
    then = hours.begins_at(data, looked_at)
    by_now = replace(_by_now(data, load), target=data.target + staying)
    needed = []
    if ahead.is_worse(data, by_now):
        needed.append(_worse(data, by_now, now))
    for row in near:
        event = event_known(row, load.peak.requests_per_s if load.peak else None)
        if ahead.is_carried(event.peak_rps, by_now):
            continue
        needs = ahead.needed_for(event.peak_rps, by_now)
        seen = ahead.EventShown(event.ref, event.starts_at, event.ends_at, needs)
        if shown is None:
            why = UNCOUNTED
        elif event.ref not in shown:
            why = ahead.UNSHOWN
        else:
            why = ahead.why_anew(seen, shown[event.ref], then=then, at=moment)
        if why:
            lasts = f"from {_clock(event.starts_at)} to {_clock(event.ends_at)} UTC"
            says = f"A traffic event {lasts} {ahead.needs(event.peak_rps, by_now)}; {why}."
            needed.append(InTheWay.of(seen, event.name, says))
    for rise in rises_on(plan.account, data.connection_ref, data.balancer_ids, load.on, now):
        needs = ahead.needed_for(rise.peak_rps, by_now)
        # What is known to be a traffic event was read of as that.
        was = (shown or {}).get(rise.ref) or (shown or {}).get(rise.of)
        if ahead.is_carried(rise.peak_rps, by_now) or (
            was is not None and not ahead.is_more(needs, was.needed)
        ):
            continue
        seen = ahead.EventShown(rise.ref, rise.starts_at, rise.ends_at, needs)
        says = f"A rise in the traffic that is on since {_clock(rise.starts_at)} UTC, at the busiest hour of a week, "
        says += f"{ahead.needs(rise.peak_rps, by_now)}; {ahead.UNSHOWN}."
        needed.append(InTheWay.of(seen, RISE, says, kind="rise"))
    return needed


def _by_now(data: PlanData, load: LoadKnown) -> PlanData:
    """Return a plan with what is known by now; of a peak that is not known any more the one that it had."""
    carries = load.ceiling.requests_per_s if load.ceiling else None
    peak = load.peak.requests_per_s if load.peak else data.forecast_peak_rps
    return replace(data, ceiling_rps=carries, forecast_peak_rps=peak)


def _worse(data: PlanData, by_now: PlanData, now: datetime) -> InTheWay:
    """Return what the plan rests on, where that is worse by now, as what holds."""
    peak, carries = by_now.forecast_peak_rps, by_now.ceiling_rps
    seen = ahead.EventShown(RESTS_ON, now, now + RISE_LASTS, ahead.needed_for(peak, by_now))
    if carries is None:
        says = f"What one server carries, {data.ceiling_rps:g} requests/s as this was drawn up, is not known any more."
    else:
        says = f"The forecast peak is {peak:,.0f} requests/s and one server carries {carries:g} by what is known now: it "
        says += f"{ahead.needs(peak, by_now)}; {ahead.UNSHOWN}."
    return InTheWay.of(seen, "What the plan rests on", says, kind="rise")


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _shown(preview: Mapping[str, Any]) -> tuple[dict[str, ahead.EventShown] | None, datetime]:
    """Return the events that a kept preview showed, by reference, and when it was made. None: from before it kept them."""
    looked_at = datetime.fromisoformat(preview["looked_at"])
    return by_ref(preview["events"]) if "events" in preview else None, looked_at


def by_ref(kept: Iterable[Mapping[str, Any]]) -> dict[str, ahead.EventShown]:
    """Return what was read of events, as it is kept, by their references."""
    return {one["ref"]: from_plain(ahead.EventShown, one) for one in kept}


def not_overridden(
    run: Run,
    now: datetime,
    *,
    resumes: bool = False,
    begins: bool = False,
    connection: CloudConnection | None = None,
) -> list[Freeze]:
    """Return what holds a run back now, or would as it `resumes`, which is a pre-flight as the start is.

    `begins` says that it is, or may be, before that: then open cases are asked for as well. `connection` is its plan's, where
    that is known already. Four queries and those of `known.load_known`; one more where any is found, one as it begins, one and
    those of `doubts_about` as it resumes.
    """
    found = freezes_at(run.account, now)
    if begins or resumes:
        found += _severe_cases(run.account, run, now)
    for plan in asked.SUBMITTED.instances(run.plan_ref):  # one, or none
        plan.account = run.account
        plan.connection = connection or plan.connection
        plan.connection.account = run.account
        data = frozen_plan(str(run.ref), run.digest, run.plan)
        load = _load_of(plan, data, now)
        found += _needs(plan, data, load, now, now, staying=_staying(run))
        found += _doubted(plan, plan.preview or {}, data, load, now) if resumes else []
    found.sort(key=lambda one: one.ends_at)
    if not found:
        return []
    let = list(FreezeOverride.objects.filter(run=run))
    opens = _moment(run.plan.get("window_start"))
    return [
        one for one in found if not any(_lets(row, one, max(row.at, opens or row.at), now) for row in let)
    ]


def _staying(run: Run) -> int:
    """Return how many servers of a run's plan serve on: skipped, put back, or there anew."""
    ways = run.progress.get("servers", ())
    return sum(Phase(way["phase"]).is_staying and way["put_back"] is None for way in ways)


def _seen(one: Freeze) -> ahead.EventShown:
    """Return what whoever overrides it has read of it."""
    return (
        one.seen if isinstance(one, InTheWay) else ahead.EventShown(one.ref, one.starts_at, one.ends_at, None)
    )


def _lets(override: FreezeOverride, one: Freeze, then: datetime, now: datetime) -> bool:
    """Whether somebody let a run go on in this as it is now. `then` is when the run went on by it."""
    read = by_ref(override.events).get(one.ref)
    if not isinstance(one, InTheWay):
        # A weekly freeze is another one each time, by the same reference; one that was prolonged is as well.
        is_longer = read is not None and one.ends_at > read.ends_at
        return one.ref in override.freezes and one.starts_at <= then and not is_longer
    if read is None or one.is_open_ended:
        return read is not None and not ahead.is_more(one.needed, read.needed)
    return not ahead.why_anew(one.seen, read, then=then, at=now)


@dataclass(frozen=True)
class Held:
    """What holds a run back, in a sentence each, until when, and the version that whoever overrides it has read.

    `ends_at` None: of some of it nobody knows until when.
    """

    says: str
    ends_at: datetime | None
    version: str
    is_worse: bool = False
    """Whether what the plan rests on is among it."""


def says_of(found: Sequence[Freeze]) -> str:
    """Return a sentence for each: whoever lets a run go on in them must have read of all. What is no freeze comes first."""
    return " ".join(one.says for one in sorted(found, key=lambda one: not isinstance(one, InTheWay)))


def instead(frozen: Iterable[Freeze], act: str) -> str:
    """Return what to do instead of overriding, as the beginning of a sentence. `act` is "Start it"."""
    if any(one.ref == RESTS_ON or one.ref.startswith(DOUBT) for one in frozen):
        return "Copy the plan and have it approved as things are now"
    return f"{act} after that"


def holding(
    run: Run,
    now: datetime,
    *,
    resumes: bool = False,
    begins: bool = False,
    connection: CloudConnection | None = None,
) -> Held | None:
    """Return what holds a run back, or would as it `resumes`; None if nothing does. As `not_overridden` asks."""
    found = not_overridden(run, now, resumes=resumes, begins=begins, connection=connection)
    if not found:
        return None
    has_no_end = any(isinstance(one, InTheWay) and one.is_open_ended for one in found)
    is_worse = any(one.ref == RESTS_ON for one in found)
    return Held(says_of(found), None if has_no_end else found[-1].ends_at, version(found), is_worse)


def version(found: Iterable[Freeze]) -> str:
    """Return a text that is another one once something else holds, or the same otherwise; "" where nothing does."""
    listed = sorted((one.ref, one.says) for one in found)
    return version_of(*listed) if listed else ""


def check_override(
    frozen: Sequence[Freeze], account: Account, actor: User, reason: str, act: str, seen: str
) -> None:
    """Raise Refused for a freeze that nobody overrides, NotPermitted for who may not, StaleState for who read of another one.

    `act` is "Start it", `seen` the version of what the actor read.
    """
    says, now = says_of(frozen), version(frozen)
    if not access.can(actor, Permission.OVERRIDE, account):
        if reason.strip():
            raise NotPermitted(f"{says} Only a lead may override it.", code="not_permitted")
        raise Refused(
            f"{says} {instead(frozen, act)}, or have a lead override it.", code="freeze", version=now
        )
    if not reason.strip():
        raise Refused(
            f"{says} {instead(frozen, act)}, or say why it cannot wait: that overrides it.",
            code="freeze",
            version=now,
        )
    if seen != now:
        raise StaleState(
            f"{says} You were not shown that as it is now, so nothing was overridden. Read it, then decide.",
            code="held_by_another",
            version=now,
        )


def override(run: Run, frozen: Iterable[Freeze], *, actor: User, reason: str) -> None:
    """Let a run go on in these freezes, in its journal and on the record; in the caller's transaction."""
    listed = list(frozen)
    FreezeOverride.objects.create(
        run=run,
        freezes=[one.ref for one in listed],
        events=[to_plain(_seen(one)) for one in listed],
        by=actor,
    )
    author = runs.author_of(actor)
    until = max(one.ends_at for one in listed)
    journal.write(
        run,
        [
            Entry(
                "freeze_overridden",
                f"{author.name} overrode this: {says_of(listed)}",
                f"A lead decided that this goes on all the same. {says_of(listed)}",
                detail={"freezes": [one.ref for one in listed]},
            )
        ],
        at=journal.database_now(),
        author=author,
    )
    record(
        "run.freeze_overridden",
        actor=actor,
        account=run.account,
        subject=run,
        after={"until": until, "freezes": [one.ref for one in listed]},
        reason=reason,
    )


def windows(accounts: QuerySet[Account], start: datetime, end: datetime) -> list[Item]:
    """Return the change windows of plans that are approved or wait for it; one query."""
    rows: Any = Plan.objects.filter(
        account__in=accounts.order_by().values("pk"),
        status__in=(PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED),
        data__window_start__isnull=False,
    ).select_related("account")
    found = []
    for row in rows.only("ref", "title", "account", "updated_at", "data"):
        for number, (opens, closes) in enumerate(_windows_of(row.data)):
            if not (opens < end and closes > start):
                continue
            found.append(
                Item(
                    opens,
                    closes,
                    CalendarKind.WINDOW.value,
                    "Change window of a scale-down",
                    row.account.time_zone,
                    account=row.account,
                    url=reverse("scaledown:plan-detail", args=[row.ref]),
                    uid=f"plan-{row.ref}{f'-{number}' if number else ''}",
                    sequence=int((row.updated_at - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds()),
                    changed_at=row.updated_at,
                )
            )
    return found


def _windows_of(data: Mapping[str, Any]) -> Iterable[tuple[datetime, datetime]]:
    """Return beginning and end of each window of a stored plan; none where one is open."""
    spans = [(data.get("window_start"), data.get("window_end"))]
    spans += [(one["starts_at"], one["ends_at"]) for one in data.get("later_windows", ())]
    for span in spans:
        opens, closes = map(_moment, span)
        if opens is not None and closes is not None:
            yield opens, closes


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def register() -> None:
    """Hand the windows to the calendar; called once when the app is ready."""
    register_source(Source("windows", windows))
