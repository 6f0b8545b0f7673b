"""What people enter about a pool. Everything is optional: what is left out stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import Account, Contact
from accounts.networks import networks_of
from capacity.counts import check_template
from capacity.events import MOST_FREEZE_H
from capacity.fields import MomentField, ShareField
from capacity.models import CountKind, TrafficEvent
from capacity.sizing import MOST_MULTIPLE
from portal import egress
from portal.errors import Refused

BELONG_TOGETHER = (
    ("ceiling_rps", "ceiling_source", "Say where the figure comes from."),
    ("forecast_rps", "forecast_source", "Say where the forecast comes from."),
    ("forecast_at", "forecast_rps", "Say how large that peak will be as well."),
    ("fine_rps", "fine_source", "Say where that was seen."),
    ("objective_error_ratio", "objective_source", "Say who promised that, or where it stands."),
    ("objective_latency_ms", "objective_source", "Say who promised that, or where it stands."),
    ("baseline_p50_ms", "baseline_source", "Say how that was measured."),
    ("baseline_p95_ms", "baseline_source", "Say how that was measured."),
    ("baseline_error_ratio", "baseline_source", "Say how that was measured."),
    ("count_kind", "count_url", "Give the status address as well."),
    ("probe_name", "probe_url", "Give the address of the probe as well."),
    ("probe_url", "probe_name", "Give the probe a name."),
)
"""What needs what, for the form and the API alike: (what was given, what it needs, the sentence)."""
NEEDS_ONE = (
    (
        "objective_source",
        ("objective_error_ratio", "objective_latency_ms"),
        "Give a share, a latency, or both.",
    ),
    (
        "baseline_source",
        ("baseline_p50_ms", "baseline_p95_ms", "baseline_error_ratio"),
        "Give a latency or a share of failed requests.",
    ),
)


def gaps(given: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Return (field, sentence) for what is missing beside what was given, or cannot be. 0 is given, empty is not."""
    is_given = {name for name, value in given.items() if value not in (None, "")}
    told: set[str] = set()
    for first, second, says in BELONG_TOGETHER:
        if first in is_given and second not in is_given and second not in told:
            told.add(second)
            yield second, says
    for first, some, says in NEEDS_ONE:
        if first in is_given and not is_given & set(some):
            yield some[0], says
    if "forecast_at" in is_given and given["forecast_at"] <= timezone.now():
        yield (
            "forecast_at",
            "The next peak is still to come: choose a later time, or leave it empty where nobody knows.",
        )


