"""The shape of a change that a person announces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from capacity.fields import MomentField
from capacity.markers.models import MarkerKind


class MarkerForm(forms.Form):
    """A change of the site: what, where, when."""

    kind = forms.ChoiceField(label="What was changed", choices=MarkerKind.choices)
    title = forms.CharField(
        label="In words", max_length=200, help_text="A release, a ticket: what others recognize."
    )
    software = forms.CharField(
        label="Version that runs since then",
        max_length=200,
        required=False,
        help_text="As benchmarks name it: a baseline of an older one is out of date.",
    )
    pool = forms.ChoiceField(label="Where", required=False, help_text="Behind which load balancer.")
    at = MomentField(label="When", required=False, help_text="Empty is now.")

    def __init__(
        self, *args: Any, pools: Sequence[tuple[str, str]], zone: ZoneInfo | Any = UTC, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["pool"].choices = [("", "everywhere"), *pools]  # type: ignore[attr-defined]
        self.fields["at"].zone = zone  # type: ignore[attr-defined]
