"""A profile from draft to figures: approval, proofs, what refuses a start, the worker's hold, and what is kept."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
import zlib
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, AccountStatus
from capacity.baselines import evidence
from capacity.baselines.compared import ran
from capacity.benchmarks.models import Benchmark
from capacity.ceiling import Promised, highest_passing
from capacity.hosts import services as hosts
from capacity.hosts.models import WELL_KNOWN, ProvenHost
from capacity.loads import holder, services
from capacity.loads.kind import BenchmarkKind
from capacity.loads.models import LoadProfile, LoadRun, LoadSecond, RunEnding
from capacity.loads.profile import from_plain
from portal import txt
from portal.approvals.models import Verdict
from portal.audit.models import AuditEntry
from portal.cloud.types import Balancer, BalancerStatus, Condition, Node, NodeStatus
from portal.egress import connecting
from portal.errors import NotPermitted, Refused, StaleState, TryLater
from portal.runs import services as runs
from portal.runs.models import Claim, JournalEntry, Run
from portal.runs.store_pg import PgStore
from tests import factories as make
from tests.loads.rows import approved, fields, prove, started
from tests.loads.site import Site
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db
NODE = Node("401", "10.0.0.1", 80, Condition.ENABLED, NodeStatus.ONLINE)


def second(number=0, requests=10, failures=0, **changes):
    """A second as the generator tells it."""
    part = {"requests": requests, "failures": failures, "latency": {"12.0": requests - 1, "80.0": 1}}
    told = {
        "t": float(number),
        "length_s": 1.0,
        "users": 4,
        "asked": None,
        "cpu": 0.1,
        "requests": requests,
        "failures": failures,
        "waiting": 1,
        "received": 500,
        "missed": 0,
        "held": 0,
        "parts": {"0": part},
        "errors": {"HTTP 500": failures} if failures else {},
        "codes": {"200": requests - failures, **({"500": failures} if failures else {})},
    }
    return {**told, **changes}


def tick(load):
    """One look of the engine at a run."""
    store, kind = PgStore(), BenchmarkKind()
    Run.objects.filter(pk=load.run_id, next_tick_at__isnull=False).update(
        next_tick_at=timezone.now() - timedelta(seconds=1), lease_until=None
    )
    view = store.claim(str(load.run.ref), holder="test", lease_s=15.0)
    assert view is not None
    decision = kind.decide(view, view.facts)
    store.commit(view, decision)
    load.run.refresh_from_db()
    load.refresh_from_db()
    return decision


# -- profiles ------------------------------------------------------------------------------------------------


def test_an_approval_is_of_one_spelling_and_a_submitted_profile_is_changed_no_more(here, site):
    profile = services.draft(here.account, fields(site), actor=here.editor)
    before = profile.digest
    profile = services.change(profile, fields(site, max_requests_per_s=41.0), actor=here.editor)
    assert profile.digest != before
    profile = services.submit(profile, actor=here.manager)
    with pytest.raises(StaleState):
        services.change(profile, fields(site), actor=here.editor)
    with pytest.raises(StaleState):
        services.decide(profile, Verdict.APPROVE, actor=here.approver, seen_digest=before)
    profile = services.decide(profile, Verdict.APPROVE, actor=here.approver, seen_digest=profile.digest)
    assert profile.status == "approved"
    assert services.withdraw(profile, actor=here.manager, reason="The site moved.").status == "voided"


def test_an_approval_covers_the_values_of_secret_headers_and_nobody_reads_them(here, site):
    one = services.draft(
        here.account, fields(site, secret_headers={"Authorization": "Bearer s3cret"}), actor=here.editor
    )
    other = services.change(
        one, fields(site, secret_headers={"Authorization": "Bearer other"}), actor=here.editor
    )
    assert one.content["secret_headers"] == other.content["secret_headers"] == ["Authorization"]
    assert one.content["secret_digest"] != other.content["secret_digest"]
    kept = services.change(other, fields(site), actor=here.editor)
    assert services.secrets_of(kept) == {"Authorization": "Bearer other"}
    assert (
        services.secrets_of(services.change(kept, fields(site, secret_headers={}), actor=here.editor)) == {}
    )
    told = json.dumps([Caller(here.editor).get(f"/load-profiles/{one.ref}"), one.content])
    assert "s3cret" not in told
    assert "Bearer" not in str(
        [entry.after for entry in AuditEntry.objects.filter(what__startswith="profile.")]
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_users": 501},
        {"requests": [{"method": "GET", "url": "http://10.0.0.1/", "weight": 1}]},
        {"requests": [{"method": "GET", "url": "http://169.254.169.254/latest", "weight": 1}]},
        {"requests": [{"method": "GET", "url": "https://user:word@shop.example.com/", "weight": 1}]},
        {"requests": [{"method": "POST", "url": "https://shop.example.com/", "weight": 1}]},
        {"headers": {"Host": "other.example.com"}},
        {"headers": {"X-One": "a\r\nX-Two: b"}},
        {"name": "our pin is 4711"},
    ],
)
def test_what_a_profile_may_not_ask_for_is_refused(here, site, wrong):
    services.draft(here.account, fields(site), actor=here.editor)
    with pytest.raises(Refused):
        services.draft(here.account, fields(site, **wrong), actor=here.editor)
    assert LoadProfile.objects.count() == 1


def test_editors_submit_and_start_nothing_and_customers_decide(here, site):
    profile = services.draft(here.account, fields(site), actor=here.editor)
    with pytest.raises(NotPermitted):
        services.submit(profile, actor=here.editor)
    profile = services.submit(profile, actor=here.manager)
    with pytest.raises(NotPermitted):
        services.decide(profile, Verdict.APPROVE, actor=here.lead, seen_digest=profile.digest)
    profile = services.decide(profile, Verdict.APPROVE, actor=here.approver, seen_digest=profile.digest)
    prove(here, site)
    with pytest.raises(NotPermitted):
        services.start(profile, actor=here.approver, seen_digest=profile.digest)


# -- what refuses a start ------------------------------------------------------------------------------------------


def test_a_start_needs_a_proof_an_approval_that_holds_and_a_free_site(here, site):
    profile = approved(here, site)

    def refused(match):
        with pytest.raises(Refused, match=match):
            services.start(profile, actor=here.manager, seen_digest=profile.digest)
        assert not LoadRun.objects.exists()
        assert not Claim.objects.exists()

    refused("none of this account")
    prove(here, site)
    proof, site.proof = site.proof, "gone"
    refused("not proven any more")
    site.proof = proof
    with pytest.raises(StaleState):
        services.start(profile, actor=here.manager, seen_digest="0" * 64)
    freeze = make.calendar_entry(account=here.account)
    refused("not started")
    freeze.delete()
    stop = runs.put_standstill(scope=f"account:{here.account.ref}", reason="No.", actor=here.manager)
    refused("stopped")
    stop.delete()
    here.account.memberships.filter(user=here.approver).delete()
    refused("may no longer approve")


def test_an_old_or_withdrawn_approval_and_a_lowered_cap_refuse(here, site, settings):
    prove(here, site)
    profile = approved(here, site)
    settings.LOADS = {**settings.LOADS, "MAX_USERS": 5}
    with pytest.raises(Refused, match="At most 5 users"):
        services.start(profile, actor=here.manager, seen_digest=profile.digest)
    settings.LOADS = {**settings.LOADS, "MAX_USERS": 500}
    LoadProfile.objects.update(valid_until=timezone.now())
    with pytest.raises(Refused, match="too old"):
        services.start(profile, actor=here.manager, seen_digest=profile.digest)
    LoadProfile.objects.update(valid_until=timezone.now() + timedelta(days=1))
    services.withdraw(profile, actor=here.manager, reason="No more.")
    with pytest.raises(Refused, match="Only an approved"):
        services.start(profile, actor=here.manager, seen_digest=profile.digest)


def test_one_load_at_a_time_and_none_on_a_pool_that_a_run_holds(here, site):
    prove(here, site)
    load = started(here, site)
    with pytest.raises(Refused, match="in the hands of"):
        services.start(load.profile, actor=here.manager, seen_digest=load.profile.digest)
    assert LoadRun.objects.count() == 1
    keys = set(Claim.objects.values_list("resource_key", flat=True))
    assert keys == {f"load:{site.place}"}
    of_pool = approved(here, site, connection=here.connection, balancer_id="71")
    identity = f"{here.connection.provider}:123456:DFW:lb:71"
    assert from_plain(of_pool.content).balancer_key == identity
    assert identity in services._resource_keys(from_plain(of_pool.content))


@pytest.mark.parametrize(
    ("pool", "unit", "tied"),
    [
        ({"session_persistence": "SOURCE_IP"}, "users", True),
        ({"session_persistence": "SOURCE_IP", "nodes": (NODE, NODE)}, "users", True),
        ({"session_persistence": "SOURCE_IP", "nodes": (NODE,)}, "users", False),
        ({"session_persistence": "HTTP_COOKIE"}, "users", False),
        # Four users are all that ever come; a rate may need the ten that the profile allows.
        ({"most_per_address": 3}, "users", True),
        ({"most_per_address": 4}, "users", False),
        ({"most_per_address": 9}, "requests_per_s", True),
        ({"most_per_address": 10}, "requests_per_s", False),
        ({}, "users", False),
        (None, "users", None),
        (TryLater("Not now.", after_s=5.0, code="provider_slow"), "users", None),
    ],
)
def test_whether_the_pool_ties_an_address_is_asked_as_the_load_starts(
    here, site, client, monkeypatch, pool, unit, tied
):
    asked = []

    class Cloud:
        async def show_balancer(self, balancer_id):
            asked.append(balancer_id)
            if isinstance(pool, TryLater):
                raise pool
            if pool is None:
                return None
            seen = {"nodes": (), "has_health_monitor": True, **pool}
            return Balancer(balancer_id, "web", BalancerStatus.ACTIVE, "HTTP", 80, "RANDOM", 30, (), **seen)

    monkeypatch.setattr(services, "look_at", lambda connection, look: asyncio.run(look(Cloud())))
    prove(here, site)
    shape = {"kind": "steady", "unit": unit, "level": 4, "duration_s": 2}
    load = started(here, site, connection=here.connection, balancer_id="71", shape=shape)
    assert (asked, load.tied_to_address) == (["71"], tied)
    client.force_login(here.editor)
    page = client.get(reverse("capacity:load", args=[load.ref])).content.decode()
    assert ("It will prove nothing" in page) is bool(tied)
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now())
    LoadSecond.objects.create(load=load, number=0, told=second())
    made = services.close(load, RunEnding.COMPLETED, "").benchmark
    assert made.tied_to_address is tied
    assert ("one address" in evidence.invalid_because(made.result, ran(made))) is bool(tied)


def test_whoever_starts_a_second_load_is_told_of_the_one_that_is_on(here, site, client):
    prove(here, site)
    load = started(here, site)
    tick(load)
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now())
    type(here.manager).objects.filter(pk=here.manager.pk).update(time_zone="Asia/Tokyo")
    client.force_login(here.manager)
    answer = client.post(
        reverse("capacity:profile-start", args=[load.profile.ref]), {"digest": load.profile.digest}
    )
    page = answer.content.decode()
    assert answer.status_code == 422
    there = LoadRun.objects.get(pk=load.pk).began_at.astimezone(ZoneInfo("Asia/Tokyo"))
    assert f"Another one, “front page”, is on since {there:%H:%M} JST." in page
    assert reverse("capacity:load", args=[load.ref]) in page
    assert "half-way" not in page
    assert LoadRun.objects.count() == 1


def test_an_archived_account_starts_nothing(here, site):
    prove(here, site)
    profile = approved(here, site)
    here.account.status = AccountStatus.ARCHIVED
    here.account.save()
    profile.refresh_from_db()
    with pytest.raises(Refused, match="archived"):
        services.start(profile, actor=here.manager, seen_digest=profile.digest)


# -- a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def load(here, site):
    prove(here, site)
    return started(here, site)


def test_a_run_goes_to_its_end_and_becomes_a_benchmark_like_any_other(load, site, here):
    tick(load)
    assert load.run.status == "running"
    held = holder.hold(load.pk, holder="worker")
    assert (held.ending, held.ending_says) == (RunEnding.COMPLETED, "")
    assert held.generator.startswith("2.")
    assert held.pins == {site.place: ["127.0.0.1"]}
    made = held.benchmark
    assert made.requests == len(site.asked()) == made.result["requests"]
    assert (made.tool, made.format) == ("Locust", "portal-run")
    assert (made.node_count, made.flavor, made.software) == (2, "general1-4", "shop 4.2")
    assert made.reason == "Before the sale."
    assert not made.was_aborted
    assert sum(one["count"] for one in made.result["histogram"]) == made.requests
    assert made.result["latency"]["percentiles"]
    assert made.result["status_codes"] == [{"code": "200", "count": made.requests}]
    assert {one["method"] for one in made.result["parts"]} == {"GET", "HEAD"}
    assert 0 <= made.generator_cpu <= 1
    lines = zlib.decompress(bytes(made.file.packed)).splitlines()
    assert json.loads(lines[0])["run"] == str(load.run.ref)
    assert len(lines) == 1 + LoadSecond.objects.filter(load=load).count()
    tick(load)
    assert load.run.status == "completed"
    assert not Claim.objects.exists()
    assert holder.hold(load.pk, holder="another") is None, "it begins once"


def test_the_figures_of_a_run_are_those_of_its_seconds(load):
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now(), generator="2.47.0")
    for number in range(4):
        LoadSecond.objects.create(load=load, number=number, told=second(number, failures=number))
    made = services.close(load, RunEnding.COMPLETED, "").benchmark
    assert (made.requests, made.error_ratio, made.duration_s) == (40, 6 / 40, 4.0)
    assert made.requests_per_s == 10.0
    assert (made.p50_ms, made.p95_ms, made.p99_ms) == (12.0, 80.0, 80.0)
    assert made.result["errors"] == [{"kind": "HTTP 500", "count": 6}]
    assert [one["requests_per_s"] for one in made.result["points"]] == [10.0] * 4
    assert evidence.invalid_because(made.result, ran(made)) == ""
    assert services.close(load, RunEnding.ABORTED, "again").ending == RunEnding.COMPLETED


def test_the_page_of_a_load_that_is_over_says_what_the_whole_run_did(load, here, client):
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now(), generator="2.47.0")
    for number in range(4):
        LoadSecond.objects.create(load=load, number=number, told=second(number, requests=10 + 10 * number))
    client.force_login(here.manager)
    address = reverse("capacity:load", args=[load.ref])
    assert "so far" in client.get(address).content.decode()
    services.close(load, RunEnding.COMPLETED, "")
    page = client.get(address).content.decode()
    assert "over 5 s" not in page
    assert "so far" not in page
    figures = page[page.index('class="figures"') :]
    assert figures.index(">25 <small>req/s</small>") < figures.index("over the whole run")
    assert "in all" in figures


@pytest.mark.parametrize(
    ("shape", "told", "why"),
    [
        ({}, second(cpu=0.95), "processor"),
        ({}, second(held=9, requests=40), "held the users back"),
        ({}, second(held=9, requests=20), ""),
        (
            {"unit": "requests_per_s", "level": 20},
            second(asked=20.0, requests=17, missed=3),
            "all users waited",
        ),
        ({"unit": "requests_per_s", "level": 20}, second(asked=20.0, requests=17), "too slow"),
        ({"unit": "requests_per_s", "level": 20}, second(asked=20.0, requests=19), ""),
        ({}, second(codes={"301": 9, "200": 1}), "90% of the answers were redirects"),
        ({}, second(codes={"301": 1, "200": 9}), ""),
    ],
)
def test_a_run_in_which_the_generator_was_the_limit_proves_nothing(here, site, shape, told, why):
    prove(here, site)
    base = fields(site)["shape"]
    load = started(here, site, shape={**base, **shape})
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now())
    for number in range(3):
        LoadSecond.objects.create(load=load, number=number, told={**told, "t": float(number)})
    made = services.close(load, RunEnding.COMPLETED, "").benchmark
    invalid = evidence.invalid_because(made.result, ran(made))
    assert why in invalid
    assert bool(invalid) is bool(why)


def test_steps_of_users_are_evidence_for_a_ceiling(here, site):
    prove(here, site)
    base = fields(site)["shape"]
    load = started(
        here, site, shape={**base, "kind": "steps", "start": 2, "level": 8, "steps": 4, "duration_s": 240}
    )
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now())
    LoadSecond.objects.bulk_create(
        LoadSecond(
            load=load,
            number=number,
            told=second(number, requests=(2 + 2 * (number // 60)) * 5, users=2 + 2 * (number // 60)),
        )
        for number in range(240)
    )
    made = services.close(load, RunEnding.COMPLETED, "").benchmark
    assert [one["users"] for one in made.result["steps"]] == [2, 4, 6, 8]
    assert evidence.rank_of(made.result, ran(made)).value == "steps"
    assert [one.load.per_node for one in evidence.measurements_of(made.result, ran(made))] == [1, 2, 3, 4]


def test_steps_of_a_rate_are_evidence_too_by_what_was_asked_for(here, site, client):
    prove(here, site)
    base = fields(site)["shape"]
    shape = {**base, "unit": "requests_per_s", "start": 10, "level": 40, "duration_s": 240}
    load = started(here, site, shape={**shape, "kind": "steps", "steps": 4})
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now())
    rows = []
    for number in range(240):
        asked = 10.0 + 10.0 * (number // 60)
        # Of the last step the site answers late: what comes back then is no more than before.
        slow = {"0": {"requests": 38, "failures": 0, "latency": {"900.0": 38}}} if asked == 40.0 else {}
        told = second(number, requests=int(min(asked, 38.0)), users=10, asked=asked)
        rows.append(LoadSecond(load=load, number=number, told={**told, **({"parts": slow} if slow else {})}))
    LoadSecond.objects.bulk_create(rows)
    made = services.close(load, RunEnding.COMPLETED, "").benchmark
    assert [(one["users"], one["asked_per_s"]) for one in made.result["steps"]] == [
        (None, 10.0),
        (None, 20.0),
        (None, 30.0),
        (None, 40.0),
    ]
    assert evidence.rank_of(made.result, ran(made)).value == "steps"
    assert [one.load.per_node for one in evidence.measurements_of(made.result, ran(made))] == [5, 10, 15, 20]
    promised = Promised(0.01, 500.0)
    found = evidence.evidence_of(made.result, ran(made), promised, source="a load", ref="r")
    assert (found.requests_per_s, found.is_least) == (15.0, False)
    passing = highest_passing(evidence.steps_of(made.result, promised), promised)
    assert (passing.step.asked_per_s, passing.fails_at.asked_per_s) == (30.0, 40.0)
    client.force_login(here.viewer)
    page = client.get(reverse("capacity:benchmark", args=[made.ref])).content.decode()
    assert "Asked for a second" in page


def test_a_rate_that_rises_evenly_has_no_steps(here, site):
    prove(here, site)
    base = fields(site)["shape"]
    load = started(
        here,
        site,
        shape={**base, "kind": "ramp", "unit": "requests_per_s", "start": 5, "level": 20, "duration_s": 6},
    )
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now())
    for number in range(6):
        told = second(number, requests=5 + 2 * number, asked=5.0 + 2.5 * number)
        LoadSecond.objects.create(load=load, number=number, told=told)
    made = services.close(load, RunEnding.COMPLETED, "").benchmark
    assert made.result["steps"] == []
    assert len(evidence.stretches_of(made.result)) == 1


def held_and_cut_short(here, site, monkeypatch, cut):
    """Hold a load of a minute, with `cut(load)` once its first second is told; it ends soon after."""
    load = started(here, site, shape={"kind": "steady", "unit": "users", "level": 4, "duration_s": 60})
    looks = []
    look = holder._why_end

    def after_a_while(held):
        if held.seconds and not looks:
            looks.append(1)
            cut(load)
        return look(held)

    monkeypatch.setattr(holder, "_why_end", after_a_while)
    began = timezone.now()
    held = holder.hold(load.pk, holder="worker")
    assert (timezone.now() - began).total_seconds() < 12
    tick(load)
    tick(load)
    assert load.run.status == "aborted"
    return held


def test_a_person_ends_a_load_and_what_came_in_is_kept(here, site, monkeypatch):
    prove(here, site)
    held = held_and_cut_short(here, site, monkeypatch, lambda load: services.abort(load, actor=here.editor))
    assert held.ending == RunEnding.ABORTED
    assert held.benchmark.was_aborted
    assert "stopped before its end" in evidence.invalid_because(held.benchmark.result, ran(held.benchmark))


def test_a_load_ends_at_its_stop_limit(here, site):
    prove(here, site)
    load = started(here, site, shape={"kind": "steady", "unit": "users", "level": 4, "duration_s": 60})
    site.answers["/a?x=1"] = site.answers["/b"] = 500
    held = holder.hold(load.pk, holder="worker")
    assert held.ending == RunEnding.STOPPED
    assert "failed over 2 s" in held.ending_says


def test_a_site_that_freezes_the_generator_ends_the_load_and_what_came_in_is_kept(here, site, monkeypatch):
    prove(here, site)

    def continues_for_ever(handler):
        while True:
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 2000)

    def freeze(load):
        site.answers["/a?x=1"] = site.answers["/b"] = continues_for_ever

    held = held_and_cut_short(here, site, monkeypatch, freeze)
    assert held.ending == RunEnding.STOPPED
    assert "stopped answering: it told nothing for 4 s" in held.ending_says
    assert held.benchmark.was_aborted
    assert held.benchmark.requests > 0


HELLO = """print('{"kind": "hello", "locust": "2.0"}', flush=True)\n"""


@pytest.mark.parametrize(
    ("script", "ending", "why"),
    [
        (f"{HELLO}raise SystemExit(9)", RunEnding.WORKER_LOST, "The generator ended by itself (9)."),
        ("raise SystemExit(9)", RunEnding.FAILED, "The generator ended by itself (9)."),
        ("import time; time.sleep(30)", RunEnding.FAILED, "The generator did not begin within 2 s."),
    ],
)
def test_a_generator_that_ends_by_itself_had_begun_or_not(load, site, monkeypatch, script, ending, why):
    popen = subprocess.Popen
    monkeypatch.setattr(
        holder.subprocess, "Popen", lambda argv, **given: popen([argv[0], "-c", script], **given)
    )
    monkeypatch.setattr(holder, "BEGINS_S", 2.0)
    held = holder.hold(load.pk, holder="worker")
    assert (held.ending, held.ending_says) == (ending, why)
    assert not site.asked()


def test_a_generator_that_is_done_may_take_its_time_to_go(load, site, monkeypatch):
    done = """print('{"kind": "end", "done": true, "requests": 0, "failures": 0}', flush=True)\n"""
    script = f"{HELLO}{done}import time; time.sleep(2)"
    popen = subprocess.Popen
    monkeypatch.setattr(
        holder.subprocess, "Popen", lambda argv, **given: popen([argv[0], "-c", script], **given)
    )
    monkeypatch.setattr(holder, "SILENT_S", 0.5)
    assert holder.hold(load.pk, holder="worker").ending == RunEnding.COMPLETED


def test_a_load_ends_with_a_standstill_and_with_its_worker(load, here):
    runs.put_standstill(scope=f"account:{here.account.ref}", reason="Enough.", actor=here.manager)
    held = holder.hold(load.pk, holder="worker")
    assert held.ending == RunEnding.ABORTED
    assert held.benchmark is None, "nothing was sent"


def test_a_worker_that_stops_ends_its_load(load):
    holder.worker_stops()
    try:
        held = holder.hold(load.pk, holder="worker")
    finally:
        holder.worker_begins()
    assert (held.ending, held.ending_says) == (RunEnding.WORKER_LOST, "The worker was stopped.")


def test_an_address_that_became_private_is_not_asked(load, site, settings):
    settings.EGRESS_ALLOW = []
    held = holder.hold(load.pk, holder="worker")
    assert held.ending == RunEnding.FAILED
    assert "does not ask" in held.ending_says
    assert not site.asked()


def test_a_load_whose_worker_was_lost_ends_and_is_never_begun_again(load, site):
    tick(load)
    LoadRun.objects.filter(pk=load.pk).update(
        began_at=timezone.now() - timedelta(minutes=1),
        lease_until=timezone.now() - timedelta(seconds=1),
        token=7,
    )
    for number in range(3):
        LoadSecond.objects.create(load=load, number=number, told=second(number))
    tick(load)
    assert load.run.status == "aborted"
    assert (load.ending, load.token) == (RunEnding.WORKER_LOST, 8)
    assert load.benchmark.requests == 30
    assert load.benchmark.was_aborted
    assert holder.waiting() == []
    assert holder.hold(load.pk, holder="another") is None
    assert not site.asked()


def test_seconds_of_long_ago_go_and_the_file_stays(load):
    LoadRun.objects.filter(pk=load.pk).update(began_at=timezone.now())
    LoadSecond.objects.create(load=load, number=0, told=second())
    services.close(load, RunEnding.COMPLETED, "")
    now = timezone.now()
    assert services.forget_seconds(now + timedelta(days=29)) == 0
    assert services.forget_seconds(now + timedelta(days=31)) == 1
    load.refresh_from_db()
    assert b"12.0" in zlib.decompress(bytes(load.benchmark.file.packed))


def test_a_worker_whose_load_was_taken_away_stops_it_at_its_next_word(load):
    held = holder._take(load.pk, "worker")
    assert holder._note(held, {"kind": "second", **second()})
    services.close(load, RunEnding.WORKER_LOST, "")
    assert not holder._note(held, {"kind": "second", **second(1)})
    assert LoadSecond.objects.count() == 1


def test_a_load_that_no_worker_takes_ends(load):
    tick(load)
    LoadRun.objects.update(made_at=timezone.now() - timedelta(seconds=61))
    tick(load)
    assert (load.run.status, load.ending, load.benchmark) == ("aborted", RunEnding.FAILED, None)
    assert "queue `loads`" in load.ending_says
    assert JournalEntry.objects.filter(run=load.run, kind="load_ended").exists()


def test_a_load_is_aborted_before_a_worker_took_it_and_is_never_paused(load, here):
    with pytest.raises(Refused, match="only be aborted"):
        runs.give_command(load.run, "pause", actor=here.manager)
    services.abort(load, actor=here.manager)
    tick(load)
    assert (load.run.status, load.ending) == ("aborted", RunEnding.ABORTED)
    assert holder.waiting() == []


# -- pages and API -----------------------------------------------------------------------------------------------


def typed(site, **changes):
    return {
        "name": "front page",
        "requests": f"GET {site.url}a 3\n\n{site.url}b",
        "unit": "users",
        "shape": "steps",
        "start": "1",
        "level": "4",
        "steps": "3",
        "duration_s": "60",
        "think_s": "1",
        "max_users": "4",
        "max_requests_per_s": "50",
        "error_ratio": "5",
        "p95_ms": "",
        "window_s": "10",
        "headers": "Accept-Language: de",
        "secret_headers": "",
        **changes,
    }


def test_people_draw_up_approve_and_start_on_pages(here, site, client):
    prove(here, site)
    client.force_login(here.editor)
    new = reverse("capacity:profile-new", args=[here.account.ref])
    assert "Line 1 is none" in client.post(new, typed(site, requests="GET one two three")).content.decode()
    assert client.post(new, typed(site, level="9")).status_code == 422
    answer = client.post(new, typed(site, secret_headers="Authorization: Bearer s3cret"))
    assert answer.status_code == 302, answer.content
    profile = LoadProfile.objects.get()
    content = from_plain(profile.content)
    assert [(one.url, one.weight) for one in content.requests] == [(f"{site.url}a", 3), (f"{site.url}b", 1)]
    assert content.stops.error_ratio == 0.05
    page = reverse("capacity:profile", args=[profile.ref])
    assert "s3cret" not in client.get(page).content.decode()
    edit = reverse("capacity:profile-edit", args=[profile.ref])
    assert client.post(edit, typed(site, name="front")).status_code == 302
    client.force_login(here.manager)
    client.post(reverse("capacity:profile-submit", args=[profile.ref]))
    client.force_login(here.approver)
    profile.refresh_from_db()
    assert "May this load be put on your site?" in client.get(page).content.decode()
    client.post(reverse("capacity:profile-approve", args=[profile.ref]), {"digest": profile.digest})
    client.force_login(here.manager)
    start = reverse("capacity:profile-start", args=[profile.ref])
    assert "1 to 4 users, in 3 steps, over 60 s" in client.get(start).content.decode()
    site.proof = "gone"
    assert client.post(start, {"digest": profile.digest}).status_code == 422
    site.proof = ProvenHost.objects.get().proof
    answer = client.post(start, {"digest": profile.digest, "node_count": "2"})
    load = LoadRun.objects.get()
    assert answer.url == reverse("capacity:load", args=[load.ref])
    assert "Waiting for a worker" in client.get(answer.url).content.decode()
    LoadRun.objects.update(began_at=timezone.now())
    for number in range(3):
        LoadSecond.objects.create(load=load, number=number, told=second(number, failures=1))
    shown = client.get(answer.url).content.decode()
    assert "Load is on the site" in shown
    assert "Abort the load" in shown
    assert "HTTP 500" in shown
    client.force_login(here.viewer)
    assert "Abort the load" not in client.get(answer.url).content.decode()
    assert client.post(reverse("capacity:load-abort", args=[load.ref])).status_code == 403
    client.force_login(here.editor)
    client.post(reverse("capacity:load-abort", args=[load.ref]))
    assert "The load is ending" in client.get(answer.url).content.decode()
    services.close(load, RunEnding.ABORTED, "A person aborted it.")
    assert "What was measured" in client.get(answer.url).content.decode()
    shown = client.get(reverse("capacity:benchmark", args=[Benchmark.objects.get().ref])).content.decode()
    assert "Locust" in shown
    assert "front" in client.get(reverse("capacity:profile-list", args=[here.account.ref])).content.decode()


def test_programs_do_the_same_and_see_only_their_own(here, site):
    prove(here, site)
    editor, manager, approver = (Caller(one) for one in (here.editor, here.manager, here.approver))
    body = {**fields(site), "headers": {"Accept-Language": "de"}}
    made = editor.post(f"/accounts/{here.account.ref}/load-profiles", body, status=201)
    assert (made["status"], made["approval"]) == ("draft", None)
    editor.post(f"/load-profiles/{made['ref']}/submit", status=403)
    asked = manager.post(f"/load-profiles/{made['ref']}/submit")
    approver.post(f"/approvals/{asked['approval']}/approve", {"digest": asked["digest"]})
    manager.post(f"/load-profiles/{made['ref']}/start", {"digest": "0" * 64}, status=409)
    load = manager.post(
        f"/load-profiles/{made['ref']}/start", {"digest": asked["digest"], "node_count": 2}, status=201
    )
    stranger = Caller(here.stranger)
    stranger.get(f"/load-profiles/{made['ref']}", status=404)
    stranger.get(f"/load-runs/{load['ref']}", status=404)
    LoadSecond.objects.create(load=LoadRun.objects.get(), number=0, told=second())
    live = editor.get(f"/load-runs/{load['ref']}")["live"]
    assert (live["requests_per_s"], live["users"]) == (10.0, 4)
    Caller(here.viewer).post(f"/load-runs/{load['ref']}/abort", status=403)
    editor.post(f"/load-runs/{load['ref']}/abort")
    assert editor.get(f"/accounts/{here.account.ref}/load-runs")["results"][0]["ref"] == load["ref"]
    assert editor.get(f"/accounts/{here.account.ref}/load-profiles")["results"][0]["status"] == "approved"
    unknown = {**body, "connection": str(uuid.uuid4()), "balancer_id": "71"}
    editor.post(f"/accounts/{here.account.ref}/load-profiles", unknown, status=422)


# -- behind another load -------------------------------------------------------------------------------------


@pytest.fixture
def busy(load):
    """Every worker holds a load of somebody else's."""
    other = make.account()
    profile = LoadProfile.objects.get(pk=load.profile_id)
    profile.pk, profile.ref, profile.account, profile.request, profile.status = (
        None,
        uuid.uuid4(),
        other,
        None,
        "draft",
    )
    profile.save()
    run = Run.objects.get(pk=load.run_id)
    run.pk, run.ref, run.plan_ref, run.account = None, uuid.uuid4(), uuid.uuid4(), other
    run.save()
    now = timezone.now()
    return LoadRun.objects.create(
        account=other,
        profile=profile,
        run=run,
        started_by=load.started_by,
        began_at=now,
        lease_until=now + timedelta(minutes=10),
    )


