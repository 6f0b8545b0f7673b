"""What a profile asks for over time, its limits, and when it ends early."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.loads.profile import (
    Asked,
    Caps,
    Pacer,
    Profile,
    Shape,
    Stops,
    check,
    digest_of,
    from_plain,
    level_at,
    to_plain,
    users_at,
    why_stop,
)
from portal.errors import Refused

CAPS = Caps(users=500, requests_per_s=1000, duration_s=3600)
PROFILE = Profile(
    (Asked("GET", "https://shop.example.com/", 3),),
    Shape("steps", "users", 50.0, 600, start=10.0, steps=5),
    Stops(0.05, 10, 500.0),
    max_users=50,
    max_requests_per_s=100.0,
    headers=(("Accept", "text/html"),),
    secret_headers=("Authorization",),
    secret_digest="a" * 64,
)


def shapes(unit):
    return st.builds(
        Shape,
        kind=st.sampled_from(["steady", "steps", "ramp"]),
        unit=st.just(unit),
        level=st.floats(0.1, 80),
        duration_s=st.integers(20, 60),
        start=st.floats(0, 80),
        steps=st.integers(2, 20),
    )


def test_steps_are_of_equal_length_and_end_at_the_highest_load():
    levels = [level_at(PROFILE.shape, t) for t in (0, 119.9, 120, 479, 480, 599.9)]
    assert levels == [10, 10, 20, 40, 50, 50]
    assert level_at(PROFILE.shape, -0.1) == level_at(PROFILE.shape, 600) == 0


def test_a_rise_is_even_and_a_steady_load_is_one_level():
    ramp = replace(PROFILE.shape, kind="ramp")
    assert level_at(ramp, 300) == 30
    assert level_at(replace(ramp, kind="steady"), 1) == 50


def test_a_profile_survives_being_stored_and_any_change_is_another_digest():
    plain = to_plain(PROFILE)
    assert from_plain(plain) == PROFILE
    others = [
        replace(PROFILE, max_requests_per_s=101.0),
        replace(PROFILE, requests=(Asked("GET", "https://shop.example.com/", 4),)),
        replace(PROFILE, stops=Stops(0.06, 10, 500.0)),
        replace(PROFILE, secret_digest="b" * 64),
        replace(PROFILE, balancer_key="rackspace:1:DFW:lb:71"),
    ]
    assert len({digest_of(plain), *(digest_of(to_plain(one)) for one in others)}) == 6
    with pytest.raises(ValueError, match="format"):
        from_plain({**plain, "format": 2})


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests": ()},
        {"requests": (Asked("POST", "https://shop.example.com/", 1),)},
        {"requests": (Asked("GET", "https://shop.example.com/", 0),)},
        {"max_users": 501},
        {"max_users": 0},
        {"max_requests_per_s": 1000.5},
        {"max_requests_per_s": 0.0},
        {"shape": replace(PROFILE.shape, level=50.5)},
        {"shape": replace(PROFILE.shape, level=0.0)},
        {"shape": replace(PROFILE.shape, start=51.0)},
        {"shape": replace(PROFILE.shape, kind="ramp", start=50.0, level=10.0)},
        {"shape": replace(PROFILE.shape, start=50.0, level=10.0)},
        {"shape": replace(PROFILE.shape, kind="ramp", start=20.0, level=20.0)},
        {"shape": replace(PROFILE.shape, duration_s=3601)},
        {"shape": replace(PROFILE.shape, duration_s=0)},
        {"shape": replace(PROFILE.shape, steps=1)},
        {"shape": replace(PROFILE.shape, unit="requests_per_s", level=100.1)},
        {"stops": Stops(0.0, 10)},
        {"stops": Stops(1.1, 10)},
        {"stops": Stops(0.1, 1)},
        {"think_s": 61.0},
        {"shape": replace(PROFILE.shape, level=float("nan"))},
    ],
)
def test_what_has_no_end_or_is_above_a_limit_is_refused(wrong):
    check(PROFILE, CAPS)
    with pytest.raises(Refused):
        check(replace(PROFILE, **wrong), CAPS)


@given(shape=shapes("users"), limit=st.integers(1, 50), t=st.floats(-10, 100))
def test_there_are_never_more_users_than_the_limit(shape, limit, t):
    users = users_at(replace(PROFILE, shape=shape, max_users=limit), t)
    assert 0 <= users <= limit
    if not 0 <= t < shape.duration_s:
        assert users == 0


@settings(deadline=None)
@given(
    shape=shapes("users") | shapes("requests_per_s"),
    cap=st.floats(0.2, 60),
    waits=st.lists(st.floats(0.001, 1.5), min_size=1, max_size=150),
    greed=st.integers(1, 50),
)
def test_in_no_second_more_requests_go_than_the_limit_whatever_the_rhythm(shape, cap, waits, greed):
    pacer = Pacer(replace(PROFILE, shape=shape, max_requests_per_s=cap))
    sent, t = [], 0.0
    for wait in waits:
        t += wait
        sent += [t] * pacer.take(t, greed)
    window = max(1.0, 1 / cap)
    for at in sent:
        assert sum(1 for one in sent if at - window < one <= at) <= max(1, cap * window + 1e-6)


@given(shape=shapes("requests_per_s"), pause=st.floats(0.002, 0.05))
def test_a_rate_is_kept_and_never_made_up_for(shape, pause):
    pacer = Pacer(replace(PROFILE, shape=shape, max_requests_per_s=100.0))
    t, sent, due = 0.0, 0, 0.0
    while t < 15:
        t += pause
        due += level_at(shape, t) * pause
        sent += pacer.take(t, 1000)
        assert sent <= due + 1
    assert sent >= due - 2


def second(requests=100, failures=0, ms=("10.0",), waiting=5, waits=None):
    latency = {one: requests // len(ms) for one in ms}
    return {
        "requests": requests,
        "failures": failures,
        "waiting": waiting,
        "waits": waits or {},
        "parts": {"0": {"latency": latency}},
    }


STOPS = Stops(0.1, 3, 200.0)


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        ([second()] * 9, ""),
        ([second(failures=100)] * 2, ""),
        ([second(failures=100)] * 3, "failed"),
        ([second(), second(failures=15), second(failures=15)], ""),
        ([second(failures=100)] * 5 + [second()] * 3, ""),
        ([second(failures=10)] * 3, ""),
        ([second(failures=11)] * 3, "failed"),
        ([second(ms=("10.0", "300"))] * 3, "95 of 100"),
        ([second(ms=("200",))] * 3, ""),
        ([second(ms=("201",))] * 3, "95 of 100"),
        ([second(requests=0)] * 3, "Nothing was answered"),
        ([second(requests=0, waiting=0)] * 3, ""),
        ([second(requests=0)] * 2, ""),
        # Six were answered at once, and 54 not at all.
        (
            [second(2), second(2), second(2, waits={"900": 18, "1900": 18, "2800": 18})],
            "have waited by now, up to 2800 ms",
        ),
        ([second(20), second(20), second(20, waits={"3500": 8})], "8 of them without an answer for longer"),
        ([second(waits={"190": 50})] * 3, ""),
        ([second(waits={"5000": 500})] + [second()] * 3, ""),
    ],
)
def test_a_run_stops_once_a_whole_window_is_beyond_a_limit(seconds, why):
    found = why_stop(STOPS, seconds)
    assert why in found
    assert bool(found) is bool(why)


def test_without_a_limit_of_latency_a_slow_site_is_loaded_on():
    assert why_stop(Stops(0.1, 3), [second(ms=("9999",))] * 9) == ""
