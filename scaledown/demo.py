"""What a desk shows of scale-down: a record of the event, a plan that waits to be started, others on their way.

Called by `load_demo` by name, through the same services as everyone. Can be run again: nothing is doubled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from portal.cloud.discovery import Discovery
from portal.cloud.discovery import Pool as DiscoveredPool
from portal.errors import Refused
from scaledown import records, services
from scaledown.candidates import Choice
from scaledown.models import Plan, ScaleUpRecord
from scaledown.pool import read_pool

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection, User
    from capacity.models import TrafficEvent

MARK = "added_for"
"""The metadata by which the simulator's servers name their event."""


def load(
    *,
    account: Account,
    connection: CloudConnection,
    event: TrafficEvent,
    found: Discovery,
    manager: User,
    people: Mapping[str, User],
) -> None:
    """Write the record of the event and draw up one plan per pool that was scaled up for it.

    The first pool's plan is approved and can be started where the account has an editor and an approver,
    the next one's is a draft; an account with an approver only has a plan that waits for their decision.
    """
    grown = [pool for pool in found.pools if _added(pool)]
    if not ScaleUpRecord.objects.filter(event=event, connection=connection).exists():
        _record(event, connection, grown, manager)
    if Plan.objects.filter(connection=connection).exists():
        return
    for number, pool in enumerate(grown):
        plan = services.draft_plan(
            account=account,
            connection=connection,
            actor=manager,
            title=f"{pool.balancer.name}: back to {len(pool.members) - len(_added(pool))} after {event.name}",
            choice=choice_for(pool),
            event=event,
        )
        if number > 0:
            continue
        try:
            plan = services.submit_plan(plan, actor=manager, pool=read_pool(connection, [pool.balancer.id]))
        except Refused:
            # The simulator's world goes on between two loads: what no longer makes a plan stays a draft.
            continue
        if "editor" in people and "approver" in people:
            services.approve_plan(
                plan,
                actor=people["approver"],
                seen_digest=plan.digest,
                reason="Traffic is back to normal on our side too.",
            )


def choice_for(pool: DiscoveredPool) -> Choice:
    """Return choices that fit the desk's balancers: small numbers, the same rules."""
    return Choice(
        balancer_ids=(pool.balancer.id,),
        target=len(pool.members) - len(_added(pool)),
        target_reason="As many carried everyday traffic before the event.",
        drain_limit_s=120.0,
        soak_s=15.0,
        pause_between_s=2.0,
        vital=(),
        no_vital_reason="The desk's simulated visitors buy nothing.",
        reason="The event is over and traffic is back to normal.",
    )


def _added(pool: DiscoveredPool) -> list[records.AddedServer]:
    return [
        records.AddedServer(
            member.server.id,
            member.server.name,
            member.server.created_at,
            "reconstructed",
            (
                f"created {member.server.created_at:%Y-%m-%d %H:%M} UTC",
                f"marked at the provider as added for {member.server.metadata[MARK]}",
                f"has a node in {pool.balancer.name}",
            ),
        )
        for member in pool.members
        if MARK in member.server.metadata
    ]


def _record(
    event: TrafficEvent, connection: CloudConnection, pools: Iterable[DiscoveredPool], manager: User
) -> None:
    entries = {entry.server_id: entry for pool in pools for entry in _added(pool)}
    if entries:
        records.record_scale_up(
            event=event,
            connection=connection,
            entries=sorted(entries.values(), key=lambda entry: (entry.added_at, entry.server_name)),
            actor=manager,
        )
