"""Bytes to lines, rows and numbers: with limits, with line numbers, and without a guess."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO, NoReturn
from urllib.parse import urlsplit

from capacity.importers.types import Format, ImportRefused, Provenance

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""The longest summary or text; such files have kilobytes."""
MAX_STREAM_BYTES = 8 * 1024 * 1024 * 1024
"""The longest file with a line for each request; it is read line by line, in constant memory."""
MAX_LINE = 1024 * 1024
HEAD_BYTES = 64 * 1024
MAX_COUNT = 2**53
"""Beyond this a count is damage, and JSON could not carry it exactly."""
MAX_NAMES = 1000
"""The most names, errors and codes that are told apart; the rest is counted as one."""
MAX_TARGETS = 20
MAX_TEXT = 300
OTHERS = "(others)"

_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
NOT_UTF8 = "Some texts of the file are not UTF-8; what could not be read in them is shown as �."
NO_LINE_END = "The file ends without a line's end: it may have been cut off after its last line."


class Source:
    """A file that is read once from its beginning, within limits, while its digest is taken.

    `name` serves messages only. The stream must be seekable; `Source(data=…)` wraps bytes.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = clean(name) or "file"
        self.stream = stream
        stream.seek(0)
        self.head = stream.read(HEAD_BYTES)
        self.encoding = next((code for mark, code in _BOMS if self.head.startswith(mark)), "utf-8")
        self.size_bytes = stream.seek(0, io.SEEK_END)
        self.line = 0
        self.damaged = False
        self.ended = True

    def provenance(self, of: Format) -> Provenance:
        """Return where the result comes from; reads the file once more for its digest."""
        self.stream.seek(0)
        digest = hashlib.sha256()
        while block := self.stream.read(1 << 20):
            digest.update(block)
        return Provenance(of, self.name, digest.hexdigest(), self.size_bytes)

    def lines(self) -> Iterator[str]:
        """Yield each line with its end, whatever kind of end that is. Raises ImportRefused for a line that is too long."""
        if self.size_bytes > MAX_STREAM_BYTES:
            refuse(
                f"The file has more than {MAX_STREAM_BYTES >> 30} GB. Hand in a shorter run, or its summary."
            )
        self.stream.seek(0)
        self.line = 0
        # Not closed with the wrapper: the digest is taken from the same stream afterwards.
        text = io.TextIOWrapper(self.stream, encoding=self.encoding, errors="replace", newline="")
        try:
            while line := text.readline(MAX_LINE):
                self.line += 1
                if len(line) >= MAX_LINE:
                    refuse(
                        f"It has more than {MAX_LINE:,} characters. Write the file again without bodies.",
                        self.line,
                    )
                self.damaged = self.damaged or "\ufffd" in line
                self.ended = line.endswith(("\n", "\r"))
                yield line
        finally:
            text.detach()

    def text(self) -> str:
        """Return the whole of a short file, line ends as `\\n`. Raises ImportRefused beyond MAX_DOCUMENT_BYTES."""
        if self.size_bytes > MAX_DOCUMENT_BYTES:
            refuse(
                f"A file of this kind has kilobytes, this one more than {MAX_DOCUMENT_BYTES >> 20} MB. "
                "Hand in the summary that the tool writes at its end."
            )
        self.stream.seek(0)
        found = self.stream.read(MAX_DOCUMENT_BYTES).decode(self.encoding, errors="replace")
        self.damaged = "\ufffd" in found
        self.ended = found.endswith(("\n", "\r"))
        return found.replace("\r\n", "\n").replace("\r", "\n")

    def document(self) -> Any:
        """Return a JSON document. Raises ImportRefused with the line where it breaks."""
        return parse_json(self.text())

    def notes(self) -> tuple[str, ...]:
        """Return what is to be said about the bytes themselves, after they were read."""
        return (NOT_UTF8,) if self.damaged else ()


def refuse(says: str, line: int | None = None) -> NoReturn:
    """Raise ImportRefused."""
    raise ImportRefused(says, line=line)


def parse_json(text: str, line: int | None = None) -> Any:
    """Return a JSON value; NaN and infinity are none. `line` is that of `text` in its file, None for a whole file."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as problem:
        refuse(
            "The JSON ends or breaks here, so the file is cut off or damaged. Copy it again from where the tool wrote it.",
            line or problem.lineno,
        )
    except (ValueError, RecursionError):
        refuse("The JSON holds what no benchmark has: NaN, a huge number, or a very deep nesting.", line)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


