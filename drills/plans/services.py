"""Each change that a person can make to a drill, one function each, in one transaction.

Whoever needs the provider reads the pool first (`pool.read_pool`, seconds of HTTP) and hands it in:

    draft(account=…, scenario=Shown, title=…, choice=Choice(…), actor=user) -> Drill
    change(drill, {...}, actor=user) / take_part(drill, contacts=…, observers=…, reporter=…, actor=user)
    draft_with(…), change_with(…)                           the same with who is in it: both, or neither
    submit(drill, actor=user, pool=pool)                    freezes it; the provider's approval
    decide(drill, Verdict.APPROVE, actor=user, seen_digest="…"), withdraw(drill, actor=user, reason="…")
    attest(drill, "support_told", says="Ticket 123", actor=user)
    start(drill, actor=user, seen_digest="…") -> HeldDrill
    command(held, "stop", actor=user, …) -> RunCommand

All raise Refused, NotPermitted or StaleState with a sentence for people, and record the change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from accounts.calendar.selectors import freezes_at
from accounts.changes import check_active, check_no_pin
from accounts.contacts.selectors import can_begin
from accounts.members import lock_account
from accounts.models import Account, CloudConnection, Contact, User
from capacity.models import Probe
from capacity.reference import Site, reference_for
from capacity.reports.present import present_of
from drills import commands
from drills.driver import KIND
from drills.plans import checks
from drills.plans.choice import (
    Around,
    Choice,
    ChosenStep,
    build,
    check,
    check_share,
    check_whole,
    choice_from_plain,
    choice_to_plain,
    is_held_for_real,
)
from drills.plans.ladder import Held, missing_rung
from drills.plans.load import Known, PoolLoad, away_from_peak, carries
from drills.plans.models import DRILL_MOVES, Attestation, Drill, DrillPerson, DrillStatus, HeldDrill
from drills.plans.pool import Pool
from drills.plans.selectors import only_watches
from drills.scenarios.selectors import Shown
from drills.scenarios.types import DrillKind, Environment, InjectionKind, Role, Scenario, from_plain, to_plain
from drills.types import (
    HITS,
    DrillPlan,
    DrillProbe,
    MarkKind,
    Person,
    new_progress,
    plan_from_plain,
    plan_to_plain,
    progress_to_plain,
)
from portal import access, guards
from portal.access import Permission
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalRequest, ApprovalStatus, Side, Verdict
from portal.audit.services import record, snapshot
from portal.audit.subjects import Sealer, named_in
from portal.cloud.types import CloudIdentity
from portal.errors import NotPermitted, Refused, StaleState
from portal.frozen import replace
from portal.plain import digest_of
from portal.rows import check_row
from portal.runs import services as runs

if TYPE_CHECKING:
    from portal.runs.models import RunCommand

SUBJECT = "drills.drill"
MOST_OF_ACCOUNT = 500
MOST_PEOPLE = 40
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BASELINE_FOR = timedelta(days=180)
"""An older baseline says little of today's site."""


def require(actor: User, permission: Permission, account: Account) -> None:
    """Ask again inside the service: a caller that forgot must not open a door."""
    if not access.can(actor, permission, account):
        raise NotPermitted(f"You may not {permission.says} for {account}.", code="not_permitted")


def scenario_of(drill: Drill) -> Scenario:
    """Return the scenario as it stood when the drill was drawn up."""
    return from_plain(drill.scenario)


def choice_of(drill: Drill) -> Choice:
    """Return what the author chose."""
    return choice_from_plain(drill.inputs)


def data_of(drill: Drill) -> DrillPlan | None:
    """Return the frozen plan, or None while it is a draft."""
    return None if drill.data is None else plan_from_plain(drill.data)


def _locked(drill: Drill) -> Drill:
    rows = Drill.objects.select_for_update(of=("self",)).select_related(
        "account__team", "connection", "author", "facilitator", "request"
    )
    return rows.get(pk=drill.pk)


