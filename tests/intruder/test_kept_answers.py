"""Answers that are kept for repeats: what an erasure empties, and what it must not touch."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from accounts.contacts.models import OtherParty
from accounts.erasure import erase_account, erase_contact, erase_person
from portal.models import IdempotentAnswer
from tests import factories as make

pytestmark = pytest.mark.django_db


def post(user, path, body, key="k"):
    return Client().post(
        f"/api/v1/{path}",
        body,
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY=key,
        **make.bearer(make.token(user)),
    )


class Two:
    def __init__(self):
        self.mine, self.theirs = make.account("Lindgren Outdoor"), make.account("Secluded Ltd")
        make.member(self.mine, "admin")
        self.admin = make.member(self.theirs, "admin", "Dora Dahl")
        self.editor = make.member(self.mine, "editor", "Emil")

    def planted(self, **fields):
        """Have an answer kept that holds what somebody of another account is called, and return how it is repeated."""
        path, token = f"accounts/{self.mine.ref}/contacts", make.token(self.editor)
        body = {"name": "Maja Lindqvist", "email": "maja@x.example", **fields}

        def again():
            return Client().post(
                f"/api/v1/{path}",
                body,
                content_type="application/json",
                HTTP_IDEMPOTENCY_KEY="k",
                **make.bearer(token),
            )

        assert again().status_code == 201
        return again


@pytest.fixture
def two():
    return Two()


def test_an_answer_that_was_planted_says_nothing_of_another_accounts_user_who_is_erased(two):
    quentin = make.member(two.theirs, "viewer", "Quentin Voxx")
    repeat = two.planted(name=quentin.name, notes=f"{quentin.email} {quentin.ref} {two.theirs.ref}")
    erase_person(quentin, actor=None, reason="asked")
    answer = repeat()
    assert (answer.status_code, answer.headers.get("Idempotent-Replay")) == (201, "true")


def test_an_answer_that_was_planted_says_nothing_of_another_accounts_contact_who_is_erased(two):
    contact = make.contact(two.theirs, "Kate Copper")
    repeat = two.planted(notes=str(contact.ref))
    erase_contact(two.theirs, contact.ref, actor=two.admin, reason="asked")
    assert repeat().status_code == 201


def test_somebody_who_calls_themselves_like_a_field_takes_no_answer_with_them(two):
    repeat = two.planted()
    assert "email" in IdempotentAnswer.objects.get().body
    # Also in the own account: every answer has a field of that name, and none says it.
    for place in (two.theirs, two.mine):
        erase_person(make.member(place, "viewer", "email"), actor=None, reason="asked")
    assert repeat().status_code == 201


def test_the_name_of_whoever_is_erased_goes_from_the_answers_of_their_own_account(two):
    rosalind = make.member(two.mine, "editor", "Rosalind Quimby")
    for number, said in enumerate(
        ({"name": rosalind.name}, {"notes": f"Ask {rosalind.name} first"}, {"email": rosalind.email})
    ):
        body = {"name": "Maja Lindqvist", "email": f"maja{number}@x.example", **said}
        assert post(two.editor, f"accounts/{two.mine.ref}/contacts", body, f"k{number}").status_code == 201
    erase_person(rosalind, actor=None, reason="asked")
    assert set(IdempotentAnswer.objects.values_list("status", flat=True)) == {IdempotentAnswer.GONE}
    assert not any(IdempotentAnswer.objects.values_list("body", flat=True))


def test_a_contact_who_is_erased_goes_from_the_answers_of_their_own_account(two):
    made = post(
        two.editor, f"accounts/{two.mine.ref}/contacts", {"name": "Kate Copper", "email": "k@x.example"}
    )
    admin = make.member(two.mine, "admin")
    erase_contact(two.mine, UUID(made.json()["ref"]), actor=admin, reason="asked")
    assert IdempotentAnswer.objects.get().status == IdempotentAnswer.GONE


def kept_bodies():
    return str(list(IdempotentAnswer.objects.values_list("body", flat=True)))


def test_typed_texts_that_name_an_erased_contact_go_from_the_answers_too():
    account = make.account()
    admin = make.member(account, "admin")
    browser = make.log_in(admin)

    def say(path, body, key):
        return browser.post(
            f"/api/v1/{path}", body, content_type="application/json", HTTP_IDEMPOTENCY_KEY=key
        )

    contact = say(f"accounts/{account.ref}/contacts", {"name": "Zora Quibble", "phone": "+46701234567"}, "c")
    ref = contact.json()["ref"]
    due_on = str(timezone.localdate() + timedelta(days=7))
    about = (
        (
            f"accounts/{account.ref}/actions",
            {"title": "Call Zora Quibbleone", "due_on": due_on, "owner_user": str(admin.ref)},
        ),
        (f"accounts/{account.ref}/cases", {"summary": "About Zora Quibble", "severity": "safe_waiting"}),
        (
            f"accounts/{account.ref}/cases",
            {"summary": "Nobody answers on +46701234567 here", "severity": "safe_waiting"},
        ),
    )
    renamed = browser.patch(
        f"/api/v1/contacts/{ref}",
        {"name": "Zora Quibbleone"},
        content_type="application/json",
        HTTP_IF_MATCH="*",
    )
    assert renamed.status_code == 200, renamed.text
    for number, (path, body) in enumerate(about):
        made = say(path, body, f"a{number}")
        assert made.status_code == 201, made.text
    other = say(
        f"accounts/{account.ref}/cases", {"summary": "About a disk", "severity": "safe_waiting"}, "other"
    )
    gone = say(f"accounts/{account.ref}/contacts/{ref}/erase", {"reason": "asked"}, "e")
    assert gone.status_code in (200, 204), gone.text
    for number, (path, body) in enumerate(about):
        assert say(path, body, f"a{number}").status_code == 410
    assert "Quibble" not in kept_bodies()
    assert "+46701234567" not in kept_bodies()
    assert (
        say(
            f"accounts/{account.ref}/cases", {"summary": "About a disk", "severity": "safe_waiting"}, "other"
        ).json()
        == other.json()
    )


def test_answers_name_nobody_of_an_account_that_is_erased():
    account = make.account("Quiet Ltd")
    admin, manager = make.member(account, "admin"), make.launch_manager(account.team, role="lead")
    make.contact(account, "Zora Quibbleone")
    OtherParty.objects.create(account=account, kind="payment", name="Quentin Voxx", phone="+46701234567")
    make.invitation(account, admin, email="rosalind@quimby.example")
    for number, who in enumerate(("Zora Quibbleone", "Quentin Voxx", "rosalind@quimby.example")):
        made = post(
            manager,
            f"accounts/{account.ref}/cases",
            {"summary": f"Ask {who} first", "severity": "safe_waiting"},
            f"k{number}",
        )
        assert made.status_code == 201, made.text
    erase_account(account, typed_name="Quiet Ltd", actor=admin, reason="asked")
    for who in ("Quibbleone", "Voxx", "quimby"):
        assert who not in kept_bodies()
