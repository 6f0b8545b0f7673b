"""Percentiles of a step: counted over all its requests where each is known, right whatever the answers are like."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capacity.baselines import evidence
from capacity.ceiling import Promised, Rank, exceeds
from capacity.comparing import Environment
from capacity.importers import parse
from capacity.importers.histogram import POINT_ERROR_RATIO, Running, Series, together
from capacity.importers.types import REST_S, Format
from capacity.loads.generator import Second
from capacity.loads.profile import Asked, Shape
from capacity.loads.result import invalid_because, result_of
from tests.loads.test_profile import PROFILE

BEGAN = datetime(2026, 11, 28, 9, tzinfo=UTC)
SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
HUMPS = {
    # The finders' two: 8 in 100 take six times as long; 4 in 100 take twenty seconds.
    "six times": lambda dice, n: dice.lognormal(4.0, 0.3, n) * np.where(dice.random(n) < 0.08, 6.0, 1.0),
    "twenty seconds": lambda dice, n: np.where(dice.random(n) < 0.04, 20_000.0, dice.lognormal(4.0, 0.4, n)),
    "under a millisecond": lambda dice, n: dice.lognormal(-1.0, 0.5, n),
    "usual": lambda dice, n: dice.lognormal(4.0, 0.6, n),
}


def true(values, share):
    return float(np.quantile(values, share, method="inverted_cdf"))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(1e-3, 1e6) | st.sampled_from([20.0, 3000.0]), min_size=1, max_size=150),
        min_size=1,
        max_size=8,
    )
)
def test_percentiles_of_parts_together_are_those_of_all_values(parts):
    counted = []
    for values in parts:
        counted.append(Running(POINT_ERROR_RATIO, 64))
        for value in values:
            counted[-1].add(value)
    every = np.concatenate(parts)
    for percent, ms in [(one.percent, one.ms) for one in together(counted).percentiles((50.0, 95.0, 99.0))]:
        assert ms == pytest.approx(true(every, percent / 100.0), rel=POINT_ERROR_RATIO * 1.000001)
    assert [one.count for one in counted] == [len(values) for values in parts], (
        "and nothing is added to a part"
    )


@pytest.mark.parametrize("name", HUMPS)
def test_steps_of_the_portals_own_load_are_right_whatever_the_answers_are_like(name):
    dice = np.random.default_rng(5)
    seconds, asked = [], {2: [], 4: []}
    for number in range(24):
        users = 2 if number < 12 else 4
        told = Second()
        for ms in HUMPS[name](dice, 500):
            told.add("0", float(ms), 100, 200, "")
            if number % 12:
                asked[users].append(ms)
        one = {
            "t": float(number),
            "length_s": 1.0,
            "users": users,
            "asked": None,
            "cpu": 0.1,
            "requests": 500,
        }
        rest = {"failures": 0, "missed": 0, "held": 0, "received": 0, "errors": {}, "codes": told.codes}
        seconds.append({**one, **rest, "parts": told.parts})
    shape = Shape("steps", "users", 4.0, 24, start=2.0, steps=2)
    made = result_of(
        PROFILE.__class__(**{**PROFILE.__dict__, "shape": shape}),
        seconds,
        began_at=BEGAN,
        content=b"",
        name="own",
        generator="",
    )
    assert made.provenance.format is Format.PORTAL
    told = json.loads(json.dumps(made.as_plain()))
    assert all("counted" not in point for point in told["points"])
    steps = evidence.stretches_of(told)
    assert [one.users for one in steps] == [2, 4]
    for one in steps:
        for key, share in SHARES.items():
            assert one.latencies[key] == pytest.approx(true(asked[one.users], share), rel=0.0101)
    # What was kept before steps were counted goes on being put together from its points.
    for one in told["steps"]:
        for key in SHARES:
            del one[f"settled_{key}"]
    assert all(SHARES.keys() <= one.latencies.keys() for one in evidence.stretches_of(told))


@pytest.mark.parametrize("name", ["six times", "twenty seconds"])
def test_steps_of_a_file_with_a_line_for_each_request_are_too(name):
    dice = np.random.default_rng(7)
    lines, every, steady = ["timeStamp,elapsed,label,responseCode,success,allThreads,URL"], {}, {}
    for number in range(16):
        users = 5 if number < 8 else 10
        for n, ms in enumerate(HUMPS[name](dice, 400)):
            at = 1_795_797_500_000 + 1000 * number + 2 * n
            lines.append(f"{at},{ms:.0f},home,200,true,{users},http://shop.example/")
            every.setdefault(users, []).append(round(ms))
            if number % 8:
                steady.setdefault(users, []).append(round(ms))
    made = parse("\n".join(lines).encode())
    for one in made.steps:
        assert one.p95_ms == pytest.approx(true(every[one.users], 0.95), rel=0.0101)
    for one in evidence.stretches_of(made.as_plain()):
        for key, share in SHARES.items():
            assert one.latencies[key] == pytest.approx(true(steady[one.users], share), rel=0.0101)


def test_a_step_of_which_most_points_had_no_answer_tells_no_percentile():
    series = Series()
    for second in range(10):
        series.see_users(second, 1 + second // 5)
        if second % 5 in (0, 1):
            series.add(second, 20.0, failed=False)
    made = parse(b"timeStamp,elapsed,label,success\n1795797500000,12,home,true\n")
    steps = made.__class__(made.provenance, "k6", points=series.points(0.0, 10.0)).as_plain()
    assert [one["p95_ms"] for one in steps["steps"]] == [None, None]
    assert [one.latencies for one in evidence.stretches_of(steps)] == [{}, {}]


@pytest.mark.parametrize(
    ("length_s", "users", "requests", "failures", "rate", "p99", "each"),
    [
        # Pushed until it broke: a site that hangs answers few requests, or none for most of the time.
        (60, 400, 600, 300, 10.0, 30_000.0, 75.0),
        (60, 400, 600, 300, 0.0, None, 75.0),
        (60, 400, 600, 0, 10.0, 30_000.0, 75.0),
        # In the middle: what passes above it was luck.
        (40, 150, 14_000, 7000, 350.0, 3000.0, 50.0),
        # A short one that kept it says nothing, and does not count.
        (40, 400, 14_000, 0, 350.0, 200.0, None),
    ],
)
def test_a_step_that_fails_ends_it_however_short_it_is(length_s, users, requests, failures, rate, p99, each):
    steps = [
        (60, 50, 6000, 0, 100.0, 100.0),
        (60, 100, 12_000, 0, 200.0, 150.0),
        (60, 200, 18_000, 0, 300.0, 300.0),
    ]
    told, at = {"steps": [], "points": [], "load": "closed"}, 0
    for length, count, asked, failed, per_s, ms in [*steps, (length_s, users, requests, failures, rate, p99)]:
        of = {"users": count, "requests_per_s": per_s}
        told["steps"].append(
            {
                **of,
                "offset_s": at,
                "length_s": length,
                "requests": asked,
                "failures": failed,
                "settled_p99_ms": ms,
            }
        )
        told["points"] += [{**of, "offset_s": at + one, "length_s": 1, "p95_ms": ms} for one in range(length)]
        at += length
    ran = evidence.Ran(Environment(4, "large", "shop 1", "mix"), BEGAN)
    found = evidence.evidence_of(told, ran, Promised(0.01, 500.0, 0.99), source="run", ref="")
    assert (found.rank, found.requests_per_s, found.is_least) == (Rank.STEPS, each or 75.0, each is None)


# --- what was not sent as asked ------------------------------------------------------------------------------------

RAN = evidence.Ran(Environment(1, "general1-4", "shop 4.12", "as visitors ask"), BEGAN)


def seconds_of(*loads, unit="asked", ms=50.0):
    """Return a minute of each load, given as what was asked for and what was sent each second."""
    return [
        {
            "t": float(60 * step + second),
            "length_s": 1.0,
            "users": 50,
            "asked": None,
            unit: load,
            "requests": sent,
            "failures": 0,
            "missed": 0,
            "cpu": 0.5,
            "received": 0,
            "errors": {},
            "held": int(unit == "users" and second < held),
            "codes": {"200": sent},
            "parts": {"0": {"requests": sent, "failures": 0, "latency": {str(ms): sent}}},
        }
        for step, (load, sent, *more) in enumerate(loads)
        for held in (more[0] if more else 0,)
        for second in range(60)
    ]


def by_steps(count, unit="requests_per_s", most=500.0):
    shape = Shape("steps", unit, 500.0, 60 * count, start=100.0, steps=count)
    pages = (*PROFILE.requests, Asked("GET", "https://shop.example.com/cart", 1))
    return replace(PROFILE, requests=pages, shape=shape, max_users=500, max_requests_per_s=most)


ASKED = [(100.0, 100), (200.0, 200), (300.0, 300), (400.0, 400), (500.0, 350)]


@pytest.mark.parametrize(("ms", "fails"), [(50.0, False), (900.0, True)])
def test_a_step_that_was_not_sent_as_asked_is_none_nor_is_one_address_a_mix(ms, fails):
    seconds = seconds_of(*ASKED[:4]) + [{**one, "t": one["t"] + 240.0} for one in seconds_of(ASKED[4], ms=ms)]
    profile = by_steps(5)
    assert invalid_because(profile, seconds) == ""
    told = result_of(profile, seconds, began_at=BEGAN, content=b"", name="own", generator="").as_plain()
    promised = Promised(0.01, 400.0)
    steps = evidence.steps_of(told, promised)
    assert [one.thin for one in steps] == [
        *[""] * 4,
        "Of 500 requests a second that were asked for, it sent 350.",
    ]
    # Though it cannot pass, it may fail.
    assert exceeds(steps[-1], promised) is fails
    found = evidence.evidence_of(told, RAN, promised, source="own", ref="r")
    assert (found.rank, found.requests_per_s, found.is_least) == ("steps", 400.0, not fails)
    alone = {**told, "parts": told["parts"][:1]}
    simple = evidence.evidence_of(alone, RAN, promised, source="own", ref="r")
    assert (simple.rank, simple.unproven.startswith("It asked for one address alone")) == ("simple", True)
    heads = {**alone, "parts": [*alone["parts"], {**alone["parts"][0], "method": "HEAD"}]}
    assert evidence.rank_of(heads, RAN) == "simple"
    # Of a file people say what was asked for.
    read = {**alone, "provenance": {**told["provenance"], "format": "locust-history"}}
    assert evidence.rank_of(read, RAN) == "steps"
    # It stays the load that was asked for, as a site that hangs is worse at it; and becomes no baseline.
    measured = evidence.measurements_of(told, RAN)
    assert [one.load.per_node for one in measured] == [100.0, 200.0, 300.0, 400.0, 500.0]
    refused = [evidence.why_failed(one, told, promised) for one in measured]
    assert refused == [*[""] * 4, "Of 500 requests a second that were asked of one server, 350 were sent."]


@pytest.mark.parametrize(
    ("profile", "seconds", "why"),
    [
        (by_steps(3), seconds_of((100.0, 80), (300.0, 250), (500.0, 350)), "Of 30000 requests that"),
        (by_steps(3), seconds_of((100.0, 80), (300.0, 300), (500.0, 350)), ""),
        # One step of twenty, and 6 % of the time of one of two.
        (
            by_steps(20, "users", 40.0),
            seconds_of(*[(1, 5)] * 19, (20, 40, 60), unit="users"),
            "held the users",
        ),
        (by_steps(2, "users", 40.0), seconds_of((1, 5), (20, 40, 4), unit="users"), "held the users"),
        (by_steps(2, "users", 40.0), seconds_of((1, 5), (20, 40, 3), unit="users"), ""),
    ],
)
def test_whose_limit_it_was_is_judged_step_by_step(profile, seconds, why):
    found = invalid_because(profile, seconds)
    assert (why in found, bool(found)) == (True, bool(why))


def test_a_step_in_which_the_site_hung_is_as_long_as_it_was_and_carried_what_it_did():
    lines = ["timeStamp,elapsed,label,responseCode,success,allThreads"]
    for step, users in enumerate((5, 10)):
        for second in range(60):
            # From 20 s to 50 s all users wait for one answer, and nobody asks anything.
            if step == 0 or not 20 < second < 50:
                ms = 30_000 if (step, second) == (1, 20) else 10
                at = 1_795_797_500_000 + 1000 * (60 * step + second)
                lines += [f"{at + n},{ms},home,200,true,{users}" for n in range(users)]
    made = parse("\n".join(lines).encode())
    assert [one.length_s for one in made.steps] == [60, pytest.approx(60, abs=1)]
    calm, hung = evidence.stretches_of(made.as_plain())
    assert calm.requests_per_s == pytest.approx(5.0, rel=0.02)
    assert hung.requests_per_s == pytest.approx(10 * 31 / 60, rel=0.05)
    assert hung.points[-1]["offset_s"] == pytest.approx(119.0), "none of its points is left out"


def jmeter_steps(loads):
    """Return a file of JMeter's, and of each load (users, seconds asked, how long a hang then is, how long a rest after) what is true.

    Each user asks once a second. With a rest below 0 the next load begins while the hang lasts. Threads are told at the end.
    """
    rows, begins, at = [], [], 0.0
    for users, asked_s, hang_s, rest_s in loads:
        begins.append((at, users))
        rows += [(at + second, 0.01) for second in range(asked_s) for _ in range(users)]
        rows += [(at + asked_s, hang_s) for _ in range(users) if hang_s]
        at += asked_s + hang_s + rest_s
    lines = ["timeStamp,elapsed,label,responseCode,success,allThreads"]
    for start, took in sorted(rows, key=sum):
        there = [users for begin, users in begins if begin <= start + took][-1]
        lines.append(f"{1_795_797_500_000 + round(1000 * start)},{round(1000 * took)},home,200,true,{there}")
    true = [
        (users, users * (asked_s + bool(hang_s)), asked_s + hang_s + min(rest_s, 0))
        for users, asked_s, hang_s, rest_s in loads
    ]
    return "\n".join(lines).encode(), true


@st.composite
def loads_with_rests_and_hangs(draw):
    loads, before = [], 0
    for _ in range(draw(st.integers(2, 5))):
        users = draw(st.integers(1, 8).filter(lambda one, before=before: one != before))
        hang_s = draw(st.sampled_from([0, 0, 5, 30, 90]))
        rest_s = draw(st.sampled_from([0, 4, 11, 60, *([-1, -4] if hang_s else [])]))
        loads.append((users, draw(st.integers(30, 90)), hang_s, rest_s))
        # After a rest of nobody as many may come again.
        before = 0 if rest_s > REST_S else users
    return [*loads[:-1], (*loads[-1][:3], 0)]


@settings(max_examples=60, deadline=None)
@given(loads_with_rests_and_hangs())
@example([(5, 60, 0, 0), (10, 60, 60, 0), (20, 60, 0, 0)])  # a hang at the end of a step
@example([(10, 60, 60, -4), (20, 60, 30, 0)])  # one that goes on in the next, and one at the end of the run
@example([(10, 60, 0, 30), (10, 60, 30, 30), (10, 60, 0, 0)])
def test_the_rate_of_a_step_is_over_the_time_in_which_somebody_asked_or_waited(loads):
    content, true = jmeter_steps(loads)
    made = parse(content).as_plain()
    told = [(one["users"], one["requests"], one["length_s"]) for one in made["steps"]]
    # The last second of the run ends with its last answer.
    assert told == [(users, requests, pytest.approx(lasted, abs=1)) for users, requests, lasted in true]
    if len({users for users, *_ in true}) > 1:
        seen = [len(one.points) for one in evidence.stretches_of(made)]
        assert seen == [asked_s + bool(hang_s) - 1 for _, asked_s, hang_s, _ in loads], "none is left out"


@pytest.mark.parametrize("asked_at", [60.0, 59.9])
def test_a_site_that_hangs_as_soon_as_more_come_carried_no_more_throughout(asked_at):
    series = Series()
    for second in [*range(60), *range(100, 120)]:
        for _ in range(5 if second < 60 else 10):
            series.add(second, 10.0, failed=False, users=5 if second < 60 else 10)
    for at in [asked_at] * 5 + [60.0] * 5:
        series.add(at, 40_000.0, failed=False, users=10)
    made = replace(parse(jmeter_steps([(1, 30, 0, 0)])[0]), points=series.points(0.0, 120.0))
    calm, hung = evidence.stretches_of(made.as_plain())
    assert calm.requests_per_s == pytest.approx(5.0, abs=0.1)
    assert hung.requests_per_s == pytest.approx(10 * 21 / 60, abs=0.1)


def test_users_who_think_are_there_and_those_who_begin_slowly_after_a_rest_are_not_those_before_it():
    series = Series()
    for at in range(0, 60, 6):
        series.add(at, 20.0, failed=False, users=3)
    for at in range(100, 160):
        series.add(at, 4000.0, failed=False, users=9)
    made = replace(parse(jmeter_steps([(1, 30, 0, 0)])[0]), points=series.points(0.0, 164.0))
    assert [(one.users, one.requests, one.length_s) for one in made.steps] == [(3, 10, 55), (9, 60, 63)]


def test_users_are_still_there_while_a_file_does_not_tell_them():
    series = Series()
    for second in range(10):
        series.add(second, 20.0, failed=False, users=4 if second in (0, 3) else None)
    assert [one.users for one in series.points(0.0, 10.0)] == [4] * 10
