"""Drills through the API. Approvals are decided at `/approvals/{ref}` as for everything."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection, Contact, User
from drills import commands, figures
from drills.plans import selectors, services
from drills.plans.choice import Choice, first_choice, read_script
from drills.plans.models import Drill, DrillResult, DrillStatus, HeldDrill
from drills.plans.views import pool_for
from drills.scenarios.selectors import scenario as scenario_by_key
from drills.scenarios.types import DrillKind, Environment, Role, Scenario, StepKind
from portal import access
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import Refused
from portal.frozen import replace
from portal.runs.models import Run

TAG = "drills"
KINDS = [(one.value, one.value) for one in DrillKind]
ENVIRONMENTS = [(one.value, one.value) for one in Environment]
CHOICE: dict[str, Any] = {
    "objective": "With one server lost nobody notices.",
    "kind": "announced",
    "environment": "test",
    "not_before": "2026-12-01T09:00:00Z",
    "not_after": "2026-12-01T11:00:00Z",
    "balancer_ids": ["71"],
    "server_ids": ["369301cd-7e85-4584-bd79-8aa0777907a3"],
    "emergency_plan": "Page 3 of the runbook.",
    "error_ratio": 0.01,
    "acknowledged_s": 300.0,
    "hold_s": 120.0,
    "floor": 2,
}
DRILL: dict[str, Any] = {
    "ref": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c010",
    "title": "One node lost",
    "kind": "announced",
    "environment": "test",
    "status": "used",
    "scenario_key": "node_lost",
    "scenario_number": 0,
    "choice": CHOICE,
    "digest": "5f" * 32,
    "checks": ["alarms_on", "carries_load"],
    "approval": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c011",
    "connection": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c012",
    "facilitator": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c013",
    "run": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c014",
    "result": "drill_met",
    "reasons": ["Everything that was claimed was measured, and held (3 limits)."],
    "created_at": "2026-11-28T09:00:00Z",
    "updated_at": "2026-12-01T10:00:00Z",
}
DRILL_IN: dict[str, Any] = {
    "title": DRILL["title"],
    "scenario_key": "node_lost",
    "connection": DRILL["connection"],
    "facilitator": DRILL["facilitator"],
    "participants": ["8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c015"],
    "observers": [],
    "reporter": None,
    "choice": CHOICE,
}
COMMAND: dict[str, Any] = {"name": "stop", "accepted": None, "at": "2026-12-01T09:10:00Z", "on_the_wire": ""}
STATE: dict[str, Any] = {
    "status": "running",
    "says": "Step 3: Notice it, and find the cause.",
    "began_at": "2026-12-01T09:05:00Z",
    "is_disrupted": True,
    "steps": [{"number": 1, "title": "Open the drill", "state": "step_done", "kind": "talk"}],
    "targets": [{"server_id": CHOICE["server_ids"][0], "name": "web-06", "phase": "hit"}],
    "moments": [
        {"kind": "injected", "at": "2026-12-01T09:06:00Z", "says": "The disruption begins, with web-06."}
    ],
    "figures": [],
}


class DrillScriptStep(serializers.Serializer[Any]):
    """One step of a drill's own script. `responsible` is a contact who takes part, "" where the role says it all."""

    kind = serializers.ChoiceField(choices=[(one.value, one.value) for one in StepKind])
    title = serializers.CharField(max_length=80)
    text = serializers.CharField(max_length=2000)
    role = serializers.ChoiceField(choices=[(one.value, one.value) for one in Role])
    expected_s = serializers.IntegerField(min_value=10, max_value=86_400)
    done_when = serializers.CharField(max_length=400)
    injects = serializers.BooleanField(required=False, default=False)
    responsible = serializers.CharField(max_length=36, required=False, allow_blank=True, default="")


