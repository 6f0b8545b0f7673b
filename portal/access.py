"""The one place that answers "may this user do that on this account?".

Pages and API views declare a permission (a base class cannot be subclassed without one), lists come from
`visible_to(user, rows)`, buttons use `{% if can.plan_approve %}`:

    class PlanApprove(PortalView):
        permission = Permission.PLAN_APPROVE
        def post(self, request, plan_ref):
            plan = self.find(Plan, plan_ref)      # not visible: 404; right missing: 403

What belongs to a team and to no account (its members, invitations into it) is found by `find_in_team()` the
same way: a model says `team_path = "team"`.

A model that belongs to an account says how to get there: `account_path = "plan__account"` (`""` for the
account itself); one with a field `account` need not say it. What is another account's is 404, a right that one lacks is 403.
`is_superuser` grants nothing. An operator of the installation sees no row of any account.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from importlib import import_module
from inspect import isawaitable
from typing import Any, ClassVar, NoReturn, TypeVar, cast

import structlog
from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.contrib.auth.views import redirect_to_login
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist, PermissionDenied
from django.db import IntegrityError, OperationalError, connection, models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import patch_cache_control
from django.views import View
from psycopg.errors import DeadlockDetected, ForeignKeyViolation, UniqueViolation

from portal.audit.services import record_outside
from portal.compiled import Compiled
from portal.errors import (
    InDoubt,
    Malformed,
    NotPermitted,
    ProviderFailed,
    Refused,
    StaleState,
    TooOften,
    Trouble,
    TryLater,
)
from portal.texts import SAYS, is_sound

log = structlog.get_logger(__name__)
Row = TypeVar("Row", bound=models.Model)


class Permission(Enum):
    """What one may do. The value is the scope that an API token needs for it, and the sentence for people."""

    # asked of nobody in particular
    PUBLIC = ("", "open a page that needs no log-in")
    SIGNED_IN = ("me", "use the portal and own settings")
    OPERATE = ("operate", "see health, queues and metrics of the installation")
    # reading
    ACCOUNT_VIEW = ("accounts:read", "read the account")
    CONTACT_VIEW = ("contacts:read", "read its contacts")
    CONNECTION_VIEW = ("connections:read", "see its cloud connections, never their keys")
    PLAN_VIEW = ("scaledown:read", "read its plans")
    RUN_VIEW = ("scaledown:read", "watch its runs and read reports")
    AUDIT_VIEW = ("audit:read", "read what was changed, when and by whom")
    MEMBER_VIEW = ("members:read", "see who has access, and in which role")
    EVENT_VIEW = ("events:read", "follow what happens as events")
    REVIEW_VIEW = ("reviews:read", "read its scorecard, reviews and action items")
    CALENDAR_VIEW = ("calendar:read", "read its calendar")
    SAMPLE_VIEW = ("capacity:read", "read its metrics and benchmarks")
    DRILL_VIEW = ("drills:read", "read its drills and their reports")
    DRILL_STOP = ("drills:stop", "stop drills, or say that one has become real")
    DRILL_NOTE = ("drills:note", "note in a drill what was seen, and when")
    CASE_VIEW = ("cases:read", "read its support cases")
    CASE_OPEN = ("cases:write", "call for help: open a support case, and answer and end the own ones")
    # editor
    CONTACT_EDIT = ("contacts:write", "add, change and confirm contacts")
    PLAN_DRAFT = ("scaledown:write", "draw up and change drafts of plans")
    DRILL_DRAFT = ("drills:write", "draw up drafts of drills")
    ACTION_EDIT = ("actions:write", "add, change and close action items")
    SAMPLE_ADD = ("capacity:write", "add samples, benchmarks, ceilings, forecasts, probes and events")
    LOAD_DRAFT = ("capacity:write", "enter hosts that load may be put on, and draw up profiles of load")
    LOAD_ABORT = ("loads:run", "abort loads that the portal puts on")
    CASE_ANSWER = ("cases:write", "answer and move every support case of the account")
    # approver
    CONTACT_REACH = ("contacts:reach", "reach contacts, run reach tests and log calls")
    PLAN_APPROVE = ("approvals:write", "approve and reject for the customer")
    RUN_PAUSE = ("scaledown:run", "pause runs")
    RUN_ABORT = ("scaledown:run", "abort runs")
    STANDSTILL_PUT = ("standstills:write", "stop everything for the account")
    CALENDAR_EDIT = ("calendar:write", "enter freezes, events and windows in its calendar")
    # admin
    MEMBER_EDIT = ("members:write", "add and remove members")
    TOKEN_EDIT = ("tokens:write", "make and revoke the account's tokens")
    WEBHOOK_EDIT = ("webhooks:write", "set up webhooks")
    EXPORT = ("export", "export the account's data")
    ERASE = ("erase", "erase the account's data")
    STANDING_APPROVE = ("approvals:write", "grant standing approvals")
    SIGN_OFF = ("reviews:write", "sign off for the customer")
    # launch manager
    ACCOUNT_EDIT = ("accounts:write", "change the account")
    CONNECTION_EDIT = ("connections:write", "add, change and test cloud connections")
    PLAN_SUBMIT = ("scaledown:write", "submit plans, which is the provider's approval")
    LOAD_SUBMIT = ("approvals:write", "submit profiles of load, which is the provider's approval")
    LOAD_START = ("loads:run", "put approved loads on a site")
    DRILL_SUBMIT = ("approvals:write", "submit drills, which is the provider's approval")
    DRILL_RUN = ("drills:run", "start drills and lead them")
    SCENARIO_EDIT = ("drills:write", "write the team's own scenarios for drills")
    SCENARIO_VIEW = ("drills:read", "read the scenarios for drills")
    BASELINE_PROPOSE = ("capacity:write", "propose baselines, which is the provider's approval")
    PLAN_APPROVE_PROVIDER = ("approvals:write", "approve and reject for the provider")
    RUN_START = ("scaledown:run", "start runs")
    RUN_COMMAND = ("scaledown:run", "resume runs, retry, skip, put back, go on, roll back")
    SERVER_PROTECT = ("scaledown:write", "protect servers")
    CASE_SETTLE = ("cases:write", "end any support case, write down spoken orders")
    TEAM_NOTES = ("accounts:read", "read and write the team's own notes")
    TEAM_VIEW = ("members:read", "see the team's members")
    REVIEW_EDIT = ("reviews:write", "hold reviews and set how often they are due")
    REVIEW_SIGN = ("reviews:write", "sign reviews off for the provider")
    TEAM_WEEK = ("accounts:read", "see the week over all accounts of the team")
    CALENDAR_TEAM = ("calendar:write", "enter what holds for a whole team, or at a provider")
    # lead
    TEAM_EDIT = ("members:write", "change the team's members")
    ACCOUNT_ARCHIVE = ("accounts:write", "archive the account")
    STANDSTILL_LIFT = ("standstills:write", "lift standstills")
    OVERRIDE = ("scaledown:run", "override what blocks, with a reason")
    TEAM_QUARTER = ("accounts:read", "read the team's quarter")

    def __init__(self, scope: str, says: str) -> None:
        self.scope = scope
        self.says = says

    def __new__(cls, scope: str, says: str) -> Permission:
        # Several permissions may share a scope, so the value is a number of its own (else they were aliases).
        made = object.__new__(cls)
        made._value_ = len(cls.__members__)
        return made


# These three are asked of the person, not of a role on an account.
PERSONAL = frozenset({Permission.PUBLIC, Permission.SIGNED_IN, Permission.OPERATE})

_P = Permission
_VIEWER = (
    frozenset(
        {_P.ACCOUNT_VIEW, _P.CONTACT_VIEW, _P.CONNECTION_VIEW, _P.PLAN_VIEW, _P.RUN_VIEW, _P.AUDIT_VIEW}
    )
    | {_P.MEMBER_VIEW, _P.EVENT_VIEW, _P.REVIEW_VIEW, _P.CALENDAR_VIEW}
    | {_P.SAMPLE_VIEW, _P.CASE_VIEW, _P.CASE_OPEN, _P.DRILL_VIEW, _P.DRILL_STOP, _P.DRILL_NOTE}
)
_EDITOR = _VIEWER | {
    _P.CONTACT_EDIT,
    _P.PLAN_DRAFT,
    _P.DRILL_DRAFT,
    _P.SAMPLE_ADD,
    _P.LOAD_DRAFT,
    _P.LOAD_ABORT,
    _P.ACTION_EDIT,
    _P.CASE_ANSWER,
}
_APPROVER = _EDITOR | {
    _P.CONTACT_REACH,
    _P.PLAN_APPROVE,
    _P.RUN_PAUSE,
    _P.RUN_ABORT,
    _P.STANDSTILL_PUT,
    _P.SIGN_OFF,
    _P.CALENDAR_EDIT,
}
_ADMIN = _APPROVER | {
    _P.MEMBER_EDIT,
    _P.TOKEN_EDIT,
    _P.WEBHOOK_EDIT,
    _P.EXPORT,
    _P.ERASE,
    _P.STANDING_APPROVE,
}
_CUSTOMERS_OWN = frozenset({_P.PLAN_APPROVE, _P.STANDING_APPROVE, _P.SIGN_OFF, _P.ERASE})
_LAUNCH_MANAGER = (_ADMIN - _CUSTOMERS_OWN) | {
    _P.ACCOUNT_EDIT,
    _P.CONNECTION_EDIT,
    _P.PLAN_SUBMIT,
    _P.BASELINE_PROPOSE,
    _P.LOAD_SUBMIT,
    _P.LOAD_START,
    _P.DRILL_SUBMIT,
    _P.DRILL_RUN,
    _P.SCENARIO_VIEW,
    _P.SCENARIO_EDIT,
    _P.PLAN_APPROVE_PROVIDER,
    _P.RUN_START,
    _P.RUN_COMMAND,
    _P.SERVER_PROTECT,
    _P.CASE_SETTLE,
    _P.TEAM_NOTES,
    _P.TEAM_VIEW,
    _P.REVIEW_EDIT,
    _P.REVIEW_SIGN,
    _P.TEAM_WEEK,
    _P.CALENDAR_TEAM,
}
_LEAD = _LAUNCH_MANAGER | {
    _P.TEAM_EDIT,
    _P.ACCOUNT_ARCHIVE,
    _P.STANDSTILL_LIFT,
    _P.OVERRIDE,
    _P.TEAM_QUARTER,
}

# The table of spec "role | may". docs/access.md is made from it.
ACCOUNT_ROLES: Mapping[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "editor": _EDITOR,
    "approver": _APPROVER,
    "admin": _ADMIN,
}
TEAM_ROLES: Mapping[str, frozenset[Permission]] = {"launch_manager": _LAUNCH_MANAGER, "lead": _LEAD}
OPERATOR = "operator"
# What `REQUIRE_SECOND_FACTOR` may name.
ROLES: frozenset[str] = frozenset({*ACCOUNT_ROLES, *TEAM_ROLES, OPERATOR})
SCOPES: tuple[str, ...] = tuple(sorted({p.scope for p in Permission if p.scope and p is not _P.OPERATE}))
SCOPE_SAYS: dict[str, str] = {
    scope: "; ".join(p.says for p in Permission if p.scope == scope) for scope in SCOPES
}
"""What a token with a scope may do, as far as the role behind it reaches."""
# A service token is nobody: it approves and signs nothing for anybody, gives no access, erases nothing, and has no
# settings of its own (docs/decisions/0025).
SERVICE_SCOPES: tuple[str, ...] = tuple(
    scope
    for scope in SCOPES
    if scope not in {"me", "approvals:write", "reviews:write", "members:write", "tokens:write", "erase"}
)
SERVICE_ROLES: tuple[str, ...] = (*ACCOUNT_ROLES, "launch_manager")


@dataclass(frozen=True)
class Limit:
    """What a service token leaves of its maker: one account, and there no more than one role and some scopes.

    It stands on the user object of the request (`user.limit`), so that pages, API and services ask it alike.
    """

    account_pk: int
    may: frozenset[Permission]


def limit_of_token(account_pk: int, role: str, scopes: Iterable[str]) -> Limit:
    """Return the limit of an account's token: what its role may, as far as its scopes name it."""
    named = frozenset(scopes) & frozenset(SERVICE_SCOPES)
    return Limit(
        account_pk, frozenset(one for one in permissions_of(frozenset({role})) if one.scope in named)
    )