def test_a_load_behind_another_waits_and_says_so_and_begins_when_it_may(load, busy, here, site, client):
    made_at = timezone.now() - timedelta(minutes=30)
    LoadRun.objects.filter(pk=load.pk).update(made_at=made_at)
    for _ in range(3):
        tick(load)
    assert (load.run.status, load.ending) == ("running", "")
    assert JournalEntry.objects.filter(run=load.run, kind="load_waits").count() == 1
    client.force_login(here.viewer)
    page = client.get(reverse("capacity:load", args=[load.ref])).content.decode()
    assert "Waiting for another load to end" in page
    # The other one ends: from now on it is the worker's turn, for a minute.
    LoadRun.objects.filter(pk=busy.pk).update(ending=RunEnding.COMPLETED, ended_at=timezone.now())
    tick(load)
    assert load.ending == ""
    assert holder.waiting() == [load.pk]
    held = holder.hold(load.pk, holder="worker")
    assert held.ending == RunEnding.COMPLETED
    assert site.asked()


def test_a_load_that_nobody_takes_after_the_other_one_ended_ends_after_its_minute(load, busy):
    long_ago = timezone.now() - timedelta(minutes=30)
    LoadRun.objects.filter(pk=load.pk).update(made_at=long_ago)
    LoadRun.objects.filter(pk=busy.pk).update(
        ending=RunEnding.COMPLETED, ended_at=timezone.now() - timedelta(seconds=61)
    )
    tick(load)
    tick(load)
    assert load.ending == RunEnding.FAILED
    assert "queue `loads`" in load.ending_says


