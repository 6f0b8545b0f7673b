"""What an organization's issuer, or somebody who may write their own entry there, says to become somebody else."""

from __future__ import annotations

import pytest
from allauth.socialaccount.models import SocialAccount

from accounts import oidc
from accounts.issuers import Issuer
from accounts.models import User
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
