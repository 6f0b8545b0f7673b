"""A live run as pages, streams and the API show it, as plain frozen values.

    live_run(run, granted=self.granted) -> LiveRun

It takes a row that `portal.access` let the caller find, and costs a constant number of queries (held by a test). A viewer
without RUN_START is a customer and reads the plainer words. Unknown is None. Times are aware UTC, durations seconds, rates
requests per second, shares 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from portal.access import Permission, roles_on
from portal.audit.subjects import open_values
from portal.frozen import replace
from portal.notify.registry import audience
from portal.runs import charge as charges
from portal.runs import registry as runs
from portal.runs.journal import database_now
from portal.runs.models import Intent, JournalEntry, Run, RunCommand, RunSample, Standstill
from portal.runs.plain import for_reader
from portal.runs.selectors import kept_waiting
from portal.runs.types import HaltRank, RunStatus
from scaledown import canonical, growths, hours, peak, services, someone, wording
from scaledown.asking import Called, Halted, Question, question_of
from scaledown.canonical import plan_from_plain
from scaledown.commands import RESTING
from scaledown.courses import Point, medians_before, newest
from scaledown.looks import guard_rps
from scaledown.offers import Offer, Situation, growable, offers
from scaledown.progress import Progress, ServerWay, progress_from_plain
from scaledown.selectors import is_customer
from scaledown.types import Phase, PlanData

POINTS_SHOWN = 240
"""How many points of a series are shown; fewer of each where there are many series."""
MOST_POINTS = 12_000


JOURNAL_SHOWN = 60


@dataclass(frozen=True)
class CountShown:
    """The connections of one server as last counted, with where it came from and how old it is.

    `connections` None is unknown, and `problem` says why.
    """

    connections: int | None
    grade: str
    source: str
    at: datetime | None
    age_s: float | None
    problem: str
    zeros: int
    zeros_needed: int
    limit_at: datetime | None


@dataclass(frozen=True)
class VerdictShown:
    """The newest verdict about the pool without this server."""

    verdict: str
    at: datetime
    says: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class Lane:
    """One server on its way out. `left_from` is, after a side exit, the phase that it had reached."""

    position: int
    server_id: str
    server_name: str
    addresses: tuple[str, ...]
    phase: str
    left_from: str
    since: datetime
    says: str
    until: datetime | None
    is_going_back: bool
    by_hand: str
    count: CountShown | None
    connections: tuple[Point, ...]
    verdict: VerdictShown | None
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class LoadShown:
    """One server's load now. `state` is `in service` or the phase of the server on its way out."""

    server_id: str
    server_name: str
    state: str
    load_rps: float | None
    share_of_ceiling: float | None
    at: datetime | None


@dataclass(frozen=True)
class ProbeShown:
    """One probe of the site as last seen. `ok` None: could not be looked at."""

    name: str
    url: str
    ok: bool | None
    latency_ms: float | None
    latency_limit_ms: float | None
    before_ms: float | None
    """Its median before the first server of this run left service; None where it was not checked before."""
    at: datetime | None
    latencies: tuple[Point, ...]
    is_slow: bool = False
    """It answered right, but later than it may: `ok` is False."""


@dataclass(frozen=True)
class ServingShown:
    """Distinct servers in service on one balancer against the floor."""

    balancer_id: str
    serving: int | None
    floor: int
    at: datetime | None
    points: tuple[Point, ...]


@dataclass(frozen=True)
class ImageShown:
    """One image that the run made. `status` is the provider's newest word, `says` the same in the viewer's words.

    `delete_on` is the day until which it is kept at least; the portal deletes none by itself.
    """

    image_id: str
    name: str
    server_id: str
    server_name: str
    status: str
    is_usable: bool
    made_at: datetime
    delete_on: datetime
    says: str


