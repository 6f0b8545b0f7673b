"""What programs may take from people, what a browser keeps, and what two writers at once see."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import uuid
from collections import Counter

import pytest
from django.db import IntegrityError, transaction
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts import members
from accounts.api import AccountApi
from accounts.erasure import erase_contact
from accounts.models import Account, ApiToken, Contact
from accounts.views import AccountDetail
from portal import csvfile, middleware, streams
from portal.audit import download
from portal.audit.services import record
from portal.embedded.postgres import _SETTINGS
from portal.logs import logging_config
from portal.runs import registry
from portal.runs.models import Run
from tests import factories as make
from tests.runs.desks import PgDesk

MAIL = "maja@lindgren.example"
STREAM = {"HTTP_ACCEPT": "text/event-stream"}


# --- what a browser keeps ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_no_page_of_somebody_is_kept_by_the_browser():
    account = make.account()
    browser = make.log_in(make.member(account, "admin"))
    paths = [
        "/",
        "/me/",
        f"/accounts/{account.ref}/",
        f"/accounts/{uuid.uuid4()}/",
        "/installation/record/",
        "/accounts/as.csv",
    ]
    for path in paths:
        kept = browser.get(path).get("Cache-Control", "")
        assert "no-store" in kept, path
        assert "private" in kept, path


# --- what a program takes ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_service_tokens_streams_and_requests_are_not_its_makers(monkeypatch):
    account = make.account()
    admin = make.member(account, "admin")
    secrets = [make.service_token(account, admin) for _ in range(2)]
    one, other = ApiToken.objects.filter(account=account).order_by("pk")
    held = [streams.take_seat(admin.pk, one) for _ in range(streams.MOST_PER_USER)]
    assert None not in held
    assert streams.take_seat(admin.pk, one) is None
    assert streams.take_seat(admin.pk, other) is not None
    assert streams.take_seat(admin.pk) is not None
    del held
    counted: Counter[str] = Counter()

    def count(keys, keep_s):
        counted.update(keys)
        return [counted[key] for key in keys]

    monkeypatch.setattr("portal.api.count", count)
    monkeypatch.setattr("portal.api.PortalAPIView.rate_per_user", 3)
    path = f"/api/v1/accounts/{account.ref}"
    asked = [Client().get(path, **make.bearer(secret)).status_code for secret in (*secrets, *secrets)]
    assert asked == [200, 200, 200, 429]
    assert Client().get(path, **make.bearer(make.token(admin))).status_code == 200


@pytest.mark.django_db
def test_all_tokens_of_an_account_together_have_a_limit_of_streams(monkeypatch):
    monkeypatch.setattr(streams, "MOST_PER_ACCOUNT", 3)
    account = make.account()
    admin = make.member(account, "admin")
    for _ in range(2):
        make.service_token(account, admin)
    one, other = ApiToken.objects.filter(account=account).order_by("pk")
    held = [streams.take_seat(admin.pk, token) for token in (one, one, other, other)]
    assert [seat is not None for seat in held] == [True, True, True, False]
    held[0].leave()
    assert streams.take_seat(admin.pk, other) is not None


@pytest.mark.django_db(transaction=True)
def test_a_stream_answers_other_methods_and_head_without_a_body(monkeypatch):
    for place in ("scaledown.views.runs.RUNS", "scaledown.api_runs.RUNS"):
        monkeypatch.setattr(place, Run.objects.select_related("account"))
    desk = PgDesk()
    try:
        ref = desk.create()
        viewer = make.member(desk.account, "viewer")
        browser = Client(raise_request_exception=False)
        browser.force_login(viewer)
        page = reverse("scaledown:run-stream", args=[ref])
        for method in ("post", "put", "patch", "delete"):
            assert getattr(browser, method)(page).status_code == 405, method
        token = make.bearer(make.token(viewer))
        api = (f"/api/v1/runs/{ref}/events", f"/api/v1/accounts/{desk.account.ref}/events")
        for path, how in ((page, {}), *((path, {**STREAM, **token}) for path in api)):
            answer = (browser if not how else Client()).head(path, **how)
            assert (answer.status_code, answer.streaming) == (200, False), path
            assert answer["Content-Type"].startswith("text/event-stream")
    finally:
        registry.forget_kind("toy")


@pytest.mark.parametrize("name", ["FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_REAL_IP", "VIA"])
def test_who_comes_through_a_proxy_is_not_here(name):
    assert middleware.is_here(RequestFactory().get("/"))
    assert not middleware.is_here(RequestFactory().get("/", **{f"HTTP_{name}": "198.51.100.7"}))


# --- two at once -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["page", "api"])
def test_the_second_of_two_writers_reads_a_sentence(monkeypatch, kind):
    account = make.account()
    user = make.member(account, "admin")

    def answer(change):
        def get(self, request, **named):
            self._asked = True
            with transaction.atomic():
                change()

        monkeypatch.setattr(AccountApi if kind == "api" else AccountDetail, "get", get)
        browser = Client()
        browser.force_login(user)
        return browser.get(
            f"{'/api/v1' if kind == 'api' else ''}/accounts/{account.ref}{'' if kind == 'api' else '/'}"
        )

    taken = answer(lambda: Account.objects.create(number=account.number, name="B", team=account.team))
    assert taken.status_code == 409
    assert "at this moment" in taken.text
    assert account.number not in taken.text
    gone = answer(lambda: Account.objects.filter(pk=account.pk).update(team_id=0))
    assert gone.status_code == 409
    assert answer(lambda: Account.objects.get(pk=0)).status_code == 404
    # What only a mistake of ours can do stays a fault.
    with pytest.raises(IntegrityError):
        answer(lambda: Account.objects.filter(pk=account.pk).update(name=None))


# --- files ------------------------------------------------------------------------------------------------


def read_on(response, after_first):
    """Read a streamed answer; `after_first` is called once its second part was read."""

    async def read():
        from asgiref.sync import sync_to_async

        parts = []
        async for part in response.streaming_content:
            parts.append(part)
            if len(parts) == 2:
                await sync_to_async(after_first)()
        return b"".join(parts).decode()

    return asyncio.run(read())


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(csvfile, "MAX_LIMIT", 2)
    monkeypatch.setattr(download, "BATCH", 2)

    class Many:
        account = make.account()
        lead = make.member(account, "admin", "Lead")
        admin = make.member(account, "admin", "Ada")
        names = tuple(f"Person {letter}" for letter in "ABCDEF")
        path = f"/accounts/{account.ref}"

    for name in Many.names:
        make.contact(Many.account, name)
    for number in range(6):
        record("test.entry", account=Many.account, after={"n": f"number {number}"})
    return Many()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["contacts.csv", "contacts.vcf", "token", "audit"])
def test_a_file_ends_when_its_reader_is_removed(many, how):
    browser = Client()
    browser.force_login(many.admin)
    api, by = f"/api/v1{many.path}", make.bearer(make.token(many.admin))
    match how:
        case "contacts.csv" | "contacts.vcf":
            format = "csv" if how.endswith("csv") else "vcard"
            response = browser.post(f"{many.path}/contacts/export/", {"reason": "An audit", "format": format})
        case "token":
            body = {"reason": "An audit", "format": "csv"}
            response = Client().post(f"{api}/contacts/export", body, content_type="application/json", **by)
        case _:
            response = browser.post(f"{many.path}/activity/download/", {"reason": "An audit"})
    assert response.status_code == 200, (how, api)

    def remove():
        members.remove_member(many.account, many.admin, actor=many.lead)

    text = read_on(response, remove)
    found = sum(name in text for name in many.names) if how != "audit" else text.count("number ")
    assert 0 < found < 6, text


@pytest.mark.django_db(transaction=True)
def test_a_file_holds_nothing_that_was_added_after_it_was_begun(many):
    browser = Client()
    browser.force_login(many.admin)
    response = browser.post(f"{many.path}/contacts/export/", {"reason": "An audit", "format": "csv"})
    text = read_on(response, lambda: make.contact(many.account, "Zoe Later", escalation_order=99))
    assert all(name in text for name in many.names)
    assert "Zoe Later" not in text


# --- what stays -------------------------------------------------------------------------------------------


def test_the_embedded_database_logs_no_statement_and_no_value():
    assert _SETTINGS["log_min_error_statement"] == "panic"
    assert _SETTINGS["log_error_verbosity"] == "terse"


def logged(format, say):
    config = logging_config(format, "INFO")
    formatter = config["formatters"]["structured"]
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter.pop("()")(**formatter))
    logger = logging.getLogger("tests.words")
    logger.addHandler(handler)
    try:
        say(logger)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("format", ["json", "console"])
def test_a_fault_of_the_database_is_logged_without_the_values(format):
    make.user(email=MAIL)

    def say(logger):
        try:
            with transaction.atomic():
                make.user(email=MAIL)
        except IntegrityError:
            logger.exception("it broke")

    text = logged(format, say)
    assert "IntegrityError" in text
    assert "accounts_user_email" in text
    assert "lindgren.example" not in text


@pytest.mark.parametrize(
    "line",
    [
        "/join/SECRET/",
        "/login/?next=%2Fjoin%2FSECRET%2F",
        "/login/?next=/join/SECRET/",
        "/login/reset/9d7c5f5e-19c9-4d6e-8a55-1a3d4f0b2c77/SECRET/",
        "/me/mail/confirm/SECRET/",
        "/about-me/SECRET/",
        "/reach/SECRET/",
        "/calendar/feed/SECRET.ics",
        "/contacts/?q=SECRET&role=x",
        "/contacts/?role=x&q=SECRET+SECRET%20SECRET",
        "/x/?token=SECRET",
        "/login/with/acme/callback/?code=SECRET&state=SECRET",
    ],
)
def test_no_key_and_no_searched_text_is_logged(line):
    for text in (
        logged("json", lambda logger: logger.warning("GET %s 404", line)),
        logged("json", lambda logger: logger.warning("Not Found: %s", f"http://localhost{line}")),
        logged("console", lambda logger: logger.warning("GET %s 404", line)),
    ):
        assert "SECRET" not in text
        assert "•••" in text or "\\u2022" in text


@pytest.mark.django_db
def test_a_repeat_after_an_erasure_brings_nobody_back():
    account = make.account()
    editor = make.member(account, "editor")
    send = {
        "content_type": "application/json",
        "HTTP_IDEMPOTENCY_KEY": "k-1",
        **make.bearer(make.token(editor)),
    }
    path = f"/api/v1/accounts/{account.ref}/contacts"
    body = {"name": "Rosalind Quimby", "email": "rosalind@home.example", "roles": ["primary"]}
    made = Client().post(path, json.dumps(body), **send)
    assert made.status_code == 201, made.content
    admin = make.member(account, "admin")
    erase_contact(account, Contact.objects.get(account=account).ref, actor=admin, reason="asked")
    again = Client().post(path, json.dumps(body), **send)
    assert again.status_code == 410, again.content
    assert "no longer kept" in again.json()["detail"]
    assert not Contact.objects.filter(account=account, name="Rosalind Quimby").exists()
