"""The shape of a query to Prometheus."""

from __future__ import annotations

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
