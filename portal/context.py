"""What every page knows: what the user may do, a standstill in force, a sleeping engine, the request's id."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from portal.access import Can
from portal.alarms import engine_asleep, standstills_for


def portal(request: HttpRequest) -> dict[str, Any]:
    """Return the context of every page. `can` is empty until a view found an account.

    Alarms are shown to people who are logged in, and a page asks the database for them once.
    """
    user = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    return {
        "can": Can(frozenset()),
        "request_id": getattr(request, "request_id", ""),
        "palette_url": reverse("palette") if known else "",
        "engine_asleep": engine_asleep(user) if known else None,
        "standstills": standstills_for(user) if known else [],
    }
