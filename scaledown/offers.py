"""Which of people's commands make sense now, who may give them, and what each will leave. Pure.

Pages show `offers(...)` as buttons, with the sentence before the click; services and the engine ask
`refusal(...)` again when the click arrives. Both read the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from portal.access import Permission
from portal.frozen import replace
from portal.runs.types import RunStatus
from scaledown import hours
from scaledown.commands import RESTING, STATUSES, at_limit, cannot_finish, failed_step, is_in_queue
from scaledown.growing import to_create
from scaledown.peak import is_watching
from scaledown.progress import Progress, ServerWay
from scaledown.rolling_back import has_something_to_undo, stays_deleted
from scaledown.types import Phase, PlanData

LONGEST_WAIT_S = 24 * 3600.0
WAIT_S = 600
"""How much longer a drain at its limit is offered to go on."""
GO_ON = frozenset({"resume", "retry", "go_on", "wait"})
"""After these a run that rests goes on."""


@dataclass(frozen=True)
class Situation:
    """What a command is judged by: where the run stands and what it believes about its servers."""

    status: RunStatus
    plan: PlanData
    progress: Progress
    deleting: str = ""
    """The id of a server whose deletion was sent and is not answered yet; nobody knows whether it happens."""
    stands_still: bool = False
    """A standstill is in force: no server is brought to its end."""
    freeze: str = ""
    """The sentence of the freeze that keeps a resting run from going on, which a lead may override; or ""."""
    held_version: str = ""
    """The version of that sentence: whoever overrides it sends it along, as what they read."""
    is_rehearsal: bool = False
    nobody_to_call: str = ""
    """Why the plan's wish for somebody to call keeps a resting run from going on, or ""."""

    @property
    def at_limit(self) -> ServerWay | None:
        """The draining server about which a person was asked at its drain limit, or None."""
        return at_limit(self.progress)


@dataclass(frozen=True)
class Offer:
    """One command that makes sense now. `leaves` is what it will leave, said before the click.

    `args` go with the command as they are; `server_id` is None for commands of the whole run.
    """

    name: str
    label: str
    customer_label: str
    leaves: str
    customer_leaves: str
    permission: Permission
    needs_reason: bool = False
    is_dangerous: bool = False
    server_id: str | None = None
    server_name: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """One command: who may give it, for which phases of a server (empty: whole run)."""

    name: str
    permission: Permission
    phases: frozenset[Phase] = frozenset()
    needs_reason: bool = False
    only_at_drain_limit: bool = False
    when: str = ""
    """When it makes sense, as the rest of "… makes sense only …"."""

    @property
    def statuses(self) -> frozenset[RunStatus]:
        """In which statuses of a run it makes sense."""
        return STATUSES[self.name]


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("pause", Permission.RUN_PAUSE, when="while the run goes on"),
        Rule(
            "resume",
            Permission.RUN_COMMAND,
            when="while the run is paused or halted",
        ),
        Rule(
            "retry",
            Permission.RUN_COMMAND,
            when="while the run is halted at a step that failed",
        ),
        Rule(
            "go_on",
            Permission.RUN_COMMAND,
            needs_reason=True,
            only_at_drain_limit=True,
            when="at the drain limit",
        ),
        Rule(
            "wait",
            Permission.RUN_COMMAND,
            only_at_drain_limit=True,
            when="at the drain limit",
        ),
        Rule(
            "put_back",
            Permission.RUN_COMMAND,
            frozenset(phase for phase in Phase if phase.is_out_and_alive),
            when="for a server that is out of service and not yet being deleted",
        ),
        Rule(
            "skip",
            Permission.RUN_COMMAND,
            frozenset({Phase.QUEUED}),
            when="for a server whose turn has not come",
        ),
        Rule(
            "finish_here",
            Permission.RUN_COMMAND,
            when="while servers wait for their turn, or the next peak is watched",
        ),
        Rule(
            "accept",
            Permission.RUN_COMMAND,
            frozenset(phase for phase in Phase if not phase.is_final),
            needs_reason=True,
            when="for a server that another hand changed or that still serves somebody, while the run is paused or halted",
        ),
        Rule(
            "roll_back",
            Permission.RUN_COMMAND,
            needs_reason=True,
            when="while the run goes on, is paused or halted",
        ),
        Rule(
            "abort",
            Permission.RUN_ABORT,
            needs_reason=True,
            when="while the run is not over",
        ),
    )
}


