"""What happens on an account, posted to addresses of the customer's."""

from __future__ import annotations

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """App label `webhooks`."""

    name = "portal.webhooks"
    verbose_name = "Webhooks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what is told when an endpoint is switched off, and hear of events that got their place."""
        from portal.events import relay
        from portal.notify.registry import Kind, Purpose, register_purpose
        from portal.webhooks.wake import events_placed

        register_purpose(Purpose("webhook_disabled", Kind.NOTICE, "A webhook was switched off"))
        relay.listen(events_placed)
