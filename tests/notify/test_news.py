"""Who is told what when an approval, a run or a standstill changes: in the same transaction, once."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from portal.approvals import services as approvals
from portal.notify import news, sending
from portal.notify.models import MailState, Message
from portal.notify.registry import Kind, purposes
from portal.runs import registry, services
from portal.runs.models import Run
from portal.runs.store_pg import PgStore
from portal.runs.types import Decision, Halt, HaltRank, RunStatus
from portal.settings import MALFORMED
from tests import factories as make

pytestmark = pytest.mark.django_db
DIGEST = "a" * 64
NASTY = 'Shop <script>alert("x")</script> & Söhne'


class Desk:
    """An account with its people and a run of it."""

    def __init__(self):
        self.account = make.account("Lindgren", time_zone="Europe/Stockholm")
        self.charge = make.launch_manager(self.account.team, "Jonas Berg")
        self.admin = make.member(self.account, "admin", "Maja", time_zone="Europe/Stockholm")
        self.viewer = make.member(self.account, "viewer", "Vera")
        make.contact(
            self.account, "Second", email="second@x.example", roles=["emergency"], escalation_order=2
        )
        make.contact(self.account, "First", email="first@x.example", roles=["emergency"], escalation_order=1)
        self.store = PgStore()

    def run(self, **more):
        return services.create_run(
            account=self.account,
            kind="toy",
            plan_ref=uuid.uuid4(),
            plan={},
            digest=DIGEST,
            resource_keys=[str(uuid.uuid4())],
            scopes=[f"account:{self.account.ref}"],
            title=NASTY,
            actor=self.charge,
            **more,
        )

    def decide(self, run, **decision):
        # In the past by the database's clock, whatever the test says that time it is.
        Run.objects.filter(pk=run.pk).update(next_tick_at="2020-01-01T00:00Z")
        view = self.store.claim(str(run.ref), holder="test", lease_s=30)
        self.store.commit(view, Decision(progress={}, look_again_s=1, **decision))
        run.refresh_from_db()

    def halt(self, run, rank, code="it_happened"):
        says = Halt(code, rank, "Node 4417 fails its probe.", "One server does not answer.", ("resume",))
        self.decide(run, halt=says)


@pytest.fixture
def desk():
    registry.forget_kind("toy")  # one that another test left
    registry.register_kind("toy", object, url_of=lambda run: f"/runs/{run.ref}/")
    yield Desk()
    registry.forget_kind("toy")


def told(purpose):
    rows = Message.objects.filter(purpose=purpose).select_related("user").order_by("pk")
    return [row.user.name if row.user else row.address for row in rows]


def test_a_run_that_begins_and_ends_is_told_to_who_is_in_charge_and_to_the_customers(desk):
    run = desk.run()
    desk.decide(run, status=RunStatus.RUNNING)
    desk.decide(run)
    desk.decide(run, status=RunStatus.COMPLETED)
    assert told("run_started") == told("run_ended") == ["Jonas Berg", "Maja", "Vera"]
    assert Message.objects.filter(purpose="run_ended").first().url == f"/runs/{run.ref}/"


def test_a_rehearsal_is_no_news_for_the_customer(desk):
    run = desk.run(rehearsal=True)
    desk.decide(run, status=RunStatus.RUNNING)
    desk.halt(run, HaltRank.DECIDE_TODAY)
    assert told("run_started") == told("run_decide") == ["Jonas Berg"]


def test_a_site_in_danger_wakes_who_is_in_charge_and_the_emergency_contacts_in_order(desk):
    with time_machine.travel(datetime(2026, 11, 28, 3, tzinfo=ZoneInfo("Europe/Stockholm")), tick=False):
        desk.halt(desk.run(), HaltRank.SITE_IN_DANGER)
    assert told("run_danger") == ["Jonas Berg", "first@x.example", "second@x.example"]
    assert all(row.due_at == row.created_at for row in Message.objects.filter(purpose="run_danger"))
    Message.objects.update(due_at="2020-01-01T00:00Z")
    assert [sending.claim_one().address for _ in range(3)] == [None, "first@x.example", "second@x.example"]


@pytest.mark.parametrize("rank", [HaltRank.SITE_IN_DANGER, HaltRank.DECIDE_TODAY, HaltRank.SAFE_WAITING])
def test_a_halt_is_heard_in_the_team_though_who_was_in_charge_has_left(desk, rank):
    run = desk.run()
    make.launch_manager(desk.account.team, "Nora Dahl")
    desk.charge.team_memberships.all().delete()
    desk.halt(run, rank)
    heard = {row.user.name for row in Message.objects.exclude(user=None)}
    assert "Nora Dahl" in heard
    assert "Jonas Berg" not in heard


def test_without_emergency_contacts_the_approvers_are_woken(desk):
    desk.account.contacts.all().delete()
    desk.halt(desk.run(), HaltRank.SITE_IN_DANGER)
    assert told("run_danger") == ["Jonas Berg", "Maja"]


def test_a_decision_for_today_is_told_at_once_to_who_is_in_charge_and_in_working_hours_to_customers(desk):
    zone = ZoneInfo("Europe/Stockholm")
    with time_machine.travel(datetime(2026, 11, 28, 3, tzinfo=zone), tick=False):
        desk.halt(desk.run(), HaltRank.DECIDE_TODAY)
    due = {row.user.name: row.due_at for row in Message.objects.filter(purpose="run_decide")}
    assert due == {
        "Jonas Berg": datetime(2026, 11, 28, 3, tzinfo=zone),
        "Maja": datetime(2026, 11, 30, 8, tzinfo=zone),
    }


def test_what_is_safe_and_waits_wakes_nobody(desk):
    zone = ZoneInfo("Europe/Stockholm")
    with time_machine.travel(datetime(2026, 11, 28, 3, tzinfo=zone), tick=False):
        desk.halt(desk.run(), HaltRank.SAFE_WAITING)
    due = {row.user.name: row.due_at for row in Message.objects.filter(purpose="run_waiting")}
    assert due["Maja"] == datetime(2026, 11, 28, 7, tzinfo=zone)


def test_a_halt_is_told_once_and_the_next_one_anew(desk):
    run = desk.run()
    desk.halt(run, HaltRank.DECIDE_TODAY)
    desk.halt(run, HaltRank.DECIDE_TODAY)  # the same halt, looked at again
    assert len(told("run_decide")) == 2
    desk.halt(run, HaltRank.DECIDE_TODAY, code="something_else")
    assert len(told("run_decide")) == 4
    periods = Message.objects.filter(purpose="run_decide").values_list("period", flat=True).distinct()
    seqs = run.journal.filter(kind="halted").values_list("seq", flat=True)
    assert sorted(periods) == sorted(str(seq) for seq in seqs)


@pytest.mark.parametrize("then", ["goes on", "halts anew", "ends"])
def test_a_mail_about_a_halt_that_is_over_does_not_come_in_the_morning(desk, then):
    zone = ZoneInfo("Europe/Stockholm")
    run, another = desk.run(), desk.run()
    with time_machine.travel(datetime(2026, 11, 28, 3, tzinfo=zone), tick=False):
        desk.decide(run, status=RunStatus.RUNNING)
        desk.halt(another, HaltRank.DECIDE_TODAY)
        desk.halt(run, HaltRank.DECIDE_TODAY)
        asked = Message.objects.filter(purpose="run_decide", subject_ref=f"run:{run.ref}")
        asked.filter(user=desk.charge).update(mail_state=MailState.SENT)
        first = list(asked.values_list("pk", flat=True))
        if then == "goes on":
            desk.decide(run, status=RunStatus.RUNNING)
        elif then == "ends":
            desk.decide(run, status=RunStatus.ABORTED)
        else:
            desk.halt(run, HaltRank.DECIDE_TODAY, code="something_else")
    states = {row.user.name: row.mail_state for row in asked.filter(pk__in=first).select_related("user")}
    assert states == {"Jonas Berg": MailState.SENT, "Maja": MailState.WITHDRAWN}
    assert "before this mail went" in asked.get(pk__in=first, user=desk.admin).says
    fresh = set(asked.exclude(pk__in=first).values_list("mail_state", flat=True))
    assert fresh == ({MailState.QUEUED} if then == "halts anew" else set())
    other = Message.objects.filter(purpose="run_decide", subject_ref=f"run:{another.ref}")
    assert set(other.values_list("mail_state", flat=True)) == {MailState.QUEUED}


def test_a_halt_that_is_rolled_back_is_not_told(desk):
    run = desk.run()
    with pytest.raises(RuntimeError), transaction.atomic():
        desk.halt(run, HaltRank.SITE_IN_DANGER)
        assert told("run_danger")
        raise RuntimeError
    assert not Message.objects.exists()


def test_a_run_halts_even_if_telling_fails(desk, monkeypatch):
    def broken(*args, **kwargs):
        raise TypeError("a bug in the mail")

    monkeypatch.setattr(news, "tell_all", broken)
    run = desk.run()
    desk.halt(run, HaltRank.SITE_IN_DANGER)
    assert run.status == "halted"


def test_a_halt_that_could_not_be_told_is_told_by_the_sweep_once(desk, monkeypatch):
    def broken(*args, **kwargs):
        raise TypeError("a bug in the mail")

    run = desk.run()
    with monkeypatch.context() as patched:
        patched.setattr(news, "tell_all", broken)
        desk.halt(run, HaltRank.SITE_IN_DANGER)
        assert news.tell_missed_halts(timezone.now()) == 0
    assert told("run_danger") == []
    assert [news.tell_missed_halts(timezone.now()) for _ in range(2)] == [1, 0]
    assert told("run_danger") == ["Jonas Berg", "first@x.example", "second@x.example"]


def test_the_sweep_tells_nothing_of_a_halt_that_was_told(desk):
    desk.halt(desk.run(), HaltRank.SITE_IN_DANGER)
    assert news.tell_missed_halts(timezone.now()) == 0
    assert len(told("run_danger")) == 3


def test_a_standstill_is_told_to_both_sides_when_it_is_put_and_when_it_is_lifted(desk):
    run = desk.run()
    put = services.put_standstill(f"account:{desk.account.ref}", reason="Payments fail.", actor=desk.charge)
    assert told("standstill_put") == ["Jonas Berg", "Maja", "Vera"]
    assert run.title in sending.render(Message.objects.filter(user=desk.admin).get()).text
    services.lift_standstill(put, reason="They work.", actor=desk.charge)
    assert told("standstill_lifted") == ["Jonas Berg", "Maja", "Vera"]


def test_a_standstill_of_everything_is_told_where_a_run_was_stopped(desk):
    make.member(make.account("Elsewhere"), "admin")
    desk.run()
    services.put_standstill("all", reason="The provider is down.", actor=desk.charge)
    assert told("standstill_put") == ["Jonas Berg", "Maja", "Vera"]


def ask(desk, author=None):
    return approvals.submit(
        account=desk.account,
        subject_type="test.subject",
        subject_ref=uuid.uuid4(),
        title=NASTY,
        digest=DIGEST,
        author=author or desk.charge,
        actor=desk.charge,
        at=timezone.now(),
        expires_at=timezone.now() + timedelta(days=7),
    )


def test_who_was_asked_is_asked_no_more_once_it_is_decided(desk):
    author = make.member(desk.account, "editor", "Emil")
    make.member(desk.account, "approver", "Astrid")
    request, another = ask(desk, author), ask(desk, author)
    asked = Message.objects.filter(purpose="approval_asked", period=str(request.ref))
    asked.filter(user__name="Maja").update(mail_state=MailState.SENT)
    approvals.decide(
        request,
        actor=desk.admin,
        side="customer",
        decision="reject",
        seen_digest=DIGEST,
        at=timezone.now(),
        reason="No.",
    )
    states = {row.user.name: row.mail_state for row in asked.select_related("user")}
    assert states == {"Maja": MailState.SENT, "Astrid": MailState.WITHDRAWN}
    assert "was rejected before" in asked.get(user__name="Astrid").says
    assert all(row.read_at for row in asked)
    other = Message.objects.filter(purpose="approval_asked", period=str(another.ref))
    assert {row.mail_state for row in other} == {MailState.QUEUED}
    assert not any(row.read_at for row in other)


def test_approvers_are_asked_and_the_author_is_told_of_the_answer(desk):
    author = make.member(desk.account, "editor", "Emil")
    make.member(desk.account, "approver", "Astrid")
    request = ask(desk, author)
    assert told("approval_asked") == ["Maja", "Astrid"]
    approvals.decide(
        request,
        actor=desk.admin,
        side="customer",
        decision="reject",
        seen_digest=DIGEST,
        at=timezone.now(),
        reason="After the sale.",
    )
    assert told("approval_ended") == ["Emil", "Jonas Berg"]
    text = sending.render(Message.objects.filter(user=author, purpose="approval_ended").get()).text
    assert "was rejected by Maja" in text
    assert "After the sale." in text


def test_every_mail_of_the_portal_reads_well_in_text_and_html(desk, settings):
    """Every purpose, told by what really happens: no gap, no markup of a person's, links to the portal only."""
    assert not MALFORMED
    settings.MAIL_TEMPLATES_STRICT = True
    from portal.notify import compose

    compose._engine.cache_clear()
    request = ask(desk)
    approvals.void(request, reason=NASTY, at=timezone.now())
    for rank in HaltRank:
        run = desk.run()
        desk.decide(run, status=RunStatus.RUNNING)
        desk.halt(run, rank)
        desk.decide(run, status=RunStatus.ABORTED)
    put = services.put_standstill(f"account:{desk.account.ref}", reason=NASTY, actor=desk.charge)
    services.lift_standstill(put, reason=NASTY, actor=desk.charge)
    make.notice(desk.admin, account=desk.account)
    own = {purpose.name for purpose in purposes() if not purpose.name.startswith("test_")}
    happened = set(Message.objects.values_list("purpose", flat=True))
    portals_own = {"mail_returned", "approval_asked", "approval_ended", "run_started", "run_ended"}
    portals_own |= {"run_waiting", "run_decide", "run_danger", "standstill_put", "standstill_lifted"}
    assert portals_own <= happened & own
    for message in Message.objects.select_related("user", "account"):
        written = sending.render(message)
        for part in (written.subject, written.text, written.html):
            assert "MISSING" not in part, (message.purpose, part)
            assert "{{" not in part
        assert "<script>alert" not in written.html
        assert "\n" not in written.subject
        links = re.findall(r"https?://[^\s\"<>]+", written.text + written.html)
        assert links, message.purpose
        assert all(link.startswith("http://localhost:8000/") for link in links)
        assert "<img" not in written.html
        is_danger = Kind(message.kind) is Kind.EMERGENCY
        assert ("/me/notices/preferences/" in written.html) is not is_danger
    compose._engine.cache_clear()


def test_customers_read_plainer_words(desk):
    desk.halt(desk.run(), HaltRank.DECIDE_TODAY)
    to = {row.user.name: sending.render(row) for row in Message.objects.filter(purpose="run_decide")}
    assert "paused for safety" in to["Maja"].text
    assert "One server does not answer." in to["Maja"].text
    assert "4417" not in to["Maja"].text + to["Maja"].html
    assert "Node 4417 fails its probe." in to["Jonas Berg"].text
