"""The organizations through which people log in, as the operator configured them."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Issuer:
    """One issuer as the log-in page shows it."""

    slug: str
    name: str
    url: str


def issuers() -> list[Issuer]:
    """Return what the operator configured, in that order."""
    return [Issuer(one["id"], one["name"], one["issuer"]) for one in settings.OIDC_ISSUERS]


def issuer_of(slug: str) -> Issuer | None:
    """Return the issuer of this short name."""
    return next((one for one in issuers() if one.slug == slug), None)
