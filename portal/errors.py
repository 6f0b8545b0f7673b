"""The four kinds of trouble that the portal tells apart. Anything else is a bug and stays loud.

Each carries a sentence for people: what happened, what is true now, what can be done. No raw provider text.
"""

from __future__ import annotations

import math


class Trouble(Exception):
    """Base of the four kinds. `code` is a stable machine name, `says` the sentence that a person reads."""

    def __init__(self, says: str, *, code: str = "") -> None:
        super().__init__(says)
        self.says = says
        self.code = code or type(self).__name__.lower()


class Refused(Trouble):
    """A rule or the input forbids it: the user can change something. Nothing was done.

    `version` is of what it tells of, where people may decide in spite of that: they send it along, as what they read.
    """

    def __init__(self, says: str, *, code: str = "", version: str = "") -> None:
        super().__init__(says, code=code)
        self.version = version


class Malformed(Refused):
    """The request itself cannot be read: a forged cursor, a date that is none (400)."""


class NotPermitted(Refused):
    """The user may see the thing but lacks the right for this act (403)."""


class StaleState(Refused):
    """Somebody or something was faster: the thing is no longer in the state that was seen (409)."""


class TryLater(Trouble):
    """Busy or rate limited, and surely nothing was done. `after_s` is the soonest sensible next try."""

    def __init__(self, says: str, *, after_s: float, code: str = "") -> None:
        super().__init__(says, code=code)
        self.after_s = after_s


def in_time(seconds: float) -> str:
    """Return how long something takes from now on, in plain words: "in 40 seconds", "in 12 minutes", "in 2 hours"."""
    for size, word in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size or size == 1:
            count = max(1, math.ceil(seconds / size))
            return f"in {count} {word}{'' if count == 1 else 's'}"
    raise AssertionError("unreachable")


class TooOften(TryLater):
    """More of this than anybody needs was asked for (429). `after_s` is when the next one is taken.

    `whose` says whose limit it is, as the rest of "This is the limit of …": people must know who else uses it up.
    """

    def __init__(self, says: str, *, after_s: float, whose: str, code: str = "") -> None:
        super().__init__(
            f"{says} This is the limit of {whose}. Come again {in_time(after_s)}.", after_s=after_s, code=code
        )


class InDoubt(Trouble):
    """A change was sent and its answer lost: it may have worked. Read before anything else."""


class ProviderFailed(Trouble):
    """The provider's final answer is no, or it cannot be understood. `status` is the HTTP status if any."""

    def __init__(self, says: str, *, code: str = "", status: int | None = None) -> None:
        super().__init__(says, code=code)
        self.status = status


def form_status(trouble: Trouble) -> int:
    """Return the status of a form page that shows a trouble beside what was typed."""
    match trouble:
        case NotPermitted():
            return 403
        case StaleState():
            return 409
        case TryLater():
            return 503
        case ProviderFailed():
            return 502
    return 422
