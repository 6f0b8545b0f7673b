"""Pages before the portal knows who is there: log-in, second factor, log-out, a new password by a mailed link."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from allauth.account.internal.flows.login import perform_login, perform_password_login
from allauth.account.models import Login
from allauth.account.stages import LoginStage, LoginStageController
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth.views import LoginView, LogoutView
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import oidc, passwords, second_factor, throttle
from accounts.forms import CodeForm, LogInForm, NewByLinkForm, ResetForm, credential_in
from accounts.issuers import issuer_of, issuers
from accounts.models import User
from portal.access import Guard, Permission, PortalView
from portal.errors import Refused, TryLater
from portal.middleware import address_of


class LogIn(Guard, LoginView):
    """Mail and password."""

    permission = Permission.PUBLIC
    authentication_form = LogInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the organizations through which one can log in."""
        return super().get_context_data(issuers=issuers(), **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Forget the failed tries, then go on to the second factor or into the portal."""
        throttle.forget(form.cleaned_data["username"], address_of(self.request))
        login = Login(user=form.get_user(), redirect_url=self.get_success_url())
        return perform_password_login(self.request, {}, login)

    def form_invalid(self, form: Any) -> HttpResponse:
        """Show the form again with the sentence; 429 while the tries are throttled."""
        throttled = form.has_error("__all__", code="throttled")
        response = self.render_to_response(self.get_context_data(form=form))
        if throttled:
            response.status_code = 429
        return response


@method_decorator(never_cache, name="dispatch")
class LogInSecond(PortalView):
    """The second factor of a log-in whose password was right."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for a code or a key; without a log-in that waits for it, go back to the log-in."""
        stage = _waiting(request)
        return self._page(stage) if stage else redirect("login")

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Let in, or say what was wrong."""
        stage = _waiting(request)
        if stage is None:
            return redirect("login")
        user = stage.login.user
        form = CodeForm(request.POST)
        try:
            if request.POST.get("credential"):
                row = second_factor.try_key(user, credential_in(request.POST), purpose="login")
            elif form.is_valid():
                row = second_factor.try_code(user, form.cleaned_data["code"], purpose="login")
            else:
                return self._page(stage, form, status=422)
        except TryLater as wait:
            return self._page(stage, says=wait.says, status=429)
        except Refused as refusal:
            return self._page(stage, says=refusal.says, status=422)
        second_factor.keep_login_proof(request, user, row)
        response: HttpResponseBase = stage.exit()
        return response

    def _page(
        self, stage: LoginStage, form: CodeForm | None = None, *, says: str = "", status: int = 200
    ) -> HttpResponse:
        types = {row.type for row in second_factor.rows_of(stage.login.user)}
        has_key = Authenticator.Type.WEBAUTHN in types
        return self.render(
            "accounts/login_second.html",
            form=form or CodeForm(),
            says=says,
            has_app=Authenticator.Type.TOTP in types,
            has_key=has_key,
            key_options=json.dumps(second_factor.key_options(stage.login.user)) if has_key else "",
            status=status,
        )


def _waiting(request: HttpRequest) -> LoginStage | None:
    """Return the log-in of this browser that waits for its second factor; None if there is none (any more)."""
    if request.user.is_authenticated:
        return None
    stage = LoginStageController.enter(request, second_factor.SecondFactorStage.key)
    return stage if isinstance(stage, second_factor.SecondFactorStage) and stage.still_holds() else None


class OidcBegin(PortalView):
    """Send the browser to an organization's log-in, or to prove there that it is still you."""

    permission = Permission.PUBLIC

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Remember what was begun and go there."""
        issuer = issuer_of(slug)
        if issuer is None:
            raise Http404("There is no such organization.")
        wanted = request.POST.get("next", "")
        own = url_has_allowed_host_and_scheme(
            wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )
        purpose = "proof" if request.user.is_authenticated else "login"
        return oidc.begin(request, issuer, next_url=wanted if own else "", purpose=purpose)


@method_decorator(never_cache, name="dispatch")
class OidcCallback(PortalView):
    """Where the organization sends the browser back to."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, slug: str) -> HttpResponseBase:
        """Let in whom it speaks of, or keep the proof that was asked for; or say why not."""
        issuer = issuer_of(slug)
        if issuer is None:
            raise Http404("There is no such organization.")
        here = request.user if isinstance(request.user, User) else None
        try:
            state, claims = oidc.finish(request, issuer)
            following = state.get("next") or reverse("dashboard")
            if state.get("process") == "proof":
                oidc.prove(request, issuer, state, claims)
                return redirect(following)
            user = oidc.user_for(issuer, claims)
            if here is not None and user != here:
                raise Refused(oidc.NOT_LET_IN, code="somebody_else")
        except Refused as refusal:
            oidc.note_refusal(issuer, refusal, here)
            return self.render("accounts/oidc_refused.html", says=refusal.says, name=issuer.name, status=403)
        if here is not None:
            # They logged in meanwhile, in another tab: nothing is left to do, and no proof was asked for.
            return redirect(following)
        oidc.note_login(request, user, issuer, state, claims)
        response: HttpResponseBase = perform_login(request, Login(user=user, redirect_url=following))
        return response


class LogOut(Guard, LogoutView):
    """Ends the session; POST only."""

    permission = Permission.PUBLIC


class ResetAsk(PortalView):
    """Ask for a link to set a new password. The answer is the same for every mail address."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        return self.render("accounts/reset_ask.html", form=ResetForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Note the wish and say what happens next."""
        form = ResetForm(request.POST)
        if not form.is_valid():
            return self.render("accounts/reset_ask.html", form=form, status=422)
        try:
            passwords.ask_for_reset(form.cleaned_data["email"], address=address_of(request))
        except TryLater as wait:
            return self.render("accounts/reset_ask.html", form=form, says=wait.says, status=429)
        return self.render("accounts/reset_asked.html", email=form.cleaned_data["email"])


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class ResetSet(PortalView):
    """Set a new password by the link that was mailed. Opening it changes nothing: mail filters open every link."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, user_ref: UUID, key: str) -> HttpResponse:
        """Show the form, or that the link holds no longer."""
        user = passwords.user_of_link(user_ref, key)
        return self._form(NewByLinkForm()) if user else self._over()

    def post(self, request: HttpRequest, user_ref: UUID, key: str) -> HttpResponseBase:
        """Set it, end every session, and lead to the log-in."""
        if passwords.user_of_link(user_ref, key) is None:
            return self._over()
        form = NewByLinkForm(request.POST)
        if form.is_valid():
            try:
                passwords.reset_password(
                    user_ref,
                    key,
                    form.cleaned_data["password"],
                    with_tokens=form.cleaned_data["with_tokens"],
                )
            except Refused as refusal:
                form.add_error("password", refusal.says)
            else:
                messages.success(
                    request, "Your new password is set and every session has ended. Log in with it now."
                )
                return redirect(reverse("login"))
        return self._form(form, status=422)

    def _form(self, form: NewByLinkForm, status: int = 200) -> HttpResponse:
        return self.render("accounts/reset_set.html", form=form, status=status)

    def _over(self) -> HttpResponse:
        return self.render("accounts/reset_over.html", status=410)
