"""Reading contacts from vCards, 4.0 (RFC 6350) and 3.0 (RFC 2426, which phones export).

Only what support needs is taken: names, mail, phones, title, organization, zone, language, and categories that
name a role. Photos, birthdays, postal addresses, notes and everything else are left out, and the preview says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import vobject

from accounts.contact_files.entries import (
    MOST_ENTRIES,
    Entry,
    FileRead,
    Findings,
    entry_from,
    first_problems,
    joined,
    roles_among,
)
from portal.errors import Refused
from portal.zones import zone_names

_TAKEN = frozenset(
    {"version", "fn", "n", "uid", "kind", "tel", "email", "org", "title", "tz", "lang", "categories"}
)
_READ = _TAKEN | {"begin", "end", "x-priority"}
# What programs write about the card itself; nobody misses it.
_SILENT = frozenset({"rev", "prodid", "begin", "end", "x-priority"})
_WORDS = {
    "note": "Notes",
    "photo": "Photos",
    "bday": "Birthdays",
    "adr": "Postal addresses",
    "gender": "Gender",
}
_BEGIN = re.compile(r"^BEGIN:VCARD\s*$", re.IGNORECASE)
_LINES = re.compile(r"\r\n|\n|\r")
_END = re.compile(r"^END:VCARD\s*$", re.IGNORECASE)
LONGEST_CARD = 2 * 1024 * 1024
LONGEST_LINE = 10_000
MOST_LINES = 500
# A property up to its value (RFC 6350 3.3). Nothing is given back, so that a line without a colon is told at once: the
# library's own pattern takes twice as long with each further parameter of one.
_PROPERTY = re.compile(
    r"(?:[a-z0-9_-]++\.)?(?P<name>[a-z0-9_-]++)"
    r'(?:;[a-z0-9_-]++(?:=(?:"[^"]*+"|[^";:,]*+)(?:,(?:"[^"]*+"|[^";:,]*+))*+)?+)*+:',
    re.IGNORECASE,
)


def read_vcards(text: str) -> FileRead:
    """Return what a file of vCards holds. Raises Refused for a file without any."""
    findings = Findings()
    entries: list[Entry] = []
    count = 0
    for line, card in _cards(text, findings):
        count += 1
        if count > MOST_ENTRIES:
            raise Refused(
                f"The file has more than {MOST_ENTRIES:,} cards. Split it. Nothing was taken in.",
                code="too_many",
            )
        entry = _entry(line, card, findings)
        if entry is not None:
            entries.append(entry)
    if not count and not findings.problems:
        raise Refused(
            "There is no card in the file: each begins with BEGIN:VCARD and ends with END:VCARD. "
            "Nothing was taken in.",
            code="no_card",
        )
    return FileRead(
        "vcard", joined(entries, findings), first_problems(findings.problems), findings.left_out()
    )


def _cards(text: str, findings: Findings) -> Iterator[tuple[int, str]]:
    """Yield each card with the line on which it begins, so that one broken card spoils no other."""
    began, held = 0, []
    for number, line in enumerate(_LINES.split(text), start=1):
        if _BEGIN.match(line):
            if began:
                findings.wrong(
                    began, "", f"This card does not end before the next one begins (line {number})."
                )
            began, held = number, [line]
        elif _END.match(line):
            if began:
                yield began, "\r\n".join([*held, line, ""])
            else:
                findings.wrong(number, "", "A card ends here that did not begin.")
            began, held = 0, []
        elif began:
            held.append(line)
        elif line.strip():
            findings.wrong(number, "", "This line stands outside of any card.")
    if began:
        findings.wrong(began, "", "This card does not end: END:VCARD is missing. Was the file cut off?")


def _entry(line: int, text: str, findings: Findings) -> Entry | None:
    card, left = _parsed(line, text, findings)
    if card is None:
        return None
    contents: dict[str, list[Any]] = card.contents
    for name in left:
        findings.left(f"{_WORDS.get(name, f'“{name.upper()[:30]}”')}: not needed for support")
    kind = _first(contents, "kind").lower() or "individual"
    if kind not in ("individual", "org"):
        findings.left(f"Cards of a {kind[:20]}: only people and organizations are called")
        return None
    given = {
        "external_id": _first(contents, "uid"),
        "name": _first(contents, "fn") or _composed(contents),
        "title": _first(contents, "title"),
        "organization": _first(contents, "org"),
        "language": _best(contents, "lang"),
        "role": roles_among(word for one in contents.get("categories", ()) for word in _strings(one.value)),
        "priority": _first(contents, "x-priority"),
        "email": _best(contents, "email"),
    }
    if len(contents.get("email", ())) > 1:
        findings.left("Second mail addresses: a contact has one, where support writes to")
    zone = _first(contents, "tz")
    if zone in zone_names():
        given["timezone"] = zone
    elif zone:
        findings.left("Time zones that are no name of the tz database, like Europe/Berlin")
    phones = [str(one.value) for one in sorted(contents.get("tel", ()), key=_preference)]
    given["phone"] = phones[0] if phones else ""
    return entry_from(line, given, findings, more_phones=phones[1:] or None)


def _parsed(line: int, text: str, findings: Findings) -> tuple[Any, list[str]]:
    """Return a card and the names of what is not taken from it; None for the card where it is wrong."""
    if len(text) > LONGEST_CARD:
        findings.wrong(line, "", "This card is larger than a card with a photo ever is. Take it out.")
        return None, []
    kept: list[str] = []
    left: dict[str, None] = {}
    for number, lines in _properties(text):
        found = _PROPERTY.match("".join([lines[0], *(more.lstrip(" \t") for more in lines[1:])]))
        name = found["name"].lower().replace("_", "-") if found is not None else ""
        if not name:
            findings.wrong(
                line,
                "",
                f"This card cannot be read (line {line + number}: no name with a value after a colon).",
            )
            return None, []
        # A photo can be most of a card, and is left out anyway.
        if name not in _READ:
            left[name] = None
        elif sum(map(len, lines)) > LONGEST_LINE or len(kept) > MOST_LINES:
            findings.wrong(
                line, "", f"This card cannot be read (line {line + number} is too long, or too many are)."
            )
            return None, []
        else:
            kept += lines
    return _card(line, "\r\n".join([*kept, ""]), findings), [name for name in left if name not in _SILENT]


def _properties(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each property of a card with its place and its lines: folded ones, and soft breaks of quoted-printable."""
    held: list[str] = []
    began = 0
    goes_on = False
    for number, line in enumerate(text.split("\r\n")):
        if held and line.strip() and (goes_on or line[0] in " \t"):
            held.append(line)
        else:
            if held:
                yield began, held
            began, held = number, [line] if line.strip() else []
        goes_on = bool(held) and line.endswith("=") and "quoted-printable" in held[0].lower()
    if held:
        yield began, held


