"""What stays behind somebody who lost a right, and what a key reaches beside its scopes; names of people of elsewhere."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import members, passwords
from accounts.calendar import services as calendar
from accounts.cases import mailing
from accounts.cases.mail import reply_address
from accounts.cases.models import CaseEntry
from accounts.cases.services import told_rows
from accounts.contacts import services as contacts
from accounts.contacts.models import ContactUse, Rotation, RotationMember
from accounts.contacts.selectors import team_duty
from accounts.models import ApiToken, Contact
from accounts.reviews import selectors as review_selectors
from accounts.reviews import services as reviews
from accounts.reviews.models import Review, ReviewSignature, ReviewStatus, Side
from accounts.tokens import revoke_token
from portal.audit.models import AuditEntry
from portal.audit.services import snapshot
from portal.errors import TooOften
from portal.notify.models import MailState, Message
from portal.notify.services import recipient_key
from portal.webhooks import services as webhooks
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def two():
    class Two:
        team = make.team("North")
        lead = make.launch_manager(team, "Lena", role="lead")
        rolf = make.launch_manager(team, "Rolf")
        account, elsewhere = make.account("Lindgren", of=team), make.account("Secluded")
        editor = make.member(account, "editor", "Emil")
        approver = make.member(account, "approver", "Astrid")
        dora = make.member(elsewhere, "admin", "Dora Dahl")

    return Two()


def ask(method, url, body, secret):
    return getattr(Client(), method)(
        url,
        json.dumps(body),
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY="a",
        **make.bearer(secret),
    )


# --- names of people of elsewhere ---------------------------------------------------------------------------


def test_who_is_of_elsewhere_is_not_there_and_not_named(two):
    gone = make.user("Olaf Gone")
    due = str(timezone.now().date() + timedelta(days=3))
    url = f"/api/v1/accounts/{two.account.ref}/actions"
    said = set()
    for ref in (two.dora.ref, gone.ref, "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11"):
        for secret in (make.token(two.editor), make.token(two.lead)):
            answer = ask("post", url, {"title": "Look", "owner_user": str(ref), "due_on": due}, secret)
            assert answer.status_code == 422
            said.add(answer.json()["detail"])
    assert len(said) == 1
    assert "Dora" not in said.pop()
    review = make.review(two.account, two.lead)
    read = Client().get(f"/api/v1/reviews/{review.ref}", **make.bearer(make.token(two.lead)))
    said = set()
    for ref in (two.dora.ref, gone.ref, "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11"):
        answer = Client().patch(
            f"/api/v1/reviews/{review.ref}",
            json.dumps({"owner": str(ref)}),
            content_type="application/json",
            HTTP_IF_MATCH=read["ETag"],
            **make.bearer(make.token(two.lead)),
        )
        assert answer.status_code == 422
        said.add(answer.json()["detail"])
    assert len(said) == 1


def test_an_owner_who_lost_access_meanwhile_is_not_named(two):
    action = make.action(two.account, two.lead)
    with pytest.raises(Exception, match="no such user") as refused:
        reviews.change_action(action, {"owner_user": two.dora}, actor=two.lead)
    assert "Dora" not in str(refused.value)


# --- feeds --------------------------------------------------------------------------------------------------


def test_a_token_makes_no_feed_of_what_it_may_not_read(two):
    answer = ask("post", "/api/v1/me/calendar-feeds", {}, make.token(two.editor, scopes=["me"]))
    assert answer.status_code == 403
    assert "calendar:read" in answer.json()["detail"]
    assert not two.editor.calendar_feeds.exists()


@pytest.mark.parametrize("how", ["revoked", "over"])
def test_a_feed_ends_with_the_token_that_made_it(two, how):
    secret = make.token(two.editor, scopes=["me", "calendar:read"])
    answer = ask("post", "/api/v1/me/calendar-feeds", {}, secret)
    path = answer.json()["address"].partition("/calendar/")[2]
    assert Client().get(f"/calendar/{path}").status_code == 200
    made_by = ApiToken.objects.get(user=two.editor)
    if how == "revoked":
        revoke_token(made_by, actor=two.editor, at=timezone.now())
    else:
        past = timezone.now() - timedelta(seconds=1)
        ApiToken.objects.filter(pk=made_by.pk).update(expires_at=past, created_at=past - timedelta(days=1))
    assert Client().get(f"/calendar/{path}").status_code == 404


def test_a_feed_is_made_only_after_a_fresh_proof(two):
    browser = Client()
    browser.force_login(two.editor)
    answer = browser.post("/me/calendar-feeds/", {})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/prove/") or "prove" in answer["Location"]
    assert browser.post("/api/v1/me/calendar-feeds", {}, content_type="application/json").status_code == 403
    assert not two.editor.calendar_feeds.exists()
    make.prove(browser, two.editor)
    assert b"ssf_" in browser.post("/me/calendar-feeds/", {}).content


def test_whoever_ends_all_keys_ends_the_feeds_too(two):
    _feed, token = calendar.make_feed(two.editor)
    key = passwords.default_token_generator.make_token(two.editor)
    passwords.reset_password(two.editor.ref, key, "another-good-passphrase", with_tokens=True)
    assert calendar.feed_of(token, timezone.now()) is None


def test_a_feed_does_not_come_back_with_a_log_in_that_was_switched_off(two):
    _feed, token = calendar.make_feed(two.rolf)
    members.deactivate_user(two.rolf, actor=two.lead, reason="Lost laptop")
    two.rolf.refresh_from_db()
    two.rolf.is_active = True
    two.rolf.save(update_fields=["is_active"])
    assert calendar.feed_of(token, timezone.now()) is None


def test_who_is_held_back_for_want_of_a_second_factor_reads_no_feed_and_answers_by_no_mail(two, settings):
    settings.SUPPORT_MAIL_ADDRESS = "support@in.portal.example"
    _feed, token = calendar.make_feed(two.editor)
    case = make.case(two.account, two.lead)
    to = reply_address(settings.SUPPORT_MAIL_ADDRESS, case.ref, settings.SECRET_KEY)

    def answer(number):
        raw = f"From: {two.editor.email}\r\nTo: {to}\r\nMessage-ID: <{number}@x.example>\r\n\r\nYes, go on."
        return mailing.take_in(raw.encode()).outcome

    assert answer(1) == "taken"
    settings.REQUIRE_SECOND_FACTOR = ["editor"]
    assert calendar.feed_of(token, timezone.now()) is None
    assert answer(2) == "unverified"
    make.app(two.editor)
    assert calendar.feed_of(token, timezone.now()) is not None
    assert answer(3) == "taken"


# --- webhooks -----------------------------------------------------------------------------------------------


def test_a_token_that_reads_no_events_has_none_sent_and_reads_none_that_were(two):
    admin = make.member(two.account, "admin", "Maja")
    weak = make.token(admin, scopes=["webhooks:write", "webhooks:read"])
    strong = make.token(admin, scopes=["webhooks:write", "webhooks:read", "events:read"])
    message = make.delivery(make.endpoint(two.account))
    body = {"url": "https://hooks.shop.example/in", "types": ["run.*"]}
    add = f"/api/v1/accounts/{two.account.ref}/webhooks"
    read = f"/api/v1/webhook-messages/{message.ref}"
    assert ask("post", add, body, weak).status_code == 403
    assert Client().get(read, **make.bearer(weak)).status_code == 403
    assert Client().get(read, **make.bearer(strong)).status_code == 200


# --- who left -----------------------------------------------------------------------------------------------


def duty_of(two):
    rota = Rotation.objects.create(
        team=two.team,
        name="Duty",
        starts_on=timezone.now().date() - timedelta(days=30),
        hand_overs=[{"day": 0, "at": "09:00"}],
    )
    RotationMember.objects.create(rotation=rota, place=1, user=two.rolf, phone="+46700001111")
    return rota


def test_whom_customers_are_told_to_call_is_of_the_team(two):
    rota = duty_of(two)
    assert team_duty(two.account, timezone.now()).now.name == "Rolf"
    members.remove_from_team(two.team, two.rolf, actor=two.lead)
    assert team_duty(two.account, timezone.now()).now is None
    assert not rota.places.exists()


def test_nobody_is_told_to_call_a_log_in_that_was_switched_off(two):
    duty_of(two)
    members.deactivate_user(two.rolf, actor=two.lead, reason="Left")
    assert team_duty(two.account, timezone.now()).now is None


def test_a_review_does_not_rest_on_the_signature_of_somebody_who_left(two):
    review = make.review(two.account, two.lead, held_on=timezone.now().date() - timedelta(days=1))
    for item in review.items.all():
        item.grade, item.reason = "green", ""
        item.save()

    def sign(side, actor):
        seen = reviews.seen_now(Review.objects.get(pk=review.pk), timezone.now())
        return reviews.sign_review(review, side=side, actor=actor, seen=seen)

    sign(Side.PROVIDER, two.rolf)
    members.remove_from_team(two.team, two.rolf, actor=two.lead)
    sign(Side.CUSTOMER, two.approver)
    stored = Review.objects.get(pk=review.pk)
    assert stored.status == ReviewStatus.OPEN
    held = ReviewSignature.objects.get(review=review, voided_at=None)
    assert held.by == two.approver
    assert ReviewSignature.objects.get(review=review, by=two.rolf).voided_because.startswith(
        "Somebody who signed"
    )
    sign(Side.PROVIDER, two.lead)
    assert Review.objects.get(pk=review.pk).status == ReviewStatus.SIGNED
    assert review_selectors.signatures_of(stored) is not None


def test_who_left_an_account_does_not_learn_what_it_is_called_now(two):
    calendar.make_feed(two.editor, two.account)
    browser = Client()
    browser.force_login(two.editor)
    assert b"Lindgren" in browser.get("/me/calendar-feeds/").content
    members.remove_member(two.account, two.editor, actor=make.member(two.account, "admin"))
    two.account.name = "Renamed"
    two.account.save(update_fields=["name"])
    page = browser.get("/me/calendar-feeds/").content
    assert b"Renamed" not in page
    assert b"you see no more" in page


# --- mails that wait ----------------------------------------------------------------------------------------


def queued(account, contact):
    """A mail that waits for the end of the contact's night."""
    return Message.objects.create(
        purpose="action_due",
        kind="reminder",
        account=account,
        subject_ref=f"action:{contact.ref}",
        recipient_key=recipient_key(None, contact.email),
        address=contact.email,
        title="Take an image",
        mail_state=MailState.QUEUED,
        created_at=timezone.now(),
        message_id=f"<{contact.ref}@portal.example>",
        due_at=timezone.now() + timedelta(hours=5),
    )


