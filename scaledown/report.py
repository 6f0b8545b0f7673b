"""What a run did, for launch manager and customer: `report(run) -> Report`, read from run, journal and samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from capacity.sizing import Cost, cost_a_month
from capacity.vital import VitalCourse, vital_course
from portal.approvals.models import ApprovalRequest
from portal.audit.subjects import open_values
from portal.runs.models import JournalEntry, Run
from portal.runs.plain import for_reader
from portal.runs.types import RunStatus
from scaledown import images, lessened, services
from scaledown.canonical import plan_from_plain
from scaledown.costs import saved_a_month
from scaledown.courses import Point, ProbeSum, course, probe_sums
from scaledown.live import ImageShown, PeakWatchShown, images_shown, peak_watch_shown
from scaledown.models import Plan
from scaledown.preview import HOURS_A_MONTH
from scaledown.progress import Progress, ServerWay, progress_from_plain
from scaledown.selectors import DecisionShown
from scaledown.types import Grade, Phase, PlanData
from scaledown.ways_out import KINDS, WayOut, ways_out

POINTS_SHOWN = 400
_EVIDENCE = {
    Grade.MEASURED.value: "Its connections were counted until none was open.",
    Grade.INFERRED.value: "That none was open is worked out from its traffic.",
    Grade.TIMED.value: "It was waited for as long as agreed, or a person or the plan let it go.",
}
"""By what a server counts as empty, as customers read it."""
VITAL_BEFORE = timedelta(hours=1)
"""So much of the time before the run stands beside it: verdicts are held against it."""


@dataclass(frozen=True)
class ServerReport:
    """How one server went. Times are None for what did not happen; `connections` is what was counted.

    `nodes_left` are the load balancers that still list a node of the deleted server.
    """

    server_id: str
    server_name: str
    outcome: str
    drain_began_at: datetime | None
    drained_at: datetime | None
    drain_grade: str
    drain_evidence: str
    connections_cut: int | None
    left_pool_at: datetime | None
    verdict: str
    verdict_says: str
    verdict_numbers: Mapping[str, Any]
    """What the newest verdict rests on; empty where there was none."""
    deleted_at: datetime | None
    nodes_left: tuple[str, ...]
    connections: tuple[Point, ...]
    new_server_id: str = ""
    """The id of the server that was created in its place; it serves where the outcome is recreated."""


@dataclass(frozen=True)
class ProbeReport:
    """How one probe went during the run. Latencies in milliseconds; None if there was no answer at all."""

    name: str
    url: str
    looks: int
    failed: int
    unknown: int
    median_ms: float | None
    p95_ms: float | None
    slowest_ms: float | None
    limit_ms: float | None
    latencies: tuple[Point, ...]
    slow: int = 0
    """Answers that were right, but later than the probe allows; not among `failed`."""


@dataclass(frozen=True)
class VitalReport:
    """How one vital figure went, from an hour before the run to its end: means of equal times, and those a week earlier.

    Both are empty where no sample is kept (any more).
    """

    name: str
    unit: str
    course: tuple[Point, ...]
    week_before: tuple[Point, ...]


@dataclass(frozen=True)
class HaltReport:
    """One stop of the run by itself, and what people decided after it."""

    at: datetime
    code: str
    rank: str
    says: str
    decisions: tuple[str, ...]


@dataclass(frozen=True)
class RequestsFailed:
    """What is known of requests that failed in connection with the run. `answer` is seen, none_seen or
    not_measurable: never a bare 0, since a balancer may not tell.
    """

    answer: str
    says: str
    source: str
    since: datetime | None
    until: datetime | None
    share: float | None


@dataclass(frozen=True)
class LessonShown:
    """What someone wants to do better next time."""

    ref: str
    text: str
    by_name: str
    at: datetime


@dataclass(frozen=True)
class Report:
    """The whole report. Server-hours are an estimate for a month of 730.5 hours."""

    ref: str
    title: str
    status: str
    is_rehearsal: bool
    account_name: str
    plan_ref: str
    digest: str
    plan_reason: str
    target_reason: str
    started_at: datetime | None
    ended_at: datetime | None
    took_s: float | None
    nodes_before: int
    nodes_after: int
    target: int
    floor: int
    retired: int
    put_back: int
    recreated: int
    server_hours_saved_per_month: float
    money_saved_per_month: Decimal | None
    """What those cost, from the account's prices; None where none is known. Images are not in it: they have no price there."""
    currency: str
    server_hours_out_of_service: float
    """How long servers were billed without serving: from leaving the pool to their deletion, or until now."""
    servers: tuple[ServerReport, ...]
    probes: tuple[ProbeReport, ...]
    vital: tuple[VitalReport, ...]
    halts: tuple[HaltReport, ...]
    approvals: tuple[DecisionShown, ...]
    requests_failed: RequestsFailed
    cannot_be_undone: str
    images: tuple[ImageShown, ...]
    peak_watch: PeakWatchShown
    lessons: tuple[LessonShown, ...]


