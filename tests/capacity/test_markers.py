"""Markers: kept once, told, read by page and API; a run that goes on pauses before its next server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, AccountStatus
from capacity.markers import selectors, services
from capacity.markers.models import Marker
from portal.audit.models import AuditEntry
from portal.errors import Refused
from portal.events.models import Event
from portal.notify.models import Message
from portal.runs.models import Run, RunCommand
from portal.runs.types import BECAUSE_CHANGED, RunStatus
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller
from tests.scaledown.test_services import started

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def here():
    return desk()


def post(here, **more):
    given = {"kind": "deployment", "title": "shop 4.2", "actor": here.editor, **more}
    return services.post(here.account, **given)


def going(here, status=RunStatus.RUNNING, since=MINUTE) -> Run:
    run = started(here)
    Run.objects.filter(pk=run.pk).update(status=status, started_at=timezone.now() - since)
    run.refresh_from_db()
    return run


def test_a_marker_is_kept_told_and_on_record_and_the_same_again_is_there_once(here):
    at = timezone.now()
    row, held = post(here, at=at, software="4.2.0", source="github/shop")
    again, _ = post(here, at=at, software="4.2.0", source="elsewhere")
    assert (row.pk, held) == (again.pk, 0)
    assert Marker.objects.count() == 1
    assert AuditEntry.objects.filter(what="marker.posted").count() == 1
    event = Event.objects.get(type="marker.posted")
    assert (event.data["kind"], event.data["runs_held"]) == ("deployment", 0)
    assert "shop" not in str(event.data), "what somebody typed is in no event"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"title": "  "}, "title_missing"),
        ({"title": "the support PIN is 123456"}, "pin"),
        ({"at": timezone.now() + timedelta(hours=1)}, "bad_moment"),
        ({"at": timezone.now() - timedelta(days=400)}, "bad_moment"),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused_and_nothing_is_kept(here, given, code):
    with pytest.raises(Refused) as refusal:
        post(here, **given)
    assert refusal.value.code == code
    assert not Marker.objects.exists()


def test_an_archived_account_takes_no_marker(here):
    Account.objects.filter(pk=here.account.pk).update(status=AccountStatus.ARCHIVED)
    with pytest.raises(Refused) as refusal:
        post(here)
    assert refusal.value.code == "archived"


def test_a_day_has_an_end_to_its_markers(here, monkeypatch):
    monkeypatch.setattr(services, "MOST_A_DAY", 2)
    post(here, title="one")
    post(here, title="two")
    with pytest.raises(Refused) as refusal:
        post(here, title="three")
    assert refusal.value.code == "too_many"


def test_a_run_that_goes_on_is_held_before_its_next_server_and_who_is_in_charge_is_told(here):
    run = going(here)
    _, held = post(here)
    assert held == 1
    command = RunCommand.objects.get(run=run)
    assert (command.name, command.args) == ("pause", {"because": BECAUSE_CHANGED})
    assert "A deployment was announced: shop 4.2." in command.reason
    told = Message.objects.get(purpose="run_held")
    assert told.user == run.in_charge
    from portal.notify.sending import render

    mail = render(told)
    assert "A deployment was announced: shop 4.2." in mail.text
    assert "pauses" in mail.subject


def test_a_run_that_rests_has_it_in_its_journal_and_one_that_began_later_is_not_concerned(here):
    run = going(here, RunStatus.PAUSED, since=timedelta(hours=1))
    assert post(here)[1] == 0
    entry = run.journal.get(kind="site_changed")
    assert "shop 4.2" in entry.says
    assert "shop" not in entry.customer_says
    assert not RunCommand.objects.filter(run=run).exists()
    Run.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING)
    assert post(here, title="older", at=timezone.now() - timedelta(hours=2))[1] == 0
    assert not RunCommand.objects.filter(run=run).exists()


@pytest.mark.parametrize(("balancer", "held"), [("71", 1), ("99", 0)])
def test_a_marker_of_a_pool_holds_only_the_runs_of_that_pool(here, balancer, held):
    going(here)
    assert post(here, connection=here.connection, balancer_id=balancer)[1] == held


@pytest.mark.parametrize("status", [RunStatus.SCHEDULED, RunStatus.ROLLING_BACK, RunStatus.GROWING])
def test_a_run_that_takes_nothing_out_is_not_held(here, status):
    run = going(here, status)
    assert post(here)[1] == 0
    assert not RunCommand.objects.filter(run=run).exists()
    assert not run.journal.filter(kind="site_changed").exists()


def test_the_newest_marker_of_a_pool_is_its_own_or_the_accounts(here):
    now = timezone.now()
    everywhere, _ = post(here, title="all", at=now - 3 * MINUTE)
    own, _ = post(here, title="own", at=now - 2 * MINUTE, connection=here.connection, balancer_id="71")
    other, _ = post(here, title="other", at=now - MINUTE, connection=here.connection, balancer_id="99")
    of = {"connection_id": here.connection.pk, "balancer_ids": ["71"], "at": now}
    assert selectors.newest(here.account, **of) == own
    assert selectors.newest(here.account, **{**of, "balancer_ids": ["99"]}) == other
    assert selectors.newest(here.account, **{**of, "connection_id": None}) == everywhere
    assert selectors.newest(here.account, **of, after=own.at) is None
    assert selectors.between(here.account, everywhere.at, other.at) == [everywhere, own]


def test_a_pipeline_posts_by_the_api_and_reads_how_many_runs_it_holds(here):
    going(here)
    caller = Caller(here.editor)
    url = f"/accounts/{here.account.ref}/markers"
    body = {
        "kind": "configuration",
        "title": "cache 2 GB",
        "connection": str(here.connection.ref),
        "balancer_id": "71",
    }
    answer = caller.post(url, body, 201)
    assert answer["runs_held"] == 1
    assert answer["connection"] == str(here.connection.ref)
    assert [row["title"] for row in caller.get(url)["results"]] == ["cache 2 GB"]
    later = (timezone.now() + MINUTE).isoformat().replace("+00:00", "Z")
    assert caller.get(f"{url}?from={later}")["results"] == []
    caller.get(f"{url}?from=nonsense", 400)
    caller.post(url, {"kind": "other", "title": "x", "balancer_id": "71"}, 422)
    unknown = caller.post(url, {**body, "connection": "0b8f6b1e-0a5e-4d9b-9a5c-5a4f3c1f8a11"}, 422)
    assert unknown["type"].endswith(":unknown-connection")


def test_the_page_lists_announces_and_says_what_is_locked(here, client):
    going(here)
    client.force_login(here.editor)
    url = reverse("capacity:marker-list", args=[here.account.ref])
    bad = client.post(url, {"kind": "deployment", "title": ""})
    assert bad.status_code == 422
    done = client.post(
        url,
        {"kind": "deployment", "title": "<b>shop</b>", "pool": f"{here.connection.ref}:71"},
        follow=True,
    )
    html = done.content.decode()
    assert "One run pauses before the next server." in html
    assert "&lt;b&gt;shop&lt;/b&gt;" in html
    assert "DFW, load balancer 71" in html
    assert '<nav class="tabs tabs-sub" aria-label="Capacity">' in html
    client.force_login(here.viewer)
    assert "Announce it" not in client.get(url).content.decode()
    overview = client.get(reverse("accounts:account-detail", args=[here.account.ref])).content.decode()
    assert ">Capacity</a>" in overview
    assert ">Changes</a>" not in overview


def test_charts_show_the_changes_of_their_stretch(here, client):
    from capacity.metrics.overlays import moments_in

    now = timezone.now()
    post(here, title="shop 4.2", at=now - MINUTE)
    post(here, title="long ago", at=now - timedelta(days=300))
    (one,) = moments_in(here.account, now - timedelta(hours=1), now)
    assert (one.at, one.label) == (now - MINUTE, "shop 4.2")
    client.force_login(here.viewer)
    assert "shop 4.2" in client.get(one.url.partition("#")[0]).content.decode()


def test_the_list_needs_as_many_queries_for_many_markers_as_for_one(here, client):
    client.force_login(here.viewer)
    url = reverse("capacity:marker-list", args=[here.account.ref])
    counts = []
    for number in range(3):
        for each in range(3 * number + 1):
            post(here, title=f"{number} {each}", connection=here.connection, balancer_id="71")
        with CaptureQueriesContext(
            database,
        ) as queries:
            assert client.get(url).status_code == 200
        counts.append(len(queries))
    assert len(set(counts)) == 1, counts
