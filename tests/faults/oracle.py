"""The oracle: judges a story by the provider's truth alone. One function per rule; each yields what was broken.

A change rests on a look, and nobody can see what another hand does between that look and the change. So most
rules ask for two things at once: the fact forbids the change now, *and* the newest look before it showed so
already; that this look was fresh is a rule of its own (`rests_on_fresh_looks`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise, product, zip_longest
from statistics import median

from portal.runs.rules import SET_ASIDE
from scaledown.types import AtLimit, Grade, ImageRule, PlanData, PlannedServer
from tests.faults.history import (
    Answered,
    Asked,
    BalancerTruth,
    Checked,
    Counted,
    Cut,
    Fact,
    Forgotten,
    Looked,
    Other,
    Probed,
    Replied,
    Sent,
    ServerTruth,
    Stood,
    Story,
    Took,
    Wrote,
)
from tests.faults.worlds import PEAK_SPARE_S

LOOK_S = 10.0
SEARCH_S = 60.0
VERDICT_S = 60.0
ANSWER_S = 30.0
CALL_S = 10.0
SPARE_S = 1.5
"""How far two clocks of one moment may lie apart: latency of the calls of one look."""
LOAD_SEEN_S = 25.0
"""A rise of traffic younger than this need not be seen yet: rates are averages, and may be 15 s old."""
FEWEST_ANSWERS = 6
PROMISED_SLOWNESS = 2.0
"""How many times the allowed slowness a verdict promises to see, with 95 % certainty; less may look like chance."""
FAR = 1.1
"""How much beyond that is beyond any doubt: samples of a few answers differ by chance."""
LATE_S = 600.0
DANGER_S = 100.0
TOO_MUCH = 1.15
"""How many times the guard is beyond any doubt: what the portal knows of the load is an average over seconds."""
FAILED_LOOKS = 2
"""How many looks running at a site that fails are no chance."""
GOOD_LOOKS = 5
"""How many good ones running show that it is well again: a site with too few servers answers now and then."""
NAMED_WAITS = {"window", "hold", "in_charge", "pause_between", "standstill", "late_change", "peak_watch"}
NAMED_WAITS |= {"delete_late_add", "stop_late_add", "freeze"}
"""Waits that only time or a person ends."""
REPLACED_S = 105.0
"""How long another machine may have served at the address of a server that stays, at most, unseen."""
UNFIT_S = 500.0
"""How long every look at a server must have shown that it cannot serve before it may be given up."""
MONITOR_S = 3.2
"""How long a health monitor of these worlds shows a server that went down as serving."""
_UNSEEN_S = {"kill_server": MONITOR_S, "stop_server": MONITOR_S, "delete_server": MONITOR_S}
_UNSEEN_S |= {"replace_server": REPLACED_S}
BOUNDED_WAITS = {"floor", "load_too_high", "probes", "preflight", "answer", "server_busy", "balancer_error"}
BOUNDED_WAITS |= {"image", "image_look", "image_server", "stop", "start", "start_answer", "put_back_server"}
BOUNDED_WAITS |= {"balancer", "stop_balancer", "stop_still_serves", "delete_still_serves"}
BOUNDED_WAITS |= {"create_look", "create_image_look", "build", "build_look", "join_answer"}
"""Waits that end in a halt later than a schedule lasts."""

ANEW = "anew:"
"""What stands before the id of a planned server where a change is about the one that was created in its place."""

Rule = Callable[[Story], Iterator[str]]


def _planned(story: Story, server: str) -> PlannedServer | None:
    return next((s for s in story.plan.servers if s.server_id == server), None)


def _balancers_of(planned: PlannedServer) -> list[int]:
    return sorted({int(node.balancer_id) for node in planned.nodes})


def _is_taking_out(sent: Sent) -> bool:
    """Whether it takes a server out of service; the node that a deleted server left behind serves nobody."""
    return sent.name in {"set_DRAINING", "remove", "stop"} and not sent.scene.servers[sent.server].is_gone


# --- invariant 1: what is deleted ------------------------------------------------------------------------


def touches_only_the_plans_servers(story: Story) -> Iterator[str]:
    """No change is about a server that is not in the plan."""
    for _, sent in story.sends():
        if _planned(story, sent.server.removeprefix(ANEW)) is None:
            yield f"{sent.name} of {sent.server}, which is not the plan's"


def _is_as_approved(planned: PlannedServer, truth: ServerTruth) -> bool:
    return (
        truth.name == planned.name
        and truth.created == planned.created_at
        and set(truth.addresses) == set(planned.addresses)
        and truth.flavor == (planned.flavor_id or truth.flavor)
        and truth.image == (planned.image_id or truth.image)
    )


def deletes_only_what_was_approved(story: Story) -> Iterator[str]:
    """Name, time of creation, addresses, size and image of a deleted server are those that were approved."""
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if sent.name != "delete" or planned is None:
            continue
        look = story.last(Looked, place, key=f"server:{sent.server}")
        now = sent.scene.servers[sent.server]
        if not _is_as_approved(planned, now) and (
            look is None or look.server is None or not _is_as_approved(planned, look.server)
        ):
            yield f"{planned.name} is deleted, and is not the server that was approved"


def deletes_only_what_is_in_no_balancer(story: Story) -> Iterator[str]:
    """A complete search less than 60 s ago found it nowhere, nor did the newest look at each balancer.

    That is asked of a stop as well: it cuts as a deletion does.
    """
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if sent.name not in {"delete", "stop"} or planned is None:
            continue
        search = story.last(Looked, place, key=f"search:{sent.server}")
        if search is None or sent.t - search.t > SEARCH_S + story.slack_s:
            yield f"{planned.name} is deleted without a search younger than 60 s"
            continue
        for lb_id, balancer in sent.scene.balancers.items():
            if not balancer.of(sent.server):
                continue
            look = story.last(Looked, place, key=f"lb:{lb_id}")
            seen = look is not None and look.balancer is not None and bool(look.balancer.of(sent.server))
            if seen or lb_id in search.held_by:
                yield f"{planned.name} is deleted while in balancer {lb_id}"


def cuts_off_only_what_is_silent(story: Story) -> Iterator[str]:
    """No server is stopped or deleted that visitors reached past every balancer in each look for long, unless a person let it."""
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if sent.name not in {"delete", "stop"} or planned is None:
            continue
        if story.plan.count_kind is None or planned.count_url is None:
            continue  # nothing counts it: it is stopped for a time first, so that whoever needs it can say so
        truth = sent.scene.servers[sent.server]
        looks = story.every(Looked, 0, place, key=f"server:{sent.server}")
        newest = [
            k.server for k in looks if k.server is not None and sent.t - k.t <= LOAD_SEEN_S + story.slack_s
        ]
        noisy = [
            s for s in (truth, *newest) if s.direct_rps > 1.0 and not s.is_stopped and s.status == "ACTIVE"
        ]
        if len(noisy) == len(newest) + 1 and not _was_let(story, place, sent.server):
            yield f"{planned.name} is cut off ({sent.name}) while it serves {truth.direct_rps:g} requests/s itself"


def _was_let(story: Story, place: int, server: str) -> bool:
    return _was_accepted(story, 0, place, server) or any(
        _answer(story, asked.command) for asked in story.every(Asked, 0, place, name="accept", server=server)
    )


def deletes_only_what_nothing_protects(story: Story) -> Iterator[str]:
    """No protected or busy server is deleted, none with a volume, none of the autoscaler's.

    Whether one is locked this provider does not tell: it refuses to delete it.
    """
    for place, sent in story.sends():
        if sent.name != "delete":
            continue
        now = sent.scene.servers[sent.server]
        look = story.last(Looked, place, key=f"server:{sent.server}")
        volumes = story.last(Looked, place, key=f"volumes:{sent.server}")
        was = None if look is None else look.server
        for word in ("is_busy", "is_autoscaled"):
            if getattr(now, word) and (was is None or getattr(was, word)):
                yield f"{now.name} is deleted although it {word.replace('_', ' ')}"
        if now.volumes and (volumes is None or volumes.server is None or volumes.server.volumes):
            yield f"{now.name} is deleted with volumes attached"
        took = _taken(story, place, sent)
        if any(fact.value == sent.server for fact in story.every(Fact, 0, took, what="protected")):
            yield f"{now.name} is deleted although it is protected"


def _taken(story: Story, place: int, sent: Sent) -> int:
    """Return the place at which the worker that sent this took its lease: what it knew of people is from there."""
    for at in range(place - 1, -1, -1):
        event = story.events[at]
        if isinstance(event, Took) and event.token == sent.token:
            return at
    return 0


# --- invariants 1 and 4: drained, and the pool good without it -------------------------------------------


def _out_since(story: Story, place: int, planned: PlannedServer) -> float | None:
    """Return since when every look showed each node of a server out of service; None if one is in service."""
    since = 0.0
    for lb_id in _balancers_of(planned):
        began: float | None = None
        for event in reversed(story.events[:place]):
            if not isinstance(event, Looked) or event.key != f"lb:{lb_id}" or event.balancer is None:
                continue
            if any(node.condition == "ENABLED" for node in event.balancer.of(planned.server_id)):
                break
            began = event.t
        if began is None:
            return None
        since = max(since, began)
    return since


def removes_only_what_is_drained(story: Story) -> Iterator[str]:
    """No node is removed before its drain is over, by the evidence that the plan or a person allowed."""
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if sent.name != "remove" or planned is None or not _is_taking_out(sent):
            continue
        since = _out_since(story, place, planned)
        if since is None:
            if not story.meddled(sent.server, sent.lb_id):
                yield f"{planned.name} is removed while in service"
            continue
        why = _not_drained(story, place, sent, planned, since)
        if why:
            yield f"{planned.name} is removed {why}"


def _not_drained(story: Story, place: int, sent: Sent, planned: PlannedServer, since: float) -> str:
    plan = story.plan
    counts = [
        event for event in story.every(Counted, 0, place, server=sent.server) if event.t >= since - SPARE_S
    ]
    allowed = _cut_allowed(story, place, sent.server)
    if allowed is not None:
        shown = next((c.shown for c in reversed(counts) if c.shown is not None), None)
        newest = counts[-1].shown if counts else None
        if newest is not None and shown is not None and newest > allowed:
            return f"with {newest} connections open, more than the {allowed} that a person allowed"
        return ""
    lasted_s = sent.t - since + story.slack_s + SPARE_S
    if plan.at_limit is AtLimit.CUT and lasted_s >= plan.drain_limit_s:
        return ""
    never_counted = all(c.shown is None for c in counts if c.t >= since)
    if plan.accepted_grade is Grade.TIMED and never_counted:
        return "" if lasted_s >= plan.drain_limit_s else "before its time to drain was over"
    return _not_counted_out(story, sent, planned, counts, since)


def _apart_s(story: Story, counts: list[Counted], at: float, since: float) -> float:
    """Return how far apart two looks must be to count as two, the later of them made then.

    Where each look of the second before found nothing, none is just between two requests. A clock that jumps makes
    two looks seem apart.
    """
    if story.slack_s:
        return 0.0
    before = [count for count in counts if since <= count.t < at]
    found = [count.t for count in before if count.shown != 0]
    empty = [count.t for count in before if count.shown == 0 and (not found or count.t > found[-1])]
    return 0.0009 if empty and at - empty[0] >= 0.99 else 0.25


def _not_counted_out(
    story: Story, sent: Sent, planned: PlannedServer, counts: list[Counted], since: float
) -> str:
    timeouts = [sent.scene.balancers[lb_id].timeout_s for lb_id in _balancers_of(planned)]
    shortest_s = max(story.plan.min_drain_s, max(timeouts) + 1.0) - story.slack_s - SPARE_S
    needed = max(3, story.plan.zeros_needed)
    if not counts or counts[-1].shown != 0:
        return "without a last look that counts nothing"
    if sent.t - counts[-1].t > LOOK_S + SPARE_S:
        return "on a count that is too old"
    most: list[Counted] = []
    running: list[Counted] = []
    for count in reversed(counts):
        if count.shown:
            break
        if count.shown is None:
            running = []  # unknown is not zero: the looks before it do not run on
        elif count.t - since >= shortest_s and (
            not running or running[-1].t - count.t >= _apart_s(story, counts, running[-1].t, since)
        ):
            running = [*running, count]
        most = max(most, running, key=len)
    if len(most) < needed:
        return f"after {len(most)} looks running that counted nothing, not {needed}"
    if all(count.truth > 0 for count in most):
        return f"with {most[0].truth} connections open in truth"
    return ""


def _cut_allowed(story: Story, place: int, server: str) -> int | None:
    """Return how many connections of a server a person let be cut in this drain; None: nobody did."""
    allowed = None
    for event in story.events[:place]:
        if isinstance(event, Asked) and event.name == "go_on" and event.server == server:
            answer = story.last(Answered, place, command=event.command)
            if answer is not None and answer.accepted:
                shown = [c.shown for c in story.every(Counted, 0, story.events.index(event), server=server)]
                named = event.args.get("connections")
                allowed = (
                    int(named)
                    if named is not None
                    else next((s for s in reversed(shown) if s is not None), 10**6)
                )
        elif isinstance(event, Sent) and event.server == server and event.is_put_back:
            allowed = None
    return allowed


def _cut_allowed_when_sent(story: Story, place: int, server: str) -> bool:
    """Whether a removal that a person let cut connections is being applied still, though it was called back since."""
    sends = [(at, sent) for at, sent in story.sends() if at < place and sent.server == server]
    removals = [(at, sent) for at, sent in sends if sent.name == "remove"]
    if not removals:
        return False
    at, removal = removals[-1]
    is_fresh = story.events[place].t - removal.t <= SPARE_S
    return is_fresh and _cut_allowed(story, at, server) is not None


def _left_at(story: Story, place: int, planned: PlannedServer) -> float | None:
    """Return when looks first showed the server in none of its balancers, without a break since; None if not."""
    left = 0.0
    for lb_id in _balancers_of(planned):
        began: float | None = None
        for event in reversed(story.events[:place]):
            if not isinstance(event, Looked) or event.key != f"lb:{lb_id}" or event.balancer is None:
                continue
            if event.balancer.of(planned.server_id):
                break
            began = event.t
        if began is None:
            return None
        left = max(left, began)
    return left


def deletes_only_after_watching_the_pool(story: Story) -> Iterator[str]:
    """Between removal and deletion the site was asked over the whole soak, and its newest answers were good."""
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if sent.name != "delete" or planned is None:
            continue
        left = _left_at(story, place, planned)
        if left is None:
            continue  # `deletes_only_what_is_in_no_balancer` judges that
        if sent.t - left < story.plan.soak_s - story.slack_s - SPARE_S:
            yield f"{planned.name} is deleted {sent.t - left:.1f} s after it left, before the soak is over"
        for probe in story.plan.probes:
            asked = [
                p
                for p in story.every(Probed, 0, place, lb_id=int(probe.url.rsplit("/", 1)[1]))
                if p.t >= left - SPARE_S
            ]
            if not _was_watched(story, sent.t, asked):
                yield f"{planned.name} is deleted without a good look at {probe.name} since it left"
            elif not asked[-1].ok:
                yield f"{planned.name} is deleted although the newest look at {probe.name} was bad"


def _was_watched(story: Story, t: float, asked: list[Probed]) -> bool:
    """Whether some stretch of looks that ends within a minute of `t` is long enough, and good."""
    lasts_s = min(story.plan.soak_s, 10.0) - 2 * SPARE_S - story.slack_s
    for end in range(len(asked), 2, -1):
        if t - asked[end - 1].t > VERDICT_S + SPARE_S + story.slack_s:
            return False
        bad = 0
        for begin in range(end - 1, -1, -1):
            bad += not asked[begin].ok
            size = end - begin
            long_enough = size >= 3 and asked[end - 1].t - asked[begin].t >= lasts_s
            if long_enough and bad / size <= story.plan.probe_failures_allowed:
                return True
    return False


def deletes_only_while_answers_are_as_fast(story: Story) -> Iterator[str]:
    """Where the plan holds answers against those before: none is deleted while they are far slower than allowed."""
    if story.plan.slower_allowed is None:
        return
    first = next((sent.t for _, sent in story.sends() if sent.name == "set_DRAINING"), None)
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        left = None if sent.name != "delete" or planned is None else _left_at(story, place, planned)
        if left is None or first is None:
            continue
        for probe in story.plan.probes:
            took = [
                (p.t, p.took_ms)
                for p in story.every(Probed, 0, place, lb_id=int(probe.url.rsplit("/", 1)[1]))
                if p.ok and p.took_ms is not None
            ]
            was = [ms for t, ms in took if t < first]
            now = [ms for t, ms in took if t > max(left, sent.t - VERDICT_S)]
            if len(was) < FEWEST_ANSWERS or len(now) < FEWEST_ANSWERS:
                yield f"{sent.server} is deleted with {len(now)} answers of {probe.name} held against {len(was)}"
            elif median(now) > FAR * (1.0 + PROMISED_SLOWNESS * story.plan.slower_allowed) * median(was):
                yield f"{sent.server} is deleted while {probe.name} takes {median(now):.0f} ms, not {median(was):.0f}"


def deletes_only_what_the_next_peak_allows(story: Story) -> Iterator[str]:
    """With ceiling and next peak known: the servers that serve when one is deleted carry that peak."""
    plan = story.plan
    if plan.ceiling_rps is None or plan.forecast_peak_rps is None or plan.remaining_reason:
        return
    known = _known(story)
    for place, sent in story.sends():
        if sent.name != "delete" or _planned(story, sent.server) is None:
            continue
        serve: set[str] = set()
        for lb_id in map(int, plan.balancer_ids):
            look = story.last(Looked, place, key=f"lb:{lb_id}")
            serve |= sent.scene.balancers[lb_id].serving() & known
            serve |= set() if look is None or look.balancer is None else look.balancer.serving() & known
        if plan.forecast_peak_rps > len(serve) * plan.ceiling_rps:
            yield f"{sent.server} is deleted and {len(serve)} servers cannot carry {plan.forecast_peak_rps:g} requests/s"


def says_gone_only_of_what_is_gone(story: Story) -> Iterator[str]:
    """A server that is called retired, or gone by another hand, is gone at the provider."""
    for line in story.every(Wrote):
        if line.kind not in {"server_retired", "server_gone"}:
            continue
        if story.deleted_at.get(line.subject, 1e9) <= line.t:
            continue
        yield f"{line.subject} is said to be {line.kind.removeprefix('server_')} and lives"


def leaves_out_only_what_cannot_serve(story: Story) -> Iterator[str]:
    """A put-back is given up only after an abort or a roll back, of a server that could not serve for long."""
    for place, line in enumerate(story.events):
        if (
            isinstance(line, Wrote)
            and line.kind == "server_left_out"
            and not _was_given_up(story, place, line)
        ):
            yield f"{line.subject} is left out and could serve, or nobody asked for its way back"


def _was_given_up(story: Story, place: int, line: Wrote) -> bool:
    """Whether it lives but could not serve in any look for long, after a person had all that is out put back."""
    planned = _planned(story, line.subject)
    asked = [one for one in story.every(Asked, 0, place) if one.name in {"abort", "roll_back", "grow_again"}]
    if planned is None or not asked:
        return False
    since_t = line.t - UNFIT_S + story.slack_s
    looks = [k for k in story.every(Looked, 0, place, key=f"server:{line.subject}") if k.t >= since_t]
    seen = [k.server for k in looks if k.server is not None]
    return bool(seen) and not any(
        s.status == "ACTIVE"
        and not s.is_being_deleted
        and (not planned.image_id or s.image == planned.image_id)
        and set(s.addresses) >= {node.address for node in planned.nodes}
        for s in seen
    )


def waits_for_no_search_in_vain(story: Story) -> Iterator[str]:
    """No run halts since it was not searched for one server while it searched for another all the time."""
    for place, line in enumerate(story.events):
        if not isinstance(line, Wrote) or line.kind != "halted":
            continue
        if not str(line.detail.get("code")).endswith("_no_search"):
            continue
        done = [k for k in story.every(Looked, 0, place) if k.key.startswith("search:")]
        if any(line.t - k.t < SEARCH_S for k in done):
            yield f"it halts for want of a search, and one for {done[-1].key} was done just now"


def says_back_only_of_what_is_back(story: Story) -> Iterator[str]:
    """A server that is called back in the pool serves on each of its balancers."""
    for place, line in enumerate(story.events):
        if not isinstance(line, Wrote) or line.kind not in {"server_restored", "server_queued"}:
            continue
        planned = _planned(story, line.subject)
        if planned is None or story.meddled(line.subject):
            continue
        for lb_id in _balancers_of(planned):
            look = story.last(Looked, place, key=f"lb:{lb_id}")
            nodes = [] if look is None or look.balancer is None else look.balancer.of(line.subject)
            if not nodes or any(node.condition != "ENABLED" for node in nodes):
                yield f"{planned.name} is said to be back and is not in service on {lb_id}"


def _accepted(story: Story, place: int, name: str) -> list[Asked]:
    """Return the commands of that name that the run took before."""
    return [asked for asked in story.every(Asked, 0, place, name=name) if _answer(story, asked.command)]


def _has_fallen(story: Story, place: int, sent: Sent, what: str) -> bool:
    """Whether an approval had fallen by what the database said when the lease of this change was claimed."""
    stands = story.last(Fact, _taken(story, place, sent), what=what)
    return stands is not None and not stands.value


def creates_no_more_than_was_approved(story: Story) -> Iterator[str]:
    """A server is created only by a roll back, or by name where both sides approved growing again; from an ACTIVE image,
    in place of a planned one that is gone, and once."""
    for place, sent in story.sends():
        if sent.name != "create":
            continue
        if not _accepted(story, place, "roll_back"):
            grown = _accepted(story, place, "grow_again")
            named = {one["server_id"] for asked in grown for one in asked.args["growth"]["servers"]}
            if sent.server not in named:
                yield f"a server in place of {sent.server} is created although nobody rolled back, or approved it"
            if _has_fallen(story, place, sent, "growth"):
                yield f"a server in place of {sent.server} is created although growing again is not approved any more"
        old = sent.scene.servers.get(sent.server)
        if old is None or not old.is_gone:
            yield f"a server in place of {sent.server} is created while that is there"
        if not any(image.status == "ACTIVE" for image in sent.scene.images):
            yield f"a server in place of {sent.server} is created without an image that is ready"
    made = Counter(s.in_place_of for s in story.end.servers.values() if s.in_place_of and not s.is_gone)
    for server, count in made.items():
        if count > 1:
            yield f"{count} servers were created in place of {server}"


def lets_serve_only_what_answered(story: Story) -> Iterator[str]:
    """A server that was created anew enters DRAINING, and is enabled only after it answered itself, or its monitor did."""
    for place, sent in story.sends():
        if not sent.server.startswith(ANEW) or sent.name != "set_ENABLED":
            continue
        new = {
            s.server for s in sent.scene.servers.values() if s.in_place_of == sent.server.removeprefix(ANEW)
        }
        added = story.last(Sent, place, name="add", server=sent.server)
        replied = [r for server in new for r in story.every(Replied, 0, place, server=server)]
        if added is None or not any(r.t >= added.t - SPARE_S for r in replied):
            yield f"{sent.server} is enabled before it answered"


def deletes_only_what_was_stopped_for_long_enough(story: Story) -> Iterator[str]:
    """Where the plan stops servers first, every look over the whole time before the deletion showed it stopped."""
    if not story.plan.stop_s:
        return
    for place, sent in story.sends():
        if sent.name != "delete":
            continue
        since: float | None = None
        for look in reversed(story.every(Looked, 0, place, key=f"server:{sent.server}")):
            if look.server is None or look.server.is_busy:
                continue
            if not look.server.is_stopped:
                break
            since = look.t
        spare_s = SPARE_S + story.slack_s
        if since is None or sent.t - since < story.plan.stop_s - spare_s:
            yield f"{sent.server} is deleted although it was not stopped for {story.plan.stop_s:.0f} s"


def _removed_at(story: Story, place: int, planned: PlannedServer) -> float | None:
    """Return when this run took a server out of the last of its balancers, since it last put it back; None if unknown."""
    removed: list[float] = []
    for lb_id in _balancers_of(planned):
        mine = story.every(Sent, 0, place, server=planned.server_id, lb_id=lb_id)
        back = max((n for n, sent in enumerate(mine) if sent.is_put_back), default=-1)
        removed += [sent.t for sent in mine[back + 1 :] if sent.name == "remove"][:1]
    return max(removed) if removed else _left_at(story, place, planned)


def cuts_off_only_what_was_held_for_long_enough(story: Story) -> Iterator[str]:
    """None is stopped or deleted before its hold is over: its hours, and the peak through which it is held, whole."""
    plan = story.plan
    spare_s = SPARE_S + story.slack_s
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if sent.name not in {"stop", "delete"} or planned is None:
            continue
        left = _removed_at(story, place, planned)
        if left is None:
            continue  # `deletes_only_what_is_in_no_balancer` judges that
        held_s = sent.t - left - plan.soak_s
        if held_s < plan.hold_s - spare_s:
            yield f"{planned.name} is cut off ({sent.name}) after a hold of {held_s:.0f} s, not {plan.hold_s:.0f}"
        if plan.hold_through is None:
            continue
        if sent.at < plan.hold_through - timedelta(seconds=spare_s):
            yield f"{planned.name} is cut off ({sent.name}) before the peak is over through which it is held"
        over_t = sent.t + (plan.hold_through - sent.at).total_seconds()
        if left > over_t - PEAK_SPARE_S + spare_s:
            yield f"{planned.name} is cut off ({sent.name}) although it served until the peak was all but over"


def brings_back_only_what_runs(story: Story) -> Iterator[str]:
    """A server that this run stopped is in no balancer again before a look showed that it runs."""
    for place, sent in story.sends():
        if sent.name != "add" or story.meddled(sent.server):
            continue
        if not story.every(Sent, 0, place, name="stop", server=sent.server):
            continue
        look = story.last(Looked, place, key=f"server:{sent.server}")
        if look is None or look.server is None or look.server.is_stopped or look.server.is_busy:
            yield f"{sent.server} is added while it does not run"


def sends_nobody_to_what_goes_down(story: Story) -> Iterator[str]:
    """What a look showed being deleted, or empty after a rebuild, is put in no balancer, nor enabled in one, after that look."""
    approved = {server.server_id: server.image_id for server in story.plan.servers}
    for place, sent in story.sends():
        if sent.name not in {"add", "set_ENABLED"} or sent.server not in approved:
            continue
        look = story.last(Looked, place, key=f"server:{sent.server}")
        if look is None or look.server is None:
            continue
        if look.server.is_being_deleted:
            yield f"{sent.server} is sent visitors while it is being deleted"
        elif sent.name == "add" and approved[sent.server] and look.server.image != approved[sent.server]:
            yield f"{sent.server} is sent visitors after it was rebuilt"


def brings_back_only_what_answers(story: Story) -> Iterator[str]:
    """What this run started is in no balancer again before it gave a sign of itself: visitors would get errors."""
    for place, sent in story.sends():
        starts = [p for p, s in story.sends() if p < place and (s.name, s.server) == ("start", sent.server)]
        if sent.name != "add" or not starts:
            continue
        counted = story.every(Counted, starts[-1], place, server=sent.server)
        if story.every(Replied, starts[-1], place, server=sent.server):
            continue
        if not any(count.shown is not None for count in counted):
            yield f"{sent.server} is added though it answers nothing since it was started"


def _alike(story: Story, server: str) -> set[str]:
    """Return the servers of the plan that are made like this one: same size, same image, same places."""

    def made(planned: PlannedServer) -> tuple[object, ...]:
        places = frozenset((node.balancer_id, node.port) for node in planned.nodes)
        known = planned.flavor_id is not None and planned.image_id is not None
        return (planned.flavor_id, planned.image_id, places) if known else (planned.server_id,)

    mine = next((made(s) for s in story.plan.servers if s.server_id == server), None)
    return {s.server_id for s in story.plan.servers if made(s) == mine}


def deletes_only_with_the_image_that_was_asked_for(story: Story) -> Iterator[str]:
    """Where the plan asks for images, none is deleted before an ACTIVE one of it, or of its kind, is there."""
    if story.plan.images is ImageRule.NONE:
        return
    for place, sent in story.sends():
        if sent.name != "delete":
            continue
        may_stand = {sent.server}
        if story.plan.images is ImageRule.ONE_PER_KIND:
            may_stand = _alike(story, sent.server)
        asked = [s.server for s in story.every(Sent, 0, place, name="image")]
        good = {image.server for image in sent.scene.images if image.status == "ACTIVE"}
        if not good & may_stand & set(asked):
            yield f"{sent.server} is deleted without the image that the plan asks for"


def asks_for_no_second_image_blindly(story: Story) -> Iterator[str]:
    """An image of the same server is asked for again only after a look at all images."""
    sends = [(place, sent) for place, sent in story.sends() if sent.name == "image"]
    for server in {sent.server for _, sent in sends}:
        mine = [place for place, sent in sends if sent.server == server]
        for first, second in pairwise(mine):
            looked = story.every(Looked, first, second, key="images")
            answered = story.every(Wrote, first, second, kind="outcome", outcome="try_later")
            answered += story.every(Wrote, first, second, kind="outcome", outcome="refused")
            answered += story.every(Wrote, first, second, kind="server_restored", subject=server)
            answered += story.every(
                Answered, first, second, accepted=True
            )  # a person resumed after a failed one
            if not looked and not answered:
                yield f"an image of {server} is asked for again without a look at the images"


# --- invariant 2: floor and load --------------------------------------------------------------------------


def _known(story: Story) -> set[str]:
    return {s.server_id for s in (*story.plan.servers, *story.plan.remaining)}


def keeps_the_floor(story: Story) -> Iterator[str]:
    """On each balancer of the server enough distinct servers stay in service when it goes."""
    known = _known(story)
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if planned is None or not _is_taking_out(sent):
            continue
        for lb_id in _balancers_of(planned):
            left = (sent.scene.balancers[lb_id].serving() & known) - {sent.server}
            look = story.last(Looked, place, key=f"lb:{lb_id}")
            seen = set() if look is None or look.balancer is None else look.balancer.serving() & known
            # What went down just now still reads ONLINE: the health monitor takes a few checks to notice.
            seen |= known & {
                hand.server
                for hand in story.every(Other, 0, place)
                if hand.what in _UNSEEN_S and hand.server and sent.t - hand.t <= _UNSEEN_S[hand.what]
            }
            if len(left) < story.plan.floor and len(seen - {sent.server}) < story.plan.floor:
                yield f"{sent.name} of {planned.name} leaves {len(left)} of {story.plan.floor} on {lb_id}"
            if not sent.scene.balancers[lb_id].has_monitor:
                yield from _unanswered(story, place, sent, left)


def _unanswered(story: Story, place: int, sent: Sent, left: set[str]) -> Iterator[str]:
    """Without a health monitor each server that stays has answered itself within 30 s."""
    for server in sorted(left):
        answered = [c.t for c in story.every(Counted, 0, place, server=server) if c.shown is not None]
        answered += [reply.t for reply in story.every(Replied, 0, place, server=server)]
        if not answered or sent.t - max(answered) > ANSWER_S + SPARE_S + story.slack_s:
            yield f"{sent.name} rests on {server}, which has not answered itself within 30 s"


def _mean_without(balancers: dict[int, BalancerTruth], out: str, lb_id: int, known: set[str]) -> float:
    """Return what each known server left on a balancer carries once `out` serves nowhere, from all balancers."""
    left = {i: balancer.serving() - {out} for i, balancer in balancers.items()}
    ours = left[lb_id] & known
    total = sum(
        balancers[i].wanted_rps / len(serving)
        for server in ours
        for i, serving in left.items()
        if server in serving
    )
    return total / len(ours) if ours else 0.0


def keeps_the_load_under_the_guard(story: Story) -> Iterator[str]:
    """Present load over what remains stays under the ceiling less headroom, or under what was fine; a sudden rise may be unseen yet."""
    guard = _guard(story)
    if guard is None:
        return
    most = guard * 1.03 + 0.5
    known = _known(story)
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if planned is None or not _is_taking_out(sent):
            continue
        calmest = {
            lb_id: min(
                [balancer.wanted_rps]
                + [
                    look.balancer.wanted_rps
                    for look in story.every(Looked, 0, place, key=f"lb:{lb_id}")
                    if look.balancer is not None and sent.t - look.t <= LOAD_SEEN_S + story.slack_s
                ]
            )
            for lb_id, balancer in sent.scene.balancers.items()
        }
        shown = {}
        for lb_id, balancer in sent.scene.balancers.items():
            look = story.last(Looked, place, key=f"lb:{lb_id}")
            nodes = balancer.nodes if look is None or look.balancer is None else look.balancer.nodes
            shown[lb_id] = BalancerTruth(
                lb_id, balancer.status, nodes, calmest[lb_id], balancer.has_monitor, balancer.timeout_s
            )
        for lb_id in _balancers_of(planned):
            mean = _mean_without(shown, sent.server, lb_id, known)
            if mean > most:
                yield f"{sent.name} of {planned.name} leaves {mean:.1f} requests/s to each on {lb_id}"


def rests_on_fresh_looks(story: Story) -> Iterator[str]:
    """Each drain, removal and deletion rests on looks younger than 10 s at all that it concerns."""
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if sent.is_put_back or planned is None:
            continue
        keys = [f"lb:{lb_id}" for lb_id in _balancers_of(planned)]
        if sent.name == "image":
            keys = [f"server:{sent.server}"]
        if sent.name in {"delete", "stop"}:
            keys = [*(f"lb:{lb_id}" for lb_id in story.plan.balancer_ids), f"server:{sent.server}"]
        for key in keys:
            look = story.last(Looked, place, key=key)
            if look is None or sent.t - look.t > LOOK_S + SPARE_S:
                yield f"{sent.name} of {planned.name} rests on no fresh look at {key}"


def puts_back_in_danger(story: Story) -> Iterator[str]:
    """While fewer than the floor serve, or the site fails, and one of ours is out and alive, it is tried to put it back."""
    known = _known(story)
    since: dict[tuple[int, str], float] = {}
    failing: Counter[int] = Counter()
    good: Counter[int] = Counter()
    for place, event in enumerate(story.events):
        if isinstance(event, Probed):
            good[event.lb_id] = good[event.lb_id] + 1 if event.ok else 0
            if not event.ok:
                failing[event.lb_id] += 1
            elif failing[event.lb_id] < FAILED_LOOKS or good[event.lb_id] >= GOOD_LOOKS:
                failing[event.lb_id] = 0
        if isinstance(event, Sent) and event.is_put_back:
            since.clear()
        if not isinstance(event, Looked) or event.balancer is None or not event.tells:
            continue
        balancer = event.balancer
        broken = len(balancer.serving() & known) < story.plan.floor
        fails = max(failing.values(), default=0) >= FAILED_LOOKS
        for planned in story.plan.servers:
            key = (balancer.lb_id, planned.server_id)
            if not (broken or fails) or not _is_ours_out(story, place, planned, balancer):
                since.pop(key, None)
                continue
            if event.t - since.setdefault(key, event.t) > DANGER_S:
                why = "fewer than the floor serve" if broken else "the site fails"
                yield f"{planned.name} stays out of {balancer.lb_id} although {why}"
                return


def _guard(story: Story) -> float | None:
    plan = story.plan
    guard = plan.fine_load_rps if plan.ceiling_rps is None else plan.ceiling_rps * plan.guard_share
    return guard if plan.measures_load else None


def _too_much(story: Story) -> Iterator[tuple[int, Looked, bool]]:
    """Yield each look at a balancer with its place, and whether every node carries more than it may, beyond any doubt.

    While a server's counters cannot be read nobody knows the load: the count begins anew then.
    """
    guard, known = _guard(story), _known(story)
    shown: dict[int, BalancerTruth] = {}
    unread: dict[str, bool] = {}
    for place, event in enumerate(story.events):
        if isinstance(event, Counted):
            unread[event.server] = event.shown is None
        if not isinstance(event, Looked) or event.balancer is None or not event.tells or guard is None:
            continue
        shown[event.balancer.lb_id] = event.balancer
        mean = _mean_without(shown, "", event.balancer.lb_id, known)
        yield place, event, mean > TOO_MUCH * guard and not any(unread.values())


def puts_back_what_the_load_needs(story: Story) -> Iterator[str]:
    """While each node carries more than it may, in any phase, it is tried to put back what is out and alive."""
    since: dict[tuple[int, str], float] = {}
    done = 0
    for place, look, is_too_much in _too_much(story):
        assert look.balancer is not None
        if any(isinstance(e, Sent) and e.is_put_back for e in story.events[done:place]):
            since.clear()
        done = place
        for planned in story.plan.servers:
            key = (look.balancer.lb_id, planned.server_id)
            if not is_too_much or not _is_ours_out(story, place, planned, look.balancer):
                since.pop(key, None)
            elif look.t - since.setdefault(key, look.t) > DANGER_S:
                yield f"{planned.name} stays out of {look.balancer.lb_id} although the rest carries too much"
                return


def _stands(story: Story, place: int) -> bool:
    """Whether the run was paused or halted at a place."""
    for event in reversed(story.events[:place]):
        if isinstance(event, Wrote) and event.kind in {"halted", "status"}:
            return event.kind == "halted" or event.detail.get("became") in {"halted", "paused"}
    return False


def tells_of_a_peak_that_is_too_much(story: Story) -> Iterator[str]:
    """A run that is open for nothing but the peak halts where the peak is more than its servers carry."""
    since: float | None = None
    for place, look, is_too_much in _too_much(story):
        begun = story.last(Wrote, place, kind="peak_watch_begun")
        if begun is None or not is_too_much or _stands(story, place):
            since = None
            continue
        since = look.t if since is None else since
        if look.t - since > DANGER_S:
            yield f"for {look.t - since:.0f} s of the peak each server carried too much, and nobody was told"
            return


def ends_only_after_its_peak(story: Story) -> Iterator[str]:
    """A run that took servers out and is to watch a peak is open until that is over, unless a person ended it."""
    until, first = story.plan.watch_until, next((sent for _, sent in story.sends()), None)
    if until is None or first is None or not {"retired", "gone"} & set(story.phases.values()):
        return
    until_t = first.t + (until - first.at).total_seconds()
    for place, line in enumerate(story.events):
        if not isinstance(line, Wrote) or line.kind != "status" or line.detail.get("became") != "completed":
            continue
        if line.t >= until_t - SPARE_S - 2 * story.slack_s or _was_ended(story, place):
            continue
        yield f"it ends {until_t - line.t:.0f} s before the peak is over that it is to watch"


def _was_ended(story: Story, place: int) -> bool:
    """Whether a person had servers come back, or ended a run that watched its peak by then."""
    if _accepted(story, place, "grow_again"):
        return True
    for at, answered in enumerate(story.events[:place]):
        if not isinstance(answered, Answered) or not answered.accepted:
            continue
        begun = story.every(Wrote, 0, at, kind="peak_watch_begun")
        finished = story.every(Asked, 0, at, name="finish_here", command=answered.command)
        if any(watch.t < asked.t for watch in begun for asked in finished):
            return True
    return False


def _is_ours_out(story: Story, place: int, planned: PlannedServer, balancer: BalancerTruth) -> bool:
    """Whether a server that lives and that nobody else touched is out of a balancer by a change of ours."""
    server = planned.server_id
    if balancer.lb_id not in _balancers_of(planned) or story.meddled(server, balancer.lb_id):
        return False
    if any(node.condition == "ENABLED" for node in balancer.of(server)):
        return False
    if story.every(Sent, 0, place, name="delete", server=server):
        return False
    return bool(story.every(Sent, 0, place, server=server, lb_id=balancer.lb_id))


# --- invariant 3: one at a time -------------------------------------------------------------------------


def takes_out_one_at_a_time(story: Story) -> Iterator[str]:
    """No server begins to drain while another one drains, or has left less than a soak ago."""
    for place, sent in story.sends():
        if sent.name != "set_DRAINING":
            continue
        for planned in story.plan.servers:
            other = planned.server_id
            if other == sent.server or sent.scene.servers[other].is_gone or story.meddled(other):
                continue
            if not [s for s in story.every(Sent, 0, place, server=other) if not s.is_put_back]:
                continue
            states = _states_seen(story, place, planned)
            if "DRAINING" in states:
                yield f"{sent.server} begins to drain while {planned.name} drains"
            elif "ABSENT" in states and not _is_through(story, place, sent, planned):
                yield f"{sent.server} begins to drain while the pool is watched without {planned.name}"


def _states_seen(story: Story, place: int, planned: PlannedServer) -> set[str]:
    states: set[str] = set()
    for lb_id in _balancers_of(planned):
        look = story.last(Looked, place, key=f"lb:{lb_id}", tells=True)
        if look is not None and look.balancer is not None:
            nodes = look.balancer.of(planned.server_id)
            states |= {node.condition for node in nodes} or {"ABSENT"}
    return states


def _is_through(story: Story, place: int, sent: Sent, planned: PlannedServer) -> bool:
    left = _left_at(story, place, planned)
    return left is not None and sent.t - left >= story.plan.soak_s - story.slack_s - SPARE_S


# --- invariant 5: other hands ---------------------------------------------------------------------------


def deletes_nothing_that_another_hand_changed(story: Story) -> Iterator[str]:
    """A server whose node another hand took, drained, disabled or enabled is not deleted until a person says so."""
    for place, sent in story.sends():
        planned = _planned(story, sent.server)
        if sent.name != "delete" or planned is None:
            continue
        for at, event in enumerate(story.events[:place]):
            if not isinstance(event, Other) or event.server != sent.server or event.lb_id is None:
                continue
            if not _was_seen(story, at, place, event) or _was_accepted(story, at, place, sent.server):
                continue
            yield f"{planned.name} is deleted although another hand changed it ({event.what})"
            break


FORBIDDING = {"DISABLED", "DRAINING", "ENABLED", "remove_node"}


def _was_seen(story: Story, at: int, place: int, other: Other) -> bool:
    """Whether the first look that tells, after another hand's change, shows a state that we never asked for."""
    if other.what not in FORBIDDING:
        return False
    look = next(
        (
            e
            for e in story.events[at:place]
            if isinstance(e, Looked) and e.key == f"lb:{other.lb_id}" and e.tells and e.balancer is not None
        ),
        None,
    )
    before = next(
        (
            e
            for e in reversed(story.events[:at])
            if isinstance(e, Looked) and e.key == f"lb:{other.lb_id}" and e.tells and e.balancer is not None
        ),
        None,
    )
    if look is None or before is None or look.balancer is None or before.balancer is None:
        return False

    def state(balancer: BalancerTruth) -> str:
        return next((node.condition for node in balancer.of(str(other.server))), "ABSENT")

    asked = {
        {"remove": "ABSENT", "add": "ENABLED"}.get(s.name, s.name.removeprefix("set_"))
        for s in story.every(Sent, 0, place, server=other.server, lb_id=other.lb_id)
    }
    shown = state(look.balancer)
    return shown != state(before.balancer) and shown not in asked and shown != "ENABLED"


