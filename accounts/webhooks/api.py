"""The API of an account's webhooks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.examples import AT, REF
from accounts.models import Account
from accounts.proof import need_from_session
from accounts.webhooks.serializers import (
    DeliveryOut,
    DeliveryWholeOut,
    RotateIn,
    WebhookIn,
    WebhookMadeOut,
    WebhookOut,
)
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.lists import ListAsked
from portal.webhooks import services
from portal.webhooks.models import Delivery, DeliveryState, Endpoint

_WEBHOOK: dict[str, Any] = {
    "ref": REF,
    "url": "https://hooks.lindgren.example/steady-state",
    "description": "On-call bot",
    "types": ["run.*", "plan.approved"],
    "envelope": "standard",
    "state": "active",
    "state_says": "",
    "failing_since": None,
    "last_success_at": AT,
    "old_secret_until": None,
    "missed_until": None,
    "created_at": AT,
    "updated_at": AT,
}
_MADE = {**_WEBHOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}
_IN = {name: _WEBHOOK[name] for name in ("url", "description", "types", "envelope")}
_MESSAGE: dict[str, Any] = {
    "ref": "6d1f7a52-5f0b-4a0f-9a53-0f3c9a1d2b77",
    "message_id": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712",
    "type": "steadystate.run.halted.v1",
    "position": 4711,
    "state": "delivered",
    "tries": 1,
    "due_at": AT,
    "created_at": AT,
    "ended_at": AT,
}
_WHOLE: dict[str, Any] = {
    **_MESSAGE,
    "content_type": "application/json",
    "body": '{"type":"steadystate.run.halted.v1","timestamp":"2026-11-23T12:10:00Z","data":{}}',
    "attempts": [
        {
            "at": AT,
            "status": 204,
            "duration_ms": 87,
            "took_it": True,
            "says": "Taken (204).",
            "answer": "",
            "by_hand": False,
        }
    ],
}


class WebhookListApi(PortalAPIView):
    """An account's webhooks."""

    permission = Permission.WEBHOOK_EDIT

    @documented(
        "webhooks_list",
        WebhookOut,
        summary="List an account's webhooks",
        paged=True,
        example=_WEBHOOK,
        tag="webhooks",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first, without their secrets."""
        account = self.find(Account, account_ref)
        return self.page(services.endpoints_of(account), WebhookOut, filters={"account": account.pk})

    @documented(
        "webhooks_add",
        WebhookMadeOut,
        summary="Add a webhook",
        request=WebhookIn,
        status=201,
        once=True,
        example=_MADE,
        request_example=_IN,
        tag="webhooks",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """The secret is given this once. It gets what happens from now on: a token needs the scope `events:read` too."""
        account = self.find(Account, account_ref)
        need_from_session(request)
        self.check_scope(Permission.EVENT_VIEW)
        data = self.read(WebhookIn)

        def effect() -> Response:
            endpoint, secret = services.add_endpoint(account, actor=self.user, **data)
            endpoint.shown_secret = secret  # type: ignore[attr-defined]  # for this one answer
            return self.show(WebhookMadeOut, endpoint, status=201)

        return self.once(effect, secret_fields=("secret",))


class WebhookApi(PortalAPIView):
    """One webhook."""

    permission = Permission.WEBHOOK_EDIT

    @documented("webhooks_read", WebhookOut, summary="Read one webhook", example=_WEBHOOK, tag="webhooks")
    def get(self, request: Request, webhook_ref: UUID) -> Response:
        """Without its secret."""
        return self.show(WebhookOut, self.find(Endpoint, webhook_ref))

    @documented(
        "webhooks_change",
        WebhookOut,
        summary="Change a webhook",
        request=WebhookIn,
        if_match=True,
        example=_WEBHOOK,
        request_example={"types": ["run.halted"]},
        tag="webhooks",
    )
    def patch(self, request: Request, webhook_ref: UUID) -> Response:
        """What waits already goes to the new address, wrapped as it was. A token needs the scope `events:read` too."""
        endpoint = self.find(Endpoint, webhook_ref)
        self.check_scope(Permission.EVENT_VIEW)
        if "url" in request.data:
            need_from_session(request)
        data = self.read(WebhookIn, partial=True)

        def effect() -> Response:
            self.match(Endpoint.objects.select_for_update(of=("self",)).get(pk=endpoint.pk))
            return self.show(WebhookOut, services.change_endpoint(endpoint, data, actor=self.user))

        return self.once(effect)

    @documented(
        "webhooks_remove", None, summary="Remove a webhook", status=204, if_match=True, tag="webhooks"
    )
    def delete(self, request: Request, webhook_ref: UUID) -> Response:
        """With its log. Nothing is sent there any more."""
        endpoint = self.find(Endpoint, webhook_ref)

        def effect() -> Response:
            self.match(Endpoint.objects.select_for_update(of=("self",)).get(pk=endpoint.pk))
            services.remove_endpoint(endpoint, actor=self.user)
            return Response(status=204)

        return self.once(effect)


class WebhookPauseApi(PortalAPIView):
    """Pause a webhook."""

    permission = Permission.WEBHOOK_EDIT

    @documented(
        "webhooks_pause",
        WebhookOut,
        summary="Pause a webhook",
        command=True,
        example=_WEBHOOK,
        tag="webhooks",
    )
    def post(self, request: Request, webhook_ref: UUID) -> Response:
        """Nothing is sent until it is resumed; then it gets what happened meanwhile."""
        endpoint = self.find(Endpoint, webhook_ref)
        return self.once(
            lambda: self.show(WebhookOut, services.pause(endpoint, actor=self.user)), required=True
        )


class WebhookResumeApi(PortalAPIView):
    """Resume a webhook."""

    permission = Permission.WEBHOOK_EDIT

    @documented(
        "webhooks_resume",
        WebhookOut,
        summary="Resume a webhook",
        command=True,
        example=_WEBHOOK,
        tag="webhooks",
    )
    def post(self, request: Request, webhook_ref: UUID) -> Response:
        """Also one that was switched off. It goes on from where it stopped."""
        endpoint = self.find(Endpoint, webhook_ref)
        return self.once(
            lambda: self.show(WebhookOut, services.resume(endpoint, actor=self.user)), required=True
        )


class WebhookRotateApi(PortalAPIView):
    """A new secret for a webhook."""

    permission = Permission.WEBHOOK_EDIT

    @documented(
        "webhooks_rotate",
        WebhookMadeOut,
        summary="Give a webhook a new secret",
        request=RotateIn,
        command=True,
        example=_MADE,
        request_example={"keep_old_hours": 24},
        tag="webhooks",
    )
    def post(self, request: Request, webhook_ref: UUID) -> Response:
        """The secret is given this once. For `keep_old_hours` each message has both signatures."""
        endpoint = self.find(Endpoint, webhook_ref)
        need_from_session(request)
        data = self.read(RotateIn)

        def effect() -> Response:
            rotated, secret = services.rotate_secret(endpoint, actor=self.user, **data)
            rotated.shown_secret = secret  # type: ignore[attr-defined]  # for this one answer
            return self.show(WebhookMadeOut, rotated)

        return self.once(effect, required=True, secret_fields=("secret",))


class WebhookTestApi(PortalAPIView):
    """A test message."""

    permission = Permission.WEBHOOK_EDIT

    @documented(
        "webhooks_test",
        DeliveryOut,
        summary="Send a test message",
        command=True,
        status=202,
        example={**_MESSAGE, "type": "steadystate.webhook.test.v1", "position": None, "state": "pending"},
        tag="webhooks",
    )
    def post(self, request: Request, webhook_ref: UUID) -> Response:
        """Once, at once, also while the webhook is paused. Read the message to see what came of it."""
        endpoint = self.find(Endpoint, webhook_ref)
        return self.once(
            lambda: self.show(DeliveryOut, services.send_test(endpoint, actor=self.user), status=202),
            required=True,
        )


class DeliveryListApi(PortalAPIView):
    """The log of a webhook."""

    permission = Permission.WEBHOOK_EDIT

    @documented(
        "webhook_messages_list",
        DeliveryOut,
        summary="List the messages of a webhook",
        paged=True,
        example=_MESSAGE,
        tag="webhooks",
        parameters=[
            OpenApiParameter("state", enum=list(DeliveryState.values), description="Only these."),
        ],
    )
    def get(self, request: Request, webhook_ref: UUID) -> Response:
        """Newest first; those that ended are kept for 30 days."""
        endpoint = self.find(Endpoint, webhook_ref)
        asked = ListAsked.of(
            request.query_params, filters={"state": DeliveryState.values}, orders=("-id",), strict=True
        )
        state = asked.filters["state"]
        return self.page(
            services.deliveries_of(endpoint, state=state).defer("body"),
            DeliveryOut,
            filters={"webhook": endpoint.pk, "state": state},
        )


class DeliveryApi(PortalAPIView):
    """One message."""

    permission = Permission.WEBHOOK_EDIT

    @documented(
        "webhook_messages_read", DeliveryWholeOut, summary="Read one message", example=_WHOLE, tag="webhooks"
    )
    def get(self, request: Request, delivery_ref: UUID) -> Response:
        """With its body as it was sent, and each try. A token needs the scope `events:read` too: the body is an event."""
        self.check_scope(Permission.EVENT_VIEW)
        return self.show(DeliveryWholeOut, self.find(Delivery, delivery_ref))


class DeliverySendApi(PortalAPIView):
    """Send a message again."""

    permission = Permission.WEBHOOK_EDIT

    @documented(
        "webhook_messages_send",
        DeliveryOut,
        summary="Send a message once more",
        command=True,
        status=202,
        example={**_MESSAGE, "state": "pending"},
        tag="webhooks",
    )
    def post(self, request: Request, delivery_ref: UUID) -> Response:
        """Now, with the same id and the same bytes, also while the webhook is paused."""
        delivery = self.find(Delivery.objects.select_related("endpoint__account"), delivery_ref)
        return self.once(
            lambda: self.show(DeliveryOut, services.send_again(delivery, actor=self.user), status=202),
            required=True,
        )
