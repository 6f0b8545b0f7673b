"""Requests for approval, their digests and decisions; serves plans and drills alike."""

from __future__ import annotations

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    """App label `approvals`."""

    name = "portal.approvals"
    verbose_name = "Approvals"
