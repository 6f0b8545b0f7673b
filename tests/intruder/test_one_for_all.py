"""What one account can do to the pages and mails of all others by sheer number, and whom an erasure must reach."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import audiences
from accounts.calendar import selectors
from accounts.calendar import services as calendar
from accounts.cases.models import CaseEntry
from accounts.contacts import roster_services
from accounts.contacts.models import Rotation
from accounts.erasure import erase_contact
from accounts.models import Account, ContactRole
from portal.audit.models import AuditEntry
from portal.errors import Refused
from tests import factories as make

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def entries(account, number, *, kind="event", team=None, after=timedelta(hours=1)):
    row = make.calendar_entry("Many", account=account, team=team, kind=kind)
    row.starts_at = NOW + after
    row.ends_at = row.starts_at + timedelta(hours=2)
    row.save()
    type(row).objects.bulk_create(
        type(row)(
            **{
                one.attname: getattr(row, one.attname)
                for one in row._meta.local_concrete_fields
                if not one.primary_key and one.name != "ref"
            }
        )
        for _ in range(number - 1)
    )


def test_one_account_does_not_fill_the_calendar_of_all():
    team = make.team()
    manager = make.launch_manager(team)
    loud, quiet = make.account("Loud", of=team), make.account("Quiet", of=team)
    entries(loud, 300)
    entries(quiet, 1, after=timedelta(hours=3))
    entries(None, 1, team=team, kind="freeze", after=timedelta(hours=4))
    found = selectors.coming(manager, NOW, weeks=4, limit=20)
    shown = found.items
    assert found.more_of == [(loud, selectors.SHARE - 18)]
    assert {item.account for item in shown} == {loud, quiet, None}
    both = Account.objects.filter(team=team)
    read = selectors.items_for(both, NOW, NOW + timedelta(weeks=4), viewer=manager, share=selectors.SHARE)
    assert {item.account for item in read} == {loud, quiet, None}
    assert len(read) == selectors.SHARE + 2
    assert len(selectors.coming(make.member(loud, "viewer"), NOW, weeks=4, limit=20).items) == 20


def test_of_one_account_its_freezes_are_shown_before_everything_else():
    account = make.account()
    entries(account, selectors.SHARE + 20)
    entries(account, 1, kind="freeze", after=timedelta(days=5))
    everything = Account.objects.filter(pk=account.pk)
    read = selectors.items_for(everything, NOW, NOW + timedelta(weeks=4), viewer=None, share=selectors.SHARE)
    assert "freeze" in {item.kind for item in read}


def test_a_calendar_has_an_end(monkeypatch):
    monkeypatch.setattr(calendar, "MOST_OF_ACCOUNT", 3)
    account = make.account()
    actor = make.member(account, "admin")
    fields = {
        "kind": "event",
        "title": "Fair",
        "starts_at": NOW + timedelta(days=1),
        "ends_at": NOW + timedelta(days=2),
        "time_zone": "UTC",
    }
    made = [calendar.enter(fields, account=account, actor=actor) for _ in range(3)]
    with pytest.raises(Refused, match="at most 3 entries"):
        calendar.enter(fields, account=account, actor=actor)
    calendar.cancel_entry(made[0], reason="Over", actor=actor)
    calendar.enter(fields, account=account, actor=actor)


def test_a_rotation_has_a_bounded_number_of_hand_overs():
    account = make.account()
    admin = make.member(account, "admin")
    minutes = [{"day": day, "at": f"{hour:02}:00"} for day in range(7) for hour in range(24)]
    answer = Client().post(
        f"/api/v1/accounts/{account.ref}/rotations",
        json.dumps({"name": "x", "starts_on": str(date.today()), "hand_overs": minutes, "members": []}),
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY="a",
        **make.bearer(make.token(admin)),
    )
    assert answer.status_code in (400, 422)
    assert not Rotation.objects.exists()
    row = Rotation(account=account, name="x", starts_on=date.today(), hand_overs=minutes)
    with pytest.raises(Refused, match="at most 56"):
        roster_services._check(row)


def test_a_site_in_danger_is_mailed_to_as_many_as_can_be_called():
    account = make.account()
    for number in range(audiences.MOST_CALLED + 5):
        make.proven(
            make.contact(
                account, f"Person {number}", email=f"p{number}@x.example", roles=[ContactRole.EMERGENCY]
            )
        )
    assert len(audiences.emergency(account)) == audiences.MOST_CALLED


# --- erasing ------------------------------------------------------------------------------------------------


def test_an_erasure_reaches_reasons_and_own_unverified_mails():
    account = make.account()
    admin = make.member(account, "admin")
    gone = make.contact(account, "Quentin Voxx", email="quentin@voxx.example")
    entry = make.calendar_entry("Fair", account=account, kind="event")
    calendar.cancel_entry(entry, reason="Quentin Voxx is ill, ask quentin@voxx.example", actor=admin)
    case = make.case(account, admin)
    CaseEntry.objects.create(
        case=case,
        kind="reply",
        via="mail",
        at=NOW,
        sender="Quentin@voxx.example",
        text="I am Quentin Voxx.",
        is_verified=False,
    )
    erase_contact(account, gone.ref, actor=admin, reason="asked")
    entry.refresh_from_db()
    kept = [str([row.reason, row.before, row.after, row.subject_label]) for row in AuditEntry.objects.all()]
    kept.append(entry.cancelled_because)
    kept += [row.sender + row.text for row in CaseEntry.objects.filter(case=case)]
    assert "Voxx" not in "\n".join(kept)
    assert "voxx.example" not in "\n".join(kept)
    assert any("is ill" in one for one in kept)
