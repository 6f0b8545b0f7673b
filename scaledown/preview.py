"""What the approvers of a plan are shown: each step with what it leaves, every warning, the way back. Pure.

Source: spec "Preview".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.cloud.types import BalancerStatus
from scaledown import alarms, hours, images, looks, network
from scaledown.ahead import AHEAD, EventShown, Near, is_carried, nearness, needed_for, needs
from scaledown.answers import LONGEST_BEFORE_S, SHORTEST_BEFORE_S, compares
from scaledown.candidates import Candidates, Choice, Excluded, HeldAgainst, Known, Member, Pool, candidates
from scaledown.planner import (
    PAUSE_S,
    SHORTEST_REASON,
    Proposal,
    most_on_one_host,
    propose_target,
    share_of_ceiling,
    so_many_servers,
)
from scaledown.types import AtLimit, Grade, ImageRule, PlanData

HOURS_A_MONTH = 730.5
CHANGE_MIN_S, CHANGE_MAX_S = 2.0, 30.0
"""How long a load balancer takes to apply one change (provider reference, 2.2 and 7.2)."""
DELETE_MIN_S, DELETE_MAX_S = 5.0, 900.0
"""How long a server takes to be gone after the delete (provider reference, 3.3)."""
IMAGE_MIN_S, IMAGE_MAX_S = 60.0, 3600.0
"""How long an image likely takes; the provider does not tell (provider reference, 3.4)."""
LOOK_S = 2.0
"""About how often a draining server is looked at."""
BASELINE_MAX_AGE = timedelta(days=30)
"""A baseline that is older is worth a warning: sites change."""
VITAL_SILENT = timedelta(minutes=15)
"""A vital figure without a sample for longer will likely have none when a verdict needs it."""


@dataclass(frozen=True)
class Warned:
    """One thing the approvers must know, and what to do about it. Blocking ones forbid to submit."""

    code: str
    says: str
    what_to_do: str
    blocks: bool = False
    subject: str = ""


@dataclass(frozen=True)
class Step:
    """One server coming out. Load is per node at the next peak; None where peak or ceiling is unknown."""

    position: int
    server_id: str
    server_name: str
    nodes_left: int
    peak_load_rps: float | None
    peak_share_of_ceiling: float | None
    peak_share_one_host_lost: float | None
    """The same after the loss of the physical host with the most of the servers that are left."""
    likely_min_s: float
    likely_max_s: float
    says: str


MOST_EVENTS = 200


@dataclass(frozen=True)
class Preview:
    """Exactly what will run, and what everyone should know before they approve it."""

    looked_at: datetime
    serving_now: int
    target: int
    floor: int
    proposal: Proposal
    steps: tuple[Step, ...]
    stays: tuple[str, ...]
    excluded: tuple[Excluded, ...]
    warnings: tuple[Warned, ...]
    likely_min_s: float
    likely_max_s: float
    way_back: tuple[str, ...]
    server_hours_saved_per_month: float
    hold_server_hours: float
    imaged: tuple[str, ...] = ()
    """Names of the servers of which an image is made, if all goes as planned."""
    held_against: tuple[HeldAgainst, ...] = ()
    """What verdicts are held against, with source and age; empty in previews of an earlier release."""
    peak_watch: str = ""
    """Until when the run stays open to watch the next peak, or why it does not; empty in previews of an earlier release."""
    events: tuple[EventShown, ...] = ()
    """Rises, and traffic events, that are on when it would begin, or come later, with how many servers each needs; the next ones."""

    @property
    def is_blocked(self) -> bool:
        """Whether anything forbids to submit this plan."""
        return any(warning.blocks for warning in self.warnings)


def preview(plan: PlanData, choice: Choice, pool: Pool, known: Known) -> Preview:
    """Return what the approvers are shown: every step, every warning, the time, the way back, what it saves."""
    found = candidates(choice, pool, known)
    proposal = propose_target(choice, found, known)
    steps = _steps(plan, found)
    chosen = {server.server_id for server in plan.servers}
    return Preview(
        looked_at=pool.looked_at,
        serving_now=found.serving,
        target=plan.target,
        floor=plan.floor,
        proposal=proposal,
        steps=steps,
        stays=tuple(server.name for server in plan.remaining),
        excluded=tuple(excluded for excluded in found.excluded if excluded.server_id not in chosen),
        warnings=_warnings(plan, choice, pool, known, found, proposal),
        likely_min_s=max(
            sum(step.likely_min_s for step in steps) + _pauses_s(plan) + _before_s(plan)[0],
            _peak_s(plan, pool.looked_at),
        ),
        likely_max_s=max(
            sum(step.likely_max_s for step in steps) + _pauses_s(plan) + _before_s(plan)[1],
            _peak_s(plan, pool.looked_at),
        ),
        way_back=_way_back(plan),
        server_hours_saved_per_month=round(len(plan.servers) * HOURS_A_MONTH, 1),
        hold_server_hours=round(
            len(plan.servers) * (max(plan.hold_s, _peak_s(plan, pool.looked_at)) + plan.stop_s) / 3600, 2
        ),
        imaged=tuple(server.name for server in images.of_these(plan)),
        held_against=known.held_against,
        peak_watch=_peak_watch(plan),
        events=tuple(
            EventShown(one.ref, one.starts_at, one.ends_at, needed_for(one.peak_rps, plan))
            for one in (*known.rises, *known.events[:MOST_EVENTS])
            # Those that are far by then, too: one that only comes near while the run goes on is not new.
            if one.ends_at > _begins(plan, pool)
        ),
    )


def _begins(plan: PlanData, pool: Pool) -> datetime:
    return max(pool.looked_at, plan.window_start or pool.looked_at)


def _peak_watch(plan: PlanData) -> str:
    if plan.watch_until is None:
        return f"No peak watch: the run ends with its last server. {plan.unwatched_reason}".strip()
    return (
        f"After the last server the run stays open until the next peak is over ({plan.watch_until:%Y-%m-%d %H:%M} UTC), and the "
        "report says how it went at the new size. Until then no other plan, drill or benchmark begins on this pool. It can be "
        "ended earlier at any time."
    )


def _peak_s(plan: PlanData, looked_at: datetime) -> float:
    """Return in how many seconds the peak is over through which servers are held; 0 where there is none."""
    return 0.0 if plan.hold_through is None else max(0.0, (plan.hold_through - looked_at).total_seconds())


def _pauses_s(plan: PlanData) -> float:
    return max(0, len(plan.servers) - 1) * plan.pause_between_s


def _before_s(plan: PlanData) -> tuple[float, float]:
    """Return the least and the most seconds of the stretch before the first server."""
    if not compares(plan):
        return 0.0, 0.0
    return min(plan.soak_s, SHORTEST_BEFORE_S), LONGEST_BEFORE_S


def server_time_s(plan: PlanData, nodes: int) -> tuple[float, float]:
    """Return the least and the most likely seconds that one server with `nodes` nodes takes to its end."""
    unavoidable = plan.soak_s + plan.hold_s + plan.stop_s
    # Two changes a node: drain, remove.
    least = plan.min_drain_s + (plan.zeros_needed - 1) * LOOK_S + 2 * nodes * CHANGE_MIN_S + DELETE_MIN_S
    most = plan.drain_limit_s + 2 * nodes * CHANGE_MAX_S + DELETE_MAX_S
    return unavoidable + least, unavoidable + most


def _steps(plan: PlanData, found: Candidates) -> tuple[Step, ...]:
    steps = []
    imaged = {server.server_id for server in images.of_these(plan)}
    for position, server in enumerate(plan.servers, start=1):
        left = serving_after_servers(found, {gone.server_id for gone in plan.servers[:position]})
        share = share_of_ceiling(plan.forecast_peak_rps, len(left), plan.ceiling_rps)
        lost = share_of_ceiling(plan.forecast_peak_rps, len(left) - most_on_one_host(left), plan.ceiling_rps)
        least, most = server_time_s(plan, len(server.nodes))
        if server.server_id in imaged:
            least, most = least + IMAGE_MIN_S, most + IMAGE_MAX_S
        load = None if plan.forecast_peak_rps is None else plan.forecast_peak_rps / max(1, len(left))
        copied = ", an image of it is made, and it is" if server.server_id in imaged else " and"
        says = f"{server.name} drains, leaves the pool, is verified{copied} deleted; {so_many_servers(len(left))} stay."
        if share is not None:
            says += f" At the next peak each carries {share:.0%} of the most it can."
        steps.append(
            Step(
                position=position,
                server_id=server.server_id,
                server_name=server.name,
                nodes_left=len(left),
                peak_load_rps=load,
                peak_share_of_ceiling=share,
                # Nothing left is no share: the warning says it in words.
                peak_share_one_host_lost=lost if lost is not None and math.isfinite(lost) else None,
                likely_min_s=least,
                likely_max_s=most,
                says=says,
            )
        )
    return tuple(steps)


def serving_after_servers(found: Candidates, gone: set[str]) -> tuple[Member, ...]:
    """Return the servers in service once those with these ids have left."""
    return tuple(member for member in found.members if member.is_serving and member.server.id not in gone)


def _way_back(plan: PlanData) -> tuple[str, ...]:
    hold = (
        f"Each server waits out of the pool, alive, until the next peak is over ({plan.hold_through:%Y-%m-%d %H:%M} UTC): the "
        "site lives through it at the new size while the way back is one command."
        if plan.hold_through is not None
        else f"Each server waits {_duration(plan.hold_s)} out of the pool before it is deleted."
        if plan.hold_s
        else "There is no hold: each server is deleted as soon as the pool without it is verified."
    )
    return (
        "Until a server is deleted it can be put back in service at any moment, by one command; "
        "the run does so by itself when traffic does not keep up.",
        hold,
        *([_silence_says(plan)] if any(server.count_url for server in plan.servers) else []),
        *([_stop_says(plan)] if plan.stop_s else []),
        _after_the_delete(plan),
    )


def _silence_says(plan: PlanData) -> str:
    return (
        f"No server is {'stopped' if plan.stop_s else 'deleted'} while its own status page shows that it still serves, past "
        "the load balancers: a person decides then."
    )


def _stop_says(plan: PlanData) -> str:
    return (
        f"Then it is stopped for {_duration(plan.stop_s)} before it is deleted. Until then it is put back by starting it "
        "first: it serves again once it answers."
    )


def _after_the_delete(plan: PlanData) -> str:
    imaged = [server.name for server in images.of_these(plan)]
    if not imaged:
        return "After the delete there is no way back from the portal: no image is taken. A new server has to be built by hand."
    return (
        f"After the delete only a roll back brings a server back, while the run goes on: it is created anew from an image. "
        f"{'The image' if len(imaged) == 1 else 'An image each'} of {_listed(imaged)} is made before the server is deleted, and kept "
        f"for {_duration(plan.images_kept_s)} at least. The new server has another id and other addresses; how long that takes "
        "is not known before it was tried. Once the run is over it has to be built by hand, from the image."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _duration(seconds: float) -> str:
    if seconds >= 3 * 86_400:
        return f"{round(seconds / 86_400, 1):g} days"
    if seconds < 120:
        return f"{round(seconds, 1):g} s"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60, 1):g} min"
    return f"{round(seconds / 3600, 1):g} h"


def _warnings(
    plan: PlanData,
    choice: Choice,
    pool: Pool,
    known: Known,
    found: Candidates,
    proposal: Proposal,
) -> tuple[Warned, ...]:
    warnings = [
        *_size_warnings(plan, choice, found, proposal, known),
        *_pool_warnings(plan, pool, found),
        *_evidence_warnings(plan, pool),
        *_alarm_warnings(pool),
        *_knowledge_warnings(plan, pool, known),
        *_time_warnings(plan, pool, known),
        *_pace_warnings(plan, choice, known),
        *_stop_warnings(plan, choice),
        *_server_warnings(plan, pool),
    ]
    # Blocking ones first, else in the order in which they were found.
    return tuple(sorted(warnings, key=lambda warning: not warning.blocks))


def _size_warnings(
    plan: PlanData, choice: Choice, found: Candidates, proposal: Proposal, known: Known
) -> Iterable[Warned]:
    if known.ceiling_doubts:
        yield Warned(
            "ceiling_doubtful",
            f"The most that one server carries ({plan.ceiling_rps:g} requests/s) is doubtful. {' '.join(known.ceiling_doubts)}",
            "Measure it anew, or let what is known now count, before servers are taken out by it.",
        )
    if plan.target < proposal.count:
        share = share_of_ceiling(plan.forecast_peak_rps, plan.target, plan.ceiling_rps)
        risk = (
            f"At the forecast peak each server would carry {share:.0%} of the most it can."
            if share is not None
            else "Whether they carry the next peak is unknown."
        )
        has_reason = len(choice.target_reason.strip()) >= SHORTEST_REASON
        yield Warned(
            "below_proposal",
            f"The target of {so_many_servers(plan.target)} is lower than proposed ({proposal.count}). {risk}",
            "The written reason stands in the plan; both sides take the risk by approving."
            if has_reason
            else "Write down why (at least a few words), or take the proposed size.",
            blocks=not has_reason,
        )
    left = serving_after_servers(found, {server.server_id for server in plan.servers})
    worst = most_on_one_host(left)
    if len(left) > 1 and worst == len(left):
        yield Warned(
            "one_host",
            "All servers that stay run on one physical host: if it fails the site is down.",
            "Choose another order or a higher target, or have one of them moved.",
        )
    elif worst > 1:
        yield Warned(
            "host_shared",
            f"{worst} of the {len(left)} servers that stay run on one physical host.",
            "Have one of them moved, or keep one more.",
        )
    unknown = [member.server.name for member in left if member.server.host_id is None]
    if unknown:
        yield Warned(
            "host_unknown",
            f"The provider does not tell the physical host of {', '.join(unknown)}.",
            "Ask the provider's support if the loss of one host matters.",
        )
    if len(left) == 1:
        yield Warned(
            "last_node",
            "One server would be left: when it fails the site is down.",
            "Keep at least 2.",
        )
    flavors = {member.server.flavor_id for member in left}
    if len(flavors) > 1:
        yield Warned(
            "flavors_differ",
            "The servers that stay are of different sizes; each counts as the one that carries the least.",
            "Nothing is to be done: what the larger ones carry beyond it is free.",
        )


def _pool_warnings(plan: PlanData, pool: Pool, found: Candidates) -> Iterable[Warned]:
    for stray in found.strays:
        node = f"{stray.node.address}:{stray.node.port}"
        fits = "no server" if not stray.server_names else "several servers: " + ", ".join(stray.server_names)
        yield Warned(
            "node_unmatched",
            f"The address of node {node} belongs to {fits}. It does not count as a server in service.",
            "Find out what answers there before the scale-down.",
            subject=node,
        )
    for balancer_name, names in sorted(pool.by_name.items()):
        yield Warned(
            "nodes_by_name",
            f"Load balancer {balancer_name} has nodes by name ({', '.join(names)}): whether they are servers of this plan "
            "nobody can tell, so they are not looked for before a deletion.",
            "Find out where the names lead before the scale-down.",
            subject=balancer_name,
        )
    for balancer in pool.balancers:
        if balancer.status is not BalancerStatus.ACTIVE:
            yield Warned(
                "balancer_not_active",
                f"Load balancer {balancer.name} is {balancer.status.value} and takes no change now.",
                "Wait until it is active; an error needs the provider's support.",
                blocks=balancer.status is not BalancerStatus.PENDING_UPDATE,
                subject=balancer.name,
            )
        if not balancer.has_health_monitor:
            yield Warned(
                "no_health_monitor",
                f"Load balancer {balancer.name} has no health monitor: a dead server stays in service there. "
                "The run asks each server directly instead.",
                "Switch on a health monitor at the provider.",
                subject=balancer.name,
            )
        if balancer.session_persistence is not None:
            yield Warned(
                "session_persistence",
                f"Load balancer {balancer.name} ties visitors to servers ({_tie(balancer.session_persistence)}): "
                "they keep coming to a draining server, and zero may never be seen.",
                f"After {_duration(plan.drain_limit_s)} this plan will {_at_limit(plan.at_limit)}. "
                "Check that this is what is wanted.",
                subject=balancer.name,
            )
    for excluded in found.excluded:
        for reason in excluded.reasons:
            # Of servers that would come out but for this; others stay anyway.
            if all(one.code in _MENDABLE for one in excluded.reasons):
                yield Warned(reason.code, reason.says, reason.what_to_do, subject=excluded.name)


_MENDABLE = frozenset(
    {"autoscaled", "other_balancer", "volumes", "locked", "busy", "address_shared", "floating_address"}
)


def _tie(kind: str) -> str:
    """Return in words by what visitors are tied; a kind that nobody knows stays as the provider names it."""
    return _TIES.get(kind, kind)


_TIES = {"HTTP_COOKIE": "by a cookie", "SOURCE_IP": "by their address", "SSL_ID": "by their TLS session"}


def _at_limit(at_limit: AtLimit) -> str:
    return {
        AtLimit.ASK: "ask a person, and put the server back if nobody answers",
        AtLimit.PUT_BACK: "put the server back in service",
        AtLimit.CUT: "go on and cut the connections that are left",
    }[at_limit]


def _timed(plan: PlanData, pool: Pool) -> Warned:
    """Say by what a drain ends where no status URL tells of connections."""
    limit = _duration(plan.drain_limit_s)
    name = "Name a status URL of the servers (nginx stub_status, Apache server-status)"
    is_measured = pool.network is not None and {one.server_id for one in plan.servers} <= pool.network
    if not is_measured:
        return Warned(
            "evidence_timed",
            f"No status URL tells how many connections a server has, so each drain is only timed: it ends {limit} after it began"
            + (
                "."
                if plan.accepted_grade is Grade.TIMED
                else ", and a person is asked, since this plan accepts no evidence as weak as that."
            ),
            f"{name}.",
        )
    if looks.accepts(plan, Grade.INFERRED):
        return Warned(
            "evidence_inferred",
            "No status URL tells how many connections a server has; the provider's monitoring measures its network. A drain ends "
            f"once that carries next to nothing of what it did before, in {network.FEWEST_QUIET} figures running, or {limit} after "
            f"it began{'' if plan.accepted_grade is Grade.TIMED else ', when a person is asked'}. Connections on which nothing is "
            "sent do not show.",
            f"{name}: a count is stronger.",
        )
    return Warned(
        "evidence_timed",
        f"No status URL tells how many connections a server has, so a person is asked {limit} after each drain began: this plan "
        "accepts a count only. The provider's monitoring measures the network of the servers, and what it shows is told then.",
        f"{name}, or let what is worked out from the network suffice.",
    )


def _alarm_warnings(pool: Pool) -> Iterable[Warned]:
    fired = pool.alarms
    if fired is None:
        yield Warned(
            "alarms_unread",
            "The provider's monitoring could not be asked which alarms of this pool fire.",
            "Look at it yourself before this begins. If it can be asked then, an alarm that fires holds the run.",
        )
    elif fired:
        yield Warned(
            "alarm_fires",
            f"{'An alarm' if len(fired) == 1 else f'{len(fired)} alarms'} of this pool fire{'s' if len(fired) == 1 else ''} now: "
            f"{alarms.named(fired)}.",
            "Find out what it tells first. Who approves this lets it pass; any other alarm, or a warning that becomes critical, "
            "holds the run before it begins.",
        )


def _evidence_warnings(plan: PlanData, pool: Pool) -> Iterable[Warned]:
    if plan.count_kind is None or any(server.count_url is None for server in plan.servers):
        yield _timed(plan, pool)
    else:
        yield Warned(
            "evidence_measured",
            "Connections are counted on each server by its status URL: the strongest evidence there is.",
            "Nothing to do.",
        )
    if not plan.measures_load and looks.guard_rps(plan) is not None:
        yield Warned(
            "load_unmeasured",
            "What each server carries is not measured while this runs"
            + (
                ": no status URL is known"
                if plan.count_kind is None
                else ": the page that answers one number counts no requests"
            )
            + ". So load that rises shows only in checks of the site that fail or get slow, whatever one server carries.",
            "Name a status URL that counts requests (nginx stub_status, Apache server-status).",
        )
    if plan.at_limit is AtLimit.CUT:
        yield Warned(
            "cuts_at_limit",
            f"After {_duration(plan.drain_limit_s)} of draining, connections that are still open are cut.",
            "Choose “ask” unless that is really meant.",
        )
    if not plan.probes:
        yield Warned(
            "no_probe",
            "No probe of the site is set up, so nothing could show that the site is well.",
            "Set up at least one probe of this pool.",
            blocks=True,
        )


def _knowledge_warnings(plan: PlanData, pool: Pool, known: Known) -> Iterable[Warned]:
    if plan.ceiling_rps is None:
        yield Warned(
            "no_ceiling",
            "The most that one server carries is unknown: "
            + (
                "rising load is not seen, only checks of the site that fail."
                if plan.fine_load_rps is None
                else f"servers go back when each carries more than {plan.fine_load_rps:.1f} requests/s, the most that "
                f"was fine in the last 14 days ({plan.fine_load_source})."
            ),
            "Enter it from a benchmark or from what was seen at the event.",
        )
        if plan.forecast_peak_rps is not None:
            yield Warned(
                "quiet_unknown",
                "While traffic is under 30 % of the next peak nothing is deleted: what each server would carry at the "
                "peak is not known then.",
                "Enter the most that one server carries, or run at a busier hour.",
            )
    if plan.forecast_peak_rps is None:
        yield Warned(
            "no_forecast",
            "The next peak is unknown, so the load at each step cannot be projected.",
            "Enter the expected peak of this pool.",
        )
    yield from _baseline_warnings(plan, pool, known)
    yield from _vital_warnings(plan, pool, known)
    for gap in known.contact_gaps:
        yield Warned("contacts_unconfirmed", gap.says, gap.what_to_do, subject=gap.code)


def _baseline_warnings(plan: PlanData, pool: Pool, known: Known) -> Iterable[Warned]:
    if plan.slower_allowed is None:
        yield Warned(
            "latency_not_judged",
            "Slower answers alone will not stop the run"
            + (
                "."
                if all(probe.latency_limit_ms is None for probe in plan.probes)
                else ", unless a probe has a limit."
            ),
            "Say in the plan by how much answers may be slower than before.",
        )
        return
    # One of the whole site says how old the measurements are; no probe asks what a load generator asks.
    probes = {"", *(probe.name for probe in plan.probes)}
    if not any(one.probe in probes for one in plan.baselines):
        yield Warned(
            "no_baseline",
            f"There is no baseline{' of a probe' if plan.baselines else ''}: answers are compared only with those right "
            "before the first server.",
            "Enter what a probe was measured at, best a day and a week before at the same hour.",
        )
    if not plan.baselines:
        return
    newest = max(plan.baselines, key=lambda one: one.measured_at)
    age = pool.looked_at - newest.measured_at
    if age > BASELINE_MAX_AGE:
        yield Warned(
            "baseline_old",
            f"The newest baseline is {age.days} days old ({newest.source}); up to {BASELINE_MAX_AGE.days} are allowed.",
            "Measure the site again and enter it.",
        )
    if known.changed_at is not None and known.changed_at > newest.measured_at:
        yield Warned(
            "baseline_before_change",
            f"The site was changed {known.changed_at:%Y-%m-%d %H:%M} UTC, after the newest baseline ({newest.source}).",
            "Measure the site as it is now and enter it, or look at the account’s changes and go on knowingly.",
        )


def _vital_warnings(plan: PlanData, pool: Pool, known: Known) -> Iterable[Warned]:
    if not plan.vital:
        has_reason = len(plan.no_vital_reason) >= SHORTEST_REASON
        yield Warned(
            "no_vital_figure",
            "No vital figure (orders, log-ins, searches a minute) shows whether people still get through"
            + (f": {plan.no_vital_reason}" if has_reason else "."),
            "The written reason stands in the plan; both sides take the risk by approving."
            if has_reason
            else "Have the account name one and send its samples, or write down why there is none (at least a few words).",
            blocks=not has_reason,
        )
        return
    last = {one.figure.metric_ref: one.last_at for one in known.vital}
    for figure in plan.vital:
        at = last.get(figure.metric_ref)
        if at is None or pool.looked_at - at > VITAL_SILENT:
            since = "ever" if at is None else f"since {at:%Y-%m-%d %H:%M} UTC"
            yield Warned(
                "vital_silent",
                f"There was no sample of {figure.name} {since}. A server without one is not deleted: the run would halt.",
                "See why nothing comes in, or choose another vital figure.",
                subject=figure.name,
            )


def _time_warnings(plan: PlanData, pool: Pool, known: Known) -> Iterable[Warned]:
    if plan.hold_through is None and known.peak_at is None and not plan.hold_s:
        yield Warned(
            "no_peak_time",
            "When the next peak is expected is not known, and servers are deleted without a hold: nobody will have seen the "
            "site live through a peak at the new size.",
            "Enter the time of the next peak of this pool and hold servers through it, or say for how many hours they are held.",
        )
    begins = _begins(plan, pool)
    for event in known.events:
        near = nearness(event, begins)
        size = (
            f"what stays carries its peak of {event.peak_rps:g} requests/s"
            if is_carried(event.peak_rps, plan)
            else f"it {needs(event.peak_rps, plan)}"
        )
        if near is Near.ON:
            yield Warned(
                "event_on",
                f"“{event.name}” is not over, it ends {event.ends_at:%Y-%m-%d %H:%M} UTC: {size}.",
                "Wait until it is over, or be sure that its traffic is.",
                subject=event.name,
            )
        elif near is not Near.FAR:
            yield Warned(
                "event_coming",
                f"“{event.name}” begins {event.starts_at:%Y-%m-%d %H:%M} UTC: {size}.",
                "Keep the servers until after it, or be sure that the smaller pool carries it.",
                subject=event.name,
            )
    for rise in known.rises:
        if not is_carried(rise.peak_rps, plan):
            yield Warned(
                "rise_on",
                f"More traffic than usual is on since {rise.starts_at:%Y-%m-%d %H:%M} UTC: at the busiest hour of a week it "
                f"{needs(rise.peak_rps, plan)}.",
                "Take nothing out before it is over.",
            )
    yield from _freeze_warnings(plan, begins, known)
    if plan.window_start and plan.window_end and (plan.hold_s or plan.hold_through or plan.stop_s):
        yield Warned(
            "window_hours",
            f"A held server is stopped, imaged and deleted in the hours of the change window{'s' if plan.later_windows else ''} only, "
            f"{plan.window_start:%H:%M} to {plan.window_end:%H:%M} UTC: where its hold ends later, on the next day on which they come. "
            "Until then it is billed, and can be put back.",
            "Nothing is to be done. Leave the beginning of the window open if deletions may come at any hour.",
        )
    if plan.window_end is None:
        return
    if hours.is_over(plan, pool.looked_at):
        ended = hours.closes_at(plan, pool.looked_at)
        yield Warned(
            "window_over",
            f"The change window is over: it ended {ended:%Y-%m-%d %H:%M} UTC.",
            "Choose a window that is still to come, or none.",
            blocks=True,
        )
        return
    lasts_s = _windows_s(plan, pool.looked_at)
    shortest_s = min((server_time_s(plan, len(server.nodes))[0] for server in plan.servers), default=0.0)
    if max(lasts_s) < shortest_s:
        yield Warned(
            "window_too_short",
            f"Not even one server fits into the change window: it takes at least {_duration(shortest_s)}.",
            "Make the window longer, or drain, soak or hold shorter.",
            blocks=True,
        )
        return
    fit = _how_many_fit(plan, lasts_s)
    if fit < len(plan.servers):
        all_s = sum(server_time_s(plan, len(server.nodes))[0] for server in plan.servers) + _pauses_s(plan)
        all_s += _before_s(plan)[0]
        several = len(lasts_s) > 1
        yield Warned(
            "window_short",
            f"Not every server fits into the change window{'s' if several else ''}: {so_many_servers(fit)} of {len(plan.servers)} at "
            f"most; all take at least {_duration(all_s)}.",
            "Make the window longer, or let it come on more days: what does not fit stays in service.",
        )


def _windows_s(plan: PlanData, at: datetime) -> list[float]:
    """Return how many seconds of each window are still to come, of those that are not over."""
    assert plan.window_end is not None
    first = (plan.window_start or at, plan.window_end)
    spans = [first, *((one.starts_at, one.ends_at) for one in plan.later_windows)]
    return [(ends - max(starts, at)).total_seconds() for starts, ends in spans if ends > at]


def _how_many_fit(plan: PlanData, lasts_s: Sequence[float]) -> int:
    """Return how many servers can leave the pool in these windows at the quickest, one after another, none across two."""
    takes = [server_time_s(plan, len(server.nodes))[0] for server in plan.servers]
    left_s, later = lasts_s[0] - _before_s(plan)[0], list(lasts_s[1:])
    for number, one_s in enumerate(takes):
        while left_s < one_s:
            if not later:
                return number
            left_s = later.pop(0)
        left_s -= one_s + plan.pause_between_s
    return len(takes)


def _freeze_warnings(plan: PlanData, begins: datetime, known: Known) -> Iterable[Warned]:
    """Warn of a freeze that is in force at the beginning, or comes up before it may be through."""
    last = plan.later_windows[-1].ends_at if plan.later_windows else plan.window_end
    ahead = max(last or begins, begins + AHEAD)
    for freeze in known.freezes:
        if freeze.starts_at <= begins < freeze.ends_at:
            yield Warned(
                "freeze_on",
                f"{freeze.what} is in force until {freeze.ends_at:%Y-%m-%d %H:%M} UTC.",
                "Nothing starts or goes on into it: choose a later window, or have a lead override it.",
                subject=f"{freeze.starts_at:%Y-%m-%d %H:%M}",
            )
        elif begins < freeze.starts_at <= ahead:
            yield Warned(
                "freeze_coming",
                f"{freeze.what} begins {freeze.starts_at:%Y-%m-%d %H:%M} UTC.",
                "Be through before that: a run that is paused then does not go on until it is over.",
                subject=f"{freeze.starts_at:%Y-%m-%d %H:%M}",
            )


def _pace_warnings(plan: PlanData, choice: Choice, known: Known) -> Iterable[Warned]:
    decay = known.decay
    if choice.pause_between_s is None and plan.pause_between_s > PAUSE_S and decay is not None:
        yield Warned(
            "traffic_goes_away",
            f"The traffic of {decay.event_name} halves every {_duration(decay.half_life_s)}, and is as good as gone "
            f"{decay.gone_at:%Y-%m-%d %H:%M} UTC. So there are {_duration(plan.pause_between_s)} between two servers: they leave "
            "no faster than it.",
            "Give another pause where you know better.",
        )


def _stop_warnings(plan: PlanData, choice: Choice) -> Iterable[Warned]:
    if plan.stop_s:
        why = (
            "Nothing here can show that a server out of the pool is idle: no status URL of the servers is known, and "
            "figures of its network are too coarse for that. So each"
            if choice.stop_s is None
            else "Each server"
        )
        yield Warned(
            "stops_first",
            f"{why} is stopped for {_duration(plan.stop_s)} before it is deleted: whoever needs it misses it in that time.",
            "Watch for anything that fails in that time; the server can be started and put back until it is deleted. "
            "A stopped server is billed as a running one.",
        )
    elif plan.count_kind is None:
        yield Warned(
            "idle_unknown",
            "Nothing shows whether a server out of the pool is still used past the load balancer, and it is not stopped first.",
            "Stop each for some minutes before it is deleted, or name a status URL of the servers.",
        )


def _image_warnings(plan: PlanData) -> Iterable[Warned]:
    """Say what an image is worth: taken of a running server it is no backup, and it costs while it is kept."""
    imaged = images.of_these(plan)
    if not imaged:
        yield Warned(
            "no_image",
            "No image of the servers is taken: what is deleted cannot be undone from the portal.",
            "Take an image of each kind of server, or make one at the provider first if anything on them is needed again.",
        )
        return
    names = _listed([server.name for server in imaged])
    how = "stopped: not a backup" if plan.stop_s else "running: crash-consistent, not a backup"
    yield Warned(
        "image_no_backup",
        f"The image of {names} is taken while the server is {how}.",
        "Have what matters on these servers backed up in its own way before the scale-down.",
    )
    yield Warned(
        "images_cost",
        f"The provider bills {'the image' if len(imaged) == 1 else f'{len(imaged)} images'} until somebody deletes "
        f"{'it' if len(imaged) == 1 else 'them'}, {_duration(plan.images_kept_s)} after the run at the earliest.",
        "The report lists them with that date. The portal deletes none by itself.",
    )
    if plan.images is ImageRule.ONE_PER_KIND:
        for alike in images.kinds(plan.servers).values():
            if len(alike) > 1:
                yield Warned(
                    "image_for_several",
                    f"One image stands for {_listed([server.name for server in alike])}: they have the same size, "
                    "were made from the same image and serve in the same places.",
                    "Take one of each if they differ in what is on their disks.",
                    subject=alike[0].name,
                )


def _server_warnings(plan: PlanData, pool: Pool) -> Iterable[Warned]:
    yield from _image_warnings(plan)
    untold = [server.name for server in plan.servers if pool.volumes.get(server.server_id) is None]
    if untold:
        yield Warned(
            "volumes_unknown",
            f"Whether volumes are attached to {', '.join(untold)} could not be found out.",
            "It is looked at again before each delete, which waits until it is known.",
        )
