"""Whoever was erased stays on the list."""

from __future__ import annotations

from django.db import migrations

UP = """
CREATE TRIGGER audit_erasure_no_change BEFORE UPDATE OR DELETE ON audit_erasure
    FOR EACH ROW EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_erasure_no_truncate BEFORE TRUNCATE ON audit_erasure
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
"""
DOWN = """
DROP TRIGGER audit_erasure_no_truncate ON audit_erasure;
DROP TRIGGER audit_erasure_no_change ON audit_erasure;
"""


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies = [("audit", "0006_subjects")]
    operations = [migrations.RunSQL(UP, DOWN)]
