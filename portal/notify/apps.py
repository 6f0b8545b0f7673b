"""Mail and in-portal notices; for support only."""

from __future__ import annotations

from django.apps import AppConfig


class NotifyConfig(AppConfig):
    """App label `notify`."""

    name = "portal.notify"
    verbose_name = "Notices"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the portal's own purposes and the check that every purpose has its templates."""
        from portal.notify import checks, purposes

        purposes.register_own()
        checks.install()
