"""The organizations through which people log in, as the operator configured them."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Issuer:
    """One issuer. Its word on a mail address counts for addresses of its own `domains`, and of no other's."""

    slug: str
    name: str
    url: str
    domains: frozenset[str] = frozenset()

    def vouches_for(self, mail: str) -> bool:
        """Whether this address, in small letters, is of one of its domains."""
        return mail.rpartition("@")[2] in self.domains


def issuers() -> list[Issuer]:
    """Return what the operator configured, in that order."""
    return [
        Issuer(one["id"], one["name"], one["issuer"], frozenset(one["domains"].split()))
        for one in settings.OIDC_ISSUERS
    ]


def issuer_of(slug: str) -> Issuer | None:
    """Return the issuer of this short name."""
    return next((one for one in issuers() if one.slug == slug), None)
