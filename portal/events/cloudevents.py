"""An event as the world reads it: CloudEvents 1.0 in JSON, with a position of ours."""

from __future__ import annotations

from typing import Any

from portal.events.models import Event


def as_cloudevent(event: Event) -> dict[str, Any]:
    """Return the event as a CloudEvents 1.0 object. `position` is an extension: text, since its integers have 32 bits.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    return {
        "specversion": "1.0",
        "id": str(event.ref),
        "source": f"/api/v1/accounts/{event.account_ref}",
        "type": type_of(event.type, event.version),
        "subject": f"{event.subject_type}/{event.subject_ref}",
        "time": event.at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "position": str(event.position),
        "data": {**event.data, "actor": event.actor_ref or None},
    }


def type_of(name: str, version: int = 1) -> str:
    """Return the full type: `run.halted` is `steadystate.run.halted.v1`."""
    return f"steadystate.{name}.v{version}"


def name_of(type: str) -> str | None:
    """Return the short name of a full or short type, None for what is neither."""
    parts = type.removeprefix("steadystate.").split(".")
    if parts[-1][:1] == "v" and parts[-1][1:].isdigit():
        parts.pop()
    return ".".join(parts) or None
