"""Down to how many servers, and the plan as it will be approved. Pure.

In: what the author chose (`Choice`), what was just read of the provider (`Pool`), what the portal knows
(`Known`). Out: a proposed size with its reason and the plan (`PlanData`). Source: spec "From event to plan".
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from capacity.status_url import filled
from portal.cloud.discovery import serves
from portal.cloud.types import Balancer
from portal.errors import Refused
from scaledown import alarms
from scaledown.candidates import MOST_VITAL, MOST_WINDOWS, Candidates, Choice, Known, Member, Pool, candidates
from scaledown.types import (
    PEAK_SPARE_S,
    PLAN_FORMAT,
    ImageRule,
    PlanData,
    PlannedNode,
    PlannedServer,
    PlannedVital,
    PlannedWindow,
)

KEEP_ALIVE_MARGIN_S = 5.0
"""Counters can read a false zero right after the change, and idle keep-alive sockets outlive a request."""
DRAIN_SPARE_S = 10.0
"""Added to the shortest drain: time to count a server empty that is so at once, before anybody is asked."""
PEAK_NEAR_S = 48 * 3600.0
"""Up to this far ahead a peak is proposed to be held through: a held server is billed."""
WATCH_NEAR_S = 7 * 24 * 3600.0
"""Up to this far ahead a peak is proposed to be watched: the pool takes no other work until it is over."""
STOP_S = 900.0
"""How long a server is stopped before it is deleted where nothing can show that it is idle (spec, *The way of one server*)."""
PAUSE_S = 60.0
LONGEST_PAUSE_S = 43_200.0
LONGEST_STOP_S = 7 * 86_400.0
SHORTEST_KEPT_S, LONGEST_KEPT_S = 86_400.0, 366 * 86_400.0
_SATURDAY = 5
SHORTEST_REASON = 10
"""Characters of a written reason; shorter ones explain nothing."""


@dataclass(frozen=True)
class Proposal:
    """A proposed size of the pool with its reason. `basis` is sizing, before_event or nothing_known."""

    count: int
    basis: str
    says: str


def share_of_ceiling(peak_rps: float | None, nodes: int, ceiling_rps: float | None) -> float | None:
    """Return the load of one of `nodes` nodes at `peak_rps` as a share of the ceiling; None if unknown."""
    if peak_rps is None or ceiling_rps is None:
        return None
    if nodes <= 0:
        return math.inf
    return peak_rps / nodes / ceiling_rps


def most_on_one_host(members: Iterable[Member]) -> int:
    """Return how many of these servers one physical host takes down with it (unknown hosts count alone)."""
    hosts = [member.server.host_id or f"?{member.server.id}" for member in members]
    return max(Counter(hosts).values(), default=0)


def serving_after(found: Candidates, removed: int) -> tuple[Member, ...]:
    """Return the servers in service once the first `removed` of the order have left."""
    gone = {member.server.id for member in found.order[:removed]}
    return tuple(member for member in found.members if member.is_serving and member.server.id not in gone)


def propose_target(choice: Choice, found: Candidates, known: Known) -> Proposal:
    """Return the size to go down to and why.

    With ceiling and forecast: the fewest servers with which every size from now down to it carries the
    forecast peak within the guard share, and under the ceiling without any one physical host. Without
    them: the count before the event. Never fewer than the floor or than what must stay.
    """
    lowest = max(choice.floor, found.serving - len(found.order), 1)
    lowest = min(lowest, found.serving)
    if known.ceiling_rps is not None and known.forecast_peak_rps is not None:
        return _sized(choice, found, known, lowest, known.ceiling_rps, known.forecast_peak_rps)
    if known.added:
        return _before_event(found, known, lowest)
    return Proposal(
        found.serving,
        "nothing_known",
        "The most that one server carries, the forecast peak and the scale-up record are all unknown: "
        "the size stays until a person chooses.",
    )


def _sized(
    choice: Choice, found: Candidates, known: Known, lowest: int, ceiling_rps: float, peak_rps: float
) -> Proposal:
    count = found.serving
    while count > lowest and _carries(found, count - 1, ceiling_rps, peak_rps, choice.guard_share):
        count -= 1
    left = serving_after(found, found.serving - count)
    worst = most_on_one_host(left)
    share = share_of_ceiling(peak_rps, count, ceiling_rps)
    lost = share_of_ceiling(peak_rps, count - worst, ceiling_rps)
    assert share is not None
    assert lost is not None
    carries = f"{so_many_servers(count)} {'carry' if share <= 1.0 else 'do not carry'} the forecast peak of {peak_rps:g}"
    says = (
        f"{carries} requests/s{' at' if share <= 1.0 else ', which is'} {share:.0%} of the most "
        f"that each carries ({ceiling_rps:g} requests/s, {known.ceiling_source or 'source not noted'}), "
    )
    says += (
        f"and at {lost:.0%} should the host with {so_many_servers(worst)} fail."
        if math.isfinite(lost)
        else "and nothing would be left should their one host fail."
    )
    if count == lowest and count > choice.floor:
        says += f" The other {so_many_servers(found.serving - len(found.order))} must stay."
    elif count == choice.floor and count < found.serving:
        says += f" Never fewer than {choice.floor}, as this plan says."
    return Proposal(count, "sizing", says)


def _carries(found: Candidates, count: int, ceiling_rps: float, peak_rps: float, guard: float) -> bool:
    left = serving_after(found, found.serving - count)
    without_host = count - most_on_one_host(left)
    within = peak_rps <= count * ceiling_rps * guard
    return within and without_host > 0 and peak_rps <= without_host * ceiling_rps


def _before_event(found: Candidates, known: Known, lowest: int) -> Proposal:
    added = {entry.server_id for entry in known.added}
    before = sum(1 for member in found.members if member.is_serving and member.server.id not in added)
    return Proposal(
        max(before, lowest),
        "before_event",
        f"{so_many_servers(before)} served before {known.event_name or 'the event'}; "
        "the most that one server carries and the forecast peak, to size it by, are not both known.",
    )


def so_many_servers(count: int) -> str:
    return f"{count} server" if count == 1 else f"{count} servers"


def least_drain_s(balancers: Iterable[Balancer]) -> float:
    """Return the shortest minimum drain that is allowed: the longest balancer timeout plus the margin."""
    return max((float(balancer.timeout_s) for balancer in balancers), default=0.0) + KEEP_ALIVE_MARGIN_S


def check_balancers(balancer_ids: Sequence[str]) -> None:
    """Raise Refused, with a sentence, for no load balancer, or for one that is named twice."""
    if not balancer_ids:
        raise Refused("Choose the load balancer of the pool first.", code="no_balancer")
    twice = sorted(ref for ref, times in Counter(balancer_ids).items() if times > 1)
    if twice:
        raise Refused(
            f"Load balancer {', '.join(twice)} is named more than once. Name each once.",
            code="balancer_twice",
        )


def check_choice(choice: Choice) -> None:
    """Raise Refused, with a sentence, for a choice that can make no plan."""
    check_balancers(choice.balancer_ids)
    if choice.floor < 1:
        raise Refused("The floor is at least 1 server: with none the site is down.", code="floor_too_low")
    if choice.target is not None and choice.target < choice.floor:
        raise Refused(
            f"The target of {so_many_servers(choice.target)} is below the floor of {choice.floor}. "
            "Raise the target, or lower the floor if that is really meant.",
            code="target_below_floor",
        )
    if choice.zeros_needed < 3:
        raise Refused(
            "A drain ends after at least 3 looks in a row that saw no connection.", code="zeros_too_few"
        )
    for name, value in (
        ("drain limit", choice.drain_limit_s),
        ("soak", choice.soak_s),
    ):
        if not value > 0:
            raise Refused(f"The {name} must be longer than 0 seconds.", code="duration_not_positive")
    if choice.min_drain_s is not None and choice.min_drain_s > choice.drain_limit_s:
        raise Refused(
            "The shortest drain is longer than the drain limit: no drain could ever end.",
            code="drain_never_ends",
        )
    for name, value in (("hold", choice.hold_s), ("pause between servers", choice.pause_between_s or 0.0)):
        if value < 0:
            raise Refused(f"The {name} cannot be negative.", code="duration_negative")
    if choice.stop_s is not None and not 0 <= choice.stop_s <= LONGEST_STOP_S:
        raise Refused(
            "A server is stopped for at most 7 days before it is deleted.", code="stop_out_of_range"
        )
    if choice.images is not ImageRule.NONE and not SHORTEST_KEPT_S <= choice.images_kept_s <= LONGEST_KEPT_S:
        raise Refused(
            "Images are kept for 1 day at least and 1 year at most.", code="images_kept_out_of_range"
        )
    if not 0 <= choice.probe_failures_allowed < 1:
        raise Refused("The share of probes that may fail is from 0 to below 1.", code="share_out_of_range")
    if choice.slower_allowed is not None and not 0 <= choice.slower_allowed <= 10:
        raise Refused("How much slower answers may get is from 0 to 1000 %.", code="share_out_of_range")
    if not 0 <= choice.vital_fall_allowed < 1:
        raise Refused("How far vital figures may fall is from 0 to below 100 %.", code="share_out_of_range")
    if choice.vital is not None and len(set(choice.vital)) > MOST_VITAL:
        raise Refused(
            f"At most {MOST_VITAL} vital figures are looked at: choose those that matter most.",
            code="too_many_vital",
        )
    if not 0 < choice.guard_share <= 1:
        raise Refused("The guard is a share of the ceiling above 0 and up to 1.", code="share_out_of_range")
    if choice.window_start and choice.window_end and choice.window_end <= choice.window_start:
        raise Refused("The change window ends before it starts.", code="window_backwards")
    if not 1 <= choice.window_days <= MOST_WINDOWS:
        raise Refused(f"The window comes on 1 to {MOST_WINDOWS} days.", code="window_days_out_of_range")
    if choice.window_days > 1:
        _check_later_windows(choice)


def _check_later_windows(choice: Choice) -> None:
    if choice.window_start is None or choice.window_end is None:
        raise Refused(
            "A window that comes on several days needs a beginning and an end. Enter both, or let it come once.",
            code="window_open",
        )
    if choice.window_end - choice.window_start >= timedelta(days=1):
        raise Refused(
            "A window that comes on several days is shorter than a day. Make it shorter, or let it come once.",
            code="window_too_long",
        )


def later_windows(choice: Choice, zone: str) -> tuple[PlannedWindow, ...]:
    """Return the windows of later days: at the same times of day in the account's zone, also where clocks change between.

    Working days are Monday to Friday; a window that begins on a Saturday or Sunday comes on all days.
    """
    start, end = choice.window_start, choice.window_end
    if start is None or end is None or choice.window_days <= 1:
        return ()
    here = ZoneInfo(zone)
    opens, closes = start.astimezone(here), end.astimezone(here)
    every_day = choice.window_weekends or opens.weekday() >= _SATURDAY
    found: list[PlannedWindow] = []
    for days in itertools.count(1):
        if len(found) == choice.window_days - 1:
            return tuple(found)
        later = timedelta(days=days)
        if every_day or (opens + later).weekday() < _SATURDAY:
            found.append(PlannedWindow((opens + later).astimezone(UTC), (closes + later).astimezone(UTC)))
    raise AssertionError("days do not end")


def hold_through(choice: Choice, known: Known, at: datetime) -> datetime | None:
    """Return until when servers are held so that the next peak passes without them, or None.

    Proposed where the time of the next peak is known and near. Raises Refused where it is asked for and not known.
    """
    is_known = known.peak_at is not None and known.peak_at > at
    if choice.hold_through_peak is False or (choice.hold_through_peak is None and not is_known):
        return None
    if known.peak_at is None or not is_known:
        raise Refused(
            "When the next peak is expected is not known, so servers cannot be held through it. Enter its time with the "
            "figures of the pool, or say for how many hours they are held.",
            code="peak_unknown",
        )
    is_near = (known.peak_at - at).total_seconds() <= PEAK_NEAR_S
    if choice.hold_through_peak is None and not is_near:
        return None
    return known.peak_at + timedelta(seconds=PEAK_SPARE_S)


def watch_until(choice: Choice, known: Known, at: datetime) -> tuple[datetime | None, str]:
    """Return until when the run watches the next peak at its new size, or None with the reason why it does not.

    Proposed where the time of the next peak is known and within a week. Raises Refused where it is asked for and not known.
    """
    is_known = known.peak_at is not None and known.peak_at > at
    if choice.peak_watch is False:
        return None, "The plan was drawn up without one."
    if known.peak_at is None or not is_known:
        if choice.peak_watch:
            raise Refused(
                "When the next peak is expected is not known, so it cannot be watched. Enter its time with the figures of the "
                "pool, or leave the watch out.",
                code="peak_unknown",
            )
        return None, "When the next peak is expected was not known."
    is_near = (known.peak_at - at).total_seconds() <= WATCH_NEAR_S
    if choice.peak_watch is None and not is_near:
        return None, f"The next peak was more than a week ahead ({known.peak_at:%d %b %Y %H:%M} UTC)."
    return known.peak_at + timedelta(seconds=PEAK_SPARE_S), ""


def vital_figures(choice: Choice, known: Known) -> tuple[PlannedVital, ...]:
    """Return the vital figures that verdicts look at. Raises Refused for one that the account does not name as vital."""
    figures = {one.figure.metric_ref: one.figure for one in known.vital}
    if choice.vital is None:
        return tuple(figures.values())[:MOST_VITAL]
    if unknown := [ref for ref in choice.vital if ref not in figures]:
        raise Refused(
            f"{', '.join(unknown)} is no vital figure of this account, or one of which less is better. Choose another one, or name it first.",
            code="vital_unknown",
        )
    return tuple(figure for ref, figure in figures.items() if ref in choice.vital)


def proposed_stop_s(known: Known) -> float:
    """Return how long a server is stopped before its deletion where the author leaves it open.

    A server that is out of the pool may still be used past the balancer. Where no status URL can show that it is idle,
    stopping it shows it: whoever needs it misses it while it can still be started.
    """
    return STOP_S if known.count_kind is None else 0.0


def proposed_pause_s(known: Known, removed: int, at: datetime) -> float:
    """Return the pause between two servers where the author leaves it open.

    While the traffic of an event still goes away they leave evenly until it is gone: no faster than it, which falls fast at
    first and slowly later.
    """
    if known.decay is None:
        return PAUSE_S
    left_s = (known.decay.gone_at - at).total_seconds()
    return max(PAUSE_S, min(left_s / removed, LONGEST_PAUSE_S))


def build_plan_data(choice: Choice, pool: Pool, known: Known) -> PlanData:
    """Return the plan as it would be approved, from a fresh look. Raises Refused with what is in the way.

    The servers are the first of the order, as many as lie between the servers in service now and the
    target; nothing that is excluded is ever among them.
    """
    check_choice(choice)
    _check_pool(choice, pool)
    found = candidates(choice, pool, known)
    proposal = propose_target(choice, found, known)
    target = choice.target if choice.target is not None else proposal.count
    removed = found.serving - target
    if removed <= 0:
        raise Refused(
            f"{so_many_servers(found.serving)} are in service and the target is {target}: there is nothing to take out.",
            code="nothing_to_do",
        )
    if removed > len(found.order):
        raise Refused(_too_few(found, removed), code="too_few_candidates")
    for balancer in pool.balancers:
        left = _serving_on(balancer.id, found.members, found.order[:removed])
        if left < choice.floor:
            raise Refused(
                f"Load balancer {balancer.name} would keep {so_many_servers(left)} in service; "
                f"the floor is {choice.floor}. Choose a higher target.",
                code="below_floor",
            )
    gone = found.order[:removed]
    stays = [member for member in found.members if member not in gone]
    watched, unwatched_reason = watch_until(choice, known, pool.looked_at)
    vital = vital_figures(choice, known)
    min_drain_s = max(choice.min_drain_s or 0.0, least_drain_s(pool.balancers))
    return PlanData(
        format=PLAN_FORMAT,
        account_ref=known.account_ref,
        connection_ref=known.connection_ref,
        provider=pool.identity.provider,
        identity_url=pool.identity.identity_url,
        tenant=pool.identity.tenant,
        region=pool.identity.region,
        balancer_ids=tuple(choice.balancer_ids),
        servers=tuple(_planned(member, known) for member in gone),
        remaining=tuple(_planned(member, known) for member in stays),
        strays=tuple(
            sorted(f"{stray.balancer_id}/{stray.node.address}:{stray.node.port}" for stray in found.strays)
        ),
        target=target,
        target_reason=_target_reason(choice, target, proposal),
        floor=choice.floor,
        order=choice.order,
        min_drain_s=min_drain_s,
        drain_limit_s=max(choice.drain_limit_s, min_drain_s + DRAIN_SPARE_S),
        at_limit=choice.at_limit,
        accepted_grade=choice.accepted_grade,
        zeros_needed=choice.zeros_needed,
        soak_s=choice.soak_s,
        hold_s=choice.hold_s,
        pause_between_s=proposed_pause_s(known, removed, pool.looked_at)
        if choice.pause_between_s is None
        else choice.pause_between_s,
        probes=known.probes,
        probe_failures_allowed=choice.probe_failures_allowed,
        count_kind=known.count_kind,
        ceiling_rps=known.ceiling_rps,
        ceiling_source=known.ceiling_source,
        forecast_peak_rps=known.forecast_peak_rps,
        guard_share=choice.guard_share,
        slower_allowed=choice.slower_allowed,
        objective=known.objective,
        baselines=known.baselines,
        fine_load_rps=known.fine_load_rps,
        fine_load_source=known.fine_load_source,
        window_start=choice.window_start,
        window_end=choice.window_end,
        later_windows=later_windows(choice, known.zone),
        is_unattended=choice.is_unattended,
        reason=choice.reason,
        lifted=tuple(sorted(set(choice.lifted) & {member.server.id for member in gone})),
        hold_through=hold_through(choice, known, pool.looked_at),
        watch_until=watched,
        unwatched_reason=unwatched_reason,
        vital=vital,
        vital_fall_allowed=choice.vital_fall_allowed if vital else 0.0,
        no_vital_reason="" if vital else choice.no_vital_reason.strip(),
        alarms=alarms.known_of(pool),
        stop_s=proposed_stop_s(known) if choice.stop_s is None else choice.stop_s,
        images=choice.images,
        images_kept_s=0.0 if choice.images is ImageRule.NONE else choice.images_kept_s,
        remaining_reason=choice.target_reason if target < proposal.count else "",
    )


def _target_reason(choice: Choice, target: int, proposal: Proposal) -> str:
    if target == proposal.count:
        return proposal.says
    why = choice.target_reason.strip().rstrip(".")
    chosen = f"Chosen by a person: {why}." if why else "Chosen by a person."
    return f"{chosen} Proposed were {proposal.count}: {proposal.says}"


def _check_pool(choice: Choice, pool: Pool) -> None:
    seen = {balancer.id for balancer in pool.balancers}
    missing = [balancer_id for balancer_id in choice.balancer_ids if balancer_id not in seen]
    if missing:
        raise Refused(
            f"Load balancer {', '.join(missing)} was not found at the provider. Choose another one.",
            code="balancer_missing",
        )


def _too_few(found: Candidates, removed: int) -> str:
    # Each reason is a sentence of its own that names its server.
    why = " ".join(
        f"{reason.says.strip().rstrip('.')}." for excluded in found.excluded for reason in excluded.reasons
    )
    return (
        f"{so_many_servers(removed)} would have to come out, but only {len(found.order)} may. "
        f"{f'Those that stay: {why}' if why else 'No server stays for a reason of its own.'} Choose a target of at least {found.serving - len(found.order)}."
    )


def _serving_on(balancer_id: str, members: Iterable[Member], gone: Sequence[Member]) -> int:
    left = {member.server.id for member in gone}
    return sum(
        1
        for member in members
        if member.server.id not in left
        and any(there == balancer_id and serves(node) for there, node in member.nodes)
    )


def _planned(member: Member, known: Known) -> PlannedServer:
    first = member.nodes[0][1].address
    template = known.count_url_template if known.count_kind else None
    return PlannedServer(
        server_id=member.server.id,
        name=member.server.name,
        created_at=member.server.created_at,
        addresses=tuple(sorted(member.server.addresses)),
        nodes=tuple(
            PlannedNode(balancer_id, node.id, node.address, node.port, node.type, node.weight)
            for balancer_id, node in sorted(member.nodes, key=lambda held: (held[0], held[1].id))
        ),
        count_url=filled(template, first) if template else None,
        flavor_id=member.server.flavor_id,
        host_id=member.server.host_id,
        image_id=member.server.image_id,
    )
