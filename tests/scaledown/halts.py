"""Every reason to halt: which codes the source can give, and a run that halts with each."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from portal.cloud.types import BalancerStatus, Condition, NodeStatus
from portal.runs import rules
from portal.runs.types import Outcome, OutcomeKind, RunStatus
from scaledown.turn import BOUNDED_WAITS, WANTED_WAITS
from scaledown.types import ImageRule, Phase
from tests.scaledown.machine_cases import LB, START, Desk, a_plan
from tests.scaledown.test_keeping_up import Site, comparing
from tests.scaledown.test_load_guard import holding
from tests.scaledown.test_load_guard import look as carry
from tests.scaledown.test_rolling_back import one_deleted, until
from tests.scaledown.test_silence import go_on, held
from tests.scaledown.test_stopping import silent_after_its_start, stopped

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    *sorted((ROOT / "scaledown").glob("*.py")),
    ROOT / "portal/runs/rules.py",
    ROOT / "portal/runs/engine.py",
    ROOT / "portal/runs/store_pg.py",
    ROOT / "portal/runs/store_memory.py",
]

# --- what the source can give -------------------------------------------------------------------------------------


class Codes:
    """The codes of calls in the source, also those that are chosen or put together there."""

    def __init__(self) -> None:
        self._called: dict[str, list[tuple[ast.Call, ast.AST]]] = {}
        for source in SOURCES:
            self._read(ast.parse(source.read_text()))
        self.standing = {code for code, waits in self._made("Obstacle") if not waits}
        """Codes of obstacles that are not waited for: they halt as they are."""
        self.passing = {code for code, waits in self._made("Obstacle") if waits}
        self.refusals = {code for code, waits in self._made("Refusal") if waits} | self.passing

    def _read(self, tree: ast.AST) -> None:
        """Keep every call under its name, with each function that it stands in: the source is walked once."""
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call):
                        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                        self._called.setdefault(name, []).append((node, function))

    def _calls(self, *names: str) -> Iterable[tuple[ast.Call, ast.AST]]:
        for name in names:
            yield from self._called.get(name, ())

    def _made(self, name: str) -> Iterable[tuple[str, bool]]:
        """Return each code with whether it is waited for; where that is chosen at run time, both."""
        for call, function in self._calls(name):
            given = next((w.value for w in call.keywords if w.arg == "waits"), None)
            given = call.args[2] if given is None and len(call.args) > 2 else given
            known = given.value if isinstance(given, ast.Constant) else None
            for code in self._values(call.args[0], function):
                for waits in (True,) if given is None else (known,) if known is not None else (True, False):
                    yield code, bool(waits)

    def _values(self, node: ast.AST | None, function: ast.AST) -> set[str]:
        """Return what an expression for a code can be; {} for one that is another function's parameter."""
        if isinstance(node, ast.Constant):
            return {node.value} if isinstance(node.value, str) else set()
        if isinstance(node, ast.IfExp):
            return self._values(node.body, function) | self._values(node.orelse, function)
        if isinstance(node, ast.Name):
            found: set[str] = set()
            for one in ast.walk(function):
                for target, value in _assigned(one):
                    if target == node.id:
                        found |= self._values(value, function)
            return found
        return set()

    def halting(self) -> set[str]:
        """Return the codes with which something halts."""
        found = set(self.standing)
        for call, function in self._calls("halt", "Halt"):
            found |= self._values(_first(call), function)
        for call, function in self._calls("internal_halt", "_failed"):
            given = _first(call, 1)
            found |= {"internal_error"} if given is None else self._values(given, function)
        return found

    def waiting(self) -> set[str]:
        """Return the codes of waits that end in a halt if they last too long."""
        found = self.passing | self.standing
        for call, function in self._calls("wait"):
            first = _first(call)
            found |= self._values(first, function)
            if isinstance(first, ast.JoinedStr):
                head = first.values[0].value
                found |= {f"{head}{code}" for code in self.refusals}
        return found - WANTED_WAITS - BOUNDED_WAITS


def _first(call: ast.Call, position: int = 0) -> ast.AST | None:
    named = next((w.value for w in call.keywords if w.arg == "code"), None)
    return call.args[position] if len(call.args) > position else named


def _assigned(node: ast.AST) -> Iterable[tuple[str, ast.AST]]:
    if not isinstance(node, ast.Assign):
        return
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            for one, value in zip(target.elts, node.value.elts, strict=True):
                if isinstance(one, ast.Name):
                    yield one.id, value


# --- a run that halts with each ------------------------------------------------------------------------------------


def halts(desk: Desk, most: int = 400, after_s: float = 1.0) -> Desk:
    return desk.until(lambda: desk.status is RunStatus.HALTED, most=most, after_s=after_s)


