"""What an import would change: a file's contacts held against those that the account has. Pure.

Nothing is removed, and nothing is emptied: a file changes what it speaks of. Who is meant is never guessed: by the id,
else by mail address and name, else by phone and name; what fits two is a problem for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from accounts.contact_files.entries import Entry, Findings, Problem, first_problems
from accounts.contacts.fields import own_ref

REACHED_BY = ("email", "phone")


@dataclass(frozen=True)
class Known:
    """A contact of the account, as far as an import may change it. `priority` is the order of call."""

    ref: UUID
    name: str
    external_id: str = ""
    title: str = ""
    email: str = ""
    phone: str = ""
    more_phones: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    priority: int = 1
    time_zone: str = "UTC"
    language: str = ""
    organization: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Change:
    """One contact that the file would change: by field what is and what becomes."""

    known: Known
    line: int
    was: Mapping[str, object]
    becomes: Mapping[str, object]

    @property
    def loses_proof(self) -> tuple[str, ...]:
        """Which channels are replaced, and so unproven until somebody answers there."""
        return tuple(name for name in REACHED_BY if self.was.get(name) and self.becomes.get(name))


@dataclass(frozen=True)
class Planned:
    """What an import would do, in the file's order. With `problems` nothing is taken in."""

    added: tuple[Entry, ...] = ()
    changed: tuple[Change, ...] = ()
    same: int = 0
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Index:
    by_ref: dict[UUID, Known] = field(default_factory=dict)
    by_id: dict[str, Known] = field(default_factory=dict)
    by_mail: dict[str, list[Known]] = field(default_factory=lambda: defaultdict(list))
    by_phone: dict[str, list[Known]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[str, list[Known]] = field(default_factory=lambda: defaultdict(list))


def plan_import(entries: Sequence[Entry], known: Sequence[Known]) -> Planned:
    """Return what taking `entries` into an account with the contacts `known` would do.

    Doing it and planning again plans nothing: a second import updates and never doubles.
    """
    index = _index(known)
    findings = Findings()
    added: list[Entry] = []
    changed: list[Change] = []
    notes: list[str] = []
    same = 0
    taken: dict[UUID, int] = {}
    mailed: dict[str, Entry] = {}
    for entry in entries:
        found = _match(entry, index)
        if not isinstance(found, Problem):
            found = _shared_in_file(entry, found, mailed) or found
        if isinstance(found, Problem):
            findings.problems.append(found)
            continue
        if found is None:
            if not entry.email and not entry.phone:
                findings.wrong(
                    entry.line, "email", "A mail address or a phone number is needed to reach somebody."
                )
                continue
            added.append(entry)
            if not entry.is_nameless and _folded(entry.name) in index.by_name:
                notes.append(
                    f"Line {entry.line}: there is another {entry.name} here. Give both the same mail address or id "
                    "if they are one person; else they stay two."
                )
            continue
        if found.ref in taken:
            findings.wrong(
                entry.line,
                "",
                f"Line {taken[found.ref]} is the same contact ({found.name}). Keep one of the two.",
            )
            continue
        taken[found.ref] = entry.line
        becomes = _differing(entry, found)
        if becomes:
            was = {name: getattr(found, name) for name in becomes}
            changed.append(Change(found, entry.line, was, becomes))
        else:
            same += 1
    return Planned(tuple(added), tuple(changed), same, first_problems(findings.problems), tuple(notes))


def _index(known: Sequence[Known]) -> _Index:
    index = _Index()
    for one in known:
        index.by_ref[one.ref] = one
        if one.external_id:
            index.by_id[one.external_id] = one
        if one.email:
            index.by_mail[one.email.lower()].append(one)
        for phone in filter(None, (one.phone, *one.more_phones)):
            index.by_phone[phone].append(one)
        index.by_name[_folded(one.name)].append(one)
    return index


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _match(entry: Entry, index: _Index) -> Known | Problem | None:
    """Return whom the entry means: one of ours, nobody yet, or a problem because it could be several."""
    if entry.external_id:
        if entry.external_id in index.by_id:
            return index.by_id[entry.external_id]
        own = own_ref(entry.external_id)
        if own in index.by_ref:
            return index.by_ref[own]
    sharing = index.by_mail.get((entry.email or "").lower(), [])
    if entry.external_id:
        # Somebody with an id of their own from that program is not this one.
        sharing = [one for one in sharing if not one.external_id]
    if entry.is_nameless:
        return sharing[0] if len(sharing) == 1 else _several(entry, sharing) if sharing else None
    same = [one for one in sharing if _folded(one.name) == _folded(entry.name)]
    if not same and not sharing and entry.phone:
        by_phone = index.by_phone.get(entry.phone, [])
        if entry.external_id:
            by_phone = [one for one in by_phone if not one.external_id]
        same = [one for one in by_phone if _folded(one.name) == _folded(entry.name)]
    if len(same) == 1:
        return same[0]
    if same:
        return _several(entry, same)
    if sharing and not entry.external_id:
        return Problem(
            entry.line,
            "name",
            f"{entry.email} is the mail address of {sharing[0].name} here. If it is the same person, write the name "
            "as here, or correct it here first; if two people share the mailbox, give this line an external_id.",
        )
    return None


def _shared_in_file(entry: Entry, found: Known | None, mailed: dict[str, Entry]) -> Problem | None:
    """Return the problem of a line whose mail address an earlier line (`mailed`) gives to somebody else; notes this one.

    The same rule as for an address that somebody here has: two lines are two people only where the file says so.
    """
    email = (entry.email or "").lower()
    if not email:
        return None
    earlier = mailed.setdefault(email, entry)
    has_it_here = found is not None and found.email.lower() == email
    if entry.external_id or has_it_here or _folded(earlier.name) == _folded(entry.name):
        return None
    return Problem(
        entry.line,
        "name",
        f"{entry.email} is the mail address of {earlier.name} in line {earlier.line}. If it is the same person, write "
        "the same name; if two people share the mailbox, give this line an external_id.",
    )


def _several(entry: Entry, found: Sequence[Known]) -> Problem:
    what = "external_id"
    return Problem(
        entry.line,
        what,
        f"There are {len(found)} contacts here that this could be. Give the {what} of the one that is meant "
        "(it stands in the export).",
    )


def _differing(entry: Entry, known: Known) -> dict[str, object]:
    """Return what the entry says otherwise than what is known, by field; its id too, once the program gives one."""
    said = entry.says()
    found = {
        name: value
        for name, value in said.items()
        if (value.lower() if name == "email" else value)  # type: ignore[attr-defined]
        != (getattr(known, name).lower() if name == "email" else getattr(known, name))
    }
    if entry.external_id and entry.external_id != known.external_id and own_ref(entry.external_id) is None:
        found["external_id"] = entry.external_id
    return found
