"""What if, in a real browser on the real portal: what moves is asked, and the portal's own answer is read."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser import story
from tests.browser.test_stories import look, people

pytestmark = pytest.mark.browser
__all__ = ["people"]


def told(page, name):
    """Return what the answer says of something."""
    return page.locator("#answer dt", has_text=name).first.locator("xpath=following-sibling::dd[1]")


def slider(page, name):
    return page.get_by_role("slider", name=re.compile(name))


def first_number(place):
    return int(re.search(r"\d+", place.inner_text().replace("\u202f", ""))[0])


def open_what_if(person):
    """Go from the accounts to the pool's What if, as somebody does who clicks."""
    page = person.page
    page.goto(f"{person.url}/accounts/")
    page.get_by_role("link", name="Lindgren Outdoor").first.click()
    page.wait_for_url("**/accounts/*-*/")
    page.goto(f"{page.url}growth/")
    # A worker makes the first report while the portal starts.
    for _look in range(60):
        if page.locator("p.lead").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    page.get_by_role("link", name="What if").first.click()
    expect(page.get_by_role("heading", name="What if", exact=True)).to_be_visible()
    expect(slider(page, "Servers")).to_be_visible()
    return page


def test_sliders_are_moved_and_the_portal_answers(site, people):
    page = open_what_if(people(story.MANAGER))
    needed = first_number(told(page, "Needed"))
    until = told(page, "until").inner_text()
    expect(told(page, "An event of 2 times normal")).to_be_visible()

    slider(page, "An event").fill("6")
    six = told(page, "An event of 6 times normal")
    expect(six).to_contain_text("servers")
    for_six = first_number(six)
    assert for_six > needed
    # An event is no growth.
    assert first_number(told(page, "Needed")) == needed

    slider(page, "Servers").fill("1")
    expect(told(page, "Needed")).to_contain_text("there are 1")
    expect(told(page, "until")).not_to_have_text(until)
    expect(told(page, "An event of 6 times normal")).to_contain_text(f"{for_six - 1} more than there are")
    slider(page, "Servers").fill("40")
    expect(told(page, "Needed")).to_contain_text("there are 40")
    expect(told(page, "An event of 6 times normal")).to_contain_text("there are enough")

    long_until = told(page, "until").inner_text()
    slider(page, "Growth").fill("20")
    expect(told(page, "until")).not_to_have_text(long_until)
    assert first_number(told(page, "Needed")) >= needed


def test_on_a_phone_with_the_keyboard_alone_the_answer_follows(site, people):
    viewer = people(story.VIEWER, viewport=story.PHONE)
    page = open_what_if(viewer)
    event = slider(page, "An event")
    for _press in range(80):
        page.keyboard.press("Tab")
        if event.evaluate("slider => slider === document.activeElement"):
            break
    before = first_number(told(page, "An event of 2 times normal"))
    for _press in range(10):
        page.keyboard.press("ArrowRight")
    three = told(page, "An event of 3 times normal")
    expect(three).to_be_visible()
    assert first_number(three) > before
    page.keyboard.press("End")
    expect(told(page, "An event of 15 times normal")).to_be_visible()
    # The number beside it is typed, too.
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("4")
    expect(told(page, "An event of 4 times normal")).to_be_visible()
    look(viewer)


@pytest.mark.parametrize("viewport", [story.DESK, story.PHONE])
def test_the_curve_of_what_one_server_carries_is_zoomed_into_by_keyboard(site, people, viewport):
    person = people(story.MANAGER, viewport=viewport)
    page = person.page
    page.goto(f"{person.url}/accounts/")
    page.get_by_role("link", name="Lindgren Outdoor").first.click()
    page.wait_for_url("**/accounts/*-*/")
    page.goto(f"{page.url}baselines/")
    page.locator("a[href$='/ceiling/']").first.click()
    figure = page.locator("figure[data-zoom]").first
    figure.get_by_role("button", name="Zoom into this chart").press("Enter")
    expect(figure.locator("canvas")).to_be_visible()
    expect(figure.locator("svg.plot")).to_be_hidden()
    closer = figure.get_by_role("button", name="Closer")
    expect(closer).to_be_focused()
    page.keyboard.press("Enter")
    figure.get_by_role("button", name="Whole range").click()
    figure.get_by_text("The values as a table").click()
    expect(figure.locator("table.data")).to_contain_text("the curve")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    look(person)
