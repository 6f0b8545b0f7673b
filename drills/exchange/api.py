"""Experiments and journals over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from drills.exchange import services, taking
from drills.interchange.chaostoolkit import import_experiment
from drills.interchange.reading import LARGEST_BYTES
from drills.plans import selectors
from drills.plans.api import DRILL, TAG, DrillOut, _connection, _leader
from drills.plans.models import HeldDrill
from portal.access import Permission
from portal.api import PortalAPIView, documented

EXPERIMENT: dict[str, Any] = {
    "version": "1.0.0",
    "title": "What if the cache is lost?",
    "description": "The shop goes on without it.",
    "tags": [],
    "steady-state-hypothesis": {
        "title": "The shop answers",
        "probes": [
            {
                "type": "probe",
                "name": "home",
                "tolerance": 200,
                "provider": {"type": "http", "url": "https://shop.example/"},
            }
        ],
    },
    "method": [
        {
            "type": "action",
            "name": "Stop the cache",
            "provider": {"type": "process", "path": "systemctl", "arguments": ["stop", "valkey"]},
        }
    ],
    "rollbacks": [],
}
JOURNAL: dict[str, Any] = {
    "experiment": EXPERIMENT,
    "status": "completed",
    "deviated": False,
    "start": "2026-12-01T09:05:00+00:00",
    "end": "2026-12-01T09:25:00+00:00",
    "duration": 1200.0,
    "steady_states": {"before": None, "during": [], "after": None},
    "run": [],
    "rollbacks": [],
}
LOOKED: dict[str, Any] = {
    "title": EXPERIMENT["title"],
    "objective": EXPERIMENT["description"],
    "is_ours": False,
    "scenario_key": None,
    "needs_recovered_s": True,
    "parts": [
        {
            "where": "method.1",
            "name": "Stop the cache",
            "provider": "process",
            "says": "Process: systemctl [stop, valkey]",
            "becomes": "step 1, by hand",
            "is_kept": True,
        }
    ],
    "without_counterpart": [
        {
            "where": "method.1",
            "what": "Stop the cache",
            "why": "A process provider is shown, never run: it is a step by hand.",
        }
    ],
}


class ExperimentLookIn(serializers.Serializer[Any]):
    """An experiment of the Chaos Toolkit, as it is."""

    experiment = serializers.DictField()


class ExperimentTakeIn(ExperimentLookIn):
    """An experiment to take over, and what it cannot say: the pool, who leads, and a claim where it makes none."""

    title = serializers.CharField(max_length=200, required=False, allow_blank=True)
    connection = serializers.UUIDField(required=False, allow_null=True)
    balancer_id = serializers.CharField(max_length=64, required=False, allow_blank=True)
    facilitator = serializers.UUIDField(required=False, allow_null=True)
    recovered_s = serializers.FloatField(required=False, allow_null=True, min_value=1, max_value=86400)
    add_probes = serializers.BooleanField(required=False, default=False)


class ExperimentPartOut(serializers.Serializer[Any]):
    """One activity of the file, in words, and what becomes of it. `provider` is never run."""

    where = serializers.CharField(source="shown.where")
    name = serializers.CharField(source="shown.name")
    provider = serializers.CharField(source="shown.provider")
    says = serializers.CharField(source="shown.says")
    becomes = serializers.CharField()
    is_kept = serializers.BooleanField()


class WithoutCounterpartOut(serializers.Serializer[Any]):
    """One thing of the file that a drill has no place for, and why."""

    where = serializers.CharField()
    what = serializers.CharField()
    why = serializers.CharField()


class ExperimentLookOut(serializers.Serializer[Any]):
    """What becomes of an experiment. `scenario_key` null: a scenario of the team's own is made of it."""

    title = serializers.CharField(source="imported.title")
    objective = serializers.CharField(source="imported.description")
    is_ours = serializers.BooleanField(source="imported.is_ours")
    scenario_key = serializers.CharField(source="scenario.key", allow_null=True, default=None)
    needs_recovered_s = serializers.BooleanField(source="needs_claim")
    parts = ExperimentPartOut(source="became", many=True)
    without_counterpart = WithoutCounterpartOut(source="left", many=True)


class ExperimentTakenOut(serializers.Serializer[Any]):
    """The draft that was made of it."""

    drill = DrillOut()
    scenario_key = serializers.CharField(source="scenario.key")
    is_new_scenario = serializers.BooleanField()
    probes_added = serializers.IntegerField()
    without_counterpart = WithoutCounterpartOut(many=True)


