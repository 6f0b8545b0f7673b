"""The shape of a benchmark that is handed in, and of its environment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from capacity.benchmarks.services import MOST_BYTES
from capacity.fields import MomentField, ShareField


class EnvironmentForm(forms.Form):
    """In which environment it ran, when and why. Empty is *unknown*."""

    pool = forms.ChoiceField(label="Pool", required=False, help_text="Behind which load balancer.")
    node_count = forms.IntegerField(
        label="Servers that took part", min_value=1, max_value=100_000, required=False
    )
    flavor = forms.CharField(
        label="Size of the servers",
        max_length=100,
        required=False,
        help_text="Such as general1-4. A ceiling belongs to a size.",
    )
    software = forms.CharField(
        label="Version of the software",
        max_length=200,
        required=False,
        help_text="A release, a tag or a commit: what a later benchmark is held against.",
    )
    mix = forms.CharField(
        label="What was asked for",
        max_length=200,
        required=False,
        help_text="The mix of requests, such as 70 % cached, 25 % search, 5 % checkout.",
    )
    ran_at = MomentField(
        label="When it began", required=False, help_text="Only where the file does not tell."
    )
    generator_cpu = ShareField(
        label="How busy the load generator was (%)",
        required=False,
        help_text="Its own processor, at most. From 90 % on it measured itself.",
    )
    generator_addresses = forms.IntegerField(
        label="Addresses that the requests came from", min_value=1, max_value=100_000, required=False
    )
    tied_to_address = forms.NullBooleanField(
        label="Did the pool tie an address to one server, or limit it?",
        required=False,
        widget=forms.Select(choices=[("unknown", "not said"), ("true", "yes"), ("false", "no")]),
    )
    was_aborted = forms.BooleanField(label="It was stopped before its end", required=False)
    reason = forms.CharField(
        label="Why it was run",
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def __init__(
        self,
        *args: Any,
        pools: Sequence[tuple[str, str]] = (),
        pool_is_said: bool = False,
        zone: ZoneInfo | Any = UTC,
        **kwargs: Any,
    ) -> None:
        """Offer `pools`; without any there is nothing to choose. A pool that is said can be another one, not none."""
        super().__init__(*args, **kwargs)
        self.fields["ran_at"].zone = zone  # type: ignore[attr-defined]
        if pools:
            none = [] if pool_is_said else [("", "not said")]
            self.fields["pool"].choices = [*none, *pools]  # type: ignore[attr-defined]
        else:
            del self.fields["pool"]

    def described(self) -> dict[str, Any]:
        """Return what was said, as the services take it; the pool apart."""
        return {name: self.cleaned_data[name] for name in EnvironmentForm.base_fields if name != "pool"}

    def pool_key(self) -> str:
        """Return the key of the pool that was chosen, "" for none."""
        key: str = self.cleaned_data.get("pool", "")
        return key


class ChangeEnvironmentForm(EnvironmentForm):
    """What is said of a benchmark that is there, and what of it was seen (`services.described_version`)."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def clean_ran_at(self) -> datetime | None:
        """Return the moment that is there where its minute was left as it is: seconds are not shown."""
        typed: datetime | None = self.cleaned_data["ran_at"]
        known: datetime | None = self.initial.get("ran_at")
        return known if typed and known and typed == known.replace(second=0, microsecond=0) else typed

    def said_by_another(self) -> str:
        """Return what is said now of the fields in which something else was typed, in words; the form begins with what is there."""
        self.is_valid()
        told = []
        for bound in self.visible_fields():
            if bound.name not in self.changed_data:
                continue
            # What the file tells of the time is not asked for.
            if bound.name == "ran_at" and (
                bound.name not in self.data or self.cleaned_data.get("ran_at") == bound.initial
            ):
                continue
            value = bound.field.prepare_value(bound.initial)
            value = dict(getattr(bound.field, "choices", ())).get(value, value)
            words = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
            told.append(f"{str(bound.label).rstrip('?')}: {'not said' if words in (None, '') else words}")
        return "; ".join(told)


class BenchmarkForm(EnvironmentForm):
    """A file of a load generator with what it does not tell."""

    file = forms.FileField(
        label="File",
        help_text="As the tool wrote it. k6, Locust, JMeter, wrk, hey, ApacheBench or vegeta.",
        allow_empty_file=True,
        max_length=200,
    )
    title = forms.CharField(
        label="Name", max_length=200, required=False, help_text="Empty: the tool and the file."
    )
    field_order = (
        "file",
        "title",
        "pool",
        "node_count",
        "flavor",
        "software",
        "mix",
        "ran_at",
        "generator_cpu",
        "generator_addresses",
        "tied_to_address",
        "was_aborted",
        "reason",
    )

    def content(self) -> bytes:
        """Return the file, no more of it than is looked at."""
        found: bytes = self.cleaned_data["file"].read(MOST_BYTES + 1)
        return found


class AsideForm(forms.Form):
    """Why it does not count; and that it is known where a baseline rests on it."""

    reason = forms.CharField(
        label="Why it does not count", max_length=2000, widget=forms.Textarea(attrs={"rows": 3})
    )
    with_baselines = forms.BooleanField(
        label="It does not count all the same",
        error_messages={"required": "Confirm this, or go back and change nothing."},
    )

    def __init__(self, *args: Any, has_baselines: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_baselines:
            del self.fields["with_baselines"]
