"""The customer's words for what was written for launch managers alone: answers to commands, lines without words of their own.

What has a sentence for customers has a better one than this. Here are only the words that they do not read (product, *Words*).
"""

from __future__ import annotations

import re

_EDGE = r"\b"
_PLAIN: tuple[tuple[str, str], ...] = (
    (r"from draining to held\b", "that is on its way out"),
    (r"[Nn]o drain is at its limit", "No server is at the end of its waiting time"),
    (r"\b(at|reached) (its|the) drain limit\b", r"\1 the end of its waiting time"),
    (r"\bthe floor is (\d+)", r"it is never fewer than \1"),
    (r"\bthe floor\b", "the fewest servers"),
    (r"\b(is|was) being rolled back\b", r"\1 being undone"),
    (r"\broll(?:s|ed)? back by\b", "undone by"),
    (r"\brolled back\b", "undone"),
    (r"\brolling back\b", "undoing"),
    (r"\b(t|T)he roll back\b", r"\1he undoing"),
    (r"\broll back\b", "undo"),
    (r"\bor abort\b", "or stop it"),
    (r"\babort (it|them)\b", r"stop \1"),
    (r"\babort\b", "stop here"),
    (r"\bAbort\b", "Stop"),
    (r"\baborted\b", "stopped here"),
    (r"\bAborted\b", "Stopped"),
    (r"\baborting\b", "stopping"),
    (r"\bwould halt\b", "would pause for safety"),
    (r"\b(it|has|is|was|or) halted\b", r"\1 paused for safety"),
    (r"\bhalted\b", "paused for safety"),
    (r"\bhalts?\b", "pause for safety"),
    (r"\bnode(s?)\b", r"server\1"),
    (r"\bceiling\b", "most that one server carries"),
    (r"\bheadroom\b", "spare"),
    (r"\bsoak\b", "watch time"),
    (r"\bprobe(s?)\b", r"check\1"),
    (r"\bProbe(s?)\b", r"Check\1"),
    (r"\bverdict(s?)\b", r"check\1"),
    (r"\bdrains\b", "finishes its connections"),
    (r"\b(draining|drained|drain)\b", "finishing its connections"),
    (r"\bDrain (\S+)", r"\1 takes no new connections"),
    (r"\bpre-flight\b", "last check before the start"),
)
# A name or an address that holds such a word (node-3, probe.example.com) stays as it is.
_BEFORE, _AFTER = r"(?<![\w./-])", r"(?![\w-]|\.\w)"
_RULES = tuple(
    (re.compile(f"{_BEFORE}{pattern.removeprefix(_EDGE).removesuffix(_EDGE)}{_AFTER}"), words)
    for pattern, words in _PLAIN
)


def plain(says: str) -> str:
    """Return a launch manager's sentence with the words that customers read in place of those that they do not."""
    for pattern, words in _RULES:
        says = pattern.sub(words, says)
    return says


def for_reader(says: str, customer_says: str, *, for_customer: bool) -> str:
    """Return the sentence in the reader's words; where a customer has none of their own, the plainer form of ours."""
    return (customer_says or plain(says)) if for_customer else says
