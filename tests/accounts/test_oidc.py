"""Log-in through an organization, against a real issuer in a process of its own (oidc-provider-mock)."""

from __future__ import annotations

import re
import time
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from django.conf import settings as live_settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import oidc
from accounts.models import User
from accounts.sessions import ref_of
from portal.audit.models import AuditEntry
from portal.embedded.application import local_issuers
from portal.issuers import oidc_issuers, origins_of
from portal.notify.models import Message
from tests import factories as make
from tests.issuer import free_port, running_issuer

ISSUER = {
    "id": "acme",
    "name": "Acme",
    "issuer": "https://login.acme.example",
    "client_id": "c",
    "client_secret": "s",
    "domains": ["lindgren.example", "people.example"],
}


@pytest.fixture(autouse=True)
def _nothing_counted_yet():
    cache.clear()


@pytest.fixture(scope="module")
def mock():
    with running_issuer() as url:
        yield url


def configure(settings, url, **more):
    one = {**ISSUER, "issuer": url, "origins": "", "domains": " ".join(ISSUER["domains"]), **more}
    settings.OIDC_ISSUERS = [one]
    settings.EGRESS_ALLOW = [urlsplit(url).netloc]
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            **live_settings.SOCIALACCOUNT_PROVIDERS["openid_connect"],
            "APPS": [
                {
                    "provider_id": one["id"],
                    "name": one["name"],
                    "client_id": one["client_id"],
                    "secret": one["client_secret"],
                    "settings": {"server_url": url.rstrip("/")},
                }
            ],
        }
    }


@pytest.fixture
def issuer(mock, db, settings):
    configure(settings, mock)
    return mock


# The issuer of the tests speaks plain HTTP: reading every root certificate for it is time for nothing.
PLAIN = {"trust_env": False, "verify": False}


def knows(issuer, subject, **claims):
    httpx.put(f"{issuer}/users/{subject}", json=claims, **PLAIN).raise_for_status()


def through(browser, subject, *, change=None, back=None, **sent):
    """Go to the issuer, log in there as `subject`, and come back; `change` meddles with what is asked there."""
    begun = browser.post("/login/with/acme/", sent)
    assert begun.status_code == 302, begun.content
    url = begun["Location"]
    if change:
        parts = urlsplit(url)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        url = urlunsplit(parts._replace(query=urlencode({**asked, **change})))
    answer = httpx.post(url, data={"sub": subject}, **PLAIN)
    assert answer.status_code == 302, answer.text
    returned = urlsplit(answer.headers["location"])
    query = {name: values[0] for name, values in parse_qs(returned.query).items()}
    return (back or browser).get(returned.path, query)


def test_an_organization_vouches_for_nobody_of_another(mock, db, settings):
    configure(settings, mock, domains="harbor.example")
    make.user("Maja", email="maja@lindgren.example")
    make.user("Ana", email="ana@harbor.example")
    knows(mock, "mallory", email="maja@lindgren.example", email_verified=True)
    knows(mock, "suffix", email="ana@notharbor.example", email_verified=True)
    knows(mock, "ana", email="Ana@Harbor.example", email_verified=True)
    for subject in ("mallory", "suffix"):
        browser = Client()
        answer = through(browser, subject)
        assert answer.status_code == 403, subject
        assert oidc.NOT_LET_IN.replace("'", "&#x27;") in answer.content.decode()
        assert browser.get("/me/").status_code == 302
    assert not SocialAccount.objects.exists()
    browser = Client()
    assert through(browser, "ana").status_code == 302
    assert browser.get("/me/").status_code == 200


def entries(what):
    return AuditEntry.objects.filter(what=what)


def test_a_verified_mail_address_lets_in_whom_it_belongs_to_and_ties_them_to_the_subject(issuer):
    user = make.user("Maja", email="maja@lindgren.example")
    knows(issuer, "m-1", email="Maja@Lindgren.example", email_verified=True)
    browser = Client()
    answer = through(browser, "m-1", next="/accounts/")
    assert answer["Location"] == "/accounts/"
    assert browser.get("/me/").status_code == 200
    link = SocialAccount.objects.get()
    assert (link.user, link.provider, link.uid) == (user, issuer, "m-1")
    assert entries("oidc.linked").get().after == {"issuer": issuer, "subject": "m-1"}
    assert entries("login.done").get().actor_ref == str(user.ref)
    assert Message.objects.get(purpose="login_changed").user == user
    # The password that was there stays as it was.
    assert make.log_in(user).get("/me/").status_code == 200


