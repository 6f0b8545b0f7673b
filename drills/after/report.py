"""The whole of what became of a drill, as page, JSON and PDF show it: one value, read once, for one reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import User
from drills.after import selectors
from drills.after.axis import Axis, axis_of
from drills.after.freshness import out_of_date
from drills.after.models import DrillFinding
from drills.after.proposals import Proposal
from drills.plans.models import HeldDrill
from drills.plans.selectors import Report, report_of
from portal.runs.types import RunStatus


@dataclass(frozen=True)
class WholeReport:
    """A report with its findings."""

    held: HeldDrill
    report: Report
    findings: Sequence[DrillFinding]
    proposals: Sequence[Proposal]
    out_of_date: str = ""

    @property
    def axis(self) -> Axis:
        """People and systems on one axis, numbered."""
        return axis_of(self.report.plan, self.report.axis)

    @property
    def in_force(self) -> list[DrillFinding]:
        """The findings that were not withdrawn."""
        return [one for one in self.findings if one.withdrawn_at is None]

    @property
    def still_open(self) -> int:
        """How many action items out of it are open."""
        return selectors.still_open(self.findings)


def whole_report(held: HeldDrill, reader: User) -> WholeReport:
    """Return the report of a drill for a reader: roles always, names where they may. At most 14 queries."""
    report = report_of(held, reader)
    rows = selectors.findings_of(held, with_names=report.with_names)
    return WholeReport(
        held,
        report,
        rows,
        selectors.proposals_of(rows, report.plan, report.progress, RunStatus(held.run.status)),
        out_of_date([held]).get(held.pk, ""),
    )