def may_make_service_token(may: frozenset[Permission], role: str) -> bool:
    """Whether somebody with these permissions on an account may make a token of it in this role: never above their own."""
    return role in SERVICE_ROLES and Permission.TOKEN_EDIT in may and permissions_of(frozenset({role})) <= may


def _limit(user: Any) -> Limit | None:
    return getattr(user, "limit", None)


def _roles_with(table: Mapping[str, frozenset[Permission]], permission: Permission | None) -> list[str]:
    return [role for role, may in table.items() if permission is None or permission in may]


def _enters_accounts(user: Any) -> bool:
    return bool(user is not None and user.is_authenticated and user.is_active and not user.is_operator)


def visible_to(
    user: Any, rows: QuerySet[Row] | type[Row], permission: Permission | None = None
) -> QuerySet[Row]:
    """Return those of `rows` that belong to accounts which `user` may see, as one query.

    With `permission`, only accounts on which the user holds it. One way for every model: it declares
    `account_path`; a model that does not raises ImproperlyConfigured.
    """
    found = rows._default_manager.all() if isinstance(rows, type) else rows
    path = account_path(found.model)
    if not _enters_accounts(user):
        return found.none()
    member = apps.get_model("accounts", "Membership")._default_manager.filter(
        user=user, role__in=_roles_with(ACCOUNT_ROLES, permission)
    )
    team = apps.get_model("accounts", "TeamMembership")._default_manager.filter(
        user=user, role__in=_roles_with(TEAM_ROLES, permission)
    )
    entered = Q(pk__in=member.values("account_id")) | Q(team_id__in=team.values("team_id"))
    limit = _limit(user)
    if limit is not None:
        if permission is not None and permission not in limit.may:
            return found.none()
        entered &= Q(pk=limit.account_pk)
    if not path:
        return found.filter(entered)
    account = apps.get_model("accounts", "Account")._default_manager.filter(entered)
    return found.filter(**{f"{path}__in": account.values("pk")})


