"""What the portal promises about its speed, held against what was measured: one line each, kept or broken.

It judges a run of `make bench` and is no test: a busy machine breaks a promise without any fault of the portal's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_OVER_FIRST = 1.2
# Four of the list's own, two that ask whose session it is.
MOST_QUERIES = 6
FIRST_VIEW_MS = 100
SEED_S = 60
IMPORT_S = 30
FALSE_HALTS = 0.01
MOST_OVER_NAIVE = 0.85
MOST_OFF_RATE = 0.03
_LISTS = ("accounts", "contacts", "audit")
_WAYS = ("api", "page")
_SIZE = {"accounts": 2_000, "contacts": 100_000, "audit": 1_000_000}


@dataclass(frozen=True)
class Promise:
    """One promise with what was measured; `most` is the largest value that keeps it."""

    says: str
    value: float
    most: float

    @property
    def is_kept(self) -> bool:
        """Whether what was measured keeps it."""
        return self.value <= self.most

    def __str__(self) -> str:
        return f"{'kept  ' if self.is_kept else 'BROKEN'}  {self.says:<62} {self.value:>8g} of at most {self.most:g}"


def promises(figures: Mapping[str, float]) -> list[Promise]:
    """Return each promise that these figures speak of; those about size only where the database was of full size."""
    found = [
        Promise(
            f"{name}, {way}: thousandth page over first page",
            figures[f"{name}_page_1000_{way}_over_first"],
            MOST_OVER_FIRST,
        )
        for name in _LISTS
        for way in _WAYS
        if f"{name}_page_1000_{way}_over_first" in figures
    ]
    found += [
        Promise(f"{name}, {way}: queries of the list", figures[f"{name}_list_{way}_queries"], MOST_QUERIES)
        for name in _LISTS
        for way in _WAYS
        if f"{name}_list_{way}_queries" in figures
    ]
    is_full = all(figures.get(f"seed_scale_{name}", 0) >= count for name, count in _SIZE.items())
    if is_full:
        found.append(Promise("seconds to fill a portal of full size", figures["seed_scale_s"], SEED_S))
        found.append(
            Promise("the slowest page on it, ms (median)", figures["slowest_page_ms"], FIRST_VIEW_MS)
        )
    if "verify_false_halts_share_at_most" in figures:
        at_most = figures["verify_false_halts_share_at_most"]
        found.append(Promise("runs on unchanged traffic that halt, share (95 % bound)", at_most, FALSE_HALTS))
    found += [
        Promise(f"seconds to take in 10,000 contacts, {name}", figures[f"import_{name}_s"], IMPORT_S)
        for name in ("add", "change")
        if figures.get(f"import_{name}_rows", 0) >= 10_000
    ]
    if "growth_over_peer" in figures:
        found.append(
            Promise("statsmodels' series a second beside ours, share", 1 / figures["growth_over_peer"], 0.1)
        )
    if "growth_mase_ours" in figures:
        naive = min(figures["growth_mase_naive_24"], figures["growth_mase_naive_168"])
        found += [
            Promise(
                "forecasts: scaled error over that of the better seasonal naive",
                figures["growth_mase_ours"] / naive,
                MOST_OVER_NAIVE,
            ),
            Promise(
                "forecasts: how far the 95 % intervals are off their rate",
                abs(figures["growth_inside_95"] - 0.95),
                MOST_OFF_RATE,
            ),
            Promise(
                "MB of memory that more series take", figures["growth_memory_mb_over_first_64_series"], 20
            ),
        ]
    if "samples_new_over_copy" in figures:
        found += [
            Promise(
                f"samples, {case}: COPY and upsert beside ours, share of its speed",
                1 / figures[f"samples_{case}_over_copy"],
                1 / 0.7,
            )
            for case in ("new", "changed")
        ]
        found += [
            Promise(
                f"samples, {case}: `bulk_create` beside ours, share of our speed",
                1 / figures[f"samples_{case}_over_bulk"],
                0.2,
            )
            for case in ("new", "changed")
        ]
        found.append(
            Promise(
                "a year from hourly rollups over rolling it up on the fly",
                figures["samples_year_hours_over_fly"],
                0.2,
            )
        )
    if "samples_what_if_ms" in figures:
        found.append(Promise("an answer of *what if*, ms (median)", figures["samples_what_if_ms"], 200))
    return found
