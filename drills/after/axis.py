"""People and systems on one axis, as the chart and the table beside it show them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from drills.figures import Lane, Moment
from drills.types import DrillPlan, MarkKind
from portal.ui.charts import TimedDot, TimedLane

_TONES = {"injected": "bad", "undone": "good", "recovered": "good", "mitigated": "good", "usable": "good"}


@dataclass(frozen=True)
class AxisRow:
    """One moment with its number in chart and table."""

    number: int
    moment: Moment


@dataclass(frozen=True)
class Axis:
    """The axis of one drill. `span` is how long something was disrupted, in seconds of the axis; None where it is not known."""

    rows: Sequence[AxisRow]
    lanes: Sequence[TimedLane]
    zero_label: str
    span: tuple[float, float] | None


def axis_of(plan: DrillPlan, moments: Sequence[Moment]) -> Axis:
    """Return the axis of a drill. Where nothing was disrupted times count from its first moment."""
    rows = [AxisRow(number, one) for number, one in enumerate(moments, 1)]
    is_injected = any(one.after_s is not None for one in moments)
    first = moments[0].at if moments else None

    def place(one: Moment) -> float:
        return one.after_s if one.after_s is not None else _since(one, first)

    def dots(lane: Lane) -> list[TimedDot]:
        return [
            TimedDot(place(row.moment), row.number, row.moment.says, _TONES.get(row.moment.kind, "1"))
            for row in rows
            if row.moment.lane is lane
        ]

    limits = plan.hypothesis
    undone = [one.after_s for one in moments if one.kind == MarkKind.UNDONE and one.after_s is not None]
    return Axis(
        rows,
        (
            TimedLane(
                "People",
                dots(Lane.PEOPLE),
                limits.acknowledged_s if is_injected else None,
                "acknowledged by here",
            ),
            TimedLane(
                "Systems",
                dots(Lane.SYSTEMS),
                limits.recovered_s if is_injected else None,
                "recovered by here",
            ),
        ),
        "from the disruption" if is_injected else "from the beginning",
        (0.0, max(undone)) if undone else None,
    )


def _since(one: Moment, first: datetime | None) -> float:
    return 0.0 if first is None else (one.at - first).total_seconds()
