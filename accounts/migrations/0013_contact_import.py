"""Files of contacts that somebody looks at before they are taken in."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import portal.crypto


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_proofs_stay"),
    ]

    operations = [
        migrations.CreateModel(
            name="ContactImport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ref", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("text", portal.crypto.EncryptedTextField(null=True)),
                ("made_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("done_at", models.DateTimeField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="contact_imports",
                        to="accounts.account",
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="contact_import_ends")],
                "constraints": [
                    models.UniqueConstraint(fields=("account", "made_by"), name="contact_import_one_a_person")
                ],
            },
        ),
    ]
