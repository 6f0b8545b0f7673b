"""Telling one format from the other by what stands in the file, never by its name."""

from __future__ import annotations

from accounts.contact_files.csv_in import read_csv
from accounts.contact_files.entries import FileRead, text_of_file
from accounts.contact_files.vcard_in import read_vcards


def read_file(data: bytes) -> FileRead:
    """Return what a file of contacts holds: vCards if its first line begins one, else CSV. Raises Refused."""
    return read_text(text_of_file(data))


def read_text(text: str) -> FileRead:
    """Return what a text holds: vCards if its first line begins one, else CSV. Raises Refused."""
    if text.lstrip()[:11].upper() == "BEGIN:VCARD":
        return read_vcards(text)
    return read_csv(text.lstrip("\r\n"))
