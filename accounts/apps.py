"""Teams, accounts, members, contacts, cloud connections and tokens."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """App label `accounts`."""

    name = "accounts"
    verbose_name = "Accounts"
