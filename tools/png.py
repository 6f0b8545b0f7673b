"""Make a screenshot smaller: 8-bit palette where its colours allow, best of the row filters. Standard library only."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Sequence

_MAGIC = b"\x89PNG\r\n\x1a\n"


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(_MAGIC)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _rows(raw: bytes, width: int, height: int, size: int) -> list[bytearray]:
    """Undo the row filters (PNG specification, 9.2)."""
    stride = width * size
    rows: list[bytearray] = []
    above = bytearray(stride)
    for number in range(height):
        start = number * (stride + 1)
        method = raw[start]
        row = bytearray(raw[start + 1 : start + 1 + stride])
        for index in range(stride):
            left = row[index - size] if index >= size else 0
            if method == 1:
                row[index] = (row[index] + left) & 255
            elif method == 2:
                row[index] = (row[index] + above[index]) & 255
            elif method == 3:
                row[index] = (row[index] + (left + above[index]) // 2) & 255
            elif method == 4:
                corner = above[index - size] if index >= size else 0
                guess = left + above[index] - corner
                apart = abs(guess - left), abs(guess - above[index]), abs(guess - corner)
                nearest = (
                    left if apart[0] == min(apart) else above[index] if apart[1] == min(apart) else corner
                )
                row[index] = (row[index] + nearest) & 255
        rows.append(row)
        above = row
    return rows


def shrink(data: bytes) -> bytes:
    """Return an 8-bit PNG with the same picture in at most 256 colours, or `data` if that is smaller.

    Pages have few colours; the many shades of smoothed letters go to the nearest of the 256 most used.
    Raises ValueError for what is no 8-bit RGB or RGBA picture without interlace.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("this is no PNG")
    parts = _chunks(data)
    width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", parts[0][1])
    if depth != 8 or kind not in (2, 6) or interlace:
        raise ValueError("only 8-bit RGB and RGBA pictures without interlace can be made smaller")
    size = 3 if kind == 2 else 4
    raw = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    pixels: list[Sequence[tuple[int, ...]]] = []
    used: Counter[tuple[int, ...]] = Counter()
    for row in _rows(raw, width, height, size):
        line = list(zip(row[0::size], row[1::size], row[2::size], strict=True))
        used.update(line)
        pixels.append(line)
    # A thin coloured mark counts for more than one more shade of grey: it means something.
    ranked = sorted(
        used, key=lambda colour: used[colour] * (1 + (max(colour) - min(colour)) / 8), reverse=True
    )
    palette = ranked[:256]
    index = {colour: number for number, colour in enumerate(palette)}
    for colour in used:
        if colour not in index:
            index[colour] = min(
                range(len(palette)),
                key=lambda number, colour=colour: sum(  # type: ignore[misc]
                    (one - other) ** 2 for one, other in zip(palette[number], colour, strict=True)
                ),
            )
    packed = b"".join(b"\0" + bytes(index[colour] for colour in line) for line in pixels)
    made = (
        _MAGIC
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + _chunk(b"PLTE", b"".join(bytes(colour) for colour in palette))
        + _chunk(b"IDAT", zlib.compress(packed, 9))
        + _chunk(b"IEND", b"")
    )
    return min(made, data, key=len)
