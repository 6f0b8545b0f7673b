"""The shape of a file that is handed in."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.contact_files.entries import MOST_BYTES


class FileForm(forms.Form):
    """A file of contacts, or its text typed or pasted."""

    file = forms.FileField(
        required=False,
        label="File",
        help_text="CSV (UTF-8) or vCard (.vcf, version 4.0 or 3.0).",
        widget=forms.FileInput(attrs={"accept": ".csv,.vcf,.vcard,text/csv,text/vcard"}),
        allow_empty_file=True,
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label="Or its text",
        max_length=MOST_BYTES,
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

    def content(self) -> bytes | str:
        """Return what was handed in, no more of it than is looked at."""
        file = self.cleaned_data.get("file")
        if file:
            found: bytes = file.read(MOST_BYTES + 1)
            return found
        text: str = self.cleaned_data["text"]
        return text