def _card(line: int, text: str, findings: Findings) -> Any:
    try:
        card = vobject.readOne(text, allowQP=True)
    except Exception as error:  # noqa: BLE001 - the library lets whatever its parts raise pass
        said = str(error).replace("\r", " ").replace("\n", " ")
        findings.wrong(line, "", f"This card cannot be read ({type(error).__name__}: {said[:120]}).")
        return None
    if getattr(card, "name", "").upper() != "VCARD":
        findings.wrong(line, "", "This is no vCard.")
        return None
    version = _first(card.contents, "version")
    if version not in ("3.0", "4.0"):
        findings.wrong(
            line,
            "",
            f"This card is of version {version[:10] or '(none)'}. Export the cards as vCard 4.0 or 3.0.",
        )
        return None
    return card


def _strings(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _first(contents: dict[str, list[Any]], name: str) -> str:
    for one in contents.get(name, ()):
        if text := _strings(one.value)[0].strip() if one.value else "":
            return text
    return ""


def _best(contents: dict[str, list[Any]], name: str) -> str:
    ranked = sorted(contents.get(name, ()), key=_preference)
    return next((text for one in ranked if (text := _strings(one.value)[0].strip() if one.value else "")), "")


def _preference(one: Any) -> int:
    """Return how much a value is preferred, 1 best (RFC 6350 5.3; `TYPE=pref` in 3.0)."""
    prefs = one.params.get("PREF", ())
    if prefs and str(prefs[0]).isdecimal():
        return max(1, min(100, int(str(prefs[0])[:3])))
    kinds = {word.lower() for text in one.params.get("TYPE", ()) for word in str(text).split(",")}
    return 1 if "pref" in kinds else 101


def _composed(contents: dict[str, list[Any]]) -> str:
    """Return a name from its parts, for a card that gives only those."""
    for one in contents.get("n", ()):
        parts = (getattr(one.value, part, "") for part in ("given", "additional", "family"))
        words = [" ".join(_strings(part)) for part in parts if part]
        if words:
            return " ".join(words)
    return ""
