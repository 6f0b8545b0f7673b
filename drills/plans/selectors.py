"""What pages and API read of drills."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

from accounts.models import Account, Contact, User
from drills import figures
from drills.commands import current_step
from drills.plans.checks import CHECKS, Check
from drills.plans.choice import Choice, ChosenStep, script_of
from drills.plans.load import Known
from drills.plans.models import Attestation, Drill, DrillPerson, HeldDrill
from drills.scenarios.types import REBOOTS, DrillKind, InjectionKind, Role, Scenario, StepKind, from_plain
from drills.turn import Turn
from drills.types import (
    DrillPlan,
    Look,
    MarkKind,
    People,
    PlannedStep,
    Progress,
    StepWay,
    Target,
    TargetPhase,
    TargetWay,
    new_progress,
    plan_from_plain,
    progress_from_plain,
)
from drills.types import Facts as MachineFacts
from portal.access import Permission, visible_to
from portal.audit.subjects import open_values, say_instead
from portal.frozen import replace
from portal.runs.models import JournalEntry, RunSample
from portal.runs.types import RunStatus
from portal.templatetags.ui import duration
from portal.ui.charts import Series

NOT_KNOWN = Known(None)
SHOWN_S = 900.0
MOST_POINTS = 2000
LINES = 40
_UNTOLD = Q(kind=DrillKind.UNANNOUNCED.value) & (Q(held__isnull=True) | Q(held__ended_at__isnull=True))


def drills() -> QuerySet[Drill]:
    """Return drills with everything that is shown of one."""
    return Drill.objects.select_related(
        "account__team", "connection", "author", "facilitator", "request", "held__run"
    ).defer("connection__api_key")


def drills_for(user: User) -> QuerySet[Drill]:
    """Return the drills that somebody may know of: an unannounced one only who decides on it, leads drills, or watches it.

    Once it is over everybody who sees the account reads it.
    """
    return drills().filter(~_UNTOLD | _told(user))


def _told(user: User) -> Q:
    return (
        Q(pk__in=visible_to(user, Drill, Permission.PLAN_APPROVE).values("pk"))
        | Q(pk__in=visible_to(user, Drill, Permission.DRILL_RUN).values("pk"))
        | Q(pk__in=DrillPerson.objects.filter(user=user).values("drill"))
    )


def untold_refs(user: User, account: Account | None) -> Iterator[UUID]:
    """Yield the refs of drills that `user` is not to know of yet, of what asks for their approval, and of their runs. One query."""
    rows = Drill.objects.filter(_UNTOLD).exclude(_told(user))
    if account is not None:
        rows = rows.filter(account=account)
    for refs in rows.values_list("ref", "request__ref", "held__run__ref"):
        yield from (ref for ref in refs if ref is not None)


def responsible_for(drill: Drill, chosen: Collection[str]) -> list[Contact]:
    """Return the contacts who take part, and those chosen before: who can be responsible for a step. One query."""
    mine = Q(drill_parts__drill=drill) | Q(ref__in=list(chosen))
    return list(Contact.objects.filter(mine, account=drill.account).order_by("name", "pk").distinct())


@dataclass(frozen=True)
class ScriptRow:
    """One step of a drill's script, and what the contact is called who is responsible; "" for nobody by name, or who is gone."""

    step: ChosenStep
    responsible: str

    @property
    def is_gone(self) -> bool:
        """Whether somebody was responsible who is no contact any more."""
        return bool(self.step.responsible) and not self.responsible


def script_rows(drill: Drill, choice: Choice, scenario: Scenario) -> list[ScriptRow]:
    """Return the script as the plan's page shows it. One query, none where nobody is named."""
    script = script_of(choice, scenario)
    found = _called(drill, {one.responsible for one in script if one.responsible})
    return [ScriptRow(one, found.get(one.responsible, "")) for one in script]


@dataclass(frozen=True)
class CheckRow:
    """One check before the start: what the portal knows of it itself, or who said that it is done."""

    check: Check
    said: Attestation | None
    known: Known = NOT_KNOWN


