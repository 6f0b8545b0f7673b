"""Scale-down as a Django app; registers its kind of run with the engine."""

from __future__ import annotations

from django.apps import AppConfig


class ScaledownConfig(AppConfig):
    """App label `scaledown`."""

    name = "scaledown"
    default_auto_field = "django.db.models.BigAutoField"
