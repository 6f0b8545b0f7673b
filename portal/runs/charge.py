"""Who is in charge of a run, until when, and who is the backup. Each change is one function, in one transaction.

    take(run, actor=user) -> Run                                            nobody need accept what one takes oneself
    ask(run, to=colleague, role="in_charge", actor=user, note="…") -> Handover
    answer(handover, accepts=True, actor=colleague) -> Handover            from now on it counts
    withdraw(handover, actor=user) -> Handover
    stand_by(run, actor=user), step_back(run, actor=user) -> Run             the backup by themself
    set_until(run, until=moment, actor=user) -> Run
    pass_on(now) -> int                                                      for a sweep

Whose time is over is in charge no more at that moment (`Run.has_somebody`), however late the sweep notices it. All
raise Refused, NotPermitted or StaleState with a sentence for people.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from portal import access
from portal.access import Permission
from portal.audit.services import record
from portal.audit.subjects import Sealer, named, named_in
from portal.errors import NotPermitted, Refused, StaleState
from portal.runs import events, journal, registry
from portal.runs.models import OVER, Handover, Run
from portal.runs.models import HandoverRole as Role
from portal.runs.models import HandoverState as State
from portal.runs.services import author_of
from portal.runs.types import Entry, RunStatus
from portal.runs.wake import wake_after_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accounts.models import User

log = structlog.get_logger(__name__)

MAY = Permission.RUN_COMMAND
ASKED_FOR = timedelta(hours=4)
"""How long somebody may think about it."""
LONGEST = timedelta(days=31)
WARNED_BEFORE = timedelta(minutes=30)
MOST_A_SWEEP = 100


def waits_for_somebody(run: Run, at: datetime) -> bool:
    """Whether a run goes on by itself as soon as somebody is in charge of it."""
    return run.status == RunStatus.RUNNING and not run.has_somebody(at)


def colleagues(run: Run) -> list[User]:
    """Return who can be in charge of a run, by name. One query."""
    return list(access.holders(MAY, run.account))


def asked_of(user: User, run: Run | None = None) -> QuerySet[Handover]:
    """Return what somebody is asked and has not answered, the newest first, of one run or of all. One query.

    Only of runs that they may command still.
    """
    rows = access.visible_to(user, Handover.objects.all(), MAY)
    rows = rows.filter(to=user, state=State.OPEN, expires_at__gt=timezone.now()).exclude(run__status__in=OVER)
    rows = rows if run is None else rows.filter(run=run)
    return rows.select_related("run", "run__account", "asked_by").order_by("-pk")


def is_asked(handover: Handover, user: User) -> bool:
    """Whether it is open and asks this very person. A token is nobody."""
    is_open = handover.state == State.OPEN and timezone.now() < handover.expires_at
    return is_open and handover.to_id == user.pk and access.can(user, Permission.SIGNED_IN)


# --- what people do ----------------------------------------------------------------------------------------


@transaction.atomic
def take(run: Run, *, actor: User, until: datetime | None = None) -> Run:
    """Make `actor` the one named person of a live run, until a moment or until its end. Taken twice: the same answer.

    Raises Refused where the run would go on by it and may not.
    """
    locked = _locked(run, actor)
    now = timezone.now()
    if locked.in_charge_id == actor.pk and locked.has_somebody(now) and until is None:
        return locked
    _check_until(until, now)
    before = locked.in_charge
    _put_in_charge(locked, actor, until, now, says="")
    record(
        "run.taken_charge",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"in_charge": str(before or "")},
        after=_after(locked),
        people=[before],
    )
    if before is not None and before.pk != actor.pk:
        _tell([before], locked, "taken", by=actor)
    return _again(run, locked)


@transaction.atomic
def ask(
    run: Run,
    *,
    to: User,
    role: str,
    actor: User,
    note: str = "",
    until: datetime | None = None,
) -> Handover:
    """Ask a colleague to be in charge, or the backup; nothing is changed before they accept.

    Whoever is in charge asks; while nobody is, anybody who may command the run.
    """
    locked = _locked(run, actor)
    now = timezone.now()
    if role not in Role.values:
        raise Refused("Ask for somebody in charge, or for a backup.", code="bad_argument")
    _check_whose(locked, actor, now, "asks somebody to take over")
    if not access.holders(MAY, locked.account).filter(pk=to.pk).exists():
        raise Refused(
            f"{to} may not {MAY.says} for {locked.account}, so the run cannot be in their hands. Pick a colleague who may.",
            code="may_not_command",
        )
    if to.pk == actor.pk:
        raise Refused(
            "You need not ask yourself: take charge, or stand by as the backup.", code="asks_oneself"
        )
    if role == Role.BACKUP and to.pk in {locked.in_charge_id, locked.backup_id}:
        has = "the backup" if to.pk == locked.backup_id else "in charge"
        raise Refused(f"{to} is {has} already.", code="has_it_already")
    if role == Role.BACKUP:
        _check_backs_somebody(locked, now)
    if role == Role.BACKUP and until is not None:
        raise Refused("A backup has no time of their own; leave “until” empty.", code="bad_argument")
    _check_until(until, now)
    if _open_of(locked, role).exists():
        raise StaleState(
            "Somebody is asked already and has not answered. Withdraw that first.", code="already_asked"
        )
    people = [to, actor, *named_in(locked.account, note)]
    handover = Handover.objects.create(
        run=locked,
        role=role,
        to=to,
        asked_by=actor,
        note=Sealer(people).text(note.strip()),
        until=until,
        asked_at=now,
        expires_at=now + ASKED_FOR if until is None else min(now + ASKED_FOR, until),
    )
    handover.note = note.strip()
    record(
        "run.handover_asked",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"to": str(to), "role": role, "until": until},
        reason=note.strip(),
        people=people,
    )
    _tell(
        [to],
        locked,
        "asked",
        by=actor,
        role=role,
        note=note.strip(),
        charge_until=until,
        until=handover.expires_at,
        period=str(handover.ref),
    )
    return handover


@transaction.atomic
def answer(handover: Handover, *, accepts: bool, actor: User, reason: str = "") -> Handover:
    """Accept or decline what one is asked; from the acceptance on it counts. Repeated: the same answer.

    Raises NotPermitted for anybody else, StaleState once it is asked no more, Refused where the run may not go on by it.
    """
    locked = _locked(handover.run, actor)
    held = _row(handover)
    now = timezone.now()
    if held.to_id != actor.pk:
        raise NotPermitted("Somebody else is asked. Take charge yourself if you want it.", code="not_asked")
    if not access.can(actor, Permission.SIGNED_IN):
        raise NotPermitted("A person answers this, not a token. Log in.", code="person_needed")
    wanted = State.ACCEPTED if accepts else State.DECLINED
    if held.state == wanted:
        return held
    _check_open(held, now)
    if accepts and held.role == Role.BACKUP:
        _check_backs_somebody(locked, now)
    _end(held, wanted, now, reason=reason, people=[actor])
    if accepts and held.role == Role.IN_CHARGE:
        _put_in_charge(locked, actor, held.until, now, says=f"{named(held.asked_by)} asked for it.")
    elif accepts:
        _put_backup(locked, actor, now, author=author_of(actor))
    record(
        "run.handover_accepted" if accepts else "run.handover_declined",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"role": held.role, **_after(locked)},
        reason=reason.strip(),
        people=[held.asked_by, locked.in_charge, locked.backup],
    )
    if held.asked_by_id != actor.pk:
        _tell(
            [held.asked_by],
            locked,
            wanted.value,
            by=actor,
            role=held.role,
            note=reason.strip(),
            period=f"{held.ref}:{wanted}",
        )
    return held


@transaction.atomic
def withdraw(handover: Handover, *, actor: User) -> Handover:
    """Ask no more; for whoever asked, and whoever is in charge. Repeated: the same answer."""
    locked = _locked(handover.run, actor, may_be_over=True)
    held = _row(handover)
    if held.state == State.WITHDRAWN:
        return held
    now = timezone.now()
    if actor.pk not in {held.asked_by_id, locked.in_charge_id}:
        raise NotPermitted(
            f"{held.asked_by} asked for this and can withdraw it. Take charge yourself if you want it.",
            code="not_yours",
        )
    _check_open(held, now)
    _end(held, State.WITHDRAWN, now)
    record(
        "run.handover_withdrawn",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"to": str(held.to), "role": held.role},
        people=[held.to],
    )
    _tell([held.to], locked, "withdrawn", by=actor, role=held.role, period=f"{held.ref}:withdrawn")
    return held


@transaction.atomic
def stand_by(run: Run, *, actor: User) -> Run:
    """Be the backup by one's own word. Repeated: the same answer. Who was the backup before is told."""
    locked = _locked(run, actor)
    now = timezone.now()
    if locked.backup_id == actor.pk:
        return locked
    if locked.in_charge_id == actor.pk:
        raise Refused("You are in charge; the backup is somebody else. Ask a colleague.", code="in_charge")
    _check_backs_somebody(locked, now)
    before = locked.backup
    _put_backup(locked, actor, now, author=author_of(actor))
    record(
        "run.backup_changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"backup": str(before or "")},
        after=_after(locked),
        people=[before, locked.in_charge],
    )
    _tell([before, locked.in_charge], locked, "stands_by", by=actor)
    return _again(run, locked)


