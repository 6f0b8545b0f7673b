"""The sealed audit: what is forged, removed, reordered or cut off shows, and only the key can make a seal."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from portal.audit import sealer
from portal.audit.chain import COLUMNS, FORMAT, GENESIS, key_id_of, seal_of
from portal.audit.facts import RequestFacts, set_facts
from portal.audit.models import AuditEntry, AuditSeal, AuditUnsealed
from portal.audit.services import record
from portal.audit.tasks import log_head, seal
from portal.audit.verify import Problem, verify
from portal.health import findings
from tests import factories as make

KEY = b"k" * 40


@contextmanager
def as_superuser_without_triggers():
    """What somebody with every right in the database can do."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield cursor.execute
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.fixture
def five(db):
    """Five sealed entries, the third with a value in every column."""
    account, actor = make.account(), make.user("Ada")
    record("a.done")
    record("b.done")
    set_facts(RequestFacts("req-1", "203.0.113.9", "ss_abc"))
    record(
        "thing.changed",
        actor=actor,
        on_behalf_of=make.user("Bo"),
        account=account,
        subject=account,
        before={"n": 1},
        after={"n": 2.50},
        reason="because",
    )
    set_facts(RequestFacts())
    record("d.done")
    record("e.done")
    assert sealer.seal_due() == 5
    return list(AuditEntry.objects.order_by("id"))


def problems(head=None):
    return verify(head).counts


def test_an_untouched_chain_is_whole(five):
    found = verify()
    assert found.ok
    assert (found.seals, found.head.no) == (5, 5)
    assert list(AuditSeal.objects.order_by("no").values_list("no", "entry")) == [
        (n, entry.pk) for n, entry in enumerate(five, start=1)
    ]
    assert bytes(AuditSeal.objects.get(no=1).previous) == GENESIS
    assert not AuditUnsealed.objects.exists()


def test_every_column_of_the_model_is_under_the_seal():
    assert {name for name, _ in COLUMNS[FORMAT]} == {f.column for f in AuditEntry._meta.concrete_fields}


FORGERIES = {
    "at": "at + interval '1 microsecond'",
    "what": "'thing.kept'",
    "actor_ref": "'somebody-else'",
    "actor_name": "actor_name || ' '",
    "on_behalf_of_ref": "''",
    "on_behalf_of_name": "'Eve'",
    "account_ref": "NULL",
    "account_name": "'Other'",
    "subject_type": "'x.y'",
    "subject_ref": "'x'",
    "subject_label": "''",
    "before": """'{"n": 0}'""",
    "after": """'{"n": 2.50}'""",
    "reason": "'another'",
    "address": "'203.0.113.10'",
    "token_prefix": "''",
    "request_id": "'req-2'",
}


def test_there_is_a_forgery_for_every_column():
    assert {*FORGERIES, "id"} == {f.column for f in AuditEntry._meta.concrete_fields}


@pytest.mark.parametrize("column", FORGERIES)
def test_a_forged_column_shows_though_a_superuser_did_it(five, column):
    with as_superuser_without_triggers() as run:
        run(f"UPDATE audit_auditentry SET {column} = {FORGERIES[column]} WHERE id = {five[2].pk}")
    assert problems() == {Problem.FORGED: 1}


def test_text_moved_from_one_column_to_the_next_shows(five):
    with as_superuser_without_triggers() as run:
        run(
            f"UPDATE audit_auditentry SET subject_label = reason, reason = subject_label WHERE id = {five[2].pk}"
        )
    assert problems() == {Problem.FORGED: 1}


def test_a_removed_entry_shows(five):
    with as_superuser_without_triggers() as run:
        run(f"DELETE FROM audit_auditentry WHERE id = {five[2].pk}")
    assert problems() == {Problem.REMOVED: 1}


def test_an_entry_removed_with_its_seal_shows(five):
    with as_superuser_without_triggers() as run:
        run(f"DELETE FROM audit_auditentry WHERE id = {five[2].pk}")
        run("DELETE FROM audit_seal WHERE no = 3")
    assert problems() == {Problem.REMOVED: 1}


def test_an_entry_removed_with_its_seal_shows_though_the_rest_was_numbered_anew(five):
    with as_superuser_without_triggers() as run:
        run(f"DELETE FROM audit_auditentry WHERE id = {five[2].pk}")
        run("DELETE FROM audit_seal WHERE no = 3")
        run("UPDATE audit_seal SET no = -no WHERE no > 3")
        run("UPDATE audit_seal SET no = -no - 1 WHERE no < 0")
    assert problems() == {Problem.REORDERED: 1, Problem.FORGED: 1}


