"""Answers that are kept for repeats: what an erasure empties, and what it must not touch."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.test import Client

from accounts.erasure import erase_contact, erase_person
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