def report(run: Run, *, for_customer: bool = False) -> Report:
    """Return a run's report. 11 queries. `for_customer` puts sentences into the customer's words."""
    whole = Run.objects.select_related("account").get(pk=run.pk)
    plan = plan_from_plain(whole.plan)
    progress = progress_from_plain(open_values([whole.progress])[0])
    probed = [f"probe:{probe.name}" for probe in plan.probes]
    sums = probe_sums(whole, probed)
    courses = course(
        whole, [*probed, *(f"connections:{way.server_id}" for way in progress.servers)], POINTS_SHOWN
    )
    entries = list(
        JournalEntry.objects.filter(
            run=whole, kind__in=["halted", "command", "command_refused", "status", *KINDS]
        ).order_by("seq")
    )
    outs = ways_out(entries)
    retired = [way for way in progress.servers if way.phase is Phase.RETIRED]
    gone = [way for way in progress.servers if way.phase in {Phase.RETIRED, Phase.GONE}]
    before = len(plan.servers) + len(plan.remaining)
    drawn_up = Plan.objects.filter(ref=whole.plan_ref).first()
    saved = _saved(drawn_up, plan, len(gone))
    return Report(
        ref=str(whole.ref),
        title=whole.title,
        status=whole.status,
        is_rehearsal=whole.is_rehearsal,
        account_name=str(whole.account),
        plan_ref=str(whole.plan_ref),
        digest=whole.digest,
        plan_reason=plan.reason,
        target_reason=plan.target_reason,
        started_at=whole.started_at,
        ended_at=whole.ended_at,
        took_s=(whole.ended_at - whole.started_at).total_seconds()
        if whole.started_at and whole.ended_at
        else None,
        nodes_before=before,
        nodes_after=before - sum(1 for way in progress.servers if _is_out(way)),
        target=plan.target,
        floor=plan.floor,
        retired=len(retired),
        recreated=sum(1 for way in progress.servers if way.phase is Phase.RECREATED),
        put_back=sum(1 for way in progress.servers if way.phase is Phase.RESTORED),
        server_hours_saved_per_month=round(len(gone) * HOURS_A_MONTH, 1),
        money_saved_per_month=saved.money,
        currency=saved.currency,
        server_hours_out_of_service=_hours_out(progress, whole.ended_at or timezone.now()),
        servers=tuple(
            _server(way, outs.get(way.server_id, ()), courses, for_customer=for_customer)
            for way in progress.servers
        ),
        probes=tuple(_probe(plan, sums, courses)),
        vital=tuple(_vital(whole, plan)),
        halts=tuple(_halts(entries, for_customer=for_customer)),
        approvals=_approvals(whole, drawn_up),
        requests_failed=requests_failed(outs, sums.values()),
        cannot_be_undone=_cannot_be_undone(plan, progress),
        images=images_shown(progress, is_over=whole.is_over, for_customer=for_customer),
        peak_watch=peak_watch_shown(plan, progress, RunStatus(whole.status), for_customer=for_customer),
        lessons=tuple(
            LessonShown(str(row.ref), row.text, str(row.written_by), row.written_at)
            for row in whole.lessons.select_related("written_by")
        ),
    )


def _saved(drawn_up: Plan | None, plan: PlanData, servers: int) -> Cost:
    if drawn_up is None or not servers:
        return cost_a_month(servers, None)
    return saved_a_month(drawn_up.account, drawn_up.connection_id, plan.balancer_ids, servers)


def _hours_out(progress: Progress, until: datetime) -> float:
    """Return for how many server-hours servers were out of the pool and there, so that they were billed."""
    spans = [
        (way.retired_at or until) - way.left_at
        for way in progress.servers
        if way.left_at is not None and _is_out(way) and way.phase is not Phase.GONE
    ]
    return round(sum(span.total_seconds() for span in spans if span > timedelta(0)) / 3600, 1)


