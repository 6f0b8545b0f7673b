"""A raw mail is taken in as what its sender wrote, or refused with a sentence; never a traceback. No database."""

from __future__ import annotations

import uuid
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.cases.mail import (
    MOST_BYTES,
    NotTaken,
    case_of_address,
    own_words,
    read_mail,
    reply_address,
)

REF = uuid.UUID("0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11")


def mail(text="We look at it.", *, html="", sender="Jonas Berg <jonas@north.example>", **headers):
    made = EmailMessage()
    made["From"] = sender
    made["To"] = "support@in.portal.example"
    made["Message-ID"] = "<abc@north.example>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    if html:
        made.add_alternative(html, subtype="html")
    return made


def read(made, **options):
    return read_mail(made.as_bytes(), **options)


def outcome(raw):
    """What was read and "", or None and the sentence why not. Anything else that is raised is a bug."""
    try:
        return read_mail(raw), ""
    except NotTaken as refused:
        return None, refused.says


def test_a_mail_says_who_what_and_to_which():
    found = read(
        mail(References="<one@portal.example> <two@portal.example>", In_Reply_To="<two@portal.example>")
    )
    assert found.sender == "jonas@north.example"
    assert found.text == "We look at it."
    assert found.message_id == "abc@north.example"
    assert set(found.references) == {"one@portal.example", "two@portal.example"}
    assert found.to == ("support@in.portal.example",)


def test_a_header_that_is_odd_hides_no_other():
    found = read(mail(Cc="alice@north.example <bob@north.example>", Delivered_To="support@in.portal.example"))
    assert "support@in.portal.example" in found.to


@pytest.mark.parametrize(
    "tail",
    [
        "\n-- \nJonas Berg\nNorth\n",
        "\n> We wait.\n> Still.\n",
        "\nOn Mon, 23 Nov 2026 at 12:00, Steady State <p@portal.example> wrote:\n> We wait.\n",
        "\nOn Mon, 23 Nov 2026 at 12:00, Steady State\n<p@portal.example> wrote:\n> We wait.\n",
        "\nAm 23.11.2026 um 12:00 schrieb Steady State:\n> Wir warten.\n",
        "\n-----Original Message-----\nFrom: a@b.example\nWe wait.\n",
        "\nFrom: Steady State <p@portal.example>\nSent: Monday\nTo: Jonas\nSubject: x\n\nWe wait.\n",
        "\n________________________________\nFrom: x\n",
    ],
)
def test_quotes_below_and_the_signature_are_cut(tail):
    assert own_words("It is done.\n\nSecond line." + tail) == "It is done.\n\nSecond line."


def test_an_answer_between_quoted_lines_keeps_them():
    assert own_words("> Is it down?\nYes.\n> Since when?\nTen.") == "> Is it down?\nYes.\n> Since when?\nTen."


def test_html_alone_is_read_as_words_without_quote_style_and_script():
    made = EmailMessage()
    made["From"] = "jonas@north.example"
    made.set_content(
        "<html><head><style>p{}</style></head><body><p>It is <b>done</b>.</p><script>alert(1)</script>"
        "<div>Second</div><blockquote>We wait.</blockquote></body></html>",
        subtype="html",
    )
    assert read(made).text == "It is done.\nSecond"


def test_attachments_are_counted_and_never_read():
    made = mail()
    made.add_attachment(b"MZ", maintype="application", subtype="octet-stream", filename="a.exe")
    found = read(made)
    assert (found.text, found.attachments) == ("We look at it.", 1)


def test_a_mail_of_nothing_but_attachments_or_quotes_is_refused_with_a_sentence():
    made = mail("> We wait.\n")
    with pytest.raises(NotTaken, match="not quoted"):
        read(made)
    made.add_attachment(b"x", maintype="image", subtype="png", filename="a.png")
    with pytest.raises(NotTaken, match="Attachments are not taken in"):
        read(made)


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated; x=1"},
        {"Precedence": "bulk"},
        {"List_Id": "<news.example>"},
        {"X_Loop": "yes"},
        {"Return_Path": "<>"},
        {"sender": "Mailer <MAILER-DAEMON@north.example>"},
        {"sender": "portal@portal.example"},
    ],
)
def test_loops_and_automatic_answers_are_dropped(headers):
    with pytest.raises(NotTaken) as refused:
        read(mail(**headers), own={"portal@portal.example"})
    assert refused.value.is_dropped