def _move(drill: Drill, to: DrillStatus, reason: str = "") -> None:
    if to not in DRILL_MOVES[drill.status]:
        raise StaleState(
            f"“{drill.title}” is {DrillStatus(drill.status).label} by now. Nothing was changed.",
            code="drill_status_changed",
        )
    drill.status, drill.status_reason = to, reason


def _draft_only(drill: Drill) -> None:
    if drill.status != DrillStatus.DRAFT:
        raise StaleState(
            "It was submitted, so it stays as it is. Make a copy to change it.", code="not_a_draft"
        )


# --- drafts -----------------------------------------------------------------------------------------------


@transaction.atomic
def draft(
    *,
    account: Account,
    scenario: Shown,
    title: str,
    choice: Choice,
    actor: User,
    connection: CloudConnection | None = None,
    facilitator: User | None = None,
    copied_from: Drill | None = None,
) -> Drill:
    """Draw up a drill. Nothing is asked of the provider."""
    locked = lock_account(account)
    check_active(locked)
    require(actor, Permission.DRILL_DRAFT, locked)
    if Drill.objects.filter(account=locked, status=DrillStatus.DRAFT).count() >= MOST_OF_ACCOUNT:
        raise Refused(f"An account has at most {MOST_OF_ACCOUNT} drafts.", code="too_many")
    drill = Drill(
        account=locked,
        author=actor,
        scenario_key=scenario.key,
        scenario_number=scenario.number,
        scenario=to_plain(scenario.scenario),
        copied_from=copied_from,
    )
    _fill(drill, title, choice, connection, facilitator or actor)
    drill.save(force_insert=True)
    record("drill.drafted", actor=actor, account=locked, subject=drill, after=snapshot(drill))
    return drill


@transaction.atomic
def change(
    drill: Drill,
    *,
    title: str,
    choice: Choice,
    actor: User,
    connection: CloudConnection | None = None,
    facilitator: User | None = None,
) -> Drill:
    """Change a draft."""
    locked = _locked(drill)
    check_active(locked.account)
    require(actor, Permission.DRILL_DRAFT, locked.account)
    _draft_only(locked)
    before = snapshot(locked)
    _fill(locked, title, choice, connection, facilitator or locked.facilitator)
    locked.save()
    record(
        "drill.changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after=snapshot(locked),
    )
    return locked


def _fill(
    drill: Drill, title: str, choice: Choice, connection: CloudConnection | None, facilitator: User
) -> None:
    check(choice, scenario_of(drill))
    check_no_pin(title, choice.objective, choice.emergency_plan, choice.completeness)
    check_no_pin(*(text for one in choice.steps for text in (one.title, one.text, one.done_when)))
    responsible = {one.responsible for one in choice.steps if one.responsible}
    if len(_contacts_among(drill.account, responsible)) < len(responsible):
        raise Refused("Who is responsible for a step is no contact of this account.", code="unknown_person")
    if connection is not None and connection.account_id != drill.account.pk:
        raise Refused("This cloud connection is of another account.", code="other_account")
    if not access.can(facilitator, Permission.DRILL_RUN, drill.account):
        raise Refused(
            f"{facilitator} cannot lead drills of this account: choose a launch manager of its team.",
            code="bad_facilitator",
        )
    drill.title = " ".join(title.split())
    drill.inputs = choice_to_plain(choice)
    drill.kind, drill.environment = choice.kind.value, choice.environment.value
    drill.not_before, drill.not_after = choice.not_before, choice.not_after
    drill.connection, drill.facilitator = connection, facilitator
    check_row(drill)


def _contacts_among(account: Account, refs: Iterable[str]) -> list[UUID]:
    known = [UUID(one) for one in refs if _UUID.fullmatch(one)]
    if not known:
        return []
    return list(Contact.objects.filter(account=account, ref__in=known).values_list("ref", flat=True))


def rewrite(drill: Drill, steps: Sequence[ChosenStep], *, actor: User) -> Drill:
    """Give a draft a script of its own; an empty one gives it back its scenario's."""
    return change(
        drill,
        title=drill.title,
        choice=replace(choice_of(drill), steps=tuple(steps)),
        connection=drill.connection,
        actor=actor,
    )


