"""The form of a file that is handed in, or of its text typed or pasted: one for every page that reads such a file."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms


class FileOrText(forms.Form):
    """A file, or its text. A subclass says which files, and how many bytes of one are looked at."""

    says: ClassVar[str]
    accept: ClassVar[str]
    most_bytes: ClassVar[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # An empty file gets through: whoever reads it says what it lacks.
        self.fields["file"] = forms.FileField(
            required=False,
            label="File",
            help_text=self.says,
            widget=forms.FileInput(attrs={"accept": self.accept}),
            allow_empty_file=True,
        )
        self.fields["text"] = forms.CharField(
            required=False,
            strip=False,
            label="Or its text",
            max_length=self.most_bytes,
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
        """Return what was handed in; of a file no more than is looked at, and a byte that shows that there is more."""
        file = self.cleaned_data.get("file")
        if file:
            found: bytes = file.read(self.most_bytes + 1)
            return found
        text: str = self.cleaned_data["text"]
        # Halves of characters are refused by who reads it, in a text as in a file.
        return text.encode("utf-8", "surrogatepass")

    def refused(self, says: str) -> None:
        """Say beside what was used why it is not taken in."""
        self.add_error("file" if self.cleaned_data.get("file") else "text", says)
