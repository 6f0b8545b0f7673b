"""Series of the provider's monitoring, fetched from the simulated provider over the account's connection."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AccountStatus, CloudConnection
from capacity.metrics.models import Metric, Sample
from capacity.pulls import monitoring, services
from capacity.pulls.models import Pull
from portal.cloud.rackspace import RackspaceCloud
from portal.cloud.rackspace_monitoring import Monitoring
from portal.cloud.rackspace_wire import Options
from portal.cloud.shared import MemoryShared
from portal.cloud.types import Credentials
from portal.egress import Rules
from portal.errors import Refused, TryLater
from portal.simulator import scenarios
from portal.simulator.app import create_app
from portal.simulator.clock import VirtualClock
from portal.simulator.transport import SimulatorTransport
from portal.simulator.world import World
from tests.cloud.fake import FAST
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller
from tests.simulator.support import check_of, drain_to_zero, server

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
HOST = "cloud.test"
# The session and its user, the account and what one may do there, the connection; alarms and notices.
CHOOSE_MOST = 12


class Noting(SimulatorTransport):
    """Notes the address of each request."""

    def __init__(self, app, asked):
        super().__init__(app)
        self.asked = asked

    async def handle_async_request(self, request):
        self.asked.append(request.url)
        return await super().handle_async_request(request)


class Provider:
    """A simulated provider whose world begins now; `asked` are the addresses that were read."""

    def __init__(self):
        self.world = World(1, start=timezone.now())
        scenarios.apply(self.world, "launch")
        self.clock = VirtualClock()
        self.app = create_app(self.world, self.clock)
        self.shared = MemoryShared()
        self.asked = []

    def look_once(self, credentials, look):
        async def turn():
            async with Noting(self.app, self.asked) as transport:
                cloud = RackspaceCloud(
                    Credentials(
                        "rackspace",
                        f"https://{HOST}/v2.0",
                        scenarios.USERNAME,
                        scenarios.API_KEY,
                        scenarios.TENANT,
                        "DFW",
                    ),
                    shared=self.shared,
                    transport_for=lambda origin: transport,
                    rules=lambda: Rules(),
                    options=Options(rates=FAST),
                    is_rehearsal=True,
                    now=self.now,
                )
                return await look(cloud)

        return asyncio.run(turn())

    def now(self):
        return self.world.time_at(self.world.now)

    def wait(self, seconds):
        self.clock.tick(seconds)
        self.app.catch_up()
        return self.now()

    @property
    def plots(self):
        return [url for url in self.asked if url.path.endswith("/plot")]


@pytest.fixture
def provider(monkeypatch):
    provider = Provider()
    monkeypatch.setattr("accounts.clouds.look_once", provider.look_once)
    return provider


@pytest.fixture
def here():
    return desk()


def add(here, provider, kind="agent.network", metric="rx_bytes", name="web-01", **more):
    entity_id, check_id = check_of(provider.world, name, kind)
    fields = {"entity_id": entity_id, "check_id": check_id, "metric": metric, "backfill_days": 1, **more}
    chosen, *_ = services.add_monitored(here.connection, fields, actor=here.editor)
    return chosen


def fetch(pull, provider, seconds=0):
    services.pull_due(provider.wait(seconds) if seconds else provider.now() + timedelta(seconds=5))
    pull.refresh_from_db()
    return pull


def samples(**of):
    return list(Sample.objects.filter(**of).order_by("at").values_list("at", "value"))


def test_counted_bytes_become_bytes_a_second_and_go_on_from_where_they_were(here, provider):
    pull = add(here, provider)
    assert (pull.name, pull.resource, pull.unit, pull.is_counter, pull.step_s) == (
        "rx_bytes_per_s",
        "web-01",
        "bytes/s",
        True,
        60,
    )
    fetch(pull, provider)
    assert (pull.state, pull.problem, pull.failures) == ("pull_good", "", 0)
    metric = Metric.objects.get(account=here.account)
    assert (metric.source, metric.resource, metric.kind) == ("monitoring", "web-01", "throughput")
    day = samples()
    assert 24 * 60 - 5 <= len(day) <= 24 * 60 + 1
    web = next(iter(provider.world.balancers.values()))
    rps = provider.world.node_rps(web, web.nodes[0])
    assert day[-1][1] == pytest.approx(rps * 900, rel=0.15)
    assert dict(provider.plots[0].params)["resolution"] == "FULL"
    fetch(pull, provider, 600)
    assert 9 <= len(samples()) - len(day) <= 11
    assert pull.state == "pull_good"


def test_a_long_past_comes_as_averages_and_the_last_two_days_in_full(here, provider):
    pull = add(here, provider, "agent.cpu", "usage_average", backfill_days=30)
    assert (pull.name, pull.unit, pull.factor) == ("cpu_share", "share", 0.01)
    fetch(pull, provider)
    found = samples()
    gaps = {after[0] - before[0] for before, after in pairwise(found)}
    assert {timedelta(minutes=20), timedelta(minutes=5), MINUTE} <= gaps
    assert max(gaps) <= timedelta(minutes=20), "no hole"
    assert provider.now() - found[0][0] > timedelta(days=29, hours=20)
    assert all(0 < value < 1 for _, value in found)
    assert all(int(dict(url.params)["to"]) - int(dict(url.params)["from"]) > 0 for url in provider.plots)


@pytest.mark.parametrize("kind", ["empty_list", "unmeasured", "points_stop"])
def test_no_points_old_points_and_points_of_nothing_are_no_data_and_never_zero(here, provider, kind):
    pull = add(here, provider)
    provider.world.add_fault(kind, "monitoring.plot", times=None)
    fetch(pull, provider)
    assert pull.state == "pull_empty"
    assert "Nothing newer" in pull.problem
    assert all(value > 0 for _, value in samples())
    provider.world.faults.remove()
    fetch(pull, provider, 600)
    assert (pull.state, pull.problem) == ("pull_good", "")
    newest = [at for at, _ in samples() if at > provider.now() - timedelta(hours=1)]
    assert len(newest) >= 57, "what came late was fetched then"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("agent_away", "agent of this server is not connected"),
        ("limit_reached", "limit"),
        ("over_limit", "limit"),
        ("server_error", "provider"),
        ("truncated", "could not be understood"),
    ],
)
def test_what_goes_wrong_stands_there_is_asked_again_later_and_loses_nothing(here, provider, kind, says):
    pull = add(here, provider)
    fetch(pull, provider)
    kept, reached = len(samples()), pull.reached_at
    provider.world.add_fault(kind, "monitoring.plot", times=None, seconds=900)
    fetch(pull, provider, 120)
    assert (pull.state, pull.failures, pull.reached_at) == ("pull_failing", 1, reached)
    assert says in pull.problem
    rest = (pull.next_at - provider.now()).total_seconds()
    assert rest >= (300 if kind in ("limit_reached", "over_limit") else 120)
    assert len(samples()) == kept
    provider.world.faults.remove()
    # The tenant is held back by the limit as the provider asked; another worker's memory has it no more.
    provider.shared = MemoryShared()
    fetch(pull, provider, 1800)
    assert (pull.state, pull.failures) == ("pull_good", 0)
    assert 30 <= len(samples()) - kept <= 33


def test_a_drained_server_falls_to_nothing_which_was_measured(here, provider):
    pull = add(here, provider, name="web-04")
    drain_to_zero(provider.world, "web-04")
    provider.clock.tick(provider.world.now)
    fetch(pull, provider, 1200)
    assert samples()[-1][1] == 0


def test_it_is_asked_only_over_a_connection_that_measures_it(here, provider):
    for missing in ({"entity_id": "en-other"}, {"check_id": "ch-other"}, {"metric": "other"}):
        with pytest.raises(Refused) as refusal:
            add(here, provider, **missing)
        assert refusal.value.code == "not_monitored"
    add(here, provider)
    with pytest.raises(Refused):
        add(here, provider)
    assert add(here, provider, "agent.network", "tx_bytes").name == "tx_bytes_per_s"
    with pytest.raises(Refused) as refusal:
        add(here, provider, "agent.cpu", "usage_average", unit="percent")
    assert refusal.value.code == "other_unit"
    here.account.status = AccountStatus.ARCHIVED
    here.account.save()
    here.connection.refresh_from_db()
    with pytest.raises(Refused):
        add(here, provider, "agent.plugin", "connections")


def test_a_percentage_is_no_share_unless_it_is_divided(here, provider):
    pull = add(here, provider, "agent.cpu", "usage_average", factor=1.0)
    fetch(pull, provider)
    assert pull.state == "pull_failing"
    assert "Divide percentages by 100" in pull.problem
    assert not samples()


def test_a_deleted_server_is_not_measured_any_more(here, provider):
    pull = add(here, provider, name="web-06")
    fetch(pull, provider)
    provider.world.delete_server(server(provider.world, "web-06").server_id)
    fetch(pull, provider, 3600)
    assert pull.state == "pull_failing"
    assert "does not know this server" in pull.problem


def test_it_is_chosen_and_entered_by_the_api(here, provider):
    caller = Caller(here.editor)
    base = f"/accounts/{here.account.ref}/pulls/monitoring"
    choice = caller.get(f"{base}?connection={here.connection.ref}")
    web = next(one for one in choice["entities"] if one["label"] == "web-01")
    assert web["server_id"] == server(provider.world, "web-01").server_id
    assert choice["metrics"] is None
    check = next(one for one in web["checks"] if one["type"] == "agent.network")
    chosen = {"entity_id": web["id"], "check_id": check["id"]}
    ids = "&".join(f"{name}={value}" for name, value in chosen.items())
    assert caller.get(f"{base}?connection={here.connection.ref}&{ids}")["metrics"] == ["rx_bytes", "tx_bytes"]
    body = {"connection": str(here.connection.ref), **chosen, "metric": "rx_bytes"}
    made = caller.post(base, body, 201)
    assert (made["source"], made["state"], made["connection"]) == (
        "monitoring",
        "pull_waiting",
        str(here.connection.ref),
    )
    assert caller.post(f"/pulls/{made['ref']}/try")["samples"] >= 7
    assert not Sample.objects.exists()
    other = CloudConnection.objects.create(
        account=type(here.account).objects.get(number="200"),
        name="x",
        identity_url="https://identity.example/v2.0",
        username="x",
        api_key="k",
        tenant="9",
        region="DFW",
    )
    caller.post(base, {**body, "connection": str(other.ref), "metric": "tx_bytes"}, 422)
    assert caller.ask("get", f"{base}?connection={other.ref}").status_code == 422
    assert caller.ask("get", base).status_code == 422


def test_the_pages_lead_from_the_connection_to_a_series(here, provider, client):
    client.force_login(here.editor)
    url = reverse("capacity:pull-choose", args=[here.account.ref])
    page = client.get(url).content.decode()
    assert "agent.network eth0" in page
    assert "web-06" in page
    entity_id, check_id = check_of(provider.world, "web-01", "agent.network")
    step = f"{url}?connection={here.connection.ref}&entity={entity_id}&check={check_id}"
    assert "rx_bytes" in client.get(step).content.decode()
    assert client.post(step, {"metric": "nonsense", "backfill_days": 1}).status_code == 422
    shown = client.post(step, {"metric": "rx_bytes", "backfill_days": 1}, follow=True).content.decode()
    assert "Entered: rx_bytes_per_s of web-01" in shown
    assert "agent.network eth0: rx_bytes" in shown
    again = client.post(step, {"metric": "rx_bytes", "backfill_days": 1})
    assert again.status_code == 422
    assert "fetched from the provider" in again.content.decode()
    act = reverse("capacity:pull-act", args=[Pull.objects.get().ref])
    assert "rx_bytes_per_s answers" in client.post(act, {"act": "try"}, follow=True).content.decode()


@pytest.mark.parametrize(
    "trouble", [Refused("Your role at the provider may not."), TryLater("Busy.", after_s=1)]
)
def test_a_choice_that_cannot_be_read_any_more_keeps_nothing_and_says_why(
    here, provider, client, monkeypatch, trouble
):
    def gone(*_):
        raise trouble

    monkeypatch.setattr("capacity.pulls.monitoring.metrics_of", gone)
    client.force_login(here.editor)
    entity_id, check_id = check_of(provider.world, "web-01", "agent.network")
    url = reverse("capacity:pull-choose", args=[here.account.ref])
    step = f"{url}?connection={here.connection.ref}&entity={entity_id}&check={check_id}"
    answer = client.post(step, {"metric": "rx_bytes", "backfill_days": 1})
    assert answer.status_code == 502
    assert trouble.says in answer.content.decode()
    assert not Pull.objects.exists()


def test_a_provider_that_does_not_answer_is_said_and_nothing_is_shown_as_empty(here, client, monkeypatch):
    def away(credentials, look):
        raise TryLater("The provider cannot be reached.", after_s=1)

    monkeypatch.setattr("accounts.clouds.look_once", away)
    client.force_login(here.editor)
    answer = client.get(reverse("capacity:pull-choose", args=[here.account.ref]))
    assert answer.status_code == 502
    assert "cannot be reached" in answer.content.decode()
    assert "Nothing is measured" not in answer.content.decode()


def everywhere(here, provider, **more):
    entity_id, check_id = check_of(provider.world, "web-01", "agent.network")
    fields = {"entity_id": entity_id, "check_id": check_id, "metric": "rx_bytes", "backfill_days": 1, **more}
    return services.add_monitored(here.connection, fields, actor=here.editor, everywhere=True)


def test_a_metric_of_every_server_is_entered_at_once_and_what_is_there_stays(here, provider):
    known = add(here, provider, name="web-02")
    rows = everywhere(here, provider)
    servers = {one.label for one in monitoring.choice(here.connection) if one.server_id}
    assert rows[0].resource == "web-01"
    assert {row.resource for row in rows} == servers - {"web-02"}
    assert Pull.objects.count() == len(servers) > 2
    assert {row.metric for row in Pull.objects.all()} == {"rx_bytes"}
    assert len({(row.entity_id, row.check_id) for row in Pull.objects.all()}) == len(servers)
    known.refresh_from_db()
    with pytest.raises(Refused, match="fetched from the provider"):
        everywhere(here, provider)


def test_where_all_of_it_is_too_much_nothing_is_entered(here, provider, monkeypatch):
    monkeypatch.setattr(services, "MOST_OF_ACCOUNT", 3)
    with pytest.raises(Refused, match="at most 3"):
        everywhere(here, provider)
    monkeypatch.setattr(services, "MOST_OF_ACCOUNT", 50)
    with pytest.raises(Refused, match="Leave the resource empty"):
        everywhere(here, provider, resource="the shop")
    assert not Pull.objects.exists()


def test_a_server_that_does_not_measure_it_is_left_out(here, provider, monkeypatch):
    real = Monitoring.metrics
    left_out = check_of(provider.world, "web-03", "agent.network")[0]

    async def metrics(self, entity_id, check_id):
        return () if entity_id == left_out else await real(self, entity_id, check_id)

    monkeypatch.setattr(Monitoring, "metrics", metrics)
    assert "web-03" not in {row.resource for row in everywhere(here, provider)}


def test_page_and_api_enter_it_of_every_server(here, provider, client):
    client.force_login(here.editor)
    entity_id, check_id = check_of(provider.world, "web-01", "agent.network")
    url = reverse("capacity:pull-choose", args=[here.account.ref])
    step = f"{url}?connection={here.connection.ref}&entity={entity_id}&check={check_id}"
    chosen = {"metric": "rx_bytes", "backfill_days": 1, "everywhere": "on"}
    page = client.post(step, chosen, follow=True).content.decode()
    others = Pull.objects.count() - 1
    assert f"Entered: rx_bytes_per_s of web-01 and of {others} other servers." in page
    body = {
        "connection": str(here.connection.ref),
        "entity_id": entity_id,
        "check_id": check_id,
        "metric": "tx_bytes",
        "everywhere": True,
    }
    answer = Caller(here.editor).post(f"/accounts/{here.account.ref}/pulls/monitoring", body, 201)
    assert answer["resource"] == "web-01"
    assert Pull.objects.filter(metric="tx_bytes").count() == others + 1


def test_the_steps_of_choosing_cost_the_same_few_queries_whatever_is_measured(
    here, provider, client, django_assert_max_num_queries
):
    client.force_login(here.editor)
    url = reverse("capacity:pull-choose", args=[here.account.ref])
    entity_id, check_id = check_of(provider.world, "web-01", "agent.network")
    for step in (url, f"{url}?connection={here.connection.ref}&entity={entity_id}&check={check_id}"):
        client.get(step)
        with django_assert_max_num_queries(CHOOSE_MOST):
            assert client.get(step).status_code == 200
