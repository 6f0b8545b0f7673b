"""The children of a worker share what it has loaded."""

from __future__ import annotations

import gc

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
