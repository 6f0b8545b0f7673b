"""`manage.py export_erasures`: the list of erased persons, to be kept beside the backups."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from portal.audit.models import Erasure


class Command(BaseCommand):
    """One JSON object a line. It names nobody: kind, reference and time."""

    help = "Print the list of erasures, which replay_erasures takes after a backup was restored."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print."""
        for row in Erasure.objects.order_by("pk").iterator():
            self.stdout.write(
                json.dumps(
                    {"kind": row.kind, "ref": str(row.ref), "at": row.at.isoformat(), "by_ref": row.by_ref}
                )
            )
