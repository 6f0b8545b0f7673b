"""Log-in through an organization's OpenID Connect issuer, named by the operator in `OIDC_ISSUERS`.

It lets in who has a log-in here already, never makes one. The first time, the issuer's *verified* mail address, of one
of the domains that the operator named for it, finds the user and ties them to (issuer, subject); from then on only
that subject counts. A user who is tied to
another subject of the issuer is refused, and every refusal reads the same and does the same work.

allauth speaks the protocol (state, PKCE, tokens). On top of it: a nonce, the signature always verified, the
issuer's name held against the configured one, and every request through `portal.egress`.
"""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import jwt
import requests
from allauth.account.internal.flows.login import record_authentication
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, _build_apps_from_settings
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from accounts import notices, proof
from accounts.issuers import Issuer, issuer_of, issuers
from accounts.models import User
from accounts.sessions import ref_of
from portal import egress
from portal.audit.services import record, record_flood
from portal.errors import ProviderFailed, Refused, Trouble, TryLater

TIMEOUT_S = 10.0
MOST_BYTES = 512 * 1024
CLOCKS_DIFFER_S = 60
PROVEN_WITHIN_S = 300
# Signed with the issuer's private key; never with a secret that we hold too, never unsigned.
_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
_PLAIN = re.compile(r"[!-~]+")
# The length of allauth's column.
MOST_SUBJECT = 191
_MAY_BE_LEFT_OUT = frozenset({"userinfo_endpoint"})
BEGUN_ELSEWHERE = "This log-in was begun in another browser or too long ago. Begin anew."
NOT_BELIEVED = (
    "What the organization answered could not be proven to be from it and for this log-in. Begin anew."
)
NOT_LET_IN = (
    "Your organization knows you, but what it says of you opens no log-in here. A log-in comes by invitation, and "
    "your organization must have verified the mail address that was invited. Ask whoever invited you."
)
ONLY_WAY_IN = (
    "This is your only way in, so it stays: you have no password. Somebody who may invite people can see to it that "
    "you get another way first."
)
NOT_YOURS = (
    "Who logged in at the organization is not tied to the log-in that you have open here, so nothing is proven. Use "
    "the log-in there with which you came."
)
NOT_FRESH = (
    "Your organization did not say that you logged in there just now, so nothing is proven. You are still logged in "
    "here. Try again and log in there anew; if it asked you nothing, tell whoever runs this portal."
)
AWAY = "The organization's log-in cannot be reached now. Try again in a minute, or log in with your password."


# --- the way out --------------------------------------------------------------------------------------------


class _Egress(requests.adapters.BaseAdapter):
    """Sends what `requests` would send through `portal.egress`: checked addresses, no redirect, capped, in time."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Return the answer. Raises Refused, TryLater or ProviderFailed."""
        body = request.body.encode() if isinstance(request.body, str) else request.body
        answer = asyncio.run(_exchange(request, body if isinstance(body, bytes) else None))
        if 300 <= answer.status < 400 or answer.is_cut:
            raise ProviderFailed(AWAY, code="bad_answer", status=answer.status)
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.url = str(request.url)
        response.request = request
        response.raw = io.BytesIO(answer.body)
        response.elapsed = timedelta(milliseconds=answer.latency_ms)
        return response

    def close(self) -> None:
        """Nothing is kept open."""


async def _exchange(request: requests.PreparedRequest, body: bytes | None) -> egress.Response:
    try:
        return await egress.exchange(
            str(request.url),
            method=str(request.method),
            headers={str(name): str(value) for name, value in request.headers.items()},
            content=body,
            timeout_s=TIMEOUT_S,
            max_bytes=MOST_BYTES,
        )
    finally:
        await egress.close()