def account_path(model: type[models.Model]) -> str:
    """Return how `model` gets to its account; raises ImproperlyConfigured if it does not say."""
    path = getattr(model, "account_path", None)
    if path is None and any(field.name == "account" for field in model._meta.concrete_fields):
        return "account"
    if not isinstance(path, str):
        raise ImproperlyConfigured(
            f"{model.__name__} does not say how it gets to its account (account_path)."
        )
    return path


def seen_by_team(
    user: Any, rows: QuerySet[Row] | type[Row], permission: Permission | None = None
) -> QuerySet[Row]:
    """Return those of `rows` that belong to teams of which `user` is a member, as one query.

    With `permission`, only teams in which the user holds it. A model says how it gets to its team
    (`team_path`, `""` for the team itself); one that does not raises ImproperlyConfigured.
    """
    found = rows._default_manager.all() if isinstance(rows, type) else rows
    path = getattr(found.model, "team_path", None)
    if not isinstance(path, str):
        raise ImproperlyConfigured(
            f"{found.model.__name__} does not say how it gets to its team (team_path)."
        )
    if not _enters_accounts(user) or _limit(user) is not None:
        return found.none()
    own = apps.get_model("accounts", "TeamMembership")._default_manager.filter(
        user=user, role__in=_roles_with(TEAM_ROLES, permission)
    )
    return found.filter(**{f"{path}__in" if path else "pk__in": own.values("team_id")})


