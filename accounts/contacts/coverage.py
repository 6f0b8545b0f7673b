"""What an account must have in contacts, and what is missing. Pure: people and rules in, gaps out.

    gaps_in(people, PRESETS["standard"].rules, at=now, zone="Europe/Stockholm")

A rule asks for so many people in a role; for proof within so many days; for somebody reachable at every hour of the
coming week, or awake at the very hour. What is not known does not count as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from accounts.contacts.hours import Hours, HoursKind, intervals, merged, reachable_at
from portal.errors import Refused

BACKUP = "backup"
"""Not a role of its own: somebody for primary, technical or emergency besides whoever is the primary.

Never the very person who fulfils the rule about the primary: one person is not two.
"""
RULE_ROLES = ("primary", BACKUP, "technical", "emergency", "billing", "security")
_STANDS_IN = frozenset({"primary", "technical", "emergency"})
_LOOK_AHEAD = timedelta(days=7)
MOST_RULES = 20


@dataclass(frozen=True)
class Person:
    """One contact as far as coverage cares, at one moment.

    `is_valid` says that this day lies within valid from and until. `proven_at` is when the person was last proven on a
    channel that stands. `duty` gives, by role, when a rotation has the person on duty; then they are reachable.
    """

    name: str
    roles: frozenset[str]
    hours: Hours
    has_phone: bool = True
    has_mail: bool = True
    is_bouncing: bool = False
    is_valid: bool = True
    proven_at: datetime | None = None
    order: int = 1
    duty: Mapping[str, Sequence[tuple[datetime, datetime]]] = field(default_factory=dict)

    @property
    def has_a_way(self) -> bool:
        """Whether there is any way left to reach them."""
        return self.has_phone or (self.has_mail and not self.is_bouncing)


@dataclass(frozen=True)
class Rule:
    """So many people (`count`) in a role, each proven within days, reachable at every hour, or awake at this one."""

    role: str
    count: int = 1
    around_the_clock: bool = False
    proven_within_days: int | None = None
    awake: bool = False


@dataclass(frozen=True)
class Preset:
    """A named set of rules, and for whom it is."""

    title: str
    says: str
    rules: tuple[Rule, ...]


PRESETS: Mapping[str, Preset] = {
    "standard": Preset(
        "Standard",
        "A primary contact and somebody for emergencies, each proven in the last 180 days, and a backup.",
        (
            Rule("primary", proven_within_days=180),
            Rule("emergency", proven_within_days=180),
            Rule(BACKUP),
        ),
    ),
    "around_the_clock": Preset(
        "Around the clock",
        "At every hour two people for emergencies, all proven in the last 90 days; a primary, a technical contact and a "
        "backup.",
        (
            Rule("primary", proven_within_days=90),
            Rule(BACKUP, proven_within_days=90),
            Rule("technical", proven_within_days=180),
            Rule("emergency", 2, around_the_clock=True, proven_within_days=90),
        ),
    ),
    "small_shop": Preset(
        "Small shop",
        "One primary contact who also answers in emergencies, proven in the last 180 days.",
        (Rule("primary", proven_within_days=180), Rule("emergency")),
    ),
}
DEFAULT = "standard"


@dataclass(frozen=True)
class Gap:
    """One thing that is missing: for which role, a stable code, the sentence, and what to do about it.

    Neither names anybody, so that both may be kept; `who` are the names of those whom it is about.
    """

    role: str
    code: str
    says: str
    todo: str
    who: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.says} {self.todo}"


def gaps_in(people: Iterable[Person], rules: Iterable[Rule], *, at: datetime, zone: str = "UTC") -> list[Gap]:
    """Return what is missing at a moment (aware), in the order of the rules; hours in sentences are of `zone`."""
    listed = sorted(people, key=lambda person: (person.order, person.name))
    asked = tuple(rules)
    leading = [rule for rule in asked if rule.role == "primary"]
    return [gap for rule in asked for gap in _gaps(listed, rule, leading, at, zone)]


def _fitting(people: Sequence[Person], role: str) -> list[Person]:
    """Return who counts for a role of a rule: valid, and reachable by some way. For a backup the primary is among them."""
    roles = _STANDS_IN if role == BACKUP else {role}
    return [person for person in people if person.is_valid and person.has_a_way and person.roles & roles]


def _proven(people: Sequence[Person], rule: Rule, at: datetime) -> list[Person]:
    if rule.proven_within_days is None:
        return list(people)
    since = at - timedelta(days=rule.proven_within_days)
    return [person for person in people if person.proven_at is not None and person.proven_at >= since]


def _besides_the_primary(
    able: Sequence[Person], rule: Rule, leading: Sequence[Rule], at: datetime
) -> list[Person]:
    """Return who is left for a backup once one person is the primary, by the rules (`leading`) about that one.

    Of several who could be the primary the one is taken without whom the others leave no gap, if there is such a one.
    """
    # Without any primary somebody of these stands in, and is no backup of themselves.
    leaders = [person for person in able if "primary" in person.roles] or list(able)
    for one in leading:
        leaders = _proven(leaders, one, at) or leaders
        if one.awake:
            leaders = [person for person in leaders if _is_awake(person, one.role, at) is True] or leaders
    if not leaders:
        return []
    proven = _proven(able, rule, at)
    counted = {id(person) for person in proven}
    spare = [person for person in leaders if id(person) not in counted]
    leader = spare[0] if spare else min(leaders, key=_cost(proven, rule, at))
    return [person for person in able if person is not leader]


def _cost(able: Sequence[Person], rule: Rule, at: datetime) -> Callable[[Person], int]:
    """Return what tells how many gaps a backup rule has only because this person is taken for the primary."""
    awake = [person for person in able if rule.awake and _is_awake(person, BACKUP, at) is True]
    needed: set[int] = {id(person) for person in awake} if len(awake) <= rule.count else set()
    scarce: list[tuple[datetime, datetime]] = []
    reachable: dict[int, list[tuple[datetime, datetime]]] = {}
    if rule.around_the_clock:
        end = at + _LOOK_AHEAD
        reachable = {id(person): _reachable(person, rule, at) for person in able}
        scarce = below(list(reachable.values()), rule.count + 1, at, end)

    def cost(person: Person) -> int:
        is_missed = any(
            begins < until and since < ends
            for begins, ends in reachable.get(id(person), ())
            for since, until in scarce
        )
        return (id(person) in needed) + is_missed

    return cost


def _reachable(person: Person, rule: Rule, at: datetime) -> list[tuple[datetime, datetime]]:
    return merged([*intervals(person.hours, at, at + _LOOK_AHEAD), *_duty(person, rule.role)])


def _gaps(
    people: Sequence[Person], rule: Rule, leading: Sequence[Rule], at: datetime, zone: str
) -> list[Gap]:
    able = _fitting(people, rule.role)
    if rule.role == BACKUP:
        able = _besides_the_primary(able, rule, leading, at)
    if len(able) < rule.count:
        return [_too_few(people, able, rule)]
    found = []
    proven = _proven(able, rule, at)
    if len(proven) < rule.count:
        open_ones = [person for person in able if person not in proven]
        found.append(_unproven(rule, proven, open_ones))
    else:
        # Who is not proven is not who one relies on at night either.
        able = proven
    if rule.awake:
        found += _asleep(able, rule, at)
    if rule.around_the_clock:
        found += _uncovered(able, rule, at, zone)
    return found


def _too_few(people: Sequence[Person], able: Sequence[Person], rule: Rule) -> Gap:
    lost = [
        person
        for person in people
        if person not in able and (rule.role in person.roles or rule.role == BACKUP) and not person.is_valid
    ]
    unreachable = [person for person in people if rule.role in person.roles and not person.has_a_way]
    if not able:
        says = (
            f"There is no {rule.role} contact."
            if rule.role != BACKUP
            else "There is no backup besides the primary."
        )
    else:
        says = f"{len(able)} of {rule.count} {_plural(rule.role)} are there."
    about: Sequence[Person] = ()
    if unreachable:
        says, about = f"{says} To {_some(unreachable)} mail comes back, and there is no number.", unreachable
    elif lost and rule.role != BACKUP:
        says, about = f"{says} For {_some(lost)} this day is not within valid from and until.", lost
    missing = rule.count - len(able)
    more = "somebody" if missing == 1 else f"{missing} people"
    to = "primary, technical or emergency" if rule.role == BACKUP else rule.role
    return Gap(rule.role, f"no_{rule.role}", says, f"Add {more} for {to}.", _names(about))


def _unproven(rule: Rule, proven: Sequence[Person], open_ones: Sequence[Person]) -> Gap:
    days = rule.proven_within_days
    if rule.count == 1:
        says = f"{_A(rule.role)} contact proven in the last {days} days is missing."
    else:
        says = f"{len(proven)} of {rule.count} {_plural(rule.role)} were proven in the last {days} days."
    todo = "Prove a number or mail address: call them, or have them answer a mail."
    return Gap(rule.role, f"unproven_{rule.role}", says, todo, _names(open_ones))


def _asleep(able: Sequence[Person], rule: Rule, at: datetime) -> list[Gap]:
    awake = [person for person in able if _is_awake(person, rule.role, at) is True]
    if len(awake) >= rule.count:
        return []
    unknown = [person for person in able if _is_awake(person, rule.role, at) is None]
    says = f"{_A(rule.role)} contact who can be reached at {at:%H:%M} UTC is missing."
    if rule.count > 1:
        says = f"{len(awake)} of {rule.count} {_plural(rule.role)} can be reached at {at:%H:%M} UTC."
    if unknown:
        todo = "Say when they work: it is not known."
    else:
        todo = "Choose an hour at which they can be reached, or add somebody who can."
    return [Gap(rule.role, f"asleep_{rule.role}", says, todo, _names(unknown or able))]


def _is_awake(person: Person, role: str, at: datetime) -> bool | None:
    if any(begins <= at < ends for begins, ends in _duty(person, role)):
        return True
    return reachable_at(person.hours, at)


def _duty(person: Person, role: str) -> Sequence[tuple[datetime, datetime]]:
    if role == BACKUP:
        return [one for turns in person.duty.values() for one in turns]
    return person.duty.get(role, ())


def _uncovered(able: Sequence[Person], rule: Rule, at: datetime, zone: str) -> list[Gap]:
    open_times = below([_reachable(person, rule, at) for person in able], rule.count, at, at + _LOOK_AHEAD)
    if not open_times:
        return []
    unknown = [
        person for person in able if person.hours.kind is HoursKind.UNKNOWN and not _duty(person, rule.role)
    ]
    who = _A(rule.role) + " contact" if rule.count == 1 else f"{rule.count} {_plural(rule.role)}"
    if open_times == [(at, at + _LOOK_AHEAD)]:
        says = f"{who} reachable around the clock: at no hour of the coming week is that known."
    else:
        begins, ends = (moment.astimezone(ZoneInfo(zone)) for moment in open_times[0])
        says = f"{who} reachable around the clock: not from {begins:%a %H:%M} to {ends:%a %H:%M} ({zone})"
        says += f", and at {len(open_times) - 1} more times of the week." if len(open_times) > 1 else "."
    todo = (
        "Say when they work: it is not known." if unknown else "Add somebody for these hours, or a rotation."
    )
    return [Gap(rule.role, f"uncovered_{rule.role}", says, todo, _names(unknown))]


def below(
    people: Sequence[Sequence[tuple[datetime, datetime]]], count: int, start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """Return when fewer than `count` of these people are reachable between two moments, in order.

    Of each person the stretches must not overlap.
    """
    steps: dict[datetime, int] = {}
    for stretches in people:
        for begins, ends in stretches:
            begins, ends = max(begins, start), min(ends, end)
            if begins < ends:
                steps[begins] = steps.get(begins, 0) + 1
                steps[ends] = steps.get(ends, 0) - 1
    found: list[tuple[datetime, datetime]] = []
    there, since = steps.pop(start, 0), start
    for moment in [*sorted(steps), end]:
        if moment > since and there < count:
            found.append((since, moment))
        there, since = there + steps.get(moment, 0), moment
        if moment >= end:
            break
    return merged(found)


# --- words -------------------------------------------------------------------------------------------------


def _a(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"


def _A(role: str) -> str:  # noqa: N802 - the same at the beginning of a sentence
    return f"An {role}" if role[0] in "aeiou" else f"A {role}"


def _plural(role: str) -> str:
    return "backups" if role == BACKUP else f"{role} contacts"


def _names(people: Sequence[Person]) -> tuple[str, ...]:
    return tuple(person.name for person in people)


def _some(people: Sequence[Person]) -> str:
    return "one of them" if len(people) == 1 else f"{len(people)} of them"


def in_words(rule: Rule) -> str:
    """Return a rule as a person reads it."""
    who = (
        f"{rule.count} {_plural(rule.role)}"
        if rule.count > 1
        else ("a backup besides the primary" if rule.role == BACKUP else f"{_a(rule.role)} contact")
    )
    more = []
    if rule.proven_within_days is not None:
        more.append(f"proven in the last {rule.proven_within_days} days")
    if rule.around_the_clock:
        more.append("reachable at every hour")
    if rule.awake:
        more.append("awake at that hour")
    return f"{who}, {' and '.join(more)}" if more else who


# --- as they are kept --------------------------------------------------------------------------------------


def kept(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Return rules as they are kept and given by the API."""
    return [{name: value for name, value in asdict(rule).items() if name != "awake"} for rule in rules]


def rules_of(kept_rules: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Return kept rules. Raises Refused for what is none."""
    found = []
    for one in kept_rules:
        count, days = one.get("count", 1), one.get("proven_within_days")
        fits = (
            set(one) <= {"role", "count", "around_the_clock", "proven_within_days"}
            and one.get("role") in RULE_ROLES
            and isinstance(count, int)
            and not isinstance(count, bool)
            and 1 <= count <= 20
            and isinstance(one.get("around_the_clock", False), bool)
            and (days is None or (isinstance(days, int) and not isinstance(days, bool) and 1 <= days <= 730))
        )
        if not fits:
            raise Refused(
                f"A rule names a role ({', '.join(RULE_ROLES)}), a count from 1 to 20, and, if wanted, around the clock "
                "and proven within 1 to 730 days. Nothing was kept.",
                code="bad_rule",
            )
        found.append(Rule(one["role"], count, one.get("around_the_clock", False), days))
    if not found or len(found) > MOST_RULES:
        raise Refused(f"Give 1 to {MOST_RULES} rules, or choose a preset. Nothing was kept.", code="bad_rule")
    return tuple(found)