class Row:
    """A row of a CSV file, read by the names of its header (whatever their case), with its line for messages."""

    def __init__(self, fields: Mapping[str, str], line: int, *, decimal_comma: bool) -> None:
        self.fields = fields
        self.line = line
        self.decimal_comma = decimal_comma

    def text(self, name: str) -> str:
        """Return a field without blanks around it; empty where the file has no such column."""
        return self.fields.get(name, "").strip()

    def number(self, name: str, *, least: float = 0.0) -> float | None:
        """Return a number, None for an empty field or N/A. Raises ImportRefused for anything else."""
        found = self.text(name)
        if found in ("", "N/A"):
            return None
        if self.decimal_comma and re.fullmatch(r"[+-]?\d+,\d+", found):
            found = found.replace(",", ".")
        return number(found, name, line=self.line, least=least)

    def count(self, name: str) -> int | None:
        """Return a whole number, None for an empty field or N/A. Raises ImportRefused for anything else."""
        found = self.number(name)
        return None if found is None else whole(found, name, line=self.line)

    def need(self, name: str) -> float:
        """Return a number that must be there. Raises ImportRefused."""
        found = self.number(name)
        if found is None:
            refuse(f"“{name}” is empty; a number was expected. The file may be cut off here.", self.line)
        return found


def rows(source: Source, needed: tuple[str, ...], what: str) -> Iterator[Row]:
    """Yield the rows of a CSV file with a header, under the header's names in lower case.

    Comma, semicolon, tab and bar separate; where it is not the comma, a comma in a number is a decimal one. A row with
    another number of fields than the header, a quote that does not close and a second header of the same names
    (files that were appended to each other) are told apart: the first two are refused, the last is passed over.
    """
    header: list[str] = []
    delimiter = ","
    for line, fields in raw_rows(source, None):
        if not header:
            header = [field.strip().lower() for field in fields]
            delimiter = source_delimiter(source)
            missing = [name for name in needed if name not in header]
            if missing:
                refuse(
                    f"The header of {what} has “{'”, “'.join(missing)}”, this one has not. "
                    "Let the tool write its header, and hand in the file as it was written.",
                    line,
                )
            continue
        if [field.strip().lower() for field in fields] == header:
            continue
        if len(fields) != len(header):
            refuse(
                f"{len(header)} fields were expected as in the header, {len(fields)} are there. "
                "The file is cut off or damaged here; hand in the whole file.",
                line,
            )
        # Variables that a JMeter script adds stand last, and may be called like a column: the first of a name counts.
        named = dict(zip(reversed(header), reversed(fields), strict=True))
        yield Row(named, line, decimal_comma=delimiter != ",")


