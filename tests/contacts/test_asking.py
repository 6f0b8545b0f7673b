"""Links in mails to contacts: opening changes nothing, a button does; freshness; mail that came back; what is held."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.contacts import asking, selectors, services
from accounts.contacts.models import ChannelProof, ContactLink, ContactUse, PhoneCode, RoleConfirmation
from accounts.erasure import erase_account, erase_contact
from accounts.models import Contact
from accounts.tasks import ask_contacts
from portal.audit.models import AuditEntry
from portal.checks import what_is_wrong
from portal.errors import Refused, TooOften
from portal.notify import sending
from portal.notify.models import Message
from portal.notify.registry import Recipient
from portal.notify.services import tell, tell_all
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def account():
    return make.account("Lindgren Outdoor")


@pytest.fixture
def manager(account):
    return make.launch_manager(account.team)


@pytest.fixture
def maja(account):
    return make.contact(account, roles=["primary"], time_zone="Europe/Stockholm")


class Post:
    """The mail system: keeps what was handed over."""

    def __init__(self):
        self.mails = []

    def send(self, mail, *, sender, to, handing_over, deadline_s):
        handing_over()
        self.mails.append(message_from_bytes(mail, policy=policy.default))

    def links(self):
        parts = [part for mail in self.mails for part in mail.walk() if part.get_content_maintype() == "text"]
        text = "\n".join(part.get_content() for part in parts)
        return sorted(set(re.findall(rf"{re.escape(settings.PUBLIC_URL)}(/[^\s\"<>]*)", text)))


def deliver(seconds_ago=60):
    """Send everything that waits, whatever hour it is; as if it had been handed over some time ago."""
    Message.objects.update(due_at="2020-01-01T00:00Z", urgency="now")
    post = Post()
    sending.send_due(transport=post)
    Message.objects.filter(handed_at__isnull=False).update(
        handed_at=timezone.now() - timedelta(seconds=seconds_ago)
    )
    return post


def link_to(contact, use, actor=None, **more):
    """Send a link; return its path as it stands in the mail."""
    asking.send_link(contact, use, actor=actor)
    (path,) = [one for one in deliver(**more).links() if "/about-me/" in one]
    return path


# Reading may count and log; none of these is what a link is about.
_ASIDE = {"accounts_loginthrottle", "django_session"}


def everything():
    """Every row of every table, as text."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table not in _ASIDE:
                cursor.execute(f'SELECT md5(t::text) FROM "{table}" t')
                found[table] = sorted(row[0] for row in cursor.fetchall())
    return found


def shown(path):
    """Open the page of a link; return the digest of what it shows, as its form carries it."""
    found = re.search(r'name="seen" value="(\w+)"', Client().get(path).content.decode())
    return found[1] if found else ""


def press(path, answer, **more):
    if answer != "disown":
        more.setdefault("seen", shown(path))
    return Client().post(path, {"answer": answer, **more}, HTTP_USER_AGENT="Firefox")


# --- opening changes nothing -------------------------------------------------------------------------------


def test_a_mail_filter_that_opens_every_link_of_every_mail_changes_nothing(account, manager, maja):
    make.member(account, "admin", "Ada")
    for use in ("prove", "confirm", "see"):
        asking.send_link(maja, use, actor=manager)
    asking.make_code(maja, actor=manager)
    asking._ask_account(account, timezone.now())
    post = deliver()
    links = post.links()
    assert len([one for one in links if "/about-me/" in one]) == 3
    before = everything()
    for link in links:
        for method in ("get", "head"):
            answer = getattr(Client(), method)(link, follow=True, HTTP_USER_AGENT="Mail filter")
            assert answer.status_code == 200, link
    assert everything() == before
    assert not ChannelProof.objects.exists()
    assert not RoleConfirmation.objects.exists()


def test_the_button_proves_the_mailbox_and_keeps_channel_and_agent(maja, manager):
    path = link_to(maja, "prove", manager)
    assert "Maja Lindgren" in Client().get(path).content.decode()
    assert "Thank you" in press(path, "yes").content.decode()
    proof = ChannelProof.objects.get()
    assert (proof.kind, proof.how, proof.agent, proof.is_doubtful, proof.by_ref) == (
        "mail",
        "link",
        "Firefox",
        False,
        "",
    )
    assert selectors.standings([maja])[maja.pk].is_proven
    assert not RoleConfirmation.objects.exists()
    # Once answered it opens nothing; a second press is told that the first one counted, and no more.
    assert Client().get(path).status_code == 404
    again = press(path, "yes").content.decode()
    assert "Your answer is noted" in again
    assert "Maja" not in again
    assert ChannelProof.objects.count() == 1
    assert press(f"{path[:-2]}x/", "yes").status_code == 404


