"""Of what was detected before, people were told already."""

from django.db import migrations
from django.db.models import F


def were_told(apps, schema_editor):
    apps.get_model("capacity", "DetectedEvent").objects.exclude(state="withdrawn").update(told_with=F("pk"))


class Migration(migrations.Migration):
    dependencies = [
        ("capacity", "0020_detected_told"),
    ]

    operations = [
        migrations.RunPython(were_told, migrations.RunPython.noop),
    ]