@transaction.atomic
def take_part(
    drill: Drill,
    *,
    contacts: Sequence[Contact],
    observers: Sequence[User],
    actor: User,
    reporter: User | None = None,
) -> list[DrillPerson]:
    """Say who takes part, who watches and who writes it down. The facilitator is none of them: who leads does not react."""
    locked = _locked(drill)
    check_active(locked.account)
    require(actor, Permission.DRILL_DRAFT, locked.account)
    _draft_only(locked)
    if len(contacts) + len(observers) > MOST_PEOPLE:
        raise Refused(f"At most {MOST_PEOPLE} people are named for a drill.", code="too_many")
    if any(one.account_id != locked.account.pk for one in contacts):
        raise Refused("A contact is of another account.", code="other_account")
    if any(not access.can(one, Permission.DRILL_VIEW, locked.account) for one in observers):
        raise Refused("An observer does not see this account.", code="bad_observer")
    if locked.facilitator in observers:
        raise Refused("Who leads a drill does not watch it, too.", code="bad_observer")
    if reporter is not None:
        if reporter == locked.facilitator:
            raise Refused(
                "Who leads a drill cannot write it down meanwhile. Name somebody else, or nobody.",
                code="bad_reporter",
            )
        if not access.can(reporter, Permission.DRILL_NOTE, locked.account):
            raise Refused("The reporter may not write anything down for this account.", code="bad_reporter")
    DrillPerson.objects.filter(drill=locked).delete()
    people = [
        *(DrillPerson(drill=locked, contact=one, role=Role.PARTICIPANT.value) for one in contacts),
        # Who writes it down watches it anyway.
        *(
            DrillPerson(drill=locked, user=one, role=Role.OBSERVER.value)
            for one in observers
            if one != reporter
        ),
        *([] if reporter is None else [DrillPerson(drill=locked, user=reporter, role=Role.REPORTER.value)]),
    ]
    DrillPerson.objects.bulk_create(people)
    record(
        "drill.people_named",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={
            "participants": len(contacts),
            "observers": len(observers),
            "has_reporter": reporter is not None,
        },
        people=list(contacts),
    )
    return people


@transaction.atomic
def draft_with(people: Mapping[str, Any], *, actor: User, **chosen: Any) -> Drill:
    """Draw up a drill together with who is in it: both, or neither. `people` as for `take_part`, `chosen` as for `draft`."""
    drill = draft(actor=actor, **chosen)
    take_part(drill, **people, actor=actor)
    return drill


@transaction.atomic
def change_with(drill: Drill, people: Mapping[str, Any], *, actor: User, **chosen: Any) -> Drill:
    """Change a draft and who is in it: both, or neither. `people` as for `take_part`, `chosen` as for `change`."""
    changed = change(drill, actor=actor, **chosen)
    take_part(changed, **people, actor=actor)
    return changed


def copy(drill: Drill, *, actor: User) -> Drill:
    """Return a new draft with the same choices, without times: a drill is held again this way."""
    scenario = scenario_of(drill)
    again = replace(choice_of(drill), not_before=None, not_after=None)
    shown = Shown(scenario, drill.scenario_number, "", True, "", "", None)
    may_lead = access.can(drill.facilitator, Permission.DRILL_RUN, drill.account)
    new = draft(
        account=drill.account,
        scenario=shown,
        title=drill.title if drill.title.startswith("Copy of ") else f"Copy of {drill.title}"[:200],
        choice=again,
        actor=actor,
        connection=drill.connection,
        facilitator=drill.facilitator if may_lead else actor,
        copied_from=drill,
    )
    parts = list(drill.parts.select_related("contact", "user").order_by("pk"))
    # Whoever has lost the account since, or leads it now, is not named again.
    users = [
        (one.role, one.user)
        for one in parts
        if one.user is not None
        and one.user != new.facilitator
        and access.can(one.user, Permission.DRILL_VIEW, drill.account)
    ]
    take_part(
        new,
        contacts=[one.contact for one in parts if one.contact is not None],
        observers=[user for role, user in users if role == Role.OBSERVER.value],
        reporter=next(
            (
                user
                for role, user in users
                if role == Role.REPORTER.value and access.can(user, Permission.DRILL_NOTE, drill.account)
            ),
            None,
        ),
        actor=actor,
    )
    return new