def checks_of(
    drill: Drill, plan: DrillPlan, now: datetime, known: Mapping[str, Known] | None = None
) -> list[CheckRow]:
    """Return the checks before the start, each with what is known of it, or its newest word of the last day. One query."""
    said = {
        one.check_key: one
        for one in drill.attestations.filter(at__gt=now - timedelta(hours=24)).select_related("by")
    }
    return [CheckRow(CHECKS[key], said.get(key), (known or {}).get(key, NOT_KNOWN)) for key in plan.attested]


@dataclass(frozen=True)
class StepRow:
    """One step of the script, as far as it is."""

    planned: PlannedStep
    way: StepWay
    is_current: bool
    may_say_done: bool
    responsible: str = ""


@dataclass(frozen=True)
class TargetRow:
    """One server of the drill, as far as it is."""

    target: Target
    way: TargetWay
    state: str
    left: Sequence[tuple[int, str]] = ()
    """The checks after its boot that nobody has said yet, each with its place among all of them."""


@dataclass(frozen=True)
class LiveDrill:
    """A run of a drill as the live page shows it."""

    held: HeldDrill
    drill: Drill
    plan: DrillPlan
    progress: Progress
    status: str
    is_over: bool
    is_real: bool
    steps: Sequence[StepRow]
    targets: Sequence[TargetRow]
    probes: Sequence[Series]
    serving: Sequence[Series]
    journal: Sequence[JournalEntry]
    elapsed_s: float
    since_injection_s: float | None
    waiting: Sequence[Any]

    @property
    def says(self) -> str:
        """What is done or waited for just now."""
        return self.progress.says or "The drill is about to begin."

    @property
    def reboots(self) -> bool:
        """Whether its servers come back by themselves, or by a hard reboot that a person asks for."""
        return self.plan.injection in REBOOTS

    @property
    def booted(self) -> list[TargetRow]:
        """Its servers that were rebooted, where each is checked by people afterwards."""
        return [one for one in self.targets if self.plan.after_boot and one.way.hit_at is not None]

    @property
    def waits_for_word(self) -> bool:
        """Whether it has begun to hurt and nobody has said yet that they see to it."""
        is_known = self.progress.mark(MarkKind.ACKNOWLEDGED) is not None
        return self.progress.injected_at is not None and not is_known

    @property
    def is_injected(self) -> bool:
        """Whether something is disrupted just now."""
        return self.progress.is_injected


_TARGET_STATES = {
    TargetPhase.UNTOUCHED: "target_untouched",
    TargetPhase.HIT: "target_hit",
    TargetPhase.RETURNING: "target_returning",
    TargetPhase.BACK: "target_back",
}


def live_drill(held: HeldDrill, now: datetime) -> LiveDrill:
    """Return a run as it is now. Six queries, five where nobody is responsible by name."""
    run = type(held.run).objects.get(pk=held.run.pk)
    plan = plan_from_plain(run.plan)
    progress = _opened(run.progress) if run.progress else new_progress(plan)
    turn = Turn(plan, progress, Look(now), People(RunStatus(run.status)), MachineFacts(), now)
    current = current_step(turn) if progress.ending is None else None
    responsible = _called(held.drill, {one.responsible for one in plan.steps if one.responsible})
    is_over = run.is_over
    end = progress.ended_at if is_over and progress.ended_at else now
    began = progress.began_at or end
    injected = progress.injected_at
    samples = list(
        RunSample.objects.filter(run=run, at__gt=end - timedelta(seconds=SHOWN_S))
        .order_by("at", "pk")
        .values_list("series", "at", "value")[:MOST_POINTS]
    )
    return LiveDrill(
        held=held,
        drill=held.drill,
        plan=plan,
        progress=progress,
        status=run.status,
        is_over=is_over,
        is_real=progress.ending is not None and progress.ending.value == "real_incident",
        steps=[
            StepRow(
                planned,
                way,
                current is not None and way.number == current.number and not is_over,
                planned.kind is not StepKind.AUTOMATED,
                responsible.get(planned.responsible, ""),
            )
            for planned, way in zip(plan.steps, progress.steps, strict=True)
        ],
        targets=[
            TargetRow(
                target,
                way,
                _TARGET_STATES[way.phase],
                [(at, one) for at, one in enumerate(plan.after_boot, start=1) if one not in way.checked],
            )
            for target, way in zip(plan.targets, progress.targets, strict=True)
        ],
        probes=_series(samples, "probe_ms:"),
        serving=_series(samples, "serving:"),
        journal=list(JournalEntry.objects.filter(run=run).order_by("-seq")[:LINES]),
        elapsed_s=(end - began).total_seconds(),
        since_injection_s=None if injected is None else (end - injected).total_seconds(),
        waiting=list(run.commands.filter(answered_at__isnull=True).order_by("seq")[:20]),
    )


