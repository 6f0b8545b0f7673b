"""Writing contacts as CSV and vCard 4.0, so that reading them again changes nothing. Pure.

Formulas are guarded: a cell that a spreadsheet would run gets an apostrophe (portal/csvfile.py). vCards are folded at
75 octets and escaped (RFC 6350 3.2, 3.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from accounts.contact_files.csv_in import COLUMNS
from accounts.contact_files.merge import Known
from accounts.contacts.fields import OWN_ID
from portal.csvfile import lines

CATEGORY = "support-contact"


def id_of(one: Known) -> str:
    """Return the id under which an import finds this contact again."""
    return one.external_id or f"{OWN_ID}{one.ref}"


def csv_cells(one: Known) -> tuple[object, ...]:
    """Return a contact's cells in the order of `COLUMNS`."""
    return (
        id_of(one),
        one.name,
        one.title,
        one.email,
        one.phone,
        "; ".join(one.more_phones),
        "; ".join(one.roles),
        one.priority,
        one.time_zone,
        one.language,
        one.organization,
        one.notes,
    )


def to_csv(contacts: Iterable[Known]) -> Iterator[bytes]:
    """Yield a CSV file in slices: the header, then a line a contact."""
    yield lines([COLUMNS])
    for one in contacts:
        yield lines([csv_cells(one)])


def to_vcards(contacts: Iterable[Known]) -> Iterator[bytes]:
    """Yield a vCard 4.0 for each contact. A contact without a role is nobody's support contact and is left out."""
    for one in contacts:
        if one.roles:
            yield _card(one)


def _card(one: Known) -> bytes:
    properties = [
        ("VERSION", "4.0"),
        ("UID", _text(id_of(one))),
        ("FN", _text(one.name)),
        ("KIND", "individual"),
    ]
    if one.title:
        properties.append(("TITLE", _text(one.title)))
    if one.organization:
        properties.append(("ORG", _text(one.organization)))
    if one.email:
        properties.append(("EMAIL;PREF=1", _text(one.email)))
    for place, phone in enumerate(filter(None, (one.phone, *one.more_phones)), start=1):
        properties.append((f"TEL;VALUE=uri;PREF={place}", f"tel:{phone}"))
    properties.append(("TZ", _text(one.time_zone)))
    if one.language:
        properties.append(("LANG", _text(one.language)))
    properties.append(("CATEGORIES", ",".join([CATEGORY, *one.roles])))
    properties.append(("X-PRIORITY", str(one.priority)))
    body = [f"{name}:{value}" for name, value in properties]
    folded = [_folded(line) for line in ("BEGIN:VCARD", *body, "END:VCARD")]
    return ("\r\n".join(folded) + "\r\n").encode()


def _text(value: str) -> str:
    """Return a text as a property holds it (RFC 6350 3.4)."""
    for char, escaped in (("\\", "\\\\"), (",", "\\,"), (";", "\\;"), ("\n", "\\n"), ("\r", "")):
        value = value.replace(char, escaped)
    return value


def _folded(line: str) -> str:
    """Return a line folded at 75 octets, never inside a character (RFC 6350 3.2)."""
    parts, length = [""], 0
    for char in line:
        size = len(char.encode())
        if length + size > (75 if len(parts) == 1 else 74):
            parts.append("")
            length = 0
        parts[-1] += char
        length += size
    return "\r\n ".join(parts)
