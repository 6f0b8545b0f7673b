"""Somebody is reached: one after the other, by mail, gateway or call sheet; answers, times, and whoever is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.contacts.models import ChannelProof, ContactUse
from accounts.erasure import erase_contact
from accounts.models import Contact
from accounts.reach import selectors, services
from accounts.reach.escalation import Outcome, Pace
from accounts.reach.models import Reach, ReachState, ReachTry
from portal.audit.models import AuditEntry
from portal.errors import Refused, StaleState, TooOften
from portal.events.models import Event
from portal.notify import sending
from portal.notify.models import Message
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def account():
    return make.account("Lindgren Outdoor")


@pytest.fixture
def jonas(account):
    return make.launch_manager(account.team, "Jonas Berg")


@pytest.fixture
def people(account):
    first = make.contact(
        account, name="Maja Lindgren", email="maja@x.example", phone="+46701234561", roles=["emergency"]
    )
    second = make.contact(
        account,
        name="Astrid Lund",
        email="astrid@x.example",
        phone="+46701234562",
        roles=["emergency"],
        escalation_order=2,
    )
    return first, second


def start(account, by, **options):
    said = {"role": "emergency", "kind": "test", "reason": "yearly", "message": "Please press the button."}
    return services.start_reach(account, actor=by, **{**said, **options})


def tries(reach):
    rows = ReachTry.objects.filter(step__reach=reach).order_by("step__place", "number")
    return [(one.step.place, one.number, one.outcome) for one in rows.select_related("step")]


def pass_time(reach, **span):
    """Let time pass for this reach: everything of it happened that much earlier."""
    back = timedelta(**span)
    for one in ReachTry.objects.filter(step__reach=reach):
        ended = one.ended_at - back if one.ended_at else None
        ReachTry.objects.filter(pk=one.pk).update(asked_at=one.asked_at - back, ended_at=ended)
    held = Reach.objects.get(pk=reach.pk)
    Reach.objects.filter(pk=reach.pk).update(
        started_at=held.started_at - back, next_at=held.next_at - back if held.next_at else None
    )


def link_of(reach, place=1, number=1):
    one = ReachTry.objects.get(step__reach=reach, step__place=place, number=number)
    return f"/reach/{services.answer_token(one)}/"


def test_the_first_person_is_asked_at_once_by_mail(account, jonas, people):
    reach = start(account, jonas)
    assert tries(reach) == [(1, 1, "waiting")]
    message = Message.objects.get(purpose="reach_asked")
    assert message.address == "maja@x.example"
    assert message.urgency == "now"
    assert reach.next_at == reach.started_at + timedelta(seconds=300)
    assert Event.objects.filter(type="reach.started").exists()


def test_after_its_wait_the_same_person_is_asked_again_and_then_the_second_answers(account, jonas, people):
    reach = start(account, jonas)
    assert services.advance_due(timezone.now()) == 0
    pass_time(reach, minutes=5)
    assert services.advance_due(timezone.now()) == 1
    assert tries(reach) == [(1, 1, "waiting"), (1, 2, "waiting")]
    pass_time(reach, minutes=5)
    services.advance_due(timezone.now())
    assert tries(reach)[-1] == (2, 1, "waiting")
    pass_time(reach, seconds=90)
    answered = Client().post(link_of(reach, 2), HTTP_USER_AGENT="Astrid's phone")
    assert "your answer has arrived" in answered.content.decode()
    held = Reach.objects.get(pk=reach.pk)
    assert (held.state, held.next_at) == (ReachState.ANSWERED, None)
    rows = selectors.rows_of(held, timezone.now())
    assert [row.after_s and round(row.after_s) for row in rows] == [None, pytest.approx(90, abs=20)]
    entry = AuditEntry.objects.get(what="reach.answered")
    assert entry.after["place"] == 2
    assert 90 <= entry.after["after_s"] < 120
    assert 690 <= entry.after["in_all_s"] < 720
    proof = ChannelProof.objects.get()
    assert (proof.contact, proof.kind, proof.how, proof.is_doubtful) == (people[1], "mail", "link", False)
    told = Message.objects.get(purpose="reach_ended")
    assert told.user == jonas
    assert "Astrid Lund answered" in told.title


def test_a_mail_filter_that_opens_every_link_answers_nothing(account, jonas, people):
    reach = start(account, jonas)
    before = Reach.objects.get(pk=reach.pk)
    for send in (Client().get, Client().head, Client().get):
        assert send(link_of(reach)).status_code == 200
    pass_time(reach, minutes=1)
    Client().get(link_of(reach))
    assert tries(reach) == [(1, 1, "waiting")]
    assert Reach.objects.get(pk=reach.pk).state == before.state
    assert not ChannelProof.objects.exists()


def test_an_answer_within_five_seconds_is_doubtful_and_ends_nothing(account, jonas, people):
    reach = start(account, jonas)
    page = Client().post(link_of(reach), HTTP_USER_AGENT="scanner")
    assert "That was very quick" in page.content.decode()
    one = ReachTry.objects.get(step__reach=reach)
    assert (one.outcome, one.agent) == ("waiting", "scanner")
    assert one.doubtful_at is not None
    assert ChannelProof.objects.get().is_doubtful
    pass_time(reach, seconds=6)
    Client().post(link_of(reach))
    assert Reach.objects.get(pk=reach.pk).state == ReachState.ANSWERED


def test_the_first_persons_late_answer_counts_while_the_second_is_asked(account, jonas, people):
    reach = start(account, jonas, pace=Pace(60, 1))
    pass_time(reach, minutes=1)
    services.advance_due(timezone.now())
    pass_time(reach, seconds=10)
    Client().post(link_of(reach, 1))
    held = Reach.objects.get(pk=reach.pk)
    assert held.state == ReachState.ANSWERED
    assert [row.answer is not None for row in selectors.rows_of(held, timezone.now())] == [True, False]


def test_at_the_end_of_the_list_the_lead_is_told_now(account, jonas, people):
    lead = make.launch_manager(account.team, "Lena Fors", role="lead")
    reach = start(account, jonas, pace=Pace(60, 1))
    for _ in range(2):
        pass_time(reach, minutes=1)
        services.advance_due(timezone.now())
    assert Reach.objects.get(pk=reach.pk).state == ReachState.NOBODY
    told = Message.objects.filter(purpose="reach_nobody")
    assert {row.user for row in told} == {lead, jonas}
    assert {row.urgency for row in told} == {"now"}
    assert services.advance_due(timezone.now() + timedelta(days=1)) == 0


def test_a_call_that_is_logged_names_who_called_and_proves_the_number(account, jonas, people):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    services.log_outcome(one, Outcome.REACHED, actor=jonas)
    held = Reach.objects.get(pk=reach.pk)
    assert held.state == ReachState.ANSWERED
    assert ReachTry.objects.get(pk=one.pk).by_name == "Jonas Berg"
    proof = ChannelProof.objects.get()
    assert (proof.kind, proof.how, proof.by_name) == ("phone", "call", "Jonas Berg")
    assert ContactUse.objects.filter(way="call", contact_ids__contains=[people[0].pk]).exists()
    with pytest.raises(StaleState, match="decided meanwhile"):
        services.log_outcome(one, Outcome.VOICEMAIL, actor=jonas)


def test_a_wrong_number_goes_on_to_the_next_at_once_and_asks_for_a_new_confirmation(account, jonas, people):
    Contact.objects.filter(pk=people[0].pk).update(confirmed_on=timezone.now().date())
    reach = start(account, jonas)
    services.log_outcome(ReachTry.objects.get(step__reach=reach), Outcome.WRONG_NUMBER, actor=jonas)
    assert tries(reach) == [(1, 1, "wrong_number"), (2, 1, "waiting")]
    assert Contact.objects.get(pk=people[0].pk).confirmed_on is None


def test_whoever_called_back_after_the_voicemail_is_logged_as_reached(account, jonas, people):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    services.log_outcome(one, Outcome.VOICEMAIL, actor=jonas)
    assert Reach.objects.get(pk=reach.pk).state == ReachState.RUNNING
    services.log_outcome(one, Outcome.REACHED, actor=jonas)
    assert Reach.objects.get(pk=reach.pk).state == ReachState.ANSWERED


def results(reach, place=1):
    one = ReachTry.objects.get(step__reach=reach, step__place=place)
    return [(said.outcome, said.how, said.by_name) for said in one.told]


def test_what_a_person_noted_stays_beside_the_answer_that_came_later(account, jonas, people):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    services.log_outcome(one, Outcome.VOICEMAIL, actor=jonas)
    pass_time(reach, seconds=90)
    Client().post(link_of(reach))
    assert results(reach) == [("voicemail", "person", "Jonas Berg"), ("acknowledged", "link", "")]
    one.refresh_from_db()
    assert (one.outcome, one.by_name) == ("acknowledged", "")
    browser = Client()
    browser.force_login(jonas)
    shown = browser.get(f"/reaches/{reach.ref}/").content.decode()
    assert "voicemail, says Jonas Berg" in shown
    assert "acknowledged, by the link" in shown


def test_what_the_gateway_says_is_kept_and_counts_less_than_what_a_person_heard(account, jonas, people):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    services.log_outcome(one, Outcome.VOICEMAIL, actor=jonas)
    assert services.answer_by_gateway(one.ref, outcome="no_answer")
    assert results(reach) == [("voicemail", "person", "Jonas Berg"), ("no_answer", "gateway", "")]
    one.refresh_from_db()
    assert (one.outcome, one.by_name) == ("voicemail", "Jonas Berg")
    assert Reach.objects.get(pk=reach.pk).state == ReachState.RUNNING


def test_after_a_stop_every_open_place_says_who_stopped_it(account, jonas, people):
    reach = start(account, jonas)
    services.stop_reach(reach, actor=jonas)
    held = Reach.objects.get(pk=reach.pk)
    first, second = selectors.rows_of(held, timezone.now())
    at = f"{held.ended_at:%Y-%m-%d %H:%M} UTC"
    assert second.not_tried == f"not tried: stopped by Jonas Berg at {at}"
    assert first.tries[0].outcome == "unanswered"
    browser = Client()
    browser.force_login(jonas)
    shown = browser.get(f"/reaches/{reach.ref}/").content.decode()
    assert f"no result: stopped by Jonas Berg at {at}" in shown
    assert f"not tried: stopped by Jonas Berg at {at}" in shown
    assert "waiting" not in shown
    assert "the lead was not told" in shown


def test_an_address_that_was_changed_meanwhile_proves_nothing_and_decides_nothing(account, jonas, people):
    reach = start(account, jonas)
    Contact.objects.filter(pk=people[0].pk).update(email="new@x.example")
    pass_time(reach, minutes=1)
    assert Client().post(link_of(reach)).status_code == 404
    assert Reach.objects.get(pk=reach.pk).state == ReachState.RUNNING
    assert not ChannelProof.objects.exists()


def test_somebody_who_was_removed_meanwhile_is_passed_over(account, jonas, people):
    reach = start(account, jonas, pace=Pace(60, 1))
    people[1].delete()
    pass_time(reach, minutes=1)
    services.advance_due(timezone.now())
    assert tries(reach) == [(1, 1, "unanswered"), (2, 1, "no_way")]
    assert Reach.objects.get(pk=reach.pk).state == ReachState.NOBODY


def test_erasing_whoever_was_asked_leaves_the_times_and_no_name(account, jonas, people):
    admin = make.member(account, "admin")
    reach = start(account, jonas, message="Ask Maja Lindgren about the shop.")
    services.stop_reach(reach, actor=jonas)
    erase_contact(account, people[0].ref, actor=admin, reason="asked for it")
    held = Reach.objects.get(pk=reach.pk)
    assert "Maja" not in held.message
    row = selectors.rows_of(held, timezone.now())[0]
    assert row.step.contact_name.startswith("erased person")
    assert row.contact is None
    assert len(row.tries) == 1
    assert not Message.objects.filter(purpose="reach_asked").exists()


def test_one_at_a_time_and_a_stop_ends_it(account, jonas, people):
    reach = start(account, jonas)
    with pytest.raises(StaleState, match="already"):
        start(account, jonas)
    services.stop_reach(reach, actor=jonas)
    assert services.stop_reach(reach, actor=jonas).state == ReachState.STOPPED
    assert Client().get(link_of(reach)).status_code == 404
    assert Client().post(link_of(reach)).status_code == 404
    assert start(account, jonas).state == ReachState.RUNNING


def test_nobody_is_rung_at_will(account, jonas, people):
    for _ in range(services.MOST_AN_HOUR):
        services.stop_reach(start(account, jonas), actor=jonas)
    Reach.objects.update(started_at=timezone.now() - timedelta(minutes=48, seconds=30))
    with pytest.raises(TooOften, match="Call them instead") as refused:
        start(account, jonas)
    assert refused.value.says.endswith(
        "This is the limit of the account, for everybody who works on it together. Come again in 12 minutes."
    )
    Reach.objects.update(started_at=timezone.now() - timedelta(hours=2))
    assert start(account, jonas).state == ReachState.RUNNING


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ({"reason": " "}, "reason stays on record"),
        ({"message": ""}, "what they are to be told"),
        ({"role": "billing"}, "Nobody can be asked as billing contact"),
        ({"role": "boss"}, "no such role"),
        ({"message": "x" * 501}, "at most 500"),
    ],
)
def test_what_cannot_begin_says_why_and_asks_nobody(account, jonas, people, said, hint):
    with pytest.raises(Refused, match=hint):
        start(account, jonas, **said)
    assert not Reach.objects.exists()
    assert not Message.objects.exists()


def test_those_for_whom_it_is_no_hour_are_left_in_peace_unless_it_is_said_otherwise(account, jonas, people):
    spans = [{"day": 0, "from": "03:00", "until": "03:01"}]
    Contact.objects.filter(pk=people[0].pk).update(hours="weekly", weekly_hours=spans)
    listed = services.whom_to_ask(account, "emergency", _noon(), with_asleep=False)
    assert [one.contact for one in listed.asked] == [people[1]]
    assert [(one.contact, why) for one, why in listed.left_out] == [(people[0], "outside of their hours")]
    assert len(services.whom_to_ask(account, "emergency", _noon(), with_asleep=True).asked) == 2


def _noon():
    return timezone.now().replace(hour=12)


def test_moving_on_takes_the_same_queries_however_many_wait(
    account, jonas, people, django_assert_num_queries
):
    start(account, jonas)
    with django_assert_num_queries(1):
        services.advance_due(timezone.now())


def test_a_worker_and_an_answer_at_the_same_moment_do_not_ask_twice(account, jonas, people):
    reach = start(account, jonas)
    pass_time(reach, minutes=5)
    services.advance_due(timezone.now())
    services.advance_due(timezone.now())
    assert tries(reach) == [(1, 1, "waiting"), (1, 2, "waiting")]


@pytest.mark.parametrize("said", [Outcome.WRONG_NUMBER, Outcome.REFUSED])
@pytest.mark.parametrize("by", ["person", "gateway"])
def test_whoever_has_a_wrong_number_or_said_no_can_still_answer_by_the_mails_link(
    account, jonas, people, said, by
):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    if by == "person":
        services.log_outcome(one, said, actor=jonas)
    else:
        assert services.answer_by_gateway(one.ref, outcome=said)
    assert tries(reach) == [(1, 1, said), (2, 1, "waiting")]
    pass_time(reach, minutes=1)
    assert Client().get(link_of(reach)).status_code == 200
    assert "your answer has arrived" in Client().post(link_of(reach)).content.decode()
    assert Reach.objects.get(pk=reach.pk).state == ReachState.ANSWERED
    one.refresh_from_db()
    assert one.outcome == "acknowledged"


def test_what_the_gateway_hears_after_a_no_counts_and_what_is_no_answer_does_not(account, jonas, people):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    services.answer_by_gateway(one.ref, outcome="refused")
    pass_time(reach, minutes=1)
    assert not services.answer_by_gateway(one.ref, outcome="no_answer")
    assert services.answer_by_gateway(one.ref, outcome="acknowledged")
    assert Reach.objects.get(pk=reach.pk).state == ReachState.ANSWERED


def test_whoever_is_reached_after_a_wrong_number_is_logged_and_the_number_stays_unproven(
    account, jonas, people
):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    services.log_outcome(one, Outcome.WRONG_NUMBER, actor=jonas)
    with pytest.raises(StaleState, match="decided meanwhile"):
        services.log_outcome(one, Outcome.VOICEMAIL, actor=jonas)
    browser = Client()
    browser.force_login(jonas)
    assert "Reached after all" in browser.get(f"/reaches/{reach.ref}/").content.decode()
    browser.post(f"/reach-tries/{one.ref}/outcome/", {"outcome": "reached"})
    assert Reach.objects.get(pk=reach.pk).state == ReachState.ANSWERED
    assert not ChannelProof.objects.exists()


def test_what_the_gateway_sends_twice_is_taken_in_once(account, jonas, people):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    for message_id in ("msg_1", "msg_1", "msg_2"):
        assert services.answer_by_gateway(one.ref, outcome="no_answer", message_id=message_id)
    assert results(reach) == [("no_answer", "gateway", "")] * 2
    # One that came too soon for a person does not become a person's by coming again.
    again = start_again(account, jonas, reach)
    one = ReachTry.objects.get(step__reach=again)
    services.answer_by_gateway(one.ref, outcome="acknowledged", message_id="msg_3")
    pass_time(again, minutes=1)
    assert services.answer_by_gateway(one.ref, outcome="acknowledged", message_id="msg_3")
    assert Reach.objects.get(pk=again.pk).state == ReachState.RUNNING


def start_again(account, by, reach):
    services.stop_reach(reach, actor=by)
    return start(account, by)


@pytest.fixture
def left_out(account, people):
    """Three more of the role who are not asked now, each for another reason."""
    today = timezone.now().date()
    common = {"roles": ["emergency"], "time_zone": "UTC"}
    make.contact(account, name="Nils Ek", email="nils@x.example", escalation_order=3,
                 hours="weekly", weekly_hours=[{"day": (today.weekday() + 3) % 7, "from": "03:00", "until": "03:01"}], **common)  # fmt: skip
    away = [str(today + timedelta(days=more)) for more in (-1, 0, 1)]
    make.contact(
        account, name="Olga Ray", email="olga@x.example", escalation_order=4, days_off=away, **common
    )
    make.contact(account, name="Per Ask", email="per@x.example", escalation_order=5,
                 valid_until=today - timedelta(days=9), **common)  # fmt: skip


def test_whoever_is_not_asked_is_named_with_the_reason_on_the_sheet_and_in_the_leads_mail(
    account, jonas, people, left_out
):
    lead = make.launch_manager(account.team, "Lena Fors", role="lead")
    reach = start(account, jonas, pace=Pace(60, 1))
    long_ago = timezone.now().date() - timedelta(days=9)
    rows = selectors.rows_of(reach, timezone.now())
    assert [(row.step.contact_name, row.not_tried) for row in rows] == [
        ("Maja Lindgren", ""),
        ("Astrid Lund", ""),
        ("Nils Ek", "not asked: outside of their hours"),
        ("Olga Ray", "not asked: away on this day"),
        ("Per Ask", f"not asked: not valid since {long_ago}"),
    ]
    for _ in range(2):
        pass_time(reach, minutes=1)
        services.advance_due(timezone.now())
    assert tries(reach) == [(1, 1, "unanswered"), (2, 1, "unanswered")]
    browser = Client()
    browser.force_login(jonas)
    shown = browser.get(f"/reaches/{reach.ref}/").content.decode()
    assert "2 of 5 on the list were asked" in shown
    assert "not asked: away on this day" in shown
    said = browser.get(f"/api/v1/reaches/{reach.ref}").json()
    assert (said["asked"], said["listed"], said["people"][2]["not_tried"]) == (
        2,
        5,
        "not asked: outside of their hours",
    )
    told = Message.objects.get(purpose="reach_nobody", user=lead)
    written = sending.render(told)
    for body in (written.text, written.html):
        assert "2 of 5 on the list of emergency contacts" in body
        assert (
            f"Not asked: Nils Ek (outside of their hours); Olga Ray (away on this day); Per Ask (not valid since {long_ago})."
            in body
        )


def test_whoever_began_it_and_is_told_as_a_launch_manager_gets_one_mail(account, jonas, people):
    reach = start(account, jonas, pace=Pace(60, 1))
    for _ in range(2):
        pass_time(reach, minutes=1)
        services.advance_due(timezone.now())
    told = Message.objects.filter(user=jonas, purpose__in=["reach_nobody", "reach_ended"])
    assert [row.purpose for row in told] == ["reach_nobody"]


def test_whoever_began_it_and_is_no_launch_manager_is_told_how_it_ended(account, people):
    admin = make.member(account, "admin", "Ada Moe")
    reach = start(account, admin, pace=Pace(60, 1))
    for _ in range(2):
        pass_time(reach, minutes=1)
        services.advance_due(timezone.now())
    told = Message.objects.get(user=admin)
    assert told.purpose == "reach_ended"
    assert (
        "2 of 2 on the list of emergency contacts of Lindgren Outdoor were asked" in sending.render(told).text
    )


def test_whoever_has_no_way_left_when_the_turn_comes_does_not_count_as_asked(account, jonas, people):
    reach = start(account, jonas, pace=Pace(60, 1))
    people[1].delete()
    pass_time(reach, minutes=1)
    services.advance_due(timezone.now())
    held = Reach.objects.get(pk=reach.pk)
    assert selectors.counts_of(held, selectors.rows_of(held, timezone.now())) == selectors.Counts(1, 2, 2)


@pytest.mark.parametrize("said", [None, Outcome.VOICEMAIL])
def test_when_whoever_is_asked_is_erased_the_next_one_is_asked_at_once(account, jonas, people, said):
    admin = make.member(account, "admin")
    reach = start(account, jonas)
    if said:
        services.log_outcome(ReachTry.objects.get(step__reach=reach), said, actor=jonas)
    erase_contact(account, people[0].ref, actor=admin, reason="asked for it")
    assert services.advance_due(timezone.now()) == 1
    assert tries(reach) == [(1, 1, "no_way"), (2, 1, "waiting")]
    assert Reach.objects.get(pk=reach.pk).next_at > timezone.now()
    assert services.advance_due(timezone.now()) == 0
