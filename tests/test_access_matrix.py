"""Every address of the portal, as a stranger, in every role, from another account and team, as an operator."""

from __future__ import annotations

import json
import re
import uuid
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, resolve, reverse
from django.utils import timezone

from accounts.models import ApiToken, Membership
from portal.access import SERVICE_SCOPES, Guard
from portal.cloud.discovery import match
from portal.errors import TryLater
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
        self._sessions = {}
        self._browser = Client(REMOTE_ADDR="192.0.2.7")

    def client(self, person):
        """A browser from elsewhere, logged in as this person and with no other cookie."""
        client = self._browser
        client.cookies.clear()
        if person is not None:
            if person not in self._sessions:
                client.force_login(self.people[person])
                make.prove(client, self.people[person], how="mfa")
                self._sessions[person] = client.cookies[settings.SESSION_COOKIE_NAME].value
            client.cookies[settings.SESSION_COOKIE_NAME] = self._sessions[person]
        return client

    def once(self, name, maker):
        if name not in self._made:
            self._made[name] = maker()
        return self._made[name]

    def token_of_admin(self):
        make.token(self.people["admin"], "ss_of_the_admin")
        return ApiToken.objects.get(prefix="ss_of_the_a")

    def service_token(self):
        make.service_token(self.account, self.people["admin"], "ssa_of_the_account")
        return ApiToken.objects.get(prefix="ssa_of_the_")

    @property
    def token_body(self):
        ends = timezone.now() + timedelta(hours=2)
        return {"name": "x", "scopes": ["me"], "expires_at": ends.isoformat()}

    def url(self, name, refs):
        return reverse(name, kwargs={ref: REFS[ref](self) for ref in refs})


def provider_is_away(*args, **kwargs):
    raise TryLater("The provider cannot be reached.", after_s=1)


@pytest.fixture
def world(db, monkeypatch):
    for place in ("accounts.views", "accounts.api"):
        monkeypatch.setattr(f"{place}.discover_pools", lambda connection: match([], []))
        monkeypatch.setattr(f"{place}.test_connection", lambda connection: CHECKED)
    monkeypatch.setattr("scaledown.pool.look_once", provider_is_away)
    monkeypatch.setattr("accounts.clouds.look_once", provider_is_away)
    monkeypatch.setattr("drills.plans.pool.look_once", provider_is_away)
    monkeypatch.setattr("accounts.services.check_url", lambda url: None)
    monkeypatch.setattr("portal.egress.check_url", lambda url, **more: None)
    monkeypatch.setattr("capacity.pulls.services._ask", provider_is_away)
    monkeypatch.setattr("capacity.hosts.services.find", provider_is_away)
    return World()


def ask(world, person, name, method, refs, row, *, url="", **headers):
    """Send one request as a person (None: a stranger) and undo whatever it did."""
    url = url or world.url(name, refs)
    client = world.client(person)
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
        (name, method, refs, ROWS[name, method])
        for name, method, refs in ROUTES
        if (name, method) in ROWS and ROWS[name, method].kind in kinds
    ]


API = [one for one in rows_with("account", "list", "personal") if one[0].startswith("api-")]


class Findings:
    """Collects what is wrong, so that one run names every hole."""

    def __init__(self):
        self.found = []

    def expect(self, holds, *what):
        if not holds:
            self.found.append(" ".join(str(part) for part in what))

    def none(self):
        assert not self.found, "\n".join(self.found)


def test_a_stranger_gets_in_nowhere(world):
    wrong = Findings()
    for name, method, refs, row in rows_with("account", "list", "personal", "public"):
        response = ask(world, None, name, method, refs, row)
        status = response.status_code
        if row.kind == "public":
            wrong.expect(status in row.answers, method, name, status)
        elif world.url(name, refs).startswith("/api/"):
            is_problem = response["Content-Type"] == "application/problem+json"
            wrong.expect(status == 401 and is_problem, method, name, status)
        else:
            to_log_in = status == 302 and response["Location"].startswith("/login/")
            wrong.expect(to_log_in, method, name, status)
        hidden = row.names_it or b"Lindgren Secret" not in text_of(response)
        wrong.expect(hidden, method, name, "names the account")
    wrong.none()


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_exactly_what_is_written_down(world, role):
    wrong = Findings()
    for name, method, refs, row in rows_with("account"):
        status = ask(world, role, name, method, refs, row).status_code
        if role in row.may:
            wrong.expect(status in row.answers, role, "should be let in:", method, name, status)
        elif role in row.unseen_by:
            wrong.expect(status == 404, role, "should not find it:", method, name, status)
        else:
            wrong.expect(status == row.denied, role, "should be refused:", method, name, status)
    wrong.none()


