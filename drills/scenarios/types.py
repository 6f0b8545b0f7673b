"""What a scenario of a fire drill is: its shape, its rules, its plain form and its digest. Pure.

A scenario is text and limits, never a command: what is done to which server is decided by a plan, which is approved. The same
shape is read from the library's files, from a team's own versions, from the API and from the form.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from portal import plain
from portal.errors import Refused
from portal.texts import SAYS, is_sound

FORMAT = 1

LONGEST_TITLE = 80
LONGEST_PURPOSE = 1000
LONGEST_LINE = 400
LONGEST_TEXT = 2000
MOST_LINES = 15
MOST_PARAGRAPHS = 40
MOST_STEPS = 30
MOST_CHECKS = 12
MOST_TARGETS = 50
SHORTEST_STEP_S = 10
LONGEST_STEP_S = 24 * 3600
LONGEST_LIMIT_S = 30 * 24 * 3600
LONGEST_REPEAT_DAYS = 3 * 366
KEY = re.compile(r"[a-z][a-z0-9_]{1,38}")


class StepKind(Enum):
    """Who acts in a step: the portal, a person, or nobody because it is only talked about."""

    AUTOMATED = "automated"
    BY_HAND = "by_hand"
    TALK = "talk"


class InjectionKind(Enum):
    """The disruption. All but the last two are made by the portal."""

    SOFT_REBOOT = "soft_reboot"
    HARD_REBOOT = "hard_reboot"
    ROLLING_REBOOT = "rolling_reboot"
    STOP = "stop"
    NODE_OUT = "node_out"
    CALL_CONTACTS = "call_contacts"
    BY_HAND = "by_hand"
    TALK = "talk"


class Targets(Enum):
    """What is hit: nothing, exactly one server, several at the same time, or several one after the other."""

    NONE = "none"
    ONE = "one"
    SEVERAL = "several"
    LIST_IN_ORDER = "list_in_order"


class DrillKind(Enum):
    """How a drill is held. One is never passed off for another."""

    TABLE_TOP = "table_top"
    ANNOUNCED = "announced"
    UNANNOUNCED = "unannounced"


class Environment(Enum):
    """Where: on a duplicate test environment, or in production."""

    TEST = "test"
    PRODUCTION = "production"


class Role(Enum):
    """Who is responsible for a step. The facilitator leads, knows everything, and takes no part; the reporter writes it down."""

    FACILITATOR = "facilitator"
    PARTICIPANT = "participant"
    LAUNCH_MANAGER = "launch_manager"
    OBSERVER = "observer"
    REPORTER = "reporter"


_ONE = frozenset({Targets.ONE})
_AT_ONCE = frozenset({Targets.ONE, Targets.SEVERAL})
TARGETS_OF: Mapping[InjectionKind, frozenset[Targets]] = {
    InjectionKind.SOFT_REBOOT: _AT_ONCE,
    InjectionKind.HARD_REBOOT: _AT_ONCE,
    InjectionKind.ROLLING_REBOOT: frozenset({Targets.LIST_IN_ORDER}),
    InjectionKind.STOP: _AT_ONCE,
    InjectionKind.NODE_OUT: _AT_ONCE,
    InjectionKind.CALL_CONTACTS: frozenset({Targets.NONE}),
    InjectionKind.BY_HAND: frozenset({Targets.NONE, *_AT_ONCE}),
    InjectionKind.TALK: frozenset({Targets.NONE}),
}
"""What each injection can hit."""
BY_PEOPLE = frozenset({InjectionKind.BY_HAND, InjectionKind.TALK})
REBOOTS = frozenset({InjectionKind.SOFT_REBOOT, InjectionKind.HARD_REBOOT, InjectionKind.ROLLING_REBOOT})


@dataclass(frozen=True)
class ScenarioStep:
    """One step of the script, `expected_s` long; `done_when` is what somebody sees or hears then.

    Exactly one step of a scenario `injects`. The portal watches, and undoes at the end, in every drill: neither is a step.
    """

    kind: StepKind
    title: str
    text: str
    role: Role
    expected_s: int
    done_when: str
    injects: bool = False


@dataclass(frozen=True)
class Hypothesis:
    """What should hold while the disruption lasts. None means: nothing is claimed about it.

    `error_ratio` is the largest share of failed requests (0 to 1), `p95_factor` how many times the baseline's p95 answers may
    take. The times are counted from the injection: acknowledged by a person, told to those who must know, harm ended, back inside
    these limits. `data_lost_s` is how old the newest data may be that a restore or failover finds.
    """

    error_ratio: float | None = None
    p95_factor: float | None = None
    acknowledged_s: float | None = None
    informed_s: float | None = None
    mitigated_s: float | None = None
    recovered_s: float | None = None
    data_lost_s: float | None = None


@dataclass(frozen=True)
class AfterBoot:
    """One check of a server that has booted: passed before the next one is touched."""

    title: str
    text: str


@dataclass(frozen=True)
class Scenario:
    """A kind of fire drill: what happens, what that proves, how it is led and how it is undone.

    `kinds` and `environments` are those in which it may be held. With `targets` several or in order, at least `fewest_targets`
    are chosen. The next drill is proposed `repeat_after_days` later, sooner after one that failed.
    """

    key: str
    title: str
    purpose: str
    injection: InjectionKind
    targets: Targets
    kinds: tuple[DrillKind, ...]
    environments: tuple[Environment, ...]
    proves: tuple[str, ...]
    does_not_prove: tuple[str, ...]
    risks: tuple[str, ...]
    prerequisites: tuple[str, ...]
    steps: tuple[ScenarioStep, ...]
    hypothesis: Hypothesis
    questions: tuple[str, ...]
    undo: str
    repeat_after_days: int
    repeat_after_failure_days: int
    after_boot: tuple[AfterBoot, ...] = field(default=())
    fewest_targets: int = 1

    @property
    def is_automated(self) -> bool:
        """Whether the portal itself makes the disruption."""
        return self.injection not in BY_PEOPLE

    @property
    def expected_s(self) -> int:
        """How long all of its steps take, by their own figures."""
        return sum(step.expected_s for step in self.steps)


# --- plain form and digest ---------------------------------------------------------------------------------


def to_plain(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as what JSON and TOML can hold, with the number of its format."""
    return {"format": FORMAT, **plain.to_plain(scenario)}