def refusal(name: str, args: Mapping[str, Any], reason: str, now: Situation) -> str | None:
    """Return None if the command makes sense now, else the sentence why not."""
    rule = RULES.get(name)
    if rule is None:
        return f"There is no command “{name}”. There are: {', '.join(sorted(RULES))}."
    word = name.replace("_", " ")
    if now.status not in rule.statuses:
        return f"“{word}” makes sense only {rule.when}; the run is {now.status.value.replace('_', ' ')}."
    if rule.only_at_drain_limit and now.at_limit is None:
        return f"“{word}” makes sense only {rule.when}, and no drain has reached its limit."
    if rule.needs_reason and not reason.strip():
        return f"“{word}” needs a written reason: it stays in the journal."
    return _args_refusal(name, args) or (
        _server_refusal(word, args, rule, now.progress) if rule.phases else None
    )


def _server_refusal(word: str, args: Mapping[str, Any], rule: Rule, progress: Progress) -> str | None:
    way = progress.server(str(args.get("server", "")))
    if way is None:
        return f"“{word}” needs the id of one of this run's servers (server)."
    if way.phase not in rule.phases:
        return f"“{word}” makes sense only {rule.when}; {way.name} is {way.phase.value}."
    if way.put_back is not None and rule.name != "accept":
        return f"{way.name} is on its way back already."
    if rule.name == "accept" and not way.by_hand:
        return f"No other hand changed {way.name}, and it serves nobody: there is nothing to allow."
    if rule.name == "put_back":
        return progress.cannot.get(f"put_back {way.server_id}")
    return None


_ARGS: Mapping[str, frozenset[str]] = {
    "pause": frozenset({"when"}),
    "resume": frozenset({"confirm", "server", "servers"}),
    "retry": frozenset({"confirm", "server", "servers"}),
    "put_back": frozenset({"server"}),
    "skip": frozenset({"server"}),
    "go_on": frozenset({"connections"}),
    "wait": frozenset({"seconds"}),
    "accept": frozenset({"server"}),
}


def _args_refusal(name: str, args: Mapping[str, Any]) -> str | None:
    # What is let through here is read by the engine, where nobody could be told of a value that is none.
    unknown = sorted(set(args) - _ARGS.get(name, frozenset()))
    if unknown:
        return f"“{name.replace('_', ' ')}” takes no {', '.join(one[:40] for one in unknown[:5])}."
    if not isinstance(args.get("server", ""), str):
        return "A server is named by its id, as text (server)."
    servers = args.get("servers", [])
    if not isinstance(servers, list) or not all(isinstance(server, str) for server in servers):
        return "Servers are named by a list of their ids (servers)."
    connections = args.get("connections")
    if connections is not None and (
        isinstance(connections, bool) or not isinstance(connections, int) or connections < 0
    ):
        return "Say how many connections may be cut at most, as a whole number (connections)."
    if name == "pause" and args.get("when", "after_this_server") not in ("after_this_server", "now"):
        return "Pause takes “after_this_server” or “now” (when)."
    if name == "wait":
        seconds = args.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            return "Wait needs a number of seconds (seconds)."
        if not 0 < seconds <= LONGEST_WAIT_S:
            return "Wait takes from 1 second to 24 hours (seconds)."
    if name in {"resume", "retry"} and not isinstance(args.get("confirm", False), bool):
        return f"{name.capitalize()} takes true or false (confirm)."
    return None


