"""Results of tries that were noted before results had rows of their own."""

from typing import Any

from django.db import migrations
from django.db.models import F

BATCH = 1000


def fill(apps: Any, schema_editor: Any) -> None:
    """Keep as a result what was noted of a try until now, and end the tries of what is over. Can be run twice."""
    tries = apps.get_model("accounts", "ReachTry").objects
    results = apps.get_model("accounts", "ReachResult").objects
    waiting = tries.exclude(step__reach__state="running").filter(outcome="waiting")
    for one in waiting.annotate(over_at=F("step__reach__ended_at")).iterator(chunk_size=BATCH):
        over_at = max(one.over_at, one.asked_at)
        tries.filter(pk=one.pk).update(outcome="unanswered", ended_at=over_at)
    said = tries.filter(results__isnull=True).exclude(outcome__in=["waiting", "no_way", "unanswered"])
    while batch := list(said.order_by("pk")[:BATCH]):
        results.bulk_create(
            results.model(
                asked=one,
                at=one.ended_at,
                outcome=one.outcome,
                how="person" if one.by_ref else "link" if one.channel == "mail" else "gateway",
                by_ref=one.by_ref,
                by_name=one.by_name,
            )
            for one in batch
        )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0024_reach_results")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
