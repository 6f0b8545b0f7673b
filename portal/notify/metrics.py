"""Counters of this process."""

from __future__ import annotations

from prometheus_client import Counter

MAILS = Counter("notify_mails", "Tries to send a mail, by purpose and how they ended.", ["purpose", "end"])
