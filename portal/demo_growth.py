"""The second half of `make demo ARGS=capacity`: what the pool will need, and a scale-down that takes out what is more.

The growth report of the pool's demand is made anew and says what comes; the pool is sized by it; something else is tried
out; what is more than needed becomes a plan, which both sides approve.
"""

from __future__ import annotations

import html
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from portal.demo_desk import CHOICE
from portal.demo_people import Browser, Story, StoryFailed

LIMIT_S = 60.0


def tell(
    story: Story, manager: Browser, approver: Browser, account: str, run: dict[str, Any]
) -> dict[str, Any]:
    """Forecast, size and hand over the pool that `run` measured; `account` is its address. Raises StoryFailed."""
    rows = story.must(manager.api("GET", f"{account}/sized-pools"), 200, "the sized pools").json()["results"]
    row = next((one for one in rows if one["balancer_id"] == run["balancer_id"]), None)
    if row is None or row["metric"] is None:
        raise StoryFailed(f"The pool {run['balancer_id']} is not sized by any metric.")
    report = _report(story, manager, row["metric"])
    sized = story.must(manager.api("GET", f"/sized-pools/{row['ref']}"), 200, "what the pool needs").json()
    sizing = sized["sizing"]
    saving = sizing["saving"] or {}
    story.say(
        f"{sizing['servers']} servers, {sizing['needed_now']} needed now and {sizing['needed_peak']} at the forecast peak, "
        f"{sizing['headroom']:.0%} of what they carry free: {sizing['surplus']} more than needed, "
        f"{saving.get('server_hours', 'unknown')} server-hours a month (an estimate)"
    )
    tried = story.must(
        manager.api("GET", f"/sized-pools/{row['ref']}/what-if?growth=8&multiple=3"),
        200,
        "something else is tried",
    ).json()
    story.say(
        f"what if it grew by 8 % a month and a sale brought three times as much: {tried['needed']} needed now and then, "
        f"{', '.join(str(one['servers']) for one in tried['sizing']['events'])} for the sale"
    )
    plan = _plan(story, manager, approver, account, run, sized)
    return {
        "sentence": report["sentence"],
        "model": report["model_name"],
        "needed_at_peak": sizing["needed_peak"],
        "more_than_needed": sizing["surplus"],
        "plan": plan["status"],
        "target": plan["data"]["target"],
    }


def _report(story: Story, manager: Browser, metric: str) -> dict[str, Any]:
    """Ask for the growth report anew and wait until it is made."""
    address = f"/metrics/{metric}/growth"
    before = manager.api("GET", address).json().get("made_at")
    story.must(manager.api("POST", address), 202, "the growth report is asked for")
    ends_at = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_at:
        found: dict[str, Any] = manager.api("GET", address).json()
        if found["state"] == "made" and found["made_at"] != before:
            break
        time.sleep(0.5)
    else:
        raise StoryFailed(
            f"The growth report was not made within {LIMIT_S:.0f} s: {found['state']} {found['says']}"
        )
    tested = found["tested"]
    story.say(found["sentence"])
    story.say(
        f"forecast by {found['model_name']}: the highest hour of four weeks {found['next_peak']:.0f} requests a second "
        f"({found['next_peak_low']:.0f} to {found['next_peak_high']:.0f}); earlier forecasts of a week missed by "
        f"{tested['mase']:.2f}, last week again by {tested['naive_mase']:.2f} (scaled errors)"
    )
    return found


def _plan(
    story: Story,
    manager: Browser,
    approver: Browser,
    account: str,
    run: dict[str, Any],
    sized: dict[str, Any],
) -> dict[str, Any]:
    """Draw up the plan that the sizing's button begins, and have both sides approve it."""
    if not sized["plan_url"]:
        raise StoryFailed("Nothing is more than needed, so there is no plan to begin.")
    page = story.must(manager.open(sized["plan_url"]), 200, "the button opens the first page of a plan")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(sized["plan_url"]).query).items()}
    if asked["because"] not in html.unescape(page.text):
        raise StoryFailed("The page of the plan does not say what the sizing said.")
    records = manager.api("GET", f"{account}/scale-up-records").json()["results"]
    draft = story.must(
        manager.api(
            "POST",
            f"{account}/plans",
            {
                "title": "What sizing says is more than needed",
                "connection": run["connection"],
                "event": records[0]["event"],
                "choice": {
                    **CHOICE,
                    "target": int(asked["target"]),
                    "target_reason": asked["because"],
                    "balancer_ids": [run["balancer_id"]],
                },
            },
        ),
        201,
        "a plan is drawn up from the sizing",
    ).json()
    address = f"/plans/{draft['ref']}"
    story.must(manager.api("POST", f"{address}/preview"), 200, "its preview")
    submitted = story.must(
        manager.api("POST", f"{address}/submit", {"reason": asked["because"]}), 200, "it is submitted"
    ).json()
    plan: dict[str, Any] = story.must(
        approver.api("POST", f"{address}/approve", {"digest": submitted["digest"], "reason": "Go ahead."}),
        200,
        "the customer approves it",
    ).json()
    story.say(
        f"a scale-down to {asked['target']} servers is drawn up from it and approved by both sides: {asked['because']}"
    )
    return plan
