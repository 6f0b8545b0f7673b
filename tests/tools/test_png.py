"""A picture of a page gets smaller and stays the same picture."""

from __future__ import annotations

import struct
import zlib

import pytest

from tools.png import _chunk, _chunks, shrink


def picture(rows):
    """An RGB picture of rows of colours, each row filtered against the one above (method 2)."""
    raw, above = b"", bytes(3 * len(rows[0]))
    for row in rows:
        flat = bytes(value for colour in row for value in colour)
        raw += b"\x02" + bytes((one - other) & 255 for one, other in zip(flat, above, strict=True))
        above = flat
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(raw, 1))
        + _chunk(b"IEND", b"")
    )


def test_a_picture_of_few_colours_keeps_every_one_of_them():
    white, teal = (255, 255, 255), (11, 85, 99)
    rows = [[white if (x * y) % 7 else teal for x in range(200)] for y in range(200)]
    small = shrink(picture(rows))
    assert len(small) < len(picture(rows))
    parts = dict(_chunks(small))
    palette = [tuple(parts[b"PLTE"][at : at + 3]) for at in range(0, len(parts[b"PLTE"]), 3)]
    raw = zlib.decompress(parts[b"IDAT"])
    assert [[palette[index] for index in raw[201 * y + 1 : 201 * (y + 1)]] for y in range(200)] == rows


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match="no PNG"):
        shrink(b"GIF89a")
