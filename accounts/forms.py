"""Shape and validity of what people type. What may be done is for the services."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.forms.utils import flatatt
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from accounts import throttle
from accounts.models import Account, CloudConnection, User
from accounts.services import check_identity_url
from accounts.tokens import networks_of, reach_of
from portal.access import SCOPE_SAYS, SCOPES, SERVICE_SCOPES
from portal.audit.services import record_flood, record_outside
from portal.errors import Refused, in_time
from portal.middleware import address_of
from portal.zones import zone_names

WRONG = "This mail address and password do not belong together. Check both and try again."


@cache
def _zones() -> tuple[tuple[str, str], ...]:
    return tuple((name, name.replace("_", " ")) for name in zone_names())


@cache
def _zone_options() -> str:
    return format_html_join("\n", '<option value="{}">{}</option>', _zones())


class ZoneSelect(forms.Select):
    """The time zones to choose from, drawn at once: by the framework's template for each of hundreds it takes longer
    than all the rest of the page.
    """

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Return the list, with `value` chosen if it is one of them."""
        chosen = format_html('<option value="{}"', "" if value is None else value)
        options = _zone_options().replace(f"{chosen}>", f"{chosen} selected>", 1)
        given = flatatt(self.build_attrs({**self.attrs, "name": name}, attrs))
        return format_html("<select{}>\n{}\n</select>", given, mark_safe(options))  # noqa: S308 - escaped above


class ZoneField(forms.ChoiceField):
    """A time zone of the tz database."""

    widget = ZoneSelect

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=_zones, label="Time zone", **options)


class MilestoneField(forms.IntegerField):
    """How far a customer has come, 1 to 5."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=5, help_text="1 to 5; 5 is steady state.", **options)


class LogInForm(AuthenticationForm):
    """Mail and password. Says the same for an unknown mail, a wrong password and a user switched off."""

    def clean(self) -> dict[str, Any]:
        """Check the password unless there were too many tries; both take the same work for any mail."""
        email = str(self.cleaned_data.get("username") or "")
        address = address_of(self.request) if self.request is not None else None
        if not email or not self.cleaned_data.get("password"):
            return super().clean()
        wait_s = throttle.take_try(email, address, now=timezone.now())
        if wait_s > 0:
            record_flood("login.throttled", after={"mail_given": bool(email)})
            raise ValidationError(
                f"Too many tries with this mail address from here. Come again {in_time(wait_s)}. "
                "Nobody was locked out elsewhere.",
                code="throttled",
            )
        try:
            return super().clean()
        except ValidationError:
            known = User.objects.filter(email=email.strip().lower()).first()
            # By reference alone: naming somebody takes looking for their key, which would be work that tells who is known.
            record_outside(
                "login.failed",
                subject_type="accounts.user" if known is not None else "",
                subject_ref=str(known.ref) if known is not None else "",
                after={"mail_known": known is not None},
            )
            raise

    def get_invalid_login_error(self) -> ValidationError:
        """Return one sentence that tells nothing about which part was wrong."""
        return ValidationError(WRONG, code="invalid_login")


class CodeForm(forms.Form):
    """A code of an app or a recovery code."""

    code = forms.CharField(
        max_length=40,
        label="Code",
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autocapitalize": "none"}
        ),
    )


def credential_in(data: Mapping[str, Any]) -> Any:
    """Return what a security key answered, from what a form sent; None if it is nothing that can be read."""
    try:
        return json.loads(str(data.get("credential", ""))[:20_000])
    except (ValueError, RecursionError):
        return None


class KeyForm(forms.Form):
    """The name of a new security key."""

    name = forms.CharField(
        max_length=60, label="Name of the key", help_text="So that you can tell your keys apart."
    )


class PasswordProofForm(forms.Form):
    """The own password, once more."""

    password = forms.CharField(
        max_length=4096,
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class ResetForm(forms.Form):
    """Whose password is to be set anew."""

    email = forms.EmailField(
        max_length=254,
        label="Mail address",
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autocapitalize": "none"}),
    )


class NewPasswordForm(forms.Form):
    """A new password, twice. Whether it is good enough is for the service."""

    password = forms.CharField(
        max_length=4096,
        label="New password",
        strip=False,
        help_text="12 characters or more. A few words that only you would put together are best.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        max_length=4096,
        label="New password, once more",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        """Refuse two that differ."""
        data = super().clean() or {}
        if data.get("password") and data.get("again") and data["password"] != data["again"]:
            self.add_error("again", "The two differ. Type the same twice.")
        return data


class NewByLinkForm(NewPasswordForm):
    """A new password by a mailed link, and whether the keys of programs end with the sessions."""

    with_tokens = forms.BooleanField(
        required=False,
        label="End all my API tokens and calendar feeds too",
        help_text="Do it if somebody else may have been in. Programs and calendars that use them stop; tokens that you made for "
        "accounts as well.",
    )


class ConnectionForm(forms.ModelForm):
    """How the portal reaches a provider account. The key is typed in and never shown again."""

    identity_url = forms.URLField(label="Identity endpoint", max_length=300, assume_scheme="https")
    api_key = forms.CharField(
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Stored encrypted, never shown again.",
    )

    class Meta:
        model = CloudConnection
        fields = ("name", "identity_url", "username", "api_key", "tenant", "region")
        labels = {"tenant": "Tenant (provider's account number)"}
        help_texts = {"region": "As in the provider's catalog, like DFW."}

    def clean_identity_url(self) -> str:
        """Refuse an address that the portal would not call, or that is not the provider's."""
        url: str = self.cleaned_data["identity_url"]
        try:
            check_identity_url(url)
        except Refused as refusal:
            raise ValidationError(refusal.says) from refusal
        return url


