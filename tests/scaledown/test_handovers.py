"""Handing a run over: asked, accepted, declined, withdrawn, run out; the backup; until when; what each side reads of it."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import TeamMembership
from portal.access import permissions_on
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.models import Event
from portal.notify.models import Message
from portal.runs import charge
from portal.runs.models import Handover, Run
from portal.runs.tasks import pass_on_charges
from portal.runs.types import RunStatus
from scaledown import driver
from scaledown.live import live_run
from tests import factories as make
from tests.scaledown.rows import desk, fresh_pool, user
from tests.scaledown.test_api import API, Caller
from tests.scaledown.test_services import started

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr("scaledown.api.read_pool", lambda connection, balancer_ids: fresh_pool())
    found = desk()
    found.mara = user("mara")
    TeamMembership.objects.create(team=found.team, user=found.mara, role="launch_manager")
    return found


@pytest.fixture
def run(here) -> Run:
    return started(here)


def now(run: Run) -> Run:
    return Run.objects.select_related("in_charge", "backup").get(pk=run.pk)


def asked(here, run, to=None, role="in_charge", **more) -> Handover:
    return charge.ask(run, to=to or here.mara, role=role, actor=now(run).in_charge or here.manager, **more)


def told(purpose="charge_changed"):
    return [row.user.name for row in Message.objects.filter(purpose=purpose).order_by("pk")]


def says(purpose="charge_changed"):
    from portal.notify.sending import render

    return [render(row).text for row in Message.objects.filter(purpose=purpose).order_by("pk")]


# --- being asked ----------------------------------------------------------------------------------------------


def test_nothing_changes_before_the_colleague_accepts(here, run):
    until = timezone.now() + 8 * HOUR
    handover = asked(here, run, note="web-07 is on hold.", until=until)
    assert now(run).in_charge == here.manager
    assert not run.journal.filter(kind="in_charge").exists()
    assert told("charge_asked") == ["Mara"]
    (mail,) = says("charge_asked")
    assert "Manager asks you to be in charge of “After Black Friday” until" in mail
    assert "web-07 is on hold." in mail

    charge.answer(handover, accepts=True, actor=here.mara)
    after = now(run)
    assert (after.in_charge, after.charge_until) == (here.mara, until)
    line = run.journal.get(kind="in_charge")
    assert line.says.startswith("Mara is in charge now until ")
    assert line.says.endswith("(Manager was before). Manager asked for it.")
    assert "Manager" not in line.customer_says
    assert told() == ["Manager"]
    assert "Mara has accepted to be in charge of" in says()[0]
    kinds = list(AuditEntry.objects.filter(what__startswith="run.handover").order_by("pk"))
    assert [one.what for one in kinds] == ["run.handover_asked", "run.handover_accepted"]
    assert Event.objects.filter(type="run.charge_changed").count() == 1


def test_accepting_twice_is_accepting_once_and_declining_after_it_is_too_late(here, run):
    handover = asked(here, run)
    for _ in range(2):
        charge.answer(handover, accepts=True, actor=here.mara)
    assert run.journal.filter(kind="in_charge").count() == 1
    with pytest.raises(StaleState) as late:
        charge.answer(handover, accepts=False, actor=here.mara)
    assert late.value.says.startswith("This is asked no more: it is accepted.")
    assert now(run).in_charge == here.mara


def test_a_no_changes_nothing_and_whoever_asked_reads_why(here, run):
    handover = asked(here, run)
    charge.answer(handover, accepts=False, actor=here.mara, reason="I am on the night shift.")
    assert now(run).in_charge == here.manager
    assert told() == ["Manager"]
    assert "Mara has declined to be in charge of" in says()[0]
    assert "I am on the night shift." in says()[0]
    assert Handover.objects.get().reason == "I am on the night shift."
    asked(here, run, to=here.lead)  # somebody else may be asked now


@pytest.mark.parametrize("who", ["manager", "lead", "approver", "stranger"])
def test_nobody_answers_for_somebody_else(here, run, who):
    handover = asked(here, run)
    with pytest.raises(NotPermitted):
        charge.answer(handover, accepts=True, actor=getattr(here, who))
    assert now(run).in_charge == here.manager


def test_who_may_command_no_run_is_not_asked(here, run):
    for who in (here.admin, here.stranger):
        with pytest.raises(Refused) as refusal:
            asked(here, run, to=who)
        assert refusal.value.code == "may_not_command"
    assert not Message.objects.filter(purpose="charge_asked").exists()


def test_who_lost_the_right_meanwhile_accepts_nothing(here, run):
    handover = asked(here, run)
    TeamMembership.objects.filter(user=here.mara).delete()
    with pytest.raises(NotPermitted):
        charge.answer(handover, accepts=True, actor=here.mara)
    assert now(run).in_charge == here.manager


def test_only_who_is_in_charge_asks_unless_nobody_is(here, run):
    with pytest.raises(Refused) as refusal:
        charge.ask(run, to=here.mara, role="in_charge", actor=here.lead)
    assert refusal.value.says == "Manager is in charge and asks somebody to take over. Take charge first."
    Run.objects.filter(pk=run.pk).update(in_charge=None)
    assert charge.ask(run, to=here.mara, role="in_charge", actor=here.lead).to == here.mara


def test_one_is_asked_at_a_time_for_each_role(here, run):
    asked(here, run)
    with pytest.raises(StaleState) as twice:
        asked(here, run, to=here.lead)
    assert twice.value.code == "already_asked"
    asked(here, run, to=here.lead, role="backup")
    with pytest.raises(IntegrityError), transaction.atomic():
        one = Handover.objects.first()
        one.pk = None
        one.ref = run.ref
        one.save(force_insert=True)


@pytest.mark.parametrize(
    ("to", "role", "until", "code"),
    [
        ("manager", "in_charge", None, "asks_oneself"),
        ("mara", "backup", HOUR, "bad_argument"),
        ("mara", "boss", None, "bad_argument"),
        ("mara", "in_charge", -HOUR, "until_passed"),
        ("mara", "in_charge", timedelta(days=40), "until_too_far"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(here, run, to, role, until, code):
    moment = None if until is None else timezone.now() + until
    with pytest.raises(Refused) as refusal:
        asked(here, run, to=getattr(here, to), role=role, until=moment)
    assert refusal.value.code == code
    assert not Handover.objects.exists()


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.ABORTED, RunStatus.ROLLED_BACK])
def test_of_a_run_that_is_over_nothing_is_asked_or_accepted(here, run, status):
    handover = asked(here, run)
    Run.objects.filter(pk=run.pk).update(status=status, ended_at=timezone.now(), next_tick_at=None)
    for act in (
        lambda: charge.answer(handover, accepts=True, actor=here.mara),
        lambda: asked(here, run, to=here.lead),
        lambda: charge.stand_by(run, actor=here.lead),
        lambda: charge.set_until(run, until=None, actor=here.manager),
    ):
        with pytest.raises(Refused) as refusal:
            act()
        assert refusal.value.code == "run_over"
    assert charge.pass_on(timezone.now()) == 1
    assert Handover.objects.get().state == "expired"
    assert told() == []


def test_whoever_asked_withdraws_it_and_nobody_else(here, run):
    handover = asked(here, run)
    for who in (here.lead, here.mara):
        with pytest.raises(NotPermitted):
            charge.withdraw(handover, actor=who)
    for _ in range(2):
        assert charge.withdraw(handover, actor=here.manager).state == "withdrawn"
    with pytest.raises(StaleState):
        charge.answer(handover, accepts=True, actor=here.mara)
    assert told() == ["Mara"]


def test_a_question_ends_when_somebody_else_takes_charge(here, run):
    handover = asked(here, run)
    charge.take(run, actor=here.lead)
    with pytest.raises(StaleState) as late:
        charge.answer(handover, accepts=True, actor=here.mara)
    assert "overtaken" in late.value.says
    assert now(run).in_charge == here.lead
    assert sorted(told()) == ["Manager", "Mara"]


def test_who_takes_charge_needs_not_be_asked_any_more(here, run):
    handover = asked(here, run, to=here.mara, role="backup")
    charge.take(run, actor=here.mara)
    handover.refresh_from_db()
    assert (handover.state, now(run).backup) == ("overtaken", None)


def test_a_question_that_nobody_answers_runs_out_and_whoever_asked_is_told(here, run):
    handover = asked(here, run)
    later = timezone.now() + charge.ASKED_FOR + timedelta(seconds=1)
    assert charge.pass_on(later) == 1
    assert charge.pass_on(later) == 0
    handover.refresh_from_db()
    assert (handover.state, now(run).in_charge) == ("expired", here.manager)
    assert told() == ["Manager"]
    assert "Mara did not answer" in says()[0]


def test_a_question_stands_no_longer_than_what_it_is_about(here, run):
    until = timezone.now() + HOUR
    assert asked(here, run, until=until).expires_at == until


# --- until when, and the backup ---------------------------------------------------------------------------------


def test_when_the_time_is_over_the_backup_takes_over(here, run):
    charge.set_until(run, until=timezone.now() + HOUR, actor=here.manager)
    charge.answer(asked(here, run, role="backup"), accepts=True, actor=here.mara)
    assert now(run).backup == here.mara
    Message.objects.all().delete()
    later = timezone.now() + HOUR
    assert charge.pass_on(later) == 1
    assert charge.pass_on(later) == 0
    after = now(run)
    assert (after.in_charge, after.backup, after.charge_until) == (here.mara, None, None)
    assert sorted(told()) == ["Manager", "Mara"]
    assert "The backup takes over: Mara." in says()[0]
    line = run.journal.filter(kind="in_charge").last()
    assert line.says == (
        "Mara is in charge now (Manager was before). The time of Manager is over. The backup takes over."
    )
    assert line.actor_name == ""


def test_without_a_backup_nobody_is_in_charge_then_and_the_whole_team_reads_so(here, run):
    charge.set_until(run, until=timezone.now() + HOUR, actor=here.manager)
    assert charge.pass_on(timezone.now() + HOUR) == 1
    assert now(run).in_charge is None
    assert sorted(told()) == ["Lead", "Manager", "Mara"]
    assert "nobody took over" in says()[0]
    line = run.journal.get(kind="nobody_in_charge")
    assert "no next server begins" in line.says
    assert "Manager" not in line.customer_says
    assert charge.take(run, actor=here.lead).in_charge == here.lead


def test_what_a_tick_is_about_to_begin_is_not_sent_once_nobody_is_in_charge(here, run):
    charge.set_until(run, until=timezone.now() + HOUR, actor=here.manager)
    before = now(run).command_seq
    charge.pass_on(timezone.now() + HOUR)
    assert now(run).command_seq == before + 1


def test_a_run_that_cannot_be_passed_on_keeps_no_other_from_it(here, run, monkeypatch):
    charge.set_until(run, until=timezone.now() + HOUR, actor=here.manager)
    handover = asked(here, run)
    Handover.objects.filter(pk=handover.pk).update(expires_at=timezone.now())

    def broken(*_given):
        raise ValueError("a bug")

    monkeypatch.setattr(charge, "_pass_on_one", broken)
    monkeypatch.setattr(charge, "_warn", broken)
    assert charge.pass_on(timezone.now() + HOUR) == 1
    assert Handover.objects.get().state == "expired"
    assert now(run).in_charge == here.manager


def test_whose_time_is_over_is_in_charge_no_more_before_anybody_notices(here, run):
    assert driver.facts(now(run))["in_charge"] == str(here.manager.pk)
    Run.objects.filter(pk=run.pk).update(
        charge_until=timezone.now() - timedelta(seconds=1), status=RunStatus.RUNNING
    )
    assert driver.facts(now(run))["in_charge"] is None
    granted = permissions_on(here.lead, here.account)
    assert live_run(run, granted=granted).in_charge is None
    assert Caller(here.viewer).get(f"/runs/{run.ref}")["in_charge"] is None
    assert charge.waits_for_somebody(now(run), timezone.now())


def test_half_an_hour_before_the_end_it_is_told_once(here, run):
    charge.set_until(run, until=timezone.now() + HOUR, actor=here.manager)
    assert told() == []
    for _ in range(3):
        charge.pass_on(timezone.now() + timedelta(minutes=31))
    assert told() == ["Manager"]
    assert "ends soon" in says()[0]
    charge.set_until(run, until=timezone.now() + 2 * HOUR, actor=here.manager)
    charge.pass_on(timezone.now() + timedelta(minutes=91))
    assert told() == ["Manager"] * 2


def test_who_may_not_command_it_any_more_is_in_charge_no_more(here, run):
    charge.stand_by(run, actor=here.mara)
    TeamMembership.objects.filter(user=here.manager).delete()
    assert charge.pass_on(timezone.now()) == 1
    assert now(run).in_charge == here.mara
    assert "may not command this run any more" in run.journal.filter(kind="in_charge").last().says
    here.mara.is_active = False
    here.mara.save()
    charge.pass_on(timezone.now())
    assert now(run).in_charge is None


def test_a_backup_who_may_not_any_more_takes_nothing_over(here, run):
    charge.stand_by(run, actor=here.mara)
    charge.set_until(run, until=timezone.now() + HOUR, actor=here.manager)
    TeamMembership.objects.filter(user=here.mara).delete()
    charge.pass_on(timezone.now())
    assert (now(run).in_charge, now(run).backup) == (here.manager, None)
    charge.pass_on(timezone.now() + HOUR)
    assert now(run).in_charge is None


def test_of_other_runs_nothing_is_touched(here, run):
    charge.stand_by(run, actor=here.mara)
    before = (now(run).seq, now(run).in_charge)
    assert charge.pass_on(timezone.now()) == 0
    assert (now(run).seq, now(run).in_charge) == before


def test_one_stands_by_and_steps_back_by_oneself(here, run):
    for _ in range(2):
        charge.stand_by(run, actor=here.mara)
    assert now(run).backup == here.mara
    assert told() == ["Manager"]
    with pytest.raises(NotPermitted):
        charge.step_back(run, actor=here.lead)
    charge.stand_by(run, actor=here.lead)  # whoever is the backup may be relieved
    assert now(run).backup == here.lead
    for _ in range(2):
        charge.step_back(run, actor=here.manager)
    assert now(run).backup is None
    with pytest.raises(Refused) as refusal:
        charge.stand_by(run, actor=here.manager)
    assert refusal.value.code == "in_charge"


def test_nobody_is_backed_by_nobody(here, run):
    handover = asked(here, run, role="backup")
    Run.objects.filter(pk=run.pk).update(charge_until=timezone.now() - HOUR)
    for act in (
        lambda: charge.stand_by(run, actor=here.lead),
        lambda: charge.ask(run, to=here.lead, role="backup", actor=here.mara),
        lambda: charge.answer(handover, accepts=True, actor=here.mara),
    ):
        with pytest.raises(Refused) as refusal:
            act()
        assert refusal.value.code == "nobody_in_charge"
    assert now(run).backup is None


def test_the_backup_who_takes_charge_is_the_backup_no_more(here, run):
    charge.stand_by(run, actor=here.mara)
    assert charge.take(run, actor=here.mara, until=timezone.now() + HOUR).backup is None
    assert now(run).charge_until is not None


def test_only_who_is_in_charge_says_until_when(here, run):
    with pytest.raises(Refused) as refusal:
        charge.set_until(run, until=timezone.now() + HOUR, actor=here.lead)
    assert refusal.value.code == "not_in_charge"
    with pytest.raises(NotPermitted):
        charge.set_until(run, until=None, actor=here.approver)


def test_a_halt_is_told_to_the_backup_too(here, run):
    from portal.notify import news
    from portal.runs.registry import Change

    charge.stand_by(run, actor=here.mara)
    halted = now(run)
    halted.status, halted.halt_rank, halted.halt_says = "halted", "decide_today", "It waits."
    halted.halted_at = timezone.now()
    news.run_changed(halted, Change(halted.seq + 1, halts=True))
    assert told("run_decide")[:2] == ["Manager", "Mara"]


def test_a_run_that_waits_for_somebody_looks_again_at_once(here, run):
    far = timezone.now() + HOUR
    Run.objects.filter(pk=run.pk).update(in_charge=None, status=RunStatus.RUNNING, next_tick_at=far)
    charge.take(run, actor=here.lead)
    assert now(run).next_tick_at < far - timedelta(minutes=50)


def test_nobody_takes_over_by_accepting_while_there_is_nobody_to_call(here, run, monkeypatch):
    Run.objects.filter(pk=run.pk).update(in_charge=None, status=RunStatus.RUNNING)
    handover = charge.ask(now(run), to=here.mara, role="in_charge", actor=here.lead)

    def refuse(run, at):
        raise Refused("This run goes on only while there is somebody to call.", code="nobody_to_call")

    monkeypatch.setattr("scaledown.someone.holding", lambda run, at: "Nobody to call.")
    with pytest.raises(Refused) as refusal:
        charge.answer(handover, accepts=True, actor=here.mara)
    assert refusal.value.code == "nobody_to_call"
    handover.refresh_from_db()
    assert (handover.state, now(run).in_charge) == ("open", None)


# --- whatever is done in whatever order ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_whatever_people_do_there_is_one_in_charge_and_another_as_backup(here, run, seed):
    random, people = Random(seed), [here.manager, here.lead, here.mara]
    at = timezone.now()
    for _ in range(50):
        who, other = random.sample(people, 2)
        open_ones = list(Handover.objects.filter(state="open"))
        acts = [
            lambda: charge.take(run, actor=who),  # noqa: B023
            lambda: charge.ask(run, to=other, role=random.choice(["in_charge", "backup"]), actor=who),  # noqa: B023
            lambda: charge.stand_by(run, actor=who),  # noqa: B023
            lambda: charge.step_back(run, actor=who),  # noqa: B023
            lambda: charge.set_until(run, until=random.choice([None, at + HOUR]), actor=who),  # noqa: B023
            lambda: charge.pass_on(random.choice([at, at + HOUR, at + 5 * HOUR])),
        ]
        acts += [lambda one=one: charge.answer(one, accepts=True, actor=who) for one in open_ones]  # noqa: B023
        acts += [lambda one=one: charge.withdraw(one, actor=who) for one in open_ones]  # noqa: B023
        before = now(run)
        try:
            random.choice(acts)()
        except Refused:
            assert (now(run).in_charge, now(run).backup) == (before.in_charge, before.backup)
        after = now(run)
        assert after.backup is None or after.in_charge not in {None, after.backup}
        for one in Handover.objects.filter(state="open"):
            assert one.to not in {after.in_charge, after.backup} or one.role == "in_charge"
    # Every change of who is in charge stands in the journal, in order.
    lines = [line.detail for line in run.journal.filter(kind="in_charge").order_by("seq") if line.detail]
    assert lines
    assert now(run).in_charge is None or lines[-1]["became"] == now(run).in_charge.name


# --- pages and API -------------------------------------------------------------------------------------------------


def page(here, run, client, who) -> str:
    client.force_login(who)
    return client.get(reverse("scaledown:run-charge", args=[run.ref])).content.decode()


def test_a_colleague_is_asked_accepts_and_is_in_charge_all_in_the_browser(here, run, client):
    client.force_login(here.manager)
    address = reverse("scaledown:run-charge", args=[run.ref])
    body = {"act": "ask", "to": str(here.mara.ref), "role": "in_charge", "note": "Mind web-07."}
    assert "Mara was asked." in client.post(address, body, follow=True).content.decode()
    client.force_login(here.mara)
    assert "Manager asks you to be" in client.get("/").content.decode()
    live = client.get(reverse("scaledown:run-detail", args=[run.ref])).content.decode()
    assert "Manager asks you to be in charge of this run" in live
    assert "Mind web-07." in live
    answer = reverse("scaledown:handover-answer", args=[Handover.objects.get().ref])
    assert "You have accepted." in client.post(answer, {"act": "accept"}, follow=True).content.decode()
    assert now(run).in_charge == here.mara
    assert (
        "Manager asks you" not in client.get(reverse("scaledown:run-detail", args=[run.ref])).content.decode()
    )


def test_the_page_says_what_is_wrong_with_what_was_typed(here, run, client):
    client.force_login(here.manager)
    address = reverse("scaledown:run-charge", args=[run.ref])
    wrong = client.post(address, {"act": "ask", "to": "nobody", "role": "in_charge"})
    assert (wrong.status_code, Handover.objects.count()) == (422, 0)
    past = client.post(address, {"act": "until", "until": "2020-01-01T10:00"})
    assert past.status_code == 422
    assert "That moment has passed. Say one that is to come." in past.content.decode()
    odd = client.post(address, {"act": "until", "until": "tomorrow"})
    assert "Write a date and a time" in odd.content.decode()
    unknown = client.post(reverse("scaledown:handover-answer", args=[asked(here, run).ref]), {"act": "?"})
    assert unknown.status_code in {302, 422}
    assert Handover.objects.get().state == "open"


def test_one_sets_until_when_and_the_backup_in_the_browser(here, run, client):
    client.force_login(here.manager)
    address = reverse("scaledown:run-charge", args=[run.ref])
    tomorrow = (timezone.now() + timedelta(days=1)).replace(second=0, microsecond=0)
    client.post(address, {"act": "until", "until": f"{tomorrow:%Y-%m-%dT%H:%M}"})
    assert now(run).charge_until == tomorrow
    client.force_login(here.mara)
    client.post(address, {"act": "stand_by"})
    assert now(run).backup == here.mara
    assert "Mara (you)" in page(here, run, client, here.mara)
    client.post(address, {"act": "step_back"})
    assert now(run).backup is None


def test_the_customer_reads_only_who_has_accepted(here, run, client):
    asked(here, run, note="Mind web-07.")
    client.force_login(here.approver)
    html = client.get(reverse("scaledown:run-detail", args=[run.ref])).content.decode()
    assert "In charge: Manager" in html
    assert "Mara" not in html
    reader = Caller(here.approver)
    assert reader.ask("get", f"/runs/{run.ref}/handovers").status_code == 403
    assert all("Mara" not in line["says"] for line in reader.get(f"/runs/{run.ref}/journal")["results"])
    charge.answer(Handover.objects.get(), accepts=True, actor=here.mara)
    assert reader.get(f"/runs/{run.ref}")["in_charge"] == "Mara"


def test_the_api_hands_over(here, run):
    manager, mara = Caller(here.manager), Caller(here.mara)
    until = (timezone.now() + 6 * HOUR).isoformat()
    asked = manager.post(f"/runs/{run.ref}/handovers", {"to": str(here.mara.ref), "until": until}, status=201)
    assert (asked["state"], asked["to_name"], asked["role"]) == ("open", "Mara", "in_charge")
    assert manager.ask("post", f"/handovers/{asked['ref']}/accept").status_code == 428
    manager.post(f"/handovers/{asked['ref']}/accept", status=403)
    assert mara.get(f"/runs/{run.ref}/handovers")["results"][0]["ref"] == asked["ref"]
    assert mara.post(f"/handovers/{asked['ref']}/accept")["state"] == "accepted"
    shown = mara.get(f"/runs/{run.ref}")
    assert (shown["in_charge"], shown["backup"]) == ("Mara", None)
    assert shown["charge_until"] is not None
    manager.post(f"/handovers/{asked['ref']}/withdraw", status=409)
    assert manager.post(f"/runs/{run.ref}/backup")["backup"] == "Manager"
    assert manager.post(f"/runs/{run.ref}/backup/end")["backup"] is None
    assert mara.post(f"/runs/{run.ref}/charge/until", {"until": None})["charge_until"] is None
    manager.post(f"/runs/{run.ref}/charge/until", {"until": until}, status=422)
    again = mara.post(f"/runs/{run.ref}/handovers", {"to": str(here.lead.ref), "role": "backup"}, status=201)
    declined = Caller(here.lead).post(f"/handovers/{again['ref']}/decline", {"reason": "No time."})
    assert (declined["state"], declined["reason"]) == ("declined", "No time.")
    assert Caller(here.lead).post(f"/runs/{run.ref}/charge", {"until": until})["charge_until"] is not None
    nobody = manager.post(f"/runs/{run.ref}/handovers", {"to": str(here.approver.ref)}, status=422)
    assert nobody["type"].endswith("may-not-command")


def test_a_token_of_no_person_accepts_nothing(here, run, client):
    handover = asked(here, run)
    secret = make.service_token(here.account, here.mara, role="launch_manager")
    bearer = make.bearer(secret if isinstance(secret, str) else secret[1])
    answer = client.post(
        f"{API}/handovers/{handover.ref}/accept",
        {},
        content_type="application/json",
        headers={"Idempotency-Key": "one"},
        **bearer,
    )
    assert answer.status_code == 403
    assert now(run).in_charge == here.manager


def test_the_sweep_does_it_by_itself(here, run):
    Run.objects.filter(pk=run.pk).update(charge_until=timezone.now() - HOUR)
    pass_on_charges()
    assert now(run).in_charge is None
