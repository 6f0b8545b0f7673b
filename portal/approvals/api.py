"""Approvals through the API: list, read, approve, reject."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.apps import apps
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import Permission, holds_provider_side
from portal.api import PortalAPIView, documented
from portal.approvals.models import ApprovalDecision, ApprovalRequest, ApprovalStatus, Side, Verdict
from portal.approvals.services import decide, rests_on_removed
from portal.errors import Refused
from portal.untold import refs_untold


class DecisionOut(serializers.ModelSerializer[ApprovalDecision]):
    """What one person said for one side."""

    class Meta:
        model = ApprovalDecision
        fields = ("ref", "side", "decision", "digest", "by_name", "role", "rests_on", "reason", "at")


class ApprovalOut(serializers.ModelSerializer[ApprovalRequest]):
    """What waits for a yes. `digest` is what one approves; `waiting_for` the sides that have not said yes.

    `lessened_from` are the digests of what it was before it was made less: a decision of one of them stands.
    """

    account = serializers.UUIDField(source="account.ref")
    author_name = serializers.CharField(source="author.name")
    sides = serializers.ListField(child=serializers.ChoiceField(choices=Side.choices))
    decisions = DecisionOut(many=True)
    waiting_for = serializers.SerializerMethodField()
    rests_on_removed = serializers.SerializerMethodField()

    class Meta:
        model = ApprovalRequest
        fields = (
            "ref",
            "account",
            "subject_type",
            "subject_ref",
            "title",
            "digest",
            "lessened_from",
            "status",
            "sides",
            "waiting_for",
            "rests_on_removed",
            "author_name",
            "created_at",
            "expires_at",
            "closed_at",
            "closed_reason",
            "decisions",
        )

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=Side.choices)))
    def get_waiting_for(self, request: ApprovalRequest) -> list[str]:
        """Return the sides whose yes is missing; none unless it is open."""
        if request.status != ApprovalStatus.OPEN:
            return []
        given = {d.side for d in request.decisions.all() if d.decision == Verdict.APPROVE}
        return [side for side in request.sides if side not in given]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_rests_on_removed(self, request: ApprovalRequest) -> list[str]:
        """Return the names of approvers who have lost the role since."""
        return list(rests_on_removed(request)) if self.context.get("in_full") else []


class DecisionIn(serializers.Serializer[Any]):
    """A decision about exactly what was shown. `side` is found from your role if not given."""

    digest = serializers.RegexField(r"^[0-9a-f]{64}$")
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)
    side = serializers.ChoiceField(choices=Side.choices, required=False)


EXAMPLE: dict[str, Any] = {
    "ref": "3c9d5f4e-8f43-4a1c-9e36-6d0e5b9d2a10",
    "account": "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11",
    "subject_type": "scaledown.plan",
    "subject_ref": "aa6cb0b5-8a6e-4f0f-93ad-0f5a7ef4c8b1",
    "title": "Shop: 6 servers to 3",
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "lessened_from": [],
    "status": "open",
    "sides": ["provider", "customer"],
    "waiting_for": ["customer"],
    "rests_on_removed": [],
    "author_name": "Jonas Berg",
    "created_at": "2026-11-23T12:10:00Z",
    "expires_at": None,
    "closed_at": None,
    "closed_reason": "",
    "decisions": [
        {
            "ref": "5b0d6c7e-1f2a-4b3c-8d4e-5f6071829304",
            "side": "provider",
            "decision": "approve",
            "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "by_name": "Jonas Berg",
            "role": "launch_manager",
            "rests_on": "",
            "reason": "",
            "at": "2026-11-23T12:10:00Z",
        }
    ],
}
IN_EXAMPLE = {"digest": EXAMPLE["digest"], "reason": "Agreed on the phone with operations."}


def _rows(user: Any) -> Any:
    rows = ApprovalRequest.objects.select_related("account", "author").prefetch_related("decisions__by")
    untold = refs_untold(user)
    return rows.exclude(ref__in=untold) if untold else rows


class ApprovalListApi(PortalAPIView):
    """Approvals of all accounts that you see."""

    permission = Permission.PLAN_VIEW

    @documented(
        "approvals_list",
        ApprovalOut,
        summary="List approvals, those waiting included",
        paged=True,
        example=EXAMPLE,
        tag="approvals",
        parameters=[
            OpenApiParameter("status", enum=ApprovalStatus.values, description="Only with this status."),
            OpenApiParameter("account", description="Only of this account (its ref)."),
        ],
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        rows = self.visible(_rows(self.user))
        status, account_ref = request.query_params.get("status", ""), request.query_params.get("account", "")
        if status:
            if status not in ApprovalStatus.values:
                raise Refused(f"`status` is one of {', '.join(ApprovalStatus.values)}.", code="bad_filter")
            rows = rows.filter(status=status)
        if account_ref:
            account = self.find(apps.get_model("accounts", "Account"), account_ref)
            rows = rows.filter(account=account)
        return self.page(rows, ApprovalOut, filters={"status": status, "account": account_ref})


class ApprovalApi(PortalAPIView):
    """One approval."""

    permission = Permission.PLAN_VIEW

    @documented(
        "approvals_read",
        ApprovalOut,
        summary="Read one approval with its decisions",
        example=EXAMPLE,
        tag="approvals",
    )
    def get(self, request: Request, approval_ref: UUID) -> Response:
        """Says whether it rests on somebody who has lost the role."""
        return self.show(ApprovalOut, self.find(_rows(self.user), approval_ref))

    def out_context(self) -> dict[str, Any]:
        """Ask who was removed, for this one."""
        return {**super().out_context(), "in_full": True}


class _Decide(PortalAPIView, abstract=True):
    verdict: Verdict

    def post(self, request: Request, approval_ref: UUID) -> Response:
        """Decide once, about exactly what was shown."""
        approval = self.find(_rows(self.user), approval_ref)
        data = self.read(DecisionIn)
        provider = holds_provider_side(self.user, self.account)
        side = data.get("side") or (Side.PROVIDER if provider else Side.CUSTOMER)

        def effect() -> Response:
            decide(
                approval,
                actor=self.user,
                side=side,
                decision=self.verdict,
                seen_digest=data["digest"],
                reason=data["reason"],
                at=timezone.now(),
            )
            return self.show(ApprovalOut, _rows(self.user).get(pk=approval.pk))

        return self.once(effect, required=True)


class ApproveApi(_Decide):
    """Approve. Who may for which side is said by the service: a launch manager never for the customer."""

    permission = Permission.PLAN_VIEW
    verdict = Verdict.APPROVE

    @documented(
        "approvals_approve",
        ApprovalOut,
        summary="Approve exactly what was shown",
        request=DecisionIn,
        command=True,
        example=EXAMPLE,
        request_example=IN_EXAMPLE,
        tag="approvals",
    )
    def post(self, request: Request, approval_ref: UUID) -> Response:
        """The same decision again gives the same answer. Another digest is 409."""
        self.check_scope(Permission.PLAN_APPROVE)
        return super().post(request, approval_ref)


class RejectApi(_Decide):
    """Reject, with a reason."""

    permission = Permission.PLAN_VIEW
    verdict = Verdict.REJECT

    @documented(
        "approvals_reject",
        ApprovalOut,
        summary="Reject, with a reason",
        request=DecisionIn,
        command=True,
        example={**EXAMPLE, "status": "rejected", "waiting_for": []},
        request_example=IN_EXAMPLE,
        tag="approvals",
    )
    def post(self, request: Request, approval_ref: UUID) -> Response:
        """A rejection without a reason is refused."""
        self.check_scope(Permission.PLAN_APPROVE)
        return super().post(request, approval_ref)