def raw_rows(source: Source, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row that is not empty. Raises ImportRefused where the CSV breaks."""
    reader = csv.reader(source.lines(), delimiter=delimiter or source_delimiter(source), strict=True)
    begins = 1
    try:
        for fields in reader:
            if fields and (len(fields) > 1 or fields[0].strip()):
                yield begins, fields
            begins = reader.line_num + 1
    except csv.Error as problem:
        if "limit" in str(problem):
            says = "A field has more than 131,072 characters, or a quote that begins it does not end."
        else:
            says = "A field that begins with a quote does not end, or ends in the middle of a value."
        refuse(
            f"{says} The file is cut off or damaged here; hand in the whole file, written without bodies.",
            begins,
        )


def source_delimiter(source: Source) -> str:
    """Return what separates the fields of the first line: the most frequent of comma, semicolon, tab and bar."""
    first = first_line(head_text(source.head))
    return max(",;\t|", key=first.count)


def head_text(head: bytes) -> str:
    """Return the text of the first bytes of a file, whatever they are."""
    encoding = next((code for mark, code in _BOMS if head.startswith(mark)), "utf-8")
    return head.decode(encoding, errors="replace")


def first_line(text: str) -> str:
    """Return the first line that is not blank."""
    return next((line for line in re.split(r"[\r\n]+", text) if line.strip()), "")


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?")


def number(value: Any, what: str, *, line: int | None = None, least: float = 0.0) -> float:
    """Return a finite number from `least` on, from a text or a JSON value. Raises ImportRefused."""
    # `strip()` would take away more than `float` does: U+001C to U+001F are blanks for the one and none for the other.
    if isinstance(value, str) and len(value) <= 400 and _NUMBER.fullmatch(text := value.strip(" \t\r\n")):
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(f"“{what}” is “{clean(str(value)[:80])}”; a number was expected.", line)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not least <= found <= 1e19:
        refuse(f"“{what}” is {found:g}, which cannot be. The file is damaged here.", line)
    return found


def whole(value: Any, what: str, *, line: int | None = None) -> int:
    """Return a count from 0. Raises ImportRefused."""
    found = number(value, what, line=line)
    if found != int(found) or found > MAX_COUNT:
        refuse(f"“{what}” is {found:g}; a whole number was expected.", line)
    return int(found)


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text from a file as it may be kept: one line, nothing unseen in it, no password or query of a URL, not too long.

    What a load test calls its requests may come from whoever was attacked; it is shown as text, never as anything else.
    """
    # A file says the same few names a million times; long ones are not kept, so that memory stays flat.
    return _clean_again(text, limit) if len(text) <= _SHORT else _clean(text, limit)


def _clean(text: str, limit: int) -> str:
    text = " ".join(text.split())
    text = "".join(sign for sign in text if unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    text = re.sub(r"(?<=://)[^/\s@]*@", "", text)
    text = re.sub(r"(://[^\s\"?#]*)[?#][^\s\"]*", r"\1", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


_OWN_ADDRESS = re.compile(r"[\w.:%\[\]-]{1,60}:\d{1,5}->")


def error_kind(text: str) -> str:
    """Return what an error is called, as `clean` does, but with both ends of a long one: the cause stands last.

    Go names the generator's own address and port before an arrow. It is another for each connection, so it is left out:
    else one kind becomes a thousand, and what comes after these is told apart no more.
    """
    text = _OWN_ADDRESS.sub("", clean(text, MAX_LINE))
    half = MAX_TEXT // 2
    return text if len(text) <= MAX_TEXT else f"{text[: half - 1]}…{text[-half:]}"


_SHORT = 200
_clean_again = lru_cache(maxsize=4096)(_clean)


def target(url: str) -> str | None:
    """Return the address of a request without user, password, query and fragment, which may hold secrets; None for no URL."""
    return _target_again(url) if len(url) <= _SHORT else _target(url)


def _target(url: str) -> str | None:
    try:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https", "ws", "wss", "grpc") or not parts.hostname:
            return None
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return None
    return clean(f"{parts.scheme}://{host}{parts.path}")


_target_again = lru_cache(maxsize=4096)(_target)


def in_range(seconds: float, line: int | None = None) -> float:
    """Return a time in seconds after 1970, which must be in 2000 to 2100. Raises ImportRefused."""
    if not 946_684_800 <= seconds < 4_102_444_800:
        refuse(
            "A time of the file is not between 2000 and 2100. The file is damaged, or its times are in another unit.",
            line,
        )
    return seconds


def epoch(seconds: float, line: int | None = None) -> datetime:
    """Return the time `seconds` after 1970, which must be in 2000 to 2100. Raises ImportRefused."""
    return datetime.fromtimestamp(in_range(seconds, line), UTC)


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def rfc3339(value: Any, what: str, line: int | None = None) -> datetime:
    """Return a time with its zone as UTC; digits beyond microseconds are dropped. Raises ImportRefused."""
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        refuse(f"“{what}” is no time such as 2026-11-27T16:38:16Z.", line)
    day, time, fraction, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone
    try:
        at = datetime.fromisoformat(f"{day}T{time}{(fraction or '.0')[:7].ljust(7, '0')}{zone}").astimezone(
            UTC
        )
    except (ValueError, OverflowError):
        refuse(f"“{what}” is no time such as 2026-11-27T16:38:16Z.", line)
    if not 2000 <= at.year < 2100:
        refuse(f"“{what}” is not between 2000 and 2100.", line)
    return at