class PoolForm(forms.Form):
    """Ceiling, forecast peak, objective, a baseline, a load that was fine, count source and one probe of a pool."""

    ceiling_rps = forms.FloatField(
        required=False, min_value=0.001, label="The most one server carries (requests per second)"
    )
    ceiling_source = forms.CharField(
        required=False, max_length=200, label="Where that comes from", help_text="Like “step benchmark, May”."
    )
    forecast_rps = forms.FloatField(
        required=False, min_value=0.001, label="Next peak of the whole pool (requests per second)"
    )
    forecast_at = MomentField(
        required=False,
        label="When it is expected",
        help_text="A scale-down can hold servers through it before they are deleted.",
    )
    forecast_source = forms.CharField(required=False, max_length=200, label="Where that forecast comes from")
    objective_error_ratio = ShareField(
        required=False,
        label="Share of requests that may fail (%)",
        help_text="What the site promises, like 0.1.",
    )
    objective_latency_ms = forms.FloatField(
        required=False, min_value=0.001, label="How fast answers are promised (milliseconds)"
    )
    objective_latency_share = ShareField(
        required=False, label="…by that share of them (%)", help_text="95 where nothing is written."
    )
    objective_source = forms.CharField(required=False, max_length=200, label="Where that is promised")
    baseline_probe = forms.CharField(
        required=False,
        max_length=100,
        label="Baseline of which probe",
        help_text="Its name; empty where the pool has one probe only.",
    )
    baseline_load_rps = forms.FloatField(
        required=False, min_value=0.001, label="Load of each server then (requests per second)"
    )
    baseline_p50_ms = forms.FloatField(
        required=False, min_value=0.001, label="Half of the answers within (milliseconds)"
    )
    baseline_p95_ms = forms.FloatField(
        required=False, min_value=0.001, label="95 of 100 answers within (milliseconds)"
    )
    baseline_error_ratio = ShareField(required=False, label="Share of requests that failed then (%)")
    baseline_measured_at = MomentField(
        required=False,
        label="Measured at",
        help_text="The middle of the stretch; now where nothing is written.",
    )
    baseline_source = forms.CharField(required=False, max_length=200, label="How the baseline was measured")
    fine_rps = forms.FloatField(
        required=False,
        min_value=0.001,
        label="A load per server that was fine (requests per second)",
        help_text="The guard of a pool whose ceiling nobody knows, for 14 days.",
    )
    fine_seen_at = MomentField(required=False, label="Seen at", help_text="Now where nothing is written.")
    fine_source = forms.CharField(required=False, max_length=200, label="Where that was seen")
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

    def __init__(
        self, *args: Any, account: Account | None = None, zone: ZoneInfo | Any = UTC, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._account = account
        for name in ("forecast_at", "baseline_measured_at", "fine_seen_at"):
            self.fields[name].zone = zone  # type: ignore[attr-defined]

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """Return the fields by what they are about, for the page, and whether something was typed or is wrong there."""
        return [
            (
                title,
                [self[name] for name in self.fields if name.startswith(prefix)],
                any(
                    name.startswith(prefix) and (name in self.errors or self.data.get(name))
                    for name in self.fields
                ),
            )
            for title, prefix in (
                ("The most one server carries", "ceiling_"),
                ("The next peak", "forecast_"),
                ("What the site promises", "objective_"),
                ("A baseline", "baseline_"),
                ("A load that was fine", "fine_"),
                ("How connections are counted", "count_"),
                ("A probe", "probe_"),
            )
        ]

    def _rules(self) -> egress.Rules:
        return egress.rules_from_settings(networks_of(self._account) if self._account else ())

    def clean_probe_url(self) -> str:
        """Refuse an address that the portal would not open (portal/egress/rules.py)."""
        url: str = self.cleaned_data["probe_url"]
        if url:
            try:
                egress.check_url(url, rules=self._rules())
            except Refused as refusal:
                raise ValidationError(refusal.says) from refusal
        return url

    def clean_count_url(self) -> str:
        """Refuse an address that the portal would not ask (capacity/counts.py)."""
        url: str = self.cleaned_data["count_url"]
        if url:
            try:
                check_template(url, rules=self._rules())
            except Refused as refusal:
                raise ValidationError(refusal.says) from refusal
        return url

    def clean(self) -> dict[str, Any]:
        """Ask that what belongs together is given together."""
        data = super().clean() or {}
        for name, says in gaps(data):
            if name not in self.errors:
                self.add_error(name, says)
        return data


class EventForm(forms.Form):
    """A traffic event: when it is, how large, who is called during it, and whether changes are held back around it."""

    name = forms.CharField(label="Name", max_length=200)
    starts_at = MomentField(label="From")
    ends_at = MomentField(label="To")
    expected_multiple = forms.FloatField(
        label="Expected traffic, times the usual", min_value=0.001, max_value=MOST_MULTIPLE, required=False
    )
    observed_peak_rps = forms.FloatField(
        label="Peak that was seen (requests per second)", min_value=0, required=False
    )
    source = forms.CharField(label="Where that comes from", max_length=200, required=False)
    contacts = forms.MultipleChoiceField(
        label="Who is called during it",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Nobody chosen: the account’s contacts, in their order of call.",
    )
    has_freeze = forms.BooleanField(
        label="Hold changes back around it",
        required=False,
        help_text="A freeze in the account’s calendar: it moves with the event and ends with it.",
    )
    freeze_hours_before = forms.IntegerField(
        label="Freeze from so many hours before",
        min_value=0,
        max_value=MOST_FREEZE_H,
        required=False,
        initial=0,
    )
    freeze_hours_after = forms.IntegerField(
        label="Freeze until so many hours after",
        min_value=0,
        max_value=MOST_FREEZE_H,
        required=False,
        initial=0,
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(
        self,
        *args: Any,
        zone: ZoneInfo | Any = UTC,
        contacts: Iterable[Contact] = (),
        may_freeze: bool = False,
        fixed: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._contacts = {str(one.ref): one for one in contacts}
        self.fields["contacts"].choices = [(ref, str(one)) for ref, one in self._contacts.items()]  # type: ignore[attr-defined]
        left_out = {
            *fixed,
            *(() if self._contacts else ("contacts",)),
            *(() if may_freeze else ("has_freeze", "freeze_hours_before", "freeze_hours_after")),
        }
        for name in left_out:
            del self.fields[name]
        for name in {"starts_at", "ends_at"} - left_out:
            self.fields[name].zone = zone  # type: ignore[attr-defined]

    def chosen(self) -> dict[str, Any]:
        """Return what was typed, as the services take it: of an event that is there, what is another than before."""
        is_new = not self.initial
        given = {
            name: value
            for name, value in self.cleaned_data.items()
            if name != "seen" and (is_new or name in self.changed_data)
        }
        if "contacts" in given:
            given["contacts"] = [self._contacts[ref] for ref in given["contacts"]]
        for name in ("freeze_hours_before", "freeze_hours_after"):
            if name in given:
                given[name] = given[name] or 0
        return given


def as_typed(event: TrafficEvent) -> dict[str, Any]:
    """Return an event as the form shows it; of moments, the minute."""
    names = ("name", "starts_at", "ends_at", "expected_multiple", "observed_peak_rps", "source")
    shown = {name: getattr(event, name) for name in (*names, "freeze_hours_before", "freeze_hours_after")}
    return {
        **shown,
        "starts_at": event.starts_at.replace(second=0, microsecond=0),
        "ends_at": event.ends_at.replace(second=0, microsecond=0),
        "contacts": [str(one.ref) for one in event.contacts.all()],
        "has_freeze": event.freeze_id is not None,
        "seen": event.updated_at.isoformat(),
    }
