"""Pages of an account's webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from accounts.models import Account
from accounts.proof import ProvenPage
from accounts.views import AccountPage
from accounts.webhooks.forms import RotateForm, WebhookForm
from portal.access import Permission
from portal.errors import NotPermitted, Refused
from portal.lists import ListAsked
from portal.paging import keyset
from portal.webhooks import services
from portal.webhooks.models import Delivery, DeliveryState, Endpoint
from portal.webhooks.queueing import waiting_by_endpoint


class _WebhookPage(AccountPage, abstract=True):
    """A page of one webhook or of all of them."""

    tab = "webhooks"

    def find_webhook(self, webhook_ref: UUID) -> Endpoint:
        """Return the webhook, or answer 404 or 403."""
        return self.find(Endpoint, webhook_ref)


class WebhookList(_WebhookPage):
    """An account's webhooks."""

    permission = Permission.WEBHOOK_EDIT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them with how they are doing."""
        account = self.find(Account, account_ref)
        page = keyset(services.endpoints_of(account), request, order="-id", filters={"account": account.pk})
        waiting = waiting_by_endpoint([row.pk for row in page.rows])
        for row in page.rows:
            row.waiting = waiting.get(row.pk, 0)  # type: ignore[attr-defined]
        return self.show("accounts/webhooks/webhook_list.html", page=page)


class WebhookAdd(ProvenPage, _WebhookPage):
    """Add a webhook; its secret is shown on this answer and never again."""

    permission = Permission.WEBHOOK_EDIT
    keeps = ("url", "description", "groups", "more", "envelope")

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form."""
        self.find(Account, account_ref)
        return self._form(self.filled(WebhookForm()))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponseBase:
        """Add it and show the secret once."""
        account = self.find(Account, account_ref)
        form = WebhookForm(request.POST)
        if form.is_valid():
            try:
                endpoint, secret = services.add_endpoint(account, actor=self.user, **form.wanted())
            except NotPermitted:
                raise
            except Refused as refusal:
                form.add_error("url" if refusal.code != "bad_type" else "more", refusal.says)
            else:
                return _secret(self, endpoint, secret, "The webhook is there")
        return self._form(form, status=422)

    def _form(self, form: WebhookForm, *, status: int = 200) -> HttpResponse:
        return self.show("accounts/webhooks/webhook_form.html", form=form, status=status)


def _secret(page: AccountPage, endpoint: Endpoint, secret: str, title: str) -> HttpResponse:
    response = page.show(
        "accounts/webhooks/webhook_secret.html", webhook=endpoint, secret=secret, title=title
    )
    response["Cache-Control"] = "no-store"
    return response


class WebhookDetail(_WebhookPage):
    """One webhook with its log."""

    permission = Permission.WEBHOOK_EDIT

    def get(self, request: HttpRequest, webhook_ref: UUID) -> HttpResponse:
        """Show what it is, how it is doing and what was sent."""
        endpoint = self.find_webhook(webhook_ref)
        asked = ListAsked.of(request.GET, filters={"state": DeliveryState.values}, orders=("-id",))
        rows = services.deliveries_of(endpoint, state=asked.filters["state"]).defer("body")
        page = keyset(
            rows, request, order="-id", filters={"webhook": endpoint.pk, "state": asked.filters["state"]}
        )
        for row in page.rows:
            row.next_at = _next_at(row, endpoint)  # type: ignore[attr-defined]
        return self.show(
            "accounts/webhooks/webhook_detail.html",
            webhook=endpoint,
            page=page,
            asked=asked,
            states=DeliveryState.choices,
            waiting=waiting_by_endpoint([endpoint.pk]).get(endpoint.pk, 0),
        )


def _next_at(delivery: Delivery, endpoint: Endpoint) -> datetime:
    """Return when a message that waits is tried next: not before a failing receiver is left alone no longer."""
    is_held = endpoint.not_before is not None and not delivery.by_hand
    return max(delivery.due_at, endpoint.not_before) if is_held and endpoint.not_before else delivery.due_at


class WebhookEdit(ProvenPage, _WebhookPage):
    """Change a webhook."""

    permission = Permission.WEBHOOK_EDIT
    keeps = ("url", "description", "groups", "more", "envelope")

    def get(self, request: HttpRequest, webhook_ref: UUID) -> HttpResponse:
        """Show the form."""
        endpoint = self.find_webhook(webhook_ref)
        return self._form(endpoint, self.filled(WebhookForm(endpoint=endpoint)))

    def post(self, request: HttpRequest, webhook_ref: UUID) -> HttpResponseBase:
        """Keep the changes."""
        endpoint = self.find_webhook(webhook_ref)
        form = WebhookForm(request.POST, endpoint=endpoint)
        if form.is_valid():
            try:
                services.change_endpoint(endpoint, form.wanted(), actor=self.user)
            except NotPermitted:
                raise
            except Refused as refusal:
                form.add_error("url" if refusal.code != "bad_type" else "more", refusal.says)
            else:
                messages.success(request, "The changes are kept.")
                return redirect("accounts:webhook-detail", webhook_ref=endpoint.ref)
        return self._form(endpoint, form, status=422)

    def _form(self, endpoint: Endpoint, form: WebhookForm, *, status: int = 200) -> HttpResponse:
        return self.show("accounts/webhooks/webhook_form.html", form=form, webhook=endpoint, status=status)


