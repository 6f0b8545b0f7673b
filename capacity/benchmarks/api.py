"""Benchmarks through the API: hand a file in, read what it told, say in which environment it ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection
from capacity.baselines.models import MeasuredBaseline
from capacity.benchmarks import selectors, services
from capacity.benchmarks.models import Benchmark
from capacity.benchmarks.views import file_answer
from portal.access import Permission
from portal.api import PortalAPIView, documented, problem_responses
from portal.errors import Refused, StaleState

_REF = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"


class EnvironmentIn(serializers.Serializer[Any]):
    """In which environment it ran, when and why. What is left out stays as it is; "" and null are *unknown*."""

    connection = serializers.UUIDField(
        required=False,
        help_text="The cloud connection of the pool. A pool that a baseline, a ceiling or a comparison rests on stays.",
    )
    balancer_id = serializers.CharField(max_length=64, required=False, help_text="The pool's load balancer.")
    node_count = serializers.IntegerField(min_value=1, max_value=100_000, required=False, allow_null=True)
    flavor = serializers.CharField(max_length=100, required=False, allow_blank=True)
    software = serializers.CharField(max_length=200, required=False, allow_blank=True)
    mix = serializers.CharField(max_length=200, required=False, allow_blank=True)
    ran_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="When it began, where the file does not tell."
    )
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    generator_cpu = serializers.FloatField(
        min_value=0,
        max_value=1,
        required=False,
        allow_null=True,
        help_text="How busy the load generator's processor was, 0 to 1.",
    )
    generator_addresses = serializers.IntegerField(
        min_value=1, max_value=100_000, required=False, allow_null=True
    )
    tied_to_address = serializers.BooleanField(
        required=False,
        allow_null=True,
        help_text="Whether the pool tied an address to one server, or limited it.",
    )
    was_aborted = serializers.BooleanField(required=False, help_text="Whether it was stopped before its end.")


class BenchmarkIn(EnvironmentIn):
    """A file of a load generator, as text, and what it does not tell."""

    content = serializers.CharField(
        trim_whitespace=False, help_text="The file as its tool wrote it, as text (UTF-8)."
    )
    file_name = serializers.CharField(max_length=200, required=False, default="benchmark")
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class AsideIn(serializers.Serializer[Any]):
    """Why it does not count."""

    reason = serializers.CharField(max_length=2000)
    with_baselines = serializers.BooleanField(
        required=False,
        default=False,
        help_text="It does not count although a baseline that is approved, or waits, rests on it; without this, that is 422.",
    )


class BenchmarkRowOut(serializers.ModelSerializer[Benchmark]):
    """A benchmark in a list. Null is *not told*. Times in UTC, latencies in milliseconds, shares 0 to 1."""

    account = serializers.UUIDField(source="account.ref")
    connection = serializers.UUIDField(source="connection.ref", allow_null=True, default=None)
    requests_per_s_per_node = serializers.FloatField(allow_null=True)
    taken_in_by_name = serializers.CharField(source="taken_in_by.name")
    invalid_because = serializers.SerializerMethodField(
        help_text="Why it proves nothing (set aside, stopped before its end, the generator was the limit); empty where nothing speaks against it."
    )

    def get_invalid_because(self, row: Benchmark) -> str:
        """The same sentence as on the page."""
        return selectors.invalid_because(row)

    class Meta:
        model = Benchmark
        fields: tuple[str, ...] = (
            "ref",
            "account",
            "connection",
            "balancer_id",
            "title",
            "reason",
            "tool",
            "format",
            "ran_at",
            "duration_s",
            "users",
            "requests",
            "requests_per_s",
            "requests_per_s_per_node",
            "error_ratio",
            "p50_ms",
            "p95_ms",
            "p99_ms",
            "node_count",
            "flavor",
            "software",
            "mix",
            "generator_cpu",
            "generator_addresses",
            "tied_to_address",
            "was_aborted",
            "file_name",
            "sha256",
            "size_bytes",
            "taken_in_by_name",
            "taken_in_at",
            "set_aside_at",
            "set_aside_because",
            "invalid_because",
        )


class RestingOut(serializers.ModelSerializer[MeasuredBaseline]):
    """A baseline that rests on a benchmark."""

    class Meta:
        model = MeasuredBaseline
        fields = ("ref", "version", "status")


class BenchmarkOut(BenchmarkRowOut):
    """A benchmark with all that its file told: docs/benchmarks.md says what each field of `result` is.

    `baselines` are those made from it that are approved or wait for that; where the benchmark is set aside, plans do not read them.
    """

    result = serializers.DictField()
    baselines = serializers.SerializerMethodField()
    counts_no_more = serializers.SerializerMethodField(
        help_text="After a PATCH: what rested on it and counts no more by what was said, a sentence each."
    )

    class Meta(BenchmarkRowOut.Meta):
        fields = (*BenchmarkRowOut.Meta.fields, "result", "baselines", "counts_no_more")

    def get_counts_no_more(self, row: Benchmark) -> list[str]:
        """The sentences that the page warns with, too."""
        return list(getattr(self.context.get("view"), "counts_no_more", ()))

    @extend_schema_field(RestingOut(many=True))
    def get_baselines(self, row: Benchmark) -> Any:
        """Return what rests on it."""
        return RestingOut(selectors.resting_on(row), many=True).data


ROW: dict[str, Any] = {
    "ref": _REF,
    "account": _REF,
    "connection": None,
    "balancer_id": "",
    "title": "Before Black Friday",
    "reason": "The new search service.",
    "tool": "k6",
    "format": "k6-handle-summary",
    "ran_at": "2026-11-09T06:30:00Z",
    "duration_s": 600.0,
    "users": 200,
    "requests": 312400,
    "requests_per_s": 520.7,
    "requests_per_s_per_node": 86.8,
    "error_ratio": 0.0004,
    "p50_ms": 84.0,
    "p95_ms": 310.0,
    "p99_ms": 610.0,
    "node_count": 6,
    "flavor": "general1-4",
    "software": "shop 4.12",
    "mix": "70 % cached, 25 % search, 5 % checkout",
    "generator_cpu": 0.4,
    "generator_addresses": 2,
    "tied_to_address": False,
    "was_aborted": False,
    "file_name": "summary.json",
    "sha256": "9f2c4e6a" * 8,
    "size_bytes": 48211,
    "taken_in_by_name": "Jonas Berg",
    "taken_in_at": "2026-11-09T07:02:11Z",
    "set_aside_at": None,
    "set_aside_because": "",
    "invalid_because": "",
}
EXAMPLE = {
    **ROW,
    "result": {"tool": "k6", "requests": 312400, "notes": ["The file has no start time."]},
    "baselines": [{"ref": _REF, "version": 2, "status": "approved"}],
    "counts_no_more": [],
}


class BenchmarkAnswers(PortalAPIView, abstract=True):
    """What the views of a benchmark share."""

    counts_no_more: Sequence[str] = ()

    def _shown(self, row: Benchmark, status: int = 200) -> Response:
        return self.show(BenchmarkOut, row, status=status, version=services.described_version(row))


class BenchmarksApi(BenchmarkAnswers):
    """The benchmarks of an account."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD
    max_body_bytes = 2 * services.MOST_BYTES

    @documented(
        "benchmarks_list",
        BenchmarkRowOut,
        summary="List the benchmarks of an account",
        paged=True,
        example=ROW,
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first, without their results."""
        account = self.find(Account, account_ref)
        return self.page(selectors.listed().filter(account=account), BenchmarkRowOut)

    @documented(
        "benchmarks_take_in",
        BenchmarkOut,
        summary="Hand in the file of a load generator",
        request=BenchmarkIn,
        status=201,
        once=True,
        example=EXAMPLE,
        request_example={
            "content": "Running 10s test @ http://www.example.com/\n  2 threads and 10 connections\n…",
            "file_name": "wrk.txt",
            "node_count": 6,
            "software": "shop 4.12",
        },
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """k6, Locust, JMeter, wrk, hey, ApacheBench or vegeta, up to 16 MB. The same file again is 200 with the benchmark
        that is there: what was not said of it before is taken; 409 where something else was said, which tells where that is corrected. 422 says which line is wrong, and what to do.
        """
        account = self.find(Account, account_ref)
        data = self.read(BenchmarkIn)
        pool = _pool(account, data)
        content = data.pop("content").encode()
        name, title = data.pop("file_name"), data.pop("title")
        connection, balancer_id = pool or (None, "")

        def effect() -> Response:
            row, is_new = services.take_in(
                account,
                content,
                file_name=name,
                title=title,
                actor=self.user,
                connection=connection,
                balancer_id=balancer_id,
                **data,
            )
            if not is_new:
                row, _, stays = services.fill_in(
                    row, actor=self.user, pool=pool if balancer_id else None, **data
                )
                _check_same(row, stays)
            return self._shown(row, status=201 if is_new else 200)

        return self.once(effect)


def _check_same(row: Benchmark, stays: Sequence[str]) -> None:
    """Refuse a file that is there where something else was sent of it than is kept: what was sent must not go without a word.

    Why it was run may be told in other words, and the time that the file tells stays whatever is said of it.
    """
    is_told = bool(row.result.get("started_at"))
    others = [name for name in stays if name != "reason" and not (name == "ran_at" and is_told)]
    if not others:
        return
    named = ", ".join("connection and balancer_id" if one == "pool" else one for one in others)
    mend = f"Correct it there with PATCH /api/v1/benchmarks/{row.ref}."
    if "pool" in others and services.does_pool_stay(row):
        mend += (
            " Its pool cannot be corrected any more, as something rests on it: where that is wrong, say that the benchmark does not "
            "count (POST …/set-aside), then hand the file in again."
        )
    raise StaleState(
        f"This very file was taken in before, as “{row.title}” (benchmark {row.ref}), and something else is kept of it: {named}. "
        f"Nothing of what you sent was kept. {mend}",
        code="taken_in_before",
    )


def _pool(account: Account, data: dict[str, Any]) -> tuple[CloudConnection, str] | None:
    """Take connection and load balancer out of what was sent; None where neither was."""
    ref, balancer_id = data.pop("connection", None), data.pop("balancer_id", "")
    if ref is None:
        if balancer_id:
            raise Refused(
                "A load balancer belongs to a cloud connection; name both, or neither.",
                code="no_connection",
            )
        return None
    connection = CloudConnection.objects.defer("api_key").filter(account=account, ref=ref).first()
    if connection is None:
        raise Refused(f"This account has no cloud connection {ref}.", code="unknown_reference")
    return connection, balancer_id


class BenchmarkApi(BenchmarkAnswers):
    """One benchmark."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented("benchmarks_read", BenchmarkOut, summary="Read a benchmark", example=EXAMPLE, tag="capacity")
    def get(self, request: Request, benchmark_ref: UUID) -> Response:
        """With all that its file told. The ETag is of its environment, its pool and why it was run."""
        return self._shown(self.find(selectors.whole(), benchmark_ref))

    @documented(
        "benchmarks_describe",
        BenchmarkOut,
        summary="Say in which environment a benchmark ran",
        request=EnvironmentIn,
        once=True,
        if_match=True,
        example=EXAMPLE,
        request_example={"node_count": 6, "software": "shop 4.12"},
        tag="capacity",
    )
    def patch(self, request: Request, benchmark_ref: UUID) -> Response:
        """What the file tells stays as it is; what is left out, too. 422 for another number or size of servers, software, mix or
        time while a baseline that is approved, or waits for that, rests on it."""
        row = self.find(selectors.whole(), benchmark_ref)
        data = self.read(EnvironmentIn)
        pool = _pool(row.account, data)

        def effect() -> Response:
            self.match(now := services.locked(row), services.described_version(now))
            before = selectors.force_of(now)
            now = services.describe(now, actor=self.user, pool=pool, **data)
            self.counts_no_more = sorted(before - selectors.force_of(now))
            return self._shown(now)

        return self.once(effect)


class BenchmarkFileApi(PortalAPIView):
    """The file."""

    permission = Permission.SAMPLE_VIEW

    @extend_schema(
        operation_id="benchmarks_file",
        summary="Download the file of a benchmark",
        description="As it was handed in, byte for byte.",
        tags=["capacity"],
        responses={
            (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY),
            **problem_responses(401, 403, 404, 429),
        },
    )
    def get(self, request: Request, benchmark_ref: UUID) -> HttpResponse:
        """A download."""
        return file_answer(self.find(selectors.whole().select_related("file"), benchmark_ref))

    get.known_parameters = frozenset()  # type: ignore[attr-defined]


class BenchmarkAsideApi(BenchmarkAnswers):
    """It does not count."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "benchmarks_set_aside",
        BenchmarkOut,
        summary="Say that a benchmark does not count",
        request=AsideIn,
        once=True,
        example={
            **EXAMPLE,
            "set_aside_because": "The load generator was at its limit.",
            "invalid_because": "It was set aside: The load generator was at its limit.",
        },
        request_example={"reason": "The load generator was at its limit."},
        tag="capacity",
    )
    def post(self, request: Request, benchmark_ref: UUID) -> Response:
        """It stays to be read, with the reason. Twice is once; 409 where it was set aside for another reason. 422 where a baseline rests on it, unless `with_baselines` says that
        this is known: plans do not read such a baseline any more."""
        row = self.find(selectors.whole(), benchmark_ref)
        data = self.read(AsideIn)
        return self.once(
            lambda: self._shown(
                services.set_aside(
                    row, because=data["reason"], with_baselines=data["with_baselines"], actor=self.user
                )
            )
        )


class BenchmarkCountApi(BenchmarkAnswers):
    """It counts again."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "benchmarks_count_again",
        BenchmarkOut,
        summary="Let a benchmark count again",
        request=None,
        once=True,
        example=EXAMPLE,
        tag="capacity",
    )
    def post(self, request: Request, benchmark_ref: UUID) -> Response:
        """Twice is once."""
        row = self.find(selectors.whole(), benchmark_ref)
        return self.once(lambda: self._shown(services.count_again(row, actor=self.user)))
