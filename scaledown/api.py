"""The API of plans: the same services and selectors as the pages.

What needs the provider reads it before the transaction begins, so that none waits for HTTP.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection
from capacity.models import TrafficEvent
from portal.access import Permission
from portal.api import documented
from portal.errors import StaleState
from scaledown import serializers as shapes
from scaledown import services
from scaledown.api_shared import ORDER, PLANS, RUN_EXAMPLE, STATUS, TITLE, ScaledownView
from scaledown.candidates import Pool
from scaledown.less import Less
from scaledown.lessening import lessen_plan
from scaledown.models import Plan, PlanStatus
from scaledown.pool import read_pool

_PLAN_EXAMPLE = shapes.example_of(shapes.PlanPage)


class PlanListApi(ScaledownView):
    """Plans of an account."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.PLAN_DRAFT

    @documented(
        "plans_list",
        shapes.PlanRowOut,
        summary="List an account's scale-down plans",
        paged=True,
        example=shapes.PLAN_ROW,
        parameters=[STATUS, TITLE, ORDER],
        tag="scale-down",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.listed(PLANS.filter(account=account), frozenset(PlanStatus.values), shapes.PlanRowOut)

    @documented(
        "plans_draft",
        shapes.PlanOut,
        summary="Draw up a draft",
        request=shapes.PlanIn,
        status=201,
        once=True,
        example=_PLAN_EXAMPLE,
        request_example={
            "title": "After Black Friday",
            "connection": shapes.PLAN_ROW["connection"],
            "event": shapes.PLAN_ROW["ref"],
            "choice": {"balancer_ids": ["71"], "floor": 2, "soak_s": 300},
        },
        tag="scale-down",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Nothing is read at the provider yet; preview it next."""
        account = self.find(Account, account_ref)
        data = self.read(shapes.PlanIn)

        def effect() -> Response:
            event = data.get("event")
            plan = services.draft_plan(
                account=account,
                connection=self.own(CloudConnection.objects, data["connection"], "cloud connection"),
                actor=self.user,
                title=data["title"],
                choice=shapes.choice_from(data["choice"]),
                event=self.own(TrafficEvent.objects, event, "traffic event") if event else None,
            )
            return self.show_plan(plan, status=201)

        return self.once(effect)


class PlanApi(ScaledownView):
    """One plan."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.PLAN_DRAFT

    @documented("plans_read", shapes.PlanOut, summary="Read a plan", example=_PLAN_EXAMPLE, tag="scale-down")
    def get(self, request: Request, plan_ref: UUID) -> Response:
        """With its preview, its approvals, and what can be done with it now (`acts`)."""
        return self.show_plan(self.find(PLANS, plan_ref))

    @documented(
        "plans_change",
        shapes.PlanOut,
        summary="Change a draft",
        request=shapes.PlanChangeIn,
        if_match=True,
        once=True,
        example=_PLAN_EXAMPLE,
        request_example={"choice": {"target": 4}},
        tag="scale-down",
    )
    def patch(self, request: Request, plan_ref: UUID) -> Response:
        """Only what is given is changed. A submitted plan is frozen: copy it."""
        plan = self.find(PLANS, plan_ref)
        data = self.read(shapes.PlanChangeIn)

        def effect() -> Response:
            locked = Plan.objects.select_for_update().get(pk=plan.pk)
            self.match(locked)
            options: dict[str, Any] = {}
            if "event" in data:
                event = data["event"]
                options["event"] = self.own(TrafficEvent.objects, event, "traffic event") if event else None
            if "choice" in data:
                options["choice"] = shapes.choice_from(data["choice"], services.choice_of(locked))
            changed = services.edit_draft(locked, actor=self.user, title=data.get("title"), **options)
            return self.show_plan(changed)

        return self.once(effect)


def _look(plan: Plan) -> Pool:
    """Read the pool of a plan, before any transaction."""
    return read_pool(plan.connection, services.choice_of(plan).balancer_ids)


class PlanPreviewApi(ScaledownView):
    """What a plan would do."""

    permission = Permission.PLAN_VIEW

    @documented(
        "plans_preview",
        shapes.PreviewOut,
        summary="Read the pool afresh and show exactly what the plan would do",
        request=None,
        example=shapes.example_of(shapes.Preview),
        asks_provider=True,
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Changes nothing at the provider. A draft keeps the newest preview of those who may change it."""
        plan = self.find(PLANS, plan_ref)
        pool = _look(plan)
        return self.show(shapes.PreviewOut, services.preview_plan(plan, actor=self.user, pool=pool))


class PlanSubmitApi(ScaledownView):
    """Freeze a plan and ask for approval."""

    permission = Permission.PLAN_SUBMIT

    @documented(
        "plans_submit",
        shapes.PlanOut,
        summary="Freeze a plan and ask for approval; this is the provider side's approval",
        request=shapes.SubmitIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"reason": "The event is over."},
        asks_provider=True,
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """The pool is read afresh; blocking warnings forbid it (422)."""
        plan = self.find(PLANS, plan_ref)
        data = self.read(shapes.SubmitIn)
        pool = _look(plan) if plan.status == PlanStatus.DRAFT else None

        def effect() -> Response:
            if pool is None:
                raise StaleState("This plan was submitted already.", code="plan_status_changed")
            submitted = services.submit_plan(plan, actor=self.user, pool=pool, reason=data.get("reason", ""))
            return self.show_plan(submitted)

        return self.once(effect, required=True)


class PlanApproveApi(ScaledownView):
    """The customer's yes."""

    permission = Permission.PLAN_APPROVE

    @documented(
        "plans_approve",
        shapes.PlanOut,
        summary="Approve for the customer exactly the plan that was seen",
        request=shapes.SeenIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"digest": shapes.PLAN_ROW["digest"], "reason": "Go ahead."},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Another digest than the plan's is a conflict (409): read it again."""
        plan = self.find(PLANS, plan_ref)
        data = self.read(shapes.SeenIn)
        return self.once(
            lambda: self.show_plan(
                services.approve_plan(
                    plan, actor=self.user, seen_digest=data["digest"], reason=data.get("reason", "")
                )
            ),
            required=True,
        )


class PlanRejectApi(ScaledownView):
    """The customer's no."""

    permission = Permission.PLAN_APPROVE

    @documented(
        "plans_reject",
        shapes.PlanOut,
        summary="Reject for the customer, with a reason",
        request=shapes.RejectIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"digest": shapes.PLAN_ROW["digest"], "reason": "We have a sale on Friday."},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """The plan ends; a copy can be changed and submitted."""
        plan = self.find(PLANS, plan_ref)
        data = self.read(shapes.RejectIn)
        return self.once(
            lambda: self.show_plan(
                services.reject_plan(plan, actor=self.user, seen_digest=data["digest"], reason=data["reason"])
            ),
            required=True,
        )


class PlanLessApi(ScaledownView):
    """Less of a submitted plan."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "plans_less",
        shapes.PlanOut,
        summary="Change a submitted plan to less; its approvals stay",
        request=shapes.LessIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"digest": shapes.PLAN_ROW["digest"], "target": 5, "soak_s": 900},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Fewer servers, a higher floor, longer times, a later start. Anything more is refused (422): copy the plan."""
        plan = self.find(PLANS, plan_ref)
        data = self.read(shapes.LessIn)
        seen, reason = data.pop("digest"), data.pop("reason", "")
        return self.once(
            lambda: self.show_plan(
                lessen_plan(plan, actor=self.user, asked=Less(**data), seen_digest=seen, reason=reason)
            ),
            required=True,
        )


class PlanVoidApi(ScaledownView):
    """Withdraw a plan."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "plans_void",
        shapes.PlanOut,
        summary="Withdraw a plan that shall not run",
        request=shapes.ReasonIn,
        command=True,
        example=_PLAN_EXAMPLE,
        request_example={"reason": "The event was moved."},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Its approvals end with it."""
        plan = self.find(PLANS, plan_ref)
        data = self.read(shapes.ReasonIn)
        return self.once(
            lambda: self.show_plan(services.void_plan(plan, actor=self.user, reason=data["reason"])),
            required=True,
        )


class PlanCopyApi(ScaledownView):
    """Do it again."""

    permission = Permission.PLAN_DRAFT

    @documented(
        "plans_copy",
        shapes.PlanOut,
        summary="Copy a plan into a new draft",
        request=None,
        status=201,
        command=True,
        example=_PLAN_EXAMPLE,
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """With the same choices and without approvals."""
        plan = self.find(PLANS, plan_ref)
        return self.once(
            lambda: self.show_plan(services.copy_plan(plan, actor=self.user), status=201), required=True
        )


class PlanStartApi(ScaledownView):
    """Start the run of an approved plan."""

    permission = Permission.RUN_START

    @documented(
        "plans_start",
        shapes.RunOut,
        summary="Start the run of an approved plan",
        request=shapes.StartIn,
        status=201,
        command=True,
        example=RUN_EXAMPLE,
        request_example={"status": "approved", "digest": shapes.PLAN_ROW["digest"]},
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """The plan is used from then on; whoever approved it for the customer cannot start it."""
        plan = self.find(PLANS, plan_ref)
        data = self.read(shapes.StartIn)
        return self.once(
            lambda: self.show_run(
                services.start_run(
                    plan,
                    actor=self.user,
                    seen_digest=data["digest"],
                    seen_status=data["status"],
                    override_reason=data.get("override_reason", ""),
                    seen_held=data.get("held_version", ""),
                ),
                status=201,
            ),
            required=True,
        )


class PlanRehearseApi(ScaledownView):
    """Everything but the changes."""

    permission = Permission.RUN_START

    @documented(
        "plans_rehearse",
        shapes.RunOut,
        summary="Rehearse a plan: every change is withheld and journalled as would-have",
        request=None,
        status=201,
        command=True,
        example=RUN_EXAMPLE,
        asks_provider=True,
        tag="scale-down",
    )
    def post(self, request: Request, plan_ref: UUID) -> Response:
        """Needs no approval, since nothing changes."""
        plan = self.find(PLANS, plan_ref)
        pool = _look(plan)
        return self.once(
            lambda: self.show_run(services.rehearse(plan, actor=self.user, pool=pool), status=201),
            required=True,
        )
