"""The story of baselines, told by `make demo ARGS=capacity` over HTTP alone.

The step test that Locust wrote is read, what one server carries is told, its baseline is proposed and approved by the
customer; the same run again is the same; two slower ones make it worse, confirmed. What cannot be is refused on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from portal.demo_people import Browser, Story, StoryFailed

MANAGER, APPROVER = "jonas@north.example", "astrid@lindgren.example"
ACCOUNT = "Lindgren Outdoor"
PERCENTILES = ("50%", "66%", "75%", "80%", "90%", "95%", "98%", "99%", "99.9%", "99.99%", "100%")


def tell(url: str, say: Callable[[str], None], password: str) -> dict[str, Any]:
    """Tell the whole story on the portal at `url`; `password` is that of the desk's people.

    Raises StoryFailed where the portal does not do what it must.
    """
    story = Story(url, say)
    manager, approver = Browser(url), Browser(url)
    story.must(manager.log_in(MANAGER, password), 200, "the launch manager logs in")
    story.must(approver.log_in(APPROVER, password), 200, "the customer's approver logs in")
    held = next(one for one in manager.api("GET", "/accounts").json()["results"] if one["name"] == ACCOUNT)
    account = f"/accounts/{held['ref']}"
    run = next(
        one
        for one in manager.api("GET", f"{account}/benchmarks").json()["results"]
        if one["tool"] == "Locust"
    )
    pool = f"/connections/{run['connection']}/pools/{run['balancer_id']}"
    carries = _ceiling(story, manager, pool)
    baseline = _approved(story, manager, approver, account, run)
    history = manager.api("GET", f"/benchmarks/{run['ref']}/file").text
    verdicts = []
    for days, slower, software in ((9, 1.0, "shop 4.13"), (6, 1.6, "shop 4.14"), (3, 1.7, "shop 4.15")):
        _hand_in(story, manager, account, run, later(history, days, slower), software)
        verdicts.append(_newest(manager, baseline))
    say(f"three newer runs beside the baseline: {', '.join(verdicts)}")
    standing = manager.api("GET", f"/baselines/{baseline}").json()["standing"]
    if verdicts != ["same", "worse", "worse"] or not standing["is_confirmed"]:
        raise StoryFailed(f"The newer runs were {verdicts}, and the standing is {standing}.")
    say(f"{standing['says']} ({', '.join(standing['figures'])})")
    return {
        "story": "capacity",
        "account": held["name"],
        "one_server_carries_rps": round(carries, 1),
        "verdicts": verdicts,
        "is_confirmed": standing["is_confirmed"],
        "refused": story.refused,
    }


def _ceiling(story: Story, manager: Browser, pool: str) -> float:
    found = story.must(manager.api("GET", f"{pool}/ceiling"), 200, "what one server carries").json()
    taken, curve = found["taken"], found["curve"]
    if taken is None or curve is None:
        raise StoryFailed(f"Nothing speaks for a ceiling: {found['why']} {found['why_no_curve']}")
    story.say(
        f"one server carries {taken['requests_per_s']:.1f} requests a second ({taken['source']}); the curve through "
        f"{len(found['steps'])} steps has its most at {curve['most']:.0f} for the pool"
    )
    return float(taken["requests_per_s"])


def _approved(story: Story, manager: Browser, approver: Browser, account: str, run: dict[str, Any]) -> str:
    """Propose the run as the next version, have the customer approve it; return its reference."""
    until = (datetime.now(UTC) + timedelta(days=180)).isoformat()
    asked = {"benchmark": run["ref"], "valid_until": until, "reason": "The shop before its autumn launch."}
    story.refuses(approver.api("POST", f"{account}/baselines", asked), 403, "a customer proposes a baseline")
    made = story.must(manager.api("POST", f"{account}/baselines", asked), 201, "it is proposed").json()
    decision = {"digest": made["digest"]}
    address = f"/approvals/{made['approval']}/approve"
    story.refuses(
        manager.api("POST", address, {**decision, "side": "customer"}),
        403,
        "the proposer approves for the customer",
    )
    story.must(approver.api("POST", address, decision), 200, "the customer approves it")
    story.say(f"baseline {made['version']} is proposed by the launch manager and approved by the customer")
    return str(made["ref"])


def later(history: str, days_ago: int, slower: float) -> str:
    """Return a Locust history as if it had run so many days ago, its answers `slower` times as slow."""
    head, *lines = history.strip().split("\n")
    names = head.split(",")
    first = int(lines[0].split(",")[0])
    begins = int((datetime.now(UTC) - timedelta(days=days_ago)).timestamp())
    written = [head]
    for line in lines:
        cells = line.split(",")
        cells[0] = str(int(cells[0]) - first + begins)
        for name in PERCENTILES:
            at = names.index(name)
            cells[at] = f"{float(cells[at]) * slower:.0f}"
        written.append(",".join(cells))
    return "\n".join(written) + "\n"


def _hand_in(
    story: Story, manager: Browser, account: str, run: dict[str, Any], content: str, software: str
) -> None:
    body = {
        "content": content,
        "file_name": "steps_stats_history.csv",
        "title": f"Six servers again, {software}",
        "software": software,
        **{name: run[name] for name in ("connection", "balancer_id", "node_count", "flavor", "mix")},
    }
    story.must(manager.api("POST", f"{account}/benchmarks", body), 201, f"the run of {software} is taken in")


def _newest(manager: Browser, baseline: str) -> str:
    rows = manager.api("GET", f"/baselines/{baseline}/comparisons").json()["results"]
    return str(rows[0]["verdict"]) if rows else "nothing"
