"""A version of a baseline never says anything else than what was approved."""

from __future__ import annotations

from django.db import migrations

UP = """
CREATE FUNCTION measured_baseline_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.account_id, NEW.connection_id, NEW.balancer_id, NEW.version, NEW.content, NEW.valid_until, NEW.measured_at,
        NEW.benchmark_id, NEW.request_id)
        IS DISTINCT FROM
       (OLD.account_id, OLD.connection_id, OLD.balancer_id, OLD.version, OLD.content, OLD.valid_until, OLD.measured_at,
        OLD.benchmark_id, OLD.request_id) THEN
        RAISE EXCEPTION 'a version of a baseline stays as it was proposed: make the next version';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER measured_baseline_no_change BEFORE UPDATE ON capacity_measuredbaseline
    FOR EACH ROW EXECUTE FUNCTION measured_baseline_stays();
"""
DOWN = """
DROP TRIGGER measured_baseline_no_change ON capacity_measuredbaseline;
DROP FUNCTION measured_baseline_stays();
"""


class Migration(migrations.Migration):
    """Triggers only."""

    dependencies = [("capacity", "0007_baselines")]
    operations = [migrations.RunSQL(UP, DOWN)]
