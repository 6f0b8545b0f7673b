"""Columns of a report's picture as bytes: float32, each column after the other, compressed. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
BAND = ("low", "high")
CONE = ("point", "lower50", "upper50", "lower80", "upper80", "lower95", "upper95")


def packed(columns: Sequence[Numbers]) -> bytes:
    """Return columns of equal length as bytes; six digits of each value stay, of one up to 3.4e38."""
    most = float(np.finfo("<f4").max)
    return zlib.compress(np.clip(np.stack(columns), -most, most).astype("<f4").tobytes(), 6)


def unpacked(data: bytes, names: Sequence[str]) -> dict[str, Numbers]:
    """Return the columns, as many as there are names."""
    rows = np.frombuffer(zlib.decompress(data), dtype="<f4").reshape(len(names), -1)
    return {name: row.astype(np.float64) for name, row in zip(names, rows, strict=True)}
