"""The API of tokens: one's own, and those of an account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import examples, tokens
from accounts.models import Account, ApiToken
from accounts.proof import need_from_session
from accounts.serializers import (
    ServiceTokenIn,
    ServiceTokenMadeOut,
    ServiceTokenOut,
    TokenIn,
    TokenMadeOut,
    TokenOut,
)
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import NotPermitted


def _check_no_more(maker: ApiToken | None, wanted: dict[str, Any]) -> None:
    """Refuse a token made with another one that may more, or lasts longer, than that one."""
    if maker is None:
        return
    if not set(wanted["scopes"]) <= set(maker.scopes):
        raise NotPermitted("A token cannot make one that may more than itself.", code="scope_above_own")
    if wanted["expires_at"] > maker.expires_at:
        raise NotPermitted("A token cannot make one that lasts longer than itself.", code="lasts_longer")


class TokenListApi(PortalAPIView):
    """Own tokens."""

    permission = Permission.SIGNED_IN

    @documented(
        "tokens_list", TokenOut, summary="List your tokens", paged=True, example=examples.TOKEN, tag="tokens"
    )
    def get(self, request: Request) -> Response:
        """Without their secrets. Those that you made for an account are listed there."""
        return self.page(ApiToken.objects.filter(user=self.user, account=None), TokenOut)

    @documented(
        "tokens_make",
        TokenMadeOut,
        summary="Make a token",
        request=TokenIn,
        status=201,
        once=True,
        example=examples.TOKEN_MADE,
        request_example=examples.TOKEN_IN,
        tag="tokens",
    )
    def post(self, request: Request) -> Response:
        """The secret is given this once. A token cannot make one that may more than itself."""
        need_from_session(request)
        data = self.read(TokenIn)
        _check_no_more(self.token, data)

        def effect() -> Response:
            token, secret = tokens.make_token(self.user, **data, made_by=self.token)
            token.token = secret  # type: ignore[attr-defined]  # for this one answer
            return Response(TokenMadeOut(token).data, status=201)

        return self.once(effect, secret_fields=("token",))


class TokenApi(PortalAPIView):
    """One own token."""

    permission = Permission.SIGNED_IN

    @documented("tokens_revoke", None, summary="Revoke a token", status=204, tag="tokens")
    def delete(self, request: Request, token_ref: UUID) -> Response:
        """Nothing can use it from then on; a repeat changes nothing."""
        token = ApiToken.objects.filter(user=self.user, account=None, ref=token_ref).first()
        if token is None:
            raise Http404
        tokens.revoke_token(token, actor=self.user, at=timezone.now())
        return Response(status=204)


class ServiceTokenListApi(PortalAPIView):
    """An account's service tokens."""

    permission = Permission.TOKEN_EDIT

    @documented(
        "service_tokens_list",
        ServiceTokenOut,
        summary="List an account's service tokens",
        paged=True,
        example=examples.SERVICE_TOKEN,
        tag="tokens",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first, without their secrets, also those that ended."""
        account = self.find(Account, account_ref)
        return self.page(tokens.service_tokens_of(account), ServiceTokenOut, filters={"account": account.pk})

    @documented(
        "service_tokens_make",
        ServiceTokenMadeOut,
        summary="Make a service token of an account",
        request=ServiceTokenIn,
        status=201,
        once=True,
        example=examples.SERVICE_TOKEN_MADE,
        request_example=examples.SERVICE_TOKEN_IN,
        tag="tokens",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """The secret is given this once. It may never more than you, and ends when you might not make it any more."""
        account = self.find(Account, account_ref)
        need_from_session(request)
        data = self.read(ServiceTokenIn)
        _check_no_more(self.token, data)

        def effect() -> Response:
            token, secret = tokens.make_service_token(account, actor=self.user, **data, made_by=self.token)
            token.token = secret  # type: ignore[attr-defined]  # for this one answer
            return Response(ServiceTokenMadeOut(token).data, status=201)

        return self.once(effect, secret_fields=("token",))


class ServiceTokenApi(PortalAPIView):
    """One service token of an account."""

    permission = Permission.TOKEN_EDIT

    @documented(
        "service_tokens_revoke", None, summary="Revoke an account's service token", status=204, tag="tokens"
    )
    def delete(self, request: Request, service_token_ref: UUID) -> Response:
        """Whoever made it. Nothing can use it from then on; a repeat changes nothing."""
        token = self.find(ApiToken, service_token_ref)
        tokens.revoke_token(token, actor=self.user, at=timezone.now())
        return Response(status=204)
