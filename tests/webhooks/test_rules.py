"""When a message is sent again, what an answer means, what is signed. No database, no clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from portal.approvals.models import ApprovalStatus
from portal.approvals.registry import registered
from portal.events.catalogue import CATALOGUE, is_filter, is_wanted, types_known
from portal.webhooks import rules, signing
from portal.webhooks.envelope import body_of
from portal.webhooks.rules import Outcome

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = {
    "specversion": "1.0",
    "id": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712",
    "source": "/api/v1/accounts/9d7c5f5e-19c9-4d6e-8a55-1a3d4f0b2c77",
    "type": "steadystate.run.halted.v1",
    "subject": "run/c1b7",
    "time": "2026-11-23T12:00:00Z",
    "datacontenttype": "application/json",
    "position": "7",
    "data": {"code": "drain_time_out", "actor": None},
}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (204, Outcome.DELIVERED),
        (299, Outcome.DELIVERED),
        (301, Outcome.FAILED),
        (308, Outcome.FAILED),
        (400, Outcome.FAILED),
        (404, Outcome.FAILED),
        (410, Outcome.GONE),
        (429, Outcome.FAILED),
        (500, Outcome.FAILED),
        (199, Outcome.FAILED),
    ],
)
def test_only_2xx_took_it_and_410_wants_nothing_any_more(status, outcome):
    assert rules.judge(status, "", NOW).outcome is outcome


def test_a_busy_receiver_says_when_to_come_back_in_seconds_or_as_a_date():
    assert rules.judge(429, "120", NOW).retry_after_s == 120
    assert rules.judge(503, "Mon, 23 Nov 2026 12:02:00 GMT", NOW).retry_after_s == 120
    assert rules.judge(503, "Mon, 23 Nov 2026 11:00:00 GMT", NOW).retry_after_s == 0
    assert rules.judge(500, "120", NOW).retry_after_s is None, "not what this status is for"
    assert rules.judge(429, "99999999999", NOW).retry_after_s == rules.LONGEST_RETRY_AFTER_S


@given(st.text(max_size=60))
def test_whatever_a_receiver_writes_there_is_a_wait_of_at_most_a_day_or_none(text):
    found = rules.judge(429, text, NOW).retry_after_s
    assert found is None or 0 <= found <= rules.LONGEST_RETRY_AFTER_S


def test_the_tries_stretch_over_three_days_as_advised():
    at, waits = NOW, []
    for tries in range(1, 20):
        again = rules.next_try(tries, NOW, at, None)
        if again is None:
            break
        waits.append((again - at).total_seconds())
        at = again
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert at - NOW == timedelta(seconds=rules.total_s())
    assert timedelta(days=3) < at - NOW < timedelta(days=4)


@given(
    st.integers(1, 40),
    st.floats(0, 5 * 86400),
    st.one_of(st.none(), st.floats(0, rules.LONGEST_RETRY_AFTER_S)),
)
def test_a_next_try_is_never_earlier_than_advised_or_asked_and_never_after_the_end(tries, age_s, asked_s):
    now = NOW + timedelta(seconds=age_s)
    again = rules.next_try(tries, NOW, now, asked_s)
    if tries >= len(rules.DELAYS_S):
        assert again is None
    if again is not None:
        wait_s = (again - now).total_seconds()
        assert wait_s == pytest.approx(max(rules.DELAYS_S[tries], asked_s or 0), abs=1e-3)
        assert again <= NOW + rules.ENDS_AFTER


@given(st.integers(0, 10**6), st.one_of(st.none(), st.floats(0, 10**7)))
def test_a_failing_endpoint_is_left_alone_for_longer_but_never_for_good(failures, asked_s):
    wait_s = rules.brake_s(failures, asked_s)
    assert 5 <= wait_s <= rules.LONGEST_RETRY_AFTER_S
    assert rules.brake_s(failures + 1, asked_s) >= wait_s


def test_it_is_given_up_at_three_days_without_a_success_and_not_before():
    assert not rules.is_given_up(None, NOW)
    assert not rules.is_given_up(NOW - rules.FAILING_FOR + timedelta(seconds=1), NOW)
    assert rules.is_given_up(NOW - rules.FAILING_FOR, NOW)


@given(st.binary(max_size=300), st.uuids())
def test_the_reference_library_verifies_what_is_signed_and_nothing_that_was_changed(raw, ref):
    body = json.dumps({"n": raw.hex()}).encode()
    secret, other = signing.new_secret(), signing.new_secret()
    at = int(datetime.now(UTC).timestamp())
    headers = signing.headers_of([secret], str(ref), at, body)
    assert Webhook(secret).verify(body, headers) == {"n": raw.hex()}
    for wrong in (
        lambda: Webhook(other).verify(body, headers),
        lambda: Webhook(secret).verify(body + b" ", headers),
        lambda: Webhook(secret).verify(body, {**headers, "webhook-id": "other"}),
        lambda: Webhook(secret).verify(body, {**headers, "webhook-timestamp": str(at - 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            wrong()


def test_while_a_secret_rotates_both_the_new_and_the_old_one_verify():
    old, new, body = signing.new_secret(), signing.new_secret(), b"{}"
    headers = signing.headers_of([new, old], "m1", int(datetime.now(UTC).timestamp()), body)
    assert headers["webhook-signature"].count("v1,") == 2
    assert Webhook(old).verify(body, headers) == Webhook(new).verify(body, headers) == {}


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "c2VjcmV0" * 4, "whsec_!!!!", "whsec_" + "A" * 400]
)
def test_what_is_no_secret_signs_nothing(secret):
    with pytest.raises(ValueError, match="secret"):
        signing.sign(secret, "m", 1, b"")


def test_both_envelopes_say_the_same_and_neither_a_name():
    standard, cloudevent = json.loads(body_of("standard", EVENT)), json.loads(body_of("cloudevents", EVENT))
    assert cloudevent == EVENT
    assert set(standard) == {"type", "timestamp", "data"}
    assert standard["type"] == cloudevent["type"]
    assert standard["timestamp"] == cloudevent["time"]
    assert standard["data"]["code"] == "drain_time_out"
    assert standard["data"]["account"] == "9d7c5f5e-19c9-4d6e-8a55-1a3d4f0b2c77"


def test_filters_take_single_types_and_groups_and_none_takes_everything():
    assert is_wanted("run.halted", [])
    assert is_wanted("run.halted", ["run.*"])
    assert is_wanted("run.halted", ["plan.approved", "run.halted"])
    assert not is_wanted("run.halted", ["plan.*", "run.paused"])
    assert not is_wanted("runner.halted", ["run.*"])
    assert all(is_filter(name) for name in types_known())
    assert all(is_filter(f"{group}.*") for group in CATALOGUE)
    assert not any(
        is_filter(text) for text in ("", "*", "run", "Run.halted", "run.*.x", "run halted", "a." * 40)
    )


def test_each_type_stands_in_the_group_that_it_is_named_after():
    for group, (_, types) in CATALOGUE.items():
        assert all(name.startswith(f"{group}.") and says.endswith(".") for name, says in types.items())


def test_what_becomes_of_each_thing_that_asks_for_approval_is_in_the_catalogue():
    known = types_known()
    assert len(registered()) >= 5
    for subject in registered():
        thing = subject.rpartition(".")[2]
        happened = {"submitted", "decided", *ApprovalStatus.values} - {"open"}
        assert {f"{thing}.{one}" for one in happened} <= set(known), thing
