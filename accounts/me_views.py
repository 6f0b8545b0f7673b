"""Pages of one's own: settings, password, second factor, sessions, tokens."""

from __future__ import annotations

import base64
import json
from uuid import UUID

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth import authenticate
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import mail_address, oidc, passwords, proof, second_factor, services, sessions, throttle
from accounts.forms import (
    CodeForm,
    KeyForm,
    MailForm,
    NewPasswordForm,
    PasswordProofForm,
    SettingsForm,
    credential_in,
)
from accounts.models import ApiToken
from portal.access import Permission, PortalView, lacks_second_factor, must_have_second_factor
from portal.audit.selectors import entries_of_user
from portal.audit.services import record_outside
from portal.errors import Refused, TryLater, in_time
from portal.middleware import address_of
from portal.paging import keyset
from portal.ui.me import links_for

WRONG_PASSWORD = "This is not your password. Check it and try again."  # noqa: S105  (a sentence)


class Me(PortalView):
    """Own name and time zone, how one logs in, where one is logged in, own tokens."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it all."""
        user = self.user
        return self._page(SettingsForm(initial={"name": user.name, "time_zone": user.time_zone}))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Keep name and time zone."""
        form = SettingsForm(request.POST)
        if not form.is_valid():
            return self._page(form, status=422)
        try:
            services.change_own_settings(self.user, **form.cleaned_data)
        except Refused as refusal:
            form.add_error("name", refusal.says)
            return self._page(form, status=422)
        messages.success(request, "Your settings are kept.")
        return redirect("me")

    def _page(self, form: SettingsForm, status: int = 200) -> HttpResponse:
        rows = second_factor.rows_of(self.user)
        page = keyset(ApiToken.objects.filter(user=self.user, account=None), self.request, order="-id")
        return self.render(
            "accounts/me.html",
            form=form,
            status=status,
            tokens=page.rows,
            page=page,
            activity=entries_of_user(self.user)[:10],
            factors=second_factor.factors_in(rows),
            codes_left=second_factor.recovery_codes_left(rows),
            places=sessions.places_of(self.user, self.request.session.session_key),
            linked=oidc.linked_to(self.user),
            links=links_for(self.user),
            now=timezone.now(),
            nav_key="me",
        )


# --- a fresh proof ----------------------------------------------------------------------------------------


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class Prove(PortalView):
    """Prove that it is still you: by the second factor, else by the password."""

    permission = Permission.SIGNED_IN
    without_second_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        """Ask."""
        return self._page()

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Take the proof and go on to where it was asked for."""
        ways = proof.ways_of(self.user)
        code, word = CodeForm(request.POST), PasswordProofForm(request.POST)
        try:
            if request.POST.get("credential") and ways.key:
                row = second_factor.try_key(self.user, credential_in(request.POST), purpose="proof")
                proof.keep(request, "mfa", id=row.pk, type=row.type)
            elif ways.code and code.is_valid():
                row = second_factor.try_code(self.user, code.cleaned_data["code"], purpose="proof")
                proof.keep(request, "mfa", id=row.pk, type=row.type)
            elif ways.password and word.is_valid():
                self._try_password(word.cleaned_data["password"])
                proof.keep(request, "password")
            else:
                return self._page("Nothing was typed.", status=422)
        except TryLater as wait:
            return self._page(wait.says, status=429)
        except Refused as refusal:
            return self._page(refusal.says, status=422)
        return redirect(self._back())

    def _try_password(self, password: str) -> None:
        email, address = self.user.email, address_of(self.request)
        wait_s = throttle.take_try(email, address, now=timezone.now())
        if wait_s > 0:
            raise TryLater(
                f"Too many tries with this mail address from here. Come again {in_time(wait_s)}.",
                after_s=wait_s,
            )
        if authenticate(self.request, username=email, password=password) != self.user:
            record_outside("proof.failed", actor=self.user, subject=self.user)
            raise Refused(WRONG_PASSWORD, code="wrong_password")
        throttle.forget(email, address)

    def _back(self) -> str:
        wanted = self.request.POST.get("next") or self.request.GET.get("next") or ""
        own = url_has_allowed_host_and_scheme(
            wanted, allowed_hosts={self.request.get_host()}, require_https=self.request.is_secure()
        )
        return wanted if own else reverse("me")

    def _page(self, says: str = "", status: int = 200) -> HttpResponse:
        ways = proof.ways_of(self.user)
        return self.render(
            "accounts/prove.html",
            ways=ways,
            says=says,
            code_form=CodeForm(),
            password_form=PasswordProofForm(),
            key_options=json.dumps(second_factor.key_options(self.user)) if ways.key else "",
            next=self._back(),
            nav_key="me",
            status=status,
        )


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class PasswordChange(proof.ProvenPage):
    """A new password; every other session ends."""

    permission = Permission.SIGNED_IN
    without_second_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        return self.render("accounts/password_form.html", form=NewPasswordForm(), nav_key="me")

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Change it."""
        form = NewPasswordForm(request.POST)
        if form.is_valid():
            try:
                passwords.change_password(request, self.user, form.cleaned_data["password"])
            except Refused as refusal:
                form.add_error("password", refusal.says)
            else:
                messages.success(request, "Your password is changed. You are logged out everywhere else.")
                return redirect("me")
        return self.render("accounts/password_form.html", form=form, status=422, nav_key="me")


@method_decorator(never_cache, name="dispatch")
class MailChange(proof.ProvenPage):
    """Ask for another mail address. The answer is the same, whoever has it already."""

    permission = Permission.SIGNED_IN
    keeps = ("email",)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        return self._form(self.filled(MailForm()))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Send the link."""
        form = MailForm(request.POST)
        if form.is_valid():
            try:
                mail_address.ask_for_change(self.user, form.cleaned_data["email"])
            except (Refused, TryLater) as refusal:
                form.add_error("email", refusal.says)
            else:
                messages.success(
                    request,
                    f"A mail is on its way to {form.cleaned_data['email']}. Nothing is changed before you confirm.",
                )
                return redirect("me")
        return self._form(form, status=422)

    def _form(self, form: MailForm, *, status: int = 200) -> HttpResponse:
        return self.render("accounts/mail_form.html", form=form, status=status, nav_key="me")


