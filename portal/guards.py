"""Servers that must be left alone, as the apps know them that have such marks.

    register(marks_of)           in AppConfig.ready(): marks_of(connection) -> {server_id: why}
    guarded(connection)          all of them

Scale-downs keep the marks, drills respect them, and neither knows of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Marks = Callable[[Any], Mapping[str, str]]
_marks: list[Marks] = []


def register(marks_of: Marks) -> None:
    """Have `marks_of` asked for each connection: by id of the server, why it must be left alone."""
    if marks_of not in _marks:
        _marks.append(marks_of)


def guarded(connection: Any) -> dict[str, str]:
    """Return the servers of a connection that must be left alone, each with the reason. One query for each app that has marks."""
    found: dict[str, str] = {}
    for marks_of in _marks:
        found |= marks_of(connection)
    return found
