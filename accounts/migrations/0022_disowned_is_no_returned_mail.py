"""Whoever said that it is not them was kept as returned mail; it is told apart from it now. Can be run twice."""

from django.db import migrations
from django.db.models import F

SAID = "Whoever reads this mailbox says: this is not me, or remove me."


def tell_apart(apps, schema_editor):
    rows = apps.get_model("accounts", "Contact").objects.filter(bounce_says=SAID, disowned_at__isnull=True)
    rows.update(disowned_at=F("bouncing_since"), bouncing_since=None, bounce_says="")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0021_contact_disowned"),
    ]

    operations = [
        migrations.RunPython(tell_apart, migrations.RunPython.noop),
    ]
