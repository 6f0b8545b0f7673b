"""What pages and API read of hosts."""

from __future__ import annotations

from django.db.models import QuerySet

from capacity.hosts.models import ProvenHost


def whole() -> QuerySet[ProvenHost]:
    """Return hosts with everything that is shown of one."""
    return ProvenHost.objects.select_related("account", "added_by")
