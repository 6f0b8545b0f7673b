"""What is known of how accounts stand: pure judges, and gathering for many accounts at once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts import known_facts as known
from accounts.facts import Act, Fact, Finding, Grade, ask, fact_of, facts, held_to_its_time, risk_of
from accounts.models import Account, AccountStatus, Contact, Membership
from accounts.reviews.models import ReviewSchedule, Standing, StandingLook
from accounts.reviews.standing import look_at_all
from portal.approvals.models import ApprovalRequest
from tests import factories as make

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
TODAY = NOW.date()


# --- pure ---------------------------------------------------------------------------------------------------


def people(listed=2, emergency=1, due=0, stale=0, unconfirmed=0, oldest=TODAY):
    return known.ContactsKnown(listed, emergency, due, stale, unconfirmed, oldest)


@pytest.mark.parametrize(
    ("seen", "grade"),
    [
        (None, Grade.UNKNOWN),
        (people(listed=0, emergency=0), Grade.RED),
        (people(emergency=0), Grade.RED),
        (people(unconfirmed=1), Grade.AMBER),
        (people(stale=2), Grade.RED),
        (people(due=2), Grade.AMBER),
        (people(), Grade.GREEN),
    ],
)
def test_contacts_are_judged_by_who_is_listed_and_how_fresh(seen, grade):
    assert known.judge_contacts(seen, NOW).grade is grade


def test_a_green_finding_says_until_when_it_holds_and_is_unknown_after():
    found = known.judge_contacts(people(oldest=date(2026, 9, 1)), NOW)
    assert (found.grade, found.expires_at) == (Grade.GREEN, datetime(2026, 12, 1, tzinfo=UTC))
    assert held_to_its_time(found, found.expires_at - timedelta(seconds=1)) == found
    late = held_to_its_time(found, found.expires_at)
    assert late.grade is Grade.UNKNOWN
    assert "is over" in late.says


def access(members=3, admins=2, approvers=2, never=0, without=0, invited=0, tokens=0):
    return known.AccessKnown(members, admins, approvers, never, without, invited, tokens)


@pytest.mark.parametrize(
    ("seen", "grade", "word"),
    [
        (None, Grade.UNKNOWN, ""),
        (access(admins=0), Grade.RED, "administers"),
        (access(admins=1), Grade.AMBER, "Only one admin"),
        (access(never=1), Grade.AMBER, "never logged in"),
        (access(without=2), Grade.AMBER, "2 members have no second factor"),
        (access(invited=1), Grade.AMBER, "invitation waits"),
        (access(tokens=1), Grade.AMBER, "token ends"),
        (access(without=None), Grade.GREEN, ""),
        (access(), Grade.GREEN, ""),
    ],
)
def test_access_is_judged_by_admins_factors_and_what_ends(seen, grade, word):
    found = known.judge_access(seen, NOW)
    assert found.grade is grade
    assert word in found.says


def review(last=None, next_on=None, under=None, age=400):
    return known.ReviewKnown(NOW - timedelta(days=age), last, next_on, under)


@pytest.mark.parametrize(
    ("seen", "grade"),
    [
        (review(age=29), Grade.UNKNOWN),
        (review(age=30), Grade.AMBER),
        (review(next_on=TODAY - timedelta(days=1)), Grade.RED),
        (review(TODAY - timedelta(days=90), TODAY - timedelta(days=1)), Grade.RED),
        (review(TODAY - timedelta(days=90), TODAY), Grade.AMBER),
        (review(TODAY - timedelta(days=76), TODAY + timedelta(days=14)), Grade.AMBER),
        (review(TODAY - timedelta(days=75), TODAY + timedelta(days=15)), Grade.GREEN),
        (review(TODAY), Grade.AMBER),
    ],
)
def test_reviews_are_judged_by_their_date(seen, grade):
    assert known.judge_review(seen, NOW).grade is grade


@pytest.mark.parametrize(
    ("open_ones", "overdue", "grade"),
    [(0, 0, Grade.GREEN), (5, 0, Grade.GREEN), (6, 0, Grade.AMBER), (1, 1, Grade.RED)],
)
def test_more_than_five_action_items_are_amber_and_an_overdue_one_red(open_ones, overdue, grade):
    assert known.judge_actions(known.ActionsKnown(open_ones, overdue, TODAY), NOW).grade is grade


@pytest.mark.parametrize(
    ("hours", "grade"), [(23, Grade.GREEN), (25, Grade.AMBER), (72, Grade.AMBER), (73, Grade.RED)]
)
def test_an_approval_that_nobody_answers_gets_worse(hours, grade):
    seen = known.ApprovalsKnown(1, NOW - timedelta(hours=hours))
    assert known.judge_approvals(seen, NOW).grade is grade


def test_what_people_answer_holds_until_the_next_review_and_is_unknown_before_and_after():
    answer = known.HandAnswer("green", TODAY - timedelta(days=10), TODAY)
    assert known.judge_by_hand(None, NOW, why="Later.").grade is Grade.UNKNOWN
    assert known.judge_by_hand(answer, NOW, why="").grade is Grade.GREEN
    assert known.judge_by_hand(answer, NOW + timedelta(days=1), why="").grade is Grade.UNKNOWN


@given(st.sampled_from(list(Grade)), st.integers(0, 2000), st.sampled_from(list(Grade)), st.integers(0, 2000))
def test_a_worse_grade_is_always_before_a_better_one(one, order, other, other_order):
    def risk(grade, place):
        fact = Fact("x", "X", lambda a, n: {}, lambda v, n: v, Act("", lambda a: ""), order=place)
        return risk_of(fact, Finding(grade, "", ""))

    worst = [Grade.RED, Grade.AMBER, Grade.UNKNOWN, Grade.GREEN]
    if worst.index(one) < worst.index(other):
        assert risk(one, order) > risk(other, other_order)


# --- gathered -----------------------------------------------------------------------------------------------


def fill(account):
    make.contact(account, roles=["emergency"], confirmed_on=timezone.now().date())
    make.member(account, "admin")
    make.review(account, make.launch_manager(account.team))
    make.action(account, due_in=-3)


@pytest.mark.django_db
def test_many_accounts_are_asked_by_as_many_queries_as_one():
    team = make.team()
    fill(make.account(of=team))
    now = timezone.now()

    def cost():
        with CaptureQueriesContext(connection) as seen:
            found = ask(Account.objects.filter(team=team), now)
        return len(seen), found

    one, _ = cost()
    for _ in range(4):
        fill(make.account(of=team))
    five, found = cost()
    assert five == one <= 40
    assert len(found) == 5
    assert {key for findings in found.values() for key in findings} == {fact.key for fact in facts()}


@pytest.mark.django_db
def test_each_account_is_judged_by_its_own_values():
    account, other = make.account(), make.account()
    make.contact(account, roles=["emergency"], confirmed_on=timezone.now().date())
    Contact.objects.create(account=other, name="A", email="a@b.example")
    boss = make.member(account, "admin")
    Membership.objects.filter(user=boss).update(granted_at=timezone.now() - timedelta(days=15))
    make.approval(account, make.member(account, "editor"))
    ApprovalRequest.objects.update(created_at=timezone.now() - timedelta(days=4))
    found = ask(Account.objects.all(), timezone.now())
    assert found[account.pk]["contacts"].grade is Grade.GREEN
    assert "No emergency contact" in found[other.pk]["contacts"].says
    assert found[account.pk]["approvals"].grade is Grade.RED
    assert found[other.pk]["approvals"].grade is Grade.GREEN
    parts = dict(found[account.pk]["access"].parts)
    assert (parts["admins"], parts["never logged in"], parts["members"]) == (1, 1, 2)
    assert found[other.pk]["access"].grade is Grade.RED
    assert found[account.pk]["baseline"].by_hand
    assert found[account.pk]["baseline"].grade is Grade.UNKNOWN


@pytest.mark.django_db
def test_standings_are_kept_for_what_is_not_green_and_written_only_where_something_turned():
    account = make.account()
    archived = make.account(status=AccountStatus.ARCHIVED)
    assert look_at_all(timezone.now()) == 1
    rows = {row.key: row for row in Standing.objects.all()}
    assert rows["contacts"].grade == "red"
    assert not Standing.objects.filter(account=archived).exists()
    assert "approvals" not in rows
    first = rows["contacts"]
    later = timezone.now() + timedelta(minutes=5)
    make.contact(account, roles=["emergency"], confirmed_on=None)
    look_at_all(later)
    row = Standing.objects.get(key="contacts")
    # Still red, by another rule: it stands so since it first did.
    assert (row.grade, row.since, row.pk) == ("red", first.since, first.pk)
    Contact.objects.update(confirmed_on=later.date())
    look_at_all(later)
    assert not Standing.objects.filter(key="contacts").exists()
    assert StandingLook.objects.get().accounts == 1
    Account.objects.filter(pk=account.pk).update(status=AccountStatus.ARCHIVED)
    look_at_all(later)
    assert not Standing.objects.exists()


@pytest.mark.django_db
def test_a_schedule_that_is_over_shows_on_the_account():
    account = make.account()
    ReviewSchedule.objects.create(account=account, next_on=timezone.now().date() - timedelta(days=2))
    found = ask(Account.objects.all(), timezone.now(), keys={"review"})[account.pk]["review"]
    assert found.grade is Grade.RED
    assert fact_of("review").act.label == "Hold a review"
