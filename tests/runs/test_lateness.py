"""What an event loop cannot attend to in time is told; what it waits for is not."""

from __future__ import annotations

import asyncio
import time

from portal.runs.lateness import SLACK_S, STEP_S, lateness


def block(seconds):
    """Hold the loop, as a long callback does."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def late_while(doing):
    async def watched():
        with lateness() as late_s:
            await doing()
            return late_s()

    return asyncio.run(watched())


def test_waiting_is_not_lateness():
    async def waits():
        await asyncio.sleep(0.3)

    assert late_while(waits) < 0.15  # a machine that is busy makes it late for real


def test_a_loop_that_is_held_is_late_for_as_long():
    async def held():
        await asyncio.sleep(2 * STEP_S)
        block(0.2)

    assert 0.2 - STEP_S - SLACK_S <= late_while(held) < 0.5


def test_several_short_stretches_count_together():
    async def held():
        for _ in range(5):
            await asyncio.sleep(0.001)
            block(0.05)

    # Each may begin right after a beat.
    assert 5 * (0.05 - STEP_S - SLACK_S) <= late_while(held) < 0.7


def test_each_is_told_of_its_own_time():
    async def watched():
        with lateness() as of_all:
            await asyncio.sleep(2 * STEP_S)
            block(0.2)
            with lateness() as of_later:
                await asyncio.sleep(2 * STEP_S)
                block(0.05)
                return of_all(), of_later()

    of_all, of_later = asyncio.run(watched())
    assert of_all >= 0.2 + 0.05 - 2 * (STEP_S + SLACK_S)
    assert 0.05 - STEP_S - SLACK_S <= of_later < of_all - 0.1


def test_nothing_beats_where_nobody_asks():
    async def beats():
        with lateness():
            await asyncio.sleep(0)
        # What is over keeps no timer: a loop that rests is not woken a hundred times a second.
        return [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]

    assert asyncio.run(beats()) == []


def test_what_was_late_before_is_not_counted_again():
    async def watched():
        with lateness():
            await asyncio.sleep(2 * STEP_S)
            block(0.1)
        with lateness() as late_s:
            await asyncio.sleep(0.05)
            return late_s()

    assert asyncio.run(watched()) < 0.04
