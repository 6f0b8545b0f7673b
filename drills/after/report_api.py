"""The report of a drill through the API, whole; and the drills of one scenario over time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from drills.after import selectors
from drills.after.api import FINDING, PROPOSAL, TAG, DrillFindingOut, DrillProposalOut
from drills.after.comparing import over_time
from drills.after.evidence import of_moment
from drills.after.report import WholeReport, whole_report
from drills.after.views import held_of
from drills.figures import Change, Lane, Unit
from drills.plans.api import ENVIRONMENTS, KINDS
from drills.plans.models import DrillResult
from drills.plans.selectors import drills_for
from drills.scenarios.types import Role, StepKind
from drills.types import StepState
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import StaleState

LANES = [(one.value, one.value) for one in Lane]
CHANGES = [(one.value, one.value) for one in Change]
UNITS = [(one.value, one.value) for one in Unit]
ROLES = [(one.value, one.value) for one in Role]
STEP_STATES = [(one.value, one.value) for one in StepState]
REPORT: dict[str, Any] = {
    "drill": FINDING["drill"],
    "run": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c014",
    "title": "One node lost",
    "with_names": False,
    "result": "drill_not_met",
    "reasons": ["Recovered: 22 minutes; 15 minutes may be."],
    "began_at": "2026-12-01T09:05:00Z",
    "ended_at": "2026-12-01T09:40:00Z",
    "out_of_date": "",
    "next_on": "2027-01-01",
    "next_says": "31 days after a drill that did not meet its hypothesis.",
    "plan": {
        "digest": "5f" * 32,
        "scenario_key": "node_lost",
        "scenario_title": "A node is lost from the load balancer",
        "scenario_version": 0,
        "kind": "announced",
        "environment": "test",
        "objective": "With one server lost nobody notices.",
        "what_happens": "web-06 is taken out of the load balancer for 2 min, then put back.",
        "undo": "The node goes back.",
        "emergency_plan": "Page 3 of the runbook.",
        "completeness": "",
        "pool_size": 6,
        "targets": [{"server_id": "369301cd-7e85-4584-bd79-8aa0777907a3", "name": "web-06"}],
        "hypothesis": {
            "error_ratio": 0.01,
            "p95_ms": None,
            "acknowledged_s": 300.0,
            "informed_s": None,
            "mitigated_s": None,
            "recovered_s": 900.0,
            "data_lost_s": None,
        },
    },
    "steps": [
        {
            "number": 1,
            "title": "Open the drill",
            "kind": "talk",
            "role": "facilitator",
            "state": "step_done",
            "began_at": "2026-12-01T09:05:00Z",
            "ended_at": "2026-12-01T09:06:00Z",
        }
    ],
    "figures": [
        {
            "name": "recovered",
            "title": "Recovered",
            "value": 1320.0,
            "unit": "s",
            "limit": 900.0,
            "met": False,
            "is_known": True,
            "says": FINDING["evidence_says"].removeprefix("Recovered: "),
            "role": None,
            "by_name": "",
        }
    ],
    "axis": [
        {
            "key": "moment:injected:2026-12-01T09:06:00+00:00",
            "at": "2026-12-01T09:06:00Z",
            "after_s": 0.0,
            "lane": "systems",
            "kind": "injected",
            "says": "The disruption begins, with web-06.",
            "role": None,
            "by_name": "",
        }
    ],
    "findings": [FINDING],
    "proposals": [PROPOSAL],
    "open_actions": 1,
    "journal": [
        {
            "seq": 1,
            "at": "2026-12-01T09:05:00Z",
            "kind": "note",
            "says": "The drill begins.",
        }
    ],
}
OVER_TIME: dict[str, Any] = {
    "scenario_key": "node_lost",
    "drills": [
        {
            "drill": FINDING["drill"],
            "title": "One node lost",
            "ended_at": "2026-12-01T09:40:00Z",
            "kind": "announced",
            "environment": "test",
            "targets": 1,
            "pool_size": 6,
            "result": "drill_not_met",
            "out_of_date": "",
            "against": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c018",
            "why_not": [],
            "figures": [
                {
                    "name": "recovered",
                    "title": "Recovered",
                    "unit": "s",
                    "value": 1320.0,
                    "limit": 900.0,
                    "met": False,
                    "change": "worse",
                    "says": "12 minutes then, 22 minutes now.",
                }
            ],
        }
    ],
}


class DrillLimitsOut(serializers.Serializer[Any]):
    """What was claimed; null is not claimed."""

    error_ratio = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    acknowledged_s = serializers.FloatField(allow_null=True)
    informed_s = serializers.FloatField(allow_null=True)
    mitigated_s = serializers.FloatField(allow_null=True)
    recovered_s = serializers.FloatField(allow_null=True)
    data_lost_s = serializers.FloatField(allow_null=True)


class DrillReportTargetOut(serializers.Serializer[Any]):
    """One server that the drill was about."""

    server_id = serializers.CharField()
    name = serializers.CharField()


class DrillReportPlanOut(serializers.Serializer[Any]):
    """The plan as it was approved, named by its digest."""

    digest = serializers.CharField()
    scenario_key = serializers.CharField()
    scenario_title = serializers.CharField()
    scenario_version = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=KINDS)
    environment = serializers.ChoiceField(choices=ENVIRONMENTS)
    objective = serializers.CharField()
    what_happens = serializers.CharField()
    undo = serializers.CharField()
    emergency_plan = serializers.CharField()
    completeness = serializers.CharField(allow_blank=True)
    pool_size = serializers.IntegerField()
    targets = DrillReportTargetOut(many=True)
    hypothesis = DrillLimitsOut()


class DrillReportStepOut(serializers.Serializer[Any]):
    """One step of the script, as far as it came."""

    number = serializers.IntegerField()
    title = serializers.CharField()
    kind = serializers.ChoiceField(choices=[(one.value, one.value) for one in StepKind])
    role = serializers.ChoiceField(choices=ROLES)
    state = serializers.ChoiceField(choices=STEP_STATES)
    began_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class DrillReportFigureOut(serializers.Serializer[Any]):
    """One thing measured, from the first injection on. `met` null: nothing claimed, or not known."""

    name = serializers.CharField()
    title = serializers.CharField(source="label")
    value = serializers.FloatField(allow_null=True)
    unit = serializers.ChoiceField(choices=UNITS, source="unit.value")
    limit = serializers.FloatField(allow_null=True)
    met = serializers.BooleanField(allow_null=True)
    is_known = serializers.BooleanField()
    says = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES, source="role.value", allow_null=True, default=None)
    by_name = serializers.CharField()


class DrillReportMomentOut(serializers.Serializer[Any]):
    """One moment on the axis of people and systems; `key` names it as evidence."""

    key = serializers.CharField()
    at = serializers.DateTimeField()
    after_s = serializers.FloatField(allow_null=True)
    lane = serializers.ChoiceField(choices=LANES)
    kind = serializers.CharField()
    says = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES, allow_null=True)
    by_name = serializers.CharField()


class DrillReportLineOut(serializers.Serializer[Any]):
    """One line of the journal."""

    seq = serializers.IntegerField()
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    says = serializers.CharField()


class DrillReportOut(serializers.Serializer[Any]):
    """The whole report. Roles always; names (`by_name`, in texts) only where `with_names` says that the caller may read them."""

    drill = serializers.UUIDField()
    run = serializers.UUIDField()
    title = serializers.CharField()
    with_names = serializers.BooleanField()
    result = serializers.ChoiceField(choices=DrillResult.choices)
    reasons = serializers.ListField(child=serializers.CharField())
    began_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    out_of_date = serializers.CharField()
    next_on = serializers.DateField(allow_null=True)
    next_says = serializers.CharField()
    plan = DrillReportPlanOut()
    steps = DrillReportStepOut(many=True)
    figures = DrillReportFigureOut(many=True)
    axis = DrillReportMomentOut(many=True)
    findings = DrillFindingOut(many=True)
    proposals = DrillProposalOut(many=True)
    open_actions = serializers.IntegerField()
    journal = DrillReportLineOut(many=True)


def plain_report(whole: WholeReport) -> dict[str, Any]:
    """Return a report as `DrillReportOut` takes it."""
    held, report = whole.held, whole.report
    drill, plan = held.drill, report.plan
    return {
        "drill": drill.ref,
        "run": held.run.ref,
        "title": drill.title,
        "with_names": report.with_names,
        "result": held.result,
        "reasons": held.reasons,
        "began_at": held.began_at,
        "ended_at": held.ended_at,
        "out_of_date": whole.out_of_date,
        "next_on": report.next.on if report.next else None,
        "next_says": report.next.says if report.next else "",
        "plan": {
            "digest": drill.digest,
            "scenario_key": plan.scenario_key,
            "scenario_title": plan.scenario_title,
            "scenario_version": plan.scenario_version,
            "kind": plan.kind.value,
            "environment": plan.environment.value,
            "objective": plan.objective,
            "what_happens": report.words,
            "undo": plan.undo,
            "emergency_plan": plan.emergency_plan,
            "completeness": plan.completeness,
            "pool_size": plan.pool_size,
            "targets": plan.targets,
            "hypothesis": plan.hypothesis,
        },
        "steps": [
            {
                "number": planned.number,
                "title": planned.title,
                "kind": planned.kind.value,
                "role": planned.role.value,
                "state": way.state.value,
                "began_at": way.began_at,
                "ended_at": way.ended_at,
            }
            for planned, way in zip(plan.steps, report.progress.steps, strict=True)
        ],
        "figures": report.measured,
        "axis": [
            {
                "key": of_moment(one).key,
                "at": one.at,
                "after_s": one.after_s,
                "lane": one.lane.value,
                "kind": one.kind,
                "says": one.says,
                "role": one.role.value if one.role else None,
                "by_name": one.by_name,
            }
            for one in report.axis
        ],
        "findings": whole.findings,
        "proposals": whole.proposals,
        "open_actions": whole.still_open,
        "journal": report.journal,
    }


class DrillReportApi(PortalAPIView):
    """What became of a drill."""

    permission = Permission.DRILL_VIEW

    @documented(
        "drills_report", DrillReportOut, summary="Read the report of a fire drill", example=REPORT, tag=TAG
    )
    def get(self, request: Request, drill_ref: UUID) -> Response:
        """Plan, result with reasons, figures, axis, findings with what is done about them, journal; 409 until it is over."""
        held = held_of(self.find(drills_for(self.user), drill_ref))
        if not held.result:
            raise StaleState("This drill is not over. Read how it stands at `/run`.", code="not_over")
        return Response(DrillReportOut(plain_report(whole_report(held, self.user))).data)


class DrillComparedFigureOut(serializers.Serializer[Any]):
    """One figure of one drill. `change` is null where it is held against none."""

    name = serializers.CharField(source="figure.name")
    title = serializers.CharField(source="figure.label")
    unit = serializers.ChoiceField(choices=UNITS, source="figure.unit.value")
    value = serializers.FloatField(source="figure.value", allow_null=True)
    limit = serializers.FloatField(source="figure.limit", allow_null=True)
    met = serializers.BooleanField(source="figure.met", allow_null=True)
    change = serializers.ChoiceField(choices=CHANGES, source="change.value", allow_null=True, default=None)
    says = serializers.CharField()


class DrillComparedOut(serializers.Serializer[Any]):
    """One drill of the scenario. `against` is the earlier one that it is held against; `why_not` why the one right before cannot be."""

    drill = serializers.UUIDField(source="held.ref")
    title = serializers.CharField(source="held.title")
    ended_at = serializers.DateTimeField(source="held.at")
    kind = serializers.ChoiceField(choices=KINDS, source="held.result.kind.value")
    environment = serializers.ChoiceField(choices=ENVIRONMENTS, source="held.result.environment.value")
    targets = serializers.IntegerField(source="held.result.targets")
    pool_size = serializers.IntegerField(source="held.result.pool_size")
    result = serializers.ChoiceField(choices=DrillResult.choices, source="held.state")
    out_of_date = serializers.CharField(source="held.out_of_date")
    against = serializers.UUIDField(source="against.ref", allow_null=True, default=None)
    why_not = serializers.ListField(child=serializers.CharField())
    figures = DrillComparedFigureOut(source="cells", many=True)


class DrillOverTimeOut(serializers.Serializer[Any]):
    """The drills of one scenario side by side, the newest first."""

    scenario_key = serializers.CharField()
    drills = DrillComparedOut(source="rows", many=True)


class DrillsOverTimeApi(PortalAPIView):
    """Drills of one scenario over time."""

    permission = Permission.DRILL_VIEW

    @documented(
        "drills_over_time",
        DrillOverTimeOut,
        summary="Compare the fire drills of one scenario over time",
        example=OVER_TIME,
        tag=TAG,
    )
    def get(self, request: Request, account_ref: UUID, drill_scenario: str) -> Response:
        """At most the newest twelve that are over; each held against the newest earlier one that measured the same thing."""
        account = self.find(Account, account_ref)
        found = over_time(selectors.held_of_scenario(account, drill_scenario, self.user))
        return Response(DrillOverTimeOut({"scenario_key": drill_scenario, "rows": found.rows}).data)
