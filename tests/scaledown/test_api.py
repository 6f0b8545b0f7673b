"""The API of scale-down: the whole way by HTTP, and what it refuses."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest
from django.db import connection as database
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiToken
from portal.access import permissions_on
from portal.runs import charge
from portal.runs.models import Run, RunSample
from scaledown import services
from scaledown.live import live_run
from scaledown.models import Plan
from scaledown.pool import ServerLook
from scaledown.report import report
from scaledown.selectors import plan_page
from tests import factories as make
from tests.scaledown.planner_cases import CHOICE
from tests.scaledown.rows import desk, fresh_pool

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def here(monkeypatch):
    for place in ("scaledown.api", "scaledown.api_around"):
        monkeypatch.setattr(f"{place}.read_pool", lambda connection, balancer_ids: fresh_pool())
    monkeypatch.setattr(
        "scaledown.api_around.look_at_server", lambda *asked: ServerLook(True, "web-06", timezone.now())
    )
    return desk()


class Caller:
    """One person with a token."""

    def __init__(self, person):
        self.client = Client(**make.bearer(make.token(person)))

    def ask(self, method, path, body=None, **headers):
        send = getattr(self.client, method)
        if method == "get":
            return send(API + path, headers=headers)
        return send(API + path, body or {}, content_type="application/json", headers=headers)

    def get(self, path, status=200, **headers):
        response = self.ask("get", path, **headers)
        assert response.status_code == status, response.content
        return response.json()

    def post(self, path, body=None, status=200, key=None, **headers):
        response = self.ask("post", path, body, **{"Idempotency-Key": key or str(uuid.uuid4()), **headers})
        assert response.status_code == status, response.content
        return response.json()


def draft(caller, here, **choice):
    return caller.post(
        f"/accounts/{here.account.ref}/plans",
        {
            "title": "After Black Friday",
            "connection": str(here.connection.ref),
            "event": str(here.event.ref),
            "choice": {
                "balancer_ids": ["71"],
                "reason": "It is over.",
                "no_vital_reason": "Orders come in elsewhere.",
                **choice,
            },
        },
        status=201,
    )


def approved(here):
    manager, approver = Caller(here.manager), Caller(here.approver)
    plan = draft(manager, here)
    plan = manager.post(f"/plans/{plan['ref']}/submit")
    return approver.post(f"/plans/{plan['ref']}/approve", {"digest": plan["digest"]})


def started(here) -> Run:
    plan = approved(here)
    run = Caller(here.manager).post(
        f"/plans/{plan['ref']}/runs", {"status": "approved", "digest": plan["digest"]}, status=201
    )
    return Run.objects.get(ref=run["ref"])


def test_a_window_of_several_days_is_drafted_and_read(here):
    manager = Caller(here.manager)
    opens = timezone.now() + timedelta(days=1)
    hours = {"window_start": opens.isoformat(), "window_end": (opens + timedelta(hours=2)).isoformat()}
    plan = draft(manager, here, **hours, window_days=3, window_weekends=True)
    assert (plan["choice"]["window_days"], plan["choice"]["window_weekends"]) == (3, True)
    plan = manager.post(f"/plans/{plan['ref']}/submit")
    assert len(plan["data"]["later_windows"]) == 2
    choice = {"balancer_ids": ["71"], "window_days": 2}
    body = {"title": "Again", "connection": str(here.connection.ref), "choice": choice}
    answer = manager.post(f"/accounts/{here.account.ref}/plans", body, status=422)
    assert answer["type"].endswith(":window-open")


def test_a_scale_down_goes_from_draft_to_a_run_by_http_alone(here):
    manager, approver = Caller(here.manager), Caller(here.approver)
    plan = draft(manager, here)
    assert (plan["status"], plan["acts"]) == ("draft", ["edit", "preview", "submit", "rehearse", "void"])
    preview = manager.post(f"/plans/{plan['ref']}/preview")
    assert [step["nodes_left"] for step in preview["steps"]] == [5, 4, 3]
    plan = manager.post(f"/plans/{plan['ref']}/submit", {"reason": "Over."})
    assert (plan["status"], plan["missing_sides"]) == ("awaiting_approval", ["customer"])
    seen = approver.get(f"/plans/{plan['ref']}")
    assert seen["may_decide"]
    plan = approver.post(f"/plans/{plan['ref']}/approve", {"digest": seen["digest"]})
    assert plan["status"] == "approved"
    run = manager.post(
        f"/plans/{plan['ref']}/runs", {"status": "approved", "digest": plan["digest"]}, status=201
    )
    assert [lane["server_name"] for lane in run["lanes"]] == ["web-06", "web-05", "web-04"]
    assert manager.get(f"/plans/{plan['ref']}")["run_ref"] == run["ref"]
    assert [row["ref"] for row in manager.get("/runs")["results"]] == [run["ref"]]
    assert manager.get(f"/runs/{run['ref']}/journal")["results"][0]["kind"] == "created"
    assert manager.get(f"/runs/{run['ref']}/report")["requests_failed"]["answer"] == "not_measurable"


def test_a_viewer_reads_and_is_offered_nothing(here):
    run = started(here)
    seen = Caller(here.viewer).get(f"/runs/{run.ref}")
    assert seen["offers"] == []
    assert all(lane["offers"] == [] for lane in seen["lanes"])


def test_another_customer_finds_neither_plan_nor_run(here):
    run = started(here)
    stranger = Caller(here.stranger)
    for path in (f"/plans/{run.plan_ref}", f"/runs/{run.ref}", f"/runs/{run.ref}/journal"):
        assert stranger.get(path, status=404)["type"].endswith("not-found")
    assert stranger.get("/runs")["results"] == []


def test_the_rows_of_another_account_cannot_be_named_in_a_plan(here):
    other = make.connection(make.account("Elsewhere"))
    answer = Caller(here.manager).post(
        f"/accounts/{here.account.ref}/plans",
        {"title": "x", "connection": str(other.ref), "choice": {"balancer_ids": ["71"]}},
        status=422,
    )
    assert answer["type"].endswith("unknown-reference")


def test_a_change_of_a_draft_names_the_version_that_was_read(here):
    manager = Caller(here.manager)
    plan = draft(manager, here)
    path = f"/plans/{plan['ref']}"
    assert manager.ask("patch", path, {"title": "New"}).status_code == 428
    assert manager.ask("patch", path, {"title": "New"}, **{"If-Match": '"old"'}).status_code == 412
    etag = manager.ask("get", path)["ETag"]
    changed = manager.ask("patch", path, {"choice": {"target": 4}}, **{"If-Match": etag})
    assert changed.status_code == 200
    assert changed.json()["choice"]["target"] == 4
    assert changed.json()["choice"]["reason"] == "It is over."
    assert manager.ask("patch", path, {"title": "New"}, **{"If-Match": etag}).status_code == 412


def test_a_preview_leaves_the_version_of_a_draft_as_it_is(here):
    manager = Caller(here.manager)
    path = f"/plans/{draft(manager, here)['ref']}"
    before = manager.ask("get", path)["ETag"]
    manager.post(f"{path}/preview")
    assert manager.ask("get", path)["ETag"] == before
    assert manager.get(path)["preview"]["target"] == 3


@pytest.mark.parametrize(
    ("act", "fields"),
    [
        ("submit", ["reason"]),
        ("approve", ["digest", "reason"]),
        ("reject", ["digest", "reason"]),
        ("less", ["digest"]),
        ("void", ["reason"]),
        ("copy", []),
        ("runs", ["digest", "status"]),
        ("rehearsals", []),
    ],
)
def test_a_command_needs_an_idempotency_key(here, act, fields):
    plan = approved(here)
    caller = Caller(here.approver if act in {"approve", "reject"} else here.manager)
    whole = {"digest": plan["digest"], "reason": "Because.", "status": "approved"}
    body = {name: whole[name] for name in fields}
    assert caller.ask("post", f"/plans/{plan['ref']}/{act}", body).status_code == 428


def test_a_plan_is_made_less_by_http_and_its_run_takes_the_less(here):
    plan, manager = approved(here), Caller(here.manager)
    path = f"/plans/{plan['ref']}"
    assert "less" in manager.get(path)["acts"]
    less = manager.post(
        f"{path}/less", {"digest": plan["digest"], "target": 5, "soak_s": 900, "reason": "A sale."}, key="k"
    )
    assert (less["status"], less["data"]["target"], less["choice"]["soak_s"]) == ("approved", 5, 900)
    (step,) = less["less"]
    assert (step["was"], step["became"], step["reason"]) == (plan["digest"], less["digest"], "A sale.")
    assert step["changes"][1] == {"label": "Soak", "was": "5 min", "became": "15 min"}
    assert [one["of"] for one in less["decisions"]] == ["3 servers; less since: 1"] * 2
    again = manager.post(f"{path}/less", {"digest": less["digest"], "target": 5})
    assert again["digest"] == less["digest"]
    (approval,) = manager.get(f"/approvals?account={here.account.ref}")["results"]
    assert (approval["digest"], approval["lessened_from"]) == (less["digest"], [plan["digest"]])
    run = manager.post(f"{path}/runs", {"status": "approved", "digest": less["digest"]}, status=201)
    assert [lane["server_name"] for lane in run["lanes"]] == ["web-06"]
    told = manager.get(f"/runs/{run['ref']}/report")["approvals"]
    assert [one["of"] for one in told] == ["3 servers; less since: 1"] * 2
    late = manager.post(f"{path}/less", {"digest": less["digest"], "floor": 3}, status=409)
    assert late["type"].endswith("plan-status-changed")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"target": 2}, 422, "not-less"),
        ({"soak_s": 1}, 422, "not-less"),
        ({"target": 4, "floor": 1}, 422, "not-less"),
        ({"soak_s": -1}, 422, "invalid"),
        ({"at_limit": "put_back"}, 422, "invalid"),
        ({"window_start": None}, 422, "invalid"),
        ({"digest": "0" * 64, "soak_s": 900}, 409, "digest-mismatch"),
    ],
)
def test_more_of_a_plan_is_refused_by_http_and_nothing_changes(here, body, status, code):
    plan, manager = approved(here), Caller(here.manager)
    path = f"/plans/{plan['ref']}"
    before = manager.get(path)
    answer = manager.post(f"{path}/less", {"digest": plan["digest"], **body}, status=status)
    assert answer["type"].endswith(f":{code}")
    assert manager.get(path) == before


def test_a_start_that_is_sent_twice_starts_one_run(here):
    plan = approved(here)
    manager, path = Caller(here.manager), f"/plans/{plan['ref']}/runs"
    body = {"status": "approved", "digest": plan["digest"]}
    first = manager.post(path, body, status=201, key="k")
    again = manager.post(path, body, status=201, key="k")
    assert first["ref"] == again["ref"]
    assert Run.objects.count() == 1
    assert manager.post(path, {**body, "status": "draft"}, status=409, key="k")
    assert manager.post(path, body, status=409, key="other")["status"] == 409


def test_whoever_approves_names_the_digest_that_was_shown(here):
    plan = draft(Caller(here.manager), here)
    Caller(here.manager).post(f"/plans/{plan['ref']}/submit")
    answer = Caller(here.approver).post(f"/plans/{plan['ref']}/approve", {"digest": "0" * 64}, status=409)
    assert answer["type"].endswith("digest-mismatch")


def test_a_launch_manager_cannot_approve_for_the_customer(here):
    plan = draft(Caller(here.manager), here)
    plan = Caller(here.manager).post(f"/plans/{plan['ref']}/submit")
    Caller(here.manager).post(f"/plans/{plan['ref']}/approve", {"digest": plan["digest"]}, status=403)


def test_a_token_without_the_scope_does_nothing(here):
    run = started(here)
    narrow = Client(**make.bearer(make.token(here.manager, scopes=["scaledown:read"])))
    body = {"name": "abort", "reason": "x", "status": run.status, "digest": run.digest}
    response = narrow.post(
        f"{API}/runs/{run.ref}/commands",
        body,
        content_type="application/json",
        headers={"Idempotency-Key": "a"},
    )
    assert response.status_code == 403
    assert response.json()["type"].endswith("scope-missing")


def test_a_command_carries_what_was_seen_and_is_answered_by_the_run(here):
    run = started(here)
    manager, path = Caller(here.manager), f"/runs/{run.ref}/commands"
    body = {"name": "abort", "reason": "The event goes on.", "status": "scheduled", "digest": run.digest}
    assert manager.post(path, {**body, "status": "running"}, status=409)["type"].endswith("status-changed")
    assert manager.post(path, {**body, "digest": "0" * 64}, status=409)["type"].endswith("digest-mismatch")
    assert manager.post(path, {**body, "name": "resume"}, status=422)["type"].endswith("command-refused")
    given = manager.post(path, body, status=202)
    assert (given["name"], given["accepted"]) == ("abort", None)
    assert [row["ref"] for row in manager.get(path)["results"]] == [given["ref"]]


def test_whoever_overrides_what_holds_sends_the_version_of_it_that_they_read(here):
    plan, lead = approved(here), Caller(here.lead)
    path, seen = f"/plans/{plan['ref']}", {"status": "approved", "digest": plan["digest"]}
    assert lead.get(path)["held_version"] == ""
    now = timezone.now()
    make.calendar_entry(account=here.account, starts_at=now, ends_at=now + timedelta(days=5))
    told = lead.post(f"{path}/runs", seen, status=422)
    assert told["type"].endswith("freeze")
    assert told["version"] == lead.get(path)["held_version"] != ""
    seen |= {"override_reason": "It cannot wait."}
    for more in ({}, {"held_version": "another"}):
        no = lead.post(f"{path}/runs", {**seen, **more}, status=409)
        assert no["type"].endswith("held-by-another")
        assert no["version"] == told["version"]
    run = lead.post(f"{path}/runs", {**seen, "held_version": told["version"]}, status=201)
    Run.objects.filter(ref=run["ref"]).update(status="paused")
    make.calendar_entry(account=here.account, starts_at=now, ends_at=now + timedelta(days=3))
    read = lead.get(f"/runs/{run['ref']}")["held_version"]
    body = {"name": "resume", "reason": "It cannot wait.", "status": "paused", "digest": plan["digest"]}
    path = f"/runs/{run['ref']}/commands"
    assert lead.post(path, {**body, "held_version": told["version"]}, status=409)["version"] == read
    lead.post(path, {**body, "held_version": read}, status=202)


def test_an_approver_may_stop_a_run_and_not_steer_it(here):
    run = started(here)
    approver, path = Caller(here.approver), f"/runs/{run.ref}/commands"
    seen = {"status": "scheduled", "digest": run.digest, "reason": "Because."}
    approver.post(path, {**seen, "name": "finish_here"}, status=403)
    approver.post(path, {**seen, "name": "abort"}, status=202)


def test_everything_is_stopped_by_the_customer_and_let_go_by_a_lead(here):
    path = f"/accounts/{here.account.ref}/standstills"
    put = Caller(here.approver).post(path, {"scope": "account", "reason": "Payments are down."}, status=201)
    assert put["lifted_at"] is None
    lift = f"/standstills/{put['ref']}/lift"
    Caller(here.manager).post(lift, {"reason": "Up again."}, status=403)
    Caller(here.stranger).post(lift, {"reason": "Up again."}, status=404)
    assert Caller(here.lead).post(lift, {"reason": "Up again."})["lift_reason"] == "Up again."
    assert [row["ref"] for row in Caller(here.viewer).get(path)["results"]] == [put["ref"]]


def test_a_customer_cannot_stop_the_whole_team(here):
    Caller(here.approver).post(
        f"/accounts/{here.account.ref}/standstills", {"scope": "team", "reason": "Stop."}, status=403
    )


def test_a_protected_server_is_marked_and_let_go_with_a_reason(here):
    path = f"/accounts/{here.account.ref}/protected-servers"
    mark = Caller(here.manager).post(
        path,
        {
            "connection": str(here.connection.ref),
            "server_id": "srv-06",
            "server_name": "web-06",
            "reason": "Holds the licence.",
        },
        status=201,
    )
    plan = draft(Caller(here.manager), here, target=3)
    seen = Caller(here.manager).post(f"/plans/{plan['ref']}/preview", status=422)
    assert "web-06 is protected" in seen["detail"]
    Caller(here.manager).post(f"/protected-servers/{mark['ref']}/lift", {"reason": "Moved."})
    assert Caller(here.manager).get(path)["results"] == []


def test_a_viewer_sees_a_preview_and_leaves_the_one_that_its_author_keeps(here):
    path = f"/plans/{draft(Caller(here.manager), here)['ref']}"
    assert Caller(here.viewer).post(f"{path}/preview")["target"] == 3
    assert Caller(here.manager).get(path)["preview"] is None
    Caller(here.editor).post(f"{path}/preview")
    assert Caller(here.viewer).get(path)["preview"]["target"] == 3


def test_a_balancer_that_is_named_twice_is_refused_with_a_sentence(here):
    refused = Caller(here.manager).post(
        f"/accounts/{here.account.ref}/plans",
        {
            "title": "After Black Friday",
            "connection": str(here.connection.ref),
            "choice": {"balancer_ids": ["71", "71"]},
        },
        status=422,
    )
    assert refused["detail"] == "Load balancer 71 is named more than once. Name each once."
    assert not Plan.objects.exists()


def protect(here, monkeypatch, seen, status):
    monkeypatch.setattr("scaledown.api_around.look_at_server", lambda connection, server_id: seen)
    return Caller(here.manager).post(
        f"/accounts/{here.account.ref}/protected-servers",
        {
            "connection": str(here.connection.ref),
            "server_id": "nonsense",
            "server_name": "web-06",
            "reason": "Holds the licence.",
        },
        status=status,
    )


def test_an_id_that_the_provider_does_not_know_is_refused_and_a_silent_provider_refuses_none(
    here, monkeypatch
):
    refused = protect(here, monkeypatch, ServerLook(False, at=timezone.now()), 422)
    assert refused["type"].endswith("unknown-server")
    assert "“nonsense”" in refused["detail"]
    taken = protect(here, monkeypatch, ServerLook(problem="The provider is away."), 201)
    assert taken["checked_at"] is None


def test_a_scale_up_is_reconstructed_and_then_written_down_by_a_person(here):
    manager, base = Caller(here.manager), f"/accounts/{here.account.ref}/scale-up-records"
    named = {"event": str(here.event.ref), "connection": str(here.connection.ref)}
    found = manager.post(f"{base}/reconstruct", {**named, "balancer_ids": ["71"]})["entries"]
    assert [entry["server_name"] for entry in found] == ["web-04", "web-05", "web-06"]
    record = manager.post(base, {**named, "entries": found}, status=201)
    assert [entry["source"] for entry in record["entries"]] == ["reconstructed"] * 3
    assert manager.get(f"/scale-up-records/{record['ref']}")["entries"] == record["entries"]


def test_a_lesson_is_written_on_the_report(here):
    run = started(here)
    answer = Caller(here.editor).post(f"/runs/{run.ref}/lessons", {"text": "Start earlier."}, status=201)
    assert [lesson["text"] for lesson in answer["lessons"]] == ["Start earlier."]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/runs?status=sleeping", "bad-filter"),
        ("/runs/{ref}/journal?after=x", "bad-filter"),
        ("/runs/{ref}/samples?since=yesterday", "bad-filter"),
        ("/runs/{ref}/samples?since=2026-11-23T12:00:00", "bad-filter"),
        ("/runs?fields=secret", "unknown-field"),
    ],
)
def test_a_query_that_makes_no_sense_is_told_so(here, path, code):
    run = started(here)
    assert Caller(here.manager).get(path.format(ref=run.ref), status=422)["type"].endswith(code)


def test_samples_come_by_series_and_an_unknown_value_stays_unknown(here):
    run = started(here)
    now = timezone.now()
    RunSample.objects.create(run=run, series="connections:srv-06", at=now, value=14)
    RunSample.objects.create(run=run, series="connections:srv-06", at=now + timedelta(seconds=1), value=None)
    RunSample.objects.create(run=run, series="load:pool", at=now, value=150)
    manager = Caller(here.manager)
    found = manager.get(f"/runs/{run.ref}/samples?series=connections:srv-06")["series"]
    assert [[point["value"] for point in one["points"]] for one in found] == [[14, None]]
    assert len(manager.get(f"/runs/{run.ref}/samples")["series"]) == 2
    lane = manager.get(f"/runs/{run.ref}")["lanes"][0]
    assert [point["value"] for point in lane["connections"]] == [14, None]


def queries(act):
    with CaptureQueriesContext(
        database,
    ) as seen:
        act()
    return len(seen)


def fill(run, times):
    now = timezone.now()
    for number in range(times):
        RunSample.objects.create(
            run=run, series="load:pool", at=now + timedelta(seconds=number), value=number
        )
        charge.take(run, actor=run.created_by)


def test_pages_of_a_plan_a_run_and_its_report_cost_the_same_however_much_there_is(here):
    run = started(here)
    plan = Plan.objects.get(ref=run.plan_ref)
    granted = permissions_on(here.manager, here.account)
    costs = []
    for times in (0, 30):
        fill(run, times)
        costs.append(
            (
                queries(lambda: plan_page(plan, viewer=here.manager, granted=granted)),
                queries(lambda: live_run(run, granted=granted)),
                queries(lambda: report(run)),
            )
        )
    assert costs[0] == costs[1]
    assert costs[0] <= (14, 7, 7)


def test_lists_cost_the_same_however_long_they_are(here):
    manager = Caller(here.manager)
    path = f"/accounts/{here.account.ref}/plans"
    manager.get(path)
    one = queries(lambda: manager.get(path))
    for _ in range(4):
        services.draft_plan(
            account=here.account,
            connection=here.connection,
            actor=here.manager,
            title="More",
            choice=CHOICE,
            event=here.event,
        )
    assert queries(lambda: manager.get(path)) == one
    assert len(manager.get(path)["results"]) == 4


@pytest.mark.django_db(transaction=True)
def test_the_event_stream_goes_on_after_the_last_entry_that_was_seen(here):
    run = started(here)
    services.command(run, "abort", actor=here.manager, reason="Not today.")
    Run.objects.filter(pk=run.pk).update(status="aborted", next_tick_at=None, ended_at=timezone.now())
    secret = make.token(here.viewer)

    async def read(**headers):
        given = {"authorization": f"Bearer {secret}", **headers}
        response = await AsyncClient().get(f"{API}/runs/{run.ref}/events", headers=given)
        assert response["Content-Type"] == "text/event-stream", response.content
        return b"".join([chunk async for chunk in response.streaming_content]).decode()

    whole = asyncio.run(read())
    assert whole.index("id: 1\n") < whole.index("id: 2\n")
    rest = asyncio.run(read(**{"last-event-id": "1"}))
    assert "id: 1\n" not in rest
    assert "id: 2\n" in rest
    assert "event: end" in rest


@pytest.mark.parametrize("number", ["²", "-1", "x", "9" * 30])
def test_a_place_in_the_journal_that_is_no_number_is_refused(here, number):
    run = started(here)
    manager = Caller(here.manager)
    assert manager.get(f"/runs/{run.ref}/journal?after={number}", status=422)["type"].endswith("bad-filter")


@pytest.mark.django_db(transaction=True)
def test_a_stream_ends_with_the_token_that_opened_it(here, monkeypatch):
    monkeypatch.setattr("portal.streams.RECHECK_S", -1.0)
    run = started(here)
    secret = make.token(here.viewer)

    async def read(*, revoked):
        response = await AsyncClient().get(
            f"{API}/runs/{run.ref}/events", headers={"authorization": f"Bearer {secret}"}
        )
        if revoked:
            await ApiToken.objects.filter(user=here.viewer).aupdate(revoked_at=timezone.now())
        async with asyncio.timeout(20):
            chunks = aiter(response.streaming_content)
            found = await anext(chunks, None)
            await chunks.aclose()
            return found

    assert asyncio.run(read(revoked=False)) is not None
    assert asyncio.run(read(revoked=True)) is None


def test_a_misspelt_floor_does_not_pass_for_one_that_was_not_given(here):
    refused = Caller(here.manager).post(
        f"/accounts/{here.account.ref}/plans",
        {
            "title": "x",
            "connection": str(here.connection.ref),
            "choice": {"balancer_ids": ["71"], "flor": 4},
        },
        status=422,
    )
    assert set(refused["errors"]) == {"choice.flor"}


@pytest.mark.parametrize("balancer_id", ["../../servers", "71?x=1", "", "a b"])
def test_what_is_no_balancers_id_reaches_no_provider(here, balancer_id):
    refused = Caller(here.manager).post(
        f"/accounts/{here.account.ref}/plans",
        {"title": "x", "connection": str(here.connection.ref), "choice": {"balancer_ids": [balancer_id]}},
        status=422,
    )
    assert set(refused["errors"]) == {"choice"}
