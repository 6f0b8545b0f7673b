"""What a review says as one value, and two of them side by side. No database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.facts import Finding, Grade
from accounts.reviews.content import (
    answered,
    compare,
    digest_of,
    fingerprint,
    is_intact,
    is_over,
    to_plain,
    with_end,
)
from accounts.reviews.quarter import bounds, neighbour
from accounts.reviews.services import reminder_stage
from accounts.reviews.template import STANDARD, checked_items, items_for, key_of
from portal.errors import Refused

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def item(hand="", finding=None, reason="", notes=""):
    return answered(
        key="baseline",
        title="Baseline",
        question="",
        hand=hand,
        reason=reason,
        notes=notes,
        answered_at=NOW,
        finding=finding,
    )


def test_live_data_wins_and_where_it_knows_nothing_a_person_counts():
    red = Finding(Grade.RED, "Nobody to call.", "An account has contacts.")
    unknown = Finding(Grade.UNKNOWN, "Could not be read.", "Unknown is never green.")
    assert (item("green", red).grade, item("green", red).by) == (Grade.RED, "live")
    assert (item("amber", unknown, "Old.").grade, item("amber", unknown).by) == (Grade.AMBER, "hand")
    assert (item("", unknown).grade, item("", unknown).is_answered) == (Grade.UNKNOWN, False)
    assert item("", None).grade is Grade.UNKNOWN


def printed(items, **changes):
    values = {"review": "r", "held_on": "2026-11-26", "people": ["a", ""], "actions": []}
    return fingerprint(items=items, **{**values, **changes})


def test_a_fingerprint_minds_grades_reasons_and_actions_but_no_age():
    young = Finding(Grade.GREEN, "2 contacts.", "Rule.", observed_at=NOW)
    old = Finding(Grade.GREEN, "3 contacts.", "Rule.", observed_at=NOW - timedelta(days=3))
    same = printed([item(finding=young)])
    assert printed([item(finding=old)]) == same
    assert printed([item(finding=Finding(Grade.AMBER, "2 contacts.", "Rule."))]) != same
    assert printed([item(finding=young, notes="Ask again.")]) != same
    action = {"ref": "1", "title": "Do it", "due_on": "2026-12-01", "state": "open"}
    assert printed([item(finding=young)], actions=[action]) != same
    assert printed([item(finding=young)], held_on="2026-11-27") != same


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_a_digest_is_of_the_value_and_not_of_its_order(data):
    turned = dict(reversed(list(data.items())))
    assert digest_of(data) == digest_of(turned)
    assert is_intact(data, digest_of(turned))
    assert not is_intact({**data, "more": 1}, digest_of(data))


def test_evidence_is_over_at_its_time_and_not_before():
    plain = with_end(to_plain(item("green")), NOW.date())
    until = datetime.fromisoformat(plain["expires_at"])
    assert until.date() == NOW.date() + timedelta(days=1)
    assert not is_over(plain, until - timedelta(seconds=1))
    assert is_over(plain, until)
    assert not is_over({"expires_at": None}, until)


def snap(*items, actions=()):
    return {"items": [dict(one) for one in items], "actions": list(actions)}


def plain(key, grade, **more):
    return {"key": key, "title": key.title(), "grade": grade, "parts": [], **more}


def test_two_reviews_are_compared_item_by_item():
    older = snap(
        plain("contacts", "red"), plain("access", "green", parts=[["admins", 2]]), plain("gone", "green")
    )
    newer = snap(
        plain("contacts", "green"), plain("access", "amber", parts=[["admins", 1]]), plain("more", "red")
    )
    found = compare(older, newer)
    assert [(one.key, one.change) for one in found.items] == [
        ("contacts", "better"),
        ("access", "worse"),
        ("more", "new"),
        ("gone", "left out"),
    ]
    assert found.items[1].parts == (("admins", 2, 1),)
    assert (found.better, found.worse) == (1, 1)


def test_action_items_are_new_gone_or_carried_on():
    one, two, three = ({"ref": str(n), "title": "x"} for n in range(3))
    found = compare(snap(actions=[one, two]), snap(actions=[two, three]))
    assert (found.actions_new, found.actions_gone, found.actions_carried) == ((three,), (one,), (two,))


@given(st.lists(st.sampled_from(["red", "amber", "unknown", "green"]), max_size=6))
def test_a_review_compared_with_itself_changed_in_nothing(grades):
    data = snap(*(plain(f"k{n}", grade) for n, grade in enumerate(grades)))
    assert {one.change for one in compare(data, data).items} <= {"same"}


# --- template, quarter, reminders ---------------------------------------------------------------------------


def test_a_team_adds_items_to_the_standard_ones():
    own = checked_items([{"title": "  Certificates ", "question": "Until when?"}, {"title": "Ünïcode 7"}])
    assert [one["key"] for one in own] == ["certificates", "n_code_7"]
    assert [one.key for one in items_for(own)][-2:] == ["certificates", "n_code_7"]
    assert len(items_for(own)) == len(STANDARD) + 2
    assert key_of("7 days") == "item_7_days"


@pytest.mark.parametrize(
    "bad",
    [
        [{"title": ""}],
        [{"title": "Contacts"}],
        [{"title": "A b"}, {"title": "A  b"}],
        [{"title": "x" * 81}],
        [{"title": "Fine", "key": "Not Fine"}],
        [{"title": f"Item {n}"} for n in range(21)],
    ],
)
def test_items_that_are_none_or_stand_there_already_are_refused(bad):
    with pytest.raises(Refused):
        checked_items(bad)


@pytest.mark.parametrize(
    ("name", "first", "after"),
    [
        ("2026-4", date(2026, 10, 1), date(2027, 1, 1)),
        ("2026-1", date(2026, 1, 1), date(2026, 4, 1)),
        ("nonsense", date(2026, 10, 1), date(2027, 1, 1)),
        ("2026-5", date(2026, 10, 1), date(2027, 1, 1)),
        ("١٢٣٤-1", date(2026, 10, 1), date(2027, 1, 1)),
    ],
)
def test_a_quarter_has_its_first_day_and_the_day_after_its_last(name, first, after):
    assert bounds(name, date(2026, 11, 26))[1:] == (first, after)


def test_the_neighbours_of_a_quarter():
    assert (neighbour("2026-4", 1), neighbour("2026-1", -1)) == ("2027-1", "2025-4")


@pytest.mark.parametrize(
    ("days", "stage"),
    [(8, None), (7, "ahead"), (1, "ahead"), (0, "due"), (-6, "due"), (-7, "over1"), (-14, "over2")],
)
def test_reminders_come_ahead_on_the_day_and_every_week_after(days, stage):
    today = date(2026, 11, 26)
    assert reminder_stage(today + timedelta(days=days), today) == stage
