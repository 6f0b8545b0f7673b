"""What pages and API read of pulls."""

from __future__ import annotations

from django.db.models import QuerySet

from capacity.pulls.models import Pull


def whole() -> QuerySet[Pull]:
    """Return pulls with everything that is shown of one, without their tokens."""
    return Pull.objects.select_related("account", "made_by").defer("token")