def test_the_button_of_the_asking_mail_confirms_the_person(maja):
    press(link_to(maja, "confirm"), "yes")
    maja.refresh_from_db()
    assert maja.confirmed_on == timezone.now().date()
    row = RoleConfirmation.objects.get()
    assert (row.channel, row.agent, row.by_ref, row.roles) == ("link", "Firefox", "", ["primary"])


def test_an_answer_faster_than_five_seconds_is_kept_doubtful_and_can_be_repeated(maja):
    path = link_to(maja, "confirm", seconds_ago=4)
    answer = press(path, "yes")
    assert answer.status_code == 422
    assert "within five seconds" in answer.content.decode()
    maja.refresh_from_db()
    assert maja.confirmed_on is None
    assert [one.is_doubtful for one in ChannelProof.objects.all()] == [True]
    assert not selectors.standings([maja])[maja.pk].is_proven
    Message.objects.update(handed_at=timezone.now() - timedelta(seconds=6))
    assert press(path, "yes").status_code == 200
    maja.refresh_from_db()
    assert maja.confirmed_on is not None


def test_an_answer_before_the_mail_ever_went_out_is_doubtful(maja, monkeypatch):
    monkeypatch.setattr(asking.secrets, "token_urlsafe", lambda size: "guessed")
    asking.send_link(maja, "prove", actor=None)
    seen = asking.shown_by(ContactLink.objects.get())
    assert asking.answer("ssk_guessed", seen=seen, agent="").is_doubtful


def test_a_shared_mailbox_is_proven_and_its_person_is_not(maja):
    Contact.objects.update(is_shared_mailbox=True)
    press(link_to(maja, "prove"), "yes")
    standing = selectors.standings([Contact.objects.get()])[maja.pk]
    assert standing.mail is not None
    assert not standing.is_proven


@pytest.mark.parametrize("ended", ["expired", "revoked", "newer", "changed", "archived", "erased", "unknown"])
def test_a_link_that_ended_says_the_same_to_all_and_names_nobody(account, manager, maja, ended):
    path = link_to(maja, "confirm", manager)
    match ended:
        case "expired":
            ContactLink.objects.update(expires_at=timezone.now())
        case "revoked":
            assert asking.revoke_links(maja, actor=manager) == 1
        case "newer":
            asking.send_link(maja, "confirm", actor=manager)
        case "changed":
            services.change_contact(maja, {"email": "new@lindgren.example"}, actor=manager)
        case "archived":
            account.status = "archived"
            account.save()
        case "erased":
            maja.delete()
        case "unknown":
            path = "/about-me/ssk_nothing/"
    before = everything()
    for answer in (
        Client().get(path),
        press(path, "yes"),
        press(path, "disown"),
        press(path, "code", code="1"),
    ):
        assert answer.status_code == 404
        text = answer.content.decode()
        assert "opens nothing any more" in text
        assert "Maja" not in text
        assert "Lindgren" not in text
    assert everything() == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"phone": "+46709999999"}, "+46709999999"),
        ({"roles": ["emergency"]}, "emergency"),
        ({"authority": "spend"}, "decides to delete or to spend"),
        ({"name": "Maja Berg"}, "Maja Berg"),
    ],
)
def test_nobody_confirms_what_they_did_not_see(maja, manager, changes, says):
    path = link_to(maja, "confirm", manager)
    seen = shown(path)
    services.change_contact(maja, changes, actor=manager)
    before = everything()
    for given in (seen, "", "rubbish é"):
        answer = press(path, "yes", seen=given)
        text = answer.content.decode()
        assert answer.status_code == 409
        assert "changed since this page was opened" in text
    # Shown anew: what is there now can be confirmed with the next press.
    assert says in text
    assert everything() == before
    maja.refresh_from_db()
    assert maja.confirmed_on is None
    assert press(path, "yes", seen=shown(path)).status_code == 200
    maja.refresh_from_db()
    assert maja.confirmed_on is not None


def test_nobody_proves_the_mailbox_or_the_number_of_somebody_else_than_was_shown(maja, manager):
    paths = [link_to(maja, "prove", manager), link_to(maja, "see", manager)]
    seen = [shown(path) for path in paths[:1]]
    code = asking.make_code(maja, actor=manager)
    seen.append(shown(paths[1]))
    services.change_contact(maja, {"name": "Nils Berg"}, actor=manager)
    before = everything()
    assert press(paths[0], "yes", seen=seen[0]).status_code == 409
    assert press(paths[1], "code", code=code, seen=seen[1]).status_code == 409
    assert everything() == before
    assert "Nils Berg" in press(paths[0], "yes", seen="").content.decode()
    # What the page does not show may change meanwhile.
    services.change_contact(maja, {"title": "Head of shop"}, actor=manager)
    assert press(paths[0], "yes").status_code == 200
    assert press(paths[1], "code", code=code).status_code == 200