# --- approval ---------------------------------------------------------------------------------------------


def held_before(account: Account, scenario_key: str) -> list[Held]:
    """Return the drills of a scenario that an account has held. One query."""
    rows = HeldDrill.objects.filter(drill__account=account, drill__scenario_key=scenario_key).exclude(
        result=""
    )
    return [
        Held(DrillKind(kind), Environment(environment), result)
        for kind, environment, result in rows.values_list("drill__kind", "drill__environment", "result")[:500]
    ]


def plan_of(drill: Drill, pool: Pool | None, now: datetime) -> DrillPlan:
    """Return the plan as it would be frozen now. Raises Refused with what is missing. Up to seven queries."""
    choice, scenario, account = choice_of(drill), scenario_of(drill), drill.account
    check(choice, scenario)
    people = tuple(
        Person(
            str(one.contact.ref) if one.contact is not None else str(one.user.ref if one.user else ""),
            one.contact is None,
            Role(one.role),
        )
        for one in drill.parts.select_related("contact", "user").order_by("pk")
    )
    check_whole(choice, scenario, now, [one.ref for one in people if not one.is_user])
    rung = missing_rung(choice.kind, choice.environment, held_before(account, scenario.key))
    if rung:
        raise Refused(rung, code="ladder")
    around = Around(
        account_ref=str(account.ref),
        facilitator=str(drill.facilitator.ref),
        reporter=next((one.ref for one in people if one.role is Role.REPORTER), ""),
        people=people,
    )
    if is_held_for_real(choice):
        around = _around_of_pool(drill, choice, scenario, around, pool, now)
    plan = build(choice, scenario, drill.scenario_number, around)
    return replace(plan, attested=checks.needed(plan))


def _around_of_pool(
    drill: Drill, choice: Choice, scenario: Scenario, around: Around, pool: Pool | None, now: datetime
) -> Around:
    connection = drill.connection
    if connection is None or not choice.balancer_ids:
        if scenario.injection in HITS:
            raise Refused("Choose the load balancer whose pool is drilled.", code="no_pool")
        return around
    hits = scenario.injection in HITS
    if pool is None:
        raise ValueError("A drill of a pool is frozen from a look at it.")
    targets = tuple(pool.target(one) for one in choice.server_ids) if hits else ()
    if hits:
        why = pool.problem()
        if why:
            raise Refused(why, code="pool_not_fit")
        protected = guards.guarded(connection)
        held = next((one for one in targets if one.server_id in protected), None)
        if held is not None:
            raise Refused(f"{held.name} is protected: {protected[held.server_id]}", code="protected")
        check_share(
            len(targets),
            pool.size,
            choice.floor,
            one_by_one=scenario.injection is InjectionKind.ROLLING_REBOOT,
        )
    known = [
        reference
        for one in choice.balancer_ids
        if (reference := reference_for(drill.account, Site(connection.ref, one), now)) is not None
    ]
    baseline = next(
        (
            one
            for reference in known
            for one in reference.baselines
            if one.latency_p95_ms is not None and now - one.at < BASELINE_FOR
        ),
        None,
    )
    probes = Probe.objects.filter(connection=connection, balancer_id__in=list(choice.balancer_ids)).order_by(
        "balancer_id", "name"
    )
    return replace(
        around,
        connection_ref=str(connection.ref),
        provider=connection.provider,
        identity_url=connection.identity_url,
        tenant=connection.tenant,
        region=connection.region,
        pool_size=pool.size,
        targets=targets,
        probes=tuple(
            DrillProbe(
                one.name,
                one.url,
                one.method,
                one.expected_status_low,
                one.expected_status_high,
                one.must_contain or "",
                float(one.timeout_s),
            )
            for one in probes
        ),
        baseline_p95_ms=baseline.latency_p95_ms if baseline else None,
        baseline_source=f"{baseline.source}, {baseline.at:%Y-%m-%d}" if baseline else "",
    )