def _was_accepted(story: Story, at: int, place: int, server: str) -> bool:
    return any(
        event.name == "resume" and event.args.get("confirm") and server in (event.args.get("servers") or ())
        for event in story.every(Asked, at, place)
    )


# --- invariants 6 and 8: people ---------------------------------------------------------------------------


def _answer(story: Story, command: int) -> bool | None:
    answers = story.every(Answered, command=command)
    return answers[0].accepted if answers else None


def sends_nothing_after_a_stop(story: Story) -> Iterator[str]:
    """After a standstill, an abort or a pause at once was answered nothing but putting back is sent."""
    for place, sent in story.sends():
        if sent.is_put_back:
            continue
        checked = next((at for at in range(place, -1, -1) if _is_check(story.events[at], sent.intent)), place)
        stood = story.last(Stood, checked)
        if stood is not None and stood.on:
            yield f"{sent.name} was sent at a standstill"
        for at in range(checked):
            event = story.events[at]
            if isinstance(event, Asked) and _still_stops(story, event, at, checked):
                yield f"{sent.name} was sent after {event.name}"


def _is_check(event: object, intent: int | None) -> bool:
    return isinstance(event, Checked) and event.intent == intent


def _still_stops(story: Story, asked: Asked, at: int, until: int) -> bool:
    if asked.name != "abort" and (asked.name, asked.args.get("when")) != ("pause", "now"):
        return False
    answers = story.every(Answered, 0, until, command=asked.command)
    if answers and not answers[0].accepted:
        return False
    if asked.name == "abort":
        return True
    return not any(
        # Growing again is approved by both sides for itself, as rolling back is: it goes on out of a pause.
        later.name in {"resume", "wait", "go_on", "roll_back", "grow_again"}
        and any(a.accepted for a in story.every(Answered, 0, until, command=later.command))
        for later in story.every(Asked, at, until)
    )


