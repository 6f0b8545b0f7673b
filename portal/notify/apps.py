"""Mail and in-portal notices; for support only."""

from __future__ import annotations

from django.apps import AppConfig


class NotifyConfig(AppConfig):
    """App label `notify`."""

    name = "portal.notify"
    verbose_name = "Notices"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the portal's own purposes, their check, and who listens to runs and standstills."""
        from portal.notify import checks, news, purposes
        from portal.runs import registry as runs
        from portal.ui import me

        me.register(
            me.MeLink(
                "notices", "Notices", "notice-preferences", "What you are told, how, and at which hours."
            )
        )
        purposes.register_own()
        checks.install()
        runs.listen(news.run_changed)
        runs.listen_to_standstills(news.standstill_changed)
