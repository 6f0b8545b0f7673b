"""How many queries each page of loads costs: stated here, and the same however many profiles and runs there are."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from capacity.loads.models import LoadRun
from portal.runs.models import Run
from tests.loads import rows

pytestmark = pytest.mark.django_db

# The most that each page may take, as the launch manager. A page that needs more says why in its commit.
MOST = {
    "profile-list": 6,
    "profile-new": 5,
    "profile": 8,
    "profile-withdraw": 4,
    "load": 10,
}


def costs(client, here, load) -> dict[str, int]:
    found = {}
    for name, ref in (
        ("profile-list", here.account.ref),
        ("profile-new", here.account.ref),
        ("profile", load.profile.ref),
        ("profile-withdraw", load.profile.ref),
        ("load", load.ref),
    ):
        address = reverse(f"capacity:{name}", args=[ref])
        # A run that is overdue is told of on every page, by queries of its own: on a slow machine this one was.
        Run.objects.filter(next_tick_at__isnull=False).update(next_tick_at=timezone.now())
        client.get(address)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(address).status_code == 200, name
        found[name] = len(asked)
    return found


def another_run(load):
    """A load that is over beside the one that is on."""
    run = Run.objects.get(pk=load.run_id)
    run.pk, run.ref, run.plan_ref = None, uuid.uuid4(), uuid.uuid4()
    run.status, run.next_tick_at, run.ended_at = "aborted", None, timezone.now()
    run.save()
    other = LoadRun.objects.get(pk=load.pk)
    other.pk, other.ref, other.run = None, run.plan_ref, run
    other.save()


def test_every_page_costs_what_is_stated_and_no_more_with_many_rows(here, site, client):
    client.force_login(here.manager)
    rows.prove(here, site)
    load = rows.started(here, site)
    few = costs(client, here, load)
    assert {name: few[name] for name in MOST if few[name] > MOST[name]} == {}
    for number in range(8):
        rows.approved(here, site, name=f"Profile {number}")
        another_run(load)
    assert costs(client, here, load) == few
