"""What turned real is told to whoever was asked as for a drill, unmarked and once."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.models import Contact
from drills.plans import hooks
from drills.told import calls
from drills.types import Ending, progress_from_plain, progress_to_plain
from portal.frozen import replace
from portal.notify import compose
from portal.notify.models import Message
from portal.runs.types import Decision
from tests.drills.told.test_calls import asked, context_of

pytestmark = pytest.mark.django_db


def turned(held, ending=Ending.REAL):
    progress = replace(progress_from_plain(held.run.progress), ending=ending)
    hooks.project(held.run, Decision(progress_to_plain(progress)), dict(held.run.progress))


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


def test_who_was_not_asked_or_has_another_address_by_now_is_not(here):
    held, one, _ = asked(here)
    Contact.objects.filter(pk=one.contact_id).update(email="other@example.com")
    turned(held)
    assert calls.tell_real(held) == 0
    assert not Message.objects.filter(purpose="drill_real").exists()


@pytest.mark.parametrize("ending", [Ending.STOPPED, Ending.STOP_CONDITION, None])
def test_a_drill_that_ends_otherwise_tells_nobody(here, ending):
    held, _, _ = asked(here)
    turned(held, ending)
    assert calls.send_due(timezone.now()) == 0
    assert not Message.objects.filter(purpose="drill_real").exists()