def in_phase(phase: Phase, **changes) -> Desk:
    desk = Desk(a_plan(**{"floor": 2, **changes}))
    if phase is Phase.DRAINING:
        desk.connections["srv-6"] = 3
    return desk.until_phase(phase)


def change(desk: Desk, server: str, **values) -> Desk:
    desk.servers[server] = replace(desk.servers[server], **values)
    return desk


def offline(desk: Desk, *nodes: str) -> Desk:
    for node in nodes:
        desk.nodes[node] = replace(desk.nodes[node], status=NodeStatus.OFFLINE)
    return desk


def with_probe(desk: Desk, ok: bool | None) -> Desk:
    desk.probe_ok = ok
    return halts(desk)


class WithoutBalancer(Desk):
    """A desk whose balancer is answered with 404 once `is_lost`."""

    is_lost = False

    def observation(self):
        seen = super().observation()
        return replace(seen, balancers={}, missing_balancers=frozenset({LB})) if self.is_lost else seen


def balancer_gone() -> Desk:
    desk = WithoutBalancer(a_plan(floor=2)).until_phase(Phase.DRAINING)
    desk.is_lost = True
    return halts(desk)


def lost_sight() -> Desk:
    desk = in_phase(Phase.DRAINING)
    desk.visible = False
    return halts(desk)


def load_unknown() -> Desk:
    desk = holding()
    carry(desk, 10, blind=("srv-1",), most=120, until=lambda: desk.status is RunStatus.HALTED)
    return desk


def not_enough_traffic() -> Desk:
    desk = Site(comparing(forecast_peak_rps=4000.0), rps=20.0)
    desk.until(lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "traffic")
    way = desk.way()
    first = replace(way, left_at=way.left_at - timedelta(hours=13), since=way.since - timedelta(hours=13))
    desk.progress = replace(desk.progress, servers=(first, *desk.progress.servers[1:]))
    return halts(desk)


def cannot_put_back() -> Desk:
    desk = change(in_phase(Phase.HELD, hold_s=600.0), "srv-6", status="ERROR")
    assert desk.command("put_back", server="srv-6").accepted
    return halts(desk)


def cannot_recreate() -> Desk:
    desk = one_deleted()
    desk.builds = "ERROR"
    assert desk.command("roll_back").accepted
    return until(desk, lambda: desk.status is RunStatus.HALTED)


def drain_limit() -> Desk:
    return halts(in_phase(Phase.DRAINING))


def put_back_after_silence() -> Desk:
    desk = drain_limit()
    return desk.until(lambda: desk.halt.code != "drain_limit", most=100, after_s=60.0)


def delete_forbidden() -> Desk:
    desk = in_phase(Phase.HELD, hold_s=30.0)
    desk.found_in = ("99",)
    return halts(desk)


def stop_forbidden() -> Desk:
    desk = Desk(a_plan(stop_s=60.0))
    desk.powers = False
    return halts(desk)


def worse_than_approved() -> Desk:
    desk = in_phase(Phase.HELD, hold_s=30.0)
    desk.freeze, desk.is_worse = "One server carries 20 by what is known now.", True
    return halts(desk)


def image_failed() -> Desk:
    desk = Desk(a_plan(images=ImageRule.EACH, images_kept_s=86_400.0))
    desk.until(lambda: "create_image" in desk.names)
    desk.image_is("ERROR")
    return halts(desk, after_s=5.0)


class Slow(Desk):
    """A desk whose provider deletes for ever."""

    def _apply(self, action):
        if action.name == "delete_server":
            change(self, action.args["server_id"], task_state="deleting")
        else:
            super()._apply(action)


class Idle(Desk):
    """A desk whose provider does nothing of what is named."""

    idle: frozenset[str] = frozenset()

    def _apply(self, action):
        if action.name not in self.idle:
            super()._apply(action)


def without_effect(name: str) -> Desk:
    desk = Idle(a_plan(floor=2))
    desk.idle = frozenset({name})
    return halts(desk, most=900)


def confirm_failed() -> Desk:
    desk = in_phase(Phase.DELETING)
    desk.probe_ok = None
    desk.until_phase(Phase.CONFIRMING)
    change(desk, "srv-6", status="ACTIVE", is_gone=False).look()
    return desk


def changed_by_other_hand() -> Desk:
    desk = in_phase(Phase.DRAINING)
    desk.nodes["405"] = replace(desk.nodes["405"], condition=Condition.DISABLED)
    return halts(desk)


def protected_server() -> Desk:
    desk = in_phase(Phase.HELD, hold_s=600.0)
    desk.protected = frozenset({"srv-6"})
    return halts(desk)


