"""Form fields that more than one app needs: percentages, and moments in the zone of whoever types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

# Beyond these a conversion between zones may leave the calendar, and nothing here was or will be then.
FIRST_YEAR, LAST_YEAR = 2000, 2100


class ShareField(forms.FloatField):
    """A percentage, from 0 to 100 unless `max_value` says more; cleans to a share."""

    def __init__(self, *, max_value: float = 100, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=max_value, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show a share as a percentage; what was typed stays as typed."""
        return f"{value * 100:g}" if isinstance(value, float) else value

    def clean(self, value: Any) -> Any:
        """Return the share."""
        percent = super().clean(value)
        return None if percent is None else percent / 100


_MOMENTS = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M")


class MomentField(forms.DateTimeField):
    """A date and time in the zone of whoever types; cleans to UTC."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "60"}, format="%Y-%m-%dT%H:%M")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(input_formats=list(_MOMENTS), **kwargs)
        self.zone: ZoneInfo | Any = UTC

    def prepare_value(self, value: Any) -> Any:
        """Show a moment in the reader's zone."""
        return value.astimezone(self.zone).replace(tzinfo=None) if isinstance(value, datetime) else value

    def to_python(self, value: Any) -> Any:
        """Return the moment in UTC."""
        text = value.strip() if isinstance(value, str) else value
        if not text:
            return None
        for pattern in _MOMENTS:
            try:
                typed = datetime.strptime(text, pattern)  # noqa: DTZ007  (the zone follows)
            except ValueError:
                continue
            return self._in_utc(typed)
        raise forms.ValidationError("Write a date and a time such as 2026-11-24 14:00.")

    def _in_utc(self, typed: datetime) -> datetime:
        """Return the one moment that was meant. A clock that is put forward skips an hour, put back repeats one."""
        if not FIRST_YEAR <= typed.year <= LAST_YEAR:
            raise forms.ValidationError(f"Choose a year from {FIRST_YEAR} to {LAST_YEAR}.")
        first, second = (typed.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        if first.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) != typed:
            raise forms.ValidationError(
                f"{typed:%H:%M} does not exist on this day in {self.zone}: clocks are put forward over it."
                " Choose a time before or after."
            )
        if first.utcoffset() != second.utcoffset():
            raise forms.ValidationError(
                f"{typed:%H:%M} comes twice on this day in {self.zone}: clocks are put back over it."
                " Choose a time before or after that hour."
            )
        return first.astimezone(UTC)
