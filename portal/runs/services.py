"""Each change that a person can make to a run, one function each, in one transaction.

A command is a row; the next tick of the run answers it. After a command or a standstill was accepted here,
the check right before each call refuses everything but putting back, and the answer names what was sent
before.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog
from django.db import IntegrityError, connection, transaction

from portal.audit.subjects import Sealer, named, named_in, open_rows
from portal.errors import Refused, StaleState
from portal.runs import events, journal, registry, rules, standstills
from portal.runs.journal import Author
from portal.runs.models import Claim, Intent, Run, RunCommand, Standstill
from portal.runs.types import BECAUSE_CHANGED, Entry, RunStatus
from portal.runs.wake import wake_after_commit

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from accounts.models import Account, User

log = structlog.get_logger(__name__)

EVERYWHERE = "all"
_TAKES_NOTHING_OUT = (RunStatus.SCHEDULED, RunStatus.ROLLING_BACK, RunStatus.GROWING)
# Putting a standstill waits for runs that are being created, so that none slips past it unseen.
_STANDSTILL_LOCK = 7_205_001


def author_of(actor: User) -> Author:
    """Return how the journal names a user: by a token that only the person's own key opens."""
    return Author(str(actor.pk), named(actor))


@transaction.atomic
def create_run(
    *,
    account: Account,
    kind: str,
    plan_ref: uuid.UUID,
    plan: Mapping[str, Any],
    digest: str,
    resource_keys: Iterable[str],
    scopes: Iterable[str],
    title: str,
    actor: User,
    progress: Mapping[str, Any] | None = None,
    in_charge: User | None = None,
    first_tick_at: datetime | None = None,
    rehearsal: bool = False,
) -> Run:
    """Return a new run that has claimed everything it touches; its first tick is due at once.

    `resource_keys` are claimed in sorted order in this transaction. `scopes` are the standstill scopes
    beside "all". Raises Refused where another run holds a resource or a standstill is in force, StaleState
    where this plan has started a run before. Nothing is left behind then.
    """
    if registry.registered(kind) is None:
        raise ValueError(f"The kind of run {kind!r} is not registered.")
    all_scopes = sorted({EVERYWHERE, *scopes})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_STANDSTILL_LOCK])
    in_force = standstills_for(all_scopes)
    if in_force:
        raise Refused(
            f"The run was not started. {in_force[0].says} Nothing starts until a person lifts the standstill.",
            code="standstill",
        )
    now = journal.database_now()
    run = Run(
        account=account,
        kind=kind,
        plan_ref=plan_ref,
        title=title,
        plan=dict(plan),
        digest=digest,
        is_rehearsal=rehearsal,
        scopes=all_scopes,
        status=RunStatus.SCHEDULED,
        progress=dict(progress or {}),
        next_tick_at=first_tick_at or now,
        created_by=actor,
        in_charge=in_charge or actor,
        created_at=now,
        updated_at=now,
    )
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError as error:
        if "one_run_per_plan" not in str(error):
            raise
        raise StaleState(
            "This plan has started a run already. A plan starts one run; copy it to do the same again.",
            code="plan_used",
        ) from error
    # The new row waited for whoever archives the account in this moment; this look is after that.
    status = type(account)._default_manager.values_list("status", flat=True).get(pk=account.pk)
    if status == "archived":
        raise Refused(f"{account} is archived: nothing is started for it.", code="archived")
    _claim_all(run, sorted(set(resource_keys)))
    author = author_of(actor)
    journal.write(
        run,
        [
            Entry(
                "created",
                f"{author.name} started: {title}",
                f"{title} is about to begin.",
                detail={"digest": digest},
            )
        ],
        at=now,
        author=author,
    )
    events.run_changed(run, account_ref=account.ref, actor=actor)
    wake_after_commit()
    log.info("run_created", run=str(run.ref), kind=kind, rehearsal=rehearsal)
    return run


def _claim_all(run: Run, keys: Sequence[str]) -> None:
    # ON CONFLICT waits for a transaction that is inserting the same key; the sorted order keeps two of them
    # from waiting for each other.
    Claim.objects.bulk_create([Claim(resource_key=key, run=run) for key in keys], ignore_conflicts=True)
    taken = Claim.objects.filter(resource_key__in=keys).exclude(run=run).select_related("run").first()
    if taken is None:
        return
    # Two accounts may share a provider account; one customer never learns of another's run.
    other = f"“{taken.run.title}”" if taken.run.account_id == run.account_id else "another run"
    raise Refused(
        f"The run was not started. A load balancer or server of this plan is in the hands of {other}, which is"
        " not over yet. Wait for its end, or end it first.",
        code="resource_claimed",
    )


