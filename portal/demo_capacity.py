"""The story of baselines, told by `make demo ARGS=capacity` over HTTP alone.

The step test that Locust wrote is read, what one server carries is told, its baseline is proposed and approved by the
customer; the same run again is the same; two slower ones make it worse, confirmed. What is needed is forecast and sized, and
what is more becomes an approved scale-down (`demo_growth.py`). Then the portal puts a load on by itself: the host is proven, both sides approve the profile, Locust runs for twelve seconds, and what it measured stands beside
the evidence of what one server carries, as a simple benchmark: its steps are too short to count. What cannot be is refused on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from portal import demo_growth
from portal.demo_people import Browser, Story, StoryFailed

MANAGER, APPROVER = "jonas@north.example", "astrid@lindgren.example"
ACCOUNT = "Lindgren Outdoor"
PERCENTILES = ("50%", "66%", "75%", "80%", "90%", "95%", "98%", "99%", "99.9%", "99.99%", "100%")


LOAD_S = 12
LIMIT_S = 60.0


@dataclass(frozen=True)
class SiteOwner:
    """Where the site is, and how its owner publishes a line on its host."""

    url: str
    publish: Callable[[str], None]


def tell(url: str, say: Callable[[str], None], password: str, site: SiteOwner) -> dict[str, Any]:
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
    grows = demo_growth.tell(story, manager, approver, account, run)
    load = _load(story, manager, approver, account, run, site)
    return {
        "story": "capacity",
        "account": held["name"],
        "one_server_carries_rps": round(carries, 1),
        "verdicts": verdicts,
        "is_confirmed": standing["is_confirmed"],
        "growth": grows,
        "load": load,
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


def _load(
    story: Story, manager: Browser, approver: Browser, account: str, run: dict[str, Any], site: SiteOwner
) -> dict[str, Any]:
    """Prove the host, have a profile approved, put the load on; return what it measured and how strong that is as evidence."""
    place = urlsplit(site.url).netloc
    profile = _profile(story, manager, approver, account, run, f"{site.url}/site/{run['balancer_id']}/")
    start = f"/load-profiles/{profile['ref']}/start"
    asked = {
        "digest": profile["digest"],
        "reason": "What one server carries, by the portal’s own generator.",
        **{name: run[name] for name in ("node_count", "flavor", "software")},
    }
    story.refuses(manager.api("POST", start, asked), 422, "load is put on a host that nobody proved")
    host = story.must(
        manager.api("POST", f"{account}/hosts", {"place": place}), 201, "a host is entered"
    ).json()
    check = f"/hosts/{host['ref']}/check"
    if story.must(manager.api("POST", check), 200, "the host is looked at").json()["state"] == "host_proven":
        raise StoryFailed("A host counts as proven before anything was published.")
    site.publish(host["proof"])
    proven = story.must(manager.api("POST", check), 200, "the host is looked at again").json()
    if proven["state"] != "host_proven":
        raise StoryFailed(f"The proof was published and not found: {proven['problem']}")
    story.say(f"{place} is proven to be the account's own, by a file under /.well-known/")
    load = story.must(manager.api("POST", start, asked), 201, "the load is put on").json()
    ended = _ended(manager, load["ref"])
    if ended["ending"] != "load_completed" or ended["benchmark"] is None:
        raise StoryFailed(f"The load {ended['ending']}: {ended['ending_says']}")
    measured = manager.api("GET", f"/benchmarks/{ended['benchmark']}").json()
    result = measured["result"]
    found = manager.api("GET", f"/connections/{run['connection']}/pools/{run['balancer_id']}/ceiling").json()
    evidence = next((one for one in found["evidence"] if one["mix"] == measured["mix"]), None)
    if evidence is None:
        raise StoryFailed("What the load measured is not among the evidence of what one server carries.")
    story.say(
        f"Locust ran for {LOAD_S} s in three steps: {measured['requests_per_s']:.1f} requests a second, "
        f"{result['failures']} failed; evidence ({evidence['rank']}): "
        f"{evidence['requests_per_s']:.1f} a server{', ' + evidence['invalid'] if evidence['invalid'] else ''}"
    )
    return {
        "requests": result["requests"],
        "failures": result["failures"],
        "rank": evidence["rank"],
        "one_server_rps": round(evidence["requests_per_s"], 1),
        "invalid": evidence["invalid"],
    }


def _profile(
    story: Story, manager: Browser, approver: Browser, account: str, run: dict[str, Any], url: str
) -> dict[str, Any]:
    """Draw up a profile of three steps, and have both sides approve exactly it."""
    fields = {
        "name": "front page, three steps",
        "requests": [{"method": "GET", "url": url, "weight": 1}],
        "shape": {
            "kind": "steps",
            "unit": "users",
            "start": 2,
            "level": 6,
            "steps": 3,
            "duration_s": LOAD_S,
        },
        "stops": {"error_ratio": 0.5, "window_s": 5},
        "max_users": 6,
        "max_requests_per_s": 100,
        "think_s": 0.1,
        **{name: run[name] for name in ("connection", "balancer_id")},
    }
    made = story.must(manager.api("POST", f"{account}/load-profiles", fields), 201, "a profile is drawn up")
    address = f"/load-profiles/{made.json()['ref']}"
    asked = story.must(manager.api("POST", f"{address}/submit"), 200, "it is submitted").json()
    decision = {"digest": asked["digest"]}
    approve = f"/approvals/{asked['approval']}/approve"
    story.must(approver.api("POST", approve, decision), 200, "the customer approves the load")
    story.say("a profile of load is submitted by the launch manager and approved by the customer")
    return dict(manager.api("GET", address).json())


def _ended(manager: Browser, ref: str) -> dict[str, Any]:
    """Wait for the end of a load."""
    ends_at = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_at:
        told: dict[str, Any] = manager.api("GET", f"/load-runs/{ref}").json()
        if told["ending"]:
            return told
        time.sleep(0.5)
    raise StoryFailed(f"The load did not end within {LIMIT_S:.0f} s.")


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
