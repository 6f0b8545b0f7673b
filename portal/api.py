"""What every API class stands on.

A usage note for whoever adds an endpoint:

    class PlanList(PortalAPIView):
        permission = Permission.PLAN_VIEW              # required, also names the token's scope
        write_permission = Permission.PLAN_DRAFT       # asked for POST, PUT, PATCH, DELETE

        @documented("plans_list", PlanOut, paged=True)
        def get(self, request, account_ref):
            account = self.find(Account, account_ref)                    # 404, then 403
            return self.page(Plan.objects.filter(account=account), PlanOut, order="-id")

        @documented("plans_create", PlanOut, request=PlanIn, status=201)
        def post(self, request, account_ref):
            account = self.find(Account, account_ref)
            data = self.read(PlanIn)                                     # 422 with errors per field
            return self.once(lambda: self.show(PlanOut, draw_up(account, **data), status=201))

    class PlanStart(PortalAPIView):
        permission = Permission.RUN_START

        @documented("plans_start", RunOut, request=StartIn, command=True)
        def post(self, request, plan_ref):
            plan = self.find(Plan, plan_ref)                             # also on a replay
            data = self.read(StartIn)
            return self.once(lambda: self.show(RunOut, start(plan, actor=request.user, **data)), required=True)

    class ContactDetail(PortalAPIView):
        def patch(self, request, contact_ref):
            contact = self.find(Contact, contact_ref)
            self.match(contact)                                          # If-Match: 428 without, 412 stale
            …

- Services raise `portal.errors` kinds; they become problem documents by themselves.
- `once(effect)` runs the effect in one transaction with its Idempotency-Key row. Without a key it runs
  plainly, or answers 428 where `required`. Whatever `effect` raises rolls everything back and is not kept.
- `show()` sets an ETag where the row has `updated_at`, and honours `fields=`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.exceptions import NotAuthenticated, ParseError, Throttled, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.access import Guard, Permission, is_still_allowed, without_body
from portal.audit.services import record_outside
from portal.counting import count
from portal.errors import Malformed, NotPermitted, Refused, in_time
from portal.models import IdempotentAnswer
from portal.moments import EARLIEST_YEAR, LATEST_YEAR
from portal.paging import MAX_LIMIT, keyset
from portal.problems import (
    Gone,
    KeyReused,
    LengthRequired,
    PreconditionRequired,
    ScopeMissing,
    SecondFactorNeeded,
    Stale,
    TooLarge,
)
from portal.texts import SAYS, is_sound

log = structlog.get_logger(__name__)
Row = TypeVar("Row", bound=Model)

KEEP_FOR = timedelta(hours=24)
RATE_PER_MINUTE = 600
RATE_PER_USER = 3 * RATE_PER_MINUTE
MAX_KEY_LENGTH = 200
MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 32


class ProblemOut(serializers.Serializer[Any]):
    """The shape of every error (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = serializers.DictField()  # type: ignore[assignment]  # the field's name is the RFC's
    request_id = serializers.CharField()
    version = serializers.CharField(
        required=False,
        help_text="Of what it tells of, where you may decide in spite of that: send it along, as what you read.",
    )


class _Allow(BasePermission):
    """Who may is asked by `Guard`, which every view has; DRF's own list is not consulted."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return True


class _AnyAccept(DefaultContentNegotiation):
    """We speak JSON, whatever the caller says that it would like."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return (renderers[0], renderers[0].media_type)


class StrictJSON(BaseParser):
    """JSON that can be stored and answered again: of bounded size and depth, finite numbers, sound text."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the parsed body. Raises TooLarge (413), ParseError (400) or ValidationError (422)."""
        most = getattr((parser_context or {}).get("view"), "max_body_bytes", MAX_BODY_BYTES)
        raw = stream.read(most + 1)
        if len(raw) > most:
            raise TooLarge(most)
        try:
            found = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise ParseError("The body is no JSON in UTF-8, or is nested too deeply.") from None
        for path, wrong in _unfit(found):
            raise ValidationError({path or "non_field_errors": [wrong]})
        return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unfit(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (where, what) for each value that neither the database nor an answer could hold."""
    if depth > MAX_DEPTH:
        yield path, f"This is nested more than {MAX_DEPTH} deep."
    elif isinstance(value, dict):
        for key, item in value.items():
            if not is_sound(key):
                yield path, "A name in here holds characters that are no text."
                return
            yield from _unfit(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _unfit(item, path, depth + 1)
    elif isinstance(value, str):
        if not is_sound(value):
            yield path, f"This holds {SAYS}."
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "This number is too large."


def _let_pass(serializer: Any, value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (where, what) for all in a body that its serializer lets pass: names that it does not know (free-form fields know
    all), moments without a zone, which are hours off for whoever meant another one, or in years that no calendar shows, and
    true where a number is asked for, which would be 1.
    """
    if isinstance(serializer, serializers.ListSerializer):
        for item in value if isinstance(value, list) else ():
            yield from _let_pass(serializer.child, item, path)
    elif isinstance(serializer, serializers.Serializer) and isinstance(value, Mapping):
        for name, item in value.items():
            where = f"{path}.{name}" if path else str(name)
            if name not in serializer.fields:
                yield where, "There is no such field."
            else:
                yield from _let_pass(serializer.fields[name], item, where)
    elif isinstance(serializer, serializers.DateTimeField) and (found := _moment(value)):
        if found.tzinfo is None:
            yield path, "A moment is a time with its zone, such as 2026-12-01T09:10:00Z."
        elif not EARLIEST_YEAR < found.year < LATEST_YEAR:
            yield path, f"A moment lies in the years {EARLIEST_YEAR + 1} to {LATEST_YEAR - 1}."
    elif isinstance(serializer, _NUMBERS) and isinstance(value, bool):
        yield path, "A number, not true or false."


_NUMBERS = (serializers.FloatField, serializers.IntegerField, serializers.DecimalField)


def _moment(value: Any) -> datetime | None:
    try:
        return parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None


class PortalAPIView(Guard, APIView, abstract=True):
    """The base of every API class: permission, scope, problems, pages, idempotency, If-Match, rate limit."""

    permission_classes = [_Allow]
    parser_classes = [StrictJSON]
    content_negotiation_class = _AnyAccept
    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES
    rate_per_minute: ClassVar[int] = RATE_PER_MINUTE
    rate_per_user: ClassVar[int] = RATE_PER_USER
    _limit_headers: dict[str, str]
    _has_thinned = False

    # --- one request -------------------------------------------------------------------------------------

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, limit the rate, ask for the token's scope and the personal permissions."""
        self._limit_headers = {}
        self.begin()
        super().initial(request, *args, **kwargs)
        if self.needed is Permission.PUBLIC:
            _check_length(request, self.max_body_bytes)
            return
        if not request.user.is_authenticated:
            raise NotAuthenticated("Sign in, or send `Authorization: Bearer ss_…`.")
        if self.is_held_back():
            raise SecondFactorNeeded()
        self._limit_rate(request)
        self.check_scope(self.needed)
        self.check_personal()
        self._check_parameters(request)
        _check_query(request)
        _check_length(request, self.max_body_bytes)

    def check_scope(self, needed: Permission) -> None:
        """Refuse (403) a token that lacks the scope; a browser session has every scope of its user."""
        if not self.has_scope(needed):
            record_outside(
                "access.refused",
                actor=self.request.user,
                after={"scope_missing": needed.scope, "path": self.request.path[:200]},
            )
            raise ScopeMissing(f"This token lacks the scope {needed.scope}. Make one that has it.")

    def has_scope(self, needed: Permission) -> bool:
        """Whether the token at hand has the scope; a browser session has every scope of its user."""
        token = self.request.auth
        return token is None or not needed.scope or needed.scope in token.scopes

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the rate limit, and make sure that access was asked."""
        if request.method == "GET" and response.status_code == 200 and not self._has_thinned:
            response = self._with_fields_only(response)
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in getattr(self, "_limit_headers", {}).items():
            response[name] = value
        response["Cache-Control"] = "private, no-store"
        if response.status_code < 400 and request.method != "OPTIONS":
            self.check_asked()
        return without_body(response) if request.method == "HEAD" else response

    def handle_exception(self, exc: Exception) -> Response:
        """Put refusals by services on record, then answer a problem document."""
        if isinstance(exc, NotPermitted):
            record_outside(
                "access.refused",
                actor=self.request.user,
                account=self.account,
                after={"code": exc.code, "method": self.request.method, "path": self.request.path[:200]},
            )
        return super().handle_exception(exc)

    @property
    def token(self) -> Any:
        """The API token with which the caller signed in, or None for a browser session."""
        return self.request.auth

    def reads_on(self) -> Callable[[], bool]:
        """As of a page; for a token it asks whether that still holds."""
        if self.token is None:
            return super().reads_on()
        holds = self.request.successful_authenticator.still_holds
        asked = self.token, self.user.pk, self.needed, self.account

        def may_read_on() -> bool:
            token, user_pk, permission, account = asked
            return bool(holds(token)) and is_still_allowed(user_pk, permission, account)

        return may_read_on

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Say which methods there are, and nothing else."""
        return Response(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def _check_parameters(self, request: Request) -> None:
        """Refuse (400) a read that asks for what this operation does not know: a misspelt filter must not pass for none."""
        handler = getattr(self, "get", None) if request.method in {"GET", "HEAD"} else None
        known = getattr(handler, "known_parameters", None)
        if known is None:
            return
        if twice := [name for name in known if len(request.query_params.getlist(name)) > 1]:
            raise Malformed(f"`{min(twice)}` is asked for twice: send it once.", code="unknown_parameter")
        if "fields" in known and not request.query_params.get("fields", "all").strip(","):
            raise Malformed(
                "`fields` names no field. Leave it out for all of them.", code="unknown_parameter"
            )
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            names = ", ".join(f"`{name[:40]}`" for name in unknown[:5])
            listed = ", ".join(f"`{name}`" for name in sorted(known))
            takes = f"Known are: {listed}." if listed else "Nothing is asked for here."
            raise Malformed(f"There is no parameter {names} here. {takes}", code="unknown_parameter")

    def _limit_rate(self, request: Request) -> None:
        """Count this minute's requests of the token (or session), and those of the user, or of the account, in all.

        Each token has its own limit, and their sum one as well: more tokens are not more room without end.
        Redis away means no limit, not no service. The headers tell of whichever is nearer.
        """
        token: Any = request.auth
        who = f"token:{token.pk}" if token is not None else f"session:{request.user.pk}"
        # A service token is nobody's: what it asks for is counted on its account, not on the person who made it.
        is_service = token is not None and token.account_id is not None
        whole = f"account:{token.account_id}" if is_service else f"user:{request.user.pk}"
        limits = {who: self.rate_per_minute, whole: self.rate_per_user}
        now = int(time.time())
        left_s = 60 - now % 60
        try:
            counts = count([f"api-rate:{counted}:{now // 60}" for counted in limits], keep_s=120)
        except (RedisError, OSError) as error:
            log.warning("rate_limit_unknown", error=type(error).__name__)
            return
        left = {counted: limits[counted] - made for counted, made in zip(limits, counts, strict=True)}
        nearer = min(left, key=lambda counted: left[counted])
        limit = limits[nearer]
        self._limit_headers = {
            "RateLimit-Policy": f'"minute";q={limit};w=60',
            "RateLimit": f'"minute";r={max(0, left[nearer])};t={left_s}',
        }
        if left[nearer] < 0:
            together = (
                "the account, with all of its tokens together"
                if is_service
                else "your log-in, with all tokens and sessions of yours together"
            )
            whose = together if nearer != who else "this token" if token is not None else "this session"
            throttled = Throttled(
                detail=f"More than {limit} requests in a minute. This is the limit of {whose}. "
                f"Come again {in_time(left_s)}."
            )
            # Not handed in: the framework would add a sentence of its own.
            throttled.wait = left_s  # type: ignore[attr-defined]
            raise throttled

    # --- in and out --------------------------------------------------------------------------------------

    def read(self, serializer: type[serializers.BaseSerializer[Any]], **options: Any) -> dict[str, Any]:
        """Return the checked body; raises a 422 that names each field that is wrong."""
        checked = serializer(data=self.request.data, **options)
        # A misspelt floor must not pass for a floor that was not given.
        wrong = {path: [says] for path, says in _let_pass(checked, self.request.data)}
        checked.is_valid(raise_exception=not wrong)
        if wrong:
            raise ValidationError({**dict(checked.errors), **wrong})
        data = dict(checked.validated_data)
        # Number fields take the texts "nan" and "inf" too, which pass every limit or none.
        for path, says in _unfit(data):
            raise ValidationError({path: [says]})
        return data

    def show(
        self,
        serializer: type[serializers.BaseSerializer[Any]],
        row: Any,
        *,
        status: int = 200,
        version: str = "",
    ) -> Response:
        """Return one row, with an ETag where it has versions: by its `updated_at`, or the `version` that is given."""
        data = serializer(row, context=self.out_context()).data
        headers = {"ETag": etag_of(row, version)} if version or hasattr(row, "updated_at") else {}
        return Response(self._thinned(data), status=status, headers=headers)

    def out_context(self) -> dict[str, Any]:
        """Return what serializers may look at: the request and what the caller may do here."""
        return {"request": self.request, "granted": self.granted, "view": self}

    def page(
        self,
        rows: QuerySet[Row],
        serializer: type[serializers.BaseSerializer[Any]],
        *,
        order: str = "-id",
        filters: Mapping[str, Any] | None = None,
        late: bool = False,
        shown: Callable[[list[Row]], object] | None = None,
    ) -> Response:
        """Return one keyset page: `{"results": […], "next": url | null, "previous": url | null}`.

        `shown` is told the rows of the page, for what must be on record of them.
        """
        found = keyset(rows, self.request, order=order, filters=filters, late=late)
        if shown is not None:
            shown(found.rows)
        data = serializer(found.rows, many=True, context=self.out_context()).data
        base = self.request.build_absolute_uri(self.request.path)
        return Response(
            {
                "results": [self._thinned(item) for item in data],
                "next": base + found.next_url if found.next_url else None,
                "previous": base + found.previous_url if found.previous_url else None,
            }
        )

    def _with_fields_only(self, response: Any) -> Any:
        """Honour `fields` for what an operation put together itself; 400 for what has none (a file)."""
        if not self.request.query_params.get("fields"):
            return response
        data = getattr(response, "data", None)
        try:
            if not isinstance(data, Mapping):
                raise Malformed(
                    "There is no parameter `fields` here: the answer has none.", code="unknown_parameter"
                )
            rows = data.get("results")
            response.data = (
                {**data, "results": [self._thinned(row) for row in rows]}
                if isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows)
                else self._thinned(data)
            )
        except (Malformed, Refused) as refused:
            return self.handle_exception(refused)
        return response

    def _thinned(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        self._has_thinned = True
        wanted = self.request.query_params.get("fields", "")
        if not wanted or self.request.method != "GET":
            return data
        names = [name for name in wanted.split(",") if name]
        unknown = [name for name in names if name not in data]
        if unknown:
            raise Refused(f"`fields` names what is not there: {', '.join(unknown)}.", code="unknown_field")
        return {name: data[name] for name in names}

    # --- doing once --------------------------------------------------------------------------------------

    def match(self, row: Any, version: str = "") -> None:
        """Ask that If-Match names the row's present version, as `show` told it: 428 without the header, 412 if stale."""
        given = self.request.headers.get("If-Match", "")
        if not given:
            raise PreconditionRequired(
                "Send If-Match with the ETag that you read, so that nothing is overwritten."
            )
        if given.strip() != "*" and etag_of(row, version) not in [part.strip() for part in given.split(",")]:
            raise Stale()

    def once(
        self,
        effect: Callable[[], Response],
        *,
        required: bool = False,
        secret_fields: tuple[str, ...] = (),
    ) -> Response:
        """Run `effect` once for this caller, method, path and Idempotency-Key, in one transaction.

        A repeat with the same body gets the stored answer (header `Idempotent-Replay: true`); with another
        body 409. `secret_fields` are left out of what is stored. Call it after `find()`, so that a replay
        asks for access again.
        """
        name = self._named(required=required)
        if name is None:
            with transaction.atomic():
                return effect()
        digest = _body_digest(self.request.data)
        with transaction.atomic():
            held = _take(name, digest)
            if held is not None:
                return self._replay(held, digest)
            response = effect()
            if response.status_code < 400:
                kept = _plain(response.data)
                if isinstance(kept, dict):
                    kept = {field: None if field in secret_fields else value for field, value in kept.items()}
                IdempotentAnswer.objects.filter(**name).update(
                    status=response.status_code,
                    body=kept,
                    headers={k: v for k, v in response.headers.items() if k in {"ETag", "Location"}},
                )
            else:
                IdempotentAnswer.objects.filter(**name).delete()
            return response

    def answered_before(self, *, required: bool = False) -> Response | None:
        """Return the kept answer to this Idempotency-Key, None if there is none: for what must read elsewhere.

        An effect that asks a provider holds its transaction for as long as the provider takes. So look here
        first, ask, and record what was found with `once()`. A parallel twin then asks too, and replays.
        """
        name = self._named(required=required)
        if name is None:
            return None
        held = IdempotentAnswer.objects.filter(**name, at__gte=timezone.now() - KEEP_FOR).first()
        return self._replay(held, _body_digest(self.request.data)) if held is not None else None

    def _named(self, *, required: bool) -> dict[str, str] | None:
        """Return what the Idempotency-Key is unique with, None without one; 428 where it is required."""
        key = self.request.headers.get("Idempotency-Key", "")
        if not key:
            if required:
                raise PreconditionRequired(
                    "Send an Idempotency-Key with a command, so that it is never done twice."
                )
            return None
        if len(key) > MAX_KEY_LENGTH:
            raise Refused(f"An Idempotency-Key has at most {MAX_KEY_LENGTH} characters.", code="bad_key")
        return {
            # A service token's answers are no one else's, its maker's neither: it may read less of them.
            "actor": str((self.token if getattr(self.user, "limit", None) else self.user).ref),
            "method": str(self.request.method),
            "path": self.request.path[:500],
            "key": key,
        }

    def _replay(self, held: IdempotentAnswer, digest: str) -> Response:
        if held.status == IdempotentAnswer.GONE:
            raise Gone(
                "This was done before with the same Idempotency-Key, and somebody whom the answer named was erased since: "
                "it is no longer kept. Nothing was done again. Use a new key for a new request."
            )
        if held.body_digest != digest:
            raise KeyReused()
        if held.status is None:
            raise _impossible(held)
        return Response(held.body, status=held.status, headers={**held.headers, "Idempotent-Replay": "true"})


def judged(check: Callable[[str], object], value: str) -> str:
    """Return `value` if `check` lets it pass; what it refuses becomes the error of the field at hand."""
    try:
        check(value)
    except Refused as refusal:
        raise ValidationError(refusal.says) from refusal
    return value


def _check_query(request: Request) -> None:
    """Refuse in the address what no text may hold: some of it is kept, such as why somebody reads."""
    for name, values in request.query_params.lists():
        if not all(is_sound(value) for value in (name, *values)):
            raise Malformed(f"The address holds {SAYS}. Nothing was done.", code="unsound")


def _check_length(request: Request, most: int) -> None:
    """Refuse a body that is too large, or whose length is not told (it would be taken for an empty one)."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and "HTTP_TRANSFER_ENCODING" in request.META:
        raise LengthRequired()
    if length.isascii() and length.isdigit() and int(length) > most:
        raise TooLarge(most)


def _impossible(held: IdempotentAnswer) -> Exception:
    return AssertionError(f"a committed idempotent answer has no status: {held.pk}")


def _take(name: Mapping[str, str], digest: str) -> IdempotentAnswer | None:
    """Insert the row of this request; return the other one if somebody was first (waiting for its commit)."""
    IdempotentAnswer.objects.filter(**name, at__lt=timezone.now() - KEEP_FOR).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO portal_idempotentanswer (actor, method, path, key, body_digest, headers, at)"
            " VALUES (%s, %s, %s, %s, %s, '{}', now())"
            " ON CONFLICT (actor, method, path, key) DO NOTHING RETURNING id",
            [name["actor"], name["method"], name["path"], name["key"], digest],
        )
        if cursor.fetchone() is not None:
            return None
    return IdempotentAnswer.objects.get(**name)


def _plain(data: Any) -> Any:
    return json.loads(json.dumps(data, cls=DjangoJSONEncoder))


def _body_digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()


def etag_of(row: Any, version: str = "") -> str:
    """Return the version of a row as an ETag; of one without `updated_at` the caller says which it is."""
    text = f"{row.ref}:{version or row.updated_at.isoformat()}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def forget_old_answers(now: Any = None) -> int:
    """Delete idempotent answers past their day; returns how many."""
    gone, _ = IdempotentAnswer.objects.filter(at__lt=(now or timezone.now()) - KEEP_FOR).delete()
    return gone


# --- the schema ------------------------------------------------------------------------------------------

_EXAMPLE_ID = "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11"
_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("malformed", "The body is not JSON."),
    401: ("not-signed-in", "Sign in, or send a token."),
    403: ("not-permitted", "You may not do this here."),
    404: ("not-found", "There is nothing here that you can see."),
    409: ("conflict", "It does not fit what is there now."),
    410: ("gone", "What was asked for is no longer kept."),
    411: ("length-required", "Send the body with a Content-Length; chunked bodies are not taken."),
    412: ("stale", "This has changed since you read it. Read it again, then decide."),
    413: ("too-large", "A body may have at most 1 MiB."),
    415: ("unsupported-media-type", "Send `Content-Type: application/json`."),
    422: ("invalid", "Some fields are not as they must be; `errors` names each."),
    428: ("precondition-required", "A header is missing that this request needs."),
    429: ("too-many-requests", "More than 600 requests in a minute with this token or session."),
    502: ("provider-failed", "The provider refused, or its answer was lost. Nothing was changed."),
    503: ("try-later", "The provider is busy or does not answer. Try again after `Retry-After` seconds."),
}


def _error(status: int) -> OpenApiResponse:
    from portal.problems import TITLES

    code, detail = _ERRORS[status]
    value = {
        "type": f"urn:steady-state:problem:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "errors": {},
        "request_id": _EXAMPLE_ID,
    }
    return OpenApiResponse(
        response=ProblemOut,
        description=TITLES[status],
        examples=[
            OpenApiExample(code, value=value, response_only=True, media_type="application/problem+json")
        ],
    )


def problem_responses(*codes: int) -> dict[Any, OpenApiResponse]:
    """Return the schema's answers for these errors, for operations that `documented` does not fit."""
    return {(code, "application/problem+json"): _error(code) for code in codes}


def documented(
    operation_id: str,
    answer: Any,
    *,
    summary: str = "",
    request: Any = None,
    status: int = 200,
    example: Any = None,
    request_example: Any = None,
    paged: bool = False,
    command: bool = False,
    once: bool = False,
    if_match: bool = False,
    asks_provider: bool = False,
    public: bool = False,
    tag: str = "",
    can_be_gone: bool = False,
    parameters: list[OpenApiParameter] | None = None,
) -> Callable[[Any], Any]:
    """Describe one operation for the OpenAPI document: answer, example, every error that it can give.

    `command` and `once` add the Idempotency-Key header (required for commands), `if_match` If-Match,
    `paged` the cursor, `can_be_gone` the 410, `asks_provider` what a provider can cause. `example` is the answer's example (one row for lists).
    """
    given = list(parameters or [])
    if command or once:
        given.append(
            OpenApiParameter(
                "Idempotency-Key",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                required=command,
                description="Any text of at most 200 characters that is new for each new request.",
            )
        )
    if if_match:
        given.append(
            OpenApiParameter(
                "If-Match",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                required=True,
                description="The ETag that you read.",
            )
        )
    if paged:
        given += [
            OpenApiParameter(
                "cursor", OpenApiTypes.STR, description="From `next` or `previous` of an answer."
            ),
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"1 to {MAX_LIMIT}; 25 if not given."),
            OpenApiParameter(
                "fields", OpenApiTypes.STR, description="Only these fields, separated by commas."
            ),
        ]
    codes = {401, 403, 404, 429}
    if request is not None or paged or command or once or parameters:
        codes |= {400, 422}
    if request is not None or command or once:
        codes |= {411, 413, 415}
    if asks_provider:
        codes |= {422, 502, 503}
    if command or once:
        codes |= {409}
    if can_be_gone:
        codes |= {410}
    if command or if_match:
        codes |= {428}
    if if_match:
        codes |= {412}
    if public:
        codes = {429}
    examples = []
    if example is not None:
        value = {"results": [example], "next": None, "previous": None} if paged else example
        examples.append(OpenApiExample("answer", value=value, response_only=True, status_codes=[str(status)]))
    if request_example is not None:
        examples.append(OpenApiExample("request", value=request_example, request_only=True))
    shape = page_of(answer) if paged else answer
    tags = [tag] if tag else None
    described: Callable[[Any], Any] = extend_schema(
        operation_id=operation_id,
        summary=summary or None,
        request=request,
        parameters=given,
        responses={
            status: shape,
            **{(code, "application/problem+json"): _error(code) for code in sorted(codes)},
        },
        examples=examples,
        tags=tags,
    )
    known = {one.name for one in given if one.location == OpenApiParameter.QUERY} | {"fields"}

    def decorated(handler: Any) -> Any:
        found = described(handler)
        found.known_parameters = frozenset(known)
        return found

    return decorated


_pages: dict[str, type[serializers.Serializer[Any]]] = {}


def page_of(answer: Any) -> type[serializers.Serializer[Any]]:
    """Return the serializer of a keyset page of `answer` (a serializer class)."""
    item = answer if isinstance(answer, type) else type(answer.child)
    name = f"{item.__name__.removesuffix('Out')}Page"
    if name not in _pages:
        _pages[name] = type(
            name,
            (serializers.Serializer,),
            {
                "__doc__": f"One page of {item.__name__.removesuffix('Out')}.",
                "results": item(many=True),
                "next": serializers.CharField(allow_null=True),
                "previous": serializers.CharField(allow_null=True),
            },
        )
    return _pages[name]