@transaction.atomic
def give_command(
    run: Run,
    name: str,
    *,
    actor: User,
    reason: str = "",
    args: Mapping[str, Any] | None = None,
    seen_status: str | None = None,
) -> RunCommand:
    """Return the accepted-for-answer command; from its commit on no new change is sent but putting back
    until the run's next tick has seen it. `on_the_wire` names what had been sent.

    Raises Refused if the run is over or its kind says that the command makes no sense now, StaleState if
    the run is no longer in `seen_status`.
    """
    locked = Run.objects.select_for_update().get(pk=run.pk)
    if seen_status is not None and seen_status != locked.status:
        raise StaleState(
            f"The run is {locked.status} now, no longer {seen_status}. Look again, then decide.",
            code="status_changed",
        )
    if locked.is_over:
        raise Refused(f"The run is {locked.status}; nothing more can be done with it.", code="run_over")
    known = registry.registered(locked.kind)
    if known is not None and known.may_command is not None:
        known.may_command(locked, name, args or {})
    now = journal.database_now()
    wire = "; ".join(_on_the_wire([locked.pk]).get(locked.pk, []))
    author = author_of(actor)
    # It is read again with each journal, for ever.
    kept = Sealer(named_in(locked.account, reason)).text(reason)
    locked.command_seq += 1
    locked.next_tick_at = now
    locked.save(update_fields=["command_seq", "next_tick_at"])
    command = RunCommand.objects.create(
        run=locked,
        seq=locked.command_seq,
        name=name,
        args=dict(args or {}),
        reason=kept,
        by=actor,
        by_name=author.name,
        at=now,
        on_the_wire=wire,
    )
    journal.write(
        locked,
        [rules.command_entry(name, kept, args or {}, author.name, wire)],
        at=now,
        author=author,
    )
    wake_after_commit()
    log.info("run_command_given", run=str(locked.ref), command=name, user=actor.pk)
    run.refresh_from_db()
    open_rows([command], RunCommand.sealed_fields)
    return command


def _on_the_wire(run_ids: Iterable[int]) -> dict[int, list[str]]:
    """Return per run the sentences of changes that were sent and whose outcome is not known yet."""
    wire: dict[int, list[str]] = {}
    for intent in Intent.objects.filter(
        run__in=list(run_ids), sent_at__isnull=False, finished_at__isnull=True
    ).order_by("run_id", "id"):
        wire.setdefault(intent.run_id, []).append(str(intent))
    return wire


@transaction.atomic
def put_standstill(scope: str, *, reason: str, actor: User) -> Standstill:
    """Return the standstill for `scope`; from its commit on nothing is sent there but putting back.

    `on_the_wire` names what had been sent before. Repeated while one is in force, it returns that one.
    Raises Refused without a reason.
    """
    if not reason.strip():
        raise Refused("Say why everything shall stop: the next person reads it.", code="reason_missing")
    _one_at_a_time()
    standing = Standstill.objects.filter(scope=scope, lifted_at__isnull=True).first()
    if standing is not None:
        return standing
    now = journal.database_now()
    author = author_of(actor)
    kept = standstills.sealed_in(scope, reason)
    standstill = Standstill.objects.create(scope=scope, reason=kept, by=actor, by_name=author.name, at=now)
    # The rows are changed, not only read: a check that waits for one of them then sees the new command_seq,
    # although its own snapshot is older than this standstill.
    runs = list(
        Run.objects.select_for_update()
        .filter(scopes__contains=[scope], next_tick_at__isnull=False)
        .order_by("pk")
    )
    wire = _on_the_wire(run.pk for run in runs)
    for run in runs:
        sent = wire.get(run.pk, [])
        run.command_seq += 1
        run.next_tick_at = now
        run.save(update_fields=["command_seq", "next_tick_at"])
        says = f"{standstill.says} Nothing is sent any more but putting back."
        if sent:
            says += f" On the wire at that moment: {'; '.join(sent)}"
        # Both sides read the detail.
        detail = {"scope": scope, "reason": standstill.public_reason}
        journal.write(
            run,
            [Entry("standstill", says, "Everything is stopped.", scope, detail)],
            at=now,
            author=author,
        )
    standstill.on_the_wire = [
        {"run": str(run.ref), "title": run.title, "says": sentence}
        for run in runs
        for sentence in wire.get(run.pk, [])
    ]
    standstill.save(update_fields=["on_the_wire"])
    # Whoever is told of it, and whoever asked, reads the name in the clear.
    open_rows([standstill], Standstill.sealed_fields)
    registry.say_standstill(standstill, runs)
    events.standstill_changed(standstill, "put", actor=actor)
    wake_after_commit()
    log.warning("standstill_put", scope=scope, user=actor.pk)
    return standstill


