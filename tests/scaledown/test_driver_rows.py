"""What the driver reads from, and keeps true in, the database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Account, Membership, OpenedNetwork
from capacity.reports.models import SizedPool
from portal.cloud.types import Condition
from portal.runs.store_pg import PgStore
from portal.runs.types import Decision, RunStatus
from scaledown import driver, services
from scaledown.models import Plan, PlanStatus, ProtectedServer, Retirement
from scaledown.progress import NodeState, progress_from_plain, progress_to_plain
from scaledown.types import Phase
from tests.scaledown.rows import desk
from tests.scaledown.test_services import approved

pytestmark = pytest.mark.django_db


@pytest.fixture
def here():
    return desk()


@pytest.fixture
def run(here):
    plan = approved(here)
    return services.start_run(plan, actor=here.manager, seen_digest=plan.digest)


def test_a_run_reads_that_its_approval_stands_and_who_is_in_charge(here, run):
    known = driver.facts(run)
    assert known["approval_stands"] is True
    assert known["in_charge"] == (str(run.in_charge_id) if run.in_charge else None)
    assert known["protected"] == ()


def test_a_removed_approver_is_named(here, run):
    Membership.objects.filter(user=here.approver).delete()
    known = driver.facts(run)
    assert known["approval_stands"] is False
    assert "Approver" in known["approval_problem"]


def test_a_server_protected_meanwhile_is_read(here, run):
    ProtectedServer.objects.create(
        account=here.account,
        connection=here.connection,
        server_id="srv-06",
        server_name="web-06",
        reason="licence",
        marked_by=here.manager,
    )
    assert driver.facts(run)["protected"] == ("srv-06",)


def test_the_key_of_the_provider_is_in_no_text_of_the_facts(here, run):
    assert "'key'" not in repr(driver.facts(run)["credentials"])


def test_retirements_are_written_and_written_over(here, run):
    progress = progress_from_plain(run.progress)
    driver.project(run, Decision(progress=progress_to_plain(progress)), {})
    way = replace(progress.servers[0], phase=Phase.DRAINING, says="It drains.")
    progress = replace(progress, servers=(way, *progress.servers[1:]))
    driver.project(run, Decision(progress=progress_to_plain(progress)), {})
    rows = list(Retirement.objects.filter(run=run))
    assert len(rows) == len(progress.servers)
    assert (rows[0].phase, rows[0].says, rows[0].connections) == ("draining", "It drains.", None)


@pytest.mark.parametrize(
    ("phases", "is_another_size"),
    [
        ((Phase.QUEUED, Phase.DRAINING), True),
        ((Phase.DRAINING, Phase.REMOVING), False),
        ((Phase.REMOVING, Phase.VERIFYING), True),
        ((Phase.VERIFYING, Phase.HELD), False),
        ((Phase.CONFIRMING, Phase.RETIRED), False),
        ((Phase.VERIFYING, Phase.RESTORED), True),
        # Put back by a pause, to be taken out later.
        ((Phase.VERIFYING, Phase.QUEUED), True),
        ((Phase.QUEUED, Phase.SKIPPED), False),
    ],
)
def test_a_server_that_left_its_pool_or_is_back_lets_it_be_counted_anew(here, run, phases, is_another_size):
    rows = {
        number: SizedPool.objects.create(
            account=here.account, connection=here.connection, balancer_id=number, name=f"pool {number}"
        )
        for number in ("71", "72")
    }
    progress = progress_from_plain(run.progress)
    was, told = (
        progress_to_plain(
            replace(progress, servers=(replace(progress.servers[0], phase=one), *progress.servers[1:]))
        )
        for one in phases
    )
    driver.project(run, Decision(progress=told), was)
    for number, row in rows.items():
        row.refresh_from_db()
        assert (row.changed_at is not None) == (is_another_size and number == "71")
    SizedPool.objects.update(changed_at=None)
    driver.project(run, Decision(progress=told), told)
    assert not SizedPool.objects.filter(changed_at__isnull=False).exists(), "once for each change"


def test_a_pool_that_changed_voids_the_plan(here, run):
    progress = replace(
        progress_from_plain(run.progress), ended_because="pool_changed", says="Not started: it changed."
    )
    driver.project(run, Decision(progress=progress_to_plain(progress), status=RunStatus.ABORTED), {})
    plan = Plan.objects.get(ref=run.plan_ref)
    assert plan.status == PlanStatus.VOIDED
    assert plan.status_reason == "Not started: it changed."


def test_nodes_left_draining_are_counted(here, run):
    progress = progress_from_plain(run.progress)
    way = progress.servers[0]
    nodes = tuple(replace(node, confirmed=NodeState(Condition.DRAINING.value)) for node in way.nodes)
    progress = replace(progress, servers=(replace(way, nodes=nodes), *progress.servers[1:]))
    assert driver.draining([run]) == 0
    run.progress = progress_to_plain(progress)
    assert driver.draining([run]) == len(nodes)


def test_a_claimed_run_carries_its_facts(here, run):
    views = PgStore().claim_due(holder="test", limit=5, lease_s=5.0)
    assert [view.facts["approval_stands"] for view in views if view.ref == str(run.ref)] == [True]


def test_the_networks_of_the_runs_own_account_come_with_it_without_a_question_of_their_own(here, run):
    OpenedNetwork.objects.create(account=here.account, network="10.1.0.0/16", reason="status pages")
    other = Account.objects.get(number="200")
    OpenedNetwork.objects.create(account=other, network="10.7.0.0/16", reason="theirs")
    with CaptureQueriesContext(connection) as asked:
        known = driver.facts(run)
    assert known["networks"] == ("10.1.0.0/16",)
    (question,) = [one["sql"] for one in asked if "openednetwork" in one["sql"]]
    assert 'FROM "accounts_account"' in question