def test_a_mail_does_not_wait_for_whom_the_account_has_no_more(two):
    gone, wrong, kept, shared = (
        make.contact(two.account, f"Nils {word}", email=f"{word}@x.example")
        for word in ("gone", "wrong", "kept", "shared")
    )
    elsewhere = make.contact(two.elsewhere, "Nils Else", email="gone@x.example")
    gone_pk, shared_pk = gone.pk, shared.pk
    mails = {one.pk: queued(one.account, one) for one in (gone, wrong, kept, shared, elsewhere)}
    make.contact(two.account, "Desk", email="Shared@x.example")
    contacts.remove_contact(Contact.objects.get(pk=gone.pk), actor=two.editor)
    contacts.change_contact(wrong, {"email": "right@x.example"}, actor=two.editor)
    contacts.change_contact(kept, {"title": "Head"}, actor=two.editor)
    contacts.remove_contact(Contact.objects.get(pk=shared.pk), actor=two.editor)
    states = {pk: Message.objects.get(pk=mail.pk).mail_state for pk, mail in mails.items()}
    assert [one for one in mails if states[one] == MailState.WITHDRAWN] == [gone_pk, wrong.pk]
    assert [one for one in mails if states[one] == MailState.QUEUED] == [kept.pk, shared_pk, elsewhere.pk]


