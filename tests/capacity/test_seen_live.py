"""What one server carries: what was measured at real events, lower bounds, steps that are too short, and which figure counts."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity import demo
from capacity.baselines import ceilings, doubts, evidence, seen_live, services
from capacity.baselines.compared import ran
from capacity.benchmarks import services as benchmarks
from capacity.benchmarks.models import Benchmark
from capacity.ceiling import LATE_S, SHORTEST_STEP_S, Promised, Rank
from capacity.events import remove_event
from capacity.markers.models import Marker
from capacity.metrics.models import Metric
from capacity.metrics.store import Samples, write
from capacity.models import Ceiling, FineLoad, Objective, TrafficEvent
from capacity.reference import Site, counting_size, reference_for
from capacity.reports.models import SizedPool
from capacity.reports.short import judge_account
from capacity.services import enter_known
from portal.errors import Refused
from scaledown.known import known_for
from tests import factories as make
from tests.capacity.test_baselines import (  # noqa: F401
    ENVIRONMENT,
    approved,
    here,
    reference,
    run_at,
)
from tests.capacity.test_reports import _look
from tests.scaledown.test_api import Caller

DAYS_AGO = 30


@pytest.fixture
def sale(here):  # noqa: F811
    """An event of six hours a month ago, at a pool that is sized by its series; the load rises by the hour."""
    begins = (timezone.now() - timedelta(days=DAYS_AGO)).replace(hour=10, minute=0, second=0, microsecond=0)
    here.sale = TrafficEvent.objects.create(
        account=here.account, name="Autumn sale", starts_at=begins, ends_at=begins + timedelta(hours=6)
    )
    load = [100.0, 100, 200, 300, 400, 500, 600, 300]
    here.metric = series(here, "requests_per_s", load, "requests/s", "throughput")
    SizedPool.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id="71",
        name="web",
        metric=here.metric,
        flavor="general1-4",
        servers=6,
        sizes={"general1-4": 6},
        size_since=begins - timedelta(days=60),
        seen_at=timezone.now(),
    )
    return here


def series(here, name, values, unit="", kind="other", resource="shop", source="test"):  # noqa: F811
    """A value for each hour from the one before the event on; of several one each five minutes, None is none."""
    row = Metric.objects.create(
        account=here.account, resource=resource, name=name, source=source, unit=unit, kind=kind
    )
    begins, told = here.sale.starts_at.timestamp() - 3600, []
    for hour, value in enumerate(values):
        parts = value if isinstance(value, list) else [value]
        told += [(begins + 3600 * hour + 300 * n + 10, one) for n, one in enumerate(parts) if one is not None]
    at = np.asarray([one * 1e6 for one, _ in told], dtype=np.int64)
    write(
        here.account.pk,
        Samples(np.full(len(at), row.pk, dtype=np.int64), at, np.asarray([one for _, one in told])),
    )
    return row


def kept(here, latency=(100.0,) * 6, failed=(0.0,) * 6, nodes=(5.0,) * 6):  # noqa: F811
    for name, values, *unit in (
        ("latency_p95_ms", latency, "ms", "latency"),
        ("error_ratio", failed, "share", "errors"),
        ("nodes", nodes, "servers", "count"),
    ):
        series(here, name, [values[0], *values, values[-1]], *unit)


def found_of(here):  # noqa: F811
    return ceilings.ceiling_of(here.connection, "71").ranked


def test_the_highest_load_of_a_server_at_an_event_is_measured(sale, django_assert_max_num_queries):
    kept(sale)
    with django_assert_max_num_queries(13):
        found = found_of(sale)
    one = found.taken
    assert (one.rank, one.requests_per_s, one.is_least, one.unproven) == ("live", 120.0, True, "")
    assert one.source.startswith("measured at Autumn sale")
    assert one.source.endswith("600 requests a second on 5 servers")
    assert (one.flavor, one.software) == ("general1-4", "")


@pytest.mark.parametrize(
    ("given", "each"),
    [
        ({"latency": (100.0, 100, 100, 100, 100, 900)}, 100.0),
        ({"failed": (0.0, 0, 0, 0.5, 0.5, 0.5)}, 60.0),
        # One look an hour: the two servers may have been five until a moment before.
        ({"nodes": (5.0, 5, 2, 5, 5, 5)}, 120.0),
        ({"latency": (900.0,) * 6}, None),
        ({"nodes": (0.0,) * 6}, None),
    ],
)
def test_an_hour_in_which_the_promise_was_broken_is_none_that_was_carried(sale, given, each):
    kept(sale, **given)
    found = found_of(sale)
    assert (found.taken.requests_per_s if found.taken else None) == each
    assert len(found.listed) == (each is not None)


@pytest.mark.parametrize("without", ["nodes", "objective", "latency_p95_ms", "error_ratio"])
def test_without_servers_it_is_no_evidence_and_without_a_promise_none_that_counts(sale, without, client):
    kept(sale)
    Metric.objects.filter(name=without).delete()
    if without == "objective":
        Objective.objects.all().delete()
    found = found_of(sale)
    assert found.taken is None
    assert [bool(one.unproven) for one in found.listed] == ([] if without == "nodes" else [True])
    with pytest.raises(Refused, match="no ceiling to take"):
        services.take_ceiling(sale.connection, "71", actor=sale.manager)
    client.force_login(sale.manager)
    page = client.get(reverse("capacity:ceiling", args=[sale.connection.ref, "71"])).content.decode()
    assert ("Whether the promise was kept in that hour is not known" in page) is (without != "nodes")


def test_events_to_come_and_series_of_another_unit_are_no_evidence(sale):
    kept(sale)
    now = timezone.now()
    of_sale = TrafficEvent.objects.filter(pk=sale.sale.pk)
    of_sale.update(ends_at=now + timedelta(days=1))
    assert found_of(sale).listed == ()
    of_sale.update(ends_at=sale.sale.ends_at)
    Metric.objects.filter(pk=sale.metric.pk).update(unit="orders/min")
    assert found_of(sale).listed == ()


@pytest.mark.parametrize(
    ("days", "software"), [(DAYS_AGO + 5, "shop 4.12"), (DAYS_AGO - 5, "before shop 4.12"), (None, "")]
)
def test_size_and_software_are_those_of_then_not_those_of_the_newest_benchmark(sale, days, software):
    kept(sale)
    if days is not None:
        deployed(sale, "shop 4.12", days)
    run_at(sale, 3)
    found = found_of(sale)
    [live] = [one for one in found.listed if one.rank == "live"]
    assert (live.software, live.flavor) == (software, "general1-4")
    # 120 is more than the 90 beyond which the newer benchmark failed: it counts where it is of the same software.
    assert (found.taken == live) is (software == "shop 4.12")


FIVE = [[5.0] * 12]
FEW = [[100.0] * 3 + [None] * 9]


@pytest.mark.parametrize(
    ("told", "each", "lacks"),
    [
        ({}, 120.0, ""),
        ({"nodes": [[2.5] * 12]}, 200.0, ""),
        # Two zones, or the same told twice: nobody knows, and the sum is the safe one.
        ({"nodes b": [[3.0] * 12]}, 75.0, ""),
        ({"nodes b": [3.0]}, 75.0, ""),
        ({"nodes b": [None, 3.0, None]}, 75.0, "nodes"),
        ({"nodes": [5.0, [3.0], 9.0]}, 600 / 9, ""),
        ({"nodes": [None, [3.0], 9.0]}, 600 / 9, "nodes"),
        ({"latency_p95_ms": FEW}, 120.0, "latency_p95_ms"),
        ({"latency_p95_ms b": FEW}, 120.0, "latency_p95_ms"),
        ({"error_ratio": [[0.0] * 4]}, 120.0, "error_ratio"),
        ({"latency_p95_ms b": [[900.0] * 12]}, None, ""),
        # A few errors, and most requests came in those minutes.
        (
            {"requests_per_s": [[10.0] * 6 + [1190.0] * 6], "error_ratio": [[0.0] * 6 + [0.0015] * 6]},
            None,
            "",
        ),
        ({"requests_per_s": [[600.0] * 11 + [1e6]]}, 120.0, ""),
        ({"requests_per_s": [[600.0] * 12, [600.0] * 4, [600.0] * 12]}, 120.0, "the load"),
        ({"requests_per_s": [100.0, 1e6, 100.0]}, 2e5, "the load"),
        ({"requests_per_s": [None, [100.0, 1e6], None]}, 100_010.0, "the load"),
        ({"requests_per_s": [300.0, 600.0, 200.0]}, 120.0, ""),
        ({"requests_per_s": [None, [600.0], None], "nodes": [None, [5.0], None]}, 120.0, "the load, nodes"),
    ],
)
def test_an_hour_is_evidence_only_where_all_of_it_is_known(sale, told, each, lacks):
    TrafficEvent.objects.filter(pk=sale.sale.pk).update(ends_at=sale.sale.starts_at + timedelta(hours=1))
    sale.metric.delete()
    given = {
        "requests_per_s": [[600.0] * 12],
        "nodes": FIVE,
        "latency_p95_ms": [[100.0] * 12],
        "error_ratio": [[0.0] * 12],
        **told,
    }
    for name, hours in given.items():
        unit = ("requests/s", "throughput") if name == "requests_per_s" else ()
        row = series(sale, name.split()[0], hours if len(hours) == 3 else hours * 3, *unit, source=name)
        if unit:
            SizedPool.objects.update(metric=row)
    found = found_of(sale)
    assert [one.requests_per_s for one in found.listed] == ([] if each is None else [pytest.approx(each)])
    assert (found.taken is not None) is (each is not None and not lacks)
    if lacks:
        assert found.listed[0].unproven == f"Only a part of that hour is known: too few samples of {lacks}."


@pytest.mark.parametrize(
    ("name", "began", "ended", "lacks"),
    [
        # Told before the event and after it, and silent just then.
        ("nodes", 240, -200, "nodes"),
        ("error_ratio", 240, -200, "error_ratio"),
        # It broke off shortly before and never came back; or was gone for days; or came days later.
        ("nodes", 240, 2, "nodes"),
        ("latency_p95_ms", 240, 2, "latency_p95_ms"),
        ("nodes", 240, 72, ""),
        ("nodes", -72, -200, ""),
    ],
)
def test_a_series_that_is_silent_just_at_the_event_proves_nothing(sale, name, began, ended, lacks):
    kept(sale)
    row = series(sale, name, [], source="zone b")
    at = np.asarray(
        [(sale.sale.starts_at - timedelta(hours=one)).timestamp() * 1e6 for one in (began, ended)],
        dtype=np.int64,
    )
    write(sale.account.pk, Samples(np.full(2, row.pk, dtype=np.int64), at, np.asarray([5.0, 5.0])))
    [one] = found_of(sale).listed
    assert bool(one.unproven) is bool(lacks)
    assert lacks in one.unproven


@pytest.mark.parametrize(
    ("sizes", "since", "seen"),
    [
        ({"general1-4": 4, "general1-1": 2}, None, 0),
        ({"general1-4": 6}, DAYS_AGO - 1, 0),
        ({"general1-4": 6}, DAYS_AGO + 1, DAYS_AGO + 1),
        ({}, None, 0),
    ],
)
def test_where_it_is_not_known_of_which_size_the_servers_were_then_it_counts_for_none(
    sale, sizes, since, seen
):
    kept(sale)
    now = timezone.now()
    at = None if since is None else now - timedelta(days=since)
    SizedPool.objects.update(sizes=sizes, size_since=at, seen_at=now - timedelta(days=seen))
    found = found_of(sale)
    assert found.taken is None
    assert [(one.flavor, one.unproven) for one in found.listed] == [("", seen_live.NO_SIZE)]
    SizedPool.objects.all().delete()
    fine = {
        "account": sale.account,
        "connection": sale.connection,
        "balancer_id": "71",
        "source": "the board",
    }
    FineLoad.objects.create(**fine, requests_per_s=94.0, seen_at=sale.sale.starts_at, at=now)
    assert [one.unproven for one in found_of(sale).listed] == [seen_live.NO_SIZE]


def test_looks_at_the_provider_tell_since_when_the_servers_are_of_one_size(sale):
    def since(*flavors, days=0.0):
        SizedPool.objects.update(
            seen_at=F("seen_at") - timedelta(days=days), size_since=F("size_since") - timedelta(days=days)
        )
        return _look(SizedPool.objects.get(), *flavors).size_since

    now = timezone.now()
    assert since(*["general1-4"] * 5, days=1) < now - timedelta(days=60), "it goes on"
    assert since("general1-4", days=5) > now, "of five days without a look nobody knows"
    assert since("general1-4", "general1-1") is None
    assert since("general1-4", "") is None
    assert since("general1-4") > now
    assert since("general1-1", days=1) > now


def deployed(at, software="shop 5.0", days=DAYS_AGO - 5):
    told = {"account": at.account, "kind": "deployment", "title": "x", "made_by": at.manager}
    Marker.objects.create(**told, software=software, at=timezone.now() - timedelta(days=days))


def stricter(at):
    given = {"objective_latency_ms": 50.0, "objective_source": "the contract"}
    enter_known(at.connection, "71", given, actor=at.manager)


def come_late(at):
    series(at, "nodes", [7.0] * 8, source="late")


def called_off(at):
    remove_event(at.sale, actor=at.manager)


def without_errors(at):
    Metric.objects.filter(name="error_ratio").delete()


def measured_less(at):
    run_at(at, 20)


@pytest.mark.parametrize(
    ("is_late", "happens", "says"),
    [
        # Between the hour and the click, and after it.
        (False, measured_less, "one server carried 90.0 requests a second."),
        (True, measured_less, "one server carried 90.0 requests a second."),
        (False, deployed, "shop 5.0 came on "),
        (True, deployed, "shop 5.0 came on "),
        (True, come_late, "one server carried 50.0 requests a second."),
        (True, stricter, "called off or is two years ago, its samples are others, or the promise is."),
        (True, called_off, "Nothing says any more that one server carried this on"),
        (True, without_errors, "proves nothing any more. Whether the promise"),
    ],
)
def test_what_speaks_against_a_figure_seen_live_is_told_since_the_hour_it_was_carried(
    sale, client, is_late, happens, says
):
    kept(sale)
    Ceiling.objects.all().delete()
    deployed(sale, ENVIRONMENT["software"], days=DAYS_AGO + 5)
    if not is_late:
        happens(sale)
    assert services.take_ceiling(sale.connection, "71", actor=sale.manager).requests_per_s == 120.0
    if is_late:
        assert doubts.doubts_about(sale.connection, "71", reference(sale).ceiling) == ()
        happens(sale)
    judge_account(sale.account)
    api, pool = Caller(sale.manager), SizedPool.objects.get()
    for told in (
        api.get(f"/connections/{sale.connection.ref}/pools/71/ceiling")["doubts"],
        api.get(f"/sized-pools/{pool.ref}")["doubts"],
        [pool.doubt],
    ):
        assert [says in one for one in told] == [True]
    client.force_login(sale.manager)
    for name, args in (
        ("ceiling", [sale.connection.ref, "71"]),
        ("sized-pool", [pool.ref]),
        ("growth-overview", [sale.account.ref]),
    ):
        assert says in client.get(reverse(f"capacity:{name}", args=args)).content.decode()


def test_evidence_of_an_older_software_is_doubtful_before_it_counts(sale, client):
    kept(sale)
    deployed(sale)
    told = Caller(sale.manager).get(f"/connections/{sale.connection.ref}/pools/71/ceiling")
    assert (told["doubts"], ["shop 5.0 came on" in one for one in told["taken_doubts"]]) == ([], [True])
    client.force_login(sale.manager)
    html = client.get(reverse("capacity:ceiling", args=[sale.connection.ref, "71"])).content.decode()
    assert "The strongest evidence is doubtful" in html


# --- lower bounds, and steps that say nothing -----------------------------------------------------------------------


def quick(here, days_ago, *, users=(1, 2, 3), length_s=15, rate=5.0, **more):  # noqa: F811
    """Return a run of short steps with hardly any users, as somebody tries a script out."""
    begins, lines, total = timezone.now() - timedelta(days=days_ago), [demo._HEAD], 0
    for number, count in enumerate(users):
        for part in range(length_s // 5):
            at = int(begins.timestamp()) + number * length_s + 5 * (part + 1)
            total += round(count * rate * 5)
            cells = ",".join(["80"] * 11)
            lines.append(f"{at},{count},,Aggregated,{count * rate:.1f},0,{cells},{total},0,80,80,30,90,4210")
    return benchmarks.take_in(
        here.account,
        ("\n".join(lines) + "\n").encode(),
        file_name=f"quick{days_ago}_stats_history.csv",
        actor=here.manager,
        connection=here.connection,
        balancer_id="71",
        **{**ENVIRONMENT, **more},
    )[0]


def test_steps_of_a_few_seconds_are_a_simple_benchmark_and_say_why(here, client):  # noqa: F811
    run_at(here, 20)
    quick(here, 2, mix="front page")
    found = found_of(here)
    assert found.taken.requests_per_s == pytest.approx(90.0, abs=0.5)
    [tried] = [one for one in found.listed if one.mix == "front page"]
    assert tried.rank == "simple"
    assert tried.unproven in {
        "It lasted 10 s; a step counts from 60 s on.",
        "It lasted 15 s; a step counts from 60 s on.",
    }
    client.force_login(here.manager)
    page = client.get(reverse("capacity:ceiling", args=[here.connection.ref, "71"])).content.decode()
    assert "a step counts from 60 s on" in page


@pytest.mark.parametrize("mix", [ENVIRONMENT["mix"], "front page"])
def test_a_run_that_was_not_pushed_as_far_hides_none_and_raises_no_doubt(here, mix):  # noqa: F811
    run = run_at(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    quick(here, 2, length_s=60, mix=mix)
    assert found_of(here).taken.ref == str(run.ref)
    assert doubts.doubts_about(here.connection, "71", reference(here).ceiling) == ()


def test_a_lower_bound_takes_the_place_of_a_known_figure_only_if_a_person_says_so(here, client):  # noqa: F811
    run = quick(here, 2, length_s=60)
    address = reverse("capacity:ceiling", args=[here.connection.ref, "71"])
    client.force_login(here.manager)
    page = client.get(address)
    html = page.content.decode()
    # The desk entered 100 by hand.
    assert "A lower bound would take the place of a higher figure" in html
    assert "Let it count all the same" in html
    assert client.post(address, {"act": "take"}).status_code == 422
    api = Caller(here.manager)
    path = f"/connections/{here.connection.ref}/pools/71/ceiling"
    refused = api.ask("post", path, {})
    assert (refused.status_code, "only a lower bound" in refused.content.decode()) == (422, True)
    assert reference(here).ceiling.requests_per_s == 100.0
    approved(here, run)
    assert reference(here).ceiling.requests_per_s == 100.0, "whoever approves a baseline said nothing of it"
    sent = {"act": "take", "for_higher": "yes", "seen": page.context["ceilings_seen"]}
    assert client.post(address, {**sent, "taken": page.context["taken_seen"]}).status_code == 302
    now = reference(here).ceiling
    assert (now.requests_per_s, now.is_least) == (pytest.approx(2.5), True)
    told = api.get(path)
    assert (told["in_force"]["is_least"], told["taken"]["is_least"]) == (True, True)
    html = client.get(address).content.decode()
    assert "In force: one server carries at least" in html
    # A known one takes its place as ever.
    run_at(here, 1)
    assert not services.take_ceiling(here.connection, "71", actor=here.manager).is_least


CACHED = "100 % cached"


def cached(here, days_ago=1):  # noqa: F811
    """A step benchmark of which every page came from the cache: one server carries what six did."""
    return run_at(here, days_ago, mix=CACHED, node_count=1)


@pytest.mark.parametrize("rests_on", ["ceiling", "baseline"])
def test_more_of_another_mix_counts_only_where_a_person_chooses_it(here, client, rests_on):  # noqa: F811
    pool = SizedPool.objects.create(
        account=here.account, connection=here.connection, balancer_id="71", name="web", flavor="general1-4"
    )
    run = run_at(here, 20)
    if rests_on == "ceiling":
        services.take_ceiling(here.connection, "71", actor=here.manager)
    else:
        approved(here, run)
        Ceiling.objects.all().delete()
    other = cached(here)
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken.ref, found.other_mix.ref) == (str(run.ref), str(other.ref))
    [listed] = [one for one in found.ranked.listed if one.mix == CACHED]
    assert listed.unproven.startswith("It asked for another mix of requests than “70 % cached")
    assert services.take_ceiling(here.connection, "71", actor=here.manager).mix == ENVIRONMENT["mix"]
    address = reverse("capacity:ceiling", args=[here.connection.ref, "71"])
    client.force_login(here.manager)
    html = client.get(address).content.decode()
    assert "More was carried with another mix of requests" in html
    assert f"measured with {ENVIRONMENT['mix']}" in html
    on_pool = client.get(reverse("capacity:sized-pool", args=[pool.ref])).content.decode()
    assert f"measured with {ENVIRONMENT['mix']}" in on_pool
    # Whoever approves it as the baseline said nothing of what counts.
    approved(here, other)
    assert reference(here).ceiling.mix == ENVIRONMENT["mix"]
    api, path = Caller(here.manager), f"/connections/{here.connection.ref}/pools/71/ceiling"
    told = api.get(path)
    assert (told["taken"]["mix"], told["other_mix"]["mix"]) == (ENVIRONMENT["mix"], CACHED)
    assert api.ask("post", path, {"mix": "all orders"}).status_code == 422
    page = client.get(address)
    sent = {"act": "take", "seen": page.context["ceilings_seen"], "mix": CACHED}
    assert client.post(address, {**sent, "taken": page.context["taken_seen"]}).status_code == 409
    assert client.post(address, {**sent, "taken": page.context["other_seen"]}).status_code == 302
    told = api.get(path)
    assert (told["in_force"]["mix"], told["other_mix"]) == (CACHED, None)
    # By now it is the one that counts; less of another mix counts by itself, more servers are needed then.
    assert found_of(here).taken.ref == str(other.ref)
    run_at(here, 0.5)
    assert found_of(here).taken.mix == ENVIRONMENT["mix"]


def test_where_nothing_says_a_mix_the_one_that_carried_the_least_counts(here):  # noqa: F811
    run = run_at(here, 20)
    assert found_of(here).taken.ref == str(run.ref)
    other = cached(here)
    # The desk entered 100 by hand.
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken.ref, found.other_mix.ref) == (str(run.ref), str(other.ref))


def test_whoever_approves_a_baseline_of_a_mix_lets_no_more_count_than_was_entered_by_hand(here):  # noqa: F811
    entered = reference(here).ceiling
    assert (entered.requests_per_s, entered.mix) == (100.0, "")
    approved(here, cached(here))
    assert reference(here).ceiling == entered


def test_a_mix_that_came_to_count_by_carrying_less_does_not_carry_more_by_itself(here):  # noqa: F811
    run_at(here, 20)
    figure = services.take_ceiling(here.connection, "71", actor=here.manager)
    other = cached(here)
    # A bad day of the other mix counted, as it was less.
    Ceiling.objects.filter(at=figure.at).update(mix=CACHED, requests_per_s=figure.requests_per_s - 10.0)
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken.mix, found.other_mix.ref) == (ENVIRONMENT["mix"], str(other.ref))


def test_the_page_says_which_figure_counts_and_why(here, client):  # noqa: F811
    SizedPool.objects.create(
        account=here.account, connection=here.connection, balancer_id="71", name="web", flavor="general1-4"
    )
    run_at(here, 5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    enter_known(here.connection, "71", {"ceiling_rps": 50.0, "ceiling_source": "dba"}, actor=here.manager)
    client.force_login(here.manager)
    html = client.get(reverse("capacity:ceiling", args=[here.connection.ref, "71"])).content.decode()
    assert "In force: one server carries" in html
    assert "In force is 50 req/s (dba, " in html
    assert "it is the newest that was let count or entered by hand" in html
    assert html.count("counts for general1-4: the newest") == 1
    assert Ceiling.objects.order_by("-at").first().requests_per_s == 50.0


def _three_in_force(here):  # noqa: F811
    """What is let count without a word of the mix, and what is in force then: requests a second of one server and its mix."""
    with suppress(Refused):
        services.take_ceiling(here.connection, "71", actor=here.manager)
    now = reference(here).ceiling
    return None if now is None else (round(now.requests_per_s), now.mix)


SHOP = ENVIRONMENT["mix"]


@pytest.mark.parametrize("by_baseline", [False, True])
def test_a_bad_day_of_another_mix_chooses_no_mix(here, by_baseline):  # noqa: F811
    run_at(here, 20)
    assert _three_in_force(here) == (90, SHOP)
    run_at(here, 10, mix=CACHED, node_count=7)
    assert _three_in_force(here) == (77, CACHED), "it carried less: more servers are needed"
    run_at(here, 5, node_count=8)
    other = cached(here)
    if by_baseline:
        approved(here, other)
        assert reference(here).ceiling.mix == CACHED
        assert round(reference(here).ceiling.requests_per_s) == 77
    assert _three_in_force(here) == (68, SHOP)


@pytest.mark.parametrize("entered", [False, True])
def test_where_nobody_chose_a_mix_neither_a_baseline_nor_who_lets_it_count_takes_the_higher_one(
    here,  # noqa: F811
    entered,
):
    if not entered:
        Ceiling.objects.all().delete()
    was = reference(here).ceiling
    run_at(here, 20)
    approved(here, cached(here))
    assert reference(here).ceiling == was
    assert _three_in_force(here) == (90, SHOP)
    # Whoever let the shop count chose it: it may carry more by now.
    run_at(here, 0.5, node_count=5)
    assert _three_in_force(here) == (108, SHOP)


def test_of_all_that_came_since_a_mix_was_chosen_the_one_that_carried_the_least_counts(here):  # noqa: F811
    """A third mix in between brings the chosen one not back, nor hides the second."""
    cached(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    run_at(here, 10)
    write = run_at(here, 5, mix="writes", node_count=5)
    assert found_of(here).taken.mix == SHOP
    assert _three_in_force(here) == (90, SHOP)
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken.mix, found.other_mix.ref) == (SHOP, str(write.ref))
    make.ceiling(here.connection, rps=80.0)
    assert found_of(here).taken.mix == SHOP
    # The shop carries more by now: of the others the writes carry the least.
    run_at(here, 2, node_count=4)
    assert _three_in_force(here) == (108, "writes")
    # Whoever chooses one that is known to carry more has chosen it.
    services.take_ceiling(here.connection, "71", actor=here.manager, mix=CACHED)
    assert found_of(here).taken.mix == CACHED
    services.take_ceiling(here.connection, "71", actor=here.manager)
    assert reference(here).ceiling.mix == CACHED


def test_a_quick_run_of_a_new_version_leaves_a_mix_to_be_chosen(here):  # noqa: F811
    run = run_at(here, 20)
    quick(here, 2, software="shop 9")
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken, [one.taken.mix for one in found.other_mixes]) == (None, [SHOP])
    assert services.take_ceiling(here.connection, "71", actor=here.manager, mix=SHOP).benchmark == run


def test_a_chosen_mix_of_which_nothing_counts_any_more_gives_way_to_no_other_by_itself(here):  # noqa: F811
    other = cached(here, 20)
    run = run_at(here, 10)
    services.take_ceiling(here.connection, "71", actor=here.manager, mix=SHOP)
    benchmarks.set_aside(run, actor=here.manager, because="The wrong site.")
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken, found.other_mix.ref) == (None, str(other.ref))


def test_what_came_after_a_chosen_mix_of_which_nothing_counts_any_more_counts_by_name_only(here, client):  # noqa: F811
    """Nobody chose a third mix by saying that the run of the chosen one does not count."""
    run = run_at(here, 20, node_count=7)
    make.ceiling(here.connection, rps=60.0)
    assert services.take_ceiling(here.connection, "71", actor=here.manager, mix=SHOP).requests_per_s < 80
    writes = run_at(here, 5, mix="writes", node_count=5)
    other = cached(here)
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken.mix, found.other_mix.ref) == (SHOP, str(other.ref))
    assert found.ranked.why.endswith(f"“{SHOP}” is the mix that was chosen.")
    benchmarks.set_aside(run, actor=here.manager, because="The wrong site.")
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken, found.other_mix.ref) == (None, str(other.ref))
    assert [one.taken.mix for one in found.other_mixes] == ["writes"]
    assert f"The mix “{SHOP}” was chosen, and no step benchmark of it counts any more" in found.ranked.why
    assert _three_in_force(here) == (60, ""), "what counted before it"
    client.force_login(here.manager)
    page = client.get(reverse("capacity:ceiling", args=[here.connection.ref, "71"])).content.decode()
    assert "Another mix of requests was measured" in page
    assert page.count("Let this mix count</button>") == 1
    assert "Let it count</button>" not in page
    services.take_ceiling(here.connection, "71", actor=here.manager, mix="writes")
    assert (reference(here).ceiling.mix, found_of(here).taken.ref) == ("writes", str(writes.ref))


def test_the_first_run_of_a_new_version_with_another_mix_waits_for_a_person(here, client):  # noqa: F811
    run = run_at(here, 20)
    other = run_at(here, 1, mix=CACHED, node_count=1, software="shop 9")
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken.ref, found.other_mix.ref) == (str(run.ref), str(other.ref))
    _, [says] = doubts.doubts_of(here.connection, "71", found)
    assert says.startswith("shop 9 was benchmarked on"), "it is of the software before"
    client.force_login(here.manager)
    page = client.get(reverse("capacity:ceiling", args=[here.connection.ref, "71"])).content.decode()
    assert "More was carried with another mix of requests" in page
    assert "Let this mix count" in page
    services.take_ceiling(here.connection, "71", actor=here.manager, mix=CACHED)
    assert reference(here).ceiling.mix == CACHED
    # And back: nothing but what was measured of it before.
    services.take_ceiling(here.connection, "71", actor=here.manager, mix=SHOP)
    assert (reference(here).ceiling.mix, _three_in_force(here)) == (SHOP, (90, SHOP))


def _ceiling_of(here, flavor):  # noqa: F811
    site = Site(here.connection.ref, "71")
    return reference_for(here.account, site, timezone.now(), flavor=flavor).ceiling


def of_two_sizes(here):  # noqa: F811
    """A sized pool with servers of two sizes, of which nothing is known."""
    Ceiling.objects.all().delete()
    return SizedPool.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id="71",
        name="web",
        flavor="general1-4",
        sizes={"general1-4": 2, "general1-8": 2},
    )


def test_less_of_another_size_in_service_is_a_doubt_and_can_be_let_count(here, client):  # noqa: F811
    """All servers count as those that carry the least: which these are may be another size than so far."""
    pool = of_two_sizes(here)
    make.ceiling(here.connection, rps=200.0, flavor="general1-8", at=timezone.now() - timedelta(days=30))
    run_at(here, 20, node_count=5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    figure = _ceiling_of(here, "general1-4")
    assert round(figure.requests_per_s) == 108
    less = run_at(here, 1, flavor="general1-8", node_count=9)
    [says] = doubts.doubts_about(here.connection, "71", figure)
    assert says.startswith("Of general1-8: ")
    assert "one server carried 60.0" in says
    # A newer run of the other size says nothing of this one.
    run_at(here, 0.5, node_count=5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    [says] = doubts.doubts_about(here.connection, "71", _ceiling_of(here, "general1-4"))
    assert "one server carried 60.0" in says
    client.force_login(here.manager)
    address = reverse("capacity:ceiling", args=[here.connection.ref, "71"])
    assert 'href="?size=general1-8"' in client.get(address).content.decode()
    page = client.get(address, {"size": "general1-8"})
    assert page.context["found"].ranked.taken.ref == str(less.ref)
    sent = {"act": "take", "seen": page.context["ceilings_seen"], "taken": page.context["taken_seen"]}
    assert client.post(address, {**sent, "size": "general1-8"}).status_code == 302
    assert round(_ceiling_of(here, "general1-8").requests_per_s) == 60
    site = Site(here.connection.ref, "71")
    assert counting_size(here.account, site, pool.sizes, timezone.now()) == "general1-8"
    api, path = Caller(here.manager), f"/connections/{here.connection.ref}/pools/71/ceiling"
    assert api.ask("post", path, {"flavor": "general1-4"}).status_code == 200
    assert round(_ceiling_of(here, "general1-4").requests_per_s) == 108
    # Another mix for one of them: the two figures cannot be compared any more.
    run_at(here, 0.2, flavor="general1-8", node_count=1, mix=CACHED)
    services.take_ceiling(here.connection, "71", actor=here.manager, mix=CACHED, size="general1-8")
    assert counting_size(here.account, site, pool.sizes, timezone.now()) == "general1-4"
    says = doubts.doubts_about(here.connection, "71", _ceiling_of(here, "general1-4"))
    assert any(
        one.startswith(f"What one server of general1-8 carries was measured with “{CACHED}”") for one in says
    )


def test_a_mix_that_kept_the_promise_under_no_load_carried_none(here):  # noqa: F811
    """The shop is broken; pages from the cache say nothing of orders."""
    broken = run_at(here, 20, slower=30.0)
    other = cached(here)
    assert _three_in_force(here) == (100, "")
    assert ceilings.ceiling_of(here.connection, "71").other_mix.ref == str(other.ref)
    # It is the newest by now: what was measured before counts no more, whatever is chosen.
    broken.ran_at = timezone.now()
    broken.save(update_fields=["ran_at"])
    with pytest.raises(Refused, match="kept what is promised under no load"):
        services.take_ceiling(here.connection, "71", actor=here.manager, mix=CACHED)


def test_a_further_run_of_one_mix_takes_no_doubt_of_another_one_away(here):  # noqa: F811
    cached(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    run_at(here, 10)
    for days in range(9, 1, -1):
        cached(here, days)
    [says] = doubts.doubts_about(here.connection, "71", reference(here).ceiling)
    assert "one server carried 90.0" in says


def again(run, days):
    """The same benchmark once more on each of these days."""
    for number in days:
        ran_at = timezone.now() - timedelta(days=number)
        values = {one.name: getattr(run, one.name) for one in Benchmark._meta.concrete_fields}
        for name in ("id", "ref", "long_steps", "created_at", "updated_at"):
            values.pop(name, None)
        sha256 = hashlib.sha256(f"{run.pk} {number}".encode()).hexdigest()
        Benchmark.objects.create(**values | {"ran_at": ran_at, "taken_in_at": ran_at, "sha256": sha256})


def test_however_many_came_after_the_least_mix_it_counts(here):  # noqa: F811
    run = run_at(here, 60)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    Ceiling.objects.filter(chosen_mix=SHOP).update(at=timezone.now() - timedelta(days=60))
    least = run_at(here, 50, mix="checkout", node_count=10)
    Benchmark.objects.filter(pk=least.pk).update(taken_in_at=least.ran_at)
    again(run, range(1, 46))
    found = ceilings.ceiling_of(here.connection, "71")
    assert found.ranked.taken.ref == str(least.ref)
    assert "“checkout” carried the least" in found.ranked.why
    assert _three_in_force(here) == (54, "checkout")


def test_however_many_quick_runs_came_after_it_a_run_by_steps_counts_and_its_doubt_stands(here):  # noqa: F811
    run_at(here, 60)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    run_at(here, 50, node_count=7)
    tried = quick(here, 49)
    again(tried, range(1, 46))
    [says] = doubts.doubts_about(here.connection, "71", reference(here).ceiling)
    assert "one server carried 77.1" in says
    assert _three_in_force(here) == (77, SHOP)


def test_however_many_that_were_never_pushed_to_where_it_fails_came_after_it_the_one_that_was_counts(here):  # noqa: F811
    run_at(here, 60)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    least = run_at(here, 50, mix="checkout", node_count=10)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    assert reference(here).ceiling.mix == "checkout"
    again(quick(here, 49, length_s=70, mix="checkout"), range(2, 30))
    again(quick(here, 48), range(2, 46))
    # Nor those whose generator was the limit.
    again(run_at(here, 47, mix="checkout", node_count=1, generator_cpu=0.97), range(2, 20))
    found = ceilings.ceiling_of(here.connection, "71").ranked
    assert (found.taken.ref, round(found.taken.requests_per_s)) == (str(least.ref), 54)
    assert _three_in_force(here) == (54, "checkout")
    # And as a doubt, where it was never let count.
    Ceiling.objects.filter(mix="checkout").delete()
    says = doubts.doubts_about(here.connection, "71", reference(here).ceiling)
    assert any("one server carried 54.0" in one for one in says)


@given(
    lengths=st.lists(
        st.floats(0, 200) | st.sampled_from([54.9, 55.0, 55.1, 59.0, 60.0]), min_size=1, max_size=8
    ),
    loads=st.lists(st.integers(1, 5), min_size=8, max_size=8),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_a_run_by_steps_has_steps_that_are_long_enough(lengths, loads, here):  # noqa: F811
    """What the database leaves out by their lengths could not have been one."""
    steps = [
        {"users": users, "offset_s": 200 * n, "length_s": length, "requests": 9000, "requests_per_s": 50.0}
        for n, (length, users) in enumerate(zip(lengths, loads, strict=False))
    ]
    made = Benchmark(
        account=here.account, title="x", tool="locust", format="locust-history", result={"steps": steps}
    )
    made.size_bytes, made.taken_in_by, made.taken_in_at, made.mix = 1, here.manager, timezone.now(), SHOP
    made.node_count, made.ran_at = 6, timezone.now()
    with transaction.atomic():
        made.save()
        made.refresh_from_db()
        transaction.set_rollback(True)
    if evidence.rank_of(made.result, ran(made), Promised()) is Rank.STEPS:
        assert made.long_steps >= evidence.FEWEST_STEPS
    assert made.long_steps == sum(length >= SHORTEST_STEP_S - LATE_S for length in lengths)


@pytest.mark.parametrize("others", [{"flavor": "general1-8"}, {"set_aside": True}, {}])
def test_a_choice_is_spelt_anew_with_the_last_run_of_its_size(here, others):  # noqa: F811
    run = run_at(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    is_aside = others.pop("set_aside", False)
    again_so = run_at(here, 30, **others)
    if is_aside:
        benchmarks.set_aside(again_so, actor=here.manager, because="The wrong site.")
    cached(here)
    benchmarks.describe(run, actor=here.manager, mix="orders")
    is_left = not is_aside and not others
    assert ceilings.chosen_of(here.connection, "71", "general1-4")[0] == (SHOP if is_left else "orders")
    assert (found_of(here).taken.mix, _three_in_force(here)[0]) == (SHOP if is_left else "orders", 90)


def test_a_choice_is_not_spelt_as_a_mix_that_others_were_measured_with(here):  # noqa: F811
    run = run_at(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager, mix=SHOP)
    cached(here)
    benchmarks.describe(run, actor=here.manager, mix=CACHED)
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken, found.other_mix.mix) == (None, CACHED), "it counts by its name only"
    assert _three_in_force(here)[0] == 90


def test_where_the_site_keeps_its_promise_under_no_load_no_other_mix_is_offered(here):  # noqa: F811
    for days, mix in ((20, SHOP), (19, "writes"), (18, CACHED)):
        run_at(here, days, mix=mix)
    run_at(here, 1, slower=30.0)
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken, found.other_mix, found.other_mixes) == (None, None, ())


def test_whoever_read_of_a_size_lets_it_count_by_that_version(here):  # noqa: F811
    run_at(here, 20)
    run_at(here, 10, flavor="general1-8", node_count=3)
    api, path = Caller(here.manager), f"/connections/{here.connection.ref}/pools/71/ceiling"
    for flavor in ("general1-4", "general1-8"):
        seen = api.ask("get", f"{path}?flavor={flavor}").headers["ETag"]
        assert api.ask("post", path, {"flavor": flavor}, **{"If-Match": seen}).status_code == 200


def test_what_speaks_against_the_figure_of_another_size_in_service_is_a_doubt(here):  # noqa: F811
    """It may be the one that carries the least: that its newer figure counts no more, and that more is promised by now."""
    of_two_sizes(here)
    run_at(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager, size="general1-4")
    large = run_at(here, 19, flavor="general1-8", node_count=3)
    services.take_ceiling(here.connection, "71", actor=here.manager, size="general1-8")
    figure = _ceiling_of(here, "general1-4")
    assert (round(figure.requests_per_s), doubts.doubts_about(here.connection, "71", figure)) == (90, ())
    less = run_at(here, 1, flavor="general1-8", node_count=10)
    services.take_ceiling(here.connection, "71", actor=here.manager, size="general1-8")
    benchmarks.set_aside(less, actor=here.manager, because="The wrong site.")
    [says] = doubts.doubts_about(here.connection, "71", figure)
    assert says.startswith("Of general1-8: A newer figure, 54.0 requests a second")
    Objective.objects.update(latency_ms=10.0)
    says = doubts.doubts_about(here.connection, "71", figure)
    assert any(
        one.startswith("Of general1-8: By what is promised now one server carried 0.0") for one in says
    )
    assert large.flavor == "general1-8"


def test_more_servers_of_another_mix_show_no_limit_of_the_pool(here):  # noqa: F811
    run_at(here, 20)
    run_at(here, 10, mix=CACHED, node_count=3)
    assert ceilings.ceiling_of(here.connection, "71").shown_limit is None
    run_at(here, 9, node_count=3)
    assert ceilings.ceiling_of(here.connection, "71").shown_limit.node_count == 6


def test_a_run_of_no_size_counts_for_the_size_that_was_looked_at_alone(here):  # noqa: F811
    """What a person lets count for one size says nothing of the servers of another one."""
    of_two_sizes(here)
    for size, count in (("general1-4", 6), ("general1-8", 3)):
        run_at(here, 20 + count, flavor=size, node_count=count)
        services.take_ceiling(here.connection, "71", actor=here.manager, size=size)
    untold = run_at(here, 1, flavor="", node_count=1, mix=CACHED)
    kept = services.take_ceiling(here.connection, "71", actor=here.manager, mix=CACHED, size="general1-8")
    assert (kept.benchmark, kept.flavor) == (untold, "general1-8")
    assert [round(_ceiling_of(here, one).requests_per_s) for one in ("general1-4", "general1-8")] == [90, 540]
    assert ceilings.chosen_of(here.connection, "71", "general1-4")[0] == SHOP
    benchmarks.describe(untold, actor=here.manager, software="shop 5")
    assert round(_ceiling_of(here, "general1-4").requests_per_s) == 90
    # Without a size it is the one as which the pool is sized.
    assert services.take_ceiling(here.connection, "71", actor=here.manager, mix=CACHED).flavor == "general1-4"


def test_a_plan_for_a_pool_that_is_not_sized_tells_what_speaks_against_any_of_its_sizes(here):  # noqa: F811
    Ceiling.objects.all().delete()
    for size, count in (("general1-4", 6), ("general1-8", 3)):
        run_at(here, 20 + count, flavor=size, node_count=count)
        services.take_ceiling(here.connection, "71", actor=here.manager, size=size)
    run_at(here, 1, flavor="general1-8", node_count=10)
    found = known_for(
        here.connection, ["71"], None, at=timezone.now(), sizes={"general1-4": 1, "general1-8": 1}
    )
    assert round(found.ceiling_rps) == 90
    [says] = found.ceiling_doubts
    assert says.startswith("Of general1-8: ")


def test_who_chooses_another_mix_reads_what_it_carried_and_chooses_that(here, client):  # noqa: F811
    run_at(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    for days, mix in ((10, CACHED), (9, "writes"), (8, "search")):
        run_at(here, days, mix=mix, node_count=2)
    client.force_login(here.manager)
    address = reverse("capacity:ceiling", args=[here.connection.ref, "71"])
    page = client.get(address)
    others = {one.taken.mix: one for one in page.context["found"].other_mixes}
    assert set(others) == {CACHED, "writes"}
    assert "Count: writes" in page.content.decode()
    sent = {"act": "take", "seen": page.context["ceilings_seen"], "mix": "writes"}
    run_at(here, 1, mix="writes", node_count=1)
    stale = client.post(address, {**sent, "taken": others["writes"].version})
    assert (stale.status_code, "another figure meanwhile" in stale.content.decode()) == (409, True)
    assert reference(here).ceiling.mix == SHOP
    # The newest run is the one that is offered first.
    assert client.post(address, {**sent, "taken": stale.context["other_seen"]}).status_code == 302
    assert (reference(here).ceiling.mix, round(reference(here).ceiling.requests_per_s)) == ("writes", 540)


def test_of_two_spellings_from_before_each_can_be_named(here):  # noqa: F811
    """Two people handed in the first of a mix at one moment, or it was before spellings were joined."""
    less = run_at(here, 20, mix="orders")
    more = run_at(here, 10, mix="pages", node_count=3)
    Benchmark.objects.filter(pk=more.pk).update(mix="ORDERS")
    for mix, carried in (("ORDERS", 180), ("orders", 90)):
        kept = services.take_ceiling(here.connection, "71", actor=here.manager, mix=mix)
        assert (kept.mix, round(kept.requests_per_s)) == (mix, carried)
    assert kept.benchmark == less


def test_who_hands_in_the_first_of_a_mix_with_another_one_writes_it_as_they_did(here, monkeypatch):  # noqa: F811
    """They wait for the account, and read then how it is spelt."""
    read = benchmarks.parse

    def and_meanwhile(content, name):
        monkeypatch.setattr(benchmarks, "parse", read)
        run_at(here, 20, mix="Orders")
        return read(content, name)

    monkeypatch.setattr(benchmarks, "parse", and_meanwhile)
    assert run_at(here, 10, mix="orders").mix == "Orders"


@pytest.mark.parametrize("spelt", ["WRITES", "  writes "])
def test_capitals_and_blanks_make_no_other_mix_for_whoever_chooses(here, spelt):  # noqa: F811
    run_at(here, 20)
    run_at(here, 10, mix="writes", node_count=2)
    path = f"/connections/{here.connection.ref}/pools/71/ceiling"
    assert Caller(here.manager).ask("post", path, {"mix": spelt}).status_code == 200
    assert reference(here).ceiling.mix == "writes"


def test_a_mix_that_is_spelt_anew_stays_chosen(here):  # noqa: F811
    run = run_at(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    benchmarks.describe(run, actor=here.manager, mix="orders")
    assert ceilings.chosen_of(here.connection, "71")[0] == "orders"
