"""What a request asks for becomes another digest only with the one before kept beside it: it was made less."""

from __future__ import annotations

from django.db import migrations

UP = """
CREATE OR REPLACE FUNCTION approval_request_asks_the_same() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.account_id, NEW.subject_type, NEW.subject_ref, NEW.sides, NEW.author_id)
        IS DISTINCT FROM
       (OLD.account_id, OLD.subject_type, OLD.subject_ref, OLD.sides, OLD.author_id)
       OR (NEW.digest, NEW.lessened_from) IS DISTINCT FROM (OLD.digest, OLD.lessened_from)
          AND (NEW.lessened_from IS DISTINCT FROM array_append(OLD.lessened_from, OLD.digest)
               OR NEW.digest = ANY (NEW.lessened_from)) THEN
        RAISE EXCEPTION 'a request for approval asks for what it asked for: make a new one';
    END IF;
    RETURN NEW;
END $$;
"""
DOWN = """
CREATE OR REPLACE FUNCTION approval_request_asks_the_same() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.account_id, NEW.subject_type, NEW.subject_ref, NEW.digest, NEW.sides, NEW.author_id)
        IS DISTINCT FROM
       (OLD.account_id, OLD.subject_type, OLD.subject_ref, OLD.digest, OLD.sides, OLD.author_id) THEN
        RAISE EXCEPTION 'a request for approval asks for what it asked for: make a new one';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    """A trigger's function only."""

    dependencies = [("approvals", "0005_made_less")]
    operations = [migrations.RunSQL(UP, DOWN)]
