"""A drill as people type it. Times are typed in the account's zone and said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from accounts.models import Account, Contact, User
from capacity.fields import ShareField
from drills.plans.choice import LONGEST_CHECK, Choice
from drills.plans.people import Offered
from drills.scenarios.types import DrillKind, Environment, InjectionKind, Scenario
from drills.types import HITS
from portal import access
from portal.access import Permission

KINDS = {
    DrillKind.TABLE_TOP: "Table-top: talked through, nothing is touched",
    DrillKind.ANNOUNCED: "Announced: those who react know day and hour",
    DrillKind.UNANNOUNCED: "Unannounced: only who decides and who leads know of it",
}
PLACES = {Environment.TEST: "A duplicate test environment", Environment.PRODUCTION: "Production"}
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What it is to show", ("title", "objective", "kind", "environment")),
    ("Where", ("pool", "servers")),
    (
        "When, and who",
        (
            "not_before",
            "not_after",
            "facilitator",
            "find",
            "participants",
            "observers",
            "reporter",
            "emergency_plan",
        ),
    ),
    (
        "The hypothesis: leave empty what is not claimed",
        (
            "error_ratio",
            "p95_factor",
            "acknowledged",
            "informed",
            "mitigated",
            "recovered",
            "data_lost",
            "completeness",
        ),
    ),
    (
        "How it goes",
        ("hold_s", "between_s", "boot_limit_s", "calm_s", "call_role", "call_tries", "call_wait_s"),
    ),
    (
        "When it is undone by itself",
        ("floor", "stop_error_ratio", "stop_window_s", "stop_p95_ms", "longest_s"),
    ),
)
MINUTES = ("acknowledged", "informed", "mitigated", "recovered")


class DrillForm(forms.Form):
    """What is drilled, how, where, when, with whom, and when it is undone by itself."""

    title = forms.CharField(label="Title", max_length=200)
    objective = forms.CharField(
        label="What it is to show",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="One sentence that can turn out wrong, such as: with one server lost nobody notices.",
    )
    kind = forms.ChoiceField(label="How it is held")
    environment = forms.ChoiceField(label="Where")
    pool = forms.ChoiceField(
        label="Pool", required=False, help_text="Its probes watch the site during the drill."
    )
    servers = forms.MultipleChoiceField(
        label="Servers", required=False, widget=forms.CheckboxSelectMultiple, help_text="The newest first."
    )
    not_before = forms.DateTimeField(
        label="It may begin from",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
    )
    not_after = forms.DateTimeField(
        label="It must be over by",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
    )
    facilitator = forms.ChoiceField(
        label="Who leads it", help_text="Knows everything, leads through the steps, and does not react."
    )
    find = forms.CharField(
        label="Find people by name or mail address",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    participants = forms.MultipleChoiceField(
        label="Who takes part", required=False, widget=forms.CheckboxSelectMultiple
    )
    observers = forms.MultipleChoiceField(
        label="Who watches", required=False, widget=forms.CheckboxSelectMultiple
    )
    reporter = forms.ChoiceField(
        label="Who writes it down", required=False, help_text="Notes what happens, and the findings."
    )
    emergency_plan = forms.CharField(
        label="The emergency plan",
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Where it stands, or its main lines.",
    )
    error_ratio = ShareField(label="At most this share of the probes fails (%)", required=False)
    p95_factor = forms.FloatField(
        label="95 of 100 answers take at most so many times the baseline",
        min_value=1,
        max_value=100,
        required=False,
    )
    acknowledged = forms.FloatField(label="Somebody acknowledges within (min)", min_value=0.1, required=False)
    informed = forms.FloatField(
        label="Those who must know are told within (min)", min_value=0.1, required=False
    )
    mitigated = forms.FloatField(label="The harm is over within (min)", min_value=0.1, required=False)
    recovered = forms.FloatField(label="The site has recovered within (min)", min_value=0.1, required=False)
    data_lost = forms.FloatField(
        label="The newest data found is at most so old (min)", min_value=0, required=False
    )
    completeness = forms.CharField(
        label="How it is found out whether the data is whole",
        max_length=LONGEST_CHECK,
        required=False,
        help_text="Chosen beforehand: a count to compare, a sum to hold against, a page to open.",
    )
    hold_s = forms.FloatField(label="The disruption stays for (s)", min_value=0, max_value=3600)
    between_s = forms.FloatField(label="The rest between two servers (s)", min_value=0, max_value=3600)
    boot_limit_s = forms.FloatField(label="A server may take to come back (s)", min_value=30, max_value=3600)
    calm_s = forms.FloatField(label="The site is calm after (s)", min_value=5, max_value=1800)
    floor = forms.IntegerField(label="Never fewer servers in service than", min_value=1, max_value=1000)
    stop_error_ratio = ShareField(label="Undo when more than this share of the probes fails (%)")
    stop_window_s = forms.FloatField(label="Judged over the last (s)", min_value=10, max_value=300)
    stop_p95_ms = forms.FloatField(
        label="Undo when 95 of 100 answers take longer than (ms)",
        min_value=10,
        required=False,
        help_text="Empty: whatever they take.",
    )
    longest_s = forms.FloatField(label="Undo after at most (s)", min_value=10, max_value=3600)
    call_role = forms.ChoiceField(label="Whose order is called")
    call_tries = forms.IntegerField(label="How often each is tried", min_value=1, max_value=5)
    call_wait_s = forms.IntegerField(label="How long each has to answer (s)", min_value=30, max_value=3600)

    def __init__(
        self,
        *args: Any,
        account: Account,
        scenario: Scenario,
        pools: Sequence[tuple[str, str]],
        servers: Sequence[tuple[str, str]],
        people: Offered,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.account, self.scenario = account, scenario
        self.offers_search = people.has_more or bool(people.text)
        leaders = list(access.holders(Permission.DRILL_RUN, account))
        watchers = people.watchers
        self._users = {str(one.ref): one for one in (*leaders, *watchers)}
        self._contacts = {str(one.ref): one for one in people.contacts}
        self.found = people.text
        self.fields["find"].help_text = (
            ("" if people.has_found else f"Nobody fits “{people.text}”. ")
            + "Below stand those whom you chose, and those found; without a search the first in the order of call."
        )
        self._choose("kind", [(one.value, KINDS[one]) for one in scenario.kinds])
        self._choose("environment", [(one.value, PLACES[one]) for one in scenario.environments])
        self._choose("pool", [("", "none"), *pools])
        self._choose("servers", servers)
        self._choose("facilitator", [(str(one.ref), str(one)) for one in leaders])
        self._choose("participants", [(ref, str(one)) for ref, one in self._contacts.items()])
        self._choose("observers", [(str(one.ref), str(one)) for one in watchers])
        may_write = {one.pk for one in access.holders(Permission.DRILL_NOTE, account)}
        writers = [(str(one.ref), str(one)) for one in watchers if one.pk in may_write]
        self._choose("reporter", [("", "nobody"), *writers])
        from accounts.models import ContactRole

        self._choose("call_role", ContactRole.choices)
        for name in self._left_out():
            del self.fields[name]

    @property
    def grouped(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Return the fields in the groups in which they are read."""
        return [
            (title, [self[name] for name in names if name in self.fields])
            for title, names in GROUPS
            if any(name in self.fields for name in names)
        ]

    def _choose(self, name: str, choices: Sequence[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = list(choices)

    def _left_out(self) -> list[str]:
        """Return the fields that mean nothing for this scenario."""
        injection = self.scenario.injection
        found = []
        if not self.offers_search:
            found.append("find")
        if injection not in HITS:
            found += ["servers", "hold_s", "boot_limit_s", "floor", "longest_s", "stop_error_ratio"]
            found += ["stop_window_s", "stop_p95_ms"]
        if injection not in {InjectionKind.STOP, InjectionKind.NODE_OUT}:
            found.append("hold_s")
        if injection is not InjectionKind.ROLLING_REBOOT:
            found.append("between_s")
        if injection is not InjectionKind.CALL_CONTACTS:
            found += ["call_role", "call_tries", "call_wait_s"]
        if self.scenario.hypothesis.data_lost_s is None:
            found += ["data_lost", "completeness"]
        return list(dict.fromkeys(found))

    def clean(self) -> dict[str, Any]:
        """Read typed times by the account's wall."""
        data = super().clean() or {}
        zone = ZoneInfo(self.account.time_zone)
        for name in ("not_before", "not_after"):
            typed = data.get(name)
            if typed is not None:
                data[name] = typed.replace(tzinfo=zone)
        return data

    def choice(self, was: Choice) -> Choice:
        """Return the choices typed; what the form does not show stays as it was."""
        from dataclasses import replace

        data = self.cleaned_data
        _, _, balancer_id = data.get("pool", "").partition(":")
        changes: dict[str, Any] = {
            name: data[name]
            for name in (
                "hold_s",
                "between_s",
                "boot_limit_s",
                "calm_s",
                "floor",
                "stop_error_ratio",
                "stop_window_s",
                "stop_p95_ms",
                "longest_s",
                "call_role",
                "call_tries",
                "call_wait_s",
                "error_ratio",
                "p95_factor",
            )
            if name in data
        }
        changes |= {f"{name}_s": _seconds(data.get(name)) for name in MINUTES}
        changes["data_lost_s"] = _seconds(data.get("data_lost"))
        return replace(
            was,
            objective=data["objective"],
            kind=DrillKind(data["kind"]),
            environment=Environment(data["environment"]),
            not_before=data.get("not_before"),
            not_after=data.get("not_after"),
            balancer_ids=(balancer_id,) if balancer_id else (),
            server_ids=tuple(data.get("servers", ())),
            emergency_plan=data["emergency_plan"],
            completeness=data.get("completeness", was.completeness),
            **changes,
        )

    @property
    def leader(self) -> User:
        """Who leads it."""
        return self._users[self.cleaned_data["facilitator"]]

    @property
    def taking_part(self) -> list[Contact]:
        """Who takes part."""
        return [self._contacts[ref] for ref in self.cleaned_data["participants"]]

    @property
    def people(self) -> dict[str, Any]:
        """Who is named beside the leader, as `services.take_part` takes it."""
        reporter = self._users.get(self.cleaned_data["reporter"])
        return {"contacts": self.taking_part, "observers": self.watching, "reporter": reporter}

    @property
    def watching(self) -> list[User]:
        """Who watches."""
        return [self._users[ref] for ref in self.cleaned_data["observers"]]


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else minutes * 60.0


def _short(value: float) -> float | int:
    """Return 60 for 60.0: nobody types the rest."""
    return int(value) if float(value).is_integer() else value


def initial_of(choice: Choice, zone: str, **more: Any) -> Mapping[str, Any]:
    """Return choices as the form shows them."""

    def wall(at: datetime | None) -> datetime | None:
        return None if at is None else at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)

    plain = {
        name: _short(getattr(choice, name)) if name.endswith("_s") else getattr(choice, name)
        for name in (
            "objective",
            "emergency_plan",
            "completeness",
            "error_ratio",
            "p95_factor",
            "hold_s",
            "between_s",
            "boot_limit_s",
            "calm_s",
            "floor",
            "stop_error_ratio",
            "stop_window_s",
            "stop_p95_ms",
            "longest_s",
            "call_role",
            "call_tries",
            "call_wait_s",
        )
    }
    for name in MINUTES:
        value = getattr(choice, f"{name}_s")
        plain[name] = None if value is None else _short(value / 60.0)
    plain["data_lost"] = None if choice.data_lost_s is None else _short(choice.data_lost_s / 60.0)
    return {
        **plain,
        "kind": choice.kind.value,
        "environment": choice.environment.value,
        "not_before": wall(choice.not_before),
        "not_after": wall(choice.not_after),
        "servers": list(choice.server_ids),
        **more,
    }
