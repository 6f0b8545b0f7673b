"""Pages of reaching people: start, follow (the call sheet), log how a call went; and the page behind the link."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt

from accounts.models import Account
from accounts.reach import gateway, selectors, services
from accounts.reach.escalation import BY_HAND, Pace
from accounts.reach.forms import ReachForm
from accounts.reach.models import Reach, ReachKind, ReachState, ReachTry
from accounts.views import AccountPage
from portal.access import Permission, PortalView
from portal.errors import Refused, StaleState
from portal.paging import keyset

OUTCOME_BUTTONS = [(one.value, one.value.replace("_", " ").capitalize()) for one in BY_HAND]


class ReachList(AccountPage):
    """Who was reached when, and the form to begin."""

    permission = Permission.CONTACT_VIEW
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show both."""
        account = self.find(Account, account_ref)
        return self._page(account, ReachForm())

    def _page(self, account: Account, form: ReachForm, status: int = 200) -> HttpResponse:
        page = keyset(selectors.reaches_of(account), self.request, order="-id")
        # One at a time: what is under way is the newest of them.
        newest = page.rows[0] if page.rows else None
        return self.show(
            "accounts/reach/list.html",
            form=form,
            page=page,
            running=newest if newest is not None and newest.state == ReachState.RUNNING else None,
            status=status,
        )


class ReachStart(ReachList):
    """Begin to reach somebody."""

    permission = Permission.CONTACT_REACH
    http_method_names = ["post"]

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Ask the first person and show the page to follow it on, or say what is wrong."""
        account = self.find(Account, account_ref)
        form = ReachForm(request.POST)
        if not form.is_valid():
            return self._page(account, form, status=422)
        said = form.cleaned_data
        try:
            reach = services.start_reach(
                account,
                role=said["role"],
                kind=said["kind"],
                reason=said["reason"],
                message=said["message"],
                pace=Pace(said["wait_minutes"] * 60, said["tries"]),
                with_asleep=said["with_asleep"],
                actor=self.user,
            )
        except Refused as refusal:
            form.add_error(None, refusal.says)
            return self._page(account, form, status=409 if isinstance(refusal, StaleState) else 422)
        return redirect("accounts:reach-detail", reach_ref=reach.ref)


class ReachDetail(AccountPage):
    """One reach: the call sheet while it is under way, the times once it is over."""

    permission = Permission.CONTACT_VIEW
    tab = "contacts"

    def get(self, request: HttpRequest, reach_ref: UUID) -> HttpResponse:
        """Show it; while it is under way the page asks for itself again every few seconds."""
        return self._page(self.find(Reach, reach_ref))

    def _page(self, reach: Reach, *, problem: str = "", status: int = 200) -> HttpResponse:
        now = timezone.now()
        rows = selectors.rows_of(reach, now)
        return self.show(
            "accounts/reach/detail.html",
            reach=reach,
            rows=rows,
            counts=selectors.counts_of(reach, rows),
            is_running=reach.state == ReachState.RUNNING,
            outcomes=OUTCOME_BUTTONS,
            problem=problem,
            now=now,
            status=status,
        )


class ReachOutcome(ReachDetail):
    """How a call went."""

    permission = Permission.CONTACT_REACH
    http_method_names = ["post"]

    def post(self, request: HttpRequest, try_ref: UUID) -> HttpResponse:
        """Keep it, in the name of whoever is logged in, and make the next move."""
        one = self.find(ReachTry.objects.select_related("step"), try_ref)
        try:
            services.log_outcome(one, request.POST.get("outcome", ""), actor=self.user)
        except Refused as refusal:
            reach = Reach.objects.select_related("account").get(pk=one.step.reach_id)
            status = 409 if isinstance(refusal, StaleState) else 422
            return self._page(reach, problem=refusal.says, status=status)
        return redirect("accounts:reach-detail", reach_ref=one.step.reach.ref)


class ReachStop(AccountPage):
    """Ask nobody any more."""

    permission = Permission.CONTACT_REACH

    def post(self, request: HttpRequest, reach_ref: UUID) -> HttpResponse:
        """Stop it; a repeat changes nothing."""
        reach = services.stop_reach(self.find(Reach, reach_ref), actor=self.user)
        if reach.state == ReachState.STOPPED:
            messages.success(request, "It was stopped: nobody is asked any more.")
        return redirect("accounts:reach-detail", reach_ref=reach.ref)


class ReachAnswer(PortalView):
    """The page behind the link of a mail or a text message. Opening it changes nothing: mail filters open every link."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, answer_token: str) -> HttpResponse:
        """Offer the button, as long as there is something to answer."""
        return self._page(services.try_of(answer_token))

    def post(self, request: HttpRequest, answer_token: str) -> HttpResponse:
        """Take the answer; one that came too soon to be a person's is asked for once more."""
        found = services.try_of(answer_token)
        reach = services.answer_by_link(answer_token, agent=request.headers.get("User-Agent", ""))
        if (reach is None or found is None) and services.was_answered(answer_token):
            response = self.render(
                "accounts/contacts/link_done.html",
                title="Your answer is noted",
                text="Thank you. Nothing more is to be done.",
            )
            response["Cache-Control"] = "no-store"
            return response
        if reach is None or found is None:
            return self._page(None)
        return self._page(
            found, is_doubtful=reach.state == ReachState.RUNNING, is_done=reach.state != ReachState.RUNNING
        )

    def _page(
        self, found: ReachTry | None, *, is_doubtful: bool = False, is_done: bool = False
    ) -> HttpResponse:
        if found is None:
            response = self.render("accounts/reach/answer_over.html", status=404)
        else:
            reach = Reach.objects.select_related("account").get(pk=found.step.reach_id)
            response = self.render(
                "accounts/reach/answer.html",
                reach=reach,
                is_test=reach.kind == ReachKind.TEST,
                is_doubtful=is_doubtful,
                is_done=is_done,
            )
        response["Cache-Control"] = "no-store"
        return response


@method_decorator(csrf_exempt, name="dispatch")
class GatewayHook(PortalView):
    """Where the gateway says how it went. Its signature is what lets it in."""

    permission = Permission.PUBLIC

    def post(self, request: HttpRequest) -> HttpResponse:
        """Take it in: 204, also for what is over already; 400 or 401 for what the gateway did not send."""
        length = request.headers.get("Content-Length") or "0"
        if (
            not (length.isascii() and length.isdigit() and len(length) < 19)
            or int(length) > gateway.MOST_BYTES
        ):
            return HttpResponse("Too large.", status=413, content_type="text/plain")
        try:
            data = gateway.verified(_raw(request), dict(request.headers.items()))
            ref, outcome = gateway.outcome_in(data)
        except Refused as refusal:
            status = 401 if refusal.code == "bad_signature" else 400
            return HttpResponse(refusal.says, status=status, content_type="text/plain; charset=utf-8")
        services.answer_by_gateway(ref, outcome=outcome, message_id=request.headers.get("webhook-id", ""))
        return HttpResponse(status=204)


def _raw(request: HttpRequest) -> bytes:
    """Return the body as it came; nothing of a form, which is read elsewhere and was not signed."""
    try:
        return request.body
    except RawPostDataException:
        return b""
