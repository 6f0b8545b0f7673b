"""A scenario as people type it: one form for its head, one for each step of the script.

What is typed is turned into the plain form, and the rules of `types` are asked of that: the form has none of its own, it only
shows each fault beside its field. Rows are added, taken out and moved by buttons that send the whole form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.http import QueryDict

from capacity.fields import ShareField
from drills.scenarios import types, words
from drills.scenarios.services import LONGEST_NOTE, NO_KEY, read_content
from drills.scenarios.types import FORMAT, Fault, Scenario, ScenarioStep, faults_of, from_plain, to_plain
from portal.errors import Refused

# Minutes are typed, seconds are kept: so many minutes at most, to the hundredth.
_MOST_MINUTES = types.LONGEST_LIMIT_S / 60
_LINE_HELP = "One a line."


class _Needed:
    """A field that must be filled in, of which the rules say so: in their words, and not before a row is moved."""

    def validate(self, value: Any) -> None:
        """Leave it to the rules."""


class Text(_Needed, forms.CharField):
    """A text that the rules ask for."""


class Whole(_Needed, forms.IntegerField):
    """A whole number that the rules ask for."""


class Lines(_Needed, forms.CharField):
    """A list of texts, one a line."""

    def __init__(self, *, rows: int = 5, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", _LINE_HELP)
        super().__init__(
            max_length=types.MOST_LINES * (types.LONGEST_LINE + 2),
            widget=forms.Textarea(attrs={"rows": rows}),
            **kwargs,
        )

    def prepare_value(self, value: Any) -> Any:
        """Show a list one a line; what was typed stays as typed."""
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def clean(self, value: Any) -> list[str]:
        """Return the lines that say something."""
        return [line for line in super().clean(value).splitlines() if line.strip()]


class Minutes(_Needed, forms.FloatField):
    """A length of time in minutes; cleans to whole seconds."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=_MOST_MINUTES, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show seconds as minutes; what was typed stays as typed."""
        return f"{value / 60:.10g}" if isinstance(value, int | float) else value

    def clean(self, value: Any) -> int | None:
        """Return the seconds."""
        minutes = super().clean(value)
        return None if minutes is None else round(minutes * 60)


def _text(label: str, longest: int, rows: int, help_text: str = "") -> Text:
    return Text(
        label=label,
        max_length=longest,
        widget=forms.Textarea(attrs={"rows": rows}),
        help_text=help_text,
    )


class HeadForm(forms.Form):
    """Everything of a scenario but its steps."""

    use_required_attribute = False
    WHAT = ("title", "purpose", "injection", "targets", "fewest_targets", "kinds", "environments")
    PROOF = ("proves", "does_not_prove", "risks", "prerequisites")
    LIMITS = (
        "error_ratio",
        "p95_factor",
        "acknowledged_s",
        "mitigated_s",
        "informed_s",
        "recovered_s",
        "data_lost_s",
    )

    title = Text(label="Title", max_length=types.LONGEST_TITLE)
    purpose = _text("Purpose", types.LONGEST_PURPOSE, 4, "What happens in it, and what one wants to know.")
    injection = forms.ChoiceField(
        label="How it is injected",
        choices=[(kind.value, said.name) for kind, said in words.INJECTIONS.items()],
    )
    targets = forms.ChoiceField(
        label="What is hit", choices=[(one.value, said) for one, said in words.TARGETS.items()]
    )
    fewest_targets = forms.IntegerField(
        label="At least so many", required=False, help_text="1 unless several are hit."
    )
    kinds = forms.MultipleChoiceField(
        label="May be held as",
        choices=[(one.value, said) for one, said in words.KINDS.items()],
        widget=forms.CheckboxSelectMultiple,
    )
    environments = forms.MultipleChoiceField(
        label="May be held in",
        choices=[(one.value, said) for one, said in words.ENVIRONMENTS.items()],
        widget=forms.CheckboxSelectMultiple,
    )
    proves = Lines(label="What it proves")
    does_not_prove = Lines(label="What it does not prove")
    risks = Lines(label="Risks", required=False)
    prerequisites = Lines(label="Prerequisites", required=False)
    error_ratio = ShareField(label="Failed requests, at most (%)", required=False)
    p95_factor = forms.FloatField(
        label="95 of 100 answers, times the baseline", required=False, min_value=1, max_value=100
    )
    acknowledged_s = Minutes(label="Acknowledged within (minutes)", required=False)
    mitigated_s = Minutes(label="Harm ended within (minutes)", required=False)
    informed_s = Minutes(label="Told to those who must know within (minutes)", required=False)
    recovered_s = Minutes(label="Recovered within (minutes)", required=False)
    data_lost_s = Minutes(label="Newest data found, at most so old (minutes)", required=False)
    after_boot = Lines(
        label="Checks after the boot",
        required=False,
        help_text="For reboots. One a line, what is asked after a bar: Mounts | Every file system of the list is mounted.",
    )
    questions = Lines(label="Questions to the emergency plan", rows=6)
    undo = _text(
        "How it is undone", types.LONGEST_TEXT, 5, "What puts things back, and who sees that they are."
    )
    repeat_after_days = Whole(label="Next drill after (days)")
    repeat_after_failure_days = Whole(label="After a failed one (days)")
    note = forms.CharField(
        label="What was changed, and why",
        required=False,
        max_length=LONGEST_NOTE,
        help_text="Stands beside the version.",
    )

    def plain(self) -> dict[str, Any]:
        """Return what was typed as a plain scenario without its steps; what could not be read is None."""
        data = self.cleaned_data
        same = (
            *self.WHAT,
            *self.PROOF,
            "questions",
            "undo",
            "repeat_after_days",
            "repeat_after_failure_days",
        )
        fewest = data.get("fewest_targets")
        return {
            "format": FORMAT,
            "key": NO_KEY,
            **{name: data.get(name) for name in same},
            "fewest_targets": 1 if fewest is None else fewest,
            "hypothesis": {name: data.get(name) for name in self.LIMITS},
            "after_boot": [_check_of(line) for line in data.get("after_boot") or []],
        }


