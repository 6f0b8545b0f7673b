"""Pages of scale-down: read input, call one service or selector, choose the answer.

What needs the provider reads it before a service's transaction begins. A refusal comes back on the page that
was filled in, with everything that was typed.
"""

from __future__ import annotations

from scaledown.views.around import (
    Protected,
    ProtectedLift,
    RecordDetail,
    RecordList,
    StandstillLift,
    StandstillPage,
)
from scaledown.views.charge import HandoverAnswer, RunCharge
from scaledown.views.costs import EventCosts, EventCostsCsv
from scaledown.views.growths import GrowthApprove, GrowthDetail, GrowthReject, GrowthWithdraw, RunGrow
from scaledown.views.path import PlanNew, PlanPool, PlanPreview, PlanPurpose, PlanSafety, PlanSubmit
from scaledown.views.plans import (
    PlanApprove,
    PlanCopy,
    PlanDetail,
    PlanLess,
    PlanList,
    PlanRehearse,
    PlanReject,
    PlanStart,
    PlanVoid,
)
from scaledown.views.runs import (
    RunCommandPage,
    RunDetail,
    RunJournal,
    RunLesson,
    RunReport,
    RunStream,
)

__all__ = [
    "EventCosts",
    "EventCostsCsv",
    "GrowthApprove",
    "GrowthDetail",
    "GrowthReject",
    "GrowthWithdraw",
    "HandoverAnswer",
    "PlanApprove",
    "PlanCopy",
    "PlanDetail",
    "PlanLess",
    "PlanList",
    "PlanNew",
    "PlanPool",
    "PlanPreview",
    "PlanPurpose",
    "PlanRehearse",
    "PlanReject",
    "PlanSafety",
    "PlanStart",
    "PlanSubmit",
    "PlanVoid",
    "Protected",
    "ProtectedLift",
    "RecordDetail",
    "RecordList",
    "RunCharge",
    "RunCommandPage",
    "RunDetail",
    "RunGrow",
    "RunJournal",
    "RunLesson",
    "RunReport",
    "RunStream",
    "StandstillLift",
    "StandstillPage",
]
