"""Those who take part in a drill acknowledge by a link of their own: measured, once, and only by pressing its button."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.contacts.models import ChannelProof
from accounts.models import Contact, LoginThrottle
from drills.machine import decide
from drills.plans import hooks, services
from drills.plans.ladder import Held
from drills.scenarios.types import DrillKind, Environment
from drills.told import calls
from drills.told.models import DrillCall
from drills.types import Answered, Facts, Look, Mark, MarkKind, People, new_progress, progress_to_plain
from portal.audit.models import AuditEntry
from portal.audit.subjects import open_values
from portal.frozen import replace
from portal.notify import compose
from portal.notify.models import Message
from portal.notify.sending import context_of
from portal.runs.models import Run
from portal.runs.types import Decision, RunStatus
from tests import factories as make
from tests.drills.rows import started

pytestmark = pytest.mark.django_db


def injected(held, ago_s=60.0, was=None, **changes):
    """The tick that notes the first disruption, as the engine writes it."""
    at = timezone.now() - timedelta(seconds=ago_s)
    plan = services.data_of(held.drill)
    progress = replace(
        new_progress(plan),
        began_at=at - timedelta(seconds=30),
        marks=(Mark(MarkKind.INJECTED, at, says="The disruption begins."),),
        **changes,
    )
    plain = progress_to_plain(progress)
    Run.objects.filter(pk=held.run_id).update(status="running", progress=plain)
    run = Run.objects.get(pk=held.run_id)
    hooks.project(run, Decision(plain), was or {})
    return progress


def unannounced(here, monkeypatch):
    passed = [Held(DrillKind.ANNOUNCED, Environment.TEST, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    return started(here, kind=DrillKind.UNANNOUNCED)


def asked(here, ago_s=60.0):
    """A drill under way whose only participant was mailed a while ago; the call and the address of its page."""
    held = started(here)
    injected(held)
    assert calls.send_due(timezone.now() - timedelta(seconds=ago_s)) == 1
    one = DrillCall.objects.get()
    return held, one, reverse("drill-answer", args=[calls.token_of(one)])


def test_who_takes_part_is_mailed_a_link_once_the_disruption_begins(here):
    held = started(here)
    progress = injected(held)
    injected(held, was=progress_to_plain(progress))
    assert DrillCall.objects.count() == 1
    assert calls.send_due(timezone.now()) == 1
    assert calls.send_due(timezone.now()) == 0
    message = Message.objects.get(purpose="drill_call")
    written = compose.opened(compose.write("drill_call", context_of(message)))
    link = reverse("drill-answer", args=[calls.token_of(DrillCall.objects.get())])
    assert "FIRE DRILL" in written.subject
    for said in (written.text, written.html):
        assert "FIRE DRILL, not a real incident" in said
        assert link in said
    # The path that answers for the person stays readable nowhere.
    assert message.url == ""


def test_an_unannounced_drill_asks_nobody_who_reacts(here, monkeypatch):
    injected(unannounced(here, monkeypatch))
    calls.send_due(timezone.now())
    assert not DrillCall.objects.exists()
    assert not Message.objects.filter(purpose="drill_call").exists()


def test_who_has_no_mail_is_said_to_have_none(here):
    Contact.objects.filter(account=here.account).update(email="", phone="+4930123456")
    held = started(here)
    injected(held)
    assert calls.send_due(timezone.now()) == 0
    assert [one.says for one in calls.calls_of(held)] == [calls.NO_MAIL]


def test_opening_the_page_notes_nothing_and_the_button_does(here, client):
    _held, one, address = asked(here)
    for _ in range(2):
        page = client.get(address)
        assert page.status_code == 200
        assert "participant" in page.content.decode()
        assert "no-store" in page["Cache-Control"]
    client.head(address)
    one.refresh_from_db()
    assert (one.answered_at, ChannelProof.objects.count()) == (None, 0)
    page = client.post(address).content.decode()
    assert "Thank you, it is noted" in page
    one.refresh_from_db()
    assert 60 <= one.after_s <= 120
    proof = ChannelProof.objects.get()
    assert (proof.how, proof.is_doubtful, proof.reason) == ("link", False, "answered a fire drill")
    assert AuditEntry.objects.filter(what="drill.acknowledged").count() == 1
    # Pressed and opened again it is the same answer.
    first = one.answered_at
    assert "Thank you, it is noted" in client.post(address).content.decode()
    assert "Thank you, it is noted" in client.get(address).content.decode()
    one.refresh_from_db()
    assert (one.answered_at, ChannelProof.objects.count()) == (first, 1)


def test_the_answer_stands_on_the_axis_of_the_run_by_role(here, client):
    held, one, address = asked(here)
    client.post(address)
    run = Run.objects.get(pk=held.run_id)
    (answer,) = hooks.facts(run)["answers"]
    assert (answer.by, open_values([answer.by_name])) == (str(one.contact_ref), ["Ada"])
    assert "Ada" not in answer.by_name
    plan = services.data_of(held.drill)
    progress = injected(held, was={"marks": [{"kind": "injected"}]})
    now = timezone.now()
    people, facts = People(RunStatus.RUNNING), Facts(answers=(answer,))
    once = decide(plan, progress, Look(now), people, facts, now).progress
    twice = decide(plan, once, Look(now), people, facts, now).progress
    marks = [mark for mark in twice.marks if mark.kind is MarkKind.ACKNOWLEDGED]
    assert [(mark.by, mark.at) for mark in marks] == [(answer.by, answer.at)]


def test_an_answer_before_the_drill_began_is_on_no_axis(here):
    plan = services.data_of(started(here).drill)
    now = timezone.now()
    facts = Facts(answers=(Answered("x", "", now),), freeze="Frozen.")
    done = decide(plan, new_progress(plan), Look(now), People(RunStatus.SCHEDULED), facts, now)
    assert done.progress.mark(MarkKind.ACKNOWLEDGED) is None


def test_an_answer_within_seconds_is_a_machines_and_asked_for_once_more(here, client):
    _held, one, address = asked(here, ago_s=1)
    assert "That was very quick" in client.post(address).content.decode()
    one.refresh_from_db()
    assert (one.answered_at, ChannelProof.objects.get().is_doubtful) == (None, True)
    DrillCall.objects.update(asked_at=timezone.now() - timedelta(seconds=10))
    assert "Thank you, it is noted" in client.post(address).content.decode()


@pytest.mark.parametrize(
    ("ending", "said"), [(None, "The drill is over"), ("real_incident", "This is no drill any more")]
)
def test_once_the_drill_is_over_the_link_says_so_and_notes_nothing(here, client, ending, said):
    held, one, address = asked(here)
    progress = Run.objects.get(pk=held.run_id).progress | {"ending": ending}
    Run.objects.filter(pk=held.run_id).update(
        status="aborted", next_tick_at=None, progress=progress, ended_at=timezone.now()
    )
    for ask in (client.get, client.post):
        answer = ask(address)
        assert (answer.status_code, said in answer.content.decode()) == (200, True)
    one.refresh_from_db()
    assert (one.answered_at, ChannelProof.objects.count()) == (None, 0)


def test_a_link_that_is_not_whole_or_of_another_purpose_opens_nothing_and_is_counted(here, client):
    _, one, address = asked(here)
    from django.core import signing

    token = calls.token_of(one)
    for wrong in (token[:-1], one.ref.hex, signing.Signer(salt="reach.answer.mail").sign(one.ref.hex), "x"):
        answer = client.post(reverse("drill-answer", args=[wrong]))
        assert answer.status_code == 404
        assert here.account.name not in answer.content.decode()
    assert LoginThrottle.objects.get().fails == 4
    for _ in range(50):
        last = client.get(reverse("drill-answer", args=["x"]))
    assert last.status_code == 429
    # Whoever holds a good link is let in all the same.
    assert client.get(address).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"email": "other@example.com"},
        {"disowned_at": timezone.now()},
        {"bouncing_since": timezone.now()},
    ],
)
def test_a_link_to_an_address_that_is_not_theirs_any_more_opens_nothing(here, client, change):
    _, _, address = asked(here)
    Contact.objects.filter(account=here.account).update(**change)
    assert client.get(address).status_code == 404
    assert client.post(address).status_code == 404
    assert not ChannelProof.objects.exists()


def test_of_an_archived_account_and_of_who_is_gone_no_link_tells_anything(here, client):
    _, _, address = asked(here)
    here.account.status = "archived"
    here.account.save()
    assert client.get(address).status_code == 404
    here.account.status = "active"
    here.account.save()
    assert client.get(address).status_code == 200
    Contact.objects.filter(account=here.account).delete()
    assert client.get(address).status_code == 404


def test_a_drill_that_was_over_before_asks_nobody(here):
    held = started(here)
    injected(held)
    Run.objects.filter(pk=held.run_id).update(status="aborted", next_tick_at=None, ended_at=timezone.now())
    assert calls.send_due(timezone.now()) == 0
    assert not Message.objects.filter(purpose="drill_call").exists()


def test_the_live_page_shows_who_was_asked_and_who_answered(here, client):
    make.contact(here.account, name="Grace", email="grace@example.com")
    held = started(here)
    injected(held)
    calls.send_due(timezone.now() - timedelta(seconds=30))
    one = DrillCall.objects.get(contact__name="Ada")
    client.post(reverse("drill-answer", args=[calls.token_of(one)]))
    client.force_login(here.viewer)
    page = client.get(reverse("drills:drill-live", args=[held.drill.ref])).content.decode()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Ada : acknowledged after" in text.replace("Ada:", "Ada :")
    assert "Grace : no answer yet" in text.replace("Grace:", "Grace :")