def test_an_account_is_not_told_how_many_of_everything_there_are(two):
    make.member(two.account, "viewer")
    contacts.add_contact(two.account, {"name": "Nils Holm", "email": "n@x.example"}, actor=two.editor)
    rotation = duty_of(two)
    values = [
        value
        for entry in AuditEntry.objects.filter(account_ref=two.account.ref)
        for kept in (entry.before, entry.after)
        for name, value in kept.items()
        if name in ("account", "team", "user", "granted_by", "owner", "plan", "event")
    ]
    assert not [one for one in values if isinstance(one, int)], values
    assert snapshot(rotation)["team"] == str(two.team.ref)
    assert "account" not in snapshot(two.account.memberships.first())
    assert snapshot(two.account.memberships.first())["user"] == str(two.account.memberships.first().user.ref)


# --- the second look ----------------------------------------------------------------------------------------


def test_events_do_not_go_on_to_an_address_that_somebody_changed_who_left(two):
    theirs = make.endpoint(two.account, made_by=two.lead)
    webhooks.change_endpoint(theirs, {"description": "ours"}, actor=two.rolf)
    theirs.refresh_from_db()
    assert theirs.made_by == two.lead
    webhooks.change_endpoint(theirs, {"url": "https://hooks.shop.example/rolf"}, actor=two.rolf)
    members.remove_from_team(two.team, two.rolf, actor=two.lead)
    theirs.refresh_from_db()
    assert theirs.state == "disabled"


