"""What a launch manager of another team can do by naming a provider account that is not theirs."""

from __future__ import annotations

import pytest

from portal.runs import registry
from portal.runs.models import Run
from scaledown.records import protect_server
from tests import factories as make
from tests.runs.desks import PgDesk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk():
    yield PgDesk()
    registry.forget_kind("toy")


def test_a_mark_on_another_account_writes_nothing_into_a_run_of_the_same_tenant(desk):
    ref = desk.create(resource_keys=["rackspace:123456:DFW:server:srv-1"])
    before, seq = desk.journal(ref), Run.objects.get(ref=ref).command_seq
    theirs = make.account("Elsewhere")
    # Nobody asks whether the tenant is theirs: its number alone makes the same claim.
    named = make.connection(theirs, tenant="123456", region="DFW", identity_url="https://mine.example/v2.0")
    protect_server(
        account=theirs,
        connection=named,
        server_id="srv-1",
        server_name="web-01",
        reason="Call +1 900 555 0100 at once.",
        actor=make.launch_manager(theirs.team, "Mallory"),
    )
    assert desk.journal(ref) == before
    assert Run.objects.get(ref=ref).command_seq == seq
