"""The findings that a drill's figures prove by themselves. Pure: a person takes one over as it stands, or leaves it.

    proposed(plan, progress, status) -> (Proposal("missed_recovered", "major", "Recovered: …", evidence), …)

Each has a key that is the same however often it is asked, so that none is taken over twice. What they say names roles, never people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drills import figures
from drills.after.evidence import Evidence, of_figure, of_moment
from drills.figures import Figure, Judged, Verdict
from drills.scenarios.types import DrillKind
from drills.types import DrillPlan, Ending, Progress
from portal.runs.types import RunStatus


@dataclass(frozen=True)
class Proposal:
    """A finding that nobody has to type. `severity` is one of `models.FindingSeverity`."""

    key: str
    severity: str
    text: str
    evidence: Evidence

    @property
    def state(self) -> str:
        """The state that pages show."""
        return f"finding_{self.severity}"


_ENDINGS = {
    Ending.STOP_CONDITION: (
        "stop_condition",
        "major",
        "A stop condition held, so the disruption was undone.",
    ),
    Ending.NOT_COME_BACK: ("not_come_back", "critical", "A server did not come back by itself."),
    Ending.LOST_SIGHT: ("lost_sight", "major", "The pool could not be seen any more while it was disrupted."),
    Ending.REFUSED: ("refused", "minor", "The provider refused the disruption."),
}
# What is lost for good weighs more than what came late.
_CRITICAL = frozenset({"data_lost", "complete"})


def proposed(plan: DrillPlan, progress: Progress, status: RunStatus) -> tuple[Proposal, ...]:
    """Return what the figures of a drill that is over prove; nothing for one that proves nothing."""
    verdict = figures.verdict_of(plan, progress, status)
    if verdict is None or progress.injected_at is None or verdict.result is Judged.INVALID:
        return ()
    measured = figures.figures_of(plan, progress)
    return (
        *_by_ending(plan, progress, verdict),
        *_nobody(plan, progress, measured),
        *(found for one in measured for found in _of(one, verdict)),
        *_held(measured, verdict),
    )


def _by_ending(plan: DrillPlan, progress: Progress, verdict: Verdict) -> Iterable[Proposal]:
    known = _ENDINGS.get(progress.ending) if progress.ending is not None else None
    if known is None:
        return
    key, severity, says = known
    last = figures.axis(plan, progress)[-1]
    yield Proposal(key, severity, f"{says} {verdict.reasons[0]}".strip(), of_moment(last))


def _is_silent(plan: DrillPlan, progress: Progress, measured: Iterable[Figure]) -> bool:
    """Whether nobody answered who had the time to: a drill that was cut short before the limit says nothing of it."""
    figure = next(one for one in measured if one.name == "acknowledged")
    if figure.value is not None or plan.kind is DrillKind.TABLE_TOP:
        return False
    if figure.limit is None:
        return plan.calling is not None and progress.ending is None
    since, end = progress.injected_at, progress.ended_at
    return since is not None and end is not None and (end - since).total_seconds() > figure.limit


def _nobody(plan: DrillPlan, progress: Progress, measured: tuple[Figure, ...]) -> Iterable[Proposal]:
    if not _is_silent(plan, progress, measured):
        return
    figure = next(one for one in measured if one.name == "acknowledged")
    after = "" if figure.limit is None else f" within {figures.said(figure.limit, figure.unit)}"
    yield Proposal("nobody_acknowledged", "critical", f"Nobody acknowledged{after}.", of_figure(figure))


def _of(figure: Figure, verdict: Verdict) -> Iterable[Proposal]:
    if figure.limit is None:
        return
    limit = figures.said(figure.limit, figure.unit)
    if figure.met is False:
        severity = "critical" if figure.name in _CRITICAL else "major"
        measured = figures.said(figure.value, figure.unit)
        said = (
            figure.says
            if figure.value is None or figure.name == "complete"
            else f"{measured} were measured, {limit} may be."
        )
        yield Proposal(f"missed_{figure.name}", severity, f"{figure.label}: {said}", of_figure(figure))
    elif figure.met is None and figure.name != "acknowledged" and verdict.result is Judged.NOT_MET:
        # A drill that was cut short had no time to measure it.
        says = f"{figure.label}: at most {limit} was claimed, and it could not be measured."
        if figure.name == "complete":
            says = f"{figure.label}: {figure.says}"
        yield Proposal(f"unmeasured_{figure.name}", "minor", says, of_figure(figure))


def _held(measured: tuple[Figure, ...], verdict: Verdict) -> Iterable[Proposal]:
    good = [one for one in measured if one.met]
    if not good or verdict.result is Judged.STOPPED:
        return
    listed = ", ".join(one.label[0].lower() + one.label[1:] for one in good)
    yield Proposal("held", "good", f"Inside what was claimed: {listed}.", of_figure(good[0]))
