"""Links on a user's own page to settings that other parts keep, registered in `AppConfig.ready()`.

from portal.ui.me import MeLink, register
register(MeLink("notices", "Notices", "notices", "What you are told, how and when."))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def _everyone(user: Any) -> bool:
    return True


@dataclass(frozen=True)
class MeLink:
    """One link: `key` is unique, `url_name` takes no argument, `says` is the sentence below the label."""

    key: str
    label: str
    url_name: str
    says: str
    order: int = 50
    shown_to: Callable[[Any], bool] = field(default=_everyone, compare=False)


_links: dict[str, MeLink] = {}


def register(link: MeLink) -> None:
    """Add or replace the link with this key."""
    _links[link.key] = link


def links_for(user: Any) -> list[MeLink]:
    """Return the links that `user` sees, in their order."""
    shown = [link for link in _links.values() if link.shown_to(user)]
    return sorted(shown, key=lambda link: (link.order, link.label))
