"""What is a person's name. Pure."""

from __future__ import annotations

import re

from portal.errors import Refused
from portal.texts import is_sound

_ADDRESS = re.compile(r"://|www\.|@|\w\w\.[^\W\d_]{2}", re.IGNORECASE)
LONGEST_NAME = 80


_TO_STRANGERS = "it stands in mails to people who do not know you"


def person_name(name: str, *, why: str = _TO_STRANGERS) -> str:
    """Return a person's name as one line. Raises Refused for what is no name, with the reason that is given there."""
    name = " ".join(name.split())
    if not any(char.isalnum() for char in name):
        raise Refused("A name has letters that can be read. Nothing was kept.", code="no_name")
    if not is_sound(name) or len(name) > LONGEST_NAME or _ADDRESS.search(name):
        raise Refused(
            f"A name has at most {LONGEST_NAME} characters and holds no web or mail address: {why}. Nothing was kept.",
            code="no_name",
        )
    return name
