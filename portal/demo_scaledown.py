"""The stories of scale-down that `make demo` tells.

Each has a world of its own at the simulated provider. What was harmed comes from the provider's own record of the
truth, which the portal never sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from portal.demo_desk import OVER, Desk, approved_plan, command, follow, start

HARM = ("harmed_connections", "harmed_by_us", "floor_breaches", "wrong_deletions")
"""What must be nothing in every story."""


def calm_story(desk: Desk) -> dict[str, Any]:
    """Six servers to three, and nothing happens."""
    desk.say("--- a calm run ---")
    return _to_three(desk, "Back to three on a calm day", kills_worker=False)


def main_story(desk: Desk) -> dict[str, Any]:
    """Six servers to three; the worker is killed with -9 while the second server drains."""
    desk.say("--- the worker dies in mid-drain ---")
    return _to_three(desk, "Back to three after the autumn launch", kills_worker=True)


def _to_three(desk: Desk, title: str, *, kills_worker: bool) -> dict[str, Any]:
    say = desk.say
    desk.provider.show("launch")
    plan = approved_plan(desk, title, images="one_per_kind")
    run = start(desk, plan)
    killed_pid: int | None = None
    halted = False
    for now in follow(desk, run["ref"], until=OVER | {"halted"}):
        run = now
        halted = halted or now["status"] == "halted"
        drains = [lane for lane in now["lanes"] if lane["phase"] == "draining" and lane["position"] == 2]
        if kills_worker and drains and killed_pid is None:
            killed_pid = desk.portal.kill("ticks")
            say(f"*** {drains[0]['server_name']} is draining: worker {killed_pid} killed with -9 ***")
    if killed_pid is not None:
        back = desk.portal.wait_until_back("ticks", not_pid=killed_pid)
        say(f"the worker is back as {back}; the run went on from where it was")
    report = desk.manager.get(f"/runs/{run['ref']}/report")
    truth = desk.provider.truth(desk.balancer)
    say(f"requests that failed: {report['requests_failed']['says']}")
    say(f"saved: {report['server_hours_saved_per_month']:g} server-hours a month")
    waits_s = unavoidable_s(plan["data"], desk.provider.settings())
    took_s = report["took_s"]
    overhead_s = None if took_s is None else round(took_s / len(plan["data"]["servers"]) - waits_s, 1)
    return {
        "status": run["status"],
        "retired": report["retired"],
        "nodes_left": truth["serving"],
        **_harm(truth),
        "halted": halted,
        "worker_killed": killed_pid is not None,
        "took_s": None if took_s is None else round(took_s, 1),
        "unavoidable_s_per_server": round(waits_s, 1),
        "overhead_s_per_server": overhead_s,
    }


def _harm(truth: Mapping[str, Any]) -> dict[str, Any]:
    return {name: truth[name] for name in (*HARM, "requests_served")}


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
    say("--- traffic does not keep up ---")
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
    command(desk, run, "abort", "Traffic needs all six.")
    say("the launch manager ends it here")
    for now in follow(desk, run["ref"], until=OVER):
        run = now
    ended = desk.provider.truth(desk.balancer)
    return {
        "halted": bool(halt),
        "code": halt.get("code"),
        "rank": halt.get("rank"),
        "says": halt.get("says"),
        "put_back": sum(1 for lane in run["lanes"] if lane["phase"] == "restored"),
        "deleted": before - ended["servers"],
        "nodes_serving": truth["serving"],
        **_harm(ended),
        "ended": run["status"],
    }


def rising_story(desk: Desk) -> dict[str, Any]:
    """The next server becomes protected while one is held, which halts the run; then traffic rises: the held one goes
    back by itself, though nobody has answered."""
    say = desk.say
    say("--- traffic rises while the run is halted ---")
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
    command(desk, run, "abort", "Traffic needs all six.")
    for now in follow(desk, run["ref"], until=OVER):
        run = now
    desk.manager.post(f"/protected-servers/{mark['ref']}/lift", {"reason": "The story is over."})
    ended = desk.provider.truth(desk.balancer)
    return {
        "halted_first": first_halt,
        "held": len(held),
        "code": halt.get("code"),
        "put_back": sum(1 for lane in run["lanes"] if lane["phase"] == "restored"),
        "deleted": before - ended["servers"],
        "nodes_serving": truth["serving"],
        **_harm(ended),
        "ended": run["status"],
    }


def _two_deleted_and_one_draining(desk: Desk, title: str) -> dict[str, Any]:
    """Begin a run with an image for each kind of server; returns it where the third of its servers drains."""
    desk.provider.show("launch")
    run = start(desk, approved_plan(desk, title, images="one_per_kind"))
    for now in follow(desk, run["ref"], until=OVER | {"halted"}):
        run = now
        phases = [lane["phase"] for lane in now["lanes"]]
        if phases.count("retired") == 2 and phases.count("draining") == 1:
            break
    return run


def roll_back_story(desk: Desk) -> dict[str, Any]:
    """Two servers are deleted and the third drains when the launch manager rolls back: the third serves again, the
    two are created anew from the image and let in once they answer."""
    say = desk.say
    say("--- a roll back, with servers created anew ---")
    run = _two_deleted_and_one_draining(desk, "Back to three, and undone")
    deleted = [lane for lane in run["lanes"] if lane["phase"] == "retired"]
    says = next((one["leaves"] for one in run["offers"] if one["name"] == "roll_back"), "")
    say(f"*** the launch manager rolls back. Before the click the page says: {says} ***")
    command(desk, run, "roll_back", "The campaign is prolonged.")
    for now in follow(desk, run["ref"], until=OVER | {"halted"}):
        run = now
    seen_by_customer = desk.approver.get(f"/runs/{run['ref']}")
    say(f"{run['status'].replace('_', ' ')}: {run['says']}")
    say(f"the customer reads: {seen_by_customer['says']}")
    truth = desk.provider.truth(desk.balancer)
    return {
        "ended": run["status"],
        "deleted": len(deleted),
        "said_before": bool(says),
        "created_anew": sum(1 for lane in run["lanes"] if lane["phase"] == "recreated"),
        "put_back": sum(1 for lane in run["lanes"] if lane["phase"] == "restored"),
        "servers": truth["servers"],
        "nodes_serving": truth["serving"],
        **_harm(truth),
    }


def grow_story(desk: Desk) -> dict[str, Any]:
    """Two servers are deleted and the third drains when three turn out too few: both sides approve one more by name. The
    third serves again at once, one is created anew from the image, and the run ends at this size."""
    say = desk.say
    say("--- growing again, by one server ---")
    run = _two_deleted_and_one_draining(desk, "Back to three, and one more after all")
    deleted = [lane for lane in run["lanes"] if lane["phase"] == "retired"]
    run = desk.manager.get(f"/runs/{run['ref']}")
    body = {
        "servers": 1,
        "reason": "Tonight's sale is bigger than forecast.",
        "status": run["status"],
        "digest": run["digest"],
    }
    growth = desk.manager.post(f"/runs/{run['ref']}/growths", body)
    names = ", ".join(server["name"] for server in growth["servers"])
    asked = desk.approver.get(f"/runs/{run['ref']}")
    say(f"*** the launch manager asks to create {names} again; the customer reads: {asked['says']} ***")
    desk.approver.post(
        f"/approvals/{growth['approval']}/approve",
        {"digest": growth["digest"], "reason": "Better one more tonight."},
    )
    say("approved by the customer, by name, image and size")
    for now in follow(desk, run["ref"], until=OVER | {"halted"}):
        run = now
    growth = desk.manager.get(f"/growths/{growth['ref']}")
    say(f"the run's answer: {growth['answer']}")
    say(f"{run['status'].replace('_', ' ')}: {run['says']}")
    seen_by_customer = desk.approver.get(f"/runs/{run['ref']}")
    say(f"the customer reads: {seen_by_customer['says']}")
    truth = desk.provider.truth(desk.balancer)
    return {
        "ended": run["status"],
        "deleted": len(deleted),
        "accepted": growth["accepted"],
        "created_anew": sum(1 for lane in run["lanes"] if lane["phase"] == "recreated"),
        "servers": truth["servers"],
        "nodes_serving": truth["serving"],
        **_harm(truth),
    }


_TO_THREE = {"status": "completed", "retired": 3, "nodes_left": 3, "halted": False}
EXPECTED: Mapping[str, Mapping[str, Any]] = {
    "calm_story": {**_TO_THREE, "worker_killed": False},
    "halt_story": {"halted": True, "deleted": 0, "put_back": 1, "nodes_serving": 6, "ended": "aborted"},
    "main_story": {**_TO_THREE, "worker_killed": True},
    "rising_story": {
        "halted_first": "protected_server",
        "code": "traffic_rising",
        "deleted": 0,
        "nodes_serving": 6,
        "ended": "aborted",
    },
    "roll_back_story": {
        "ended": "rolled_back",
        "deleted": 2,
        "said_before": True,
        "created_anew": 2,
        "put_back": 1,
        "servers": 6,
        "nodes_serving": 6,
    },
    "grow_story": {
        "ended": "completed",
        "deleted": 2,
        "accepted": True,
        "created_anew": 1,
        "servers": 5,
        "nodes_serving": 5,
    },
}
"""What must come out of each story, besides that nobody was harmed."""

STORIES: Mapping[str, Callable[[Desk], dict[str, Any]]] = {
    "calm_story": calm_story,
    "halt_story": halt_story,
    "main_story": main_story,
    "rising_story": rising_story,
    "roll_back_story": roll_back_story,
    "grow_story": grow_story,
}
SHORT = ("main_story", "halt_story", "rising_story")
"""What `make demo` tells where nothing is named."""


def tell(desk: Desk, names: Iterable[str]) -> tuple[dict[str, Any], bool]:
    """Tell these stories, then say what the truth log holds of all; returns what came out, and whether all is well.

    The result has the figures of the main story as they are, those of the others by name, and `in_all`.
    """
    told = {name: STORIES[name](desk) for name in names}
    in_all = {name: sum(one[name] for one in told.values()) for name in (*HARM, "requests_served")}
    wrong = [f"{name}: {problem}" for name, result in told.items() for problem in problems(name, result)]
    for problem in wrong:
        desk.say(f"not as it must be: {problem}")
    desk.say(
        f"the provider's truth log, over all {len(told)} stories: {in_all['requests_served']} requests served, "
        f"{in_all['harmed_by_us']} connections harmed by us, {in_all['floor_breaches']} times below the floor, "
        f"{in_all['wrong_deletions']} wrong deletions"
    )
    main = told.pop("main_story", {})
    return {**main, **told, "in_all": in_all}, not wrong


def problems(name: str, result: Mapping[str, Any]) -> list[str]:
    """Return what of a story's result is not as it must be, a sentence each."""
    wanted = {**EXPECTED[name], **dict.fromkeys(HARM, 0)}
    found = [
        f"{key} is {result.get(key)!r}, not {must!r}"
        for key, must in wanted.items()
        if result.get(key) != must
    ]
    if name == "rising_story" and not result["put_back"] >= result["held"] >= 1:
        found.append(f"{result['put_back']} put back of {result['held']} held")
    return found
