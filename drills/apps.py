"""Fire drills as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class DrillsConfig(AppConfig):
    """App label `drills`."""

    name = "drills"
    default_auto_field = "django.db.models.BigAutoField"
