"""A mail address from which mail came back is unproven until somebody answers on it again. Can be run twice."""

from django.db import migrations, models
from django.db.models import F


def take_proofs_back(apps, schema_editor):
    rows = apps.get_model("accounts", "Contact").objects.filter(bouncing_since__isnull=False)
    rows.filter(mail_unproven_at__isnull=True).update(mail_unproven_at=F("bouncing_since"))


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0025_fill_reach_results"),
    ]

    operations = [
        migrations.AddField(
            model_name="contact",
            name="mail_unproven_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunPython(take_proofs_back, migrations.RunPython.noop),
    ]