def test_a_person_who_says_that_it_is_no_automatic_answer_is_read():
    assert read(mail(Auto_Submitted="no")).text == "We look at it."


@pytest.mark.parametrize(
    "raw", [b"", b"\n\n", b"just words", b"\xff\xfe\x00", b"From: nobody\n\nHello", b"a" * (MOST_BYTES + 1)]
)
def test_what_is_no_mail_is_refused_with_a_sentence(raw):
    with pytest.raises(NotTaken) as refused:
        read_mail(raw)
    assert refused.value.says.endswith(".")


def test_characters_that_turn_or_hide_are_taken_out():
    assert read(mail("It is \u202edone\u202c.\x07 Now.")).text == "It is done. Now."


_HEADERS = st.sampled_from(
    [
        "From",
        "To",
        "Subject",
        "Content-Type",
        "Content-Transfer-Encoding",
        "References",
        "Message-ID",
        "MIME-Version",
    ]
)
_VALUES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "jonas@north.example",
            "=?utf-8?q?J=F6?= <a@b.example>",
            "=?bogus?x?=?",
            "multipart/mixed; boundary=x",
            "multipart/mixed",
            'text/plain; charset="no-such"',
            "text/html; charset=utf-7",
            "base64",
            "message/rfc822",
            "<" * 40,
            "a@[",
            '"',
        ]
    ),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(_HEADERS, _VALUES), max_size=8), st.binary(max_size=400))
def test_any_bytes_are_taken_in_or_refused_with_a_sentence(headers, body):
    raw = (
        "".join(f"{name}: {value}\r\n" for name, value in headers).encode("utf-8", "surrogatepass")
        + b"\r\n"
        + body
    )
    found, says = outcome(raw)
    if found is None:
        assert says.endswith(".")
    else:
        assert found.text.strip()
        assert "\x00" not in found.text + found.message_id
        found.text.encode()


@given(st.binary(max_size=600))
def test_any_bytes_at_all(raw):
    found, says = outcome(b"From: a@b.example\r\n" + raw)
    assert found is not None or says.endswith(".")


@given(st.uuids(), st.text(max_size=30), st.integers(0, 15))
def test_only_an_address_that_we_signed_finds_its_case(ref, key, place):
    base = "support@in.portal.example"
    address = reply_address(base, ref, key)
    assert case_of_address(base, address.upper(), key) == ref
    assert case_of_address(base, address, key + "x") is None
    local, _, domain = address.partition("@")
    at = len(local) - 1 - place
    forged = local[:at] + ("a" if local[at] != "a" else "b") + local[at + 1 :]
    assert case_of_address(base, f"{forged}@{domain}", key) is None
    assert case_of_address(base, address + ".evil.example", key) is None
    assert case_of_address("", address, key) is None
    assert len(local) <= 64, "RFC 5321 allows no more before the @"


@pytest.mark.parametrize(
    "given",
    [
        "Jonas Berg <jonas@north.example>",
        '"Berg, Jonas" <jonas@north.example>',
        "Jonas (on call) <JONAS@north.example>",
        "jonas@north.example (Jonas)",
        "=?utf-8?q?Jonas_=C3=85?= <jonas@north.example>",
        "Jonas Åström\r\n <jonas@north.example>",
        '"<other@evil.example>" <jonas@north.example>',
    ],
)
def test_who_a_mail_is_from_is_its_one_plain_address(given):
    assert read_mail(f"From: {given}\r\n\r\nYes.".encode()).sender == "jonas@north.example"


@pytest.mark.parametrize(
    "given",
    [
        # An encoded word that is the address, or a part of it: readers before us saw no domain, or another one.
        "=?utf-8?b?am9uYXNAbm9ydGguZXhhbXBsZQ==?=",
        "=?utf-8?b?PGpvbmFzQG5vcnRoLmV4YW1wbGUsPg==?=evil@evil.example",
        "jonas@north.example, evil@evil.example",
        "jonas@north.example;evil@evil.example",
        "evil@evil.example <jonas@north.example>",
        "<evil@evil.example> <jonas@north.example>",
        "<jonas@north.example> evil@evil.example",
        "<@evil.example:jonas@north.example>",
        "team: jonas@north.example;",
        '"jonas"@north.example',
        # KELVIN SIGN: a small k for who asks for small letters.
        "<\u212aate@north.example>",
        "jonas@north.example\r\nFrom: evil@evil.example",
        "jonas@north.example\x00@evil.example",
        '"' + '\\"' * 400 + "<jonas@north.example>",
        "a" * 1000 + " <jonas@north.example>",
        "",
    ],
)
def test_what_could_be_read_as_several_senders_is_from_nobody(given):
    with pytest.raises(NotTaken) as refused:
        read_mail(f"From: {given}\r\n\r\nYes.".encode())
    assert refused.value.code == "no_sender"


