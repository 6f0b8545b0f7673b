"""What people type about growth and size: names of events, what a pool is sized by, prices, and what is tried out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.core.validators import RegexValidator

from capacity.fields import ShareField
from capacity.metrics.models import Metric
from capacity.reports.models import DetectedEvent
from capacity.sizing import WhatIf

MOST_MULTIPLE = 100.0
MOST_SERVERS = 10_000
GROWTH_LOW, GROWTH_HIGH = -50.0, 200.0
_IN_PERCENT = "This is in percent: 20 leaves a fifth free, 0 nothing."


class NameForm(forms.Form):
    """The name of an event that was detected."""

    name = forms.CharField(label="Name of the event", max_length=200, help_text="As people call it.")


class DismissForm(forms.Form):
    """Why it was none."""

    reason = forms.CharField(
        label="Why it was no event",
        required=False,
        max_length=500,
        help_text="Such as “a crawler”. Helps whoever looks next.",
    )
    also = forms.MultipleChoiceField(
        label="Dismiss with it, for the same reason",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Other metrics were off at the same time. What is not ticked still waits for somebody.",
    )

    def __init__(
        self, *args: Any, alike: Iterable[DetectedEvent] = (), is_rise: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choices = [(str(one.ref), str(one)) for one in alike]
        self.alike = [words for _, words in choices]
        if choices:
            self.fields["also"].choices = choices  # type: ignore[attr-defined]
        else:
            del self.fields["also"]
        if not is_rise:
            reason = self.fields["reason"]
            reason.label, reason.help_text = "What happened", "Such as “an outage”. Helps whoever looks next."

    def also_refs(self) -> list[UUID]:
        """Return the references of what goes with it."""
        return [UUID(ref) for ref in self.cleaned_data.get("also", ())]


class SizeForm(forms.Form):
    """By which metric a pool is sized, what stays free and how many servers always stay."""

    name = forms.CharField(label="What people call the pool", max_length=100, required=False)
    metric = forms.ChoiceField(
        label="Its whole demand",
        help_text="Requests a second of the whole pool: what a server carries is told in them, too.",
    )
    headroom = ShareField(
        label="Stays free at every peak (%)",
        max_value=90,
        initial=0.2,
        help_text="Of what the servers carry.",
    )
    fewest = forms.IntegerField(label="Never fewer than (servers)", min_value=1, max_value=1000, initial=2)

    def __init__(self, *args: Any, metrics: Iterable[Metric], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.metrics = {str(one.ref): one for one in metrics}
        self.fields["metric"].choices = [(ref, str(one)) for ref, one in self.metrics.items()]  # type: ignore[attr-defined]

    def clean_headroom(self) -> float | None:
        """Refuse a share: 0.2 would be kept as 0.2 % and ask for too few servers."""
        share: float | None = self.cleaned_data["headroom"]
        if share is not None and 0.0 < share < 0.01:
            raise forms.ValidationError(_IN_PERCENT)
        return share

    def chosen(self) -> dict[str, Any]:
        """Return what was typed, as the services take it."""
        data = self.cleaned_data
        return {
            "name": data["name"],
            "metric": self.metrics[data["metric"]],
            "headroom": data["headroom"],
            "fewest": data["fewest"],
        }


class ChangePoolForm(SizeForm):
    """The rules of a pool that is sized, and which of them were seen (`versions.rules_version`)."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)


class AddPoolForm(SizeForm):
    """A pool that is not sized yet."""

    pool = forms.ChoiceField(label="Pool")
    field_order = ("pool", "name", "metric", "headroom", "fewest")

    def __init__(self, *args: Any, pools: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["pool"].choices = pools  # type: ignore[attr-defined]


class PriceForm(forms.Form):
    """What a server of one size costs an hour."""

    flavor = forms.CharField(
        label="Size of the server", max_length=100, help_text="As the provider calls it, like general1-4."
    )
    an_hour = forms.DecimalField(
        label="Price an hour",
        min_value=Decimal(0),
        max_digits=12,
        decimal_places=6,
        max_value=Decimal(100_000),
    )
    currency = forms.CharField(
        label="Currency",
        max_length=3,
        initial="EUR",
        validators=[RegexValidator(r"\A[A-Za-z]{3}\Z", "A currency has three letters, like EUR.")],
    )


def _slider(low: int, high: int, step: str) -> forms.NumberInput:
    """Return a field for a number; a script puts a slider from `low` to `high` beside it."""
    return forms.NumberInput(
        attrs={"step": step, "data-low": str(low), "data-high": str(high), "data-step": step}
    )


class WhatIfForm(forms.Form):
    """What is tried out. Empty leaves it as it is."""

    growth = forms.FloatField(
        label="Growth (% a month)",
        required=False,
        min_value=GROWTH_LOW,
        max_value=GROWTH_HIGH,
        widget=_slider(-5, 20, "0.1"),
    )
    multiple = forms.FloatField(
        label="An event (times normal)",
        required=False,
        min_value=1.0,
        max_value=MOST_MULTIPLE,
        widget=_slider(1, 15, "0.1"),
    )
    headroom = forms.FloatField(
        label="Stays free (%)",
        required=False,
        min_value=0.0,
        max_value=90.0,
        widget=_slider(0, 60, "1"),
    )
    servers = forms.IntegerField(
        label="Servers", required=False, min_value=1, max_value=MOST_SERVERS, widget=_slider(1, 40, "1")
    )
    flavor = forms.ChoiceField(label="Size of the servers", required=False)
    carries = forms.FloatField(
        label="One server carries (requests per second)",
        required=False,
        min_value=0.001,
        max_value=1e6,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="Empty: as known; of another size what a benchmark showed.",
    )

    def __init__(self, *args: Any, flavors: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["flavor"].choices = [("", "as it is"), *flavors]  # type: ignore[attr-defined]

    def clean_headroom(self) -> float | None:
        """Refuse a share: 0.2 would be read as 0.2 % and ask for too few servers."""
        percent: float | None = self.cleaned_data["headroom"]
        if percent is not None and 0.0 < percent < 1.0:
            raise forms.ValidationError(_IN_PERCENT)
        return percent

    def tried(self) -> WhatIf:
        """Return what is tried out: shares and fractions."""
        data = self.cleaned_data

        def share(name: str) -> float | None:
            value = data.get(name)
            return None if value is None else value / 100

        return WhatIf(
            growth=share("growth"),
            multiple=data.get("multiple"),
            headroom=share("headroom"),
            servers=data.get("servers"),
            carries_rps=data.get("carries"),
            flavor=data.get("flavor") or None,
        )