def images_shown(progress: Progress, *, is_over: bool, for_customer: bool) -> tuple[ImageShown, ...]:
    """Return the images of a run, the first one first."""
    return tuple(
        ImageShown(
            image.image_id,
            image.name,
            image.server_id,
            image.server_name,
            image.status,
            image.status == "ACTIVE",
            image.made_at,
            image.keep_until,
            for_reader(
                *wording.image_stands(image.status, of_stopped=image.of_stopped, is_over=is_over),
                for_customer=for_customer,
            ),
        )
        for image in progress.images
    )


@dataclass(frozen=True)
class GrowthShown:
    """That it was asked to grow again: by which servers, until when both sides may approve it."""

    ref: str
    servers: tuple[str, ...]
    asked_by: str
    asked_at: datetime
    until: datetime | None


@dataclass(frozen=True)
class PeakVitalShown:
    """One vital figure in a peak watch. `numbers` are those of its newest judgement, as a verdict's `vital` has them.

    Of `looked` judgements it had samples enough in `judged`; `fallen_most` is the largest share missing in one of these.
    """

    name: str
    looked: int
    judged: int
    fallen_most: float | None
    fallen_most_at: datetime | None
    allowed: float
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class PeakWatchShown:
    """How the next peak goes, or went, at the new size. `state`: watching, over, ended_early, unfinished or none.

    Requests per second, shares 0 to 1. None is not known; `says` has the whole in the viewer's words, or why there is none.
    """

    state: str
    says: str
    since: datetime | None = None
    until: datetime | None = None
    ended_at: datetime | None = None
    node_highest_rps: float | None = None
    node_highest_at: datetime | None = None
    share_of_ceiling: float | None = None
    pool_highest_rps: float | None = None
    share_of_forecast: float | None = None
    probes_known: int = 0
    probes_failed: int = 0
    probes_unknown: int = 0
    failed_first_at: datetime | None = None
    failed_last_at: datetime | None = None
    unwatched_s: float = 0.0
    vital: tuple[PeakVitalShown, ...] = ()


def peak_watch_shown(
    plan: PlanData, progress: Progress, status: RunStatus, *, for_customer: bool
) -> PeakWatchShown:
    """Return how the peak went at the new size, or why none was watched."""
    watch, state = progress.watch, peak.state_of(progress, status)
    if watch is None:
        words = peak.no_peak_watched(_why_no_watch(plan, progress, status))
        return PeakWatchShown(state, for_reader(*words, for_customer=for_customer), until=plan.watch_until)
    says = for_reader(*peak.peak_seen(plan, watch), for_customer=for_customer)
    if state == "unfinished":
        says = f"The run ended before the peak was over. {says}"
    highest, pool = watch.node_highest, watch.pool_highest
    return PeakWatchShown(
        state,
        says,
        since=watch.since,
        until=watch.until,
        ended_at=watch.ended_at,
        node_highest_rps=highest,
        node_highest_at=watch.node_highest_at,
        share_of_ceiling=highest / plan.ceiling_rps if highest is not None and plan.ceiling_rps else None,
        pool_highest_rps=pool,
        share_of_forecast=pool / plan.forecast_peak_rps
        if pool is not None and plan.forecast_peak_rps
        else None,
        probes_known=watch.probes.known,
        probes_failed=watch.probes.failed,
        probes_unknown=watch.probes.unknown,
        failed_first_at=watch.failed_first_at,
        failed_last_at=watch.failed_last_at,
        unwatched_s=watch.unwatched_s,
        vital=tuple(
            PeakVitalShown(
                way.name,
                way.looked,
                way.judged,
                way.fallen_most,
                way.fallen_most_at,
                plan.vital_fall_allowed,
                way.numbers,
            )
            for way in watch.vital
        ),
    )


def _why_no_watch(plan: PlanData, progress: Progress, status: RunStatus) -> str:
    if plan.format < canonical.came_with("watch_until"):
        return "The plan was drawn up before runs watched one."
    if plan.watch_until is None:
        return plan.unwatched_reason
    if not status.is_over:
        return "That begins once the pool is at its new size."
    if not peak.servers_out(progress):
        return "No server is out."
    if status is RunStatus.ABORTED:
        return "The run was aborted, and does not stay open."
    if progress.ended_because == "finished_here":
        return "The run was ended at this size."
    return "It was over before the pool came to its new size."


