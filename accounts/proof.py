"""Fresh proof that it is really this person at the keyboard, before what an open browser must not allow.

A proof is a record that allauth keeps in the session: a password, a code, a key, a log-in at the organization.
It lasts `PROOF_LASTS_S`. Who has a second factor proves by it: a password that leaked with a stolen session is
no proof any more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib import messages
from django.forms import Form, MultipleChoiceField
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from accounts.issuers import Issuer, issuers
from accounts.models import User
from portal.access import PortalView
from portal.problems import ProofNeeded

STRONG = ("totp", "webauthn")
RAN_OUT = (
    "Nothing was done: the last proof that it is you ran out before you sent the form. Prove it, then fill the form "
    "in once more."
)
RAN_OUT_KEPT = (
    "Nothing was done: the last proof that it is you ran out before you sent the form. Prove it; what you typed is "
    "kept, then send it once more."
)
_F = TypeVar("_F", bound=Form)
_TYPED = "typed_before_proof"
_LONGEST_VALUE, _MOST_VALUES = 2000, 100


@dataclass(frozen=True)
class Ways:
    """How a user can prove who they are: by a second factor where there is one, else by what they log in with."""

    code: bool
    key: bool
    password: bool
    issuers: tuple[Issuer, ...]


def ways_of(user: User) -> Ways:
    """Return how this user can prove who they are, in one or two queries."""
    types = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    if types & set(STRONG):
        return Ways("totp" in types or "recovery_codes" in types, "webauthn" in types, False, ())
    if user.has_usable_password():
        return Ways(False, False, True, ())
    linked = set(SocialAccount.objects.filter(user=user).values_list("provider", flat=True))
    fitting = (one for one in issuers() if one.url in linked and one.vouches_for(user.email))
    return Ways(False, False, False, tuple(fitting))


def is_fresh(request: HttpRequest) -> bool:
    """Whether the user has proved who they are within `PROOF_LASTS_S`, by the strongest way they have."""
    user = request.user
    if not user.is_authenticated:
        return False
    since = time.time() - settings.PROOF_LASTS_S
    made = {
        one.get("method")
        for one in get_authentication_records(request, user)
        # A log-in at an organization counts where the organization said that it was made just now.
        if one.get("at", 0) >= since and (one.get("method") != "socialaccount" or one.get("is_proof") is True)
    }
    if "mfa" in made:
        return True
    if not made:
        return False
    # Only now is the database asked: most callers have a proof or none.
    return not Authenticator.objects.filter(user_id=user.pk, type__in=STRONG).exists()


def keep(request: HttpRequest, method: str, **facts: Any) -> None:
    """Note a proof in the session: `method` is password, mfa or socialaccount."""
    record_authentication(request, request.user, method, reauthenticated=True, **facts)


def ask_for_it(request: HttpRequest, *, back: str = "") -> HttpResponseBase:
    """Send the browser to prove who is there, and then to the page `back` (the one at hand, if none is named)."""
    back = back or request.get_full_path()
    return redirect(f"{reverse('prove')}?{urlencode({'next': back})}")


def need_from_session(request: Any) -> None:
    """For the API: a browser's session must carry a fresh proof; a token is one. Raises ProofNeeded (403)."""
    if request.auth is None and not is_fresh(request):
        raise ProofNeeded()


class ProvenPage(PortalView, abstract=True):
    """A page that wants a fresh proof first.

    `keeps` names the fields of its form that come back filled when the proof ran out before the form was sent: never
    a password, a code or a key. They wait in the session, so neither an address nor a log has them.
    """

    keeps: ClassVar[tuple[str, ...]] = ()

    def filled(self, form: _F) -> _F:
        """Return a form of this page with what was typed into it before the proof; that is given once."""
        kept = self.request.session.pop(_TYPED, None)
        is_ours = isinstance(kept, dict) and kept.get("path") == self.request.path
        if is_ours and kept.get("at", 0) >= time.time() - settings.PROOF_LASTS_S:
            for name, values in kept["fields"].items():
                if name in form.fields and values:
                    is_many = isinstance(form.fields[name], MultipleChoiceField)
                    form.initial[name] = values if is_many else values[0]
        return form

    def _keep_typed(self, request: HttpRequest) -> None:
        fields = {name: request.POST.getlist(name)[:_MOST_VALUES] for name in self.keeps}
        if all(len(value) <= _LONGEST_VALUE for values in fields.values() for value in values):
            request.session[_TYPED] = {"path": request.path, "at": time.time(), "fields": fields}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Ask for it unless there is one; whoever is not logged in is sent to the log-in."""
        if request.user.is_authenticated and not is_fresh(request):
            if request.method == "POST":
                if self.keeps:
                    self._keep_typed(request)
                messages.warning(request, RAN_OUT_KEPT if _TYPED in request.session else RAN_OUT)
            # What has no page of its own to come back to is asked for again from the settings.
            return ask_for_it(request, back="" if hasattr(self, "get") else reverse("me"))
        return super().dispatch(request, *args, **kwargs)