@pytest.mark.parametrize("use", ["prove", "confirm", "see"])
def test_a_link_stays_dead_when_the_address_is_changed_back(maja, manager, use):
    path = link_to(maja, use, manager)
    code = asking.make_code(maja, actor=manager)
    was = {"email": maja.email, "phone": maja.phone}
    for changes in ({"email": "new@lindgren.example", "phone": "+46709999999"}, was):
        services.change_contact(maja, changes, actor=manager)
    assert Client().get(path).status_code == 404
    assert press(path, "yes", seen=asking.shown_by(ContactLink.objects.get())).status_code == 404
    assert not ChannelProof.objects.exists()
    # Nor does the code that was read out on the number before.
    fresh = link_to(Contact.objects.get(), "see")
    assert press(fresh, "code", code=code).status_code == 422


def test_a_link_that_waits_to_be_sent_is_not_sent_once_the_address_was_changed_even_where_another_has_it(
    account, maja, manager
):
    make.contact(account, "Reception", email=maja.email)
    asking.send_link(maja, "confirm", actor=None)
    services.change_contact(maja, {"email": "new@lindgren.example"}, actor=manager)
    assert [one.mail_state for one in Message.objects.all()] == ["withdrawn"]


def test_trying_links_at_will_is_held_back(monkeypatch):
    monkeypatch.setattr("accounts.throttle.LINKS_PER_ADDRESS", 3)
    answers = [Client().get(f"/about-me/ssk_{number}/") for number in range(5)]
    assert [one.status_code for one in answers] == [404, 404, 404, 429, 429]
    says = answers[-1].content.decode()
    assert (
        "the limit of your internet address, for everybody behind it together. Come again in 15 minutes"
        in says
    )
    assert "Wait a minute" not in says


def test_the_page_of_a_link_has_the_times_of_the_mail(maja, manager):
    Contact.objects.filter(pk=maja.pk).update(time_zone="Asia/Tokyo")
    path = link_to(maja, "see", manager)
    ends = ContactLink.objects.get().expires_at.astimezone(ZoneInfo("Asia/Tokyo"))
    shown = Client().get(path).content.decode()
    assert f"{ends:%Y-%m-%d %H:%M} JST" in shown
    assert " UTC" not in shown


def test_nobody_is_mailed_at_will(account, manager, maja, monkeypatch):
    for _ in range(asking.PER_CONTACT_A_DAY):
        asking.send_link(maja, "see", actor=manager)
    with pytest.raises(TooOften):
        asking.send_link(maja, "see", actor=manager)
    monkeypatch.setattr(asking, "PER_ACCOUNT_AN_HOUR", 5)
    with pytest.raises(TooOften):
        asking.send_link(make.contact(account, "Bo", email="bo@x.example"), "see", actor=manager)
    asking.send_link(make.contact(make.account(), "Cy"), "see", actor=manager)


def test_no_link_goes_where_no_mail_arrives(account, manager):
    for fields in ({"email": ""}, {"bouncing_since": timezone.now()}):
        with pytest.raises(Refused):
            asking.send_link(make.contact(account, **fields), "prove", actor=manager)


def test_of_a_link_only_a_keyed_hash_is_kept(maja, manager):
    path = link_to(maja, "prove", manager)
    token = path.split("/")[2]
    assert token.startswith("ssk_")
    with connection.cursor() as cursor:
        for model in (ContactLink, AuditEntry, ContactUse):
            cursor.execute(f'SELECT t::text FROM "{model._meta.db_table}" t')
            assert not any(token in row[0] for row in cursor.fetchall())


# --- a code on the phone -----------------------------------------------------------------------------------


def test_a_code_read_out_on_the_phone_proves_the_number(maja, manager):
    path = link_to(maja, "see", manager)
    assert "told on the phone" not in Client().get(path).content.decode()
    code = asking.make_code(maja, actor=manager)
    assert "told on the phone" in Client().get(path).content.decode()
    assert press(path, "code", code="no").status_code == 422
    assert "is proven" in press(path, "code", code=f"{code[:3]} {code[3:]}").content.decode()
    (proof,) = ChannelProof.objects.all()
    assert (proof.kind, proof.how, proof.by_name) == ("phone", "code", manager.name)
    assert press(path, "code", code=code).status_code == 422


