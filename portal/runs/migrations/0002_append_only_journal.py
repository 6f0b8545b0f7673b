"""The database refuses to change a journal or what was approved, whoever asks."""

from __future__ import annotations

from django.db import migrations

UP = """
CREATE FUNCTION runs_journal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal of a run is append-only: % is refused', TG_OP;
END $$;
CREATE TRIGGER runs_journal_no_change BEFORE UPDATE OR DELETE ON runs_journalentry
    FOR EACH ROW EXECUTE FUNCTION runs_journal_append_only();
CREATE TRIGGER runs_journal_no_truncate BEFORE TRUNCATE ON runs_journalentry
    FOR EACH STATEMENT EXECUTE FUNCTION runs_journal_append_only();

CREATE FUNCTION runs_plan_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a run executes is frozen: plan, digest, kind and account of run % stay', OLD.ref;
END $$;
CREATE TRIGGER runs_plan_no_change BEFORE UPDATE ON runs_run FOR EACH ROW
    WHEN (OLD.plan IS DISTINCT FROM NEW.plan OR OLD.digest IS DISTINCT FROM NEW.digest
          OR OLD.plan_ref IS DISTINCT FROM NEW.plan_ref OR OLD.kind IS DISTINCT FROM NEW.kind
          OR OLD.account_id IS DISTINCT FROM NEW.account_id OR OLD.ref IS DISTINCT FROM NEW.ref
          OR OLD.is_rehearsal IS DISTINCT FROM NEW.is_rehearsal)
    EXECUTE FUNCTION runs_plan_is_frozen();
"""
DOWN = """
DROP TRIGGER runs_plan_no_change ON runs_run;
DROP FUNCTION runs_plan_is_frozen();
DROP TRIGGER runs_journal_no_truncate ON runs_journalentry;
DROP TRIGGER runs_journal_no_change ON runs_journalentry;
DROP FUNCTION runs_journal_append_only();
"""


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies = [("runs", "0001_initial")]
    operations = [migrations.RunSQL(UP, DOWN)]
