"""The desk of the demo of scale-down: who acts, through the HTTP API alone, and the provider's record of the truth."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from portal.embedded.handle import Held

PASSWORD = "steady-as-she-goes"  # noqa: S105 - of the desk's made-up users
MANAGER, APPROVER = "jonas@north.example", "astrid@lindgren.example"
SCOPES = [
    "cases:read",
    "cases:write",
    *("me", "accounts:read", "connections:read", "contacts:read"),
    *("scaledown:read", "scaledown:write", "scaledown:run"),
    *("drills:read", "drills:write", "drills:run", "drills:note", "drills:stop"),
]
FLOOR = 2
RUN_LIMIT_S = 150.0
# The stream says something every 15 s even when nothing happens.
STREAM_SILENT_S = 40.0

CHOICE: Mapping[str, Any] = {
    "target": 3,
    "target_reason": "Three servers carried everyday traffic before the event.",
    "floor": FLOOR,
    "drain_limit_s": 60,
    "soak_s": 6,
    # Six seconds are too short to hold answers against those before: a soak would go on until they are enough.
    "slower_allowed": None,
    # Nobody sends the desk's orders while a story is told: without samples a server is not deleted.
    "vital": [],
    "no_vital_reason": "The demo's visitors buy nothing.",
    "images": "none",
    "pause_between_s": 0,
    # The next peak is hours away, once the growth report knows it: nobody watches a demo for so long.
    "hold_through_peak": False,
    "peak_watch": False,
    "reason": "The event is over and traffic is back to normal.",
}


Say = Callable[[str], None]
"""Prints one line."""


class DemoFailed(Exception):
    """The demo cannot go on, with the sentence why."""


class Api:
    """One person's token for the portal's API."""

    def __init__(self, base_url: str, token: str) -> None:
        self.http = httpx.Client(
            base_url=f"{base_url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=40.0,
            trust_env=False,
        )

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return the answer's JSON; raises DemoFailed with the portal's own sentence for an error."""
        response = self.http.request(method, path, json=body, headers=headers)
        if response.status_code >= 400:
            problem = response.json() if "json" in response.headers.get("content-type", "") else {}
            raise DemoFailed(
                f"{method} {path} answered {response.status_code}: {problem.get('detail') or response.text[:300]}"
                f" {problem.get('errors') or ''}"
            )
        return response.json()

    def get(self, path: str) -> Any:
        """Read."""
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Send a command or a new row; the key lets it be repeated without being done twice."""
        return self.ask("POST", path, body, **{"Idempotency-Key": str(uuid.uuid4())})


def token_for(base_url: str, email: str) -> str:
    """Log in as a person does and make an API token for an hour."""
    with httpx.Client(base_url=base_url, follow_redirects=True, timeout=40.0, trust_env=False) as browser:
        page = browser.get("/login/")
        answer = browser.post(
            "/login/",
            data={"username": email, "password": PASSWORD, "csrfmiddlewaretoken": _csrf(page.text)},
            headers={"Referer": f"{base_url}/login/"},
        )
        if answer.url.path.startswith("/login"):
            raise DemoFailed(f"{email} could not log in.")
        made = browser.post(
            "/api/v1/tokens",
            json={
                "name": "make demo",
                "scopes": [*SCOPES, "approvals:write"],
                "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)),
            },
            headers={
                "X-CSRFToken": browser.cookies["csrftoken"],
                "Referer": f"{base_url}/",
                "Idempotency-Key": str(uuid.uuid4()),
            },
        )
        if made.status_code != 201:
            raise DemoFailed(f"No token for {email}: {made.status_code} {made.text[:300]}")
        return str(made.json()["token"])


def _csrf(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    if found is None:
        raise DemoFailed("The log-in page has no form.")
    return found.group(1)


class Provider:
    """The simulator's control plane: what really happened, and which world it shows."""

    def __init__(self, portal: Held) -> None:
        self.http = httpx.Client(
            base_url=f"{portal.simulator_url}/_sim",
            headers={"X-Simulator-Token": portal.control_token},
            timeout=20.0,
            trust_env=False,
        )

    def show(self, scenario: str) -> None:
        """Begin another world; what was there is forgotten."""
        self.http.post("/scenario", json={"name": scenario}).raise_for_status()

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change how the provider behaves; returns everything that is set."""
        answer = self.http.patch("/settings", json=changes).raise_for_status()
        return dict(answer.json())

    def demand(self, balancer_id: str, multiplier: float) -> None:
        """Let so many times the visitors come from now on."""
        change = {"do": "demand", "lb_id": int(balancer_id), "multiplier": multiplier}
        self.http.post("/hands", json=change).raise_for_status()

    def publish(self, line: str) -> None:
        """Put a line into the file by which the site's owner proves that its host is theirs."""
        self.http.post("/published", json={"line": line}).raise_for_status()

    def truth(self, balancer_id: str) -> dict[str, Any]:
        """Return harmed connections and floor breaches of one balancer, as they really were."""
        told = self.http.get("/truth", params={"floor": FLOOR}).raise_for_status().json()
        world = self.http.get("/world").raise_for_status().json()
        balancer = next(one for one in world["load_balancers"] if str(one["id"]) == balancer_id)
        return {
            "requests_served": round(told["requests_served"]),
            "harmed_connections": told["harmed_connections"],
            "harmed_by_us": told["harmed_by_api"],
            "floor_breaches": sum(told["floor_breaches"].values()),
            "wrong_deletions": len(told["wrong_deletions"]),
            "serving": balancer["serving"],
            "servers": sum(1 for one in world["servers"] if one["status"] not in {"DELETED", "SOFT_DELETED"}),
        }