def _one_at_a_time() -> None:
    """Wait, to the end of this transaction, for all others that put or lift a standstill or make a run."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_STANDSTILL_LOCK])


@transaction.atomic
def lift_standstill(standstill: Standstill, *, reason: str, actor: User) -> Standstill:
    """Return the lifted standstill. Raises Refused without a reason, StaleState if it is lifted already."""
    if not reason.strip():
        raise Refused("Say why work may go on: it stays on the record.", code="reason_missing")
    # Whoever puts it again while it is being lifted must not be told that it stands.
    _one_at_a_time()
    locked = Standstill.objects.select_for_update().get(pk=standstill.pk)
    if locked.lifted_at is not None:
        raise StaleState("This standstill was lifted already.", code="already_lifted")
    now = journal.database_now()
    kept = standstills.sealed_in(locked.scope, reason)
    locked.lifted_by, locked.lifted_at, locked.lift_reason = actor, now, kept
    locked.save(update_fields=["lifted_by", "lifted_at", "lift_reason"])
    locked.lift_reason = reason
    author = author_of(actor)
    runs = list(
        Run.objects.select_for_update()
        .filter(scopes__contains=[locked.scope], next_tick_at__isnull=False)
        .order_by("pk")
    )
    for run in runs:
        # What waits for its turn keeps its place.
        run.next_tick_at = now if run.next_tick_at is None else min(run.next_tick_at, now)
        run.save(update_fields=["next_tick_at"])
        says = f"{author.name} lifted the standstill: {kept}"
        journal.write(
            run,
            [Entry("standstill_lifted", says, "Work may go on.", locked.scope, {"scope": locked.scope})],
            at=now,
            author=author,
        )
    registry.say_standstill(locked, runs)
    events.standstill_changed(locked, "lifted", actor=actor)
    wake_after_commit()
    log.warning("standstill_lifted", scope=locked.scope, user=actor.pk)
    return locked


@transaction.atomic
def facts_changed(
    *,
    says: str,
    actor: User | None,
    resource_key: str | None = None,
    account: Account | None = None,
    accounts: QuerySet[Account] | None = None,
    plan_ref: uuid.UUID | None = None,
    also_elsewhere: bool = False,
) -> int:
    """Let live runs look again before anything more is sent, since what they rest on was changed; returns
    how many.

    To be called in the transaction of the change, which picks one of: the runs of `account` that claim
    `resource_key`, all of `account`, all of the `accounts` (a team's), those of `plan_ref`. `also_elsewhere` lets runs of other
    accounts that claim it look again, too, without a word in their journals. A call that passed its check before is named
    in the journal. As for a standstill the rows are changed, so that a check that
    waits for one of them refuses.
    """
    touched = Run.objects.filter(next_tick_at__isnull=False)
    if resource_key is not None and account is not None:
        touched = touched.filter(pk__in=Claim.objects.filter(resource_key=resource_key).values("run"))
        if not also_elsewhere:
            touched = touched.filter(account=account)
    elif account is not None:
        touched = touched.filter(account=account)
    elif accounts is not None:
        touched = touched.filter(account__in=accounts.values("pk"))
    elif plan_ref is not None:
        touched = touched.filter(plan_ref=plan_ref)
    else:
        raise ValueError("Say which runs rest on what was changed.")
    runs = list(touched.select_for_update().order_by("pk"))
    if not runs:
        return 0
    now = journal.database_now()
    wire = _on_the_wire(run.pk for run in runs)
    author = journal.ENGINE if actor is None else author_of(actor)
    for run in runs:
        run.command_seq += 1
        run.next_tick_at = now
        run.save(update_fields=["command_seq", "next_tick_at"])
        if also_elsewhere and account is not None and run.account_id != account.pk:
            # Two accounts may name the same provider account: neither writes into the other's journal.
            continue
        sent = wire.get(run.pk, [])
        told = f"{says} On the wire at that moment: {'; '.join(sent)}" if sent else says
        journal.write(
            run,
            [Entry("facts_changed", told)],
            at=now,
            author=author,
        )
    wake_after_commit()
    return len(runs)


@transaction.atomic
def hold_for_change(
    account: Account,
    *,
    says: str,
    customer_says: str,
    at: datetime,
    actor: User,
    resource_key: str | None = None,
) -> int:
    """Let the running runs of an account pause before their next server, since their site was changed; return how many.

    `at` is when it was changed: a run that began after it is not touched. With `resource_key` only those that claim it. Runs
    that rest have it in their journals alone: whoever lets them go on reads it there. `says` may name whom `actor` named.
    """
    touched = Run.objects.filter(
        account=account, started_at__lte=at, ended_at__isnull=True, is_rehearsal=False
    ).exclude(status__in=_TAKES_NOTHING_OUT)
    if resource_key is not None:
        touched = touched.filter(pk__in=Claim.objects.filter(resource_key=resource_key).values("run"))
    from portal.notify import news

    held = 0
    sealed = Sealer(named_in(account, says)).text(says)
    for run in touched.select_for_update(of=("self",)).order_by("pk"):
        if run.status == RunStatus.RUNNING:
            give_command(run, "pause", actor=actor, reason=says, args={"because": BECAUSE_CHANGED})
            held += 1
            news.run_held(run, says, by=actor)
        else:
            entry = Entry("site_changed", sealed, customer_says)
            journal.write(run, [entry], at=journal.database_now(), author=author_of(actor))
    return held


def standstills_for(scopes: Iterable[str]) -> list[Standstill]:
    """Return the standstills in force on any of `scopes`, oldest first."""
    return list(
        Standstill.objects.filter(scope__in=list(scopes), lifted_at__isnull=True).order_by("at", "pk")
    )