# --- large mails ---------------------------------------------------------------------------------------------


def large(text="We look at it.", *, most=5_000_000, **more):
    made = mail(text, **more)
    made.add_attachment(b"\xff\xd8" + bytes(most), maintype="image", subtype="jpeg", filename="site.jpg")
    return made


def test_a_mail_with_a_photo_is_read_without_it():
    found = read(large())
    assert (found.text, found.attachments, found.is_cut) == ("We look at it.", 1, False)


def test_the_text_below_a_photo_is_read_too():
    made = EmailMessage()
    made["From"] = "jonas@north.example"
    made.add_attachment(bytes(3_000_000), maintype="image", subtype="png", filename="a.png")
    made.add_attachment(bytes(3_000_000), maintype="image", subtype="png", filename="b.png")
    made.add_attachment("It is down.", disposition="inline")
    found = read(made)
    assert (found.text, found.attachments) == ("It is down.", 2)


@pytest.mark.parametrize("coding", ["7bit", "base64", "quoted-printable"])
def test_of_a_long_text_the_beginning_is_kept(coding):
    made = EmailMessage()
    made["From"] = "jonas@north.example"
    made.set_content("abcdefghi\n" * 60_000, cte=coding)
    found = read(made)
    assert found.text == ("abcdefghi\n" * 2_000)
    assert found.is_cut


def test_a_mail_over_the_bound_is_refused_with_the_true_bound():
    with pytest.raises(NotTaken, match="more than 10 MiB") as refused:
        read_mail(b"From: a@b.example\r\n\r\n" + b"a" * MOST_BYTES)
    assert refused.value.code == "too_large"


# --- quotes as mail programs write them ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "quoted",
    [
        '<div id="appendonsend"></div><hr><div id="divRplyFwdMsg" dir="ltr"><b>From:</b> Steady State<br><b>Sent:</b> Monday'
        "<br><b>To:</b> Jonas<br></div><div>We wait.</div>",
        "<div id=divRplyFwdMsg>Steady State</div><div>We wait.</div>",
        '<div id="x_divRplyFwdMsg">Steady State</div><div>We wait.</div>',
        "<div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>From:</b> Steady "
        "State<br><b>Sent:</b> Monday, 23 November 2026 12:00<br><b>To:</b> Jonas Berg<br><b>Subject:</b> Case</p></div>"
        "<p>We wait.</p>",
        "<div style='border-top:solid'><p><b>Von:</b> Steady State &lt;p@portal.example&gt; </p><p><b>Gesendet:</b> Montag</p>"
        "<p><b>An:</b> Jonas</p></div><p>We wait.</p>",
    ],
)
def test_what_outlook_quotes_in_html_is_cut(quoted):
    made = EmailMessage()
    made["From"] = "jonas@north.example"
    made.set_content(f"<html><body><p>It is done.</p>\n{quoted}</body></html>", subtype="html")
    assert read(made).text == "It is done."


def test_a_line_that_begins_like_a_header_is_no_quote():
    assert (
        own_words("From: the shop\nIt is slow.\nTo: nobody else")
        == "From: the shop\nIt is slow.\nTo: nobody else"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("On Monday, Steady State wrote:\n> We wait.\n> Still.\n\nIt is done.\n", "It is done."),
        (
            "On Monday, Steady State\n<p@portal.example> wrote:\n\n> We wait.\nIt is done.\n-- \nJonas",
            "It is done.",
        ),
        ("Hello,\n\nOn Monday, Steady State wrote:\n> We wait.\n\nIt is done.", "Hello,\n\n\nIt is done."),
        (
            "Am Montag schrieb Steady State:\n> Seit wann?\nSeit zehn.\n> Wo?\nHier.",
            "Seit zehn.\n> Wo?\nHier.",
        ),
    ],
)
def test_an_answer_below_what_is_quoted_is_kept(text, words):
    assert own_words(text) == words.replace("\n\n\n", "\n\n")
