"""The pages and the API of contacts, coverage and duty."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.contacts import roster_services, services
from accounts.contacts.models import ContactUse, OtherParty, Rotation
from accounts.models import Contact
from tests import factories as make

pytestmark = pytest.mark.django_db


class Desk:
    def __init__(self):
        self.account = make.account("Lindgren Outdoor")
        self.manager = make.launch_manager(self.account.team)
        self.browser = self.as_user(self.manager)
        self.base = f"/accounts/{self.account.ref}/"
        self.api = f"/api/v1/accounts/{self.account.ref}/"

    def as_user(self, user):
        browser = Client()
        browser.force_login(user)
        return browser

    def text(self, url):
        answer = self.browser.get(url)
        assert answer.status_code == 200, answer
        return answer.content.decode()

    def send(self, method, url, body=None, **headers):
        return getattr(self.browser, method)(
            url, json.dumps(body or {}), content_type="application/json", HTTP_IDEMPOTENCY_KEY=url, **headers
        )


@pytest.fixture
def desk():
    return Desk()


FORM = {
    "name": "Maja Lindgren",
    "phone": "+46 70-123 45 67",
    "more_phones": "+46 8 123 456 78",
    "email": "maja@lindgren.example",
    "time_zone": "Europe/Stockholm",
    "hours": "weekly",
    "weekly_hours": "Mon to Fri 08:00 to 17:00",
    "days_off": "2026-12-23",
    "roles": ["primary", "emergency"],
    "authority": "technical",
    "escalation_order": 1,
    "own_orders": "emergency 2",
    "responsible": "server 8f1d web-07\nload balancer 71 shop",
}


def test_a_contact_is_added_in_full_and_shown_with_the_number_first(desk):
    answer = desk.browser.post(desk.base + "contacts/add/", FORM, follow=True)
    contact = Contact.objects.get()
    assert contact.more_phones == ["+46812345678"]
    assert len(contact.weekly_hours) == 5
    assert contact.responsible_for[1] == {"kind": "load_balancer", "id": "71", "label": "shop"}
    text = answer.content.decode()
    assert "not confirmed yet and not proven" in text
    assert text.index("tel:+46701234567") < text.index("tel:+46812345678") < text.index("mailto:")
    assert "Mon to Fri 08:00 to 17:00" in text
    # What the form shows is what it takes: nothing changes by keeping it as it is.
    page = desk.browser.get(f"/contacts/{contact.ref}/edit/")
    form = page.context["form"]
    shown = {name: form.get_initial_for_field(form.fields[name], name) for name in form.fields}
    desk.browser.post(
        f"/contacts/{contact.ref}/edit/",
        {key: value for key, value in shown.items() if value not in (None, False)},
    )
    kept = Contact.objects.get()
    assert {f.name: getattr(kept, f.name) for f in kept._meta.concrete_fields if f.name != "updated_at"} == {
        f.name: getattr(contact, f.name) for f in contact._meta.concrete_fields if f.name != "updated_at"
    }


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("more_phones", "08 123", "country code"),
        ("weekly_hours", "always", "cannot be read"),
        ("weekly_hours", "", "Say the hours"),
        ("days_off", "Christmas", "2026-12-23"),
        ("own_orders", "boss 1", "emergency 2"),
        ("responsible", "house 1", "server or load balancer"),
        ("notes", "PIN: 44121", "never keeps one"),
    ],
)
def test_what_cannot_be_read_is_said_at_the_form_and_nothing_is_kept(desk, field, value, says):
    answer = desk.browser.post(desk.base + "contacts/add/", {**FORM, field: value})
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert not Contact.objects.exists()


def test_a_call_is_logged_in_ones_own_name(desk):
    contact = make.contact(desk.account)
    body = {"channel": f"phone:{contact.phone}", "reason": "knew the contract number"}
    text = desk.browser.post(f"/contacts/{contact.ref}/prove/", body, follow=True).content.decode()
    assert "is proven" in text
    assert "Jonas Berg" in text
    assert "knew the contract number" in text
    wrong = desk.browser.post(f"/contacts/{contact.ref}/prove/", {"channel": "phone:+46000000000"})
    assert wrong.status_code == 422


def test_the_coverage_page_says_what_is_missing_and_the_rules_can_be_changed(desk):
    assert "There is no emergency contact." in desk.text(desk.base + "coverage/")
    assert "There is no emergency contact." in desk.text(desk.base)
    desk.browser.post(desk.base + "coverage/edit/", {"preset": "own", "rules": "primary 1 proven 90\nbackup"})
    assert "There is no emergency contact." not in desk.text(desk.base + "coverage/")
    wrong = desk.browser.post(desk.base + "coverage/edit/", {"preset": "own", "rules": "boss 1"})
    assert wrong.status_code == 422
    assert "cannot be read" in wrong.content.decode()


def test_a_lead_lets_it_begin_all_the_same(desk):
    lead = desk.as_user(make.launch_manager(desk.account.team, "Lena Holm", role="lead"))
    assert "There is no primary contact." in lead.get(desk.base + "coverage/override/").content.decode()
    answer = lead.post(
        desk.base + "coverage/override/", {"reason": "We are on the bridge.", "hours": 4}, follow=True
    )
    assert "Lena Holm decided so" in answer.content.decode()
    assert "We are on the bridge." in desk.text(desk.base + "coverage/")


@pytest.mark.parametrize(
    ("zone", "clock", "offset"),
    [("Asia/Tokyo", "Fri 09:53", "+09:00"), ("America/New_York", "Thu 19:53", "-05:00")],
)
@time_machine.travel("2026-11-27T00:53:00Z", tick=False)
def test_the_time_there_is_that_of_their_own_zone(desk, zone, clock, offset):
    contact = make.contact(desk.account, roles=["emergency"], time_zone=zone)
    assert f"{clock} ({zone})" in desk.text(f"/contacts/{contact.ref}/")
    assert f'data-label="Time there">{clock}<' in desk.text(desk.base + "coverage/")
    (row,) = desk.browser.get(desk.api + "call-order", {"role": "emergency"}).json()["people"]
    assert row["local_time"].endswith(f"{clock[4:]}:00{offset}")


def test_the_support_pin_is_said_by_a_button(desk):
    nothing = desk.browser.post(desk.base + "support-pin/", {})
    assert nothing.status_code == 422
    assert "not known" in desk.text(desk.base + "coverage/")
    desk.browser.post(desk.base + "support-pin/", {"is_ready": "yes"})
    assert "At hand, as of" in desk.text(desk.base + "coverage/")


def test_a_rotation_and_another_party_are_kept_by_form(desk):
    ada, bo = make.contact(desk.account, "Ada"), make.contact(desk.account, "Bo")
    answer = desk.browser.post(
        desk.base + "rotations/add/",
        {
            "name": "On call", "time_zone": "UTC", "starts_on": "2026-11-02", "hand_over_days": ["0", "3"],
            "hand_over_at": "09:00, 21:00", "roles": ["emergency"], f"place_{bo.pk}": "1", f"place_{ada.pk}": "2",
        },
        follow=True,
    )  # fmt: skip
    assert "Mon 09:00, Mon 21:00, Thu 09:00, Thu 21:00" in answer.content.decode()
    row = Rotation.objects.get()
    assert [place.contact.name for place in row.places.order_by("place")] == ["Bo", "Ada"]
    assert "On call" in desk.text(f"/rotations/{row.ref}/edit/")
    none = desk.browser.post(
        f"/rotations/{row.ref}/edit/",
        {
            "name": "On call",
            "time_zone": "UTC",
            "starts_on": "2026-11-02",
            "hand_over_days": ["0"],
            "hand_over_at": "09:00",
        },
    )
    assert "1 to 30 members" in none.content.decode()
    desk.browser.post(f"/rotations/{row.ref}/remove/")
    assert not Rotation.objects.exists()
    party = {
        "kind": "registrar",
        "name": "Nordic Names",
        "phone": "+46 8 12 00 00 00",
        "customer_number": "88-12",
    }
    assert (
        "Nordic Names" in desk.browser.post(desk.base + "parties/add/", party, follow=True).content.decode()
    )
    row = OtherParty.objects.get()
    desk.browser.post(f"/parties/{row.ref}/edit/", {**party, "customer_number": "88-13"})
    assert "88-13" in desk.text(desk.base + "duties/")
    desk.browser.post(f"/parties/{row.ref}/remove/")
    assert not OtherParty.objects.exists()


def test_the_customers_page_shows_the_team_on_duty(desk):
    customer = desk.as_user(make.member(desk.account, "viewer"))
    assert "Your team here" not in customer.get(desk.base).content.decode()
    body = {
        "name": "Duty", "time_zone": "UTC", "starts_on": str(timezone.now().date() - timedelta(days=8)),
        "hand_over_days": ["0"], "hand_over_at": "09:00", "number": "+46 8 10 00 00 00", "bridge": "room 71",
        f"place_{desk.manager.pk}": "1", f"phone_{desk.manager.pk}": "+46 8 11 11 11 11",
    }  # fmt: skip
    desk.browser.post(f"/teams/{desk.account.team.ref}/roster/", body)
    text = customer.get(desk.base).content.decode()
    for word in ("Your team here", "Jonas Berg", "+46811111111", "room 71", "+4681000000"):
        assert word in text


def test_the_pages_of_contacts_state_their_queries(desk, django_assert_max_num_queries):
    for number in range(4):
        contact = make.contact(desk.account, f"Contact {number}", roles=["primary", "emergency"])
        services.prove_channel(contact, kind="phone", value=contact.phone, how="call", actor=desk.manager)
    for number in range(3):
        roster_services.set_rotation(
            desk.account,
            {"name": f"R{number}", "starts_on": date(2026, 11, 2), "hand_overs": [{"day": 0, "at": "09:00"}]},
            members=list(Contact.objects.all()), roles=[], actor=desk.manager,
        )  # fmt: skip
    for path, most in (("contacts/", 6), ("coverage/", 19), ("duties/", 9)):
        desk.text(desk.base + path)
        with django_assert_max_num_queries(most):
            desk.text(desk.base + path)
    with django_assert_max_num_queries(13):
        desk.text(f"/contacts/{contact.ref}/")


# --- the API -----------------------------------------------------------------------------------------------


def test_the_api_reads_and_writes_all_of_a_contact_and_logs_the_read_with_its_reason(desk):
    body = {
        "name": "Maja", "phone": "+46701234567", "hours": "weekly", "roles": ["emergency"],
        "weekly_hours": [{"day": 0, "from": "08:00", "until": "17:00"}], "role_orders": {"emergency": 3},
        "authority": "spend", "external_id": "hr-9", "days_off": ["2026-12-23"],
    }  # fmt: skip
    made = desk.send("post", desk.api + "contacts", body)
    assert made.status_code == 201, made.content
    seen = made.json()
    assert {key: seen[key] for key in body} == body
    assert (seen["is_proven"], seen["phones_proven"]) == (False, {})
    url = f"/api/v1/contacts/{seen['ref']}"
    assert desk.send("post", url + "/prove", {"channel": "phone", "value": "+46701234567"}).json()[
        "is_proven"
    ]
    for _ in range(3):
        desk.browser.get(url, {"reason": "case 71"})
    desk.browser.get(desk.api + "contacts")
    assert [(use.way, use.reason) for use in ContactUse.objects.order_by("pk")] == [
        ("api", "case 71"), ("api", "read by the API, no reason given")
    ]  # fmt: skip
    for read in (url, desk.api + "contacts", desk.api + "call-order"):
        assert desk.browser.get(read, {"reason": f"case 72 {read}"}).status_code == 200
        assert ContactUse.objects.latest("pk").reason == f"case 72 {read}"
    wrong = desk.send(
        "patch", url, {"weekly_hours": [{"day": 0, "from": "8", "until": "x"}]}, HTTP_IF_MATCH="*"
    )
    assert wrong.status_code == 422


def test_the_api_gives_the_order_of_call_at_a_moment(desk):
    make.contact(desk.account, "Ada", roles=["emergency"], hours="around_the_clock")
    answer = desk.browser.get(
        desk.api + "call-order", {"at": "2026-11-23T12:00:00+01:00", "role": "emergency"}
    )
    (one,) = answer.json()["people"]
    assert (one["name"], one["is_reachable_now"], one["why_not"]) == ("Ada", True, "")
    assert ContactUse.objects.count() == 1
    for params in ({"role": "boss"}, {"at": "tomorrow"}, {"at": "2026-11-23T12:00:00"}):
        assert desk.browser.get(desk.api + "call-order", params).status_code == 422


def test_the_api_keeps_rules_against_the_version_that_was_read(desk):
    read = desk.browser.get(desk.api + "coverage")
    assert (read.json()["preset"], read.json()["may_begin"]) == ("standard", False)
    changed = desk.send("patch", desk.api + "coverage", {"preset": "small_shop"}, HTTP_IF_MATCH=read["ETag"])
    assert [gap["code"] for gap in changed.json()["gaps"]] == ["no_primary", "no_emergency"]
    stale = desk.browser.patch(
        desk.api + "coverage",
        '{"preset": "standard"}',
        content_type="application/json",
        HTTP_IF_MATCH=read["ETag"],
    )
    assert stale.status_code == 412


def test_the_api_keeps_rotations_parties_and_the_pin(desk):
    ada, bo = (make.contact(desk.account, name) for name in ("Ada", "Bo"))
    body = {
        "name": "On call", "starts_on": "2026-11-02", "hand_overs": [{"day": 0, "at": "09:00"}],
        "members": [str(ada.ref), str(bo.ref)], "roles": ["emergency"],
    }  # fmt: skip
    made = desk.send("post", desk.api + "rotations", body)
    assert made.status_code == 201, made.content
    url = f"/api/v1/rotations/{made.json()['ref']}"
    changed = desk.send("patch", url, {"members": [str(bo.ref)]}, HTTP_IF_MATCH="*").json()
    assert (changed["members"], changed["roles"], changed["on_duty"]) == (
        [str(bo.ref)],
        ["emergency"],
        str(bo.ref),
    )
    stranger = make.contact(make.account())
    refused = desk.browser.patch(
        url, json.dumps({"members": [str(stranger.ref)]}), content_type="application/json", HTTP_IF_MATCH="*"
    )
    assert refused.status_code == 422
    assert desk.browser.get(desk.api + "rotations").json()["results"][0]["name"] == "On call"
    party = desk.send(
        "post", desk.api + "parties", {"kind": "cdn", "name": "Edge", "url": "https://edge.example/"}
    )
    assert party.status_code == 201, party.content
    assert desk.browser.get(desk.api + "support-pin").json() == {"is_ready": None, "as_of": None}
    assert desk.send("post", desk.api + "support-pin", {"is_ready": True}).json()["is_ready"] is True
    assert desk.browser.get(desk.api + "duty").json()["now"] is None


def rotation_form(*people, **said):
    places = {f"place_{one.pk}": place for place, one in enumerate(people, start=1)}
    return {
        "name": "On call",
        "time_zone": "Europe/Stockholm",
        "starts_on": "2026-11-24",
        "hand_over_days": [0],
        "hand_over_at": "09:00",
        "roles": ["emergency"],
        **places,
        **said,
    }


def test_a_rotation_says_when_it_begins_and_who_is_on_now_and_next(desk):
    ada, bo = make.contact(desk.account, "Ada"), make.contact(desk.account, "Bo")
    with time_machine.travel("2026-11-24T10:00:00Z", tick=False):
        desk.browser.force_login(desk.manager)
        answer = desk.browser.post(desk.base + "rotations/add/", rotation_form(ada, bo))
        assert answer.status_code == 302, answer.context["form"].errors
        text = " ".join(desk.text(desk.base + "duties/").split())
        assert "Nobody yet. Ada from Mon 2026-11-30 09:00" in text
        assert "Europe/Stockholm" in text
        assert "nobody before" not in text
        (row,) = desk.browser.get(desk.api + "rotations").json()["results"]
        assert (row["on_duty"], row["next_on_duty"]) == (None, str(ada.ref))
        assert row["next_hand_over_at"] == "2026-11-30T09:00:00+01:00"
    with time_machine.travel("2026-12-01T10:00:00Z", tick=False):
        desk.browser.force_login(desk.manager)
        text = " ".join(desk.text(desk.base + "duties/").split())
        assert "until Mon 2026-12-07 09:00, then Bo" in text


def test_two_people_at_one_place_of_a_rotation_are_refused_at_the_field(desk):
    ada, bo = make.contact(desk.account, "Ada"), make.contact(desk.account, "Bo")
    said = rotation_form(ada, bo, **{f"place_{bo.pk}": 1})
    answer = desk.browser.post(desk.base + "rotations/add/", said)
    assert answer.status_code == 422
    assert "Ada has place 1 already" in answer.content.decode()
    assert not Rotation.objects.exists()


def test_a_person_twice_in_a_rotation_is_refused_by_name(desk):
    ada = make.contact(desk.account, "Ada")
    body = {
        "name": "On call",
        "starts_on": str(timezone.now().date()),
        "hand_overs": [{"day": 0, "at": "09:00"}],
        "members": [str(ada.ref), str(ada.ref)],
    }
    answer = desk.send("post", desk.api + "rotations", body)
    assert answer.status_code == 422
    assert "Ada stands twice" in answer.json()["detail"]


def test_a_role_twice_in_the_own_orders_is_refused(desk):
    answer = desk.browser.post(
        desk.base + "contacts/add/", {**FORM, "own_orders": "emergency 2\nemergency 3"}
    )
    assert answer.status_code == 422
    assert "emergency stands there twice" in answer.content.decode()
