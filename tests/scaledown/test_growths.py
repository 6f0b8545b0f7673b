"""Asking for a run to grow again: both sides, the run's command, what is refused to whom, pages and API."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership
from portal.access import permissions_on
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalStatus, Verdict
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.models import Event
from portal.notify import sending
from portal.notify.models import Message
from portal.runs.models import JournalEntry, Run, RunCommand
from portal.runs.types import Command
from scaledown import driver, growing, growths
from scaledown.canonical import plan_from_plain
from scaledown.live import live_run
from scaledown.models import Growth
from scaledown.progress import (
    DeleteWay,
    ImageMade,
    progress_from_plain,
    progress_to_plain,
)
from scaledown.types import ImageRule, Phase
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller
from tests.scaledown.test_services import started

pytestmark = pytest.mark.django_db


@pytest.fixture
def here():
    return desk()


def smaller(here, *, deleted=2, status="running"):
    """A run that has deleted so many servers, each with an image."""
    run = started(here, images=ImageRule.EACH, images_kept_s=86_400.0)
    now, progress = timezone.now(), progress_from_plain(run.progress)
    ways, images = [], []
    for number, way in enumerate(progress.servers):
        if number >= deleted:
            ways.append(way)
            continue
        at = now - timedelta(minutes=30 - number)
        gone = replace(way, phase=Phase.RETIRED, left_at=at, retired_at=at, delete=DeleteWay(gone_at=at))
        ways.append(gone)
        images.append(
            ImageMade(
                f"img-{number}",
                f"{way.name} copy",
                way.server_id,
                way.name,
                at,
                now + timedelta(days=1),
                "ACTIVE",
                ready_at=at,
            )
        )
    progress = replace(progress, servers=tuple(ways), images=tuple(images), started_at=now)
    Run.objects.filter(pk=run.pk).update(status=status, progress=progress_to_plain(progress))
    return Run.objects.select_related("account").get(pk=run.pk)


def asked(here, run=None, count=1, **given):
    return growths.ask_growth(
        run or smaller(here), count=count, actor=here.manager, reason="The sale grows.", **given
    )


def approve(here, growth):
    return growths.decide_growth(
        growth, Verdict.APPROVE, actor=here.approver, seen_digest=growth.request.digest
    )


def test_both_sides_approve_by_name_and_the_run_is_given_exactly_that(here):
    run = smaller(here)
    growth = asked(here, run, 2)
    data = growths.data_of(growth)
    assert [(s.name, s.flavor_id, s.image_id) for s in data.servers] == [
        ("web-05", "general1-4", "img-1"),
        ("web-06", "general1-4", "img-0"),
    ]
    assert growth.request.status == ApprovalStatus.OPEN
    assert not RunCommand.objects.filter(run=run, name="grow_again").exists()
    growth = approve(here, growth)
    given = growth.command
    assert (given.name, given.by, given.accepted) == ("grow_again", here.manager, None)
    command = Command(1, 1, given.name, given.args, "7", "Lena", given.reason, timezone.now())
    wanted = growing.of_command(command)
    assert (wanted.ref, wanted.digest) == (str(growth.ref), growth.request.digest)
    assert wanted.servers == data.servers
    run.refresh_from_db()
    progress, plan = progress_from_plain(run.progress), plan_from_plain(run.plan)
    assert all(growing.why_not(plan, progress, server) == "" for server in wanted.servers)


def test_the_facts_of_a_run_that_grows_say_whether_its_approval_stands(here):
    run = smaller(here)
    growth = asked(here, run)
    assert "growth_problem" not in driver.facts(run)
    run.progress["growing"] = growing.asked(str(growth.ref), growths.data_of(growth))["growth"]
    assert "not approved by both sides" in driver.facts(run)["growth_problem"]
    approve(here, growth)
    assert driver.facts(run)["growth_problem"] == ""
    Membership.objects.filter(user=here.approver).delete()
    assert "Approver, who may no longer approve" in driver.facts(run)["growth_problem"]


def test_asking_pauses_a_run_that_takes_servers_out_and_no_other(here):
    run = smaller(here)
    asked(here, run)
    given = RunCommand.objects.get(run=run)
    assert (given.name, given.args) == ("pause", {"when": "now"})


@pytest.mark.parametrize(("deleted", "status"), [(3, "running"), (2, "paused")])
def test_a_run_that_takes_none_out_is_not_paused(here, deleted, status):
    run = smaller(here, deleted=deleted, status=status)
    asked(here, run)
    assert not RunCommand.objects.filter(run=run).exists()


@pytest.mark.parametrize(("count", "reason"), [(0, "why"), (3, "why"), (1, "  ")])
def test_what_cannot_be_is_refused_and_leaves_nothing(here, count, reason):
    run = smaller(here)
    with pytest.raises(Refused):
        growths.ask_growth(run, count=count, actor=here.manager, reason=reason)
    assert not Growth.objects.exists()
    assert not RunCommand.objects.exists()


def test_only_one_is_asked_for_at_a_time_and_another_once_it_was_decided(here):
    run = smaller(here)
    growth = asked(here, run)
    with pytest.raises(StaleState, match="asked for already"):
        asked(here, run)
    growths.decide_growth(
        growth,
        Verdict.REJECT,
        actor=here.approver,
        seen_digest=growth.request.digest,
        reason="Too dear.",
    )
    assert asked(here, run).request.status == ApprovalStatus.OPEN


def test_a_no_changes_nothing_and_is_in_the_journal(here):
    run = smaller(here)
    growth = asked(here, run)
    growths.decide_growth(
        growth,
        Verdict.REJECT,
        actor=here.approver,
        seen_digest=growth.request.digest,
        reason="Too dear.",
    )
    assert not RunCommand.objects.filter(name="grow_again").exists()
    entry = JournalEntry.objects.get(run=run, kind="growth_ended")
    assert entry.says == "Growing again: rejected. Too dear."
    assert "Too dear" not in entry.customer_says


def test_who_may_not_is_told_so(here):
    run = smaller(here)
    for role in ("viewer", "editor", "approver", "admin", "stranger"):
        with pytest.raises(NotPermitted):
            growths.ask_growth(run, count=1, actor=getattr(here, role), reason="why")
    growth = asked(here, run)
    for role in ("viewer", "editor", "stranger", "manager", "lead"):
        with pytest.raises(NotPermitted):
            growths.decide_growth(
                growth,
                Verdict.APPROVE,
                actor=getattr(here, role),
                seen_digest=growth.request.digest,
            )
    with pytest.raises(NotPermitted):
        growths.withdraw_growth(growth, actor=here.approver, reason="why")


def test_another_digest_than_was_shown_is_no_approval(here):
    growth = asked(here)
    with pytest.raises(StaleState):
        growths.decide_growth(growth, Verdict.APPROVE, actor=here.approver, seen_digest="0" * 64)


def test_what_is_stored_must_be_what_was_approved(here):
    growth = asked(here)
    growth.data["servers"][0]["image_id"] = "another"
    growth.save(update_fields=["data"])
    with pytest.raises(Refused, match="not what was shown"):
        approve(here, growth)
    growth.request.refresh_from_db()
    assert growth.request.status == ApprovalStatus.OPEN
    assert not RunCommand.objects.filter(name="grow_again").exists()


def test_approved_twice_it_is_one_command(here):
    growth = asked(here)
    approve(here, growth)
    approve(here, growth)
    assert RunCommand.objects.filter(name="grow_again").count() == 1


def test_a_run_that_is_over_grows_no_more(here):
    run = smaller(here)
    growth = asked(here, run)
    Run.objects.filter(pk=run.pk).update(status="completed", next_tick_at=None, ended_at=timezone.now())
    with pytest.raises(Refused, match="nothing more can be done"):
        approve(here, growth)
    growth.request.refresh_from_db()
    assert growth.request.status == ApprovalStatus.OPEN
    assert growths.void_of_ended_runs(timezone.now()) == 1
    assert growths.void_of_ended_runs(timezone.now()) == 0
    growth.request.refresh_from_db()
    assert (growth.request.status, growth.request.closed_reason) == ("voided", "The run is over.")
    with pytest.raises(Refused, match="only while it goes on"):
        asked(here, Run.objects.get(pk=run.pk))


def test_unanswered_it_expires_and_says_so(here):
    run = smaller(here)
    growth = asked(here, run)
    assert growth.request.expires_at - growth.asked_at == timedelta(hours=24)
    assert approvals.expire_due(growth.request.expires_at) == 1
    assert "expired" in JournalEntry.objects.get(run=run, kind="growth_ended").says
    with pytest.raises(StaleState):
        approve(here, growth)


def test_it_can_be_withdrawn_until_it_is_decided(here):
    run = smaller(here)
    growth = asked(here, run)
    with pytest.raises(Refused):
        growths.withdraw_growth(growth, actor=here.manager, reason=" ")
    ended = growths.withdraw_growth(growth, actor=here.manager, reason="The peak is over.")
    assert ended.request.status == ApprovalStatus.VOIDED
    with pytest.raises(StaleState):
        growths.withdraw_growth(growth, actor=here.manager, reason="Again.")
    with pytest.raises(StaleState):
        approve(here, ended)


def test_it_is_on_the_record_and_told(here, django_capture_on_commit_callbacks):
    run = smaller(here)
    with django_capture_on_commit_callbacks(execute=True):
        growth = asked(here, run)
    assert AuditEntry.objects.filter(what="run.growth_asked").count() == 1
    assert Event.objects.filter(type="growth.submitted", data__approval=str(growth.request.ref)).exists()
    assert JournalEntry.objects.get(run=run, kind="growth_asked").says == (
        "Manager asks to create web-05 again. Both sides approve it first."
    )


# --- pages and API ------------------------------------------------------------------------------------------


def browser(person):
    client = Client()
    client.force_login(person)
    return client


def page_of(client, name, ref, status=200):
    answer = client.get(reverse(f"scaledown:{name}", args=[ref]))
    assert answer.status_code == status
    return answer.content.decode()


def test_the_live_page_offers_it_to_who_may_ask_and_then_says_that_it_waits(here):
    run = smaller(here)
    grow_url = reverse("scaledown:run-grow", args=[run.ref])
    assert grow_url in page_of(browser(here.manager), "run-detail", run.ref)
    assert grow_url not in page_of(browser(here.approver), "run-detail", run.ref)
    growth = asked(here, run)
    assert grow_url not in page_of(browser(here.manager), "run-detail", run.ref)
    seen = page_of(browser(here.approver), "run-detail", run.ref)
    assert reverse("scaledown:growth", args=[growth.ref]) in seen
    assert "Manager asks to build web-05 again" in seen


def test_the_whole_way_in_the_browser(here):
    run = smaller(here)
    manager, approver = browser(here.manager), browser(here.approver)
    form = page_of(manager, "run-grow", run.ref)
    assert "web-05, web-06" in form
    assert "billed from then on" in form
    assert "The run pauses now" in form
    url = reverse("scaledown:run-grow", args=[run.ref])
    bad = manager.post(url, {"count": "2", "reason": "", "seen_status": "running"})
    assert bad.status_code == 422
    assert "Say why servers are needed again" in bad.content.decode()
    for count in ("x", "9" * 5000, "\u00b2"):
        assert manager.post(url, {"count": count, "reason": "why"}).status_code == 422
    assert manager.post(url, {"count": "1", "reason": "why", "seen_status": "halted"}).status_code == 409
    done = manager.post(url, {"count": "2", "reason": "The sale grows.", "seen_status": "running"})
    growth = Growth.objects.get()
    assert done.url == reverse("scaledown:growth", args=[growth.ref])
    seen = page_of(approver, "growth", growth.ref)
    assert "Build 2 servers again?" in seen
    assert "The sale grows." in seen
    assert "crash-consistent" not in seen
    assert reverse("scaledown:growth", args=[growth.ref]) in approver.get("/").content.decode()
    mine = page_of(manager, "growth", growth.ref)
    assert "crash-consistent" in mine
    assert "Waiting for the customer" in mine
    stale = approver.post(reverse("scaledown:growth-approve", args=[growth.ref]), {"digest": "0" * 64})
    assert stale.status_code == 409
    done = approver.post(
        reverse("scaledown:growth-approve", args=[growth.ref]), {"digest": growth.request.digest}
    )
    assert done.url == reverse("scaledown:run-detail", args=[run.ref])
    assert RunCommand.objects.filter(run=run, name="grow_again").count() == 1
    assert "answers at its next step" in page_of(approver, "growth", growth.ref)


def test_a_refused_command_is_said_on_the_page(here):
    growth = approve(here, asked(here))
    RunCommand.objects.filter(pk=growth.command_id).update(
        accepted=False, answer="The run is being aborted.", answered_at=timezone.now()
    )
    seen = page_of(browser(here.manager), "growth", growth.ref)
    assert "The run is being aborted. No server was created." in seen


@pytest.mark.parametrize(
    ("name", "who", "ends"), [("reject", "approver", "rejected"), ("withdraw", "manager", "voided")]
)
def test_it_is_ended_in_the_browser_with_a_reason(here, name, who, ends):
    growth = asked(here)
    client, url = browser(getattr(here, who)), reverse(f"scaledown:growth-{name}", args=[growth.ref])
    assert client.get(url).status_code == 200
    body = {"digest": growth.request.digest}
    assert client.post(url, {**body, "reason": ""}).status_code == 422
    assert client.post(url, {**body, "reason": "No."}).status_code == 302
    growth.request.refresh_from_db()
    assert growth.request.status == ends
    assert "No server was created" in page_of(client, "growth", growth.ref)


def test_a_run_without_images_says_why_it_cannot_grow(here):
    run = smaller(here, deleted=0)
    assert "none can be created anew" in page_of(browser(here.manager), "run-grow", run.ref)


def test_the_whole_way_by_http(here):
    run = smaller(here)
    manager, approver = Caller(here.manager), Caller(here.approver)
    live = manager.get(f"/runs/{run.ref}")
    assert live["growable"] == ["web-05", "web-06"]
    assert live["growth"] is None
    body = {"servers": 1, "reason": "The sale grows.", "status": "running", "digest": run.digest}
    key = str(uuid.uuid4())
    made = manager.post(f"/runs/{run.ref}/growths", body, status=201, key=key)
    assert manager.post(f"/runs/{run.ref}/growths", body, status=201, key=key) == made
    assert [server["name"] for server in made["servers"]] == ["web-05"]
    assert manager.get(f"/runs/{run.ref}")["growth"]["servers"] == ["web-05"]
    manager.post(f"/runs/{run.ref}/growths", {**body, "digest": "0" * 64}, status=409)
    manager.post(f"/runs/{run.ref}/growths", body, status=409)
    manager.post(f"/runs/{run.ref}/growths", {**body, "servers": 0}, status=422)
    approver.post(f"/runs/{run.ref}/growths", body, status=403)
    approver.post(f"/growths/{made['ref']}/withdraw", {"reason": "No."}, status=403)
    approver.post(f"/approvals/{made['approval']}/approve", {"digest": made["digest"]})
    read = approver.get(f"/growths/{made['ref']}")
    assert (read["status"], read["accepted"], read["answer"]) == ("approved", None, "")
    assert [row["ref"] for row in approver.get(f"/runs/{run.ref}/growths")["results"]] == [made["ref"]]
    manager.post(f"/growths/{made['ref']}/withdraw", {"reason": "Late."}, status=409)
    manager.post(
        f"/runs/{run.ref}/commands",
        {"name": "grow_again", "status": "running", "digest": run.digest},
        status=422,
    )


def test_it_costs_the_live_page_one_query(here, django_assert_num_queries):
    run = smaller(here)
    asked(here, run)
    granted = permissions_on(here.manager, run.account)
    # Two of them open the names in the journal and in the commands.
    with django_assert_num_queries(10):
        live = live_run(run, granted=granted)
    assert live.growth.servers == ("web-05",)
    progress = replace(progress_from_plain(run.progress), rolling_back="Rolled back by Lena.")
    Run.objects.filter(pk=run.pk).update(progress=progress_to_plain(progress))
    with django_assert_num_queries(9):
        assert live_run(run, granted=granted).growable == ()


def test_the_mail_about_the_answer_promises_no_start(here):
    approve(here, asked(here))
    told = Message.objects.filter(purpose="approval_ended", user=here.manager).order_by("-pk").first()
    text = sending.render(told).text
    assert "It is being done now." in text
    assert "started" not in text
