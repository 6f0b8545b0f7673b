"""Baselines and ceilings through the API: propose, read, withdraw; what speaks for a ceiling, let it count. Decided at /approvals."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection, User
from capacity import ceiling
from capacity.baselines import ceilings, doubts, selectors, services
from capacity.baselines.models import (
    BaselineComparison,
    BaselineSource,
    BaselineVerdict,
    MeasuredBaseline,
    PoolLimit,
)
from capacity.benchmarks.models import Benchmark
from capacity.reference import proves_nothing
from capacity.services import lock_known
from portal.access import Permission, holders
from portal.api import PortalAPIView, documented, etag_of
from portal.errors import Refused

_REF = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
VERDICTS = BaselineVerdict.choices


class StandingOut(serializers.Serializer[Any]):
    """How the site stands to it: `verdict` "" while nothing that can be compared came since."""

    verdict = serializers.CharField()
    is_confirmed = serializers.BooleanField(help_text="Two measurements, one after the other, say so.")
    figures = serializers.ListField(child=serializers.CharField())
    says = serializers.CharField()


class MeasuredBaselineRowOut(serializers.ModelSerializer[MeasuredBaseline]):
    """A version of a pool's baseline in a list. Of the approved ones of a pool the highest version counts. Null is *not measured*."""

    account = serializers.UUIDField(source="account.ref")
    connection = serializers.UUIDField(source="connection.ref")
    benchmark = serializers.UUIDField(source="benchmark.ref", allow_null=True, default=None)
    benchmark_set_aside_because = serializers.CharField(
        source="benchmark.set_aside_because",
        default="",
        help_text="Why its benchmark was set aside; empty where it was not.",
    )
    benchmark_proves_nothing = serializers.SerializerMethodField(
        help_text="Whether its benchmark was set aside, or proves nothing after what was said of it since: plans do not read this version."
    )
    owner_name = serializers.CharField(source="owner.name")
    standing = serializers.SerializerMethodField()

    class Meta:
        model = MeasuredBaseline
        fields: tuple[str, ...] = (
            "ref",
            "account",
            "connection",
            "balancer_id",
            "version",
            "status",
            "source",
            "benchmark",
            "benchmark_set_aside_because",
            "benchmark_proves_nothing",
            "resource",
            "begins_at",
            "ends_at",
            "load_per_node_rps",
            "p50_ms",
            "p95_ms",
            "error_ratio",
            "software",
            "measured_at",
            "valid_until",
            "reason",
            "owner_name",
            "proposed_at",
            "decided_at",
            "standing",
        )

    def get_benchmark_proves_nothing(self, row: MeasuredBaseline) -> bool:
        """Return whether plans pass it over."""
        return proves_nothing(row, timezone.now())

    def get_standing(self, row: MeasuredBaseline) -> StandingOut:
        """Return how the site stands to it."""
        newest = getattr(row, "newest", None)
        found = selectors.standing(row.comparisons.all() if newest is None else newest)
        return StandingOut(found).data  # type: ignore[return-value]


class ReplacedOut(serializers.Serializer[Any]):
    """The version that another one takes the place of; `says` what is not held any more then, in sentences."""

    ref = serializers.UUIDField(source="row.ref")
    version = serializers.IntegerField(source="row.version")
    # The base class has an attribute of this name.
    source = serializers.ChoiceField(source="row.source", choices=BaselineSource.choices)  # type: ignore[assignment]
    standing = StandingOut()
    says = serializers.ListField(child=serializers.CharField())


class MeasuredBaselineOut(MeasuredBaselineRowOut):
    """A version with all that is approved: docs/baselines.md says what each field of `content` is. `digest` is decided at /approvals.

    `replaces`: the version that counts until this one is approved, or counted until then; null for the first one.
    """

    replaces = serializers.SerializerMethodField()

    content = serializers.DictField()
    approval = serializers.UUIDField(source="request.ref")
    digest = serializers.CharField(source="request.digest")
    proposed_by_name = serializers.CharField(source="proposed_by.name")

    class Meta(MeasuredBaselineRowOut.Meta):
        fields = (
            *MeasuredBaselineRowOut.Meta.fields,
            "content",
            "approval",
            "digest",
            "proposed_by_name",
            "replaces",
        )

    @extend_schema_field(ReplacedOut(allow_null=True))
    def get_replaces(self, row: MeasuredBaseline) -> Any:
        """Return what it replaces."""
        found = selectors.replaced_of(row)
        return None if found is None else ReplacedOut(found).data


