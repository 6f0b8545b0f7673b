"""Support cases: opened by people and by halted runs, told in the order of rank, answered by page, API and mail."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from email.message import EmailMessage

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.cases import mailing, selectors, services
from accounts.cases.mail import MOST_BYTES
from accounts.cases.models import CaseAttachment, CaseEntry, SupportCase
from accounts.contacts.models import ChannelProof
from accounts.contacts.proving import digest_of
from accounts.erasure import erase_account, erase_contact, erase_person
from accounts.services import archive_account
from portal import checks, support
from portal.audit.models import AuditEntry
from portal.audit.subjects import erased_name
from portal.errors import NotPermitted, Refused, StaleState, TooOften
from portal.events.models import Event
from portal.notify.models import Message
from portal.notify.sending import render
from portal.runs.registry import Change, say_change
from tests import factories as make
from tests.access_table import _run

pytestmark = pytest.mark.django_db
BASE, SECRET = "support@in.portal.example", "s" * 40


@pytest.fixture
def desk():
    class Desk:
        account = make.account("Lindgren Outdoor")
        manager = make.launch_manager(account.team, "Jonas Berg")
        lead = make.launch_manager(account.team, "Lena Fors", role="lead")
        admin = make.member(account, "admin", "Maja Lindgren")
        editor = make.member(account, "editor", "Edda Ek")
        viewer = make.member(account, "viewer", "Vera Vik")

        def opened(self, by=None, **fields):
            values = {"summary": "Web-12 does not drain", "severity": "decide_today", **fields}
            return services.open_case(self.account, actor=by or self.viewer, **values)

    return Desk()


def a_run(account, by):
    """A run of the account, as the access matrix makes one."""

    class World:
        people = {"launch_manager": by, "editor": by, "admin": by}
        _made = {}

        def once(self, name, maker):
            if name not in self._made:
                self._made[name] = maker()
            return self._made[name]

    World.account = account
    return _run(World())


@pytest.fixture
def mails(settings):
    settings.SUPPORT_MAIL_ADDRESS, settings.SUPPORT_MAIL_SECRET = BASE, SECRET


def told(case):
    return [(one["as"], one["name"]) for one in services.told_rows(case.account, selectors.thread(case))]


def entries(case, kind):
    return list(CaseEntry.objects.filter(case=case, kind=kind).order_by("pk"))


# --- opening and telling -----------------------------------------------------------------------------------


def test_a_viewer_may_call_for_help_and_the_team_is_told_leads_last(desk):
    case = desk.opened(severity="safe_waiting", text="It has had 12 connections for an hour.")
    assert told(case) == [("launch_manager", "Jonas Berg"), ("lead", "Lena Fors")]
    mails = Message.objects.filter(subject_ref=f"case:{case.ref}")
    assert {row.user_id for row in mails} == {desk.manager.pk, desk.lead.pk}
    assert "12 connections" in render(mails.first()).text
    assert Event.objects.get(type="case.opened").data["severity"] == "safe_waiting"
    assert AuditEntry.objects.get(what="case.opened").actor_name == "Vera Vik"


def test_only_a_site_in_danger_wakes_the_emergency_contacts_in_their_order(desk):
    make.contact(desk.account, "Second", email="second@x.example", roles=["emergency"], escalation_order=2)
    make.contact(desk.account, "First", email="first@x.example", roles=["emergency"], escalation_order=1)
    case = desk.opened(severity="decide_today")
    assert ("emergency", "First") not in told(case)
    graver = services.set_severity(case, "site_in_danger", actor=desk.editor)
    assert told(graver)[-2:] == [("emergency", "First"), ("emergency", "Second")]
    danger = Message.objects.filter(purpose="case_danger", subject_ref=f"case:{case.ref}")
    assert danger.filter(user=None).count() == 2
    assert all(row.urgency == "now" for row in danger)


def test_what_it_is_about_is_frozen_as_it_is_without_secrets(desk):
    connection = make.connection(desk.account, api_key="the-key-of-lindgren")
    value = {"journal": f"sent with {connection.api_key}", "headers": {"X-Auth-Token": "abc"}, "n": 1}
    support.register_subject(
        "test",
        support.Subject(
            find=lambda account, ref: support.About("Test 1", "/accounts/"),
            gather=lambda account, ref: [support.Part("state", "The state", value)],
        ),
    )
    try:
        case = desk.opened(about_kind="test", about_ref="1")
    finally:
        support._subjects.pop("test")
    kept = CaseAttachment.objects.get(case=case)
    assert json.loads(kept.content) == {
        "journal": "sent with •••",
        "headers": {"X-Auth-Token": "•••"},
        "n": 1,
    }
    assert services.is_unchanged(kept)
    CaseAttachment.objects.update(content='{"n":2}')
    assert not services.is_unchanged(CaseAttachment.objects.get())


def test_a_run_and_a_plan_of_the_account_can_be_what_it_is_about_and_anothers_cannot(desk):
    run = a_run(desk.account, desk.manager)
    case = desk.opened(about_kind="run", about_ref=str(run.ref))
    keys = set(case.attachments.values_list("key", flat=True))
    assert keys == {"run", "plan", "journal", "provider", "commands", "pool"}
    with pytest.raises(Refused, match="not there"):
        services.open_case(
            make.account("Elsewhere", of=desk.account.team),
            actor=desk.lead,
            summary="x",
            severity="safe_waiting",
            about_kind="run",
            about_ref=str(run.ref),
        )


def test_a_state_that_cannot_be_read_keeps_nobody_from_help(desk):
    def broken(account, ref):
        raise LookupError("gone")

    support.register_subject("test", support.Subject(lambda account, ref: support.About("x", "/"), broken))
    try:
        case = desk.opened(about_kind="test", about_ref="1")
    finally:
        support._subjects.pop("test")
    assert "could not be read" in case.attachments.get().content


def test_a_run_that_halts_with_the_site_in_danger_opens_one_by_itself_and_only_one(desk):
    run = a_run(desk.account, desk.manager)
    emergency = make.contact(desk.account, "First", email="first@x.example", roles=["emergency"])
    halt = {"halt_code": "probes_fail", "halt_rank": "site_in_danger", "halt_says": "Probes fail."}
    type(run).objects.filter(pk=run.pk).update(
        status="halted", halted_at=timezone.now(), in_charge=desk.manager, **halt
    )
    run.refresh_from_db()
    for _ in range(2):
        say_change(run, Change(7, halts=True))
    case = SupportCase.objects.get()
    assert case.opened_by is None
    assert case.attachments.filter(key="journal").exists()
    assert told(case) == [
        ("in_charge", "Jonas Berg"),
        ("lead", "Lena Fors"),
        ("emergency", emergency.name),
    ]
    for _ in range(2):
        say_change(run, Change(9, halts=True))
    assert SupportCase.objects.count() == 1, "the same run again, while its case is open"
    assert [one.data for one in entries(case, "reply")] == [{"halt": 9}]
    # Who gets the halt's own mail at this moment gets no second one.
    assert {row.user_id for row in Message.objects.filter(purpose="case_danger")} == {desk.lead.pk}
    assert Message.objects.filter(purpose="run_danger", user=desk.manager).exists()


@pytest.mark.parametrize(
    ("rank", "rehearsal", "halts"),
    [("decide_today", False, True), ("site_in_danger", True, True), ("site_in_danger", False, False)],
)
def test_other_halts_and_rehearsals_open_none(desk, rank, rehearsal, halts):
    run = a_run(desk.account, desk.manager)
    run.halt_rank, run.is_rehearsal, run.halt_says = rank, rehearsal, "x"
    assert services.open_for_halted_run(run, Change(7, halts=halts)) is None


def test_a_summary_is_one_line_and_a_text_turns_no_writing(desk):
    for wrong in ({"summary": " "}, {"summary": "x" * 201}, {"summary": "a\u202eb"}, {"text": "a\u2066b"}):
        with pytest.raises(Refused):
            desk.opened(**wrong)


def test_a_script_gone_wild_does_not_wake_people_all_night(desk, monkeypatch):
    monkeypatch.setattr(services, "MOST_OPENED_AN_HOUR", 2)
    desk.opened()
    desk.opened()
    with pytest.raises(TooOften):
        desk.opened()
    assert desk.opened(by=desk.editor), "somebody else still gets help"
    SupportCase.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert desk.opened()


def test_a_case_is_found_by_the_number_that_people_say_on_the_phone(desk):
    case = desk.opened()
    # One in 43 begins with eight digits.
    SupportCase.objects.filter(pk=case.pk).update(ref="41371846-fd87-40e1-adab-716366171572")
    case.refresh_from_db()
    find = lambda who: browser_of(who).get("/palette", {"q": case.short}).json()["items"]  # noqa: E731
    assert [one["url"] for one in find(desk.manager)] == [services.url_of(case)]
    assert find(make.member(make.account("Elsewhere"), "admin")) == []


def test_an_archived_account_is_not_changed(desk):
    case = desk.opened()
    archive_account(desk.account, actor=desk.lead, reason="gone")
    for change in (
        lambda: desk.opened(),
        lambda: services.reply(case, actor=desk.editor, text="x"),
        lambda: services.set_status(case, "solved", actor=desk.viewer),
        lambda: services.link_ticket(case, "https://p.example/1", actor=desk.editor),
    ):
        with pytest.raises(Refused, match="archived"):
            change()


# --- answering and moving ----------------------------------------------------------------------------------


def test_answers_are_for_editors_the_team_and_whoever_opened_it(desk):
    case = desk.opened(by=desk.viewer)
    services.reply(case, actor=desk.viewer, text="It is worse now.")
    services.reply(case, actor=desk.editor, text="I see it too.")
    services.reply(case, actor=desk.manager, text="We look at it.")
    other = make.member(desk.account, "viewer", "Otto")
    with pytest.raises(NotPermitted):
        services.reply(case, actor=other, text="x")
    assert [one.by_name for one in entries(case, "reply")] == ["Vera Vik", "Edda Ek", "Jonas Berg"]
    assert [one.is_team for one in entries(case, "reply")] == [False, False, True]
    last = Message.objects.filter(purpose="case_changed", period=str(entries(case, "reply")[-1].ref))
    assert {row.user_id for row in last} == {desk.viewer.pk, desk.editor.pk, desk.lead.pk}
    answered = {
        one["name"]: one["answered_at"] for one in services.told_rows(case.account, selectors.thread(case))
    }
    assert answered["Jonas Berg"] is not None
    assert answered["Lena Fors"] is None


def test_who_was_told_as_a_contact_may_answer_with_the_log_in_of_the_same_address(desk):
    make.contact(desk.account, "Edda Ek", email=desk.editor.email.upper(), roles=["emergency"])
    case = desk.opened(severity="site_in_danger")
    services.reply(case, actor=desk.editor, text="I am on it.")
    (as_contact,) = [
        one for one in services.told_rows(case.account, selectors.thread(case)) if one["as"] == "emergency"
    ]
    assert as_contact["answered_at"] is not None


def test_the_customers_word_gives_a_case_back_to_the_team(desk):
    case = desk.opened()
    services.reply(case, actor=desk.manager, text="Which server?", then="waiting_customer")
    assert SupportCase.objects.get().status == "waiting_customer"
    services.reply(case, actor=desk.manager, text="The new one?")
    assert SupportCase.objects.get().status == "waiting_customer"
    services.reply(case, actor=desk.viewer, text="Web-12.")
    assert SupportCase.objects.get().status == "open"


def test_the_team_and_whoever_opened_it_end_a_case_and_nobody_else(desk):
    case = desk.opened(by=desk.viewer)
    with pytest.raises(NotPermitted, match="ends it"):
        services.set_status(case, "solved", actor=desk.editor)
    services.set_status(case, "solved", actor=desk.viewer)
    assert SupportCase.objects.get().ended_at is not None
    services.set_status(case, "closed", actor=desk.manager)
    with pytest.raises(Refused, match="closed"):
        services.reply(case, actor=desk.viewer, text="Still?")
    services.set_status(case, "open", actor=desk.viewer)
    assert SupportCase.objects.get().ended_at is None


def test_of_two_who_move_a_case_at_once_the_second_is_told(desk):
    case = desk.opened()
    services.set_status(case, "waiting_provider", actor=desk.manager, seen="open")
    with pytest.raises(StaleState):
        services.set_status(case, "waiting_customer", actor=desk.manager, seen="open")


@pytest.mark.parametrize(
    "url",
    ["http://p.example/1", "javascript:alert(1)", "https://u:p@p.example/", "https://", "https://a b/", "x"],
)
def test_a_ticket_is_a_plain_https_address(desk, url):
    with pytest.raises(Refused, match="https"):
        services.link_ticket(desk.opened(), url, actor=desk.manager)


def test_a_ticket_is_shown_with_its_host(desk):
    case = services.link_ticket(desk.opened(), "https://tickets.provider.example/241", actor=desk.manager)
    assert case.ticket_host == "tickets.provider.example"
    assert services.link_ticket(case, "", actor=desk.manager).ticket_url == ""


def test_a_spoken_order_counts_after_a_call_back_on_a_proven_number_or_the_agreed_check(desk):
    case, contact = desk.opened(), make.contact(desk.account, phone="+46701234567", authority="technical")

    def order(**fields):
        return services.record_spoken_order(
            case, actor=desk.manager, contact=contact, kind="put_back", order="Put web-12 back.", **fields
        ).data

    assert not order(check="none")["is_valid"]
    assert order(check="agreed_check")["is_valid"]
    unproven = order(check="call_back", number="+46701234567")
    assert not unproven["is_valid"]
    assert "not proven" in unproven["why"]
    ChannelProof.objects.create(
        contact=contact,
        kind="phone",
        value_digest=digest_of(contact, "phone", "+46701234567"),
        how="code",
        at=timezone.now(),
    )
    assert order(check="call_back", number="+46701234567")["is_valid"]
    assert not order(check="call_back", number="+46700000000")["is_valid"]
    kept = json.dumps([row.data for row in CaseEntry.objects.all()])
    assert "+46701234567" not in kept
    with pytest.raises(NotPermitted):
        services.record_spoken_order(
            case, actor=desk.admin, contact=contact, kind="stop", order="x", check="agreed_check"
        )
    with pytest.raises(Refused, match="not the account's"):
        services.record_spoken_order(
            case,
            actor=desk.manager,
            contact=make.contact(make.account("Elsewhere")),
            kind="stop",
            order="x",
            check="agreed_check",
        )


ORDERS = ["reboot", "put_back", "stop", "technical", "delete", "spend"]


@pytest.mark.parametrize(("authority", "may"), [("inform", []), ("technical", ORDERS[:4]), ("spend", ORDERS)])
def test_a_contact_orders_what_their_authority_covers_and_nothing_of_the_rest_is_kept(desk, authority, may):
    case = desk.opened()
    contact = make.contact(desk.account, "Maja Lindgren", authority=authority)
    for kind in ORDERS:
        fields = {"contact": contact, "kind": kind, "order": "Now, please.", "check": "agreed_check"}
        if kind in may:
            data = services.record_spoken_order(case, actor=desk.manager, read_back=True, **fields).data
            assert (data["kind"], data["is_valid"], data["read_back"]) == (kind, True, True)
        else:
            with pytest.raises(Refused, match="Nothing was kept") as refused:
                services.record_spoken_order(case, actor=desk.manager, **fields)
            assert refused.value.code == "no_authority"
    assert case.entries.filter(kind="spoken_order").count() == len(may)


def test_the_form_of_an_order_asks_for_its_kind_and_the_case_says_it(desk):
    case, browser = desk.opened(), Client()
    browser.force_login(desk.manager)
    contact = make.contact(desk.account, "Maja Lindgren", authority="technical")
    url = f"/cases/{case.ref}/order/"
    body = {"contact": str(contact.ref), "order": "Restart it.", "check": "agreed_check"}
    assert browser.post(url, body).status_code == 422
    refused = browser.post(url, {**body, "kind": "delete"})
    assert refused.status_code == 422
    assert "takes somebody who decides to delete or to spend" in refused.content.decode()
    assert browser.post(url, {**body, "kind": "reboot", "read_back": "on"}).status_code == 302
    page = browser.get(f"/cases/{case.ref}/").content.decode()
    assert "who decides technical matters: reboot, put back, stop: to reboot a server" in page
    assert "It was read back." in page


def test_emergency_contacts_without_mail_are_named_to_be_called_while_a_site_is_in_danger(desk):
    make.contact(desk.account, "Only Phone", email="", phone="+46701234567", roles=["emergency"])
    make.contact(desk.account, "By Mail", email="m@x.example", roles=["emergency"])
    browser = Client()
    browser.force_login(desk.manager)
    page = browser.get(f"/cases/{desk.opened(severity='site_in_danger').ref}/").content.decode()
    called = page[page.index("Not told by mail: call them") :]
    assert "Only Phone" in called
    assert "tel:+46701234567" in called
    assert "By Mail" not in called
    assert f"/accounts/{desk.account.ref}/reach/" in called
    assert "call them" not in browser.get(f"/cases/{desk.opened().ref}/").content.decode()


def test_open_cases_are_given_worst_first(desk):
    late = desk.opened(severity="safe_waiting", summary="Late")
    worst = desk.opened(severity="site_in_danger", summary="Worst")
    done = desk.opened(summary="Done")
    services.set_status(done, "solved", actor=desk.manager)
    assert [one.pk for one in selectors.open_cases_of(desk.account)] == [worst.pk, late.pk]
    assert selectors.open_cases_for(make.member(make.account("Elsewhere"), "admin"), limit=5) == []


# --- erasing -----------------------------------------------------------------------------------------------


def test_whom_a_case_names_is_gone_from_it_when_they_are_erased_and_digests_hold(desk):
    contact = make.contact(
        desk.account,
        "Tora Tallqvist",
        email="tora@x.example",
        roles=["emergency"],
        authority="technical",
    )
    support.register_subject(
        "test",
        support.Subject(
            lambda account, ref: support.About("Call Tora Tallqvist", "/"),
            lambda account, ref: [support.Part("state", "State", {"says": "Tora Tallqvist was called."})],
        ),
    )
    try:
        case = desk.opened(
            by=desk.editor,
            summary="Tora Tallqvist does not answer",
            severity="site_in_danger",
            text="Write to tora@x.example.",
            about_kind="test",
            about_ref="1",
        )
    finally:
        support._subjects.pop("test")
    services.record_spoken_order(
        case,
        actor=desk.manager,
        contact=contact,
        kind="stop",
        order="Tora Tallqvist says stop.",
        check="agreed_check",
    )
    case.refresh_from_db()
    shown = SupportCase.objects.get()
    assert shown.summary == "Tora Tallqvist does not answer"
    assert selectors.shown(case.attachments.get())["says"] == "Tora Tallqvist was called."
    erase_contact(desk.account, contact.ref, actor=desk.admin, reason="asked")
    erase_person(desk.editor, actor=None, reason="asked")
    from django.db import connection

    with connection.cursor() as cursor:
        everything = ""
        for table in (
            "accounts_supportcase",
            "accounts_caseentry",
            "accounts_caseattachment",
            "notify_message",
        ):
            cursor.execute(f"SELECT coalesce(string_agg(row_to_json(t)::text, ''), '') FROM {table} t")
            everything += cursor.fetchone()[0]
    for word in ("Tallqvist", "tora@x.example", "Edda Ek"):
        assert word not in everything
    assert SupportCase.objects.get().summary == f"{erased_name(contact.ref)} does not answer"
    assert entries(case, "opened")[0].by_name == erased_name(desk.editor.ref)
    attachment = case.attachments.get()
    assert services.is_unchanged(attachment)
    assert erased_name(contact.ref) in selectors.shown(attachment)["says"]


def test_with_the_account_go_the_words_of_strangers(desk, mails):
    case = desk.opened()
    take(case, "stranger@else.example", "Call me: Stig Stranger")
    erase_account(desk.account, typed_name=desk.account.name, actor=None, reason="asked")
    entry = CaseEntry.objects.get(is_verified=False)
    assert (entry.sender, entry.message_id) == ("", None)
    assert "Stig" not in entry.text


# --- by mail -----------------------------------------------------------------------------------------------


def raw(case, sender, text, *, to=None, **headers):
    made = EmailMessage()
    made["From"] = sender
    made["To"] = to if to is not None else mailing.reply_address_of(str(case.ref))
    made["Message-ID"] = f"<{uuid.uuid4()}@client.example>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


def take(case, sender, text, **options):
    return mailing.take_in(raw(case, sender, text, **options).as_bytes())


def test_mails_about_a_case_are_answered_to_its_own_address(desk, mails):
    from portal.notify.sending import _mail_of

    case = desk.opened()
    message = Message.objects.filter(user=desk.manager).get()
    mail = _mail_of(message, desk.manager.email)
    assert mailing.reply_address_of(str(case.ref)) in mail["Reply-To"]


def test_an_answer_by_mail_is_the_answer_of_whoever_may_see_the_case(desk, mails):
    case = desk.opened()
    taken = take(case, f"Jonas <{desk.manager.email.upper()}>", "We look.\n\n> quoted\n-- \nJonas")
    assert taken.outcome == "taken"
    entry = entries(case, "reply")[0]
    assert (entry.text, entry.by, entry.via, entry.is_verified) == ("We look.", desk.manager, "mail", True)
    assert Event.objects.filter(type="case.replied").get().data["via"] == "mail"


def test_a_mail_is_found_by_the_message_that_it_answers(desk, mails):
    case = desk.opened()
    ours = Message.objects.get(user=desk.manager).message_id
    taken = take(
        case, desk.manager.email, "We look.", to="support@in.portal.example", In_Reply_To=f"<{ours}>"
    )
    assert (taken.outcome, taken.case) == ("taken", case)


def test_a_strangers_mail_is_kept_as_unverified_and_moves_nothing(desk, mails):
    case = desk.opened()
    services.set_status(case, "waiting_customer", actor=desk.manager)
    foreign = make.member(make.account("Elsewhere"), "admin")
    for sender in ("stranger@else.example", foreign.email):
        assert take(case, sender, "Delete it all.").outcome == "unverified"
    kept = entries(case, "reply")
    assert [one.is_verified for one in kept] == [False, False]
    assert kept[0].by is None
    assert SupportCase.objects.get().status == "waiting_customer"
    page = Client()
    page.force_login(desk.manager)
    assert "Not verified" in page.get(services.url_of(case)).content.decode()


def test_a_viewer_who_may_read_only_is_refused_with_a_sentence(desk, mails):
    case = desk.opened(by=desk.editor)
    taken = take(case, desk.viewer.email, "I think it is fine.")
    assert taken.outcome == "refused"
    assert "Ask an editor, approver or admin of the account to answer it" in taken.says
    assert "open a case of your own" in taken.says
    assert entries(case, "reply") == []


def test_the_same_mail_twice_is_one_answer(desk, mails):
    case = desk.opened()
    mail = raw(case, desk.manager.email, "We look.").as_bytes()
    assert mailing.take_in(mail).outcome == "taken"
    assert mailing.take_in(mail).outcome == "already"
    assert len(entries(case, "reply")) == 1


def test_attachments_are_refused_with_a_sentence_and_the_words_are_kept(desk, mails):
    case = desk.opened()
    made = raw(case, desk.manager.email, "See the picture.")
    made.add_attachment(b"x", maintype="image", subtype="png", filename="a.png")
    taken = mailing.take_in(made.as_bytes())
    assert "1 attachment was not taken in" in taken.says
    entry = entries(case, "reply")[0]
    assert (entry.text, "not taken in" in entry.data["note"]) == ("See the picture.", True)


def test_loops_forged_addresses_floods_and_closed_cases_end_here(desk, mails, settings, monkeypatch):
    case = desk.opened()
    assert take(case, desk.manager.email, "Away.", Auto_Submitted="auto-replied").outcome == "dropped"
    assert take(case, settings.MAIL_FROM, "Loop.").outcome == "dropped"
    forged = mailing.reply_address_of(str(uuid.uuid4()))
    assert take(case, desk.manager.email, "x", to=forged).code == "no_case"
    assert take(case, desk.manager.email, "x", to="support@in.portal.example").code == "no_case"
    monkeypatch.setattr(mailing, "MOST_AN_HOUR", 1)
    assert take(case, desk.manager.email, "One.").outcome == "taken"
    assert take(case, desk.manager.email, "Two.").code == "too_many"
    CaseEntry.objects.update(at=timezone.now() - timedelta(hours=2))
    services.set_status(case, "closed", actor=desk.manager)
    assert take(case, desk.manager.email, "Late.").code == "closed"


def test_the_mail_systems_door_is_closed_without_a_secret_and_to_a_wrong_one(desk, client, settings):
    url = reverse("api-support-mail")

    def hand_in(body, secret=SECRET, kind="message/rfc822"):
        return client.post(url, body, content_type=kind, HTTP_AUTHORIZATION=f"Bearer {secret}")

    assert hand_in(b"x").status_code == 404
    settings.SUPPORT_MAIL_ADDRESS, settings.SUPPORT_MAIL_SECRET = BASE, SECRET
    case = desk.opened()
    mail = raw(case, desk.manager.email, "We look.").as_bytes()
    assert hand_in(mail, "wrong").status_code == 401
    assert hand_in(mail, "").status_code == 401
    assert hand_in(mail, kind="text/plain").status_code == 415
    large = raw(case, desk.manager.email, "See the photo.")
    large.add_attachment(bytes(3_000_000), maintype="image", subtype="jpeg", filename="site.jpg")
    taken = hand_in(large.as_bytes())
    assert (taken.status_code, taken.json()["outcome"]) == (200, "taken")
    assert "1 attachment was not taken in" in taken.json()["says"]
    assert entries(case, "reply").pop().text == "See the photo."
    # 413 would be handed in again for days.
    too_large = hand_in(mail + b"x" * MOST_BYTES)
    assert too_large.status_code == 422
    assert "more than 10 MiB" in too_large.json()["detail"]
    assert hand_in(mail + b"x" * MOST_BYTES, "wrong").status_code == 401
    refused = hand_in(b"nonsense")
    assert refused.status_code == 422
    assert refused.json()["detail"].endswith(".")
    assert hand_in(mail).json()["outcome"] == "taken"
    assert entries(case, "reply")[-1].text == "We look."


def test_half_a_configuration_of_mail_is_refused_at_start(settings):
    def numbers():
        return {number for number, _ in checks.mail_trouble()}

    before = numbers()
    settings.SUPPORT_MAIL_ADDRESS = BASE
    assert numbers() - before == {45}
    settings.SUPPORT_MAIL_SECRET = "short"
    assert numbers() - before == {47}
    settings.SUPPORT_MAIL_ADDRESS, settings.SUPPORT_MAIL_SECRET = "not an address", SECRET
    assert numbers() - before == {46}


# --- pages and API -----------------------------------------------------------------------------------------


def browser_of(user):
    made = Client()
    made.force_login(user)
    return made


def test_help_is_one_click_from_account_run_and_plan_and_prefilled_for_a_halt(desk):
    run = a_run(desk.account, desk.manager)
    type(run).objects.filter(pk=run.pk).update(
        status="halted",
        halt_code="x",
        halt_rank="decide_today",
        halt_says="It waits.",
        halted_at=timezone.now(),
    )
    page = browser_of(desk.viewer)
    url = reverse("accounts:case-open", args=[desk.account.ref])
    assert url in page.get(reverse("accounts:account-detail", args=[desk.account.ref])).content.decode()
    assert (
        f"{url}?about=run:{run.ref}"
        in page.get(reverse("scaledown:run-detail", args=[run.ref])).content.decode()
    )
    form = page.get(f"{url}?about=run:{run.ref}").content.decode()
    assert "stopped by itself" in form
    assert 'value="decide_today"' in form
    made = page.post(url, {"summary": "Help", "severity": "decide_today", "about": f"run:{run.ref}"})
    case = SupportCase.objects.get()
    assert made["Location"] == services.url_of(case)
    shown = page.get(services.url_of(case)).content.decode()
    assert "Jonas Berg" in shown
    commands = case.attachments.get(key="commands")
    told_nothing = page.get(reverse("accounts:case-attachment", args=[commands.ref])).content.decode()
    assert "Nothing at that moment" in told_nothing
    journal = case.attachments.get(key="run")
    assert str(run.ref) in page.get(reverse("accounts:case-attachment", args=[journal.ref])).content.decode()


def test_an_answer_that_is_not_taken_keeps_what_was_typed(desk):
    case = desk.opened(by=desk.editor)
    page = browser_of(desk.editor)
    url = reverse("accounts:case-reply", args=[case.ref])
    assert page.post(url, {"text": ""}).status_code == 422
    assert page.post(url, {"text": "It is fine.", "then": "solved"}).status_code == 302
    assert SupportCase.objects.get().status == "solved"


def test_the_dashboard_shows_open_cases_to_who_sees_the_account(desk):
    desk.opened(summary="Web-12 does not drain")
    assert "Web-12 does not drain" in browser_of(desk.manager).get("/").content.decode()
    other = make.launch_manager(make.team())
    make.account("Elsewhere", of=other.team_memberships.get().team)
    assert "Web-12" not in browser_of(other).get("/").content.decode()


def test_lists_and_thread_cost_the_same_for_few_and_for_many(desk, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    page = browser_of(desk.manager)
    case = desk.opened(by=desk.editor)
    urls = (reverse("accounts:case-list", args=[desk.account.ref]), services.url_of(case))
    costs = []
    for url in urls:
        page.get(url)
        with CaptureQueriesContext(connection) as cost:
            page.get(url)
        costs.append(len(cost))
    for number in range(5):
        services.reply(desk.opened(by=desk.editor), actor=desk.editor, text=f"{number}")
        services.reply(case, actor=desk.editor, text=f"{number}")
    for url, cost in zip(urls, costs, strict=True):
        with django_assert_max_num_queries(cost + 1):
            page.get(url)
    assert max(costs) <= 26


def test_the_whole_way_of_a_case_over_the_api(desk):
    client, team = browser_of(desk.viewer), browser_of(desk.manager)
    url = f"/api/v1/accounts/{desk.account.ref}/cases"

    def send(who, method, path, body, **headers):
        return getattr(who, method)(path, json.dumps(body), content_type="application/json", **headers)

    body = {"summary": "Web-12 does not drain", "severity": "decide_today"}
    made = send(client, "post", url, body, HTTP_IDEMPOTENCY_KEY="a")
    assert made.status_code == 201
    assert send(client, "post", url, body, HTTP_IDEMPOTENCY_KEY="a").json()["ref"] == made.json()["ref"]
    assert SupportCase.objects.count() == 1
    one = f"/api/v1/cases/{made.json()['ref']}"
    assert client.get(f"{url}?status=live&order=rank").json()["results"][0]["number"] == made.json()["number"]
    assert (
        send(team, "post", f"{one}/replies", {"text": "Which?", "then": "waiting_customer"}).status_code
        == 201
    )
    entry = send(client, "post", f"{one}/replies", {"text": "Web-12."}).json()
    assert (entry["by_name"], entry["via"]) == ("Vera Vik", "api")
    assert client.get(one).json()["status"] == "open"
    changed = {"severity": "site_in_danger", "ticket_url": "https://p.example/1"}
    assert send(team, "patch", one, changed).status_code == 428
    assert send(team, "patch", one, changed, HTTP_IF_MATCH='"old"').status_code == 412
    assert send(team, "patch", one, changed, HTTP_IF_MATCH="*").json()["ticket_url"] == "https://p.example/1"
    stale = send(
        team, "post", f"{one}/status", {"status": "solved", "seen": "closed"}, HTTP_IDEMPOTENCY_KEY="b"
    )
    assert stale.status_code == 409
    solved = send(
        team, "post", f"{one}/status", {"status": "solved", "seen": "open"}, HTTP_IDEMPOTENCY_KEY="c"
    )
    assert solved.json()["status"] == "solved"
    kinds = [row["kind"] for row in client.get(f"{one}/entries").json()["results"]]
    assert kinds[:2] == ["opened", "told"]
    assert kinds[-1] == "status"
    stranger = browser_of(make.member(make.account("Elsewhere"), "admin"))
    assert stranger.get(one).status_code == 404


def test_a_wrong_ticket_address_is_said_at_its_field_with_what_was_typed_kept(desk):
    case = desk.opened()
    browser = Client()
    browser.force_login(desk.manager)
    answer = browser.post(f"/cases/{case.ref}/ticket/", {"ticket_url": "http://p.example/1"})
    text = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="http://p.example/1"' in text
    assert 'aria-describedby="ticket_url_error"' in text
    assert "begins with https://" in text
    case.refresh_from_db()
    assert case.ticket_url == ""
    assert (
        browser.post(f"/cases/{case.ref}/ticket/", {"ticket_url": "https://p.example/1"}).status_code == 302
    )
