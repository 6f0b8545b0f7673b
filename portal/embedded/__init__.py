"""PostgreSQL, Valkey and all processes of the portal on one machine, started by one command.

`python -m portal.embedded run` is `make run`. Programs use `start_portal`, `start_services` and `services`.
Decision record: docs/decisions/0004-embedded-services.md.
"""

from __future__ import annotations

from portal.embedded.errors import CannotStart
from portal.embedded.handle import Held, services, start_portal, start_services

__all__ = ["CannotStart", "Held", "services", "start_portal", "start_services"]
