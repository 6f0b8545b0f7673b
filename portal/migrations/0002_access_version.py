"""A number that rises when somebody lost a right, a session or a token: what open streams watch (portal/streams.py).

A sequence, since it takes no lock: a change of rights never waits for another one.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("portal", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "CREATE SEQUENCE IF NOT EXISTS portal_access_version",
            "DROP SEQUENCE IF EXISTS portal_access_version",
        )
    ]
