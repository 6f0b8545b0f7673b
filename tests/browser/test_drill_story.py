"""A fire drill in two real browsers: whoever leads it at a desk, whoever takes part on a phone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from portal.demo_drills import FIRST, make_reachable
from portal.demo_people import Browser
from tests.browser import story
from tests.browser.test_stories import look, people

pytestmark = pytest.mark.browser
ZONE = ZoneInfo("Europe/Stockholm")
__all__ = ["people"]


@pytest.fixture(scope="module", autouse=True)
def contacts(site):
    """Nobody's drill begins where nobody can be called: the customer's admin sees to it that two can."""
    admin = Browser(site.url)
    admin.log_in(FIRST, story.PASSWORD)
    held = admin.api("GET", "/accounts").json()["results"][0]
    assert len(make_reachable(admin, held["ref"])) == 2


def draw_up(person, site, *, hold_s):
    """Draw up a host failure on the pool `web`, and submit it; return the address of the drill."""
    page = person.page
    balancers = site.simulator("GET", "world")["load_balancers"]
    balancer_id = next(one["id"] for one in balancers if one["name"] == "web")
    page.goto(f"{person.url}/accounts/")
    page.get_by_role("link", name="Lindgren Outdoor").first.click()
    page.wait_for_url("**/accounts/*-*/")
    account_url = page.url
    page.goto(f"{account_url}drills/")
    page.get_by_role("link", name="Draw up a drill").first.click()
    page.locator('a[href$="/new/host_failure/"]').click()
    now = datetime.now(ZONE)
    page.get_by_label("Title").fill("A host fails on a weekday")
    page.get_by_label("How it is held").select_option("announced")
    page.get_by_label("Where").select_option("test")
    # A pool that is sized is called by its name, the others by their load balancer.
    pool = page.get_by_label("Pool").locator("option").filter(has_text=re.compile(rf"\b{balancer_id}\b"))
    page.get_by_label("Pool").select_option(label=pool.inner_text())
    page.get_by_label("It may begin from").fill(f"{now - timedelta(minutes=2):%Y-%m-%dT%H:%M}")
    page.get_by_label("It must be over by").fill(f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M}")
    page.get_by_role("group", name="Who takes part").get_by_label("Astrid Lund").check()
    page.get_by_role("group", name="Who watches").get_by_label("Vera Holm").check()
    page.get_by_label("The emergency plan").fill("Page 3 of the runbook.")
    page.get_by_label("95 of 100 answers take at most").fill("")
    page.get_by_label("The disruption stays for (s)").fill(str(hold_s))
    page.get_by_label("The site is calm after (s)").fill("5")
    page.get_by_label("Undo when more than this share").fill("90")
    page.get_by_role("button", name="Keep it as a draft").click()
    # Its servers stand in the form once the pool is chosen.
    page.get_by_role("link", name="Change", exact=True).click()
    page.get_by_label("web-06").check()
    look(person)
    page.get_by_role("button", name="Keep it as a draft").click()
    look(person)
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.get_by_text("Waiting for the customer")).to_be_visible()
    return page.url


def begin(manager, drill_url):
    """Attest what only people can see and begin; return the address of the live page."""
    page = manager.page
    page.goto(drill_url)
    while page.get_by_role("button", name="It is done").count():
        row = page.locator("tr", has=page.get_by_role("button", name="It is done")).first
        if row.get_by_role("textbox").count():
            row.get_by_role("textbox").fill("200 requests a second; five servers carry 450.")
        row.get_by_role("button", name="It is done").click()
        page.wait_for_load_state()
    look(manager)
    page.get_by_role("button", name="Begin the drill").click()
    expect(page.locator("#now-title")).to_be_visible()
    return page.url


def step_is_done(page, number):
    page.get_by_role("button", name=f"Step {number} is done").click()


def web_06(site):
    world = site.simulator("GET", "world")
    return next(one for one in world["servers"] if one["name"] == "web-06")


def count_loads(person):
    """Return a list that grows with each page that a browser loads."""
    loads = []
    person.page.on("load", lambda page: loads.append(page.url))
    return loads


def test_two_follow_a_drill_and_the_one_on_the_phone_stops_it(site, people):
    manager = people(story.MANAGER)
    drill_url = draw_up(manager, site, hold_s=600)
    phone = people(story.APPROVER, viewport=story.PHONE)
    phone.page.goto(drill_url)
    look(phone)
    phone.page.get_by_role("button", name="Approve this drill").click()
    expect(phone.page.get_by_text("May this drill be held?")).to_have_count(0)
    live_url = begin(manager, drill_url)
    phone.page.goto(live_url)
    for person in (manager, phone):
        expect(person.page.locator(".live")).to_have_text("live")
        expect(person.page.get_by_text("Fire drill, not a real incident")).to_be_visible()
    desk, hand = manager.page, phone.page
    # Who takes part leads nothing.
    expect(hand.get_by_role("button", name="is done")).to_have_count(0)
    loads = count_loads(phone)
    # What is half written stays so while the page around it is renewed.
    hand.locator("#note-text").fill("The warehouse")
    hand.locator("#informed-whom").select_option("service_desk")
    step_is_done(desk, 1)
    for page in (desk, hand):
        expect(page.locator("li.current")).to_contain_text("2. Look at the pool once more")
    clock = hand.locator("#drill-state .next .small").inner_text()
    step_is_done(desk, 2)
    expect(hand.locator("section", has=hand.locator("#targets-title"))).to_contain_text("web-06")
    expect(hand.locator("li.current")).to_contain_text("4. Notice, acknowledge, name it", timeout=30_000)
    expect(hand.locator("#drill-state .next .small")).to_contain_text("since the disruption")
    expect(hand.locator("#drill-state .next .small")).not_to_have_text(clock)
    expect(hand.locator("#drill-state")).to_contain_text("web-06 is seen out of service")
    look(phone)
    look(manager)
    # All of this came by the stream.
    assert loads == []
    expect(hand.locator("#note-text")).to_have_value("The warehouse")
    expect(hand.locator("#informed-whom")).to_have_value("service_desk")

    hand.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(desk.locator("#drill-state")).to_contain_text("Acknowledged: Astrid Lund.")
    expect(hand.get_by_role("button", name="Acknowledge", exact=True)).to_have_count(0)
    assert web_06(site)["status"] == "SHUTOFF"
    hand.get_by_role("button", name="Stop", exact=True).click()
    for page in (desk, hand):
        expect(page.locator("#drill-state")).to_contain_text("Astrid Lund stopped the drill.")
        expect(page.locator("#drill-state")).to_contain_text(
            "Everything that was injected is undone, and verified.", timeout=60_000
        )
        expect(page.locator("#drill-state .next .state")).to_have_text("aborted", timeout=30_000)
    assert web_06(site)["status"] == "ACTIVE"
    look(phone)

    for person in (manager, phone):
        person.page.goto(f"{drill_url}report/")
        expect(person.page.get_by_text("Somebody stopped the drill.").first).to_be_visible()
        expect(person.page.get_by_role("heading", name="People and systems")).to_be_visible()
        look(person)


def test_without_javascript_the_page_refreshes_itself_and_stops_the_drill(site, people):
    manager = people(story.MANAGER)
    drill_url = draw_up(manager, site, hold_s=600)
    phone = people(story.APPROVER, viewport=story.PHONE)
    phone.page.goto(drill_url)
    phone.page.get_by_role("button", name="Approve this drill").click()
    live_url = begin(manager, drill_url)
    plain = people(story.VIEWER, viewport=story.PHONE, java_script_enabled=False)
    plain.page.goto(live_url)
    expect(plain.page.locator("li.current")).to_contain_text("1. Open the drill", timeout=20_000)
    assert plain.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    step_is_done(manager.page, 1)
    # Nobody touches this page; it comes anew every five seconds.
    expect(plain.page.locator("li.current")).to_contain_text("2. Look at the pool", timeout=20_000)
    plain.page.get_by_role("button", name="This is real").click()
    expect(plain.page.locator("#drill-state .next .state")).to_have_text("aborted", timeout=30_000)
    expect(plain.page.get_by_text("Fire drill, not a real incident")).to_have_count(0)
    expect(plain.page.get_by_text("Act by the emergency plan")).to_be_visible()
    assert urlsplit(plain.page.url).path == urlsplit(live_url).path
    # The servers were never touched: the drill had not come to that.
    assert web_06(site)["status"] == "ACTIVE"
