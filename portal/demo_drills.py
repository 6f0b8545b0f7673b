"""The stories of fire drills that `make demo ARGS=drills` tells, through the HTTP API alone.

A host failure is drilled and meets its hypothesis; another meets three times the visitors and undoes itself; in an escalation the
first contact is silent and the second answers; one becomes real in the middle. Whether every server is back in service is read
from the provider's own record of the truth, which the portal never sees.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from portal.demo_desk import OVER, PASSWORD, Api, DemoFailed, Desk, token_for
from portal.demo_people import Browser, Story, StoryFailed

OBSERVER = "vera@lindgren.example"
FIRST, SECOND = "maja@lindgren.example", "astrid@lindgren.example"
PACE_S = 0.5
DRILL_LIMIT_S = 150.0
# The shortest time that a contact is given to answer.
CALL_WAIT_S = 30
# An answer within five seconds of the mail is taken for a program's.
A_PERSON_S = 6.0
POOL = 6
MARKED = "Fire drill, not a real incident"

NOTHING_CLAIMED: Mapping[str, Any] = dict.fromkeys(
    ("error_ratio", "p95_factor", "acknowledged_s", "informed_s", "mitigated_s", "recovered_s", "data_lost_s")
)
HOST_FAILURE: Mapping[str, Any] = {
    **NOTHING_CLAIMED,
    "objective": "With one server lost the shop goes on, and somebody on duty sees to it within a minute.",
    "kind": "announced",
    "environment": "test",
    "emergency_plan": "Page 3 of the runbook: who calls the provider, and who tells the customer's management.",
    # The probe of a drill asks every two seconds: of the first twenty answers one or two may meet the dead node.
    "error_ratio": 0.15,
    "acknowledged_s": 60.0,
    "informed_s": 90.0,
    "mitigated_s": 120.0,
    "recovered_s": 120.0,
    "stop_error_ratio": 0.6,
    # Long enough for twenty answers: a share of fewer is not known.
    "hold_s": 36.0,
    "calm_s": 10.0,
    "floor": 4,
}
NOBODY_ANSWERS: Mapping[str, Any] = {
    **NOTHING_CLAIMED,
    "objective": "Where the first contact is silent, the second one is reached within two minutes.",
    "kind": "announced",
    "environment": "production",
    "emergency_plan": "The order of escalation, page 1 of the runbook.",
    "acknowledged_s": 120.0,
    "call_role": "emergency",
    "call_tries": 1,
    "call_wait_s": CALL_WAIT_S,
}
WORDS = "Said on the desk for the demo, ticket 4711."


@dataclass
class Cast:
    """Who takes part in every drill, and the servers of the pool, the newest first."""

    desk: Desk
    observer: Api
    observer_ref: str
    contacts: Mapping[str, str]
    """Contact's address → public reference."""


def open_cast(desk: Desk) -> Cast:
    """Log the observer in and find the contacts."""
    admin = Browser(desk.portal.url)
    admin.log_in(FIRST, PASSWORD)
    names = make_reachable(admin, desk.account)
    desk.say(f"{' and '.join(names)} can be called at any hour: proven by a call, and confirmed")
    observer = Api(desk.portal.url, token_for(desk.portal.url, OBSERVER))
    contacts = desk.manager.get(f"/accounts/{desk.account}/contacts?limit=100")["results"]
    return Cast(
        desk,
        observer,
        observer.get("/me")["ref"],
        {one["email"]: one["ref"] for one in contacts},
    )


