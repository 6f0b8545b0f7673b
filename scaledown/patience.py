"""Whether a run can wait until others have been looked at, where workers are behind. Pure.

A server that is out, or on its way, must be looked at as often as the rules ask: looks that are too far apart prove nothing,
and the run halts. So what has not begun yet begins later, and no more is out at once than can be watched.
"""

from __future__ import annotations

from scaledown.late import is_pressing, outstanding
from scaledown.peak import is_watching
from scaledown.progress import Progress
from scaledown.turn import Turn
from scaledown.types import Phase


def can_wait(turn: Turn) -> bool:
    """Return whether there is more to take out, nothing is on its way, nothing may still land, and nobody waits for it."""
    progress = turn.progress
    return (
        any(way.phase is Phase.QUEUED for way in progress.servers)
        and all(
            (way.phase is Phase.QUEUED or way.phase.is_final) and way.put_back is None
            for way in progress.servers
        )
        and not _is_waited_for(progress)
        and outstanding(turn) is None
    )


def _is_waited_for(progress: Progress) -> bool:
    """Whether somebody said what is to be done, the site may need something, or something should have come by now.

    The load is known by two readings some seconds apart: a run keeps its turn for the second, which else it would wait for
    with everybody and then wait for its turn anew, by when neither says anything of now.
    """
    return bool(
        progress.preflight_due
        or progress.asks_freeze
        or progress.aborting
        or progress.finishing
        or progress.rolling_back
        or progress.growing is not None
        or progress.pause_after is not None
        or (progress.stuck is not None and progress.stuck.reasons.keys() != {"load"})
        or is_pressing(progress)
        or is_watching(progress)
    )