def test_entries_that_changed_places_show(five):
    two, four = five[1].pk, five[3].pk
    with as_superuser_without_triggers() as run:
        run(f"UPDATE audit_auditentry SET id = -1 WHERE id = {two}")
        run(f"UPDATE audit_auditentry SET id = {two} WHERE id = {four}")
        run(f"UPDATE audit_auditentry SET id = {four} WHERE id = -1")
    assert problems() == {Problem.FORGED: 2}


def test_seals_that_changed_places_show(five):
    with as_superuser_without_triggers() as run:
        run("UPDATE audit_seal SET no = -1 WHERE no = 2")
        run("UPDATE audit_seal SET no = 2 WHERE no = 4")
        run("UPDATE audit_seal SET no = 4 WHERE no = -1")
    assert Problem.REORDERED in problems()


def test_a_cut_off_end_shows_against_a_kept_head(five):
    kept = sealer.head()
    with as_superuser_without_triggers() as run:
        run("DELETE FROM audit_seal WHERE no > 3")
        run(f"DELETE FROM audit_auditentry WHERE id > {five[2].pk}")
    assert problems() == {}
    assert problems(kept) == {Problem.CUT_OFF: 1}


def test_a_cut_off_end_shows_though_the_chain_has_grown_over_it(five):
    kept = sealer.head()
    with as_superuser_without_triggers() as run:
        run("DELETE FROM audit_seal WHERE no > 3")
        run(f"DELETE FROM audit_auditentry WHERE id > {five[2].pk}")
    for number in range(4):
        record(f"new.{number}")
    sealer.seal_due()
    assert problems() == {}
    assert problems(kept) == {Problem.CUT_OFF: 1}


def test_an_older_head_still_fits_a_chain_that_has_grown(five):
    kept = sealer.head()
    record("f.done")
    sealer.seal_due()
    assert problems(kept) == {}


def test_an_entry_written_past_the_sealer_shows_after_a_minute(five):
    with as_superuser_without_triggers() as run:
        run(
            "INSERT INTO audit_auditentry SELECT (jsonb_populate_record(e, jsonb_build_object('id', 900000000))).*"
            f" FROM audit_auditentry e WHERE id = {five[0].pk}"
        )
        run("UPDATE audit_auditentry SET at = now() - interval '59 seconds' WHERE id = 900000000")
    assert problems() == {}
    with as_superuser_without_triggers() as run:
        run("UPDATE audit_auditentry SET at = now() - interval '61 seconds' WHERE id = 900000000")
    assert problems() == {Problem.UNSEALED: 1}


def test_an_entry_that_went_before_it_was_sealed_shows(five):
    entry = record("f.done")
    with as_superuser_without_triggers() as run:
        run(f"DELETE FROM audit_auditentry WHERE id = {entry.pk}")
    sealer.seal_due()
    assert problems() == {Problem.REMOVED: 1}


def test_whoever_has_every_right_but_not_the_key_makes_no_seal(five, settings):
    settings.AUDIT_KEY = "a-forgers-own-key-a-forgers-own-key-a-forgers-own-key"
    record("forged.entry")
    sealer.seal_due()
    settings.AUDIT_KEY = "tests-only-audit-key-tests-only-audit-key-tests-only"
    assert problems() == {Problem.KEY_MISSING: 1}


def test_a_rotated_key_seals_on_and_the_old_one_still_verifies(five, settings):
    old = settings.AUDIT_KEY
    settings.AUDIT_KEY = "the-new-audit-key-the-new-audit-key-the-new-audit-key"
    settings.AUDIT_OLD_KEYS = [old]
    record("f.done")
    sealer.seal_due()
    assert problems() == {}
    assert set(AuditSeal.objects.values_list("key_id", flat=True)) == {
        key_id_of(old.encode()),
        key_id_of(settings.AUDIT_KEY.encode()),
    }
    settings.AUDIT_OLD_KEYS = []
    assert problems() == {Problem.KEY_MISSING: 5}


@pytest.mark.parametrize(
    "sql", ["UPDATE audit_seal SET key_id = 'x'", "DELETE FROM audit_seal", "TRUNCATE audit_seal"]
)
def test_the_database_refuses_to_change_seals(five, sql):
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)


# --- the command -------------------------------------------------------------------------------------------


def run_command(*args):
    out = StringIO()
    status = 0
    try:
        call_command("verify_audit", *args, stdout=out)
    except SystemExit as ended:
        status = ended.code
    lines = out.getvalue().splitlines()
    return status, lines[:-1], json.loads(lines[-1])


def test_the_command_keeps_a_head_and_finds_what_was_cut_off_after_it(five, tmp_path):
    kept = tmp_path / "head.json"
    status, said, result = run_command("--write-head", str(kept))
    assert (status, said, result["ok"], result["seals"]) == (0, [], True, 5)
    assert run_command("--head", str(kept))[0] == 0
    with as_superuser_without_triggers() as run:
        run("DELETE FROM audit_seal WHERE no = 5")
        run(f"DELETE FROM audit_auditentry WHERE id = {five[4].pk}")
    assert run_command()[0] == 0
    status, said, result = run_command("--head", str(kept), "--write-head", str(kept))
    assert (status, result["problems"]["cut_off"], result["compared_with_head"]) == (1, 1, 5)
    assert said == ["cut_off: The chain ends at seal 4; the kept head was seal 5."]
    # A head that shows what is wrong is not written over.
    assert json.loads(kept.read_text())["no"] == 5


