"""What a finding rests on: a figure, a moment of the axis, a line of the journal, or words. Pure.

A key names it (`figure:recovered`, `moment:acknowledged:2026-12-01T09:07:00+00:00`, `journal:17`), so that a form or a caller can
choose it; what it says is frozen with the finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from drills.figures import Figure, Moment


@dataclass(frozen=True)
class Evidence:
    """What a finding rests on, in words. `key` is "" where somebody said it in words alone."""

    key: str
    says: str
    at: datetime | None = None


class Line(Protocol):
    """A line of a journal."""

    seq: int
    at: datetime
    says: str


def of_figure(figure: Figure) -> Evidence:
    """Return a figure as evidence."""
    return Evidence(f"figure:{figure.name}", f"{figure.label}: {figure.says}")


def of_moment(moment: Moment) -> Evidence:
    """Return a moment of the axis as evidence."""
    return Evidence(f"moment:{moment.kind}:{moment.at.isoformat()}", moment.says, moment.at)


def of_line(line: Line) -> Evidence:
    """Return a line of the journal as evidence."""
    return Evidence(f"journal:{line.seq}", line.says, line.at)


def chosen_from(
    key: str, measured: Iterable[Figure], axis: Iterable[Moment], journal: Iterable[Line]
) -> Evidence | None:
    """Return the evidence of this key among what a drill has; None where it has no such."""
    for found in (
        *map(of_figure, measured),
        *map(of_moment, axis),
        *map(of_line, journal),
    ):
        if found.key == key:
            return found
    return None
