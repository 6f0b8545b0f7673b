"""The database notes each new entry as unsealed, and refuses to change, remove or empty the seals."""

from __future__ import annotations

from django.db import migrations

UP = """
CREATE FUNCTION audit_note_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unsealed (entry) SELECT id FROM added;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_unsealed_noted AFTER INSERT ON audit_auditentry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION audit_note_unsealed();
CREATE TRIGGER audit_seal_no_change BEFORE UPDATE OR DELETE ON audit_seal
    FOR EACH ROW EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_seal_no_truncate BEFORE TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
"""
DOWN = """
DROP TRIGGER audit_seal_no_truncate ON audit_seal;
DROP TRIGGER audit_seal_no_change ON audit_seal;
DROP TRIGGER audit_unsealed_noted ON audit_auditentry;
DROP FUNCTION audit_note_unsealed();
"""


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies = [("audit", "0003_seal")]
    operations = [migrations.RunSQL(UP, DOWN)]
