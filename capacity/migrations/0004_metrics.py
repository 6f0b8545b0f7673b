import uuid

import django.db.models.deletion
from django.db import migrations, models

# No NaN and no infinity: the first compares as larger than everything.
_SAMPLES = """
CREATE TABLE capacity_sample (
    metric_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    value double precision NOT NULL CONSTRAINT sample_within CHECK (abs(value) <= 1e100),
    PRIMARY KEY (metric_id, at)
) PARTITION BY RANGE (at)
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0028_reach_left_out"),
        ("capacity", "0003_forecast_expected_at"),
    ]

    operations = [
        migrations.CreateModel(
            name="Metric",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ref", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("resource", models.CharField(blank=True, max_length=200)),
                ("name", models.CharField(max_length=100)),
                ("source", models.CharField(max_length=100)),
                ("unit", models.CharField(blank=True, max_length=30)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("throughput", "work done in a time"),
                            ("latency", "how long something takes"),
                            ("errors", "share that fails"),
                            ("use", "share in use"),
                            ("count", "number of something"),
                            ("other", "something else"),
                        ],
                        default="other",
                        max_length=12,
                    ),
                ),
                ("is_vital", models.BooleanField(default=False)),
                ("last_at", models.DateTimeField(null=True)),
                ("last_value", models.FloatField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="metrics",
                        to="accounts.account",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="HourlyRollup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "metric", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
                ("count", models.PositiveIntegerField()),
                ("mean", models.FloatField()),
                ("min", models.FloatField()),
                ("max", models.FloatField()),
                ("p50", models.FloatField()),
                ("p95", models.FloatField()),
                (
                    "metric",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="capacity.metric",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DailyRollup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "metric", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
                ("count", models.PositiveIntegerField()),
                ("mean", models.FloatField()),
                ("min", models.FloatField()),
                ("max", models.FloatField()),
                ("p50", models.FloatField()),
                ("p95", models.FloatField()),
                (
                    "metric",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="capacity.metric",
                    ),
                ),
            ],
        ),
        # Django knows no tables in parts. The parts are made by the portal: capacity/metrics/partitions.py.
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(_SAMPLES, "DROP TABLE capacity_sample")],
            state_operations=[
                migrations.CreateModel(
                    name="Sample",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "metric", "at", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("at", models.DateTimeField()),
                        ("value", models.FloatField()),
                        (
                            "metric",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to="capacity.metric",
                            ),
                        ),
                    ],
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="metric",
            constraint=models.UniqueConstraint(
                fields=("account", "name", "resource", "source"), name="metric_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="metric",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind__in", ["throughput", "latency", "errors", "use", "count", "other"])
                ),
                name="metric_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="metric",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("last_at__isnull", True), ("last_value__isnull", True)),
                    models.Q(("last_at__isnull", False), ("last_value__isnull", False)),
                    _connector="OR",
                ),
                name="metric_last_whole",
            ),
        ),
    ]
