"""What the two commands answer about the text of a file, as JSON takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from capacity.growth.analysis import detect_events, forecast
from capacity.growth.series import (
    DAY_S,
    USUAL_WORKING_DAYS,
    WORKING_DAYS,
    Read,
    checked,
    guessed_seasons,
    read_values,
    seasons_of,
)


def forecast_answer(text: str, horizon: int, seasons: Sequence[int] | None) -> dict[str, Any]:
    """Return the forecast of the values in `text` (`read_values`), with times where the file has them. Raises ValueError.

    Without `seasons` they are those that `events_answer` takes.
    """
    read = read_values(text)
    seasons, notes = _seasons(read, seasons)
    answer = forecast(read.values, horizon, seasons).as_plain()
    answer["notes"] = [*notes, *answer["notes"]]
    answer["at"] = [_time(read, len(read.values) + step) for step in range(horizon)] if read.start else None
    return answer


def events_answer(text: str, seasons: Sequence[int] | None) -> dict[str, Any]:
    """Return the events among the values in `text`, strongest scores included. Raises ValueError.

    Without `seasons` they are day and week where the file has times and is long enough, else what the series shows.
    """
    read = read_values(text)
    seasons, notes = _seasons(read, seasons)
    found = detect_events(read.values, seasons)
    windows = []
    for event in found:
        window = event.as_plain()
        if read.start:
            window |= {
                "starts_at": _time(read, event.begin),
                "ends_at": _time(read, event.end),
                "peaks_at": _time(read, event.peak_at),
            }
        windows.append(window)
    return {
        "windows": windows,
        "seasons": [season for season in seasons if season > 1],
        "steps": len(read.values),
        "step_s": read.step_s,
        "notes": notes,
    }


def _seasons(read: Read, asked: Sequence[int] | None) -> tuple[Sequence[int], list[str]]:
    """Return the seasons in steps, those that were asked for or those of the file, and the file's notes."""
    notes = list(read.notes)
    if asked is not None:
        if read.is_of_working_days and 7 in asked:
            notes.append("The season of 7 steps is taken as one of 5: that is a week of working days.")
            asked = [WORKING_DAYS if season == 7 else season for season in asked]
        return asked, notes
    if read.is_of_working_days:
        return guessed_seasons(checked(read.values), USUAL_WORKING_DAYS), notes
    if read.step_s:
        first, second = seasons_of(read.step_s)
        if first > 1 and len(read.values) >= 3 * first and read.step_s < DAY_S:
            return (first, second), notes
    return guessed_seasons(checked(read.values)), notes


def _time(read: Read, step: int) -> str | None:
    at = read.at(step)
    return None if at is None else at.isoformat().replace("+00:00", "Z")
