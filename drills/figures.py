"""What a drill measured, what that says of its hypothesis, and how it stands beside an earlier one. Pure.

    figures_of(plan, progress)            each figure with its limit: met, missed, or not known
    verdict_of(plan, progress, status)    met, not met, stopped or invalid, with the reasons
    axis(plan, progress)                  people and systems on one time axis
    compare(earlier, later)               two results of one scenario, figure by figure

Everything counts from the first injection. Nothing is typed: what was not measured is unknown, never 0 and never met. What these
functions say names roles, never people; who it was stands beside it (`by_name`), so that a page may leave it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from drills import judging
from drills.scenarios.types import DrillKind, Environment, InjectionKind, Role
from drills.scenarios.words import ENVIRONMENTS, INJECTIONS, KINDS, ROLES, in_words
from drills.types import INFORMED_WHOM, DrillPlan, Ending, Mark, MarkKind, Progress
from portal.frozen import replace
from portal.runs.types import RunStatus

NO_ROLES: Mapping[str, Role] = {}


class Unit(StrEnum):
    """What a figure counts in."""

    SECONDS = "s"
    SHARE = "share"
    MILLISECONDS = "ms"
    COUNT = "count"


@dataclass(frozen=True)
class Figure:
    """One thing that was measured. `limit` None: nothing was claimed about it, so that `met` is None too.

    `value` None is unknown, unless `is_none` says that there was nothing to measure: probes that were never outside the hypothesis
    had nothing to recover from. `met` is True only of what is known. `role` and `by_name` say whose moment it was.
    """

    name: str
    label: str
    value: float | None
    limit: float | None
    met: bool | None
    says: str
    unit: Unit = Unit.SECONDS
    is_none: bool = False
    role: Role | None = None
    by_name: str = ""

    @property
    def is_known(self) -> bool:
        """Whether this was measured."""
        return self.value is not None or self.is_none

    @property
    def value_s(self) -> float | None:
        """The value of a time, in seconds."""
        return self.value if self.unit is Unit.SECONDS else None

    @property
    def limit_s(self) -> float | None:
        """The limit of a time, in seconds."""
        return self.limit if self.unit is Unit.SECONDS else None


LABELS: Mapping[str, str] = {
    "detected": "Detected",
    "acknowledged": "Acknowledged",
    "informed": "Informed",
    "mitigated": "Harm ended",
    "recovered": "Recovered",
    "data_lost": "Data lost",
    "complete": "Completeness",
    "usable": "Usable again",
    "probes_failed": "Probes failed",
    "error_ratio": "Largest share of failed probes",
    "p95_ms": "Slowest 95 of 100 answers",
}
_SAID: Mapping[MarkKind, str] = {
    MarkKind.INJECTED: "Disrupted",
    MarkKind.DETECTED: "Noticed",
    MarkKind.ACKNOWLEDGED: "Acknowledged",
    MarkKind.INFORMED: "Those who must know were told",
    MarkKind.MITIGATED: "The harm is over",
    MarkKind.UNDONE: "Undone, and verified",
    MarkKind.RECOVERED: "Recovered",
    MarkKind.NEWEST_DATA: "Newest data found",
    MarkKind.COMPLETE: "The check of completeness passed",
    MarkKind.USABLE: "Usable again",
}


# --- figures ----------------------------------------------------------------------------------------------


def figures_of(
    plan: DrillPlan, progress: Progress, roles: Mapping[str, Role] = NO_ROLES
) -> tuple[Figure, ...]:
    """Return every figure of a drill, in the order in which things happen. `roles`: whose `Mark.by` has which role."""
    since = progress.injected_at
    if since is None:
        return tuple(_unmeasured(plan, "Nothing was injected."))
    read = _Reading(plan, progress, since, roles)
    limits = plan.hypothesis
    return (
        read.detected(),
        read.first("acknowledged", MarkKind.ACKNOWLEDGED, limits.acknowledged_s, "Nobody acknowledged."),
        read.first("informed", MarkKind.INFORMED, limits.informed_s, "Nobody noted that others were told."),
        read.mitigated(),
        read.recovered(),
        read.data_lost(),
        read.complete(),
        read.first("usable", MarkKind.USABLE, None, "Nobody noted that it was usable again.", is_last=True),
        read.probes_failed(),
        read.error_ratio(),
        read.p95(),
    )


def _unmeasured(plan: DrillPlan, says: str) -> Iterable[Figure]:
    limits = plan.hypothesis
    for name, limit, unit in (
        ("detected", None, Unit.SECONDS),
        ("acknowledged", limits.acknowledged_s, Unit.SECONDS),
        ("informed", limits.informed_s, Unit.SECONDS),
        ("mitigated", limits.mitigated_s, Unit.SECONDS),
        ("recovered", limits.recovered_s, Unit.SECONDS),
        ("data_lost", limits.data_lost_s, Unit.SECONDS),
        ("complete", 0.0 if plan.completeness else None, Unit.COUNT),
        ("usable", None, Unit.SECONDS),
        ("probes_failed", None, Unit.COUNT),
        ("error_ratio", limits.error_ratio, Unit.SHARE),
        ("p95_ms", limits.p95_ms, Unit.MILLISECONDS),
    ):
        yield Figure(name, LABELS[name], None, limit, None, says, unit)


def _met(value: float | None, limit: float | None) -> bool | None:
    return None if value is None or limit is None else value <= limit


class _Reading:
    """One drill's progress while its figures are read."""

    def __init__(
        self, plan: DrillPlan, progress: Progress, since: datetime, roles: Mapping[str, Role]
    ) -> None:
        self.plan, self.progress, self.since, self.roles = plan, progress, since, roles
        # What came before the injection is no effect of it.
        self.failed_at = [one.at for one in progress.seen if one.ok is False and one.at >= since]

    def after(self, at: datetime) -> float:
        return (at - self.since).total_seconds()

    def marks(self, kind: MarkKind) -> list[Mark]:
        found = [one for one in self.progress.marks if one.kind is kind and one.at >= self.since]
        return sorted(found, key=_in_order)

    def who(self, mark: Mark) -> tuple[Role | None, str]:
        role = role_of(self.plan, mark, self.roles)
        return role, _called(mark, role)

    def figure(
        self,
        name: str,
        value: float | None,
        limit: float | None,
        says: str,
        *,
        unit: Unit = Unit.SECONDS,
        mark: Mark | None = None,
    ) -> Figure:
        role = None if mark is None else role_of(self.plan, mark, self.roles)
        return Figure(
            name,
            LABELS[name],
            value,
            limit,
            _met(value, limit),
            says,
            unit,
            role=role,
            by_name="" if mark is None else mark.by_name,
        )

    def first(
        self, name: str, kind: MarkKind, limit: float | None, missing: str, *, is_last: bool = False
    ) -> Figure:
        marks = self.marks(kind)
        if not marks:
            return self.figure(name, None, limit, f"{missing} Not known.")
        mark = marks[-1 if is_last else 0]
        says = f"{_said_at(self.after(mark.at))}, {self.who(mark)[1]}."
        return self.figure(name, self.after(mark.at), limit, _sentence(says), mark=mark)

    def detected(self) -> Figure:
        """Whoever was first, a probe or a person."""
        marks = self.marks(MarkKind.DETECTED)
        if marks:
            return self.first("detected", MarkKind.DETECTED, None, "")
        if self.progress.asked and not self.progress.failed:
            return self.figure("detected", None, None, "No probe failed, and nobody noted that they noticed.")
        return self.figure("detected", None, None, "Neither a probe nor a person noticed. Not known.")

    def mitigated(self) -> Figure:
        """The newest word that the harm is over, unless a probe failed after it: then it was not."""
        limit = self.plan.hypothesis.mitigated_s
        marks = self.marks(MarkKind.MITIGATED)
        found = self.first("mitigated", MarkKind.MITIGATED, limit, "Nobody noted it.", is_last=True)
        again = [at for at in self.failed_at if marks and at > marks[-1].at]
        if not marks and self.was_outside is False:
            return Figure(
                "mitigated",
                found.label,
                None,
                limit,
                None if limit is None else True,
                "The probes were never outside the hypothesis, so there was no harm to end.",
                is_none=True,
            )
        if not again:
            return found
        says = (
            f"Said to be over after {_time(self.after(marks[-1].at))}, but a probe failed after"
            f" {_time(self.after(min(again)))}. When it was over is not known."
        )
        # Too late already is too late all the more.
        met = False if found.met is False else None
        return Figure("mitigated", found.label, None, limit, met, says)

    @property
    def was_outside(self) -> bool | None:
        """Whether the probes were outside the hypothesis at any time; None where too few answered."""
        progress, limits = self.progress, self.plan.hypothesis
        if progress.failed or self.failed_at:
            return True
        if limits.p95_ms is not None and (progress.worst_p95_ms or 0.0) > limits.p95_ms:
            return True
        if progress.asked < judging.FEWEST_ANSWERS or (
            limits.p95_ms is not None and progress.worst_p95_ms is None
        ):
            return None
        # At the end the newest answers must be good ones: what could not be asked says nothing.
        return False if self.is_calm_at_end() else None

    def is_calm_at_end(self) -> bool:
        if self.progress.calm_since is None:
            return False
        seen = self.progress.seen
        return not seen or judging.is_calm(self.plan, self.progress, max(one.at for one in seen)) is not False

    def recovered(self) -> Figure:
        """The newest recovery, at or after the newest failure.

        Where no probe watches, and of data that is restored or taken over beside a site that nothing happened to, it is a person's
        word that it is usable again.
        """
        limit = self.plan.hypothesis.recovered_s
        outside = self.was_outside
        if not self.plan.probes or self.plan.hypothesis.data_lost_s is not None:
            missing = "Nobody noted that it was usable again."
            usable = self.first("recovered", MarkKind.USABLE, limit, missing, is_last=True)
            # Too late by somebody's word is too late all the more where the site was harmed, too.
            if outside is not True or usable.met is False:
                return usable
        marks = self.marks(MarkKind.RECOVERED)
        if outside is None and not marks:
            return self.figure("recovered", None, limit, "Too few answers of probes. Not known.")
        if outside is False:
            return Figure(
                "recovered",
                LABELS["recovered"],
                None,
                limit,
                None if limit is None else True,
                "The probes were never outside the hypothesis, so there was nothing to recover from.",
                is_none=True,
            )
        at = self._recovered_at(marks)
        if at is not None:
            says = f"{_said_at(self.after(at))} the probes were inside the hypothesis, and stayed so."
            return self.figure("recovered", self.after(at), limit, says)
        again = any(one.at < at for one in marks for at in self.failed_at)
        says = (
            "The probes failed again after they had recovered, and were not seen to recover from that."
            if again
            else "The probes were outside the hypothesis and were not seen to recover."
        )
        # Outside still at the end, or failing once more, past the limit: it was surely missed.
        outside_at = [*self.failed_at, *([self.progress.ended_at] if self.progress.ended_at else [])]
        is_too_late = limit is not None and any(self.after(at) > limit for at in outside_at)
        return Figure(
            "recovered",
            LABELS["recovered"],
            None,
            limit,
            False if is_too_late else None,
            f"{says} Not known.",
        )

    def _recovered_at(self, marks: list[Mark]) -> datetime | None:
        progress = self.progress
        last = marks[-1].at if marks else None
        if last is not None and any(at > last for at in self.failed_at):
            return None
        ends = [one.at for one in progress.seen if one.at >= self.since]
        end = max(ends, default=progress.ended_at)
        if ends and judging.is_calm(self.plan, progress, max(ends)) is False:
            return None
        calm = progress.calm_since
        if calm is None or (last is not None and calm <= last):
            return last
        # Slow answers make no mark of their own: they were back inside when the newest calm began, if that lasted.
        lasted = end is not None and (end - calm).total_seconds() >= self.plan.calm_s
        return calm if lasted and not any(at > calm for at in self.failed_at) else None

    def data_lost(self) -> Figure:
        """How old the newest data was at the injection; the newest note counts, for it corrects the ones before."""
        limit = self.plan.hypothesis.data_lost_s
        marks = [one for one in self.marks(MarkKind.NEWEST_DATA) if one.value_at is not None]
        if not marks:
            return self.figure(
                "data_lost", None, limit, "Nobody noted how old the newest data was. Not known."
            )
        mark = marks[-1]
        assert mark.value_at is not None
        if mark.value_at > mark.at:
            return self.figure(
                "data_lost", None, limit, "The newest data was noted as of later than the note. Not known."
            )
        lost_s = max(0.0, -self.after(mark.value_at))
        if lost_s:
            says = f"The newest data found was {_time(lost_s)} old at the injection"
        else:
            says = "The newest data found is from the injection or later: nothing was lost"
        return self.figure("data_lost", lost_s, limit, f"{says}, {self.who(mark)[1]}.", mark=mark)

    def complete(self) -> Figure:
        """Whether the check that was chosen beforehand passed; the newest word counts."""
        check = self.plan.completeness
        if not check:
            return self.figure(
                "complete", None, None, "No check of completeness was chosen.", unit=Unit.COUNT
            )
        marks = [one for one in self.marks(MarkKind.COMPLETE) if one.passed is not None]
        if not marks:
            says = f"Nobody said whether the check chosen beforehand passed: {check} Not known."
            return self.figure("complete", None, 0.0, says, unit=Unit.COUNT)
        mark = marks[-1]
        says = f"{'Passed' if mark.passed else 'Failed'}, {self.who(mark)[1]}: {check}"
        return self.figure("complete", 0.0 if mark.passed else 1.0, 0.0, says, unit=Unit.COUNT, mark=mark)

    def probes_failed(self) -> Figure:
        progress = self.progress
        if not progress.asked:
            return self.figure(
                "probes_failed", None, None, "No probe was answered. Not known.", unit=Unit.COUNT
            )
        says = f"{progress.failed} of {progress.asked} probes failed after the injection."
        return self.figure("probes_failed", float(progress.failed), None, says, unit=Unit.COUNT)

    def error_ratio(self) -> Figure:
        progress, limit = self.progress, self.plan.hypothesis.error_ratio
        worst = progress.worst_error_ratio
        if worst is None and progress.asked >= judging.FEWEST_ANSWERS:
            share = progress.failed / progress.asked
            says = f"{progress.failed} of {progress.asked} probes failed, {_share(share)}."
            return self.figure("error_ratio", share, limit, says, unit=Unit.SHARE)
        if worst is None:
            return self.figure("error_ratio", None, limit, "Too few answers. Not known.", unit=Unit.SHARE)
        says = f"At worst {_share(worst)} of the probes failed."
        return self.figure("error_ratio", worst, limit, says, unit=Unit.SHARE)

    def p95(self) -> Figure:
        worst, limit = self.progress.worst_p95_ms, self.plan.hypothesis.p95_ms
        if worst is None:
            return self.figure("p95_ms", None, limit, "Too few answers. Not known.", unit=Unit.MILLISECONDS)
        says = f"At worst 95 of 100 answers took up to {worst:.0f} ms."
        return self.figure("p95_ms", worst, limit, says, unit=Unit.MILLISECONDS)


