"""One account's words and lists leave room for everybody else's."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from accounts.cases import services as cases
from accounts.cases.mail import reply_address
from accounts.cases.mailing import take_in
from accounts.cases.states import Severity
from portal.notify.models import Message
from tests import factories as make

pytestmark = pytest.mark.django_db


class Talk:
    """A case of a viewer's own, on which they answer, and a case of somebody else's."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(cases, "MOST_SAID_AN_HOUR", 3)
        monkeypatch.setattr(cases, "MOST_URGENT_AN_HOUR", 1)
        self.account = make.account()
        self.manager = make.launch_manager(self.account.team)
        self.vera, self.emil = make.member(self.account, "viewer"), make.member(self.account, "editor")
        self.case = cases.open_case(
            self.account, actor=self.vera, summary="Down", severity=Severity.SITE_IN_DANGER, text=""
        )
        self.browser = make.log_in(self.vera)

    def api(self, path, body, browser=None):
        return (browser or self.browser).post(
            f"/api/v1/cases/{self.case.ref}/{path}",
            body,
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY=uuid.uuid4().hex,
        )

    def answered(self):
        return self.case.entries.filter(kind="reply").count()


@pytest.fixture
def talk(monkeypatch):
    return Talk(monkeypatch)


def test_answers_of_a_person_have_a_most_an_hour(talk):
    for number in range(3):
        assert talk.api("replies", {"text": f"{number}"}).status_code == 201
    refused = talk.api("replies", {"text": "again"})
    assert refused.status_code == 429, refused.text
    assert int(refused["Retry-After"]) > 3000
    assert "Come again in" in refused.json()["detail"]
    page = talk.browser.post(f"/cases/{talk.case.ref}/reply/", {"text": "typed words stay"})
    assert (page.status_code, int(page["Retry-After"]) > 3000) == (429, True)
    assert "typed words stay" in page.text
    # Another case of the account is no way round, another person has their own, and so has who comes back.
    second = cases.open_case(
        talk.account, actor=talk.vera, summary="More", severity=Severity.SAFE_WAITING, text=""
    )
    with pytest.raises(cases.TooOften):
        cases.reply(second, actor=talk.vera, text="x")
    assert talk.answered() == 3
    assert talk.api("replies", {"text": "mine"}, make.log_in(talk.emil)).status_code == 201
    talk.case.entries.update(at=talk.case.created_at - cases.timedelta(hours=2))
    assert talk.api("replies", {"text": "later"}).status_code == 201


def test_moves_to_and_fro_have_a_most_an_hour(talk):
    to = ["solved", "open"] * 3
    was = ["open", "solved"] * 3
    answers = [talk.api("status", {"status": one, "seen": seen}) for one, seen in zip(to, was, strict=True)]
    # The fourth is not done, so the fifth did not see it either.
    assert [one.status_code for one in answers[:4]] == [200] * 3 + [429], answers[3].text
    assert talk.case.entries.filter(kind="status").count() == 3
    browser = make.log_in(talk.emil)
    assert talk.api("replies", {"text": "others go on"}, browser).status_code == 201
    assert talk.api("replies", {"text": "answers are counted apart"}).status_code == 201


def test_an_answer_by_mail_is_counted_with_what_is_typed(talk, settings):
    settings.SUPPORT_MAIL_ADDRESS = "support@in.portal.example"
    for number in range(3):
        cases.reply(talk.case, actor=talk.vera, text=f"{number}")
    to = reply_address(settings.SUPPORT_MAIL_ADDRESS, talk.case.ref, settings.SECRET_KEY)
    taken = take_in(f"From: {talk.vera.email}\r\nTo: {to}\r\nSubject: Re\r\n\r\nAnd more".encode())
    assert (taken.outcome, taken.code) == ("refused", "too_many_answers")
    assert talk.answered() == 3


def test_only_the_first_answers_go_before_what_may_wait(talk):
    for number in range(3):
        cases.reply(talk.case, actor=talk.vera, text=f"{number}")
    told = Message.objects.filter(purpose="case_changed", user=talk.manager).order_by("pk")
    assert [one.urgency for one in told] == ["now", "normal", "normal"]


def test_one_accounts_cases_do_not_fill_the_dashboard():
    team = make.team()
    manager = make.launch_manager(team)
    loud, quiet = make.account("Loud", of=team), make.account("Quiet", of=team)
    make.member(loud, "viewer")
    for number in range(25):
        make.case(loud, severity="site_in_danger", summary=f"loud {number}")
    make.case(quiet, severity="site_in_danger", summary="ours burns")
    page = make.log_in(manager).get("/").text
    assert "ours burns" in page
    # The newest of a rank first, and what is left out is said and leads to them.
    assert page.index("ours burns") < page.index("loud 24") < page.index("loud 23")
    assert "and 6 more" in page
    assert f"/accounts/{loud.ref}/cases/?status=live&amp;order=rank" in page


def test_one_accounts_calendar_does_not_hide_the_teams_freeze():
    team = make.team()
    manager = make.launch_manager(team)
    loud = make.account("Loud", of=team)
    make.account("Silent", of=team)
    for kind in ("event", "freeze"):
        for _ in range(20):
            make.calendar_entry("Many", account=loud, kind=kind)
    freeze = make.calendar_entry("The freeze of all", team=team, kind="freeze")
    freeze.starts_at += timedelta(days=2)
    freeze.ends_at += timedelta(days=2)
    freeze.save()
    page = make.log_in(manager).get("/").text
    assert "The freeze of all" in page
    assert "and 21 more" in page
    assert f'/accounts/{loud.ref}/calendar/">21 of Loud</a>' in page