@transaction.atomic
def submit(drill: Drill, *, actor: User, pool: Pool | None, reason: str = "") -> Drill:
    """Freeze the drill as drawn from this look and ask for approval; submitting is the provider side's own.

    Production and every real disruption take the customer's approval, too; so does everything else: it is their time.
    """
    locked = _locked(drill)
    check_active(locked.account)
    require(actor, Permission.DRILL_SUBMIT, locked.account)
    _draft_only(locked)
    check_no_pin(reason)
    now = timezone.now()
    plan = plan_of(locked, pool, now)
    locked.data = plan_to_plain(plan)
    locked.digest = digest_of(locked.data)
    locked.request = approvals.submit(
        account=locked.account,
        subject_type=SUBJECT,
        subject_ref=locked.ref,
        title=f"Fire drill: {locked.title}"[:200],
        digest=locked.digest,
        author=locked.author,
        actor=actor,
        at=now,
        expires_at=plan.not_after,
        reason=reason,
    )
    _move(locked, DrillStatus.AWAITING_APPROVAL)
    locked.save()
    record(
        "drill.submitted",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"status": locked.status, "plan_hash": locked.digest},
    )
    return locked


@transaction.atomic
def decide(drill: Drill, verdict: Verdict, *, actor: User, seen_digest: str, reason: str = "") -> Drill:
    """Approve or reject for the customer exactly what was seen."""
    if drill.request is None:
        raise StaleState("It was not submitted yet.", code="not_open")
    approvals.decide(
        drill.request,
        actor=actor,
        side=Side.CUSTOMER,
        decision=verdict,
        seen_digest=seen_digest,
        reason=reason,
        at=timezone.now(),
    )
    return _locked(drill)


def was_decided(request: ApprovalRequest) -> None:
    """Note what became of what was asked; called in the deciding transaction."""
    drill = (
        Drill.objects.select_for_update(of=("self",)).select_related("account").get(ref=request.subject_ref)
    )
    if drill.status == DrillStatus.USED:
        return
    if request.status == ApprovalStatus.APPROVED and digest_of(drill.data) != request.digest:
        raise Refused(
            "What is stored is not what was shown, so nothing was approved. Tell the operator of the portal.",
            code="digest_broken",
        )
    if request.status == ApprovalStatus.OPEN:
        return
    _move(drill, DrillStatus(request.status), request.closed_reason)
    drill.save(update_fields=["status", "status_reason", "updated_at"])


@transaction.atomic
def withdraw(drill: Drill, *, actor: User, reason: str) -> Drill:
    """End a drill that shall not be held. Raises StaleState once it was started: stop it instead."""
    require(actor, Permission.DRILL_DRAFT, drill.account)
    check_active(drill.account)
    check_no_pin(reason)
    if not reason.strip():
        raise Refused("Say why it is withdrawn: it stays on the record.", code="reason_missing")
    if drill.request is not None:
        require(actor, Permission.DRILL_SUBMIT, drill.account)
        approvals.withdraw(
            drill.request,
            actor=actor,
            reason=reason,
            while_in=[ApprovalStatus.OPEN, ApprovalStatus.APPROVED],
        )
        return _locked(drill)
    locked = _locked(drill)
    _move(locked, DrillStatus.VOIDED, Sealer(named_in(locked.account, reason)).text(reason))
    locked.save()
    record(
        "drill.withdrawn",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"status": locked.status},
        reason=reason,
    )
    return locked


# --- before the start -------------------------------------------------------------------------------------


@transaction.atomic
def attest(drill: Drill, key: str, *, says: str, actor: User) -> Attestation:
    """Say with one's name and the time that a check before the start is done."""
    locked = _locked(drill)
    check_active(locked.account)
    require(actor, Permission.DRILL_RUN, locked.account)
    if locked.status != DrillStatus.APPROVED:
        raise StaleState(
            "Checks are attested once the drill is approved, before its start.", code="not_approved"
        )
    plan = data_of(locked)
    assert plan is not None
    if key not in plan.attested:
        raise Refused("This drill asks for no such check.", code="unknown_check")
    check_no_pin(says)
    if checks.CHECKS[key].needs_words and not says.strip():
        raise Refused(f"Say which: {checks.CHECKS[key].words}.", code="words_missing")
    row = Attestation(
        drill=locked,
        check_key=key,
        says=Sealer(named_in(locked.account, says)).text(" ".join(says.split())[:500]),
        by=actor,
        at=timezone.now(),
    )
    check_row(row)
    row.save()
    record(
        "drill.attested",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"check": key},
        reason=says,
    )
    return row