@transaction.atomic
def step_back(run: Run, *, actor: User) -> Run:
    """Be the backup no more; whoever is in charge may say it for them, too. Repeated: the same answer."""
    locked = _locked(run, actor)
    now = timezone.now()
    before = locked.backup
    if before is None:
        return locked
    if actor.pk not in {before.pk, locked.in_charge_id}:
        raise NotPermitted(f"{before} is the backup, and says so or not.", code="not_yours")
    _put_backup(locked, None, now, author=author_of(actor))
    record(
        "run.backup_changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"backup": str(before)},
        after=_after(locked),
        people=[before, locked.in_charge],
    )
    _tell([before, locked.in_charge], locked, "steps_back", by=actor)
    return _again(run, locked)


@transaction.atomic
def set_until(run: Run, *, until: datetime | None, actor: User) -> Run:
    """Say until when one is in charge; None: until the run is over."""
    locked = _locked(run, actor)
    now = timezone.now()
    if locked.in_charge_id != actor.pk or not locked.has_somebody(now):
        raise Refused("Only who is in charge says until when. Take charge first.", code="not_in_charge")
    _check_until(until, now)
    if locked.charge_until == until:
        return locked
    before, locked.charge_until = locked.charge_until, until
    locked.save(update_fields=["charge_until"])
    author = author_of(actor)
    if until is None:
        words = f"{author.name} is in charge until the end of the run."
    else:
        words = f"{author.name} is in charge until {until:%Y-%m-%d %H:%M} UTC."
    journal.write(locked, [Entry("in_charge", words, words)], at=journal.database_now(), author=author)
    record(
        "run.charge_until_set",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"until": before},
        after={"until": until},
    )
    return _again(run, locked)


