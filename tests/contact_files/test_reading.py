"""Files of contacts are taken in right, or refused with a sentence: never a traceback, never a guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.contact_files.entries import MOST_BYTES, MOST_ENTRIES, Entry, FileRead
from accounts.contact_files.reading import read_file, read_text
from portal.errors import Refused

OURS = "external_id,name,email,phone,role,priority,timezone,language,organization,notes\r\n"


def only(read: FileRead) -> Entry:
    assert not read.problems, read.problems
    assert len(read.entries) == 1
    return read.entries[0]


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        read_file(data)
    return caught.value.says


def problem(text: str) -> tuple[int, str, str]:
    (found,) = read_text(text).problems
    return found.line, found.field, found.says


# --- CSV ---------------------------------------------------------------------------------------------------


def test_our_own_columns_are_read_whole():
    text = OURS + (
        'hr-7,Maja Lindgren,maja@lindgren.example,+46 (70) 123-45 67,"primary; emergency",2,Europe/Stockholm,'
        'sv,Lindgren Outdoor,"knows the shop,\nnot the mail"\r\n'
    )
    assert only(read_text(text)) == Entry(
        line=2,
        name="Maja Lindgren",
        external_id="hr-7",
        email="maja@lindgren.example",
        phone="+46701234567",
        roles=("primary", "emergency"),
        priority=2,
        time_zone="Europe/Stockholm",
        language="sv",
        organization="Lindgren Outdoor",
        notes="knows the shop,\nnot the mail",
    )


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_byte_order_mark_the_separator_and_the_line_ends_do_not_matter(mark, between, end):
    text = end.join([between.join(["name", "email"]), between.join(["Åsa", "asa@x.example"]), ""])
    assert only(read_file(mark + text.encode())).name == "Åsa"


def test_what_the_file_does_not_speak_of_is_none_and_an_empty_cell_says_nothing():
    entry = only(read_text("name,email,title\r\nMaja,maja@x.example,\r\n"))
    assert (entry.title, entry.roles, entry.priority, entry.notes) == (None, None, None, None)
    assert entry.says() == {"name": "Maja", "email": "maja@x.example"}


def test_columns_of_netbox_are_known_and_its_priorities_too():
    read = read_text(
        "name,title,phone,email,address,link,role,priority\r\n"
        "Maja,Head,+46701234567,maja@x.example,Street 1,https://x.example,technical,secondary\r\n"
        "Old,Head,+46701234568,old@x.example,,,technical,inactive\r\n"
    )
    assert only(read).priority == 2
    assert "The column “address” is not needed for support" in read.left_out
    assert "Contacts that are marked as inactive" in read.left_out


def test_alternate_contacts_of_aws_are_known_and_one_person_may_have_two_of_them():
    read = read_text(
        "type,name,title,email_address,phone_number\r\n"
        "OPERATIONS,Maja,Head,maja@x.example,+46701234567\r\n"
        "SECURITY,Maja,Head,maja@x.example,+46701234567\r\n"
    )
    assert only(read).roles == ("technical", "security")


def test_essential_contacts_of_google_have_no_names_and_prove_nothing():
    read = read_text(
        "email,language_tag,notification_category_subscriptions,validation_state,validate_time\r\n"
        'ops@x.example,en,"TECHNICAL,LEGAL,SUSPENSION",VALID,2026-01-01T00:00:00Z\r\n'
    )
    entry = only(read)
    assert (entry.name, entry.is_nameless) == ("ops", True)
    assert entry.roles == ("primary", "technical")
    assert "name" not in entry.says()
    assert "“legal” is no role here" in read.left_out


def test_the_apostrophe_that_guards_a_formula_is_taken_off_again():
    assert only(read_text("name,email,notes\r\nMaja,m@x.example,'=1+1\r\n")).notes == "=1+1"
    assert only(read_text("name,email,notes\r\nMaja,m@x.example,'tis\r\n")).notes == "'tis"


@pytest.mark.parametrize(
    ("row", "field", "hint"),
    [
        ("Maja,maja at x,,,,,", "email", "is no mail address"),
        ("Maja,,070-123 45 67,,,,", "phone", "country code"),
        ("Maja,m@x.example,,boss,,,", "role", "There are primary, technical"),
        ("Maja,m@x.example,,,0,,", "priority", "from 1 to 999"),
        ("Maja,m@x.example,,,,Mars/Base,", "timezone", "Europe/Berlin"),
        ("Maja,m@x.example,,,,,Swedish language", "language", "BCP 47"),
        (",m@x.example,,,,,", "name", "missing"),
        ("www.maja.example,m@x.example,,,,,", "name", "no web or mail address"),
        ("maja@x.example,,+46701234567,,,,", "name", "an address belongs into the field for it"),
        ("Maja,m@x.example,,,,,,too,many", "", "header 7"),
        (f"{'M' * 81},m@x.example,,,,,", "name", "80 characters"),
    ],
)
def test_each_row_that_is_wrong_says_what_to_do(row, field, hint):
    text = "name,email,phone,role,priority,timezone,language\r\nPer,per@x.example,,,,,\r\n" + row + "\r\n"
    line, name, says = problem(text)
    assert (line, name) == (3, field)
    assert hint in says


def test_two_rows_of_one_contact_that_disagree_are_not_guessed_at():
    line, _, says = problem(
        "external_id,name,email\r\n1,Maja,a@x.example\r\n2,Per,p@x.example\r\n1,Maja,b@x.example\r\n"
    )
    assert line == 4
    assert "Line 2 is the same contact with another email" in says


def test_a_quote_that_is_not_closed_is_named_with_its_line():
    line, _, says = problem('name,email\r\nMaja,m@x.example\r\nPer,"p@x.example\r\n')
    assert line == 3
    assert "quote that is not closed" in says


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "empty"),
        (b"\r\n \r\n", "empty"),
        (b"hello world", "must name the columns"),
        (b"name,email\r\n", "no contact below"),
        (
            b"PK\x03\x04\x14\x00\x06\x00\xff\xfe",
            "This is a spreadsheet file: save it as CSV and take that in.",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "This is a spreadsheet file"),
        (b"name,Name,email\r\nx,y,z@x.example", "Two columns give the name"),
        ("name,email\r\nÅsa,a@x.example".encode("latin-1"), "not written in UTF-8 (line 2)"),
        ("name,email\r\nÅsa,a@x.example".encode("utf-16"), "not written in UTF-8 (line 1)"),
        (b"name,email\r\na\x00b,a@x.example", "Line 2 holds an invisible character"),
        ("name,email\r\na\u202eb,a@x.example".encode(), "Line 2 holds an invisible character"),
        (b"x" * (MOST_BYTES + 1), "up to 5 MB"),
        (b"name,email\r\n" + b"a,a@x.example\r\n" * (MOST_ENTRIES + 1), "more than 10,000"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(data, hint):
    says = refusal(data)
    assert hint in says
    assert "Nothing was taken in." in says


# --- vCard -------------------------------------------------------------------------------------------------


def card(*properties: str, version: str = "4.0") -> str:
    return "\r\n".join(["BEGIN:VCARD", f"VERSION:{version}", *properties, "END:VCARD", ""])


def test_a_card_of_version_4_gives_what_support_needs_and_nothing_else():
    read = read_text(
        card(
            "UID:urn:uuid:0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11",
            "FN:Maja Lindgren",
            "N:Lindgren;Maja;;;",
            "TEL;VALUE=uri;PREF=2:tel:+46-70-123-45-68",
            'TEL;VALUE=uri;TYPE="voice,cell";PREF=1:tel:+46-70-123-45-67;ext=5',
            "EMAIL:maja@lindgren.example",
            "TITLE:Head of operations\\, all of th",
            " em",
            "ORG:Lindgren;Shop",
            "TZ:Europe/Stockholm",
            "LANG;PREF=1:sv",
            "CATEGORIES:support-contact,primary,golf",
            "NOTE:likes golf",
            "BDAY:19700101",
            "PHOTO:data:image/png;base64,AAAA",
        )
    )
    assert only(read) == Entry(
        line=1,
        name="Maja Lindgren",
        external_id="urn:uuid:0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11",
        title="Head of operations, all of them",
        email="maja@lindgren.example",
        phone="+46701234567",
        more_phones=("+46701234568",),
        roles=("primary",),
        time_zone="Europe/Stockholm",
        language="sv",
        organization="Lindgren",
    )
    assert {"Notes: not needed for support", "Birthdays: not needed for support"} <= set(read.left_out)
    assert "golf" not in repr(read)


def test_a_card_of_version_3_as_phones_write_it_is_read_too():
    read = read_text(
        card(
            "N:Åberg;Per;Olof;;",
            "FN:",
            "item1.TEL;TYPE=CELL:+46 70 1234568",
            "TEL;TYPE=WORK,pref:+46 8 123 456",
            "EMAIL;TYPE=INTERNET;TYPE=pref:per@x.example",
            version="3.0",
        )
    )
    entry = only(read)
    assert (entry.name, entry.phone, entry.more_phones) == ("Per Olof Åberg", "+468123456", ("+46701234568",))


def test_groups_and_places_are_nobody_to_call():
    read = read_text(card("FN:Ops", "KIND:group", "MEMBER:urn:uuid:x") + card("FN:Maja", "EMAIL:m@x.example"))
    assert only(read).name == "Maja"
    assert any("Cards of a group" in says for says in read.left_out)


def test_one_broken_card_spoils_no_other_and_is_named_by_its_line():
    read = read_text(
        card("FN:Maja", "EMAIL:m@x.example") + card("no colon here") + card("FN:Per", "EMAIL:p@x.example")
    )
    assert [entry.name for entry in read.entries] == ["Maja", "Per"]
    assert [(one.line, "cannot be read" in one.says) for one in read.problems] == [(6, True)]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Maja\r\n", "does not end"),
        ("BEGIN:VCARD\r\nVERSION:4.0\r\n" + card("FN:Maja", "EMAIL:m@x.example"), "before the next one"),
        (card("FN:Maja", "EMAIL:m@x.example") + "END:VCARD\r\n", "did not begin"),
        (card("FN:Maja", "EMAIL:m@x.example") + "hello\r\n", "outside of any card"),
        (card("FN:Maja", version="2.1"), "version 2.1"),
        (card("EMAIL:m@x.example"), "name is missing"),
    ],
)
def test_a_card_that_is_wrong_says_what_to_do(text, hint):
    assert hint in problem(text)[2]


# --- anything at all ---------------------------------------------------------------------------------------


def taken_in_or_refused(read, given) -> None:
    """What must hold of any file: contacts that the database can hold, or sentences."""
    says, found = "", FileRead("", ())
    try:
        found = read(given)
    except Refused as refused:
        says = refused.says
    assert says.endswith("Nothing was taken in.") or found.entries or found.problems or found.left_out
    for entry in found.entries:
        assert 1 <= len(entry.name) <= 80
        assert entry.line >= 1
    for one in found.problems:
        assert one.says.endswith((".", "?"))


@given(st.binary(max_size=400))
def test_any_bytes_are_taken_in_right_or_refused_with_a_sentence(data):
    taken_in_or_refused(read_file, data)


_CELLS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "",
            "Maja",
            "m@x.example",
            "+46701234567",
            "primary;security",
            "1",
            "Europe/Berlin",
            "'=1",
            '"',
            "\n",
            ";",
            "\x85",
            "\u2028",
        ]
    ),
)


@given(
    st.lists(
        st.sampled_from([*OURS.strip().split(","), "title", "more_phones", "junk", ""]),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.lists(_CELLS, max_size=13), max_size=6),
    st.sampled_from([",", ";", "\t"]),
)
def test_any_table_is_taken_in_right_or_refused_with_a_sentence(header, rows, between):
    text = "\r\n".join(between.join(row) for row in [header, *rows])
    taken_in_or_refused(read_text, text)


_LINES = st.one_of(
    st.text(max_size=40),
    st.builds(
        "{}{}:{}".format,
        st.sampled_from(
            [
                "FN",
                "N",
                "TEL",
                "EMAIL",
                "ORG",
                "TITLE",
                "TZ",
                "LANG",
                "CATEGORIES",
                "UID",
                "KIND",
                "X-PRIORITY",
                "PHOTO",
                "AGENT",
                "BEGIN",
                "END",
                "VERSION",
            ]
        ),
        st.sampled_from(
            [
                "",
                ";PREF=1",
                ";PREF=x",
                ";TYPE=pref",
                ";VALUE=uri",
                ";ENCODING=b",
                ";ENCODING=QUOTED-PRINTABLE",
                ';X="',
                ";CHARSET=nope",
            ]
        ),
        st.one_of(_CELLS, st.sampled_from(["tel:+46701234567", ";;;;", "a,b", "VCARD", "\\", "=C3", "%%%"])),
    ),
)


@given(
    st.lists(st.lists(_LINES, max_size=6), min_size=1, max_size=3),
    st.sampled_from(["3.0", "4.0", "2.1", "x"]),
)
def test_any_cards_are_taken_in_right_or_refused_with_a_sentence(cards, version):
    text = "".join(card(*lines, version=version) for lines in cards)
    taken_in_or_refused(read_text, text)
