"""People in what is kept for ever: sealed under their own key, readable until they are erased."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import uuid
from io import StringIO
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import members, services
from accounts.erasure import erase_contact, erase_person
from accounts.models import Account, Contact, User
from portal.audit import sealer
from portal.audit.models import AuditEntry, Erasure, SubjectKey
from portal.audit.services import record
from portal.audit.subjects import Subject, named, open_values
from portal.audit.verify import verify
from portal.embedded.postgres import find_programs
from portal.errors import NotPermitted, Refused
from portal.runs import registry
from portal.runs import services as runs
from portal.runs.models import JournalEntry, RunCommand, Standstill
from tests import factories as make


def stored(table, columns="*"):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table}")
        return json.dumps(cursor.fetchall(), default=str, ensure_ascii=False)


@pytest.fixture
def maja(db):
    account = make.account("Lindgren Outdoor")
    admin = make.member(account, "admin", "Ada Lovelace", email="ada@shop.example")
    contact = services.add_contact(
        account,
        {
            "name": "Maja Lindgren",
            "email": "maja@lindgren.example",
            "phone": "+46701234567",
            "roles": ["primary"],
        },
        actor=admin,
    )
    return account, admin, contact


# --- sealing and opening -----------------------------------------------------------------------------------


def test_an_entry_is_stored_sealed_and_read_in_the_clear(maja):
    _account, admin, contact = maja
    raw = stored("audit_auditentry")
    for personal in ("Maja", 'Lindgren"', "maja@", "4670", "Ada", "ada@"):
        assert personal not in raw
    entry = AuditEntry.objects.get(what="contact.added")
    assert (entry.actor_name, entry.subject_label) == ("Ada Lovelace", "Maja Lindgren")
    assert entry.after["phone"] == "+46701234567"
    assert entry.after["roles"] == ["primary"]
    assert {key.ref for key in SubjectKey.objects.all()} == {admin.ref, contact.ref}
    sealed = AuditEntry.objects.sealed().get(pk=entry.pk)
    assert sealed.after["phone"].startswith(f"⟦{contact.ref.hex}.")


def test_names_are_found_inside_other_texts(maja):
    account, admin, contact = maja
    entry = record(
        "x.done",
        actor=admin,
        account=account,
        subject=contact,
        after={"deep": {"list": ["mail maja@lindgren.example now"]}},
        reason="Ada Lovelace spoke to Maja Lindgren.",
    )
    assert entry.reason == "Ada Lovelace spoke to Maja Lindgren."
    assert entry.after == {"deep": {"list": ["mail maja@lindgren.example now"]}}
    raw = AuditEntry.objects.sealed().get(pk=entry.pk)
    assert "Ada" not in raw.reason
    assert raw.reason.count("⟦") == 2
    assert "maja" not in str(raw.after)


def test_a_page_of_entries_is_opened_by_one_query_for_all_people(maja, django_assert_num_queries):
    account, admin, _contact = maja
    for number in range(20):
        services.add_contact(
            account, {"name": f"Person {number}", "email": f"p{number}@x.example"}, actor=admin
        )
    with django_assert_num_queries(2):
        rows = list(AuditEntry.objects.order_by("id"))
    assert rows[-1].subject_label == "Person 19"


def test_a_token_moved_to_somebody_else_opens_to_nothing(maja):
    _account, admin, contact = maja
    token = named(admin)
    moved = token.replace(admin.ref.hex, contact.ref.hex)
    assert open_values([token, moved]) == ["Ada Lovelace", moved]


def test_what_only_looks_like_a_token_stays_as_it_was_typed(db):
    typed = [f"⟦{uuid.uuid4().hex}.AAAA⟧", "⟦nothing⟧", f"a ⟦{'0' * 32}.⟧ b"]
    assert open_values(typed) == typed


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.lists(st.text(max_size=3), max_size=3)
)
def test_every_value_comes_back_as_it_went_in(value):
    from portal.audit import subjects

    subject, key = Subject("contact", uuid.uuid4()), os.urandom(32)
    token = f"⟦{subject.ref.hex}.{subjects._encrypt(key, subject, value)}⟧"
    assert subjects._opened(token, {subject.ref: key}, frozenset()) == value


def test_a_key_that_fell_with_its_transaction_is_used_by_nobody(maja):
    contact = make.contact(maja[0], "Bo Ek")
    with pytest.raises(RuntimeError), transaction.atomic():
        named(contact)
        raise RuntimeError
    assert not SubjectKey.objects.filter(ref=contact.ref).exists()
    assert open_values([named(contact)]) == ["Bo Ek"]


@pytest.mark.django_db(transaction=True)
def test_two_who_need_a_new_key_at_once_get_the_same():
    user = make.user("Ada Lovelace")
    tokens, start = [], threading.Barrier(4)

    def seal():
        try:
            start.wait(20)
            with transaction.atomic():
                tokens.append(named(user))
        finally:
            connection.close()

    threads = [threading.Thread(target=seal) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_values(tokens) == ["Ada Lovelace"] * 4
    assert SubjectKey.objects.count() == 1


def test_the_keys_are_encrypted_under_the_field_keys_and_rotate_with_them(maja, settings):
    from cryptography.fernet import Fernet

    raw = stored("audit_subjectkey", "key")
    settings.FIELD_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_KEYS]
    call_command("rotate_field_keys", stdout=StringIO())
    assert stored("audit_subjectkey", "key") != raw
    settings.FIELD_KEYS = settings.FIELD_KEYS[:1]
    assert AuditEntry.objects.get(what="contact.added").subject_label == "Maja Lindgren"


# --- erasing -----------------------------------------------------------------------------------------------


def test_an_erased_contact_is_gone_everywhere_and_the_seals_hold(maja):
    _account, admin, contact = maja
    services.change_contact(contact, {"phone": "+46709999999"}, actor=admin)
    sealer.seal_due()
    erase_contact(contact.account, contact.ref, actor=admin, reason="Maja Lindgren asked for it.")
    sealer.seal_due()
    assert not Contact.objects.filter(ref=contact.ref).exists()
    nobody = f"erased person {contact.ref.hex[:4].upper()}"
    seen = AuditEntry.objects.get(what="contact.changed")
    assert (seen.subject_label, seen.before["phone"], seen.actor_name) == (nobody, nobody, "Ada Lovelace")
    last = AuditEntry.objects.get(what="contact.erased")
    assert (last.subject_label, last.reason) == (nobody, f"{nobody} asked for it.")
    assert verify().ok


def test_erasing_needs_the_right_and_a_reason(maja):
    account, admin, contact = maja
    manager = make.launch_manager(account.team)
    with pytest.raises(NotPermitted):
        erase_contact(contact.account, contact.ref, actor=manager, reason="Asked.")
    with pytest.raises(Refused, match="Say why"):
        erase_contact(contact.account, contact.ref, actor=admin, reason=" ")
    assert Contact.objects.filter(ref=contact.ref).exists()


def test_a_removed_contact_can_still_be_erased_by_its_own_account(maja):
    account, admin, contact = maja
    services.remove_contact(contact, actor=admin)
    other = make.member(make.account(), "admin")
    with pytest.raises(Refused, match="no such contact"):
        erase_contact(Account.objects.get(memberships__user=other), contact.ref, actor=other, reason="Asked.")
    assert AuditEntry.objects.get(what="contact.removed").subject_label == "Maja Lindgren"
    erase_contact(account, contact.ref, actor=admin, reason="Asked.")
    assert "erased person" in AuditEntry.objects.get(what="contact.removed").subject_label


def test_an_admin_erases_on_the_page_and_through_the_api(maja):
    account, admin, contact = maja
    browser = Client()
    browser.force_login(admin)
    assert "cannot be undone" in browser.get(f"/contacts/{contact.ref}/erase/").content.decode()
    assert browser.post(f"/contacts/{contact.ref}/erase/", {"reason": ""}).status_code == 422
    assert (
        browser.post(
            f"/contacts/{contact.ref}/erase/", {"reason": "", "typed_name": contact.name}
        ).status_code
        == 422
    )
    refused = browser.post(f"/contacts/{contact.ref}/erase/", {"reason": "Asked.", "typed_name": "Maja"})
    assert refused.status_code == 422
    assert f"Type {contact.name} to erase. Nobody was erased." in refused.content.decode()
    assert "Asked." in refused.content.decode(), "what was typed stays"
    assert Contact.objects.filter(ref=contact.ref).exists()
    answer = browser.post(
        f"/contacts/{contact.ref}/erase/", {"reason": "Asked.", "typed_name": f" {contact.name} "}
    )
    assert answer.status_code == 302
    assert not Contact.objects.filter(ref=contact.ref).exists()
    another = services.add_contact(account, {"name": "Bo Ek", "email": "bo@x.example"}, actor=admin)

    def ask(ref):
        return Client().post(
            f"/api/v1/accounts/{account.ref}/contacts/{ref}/erase",
            {"reason": "Asked."},
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY="once",
            **make.bearer(make.token(admin)),
        )

    assert ask(uuid.uuid4()).status_code == 404
    assert ask(another.ref).status_code == 204
    assert not SubjectKey.objects.filter(ref=another.ref).exists()
    assert ask(another.ref).status_code == 204


def test_an_erased_person_gets_no_new_key(maja):
    _account, admin, contact = maja
    erase_contact(contact.account, contact.ref, actor=admin, reason="Asked.")
    assert open_values([named(contact)]) == [f"erased person {contact.ref.hex[:4].upper()}"]
    assert not SubjectKey.objects.filter(ref=contact.ref).exists()


def test_the_last_admin_and_who_is_in_charge_are_not_erased(maja):
    account, admin, _contact = maja
    with pytest.raises(Refused, match="last admin"):
        erase_person(admin, actor=None, reason="Asked.")
    assert User.objects.get(pk=admin.pk).name == "Ada Lovelace"
    if registry.registered("toy") is None:
        registry.register_kind("toy", lambda: None)
    manager = make.launch_manager(account.team)
    run_of(account, manager)
    with pytest.raises(Refused, match="in charge"):
        erase_person(manager, actor=None, reason="Asked.")


@pytest.mark.parametrize(
    "sql", ["UPDATE audit_erasure SET kind = ''", "DELETE FROM audit_erasure", "TRUNCATE audit_erasure"]
)
def test_the_list_of_erasures_only_grows(maja, sql):
    _account, admin, contact = maja
    erase_contact(contact.account, contact.ref, actor=admin, reason="Asked.")
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)


def test_a_restored_backup_is_brought_up_to_the_list(maja, tmp_path):
    account, admin, contact = maja
    key = SubjectKey.objects.values("kind", "ref").get(ref=contact.ref)
    raw = stored_key(contact.ref)
    erase_contact(contact.account, contact.ref, actor=admin, reason="Asked.")
    out = StringIO()
    call_command("export_erasures", stdout=out)
    assert "Maja" not in out.getvalue()
    # As the backup had it: the person, the key, and no erasure.
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM audit_erasure")
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute(
            "INSERT INTO audit_subjectkey (kind, ref, key) VALUES (%s, %s, %s)",
            [key["kind"], key["ref"], raw],
        )
    Contact.objects.create(ref=contact.ref, account=account, name="Maja Lindgren", phone="+46701234567")
    assert AuditEntry.objects.get(what="contact.added").subject_label == "Maja Lindgren"
    held = tmp_path / "erasures.jsonl"
    held.write_text(out.getvalue())
    said = StringIO()
    call_command("replay_erasures", str(held), stdout=said)
    assert said.getvalue() == "1 persons erased, 1 of them new to this database\n"
    call_command("replay_erasures", str(held), stdout=StringIO())
    assert not Contact.objects.filter(ref=contact.ref).exists()
    assert "erased person" in AuditEntry.objects.get(what="contact.added").subject_label
    assert Erasure.objects.get().by_ref == str(admin.ref)
    held.write_text("{}")
    with pytest.raises(CommandError, match="no list of erasures"):
        call_command("replay_erasures", str(held))


def stored_key(ref):
    with connection.cursor() as cursor:
        cursor.execute("SELECT key FROM audit_subjectkey WHERE ref = %s", [ref])
        return cursor.fetchone()[0]


def run_of(account, actor):
    return runs.create_run(
        account=account,
        kind="toy",
        plan_ref=uuid.uuid4(),
        plan={},
        digest="a" * 64,
        resource_keys=[],
        scopes=[f"account:{account.ref}"],
        title="web: back to 3",
        actor=actor,
    )


# --- the whole database ------------------------------------------------------------------------------------


def dump():
    """Everything in the database, as a backup has it."""
    base = connection.settings_dict
    options = parse_qs(urlsplit(os.environ["DATABASE_URL"]).query)
    host = options.get("host", [base["HOST"]])[0] or base["HOST"]
    argv = [find_programs() / "pg_dump", "--inserts", "-h", host, "-p", str(base["PORT"] or 5432)]
    argv += ["-U", base["USER"], base["NAME"]]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.mark.django_db(transaction=True)
def test_nothing_of_an_erased_person_is_in_a_dump_of_the_whole_database():
    if registry.registered("toy") is None:
        registry.register_kind("toy", lambda: None)
    account = make.account("Lindgren Outdoor")
    manager = make.launch_manager(
        account.team, "Jonas Bergqvist", email="jonas.b@provider.example", role="lead"
    )
    admin = services.create_user(email="ada@shop.example", name="Ada Lovelace", password=make.PASSWORD)
    members.grant_role(account, admin, "admin", actor=manager)
    other = make.member(account, "admin", "Other Admin")
    person = {
        "name": "Maja Zetterlund",
        "title": "Head of Zebras",
        "email": "maja.z@lindgren.example",
        "phone": "+46701234567",
        "notes": "Zetterlund, only after ten.",
        "roles": ["primary"],
    }
    secret = make.bearer(make.token(admin))
    made = Client().post(
        f"/api/v1/accounts/{account.ref}/contacts",
        {**person, "time_zone": "UTC", "escalation_order": 1},
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY="once",
        **secret,
    )
    assert made.status_code == 201, made.content
    contact = Contact.objects.get(ref=made.json()["ref"])
    services.change_contact(contact, {"phone": "+46707654321", "title": "Queen of Zebras"}, actor=admin)
    services.confirm_contact(contact, actor=admin, on=timezone.now().date())
    kept = make.contact(account, "Somebody Else", email="else@shop.example", phone="+46701111111")
    services.confirm_contact(kept, actor=admin, on=timezone.now().date())
    services.change_own_settings(admin, name="Ada King", time_zone="UTC")
    # Signing in and out, a wrong password, a refusal, a run with commands, a standstill.
    browser = Client()
    browser.post("/login/", {"username": "ada@shop.example", "password": "not this"})
    browser.force_login(admin)
    browser.get(f"/accounts/{account.ref}/activity/")
    run = run_of(account, manager)
    runs.give_command(run, "pause", actor=admin, reason="Payments are down.")
    standstill = runs.put_standstill(f"account:{account.ref}", reason="Payments are down.", actor=admin)
    runs.lift_standstill(standstill, reason="They work.", actor=admin)
    members.grant_role(account, other, "viewer", actor=admin)
    members.grant_role(account, other, "admin", actor=admin)
    sealer.seal_due()

    of_contact = ("Zetterlund", "Zebras", "maja.z@", "46701234567", "46707654321")
    of_user = ("ada@shop.example", "Ada King", "Ada Lovelace")
    before = dump()
    for personal in (*of_contact[:1], "46707654321", "ada@shop.example", "Ada King"):
        assert personal in before  # the live rows: what is looked for can be found

    erase_contact(contact.account, contact.ref, actor=admin, reason="Asked for it.")
    erase_person(admin, actor=None, reason="Asked for it.")
    sealer.seal_due()
    after = dump()
    for personal in (*of_contact, *of_user):
        assert personal not in after, personal
    assert "Somebody Else" in after
    assert verify().ok
    nobody = f"erased person {admin.ref.hex[:4].upper()}"
    assert RunCommand.objects.get().by_name == nobody
    assert Standstill.objects.get().by_name == nobody
    assert any(nobody in entry.says for entry in JournalEntry.objects.filter(run=run))
    assert {entry.actor_name for entry in AuditEntry.objects.filter(actor_ref=str(admin.ref))} == {nobody}
