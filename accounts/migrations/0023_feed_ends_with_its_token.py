"""A calendar feed that was made with a token ends with it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0022_disowned_is_no_returned_mail")]

    operations = [
        migrations.AddField(
            model_name="calendarfeed",
            name="made_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="accounts.apitoken",
            ),
        ),
    ]
