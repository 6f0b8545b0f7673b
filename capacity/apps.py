"""Traffic events, ceilings, forecast peaks, probes and count sources."""

from __future__ import annotations

from django.apps import AppConfig


class CapacityConfig(AppConfig):
    """App label `capacity`."""

    name = "capacity"
    verbose_name = "Capacity"
