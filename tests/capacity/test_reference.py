"""What a pool is held against: entered by hand with source, author and age, through page and API."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from capacity import services
from capacity.events import add_event
from capacity.markers.models import Marker
from capacity.metrics.models import Metric
from capacity.models import Baseline, Ceiling, FineLoad, Objective
from capacity.reference import BASELINES_READ, FINE_FOR, Site, event_at, reference_for, sizes_of
from capacity.reports.models import DetectedEvent, GrowthReport, ReportState, SizedPool
from portal.audit.models import AuditEntry
from portal.errors import Refused
from scaledown.known import known_for
from tests import factories as make

pytestmark = pytest.mark.django_db

OBJECTIVE = {"error_ratio": 0.001, "latency_ms": 400.0, "source": "contract"}
LOW = {"latency_p50_ms": 80.0, "latency_p95_ms": 120.0, "source": "an hour of probes"}


@pytest.fixture
def connection():
    return make.connection(make.account())


def found(connection, at=None):
    return reference_for(connection.account, Site(connection.ref, "71"), at or timezone.now())


def enter(what, connection, **fields):
    values = {"at": timezone.now(), "actor": None, **fields}
    return getattr(services, f"enter_{what}")(connection.account, connection, "71", **values)


def test_everything_stands_there_with_source_author_and_age(connection, django_assert_max_num_queries):
    person = make.launch_manager(connection.account.team)
    now = timezone.now()
    enter("objective", connection, actor=person, **OBJECTIVE)
    enter("baseline", connection, actor=person, measured_at=now - timedelta(days=1), **LOW)
    enter(
        "fine_load",
        connection,
        actor=person,
        requests_per_s=55.0,
        seen_at=now - timedelta(days=2),
        source="Monday",
    )
    with django_assert_max_num_queries(9):
        known = found(connection)
    assert (known.objective.error_ratio, known.objective.latency_share) == (0.001, 0.95)
    assert {known.objective.author, known.baselines[0].author, known.fine_load.author} == {str(person)}
    assert known.baselines[0].age_s(now) == pytest.approx(86_400, abs=5)
    assert known.fine_load.age_s(now) == pytest.approx(2 * 86_400, abs=5)
    assert known.ceiling is None
    assert {entry.what for entry in AuditEntry.objects.filter(account_ref=connection.account.ref)} >= {
        "objective.entered",
        "baseline.entered",
        "fine_load.entered",
    }


def sized_by_report(connection, peak, *, made_s=60, peak_in=timedelta(days=3)):
    """The pool is sized by a series of which a report expects its highest hour."""
    now = timezone.now()
    metric = Metric.objects.create(
        account=connection.account, name="requests_per_s", source="test", unit="requests/s", kind="throughput"
    )
    SizedPool.objects.create(
        account=connection.account, connection=connection, balancer_id="71", name="web", metric=metric
    )
    made_at = now - timedelta(seconds=made_s)
    return GrowthReport.objects.create(
        metric=metric,
        state=ReportState.MADE,
        asked_at=made_at,
        made_at=made_at,
        analysed_until=made_at,
        next_peak=peak,
        next_peak_at=now + peak_in,
    )


@pytest.mark.parametrize(("entered", "counts"), [(None, 640.0), (500.0, 640.0), (900.0, 900.0)])
def test_of_the_entered_and_the_measured_peak_the_higher_one_counts(connection, entered, counts):
    report = sized_by_report(connection, 640.0)
    if entered is not None:
        enter("forecast_peak", connection, requests_per_s=entered, source="the customer")
    peak = found(connection).forecast_peak
    assert peak.requests_per_s == counts
    if counts == 640.0:
        assert (peak.source, peak.author) == ("growth report of requests_per_s", "")
        assert (peak.at, peak.expected_at) == (report.made_at, report.next_peak_at)


def test_a_measured_peak_counts_from_when_it_was_known_until_its_series_ended(connection):
    """Its likeliest hour is one of four weeks': once that is over, the others are hardly lower."""
    report = sized_by_report(connection, 640.0, made_s=3600, peak_in=timedelta(days=1))
    assert found(connection).forecast_peak.expected_at == report.next_peak_at
    later = found(connection, timezone.now() + timedelta(days=2)).forecast_peak
    assert (later.requests_per_s, later.expected_at) == (640.0, None)
    assert found(connection, timezone.now() - timedelta(hours=2)) is None
    assert found(connection, timezone.now() + timedelta(days=4)) is None


