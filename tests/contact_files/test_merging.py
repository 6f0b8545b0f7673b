"""What an import would do is told before, doing it twice changes nothing, and who is meant is never guessed."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

from hypothesis import example, given
from hypothesis import strategies as st

from accounts.contact_files.entries import Entry
from accounts.contact_files.merge import Known, Planned, plan_import
from accounts.contact_files.reading import read_text
from accounts.contact_files.writers import to_csv, to_vcards
from accounts.contacts.fields import ROLES
from accounts.names import person_name
from portal.errors import Refused

MAJA = Known(UUID(int=1), "Maja Lindgren", email="maja@x.example", phone="+46701234567", roles=("primary",))
PER = Known(UUID(int=2), "Per Åberg", external_id="hr-2", email="per@x.example")


def entry(line: int = 2, **said: object) -> Entry:
    return Entry(line=line, **said)  # type: ignore[arg-type]


def test_a_contact_whom_nobody_knows_is_added():
    new = entry(name="Åsa", email="asa@x.example")
    assert plan_import([new], [MAJA]) == Planned(added=(new,))


def test_mail_and_name_find_a_contact_whatever_their_case_and_only_what_differs_changes():
    plan = plan_import([entry(name="maja  lindgren", email="MAJA@x.example", title="Head")], [MAJA])
    (change,) = plan.changed
    assert (change.known, dict(change.becomes)) == (MAJA, {"name": "maja  lindgren", "title": "Head"})
    assert change.was == {"name": "Maja Lindgren", "title": ""}


def test_a_new_number_is_named_as_unproven():
    (change,) = plan_import([entry(name=MAJA.name, email=MAJA.email, phone="+46701234599")], [MAJA]).changed
    assert change.loses_proof == ("phone",)


def test_a_first_number_takes_no_proof_away():
    (change,) = plan_import([entry(name=PER.name, email=PER.email, phone="+46701234599")], [PER]).changed
    assert change.loses_proof == ()


def test_the_id_finds_a_contact_under_a_new_name_and_address():
    plan = plan_import([entry(name="Per Berg", external_id="hr-2", email="berg@x.example")], [PER])
    assert dict(plan.changed[0].becomes) == {"name": "Per Berg", "email": "berg@x.example"}


def test_the_id_of_our_own_export_finds_the_contact_and_is_not_kept_as_a_foreign_one():
    plan = plan_import([entry(name="Maja L", external_id=f"urn:uuid:{MAJA.ref}", email=MAJA.email)], [MAJA])
    assert dict(plan.changed[0].becomes) == {"name": "Maja L"}


def test_the_id_of_another_accounts_export_finds_nobody():
    plan = plan_import([entry(name="Maja", external_id=f"urn:uuid:{uuid4()}", email="new@x.example")], [MAJA])
    assert [one.name for one in plan.added] == ["Maja"]


def test_a_shared_mailbox_is_not_taken_for_its_first_reader():
    plan = plan_import([entry(name="Per", email="maja@x.example")], [MAJA])
    assert "if two people share the mailbox, give this line an external_id" in plan.problems[0].says
    with_id = plan_import([entry(name="Per", email="maja@x.example", external_id="7")], [MAJA])
    assert [one.name for one in with_id.added] == ["Per"]


def test_two_people_under_one_address_in_a_file_are_asked_about_as_with_one_who_is_here():
    ada, bo = entry(2, name="Ada", email="shop@x.example"), entry(3, name="Bo", email="Shop@X.example")
    (problem,) = plan_import([ada, bo], []).problems
    assert (problem.line, problem.field) == (3, "name")
    assert "is the mail address of Ada in line 2" in problem.says
    assert "if two people share the mailbox, give this line an external_id" in problem.says
    assert len(plan_import([ada, replace(bo, external_id="7")], []).added) == 2
    assert plan_import([replace(ada, external_id="7"), bo], []).problems[0].line == 3
    # Nor by the way of somebody here who is given the address by their number or id.
    moved = entry(3, name=PER.name, phone="+46701234501", email="shop@x.example")
    assert plan_import([ada, moved], [replace(PER, external_id="", phone="+46701234501")]).problems
    # Two who share a mailbox here already are who they are.
    here = [replace(MAJA, ref=UUID(int=n), name=one.name, email=ada.email) for n, one in ((5, ada), (6, bo))]
    assert not plan_import([ada, bo], here).problems


def test_what_fits_two_contacts_is_a_problem():
    twin = replace(MAJA, ref=UUID(int=3))
    plan = plan_import([entry(name=MAJA.name, email=MAJA.email)], [MAJA, twin])
    assert "There are 2 contacts here that this could be" in plan.problems[0].says


def test_two_lines_for_one_contact_are_a_problem():
    plan = plan_import(
        [
            entry(2, name=PER.name, email=PER.email),
            entry(3, name="Per", external_id="hr-2"),
        ],
        [PER],
    )
    assert plan.problems[0].line == 3
    assert "Line 2 is the same contact (Per Åberg)" in plan.problems[0].says


def test_whoever_cannot_be_reached_is_a_problem_unless_known():
    assert plan_import([entry(name="Åsa")], []).problems[0].field == "email"
    assert plan_import([entry(name="Per", external_id="hr-2")], [PER]).changed


def test_a_namesake_stays_two_and_the_preview_says_so():
    plan = plan_import([entry(name=MAJA.name, email="other@x.example")], [MAJA])
    assert plan.added
    assert "there is another Maja Lindgren here" in plan.notes[0]


def test_a_list_of_mailboxes_renames_nobody():
    plan = plan_import([entry(name="maja", is_nameless=True, email=MAJA.email, roles=("security",))], [MAJA])
    assert dict(plan.changed[0].becomes) == {"roles": ("security",)}


# --- properties --------------------------------------------------------------------------------------------

_WORD = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp", "Zs"), exclude_characters="@/:⟦⟧"
    ),
    min_size=1,
    max_size=20,
)


def _is_name(text: str) -> bool:
    try:
        return person_name(text) == text
    except Refused:
        return False


_NAME = st.lists(_WORD, min_size=1, max_size=3).map(" ".join).filter(_is_name)
_LINE = st.lists(_WORD, max_size=4).map(" ".join)
_NOTES = st.lists(_LINE, max_size=3).map(lambda lines: "\n".join(lines).strip())


def _contacts(with_notes: bool = True):
    one = st.builds(
        Known,
        ref=st.uuids(),
        name=_NAME,
        external_id=st.just(""),
        title=_LINE,
        email=st.integers(0, 9999).map("p{}@x.example".format),
        phone=st.one_of(st.just(""), st.integers(1000000, 99999999).map("+46{}".format)),
        roles=st.sets(st.sampled_from(ROLES), min_size=1).map(
            lambda found: tuple(r for r in ROLES if r in found)
        ),
        priority=st.integers(1, 999),
        time_zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]),
        language=st.sampled_from(["", "en", "de-CH"]),
        organization=_LINE,
        notes=_NOTES if with_notes else st.just(""),
    )
    return st.lists(
        one, min_size=1, max_size=5, unique_by=(lambda known: known.ref, lambda known: known.email)
    )


@given(_contacts())
@example([replace(MAJA, external_id="", notes="'\n0")])
def test_a_csv_that_was_exported_and_is_taken_in_again_changes_nothing(known):
    read = read_text(b"".join(to_csv(known)).decode())
    plan = plan_import(read.entries, known)
    assert (read.problems, plan.problems, plan.added, plan.changed, plan.same) == ((), (), (), (), len(known))


@given(_contacts(with_notes=False))
def test_vcards_that_were_exported_and_are_taken_in_again_change_nothing(known):
    text = b"".join(to_vcards(known)).decode()
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    read = read_text(text)
    plan = plan_import(read.entries, known)
    assert (read.problems, plan.problems, plan.added, plan.changed, plan.same) == ((), (), (), (), len(known))


@given(_contacts(), _contacts())
def test_taking_a_file_in_twice_changes_nothing_the_second_time(theirs, ours):
    read = read_text(
        b"".join(to_csv([replace(one, external_id=f"x-{n}") for n, one in enumerate(theirs)])).decode()
    )
    plan = plan_import(read.entries, ours)
    if plan.problems:
        return
    after = {one.ref: one for one in ours}
    for change in plan.changed:
        after[change.known.ref] = replace(change.known, **change.becomes)
    for new in plan.added:
        said = dict(new.says())
        ref = uuid4()
        after[ref] = Known(ref, external_id=new.external_id, **said)
    again = plan_import(read.entries, list(after.values()))
    assert (again.problems, again.added, again.changed) == ((), (), ())
