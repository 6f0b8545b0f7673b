"""The client and the simulator understand each other: both follow the same reference, written by two people."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import uvicorn

from portal import egress
from portal.cloud.connect import CheckOutcome, check_connection, close_all, cloud_for
from portal.cloud.discovery import discover
from portal.cloud.rackspace import RackspaceCloud
from portal.cloud.rackspace_wire import Options
from portal.cloud.shared import MemoryShared
from portal.cloud.types import BalancerStatus, Condition, Credentials, Done, NodeSpec, ServerSpec
from portal.errors import InDoubt, ProviderFailed, Refused, TryLater
from portal.simulator import scenarios
from portal.simulator.__main__ import break_connection
from portal.simulator.app import create_app
from portal.simulator.clock import RealClock, VirtualClock
from portal.simulator.entities import DOCUMENTED_RATE_LIMITS
from portal.simulator.faults import Fault
from portal.simulator.hands import Hands
from portal.simulator.transport import SimulatorTransport
from portal.simulator.world import World
from scaledown import network
from scaledown.types import NetworkSeen
from tests.cloud.fake import FAST, SOON

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Desk:
    """A world with a virtual clock and a client that looks at it."""

    def __init__(
        self, scenario: str = "launch", *, username: str = scenarios.USERNAME, key: str = scenarios.API_KEY
    ):
        self.world = World(7, start=START)
        scenarios.apply(self.world, scenario)
        self.clock = VirtualClock(self.world.now)
        self.app = create_app(self.world, self.clock)
        self.transport = SimulatorTransport(self.app)
        self.cloud = RackspaceCloud(
            Credentials("rackspace", "http://cloud.sim/v2.0", username, key, scenarios.TENANT, "DFW"),
            shared=MemoryShared(),
            transport_for=lambda origin: self.transport,
            rules=lambda: egress.make_rules(("cloud.sim:80",)),
            options=Options(rates=FAST, read_pace_s=0.01, write_pace_s=0.01),
            now=lambda: START + timedelta(seconds=self.clock.now()),
        )

    def fault(self, kind: str, route: str, **more) -> None:
        self.world.faults.add(Fault(kind, route=route, **more))

    async def first(self):
        """The first balancer and its last node."""
        refs = await self.cloud.list_balancers()
        balancer = await self.cloud.show_balancer(refs[0].id)
        return balancer, balancer.nodes[-1]


def run(act, scenario: str = "launch", **more):
    desk = Desk(scenario, **more)
    return asyncio.run(act(desk))


def test_one_server_goes_all_the_way_out():
    async def act(desk):
        cloud = desk.cloud
        found = await discover(cloud)
        assert found.is_fully_matched
        pool = found.pools[0]
        member = pool.members[-1]
        ids = (pool.balancer.id, member.node.id)
        await cloud.set_condition(*ids, Condition.DRAINING, not_after=SOON)
        desk.clock.tick(20)
        seen = await cloud.show_balancer(pool.balancer.id)
        assert seen.is_writable
        assert seen.nodes[-1].condition is Condition.DRAINING
        entry = (await cloud.node_feed(*ids))[0]
        assert "condition: 'DRAINING'" in entry.summary
        desk.clock.tick(60)
        await cloud.remove_node(*ids, not_after=SOON)
        desk.clock.tick(20)
        assert await cloud.balancers_holding(member.node.address) == ()
        assert await cloud.attached_volumes(member.server.id) == ()
        await cloud.delete_server(member.server.id, not_after=SOON)
        assert (await cloud.show_server(member.server.id)).task_state == "deleting"
        desk.clock.tick(3600)
        assert await cloud.show_server(member.server.id) is None
        assert await cloud.delete_server(member.server.id, not_after=SOON) == Done({"already": "server_gone"})
        return await discover(cloud)

    left = run(act)
    assert len(left.pools[0].members) == 5
    assert left.is_fully_matched


def test_a_second_change_on_a_busy_balancer_waits_and_on_an_idle_one_is_done():
    async def act(desk):
        balancer, node = await desk.first()
        await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        with pytest.raises(TryLater) as caught:
            await desk.cloud.remove_node(balancer.id, node.id, not_after=SOON)
        assert caught.value.code == "balancer_busy"
        assert await desk.cloud.balancer_stats(balancer.id) is None
        desk.clock.tick(20)
        assert (await desk.cloud.balancer_stats(balancer.id)).current_connections >= 0
        await desk.cloud.remove_node(balancer.id, node.id, not_after=SOON)
        desk.clock.tick(20)
        again = await desk.cloud.remove_node(balancer.id, node.id, not_after=SOON)
        assert again == Done({"already": "node_gone"})
        spec = NodeSpec(node.address, node.port, Condition.DRAINING, weight=3)
        added = await desk.cloud.add_node(balancer.id, spec, not_after=SOON)
        desk.clock.tick(20)
        repeated = await desk.cloud.add_node(balancer.id, spec, not_after=SOON)
        assert repeated.detail == {**added.detail, "already": "node_there"}

    run(act)


@pytest.mark.parametrize(
    ("kind", "has_worked"), [("reset_after", True), ("timeout_after", True), ("reset_before", False)]
)
def test_a_lost_answer_is_a_doubt_and_a_look_settles_it(kind, has_worked):
    async def act(desk):
        balancer, node = await desk.first()
        desk.fault(kind, "node.update")
        with pytest.raises(InDoubt):
            await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        desk.clock.tick(20)
        seen = await desk.cloud.show_balancer(balancer.id)
        assert (seen.nodes[-1].condition is Condition.DRAINING) is has_worked

    run(act)


def test_an_added_node_whose_answer_was_cut_off_is_a_doubt():
    async def act(desk):
        balancer, _ = await desk.first()
        desk.fault("truncated", "node.add")
        with pytest.raises(InDoubt):
            spec = NodeSpec("10.9.9.9", 80, Condition.DRAINING)
            await desk.cloud.add_node(balancer.id, spec, not_after=SOON)

    run(act)


@pytest.mark.parametrize(
    "kind", ["truncated", "server_error", "unavailable", "reset_before", "timeout_before"]
)
@pytest.mark.parametrize("route", ["lb.list", "server.list", "lb.show"])
def test_a_faulty_read_is_tried_later_and_never_a_part(kind, route):
    async def act(desk):
        balancer, _ = await desk.first()
        desk.fault(kind, route, times=None)
        read = {
            "lb.list": desk.cloud.list_balancers,
            "server.list": desk.cloud.list_servers,
            "lb.show": lambda: desk.cloud.show_balancer(balancer.id),
        }[route]
        with pytest.raises(TryLater):
            await read()

    run(act)


@pytest.mark.parametrize("kind", ["token_expired", "token_revoked"])
def test_a_dead_token_is_renewed_in_the_middle_of_a_change(kind):
    async def act(desk):
        balancer, node = await desk.first()
        desk.fault(kind, "node.update")
        done = await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        assert isinstance(done, Done)

    run(act)


@pytest.mark.parametrize("form", ["seconds", "http-date", "iso"])
def test_a_rate_limit_is_kept_in_each_form_of_its_header(form):
    async def act(desk):
        desk.world.settings.retry_after_format = form
        balancer, node = await desk.first()
        desk.fault("over_limit", "node.update", seconds=40.0)
        with pytest.raises(TryLater) as caught:
            await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        assert caught.value.code == "rate_limited"
        assert 38 <= caught.value.after_s <= 48

    run(act)


def test_a_balancer_in_error_refuses_and_says_so():
    async def act(desk):
        balancer, node = await desk.first()
        desk.fault("lb_error", "node.update")
        await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        desk.clock.tick(20)
        assert (await desk.cloud.show_balancer(balancer.id)).status is BalancerStatus.ERROR
        with pytest.raises(Refused) as caught:
            await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        assert caught.value.code == "balancer_error"

    run(act)


def test_a_locked_server_is_not_deleted():
    async def act(desk):
        server = (await desk.cloud.list_servers())[-1]
        desk.fault("locked", "server.delete")
        with pytest.raises((Refused, TryLater)) as caught:
            await desk.cloud.delete_server(server.id, not_after=SOON)
        assert (await desk.cloud.show_server(server.id)).task_state is None
        return caught.value.code

    assert run(act) in {"server_locked", "server_busy", "server_state"}


def test_a_cloud_that_cannot_stop_servers_says_so():
    async def act(desk):
        desk.world.settings.stop_start_supported = False
        server = (await desk.cloud.list_servers())[-1]
        with pytest.raises(Refused) as caught:
            await desk.cloud.stop_server(server.id, not_after=SOON)
        assert caught.value.code == "unsupported"

    run(act)


def test_stop_and_start_go_there_and_back_and_may_be_repeated():
    async def act(desk):
        server = (await desk.cloud.list_servers())[-1]
        for act, status in ((desk.cloud.stop_server, "SHUTOFF"), (desk.cloud.start_server, "ACTIVE")):
            await act(server.id, not_after=SOON)
            desk.clock.tick(60)
            assert (await desk.cloud.show_server(server.id)).status == status
            assert await act(server.id, not_after=SOON) == Done({"already": status})

    run(act)


@pytest.mark.parametrize(("hard", "status"), [(False, "REBOOT"), (True, "HARD_REBOOT")])
def test_a_reboot_shows_while_it_lasts_and_is_not_taken_twice_in_order(hard, status):
    async def act(desk):
        server = (await desk.cloud.list_servers())[-1]
        await desk.cloud.reboot_server(server.id, hard=hard, not_after=SOON)
        assert (await desk.cloud.show_server(server.id)).status == status
        with pytest.raises((TryLater, Refused)) as busy:
            await desk.cloud.reboot_server(server.id, hard=False, not_after=SOON)
        assert busy.value.code in {"server_busy", "server_state"}
        desk.clock.tick(60)
        assert (await desk.cloud.show_server(server.id)).status == "ACTIVE"

    run(act)


def test_a_stopped_server_is_not_rebooted_in_order():
    async def act(desk):
        server = (await desk.cloud.list_servers())[-1]
        await desk.cloud.stop_server(server.id, not_after=SOON)
        desk.clock.tick(60)
        with pytest.raises(Refused) as refused:
            await desk.cloud.reboot_server(server.id, hard=False, not_after=SOON)
        assert refused.value.code == "server_state"
        assert (await desk.cloud.show_server(server.id)).status == "SHUTOFF"

    run(act)


RUN = {"steady_run": "r-1", "steady_server": "s-1"}


def test_an_image_is_found_by_its_metadata_and_becomes_active():
    async def act(desk):
        server = (await desk.cloud.list_servers())[-1]
        done = await desk.cloud.create_image(server.id, "web before", RUN, not_after=SOON)
        (made,) = [image for image in await desk.cloud.list_images() if image.metadata == RUN]
        assert (made.id, made.server_id, made.status) == (done.detail["image_id"], server.id, "SAVING")
        with pytest.raises(TryLater) as busy:
            await desk.cloud.create_image(server.id, "again", RUN, not_after=SOON)
        assert busy.value.code == "server_busy"
        desk.clock.tick(200)
        shown = await desk.cloud.show_image(made.id)
        assert (shown.status, shown.progress, shown.name) == ("ACTIVE", 100, "web before")
        assert await desk.cloud.show_image("0" * 8) is None
        return shown, server

    run(act)


def test_a_server_is_created_anew_from_an_image_and_found_by_its_metadata():
    async def act(desk):
        server = (await desk.cloud.list_servers())[-1]
        image = (await desk.cloud.create_image(server.id, "web", RUN, not_after=SOON)).detail["image_id"]
        desk.clock.tick(200)
        spec = ServerSpec("web-anew", str(server.flavor_id), image, RUN)
        made_id = (await desk.cloud.create_server(spec, not_after=SOON)).detail["server_id"]
        (made,) = [one for one in await desk.cloud.list_servers() if one.metadata == RUN]
        assert (made.id, made.name, made.status) == (made_id, "web-anew", "BUILD")
        assert (made.image_id, made.flavor_id) == (image, server.flavor_id)
        desk.clock.tick(120)
        assert (await desk.cloud.show_server(made_id)).status == "ACTIVE"

    run(act)


@pytest.mark.parametrize("kind", ["timeout_after", "reset_after"])
def test_an_image_whose_answer_is_lost_is_in_doubt_and_there(kind):
    async def act(desk):
        server = (await desk.cloud.list_servers())[-1]
        await desk.cloud.session()
        desk.fault(kind, "server.action")
        with pytest.raises(InDoubt):
            await desk.cloud.create_image(server.id, "web", RUN, not_after=SOON)
        assert [image.metadata for image in await desk.cloud.list_images()] == [RUN, {}]

    run(act)


def test_a_list_of_images_without_any_is_not_believed():
    async def act(desk):
        desk.fault("empty_list", "image.list")
        with pytest.raises(TryLater):
            await desk.cloud.list_images()

    run(act)


def test_a_wrong_key_ends_at_the_log_in():
    async def act(desk):
        with pytest.raises(ProviderFailed) as caught:
            await desk.cloud.list_balancers()
        assert caught.value.code == "credentials_refused"

    run(act, key="wrong")


def outcomes(check) -> dict[str, str]:
    return {line.name: line.outcome.value for line in check.lines}


def test_the_test_of_a_connection_says_what_it_may_do_and_changes_nothing():
    async def act(desk):
        desk.world.settings.rate_limits = DOCUMENTED_RATE_LIMITS
        await desk.cloud.session()
        before = desk.world.version
        check = await check_connection(desk.cloud)
        assert desk.world.version == before
        return check

    check = run(act)
    assert set(outcomes(check).values()) == {"ok"}
    assert check.is_usable
    assert check.as_json()["is_usable"] is True


def test_the_test_of_a_connection_of_a_user_who_may_only_read_says_so():
    async def act(desk):
        return await check_connection(desk.cloud)

    check = run(act, username="watcher", key="watcher-api-key")
    assert outcomes(check)["change_balancers"] == outcomes(check)["delete_servers"] == "not"
    assert check.is_usable


def test_the_test_of_a_connection_with_a_wrong_key_stops_at_the_log_in():
    check = run(lambda desk: check_connection(desk.cloud), key="wrong")
    assert outcomes(check) == {"log_in": "not"}
    assert not check.is_usable


def test_what_could_not_be_looked_at_is_unknown():
    async def act(desk):
        desk.fault("server_error", "server.list", times=None)
        return await check_connection(desk.cloud)

    check = run(act)
    assert {line.name: line.outcome for line in check.lines}["servers"] is CheckOutcome.UNKNOWN
    assert not check.is_usable


def test_a_user_who_may_only_read_is_refused_a_change_without_a_loop_of_log_ins():
    async def act(desk):
        balancer, node = await desk.first()
        with pytest.raises((Refused, ProviderFailed)) as caught:
            await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        return caught.value.code

    assert run(act, username="watcher", key="watcher-api-key") == "forbidden"


def test_the_network_of_a_drained_server_goes_quiet_in_its_own_figures():
    async def act(desk):
        found = await discover(desk.cloud)
        pool = found.pools[0]
        member = pool.members[-1]
        assert member.server.id in (await desk.cloud.watched()).network
        desk.clock.tick(900)
        begun = START + timedelta(seconds=desk.clock.now())
        await desk.cloud.set_condition(pool.balancer.id, member.node.id, Condition.DRAINING, not_after=SOON)

        async def quiet(minutes):
            desk.clock.tick(60 * minutes)
            now = START + timedelta(seconds=desk.clock.now())
            begins = begun - timedelta(seconds=network.BEFORE_S)
            rates = await desk.cloud.network_rates(member.server.id, begins=begins, ends=now)
            seen = NetworkSeen(member.server.id, rates, now)
            return network.judged(seen, begun_at=begun, from_at=begun + timedelta(minutes=1), now=now)

        return await quiet(2), await quiet(30)

    early, late = run(act)
    assert not early.is_quiet
    assert early.before > network.LEAST_BEFORE
    assert late.is_quiet
    assert late.now <= network.QUIET_SHARE * late.before


def test_discovery_shows_what_could_not_be_matched():
    async def act(desk):
        return await discover(desk.cloud)

    found = run(act, "unmatched")
    assert [entry.node.address for entry in found.unknown_nodes] == ["10.190.7.7"]
    assert not found.is_fully_matched
    shared = run(act, "two_balancers")
    assert {entry.server.name for entry in shared.servers_in_several} == {"web-01", "web-06"}


def test_an_autoscaled_server_is_known_by_its_mark():
    servers = run(lambda desk: desk.cloud.list_servers(), "autoscaled")
    assert {server.autoscale_group is not None for server in servers} == {True, False}


# --- over a real port ---


@contextlib.asynccontextmanager
async def on_a_port():
    """The simulator on a free port of this machine, and a client over the portal's own network layer."""
    world = World(7, start=datetime.now(UTC))
    scenarios.apply(world, "launch")
    world.settings.pending_update_s = [0.0, 0.0]
    app = create_app(world, RealClock(world.now), abort=break_connection)
    # The protocol by name: without it asyncio leaves Nagle's delay of 40 ms on every answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = uvicorn.Config(app, log_level="warning", lifespan="off", http="h11", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    rules = egress.make_rules((f"127.0.0.1:{port}",))
    transport = egress.CheckedTransport(limits=httpx.Limits(), rules=lambda: rules)
    url = f"http://127.0.0.1:{port}/v2.0"
    cloud = RackspaceCloud(
        Credentials("rackspace", url, scenarios.USERNAME, scenarios.API_KEY, scenarios.TENANT, "DFW"),
        shared=MemoryShared(),
        transport_for=lambda origin: transport,
        rules=lambda: rules,
        options=Options(rates=FAST, call_deadline_s=0.5),
    )
    try:
        yield world, cloud
    finally:
        await transport.aclose()
        server.should_exit = True
        await serving


