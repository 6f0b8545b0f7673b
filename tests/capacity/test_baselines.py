"""Baselines from measurements: proposed, approved by the other side, held against what comes after; and the ceiling."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts import facts
from capacity import demo
from capacity import services as entering
from capacity.baselines import ceilings, doubts, evidence, known, selectors, services, stretches
from capacity.baselines.compared import current
from capacity.baselines.models import BaselineStatus, MeasuredBaseline, PoolLimit
from capacity.baselines.shown import detail_of
from capacity.benchmarks import services as benchmarks
from capacity.benchmarks.models import Benchmark
from capacity.benchmarks.selectors import force_of, pools_of
from capacity.events import add_event
from capacity.markers.models import Marker
from capacity.metrics import services as samples
from capacity.metrics.models import Metric
from capacity.metrics.reading import read_csv
from capacity.models import Ceiling, FineLoad, TrafficEvent
from capacity.reference import WHOLE_SITE, Site, Sizes, reference_for
from capacity.reports.models import DetectedEvent, SizedPool
from portal.approvals.models import Verdict
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.models import Event
from portal.notify.models import Message
from portal.notify.services import set_preference
from tests.capacity.benchmarks import data
from tests.runs.test_store_pg import in_thread, until_waiting
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller

ENVIRONMENT = {
    "node_count": 6,
    "flavor": "general1-4",
    "software": "shop 4.12",
    "mix": "70 % cached, 25 % search, 5 % checkout",
}


@pytest.fixture
def here(db):
    found = desk()
    entering.enter_objective(
        found.account,
        found.connection,
        "71",
        error_ratio=0.001,
        latency_ms=400.0,
        source="contract",
        at=timezone.now() - timedelta(days=60),
        actor=found.manager,
    )
    return found


def run_at(here, days_ago, *, slower=1.0, **more):
    """Return a step test of so many days ago; `slower` is how much longer answers took (and users waited)."""
    begins = (timezone.now() - timedelta(days=days_ago)).replace(microsecond=0)
    lines = demo.step_test(begins).decode().split("\n")
    if slower != 1.0:
        head = lines[0].split(",")
        where = [head.index(f"{one}%") for one in (50, 66, 75, 80, 90, 95, 98, 99, 99.9, 99.99, 100)]
        for number, line in enumerate(lines[1:], 1):
            cells = line.split(",")
            if len(cells) > 1:
                for at in where:
                    cells[at] = f"{float(cells[at]) * slower:.0f}"
                lines[number] = ",".join(cells)
    return benchmarks.take_in(
        here.account,
        "\n".join(lines).encode(),
        file_name=f"run{days_ago}_stats_history.csv",
        actor=here.manager,
        connection=here.connection,
        balancer_id="71",
        **{**ENVIRONMENT, **more},
    )[0]


def proposed(here, benchmark=None, **more):
    given = {
        "valid_until": timezone.now() + timedelta(days=90),
        "reason": "Before the launch.",
        "actor": here.manager,
        **more,
    }
    return services.propose(services.from_benchmark(benchmark or run_at(here, 20)), **given)


def approved(here, benchmark=None, **more):
    row = proposed(here, benchmark, **more)
    return services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)


def reference(here, at=None):
    return reference_for(here.account, Site(here.connection.ref, "71"), at or timezone.now())


# --- proposing and approving -------------------------------------------------------------------------------------


def test_a_baseline_is_proposed_by_a_launch_manager_and_approved_by_the_customer(here):
    row = proposed(here)
    assert (row.version, row.status, row.owner) == (1, BaselineStatus.AWAITING, here.manager)
    assert current(here.connection.pk, "71") is None
    row = services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    assert row.status == BaselineStatus.APPROVED
    assert current(here.connection.pk, "71") == row
    assert {one.side for one in row.request.decisions.all()} == {"provider", "customer"}
    types = list(Event.objects.filter(type__startswith="baseline.").values_list("type", flat=True))
    assert {"baseline.submitted", "baseline.approved"} <= set(types)
    assert AuditEntry.objects.filter(what="baseline.proposed", subject_ref=str(row.ref)).exists()


@pytest.mark.parametrize("who", ["viewer", "editor", "approver", "admin", "stranger"])
def test_nobody_but_the_providers_side_proposes(here, who):
    with pytest.raises(NotPermitted):
        proposed(here, actor=getattr(here, who))
    assert not MeasuredBaseline.objects.exists()


@pytest.mark.parametrize("who", ["manager", "lead", "editor", "stranger"])
def test_who_proposed_it_or_may_not_decide_for_the_customer_does_not_approve(here, who):
    row = proposed(here)
    with pytest.raises(NotPermitted):
        services.decide(row, Verdict.APPROVE, actor=getattr(here, who), seen_digest=row.request.digest)
    assert MeasuredBaseline.objects.get().status == BaselineStatus.AWAITING


def test_another_digest_approves_nothing(here):
    row = proposed(here)
    with pytest.raises(StaleState):
        services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest="0" * 64)


def test_figures_of_the_highest_step_that_passes_are_what_is_approved(here):
    row = proposed(here)
    measured = row.content["measured"]
    assert measured["load"] == {"kind": "closed", "per_node": 30.0}
    figures = {one["key"]: one for one in measured["figures"]}
    assert figures["p95_ms"]["value"] == 267.0
    assert figures["requests_per_s_per_node"]["value"] == pytest.approx(90.0, abs=0.5)
    assert figures["p95_ms"]["low"] <= figures["p95_ms"]["value"] <= figures["p95_ms"]["high"]
    assert figures["error_ratio"]["of"] > 20_000


def test_a_step_of_ones_own_choice_is_taken_and_one_that_fails_is_not(here):
    run = run_at(here, 20)
    assert services.from_benchmark(run, users_per_node=10.0).measured.load.per_node == 10.0
    assert "may" in services.from_benchmark(run, users_per_node=35.0).why_not
    why_not = services.from_benchmark(run, users_per_node=999.0).why_not
    assert why_not.startswith("No step of the run has a load of 999 for each server. There are: 5, 10,")


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ({"was_aborted": True}, "stopped before its end"),
        ({"generator_cpu": 0.97}, "processor was 97% busy"),
        ({"generator_addresses": 1, "tied_to_address": True}, "one address"),
        ({"node_count": None}, "how many servers took part"),
        ({"software": ""}, "the version of the software"),
        ({"mix": ""}, "what was asked for"),
    ],
)
def test_a_run_that_proves_nothing_or_tells_too_little_never_becomes_one(here, described, says):
    run = run_at(here, 20, **described)
    assert says in services.from_benchmark(run).why_not
    with pytest.raises(Refused, match="cannot become a baseline"):
        proposed(here, run)


def test_a_run_that_is_set_aside_before_the_yes_is_not_approved_and_one_after_it_counts_no_more(here):
    run = run_at(here, 20)
    row = proposed(here, run)
    benchmarks.set_aside(run, because="The wrong pool.", with_baselines=True, actor=here.manager)
    with pytest.raises(StaleState, match="does not count any more"):
        services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    benchmarks.count_again(run, actor=here.manager)
    services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    assert [one.probe for one in reference(here).baselines] == [WHOLE_SITE]
    benchmarks.set_aside(run, because="The wrong pool.", with_baselines=True, actor=here.manager)
    assert reference(here).baselines == ()
    run.refresh_from_db()
    assert "set aside" in services.from_benchmark(run).why_not


@pytest.mark.parametrize("is_approved", [True, False])
@pytest.mark.parametrize(
    "other", [{"node_count": 3}, {"flavor": "general1-8"}, {"software": ""}, {"mix": "all cached"}]
)
def test_what_a_baseline_was_measured_under_stays_while_it_waits_or_is_approved(here, other, is_approved):
    row = approved(here) if is_approved else proposed(here)
    with pytest.raises(Refused, match="Baseline version 1") as refusal:
        benchmarks.describe(row.benchmark, actor=here.manager, **other)
    assert refusal.value.code == "baseline_rests"
    run = benchmarks.describe(row.benchmark, actor=here.manager, reason="Before the sale.", generator_cpu=0.5)
    assert (run.reason, run.node_count) == ("Before the sale.", 6)
    services.withdraw(row, actor=here.manager, reason="Three took part.")
    assert benchmarks.describe(run, actor=here.manager, node_count=3).node_count == 3


def test_the_chart_of_a_baseline_is_of_the_servers_that_were_approved(here, client):
    """Whatever was said of the benchmark since: nothing keeps an older portal from it."""
    row = approved(here)
    most = page(client, here, "baseline", row.ref).context["known"].drawn.most
    type(row.benchmark).objects.update(node_count=3)
    assert page(client, here, "baseline", row.ref).context["known"].drawn.most == most


def test_a_baseline_whose_benchmark_is_set_aside_is_told_everywhere_and_before(here, client):
    row = approved(here)
    run, api = row.benchmark, Caller(here.editor)
    with pytest.raises(
        Refused, match=r"Baseline version 1 \(approved\) of load balancer 71 rests on"
    ) as refusal:
        benchmarks.set_aside(run, because="The wrong pool.", actor=here.manager)
    assert refusal.value.code == "baseline_rests"
    html = page(client, here, "benchmark", run.ref).content.decode()
    assert "A baseline rests on it" in html
    asked = page(client, here, "benchmark-aside", run.ref, who="editor")
    assert "plans read neither it nor" in asked.content.decode()
    address = reverse("capacity:benchmark-aside", args=[run.ref])
    assert client.post(address, {"reason": "The wrong pool."}).status_code == 422
    assert api.post(f"/benchmarks/{run.ref}/set-aside", {"reason": "x"}, status=422)["type"].endswith(
        "baseline-rests"
    )
    assert api.get(f"/baselines/{row.ref}")["benchmark_set_aside_because"] == ""
    said = client.post(address, {"reason": "The wrong pool.", "with_baselines": "on"})
    assert said.status_code == 302
    assert api.get(f"/baselines/{row.ref}")["benchmark_set_aside_because"] == "The wrong pool."
    (resting,) = api.get(f"/benchmarks/{run.ref}")["baselines"]
    assert (resting["ref"], resting["version"], resting["status"]) == (str(row.ref), 1, "approved")
    for name, of in (("benchmark", run), ("baseline", row)):
        html = page(client, here, name, of.ref).content.decode()
        assert "plans read neither it nor what one server carries by it" in html
    assert (
        "its benchmark does not count"
        in page(client, here, "baseline-list", here.account.ref).content.decode()
    )
    assert finding(here).says == "A baseline rests on a benchmark that does not count any more."
    services.withdraw(row, actor=here.manager, reason="The wrong pool.")
    assert "plans read neither" not in page(client, here, "benchmark", run.ref).content.decode()


@pytest.mark.parametrize(
    ("make_one", "what"), [(approved, "Withdraw this version"), (proposed, "this cannot be approved")]
)
def test_a_baseline_whose_benchmark_is_found_to_prove_nothing_says_so(here, client, make_one, what):
    row = make_one(here)
    assert "proves nothing" not in page(client, here, "baseline", row.ref).content.decode()
    benchmarks.describe(row.benchmark, actor=here.manager, was_aborted=True)
    html = page(client, here, "baseline", row.ref).content.decode()
    assert "It was stopped before its end. So it was said of the benchmark since." in html
    assert what in html


def test_a_proposal_whose_benchmark_is_set_aside_says_that_it_cannot_be_approved(here, client):
    row = proposed(here)
    benchmarks.set_aside(row.benchmark, because="The wrong pool.", with_baselines=True, actor=here.manager)
    html = page(client, here, "baseline", row.ref, who="approver").content.decode()
    assert "As long as that is so, this cannot be approved." in html


@pytest.mark.parametrize("name", ["k6-handle-summary.json"])
def test_a_run_whose_own_condition_was_missed_never_becomes_one(here, name):
    run, _ = benchmarks.take_in(
        here.account,
        data(name),
        file_name=name,
        actor=here.manager,
        connection=here.connection,
        balancer_id="71",
        ran_at=timezone.now() - timedelta(days=2),
        **ENVIRONMENT,
    )
    run.result["thresholds"] = [{"metric": "http_req_duration", "expression": "p(95)<300", "held": False}]
    assert "condition of its script" in services.from_benchmark(run).why_not


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"reason": "  "}, "Say why"),
        ({"valid_until": timezone.now() - timedelta(days=1)}, "a day to come"),
        # Whoever types today gets the end of today in UTC.
        (
            {
                "valid_until": timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
                + timedelta(days=1)
            },
            "a day to come",
        ),
        ({"valid_until": timezone.now() + timedelta(days=900)}, "two years"),
        ({"tolerances": {"p95_ms": -1.0}}, "above 0"),
        ({"tolerances": {"nonsense": 0.1}}, "no figure"),
    ],
)
def test_what_cannot_be_proposed_is_refused_with_a_sentence(here, more, says):
    with pytest.raises(Refused, match=says):
        proposed(here, **more)


def test_one_proposal_of_a_pool_waits_at_a_time(here):
    run = run_at(here, 20)
    proposed(here, run)
    with pytest.raises(StaleState, match="waits for approval already"):
        proposed(here, run)


# --- versions ------------------------------------------------------------------------------------------------------


def test_a_newer_one_is_a_version_of_its_own_and_the_one_before_stays(here):
    first = approved(here, run_at(here, 30))
    second = approved(here, run_at(here, 20))
    assert [one.version for one in (first, second)] == [1, 2]
    assert current(here.connection.pk, "71") == second
    services.withdraw(second, actor=here.manager, reason="The cache was cold.")
    assert current(here.connection.pk, "71") == first
    assert MeasuredBaseline.objects.get(pk=second.pk).status == BaselineStatus.VOIDED


def test_the_database_refuses_to_change_what_was_approved(here):
    row = approved(here)
    for field, value in (("content", {}), ("version", 9), ("valid_until", timezone.now())):
        with pytest.raises(DatabaseError, match="stays as it was proposed"), transaction.atomic():
            MeasuredBaseline.objects.filter(pk=row.pk).update(**{field: value})


def test_a_rejected_one_counts_for_nothing(here):
    row = proposed(here)
    row = services.decide(
        row, Verdict.REJECT, actor=here.approver, seen_digest=row.request.digest, reason="Too old."
    )
    assert row.status == BaselineStatus.REJECTED
    assert reference(here).baselines == ()


# --- what came after ---------------------------------------------------------------------------------------------


def test_a_newer_run_is_compared_as_it_comes_in_and_two_worse_ones_alarm_once(here):
    row = approved(here)
    run_at(here, 9)
    assert [one.verdict for one in row.comparisons.all()] == ["same"]
    run_at(here, 6, slower=1.5)
    assert not Event.objects.filter(type="baseline.worse").exists()
    assert selectors.standing(row.comparisons.all()).is_confirmed is False
    run_at(here, 3, slower=1.6)
    stands = selectors.standing(row.comparisons.all())
    assert (stands.verdict, stands.is_confirmed) == ("worse", True)
    event = Event.objects.get(type="baseline.worse")
    assert "p95_ms" in event.data["figures"]
    told = Message.objects.filter(purpose="baseline_worse")
    assert {one.user for one in told} == {here.manager, here.lead}


def test_what_was_measured_since_is_held_against_the_version_that_counts_by_now(here):
    first = approved(here, run_at(here, 20))
    worse = [run_at(here, 6, slower=1.5), run_at(here, 3, slower=1.6)]
    second = approved(here, first.benchmark)
    stands = selectors.standing(second.comparisons.all())
    assert (stands.verdict, stands.is_confirmed) == ("worse", True), "the same run again is no way out"
    for one in worse:
        benchmarks.set_aside(one, because="The network was down.", actor=here.manager)
    services.withdraw(second, actor=here.manager, reason="By mistake.")
    stands = selectors.standing(first.comparisons.all())
    assert stands.is_confirmed is False, "runs that do not count say nothing of the version that counts again"


BY_HAND = 100.0
"""What the fixture knows of one server."""


@pytest.mark.parametrize(
    "said",
    [{"was_aborted": True}, {"generator_cpu": 0.97}, {"generator_addresses": 1, "tied_to_address": True}],
)
def test_a_ceiling_and_a_baseline_of_a_run_that_is_found_to_prove_nothing_count_no_more(here, said):
    row = approved(here)
    assert reference(here).ceiling.requests_per_s != BY_HAND
    assert [one.source for one in reference(here).baselines] == ["approved baseline 1"]
    benchmarks.describe(row.benchmark, actor=here.manager, **said)
    assert (reference(here).ceiling.requests_per_s, reference(here).baselines) == (BY_HAND, ())


def test_a_ceiling_counts_no_more_once_its_run_was_another_one_than_was_said(here):
    run = run_at(here, 5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    benchmarks.describe(run, actor=here.manager, reason="Before the launch.")
    assert reference(here).ceiling.requests_per_s != BY_HAND, "nothing that it was measured under"
    benchmarks.describe(run, actor=here.manager, node_count=3)
    assert reference(here).ceiling.requests_per_s == BY_HAND
    taken = services.take_ceiling(here.connection, "71", actor=here.manager)
    assert reference(here).ceiling.requests_per_s == taken.requests_per_s


def test_a_file_of_the_wrong_pool_is_taken_in_of_the_right_one_once_it_does_not_count(here):
    run = run_at(here, 5)
    content = benchmarks.file_of(run)

    def again(pool):
        return benchmarks.take_in(
            here.account,
            content,
            file_name="again.csv",
            actor=here.manager,
            connection=here.connection,
            balancer_id=pool,
        )

    assert again("72") == (run, False)
    benchmarks.set_aside(run, because="The wrong pool.", actor=here.manager)
    assert again("71")[1] is False, "handed in again by a pipeline it does not count either"
    right, is_new = again("72")
    assert (is_new, right.balancer_id) == (True, "72")
    assert again("72") == (right, False)
    with pytest.raises(Refused, match="counts as"):
        benchmarks.count_again(run, actor=here.manager)


def test_the_least_of_all_kinds_is_the_pools_own_limit(here):
    def enter(kind, requests_per_s):
        enter_limit(here, kind, requests_per_s)
        return ceilings.own_limit_of(here.connection.pk, "71").requests_per_s

    assert enter("database", 170.0) == 170.0
    assert enter("cache", 400.0) == 170.0
    assert enter("database", 900.0) == 400.0


def enter_limit(here, kind, requests_per_s, **more):
    return services.enter_limit(
        here.connection,
        "71",
        kind=kind,
        requests_per_s=requests_per_s,
        source="its owner",
        actor=here.manager,
        **more,
    )


def test_a_limit_is_taken_back_and_the_least_that_remains_counts(here):
    for kind, requests_per_s in (("database", 900.0), ("database", 170.0), ("cache", 400.0)):
        enter_limit(here, kind, requests_per_s)
    services.take_back_limit(here.connection, "71", kind="database", actor=here.manager)
    assert [one.kind for one in ceilings.limits_of(here.connection.pk, "71")] == ["cache"], (
        "the older figure of the database was replaced and does not come back"
    )
    assert ceilings.own_limit_of(here.connection.pk, "71").requests_per_s == 400.0
    assert AuditEntry.objects.filter(what="pool_limit.taken_back").count() == 1
    with pytest.raises(StaleState, match="no such limit"):
        services.take_back_limit(here.connection, "71", kind="database", actor=here.manager)
    enter_limit(here, "database", 300.0)
    assert ceilings.own_limit_of(here.connection.pk, "71").requests_per_s == 300.0


def test_two_people_who_change_the_limits_over_each_other_are_told(here, client):
    enter_limit(here, "database", 170.0)
    client.force_login(here.manager)
    address = f"/connections/{here.connection.ref}/pools/71/ceiling/"
    seen = client.get(address).context["limits_seen"]
    enter_limit(here, "database", 250.0)
    typed = {"kind": "cache", "requests_per_s": "5000", "source": "its maker", "seen": seen}
    late = client.post(address, typed)
    assert late.status_code == 409
    page = late.content.decode()
    assert "Somebody changed the pool’s own limits meanwhile" in page
    assert "database 250 requests a second (its owner)" in page
    assert 'value="5000' in page, "what was typed is there still"
    back = client.post(address, {"act": "take_back", "kind": "database", "seen": seen})
    assert back.status_code == 409
    assert [one.requests_per_s for one in ceilings.limits_of(here.connection.pk, "71")] == [250.0]
    again = {**typed, "seen": late.context["limits_seen"]}
    assert client.post(address, again).status_code == 302
    shown = client.get(address)
    assert "The least of them counts." in shown.content.decode()
    assert "Take back: database" in shown.content.decode()
    back = client.post(
        address, {"act": "take_back", "kind": "database", "seen": shown.context["limits_seen"]}
    )
    assert back.status_code == 302
    assert [one.kind for one in ceilings.limits_of(here.connection.pk, "71")] == ["cache"]
    client.force_login(here.viewer)
    assert "Take back" not in client.get(address).content.decode()
    assert client.post(address, {"act": "take_back", "kind": "cache"}).status_code == 403


def test_two_people_who_enter_what_one_server_carries_over_each_other_are_told(here, client):
    client.force_login(here.manager)
    address = f"/connections/{here.connection.ref}/pools/71/"
    seen = client.get(address).context["seen"]
    known = {"ceiling_rps": 90.0, "ceiling_source": "step test"}
    entering.enter_known(here.connection, "71", known, actor=here.editor)
    typed = {"ceiling_rps": "120", "ceiling_source": "by heart", "seen": seen}
    late = client.post(address, typed)
    assert late.status_code == 409
    assert "Now it is: 90 requests a second (step test)" in late.content.decode()
    assert not Ceiling.objects.filter(requests_per_s=120.0).exists()
    wrong = client.post(address, {**typed, "ceiling_rps": "much"})
    assert wrong.context["seen"] == seen, "a typing error makes nobody blind for what others changed"
    assert client.post(address, {**typed, "seen": late.context["seen"]}).status_code == 302
    of_others = {"forecast_rps": "900", "forecast_source": "the shop", "seen": seen}
    assert client.post(address, of_others).status_code == 302, "another figure is not in their way"
    evidence_page = f"{address}ceiling/"
    approved(here)
    assert client.post(evidence_page, {"act": "take", "seen": seen}).status_code == 409


def test_limits_are_taken_back_through_the_api_by_who_read_them(here):
    api = Caller(here.editor)
    pool = f"/connections/{here.connection.ref}/pools/71"
    limit = {"kind": "database", "requests_per_s": 170.0, "source": "its owner"}
    api.post(f"{pool}/limit", limit)
    tag = api.ask("get", f"{pool}/ceiling").headers["ETag"]
    found = api.post(
        f"{pool}/limit", {**limit, "kind": "cache", "requests_per_s": 400.0}, **{"If-Match": tag}
    )
    assert [one["kind"] for one in found["own_limits"]] == ["database", "cache"]
    api.post(f"{pool}/limit", limit, status=412, **{"If-Match": tag})
    assert api.ask("delete", f"{pool}/limit/database").status_code == 428
    assert api.ask("delete", f"{pool}/limit/database", **{"If-Match": tag}).status_code == 412
    tag = api.ask("get", f"{pool}/ceiling").headers["ETag"]
    left = api.ask("delete", f"{pool}/limit/database", **{"If-Match": tag})
    assert left.status_code == 200, left.content
    assert left.json()["own_limit"]["kind"] == "cache"
    assert api.ask("delete", f"{pool}/limit/database", **{"If-Match": "*"}).status_code == 404
    tag = api.ask("get", pool).headers["ETag"]
    ceiling = {"ceiling_rps": 90.0, "ceiling_source": "step test"}
    api.post(pool, ceiling, **{"If-Match": tag})
    api.post(pool, {**ceiling, "ceiling_rps": 120.0}, status=412, **{"If-Match": tag})


def test_what_is_said_of_a_run_later_changes_its_comparison(here):
    row = approved(here)
    run = run_at(here, 5, slower=1.6)
    assert row.comparisons.get().verdict == "worse"
    benchmarks.describe(run, actor=here.manager, generator_cpu=0.99)
    found = row.comparisons.get()
    assert found.verdict == "not_comparable"
    assert "99% busy" in found.found["why"][0]


def test_another_number_of_servers_is_not_comparable(here):
    row = approved(here)
    run_at(here, 5, node_count=3)
    found = row.comparisons.get()
    assert found.verdict == "not_comparable"
    assert "Another number of servers" in found.found["why"][0]


def test_a_run_from_before_is_not_held_against_it(here):
    row = approved(here)
    run_at(here, 40, slower=2.0)
    assert not row.comparisons.exists()


def test_the_tolerance_is_learnt_from_the_accounts_own_runs(here):
    for days, slower in ((50, 1.0), (45, 1.1), (40, 0.95), (35, 1.05)):
        run_at(here, days, slower=slower)
    row = proposed(here)
    tolerance = {one["key"]: one for one in row.content["measured"]["figures"]}["p95_ms"]
    assert tolerance["learnt_from"] == 5
    assert 0.1 < tolerance["tolerance"] < 0.3
    # What came after it is not its usual spread.
    for days in (5, 4, 3):
        run_at(here, days, slower=1.8)
    services.withdraw(row, actor=here.manager, reason="Again.")
    again = proposed(here, row.benchmark).content["measured"]["figures"]
    assert {one["key"]: one for one in again}["p95_ms"]["tolerance"] == tolerance["tolerance"]


# --- series --------------------------------------------------------------------------------------------------------


def keep(here, rows):
    limits = samples.limits_at(timezone.now(), "api")
    samples.take_in(here.account, read_csv(rows, limits), keep_good=False, actor=here.manager)


def sampled(here, begins, minutes, p95, rate=300.0, nodes=6):
    rows = ["name,resource,at,value"]
    for minute in range(minutes):
        at = (begins + timedelta(minutes=minute)).isoformat()
        wobble = 1 + 0.02 * (minute % 5)
        rows += [
            f"latency_p95_ms,shop,{at},{p95 * wobble}",
            f"latency_p50_ms,shop,{at},{p95 / 3 * wobble}",
            f"error_ratio,shop,{at},0.0002",
            f"requests_per_s,shop,{at},{rate}",
            f"nodes,shop,{at},{nodes}",
        ]
    keep(here, rows)


def hour_asked(here, begins):
    """What somebody types into the form for a baseline from the series of this hour."""
    return {
        "pool": f"{here.connection.ref}:71",
        "resource": "shop",
        "begins_at": f"{begins:%Y-%m-%dT%H:%M}",
        "ends_at": f"{begins + timedelta(hours=1):%Y-%m-%dT%H:%M}",
        "flavor": "general1-4",
        "software": "shop 4.12",
    }


def series_of(here, begins, **more):
    given = {"resource": "shop", "begins_at": begins, "ends_at": begins + timedelta(hours=1)}
    return services.from_series(
        here.account, here.connection, "71", flavor="general1-4", software="shop 4.12", **{**given, **more}
    )


def test_a_burst_is_in_the_percentile_and_in_the_share_that_failed(here):
    """Of an hour six minutes took seconds, and in three of them everything failed: no median shows either."""
    begins = (timezone.now() - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    sampled(here, begins, 60, 100.0)
    burst = begins + timedelta(minutes=20)
    sampled(here, burst, 6, 6000.0)
    rows = [f"error_ratio,shop,{(burst + timedelta(minutes=n)).isoformat()},1" for n in range(3)]
    keep(here, ["name,resource,at,value", *rows])
    found = {
        one.key: one.value
        for one in stretches.measured(here.account, "shop", begins, begins + timedelta(hours=1)).figures
    }
    assert found["p95_ms"] > 1500
    assert found["p50_ms"] < 60
    assert found["error_ratio"] == pytest.approx(3 / 60, rel=0.01)


def test_a_burst_of_a_step_is_in_its_percentile():
    calm = {"length_s": 10.0, "requests": 1000, "requests_per_s": 100.0, "p50_ms": 30.0, "p95_ms": 80.0}
    slow = {**calm, "p50_ms": 4000.0, "p95_ms": 5000.0}
    points = [{**(slow if n % 10 == 5 else calm), "offset_s": 10.0 * n} for n in range(40)]
    steps = [
        {"users": users, "offset_s": at, "length_s": 200.0, "requests": 20_000, "failures": 0}
        for users, at in ((10, 0.0), (20, 200.0))
    ]
    for one in evidence.stretches_of({"steps": steps, "points": points}):
        assert 3500 < one.latencies["p95_ms"] < 4600
        assert 25 < one.latencies["p50_ms"] < 50


def test_a_stretch_of_series_becomes_one_and_the_same_hours_of_later_weeks_are_held_against_it(here):
    begins = (timezone.now() - timedelta(days=22)).replace(minute=0, second=0, microsecond=0)
    for weeks, p95 in ((0, 200.0), (1, 205.0), (2, 300.0), (3, 310.0)):
        sampled(here, begins + timedelta(days=7 * weeks), 60, p95)
    source = series_of(here, begins)
    assert source.why_not == ""
    row = services.propose(
        source, valid_until=timezone.now() + timedelta(days=9), reason="A calm hour.", actor=here.manager
    )
    row = services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    assert row.load_per_node_rps == pytest.approx(50.0)
    for days in (8, 15, 22):
        known.tend(begins + timedelta(days=days))
    verdicts = list(row.comparisons.order_by("measured_at").values_list("verdict", flat=True))
    assert verdicts == ["same", "worse", "worse"]
    assert Event.objects.filter(type="baseline.worse").count() == 1
    known.tend(begins + timedelta(days=22))
    assert row.comparisons.count() == 3


def test_without_the_number_of_servers_a_stretch_is_no_baseline(here):
    begins = (timezone.now() - timedelta(days=8)).replace(minute=0, second=0, microsecond=0)
    rows = ["name,resource,at,value"]
    rows += [f"latency_p95_ms,shop,{(begins + timedelta(minutes=n)).isoformat()},200" for n in range(40)]
    keep(here, rows)
    assert "number of servers" in series_of(here, begins).why_not
    assert "half an hour" in series_of(here, begins, ends_at=begins + timedelta(minutes=5)).why_not
    assert "Nothing was measured" in series_of(here, begins, resource="else").why_not


# --- what plans read ---------------------------------------------------------------------------------------------


def test_plans_read_the_approved_baseline_and_the_ceiling_of_its_run_with_source_and_owner(here):
    before = reference(here)
    assert before.ceiling.requests_per_s == 100.0
    row = approved(here)
    after = reference(here)
    assert after.ceiling.requests_per_s == pytest.approx(90.0, abs=0.5)
    assert row.benchmark.title in after.ceiling.source
    found = after.baselines[0]
    assert (found.probe, found.source, found.author) == (
        WHOLE_SITE,
        "approved baseline 1",
        str(here.manager),
    )
    assert found.at == row.measured_at
    assert reference(here, row.decided_at - timedelta(seconds=1)).baselines == ()
    assert reference(here, row.valid_until).baselines == ()


def test_the_newest_ceiling_counts_and_one_whose_run_is_set_aside_does_not(here):
    row = approved(here)
    entering.enter_ceiling(
        here.account,
        here.connection,
        "71",
        requests_per_s=60.0,
        source="the database is slow this week",
        at=timezone.now(),
        actor=here.manager,
    )
    assert reference(here).ceiling.requests_per_s == 60.0
    services.take_ceiling(here.connection, "71", actor=here.manager)
    assert reference(here).ceiling.requests_per_s == pytest.approx(90.0, abs=0.5)
    benchmarks.set_aside(row.benchmark, because="The wrong pool.", with_baselines=True, actor=here.manager)
    assert reference(here).ceiling.requests_per_s == 60.0


def test_a_simple_benchmark_alone_is_no_ceiling(here):
    benchmarks.take_in(
        here.account,
        data("hey.txt"),
        file_name="hey.txt",
        actor=here.manager,
        connection=here.connection,
        balancer_id="71",
        ran_at=timezone.now() - timedelta(days=2),
        **ENVIRONMENT,
    )
    with pytest.raises(Refused, match="no ceiling to take"):
        services.take_ceiling(here.connection, "71", actor=here.manager)
    assert not Ceiling.objects.exclude(rank="").exists()


def test_a_newer_benchmark_in_which_no_step_passes_is_evidence_and_lets_nothing_older_count(here):
    approved(here)
    assert reference(here).ceiling.requests_per_s == pytest.approx(90.0, abs=0.5)
    run_at(here, 3, slower=5.0)
    found = ceilings.ceiling_of(here.connection, "71")
    assert found.ranked.taken is None
    assert "kept what is promised under no load" in found.ranked.why
    assert [bool(one.passed_nothing) for one in found.ranked.listed] == [True, False]
    with pytest.raises(Refused, match="under no load"):
        services.take_ceiling(here.connection, "71", actor=here.manager)
    (says,) = doubts.doubts_about(here.connection, "71", reference(here).ceiling)
    assert "under no load" in says


def test_a_newer_benchmark_that_carries_less_and_newer_software_make_a_ceiling_doubtful(here):
    row = approved(here)
    figure = reference(here).ceiling
    assert doubts.doubts_about(here.connection, "71", figure) == ()
    changed = {"account": here.account, "kind": "deployment", "title": "Release", "made_by": here.manager}
    Marker.objects.create(
        **changed, at=timezone.now() - timedelta(days=1), software=row.benchmark.software, source="a"
    )
    Marker.objects.create(**changed, at=timezone.now() - timedelta(days=30), software="shop 3", source="b")
    assert doubts.doubts_about(here.connection, "71", figure) == ()
    run_at(here, 10, node_count=8)
    less = doubts.doubts_about(here.connection, "71", figure)
    assert len(less) == 1
    assert "one server carried" in less[0]
    Marker.objects.create(**changed, at=timezone.now(), software="shop 5.0", source="c")
    assert [one.split(" came on")[0] for one in doubts.doubts_about(here.connection, "71", figure)][
        1
    ] == "shop 5.0"


def test_a_promise_that_became_stricter_makes_a_ceiling_doubtful(here):
    run_at(here, 5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    figure = reference(here).ceiling
    assert doubts.doubts_about(here.connection, "71", figure) == ()
    entering.enter_objective(
        here.account,
        here.connection,
        "71",
        error_ratio=0.001,
        latency_ms=245.0,
        source="contract",
        at=timezone.now(),
        actor=here.manager,
    )
    (says,) = doubts.doubts_about(here.connection, "71", figure)
    assert says.startswith("By what is promised now one server carried")


def test_the_page_of_the_ceiling_shows_what_is_in_force_and_what_speaks_against_it(here, client):
    approved(here)
    run_at(here, 3, slower=5.0)
    client.force_login(here.manager)
    shown = client.get(f"/connections/{here.connection.ref}/pools/71/ceiling/").content.decode()
    assert "In force" in shown
    assert "The figure in force is doubtful" in shown
    assert "Let it count" not in shown


def test_half_a_promise_leaves_the_other_half(here):
    entering.enter_known(
        here.connection,
        "71",
        {"objective_latency_ms": 350.0, "objective_source": "their ticket"},
        actor=here.manager,
    )
    promised = reference(here).objective
    assert (promised.error_ratio, promised.latency_ms, promised.latency_share) == (0.001, 350.0, 0.95)
    assert promised.source == "their ticket; the rest: contract"
    entering.enter_known(
        here.connection,
        "71",
        {"objective_error_ratio": 0.0, "objective_source": "newest"},
        actor=here.manager,
    )
    promised = reference(here).objective
    assert (promised.error_ratio, promised.latency_ms) == (0.0, 350.0)


def test_what_a_real_event_carried_is_evidence_and_counts_where_it_is_higher(here):
    run_at(here, 20)
    event = TrafficEvent.objects.get(account=here.account)
    now = timezone.now()
    known_size = {
        "flavor": "general1-4",
        "size_since": now - timedelta(days=90),
        "seen_at": now + timedelta(days=90),
    }
    SizedPool.objects.create(
        account=here.account, connection=here.connection, balancer_id="71", name="web", **known_size
    )
    FineLoad.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id="71",
        requests_per_s=94.0,
        seen_at=event.starts_at + timedelta(hours=1),
        source="the board",
        at=max(now, event.starts_at + timedelta(hours=1)),
    )
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken.rank, found.ranked.taken.requests_per_s) == ("live", 94.0)
    assert found.ranked.taken.is_least
    # The desk entered 100 by hand before, which is known and higher.
    with pytest.raises(Refused, match="only a lower bound, 94 requests"):
        services.take_ceiling(here.connection, "71", actor=here.manager)
    row = services.take_ceiling(here.connection, "71", actor=here.manager, for_higher=True)
    assert (row.rank, row.benchmark, row.is_least) == ("live", None, True)
    assert row.source.startswith(f"typed as a load that was fine at {event.name}")
    assert reference(here).ceiling.is_least


def test_the_fitted_curve_stands_in_the_table_behind_its_chart(here, client):
    row = approved(here)
    for name, args in (("baseline", [row.ref]), ("ceiling", [here.connection.ref, "71"])):
        html = page(client, here, name, *args).content.decode()
        assert html.count('<th scope="col" class="r">Curve</th>') == 2
        assert html.count("the curve</span>") > 20


def test_the_curve_of_the_step_test_is_fitted_and_the_pools_own_limit_stands_apart(here):
    run_at(here, 20)
    services.enter_limit(
        here.connection, "71", kind="database", requests_per_s=560.0, source="its owner", actor=here.manager
    )
    found = ceilings.ceiling_of(here.connection, "71")
    assert found.passing.step.users == 180
    assert found.passing.fails_at.users == 210
    assert found.fit is not None
    assert found.fit.curve.at(150) == pytest.approx(468.8, rel=0.1)
    assert found.own_limit.requests_per_s == 560.0
    run_at(here, 10, node_count=8)
    assert ceilings.ceiling_of(here.connection, "71").shown_limit.node_count == 8


def test_the_chart_of_the_ceiling_says_of_how_many_requests_the_latency_is(here, client):
    run_at(here, 20)
    client.force_login(here.viewer)
    address = reverse("capacity:ceiling", args=[here.connection.ref, "71"])
    page = client.get(address).content.decode()
    assert "<title>95 of 100 requests within, by the users of one server</title>" in page
    assert "95 of 100 within (ms)" in page
    known = {
        "objective_latency_ms": 900.0,
        "objective_latency_share": 0.99,
        "objective_source": "their ticket",
    }
    entering.enter_known(here.connection, "71", known, actor=here.manager)
    assert "99 of 100 requests within, ms" in client.get(address).content.decode()


def test_no_probe_takes_the_name_that_measured_baselines_have(here):
    with pytest.raises(Refused, match="is no probe"):
        entering.set_probe(
            here.account, here.connection, "71", name=WHOLE_SITE, actor=None, url="https://x.example/"
        )


# --- scorecard and notices ----------------------------------------------------------------------------------------


def finding(here, now=None):
    return facts.ask_one(here.account, now or timezone.now(), keys=["baseline"])["baseline"]


def test_the_scorecard_says_how_the_baselines_stand(here):
    assert finding(here).grade == "unknown"
    row = approved(here)
    assert finding(here).grade == "green"
    assert finding(here, row.valid_until + timedelta(hours=1)).grade == "amber"
    run_at(here, 9, software="shop 4.13")
    assert finding(here).says == "A baseline is older than the software."
    run_at(here, 6, slower=1.6)
    run_at(here, 3, slower=1.6)
    assert finding(here).grade == "red"
    assert "confirmed by a second measurement" in finding(here).says


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"software": "shop 4.13"}, "A baseline is older than the software."),
        ({"kind": "configuration"}, "A baseline is older than the software."),
        ({"software": "shop 4.12"}, ""),
        ({"kind": "other"}, ""),
        ({"days": 30}, ""),
    ],
)
def test_a_change_that_was_announced_makes_a_baseline_older_than_the_software(here, change, says):
    row = approved(here)
    Marker.objects.create(
        account=here.account,
        kind=change.get("kind", "deployment"),
        title="A change",
        software=change.get("software", ""),
        at=timezone.now() - timedelta(days=change.get("days", 1)),
        made_by=here.manager,
    )
    found = finding(here)
    assert (found.says == says) if says else (found.grade == "green")
    assert bool(selectors.changed_since([row])) is bool(says)


def test_a_baseline_that_cannot_be_read_stands_in_nobodys_way(here, monkeypatch):
    begins = (timezone.now() - timedelta(days=8)).replace(minute=0, second=0, microsecond=0)
    sampled(here, begins, 60, 200.0)
    row = services.propose(
        series_of(here, begins),
        valid_until=timezone.now() + timedelta(days=9),
        reason="A calm hour.",
        actor=here.manager,
    )
    services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)

    def broken(baseline, now):
        raise KeyError("measured")

    monkeypatch.setattr(known, "compare_stretch", broken)
    assert known.tend(begins + timedelta(days=8)) == (0, 1)
    assert Message.objects.filter(purpose="baseline_old").count() == 1


def test_its_owner_is_told_two_weeks_before_the_last_day_and_after_it_each_once(here):
    row = approved(here)
    now = timezone.now()
    for at in (now, row.valid_until - timedelta(days=13), row.valid_until - timedelta(days=12)):
        known.tend(at)
    for days in (1, 2):
        known.tend(row.valid_until + timedelta(days=days))
    told = Message.objects.filter(purpose="baseline_old").order_by("pk")
    assert [(one.user, one.period) for one in told] == [(here.manager, "soon:1"), (here.manager, "over:1")]


# --- pages ---------------------------------------------------------------------------------------------------------


def page(client, here, name, *args, who="viewer"):
    client.force_login(getattr(here, who))
    return client.get(reverse(f"capacity:{name}", args=args))


def test_the_list_and_the_page_say_how_the_site_stands(here, client):
    row = approved(here)
    run_at(here, 6, slower=1.6)
    html = page(client, here, "baseline-list", here.account.ref).content.decode()
    assert "version 1" in html
    assert 'data-state="worse"' in html
    html = page(client, here, "baseline", row.ref).content.decode()
    assert "A second one that says so would confirm it" in html
    assert "267 ms" in html
    assert "Universal Scalability Law" in html
    assert html.count('class="chart') == 3


def test_a_pool_that_is_sized_is_called_by_its_name_everywhere(here, client):
    row = approved(here)
    assert (
        f"{here.connection.name}, load balancer 71"
        in page(client, here, "benchmark-list", here.account.ref, who="editor").content.decode()
    )
    of = {"account": here.account, "connection": here.connection}
    SizedPool.objects.create(balancer_id="71", name="web", **of)
    SizedPool.objects.create(balancer_id="72", name="api", **of)
    assert pools_of(here.account) == [(f"{here.connection.ref}:71", f"{here.connection.name}, web (71)")]
    assert row.request.title == "Baseline 1 of load balancer 71"
    assert proposed(here, run_at(here, 6)).request.title == "Baseline 2 of web (71)"
    for name, ref in (
        ("benchmark-list", here.account.ref),
        ("baseline-list", here.account.ref),
        ("marker-list", here.account.ref),
        ("baseline", row.ref),
        ("benchmark", row.benchmark.ref),
    ):
        html = page(client, here, name, ref, who="editor").content.decode()
        assert (name, f"{here.connection.name}, web (71)" in html) == (name, True)
    for name in ("ceiling", "pool-known"):
        html = page(client, here, name, here.connection.ref, "71", who="editor").content.decode()
        assert (name, "web (71)" in html) == (name, True)


def test_a_launch_manager_proposes_from_the_page_and_the_customer_approves(here, client):
    run = run_at(here, 20)
    html = page(client, here, "benchmark", run.ref, who="manager").content.decode()
    url = reverse("capacity:benchmark-propose", args=[run.ref])
    assert url in html
    answer = client.get(url)
    assert "30 users on each server" in answer.content.decode()
    form = answer.context["form"]
    given = {name: bound.value() for name, bound in ((one.name, one) for one in form)}
    given |= {"reason": "Before the launch.", "load": answer.context["load_value"]}
    answer = client.post(url, {key: "" if value is None else value for key, value in given.items()})
    row = MeasuredBaseline.objects.get()
    assert answer.headers["Location"] == reverse("capacity:baseline", args=[row.ref])
    assert row.content["measured"]["figures"][1]["tolerance"] == pytest.approx(0.2)
    html = page(client, here, "baseline", row.ref, who="approver").content.decode()
    assert "Approve this baseline" in html
    client.post(reverse("capacity:baseline-approve", args=[row.ref]), {"digest": row.request.digest})
    row.refresh_from_db()
    assert row.status == BaselineStatus.APPROVED


@pytest.mark.parametrize("act", ["approve", "reject"])
def test_who_comes_second_is_asked_nothing_any_more(here, client, monkeypatch, act):
    """The other one decides after this one's page was read and before its lock."""
    row = proposed(here)
    decide, first = services.decide, [here.admin]

    def decided_before(baseline, verdict, **given):
        if first:
            decide(baseline, Verdict.APPROVE, actor=first.pop(), seen_digest=row.request.digest)
        return decide(baseline, verdict, **given)

    monkeypatch.setattr(services, "decide", decided_before)
    client.force_login(here.approver)
    address = reverse(f"capacity:baseline-{act}", args=[row.ref])
    answer = client.post(address, {"digest": row.request.digest, "reason": "Too slow."})
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "is approved by now, so there is nothing left to decide" in html
    assert "Approve this baseline" not in html
    assert "Hold the site against this?" not in html
    assert 'name="reason"' not in html
    assert act == "approve" or "You wrote: Too slow." in html