def role_of(plan: DrillPlan, mark: Mark, roles: Mapping[str, Role] = NO_ROLES) -> Role | None:
    """Return the role of whoever noted a moment; None for the portal, and for somebody who has none."""
    return _role_of(plan, mark.by, roles)


def _role_of(plan: DrillPlan, by: str, roles: Mapping[str, Role]) -> Role | None:
    if by in roles:
        return roles[by]
    return next((one.role for one in plan.people if by and one.ref == by), None)


def is_by_people(mark: Mark) -> bool:
    """Whether a person stands behind a moment, and not a measurement."""
    return bool(mark.by or mark.by_name)


def _called(mark: Mark, role: Role | None) -> str:
    if not is_by_people(mark):
        return "by a probe" if mark.kind is MarkKind.DETECTED else "by the portal"
    if role is not None:
        return f"by {_article(role)}"
    # The escalation's contacts have no role in the drill itself.
    return "by whoever was called" if mark.kind is MarkKind.ACKNOWLEDGED and not mark.by else "by somebody"


def _article(role: Role) -> str:
    word = ROLES[role]
    if role in {Role.FACILITATOR, Role.REPORTER}:
        # Of these a drill has one.
        return f"the {word}"
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _in_order(mark: Mark) -> tuple[datetime, str, str, str, str, str]:
    # A moment that is told twice is told once by the same rule, whatever the order in which they were kept.
    value = mark.value_at.isoformat() if mark.value_at else ""
    return (mark.at, mark.kind.value, mark.by, mark.by_name, value, mark.says)