def _put_back_then(story: Story, answered: int) -> str | None:
    """Return the server that began to go back as a command was answered: who names none means the one in flight then."""
    at = story.events[answered].t
    begun = (line for line in story.every(Wrote, kind="put_back_begun") if line.t == at)
    return next((line.subject for line in begun), None)


def does_what_people_said(story: Story) -> Iterator[str]:
    """What was skipped or put back is left alone, and after "pause" and "finish here" no other server begins."""
    for at, asked in enumerate(story.events):
        if not isinstance(asked, Asked) or not _answer(story, asked.command):
            continue
        answered = next(
            p for p, e in enumerate(story.events) if isinstance(e, Answered) and e.command == asked.command
        )
        server = asked.args.get("server") or _put_back_then(story, answered) or asked.server
        told = story.every(Wrote, 0, answered, kind="server_draining")
        begun = {line.subject for line in told}
        in_hand = told[-1].subject if told else None
        for place, sent in story.sends():
            if place < answered or sent.is_put_back:
                continue
            if asked.name in {"skip", "put_back"} and sent.server == server:
                yield f"{sent.name} of a server that a person wanted to keep ({asked.name})"
            if sent.name != "set_DRAINING":
                continue
            if asked.name == "finish_here" and sent.server not in begun:
                yield "a server begins after a person finished here"
            resumed = any(
                _answer(story, later.command) for later in story.every(Asked, at, place, name="resume")
            )
            if asked.name == "pause" and not resumed and sent.server != in_hand:
                yield "a server begins although a person paused"