def test_from_then_on_only_the_subject_counts(issuer):
    user = make.user(email="maja@lindgren.example")
    knows(issuer, "m-2", email="maja@lindgren.example", email_verified=True)
    through(Client(), "m-2")
    knows(issuer, "m-2", email="maja.berg@elsewhere.example", email_verified=False)
    browser = Client()
    through(browser, "m-2")
    assert browser.get("/me/").status_code == 200
    assert SocialAccount.objects.count() == 1
    # Another subject with her address is not her.
    knows(issuer, "m-3", email="maja@lindgren.example", email_verified=True)
    other = Client()
    answer = through(other, "m-3")
    assert answer.status_code == 403
    assert other.get("/me/").status_code == 302
    assert SocialAccount.objects.get().user == user


@pytest.mark.parametrize("case", ["unverified", "said as text", "unknown", "switched off", "no mail"])
def test_nobody_else_is_let_in_nobody_is_made_and_every_refusal_is_the_same(issuer, case):
    make.user(email="maja@lindgren.example", is_active=case != "switched off")
    claims = {
        "unverified": {"email": "maja@lindgren.example", "email_verified": False},
        "said as text": {"email": "maja@lindgren.example", "email_verified": "true"},
        "unknown": {"email": "nobody@lindgren.example", "email_verified": True},
        "switched off": {"email": "maja@lindgren.example", "email_verified": True},
        "no mail": {},
    }[case]
    subject = f"x-{case.replace(' ', '-')}"
    knows(issuer, subject, **claims)
    browser = Client()
    answer = through(browser, subject)
    assert answer.status_code == 403
    assert oidc.NOT_LET_IN in unescape(answer.content.decode())
    assert browser.get("/me/").status_code == 302
    assert User.objects.count() == 1
    assert not SocialAccount.objects.exists()
    assert entries("oidc.refused").get().after["why"] == "not_let_in"


def test_refusals_are_the_same_work_for_known_and_unknown(db):
    make.user(email="off@people.example", is_active=False)
    tied = make.user(email="tied@people.example")
    one = oidc.Issuer("acme", "Acme", "https://login.acme.example", frozenset(ISSUER["domains"]))
    SocialAccount.objects.create(user=tied, provider=one.url, uid="t-1")
    said = {}
    for case, claims in {
        "unknown": {"sub": "a", "email": "nobody@people.example", "email_verified": True},
        "unverified": {"sub": "a", "email": "tied@people.example", "email_verified": False},
        "switched off": {"sub": "a", "email": "off@people.example", "email_verified": True},
        "tied to another": {"sub": "a", "email": "tied@people.example", "email_verified": True},
    }.items():
        with CaptureQueriesContext(connection) as queries, pytest.raises(oidc.Refused):
            oidc.user_for(one, claims)
        said[case] = [re.sub(r"'[^']*'|\b\d+\b|\"s\w+_x\d+\"", "?", each["sql"]) for each in queries]
    for case, statements in said.items():
        assert statements == said["unknown"], case


def test_the_portals_own_second_factor_is_asked_for_as_well(issuer):
    user = make.user(email="maja@lindgren.example")
    secret = make.app(user)
    knows(issuer, "m-4", email="maja@lindgren.example", email_verified=True)
    browser = Client()
    assert through(browser, "m-4")["Location"] == "/login/second/"
    assert browser.get("/me/").status_code == 302
    assert browser.post("/login/second/", {"code": make.code_of(secret)}).status_code == 302
    assert browser.get("/me/").status_code == 200


def test_an_answer_to_another_browser_is_refused(issuer):
    make.user(email="maja@lindgren.example")
    knows(issuer, "m-5", email="maja@lindgren.example", email_verified=True)
    victim = Client()
    answer = through(Client(), "m-5", back=victim)
    assert answer.status_code == 403
    assert oidc.BEGUN_ELSEWHERE in unescape(answer.content.decode())
    assert victim.get("/me/").status_code == 302


def test_an_answer_works_once(issuer):
    make.user(email="maja@lindgren.example")
    knows(issuer, "m-6", email="maja@lindgren.example", email_verified=True)
    browser = Client()
    answer = through(browser, "m-6")
    again = browser.get("/login/with/acme/callback/", answer.wsgi_request.GET.dict())
    assert again.status_code == 403


