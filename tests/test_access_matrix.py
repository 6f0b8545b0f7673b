"""Every address of the portal, as a stranger, in every role, from another account and team, as an operator."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts.models import ApiToken
from portal.access import Guard
from portal.cloud.discovery import match
from tests import factories as make
from tests.access_table import EVERYBODY, OUTSIDERS, REFS, ROLES, ROWS

METHODS = ("get", "post", "put", "patch", "delete")
CHECKED = {"is_usable": True, "checked_at": "2026-11-23T12:00:00+00:00", "lines": []}


def routes(patterns=None, namespace=""):
    """Every (URL name, method, names of its references) of the URL configuration."""
    found = []
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            found += routes(pattern.url_patterns, inner)
            continue
        view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
        allowed = pattern.callback.view_initkwargs.get("http_method_names") or view.http_method_names
        found += [
            (
                namespace + (pattern.name or str(pattern.pattern)),
                method.upper(),
                tuple(pattern.pattern.converters),
            )
            for method in METHODS
            if method in allowed and hasattr(view, method)
        ]
    return found


ROUTES = routes()


class World:
    """One account with a user in every role, and everybody who must not get in."""

    def __init__(self):
        team, self.other_team = make.team(), make.team()
        self.account = make.account("Lindgren Secret Outdoor", of=team)
        other = make.account("Elsewhere", of=self.other_team)
        self.people = {role: make.member(self.account, role) for role in ROLES[:4]}
        self.people |= {role: make.launch_manager(team, role=role) for role in ROLES[4:]}
        self.people["other_admin"] = make.member(other, "admin")
        self.people["other_launch_manager"] = make.launch_manager(self.other_team)
        self.people["operator"] = make.user(is_operator=True)
        self._made = {}

    def once(self, name, maker):
        if name not in self._made:
            self._made[name] = maker()
        return self._made[name]

    def token_of_admin(self):
        make.token(self.people["admin"], "ss_of_the_admin")
        return ApiToken.objects.get(prefix="ss_of_the_a")

    @property
    def token_body(self):
        ends = timezone.now() + timedelta(hours=2)
        return {"name": "x", "scopes": ["me"], "expires_at": ends.isoformat()}

    def url(self, name, refs):
        return reverse(name, kwargs={ref: REFS[ref](self) for ref in refs})


@pytest.fixture
def world(db, monkeypatch):
    for place in ("accounts.views", "accounts.api"):
        monkeypatch.setattr(f"{place}.discover_pools", lambda connection: match([], []))
        monkeypatch.setattr(f"{place}.test_connection", lambda connection: CHECKED)
    monkeypatch.setattr("accounts.api.check_url", lambda url: None)
    monkeypatch.setattr("portal.egress.check_url", lambda url: None)
    return World()


def ask(world, client, name, method, refs, row, **headers):
    """Send one request and undo whatever it did."""
    url = world.url(name, refs)
    body = row.body(world) if callable(row.body) else row.body
    savepoint = transaction.savepoint()
    try:
        send = getattr(client, method.lower())
        if method == "GET":
            return send(url, **headers)
        if url.startswith("/api/"):
            return send(
                url, json.dumps(body or {}), content_type="application/json", **row.headers, **headers
            )
        return send(url, body or {}, **headers)
    finally:
        transaction.savepoint_rollback(savepoint)


def text_of(response):
    return b"" if response.streaming else response.content


def test_every_address_says_who_may_use_it():
    found = {(name, method) for name, method, _refs in ROUTES}
    missing = sorted(found - set(ROWS))
    assert not missing, f"Write down in tests/access_table.py who may use {missing}."
    gone = sorted(set(ROWS) - found)
    assert not gone, f"tests/access_table.py names addresses that are not there: {gone}."


def test_every_reference_can_be_made():
    needed = {ref for _name, _method, refs in ROUTES for ref in refs}
    assert needed <= set(REFS), f"Say in tests/access_table.py how to make {sorted(needed - set(REFS))}."


def test_every_view_stands_on_the_guard():
    for pattern in get_resolver().reverse_dict.getlist("dashboard"):
        assert pattern
    from portal.checks import check_views_ask_access

    assert check_views_ask_access(None) == []


def rows_with(*kinds):
    return [
        pytest.param(name, method, refs, id=f"{method} {name}")
        for name, method, refs in ROUTES
        if (name, method) in ROWS and ROWS[name, method].kind in kinds
    ]


@pytest.mark.parametrize(("name", "method", "refs"), rows_with("account", "list", "personal", "public"))
def test_a_stranger_gets_in_nowhere(world, name, method, refs):
    row = ROWS[name, method]
    response = ask(world, Client(REMOTE_ADDR="192.0.2.7"), name, method, refs, row)
    if row.kind == "public":
        assert response.status_code in row.answers
    elif name.startswith("api-") or world.url(name, refs).startswith("/api/"):
        assert response.status_code == 401
        assert response["Content-Type"] == "application/problem+json"
    else:
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")
    assert b"Lindgren Secret" not in text_of(response)


@pytest.mark.parametrize(("name", "method", "refs"), rows_with("account"))
def test_each_role_gets_exactly_what_is_written_down(world, name, method, refs):
    row = ROWS[name, method]
    for role in ROLES:
        client = Client(REMOTE_ADDR="192.0.2.7")
        client.force_login(world.people[role])
        status = ask(world, client, name, method, refs, row).status_code
        if role in row.may:
            assert status in row.answers, f"{role} should be let in, got {status}"
        else:
            assert status == row.denied, f"{role} should be refused, got {status}"


@pytest.mark.parametrize(("name", "method", "refs"), rows_with("account"))
def test_who_is_of_another_account_or_none_learns_nothing(world, name, method, refs):
    row = ROWS[name, method]
    for person in OUTSIDERS:
        client = Client(REMOTE_ADDR="192.0.2.7")
        client.force_login(world.people[person])
        response = ask(world, client, name, method, refs, row)
        assert response.status_code == 404, f"{person} got {response.status_code}"
        assert b"Lindgren Secret" not in text_of(response)


@pytest.mark.parametrize(("name", "method", "refs"), rows_with("list"))
def test_a_list_shows_only_what_is_ones_own(world, name, method, refs):
    row = ROWS[name, method]
    for role in EVERYBODY:
        client = Client(REMOTE_ADDR="192.0.2.7")
        client.force_login(world.people[role])
        response = ask(world, client, name, method, refs, row)
        assert response.status_code in row.answers
        if role in OUTSIDERS:
            assert b"Lindgren Secret" not in text_of(response)
            assert str(world.account.ref).encode() not in text_of(response)


@pytest.mark.parametrize(("name", "method", "refs"), rows_with("personal", "public"))
def test_own_pages_are_for_whom_is_written_down(world, name, method, refs):
    row = ROWS[name, method]
    for person in EVERYBODY:
        client = Client(REMOTE_ADDR="192.0.2.7")
        client.force_login(world.people[person])
        status = ask(world, client, name, method, refs, row).status_code
        if person in row.may:
            assert status in row.answers, f"{person} got {status}"
        else:
            assert status == row.denied, f"{person} got {status}"


API = [param for param in rows_with("account", "list", "personal") if param.values[0].startswith("api-")]


@pytest.mark.parametrize(("name", "method", "refs"), API)
def test_a_token_that_is_expired_or_revoked_opens_nothing(world, name, method, refs):
    admin = world.people["admin"]
    expired = make.token(admin, expires_in=timedelta(days=-1))
    revoked = make.token(admin, revoked_at=timezone.now())
    for secret in (expired, revoked, "ss_never_made"):
        response = ask(world, Client(), name, method, refs, ROWS[name, method], **make.bearer(secret))
        assert response.status_code == 401


@pytest.mark.parametrize(("name", "method", "refs"), API)
def test_a_token_reaches_as_far_as_its_user_and_its_scopes(world, name, method, refs):
    row = ROWS[name, method]
    role = next(role for role in ("admin", "lead") if role in row.may)
    full = make.token(world.people[role])
    narrow = make.token(world.people[role], scopes=["reviews:write"])
    outsider = make.token(world.people["other_admin"])
    assert ask(world, Client(), name, method, refs, row, **make.bearer(full)).status_code in row.answers
    refused = ask(world, Client(), name, method, refs, row, **make.bearer(narrow))
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:steady-state:problem:scope-missing"
    if row.kind == "account":
        assert ask(world, Client(), name, method, refs, row, **make.bearer(outsider)).status_code == 404


def test_a_view_without_a_permission_cannot_be_written():
    from portal.access import PortalView
    from portal.api import PortalAPIView

    for base in (PortalView, PortalAPIView):
        with pytest.raises(TypeError, match="must say who may use it"):
            type("Forgot", (base,), {})


def test_a_view_does_not_inherit_its_permission_by_accident():
    from portal.access import Permission, PortalView

    class Parent(PortalView):
        permission = Permission.PLAN_VIEW

    with pytest.raises(TypeError):
        type("Child", (Parent,), {})
    assert issubclass(Parent, Guard)