def _time(seconds: float) -> str:
    return in_words(round(seconds) if seconds >= 10 else round(seconds, 1))


def _said_at(seconds: float) -> str:
    return f"After {_time(seconds)}" if seconds else "At once"


def _share(ratio: float) -> str:
    return f"{ratio * 100:.3g} %"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def said(value: float | None, unit: Unit) -> str:
    """Return a figure's value as people say it."""
    if value is None:
        return "not known"
    match unit:
        case Unit.SECONDS:
            return _time(value)
        case Unit.SHARE:
            return _share(value)
        case Unit.MILLISECONDS:
            return f"{value:.0f} ms"
        case Unit.COUNT:
            return f"{value:.0f}"


# --- the verdict ------------------------------------------------------------------------------------------


class Judged(StrEnum):
    """What came of a drill."""

    MET = "met"
    NOT_MET = "not_met"
    STOPPED = "stopped"
    INVALID = "invalid"


@dataclass(frozen=True)
class Verdict:
    """What a drill showed, with each reason as a sentence. Stopped and invalid ones show nothing of the hypothesis."""

    result: Judged
    reasons: tuple[str, ...]


_NEVER_BEGAN = frozenset({Ending.NOT_STARTED, Ending.POOL_CHANGED})
_STOPS = frozenset(
    {Ending.STOP_CONDITION, Ending.STOPPED, Ending.LOST_SIGHT, Ending.NOT_ALLOWED, Ending.REFUSED}
)
_ENDED: Mapping[Ending, str] = {
    Ending.STOP_CONDITION: "A stop condition held.",
    Ending.STOPPED: "Somebody stopped the drill.",
    Ending.REAL: "Somebody said that it was a real incident.",
    Ending.LOST_SIGHT: "The portal lost sight of the pool.",
    Ending.NOT_COME_BACK: "A server did not come back, or not as it should.",
    Ending.REFUSED: "The disruption was refused.",
    Ending.NOT_ALLOWED: "The drill was no longer allowed.",
    Ending.POOL_CHANGED: "The pool was not as it was approved.",
    Ending.NOT_STARTED: "The drill was not started.",
}


