"""Structured logs: one JSON object a line in production, readable lines on a desk. To standard error."""

from __future__ import annotations

import re
from typing import Any

import structlog
from django.core.exceptions import BadRequest, SuspiciousOperation

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


# A link that was mailed is a key until it is used: who reads logs must not get it.
_MAILED_LINK = re.compile(r"(/login/reset/[0-9a-f-]{36}/|/join/|/me/mail/confirm/)[^/\s?\"']+")


def _without_mailed_links(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Mask the secret part of a link to set a password, to join or to change an address, wherever a line names the address asked for."""
    for key, value in event.items():
        if isinstance(value, str) and _MAILED_LINK.search(value):
            event[key] = _MAILED_LINK.sub(r"\1•••", value)
    return event


# A pool child that was killed: the traceback shows only where the parent noticed.
_SAYS_ALL = frozenset({"WorkerLostError"})


def _without_empty_traceback(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Drop the traceback of an error whose sentence already says all there is."""
    info = event.get("exc_info")
    if isinstance(info, tuple) and info[0] is not None:
        # billiard wraps what it raises; the real error is the cause or the wrapped one.
        raised = {info[0].__name__, type(getattr(info[1], "exc", None)).__name__}
        # What a caller sent wrong: the sentence is all there is, and strangers could fill the log with the rest.
        if raised & _SAYS_ALL or isinstance(info[1], SuspiciousOperation | BadRequest):
            event.pop("exc_info")
    return event


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """Return a `logging` dictConfig for `log_format` ("json" or "console") and set up structlog."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        # Plain: the pretty one prints local variables, and a secret may be among them.
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        if log_format == "console"
        else structlog.processors.JSONRenderer()
    )
    tail: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _without_empty_traceback,
        _without_mailed_links,
    ]
    if log_format != "console":
        tail.append(structlog.processors.format_exc_info)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [*tail, renderer],
                "foreign_pre_chain": _SHARED,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # httpx logs every URL at INFO; a look at a pool every second is no news.
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            # uvicorn brings handlers of its own; its lines belong among ours, in our format.
            "uvicorn": {"handlers": [], "propagate": True},
            "uvicorn.error": {"handlers": [], "propagate": True},
            "uvicorn.access": {"handlers": [], "propagate": True, "level": "WARNING"},
        },
    }