def test_a_code_ends_after_five_tries_by_time_and_with_the_number(maja, manager):
    path = link_to(maja, "see", manager)
    code = asking.make_code(maja, actor=manager)
    for _ in range(asking.CODE_TRIES):
        press(path, "code", code="000000" if code != "000000" else "1")
    assert press(path, "code", code=code).status_code == 422
    code = asking.make_code(maja, actor=manager)
    PhoneCode.objects.update(expires_at=timezone.now())
    assert press(path, "code", code=code).status_code == 422
    code = asking.make_code(maja, actor=manager)
    services.change_contact(maja, {"phone": "+46709999999"}, actor=manager)
    assert press(path, "code", code=code).status_code == 422
    assert not ChannelProof.objects.exists()


def test_a_code_is_shown_once_to_whoever_made_it(account, manager, maja):
    browser = Client()
    browser.force_login(manager)
    text = browser.post(f"/contacts/{maja.ref}/code/").content.decode()
    assert re.search(r"\d{3} \d{3}", text)
    assert maja.phone in text


# --- freshness ---------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)  # a Monday, four in the morning in Stockholm


def known(account, name, confirmed=None, *, created=timedelta(days=400), **fields):
    contact = make.contact(account, name, email=f"{name.lower()}@x.example", **fields)
    on = None if confirmed is None else NOW.date() - timedelta(days=confirmed)
    Contact.objects.filter(pk=contact.pk).update(created_at=NOW - created, confirmed_on=on)
    return contact


def asked(now=NOW):
    return [contact.name for contact in asking.to_ask(now)]


def test_who_is_due_is_asked_and_who_is_not_is_left_alone(account):
    known(account, "Fresh", 90)
    known(account, "Due", 91)
    known(account, "Stale", 181)
    known(account, "New", created=timedelta(hours=23))
    known(account, "Never", created=timedelta(hours=25))
    known(account, "Bounces", 200, bouncing_since=NOW)
    known(account, "Gone", 200, valid_until=NOW.date() - timedelta(days=1))
    known(account, "Nothing", 200, roles=[])
    known(make.account(status="archived"), "Archived", 200)
    assert asked() == ["Due", "Stale", "Never"]


def test_one_is_asked_once_as_due_once_as_stale_and_then_every_ninety_days(account):
    contact = known(account, "Ada", 91)
    days = []
    for day in range(300):
        now = NOW + timedelta(days=day)
        if asking.ask_due(now):
            days.append(day)
    # Day 90 makes it stale (181 days): asked again there, then 90 days later.
    assert days == [0, 90, 181, 272]
    assert ContactLink.objects.filter(contact=contact, revoked_at__isnull=True).count() == 1


def test_the_asking_mail_waits_for_the_persons_own_daytime(account):
    known(account, "Ada", 91, time_zone="Europe/Stockholm")
    known(account, "Bo", 91, time_zone="America/New_York")
    make.member(account, "editor", "Eve", time_zone="UTC")
    import time_machine

    with time_machine.travel(NOW, tick=False):
        ask_contacts()
        ask_contacts()
    mails = Message.objects.filter(purpose="contact_confirm")
    assert sorted(mail.due_at for mail in mails) == [
        datetime(2026, 11, 23, 7, tzinfo=UTC),  # 08:00 in Stockholm
        datetime(2026, 11, 23, 13, tzinfo=UTC),  # 08:00 in New York
    ]
    # The customer's own people are asked once, for the whole list.
    assert Message.objects.filter(purpose="contacts_due").count() == 1


def test_a_reminder_of_which_nobody_knows_the_end_is_not_repeated():
    from portal.notify.registry import REPEATED_IN_DOUBT, purpose_of

    for use in ("prove", "confirm", "see"):
        assert purpose_of(f"contact_{use}").kind not in REPEATED_IN_DOUBT
        assert purpose_of(f"contact_{use}").is_secret


def ticks(page):
    """The boxes of the page that confirms a list: what each sends, by the contact's ref."""
    found = re.findall(r'name="contact" value="([^"]+)"', page.content.decode())
    return {value.split()[0]: value for value in found}


def test_what_changed_since_the_list_was_shown_is_not_confirmed_but_shown_anew(account):
    ada, bo = make.contact(account, "Ada", phone="+46700000001"), make.contact(account, "Bo")
    browser = Client()
    browser.force_login(make.member(account, "editor", "Eve"))
    path = f"/accounts/{account.ref}/contacts/confirm/"
    for change in (
        {"phone": "+46700000002"},
        {"email": "other@x.example"},
        {"name": "Ada Holm"},
        {"roles": ["billing"]},
        {"authority": "spend"},
    ):
        shown = list(ticks(browser.get(path)).values())
        Contact.objects.filter(pk=ada.pk).update(**change)
        answer = browser.post(path, {"contact": shown})
        assert answer.status_code == 409
        text = answer.content.decode()
        assert "Changed since the page was opened: Ada" in text
        assert text.count("changed meanwhile") == 1
        assert not Contact.objects.exclude(confirmed_on=None).exists()
    assert "+46700000002" in text
    browser.post(path, {"contact": list(ticks(answer).values())})
    assert Contact.objects.exclude(confirmed_on=None).count() == 2
    assert browser.post(path, {"contact": [str(bo.ref)]}).status_code == 409


