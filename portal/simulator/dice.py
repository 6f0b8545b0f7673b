"""Chance from a seed: the same seed and the same calls give the same world."""

from __future__ import annotations

import math

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Dice:
    """A splitmix64 generator. Its whole state is one integer, so that it fits into a saved world."""

    def __init__(self, seed: int, state: int | None = None) -> None:
        self.seed = seed
        self.state = _mix(seed & _MASK) if state is None else state

    def uniform(self) -> float:
        """Return the next number in [0, 1)."""
        self.state = (self.state + _STEP) & _MASK
        return (_mix(self.state) >> 11) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        return low if high <= low else low + (high - low) * self.uniform()

    def chance(self, probability: float) -> bool:
        """Return True with `probability`; certainties draw nothing."""
        if probability >= 1.0:
            return True
        return probability > 0.0 and self.uniform() < probability

    def normal(self) -> float:
        """Return a draw from the standard normal distribution."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def hex(self, digits: int) -> str:
        return "".join("0123456789abcdef"[int(self.uniform() * 16)] for _ in range(digits))

    def uuid(self) -> str:
        digits = self.hex(32)
        variant = "89ab"[int(digits[16], 16) % 4]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def still(self, *keys: int) -> float:
        """Return a number in [0, 1) that depends on seed and keys alone and draws nothing."""
        value = self.seed & _MASK
        for key in keys:
            value = _mix((value + _STEP * (key + 1)) & _MASK)
        return (value >> 11) * 2.0**-53
