"""The shape of a file that is handed in."""

from __future__ import annotations

from accounts.contact_files.entries import MOST_BYTES
from portal.uploads import FileOrText


class FileForm(FileOrText):
    """A file of contacts, or its text."""

    says = "CSV (UTF-8) or vCard (.vcf, version 4.0 or 3.0)."
    accept = ".csv,.vcf,.vcard,text/csv,text/vcard"
    most_bytes = MOST_BYTES