def test_whoever_said_that_it_is_not_them_is_not_confirmed_with_the_list(account, maja, manager):
    browser = Client()
    browser.force_login(manager)
    path = f"/accounts/{account.ref}/contacts/confirm/"
    shown = list(ticks(browser.get(path)).values())
    press(link_to(maja, "confirm"), "disown")
    assert ticks(browser.get(path)) == {}
    answer = browser.post(path, {"contact": shown})
    assert answer.status_code == 422
    assert "Their mailbox says that it is not them: Maja Lindgren" in answer.content.decode()
    maja.refresh_from_db()
    assert maja.confirmed_on is None


def test_the_customer_confirms_the_whole_list_on_one_page(account):
    people = [make.contact(account, name) for name in ("Ada", "Bo", "Cy")]
    browser = Client()
    editor = make.member(account, "editor", "Eve")
    browser.force_login(editor)
    path = f"/accounts/{account.ref}/contacts/confirm/"
    shown = ticks(browser.get(path))
    assert set(shown) == {str(one.ref) for one in people}
    picked = [shown[str(one.ref)] for one in people[:2]]
    text = browser.post(path, {"contact": picked}, follow=True).content.decode()
    assert "2 contacts are confirmed" in text
    assert sorted(Contact.objects.exclude(confirmed_on=None).values_list("name", flat=True)) == ["Ada", "Bo"]
    assert RoleConfirmation.objects.filter(by_ref=str(editor.ref)).count() == 2
    stranger = make.contact(make.account())
    for refs in ([str(stranger.ref)], ["x"], []):
        assert browser.post(path, {"contact": refs}).status_code == 422
    assert Contact.objects.get(pk=stranger.pk).confirmed_on is None


# --- mail that came back -----------------------------------------------------------------------------------

SECRET = "a-secret-of-the-mail-system-0123456789"


@pytest.fixture
def mail_system(settings):
    settings.MAIL_BOUNCE_SECRET = SECRET

    def send(body, secret=SECRET):
        headers = {"HTTP_AUTHORIZATION": f"Bearer {secret}"} if secret else {}
        return Client().post("/mail/bounces/", json.dumps(body), content_type="application/json", **headers)

    return send


def test_a_returned_mail_marks_the_contact_of_that_account_alone_and_tells_its_launch_managers(
    account, manager, maja, mail_system
):
    elsewhere = make.contact(make.account(), email=maja.email)
    link_to(maja, "prove", manager)
    message = Message.objects.get(purpose="contact_prove")
    body = {"message_id": f"<{message.message_id}>", "says": "550 no such mailbox"}
    assert mail_system(body).status_code == 204
    maja.refresh_from_db()
    assert maja.bounce_says == "550 no such mailbox"
    assert selectors.freshness_of(maja, today=date.today()) == "bouncing"
    assert Contact.objects.get(pk=elsewhere.pk).bouncing_since is None
    (told,) = Message.objects.filter(purpose="mail_returned")
    assert told.user == manager
    assert mail_system(body).status_code == 204
    assert AuditEntry.objects.filter(what="contact.bounced").count() == 1
    # A changed address has not bounced.
    services.change_contact(maja, {"email": "new@lindgren.example"}, actor=manager)
    assert Contact.objects.get(pk=maja.pk).bouncing_since is None


def come_back(contact, actor=None):
    link_to(contact, "confirm", actor)
    message = Message.objects.filter(purpose="contact_confirm").latest("pk")
    assert asking.mail_came_back(message.message_id, "550 no such mailbox")
    return Contact.objects.get(pk=contact.pk)


def standing_of(contact):
    return selectors.standings([contact])[contact.pk]


def test_a_mailbox_from_which_mail_comes_back_proves_nobody(account, maja, manager):
    Contact.objects.update(hours="around_the_clock")
    bo = make.contact(account, "Bo", email="bo@x.example", roles=["technical"], hours="around_the_clock")
    services.prove_channel(bo, kind="phone", value=bo.phone, how="call", actor=manager)
    services.prove_channel(maja, kind="mail", value=maja.email, how="link", actor=None)
    assert selectors.can_begin(account, timezone.now()).is_allowed
    maja = come_back(maja)
    assert maja.phone
    assert (standing_of(maja).mail, standing_of(maja).is_proven) == (None, False)
    now = timezone.now()
    seen = selectors.coverage_seen(account, now)
    assert (seen["may_begin"], [gap.code for gap in seen["begin_gaps"]]) == (False, ["unproven_primary"])
    assert "unproven_primary" in [gap.code for gap in selectors.coverage_of(account, now)]
    assert [one.is_proven for one in selectors.call_order(account, "primary", now)] == [False]
    browser = Client()
    browser.force_login(manager)
    read = browser.get(f"/api/v1/contacts/{maja.ref}").json()
    assert (read["is_proven"], read["mail_proven_at"]) == (False, None)
    # Its number is another channel.
    services.prove_channel(maja, kind="phone", value=maja.phone, how="call", actor=manager)
    assert standing_of(maja).is_proven
    assert selectors.can_begin(account, timezone.now()).is_allowed


