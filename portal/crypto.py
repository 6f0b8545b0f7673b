"""Secrets at rest: text encrypted with the keys of `FIELD_KEYS`, newest first (the first encrypts, all decrypt).

To rotate: put a new key in front, restart, run `manage.py rotate_field_keys`, drop the old key.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models, transaction
from django.db.models.functions import Cast

from portal.errors import Refused


class Undecryptable(Refused):
    """A stored secret cannot be read with the configured keys."""


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured(
            "FIELD_KEYS is empty, so no secret can be stored or read. Set it to one or more Fernet keys, "
            "newest first, separated by commas."
        )
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except (ValueError, TypeError):
        # The key itself must not be in the message.
        raise ImproperlyConfigured(
            "FIELD_KEYS holds something that is no Fernet key: each is 32 bytes in URL-safe base64."
        ) from None


def _configured() -> MultiFernet:
    return _box(tuple(key.strip() for key in settings.FIELD_KEYS if key.strip()))


def has_keys() -> bool:
    """Whether any key is configured."""
    return any(key.strip() for key in settings.FIELD_KEYS)


def encrypt(text: str) -> str:
    """Return `text` encrypted with the newest key. Raises ImproperlyConfigured without a key."""
    return _configured().encrypt(text.encode()).decode("ascii")


def decrypt(token: str) -> str:
    """Return the text of a token made by `encrypt` with any configured key. Raises Undecryptable."""
    try:
        return _configured().decrypt(token.encode()).decode()
    except InvalidToken:
        raise Undecryptable(
            "A stored secret cannot be read with the configured keys. Nothing was changed. "
            "The operator can add the key that wrote it to FIELD_KEYS, or the secret is entered again.",
            code="undecryptable",
        ) from None


def rotate(token: str) -> str:
    """Return the same secret encrypted with the newest key. Raises Undecryptable."""
    try:
        return _configured().rotate(token.encode()).decode("ascii")
    except InvalidToken:
        raise Undecryptable(
            "A stored secret cannot be read with the configured keys, so it was left as it is.",
            code="undecryptable",
        ) from None


class EncryptedTextField(models.TextField):  # not generic at run time
    """Text that is encrypted in the database and plain in Python. It can be compared with nothing there."""

    description = "Text, encrypted at rest"

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way in. None stays None."""
        plain = super().get_prep_value(value)
        return None if plain is None else encrypt(plain)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Decrypt on the way out. Raises Undecryptable."""
        return None if value is None else decrypt(value)

    def get_lookup(self, lookup_name: str) -> Any:
        """Refuse every lookup but `isnull`: each encryption of the same text differs, so none could match."""
        if lookup_name != "isnull":
            raise FieldError(f"An encrypted field cannot be searched by {lookup_name!r}.")
        return super().get_lookup(lookup_name)


def encrypted_columns() -> list[tuple[type[models.Model], str]]:
    """Return every model and field name that holds secrets, in the order of the installed apps."""
    return [
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, EncryptedTextField)
    ]


_elsewhere: dict[str, Callable[[], int]] = {}


def register_rotation(label: str, rotate_all: Callable[[], int]) -> None:
    """Let `rotate_field_keys` also rotate secrets that lie in no encrypted column: `rotate_all` returns how many.

    Called in `AppConfig.ready()`. It must be possible to run it again, and it raises Undecryptable.
    """
    _elsewhere[label] = rotate_all


def rotations_elsewhere() -> list[tuple[str, Callable[[], int]]]:
    """Return what was registered, by label."""
    return sorted(_elsewhere.items())


def rotate_field(model: type[models.Model], field_name: str, *, batch: int = 200) -> int:
    """Encrypt every value of one encrypted column afresh with the newest key; return how many rows.

    Works in batches by primary key and can be run again. Raises Undecryptable at the first row that no
    configured key can read; rows before it are done.
    """
    done = 0
    last_pk: Any = 0
    # Values are moved as they are stored: loading instances would run model code that has no part in this.
    raw = Cast(field_name, output_field=models.TextField())
    while True:
        with transaction.atomic():
            rows = list(
                model._default_manager.select_for_update()
                .filter(pk__gt=last_pk, **{f"{field_name}__isnull": False})
                .order_by("pk")
                .annotate(_stored=raw)
                .values_list("pk", "_stored")[:batch]
            )
            for pk, stored in rows:
                fresh = models.Value(rotate(stored), output_field=models.TextField())
                model._default_manager.filter(pk=pk).update(**{field_name: fresh})
        if not rows:
            return done
        done += len(rows)
        last_pk = rows[-1][0]