def growable(now: Situation) -> tuple[ServerWay, ...]:
    """Return the deleted servers by which the run can grow again now, the one that was deleted last first."""
    progress = now.progress
    if now.status not in STATUSES["grow_again"] or now.is_rehearsal:
        return ()
    if progress.aborting or progress.rolling_back:
        return ()
    return to_create(now.plan, progress)


def grow_refusal(count: int, reason: str, now: Situation) -> str | None:
    """Return None if growing again by so many can be asked for now, else the sentence why not."""
    if now.status not in STATUSES["grow_again"] or now.progress.aborting or now.progress.rolling_back:
        word = "being aborted" if now.progress.aborting else now.status.value.replace("_", " ")
        return f"A run grows again only while it goes on, is paused or halted; this one is {word}."
    if now.is_rehearsal:
        return "A rehearsal changed nothing: there is nothing to grow again by."
    most = len(growable(now))
    if not most:
        return "No server of this run is deleted and has an image that is ready: none can be created anew."
    if not 1 <= count <= most:
        return f"{most} of this run's servers can be created anew: ask for 1 to {most}."
    if not reason.strip():
        return "Say why servers are needed again: whoever approves it reads that."
    return None


def grow_leaves(now: Situation) -> str:
    """Say before the click what growing again leaves, once both sides have approved it."""
    out = [way.name for way in now.progress.servers if way.phase.is_out_and_alive]
    queued = [way.name for way in now.progress.servers if is_in_queue(way)]
    parts = [f"{', '.join(out)} {'goes' if len(out) == 1 else 'go'} back in service first."] if out else []
    parts.append(
        "Each server that you ask for is created anew from an image, one after the other. It has another id and other "
        "addresses, serves once a check of it is good, and is billed from then on."
    )
    if queued:
        parts.append(f"{_stay(queued)} in service.")
    watch = now.progress.watch
    if watch is not None and watch.ended_at is None:
        parts.append("The peak is not watched any further.")
    return " ".join([*parts, "Then the run is complete."])


def offers(now: Situation) -> tuple[Offer, ...]:
    """Return the commands that make sense now, the most likely first."""
    found: list[Offer] = []
    for make in (
        _go_on,
        _wait,
        _accepts,
        _retry,
        _resume,
        _pauses,
        _put_backs,
        _finish_here,
        _skips,
        _roll_back,
        _abort,
    ):
        found.extend(make(now))
    return tuple(found)


def most_sensible_first(found: Iterable[Offer], safe: Sequence[str]) -> list[Offer]:
    """Return offers in the order of `safe`, what a halt names as safe next; what cuts or deletes comes last."""
    place = {name: number for number, name in reversed(list(enumerate(safe)))}
    return sorted(found, key=lambda offer: (offer.is_dangerous, place.get(offer.name, len(place))))


def _allowed(name: str, now: Situation) -> bool:
    rule = RULES[name]
    if now.progress.rolling_back and name not in {"resume", "retry", "abort"}:
        return False
    if now.progress.aborting or name in now.progress.cannot or (now.nobody_to_call and name in GO_ON):
        return False
    if now.freeze and name in GO_ON - {"resume"}:
        return False  # the run would go on in the freeze by it: that is a resume, which a lead may choose
    return now.status in rule.statuses and (not rule.only_at_drain_limit or now.at_limit is not None)


