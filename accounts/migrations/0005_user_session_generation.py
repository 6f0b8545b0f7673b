from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """A counter that every session is held against, so that one UPDATE ends all sessions of a user."""

    dependencies = [("accounts", "0004_search_and_order")]
    operations = [
        migrations.AddField(
            "user",
            "session_generation",
            # With a database default, so that the version before can still add users.
            models.PositiveIntegerField(default=0, db_default=0, editable=False),
        )
    ]
