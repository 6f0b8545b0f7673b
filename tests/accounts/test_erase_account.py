"""Erasing an account: everybody it knew is unreadable in a dump of the whole database, and the seals hold."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import invitations, members, services
from accounts.erasure import erase_account
from accounts.models import ApiToken, Contact, Membership, User
from portal.audit.models import AuditEntry
from portal.audit.sealer import seal_due
from portal.audit.verify import verify
from portal.errors import NotPermitted, Refused
from portal.runs import registry
from tests import factories as make
from tests.test_subjects import dump, run_of

NAME = "Lindgren Outdoor"


class Desk:
    def __init__(self):
        self.account = make.account(NAME)
        self.lead = make.launch_manager(self.account.team, "Lena Leadsworth", role="lead")
        self.admin = make.member(
            self.account, "admin", "Maja Kallgren", email="maja.kallgren@lindgren.example"
        )
        self.both = make.member(self.account, "editor", "Bo Bothways", email="bo@bothways.example")
        self.elsewhere = make.account("Elsewhere")
        Membership.objects.create(account=self.elsewhere, user=self.both, role="admin")
        self.operator = make.user("Otto", email="otto@portal.example", is_operator=True)


def erase(desk, *, actor=None, name=NAME, reason="The contract ended."):
    return erase_account(desk.account, typed_name=name, actor=actor or desk.admin, reason=reason)


@pytest.mark.django_db(transaction=True)
def test_nothing_of_an_accounts_people_is_in_a_dump_of_the_whole_database():
    desk = Desk()
    fields = {"name": "Cara Contactson", "email": "cara@contactson.example", "phone": "+46709876543"}
    services.add_contact(desk.account, {**fields, "notes": "Cara knows the licence"}, actor=desk.admin)
    gone = services.add_contact(
        desk.account, {"name": "Gunnar Goneberg", "phone": "+46701112223"}, actor=desk.admin
    )
    services.remove_contact(gone, actor=desk.admin)
    invitations.invite(desk.account, email="inge@invited.example", role="viewer", actor=desk.admin)
    make.service_token(desk.account, desk.admin)
    services.change_account(desk.account, {"notes": "Ask for Cara Contactson"}, actor=desk.lead)
    seal_due()
    before = dump()
    assert "cara@contactson.example" in before
    assert "maja.kallgren@lindgren.example" in before
    out = StringIO()
    call_command(
        "erase_account",
        str(desk.account.ref),
        name=NAME,
        by=desk.operator.email,
        reason="Cara Contactson asked.",
        stdout=out,
    )
    assert "2 contacts, 1 invitations, 1 users. 1 users have a place elsewhere" in out.getvalue()
    seal_due()
    after = dump()
    for value in (
        *("Cara Contactson", "cara@contactson.example", "46709876543", "Gunnar Goneberg", "46701112223"),
        *("Maja Kallgren", "maja.kallgren@lindgren.example", "inge@invited.example"),
    ):
        assert value not in after, value
    assert "bo@bothways.example" in after
    assert verify().ok
    assert Membership.objects.filter(user=desk.both).get().account == desk.elsewhere
    assert not ApiToken.objects.exists()
    desk.account.refresh_from_db()
    assert (desk.account.name, desk.account.status, desk.account.notes) == (NAME, "archived", "")


@pytest.mark.django_db
def test_it_is_refused_while_a_run_is_open_and_changes_nothing():
    desk = Desk()
    if registry.registered("toy") is None:
        registry.register_kind("toy", lambda: None)
    run = run_of(desk.account, desk.lead)
    with pytest.raises(Refused, match="not over yet"):
        erase(desk)
    assert User.objects.filter(email=desk.admin.email).exists()
    type(run).objects.filter(pk=run.pk).update(status="aborted", next_tick_at=None, ended_at=timezone.now())
    assert erase(desk).users == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wrong", "code"), [({"name": "lindgren outdoor"}, "wrong_name"), ({"reason": " "}, "")]
)
def test_it_needs_the_name_as_it_is_written_and_a_reason(wrong, code):
    desk = Desk()
    contact = make.contact(desk.account)
    with pytest.raises(Refused) as refused:
        erase(desk, **wrong)
    assert not code or refused.value.code == code
    assert Contact.objects.filter(pk=contact.pk).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["lead", "both"])
def test_it_is_the_customers_admin_who_may(who):
    desk = Desk()
    with pytest.raises(NotPermitted):
        erase(desk, actor=getattr(desk, who))


@pytest.mark.django_db
def test_an_admin_who_erases_is_erased_with_it_and_the_record_says_that_it_was_done():
    desk = Desk()
    assert erase(desk).kept == 1
    entry = AuditEntry.objects.get(what="account.erased")
    assert "Kallgren" not in str(entry.__dict__)
    assert members.reached_by(desk.both).get() == desk.elsewhere


@pytest.mark.django_db
def test_an_account_that_is_not_there_or_an_operator_who_is_none_is_said():
    desk = Desk()
    for ref, by, says in (
        ("not-a-ref", desk.operator.email, "There is no account"),
        (str(desk.account.ref), desk.lead.email, "is no active operator"),
    ):
        with pytest.raises(CommandError, match=says):
            call_command("erase_account", ref, name=NAME, by=by, reason="x")