def not_ready(
    drill: Drill, plan: DrillPlan, now: datetime, known: Mapping[str, Known] | None = None
) -> list[str]:
    """Return what keeps an approved drill from beginning at a moment, each as a sentence. Up to sixteen queries."""
    found = []
    if now < plan.not_before or now > plan.not_after:
        # As it was typed, and as the page says it.
        zone = ZoneInfo(drill.account.time_zone)
        begins, ends = plan.not_before.astimezone(zone), plan.not_after.astimezone(zone)
        found.append(f"It is agreed for {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M %Z}.")
    known = known_checks(drill, plan, now) if known is None else known
    found += [one.says for one in known.values() if one.holds is False]
    found += checks.unattested(
        drill, plan, now, but={key for key, one in known.items() if one.holds is not None}
    )
    if is_disruptive(plan):
        found += [one.says for one in freezes_at(drill.account, now)]
        may = can_begin(drill.account, now)
        if not may.is_allowed:
            found += [gap.says for gap in may.gaps]
            found.append("Prove and confirm the contacts, or have a lead let it begin (Contacts, Coverage).")
    return found


def known_checks(drill: Drill, plan: DrillPlan, now: datetime) -> dict[str, Known]:
    """Return what the portal knows itself of the checks of a drill, by key. Up to four queries."""
    wanted = {"carries_load", "away_from_peak"} & set(plan.attested)
    connection = drill.connection
    if not wanted or connection is None:
        return {}
    balancers = plan.balancer_ids or tuple(choice_of(drill).balancer_ids)
    pools = [
        PoolLoad(balancer_id, one.load_rps, one.carries_rps, one.carries_source, one.hours)
        for balancer_id, one in present_of(drill.account, connection.ref, balancers, now).items()
    ]
    found = {
        "carries_load": carries(plan, pools),
        "away_from_peak": away_from_peak(plan, pools, now),
    }
    return {key: one for key, one in found.items() if key in wanted}


def is_disruptive(plan: DrillPlan) -> bool:
    """Whether something is disrupted, by the portal or by hand: what is only talked through may be held at any time."""
    return plan.kind is not DrillKind.TABLE_TOP


def start(drill: Drill, *, actor: User, seen_digest: str) -> HeldDrill:
    """Begin an approved drill. It claims its pool: one run that disrupts at a time, of whatever kind."""
    with transaction.atomic():
        lock_account(drill.account)
        locked = _locked(drill)
        check_active(locked.account)
        require(actor, Permission.DRILL_RUN, locked.account)
        if locked.status != DrillStatus.APPROVED:
            raise StaleState(
                f"“{locked.title}” is {DrillStatus(locked.status).label}; only an approved drill is started.",
                code="drill_status_changed",
            )
        plan = data_of(locked)
        assert plan is not None
        if seen_digest != locked.digest or digest_of(locked.data) != locked.digest:
            raise StaleState(
                "This is not the drill that you were shown. Nothing was started.", code="digest_mismatch"
            )
        asked = approvals.approved_request(SUBJECT, locked.ref, locked.digest)
        if asked is None:
            raise Refused("Nobody approved exactly this drill.", code="not_approved")
        says = approvals.removal_says(asked)
        if says:
            raise Refused(f"{says} Have it approved anew.", code="approval_gone")
        missing = not_ready(locked, plan, timezone.now())
        if missing:
            raise Refused(f"{' '.join(missing)} Nothing was started.", code="not_ready")
        run = runs.create_run(
            account=locked.account,
            kind=KIND,
            plan_ref=locked.ref,
            plan=locked.data or {},
            digest=locked.digest,
            resource_keys=resource_keys(plan),
            scopes=_scopes(locked),
            title=f"Fire drill: {locked.title}"[:200],
            actor=actor,
            progress=progress_to_plain(new_progress(plan)),
            in_charge=locked.facilitator,
        )
        _move(locked, DrillStatus.USED)
        locked.save()
        held = HeldDrill.objects.create(drill=locked, run=run, pool_size=plan.pool_size)
        record(
            "drill.started",
            actor=actor,
            account=locked.account,
            subject=locked,
            after={"run": str(run.ref), "plan_hash": locked.digest},
        )
    return held