class DrillChoice(serializers.Serializer[Any]):
    """What the author chooses. A limit that is left out begins as the scenario has it; null is not claimed. Without `steps` the
    script is the scenario's. Times in seconds, shares 0 to 1.
    """

    objective = serializers.CharField(max_length=2000)
    kind = serializers.ChoiceField(choices=KINDS)
    environment = serializers.ChoiceField(choices=ENVIRONMENTS)
    not_before = serializers.DateTimeField(required=False, allow_null=True)
    not_after = serializers.DateTimeField(required=False, allow_null=True)
    balancer_ids = serializers.ListField(
        child=serializers.CharField(max_length=64), max_length=5, required=False
    )
    server_ids = serializers.ListField(
        child=serializers.CharField(max_length=64), max_length=20, required=False
    )
    emergency_plan = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    completeness = serializers.CharField(max_length=300, required=False, allow_blank=True)
    error_ratio = serializers.FloatField(required=False, allow_null=True)
    p95_factor = serializers.FloatField(required=False, allow_null=True)
    acknowledged_s = serializers.FloatField(required=False, allow_null=True)
    informed_s = serializers.FloatField(required=False, allow_null=True)
    mitigated_s = serializers.FloatField(required=False, allow_null=True)
    recovered_s = serializers.FloatField(required=False, allow_null=True)
    data_lost_s = serializers.FloatField(required=False, allow_null=True)
    stop_error_ratio = serializers.FloatField(required=False)
    stop_window_s = serializers.FloatField(required=False)
    stop_p95_ms = serializers.FloatField(required=False, allow_null=True)
    longest_s = serializers.FloatField(required=False)
    floor = serializers.IntegerField(required=False)
    hold_s = serializers.FloatField(required=False)
    calm_s = serializers.FloatField(required=False)
    boot_limit_s = serializers.FloatField(required=False)
    between_s = serializers.FloatField(required=False)
    call_role = serializers.CharField(max_length=20, required=False)
    call_tries = serializers.IntegerField(required=False)
    call_wait_s = serializers.IntegerField(required=False)
    steps = serializers.ListField(child=DrillScriptStep(), max_length=30, required=False)


class DrillIn(serializers.Serializer[Any]):
    """A drill to draw up. `facilitator` is a launch manager of the team, yourself if left out; participants are contacts."""

    title = serializers.CharField(max_length=200)
    scenario_key = serializers.CharField(max_length=40)
    connection = serializers.UUIDField(required=False, allow_null=True)
    facilitator = serializers.UUIDField(required=False, allow_null=True)
    participants = serializers.ListField(child=serializers.UUIDField(), max_length=40, required=False)
    observers = serializers.ListField(child=serializers.UUIDField(), max_length=40, required=False)
    reporter = serializers.UUIDField(required=False, allow_null=True)
    choice = DrillChoice()


class DrillOut(serializers.ModelSerializer[Drill]):
    """A drill. `run`, `result` and `reasons` are empty until it was begun, and is over; `checks` are attested before the start."""

    status = serializers.ChoiceField(choices=DrillStatus.choices)
    kind = serializers.ChoiceField(choices=KINDS)
    environment = serializers.ChoiceField(choices=ENVIRONMENTS)
    choice = DrillChoice(source="inputs")
    checks = serializers.SerializerMethodField()
    approval = serializers.UUIDField(source="request.ref", allow_null=True, default=None)
    connection = serializers.UUIDField(source="connection.ref", allow_null=True, default=None)
    facilitator = serializers.UUIDField(source="facilitator.ref")
    run = serializers.UUIDField(source="held.run.ref", allow_null=True, default=None)
    result = serializers.SerializerMethodField()
    reasons = serializers.SerializerMethodField()

    class Meta:
        model = Drill
        fields = (*DRILL,)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_checks(self, row: Drill) -> list[str]:
        """Return the keys of what somebody attests; none while it is a draft."""
        return list((row.data or {}).get("attested", ()))

    @extend_schema_field(serializers.ChoiceField(choices=[("", "not over"), *DrillResult.choices]))
    def get_result(self, row: Drill) -> str:
        """Return what it showed, "" until it is over."""
        held: HeldDrill | None = getattr(row, "held", None)
        return held.result if held is not None else ""

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_reasons(self, row: Drill) -> list[str]:
        """Return why it is that result."""
        held: HeldDrill | None = getattr(row, "held", None)
        return list(held.reasons) if held is not None else []


class DrillDigestIn(serializers.Serializer[Any]):
    """The digest of the drill as it was read."""

    digest = serializers.CharField(max_length=64)


class DrillReasonIn(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=2000)


class DrillAttestIn(serializers.Serializer[Any]):
    """One check before the start, and what is said of it."""

    check_key = serializers.CharField(max_length=30)
    says = serializers.CharField(max_length=500, required=False, allow_blank=True)


