"""What is handed in to be taken over, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from drills.interchange.reading import LARGEST_BYTES
from portal.uploads import FileOrText


class ExperimentForm(FileOrText):
    """An experiment as a file, or its text."""

    says = "An experiment of the Chaos Toolkit: JSON in UTF-8, at most 1 MiB."
    accept = ".json,application/json"
    most_bytes = LARGEST_BYTES


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
