"""`manage.py rotate_field_keys`: encrypt every stored secret afresh with the newest key of FIELD_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal import crypto


class Command(BaseCommand):
    """Put a new key in front of FIELD_KEYS, restart, run this, then drop the old key. Can be run again."""

    help = "Encrypt every stored secret afresh with the newest key of FIELD_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate each encrypted column and say how many values it had."""
        for model, name in crypto.encrypted_columns():
            try:
                done = crypto.rotate_field(model, name)
            except crypto.Undecryptable as problem:
                raise CommandError(f"{model._meta.label}.{name}: {problem.says}") from problem
            self.stdout.write(f"{model._meta.label}.{name}: {done} encrypted with the newest key")
        for label, rotate_all in crypto.rotations_elsewhere():
            try:
                done = rotate_all()
            except crypto.Undecryptable as problem:
                raise CommandError(f"{label}: {problem.says}") from problem
            self.stdout.write(f"{label}: {done} encrypted with the newest key")
