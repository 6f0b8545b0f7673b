"""Lengths of time as people read and write them. Pure."""

from __future__ import annotations


def span_text(seconds: float | None) -> str:
    """Return a length of time as `SpanField` reads it back: `90 s`, `15 min`, `2 h 30 min`; None is empty."""
    if seconds is None:
        return ""
    left = float(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        count = int(left // size)
        if count:
            parts.append(f"{count} {unit}")
            left -= count * size
    if left or not parts:
        parts.append(f"{left:g} s")
    return " ".join(parts)