def needs_an_approval_and_someone_in_charge(story: Story) -> Iterator[str]:
    """Nothing is sent once the approval fell; no server begins with nobody in charge."""
    for place, sent in story.sends():
        if sent.is_put_back:
            continue
        took = _taken(story, place, sent)
        # What both sides approved to be created again does not rest on the approval to take servers out.
        grows = _accepted(story, place, "grow_again") and not _accepted(story, place, "roll_back")
        is_grown = sent.name == "create" or sent.server.startswith(ANEW)
        if not (grows and is_grown) and _has_fallen(story, place, sent, "approval"):
            yield f"{sent.name} was sent although the approval no longer stands"
        in_charge = story.last(Fact, took, what="in_charge")
        mine = story.every(Sent, 0, place, server=sent.server)
        begins = sent.name == "set_DRAINING" and not (mine and not mine[-1].is_put_back)
        if begins and in_charge is not None and in_charge.value is None and not story.plan.is_unattended:
            yield f"{sent.server} begins although nobody is in charge"


def begins_and_ends_nothing_in_a_freeze(story: Story) -> Iterator[str]:
    """In a freeze no server begins, and none is stopped or deleted."""
    for place, sent in story.sends():
        frozen = story.last(Fact, _taken(story, place, sent), what="freeze")
        if sent.is_put_back or frozen is None or not frozen.value:
            continue
        mine = story.every(Sent, 0, place, server=sent.server)
        begins = sent.name == "set_DRAINING" and not (mine and not mine[-1].is_put_back)
        if begins or sent.name in {"stop", "delete"}:
            yield f"{sent.server} is changed in a freeze: {sent.name}"