def pool_changed() -> Desk:
    desk = in_phase(Phase.HELD, hold_s=10 * 86400.0)
    desk.in_charge = None
    assert desk.command("pause", when="now").accepted
    desk.look(25 * 3600.0)
    change(desk, "srv-1", name="another")
    assert desk.command("resume").accepted
    return halts(desk)


def approval_does_not_stand() -> Desk:
    desk = Desk()
    desk.approval_stands = False
    return halts(desk)


def answered(outcome: Outcome) -> Desk:
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.outcome = outcome
    return halts(desk, most=900)


def not_writable() -> Desk:
    desk = in_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 0
    desk.balancer_status = BalancerStatus.SUSPENDED
    return halts(desk)


def next_one(**values) -> Desk:
    """The second server cannot begin when its turn comes."""
    desk = in_phase(Phase.VERIFYING)
    return halts(change(desk, "srv-5", **values))


def remaining_changed() -> Desk:
    """The address of one that stays is another machine's, while the next server waits for its turn."""
    desk = in_phase(Phase.RETIRED, pause_between_s=60.0)
    return halts(change(desk, "srv-2", created_at=START))


def start_without_answer() -> Desk:
    return halts(silent_after_its_start(stopped()))


def by_engine(name: str) -> Desk:
    """A run that the engine halted while a server of it drains, and that the machine has looked at once since."""
    desk = in_phase(Phase.DRAINING)
    action = desk.sent[-1]
    made = {
        "in_doubt": lambda: rules.doubt_halt(action, 600.0),
        "cannot_look": lambda: rules.internal_halt(5, "cannot_look"),
        "internal_error": lambda: rules.internal_halt(5),
    }
    desk.status, desk.halt = RunStatus.HALTED, made[name]()
    desk.look()
    return desk


HALTS: Mapping[str, Callable[[], Desk]] = {
    "approval_does_not_stand": approval_does_not_stand,
    "autoscaled": lambda: next_one(autoscale_group="web"),
    "floating_address": lambda: next_one(floating=("203.0.113.9",)),
    "balancer_gone": balancer_gone,
    "balancer_not_writable": not_writable,
    "cannot_look": lambda: by_engine("cannot_look"),
    "cannot_put_back": cannot_put_back,
    "cannot_recreate": cannot_recreate,
    "change_refused": lambda: answered(Outcome(OutcomeKind.REFUSED, "It takes no last node.")),
    "changed_by_other_hand": changed_by_other_hand,
    "confirm_failed": confirm_failed,
    "delete_forbidden": delete_forbidden,
    "delete_slow": lambda: halts(Slow(a_plan(floor=2)).until_phase(Phase.DELETING), after_s=60.0),
    "delete_without_effect": lambda: without_effect("delete_server"),
    "drain_limit": drain_limit,
    "floor_broken": lambda: halts(offline(in_phase(Phase.DRAINING, floor=3), "401", "402")),
    "image_failed": image_failed,
    "in_doubt": lambda: by_engine("in_doubt"),
    "internal_error": lambda: by_engine("internal_error"),
    "load_unknown": load_unknown,
    "lost_sight": lost_sight,
    "no_effect": lambda: without_effect("drain_node"),
    "not_enough_traffic": not_enough_traffic,
    "peak_missed": lambda: halts(Desk(a_plan(floor=2, hold_through=START + timedelta(seconds=40)))),
    "peak_not_carried": lambda: halts(Site(comparing(ceiling_rps=100.0, forecast_peak_rps=450.0), rps=50.0)),
    "pool_changed": pool_changed,
    "protected_server": protected_server,
    "provider_busy": lambda: answered(Outcome(OutcomeKind.TRY_LATER, "Too many requests.", after_s=5.0)),
    "put_back_after_silence": put_back_after_silence,
    "remaining_changed": remaining_changed,
    "server_locked": lambda: next_one(is_locked=True),
    "start_without_answer": start_without_answer,
    "still_serves": lambda: go_on(held(), 130, rps=5),
    "stop_forbidden": stop_forbidden,
    "worse_than_approved": worse_than_approved,
    "traffic_not_keeping_up": lambda: with_probe(in_phase(Phase.VERIFYING), False),
    "traffic_rising": lambda: with_probe(in_phase(Phase.HELD, hold_s=600.0), False),
    "verify_inconclusive": lambda: with_probe(in_phase(Phase.VERIFYING), None),
    "window_over": lambda: halts(Desk(a_plan(window_end=START + timedelta(seconds=60)))),
}
"""A run for each reason to halt, as it is when a person comes to it."""
