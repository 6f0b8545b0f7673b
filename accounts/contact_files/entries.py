"""What a file says of contacts, whatever its format: plain values, what is wrong with them, what was left out.

Pure: no database, no clock. `None` is "the file does not say", so that an import changes only what a file speaks of.
Source of the formats: RFC 4180 (CSV), RFC 6350 and RFC 2426 (vCard 4.0 and 3.0), NetBox, AWS and Google exports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from django.core.exceptions import ValidationError

from accounts.contacts.fields import (
    LONGEST,
    MOST_PHONES,
    ROLES,
    clean_order,
    clean_phone,
    clean_text,
    own_ref,
    shown,
)
from portal.errors import Refused
from portal.texts import SAYS, find_unsound
from portal.zones import validate_time_zone

MOST_ENTRIES = 10_000
MOST_BYTES = 5 * 1024 * 1024
MOST_PROBLEMS = 200
# A zip archive, which .xlsx and .ods are, and the older .xls.
_SPREADSHEETS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"\xd0\xcf\x11\xe0")

_ROLE_WORDS: Mapping[str, str] = {
    **{role: role for role in ROLES},
    "operations": "technical",
    "technical_incidents": "technical",
    "suspension": "primary",
}
# Categories of other programs that say nothing about whom to call for support.
_NOT_OURS = frozenset({"all", "legal", "product_updates", "support-contact", "mycontacts", "starred"})
_PRIORITY_WORDS: Mapping[str, int] = {"primary": 1, "secondary": 2, "tertiary": 3}
INACTIVE = "inactive"


@dataclass(frozen=True)
class Problem:
    """One thing that must be mended before anything is taken in. `line` counts from 1; 0 is the file as a whole."""

    line: int
    field: str
    says: str


@dataclass(frozen=True)
class Entry:
    """One contact as a file gives it. `roles`, texts and numbers are None where the file says nothing of them."""

    line: int
    name: str = ""
    external_id: str = ""
    title: str | None = None
    email: str | None = None
    phone: str | None = None
    more_phones: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    priority: int | None = None
    time_zone: str | None = None
    language: str | None = None
    organization: str | None = None
    notes: str | None = None
    is_nameless: bool = False
    """The file lists mailboxes without names: `name` is only what a new contact is called."""

    def says(self) -> dict[str, object]:
        """Return what the file speaks of, by field, without the place in it and what it is found by."""
        return {
            one.name: value
            for one in fields(self)
            if one.name not in ("line", "external_id", "is_nameless")
            and not (one.name == "name" and self.is_nameless)
            and (value := getattr(self, one.name)) not in (None, "")
        }


@dataclass(frozen=True)
class FileRead:
    """What a file holds. `left_out` says, a sentence each, what was not taken and why."""

    format: str
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass
class Findings:
    """Collects problems and what was left out while a file is read."""

    problems: list[Problem] = field(default_factory=list)
    _left_out: dict[str, int] = field(default_factory=dict)

    def wrong(self, line: int, name: str, says: str) -> None:
        """Note something that must be mended."""
        self.problems.append(Problem(line, name, says))

    def left(self, says: str) -> None:
        """Note something that is not taken in; the same is counted."""
        self._left_out[says] = self._left_out.get(says, 0) + 1

    def left_out(self) -> tuple[str, ...]:
        """Return the sentences, each with how often it was so."""
        return tuple(f"{says} ({count}×)" if count > 1 else says for says, count in self._left_out.items())


def text_of_file(data: bytes) -> str:
    """Return a file's text. Raises Refused for what is too large, no UTF-8, or holds what is no text."""
    if len(data) > MOST_BYTES:
        raise Refused(
            f"The file has {len(data) / 1024 / 1024:.1f} MB; up to {MOST_BYTES // 1024 // 1024} MB are taken. Split it. "
            "Nothing was taken in.",
            code="file_too_large",
        )
    if data.startswith(_SPREADSHEETS):
        raise Refused(
            "This is a spreadsheet file: save it as CSV and take that in. Nothing was taken in.",
            code="file_is_spreadsheet",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Refused(
            f"The file is not written in UTF-8 (line {line}). Save it as “CSV UTF-8” and choose it again. "
            "Nothing was taken in.",
            code="file_not_utf8",
        ) from None
    unsound = find_unsound(text)
    if unsound is not None:
        line = text.count("\n", 0, unsound) + 1
        raise Refused(
            f"Line {line} holds {SAYS}. Take it out and choose the file again. Nothing was taken in.",
            code="file_unsound",
        )
    if not text.strip():
        raise Refused("The file is empty. Nothing was taken in.", code="file_empty")
    return text


def entry_from(
    line: int,
    given: Mapping[str, str],
    findings: Findings,
    *,
    more_phones: Sequence[str] | None = None,
    is_nameless: bool = False,
) -> Entry | None:
    """Return a contact from a file's plain texts; None where something is wrong, which `findings` then says.

    `given` holds only what the file speaks of; an empty text says nothing, so that no import empties what it does not know.
    """
    before = len(findings.problems)
    one = {name: text.strip() for name, text in given.items()}
    one = {name: text for name, text in one.items() if text}
    if one.get("priority", "").lower() == INACTIVE:
        findings.left("Contacts that are marked as inactive")
        return None
    for name in LONGEST:
        # The id that our own export gave is kept nowhere, and finds the contact again.
        if name in one and not (name == "external_id" and own_ref(one[name]) is not None):
            one[name] = _text(line, name, one[name], findings)
    name = one.get("name", "")
    if "name" not in one:
        findings.wrong(line, "name", "The name is missing. Write whom to ask for.")
    if more_phones and not one.get("phone"):
        # The first number is the best one, wherever the file has it.
        one["phone"], more_phones = more_phones[0], more_phones[1:]
    phone = _phone(line, one.get("phone"), findings)
    others = [_phone(line, number, findings) for number in more_phones] if more_phones is not None else None
    entry = Entry(
        line=line,
        name=name,
        external_id=one.get("external_id", ""),
        title=one.get("title"),
        email=one.get("email"),
        phone=phone,
        more_phones=None if others is None else tuple(dict.fromkeys(n for n in others if n and n != phone)),
        roles=_roles(line, one.get("role"), findings),
        priority=_priority(line, one.get("priority"), findings),
        time_zone=_zone(line, one.get("timezone"), findings),
        language=one.get("language"),
        organization=one.get("organization"),
        notes=one.get("notes"),
        is_nameless=is_nameless,
    )
    if entry.more_phones is not None and len(entry.more_phones) > MOST_PHONES:
        findings.left(f"Phone numbers beyond {MOST_PHONES + 1} of one contact")
        entry = replace(entry, more_phones=entry.more_phones[:MOST_PHONES])
    return entry if len(findings.problems) == before else None


def _text(line: int, name: str, text: str, findings: Findings) -> str:
    try:
        return clean_text(name, text)
    except Refused as refused:
        findings.wrong(line, name, refused.says)
        return ""


def _phone(line: int, text: str | None, findings: Findings) -> str | None:
    if not text:
        return None
    try:
        number = clean_phone(text)
    except Refused as refused:
        findings.wrong(line, "phone", refused.says)
        return None
    if ";ext=" in text:
        findings.left("Extensions behind phone numbers: note them in the portal")
    return number


def _roles(line: int, text: str | None, findings: Findings) -> tuple[str, ...] | None:
    """Return the roles that a cell names; None if it names none of ours and none that is unknown."""
    if text is None:
        return None
    found: list[str] = []
    for word in filter(None, (part.strip().lower() for part in re.split(r"[,;|]", text))):
        if word in _ROLE_WORDS:
            found.append(_ROLE_WORDS[word])
        elif word in _NOT_OURS:
            findings.left(f"“{word}” is no role here")
        else:
            findings.wrong(line, "role", f"“{shown(word)}” is no role. There are {', '.join(ROLES)}.")
    return tuple(role for role in ROLES if role in found) or None


def roles_among(words: Iterable[str]) -> str:
    """Return those of a card's categories that name a role of ours, as a cell of roles; the others are no mistake."""
    return ", ".join(word for word in (one.strip().lower() for one in words) if word in _ROLE_WORDS)


def _priority(line: int, text: str | None, findings: Findings) -> int | None:
    if text is None:
        return None
    if text.lower() in _PRIORITY_WORDS:
        return _PRIORITY_WORDS[text.lower()]
    if re.fullmatch(r"[0-9]{1,3}", text):
        try:
            return clean_order(int(text))
        except Refused:
            pass
    findings.wrong(
        line,
        "priority",
        f"“{shown(text)}”: the order of call is a number from 1 to 999, or primary, secondary, tertiary, inactive.",
    )
    return None


def _zone(line: int, text: str | None, findings: Findings) -> str | None:
    if text is None:
        return None
    try:
        validate_time_zone(text)
    except ValidationError:
        findings.wrong(
            line,
            "timezone",
            f"“{shown(text)}” is no time zone of the tz database, like Europe/Berlin or UTC.",
        )
        return None
    return text


def joined(read: Sequence[Entry], findings: Findings) -> tuple[Entry, ...]:
    """Return the entries with those joined that are one contact, a row for each of their roles.

    One contact has one id; without ids, one mail address and name, or one phone and name. Rows of one contact that
    disagree in anything but the role are a problem: which is right is not for us to guess.
    """
    kept: dict[tuple[str, str], Entry] = {}
    order: list[tuple[str, str]] = []
    for entry in read:
        key = _identity(entry)
        first = kept.get(key)
        if first is None:
            kept[key] = entry
            order.append(key)
            continue
        differs = sorted(
            name
            for name, value in entry.says().items()
            if name not in ("roles", "priority") and first.says().get(name, value) != value
        )
        if differs:
            findings.wrong(
                entry.line,
                differs[0],
                f"Line {first.line} is the same contact with another {differs[0].replace('_', ' ')}. "
                "Keep one of the two lines, or make them agree.",
            )
            continue
        roles = (*(first.roles or ()), *(entry.roles or ()))
        known = {**entry.says(), **first.says()}
        known["roles"] = tuple(role for role in ROLES if role in roles) or None
        known["priority"] = min(filter(None, (first.priority, entry.priority)), default=None)
        kept[key] = replace(first, **known)  # type: ignore[arg-type]
    return tuple(kept[key] for key in order)


def _identity(entry: Entry) -> tuple[str, str]:
    if entry.external_id:
        return ("id", entry.external_id)
    if entry.email:
        return ("mail", f"{entry.email.lower()}\n{entry.name.lower()}")
    if entry.phone:
        return ("phone", f"{entry.phone}\n{entry.name.lower()}")
    return ("line", str(entry.line))


def first_problems(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems in the file's order, no more than a person can mend at once."""
    return tuple(sorted(problems, key=lambda one: one.line)[:MOST_PROBLEMS])