def counts_on_no_other_machine(story: Story) -> Iterator[str]:
    """No server begins while a machine serves that took over, long before, the address of one that stays."""
    stays = {one.server_id: one for one in story.plan.remaining}
    for place, sent in story.sends():
        mine = story.every(Sent, 0, place, server=sent.server)
        if sent.name != "set_DRAINING" or (mine and not mine[-1].is_put_back):
            continue
        late_t = sent.t - REPLACED_S - story.slack_s
        for other in story.every(Other, 0, place, what="replace_server"):
            if other.server not in stays or other.t > late_t:
                continue
            places = {node.address for node in stays[other.server].nodes}
            serving = {
                node.address for lb in sent.scene.balancers.values() for node in lb.nodes if node.serves
            }
            if places & serving:
                yield f"{sent.server} begins while another machine serves at the address of {other.server}"


def _window_of(plan: PlanData, at: datetime, spare: timedelta) -> tuple[datetime | None, datetime | None]:
    """Return the newest window that has opened by then, give or take `spare`; the first one before that."""
    spans = [(plan.window_start, plan.window_end), *((w.starts_at, w.ends_at) for w in plan.later_windows)]
    begun = [(start, end) for start, end in spans if start is None or start <= at + spare]
    return begun[-1] if begun else spans[0]


