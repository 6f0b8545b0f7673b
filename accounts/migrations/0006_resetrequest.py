from __future__ import annotations

from django.db import migrations, models

import portal.crypto


class Migration(migrations.Migration):
    """Who asked for a link to set a new password, until a worker has seen to it."""

    dependencies = [("accounts", "0005_user_session_generation")]
    operations = [
        migrations.CreateModel(
            name="ResetRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("email", portal.crypto.EncryptedTextField()),
                ("asked_at", models.DateTimeField(auto_now_add=True)),
            ],
        )
    ]
