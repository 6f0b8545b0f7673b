"""Time zones as people choose them."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError

# What a machine's own set-up is called, which is another zone on another machine.
_OF_THE_MACHINE = frozenset({"localtime", "posixrules", "Factory"})


@cache
def _known() -> frozenset[str]:
    """Return every name of the tz database; Python reads its folders anew at each question, hundreds of them."""
    return frozenset(available_timezones() - _OF_THE_MACHINE)


@cache
def zone_names() -> tuple[str, ...]:
    """Return the names of the tz database that a person may choose, sorted."""
    found = (name for name in _known() if "/" in name and not name.startswith(("Etc", "posix")))
    return (*sorted(found), "UTC")


def validate_time_zone(value: str) -> None:
    """Raise ValidationError for a name that the tz database does not know."""
    if value not in _known():
        raise ValidationError(f"“{value}” is no time zone of the tz database, like Europe/Berlin or UTC.")