def keeps_to_the_window(story: Story) -> Iterator[str]:
    """No server begins outside the change windows, or so late that its soak would not fit."""
    spare = timedelta(seconds=LOOK_S + SPARE_S + story.slack_s)
    for place, sent in story.sends():
        if sent.name != "set_DRAINING":
            continue
        mine = story.every(Sent, 0, place, server=sent.server)
        start, end = _window_of(story.plan, sent.at, timedelta(seconds=story.slack_s))
        if mine and not mine[-1].is_put_back:
            if end is not None and sent.at > end + spare:
                yield f"{sent.server} is drained after the window"
            continue
        if start is not None and sent.at + timedelta(seconds=story.slack_s) < start:
            yield f"{sent.server} begins before the window"
        if end is not None and sent.at + timedelta(seconds=story.plan.soak_s) > end + spare:
            yield f"{sent.server} begins too late in the window"
        later = [one.starts_at for one in story.plan.later_windows if one.starts_at == start]
        opened_t = sent.t - (sent.at - later[0]).total_seconds() if later else 0.0
        if later and not any(
            line.t >= opened_t - story.slack_s for line in story.every(Wrote, 0, place, kind="preflight_good")
        ):
            yield f"{sent.server} begins in a later window without a fresh pre-flight"


def begins_with_the_held_only_in_the_windows_hours(story: Story) -> Iterator[str]:
    """The stop of a held server, its image, and else its deletion, begin in the window or in its hours of a later day."""
    start, end = story.plan.window_start, story.plan.window_end
    if start is None or end is None or end - start >= timedelta(days=1):
        return
    spare_s = LOOK_S + SPARE_S + story.slack_s
    for place, sent in story.sends():
        if sent.name not in {"stop", "image", "delete"}:
            continue
        before = [s.name for s in story.every(Sent, 0, place, server=sent.server)]
        if sent.name in before or (sent.name == "delete" and story.plan.images is not ImageRule.NONE):
            continue  # what was begun is finished
        start, end = _window_of(story.plan, sent.at, timedelta(seconds=spare_s))
        assert start is not None
        assert end is not None
        if story.plan.later_windows and start != story.plan.later_windows[-1].starts_at:
            into_s = (sent.at - start).total_seconds()  # hours of days come after the last one only
        else:
            into_s = (sent.at - start).total_seconds() % 86400
        if min(into_s, 86400 - into_s) > spare_s and into_s > (end - start).total_seconds() + spare_s:
            yield f"{sent.name} of {sent.server} begins outside the window's hours"


