"""Shape and validity of what people type into calendars. What may be done is for the services."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.calendar.models import CalendarEntry, CalendarKind
from accounts.calendar.services import LONGEST_NOTES, LONGEST_TITLE
from accounts.calendar.times import day_span, moment
from accounts.forms import ZoneField
from accounts.reviews.forms import DayInput

# Three years, and the year that an entry lasts at most.
FURTHEST_DAYS = 4 * 366


class TimeInput(forms.TimeInput):
    """A time of day, chosen in the browser's own way."""

    input_type = "time"

    def __init__(self, **options: Any) -> None:
        super().__init__(format="%H:%M", **options)


class EntryForm(forms.Form):
    """One entry, in the wall time of a zone. Without times it is for whole days."""

    kind = forms.ChoiceField(choices=CalendarKind.choices, label="What it is")
    title = forms.CharField(max_length=LONGEST_TITLE, label="Title")
    first_day = forms.DateField(widget=DayInput, label="From")
    begins = forms.TimeField(widget=TimeInput, required=False, label="At", help_text="Empty for whole days.")
    last_day = forms.DateField(widget=DayInput, label="Until and with")
    over = forms.TimeField(widget=TimeInput, required=False, label="Until")
    time_zone = ZoneField(help_text="The zone in which these times are meant.")
    repeats_until = forms.DateField(
        widget=DayInput,
        required=False,
        label="Every week, until",
        help_text="Empty for once. It keeps its time of day when clocks change.",
    )
    is_team_only = forms.BooleanField(
        required=False, label="Not shown to the customer (an unannounced drill)"
    )
    notes = forms.CharField(
        required=False, max_length=LONGEST_NOTES, widget=forms.Textarea(attrs={"rows": 3}), label="Notes"
    )
    provider = forms.CharField(
        required=False,
        max_length=20,
        label="Only at this provider",
        help_text="Like rackspace. Empty for all accounts of the team.",
    )
    region = forms.CharField(
        required=False,
        max_length=20,
        label="Only in this region",
        help_text="Like DFW. Empty for every region.",
    )

    def __init__(self, *args: Any, of_team: bool, sees_team_only: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if of_team:
            del self.fields["is_team_only"]
        else:
            del self.fields["provider"], self.fields["region"]
            if not sees_team_only:
                del self.fields["is_team_only"]

    def clean(self) -> dict[str, Any]:
        """Turn days and times into moments; both times or neither."""
        data: dict[str, Any] = super().clean() or {}
        first, last, zone = data.get("first_day"), data.get("last_day"), data.get("time_zone")
        if first is None or last is None or zone is None:
            return data
        begins, over = data.get("begins"), data.get("over")
        if (begins is None) != (over is None):
            raise ValidationError("Give both times, or neither for whole days.")
        today = timezone.now().date()
        if max(abs((first - today).days), abs((last - today).days)) > FURTHEST_DAYS:
            # Asked before the moments are made: the calendar of the computer has a first and a last day.
            self.add_error("first_day", "A date within three years of today.")
            return data
        if last < first:
            self.add_error("last_day", "It ends on its first day or later.")
            return data
        if begins is None or over is None:
            data["starts_at"], data["ends_at"] = day_span(first, last, zone)
        else:
            data["starts_at"], data["ends_at"] = moment(first, begins, zone), moment(last, over, zone)
            if data["ends_at"] <= data["starts_at"]:
                self.add_error("over", "It ends after it begins.")
        data["is_all_day"] = begins is None
        return data

    def wanted(self) -> dict[str, Any]:
        """Return what was typed as the service takes it."""
        data = self.cleaned_data
        names = ("kind", "title", "notes", "starts_at", "ends_at", "time_zone", "is_all_day", "repeats_until")
        more = [name for name in ("is_team_only", "provider", "region") if name in self.fields]
        return {name: data[name] for name in (*names, *more)}


def typed(entry: CalendarEntry) -> dict[str, Any]:
    """Return an entry as the form shows it: wall times of the zone in which they were meant."""
    here = ZoneInfo(entry.time_zone)
    first, last = entry.starts_at.astimezone(here), entry.ends_at.astimezone(here)
    shown: dict[str, Any] = {
        name: getattr(entry, name)
        for name in (
            "kind",
            "title",
            "notes",
            "time_zone",
            "repeats_until",
            "is_team_only",
            "provider",
            "region",
        )
    }
    if entry.is_all_day:
        return {**shown, "first_day": first.date(), "last_day": (last - timedelta(seconds=1)).date()}
    return {
        **shown,
        "first_day": first.date(),
        "begins": first.time().replace(second=0, microsecond=0),
        "last_day": last.date(),
        "over": last.time().replace(second=0, microsecond=0),
    }


def now_in(zone: str, now: datetime) -> dict[str, Any]:
    """Return what a new entry begins with: tomorrow, whole days, the account's zone."""
    day = now.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
    return {"kind": CalendarKind.FREEZE, "first_day": day, "last_day": day, "time_zone": zone}