@pytest.mark.parametrize("person", OUTSIDERS)
def test_who_is_of_another_account_or_none_learns_nothing(world, person):
    wrong = Findings()
    for name, method, refs, row in rows_with("account"):
        response = ask(world, person, name, method, refs, row)
        wrong.expect(response.status_code == 404, person, method, name, response.status_code)
        wrong.expect(b"Lindgren Secret" not in text_of(response), method, name, "names the account")
    wrong.none()


def test_a_list_shows_only_what_is_ones_own(world):
    wrong = Findings()
    for name, method, refs, row in rows_with("list"):
        for person in sorted(EVERYBODY):
            response = ask(world, person, name, method, refs, row)
            wrong.expect(response.status_code in row.answers, person, method, name, response.status_code)
            if person in OUTSIDERS:
                text = text_of(response)
                hidden = b"Lindgren Secret" not in text and str(world.account.ref).encode() not in text
                wrong.expect(hidden, person, "sees the account in", name)
    wrong.none()


def test_no_read_of_the_api_passes_over_which_fields_are_asked_for(world):
    """What knows no fields, a file, refuses the question; an empty list cannot know."""
    wrong, asked = Findings(), 0
    for name, method, refs, row in rows_with("account", "list", "personal"):
        url = world.url(name, refs)
        if method != "GET" or not url.startswith("/api/"):
            continue
        for person in ("lead", "admin"):
            plain = ask(world, person, name, method, refs, row, url=url)
            if plain.status_code != 200 or plain.streaming:
                continue
            answer = ask(world, person, name, method, refs, row, url=f"{url}?fields=nonsense")
            is_empty = answer.status_code == 200 and answer.json() == {**answer.json(), "results": []}
            asked += not is_empty
            wrong.expect(is_empty or answer.status_code in {400, 422}, name, answer.status_code)
    assert asked > 100
    wrong.none()


def test_own_pages_are_for_whom_is_written_down(world):
    wrong = Findings()
    for name, method, refs, row in rows_with("personal", "public"):
        for person in sorted(EVERYBODY):
            status = ask(world, person, name, method, refs, row).status_code
            expected = row.answers if person in row.may else {row.denied}
            wrong.expect(status in expected, person, method, name, status)
    wrong.none()


def test_a_token_that_is_expired_or_revoked_opens_nothing(world):
    admin = world.people["admin"]
    expired = make.token(admin, expires_in=timedelta(days=-1))
    revoked = make.token(admin, revoked_at=timezone.now())
    wrong = Findings()
    for name, method, refs, row in API:
        for secret in (expired, revoked, "ss_never_made"):
            response = ask(world, None, name, method, refs, row, **make.bearer(secret))
            wrong.expect(response.status_code == 401, secret, method, name, response.status_code)
    wrong.none()


def test_a_token_reaches_as_far_as_its_user_and_its_scopes(world):
    full = {role: make.token(world.people[role]) for role in ("admin", "lead")}
    # Of two scopes at least one is not what an address asks for.
    narrow = {
        (role, scope): make.token(world.people[role], scopes=[scope])
        for role in ("admin", "lead")
        for scope in ("audit:read", "calendar:read")
    }
    outsider = make.token(world.people["other_admin"])
    wrong = Findings()
    for name, method, refs, row in API:
        role = next((role for role in ("admin", "lead") if role in row.may), None)
        if role is None:
            # For operators alone, and no token has the scope for it.
            status = ask(world, None, name, method, refs, row, **make.bearer(full["lead"])).status_code
            wrong.expect(status == 403, "operators' own:", method, name, status)
            continue
        status = ask(world, None, name, method, refs, row, **make.bearer(full[role])).status_code
        wrong.expect(status in row.answers, "full token:", method, name, status)
        asked = scope_of(world.url(name, refs), method)
        scope = "audit:read" if asked == "calendar:read" else "calendar:read"
        refused = ask(world, None, name, method, refs, row, **make.bearer(narrow[role, scope]))
        wrong.expect(refused.status_code == 403, "narrow token:", method, name, refused.status_code)
        wrong.expect(b"problem:scope-missing" in refused.content, "narrow token:", method, name)
        if row.kind == "account":
            status = ask(world, None, name, method, refs, row, **make.bearer(outsider)).status_code
            wrong.expect(status == 404, "another account's token:", method, name, status)
    wrong.none()