def test_a_load_whose_approval_runs_out_while_it_waits_is_not_begun(load, busy, site):
    tick(load)
    LoadProfile.objects.filter(pk=load.profile_id).update(valid_until=timezone.now() - timedelta(seconds=1))
    tick(load)
    assert (load.run.status, load.ending) == ("aborted", RunEnding.FAILED)
    assert "approval ran out" in load.ending_says
    assert not site.asked()


@pytest.mark.parametrize("gone", ["approval", "freeze"])
def test_what_a_start_asks_is_asked_again_as_a_load_begins(load, here, site, gone):
    if gone == "approval":
        LoadProfile.objects.filter(pk=load.profile_id).update(status="voided")
    else:
        make.calendar_entry(account=here.account)
    held = holder.hold(load.pk, holder="worker")
    assert held.ending == RunEnding.FAILED
    assert held.benchmark is None
    assert not site.asked()


# -- a host that is the account's own no more ------------------------------------------------------------------------


def lose(here, site, how):
    host = ProvenHost.objects.get()
    if how == "removed":
        hosts.remove(host, actor=here.editor)
    elif how == "archived":
        Account.objects.filter(pk=here.account.pk).update(status=AccountStatus.ARCHIVED)
    else:
        site.proof = "something else"
        assert hosts.check(host, actor=here.editor).state == "host_missing"


