"""What each tick of a run asks the database, as queries that are written once (`portal.compiled`)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from accounts.cases.models import SupportCase
from accounts.cases.states import LIVE, RANK, Severity
from accounts.models import Account, CloudConnection
from accounts.networks import with_networks
from capacity.models import TrafficEvent
from portal.compiled import Compiled
from portal.runs.models import RunCommand
from scaledown.models import Plan, ProtectedServer


def _connection(plan_ref: Any) -> QuerySet[CloudConnection]:
    plan = Plan.objects.filter(ref=plan_ref).values("connection")
    # Without what the last test of it found, which is large and not asked for.
    return CloudConnection.objects.filter(pk__in=plan).defer("check_result")


def _submitted(plan_ref: Any) -> QuerySet[Plan]:
    rows = Plan.objects.filter(ref=plan_ref, submitted_at__isnull=False, preview__isnull=False)
    return rows.only("ref", "account", "connection", "preview")


SUBMITTED: Compiled[Plan] = Compiled(_submitted, uuid.UUID)
"""A plan with its preview, by the plan's `ref`; none where it was never submitted."""


def _near(account: Any, after: Any, until: Any) -> QuerySet[TrafficEvent]:
    rows = TrafficEvent.objects.filter(account=account, ends_at__gt=after, starts_at__lte=until)
    return rows.order_by("starts_at", "pk")


EVENTS: Compiled[TrafficEvent] = Compiled(_near, int, datetime, datetime)
"""Traffic events of an account that end after one moment and begin until another, the first one first."""


def _severe(account: Any) -> QuerySet[SupportCase]:
    rows = SupportCase.objects.sealed().filter(account=account, status__in=LIVE)
    # By the rank as well, which the index of live cases has.
    rows = rows.filter(rank=RANK[Severity.SITE_IN_DANGER], severity=Severity.SITE_IN_DANGER)
    return rows.only("ref", "opened_for", "created_at").order_by("pk")


SEVERE_CASES: Compiled[SupportCase] = Compiled(_severe, int)
"""Cases of an account, by its key, that are open with a site in danger; the oldest first."""


CONNECTION: Compiled[CloudConnection] = Compiled(_connection, uuid.UUID)
"""The connection of a plan, by the plan's `ref`."""


ACCOUNT: Compiled[Account] = Compiled(lambda pk: with_networks(Account.objects.filter(pk=pk)), int)
"""An account, by its key, with the networks that are opened for it."""


def _open_commands(run: Any) -> QuerySet[RunCommand, Any]:
    return RunCommand.objects.sealed().filter(run=run, accepted__isnull=True).values_list("pk")[:1]


OPEN_COMMANDS: Compiled[RunCommand] = Compiled(_open_commands, int)
"""Whether a person's command waits for its answer, by the run's key."""


def _protected(*where: Any) -> QuerySet[ProtectedServer, Any]:
    return ProtectedServer.objects.guarding_at(*where).values_list("server_id").distinct()


PROTECTED: Compiled[ProtectedServer] = Compiled(_protected, str, str, str, int)
"""Ids of protected servers, by provider, tenant, region and the connection's account."""
