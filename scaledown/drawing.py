"""What the guided path shows while a plan is drawn up: pools to choose from, who may come out, who approves.

Each look reads the provider (seconds of HTTP) outside any transaction and says in a sentence where it could not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import QuerySet

from accounts.clouds import discover_pools
from accounts.models import Membership
from capacity.models import TrafficEvent
from portal.access import ACCOUNT_ROLES, Permission
from portal.errors import Refused, Trouble
from scaledown.candidates import Excluded, Member, Pool, candidates, sizes_of
from scaledown.known import known_for
from scaledown.models import Plan, ProtectedServer, ScaleUpRecord
from scaledown.planner import Proposal, propose_target
from scaledown.pool import read_pool
from scaledown.services import choice_of

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection

OLD = "existed_before_event"


@dataclass(frozen=True)
class BalancerOffered:
    """One load balancer that a plan may be for."""

    id: str
    name: str
    servers: int

    @property
    def label(self) -> str:
        """How it is called in a list of choices."""
        count = f"{self.servers} server{'' if self.servers == 1 else 's'}"
        return f"{self.name} ({self.id}), {count}"


@dataclass(frozen=True)
class PoolStep:
    """The pool as it was just seen: who comes out first, who stays and why, the proposed size.

    Without a pool (`problem` says why) everything but the balancers known by name is empty.
    """

    balancers: tuple[BalancerOffered, ...]
    order: tuple[Member, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    serving: int | None = None
    proposal: Proposal | None = None
    pool: Pool | None = None
    problem: str = ""

    @property
    def liftable(self) -> list[tuple[str, str]]:
        """Servers that were there before the event: id and name."""
        return [
            (one.server_id, one.name)
            for one in self.excluded
            if any(reason.code == OLD for reason in one.reasons)
        ]


def balancers_of(connection: CloudConnection) -> tuple[BalancerOffered, ...]:
    """Return the load balancers that have servers behind them. Raises the provider's troubles."""
    return tuple(
        BalancerOffered(
            pool.balancer.id, pool.balancer.name, len({member.server.id for member in pool.members})
        )
        for pool in discover_pools(connection).pools
        if pool.members
    )


def propose_balancer(connection: CloudConnection, event: TrafficEvent | None) -> str:
    """Return the balancer with the most servers of the event's record; without one, with the most servers.

    Raises Refused where these credentials see none with a server behind it.
    """
    pools = [pool for pool in discover_pools(connection).pools if pool.members]
    if not pools:
        raise Refused(
            "This cloud connection sees no load balancer with a server behind it. Choose another connection.",
            code="no_balancer",
        )
    record = (
        ScaleUpRecord.objects.filter(event=event, connection=connection).prefetch_related("entries").first()
        if event is not None
        else None
    )
    added = {entry.server_id for entry in record.entries.all()} if record is not None else set()
    held: Counter[str] = Counter()
    for pool in pools:
        held[pool.balancer.id] = sum(member.server.id in added for member in pool.members)
    sizes = {pool.balancer.id: len(pool.members) for pool in pools}
    return max(sizes, key=lambda balancer_id: (held[balancer_id], sizes[balancer_id]))


def pool_step(plan: Plan) -> PoolStep:
    """Return what the step *Pool and order* shows for a draft; a trouble of the provider becomes a sentence."""
    choice = choice_of(plan)
    named = tuple(BalancerOffered(ref, f"load balancer {ref}", 0) for ref in choice.balancer_ids)
    try:
        offered = balancers_of(plan.connection)
        missing = tuple(one for one in named if one.id not in {found.id for found in offered})
        pool = read_pool(plan.connection, choice.balancer_ids)
    except Trouble as trouble:
        return PoolStep(balancers=named, problem=trouble.says)
    known = known_for(
        plan.connection, choice.balancer_ids, plan.event, at=pool.looked_at, sizes=sizes_of(pool)
    )
    found = candidates(choice, pool, known)
    return PoolStep(
        balancers=(*offered, *missing),
        order=found.order,
        excluded=found.excluded,
        serving=found.serving,
        proposal=propose_target(choice, found, known),
        pool=pool,
    )


@dataclass(frozen=True)
class EventEvidence:
    """One event that a plan may be for, and what its record shows."""

    ref: str
    name: str
    event: TrafficEvent
    servers: tuple[str, ...]


def events_of(account: Account) -> list[EventEvidence]:
    """Return the account's events, newest first, each with the servers on record. Three queries."""
    events = (
        TrafficEvent.objects.filter(account=account)
        .prefetch_related("scale_up_records__entries")
        .order_by("-starts_at", "-pk")[:50]
    )
    return [
        EventEvidence(
            str(event.ref),
            event.name,
            event,
            tuple(
                entry.server_name for record in event.scale_up_records.all() for entry in record.entries.all()
            ),
        )
        for event in events
    ]


def approvers_of(account: Account) -> list[str]:
    """Return the names of the customer's people who may approve. One query."""
    roles = [role for role, may in ACCOUNT_ROLES.items() if Permission.PLAN_APPROVE in may]
    rows = (
        Membership.objects.filter(account=account, role__in=roles, user__is_active=True)
        .select_related("user")
        .order_by("user__name")
    )
    return [str(row.user) for row in rows]


def protected_of(account: Account) -> QuerySet[ProtectedServer]:
    """Return the protected servers of an account."""
    return ProtectedServer.objects.filter(account=account).select_related("connection", "marked_by")
