"""Webhooks through pages and API."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from standardwebhooks import Webhook

from portal.events.catalogue import types_known
from portal.webhooks import signing
from portal.webhooks.models import Delivery, Endpoint
from tests import factories as make

pytestmark = pytest.mark.django_db
URL = "https://hooks.shop.example/in"


@pytest.fixture
def desk():
    class Desk:
        account = make.account("Lindgren Outdoor")
        admin = make.member(account, "admin", "Maja Lindgren")
        browser = Client()
        api = f"/api/v1/accounts/{account.ref}/webhooks"

    Desk.browser.force_login(Desk.admin)
    make.prove(Desk.browser, Desk.admin)
    return Desk()


def send(client, method, url, body=None, **headers):
    return getattr(client, method)(url, json.dumps(body or {}), content_type="application/json", **headers)


def test_a_webhook_is_added_on_a_page_that_shows_its_secret_once(desk):
    form = {"url": URL, "groups": ["run.*"], "more": "plan.approved", "envelope": "standard"}
    made = desk.browser.post(reverse("accounts:webhook-add", args=[desk.account.ref]), form)
    endpoint = Endpoint.objects.get()
    assert endpoint.secret in made.content.decode()
    assert made["Cache-Control"] == "no-store"
    assert endpoint.types == ["plan.approved", "run.*"]
    for name in ("webhook-detail", "webhook-edit", "webhook-rotate", "webhook-remove"):
        shown = desk.browser.get(reverse(f"accounts:{name}", args=[endpoint.ref]))
        assert shown.status_code == 200
        assert endpoint.secret not in shown.content.decode()


def test_what_cannot_be_an_address_is_said_beside_the_field_and_kept(desk):
    answer = desk.browser.post(
        reverse("accounts:webhook-add", args=[desk.account.ref]),
        {"url": "https://10.1.2.3/in", "description": "Pager", "envelope": "standard"},
    )
    assert answer.status_code == 422
    assert "a private network" in answer.content.decode()
    assert "Pager" in answer.content.decode()
    assert not Endpoint.objects.exists()


def test_without_a_fresh_proof_nothing_is_added(desk):
    stale = Client()
    stale.force_login(desk.admin)
    answer = stale.post(
        reverse("accounts:webhook-add", args=[desk.account.ref]), {"url": URL, "envelope": "standard"}
    )
    assert answer.status_code == 302
    assert not Endpoint.objects.exists()
    assert send(stale, "post", desk.api, {"url": URL}).status_code == 403


def test_the_buttons_of_its_page_do_what_they_say(desk):
    endpoint = make.endpoint(desk.account)
    press = lambda name: desk.browser.post(reverse(f"accounts:webhook-{name}", args=[endpoint.ref]), {})  # noqa: E731
    press("pause")
    assert Endpoint.objects.get().state == "paused"
    press("resume")
    assert Endpoint.objects.get().state == "active"
    press("test")
    assert Delivery.objects.get().by_hand
    message = Delivery.objects.get()
    page = desk.browser.get(reverse("accounts:webhook-message", args=[message.ref]))
    assert message.message_id in page.content.decode()
    old = endpoint.secret
    desk.browser.post(reverse("accounts:webhook-rotate", args=[endpoint.ref]), {"keep_old_hours": 2})
    rotated = Endpoint.objects.get()
    assert rotated.old_secret == old != rotated.secret
    press("remove")
    assert not Endpoint.objects.exists()


def test_the_list_costs_the_same_for_one_webhook_and_for_ten(desk, django_assert_num_queries):
    url = reverse("accounts:webhook-list", args=[desk.account.ref])
    make.endpoint(desk.account)
    desk.browser.get(url)
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as one:
        desk.browser.get(url)
    for _ in range(9):
        make.delivery(make.endpoint(desk.account))
    with django_assert_num_queries(len(one)):
        desk.browser.get(url)
    assert len(one) <= 12


def test_the_whole_life_of_a_webhook_over_the_api(desk):
    made = send(desk.browser, "post", desk.api, {"url": URL, "types": ["run.*"]}, HTTP_IDEMPOTENCY_KEY="a")
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert signing.key_of(secret)
    again = send(desk.browser, "post", desk.api, {"url": URL, "types": ["run.*"]}, HTTP_IDEMPOTENCY_KEY="a")
    assert (again.json()["ref"], again.json()["secret"]) == (made.json()["ref"], None)
    one = f"/api/v1/webhooks/{made.json()['ref']}"
    assert "secret" not in desk.browser.get(one).json()
    assert send(desk.browser, "patch", one, {"types": []}).status_code == 428
    assert send(desk.browser, "patch", one, {"types": []}, HTTP_IF_MATCH='"old"').status_code == 412
    changed = send(desk.browser, "patch", one, {"types": []}, HTTP_IF_MATCH=made["ETag"])
    assert changed.json()["types"] == []
    wrong = send(desk.browser, "patch", one, {"types": ["RUN"]}, HTTP_IF_MATCH="*")
    assert wrong.status_code == 422
    assert send(desk.browser, "post", f"{one}/test").status_code == 428
    test = send(desk.browser, "post", f"{one}/test", HTTP_IDEMPOTENCY_KEY="b")
    assert test.status_code == 202
    listed = desk.browser.get(f"{one}/messages?state=pending").json()["results"]
    assert [row["ref"] for row in listed] == [test.json()["ref"]]
    assert desk.browser.get(f"{one}/messages?state=lost").status_code == 422
    whole = desk.browser.get(f"/api/v1/webhook-messages/{test.json()['ref']}").json()
    assert json.loads(whole["body"])["type"] == "steadystate.webhook.test.v1"
    rotated = send(
        desk.browser, "post", f"{one}/rotate", {"keep_old_hours": 0}, HTTP_IDEMPOTENCY_KEY="c"
    ).json()
    assert rotated["secret"] not in (None, secret)
    assert send(desk.browser, "post", f"{one}/pause", HTTP_IDEMPOTENCY_KEY="d").json()["state"] == "paused"
    assert send(desk.browser, "delete", one, HTTP_IF_MATCH="*").status_code == 204
    assert desk.browser.get(one).status_code == 404


def test_an_account_is_not_told_of_anothers_webhooks(desk):
    foreign = make.endpoint(make.account("Elsewhere"))
    message = make.delivery(foreign)
    assert desk.browser.get(f"/api/v1/webhooks/{foreign.ref}").status_code == 404
    assert desk.browser.get(f"/api/v1/webhook-messages/{message.ref}").status_code == 404
    assert desk.browser.get(reverse("accounts:webhook-message", args=[message.ref])).status_code == 404


def test_every_type_of_event_is_in_the_document_and_in_the_docs(client):
    schema = client.get("/api/v1/schema/?format=json")
    document = schema.json() if schema["Content-Type"].endswith("json") else json.loads(schema.content)
    assert set(document["webhooks"]) == set(types_known())
    body = document["webhooks"]["run.halted"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "application/cloudevents+json"}
    docs = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    assert [name for name in types_known() if f"`{name}`" not in docs] == []


def test_the_snippet_of_the_documentation_verifies_what_is_sent():
    docs = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    snippet = re.search(r"```python\n(# A receiver.*?)```", docs, re.DOTALL).group(1)
    names = {}
    exec(compile(snippet, "docs/api.md", "exec"), names)
    secret, body = signing.new_secret(), b'{"type":"steadystate.run.halted.v1","data":{}}'
    from datetime import UTC, datetime

    headers = signing.headers_of([secret], "m-1", int(datetime.now(UTC).timestamp()), body)
    assert names["take_in"](secret, headers, body)["type"] == "steadystate.run.halted.v1"
    assert names["take_in"](secret, headers, body) is None, "seen already"
    assert Webhook(secret).verify(body, headers)
    with pytest.raises(Exception, match="signature"):
        names["take_in"](signing.new_secret(), {**headers, "webhook-id": "m-2"}, body)


def test_old_messages_are_forgotten_by_command(desk, capsys):
    make.delivery(make.endpoint(desk.account), state="delivered")
    call_command("forget_deliveries", "--days", "1")
    assert "0 messages" in capsys.readouterr().out
