"""An event as the bytes that are posted: Standard Webhooks or CloudEvents, whichever the endpoint chose.

Thin: references, codes and numbers, as they stand in the outbox. What they mean is looked up by whoever may.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

STANDARD, CLOUDEVENTS = "standard", "cloudevents"
CONTENT_TYPES = {STANDARD: "application/json", CLOUDEVENTS: "application/cloudevents+json"}


def body_of(envelope: str, event: Mapping[str, Any]) -> bytes:
    """Return the body for one event, given as a CloudEvents object (`as_cloudevent`)."""
    shown = dict(event) if envelope == CLOUDEVENTS else as_standard(event)
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()


def as_standard(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that Standard Webhooks advises: `type`, `timestamp` of the event, `data`.

    `data` has the event's own values, and where they belong: `account`, `subject`, `position`.
    """
    return {
        "type": event["type"],
        "timestamp": event["time"],
        "data": {
            **event["data"],
            "account": event["source"].rsplit("/", 1)[-1],
            "subject": event["subject"],
            "position": event.get("position"),
        },
    }