class SeriesIn(serializers.Serializer[Any]):
    """A stretch of normal series, half an hour to fourteen days. `node_count` where no series `nodes` tells it."""

    connection = serializers.UUIDField()
    balancer_id = serializers.CharField(max_length=64)
    resource = serializers.CharField(max_length=200, allow_blank=True)
    begins_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    node_count = serializers.IntegerField(min_value=1, max_value=100_000, required=False, allow_null=True)
    flavor = serializers.CharField(max_length=100)
    software = serializers.CharField(max_length=200)


class BaselineIn(serializers.Serializer[Any]):
    """A benchmark or a stretch of series, and until when it is valid. `users_per_node` chooses a step; else the highest that may."""

    benchmark = serializers.UUIDField(required=False)
    series = SeriesIn(required=False)
    users_per_node = serializers.FloatField(min_value=0, required=False)
    valid_until = serializers.DateTimeField()
    reason = serializers.CharField(max_length=2000)
    owner = serializers.EmailField(required=False, help_text="Who looks after it; else you.")
    tolerances = serializers.DictField(
        child=serializers.FloatField(), required=False, help_text="Ratios by figure, such as p95_ms: 0.15."
    )

    with_events = serializers.BooleanField(
        required=False,
        default=False,
        help_text="The stretch of series is normal traffic although an event reaches into it; without this, such a one is 422.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask for one of the two sources."""
        if ("benchmark" in attrs) == ("series" in attrs):
            raise serializers.ValidationError("Give a benchmark or a stretch of series, one of the two.")
        return attrs


class WithdrawIn(serializers.Serializer[Any]):
    """Why it does not count any more."""

    reason = serializers.CharField(max_length=2000)


class FigureComparedOut(serializers.Serializer[Any]):
    """One figure beside the baseline's. `confidence` null: the measurements cannot tell; `looks` is the verdict by size alone."""

    key = serializers.CharField()
    baseline = serializers.FloatField()
    newer = serializers.FloatField()
    change = serializers.FloatField()
    ratio = serializers.FloatField(allow_null=True)
    counts_from = serializers.FloatField()
    confidence = serializers.FloatField(allow_null=True)
    looks = serializers.ChoiceField(choices=VERDICTS)
    verdict = serializers.ChoiceField(choices=VERDICTS)


class BaselineComparisonOut(serializers.ModelSerializer[BaselineComparison]):
    """How one later measurement lies to a baseline; `why` are the reasons where they cannot be compared."""

    baseline = serializers.UUIDField(source="baseline.ref")
    benchmark = serializers.UUIDField(source="benchmark.ref", allow_null=True, default=None)
    figures = FigureComparedOut(source="found.figures", many=True)
    why = serializers.ListField(source="found.why", child=serializers.CharField())

    class Meta:
        model = BaselineComparison
        fields = (
            "ref",
            "baseline",
            "benchmark",
            "begins_at",
            "measured_at",
            "verdict",
            "software",
            "why",
            "figures",
            "compared_at",
        )


class EvidenceOut(serializers.Serializer[Any]):
    """One thing that speaks for a ceiling, of one server. `is_least`: it may carry more. `invalid` says why it does not count.

    `unproven`: what is missing, where it never counts alone. `passed_nothing`: no load kept what is promised, and why; `requests_per_s` is 0 then.
    """

    rank = serializers.ChoiceField(choices=[(one.value, one.value) for one in ceiling.Rank])
    requests_per_s = serializers.FloatField()
    at = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]
    flavor = serializers.CharField()
    software = serializers.CharField()
    mix = serializers.CharField()
    is_least = serializers.BooleanField()
    invalid = serializers.CharField()
    passed_nothing = serializers.CharField()
    unproven = serializers.CharField()


class CeilingTakeIn(serializers.Serializer[Any]):
    """Nothing must be said."""

    for_higher = serializers.BooleanField(
        default=False,
        help_text="A lower bound may take the place of a higher figure that is known; without it that is 422 `lower-bound`.",
    )
    mix = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=200,
        help_text="The mix of requests whose evidence counts from now on. Without it the one that was chosen last goes on, and what "
        "carried more with another one (`other_mix`) does not count.",
    )
    flavor = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=100,
        source="size",
        help_text="The size of servers that it is of, where the pool has several; without it the one as which the pool is sized.",
    )