def verdict_of(plan: DrillPlan, progress: Progress, status: RunStatus) -> Verdict | None:
    """Return what came of a drill; None while it is not over."""
    if not status.is_over:
        return None
    ending = progress.ending
    early = () if ending is None else (_why_ended(progress, ending),)
    if ending is Ending.REAL or ending in _NEVER_BEGAN:
        return Verdict(Judged.INVALID, early)
    if progress.injected_at is None:
        return Verdict(Judged.INVALID, (*early, "Nothing was injected, so that nothing was shown."))
    figures = figures_of(plan, progress)
    claimed = [one for one in figures if one.limit is not None]
    missed = tuple(_missed(one) for one in claimed if one.met is False)
    if ending in _STOPS:
        return Verdict(Judged.STOPPED, (*early, *missed))
    if ending is None and status is not RunStatus.COMPLETED:
        return Verdict(Judged.STOPPED, ("The run ended before its script did.", *missed))
    if not claimed:
        return Verdict(Judged.INVALID, (*early, "The plan claims nothing that could be measured."))
    unknown = tuple(_unknown(one) for one in claimed if one.met is None)
    if early or missed or unknown:
        return Verdict(Judged.NOT_MET, (*early, *missed, *unknown))
    count = "one limit" if len(claimed) == 1 else f"{len(claimed)} limits"
    return Verdict(Judged.MET, (f"Everything that was claimed was measured, and held ({count}).",))