@pytest.mark.parametrize("how", ["removed", "gone"])
def test_a_load_does_not_begin_on_a_host_that_is_the_accounts_own_no_more(load, here, site, how):
    lose(here, site, how)
    held = holder.hold(load.pk, holder="worker")
    assert held.ending == RunEnding.FAILED
    assert site.place in held.ending_says
    assert held.benchmark is None
    assert not site.asked()


@pytest.mark.parametrize("how", ["removed", "gone", "archived"])
def test_a_load_ends_as_its_host_is_the_accounts_own_no_more(here, site, monkeypatch, how):
    prove(here, site)
    held = held_and_cut_short(here, site, monkeypatch, lambda load: lose(here, site, how))
    assert held.ending == RunEnding.ABORTED
    why = "The account was archived." if how == "archived" else site.place
    assert why in held.ending_says
    assert held.benchmark.was_aborted
    assert why in JournalEntry.objects.get(run=held.run, kind="load_ended").says


# -- the name is proven, and the address that it leads to --------------------------------------------------------------

NAME = "shop.example.com"


@pytest.fixture
def named(here, site, settings, monkeypatch):
    """The site by a name that a TXT record proves; `leads_to` are the addresses of the name, all of them open."""
    settings.EGRESS_ALLOW, settings.EGRESS_ALLOW_NETWORKS = [], ["127.0.0.0/8"]
    leads_to = ["127.0.0.1"]

    async def resolve(host, port):
        return list(leads_to)

    monkeypatch.setattr(connecting, "system_resolver", resolve)
    host = hosts.add(here.account, f"{NAME}:{site.port}", actor=here.editor)
    monkeypatch.setattr(txt, "txt_records", lambda name: (host.proof,))
    assert hosts.check(host, actor=here.editor).way == "dns"
    site.proof, site.leads_to, site.url = host.proof, leads_to, f"http://{NAME}:{site.port}/"
    return site


