"""The API of who is in charge of a run: take it, hand it over, be the backup, say until when."""

from __future__ import annotations

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import Permission
from portal.api import documented
from portal.errors import Refused
from portal.runs import charge
from portal.runs.models import Handover, Run
from scaledown import serializers as shapes
from scaledown import serializers_runs as of_runs
from scaledown.api_shared import RUN_EXAMPLE, RUNS, ScaledownView

_HANDOVERS = Handover.objects.select_related("run", "run__account", "to", "asked_by")


class RunChargeApi(ScaledownView):
    """Who is in charge."""

    permission = Permission.RUN_COMMAND

    @documented(
        "runs_take_charge",
        shapes.RunOut,
        summary="Take charge of a run",
        request=of_runs.ChargeIn,
        command=True,
        example=RUN_EXAMPLE,
        request_example={"until": "2026-11-23T18:00:00Z"},
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """You become the one named person of this run. Who had it is told."""
        run = self.find(RUNS, run_ref)
        until = self.read(of_runs.ChargeIn)["until"]
        return self.once(lambda: self.show_run(charge.take(run, actor=self.user, until=until)), required=True)


class RunChargeUntilApi(ScaledownView):
    """Until when."""

    permission = Permission.RUN_COMMAND

    @documented(
        "runs_charge_until",
        shapes.RunOut,
        summary="Say until when you are in charge of a run",
        request=of_runs.ChargeIn,
        command=True,
        example=RUN_EXAMPLE,
        request_example={"until": "2026-11-23T18:00:00Z"},
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """Afterwards the backup takes over; without one nobody is in charge, and no next server begins."""
        run = self.find(RUNS, run_ref)
        until = self.read(of_runs.ChargeIn)["until"]
        return self.once(
            lambda: self.show_run(charge.set_until(run, until=until, actor=self.user)), required=True
        )


class RunBackupApi(ScaledownView):
    """The backup."""

    permission = Permission.RUN_COMMAND

    @documented(
        "runs_stand_by",
        shapes.RunOut,
        summary="Be the backup of a run",
        request=None,
        command=True,
        example=RUN_EXAMPLE,
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """Told what the one in charge is told; in charge when their time is over."""
        run = self.find(RUNS, run_ref)
        return self.once(lambda: self.show_run(charge.stand_by(run, actor=self.user)), required=True)


class RunBackupEndApi(ScaledownView):
    """The backup no more."""

    permission = Permission.RUN_COMMAND

    @documented(
        "runs_step_back",
        shapes.RunOut,
        summary="End being the backup of a run",
        request=None,
        command=True,
        example=RUN_EXAMPLE,
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """For the backup, and for whoever is in charge."""
        run = self.find(RUNS, run_ref)
        return self.once(lambda: self.show_run(charge.step_back(run, actor=self.user)), required=True)


class RunHandoversApi(ScaledownView):
    """Who was asked about one run."""

    permission = Permission.RUN_COMMAND

    @documented(
        "run_handovers_list",
        of_runs.HandoverOut,
        summary="List who was asked to take over a run",
        paged=True,
        example=of_runs.HANDOVER_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, run_ref: UUID) -> Response:
        """Newest first, each with what became of it."""
        run = self.find(RUNS, run_ref)
        return self.page(_HANDOVERS.filter(run=run), of_runs.HandoverOut)

    @documented(
        "run_handovers_ask",
        of_runs.HandoverOut,
        summary="Ask a colleague to be in charge of a run, or its backup",
        request=of_runs.HandoverIn,
        status=201,
        command=True,
        example=of_runs.HANDOVER_EXAMPLE,
        request_example={
            "to": of_runs.HANDOVER_EXAMPLE["to"],
            "role": "in_charge",
            "until": "2026-11-24T06:00:00Z",
            "note": "web-07 is on hold until tomorrow's peak.",
        },
        tag="scale-down",
    )
    def post(self, request: Request, run_ref: UUID) -> Response:
        """They are told now and have four hours. Nothing changes before they accept."""
        run = self.find(RUNS, run_ref)
        data = self.read(of_runs.HandoverIn)
        return self.once(lambda: self._ask(run, data), required=True)

    def _ask(self, run: Run, data: dict[str, object]) -> Response:
        to = next((one for one in charge.colleagues(run) if one.ref == data["to"]), None)
        if to is None:
            raise Refused(
                "Nobody with this reference may command this run. Take one from the members of the account's team.",
                code="may_not_command",
            )
        handover = charge.ask(
            run,
            to=to,
            role=str(data["role"]),
            actor=self.user,
            note=str(data["note"]),
            until=data["until"],  # type: ignore[arg-type]
        )
        return self.show(of_runs.HandoverOut, handover, status=201)


class HandoverApi(ScaledownView):
    """What one colleague is asked."""

    permission = Permission.RUN_COMMAND

    @documented(
        "handovers_read",
        of_runs.HandoverOut,
        summary="Read what a colleague is asked about a run",
        example=of_runs.HANDOVER_EXAMPLE,
        tag="scale-down",
    )
    def get(self, request: Request, handover_ref: UUID) -> Response:
        """For what, until when, and what became of it."""
        return self.show(of_runs.HandoverOut, self.find(_HANDOVERS, handover_ref))


class HandoverAcceptApi(ScaledownView):
    """Yes."""

    permission = Permission.RUN_COMMAND

    @documented(
        "handovers_accept",
        of_runs.HandoverOut,
        summary="Accept what you are asked about a run",
        request=None,
        command=True,
        example=of_runs.HANDOVER_EXAMPLE | {"state": "accepted", "ended_at": "2026-11-23T17:52:00Z"},
        tag="scale-down",
    )
    def post(self, request: Request, handover_ref: UUID) -> Response:
        """From now on it counts. 403 for anybody else, and for a service token; 409 once it is asked no more."""
        handover = self.find(_HANDOVERS, handover_ref)
        return self.once(
            lambda: self.show(of_runs.HandoverOut, charge.answer(handover, accepts=True, actor=self.user)),
            required=True,
        )


class HandoverDeclineApi(ScaledownView):
    """No."""

    permission = Permission.RUN_COMMAND

    @documented(
        "handovers_decline",
        of_runs.HandoverOut,
        summary="Decline what you are asked about a run",
        request=shapes.MaybeReasonIn,
        command=True,
        example=of_runs.HANDOVER_EXAMPLE | {"state": "declined", "ended_at": "2026-11-23T17:52:00Z"},
        request_example={"reason": "I am on the night shift."},
        tag="scale-down",
    )
    def post(self, request: Request, handover_ref: UUID) -> Response:
        """Nothing changes; whoever asked is told."""
        handover = self.find(_HANDOVERS, handover_ref)
        data = self.read(shapes.MaybeReasonIn)
        return self.once(
            lambda: self.show(
                of_runs.HandoverOut,
                charge.answer(handover, accepts=False, actor=self.user, reason=data["reason"]),
            ),
            required=True,
        )


class HandoverWithdrawApi(ScaledownView):
    """Asked no more."""

    permission = Permission.RUN_COMMAND

    @documented(
        "handovers_withdraw",
        of_runs.HandoverOut,
        summary="Withdraw what a colleague is asked about a run",
        request=None,
        command=True,
        example=of_runs.HANDOVER_EXAMPLE | {"state": "withdrawn", "ended_at": "2026-11-23T17:52:00Z"},
        tag="scale-down",
    )
    def post(self, request: Request, handover_ref: UUID) -> Response:
        """For whoever asked, and whoever is in charge; 409 once it was answered."""
        handover = self.find(_HANDOVERS, handover_ref)
        return self.once(
            lambda: self.show(of_runs.HandoverOut, charge.withdraw(handover, actor=self.user)),
            required=True,
        )