@dataclass
class Desk:
    """Who acts, and on what."""

    portal: Held
    provider: Provider
    manager: Api
    approver: Api
    account: str
    connection: str
    event: str
    balancer: str
    say: Say
    told: dict[str, int] = field(default_factory=dict)
    """Run → number of the newest journal entry that was printed."""


def open_desk(portal: Held, say: Say) -> Desk:
    """Log both people in and find the account, its cloud and the pool."""
    manager = Api(portal.url, token_for(portal.url, MANAGER))
    approver = Api(portal.url, token_for(portal.url, APPROVER))
    say("the launch manager and the customer's approver have a token each")
    account = manager.get("/accounts?limit=50")["results"]
    chosen = next(one for one in account if one["name"] == "Lindgren Outdoor")
    connection = manager.get(f"/accounts/{chosen['ref']}/connections")["results"][0]
    records = manager.get(f"/accounts/{chosen['ref']}/scale-up-records")["results"]
    pool = manager.get(f"/connections/{connection['ref']}/discovery")["pools"][0]
    desk = Desk(
        portal=portal,
        provider=Provider(portal),
        manager=manager,
        approver=approver,
        account=chosen["ref"],
        connection=connection["ref"],
        event=records[0]["event"],
        balancer=str(pool["balancer"]["id"] if "balancer" in pool else pool["balancer_id"]),
        say=say,
    )
    say(
        f"account {chosen['name']}, load balancer {desk.balancer} with {desk.provider.truth(desk.balancer)['serving']} servers in service"
    )
    return desk


def approved_plan(desk: Desk, title: str, **changes: Any) -> dict[str, Any]:
    """Record the scale-up, draw up a plan, have both sides approve it; returns the plan as it stands."""
    say, manager = desk.say, desk.manager
    found = manager.post(
        f"/accounts/{desk.account}/scale-up-records/reconstruct",
        {"event": desk.event, "connection": desk.connection, "balancer_ids": [desk.balancer]},
    )["entries"]
    manager.post(
        f"/accounts/{desk.account}/scale-up-records",
        {"event": desk.event, "connection": desk.connection, "entries": found},
    )
    say("scale-up record: " + ", ".join(entry["server_name"] for entry in found) + " went in, in this order")
    draft = manager.post(
        f"/accounts/{desk.account}/plans",
        {
            "title": title,
            "connection": desk.connection,
            "event": desk.event,
            "choice": {**CHOICE, **changes, "balancer_ids": [desk.balancer]},
        },
    )
    preview = manager.post(f"/plans/{draft['ref']}/preview")
    for step in preview["steps"]:
        share = step["peak_share_of_ceiling"]
        at_peak = "load unknown" if share is None else f"{share:.0%} of the ceiling at the next peak"
        say(f"preview: {step['server_name']} out, {step['nodes_left']} left, {at_peak}")
    for warning in preview["warnings"]:
        say(f"preview warns: {warning['says']}")
    submitted = manager.post(f"/plans/{draft['ref']}/submit", {"reason": "The event is over."})
    say(f"submitted by the launch manager, digest {submitted['digest'][:12]}…")
    seen = desk.approver.get(f"/plans/{draft['ref']}")
    plan: dict[str, Any] = desk.approver.post(
        f"/plans/{draft['ref']}/approve", {"digest": seen["digest"], "reason": "Go ahead."}
    )
    say("approved by the customer")
    return plan


def start(desk: Desk, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Start the run of an approved plan, once the cases that runs before it opened with a site in danger are solved."""
    for case in desk.manager.get(f"/accounts/{desk.account}/cases?severity=site_in_danger&status=live")[
        "results"
    ]:
        why = "The traffic was made too much on purpose, and is as usual again."
        desk.manager.post(
            f"/cases/{case['ref']}/status", {"status": "solved", "seen": case["status"], "reason": why}
        )
        desk.say(f"support case solved, which holds back every further run: {case['summary']}")
    run: dict[str, Any] = desk.manager.post(
        f"/plans/{plan['ref']}/runs", {"status": plan["status"], "digest": plan["digest"]}
    )
    desk.say("the run is started")
    return run


def events(desk: Desk, run_ref: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a run's server-sent events, from after the last entry that was printed, until the stream ends."""
    with desk.manager.http.stream(
        "GET",
        f"/runs/{run_ref}/events",
        headers={"Last-Event-ID": str(desk.told.get(run_ref, 0))},
        timeout=STREAM_SILENT_S,
    ) as stream:
        stream.raise_for_status()
        kind, data = "", ""
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data += value
            elif not line and kind:
                yield kind, json.loads(data or "{}")
                kind, data = "", ""


def follow(desk: Desk, run_ref: str, *, until: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Print the journal as it grows and yield the run at each of its ticks, last when it is in one of `until`."""
    ends_at = time.monotonic() + RUN_LIMIT_S
    run: dict[str, Any] = {}
    while time.monotonic() < ends_at:
        # A stream that ended before the run did is opened again, after the last entry that was printed.
        for kind, data in events(desk, run_ref):
            if kind == "entry":
                desk.told[run_ref] = data["seq"]
                desk.say(f"[{data['kind']}] {data['says']}")
                continue
            run = desk.manager.get(f"/runs/{run_ref}")
            yield run
            if run["status"] in until:
                return
            if time.monotonic() > ends_at:
                break
    raise DemoFailed(f"The run is {run.get('status')} after {RUN_LIMIT_S:g} s: {run.get('says')}")


def command(desk: Desk, run: Mapping[str, Any], name: str, reason: str) -> None:
    """Give one command as the launch manager, to the run as they saw it."""
    body = {"name": name, "reason": reason, "status": run["status"], "digest": run["digest"]}
    desk.manager.post(f"/runs/{run['ref']}/commands", body)


OVER = frozenset({"completed", "aborted", "rolled_back"})
