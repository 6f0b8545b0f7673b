"""What the provider says of a pool (does it tie an address, servers by size), and of which measurements people were told."""

from django.db import migrations, models
from django.db.models import F


def were_told(apps, schema_editor):
    """Of what was worse before, people were told."""
    comparisons = apps.get_model("capacity", "BaselineComparison").objects.filter(verdict="worse")
    comparisons.update(told_at=F("compared_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("capacity", "0021_detected_told_before"),
    ]

    operations = [
        migrations.AddField(
            model_name="loadrun",
            name="tied_to_address",
            field=models.BooleanField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="sizedpool",
            name="sizes",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="baselinecomparison",
            name="told_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunPython(were_told, migrations.RunPython.noop),
    ]
