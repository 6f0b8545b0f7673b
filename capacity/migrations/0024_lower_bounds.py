"""A ceiling of which only a lower bound is known stays one. What was seen live always was."""

from django.db import migrations, models


def were_lower_bounds(apps, schema_editor):
    apps.get_model("capacity", "Ceiling").objects.filter(rank="live").update(is_least=True)


class Migration(migrations.Migration):
    dependencies = [
        ("capacity", "0023_seen_at_the_provider"),
    ]

    operations = [
        migrations.AddField(
            model_name="ceiling",
            name="is_least",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="sizedpool",
            name="lasts_is_least",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.RunPython(were_lower_bounds, migrations.RunPython.noop),
    ]
