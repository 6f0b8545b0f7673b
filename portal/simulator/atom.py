"""The audit feed as the Atom document that the load balancer service sends (reference 2.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape, quoteattr

from portal.simulator.entities import FeedEntry


def render(
    entries: Sequence[FeedEntry], url: str, next_page: int | None, stamp: Callable[[float], str]
) -> str:
    """Return the XML of one page. `url` is the feed's own, `next_page` the number of the page after it."""
    parts = [
        "<?xml version='1.0' encoding='UTF-8'?>",
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        '<title type="text">Load Balancer Feed</title>',
        f'<link rel="self" href={quoteattr(url)}/>',
        f"<id>{escape(url)}</id>",
    ]
    if entries:
        parts.append(f"<updated>{stamp(entries[0].t)}</updated>")
    if next_page is not None:
        parts.append(f'<link rel="next" href={quoteattr(f"{url}?page={next_page}")}/>')
    parts.extend(
        "<entry>"
        f'<title type="text">{escape(entry.title)}</title>'
        f'<summary type="text">{escape(entry.summary)}</summary>'
        "<author><name>Rackspace Cloud</name></author>"
        f"<link href={quoteattr(url)}/>"
        f"<id>{escape(url)}/{entry.entry_id}</id>"
        f"<category term={quoteattr(entry.category)}/>"
        f"<updated>{stamp(entry.t)}</updated>"
        "</entry>"
        for entry in entries
    )
    parts.append("</feed>")
    return "\n".join(parts)