def test_a_token_made_for_another_log_in_is_not_believed(issuer):
    make.user(email="maja@lindgren.example")
    knows(issuer, "m-7", email="maja@lindgren.example", email_verified=True)
    browser = Client()
    answer = through(browser, "m-7", change={"nonce": "somebody-elses"})
    assert answer.status_code == 403
    assert oidc.NOT_BELIEVED in unescape(answer.content.decode())
    assert entries("oidc.refused").get().after["why"] == "nonce"


def test_a_token_of_another_issuer_or_for_another_client_is_not_believed(issuer, monkeypatch):
    make.user(email="maja@lindgren.example")
    knows(issuer, "m-8", email="maja@lindgren.example", email_verified=True)
    real = oidc.jwt.decode
    for wrong in ({"issuer": "https://evil.example"}, {"audience": "another-client"}):
        monkeypatch.setattr(oidc.jwt, "decode", lambda *a, wrong=wrong, **k: real(*a, **{**k, **wrong}))
        assert through(Client(), "m-8").status_code == 403
    assert not SocialAccount.objects.exists()


def test_a_token_that_is_not_signed_by_the_issuer_is_not_believed(issuer, monkeypatch):
    import jwt

    make.user(email="maja@lindgren.example")
    knows(issuer, "m-9", email="maja@lindgren.example", email_verified=True)
    real = oidc._IssuerAdapter.claims_in
    for key, algorithm in (("", "none"), ("s" * 32, "HS256")):

        def forged(adapter, app, id_token, key=key, algorithm=algorithm):
            said = jwt.decode(id_token, options={"verify_signature": False})
            made = jwt.encode(
                said,
                key,
                algorithm=algorithm,
                headers=jwt.get_unverified_header(id_token) | {"alg": algorithm},
            )
            return real(adapter, app, made)

        monkeypatch.setattr(oidc._IssuerAdapter, "claims_in", forged)
        answer = through(Client(), "m-9")
        assert answer.status_code == 403
        assert oidc.NOT_BELIEVED in unescape(answer.content.decode())


def test_an_issuer_that_calls_itself_otherwise_is_not_used(mock, db, settings):
    configure(settings, mock + "/")
    answer = Client().post("/login/with/acme/")
    assert answer.status_code == 503
    assert oidc.AWAY in unescape(answer.content.decode())


def test_an_issuer_that_is_away_is_said_and_the_password_still_works(db, settings):
    configure(settings, f"http://127.0.0.1:{free_port()}")
    user = make.user()
    answer = Client().post("/login/with/acme/")
    assert answer.status_code == 503
    assert oidc.AWAY in unescape(answer.content.decode())
    assert make.log_in(user).get("/me/").status_code == 200


def test_an_issuer_in_a_private_network_is_not_reached_unless_it_was_opened(issuer, settings):
    settings.EGRESS_ALLOW = []
    assert Client().post("/login/with/acme/").status_code == 503


def test_a_log_in_cannot_be_begun_by_a_link(issuer):
    assert Client().get("/login/with/acme/").status_code == 405
    assert Client(enforce_csrf_checks=True).post("/login/with/acme/").status_code == 403


def test_the_log_in_page_offers_the_organization_and_leads_only_to_own_pages(issuer):
    make.user(email="maja@lindgren.example")
    assert "Log in with Acme" in Client().get("/login/").content.decode()
    knows(issuer, "m-10", email="maja@lindgren.example", email_verified=True)
    assert through(Client(), "m-10", next="https://evil.example/")["Location"] == "/"


def test_who_has_no_password_proves_at_the_organization_who_they_are(issuer):
    user = make.user(email="maja@lindgren.example")
    user.set_unusable_password()
    user.save()
    knows(issuer, "m-11", email="maja@lindgren.example", email_verified=True)
    knows(issuer, "m-12", email="other@lindgren.example", email_verified=True)
    make.user(email="other@lindgren.example")
    browser = Client()
    through(browser, "m-11")
    session = browser.session
    session["account_authentication_methods"] = [{"method": "socialaccount", "at": 0}]
    session.save()
    assert browser.get("/me/tokens/make/")["Location"].startswith("/me/prove/")
    assert "Prove it with Acme" in browser.get("/me/prove/").content.decode()
    just_now = {"email": "maja@lindgren.example", "email_verified": True, "auth_time": int(time.time())}
    knows(issuer, "m-12", **just_now)
    assert through(browser, "m-12", next="/me/tokens/make/").status_code == 403
    assert browser.get("/me/tokens/make/").status_code == 302
    knows(issuer, "m-11", **just_now)
    assert through(browser, "m-11", next="/me/tokens/make/")["Location"] == "/me/tokens/make/"
    assert browser.get("/me/tokens/make/").status_code == 200


