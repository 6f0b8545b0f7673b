"""The drills of one scenario side by side, over time. Pure.

Each is held against the newest earlier one that measured the same thing; where there is none, each reason is said, and no figure is
better or worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from drills import figures
from drills.figures import Change, Figure, Result, Unit
from portal.ui.charts import Point, Series, spoken

CHARTED = ("detected", "acknowledged", "recovered")


@dataclass(frozen=True)
class HeldResult:
    """What one drill came to, and when. `ref` is the drill's; `out_of_date` says why its evidence no longer holds."""

    ref: str
    title: str
    at: datetime
    result: Result
    out_of_date: str = ""

    @property
    def state(self) -> str:
        """The state that pages show of its result."""
        return f"drill_{self.result.verdict.result.value}"


@dataclass(frozen=True)
class Cell:
    """One figure of one drill: what it was, and how it stands beside the one that it is held against. `change` is None without one."""

    figure: Figure
    change: Change | None
    says: str

    @property
    def said(self) -> str:
        """The value as people say it."""
        if self.figure.is_none:
            return "nothing to recover from"
        if self.figure.value is not None and self.figure.unit is Unit.SECONDS:
            return spoken(self.figure.value)
        return figures.said(self.figure.value, self.figure.unit)

    @property
    def state(self) -> str:
        """The state that pages show of the change; "" where nothing is compared."""
        return self.change.value if self.change and self.change is not Change.NOT_COMPARABLE else ""


@dataclass(frozen=True)
class Row:
    """One drill. `against` is the earlier one that it is held against; `why_not` why the one right before it cannot be."""

    held: HeldResult
    against: HeldResult | None
    why_not: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class OverTime:
    """Drills side by side, the newest first. `labels` are the figures that any of them measured or claimed."""

    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    series: tuple[Series, ...]
    charted: int

    @property
    def out_of_date(self) -> str:
        """Why the newest one's evidence no longer holds; "" where it does, or there is none."""
        return self.rows[0].held.out_of_date if self.rows else ""

    @property
    def has_chart(self) -> bool:
        """Whether at least two comparable drills measured the same time."""
        return any(sum(value is not None for _, value in one.points) > 1 for one in self.series)


def over_time(held: Sequence[HeldResult]) -> OverTime:
    """Return drills of one scenario side by side, whatever their order."""
    oldest_first = sorted(held, key=lambda one: (one.at, one.ref))
    shown = [
        name
        for name in figures.LABELS
        if any(
            one.is_known or one.limit is not None
            for row in held
            for one in row.result.figures
            if one.name == name
        )
    ]
    rows = []
    for number, one in enumerate(oldest_first):
        earlier = oldest_first[:number]
        found = next(
            (other for other in reversed(earlier) if figures.compare(other.result, one.result).is_comparable),
            None,
        )
        why_not: tuple[str, ...] = ()
        if found is None and earlier:
            why_not = figures.compare(earlier[-1].result, one.result).why_not
        rows.append(Row(one, found, why_not, tuple(_cells(one, found, shown))))
    alike = _alike(oldest_first)
    return OverTime(
        tuple(figures.LABELS[name] for name in shown), tuple(reversed(rows)), _series(alike), len(alike)
    )


def _cells(one: HeldResult, against: HeldResult | None, shown: Sequence[str]) -> list[Cell]:
    own = {figure.name: figure for figure in one.result.figures}
    compared: Mapping[str, figures.Compared] = {}
    if against is not None:
        compared = {each.name: each for each in figures.compare(against.result, one.result).figures}
    return [
        Cell(
            own[name],
            compared[name].change if name in compared else None,
            compared[name].says if name in compared else "",
        )
        for name in shown
    ]


def _alike(oldest_first: Sequence[HeldResult]) -> list[HeldResult]:
    """Return the drills that measured the same thing as the newest that measured anything."""
    newest = next(
        (one for one in reversed(oldest_first) if figures.compare(one.result, one.result).is_comparable), None
    )
    if newest is None:
        return []
    return [one for one in oldest_first if figures.compare(one.result, newest.result).is_comparable]


def _series(alike: Sequence[HeldResult]) -> tuple[Series, ...]:
    def points(name: str) -> list[Point]:
        return [
            (one.at, figure.value / 60)
            for one in alike
            for figure in one.result.figures
            if figure.name == name and figure.value is not None
        ]

    found = [Series(figures.LABELS[name], points(name), str(tone)) for tone, name in enumerate(CHARTED, 1)]
    return tuple(one for one in found if one.points)