class CeilingInForceOut(serializers.Serializer[Any]):
    """The figure that plans and sizes are held against. `is_least`: it may carry more."""

    requests_per_s = serializers.FloatField()
    source = serializers.CharField()  # type: ignore[assignment]
    author = serializers.CharField()
    at = serializers.DateTimeField()
    flavor = serializers.CharField()
    is_least = serializers.BooleanField()
    mix = serializers.CharField()


class LoadStepOut(serializers.Serializer[Any]):
    """What all servers together did under one load; null is *not told*."""

    users = serializers.IntegerField(allow_null=True)
    requests_per_s = serializers.FloatField()
    latency_ms = serializers.FloatField(allow_null=True)
    error_ratio = serializers.FloatField(allow_null=True)
    asked_per_s = serializers.FloatField(allow_null=True)


class CurveOut(serializers.Serializer[Any]):
    """The Universal Scalability Law through the steps, all servers together. Infinite is null."""

    rate = serializers.FloatField()
    contention = serializers.FloatField()
    crosstalk = serializers.FloatField()
    peak_users = serializers.FloatField(allow_null=True)
    most = serializers.FloatField(allow_null=True)
    most_low = serializers.FloatField(allow_null=True)
    most_high = serializers.FloatField(allow_null=True)
    is_beyond = serializers.BooleanField(help_text="The peak lies beyond every load that was measured.")


class LimitOut(serializers.ModelSerializer[PoolLimit]):
    """What the pool carries at most however many servers it has."""

    class Meta:
        model = PoolLimit
        fields = ("kind", "requests_per_s", "source", "at")


class LimitIn(serializers.ModelSerializer[PoolLimit]):
    """What is newly known of it."""

    class Meta:
        model = PoolLimit
        fields = ("kind", "requests_per_s", "source")


class CeilingOut(serializers.Serializer[Any]):
    """What speaks for a pool's ceiling, the one that counts first. `taken` null: none is strong enough, `why` says so."""

    taken = EvidenceOut(allow_null=True)
    why = serializers.CharField()
    other_mix = EvidenceOut(
        allow_null=True,
        help_text="What carried more since with another mix of requests than the one that counts: it does only where `mix` names it.",
    )
    in_force = CeilingInForceOut(
        allow_null=True,
        help_text="What counts by now for the pool's servers: the newest figure that was let count or entered.",
    )
    doubts = serializers.ListField(
        child=serializers.CharField(), help_text="What speaks against the figure in force, in sentences."
    )
    taken_doubts = serializers.ListField(
        child=serializers.CharField(), help_text="What beside that speaks against `taken`, in sentences."
    )
    evidence = EvidenceOut(many=True)
    steps = LoadStepOut(many=True)
    curve = CurveOut(allow_null=True)
    why_no_curve = serializers.CharField()
    own_limit = LimitOut(allow_null=True, help_text="The least of `own_limits`, which counts.")
    own_limits = LimitOut(many=True, help_text="What was last entered of each kind, the least first.")
    shown_limit_rps = serializers.FloatField(
        allow_null=True, help_text="More servers carried no more than this in benchmarks."
    )


