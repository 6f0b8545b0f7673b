"""Pages behind the links that contacts are mailed, and the address at which returned mail is told.

Nobody logs in here: the link is the key. GET and HEAD change nothing, whoever opens them; a wrong, ended or revoked link
says the same to everybody and names nobody.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt

from accounts import throttle
from accounts.contacts import asking, selectors
from accounts.contacts.models import ContactLink, LinkFor
from portal.access import Permission, PortalView
from portal.audit.facts import current_facts
from portal.errors import Refused, StaleState

MOST_BOUNCE_BYTES = 20_000


class ContactLinkPage(PortalView):
    """What a contact's link opens. A button on it answers."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, link_token: str) -> HttpResponse:
        """Say what is asked; change nothing."""
        link = asking.link_of(link_token, now=timezone.now())
        return self._page(link) if link is not None else self._gone()

    def post(self, request: HttpRequest, link_token: str) -> HttpResponse:
        """Take the answer of the button that was pressed."""
        link = asking.link_of(link_token, now=timezone.now())
        if link is None:
            return self._gone(link_token)
        agent = request.headers.get("User-Agent", "")[:300]
        seen = request.POST.get("seen", "")
        try:
            match request.POST.get("answer"):
                case "code":
                    code = request.POST.get("code", "")[:20]
                    right = asking.answer_code(link_token, code, seen=seen, agent=agent)
                    if right:
                        return self._done("Your number is proven", "Thank you. You can hang up now.")
                    return self._page(
                        link, problem="This is not the code. Have it read out once more.", status=422
                    )
                case "disown":
                    asking.disown(
                        link_token, text=" ".join(request.POST.get("text", "").split()), agent=agent
                    )
                    return self._done(
                        "It was passed on",
                        "No mail of the portal comes here any more. Whoever looks after the account was told, and an "
                        "admin of it can erase what is held.",
                    )
                case "yes":
                    done = asking.answer(link_token, seen=seen, agent=agent)
                    if done.is_doubtful:
                        return self._page(
                            link,
                            problem="That came within five seconds of the mail, as answers of machines do. "
                            "Please press once more.",
                            status=422,
                        )
                    return self._done("Thank you", "It is noted. Nothing more is to be done.")
                case _:
                    return self._page(link, problem="Press one of the buttons.", status=422)
        except Refused as refusal:
            # Answered here: the address of this page must reach no record of refusals.
            still = asking.link_of(link_token, now=timezone.now())
            if still is None:
                return self._gone(link_token)
            status = 409 if isinstance(refusal, StaleState) else 422
            return self._page(still, problem=refusal.says, status=status)

    def _gone(self, pressed: str = "") -> HttpResponse:
        """Answer for a link that opens nothing: whoever pressed its button twice is thanked, all others hear the same."""
        now = timezone.now()
        if pressed and asking.was_answered(pressed, now=now):
            return self._done("Your answer is noted", "Thank you. Nothing more is to be done.")
        # Counted, so that nobody tries tokens at will.
        throttle.take_link(current_facts().address, now=now)
        return self._kept_nowhere(
            self.render("accounts/contacts/link_gone.html", status=404, says=asking.GONE)
        )

    def _page(self, link: ContactLink, *, problem: str = "", status: int = 200) -> HttpResponse:
        contact = link.contact
        now = timezone.now()
        held = selectors.held_about(contact, now) if link.use == LinkFor.SEE else None
        return self._kept_nowhere(
            self.render(
                "accounts/contacts/link.html",
                status=status,
                link=link,
                seen=asking.shown_by(link),
                contact=contact,
                place=contact.account,
                held=held,
                problem=problem,
                has_code=asking.has_code(contact, now=now),
            )
        )

    def _done(self, title: str, text: str) -> HttpResponse:
        return self._kept_nowhere(self.render("accounts/contacts/link_done.html", title=title, text=text))

    def _kept_nowhere(self, response: HttpResponse) -> HttpResponse:
        # As with invitations: not kept by the browser, and its address is named to this host alone.
        response["Cache-Control"] = "no-store"
        return response


@method_decorator(csrf_exempt, name="dispatch")
class MailBounces(PortalView):
    """Where the mail system tells that a mail of the portal came back, with a secret of its own (docs/operations.md)."""

    permission = Permission.PUBLIC

    def post(self, request: HttpRequest) -> HttpResponse:
        """Take `{"message_id": …, "says": …}`: 204, 404 for a mail that nobody knows, 401 without the secret."""
        if not settings.MAIL_BOUNCE_SECRET:
            raise Http404
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {settings.MAIL_BOUNCE_SECRET}".encode()):
            return JsonResponse(
                {"detail": "Send Authorization: Bearer and the secret of the mail system."}, status=401
            )
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not (length.isascii() and length.isdigit()) or int(length) > MOST_BOUNCE_BYTES:
            return JsonResponse({"detail": "The body is too large."}, status=413)
        try:
            body: Any = json.loads(request.body or b"null")
        except ValueError:
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("message_id"), str):
            return JsonResponse({"detail": "Send JSON with message_id and says."}, status=422)
        says = body.get("says", "")
        text = "".join(char for char in says if char.isprintable()) if isinstance(says, str) else ""
        if not asking.mail_came_back(body["message_id"][:300], text):
            return JsonResponse({"detail": "No mail with this Message-ID is known."}, status=404)
        return HttpResponse(status=204)
