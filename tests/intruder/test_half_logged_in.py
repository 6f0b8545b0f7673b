"""A log-in that waits for its second factor."""

from __future__ import annotations

import pytest
from django.contrib.auth.tokens import default_token_generator

from accounts import passwords, sessions
from tests import factories as make

pytestmark = pytest.mark.django_db
NEW = "entirely other words now"


@pytest.mark.parametrize("how", ["reset", "sessions ended"])
def test_a_log_in_that_waits_for_its_second_factor_ends_with_the_password_that_it_rests_on(how):
    user = make.user()
    secret = make.app(user)
    thief = make.log_in(user)
    assert thief.get("/login/second/").status_code == 200
    if how == "reset":
        key = default_token_generator.make_token(user)
        passwords.reset_password(user.ref, key, NEW)
    else:
        sessions.end_all_sessions(user, actor=user)
    assert thief.get("/login/second/")["Location"] == "/login/"
    answer = thief.post("/login/second/", {"code": make.code_of(secret)})
    assert answer["Location"] == "/login/"
    assert thief.get("/me/").status_code == 302
