"""Reading contacts from CSV: our own columns, and those of NetBox, AWS and Google.

Ours: `external_id,name,email,phone,role,priority,timezone,language,organization,notes` (and `title`,
`more_phones`, which our export adds). UTF-8 with or without BOM; comma, semicolon or tab. Source: docs/formats.md.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO

from accounts.contact_files.entries import (
    MOST_ENTRIES,
    Entry,
    FileRead,
    Findings,
    Problem,
    entry_from,
    first_problems,
    joined,
)
from portal.csvfile import unguarded
from portal.errors import Refused

COLUMNS = (
    "external_id",
    "name",
    "title",
    "email",
    "phone",
    "more_phones",
    "role",
    "priority",
    "timezone",
    "language",
    "organization",
    "notes",
)
# What our export adds for people to read; the portal finds it out by itself and takes nobody's word for it.
FOUND_OUT_HERE = ("confirmed_on", "freshness")
_ALIASES: Mapping[str, str] = {
    "email_address": "email",
    "mail": "email",
    "phone_number": "phone",
    "roles": "role",
    "type": "role",
    "alternate_contact_type": "role",
    "notification_category_subscriptions": "role",
    "language_tag": "language",
    "time_zone": "timezone",
    "organisation": "organization",
    "company": "organization",
    "id": "external_id",
}
# Known and of no use for support, or ours to find out: the import says so in words of its own.
_DROPPED: Mapping[str, str] = {
    "address": "The column “address” is not needed for support",
    "link": "The column “link” is not needed for support",
    **{name: f"The column “{name}”: people confirm here, files do not" for name in FOUND_OUT_HERE},
    "validation_state": "What another program validated proves no channel here",
    "validate_time": "What another program validated proves no channel here",
}
_DELIMITERS = ",;\t"


def read_csv(text: str) -> FileRead:
    """Return what a CSV file holds. Raises Refused for a file that has no header or cannot be read as CSV at all."""
    findings = Findings()
    reader = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    entries: list[Entry] = []
    try:
        columns = _columns(next(reader, []), findings)
        is_nameless = "name" not in columns
        while True:
            line = reader.line_num + 1
            row = next(reader, None)
            if row is None:
                break
            if not any(cell.strip() for cell in row):
                continue
            if len(entries) + len(findings.problems) >= MOST_ENTRIES:
                raise Refused(
                    f"The file has more than {MOST_ENTRIES:,} contacts. Split it. Nothing was taken in.",
                    code="too_many",
                )
            if len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
                findings.wrong(
                    line,
                    "",
                    f"This line has {len(row)} cells, the header {len(columns)}. Put quotes around a cell that "
                    "holds the separator.",
                )
                continue
            given = {name: unguarded(cell) for name, cell in zip(columns, row, strict=False) if name}
            phones = given.pop("more_phones", "")
            if is_nameless:
                # Google lists mailboxes, not people: what stands before the @ is what they are called.
                given["name"] = given.get("email", "").split("@")[0].replace(".", " ")
            others = [one for one in phones.replace(";", ",").split(",") if one.strip()]
            entry = entry_from(line, given, findings, more_phones=others or None, is_nameless=is_nameless)
            if entry is not None:
                entries.append(entry)
    except csv.Error as error:
        findings.problems.append(
            Problem(
                reader.line_num,
                "",
                f"From here on the file is no CSV ({error}). Look for a quote that is not closed.",
            )
        )
    found = joined(entries, findings)
    if not found and not findings.problems and not findings.left_out():
        raise Refused(
            "The file has a header and no contact below it. Nothing was taken in.", code="file_empty"
        )
    return FileRead("csv", found, first_problems(findings.problems), findings.left_out())


def _delimiter(text: str) -> str:
    header = text.split("\n", 1)[0]
    return max(_DELIMITERS, key=header.count)


def _columns(header: list[str], findings: Findings) -> list[str]:
    """Return the field of each column, "" for what is left out. Raises Refused where no column is known."""
    columns: list[str] = []
    for title in header:
        name = "_".join(title.strip().lower().replace("-", " ").split())
        field = _ALIASES.get(name, name)
        if field in COLUMNS:
            if field in columns:
                raise Refused(
                    f"Two columns give the {field.replace('_', ' ')}. Keep one of them. Nothing was taken in.",
                    code="column_twice",
                )
            columns.append(field)
        else:
            columns.append("")
            if name:
                findings.left(_DROPPED.get(name, f"The column “{title.strip()[:40]}” is not known here"))
    if not {"name", "email"} & set(columns):
        raise Refused(
            "The first line must name the columns: "
            + ",".join(COLUMNS)
            + ". At least name or email must be among "
            "them. Nothing was taken in.",
            code="no_header",
        )
    return columns
