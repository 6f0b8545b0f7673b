"""What is said when the portal, or a service under it, cannot start."""

from __future__ import annotations

from pathlib import Path


class CannotStart(Exception):
    """Something cannot start. `str()` is one plain sentence for the person at the terminal.

    `details` holds the last lines that the process itself wrote, if it wrote any.
    """

    def __init__(self, sentence: str, *, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details


# What programs write when the machine, not the portal, is the reason. Both PostgreSQL and Valkey print the
# C library's words for an errno.
_REASONS = (
    ("No space left on device", "The disk that holds {place} is full; free some space and start again."),
    ("Disk quota exceeded", "The disk quota for {place} is used up; free some space and start again."),
    (
        "Read-only file system",
        "{place} lies on a read-only file system; set STEADY_DATA to one that can be written.",
    ),
    (
        "Cannot allocate memory",
        "The machine has too little free memory for {name}; end something and start again.",
    ),
    (
        "Too many open files",
        "This user may not open enough files for {name}; raise the limit (ulimit -n) and start again.",
    ),
    (
        "could not create shared memory",
        "{name} got no shared memory; free some below /dev/shm and start again.",
    ),
    (
        "could not resize shared memory",
        "{name} got too little shared memory; free some below /dev/shm and start again.",
    ),
    (
        "Permission denied",
        "{name} may not read or write below {place}; give it to the user who starts the portal.",
    ),
    (
        "GLIBC_",
        "{name} needs a newer C library than this system has; set DATABASE_URL and REDIS_URL to servers of your own.",
    ),
)


def reason_in(output: str, *, name: str, place: Path) -> str | None:
    """Return the sentence for the first known reason in what a program wrote; None if none is known."""
    for words, sentence in _REASONS:
        if words in output:
            return sentence.format(name=name, place=place)
    return None
