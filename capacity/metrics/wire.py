"""What samples come in over HTTP: JSON or CSV, packed with gzip or not, of bounded size either way."""

from __future__ import annotations

import io
import zlib
from typing import Any

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

from portal.api import StrictJSON
from portal.problems import TooLarge

# Of the body as it comes and of what it unpacks to.
MOST_BYTES = 8 * 1024 * 1024


def unpacked(stream: Any, coding: str) -> bytes:
    """Return the whole body. Raises TooLarge (413), ParseError (400) for what is cut off, or 415 for another coding."""
    raw: bytes = stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise TooLarge(MOST_BYTES)
    if coding in {"", "identity"}:
        return raw
    if coding != "gzip":
        raise UnsupportedMediaType(
            coding[:40], detail="Send the body as it is, or with `Content-Encoding: gzip`."
        )
    opener = zlib.decompressobj(wbits=31)
    try:
        # A few bytes can stand for gigabytes.
        found = opener.decompress(raw, MOST_BYTES + 1)
    except zlib.error:
        raise ParseError("The body is no gzip.") from None
    if len(found) > MOST_BYTES:
        raise TooLarge(MOST_BYTES)
    if not opener.eof or opener.unused_data:
        raise ParseError("The body is cut off, or more than one gzip.")
    return found


def _body(stream: Any, parser_context: Any) -> bytes:
    return unpacked(stream, parser_context["request"].headers.get("Content-Encoding", "").strip().lower())


def _asked(parser_context: Any) -> str:
    """Return what is kept where lines are wrong: part of the request, so that a repeat with another answer is none."""
    found: str = parser_context["request"].query_params.get("keep", "")
    return found


class SamplesJSON(StrictJSON):
    """`{"samples": […]}`."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the body, and what is asked to be kept."""
        body = super().parse(io.BytesIO(_body(stream, parser_context)), media_type, parser_context)
        return {"keep": _asked(parser_context), "body": body}


class SamplesCSV(BaseParser):
    """A list with a first line that names its columns."""

    media_type = "text/csv"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the text, and what is asked to be kept."""
        try:
            text = _body(stream, parser_context).decode("utf-8")
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        return {"keep": _asked(parser_context), "csv": text}
