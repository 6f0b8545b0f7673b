"""The ladder: no drill in production before the same scenario passed smaller, none unannounced before announced. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drills.scenarios.types import DrillKind, Environment

PASSED = "drill_met"


@dataclass(frozen=True)
class Held:
    """One drill of the same scenario that was held."""

    kind: DrillKind
    environment: Environment
    result: str


def missing_rung(kind: DrillKind, environment: Environment, held: Iterable[Held]) -> str:
    """Return which drill must have met its hypothesis first, as a sentence; "" where nothing is missing.

    A table-top disrupts nothing, so it needs nothing, wherever it is about.
    """
    passed = [one for one in held if one.result == PASSED]
    if kind is DrillKind.TABLE_TOP:
        return ""
    if environment is Environment.PRODUCTION and not any(
        one.kind is DrillKind.TABLE_TOP or one.environment is Environment.TEST for one in passed
    ):
        return (
            "In production a scenario is drilled only once it met its hypothesis as a table-top or on a test"
            " environment."
        )
    if kind is DrillKind.UNANNOUNCED and not any(one.kind is DrillKind.ANNOUNCED for one in passed):
        return "Unannounced a scenario is drilled only once it met its hypothesis announced."
    return ""