def _called(drill: Drill, refs: Collection[str]) -> dict[str, str]:
    """Return what contacts are called, by their reference."""
    if not refs:
        return {}
    return {str(one.ref): str(one) for one in Contact.objects.filter(account=drill.account, ref__in=refs)}


def _opened(plain: Mapping[str, Any]) -> Progress:
    """Return progress in which names stand as they are to be read. At most two queries."""
    (opened,) = open_values([plain])
    return progress_from_plain(opened)


_WATCHING = (Role.OBSERVER.value, Role.REPORTER.value)


def only_watches(user: User, drill: Drill) -> bool:
    """Whether somebody is named to watch a drill or to write it down: who reacts acknowledges, and they note it. One query."""
    return drill.facilitator_id != user.pk and drill.parts.filter(user=user, role__in=_WATCHING).exists()


def roles_in(drill: Drill) -> dict[str, Role]:
    """Return as what people took part, by their key as the run notes it. Three queries.

    A participant is a contact; who logs in with a contact's address is that person, and gives no other role away.
    """
    team = {
        str(pk): Role.LAUNCH_MANAGER
        for pk in drill.account.team.memberships.values_list("user_id", flat=True)
    }
    named = {
        str(pk): Role(role)
        for pk, role in drill.parts.filter(user__isnull=False).values_list("user_id", "role")
    }
    addresses = [
        one.lower()
        for one in drill.parts.filter(contact__isnull=False).values_list("contact__email", flat=True)
        if one
    ]
    mine = User.objects.annotate(address=Lower("email")).filter(address__in=addresses)
    reacting = dict.fromkeys((str(pk) for pk in mine.values_list("pk", flat=True)), Role.PARTICIPANT)
    return {**team, **reacting, **named, str(drill.facilitator.pk): Role.FACILITATOR}


def _series(samples: Sequence[tuple[str, datetime, float | None]], prefix: str) -> list[Series]:
    found: dict[str, list[tuple[datetime, float | None]]] = {}
    for name, at, value in samples:
        if name.startswith(prefix):
            found.setdefault(name.removeprefix(prefix), []).append((at, value))
    return [
        Series(name, points, str(number % 4 + 1))
        for number, (name, points) in enumerate(sorted(found.items()))
        if len(points) > 1
    ]


def injection_words(plan: DrillPlan) -> str:
    """Return what a drill does, as a sentence."""
    *most, last = [one.name for one in plan.targets] or [""]
    names = f"{', '.join(most)} and {last}" if most else last
    are = "are" if most else "is"
    hold = f"for {duration(plan.hold_s)}"
    return {
        InjectionKind.SOFT_REBOOT: f"{names} {are} rebooted in order.",
        InjectionKind.HARD_REBOOT: f"{names} {are} rebooted as if the power failed.",
        InjectionKind.ROLLING_REBOOT: f"{names} {are} rebooted{', one after the other' if most else ''}.",
        InjectionKind.STOP: f"{names} {are} stopped {hold}, then started again.",
        InjectionKind.NODE_OUT: f"{names} {are} taken out of the load balancer {hold}, then put back.",
        InjectionKind.CALL_CONTACTS: "The contacts are called in their order until one answers.",
        InjectionKind.BY_HAND: "A person makes the disruption, as the steps say.",
        InjectionKind.TALK: "It is talked through; nothing is touched.",
    }[plan.injection]