def _check_of(line: str) -> dict[str, str]:
    title, _, text = (part.strip() for part in line.partition("|"))
    return {"title": title, "text": text}


class StepForm(forms.Form):
    """One step of the script."""

    use_required_attribute = False
    title = Text(label="Title", max_length=types.LONGEST_TITLE)
    kind = forms.ChoiceField(
        label="Done", choices=[(one.value, said) for one, said in words.STEP_KINDS.items()]
    )
    role = forms.ChoiceField(
        label="Responsible", choices=[(one.value, said) for one, said in words.ROLES.items()]
    )
    expected_s = Minutes(label="Expected to take (minutes)")
    text = _text("What is done, or said aloud", types.LONGEST_TEXT, 5)
    done_when = Text(
        label="Done when",
        max_length=types.LONGEST_LINE,
        help_text="What somebody sees or hears then.",
    )
    injects = forms.BooleanField(label="This step makes the disruption", required=False)


def initial_of(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as the head form shows it."""
    shown = to_plain(scenario)
    limits = scenario.hypothesis
    return {
        **shown,
        **{name: getattr(limits, name) for name in HeadForm.LIMITS},
        "p95_factor": None if limits.p95_factor is None else f"{limits.p95_factor:.10g}",
        "after_boot": [f"{one.title} | {one.text}" for one in scenario.after_boot],
        "note": "",
    }


class ScenarioForm:
    """Head and steps together. `is_valid` fills `content`, the plain form that the services take."""

    def __init__(self, head: HeadForm, steps: list[StepForm]) -> None:
        self.head = head
        self.steps = steps
        self.content: dict[str, Any] = {}

    @classmethod
    def of(cls, scenario: Scenario | None) -> ScenarioForm:
        """Return the form that shows a scenario, or an empty one with three steps to begin with."""
        if scenario is None:
            return cls._shown(_EMPTY, [dict(one) for one in _FIRST_STEPS])
        return cls._shown(initial_of(scenario), [step_initial(step) for step in scenario.steps])

    @classmethod
    def sent(cls, data: QueryDict) -> ScenarioForm:
        """Return the form with what was sent."""
        return cls(HeadForm(data), [StepForm(data, prefix=f"steps-{row}") for row in rows_in(data)])

    @classmethod
    def rearranged(cls, data: QueryDict, command: str) -> ScenarioForm:
        """Return the form as it was sent, unchecked, with its rows changed: `add`, `remove-3`, `up-3`, `down-3` (from 0)."""
        head = {
            name: data.getlist(name) if name in ("kinds", "environments") else data.get(name, "")
            for name in HeadForm.base_fields
        }
        return cls._shown(head, rearranged_rows(data, command, StepForm.base_fields))

    @classmethod
    def _shown(cls, head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> ScenarioForm:
        steps = [StepForm(prefix=f"steps-{place}", initial=dict(row)) for place, row in enumerate(rows)]
        return cls(HeadForm(initial=dict(head)), steps)

    def is_valid(self, *, key: str = NO_KEY) -> bool:
        """Ask every rule; each fault stands beside its field, or over the form where it has none."""
        head_is_read, *steps_are_read = (form.is_valid() for form in (self.head, *self.steps))
        for place, is_read in enumerate(steps_are_read, start=1):
            if not is_read:
                self.head.add_error(None, f"Step {place}: see what is said beside its fields.")
        if not head_is_read or not all(steps_are_read):
            return False
        content = {**self.head.plain(), "steps": [dict(form.cleaned_data) for form in self.steps]}
        # A step without a time is told by its own rule, not as a number that is missing.
        for step in content["steps"]:
            step["expected_s"] = step["expected_s"] or 0
        for name in ("repeat_after_days", "repeat_after_failure_days"):
            content[name] = content[name] or 0
        try:
            found = from_plain(content)
            faults = [one for one in faults_of(found) if one.where != "key"]
            for fault in faults:
                self._show(fault)
            if not faults:
                read_content(content, key=key)
        except Refused as refusal:
            self.head.add_error(None, refusal.says)
        self.content = content
        return self.head.is_valid() and all(form.is_valid() for form in self.steps)

    def _show(self, fault: Fault) -> None:
        part, _, rest = fault.where.partition(".")
        if part == "steps" and rest:
            place, _, name = rest.partition(".")
            self.steps[int(place) - 1].add_error(name, fault.says)
            self.head.add_error(None, fault.says)
        elif part == "hypothesis" and rest:
            self.head.add_error(rest, fault.says)
        else:
            self.head.add_error(part if part in self.head.fields else None, fault.says)


def rearranged_rows(data: QueryDict, command: str, names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the steps as they were sent, unchecked, after `add`, `remove-3`, `up-3` or `down-3` (from 0)."""
    names = tuple(names)
    rows: list[dict[str, Any]] = [
        {name: data.get(f"steps-{row}-{name}", "") for name in names} for row in rows_in(data)
    ]
    what, _, place = command.partition("-")
    at = int(place) if place.isascii() and place.isdigit() and len(place) < 4 else -1
    if what == "add" and len(rows) < types.MOST_STEPS:
        rows.append(dict(_EMPTY_STEP))
    elif 0 <= at < len(rows):
        if what == "remove":
            del rows[at]
        elif what == "up" and at > 0:
            rows[at - 1], rows[at] = rows[at], rows[at - 1]
        elif what == "down" and at + 1 < len(rows):
            rows[at + 1], rows[at] = rows[at], rows[at + 1]
    return rows


def rows_in(data: QueryDict) -> range:
    """Return the places of the steps that were sent; one too many is read, so that the rule can say so."""
    count = 0
    while count <= types.MOST_STEPS and f"steps-{count}-title" in data:
        count += 1
    return range(count)


def step_initial(step: ScenarioStep) -> dict[str, Any]:
    return {
        "title": step.title,
        "kind": step.kind.value,
        "role": step.role.value,
        "expected_s": step.expected_s,
        "text": step.text,
        "done_when": step.done_when,
        "injects": step.injects,
    }


_EMPTY: Mapping[str, Any] = {
    "injection": "by_hand",
    "targets": "none",
    "fewest_targets": 1,
    "kinds": ["table_top", "announced"],
    "environments": ["test"],
    "repeat_after_days": 180,
    "repeat_after_failure_days": 30,
}
_EMPTY_STEP: Mapping[str, Any] = {"kind": "by_hand", "role": "participant", "expected_s": "5"}
_FIRST_STEPS: tuple[Mapping[str, Any], ...] = (
    {"kind": "talk", "role": "facilitator", "expected_s": "5", "title": "Open the drill"},
    {**_EMPTY_STEP, "injects": True},
    {
        "kind": "talk",
        "role": "facilitator",
        "expected_s": "15",
        "title": "Talk about what everybody saw",
    },
)
