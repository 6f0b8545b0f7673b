"""Shape and validity of what people type on the pages of scale-down. Rules are the services'."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone

from capacity.fields import FIRST_YEAR, LAST_YEAR, MomentField, ShareField
from portal.frozen import replace
from scaledown.candidates import MOST_VITAL, MOST_WINDOWS, Choice
from scaledown.less import Less
from scaledown.spans import span_text
from scaledown.types import AtLimit, Grade, ImageRule, Order, PlanData

_PART = re.compile(r"(\d+(?:[.,]\d+)?)\s*(d|h|min|m|s)?", re.IGNORECASE)
_UNITS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_LONGEST_S = 60 * 86400.0


class SpanField(forms.CharField):
    """A length of time as people write it (`90 s`, `15 min`, `2 h 30 min`); cleans to seconds, empty to None."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 30)
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show seconds in words; what was typed stays as typed."""
        return value if isinstance(value, str) or value is None else span_text(value)

    def clean(self, value: Any) -> Any:
        """Return seconds, or raise with the sentence how to write it."""
        text = super().clean(value).strip()
        if not text:
            return None
        total, rest = 0.0, text
        while rest:
            found = _PART.match(rest)
            if found is None:
                raise forms.ValidationError("Write a length of time such as 90 s, 15 min or 2 h 30 min.")
            total += float(found[1].replace(",", ".")) * _UNITS[(found[2] or "s").lower()]
            rest = rest[found.end() :].strip(" ,")
        if total > _LONGEST_S:
            raise forms.ValidationError("That is longer than 60 days. Choose a shorter time.")
        return total


class PurposeForm(forms.Form):
    """What for: a name, the event whose servers come out, the cloud connection, the reason."""

    title = forms.CharField(
        label="Name of the plan", max_length=200, help_text="As people will see it in lists and mails."
    )
    connection = forms.ChoiceField(label="Cloud connection")
    event = forms.ChoiceField(
        label="Event that is over",
        required=False,
        help_text="Its scale-up record says which servers were added, and in which order.",
    )
    reason = forms.CharField(
        label="Why now",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        max_length=1000,
        help_text="Everyone who approves reads it.",
    )

    def __init__(self, *args: Any, connections: Iterable[Any], events: Iterable[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = {str(row.ref): row for row in connections}
        self.events = {str(row.ref): row for row in events}
        self.fields["connection"].choices = [(ref, row.name) for ref, row in self.connections.items()]  # type: ignore[attr-defined]
        self.fields["event"].choices = [  # type: ignore[attr-defined]
            ("", "No event: take the newest servers out"),
            *((ref, row.name) for ref, row in self.events.items()),
        ]

    @property
    def chosen_connection(self) -> Any:
        """The chosen connection."""
        return self.connections[self.cleaned_data["connection"]]

    @property
    def chosen_event(self) -> Any:
        """The chosen event, or None."""
        return self.events.get(self.cleaned_data["event"])


ORDERS = (
    (Order.REVERSE_OF_SCALE_UP.value, "Reverse of the scale-up: what went in last comes out first"),
    (Order.NEWEST_FIRST.value, "Newest first: by the time at which each server was created"),
)


class PoolForm(forms.Form):
    """Pool and order: load balancers, target, floor, order, and blocks that both sides lift by name."""

    balancer_ids = forms.MultipleChoiceField(
        label="Load balancers of the pool",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose the load balancer of the pool."},
    )
    target = forms.IntegerField(
        label="Servers that stay", required=False, min_value=1, max_value=10_000, help_text=""
    )
    target_reason = forms.CharField(
        label="Reason for fewer than proposed",
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Needed only where you go below the proposal. The approvers read it.",
    )
    floor = forms.IntegerField(
        label="Never fewer than",
        min_value=1,
        max_value=10_000,
        help_text="The run puts servers back by itself before it goes below this.",
    )
    order = forms.ChoiceField(label="Order", choices=ORDERS, widget=forms.RadioSelect)
    lifted = forms.MultipleChoiceField(
        label="Take out although they were there before the event",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Both sides lift this block, by name, when they approve the plan.",
    )

    def __init__(
        self,
        *args: Any,
        balancers: Sequence[tuple[str, str]],
        liftable: Sequence[tuple[str, str]],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["balancer_ids"].choices = list(balancers)  # type: ignore[attr-defined]
        self.fields["lifted"].choices = list(liftable)  # type: ignore[attr-defined]
        if not liftable:
            del self.fields["lifted"]

    def onto(self, choice: Choice) -> Choice:
        """Return `choice` with what was typed here."""
        data = self.cleaned_data
        return replace(
            choice,
            balancer_ids=tuple(data["balancer_ids"]),
            target=data["target"],
            target_reason=data["target_reason"],
            floor=data["floor"],
            order=Order(data["order"]),
            lifted=tuple(data.get("lifted", choice.lifted)),
        )

    @staticmethod
    def initial_of(choice: Choice) -> dict[str, Any]:
        """Return what the form shows of `choice`."""
        return {
            "balancer_ids": list(choice.balancer_ids),
            "target": choice.target,
            "target_reason": choice.target_reason,
            "floor": choice.floor,
            "order": choice.order.value,
            "lifted": list(choice.lifted),
        }


AT_LIMITS = (
    (
        AtLimit.ASK.value,
        "Ask the person in charge. Without an answer the server goes back in service and the run stops.",
    ),
    (
        AtLimit.PUT_BACK.value,
        "Put the server back in service and go on with the next one. Nobody is cut off.",
    ),
    (AtLimit.CUT.value, "Go on. Visitors who are still connected to that server are cut off once."),
)
GRADES = (
    (Grade.MEASURED.value, "Only a count of this very server. Anything weaker asks a person."),
    (Grade.INFERRED.value, "Also what the provider's monitoring shows: the server's network has gone quiet."),
    (Grade.TIMED.value, "Also a waiting time, where nothing can be counted."),
)


IMAGES = (
    (
        ImageRule.ONE_PER_KIND.value,
        "One of each kind of server: same size, made from the same image, serving in the same places.",
    ),
    (ImageRule.EACH.value, "One of each server. Right where they differ in what is on their disks."),
    (ImageRule.NONE.value, "None. What is deleted cannot be undone from here."),
)


THROUGH_PEAK = (
    ("", "As proposed: yes where the time of the next peak is known and within two days"),
    ("yes", "Yes: alive, out of the pool, until that peak is over"),
    ("no", "No: only for the time above"),
)
PEAK_WATCH = (
    ("", "As proposed: yes where the time of the next peak is known and within a week"),
    ("yes", "Yes: the run stays open until that peak is over"),
    ("no", "No: the run ends with its last server"),
)
_THROUGH = {"": None, "yes": True, "no": False}


class SafetyForm(forms.Form):
    """Safety: when a drain is over, what happens at its limit, how long traffic is watched, the window."""

    min_drain_s = SpanField(
        label="Shortest drain",
        required=False,
        help_text="Empty: the load balancer's own time-out and a margin.",
    )
    drain_limit_s = SpanField(
        label="Drain limit", help_text="How long a server may take to become empty before the choice below."
    )
    at_limit = forms.ChoiceField(
        label="When connections are still open at the limit", choices=AT_LIMITS, widget=forms.RadioSelect
    )
    accepted_grade = forms.ChoiceField(
        label="What counts as “all connections are gone”", choices=GRADES, widget=forms.RadioSelect
    )
    soak_s = SpanField(
        label="Watch time (soak)",
        help_text="How long the site is watched without a server before that server is deleted.",
    )
    hold_s = SpanField(
        label="Hold before delete",
        help_text="The server stays alive outside the pool this long: the way back takes one click. 0 s for none.",
    )
    hold_through_peak = forms.ChoiceField(
        label="Hold through the next peak", choices=THROUGH_PEAK, widget=forms.RadioSelect, required=False
    )
    peak_watch = forms.ChoiceField(
        label="Watch the next peak at the new size",
        choices=PEAK_WATCH,
        widget=forms.RadioSelect,
        required=False,
    )
    stop_s = SpanField(
        label="Stop before delete",
        required=False,
        help_text="After the hold the server is stopped this long, then deleted. Empty: 15 min where no status address can show "
        "that it is idle, else 0 s. 0 s for none.",
    )
    pause_between_s = SpanField(
        label="Pause between two servers",
        required=False,
        help_text="Empty: 1 min; while the traffic of the event still goes away, so long that servers leave no faster "
        "than it.",
    )
    images = forms.ChoiceField(label="Image before delete", choices=IMAGES, widget=forms.RadioSelect)
    images_kept_s = SpanField(
        label="Images are kept for at least",
        help_text="Of a running server an image is crash-consistent, not a backup. The provider bills it until somebody "
        "deletes it; the portal does not by itself.",
    )
    probe_failures_allowed = ShareField(
        label="Checks of the site that may fail", help_text="Of the checks in one watch time."
    )
    slower_allowed = ShareField(
        label="Answers may be slower by",
        required=False,
        max_value=1000,
        help_text="Than before the first server, beyond what more load on each explains. "
        "Empty: slower answers alone stop nothing, and the approvers are told.",
    )
    vital = forms.MultipleChoiceField(
        label="Vital figures to watch",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Three at most. They are looked at like failed checks: without samples no server is deleted.",
    )
    vital_fall_allowed = ShareField(
        label="Vital figures may fall by",
        max_value=95,
        help_text="Than in the hour before the first server, beyond what these hours do on other days.",
    )
    no_vital_reason = forms.CharField(
        label="Why none is watched",
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="A few words, where no vital figure is chosen. The approvers read them.",
    )
    guard_share = ShareField(
        label="Turn back at",
        help_text="Of the most that one server carries. Above it the run puts servers back by itself.",
    )
    window_start = MomentField(label="Not before", required=False)
    window_end = MomentField(label="Not after", required=False)
    window_days = forms.IntegerField(
        label="On how many days",
        min_value=1,
        max_value=MOST_WINDOWS,
        required=False,
        help_text="What does not fit into one goes on at the same hours of the next working day, after a fresh pre-flight.",
    )
    window_weekends = forms.BooleanField(
        label="Also on Saturdays and Sundays",
        required=False,
    )
    is_unattended = forms.BooleanField(
        label="May run with nobody in charge",
        required=False,
        help_text="Otherwise no next server begins while nobody is in charge.",
    )
    needs_contacts = forms.BooleanField(
        label="Begins only while there is somebody to call",
        required=False,
        help_text="A primary contact and a backup, both proven and awake at that hour. A lead can override it with a reason.",
    )

    def __init__(
        self, *args: Any, zone: ZoneInfo | Any = UTC, vital: Sequence[tuple[str, str]] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        for name in ("window_start", "window_end"):
            self.fields[name].zone = zone  # type: ignore[attr-defined]
        self.fields["vital"].choices = list(vital)  # type: ignore[attr-defined]
        self.proposed = tuple(ref for ref, _ in vital[:MOST_VITAL])
        if self.initial.get("vital") is None:
            self.initial = {**self.initial, "vital": list(self.proposed)}

    def clean_vital(self) -> tuple[str, ...] | None:
        """Return what is watched; None where it is what is proposed, so that it stays so."""
        chosen = tuple(self.cleaned_data["vital"])
        if len(chosen) > MOST_VITAL:
            raise forms.ValidationError(f"Choose {MOST_VITAL} at most.")
        return None if chosen == self.proposed else chosen

    def clean(self) -> dict[str, Any]:
        """Hold against each other what is right only together."""
        data: dict[str, Any] = super().clean() or {}
        shortest, limit = data.get("min_drain_s"), data.get("drain_limit_s")
        if shortest is not None and limit is not None and shortest > limit:
            self.add_error(
                "min_drain_s", "The shortest drain is longer than the drain limit: no drain could ever end."
            )
        end = data.get("window_end")
        days = data["window_days"] = data.get("window_days") or 1
        if end is not None and end <= timezone.now() and days == 1:
            self.add_error("window_end", "That is over already. Choose a later time, or leave it empty.")
        if days > 1 and (data.get("window_start") is None or end is None):
            self.add_error(
                "window_days", "Enter when the window begins and ends first, or let it come on 1 day."
            )
        return data

    def onto(self, choice: Choice) -> Choice:
        """Return `choice` with what was typed here."""
        data = dict(self.cleaned_data)
        data["at_limit"] = AtLimit(data["at_limit"])
        data["accepted_grade"] = Grade(data["accepted_grade"])
        data["images"] = ImageRule(data["images"])
        for name in ("hold_through_peak", "peak_watch"):
            data[name] = _THROUGH[data[name]]
        return replace(choice, **data)

    @staticmethod
    def initial_of(choice: Choice) -> dict[str, Any]:
        """Return what the form shows of `choice`."""
        return {
            name: getattr(choice, name)
            for name in SafetyForm.base_fields
            if name not in {"at_limit", "accepted_grade", "images", "hold_through_peak", "peak_watch"}
        } | {
            "at_limit": choice.at_limit.value,
            "accepted_grade": choice.accepted_grade.value,
            "images": choice.images.value,
            "hold_through_peak": _typed(choice.hold_through_peak),
            "peak_watch": _typed(choice.peak_watch),
        }


def _typed(chosen: bool | None) -> str:
    return next(key for key, value in _THROUGH.items() if value is chosen)


class LessForm(forms.Form):
    """What of a submitted plan becomes less, filled with what it has."""

    target = forms.IntegerField(
        label="Servers that stay",
        min_value=1,
        max_value=10_000,
        help_text="Each one more leaves out the last server of the order.",
    )
    floor = forms.IntegerField(
        label="Never fewer than",
        min_value=1,
        max_value=10_000,
        help_text="A higher number is less risk. At most as many as stay.",
    )
    drain_limit_s = SpanField(label="Drain limit", help_text="How long a server may take to become empty.")
    soak_s = SpanField(
        label="Watch time (soak)", help_text="How long the site is watched before each delete."
    )
    hold_s = SpanField(
        label="Hold before delete", help_text="How long a server stays alive outside the pool."
    )
    pause_between_s = SpanField(label="Pause between two servers", help_text="Before the next one begins.")
    window_start = MomentField(label="Not before", required=False, help_text="")
    reason = forms.CharField(
        label="Why",
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Whoever approved the plan reads it.",
    )

    def __init__(self, data: Any = None, *, plan: PlanData, zone: ZoneInfo | Any = UTC) -> None:
        self.plan = plan
        super().__init__(data, initial={name: getattr(plan, name) for name in vars(Less())})
        starts: Any = self.fields["window_start"]
        starts.zone = zone
        starts.help_text = "Later than it is." if plan.window_start else "Empty: as soon as it is started."
        if plan.window_end is not None:
            starts.help_text += f" The window ends {plan.window_end.astimezone(zone):%Y-%m-%d %H:%M}."

    def clean_window_start(self) -> datetime | None:
        """Return the moment; a plan that has one keeps one."""
        start: datetime | None = self.cleaned_data["window_start"]
        if start is None and self.plan.window_start is not None:
            raise forms.ValidationError("Leave it as it is, or choose a later time: any time would be more.")
        return start

    def asked(self) -> Less:
        """Return what is to change: what stands as it was shown is not asked for."""
        changed = {
            name: self.cleaned_data[name]
            for name in vars(Less())
            if self.cleaned_data[name] != self._shown(name)
        }
        return Less(**changed)

    def _shown(self, name: str) -> Any:
        """Return a value of the plan as the form reads it back: spans and moments are shown shorter than they are."""
        kept = getattr(self.plan, name)
        if isinstance(kept, datetime):
            return kept.replace(second=0, microsecond=0)
        return SpanField().clean(span_text(kept)) if isinstance(kept, float) else kept


class ReasonForm(forms.Form):
    """A written reason; `required` as the act needs it."""

    reason = forms.CharField(
        label="Reason", max_length=1000, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )


class ProtectForm(forms.Form):
    """Mark a server that no plan may contain."""

    connection = forms.ChoiceField(label="Cloud connection")
    server_id = forms.CharField(
        label="Server's id", max_length=64, help_text="The provider's own id; the list of pools shows it."
    )
    server_name = forms.CharField(label="Name", max_length=255)
    reason = forms.CharField(
        label="Reason",
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="The next person who plans a scale-down reads it.",
    )

    def __init__(self, *args: Any, connections: Iterable[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = {str(row.ref): row for row in connections}
        self.fields["connection"].choices = [(ref, row.name) for ref, row in self.connections.items()]  # type: ignore[attr-defined]


class RecordForm(forms.Form):
    """Servers that were added, one a line: name, id and time, in the order in which they went in."""

    connection = forms.ChoiceField(label="Cloud connection")
    servers = forms.CharField(
        label="Servers, in the order in which they went in",
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "class": "mono"}),
        max_length=20_000,
        help_text="One a line: name, provider's id, date and time in UTC. "
        "Example: web-04, 4f1b9a52-…, 2026-11-12 08:00",
    )

    def __init__(self, *args: Any, connections: Iterable[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = {str(row.ref): row for row in connections}
        self.fields["connection"].choices = [(ref, row.name) for ref, row in self.connections.items()]  # type: ignore[attr-defined]

    def clean_servers(self) -> list[tuple[str, str, datetime]]:
        """Return (name, id, moment in UTC) of each line, or say which line cannot be read."""
        found: list[tuple[str, str, datetime]] = []
        for number, line in enumerate(self.cleaned_data["servers"].splitlines(), start=1):
            if not line.strip():
                continue
            parts = [part.strip() for part in line.split(",")]
            if len(parts) != 3 or not all(parts):
                raise forms.ValidationError(
                    f"Line {number} needs three parts with commas between them: name, id, date and time."
                )
            try:
                at = datetime.fromisoformat(parts[2].removesuffix("UTC").strip())
            except ValueError:
                raise forms.ValidationError(
                    f"Line {number}: “{parts[2]}” is no date and time such as 2026-11-12 08:00."
                ) from None
            if not FIRST_YEAR <= at.year <= LAST_YEAR:
                raise forms.ValidationError(f"Line {number}: choose a year from {FIRST_YEAR} to {LAST_YEAR}.")
            if len(parts[0]) > 255 or len(parts[1]) > 64:
                raise forms.ValidationError(
                    f"Line {number}: a name has at most 255 characters and an id at most 64."
                )
            found.append((parts[0], parts[1], at.replace(tzinfo=UTC) if at.tzinfo is None else at))
        return found


class UntilForm(forms.Form):
    """Until when one is in charge; empty: until the run is over."""

    until = MomentField(label="Until", required=False, help_text="Empty: until the run is over.")

    def __init__(self, *args: Any, zone: ZoneInfo | Any = UTC, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].zone = zone  # type: ignore[attr-defined]


class HandoverForm(UntilForm):
    """Which colleague is asked for what."""

    to = forms.ChoiceField(label="Whom")
    role = forms.ChoiceField(
        label="For what",
        widget=forms.RadioSelect,
        choices=[("in_charge", "to be in charge"), ("backup", "to be the backup")],
        initial="in_charge",
    )
    note = forms.CharField(
        label="What they should know",
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    field_order = ("to", "role", "until", "note")

    def __init__(self, *args: Any, colleagues: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"].choices = [(str(one.ref), one.name) for one in colleagues]  # type: ignore[attr-defined]
        self.fields["until"].label = "Until (only for being in charge)"
