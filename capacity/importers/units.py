"""Durations and sizes as the tools print them."""

from __future__ import annotations

import re

from capacity.importers.reading import clean, number, refuse

_MS = {
    "ns": 1e-6,
    "us": 1e-3,
    "µs": 1e-3,
    "μs": 1e-3,
    "ms": 1.0,
    "s": 1e3,
    "m": 60e3,
    "h": 3600e3,
}
_PART = re.compile(r"(\d+(?:[.,]\d+)?)(ns|us|µs|μs|ms|s|m|h)")
_SIZES = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def duration_ms(text: str, what: str, line: int | None) -> float:
    """Return milliseconds of a duration such as 657.00us, 1.2s, 1m30.5s or 0s. Raises ImportRefused."""
    text = text.strip()
    parts = _PART.findall(text)
    if not parts or "".join(value + unit for value, unit in parts) != text:
        refuse(f"“{what}” is “{clean(text[:80])}”; a time with its unit was expected, such as 12.3ms.", line)
    found = sum(number(value.replace(",", "."), what, line=line) * _MS[unit] for value, unit in parts)
    # To a nanosecond's thousandth: 0.29ms must not become 0.29000000000000004.
    return number(round(found, 9), what, line=line)


def size_bytes(text: str, what: str, line: int | None) -> int:
    """Return bytes of a size in wrk's way, such as 289.13KB (1024 bytes each). Raises ImportRefused."""
    found = re.fullmatch(r"(\d+(?:[.,]\d+)?)([KMGTP]?)B", text.strip())
    if found is None:
        refuse(f"“{what}” is “{clean(text[:80])}”; a size was expected, such as 289.13KB.", line)
    value = number(found[1].replace(",", "."), what, line=line)
    return round(number(value * 1024 ** _SIZES[found[2]], what, line=line))
