"""What the two commands answer about the text of a file, as JSON takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from capacity.growth.analysis import detect_events, forecast
from capacity.growth.series import DAY_S, Read, checked, guessed_seasons, read_values, seasons_of


def forecast_answer(text: str, horizon: int, seasons: Sequence[int] | None) -> dict[str, Any]:
    """Return the forecast of the values in `text` (`read_values`), with times where the file has them. Raises ValueError.

    Without `seasons` they are those that `events_answer` takes.
    """
    read = read_values(text)
    seasons = _seasons(read) if seasons is None else seasons
    answer = forecast(read.values, horizon, seasons).as_plain()
    answer["notes"] = [*read.notes, *answer["notes"]]
    answer["at"] = [_time(read, len(read.values) + step) for step in range(horizon)] if read.step_s else None
    return answer


def events_answer(text: str, seasons: Sequence[int] | None) -> dict[str, Any]:
    """Return the events among the values in `text`, strongest scores included. Raises ValueError.

    Without `seasons` they are day and week where the file has times and is long enough, else what the series shows.
    """
    read = read_values(text)
    if seasons is None:
        seasons = _seasons(read)
    found = detect_events(read.values, seasons)
    windows = []
    for event in found:
        window = event.as_plain()
        if read.step_s:
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
        "notes": list(read.notes),
    }


def _seasons(read: Read) -> tuple[int, int]:
    if read.step_s:
        first, second = seasons_of(read.step_s)
        if first > 1 and len(read.values) >= 3 * first and read.step_s < DAY_S:
            return first, second
    return guessed_seasons(checked(read.values))


def _time(read: Read, step: int) -> str | None:
    at = read.at(step)
    return None if at is None else at.isoformat().replace("+00:00", "Z")