_STANDING = {
    "verdict": "same",
    "is_confirmed": False,
    "figures": [],
    "says": "The newest measurement is the same.",
}
ROW: dict[str, Any] = {
    "ref": _REF,
    "account": _REF,
    "connection": _REF,
    "balancer_id": "71",
    "version": 2,
    "status": "approved",
    "source": "benchmark",
    "benchmark": _REF,
    "benchmark_set_aside_because": "",
    "benchmark_proves_nothing": False,
    "resource": "",
    "begins_at": None,
    "ends_at": None,
    "load_per_node_rps": 78.1,
    "p50_ms": 120.0,
    "p95_ms": 312.0,
    "error_ratio": 0.0,
    "software": "shop 4.12",
    "measured_at": "2026-11-09T06:30:00Z",
    "valid_until": "2027-05-09T00:00:00Z",
    "reason": "The six servers before the autumn launch.",
    "owner_name": "Jonas Berg",
    "proposed_at": "2026-11-09T08:00:00Z",
    "decided_at": "2026-11-09T09:12:00Z",
    "standing": _STANDING,
}
EXAMPLE: dict[str, Any] = {
    **ROW,
    "content": {"format": 1, "version": 2, "measured": {"load": {"kind": "closed", "per_node": 25.0}}},
    "approval": _REF,
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "proposed_by_name": "Jonas Berg",
    "replaces": {
        "ref": _REF,
        "version": 1,
        "source": "benchmark",
        "standing": _STANDING,
        "says": ["It replaced version 1, from a benchmark."],
    },
}
COMPARISON: dict[str, Any] = {
    "ref": _REF,
    "baseline": _REF,
    "benchmark": _REF,
    "begins_at": None,
    "measured_at": "2026-11-20T06:30:00Z",
    "verdict": "worse",
    "software": "shop 4.13",
    "why": [],
    "figures": [
        {
            "key": "p95_ms",
            "baseline": 312.0,
            "newer": 410.0,
            "change": 98.0,
            "ratio": 0.314,
            "counts_from": 62.4,
            "confidence": 0.998,
            "looks": "worse",
            "verdict": "worse",
        }
    ],
    "compared_at": "2026-11-20T07:02:11Z",
}
_EVIDENCE = {
    "rank": "steps",
    "requests_per_s": 78.1,
    "at": "2026-11-09T06:30:00Z",
    "source": "Six servers, step by step, 2026-11-09",
    "flavor": "general1-4",
    "software": "shop 4.12",
    "mix": "70 % cached, 25 % search, 5 % checkout",
    "is_least": False,
    "invalid": "",
    "passed_nothing": "",
    "unproven": "",
}
CEILING: dict[str, Any] = {
    "taken": _EVIDENCE,
    "why": "The highest step that passed, of the newest step benchmark.",
    "other_mix": None,
    "in_force": {
        "requests_per_s": 78.1,
        "source": "Six servers, step by step, 2026-11-09",
        "author": "Jonas Berg",
        "at": "2026-11-09T08:00:00Z",
        "flavor": "general1-4",
        "is_least": False,
        "mix": "70 % cached, 25 % search, 5 % checkout",
    },
    "doubts": [],
    "taken_doubts": [],
    "evidence": [_EVIDENCE],
    "steps": [
        {
            "users": 150,
            "requests_per_s": 468.8,
            "latency_ms": 312.0,
            "error_ratio": 0.0,
            "asked_per_s": None,
        }
    ],
    "curve": {
        "rate": 3.1,
        "contention": 0.002,
        "crosstalk": 1e-5,
        "peak_users": 316.0,
        "most": 540.2,
        "most_low": 521.0,
        "most_high": 566.4,
        "is_beyond": True,
    },
    "why_no_curve": "",
    "own_limit": None,
    "own_limits": [],
    "shown_limit_rps": None,
}


