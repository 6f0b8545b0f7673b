"""What the portal itself tells."""

from __future__ import annotations

from portal.notify.registry import Kind, Purpose, register_purpose

OWN = (Purpose("mail_returned", Kind.NOTICE, "A mail could not be delivered"),)


def register_own() -> None:
    """Register the purposes of `portal` itself."""
    for purpose in OWN:
        register_purpose(purpose)
