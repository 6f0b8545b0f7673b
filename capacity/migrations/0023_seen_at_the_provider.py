"""What the provider said: whether a pool ties the load's one address to a server, and how many servers it has of each size."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("capacity", "0022_events_whole"),
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
    ]
