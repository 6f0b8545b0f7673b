"""What may be told, and to whom. Each app registers its own in `AppConfig.ready()`.

    register_purpose(Purpose("invitation", Kind.PERSONAL, "Invitation to the portal", is_secret=True))
    register_audience("approvers", approvers_of)

Each purpose has three templates: `templates/mail/<name>.subject.txt`, `.txt` and `.html` (docs/notices.md).
An audience is asked for the people of one account; who they are is known to the app that registered it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What sort of message it is. It decides what a person can turn off and what is repeated in doubt."""

    REMINDER = "reminder"
    """Asks again for something. Never sent twice: a send of which nobody knows the end is left."""
    NOTICE = "notice"
    """Tells what happened. Never sent twice either."""
    HALT = "halt"
    """A run stopped and a person must decide. Sent again when nobody knows whether it arrived."""
    EMERGENCY = "emergency"
    """The site is in danger. Cannot be turned off, waits for no hour, sent again in doubt."""
    PERSONAL = "personal"
    """Asked for or needed by this very person (invitation, new password). Cannot be turned off; in doubt
    it is sent again, since someone waits for it and its link works once anyway."""


REPEATED_IN_DOUBT = frozenset({Kind.HALT, Kind.EMERGENCY, Kind.PERSONAL})
ALWAYS_ON = frozenset({Kind.EMERGENCY, Kind.PERSONAL})


class Urgency(StrEnum):
    """When a mail may go. Kinds that are always on go now, whatever is asked for."""

    NORMAL = "normal"
    """Waits for the end of the person's quiet hours."""
    TODAY = "today"
    """Waits for the person's working hours as well."""
    NOW = "now"
    """Waits for nothing."""


@dataclass(frozen=True)
class Purpose:
    """One thing that is told. `name` is stable (it is stored), `title` is what a page calls it.

    `is_secret`: the body carries a link that opens something, so it is destroyed once the mail was sent.
    `in_portal`: whether a notice appears in the portal too (never for PERSONAL).
    """

    name: str
    kind: Kind
    title: str
    is_secret: bool = False
    in_portal: bool = True


@dataclass(frozen=True)
class Recipient:
    """One person to be told: a user, or an address without log-in (`name` and `time_zone` are that person's).

    `is_customer` chooses the plainer words. `person` is the row that the address is of (a contact, an invitation), under
    whose key it is kept.
    """

    user: Any = None
    address: str = ""
    name: str = ""
    time_zone: str = "UTC"
    is_customer: bool = False
    person: Any = None


_reply_to: dict[str, Callable[[str], str]] = {}


def register_reply_to(kind: str, address_of: Callable[[str], str]) -> None:
    """Say where answers to mails about one kind of subject go: `address_of(ref)` for "case:<ref>", "" for nowhere."""
    _reply_to[kind] = address_of


def reply_to_of(subject_ref: str) -> str:
    """Return the address for answers to a mail about this subject, or ""."""
    kind, _, ref = subject_ref.partition(":")
    address_of = _reply_to.get(kind)
    return address_of(ref) if address_of is not None else ""


Audience = Callable[[Any], Iterable[Recipient]]
UseLog = Callable[[Sequence[Any], Any, str], None]
_use_logs: list[UseLog] = []


def register_use_log(log: UseLog) -> None:
    """Say who logs that people who have no log-in were written to: `log(people, account, reason)`.

    Such a person's model says `is_used_for_support = True`; telling them something then needs a reason.
    """
    if log not in _use_logs:
        _use_logs.append(log)


def log_use(people: Sequence[Any], account: Any, reason: str) -> None:
    """Log that these people were written to."""
    for log in _use_logs:
        log(people, account, reason)


_purposes: dict[str, Purpose] = {}
_audiences: dict[str, Audience] = {}


def register_purpose(purpose: Purpose) -> None:
    """Make a purpose known. Registering the same again changes nothing; another of its name is an error."""
    if _purposes.setdefault(purpose.name, purpose) != purpose:
        raise ValueError(f"The purpose {purpose.name!r} is registered already, as something else.")


def forget_purpose(name: str) -> None:
    """Take a purpose away again (tests)."""
    _purposes.pop(name, None)


def purpose_of(name: str) -> Purpose:
    """Return the purpose; raises ValueError for one that nobody registered."""
    found = _purposes.get(name)
    if found is None:
        raise ValueError(f"The purpose {name!r} is not registered (portal/notify/registry.py).")
    return found


def purposes() -> list[Purpose]:
    """Return every purpose, by name."""
    return [_purposes[name] for name in sorted(_purposes)]


def register_audience(name: str, people_of: Audience) -> None:
    """Say who the people of an account are under this name, like "approvers"."""
    _audiences[name] = people_of


def audience(name: str, account: Any) -> list[Recipient]:
    """Return the people of an account, in the order in which they are told; none if nobody registered it."""
    people_of = _audiences.get(name)
    return list(people_of(account)) if people_of is not None else []
