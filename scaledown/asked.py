"""What each tick of a run asks the database, as queries that are written once (`portal.compiled`)."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet

from accounts.models import Account, CloudConnection
from accounts.networks import with_networks
from portal.compiled import Compiled
from scaledown.models import Plan, ProtectedServer


def _connection(plan_ref: Any) -> QuerySet[CloudConnection]:
    plan = Plan.objects.filter(ref=plan_ref).values("connection")
    # Without what the last test of it found, which is large and not asked for.
    return CloudConnection.objects.filter(pk__in=plan).defer("check_result")


CONNECTION: Compiled[CloudConnection] = Compiled(_connection, uuid.UUID)
"""The connection of a plan, by the plan's `ref`."""


ACCOUNT: Compiled[Account] = Compiled(lambda pk: with_networks(Account.objects.filter(pk=pk)), int)
"""An account, by its key, with the networks that are opened for it."""


def _protected(*where: Any) -> QuerySet[ProtectedServer, Any]:
    return ProtectedServer.objects.guarding_at(*where).values_list("server_id").distinct()


PROTECTED: Compiled[ProtectedServer] = Compiled(_protected, str, str, str, int)
"""Ids of protected servers, by provider, tenant, region and the connection's account."""