def test_what_came_back_is_unproven_until_answered_anew_also_after_a_change_and_back(maja, manager):
    services.prove_channel(maja, kind="mail", value=maja.email, how="link", actor=None)
    maja, email = come_back(maja), maja.email
    for changed in ("new@lindgren.example", email):
        maja = services.change_contact(maja, {"email": changed}, actor=manager)
    assert maja.bouncing_since is None
    assert not standing_of(maja).is_proven
    press(link_to(maja, "prove"), "yes")
    assert standing_of(Contact.objects.get()).is_proven


def test_a_mailbox_that_says_this_is_not_me_proves_nobody(maja, manager):
    services.prove_channel(maja, kind="mail", value=maja.email, how="link", actor=None)
    press(link_to(maja, "confirm"), "disown")
    maja = Contact.objects.get()
    assert not standing_of(maja).is_proven
    services.keep_contact(maja, actor=manager, reason="An assistant answered by mistake.")
    assert standing_of(Contact.objects.get()).is_proven


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [
        ({"message_id": "<nobody@here>"}, SECRET, 404),
        ({"message_id": "<nobody@here>"}, "wrong", 401),
        ({"message_id": "<nobody@here>"}, "", 401),
        ([], SECRET, 422),
        ({"message_id": 7}, SECRET, 422),
        ({"message_id": "x", "says": "y" * 30_000}, SECRET, 413),
    ],
)
def test_what_the_mail_system_may_not_say_is_refused(mail_system, body, secret, status):
    assert mail_system(body, secret).status_code == status


def test_without_a_secret_nobody_is_listened_to_and_a_short_one_is_refused_at_start(settings):
    assert Client().post("/mail/bounces/", "{}", content_type="application/json").status_code == 404
    settings.MAIL_BOUNCE_SECRET = "short"
    assert "portal.E048" in [one.id for one in what_is_wrong()]
    settings.MAIL_BOUNCE_SECRET = SECRET
    assert "portal.E048" not in [one.id for one in what_is_wrong()]


# --- what is held ------------------------------------------------------------------------------------------


def test_the_person_reads_all_that_is_held_who_used_it_and_why(account, manager, maja):
    services.change_contact(
        maja, {"notes": "Knows the load balancer.", "days_off": [date(2026, 12, 23)]}, actor=manager
    )
    services.confirm_contact(maja, actor=manager, on=date(2026, 11, 20))
    services.prove_channel(maja, kind="phone", value=maja.phone, how="call", actor=manager)
    selectors.record_use(
        [maja], account=account, purpose_reason="export for the audit", actor=manager, way="export"
    )
    stranger = make.contact(make.account("Elsewhere"), email=maja.email, title="Secret title")
    selectors.record_use(
        [stranger], account=stranger.account, purpose_reason="of another account", actor=None
    )
    text = Client().get(link_to(maja, "see", manager)).content.decode()
    for word in (
        "Maja Lindgren", maja.phone, maja.email, "Knows the load balancer.", "2026-12-23", "export for the audit",
        "Jonas Berg", "Contact changed", "confirmed in the portal", "phone number proven",
    ):  # fmt: skip
        assert word in text, word
    assert "of another account" not in text
    assert "Secret title" not in text
    # The mail with the link is a use itself.
    assert "sent a link to what is held" in text


def test_reading_what_is_held_takes_a_stated_number_of_queries(maja, manager, django_assert_max_num_queries):
    path = link_to(maja, "see", manager)
    for number in range(10):
        selectors.record_use([maja], account=maja.account, purpose_reason=f"call {number}", actor=manager)
    with django_assert_max_num_queries(16):
        Client().get(path)


def test_this_is_not_me_stops_the_mails_and_tells_those_who_look_after_the_account(account, manager, maja):
    admin = make.member(account, "admin", "Ada")
    path = link_to(maja, "see", manager)
    assert "was passed on" in press(path, "disown", text="I left in May").content.decode()
    maja.refresh_from_db()
    assert (maja.disowned_at is not None, maja.bouncing_since) == (True, None)
    assert maja.disowned_says == "I left in May"
    assert not maja.takes_mail
    assert Client().get(path).status_code == 404
    with pytest.raises(Refused, match="this is not me"):
        asking.send_link(maja, "see", actor=manager)
    told = Message.objects.filter(purpose="contact_disowned")
    assert {row.user for row in told} == {manager, admin}
    assert Contact.objects.filter(pk=maja.pk).exists()  # erasing stays with an admin