def _why_ended(progress: Progress, ending: Ending) -> str:
    # What a person wrote names them, and what a standstill says may: reports show roles.
    if progress.ended_by or ending in {Ending.STOPPED, Ending.REAL} or not progress.ending_says:
        return _ENDED[ending]
    return progress.ending_says


def _missed(figure: Figure) -> str:
    if figure.name == "complete":
        return f"{figure.label}: {figure.says}"
    if figure.value is None:
        return f"{figure.label}: {figure.says} {said(figure.limit, figure.unit)} may be."
    return f"{figure.label}: {said(figure.value, figure.unit)}; {said(figure.limit, figure.unit)} may be."


def _unknown(figure: Figure) -> str:
    return f"{figure.label}: could not be measured. {figure.says}"


# --- people and systems on one axis -----------------------------------------------------------------------


class Lane(StrEnum):
    """On which side of the time axis a moment stands."""

    PEOPLE = "people"
    SYSTEMS = "systems"


@dataclass(frozen=True)
class Moment:
    """One moment on the axis. `after_s` counts from the first injection, before it is negative; None where nothing was injected."""

    at: datetime
    after_s: float | None
    lane: Lane
    kind: str
    says: str
    role: Role | None = None
    by_name: str = ""


def axis(plan: DrillPlan, progress: Progress, roles: Mapping[str, Role] = NO_ROLES) -> tuple[Moment, ...]:
    """Return the moments of people and systems in the order of time, with the beginning and the end."""
    since = progress.injected_at

    def moment(at: datetime, lane: Lane, kind: str, says: str, mark: Mark | None = None) -> Moment:
        return Moment(
            at,
            None if since is None else (at - since).total_seconds(),
            lane,
            kind,
            says,
            None if mark is None else role_of(plan, mark, roles),
            "" if mark is None else mark.by_name,
        )

    found = []
    if progress.began_at is not None:
        found.append(moment(progress.began_at, Lane.SYSTEMS, "began", "The drill begins."))
    for mark in sorted(progress.marks, key=_in_order):
        # What a person wrote beside a moment stays in the journal: it names people.
        is_person = is_by_people(mark)
        told = f" ({INFORMED_WHOM[mark.whom]})" if mark.whom in INFORMED_WHOM else ""
        who = _called(mark, role_of(plan, mark, roles))
        what = "The check of completeness failed" if mark.passed is False else _SAID[mark.kind]
        says = f"{what}{told}, {who}." if is_person else mark.says
        lane = Lane.PEOPLE if is_person else Lane.SYSTEMS
        found.append(moment(mark.at, lane, mark.kind.value, says or f"{_SAID[mark.kind]}.", mark))
    if progress.ended_at is not None:
        ending = progress.ending
        says = "The drill is over." if ending is None else _why_ended(progress, ending)
        over = moment(progress.ended_at, Lane.SYSTEMS, "ended", says)
        if progress.ended_by:
            over = replace(over, lane=Lane.PEOPLE, role=_role_of(plan, progress.ended_by, roles))
        found.append(over)
    order = {"began": 0, "ended": 2}
    return tuple(sorted(found, key=lambda one: (one.at, order.get(one.kind, 1))))


