"""Form, API, import and service agree about what is a good contact, and what they took goes out and in unchanged."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from accounts.contact_files.entries import Findings, entry_from
from accounts.contact_files.services import known_contacts, preview_of_rows
from accounts.contact_files.writers import to_csv, to_vcards
from accounts.contacts.fields import LONGEST, ROLES, clean_text
from accounts.contacts.forms import ContactForm
from accounts.contacts.serializers import ContactIn
from accounts.contacts.services import write_fields
from accounts.models import Account, Contact
from portal.errors import Refused

GOOD = {"name": "Maja Lindgren", "email": "maja@x.example", "time_zone": "Europe/Stockholm"}


def by_form(**said):
    form = ContactForm({"escalation_order": "1", **GOOD, **said})
    return form.fields_of() if form.is_valid() else dict(form.errors)


def by_api(**said):
    checked = ContactIn(data={**GOOD, **said})
    return dict(checked.validated_data) if checked.is_valid() else dict(checked.errors)


def by_import(**said):
    findings = Findings()
    told = {"timezone" if name == "time_zone" else name: text for name, text in {**GOOD, **said}.items()}
    entry = entry_from(2, told, findings)
    return entry.says() if entry is not None else {one.field: one.says for one in findings.problems}


# --- each rule, by whichever way ----------------------------------------------------------------------------

IN_FILES = [name for name in LONGEST if name != "no_phone_because"]
WAYS = [by_form, by_api, by_import]
TAGS = [
    "de",
    "de-CH",
    "pt-BR",
    "zh-Hant-TW",
    "sl-Latn-IT-nedis",
    "de-CH-1996",
    "es-419",
    "de-DE-u-co-phonebk",
]
NO_TAGS = ["german", "d", "de_CH", "de--CH", "en-", "x-private", "de-CH-toolongsubtag", "1e", "de ch"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tag", TAGS)
def test_a_language_is_a_tag_of_bcp_47(way, tag):
    assert way(language=tag)["language"] == tag


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tag", NO_TAGS)
def test_what_is_no_language_tag_is_refused_at_its_field(way, tag):
    assert "no language tag" in str(way(language=tag)["language"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in IN_FILES if name not in ("email", "language")])
def test_a_text_is_as_long_as_its_field_and_no_longer(way, name):
    fits = "a" * LONGEST[name]
    assert way(**{name: fits}).get(name, fits) == fits
    assert "characters" in str(way(**{name: fits + "a"})[name])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["title", "organization", "external_id", "name"])
def test_a_text_of_one_line_is_kept_as_one(way, name):
    assert way(**{name: " Head\r\nof\u2028 shop "}).get(name, "Head of shop") == "Head of shop"


@pytest.mark.parametrize("way", WAYS)
def test_notes_keep_their_lines(way):
    assert way(notes=" first\r\nsecond ")["notes"] == "first\nsecond"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["title", "notes", "name"])
@pytest.mark.parametrize("text", ["a\x07b", "a\x1b[1mb"])
def test_what_cannot_be_seen_is_no_text(way, name, text):
    assert "invisible character" in str(way(**{name: text})[name])


@pytest.mark.parametrize("way", [by_form, by_api])
def test_an_id_of_our_own_exports_is_no_id_of_another_list(way):
    said = way(external_id="urn:uuid:0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11")
    assert "exports of this portal" in str(said["external_id"])


def test_what_was_kept_before_a_rule_was_made_does_not_hinder_another_change():
    contact = Contact(
        account=Account(), name="x" * 100, language="german", title="two\nlines", email="a@x.example"
    )
    write_fields(contact, {"phone": "+46701234567", "language": "german"})
    assert (contact.phone, contact.language) == ("+46701234567", "german")
    with pytest.raises(Refused, match="no language tag"):
        write_fields(contact, {"language": "swedish"})


# --- what does not fit together -------------------------------------------------------------------------------

NINE_TO_NINE = [{"day": 0, "from": "09:00", "until": "09:00"}]


def test_hours_from_nine_to_nine_are_refused_by_form_api_and_service():
    says = "begins and ends at the same time"
    assert says in str(by_form(hours="weekly", weekly_hours="Mon 09:00 to 09:00")["weekly_hours"])
    assert says in str(by_api(hours="weekly", weekly_hours=NINE_TO_NINE)["weekly_hours"])
    with pytest.raises(Refused, match=says):
        write_fields(Contact(account=Account()), {"hours": "weekly", "weekly_hours": NINE_TO_NINE})


def test_midnight_to_midnight_is_a_whole_day_by_form_and_api():
    whole = [{"day": 0, "from": "00:00", "until": "00:00"}]
    assert by_form(hours="weekly", weekly_hours="Mon 00:00 to 24:00")["weekly_hours"] == whole
    assert [dict(one) for one in by_api(hours="weekly", weekly_hours=whole)["weekly_hours"]] == whole


def test_hours_that_were_kept_before_the_rule_do_not_hinder_another_change():
    contact = Contact(account=Account(), hours="weekly", weekly_hours=NINE_TO_NINE, email="a@x.example")
    write_fields(contact, {"title": "Head"})
    assert (contact.title, contact.weekly_hours) == ("Head", NINE_TO_NINE)


CONFLICTS = [
    (
        {"phone": "+46701234567", "no_phone_because": "works at sea"},
        "no_phone_because",
        "Take one of the two out",
    ),
    ({"preferred_channel": "phone"}, "preferred_channel", "Give the number"),
    ({"preferred_channel": "sms"}, "preferred_channel", "Give the number"),
    (
        {"preferred_channel": "mail", "email": "", "phone": "+46701234567"},
        "preferred_channel",
        "Give the address",
    ),
]


@pytest.mark.parametrize(("said", "name", "says"), CONFLICTS)
def test_what_does_not_fit_together_is_refused_by_form_api_and_service(said, name, says):
    assert says in str(by_form(**said)[name])
    assert says in str(by_api(**said)[name])
    with pytest.raises(Refused, match=says):
        write_fields(Contact(account=Account()), {**GOOD, **said})


def test_a_file_that_brings_a_number_ends_the_answer_that_there_is_none():
    contact = Contact(
        account=Account(), name="Maja", email="maja@x.example", no_phone_because="works at sea", pk=1
    )
    text = "name,email,phone\r\nMaja,maja@x.example,+46701234567\r\n"
    assert preview_of_rows(text, [contact], contact.account).is_ready
    assert (contact.phone, contact.no_phone_because) == ("+46701234567", "")


@pytest.mark.parametrize("changes", [{"phone": ""}, {"phone": "", "more_phones": []}])
def test_the_number_of_who_likes_to_be_called_is_not_just_taken_away(changes):
    contact = Contact(
        account=Account(), name="Maja", email="m@x.example", phone="+46701234567", preferred_channel="phone"
    )
    with pytest.raises(Refused, match="choose another way"):
        write_fields(contact, changes)
    write_fields(contact, {**changes, "preferred_channel": "mail"})
    assert contact.phone == ""


# --- there and back ------------------------------------------------------------------------------------------

ODD = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\t\n\r\\\"',;:=+-@ \u2028\x85\x0b\x1c\ufeffäÅ\U0001f600"),
    ),
    max_size=12,
)
PHONES = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
MAILS = st.one_of(
    st.emails(),
    st.from_regex(r"[a-z=+'{|}!#$%&*/?^_`~-]{1,8}@[a-z]{1,5}\.example", fullmatch=True),
    st.just('"odd\\ one"@x.example'),
)
SAID = st.fixed_dictionaries(
    {"name": st.one_of(ODD, st.from_regex(r"[A-Z][a-zåäö]{1,8} [A-Z][a-z;,\\']{1,8}", fullmatch=True))},
    optional={
        "title": ODD,
        "organization": ODD,
        "email": MAILS,
        "phone": PHONES,
        "more_phones": st.lists(PHONES, max_size=6),
        "roles": st.lists(st.sampled_from(ROLES), max_size=6),
        "escalation_order": st.integers(-1, 1001),
        "time_zone": st.sampled_from(["Europe/Berlin", "UTC", "Etc/GMT+5", "nowhere"]),
        "language": st.one_of(ODD, st.sampled_from([*TAGS, *NO_TAGS])),
        "external_id": st.one_of(ODD, st.just("urn:uuid:0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11")),
        "notes": ODD,
    },
)


def kept(fields):
    """Return a contact with these fields as the service would keep it, or leave the example out."""
    contact = Contact(account=Account(name="Lindgren", time_zone="UTC"), pk=1)
    try:
        write_fields(contact, fields)
    except Refused:
        assume(False)
    return contact


def goes_out_and_in_unchanged(contact):
    for write in (to_csv, to_vcards):
        text = b"".join(write(known_contacts([contact]))).decode()
        if not contact.roles and write is to_vcards:
            continue
        preview = preview_of_rows(text, [contact], contact.account)
        assert not preview.problems, preview.problems
        planned = preview.planned
        assert (planned.added, planned.changed, planned.same) == ((), (), 1), planned.changed


def without(said, wrong):
    """Return what is left once everything that was refused is taken out: most examples have one odd field too many."""
    return {**GOOD, **{name: value for name, value in said.items() if name not in wrong}}


@given(SAID)
def test_what_the_api_took_is_exported_and_imported_without_a_change(said):
    said = without(said, errors_of(ContactIn(data=said)))
    checked = ContactIn(data=said)
    assume(checked.is_valid())
    goes_out_and_in_unchanged(kept(checked.validated_data))


def errors_of(checked):
    checked.is_valid()
    return set(checked.errors)


@given(SAID)
def test_what_the_form_took_is_exported_and_imported_without_a_change(said):
    typed = {"escalation_order": 1, **said, "more_phones": "\n".join(said.get("more_phones", ()))}
    typed = without(typed, errors_of(ContactForm(typed)) - {"__all__"})
    form = ContactForm({"escalation_order": 1, **typed})
    assume(form.is_valid())
    goes_out_and_in_unchanged(kept(form.fields_of()))


@given(st.sampled_from(sorted(LONGEST)), ODD)
def test_a_text_that_was_cleaned_is_clean(name, text):
    try:
        once = clean_text(name, text)
    except Refused:
        assume(False)
    assert clean_text(name, once) == once
