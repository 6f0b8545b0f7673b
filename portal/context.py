"""What every page knows: what the user may do, a standstill in force, a sleeping engine, the request's id."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from portal.access import Can
from portal.alarms import engine_asleep, standstills_for
from portal.middleware import is_here
from portal.notify.selectors import unread_count


def portal(request: HttpRequest) -> dict[str, Any]:
    """Return the context of every page. `can` is empty until a view found an account.

    Alarms are shown to people who are logged in, and a page asks the database for them once.
    """
    user = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    has_mailbox = settings.DESK_MODE and is_here(request)
    return {
        "can": Can(frozenset()),
        "request_id": getattr(request, "request_id", ""),
        "palette_url": reverse("palette") if known else "",
        "engine_asleep": engine_asleep(user) if known else None,
        "standstills": standstills_for(user) if known else [],
        # Asked for by the bell alone, so that a part of a page does not count.
        "notices_unread": SimpleLazyObject(lambda: unread_count(user)) if known else 0,
        "desk_mail_url": reverse("desk-mail") if has_mailbox else "",
    }
