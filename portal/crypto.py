"""Secrets at rest: text encrypted with the keys of `settings.FIELD_KEYS` (the first encrypts, all decrypt)."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


def _keys() -> MultiFernet:
    if not settings.FIELD_KEYS:
        raise ImproperlyConfigured(
            "FIELD_KEYS is empty, so no secret can be stored or read. Set it to one or more Fernet keys."
        )
    try:
        return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])
    except ValueError as error:
        raise ImproperlyConfigured(
            "FIELD_KEYS holds a value that is no Fernet key (32 bytes, url-safe base64)."
        ) from error


def encrypt(text: str) -> str:
    """Return `text` encrypted with the newest key."""
    return _keys().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Return the text of `token`. Raises ImproperlyConfigured if no configured key fits."""
    try:
        return _keys().decrypt(token.encode()).decode()
    except InvalidToken:
        raise ImproperlyConfigured("A stored secret fits none of the keys in FIELD_KEYS.") from None


def rotate(token: str) -> str:
    """Return the same secret encrypted with the newest key."""
    return _keys().rotate(token.encode()).decode()


class EncryptedTextField(models.TextField):
    """Text that the database sees only encrypted. It cannot be searched or ordered by."""

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way in."""
        value = super().get_prep_value(value)
        return None if value is None else encrypt(value)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Decrypt on the way out."""
        return None if value is None else decrypt(value)