def test_events_do_not_go_on_to_the_address_of_somebody_who_left(two):
    admin = make.member(two.account, "admin", "Maja")
    theirs = make.endpoint(two.account, made_by=two.rolf)
    others = make.endpoint(two.account, url="https://hooks.shop.example/two", made_by=two.lead)
    members.remove_from_team(two.team, two.rolf, actor=two.lead)
    theirs.refresh_from_db()
    others.refresh_from_db()
    assert (theirs.state, others.state) == ("disabled", "active")
    assert "resume it" in theirs.state_says
    assert Message.objects.filter(purpose="webhook_disabled", user=admin).exists()
    webhooks.resume(theirs, actor=admin)
    theirs.refresh_from_db()
    assert (theirs.state, theirs.made_by) == ("active", admin)
    other = make.member(two.account, "admin", "Ada")
    members.grant_role(two.account, admin, "viewer", actor=other)
    theirs.refresh_from_db()
    assert theirs.state == "disabled"


def test_one_account_does_not_keep_the_workers_waiting_for_its_tests(two, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST_TESTS_AN_HOUR", 2)
    endpoint = make.endpoint(two.account)
    webhooks.send_test(endpoint, actor=two.lead)
    webhooks.send_test(endpoint, actor=two.lead)
    with pytest.raises(TooOften):
        webhooks.send_test(endpoint, actor=two.lead)
    assert webhooks.send_test(make.endpoint(two.elsewhere), actor=two.dora)


def test_a_token_of_some_networks_makes_no_feed_for_all(two):
    secret = make.token(two.editor, scopes=["me", "calendar:read"], networks=["127.0.0.0/8"])
    assert ask("post", "/api/v1/me/calendar-feeds", {}, secret).status_code == 403


@pytest.mark.parametrize(("site", "said"), [("cross-site", False), ("none", False), ("same-origin", True)])
def test_a_link_puts_no_words_into_the_log_in_somebody_elses_name(two, site, said):
    contact = make.contact(two.account)
    browser = Client()
    browser.force_login(two.editor)
    assert (
        browser.get(
            f"/api/v1/contacts/{contact.ref}", {"reason": "SOLD to a broker"}, HTTP_SEC_FETCH_SITE=site
        ).status_code
        == 200
    )
    (use,) = ContactUse.objects.filter(contact_ids__contains=[contact.pk])
    assert ("SOLD" in use.reason) is said


def test_who_was_only_told_of_a_case_is_not_named_once_they_left(two):
    case = make.case(two.account, two.editor)
    CaseEntry.objects.create(
        case=case,
        kind="told",
        via="portal",
        at=timezone.now(),
        data={
            "told": [{"kind": "user", "ref": str(two.rolf.ref)}, {"kind": "user", "ref": str(two.lead.ref)}]
        },
    )
    members.remove_from_team(two.team, two.rolf, actor=two.lead)
    type(two.rolf).objects.filter(pk=two.rolf.pk).update(name="Rolf ELSEWHERE")
    names = {one["name"] for one in told_rows(two.account, case.entries.all())}
    assert names == {"Lena", "somebody who is no longer here"}
