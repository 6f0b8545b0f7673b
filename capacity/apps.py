"""Traffic events, ceilings, forecast peaks, probes and count sources."""

from __future__ import annotations

from django.apps import AppConfig


class CapacityConfig(AppConfig):
    """App label `capacity`."""

    name = "capacity"
    verbose_name = "Capacity"

    def ready(self) -> None:
        """Hand in what is known of how accounts stand."""
        from capacity import facts, panels

        facts.register()
        panels.register()
