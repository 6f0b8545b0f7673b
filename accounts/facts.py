"""What the portal knows of how an account stands, registered by the apps that know it.

    register_fact(Fact("contacts", "Contacts", gather=gather_contacts, judge=judge_contacts, act=…))

`gather(accounts, now)` reads the values of **many** accounts in a constant number of queries and returns them by the
account's key; who is missing there is unknown. `judge(values, now)` is pure: values in, a `Finding` out, with the
sentence, the rule that decided, the parts it rests on, and how old the evidence is and until when it holds. Scorecard,
review, Monday list and team page ask here, so that all of them say the same.

Unknown is never green, and neither is evidence that is over: `ask` sees to both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from accounts.models import Account
from accounts.reviews.grades import WORST_FIRST
from accounts.reviews.grades import Grade as Grade


@dataclass(frozen=True)
class Finding:
    """What was found of one fact of one account. Names nobody: it is kept, listed and sent.

    `rule` is the sentence of the rule that decided. `observed_at` is when the evidence is from, `expires_at` until when
    it holds; None is unknown, or not bound to a time. `parts` are the figures behind it, as (words, value).
    """

    grade: Grade
    says: str
    rule: str
    observed_at: datetime | None = None
    expires_at: datetime | None = None
    parts: tuple[tuple[str, int | float | str], ...] = ()
    by_hand: bool = False

    @property
    def is_good(self) -> bool:
        """Whether nobody needs to do anything."""
        return self.grade is Grade.GREEN


@dataclass(frozen=True)
class Act:
    """The one thing to do about a fact that does not stand well: what the link says, and where it leads."""

    label: str
    url_of: Callable[[Account], str] = field(compare=False)


Gather = Callable[["QuerySet[Account]", datetime], Mapping[int, Any]]
Judge = Callable[[Any, datetime], Finding]


@dataclass(frozen=True)
class Fact:
    """One thing that can be known of every account.

    `order` is also its weight: of two that stand alike, the lower one is the greater risk. `in_review` makes it an item
    that a review answers from live data. `by_hand` says that the portal cannot know it yet: people answer it in reviews.
    `is_heavy` is for what reads every row of an account: an account's own page takes it from the last look. Facts of one
    `batch` are gathered together, by a `register_batch`.
    """

    key: str
    title: str
    gather: Gather = field(compare=False)
    judge: Judge = field(compare=False)
    act: Act
    order: int = 50
    in_review: bool = True
    by_hand: bool = False
    is_heavy: bool = False
    batch: str = ""


Batch = Callable[["QuerySet[Account]", datetime, Collection[str]], Mapping[str, Mapping[int, Any]]]
_facts: dict[str, Fact] = {}
_batches: dict[str, Batch] = {}


def register_batch(name: str, gather: Batch) -> None:
    """Say how the facts of one batch are gathered together: values by fact and account."""
    _batches[name] = gather


def register_fact(fact: Fact) -> None:
    """Add or replace a fact."""
    _facts[fact.key] = fact


def forget_fact(key: str) -> None:
    """Take a fact away again (tests)."""
    _facts.pop(key, None)


def facts() -> tuple[Fact, ...]:
    """Return every fact, the weightiest first."""
    return tuple(sorted(_facts.values(), key=lambda one: (one.order, one.key)))


def fact_of(key: str) -> Fact | None:
    """Return the fact of this name, None where nobody registered one."""
    return _facts.get(key)


def last_day(expires_at: datetime) -> date:
    """Return the last day on which evidence holds that is over at a moment: midnight is the end of the day before."""
    return (expires_at - timedelta(microseconds=1)).date()


def held_to_its_time(finding: Finding, now: datetime) -> Finding:
    """Return the finding as it stands at `now`: evidence that is over proves nothing any more."""
    if finding.grade is not Grade.GREEN or finding.expires_at is None or finding.expires_at > now:
        return finding
    return replace(
        finding,
        grade=Grade.UNKNOWN,
        says=f"{finding.says} That was good until {last_day(finding.expires_at)} and is over.",
        rule="Evidence that is over proves nothing.",
    )


def ask(
    accounts: QuerySet[Account], now: datetime, *, keys: Collection[str] | None = None
) -> dict[int, dict[str, Finding]]:
    """Return what is found of each of these accounts, by its key and the fact's; a constant number of queries.

    `keys` narrows it to some facts. `now` is aware UTC.
    """
    wanted = [fact for fact in facts() if keys is None or fact.key in keys]
    pks = list(accounts.order_by().values_list("pk", flat=True))
    found: dict[int, dict[str, Finding]] = {pk: {} for pk in pks}
    if not pks:
        return found
    together = {
        name: _batches[name](accounts.order_by(), now, {fact.key for fact in wanted if fact.batch == name})
        for name in {fact.batch for fact in wanted if fact.batch}
    }
    for fact in wanted:
        values = together[fact.batch][fact.key] if fact.batch else fact.gather(accounts.order_by(), now)
        for pk in pks:
            found[pk][fact.key] = held_to_its_time(fact.judge(values.get(pk), now), now)
    return found


def ask_one(account: Account, now: datetime, *, keys: Collection[str] | None = None) -> dict[str, Finding]:
    """Return what is found of one account, by the fact's key."""
    return ask(Account.objects.filter(pk=account.pk), now, keys=keys).get(account.pk, {})


def risk_of(fact: Fact, finding: Finding) -> int:
    """Return where a finding stands among all: red before amber before unknown, then the weightier fact. Green is 0.

    It only orders; pages show the grade, the sentence and the rule instead.
    """
    if finding.grade is Grade.GREEN:
        return 0
    return (
        {Grade.RED: 3000, Grade.AMBER: 2000, Grade.UNKNOWN: 1000}[finding.grade] + 999 - min(fact.order, 998)
    )


def counted(findings: Mapping[str, Finding]) -> dict[str, int]:
    """Return how many stand how: the parts of a scorecard, never one figure."""
    return {grade.value: sum(1 for one in findings.values() if one.grade is grade) for grade in WORST_FIRST}


def worst_of(findings: Sequence[Finding]) -> Grade:
    """Return the worst grade among findings; unknown where there is none."""
    return next(
        (grade for grade in WORST_FIRST if any(one.grade is grade for one in findings)), Grade.UNKNOWN
    )


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its word: 1 contact, 2 contacts."""
    return f"{count} {one if count == 1 else many or one + 's'}"
