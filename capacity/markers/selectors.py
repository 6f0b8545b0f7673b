"""What pages, API and other parts read of markers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q, QuerySet
from django.urls import reverse

from accounts.models import Account
from capacity.markers.models import Marker
from capacity.metrics.overlays import MOST, Moment


def whole() -> QuerySet[Marker]:
    """Return markers with everything that is shown of one."""
    return Marker.objects.select_related("account", "connection", "made_by").defer("connection__api_key")


def of_site(account: Account, connection_id: int | None, balancer_ids: Sequence[str]) -> QuerySet[Marker]:
    """Return the markers that say something of a pool behind these balancers: its own, and those of the whole account."""
    own = (
        Q(connection=connection_id, balancer_id__in=balancer_ids)
        if connection_id is not None
        else Q(pk__in=())
    )
    return Marker.objects.filter(own | Q(connection__isnull=True), account=account)


def between(account: Account, begins: datetime, ends: datetime, most: int = 200) -> Sequence[Marker]:
    """Return an account's markers in [begins, ends), the earliest first; of more than `most` the newest. One query."""
    rows = Marker.objects.filter(account=account, at__gte=begins, at__lt=ends).order_by("-at", "-pk")
    return list(reversed(rows[:most]))


def moments(account: Account, begins: datetime, ends: datetime) -> list[Moment]:
    """Return the changes in [begins, ends) as charts draw them. One query."""
    url = reverse("capacity:marker-list", args=[account.ref])
    return [
        Moment(row.at, row.title, f"{url}#marker-{row.ref}") for row in between(account, begins, ends, MOST)
    ]


def newest(
    account: Account,
    connection_id: int | None,
    balancer_ids: Sequence[str],
    *,
    at: datetime,
    after: datetime | None = None,
) -> Marker | None:
    """Return the newest marker of a pool up to `at`, and later than `after` if given; None if there is none. One query."""
    rows = of_site(account, connection_id, balancer_ids).filter(at__lte=at)
    if after is not None:
        rows = rows.filter(at__gt=after)
    return rows.order_by("-at", "-pk").first()
