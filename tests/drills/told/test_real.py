"""What turned real is told to whoever knows of the drill, unmarked and once."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.models import Contact
from drills.plans import hooks, services
from drills.told import calls
from drills.told.models import DrillCall
from drills.types import Ending, new_progress, progress_from_plain, progress_to_plain
from portal.frozen import replace
from portal.notify import compose
from portal.notify.models import Message
from portal.notify.news import run_changed
from portal.runs.models import Run
from portal.runs.registry import Change
from portal.runs.types import Decision
from tests.drills.rows import started
from tests.drills.told.test_calls import asked, context_of, injected, unannounced

pytestmark = pytest.mark.django_db


def turned(held, ending=Ending.REAL):
    was = held.run.progress or progress_to_plain(new_progress(services.data_of(held.drill)))
    progress = replace(progress_from_plain(was), ending=ending)
    hooks.project(held.run, Decision(progress_to_plain(progress)), dict(was))


def test_who_was_asked_learns_that_it_is_real_with_no_word_of_a_drill_in_front(here):
    held, _, _ = asked(here)
    turned(held)
    turned(held)
    message = Message.objects.get(purpose="drill_real")
    written = compose.write("drill_real", context_of(message))
    assert written.subject.startswith("This is real")
    for said in (written.text, written.html):
        assert "FIRE DRILL" not in said
        assert "Page 3 of the runbook." in said


def test_who_knows_of_the_drill_and_was_not_asked_yet_is_told_too_where_they_read_mail_now(here):
    held = started(here)
    Contact.objects.filter(account=here.account).update(email="other@example.com")
    turned(held)
    assert Message.objects.get(purpose="drill_real").address == "other@example.com"
    Message.objects.all().delete()
    Contact.objects.filter(account=here.account).update(disowned_at=timezone.now())
    assert calls.tell_real(held) == 0
    assert not Message.objects.filter(purpose="drill_real").exists()


def test_what_waits_to_be_sent_as_a_drills_is_not_sent_any_more(here):
    held, _, _ = asked(here)
    assert Message.objects.get(purpose="drill_call").mail_state == "queued"
    turned(held)
    assert Message.objects.get(purpose="drill_call").mail_state == "withdrawn"


def test_who_was_about_to_be_asked_is_not(here):
    held = started(here)
    injected(held)
    held.refresh_from_db()
    held.run.refresh_from_db()
    turned(held)
    assert calls.send_due(timezone.now()) == 0
    assert DrillCall.objects.get().says == "It became real before."
    assert not Message.objects.filter(purpose="drill_call").exists()


def test_of_an_unannounced_drill_nobody_who_reacts_learns_even_so(here, monkeypatch):
    held = unannounced(here, monkeypatch)
    turned(held)
    assert not Message.objects.filter(purpose="drill_real").exists()


@pytest.mark.parametrize("ending", [Ending.STOPPED, Ending.STOP_CONDITION, None])
def test_a_drill_that_ends_otherwise_tells_nobody(here, ending):
    held, _, _ = asked(here)
    turned(held, ending)
    assert calls.send_due(timezone.now()) == 0
    assert not Message.objects.filter(purpose="drill_real").exists()


@pytest.mark.parametrize(
    ("ending", "subject", "says"),
    [
        (Ending.STOPPED, "” ended before its time", "back in service"),
        (
            Ending.REAL,
            "” became REAL and is no drill any more",
            "act by the emergency plan",
        ),
    ],
)
def test_a_drills_beginning_and_end_are_told_in_its_own_words(here, ending, subject, says):
    held = started(here)
    run = Run.objects.get(pk=held.run_id)
    run_changed(run, Change(1, starts=True))
    began = Message.objects.filter(purpose="run_started", user=here.viewer).get()
    assert "It is a FIRE DRILL, not a real incident." in compose.write("run_started", context_of(began)).text
    progress = new_progress(services.data_of(held.drill))
    run.progress = progress_to_plain(replace(progress, ending=ending))
    run.status = "aborted"
    run_changed(run, Change(2, is_over=True))
    ended = Message.objects.filter(purpose="run_ended", user=here.viewer).get()
    written = compose.write("run_ended", context_of(ended))
    assert subject in written.subject
    for text in (written.text, written.html):
        assert says in text
        assert "deleted" not in text
        assert "stopped by a person" not in text
