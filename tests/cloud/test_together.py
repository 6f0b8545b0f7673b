"""Several questions at once: all answers, or none and nobody left behind."""

from __future__ import annotations

import asyncio

import pytest

from portal.cloud.together import together


async def answer(value, after_s=0.0):
    await asyncio.sleep(after_s)
    return value


async def fail(after_s=0.0):
    await asyncio.sleep(after_s)
    raise ValueError("no")


def test_answers_come_in_the_order_of_the_questions():
    assert asyncio.run(together(answer(1, 0.02), answer(2))) == [1, 2]
    assert asyncio.run(together()) == []


def left_after(work):
    async def run():
        with pytest.raises((ValueError, TimeoutError)):
            await work()
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    return asyncio.run(run())


def test_when_one_fails_the_others_have_ended_before_it_is_told():
    assert left_after(lambda: together(fail(), answer(1, 60.0), together(answer(2, 60.0)))) == []


def test_when_time_is_up_all_have_ended():
    async def within():
        async with asyncio.timeout(0.02):
            await together(answer(1, 60.0), together(answer(2, 60.0)))

    assert left_after(within) == []