# --- support only ------------------------------------------------------------------------------------------


def test_whoever_writes_to_a_contact_says_for_what_support_and_it_is_logged_once(account, maja):
    one = Recipient(address=maja.email, name=maja.name, person=maja)
    told = {
        "subject_ref": "run:1",
        "context": {"who": "x", "what": "x", "says": "x", "url": "/"},
        "account": account,
    }
    with pytest.raises(ValueError, match="for what support"):
        tell_all("mail_returned", [one], **told)
    with pytest.raises(ValueError, match="for what support"):
        tell("mail_returned", address=maja.email, person=maja, reason=" ", **told)
    assert not Message.objects.exists()
    for _ in range(2):
        tell_all("mail_returned", [one], reason="the site is in danger", **told)
    (use,) = ContactUse.objects.all()
    assert (use.way, use.by_ref, use.contact_ids) == ("mail", "", [maja.pk])
    assert use.reason == "A mail could not be delivered: the site is in danger"


def test_the_emergency_audience_is_the_order_of_call_without_those_whom_mail_does_not_reach(account):
    from portal.notify.registry import audience

    make.contact(account, "Ada", roles=["emergency"], email="a@x.example", role_orders={"emergency": 2})
    make.contact(account, "Bo", roles=["emergency"], email="b@x.example")
    make.contact(account, "Cy", roles=["emergency"], email="c@x.example", bouncing_since=timezone.now())
    make.contact(account, "Dee", roles=["emergency"], email="d@x.example", valid_until=date(2020, 1, 1))
    assert [one.name for one in audience("emergency", account)] == ["Bo", "Ada"]


# --- erase -------------------------------------------------------------------------------------------------


def fill(account, manager, maja):
    from accounts.contacts import coverage_services, roster_services

    services.change_contact(
        maja,
        {
            "more_phones": ["+46812345678"],
            "organization": "Zebra Trading",
            "external_id": "zebra-7",
            "notes": "Zebras",
        },
        actor=manager,
    )
    services.prove_channel(
        maja, kind="phone", value=maja.phone, how="call", actor=manager, reason="Maja Lindgren answered"
    )
    press(link_to(maja, "confirm", manager), "yes")
    asking.make_code(maja, actor=manager)
    selectors.record_use([maja], account=account, purpose_reason="called Maja Lindgren", actor=manager)
    roster_services.set_rotation(
        account,
        {"name": "On call", "starts_on": date(2026, 11, 2), "hand_overs": [{"day": 0, "at": "09:00"}]},
        members=[maja], roles=["emergency"], actor=manager,
    )  # fmt: skip
    roster_services.set_party(
        account, {"kind": "agency", "name": "Yak Studio", "phone": "+46855555555"}, actor=manager
    )
    lead = make.launch_manager(account.team, "Lena Holm", role="lead")
    coverage_services.give_override(
        account,
        reason="Maja Lindgren is away",
        expires_at=timezone.now() + timedelta(hours=1),
        actor=lead,
    )


