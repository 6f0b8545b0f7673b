"""How far back a fetch asks once more, for what came late. Pure; both kinds of source use it.

Taking samples in is idempotent, so what was there already changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

AGAIN = 3
"""Steps that are always asked for once more."""
LONGEST_S = 6 * 3600
"""What comes later than this is not waited for: a series that ended would be asked for again for ever."""


def late_s(newest: Iterable[datetime], begins: datetime, ends: datetime) -> float:
    """Return by how many seconds the series that is furthest behind is, after a question from `begins` to `ends`.

    `newest` is the last sample of each series of the answer. Where there is none, all that was asked for may still come.
    """
    behind = [(ends - at).total_seconds() for at in newest] or [(ends - begins).total_seconds()]
    return max(0.0, *behind)


def again_s(late_s: float, step_s: int) -> float:
    """Return how many seconds before its last end the next question begins: the lateness seen, and `AGAIN` steps."""
    return max(AGAIN * step_s, min(late_s + AGAIN * step_s, LONGEST_S))