def _resume(now: Situation) -> list[Offer]:
    if not _allowed("resume", now):
        return []
    asked_about = [way for way in now.progress.servers if way.by_hand and not way.phase.is_final]
    noisy = [way.name for way in asked_about if _is_noisy(way)]
    changed = [way.name for way in asked_about if not _is_noisy(way)]
    for name, nodes in (
        *((kept.name, kept.nodes) for kept in now.progress.kept),
        *((way.name, way.nodes) for way in now.progress.servers),
    ):
        if any(node.is_foreign for node in nodes):
            changed.append(name)
    by_hand = list(dict.fromkeys(changed))
    leaves = "The run looks at the pool afresh and goes on from where it stopped."
    if by_hand:
        leaves += (
            f" You confirm that the pool is right as another hand left it ({', '.join(by_hand)});"
            " servers of this run that were changed stay, or go back, and are not deleted by it:"
            " allow each that may be deleted first."
        )
    if noisy:
        leaves += f" {', '.join(noisy)} still serves somebody: not allowed by name first, it goes back and is not deleted by this run."
    if now.freeze:
        leaves = f"{now.freeze} You override it, with a reason that stays on the record. {leaves}"
    return [
        Offer(
            "resume",
            "Resume the run",
            "Go on",
            leaves,
            "We look again and go on from here.",
            Permission.OVERRIDE if now.freeze else Permission.RUN_COMMAND,
            needs_reason=bool(now.freeze),
            args={"confirm": True} if by_hand or noisy else {},
        )
    ]


def _retry(now: Situation) -> list[Offer]:
    what = failed_step(now.progress)
    if not what or not _allowed("retry", now):
        return []
    return [
        replace(
            resume,
            name="retry",
            label=f"Try again: {what}",
            customer_label="Try again",
            leaves=f"The run goes on from the step that failed: {what} is tried again. {resume.leaves}",
            customer_leaves="We try it again and go on from here.",
        )
        for resume in _resume(now)
    ]


def _go_on(now: Situation) -> list[Offer]:
    if not _allowed("go_on", now):
        return []
    way = now.at_limit
    if way is None or way.drain is None:
        return []
    count = way.drain.connections
    cut = f"{count} open connections" if count is not None else "an unknown number of open connections"
    return [
        Offer(
            "go_on",
            f"Go on and cut {count} connections" if count is not None else "Go on and cut what is open",
            "Go on",
            f"{way.name} leaves the pool now; {cut} to it are cut.",
            f"{way.name} leaves now; visitors still connected to it are cut off once.",
            Permission.RUN_COMMAND,
            needs_reason=True,
            is_dangerous=True,
            args={"connections": count} if count is not None else {},
        )
    ]


def _wait(now: Situation) -> list[Offer]:
    if not _allowed("wait", now):
        return []
    leaves, customer_leaves = (
        "The server keeps draining for 10 more minutes; then you are asked again.",
        "We wait 10 more minutes.",
    )
    seen_at = now.progress.sighted_at
    end = None if seen_at is None else hours.closes_at(now.plan, seen_at)
    if end is not None and seen_at is not None and end <= seen_at + timedelta(seconds=WAIT_S):
        leaves = (
            "The window ends before that: the server keeps draining until then, and goes back in service."
        )
        customer_leaves = "We wait until the agreed time ends. Then the server goes back into service."
    return [
        Offer(
            "wait",
            "Wait 10 more minutes",
            "Wait 10 more minutes",
            leaves,
            customer_leaves,
            Permission.RUN_COMMAND,
            args={"seconds": WAIT_S},
        )
    ]


def _is_noisy(way: ServerWay) -> bool:
    return way.own is not None and way.own.is_asked_about


def _found(way: ServerWay) -> str:
    return (
        f"{way.by_hand} Who uses it is cut off."
        if _is_noisy(way)
        else f"Another hand changed it: {way.by_hand}"
    )


def _accepts(now: Situation) -> list[Offer]:
    if now.status not in RESTING or now.progress.aborting:
        return []
    return [
        Offer(
            "accept",
            f"Let {way.name} be deleted all the same",
            f"Let {way.name} be deleted all the same",
            _doubted(now, way)
            + f"{_found(way)} This run goes on with {way.name} as it is now, and may delete it, once it is resumed.",
            _doubted(now, way)
            + f"{way.name} {'may still be in use' if _is_noisy(way) else 'was changed by someone'}. "
            "We go on with it as it is now.",
            Permission.RUN_COMMAND,
            needs_reason=True,
            is_dangerous=True,
            server_id=way.server_id,
            server_name=way.name,
            args={"server": way.server_id},
        )
        for way in now.progress.servers
        if way.by_hand and not way.phase.is_final and f"accept {way.server_id}" not in now.progress.cannot
    ]


