"""What an organization's issuer, or somebody who may write their own entry there, says to become somebody else."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import pytest
from allauth.socialaccount.models import SocialAccount

from accounts import mail_address, oidc, proof
from accounts.issuers import Issuer
from accounts.models import User
from portal.audit.models import AuditEntry
from portal.notify.models import Message
from portal.notify.sending import render
from tests import factories as make

pytestmark = pytest.mark.django_db
ACME = Issuer("acme", "Acme", "https://login.acme.example", frozenset({"lindgren.example"}))


def says(subject="a-1", **claims):
    return {"sub": subject, "email_verified": True, **claims}


@pytest.mark.parametrize(
    "mail",
    [
        "\u212aate@lindgren.example",
        "kate@lindgren.example\u2028",
        " kate@lindgren.example",
        "kate@\u006c\u0131ndgren.example",
        "kate@sub.lindgren.example",
        "kate@lindgren.example.",
        "x@evil.example,kate@lindgren.example",
        "kate@lindgren.example,x@evil.example",
        "kate\x00@lindgren.example",
        "kate\ud800@lindgren.example",
        ["kate@lindgren.example"],
        {"kate@lindgren.example": "kate@lindgren.example"},
    ],
)
def test_an_address_that_only_resembles_another_lets_nobody_in(mail):
    make.user("Kate", email="kate@lindgren.example")
    with pytest.raises(oidc.Refused):
        oidc.user_for(ACME, says(email=mail))
    assert not SocialAccount.objects.exists()
    assert oidc.user_for(ACME, says(email="Kate@Lindgren.example")) == User.objects.get()


def test_two_subjects_that_begin_alike_are_two_people():
    kate = make.user("Kate", email="kate@lindgren.example")
    longest = "x" * oidc.MOST_SUBJECT
    assert oidc.user_for(ACME, says(longest, email=kate.email)) == kate
    for another in (longest + "B", longest + "C"):
        with pytest.raises(oidc.Refused):
            oidc.user_for(ACME, says(another, email="nobody@lindgren.example"))
    assert oidc.user_for(ACME, says(longest)) == kate


@pytest.mark.parametrize("subject", ["a\x00b", "", " ", "\u212a", None, 7, ["a-1"], True])
def test_a_subject_that_cannot_be_kept_as_it_is_lets_nobody_in(subject):
    make.user("Kate", email="kate@lindgren.example")
    with pytest.raises(oidc.Refused):
        oidc.user_for(ACME, says(subject, email="kate@lindgren.example"))
    assert not SocialAccount.objects.exists()


@pytest.fixture
def lind(settings):
    settings.OIDC_ISSUERS = [
        {
            "id": "lind",
            "name": "Lindgren",
            "issuer": "https://login.lindgren.example",
            "client_id": "portal",
            "client_secret": "s" * 32,
            "domains": "lindgren.example",
        }
    ]
    return oidc.issuer_of("lind")


def confirmed(user, email):
    """Change the address as the person does: by a link from the new mailbox."""
    browser = make.log_in(user)
    mail_address.ask_for_change(user, email)
    row = Message.objects.filter(purpose="mail_confirm").latest("pk")
    path = re.search(r"http://localhost:8000(/me/mail/confirm/\S+)", render(row).text).group(1)
    return browser.post(path, follow=True)


def test_who_left_an_organization_is_let_in_by_it_no_more(lind):
    kate = make.user("Kate", email="kate@lindgren.example")
    assert oidc.user_for(lind, says(email=kate.email)) == kate
    confirmed(kate, "kate@harbor.example")
    with pytest.raises(oidc.Refused):
        oidc.user_for(lind, says())
    assert not SocialAccount.objects.exists()
    assert AuditEntry.objects.get(what="oidc.unlinked").before["subject"] == "a-1"
    told = [render(row).text for row in Message.objects.filter(purpose="login_changed", user=kate)]
    assert any("Lindgren was unlinked" in text for text in told)


def test_a_link_of_before_opens_and_proves_nothing_where_the_address_is_anothers(lind, rf):
    kate = make.user("Kate", email="kate@harbor.example")
    make.link(kate, lind.url, "a-1")
    with pytest.raises(oidc.Refused) as refused:
        oidc.user_for(lind, says(email="kate@lindgren.example"))
    assert refused.value.code == "not_let_in"
    request = rf.get("/")
    request.user, request.session = kate, {}
    with pytest.raises(oidc.Refused) as refused:
        oidc.prove(request, lind, {"begun_at": time.time()}, says(auth_time=time.time()))
    assert refused.value.code == "somebody_else"
    kate.set_unusable_password()
    assert proof.ways_of(kate).issuers == ()
    assert [one.slug for one in oidc.linked_to(kate)] == [None]


def test_an_address_that_would_lock_its_owner_out_is_not_taken(lind):
    kate = make.user("Kate", email="kate@lindgren.example", password=False)
    kate.set_unusable_password()
    kate.save()
    make.link(kate, lind.url, "a-1")
    with pytest.raises(mail_address.Refused) as refused:
        mail_address.ask_for_change(kate, "kate@harbor.example")
    assert refused.value.code == "no_way_in"
    mail_address.ask_for_change(kate, "kate.new@lindgren.example")
    assert Message.objects.filter(purpose="mail_confirm").count() == 1


@pytest.mark.parametrize(
    ("claims", "is_ours"),
    [
        ({"aud": "portal"}, True),
        ({"aud": ["portal"]}, True),
        ({"aud": ["portal", "shop"], "azp": "portal"}, True),
        ({"aud": "portal", "azp": "portal"}, True),
        ({"aud": ["portal", "shop"]}, False),
        ({"aud": ["portal", "shop"], "azp": "shop"}, False),
        ({"aud": "portal", "azp": "shop"}, False),
        ({"aud": "portal", "azp": None}, False),
    ],
)
def test_a_token_that_was_issued_to_another_program_is_not_believed(monkeypatch, lind, rf, claims, is_ours):
    monkeypatch.setattr(oidc.jwt, "get_unverified_header", lambda token: {"alg": "RS256"})
    monkeypatch.setattr(oidc.jwt, "decode", lambda *args, **more: {"sub": "a-1", **claims})
    monkeypatch.setattr(oidc._IssuerAdapter, "_key", lambda *args: "key")
    monkeypatch.setattr(oidc._IssuerAdapter, "openid_config", {"issuer": lind.url})
    adapter = oidc._IssuerAdapter(rf.get("/"), "lind")
    app = SimpleNamespace(client_id="portal")
    if is_ours:
        assert adapter.claims_in(app, "x")["sub"] == "a-1"
    else:
        with pytest.raises(oidc.Refused):
            adapter.claims_in(app, "x")