class BaselinesApi(PortalAPIView):
    """The baselines of an account."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.BASELINE_PROPOSE

    @documented(
        "baselines_list",
        MeasuredBaselineRowOut,
        summary="List the baselines of an account, every version",
        paged=True,
        example=ROW,
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first, with how the site stands to each."""
        return self.page(selectors.of_account(self.find(Account, account_ref)), MeasuredBaselineRowOut)

    @documented(
        "baselines_propose",
        MeasuredBaselineOut,
        summary="Propose the next version of a pool's baseline",
        request=BaselineIn,
        status=201,
        once=True,
        example={**EXAMPLE, "status": "awaiting_approval", "decided_at": None},
        request_example={
            "benchmark": _REF,
            "valid_until": "2027-05-09T00:00:00Z",
            "reason": "The six servers before the autumn launch.",
        },
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """It is the provider's approval; the customer decides at /approvals. A failed, aborted, invalid or set-aside run is 422."""
        account = self.find(Account, account_ref)
        data = self.read(BaselineIn)
        source = self._source(account, data)
        owner = self._owner(account, data.get("owner"))

        def effect() -> Response:
            row = services.propose(
                source,
                valid_until=data["valid_until"],
                reason=data["reason"],
                owner=owner,
                tolerances=data.get("tolerances"),
                with_events=data["with_events"],
                actor=self.user,
            )
            return self.show(MeasuredBaselineOut, row, status=201)

        return self.once(effect)

    def _source(self, account: Account, data: dict[str, Any]) -> services.Source:
        if "benchmark" in data:
            rows = Benchmark.objects.select_related("account", "connection").filter(account=account)
            benchmark = rows.filter(ref=data["benchmark"]).first()
            if benchmark is None:
                raise Refused(f"This account has no benchmark {data['benchmark']}.", code="unknown_reference")
            return services.from_benchmark(benchmark, users_per_node=data.get("users_per_node"))
        given = dict(data["series"])
        ref = given.pop("connection")
        connection = CloudConnection.objects.defer("api_key").filter(account=account, ref=ref).first()
        if connection is None:
            raise Refused(f"This account has no cloud connection {ref}.", code="unknown_reference")
        return services.from_series(account, connection, given.pop("balancer_id"), **given)

    def _owner(self, account: Account, email: str | None) -> User | None:
        if not email:
            return None
        found: User | None = holders(Permission.SAMPLE_VIEW, account).filter(email__iexact=email).first()
        if found is None:
            raise Refused("Nobody of this account has that mail address.", code="bad_owner")
        return found


class BaselineApi(PortalAPIView):
    """One version."""

    permission = Permission.SAMPLE_VIEW

    @documented(
        "baselines_read", MeasuredBaselineOut, summary="Read a baseline", example=EXAMPLE, tag="capacity"
    )
    def get(self, request: Request, baseline_ref: UUID) -> Response:
        """With all that was approved."""
        return self.show(MeasuredBaselineOut, self.find(selectors.whole(), baseline_ref))


class BaselineComparisonsApi(PortalAPIView):
    """What was measured since."""

    permission = Permission.SAMPLE_VIEW

    @documented(
        "baselines_comparisons",
        BaselineComparisonOut,
        summary="List how later measurements lie to a baseline",
        paged=True,
        example=COMPARISON,
        tag="capacity",
    )
    def get(self, request: Request, baseline_ref: UUID) -> Response:
        """The newest first."""
        baseline = self.find(MeasuredBaseline.objects.select_related("account"), baseline_ref)
        return self.page(
            selectors.comparisons().filter(baseline=baseline), BaselineComparisonOut, order="-measured_at"
        )


class BaselineWithdrawApi(PortalAPIView):
    """It counts no more."""

    permission = Permission.BASELINE_PROPOSE

    @documented(
        "baselines_withdraw",
        MeasuredBaselineOut,
        summary="Withdraw a proposal, or let an approved version count no more",
        request=WithdrawIn,
        once=True,
        example={**EXAMPLE, "status": "voided"},
        request_example={"reason": "The wrong servers took part."},
        tag="capacity",
    )
    def post(self, request: Request, baseline_ref: UUID) -> Response:
        """The approved version before it counts again. It stays to be read, with the reason."""
        row = self.find(selectors.whole(), baseline_ref)
        data = self.read(WithdrawIn)
        return self.once(
            lambda: self.show(
                MeasuredBaselineOut, services.withdraw(row, actor=self.user, reason=data["reason"])
            )
        )


class CeilingApi(PortalAPIView):
    """What speaks for a pool's ceiling."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "ceilings_read",
        CeilingOut,
        summary="Read what speaks for a pool's ceiling",
        example=CEILING,
        tag="capacity",
        parameters=[
            OpenApiParameter(
                "flavor",
                OpenApiTypes.STR,
                description="Of which size of servers, where the pool has several; without it the one as which it is sized.",
            )
        ],
    )
    def get(self, request: Request, connection_ref: UUID, balancer_id: str) -> Response:
        """Evidence in its order, the steps and the curve of the run that counts, the pool's own limit.

        `ETag` is another one once the ceiling in force or one of the pool's own limits is another one. Whoever sends it
        as `If-Match` as they enter something is answered 412 where somebody else was faster.
        """
        connection = self.find(CloudConnection.objects.defer("api_key"), connection_ref)
        return _ceiling(connection, balancer_id, request.query_params.get("flavor", ""))

    @documented(
        "ceilings_take",
        CeilingOut,
        summary="Let the strongest evidence count as the pool's ceiling",
        request=CeilingTakeIn,
        once=True,
        example=CEILING,
        request_example={},
        tag="capacity",
    )
    def post(self, request: Request, connection_ref: UUID, balancer_id: str) -> Response:
        """Plans read it from now on. Earlier figures stay as history."""
        connection = self.find(
            CloudConnection.objects.select_related("account").defer("api_key"), connection_ref
        )

        data = self.read(CeilingTakeIn)

        def effect() -> Response:
            _match_if_given(self, connection, balancer_id, data["size"])
            services.take_ceiling(connection, balancer_id, actor=self.user, **data)
            return _ceiling(connection, balancer_id, data["size"])

        return self.once(effect)


class PoolLimitApi(PortalAPIView):
    """What the pool carries at most."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "pool_limits_enter",
        CeilingOut,
        summary="Enter what a pool carries at most however many servers it has",
        request=LimitIn,
        once=True,
        example=CEILING,
        request_example={"kind": "database", "requests_per_s": 900.0, "source": "load test of the database"},
        tag="capacity",
    )
    def post(self, request: Request, connection_ref: UUID, balancer_id: str) -> Response:
        """Kept apart from the ceiling: more servers do not raise it."""
        connection = self.find(
            CloudConnection.objects.select_related("account").defer("api_key"), connection_ref
        )
        data = self.read(LimitIn)

        def effect() -> Response:
            _match_if_given(self, connection, balancer_id)
            services.enter_limit(connection, balancer_id, actor=self.user, **data)
            return _ceiling(connection, balancer_id)

        return self.once(effect)