# --- what time does ----------------------------------------------------------------------------------------


def pass_on(now: datetime) -> int:
    """Pass on, or end, what is over: times in charge, people who may not any more, questions nobody answered; warn before.

    Returns how many runs and questions were changed. Safe to call by many at once, at any time.
    """
    count, live = 0, Run.objects.exclude(status__in=OVER)
    over = live.filter(charge_until__lte=now, in_charge__isnull=False).values_list("pk", flat=True)
    left = access.without_holder(live, "in_charge", MAY).values_list("pk", flat=True)
    gone = access.without_holder(live, "backup", MAY).values_list("pk", flat=True)
    for pk in sorted({*gone[:MOST_A_SWEEP], *over[:MOST_A_SWEEP], *left[:MOST_A_SWEEP]}):
        count += _alone(_pass_on_one, pk, now)
    stale = Handover.objects.filter(state=State.OPEN).filter(Q(expires_at__lte=now) | Q(run__status__in=OVER))
    for handover in stale.order_by("pk")[:MOST_A_SWEEP]:
        count += _alone(_expire_one, handover, now)
    _alone(_warn, now)
    return count


def _alone(change: Callable[..., int], *given: Any) -> int:
    """Return how many were changed. One that fails is logged, and keeps no other run from being passed on."""
    try:
        return change(*given)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("charge_not_passed_on", step=change.__name__, of=str(given[0]))
        return 0


