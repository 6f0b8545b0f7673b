"""What a page said to somebody ends with their session: the next one at that browser reads nothing of it."""

from __future__ import annotations

import pytest
from django.contrib.sessions.models import Session
from django.urls import reverse

from tests import factories

pytestmark = pytest.mark.django_db


def test_a_message_of_a_session_that_ended_is_not_shown_to_the_next():
    account = factories.account()
    browser = factories.log_in(factories.member(account, "admin"))
    said = "invited.secretly@harbor.example"
    answer = browser.post(reverse("accounts:invite", args=[account.ref]), {"email": said, "role": "viewer"})
    assert answer.status_code == 302
    assert Session.objects.count() == 1
    assert not any(said in morsel.value for morsel in browser.cookies.values())
    Session.objects.all().delete()
    page = browser.get("/login/")
    assert page.status_code == 200
    assert said not in page.text
