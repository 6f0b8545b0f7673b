"""The oracle has teeth: each of its rules finds a history that breaks it. The bad histories are a good one, as it
really went, with one thing changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scaledown.types import AtLimit, Grade, ImageRule, PlannedWindow
from tests.faults import history, oracle
from tests.faults.history import (
    Answered,
    Asked,
    Checked,
    Counted,
    Cut,
    Fact,
    Forgotten,
    ImageTruth,
    Looked,
    Other,
    Probed,
    Sent,
    Stood,
    Wrote,
)
from tests.faults.simulation import simulate


@pytest.fixture(scope="module")
def good() -> history.Story:
    """A run on a shared pool that retires three servers, as it went."""
    story = simulate(
        scenario="shared", plan={"drain_limit_s": 30.0, "images": ImageRule.EACH, "stop_s": 5.0}
    ).story
    assert story.status == "completed"
    assert oracle.judge(story) == []
    return story


def first(story, kind, name):
    """Return (place, event) of the first event of a kind, by name."""
    return next(
        (place, event)
        for place, event in enumerate(story.events)
        if isinstance(event, kind) and getattr(event, "name", getattr(event, "kind", "")) == name
    )


def without(story, drop):
    """Return the story without the events for which `drop` holds."""
    return replace(story, events=tuple(event for event in story.events if not drop(event)))


def changed(story, change):
    """Return the story with each event as `change` makes it."""
    return replace(story, events=tuple(change(event) for event in story.events))


def put_in(story, place, *events):
    """Return the story with events put in before a place."""
    return replace(story, events=(*story.events[:place], *events, *story.events[place:]))


def sent_first(story, name, **values):
    """Return the story with the first change of that name changed, and its look likewise for a `server`."""
    place, sent = first(story, Sent, name)
    events = list(story.events)
    events[place] = replace(sent, **values)
    return replace(story, events=tuple(events))


def server_is(story, **values):
    """Return the story in which the first server that was deleted was so at its deletion, in looks as well."""
    _, sent = first(story, Sent, "delete")

    def change(event):
        if isinstance(event, Looked) and event.server is not None and event.server.server == sent.server:
            return replace(event, server=replace(event.server, **values))
        if isinstance(event, Sent):
            servers = dict(event.scene.servers)
            servers[sent.server] = replace(servers[sent.server], **values)
            return replace(event, scene=replace(event.scene, servers=servers))
        return event

    return changed(story, change)


def balancers_are(story, change):
    """Return the story with each balancer, in scenes and in looks, as `change` makes it."""

    def each(event):
        if isinstance(event, Looked) and event.balancer is not None:
            return replace(event, balancer=change(event.balancer))
        if isinstance(event, Sent):
            shown = {lb_id: change(balancer) for lb_id, balancer in event.scene.balancers.items()}
            return replace(event, scene=replace(event.scene, balancers=shown))
        return event

    return changed(story, each)


def a_stranger(story):
    return sent_first(story, "set_DRAINING", server="somebody-elses")


def another_name(story):
    return server_is(story, name="db-01")


def another_creation(story):
    _, sent = first(story, Sent, "delete")
    return server_is(story, created=sent.scene.servers[sent.server].created + timedelta(days=1))


def still_in_a_balancer(story):
    _, sent = first(story, Sent, "delete")
    node = history.NodeTruth(1, "10.0.0.1", sent.server, "ENABLED", True, 3)
    other = max(sent.scene.balancers)
    shown = dict(sent.scene.balancers)
    shown[other] = replace(shown[other], nodes=(node,))
    story = sent_first(story, "delete", scene=replace(sent.scene, balancers=shown))
    return changed(
        story, lambda e: replace(e, held_by=(other,)) if getattr(e, "key", "").startswith("search:") else e
    )


def no_search(story):
    return without(story, lambda e: isinstance(e, Looked) and e.key.startswith("search:"))


def old_search(story):
    def change(event):
        if isinstance(event, Looked) and event.key.startswith("search:"):
            return replace(event, t=event.t - 61.0)
        return event

    return changed(story, change)


def no_image(story):
    return changed(
        story, lambda e: replace(e, scene=replace(e.scene, images=())) if isinstance(e, Sent) else e
    )


def an_image_that_is_not_ready(story):
    def change(event):
        if not isinstance(event, Sent):
            return event
        images = tuple(replace(image, status="SAVING") for image in event.scene.images)
        return replace(event, scene=replace(event.scene, images=images))

    return changed(story, change)


def another_servers_image(story):
    def change(event):
        if not isinstance(event, Sent):
            return event
        images = tuple(replace(image, server="somebody-elses") for image in event.scene.images)
        return replace(event, scene=replace(event.scene, images=images))

    return changed(story, change)


def a_second_image_at_once(story):
    place, sent = first(story, Sent, "image")
    return put_in(story, place + 1, sent)


def runs_at_its_deletion(story):
    return server_is(story, is_stopped=False)


def stopped_too_late(story):
    _, sent = first(story, Sent, "delete")

    def change(event):
        if isinstance(event, Looked) and event.server is not None and event.server.server == sent.server:
            late = event.t > sent.t - 3.0
            return replace(event, server=replace(event.server, is_stopped=late))
        return event

    return changed(story, change)


def added_while_stopped(story):
    place, sent = first(story, Sent, "delete")
    return put_in(story, place, replace(sent, name="add", lb_id=min(sent.scene.balancers)))


def added_while_it_is_deleted(story):
    return server_is(added_while_stopped(story), is_being_deleted=True)


def stopped_in_the_pool(story):
    place, sent = first(story, Sent, "set_DRAINING")
    return put_in(story, place, replace(sent, name="stop", lb_id=None))


def created_unasked(story):
    place, sent = first(story, Sent, "image")
    return put_in(story, place, replace(sent, name="create"))


def created_twice(story):
    server = story.plan.servers[0].server_id
    servers = dict(story.end.servers)
    for name in ("new-1", "new-2"):
        servers[name] = replace(servers[server], server=name, is_gone=False, in_place_of=server)
    return replace(story, end=replace(story.end, servers=servers))


def enabled_before_it_answered(story):
    place, sent = first(story, Sent, "delete")
    return put_in(story, place, replace(sent, name="set_ENABLED", server=f"anew:{sent.server}"))


def added_without_an_answer(story):
    place, sent = first(story, Sent, "delete")
    started = replace(sent, name="start")
    return put_in(story, place, started, replace(sent, name="add"))


def an_unknown_image(story):
    image = ImageTruth("img-9", story.plan.servers[0].server_id, "ACTIVE")
    return replace(story, end=replace(story.end, images=(*story.end.images, image)))


def left_stopped(story):
    server = story.plan.servers[0].server_id
    servers = dict(story.end.servers)
    servers[server] = replace(servers[server], is_gone=False, is_busy=False, is_stopped=True)
    return replace(
        story, end=replace(story.end, servers=servers), phases={**story.phases, server: "restored"}
    )


def a_volume(story):
    return server_is(story, volumes=("vol-1",))


def busy(story):
    return server_is(story, is_busy=True)


def protected(story):
    _, sent = first(story, Sent, "delete")
    return put_in(story, 0, Fact(0.0, "protected", sent.server))


def two_zeros(story):
    place, sent = first(story, Sent, "remove")
    zeros = [
        at
        for at, e in enumerate(story.events[:place])
        if isinstance(e, Counted) and e.server == sent.server and e.shown == 0
    ]
    keep = set(zeros[-2:])
    gone = {at for at in zeros if at not in keep}
    return replace(story, events=tuple(e for at, e in enumerate(story.events) if at not in gone))


def unknown_for_zero(story):
    return changed(story, lambda e: replace(e, shown=None) if isinstance(e, Counted) and e.shown == 0 else e)


def open_in_truth(story):
    return changed(story, lambda e: replace(e, truth=4) if isinstance(e, Counted) and e.shown == 0 else e)


def too_early_for_time(story):
    plan = replace(story.plan, accepted_grade=Grade.TIMED, drain_limit_s=300.0)
    return without(replace(story, plan=plan), lambda e: isinstance(e, Counted))


def too_early_to_cut(story):
    plan = replace(story.plan, at_limit=AtLimit.CUT, drain_limit_s=300.0)
    return changed(replace(story, plan=plan), lambda e: replace(e, shown=5) if isinstance(e, Counted) else e)


def more_than_a_person_named(story):
    place, sent = first(story, Sent, "remove")
    story = put_in(
        story,
        place - 8,
        Asked(sent.t, 1, "go_on", sent.server, {"connections": 2}),
        Answered(sent.t, 1, True),
    )
    return changed(
        story,
        lambda e: replace(e, shown=9, truth=9) if isinstance(e, Counted) and e.server == sent.server else e,
    )


def nobody_asked_the_site(story):
    return without(story, lambda e: isinstance(e, Probed))


def asked_only_before(story):
    _, sent = first(story, Sent, "remove")
    return without(story, lambda e: isinstance(e, Probed) and e.t > sent.t)


def a_bad_site(story):
    return changed(story, lambda e: replace(e, ok=False) if isinstance(e, Probed) else e)


def answers_held_against_those_before(story):
    return replace(story, plan=replace(story.plan, slower_allowed=1.0))


def slow_answers(story):
    """As the run went, had it compared answers, and had the site become four times as slow."""
    place, sent = first(story, Sent, "set_DRAINING")
    probe = next(e for e in story.events if isinstance(e, Probed))
    before = [replace(probe, lb_id=e.lb_id, t=sent.t - 1.0, took_ms=80.0) for e in one_probe_each(story)] * 8
    story = put_in(story, place, *before)
    return answers_held_against_those_before(
        changed(story, lambda e: replace(e, took_ms=320.0) if isinstance(e, Probed) and e.t > sent.t else e)
    )


def one_probe_each(story):
    found = {e.lb_id: e for e in story.events if isinstance(e, Probed)}
    return list(found.values())


def too_few_for_the_peak(story):
    return replace(story, plan=replace(story.plan, forecast_peak_rps=900.0))


def a_short_soak(story):
    return replace(story, plan=replace(story.plan, soak_s=40.0))


def retired_but_alive(story):
    return replace(story, deleted_at={})


def serves_itself(story):
    return server_is(story, direct_rps=40.0, is_stopped=False)


def given_up_at_once(story):
    server = story.plan.servers[0].server_id
    place, sent = first(story, Sent, "stop")
    abort = Asked(sent.t - 1.0, 9, "abort", None, {})
    return put_in(story, place, abort, Wrote(sent.t, "server_left_out", server, 1))


def called_gone_while_it_lives(story):
    place, sent = first(story, Sent, "stop")
    return put_in(story, place, Wrote(sent.t, "server_gone", story.plan.servers[0].server_id, 1))


def called_gone_and_left_out(story):
    story = left_out(story)
    return replace(story, phases={**story.phases, story.plan.servers[0].server_id: "gone"})


def halted_for_want_of_a_search(story):
    place, sent = first(story, Sent, "delete")
    line = Wrote(sent.t, "halted", "", 1, detail={"code": "waited_for_stop_no_search"})
    return put_in(story, place, line)


def back_but_draining(story):
    place, sent = first(story, Sent, "remove")
    return put_in(story, place, Wrote(sent.t, "server_restored", sent.server, 1))


def one_less_serves(story):
    keep = {s.server_id for s in story.plan.remaining[:1]} | {s.server_id for s in story.plan.servers}

    def change(balancer):
        nodes = (replace(n, serves=n.serves and n.server in keep) for n in balancer.nodes)
        return replace(balancer, nodes=tuple(nodes))

    return balancers_are(story, change)


def no_monitor_and_silence(story):
    story = balancers_are(story, lambda balancer: replace(balancer, has_monitor=False))
    kept = {s.server_id for s in story.plan.remaining}
    return without(story, lambda e: isinstance(e, Counted) and e.server in kept)


def much_traffic(story):
    return balancers_are(story, lambda balancer: replace(balancer, wanted_rps=balancer.wanted_rps * 4))


def an_old_look(story):
    _, sent = first(story, Sent, "set_DRAINING")
    return without(story, lambda e: isinstance(e, Looked) and e.key.startswith("lb:") and e.t <= sent.t)


def left_out_in_danger(story):
    place, sent = first(story, Sent, "remove")
    keep = {s.server_id for s in story.plan.remaining[:1]}
    look = next(
        e for e in story.events[place:] if isinstance(e, Looked) and e.key == f"lb:{sent.lb_id}" and e.tells
    )
    nodes = tuple(replace(n, serves=n.server in keep) for n in look.balancer.nodes if n.server != sent.server)
    bad = replace(look, balancer=replace(look.balancer, nodes=nodes))
    later = [replace(bad, t=sent.t + s) for s in (1.0, 50.0, 120.0)]
    return replace(story, events=(*story.events[: place + 1], *later))


def left_out_while_the_site_fails(story):
    place, sent = first(story, Sent, "remove")
    look = next(
        e for e in story.events[place:] if isinstance(e, Looked) and e.key == f"lb:{sent.lb_id}" and e.tells
    )
    without_it = tuple(node for node in look.balancer.nodes if node.server != sent.server)
    out = replace(look, balancer=replace(look.balancer, nodes=without_it))
    later = [
        event
        for s in (1.0, 2.0, 50.0, 120.0)
        for event in (Probed(sent.t + s, sent.lb_id, False), replace(out, t=sent.t + s))
    ]
    return replace(story, events=(*story.events[: place + 1], *later))


def held_too_shortly(story):
    return replace(story, plan=replace(story.plan, hold_s=600.0))


def not_held_through_the_peak(story):
    sends = [sent for _, sent in story.sends() if sent.name == "delete"]
    return replace(story, plan=replace(story.plan, hold_through=sends[-1].at + timedelta(minutes=5)))


def served_through_the_peak(story):
    _, sent = first(story, Sent, "remove")
    return replace(story, plan=replace(story.plan, hold_through=sent.at + timedelta(seconds=10)))


def overloaded(story, place, *, without=None):
    """Return looks over two minutes from a place on at balancers whose visitors want more than any server carries."""
    looks = {}
    for event in story.events[place:]:
        if isinstance(event, Looked) and event.balancer is not None and event.tells:
            looks.setdefault(event.key, event)
    busy = [
        replace(
            look,
            balancer=replace(
                look.balancer,
                wanted_rps=5000.0,
                nodes=tuple(node for node in look.balancer.nodes if node.server != without),
            ),
        )
        for look in looks.values()
    ]
    t = story.events[place].t
    return [replace(look, t=t + s) for s in (1.0, 2.0, 50.0, 120.0) for look in busy]


def left_out_under_load(story):
    place, sent = first(story, Sent, "remove")
    later = overloaded(story, place, without=sent.server)
    return replace(story, events=(*story.events[: place + 1], *later))


def a_peak_that_nobody_is_told_of(story):
    place, sent = first(story, Sent, "remove")
    begun = Wrote(sent.t, "peak_watch_begun", "", 1)
    return replace(story, events=(*story.events[:place], begun, *overloaded(story, place)))


def ended_before_its_peak(story):
    _, sent = first(story, Sent, "remove")
    return replace(story, plan=replace(story.plan, watch_until=sent.at + timedelta(days=1)))


def two_at_once(story):
    """The second server begins right after the removal of the first."""
    place, sent = first(story, Sent, "remove")
    second = next(e for e in story.events[place:] if isinstance(e, Sent) and e.name == "set_DRAINING")
    return put_in(story, place, replace(second, t=sent.t, scene=sent.scene))


def begins_within_the_soak(story):
    return server_is(replace(story, plan=replace(story.plan, soak_s=60.0)), is_gone=False)


def taken_by_another_hand(story):
    place, sent = first(story, Sent, "remove")
    lb_id = sent.lb_id
    look = next(
        at
        for at, e in enumerate(story.events)
        if at > place and isinstance(e, Looked) and e.key == f"lb:{lb_id}" and e.tells
    )
    events = list(story.events)
    shown = events[look].balancer
    node = history.NodeTruth(9, "10.0.0.9", sent.server, "DISABLED", False, 0)
    events[look] = replace(events[look], balancer=replace(shown, nodes=(*shown.nodes, node)))
    events.insert(look, Other(sent.t, "DISABLED", sent.server, lb_id))
    return replace(story, events=tuple(events))


def at_a_standstill(story):
    place, _ = first(story, Sent, "remove")
    checked = max(at for at, e in enumerate(story.events[:place]) if isinstance(e, Checked))
    return put_in(story, checked, Stood(0.0, True))


def after(name, **args):
    """Return a change that lets a command be accepted before the first removal was checked."""

    def change(story):
        place, sent = first(story, Sent, "remove")
        checked = max(at for at, e in enumerate(story.events[:place]) if isinstance(e, Checked))
        asked = Asked(sent.t, 1, name, sent.server, args)
        return put_in(story, checked, asked, Answered(sent.t, 1, True))

    change.__name__ = f"after_{name}"
    return change


def approval_fell(story):
    return put_in(story, 0, Fact(0.0, "approval", False))


def nobody_in_charge(story):
    return put_in(story, 0, Fact(0.0, "in_charge", None))


def replaced_long_before(story):
    place, _ = first(story, Sent, "set_DRAINING")
    return put_in(story, place, Other(-200.0, "replace_server", story.plan.remaining[0].server_id))


def in_a_freeze(story):
    return put_in(story, 0, Fact(0.0, "freeze", True))


def before_the_window(story):
    _, sent = first(story, Sent, "set_DRAINING")
    return replace(story, plan=replace(story.plan, window_start=sent.at + timedelta(seconds=5)))


def after_the_window(story):
    _, sent = first(story, Sent, "set_DRAINING")
    return replace(story, plan=replace(story.plan, window_end=sent.at + timedelta(seconds=5)))


def between_two_windows(story):
    _, sent = first(story, Sent, "set_DRAINING")
    later = PlannedWindow(sent.at + timedelta(hours=1), sent.at + timedelta(hours=2))
    start, end = sent.at - timedelta(hours=2), sent.at - timedelta(hours=1)
    return replace(
        story, plan=replace(story.plan, window_start=start, window_end=end, later_windows=(later,))
    )


def in_a_later_window_as_it_was(story):
    _, sent = first(story, Sent, "set_DRAINING")
    later = PlannedWindow(sent.at - timedelta(seconds=0.01), sent.at + timedelta(hours=2))
    start, end = sent.at - timedelta(hours=2), sent.at - timedelta(hours=1)
    return replace(
        story, plan=replace(story.plan, window_start=start, window_end=end, later_windows=(later,))
    )


def stopped_after_the_window(story):
    _, sent = first(story, Sent, "stop")
    plan = replace(
        story.plan, window_start=sent.at - timedelta(hours=3), window_end=sent.at - timedelta(hours=1)
    )
    return replace(story, plan=plan)


def drains_on_after_the_window(story):
    place, sent = first(story, Sent, "remove")
    look = story.last(Looked, place, key=f"lb:{sent.lb_id}")
    late = replace(look, t=look.t + 400.0, tells=True)
    plan = replace(story.plan, window_end=sent.at + timedelta(seconds=100))
    # Before its intent: of one that was checked nobody knows whether it was sent.
    noted = next(at for at, e in enumerate(story.events) if isinstance(e, Wrote) and e.intent == sent.intent)
    return replace(story, plan=plan, events=(*story.events[:noted], late))


def drains_on_renamed(story):
    _, sent = first(story, Sent, "remove")
    return put_in(drains_on_after_the_window(story), 0, Other(0.0, "rename_server", sent.server))


def no_line_before(story):
    return without(story, lambda e: isinstance(e, Wrote) and e.kind == "intent")


def no_line_after(story):
    return without(story, lambda e: isinstance(e, Wrote) and e.kind == "outcome")


def no_intent(story):
    return sent_first(story, "remove", intent=None)


def twice_for_one_intent(story):
    place, sent = first(story, Sent, "remove")
    return put_in(story, place, sent)


def by_a_worker_without_a_lease(story):
    return sent_first(story, "remove", token=1, holder_token=7)


def an_old_token_writes(story):
    return put_in(story, len(story.events), Wrote(1e3, "status", "", 1))


def no_look_at_what_became_of_it(story):
    place, sent = first(story, Sent, "remove")
    story = changed(
        story,
        lambda e: (
            replace(e, by_reading=True)
            if isinstance(e, Wrote) and e.kind == "outcome" and e.intent == sent.intent
            else e
        ),
    )
    later = {e.t for e in story.every(Looked, place, key=f"lb:{sent.lb_id}")}
    keep = set(sorted(later)[-1:])
    return without(
        story,
        lambda e: isinstance(e, Looked) and e.key == f"lb:{sent.lb_id}" and e.t > sent.t and e.t not in keep,
    )


def said_to_be_unsent(story):
    _, sent = first(story, Sent, "remove")

    def change(event):
        is_it = isinstance(event, Wrote) and event.kind == "outcome" and event.intent == sent.intent
        return replace(event, outcome="not_applied") if is_it else event

    return changed(story, change)


def set_aside_for_the_next_step(story):
    place, sent = first(story, Sent, "remove")
    then = next(at for at in range(place + 1, len(story.events)) if isinstance(story.events[at], Sent))

    def change(event):
        is_it = isinstance(event, Wrote) and event.kind == "outcome" and event.intent == sent.intent
        return replace(event, outcome="not_applied", detail={"code": "set_aside"}) if is_it else event

    story = changed(story, change)
    between = [e for e in story.events[place:then] if not (isinstance(e, Looked) and e.key == sent.key)]
    return replace(story, events=(*story.events[:place], *between, *story.events[then:]))


def again_without_a_look(story):
    place, sent = first(story, Sent, "set_DRAINING")
    done = Wrote(sent.t, "outcome", "", sent.token, intent=sent.intent)
    return put_in(story, place + 1, done, replace(sent, intent=99), Wrote(sent.t, "intent", "", 1, intent=99))


def cut_unasked(story):
    place, sent = first(story, Sent, "remove")
    return put_in(story, place + 1, Cut(sent.t, sent.server, 3))


def forgotten(story):
    return put_in(story, len(story.events), Forgotten(500.0, 95.0))


def waits_for_ever(story):
    return replace(story, status="running", waits="sight")


def failed_by_itself(story):
    return put_in(story, 9, Wrote(1.0, "halted", "", 1, detail={"code": "internal_error"}))


def completed_too_soon(story):
    return replace(story, phases={**story.phases, story.plan.servers[2].server_id: "draining"})


def left_out(story):
    server = story.plan.servers[0].server_id
    servers = {**story.end.servers}
    servers[server] = replace(servers[server], is_gone=False, is_busy=False)
    phases = {**story.phases, server: "restored"}
    return replace(story, phases=phases, end=replace(story.end, servers=servers))


def a_node_left(story):
    server = story.plan.servers[0]
    lb_id = int(server.nodes[0].balancer_id)
    balancer = story.end.balancers[lb_id]
    left = history.NodeTruth(1, server.nodes[0].address, None, "ENABLED", serves=False, open=0)
    held = replace(balancer, nodes=(*balancer.nodes, left))
    return replace(story, end=replace(story.end, balancers={**story.end.balancers, lb_id: held}))


BAD = [
    (a_stranger, oracle.touches_only_the_plans_servers),
    (another_name, oracle.deletes_only_what_was_approved),
    (another_creation, oracle.deletes_only_what_was_approved),
    (still_in_a_balancer, oracle.deletes_only_what_is_in_no_balancer),
    (no_search, oracle.deletes_only_what_is_in_no_balancer),
    (old_search, oracle.deletes_only_what_is_in_no_balancer),
    (serves_itself, oracle.cuts_off_only_what_is_silent),
    (a_volume, oracle.deletes_only_what_nothing_protects),
    (busy, oracle.deletes_only_what_nothing_protects),
    (protected, oracle.deletes_only_what_nothing_protects),
    (two_zeros, oracle.removes_only_what_is_drained),
    (unknown_for_zero, oracle.removes_only_what_is_drained),
    (open_in_truth, oracle.removes_only_what_is_drained),
    (too_early_for_time, oracle.removes_only_what_is_drained),
    (too_early_to_cut, oracle.removes_only_what_is_drained),
    (more_than_a_person_named, oracle.removes_only_what_is_drained),
    (no_image, oracle.deletes_only_with_the_image_that_was_asked_for),
    (an_image_that_is_not_ready, oracle.deletes_only_with_the_image_that_was_asked_for),
    (another_servers_image, oracle.deletes_only_with_the_image_that_was_asked_for),
    (runs_at_its_deletion, oracle.deletes_only_what_was_stopped_for_long_enough),
    (stopped_too_late, oracle.deletes_only_what_was_stopped_for_long_enough),
    (held_too_shortly, oracle.cuts_off_only_what_was_held_for_long_enough),
    (not_held_through_the_peak, oracle.cuts_off_only_what_was_held_for_long_enough),
    (served_through_the_peak, oracle.cuts_off_only_what_was_held_for_long_enough),
    (added_while_stopped, oracle.brings_back_only_what_runs),
    (added_while_it_is_deleted, oracle.sends_nobody_to_what_goes_down),
    (added_without_an_answer, oracle.brings_back_only_what_answers),
    (stopped_in_the_pool, oracle.deletes_only_what_is_in_no_balancer),
    (left_stopped, oracle.ends_tidy),
    (an_unknown_image, oracle.forgets_no_image),
    (created_unasked, oracle.creates_no_more_than_was_approved),
    (created_twice, oracle.creates_no_more_than_was_approved),
    (enabled_before_it_answered, oracle.lets_serve_only_what_answered),
    (a_second_image_at_once, oracle.asks_for_no_second_image_blindly),
    (nobody_asked_the_site, oracle.deletes_only_after_watching_the_pool),
    (asked_only_before, oracle.deletes_only_after_watching_the_pool),
    (a_bad_site, oracle.deletes_only_after_watching_the_pool),
    (a_short_soak, oracle.deletes_only_after_watching_the_pool),
    (slow_answers, oracle.deletes_only_while_answers_are_as_fast),
    (answers_held_against_those_before, oracle.deletes_only_while_answers_are_as_fast),
    (too_few_for_the_peak, oracle.deletes_only_what_the_next_peak_allows),
    (retired_but_alive, oracle.says_gone_only_of_what_is_gone),
    (given_up_at_once, oracle.leaves_out_only_what_cannot_serve),
    (called_gone_while_it_lives, oracle.says_gone_only_of_what_is_gone),
    (halted_for_want_of_a_search, oracle.waits_for_no_search_in_vain),
    (back_but_draining, oracle.says_back_only_of_what_is_back),
    (one_less_serves, oracle.keeps_the_floor),
    (no_monitor_and_silence, oracle.keeps_the_floor),
    (much_traffic, oracle.keeps_the_load_under_the_guard),
    (an_old_look, oracle.rests_on_fresh_looks),
    (left_out_in_danger, oracle.puts_back_in_danger),
    (left_out_while_the_site_fails, oracle.puts_back_in_danger),
    (left_out_under_load, oracle.puts_back_what_the_load_needs),
    (a_peak_that_nobody_is_told_of, oracle.tells_of_a_peak_that_is_too_much),
    (ended_before_its_peak, oracle.ends_only_after_its_peak),
    (two_at_once, oracle.takes_out_one_at_a_time),
    (begins_within_the_soak, oracle.takes_out_one_at_a_time),
    (taken_by_another_hand, oracle.deletes_nothing_that_another_hand_changed),
    (at_a_standstill, oracle.sends_nothing_after_a_stop),
    (after("abort"), oracle.sends_nothing_after_a_stop),
    (after("pause", when="now"), oracle.sends_nothing_after_a_stop),
    (after("skip"), oracle.does_what_people_said),
    (after("put_back"), oracle.does_what_people_said),
    (after("finish_here"), oracle.does_what_people_said),
    (after("pause"), oracle.does_what_people_said),
    (approval_fell, oracle.needs_an_approval_and_someone_in_charge),
    (nobody_in_charge, oracle.needs_an_approval_and_someone_in_charge),
    (replaced_long_before, oracle.counts_on_no_other_machine),
    (in_a_freeze, oracle.begins_and_ends_nothing_in_a_freeze),
    (before_the_window, oracle.keeps_to_the_window),
    (after_the_window, oracle.keeps_to_the_window),
    (between_two_windows, oracle.keeps_to_the_window),
    (in_a_later_window_as_it_was, oracle.keeps_to_the_window),
    (stopped_after_the_window, oracle.begins_with_the_held_only_in_the_windows_hours),
    (drains_on_after_the_window, oracle.leaves_nothing_draining_after_the_window),
    (drains_on_renamed, oracle.leaves_nothing_draining_after_the_window),
    (no_line_before, oracle.journals_every_change),
    (no_line_after, oracle.journals_every_change),
    (no_intent, oracle.journals_every_change),
    (twice_for_one_intent, oracle.journals_every_change),
    (by_a_worker_without_a_lease, oracle.journals_every_change),
    (an_old_token_writes, oracle.journals_every_change),
    (no_line_after, oracle.reads_before_it_goes_on),
    (no_look_at_what_became_of_it, oracle.reads_before_it_goes_on),
    (said_to_be_unsent, oracle.reads_before_it_goes_on),
    (set_aside_for_the_next_step, oracle.reads_before_it_goes_on),
    (again_without_a_look, oracle.reads_before_it_goes_on),
    (cut_unasked, oracle.cuts_nobody_unasked),
    (forgotten, oracle.comes_to_a_rest),
    (waits_for_ever, oracle.comes_to_a_rest),
    (failed_by_itself, oracle.never_fails_by_itself),
    (completed_too_soon, oracle.ends_tidy),
    (left_out, oracle.ends_tidy),
    (called_gone_and_left_out, oracle.ends_tidy),
    (a_node_left, oracle.leaves_no_node_of_what_is_gone),
]


@pytest.mark.parametrize(("change", "rule"), BAD, ids=[f"{c.__name__}-{r.__name__}" for c, r in BAD])
def test_a_rule_finds_the_history_that_breaks_it(good, change, rule):
    assert list(rule(good)) == []
    assert list(rule(change(good))) != []


def test_each_rule_has_a_history_that_breaks_it():
    assert {rule for _, rule in BAD} == set(oracle.RULES)


def test_a_put_back_that_names_no_server_is_about_the_one_that_went_back_then(good):
    """Between the click and its answer the next server may begin: that one is in flight then."""
    place, sent = first(good, Sent, "remove")
    asked, answered = Asked(sent.t, 7, "put_back", sent.server, {}), Answered(sent.t, 7, True)

    def with_back(server):
        return put_in(good, place, asked, answered, Wrote(sent.t, "put_back_begun", server, None))

    assert list(oracle.does_what_people_said(with_back(sent.server))) != []
    assert list(oracle.does_what_people_said(with_back(good.plan.remaining[0].server_id))) == []


def test_a_removal_that_a_person_let_cut_may_still_do_so_right_after_it_was_called_back(good):
    place, sent = first(good, Sent, "remove")
    said = (Asked(sent.t, 7, "go_on", sent.server, {"connections": 5}), Answered(sent.t, 7, True))
    back = replace(sent, name="set_ENABLED")
    allowed = put_in(good, place, *said)

    def with_cut(story, after_s):
        return put_in(story, place + len(said) + 1, back, Cut(sent.t + after_s, sent.server, 3))

    assert list(oracle.cuts_nobody_unasked(with_cut(allowed, 0.5))) == []
    assert list(oracle.cuts_nobody_unasked(with_cut(allowed, 30.0))) != []
    unasked = put_in(good, place + 1, back, Cut(sent.t + 0.5, sent.server, 3))
    assert list(oracle.cuts_nobody_unasked(unasked)) != []
