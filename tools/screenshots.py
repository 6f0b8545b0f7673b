"""Draw the main pages at 1440 and 390 px, light and dark, into `docs/img`: `python -m tools.screenshots`.

A whole portal with workers and the simulator is started, the story of the browser tests is lived once, and each
page is drawn on the way. `tests/chromium.py` says where Chromium is looked for.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, ViewportSize, expect

from portal.embedded import start_portal
from portal.embedded.handle import Held
from tests import chromium
from tests.browser import story
from tools.png import shrink

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "img"
MOST_BYTES = 2_500_000
TALLEST = {"desk": 1500, "phone": 1700}


class Camera:
    """Draws the page before somebody, in both schemes, and gives the page back as it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def draw(self, person: story.Person, name: str) -> None:
        """Write `<name>-<width>-<scheme>.png`, twice."""
        page = person.page
        was = page.viewport_size
        assert was is not None
        kind = "phone" if was["width"] < 600 else "desk"
        page.evaluate("document.activeElement && document.activeElement.blur()")
        page.wait_for_load_state()  # a page that is still on its way has no height
        height = min(int(page.evaluate("document.documentElement.scrollHeight")), TALLEST[kind])
        page.set_viewport_size(ViewportSize(width=was["width"], height=max(was["height"], height)))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            path = self.folder / f"{name}-{was['width']}-{scheme}.png"
            page.screenshot(path=path)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(was)


def control(held: Held, method: str, path: str, body: Any = None) -> Any:
    """Ask the simulator's control plane."""
    answer = httpx.request(
        method,
        f"{held.simulator_url}/_sim/{path}",
        json=body,
        headers={"X-Simulator-Token": held.control_token},
        trust_env=False,
    )
    answer.raise_for_status()
    return answer.json() if answer.content else None


def live(held: Held, browser: Browser, draw: Callable[[story.Person, str], None]) -> None:
    """Live the story of the web pool to its end, drawing on the way."""
    manager = story.sit_down(browser, held.url, story.MANAGER)
    plan_url = story.draw_up(
        manager,
        soak="8 s",
        at_step=lambda name: draw(manager, name) if name in {"pool", "safety", "preview"} else None,
    )
    draw(manager, "plan")
    approver = story.sit_down(browser, held.url, story.APPROVER, viewport=story.PHONE)
    approver.page.goto(plan_url)
    draw(approver, "approval")
    story.approve(approver, plan_url)
    run_url = story.start(manager, plan_url, size="3 servers")
    approver.page.goto(run_url)
    lanes = manager.page.locator("#run-lanes")
    # The second server on its way shows most: one is done, one drains, one waits.
    expect(lanes.locator(".lane").nth(1)).to_contain_text("measured", timeout=120_000)
    manager.page.goto(run_url)
    expect(lanes.locator(".lane").nth(1)).to_contain_text("measured")
    for person in (manager, approver):
        expect(person.page.locator(".live")).to_have_text("live")
    draw(manager, "live-run")
    draw(approver, "live-run")
    manager.page.goto(f"{held.url}/")
    draw(manager, "dashboard")
    manager.page.goto(run_url)
    expect(manager.page.locator("#run-state .next .state")).to_have_text("completed", timeout=240_000)
    manager.page.get_by_role("link", name="Report").click()
    draw(manager, "report")
    approver.page.goto(f"{run_url}report/")
    draw(approver, "report")


def halt(held: Held, browser: Browser, draw: Callable[[story.Person, str], None]) -> None:
    """Let another hand spoil the other customer's run, and draw what both see."""
    manager = story.sit_down(browser, held.url, story.MANAGER)
    page = manager.page
    page.goto(f"{held.url}/accounts/")
    page.get_by_role("link", name="Harbor Books").first.click()
    page.get_by_role("link", name="All plans and runs").click()
    page.locator("tbody a").first.click()
    plan_url = page.url
    customer = story.sit_down(browser, held.url, "ana@harbor.example", viewport=story.PHONE)
    story.approve(customer, plan_url)
    page.goto(plan_url)
    size = page.get_by_role("link", name="Start:").inner_text().removeprefix("Start: ").removesuffix("…")
    run_url = story.start(manager, plan_url, size=size)
    expect(page.locator("#run-journal")).to_contain_text("takes no new connections", timeout=60_000)
    front = next(one for one in control(held, "GET", "world")["load_balancers"] if one["name"] == "front")
    node = next(one for one in front["nodes"] if one["condition"] == "DRAINING")
    control(
        held,
        "POST",
        "hands",
        {"do": "set_condition", "lb_id": front["id"], "node_id": node["id"], "condition": "ENABLED"},
    )
    expect(page.locator("#halt-title")).to_be_visible(timeout=60_000)
    page.goto(run_url)
    draw(manager, "halt")
    customer.page.goto(run_url)
    draw(customer, "halt")


def main() -> int:
    """Draw everything; returns 1 if the pictures are too heavy for the repository."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as drawn,
        start_portal(scenario="desk") as held,
        chromium.browser() as browser,
    ):
        control(held, "PATCH", "settings", {"delete_s": 4.0, "image_s": 4.0})
        camera = Camera(Path(drawn))
        live(held, browser, camera.draw)
        halt(held, browser, camera.draw)
        for path in sorted(Path(drawn).iterdir()):
            (IMAGES / path.name).write_bytes(shrink(path.read_bytes()))
    total = sum(path.stat().st_size for path in IMAGES.glob("*.png"))
    print(f"{total / 1e6:.2f} MB in {IMAGES}")
    return 0 if total <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
