"""Print docs/access.md, made from the one table in portal/access.py: `manage.py access_docs > docs/access.md`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from portal.access import ACCOUNT_ROLES, PERSONAL, SERVICE_ROLES, SERVICE_SCOPES, TEAM_ROLES, Permission

_HEAD = """# Who may do what

Made from `portal/access.py` by `manage.py access_docs`; a test compares the two. Do not edit it by hand.

What is another account's is not there (404). A right that one lacks on an account that one sees is refused
(403) and put on record. `is_superuser` grants nothing. An operator runs the installation and sees no row of
any account. A browser session has all scopes of its user; an API token only those it was made with.
"""


def access_page() -> str:
    """Return the whole page."""
    tables = {**ACCOUNT_ROLES, **TEAM_ROLES}
    lines = [
        _HEAD,
        "| may | scope | " + " | ".join(role.replace("_", " ") for role in tables) + " |",
        "| --- | --- |" + " :-: |" * len(tables),
    ]
    for permission in Permission:
        if permission in PERSONAL:
            continue
        marks = ["yes" if permission in may else "" for may in tables.values()]
        lines.append(f"| {permission.says} | `{permission.scope}` | " + " | ".join(marks) + " |")
    lines.append(
        "\nAn account's service token is made in one of the roles "
        + ", ".join(role.replace("_", " ") for role in SERVICE_ROLES)
        + ", never above its maker's, and ends with its maker's right to make it. Its scopes are among these, and it "
        "does nothing that takes a person:\n"
    )
    lines.append(", ".join(f"`{scope}`" for scope in SERVICE_SCOPES))
    lines.append("\nAsked of the person and not of a role:\n")
    lines += [f"- {permission.says}" for permission in Permission if permission in PERSONAL]
    return "\n".join(lines) + "\n"


class Command(BaseCommand):
    """Print the page."""

    help = "Print docs/access.md as the table in portal/access.py has it."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        self.stdout.write(access_page(), ending="")