def digest_of(scenario: Scenario) -> str:
    """Return the SHA-256 (hex) over the canonical JSON of a scenario; the format's number is part of it."""
    return plain.digest_of(to_plain(scenario))


def from_plain(value: Any) -> Scenario:
    """Return the scenario that `to_plain` wrote, its texts tidied. Raises Refused, whatever comes in.

    Only the shape is asked here; `check` asks the rules. Fields that may be empty may be left out.
    """
    if not isinstance(value, Mapping) or value.get("format") != FORMAT or isinstance(value["format"], bool):
        raise _unreadable("", f"an object with `format` {FORMAT}")
    read = _reader(Scenario)({name: item for name, item in value.items() if name != "format"}, "")
    assert isinstance(read, Scenario)
    return read


def _unreadable(where: str, wanted: str) -> Refused:
    at = f"`{where}`" if where else "A scenario"
    return Refused(f"{at} is {wanted}. Nothing was kept.", code="bad_scenario")


Reader = Callable[[Any, str], Any]
# Longer lists and texts than any rule allows are not even looked through.
_MOST_READ = 200
_LONGEST_READ = 20_000
# In several lines stands what is read out; everything else is a heading, or one entry of a list.
_IN_LINES = re.compile(r"undo|purpose|steps\.\d+\.text")


@cache
def _reader(kind: Any) -> Reader:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        part = _reader(next(one for one in get_args(kind) if one is not type(None)))
        return lambda value, where: None if value is None else part(value, where)
    if origin is tuple:
        return _list_reader(_reader(get_args(kind)[0]))
    if dataclasses.is_dataclass(kind):
        return _object_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice_reader(kind)
    return {str: _read_text, int: _read_whole, float: _read_number, bool: _read_flag}[kind]


def _list_reader(item: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple) or len(value) > _MOST_READ:
            raise _unreadable(where, f"a list of at most {_MOST_READ}")
        return tuple(item(one, f"{where}.{place}") for place, one in enumerate(value, start=1))

    return read


