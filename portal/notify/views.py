"""Own notices, how one is told, and on a desk the mailbox: read input, call one service, answer."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import mark_safe

from portal.access import Permission, PortalView
from portal.middleware import is_here
from portal.notify import selectors, services
from portal.notify.forms import PreferenceForm
from portal.notify.models import Message
from portal.notify.sending import render
from portal.paging import keyset


class Notices(PortalView):
    """What one was told, newest first."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them, or only the unread ones (`?show=unread`)."""
        rows = selectors.notices_of(self.user).select_related("account")
        show = "unread" if request.GET.get("show") == "unread" else "all"
        if show == "unread":
            rows = rows.filter(read_at__isnull=True)
        page = keyset(rows, request.GET.dict(), order="-id", filters={"show": show})
        return self.render("notify/notices.html", page=page, show=show)


class NoticeRead(PortalView):
    """Mark one as read."""

    permission = Permission.SIGNED_IN

    def post(self, request: HttpRequest, notice_ref: UUID) -> HttpResponse:
        """Mark it; repeated it stays so."""
        notice = selectors.notices_of(self.user).filter(ref=notice_ref).first()
        if notice is None:
            raise Http404("There is no such notice.")
        services.mark_read(self.user, notice=notice)
        return redirect("notices")


class NoticesReadAll(PortalView):
    """Mark all as read."""

    permission = Permission.SIGNED_IN

    def post(self, request: HttpRequest) -> HttpResponse:
        """Mark what the user may read now."""
        services.mark_read(self.user)
        return redirect("notices")


class NoticePreferences(PortalView):
    """How one wants to be told."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show quiet hours and kinds."""
        preference = selectors.preference_of(self.user)
        return self._show(PreferenceForm(preference=preference))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Keep what was chosen."""
        form = PreferenceForm(request.POST, preference=selectors.preference_of(self.user))
        if not form.is_valid():
            return self._show(form, status=422)
        services.set_preference(
            self.user,
            quiet_from=form.cleaned_data["quiet_from"],
            quiet_until=form.cleaned_data["quiet_until"],
            mail_off=form.off("mail"),
            portal_off=form.off("portal"),
        )
        messages.success(request, "Kept. You are told this way from now on.")
        return redirect("notice-preferences")

    def _show(self, form: PreferenceForm, status: int = 200) -> HttpResponse:
        wishes = []
        for wish in selectors.wishes_of(selectors.preference_of(self.user)):
            names = [f"{place}_{wish.kind}" for place in ("mail", "portal")]
            bound = [None if wish.is_fixed else form[name] for name in names]
            wishes.append({"wish": wish, "mail": bound[0], "portal": bound[1]})
        return self.render("notify/preferences.html", status=status, form=form, wishes=wishes)


class _Desk(PortalView, abstract=True):
    """The mailbox of a desk: whoever was invited there has no log-in yet, so it asks for none.

    It answers in desk mode only, and only to the machine itself; anywhere else it is not there.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Ask where the portal runs and who calls before anything else."""
        if not settings.DESK_MODE or not is_here(request):
            raise Http404("There is no mailbox here.")
        return super().dispatch(request, *args, **kwargs)

    def mail(self, mail_ref: UUID) -> Message:
        """Return one mail."""
        found = Message.objects.select_related("user", "account").filter(ref=mail_ref).first()
        if found is None:
            raise Http404("There is no such mail.")
        return found


class DeskMail(_Desk):
    """Every mail of a desk, whoever it is for."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first."""
        rows = Message.objects.exclude(mail_state="none").select_related("user", "account")
        page = keyset(rows, request.GET.dict(), order="-id")
        return self.render("notify/desk_mail.html", page=page, sends_by_server=bool(settings.EMAIL_URL))


_LINK = re.compile(r"https?://[^\s<>\"]+")


def with_links(text: str) -> str:
    """Return text as HTML in which addresses of the portal can be clicked; everything else is escaped."""
    parts, at = [], 0
    for found in _LINK.finditer(text):
        parts.append(conditional_escape(text[at : found.start()]))
        url = found.group()
        own = url.startswith(f"{settings.PUBLIC_URL}/")
        parts.append(format_html('<a href="{}">{}</a>', url, url) if own else conditional_escape(url))
        at = found.end()
    parts.append(conditional_escape(text[at:]))
    return mark_safe("".join(parts))  # noqa: S308  (each part was escaped)


class DeskMailMessage(_Desk):
    """One mail of a desk, as text with links and as its reader's mail program would show it."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, mail_ref: UUID) -> HttpResponse:
        """Show it, sent or still waiting."""
        mail = self.mail(mail_ref)
        written = render(mail)
        response = self.render(
            "notify/desk_mail_message.html", mail=mail, written=written, text=with_links(written.text)
        )
        response._csp_update = {"frame-src": ["'self'"]}  # type: ignore[attr-defined]
        return response


class DeskMailHtml(_Desk):
    """The HTML of one mail, for the frame on its page: nothing in it runs, loads or sends anything."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, mail_ref: UUID) -> HttpResponse:
        """Give it under a policy of its own. Its links open in the whole window."""
        html = render(self.mail(mail_ref)).html.replace("<head>", '<head><base target="_top">', 1)
        return HttpResponse(
            html,
            headers={
                "Content-Security-Policy": (
                    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'self'; sandbox allow-top-navigation-by-user-activation"
                ),
                "X-Frame-Options": "SAMEORIGIN",
                "Cache-Control": "no-store",
            },
        )
