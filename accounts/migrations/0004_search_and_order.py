"""Indexes for searching and ordering accounts and contacts; built while the old version serves."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

from portal.search import SearchText


def _trigrams(name: str, *fields: str) -> GinIndex:
    return GinIndex(OpClass(SearchText(*fields), name="gin_trgm_ops"), name=name)


_INDEXES: tuple[tuple[str, models.Index], ...] = (
    ("account", models.Index(fields=["number", "id"], name="account_number")),
    ("account", models.Index(fields=["milestone", "id"], name="account_milestone")),
    ("account", models.Index(fields=["created_at", "id"], name="account_created")),
    ("account", _trigrams("account_search", "name", "number")),
    ("contact", models.Index(fields=["account", "name", "id"], name="contact_name")),
    (
        "contact",
        models.Index(fields=["account", "confirmed_on", "id"], include=["roles"], name="contact_freshness"),
    ),
    ("contact", _trigrams("contact_search", "name", "email", "phone")),
)


class Migration(migrations.Migration):
    """Indexes only."""

    atomic = False
    dependencies = [("accounts", "0003_invitations"), ("portal", "0003_search")]
    operations = [AddIndexConcurrently(model_name=model, index=index) for model, index in _INDEXES]