def _pauses(now: Situation) -> list[Offer]:
    if not _allowed("pause", now):
        return []
    way = now.progress.in_flight
    if way is None:
        on_its_way = _names(now, _UNCONFIRMED)
        leaves = "Nothing more is sent. No server is on its way out."
        imaged = _names(now, frozenset({Phase.IMAGING}))
        if imaged:
            leaves = f"Nothing more is sent. {_stay(imaged)} out of service, alive, and {'is' if len(imaged) == 1 else 'are'} not deleted."
        if on_its_way:
            leaves = f"Nothing more is sent. {_are(on_its_way)} being deleted already, which nothing stops."
        if doubted := _doubted(now):
            leaves = f"Nothing more is sent. {doubted}"
        return [
            _pause(
                "now", "Pause", leaves, leaves if on_its_way or doubted or imaged else "Nothing more happens."
            )
        ]
    goes_back = f"{way.name} goes back in service"
    comes_back = way.put_back is not None
    # In a standstill nothing but putting back moves: there is no end of this server to pause after.
    no_end = now.stands_still and not comes_back
    after = _pause(
        "after_this_server",
        f"Pause after {way.name}",
        f"{goes_back if comes_back else f'{way.name} is brought to its end'}, then nothing more is sent.",
        f"{goes_back}, then we wait." if comes_back else f"We finish {way.name}, then wait.",
    )
    if way.phase is Phase.VERIFYING and not comes_back:
        # It has left the pool already: a pause leaves it there, alive, and puts nothing back.
        stays = f"{way.name} stays out of service, alive: it can be put back, and is not deleted."
        at_once = _pause("now", f"Pause now, {way.name} stays out", f"Nothing more is sent. {stays}", stays)
    else:
        leaves = f"{goes_back}, then nothing more is sent."
        at_once = _pause("now", f"Pause now, {way.name} back in service", leaves, f"{goes_back}.")
    return [at_once] if no_end else [after, at_once]


def _pause(when: str, label: str, leaves: str, customer_leaves: str) -> Offer:
    return Offer("pause", label, label, leaves, customer_leaves, Permission.RUN_PAUSE, args={"when": when})


def _put_backs(now: Situation) -> list[Offer]:
    return [
        Offer(
            "put_back",
            f"Put {way.name} back",
            f"Put {way.name} back in service",
            _doubted(now, way) + f"{_serves_again(way)}; it is not taken out again by this run.",
            _doubted(now, way) + f"{_serves_again(way)}.",
            Permission.RUN_COMMAND,
            server_id=way.server_id,
            server_name=way.name,
            args={"server": way.server_id},
        )
        for way in _ways("put_back", now)
    ]


def _serves_again(way: ServerWay) -> str:
    """Say what putting back takes: a stopped server is started first."""
    is_off = way.stop is not None and way.stop.stopped_at is not None
    return (
        f"{way.name} is started, and serves again once it answers" if is_off else f"{way.name} serves again"
    )


def _skips(now: Situation) -> list[Offer]:
    return [
        Offer(
            "skip",
            f"Skip {way.name}",
            f"Keep {way.name}",
            f"{way.name} stays in service; the run goes on with the others.",
            f"{way.name} stays in service.",
            Permission.RUN_COMMAND,
            server_id=way.server_id,
            server_name=way.name,
            args={"server": way.server_id},
        )
        for way in _ways("skip", now)
    ]


def _ways(name: str, now: Situation) -> list[ServerWay]:
    rule = RULES[name]
    if now.status not in rule.statuses or (name == "skip" and now.progress.aborting):
        return []
    return [
        way
        for way in now.progress.servers
        if way.phase in rule.phases
        and way.put_back is None
        and f"{name} {way.server_id}" not in now.progress.cannot
    ]


