"""What the pages of metrics read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import QuerySet

from accounts.models import Account
from capacity.metrics.kinds import MANNERS, Good
from capacity.metrics.models import DailyRollup, Metric
from portal.ui.charts import Point

VITAL_SHOWN = 12
DAYS_SHOWN = 42


def listed(account: Account, text: str = "") -> QuerySet[Metric]:
    """Return the account's metrics whose name or resource holds `text`."""
    rows = Metric.objects.filter(account=account)
    for word in text.split():
        rows = rows.filter(name__icontains=word) | rows.filter(resource__icontains=word)
    return rows


def vital_of(account: Account) -> list[Metric]:
    """Return the account's vital figures, by name; one query."""
    return list(
        Metric.objects.filter(account=account, is_vital=True).order_by("name", "resource", "pk")[:VITAL_SHOWN]
    )


def judged_of(account: Account) -> list[Metric]:
    """Return the vital figures whose fall means that fewer people get through: not those of which less is better. One query."""
    less = [kind for kind, manner in MANNERS.items() if manner.good is Good.LESS]
    rows = Metric.objects.filter(account=account, is_vital=True).exclude(kind__in=less)
    return list(rows.order_by("name", "resource", "pk")[:VITAL_SHOWN])


def last_days(metrics: Iterable[Metric], now: datetime) -> dict[int, list[Point]]:
    """Return the mean of each of the last six weeks' days, None for one without samples, by metric; one query.

    Today is not over, and the mean of its night alone looks like a fall: it stands for a metric that has no other day.
    """
    ids = [one.pk for one in metrics]
    if not ids:
        return {}
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in range(DAYS_SHOWN, -1, -1)]
    found: dict[int, dict[datetime, float]] = {pk: {} for pk in ids}
    rows = DailyRollup.objects.filter(metric__in=ids, at__gte=days[0], at__lte=today)
    for pk, at, mean in rows.values_list("metric", "at", "mean"):
        found[pk][at] = mean
    whole = {
        pk: {day: mean for day, mean in means.items() if day < today} or means for pk, means in found.items()
    }
    return {
        pk: [(day, means.get(day)) for day in days if day < today or today in means]
        for pk, means in whole.items()
    }