class DrillCommandIn(serializers.Serializer[Any]):
    """What is asked of a drill under way. `args`: `number` of a step, `kind` of a moment, `server`, `passed`, `failed`, `at`, `value_at`.

    `whom` says who was told of *informed*: `status_page`, `management`, `service_desk`. `outcome` says of *complete* what the check
    of completeness showed: `passed` or `failed` (then `reason` says what is missing).
    """

    name = serializers.ChoiceField(choices=[(one, one) for one in commands.NAMES])
    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    args = serializers.DictField(required=False)


class DrillCommandOut(serializers.Serializer[Any]):
    """A command that was given; `accepted` is null until the next look answers it, within seconds."""

    name = serializers.CharField()
    accepted = serializers.BooleanField(allow_null=True)
    at = serializers.DateTimeField()
    on_the_wire = serializers.CharField()


class DrillStepOut(serializers.Serializer[Any]):
    """One step of the script."""

    number = serializers.IntegerField()
    title = serializers.CharField()
    state = serializers.CharField()
    kind = serializers.CharField()


class DrillTargetOut(serializers.Serializer[Any]):
    """One server of the drill: `untouched`, `hit`, `returning` or `back`."""

    server_id = serializers.CharField()
    name = serializers.CharField()
    phase = serializers.CharField()


class DrillMomentOut(serializers.Serializer[Any]):
    """One moment on the axis."""

    kind = serializers.CharField()
    at = serializers.DateTimeField()
    says = serializers.CharField()


class DrillFigureOut(serializers.Serializer[Any]):
    """One thing measured. `value` null is unknown; `met` null: nothing claimed, or not known."""

    name = serializers.CharField()
    title = serializers.CharField(source="label")
    value = serializers.FloatField(allow_null=True)
    limit = serializers.FloatField(allow_null=True)
    met = serializers.BooleanField(allow_null=True)
    says = serializers.CharField()


class DrillStateOut(serializers.Serializer[Any]):
    """How a drill stands that has begun; `figures` once it is over."""

    status = serializers.CharField(max_length=16)
    says = serializers.CharField()
    began_at = serializers.DateTimeField(allow_null=True)
    is_disrupted = serializers.BooleanField()
    steps = DrillStepOut(many=True)
    targets = DrillTargetOut(many=True)
    moments = DrillMomentOut(many=True)
    figures = DrillFigureOut(many=True)


def _choice_of(data: dict[str, Any], scenario: Scenario) -> Choice:
    begin = first_choice(scenario)
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }
    known["kind"], known["environment"] = DrillKind(data["kind"]), Environment(data["environment"])
    known["steps"] = read_script(data.get("steps", ()), scenario) if data.get("steps") else ()
    return replace(begin, **known)


def _connection(account: Account, ref: UUID | None) -> CloudConnection | None:
    if ref is None:
        return None
    found = CloudConnection.objects.filter(account=account, ref=ref).defer("api_key").first()
    if found is None:
        raise Refused("This account has no such cloud connection.", code="unknown_connection")
    return found


def _leader(account: Account, ref: UUID | None) -> User | None:
    if ref is None:
        return None
    found = next((one for one in access.holders(Permission.DRILL_RUN, account) if one.ref == ref), None)
    if found is None:
        raise Refused("No launch manager of this account has that reference.", code="unknown_person")
    return found


def _people(account: Account, data: dict[str, Any]) -> dict[str, Any]:
    contacts = list(Contact.objects.filter(account=account, ref__in=data.get("participants", ())))
    wanted = set(data.get("observers", ()))
    seeing = {one.ref: one for one in access.holders(Permission.DRILL_VIEW, account)}
    watchers = [one for ref, one in seeing.items() if ref in wanted]
    reporter = seeing.get(ref) if (ref := data.get("reporter")) else None
    is_lacking = ref is not None and reporter is None
    if is_lacking or len(contacts) < len(set(data.get("participants", ()))) or len(watchers) < len(wanted):
        raise Refused("Not everybody who is named belongs to this account.", code="unknown_person")
    return {"contacts": contacts, "observers": watchers, "reporter": reporter}


def _held(drill: Drill) -> HeldDrill:
    held: HeldDrill | None = getattr(drill, "held", None)
    if held is None:
        raise Http404("This drill has not begun.")
    return held


