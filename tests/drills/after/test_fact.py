"""When the next drill is due, and whether what the last one showed still holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.facts import Grade, ask_one, fact_of
from accounts.known_facts import HandAnswer
from accounts.models import Account
from accounts.reviews.models import Standing
from accounts.reviews.standing import look_at_all
from capacity.pool_sizes import sizes_of
from capacity.reports.models import SizedPool
from drills.after.fact import DrillsKnown, NewestOf, gather, judge
from drills.after.freshness import out_of_date
from drills.figures import Judged
from drills.plans.models import HeldDrill
from drills.scenarios.types import DrillKind
from portal.runs.models import Run
from scaledown.models import Plan, Retirement
from tests.drills.after.rows import over
from tests.drills.rows import started

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def newest(result=Judged.MET, *, days_ago=10, due=date(2026, 8, 1), title="One node lost", stale=""):
    return NewestOf(title, result, DrillKind.ANNOUNCED, NOW - timedelta(days=days_ago), due, stale)


def found(*ones, open_actions=0, hand=None):
    return judge(DrillsKnown(ones, open_actions, hand), NOW)


@pytest.mark.parametrize(
    ("due", "grade"),
    [
        (date(2026, 5, 31), Grade.RED),
        (date(2026, 6, 1), Grade.AMBER),
        (date(2026, 6, 15), Grade.AMBER),
        (date(2026, 6, 16), Grade.GREEN),
    ],
)
def test_overdue_is_red_and_soon_is_amber(due, grade):
    finding = found(newest(due=due))
    assert finding.grade is grade
    assert not finding.by_hand
    assert str(due) in finding.says or "overdue" in finding.says


def test_what_failed_is_held_again_though_another_scenario_was_held_since():
    failed = newest(Judged.NOT_MET, days_ago=40, due=date(2026, 5, 20), title="Host failure")
    finding = found(failed, newest())
    assert finding.grade is Grade.RED
    assert "“Host failure” is 12 days overdue" in finding.says
    later = replace(failed, due_on=date(2026, 7, 20))
    assert found(later, newest()).grade is Grade.AMBER
    assert "to be held again by 2026-07-20" in found(later, newest()).says


def test_a_scenario_that_passed_long_ago_is_not_overdue_while_others_are_held():
    old = newest(days_ago=200, due=date(2026, 2, 1), title="Host failure")
    assert found(old, newest()).grade is Grade.GREEN


def test_evidence_of_another_size_is_amber():
    finding = found(
        newest(stale="The evidence is out of date: the pool has shrunk from 6 to 4 servers since the drill.")
    )
    assert finding.grade is Grade.AMBER
    assert "from 6 to 4" in finding.says


def test_by_hand_remains_where_no_drill_was_held():
    answer = HandAnswer("green", date(2026, 5, 1), date(2026, 8, 1))
    assert found(hand=answer).by_hand
    assert found(hand=answer).grade is Grade.GREEN
    assert found().grade is Grade.UNKNOWN
    assert judge(None, NOW).grade is Grade.UNKNOWN


def test_it_holds_until_the_day_on_which_the_next_is_due():
    finding = found(newest(due=date(2026, 8, 1)))
    assert finding.expires_at == datetime(2026, 8, 2, tzinfo=UTC)
    assert ("open action items", 3) in found(newest(), open_actions=3).parts


@pytest.mark.django_db
class TestOfAccounts:
    def test_the_fact_comes_from_drills_that_were_held(self, here):
        assert fact_of("fire_drill").gather is gather
        assert ask_one(here.account, timezone.now(), keys={"fire_drill"})["fire_drill"].by_hand
        over(here, ago_days=3)
        finding = ask_one(here.account, timezone.now(), keys={"fire_drill"})["fire_drill"]
        assert (finding.grade, finding.by_hand) == (Grade.GREEN, False)
        assert "met its hypothesis" in finding.says

    def test_overdue_stands_on_the_monday_list_and_the_scorecard(self, here, client):
        held = over(here)
        HeldDrill.objects.filter(pk=held.pk).update(ended_at=timezone.now() - timedelta(days=500))
        look_at_all(timezone.now())
        assert Standing.objects.get(account=here.account, key="fire_drill").grade == "red"
        client.force_login(here.manager)
        shown = client.get(reverse("accounts:monday")).content.decode()
        assert "overdue" in shown
        assert "Hold a drill" in shown
        assert (
            "overdue"
            in client.get(reverse("accounts:account-detail", args=[here.account.ref])).content.decode()
        )

    def test_a_drill_under_way_or_one_that_proves_nothing_counts_as_none(self, here):
        held = over(here, "host_failure")
        HeldDrill.objects.filter(pk=held.pk).update(result="drill_invalid")
        started(here)
        assert ask_one(here.account, timezone.now(), keys={"fire_drill"})["fire_drill"].by_hand

    def test_it_costs_the_same_for_many_accounts(self, here):
        over(here)

        def cost():
            with CaptureQueriesContext(connection) as asked:
                gather(Account.objects.all(), timezone.now())
            return len(asked)

        few = cost()
        for _ in range(3):
            over(here)
        assert cost() == few <= 8


def sized(here, servers, at):
    return SizedPool.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id="71",
        name="web",
        servers=servers,
        seen_at=at,
    )


def scaled_down(here, plan, ended, phases, **more):
    run = Run.objects.create(
        account=here.account,
        kind="scaledown",
        plan_ref=plan.ref,
        title=plan.title,
        plan={"balancer_ids": ["71"], "servers": [{}, {}, {}], "remaining": [{}, {}, {}]},
        digest="c" * 64,
        status="completed",
        ended_at=ended,
        created_by=here.manager,
        **more,
    )
    for place, phase in enumerate(phases):
        Retirement.objects.create(
            run=run, position=place, server_id=f"s{place}", server_name=f"web-{place}", phase=phase
        )


@pytest.mark.django_db
class TestOutOfDate:
    def test_a_pool_of_another_size_makes_the_evidence_out_of_date_everywhere(self, here, client):
        held = over(here)
        client.force_login(here.viewer)
        report, listed, of_all = (
            reverse("drills:drill-report", args=[held.drill.ref]),
            reverse("drills:drill-list", args=[here.account.ref]),
            reverse("drills:home"),
        )
        over_time = reverse("drills:drills-over-time", args=[here.account.ref, "node_lost"])
        drill = reverse("drills:drill", args=[held.drill.ref])
        says = "has shrunk from 6 to 4 servers"
        for address in (report, listed, of_all, over_time, drill):
            assert says not in client.get(address).content.decode()
        pool = sized(here, 4, timezone.now())
        for address in (report, listed, of_all, over_time, drill):
            assert says in client.get(address).content.decode(), address
        finding = ask_one(here.account, timezone.now(), keys={"fire_drill"})["fire_drill"]
        assert finding.grade is Grade.AMBER
        assert says in finding.says
        pool.servers = 6
        pool.save()
        assert out_of_date([held]) == {}

    def test_what_was_seen_before_the_drill_or_of_another_pool_says_nothing(self, here):
        held = over(here)
        sized(here, 4, held.ended_at - timedelta(hours=1))
        assert out_of_date([held]) == {}
        SizedPool.objects.update(balancer_id="72", seen_at=timezone.now())
        assert out_of_date([held]) == {}

    def test_a_finished_scale_down_is_seen_without_asking_the_provider(self, here):
        held = over(here)
        plan = Plan.objects.create(
            account=here.account, connection=here.connection, title="After Black Friday", author=here.manager
        )
        ended = timezone.now() + timedelta(minutes=5)
        phases = ("retired", "retired", "restored")
        scaled_down(here, plan, ended + timedelta(hours=1), ("retired",) * 3, is_rehearsal=True)
        scaled_down(here, plan, ended, phases)
        newest_size = sizes_of(Account.objects.filter(pk=here.account.pk))[
            here.account.pk, here.connection.pk, "71"
        ]
        assert (newest_size.size, newest_size.at) == (4, ended)
        assert "from 6 to 4" in out_of_date([held])[held.pk]

    def test_a_later_drill_of_the_pool_shows_its_size_too(self, here):
        held, later = over(here, ago_days=9), over(here)
        HeldDrill.objects.filter(pk=later.pk).update(pool_size=8)
        assert "has grown from 6 to 8" in out_of_date([held])[held.pk]