@transaction.atomic
def _pass_on_one(pk: int, now: datetime) -> int:
    run = _for_update(skip_locked=True).exclude(status__in=OVER).filter(pk=pk).first()
    if run is None:
        return 0
    may = {user.pk for user in colleagues(run)}
    before, backup, count = run.in_charge, run.backup, 0
    if backup is not None and backup.pk not in may:
        _put_backup(run, None, now, author=journal.ENGINE)
        backup, count = None, 1
    if before is None or (run.has_somebody(now) and before.pk in may):
        return count
    why = (
        f"{named(before)} may not command this run any more."
        if before.pk not in may
        else f"The time of {named(before)} is over."
    )
    if backup is not None:
        _put_in_charge(run, backup, None, now, says=f"{why} The backup takes over.", author=journal.ENGINE)
        _tell([before, backup], run, "passed_on", by=backup, was=before)
        log.info("charge_passed_on", run=str(run.ref))
        return 1
    run.in_charge, run.charge_until = None, None
    # A tick in hand has read that somebody is: what it is about to begin is not sent.
    run.command_seq += 1
    run.save(update_fields=["in_charge", "charge_until", "command_seq"])
    journal.write(
        run,
        [
            Entry(
                "nobody_in_charge",
                f"{why} Nobody is in charge now: no next server begins before somebody is, unless the plan was "
                "approved as unattended.",
                "Nobody is in charge at the moment: no further server is taken out before somebody is.",
            )
        ],
        at=journal.database_now(),
    )
    events.charge_changed(run)
    _tell([before, *colleagues(run)], run, "nobody", was=before)
    log.warning("nobody_in_charge", run=str(run.ref))
    return 1


@transaction.atomic
def _expire_one(handover: Handover, now: datetime) -> int:
    run = _for_update(skip_locked=True).filter(pk=handover.run_id).first()
    held = _row(handover) if run is not None else None
    if run is None or held is None or held.state != State.OPEN:
        return 0
    _end(held, State.EXPIRED, now)
    if not run.is_over:
        _tell(
            [held.asked_by],
            run,
            "expired",
            by=held.to,
            role=held.role,
            period=f"{held.ref}:expired",
        )
    return 1


def _warn(now: datetime) -> int:
    soon = Run.objects.exclude(status__in=OVER).filter(
        charge_until__gt=now, charge_until__lte=now + WARNED_BEFORE, in_charge__isnull=False
    )
    for run in soon.select_related("account", "in_charge", "backup").order_by("pk")[:MOST_A_SWEEP]:
        # The same is told to the same person once.
        _tell(
            [run.in_charge, run.backup],
            run,
            "ending",
            was=run.in_charge,
            until=run.charge_until,
            period=f"ending:{run.charge_until:%Y%m%d%H%M%S}",
        )
    return 0


# --- small parts ---------------------------------------------------------------------------------------------


def _for_update(*, skip_locked: bool = False) -> Any:
    rows = Run.objects.select_for_update(of=("self",), skip_locked=skip_locked)
    return rows.select_related("account", "in_charge", "backup")


def _locked(run: Run, actor: User, *, may_be_over: bool = False) -> Run:
    locked: Run = _for_update().get(pk=run.pk)
    if not access.can(actor, MAY, locked.account):
        raise NotPermitted(
            f"You may not {MAY.says} for {locked.account}. Someone with that right can do it or grant it.",
            code="not_permitted",
        )
    if locked.is_over and not may_be_over:
        raise Refused("The run is over; nobody needs to be in charge of it.", code="run_over")
    return locked


def _again(run: Run, locked: Run) -> Run:
    run.refresh_from_db()
    return locked


def _row(handover: Handover) -> Handover:
    """Return it as it is now; its run is locked."""
    found: Handover = Handover.objects.select_related("to", "asked_by", "run", "run__account").get(
        pk=handover.pk
    )
    return found


def _open_of(run: Run, role: str) -> Any:
    return Handover.objects.filter(run=run, role=role, state=State.OPEN)


def _check_open(handover: Handover, now: datetime) -> None:
    if handover.state != State.OPEN or handover.expires_at <= now:
        word = "expired" if handover.state == State.OPEN else handover.get_state_display()
        raise StaleState(
            f"This is asked no more: it is {word}. To have the run in your hands, take charge of it.",
            code="not_open",
        )


