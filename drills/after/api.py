"""What follows a drill through the API: findings, and what somebody is to do about them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.reviews import examples
from accounts.reviews.api import action_fields
from accounts.reviews.origins import with_origins
from accounts.reviews.serializers import ActionIn, ActionOut
from drills.after import selectors, services
from drills.after.models import DrillFinding, FindingSeverity
from drills.after.report import whole_report
from drills.after.services import LONGEST_EVIDENCE, LONGEST_TEXT
from drills.after.views import held_of
from drills.plans.selectors import drills_for, may_read_names
from portal.access import Permission
from portal.api import PortalAPIView, documented

TAG = "drills"
DRILL_REF = "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c010"
FINDING: dict[str, Any] = {
    "ref": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c020",
    "drill": DRILL_REF,
    "severity": "major",
    "text": "Recovered: 22 minutes were measured, 15 minutes may be.",
    "evidence": "figure:recovered",
    "evidence_says": "Recovered: After 22 minutes the probes were inside the hypothesis, and stayed so.",
    "evidence_at": None,
    "proposal": "missed_recovered",
    "noted_by": "an observer",
    "noted_at": "2026-12-01T10:05:00Z",
    "updated_at": "2026-12-01T10:05:00Z",
    "withdrawn_at": None,
    "withdrawn_because": "",
    "actions": [
        {
            "ref": examples.ACTION["ref"],
            "title": "Warm the cache before a node goes back",
            "due_on": "2026-12-14",
            "state": "open",
        }
    ],
}
FINDING_IN: dict[str, Any] = {
    "severity": "minor",
    "text": "The runbook names a balancer that is gone.",
    "evidence": "",
    "evidence_says": "Page 3 of the runbook.",
}
PROPOSAL: dict[str, Any] = {
    "key": "missed_recovered",
    "severity": "major",
    "text": FINDING["text"],
    "evidence": "figure:recovered",
    "evidence_says": FINDING["evidence_says"],
}


class DrillFindingActionOut(serializers.Serializer[Any]):
    """An action item out of a finding; the whole of it is at `/actions/{ref}`."""

    ref = serializers.UUIDField()
    title = serializers.CharField()
    due_on = serializers.DateField()
    state = serializers.CharField()


class DrillFindingOut(serializers.ModelSerializer[DrillFinding]):
    """A finding. `evidence` names a figure, a moment or a line of the journal; `noted_by` is a role for who is not told names."""

    drill = serializers.UUIDField(source="held.drill.ref")
    severity = serializers.ChoiceField(choices=FindingSeverity.choices)
    evidence = serializers.CharField(source="evidence_key")
    proposal = serializers.CharField(source="proposal_key")
    noted_by = serializers.CharField(source="by")
    actions = DrillFindingActionOut(many=True)

    class Meta:
        model = DrillFinding
        fields = (*FINDING,)


class DrillFindingIn(serializers.Serializer[Any]):
    """What was found. `evidence`: `figure:…`, `moment:…` or `journal:…` as the report has them, or words in `evidence_says`."""

    severity = serializers.ChoiceField(choices=FindingSeverity.choices)
    text = serializers.CharField(max_length=LONGEST_TEXT)
    evidence = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    evidence_says = serializers.CharField(
        max_length=LONGEST_EVIDENCE, required=False, allow_blank=True, default=""
    )


class DrillFindingWithdrawIn(serializers.Serializer[Any]):
    """Why it is withdrawn."""

    reason = serializers.CharField(max_length=1000)


class DrillProposalOut(serializers.Serializer[Any]):
    """A finding that the figures prove by themselves. Taken over by its `key`, as it stands."""

    key = serializers.CharField()
    severity = serializers.ChoiceField(choices=FindingSeverity.choices)
    text = serializers.CharField()
    evidence = serializers.CharField(source="evidence.key")
    evidence_says = serializers.CharField(source="evidence.says")


class DrillProposalsOut(serializers.Serializer[Any]):
    """What the figures propose and nobody has taken over yet."""

    proposals = DrillProposalOut(many=True)


class DrillTakeOverIn(serializers.Serializer[Any]):
    """Which proposal is taken over."""

    key = serializers.CharField(max_length=40)


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "severity": data["severity"],
        "text": data["text"],
        "evidence_key": data["evidence"],
        "evidence_says": data["evidence_says"],
    }


class FindingView(PortalAPIView, abstract=True):
    """What the addresses of findings share."""

    def shown(self, finding: DrillFinding, *, status: int = 200) -> Response:
        """Answer with a finding as the caller may read it."""
        row = selectors.findings().get(pk=finding.pk)
        with_names = may_read_names(row.held.drill, self.user)
        return self.show(DrillFindingOut, selectors.dressed([row], with_names=with_names)[0], status=status)


class FindingListApi(FindingView):
    """Findings of a drill."""

    permission = Permission.DRILL_VIEW
    write_permission = Permission.DRILL_NOTE

    @documented(
        "drill_findings_list",
        DrillFindingOut,
        summary="List the findings of a fire drill",
        paged=True,
        example=FINDING,
        tag=TAG,
    )
    def get(self, request: Request, drill_ref: UUID) -> Response:
        """The newest first, withdrawn ones too."""
        drill = self.find(drills_for(self.user), drill_ref)
        with_names = may_read_names(drill, self.user)
        return self.page(
            selectors.findings().filter(held__drill=drill),
            DrillFindingOut,
            shown=lambda rows: selectors.dressed(rows, with_names=with_names),
        )

    @documented(
        "drill_findings_add",
        DrillFindingOut,
        summary="Write down a finding of a fire drill",
        request=DrillFindingIn,
        status=201,
        once=True,
        example={**FINDING, "actions": [], "proposal": ""},
        request_example=FINDING_IN,
        tag=TAG,
    )
    def post(self, request: Request, drill_ref: UUID) -> Response:
        """While it runs, or afterwards; 404 before it has begun."""
        held = held_of(self.find(drills_for(self.user), drill_ref))
        data = self.read(DrillFindingIn)
        return self.once(lambda: self.shown(services.add(held, actor=self.user, **_typed(data)), status=201))


class ProposalListApi(FindingView):
    """What the figures of a drill propose."""

    permission = Permission.DRILL_VIEW
    write_permission = Permission.DRILL_NOTE

    @documented(
        "drill_findings_proposed",
        DrillProposalsOut,
        summary="Read which findings the figures of a fire drill propose",
        example={"proposals": [PROPOSAL]},
        tag=TAG,
    )
    def get(self, request: Request, drill_ref: UUID) -> Response:
        """Those that nobody has taken over; none while it runs."""
        held = held_of(self.find(drills_for(self.user), drill_ref))
        whole = whole_report(held, self.user)
        return Response(DrillProposalsOut({"proposals": whole.proposals}).data)

    @documented(
        "drill_findings_take_over",
        DrillFindingOut,
        summary="Take over a finding that the figures propose",
        request=DrillTakeOverIn,
        status=201,
        once=True,
        example={**FINDING, "actions": []},
        request_example={"key": "missed_recovered"},
        tag=TAG,
    )
    def post(self, request: Request, drill_ref: UUID) -> Response:
        """As it stands. Asked for again, the same one is answered."""
        held = held_of(self.find(drills_for(self.user), drill_ref))
        key = self.read(DrillTakeOverIn)["key"]
        return self.once(lambda: self.shown(services.take_over(held, key, actor=self.user), status=201))


class FindingApi(FindingView):
    """One finding."""

    permission = Permission.DRILL_VIEW
    write_permission = Permission.DRILL_NOTE

    @documented("drill_findings_read", DrillFindingOut, summary="Read a finding", example=FINDING, tag=TAG)
    def get(self, request: Request, finding_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.shown(self.find(selectors.findings_for(self.user), finding_ref))

    @documented(
        "drill_findings_change",
        DrillFindingOut,
        summary="Change a finding",
        request=DrillFindingIn,
        if_match=True,
        example=FINDING,
        request_example=FINDING_IN,
        tag=TAG,
    )
    def put(self, request: Request, finding_ref: UUID) -> Response:
        """All of it anew, by who wrote it or leads drills. What stood there stays on the record."""
        finding = self.find(selectors.findings_for(self.user), finding_ref)
        data = self.read(DrillFindingIn)

        def effect() -> Response:
            self.match(DrillFinding.objects.select_for_update(of=("self",)).get(pk=finding.pk))
            return self.shown(services.change(finding, actor=self.user, **_typed(data)))

        return self.once(effect)


class FindingWithdrawApi(FindingView):
    """Take a finding back."""

    permission = Permission.DRILL_NOTE

    @documented(
        "drill_findings_withdraw",
        DrillFindingOut,
        summary="Withdraw a finding",
        request=DrillFindingWithdrawIn,
        once=True,
        example={
            **FINDING,
            "withdrawn_at": "2026-12-02T08:00:00Z",
            "withdrawn_because": "The clock of the probe was wrong.",
        },
        request_example={"reason": "The clock of the probe was wrong."},
        tag=TAG,
    )
    def post(self, request: Request, finding_ref: UUID) -> Response:
        """It stays to be read, with the reason; its action items stay as they are."""
        finding = self.find(selectors.findings_for(self.user), finding_ref)
        reason = self.read(DrillFindingWithdrawIn)["reason"]
        return self.once(lambda: self.shown(services.withdraw(finding, reason=reason, actor=self.user)))


class FindingActionApi(FindingView):
    """Give somebody something to do about a finding."""

    permission = Permission.ACTION_EDIT

    @documented(
        "drill_findings_act",
        ActionOut,
        summary="Make an action item out of a finding",
        request=ActionIn,
        status=201,
        once=True,
        example=examples.ACTION,
        request_example=examples.ACTION_IN,
        tag=TAG,
    )
    def post(self, request: Request, finding_ref: UUID) -> Response:
        """An action item as every other: its owner is reminded until it is closed, and it is carried into reviews."""
        finding = self.find(selectors.findings_for(self.user), finding_ref)
        wanted = action_fields(self.account, self.read(ActionIn))

        def effect() -> Response:
            made = services.give_action(finding, wanted, actor=self.user)
            return self.show(ActionOut, with_origins([made], self.user)[0], status=201)

        return self.once(effect)