def test_a_peak_that_is_on_is_in_no_forecast_and_counts_for_plans_until_it_is_over(connection):
    report = sized_by_report(connection, 640.0)
    GrowthReport.objects.update(peak=600.0)
    now = timezone.now()
    row = DetectedEvent.objects.create(
        account=connection.account,
        metric=report.metric,
        starts_at=now - timedelta(hours=5),
        ends_at=now,
        peak_at=now - timedelta(hours=2),
        peak=2000.0,
        expected=500.0,
        multiple=4.0,
        score=30.0,
        lead_in_s=3600,
        is_over=False,
        found_at=now - timedelta(hours=4),
    )
    known = found(connection)
    assert (known.forecast_peak.requests_per_s, known.peak_on.requests_per_s) == (640.0, 2400.0)
    plans = known_for(connection, ["71"], None, at=timezone.now())
    assert (plans.forecast_peak_rps, plans.peak_at) == (2400.0, known.forecast_peak.expected_at)
    assert plans.forecast_source == (
        "growth report of requests_per_s: the peak that is on, at the busiest hour of a week; so far 2,000 were seen"
    )
    assert plans.decay is None
    # That it is no event does not say that its traffic is gone.
    DetectedEvent.objects.update(state="dismissed")
    assert found(connection).peak_on.requests_per_s == 2400.0
    # An hour that usually has nothing has no multiple: what was seen counts. Of two that are on the highest does.
    DetectedEvent.objects.update(state="proposed", multiple=None, expected=0.0, peak=5000.0)
    assert found(connection).peak_on.requests_per_s == 5000.0
    other = DetectedEvent.objects.get()
    other.pk, other.ref, other.ends_at = None, uuid4(), now + timedelta(minutes=1)
    other.multiple, other.peak = 2.0, 1000.0
    other.save()
    assert found(connection).peak_on.requests_per_s == 5000.0
    other.delete()
    row.is_over, row.half_life_s = True, 7200
    row.save()
    decay = known_for(connection, ["71"], None, at=timezone.now()).decay
    assert (decay.peaked_at, decay.half_life_s) == (row.peak_at, 7200.0)
    assert decay.event_name == f"the peak of {row.peak_at:%Y-%m-%d}"
    assert found(connection).peak_on is None
    assert known_for(connection, ["71"], None, at=timezone.now()).forecast_peak_rps == 640.0


def test_plans_count_servers_of_several_sizes_as_the_one_that_carries_the_least(connection):
    of_pool = {"account": connection.account, "connection": connection, "balancer_id": "71"}
    for flavor, carries in (("large", 120.0), ("small", 20.0)):
        Ceiling.objects.create(
            **of_pool, requests_per_s=carries, flavor=flavor, source="step benchmark", at=timezone.now()
        )

    def carried(**sizes):
        return known_for(connection, ["71"], None, at=timezone.now(), sizes=sizes).ceiling_rps

    assert (carried(large=4), carried(large=4, small=2), carried(small=1)) == (120.0, 20.0, 20.0)
    assert carried(large=4, huge=1) is None, "nothing is known of one of them"
    assert not known_for(connection, ["71"], None, at=timezone.now()).ceiling_doubts
    Marker.objects.create(
        account=connection.account,
        kind="deployment",
        title="shop",
        software="shop 5",
        source="pipeline",
        at=timezone.now(),
        made_by=make.launch_manager(connection.account.team),
    )
    (doubt,) = known_for(connection, ["71"], None, at=timezone.now(), sizes={"large": 1}).ceiling_doubts
    assert doubt.startswith("shop 5 came on")