def holders(permission: Permission, account: Any) -> QuerySet[Any]:
    """Return the people who hold a permission on an account, by name. A token is nobody."""
    people: QuerySet[Any] = get_user_model()._default_manager.filter(is_active=True, is_operator=False)
    return people.filter(_held(permission, OuterRef("pk"), account.pk, account.team_id)).order_by(
        "name", "pk"
    )


def without_holder(rows: QuerySet[Row], person: str, permission: Permission) -> QuerySet[Row]:
    """Return those of `rows` whose field `person` names somebody who does not hold a permission there (any more)."""
    path = account_path(rows.model)
    held = _held(permission, OuterRef(person), OuterRef(path), OuterRef(f"{path}__team"))
    active = Q(**{f"{person}__is_active": True, f"{person}__is_operator": False})
    return rows.filter(**{f"{person}__isnull": False}).exclude(active & Q(held))


def _held(permission: Permission, user: Any, account: Any, team: Any) -> Q:
    member = apps.get_model("accounts", "Membership")._default_manager.filter(
        user=user, account=account, role__in=_roles_with(ACCOUNT_ROLES, permission)
    )
    of_team = apps.get_model("accounts", "TeamMembership")._default_manager.filter(
        user=user, team=team, role__in=_roles_with(TEAM_ROLES, permission)
    )
    return Q(Exists(member)) | Q(Exists(of_team))


def own_teams(user: Any) -> QuerySet[Any]:
    """Return the team memberships of a user, as far as they count."""
    rows: QuerySet[Any] = apps.get_model("accounts", "TeamMembership")._default_manager.order_by()
    return rows.filter(user=user) if _enters_accounts(user) and _limit(user) is None else rows.none()


def team_permissions(user: Any, team: Any) -> frozenset[Permission]:
    """Return everything that `user` may do in a team, read afresh in one query."""
    if not _enters_accounts(user) or _limit(user) is not None:
        return frozenset()
    roles = (
        apps.get_model("accounts", "TeamMembership")
        ._default_manager.filter(user=user, team=team)
        .values_list("role", flat=True)
    )
    return permissions_of(frozenset(roles))


def account_of(row: models.Model) -> Any:
    """Return the account to which a row belongs."""
    found: Any = row
    for part in filter(None, account_path(type(row)).split("__")):
        found = getattr(found, part)
    return found


def roles_on(user: Any, account: Any) -> frozenset[str]:
    """Return the names of the user's roles on an account, read afresh in one query.

    They say on which side somebody stands, and a service token stands where its maker does; what it may there is less.
    """
    limit = _limit(user)
    if not _enters_accounts(user) or (limit is not None and limit.account_pk != account.pk):
        return frozenset()
    return frozenset(role for (role,) in _ROLES.rows(user.pk, account.pk, account.team_id))