# Seen by many a role, and done by a person alone: these ask for a further scope.
TAKES_A_PERSON = {"api-leave", "api-team-leave", "api-approval-approve", "api-approval-reject"}


def scope_of(url, method):
    view = resolve(url).func.cls
    asked = view.write_permission if method != "GET" else None
    return (asked or view.permission).scope


@pytest.mark.parametrize("maker", ["admin", "launch_manager"])
def test_a_service_token_reaches_its_account_as_far_as_its_role_and_nothing_else(world, maker):
    """It never reaches what is its maker's own, what takes a person, or another account of its maker's."""
    maker_user = world.people[maker]
    elsewhere = make.account("Lindgren Second", of=world.account.team)
    if maker == "admin":
        Membership.objects.create(account=elsewhere, user=maker_user, role="admin")
    narrow = make.service_token(world.account, maker_user, role="viewer")
    full = make.service_token(world.account, maker_user, role=maker)
    outside = make.service_token(elsewhere, maker_user, role=maker)
    wrong = Findings()
    for name, method, refs, row in API:
        url = world.url(name, refs)
        by = {
            which: ask(world, None, name, method, refs, row, **make.bearer(secret))
            for which, secret in (("narrow", narrow), ("full", full), ("outside", outside))
        }
        statuses = {which: answer.status_code for which, answer in by.items()}
        takes_a_person = name in TAKES_A_PERSON or row.kind == "personal"
        if takes_a_person or scope_of(url, method) not in SERVICE_SCOPES:
            wrong.expect(set(statuses.values()) == {403}, "takes a person:", method, name, statuses)
            continue
        if row.kind == "list":
            wrong.expect(set(statuses.values()) <= row.answers, "list:", method, name, statuses)
            wrong.expect(
                str(world.account.ref).encode() not in by["outside"].content, "shows too much:", name
            )
            wrong.expect(str(elsewhere.ref).encode() not in by["full"].content, "shows too much:", name)
            continue
        if row.unseen_by:
            wrong.expect(set(statuses.values()) == {404}, "a team's:", method, name, statuses)
            continue
        wrong.expect(statuses["outside"] == 404, "another account's:", method, name, statuses)
        is_let_in = row.answers if maker in row.may else {row.denied}
        wrong.expect(statuses["full"] in is_let_in, "as its maker:", method, name, statuses)
        is_let_in = row.answers if "viewer" in row.may else {403}
        wrong.expect(statuses["narrow"] in is_let_in, "as viewer:", method, name, statuses)
    wrong.none()


def test_a_user_who_was_switched_off_opens_nothing(world):
    off = make.member(world.account, "admin")
    secret = make.token(off)
    world.people["off"] = off
    world.client("off")
    off.is_active = False
    off.save()
    wrong = Findings()
    for name, method, refs, row in rows_with("account", "list", "personal"):
        response = ask(world, "off", name, method, refs, row)
        status = response.status_code
        if name.startswith("api-"):
            wrong.expect(status in {401, 403}, "session:", method, name, status)
            status = ask(world, None, name, method, refs, row, **make.bearer(secret)).status_code
            wrong.expect(status == 401, "token:", method, name, status)
        else:
            wrong.expect(status == 302 and response["Location"].startswith("/login/"), method, name, status)
    wrong.none()


_OWN_TO_EACH = re.compile(rb'"request_id": ?"[^"]*"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def test_what_is_not_yours_reads_like_what_is_not_there(world):
    """The two answers are the same to the letter, but for the request's own id and form tokens."""
    wrong = Findings()
    for name, method, refs, row in rows_with("account"):
        ours = [ref for ref in refs if ref.endswith("_ref")]
        if not ours:
            continue
        theirs = ask(world, "other_admin", name, method, refs, row)
        kwargs = {ref: REFS[ref](world) for ref in refs} | {ours[0]: uuid.uuid4()}
        nowhere = ask(world, "other_admin", name, method, refs, row, url=reverse(name, kwargs=kwargs))
        same = [
            re.sub(rb'value="[A-Za-z0-9]{64}"', b"", _OWN_TO_EACH.sub(b"", text_of(one)))
            for one in (theirs, nowhere)
        ]
        wrong.expect(theirs.status_code == nowhere.status_code == 404, method, name, nowhere.status_code)
        wrong.expect(same[0] == same[1], method, name, "answers differ")
        names = [sorted(set(one.headers) - {"Set-Cookie"}) for one in (theirs, nowhere)]
        wrong.expect(names[0] == names[1], method, name, "headers differ")
    wrong.none()


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
