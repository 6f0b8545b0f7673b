"""How far back a fetch asks once more, for what came late. Pure; both kinds of source use it.

Taking samples in is idempotent, so what was there already changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

AGAIN = 3
"""Steps that are always asked for once more."""
LONGEST_S = 6 * 3600
"""What comes later than this is not waited for: a series that ended would be asked for again for ever."""
MOST_AGAIN = 20_000
"""Points, over all series of a query, that are asked for once more at the most: each time is work on both sides."""


def newest_of(before: Mapping[str, float], found: Mapping[str, float], ends_s: float) -> dict[str, float]:
    """Return the moment (seconds since 1970) of each series' last sample, those of this answer added.

    One that is missing in an answer is remembered, so that it is seen to be behind; until it is further behind than
    anything is waited for.
    """
    newest = {name: max(at_s, before.get(name, at_s)) for name, at_s in found.items()}
    return {name: at_s for name, at_s in {**before, **newest}.items() if ends_s - at_s <= LONGEST_S}


def late_s(newest: Iterable[datetime], begins: datetime, ends: datetime) -> float:
    """Return by how many seconds the series that is furthest behind is, after a question from `begins` to `ends`.

    `newest` is the last sample of each series that is known. Where there is none, all that was asked for may still come.
    """
    behind = [(ends - at).total_seconds() for at in newest] or [(ends - begins).total_seconds()]
    return min(LONGEST_S, max(0.0, *behind))


def remembered_s(before_s: float, seen_s: float) -> float:
    """Return the lateness to reckon with: what was seen now, or an eighth less than what was reckoned with before.

    So it grows at once, and a source that delivers in heaps is not taken for a punctual one after each heap.
    """
    return max(seen_s, before_s * 7 / 8)


def again_s(late_s: float, step_s: int, series: int = 1) -> float:
    """Return how many seconds before its last end the next question begins: the lateness seen, and `AGAIN` steps."""
    most = min(LONGEST_S, MOST_AGAIN // max(1, series) * step_s)
    return max(AGAIN * step_s, min(late_s + AGAIN * step_s, most))
