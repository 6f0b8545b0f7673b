"""What an account lacks in contacts."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.contacts.coverage import (
    BACKUP,
    PRESETS,
    Person,
    Rule,
    below,
    gaps_in,
    in_words,
    kept,
    rules_of,
)
from accounts.contacts.hours import Hours, HoursKind, Span, reachable_at
from accounts.contacts.selectors import BeginRule
from portal.errors import Refused

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FRESH, OLD = NOW - timedelta(days=3), NOW - timedelta(days=200)
ALWAYS = Hours(HoursKind.ALWAYS, "UTC")
UNKNOWN = Hours(HoursKind.UNKNOWN, "UTC")


def office(zone="UTC"):
    return Hours(HoursKind.WEEKLY, zone, tuple(Span(day, time(8), time(20)) for day in range(7)))


def nights(zone="UTC"):
    return Hours(HoursKind.WEEKLY, zone, tuple(Span(day, time(20), time(8)) for day in range(7)))


def person(name="Ada", *roles, **more):
    return Person(name, frozenset(roles), **{"hours": ALWAYS, "proven_at": FRESH, **more})


def codes(people, *rules, at=NOW):
    return [gap.code for gap in gaps_in(people, rules, at=at)]


def test_an_account_without_anybody_lacks_all_of_it():
    assert codes([], *PRESETS["standard"].rules) == ["no_primary", "no_emergency", "no_backup"]


def test_nothing_is_missing_where_every_rule_is_met():
    people = [person("Ada", "primary", order=1), person("Bo", "emergency", order=2)]
    assert codes(people, *PRESETS["standard"].rules) == []


def test_one_person_for_everything_is_no_backup_for_themselves():
    assert codes([person("Ada", "primary", "emergency")], *PRESETS["standard"].rules) == ["no_backup"]
    assert codes([person("Ada", "primary", "emergency")], *PRESETS["small_shop"].rules) == []


@pytest.mark.parametrize(
    ("proven_at", "gaps"),
    [
        (None, ["unproven_primary"]),
        (NOW - timedelta(days=90, seconds=1), ["unproven_primary"]),
        (NOW - timedelta(days=90), []),
        (NOW, []),
    ],
)
def test_a_proof_counts_for_as_many_days_as_the_rule_says(proven_at, gaps):
    people = [person("Ada", "primary", proven_at=proven_at)]
    assert codes(people, Rule("primary", proven_within_days=90)) == gaps


def test_who_is_not_valid_today_or_whose_mail_comes_back_is_not_there():
    assert codes([person("Ada", "primary", is_valid=False)], Rule("primary")) == ["no_primary"]
    lost = person("Ada", "primary", has_phone=False, is_bouncing=True)
    gap = gaps_in([lost], [Rule("primary")], at=NOW)[0]
    assert gap.code == "no_primary"
    assert "To one of them mail comes back" in gap.says
    assert gap.who == ("Ada",)
    assert codes([person("Ada", "primary", is_bouncing=True)], Rule("primary")) == []


def test_two_who_take_turns_cover_the_clock_and_one_alone_does_not():
    rule = Rule("emergency", around_the_clock=True)
    day, night = person("Ada", "emergency", hours=office()), person("Bo", "emergency", hours=nights())
    assert codes([day, night], rule) == []
    gap = gaps_in([day], [rule], at=NOW, zone="Europe/Stockholm")[0]
    assert gap.code == "uncovered_emergency"
    assert "not from Mon 21:00 to Tue 09:00 (Europe/Stockholm)" in gap.says
    assert codes([day, night], Rule("emergency", 2, around_the_clock=True)) == ["uncovered_emergency"]


def test_hours_that_nobody_said_cover_nothing_and_the_gap_says_whose():
    gap = gaps_in(
        [person("Ada", "emergency", hours=UNKNOWN)], [Rule("emergency", around_the_clock=True)], at=NOW
    )[0]
    assert gap.code == "uncovered_emergency"
    assert gap.who == ("Ada",)
    assert gap.todo == "Say when they work: it is not known."


def test_whoever_a_rotation_has_on_duty_is_reachable():
    week = [(NOW, NOW + timedelta(days=7))]
    duty = person("Ada", "emergency", hours=UNKNOWN, duty={"emergency": week})
    assert codes([duty], Rule("emergency", around_the_clock=True)) == []
    assert codes([duty], Rule("emergency", awake=True)) == []


@pytest.mark.parametrize(
    ("hours", "gaps"),
    [(office(), []), (nights(), ["asleep_primary"]), (UNKNOWN, ["asleep_primary"]), (ALWAYS, [])],
)
def test_somebody_must_be_awake_at_that_hour_and_unknown_is_not_awake(hours, gaps):
    assert codes([person("Ada", "primary", hours=hours)], Rule("primary", awake=True)) == gaps


def test_the_backup_is_somebody_besides_one_primary():
    ada, bo, cy = person("Ada", "primary", order=2), person("Bo", "primary", order=1), person("Cy", "billing")
    assert codes([bo, ada, cy], Rule(BACKUP)) == []
    assert codes([bo, ada, cy], Rule(BACKUP, 2)) == ["no_backup"]
    assert codes([person("Dee", "technical"), cy], Rule(BACKUP)) == ["no_backup"]
    assert codes([person("Dee", "technical"), person("Eli", "emergency")], Rule(BACKUP)) == []


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("roles", [("primary",), ("primary", "technical"), ("primary", "emergency")])
def test_the_only_proven_person_is_not_primary_and_backup_at_once(order, roles):
    people = [person("Ada", "primary", proven_at=None, order=2), person("Bo", *roles, order=order)]
    assert codes(people, *BeginRule().rules()) == ["unproven_backup"]
    if "emergency" in roles:
        assert codes(people, *PRESETS["around_the_clock"].rules)[0] == "unproven_backup"


def test_the_only_one_awake_is_not_primary_and_backup_at_once():
    people = [person("Ada", "primary", hours=nights()), person("Bo", "primary", order=3)]
    assert codes(people, *BeginRule().rules()) == ["asleep_backup"]


def test_who_is_the_primary_is_chosen_so_that_the_others_cover_the_hours():
    rules = (Rule("primary"), Rule(BACKUP, around_the_clock=True))
    always, day = person("Ada", "primary"), person("Bo", "primary", hours=office(), order=2)
    assert codes([always, day], *rules) == []
    assert codes([person("Ada", "primary"), person("Bo", "billing")], *rules) == ["no_backup"]
    assert codes([day, person("Cy", "primary", hours=nights())], *rules) == ["uncovered_backup"]


ROLES = st.sampled_from(("primary", "technical", "emergency", "billing"))
PEOPLE = st.lists(
    st.builds(
        Person,
        name=st.sampled_from(("Ada", "Bo", "Cy", "Dee")),
        roles=st.frozensets(ROLES, max_size=3),
        hours=st.sampled_from((ALWAYS, UNKNOWN, office(), nights("Asia/Tokyo"))),
        has_phone=st.booleans(),
        is_bouncing=st.booleans(),
        is_valid=st.booleans(),
        proven_at=st.sampled_from((None, FRESH, OLD)),
        order=st.integers(1, 3),
    ),
    max_size=5,
)
RULES = st.builds(
    Rule,
    role=st.sampled_from(("primary", BACKUP, "technical", "emergency")),
    count=st.integers(1, 3),
    around_the_clock=st.booleans(),
    proven_within_days=st.sampled_from((None, 90, 365)),
    awake=st.booleans(),
)


CALLED = st.lists(
    st.builds(
        person,
        st.just("Ada"),
        st.sampled_from(("primary", "technical", "billing")),
        st.sampled_from(("primary", "emergency")),
        hours=st.sampled_from((ALWAYS, nights())),
        proven_at=st.sampled_from((None, FRESH)),
        order=st.integers(1, 2),
    ),
    min_size=2,
    max_size=3,
)
BEGINS = st.builds(
    BeginRule,
    proven_within_days=st.sampled_from((90, 365)),
    needs_backup=st.booleans(),
    needs_awake=st.booleans(),
)


def holds(people, rule):
    """Whether there are two different people of whom one is a primary, each proven and awake where it is asked."""
    since = NOW - timedelta(days=rule.proven_within_days)
    there = [
        one
        for one in people
        if one.is_valid
        and one.has_a_way
        and one.roles & {"primary", "technical", "emergency"}
        and one.proven_at is not None
        and one.proven_at >= since
        and (not rule.needs_awake or reachable_at(one.hours, NOW))
    ]
    primaries = [one for one in there if "primary" in one.roles]
    return bool(primaries) and (not rule.needs_backup or len(there) > 1)


@settings(max_examples=200)
@given(CALLED)
def test_a_run_may_begin_exactly_where_two_different_people_can_be_called(people):
    assert (not gaps_in(people, BeginRule().rules(), at=NOW)) is holds(people, BeginRule())


@given(PEOPLE, BEGINS)
def test_so_it_is_whatever_is_asked_of_the_two(people, rule):
    assert (not gaps_in(people, rule.rules(), at=NOW)) is holds(people, rule)


@given(PEOPLE | CALLED, st.sampled_from(sorted(PRESETS)))
def test_no_preset_is_met_by_one_person_where_it_asks_for_a_backup(people, preset):
    rules = PRESETS[preset].rules
    backups = [rule for rule in rules if rule.role == BACKUP]
    primary = next(rule for rule in rules if rule.role == "primary")
    if not gaps_in(people, rules, at=NOW):
        days = [rule.proven_within_days for rule in (primary, *backups)]
        led, helped = ([one for one in people if _is_proven(one, within)] for within in (days[0], days[-1]))
        assert any("primary" in one.roles for one in led)
        assert not backups or any(
            a is not b and b.roles & {"primary", "technical", "emergency"}
            for a in led
            if "primary" in a.roles
            for b in helped
        )


def _is_proven(person, days):
    if not (person.is_valid and person.has_a_way):
        return False
    return days is None or (person.proven_at is not None and person.proven_at >= NOW - timedelta(days=days))


@given(PEOPLE, RULES)
def test_a_harder_rule_never_has_fewer_gaps(people, rule):
    def unmet(rule):
        return bool(gaps_in(people, [rule], at=NOW))

    harder = Rule(rule.role, rule.count + 1, True, 90, True)
    assert not unmet(rule) or unmet(harder)


@given(PEOPLE, RULES)
def test_one_more_person_who_fits_everything_never_opens_a_gap(people, rule):
    more = person("Zoe", "primary", "technical", "emergency", order=9)
    if not gaps_in(people, [rule], at=NOW):
        assert not gaps_in([*people, more], [rule], at=NOW)


@given(PEOPLE, RULES)
def test_every_gap_says_what_to_do(people, rule):
    for gap in gaps_in(people, [rule], at=NOW):
        assert gap.says.endswith(".")
        assert gap.todo.endswith(".")
        assert not gap.says[0].islower()
        assert "  " not in str(gap)
        # What is kept of a gap names nobody.
        assert not any(name in str(gap) for name in ("Ada", "Bo", "Cy", "Dee"))


STRETCHES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=5)


@given(st.lists(STRETCHES, max_size=3), st.integers(1, 3))
def test_the_sweep_agrees_with_looking_at_each_hour(everybody, count):
    from accounts.contacts.hours import merged

    hour = timedelta(hours=1)
    people = [merged((NOW + a * hour, NOW + (a + b) * hour) for a, b in one) for one in everybody]
    found = below(people, count, NOW, NOW + 60 * hour)
    for step in range(60):
        at = NOW + step * hour + hour / 2
        there = sum(any(b <= at < e for b, e in one) for one in people)
        assert any(b <= at < e for b, e in found) is (there < count)


@given(
    st.lists(
        RULES.map(lambda rule: Rule(rule.role, rule.count, rule.around_the_clock, rule.proven_within_days)),
        min_size=1,
        max_size=5,
    )
)
def test_rules_are_kept_and_read_back_as_they_are(rules):
    assert rules_of(kept(rules)) == tuple(rules)


@pytest.mark.parametrize(
    "given_",
    [
        [],
        [{"role": "boss"}],
        [{"role": "primary", "count": 0}],
        [{"role": "primary", "count": True}],
        [{"role": "primary", "proven_within_days": 0}],
        [{"role": "primary", "around_the_clock": "yes"}],
        [{"role": "primary", "else": 1}],
        [{"role": "primary"}] * 21,
    ],
)
def test_rules_of_another_shape_are_refused_in_words(given_):
    with pytest.raises(Refused):
        rules_of(given_)


def test_a_rule_reads_like_a_person_says_it():
    assert in_words(Rule("emergency", 2, True, 90)) == (
        "2 emergency contacts, proven in the last 90 days and reachable at every hour"
    )
    assert in_words(Rule(BACKUP)) == "a backup besides the primary"
