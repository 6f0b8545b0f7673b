"""The shapes of what is fetched: a Prometheus query, a metric of the provider's monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from capacity.metrics.kinds import USUAL, MetricKind


class PullForm(forms.Form):
    """What to ask, where, how often, and what the series are called here."""

    base_url = forms.URLField(
        label="Address of the Prometheus server",
        max_length=300,
        help_text="Up to where /api/v1 begins.",
        assume_scheme="https",
    )
    token = forms.CharField(
        label="Token",
        max_length=4000,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Sent as a bearer token, kept encrypted, never shown again. Empty: none.",
    )
    query = forms.CharField(
        label="Query",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="PromQL that answers a number for each series, such as sum by (site) (rate(http_requests_total[5m])).",
    )
    name = forms.CharField(
        label="Name of the metric", max_length=100, help_text=f"The usual ones: {', '.join(USUAL)}."
    )
    resource_label = forms.CharField(
        label="Label that is the resource",
        max_length=100,
        required=False,
        help_text="Tells several series apart, such as site or instance. Empty: there is one, of the whole account.",
    )
    unit = forms.CharField(label="Unit", max_length=30, required=False, help_text="Empty: the usual one.")
    kind = forms.ChoiceField(
        label="Kind", required=False, choices=[("", "the usual one"), *MetricKind.choices]
    )
    step_s = forms.IntegerField(
        label="Seconds from point to point", min_value=10, max_value=86_400, initial=60
    )
    backfill_days = forms.IntegerField(
        label="Days to fetch at the beginning", min_value=0, max_value=366, initial=14
    )


class MonitoredPullForm(forms.Form):
    """A metric of a check of the provider's monitoring, and what it is called here. Empty is as is usual for it."""

    metric = forms.ChoiceField(label="Metric of the check")
    name = forms.CharField(
        label="Name of the metric here",
        max_length=100,
        required=False,
        help_text=f"Empty: as is usual for it. The usual ones: {', '.join(USUAL)}.",
    )
    resource = forms.CharField(
        label="Resource",
        max_length=200,
        required=False,
        help_text="What it is measured of, such as the server. Empty: as the provider calls it.",
    )
    unit = forms.CharField(label="Unit", max_length=30, required=False, help_text="Empty: the usual one.")
    kind = forms.ChoiceField(
        label="Kind", required=False, choices=[("", "the usual one"), *MetricKind.choices]
    )
    is_counter = forms.TypedChoiceField(
        label="What the number is",
        required=False,
        choices=[
            ("", "as is usual for it"),
            ("no", "kept as it is"),
            ("yes", "counted up: kept as growth each second"),
        ],
        coerce=lambda text: text == "yes",
        empty_value=None,
    )
    factor = forms.FloatField(
        label="Times",
        required=False,
        min_value=1e-9,
        max_value=1e9,
        help_text="0.01 makes a share of a percentage. Empty: as is usual for it, 1 for most.",
    )
    backfill_days = forms.IntegerField(
        label="Days to fetch at the beginning",
        min_value=0,
        max_value=366,
        initial=14,
        help_text="The provider keeps each measurement for two days, and averages for longer.",
    )
    everywhere = forms.BooleanField(
        label="Of every server that has such a check",
        required=False,
        help_text="Each is a resource of its own, called as the provider calls it.",
    )

    def __init__(self, *args: Any, metrics: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["metric"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(name, name) for name in metrics]
