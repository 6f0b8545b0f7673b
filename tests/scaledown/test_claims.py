"""One disruptive run per pool at a time, whatever its kind and whichever connection reaches the pool.

A claim is on the provider's own identity (`CloudIdentity.key`). The second run does not start, its plan stays approved, and
whoever wanted it reads what holds the pool: by its title where that is the account's own, never another customer's.
"""

from __future__ import annotations

import uuid

import pytest
from django.urls import reverse

from accounts.models import CloudConnection, Membership
from capacity.models import CountSource, Probe
from portal.cloud.types import CloudIdentity
from portal.errors import Refused
from portal.runs import registry
from portal.runs import services as runs
from portal.runs.models import Claim, Run
from portal.runs.store_pg import PgStore
from portal.runs.types import Decision, RunStatus
from scaledown import records, services
from scaledown.models import Plan
from scaledown.records import AddedServer
from tests.runs.toy import ToyKind, ToyWorld
from tests.scaledown.planner_cases import CHOICE, server
from tests.scaledown.rows import desk, fresh_pool
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db
DRILL = "toy"
OWN = "A load balancer or server of this plan is in the hands of “Host failure”, which is not over yet."
OTHERS = "A load balancer or server of this plan is in the hands of another run, which is not over yet."


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr("scaledown.api.read_pool", lambda connection, balancer_ids: fresh_pool())
    monkeypatch.setattr(
        registry,
        "_KINDS",
        {**registry._KINDS, DRILL: registry.Registered(DRILL, lambda: ToyKind(ToyWorld()))},
    )
    return desk()


def approved(here, connection=None) -> Plan:
    if connection is not None:
        added = [AddedServer(f"srv-{n:02}", f"web-{n:02}", server(n).created_at) for n in (4, 5, 6)]
        records.record_scale_up(event=here.event, connection=connection, actor=here.manager, entries=added)
    mine = connection or here.connection
    identity = CloudIdentity(mine.provider, mine.identity_url, mine.tenant, mine.region)
    plan = services.draft_plan(
        account=here.account,
        connection=mine,
        actor=here.manager,
        title="After Black Friday",
        choice=CHOICE,
        event=here.event,
    )
    plan = services.submit_plan(plan, actor=here.manager, pool=fresh_pool(identity=identity))
    return services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)


def alike(connection, **changes) -> CloudConnection:
    """Return another connection to the same customer of the same provider, with credentials of its own."""
    fields = {
        "account": connection.account,
        "name": "DFW, second key",
        "identity_url": connection.identity_url,
        "username": "somebody-else",
        "api_key": "another-key",
        "tenant": connection.tenant,
        "region": connection.region,
    }
    made = CloudConnection.objects.create(**{**fields, **changes})
    of_pool = {"account": made.account, "connection": made, "balancer_id": "71"}
    Probe.objects.create(**of_pool, name="home", url="https://www.example.com/", latency_limit_ms=800.0)
    CountSource.objects.create(
        **of_pool, kind="nginx_stub_status", url_template="http://{address}/stub_status"
    )
    return made


def drill(here, *, account=None, keys=None) -> Run:
    """Start a run of another kind that holds the pool's balancer."""
    mine = here.connection
    identity = CloudIdentity(mine.provider, mine.identity_url, mine.tenant, mine.region)
    return runs.create_run(
        account=account or here.account,
        kind=DRILL,
        plan_ref=uuid.uuid4(),
        plan={"target": 1},
        digest="d" * 64,
        resource_keys=[identity.key("lb", "71")] if keys is None else keys,
        scopes=[],
        title="Host failure",
        actor=here.lead,
    )


def end(run: Run) -> None:
    store = PgStore()
    view = store.claim(str(run.ref), holder="w", lease_s=15)
    assert view is not None
    store.commit(view, Decision(progress={}, status=RunStatus.ABORTED))


def start(here, plan: Plan) -> Run:
    return services.start_run(plan, actor=here.manager, seen_digest=plan.digest)


def test_a_scale_down_waits_for_a_run_of_another_kind_and_says_for_which(here):
    held = drill(here)
    plan = approved(here)
    with pytest.raises(Refused) as refusal:
        start(here, plan)
    assert refusal.value.code == "resource_claimed"
    assert OWN in str(refusal.value)
    plan.refresh_from_db()
    assert plan.status == "approved"
    assert Run.objects.get() == held
    assert set(Claim.objects.values_list("run", flat=True)) == {held.pk}
    end(held)
    assert start(here, plan).status == RunStatus.SCHEDULED


def test_a_run_of_another_kind_waits_for_a_scale_down_by_a_server_alone(here):
    run = start(here, approved(here))
    key = next(k for k in run.claims.values_list("resource_key", flat=True) if k.endswith("srv-01"))
    with pytest.raises(Refused) as refusal:
        drill(here, keys=[key])
    assert "in the hands of “After Black Friday”" in str(refusal.value)
    assert Run.objects.get() == run


@pytest.mark.parametrize("way", ["another_key", "another_spelling"])
def test_two_connections_to_one_provider_account_are_one_pool(here, way):
    changes = {"another_spelling": {"identity_url": "https://IDENTITY.example:443/v2.0/"}}.get(way, {})
    first = start(here, approved(here))
    plan = approved(here, alike(here.connection, **changes))
    with pytest.raises(Refused) as refusal:
        start(here, plan)
    assert refusal.value.code == "resource_claimed"
    assert "“After Black Friday”" in str(refusal.value)
    assert Run.objects.get() == first


def test_another_region_is_another_pool(here):
    start(here, approved(here))
    assert start(here, approved(here, alike(here.connection, region="ORD"))).status == RunStatus.SCHEDULED


def test_another_customers_run_is_waited_for_and_not_named(here):
    stranger = Membership.objects.get(user=here.stranger).account
    held = drill(here, account=stranger)
    with pytest.raises(Refused) as refusal:
        start(here, approved(here))
    assert OTHERS in str(refusal.value)
    assert "Host failure" not in str(refusal.value)
    assert Run.objects.get() == held


def test_the_api_answers_with_what_holds_the_pool_and_the_same_key_starts_it_afterwards(here):
    held, plan = drill(here), approved(here)
    manager, path = Caller(here.manager), f"/plans/{plan.ref}/runs"
    body = {"status": "approved", "digest": plan.digest}
    answer = manager.post(path, body, status=422)
    assert answer["type"].endswith("resource-claimed")
    assert OWN in answer["detail"]
    end(held)
    assert manager.post(path, body, status=201)["status"] == "scheduled"


def test_the_page_says_what_holds_the_pool_and_keeps_the_plan(here, client):
    drill(here)
    plan = approved(here)
    client.force_login(here.manager)
    answer = client.post(
        reverse("scaledown:plan-start", args=[plan.ref]),
        {"digest": plan.digest, "typed_name": "3 servers"},
        follow=True,
    )
    assert OWN in answer.content.decode()
    plan.refresh_from_db()
    assert plan.status == "approved"
    assert Run.objects.filter(kind=services.KIND).count() == 0
