"""The seal of one audit entry: HMAC-SHA256 over every column of it, its number and the seal before it.

Pure but for the keys, which come from the settings and never from the database: whoever can write every table can
still make no seal. A seal says by which key (`key_id`) and over which columns (`format`) it was made.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

FORMAT = 1
GENESIS = bytes(32)
"""What stands before the first seal."""
_DOMAIN = b"steady-state audit seal\x00"
_NULL = b"\xff\xff\xff\xff"

# Per format: column and how PostgreSQL spells its value as text. A test holds the newest against the model, so that
# no column can be added that no seal covers. jsonb has one spelling in PostgreSQL: sorted keys, numbers as given.
COLUMNS: Mapping[int, tuple[tuple[str, str], ...]] = {
    1: (
        ("id", "e.id::text"),
        ("at", "(extract(epoch FROM e.at) * 1000000)::bigint::text"),
        ("what", "e.what"),
        ("actor_ref", "e.actor_ref"),
        ("actor_name", "e.actor_name"),
        ("on_behalf_of_ref", "e.on_behalf_of_ref"),
        ("on_behalf_of_name", "e.on_behalf_of_name"),
        ("account_ref", "e.account_ref::text"),
        ("account_name", "e.account_name"),
        ("subject_type", "e.subject_type"),
        ("subject_ref", "e.subject_ref"),
        ("subject_label", "e.subject_label"),
        ("before", "e.before::text"),
        ("after", "e.after::text"),
        ("reason", "e.reason"),
        ("address", "e.address::text"),
        ("token_prefix", "e.token_prefix"),
        ("request_id", "e.request_id"),
    )
}


def selected(version: int = FORMAT) -> str:
    """Return the SQL list of an entry's columns (`e`) as text, in the order in which they are sealed."""
    return ", ".join(spelling for _, spelling in COLUMNS[version])


@dataclass(frozen=True)
class Keys:
    """The keys by id. `newest` seals, all verify."""

    newest: str
    by_id: Mapping[str, bytes]


def key_id_of(key: bytes) -> str:
    """Return the name under which seals mention a key: 8 hex digits that say nothing of the key."""
    return hmac.digest(key, b"steady-state audit key id", "sha256").hex()[:8]


def configured_keys() -> Keys:
    """Return AUDIT_KEY and the retired AUDIT_OLD_KEYS. Raises ImproperlyConfigured without AUDIT_KEY."""
    if not settings.AUDIT_KEY:
        raise ImproperlyConfigured(
            "AUDIT_KEY is not set, so the audit can be neither sealed nor verified. Set the key with which it was sealed."
        )
    present = settings.AUDIT_KEY.encode()
    retired = [key.strip().encode() for key in settings.AUDIT_OLD_KEYS if key.strip()]
    return Keys(key_id_of(present), {key_id_of(key): key for key in [present, *retired]})


def seal_of(
    key: bytes,
    *,
    no: int,
    previous: bytes,
    values: Sequence[str | None],
    version: int = FORMAT,
) -> bytes:
    """Return the 32 bytes of a seal. `values` are the entry's columns as `selected(version)` reads them.

    Each value goes in with its length before it (or a mark for NULL), so no two entries have the same encoding.
    """
    parts = [_DOMAIN, version.to_bytes(2, "big"), no.to_bytes(8, "big"), previous]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            text = value.encode()
            parts.append(len(text).to_bytes(4, "big"))
            parts.append(text)
    return hmac.digest(key, b"".join(parts), hashlib.sha256)