def make_reachable(admin: Browser, account: str) -> list[str]:
    """Have the customer's admin see to it that both contacts can be called at any hour; returns their names.

    Without anybody who can be reached the portal begins no drill that disrupts something.
    """
    story, names = Story(admin.base_url, lambda text: None), []
    for one in admin.api("GET", f"/accounts/{account}/contacts?limit=100").json()["results"]:
        if one["email"] not in (FIRST, SECOND):
            continue
        address = f"/contacts/{one['ref']}"
        hours = admin.api("PATCH", address, {"hours": "around_the_clock"}, **{"If-Match": "*"})
        story.must(hours, 200, "hours are changed")
        said = {"channel": "phone", "value": one["phone"], "reason": "Called and read the list out."}
        story.must(admin.api("POST", f"{address}/prove", said), 200, "a call is logged")
        story.must(admin.api("POST", f"{address}/confirm"), 200, "a contact is confirmed")
        names.append(str(one["name"]))
    return names


def newest_server(desk: Desk) -> Mapping[str, Any]:
    """Return the newest server of the pool as it really is."""
    world = desk.provider.http.get("/world").raise_for_status().json()
    return max(
        (one for one in world["servers"] if one["name"].startswith("web-")), key=lambda one: str(one["name"])
    )


def begun(
    cast: Cast, scenario: str, title: str, choice: Mapping[str, Any], *, with_server: bool = True
) -> str:
    """Draw up a drill, have both sides approve it, attest its checks, begin it; returns its reference."""
    desk, say = cast.desk, cast.desk.say
    now = datetime.now(UTC)
    chosen: dict[str, Any] = {
        **choice,
        "not_before": now.isoformat(),
        "not_after": (now + timedelta(hours=1)).isoformat(),
    }
    if with_server:
        server = newest_server(desk)
        chosen |= {"balancer_ids": [desk.balancer], "server_ids": [server["id"]]}
        say(f"{title}: it is {server['name']} that goes")
    drill = desk.manager.post(
        f"/accounts/{desk.account}/drills",
        {
            "title": title,
            "scenario_key": scenario,
            "connection": desk.connection if with_server else None,
            "participants": [cast.contacts[SECOND]],
            "observers": [cast.observer_ref],
            "choice": chosen,
        },
    )
    asked = desk.manager.post(f"/drills/{drill['ref']}/submit")
    say(f"submitted by the launch manager, who leads it; digest {asked['digest'][:12]}…")
    seen = desk.approver.get(f"/drills/{drill['ref']}")
    desk.approver.post(
        f"/approvals/{seen['approval']}/approve", {"digest": seen["digest"], "reason": "Go ahead."}
    )
    say("approved by the customer")
    _attest(cast, drill["ref"])
    desk.manager.post(f"/drills/{drill['ref']}/start", {"digest": seen["digest"]})
    say("the drill begins")
    return str(drill["ref"])


def _attest(cast: Cast, ref: str) -> None:
    """Say of every check that needs a person that it is done, as the launch manager."""
    desk = cast.desk
    for check in desk.manager.get(f"/drills/{ref}")["checks"]:
        desk.manager.post(f"/drills/{ref}/attestations", {"check_key": check, "says": WORDS})
        desk.say(f"attested by name and time: {check.replace('_', ' ')}")


@dataclass
class Told:
    """What of a drill was printed."""

    moments: int = 0
    states: dict[str, str] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    says: str = ""


State = Mapping[str, Any]
Act = Callable[[State, State | None], bool]
"""What people do at a look at the drill and the step in hand; whether the launch manager may say that the step is done."""


def led(cast: Cast, ref: str, act: Act) -> State:
    """Follow a drill to its end, print what happens, and say of each step by people that it is done; returns its last state."""
    desk, told, ends_at = cast.desk, Told(), time.monotonic() + DRILL_LIMIT_S
    state: State = {}
    while time.monotonic() < ends_at:
        state = desk.manager.get(f"/drills/{ref}/run")
        _print(desk, told, state)
        if state["status"] in OVER:
            return state
        if state["status"] == "halted":
            raise DemoFailed(f"The drill waits for a person: {state['says']}")
        step = next((one for one in state["steps"] if one["state"] == "step_doing"), None)
        may_go_on = act(state, step)
        if step is not None and may_go_on and step["kind"] != "automated" and step["number"] not in told.done:
            told.done.add(step["number"])
            ask(desk.manager, ref, "step_done", number=step["number"])
        time.sleep(PACE_S)
    raise DemoFailed(f"The drill is {state.get('status')} after {DRILL_LIMIT_S:g} s: {state.get('says')}")


