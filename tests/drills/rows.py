"""A desk with a pool at the provider, and drills of it in each state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from accounts.models import Contact
from drills.plans import services
from drills.plans.choice import Choice
from drills.plans.models import HeldDrill
from drills.plans.pool import Pool
from drills.scenarios.selectors import scenario
from drills.scenarios.types import DrillKind, Environment
from portal.approvals.models import Verdict
from portal.cloud.types import Balancer, BalancerStatus, Condition, Node, NodeStatus, Server
from tests.scaledown.rows import Desk, desk

LB = "71"
BEGUN = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def fresh_pool(servers=6, *, monitor=True, down=0) -> Pool:
    """The newest first: srv-6 is web-06."""
    nodes = tuple(
        Node(
            f"40{number}",
            f"10.0.0.{number}",
            80,
            Condition.ENABLED,
            NodeStatus.OFFLINE if number <= down else NodeStatus.ONLINE,
        )
        for number in range(1, servers + 1)
    )
    balancer = Balancer(
        LB,
        "web",
        BalancerStatus.ACTIVE,
        "HTTP",
        80,
        "LEAST_CONNECTIONS",
        2,
        ("192.0.2.1",),
        nodes,
        monitor,
    )
    found = [
        Server(
            f"srv-{number}",
            f"web-{number:02}",
            "ACTIVE",
            None,
            BEGUN + timedelta(days=number),
            "host-1",
            (f"10.0.0.{number}", f"192.0.2.{10 + number}"),
            "general1-4",
            "image-1",
        )
        for number in range(servers, 0, -1)
    ]
    return Pool((balancer,), tuple(found))


def a_choice(**changes) -> Choice:
    now = timezone.now()
    choice = Choice(
        objective="With one server lost nobody notices.",
        kind=DrillKind.ANNOUNCED,
        environment=Environment.TEST,
        not_before=now - timedelta(minutes=1),
        not_after=now + timedelta(hours=2),
        balancer_ids=(LB,),
        server_ids=("srv-6",),
        emergency_plan="Page 3 of the runbook.",
        hold_s=60.0,
    )
    return replace(choice, **changes)


def draft(here: Desk, key="node_lost", *, actor=None, contacts=None, observers=(), **changes):
    shown = scenario(here.account.team, key)
    assert shown is not None, key
    choice = a_choice(**changes)
    drill = services.draft(
        account=here.account,
        scenario=shown,
        title=changes.pop("title", shown.scenario.title),
        choice=choice,
        connection=here.connection,
        facilitator=here.manager,
        actor=actor or here.manager,
    )
    people = list(Contact.objects.filter(account=here.account)) if contacts is None else contacts
    services.take_part(drill, contacts=people, observers=list(observers), actor=here.manager)
    return drill


def submitted(here, key="node_lost", *, pool=None, **changes):
    return services.submit(
        draft(here, key, **changes), actor=here.manager, pool=fresh_pool() if pool is None else pool
    )


def approved(here, key="node_lost", **changes):
    drill = submitted(here, key, **changes)
    return services.decide(drill, Verdict.APPROVE, actor=here.approver, seen_digest=drill.digest)


def ready(here, key="node_lost", **changes):
    drill = approved(here, key, **changes)
    plan = services.data_of(drill)
    assert plan is not None
    for check in plan.attested:
        services.attest(drill, check, says="Ticket 4711.", actor=here.manager)
    return drill


def started(here, key="node_lost", **changes) -> HeldDrill:
    drill = ready(here, key, **changes)
    return services.start(drill, actor=here.manager, seen_digest=drill.digest)


__all__ = ["desk"]