def _roles(user: Any, account: Any, team: Any) -> QuerySet[Any, Any]:
    own = apps.get_model("accounts", "Membership")._default_manager.filter(user=user, account=account)
    of_team = apps.get_model("accounts", "TeamMembership")._default_manager.filter(user=user, team=team)
    return own.order_by().values_list("role").union(of_team.order_by().values_list("role"))


# Each request asks it, and each tick of a run for everybody whose approval it rests on.
_ROLES: Compiled[Any] = Compiled(_roles, int, int, int)


def _with_roles(rows: QuerySet[Row], user: Any, path: str) -> QuerySet[Row]:
    """Return rows that the user sees, each with the user's roles on its account: one query instead of two."""
    own = apps.get_model("accounts", "Membership")._default_manager.filter(
        user=user, account_id=OuterRef(path or "pk")
    )
    team = apps.get_model("accounts", "TeamMembership")._default_manager.filter(
        user=user, team_id=OuterRef(f"{path}__team_id" if path else "team_id")
    )
    found: Any = rows.annotate(
        _own_roles=ArraySubquery(own.order_by().values("role")),
        _team_roles=ArraySubquery(team.order_by().values("role")),
    )
    return cast(QuerySet[Row], found)


def permissions_of(roles: frozenset[str]) -> frozenset[Permission]:
    """Return what a set of roles may do."""
    granted: frozenset[Permission] = frozenset()
    for role in roles:
        granted |= ACCOUNT_ROLES.get(role, frozenset()) | TEAM_ROLES.get(role, frozenset())
    return granted


def permissions_on(user: Any, account: Any) -> frozenset[Permission]:
    """Return everything that `user` may do on `account`."""
    return limited(user, permissions_of(roles_on(user, account)))


def limited(user: Any, granted: frozenset[Permission]) -> frozenset[Permission]:
    """Return what is left of a user's permissions where a service token acts in their name."""
    limit = _limit(user)
    return granted if limit is None else granted & limit.may


def can(user: Any, permission: Permission, account: Any = None) -> bool:
    """Answer the one question. `account` is None only for the personal permissions."""
    if permission is Permission.PUBLIC:
        return True
    if permission is Permission.SIGNED_IN:
        return bool(user.is_authenticated and user.is_active and _limit(user) is None)
    if permission is Permission.OPERATE:
        return bool(user.is_authenticated and user.is_active and user.is_operator)
    return permission in permissions_on(user, account)


def lacks_second_factor(user: Any) -> bool:
    """Whether the operator wants a second factor of a role that `user` holds, and the user has none.

    Asks nothing where no role is named in `REQUIRE_SECOND_FACTOR`; else one query for who has one, two for who
    has none. The answer is kept on this user object, that is for one request.
    """
    if not settings.REQUIRE_SECOND_FACTOR or not user.is_authenticated:
        return False
    known: bool | None = getattr(user, "_lacks_second_factor", None)
    if known is None:
        known = user._lacks_second_factor = not _has_second_factor(user) and must_have_second_factor(user)
    return known


def must_have_second_factor(user: Any) -> bool:
    """Whether one of the user's roles, on whatever account or team, is named in `REQUIRE_SECOND_FACTOR`."""
    wanted = settings.REQUIRE_SECOND_FACTOR
    if not wanted:
        return False
    if user.is_operator:
        return OPERATOR in wanted
    own = apps.get_model("accounts", "Membership")._default_manager.filter(user=user, role__in=wanted)
    team = apps.get_model("accounts", "TeamMembership")._default_manager.filter(user=user, role__in=wanted)
    return own.order_by().values("role").union(team.order_by().values("role")).exists()


def _has_second_factor(user: Any) -> bool:
    factors = apps.get_model("mfa", "Authenticator")._default_manager
    return factors.filter(user_id=user.pk, type__in=("totp", "webauthn")).exists()


def holds_provider_side(user: Any, account: Any) -> bool:
    """Whether the user is one of the account's launch managers, who never count for the customer."""
    return bool(roles_on(user, account) & set(TEAM_ROLES))


@dataclass(frozen=True)
class Can:
    """The template's `can`: `{% if can.plan_approve %}`. A name that is no permission is an error."""

    granted: frozenset[Permission]

    def __getitem__(self, name: str) -> bool:
        permission = Permission.__members__.get(name.upper())
        if permission is None:
            raise ImproperlyConfigured(f"can.{name}: there is no such permission in portal/access.py")
        return permission in self.granted