def _check_until(until: datetime | None, now: datetime) -> None:
    if until is None:
        return
    if until <= now:
        raise Refused("That moment has passed. Say one that is to come.", code="until_passed")
    if until > now + LONGEST:
        raise Refused(
            f"Nobody is in charge for more than {LONGEST.days} days at a stretch. Say an earlier moment.",
            code="until_too_far",
        )


def _check_whose(run: Run, actor: User, now: datetime, does: str) -> None:
    if run.has_somebody(now) and run.in_charge_id != actor.pk:
        raise Refused(f"{run.in_charge} is in charge and {does}. Take charge first.", code="not_in_charge")


def _check_backs_somebody(run: Run, now: datetime) -> None:
    if not run.has_somebody(now):
        raise Refused(
            "Nobody is in charge, so there is nobody to back. Take charge instead.", code="nobody_in_charge"
        )


def _put_in_charge(
    run: Run,
    person: User,
    until: datetime | None,
    now: datetime,
    *,
    says: str,
    author: journal.Author | None = None,
) -> None:
    if waits_for_somebody(run, now):
        known = registry.registered(run.kind)
        if author is not journal.ENGINE and known is not None and known.check_goes_on is not None:
            known.check_goes_on(run, now)
        # What waits for its turn keeps its place.
        run.next_tick_at = now if run.next_tick_at is None else min(run.next_tick_at, now)
        wake_after_commit()
    was = "" if run.in_charge is None or run.in_charge_id == person.pk else named(run.in_charge)
    run.in_charge, run.charge_until = person, until
    if run.backup_id == person.pk:
        run.backup = None
    run.save(update_fields=["in_charge", "charge_until", "backup", "next_tick_at"])
    # Who was asked before is asked by somebody who is in charge no more.
    _overtake(run, Q(role=Role.IN_CHARGE) | Q(to=person), person, now)
    name = named(person)
    lasts = "" if until is None else f" until {until:%Y-%m-%d %H:%M} UTC"
    ours = f"{name} is in charge now{lasts}" + (f" ({was} was before)." if was else ".")
    journal.write(
        run,
        [
            Entry(
                "in_charge",
                f"{ours} {says}".strip(),
                f"{name} is in charge now{lasts}.",
                detail={"was": was, "became": name},
            )
        ],
        at=journal.database_now(),
        author=author_of(person) if author is None else author,
    )
    events.charge_changed(run)


def _put_backup(run: Run, person: User | None, now: datetime, *, author: journal.Author) -> None:
    was = "" if run.backup is None else named(run.backup)
    run.backup = person
    run.save(update_fields=["backup"])
    words = f"{named(person)} is the backup now." if person is not None else f"{was} is the backup no more."
    journal.write(
        run,
        [Entry("backup", words, words, detail={"was": was, "became": named(person)})],
        at=journal.database_now(),
        author=author,
    )
    if person is not None:
        _overtake(run, Q(role=Role.BACKUP), person, now)
    events.charge_changed(run)


def _overtake(run: Run, which: Q, person: User, now: datetime) -> None:
    """End the open questions that `person` has answered by having it, and tell the others who were asked."""
    for handover in Handover.objects.filter(which, run=run, state=State.OPEN).select_related("to"):
        _end(handover, State.OVERTAKEN, now)
        if handover.to_id != person.pk:
            _tell(
                [handover.to],
                run,
                "overtaken",
                by=person,
                role=handover.role,
                period=f"{handover.ref}:overtaken",
            )


def _end(
    handover: Handover, state: State, now: datetime, *, reason: str = "", people: Iterable[Any] = ()
) -> None:
    handover.state, handover.ended_at = state, now
    handover.reason = Sealer(people).text(reason.strip()) if reason.strip() else ""
    handover.save(update_fields=["state", "ended_at", "reason"])
    handover.reason = reason.strip()


def _after(run: Run) -> dict[str, Any]:
    return {
        "in_charge": str(run.in_charge or ""),
        "until": run.charge_until,
        "backup": str(run.backup or ""),
    }


def _tell(people: Iterable[User | None], run: Run, what: str, **context: Any) -> None:
    from portal.notify import news

    news.charge_changed(run, [one for one in people if one is not None], what, **context)
