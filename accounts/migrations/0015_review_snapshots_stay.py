"""The database refuses to change, remove or empty what both sides signed."""

from __future__ import annotations

from django.db import migrations

UP = """
CREATE FUNCTION review_snapshot_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was signed stays as it is: % is refused', TG_OP;
END $$;
CREATE TRIGGER review_snapshot_no_change BEFORE UPDATE OR DELETE ON accounts_reviewsnapshot
    FOR EACH ROW EXECUTE FUNCTION review_snapshot_stays();
CREATE TRIGGER review_snapshot_no_truncate BEFORE TRUNCATE ON accounts_reviewsnapshot
    FOR EACH STATEMENT EXECUTE FUNCTION review_snapshot_stays();
"""
DOWN = """
DROP TRIGGER review_snapshot_no_truncate ON accounts_reviewsnapshot;
DROP TRIGGER review_snapshot_no_change ON accounts_reviewsnapshot;
DROP FUNCTION review_snapshot_stays();
"""


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies = [("accounts", "0014_reviews")]
    operations = [migrations.RunSQL(UP, DOWN)]
