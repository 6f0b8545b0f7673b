"""The portal itself as a Django app: template tags and the pages that belong to no other app."""

from __future__ import annotations

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """App label `portal`."""

    name = "portal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks (a module that nobody imports checks nothing) and the operator's panel."""
        from portal import celery  # noqa: F401, I001  (says where a worker counts, before anything counts)
        from portal import checks, installation  # noqa: F401

        installation.register()