def test_a_run_that_cannot_become_one_says_why_and_offers_no_button(here, client):
    run = run_at(here, 20, generator_cpu=0.95)
    html = page(client, here, "benchmark-propose", run.ref, who="manager").content.decode()
    assert "processor was 95% busy" in html
    assert "Propose it</button>" not in html


@pytest.mark.parametrize("zone", ["Europe/Stockholm", "America/New_York", "Pacific/Auckland"])
def test_the_last_day_that_was_typed_is_the_one_that_is_shown_everywhere(here, client, zone):
    here.manager.time_zone = here.approver.time_zone = zone
    here.manager.save()
    here.approver.save()
    run = run_at(here, 20)
    url = reverse("capacity:benchmark-propose", args=[run.ref])
    day = (timezone.now() + timedelta(days=60)).date()
    client.force_login(here.manager)
    given = {"valid_until": f"{day}", "owner": str(here.manager.ref), "reason": "Before the launch."}
    assert client.post(url, given).status_code == 302
    row = MeasuredBaseline.objects.get()
    services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    shown = f"{day.day} {day:%b %Y}"
    assert f"<dt>Valid until</dt><dd>{shown}<" in page(client, here, "baseline", row.ref).content.decode()
    listed = page(client, here, "baseline-list", here.account.ref).content.decode()
    assert f'<td data-label="Valid until">{shown}</td>' in listed
    assert facts.last_day(finding(here).expires_at) == day
    over = row.valid_until + timedelta(minutes=1)
    assert finding(here, over).says == f"A baseline was valid until {day}."
    assert [says for _, says, _ in known._old(over)] == [f"It was valid until {day}."]