def _object_reader(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    readers = {one.name: _reader(hints[one.name]) for one in fields}
    needed = [
        one.name
        for one in fields
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise _unreadable(where, "an object with named fields")
        prefix = f"{where}." if where else ""
        if unknown := [name for name in value if name not in readers]:
            shown = str(unknown[0])[:40] if is_sound(str(unknown[0])) else "?"
            raise Refused(f"There is no field `{prefix}{shown}`. Nothing was kept.", code="bad_scenario")
        if missing := [name for name in needed if name not in value]:
            raise Refused(
                f"The field `{prefix}{missing[0]}` is missing. Nothing was kept.", code="bad_scenario"
            )
        return kind(**{name: readers[name](item, f"{prefix}{name}") for name, item in value.items()})

    return read


def _choice_reader(kind: type[Enum]) -> Reader:
    known = {one.value: one for one in kind}

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, str) or value not in known:
            raise _unreadable(where, f"one of {', '.join(known)}")
        return known[value]

    return read


def _read_text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_READ:
        raise _unreadable(where, f"a text of at most {_LONGEST_READ} characters")
    if not is_sound(value):
        raise Refused(f"`{where}` holds {SAYS}. Nothing was kept.", code="bad_scenario")
    lines = [" ".join(line.split()) for line in value.splitlines()]
    if not _IN_LINES.fullmatch(where):
        return " ".join(line for line in lines if line)
    # Paragraphs stay apart by one empty line.
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _read_number(value: Any, where: str) -> float:
    # Compared before it is turned into a float: a whole number of JSON may have thousands of digits.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 <= value <= 1e12:
        raise _unreadable(where, "a number")
    return float(value)


def _read_whole(value: Any, where: str) -> int:
    number = _read_number(value, where)
    if not number.is_integer():
        raise _unreadable(where, "a whole number")
    return int(number)


def _read_flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _unreadable(where, "true or false")
    return value


def texts_of(scenario: Scenario) -> tuple[str, ...]:
    """Return every text that people wrote in it, for what is asked of free text elsewhere."""
    return tuple(_texts_in(to_plain(scenario)))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(item)


# --- the rules ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, at `where`: `title`, `steps.3.done_when` (counted from 1), `hypothesis.error_ratio`."""

    where: str
    says: str


def check(scenario: Scenario) -> None:
    """Raise Refused with a sentence for each rule that a scenario breaks."""
    if faults := tuple(faults_of(scenario)):
        raise Refused(
            " ".join(one.says for one in faults[:8]) + " Nothing was kept.",
            code="bad_scenario",
        )


def faults_of(scenario: Scenario) -> Iterator[Fault]:
    """Yield everything that is wrong with a scenario."""
    if not KEY.fullmatch(scenario.key):
        yield Fault("key", "A key has small letters, digits and underscores, and begins with a letter.")
    yield from _text("title", "The title", scenario.title, LONGEST_TITLE)
    yield from _text("purpose", "The purpose", scenario.purpose, LONGEST_PURPOSE)
    yield from _text("undo", "How it is undone", scenario.undo, LONGEST_TEXT)
    for where, called, lines, fewest in (
        ("proves", "What it proves", scenario.proves, 1),
        ("does_not_prove", "What it does not prove", scenario.does_not_prove, 1),
        ("risks", "Risks", scenario.risks, 0),
        ("prerequisites", "Prerequisites", scenario.prerequisites, 0),
        ("questions", "Questions to the emergency plan", scenario.questions, 1),
    ):
        yield from _lines(where, called, lines, fewest)
    yield from _held(scenario)
    yield from _hit(scenario)
    yield from _script(scenario)
    yield from _limits(scenario.hypothesis)
    yield from _after_boot(scenario)
    for where, days in (
        ("repeat_after_days", scenario.repeat_after_days),
        ("repeat_after_failure_days", scenario.repeat_after_failure_days),
    ):
        if not 1 <= days <= LONGEST_REPEAT_DAYS:
            yield Fault(where, f"A drill is repeated after 1 to {LONGEST_REPEAT_DAYS} days.")
    if scenario.repeat_after_failure_days > scenario.repeat_after_days:
        yield Fault(
            "repeat_after_failure_days",
            "After a failed drill the next one comes no later than after a good one.",
        )


def _text(where: str, called: str, text: str, longest: int) -> Iterator[Fault]:
    if not text.strip():
        yield Fault(where, f"{called} is missing.")
    elif len(text) > longest:
        yield Fault(where, f"{called} has at most {longest} characters, not {len(text)}.")
    elif text.count("\n") >= MOST_PARAGRAPHS:
        yield Fault(where, f"{called} has at most {MOST_PARAGRAPHS} lines.")


def _lines(where: str, called: str, lines: tuple[str, ...], fewest: int) -> Iterator[Fault]:
    if not fewest <= len(lines) <= MOST_LINES:
        yield Fault(where, f"{called}: {fewest} to {MOST_LINES} lines, not {len(lines)}.")
    for line in lines[:MOST_LINES]:
        if not line or len(line) > LONGEST_LINE:
            yield Fault(where, f"{called}: a line has 1 to {LONGEST_LINE} characters, not {len(line)}.")
            return


def _held(scenario: Scenario) -> Iterator[Fault]:
    if not scenario.kinds or len(set(scenario.kinds)) != len(scenario.kinds):
        yield Fault("kinds", "Choose at least one way to hold it, each once.")
    if not scenario.environments or len(set(scenario.environments)) != len(scenario.environments):
        yield Fault("environments", "Choose at least one environment, each once.")
    if scenario.injection is InjectionKind.TALK and scenario.kinds != (DrillKind.TABLE_TOP,):
        yield Fault("kinds", "What is only talked through is held as a table-top, and in no other way.")
    if scenario.injection is not InjectionKind.TALK and set(scenario.kinds) == {DrillKind.TABLE_TOP}:
        yield Fault(
            "kinds",
            "What is held as a table-top alone is talked through: choose that injection, or another way to hold it.",
        )


def _hit(scenario: Scenario) -> Iterator[Fault]:
    fitting = TARGETS_OF[scenario.injection]
    if scenario.targets not in fitting:
        named = ", ".join(sorted(one.value for one in fitting))
        yield Fault("targets", f"With the injection {scenario.injection.value} targets are: {named}.")
    many = scenario.targets in {Targets.SEVERAL, Targets.LIST_IN_ORDER}
    if not 1 <= scenario.fewest_targets <= (MOST_TARGETS if many else 1):
        limit = f"1 to {MOST_TARGETS}" if many else "1, unless several are hit"
        yield Fault("fewest_targets", f"The fewest targets are {limit}.")


def _script(scenario: Scenario) -> Iterator[Fault]:
    if not 1 <= len(scenario.steps) <= MOST_STEPS:
        yield Fault("steps", f"A script has 1 to {MOST_STEPS} steps, not {len(scenario.steps)}.")
    for number, step in enumerate(scenario.steps[:MOST_STEPS], start=1):
        at, called = f"steps.{number}", f"Step {number}:"
        yield from _text(f"{at}.title", f"{called} its title", step.title, LONGEST_TITLE)
        yield from _text(f"{at}.text", f"{called} what is done", step.text, LONGEST_TEXT)
        yield from _text(f"{at}.done_when", f"{called} what “done” looks like", step.done_when, LONGEST_LINE)
        if not SHORTEST_STEP_S <= step.expected_s <= LONGEST_STEP_S:
            yield Fault(
                f"{at}.expected_s",
                f"{called} it is expected to take {SHORTEST_STEP_S} seconds to {LONGEST_STEP_S // 3600} hours.",
            )
        if step.kind is StepKind.AUTOMATED and not step.injects:
            yield Fault(
                f"{at}.kind",
                f"{called} the only thing that the portal does in a script is to inject. It watches and undoes in any case.",
            )
        if step.kind is StepKind.AUTOMATED and not scenario.is_automated:
            yield Fault(f"{at}.kind", f"{called} nothing is automated where people make the disruption.")
        if scenario.injection is InjectionKind.TALK and step.kind is StepKind.BY_HAND and step.injects:
            yield Fault(f"{at}.kind", f"{called} what is only talked through is injected by talking.")
    injecting = [step for step in scenario.steps if step.injects]
    if len(injecting) != 1:
        yield Fault("steps", f"Exactly one step injects the disruption, not {len(injecting)}.")
        return
    wanted = _INJECTED_BY.get(scenario.injection, StepKind.AUTOMATED)
    if injecting[0].kind is not wanted:
        yield Fault("steps", f"The step that injects is {_SAID[wanted]} with this injection.")


_INJECTED_BY = {InjectionKind.BY_HAND: StepKind.BY_HAND, InjectionKind.TALK: StepKind.TALK}
_SAID = {
    StepKind.AUTOMATED: "one of the portal",
    StepKind.BY_HAND: "one by hand",
    StepKind.TALK: "a talk-through",
}
_TIMES = {
    "acknowledged_s": "Acknowledged within",
    "informed_s": "Informed within",
    "mitigated_s": "Harm ended within",
    "recovered_s": "Recovered within",
}


def _limits(hypothesis: Hypothesis) -> Iterator[Fault]:
    found = {one.name: getattr(hypothesis, one.name) for one in dataclasses.fields(hypothesis)}
    if all(value is None for value in found.values()):
        yield Fault("hypothesis", "A hypothesis claims at least one thing.")
    ratio, factor, lost = hypothesis.error_ratio, hypothesis.p95_factor, hypothesis.data_lost_s
    if ratio is not None and not 0 <= ratio <= 1:
        yield Fault("hypothesis.error_ratio", "The largest share of failed requests is 0 to 1 (0 to 100 %).")
    if factor is not None and not 1 <= factor <= 100:
        yield Fault("hypothesis.p95_factor", "Answers may take 1 to 100 times as long as the baseline says.")
    if lost is not None and not 0 <= lost <= LONGEST_LIMIT_S:
        yield Fault("hypothesis.data_lost_s", "The newest data may be 0 seconds to 30 days old.")
    for name, called in _TIMES.items():
        if found[name] is not None and not 1 <= found[name] <= LONGEST_LIMIT_S:
            yield Fault(f"hypothesis.{name}", f"{called} 1 second to 30 days.")
    for name in (*_TIMES, "data_lost_s"):
        if found[name] is not None and not found[name].is_integer():
            yield Fault(f"hypothesis.{name}", "Times of a hypothesis are whole seconds.")
    for name in ("acknowledged_s", "mitigated_s"):
        before, after = found[name], hypothesis.recovered_s
        if before is not None and after is not None and before > after:
            yield Fault(f"hypothesis.{name}", f"{_TIMES[name]} no longer than until it has recovered.")


def _after_boot(scenario: Scenario) -> Iterator[Fault]:
    checks = scenario.after_boot
    if checks and scenario.injection not in REBOOTS:
        yield Fault("after_boot", "Checks after the boot belong to a reboot.")
    if scenario.injection is InjectionKind.ROLLING_REBOOT and not checks:
        yield Fault("after_boot", "A rolling reboot says what is checked on each server after its boot.")
    if len(checks) > MOST_CHECKS:
        yield Fault("after_boot", f"At most {MOST_CHECKS} checks after the boot, not {len(checks)}.")
    for number, one in enumerate(checks[:MOST_CHECKS], start=1):
        if "|" in one.title:
            yield Fault(
                f"after_boot.{number}.title", f"Check {number} after the boot: its title has no bar (|)."
            )
        yield from _text(
            f"after_boot.{number}.title",
            f"Check {number} after the boot: its title",
            one.title,
            LONGEST_TITLE,
        )
        yield from _text(
            f"after_boot.{number}.text",
            f"Check {number} after the boot: what is asked",
            one.text,
            LONGEST_LINE,
        )


def key_of(title: str, taken: frozenset[str] = frozenset()) -> str:
    """Return the key that a scenario gets from its title: small ASCII letters, digits, underscores; free among `taken`."""
    words = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    found = (words if words[:1].isalpha() else f"own_{words}")[:34].rstrip("_")
    base = found if KEY.fullmatch(found) else "own"
    numbered = (f"{base}_{number}" for number in range(2, 10_000))
    return next(one for one in (base, *numbered) if one not in taken)
