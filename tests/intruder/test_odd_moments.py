"""Moments, quarters, names, zones and lengths that no person sends: an answer with a sentence, never a fault."""

from __future__ import annotations

from datetime import date

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from accounts import services
from accounts.cases import mailing
from accounts.cases.mail import reply_address
from accounts.cases.scrub import scrub
from accounts.reviews.quarter import bounds, neighbour
from portal.csvfile import cell
from portal.moments import moment_of
from portal.zones import validate_time_zone
from tests import factories as make

ODD = [
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+00:00",
    "9999-12-31T23:59:59-10:00",
    "2026-01-01T00:00:00-23:59",
    "2026-01-01T00:00:00+23:59",
    "2026-01-01T00:00:00",
    "²²²²-01-01T00:00:00Z",
]


@pytest.mark.django_db
@pytest.mark.parametrize("moment", ODD)
def test_an_odd_moment_in_an_address_is_no_fault(moment):
    account = make.account()
    bearer = make.bearer(make.token(make.member(account, "admin")))
    for path in (f"calendar?start={moment}", f"audit?from={moment}", f"call-order?at={moment}"):
        answer = Client().get(f"/api/v1/accounts/{account.ref}/{path.replace('+', '%2B')}", **bearer)
        assert answer.status_code in (200, 400, 404, 422), (path, answer.content)


@given(st.text() | st.datetimes(timezones=st.timezones() | st.none()).map(lambda one: one.isoformat()))
def test_a_moment_is_aware_and_near_or_none(text):
    found = moment_of(text)
    assert found is None or (found.tzinfo is not None and 1970 < found.year < 9000)


@given(st.text() | st.from_regex(r"\A\d{4}-\d\Z"))
def test_any_quarter_has_neighbours_and_bounds(text):
    name, first, after = bounds(text, date(2026, 11, 27))
    assert first < after
    assert bounds(neighbour(name, 1), date(2026, 11, 27))[1] == after


@pytest.mark.django_db
def test_an_account_has_its_name_in_one_line():
    made = services.open_account(team=make.team(), name="Shop\r\nBcc: x@x.example", number="ACC-7001")
    assert made.name == "Shop Bcc: x@x.example"
    admin = make.member(made, "admin")
    assert services.change_account(made, {"name": " New\n name "}, actor=admin).name == "New name"


@pytest.mark.parametrize("zone", ["localtime", "Factory", "posixrules", "Europe/Nowhere"])
def test_a_zone_is_the_same_on_every_machine(zone):
    with pytest.raises(ValidationError):
        validate_time_zone(zone)


@pytest.mark.parametrize("hidden", ["\u00ad", "\u200e", "\u200d", "\u00ad \u200b"])
def test_what_cannot_be_seen_before_a_formula_hides_it_not(hidden):
    assert cell(f"{hidden}=1+1").startswith("'")


def test_every_kind_of_our_keys_is_taken_out_of_what_is_attached():
    for kind in ("ss_", "ssa_", "ssf_", "ssk_"):
        assert kind not in scrub(f"see {kind}Ab3dE5Ab3dE5Ab3dE5Ab3dE5 here")


@pytest.mark.django_db
def test_a_mail_of_unknown_length_is_sent_again_with_one(settings):
    settings.SUPPORT_MAIL_ADDRESS, settings.SUPPORT_MAIL_SECRET = "support@in.portal.example", "a-secret"
    answer = Client().generic(
        "POST",
        "/api/v1/support/mail",
        b"",
        content_type="message/rfc822",
        HTTP_TRANSFER_ENCODING="chunked",
        HTTP_AUTHORIZATION="Bearer a-secret",
        CONTENT_LENGTH="",
    )
    assert answer.status_code == 411


@pytest.mark.django_db
def test_strangers_do_not_use_up_the_mails_of_members(settings, monkeypatch):
    settings.SUPPORT_MAIL_ADDRESS, settings.SUPPORT_MAIL_SECRET = "support@in.portal.example", "a-secret"
    monkeypatch.setattr(mailing, "MOST_UNVERIFIED_AN_HOUR", 2)
    account = make.account()
    member = make.member(account, "editor")
    case = make.case(account, member)
    to = reply_address(settings.SUPPORT_MAIL_ADDRESS, case.ref, settings.SECRET_KEY)

    def send(number, sender):
        raw = f"From: {sender}\r\nTo: {to}\r\nMessage-ID: <{number}@x.example>\r\n\r\nWe look at it."
        return mailing.take_in(raw.encode()).outcome

    assert [send(n, "stranger@evil.example") for n in range(3)] == ["unverified", "unverified", "refused"]
    assert send(3, member.email) == "taken"
