"""The API of growing again: ask for it, read it, withdraw it. It is decided at /approvals, like all that is approved."""

from __future__ import annotations

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import Permission
from portal.api import documented
from portal.errors import StaleState
from scaledown import growths
from scaledown import serializers as shapes
from scaledown import serializers_runs as of_runs
from scaledown.api_shared import RUNS, ScaledownView
from scaledown.models import Growth

_GROWTHS = Growth.objects.select_related("account", "run", "request", "asked_by", "command")


class RunGrowthsApi(ScaledownView):
    """What was asked for of one run."""

    permission = Permission.RUN_VIEW
    write_permission = Permission.RUN_COMMAND

    @documented(
        "run_growths_list",
        of_runs.GrowthOut,
        summary="List what was asked for to grow again",
        paged=True,
        example=of_runs.GROWTH_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """Newest first, each with what became of it."""
        run = self.find(RUNS, run_ref)
        return self.page(_GROWTHS.filter(run=run), of_runs.GrowthOut)

    @documented(
        "run_growths_ask",
        of_runs.GrowthOut,
        summary="Ask for a run to grow again by so many deleted servers",
        request=of_runs.GrowthIn,
        status=201,
        command=True,
        example=of_runs.GROWTH_EXAMPLE,
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
        run = self.find(RUNS, run_ref)
        data = self.read(of_runs.GrowthIn)
        if data["digest"] != run.digest:
            raise StaleState("This run is of another plan than the one you saw.", code="digest_mismatch")
        return self.once(
            lambda: self.show(
                of_runs.GrowthOut,
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
        of_runs.GrowthOut,
        summary="Read what is asked for to grow again",
        example=of_runs.GROWTH_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, growth_ref: UUID) -> Response:
        """By which servers, and what became of it."""
        return self.show(of_runs.GrowthOut, self.find(_GROWTHS, growth_ref))


class GrowthWithdrawApi(ScaledownView):
    """It is no longer asked for."""

    permission = Permission.RUN_COMMAND

    @documented(
        "growths_withdraw",
        of_runs.GrowthOut,
        summary="Withdraw what was asked for to grow again",
        request=shapes.ReasonIn,
        command=True,
        example=of_runs.GROWTH_EXAMPLE,
        request_example={"reason": "The peak is over."},
        tag="scale-down",
    )
    def post(self, request: Request, growth_ref: UUID) -> Response:
        """Only before it was decided (409 afterwards)."""
        growth = self.find(_GROWTHS, growth_ref)
        data = self.read(shapes.ReasonIn)
        return self.once(
            lambda: self.show(
                of_runs.GrowthOut,
                growths.withdraw_growth(growth, actor=self.user, reason=data["reason"]),
            ),
            required=True,
        )