# What changes something that an archived account only lets be read: its services refuse it (accounts/changes.py).
_NOT_WHILE_ARCHIVED = frozenset(
    {
        _P.CONTACT_EDIT,
        _P.CONTACT_REACH,
        _P.ACTION_EDIT,
        _P.CASE_OPEN,
        _P.CASE_ANSWER,
        _P.CASE_SETTLE,
        _P.REVIEW_EDIT,
        _P.REVIEW_SIGN,
        _P.SIGN_OFF,
        _P.CALENDAR_EDIT,
    }
)


def can_on_page(granted: frozenset[Permission], account: Any) -> Can:
    """Return the template's `can` on a page of an account (None: of no account): no button that would only be refused."""
    is_archived = getattr(account, "status", "") == "archived"
    return Can(granted - _NOT_WHILE_ARCHIVED if is_archived else granted)


class Guard:
    """What pages and API views share: the declared permission, `find()` and `visible()`.

    `write_permission`, where given, is asked instead of `permission` for anything but GET and HEAD.
    `without_second_factor` opens a page to somebody whose role needs a second factor and who has none yet:
    only what is needed to set one up.
    """

    permission: ClassVar[Permission]
    write_permission: ClassVar[Permission | None] = None
    without_second_factor: ClassVar[bool] = False
    request: Any
    granted: frozenset[Permission]
    account: Any
    team: Any
    _asked: bool

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not abstract and not isinstance(cls.__dict__.get("permission"), Permission):
            raise TypeError(
                f"{cls.__qualname__} must say who may use it: permission = Permission.… (portal/access.py)"
            )

    @property
    def user(self) -> Any:
        """Who asks; a signed-in user wherever the permission is not PUBLIC."""
        return self.request.user

    @property
    def needed(self) -> Permission:
        """The permission that this request needs."""
        if self.write_permission is not None and self.request.method not in {"GET", "HEAD", "OPTIONS"}:
            return self.write_permission
        return self.permission

    def begin(self) -> None:
        """Start with nothing granted; called once per request."""
        self.granted = frozenset()
        self.account = None
        self.team = None
        self._asked = self.needed in PERSONAL

    def visible(self, rows: QuerySet[Row] | type[Row], permission: Permission | None = None) -> QuerySet[Row]:
        """Return the rows of all accounts on which the user holds the needed permission."""
        self._asked = True
        needed = permission or self.needed
        return visible_to(self.request.user, rows, None if needed in PERSONAL else needed)

    def find(
        self,
        rows: QuerySet[Row] | type[Row],
        ref: uuid.UUID | str,
        permission: Permission | None = None,
    ) -> Row:
        """Return the row with this public reference.

        Looks among what the user may see (else 404), then asks for the needed permission on that row's
        account (else 403, and the refusal is on record).
        """
        found = visible_to(self.request.user, rows)
        path = account_path(found.model)
        if path:
            found = found.select_related(path)
        try:
            row = _with_roles(found, self.request.user, path).filter(ref=uuid.UUID(str(ref))).first()
        except ValueError:
            row = None
        if row is None:
            raise Http404("There is nothing here that you can see.")
        roles = frozenset(row.__dict__.pop("_own_roles")) | frozenset(row.__dict__.pop("_team_roles"))
        self.enter(account_of(row), limited(self.request.user, permissions_of(roles)))
        needed = permission or self.needed
        if needed not in self.granted:
            self.refuse(needed, row)
        return row

    def find_in_team(self, rows: QuerySet[Row] | type[Row], ref: uuid.UUID | str) -> Row:
        """Return the row with this public reference of a team of the user's; 404 and 403 like `find()`."""
        found = seen_by_team(self.request.user, rows)
        path: str = getattr(found.model, "team_path", "")
        if path:
            found = found.select_related(path)
        try:
            row = found.filter(ref=uuid.UUID(str(ref))).first()
        except ValueError:
            row = None
        self._asked = True
        if row is None:
            raise Http404("There is nothing here that you can see.")
        self.team = getattr(row, path) if path else row
        self.granted = team_permissions(self.request.user, self.team)
        if self.needed not in self.granted:
            self.refuse(self.needed, row)
        return row

    def enter(self, account: Any, granted: frozenset[Permission] | None = None) -> None:
        """Remember the account at hand and what the user may do there; asked for unless just read."""
        self.account = account
        self.granted = permissions_on(self.request.user, account) if granted is None else granted
        self._asked = True

    def refuse(self, needed: Permission, row: models.Model | None = None) -> NoReturn:
        """Put the refusal on record and answer 403."""
        record_outside(
            "access.refused",
            actor=self.request.user,
            account=self.account,
            subject=row,
            after={
                "needed": needed.name.lower(),
                "method": self.request.method,
                "path": self.request.path[:200],
            },
        )
        raise PermissionDenied(
            f"You may not {needed.says} here. Someone with that right can do it or grant it."
        )

    def is_held_back(self) -> bool:
        """Whether the user must set up a second factor before anything else, this page included."""
        return (
            self.needed is not Permission.PUBLIC
            and not self.without_second_factor
            and lacks_second_factor(self.request.user)
        )

    def check_personal(self) -> None:
        """Ask for the permissions that belong to the person; refuses (403) an operator's page to others."""
        if self.needed in PERSONAL and not can(self.request.user, self.needed):
            self.refuse(self.needed)

    def reads_on(self) -> Callable[[], bool]:
        """Return what asks the database afresh whether the caller may read on: for answers that take a while.

        Where no account was entered, what is read must be narrowed by `visible()` in each of its parts.
        """
        return partial(
            _is_session_allowed,
            self.request.session.session_key,
            self.request.user.pk,
            self.needed,
            self.account,
        )

    def check_asked(self) -> None:
        """A view that answered without asking about any account is a bug, and stays loud."""
        if not self._asked:
            raise ImproperlyConfigured(
                f"{type(self).__qualname__} answered without asking portal.access: use find() or visible()."
            )


