"""Who changed what, when, from where."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """App label `audit`."""

    name = "portal.audit"
    verbose_name = "Audit"
