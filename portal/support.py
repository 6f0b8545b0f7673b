"""What a call for help is about, handed in by the apps that know it: scale-down registers runs and plans.

    register_subject("run", Subject(find=..., gather=...))

`find(account, ref)` says what it is called, where its page is and how bad it looks, or None for what is not of this account.
`gather(account, ref)` gives what support needs to see, as it is at this moment: plain JSON, people as they are kept
(tokens), read afresh with few queries. Secrets are taken out by whoever keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DatabaseError, transaction

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class About:
    """What a case is about. `severity` is a rank of a halt or "", `in_charge` a user or None."""

    label: str
    url: str
    severity: str = ""
    summary: str = ""
    in_charge: Any = None


@dataclass(frozen=True)
class Part:
    """One thing to attach: `key` is stable, `title` what a page calls it, `value` plain JSON."""

    key: str
    title: str
    value: Any


@dataclass(frozen=True)
class Subject:
    """One kind of thing that a case can be about."""

    find: Callable[[Any, str], About | None]
    gather: Callable[[Any, str], Iterable[Part]]


_subjects: dict[str, Subject] = {}


def register_subject(kind: str, subject: Subject) -> None:
    """Make a kind known; a repeat replaces it."""
    _subjects[kind] = subject


def kinds() -> tuple[str, ...]:
    """Return the kinds that are known."""
    return tuple(sorted(_subjects))


def about(kind: str, account: Any, ref: str) -> About | None:
    """Return what a case of this account would be about; None for what is not there or another account's."""
    subject = _subjects.get(kind)
    return subject.find(account, ref) if subject is not None else None


def gather(kind: str, account: Any, ref: str) -> list[Part]:
    """Return what there is to attach. Whatever cannot be read is said; it never keeps a case from being opened."""
    subject = _subjects.get(kind)
    if subject is None:
        return []
    try:
        with transaction.atomic():
            return list(subject.gather(account, ref))
    except DatabaseError:
        raise
    except Exception as problem:
        log.exception("support_context_unread", kind=kind, ref=ref)
        return [
            Part("unread", "Not read", {"says": f"The state could not be read ({type(problem).__name__})."})
        ]
