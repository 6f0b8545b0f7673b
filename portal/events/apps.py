"""What happened, in commit order."""

from __future__ import annotations

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """App label `events`."""

    name = "portal.events"
    verbose_name = "Events"
