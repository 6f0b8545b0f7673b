"""Rows that tests of scale-down stand on: a team, two customers, their people, a pool that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from django.utils import timezone

from accounts.models import Account, CloudConnection, Contact, Membership, Team, TeamMembership, User
from capacity.models import Ceiling, CountSource, ForecastPeak, Probe, TrafficEvent
from scaledown import freezes, services
from scaledown.candidates import Pool
from scaledown.records import AddedServer, record_scale_up
from tests.scaledown.planner_cases import EVENT, pool, server


def user(name: str, **fields) -> User:
    return User.objects.create_user(f"{name}@example.com", name=name.title(), **fields)


@dataclass
class Desk:
    """Everything that a story needs; `pool` is a look of right now."""

    team: Team
    manager: User
    lead: User
    account: Account
    viewer: User
    editor: User
    approver: User
    admin: User
    connection: CloudConnection
    event: TrafficEvent
    stranger: User

    @property
    def pool(self) -> Pool:
        return fresh_pool()


def read_of(plan) -> str:
    """The version of what holds the start of a plan, as its page shows it now."""
    return freezes.version(freezes.for_start(plan, services.data_of(plan), timezone.now()))


def fresh_pool(**changes) -> Pool:
    return replace(pool(), looked_at=timezone.now(), **changes)


def desk() -> Desk:
    team = Team.objects.create(name="Team Blue")
    manager, lead = user("manager"), user("lead")
    TeamMembership.objects.create(team=team, user=manager, role="launch_manager")
    TeamMembership.objects.create(team=team, user=lead, role="lead")
    account = Account.objects.create(name="Shop", number="100", team=team)
    people = {role: user(role) for role in ("viewer", "editor", "approver", "admin")}
    for role, one in people.items():
        Membership.objects.create(account=account, user=one, role=role, granted_by=lead)
    other = Account.objects.create(name="Other", number="200", team=Team.objects.create(name="Team Red"))
    stranger = user("stranger")
    Membership.objects.create(account=other, user=stranger, role="admin", granted_by=lead)
    connection = CloudConnection.objects.create(
        account=account,
        name="DFW",
        identity_url="https://identity.example/v2.0",
        username="shop",
        api_key="key",
        tenant="123456",
        region="DFW",
    )
    event = TrafficEvent.objects.create(
        account=account, name="Black Friday", starts_at=EVENT, ends_at=EVENT + timedelta(days=2)
    )
    of_pool = {"account": account, "connection": connection, "balancer_id": "71"}
    now = timezone.now() - timedelta(hours=1)
    Ceiling.objects.create(**of_pool, requests_per_s=100.0, source="step benchmark", at=now)
    ForecastPeak.objects.create(**of_pool, requests_per_s=150.0, source="entered", at=now)
    Probe.objects.create(**of_pool, name="home", url="https://www.example.com/", latency_limit_ms=800.0)
    CountSource.objects.create(
        **of_pool, kind="nginx_stub_status", url_template="http://{address}/stub_status"
    )
    Contact.objects.create(
        account=account,
        name="Ada",
        email="ada@example.com",
        roles=["primary", "emergency"],
        confirmed_on=timezone.now().date(),
    )
    record_scale_up(
        event=event,
        connection=connection,
        actor=manager,
        entries=[AddedServer(f"srv-{n:02}", f"web-{n:02}", server(n).created_at) for n in (4, 5, 6)],
    )
    return Desk(
        team=team,
        manager=manager,
        lead=lead,
        account=account,
        connection=connection,
        event=event,
        stranger=stranger,
        **people,
    )