def _is_out(way: ServerWay) -> bool:
    if way.phase is Phase.LEFT_OUT:
        return True
    return way.left_at is not None and way.phase is not Phase.QUEUED and not way.phase.is_staying


def _server(
    way: ServerWay,
    outs: Sequence[WayOut],
    courses: Mapping[str, tuple[Point, ...]],
    *,
    for_customer: bool,
) -> ServerReport:
    drain, verdict = way.drain, way.verdict
    # The way of a server that came back has forgotten how it went out.
    out = outs[-1] if outs and drain is None else None
    if out is not None:
        verdict_says = out.verdict_customer_says if for_customer else out.verdict_says
    else:
        verdict_says = "" if verdict is None else verdict.customer_says if for_customer else verdict.says
    grade = out.grade if out else drain.grade.value if drain and drain.grade else ""
    evidence = out.evidence if out else drain.evidence if drain else ""
    return ServerReport(
        server_id=way.server_id,
        server_name=way.name,
        outcome=way.phase.value,
        drain_began_at=out.began_at if out else drain.begun_at if drain else None,
        drained_at=out.drained_at if out else drain.done_at if drain else None,
        drain_grade=grade,
        drain_evidence=for_reader(evidence, _EVIDENCE.get(grade, ""), for_customer=for_customer)
        if evidence
        else "",
        connections_cut=_cut(outs)[0],
        left_pool_at=out.left_at if out else way.left_at,
        verdict=out.verdict if out else verdict.verdict.value if verdict else "",
        verdict_says=verdict_says,
        verdict_numbers=out.verdict_numbers if out else dict(verdict.numbers) if verdict else {},
        deleted_at=way.retired_at,
        nodes_left=outs[-1].nodes_left if outs else (),
        connections=courses.get(f"connections:{way.server_id}", ()),
        new_server_id=way.new_server_id,
    )


def _cut(outs: Iterable[WayOut]) -> tuple[int | None, int]:
    """Return (connections that were open when they were let be cut, how often that was not known).

    None: none was cut, or none of how many is known.
    """
    cut = [out for out in outs if out.is_cut]
    known = [out.open_then for out in cut if out.open_then is not None]
    return (sum(known) if known else None), len(cut) - len(known)


def _probe(
    plan: PlanData, sums: Mapping[str, ProbeSum], courses: Mapping[str, tuple[Point, ...]]
) -> Iterable[ProbeReport]:
    for probe in plan.probes:
        found = sums.get(f"probe:{probe.name}", ProbeSum())
        yield ProbeReport(
            name=probe.name,
            url=probe.url,
            looks=found.looks,
            failed=found.failed,
            unknown=found.unknown,
            median_ms=found.median_ms,
            p95_ms=found.p95_ms,
            slowest_ms=found.slowest_ms,
            limit_ms=probe.latency_limit_ms,
            latencies=courses.get(f"probe:{probe.name}", ()),
            slow=found.slow,
        )


def _vital(run: Run, plan: PlanData) -> Iterable[VitalReport]:
    """Yield the plan's vital figures, also those of which nothing is known: no samples are not no orders."""
    courses: dict[str, VitalCourse] = {}
    if run.started_at is not None:
        until = run.ended_at or timezone.now()
        refs = [one.metric_ref for one in plan.vital]
        courses = {
            one.metric_ref: one
            for one in vital_course(run.account, refs, run.started_at - VITAL_BEFORE, until)
        }
    for figure in plan.vital:
        course = courses.get(figure.metric_ref)
        yield VitalReport(
            figure.name,
            figure.unit,
            tuple(Point(at, value) for at, value in course.now) if course else (),
            tuple(Point(at, value) for at, value in course.week_before) if course else (),
        )


def _halts(entries: Sequence[JournalEntry], *, for_customer: bool) -> Iterable[HaltReport]:
    for index, entry in enumerate(entries):
        if entry.kind != "halted":
            continue
        after: list[tuple[str, str]] = []
        for later in entries[index + 1 :]:
            if later.kind in {"halted", "status"}:
                break  # what is asked once the run goes on is no answer to the halt
            if later.kind == "command":
                says = for_reader(later.says, later.customer_says, for_customer=for_customer)
                after.append((later.subject, says))
            elif later.kind == "command_refused":
                # What was refused decided nothing. Commands are answered in their order.
                refused = next((one for one in after if one[0] == later.subject), None)
                after = [one for one in after if one is not refused]
        yield HaltReport(
            at=entry.at,
            code=str(entry.detail.get("code", "")),
            rank=str(entry.detail.get("rank", "")),
            says=for_reader(entry.says, entry.customer_says, for_customer=for_customer),
            decisions=tuple(says for _, says in after),
        )


