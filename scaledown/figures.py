"""The numbers of a verdict as people read them, in both wordings. Pure: what `verify` noted in, rows of words out.

Verdicts of earlier releases lack some numbers: what is not there is left out, never shown as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FigureRow:
    """One thing that was looked at: what was seen, what was allowed, and the smallest change that would have shown."""

    label: str
    seen: str
    allowed: str
    visible: str


def figures_of(numbers: Mapping[str, Any], *, for_customer: bool) -> tuple[FigureRow, ...]:
    """Return the rows of one verdict, in the order in which it was judged."""
    return tuple(
        row
        for rows in (
            _vital(numbers),
            _checks(numbers),
            _loads(numbers, for_customer),
            _peaks(numbers, for_customer),
            _answers(numbers, for_customer),
        )
        for row in rows
    )


def percent(share: float, *, signed: bool = False) -> str:
    """Return a share as a percentage, small ones with a digit more."""
    value = 100.0 * share
    text = f"{round(abs(value), 1 if abs(value) < 2 else 0):g}"
    if not signed:
        return f"{text} %"
    return "no slower" if text == "0" else f"{text} % {'slower' if value > 0 else 'faster'}"


def _vital(numbers: Mapping[str, Any]) -> Iterable[FigureRow]:
    for one in numbers.get("vital") or ():
        if one["median"] is None or one["was"] is None:
            seen = "unknown"
        else:
            unit = f" {one['unit']}" if one["unit"] else ""
            seen = f"{one['median']:.3g}{unit} ({one['was']:.3g} before the first server)"
        if one["is_too_small"]:
            seen += ", too few samples to tell"
        allowed = f"{percent(one['allowed'])} lower"
        if one["expected"] > 1.005:
            allowed += f" than {one['expected']:.2g} times that, as on other days at these hours"
        elif one["expected"] < 0.995:
            allowed += f", beyond {percent(1.0 - one['expected'])} that these hours explain"
        smallest = one["smallest_seen"]
        yield FigureRow(one["name"], seen, allowed, "" if smallest is None else f"{percent(smallest)} lower")


def _checks(numbers: Mapping[str, Any]) -> Iterable[FigureRow]:
    good, failed = numbers.get("probes_ok"), numbers.get("probes_failed")
    if good is None or failed is None:
        return
    slow, unknown = numbers.get("probes_slow") or 0, numbers.get("probes_unknown") or 0
    seen = f"{good} of {good + failed + slow} good"
    if slow:
        seen += f", {slow} too slow"
    if unknown:
        seen += f", {unknown} could not be made"
    limits = []
    if numbers.get("failed_share_allowed") is not None:
        limits.append(f"{percent(numbers['failed_share_allowed'])} may fail")
    if numbers.get("failed_share_promised") is not None:
        limits.append(f"{percent(numbers['failed_share_promised'])} promised")
    visible = numbers.get("smallest_failed_share_seen")
    yield FigureRow(
        "Checks of the site",
        seen,
        ", ".join(limits),
        "" if visible is None else f"{percent(visible)} failing",
    )


def _loads(numbers: Mapping[str, Any], for_customer: bool) -> Iterable[FigureRow]:
    highest, guard = numbers.get("load_highest_rps"), numbers.get("load_guard_rps")
    if highest is None and guard is None:
        return
    seen = "unknown" if highest is None else f"up to {highest:.1f} requests/s"
    if numbers.get("load_is_evidence") is False:
        seen += ", too little to tell"
    label = "Load of each server" if for_customer else "Load per node"
    yield FigureRow(label, seen, "" if guard is None else f"{guard:.1f} requests/s", "")


def _peaks(numbers: Mapping[str, Any], for_customer: bool) -> Iterable[FigureRow]:
    share, of_ceiling = numbers.get("share_of_peak"), numbers.get("peak_share_of_ceiling")
    if share is not None:
        yield FigureRow("Traffic at that time", f"{percent(share)} of the next peak", "", "")
    if of_ceiling is not None:
        what = "the most each can carry" if for_customer else "the ceiling"
        yield FigureRow("At the next peak, at this size", f"{percent(of_ceiling)} of {what}", "100 %", "")


def _answers(numbers: Mapping[str, Any], for_customer: bool) -> Iterable[FigureRow]:
    for one in numbers.get("comparisons") or ():
        allowed = f"{percent(one['allowed'])} slower"
        if one["predicted"] >= 0.005:
            allowed += f", beyond {percent(one['predicted'])} that the load explains"
        seen = f"{percent(one['slower_by'], signed=True)} ({one['was_ms']:.0f} ms then, {one['median_ms']:.0f} ms now)"
        if one["is_too_small"]:
            seen += ", too few answers to tell"
        smallest = one["smallest_seen"]
        against = one["against"]
        yield FigureRow(
            f"{one['probe']}, held against {'answers ' if against.startswith('before') else ''}{against}",
            seen,
            allowed,
            "" if smallest is None else f"{percent(smallest)} slower",
        )
