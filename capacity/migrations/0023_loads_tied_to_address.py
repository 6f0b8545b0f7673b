"""Whether the pool ties the load's one address to a server, as the provider said at the start."""

from django.db import migrations, models


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
    ]