def _approvals(run: Run, plan: Plan | None) -> tuple[DecisionShown, ...]:
    request = services.request_of(plan) if plan is not None else None
    steps = lessened.steps_of(plan, request) if plan is not None else ()
    grown = ApprovalRequest.objects.filter(pk__in=run.growths.values("request")).order_by("pk")
    asked = [] if request is None else [("plan", request)]
    asked += [("growth", one) for one in grown.prefetch_related("decisions")]
    return tuple(
        DecisionShown(
            one.side,
            one.decision,
            one.by_name,
            one.role,
            one.reason,
            one.at,
            about=about,
            of=lessened.of_what(one.digest, steps),
        )
        for about, of in asked
        for one in of.decisions.all()
    )


def requests_failed(outs: Mapping[str, Sequence[WayOut]], sums: Iterable[ProbeSum]) -> RequestsFailed:
    """Return what can be said about failed requests: seen, none seen (by what), or not measurable here.

    `sums` are those of the plan's probes. An answer that was right and too slow is no request that failed, and is told.
    """
    cut, unknown = _cut(out for ways in outs.values() for out in ways)
    probes = list(sums)
    watched = sum(one.looks - one.unknown for one in probes)
    failed, slow = sum(one.failed for one in probes), sum(one.slow for one in probes)
    source = f"{len(probes)} check{'s' if len(probes) != 1 else ''} of the site" if watched else ""
    late = f" {slow} of {watched} answers came later than agreed." if slow else ""
    if failed or cut or unknown:
        parts = []
        if failed:
            parts.append(f"{failed} of {watched} checks of the site failed.")
        if cut:
            were = "connection was" if cut == 1 else "connections were"
            parts.append(f"{cut} open {were} cut, as a person or the plan allowed.")
        if unknown:
            parts.append(
                f"Of {unknown} server{'s' if unknown != 1 else ''} connections may have been cut, as a person or "
                "the plan allowed: how many were open is not known."
            )
        cuts = [out.cut_at for ways in outs.values() for out in ways if out.cut_at is not None]
        first = [at for at in (*cuts, *(one.failed_since for one in probes)) if at is not None]
        last = [at for at in (*cuts, *(one.failed_until for one in probes)) if at is not None]
        sources = [source] if failed else []
        sources += ["connection counts on the servers"] if cut or unknown else []
        return RequestsFailed(
            "seen",
            " ".join(parts) + late,
            ", ".join(sources),
            min(first, default=None),
            max(last, default=None),
            failed / watched if failed else None,
        )
    if not watched:
        return RequestsFailed(
            "not_measurable",
            "Not measurable here: nothing checked the site, and this balancer does not tell.",
            "",
            None,
            None,
            None,
        )
    return RequestsFailed(
        "none_seen",
        f"None seen: {_checks(watched)} answered{'' if slow else ' well'}. Visitors' own requests are not counted here.{late}",
        source,
        min(one.since for one in probes if one.since is not None),
        max(one.until for one in probes if one.until is not None),
        0.0,
    )


def _checks(count: int) -> str:
    return "1 check of the site was" if count == 1 else f"{count} checks of the site were"


def _cannot_be_undone(plan: PlanData, progress: Progress) -> str:
    retired = [way for way in progress.servers if way.phase is Phase.RETIRED]
    going = ", ".join(way.name for way in progress.servers if way.phase in {Phase.DELETING, Phase.CONFIRMING})
    if not retired and not going:
        return "Nothing was deleted."
    bare: list[str] = []
    with_image: list[str] = []
    for way in retired:
        made = images.standing_for(plan, progress, way)
        (bare if made is None or made.status != "ACTIVE" else with_image).append(way.name)
    says = []
    if with_image:
        says.append(
            f"{', '.join(with_image)} deleted, with an image: a new server can be built from it by hand, with another id "
            "and other addresses."
        )
    if bare:
        says.append(f"{', '.join(bare)} deleted, no image taken: from the portal that cannot be undone.")
    if going:
        says.append(
            f"The deletion of {going} was accepted by the provider and cannot be taken back. It was not seen to end, so what is "
            "named may live on, outside the pool."
        )
    return " ".join(says)
