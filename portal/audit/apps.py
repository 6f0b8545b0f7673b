"""Who changed what, when, from where."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """App label `audit`."""

    name = "portal.audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        """Show operators the way to the installation's own record."""
        from portal.ui.nav import NavItem, register

        register(
            NavItem(
                "installation",
                "Record",
                "installation-activity",
                order=10,
                shown_to=lambda user: bool(getattr(user, "is_operator", False)),
            )
        )
