"""What every page knows: what the user may do, a standstill in force, a sleeping engine, the request's id."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Value
from django.http import HttpRequest
from django.urls import reverse

from portal.access import Can, lacks_second_factor, own_teams
from portal.alarms import engine_asleep, standstills_for
from portal.middleware import is_here
from portal.notify.selectors import MOST_COUNTED, notices_of
from portal.runs.selectors import signs_of_trouble


def portal(request: HttpRequest) -> dict[str, Any]:
    """Return the context of every page. `can` is empty until a view found an account.

    Alarms are shown to people who are logged in; while all is quiet a page learns by one query that it is, and
    how many notices are unread. It is asked once: a page that is put together from several templates asks no more.
    """
    known: dict[str, Any] | None = getattr(request, "_portal_context", None)
    if known is None:
        known = request._portal_context = _of(request)  # type: ignore[attr-defined]
    return dict(known)


def _of(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    has_mailbox = settings.DESK_MODE and is_here(request)
    amiss, unread, in_team = _at_a_glance(user) if known else (False, 0, False)
    # Whoever is held back for the want of a second factor reads nothing of accounts, also not what is wrong with them.
    amiss = amiss and not lacks_second_factor(user)
    if known:
        # What decides which entries of the navigation somebody is shown (portal/ui/nav.py).
        user.is_in_team = in_team  # type: ignore[union-attr]
    return {
        "can": Can(frozenset()),
        "request_id": getattr(request, "request_id", ""),
        "palette_url": reverse("palette") if known else "",
        "notices_unread": unread,
        "desk_mail_url": reverse("desk-mail") if has_mailbox else "",
        "engine_asleep": engine_asleep(user) if amiss else None,
        "standstills": standstills_for(user) if amiss else [],
    }


def _at_a_glance(user: Any) -> tuple[bool, int, bool]:
    """Return whether anything is amiss, how many of the user's notices are unread (up to MOST_COUNTED + 1), and whether
    the user belongs to a team: one query.
    """
    unread = notices_of(user).filter(read_at__isnull=True).order_by().values_list(Value("unread"))
    overdue, standing = signs_of_trouble()
    teams = own_teams(user).values_list(Value("team"))[:1]
    signs = [sign for (sign,) in overdue.union(standing, unread[: MOST_COUNTED + 1], teams, all=True)]
    count, in_team = signs.count("unread"), "team" in signs
    return len(signs) > count + in_team, count, in_team
