"""What a person decided is never rewritten, and a request never changes what it asks for."""

from __future__ import annotations

from django.db import migrations

UP = """
CREATE FUNCTION approval_decision_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a decision stays as it was given: % is refused', TG_OP;
END $$;
CREATE TRIGGER approval_decision_no_change BEFORE UPDATE OR DELETE ON approvals_approvaldecision
    FOR EACH ROW EXECUTE FUNCTION approval_decision_stays();
CREATE FUNCTION approval_request_asks_the_same() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.account_id, NEW.subject_type, NEW.subject_ref, NEW.digest, NEW.sides, NEW.author_id)
        IS DISTINCT FROM
       (OLD.account_id, OLD.subject_type, OLD.subject_ref, OLD.digest, OLD.sides, OLD.author_id) THEN
        RAISE EXCEPTION 'a request for approval asks for what it asked for: make a new one';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_request_no_change BEFORE UPDATE ON approvals_approvalrequest
    FOR EACH ROW EXECUTE FUNCTION approval_request_asks_the_same();
"""
DOWN = """
DROP TRIGGER approval_request_no_change ON approvals_approvalrequest;
DROP FUNCTION approval_request_asks_the_same();
DROP TRIGGER approval_decision_no_change ON approvals_approvaldecision;
DROP FUNCTION approval_decision_stays();
"""


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies = [("approvals", "0001_initial")]
    operations = [migrations.RunSQL(UP, DOWN)]
