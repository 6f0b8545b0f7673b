"""Secrets out, everything else left; attachments frozen within their limits. No database."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.cases.freezing import MOST_BYTES, canonical, digest_of, freeze
from accounts.cases.scrub import MASK, scrub, scrub_text
from accounts.cases.selectors import as_rows, as_table
from accounts.cases.states import CaseStatus, after_reply, may_move

SECRETS = {
    "an API key of the provider": (
        {"auth": {"RAX-KSKEY:apiKeyCredentials": {"apiKey": "aaaaa-S3CRET"}}},
        "S3CRET",
    ),
    "a password": ({"adminPass": "S3CRET"}, "S3CRET"),
    "a password in a text": ("login failed: password=S3CRET, host=web-1", "S3CRET"),
    "a quoted password": ('{"password": "S3 CRET\\\\"x", "name": "web-1"}', "CRET"),
    "an Authorization header": ("GET / HTTP/1.1\r\nAuthorization: Bearer S3CRET\r\nHost: a", "S3CRET"),
    "basic credentials": ("sent Basic dXNlcjpTM0NSRVQ=", "dXNlcjpTM0NSRVQ="),
    "an X-Auth-Token": ("X-Auth-Token: S3CRET", "S3CRET"),
    "a token by its name": ({"X-Auth-Token": "S3CRET", "token": {"id": "S3CRET"}}, "S3CRET"),
    "a cookie": ("Cookie: a=1; sessionid=S3CRET", "S3CRET"),
    "a set cookie": ({"headers": {"Set-Cookie": "s=S3CRET; Path=/"}}, "S3CRET"),
    "user info in an address": ("https://user:S3CRET@shop.example/x", "S3CRET"),
    "a user name alone": ("postgres://S3CRET@db/x", "S3CRET"),
    "a signed address": ("https://shop.example/?a=1&signature=S3CRET&b=2", "S3CRET"),
    "a key in an address": ("https://shop.example/status?key=S3CRET", "S3CRET"),
    "one of our tokens": ("it sent ss_S3CRETS3CRETS3CRETS3CRET", "S3CRET"),
    "a webhook's secret": ("whsec_S3CRETS3CRETS3CRET=", "S3CRET"),
    "a JWT": ("eyJhbGciOiJI.eyJzdWIiOiJT.S3CRETsignature", "S3CRET"),
    "a private key": ("-----BEGIN RSA PRIVATE KEY-----\nS3CRET\n-----END RSA PRIVATE KEY-----", "S3CRET"),
    "a private key without an end": ("-----BEGIN PRIVATE KEY-----\nS3CRET", "S3CRET"),
    "an access key": ("AKIAS3CRETS3CRETS3CR", "S3CRET"),
    "deep inside": ({"a": [{"b": [{"clientSecret": ["S3CRET"]}]}]}, "S3CRET"),
    "in the name of a field": ({"Bearer S3CRETS3CRET": 1}, "S3CRET"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_taken_out_wherever_it_stands(name):
    value, secret = SECRETS[name]
    assert secret not in canonical(scrub(value))


def test_what_is_no_secret_is_left():
    value = {
        "status": "DRAINING",
        "token": 7,
        "node": {"id": 4417, "address": "10.0.0.7", "port": 80},
        "url": "https://shop.example/cart?page=2&sort=asc",
        "says": "Node 4417 still has 12 open connections after 15 minutes.",
        "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "at": "2026-11-23T12:10:00Z",
        "unknown": None,
    }
    assert scrub(value) == value


@given(st.text(alphabet="XYZ0123456789+/", min_size=6, max_size=30))
def test_a_secret_that_the_account_has_is_found_wherever_it_stands(secret):
    value = {"a": f"before {secret} after", "b": [secret, {"c": f"x{secret}"}], secret: 1}
    assert secret not in canonical(scrub(value, {secret}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=30,
    )
)
def test_any_value_keeps_its_shape_and_a_second_time_changes_nothing(value):
    once = scrub(value)
    assert type(once) is type(value)
    assert json.loads(canonical(once)) is not None or value is None
    assert scrub(once) == once or MASK in canonical(once)


def test_a_text_that_was_made_to_take_long_does_not():
    import time

    began = time.perf_counter()
    for text in (
        "password=" * 20_000,
        "a" * 200_000,
        "https://" + "x" * 100_000,
        '"' * 100_000,
        "token:'" + "\\" * 100_000,
    ):
        scrub_text(text)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "value",
    [
        [{"seq": number, "says": "x" * 300} for number in range(3000)],
        {"journal": [{"says": "y" * 500} for _ in range(2000)], "status": "halted"},
        {"a": "z" * 900_000, "status": "halted"},
        "w" * 900_000,
        {str(number): "v" * 400 for number in range(5000)},
        {"a": {"b": {"c": ["ü" * 1000] * 900}}, "status": "halted"},
    ],
)
def test_what_is_too_large_is_shortened_says_so_and_stays_json(value):
    kept = freeze("journal", "The journal", value)
    assert kept.is_cut
    assert kept.size <= MOST_BYTES
    json.loads(kept.text)
    if isinstance(value, dict) and "status" in value:
        assert json.loads(kept.text)["status"] == "halted", "what is small is kept"


def test_the_digest_is_of_the_text_as_it_is_kept():
    one = freeze("a", "A", {"b": 1, "a": 2})
    assert one.digest == digest_of(one.text) == freeze("a", "A", {"a": 2, "b": 1}).digest
    assert not one.is_cut


def test_a_case_goes_on_and_ends_and_is_opened_again():
    assert may_move("open", "solved")
    assert may_move("solved", "open")
    assert may_move("closed", "open")
    assert not may_move("closed", "solved")
    assert not may_move("open", "open")
    assert after_reply("waiting_customer", by_customer=True) is CaseStatus.OPEN
    assert after_reply("solved", by_customer=True) is CaseStatus.OPEN
    assert after_reply("waiting_customer", by_customer=False) is CaseStatus.WAITING_CUSTOMER
    assert after_reply("waiting_provider", by_customer=True) is CaseStatus.WAITING_PROVIDER


def test_what_was_frozen_is_read_as_a_table_also_where_it_was_shortened():
    journal = [
        {"seq": 2, "says": "It halted.", "detail": {"code": "probes", "at_limit": None}, "by": ""},
        {"seq": 1, "says": "It began.", "detail": {}, "by": "Jonas"},
        {"left_out": 7},
    ]
    columns, rows = as_table(journal)
    assert columns == ["seq", "says", "by", "detail"]
    assert rows[0] == [
        ("seq", "2"),
        ("says", "It halted."),
        ("by", "none"),
        ("detail", "code: probes; at limit: not known"),
    ]
    assert dict(rows[1])["detail"] == "none"
    assert rows[2][0] == ("seq", "left out: 7")
    assert as_rows({"at": "2026-11-27 00:23:08.145744+00:00"}) == [("at", "2026-11-27 00:23:08 UTC")]
    assert as_table({"a": 1}) is None
    assert as_table([1, 2]) is None
    assert as_rows({"pool": [{"id": 7, "is_up": True}], "ids": [1, 2]}) == [
        ("pool 1 › id", "7"),
        ("pool 1 › is up", "yes"),
        ("ids", "1, 2"),
    ]