def ask(who: Api, ref: str, name: str, reason: str = "", **args: Any) -> None:
    """Give a drill under way a command."""
    who.post(f"/drills/{ref}/commands", {"name": name, "reason": reason, "args": args})


def _print(desk: Desk, told: Told, state: State) -> None:
    for moment in state["moments"][told.moments :]:
        desk.say(f"[{moment['kind']}] {moment['says']}")
    told.moments = len(state["moments"])
    for step in state["steps"]:
        key = f"step {step['number']}"
        if step["state"] in {"step_done", "step_skipped"} and told.states.get(key) != step["state"]:
            told.states[key] = step["state"]
            desk.say(f"[step] {step['number']}. {step['title']}: done")
    for target in state["targets"]:
        if told.states.get(target["name"], "untouched") != target["phase"]:
            told.states[target["name"]] = target["phase"]
            desk.say(f"[server] {target['name']} is {PHASES[target['phase']]}")


PHASES = {
    "untouched": "as it was",
    "hit": "disrupted",
    "returning": "on its way back",
    "back": "back in service, verified",
}


def closed(cast: Cast, ref: str, state: State, **found: Any) -> dict[str, Any]:
    """Print what a drill measured and what it showed; returns that beside what is `found` otherwise, and the truth."""
    desk = cast.desk
    drill = desk.manager.get(f"/drills/{ref}")
    desk.say(f"result: {RESULTS[drill['result']]}. {' '.join(drill['reasons'])}")
    figures = {one["name"]: one for one in state["figures"]}
    for one in figures.values():
        held = {True: ", as claimed", False: ", not as claimed", None: ""}[one["met"]]
        if one["value"] is not None or one["limit"] is not None:
            desk.say(f"  {one['title']}: {one['says'].removesuffix('.')}{held}.")
    truth = desk.provider.truth(desk.balancer)
    if state["targets"]:
        desk.say(f"by the provider's truth {truth['serving']} of {POOL} servers are in service")
    return {
        "result": drill["result"],
        "ended": state["status"],
        "serving": truth["serving"],
        "servers": truth["servers"],
        "floor_breaches": truth["floor_breaches"],
        **{
            f"{name}_s": _rounded(figures[name]["value"])
            for name in ("detected", "acknowledged", "informed", "mitigated", "recovered")
        },
        "acknowledged": figures["acknowledged"]["says"],
        "probes_failed": figures["probes_failed"]["value"],
        **found,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


RESULTS = {
    "drill_met": "it met its hypothesis",
    "drill_not_met": "it did not meet its hypothesis",
    "drill_stopped": "it was stopped",
    "drill_invalid": "it proves nothing",
}


def _is(state: State, phase: str) -> bool:
    return bool(state["targets"]) and all(one["phase"] == phase for one in state["targets"])


def met_story(desk: Desk, cast: Cast) -> dict[str, Any]:
    """A server is stopped without warning and started again; who is on duty notices, and everything claimed holds."""
    say = desk.say
    say("--- a host fails ---")
    desk.provider.show("launch")
    ref = begun(cast, "host_failure", "A host fails on a weekday", HOST_FAILURE)
    said: set[str] = set()

    def act(state: State, step: State | None) -> bool:
        title = step["title"] if step is not None else ""
        if "Notice" in title:
            _note(cast, ref, said, "detected", "web-06 does not answer; the shop is up.")
            _note(cast, ref, said, "acknowledged", "I see to it.")
        elif "Tell those" in title:
            _note(cast, ref, said, "informed", "The drill's message went to the customer's management.")
        elif "come back" in title:
            if not _is(state, "back"):
                return False
            _note(cast, ref, said, "mitigated", "Every server carries its share again.")
        return True

    return closed(cast, ref, led(cast, ref, act))


def _note(cast: Cast, ref: str, said: set[str], kind: str, words: str) -> None:
    """The participant on duty puts a moment on the time axis, once."""
    if kind not in said:
        said.add(kind)
        ask(cast.desk.approver, ref, "mark", words, kind=kind)


def stopped_story(desk: Desk, cast: Cast) -> dict[str, Any]:
    """While a server is away far more visitors come than the others carry: a stop condition holds, and it is undone by itself."""
    say = desk.say
    say("--- a stop condition holds ---")
    desk.provider.show("launch")
    choice = {**HOST_FAILURE, "hold_s": 300.0, "stop_error_ratio": 0.3}
    ref = begun(cast, "host_failure", "A host fails, and a wave comes", choice)
    wave = {"is_on": False, "is_over": False}

    def act(state: State, step: State | None) -> bool:
        if _is(state, "hit") and step is not None and step["number"] > 3 and not wave["is_on"]:
            wave["is_on"] = True
            say("*** a wave of visitors: far more than five servers carry ***")
            desk.provider.demand(desk.balancer, 12.0)
        if wave["is_on"] and not wave["is_over"] and _is(state, "returning"):
            wave["is_over"] = True
            say(f"the portal undoes by itself: {state['says']}")
            desk.provider.demand(desk.balancer, 1.0)
        # Nobody does anything: what undoes it is the portal.
        return step is None or step["number"] < 4

    return closed(cast, ref, led(cast, ref, act), undone_by_itself=wave["is_over"])


def escalation_story(desk: Desk, cast: Cast) -> dict[str, Any]:
    """First talked through, as the ladder asks; then the contacts are called: the first is silent, the second answers."""
    say = desk.say
    say("--- nobody answers ---")
    _refused_before_the_table_top(cast)
    said: set[str] = set()
    talk = begun(
        cast,
        "nobody_answers",
        "The order of escalation, talked through",
        {**NOBODY_ANSWERS, "kind": "table_top"},
        with_server=False,
    )

    def talk_through(state: State, step: State | None) -> bool:
        if step is not None and "Answer" in step["title"]:
            _note(cast, talk, said, "acknowledged", "I would look at the load balancer first.")
        return True

    talked = closed(cast, talk, led(cast, talk, talk_through))
    ref = begun(
        cast, "nobody_answers", "The first contact does not answer", NOBODY_ANSWERS, with_server=False
    )
    answered = {"at": 0.0}
    desk_mail = Story(desk.portal.url, say)

    def act(state: State, step: State | None) -> bool:
        if step is not None and "calls the contacts" in step["title"] and not answered["at"]:
            link = _link_to(desk_mail, SECOND, after_s=CALL_WAIT_S)
            if link:
                say(f"{FIRST} did not answer within {CALL_WAIT_S} s; {SECOND} is asked")
                time.sleep(A_PERSON_S)
                desk_mail.must(Browser(desk.portal.url).send(link), 200, "the second contact answers")
                answered["at"] = time.monotonic()
        return True

    state = led(cast, ref, act)
    reach = desk.manager.get(f"/accounts/{desk.account}/reaches")["results"][0]
    places = [one["after_s"] is not None for one in desk.manager.get(f"/reaches/{reach['ref']}")["people"]]
    return closed(
        cast,
        ref,
        state,
        talked_through=talked["result"],
        answered_by_place=places.index(True) + 1 if True in places else None,
    )


def _refused_before_the_table_top(cast: Cast) -> None:
    """The portal must say no to this drill before the smaller one was held."""
    try:
        begun(cast, "nobody_answers", "Straight into production", NOBODY_ANSWERS, with_server=False)
    except DemoFailed as refusal:
        if "table-top" not in str(refusal):
            raise
        cast.desk.say(f"refused: {refusal}")
        return
    raise DemoFailed("A scenario was drilled in production before it was talked through.")


def _link_to(story: Story, to: str, *, after_s: float) -> str:
    """Return the path of the link in the mail that asks somebody, waiting for those who are asked before."""
    ends_at = time.monotonic() + after_s + 15.0
    while True:
        try:
            return story.link_in_mail(to, to_page="reach")
        except StoryFailed:
            if time.monotonic() > ends_at:
                raise


def real_story(desk: Desk, cast: Cast) -> dict[str, Any]:
    """An observer says that it is real: it is undone at once and proves nothing, and its page no longer says drill."""
    say = desk.say
    say("--- this is real ---")
    desk.provider.show("launch")
    ref = begun(cast, "host_failure", "A host fails, and then for real", {**HOST_FAILURE, "hold_s": 300.0})
    watching = Browser(desk.portal.url)
    watching.log_in(OBSERVER, PASSWORD)
    pressed = {"is": False, "was_marked": False}

    def act(state: State, step: State | None) -> bool:
        if _is(state, "hit") and step is not None and step["number"] > 3 and not pressed["is"]:
            pressed["is"] = True
            pressed["was_marked"] = MARKED in watching.open(f"/drills/{ref}/live/").text
            ask(cast.observer, ref, "real", "The warehouse cannot print labels.")
            say("*** the observer presses This is real: the warehouse cannot print labels ***")
        return step is None or step["number"] < 4

    state = led(cast, ref, act)
    page = watching.open(f"/drills/{ref}/live/").text
    return closed(
        cast,
        ref,
        state,
        was_marked_as_drill=pressed["was_marked"],
        is_marked_as_drill=MARKED in page,
        says_real="This is real" in page,
    )


STORIES: Mapping[str, Callable[[Desk, Cast], dict[str, Any]]] = {
    "met_story": met_story,
    "stopped_story": stopped_story,
    "escalation_story": escalation_story,
    "real_story": real_story,
}
WHOLE = {"serving": POOL, "servers": POOL, "floor_breaches": 0}
EXPECTED: Mapping[str, Mapping[str, Any]] = {
    "met_story": {"result": "drill_met", "ended": "completed", **WHOLE},
    "stopped_story": {"result": "drill_stopped", "ended": "aborted", "undone_by_itself": True, **WHOLE},
    "escalation_story": {
        "result": "drill_met",
        "ended": "completed",
        "talked_through": "drill_met",
        "answered_by_place": 2,
    },
    "real_story": {
        "result": "drill_invalid",
        "ended": "aborted",
        "was_marked_as_drill": True,
        "is_marked_as_drill": False,
        "says_real": True,
        **WHOLE,
    },
}
"""What must come out of each story."""
KNOWN: Mapping[str, Sequence[str]] = {
    "met_story": ("detected_s", "acknowledged_s", "informed_s", "mitigated_s"),
    "stopped_story": ("detected_s", "probes_failed"),
    "escalation_story": ("acknowledged_s",),
}
"""What must have been measured in it."""


def problems(name: str, result: Mapping[str, Any]) -> list[str]:
    """Return what of a story's result is not as it must be, a sentence each."""
    found = [
        f"{key} is {result.get(key)!r}, not {must!r}"
        for key, must in EXPECTED[name].items()
        if result.get(key) != must
    ]
    found += [f"{key} was not measured" for key in KNOWN.get(name, ()) if result.get(key) is None]
    if name == "stopped_story" and not result.get("probes_failed"):
        found.append("no probe failed")
    return found


def tell(desk: Desk, names: Iterable[str] = STORIES) -> tuple[dict[str, Any], bool]:
    """Tell these stories; returns what came out of each, and whether all is as it must be."""
    try:
        cast = open_cast(desk)
        told = {name: STORIES[name](desk, cast) for name in names}
    except StoryFailed as failure:
        raise DemoFailed(str(failure)) from failure
    wrong = [f"{name}: {problem}" for name, result in told.items() for problem in problems(name, result)]
    for problem in wrong:
        desk.say(f"not as it must be: {problem}")
    return told, not wrong