def test_over_a_real_port_a_reset_after_the_change_is_a_doubt_that_a_look_settles():
    async def act():
        async with on_a_port() as (world, cloud):
            found = await discover(cloud)
            balancer, node = found.pools[0].balancer, found.pools[0].balancer.nodes[-1]
            world.faults.add(Fault("reset_after", route="node.update"))
            with pytest.raises(InDoubt):
                await cloud.set_condition(
                    balancer.id, node.id, Condition.DRAINING, not_after=time.monotonic() + 5
                )
            seen = await cloud.show_balancer(balancer.id)
            return seen.nodes[-1].condition

    assert asyncio.run(act()) is Condition.DRAINING


def test_over_a_real_port_silence_is_a_doubt_at_the_total_deadline():
    async def act():
        async with on_a_port() as (world, cloud):
            server = (await cloud.list_servers())[-1]
            world.faults.add(Fault("delay", route="server.delete", seconds=1.2))
            began = time.monotonic()
            with pytest.raises(InDoubt):
                await cloud.delete_server(server.id, not_after=time.monotonic() + 5)
            return time.monotonic() - began

    assert asyncio.run(act()) < 1.0


def test_over_a_real_port_everything_works_from_credentials_alone(settings):
    """As the portal's processes do it: credentials, the operator's settings, and nothing handed in."""

    async def act():
        async with on_a_port() as (_, cloud):
            settings.EGRESS_ALLOW = [httpx.URL(cloud.identity.identity_url).netloc.decode()]
            mine = cloud_for(cloud._wire._credentials)
            found = await discover(mine)
            balancer, node = found.pools[0].balancer, found.pools[0].balancer.nodes[-1]
            done = await mine.set_condition(
                balancer.id, node.id, Condition.DRAINING, not_after=time.monotonic() + 5
            )
            settings.EGRESS_ALLOW = []
            with pytest.raises(ProviderFailed) as caught:
                await mine.show_balancer(balancer.id)
            await close_all()
            return done, caught.value.code

    done, code = asyncio.run(act())
    assert done == Done({"status": "202"})
    assert code == "closed_address"


def test_an_alarm_of_the_pool_is_found_by_the_look_for_a_plan():
    async def act(desk):
        found = await discover(desk.cloud)
        pool = found.pools[0]
        server = pool.members[0].server
        hands = Hands(desk.world)
        hands.do("set_alarm", of=server.id, label="CPU", state="WARNING")
        hands.do("set_alarm", of=pool.balancer.id, label="Home page", state="CRITICAL")
        alarms = (await desk.cloud.watched()).alarms
        assert [(one.label, one.state.value) for one in alarms] == [
            ("Home page", "CRITICAL"),
            ("CPU", "WARNING"),
        ]
        assert pool.balancer.virtual_ips[0] in alarms[0].addresses
        assert alarms[1].server_id == server.id

    run(act)
