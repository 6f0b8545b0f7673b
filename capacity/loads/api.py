"""Profiles and their runs through the API. Approvals are decided at `/approvals/{ref}` as for everything."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection
from capacity.loads import result as results
from capacity.loads import selectors, services
from capacity.loads.models import LoadProfile, LoadRun, ProfileStatus, RunEnding
from capacity.loads.profile import LoadUnit, Method, ShapeKind
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import Refused

_SHAPE = {"kind": "steps", "unit": "users", "level": 50.0, "duration_s": 600, "start": 10.0, "steps": 5}
_STOPS = {"error_ratio": 0.05, "window_s": 10, "p95_ms": 2000.0}
PROFILE: dict[str, Any] = {
    "ref": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c003",
    "name": "front page and search",
    "status": "approved",
    "digest": "5f" * 32,
    "approval": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c004",
    "valid_until": "2027-02-20T12:10:31Z",
    "connection": None,
    "balancer_id": "",
    "requests": [{"method": "GET", "url": "https://shop.example.com/", "weight": 3}],
    "shape": _SHAPE,
    "stops": _STOPS,
    "max_users": 50,
    "max_requests_per_s": 200.0,
    "think_s": 1.0,
    "headers": {"Accept-Language": "de"},
    "secret_headers": ["Authorization"],
    "made_at": "2026-11-22T12:10:31Z",
}
PROFILE_IN: dict[str, Any] = {
    **{
        name: PROFILE[name]
        for name in ("name", "requests", "shape", "stops", "max_users", "max_requests_per_s")
    },
    "think_s": 1.0,
    "headers": {"Accept-Language": "de"},
    "secret_headers": {"Authorization": "Bearer …"},
}
LOAD: dict[str, Any] = {
    "ref": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c005",
    "profile": PROFILE["ref"],
    "run": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c006",
    "made_at": "2026-11-23T12:10:31Z",
    "began_at": "2026-11-23T12:10:33Z",
    "ended_at": None,
    "ending": "",
    "ending_says": "",
    "reason": "Before the sale.",
    "node_count": 4,
    "flavor": "general1-4",
    "software": "shop 4.2",
    "benchmark": None,
    "live": {"requests_per_s": 81.4, "p95_ms": 212.0, "error_ratio": 0.0, "users": 30, "cpu": 0.12},
}


class LoadRequest(serializers.Serializer[Any]):
    """One address and its weight beside the others. Only GET and HEAD."""

    method = serializers.ChoiceField(choices=[(one.value, one.value) for one in Method], default="GET")
    url = serializers.CharField(max_length=2000)
    weight = serializers.IntegerField(min_value=1, max_value=1000, default=1)


class LoadShape(serializers.Serializer[Any]):
    """The load over time. *Steps* and *ramp* go from `start` to `level`; *steady* is `level` throughout."""

    kind = serializers.ChoiceField(choices=[(one.value, one.value) for one in ShapeKind])
    unit = serializers.ChoiceField(choices=[(one.value, one.value) for one in LoadUnit])
    level = serializers.FloatField(min_value=0.01)
    duration_s = serializers.IntegerField(min_value=1)
    start = serializers.FloatField(min_value=0, default=0.0)
    steps = serializers.IntegerField(min_value=1, max_value=20, default=1)


class LoadStops(serializers.Serializer[Any]):
    """When it ends by itself, over the last `window_s` seconds. `p95_ms` null: whatever the latency."""

    error_ratio = serializers.FloatField(min_value=0.0001, max_value=1)
    window_s = serializers.IntegerField(min_value=2, max_value=60, default=10)
    p95_ms = serializers.FloatField(min_value=1, allow_null=True, default=None)


class LoadProfileOut(serializers.ModelSerializer[LoadProfile]):
    """A profile. Of secret headers only the names are told. `approval` is null for a draft."""

    status = serializers.ChoiceField(choices=ProfileStatus.choices)
    approval = serializers.UUIDField(source="request.ref", allow_null=True, default=None)
    connection = serializers.UUIDField(source="connection.ref", allow_null=True, default=None)
    requests = LoadRequest(many=True, source="content.requests")
    shape = LoadShape(source="content.shape")
    stops = LoadStops(source="content.stops")
    max_users = serializers.IntegerField(source="content.max_users")
    max_requests_per_s = serializers.FloatField(source="content.max_requests_per_s")
    think_s = serializers.FloatField(source="content.think_s")
    headers = serializers.SerializerMethodField()
    secret_headers = serializers.ListField(child=serializers.CharField(), source="content.secret_headers")

    class Meta:
        model = LoadProfile
        fields = (*PROFILE,)

    def get_headers(self, row: LoadProfile) -> dict[str, str]:
        """Return them by name."""
        return dict(row.content["headers"])


class LoadProfileIn(serializers.Serializer[Any]):
    """What to draw up. The operator caps users, requests a second and duration."""

    name = serializers.CharField(max_length=200)
    requests = LoadRequest(many=True)
    shape = LoadShape()
    stops = LoadStops()
    max_users = serializers.IntegerField(min_value=1)
    max_requests_per_s = serializers.FloatField(min_value=0.01)
    think_s = serializers.FloatField(min_value=0, max_value=60, default=0.0)
    headers = serializers.DictField(child=serializers.CharField(max_length=4000), default=dict)
    secret_headers = serializers.DictField(
        child=serializers.CharField(max_length=4000), required=False, write_only=True
    )
    connection = serializers.UUIDField(required=False, allow_null=True)
    balancer_id = serializers.CharField(max_length=64, required=False, allow_blank=True)


class LoadReasonIn(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=2000)


class LoadStartIn(serializers.Serializer[Any]):
    """`digest` is that of the profile as it was read. The rest stands with the figures."""

    digest = serializers.CharField(max_length=64)
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    node_count = serializers.IntegerField(min_value=1, max_value=100_000, required=False, allow_null=True)
    flavor = serializers.CharField(max_length=100, required=False, allow_blank=True)
    software = serializers.CharField(max_length=200, required=False, allow_blank=True)


class LoadFigures(serializers.Serializer[Any]):
    """The last five seconds; null is *not known*. `cpu` is how busy the generator is, 0 to 1."""

    requests_per_s = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    error_ratio = serializers.FloatField(allow_null=True)
    users = serializers.IntegerField(allow_null=True)
    cpu = serializers.FloatField(allow_null=True)


class LoadRunOut(serializers.ModelSerializer[LoadRun]):
    """A run of a profile. `ending` is "" while it goes on; `benchmark` is what was measured, once it has ended."""

    profile = serializers.UUIDField(source="profile.ref")
    run = serializers.UUIDField(source="run.ref")
    benchmark = serializers.UUIDField(source="benchmark.ref", allow_null=True, default=None)
    ending = serializers.ChoiceField(choices=[("", "goes on"), *RunEnding.choices])

    class Meta:
        model = LoadRun
        fields = tuple(name for name in LOAD if name != "live")


class LoadRunLiveOut(LoadRunOut):
    """A run with its newest figures."""

    live = serializers.SerializerMethodField()

    class Meta:
        model = LoadRun
        fields = (*LOAD,)

    def get_live(self, row: LoadRun) -> LoadFigures:
        """Return the figures of the newest seconds."""
        newest = [one.told for one in row.seconds.order_by("-number")[:5]]
        return LoadFigures(results.live_of(newest[::-1])).data  # type: ignore[return-value]


class LoadProfileListApi(PortalAPIView):
    """Profiles of load."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.LOAD_DRAFT

    @documented(
        "load_profiles_list",
        LoadProfileOut,
        summary="List profiles of load",
        paged=True,
        example=PROFILE,
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """The newest first."""
        account = self.find(Account, account_ref)
        return self.page(selectors.profiles().filter(account=account), LoadProfileOut)

    @documented(
        "load_profiles_draft",
        LoadProfileOut,
        summary="Draw up a profile of load",
        request=LoadProfileIn,
        status=201,
        once=True,
        example={**PROFILE, "status": "draft", "approval": None, "valid_until": None},
        request_example=PROFILE_IN,
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Nothing is sent: it must be approved, and its hosts proven, before it is run."""
        account = self.find(Account, account_ref)
        data = self.read(LoadProfileIn)
        fields = _fields(account, data)
        return self.once(
            lambda: self.show(LoadProfileOut, services.draft(account, fields, actor=self.user), status=201)
        )


def _fields(account: Account, data: dict[str, Any]) -> dict[str, Any]:
    ref = data.pop("connection", None)
    if ref is None:
        return {**data, "connection": None}
    found = CloudConnection.objects.filter(account=account, ref=ref).defer("api_key").first()
    if found is None:
        raise Refused("This account has no such cloud connection.", code="unknown_connection")
    return {**data, "connection": found}


class LoadProfileApi(PortalAPIView):
    """One profile."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.LOAD_DRAFT

    @documented(
        "load_profiles_read", LoadProfileOut, summary="Read a profile", example=PROFILE, tag="capacity"
    )
    def get(self, request: Request, profile_ref: UUID) -> Response:
        """With an ETag."""
        return self.show(LoadProfileOut, self.find(selectors.profiles(), profile_ref))

    @documented(
        "load_profiles_change",
        LoadProfileOut,
        summary="Change a draft",
        request=LoadProfileIn,
        if_match=True,
        example={**PROFILE, "status": "draft", "approval": None, "valid_until": None},
        request_example=PROFILE_IN,
        tag="capacity",
    )
    def put(self, request: Request, profile_ref: UUID) -> Response:
        """All of it anew; secret headers that are not given stay."""
        row = self.find(selectors.profiles(), profile_ref)
        self.match(row)
        data = self.read(LoadProfileIn)
        return self.show(LoadProfileOut, services.change(row, _fields(row.account, data), actor=self.user))


class LoadProfileSubmitApi(PortalAPIView):
    """Ask for approval."""

    permission = Permission.LOAD_SUBMIT

    @documented(
        "load_profiles_submit",
        LoadProfileOut,
        summary="Submit a profile, which is the provider's approval",
        command=True,
        example={**PROFILE, "status": "awaiting_approval"},
        tag="capacity",
    )
    def post(self, request: Request, profile_ref: UUID) -> Response:
        """The customer decides at `/approvals/{approval}`."""
        row = self.find(selectors.profiles(), profile_ref)
        return self.once(
            lambda: self.show(LoadProfileOut, services.submit(row, actor=self.user)), required=True
        )


class LoadProfileWithdrawApi(PortalAPIView):
    """Let it be run no more."""

    permission = Permission.LOAD_SUBMIT

    @documented(
        "load_profiles_withdraw",
        LoadProfileOut,
        summary="Withdraw a profile",
        request=LoadReasonIn,
        once=True,
        example={**PROFILE, "status": "voided"},
        request_example={"reason": "The site has moved."},
        tag="capacity",
    )
    def post(self, request: Request, profile_ref: UUID) -> Response:
        """A load that is on goes on: abort it."""
        row = self.find(selectors.profiles(), profile_ref)
        data = self.read(LoadReasonIn)
        return self.once(
            lambda: self.show(LoadProfileOut, services.withdraw(row, actor=self.user, reason=data["reason"]))
        )


class LoadProfileStartApi(PortalAPIView):
    """Put the load on."""

    permission = Permission.LOAD_START

    @documented(
        "load_profiles_start",
        LoadRunOut,
        summary="Put an approved load on the site",
        request=LoadStartIn,
        command=True,
        status=201,
        example={name: value for name, value in LOAD.items() if name != "live"},
        request_example={"digest": PROFILE["digest"], "reason": "Before the sale.", "node_count": 4},
        tag="capacity",
    )
    def post(self, request: Request, profile_ref: UUID) -> Response:
        """Its hosts' proofs are looked for now. 422 says what holds it back: no proof, a freeze, another run on the pool."""
        row = self.find(selectors.profiles(), profile_ref)
        data = self.read(LoadStartIn)
        digest = data.pop("digest")
        return self.once(
            lambda: self.show(
                LoadRunOut, services.start(row, actor=self.user, seen_digest=digest, **data), status=201
            ),
            required=True,
        )


class LoadRunListApi(PortalAPIView):
    """Runs of profiles."""

    permission = Permission.SAMPLE_VIEW

    @documented(
        "load_runs_list",
        LoadRunOut,
        summary="List runs of load",
        paged=True,
        example={name: value for name, value in LOAD.items() if name != "live"},
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """The newest first."""
        account = self.find(Account, account_ref)
        return self.page(selectors.loads().filter(account=account), LoadRunOut)


class LoadRunApi(PortalAPIView):
    """One run."""

    permission = Permission.SAMPLE_VIEW

    @documented("load_runs_read", LoadRunLiveOut, summary="Read a run of load", example=LOAD, tag="capacity")
    def get(self, request: Request, load_ref: UUID) -> Response:
        """With its newest figures."""
        return self.show(LoadRunLiveOut, self.find(selectors.loads(), load_ref))


class LoadRunAbortApi(PortalAPIView):
    """End a load."""

    permission = Permission.LOAD_ABORT

    @documented(
        "load_runs_abort",
        LoadRunOut,
        summary="Abort a load",
        command=True,
        example={name: value for name, value in LOAD.items() if name != "live"},
        tag="capacity",
    )
    def post(self, request: Request, load_ref: UUID) -> Response:
        """It ends within two seconds; what came in so far is kept."""
        load = self.find(selectors.loads(), load_ref)

        def effect() -> Response:
            services.abort(load, actor=self.user)
            return self.show(LoadRunOut, load)

        return self.once(effect, required=True)
