"""Every page that a link leads to, for everybody: no fault that axe finds, nothing too wide, nothing said, light enough.

Named so that it runs after the stories: their runs, halted and complete, are among the pages.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, get_resolver, resolve
from playwright.sync_api import expect

from tests.browser import story

pytestmark = pytest.mark.browser
AXE = (Path(__file__).resolve().parents[1] / "vendor" / "axe.min.js").read_text()
NARROWEST = 360
MOST_BYTES = 260_000
# Colours do not depend on the width: the dark look is asked once.
AT_THE_DESK = [(1440, "light"), (1440, "dark"), (390, "light")]
ON_THE_PHONE = [(390, "light"), (390, "dark")]
# Roles see the same pages, cut to the role: one look finds what a role adds.
ONE_LOOK = [(390, "light")]
PEOPLE = {
    "manager": ("jonas@north.example", AT_THE_DESK),
    "lead": ("lena@north.example", ONE_LOOK),
    "operator": ("ops@north.example", ONE_LOOK),
    "viewer": ("vera@lindgren.example", ONE_LOOK),
    "editor": ("emil@lindgren.example", ONE_LOOK),
    "approver": ("astrid@lindgren.example", ON_THE_PHONE),
    "admin": ("maja@lindgren.example", ONE_LOOK),
    "other_customer": ("tom@harbor.example", ONE_LOOK),
}
NO_PAGE = {
    "baseline",
    "baseline-approve",
    "baseline-reject",
    "baseline-withdraw",
    "benchmark-file",
    "cost-csv",
    "drill",
    "drill-approve",
    "drill-attest",
    "drill-command",
    "drill-copy",
    "drill-edit",
    "drill-experiment",
    "drill-journal",
    "drill-live",
    "drill-reject",
    "drill-report",
    "drill-report-pdf",
    "drill-script",
    "drill-start",
    "drill-stream",
    "drill-submit",
    "drill-take-over",
    "drill-withdraw",
    "drills-over-time",
    "finding-act",
    "finding-change",
    "finding-new",
    "finding-take-over",
    "finding-withdraw",
    "growth",
    "growth-approve",
    "growth-ask",
    "growth-reject",
    "growth-withdraw",
    "handover-answer",
    "host-act",
    "load",
    "load-abort",
    "load-stream",
    "metric-csv",
    "metric-data",
    "metric-vital",
    "plan-approve",
    "plan-copy",
    "plan-rehearse",
    "price-remove",
    "pull-act",
    "profile",
    "profile-approve",
    "profile-edit",
    "profile-reject",
    "profile-start",
    "profile-submit",
    "profile-withdraw",
    "protected-lift",
    "run-grow",
    "run-lesson",
    "run-stream",
    "scenario-compare",
    "scenario-go-back",
    "sized-pool-look",
    "standstill-lift",
}
"""What answers a command only, or is a page that asks about a row which nobody here makes (a run that has deleted servers
of which there are images; a baseline that was proposed)."""
# These differ with the status of their row: one is looked at for each status, of so many rows at most. Who must come to
# the draft and to the live run opens more of them than who only sees the same, cut to a role.
BY_STATUS = {"scaledown:plan-detail", "scaledown:run-detail"}
MOST_ROWS = 20
FEWER_ROWS = 4
# And this one with the command that it asks about.
BY_COMMAND = {"scaledown:run-command"}
# For programs: a browser that shows their plain text asks for an icon that they do not name.
NOT_PAGES = ("/api/", "/static/", "/logout", "/readyz", "/metrics")
DOWNLOADS = (".csv", ".pdf", "/file/")
ABOUT_COLOURS = ["color-contrast", "link-in-text-block"]
REACHED: dict[str, set[str]] = {}
LOOKED_AT: set[tuple[str, tuple[int, str]]] = set()


def page_of(href: str) -> tuple[str, str]:
    """Return the name of the page behind a link and its path, or two empty words for what is no page of ours."""
    parts = urlsplit(href)
    here = not parts.netloc and parts.path.startswith("/")
    if not here or parts.path.startswith(NOT_PAGES) or parts.path.endswith(DOWNLOADS):
        return "", ""
    try:
        return resolve(parts.path).view_name, parts.path
    except Resolver404:
        return "", ""


def markup_of(page) -> str:
    """Return what axe would look at, without what tells one reader, row or moment from another.

    What is around it is the same on every page of one person: that is looked at with the first.
    """
    html = page.evaluate("document.querySelector('main').outerHTML")
    html = re.sub(r'="[A-Za-z0-9]{32,}"', "", html)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+", "", html)


def faults_of(page, looks, *, is_first: bool) -> list[str]:
    """Hold the page before us against axe in these looks, and against the narrowest window.

    What another person was shown alike is not looked at again, unless it is the first page of this one. The dark
    look differs from the light one in its colours alone, so that only the rules about colours are asked there.
    """
    found = []
    markup = markup_of(page)
    new = [look for look in looks if is_first or (markup, look) not in LOOKED_AT]
    LOOKED_AT.update((markup, look) for look in new)
    if new:
        page.evaluate(f"() => {{ {AXE} }}")
    for width, scheme in new:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
        options = {"resultTypes": ["violations"]}
        if scheme == "dark" and (width, "light") in looks:
            options["runOnly"] = {"type": "rule", "values": ABOUT_COLOURS}
        result = page.evaluate("options => axe.run(document, options)", options)
        found += [
            f"{page.url} {width} {scheme}: {one['id']} {[node['target'] for node in one['nodes']][:3]}"
            for one in result["violations"]
        ]
    page.set_viewport_size({"width": NARROWEST, "height": 800})
    if not page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
        found.append(f"{page.url}: wider than {NARROWEST} px")
    return found


@pytest.fixture(scope="module")
def run_to_look_at(browser, site):
    """What people are in the middle of at Lindgren Outdoor, each newer than what the stories left there.

    A live run (its watch time outlasts the walk), a plan that waits for the customer, and a draft.
    """
    manager = story.sit_down(browser, site.url, story.MANAGER)
    approver = story.sit_down(browser, site.url, story.APPROVER, viewport=story.PHONE)
    plan_url = story.draw_up(manager, out=1, soak="2 h")
    story.approve(approver, plan_url)
    story.draw_up(manager, out=1)
    story.draw_up(manager, out=1, submit=False)
    story.start(manager, plan_url, size="1 server")
    manager.context.close()
    approver.context.close()


@pytest.mark.parametrize("who", PEOPLE)
def test_no_page_has_a_fault(browser, site, run_to_look_at, who):
    email, looks = PEOPLE[who]
    most_rows = MOST_ROWS if who in IN_EVERY_LOOK else FEWER_ROWS
    person = story.sit_down(browser, site.url, email)
    page = person.page
    waiting = ["/"]
    seen: dict[str, int] = {}
    statuses: set[str] = set()
    faults: list[str] = []
    while waiting:
        path = waiting.pop(0)
        name = resolve(path).view_name
        key = f"{name} {path.rsplit('/', 2)[-2]}" if name in BY_COMMAND else name
        if seen.get(key, 0) >= (most_rows if name in BY_STATUS else 1):
            continue
        seen[key] = seen.get(key, 0) + 1
        person.said.clear()
        page.set_viewport_size(story.DESK)
        answer = page.goto(f"{site.url}{path}", wait_until="load")
        assert answer is not None
        # A live run moves on between the link and the click; the page then says so.
        moved_on = answer.status == 409
        assert answer.ok or moved_on, (path, answer.status)
        if "html" not in answer.headers.get("content-type", ""):
            continue
        shown = f"{name} {page.locator('main .state').first.inner_text()}" if name in BY_STATUS else ""
        if shown not in statuses:
            faults += faults_of(page, looks, is_first=path == "/")
        statuses |= {shown} - {""}
        faults += [f"{path} said: {line}" for line in person.said if not moved_on]
        for href in page.eval_on_selector_all("a[href]", "all => all.map(one => one.getAttribute('href'))"):
            name, found = page_of(href)
            if name and found not in waiting:
                waiting.append(found)
    hosts = set(person.hosts)
    person.context.close()
    REACHED[who] = {key.split()[0] for key in seen}
    assert not faults, "\n".join(faults)
    assert hosts == {urlsplit(site.url).netloc}


IN_EVERY_LOOK = {
    "manager": {"plan-purpose", "plan-pool", "plan-safety", "plan-preview", "plan-submit", "run-command"},
    "approver": {"plan-preview", "plan-reject", "run-command"},
}
"""Where the main job is done: these two must see them with their own eyes, not by somebody else's look."""


