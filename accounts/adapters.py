"""Where allauth asks us: who may sign up (nobody), which steps a log-in has, how secrets are stored.

What allauth would say or send itself is silent here: our pages and notices speak, and the audit keeps record.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.http import HttpRequest
from django.urls import reverse

from portal import crypto
from portal.middleware import address_of

UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104  (nothing is bound to it: it stands for an address that is not known)


class AccountAdapter(DefaultAccountAdapter):
    """Log-in by mail and password. Nobody signs up: people come by invitation."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def get_login_stages(self) -> list[str]:
        """Return what stands between a right password and the session."""
        return ["accounts.second_factor.SecondFactorStage"]

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the caller's address as the rest of the portal knows it."""
        return address_of(request) or UNKNOWN_ADDRESS

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing: our pages do."""

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send nothing: notices go out where the change is put on record."""

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Say no: accounts/proof.py asks, before a view answers."""
        return False

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Return our one page for it."""
        return [{"id": "prove", "description": "", "url": reverse("prove")}]


class SecondFactorAdapter(DefaultMFAAdapter):
    """Secrets of a second factor are encrypted with the keys of `FIELD_KEYS`."""

    def encrypt(self, text: str) -> str:
        """Return the text encrypted with the newest key."""
        return crypto.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Return the text. Raises Undecryptable."""
        return crypto.decrypt(encrypted_text)

    def get_public_key_credential_user_entity(self, user: Any) -> dict[str, Any]:
        """Name the user to a security key by the public reference, never by a number of ours."""
        return {"id": user.ref.bytes, "display_name": user.name, "name": user.email}

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Return the portal's name and host."""
        return {**super().get_public_key_credential_rp_entity(), "name": "Steady State"}

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send nothing: notices go out where the change is put on record."""