class PortalView(Guard, View, abstract=True):
    """The base of every page. Strangers are sent to the log-in, refusals become pages that say why."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Ask, answer, and turn the four kinds of trouble into pages."""
        response = self._respond(request, *args, **kwargs)
        if self.needed is not Permission.PUBLIC or not response.has_header("Cache-Control"):
            keep_nothing(response)
        return without_body(response) if request.method == "HEAD" else response

    def _respond(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.begin()
        if self.needed is not Permission.PUBLIC and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if self.is_held_back():
            return redirect(settings.SECOND_FACTOR_URL)
        self.check_personal()
        try:
            refuse_unsound(request)
            response = super().dispatch(request, *args, **kwargs)
        except Trouble as trouble:
            return self.trouble(trouble)
        except OperationalError as error:
            return self.trouble(collided(error))
        except IntegrityError as error:
            return self.trouble(overtaken(error))
        except ObjectDoesNotExist as error:
            raise gone_meanwhile(error) from error
        if response.status_code == 405 and request.method in ("GET", "HEAD"):
            # A browser would show a page of its own for an empty answer.
            shown = self.render("errors/405.html", status=405)
            shown["Allow"] = response["Allow"]
            return shown
        if response.status_code < 400 and request.method != "OPTIONS":
            self.check_asked()
        return response

    def render(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page; `can` and `account` are in its context."""
        context.setdefault("account", self.account)
        context.setdefault("can", can_on_page(self.granted, self.account))
        return render(cast(HttpRequest, self.request), template, context, status=status)

    def trouble(self, trouble: Trouble) -> HttpResponse:
        """Return the page that says what happened, what is true now and what can be done."""
        status = status_of(trouble)
        if isinstance(trouble, NotPermitted):
            record_outside(
                "access.refused",
                actor=self.request.user,
                account=self.account,
                after={"code": trouble.code, "method": self.request.method, "path": self.request.path[:200]},
            )
        response = self.render(
            f"errors/{page_for(status)}.html",
            status=status,
            refusal=trouble.says,
            retry_after_s=trouble.after_s if isinstance(trouble, TryLater) else None,
        )
        if isinstance(trouble, TryLater):
            response["Retry-After"] = str(max(1, round(trouble.after_s)))
        return response


def refuse_unsound(request: HttpRequest) -> None:
    """Raise Refused for what nobody types, or what would be read as one of the portal's own tokens; in the address, too."""
    if not all(
        is_sound(value)
        for sent in (request.POST, request.GET)
        for name in sent
        for value in sent.getlist(name)
    ):
        raise Refused(
            f"What was sent holds {SAYS}. Nothing was changed. Type it again by hand; what was copied brings the "
            "character along.",
            code="null",
        )


class AsyncPortalView(Guard, View, abstract=True):
    """The base of event streams: async handlers, and no database connection held while streaming.

    `await self.afind(Run, ref)` asks like `find()`; `self.still_allowed` asks again later: hand it to
    `portal.streams.while_allowed`, which ends a stream whose watcher lost the right or whose session is over.
    """

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Ask, then answer."""
        self.begin()
        user = await request.auser()
        request.user = user
        if self.needed is not Permission.PUBLIC and not user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if await in_database(self.is_held_back):
            return redirect(settings.SECOND_FACTOR_URL)
        await in_database(self.check_personal)
        handler = getattr(self, (request.method or "").lower(), None)
        if handler is None or (request.method or "").lower() not in self.http_method_names:
            # Of a view with async handlers Django returns what is to be awaited.
            refused: Any = self.http_method_not_allowed(request, *args, **kwargs)
            return cast(HttpResponseBase, await refused if isawaitable(refused) else refused)
        try:
            response = cast(HttpResponseBase, await handler(request, *args, **kwargs))
        except Trouble as trouble:
            response = HttpResponse(
                trouble.says, status=status_of(trouble), content_type="text/plain; charset=utf-8"
            )
        if response.status_code < 400 and request.method != "OPTIONS":
            self.check_asked()
        keep_nothing(response)
        return without_body(response) if request.method == "HEAD" else response

    async def afind(
        self, rows: QuerySet[Row] | type[Row], ref: uuid.UUID | str, permission: Permission | None = None
    ) -> Row:
        """Like `find()`, in a thread of its own, giving the connection back."""
        return await in_database(self.find, rows, ref, permission)

    async def still_allowed(self, permission: Permission | None = None) -> bool:
        """Ask the database again whether the session still holds, and the right on the account found."""
        return await in_database(
            _is_session_allowed,
            self.request.session.session_key,
            self.request.user.pk,
            permission or self.needed,
            self.account,
        )


def session_holds(session_key: str | None, user_pk: int) -> bool:
    """Ask the database again whether a session is still this user's: logged out, ended, password changed?"""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return user.is_authenticated and user.pk == user_pk


def _is_session_allowed(session_key: str | None, user_pk: int, permission: Permission, account: Any) -> bool:
    return session_holds(session_key, user_pk) and is_still_allowed(user_pk, permission, account)


def keep_nothing(response: HttpResponseBase) -> None:
    """Have no browser and no proxy keep an answer: *Back* after a log-out would show it again."""
    if "no-store" not in response.get("Cache-Control", ""):
        patch_cache_control(response, private=True, no_store=True)


def without_body(response: HttpResponseBase) -> HttpResponseBase:
    """Return the answer to HEAD where the one to GET is streamed: a stream may never end, and nobody reads it."""
    if not response.streaming:
        return response
    headers = {name: value for name, value in response.items() if name.lower() != "content-length"}
    response.close()
    return HttpResponse(status=response.status_code, headers=headers)


def is_still_allowed(user_pk: int, permission: Permission, account: Any) -> bool:
    """Answer afresh for a user who may have been removed or switched off since the stream began."""
    user = apps.get_model("accounts", "User")._default_manager.filter(pk=user_pk, is_active=True).first()
    if user is None or lacks_second_factor(user):
        return False
    # Without an account the rows themselves are narrowed to what the user sees, each time that they are asked for.
    return (account is None and permission not in PERSONAL) or can(user, permission, account)


async def in_database(work: Any, *args: Any) -> Any:
    """Run `work(*args)` in the request's database thread and give its connection back at once."""

    def _work() -> Any:
        try:
            return work(*args)
        finally:
            if not connection.in_atomic_block:
                connection.close()

    return await sync_to_async(_work)()


def collided(error: OperationalError) -> TryLater:
    """Return what became of a change that the database broke off because it and another waited for each other.

    Raises `error` again where it is anything else.
    """
    if not isinstance(error.__cause__, DeadlockDetected):
        raise error
    return TryLater(
        "Somebody else changed the same thing at this moment. Nothing of yours was done. Try again.",
        after_s=1,
    )


def overtaken(error: IntegrityError) -> StaleState:
    """Return what became of a change that another one made impossible between the check and the write.

    Only a name or number that was taken, or a row that was deleted meanwhile. Raises `error` again where it is
    anything else: the database then refused what we must not have asked for.
    """
    if not isinstance(error.__cause__, UniqueViolation | ForeignKeyViolation):
        raise error
    log.warning("change_overtaken", constraint=error.__cause__.diag.constraint_name)
    return StaleState(
        "Somebody else wrote something at this moment that does not go together with this: a name or number that was "
        "free is taken now, or what it belongs to was deleted. Nothing of yours was done. Read afresh, then try again.",
        code="overtaken",
    )


def gone_meanwhile(error: ObjectDoesNotExist) -> Http404:
    """Return the 404 for a row that was deleted between the look and the work; the log says where, with the traceback."""
    log.warning("row_gone", error=str(error), exc_info=error)
    return Http404("There is nothing here that you can see.")


def status_of(trouble: Trouble) -> int:
    """Return the HTTP status that means this kind of trouble."""
    match trouble:
        case Malformed():
            return 400
        case NotPermitted():
            return 403
        case StaleState():
            return 409
        case TooOften():
            return 429
        case Refused():
            return 422
        case TryLater():
            return 503
        case InDoubt() | ProviderFailed():
            return 502
    return 500


def page_for(status: int) -> int:
    """Return the number of the error page that is shown for a status."""
    return status if status in {400, 403, 404, 409, 422, 429, 500} else 503
