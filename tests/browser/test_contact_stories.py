"""Contacts proven, reached, taken in and erased, and a review signed: a customer's admin on a phone, a launch manager at a desk."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from portal.demo_contacts import clear
from portal.demo_people import Browser, Story
from tests.browser import story
from tests.browser.test_people import at_the_door
from tests.browser.test_stories import look, people  # noqa: F401 - the fixture

pytestmark = pytest.mark.browser
ADMIN = "tom@harbor.example"
# An answer sooner than this after the mail is a program's.
A_PERSON_S = 6.0


def contacts_page(person):
    person.page.goto(f"{person.url}/accounts/")
    person.page.get_by_role("link", name="Harbor Books").first.click()
    person.page.get_by_role("link", name="Contacts", exact=True).first.click()
    expect(person.page.get_by_role("heading", name="Contacts", exact=True)).to_be_visible()


def one_contact(person, name):
    contacts_page(person)
    person.page.get_by_role("link", name=name, exact=True).click()
    expect(person.page.get_by_role("heading", name=name)).to_be_visible()


def add(person, name, email, phone, roles, order):
    contacts_page(person)
    page = person.page
    page.get_by_role("link", name="Add a contact").click()
    page.locator("[name=name]").fill(name)
    page.locator("[name=phone]").fill(phone)
    page.locator("[name=email]").fill(email)
    page.locator("[name=hours]").select_option("around_the_clock")
    for role in roles:
        page.locator(f"input[name=roles][value={role}]").check()
    page.locator("[name=escalation_order]").fill(str(order))
    page.get_by_role("button", name="Add the contact").click()
    expect(page.get_by_text(f"{name} was added")).to_be_visible()


def test_from_a_new_contact_to_a_signed_review(browser, site, people):  # noqa: F811
    admin, manager = people(ADMIN, viewport=story.PHONE), people(story.MANAGER)
    mailbox = Story(site.url, print)
    # The desk's own contacts go, so that these two are all that there is.
    program = Browser(site.url)
    program.log_in(ADMIN, story.PASSWORD)
    clear(mailbox, program, f"/accounts/{program.api('GET', '/accounts').json()['results'][0]['ref']}")
    add(admin, "Ines Castro", "ines@harbor.example", "+351 910 000 001", ["primary", "emergency"], 1)
    add(admin, "Rui Prado", "rui@harbor.example", "+351 910 000 002", ["technical", "emergency"], 2)

    # Proven by link and button: opening the link is not enough, and too quick is a machine.
    one_contact(admin, "Ines Castro")
    look(admin)
    admin.page.get_by_role("button", name="Mail a link to prove the mailbox").click()
    link, mailed_at = mailbox.link_in_mail("ines@harbor.example", to_page="about-me"), time.monotonic()
    ines = at_the_door(browser, site.url)
    ines.page.goto(site.url + link)
    ines.page.reload()
    expect(ines.page.get_by_role("heading", name="Is this your mailbox?")).to_be_visible()
    look(ines)
    one_contact(admin, "Ines Castro")
    expect(admin.page.get_by_text("Nothing is proven yet")).to_be_visible()
    time.sleep(max(0.0, A_PERSON_S - (time.monotonic() - mailed_at)))
    ines.page.get_by_role("button", name="Yes, mail reaches me here").click()
    expect(ines.page.get_by_role("heading", name="Thank you")).to_be_visible()
    one_contact(admin, "Ines Castro")
    expect(admin.page.get_by_role("rowheader", name="Mail address proven")).to_be_visible()

    # Proven by a call that the admin logs, and coverage turns green.
    one_contact(admin, "Rui Prado")
    admin.page.get_by_text("I called, and they answered").click()
    admin.page.get_by_role("button", name="Log the call in my name").click()
    expect(admin.page.get_by_role("rowheader", name="Phone number proven")).to_be_visible()
    contacts_page(admin)
    admin.page.get_by_role("link", name="Coverage", exact=True).click()
    look(admin)
    expect(admin.page.get_by_text("Everybody that the rules ask for is there").first).to_be_visible()

    # The first person says no, the second answers.
    contacts_page(manager)
    manager.page.get_by_role("link", name="Reach", exact=True).click()
    look(manager)
    manager.page.get_by_label("Why").fill("Before the winter sale")
    manager.page.get_by_label("What they are told").fill("Please press the button.")
    manager.page.get_by_role("button", name="Ask the first person now").click()
    expect(manager.page.get_by_role("row", name="Ines Castro")).to_contain_text("asked now")
    look(manager)
    manager.page.get_by_role("row", name="Ines Castro").get_by_role("button", name="Refused").click()
    expect(manager.page.get_by_role("row", name="Rui Prado")).to_contain_text("asked now")
    rui = at_the_door(browser, site.url)
    rui.page.goto(site.url + mailbox.link_in_mail("rui@harbor.example", to_page="reach"))
    look(rui)
    time.sleep(A_PERSON_S)
    rui.page.get_by_role("button", name="I am here").click()
    expect(rui.page.get_by_role("heading", name="Thank you, your answer has arrived")).to_be_visible()
    # The call sheet asks for itself again: nobody reloads it.
    expect(manager.page.get_by_text("Rui Prado, number 2 on the list, answered")).to_be_visible()
    look(manager)

    # A file with errors is mended in the page and taken in.
    contacts_page(admin)
    admin.page.get_by_role("link", name="Take in from a file").click()
    rows = "name,email,role\nAna Reis,ana at harbor,billing\n"
    admin.page.get_by_label("Or its text").fill(rows)
    admin.page.get_by_role("button", name="Show what would change").click()
    expect(admin.page.get_by_text("is no mail address")).to_be_visible()
    look(admin)
    admin.page.get_by_label("The file’s text").fill(rows.replace("ana at harbor", "ana.reis@harbor.example"))
    admin.page.get_by_role("button", name="Look again").click()
    admin.page.get_by_role("button", name="Take in 1 new").click()
    expect(admin.page.get_by_text("1 added, 0 changed")).to_be_visible()

    review(admin, manager)

    # Whoever asks to go is gone, by name typed in full.
    one_contact(admin, "Ines Castro")
    admin.page.get_by_role("link", name="Erase for good…").click()
    admin.page.get_by_label("Reason").fill("She left and asked for it.")
    admin.page.get_by_label("Type Ines Castro to confirm").fill("Ines Castro")
    look(admin)
    admin.page.get_by_role("button", name="Erase Ines Castro").click()
    admin.page.goto(manager.page.url)
    contacts_page(admin)
    expect(admin.page.get_by_text("Ines Castro")).to_have_count(0)
    for person in (ines, rui):
        person.context.close()
    for person in (admin, manager):
        # A refusal is a 422, which a browser names in its console.
        person.said[:] = [line for line in person.said if "422" not in line]


def review(admin, manager):
    """Begun and answered by the launch manager, signed by both sides."""
    page = manager.page
    page.goto(f"{manager.url}/accounts/")
    page.get_by_role("link", name="Harbor Books").first.click()
    page.get_by_role("link", name="Reviews", exact=True).first.click()
    look(manager)
    page.get_by_role("link", name="Begin a review").first.click()
    look(manager)
    # A day that has come everywhere: a review is signed on its day in the account's zone, or later.
    page.locator("[name=held_on]").fill(f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}")
    page.get_by_role("button", name="Begin the review").click()
    expect(page.get_by_role("heading", name="Review of Harbor Books")).to_be_visible()
    look(manager)
    here = page.url
    expect(page.get_by_role("button", name="Sign").first).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_text("Not answered yet: Baseline").first).to_be_visible()
    items = page.eval_on_selector_all("a[href*='/review-items/']", "all => all.map(one => one.href)")
    for item in dict.fromkeys(items):
        page.goto(item)
        if page.get_by_role("button", name="Keep the answer").count():
            page.locator("[name=grade][value=green]").check()
            page.get_by_role("button", name="Keep the answer").click()
    page.goto(here)
    page.get_by_role("link", name="Sign").first.click()
    page.get_by_role("button", name="Sign the review").click()
    expect(page.get_by_role("heading", name="Review of Harbor Books")).to_be_visible()
    admin.page.goto(here)
    admin.page.get_by_role("link", name="Sign").first.click()
    look(admin)
    admin.page.get_by_role("button", name="Sign the review").click()
    admin.page.goto(here)
    expect(admin.page.get_by_text("signed").first).to_be_visible()
    look(admin)