class SocialAdapter(DefaultSocialAccountAdapter):
    """Issuers come from the settings alone, nobody signs up, and requests leave through `portal.egress`."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Say no."""
        return False

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[Any]:
        """Return the configured issuers as allauth's apps; no row of the database is one."""
        found = _build_apps_from_settings(provider=provider, client_id=client_id)
        return [app for apps in found.values() for app in apps]

    def get_requests_session(self) -> requests.Session:
        """Return a session that reads no proxy or password from the environment."""
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", _Egress())
        session.mount("http://", _Egress())
        return session

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send nothing: notices go out where the change is put on record."""


# --- the protocol -------------------------------------------------------------------------------------------


class _IssuerAdapter(OpenIDConnectOAuth2Adapter):
    """allauth's side of one issuer, held to the configured issuer."""

    def get_provider(self) -> Any:
        """Return the issuer as allauth's provider, with this class as its adapter."""
        provider = super().get_provider()
        provider.oauth2_adapter_class = _IssuerAdapter
        return provider

    @property
    def openid_config(self) -> Any:
        """Return the discovery document. Raises ProviderFailed for one of another issuer or with open endpoints."""
        if not hasattr(self, "_checked"):
            found = super().openid_config
            issuer = issuer_of(self.provider_id)
            if issuer is None or found.get("issuer") != issuer.url:
                raise ProviderFailed(AWAY, code="other_issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
                scheme = urlsplit(str(found.get(name, ""))).scheme
                if name in _MAY_BE_LEFT_OUT and name not in found:
                    continue
                if scheme != "https" and not (settings.DESK_MODE and scheme == "http"):
                    raise ProviderFailed(AWAY, code="bad_endpoint")
            self._checked = found
        return self._checked

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        """Return where the issuer sends the browser back to."""
        return request.build_absolute_uri(reverse("oidc-callback", args=[self.provider_id]))

    def claims_in(self, app: Any, id_token: str) -> dict[str, Any]:
        """Return what the issuer says of the person, its signature verified. Raises Refused."""
        try:
            header = jwt.get_unverified_header(id_token)
            if header.get("alg") not in _ALGORITHMS:
                raise Refused(NOT_BELIEVED, code="bad_algorithm")
            claims: dict[str, Any] = jwt.decode(
                id_token,
                self._key(header.get("kid")),
                algorithms=[header["alg"]],
                issuer=self.openid_config["issuer"],
                audience=app.client_id,
                leeway=CLOCKS_DIFFER_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise Refused(NOT_BELIEVED, code="bad_id_token") from error
        _refuse_anothers(claims, app.client_id)
        return claims

    def _key(self, kid: Any) -> Any:
        """Return the issuer's key of this id; a token that names none was signed with its only one."""
        with SocialAdapter(self.request).get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        fitting = [key for key in keys if key.public_key_use in {None, "sig"} and kid in {None, key.key_id}]
        if len(fitting) != 1:
            raise Refused(NOT_BELIEVED, code="bad_key")
        return fitting[0].key


def _refuse_anothers(claims: Mapping[str, Any], client_id: str) -> None:
    """Raise Refused for a token that was issued to another program, if for us too (OpenID Connect Core, 3.1.3.7)."""
    audience = claims["aud"]
    is_shared = isinstance(audience, list) and len(audience) > 1
    if (is_shared or "azp" in claims) and claims.get("azp") != client_id:
        raise Refused(NOT_BELIEVED, code="other_party")


def _provider(request: HttpRequest, slug: str) -> Any:
    return _IssuerAdapter(request, slug).get_provider()


def begin(request: HttpRequest, issuer: Issuer, *, next_url: str, purpose: str) -> HttpResponse:
    """Send the browser to the issuer. `purpose` is login or proof. Raises TryLater where the issuer is away."""
    provider = _provider(request, issuer.slug)
    nonce = secrets.token_urlsafe(24)
    asked = {"nonce": nonce}
    if purpose == "proof":
        asked |= {"prompt": "login", "max_age": "0"}
    try:
        answer: HttpResponse = provider.redirect(
            request, purpose, next_url=next_url, auth_params=asked, nonce=nonce, begun_at=time.time()
        )
    except (
        Trouble,
        requests.RequestException,
        KeyError,
        ValueError,
        AttributeError,
    ) as error:
        raise TryLater(AWAY, after_s=60, code="issuer_away") from error
    return answer


def finish(request: HttpRequest, issuer: Issuer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (what was begun, what the issuer says of the person), believed.

    Raises Refused for a foreign or stale answer, TryLater where the issuer is away.
    """
    provider = _provider(request, issuer.slug)
    state = statekit.unstash_state(
        request, provider_id=provider.sub_id, state_id=request.GET.get("state", "")[:200]
    )
    if state is None:
        raise Refused(BEGUN_ELSEWHERE, code="state")
    if "code" not in request.GET:
        raise Refused("The organization's log-in was not finished. Nothing was done.", code="cancelled")
    adapter = provider.get_oauth2_adapter(request)
    try:
        client = adapter.get_client(request, provider.app)
        answer = adapter.get_access_token_data(
            request, provider.app, client, pkce_code_verifier=state.get("pkce_code_verifier")
        )
        claims = adapter.claims_in(provider.app, str(answer.get("id_token", "")))
        if not constant_time_compare(str(claims.get("nonce", "")), str(state.get("nonce", "-"))):
            raise Refused(NOT_BELIEVED, code="nonce")
        if "email" not in claims and "userinfo_endpoint" in adapter.openid_config:
            more = adapter._fetch_user_info(answer["access_token"])
            if more.get("sub") == claims["sub"]:
                claims = {**more, **claims}
    except OAuth2Error as error:
        raise Refused(NOT_BELIEVED, code="token") from error
    except (
        TryLater,
        ProviderFailed,
        requests.RequestException,
        KeyError,
        ValueError,
        AttributeError,
    ) as error:
        raise TryLater(AWAY, after_s=60, code="issuer_away") from error
    return state, claims


def is_fresh(state: Mapping[str, Any], claims: Mapping[str, Any], *, now_s: float) -> bool:
    """Whether the issuer says that the person logged in there after this was begun, and minutes ago at most.

    `now_s` is Unix time in seconds, as `auth_time` is (OpenID Connect Core, section 2). An issuer may ignore that a
    new log-in was asked for; one that names no time, or an odd one, proves nothing.
    """
    at, begun_at = claims.get("auth_time"), state.get("begun_at")
    # True is a whole number to Python.
    if isinstance(at, bool) or not isinstance(at, int | float) or not isinstance(begun_at, float):
        return False
    since = max(begun_at, now_s - PROVEN_WITHIN_S) - CLOCKS_DIFFER_S
    return since <= at <= now_s + CLOCKS_DIFFER_S


# --- who it is ----------------------------------------------------------------------------------------------


def _subject_in(claims: Mapping[str, Any]) -> str:
    """Return the issuer's name for the person; empty for one that cannot be kept as it is.

    Shortened or changed it could be another's: OpenID Connect Core allows 255 characters, all of them ASCII.
    """
    subject = claims.get("sub")
    is_fit = isinstance(subject, str) and len(subject) <= MOST_SUBJECT and _PLAIN.fullmatch(subject)
    return subject if isinstance(subject, str) and is_fit else ""


def _mail_in(claims: Mapping[str, Any]) -> str:
    """Return the verified mail address in small letters; empty for none, or for one beyond ASCII.

    Unicode holds other letters of which the small one is ours: the Kelvin sign would become Kate's k.
    """
    mail = claims.get("email") if claims.get("email_verified") is True else None
    return mail.lower() if isinstance(mail, str) and _PLAIN.fullmatch(mail) else ""


@transaction.atomic
def user_for(issuer: Issuer, claims: Mapping[str, Any]) -> User:
    """Return the user whom the issuer speaks of, tied to its subject. Raises Refused, the same for every reason.

    A tie holds while the issuer vouches for the user's address of today: who left the organization, or whose domain
    it lost, is none of its people. Three questions are asked of the database whatever the answers are.
    """
    subject = _subject_in(claims)
    mail = _mail_in(claims)
    # One organization's word opens no log-in of another's people.
    mail = mail if issuer.vouches_for(mail) else ""
    link = SocialAccount.objects.select_related("user").filter(provider=issuer.url, uid=subject).first()
    found = User.objects.select_for_update().filter(email=mail or "nobody").first()
    other = SocialAccount.objects.filter(provider=issuer.url, user_id=found.pk if found else 0).exists()
    if link is not None and link.user.is_active and issuer.vouches_for(link.user.email):
        return link.user
    if not subject or link is not None or found is None or not found.is_active or other:
        raise Refused(NOT_LET_IN, code="not_let_in")
    SocialAccount.objects.create(user=found, provider=issuer.url, uid=subject)
    record("oidc.linked", actor=found, subject=found, after={"issuer": issuer.url, "subject": subject})
    notices.tell_login_changed(found, f"A log-in through {issuer.name} was linked")
    return found


def prove(request: HttpRequest, issuer: Issuer, state: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Note in the session that the user at hand has just proved at the issuer who they are. Raises Refused.

    Only a log-in that is linked to this user proves anything; a proof links none.
    """
    user = request.user
    if not user.is_authenticated:
        raise Refused(BEGUN_ELSEWHERE, code="nobody_here")
    subject = _subject_in(claims)
    is_tied = SocialAccount.objects.filter(user_id=user.pk, provider=issuer.url, uid=subject).exists()
    if not (is_tied and issuer.vouches_for(user.email)):
        raise Refused(NOT_YOURS, code="somebody_else")
    if not is_fresh(state, claims, now_s=time.time()):
        raise Refused(NOT_FRESH, code="not_fresh")
    proof.keep(request, "socialaccount", provider=issuer.slug, is_proof=True)


def note_refusal(issuer: Issuer, refusal: Refused, user: User | None = None) -> None:
    """Put on record that an answer of the issuer let nobody in, or proved nothing for `user`."""
    record_flood(
        "oidc.refused",
        why=f"{refusal.code}:{user.pk if user else 0}",
        actor=user,
        after={"issuer": issuer.url, "why": refusal.code},
    )


def note_login(
    request: HttpRequest, user: User, issuer: Issuer, state: Mapping[str, Any], claims: Mapping[str, Any]
) -> None:
    """Note in the session how `user`, who is about to be logged in, came.

    It is a proof only if the issuer says that it asked: an old session there would let whoever finds the browser in.
    """
    is_proof = is_fresh(state, claims, now_s=time.time())
    record_authentication(request, user, "socialaccount", provider=issuer.slug, is_proof=is_proof)


# --- links of one user --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """A way in through an organization, as its owner sees it.

    `slug` is None for one that lets in no more: not configured, or not for the user's present address.
    """

    ref: UUID
    name: str
    slug: str | None


def linked_to(user: User) -> list[Link]:
    """Return the organizations through which a user can log in, by name or, if not configured any more, by address."""
    known = {one.url: one for one in issuers()}
    rows = SocialAccount.objects.filter(user=user).order_by("pk").values_list("pk", "provider")
    return [
        Link(
            ref_of("link", pk),
            known[url].name if url in known else url,
            known[url].slug if url in known and known[url].vouches_for(user.email) else None,
        )
        for pk, url in rows
    ]


def is_only_way_in(user: User, link: Link) -> bool:
    """Whether this user could not log in any more without `link`: no password, and no other issuer in use."""
    if user.has_usable_password():
        return False
    return not any(one.slug is not None for one in linked_to(user) if one.ref != link.ref)


def keeps_a_way_in(user: User, email: str) -> bool:
    """Whether this user could still log in with `email` as their address: a password, or a link that fits it."""
    if user.has_usable_password():
        return True
    fitting = [one.url for one in issuers() if one.vouches_for(email)]
    return SocialAccount.objects.filter(user=user, provider__in=fitting).exists()


def drop_unfit_links(user: User) -> None:
    """Take away each link whose issuer does not vouch for the user's address, in the caller's transaction.

    Each is on record, and its owner told. Such a link lets nobody in; kept, it would come back with the address.
    """
    known = {one.url: one for one in issuers()}
    for row in SocialAccount.objects.filter(user=user).order_by("pk"):
        issuer = known.get(row.provider)
        if issuer is not None and issuer.vouches_for(user.email):
            continue
        row.delete()
        record("oidc.unlinked", actor=user, subject=user, before={"issuer": row.provider, "subject": row.uid})
        name = issuer.name if issuer is not None else row.provider
        notices.tell_login_changed(
            user, f"The log-in through {name} was unlinked: it does not vouch for your new mail address"
        )


@transaction.atomic
def unlink(user: User, ref: UUID) -> Link | None:
    """Take one link away; sessions that came by it go on. None if there is none of that reference.

    Raises Refused where it is the only way in.
    """
    locked = User.objects.select_for_update().get(pk=user.pk)
    link = next((one for one in linked_to(locked) if one.ref == ref), None)
    if link is None:
        return None
    if is_only_way_in(locked, link):
        raise Refused(ONLY_WAY_IN, code="only_way_in")
    row = next(row for row in SocialAccount.objects.filter(user=locked) if ref_of("link", row.pk) == ref)
    row.delete()
    record("oidc.unlinked", actor=user, subject=user, before={"issuer": row.provider, "subject": row.uid})
    notices.tell_login_changed(user, f"The log-in through {link.name} was unlinked")
    return link