class SettingsForm(forms.Form):
    """What belongs to the user."""

    name = forms.CharField(max_length=200, label="Name")
    time_zone = ZoneField(help_text="Times are shown in it.")


class MailForm(forms.Form):
    """The mail address that is to be that of the log-in."""

    email = forms.EmailField(
        label="New mail address", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )

    def clean_email(self) -> str:
        """Return it in small letters, as it is stored and compared."""
        email: str = self.cleaned_data["email"]
        return email.lower()


def _scope_choices(scopes: Iterable[str] = SCOPES) -> list[tuple[str, SafeString]]:
    line = '<span><span class="mono">{}</span> <span class="small soft">{}</span></span>'
    return [(scope, format_html(line, scope, SCOPE_SAYS[scope])) for scope in scopes]


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(max_length=100, label="What is it for?")
    scopes = forms.MultipleChoiceField(
        choices=_scope_choices, widget=forms.CheckboxSelectMultiple, label="May"
    )
    days = forms.TypedChoiceField(
        coerce=int,
        choices=[(7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year")],
        initial=30,
        label="Ends after",
    )
    networks = forms.CharField(
        required=False,
        max_length=1500,
        label="Used only from",
        help_text="Addresses or networks, one a line, like 203.0.113.0/24. Left empty: from everywhere.",
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocomplete": "off"}),
    )

    def clean_networks(self) -> list[str]:
        """Return them as CIDR."""
        try:
            return networks_of(self.cleaned_data["networks"].replace(",", "\n").split("\n"))
        except Refused as refusal:
            raise ValidationError(refusal.says) from refusal

    def wanted(self, *, now: datetime) -> dict[str, Any]:
        """Return what was filled in, as the services of tokens take it."""
        data = dict(self.cleaned_data)
        days = data.pop("days")
        return {**data, "expires_at": now + timedelta(days=days)}


class ServiceTokenForm(TokenForm):
    """A new token of an account; `roles` are those that it may be given."""

    role = forms.ChoiceField(label="As", widget=forms.RadioSelect)
    field_order = ("name", "role", "scopes", "days", "networks")

    def __init__(self, data: Any = None, *, roles: tuple[str, ...]) -> None:
        super().__init__(data)
        scopes, role = self.fields["scopes"], self.fields["role"]
        assert isinstance(scopes, forms.MultipleChoiceField)
        assert isinstance(role, forms.ChoiceField)
        reached = frozenset[str]().union(*(reach_of(name) for name in roles))
        scopes.choices = _scope_choices(scope for scope in SERVICE_SCOPES if scope in reached)
        role.choices = [(name, name.replace("_", " ")) for name in roles]


class InviteForm(forms.Form):
    """Somebody to invite; `roles` are those that the inviter may give."""

    email = forms.EmailField(
        label="Mail address", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )
    role = forms.ChoiceField(label="As", widget=forms.RadioSelect)

    def __init__(self, data: Any, *, roles: list[tuple[str, str]]) -> None:
        super().__init__(data)
        choice = self.fields["role"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = roles

    def clean_email(self) -> str:
        """Return it in small letters, as it is stored and compared."""
        email: str = self.cleaned_data["email"]
        return email.lower()


class RoleForm(forms.Form):
    """Another role; `roles` are those that may be given."""

    role = forms.ChoiceField(label="New role", widget=forms.RadioSelect)

    def __init__(self, data: Any, *, roles: list[tuple[str, str]]) -> None:
        super().__init__(data)
        choice = self.fields["role"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = roles


class JoinForm(forms.Form):
    """The log-in of somebody who was invited."""

    name = forms.CharField(
        max_length=200, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label="Password",
        max_length=256,
        strip=False,
        help_text="At least 12 characters; a few words that do not belong together are good.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    password_again = forms.CharField(
        label="The same password again",
        max_length=256,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        """Refuse two passwords that differ."""
        data = super().clean() or {}
        if data.get("password") and data.get("password_again") and data["password"] != data["password_again"]:
            self.add_error("password_again", "The two passwords are not the same.")
        return data


class AccountForm(forms.ModelForm):
    """What belongs to an account."""

    time_zone = ZoneField()
    milestone = MilestoneField()

    class Meta:
        model = Account
        fields = ("name", "time_zone", "service_level", "milestone", "notes", "team_notes")
        labels = {
            "notes": "Notes (shared with the customer)",
            "team_notes": "Notes (team only)",
            "service_level": "Service level",
        }
        widgets = {
            "notes": forms.Textarea(attrs={"rows": 3}),
            "team_notes": forms.Textarea(attrs={"rows": 3}),
        }


class AccountOpenForm(forms.ModelForm):
    """A new customer's account."""

    time_zone = ZoneField(initial="UTC")
    milestone = MilestoneField(initial=1)

    class Meta:
        model = Account
        fields = ("name", "number", "time_zone", "service_level", "milestone")
        labels = {"number": "Account number at the provider", "service_level": "Service level"}

    def clean_number(self) -> str:
        """Refuse a number that the team has already, beside the field."""
        number: str = self.cleaned_data["number"]
        if Account.objects.filter(team=self.instance.team_id, number=number).exists():
            raise ValidationError(
                "The team has an account with this number already. Look among the archived ones too."
            )
        return number
