"""What somebody said at a link's page, this is not me, stands on the contact until it is settled."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_contact_language_longer"),
    ]

    operations = [
        migrations.AddField(
            model_name="contact",
            name="disowned_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="contact",
            name="disowned_says",
            field=models.CharField(blank=True, db_default="", default="", max_length=500),
        ),
    ]
