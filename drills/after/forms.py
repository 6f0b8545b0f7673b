"""Shape and validity of what people type about findings. What may be done is for the services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.text import Truncator

from drills.after import evidence
from drills.after.models import FindingSeverity
from drills.after.services import LONGEST_EVIDENCE, LONGEST_TEXT
from drills.figures import Figure, Moment

MOST_LINES = 100
_LONGEST_CHOICE = 110


class FindingForm(forms.Form):
    """What a drill taught, how much it weighs, and what it rests on."""

    severity = forms.ChoiceField(
        label="How much it weighs", choices=FindingSeverity.choices, widget=forms.RadioSelect
    )
    text = forms.CharField(
        label="What was found",
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What happened, and what it means. The customer reads it.",
    )
    evidence_key = forms.ChoiceField(label="It rests on", required=False)
    evidence_says = forms.CharField(
        label="Or in words",
        required=False,
        max_length=LONGEST_EVIDENCE,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Where no figure, moment or line of the journal shows it.",
    )

    def __init__(
        self,
        *args: Any,
        measured: Sequence[Figure],
        axis: Sequence[Moment],
        journal: Sequence[evidence.Line],
        zone: ZoneInfo,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        found: list[Any] = [("", "what is put in words below")]
        for title, rows in (
            ("Measured", [evidence.of_figure(one) for one in measured if one.is_known]),
            ("On the time axis", [evidence.of_moment(one) for one in axis]),
            # The newest first: whoever writes while it runs means what has just happened.
            ("Journal", [evidence.of_line(one) for one in list(journal)[-MOST_LINES:][::-1]]),
        ):
            if rows:
                found.append((title, [(one.key, _label(one, zone)) for one in rows]))
        chosen = str(self.initial.get("evidence_key", ""))
        known = {key for _, rows in found[1:] for key, _ in rows}
        if chosen and chosen not in known:
            # What it rested on stays to be chosen, however far back in the journal it is.
            found.append(("As it is", [(chosen, "as it is kept")]))
        keys: Any = self.fields["evidence_key"]
        keys.choices = found

    def wanted(self) -> dict[str, Any]:
        """Return what was typed as the services take it. A choice wins over words."""
        data = dict(self.cleaned_data)
        if data["evidence_key"]:
            data["evidence_says"] = ""
        return data


def _label(found: evidence.Evidence, zone: ZoneInfo) -> str:
    when = f"{found.at.astimezone(zone):%H:%M:%S} " if found.at else ""
    return f"{when}{Truncator(found.says).chars(_LONGEST_CHOICE)}"
