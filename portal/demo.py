"""`make demo`: the main job through the HTTP API alone, on a portal of its own, beside a simulated provider.

First six servers become three, while in the middle the worker is killed with -9. Then traffic does not keep up
after the first server: it is put back before anything was deleted, and the run halts. Then traffic rises while a run
is halted: what was held goes back by itself.

Steps go to standard output with their time, logs to standard error; the last line is one JSON object. What was
harmed comes from the simulator's own record of the truth, which the portal never sees.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from portal import demo_accounts, demo_contacts
from portal.demo_people import StoryFailed
from portal.embedded.errors import CannotStart
from portal.embedded.handle import Held, start_portal

PASSWORD = "steady-as-she-goes"  # noqa: S105 - of the desk's made-up users
MANAGER, APPROVER = "jonas@north.example", "astrid@lindgren.example"
SCOPES = ["accounts:read", "connections:read", "scaledown:read", "scaledown:write", "scaledown:run"]
FLOOR = 2
RUN_LIMIT_S = 150.0
# The stream says something every 15 s even when nothing happens.
STREAM_SILENT_S = 40.0
# Builds and deletes at the simulator go this much faster than at a real provider; drains do not.
SPEED = 10.0
# Seconds that the simulated balancer takes to apply a change.
PENDING_S = (0.5, 1.0)

CHOICE: Mapping[str, Any] = {
    "target": 3,
    "target_reason": "Three servers carried everyday traffic before the event.",
    "floor": FLOOR,
    "drain_limit_s": 60,
    "soak_s": 6,
    # Six seconds are too short to hold answers against those before: a soak would go on until they are enough.
    "slower_allowed": None,
    "images": "none",
    "pause_between_s": 0,
    "reason": "The event is over and traffic is back to normal.",
}


class DemoFailed(Exception):
    """The demo cannot go on, with the sentence why."""


class Said:
    """Prints steps with the time since the beginning."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)


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

    def truth(self, balancer_id: str) -> dict[str, Any]:
        """Return harmed connections and floor breaches of one balancer, as they really were."""
        told = self.http.get("/truth", params={"floor": FLOOR}).raise_for_status().json()
        world = self.http.get("/world").raise_for_status().json()
        balancer = next(one for one in world["load_balancers"] if str(one["id"]) == balancer_id)
        return {
            "harmed_connections": told["harmed_connections"],
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
    say: Said = field(default_factory=Said)
    told: dict[str, int] = field(default_factory=dict)
    """Run → number of the newest journal entry that was printed."""


def open_desk(portal: Held, say: Said) -> Desk:
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
    """Start the run of an approved plan."""
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


OVER = frozenset({"completed", "aborted", "rolled_back"})


def main_story(desk: Desk) -> dict[str, Any]:
    """Six servers to three; the worker is killed with -9 while the second server drains."""
    say = desk.say
    plan = approved_plan(desk, "Back to three after the autumn launch", images="one_per_kind")
    run = start(desk, plan)
    killed_pid: int | None = None
    halted = False
    for now in follow(desk, run["ref"], until=OVER | {"halted"}):
        run = now
        halted = halted or now["status"] == "halted"
        drains = [lane for lane in now["lanes"] if lane["phase"] == "draining" and lane["position"] == 2]
        if drains and killed_pid is None:
            killed_pid = desk.portal.kill("ticks")
            say(f"*** {drains[0]['server_name']} is draining: worker {killed_pid} killed with -9 ***")
    if killed_pid is not None:
        back = desk.portal.wait_until_back("ticks", not_pid=killed_pid)
        say(f"the worker is back as {back}; the run went on from where it was")
    report = desk.manager.get(f"/runs/{run['ref']}/report")
    truth = desk.provider.truth(desk.balancer)
    say(f"requests that failed: {report['requests_failed']['says']}")
    say(f"saved: {report['server_hours_saved_per_month']:g} server-hours a month")
    settings = desk.provider.settings()
    waits_s = unavoidable_s(plan["data"], settings)
    took_s = report["took_s"]
    return {
        "status": run["status"],
        "retired": report["retired"],
        "nodes_left": truth["serving"],
        "harmed_connections": truth["harmed_connections"],
        "floor_breaches": truth["floor_breaches"],
        "wrong_deletions": truth["wrong_deletions"],
        "halted": halted,
        "worker_killed": killed_pid is not None,
        "took_s": None if took_s is None else round(took_s, 1),
        "unavoidable_s_per_server": round(waits_s, 1),
        "overhead_s_per_server": None
        if took_s is None
        else round(took_s / len(plan["data"]["servers"]) - waits_s, 1),
    }


def unavoidable_s(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    """Return the seconds that one server takes whoever does it: drain, soak, and the provider's own latencies.

    Two changes at the balancer (drain, remove), the image where one is made, and one delete, as the simulator is set.
    One image for all of a kind is counted as its share: here all are of one kind.
    """
    pending = sum(settings["pending_update_s"]) / len(settings["pending_update_s"])
    delete = settings["delete_s"] / settings["speed"]
    images = {"none": 0.0, "one_per_kind": 1 / len(plan["servers"]), "each": 1.0}[plan["images"]]
    image = 0.0 if not images else images * settings["image_s"] / settings["speed"]
    return float(plan["min_drain_s"] + plan["soak_s"] + plan["hold_s"] + 2 * pending + image + delete)


def halt_story(desk: Desk) -> dict[str, Any]:
    """Traffic rises once the first server has left: it is put back before anything was deleted."""
    say = desk.say
    say("--- second story: traffic does not keep up ---")
    desk.provider.show("rising")
    plan = approved_plan(desk, "Back to three, and traffic rises", soak_s=20)
    run = start(desk, plan)
    before = desk.provider.truth(desk.balancer)["servers"]
    for now in follow(desk, run["ref"], until=OVER | {"halted"}):
        run = now
    # The way back begins with the halt; look until the server serves again.
    for now in follow(desk, run["ref"], until=OVER):
        run = now
        if not any(lane["is_going_back"] for lane in run["lanes"]):
            break
    truth = desk.provider.truth(desk.balancer)
    seen_by_customer = desk.approver.get(f"/runs/{run['ref']}")
    halt = run["halt"] or {}
    say(f"halted ({halt.get('code')}, {halt.get('rank')}): {halt.get('says')}")
    say(f"the customer reads: {(seen_by_customer['halt'] or {}).get('says')}")
    answer = desk.manager.post(
        f"/runs/{run['ref']}/commands",
        {
            "name": "abort",
            "reason": "Traffic needs all six.",
            "status": run["status"],
            "digest": run["digest"],
        },
    )
    say(f"the launch manager ends it here ({answer['name']})")
    for now in follow(desk, run["ref"], until=OVER):
        run = now
    return {
        "halted": bool(halt),
        "code": halt.get("code"),
        "rank": halt.get("rank"),
        "says": halt.get("says"),
        "put_back": sum(1 for lane in run["lanes"] if lane["phase"] == "restored"),
        "deleted": before - desk.provider.truth(desk.balancer)["servers"],
        "nodes_serving": truth["serving"],
        "harmed_connections": truth["harmed_connections"],
        "floor_breaches": truth["floor_breaches"],
        "ended": run["status"],
    }


def rising_story(desk: Desk) -> dict[str, Any]:
    """The next server becomes protected while one is held, which halts the run; then traffic rises: the held one goes
    back by itself, though nobody has answered."""
    say = desk.say
    say("--- third story: traffic rises while the run is halted ---")
    desk.provider.show("launch")
    plan = approved_plan(desk, "Back to three, halted, and traffic rises", hold_s=600, images="none")
    run = start(desk, plan)
    before = desk.provider.truth(desk.balancer)["servers"]
    mark: dict[str, Any] = {}
    for now in follow(desk, run["ref"], until=OVER | {"halted"}):
        run = now
        if not mark and any(lane["phase"] == "held" for lane in now["lanes"]):
            last = now["lanes"][-1]
            mark = desk.manager.post(
                f"/accounts/{desk.account}/protected-servers",
                {
                    "connection": desk.connection,
                    "server_id": last["server_id"],
                    "server_name": last["server_name"],
                    "reason": "It also sends the mail.",
                },
            )
            say(f"*** the launch manager protects {last['server_name']}: it also sends the mail ***")
    first_halt = (run["halt"] or {}).get("code")
    held = [lane["server_name"] for lane in run["lanes"] if lane["phase"] == "held"]
    say(f"halted ({first_halt}), {', '.join(held) or 'no server'} held; now three times the visitors come")
    desk.provider.demand(desk.balancer, 3.0)
    for now in follow(desk, run["ref"], until=OVER):
        run = now
        if not any(lane["phase"] == "held" or lane["is_going_back"] for lane in run["lanes"]):
            break
    truth = desk.provider.truth(desk.balancer)
    halt = run["halt"] or {}
    seen_by_customer = desk.approver.get(f"/runs/{run['ref']}")
    say(f"halted ({halt.get('code')}, {halt.get('rank')}): {halt.get('says')}")
    say(f"the customer reads: {(seen_by_customer['halt'] or {}).get('says')}")
    desk.manager.post(
        f"/runs/{run['ref']}/commands",
        {
            "name": "abort",
            "reason": "Traffic needs all six.",
            "status": run["status"],
            "digest": run["digest"],
        },
    )
    for now in follow(desk, run["ref"], until=OVER):
        run = now
    desk.manager.post(f"/protected-servers/{mark['ref']}/lift", {"reason": "The story is over."})
    return {
        "halted_first": first_halt,
        "held": len(held),
        "code": halt.get("code"),
        "put_back": sum(1 for lane in run["lanes"] if lane["phase"] == "restored"),
        "deleted": before - desk.provider.truth(desk.balancer)["servers"],
        "nodes_serving": truth["serving"],
        "harmed_connections": truth["harmed_connections"],
        "ended": run["status"],
    }


def is_good(result: Mapping[str, Any]) -> bool:
    """Whether both stories went as they must."""
    halt, rising = result["halt_story"], result["rising_story"]
    return bool(
        result["status"] == "completed"
        and result["retired"] == 3
        and result["nodes_left"] == 3
        and result["harmed_connections"] == 0
        and result["floor_breaches"] == 0
        and result["wrong_deletions"] == 0
        and not result["halted"]
        and result["worker_killed"]
        and halt["halted"]
        and halt["deleted"] == 0
        and halt["put_back"] == 1
        and halt["nodes_serving"] == 6
        and halt["harmed_connections"] == 0
        and halt["floor_breaches"] == 0
        and rising["halted_first"] == "protected_server"
        and rising["code"] == "traffic_rising"
        and rising["put_back"] >= rising["held"] >= 1
        and rising["deleted"] == 0
        and rising["nodes_serving"] == 6
        and rising["harmed_connections"] == 0
    )


@contextlib.contextmanager
def a_portal(say: Said, **env: str) -> Iterator[Held]:
    """Give a whole portal with a simulated provider, on free ports and in a directory of its own."""
    say("starting PostgreSQL, Valkey, the simulated provider, web and workers")
    with start_portal(
        scenario="launch",
        simulator_args=("--speed", f"{SPEED:g}", "--pending", *(f"{one:g}" for one in PENDING_S)),
        env={"LOG_FORMAT": "json", **env},
    ) as portal:
        say(f"the portal is up at {portal.url}; the provider's builds and deletes go {SPEED:g} times faster")
        yield portal


def scaledown_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """The main job and the halt; returns what came out, and whether it is as it must be."""
    desk = open_desk(portal, say)
    result = main_story(desk)
    result["halt_story"] = halt_story(desk)
    result["rising_story"] = rising_story(desk)
    return result, is_good(result)


def accounts_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """Invitation, log-in with a second factor, role change, removal."""
    try:
        return demo_accounts.tell(portal.url, say, PASSWORD), True
    except StoryFailed as failure:
        raise DemoFailed(str(failure)) from failure


def contacts_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """Contacts proven and reached, a file taken in, a review signed, somebody erased."""
    try:
        return demo_contacts.tell(portal.url, say, PASSWORD), True
    except StoryFailed as failure:
        raise DemoFailed(str(failure)) from failure


STORIES = {"scaledown": scaledown_story, "accounts": accounts_story, "contacts": contacts_story}


def main(arguments: list[str]) -> int:
    """Tell the stories that are named (the main job if none); the exit status says whether they went as they must.

    The last line is one JSON object: what came out of the story, or of each by its name where there are several.
    """
    wanted = list(STORIES) if "all" in arguments else arguments or ["scaledown"]
    if set(wanted) - set(STORIES):
        print(f"The stories are: {', '.join(STORIES)}, all.", file=sys.stderr)
        return 2
    say = Said()
    results: dict[str, dict[str, Any]] = {}
    good = True
    try:
        with a_portal(say) as portal:
            for name in wanted:
                began = time.monotonic()
                results[name], went_well = STORIES[name](portal, say)
                results[name]["seconds"] = round(time.monotonic() - began, 1)
                good = good and went_well
    except (DemoFailed, CannotStart, TimeoutError, httpx.HTTPError) as failure:
        print(f"The demo failed: {failure}", file=sys.stderr)
        print(json.dumps({"failed": str(failure)}))
        return 1
    say("everything went as it must" if good else "something did not go as it must")
    print(json.dumps(results if len(wanted) > 1 else results[wanted[0]]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
