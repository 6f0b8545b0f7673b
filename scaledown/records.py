"""What people write down around scale-downs: protected servers, scale-up records, lessons.

    protect_server(…, seen=look_at_server(…)) / unprotect_server(…) / record_scale_up(…) / reconstruct(…) / write_lesson(…)

All raise Refused, NotPermitted or StaleState with a sentence for people, and record the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from portal.access import Permission
from portal.audit.services import record, snapshot
from portal.audit.subjects import Sealer, named, named_in
from portal.cloud.types import CloudIdentity
from portal.errors import Refused
from portal.runs import services as runs
from portal.runs.models import Run
from scaledown.candidates import Pool
from scaledown.models import (
    Lesson,
    ProtectedServer,
    ScaleUpEntry,
    ScaleUpRecord,
)
from scaledown.pool import ServerLook

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection, User
    from capacity.models import TrafficEvent

from scaledown.services import check_belongs, require


@transaction.atomic
def protect_server(
    *,
    account: Account,
    connection: CloudConnection,
    server_id: str,
    server_name: str,
    reason: str,
    actor: User,
    seen: ServerLook | None = None,
) -> ProtectedServer:
    """Mark a server that no plan may contain. Repeated: the mark that is there, with its reason.

    `seen` is what the provider says about the id (`pool.look_at_server`): an id that it does not know is
    Refused, and the mark bears the provider's name of the server. Where it said nothing the server is marked all
    the same, as not checked: protecting must work while the provider is down.
    """
    require(actor, Permission.SERVER_PROTECT, account)
    check_belongs(account, connection, None)
    if not reason.strip():
        raise Refused("Say why this server is protected: the next person reads it.", code="reason_missing")
    seen = seen or ServerLook()
    server_name = seen.name or server_name
    mark, is_new = ProtectedServer.objects.get_or_create(
        connection=connection,
        server_id=server_id,
        defaults={
            "account": account,
            "server_name": server_name,
            "reason": reason,
            "marked_by": actor,
            "checked_at": seen.at if seen.is_there else None,
        },
    )
    if is_new and seen.is_there is False:
        raise Refused(
            f"{connection} has no server with the id “{server_id}”: it may be mistyped, of another cloud connection, "
            "or deleted already. Nothing was protected. Copy the id from the list of pools.",
            code="unknown_server",
        )
    if is_new:
        record("server.protected", actor=actor, account=account, subject=mark, after=snapshot(mark))
        identity = CloudIdentity(
            connection.provider, connection.identity_url, connection.tenant, connection.region
        )
        runs.facts_changed(
            says=f"{named(actor)} marked {server_name} as protected: {reason}",
            actor=actor,
            account=account,
            resource_key=identity.key("server", server_id),
            # As `guarding`: a mark that the provider did not confirm binds no other account.
            also_elsewhere=mark.checked_at is not None,
        )
    return mark


@transaction.atomic
def unprotect_server(mark: ProtectedServer, *, actor: User, reason: str) -> None:
    """Lift a server's protection, with a reason that the audit keeps."""
    require(actor, Permission.SERVER_PROTECT, mark.account)
    if not reason.strip():
        raise Refused("Say why the protection is lifted: it stays on the record.", code="reason_missing")
    record(
        "server.unprotected",
        actor=actor,
        account=mark.account,
        subject=mark,
        before=snapshot(mark),
        reason=reason,
    )
    mark.delete()


@dataclass(frozen=True)
class AddedServer:
    """One server of a scale-up record. `evidence` says what shows it (created time, node feed, metadata)."""

    server_id: str
    server_name: str
    added_at: datetime
    source: str = "by_hand"
    evidence: tuple[str, ...] = ()


@transaction.atomic
def record_scale_up(
    *,
    event: TrafficEvent,
    connection: CloudConnection,
    entries: Sequence[AddedServer],
    actor: User,
) -> ScaleUpRecord:
    """Write down which servers were added for an event, in the order given; replaces an earlier record.

    Raises Refused for no servers, or for one named twice.
    """
    account = event.account
    require(actor, Permission.PLAN_DRAFT, account)
    check_belongs(account, connection, event)
    if not entries:
        raise Refused("Name at least one server that was added.", code="record_empty")
    ids = [entry.server_id for entry in entries]
    twice = sorted({entry.server_name for entry in entries if ids.count(entry.server_id) > 1})
    if twice:
        raise Refused(f"{', '.join(twice)} is named more than once.", code="record_twice")
    held, _ = ScaleUpRecord.objects.select_for_update().get_or_create(
        event=event, connection=connection, defaults={"account": account, "recorded_by": actor}
    )
    before = [entry.server_name for entry in held.entries.all()]
    held.entries.all().delete()
    ScaleUpEntry.objects.bulk_create(
        ScaleUpEntry(
            record=held,
            position=position,
            server_id=entry.server_id,
            server_name=entry.server_name,
            added_at=entry.added_at,
            source=entry.source,
            evidence=list(entry.evidence),
        )
        for position, entry in enumerate(entries, start=1)
    )
    held.recorded_by = actor
    held.save()
    record(
        "scale_up.recorded",
        actor=actor,
        account=account,
        subject=held,
        before={"servers": before},
        after={"servers": [entry.server_name for entry in entries]},
    )
    return held


def reconstruct(
    event: TrafficEvent, pool: Pool, *, margin: timedelta = timedelta(hours=24)
) -> list[AddedServer]:
    """Return the pool's servers that were created in the event's window (or up to `margin` before it).

    Each has its evidence; in the order in which they were created. Nothing is written: a person checks it.
    """
    nodes = {node.address: balancer.name for balancer in pool.balancers for node in balancer.nodes}
    found = []
    for server in pool.servers:
        held = sorted({nodes[address] for address in server.addresses if address in nodes})
        if not held or not event.starts_at - margin <= server.created_at <= event.ends_at:
            continue
        evidence = [
            f"created {server.created_at:%Y-%m-%d %H:%M} UTC, within 24 h before or during “{event.name}”",
            f"has a node in {', '.join(held)}",
        ]
        if server.metadata.get("event"):
            evidence.append(f"marked at the provider as added for {server.metadata['event']}")
        found.append(AddedServer(server.id, server.name, server.created_at, "reconstructed", tuple(evidence)))
    return sorted(found, key=lambda entry: (entry.added_at, entry.server_name))


@transaction.atomic
def write_lesson(run: Run, *, text: str, actor: User) -> Lesson:
    """Write on a run's report what to do better next time."""
    require(actor, Permission.PLAN_DRAFT, run.account)
    if not text.strip():
        raise Refused("Write what to do better next time.", code="text_missing")
    text = text.strip()
    people = named_in(run.account, text)
    lesson = Lesson.objects.create(run=run, text=Sealer(people).text(text), written_by=actor)
    lesson.text = text
    record(
        "lesson.written", actor=actor, account=run.account, subject=run, after={"text": text}, people=people
    )
    return lesson