def test_somebody_reached_every_page_of_scale_down():
    """A page that no link leads to was not looked at above, and nobody else finds it either."""
    if set(REACHED) != set(PEOPLE):
        pytest.skip("Not everybody walked in this process.")
    names = {
        f"{space}:{pattern.name}"
        for space in ("scaledown", "capacity")
        for pattern in get_resolver().namespace_dict[space][1].url_patterns
        if pattern.name not in NO_PAGE
    }
    assert sorted(names - set().union(*REACHED.values())) == []
    for who, own in IN_EVERY_LOOK.items():
        assert sorted({f"scaledown:{name}" for name in own} - REACHED[who]) == []


@pytest.mark.parametrize("path", ["/", "/accounts/", "run", "report"])
def test_the_first_view_is_light(browser, site, run_to_look_at, path):
    """Everything that comes over the wire for somebody who was never here, but the live stream."""
    person = story.sit_down(browser, site.url, story.MANAGER)
    page = person.page
    if not path.startswith("/"):
        page.goto(f"{site.url}/accounts/")
        page.get_by_role("link", name="Lindgren Outdoor").first.click()
        page.get_by_role("link", name="All plans and runs").click()
        found = page.locator("a[href*='/scaledown/runs/']").first.get_attribute("href") or ""
        path = found if path == "run" else f"{found}report/"
    page.goto(f"{site.url}{path}", wait_until="load")
    page.wait_for_timeout(1000)
    asked = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
    sizes = {}
    for address in {page.url, *asked}:
        if "/stream/" in address:
            continue
        answer = person.context.request.get(address)
        # Fonts are compressed as they are; a desk sends the rest plain, production compressed (`collectstatic`).
        is_font = "font" in answer.headers["content-type"]
        body = answer.body()
        sizes[urlsplit(address).path] = len(body) if is_font else len(gzip.compress(body, 6))
    person.context.close()
    assert any(name.endswith(".css") for name in sizes)
    assert any(name.endswith(".js") for name in sizes)
    assert sum(sizes.values()) < MOST_BYTES, sizes
