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


# A link that was mailed, or that a calendar program reads by, is a key: who reads logs must not get it. In `next=` the
# same stands encoded.
_TO = r"(?:/|%2F)"
_LINK = re.compile(
    rf"({_TO}login{_TO}reset{_TO}[0-9a-f-]{{36}}{_TO}|{_TO}join{_TO}|{_TO}me{_TO}mail{_TO}confirm{_TO}|{_TO}about-me{_TO}"
    rf"|{_TO}reach{_TO}|{_TO}calendar{_TO}feed{_TO})(?:(?!%2F)[^/\s?&\"'])+",
    re.IGNORECASE,
)
# What is searched for is a person's name or number more often than not.
_ASKED = re.compile(r"([?&](?:q|token|key|code|state|secret)=)[^&\s\"'#]+", re.IGNORECASE)
# What the database adds to a refusal: the values of the row.
_DETAIL = re.compile(
    r"(DETAIL: ).*?(?=\n(?:HINT|CONTEXT|QUERY|STATEMENT):|\n\n(?:The above|During handling)|\Z)", re.DOTALL
)


def _without_keys(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Mask keys in addresses, searched text and the database's details, wherever a line holds them."""
    for key, value in event.items():
        if isinstance(value, str):
            masked = _ASKED.sub(r"\1•••", _LINK.sub(r"\1•••", value))
            event[key] = _DETAIL.sub(r"\1•••", masked) if "DETAIL: " in masked else masked
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
        # Tracebacks become text before anything is masked: theirs are no exception.
        structlog.processors.format_exc_info,
        _without_keys,
    ]
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