@dataclass(frozen=True)
class JournalShown:
    """One line of the journal in the viewer's words."""

    seq: int
    at: datetime
    kind: str
    subject: str
    says: str
    actor_name: str


@dataclass(frozen=True)
class CommandShown:
    """A person's command and what became of it; `accepted` None until the run has answered."""

    ref: str
    name: str
    called: str
    """The name as the viewer reads it."""
    by_name: str
    reason: str
    at: datetime
    accepted: bool | None
    answer: str
    on_the_wire: str


@dataclass(frozen=True)
class HaltShown:
    """Why the run stopped by itself, how urgent that is, and what is safe now."""

    code: str
    rank: str
    says: str
    at: datetime | None
    next_commands: tuple[str, ...]
    asked: str
    """Who is asked, and when."""
    until: datetime | None
    """When silence is taken for an answer; None: never."""
    otherwise: str
    """What happens where nobody answers."""


@dataclass(frozen=True)
class LiveRun:
    """Everything that the live page shows, the same for everyone who watches."""

    ref: str
    title: str
    status: str
    is_over: bool
    is_rehearsal: bool
    plan_ref: str
    digest: str
    account_name: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    looked_at: datetime | None
    """When the pool was last seen whole."""
    says: str
    """What happens now or is waited for."""
    until: datetime | None
    next_says: str
    in_charge: str | None
    in_charge_ref: str | None
    charge_until: datetime | None
    """Until when; None: until the run is over."""
    backup: str | None
    halt: HaltShown | None
    standstill: str | None
    on_the_wire: str
    target: int
    floor: int
    ceiling_rps: float | None
    guard_rps: float | None
    forecast_peak_rps: float | None
    pool_load_rps: float | None
    retired: int
    total: int
    lanes: tuple[Lane, ...]
    loads: tuple[LoadShown, ...]
    probes: tuple[ProbeShown, ...]
    serving: tuple[ServingShown, ...]
    offers: tuple[Offer, ...]
    """Commands of the whole run that make sense now and the viewer may give."""
    commands: tuple[CommandShown, ...]
    journal: tuple[JournalShown, ...]
    seq: int
    """The newest journal entry: a stream goes on after it."""
    is_overdue: bool
    is_put_off: bool
    """Whether it waits until the workers have looked at runs of which something is out."""
    cannot_go_on: str = ""
    """Why a run that rests is not offered to go on, to a viewer who could resume it; "" otherwise."""
    images: tuple[ImageShown, ...] = ()
    peak_watch: PeakWatchShown | None = None
    """How the peak goes while, or after, the run stays open for it; None while it does not."""
    cannot_take_charge: str = ""
    """Why nobody can take charge now, for the run would go on by it; "" otherwise."""
    growable: tuple[str, ...] = ()
    """Names of deleted servers by which it can be asked to grow again, the one that would come back first at the front."""
    growth: GrowthShown | None = None
    """What was asked for and waits for approval."""
    is_aborting: bool = False
    """Whether what is out goes back by itself, and the run ends then: nobody is to decide, also where it has halted."""
    held_version: str = ""
    """Of what holds a run that rests: whoever overrides it sends it along, as what they read; "" while nothing does."""


@dataclass(frozen=True)
class _Series:
    """The samples of a run, by series, in order of time."""

    rows: Mapping[str, Sequence[RunSample]] = field(default_factory=dict)
    most: int = POINTS_SHOWN

    def is_whole(self, name: str) -> bool:
        """Whether nothing older is kept than what was read."""
        return len(self.rows.get(name, ())) < self.most

    def points(self, name: str) -> tuple[Point, ...]:
        return tuple(Point(row.at, row.value) for row in self.rows.get(name, ()))

    def last(self, name: str) -> RunSample | None:
        rows = self.rows.get(name)
        return rows[-1] if rows else None