class ExperimentFileOut(serializers.Serializer[Any]):
    """An experiment in the Chaos Toolkit's own format."""

    version = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    method = serializers.ListField(child=serializers.DictField())
    rollbacks = serializers.ListField(child=serializers.DictField())


class JournalFileOut(serializers.Serializer[Any]):
    """A journal in the Chaos Toolkit's own format."""

    experiment = ExperimentFileOut()
    status = serializers.CharField(max_length=12)
    deviated = serializers.BooleanField()
    start = serializers.CharField()
    end = serializers.CharField()
    duration = serializers.FloatField()
    steady_states = serializers.DictField()
    run = serializers.ListField(child=serializers.DictField())
    rollbacks = serializers.ListField(child=serializers.DictField())


class ExperimentLookApi(PortalAPIView):
    """What would become of an experiment."""

    permission = Permission.DRILL_DRAFT
    max_body_bytes = LARGEST_BYTES + 64 * 1024

    @documented(
        "drills_import_look",
        ExperimentLookOut,
        summary="See what becomes of an experiment of the Chaos Toolkit",
        request=ExperimentLookIn,
        example=LOOKED,
        request_example={"experiment": EXPERIMENT},
        tag=TAG,
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Keeps nothing, and runs nothing of what the file names: that is shown in words. Values of secrets are left out."""
        account = self.find(Account, account_ref)
        looked = services.look(account, self.read(ExperimentLookIn)["experiment"])
        return Response(ExperimentLookOut(looked).data)


class ExperimentTakeApi(PortalAPIView):
    """Take an experiment over."""

    permission = Permission.DRILL_DRAFT
    max_body_bytes = LARGEST_BYTES + 64 * 1024

    @documented(
        "drills_import",
        ExperimentTakenOut,
        summary="Take an experiment of the Chaos Toolkit over as the draft of a fire drill",
        request=ExperimentTakeIn,
        status=201,
        once=True,
        example={
            "drill": {**DRILL, "status": "draft", "run": None, "result": "", "reasons": []},
            "scenario_key": "what_if_the_cache_is_lost",
            "is_new_scenario": True,
            "probes_added": 1,
            "without_counterpart": LOOKED["without_counterpart"],
        },
        request_example={
            "experiment": EXPERIMENT,
            "recovered_s": 900,
            "connection": DRILL["connection"],
            "balancer_id": "71",
            "add_probes": True,
        },
        tag=TAG,
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """A drill of the team's scenario that says the same; where there is none, one is made, which launch managers may. `recovered_s` is needed where the file claims nothing that a drill measures. Servers, people and times are chosen afterwards."""
        account = self.find(Account, account_ref)
        data = self.read(ExperimentTakeIn)
        imported = import_experiment(data["experiment"])
        asked = services.Taking(
            title=data.get("title", ""),
            connection=_connection(account, data.get("connection")),
            balancer_id=data.get("balancer_id", "") if data.get("connection") else "",
            recovered_s=data.get("recovered_s"),
            probes=data["add_probes"],
            facilitator=_leader(account, data.get("facilitator")),
        )

        def effect() -> Response:
            taken = services.take_over(account, imported.draft, asked, actor=self.user)
            found = {
                "drill": taken.drill,
                "scenario": taken.scenario,
                "is_new_scenario": taken.is_new_scenario,
                "probes_added": taken.probes_added,
                "without_counterpart": taking.left_of(imported),
            }
            return Response(ExperimentTakenOut(found, context=self.out_context()).data, status=201)

        return self.once(effect)


class ExperimentFileApi(PortalAPIView):
    """A drill's plan as an experiment."""

    permission = Permission.DRILL_VIEW

    @documented(
        "drills_experiment",
        ExperimentFileOut,
        summary="Read a fire drill as an experiment of the Chaos Toolkit",
        example=EXPERIMENT,
        tag=TAG,
    )
    def get(self, request: Request, drill_ref: UUID) -> Response:
        """As it was submitted; 404 for a draft. It names no servers and no people. `chaos validate` takes it."""
        return Response(services.experiment_of(self.find(selectors.drills_for(self.user), drill_ref)))


class JournalFileApi(PortalAPIView):
    """A drill that is over as a journal."""

    permission = Permission.DRILL_VIEW

    @documented(
        "drills_journal",
        JournalFileOut,
        summary="Read a fire drill that is over as a journal of the Chaos Toolkit",
        example=JOURNAL,
        tag=TAG,
    )
    def get(self, request: Request, drill_ref: UUID) -> Response:
        """404 before it is over. It names no servers and no people."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        held: HeldDrill | None = getattr(drill, "held", None)
        if held is None:
            raise Http404("This drill has not begun.")
        return Response(services.journal_of(held))
