"""What proves a channel, confirms a role or tells of a use is never changed."""

from __future__ import annotations

from django.db import migrations

TABLES = ("accounts_channelproof", "accounts_roleconfirmation", "accounts_contactuse")
UP = """
CREATE FUNCTION contact_record_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % is never changed', TG_TABLE_NAME;
END $$;
""" + "".join(
    f"CREATE TRIGGER contact_record_no_change BEFORE UPDATE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION contact_record_stays();\n"
    for table in TABLES
)
DOWN = (
    "".join(f"DROP TRIGGER contact_record_no_change ON {table};\n" for table in TABLES)
    + "DROP FUNCTION contact_record_stays();"
)


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies = [("accounts", "0011_contacts_in_full")]
    operations = [migrations.RunSQL(UP, DOWN)]
