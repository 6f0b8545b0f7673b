"""A mail that answers a case: what it says, who says it, and why it is not taken in. Bytes in, values out.

Untrusted through and through. `read_mail` returns what it found or raises NotTaken with a sentence; nothing else.
Sources: RFC 5322, RFC 3834 (what not to answer), RFC 2919 (lists).
"""

from __future__ import annotations

import base64
import codecs
import hmac
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from email import policy
from email.message import Message
from email.parser import BytesParser
from email.utils import getaddresses
from hashlib import sha256
from html import unescape
from uuid import UUID

from portal.texts import made_sound

MOST_BYTES = 10 * 1024 * 1024
# What is parsed of it, once the attachments are left out: the standard library needs seconds for each megabyte that a
# stranger made for it.
MOST_READ = 256 * 1024
MOST_PART_TEXT = 190 * 1024
LARGE_PART = 32 * 1024
LONGEST_TEXT = 20_000
LONGEST_HTML = 100_000
# Headers as mail systems write them are far below these, and the standard library's parsers of them take a minute where a
# stranger writes some ten thousand quotes.
LONGEST_HEADERS = 64 * 1024
LONGEST_PART_HEADER = 2000
MOST_PARTS = 50
# Of these a few letters become a text that takes minutes, or one that is no letter of anybody.
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined"})
_AUTO_PRECEDENCE = frozenset({"bulk", "junk", "list", "auto_reply"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_QUOTE_HEAD = re.compile(
    r"^(?:on\b.{0,200}\bwrote:|am\b.{0,200}\bschrieb\b.{0,80}:|le\b.{0,200}\ba écrit\s*:|den\b.{0,200}\bskrev\b.{0,80}:|"
    r"-{2,}\s*(?:original message|ursprüngliche nachricht|forwarded message)\s*-{2,}|_{20,})\s*$",
    re.IGNORECASE,
)
_OUTLOOK = re.compile(r"^\s*\*?(?:from|von|de|från)\s?:\*?\s", re.IGNORECASE)
_OUTLOOK_MORE = re.compile(
    r"\s*\*?(?:(sent|date|gesendet|datum|envoyé|skickat)|(to|an|à|till)|(subject|betreff|objet|ämne))\s?:",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"<([^<>\s]{1,250})>")
# One address as RFC 5322 writes it, by itself or after a name. Whoever checked the mail before us (DMARC, RFC 7489) took its
# domain for the sender's: what several readers could read in several ways is nobody's word, so nothing is decoded first.
_ADDRESS = r"[A-Za-z0-9.!#$%&'*+/?^_`{|}~=-]{1,64}@[A-Za-z0-9.-]{1,190}"
_COMMENT = r"\([^()<>@,;:\"\\]*\)"
_FROM = re.compile(
    rf"(?:(?:\"(?:[^\"\\]|\\.)*+\"|{_COMMENT}|[^\"<>@,;:()\[\]\\]++)*+<(?P<named>{_ADDRESS})>|(?P<alone>{_ADDRESS}))\s*(?:{_COMMENT})?"
)
_LONGEST_FROM = 1000


NO_CASE = "This mail answers no support case that there is. Use “reply” on a mail about the case, or answer on the case's page."
TOO_LARGE = f"A mail of more than {MOST_BYTES // 1024 // 1024} MiB is not taken in. Send the text alone, or answer on the case's page."


class NotTaken(Exception):
    """A mail that is not taken in. `is_dropped`: nobody is told (a loop, an automatic answer)."""

    def __init__(self, code: str, says: str, *, is_dropped: bool = False) -> None:
        super().__init__(says)
        self.code, self.says, self.is_dropped = code, says, is_dropped


@dataclass(frozen=True)
class Incoming:
    """What a mail says. `message_id` and `references` are without angle brackets; addresses in small letters.

    `is_cut`: the text was longer than LONGEST_TEXT characters, and only its beginning is here.
    """

    sender: str
    to: tuple[str, ...]
    message_id: str
    references: tuple[str, ...]
    text: str
    attachments: int
    is_cut: bool = False


def read_mail(
    raw: bytes,
    *,
    own: Collection[str] = (),
    answers: Callable[[Sequence[str], Sequence[str]], bool] | None = None,
) -> Incoming:
    """Return what a raw RFC 5322 message says, without quotes, signature and attachments.

    `own` are addresses that are the portal's (a mail from one is a loop). `answers` is asked with the addresses that it
    went to and the Message-IDs that it refers to: for a mail that answers nothing of ours, its text is not read. Raises
    NotTaken.
    """
    if len(raw) > MOST_BYTES:
        raise NotTaken("too_large", TOO_LARGE)
    try:
        return _read(raw, {one.lower() for one in own}, answers)
    except NotTaken:
        raise
    except Exception:  # noqa: BLE001 - the library's parser raises whatever it stumbles over in a hostile mail
        raise NotTaken(
            "unreadable", "This is no mail that can be read. Answer on the case's page instead."
        ) from None


def _read(
    raw: bytes, own: set[str], answers: Callable[[Sequence[str], Sequence[str]], bool] | None
) -> Incoming:
    # The headers end where whoever checked them says so: at the first empty line, by the mail's own ends of lines.
    gap = b"\r\n\r\n" if b"\r\n" in raw[: LONGEST_HEADERS + 4] else b"\n\n"
    head = raw[: LONGEST_HEADERS + 4].split(gap, 1)[0].removesuffix(gap[: len(gap) // 2])
    if len(head) > LONGEST_HEADERS:
        raise NotTaken(
            "too_large", "The headers of this mail are too long. Answer on the case's page instead."
        )
    _check_head(head)
    # By the old policy headers are plain texts, which nothing looks into until it is asked for.
    mail = BytesParser(policy=policy.compat32).parsebytes(_without_large_parts(raw))
    if not mail.keys():
        raise NotTaken("unreadable", "This is no mail that can be read. Answer on the case's page instead.")
    sender = _sender_of(mail)
    _refuse_automatic(mail, sender, own)
    ids = _REFERENCE.findall(f"{_header(mail, 'References')} {_header(mail, 'In-Reply-To')}")
    references = tuple(_clean(one) for one in ids[-50:])
    own_id = _REFERENCE.search(_header(mail, "Message-ID"))
    # Each header by itself, and none that is empty: newer Pythons answer for one that they find odd with nothing at all.
    named = (_header(mail, one) for one in ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To"))
    listed = [pair for text in named if text.strip() for pair in getaddresses([text])]
    to = tuple(found.strip().lower() for _, found in listed if "@" in found)[:50]
    if answers is not None and not answers(to, references):
        raise NotTaken("no_case", NO_CASE)
    text, attachments = _text_of(mail)
    text = own_words(text)
    if not text:
        raise NotTaken(
            "empty",
            "Attachments are not taken in, and there is no text beside them. Write what it is about, or send a link."
            if attachments
            else "There is no text in this mail that is not quoted.",
        )
    return Incoming(
        sender=sender,
        to=to,
        message_id=_clean(own_id.group(1))[:250] if own_id else "",
        references=references,
        text=text[:LONGEST_TEXT],
        attachments=attachments,
        is_cut=len(text) > LONGEST_TEXT,
    )


_PART_HEAD = re.compile(rb"\r?\n\r?\n")
_PART_KIND = re.compile(rb"^content-type:\s*([a-z]+)/", re.IGNORECASE | re.MULTILINE)


def _without_large_parts(raw: bytes) -> bytes:
    """Return a mail of at most MOST_READ bytes, in which large parts that are no text have their headers alone.

    A boundary is a line that begins with two dashes (RFC 2046, 5.1.1); base 64 has none, so each file is one piece. Of a
    long text its beginning stays. Pieces are large, or what is kept is full soon: however the mail was made, it is read once.
    """
    if len(raw) <= MOST_READ:
        return raw
    kept: list[bytes] = []
    room, at = MOST_READ, 0
    while at < len(raw) and room > 0:
        ends = raw.find(b"\n--", at + 1)
        ends = len(raw) if ends < 0 else ends
        piece = raw[at:ends] if ends - at <= LARGE_PART else _shortened(raw[at:ends])
        kept.append(piece[:room])
        room -= len(piece)
        at = ends
    return b"".join(kept)


def _shortened(piece: bytes) -> bytes:
    # Headers of a mail may be as long as that; those of a part never are.
    head = _PART_HEAD.search(piece, 0, LONGEST_HEADERS + 4)
    if head is None:
        return piece[:LARGE_PART]
    kind = _PART_KIND.search(piece, 0, head.start())
    if kind is not None and kind.group(1).lower() != b"text":
        return piece[: head.end()]
    # Whole lines: base 64 is read in fours.
    most = head.end() + MOST_PART_TEXT
    return (
        piece
        if len(piece) <= most
        else piece[: max(piece.rfind(b"\n", head.end(), most) + 1, head.end())] or piece[:most]
    )


_NAME_OF_HEADER = re.compile(rb"[!-9;-~]+:")


def _check_head(head: bytes) -> None:
    """Refuse headers that another program, the one that checked the sender, could have cut into other lines.

    The library's reader is lenient: it takes a bare CR for an end of line, drops a first line that begins with "From ", and
    ends the headers at a line that is none. RFC 5322, 2.2: a name, a colon without a blank before it, and continuations.
    """
    ends = b"\r\n" if b"\r\n" in head else b"\n"
    lines = head.split(ends)
    is_plain = not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    is_plain = is_plain and all(
        _NAME_OF_HEADER.match(line) is not None or (number > 0 and line[:1] in (b" ", b"\t"))
        for number, line in enumerate(lines)
    )
    if not is_plain:
        raise NotTaken(
            "no_sender", "The headers of this mail are not plain. Answer on the case's page instead."
        )


def _sender_of(mail: Message) -> str:
    """Return the one address that the mail is from, in small letters. Raises NotTaken where it is not plainly one."""
    given = [str(value) for name, value in mail.raw_items() if name.lower() == "from"]
    is_one = len(given) == 1 and len(given[0]) <= _LONGEST_FROM
    raw = re.sub(r"[\r\n]+[ \t]+", " ", given[0]).strip() if is_one else ""
    found = _FROM.fullmatch(raw)
    address = (found["named"] or found["alone"]) if found else ""
    if not address or "=?" in address:
        raise NotTaken(
            "no_sender", "This mail does not say plainly who it is from: one address, and nothing else."
        )
    return address.lower()


def _header(mail: Message, name: str) -> str:
    """Return a header's text as it was sent, unfolded; several of the name one after the other."""
    given = (str(value) for key, value in mail.raw_items() if key.lower() == name.lower())
    return " ".join(" ".join(given).split())[:8000]


def _refuse_automatic(mail: Message, sender: str, own: set[str]) -> None:
    submitted = _header(mail, "Auto-Submitted").split(";")[0].strip().lower()
    looks_automatic = (
        (submitted and submitted != "no")
        or _header(mail, "Precedence").strip().lower() in _AUTO_PRECEDENCE
        or any(one in mail for one in ("List-Id", "X-Autoreply", "X-Autorespond", "X-Loop"))
        or _header(mail, "Return-Path").strip() == "<>"
        or sender.split("@")[0] in {"mailer-daemon", "postmaster", "noreply", "no-reply"}
        or mail.get_content_type() == "multipart/report"
    )
    if sender in own:
        raise NotTaken("loop", "This mail is one of the portal's own.", is_dropped=True)
    if looks_automatic:
        raise NotTaken("automatic", "This is an automatic answer, which is not kept.", is_dropped=True)


def _text_of(mail: Message) -> tuple[str, int]:
    plain, html, attachments = "", "", 0
    for number, part in enumerate(mail.walk()):
        if number >= MOST_PARTS:
            raise NotTaken("too_many_parts", "This mail has too many parts. Send the text alone.")
        if any(len(value) > LONGEST_PART_HEADER for key, value in part.raw_items() if _is_about_part(key)):
            raise NotTaken(
                "unreadable", "This is no mail that can be read. Answer on the case's page instead."
            )
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        if (
            part.get_content_disposition() == "attachment"
            or part.get_filename()
            or not kind.startswith("text/")
        ):
            attachments += 1
        elif kind == "text/plain" and not plain:
            plain = _decoded(part)
        elif kind == "text/html" and not html:
            html = _decoded(part)
    return (plain if plain.strip() else _plain_of(html)), attachments


def _is_about_part(header: str) -> bool:
    return header.lower().startswith("content-")


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    charset = part.get_content_charset() or "utf-8"
    try:
        if codecs.lookup(charset).name in _NO_CHARSETS:
            raise LookupError(charset)
        return payload.decode(charset, errors="replace")
    except (LookupError, UnicodeError):
        return payload.decode("utf-8", errors="replace")


# A tag ends at its `>`; a `<` before that is none of it. Each step takes what no other could and gives nothing back, so
# the whole is read once: the parser of the standard library reads on from each `<a` to the end.
_TAG = re.compile(
    r"""<(?P<end>/?)(?P<name>[a-z][a-z0-9]*+)(?:[^<>"']|"[^"<]*+"|'[^'<]*+')*+>""", re.IGNORECASE
)
# Outlook puts this before what it quotes, and the quote is all that follows.
_OUTLOOK_REST = re.compile(r"""\bid=["']?(?:x_)*(?:divRplyFwdMsg|appendonsend)\b""", re.IGNORECASE)
_DECLARED = re.compile(r"<[!?][^<>]*+>")
_SILENT = frozenset({"style", "script", "head", "blockquote", "title"})
_BREAKS = frozenset({"p", "br", "div", "li", "tr", "h1", "h2", "h3"})


def _plain_of(html: str) -> str:
    """Return the words of HTML; quotes (`blockquote`), styles, scripts and comments are left out."""
    html = html[:LONGEST_HTML]
    words: list[str] = []
    silent, at = 0, 0
    while at < len(html):
        opens = html.find("<", at)
        opens = len(html) if opens < 0 else opens
        if not silent:
            words.append(re.sub(r"\s+", " ", unescape(html[at:opens])))
        if html.startswith("<!--", opens):
            ends = html.find("-->", opens + 4)
            at = len(html) if ends < 0 else ends + 3
            continue
        tag = _TAG.match(html, opens)
        at = opens + 1
        if tag is not None:
            at, name = tag.end(), tag["name"].lower()
            if not tag["end"] and _OUTLOOK_REST.search(tag.group()):
                break
            if name in _SILENT:
                silent = max(0, silent - 1) if tag["end"] else silent + 1
            elif name in _BREAKS and not tag["end"] and not silent:
                words.append("\n")
        elif declared := _DECLARED.match(html, opens):
            at = declared.end()
        elif not silent:
            words.append(html[opens : opens + 1])
    return "".join(words)


def _clean(text: str) -> str:
    return made_sound(_CONTROL.sub("", text))


def own_words(text: str) -> str:
    """Return what the sender wrote: without what is quoted below it, without the signature.

    Lines quoted between own ones stay: they are what is answered.
    """
    lines = _clean(text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    kept: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.rstrip("\xa0") in {"-- ", "--"} or _is_outlook_block(lines, number):
            break
        # "On Monday … wrote:", also folded over two lines.
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        heads = 1 if _QUOTE_HEAD.match(line.strip()) else 0
        if not heads and following and len(line) < 200 and _QUOTE_HEAD.match(f"{line.strip()} {following}"):
            heads = 2
        if heads:
            # Whoever answers below what they quote wrote the lines after the marked ones; else the quote is the rest.
            after = _after_marked(lines, number + heads)
            if after is None:
                break
            number = after
            continue
        kept.append(line.rstrip())
        number += 1
    while kept and (not kept[-1].strip() or kept[-1].lstrip().startswith(">")):
        kept.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _is_outlook_block(lines: Sequence[str], number: int) -> bool:
    """Whether the headers that Outlook puts above a quote begin here: who, and of when, to whom and about what at least two.

    One of them is enough below somebody's address. Its HTML leaves empty lines between them.
    """
    if not _OUTLOOK.match(lines[number]):
        return False
    found = (_OUTLOOK_MORE.match(one) for one in lines[number + 1 : number + 9])
    kinds = {one.lastindex for one in found if one is not None}
    return len(kinds) >= (1 if "@" in lines[number] else 2)


def _after_marked(lines: Sequence[str], number: int) -> int | None:
    """Return where a quote marked by ">" that begins here (after empty lines) ends; None where it is not marked so."""
    while number < len(lines) and not lines[number].strip():
        number += 1
    if number == len(lines) or not lines[number].lstrip().startswith(">"):
        return None
    while number < len(lines) and lines[number].lstrip().startswith(">"):
        number += 1
    return number


# --- the address that finds the case ------------------------------------------------------------------------


def reply_address(base: str, case_ref: UUID, key: str) -> str:
    """Return the address under which answers to a case arrive: `support+<case>.<signature>@…`, or "" without a base.

    Base 32, since the part before the @ has at most 64 characters (RFC 5321) and mail systems do not keep its case.
    """
    local, at, domain = base.partition("@")
    return f"{local}+{_base32(case_ref.bytes)}.{_signed(case_ref, key)}@{domain}" if at else ""


def case_of_address(base: str, address: str, key: str) -> UUID | None:
    """Return the case whose reply address this is; None for what we never signed."""
    local, at, domain = base.lower().partition("@")
    found = re.fullmatch(
        rf"{re.escape(local)}\+([a-z2-7]{{26}})\.([a-z2-7]{{16}})@{re.escape(domain)}", address.lower()
    )
    if not at or found is None:
        return None
    ref = UUID(bytes=base64.b32decode(found.group(1).upper() + "======"))
    return ref if hmac.compare_digest(found.group(2), _signed(ref, key)) else None


def _signed(ref: UUID, key: str) -> str:
    return _base32(hmac.new(key.encode(), b"support-case:" + ref.bytes, sha256).digest()[:10])


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()