def _meddled_with_nodes(story: Story, server: str, lb_id: int) -> bool:
    """Whether another hand touched more of a server than what it is called, or the balancer."""
    renamed = [event for event in story.every(Other) if event.what == "rename_server"]
    rest = replace(story, events=tuple(event for event in story.events if event not in renamed))
    return rest.meddled(server, lb_id)


def leaves_nothing_draining_after_the_window(story: Story) -> Iterator[str]:
    """At the window's end a node that still drains is enabled again, also of a server that another hand renamed."""
    ends = [story.plan.window_end, *(one.ends_at for one in story.plan.later_windows)]
    offset_s = story.slack_s + 60.0
    world_start = next((s.at - timedelta(seconds=s.t) for _, s in story.sends()), None)
    if world_start is None:
        return
    starts = [one.starts_at for one in story.plan.later_windows]
    spans = [
        ((end - world_start).total_seconds(), (opens - world_start).total_seconds() if opens else math.inf)
        for end, opens in zip_longest(ends, starts)
        if end is not None
    ]
    for planned, (end_t, opens_t) in product(story.plan.servers, spans):
        for place, event in enumerate(story.events):
            if not isinstance(event, Looked) or event.balancer is None:
                continue
            if not end_t + offset_s <= event.t < opens_t:
                continue
            lb_id = event.balancer.lb_id
            drains = any(n.condition == "DRAINING" for n in event.balancer.of(planned.server_id))
            if not drains or lb_id not in _balancers_of(planned):
                continue
            if _meddled_with_nodes(story, planned.server_id, lb_id):
                continue
            tried = [s for s in story.every(Sent, 0, place, server=planned.server_id) if s.is_put_back]
            removed = story.every(Sent, 0, place, server=planned.server_id, name="remove")
            removed = removed or _may_be_removed(story, planned.server_id, place, event.t)
            if event.tells and not tried and not removed:
                yield f"{planned.name} still drains {event.t - end_t:.0f} s after the window's end"
                break


def _may_be_removed(story: Story, server: str, place: int, now: float) -> bool:
    """Whether a removal that passed its check may still land: its worker died, and nobody can know that it was not sent."""
    checked = {one.intent: one.t for one in story.every(Checked, 0, place)}
    return any(
        line.intent in checked and now <= checked[line.intent] + LATE_S + story.slack_s + 60.0
        for line in story.every(Wrote, 0, place, kind="intent", subject=server)
        if line.detail.get("action") == "remove_node"
        and all(w.by_reading for w in story.every(Wrote, 0, place, kind="outcome", intent=line.intent))
    )


# --- invariant 7: journal, doubt, lease -------------------------------------------------------------------


def journals_every_change(story: Story) -> Iterator[str]:
    """A line before each change, one after it, one change per intent, by the holder of the lease."""
    sends = list(story.sends())
    for number, (place, sent) in enumerate(sends):
        what = f"{sent.name} of {sent.server}"
        if sent.intent is None:
            yield f"{what} was sent without a journalled intent"
            continue
        if not story.every(Wrote, 0, place, kind="intent", intent=sent.intent):
            yield f"{what} has no line before it"
        if sum(s.intent == sent.intent for _, s in sends) > 1:
            yield f"{what} was sent twice for one intent"
        if sent.token != sent.holder_token:
            yield f"{what} was sent by a worker that had lost its lease"
        after = story.every(Wrote, place, None, intent=sent.intent)
        is_last = number == len(sends) - 1
        if not is_last and not any(w.kind in {"outcome", "in_doubt"} for w in after):
            yield f"{what} has no line after it"
    tokens = [line.token for line in story.every(Wrote) if line.token is not None]
    if tokens != sorted(tokens):
        yield "a worker that had lost its lease wrote into the journal"


