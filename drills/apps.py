"""Fire drills as a Django app; registers its kind of run with the engine."""

from __future__ import annotations

from django.apps import AppConfig


class DrillsConfig(AppConfig):
    """App label `drills`."""

    name = "drills"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell engine, approvals and pages who we are."""
        from django.urls import reverse

        from accounts.reviews.origins import register_origins
        from drills import driver
        from drills.after import fact, freshness
        from drills.after import selectors as after
        from drills.plans import around, hooks, panels, selectors, services
        from drills.scenarios import panels as scenario_panels
        from drills.told.before import PURPOSES
        from drills.told.calls import PURPOSE, REAL
        from portal.approvals import registry as approvals
        from portal.notify.registry import register_purpose
        from portal.runs.registry import register_kind
        from portal.untold import register as register_untold

        approvals.register(
            services.SUBJECT,
            on_change=services.was_decided,
            url_of=lambda request: reverse("drills:drill", args=[request.subject_ref]),
            is_untold=hooks.is_untold_request,
        )
        register_kind(
            driver.KIND,
            driver.make_kind,
            facts=hooks.facts,
            project=hooks.project,
            may_command=hooks.may_command,
            draining=hooks.draining,
            url_of=hooks.url_of,
            asks=hooks.asks,
            is_half_way=hooks.is_half_way,
            is_untold=hooks.is_untold,
            told=hooks.told,
        )
        for purpose in (PURPOSE, REAL, *PURPOSES):
            register_purpose(purpose)
        register_untold(selectors.untold_refs)
        register_origins(after.origins)
        freshness.register()
        fact.register()
        panels.register()
        around.register()
        scenario_panels.register()