def standing(*words):
    """Where in the whole database a word stands in the clear."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT t::text FROM "{model._meta.db_table}" t')
            found += [(model.__name__, word) for (row,) in cursor.fetchall() for word in words if word in row]
    return found


WORDS = ("Maja Lindgren", "maja@lindgren.example", "+46701234567", "+46812345678", "Zebra", "zebra-7")


def test_erasing_a_person_leaves_nothing_of_them_in_any_table(account, manager, maja):
    admin = make.member(account, "admin", "Ada")
    fill(account, manager, maja)
    assert standing("Zebra Trading")
    erase_contact(account, maja.ref, actor=admin, reason="asked for it")
    assert standing(*WORDS) == []
    for model in (ChannelProof, RoleConfirmation, ContactLink, PhoneCode):
        assert not model.objects.exists()
    # What was done stays, nameless.
    assert "erased person" in ContactUse.objects.filter(way="other").get().reason
    assert "erased person" in selectors.override_at(account, timezone.now()).reason


def test_erasing_an_account_takes_other_parties_rotations_and_uses_with_it(account, manager, maja):
    admin = make.member(account, "admin", "Ada")
    fill(account, manager, maja)
    erase_account(account, typed_name=account.name, actor=admin, reason="contract ended")
    assert standing(*WORDS, "Yak Studio", "+46855555555") == []
    assert not ContactUse.objects.exists()


def test_erasing_a_launch_manager_takes_them_off_the_roster_and_out_of_what_they_logged(
    account, manager, maja
):
    from accounts.contacts import roster_services
    from accounts.erasure import erase_person

    make.launch_manager(account.team, "Lena Holm", role="lead")
    services.prove_channel(maja, kind="phone", value=maja.phone, how="call", actor=manager)
    roster_services.set_team_roster(
        account.team,
        {"name": "Duty", "starts_on": date(2026, 11, 2), "hand_overs": [{"day": 0, "at": "09:00"}]},
        members=[(manager, "+46811111111")], number="", bridge="", actor=manager,
    )  # fmt: skip
    erase_person(manager, actor=None, reason="left")
    assert standing("Jonas Berg", "+46811111111") == []
    assert "erased person" in ChannelProof.objects.all()[0].by_name
    assert selectors.team_duty(account, timezone.now()).now is None


def test_what_was_said_with_this_is_not_me_stands_on_the_contact_and_is_no_returned_mail(
    account, manager, maja
):
    press(link_to(maja, "see", manager), "disown", text="I left in May")
    browser = Client()
    browser.force_login(manager)
    for path in (f"/contacts/{maja.ref}/", f"/accounts/{account.ref}/contacts/confirm/"):
        text = browser.get(path).content.decode()
        assert "I left in May" in text
        assert "this is not me" in text
        assert "mail comes back" not in text.lower()
    account_page = browser.get(f"/accounts/{account.ref}/").content.decode()
    assert "this is not me" in account_page
    assert "Mail to 1 contact" not in account_page
    found = browser.get(f"/api/v1/contacts/{maja.ref}").json()
    assert (found["freshness"], found["disowned_says"], found["bouncing_since"]) == (
        "disowned",
        "I left in May",
        None,
    )
    listed = browser.get(f"/api/v1/accounts/{account.ref}/contacts?freshness=disowned").json()["results"]
    assert [one["ref"] for one in listed] == [str(maja.ref)]
    assert not browser.get(f"/api/v1/accounts/{account.ref}/contacts?freshness=bouncing").json()["results"]


def test_this_is_not_me_is_settled_by_keeping_with_a_reason(account, manager, maja):
    browser = Client()
    browser.force_login(manager)
    path = f"/contacts/{maja.ref}/keep/"
    assert browser.post(path, {"reason": "Called him"}).status_code == 422  # nothing is said yet
    press(link_to(maja, "see", manager), "disown", text="not me")
    assert browser.post(path, {"reason": " "}).status_code == 422
    assert browser.post(path, {"reason": "Called: an assistant reads it"}).status_code == 302
    maja.refresh_from_db()
    assert (maja.disowned_at, maja.disowned_says, maja.takes_mail) == (None, "", True)
    entry = AuditEntry.objects.get(what="contact.kept")
    assert entry.reason == "Called: an assistant reads it"
    assert "this is not me" not in browser.get(f"/contacts/{maja.ref}/").content.decode()


@pytest.mark.parametrize("changes", [{"email": "per@x.example"}, {"name": "Per Berg"}])
def test_this_is_not_me_is_settled_by_another_person_or_mailbox(manager, maja, changes):
    press(link_to(maja, "see", manager), "disown", text="not me")
    services.change_contact(maja, {"title": "Head"}, actor=manager)
    maja.refresh_from_db()
    assert maja.disowned_at is not None
    services.change_contact(maja, changes, actor=manager)
    maja.refresh_from_db()
    assert (maja.disowned_at, maja.disowned_says) == (None, "")


def test_the_api_confirms_a_list_only_as_it_was_read(account, manager, maja):
    browser = Client()
    browser.force_login(manager)
    path = f"/api/v1/accounts/{account.ref}/contacts"

    def confirm(**body):
        return browser.post(
            f"{path}/confirm",
            json.dumps({"contacts": [str(maja.ref)], **body}),
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY="one",
        )

    (row,) = browser.get(path).json()["results"]
    assert confirm().status_code == 422
    assert confirm(seen={}).status_code == 422
    assert confirm(seen={"x": row["seen"]}).status_code == 422
    services.change_contact(maja, {"phone": "+46701234599"}, actor=manager)
    assert confirm(seen={str(maja.ref): row["seen"]}).status_code == 409
    maja.refresh_from_db()
    assert maja.confirmed_on is None
    (row,) = browser.get(path).json()["results"]
    assert confirm(seen={str(maja.ref): row["seen"]}).json() == {"confirmed": 1}


def test_who_was_read_is_on_record_whatever_of_them_was_asked_for(account, manager, maja):
    browser = Client()
    browser.force_login(manager)
    browser.get(f"/api/v1/accounts/{account.ref}/contacts?fields=name")
    assert ContactUse.objects.get().contact_ids == [maja.pk]