@method_decorator(never_cache, name="dispatch")
class MailConfirm(PortalView):
    """The page that the mail leads to: for the same person's session alone. Opening it changes nothing."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest, mail_link: str) -> HttpResponse:
        """Ask."""
        change = mail_address.change_in(self.user, mail_link)
        if change is None:
            return self._gone()
        return self.render(
            "components/confirm_page.html",
            title=f"Log in with {change.email}?",
            text=f"It takes the place of {change.was}, which is told. You are logged out everywhere else.",
            action=request.path,
            button=f"Log in with {change.email}",
            back_url=reverse("me"),
            nav_key="me",
        )

    def post(self, request: HttpRequest, mail_link: str) -> HttpResponse:
        """Change it."""
        try:
            change = mail_address.confirm_change(request, self.user, mail_link)
        except Refused as refusal:
            if refusal.code != "link_over":
                raise
            return self._gone()
        messages.success(request, f"You log in with {change.email} from now on.")
        return redirect("me")

    def _gone(self) -> HttpResponse:
        return self.render("accounts/mail_gone.html", status=404, nav_key="me")


# --- second factor ----------------------------------------------------------------------------------------


@method_decorator(never_cache, name="dispatch")
class SecondFactor(PortalView):
    """What the second factors are, and how to add one. Where a role needs one, everything else waits for it."""

    permission = Permission.SIGNED_IN
    without_second_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them."""
        rows = second_factor.rows_of(self.user)
        factors = second_factor.factors_in(rows)
        return self.render(
            "accounts/second_factor.html",
            factors=factors,
            has_app=any(one.kind == Authenticator.Type.TOTP for one in factors),
            codes_left=second_factor.recovery_codes_left(rows),
            is_held_back=lacks_second_factor(self.user),
            is_needed=must_have_second_factor(self.user),
            nav_key="me",
        )


