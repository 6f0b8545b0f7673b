"""Texts that somebody typed, mailed or handed in as a file, made to keep the portal busy: each is read at once.

What these took before was minutes to days, and the whole portal waited, since a pattern that is matched lets no other
thread go on. Each needs a second at most.
"""

from __future__ import annotations

import time

import pytest

from accounts.cases.mail import MOST_BYTES, MOST_READ, NotTaken, own_words, read_mail
from accounts.cases.scrub import MASK, scrub_text
from accounts.changes import check_no_pin
from accounts.contact_files.reading import read_file
from accounts.contacts.hours import spans_from_words
from accounts.names import person_name
from portal.errors import Refused
from portal.events.services import _refuse_personal

MEGABYTE = 1024 * 1024
# Of the processor's time, so that a busy machine is no failure.
LIMIT_S = 4.0


def took(act, *args):
    """Return the seconds of the processor's time that `act` takes, whatever it says; only a fault is raised."""
    began = time.thread_time()
    try:
        act(*args)
    except (Refused, NotTaken, ValueError):
        pass
    return time.thread_time() - began


def filled(part, size=MEGABYTE // 4, *, tail=""):
    return (part * (size // len(part) + 1))[:size] + tail


NOTES = {
    "blanks after digits": "12345678" + " " * MEGABYTE + "x",
    "lines after digits": "12345678" + "\n" * MEGABYTE + "x",
    "digits and blanks": filled("1 "),
    "digits": filled("1", MEGABYTE),
    "half a sentence": filled("1234 is the support ", MEGABYTE),
    "pin": filled("pin ", MEGABYTE),
    "lines of digits": filled("12345678\n", MEGABYTE),
}


@pytest.mark.parametrize("kind", NOTES)
def test_a_pin_is_looked_for_in_a_megabyte_of_notes_at_once(kind):
    assert took(check_no_pin, NOTES[kind]) < LIMIT_S


@pytest.mark.parametrize(
    "text",
    [
        "12345678" + " " * 500 + "is" + "\t" * 500 + "my\n\n\nsupport   pin",
        "pin" + " " * 200 + "\u00a01234",
        "1 2 3 4 pin",
    ],
)
def test_a_pin_is_found_however_many_blanks_are_around_it(text):
    with pytest.raises(Refused, match="PIN"):
        check_no_pin(text)


@pytest.mark.parametrize("part", ["a ", "a", " ", "Mon to ", "Mon,", "08:00 to "])
def test_hours_are_read_at_once(part):
    assert took(spans_from_words, "Mon" + filled(part, tail="x")) < LIMIT_S


@pytest.mark.parametrize("part", ["a", "a.", "aa.", "@", "a@", " a"])
def test_names_and_what_an_event_holds_are_looked_at_at_once(part):
    assert took(person_name, filled(part)) < LIMIT_S
    assert took(_refuse_personal, {"code": filled(part)}) < LIMIT_S


SECRETS = [
    "a-", "x-auth-", "eyJ-", "eyJ", "a.", 'key="', "token", "token ", "key='\\", "-----BEGIN A", "-----END ", "basic ",
    "cookie ", "password=", '"key', "a://", "https://a", 'key="\\', 'key="\n', " ", "=", '"', "secret-", "token=\n",
]  # fmt: skip


@pytest.mark.parametrize("part", SECRETS)
def test_secrets_are_looked_for_at_once(part):
    assert took(scrub_text, filled(part)) < LIMIT_S


@pytest.mark.parametrize(
    "text",
    [
        "a" * 500 + "_password" + "b" * 500 + "=S3CRET",
        "my-key=S3CRET",
        "x" * 200 + "?url=https://a.example/?token=S3CRET",
        '"clientSecret" : "S3CRET"',
        "a-b-c-d://user:S3CRET@host/",
        "api_key='S3CRET' and token=S3CRET",
    ],
)
def test_a_secret_is_found_by_its_name_all_the_same(text):
    assert "S3CRET" not in scrub_text(text)
    assert MASK in scrub_text(text)


# --- mails ---------------------------------------------------------------------------------------------------

FROM = b"From: a@b.example\r\n"
BODY = b"\r\n\r\nhello\r\n"
HTML = FROM + b"To: s@x.example\r\nContent-Type: text/html\r\n\r\n"


def of_size(head, part, tail=BODY, *, most=MOST_READ):
    room = most - len(head) - len(tail)
    return head + (part * (room // len(part) + 1))[:room] + tail


MAILS = {
    **{
        f"HTML {part.decode()!r}": of_size(HTML, part, b"")
        for part in (b"<a ", b"<", b"<!", b"<!--", b"<![", b"<a b=\"", b"<a b='", b"&", b"&#9", b"</", b"<p>", b"<style>", b"<?", b'"')
    },
    **{
        f"{name} {part.decode()!r} {most}": of_size(head, part, most=most)
        # Once as long as what is parsed, once as long as its headers may be.
        for most in (MOST_READ, 60_000)
        for name, head, part in (
            ("From", b"From: ", b'"'),
            ("From", b"From: ", b"a "),
            ("From", b"From: ", b"a@b.example,"),
            ("To", FROM + b"To: ", b"a,"),
            ("To", FROM + b"To: ", b'"'),
            ("To", FROM + b"To: ", b"("),
            ("To", FROM + b"To: ", b"<"),
            ("To", FROM, b"To: a\r\n"),
            ("To", FROM, b"To: \"\"\"\"\"\r\n"),
            ("Message-ID", FROM + b"Message-ID: <", b"a."),
            ("References", FROM + b"References: ", b"<a@b> "),
            ("Content-Type", FROM + b"Content-Type: text/plain; ", b"a=b; "),
            ("Content-Type", FROM + b"Content-Type: text/plain; a=", b'"'),
            ("Content-Type", FROM + b"Content-Type: text/plain; ", b"a*0=b;"),
            ("Content-Disposition", FROM + b"Content-Disposition: inline; ", b"a=b; "),
            ("Precedence", FROM + b"Precedence: ", b"=?utf-8?q?a?= "),
        )
    },
    **{
        f"text in {charset.decode()}": of_size(FROM + b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\n", b"b-b", b"")
        for charset in (b"punycode", b"idna", b"unicode_escape", b"utf-7", b"utf-16", b"hz")
    },
    **{
        f"text {part.decode()!r}": of_size(FROM + b"\r\n", part, b"")
        for part in (b"on " * 60 + b"\n", b"am " + b"schrieb " * 24 + b"\n", b"> \n", b"-", b" ", b"_", b"from: ", b"\n", b"on wrote: ")
    },
    "a sender that is no address": b"From: " + b"a " * 480 + BODY,
    "a sender of words without an end": b"From: " + b"a" * 990 + BODY,
    "a sender of quotes": b"From: " + b'"a"' * 330 + BODY,
    "parts in parts": FROM
    + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n"
    + b"".join(b"--a\r\nContent-Type: multipart/mixed; boundary=a%d\r\n\r\n" % n for n in range(4000)),
    "parts": of_size(FROM + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n", b"--a\r\n\r\n", b""),
    "long parts": FROM
    + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n"
    + 45 * (b'--a\r\nContent-Type: text/x; ' + b'a="b;' * 380 + b"\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MAILS)
def test_a_strangers_mail_is_read_at_once(kind):
    assert len(MAILS[kind]) <= MOST_READ
    assert took(read_mail, MAILS[kind]) < LIMIT_S


MIXED = FROM + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (FROM + b"\r\n", b"a"),
        (FROM + b"\r\n", b"\n"),
        (FROM + b"\r\n", b"\n--"),
        (FROM + b"\r\n", b"> \n"),
        (FROM + b"\r\n", b"on a wrote:\n> b\n"),
        (FROM, b"To: a\r\n"),
        (FROM + b"X: ", b"\n--"),
        (HTML, b"<div id="),
        (MIXED, b"--a\r\n\r\n"),
        (MIXED, b"\n--a\n" + b"\r\n\r" * 40_000),
        (MIXED, b"\n--a\n" + b"content-type: " * 4_000 + b"\n\nx"),
        (MIXED, b"--a\r\nContent-Type: text/plain\r\n\r\n" + b"a" * 33_000 + b"\r\n"),
        (MIXED, b"--a\r\nContent-Type: image/png\r\n\r\n" + b"a" * 33_000 + b"\r\n"),
    ],
)
def test_a_mail_as_long_as_one_may_be_is_read_at_once(head, part):
    assert took(read_mail, of_size(head, part, b"", most=MOST_BYTES)) < LIMIT_S


@pytest.mark.parametrize(
    "part", ["on a wrote:\n", "on a wrote:\n> \n", "from: a\n", "\n", "on a wrote:\n\n\n\n"]
)
def test_quotes_are_looked_for_at_once(part):
    assert took(own_words, filled(part)) < LIMIT_S


def test_the_text_of_a_mail_that_answers_nothing_of_ours_is_not_read():
    asked = []
    with pytest.raises(NotTaken) as refused:
        # Else it would be refused for having no text.
        read_mail(
            FROM + b"To: s@x.example\r\nReferences: <1@x> <2@x>\r\n\r\n",
            answers=lambda *what: asked.append(what),
        )
    assert refused.value.code == "no_case"
    assert asked == [(("s@x.example",), ("1@x", "2@x"))]


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("1 < 2 &amp; 3 &gt; 2", "1 < 2 & 3 > 2"),
        ('<p title="a > b">It is</p><P>done<br/>now', "It is\ndone\nnow"),
        ("<!-- <p>hidden --> <![if !mso]>shown<![endif]><!DOCTYPE html>", "shown"),
        ("<div>a <b>b</b></div><blockquote>quoted<blockquote>twice</blockquote></blockquote> c", "a b c"),
        ("said <!-- never closed <p>hidden", "said"),
        ("I <3 it", "I <3 it"),
    ],
)
def test_html_is_read_as_its_words(html, words):
    assert read_mail(HTML + html.encode()).text == words


# --- files ---------------------------------------------------------------------------------------------------

CARD = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Maja\r\n{}\r\nEND:VCARD\r\n"
LINES = {
    "parameters without a value after them": "TEL" + ";A=B" * 20_000,
    "few parameters without a value after them": "TEL" + ";A=B" * 30,
    "values of a parameter": "TEL;A=" + "B," * 20_000,
    "quoted values": "TEL;A=" + '"B",' * 20_000,
    "quotes": "TEL;A=" + '"' * 20_000,
    "a long name": "A" * MEGABYTE,
    "groups": "A." * 20_000,
    "empty parameters": "TEL" + ";" * 20_000,
    "parts of a name": "N:" + ";" * 9_000,
    "further names": "N:" + "," * 9_000,
    "backslashes": "N:" + "\\" * 9_000,
    "organizations": "ORG:" + "a;" * 4_500,
    "categories": "CATEGORIES:" + "a," * 4_500,
    "a folded note": "NOTE:a" + "\r\n a" * 200_000,
    "a folded name": "FN:a" + "\r\n a" * 4_500,
    "soft breaks": "FN;ENCODING=QUOTED-PRINTABLE:" + "a=\r\n" * 3_000,
    "numbers": "TEL:1\r\n" * 490,
    "too many numbers": "TEL:1\r\n" * 100_000,
    "a photo": "PHOTO;ENCODING=b:" + "A" * MEGABYTE,
    "cards in a card": "BEGIN:A\r\n" * 490,
    "parameters": "TEL" + ";A=B" * 2_400 + ":+46701234567",
    "quotes in a row": "TEL;A=" + '"B",' * 1_600 + ":+46701234567",
    "a zone": "TZ:" + "1" * 9_000,
}


@pytest.mark.parametrize("kind", LINES)
def test_a_card_is_read_at_once(kind):
    assert took(read_file, CARD.format(LINES[kind]).encode()) < LIMIT_S


def test_a_card_whose_line_has_no_value_is_named_with_the_line():
    read = read_file(CARD.format("TEL;TYPE=work;TYPE=voice").encode())
    assert [(one.line, one.says) for one in read.problems] == [
        (1, "This card cannot be read (line 4: no name with a value after a colon).")
    ]


@pytest.mark.parametrize("part", [",", ";", '"', "\n", "a,", '"",', "a\n"])
def test_a_table_is_read_at_once(part):
    for head in ("name,email\n", "name,"):
        assert took(read_file, (head + filled(part, MEGABYTE)).encode()) < LIMIT_S