def test_a_measured_peak_is_of_its_own_pool(connection):
    sized_by_report(connection, 640.0)
    assert reference_for(connection.account, Site(connection.ref, "72"), timezone.now()) is None


def test_a_load_that_was_fine_counts_for_14_days_and_the_highest_counts(connection):
    now = timezone.now()
    for days, rps in ((1, 40.0), (5, 60.0), (15, 90.0)):
        enter("fine_load", connection, requests_per_s=rps, seen_at=now - timedelta(days=days), source="x")
    assert found(connection).fine_load.requests_per_s == 60.0
    assert found(connection, now + FINE_FOR - timedelta(days=2)).fine_load.requests_per_s == 40.0
    assert found(connection, now + FINE_FOR + timedelta(days=1)) is None


def test_baselines_are_the_newest_ones_the_newest_first(connection):
    now = timezone.now()
    for hours in range(BASELINES_READ + 3):
        enter("baseline", connection, measured_at=now - timedelta(hours=hours + 1), **LOW)
    moments = [one.at for one in found(connection).baselines]
    assert len(moments) == BASELINES_READ
    assert moments == sorted(moments, reverse=True)


def test_only_what_was_known_of_this_pool_at_that_moment_counts(connection):
    other = make.connection(make.account())
    enter("objective", other, **OBJECTIVE)
    services.enter_objective(connection.account, connection, "72", at=timezone.now(), actor=None, **OBJECTIVE)
    assert found(connection) is None
    enter("objective", connection, **OBJECTIVE)
    assert found(connection, timezone.now() - timedelta(minutes=1)) is None
    assert found(connection) is not None


