"""The API of growing again: ask for it, read it, withdraw it. It is decided at /approvals, like all that is approved."""

from __future__ import annotations

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import Permission
from portal.api import documented
from portal.errors import StaleState
from portal.runs.models import Run
from scaledown import growths, services
from scaledown import serializers as shapes
from scaledown.api import ScaledownView
from scaledown.models import Growth

_RUNS = Run.objects.filter(kind=services.KIND).select_related("account", "in_charge", "backup")
_GROWTHS = Growth.objects.select_related("account", "run", "request", "asked_by", "command")


class RunGrowthsApi(ScaledownView):
    """What was asked for of one run."""

    permission = Permission.RUN_VIEW
    write_permission = Permission.RUN_COMMAND

    @documented(
        "run_growths_list",
        shapes.GrowthOut,
        summary="List what was asked for to grow again",
        paged=True,
        example=shapes.GROWTH_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """Newest first, each with what became of it."""
        run = self.find(_RUNS, run_ref)
        return self.page(_GROWTHS.filter(run=run), shapes.GrowthOut)

    @documented(
        "run_growths_ask",
        shapes.GrowthOut,
        summary="Ask for a run to grow again by so many deleted servers",
        request=shapes.GrowthIn,
        status=201,
        command=True,
        example=shapes.GROWTH_EXAMPLE,
        request_example={
            "servers": 1,
            "reason": "Tonight's sale is bigger than forecast.",
            "status": "running",
            "digest": shapes.PLAN_ROW["digest"],
        },
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """Asking is the provider's approval. Nothing is created before the customer's, at `approval`."""
        run = self.find(_RUNS, run_ref)
        data = self.read(shapes.GrowthIn)
        if data["digest"] != run.digest:
            raise StaleState("This run is of another plan than the one you saw.", code="digest_mismatch")
        return self.once(
            lambda: self.show(
                shapes.GrowthOut,
                growths.ask_growth(
                    run,
                    count=data["servers"],
                    actor=self.user,
                    reason=data["reason"],
                    seen_status=data["status"],
                ),
                status=201,
            ),
            required=True,
        )


class GrowthApi(ScaledownView):
    """What was asked for once."""

    permission = Permission.RUN_VIEW

    @documented(
        "growths_read",
        shapes.GrowthOut,
        summary="Read what is asked for to grow again",
        example=shapes.GROWTH_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, growth_ref: UUID) -> Response:
        """By which servers, and what became of it."""
        return self.show(shapes.GrowthOut, self.find(_GROWTHS, growth_ref))


class GrowthWithdrawApi(ScaledownView):
    """It is no longer asked for."""

    permission = Permission.RUN_COMMAND

    @documented(
        "growths_withdraw",
        shapes.GrowthOut,
        summary="Withdraw what was asked for to grow again",
        request=shapes.ReasonIn,
        command=True,
        example=shapes.GROWTH_EXAMPLE,
        request_example={"reason": "The peak is over."},
        tag="scale-down",
    )
    def post(self, request: Request, growth_ref: UUID) -> Response:
        """Only before it was decided (409 afterwards)."""
        growth = self.find(_GROWTHS, growth_ref)
        data = self.read(shapes.ReasonIn)
        return self.once(
            lambda: self.show(
                shapes.GrowthOut,
                growths.withdraw_growth(growth, actor=self.user, reason=data["reason"]),
            ),
            required=True,
        )