def resource_keys(plan: DrillPlan) -> list[str]:
    """Return what a drill claims: its balancers and servers as scale-downs and loads claim them; a talk claims nothing else."""
    if not plan.hits:
        return [f"drill:{plan.account_ref}"]
    identity = CloudIdentity(plan.provider, plan.identity_url, plan.tenant, plan.region)
    return sorted(
        {identity.key("lb", one) for one in plan.balancer_ids}
        | {identity.key("server", one.server_id) for one in plan.targets}
        | {f"drill:{plan.account_ref}"}
    )


def _scopes(drill: Drill) -> list[str]:
    found = [f"team:{drill.account.team.ref}", f"account:{drill.account.ref}"]
    if drill.connection is not None:
        mine = drill.connection
        alike = CloudConnection.objects.filter(
            account=drill.account, provider=mine.provider, tenant=mine.tenant, region=mine.region
        )
        found += [f"connection:{ref}" for ref in alike.order_by("pk").values_list("ref", flat=True)]
    return found


_NEEDS: Mapping[str, Permission] = {
    **dict.fromkeys(commands.ANYBODY, Permission.DRILL_STOP),
    "note": Permission.DRILL_NOTE,
    "mark": Permission.DRILL_NOTE,
}


def command(
    held: HeldDrill,
    name: str,
    *,
    actor: User,
    reason: str = "",
    args: Mapping[str, Any] | None = None,
) -> RunCommand:
    """Ask something of a drill under way. Anybody who sees it may stop it, say that it is real, or note what they saw.

    Who is named to watch does not acknowledge: the time until somebody reacts is measured by who does.
    """
    if name not in commands.NAMES:
        raise Refused("A drill has no such command.", code="unknown_command")
    account = held.drill.account
    require(actor, _NEEDS.get(name, Permission.DRILL_RUN), account)
    check_no_pin(reason)
    args = checked_args(args or {})
    if name == "mark" and args.get("kind") == MarkKind.ACKNOWLEDGED.value and only_watches(actor, held.drill):
        raise NotPermitted(
            "You watch this drill or write it down: whoever takes part acknowledges. Write a note of what you saw.",
            code="not_permitted",
        )
    with transaction.atomic():
        given = runs.give_command(held.run, name, actor=actor, reason=reason.strip()[:1000], args=args)
        record(
            f"drill.{name}",
            actor=actor,
            account=account,
            subject=held.drill,
            after={"args": args},
            reason=reason,
        )
    return given


_TEXTS = ("kind", "server", "at", "value_at", "whom", "outcome")


def checked_args(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command in their shape. Raises Refused for others."""
    found: dict[str, Any] = {}
    for name, value in args.items():
        is_number = name == "number" and type(value) is int
        is_text = name in _TEXTS and isinstance(value, str) and len(value) <= 100
        is_list = (
            name in {"passed", "failed"}
            and isinstance(value, list)
            and len(value) <= 20
            and all(isinstance(one, str) and len(one) <= 200 for one in value)
        )
        if not (is_number or is_text or is_list):
            raise Refused(f"A command takes no {name[:40]!r} of this kind.", code="bad_args")
        if name in {"at", "value_at"}:
            _check_moment(value)
        found[name] = value
    return found


def _check_moment(value: str) -> None:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        at = None
    # Far from today a zone's offset has no room any more, and no drill ran then.
    if at is None or at.tzinfo is None or not 1970 < at.year < 9999:
        raise Refused("A moment is a time with its zone, such as 2026-12-01T09:10:00Z.", code="bad_args")
