"""PostgreSQL, Valkey and all processes of the portal on one machine, started by one command.

`python -m portal.embedded run` is `make run`. Programs use `start_portal`, `start_services` and `services`.
Decision record: docs/decisions/0004-embedded-services.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portal.embedded.errors import CannotStart
    from portal.embedded.handle import Held, services, start_portal, start_services

__all__ = ["CannotStart", "Held", "services", "start_portal", "start_services"]


def __getattr__(name: str) -> Any:
    # On demand: workers and the minder live in this package too and need none of it at their start.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from portal.embedded import errors, handle

    return getattr(errors if name == "CannotStart" else handle, name)
