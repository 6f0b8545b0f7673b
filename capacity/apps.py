"""Traffic events, ceilings, forecast peaks, probes and count sources."""

from __future__ import annotations

from django.apps import AppConfig


class CapacityConfig(AppConfig):
    """App label `capacity`."""

    name = "capacity"
    verbose_name = "Capacity"

    def ready(self) -> None:
        """Hand in what is known of how accounts stand."""
        from django.urls import reverse

        from capacity import facts, panels
        from capacity.baselines import known, services
        from capacity.markers.selectors import moments
        from capacity.metrics.overlays import register_moments
        from capacity.reports import notices, short
        from portal.approvals import registry as approvals

        facts.register()
        register_moments("changes", moments)
        panels.register()
        known.register()
        approvals.register(
            services.SUBJECT,
            on_change=services.was_decided,
            url_of=lambda request: reverse("capacity:baseline", args=[request.subject_ref]),
        )
        from capacity.loads import kind as loads
        from capacity.loads import services as profiles
        from portal.runs.registry import register_kind

        approvals.register(
            profiles.SUBJECT,
            on_change=profiles.was_decided,
            url_of=lambda request: reverse("capacity:profile", args=[request.subject_ref]),
        )
        register_kind(
            profiles.KIND,
            loads.BenchmarkKind,
            facts=loads.facts,
            project=loads.project,
            may_command=loads.may_command,
            url_of=loads.url_of,
            is_half_way=loads.is_half_way,
            told=loads.told,
        )
        notices.register()
        short.register()