class DrillListApi(PortalAPIView):
    """Drills of an account."""

    permission = Permission.DRILL_VIEW
    write_permission = Permission.DRILL_DRAFT

    @documented("drills_list", DrillOut, summary="List fire drills", paged=True, example=DRILL, tag=TAG)
    def get(self, request: Request, account_ref: UUID) -> Response:
        """The newest first. Unannounced ones only for who decides on them, leads drills, or watches, until they are over."""
        account = self.find(Account, account_ref)
        return self.page(selectors.drills_for(self.user).filter(account=account), DrillOut)

    @documented(
        "drills_draft",
        DrillOut,
        summary="Draw up a fire drill",
        request=DrillIn,
        status=201,
        once=True,
        example={**DRILL, "status": "draft", "run": None, "result": "", "reasons": []},
        request_example=DRILL_IN,
        tag=TAG,
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Nothing is touched and nothing asked of the provider."""
        account = self.find(Account, account_ref)
        data = self.read(DrillIn)
        shown = scenario_by_key(account.team, data["scenario_key"])
        if shown is None or not shown.is_listed:
            raise Refused("The team has no such scenario.", code="unknown_scenario")
        choice = _choice_of(data["choice"], shown.scenario)
        connection = _connection(account, data.get("connection"))
        leader = _leader(account, data.get("facilitator"))
        people = _people(account, data)

        def effect() -> Response:
            drill = services.draft_with(
                people,
                account=account,
                scenario=shown,
                title=data["title"],
                choice=choice,
                connection=connection,
                facilitator=leader,
                actor=self.user,
            )
            return self.show(DrillOut, drill, status=201)

        return self.once(effect)


class DrillApi(PortalAPIView):
    """One drill."""

    permission = Permission.DRILL_VIEW
    write_permission = Permission.DRILL_DRAFT

    @documented("drills_read", DrillOut, summary="Read a fire drill", example=DRILL, tag=TAG)
    def get(self, request: Request, drill_ref: UUID) -> Response:
        """With an ETag."""
        return self.show(DrillOut, self.find(selectors.drills_for(self.user), drill_ref))

    @documented(
        "drills_change",
        DrillOut,
        summary="Change a draft",
        request=DrillIn,
        if_match=True,
        example={**DRILL, "status": "draft", "run": None, "result": "", "reasons": []},
        request_example=DRILL_IN,
        tag=TAG,
    )
    def put(self, request: Request, drill_ref: UUID) -> Response:
        """All of it anew; the scenario stays."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        self.match(drill)
        data = self.read(DrillIn)
        if data["scenario_key"] != drill.scenario_key:
            raise Refused("A drill keeps its scenario. Draw up another.", code="other_scenario")
        people = _people(drill.account, data)
        changed = services.change_with(
            drill,
            people,
            title=data["title"],
            choice=_choice_of(data["choice"], services.scenario_of(drill)),
            connection=_connection(drill.account, data.get("connection")),
            facilitator=_leader(drill.account, data.get("facilitator")),
            actor=self.user,
        )
        return self.show(DrillOut, changed)


class DrillSubmitApi(PortalAPIView):
    """Ask for approval."""

    permission = Permission.DRILL_SUBMIT

    @documented(
        "drills_submit",
        DrillOut,
        summary="Submit a fire drill, which is the provider's approval",
        command=True,
        example={**DRILL, "status": "awaiting_approval", "run": None, "result": "", "reasons": []},
        tag=TAG,
    )
    def post(self, request: Request, drill_ref: UUID) -> Response:
        """Frozen from a fresh look at the pool. The customer decides at `/approvals/{approval}`."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        pool = pool_for(drill)
        return self.once(
            lambda: self.show(DrillOut, services.submit(drill, actor=self.user, pool=pool)), required=True
        )


class DrillWithdrawApi(PortalAPIView):
    """It is not held."""

    permission = Permission.DRILL_DRAFT

    @documented(
        "drills_withdraw",
        DrillOut,
        summary="Withdraw a fire drill",
        request=DrillReasonIn,
        once=True,
        example={**DRILL, "status": "voided", "run": None, "result": "", "reasons": []},
        request_example={"reason": "The release was moved."},
        tag=TAG,
    )
    def post(self, request: Request, drill_ref: UUID) -> Response:
        """One that has begun is stopped by a command."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        reason = self.read(DrillReasonIn)["reason"]
        return self.once(
            lambda: self.show(DrillOut, services.withdraw(drill, actor=self.user, reason=reason))
        )


class DrillAttestApi(PortalAPIView):
    """Checks before the start."""

    permission = Permission.DRILL_RUN

    @documented(
        "drills_attest",
        DrillOut,
        summary="Attest a check before a fire drill",
        request=DrillAttestIn,
        once=True,
        example={**DRILL, "status": "approved", "run": None, "result": "", "reasons": []},
        request_example={"check_key": "support_told", "says": "Ticket 4711"},
        tag=TAG,
    )
    def post(self, request: Request, drill_ref: UUID) -> Response:
        """With your name and the time; it holds for a day."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        data = self.read(DrillAttestIn)

        def effect() -> Response:
            services.attest(drill, data["check_key"], says=data.get("says", ""), actor=self.user)
            return self.show(DrillOut, drill)

        return self.once(effect)


class DrillStartApi(PortalAPIView):
    """Begin a drill."""

    permission = Permission.DRILL_RUN

    @documented(
        "drills_start",
        DrillOut,
        summary="Begin an approved fire drill",
        request=DrillDigestIn,
        command=True,
        status=201,
        example={**DRILL, "result": "", "reasons": []},
        request_example={"digest": DRILL["digest"]},
        tag=TAG,
    )
    def post(self, request: Request, drill_ref: UUID) -> Response:
        """422 says what is missing: a check, the time agreed, somebody to call, a freeze, another run on the pool."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        digest = self.read(DrillDigestIn)["digest"]

        def effect() -> Response:
            services.start(drill, actor=self.user, seen_digest=digest)
            return self.show(DrillOut, selectors.drills().get(pk=drill.pk), status=201)

        return self.once(effect, required=True)


class DrillStateApi(PortalAPIView):
    """How a drill stands."""

    permission = Permission.DRILL_VIEW

    @documented("drills_state", DrillStateOut, summary="Read how a fire drill stands", example=STATE, tag=TAG)
    def get(self, request: Request, drill_ref: UUID) -> Response:
        """404 before it has begun."""
        held = _held(self.find(selectors.drills_for(self.user), drill_ref))
        live = selectors.live_drill(held, timezone.now())
        run = Run.objects.only("status").get(pk=held.run.pk)
        roles = selectors.roles_in(held.drill) if run.is_over else {}
        measured = figures.figures_of(live.plan, live.progress, roles) if run.is_over else ()
        return Response(
            DrillStateOut(
                {
                    "status": live.status,
                    "says": live.says,
                    "began_at": live.progress.began_at,
                    "is_disrupted": live.is_injected,
                    "steps": [
                        {
                            "number": one.planned.number,
                            "title": one.planned.title,
                            "state": one.way.state.value,
                            "kind": one.planned.kind.value,
                        }
                        for one in live.steps
                    ],
                    "targets": [
                        {
                            "server_id": one.target.server_id,
                            "name": one.target.name,
                            "phase": one.way.phase.value,
                        }
                        for one in live.targets
                    ],
                    "moments": [
                        {"kind": one.kind.value, "at": one.at, "says": one.says}
                        for one in sorted(live.progress.marks, key=lambda mark: mark.at)
                    ],
                    "figures": measured,
                }
            ).data
        )


class DrillCommandApi(PortalAPIView):
    """Ask something of a drill under way."""

    permission = Permission.DRILL_VIEW
    write_permission = Permission.DRILL_STOP

    @documented(
        "drills_command",
        DrillCommandOut,
        summary="Stop a fire drill, say that it is real, or lead it on",
        request=DrillCommandIn,
        command=True,
        status=202,
        example=COMMAND,
        request_example={"name": "stop", "reason": "The shop is down."},
        tag=TAG,
    )
    def post(self, request: Request, drill_ref: UUID) -> Response:
        """Everybody may `stop` it and say that it is `real`; notes and moments are everybody's too, steps the leader's.

        Who is named to watch or to write it down notes no `acknowledged`: that is for whoever takes part or reacts.
        """
        held = _held(self.find(selectors.drills_for(self.user), drill_ref))
        data = self.read(DrillCommandIn)

        def effect() -> Response:
            given = services.command(
                held,
                data["name"],
                actor=self.user,
                reason=data.get("reason", ""),
                args=data.get("args", {}),
            )
            return Response(DrillCommandOut(given).data, status=202)

        return self.once(effect, required=True)
