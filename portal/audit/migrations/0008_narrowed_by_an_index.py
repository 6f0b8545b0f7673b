"""An account's entries are narrowed by kind and time in the index itself; built while the old version serves."""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """One index takes another's place."""

    atomic = False
    dependencies = [("audit", "0007_erasures_stay")]
    operations = [
        AddIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                fields=["account_ref", "-id"], include=["what", "at"], name="audit_account_narrowed"
            ),
        ),
        RemoveIndexConcurrently(model_name="auditentry", name="audit_account"),
    ]