def _series(run: Run, plan: PlanData) -> _Series:
    names = [f"connections:{server.server_id}" for server in plan.servers]
    names += [f"probe:{probe.name}" for probe in plan.probes]
    names += [f"serving:{balancer_id}" for balancer_id in plan.balancer_ids]
    most = min(POINTS_SHOWN, MOST_POINTS // len(names))
    return _Series(newest(run, names, most), most)


def live_run(run: Run, *, granted: frozenset[Permission]) -> LiveRun:
    """Return what the live page shows. 7 queries, whatever the run holds; one more where it is older than its newest points and nothing is held against the time before; one more where it waits for its turn; one more where it can grow again, at most 10 more
    while it rests, and nine a balancer where an event is near or a rise is on then.
    """
    whole = Run.objects.select_related("account", "in_charge", "backup").get(pk=run.pk)
    now = database_now()
    # Whose time is over is in charge no more, whether that was written down yet or not.
    charge = whole.in_charge if whole.is_over or whole.has_somebody(now) else None
    customer = is_customer(granted)
    plan = plan_from_plain(whole.plan)
    progress = progress_from_plain(open_values([whole.progress])[0])
    series = _series(whole, plan)
    is_overdue, is_put_off = kept_waiting(whole, now)
    tail = list(JournalEntry.objects.filter(run=whole).order_by("-seq")[:JOURNAL_SHOWN])
    given = list(RunCommand.objects.filter(run=whole).order_by("-seq")[:20])
    standing = (
        Standstill.objects.filter(scope__in=whole.scopes, lifted_at__isnull=True).order_by("at").first()
    )
    wire = _on_the_wire(whole)
    halted = whole.status == RunStatus.HALTED
    situation = Situation(
        RunStatus(whole.status),
        plan,
        progress,
        _being_deleted(wire),
        stands_still=standing is not None,
        is_rehearsal=whole.is_rehearsal,
        **services.what_holds_back(whole, now),
    )
    now_offers = tuple(
        replace(offer, label=offer.customer_label, leaves=offer.customer_leaves) if customer else offer
        for offer in offers(situation)
        if offer.permission in granted
    )
    names_growable = tuple(way.name for way in growable(situation))
    return LiveRun(
        ref=str(whole.ref),
        title=whole.title,
        status=whole.status,
        is_over=whole.is_over,
        is_rehearsal=whole.is_rehearsal,
        plan_ref=str(whole.plan_ref),
        digest=whole.digest,
        account_name=str(whole.account),
        created_at=whole.created_at,
        started_at=whole.started_at,
        ended_at=whole.ended_at,
        looked_at=progress.sighted_at,
        says=for_reader(progress.says, progress.customer_says, for_customer=customer),
        is_aborting=bool(progress.aborting) and not whole.is_over,
        until=progress.until,
        next_says=next_says(whole, progress, for_customer=customer),
        in_charge=str(charge) if charge else None,
        in_charge_ref=str(charge.ref) if charge else None,
        charge_until=whole.charge_until if charge else None,
        backup=str(whole.backup) if whole.backup else None,
        halt=_halt_shown(whole, _question(whole, plan, progress, now, wire), for_customer=customer)
        if halted
        else None,
        standstill=(standing.says_to_all if customer else standing.says) if standing else None,
        on_the_wire=_wire_says(wire, for_customer=customer),
        target=plan.target,
        floor=plan.floor,
        ceiling_rps=plan.ceiling_rps,
        guard_rps=guard_rps(plan),
        forecast_peak_rps=plan.forecast_peak_rps,
        pool_load_rps=progress.pool_load,
        retired=sum(1 for way in progress.servers if way.phase is Phase.RETIRED),
        total=len(progress.servers),
        lanes=tuple(_lanes(plan, progress, series, now_offers, now, for_customer=customer)),
        loads=tuple(_loads(plan, progress, series)),
        probes=tuple(_probes(plan, series, _before(whole, plan, progress, series, now))),
        serving=tuple(_serving(plan, series)),
        offers=tuple(offer for offer in now_offers if offer.server_id is None),
        commands=tuple(_command_shown(row, for_customer=customer) for row in given),
        journal=tuple(journal_shown(entry, for_customer=customer) for entry in tail),
        seq=whole.seq,
        is_overdue=is_overdue,
        is_put_off=is_put_off and whole.status == RunStatus.RUNNING and standing is None,
        images=images_shown(progress, is_over=whole.is_over, for_customer=customer),
        peak_watch=peak_watch_shown(plan, progress, RunStatus(whole.status), for_customer=customer)
        if progress.watch is not None
        else None,
        cannot_go_on=_cannot_go_on(situation, now_offers, granted),
        cannot_take_charge=someone.holding(whole, now) if charges.waits_for_somebody(whole, now) else "",
        growable=names_growable,
        growth=_growth_shown(whole) if names_growable else None,
        held_version=situation.held_version,
    )


def _growth_shown(run: Run) -> GrowthShown | None:
    """Return what was asked for and waits for approval, or None. One query."""
    growth = growths.open_growth(run)
    if growth is None:
        return None
    names = tuple(server.name for server in growths.data_of(growth).servers)
    return GrowthShown(
        str(growth.ref), names, str(growth.asked_by), growth.asked_at, growth.request.expires_at
    )


def _question(run: Run, plan: PlanData, progress: Progress, now: datetime, wire: Intent | None) -> Question:
    """Return what a halted run asks. At most 4 queries: nobody is named who was not told."""
    rank, charge = HaltRank(run.halt_rank), run.in_charge if run.has_somebody(now) else None
    called = Called.NOBODY
    if rank is HaltRank.SITE_IN_DANGER and not run.is_rehearsal:
        called = next(
            (one for one in (Called.EMERGENCY, Called.APPROVERS) if audience(one, run.account)), called
        )
    return question_of(
        progress,
        Halted(
            rank,
            now,
            at=run.halted_at,
            window_end=hours.closes_at(plan, run.halted_at or now),
            in_charge=str(charge) if charge is not None and roles_on(charge, run.account) else None,
            is_rehearsal=run.is_rehearsal,
            deleting=_being_deleted(wire),
            called=called,
        ),
    )


def asked_by(run: Run) -> runs.Asked:
    """Return what a run that has just halted asks, for whoever tells people: the same sentences as on its page."""
    progress = progress_from_plain(open_values([run.progress])[0])
    found = _question(run, plan_from_plain(run.plan), progress, database_now(), _on_the_wire(run))
    return runs.Asked(
        found.asked.says,
        found.asked.customer_says,
        found.until,
        found.otherwise.says,
        found.otherwise.customer_says,
    )


def _on_the_wire(run: Run) -> Intent | None:
    """Return the change that was sent and has no known end, or None."""
    return Intent.objects.filter(run=run, sent_at__isnull=False, finished_at__isnull=True).first()


def _wire_says(wire: Intent | None, *, for_customer: bool) -> str:
    """Return what is on its way to the provider, or ""."""
    if wire is None:
        return ""
    return for_reader(str(wire), str(wire.action.get("customer_says", "")), for_customer=for_customer)


def _halt_shown(run: Run, question: Question, *, for_customer: bool) -> HaltShown:
    return HaltShown(
        run.halt_code,
        run.halt_rank,
        for_reader(run.halt_says, run.halt_customer_says, for_customer=for_customer),
        run.halted_at,
        tuple(run.halt_next_commands),
        for_reader(question.asked.says, question.asked.customer_says, for_customer=for_customer),
        question.until,
        for_reader(question.otherwise.says, question.otherwise.customer_says, for_customer=for_customer),
    )


def _cannot_go_on(now: Situation, found: Iterable[Offer], granted: frozenset[Permission]) -> str:
    """Return why a run that rests cannot be let go on by this viewer, or ""."""
    is_offered = any(offer.name == "resume" for offer in found)
    if now.status not in RESTING or is_offered or Permission.RUN_COMMAND not in granted:
        return ""
    if now.nobody_to_call or not now.freeze:
        return now.nobody_to_call or now.progress.cannot.get("resume", "")
    return f"{now.freeze} A lead may override it, with a reason."


def _being_deleted(wire: Intent | None) -> str:
    """Return the id of the server whose deletion is on the wire or in doubt, or ""."""
    if wire is None or wire.action.get("name") != "delete_server":
        return ""
    return str(wire.action.get("target", ""))


def journal_shown(entry: JournalEntry, *, for_customer: bool) -> JournalShown:
    """Return a journal line in the viewer's words."""
    return JournalShown(
        entry.seq,
        entry.at,
        entry.kind,
        entry.subject,
        for_reader(entry.says, entry.customer_says, for_customer=for_customer),
        entry.actor_name,
    )


def _command_shown(row: RunCommand, *, for_customer: bool) -> CommandShown:
    called, answer, wire = (
        for_reader(says, "", for_customer=for_customer)
        for says in (row.name.replace("_", " "), row.answer, row.on_the_wire)
    )
    return CommandShown(
        str(row.ref), row.name, called, row.by_name, row.reason, row.at, row.accepted, answer, wire
    )


def next_says(run: Run, progress: Progress, *, for_customer: bool) -> str:
    """Return what comes after what happens now, or "" if nothing does: after an abort nothing is deleted any more."""
    if (
        run.is_over
        or run.status in {RunStatus.PAUSED, RunStatus.HALTED}
        or progress.aborting
        or progress.rolling_back
    ):
        return ""
    queued = next((way for way in progress.servers if way.phase is Phase.QUEUED), None)
    if queued is not None:
        return f"Next: {queued.name}."
    held = next((w for w in progress.servers if w.phase is Phase.HELD and w.put_back is None), None)
    if held is not None:
        return (
            f"Next: {held.name} is deleted."
            if not for_customer
            else f"Next: {held.name} is deleted for good."
        )
    if progress.watch is not None and progress.watch.ended_at is None and not peak.is_watching(progress):
        return f"Next: the peak is watched until {wording.clock(progress.watch.until)}."
    return ""


def _lanes(
    plan: PlanData,
    progress: Progress,
    series: _Series,
    now_offers: Iterable[Offer],
    now: datetime,
    *,
    for_customer: bool,
) -> Iterable[Lane]:
    planned = {server.server_id: server for server in plan.servers}
    by_server: dict[str, list[Offer]] = {}
    for offer in now_offers:
        if offer.server_id is not None:
            by_server.setdefault(offer.server_id, []).append(offer)
    for position, way in enumerate(progress.servers, start=1):
        verdict = way.verdict
        yield Lane(
            position=position,
            server_id=way.server_id,
            server_name=way.name,
            addresses=planned[way.server_id].addresses if way.server_id in planned else (),
            phase=way.phase.value,
            left_from=_left_from(way),
            since=way.since,
            says=for_reader(way.says, way.customer_says, for_customer=for_customer),
            until=way.until,
            is_going_back=way.put_back is not None,
            by_hand=_by_hand(way, for_customer=for_customer),
            count=_count(way, plan, now),
            connections=series.points(f"connections:{way.server_id}"),
            verdict=VerdictShown(
                verdict.verdict.value,
                verdict.at,
                for_reader(verdict.says, verdict.customer_says, for_customer=for_customer),
                dict(verdict.numbers),
            )
            if verdict is not None
            else None,
            offers=tuple(by_server.get(way.server_id, [])),
        )


def _by_hand(way: ServerWay, *, for_customer: bool) -> str:
    if not way.by_hand:
        return ""
    return wording.foreign_change(way.by_hand).customer_says if for_customer else way.by_hand


def _left_from(way: ServerWay) -> str:
    if way.phase not in {Phase.SKIPPED, Phase.RESTORED} and not way.phase.is_let_go:
        return ""
    if way.phase is Phase.RESTORED and way.back_from is not None:
        return way.back_from.value  # the way itself forgets how it went out: the next time begins anew
    if way.imaging is not None:
        return Phase.IMAGING.value
    if way.held_at is not None:
        return Phase.HELD.value
    if way.left_at is not None:
        return Phase.VERIFYING.value
    return Phase.DRAINING.value if way.drain is not None else Phase.QUEUED.value


def _count(way: ServerWay, plan: PlanData, now: datetime) -> CountShown | None:
    drain = way.drain
    if drain is None:
        return None
    return CountShown(
        connections=drain.connections,
        grade=drain.grade.value if drain.grade is not None else ("measured" if plan.count_kind else "timed"),
        source=drain.source,
        at=drain.sampled_at,
        age_s=max(0.0, (now - drain.sampled_at).total_seconds()) if drain.sampled_at else None,
        problem=drain.problem or "",
        zeros=drain.zeros,
        zeros_needed=plan.zeros_needed,
        limit_at=drain.limit_at,
    )


def _loads(plan: PlanData, progress: Progress, series: _Series) -> Iterable[LoadShown]:
    phases = {way.server_id: way.phase for way in progress.servers}
    for server in (*plan.remaining, *plan.servers):
        phase = phases.get(server.server_id)
        if phase is not None and (phase.is_gone or phase in {Phase.CONFIRMING, Phase.DELETING}):
            continue
        serves = phase in {None, Phase.QUEUED, Phase.SKIPPED, Phase.RESTORED}
        meter = progress.meters.get(server.server_id)
        load = meter.rps if meter is not None else None
        yield LoadShown(
            server_id=server.server_id,
            server_name=server.name,
            state="in service" if serves or phase is None else phase.value,
            load_rps=load,
            share_of_ceiling=load / plan.ceiling_rps if load is not None and plan.ceiling_rps else None,
            at=meter.rps_at if meter is not None else None,
        )


def _before(
    run: Run, plan: PlanData, progress: Progress, series: _Series, now: datetime
) -> Mapping[str, float]:
    """Return how long each probe took before the first server left: what verdicts are held against, else what was seen by then."""
    kept = {} if progress.before is None else progress.before.latency_ms
    found = {f"probe:{name}": median(values) for name, values in kept.items() if values}
    first = min((way.drain.begun_at for way in progress.servers if way.drain is not None), default=now)
    unread = []
    for name in (f"probe:{probe.name}" for probe in plan.probes):
        seen = [one.value for one in series.points(name) if one.value is not None and one.at < first]
        if name not in found and series.is_whole(name) and seen:
            found[name] = median(seen)
        elif name not in found and not series.is_whole(name):
            unread.append(name)
    return {**found, **medians_before(run, unread, first)} if unread else found


def _probes(plan: PlanData, series: _Series, before: Mapping[str, float]) -> Iterable[ProbeShown]:
    for probe in plan.probes:
        name = f"probe:{probe.name}"
        last = series.last(name)
        yield ProbeShown(
            name=probe.name,
            url=probe.url,
            ok=last.detail.get("ok") if last is not None else None,
            latency_ms=last.value if last is not None else None,
            latency_limit_ms=probe.latency_limit_ms,
            before_ms=before.get(name),
            at=last.at if last is not None else None,
            latencies=series.points(name),
            is_slow=bool(last is not None and last.detail.get("slow")),
        )


def _serving(plan: PlanData, series: _Series) -> Iterable[ServingShown]:
    for balancer_id in plan.balancer_ids:
        name = f"serving:{balancer_id}"
        last = series.last(name)
        yield ServingShown(
            balancer_id=balancer_id,
            serving=int(last.value) if last is not None and last.value is not None else None,
            floor=plan.floor,
            at=last.at if last is not None else None,
            points=series.points(name),
        )
