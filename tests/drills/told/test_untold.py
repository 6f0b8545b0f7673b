"""Records and requests that speak of an unannounced drill: read by who leads, decides and watches, by everybody once it is over."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from drills.plans import services
from drills.plans.ladder import Held
from drills.plans.models import HeldDrill
from drills.scenarios.types import DrillKind, Environment
from portal.events.models import Event
from portal.runs.models import Run
from portal.untold import refs_untold
from tests import factories as make
from tests.drills.rows import approved, started

pytestmark = pytest.mark.django_db


@pytest.fixture
def begin(here, monkeypatch):
    passed = [Held(DrillKind.ANNOUNCED, Environment.TEST, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    return lambda **changes: started(here, kind=DrillKind.UNANNOUNCED, **changes)


def over(held):
    HeldDrill.objects.filter(pk=held.pk).update(ended_at=timezone.now())


def read(user, account):
    """Return what `user` reads of the account's record and requests: by the API and on the page."""
    bearer = make.bearer(make.token(user))
    browser = Client()
    browser.force_login(user)
    api, page = f"/api/v1/accounts/{account.ref}/audit", f"/accounts/{account.ref}/activity/"
    answers = [
        Client().get("/api/v1/approvals", **bearer),
        Client().get(api, **bearer),
        browser.get(page),
    ]
    assert [one.status_code for one in answers] == [200] * 3
    return [one.content.decode() for one in answers]


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_who_reacts_reads_of_an_unannounced_drill_once_it_is_over(here, begin, role):
    reader = getattr(here, role)
    held = begin()
    refs = [str(one) for one in (held.drill.ref, held.drill.request.ref, held.run.ref)]
    for text in read(reader, here.account):
        assert not any(ref in text for ref in refs)
        assert held.drill.title not in text
    one = f"/api/v1/approvals/{held.drill.request.ref}"
    bearer = make.bearer(make.token(reader))
    assert Client().get(one, **bearer).status_code == 404
    over(held)
    assert Client().get(one, **bearer).status_code == 200
    for text in read(reader, here.account):
        assert held.drill.title in text


@pytest.mark.parametrize("role", ["manager", "lead", "approver", "admin"])
def test_who_leads_or_decides_reads_it_all_along(here, begin, role):
    held = begin()
    found = read(getattr(here, role), here.account)
    assert all(str(held.drill.request.ref) in text for text in (found[0], found[1]))
    assert str(held.run.ref) in found[1]


def test_who_watches_reads_it_too_and_a_stranger_learns_of_none(here, begin):
    held = begin(observers=[here.viewer])
    refs = {held.drill.ref, held.drill.request.ref, held.run.ref}
    assert refs_untold(here.viewer, here.account) == frozenset()
    assert refs_untold(here.editor, here.account) == refs_untold(here.editor) == refs
    # Nothing of this account is in any list of a stranger's; to be left out besides does no harm.
    assert refs_untold(here.stranger, here.account) == refs
    assert str(held.drill.request.ref) in read(here.viewer, here.account)[0]


def test_what_is_decided_about_it_is_no_event_and_neither_is_who_is_in_charge(here, begin):
    held = begin()
    run = Run.objects.get(pk=held.run.pk)
    assert run.in_charge is not None
    assert not Event.objects.filter(account_ref=here.account.ref, type__startswith="drill.").exists()
    assert not Event.objects.filter(account_ref=here.account.ref, type__startswith="run.").exists()
    announced = approved(here)
    names = set(
        Event.objects.filter(subject_ref=str(announced.ref), type__startswith="drill.").values_list(
            "type", flat=True
        )
    )
    assert {"drill.submitted", "drill.decided", "drill.approved"} <= names


def test_it_is_looked_up_once_for_a_list(here, begin, django_assert_num_queries):
    begin()
    with django_assert_num_queries(1):
        refs_untold(here.manager, here.account)
    with django_assert_num_queries(1):
        refs_untold(here.viewer)