def _finish_here(now: Situation) -> list[Offer]:
    queued = [way.name for way in now.progress.servers if is_in_queue(way)]
    is_useless = now.progress.finishing or cannot_finish(now.status, now.progress)
    if not _allowed("finish_here", now) or is_useless:
        return []
    if is_watching(now.progress):
        return [
            Offer(
                "finish_here",
                "Finish here, end the peak watch",
                "Stop here",
                "The run completes at this size now. The next peak is not watched to its end: the report says how it went "
                "so far. Nothing is changed.",
                "We end this here. Nothing is changed.",
                Permission.RUN_COMMAND,
            )
        ]
    if not queued:
        return [
            Offer(
                "finish_here",
                "Finish here",
                "Stop here",
                "The run completes at this size. Nothing is changed.",
                "We stop here. Nothing is changed.",
                Permission.RUN_COMMAND,
            )
        ]
    leaves = f"{_finish_leaves(now)} {_stay(queued)} and {'is listed as a leftover' if len(queued) == 1 else 'are listed as leftovers'}."
    doubted = _doubted(now)
    return [
        Offer(
            "finish_here",
            f"Finish here, keep {queued[0] if len(queued) == 1 else f'the other {len(queued)}'}",
            "Stop here",
            " ".join([doubted, leaves]).strip(),
            " ".join([doubted, f"{_stay(queued)} in service."]).strip(),
            Permission.RUN_COMMAND,
        )
    ]


def _finish_leaves(now: Situation) -> str:
    """Say what becomes of servers that are out when the run is finished here."""
    way = now.progress.in_flight
    coming_back = [one.name for one in now.progress.servers if one.put_back is not None]
    out = [one.name for one in now.progress.servers if one.phase.is_out_and_alive and one.put_back is None]
    back = f"{', '.join(coming_back)} {'goes' if len(coming_back) == 1 else 'go'} back in service"
    if out and now.status in RESTING:
        first = f"{back}. " if coming_back else ""
        if way is not None and way.phase in {Phase.DRAINING, Phase.REMOVING} and out == [way.name]:
            # A draining server does not stay out: silence puts it back.
            return f"{first}{way.name} is brought to its end where the run is resumed in time, and goes back in service otherwise."
        them = "it is" if len(out) == 1 else "they are"
        return f"{first}{', '.join(out)} {'stays' if len(out) == 1 else 'stay'} out until the run is resumed or {them} put back; then the run completes."
    if coming_back:
        return f"{back}, then {_completes(now)}"
    imaged = set(_names(now, frozenset({Phase.IMAGING})))
    held = [name for name in out if (way is None or name != way.name) and name not in imaged]
    deleted = (
        f" {', '.join(held)} {'is' if len(held) == 1 else 'are'} deleted once the hold is over."
        if held
        else ""
    )
    if imaged:
        deleted += f" {', '.join(sorted(imaged))} {'is' if len(imaged) == 1 else 'are'} deleted once the image is ready."
    first = "" if way is None else f"{way.name} is brought to its end, then "
    says = f"{first}{_completes(now)}{deleted}"
    return says[:1].upper() + says[1:]


def _completes(now: Situation) -> str:
    """Say when a run that is finished here ends: not before the peak that it is to watch is over."""
    until, seen_at = now.plan.watch_until, now.progress.sighted_at
    is_out = any(
        way.put_back is None and way.phase is not Phase.QUEUED and not way.phase.is_staying
        for way in now.progress.servers
    )
    if until is None or seen_at is None or seen_at >= until or not is_out or now.is_rehearsal:
        return "the run completes at this size."
    return "the run stays open at this size until the next peak is over."


def _stay(names: list[str]) -> str:
    return f"{', '.join(names)} {'stays' if len(names) == 1 else 'stay'}"