@pytest.mark.parametrize(
    ("what", "fields", "says"),
    [
        ("objective", {"error_ratio": None, "latency_ms": None, "source": "x"}, "share of failed requests"),
        ("objective", {"error_ratio": 1.0, "latency_ms": None, "source": "x"}, "below 100 %"),
        ("objective", {"error_ratio": None, "latency_ms": -1.0, "source": "x"}, "above 0 ms"),
        ("baseline", {**LOW, "latency_p95_ms": 70.0}, "at least as long"),
        ("baseline", {"source": "x"}, "a latency or a share"),
        ("baseline", {**LOW, "load_per_node_rps": 0.0}, "above 0 requests"),
        ("baseline", {**LOW, "probe": "nobody"}, "no probe “nobody”"),
        ("baseline", {**LOW, "measured_at": "tomorrow"}, "before it is entered"),
        ("fine_load", {"requests_per_s": 0.0, "source": "x"}, "above 0"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(connection, what, fields, says):
    now = timezone.now()
    moment = {"baseline": "measured_at", "fine_load": "seen_at"}.get(what)
    if moment:
        fields = {moment: now, **fields}
        if fields[moment] == "tomorrow":
            fields[moment] = now + timedelta(days=1)
    with pytest.raises(Refused) as refusal:
        enter(what, connection, **fields)
    assert says in refusal.value.says


def test_the_database_keeps_the_same_rules(connection):
    now = timezone.now()
    of_pool = {"account": connection.account, "connection": connection, "balancer_id": "71", "at": now}
    for model, fields in (
        (Objective, {"error_ratio": 2.0}),
        (Baseline, {"measured_at": now}),
        (FineLoad, {"requests_per_s": -1, "seen_at": now}),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(**of_pool, source="x", **fields)


def test_the_event_that_is_on_comes_before_the_next_and_that_before_the_last(connection):
    now, account = timezone.now(), connection.account
    day = timedelta(days=1)
    assert event_at(account, now) is None
    for name, start, end in (("over", -9, -8), ("next", 3, 4), ("on", -1, 1), ("far", 9, 10)):
        add_event(account, name=name, starts_at=now + start * day, ends_at=now + end * day, actor=None)
        now = timezone.now()
    assert event_at(account, now).name == "on"
    assert event_at(account, now + 2 * day).name == "next"
    assert event_at(account, now + 20 * day).name == "far"


def test_an_editor_enters_all_of_it_by_form_in_the_own_zone():
    account = make.account()
    connection = make.connection(account)
    make.probe(connection, name="home")
    editor = make.member(account, "editor")
    editor.time_zone = "Europe/Berlin"
    editor.save()
    browser = Client()
    browser.force_login(editor)
    typed = {
        "objective_error_ratio": "0.1",
        "objective_latency_ms": "400",
        "objective_source": "contract, annex 2",
        "baseline_probe": "home",
        "baseline_load_rps": "42",
        "baseline_p50_ms": "80",
        "baseline_p95_ms": "120",
        "baseline_measured_at": "2026-01-15T12:00",
        "baseline_source": "an hour of probes",
        "fine_rps": "55",
        "fine_source": "seen on Monday",
    }
    page = browser.post(f"/connections/{connection.ref}/pools/71/", typed, follow=True).content.decode()
    for text in ("contract, annex 2", "an hour of probes", "seen on Monday", "At most 0.1", "Europe/Berlin"):
        assert text in page, text
    known = found(connection)
    assert known.objective.error_ratio == pytest.approx(0.001)
    assert known.baselines[0].at.hour == 11
    assert known.fine_load.requests_per_s == 55


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"objective_latency_ms": 400}, "objective_source", "promised"),
        ({"objective_source": "contract"}, "objective_error_ratio", "both"),
        ({"baseline_p50_ms": 80}, "baseline_source", "measured"),
        ({"baseline_source": "x"}, "baseline_p50_ms", "latency"),
        ({"fine_rps": 50}, "fine_source", "seen"),
    ],
)
def test_page_and_api_ask_for_the_same_that_belongs_together(given, field, says):
    account = make.account()
    connection = make.connection(account)
    manager = make.launch_manager(account.team)
    browser = Client()
    browser.force_login(manager)
    page = browser.post(f"/connections/{connection.ref}/pools/71/", given)
    assert page.status_code == 422
    assert says in page.context["form"].errors[field][0]
    address = reverse("api-pool-known", args=[connection.ref, "71"])
    answer = Client().post(
        address, given, content_type="application/json", **make.bearer(make.token(manager))
    )
    assert answer.status_code == 422
    assert says in answer.json()["errors"][field][0]
    assert found(connection) is None


def test_the_api_takes_and_gives_the_whole_reference():
    account = make.account()
    connection = make.connection(account)
    caller = make.bearer(make.token(make.launch_manager(account.team)))
    address = reverse("api-pool-known", args=[connection.ref, "71"])
    given = {
        "objective_error_ratio": 0,
        "objective_source": "contract",
        "baseline_p50_ms": 80,
        "baseline_measured_at": "2026-01-15T11:00:00Z",
        "baseline_source": "probes",
        "fine_rps": 50,
        "fine_source": "Monday",
    }
    answer = Client().post(address, given, content_type="application/json", **caller)
    assert answer.status_code == 200, answer.content
    known = Client().get(address, **caller).json()
    assert known["objective"] | {"author": "", "at": ""} == {
        "error_ratio": 0.0,
        "latency_ms": None,
        "latency_share": 0.95,
        "source": "contract",
        "author": "",
        "at": "",
    }
    assert known["baselines"][0]["at"] == "2026-01-15T11:00:00Z"
    assert known["fine_load"]["requests_per_s"] == 50
    assert known["event"] is None


