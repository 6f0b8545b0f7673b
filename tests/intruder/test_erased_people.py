"""What is left of an erased user, and what ends with them."""

from __future__ import annotations

import pytest
from allauth.usersessions.models import UserSession

from accounts import invitations, members
from accounts.erasure import erase_contact, erase_person
from accounts.models import Team
from portal.audit.models import AuditEntry
from portal.errors import Refused
from portal.notify.models import Message
from portal.notify.sending import render
from portal.notify.services import tell
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_no_session_with_address_and_browser_is_left_of_an_erased_user():
    user = make.user("Rosalind Quimby")
    make.place(user)
    erase_person(user, actor=None, reason="asked")
    assert not UserSession.objects.filter(user=user).exists()


def test_no_mail_to_others_names_an_erased_user():
    account = make.account()
    make.member(account, "admin")
    admin = make.member(account, "admin", "Rosalind Quimby")
    invitations.invite(account, email="vera@home.example", role="viewer", actor=admin)
    erase_person(admin, actor=None, reason="asked")
    for one in Message.objects.all():
        written = render(one)
        assert "Rosalind Quimby" not in written.text + written.subject + one.title


def test_erasing_a_launch_manager_has_runs_and_views_look_again(monkeypatch):
    team = make.team()
    make.account(of=team)
    make.launch_manager(team, "Lea", role="lead")
    manager = make.launch_manager(team, "Rosalind Quimby")
    told = []
    monkeypatch.setattr(members.runs, "facts_changed", lambda **fields: told.append(fields))
    erase_person(manager, actor=None, reason="asked")
    assert told


def test_the_last_lead_of_a_team_is_not_erased():
    team = make.team()
    lead = make.launch_manager(team, "Lea", role="lead")
    with pytest.raises(Refused):
        erase_person(lead, actor=None, reason="asked")
    assert Team.objects.get(pk=team.pk).memberships.count() == 1


def test_no_mail_to_the_address_of_an_erased_user_is_left():
    account = make.account()
    admin = make.member(account, "admin")
    invitations.invite(account, email="vera@home.example", role="viewer", actor=admin)
    erase_person(make.user("Vera Holm", email="vera@home.example"), actor=None, reason="asked")
    assert not [one for one in Message.objects.all() if one.address == "vera@home.example"]


def test_the_open_invitation_of_an_erased_user_opens_nothing(monkeypatch):
    account = make.account()
    admin = make.member(account, "admin")
    monkeypatch.setattr(invitations, "new_token", lambda: "ssi_known")
    invitations.invite(account, email="vera@home.example", role="admin", actor=admin)
    erase_person(make.user("Vera Holm", email="vera@home.example"), actor=None, reason="asked")
    with pytest.raises(invitations.InvitationGone):
        invitations.accept_as_new("ssi_known", name="Vera again", password="quite a few odd words")
    assert account.memberships.count() == 1


def test_no_mail_to_an_erased_contact_is_left_or_still_sent():
    account, other = make.account(), make.account()
    admin = make.member(account, "admin")
    contact = make.contact(account, "Maja Lindqvist", email="maja@home.example")
    for of in (account, other):
        tell(
            "run_danger",
            to=None,
            address=contact.email,
            account=of,
            subject_ref=f"run:{of.ref}",
            context={
                "title": "x",
                "status": "halted",
                "says": "x",
                "customer_says": "x",
                "url": "/",
                "name": contact.name,
                "in_charge": "",
                "is_rehearsal": False,
            },
            reason="x",
        )
    erase_contact(account, contact.ref, actor=admin, reason="asked")
    assert [one.account for one in Message.objects.all()] == [other]


def test_titles_on_record_name_no_erased_contact():
    """Also where somebody was refused who tried to change what is so titled."""
    account = make.account()
    admin, viewer = make.member(account, "admin"), make.member(account, "viewer")
    contact = make.contact(account, "Zelda Quibble")
    entry = make.calendar_entry("Zelda Quibble is away", account=account)
    item = make.action(account, admin, "Ask Zelda Quibble")
    browser = make.log_in(viewer)
    for path in (f"calendar-entries/{entry.ref}", f"actions/{item.ref}"):
        assert (
            browser.patch(f"/api/v1/{path}", {"title": "x"}, content_type="application/json").status_code
            == 403
        )
    manager = make.log_in(admin)
    ada, bo = (make.contact(account, name) for name in ("Ada", "Bo"))
    body = {
        "name": "Zelda Quibble's week", "starts_on": "2026-11-02", "hand_overs": [{"day": 0, "at": "09:00"}],
        "members": [str(ada.ref), str(bo.ref)], "roles": ["emergency"],
    }  # fmt: skip
    made = manager.post(f"/api/v1/accounts/{account.ref}/rotations", body, content_type="application/json")
    assert made.status_code == 201, made.text
    erase_contact(account, contact.ref, actor=admin, reason="asked")
    for kept in AuditEntry.objects.filter(account_ref=account.ref).sealed():
        assert "Quibble" not in f"{kept.subject_label} {kept.before} {kept.after}", kept.what