def test_series_are_proposed_from_their_page(here, client):
    begins = (timezone.now() - timedelta(days=8)).replace(minute=0, second=0, microsecond=0)
    sampled(here, begins, 60, 200.0)
    client.force_login(here.manager)
    url = reverse("capacity:baseline-propose", args=[here.account.ref])
    assert client.get(url).status_code == 200
    given = {
        "pool": f"{here.connection.ref}:71",
        "resource": "shop",
        "begins_at": f"{begins:%Y-%m-%dT%H:%M}",
        "ends_at": f"{begins + timedelta(hours=1):%Y-%m-%dT%H:%M}",
        "node_count": "",
        "flavor": "general1-4",
        "software": "shop 4.12",
    }
    answer = client.get(url, given)
    assert "50 requests a second on each server" in answer.content.decode()
    until = f"{timezone.now() + timedelta(days=30):%Y-%m-%d}"
    answer = client.post(
        url, {**given, "valid_until": until, "owner": str(here.lead.ref), "reason": "A calm hour."}
    )
    assert MeasuredBaseline.objects.get().owner == here.lead
    assert client.get(url, {**given, "begins_at": "nonsense"}).status_code == 422


def test_who_proposes_and_approves_reads_what_is_replaced_and_which_red_goes_with_it(here, client):
    old = approved(here)
    run_at(here, 6, slower=1.6)
    run_at(here, 3, slower=1.6)
    assert finding(here).grade == "red"
    begins = (timezone.now() - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    sampled(here, begins, 60, 200.0)
    client.force_login(here.manager)
    given = hour_asked(here, begins)
    says = (
        "It replaces version 1, from a benchmark.",
        "Benchmarks of this pool are held against nothing then.",
        "confirmed by a second measurement",
    )
    html = client.get(reverse("capacity:baseline-propose", args=[here.account.ref]), given).content.decode()
    assert [one for one in says if one not in html] == []
    row = services.propose(
        series_of(here, begins),
        valid_until=timezone.now() + timedelta(days=90),
        reason="A calm hour.",
        actor=here.manager,
    )
    html = page(client, here, "baseline", row.ref, who="approver").content.decode()
    assert [one for one in says if one not in html] == []
    read = Caller(here.editor).get(f"/baselines/{row.ref}")["replaces"]
    assert (read["version"], read["source"], read["standing"]["is_confirmed"]) == (1, "benchmark", True)
    services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    html = page(client, here, "baseline", row.ref, who="approver").content.decode()
    assert "It replaced version 1, from a benchmark." in html
    assert "The site was worse than version 1" in html
    assert "What it replace" not in page(client, here, "baseline", old.ref).content.decode()


def test_a_newer_run_of_the_same_site_replaces_the_version_before_and_nothing_goes_with_it(here, client):
    old, run = approved(here), run_at(here, 6)
    html = page(client, here, "benchmark-propose", run.ref, who="manager").content.decode()
    assert "It replaces version 1, from a benchmark." in html
    assert "held against nothing" not in html
    row = proposed(here, run)
    api = Caller(here.editor)
    assert api.get(f"/baselines/{row.ref}")["replaces"]["says"] == [
        "It replaces version 1, from a benchmark."
    ]
    assert api.get(f"/baselines/{old.ref}")["replaces"] is None
    services.decide(row, Verdict.REJECT, actor=here.approver, seen_digest=row.request.digest, reason="No.")
    assert api.get(f"/baselines/{row.ref}")["replaces"] is None


def test_a_stretch_with_an_event_in_it_must_be_confirmed_and_the_approver_reads_so(here, client):
    begins = (timezone.now() - timedelta(days=8)).replace(minute=0, second=0, microsecond=0)
    sampled(here, begins, 60, 200.0)
    add_event(
        here.account,
        actor=here.manager,
        name="Autumn launch",
        starts_at=begins - timedelta(hours=5),
        ends_at=begins + timedelta(minutes=10),
    )
    client.force_login(here.manager)
    url = reverse("capacity:baseline-propose", args=[here.account.ref])
    given = hour_asked(here, begins)
    html = client.get(url, given).content.decode()
    assert "It overlaps an event" in html
    assert "“Autumn launch”" in html
    given |= {
        "valid_until": f"{timezone.now() + timedelta(days=30):%Y-%m-%d}",
        "owner": str(here.lead.ref),
        "reason": "A calm hour.",
    }
    refused = client.post(url, given)
    assert refused.status_code == 422
    assert "Confirm this, or choose a stretch without an event." in refused.content.decode()
    with pytest.raises(Refused, match="overlaps an event") as refusal:
        services.propose(
            series_of(here, begins),
            valid_until=timezone.now() + timedelta(days=30),
            reason="A calm hour.",
            actor=here.manager,
        )
    assert refusal.value.code == "overlaps_event"
    assert client.post(url, {**given, "with_events": "on"}).status_code == 302
    row = MeasuredBaseline.objects.get()
    html = page(client, here, "baseline", row.ref, who="approver").content.decode()
    assert "“Autumn launch”" in html
    assert "Whoever proposed it says that it is normal traffic all the same." in html


def test_what_was_detected_and_not_dismissed_is_an_event_too(here):
    begins = (timezone.now() - timedelta(days=8)).replace(minute=0, second=0, microsecond=0)
    sampled(here, begins, 60, 200.0)
    metric = Metric.objects.get(name="requests_per_s")
    DetectedEvent.objects.create(
        account=here.account,
        metric=metric,
        starts_at=begins + timedelta(minutes=30),
        ends_at=begins + timedelta(hours=2),
        peak_at=begins + timedelta(hours=1),
        peak=900.0,
        expected=300.0,
        score=9.0,
        lead_in_s=1800,
        is_over=True,
        found_at=timezone.now(),
    )
    (one,) = series_of(here, begins).events
    assert one.name == f"{metric} left its band"
    DetectedEvent.objects.update(state="dismissed")
    assert series_of(here, begins).events == ()


def test_a_baseline_from_series_says_what_is_held_against_it(here, client):
    begins = (timezone.now() - timedelta(days=3)).replace(minute=0, second=0, microsecond=0)
    sampled(here, begins, 60, 200.0)
    row = services.propose(
        series_of(here, begins),
        valid_until=timezone.now() + timedelta(days=30),
        reason="A calm hour.",
        actor=here.manager,
    )
    html = page(client, here, "baseline", row.ref).content.decode()
    assert "Once it is approved, the same hours of later weeks are held against it" in html
    services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    html = page(client, here, "baseline", row.ref).content.decode()
    assert "The same hours of later weeks are held against it" in html
    assert "next benchmark of this pool" not in html


def test_the_page_of_the_ceiling_ranks_evidence_and_lets_it_count(here, client):
    run = run_at(here, 20)
    url = reverse("capacity:ceiling", args=[here.connection.ref, "71"])
    html = page(client, here, "ceiling", here.connection.ref, "71", who="editor").content.decode()
    assert run.title in html
    assert "The highest step that passes: 180 users" in html
    client.post(url, {"act": "take"})
    assert Ceiling.objects.latest("pk").benchmark == run
    client.post(url, {"kind": "cache", "requests_per_s": "500", "source": "its owner"})
    assert PoolLimit.objects.get().kind == "cache"
    assert client.post(url, {"kind": "cache", "requests_per_s": "-1", "source": ""}).status_code == 422


# --- API -----------------------------------------------------------------------------------------------------------


def test_the_api_proposes_reads_compares_and_withdraws(here):
    run = run_at(here, 20)
    manager, viewer = Caller(here.manager), Caller(here.viewer)
    made = manager.post(
        f"/accounts/{here.account.ref}/baselines",
        {
            "benchmark": str(run.ref),
            "valid_until": (timezone.now() + timedelta(days=30)).isoformat(),
            "reason": "Before the launch.",
            "tolerances": {"p95_ms": 0.15},
        },
        status=201,
    )
    address = f"/baselines/{made['ref']}"
    assert made["status"] == "awaiting_approval"
    Caller(here.approver).post(f"/approvals/{made['approval']}/approve", {"digest": made["digest"]})
    run_at(here, 6, slower=1.3)
    listed = viewer.get(f"/accounts/{here.account.ref}/baselines")["results"]
    assert (listed[0]["status"], listed[0]["standing"]["verdict"]) == ("approved", "worse")
    assert viewer.get(address)["content"]["measured"]["load"]["per_node"] == 30.0
    found = viewer.get(f"{address}/comparisons")["results"][0]
    p95 = next(one for one in found["figures"] if one["key"] == "p95_ms")
    assert (p95["verdict"], p95["counts_from"]) == ("worse", pytest.approx(267 * 0.15))
    pool = f"/connections/{here.connection.ref}/pools/71"
    ceiling = viewer.get(f"{pool}/ceiling")
    assert ceiling["taken"]["rank"] == "steps"
    assert ceiling["curve"]["rate"] > 0
    limited = manager.post(
        f"{pool}/limit", {"kind": "partner", "requests_per_s": 700.0, "source": "their contract"}
    )
    assert limited["own_limit"]["requests_per_s"] == 700.0
    manager.post(f"{pool}/ceiling")
    assert reference(here).ceiling.source == ceiling["taken"]["source"]
    viewer.post(f"{address}/withdraw", {"reason": "x"}, status=403)
    ended = manager.post(f"{address}/withdraw", {"reason": "Wrong pool."})
    assert ended["status"] == "voided"
    Caller(here.stranger).get(address, status=404)


def test_a_step_that_the_run_does_not_have_is_not_the_nearest_one(here):
    refused = Caller(here.manager).post(
        f"/accounts/{here.account.ref}/baselines",
        {
            "benchmark": str(run_at(here, 20).ref),
            "users_per_node": 7,
            "valid_until": (timezone.now() + timedelta(days=30)).isoformat(),
            "reason": "Before the launch.",
        },
        status=422,
    )
    assert "No step of the run has a load of 7 for each server. There are: 5, 10" in refused["detail"]
    assert not MeasuredBaseline.objects.exists()


@pytest.mark.parametrize(("days", "status"), [(-1, 422), (1, 200)])
def test_the_next_peak_is_one_to_come(here, client, days, status):
    at = timezone.now() + timedelta(days=days)
    given = {"forecast_rps": 240.0, "forecast_source": "marketing"}
    says = "The next peak is still to come"
    path = f"/connections/{here.connection.ref}/pools/71"
    answer = Caller(here.editor).ask("post", path, {**given, "forecast_at": at.isoformat()})
    assert answer.status_code == status
    assert (says in str(answer.json().get("errors", {}).get("forecast_at"))) is (status == 422)
    client.force_login(here.editor)
    url = reverse("capacity:pool-known", args=[here.connection.ref, "71"])
    page = client.post(url, {**given, "forecast_at": f"{at:%Y-%m-%dT%H:%M}"})
    assert page.status_code == (422 if status == 422 else 302)
    assert (says in page.content.decode()) is (status == 422)


def test_the_api_proposes_a_stretch_of_series(here):
    begins = (timezone.now() - timedelta(days=8)).replace(minute=0, second=0, microsecond=0)
    sampled(here, begins, 60, 200.0)
    address, body = (
        f"/accounts/{here.account.ref}/baselines",
        {
            "series": {
                "connection": str(here.connection.ref),
                "balancer_id": "71",
                "resource": "shop",
                "begins_at": begins.isoformat(),
                "ends_at": (begins + timedelta(hours=1)).isoformat(),
                "flavor": "general1-4",
                "software": "shop 4.12",
            },
            "valid_until": (timezone.now() + timedelta(days=30)).isoformat(),
            "reason": "A calm hour.",
            "owner": here.admin.email,
        },
    )
    add_event(
        here.account,
        actor=here.manager,
        name="Autumn launch",
        starts_at=begins,
        ends_at=begins + timedelta(hours=3),
    )
    refused = Caller(here.manager).post(address, body, status=422)
    assert refused["type"].endswith("overlaps-event")
    made = Caller(here.manager).post(address, {**body, "with_events": True}, status=201)
    assert made["content"]["source"]["events"][0]["name"] == "“Autumn launch”"
    assert (made["source"], made["owner_name"], made["load_per_node_rps"]) == (
        "series",
        here.admin.name,
        50.0,
    )


@pytest.mark.parametrize(
    "body", [{"benchmark": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"}, {}, {"owner": "nobody@x.example"}]
)
def test_what_the_api_cannot_propose_is_422(here, body):
    given = {
        "valid_until": (timezone.now() + timedelta(days=30)).isoformat(),
        "reason": "Before the launch.",
        **body,
    }
    if "owner" in body:
        given["benchmark"] = str(run_at(here, 20).ref)
    Caller(here.manager).post(f"/accounts/{here.account.ref}/baselines", given, status=422)
    assert not MeasuredBaseline.objects.exists()


def test_what_waits_for_somebody_stands_on_their_dashboard_until_they_decided(here, client):
    row = proposed(here)

    def shown(user):
        client.force_login(user)
        return client.get("/").content.decode()

    title = "Baselines and loads to decide"
    assert title in shown(here.approver)
    assert reverse("capacity:baseline", args=[row.ref]) in shown(here.approver)
    for nobody in (here.manager, here.viewer, here.stranger):
        assert title not in shown(nobody)
    services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    assert title not in shown(here.approver)


# --- what comes after it, and in between ---------------------------------------------------------------------------


def worse_of(row):
    stands = selectors.standing(row.comparisons.all())
    return stands.verdict, stands.is_confirmed


def test_a_version_that_is_approved_late_tells_of_the_newest_run_alone(here):
    row = proposed(here, run_at(here, 20))
    for days_ago in (12, 9, 6, 3):
        run_at(here, days_ago, slower=1.6)
    services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    assert worse_of(row) == ("worse", True)
    [told] = Event.objects.filter(type="baseline.worse")
    newest = row.comparisons.order_by("-measured_at").first()
    assert told.data["comparison"] == str(newest.ref)
    mails = Message.objects.filter(purpose="baseline_worse").count()
    benchmarks.set_aside(newest.benchmark, because="By mistake.", actor=here.manager)
    benchmarks.count_again(newest.benchmark, actor=here.manager)
    second = approved(here, run_at(here, 2))
    services.withdraw(second, actor=here.manager, reason="By mistake.")
    assert Event.objects.filter(type="baseline.worse").count() == 1
    assert Message.objects.filter(purpose="baseline_worse").count() == mails


def again(here, row, *, seconds_later=0):
    """Take the same run in once more: another file of it, that begins so many seconds later."""
    lines = [line.partition(",") for line in benchmarks.file_of(row).decode().split("\n")]
    moved = [
        (str(int(at) + seconds_later) if at.isdecimal() else at) + comma + rest for at, comma, rest in lines
    ]
    content = "\n".join([*moved, ""]).encode()
    said = {"connection": here.connection, "balancer_id": "71", **ENVIRONMENT}
    return benchmarks.take_in(here.account, content, file_name="again.csv", actor=here.manager, **said)[0]


@pytest.mark.parametrize("seconds_later", [0, 30])
def test_a_second_file_of_one_run_confirms_nothing_and_tells_nothing_anew(here, seconds_later):
    row = approved(here)
    again(here, row.benchmark, seconds_later=seconds_later)
    assert not row.comparisons.exists(), "it is the run of the baseline itself"
    first = run_at(here, 6, slower=1.5)
    again(here, first, seconds_later=seconds_later)
    assert row.comparisons.count() == 2
    assert worse_of(row) == ("worse", False)
    assert not Event.objects.filter(type="baseline.worse").exists()
    second = run_at(here, 3, slower=1.6)
    again(here, second, seconds_later=seconds_later)
    assert worse_of(row) == ("worse", True)
    assert Event.objects.filter(type="baseline.worse").count() == 1


def test_a_run_that_turns_out_to_be_older_is_held_against_it_no_more(here):
    row = approved(here)
    run_at(here, 9, slower=1.5)
    late = run_at(here, 3, slower=1.6)
    assert worse_of(row) == ("worse", True)
    Benchmark.objects.filter(pk=late.pk).update(result={**late.result, "started_at": None})
    benchmarks.describe(late, actor=here.manager, ran_at=timezone.now() - timedelta(days=60))
    assert worse_of(row) == ("worse", False)


def test_runs_that_cannot_be_compared_do_not_take_a_confirmed_worse_away(here):
    row = approved(here)
    run_at(here, 19, slower=1.5)
    run_at(here, 18, slower=1.6)
    for days_ago in range(2, 17):
        run_at(here, days_ago, mix="one page")
    assert row.comparisons.count() == 17
    assert worse_of(row) == ("worse", True)
    [listed] = selectors.listed().filter(pk=row.pk)
    assert selectors.standing(listed.newest).is_confirmed
    assert detail_of(row, timezone.now()).standing.is_confirmed
    assert finding(here).grade == "red"
    # And one more that is worse is told, though many lie between.
    told = Event.objects.filter(type="baseline.worse").count()
    run_at(here, 1, slower=1.6)
    assert Event.objects.filter(type="baseline.worse").count() == told + 1


def test_a_baseline_whose_run_proves_nothing_by_now_is_amber_and_said_so(here, client):
    row = approved(here)
    api = Caller(here.editor)
    assert api.get(f"/baselines/{row.ref}")["benchmark_proves_nothing"] is False
    benchmarks.describe(row.benchmark, actor=here.manager, was_aborted=True)
    assert reference(here).baselines == ()
    assert finding(here).grade == "amber"
    assert api.get(f"/baselines/{row.ref}")["benchmark_proves_nothing"] is True
    html = page(client, here, "baseline-list", here.account.ref).content.decode()
    assert "its benchmark proves nothing" in html


def told_of_worse():
    events = Event.objects.filter(type="baseline.worse").count()
    return events, Message.objects.filter(purpose="baseline_worse").count()


def test_where_no_series_tells_the_servers_a_look_at_the_sized_pool_does(here, client):
    begins = (timezone.now() - timedelta(days=22)).replace(minute=0, second=0, microsecond=0)
    for weeks, p95 in ((0, 200.0), (1, 300.0), (2, 310.0)):
        sampled(here, begins + timedelta(days=7 * weeks), 60, p95)
    Metric.objects.filter(name="nodes").delete()
    asked = {**hour_asked(here, begins), "node_count": "6"}
    client.force_login(here.manager)
    address = reverse("capacity:baseline-propose", args=[here.account.ref])
    html = client.get(address, asked).content.decode()
    assert "Later weeks could not be compared with it" in html
    source = series_of(here, begins, node_count=6)
    row = services.propose(
        source, valid_until=timezone.now() + timedelta(days=9), reason="A calm hour.", actor=here.manager
    )
    row = services.decide(row, Verdict.APPROVE, actor=here.approver, seen_digest=row.request.digest)
    shown = reverse("capacity:baseline", args=[row.ref])
    assert "Later weeks cannot be compared with it" in client.get(shown).content.decode()
    weeks = [begins + timedelta(days=7 * number, hours=3) for number in (1, 2)]
    pool = SizedPool.objects.create(
        account=here.account, connection=here.connection, balancer_id="71", name="web", servers=6
    )
    assert "cannot be compared" not in client.get(shown).content.decode()
    assert "could not be compared" not in client.get(address, asked).content.decode()
    # A look of another day says nothing of that hour.
    for seen_at, verdict in ((weeks[0] - timedelta(days=3), "not_comparable"), (weeks[0], "worse")):
        SizedPool.objects.filter(pk=pool.pk).update(seen_at=seen_at)
        known.tend(weeks[0])
        first = row.comparisons.earliest("measured_at")
        assert first.verdict == verdict
    # Scaled down in the evening and looked at the next day, and again a week later: what was found of that hour stays.
    for seen_at, now in (
        (weeks[0] + timedelta(hours=16), weeks[0] + timedelta(hours=17)),
        (weeks[1], weeks[0] + timedelta(days=2)),
    ):
        SizedPool.objects.filter(pk=pool.pk).update(seen_at=seen_at, servers=3)
        known.tend(now)
        first.refresh_from_db()
        assert (first.verdict, first.found["load_per_node"]) == ("worse", 50.0)
    known.tend(weeks[1])
    newest = row.comparisons.latest("measured_at")
    assert (newest.verdict, row.comparisons.count()) == ("not_comparable", 2)
    assert "3" in newest.found["why"][0], "of another number of servers"


@pytest.mark.parametrize(
    "said",
    [{"was_aborted": True}, {"generator_cpu": 0.97}, {"generator_addresses": 1, "tied_to_address": True}],
)
def test_nothing_is_worse_than_a_baseline_that_proves_nothing(here, said):
    row = approved(here)
    was = {name: getattr(row.benchmark, name) for name in said}
    run = benchmarks.describe(row.benchmark, actor=here.manager, **said)
    for days_ago in (6, 3):
        run_at(here, days_ago, slower=1.6)
    assert worse_of(row) == ("worse", True), "it is told how they lie to each other, and that is all"
    assert finding(here).grade == "amber"
    assert told_of_worse() == (0, 0)
    # It was said by mistake: then it is worse, and told.
    benchmarks.describe(run, actor=here.manager, **was)
    assert finding(here).grade == "red"
    assert told_of_worse() == (1, 2)


def test_that_it_is_worse_is_sent_on_though_nobody_takes_mails(here):
    for one in (here.manager, here.lead):
        set_preference(one, mail_off=["notice"], portal_off=["notice"])
    approved(here)
    for days_ago in (6, 3):
        run_at(here, days_ago, slower=1.6)
    assert told_of_worse() == (1, 0)


def test_a_measurement_is_told_of_once_whatever_version_it_is_held_against(here):
    first = approved(here)
    for days_ago in (6, 3):
        run_at(here, days_ago, slower=1.6)
    assert told_of_worse() == (1, 2)
    second = approved(here, first.benchmark)
    assert worse_of(second) == ("worse", True)
    assert told_of_worse() == (1, 2)
    run_at(here, 1, slower=1.6)
    assert told_of_worse() == (2, 4)


@pytest.mark.parametrize(
    ("before", "said", "is_void"),
    [
        ({"software": ""}, {"software": "shop 4.12"}, False),
        ({"flavor": ""}, {"flavor": "general1-4"}, False),
        ({}, {"software": "shop 4.12.0"}, False),
        ({}, {"mix": ""}, False),
        ({}, {"node_count": 3}, True),
        ({}, {"flavor": "general1-8"}, True),
        ({}, {"generator_cpu": 0.5}, False),
    ],
)
def test_a_ceiling_ends_with_what_contradicts_its_run_and_stays_with_what_was_missing(
    here, client, before, said, is_void
):
    run = run_at(here, 5, **before)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    api = Caller(here.manager)
    told = api.ask("patch", f"/benchmarks/{run.ref}", said, **{"If-Match": "*"}).json()["counts_no_more"]
    assert any("counts no more" in says for says in told) is is_void
    assert api.get(f"/benchmarks/{run.ref}")["counts_no_more"] == []
    assert (Ceiling.objects.get(benchmark=run).void_at is not None) is is_void
    # The desk entered 100 by hand before.
    assert reference(here).ceiling.requests_per_s == (100.0 if is_void else pytest.approx(90.0, abs=0.5))


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"node_count": "3"}, "The ceiling was taken from this benchmark as it was described before"),
        ({"was_aborted": "on"}, "It proves nothing as it is described now"),
    ],
)
def test_who_takes_its_force_from_a_ceiling_by_what_they_say_reads_so(here, client, typed, says):
    run = run_at(here, 5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    form = page(client, here, "benchmark", run.ref, who="manager").context["form"]
    sent = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in {**sent, **typed}.items() if value not in (None, False)}
    del sent["ran_at"]  # the file tells
    answer = client.post(reverse("capacity:benchmark", args=[run.ref]), sent, follow=True)
    assert answer.redirect_chain, answer.context["form"].errors
    assert says in answer.content.decode()
    form = answer.context["form"]
    answer = client.post(
        reverse("capacity:benchmark", args=[run.ref]), {**sent, "seen": form["seen"].value()}, follow=True
    )
    assert answer.redirect_chain
    assert says not in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_ceiling_is_of_the_servers_that_are_said_at_that_moment(here):
    run = run_at(here, 5)
    with transaction.atomic():
        benchmarks.describe(run, actor=here.manager, node_count=3)
        thread, box = in_thread(services.take_ceiling, here.connection, "71", actor=here.manager)
        until_waiting(thread)
    thread.join(20)
    assert box["result"].requests_per_s == pytest.approx(180.0, abs=1.0)


