"""What is a good value of each field of a contact: the one place that form, API, import, export and service rest on. Pure.

Texts of one line are kept as one: whatever stands between words becomes one blank. Notes may have lines.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from accounts.names import LONGEST_NAME, person_name
from portal.errors import Refused
from portal.texts import SAYS, is_sound

LONGEST: Mapping[str, int] = {
    "name": LONGEST_NAME,
    "title": 200,
    "organization": 200,
    "email": 254,
    "no_phone_because": 200,
    # RFC 5646 4.4.1: 35 characters hold every tag that is in use.
    "language": 35,
    "external_id": 100,
    "notes": 5000,
}
SEVERAL_LINES = frozenset({"notes"})
MOST_PHONES, MOST_RESPONSIBLE, MOST_DAYS_OFF = 5, 50, 100
FIRST_ORDER, LAST_ORDER = 1, 999
E164 = r"\+[1-9][0-9]{6,14}"
OWN_ID = "urn:uuid:"
ROLES = ("primary", "technical", "emergency", "billing", "security")

_CALLED: Mapping[str, str] = {
    "email": "The mail address",
    "external_id": "The id",
    "no_phone_because": "The reason why there is no phone",
    "notes": "The notes",
}
_NUMBER = re.compile(E164)
_BETWEEN_DIGITS = " -()/.\u00a0\u2011\u2013"
# RFC 5646 2.1, without what is registered as a whole or for private use alone: those name no language to write in.
_LANGUAGE = re.compile(
    r"[a-z]{2,3}(-[a-z]{3}){0,3}"
    r"(-[a-z]{4})?"
    r"(-([a-z]{2}|[0-9]{3}))?"
    r"(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"
    r"(-[0-9a-wyz](-[a-z0-9]{2,8})+)*"
    r"(-x(-[a-z0-9]{1,8})+)?",
    re.IGNORECASE | re.ASCII,
)


def called(name: str) -> str:
    """Return what a field is called at the beginning of a sentence."""
    return _CALLED.get(name, f"The {name}")


def clean_text(name: str, text: str) -> str:
    """Return a text as this field keeps it, "" for an empty one. Raises Refused with a sentence for what does not fit."""
    if name in SEVERAL_LINES:
        text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    else:
        text = " ".join(text.split())
    if not is_sound(text):
        raise Refused(f"{called(name)} holds {SAYS}. Take it out.", code="invalid")
    if any(unicodedata.category(char) == "Cc" and char not in "\n\t" for char in text):
        raise Refused(
            f"{called(name)} holds an invisible character that is no text. Take it out.", code="invalid"
        )
    longest = LONGEST[name]
    if len(text) > longest:
        raise Refused(f"{called(name)} may have {longest:,} characters. Shorten it.", code="invalid")
    return _CHECKS[name](text) if text and name in _CHECKS else text


def _mail(text: str) -> str:
    address = text.removeprefix("mailto:").strip()
    try:
        validate_email(address)
    except ValidationError:
        raise Refused(f"“{shown(text)}” is no mail address, like maja@example.com.", code="invalid") from None
    if '"' in address:
        raise Refused(
            f"“{shown(text)}” has quotes before the @, which many mail systems do not take. Give another address.",
            code="invalid",
        )
    return address


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise Refused(f"“{shown(text)}” is no language tag, like en or de-CH (BCP 47).", code="invalid")
    return text


def _outside_id(text: str) -> str:
    if own_ref(text) is not None:
        raise Refused(
            f"An id that begins with {OWN_ID} is one that exports of this portal give. Write the one of your own list.",
            code="invalid",
        )
    return text


def _name(text: str) -> str:
    return person_name(text, why="an address belongs into the field for it, and the name is whom to ask for")


_CHECKS = {"name": _name, "email": _mail, "language": _language, "external_id": _outside_id}


def own_ref(external_id: str) -> UUID | None:
    """Return the reference in an id that our own export gave (`urn:uuid:…`); None for any other."""
    if not external_id.lower().startswith(OWN_ID):
        return None
    try:
        return UUID(external_id[len(OWN_ID) :])
    except ValueError:
        return None


def clean_phone(text: str) -> str:
    """Return a number as E.164, "" for none: `+49 (30) 1234-5678` and `0049 30 12345678` are +493012345678.

    Raises Refused for what is no such number.
    """
    number = "".join(
        char for char in text.removeprefix("tel:").split(";", 1)[0] if char not in _BETWEEN_DIGITS
    )
    number = f"+{number[2:]}" if number.startswith("00") else number
    if number and not _NUMBER.fullmatch(number):
        raise Refused(
            f"“{shown(text)}”: write the number with its country code, like +493012345678.", code="invalid"
        )
    return number


def clean_order(order: Any) -> int:
    """Return an order of call. Raises Refused for what is no number from 1 to 999."""
    if isinstance(order, bool) or not isinstance(order, int) or not FIRST_ORDER <= order <= LAST_ORDER:
        raise Refused(
            f"The order of call is a number from {FIRST_ORDER} to {LAST_ORDER}; {FIRST_ORDER} is called first.",
            code="invalid",
        )
    return order


def in_order(roles: Any) -> list[str]:
    """Return roles once each, in the order in which they are kept; what is no role comes last."""
    known = [role for role in ROLES if role in roles]
    return [*known, *(role for role in dict.fromkeys(roles) if role not in ROLES)]


def shown(text: str) -> str:
    """Return a text as it is quoted in a sentence."""
    return text if len(text) <= 60 else text[:59] + "…"


def reach_conflict(
    *, phone: str, email: str, no_phone_because: str, preferred: str
) -> tuple[str, str] | None:
    """Return the field and the sentence where what is said of reaching somebody does not fit together; None if it does."""
    if phone and no_phone_because:
        return (
            "no_phone_because",
            "There is a phone number, and a reason why there is none. Take one of the two out.",
        )
    if preferred in ("phone", "sms") and not phone:
        return (
            "preferred_channel",
            "They like to be reached by phone or text message, and there is no number. "
            "Give the number, or choose another way.",
        )
    if preferred == "mail" and not email:
        return (
            "preferred_channel",
            "They like to be reached by mail, and there is no mail address. Give the address, or choose another way.",
        )
    return None
