"""The form of one's own notices."""

from __future__ import annotations

from typing import Any

from django import forms

from portal.notify.models import Preference
from portal.notify.registry import ALWAYS_ON, Kind

CHOOSABLE = [kind for kind in Kind if kind not in ALWAYS_ON]


class PreferenceForm(forms.Form):
    """Quiet hours, and for each kind whether it comes by mail and in the portal."""

    quiet_from = forms.TimeField(
        label="Quiet from",
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"}),
    )
    quiet_until = forms.TimeField(
        label="until",
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"}),
        help_text="Mails wait meanwhile. The same time twice means no quiet hours.",
    )

    def __init__(self, *args: Any, preference: Preference, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["quiet_from"] = preference.quiet_from
        self.initial["quiet_until"] = preference.quiet_until
        for kind in CHOOSABLE:
            for place, off in (("mail", preference.mail_off), ("portal", preference.portal_off)):
                name = f"{place}_{kind.value}"
                self.fields[name] = forms.BooleanField(required=False)
                self.initial[name] = kind.value not in off

    def off(self, place: str) -> list[str]:
        """Return the kinds that were unticked for `mail` or `portal`."""
        return [kind.value for kind in CHOOSABLE if not self.cleaned_data[f"{place}_{kind.value}"]]
