"""Scale-down as a Django app; registers its kind of run with the engine."""

from __future__ import annotations

from django.apps import AppConfig


class ScaledownConfig(AppConfig):
    """App label `scaledown`."""

    name = "scaledown"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell engine, approvals and pages who we are, and how a worker child closes our connections."""
        from django.urls import reverse

        from portal import guards
        from portal.approvals import registry as approvals
        from portal.cloud.connect import close_all
        from portal.runs.registry import register_closer, register_kind
        from scaledown import (
            driver,
            facts,
            freezes,
            growths,
            known,
            live,
            panels,
            services,
            sizes,
            someone,
            support,
        )

        approvals.register(
            services.SUBJECT,
            on_change=services.plan_was_decided,
            url_of=lambda request: reverse("scaledown:plan-detail", args=[request.subject_ref]),
        )
        approvals.register(
            driver.GROWTH,
            on_change=growths.growth_was_decided,
            url_of=lambda request: reverse("scaledown:growth", args=[request.subject_ref]),
        )
        register_kind(
            driver.KIND,
            driver.make_kind,
            facts=driver.facts,
            project=driver.project,
            draining=driver.draining,
            url_of=lambda run: reverse("scaledown:run-detail", args=[run.ref]),
            asks=live.asked_by,
            check_goes_on=someone.check_going_on,
            is_half_way=driver.is_half_way,
        )
        register_closer(close_all)
        panels.register()
        facts.register()
        support.register()
        freezes.register()
        sizes.register()
        guards.register(known.protected_at)