def test_events_are_added_and_listed_by_api_with_source_and_author():
    account = make.account()
    manager = make.launch_manager(account.team)
    caller = make.bearer(make.token(manager))
    address = reverse("api-traffic-events", args=[account.ref])
    given = {
        "name": "Sale",
        "starts_at": "2026-11-12T06:00:00Z",
        "ends_at": "2026-11-15T06:00:00Z",
        "observed_peak_rps": 310.0,
        "source": "marketing",
    }
    answer = Client().post(address, given, content_type="application/json", **caller)
    assert answer.status_code == 201, answer.content
    (shown,) = Client().get(address, **caller).json()["results"]
    assert (shown["name"], shown["source"], shown["author"]) == ("Sale", "marketing", str(manager))
    backwards = {**given, "ends_at": "2026-11-11T06:00:00Z"}
    refused = Client().post(address, backwards, content_type="application/json", **caller)
    assert refused.status_code == 422
    assert "ends after it starts" in refused.content.decode()


def test_what_a_server_of_another_size_carries_is_no_ceiling_of_this_one(connection):
    now = timezone.now()
    make.ceiling(connection, rps=90.0, flavor="general1-4", at=now - timedelta(days=3))
    make.ceiling(connection, rps=270.0, flavor="general1-8", at=now - timedelta(days=2))

    def carries(flavor):
        site = Site(connection.ref, "71")
        known = reference_for(connection.account, site, now, flavor=flavor)
        return None if known is None else known.ceiling.requests_per_s

    assert [carries(one) for one in ("general1-4", "General1-8", "", "compute1-4")] == [
        90.0,
        270.0,
        270.0,
        None,
    ]
    make.ceiling(connection, rps=80.0, at=now - timedelta(days=1))
    assert carries("general1-4") == 80.0, "one that is of no size counts for each"


def test_a_size_in_other_words_is_said_where_the_ceiling_is_unknown(connection, django_assert_num_queries):
    now, account = timezone.now(), connection.account
    site = Site(connection.ref, "71")
    assert not sizes_of(account, site, now).are_said
    make.ceiling(connection, rps=80.0, flavor="4 GB", at=now - timedelta(days=3))
    make.ceiling(connection, rps=90.0, flavor="4 gb", at=now - timedelta(days=2))
    pool = SizedPool.objects.create(
        account=account, connection=connection, balancer_id="71", name="web", flavor="general1-4", servers=4
    )
    with django_assert_num_queries(2):
        known = sizes_of(account, site, now)
    assert [(one.flavor, one.requests_per_s) for one in known.ceilings] == [("4 gb", 90.0)]
    assert known.is_none_of_it
    assert reference_for(account, site, now, flavor=pool.flavor) is None
    browser = Client()
    browser.force_login(make.launch_manager(account.team))
    page = browser.get(f"/connections/{connection.ref}/pools/71/").content.decode()
    assert "No figure is of this pool’s size" in page
    assert "general1-4" in page
    assert "4 gb" in page
    assert "Known is" in browser.get(reverse("capacity:sized-pool", args=[pool.ref])).content.decode()
    # Written as the provider calls it, it counts, and nothing is said any more.
    make.ceiling(connection, rps=90.0, flavor="General1-4", at=now)
    assert not sizes_of(account, site, now).is_none_of_it
    assert (
        "No figure is of this pool’s size"
        not in browser.get(f"/connections/{connection.ref}/pools/71/").content.decode()
    )


def test_a_figure_of_no_size_counts_for_every_size(connection):
    now, site = timezone.now(), Site(connection.ref, "71")
    SizedPool.objects.create(
        account=connection.account, connection=connection, balancer_id="71", name="web", flavor="general1-4"
    )
    make.ceiling(connection, rps=90.0, flavor="4 GB", at=now)
    make.ceiling(connection, rps=70.0, at=now)
    known = sizes_of(connection.account, site, now)
    assert [one.flavor for one in known.ceilings] == ["4 GB", ""]
    assert not known.is_none_of_it