def reads_before_it_goes_on(story: Story) -> Iterator[str]:
    """No change before the one before it is known: by its answer, or by two looks once it can no longer be
    under way. Nothing is sent twice without a look in between. What no look could tell holds up no put-back elsewhere."""
    sends = list(story.sends())
    for (first_at, first), (second_at, second) in pairwise(sends):
        what = f"{second.name} of {second.server} was sent"
        looks = [k for k in story.every(Looked, first_at, second_at, key=first.key) if k.tells]
        known = [
            w for w in story.every(Wrote, first_at, second_at, intent=first.intent) if w.kind == "outcome"
        ]
        if not known:
            yield f"{what} while what became of {first.name} is unknown"
        elif known[0].detail.get("code") == SET_ASIDE:
            is_elsewhere = second.is_put_back and second.key != first.key
            if not is_elsewhere and not looks:
                yield f"{what} without a look at {first.name}, of which nobody knows what became"
        elif known[0].outcome == "not_applied" and not known[0].by_reading:
            yield f"{what} since {first.name} was said not to have been sent, and was"
        elif known[0].by_reading:
            settled = [k for k in looks if k.t >= first.t + 0.9 * CALL_S - story.slack_s]
            if len(settled) < 2:
                yield f"{what} after {len(settled)} looks at what became of {first.name}, not two"
        same = (first.name, first.server, first.lb_id) == (second.name, second.server, second.lb_id)
        # What the provider refused outright, as too many or as wrong, was surely not begun: there is nothing to look for.
        refused = (
            first.name in {"image", "create"} and bool(known) and known[0].outcome in {"try_later", "refused"}
        )
        if same and not refused and not story.every(Looked, first_at, second_at, key=first.key):
            yield f"{what} again without a look"


# --- harm, and how it ends ---------------------------------------------------------------------------------


def cuts_nobody_unasked(story: Story) -> Iterator[str]:
    """No connection of a visitor is cut by us, but where plan or person let it."""
    if story.plan.at_limit is AtLimit.CUT:
        return
    for place, cut in enumerate(story.events):
        if not isinstance(cut, Cut):
            continue
        server = cut.server or ""
        if _cut_allowed(story, place, server) is not None or story.meddled(server):
            continue
        if _cut_allowed_when_sent(story, place, server):
            continue
        if story.plan.accepted_grade is Grade.TIMED and not story.every(Counted, 0, place, server=server):
            continue  # time is no count: what it cannot see may be cut, and the approvers were told so
        if story.every(Wrote, 0, place, kind="delete_may_still_land", subject=server):
            continue  # the site needed it although its deletion might land late, which was said
        last = [s for s in story.every(Sent, 0, place, server=server) if s.name in {"remove", "delete"}]
        deceived = any(c.shown == 0 and c.truth > 0 for c in story.every(Counted, 0, place, server=server))
        if last and deceived:
            continue
        if story.is_sticky and last and (cut.t - last[-1].t > SPARE_S or _was_empty(last[-1])):
            continue  # a visitor who sticks to it came while the balancer applied the removal
        yield f"{cut.connections} connections of {server} were cut by us"


def _was_empty(sent: Sent) -> bool:
    """Whether nobody was on the server, in truth, as the change was sent."""
    nodes = [node for balancer in sent.scene.balancers.values() for node in balancer.of(sent.server)]
    return bool(nodes) and all(node.open == 0 for node in nodes)


def comes_to_a_rest(story: Story) -> Iterator[str]:
    """It ends, is stopped, or waits for a named thing; nobody forgets it."""
    for event in story.every(Forgotten):
        yield f"nobody looked at the run for {event.for_s:.0f} s"
    over = {"completed", "aborted", "rolled_back"}
    if story.status in {"halted", "paused"} | over or story.waits in NAMED_WAITS | BOUNDED_WAITS:
        return
    yield f"the run neither ended nor stopped: {story.status}, waits for {story.waits!r}"


def never_fails_by_itself(story: Story) -> Iterator[str]:
    """The run never halts because the portal itself failed."""
    for line in story.every(Wrote, kind="halted"):
        if line.detail.get("code") == "internal_error":
            yield "the portal itself failed"


def ends_tidy(story: Story) -> Iterator[str]:
    """What is over leaves every server either deleted or in service as it was."""
    if story.status == "completed":
        for server, phase in story.phases.items():
            has_grown = phase == "recreated" and _accepted(story, len(story.events), "grow_again")
            if phase not in {"retired", "skipped", "restored", "gone"} and not has_grown:
                yield f"completed with {server} {phase}"
    if story.status not in {"completed", "aborted", "rolled_back"}:
        return
    for planned in story.plan.servers:
        truth = story.end.servers[planned.server_id]
        phase = story.phases[planned.server_id]
        if phase == "retired" and not (truth.is_gone or truth.is_busy):
            yield f"{planned.name} is said to be retired and lives"
        if truth.is_gone or truth.is_busy or phase in {"retired", "recreated"}:
            continue
        if truth.is_stopped and not story.meddled(planned.server_id):
            yield f"{planned.name} ({phase}) was left stopped by a run that is over"
        for lb_id in _balancers_of(planned):
            nodes = story.end.balancers[lb_id].of(planned.server_id)
            good = nodes and all(node.condition == "ENABLED" for node in nodes)
            # A deletion that was accepted and never took effect: nobody goes behind it again, and the run names it.
            is_named = bool(story.every(Wrote, kind="server_may_live_on", subject=planned.server_id))
            if not good and not is_named and not story.meddled(planned.server_id, lb_id):
                yield f"{planned.name} ({phase}) was left out of {lb_id} by a run that is over"


def forgets_no_image(story: Story) -> Iterator[str]:
    """A run that is over knows every image that it made: each is on its list, with a date, and paid for by somebody."""
    if story.status not in {"completed", "aborted", "rolled_back"}:
        return
    planned = {server.server_id: server.name for server in story.plan.servers}
    for image in story.end.images:
        if image.server in planned and image.image not in story.images:
            yield f"an image of {planned[image.server]} is there, and the run does not know it"


def leaves_no_node_of_what_is_gone(story: Story) -> Iterator[str]:
    """No balancer holds an address of a server that is gone once the run is over: it may be another's by then.

    But for a node that another hand touched, and one that the run said is to be taken out by hand.
    """
    if story.status not in {"completed", "aborted", "rolled_back"}:
        return
    for planned in story.plan.servers:
        server = planned.server_id
        if not story.end.servers[server].is_gone or story.phases[server] not in {"retired", "gone"}:
            continue
        if story.every(Wrote, kind="node_left", subject=server):
            continue
        addresses = {*planned.addresses, *(node.address for node in planned.nodes)}
        for lb_id, balancer in story.end.balancers.items():
            held = any(node.address in addresses for node in balancer.nodes)
            if held and not story.meddled(server, lb_id):
                yield f"{planned.name} is gone, and {lb_id} still holds its address"


RULES: tuple[Rule, ...] = (
    touches_only_the_plans_servers,
    deletes_only_what_was_approved,
    deletes_only_what_is_in_no_balancer,
    cuts_off_only_what_is_silent,
    deletes_only_what_nothing_protects,
    removes_only_what_is_drained,
    deletes_only_after_watching_the_pool,
    deletes_only_with_the_image_that_was_asked_for,
    asks_for_no_second_image_blindly,
    deletes_only_what_was_stopped_for_long_enough,
    cuts_off_only_what_was_held_for_long_enough,
    brings_back_only_what_runs,
    brings_back_only_what_answers,
    sends_nobody_to_what_goes_down,
    deletes_only_while_answers_are_as_fast,
    deletes_only_what_the_next_peak_allows,
    creates_no_more_than_was_approved,
    lets_serve_only_what_answered,
    says_gone_only_of_what_is_gone,
    leaves_out_only_what_cannot_serve,
    waits_for_no_search_in_vain,
    says_back_only_of_what_is_back,
    keeps_the_floor,
    keeps_the_load_under_the_guard,
    rests_on_fresh_looks,
    puts_back_in_danger,
    puts_back_what_the_load_needs,
    tells_of_a_peak_that_is_too_much,
    ends_only_after_its_peak,
    takes_out_one_at_a_time,
    deletes_nothing_that_another_hand_changed,
    sends_nothing_after_a_stop,
    does_what_people_said,
    needs_an_approval_and_someone_in_charge,
    begins_and_ends_nothing_in_a_freeze,
    counts_on_no_other_machine,
    keeps_to_the_window,
    begins_with_the_held_only_in_the_windows_hours,
    leaves_nothing_draining_after_the_window,
    journals_every_change,
    reads_before_it_goes_on,
    cuts_nobody_unasked,
    comes_to_a_rest,
    never_fails_by_itself,
    ends_tidy,
    forgets_no_image,
    leaves_no_node_of_what_is_gone,
)


def judge(story: Story) -> list[str]:
    """Return what a story broke, each with its rule; [] for a good one."""
    return [f"{rule.__name__}: {what}" for rule in RULES for what in rule(story)]
