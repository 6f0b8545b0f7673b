"""The shape of a profile as people type it, and of what is said of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from capacity.fields import ShareField
from capacity.loads.profile import LoadUnit, Profile, ShapeKind


def requests_of(text: str) -> list[dict[str, Any]]:
    """Return the addresses typed one a line: `GET https://shop.example.com/ 3`; method and weight may be left out."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        method = (
            words.pop(0).upper() if words[0].upper() in {"GET", "HEAD", "POST", "PUT", "DELETE"} else "GET"
        )
        weight = "1" if len(words) == 1 else words[-1] if len(words) == 2 else ""
        if not words or not (weight.isascii() and weight.isdigit()):
            raise forms.ValidationError(
                f"Line {number} is none of method, address, weight: GET https://shop.example.com/ 3"
            )
        found.append({"method": method, "url": words[0], "weight": int(weight[:6])})
    return found


def headers_of(text: str) -> dict[str, str]:
    """Return the headers typed one a line, `Name: value`."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise forms.ValidationError(f"Line {number} is no header. Write it as Name: value.")
        found[name.strip()] = value.strip()
    return found


class ProfileForm(forms.Form):
    """What load, where, for how long, and when it ends early."""

    name = forms.CharField(
        label="Name", max_length=200, help_text="What is asked for, such as: front page and search."
    )
    pool = forms.ChoiceField(label="Pool", required=False)
    requests = forms.CharField(
        label="Addresses",
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text="One a line: GET https://shop.example.com/ 3. The number is how often, beside the others. GET and HEAD only. "
        "Of one address alone it is a simple benchmark, and no evidence for a ceiling.",
    )
    unit = forms.ChoiceField(
        label="The load counts",
        choices=[
            (LoadUnit.USERS.value, "users, who each wait for their answer"),
            (LoadUnit.REQUESTS.value, "requests a second"),
        ],
        help_text="Evidence for a ceiling comes from at least three steps, of users or of requests a second, each of 60 s or longer "
        "and with 200 requests or more (1,000 where 99 of 100 answers are promised).",
    )
    shape = forms.ChoiceField(
        label="Over time",
        choices=[
            (ShapeKind.STEADY.value, "steady"),
            (ShapeKind.STEPS.value, "in steps"),
            (ShapeKind.RAMP.value, "rising evenly"),
        ],
    )
    start = forms.FloatField(
        label="From",
        min_value=0,
        required=False,
        help_text="Where steps and a rise begin: below where they end.",
    )
    level = forms.FloatField(label="To", min_value=0.01, help_text="The highest load.")
    steps = forms.IntegerField(label="Steps", min_value=1, max_value=20, required=False, initial=5)
    duration_s = forms.IntegerField(label="Seconds in all", min_value=1, initial=300)
    think_s = forms.FloatField(
        label="Seconds that a user rests after each answer",
        min_value=0,
        max_value=60,
        required=False,
        initial=1,
    )
    max_users = forms.IntegerField(label="Never more users than", min_value=1, initial=50)
    max_requests_per_s = forms.FloatField(
        label="Never more requests a second than", min_value=0.01, initial=100
    )
    error_ratio = ShareField(label="Stop when more than this share failed (%)", initial=0.05, required=True)
    p95_ms = forms.FloatField(
        label="Stop when 95 of 100 took longer than (ms)",
        min_value=1,
        required=False,
        help_text="Empty: never.",
    )
    window_s = forms.IntegerField(label="Both over so many seconds", min_value=2, max_value=60, initial=10)
    headers = forms.CharField(
        label="Headers",
        max_length=20_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="One a line, as Name: value.",
    )
    secret_headers = forms.CharField(
        label="Secret headers",
        max_length=20_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocomplete": "off"}),
        help_text="Likewise; kept encrypted and never shown again. Empty: those that are there stay.",
    )

    def __init__(self, *args: Any, pools: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["pool"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "none"), *pools]

    def clean_requests(self) -> list[dict[str, Any]]:
        """Return them as the service takes them."""
        return requests_of(self.cleaned_data["requests"])

    def clean_headers(self) -> dict[str, str]:
        """Return them by name."""
        return headers_of(self.cleaned_data["headers"])

    def clean_secret_headers(self) -> dict[str, str] | None:
        """Return them by name; None where nothing was typed."""
        text = self.cleaned_data["secret_headers"]
        return headers_of(text) if text.strip() else None

    def fields_for_service(self, pool: tuple[Any, str]) -> dict[str, Any]:
        """Return what `services.draft` takes."""
        data = self.cleaned_data
        connection, balancer_id = pool
        return {
            "name": data["name"],
            "requests": data["requests"],
            "shape": {
                "kind": data["shape"],
                "unit": data["unit"],
                "level": data["level"],
                "duration_s": data["duration_s"],
                "start": data["start"] or 0.0,
                "steps": (data["steps"] or 1) if data["shape"] == ShapeKind.STEPS else 1,
            },
            "stops": {
                "error_ratio": data["error_ratio"],
                "window_s": data["window_s"],
                "p95_ms": data["p95_ms"],
            },
            "max_users": data["max_users"],
            "max_requests_per_s": data["max_requests_per_s"],
            "think_s": data["think_s"] or 0.0,
            "headers": data["headers"],
            "secret_headers": data["secret_headers"],
            "connection": connection,
            "balancer_id": balancer_id if connection is not None else "",
        }


def initial_of(name: str, content: Profile, pool: str) -> Mapping[str, Any]:
    """Return a profile as the form shows it."""
    return {
        "name": name,
        "pool": pool,
        "requests": "\n".join(f"{one.method} {one.url} {one.weight}" for one in content.requests),
        "unit": content.shape.unit,
        "shape": content.shape.kind,
        "start": content.shape.start,
        "level": content.shape.level,
        "steps": content.shape.steps,
        "duration_s": content.shape.duration_s,
        "think_s": content.think_s,
        "max_users": content.max_users,
        "max_requests_per_s": content.max_requests_per_s,
        "error_ratio": content.stops.error_ratio,
        "p95_ms": content.stops.p95_ms,
        "window_s": content.stops.window_s,
        "headers": "\n".join(f"{name}: {value}" for name, value in content.headers),
    }


class StartForm(forms.Form):
    """What is said of a run as it starts: it stands with its figures."""

    reason = forms.CharField(
        label="Why", max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    node_count = forms.IntegerField(
        label="Servers that take part", min_value=1, max_value=100_000, required=False
    )
    flavor = forms.CharField(label="Size of the servers", max_length=100, required=False)
    software = forms.CharField(label="Version of the software", max_length=200, required=False)
