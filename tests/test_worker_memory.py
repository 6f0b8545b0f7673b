"""The children of a worker share what it has loaded."""

from __future__ import annotations

import gc
import subprocess
import sys

from celery.signals import worker_before_create_process

import portal.celery  # noqa: F401  listens


def test_the_collector_of_a_child_leaves_alone_what_the_worker_has_loaded():
    gc.unfreeze()
    try:
        worker_before_create_process.send(sender=None)
        frozen = gc.get_freeze_count()
        assert frozen > 10_000
        worker_before_create_process.send(sender=None)  # a child that takes the place of one that died
        assert abs(gc.get_freeze_count() - frozen) < 1000
    finally:
        gc.unfreeze()


FIRST_OF_A_CHILD = """
import os, sys
import celery.platforms, httpx, portal.celery
portal.celery.app.loader.import_default_modules()
portal.celery.load_what_children_need()
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
before = set(sys.modules)
import asyncio
from django.urls import get_resolver, reverse
assert get_resolver()._populated
async def ask():
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            await http.get("http://127.0.0.1:9/")
        except httpx.ConnectError:
            pass
asyncio.run(ask())
reverse("login")
celery.platforms.set_pdeathsig("SIGKILL")
portal.celery.app.backend
print(*sorted(set(sys.modules) - before))
"""


def test_what_each_child_would_load_its_parent_has_loaded():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIRST_OF_A_CHILD], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
