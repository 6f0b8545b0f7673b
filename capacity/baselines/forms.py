"""The shape of a proposal, of a stretch of series, and of what a pool carries at most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError

from capacity import comparing
from capacity.baselines.models import LimitKind
from capacity.fields import MomentField, ShareField


class ProposeForm(forms.Form):
    """Until when it is valid, who looks after it, what counts as another value, and why."""

    valid_until = forms.DateField(
        label="Valid until",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="The last day. Its owner is told two weeks before.",
    )
    owner = forms.ChoiceField(label="Who looks after it")
    reason = forms.CharField(
        label="Why this is what the site is held against",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(
        self,
        *args: Any,
        people: Sequence[Any],
        tolerances: Iterable[comparing.Tolerance],
        has_events: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.people = {str(one.ref): one for one in people}
        self.fields["owner"].choices = [(ref, one.name) for ref, one in self.people.items()]  # type: ignore[attr-defined]
        for one in tolerances:
            learnt = (
                f"Learnt from {one.learnt_from} earlier runs."
                if one.learnt_from
                else "What is usual: too few earlier runs to learn from."
            )
            self.fields[f"tolerance_{one.key}"] = ShareField(
                label=f"{comparing.KIND_OF[one.key].label}: counts from (%)",
                max_value=500,
                required=False,
                initial=one.ratio,
                help_text=learnt,
            )

        if has_events:
            self.fields["with_events"] = forms.BooleanField(
                label="It is normal traffic all the same",
                error_messages={"required": "Confirm this, or choose a stretch without an event."},
            )

    def clean_valid_until(self) -> datetime:
        """Return the end of the last day in UTC, so that it is the same day for whoever reads it, wherever it was typed."""
        day = self.cleaned_data["valid_until"]
        if not 2000 <= day.year <= 2100:
            raise ValidationError("Choose a year from 2000 to 2100.")
        return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)

    def owner_of(self) -> Any:
        """Return the person who was chosen."""
        return self.people[self.cleaned_data["owner"]]

    def tolerances(self) -> dict[str, float]:
        """Return what was said of figures, by their key."""
        said = {
            name.removeprefix("tolerance_"): value
            for name, value in self.cleaned_data.items()
            if name.startswith("tolerance_") and value
        }
        # What was shown rounded and not touched is what was learnt, whole.
        return {
            key: value
            for key, value in said.items()
            if f"{value * 100:g}" != f"{(self.fields[f'tolerance_{key}'].initial or 0) * 100:g}"
        }


class SeriesForm(forms.Form):
    """Which stretch of which series, and what it does not tell."""

    pool = forms.ChoiceField(label="Pool")
    resource = forms.ChoiceField(label="Series of", help_text="A latency or failures are known of these.")
    begins_at = MomentField(label="From")
    ends_at = MomentField(label="To", help_text="Half an hour to fourteen days of normal traffic.")
    node_count = forms.IntegerField(
        label="Servers that served",
        min_value=1,
        max_value=100_000,
        required=False,
        help_text="Where no series “nodes” tells it. Of later weeks what the provider shows of the pool counts then, if it is sized.",
    )
    flavor = forms.CharField(label="Size of the servers", max_length=100)
    software = forms.CharField(label="Version of the software", max_length=200)

    def __init__(
        self,
        *args: Any,
        pools: Sequence[tuple[str, str]],
        resources: Sequence[str],
        zone: ZoneInfo | Any = UTC,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["pool"].choices = list(pools)  # type: ignore[attr-defined]
        self.fields["resource"].choices = [(one, one or "the whole account") for one in resources]  # type: ignore[attr-defined]
        # "" is a resource of its own: the whole account.
        self.fields["resource"].required = "" not in resources
        for name in ("begins_at", "ends_at"):
            self.fields[name].zone = zone  # type: ignore[attr-defined]


class LimitForm(forms.Form):
    """What the pool carries at most however many servers it has."""

    kind = forms.ChoiceField(
        label="What is the limit",
        choices=LimitKind.choices,
        help_text="The least of all kinds counts. A newer figure of the same kind takes the place of the older one.",
    )
    requests_per_s = forms.FloatField(label="Requests a second, all servers together", min_value=0.001)
    source = forms.CharField(label="Where the figure comes from", max_length=200)
