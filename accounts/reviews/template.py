"""The items of a steady-state review: the standard ones, and those that a team adds. Pure.

The standard has a version that stands on every review. A team's own items are stored in versions of their own
(`ReviewTemplate`); a review keeps the items that it began with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from portal.errors import Refused

STANDARD_VERSION = 1
LATER = "The portal does not measure this yet, so people answer it in a review."
MOST_OWN_ITEMS = 20
LONGEST_TITLE = 80
LONGEST_QUESTION = 300


@dataclass(frozen=True)
class Item:
    """One question of a review. `key` names it over all reviews; a fact of this name answers it from live data."""

    key: str
    title: str
    question: str
    why_by_hand: str = ""


STANDARD: tuple[Item, ...] = (
    Item("contacts", "Contacts", "Does support reach the right people, at any hour, in the right order?"),
    Item(
        "access", "Access and roles", "Does everybody have the access that their role needs, and nobody more?"
    ),
    Item(
        "baseline",
        "Baseline",
        "Is there a baseline that is younger than the last large change of the site?",
    ),
    Item(
        "growth",
        "Growth and runway",
        "How fast does the site grow, and until when does the present capacity last?",
    ),
    Item(
        "scale_back",
        "Scale-back after the last event",
        "Is everything that was added for an event gone again?",
    ),
    Item(
        "fire_drill",
        "Fire drill",
        "When was the last fire drill, what did it show, and what was changed since?",
    ),
    Item(
        "images",
        "Images and backups",
        "Is there a working image of each kind of server, and was a backup read back lately?",
        LATER,
    ),
    Item(
        "emergency_plan",
        "Emergency plan",
        "Is the emergency plan current, and do those who need it know where it is?",
        LATER,
    ),
    Item(
        "provider_contacts",
        "Known contacts at the provider",
        "Does the customer know whom to call at the provider, by day and by night?",
        LATER,
    ),
)
BY_HAND: tuple[Item, ...] = tuple(item for item in STANDARD if item.why_by_hand)
_KEY = re.compile(r"[a-z][a-z0-9_]{1,38}")


def checked_items(items: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return a team's own items as they are stored. Raises Refused for what is none, or stands there already."""
    found: list[dict[str, str]] = []
    seen = {item.key for item in STANDARD}
    for given in items:
        title = " ".join(str(given.get("title", "")).split())
        question = " ".join(str(given.get("question", "")).split())
        key = str(given.get("key") or "") or key_of(title)
        if not title or len(title) > LONGEST_TITLE or len(question) > LONGEST_QUESTION:
            raise Refused(
                f"An item has a title of at most {LONGEST_TITLE} characters, and a question of at most "
                f"{LONGEST_QUESTION}. Nothing was changed.",
                code="bad_item",
            )
        if not _KEY.fullmatch(key):
            raise Refused(
                f"“{key[:40]}” is no name of an item: small letters, digits and underscores.", code="bad_item"
            )
        if key in seen:
            raise Refused(
                f"There is an item “{title}” ({key}) already. Nothing was changed.", code="item_twice"
            )
        seen.add(key)
        found.append({"key": key, "title": title, "question": question})
    if len(found) > MOST_OWN_ITEMS:
        raise Refused(f"A team adds at most {MOST_OWN_ITEMS} items of its own.", code="too_many_items")
    return found


def key_of(title: str) -> str:
    """Return the name that an item gets from its title: small ASCII letters, digits and underscores."""
    words = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    return (words if words[:1].isalpha() else f"item_{words}")[:39].rstrip("_") or "item"


def items_for(own: Iterable[Mapping[str, Any]]) -> list[Item]:
    """Return the items of a new review: the standard ones, then the team's own."""
    return [*STANDARD, *(Item(one["key"], one["title"], one.get("question", "")) for one in own)]
