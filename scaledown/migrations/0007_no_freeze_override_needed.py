"""How many servers an event needed stands in what was read of it. The column came with this same release."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("scaledown", "0006_freeze_override_events"),
    ]

    operations = [
        migrations.RemoveField(model_name="freezeoverride", name="needed"),
    ]