@method_decorator(never_cache, name="dispatch")
class AppAdd(proof.ProvenPage):
    """Add an authenticator app: scan, type the first code."""

    permission = Permission.SIGNED_IN
    without_second_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        """Offer a new secret."""
        return self._page(second_factor.begin_app(request, afresh=True), CodeForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Keep it once the code is right."""
        form = CodeForm(request.POST)
        if form.is_valid():
            try:
                made_codes = second_factor.add_app(request, self.user, form.cleaned_data["code"])
            except (Refused, TryLater) as refusal:
                form.add_error("code", refusal.says)
            else:
                messages.success(request, "Your authenticator app is added.")
                return redirect("recovery-codes" if made_codes else "second-factor")
        return self._page(second_factor.begin_app(request, afresh=False), form, status=422)

    def _page(self, secret: str, form: CodeForm, status: int = 200) -> HttpResponse:
        adapter = get_adapter()
        picture = adapter.build_totp_svg(adapter.build_totp_url(self.user, secret))
        return self.render(
            "accounts/app_add.html",
            form=form,
            secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
            picture=f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}",
            nav_key="me",
            status=status,
        )


@method_decorator(never_cache, name="dispatch")
class KeyAdd(proof.ProvenPage):
    """Add a security key."""

    permission = Permission.SIGNED_IN
    keeps = ("name",)
    without_second_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form; the browser asks the key."""
        return self._page(self.filled(KeyForm()))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Keep what the key answered."""
        form = KeyForm(request.POST)
        if form.is_valid():
            try:
                made_codes = second_factor.add_key(
                    request, self.user, form.cleaned_data["name"], credential_in(request.POST)
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"The security key “{form.cleaned_data['name']}” is added.")
                return redirect("recovery-codes" if made_codes else "second-factor")
        return self._page(form, status=422)

    def _page(self, form: KeyForm, status: int = 200) -> HttpResponse:
        return self.render(
            "accounts/key_add.html",
            form=form,
            key_options=json.dumps(second_factor.key_to_be(self.user)),
            nav_key="me",
            status=status,
        )


class FactorRemove(proof.ProvenPage):
    """Take a second factor away, after asking on a page of its own."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest, factor_ref: UUID) -> HttpResponse:
        """Ask."""
        factors = second_factor.factors_in(second_factor.rows_of(self.user))
        factor = next((one for one in factors if one.ref == factor_ref), None)
        if factor is None:
            raise Http404("There is no such second factor of yours.")
        last = len(factors) == 1
        return self.render(
            "components/confirm_page.html",
            title=f"Remove {factor.name}?",
            text="From then on your password alone is enough, and your recovery codes are void."
            if last
            else "It cannot be used any more. Your other second factor stays.",
            action=request.path,
            button=f"Remove {factor.name}",
            back_url=reverse("second-factor"),
            nav_key="me",
        )

    def post(self, request: HttpRequest, factor_ref: UUID) -> HttpResponse:
        """Remove it."""
        factor = second_factor.remove(self.user, factor_ref)
        if factor is None:
            raise Http404("There is no such second factor of yours.")
        messages.success(request, f"{factor.name} is removed.")
        return redirect("second-factor")


@method_decorator(never_cache, name="dispatch")
class RecoveryCodes(proof.ProvenPage):
    """The recovery codes that still work; new ones by a button."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them; that they were looked at is on record."""
        return self._page(second_factor.show_recovery_codes(self.user))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make new ones; the old are void."""
        return self._page(second_factor.make_recovery_codes(self.user), are_new=True)

    def _page(self, codes: list[str], are_new: bool = False) -> HttpResponse:
        shown = [f"{code[:4]} {code[4:]}" for code in codes]
        return self.render("accounts/recovery_codes.html", codes=shown, are_new=are_new, nav_key="me")


# --- organizations ----------------------------------------------------------------------------------------


class LinkRemove(proof.ProvenPage):
    """Unlink the log-in through an organization, after asking on a page of its own."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest, link_ref: UUID) -> HttpResponse:
        """Ask; where it is the only way in, say why it stays."""
        link = next((one for one in oidc.linked_to(self.user) if one.ref == link_ref), None)
        if link is None:
            raise Http404("There is no such link of yours.")
        if oidc.is_only_way_in(self.user, link):
            messages.error(request, oidc.ONLY_WAY_IN)
            return redirect("me")
        return self.render(
            "components/confirm_page.html",
            title=f"Unlink {link.name}?",
            text="What is tied now opens your log-in no more. Who logs in there with your mail address, verified by "
            "it, is tied anew. Where you are logged in now you stay so.",
            action=request.path,
            button=f"Unlink {link.name}",
            back_url=reverse("me"),
            nav_key="me",
        )

    def post(self, request: HttpRequest, link_ref: UUID) -> HttpResponse:
        """Unlink it."""
        try:
            link = oidc.unlink(self.user, link_ref)
        except Refused as refusal:
            messages.error(request, refusal.says)
            return redirect("me")
        if link is None:
            raise Http404("There is no such link of yours.")
        messages.success(request, f"{link.name} is unlinked.")
        return redirect("me")


# --- sessions ---------------------------------------------------------------------------------------------


class SessionEnd(PortalView):
    """End one of the own sessions."""

    permission = Permission.SIGNED_IN

    def post(self, request: HttpRequest, session_ref: UUID) -> HttpResponse:
        """End it; somebody else's session is not there."""
        ended = sessions.end_session(self.user, session_ref, actor=self.user)
        if ended is None:
            raise Http404("There is no such session of yours.")
        messages.success(request, f"{ended.device} is logged out.")
        return redirect("me")


class SessionsEnd(PortalView):
    """End all own sessions but this one."""

    permission = Permission.SIGNED_IN

    def post(self, request: HttpRequest) -> HttpResponse:
        """End them."""
        sessions.end_all_sessions(self.user, actor=self.user, reason="asked by the user", keep=request)
        messages.success(request, "You are logged out everywhere else.")
        return redirect("me")
