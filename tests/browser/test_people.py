"""From the invitation to the removal, in real browsers; who is invited sits on a phone."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from portal.demo_accounts import code_at
from portal.demo_people import Story
from tests.browser import story
from tests.browser.test_stories import look, people  # noqa: F401 - the fixture

pytestmark = pytest.mark.browser
PASSWORD = "lantern-harbor-quiet-nine"


def at_the_door(browser, url):
    """Somebody on a phone who has no log-in."""
    context = browser.new_context(
        viewport=story.PHONE, color_scheme="light", has_touch=True, reduced_motion="reduce"
    )
    context.set_default_timeout(15_000)
    return story.Person(context, context.new_page(), url)


def access_page(person, account):
    person.page.goto(f"{person.url}/accounts/")
    person.page.get_by_role("link", name=account).first.click()
    person.page.get_by_role("link", name="Access", exact=True).click()
    expect(person.page.get_by_role("heading", name="Access")).to_be_visible()


def invite(person, account, email, role):
    access_page(person, account)
    person.page.get_by_role("link", name="Invite somebody").click()
    look(person)
    person.page.get_by_label("Mail address").fill(email)
    person.page.locator(f"input[value={role}]").check()
    person.page.get_by_role("button", name="Send the invitation").click()
    expect(person.page.get_by_text(f"{email} is invited")).to_be_visible()


def test_from_the_invitation_to_the_removal(browser, site, people):  # noqa: F811
    admin = people("maja@lindgren.example")
    email = "klara@lindgren.example"
    invite(admin, "Lindgren Outdoor", email, "editor")
    look(admin)

    guest = at_the_door(browser, site.url)
    page = guest.page
    page.goto(site.url + Story(site.url, print).link_in_mail(email))
    expect(page.get_by_text("invites")).to_be_visible()
    look(guest)
    page.get_by_label("Your name").fill("Klara Ek")
    page.get_by_label("Password", exact=True).fill("lamps")
    page.get_by_label("The same password again").fill("lamps")
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("too short").first).to_be_visible()
    look(guest)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("Welcome to Lindgren Outdoor")).to_be_visible()

    page.goto(f"{site.url}/me/second-factor/app/")
    secret = page.locator("#totp-key").inner_text()
    page.get_by_label("Code").fill(code_at(secret, time.time()))
    page.get_by_role("button", name="Add the app").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    guest.context.clear_cookies()
    page.goto(f"{site.url}/login/")
    page.locator("[name=username]").fill(email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")
    page.wait_for_url("**/login/second/**")
    # The code that added the app is used up; the next one is taken a little early.
    page.get_by_label("Code").fill(code_at(secret, time.time() + 30))
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{site.url}/")
    access_page(guest, "Lindgren Outdoor")
    expect(page.get_by_role("link", name="Invite somebody")).to_have_count(0)
    expect(page.get_by_text("maja@lindgren.example")).to_have_count(0)
    look(guest)

    access_page(admin, "Lindgren Outdoor")
    row = admin.page.get_by_role("row", name="Klara Ek")
    expect(row).to_contain_text("yes")
    row.get_by_role("link", name="Change role").click()
    admin.page.locator("input[value=viewer]").check()
    look(admin)
    admin.page.get_by_role("button", name="Change the role").click()
    expect(admin.page.get_by_text("Klara Ek is viewer now")).to_be_visible()
    page.reload()
    expect(page.get_by_role("row", name="Klara Ek")).to_contain_text("viewer")

    admin.page.get_by_role("row", name="Klara Ek").get_by_role("link", name="Remove").click()
    look(admin)
    admin.page.get_by_role("button", name="Remove Klara Ek").click()
    expect(admin.page.get_by_text("Klara Ek was removed")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()

    # The last admin stays, and is told why.
    admin.page.get_by_role("link", name="Leave…").click()
    admin.page.get_by_role("button", name="Leave the account").click()
    expect(admin.page.get_by_text("The last admin of an account stays")).to_be_visible()
    look(admin)
    # A refusal is a 422, which a browser names in its console.
    admin.said[:] = [line for line in admin.said if "422" not in line]
    guest.context.close()


def test_a_lead_sees_the_team_and_opens_an_account(site, people):  # noqa: F811
    lead = people(story.LEAD)
    lead.page.goto(f"{site.url}/teams/")
    lead.page.get_by_role("link", name="Launch team North").click()
    expect(lead.page.get_by_role("row", name="Jonas Berg")).to_contain_text("launch manager")
    look(lead)
    lead.page.get_by_role("link", name="Open an account").click()
    look(lead)
    lead.page.get_by_label("Name").fill("Fjord Music")
    lead.page.get_by_label("Account number").fill("889001")
    lead.page.get_by_role("button", name="Open the account").click()
    expect(lead.page.get_by_role("heading", name="Fjord Music")).to_be_visible()
    lead.page.get_by_role("link", name="Settings", exact=True).click()
    look(lead)
    lead.page.get_by_role("link", name="Archive…").click()
    lead.page.get_by_label("Reason").fill("Opened by mistake.")
    lead.page.get_by_role("button", name="Archive Fjord Music").click()
    expect(lead.page.get_by_text("is archived").first).to_be_visible()
