"""Another mail address for one's log-in: asked for with a fresh proof, confirmed from the new mailbox, told to the old.

The link holds all that there is about it, encrypted, so nothing is stored before it is confirmed. It is good for a day,
for the same person's session alone, and once: it names the address that it replaces and the generation of sessions,
so a change of address or password, or ending all sessions, voids it. Asking for an address that somebody has looks the
same; its owner is told.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts import notices, oidc, throttle
from accounts.models import User
from accounts.sessions import end_all_sessions
from portal.audit.services import record
from portal.crypto import Undecryptable, decrypt, encrypt
from portal.errors import Refused, TryLater

LASTS_S = 24 * 3600
GONE = "This link opens nothing any more. Ask for a new one in your settings."
NO_WAY_IN = (
    "You log in through your organization alone, and it does not vouch for that address: with it you could not log in "
    "any more. Nothing was changed. Somebody who may invite people can see to it that you get another way first."
)


@dataclass(frozen=True)
class Change:
    """What a link says: from which address to which."""

    was: str
    email: str


def ask_for_change(user: User, email: str) -> None:
    """Mail a link to the new address.

    Raises Refused for the present one and for one with which the user could not log in, TryLater for too many wishes.
    """
    email = email.strip().lower()
    if email == user.email:
        raise Refused("This is your address already.", code="same_address")
    if not oidc.keeps_a_way_in(user, email):
        raise Refused(NO_WAY_IN, code="no_way_in")
    may_ask, may_send = throttle.take_mail_change(user.ref, email, now=timezone.now())
    if not may_ask:
        raise TryLater(
            "Too many changes were asked for. Wait a quarter of an hour, then try again.", after_s=900
        )
    with transaction.atomic():
        record("user.mail_asked", actor=user, subject=user)
        if not may_send:
            return
        owner = User.objects.filter(email=email).first()
        if owner is None:
            notices.tell_confirm_address(user, email, reverse("mail-confirm", args=[_link(user, email)]))
        elif owner.is_active:
            notices.tell_address_in_use(owner)


def _link(user: User, email: str) -> str:
    said = [str(user.ref), user.email, email, user.session_generation, int(time.time())]
    return encrypt(json.dumps(said)).rstrip("=")


def change_in(user: User, link: str) -> Change | None:
    """Return what a link would change for this user; None for one that is unknown, another's, over or used."""
    try:
        ref, was, email, generation, at = json.loads(decrypt(link + "=" * (-len(link) % 4)))
    except (Undecryptable, ValueError, TypeError):
        return None
    is_good = (
        ref == str(user.ref)
        and was == user.email
        and generation == user.session_generation
        and 0 <= time.time() - at < LASTS_S
    )
    if not is_good or User.objects.filter(email=email).exists():
        return None
    return Change(was, email)


@transaction.atomic
def confirm_change(request: HttpRequest, user: User, link: str) -> Change:
    """Make the address that of the log-in. Every other session ends; the old mailbox is told. Raises Refused.

    A link to an organization that does not vouch for the new address goes with the old one.
    """
    locked = User.objects.select_for_update().get(pk=user.pk)
    change = change_in(locked, link)
    if change is None:
        raise Refused(GONE, code="link_over")
    if not oidc.keeps_a_way_in(locked, change.email):
        raise Refused(NO_WAY_IN, code="no_way_in")
    before = {"email": locked.email}
    locked.email = user.email = change.email
    locked.save(update_fields=["email"])
    record("user.mail_changed", actor=locked, subject=locked, before=before, after={"email": change.email})
    notices.tell_address_changed(locked, old=change.was)
    oidc.drop_unfit_links(locked)
    end_all_sessions(user, actor=user, reason="mail address changed", keep=request)
    return change
