"""The four kinds of trouble that the portal tells apart. Anything else is a bug and stays loud.

Each carries a sentence for people: what happened, what is true now, what can be done. No raw provider text.
"""

from __future__ import annotations


class Trouble(Exception):
    """Base of the four kinds. `code` is a stable machine name, `says` the sentence that a person reads."""

    def __init__(self, says: str, *, code: str = "") -> None:
        super().__init__(says)
        self.says = says
        self.code = code or type(self).__name__.lower()


class Refused(Trouble):
    """A rule or the input forbids it: the user can change something. Nothing was done."""


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


class TooOften(TryLater):
    """More of this than anybody needs was asked for (429). `after_s` is when the next one is taken."""


class InDoubt(Trouble):
    """A change was sent and its answer lost: it may have worked. Read before anything else."""


class ProviderFailed(Trouble):
    """The provider's final answer is no, or it cannot be understood. `status` is the HTTP status if any."""

    def __init__(self, says: str, *, code: str = "", status: int | None = None) -> None:
        super().__init__(says, code=code)
        self.status = status
