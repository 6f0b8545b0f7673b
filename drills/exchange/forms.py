"""What is handed in to be taken over, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from drills.interchange.reading import LARGEST_BYTES


class ExperimentForm(forms.Form):
    """An experiment as a file, or its text typed or pasted."""

    file = forms.FileField(
        required=False,
        label="File",
        help_text="An experiment of the Chaos Toolkit: JSON in UTF-8, at most 1 MiB.",
        widget=forms.FileInput(attrs={"accept": ".json,application/json"}),
        allow_empty_file=True,
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label="Or its text",
        max_length=LARGEST_BYTES,
        widget=forms.Textarea(
            attrs={"rows": 8, "spellcheck": "false", "autocapitalize": "off", "class": "mono"}
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Ask for one of the two."""
        data = super().clean() or {}
        if not data.get("file") and not (data.get("text") or "").strip() and not self.errors:
            self.add_error("file", "Choose a file, or paste its text.")
        return data

    def content(self) -> bytes:
        """Return what was handed in, no more of it than is looked at."""
        file = self.cleaned_data.get("file")
        if file:
            found: bytes = file.read(LARGEST_BYTES + 1)
            return found
        text: str = self.cleaned_data["text"]
        return text.encode("utf-8", "surrogatepass")


class TakeOverForm(forms.Form):
    """A draft as it was shown, and what whoever takes it over says of it."""

    draft = forms.CharField(widget=forms.HiddenInput, max_length=LARGEST_BYTES, strip=False)
    title = forms.CharField(label="Title of the drill", max_length=200)
    pool = forms.ChoiceField(
        label="Pool", required=False, help_text="Its probes watch the site during the drill."
    )
    probes = forms.BooleanField(label="Give the pool the probes of the file that it lacks", required=False)
    recovered = forms.FloatField(
        label="The site has recovered within (min)",
        required=False,
        min_value=0.1,
        max_value=1440,
        help_text="The file claims nothing that a drill measures, so the drill needs this.",
    )

    def __init__(
        self,
        *args: Any,
        pools: Sequence[tuple[str, str]],
        has_probes: bool = True,
        needs_claim: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["pool"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "none: chosen later"), *pools]
        if not has_probes or not pools:
            del self.fields["probes"]
        if needs_claim:
            self.fields["recovered"].required = True
        else:
            del self.fields["recovered"]

    @property
    def recovered_s(self) -> float | None:
        """Within which time the site has recovered, in whole seconds."""
        minutes = self.cleaned_data.get("recovered")
        return None if minutes is None else float(round(minutes * 60))
