"""Pages of tokens: one's own, and an account's service tokens."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts import tokens
from accounts.forms import ServiceTokenForm, TokenForm
from accounts.models import Account, ApiToken
from accounts.proof import ProvenPage
from accounts.views import AccountPage
from portal.access import Permission, PortalView
from portal.errors import NotPermitted, Refused


class TokenMake(ProvenPage):
    """Make a token; its secret is shown on this answer and never again."""

    permission = Permission.SIGNED_IN
    keeps = ("name", "scopes", "days", "networks")

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        return self._form(self.filled(TokenForm()))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Make it and show the secret once."""
        form = TokenForm(request.POST)
        if form.is_valid():
            try:
                token, secret = tokens.make_token(self.user, **form.wanted(now=timezone.now()))
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                return _shown_once(
                    self.render("accounts/token_made.html", token=token, secret=secret, nav_key="me")
                )
        return self._form(form, status=422)

    def _form(self, form: Any, *, status: int = 200) -> HttpResponse:
        return self.render("accounts/token_form.html", form=form, status=status, nav_key="me")


def _shown_once(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


class TokenRevoke(PortalView):
    """End one of the own tokens."""

    permission = Permission.SIGNED_IN

    def post(self, request: HttpRequest, token_ref: UUID) -> HttpResponse:
        """Revoke it; somebody else's token is not there."""
        token = ApiToken.objects.filter(user=self.user, account=None, ref=token_ref).first()
        if token is None:
            raise Http404("There is no such token of yours.")
        tokens.revoke_token(token, actor=self.user, at=timezone.now())
        messages.success(request, f"The token “{token.name}” is revoked. Nothing can use it any more.")
        return redirect("me")


class ServiceTokenMake(ProvenPage, AccountPage):
    """Make a service token of an account; its secret is shown on this answer and never again."""

    permission = Permission.TOKEN_EDIT
    tab = "access"
    keeps = ("name", "role", "scopes", "days", "networks")

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form, with the roles that one may give."""
        account = self.find(Account, account_ref)
        return self._form(self.filled(ServiceTokenForm(roles=tokens.service_roles(self.user, account))))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponseBase:
        """Make it and show the secret once."""
        account = self.find(Account, account_ref)
        form = ServiceTokenForm(request.POST, roles=tokens.service_roles(self.user, account))
        if form.is_valid():
            try:
                token, secret = tokens.make_service_token(
                    account, actor=self.user, **form.wanted(now=timezone.now())
                )
            except NotPermitted:
                raise
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                return _shown_once(self.show("accounts/service_token_made.html", token=token, secret=secret))
        return self._form(form, status=422)

    def _form(self, form: Any, *, status: int = 200) -> HttpResponse:
        return self.show("accounts/service_token_form.html", form=form, status=status)


class ServiceTokenRevoke(AccountPage):
    """End a service token of an account, after asking on a page of its own: a program somewhere stops."""

    permission = Permission.TOKEN_EDIT
    tab = "access"

    def get(self, request: HttpRequest, service_token_ref: UUID) -> HttpResponse:
        """Ask."""
        token = self.find(ApiToken, service_token_ref)
        return self.show(
            "accounts/people_confirm.html",
            title=f"Revoke “{token.name}”?",
            lines=[
                "Whatever program uses it is refused from then on. It cannot be given back; make a new one instead."
            ],
            button=f"Revoke “{token.name}”",
            back_url=reverse("accounts:access", args=[self.account.ref]),
            back_label="Access",
        )

    def post(self, request: HttpRequest, service_token_ref: UUID) -> HttpResponse:
        """Revoke it, whoever made it."""
        token = self.find(ApiToken, service_token_ref)
        tokens.revoke_token(token, actor=self.user, at=timezone.now())
        messages.success(
            request, f"The service token “{token.name}” is revoked. Nothing can use it any more."
        )
        return redirect("accounts:access", account_ref=self.account.ref)
