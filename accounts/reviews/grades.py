"""How something can stand. In a file of its own: the models need it, and what is asked of many accounts needs them."""

from __future__ import annotations

from enum import StrEnum


class Grade(StrEnum):
    """How something stands. Unknown stands beside them: it is a reason to ask, and never a good sign."""

    RED = "red"
    AMBER = "amber"
    UNKNOWN = "unknown"
    GREEN = "green"


WORST_FIRST: tuple[Grade, ...] = (Grade.RED, Grade.AMBER, Grade.UNKNOWN, Grade.GREEN)
GRADES: tuple[str, ...] = tuple(grade.value for grade in WORST_FIRST)
BY_HAND: tuple[str, ...] = (Grade.GREEN.value, Grade.AMBER.value, Grade.RED.value)
"""What a person can answer: whoever does not know answers nothing."""
