"""What holds for every operation of the API, shown on contacts and tokens."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import lru_cache

import pytest
import time_machine
import yaml
from django.core.cache import cache
from django.db import connection as database
from django.test import Client
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from accounts.models import ApiToken, Contact
from portal.api import KEEP_FOR, forget_old_answers
from portal.audit.models import AuditEntry
from portal.models import IdempotentAnswer
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_counted_yet():
    cache.clear()


ADA = {"name": "Ada", "email": "ada@shop.example"}


class Api:
    """A client with a token of an editor."""

    def __init__(self):
        self.account = make.account()
        self.user = make.member(self.account, "editor")
        self.client = Client()
        self.headers = make.bearer(make.token(self.user))
        self.contacts = f"/api/v1/accounts/{self.account.ref}/contacts"

    def send(self, method, url, body=None, **headers):
        data = json.dumps(body) if body is not None else ""
        send = getattr(self.client, method)
        return send(url, data, content_type="application/json", **self.headers, **headers)

    def get(self, url, **params):
        return self.client.get(url, params, **self.headers)


@pytest.fixture
def api(db):
    cache.clear()
    return Api()


# doing once


def test_the_same_request_again_gives_the_same_answer_and_does_nothing(api):
    first = api.send("post", api.contacts, ADA, HTTP_IDEMPOTENCY_KEY="k1")
    again = api.send("post", api.contacts, ADA, HTTP_IDEMPOTENCY_KEY="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["ETag"] == first["ETag"]
    assert again["Idempotent-Replay"] == "true"
    assert Contact.objects.count() == 1
    assert AuditEntry.objects.filter(what="contact.added").count() == 1


def test_another_body_with_the_same_key_is_a_conflict(api):
    api.send("post", api.contacts, ADA, HTTP_IDEMPOTENCY_KEY="k1")
    other = api.send("post", api.contacts, {**ADA, "name": "Bob"}, HTTP_IDEMPOTENCY_KEY="k1")
    assert other.status_code == 409
    assert other.json()["type"].endswith("idempotency-key-reused")


def test_without_a_key_two_requests_are_two_contacts(api):
    for _ in range(2):
        assert api.send("post", api.contacts, {**ADA, "all_the_same": True}).status_code == 201
    assert Contact.objects.count() == 2


def test_a_key_is_ones_own(api):
    api.send("post", api.contacts, ADA, HTTP_IDEMPOTENCY_KEY="k1")
    api.headers = make.bearer(make.token(make.member(api.account, "editor")))
    again = api.send("post", api.contacts, {**ADA, "all_the_same": True}, HTTP_IDEMPOTENCY_KEY="k1")
    assert again.status_code == 201
    assert "Idempotent-Replay" not in again


def test_a_refusal_is_not_kept_so_that_a_repeat_can_succeed(api):
    type(api.account).objects.update(status="archived")
    assert api.send("post", api.contacts, ADA, HTTP_IDEMPOTENCY_KEY="k1").status_code == 422
    assert not IdempotentAnswer.objects.exists()
    type(api.account).objects.update(status="active")
    assert api.send("post", api.contacts, ADA, HTTP_IDEMPOTENCY_KEY="k1").status_code == 201


def test_a_replay_asks_for_access_again(api):
    api.send("post", api.contacts, ADA, HTTP_IDEMPOTENCY_KEY="k1")
    api.user.memberships.update(role="viewer")
    assert api.send("post", api.contacts, ADA, HTTP_IDEMPOTENCY_KEY="k1").status_code == 403


def test_a_key_is_good_for_a_day(api):
    said = {**ADA, "all_the_same": True}
    api.send("post", api.contacts, said, HTTP_IDEMPOTENCY_KEY="k1")
    with time_machine.travel(timezone.now() + KEEP_FOR + timedelta(minutes=1)):
        api.headers = make.bearer(make.token(api.user))
        assert api.send("post", api.contacts, said, HTTP_IDEMPOTENCY_KEY="k1").status_code == 201
    assert Contact.objects.count() == 2
    assert forget_old_answers(timezone.now() + 3 * KEEP_FOR) == 1


def test_a_command_needs_a_key(api):
    contact = make.contact(api.account)
    response = api.send("post", f"/api/v1/contacts/{contact.ref}/confirm", {})
    assert response.status_code == 428
    assert "Idempotency-Key" in response.json()["detail"]
    contact.refresh_from_db()
    assert contact.confirmed_on is None


def test_a_tokens_secret_is_given_once_and_never_stored(api):
    ends = (timezone.now() + timedelta(hours=2)).isoformat()
    body = {"name": "x", "scopes": ["me"], "expires_at": ends}
    first = api.send("post", "/api/v1/tokens", body, HTTP_IDEMPOTENCY_KEY="k1")
    again = api.send("post", "/api/v1/tokens", body, HTTP_IDEMPOTENCY_KEY="k1")
    secret = first.json()["token"]
    assert secret.startswith("ss_")
    assert again.json()["token"] is None
    assert secret not in str(list(IdempotentAnswer.objects.values_list("body", flat=True)))
    assert Client().get("/api/v1/me", **make.bearer(secret)).status_code == 200


def test_a_token_makes_none_that_may_more_than_itself(api):
    api.headers = make.bearer(make.token(api.user, scopes=["me"]))
    ends = (timezone.now() + timedelta(hours=2)).isoformat()
    body = {"name": "x", "scopes": ["me", "contacts:write"], "expires_at": ends}
    assert api.send("post", "/api/v1/tokens", body).status_code == 403
    assert ApiToken.objects.count() == 2


# If-Match


def test_a_change_needs_the_version_that_was_read(api):
    contact = make.contact(api.account)
    url = f"/api/v1/contacts/{contact.ref}"
    etag = api.get(url)["ETag"]
    assert api.send("patch", url, {"title": "A"}).status_code == 428
    assert api.send("patch", url, {"title": "A"}, HTTP_IF_MATCH=etag).status_code == 200
    stale = api.send("patch", url, {"title": "B"}, HTTP_IF_MATCH=etag)
    assert stale.status_code == 412
    contact.refresh_from_db()
    assert contact.title == "A"


def test_a_removal_needs_it_too(api):
    contact = make.contact(api.account)
    url = f"/api/v1/contacts/{contact.ref}"
    assert api.send("delete", url).status_code == 428
    assert api.send("delete", url, HTTP_IF_MATCH='"old"').status_code == 412
    assert api.send("delete", url, HTTP_IF_MATCH=api.get(url)["ETag"]).status_code == 204
    assert api.get(url).status_code == 404


# problems


def test_every_wrong_field_is_named(api):
    response = api.send("post", api.contacts, {"email": "no", "phone": "123"})
    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body["errors"]) == {"name", "email", "phone"}
    assert body["request_id"] == response["X-Request-ID"]


def test_a_misspelt_field_is_not_passed_over(api):
    response = api.send("post", api.contacts, {**ADA, "fone": "+49301234567", "email": "no"})
    assert (response.status_code, set(response.json()["errors"])) == (422, {"fone", "email"})
    assert Contact.objects.count() == 0


def test_what_is_no_json_is_said(api):
    response = api.client.post(api.contacts, "{", content_type="application/json", **api.headers)
    assert response.status_code == 400
    assert response.json()["type"] == "urn:steady-state:problem:malformed"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[" * 100_000, 400),
        ('{"name":' * 100_000, 400),
        ('{"name": NaN}', 400),
        (b'{"name": "\xff"}', 400),
        ('{"name": ' + "9" * 5000 + "}", 400),
        ('{"name": 1e999}', 422),
        ('{"name": "\\u0000"}', 422),
        ('{"time_zone": "\\ud800"}', 422),
        ('{"roles": ["\\ud800"]}', 422),
        ('{"\\u0000": 1}', 422),
        ('{"name": ' + "[" * 40 + "]" * 40 + "}", 422),
        ('{"notes": "' + "x" * 1_100_000 + '"}', 413),
    ],
)
def test_a_body_that_nothing_can_hold_is_refused_before_it_is_looked_at(api, body, status):
    response = api.client.post(api.contacts, body, content_type="application/json", **api.headers)
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert Contact.objects.count() == 0


def test_a_body_without_its_length_is_not_taken_for_an_empty_one(api):
    response = api.client.generic("POST", api.contacts, b"", HTTP_TRANSFER_ENCODING="chunked", **api.headers)
    assert (response.status_code, response.json()["type"]) == (
        411,
        "urn:steady-state:problem:length-required",
    )


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_text_that_python_takes_for_a_number_is_none(api, number):
    connection = make.connection(api.account)
    url = f"/api/v1/connections/{connection.ref}/pools/71"
    given = {"ceiling_rps": number, "ceiling_source": "benchmark"}
    response = api.send("post", url, given)
    assert (response.status_code, list(response.json()["errors"])) == (422, ["ceiling_rps"])


@pytest.mark.parametrize("path", ["/api/v1/accounts?status=%00", "/api/v1/approvals?account=%00"])
def test_a_null_character_in_the_address_is_refused(api, path):
    response = api.get(path)
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


def test_an_unknown_address_is_a_problem_document_too():
    response = Client().get("/api/v1/nothing-here")
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def test_a_bug_is_a_problem_document_without_its_text(api, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("a secret in a traceback")

    monkeypatch.setattr("accounts.contacts.api.services.add_contact", broken)
    client = Client(raise_request_exception=False)
    response = client.post(api.contacts, json.dumps(ADA), content_type="application/json", **api.headers)
    assert response.status_code == 500
    assert response.json()["type"] == "urn:steady-state:problem:fault"
    assert b"secret" not in response.content


def test_a_refusal_is_on_record_and_names_what_was_needed(api):
    viewer = make.member(api.account, "viewer")
    api.headers = make.bearer(make.token(viewer))
    response = api.send("post", api.contacts, ADA)
    assert response.status_code == 403
    entry = AuditEntry.objects.get(what="access.refused")
    assert (entry.actor_ref, entry.account_ref) == (str(viewer.ref), api.account.ref)
    assert entry.after["needed"] == "contact_edit"
    assert entry.request_id == response["X-Request-ID"]
    assert entry.token_prefix


# signing in


def test_a_tokens_first_use_in_an_hour_is_on_record(api):
    with time_machine.travel("2026-11-23T12:10:00Z", tick=False) as clock:
        api.headers = make.bearer(make.token(api.user))
        for minutes in (0, 5, 20, 60, 5):
            clock.shift(timedelta(minutes=minutes))
            assert api.get("/api/v1/me").status_code == 200
    assert AuditEntry.objects.filter(what="token.used").count() == 2


def test_a_refused_token_is_on_record_without_itself(api):
    api.headers = make.bearer("ss_this-is-a-secret-that-was-typed")
    assert api.get("/api/v1/me").status_code == 401
    entry = AuditEntry.objects.get(what="token.refused")
    assert entry.after == {"why": "unknown", "prefix": "ss_this-is-"}


def test_a_session_needs_the_csrf_token_for_changes(api):
    client = Client(enforce_csrf_checks=True)
    client.force_login(api.user)
    response = client.post(api.contacts, json.dumps(ADA), content_type="application/json")
    assert response.status_code == 403
    assert not Contact.objects.exists()


def test_who_is_switched_off_has_no_token_any_more(api):
    type(api.user).objects.filter(pk=api.user.pk).update(is_active=False)
    assert api.get("/api/v1/me").status_code == 401


# lists


def test_pages_follow_each_other_to_the_end_and_back(api):
    names = {make.contact(api.account, f"Contact {n}", escalation_order=1 + n // 2).name for n in range(7)}
    url, seen, pages = f"{api.contacts}?limit=3", [], 0
    while url:
        body = api.get(url).json()
        seen += [row["name"] for row in body["results"]]
        pages, last, url = pages + 1, body, body["next"]
    assert (pages, len(seen), set(seen)) == (3, 7, names)
    back = api.get(last["previous"]).json()
    assert [row["name"] for row in back["results"]] == seen[3:6]


def test_a_page_stays_where_it_is_while_rows_are_added(api):
    for n in range(4):
        make.contact(api.account, f"Contact {n}", escalation_order=n + 1)
    first = api.get(api.contacts, limit=2).json()
    make.contact(api.account, "Newcomer", escalation_order=1)
    second = api.get(first["next"]).json()
    assert [row["name"] for row in second["results"]] == ["Contact 2", "Contact 3"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": "0"}, "bad-limit"),
        ({"limit": "201"}, "bad-limit"),
        ({"limit": "0000200000"}, "bad-limit"),
        ({"limit": "x"}, "bad-limit"),
        ({"cursor": "made-up"}, "bad-cursor"),
        ({"fields": "purpose"}, "unknown-field"),
    ],
)
def test_what_is_wrong_about_a_list_is_said(api, params, code):
    make.contact(api.account)
    response = api.get(api.contacts, **params)
    assert response.status_code == (400 if code == "bad-cursor" else 422)
    assert response.json()["type"] == f"urn:steady-state:problem:{code}"


def test_a_cursor_of_another_list_is_refused(api):
    for n in range(3):
        make.contact(api.account, f"Contact {n}")
    other = make.account()
    make.Membership.objects.create(account=other, user=api.user, role="viewer")
    cursor = api.get(api.contacts, limit=1).json()["next"].split("cursor=")[1].split("&")[0]
    response = api.client.get(f"/api/v1/accounts/{other.ref}/contacts?cursor={cursor}", **api.headers)
    assert response.status_code == 400
    assert "of another list" in response.json()["detail"]


def test_fields_thin_an_answer(api):
    make.contact(api.account)
    assert set(api.get(api.contacts, fields="ref,name").json()["results"][0]) == {"ref", "name"}


def test_a_list_costs_the_same_for_one_row_and_for_twenty(api, django_assert_num_queries):
    make.contact(api.account)
    api.get(api.contacts)
    # token, account with roles, contacts, their proofs; who was read, and that it was logged within the hour
    with django_assert_num_queries(5):
        api.get(api.contacts)
    for n in range(20):
        make.contact(api.account, f"Contact {n}")
    with django_assert_num_queries(9):
        api.get(api.contacts)


def test_the_rate_limit_is_told_and_kept(api, monkeypatch):
    monkeypatch.setattr("portal.api.PortalAPIView.rate_per_minute", 2)
    assert api.get("/api/v1/me")["RateLimit"].startswith('"minute";r=1;t=')
    api.get("/api/v1/me")
    third = api.get("/api/v1/me")
    assert third.status_code == 429
    assert int(third["Retry-After"]) >= 1
    assert "This is the limit of this token. Come again in " in third.json()["detail"]


def test_many_tokens_of_one_person_share_a_limit(api, monkeypatch):
    monkeypatch.setattr("portal.api.PortalAPIView.rate_per_user", 3)
    tokens = [make.bearer(make.token(api.user)) for _ in range(4)]
    answers = [Client().get("/api/v1/me", **token) for token in tokens]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    says = answers[-1].json()["detail"]
    assert (
        "This is the limit of your log-in, with all tokens and sessions of yours together. Come again in "
        in says
    )
    assert "Expected available" not in says
    assert answers[0]["RateLimit"].startswith('"minute";r=2;')
    elsewhere = make.bearer(make.token(make.member(api.account, "viewer")))
    assert Client().get("/api/v1/me", **elsewhere).status_code == 200


@lru_cache(maxsize=1)
def schema():
    return SchemaGenerator().get_schema(request=None, public=True)


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        ("plans_preview", {"422", "502", "503"}),
        ("connections_discover", {"422", "502", "503"}),
        ("connections_check", {"409", "411", "422", "428", "502", "503"}),
        ("contacts_add", {"400", "409", "411", "413", "415", "422"}),
    ],
)
def test_the_schema_lists_what_an_operation_can_answer(operation, statuses):
    found = [
        one
        for path in schema()["paths"].values()
        for one in path.values()
        if one.get("operationId") == operation
    ]
    assert statuses <= set(found[0]["responses"])


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        ("*/*", "application/vnd.oai.openapi; charset=utf-8"),
        ("application/yaml", "application/yaml; charset=utf-8"),
        ("application/json", "application/json"),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
    ],
)
def test_the_schema_is_made_once_and_served_in_each_format(client, monkeypatch, accept, sent):
    first = client.get("/api/v1/schema/", HTTP_ACCEPT=accept)
    monkeypatch.setattr(SchemaGenerator, "get_schema", None)
    again = client.get("/api/v1/schema/", HTTP_ACCEPT=accept)
    assert (first["Content-Type"], again["Content-Type"]) == (sent, sent)
    assert first.content == again.content
    read = json.loads(first.content) if "json" in sent else yaml.load(first.content, yaml.CSafeLoader)
    assert read["paths"].keys() == schema()["paths"].keys()


@pytest.mark.parametrize(
    ("name", "row"),
    [("PullOut", {"base_url": ""}), ("ContactOut", {"email": "", "preferred_channel": ""})],
)
def test_an_answer_that_is_empty_fits_the_schema_whether_formats_are_looked_at_or_not(name, row):
    """An empty text has a format for who looks at none, and length 0: of `oneOf` that was one too many."""
    fields = {**schema()["components"]["schemas"][name], "required": []}
    document = {**fields, "components": schema()["components"]}
    for looks in (None, Draft202012Validator.FORMAT_CHECKER):
        assert list(Draft202012Validator(document, format_checker=looks).iter_errors(row)) == []


def test_without_redis_the_api_goes_on_without_a_limit(api, monkeypatch):
    from redis.exceptions import ConnectionError as RedisGone

    def gone(*args, **kwargs):
        raise RedisGone("away")

    monkeypatch.setattr("portal.counting._client", gone)
    response = api.get("/api/v1/me")
    assert response.status_code == 200
    assert "RateLimit" not in response


def test_the_teams_notes_are_the_teams(api):
    type(api.account).objects.update(team_notes="difficult", notes="shared")
    seen = api.get(f"/api/v1/accounts/{api.account.ref}").json()
    assert (seen["notes"], seen["team_notes"]) == ("shared", None)
    api.headers = make.bearer(make.token(make.launch_manager(api.account.team)))
    assert api.get(f"/api/v1/accounts/{api.account.ref}").json()["team_notes"] == "difficult"


def test_a_connections_key_is_never_given(api):
    connection = make.connection(api.account)
    text = api.get(f"/api/v1/connections/{connection.ref}").content.decode()
    assert "the-providers-key" not in text
    assert "api_key" not in text


def test_where_somebody_was_is_told_only_to_who_manages_members(api):
    contact = make.contact(api.account)
    api.send("post", f"/api/v1/contacts/{contact.ref}/confirm", {}, HTTP_IDEMPOTENCY_KEY="k")
    url = f"/api/v1/accounts/{api.account.ref}/audit"
    assert api.get(url).json()["results"][0]["address"] is None
    api.headers = make.bearer(make.token(make.member(api.account, "admin")))
    assert api.get(url).json()["results"][0]["address"] == "127.0.0.1"


def test_the_teams_notes_do_not_reach_the_customer_by_way_of_the_audit(api):
    manager = make.bearer(make.token(make.launch_manager(api.account.team)))
    reader, api.headers = api.headers, manager
    account = f"/api/v1/accounts/{api.account.ref}"
    changed = {"team_notes": "difficult", "notes": "shared"}
    assert api.send("patch", account, changed, HTTP_IF_MATCH="*").status_code == 200
    newest = api.get(f"{account}/audit").json()["results"][0]
    assert newest["after"] == {"team_notes": "difficult", "notes": "shared"}
    api.headers = reader
    newest = api.get(f"{account}/audit").json()["results"][0]
    assert (newest["before"], newest["after"]) == ({"notes": ""}, {"notes": "shared"})
    browser = Client()
    browser.force_login(api.user)
    page = browser.get(f"/accounts/{api.account.ref}/activity/").content.decode()
    assert "Account changed" in page
    assert "difficult" not in page


def test_a_stranger_cannot_fill_the_audit_with_made_up_tokens():
    for number in range(12):
        refused = Client().get("/api/v1/me", **make.bearer(f"ss_made_up_{number}"))
        assert refused.status_code == 401
    assert AuditEntry.objects.filter(what="token.refused").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_provider_is_asked_outside_of_any_transaction_and_once_per_key(api, monkeypatch):
    asked = []

    def ask(row):
        asked.append(database.in_atomic_block)
        lines = [{"name": "identity", "outcome": "ok", "says": "Signed in."}]
        return {"is_usable": True, "checked_at": timezone.now().isoformat(), "lines": lines}

    monkeypatch.setattr("accounts.api.test_connection", ask)
    row = make.connection(api.account)
    api.headers = make.bearer(make.token(make.launch_manager(api.account.team)))
    address = f"/api/v1/connections/{row.ref}/check"
    first = api.send("post", address, HTTP_IDEMPOTENCY_KEY="one")
    again = api.send("post", address, HTTP_IDEMPOTENCY_KEY="one")
    assert (first.status_code, again.status_code, again["Idempotent-Replay"]) == (200, 200, "true")
    assert first.json() == again.json()
    assert api.send("post", address, {"x": 1}, HTTP_IDEMPOTENCY_KEY="one").status_code == 409
    assert api.send("post", address).status_code == 428
    assert asked == [False]
    assert AuditEntry.objects.filter(what="connection.tested").count() == 1


@pytest.mark.parametrize("host", ["metadata.google.internal", "169.254.169.254", "METADATA.google.internal."])
def test_an_endpoint_that_is_no_provider_is_refused_at_its_field(api, host):
    api.headers = make.bearer(make.token(make.launch_manager(api.account.team)))
    given = {
        "name": "main",
        "identity_url": f"http://{host}/v2.0",
        "username": "u",
        "api_key": "k",
        "tenant": "1",
        "region": "DFW",
    }
    refused = api.send("post", f"/api/v1/accounts/{api.account.ref}/connections", given)
    assert refused.status_code == 422
    assert "metadata service" in refused.json()["errors"]["identity_url"][0]
