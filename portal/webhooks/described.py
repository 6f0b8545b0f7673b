"""What is posted to webhooks, in the API's own document: OpenAPI 3.1 has a place for what one sends."""

from __future__ import annotations

from typing import Any

from portal.events.catalogue import types_known
from portal.events.cloudevents import type_of

_HEADERS = [
    ("webhook-id", "The same at each try: what you have seen already, pass over."),
    ("webhook-timestamp", "When this try was made, in seconds since 1970."),
    (
        "webhook-signature",
        "`v1,` and a signature in base64; two of them, with a space, while a secret rotates.",
    ),
]


def add_webhooks(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add one entry to the document's `webhooks` for each type of event."""
    result["webhooks"] = {name: {"post": _described(name, says)} for name, says in types_known().items()}
    return result


def _described(name: str, says: str) -> dict[str, Any]:
    full = type_of(name)
    data = {"type": "object", "additionalProperties": True}
    standard = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": full},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": data,
        },
    }
    cloudevent = {
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "format": "uuid"},
            "source": {"type": "string"},
            "type": {"const": full},
            "subject": {"type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "position": {"type": "string"},
            "data": data,
        },
    }
    return {
        "operationId": f"webhook_{name.replace('.', '_')}",
        "summary": full,
        "description": says,
        "tags": ["webhooks"],
        "parameters": [
            {
                "name": header,
                "in": "header",
                "required": True,
                "schema": {"type": "string"},
                "description": what,
            }
            for header, what in _HEADERS
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": standard},
                "application/cloudevents+json": {"schema": cloudevent},
            },
        },
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "Wants nothing any more: the webhook is switched off."},
        },
    }