def test_runs_of_another_kind_do_not_hide_what_speaks_against_a_ceiling(here):
    run_at(here, 20)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    figure = reference(here).ceiling
    run_at(here, 15, slower=9.0)
    [doubt] = doubts.doubts_about(here.connection, "71", figure)
    for days_ago in range(2, 14):
        run_at(here, days_ago, mix="")
    for days_ago in (16, 17):
        benchmarks.set_aside(run_at(here, days_ago), because="Not the site.", actor=here.manager)
    assert doubts.doubts_about(here.connection, "71", figure) == (doubt,)


def test_a_run_that_moves_to_another_pool_speaks_of_the_first_no_more(here, monkeypatch):
    run = run_at(here, 5)
    asked = []
    monkeypatch.setattr("capacity.benchmarks.services.size_anew", lambda *of: asked.append(of))
    benchmarks.describe(run, actor=here.manager, pool=(here.connection, "72"))
    assert asked == [(here.connection, "71")]


def test_an_older_figure_does_not_come_back_in_force_without_a_word(here):
    run = run_at(here, 5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    assert doubts.doubts_about(here.connection, "71", reference(here).ceiling) == ()
    benchmarks.set_aside(run, because="Not the site.", actor=here.manager)
    figure = reference(here).ceiling
    assert figure.requests_per_s == 100.0
    [doubt] = doubts.doubts_about(here.connection, "71", figure)
    assert doubt.startswith("A newer figure, 90.0 requests a second by Locust")


@pytest.mark.parametrize(
    "other",
    [
        {"flavor": "general1-8"},
        {"mix": "front page only"},
        {"mix": "", "software": ""},
        {"generator_cpu": 0.99},
        {"was_aborted": True},
    ],
)
def test_a_quick_run_in_between_does_not_hide_what_one_server_carries(here, other):
    run = run_at(here, 20)
    SizedPool.objects.create(
        account=here.account, connection=here.connection, balancer_id="71", name="web", flavor="GENERAL1-4"
    )
    lines = demo.step_test(timezone.now() - timedelta(days=3)).decode().split("\n")
    benchmarks.take_in(
        here.account,
        "\n".join(lines[:12]).encode(),
        file_name="quick_stats_history.csv",
        actor=here.manager,
        connection=here.connection,
        balancer_id="71",
        **{**ENVIRONMENT, **other},
    )
    found = ceilings.ceiling_of(here.connection, "71")
    assert (found.ranked.taken.ref, found.run) == (str(run.ref), run)
    assert services.take_ceiling(here.connection, "71", actor=here.manager).benchmark == run


def test_steps_of_the_software_before_are_no_ceiling_of_the_one_that_runs_now(here):
    run_at(here, 20)
    run_at(here, 3, software="shop 5", mix="")
    assert ceilings.ceiling_of(here.connection, "71").ranked.taken is None


def test_steps_are_evidence_however_many_other_runs_came_since(here, monkeypatch):
    monkeypatch.setattr(ceilings, "MOST_EVIDENCE", 3)
    run = run_at(here, 20)
    for days_ago in range(2, 8):
        run_at(here, days_ago, mix="")
    assert ceilings.ceiling_of(here.connection, "71").ranked.taken.ref == str(run.ref)


def test_a_newer_figure_that_counts_does_not_make_an_older_one_doubtful(here, client):
    run_at(here, 5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    by_hand = {"ceiling_rps": 60.0, "ceiling_source": "measured by hand"}
    entering.enter_known(here.connection, "71", by_hand, actor=here.manager)
    assert reference(here).ceiling.requests_per_s == 60.0
    found = ceilings.ceiling_of(here.connection, "71")
    assert [one.requests_per_s for one in found.counting] == [60.0]
    for figure in found.in_force:
        assert not any(
            "counts no more" in says for says in doubts.doubts_about(here.connection, "71", figure)
        )


def test_what_is_let_count_is_what_was_shown(here, client):
    run_at(here, 9)
    found = ceilings.ceiling_of(here.connection, "71")
    shown = {"seen": Sizes(found.in_force).version, "taken": ceilings.taken_version(found.ranked)}
    run_at(here, 3, node_count=3)
    with pytest.raises(StaleState, match=r"another figure meanwhile.* 180 requests a second"):
        services.take_ceiling(here.connection, "71", actor=here.manager, **shown)
    html = page(client, here, "ceiling", here.connection.ref, "71", who="manager").content.decode()
    now = ceilings.ceiling_of(here.connection, "71")
    assert f'name="taken" value="{ceilings.taken_version(now.ranked)}"' in html
    address = reverse("capacity:ceiling", args=[here.connection.ref, "71"])
    stale = client.post(address, {"act": "take", **shown})
    assert (stale.status_code, "another figure meanwhile" in stale.content.decode()) == (409, True)
    fresh = {"act": "take", "seen": shown["seen"], "taken": ceilings.taken_version(now.ranked)}
    assert client.post(address, fresh).status_code == 302
    assert reference(here).ceiling.requests_per_s == pytest.approx(180.0, abs=1.0)


def test_a_run_that_does_not_say_its_size_does_not_speak_for_runs_of_another(here):
    SizedPool.objects.create(
        account=here.account, connection=here.connection, balancer_id="71", name="web", flavor="general1-4"
    )
    run = run_at(here, 5, flavor="")
    run_at(here, 3, flavor="general1-8", node_count=3)
    assert ceilings.ranked_of(here.connection, "71").taken.ref == str(run.ref)


def test_the_run_of_today_is_shown_though_it_cannot_be_compared(here, monkeypatch):
    monkeypatch.setattr("capacity.baselines.shown.COMPARISONS_SHOWN", 4)
    row = approved(here)
    for days_ago in (12, 10, 8, 6, 4):
        run_at(here, days_ago)
    run_at(here, 1, mix="another mix")
    verdicts = [one.row.verdict for one in detail_of(row, timezone.now()).compared]
    assert verdicts[0] == "not_comparable"
    assert len(verdicts) == 6


def test_who_says_the_size_later_reads_that_a_ceiling_of_any_size_is_one_of_that_now(here):
    run = run_at(here, 5, flavor="")
    services.take_ceiling(here.connection, "71", actor=here.manager)
    before = force_of(run)
    lost = before - force_of(benchmarks.describe(run, actor=here.manager, flavor="General 4 GB"))
    assert any("counted for servers of any size" in says for says in lost)


def test_a_ceiling_whose_run_is_no_run_by_steps_any_more_is_doubtful(here):
    run = run_at(here, 5)
    services.take_ceiling(here.connection, "71", actor=here.manager)
    benchmarks.describe(run, actor=here.manager, mix="")
    [doubt] = doubts.doubts_about(here.connection, "71", reference(here).ceiling)
    assert doubt.endswith("it is no run by steps with a mix: alone it is no ceiling.")
