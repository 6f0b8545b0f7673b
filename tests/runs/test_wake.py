"""Hints: they are sent after the commit, may be lost, and a sweep finds what they would have told."""

from __future__ import annotations

import time

import pytest
import redis
from django.conf import settings as real_settings
from django.db import transaction

from portal.celery import app
from portal.runs import registry, services, tasks, wake
from tests.runs.desks import PgDesk


@pytest.fixture
def sent(monkeypatch):
    """Every wake-up that is asked for, instead of a message."""
    box = []
    monkeypatch.setattr(tasks.tend, "apply_async", lambda **given: box.append(given))
    monkeypatch.setattr(wake, "_state", type("State", (), {})())
    return box


@pytest.fixture
def desk(transactional_db):
    yield PgDesk()
    registry.forget_kind("toy")


def test_a_new_run_and_a_command_wake_a_tender_after_their_commit(desk, sent):
    with transaction.atomic():
        ref = desk.create()
        assert sent == []
    assert len(sent) == 1
    with transaction.atomic():
        desk.command(ref, "pause")
        assert len(sent) == 1
    assert len(sent) == 2


def test_a_change_that_was_rolled_back_wakes_nobody(desk, sent):
    with pytest.raises(RuntimeError), transaction.atomic():
        desk.create()
        raise RuntimeError
    assert sent == []


def test_without_redis_everything_is_accepted_and_nothing_waits_long(desk, monkeypatch):
    def away(**_given):
        raise redis.ConnectionError("away")

    monkeypatch.setattr(tasks.tend, "apply_async", away)
    monkeypatch.setattr(wake, "_state", type("State", (), {})())
    began = time.monotonic()
    for _ in range(20):
        desk.create()
    assert time.monotonic() - began < 5
    assert len(desk.store.claim_due(holder="w", limit=50, lease_s=15)) == 20


def test_the_sweep_wakes_what_a_lost_message_left(desk, sent):
    ref = desk.create()
    sent.clear()
    tasks.sweep()
    assert len(sent) == 1
    desk.store.release(desk.store.claim(ref, holder="w", lease_s=15), look_again_s=60)
    tasks.sweep()
    assert len(sent) == 1


def test_a_turn_asks_for_another_one_only_if_more_is_due_soon(desk, sent, monkeypatch):
    class Turns:
        def __init__(self, next_due_s):
            self.next_due_s = next_due_s

        def turn(self, budget_s):
            return self

    for next_due_s, messages in [(None, 0), (60.0, 0), (0.2, 1)]:
        sent.clear()
        monkeypatch.setattr(tasks, "_this_child", lambda due=next_due_s: Turns(due))
        tasks.tend()
        assert len(sent) == messages


def test_the_watchdog_is_pinged_once_a_minute_and_not_while_the_engine_sleeps(desk, settings, monkeypatch):
    pings = []
    monkeypatch.setattr(tasks.httpx, "get", lambda url, **_given: pings.append(url))
    monkeypatch.setattr(tasks, "_watchdog_at", float("-inf"))
    settings.WATCHDOG_URL = "https://watchdog.example/ping"
    tasks.ping_watchdog()
    tasks.ping_watchdog()
    assert pings == ["https://watchdog.example/ping"]
    desk.create()
    desk.pass_time(settings.RUNS["ASLEEP_AFTER_S"] + 1)
    monkeypatch.setattr(tasks, "_watchdog_at", float("-inf"))
    tasks.ping_watchdog()
    assert len(pings) == 1


def test_beat_sweeps_every_few_seconds_and_ticks_have_a_queue_of_their_own():
    app.finalize()
    swept = app.conf.beat_schedule["runs-sweep"]
    assert swept["task"] == "portal.runs.tasks.sweep"
    assert swept["schedule"] == real_settings.RUNS["SWEEP_S"]
    for name in ("portal.runs.tasks.tend", "portal.runs.tasks.sweep"):
        assert app.amqp.router.route({}, name)["queue"].name == "ticks"
        assert app.tasks[name].expires is not None


def test_nothing_is_created_for_a_kind_that_nobody_registered(desk):
    registry.forget_kind("toy")
    with pytest.raises(ValueError, match="not registered"):
        desk.create()
    with pytest.raises(ValueError, match="already"):
        registry.register_kind("toy", object)
        registry.register_kind("toy", list)
    assert services.standstills_for(["all"]) == []
