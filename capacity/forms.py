"""What people enter about a pool. Everything is optional: what is left out stays as it is."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from capacity.counts import check_template
from capacity.models import CountKind
from portal import egress
from portal.errors import Refused


class PoolForm(forms.Form):
    """Ceiling, forecast peak, count source and one probe of a pool."""

    ceiling_rps = forms.FloatField(
        required=False, min_value=0.001, label="The most one server carries (requests per second)"
    )
    ceiling_source = forms.CharField(
        required=False, max_length=200, label="Where that comes from", help_text="Like “step benchmark, May”."
    )
    forecast_rps = forms.FloatField(
        required=False, min_value=0.001, label="Next peak of the whole pool (requests per second)"
    )
    forecast_source = forms.CharField(required=False, max_length=200, label="Where that forecast comes from")
    count_kind = forms.ChoiceField(
        required=False, choices=[("", "not counted"), *CountKind.choices], label="How connections are counted"
    )
    count_url = forms.CharField(
        required=False,
        max_length=500,
        label="Status address of each server",
        help_text="{address} stands for the server's address, like http://{address}/stub_status",
    )
    probe_name = forms.CharField(required=False, max_length=100, label="Probe")
    probe_url = forms.URLField(
        required=False, max_length=500, assume_scheme="https", label="Address that the probe opens"
    )
    probe_latency_limit_ms = forms.FloatField(
        required=False, min_value=1, label="Slowest good answer (milliseconds)"
    )

    def clean_probe_url(self) -> str:
        """Refuse an address that the portal would not open (portal/egress.py)."""
        url: str = self.cleaned_data["probe_url"]
        if url:
            try:
                egress.check_url(url)
            except Refused as refusal:
                raise ValidationError(refusal.says) from refusal
        return url

    def clean_count_url(self) -> str:
        """Refuse an address that the portal would not ask (capacity/counts.py)."""
        url: str = self.cleaned_data["count_url"]
        if url:
            try:
                check_template(url)
            except Refused as refusal:
                raise ValidationError(refusal.says) from refusal
        return url

    def clean(self) -> dict[str, Any]:
        """Ask that what belongs together is given together."""
        data = super().clean() or {}
        for first, second, says in (
            ("ceiling_rps", "ceiling_source", "Say where the figure comes from."),
            ("forecast_rps", "forecast_source", "Say where the forecast comes from."),
            ("count_kind", "count_url", "Give the status address as well."),
            ("probe_name", "probe_url", "Give the address of the probe as well."),
            ("probe_url", "probe_name", "Give the probe a name."),
        ):
            if data.get(first) and not data.get(second) and second not in self.errors:
                self.add_error(second, says)
        return data
