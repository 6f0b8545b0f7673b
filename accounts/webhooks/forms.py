"""What people type about a webhook."""

from __future__ import annotations

from typing import Any

from django import forms

from portal.events.catalogue import CATALOGUE
from portal.webhooks.models import Endpoint, Envelope
from portal.webhooks.services import LONGEST_ROTATION_HOURS


class WebhookForm(forms.Form):
    """An address, what is sent there and how."""

    url = forms.CharField(
        label="Address",
        max_length=2000,
        help_text="https://… of your receiver. It is stored encrypted: it may hold a key of yours.",
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    description = forms.CharField(label="What for", max_length=120, required=False)
    groups = forms.MultipleChoiceField(
        label="What is sent",
        required=False,
        choices=[(f"{group}.*", title) for group, (title, _) in CATALOGUE.items()],
        widget=forms.CheckboxSelectMultiple,
        help_text="Choose nothing here and below, and everything is sent, also what is new in a later version.",
    )
    more = forms.CharField(
        label="Single types",
        required=False,
        max_length=2000,
        help_text="Separated by spaces or commas, like run.halted plan.approved. The API's page lists them.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    envelope = forms.ChoiceField(
        label="How it is wrapped",
        choices=Envelope.choices,
        initial=Envelope.STANDARD,
        widget=forms.RadioSelect,
        help_text="The signature is the same for both.",
    )

    def __init__(self, data: Any = None, *, endpoint: Endpoint | None = None) -> None:
        initial: dict[str, Any] = {}
        if endpoint is not None:
            known = {f"{group}.*" for group in CATALOGUE}
            initial = {
                "url": endpoint.url,
                "description": endpoint.description,
                "groups": [one for one in endpoint.types if one in known],
                "more": " ".join(one for one in endpoint.types if one not in known),
                "envelope": endpoint.envelope,
            }
        super().__init__(data, initial=initial)

    def wanted(self) -> dict[str, Any]:
        """Return what the services take."""
        given = self.cleaned_data
        return {
            "url": given["url"],
            "description": given["description"],
            "types": [*given["groups"], *given["more"].replace(",", " ").split()],
            "envelope": given["envelope"],
        }


class RotateForm(forms.Form):
    """For how long the old secret is good as well."""

    keep_old_hours = forms.IntegerField(
        label="The old secret stays good for",
        min_value=0,
        max_value=LONGEST_ROTATION_HOURS,
        initial=24,
        help_text="Until then each message carries both signatures, so nothing is refused while you change it. "
        "0 ends it at once: do that if it leaked.",
    )
