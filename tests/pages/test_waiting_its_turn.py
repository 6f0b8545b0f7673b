"""A run that waits until the workers have looked at those with servers on their way says so, to both readers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F, Q
from django.utils import timezone

from portal.runs.models import Run
from tests.pages.test_both_wordings import OURS, main_of, put, shown, text_of
from tests.scaledown.rows import desk as rows_desk
from tests.scaledown.test_api import Caller
from tests.scaledown.test_patience import between_servers


@pytest.fixture
def here(db):
    return rows_desk()


def kept_waiting(here, desk=None):
    run = put(here, desk or between_servers())
    long_ago = timezone.now() - timedelta(minutes=4)
    Run.objects.filter(pk=run.pk).update(next_tick_at=long_ago, patient_mark=F("token") + F("command_seq"))
    return run


def test_it_says_that_it_waits_for_its_turn_in_both_wordings(here, monkeypatch):
    run = kept_waiting(here)
    monkeypatch.setattr("portal.runs.selectors._others_are_in_hand", lambda now: Q(pk__isnull=False))
    ours = text_of(main_of(shown(run, here.manager)["live page"]))
    theirs = text_of(main_of(shown(run, here.approver)["live page"]))
    assert "Waiting for its turn" in ours
    assert "No server of this run is on its way." in ours
    assert "We are busy with other work." in theirs
    assert not OURS.search(theirs)
    for alarm in ("No worker is looking", "held up"):
        assert alarm not in ours + theirs
    told = Caller(here.manager).get(f"/runs/{run.ref}")
    assert (told["is_put_off"], told["is_overdue"]) == (True, False)


def test_one_that_rests_does_not_say_that_it_goes_on_by_itself(here, monkeypatch):
    monkeypatch.setattr("portal.runs.selectors._others_are_in_hand", lambda now: Q(pk__isnull=False))
    desk = between_servers()
    assert desk.command("pause").accepted
    ours = text_of(main_of(shown(kept_waiting(here, desk), here.manager)["live page"]))
    assert "Waiting for its turn" not in ours
    assert "No worker is looking" not in ours


def test_where_nobody_works_it_is_overdue_as_any_other(here):
    run = kept_waiting(here)
    ours = text_of(main_of(shown(run, here.manager)["live page"]))
    theirs = text_of(main_of(shown(run, here.approver)["live page"]))
    assert "No worker is looking at this run" in ours
    assert "The portal is held up It does not look at your servers just now." in theirs
    assert not OURS.search(theirs)
    assert "No worker" not in theirs
    assert "Waiting for its turn" not in ours
    told = Caller(here.manager).get(f"/runs/{run.ref}")
    assert (told["is_put_off"], told["is_overdue"]) == (False, True)
