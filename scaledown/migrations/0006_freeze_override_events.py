"""An override keeps what was read of each event: when it is and how many servers it needed. Filled from how many it needed."""

from django.db import migrations, models


def as_they_were_read(apps, schema_editor):
    of_event = apps.get_model("capacity", "TrafficEvent").objects
    of_rise = apps.get_model("capacity", "DetectedEvent").objects
    for row in apps.get_model("scaledown", "FreezeOverride").objects.exclude(needed={}).iterator():
        times = [
            *of_event.filter(ref__in=row.needed).values_list("ref", "starts_at", "ends_at"),
            *of_rise.filter(ref__in=row.needed).values_list("ref", "starts_at", "ends_at"),
        ]
        row.events = [
            {
                "ref": str(ref),
                "starts_at": starts_at.isoformat(),
                "ends_at": ends_at.isoformat(),
                "needed": row.needed[str(ref)],
            }
            for ref, starts_at, ends_at in times
        ]
        row.save(update_fields=["events"])


class Migration(migrations.Migration):
    dependencies = [
        ("scaledown", "0005_freeze_override_needed"),
        ("capacity", "0031_hosts"),
    ]

    operations = [
        migrations.AddField(
            model_name="freezeoverride",
            name="events",
            field=models.JSONField(db_default=[], default=list),
        ),
        migrations.RunPython(as_they_were_read, migrations.RunPython.noop),
    ]
