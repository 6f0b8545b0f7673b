"""An index of who is called for emergencies; built while the old version serves."""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """An index only."""

    atomic = False
    dependencies = [("accounts", "0007_granted_as")]
    operations = [
        AddIndexConcurrently(
            model_name="contact",
            index=models.Index(
                fields=["account"],
                name="contact_emergency",
                condition=models.Q(roles__contains=["emergency"]),
            ),
        )
    ]
