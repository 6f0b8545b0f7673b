"""Less of a plan: what an approval of it covers, what is more, and how it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.cloud.types import Alarm, AlarmState
from portal.errors import Refused
from scaledown.candidates import Known, Pool, kept
from scaledown.canonical import from_plain, to_plain
from scaledown.less import Changed, Less, changes, in_one, is_less, is_so_already, less_chosen, what_is_more
from scaledown.planner import build_plan_data
from scaledown.preview import preview
from scaledown.types import PlannedWindow
from tests.scaledown.planner_cases import CHOICE, NOW, known, pool, server

HOUR = timedelta(hours=1)
CHOSEN = replace(CHOICE, window_start=NOW + HOUR, window_end=NOW + 9 * HOUR)
PLAN = build_plan_data(CHOSEN, pool(), known())


def made_less(asked, choice=CHOSEN):
    return build_plan_data(less_chosen(choice, PLAN, asked), pool(), known())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Less(target=4), Changed("Servers that come out", "3", "2 (web-04 in service as before)")),
        (Less(floor=3), Changed("Never fewer than", "2 servers", "3 servers")),
        (Less(drain_limit_s=1800.0), Changed("Drain limit", "15 min", "30 min")),
        (Less(soak_s=900.0), Changed("Soak", "5 min", "15 min")),
        (Less(hold_s=7200.0), Changed("Hold before delete", "0 s", "2 h")),
        (Less(pause_between_s=90.0), Changed("Pause between two servers", "1 min", "1 min 30 s")),
        (
            Less(window_start=NOW + 2 * HOUR),
            Changed("Not before", "2026-11-23 11:00 UTC", "2026-11-23 12:00 UTC"),
        ),
    ],
)
def test_what_was_approved_covers_less_and_says_what_is_less(asked, said):
    new = made_less(asked)
    assert what_is_more(PLAN, asked) == {}
    assert is_less(PLAN, new)
    assert not is_less(new, PLAN)
    assert changes(PLAN, new) == (said,)
    assert is_so_already(new, asked)
    assert not is_so_already(PLAN, asked)


def test_servers_are_left_out_from_the_end_of_the_order():
    new = made_less(Less(target=5))
    assert new.servers == PLAN.servers[:1]
    assert new.target == 5
    assert {one.name for one in new.remaining} == {f"web-0{n}" for n in range(1, 6)}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Less(target=2), "More servers would come out: 3 stay by this plan, and 2 were asked for."),
        (Less(target=6), "Nothing would come out: this plan takes out 3 servers. Withdraw it instead."),
        (Less(floor=1), "Fewer might be left: never fewer than 2 by this plan."),
        (Less(floor=4), "Only 3 servers would stay. Let more stay, or choose a lower number."),
        (
            Less(drain_limit_s=60.0),
            "1 min is shorter than the 15 min of this plan.",
        ),
        (Less(soak_s=299.0), "4 min 59 s is shorter than the 5 min of this plan."),
        (Less(pause_between_s=0.0), "0 s is shorter than the 1 min of this plan."),
        (Less(window_start=NOW), "It would begin earlier: not before 2026-11-23 11:00 UTC by this plan."),
        (
            Less(window_start=NOW + 9 * HOUR),
            "The change window is over by then: it ends 2026-11-23 19:00 UTC.",
        ),
    ],
)
def test_what_is_more_is_said_of_each_field(asked, says):
    assert list(what_is_more(PLAN, asked).values()) == [says]


def test_each_field_that_is_more_is_named_where_all_stand_together():
    held = build_plan_data(replace(CHOSEN, hold_s=3600.0), pool(), known())
    assert in_one(what_is_more(held, Less(hold_s=60.0, soak_s=1.0))) == (
        "Watch time: 1 s is shorter than the 5 min of this plan. "
        "Hold before delete: 1 min is shorter than the 1 h of this plan."
    )


def test_a_higher_floor_goes_with_more_servers_that_stay():
    assert what_is_more(PLAN, Less(target=5, floor=5)) == {}
    assert is_less(PLAN, made_less(Less(target=5, floor=5)))


def test_a_customer_reads_plain_words():
    (said,) = changes(PLAN, made_less(Less(soak_s=900.0)), for_customer=True)
    assert said.says == "Watch time: 15 min, not 5 min"


def test_how_many_stay_is_never_proposed_anew():
    # A floor of 5 would be proposed as the size.
    assert less_chosen(CHOSEN, PLAN, Less(floor=5)).target == PLAN.target


def test_a_look_that_was_kept_draws_the_same_plan_and_the_same_preview():
    whole = pool(
        servers=[
            *(server(n, metadata={"note": "root password", "rax:role": "web"}) for n in range(1, 7)),
            server(9, id="srv-09", name="worker-01", addresses=("10.0.0.99",)),
        ],
        alarms=(Alarm("en1/al1/ch1", "CPU", "web-03", "srv-03", ("10.0.0.3",), AlarmState.WARNING, NOW),),
    )
    stored = json.loads(json.dumps({"pool": to_plain(kept(whole)), "known": to_plain(known())}))
    seen, facts = from_plain(Pool, stored["pool"]), from_plain(Known, stored["known"])
    assert build_plan_data(CHOSEN, seen, facts) == build_plan_data(CHOSEN, whole, known())
    assert preview(PLAN, CHOSEN, seen, facts) == preview(PLAN, CHOSEN, whole, known())
    assert "worker-01" not in json.dumps(stored)
    assert "root password" not in json.dumps(stored)


spans = st.one_of(st.none(), st.floats(0, 86_400))


@given(
    st.builds(
        Less,
        target=st.one_of(st.none(), st.integers(1, 7)),
        floor=st.one_of(st.none(), st.integers(1, 7)),
        drain_limit_s=spans,
        soak_s=spans,
        hold_s=spans,
        pause_between_s=spans,
        window_start=st.one_of(st.none(), st.integers(0, 10).map(lambda hours: NOW + hours * HOUR)),
    )
)
def test_whatever_is_asked_is_said_to_be_more_or_is_covered_by_what_was_approved(asked):
    if what_is_more(PLAN, asked):
        return
    try:
        new = made_less(asked)
    except Refused:
        return
    assert is_less(PLAN, new)
    assert is_so_already(new, asked)
    assert bool(changes(PLAN, new)) is (new != PLAN)


WINDOW = PlannedWindow(NOW + 24 * HOUR, NOW + 32 * HOUR)


@pytest.mark.parametrize(
    ("later", "is_it"),
    [
        ((WINDOW,), True),
        ((replace(WINDOW, starts_at=NOW + 25 * HOUR),), True),
        ((replace(WINDOW, starts_at=NOW + 23 * HOUR),), False),
        ((replace(WINDOW, ends_at=NOW + 33 * HOUR),), False),
        ((replace(WINDOW, ends_at=NOW + 31 * HOUR),), False),
        ((), False),
        ((WINDOW, PlannedWindow(NOW + 48 * HOUR, NOW + 49 * HOUR)), False),
    ],
)
def test_a_window_of_a_later_day_is_less_only_where_it_begins_later(later, is_it):
    old = replace(PLAN, later_windows=(WINDOW,))
    assert is_less(old, replace(old, later_windows=later)) is is_it