def without_password(email="maja@lindgren.example"):
    user = make.user("Maja", email=email)
    user.set_unusable_password()
    user.save()
    return user


def forget_proofs(browser):
    session = browser.session
    session["account_authentication_methods"] = [{"method": "socialaccount", "at": 0}]
    session.save()


def is_proven(browser):
    return browser.get("/me/tokens/make/").status_code == 200


@pytest.mark.parametrize(
    "said",
    [None, "now", True, -1, 0, "an hour ago", "in an hour", "before it was begun"],
)
def test_without_a_fresh_time_of_log_in_at_the_organization_there_is_no_proof_and_it_is_said(
    issuer, said, monkeypatch
):
    # An issuer may ignore max_age=0 and prompt=login and send the browser back by a log-in of this morning.
    user = without_password()
    knows(issuer, "p-1", email=user.email, email_verified=True)
    browser = Client()
    through(browser, "p-1")
    forget_proofs(browser)
    times = {
        "an hour ago": int(time.time()) - 3600,
        "in an hour": int(time.time()) + 3600,
        "before it was begun": int(time.time()) - 200,
    }
    knows(issuer, "p-1", email=user.email, email_verified=True, auth_time=times.get(said, said))
    if said is None:
        real = oidc._IssuerAdapter.claims_in

        def without(*given):
            return {name: value for name, value in real(*given).items() if name != "auth_time"}

        monkeypatch.setattr(oidc._IssuerAdapter, "claims_in", without)
    answer = through(browser, "p-1", next="/me/tokens/make/")
    assert answer.status_code == 403
    assert oidc.NOT_FRESH in unescape(answer.content.decode())
    assert not is_proven(browser)
    assert browser.get("/me/").status_code == 200, "the log-in itself goes on"
    refused = entries("oidc.refused").get()
    assert (refused.after["why"], refused.actor_ref) == ("not_fresh", str(user.ref))


def test_a_log_in_that_was_begun_is_no_proof_for_who_is_logged_in_meanwhile(issuer):
    user = without_password()
    claims = {"email": user.email, "email_verified": True, "auth_time": int(time.time())}
    knows(issuer, "p-2", **claims)
    browser = Client()
    # Begun before anybody was logged in here, finished after: what was asked for was no proof.
    begun = browser.post("/login/with/acme/", {"next": "/accounts/"})
    through(browser, "p-2")
    forget_proofs(browser)
    back = urlsplit(httpx.post(begun["Location"], data={"sub": "p-2"}, **PLAIN).headers["location"])
    answer = browser.get(back.path, {name: value[0] for name, value in parse_qs(back.query).items()})
    assert answer["Location"] == "/accounts/"
    assert not is_proven(browser)


def test_a_proof_that_was_begun_logs_nobody_in_and_ties_nobody(issuer):
    user = make.user(email="maja@lindgren.example")
    knows(
        issuer,
        "p-3",
        email=user.email,
        email_verified=True,
        auth_time=int(time.time()),
    )
    browser = make.log_in(user)
    assert through(browser, "p-3", next="/me/tokens/make/").status_code == 403
    assert not SocialAccount.objects.exists()


def test_a_log_in_by_an_old_session_at_the_organization_is_no_proof(issuer):
    user = without_password()
    knows(issuer, "p-4", email=user.email, email_verified=True, auth_time=int(time.time()) - 7200)
    browser = Client()
    through(browser, "p-4")
    assert browser.get("/me/").status_code == 200
    assert not is_proven(browser)
    knows(issuer, "p-4", email=user.email, email_verified=True, auth_time=int(time.time()))
    browser = Client()
    through(browser, "p-4")
    assert is_proven(browser)


def test_a_proof_asks_the_organization_for_a_new_log_in(issuer):
    browser = make.log_in(make.user())
    asked = parse_qs(urlsplit(browser.post("/login/with/acme/")["Location"]).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])


# --- unlinking ------------------------------------------------------------------------------------------


def link_path(row):
    return f"/me/organizations/{ref_of('link', row.pk)}/unlink/"


