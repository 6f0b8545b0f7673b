import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0023_feed_ends_with_its_token"),
    ]

    operations = [
        migrations.CreateModel(
            name="ReachResult",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("outcome", models.CharField(max_length=12)),
                (
                    "how",
                    models.CharField(
                        choices=[
                            ("person", "a named person"),
                            ("link", "the button behind the link"),
                            ("gateway", "the gateway"),
                        ],
                        max_length=7,
                    ),
                ),
                ("by_ref", models.CharField(blank=True, max_length=36)),
                ("by_name", models.TextField(blank=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="reachtry",
            name="reach_outcome_known",
        ),
        migrations.AlterField(
            model_name="reachtry",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("waiting", "waiting"),
                    ("acknowledged", "acknowledged"),
                    ("reached", "reached"),
                    ("voicemail", "voicemail"),
                    ("no_answer", "no answer"),
                    ("wrong_number", "wrong number"),
                    ("refused", "refused"),
                    ("no_way", "no way"),
                    ("unanswered", "unanswered"),
                ],
                default="waiting",
                max_length=12,
            ),
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
                            "unanswered",
                        ],
                    )
                ),
                name="reach_outcome_known",
            ),
        ),
        migrations.AddField(
            model_name="reachresult",
            name="asked",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="results", to="accounts.reachtry"
            ),
        ),
        migrations.AddConstraint(
            model_name="reachresult",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "outcome__in",
                        ["acknowledged", "no_answer", "reached", "refused", "voicemail", "wrong_number"],
                    )
                ),
                name="reach_result_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="reachresult",
            constraint=models.CheckConstraint(
                condition=models.Q(("how__in", ["person", "link", "gateway"])), name="reach_result_how_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="reachresult",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("how", "person"), _negated=True),
                    models.Q(("by_ref", ""), _negated=True),
                    _connector="OR",
                ),
                name="reach_result_by_named_person",
            ),
        ),
    ]