@dataclass(frozen=True)
class Report:
    """What became of a drill."""

    plan: DrillPlan
    progress: Progress
    words: str
    verdict: figures.Verdict | None
    measured: Sequence[figures.Figure]
    axis: Sequence[figures.Moment]
    next: figures.NextDrill | None
    journal: Sequence[JournalEntry]
    with_names: bool


MOST_OF_JOURNAL = 500


def may_read_names(drill: Drill, reader: User) -> bool:
    """Whether a report names people to somebody: to who owns or leads the drill, and who takes part or watches. One query.

    A participant is a contact; who logs in with a contact's proven address is that person.
    """
    if reader.pk in {drill.author.pk, drill.facilitator.pk}:
        return True
    mine = Q(user=reader)
    if reader.email:
        mine |= Q(contact__email__iexact=reader.email)
    return drill.parts.filter(mine).exists()


_SAID_ROLES: Mapping[Role, str] = {
    Role.FACILITATOR: "the facilitator",
    Role.PARTICIPANT: "a participant",
    Role.LAUNCH_MANAGER: "a launch manager",
    Role.OBSERVER: "an observer",
    Role.REPORTER: "the reporter",
}
SOMEBODY = "somebody"


def journal_of(
    drill: Drill, run_pk: int, roles: Mapping[str, Role], *, with_names: bool
) -> list[JournalEntry]:
    """Return the journal as it is read: with names, or with roles in their places. Up to four queries."""
    rows = JournalEntry.objects.filter(run_id=run_pk).order_by("seq")[:MOST_OF_JOURNAL]
    if with_names:
        return list(rows)
    found = list(rows.sealed())
    users = dict(User.objects.filter(pk__in=[pk for pk in roles if pk.isdigit()]).values_list("ref", "pk"))
    words = {ref: _SAID_ROLES[roles[str(pk)]] for ref, pk in users.items()}
    contacts = drill.parts.filter(contact__isnull=False).values_list("contact__ref", flat=True)
    words |= dict.fromkeys(contacts, _SAID_ROLES[Role.PARTICIPANT])
    for row in found:
        row.says = say_instead(row.says, words, SOMEBODY)
        row.customer_says = say_instead(row.customer_says, words, SOMEBODY)
        row.actor_name = say_instead(row.actor_name, words, SOMEBODY)
    return found


_Named = TypeVar("_Named", figures.Figure, figures.Moment)


def _named(one: _Named, with_names: bool) -> _Named:
    return one if with_names else replace(one, by_name="")


def report_of(held: HeldDrill, reader: User) -> Report:
    """Return the report of a drill that is over, as somebody may read it: roles always, names where they may. Eleven queries."""
    run = type(held.run).objects.get(pk=held.run.pk)
    plan, progress = plan_from_plain(run.plan), _opened(run.progress)
    roles, with_names = roles_in(held.drill), may_read_names(held.drill, reader)
    scenario = from_plain(held.drill.scenario)
    verdict = figures.verdict_of(plan, progress, RunStatus(run.status))
    ended = held.ended_at or held.drill.updated_at
    return Report(
        plan=plan,
        progress=progress,
        words=injection_words(plan),
        verdict=verdict,
        measured=[_named(one, with_names) for one in figures.figures_of(plan, progress, roles)],
        axis=[_named(one, with_names) for one in figures.axis(plan, progress, roles)],
        next=None
        if verdict is None
        else figures.next_on(
            ended.date(),
            verdict.result,
            repeat_after_days=scenario.repeat_after_days,
            repeat_after_failure_days=scenario.repeat_after_failure_days,
        ),
        journal=journal_of(held.drill, run.pk, roles, with_names=with_names),
        with_names=with_names,
    )