# --- two drills of one scenario ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What one drill came to, with what makes it comparable."""

    scenario_key: str
    injection: InjectionKind
    kind: DrillKind
    environment: Environment
    targets: int
    pool_size: int
    verdict: Verdict
    figures: tuple[Figure, ...]


def result_of(plan: DrillPlan, progress: Progress, status: RunStatus) -> Result | None:
    """Return what a drill came to; None while it is not over."""
    verdict = verdict_of(plan, progress, status)
    if verdict is None:
        return None
    return Result(
        plan.scenario_key,
        plan.injection,
        plan.kind,
        plan.environment,
        len(plan.targets),
        plan.pool_size,
        verdict,
        figures_of(plan, progress),
    )


class Change(StrEnum):
    """How a figure stands beside the earlier one."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    NOT_COMPARABLE = "not_comparable"


@dataclass(frozen=True)
class Compared:
    """One figure of two drills."""

    name: str
    label: str
    unit: Unit
    before: float | None
    now: float | None
    change: Change
    says: str


@dataclass(frozen=True)
class Comparison:
    """Two drills side by side. `why_not`: what makes them incomparable; then no figure is better or worse."""

    why_not: tuple[str, ...]
    figures: tuple[Compared, ...]

    @property
    def is_comparable(self) -> bool:
        """Whether the two drills measured the same thing."""
        return not self.why_not


_FINEST: Mapping[Unit, tuple[float, float]] = {
    # At least, and as a share of the earlier value. Probes and looks are seconds apart; a p95 of some dozens of answers wavers.
    Unit.SECONDS: (5.0, 0.05),
    Unit.SHARE: (0.005, 0.0),
    Unit.MILLISECONDS: (10.0, 0.1),
    Unit.COUNT: (0.0, 0.0),
}
"""What differs by no more than this is the same."""
_BY_ASKING = frozenset({"probes_failed"})


def compare(earlier: Result, later: Result) -> Comparison:
    """Return two results of one scenario figure by figure. Lower is better of every figure."""
    why_not = tuple(_why_not_comparable(earlier, later))
    before = {one.name: one for one in earlier.figures}
    return Comparison(
        why_not, tuple(_compared(before.get(one.name), one, bool(why_not)) for one in later.figures)
    )


def _why_not_comparable(earlier: Result, later: Result) -> Iterable[str]:
    if earlier.scenario_key != later.scenario_key:
        yield "They are drills of different scenarios."
    if earlier.injection is not later.injection:
        yield (
            f"The disruption differs: {INJECTIONS[earlier.injection].name} then, {INJECTIONS[later.injection].name} now."
        )
    if earlier.kind is not later.kind:
        yield f"One was {KINDS[earlier.kind]}, the other {KINDS[later.kind]}."
    if earlier.environment is not later.environment:
        yield f"One was in {ENVIRONMENTS[earlier.environment]}, the other in {ENVIRONMENTS[later.environment]}."
    if earlier.targets != later.targets:
        yield f"The number of servers hit differs: {earlier.targets} then, {later.targets} now."
    if earlier.pool_size != later.pool_size:
        yield f"The pool's size differs: {earlier.pool_size} servers then, {later.pool_size} now."
    for called, one in (("earlier", earlier), ("later", later)):
        if one.verdict.result is Judged.INVALID:
            yield f"The {called} drill is invalid."
        elif one.verdict.result is Judged.STOPPED:
            yield f"The {called} drill was stopped, so that its figures are cut short."


def _compared(before: Figure | None, now: Figure, is_barred: bool) -> Compared:
    was = None if before is None else before.value

    def result(change: Change, says: str) -> Compared:
        return Compared(now.name, now.label, now.unit, was, now.value, change, says)

    if before is None or not before.is_known or not now.is_known:
        return result(Change.NOT_COMPARABLE, "Not measured in both.")
    # How many failed depends on how many were asked; the share does not.
    if is_barred or now.name in _BY_ASKING:
        return result(Change.NOT_COMPARABLE, f"{_of(before)} then, {_of(now)} now; not comparable.")
    if before.is_none or now.is_none:
        change = (
            Change.SAME if before.is_none and now.is_none else Change.BETTER if now.is_none else Change.WORSE
        )
    else:
        assert before.value is not None
        assert now.value is not None
        least, share = _FINEST[now.unit]
        difference = now.value - before.value
        if abs(difference) <= max(least, share * before.value):
            change = Change.SAME
        else:
            change = Change.WORSE if difference > 0 else Change.BETTER
    return result(change, f"{_of(before)} then, {_of(now)} now.")


def _of(figure: Figure) -> str:
    return "nothing to recover from" if figure.is_none else said(figure.value, figure.unit)


# --- the next one -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NextDrill:
    """When the next drill of a scenario is proposed, and by which rule."""

    on: date
    says: str


def next_on(
    held_on: date, result: Judged, *, repeat_after_days: int, repeat_after_failure_days: int
) -> NextDrill:
    """Return when the next drill is due: a scenario's own rule, sooner after one that did not meet its hypothesis."""
    if result is Judged.MET:
        return NextDrill(
            held_on + timedelta(days=repeat_after_days),
            f"{repeat_after_days} days after a drill that met its hypothesis.",
        )
    days = min(repeat_after_days, repeat_after_failure_days)
    why = {
        Judged.NOT_MET: "did not meet its hypothesis",
        Judged.STOPPED: "was stopped",
        Judged.INVALID: "is invalid and proves nothing",
    }[result]
    return NextDrill(held_on + timedelta(days=days), f"{days} days after a drill that {why}.")


def out_of_date(pool_size_then: int, pool_size_now: int | None) -> str:
    """Return why the evidence of a drill no longer holds for a pool; "" where its size is the same, or it had no pool."""
    if pool_size_then == 0 or pool_size_then == pool_size_now:
        return ""
    if pool_size_now is None:
        return f"The drill was held with {pool_size_then} servers; how many there are now is not known."
    changed = "grown" if pool_size_now > pool_size_then else "shrunk"
    return f"The evidence is out of date: the pool has {changed} from {pool_size_then} to {pool_size_now} servers since the drill."
