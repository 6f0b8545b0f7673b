"""Of which measurements that were worse people were told."""

from django.db import migrations, models
from django.db.models import F


def were_told(apps, schema_editor):
    """Of what was worse before, people were told."""
    comparisons = apps.get_model("capacity", "BaselineComparison").objects.filter(verdict="worse")
    comparisons.update(told_at=F("compared_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("capacity", "0024_lower_bounds"),
    ]

    operations = [
        migrations.AddField(
            model_name="baselinecomparison",
            name="told_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunPython(were_told, migrations.RunPython.noop),
    ]
