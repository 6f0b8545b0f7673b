"""The driver: what cannot be read is said and not guessed, and an action is exactly one call."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from capacity.counts import CountReading
from capacity.probes import ProbeResult
from portal import egress
from portal.cloud.types import (
    Balancer,
    BalancerRef,
    BalancerStatus,
    Condition,
    Done,
    Image,
    Interface,
    Node,
    NodeStatus,
    Server,
    Watched,
    Withheld,
)
from portal.errors import InDoubt, ProviderFailed, Refused, TryLater
from portal.runs.types import Action, Outcome, OutcomeKind, RunStatus, RunView
from scaledown import driver
from scaledown.canonical import plan_to_plain
from scaledown.driver import OF_RUN, OF_SERVER, ScaledownKind, image_seen
from scaledown.needs import needs_of
from scaledown.progress import progress_from_plain, progress_to_plain
from scaledown.types import Grade, Needs, Phase
from tests.scaledown.machine_cases import LB, START, Desk, a_plan


class PaperCloud:
    """Answers from dictionaries; raises what it is told to raise."""

    call_deadline_s = 10.0

    def __init__(self, desk: Desk):
        self.desk = desk
        self.raises: dict[str, Exception] = {}
        self.calls = []
        self.withholds = False
        self.slow: set[str] = set()
        self.listed = ()
        self.listed_servers = ()
        self.network = ()
        self.alarms = ()
        self.finds = True

    async def _met(self, name):
        if name in self.slow:
            await asyncio.sleep(60)
        if name in self.raises:
            raise self.raises[name]

    async def show_balancer(self, balancer_id):
        await self._met("show_balancer")
        if self.desk.nodes is None:
            return None
        nodes = tuple(
            Node(n.node_id, n.address, n.port, n.condition, n.status, n.type, n.weight)
            for n in self.desk.nodes.values()
        )
        return Balancer(
            LB, "web", BalancerStatus.ACTIVE, "HTTP", 80, "RANDOM", 2, ("198.51.100.1",), nodes, True
        )

    async def watched(self):
        await self._met("watched")
        self.calls.append("watched")
        return Watched(alarms=self.alarms)

    async def list_balancers(self):
        await self._met("list_balancers")
        return self.listed

    async def show_server(self, server_id):
        await self._met("show_server")
        seen = self.desk.servers[server_id]
        if seen.is_gone:
            return None
        return Server(
            server_id,
            seen.name,
            seen.status,
            seen.task_state,
            seen.created_at,
            None,
            seen.addresses,
            None,
            None,
        )

    async def attached_volumes(self, server_id):
        await self._met("attached_volumes")
        return ("vol-1",)

    async def network_rates(self, server_id, *, begins, ends):
        await self._met("network_rates")
        self.calls.append(("network_rates", server_id, begins))
        return self.network

    async def balancers_holding(self, address):
        await self._met(f"balancers_holding {address}")
        if address == "192.0.2.6":
            return (BalancerRef("99", "other", BalancerStatus.ACTIVE),)
        is_there = any(node.address == address for node in (self.desk.nodes or {}).values())
        return (BalancerRef(LB, "web", BalancerStatus.ACTIVE),) if is_there and self.finds else ()

    async def list_servers(self):
        await self._met("list_servers")
        return self.listed_servers

    def __getattr__(self, name):
        async def call(*args, not_after):
            self.calls.append((name, *args))
            await self._met(name)
            return Withheld("PUT", "/x", {"a": 1}) if self.withholds else Done({"node_id": "77"})

        return call


def view_of(desk: Desk, **changes) -> RunView:
    view = RunView(
        ref="r",
        kind="scaledown",
        status=desk.status,
        plan=plan_to_plain(desk.plan),
        progress=progress_to_plain(desk.progress),
        digest="d",
        scopes=(),
        token=1,
        lease_until=desk.now + timedelta(seconds=15),
        now=desk.now,
        command_seq=0,
        commands=(),
        standstill=None,
        doubt=None,
        halt=None,
        started_at=None,
        failures=0,
        facts={"approval_stands": True, "approval_problem": "", "protected": (), "in_charge": "Lena"},
    )
    return replace(view, **changes)


def kind_for(cloud, *, probe_ok=True, connections=0, **options):
    async def probe(spec, at):
        return ProbeResult(spec.name, probe_ok, 200, 80.0, at)

    async def count(source, address, clock):
        return CountReading(connections, 100, "in flight", "stub", "measured", clock())

    async def answers(url, networks):
        return True

    return ScaledownKind(cloud=lambda view: cloud, probe=probe, count=count, answers=answers, **options)


def observe(desk, cloud, **options):
    return asyncio.run(kind_for(cloud, **options).observe(view_of(desk)))


def deleting_desk():
    desk = Desk(a_plan(hold_s=30.0))
    desk.until_phase(Phase.HELD)
    desk.now += timedelta(seconds=40)
    return desk


def test_one_look_holds_everything_that_the_start_needs():
    desk = Desk()
    seen = observe(desk, PaperCloud(desk))
    assert len(seen.balancers[LB].nodes) == 5
    assert set(seen.servers) == {f"srv-{n}" for n in (1, 2, 3, 5, 6)}
    assert seen.probes[0].ok is True
    assert seen.problems == ()


@pytest.mark.parametrize(
    "trouble",
    [
        TryLater("Busy.", after_s=5),
        ProviderFailed("No."),
        Refused("Not you."),
        InDoubt("What?"),
    ],
)
def test_a_balancer_that_could_not_be_read_is_absent_and_not_gone(trouble):
    desk = Desk()
    cloud = PaperCloud(desk)
    cloud.raises["show_balancer"] = trouble
    seen = observe(desk, cloud)
    assert seen.balancers == {}
    assert seen.missing_balancers == frozenset()
    assert trouble.says in seen.problems[0]


def test_a_bug_in_a_read_stays_loud():
    desk = Desk()
    cloud = PaperCloud(desk)
    cloud.raises["show_balancer"] = KeyError("bug")
    with pytest.raises(KeyError):
        observe(desk, cloud)


def test_a_read_that_takes_too_long_is_given_up_and_the_rest_is_kept(monkeypatch):
    monkeypatch.setattr(driver, "READ_S", 0.05)
    desk = Desk()
    cloud = PaperCloud(desk)
    cloud.slow.add("show_server")
    seen = observe(desk, cloud)
    assert seen.servers == {}
    assert LB in seen.balancers
    assert "could not be read within" in seen.problems[0]


def uncounted(cloud_of=PaperCloud):
    plan = a_plan(count_kind=None)
    bare, rest = (
        tuple(replace(server, count_url=None) for server in some) for some in (plan.servers, plan.remaining)
    )
    plan = replace(plan, servers=bare, remaining=rest, ceiling_rps=None)
    desk = Desk(plan).until_phase(Phase.DRAINING)
    desk.until(lambda: desk.way().drain is not None and desk.way().drain.seen_at is not None)
    return desk, cloud_of(desk)


def test_the_network_of_a_server_that_drains_uncounted_is_read_now_and_then():
    desk, cloud = uncounted()
    cloud.network = (Interface("eth0", 60, ()),)
    passed = [100.0]
    kind = kind_for(cloud, monotonic=lambda: passed[0])

    def looks():
        return asyncio.run(kind.observe(view_of(desk, digest="uncounted"))).network["srv-6"]

    first = looks()
    assert (first.interfaces, first.problem) == (cloud.network, "")
    [asked] = [call for call in cloud.calls if call[0] == "network_rates"]
    assert asked[1:] == ("srv-6", desk.way().drain.begun_at - timedelta(minutes=15))
    passed[0] += 29.0
    assert looks() is first
    passed[0] += 2.0
    assert looks() is not first


def test_monitoring_that_does_not_answer_leaves_the_rest_of_the_look_as_it_is(monkeypatch):
    monkeypatch.setattr(driver, "NETWORK_READ_S", 0.05)
    desk, cloud = uncounted()
    cloud.slow.add("network_rates")
    seen = asyncio.run(kind_for(cloud).observe(view_of(desk, digest="uncounted")))
    assert seen.problems == ()
    assert LB in seen.balancers
    assert "The provider's monitoring could not be read within" in seen.network["srv-6"].problem


def test_nobody_asks_for_the_network_of_a_server_whose_connections_are_counted():
    desk = Desk().until_phase(Phase.DRAINING)
    desk.until(lambda: desk.way().drain is not None and desk.way().drain.seen_at is not None)
    assert observe(desk, PaperCloud(desk)).network == {}


def test_a_balancer_that_the_provider_does_not_know_is_missing():
    desk = Desk()
    cloud = PaperCloud(desk)
    desk.nodes = None
    assert observe(desk, cloud).missing_balancers == {LB}


@pytest.mark.parametrize("problem", ["in the list", "could not be read"])
def test_a_balancer_that_is_not_found_and_not_missing_from_the_list_is_not_gone(problem):
    """Who has lost the right to look is answered 404 as well (reference, 2.9)."""
    desk = Desk()
    cloud = PaperCloud(desk)
    desk.nodes = None
    if problem == "in the list":
        cloud.listed = (BalancerRef(LB, "web", BalancerStatus.ACTIVE),)
    else:
        cloud.raises["list_balancers"] = TryLater("Forbidden.", after_s=1)
    seen = observe(desk, cloud)
    assert seen.missing_balancers == frozenset()
    assert LB not in seen.balancers
    assert seen.problems


def test_a_server_that_is_not_found_is_gone_and_one_that_failed_to_be_read_is_absent():
    desk = Desk()
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True)
    assert observe(desk, PaperCloud(desk)).servers["srv-6"].is_gone
    cloud = PaperCloud(desk)
    cloud.raises["show_server"] = TryLater("Busy.", after_s=1)
    assert observe(desk, cloud).servers == {}


def test_the_search_covers_every_address_and_finds_other_balancers():
    desk = deleting_desk()
    seen = observe(desk, PaperCloud(desk))
    assert seen.search.is_complete
    assert seen.search.found_in == ("99",)
    assert seen.servers["srv-6"].volumes == ("vol-1",)


def test_a_search_of_which_a_part_failed_is_not_complete():
    desk = deleting_desk()
    cloud = PaperCloud(desk)
    cloud.raises["balancers_holding 10.0.0.6"] = TryLater("Busy.", after_s=1)
    assert not observe(desk, cloud).search.is_complete


def test_a_search_that_does_not_find_what_is_there_proves_nothing():
    desk = deleting_desk()
    cloud = PaperCloud(desk)
    cloud.finds = False
    seen = observe(desk, cloud)
    assert not seen.search.is_complete
    assert "does not find 10.0.0.1 in load balancer" in seen.problems[0]


def test_a_control_that_left_the_pool_meanwhile_proves_nothing_against_the_search():
    desk = deleting_desk()
    kept = next(node for node in desk.nodes.values() if node.address == "10.0.0.1")
    del desk.nodes[kept.node_id]
    assert observe(desk, PaperCloud(desk)).search.is_complete


def test_volumes_that_could_not_be_read_are_unknown_and_not_none_attached():
    desk = deleting_desk()
    cloud = PaperCloud(desk)
    cloud.raises["attached_volumes"] = TryLater("Busy.", after_s=1)
    assert observe(desk, cloud).servers["srv-6"].volumes is None


def test_a_count_keeps_its_source_grade_and_time():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    seen = observe(desk, PaperCloud(desk), connections=None)
    count = seen.counts["srv-6"]
    assert count.connections is None
    assert (count.source, count.grade) == ("stub", Grade.MEASURED)
    assert count.observed_at >= desk.now


class Site:
    """A site whose probe and servers take their time; it notes in which order they were asked and answered."""

    def __init__(self, probe_s):
        self.probe_s, self.noted = probe_s, []

    async def probe(self, spec, at):
        self.noted.append("probe asked")
        await asyncio.sleep(self.probe_s)
        self.noted.append("probe answered")
        return ProbeResult(spec.name, True, 200, 80.0, at)

    async def count(self, source, address, clock):
        self.noted.append("server asked")
        return CountReading(0, 100, "in flight", "stub", "measured", clock())

    def noted_in_a_look(self, counts, probes=True):
        async def answers(url, networks):
            return True

        desk = Desk()
        needs = Needs((LB,), counts=counts, probes=probes)
        kind = ScaledownKind(
            cloud=lambda view: PaperCloud(desk), probe=self.probe, count=self.count, answers=answers
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(driver, "needs_of", lambda *given: needs)
            seen = asyncio.run(kind.observe(view_of(desk)))
        assert set(seen.counts) == set(counts)
        assert len(seen.probes) == probes
        return self.noted


MANY = tuple(f"srv-{number}" for number in (1, 2, 3, 5, 6))


def test_a_probe_does_not_measure_how_long_it_takes_to_ask_many_servers():
    assert Site(probe_s=0.05).noted_in_a_look(MANY) == [
        "probe asked",
        *["server asked"] * driver.FEW_COUNTS,
        "probe answered",
        *["server asked"] * (len(MANY) - driver.FEW_COUNTS),
    ]


def test_the_server_that_is_waited_for_is_among_the_few_that_are_asked_at_once():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    progress = replace(desk.progress, servers=tuple(reversed(desk.progress.servers)))
    counted = needs_of(desk.plan, progress, desk.people(), desk.now + timedelta(minutes=1)).counts
    assert len(counted) > driver.FEW_COUNTS
    assert counted[0] == "srv-6"


def test_volumes_are_read_beside_the_server_and_those_of_one_that_is_gone_trouble_nobody():
    desk = deleting_desk()
    cloud = PaperCloud(desk)
    cloud.raises["attached_volumes"] = TryLater("Busy.", after_s=1)
    assert [said for said in observe(desk, cloud).problems if "volumes" in said] == [
        "The volumes of web-06: Busy."
    ]
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True)
    seen = observe(desk, cloud)
    assert seen.servers["srv-6"].is_gone
    assert seen.problems == ()


def test_few_servers_are_asked_beside_the_probes():
    few = MANY[: driver.FEW_COUNTS]
    assert Site(probe_s=0.05).noted_in_a_look(few) == [
        "probe asked",
        *["server asked"] * len(few),
        "probe answered",
    ]


def test_a_site_that_does_not_answer_holds_up_no_count(monkeypatch):
    monkeypatch.setattr(driver, "HEAD_START_S", 0.02)
    assert Site(probe_s=0.5).noted_in_a_look(MANY) == [
        "probe asked",
        *["server asked"] * len(MANY),
        "probe answered",
    ]


def test_where_there_is_no_connection_nothing_is_asked():
    site = Site(probe_s=0.0)

    def no_cloud(view):
        raise Refused("The connection is locked.")

    kind = ScaledownKind(cloud=no_cloud, probe=site.probe, count=site.count)
    with pytest.raises(Refused):
        asyncio.run(kind.observe(view_of(Desk())))
    assert site.noted == []


def test_where_nothing_is_probed_nobody_waits(monkeypatch):
    monkeypatch.setattr(driver, "HEAD_START_S", 30.0)
    began = time.monotonic()
    assert Site(probe_s=0.0).noted_in_a_look(MANY, probes=False) == ["server asked"] * len(MANY)
    assert time.monotonic() - began < 10


ACTS = [
    ("drain_node", ("set_condition", LB, "406", Condition.DRAINING)),
    ("enable_node", ("set_condition", LB, "406", Condition.ENABLED)),
    ("remove_node", ("remove_node", LB, "406")),
    ("delete_server", ("delete_server", "srv-6")),
    ("stop_server", ("stop_server", "srv-6")),
    ("start_server", ("start_server", "srv-6")),
]
ARGS = {"server_id": "srv-6", "balancer_id": LB, "node_id": "406", "address": "10.0.0.6", "port": 80}


def act(desk, cloud, action_name, **more):
    action = Action(action_name, "srv-6", "says", ARGS | more)
    return asyncio.run(kind_for(cloud).act(view_of(desk), action, not_after=1e12))


@pytest.mark.parametrize(("name", "call"), ACTS)
def test_an_action_is_exactly_one_call(name, call):
    desk = Desk()
    cloud = PaperCloud(desk)
    assert act(desk, cloud, name).kind is OutcomeKind.DONE
    assert cloud.calls == [call]


def test_a_node_comes_back_enabled_with_its_type_and_weight():
    desk = Desk()
    cloud = PaperCloud(desk)
    act(desk, cloud, "add_node", type="SECONDARY", weight=3)
    (_, balancer_id, spec) = cloud.calls[0]
    assert balancer_id == LB
    assert (spec.address, spec.port, spec.condition, spec.type.value, spec.weight) == (
        "10.0.0.6",
        80,
        Condition.ENABLED,
        "SECONDARY",
        3,
    )


def test_a_node_of_a_new_server_enters_draining():
    desk = Desk()
    cloud = PaperCloud(desk)
    act(desk, cloud, "add_node", type="PRIMARY", weight=None, state="DRAINING")
    assert cloud.calls[0][2].condition is Condition.DRAINING


def test_what_a_run_makes_carries_run_and_server_in_its_metadata():
    desk = Desk()
    cloud = PaperCloud(desk)
    kept = "2026-12-07T10:00:00+00:00"
    outcome = act(desk, cloud, "create_image", name="web-06", keep_until=kept)
    ref = view_of(desk).ref
    name, of_image = cloud.calls[0][2:]
    assert name == outcome.detail["name"] == f"web-06 {ref[:8]}"
    assert of_image == {"steady_run": ref, "steady_server": "srv-6", "steady_keep_until": "2026-12-07"}
    act(desk, cloud, "create_server", name="web-06", flavor_id="general1-4", image_id="img-1")
    spec = cloud.calls[1][1]
    assert (spec.name, spec.flavor_id, spec.image_id) == ("web-06", "general1-4", "img-1")
    assert spec.metadata == {"steady_run": ref, "steady_server": "srv-6"}


def test_only_what_carries_this_run_is_shown_to_the_machine():
    ref = "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11"
    mine = Image("img-1", "web-06", "ACTIVE", 100, None, None, {OF_RUN: ref, OF_SERVER: "srv-6"})
    other = Image("img-1", "web-06", "ACTIVE", 100, None, None, {OF_RUN: "another", OF_SERVER: "srv-6"})
    at = Desk().now
    assert image_seen("img-1", mine, ref, at).server_id == "srv-6"
    assert image_seen("img-1", other, ref, at).server_id is None
    assert image_seen("img-1", None, ref, at).is_gone


def test_an_action_that_nobody_knows_is_a_bug():
    desk = Desk()
    with pytest.raises(ValueError, match="no action"):
        act(desk, PaperCloud(desk), "explode")


def test_what_a_rehearsal_withholds_is_told_as_would_have():
    desk = Desk()
    cloud = PaperCloud(desk)
    cloud.withholds = True
    outcome = act(desk, cloud, "drain_node")
    assert outcome.kind is OutcomeKind.WITHHELD
    assert outcome.detail == {"method": "PUT", "path": "/x", "body": {"a": 1}}


def test_try_later_is_an_outcome_so_that_the_run_keeps_looking_while_it_waits():
    desk = Desk()
    cloud = PaperCloud(desk)
    cloud.raises["set_condition"] = TryLater("Busy.", after_s=300, code="balancer_busy")
    outcome = act(desk, cloud, "drain_node")
    assert outcome.kind is OutcomeKind.TRY_LATER
    assert outcome.after_s is None
    desk.until_phase(Phase.DRAINING)
    kind = kind_for(cloud)
    action = desk.sent[-1]
    decision = kind.settle(view_of(desk), action, outcome)
    assert decision.look_again_s <= 1.0
    assert progress_from_plain(decision.progress).retry_at == desk.now + timedelta(seconds=300)


@pytest.mark.parametrize("trouble", [Refused("No."), InDoubt("?"), ProviderFailed("No.")])
def test_the_other_troubles_of_a_change_go_to_the_engine(trouble):
    desk = Desk()
    cloud = PaperCloud(desk)
    cloud.raises["set_condition"] = trouble
    with pytest.raises(type(trouble)):
        act(desk, cloud, "drain_node")


def seen_of(desk, **changes):
    return replace(desk.observation(), **changes)


@pytest.mark.parametrize(
    ("name", "state", "spoil", "shows"),
    [
        ("drain_node", "DRAINING", lambda d: None, False),
        ("drain_node", "DRAINING", lambda d: d.nodes.update(
            {"406": replace(d.nodes["406"], condition=Condition.DRAINING)}), True),
        ("remove_node", "ABSENT", lambda d: None, False),
        ("remove_node", "ABSENT", lambda d: d.nodes.pop("406"), True),
        ("add_node", "ENABLED", lambda d: d.nodes.pop("406"), False),
        ("add_node", "ENABLED", lambda d: None, True),
        ("drain_node", "DRAINING", lambda d: setattr(d, "visible", False), None),
        ("drain_node", "DRAINING", lambda d: setattr(d, "balancer_status", BalancerStatus.PENDING_UPDATE), None),
    ],
)  # fmt: skip
def test_only_a_look_at_a_writable_balancer_tells_whether_a_lost_change_happened(name, state, spoil, shows):
    desk = Desk()
    spoil(desk)
    action = Action(name, "srv-6", "says", ARGS | {"state": state})
    assert kind_for(PaperCloud(desk)).effect(action, desk.observation()) is shows


@pytest.mark.parametrize(
    ("changes", "shows"),
    [
        ({"is_gone": True}, True),
        ({"task_state": "deleting"}, True),
        ({"task_state": "rebooting"}, None),
        ({}, False),
    ],
)
def test_whether_a_lost_deletion_happened_is_read_from_the_server(changes, shows):
    desk = Desk()
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], **changes)
    action = Action("delete_server", "srv-6", "says", {"server_id": "srv-6"})
    assert kind_for(PaperCloud(desk)).effect(action, desk.observation()) is shows
    blind = replace(desk.observation(), servers={})
    assert kind_for(PaperCloud(desk)).effect(action, blind) is None


def test_a_run_without_progress_begins_a_new_one():
    desk = Desk()
    kind = kind_for(PaperCloud(desk))
    view = view_of(desk, progress={})
    seen = asyncio.run(kind.observe(view))
    decision = kind.decide(view, seen)
    assert decision.status is RunStatus.RUNNING
    assert len(progress_from_plain(decision.progress).servers) == 2


def test_a_not_sent_change_leaves_no_trace_in_what_is_expected():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, "held back", "not_sent")
    desk.look()
    node = desk.way().nodes[0]
    assert node.is_settled
    assert node.late == ()


def test_times_of_a_look_are_the_databases_and_not_the_machines():
    desk = Desk()
    seen = observe(desk, PaperCloud(desk))
    assert START <= seen.balancers[LB].observed_at <= START + timedelta(seconds=5)
    assert NodeStatus.ONLINE is seen.balancers[LB].nodes[0].status


def test_progress_that_comes_back_from_the_database_unchanged_is_not_read_again_and_any_other_is():
    desk = Desk(a_plan())
    kind = ScaledownKind(cloud=lambda view: PaperCloud(desk))
    first = kind.progress_of(view_of(desk))
    stored = json.loads(json.dumps(progress_to_plain(desk.progress)))
    assert kind.progress_of(view_of(desk, progress=stored)) is first
    of_another_worker = {**stored, "says": "Another worker went on."}
    assert kind.progress_of(view_of(desk, progress=of_another_worker)).says == "Another worker went on."
    assert kind.progress_of(view_of(desk, progress=stored)) == first


def test_checks_counts_and_looks_at_nodes_go_where_the_operator_opened_for_the_account():
    desk, told = Desk(), set()
    kind = kind_for(PaperCloud(desk))

    async def probe(spec, at):
        told.add(("probe", spec.networks))
        return ProbeResult(spec.name, True, 200, 80.0, at)

    async def count(source, address, clock):
        told.add(("count", source.networks))
        return CountReading(0, 100, "in flight", "stub", "measured", clock())

    async def answers(url, networks):
        told.add(("node", networks))
        return True

    kind.probe, kind.count, kind.answers = probe, count, answers
    view = view_of(desk)
    asyncio.run(kind.observe(replace(view, facts={**view.facts, "networks": ("10.1.0.0/16",)})))
    assert told >= {("probe", ("10.1.0.0/16",)), ("count", ("10.1.0.0/16",))}
    assert {networks for _, networks in told} == {("10.1.0.0/16",)}


@pytest.mark.parametrize(
    ("status", "answers"), [(200, True), (301, True), (401, True), (404, True), (500, False), (503, False)]
)
def test_a_server_that_fails_inside_does_not_answer_its_visitors(settings, status, answers):
    """Put in service it would pass its errors on to them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"127.0.0.1:{server.server_port}"
    settings.EGRESS_ALLOW = [place]

    async def ask():
        try:
            return await driver.answers_directly(f"http://{place}/")
        finally:
            await egress.close()

    try:
        assert asyncio.run(ask()) is answers
    finally:
        server.shutdown()
        server.server_close()
