"""Entries from before the sealer get their seals too."""

from __future__ import annotations

from django.db import migrations

UP = """
INSERT INTO audit_unsealed (entry)
    SELECT e.id FROM audit_auditentry e WHERE NOT EXISTS (SELECT 1 FROM audit_seal s WHERE s.entry = e.id)
    ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):
    """Data only; can be run twice."""

    dependencies = [("audit", "0004_seals_are_append_only")]
    operations = [migrations.RunSQL(UP, migrations.RunSQL.noop)]
