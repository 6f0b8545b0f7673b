"""What people do in a browser, step by step; the tests and `tools/screenshots.py` share it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

PASSWORD = "steady-as-she-goes"
MANAGER = "jonas@north.example"
LEAD = "lena@north.example"
APPROVER = "astrid@lindgren.example"
VIEWER = "vera@lindgren.example"
DESK = ViewportSize(width=1440, height=900)
PHONE = ViewportSize(width=390, height=844)


@dataclass
class Person:
    """Somebody at a browser of their own; `said` is what the browser complained about, `asked` every host."""

    context: BrowserContext
    page: Page
    url: str
    said: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


def sit_down(
    browser: Browser,
    url: str,
    email: str,
    *,
    viewport: ViewportSize = DESK,
    scheme: Any = "light",
    **options: Any,
) -> Person:
    """Return somebody who has logged in."""
    context = browser.new_context(
        viewport=viewport,
        color_scheme=scheme,
        has_touch=viewport["width"] < 600,
        # A theme that fades in has the contrast of neither for a moment.
        reduced_motion="reduce",
        **options,
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    person = Person(context, page, url)
    page.on(
        "console", lambda line: person.said.append(line.text) if line.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: person.said.append(str(error)))
    page.on("request", lambda request: person.hosts.add(request.url.split("/")[2]))
    page.goto(f"{url}/login/")
    page.locator("[name=username]").fill(email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")
    page.wait_for_url(f"{url}/")
    return person


def draw_up(
    person: Person, *, out: int = 3, soak: str = "6 s", at_step: Any = None, submit: bool = True
) -> str:
    """Draw up a scale-down by the guided path and submit it; return the plan's address.

    Without `submit` it stays a draft with a preview, whose last step is open.
    """
    page = person.page
    seen = at_step or (lambda name: None)
    page.goto(f"{person.url}/accounts/")
    page.get_by_role("link", name="Lindgren Outdoor").first.click()
    page.get_by_role("link", name="Draw up a scale-down").first.click()
    page.get_by_label("Name of the plan").fill("web: six servers to three")
    page.get_by_label("Why now").fill("The autumn launch is over and traffic is back to where it was.")
    seen("what-for")
    page.get_by_role("button", name="Go on to pool and order").click()
    expect(page.get_by_role("heading", name="Stays", exact=True)).to_be_visible()
    heading = page.locator("#out-title").inner_text()
    there = int(heading.rsplit(" ", 1)[1])
    page.get_by_label("Servers that stay").fill(str(there - out))
    page.get_by_label("Reason for fewer than proposed").fill(
        "Two of the three share a host for this week; the provider moves one of them."
    )
    page.get_by_role("button", name="Look again with this").click()
    expect(page.get_by_role("heading", name=f"Comes out: {out} of {there}")).to_be_visible()
    seen("pool")
    page.get_by_role("button", name="Go on to safety").click()
    page.get_by_label("Drain limit").fill("2 min")
    page.get_by_label("Watch time").fill(soak)
    # Seconds of looking are too few to hold answers against those before; the run would look on until they are enough.
    page.get_by_label("Answers may be slower by").fill("")
    page.get_by_label("Pause between two servers").fill("1 s")
    # On some days the highest hour of the forecast is near, and both would be proposed: a story does not wait for hours.
    page.get_by_label("No: only for the time above").check()
    page.get_by_label("No: the run ends with its last server").check()
    for box in page.locator('input[name="vital"]').all():
        box.uncheck()
    page.get_by_label("Why none is watched").fill("Nobody buys anything on a desk.")
    seen("safety")
    page.get_by_role("button", name="Go on to the preview").click()
    expect(page.get_by_role("heading", name="Every step")).to_be_visible()
    seen("preview")
    page.get_by_role("link", name="Go on to the approvals").click()
    expect(page.get_by_text("Astrid Lund")).to_be_visible()
    seen("approvals")
    if not submit:
        return page.url
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.get_by_text("Now the customer decides")).to_be_visible()
    return page.url


def approve(person: Person, plan_url: str) -> None:
    """Approve on the phone what the five lines say."""
    page = person.page
    page.goto(plan_url)
    for line in ("What", "When", "Down to", "Never fewer than", "Cannot be undone"):
        expect(page.locator(".approval-lines dt", has_text=line).first).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("You have approved this plan")).to_be_visible()


def see_it_end(person: Person, word: str) -> None:
    """Wait until the run before us says that it came to this end; where it does not, say what it told of itself."""
    page = person.page
    try:
        expect(page.locator("#run-state .next .state")).to_have_text(word, timeout=90_000)
    except AssertionError as error:
        told = [page.locator(part).inner_text() for part in ("#run-lanes", "#run-journal")]
        error.add_note("\n\n".join(told))
        raise


def start(person: Person, plan_url: str, *, size: str) -> str:
    """Start the approved plan by typing its size; return the run's address."""
    page = person.page
    page.goto(plan_url)
    page.get_by_role("link", name="Start:").click()
    page.get_by_label(f"Type {size} to confirm").fill(size)
    page.get_by_role("button", name="Take out and delete").click()
    expect(page.locator("#now-title")).to_be_visible()
    return page.url.split("?")[0]