def _roll_back(now: Situation) -> list[Offer]:
    if not _allowed("roll_back", now) or now.is_rehearsal or not has_something_to_undo(now.progress):
        return []
    out = [way.name for way in now.progress.servers if way.phase.is_out_and_alive]
    anew = [way.name for way in to_create(now.plan, now.progress)]
    lost = [way.name for way in stays_deleted(now.plan, now.progress)]
    being_deleted = _names(now, _UNCONFIRMED)
    parts = []
    if out:
        parts.append(f"{', '.join(out)} {'goes' if len(out) == 1 else 'go'} back in service.")
    if anew:
        it = (
            "It gets another id and other addresses, and serves"
            if len(anew) == 1
            else "They get other ids and addresses, and serve"
        )
        parts.append(
            f"{_are(anew)} created anew from an image. {it} once a check of it is good."
            if len(anew) == 1
            else f"{_are(anew)} created anew from images. {it} once a check of each is good."
        )
    if being_deleted:
        parts.append(
            f"{_are(being_deleted)} being deleted already, and created anew after that where there is an image."
        )
    if lost:
        parts.append(f"{_stay(lost)} deleted: that cannot be undone.")
    leaves = " ".join([*parts, "Then the run ends."])
    count = len(anew) + len(being_deleted)
    return [
        Offer(
            "roll_back",
            f"Roll back, create {count} anew" if count else "Roll back",
            "Undo",
            leaves,
            leaves,
            Permission.RUN_COMMAND,
            needs_reason=True,
            is_dangerous=True,
        )
    ]


def _abort(now: Situation) -> list[Offer]:
    if not _allowed("abort", now):
        return []
    if now.progress.rolling_back:
        return _stop_rolling_back(now)
    out = [
        way.name
        for way in now.progress.servers
        if way.phase.is_out_and_alive and way.server_id != now.deleting
    ]
    leaves = (
        f"{', '.join(out)} {'goes' if len(out) == 1 else 'go'} back in service, then the run ends."
        if out
        else "The run ends; nothing more is changed."
    )
    if gone := _names(now, _DELETED):
        leaves += f" {_stay(gone)} deleted."
    if on_its_way := _names(now, _UNCONFIRMED):
        leaves += f" {_are(on_its_way)} being deleted already, which nothing stops."
    if doubted := _doubted(now):
        leaves += f" {doubted} If it did not happen, the server goes back in service."
    return [
        Offer(
            "abort",
            f"Abort, put {len(out)} back" if out else "Abort the run",
            "Stop and undo what can be undone",
            leaves,
            leaves,
            Permission.RUN_ABORT,
            needs_reason=True,
            is_dangerous=True,
        )
    ]


def _stop_rolling_back(now: Situation) -> list[Offer]:
    if now.progress.giving_up:
        return []
    left = [way.name for way in now.progress.servers if way.phase in {Phase.RECREATING, Phase.JOINING}]
    grows = now.progress.growing is not None
    ends = "the run is complete" if grows else "the run ends"
    leaves = f"Nothing more is created anew; what lives goes back in service, then {ends}."
    if left:
        leaves += f" What was begun for {', '.join(left)} is left at the provider as it is."
    return [
        Offer(
            "abort",
            "Be content with what is back" if grows else "Stop the roll back",
            "Stop here" if grows else "Stop undoing",
            leaves,
            leaves,
            Permission.RUN_ABORT,
            needs_reason=True,
            is_dangerous=True,
        )
    ]


def _doubted(now: Situation, way: ServerWay | None = None) -> str:
    """Say that nobody knows whether a server is being deleted: of `way`, as what comes before its own promise."""
    doubted = now.progress.server(now.deleting) if now.deleting else None
    if doubted is None or (way is not None and way.server_id != now.deleting):
        return ""
    says = f"The deletion of {doubted.name} was sent and is not answered yet, which nothing stops."
    return f"{says} Only if it did not happen: " if way is not None else says


_DELETED = frozenset({Phase.RETIRED, Phase.GONE})
_UNCONFIRMED = frozenset({Phase.DELETING, Phase.CONFIRMING})
"""The delete was accepted or is on the wire: no command takes it back."""


def _names(now: Situation, phases: frozenset[Phase]) -> list[str]:
    return [way.name for way in now.progress.servers if way.phase in phases]


def _are(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
