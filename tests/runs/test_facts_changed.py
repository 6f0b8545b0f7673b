"""What a run rests on may change in the middle of a tick: nothing is sent then before a new look."""

from __future__ import annotations

import uuid

import pytest
from django.db import transaction
from django.utils import timezone

from accounts import services as people_services
from portal.approvals import services as approvals
from portal.runs import registry, services
from portal.runs.models import Intent
from portal.runs.types import Action, Decision, RunStatus
from scaledown.pool import ServerLook
from scaledown.records import protect_server
from tests import factories
from tests.runs.desks import PgDesk
from tests.runs.test_store_pg import in_thread, until_waiting

DELETE = Action("delete_server", "srv-1", "Delete web-01.")


@pytest.fixture
def desk(transactional_db):
    yield PgDesk()
    registry.forget_kind("toy")


def tick_before_the_check(desk, **given):
    """Return a run in mid-tick: claimed, with a change noted and not checked."""
    ref = desk.create(**given)
    view = desk.store.claim(ref, holder="w", lease_s=15)
    intent = desk.store.note_intent(view, Decision({}, action=DELETE), deadline_s=3, lease_s=8)
    return ref, view, intent


def is_refused(desk, view, intent):
    checked = desk.store.check(view, intent, deadline_s=3)
    return not checked.ok and Intent.objects.get(pk=intent).sent_at is None


def test_a_server_that_was_protected_after_the_claim_is_not_deleted(desk):
    connection = factories.connection(desk.account)
    manager = factories.launch_manager(desk.account.team)
    ref, view, intent = tick_before_the_check(desk, resource_keys=["rackspace:123456:DFW:server:srv-1"])
    protect_server(
        account=desk.account,
        connection=connection,
        server_id="srv-1",
        server_name="web-01",
        reason="The licence is on it.",
        actor=manager,
    )
    assert is_refused(desk, view, intent)
    assert "The licence is on it." in desk.journal(ref)[-1][2]


@pytest.mark.parametrize(
    "seen", [ServerLook(is_there=True, name="web-01", at=timezone.now()), ServerLook(problem="No answer.")]
)
def test_a_run_of_another_account_looks_again_where_the_provider_showed_the_server(desk, seen):
    _, other_view, other_intent = tick_before_the_check(
        desk, resource_keys=["rackspace:123456:DFW:server:srv-1"]
    )
    lines = len(desk.journal(other_view.ref))
    elsewhere = factories.account()
    protect_server(
        account=elsewhere,
        connection=factories.connection(elsewhere),
        server_id="srv-1",
        server_name="web-01",
        reason="The licence is on it.",
        actor=factories.launch_manager(elsewhere.team),
        seen=seen,
    )
    # A mark that the provider did not confirm binds no other account, and so interrupts none.
    assert is_refused(desk, other_view, other_intent) == bool(seen.is_there)
    assert len(desk.journal(other_view.ref)) == lines


def test_the_run_of_another_server_is_not_disturbed(desk):
    _, view, intent = tick_before_the_check(desk, resource_keys=["rackspace:123456:DFW:server:srv-2"])
    changed = services.facts_changed(
        says="web-01 is protected.",
        actor=None,
        account=desk.account,
        resource_key="rackspace:123456:DFW:server:srv-1",
    )
    assert changed == 0
    assert desk.store.check(view, intent, deadline_s=3).ok


@pytest.mark.parametrize("how", ["removed", "demoted"])
def test_a_person_who_lost_a_role_after_the_claim_approves_nothing_more(desk, how):
    admin = factories.member(desk.account, "admin")
    approver = factories.member(desk.account, "approver")
    _, view, intent = tick_before_the_check(desk)
    if how == "removed":
        people_services.remove_member(desk.account, approver, actor=admin)
    else:
        people_services.grant_role(desk.account, approver, "viewer", actor=admin)
    assert is_refused(desk, view, intent)


def test_an_approval_that_was_voided_after_the_claim_carries_nothing_more(desk):
    author = factories.launch_manager(desk.account.team)
    plan_ref = uuid.uuid4()
    request = factories.approval(desk.account, author, subject_ref=plan_ref)
    _, view, intent = tick_before_the_check(desk, plan_ref=str(plan_ref))
    approvals.void(request, reason="The traffic is not over.", at=timezone.now())
    assert is_refused(desk, view, intent)


def test_a_change_of_the_facts_that_waits_for_a_check_names_what_was_sent(desk):
    ref, view, intent = tick_before_the_check(desk)
    with transaction.atomic():
        assert desk.store.check(view, intent, deadline_s=3).ok
        thread, box = in_thread(
            services.facts_changed, says="Lena was removed.", actor=None, account=desk.account
        )
        until_waiting(thread)
    thread.join(10)
    assert box["result"] == 1
    assert "On the wire at that moment: Delete web-01." in desk.journal(ref)[-1][2]


def test_a_run_that_waits_is_looked_at_at_once_and_an_ended_one_stays_at_rest(desk):
    ref = desk.create()
    view = desk.store.claim(ref, holder="w", lease_s=15)
    desk.store.commit(view, Decision({}, look_again_s=600.0))
    assert services.facts_changed(says="Lena was removed.", actor=None, account=desk.account) == 1
    assert desk.due_in_s(ref) <= 0
    view = desk.store.claim(ref, holder="w", lease_s=15)
    desk.store.commit(view, Decision({}, status=RunStatus.ABORTED))
    assert services.facts_changed(says="Lena was removed.", actor=None, account=desk.account) == 0


def test_a_change_of_nothing_in_particular_is_a_bug(desk):
    with pytest.raises(ValueError, match="Say which runs"):
        services.facts_changed(says="x", actor=None)