def test_the_log_tells_the_head_in_the_form_that_the_command_reads(five, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("portal.audit.tasks.log.info", lambda event, **fields: told.append((event, fields)))
    log_head()
    assert told[0][0] == "audit_head"
    kept = tmp_path / "head.json"
    kept.write_text(json.dumps({"event": told[0][0], **told[0][1]}))
    assert run_command("--head", str(kept))[2]["compared_with_head"] == 5


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"no": 1, "entry": 1, "key_id": "x", "mac": "zz"}'])
def test_a_file_that_holds_no_head_is_said_to_be_none(five, tmp_path, text):
    kept = tmp_path / "head.json"
    kept.write_text(text)
    with pytest.raises(CommandError, match="holds no head"):
        run_command("--head", str(kept))


# --- the sealer --------------------------------------------------------------------------------------------


def in_thread(work):
    def run():
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_transactions_that_end_in_reverse_order_are_both_sealed():
    first_wrote, may_commit = threading.Event(), threading.Event()

    def slow():
        with transaction.atomic():
            record("slow.one")
            first_wrote.set()
            assert may_commit.wait(20)

    thread = in_thread(slow)
    assert first_wrote.wait(20)
    record("fast.one")
    assert sealer.seal_due() == 1
    assert sealer.unsealed_for_s() == 0
    may_commit.set()
    thread.join()
    assert sealer.seal_due() == 1
    entries = {entry.pk: entry.what for entry in AuditEntry.objects.all()}
    assert [entries[e] for e in AuditSeal.objects.order_by("no").values_list("entry", flat=True)] == [
        "fast.one",
        "slow.one",
    ]
    assert verify().ok


@pytest.mark.django_db(transaction=True)
def test_many_sealers_and_writers_make_one_whole_chain():
    stop = threading.Event()

    def write():
        for number in range(40):
            record("thing.done", after={"n": number})

    def keep_sealing():
        while not stop.is_set():
            seal()

    sealers = [in_thread(keep_sealing) for _ in range(3)]
    writers = [in_thread(write) for _ in range(4)]
    for thread in writers:
        thread.join()
    stop.set()
    for thread in sealers:
        thread.join()
    sealer.seal_due()
    found = verify()
    assert found.ok
    assert found.seals == 160


@pytest.mark.django_db(transaction=True)
def test_a_sealer_that_dies_in_a_batch_leaves_nothing_half_done(monkeypatch):
    record("a.done")
    record("b.done")
    plain = seal_of

    def dies(key, *, no, **rest):
        if no == 2:
            raise KeyboardInterrupt
        return plain(key, no=no, **rest)

    monkeypatch.setattr("portal.audit.sealer.seal_of", dies)
    with pytest.raises(KeyboardInterrupt):
        sealer.seal_due()
    monkeypatch.undo()
    assert AuditSeal.objects.count() == 0
    assert sealer.seal_due(batch=1) == 2
    assert verify().ok


def test_a_rolled_back_entry_is_never_sealed(db):
    with pytest.raises(RuntimeError), transaction.atomic():
        record("undone.one")
        raise RuntimeError
    assert sealer.seal_due() == 0


def test_a_portal_that_seals_nothing_for_a_minute_is_not_ready(five):
    assert {found.name: found.ok for found in findings()}["audit"] is True
    entry = record("f.done")
    with as_superuser_without_triggers() as run:
        run(f"UPDATE audit_auditentry SET at = now() - interval '2 minutes' WHERE id = {entry.pk}")
    assert 100 < sealer.unsealed_for_s() < 200
    assert {found.name: found.ok for found in findings()}["audit"] is False


# --- the encoding ------------------------------------------------------------------------------------------

texts = st.lists(st.none() | st.text(max_size=5), max_size=4)


@given(texts, texts)
def test_no_two_entries_have_the_same_seal(one, other):
    seals = [seal_of(KEY, no=1, previous=GENESIS, values=values) for values in (one, other)]
    assert (seals[0] == seals[1]) == (one == other)


def test_number_place_and_key_are_under_the_seal():
    base = {"no": 1, "previous": GENESIS, "values": ["x"]}
    seals = {
        seal_of(KEY, **base),
        seal_of(KEY, **{**base, "no": 2}),
        seal_of(KEY, **{**base, "previous": b"\x01" * 32}),
        seal_of(KEY + b"k", **base),
        seal_of(KEY, **base, version=2),
    }
    assert len(seals) == 5
