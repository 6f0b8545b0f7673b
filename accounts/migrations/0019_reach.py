"""Reaching people: the order as it stood, each try, and how it went."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0018_calendar"),
    ]

    operations = [
        migrations.CreateModel(
            name="Reach",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ref", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("test", "reach test"), ("call", "call for help")], max_length=4
                    ),
                ),
                ("role", models.CharField(max_length=20)),
                ("message", models.TextField()),
                ("reason", models.TextField()),
                ("wait_s", models.PositiveIntegerField()),
                ("tries", models.PositiveSmallIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "under way"),
                            ("answered", "somebody answered"),
                            ("nobody", "nobody answered"),
                            ("stopped", "stopped"),
                        ],
                        default="running",
                        max_length=8,
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("next_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("by_ref", models.CharField(max_length=36)),
                ("by_name", models.TextField()),
                ("stopped_by_name", models.TextField(blank=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reaches",
                        to="accounts.account",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ReachStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("place", models.PositiveSmallIntegerField()),
                ("contact_ref", models.UUIDField()),
                ("contact_name", models.TextField()),
                (
                    "contact",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="reach_steps",
                        to="accounts.contact",
                    ),
                ),
                (
                    "reach",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="accounts.reach"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ReachTry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ref", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("number", models.PositiveSmallIntegerField()),
                ("asked_at", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("acknowledged", "acknowledged"),
                            ("reached", "reached"),
                            ("voicemail", "voicemail"),
                            ("no_answer", "no answer"),
                            ("wrong_number", "wrong number"),
                            ("refused", "refused"),
                            ("no_way", "no way"),
                        ],
                        default="waiting",
                        max_length=12,
                    ),
                ),
                ("ended_at", models.DateTimeField(null=True)),
                ("by_ref", models.CharField(blank=True, max_length=36)),
                ("by_name", models.TextField(blank=True)),
                ("channel", models.CharField(blank=True, max_length=8)),
                ("agent", models.CharField(blank=True, max_length=300)),
                ("doubtful_at", models.DateTimeField(null=True)),
                ("mail_digest", models.CharField(blank=True, max_length=64)),
                ("phone_digest", models.CharField(blank=True, max_length=64)),
                (
                    "gateway",
                    models.CharField(
                        choices=[
                            ("none", "not through the gateway"),
                            ("queued", "waiting to be sent"),
                            ("sending", "being sent"),
                            ("sent", "handed to the gateway"),
                            ("failed", "not taken by the gateway"),
                            ("unknown", "may not have been sent"),
                        ],
                        default="none",
                        max_length=8,
                    ),
                ),
                ("gateway_way", models.CharField(blank=True, max_length=5)),
                ("gateway_due_at", models.DateTimeField(null=True)),
                ("gateway_posts", models.PositiveSmallIntegerField(default=0)),
                ("gateway_says", models.CharField(blank=True, max_length=200)),
                (
                    "step",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tries",
                        to="accounts.reachstep",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="reach",
            index=models.Index(
                condition=models.Q(("state", "running")), fields=["next_at"], name="reach_due"
            ),
        ),
        migrations.AddIndex(
            model_name="reach",
            index=models.Index(fields=["account", "-id"], name="reach_of_account"),
        ),
        migrations.AddConstraint(
            model_name="reach",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["test", "call"])), name="reach_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="reach",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["running", "answered", "nobody", "stopped"])),
                name="reach_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="reach",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("next_at__isnull", False), ("state", "running")),
                    models.Q(
                        models.Q(("state", "running"), _negated=True),
                        ("ended_at__isnull", False),
                        ("next_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="reach_runs_or_ended",
            ),
        ),
        migrations.AddConstraint(
            model_name="reach",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="reach_has_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="reach",
            constraint=models.CheckConstraint(
                condition=models.Q(("wait_s__range", (1, 3600))), name="reach_wait_bounded"
            ),
        ),
        migrations.AddConstraint(
            model_name="reach",
            constraint=models.CheckConstraint(
                condition=models.Q(("tries__range", (1, 5))), name="reach_tries_bounded"
            ),
        ),
        migrations.AddConstraint(
            model_name="reach",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "running")), fields=("account",), name="reach_one_at_a_time"
            ),
        ),
        migrations.AddConstraint(
            model_name="reachstep",
            constraint=models.UniqueConstraint(fields=("reach", "place"), name="reach_place_once"),
        ),
        migrations.AddIndex(
            model_name="reachtry",
            index=models.Index(
                condition=models.Q(("gateway__in", ["queued", "sending"])),
                fields=["gateway_due_at"],
                name="reach_gateway_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="reachtry",
            constraint=models.UniqueConstraint(fields=("step", "number"), name="reach_try_once"),
        ),
        migrations.AddConstraint(
            model_name="reachtry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "outcome__in",
                        [
                            "waiting",
                            "acknowledged",
                            "reached",
                            "voicemail",
                            "no_answer",
                            "wrong_number",
                            "refused",
                            "no_way",
                        ],
                    )
                ),
                name="reach_outcome_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="reachtry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("outcome", "waiting")),
                    models.Q(
                        models.Q(("outcome", "waiting"), _negated=True),
                        ("ended_at__gte", models.F("asked_at")),
                    ),
                    _connector="OR",
                ),
                name="reach_try_waits_or_ended",
            ),
        ),
        migrations.AddConstraint(
            model_name="reachtry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("gateway__in", ["none", "queued", "sending", "sent", "failed", "unknown"])
                ),
                name="reach_gateway_known",
            ),
        ),
    ]
