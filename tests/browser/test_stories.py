"""The main job in a real browser: drawn up, approved on a phone, started, watched to its end, read."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser import story

pytestmark = pytest.mark.browser
AXE = (Path(__file__).resolve().parents[1] / "vendor" / "axe.min.js").read_text()


def look(person):
    """Hold the page before us against axe, in light and dark."""
    page = person.page
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
        page.evaluate(f"() => {{ {AXE} }}")
        result = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        found += [
            (urlsplit(page.url).path, scheme, one["id"], [node["target"] for node in one["nodes"]][:3])
            for one in result["violations"]
        ]
    page.emulate_media(color_scheme="light")
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "wider than the window"


def saved(page, chart, name):
    """Return what a button of a chart hands over."""
    with page.expect_download() as waiting:
        chart.get_by_role("button", name=name).click()
    return Path(waiting.value.path()).read_bytes()


@pytest.fixture
def people(browser, site):
    """Sits people down and, at the end, asks what their browsers complained about and whom they called."""
    seated = []

    def sit(email, **options):
        # axe is brought in by evaluate, which the policy rightly forbids to pages themselves.
        person = story.sit_down(browser, site.url, email, **options)
        seated.append(person)
        return person

    yield sit
    for person in seated:
        person.context.close()
        assert person.said == []
        assert person.hosts == {urlsplit(site.url).netloc}


def test_a_scale_down_from_the_first_click_to_the_report(site, people):
    # The drills of an earlier story in this process harm on purpose.
    harmed = site.simulator("GET", "truth")["harmed_connections"]
    manager = people(story.MANAGER)
    plan_url = story.draw_up(manager, out=1, soak="5 s", at_step=lambda name: look(manager))
    look(manager)

    approver = people(story.APPROVER, viewport=story.PHONE)
    expect(approver.page.get_by_text("Your approval is asked for")).to_be_visible()
    look(approver)
    approver.page.goto(plan_url)
    look(approver)
    approver.page.get_by_role("link", name="Turn it down…").click()
    expect(approver.page.get_by_label("Why")).to_be_visible()
    look(approver)
    story.approve(approver, plan_url)

    run_url = story.start(manager, plan_url, size="1 server")
    expect(manager.page.locator(".live")).to_have_text("live")
    approver.page.goto(run_url)
    expect(approver.page.locator("#run-lanes")).to_contain_text("connections are finishing", timeout=30_000)
    expect(manager.page.locator("#run-lanes")).to_contain_text("draining")
    look(approver)
    look(manager)

    # Both watch the same thing to its end, and neither had to reload.
    for person, done in ((manager, "completed"), (approver, "finished")):
        story.see_it_end(person, done)
        expect(person.page.locator(".live")).to_have_text("ended")
    expect(manager.page.locator("#run-lanes")).to_contain_text("retired")
    look(manager)

    # Opened late it shows the same.
    late = people(story.VIEWER)
    late.page.goto(run_url)
    expect(late.page.locator("#run-state .next .state")).to_have_text("finished")
    late.page.get_by_role("link", name="Report").click()
    expect(late.page.get_by_text("None seen:")).to_be_visible()
    expect(late.page.get_by_role("heading", name="Connections running out")).to_be_visible()
    look(late)
    chart = late.page.get_by_role("figure", name="Open connections per server")
    picture = saved(late.page, chart, "Save as PNG")
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(picture) > 5_000, "an empty canvas is smaller"
    lines = saved(late.page, chart, "Save as CSV").decode().splitlines()
    assert lines[0].startswith("time,web-")
    assert len(lines) > 3
    assert lines[1].split(",")[0].endswith("Z")
    assert site.simulator("GET", "truth")["harmed_connections"] == harmed


def test_a_halt_is_plain_to_see_and_offers_what_is_safe(site, people):
    manager = people(story.MANAGER)
    page = manager.page
    page.goto(f"{site.url}/accounts/")
    page.get_by_role("link", name="Harbor Books").first.click()
    page.get_by_role("link", name="All plans and runs").click()
    page.locator("tbody a").first.click()
    plan_url = page.url
    customer = people("ana@harbor.example", viewport=story.PHONE)
    story.approve(customer, plan_url)
    page.goto(plan_url)
    count = page.get_by_role("link", name="Start:").inner_text().removeprefix("Start: ").removesuffix("…")
    run_url = story.start(manager, plan_url, size=count)
    expect(page.locator("#run-lanes")).to_contain_text("draining", timeout=30_000)
    expect(page.locator("#run-journal")).to_contain_text("takes no new connections", timeout=30_000)
    front = next(lb for lb in site.simulator("GET", "world")["load_balancers"] if lb["name"] == "front")
    draining = next(node for node in front["nodes"] if node["condition"] == "DRAINING")
    site.simulator(
        "POST",
        "hands",
        {"do": "set_condition", "lb_id": front["id"], "node_id": draining["id"], "condition": "ENABLED"},
    )
    expect(page.locator("#halt-title")).to_contain_text("Halted", timeout=30_000)
    expect(page.get_by_role("button", name="Resume the run")).to_be_visible()
    look(manager)
    customer.page.goto(run_url)
    expect(customer.page.locator("#halt-title")).to_contain_text("Paused for safety")
    look(customer)
    page.goto(f"{site.url}/")
    expect(page.locator("#panel-needs-person")).to_contain_text("halted")
    look(manager)

    # What cannot be undone is asked for on a page of its own, and needs its reason.
    page.goto(run_url)
    page.get_by_role("link", name="Abort").click()
    look(manager)
    page.get_by_label("Reason").fill("Somebody else works on this pool today.")
    page.locator("form.panel button[type=submit]").click()
    expect(page.locator("#run-state .next .state")).to_have_text("aborted", timeout=30_000)


def test_the_customer_approves_with_the_keyboard_alone(site, people):
    manager = people(story.MANAGER)
    plan_url = story.draw_up(manager, out=1)
    approver = people(story.APPROVER)
    page = approver.page
    page.goto(plan_url)
    for _press in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim().startsWith('Approve')"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.get_by_text("You have approved this plan")).to_be_visible()


def test_without_javascript_a_plan_is_drawn_up_and_approved(site, people):
    manager = people(story.MANAGER, java_script_enabled=False)
    plan_url = story.draw_up(manager, out=1)
    approver = people(story.APPROVER, viewport=story.PHONE, java_script_enabled=False)
    story.approve(approver, plan_url)


@pytest.mark.parametrize("where", ["records/", "protected/", "", "new/"])
def test_the_pages_around_it_have_no_fault_that_axe_finds(site, people, where):
    manager = people(story.MANAGER)
    manager.page.get_by_role("link", name="Lindgren Outdoor").first.click()
    manager.page.goto(f"{manager.page.url}scaledown/{where}")
    look(manager)


def test_the_page_that_stops_everything_has_no_fault_that_axe_finds(site, people):
    manager = people(story.MANAGER, viewport=story.PHONE)
    manager.page.get_by_role("link", name="Lindgren Outdoor").first.click()
    manager.page.goto(f"{manager.page.url}standstill/")
    look(manager)