@pytest.fixture
def acme(db, settings):
    configure(settings, "https://login.acme.example")
    return oidc.issuers()[0]


def signed_in(user):
    browser = Client()
    browser.force_login(user)
    make.prove(browser, user)
    return browser


def test_an_organization_is_unlinked_after_asking_put_on_record_and_told(acme):
    user = make.user()
    row = make.link(user, acme.url, "a-7")
    browser = signed_in(user)
    assert link_path(row) in browser.get("/me/").content.decode()
    assert "Unlink Acme?" in browser.get(link_path(row)).content.decode()
    assert SocialAccount.objects.count() == 1, "asking changes nothing"
    answer = browser.post(link_path(row), follow=True)
    assert "Acme is unlinked." in answer.content.decode()
    assert not SocialAccount.objects.exists()
    entry = entries("oidc.unlinked").get()
    assert (entry.actor_ref, entry.before) == (str(user.ref), {"issuer": acme.url, "subject": "a-7"})
    assert Message.objects.get(purpose="login_changed").user == user
    assert browser.post(link_path(row)).status_code == 404


def test_unlinking_wants_a_fresh_proof(acme):
    user = make.user()
    row = make.link(user, acme.url)
    browser = Client()
    browser.force_login(user)
    for answer in (browser.get(link_path(row)), browser.post(link_path(row))):
        assert answer["Location"].startswith("/me/prove/")
    assert SocialAccount.objects.exists()


def test_the_only_way_in_stays(acme):
    user = without_password()
    row = make.link(user, acme.url)
    browser = signed_in(user)
    for ask in (browser.get, browser.post):
        assert oidc.ONLY_WAY_IN in unescape(ask(link_path(row), follow=True).content.decode())
    assert SocialAccount.objects.exists()
    assert not entries("oidc.unlinked").exists()
    # One of an issuer that is not configured any more lets nobody in; the other way round it may go.
    other = make.link(user, "https://gone.example", "g-1")
    browser.post(link_path(row))
    assert SocialAccount.objects.count() == 2
    browser.post(link_path(other))
    assert list(SocialAccount.objects.all()) == [row]


def test_somebody_elses_link_is_not_there(acme):
    row = make.link(make.user(), acme.url)
    browser = signed_in(make.user())
    assert browser.get(link_path(row)).status_code == 404
    assert browser.post(link_path(row)).status_code == 404
    assert SocialAccount.objects.exists()


# --- the variable ---------------------------------------------------------------------------------------


def read(value, is_desk=False):
    import json

    wrong = []
    return oidc_issuers(json.dumps(value), is_desk, wrong), wrong


def test_a_good_list_is_taken():
    found, wrong = read(
        [
            ISSUER,
            {**ISSUER, "id": "b", "issuer": "https://b.example/x", "origins": ["https://page.b.example"]},
        ]
    )
    assert wrong == []
    assert [one["id"] for one in found] == ["acme", "b"]
    assert origins_of(found) == ["https://login.acme.example", "https://b.example", "https://page.b.example"]


@pytest.mark.parametrize(
    "value",
    [
        {},
        ["x"],
        [{**ISSUER, "id": "No Slug"}],
        [{**ISSUER, "issuer": "http://plain.example"}],
        [{**ISSUER, "issuer": "https://a.example; script-src *"}],
        [{**ISSUER, "issuer": "https://user:pw@a.example"}],
        [{**ISSUER, "client_secret": ""}],
        [{**ISSUER, "surprise": 1}],
        [{**ISSUER, "domains": []}],
        [{**ISSUER, "domains": ["*"]}],
        [{**ISSUER, "domains": "lindgren.example"}],
        [ISSUER, ISSUER],
        [{**ISSUER, "origins": "https://a.example"}],
        [{**ISSUER, "issuer": "https://a.example:99999"}],
    ],
)
def test_a_bad_list_is_said_without_repeating_a_secret(value):
    _found, wrong = read(value)
    assert len(wrong) == 1
    assert '"s"' not in wrong[0]


def test_what_is_no_json_is_said():
    wrong = []
    assert oidc_issuers("{", False, wrong) == []
    assert len(wrong) == 1


def test_a_desk_opens_exactly_the_issuer_that_runs_on_it():
    import json

    local = {**ISSUER, "issuer": "http://localhost:9400"}
    assert local_issuers(json.dumps([local, {**ISSUER, "id": "b"}])) == ["localhost:9400"]
    assert local_issuers("") == []