class WebhookRotate(ProvenPage, _WebhookPage):
    """Give a webhook a new secret."""

    permission = Permission.WEBHOOK_EDIT
    keeps = ("keep_old_hours",)

    def get(self, request: HttpRequest, webhook_ref: UUID) -> HttpResponse:
        """Ask."""
        return self._form(self.find_webhook(webhook_ref), self.filled(RotateForm()))

    def post(self, request: HttpRequest, webhook_ref: UUID) -> HttpResponseBase:
        """Rotate it and show the new one once."""
        endpoint = self.find_webhook(webhook_ref)
        form = RotateForm(request.POST)
        if form.is_valid():
            rotated, secret = services.rotate_secret(endpoint, actor=self.user, **form.cleaned_data)
            return _secret(self, rotated, secret, "The new secret")
        return self._form(endpoint, form, status=422)

    def _form(self, endpoint: Endpoint, form: RotateForm, *, status: int = 200) -> HttpResponse:
        return self.show("accounts/webhooks/webhook_rotate.html", form=form, webhook=endpoint, status=status)


class _Command(_WebhookPage, abstract=True):
    """One button of a webhook's page."""

    said = ""

    def act(self, endpoint: Endpoint) -> Any:
        """Do it; raises Refused."""
        raise NotImplementedError

    def post(self, request: HttpRequest, webhook_ref: UUID) -> HttpResponse:
        """Do it and go back to the page, with what was refused as a message."""
        endpoint = self.find_webhook(webhook_ref)
        try:
            self.act(endpoint)
        except NotPermitted:
            raise
        except Refused as refusal:
            messages.error(request, refusal.says)
        else:
            messages.success(request, self.said)
        return redirect("accounts:webhook-detail", webhook_ref=endpoint.ref)


class WebhookPause(_Command):
    """Pause it."""

    permission = Permission.WEBHOOK_EDIT
    said = "Paused. Nothing is sent until you resume it; what happens meanwhile is sent then."

    def act(self, endpoint: Endpoint) -> Any:
        """Pause."""
        return services.pause(endpoint, actor=self.user)


class WebhookResume(_Command):
    """Resume it."""

    permission = Permission.WEBHOOK_EDIT
    said = "It goes on. What waited is sent now."

    def act(self, endpoint: Endpoint) -> Any:
        """Resume."""
        return services.resume(endpoint, actor=self.user)


class WebhookTest(_Command):
    """Send a test message."""

    permission = Permission.WEBHOOK_EDIT
    said = "A test message is on its way. Load this page again in a moment to see what came of it."

    def act(self, endpoint: Endpoint) -> Any:
        """Send it."""
        return services.send_test(endpoint, actor=self.user)


class WebhookRemove(_WebhookPage):
    """Remove a webhook."""

    permission = Permission.WEBHOOK_EDIT

    def get(self, request: HttpRequest, webhook_ref: UUID) -> HttpResponse:
        """Ask."""
        endpoint = self.find_webhook(webhook_ref)
        return self.show(
            "accounts/people_confirm.html",
            title=f"Remove the webhook “{endpoint}”?",
            lines=[
                f"Nothing is sent to {endpoint.host} any more, and its log is deleted. It cannot be given back; add a "
                "new one instead. To stop it for a while, pause it."
            ],
            button="Remove the webhook",
            back_url=reverse("accounts:webhook-detail", args=[endpoint.ref]),
            back_label="Webhook",
        )

    def post(self, request: HttpRequest, webhook_ref: UUID) -> HttpResponse:
        """Remove it."""
        endpoint = self.find_webhook(webhook_ref)
        services.remove_endpoint(endpoint, actor=self.user)
        messages.success(request, f"The webhook “{endpoint}” is removed.")
        return redirect("accounts:webhook-list", account_ref=self.account.ref)


class DeliveryDetail(AccountPage):
    """One message: what was sent, and what came back at each try."""

    permission = Permission.WEBHOOK_EDIT
    tab = "webhooks"

    def get(self, request: HttpRequest, delivery_ref: UUID) -> HttpResponse:
        """Show it."""
        delivery = self.find(Delivery.objects.select_related("endpoint"), delivery_ref)
        return self.show(
            "accounts/webhooks/message_detail.html",
            message=delivery,
            webhook=delivery.endpoint,
            next_at=_next_at(delivery, delivery.endpoint),
            attempts=delivery.attempts.order_by("-pk")[:100],
        )


class DeliverySend(AccountPage):
    """Send a message again."""

    permission = Permission.WEBHOOK_EDIT
    tab = "webhooks"

    def post(self, request: HttpRequest, delivery_ref: UUID) -> HttpResponse:
        """Queue it for now."""
        delivery = self.find(Delivery.objects.select_related("endpoint"), delivery_ref)
        try:
            services.send_again(delivery, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            messages.error(request, refusal.says)
        else:
            messages.success(
                request, "It is sent once more, with the same id. Load this page again in a moment."
            )
        return redirect("accounts:webhook-message", delivery_ref=delivery.ref)