def test_a_load_goes_to_an_address_that_gives_the_proof_itself(here, named):
    held = holder.hold(started(here, named).pk, holder="worker")
    assert (held.ending, held.ending_says) == (RunEnding.COMPLETED, "")
    assert held.pins == {f"{NAME}:{named.port}": ["127.0.0.1"]}
    looked = [headers["Host"] for _, path, headers in named.came if path == WELL_KNOWN]
    assert set(looked) == {f"{NAME}:{named.port}"}


def test_a_txt_record_alone_puts_no_load_on_the_site_of_somebody_else(here, named):
    named.proof = ""
    with pytest.raises(Refused, match=r"leads to 127\.0\.0\.1, which does not give the proof"):
        started(here, named)
    assert not LoadRun.objects.exists()
    assert not named.asked()


def test_a_name_that_leads_elsewhere_by_its_beginning_gets_no_load(here, named):
    load = started(here, named)
    named.proof = "of somebody else"
    held = holder.hold(load.pk, holder="worker")
    assert held.ending == RunEnding.FAILED
    assert "leads to 127.0.0.1" in held.ending_says
    assert not named.asked()


def test_an_address_that_nobody_can_connect_to_gets_no_load_and_stops_none(here, named):
    named.leads_to.append("127.0.0.2")  # nobody listens there
    held = holder.hold(started(here, named).pk, holder="worker")
    assert held.ending == RunEnding.COMPLETED
    assert held.pins == {f"{NAME}:{named.port}": ["127.0.0.1"]}
    named.leads_to[:] = ["127.0.0.2"]
    with pytest.raises(TryLater, match="No address of"):
        started(here, named)


def test_one_address_without_the_proof_among_several_refuses(here, named):
    other = Site(at="127.0.0.3", port=named.port)
    named.leads_to.append("127.0.0.3")
    try:
        with pytest.raises(Refused, match=r"leads to 127\.0\.0\.3"):
            started(here, named)
    finally:
        other.close()
    assert not other.asked()
