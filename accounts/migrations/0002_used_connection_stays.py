"""Where a used cloud connection points stays as it is: approved digests and claims rest on it."""

from __future__ import annotations

from django.db import migrations

UP = """
CREATE FUNCTION used_connection_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.used_at IS NOT NULL AND
       (NEW.account_id, NEW.provider, NEW.identity_url, NEW.tenant, NEW.region, NEW.used_at)
        IS DISTINCT FROM
       (OLD.account_id, OLD.provider, OLD.identity_url, OLD.tenant, OLD.region, OLD.used_at) THEN
        RAISE EXCEPTION 'a used cloud connection keeps its provider, endpoint, tenant and region';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER used_connection_no_change BEFORE UPDATE ON accounts_cloudconnection
    FOR EACH ROW EXECUTE FUNCTION used_connection_stays();
"""
DOWN = """
DROP TRIGGER used_connection_no_change ON accounts_cloudconnection;
DROP FUNCTION used_connection_stays();
"""


class Migration(migrations.Migration):
    """Trigger only."""

    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL(UP, DOWN)]
