"""What teams make of scenarios, in versions; the database refuses to change one or to take one away."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Who made a version may be erased; everything else of it stays as it was.
UP = """
CREATE FUNCTION drills_scenario_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'versions of scenarios are append-only: % is refused', TG_OP;
END $$;
CREATE TRIGGER drills_scenario_no_change BEFORE UPDATE ON drills_scenarioversion FOR EACH ROW
    WHEN (OLD.content IS DISTINCT FROM NEW.content OR OLD.digest IS DISTINCT FROM NEW.digest
          OR OLD.key IS DISTINCT FROM NEW.key OR OLD.number IS DISTINCT FROM NEW.number
          OR OLD.team_id IS DISTINCT FROM NEW.team_id OR OLD.is_listed IS DISTINCT FROM NEW.is_listed
          OR OLD.note IS DISTINCT FROM NEW.note OR OLD.made_at IS DISTINCT FROM NEW.made_at
          OR OLD.ref IS DISTINCT FROM NEW.ref)
    EXECUTE FUNCTION drills_scenario_append_only();
CREATE TRIGGER drills_scenario_no_delete BEFORE DELETE ON drills_scenarioversion
    FOR EACH ROW EXECUTE FUNCTION drills_scenario_append_only();
CREATE TRIGGER drills_scenario_no_truncate BEFORE TRUNCATE ON drills_scenarioversion
    FOR EACH STATEMENT EXECUTE FUNCTION drills_scenario_append_only();
"""
DOWN = """
DROP TRIGGER drills_scenario_no_truncate ON drills_scenarioversion;
DROP TRIGGER drills_scenario_no_delete ON drills_scenarioversion;
DROP TRIGGER drills_scenario_no_change ON drills_scenarioversion;
DROP FUNCTION drills_scenario_append_only();
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0029_change_locks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ScenarioVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ref", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("key", models.CharField(max_length=40)),
                ("number", models.PositiveIntegerField()),
                ("content", models.JSONField()),
                ("digest", models.CharField(max_length=64)),
                ("note", models.CharField(blank=True, default="", max_length=300)),
                ("is_listed", models.BooleanField(default=True)),
                ("made_at", models.DateTimeField(auto_now_add=True)),
                (
                    "made_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="scenario_versions",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("team", "key", "number"), name="scenario_version_once"),
                    models.CheckConstraint(
                        condition=models.Q(("key__regex", "^[a-z0-9][a-z0-9_]{1,39}$")),
                        name="scenario_key_plain",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number__gte", 1)), name="scenario_number_from_one"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("digest__regex", "^[0-9a-f]{64}$")), name="scenario_digest_sha256"
                    ),
                ],
            },
        ),
        migrations.RunSQL(UP, DOWN),
    ]