class PoolLimitKindApi(PortalAPIView):
    """One kind of the pool's own limits."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "pool_limits_take_back",
        CeilingOut,
        summary="Take back what a pool carries at most, of one kind",
        if_match=True,
        example=CEILING,
        tag="capacity",
    )
    def delete(self, request: Request, connection_ref: UUID, balancer_id: str, limit_kind: str) -> Response:
        """If-Match takes the ETag of the ceiling. The least of the kinds that remain counts; what was entered stays as history."""
        connection = self.find(
            CloudConnection.objects.select_related("account").defer("api_key"), connection_ref
        )
        with transaction.atomic():
            lock_known(connection)
            if all(one.kind != limit_kind for one in ceilings.limits_of(connection.pk, balancer_id)):
                raise Http404("There is no such limit of this pool.")
            self.match(connection, ceilings.ceiling_of(connection, balancer_id).version)
            services.take_back_limit(connection, balancer_id, kind=limit_kind, actor=self.user)
        return _ceiling(connection, balancer_id)


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _match_if_given(
    view: PortalAPIView, connection: CloudConnection, balancer_id: str, size: str = ""
) -> None:
    """Ask that what was read is what counts, of whoever says what they read: entering adds a figure, and needs not say it."""
    if view.request.headers.get("If-Match"):
        lock_known(connection)
        view.match(connection, ceilings.ceiling_of(connection, balancer_id, size=size).version)


def _ceiling(connection: CloudConnection, balancer_id: str, size: str = "") -> Response:
    found = ceilings.ceiling_of(connection, balancer_id, size=size)
    curve = None
    if found.fit is not None:
        usl = found.fit.curve
        curve = {
            "rate": usl.rate,
            "contention": usl.contention,
            "crosstalk": usl.crosstalk,
            "peak_users": _finite(usl.peak_users),
            "most": _finite(usl.most),
            "most_low": _finite(found.fit.most_low),
            "most_high": _finite(found.fit.most_high),
            "is_beyond": found.fit.is_beyond,
        }
    against, against_taken = doubts.doubts_of(connection, balancer_id, found)
    known = {
        "taken": found.ranked.taken,
        "other_mix": found.other_mix,
        "why": found.ranked.why,
        "in_force": next(iter(found.counting), None),
        "doubts": against,
        "taken_doubts": against_taken,
        "evidence": found.ranked.listed,
        "steps": found.steps,
        "curve": curve,
        "why_no_curve": found.why_no_fit,
        "own_limit": found.own_limit,
        "own_limits": found.limits,
        "shown_limit_rps": found.shown_limit.requests_per_s if found.shown_limit else None,
    }
    return Response(CeilingOut(known).data, headers={"ETag": etag_of(connection, found.version)})
