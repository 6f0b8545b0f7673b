"""Orders that come by voice: their kinds, and whose authority covers which. Values in, values out."""

from __future__ import annotations

from django.db import models

from accounts.models import Authority


class OrderKind(models.TextChoices):
    """What a spoken order asks for."""

    REBOOT = "reboot", "reboot a server"
    PUT_BACK = "put_back", "put a server back"
    STOP = "stop", "stop a run, or everything"
    TECHNICAL = "technical", "another technical matter"
    DELETE = "delete", "delete something"
    SPEND = "spend", "spend money: more servers, a service, a contract"


NEEDS: dict[OrderKind, Authority] = {
    OrderKind.REBOOT: Authority.TECHNICAL,
    OrderKind.PUT_BACK: Authority.TECHNICAL,
    OrderKind.STOP: Authority.TECHNICAL,
    OrderKind.TECHNICAL: Authority.TECHNICAL,
    OrderKind.DELETE: Authority.SPEND,
    OrderKind.SPEND: Authority.SPEND,
}
_GROWING = list(Authority)


def covers(authority: str, kind: str) -> bool:
    """Whether a contact with this authority may give an order of this kind: each covers what the one before it does."""
    return _GROWING.index(Authority(authority)) >= _GROWING.index(NEEDS[OrderKind(kind)])
