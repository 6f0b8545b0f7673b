"""What people can do with plans and runs, and what is refused to whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Account, CloudConnection, Membership
from capacity.models import Ceiling
from portal.audit.models import AuditEntry
from portal.cloud.types import BalancerStatus
from portal.errors import NotPermitted, Refused, StaleState
from portal.runs import charge
from portal.runs.models import Claim, Run
from scaledown import driver, known, records, services, standstills
from scaledown.models import Plan, ProtectedServer, ScaleUpRecord
from scaledown.pool import ServerLook
from scaledown.records import AddedServer
from tests import factories
from tests.scaledown.planner_cases import CHOICE, EVENT, balancer, node, server
from tests.scaledown.rows import desk, fresh_pool, user

pytestmark = pytest.mark.django_db


@pytest.fixture
def here():
    return desk()


def drafted(here, actor=None, **changes) -> Plan:
    return services.draft_plan(
        account=here.account,
        connection=here.connection,
        actor=actor or here.manager,
        title="After Black Friday",
        choice=replace(CHOICE, **changes),
        event=here.event,
    )


def submitted(here, **changes) -> Plan:
    return services.submit_plan(drafted(here, **changes), actor=here.manager, pool=here.pool)


def approved(here, **changes) -> Plan:
    plan = submitted(here, **changes)
    return services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)


def started(here, **changes) -> Run:
    plan = approved(here, **changes)
    return services.start_run(plan, actor=here.manager, seen_digest=plan.digest)


def test_a_plan_goes_from_draft_to_a_run_through_both_sides(here):
    plan = drafted(here)
    assert plan.status == "draft"
    plan = services.submit_plan(plan, actor=here.manager, pool=here.pool)
    assert plan.status == "awaiting_approval"
    assert [one["name"] for one in plan.data["servers"]] == ["web-06", "web-05", "web-04"]
    assert plan.preview["steps"][-1]["nodes_left"] == 3
    plan = services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
    assert plan.status == "approved"
    run = services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    plan.refresh_from_db()
    assert plan.status == "used"
    assert run.status == "scheduled"
    assert run.in_charge == here.manager
    assert set(Claim.objects.values_list("resource_key", flat=True)) == {
        "rackspace:123456:DFW:lb:71",
        *(f"rackspace:123456:DFW:server:srv-{n:02}" for n in range(1, 7)),
    }


def test_the_digest_is_of_what_was_frozen(here):
    plan = submitted(here)
    assert services.digest(services.data_of(plan)) == plan.digest


def test_each_change_of_a_plan_is_in_the_audit(here):
    services.void_plan(approved(here), actor=here.manager, reason="The event was moved.")
    seen = list(AuditEntry.objects.order_by("pk").values_list("what", flat=True))
    for what in ("plan.drafted", "plan.submitted", "approval.approve", "plan.voided"):
        assert what in seen


@pytest.mark.parametrize("role", ["viewer", "stranger"])
def test_who_may_not_draft_is_told_so(here, role):
    with pytest.raises(NotPermitted):
        drafted(here, actor=getattr(here, role))


def test_an_editor_may_draft_but_not_submit(here):
    plan = drafted(here, actor=here.editor)
    with pytest.raises(NotPermitted):
        services.submit_plan(plan, actor=here.editor, pool=here.pool)
    plan.refresh_from_db()
    assert plan.status == "draft"


def test_a_submitted_plan_cannot_be_edited(here):
    plan = submitted(here)
    with pytest.raises(StaleState):
        services.edit_draft(plan, actor=here.manager, title="Another")


def test_an_edit_keeps_what_is_not_named(here):
    plan = services.edit_draft(drafted(here), actor=here.editor, title="Smaller")
    assert plan.title == "Smaller"
    assert plan.event == here.event
    assert services.choice_of(plan) == CHOICE


def test_a_plan_that_blocks_cannot_be_submitted(here):
    broken = fresh_pool(balancers=(balancer([node(n) for n in range(1, 7)], status=BalancerStatus.ERROR),))
    with pytest.raises(Refused) as refusal:
        services.submit_plan(drafted(here), actor=here.manager, pool=broken)
    assert refusal.value.code == "blocked"


def test_a_protected_server_is_left_out_of_the_plan(here):
    records.protect_server(
        account=here.account,
        connection=here.connection,
        server_id="srv-06",
        server_name="web-06",
        reason="Holds the licence.",
        actor=here.manager,
    )
    plan = submitted(here, target=4)
    assert [one["name"] for one in plan.data["servers"]] == ["web-05", "web-04"]
    mark = ProtectedServer.objects.get()
    records.unprotect_server(mark, actor=here.manager, reason="The licence was moved.")
    assert not ProtectedServer.objects.exists()


def protected(here, server_id="srv-06", **options):
    return records.protect_server(
        account=here.account,
        connection=here.connection,
        server_id=server_id,
        server_name="web-6",
        reason="Holds the licence.",
        actor=here.manager,
        **options,
    )


def test_a_server_that_the_provider_does_not_know_is_not_protected(here):
    with pytest.raises(Refused, match="no server with the id “srv-66”") as refusal:
        protected(here, "srv-66", seen=ServerLook(False, at=timezone.now()))
    assert refusal.value.code == "unknown_server"
    assert not ProtectedServer.objects.exists()


def test_a_provider_that_is_silent_never_keeps_a_server_from_being_protected(here):
    mark = protected(here, seen=ServerLook(problem="The provider did not answer within 6 s."))
    assert mark.checked_at is None
    assert mark.server_name == "web-6"


def test_a_protected_server_bears_the_name_that_the_provider_gives_it(here):
    mark = protected(here, seen=ServerLook(True, "web-06", timezone.now()))
    assert mark.server_name == "web-06"
    assert mark.checked_at is not None
    # Deleted meanwhile, or one look that is wrong: the mark stays.
    assert protected(here, seen=ServerLook(False, at=timezone.now())) == mark


@pytest.mark.parametrize("role", ["manager", "lead", "viewer", "editor", "stranger"])
def test_only_an_approver_of_the_account_approves_for_the_customer(here, role):
    plan = submitted(here)
    with pytest.raises(NotPermitted):
        services.approve_plan(plan, actor=getattr(here, role), seen_digest=plan.digest)
    plan.refresh_from_db()
    assert plan.status == "awaiting_approval"


def test_the_author_does_not_approve_for_the_customer(here):
    plan = services.submit_plan(drafted(here, actor=here.approver), actor=here.manager, pool=here.pool)
    with pytest.raises(NotPermitted):
        services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
    assert services.approve_plan(plan, actor=here.admin, seen_digest=plan.digest).status == "approved"


def test_an_approval_of_something_else_than_what_is_asked_is_refused(here):
    plan = submitted(here)
    with pytest.raises(StaleState):
        services.approve_plan(plan, actor=here.approver, seen_digest="0" * 64)


def test_approving_twice_gives_the_same_answer(here):
    plan = approved(here)
    assert services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest).status == "approved"


def test_a_rejection_needs_a_reason_and_ends_the_plan(here):
    plan = submitted(here)
    with pytest.raises(Refused):
        services.reject_plan(plan, actor=here.approver, seen_digest=plan.digest, reason=" ")
    plan = services.reject_plan(
        plan, actor=here.approver, seen_digest=plan.digest, reason="We have a sale on Friday."
    )
    assert (plan.status, plan.status_reason) == ("rejected", "We have a sale on Friday.")


def test_a_copy_is_a_new_draft_with_the_same_choices(here):
    plan = approved(here)
    copy = services.copy_plan(plan, actor=here.manager)
    assert (copy.status, copy.digest, copy.copied_from) == ("draft", "", plan)
    assert services.choice_of(copy) == services.choice_of(plan)


@pytest.mark.parametrize("make", [drafted, submitted])
def test_only_an_approved_plan_starts(here, make):
    plan = make(here)
    with pytest.raises(StaleState):
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)


def test_a_start_names_the_digest_that_was_seen(here):
    plan = approved(here)
    with pytest.raises(StaleState):
        services.start_run(plan, actor=here.manager, seen_digest="0" * 64)


@pytest.mark.parametrize("role", ["approver", "editor", "admin", "stranger"])
def test_a_customer_does_not_start_a_run(here, role):
    plan = approved(here)
    with pytest.raises(NotPermitted):
        services.start_run(plan, actor=getattr(here, role), seen_digest=plan.digest)


def test_a_plan_starts_one_run_only(here):
    run = started(here)
    plan = Plan.objects.get(ref=run.plan_ref)
    with pytest.raises(StaleState):
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest, seen_status=plan.status)
    assert Run.objects.count() == 1


def test_a_second_run_on_the_same_pool_is_refused_and_its_plan_stays_approved(here):
    started(here)
    plan = approved(here)
    with pytest.raises(Refused) as refusal:
        services.start_run(plan, actor=here.lead, seen_digest=plan.digest)
    assert refusal.value.code == "resource_claimed"
    plan.refresh_from_db()
    assert plan.status == "approved"


def test_a_run_does_not_start_on_an_approval_whose_approver_was_removed(here):
    plan = approved(here)
    Membership.objects.filter(user=here.approver).delete()
    with pytest.raises(Refused) as refusal:
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert refusal.value.code == "approver_removed"


def test_a_run_does_not_start_on_an_approval_that_is_over(here):
    plan = approved(here)
    request = services.request_of(plan)
    request.expires_at = timezone.now() - timedelta(seconds=1)
    request.save()
    with pytest.raises(Refused) as refusal:
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert refusal.value.code == "expired"


def test_a_run_does_not_start_on_an_approval_that_is_over_before_its_window_opens(here):
    opens = timezone.now() + timedelta(days=2)
    plan = approved(here, window_start=opens, window_end=opens + timedelta(hours=8))
    request = services.request_of(plan)
    request.expires_at = opens - timedelta(seconds=1)
    request.save()
    with pytest.raises(Refused, match="ends before its change window opens") as refusal:
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert refusal.value.code == "expired"
    why = services.why_not_start(plan, services.data_of(plan), (), actor=here.manager, at=timezone.now())
    assert why == refusal.value.says


def test_a_plan_whose_first_window_is_over_starts_into_the_next_and_after_the_last_into_none(
    here, monkeypatch
):
    opens = timezone.now() + timedelta(hours=1)
    hours = {"window_start": opens, "window_end": opens + timedelta(hours=2)}
    plan = approved(here, **hours, window_days=2, window_weekends=True)
    request = services.request_of(plan)
    request.expires_at = opens + timedelta(days=9)
    request.save()
    [later] = services.data_of(plan).later_windows

    def at(moment):
        monkeypatch.setattr(timezone, "now", lambda: moment)

    at(later.ends_at)
    with pytest.raises(Refused, match="window of this plan is over"):
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    why = services.why_not_start(plan, services.data_of(plan), (), actor=here.manager, at=later.ends_at)
    assert "window of this plan is over" in why
    at(opens + timedelta(hours=3))
    run = services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert run.next_tick_at == later.starts_at


@pytest.mark.parametrize("status", ["scheduled", "halted", "paused"])
def test_until_it_has_begun_a_run_rests_on_an_approval_that_is_not_over(here, status):
    run = started(here)
    request = services.request_of(Plan.objects.get(ref=run.plan_ref))
    request.expires_at = timezone.now() - timedelta(seconds=1)
    request.save()
    run.status = status
    assert "it was not started in time" in driver.facts(run)["approval_problem"]
    # What has begun is finished.
    run.progress["started_at"] = timezone.now().isoformat()
    assert driver.facts(run)["approval_stands"]


def test_an_approved_plan_that_nobody_started_in_time_is_marked_as_expired_once(here):
    plan, later = approved(here), approved(here)
    Plan.objects.filter(pk=plan.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert services.expire_plans(timezone.now()) == 1
    assert services.expire_plans(timezone.now()) == 0
    plan.refresh_from_db()
    later.refresh_from_db()
    assert (plan.status, later.status) == ("expired", "approved")
    assert "Copy it" in plan.status_reason


def test_a_run_does_not_start_from_a_plan_that_was_changed_in_the_database(here):
    plan = approved(here)
    plan.data["floor"] = 1
    plan.save()
    with pytest.raises(Refused) as refusal:
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert refusal.value.code == "digest_broken"


def test_nothing_starts_while_everything_stands_still(here):
    plan = approved(here)
    put = standstills.put_standstill(
        "account", account=here.account, actor=here.approver, reason="Payment provider is down."
    )
    with pytest.raises(Refused) as refusal:
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert refusal.value.code == "standstill"
    with pytest.raises(NotPermitted):
        standstills.lift_standstill(put, account=here.account, actor=here.manager, reason="It is up again.")
    standstills.lift_standstill(put, account=here.account, actor=here.lead, reason="It is up again.")
    assert services.start_run(plan, actor=here.manager, seen_digest=plan.digest).status == "scheduled"


def test_a_command_names_what_was_seen_and_who_may_give_it(here):
    run = started(here)
    Run.objects.filter(pk=run.pk).update(status="running")
    run.refresh_from_db()
    with pytest.raises(StaleState):
        services.command(run, "pause", actor=here.manager, seen_status="scheduled")
    with pytest.raises(NotPermitted):
        services.command(run, "pause", actor=here.viewer, seen_status="running")
    with pytest.raises(NotPermitted):
        services.command(run, "skip", actor=here.approver, args={"server": "srv-06"})
    given = services.command(run, "pause", actor=here.approver, seen_status="running")
    assert (given.name, given.accepted) == ("pause", None)


@pytest.mark.parametrize(
    ("status", "name", "args", "reason"),
    [
        ("running", "resume", {}, ""),
        ("scheduled", "pause", {}, ""),
        ("running", "go_on", {}, "because"),
        ("running", "wait", {"seconds": 5}, ""),
        ("running", "put_back", {"server": "srv-06"}, ""),
        ("running", "skip", {"server": "nobody"}, ""),
        ("running", "abort", {}, ""),
        ("running", "dance", {}, ""),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_with_a_sentence(here, status, name, args, reason):
    run = started(here)
    Run.objects.filter(pk=run.pk).update(status=status)
    with pytest.raises(Refused) as refusal:
        services.command(run, name, actor=here.manager, args=args, reason=reason)
    assert refusal.value.says


def test_taking_charge_is_on_the_record(here):
    run = started(here)
    charge.take(run, actor=here.lead)
    run.refresh_from_db()
    assert run.in_charge == here.lead
    assert run.journal.filter(kind="in_charge").count() == 1
    charge.take(run, actor=here.lead)
    assert run.journal.filter(kind="in_charge").count() == 1


def test_a_plan_whose_run_began_cannot_be_withdrawn(here):
    run = started(here)
    with pytest.raises(StaleState):
        services.void_plan(Plan.objects.get(ref=run.plan_ref), actor=here.manager, reason="Too late.")


def test_withdrawing_an_approved_plan_withdraws_its_approval(here):
    plan = services.void_plan(approved(here), actor=here.manager, reason="The event was moved.")
    assert plan.status == "voided"
    assert services.request_of(plan).status == "voided"


def test_the_servers_of_an_event_are_reconstructed_with_evidence(here):
    found = records.reconstruct(here.event, here.pool)
    assert [entry.server_name for entry in found] == ["web-04", "web-05", "web-06"]
    assert all(len(entry.evidence) >= 2 for entry in found)


def test_a_scale_up_record_keeps_its_order_and_names_nobody_twice(here):
    entries = [AddedServer("srv-05", "web-05", EVENT), AddedServer("srv-04", "web-04", EVENT)]
    records.record_scale_up(event=here.event, connection=here.connection, entries=entries, actor=here.manager)
    names = [entry.server_name for entry in ScaleUpRecord.objects.get().entries.all()]
    assert names == ["web-05", "web-04"]
    with pytest.raises(Refused):
        records.record_scale_up(
            event=here.event, connection=here.connection, entries=[*entries, entries[0]], actor=here.manager
        )


def test_another_accounts_connection_makes_no_plan(here):
    with pytest.raises(Refused):
        services.draft_plan(
            account=here.account,
            connection=replace_account(here.connection),
            actor=here.manager,
            title="x",
            choice=CHOICE,
        )


def replace_account(connection):
    connection.pk, connection.account_id = None, 999_999
    return connection


def test_a_rehearsal_needs_no_approval_and_leaves_the_plan_as_it_is(here):
    plan = drafted(here)
    run = services.rehearse(plan, actor=here.manager, pool=here.pool)
    plan.refresh_from_db()
    assert run.is_rehearsal
    assert plan.status == "draft"


def test_a_pool_that_changed_since_the_approval_is_told(here):
    plan = approved(here)
    assert services.pool_differs(plan, here.pool) is None
    more = fresh_pool(
        servers=tuple(server(n) for n in range(1, 8)),
        balancers=(balancer([node(n) for n in range(1, 8)]),),
        holders={f"10.0.0.{n}": ("71",) for n in range(1, 8)},
    )
    assert "web-07 joined" in services.pool_differs(plan, more)


def test_whoever_granted_the_role_to_themself_does_not_approve(here):
    sly = user("sly")
    Membership.objects.create(account=here.account, user=sly, role="approver", granted_by=sly)
    plan = submitted(here)
    with pytest.raises(NotPermitted):
        services.approve_plan(plan, actor=sly, seen_digest=plan.digest)


def same_place(here, **changes):
    """Another connection to the provider account and region of `here.connection`."""
    place = here.connection
    fields = {
        "account": here.account,
        "name": "Read only",
        "username": "other",
        "api_key": "another",
        **changes,
    }
    return CloudConnection.objects.create(
        identity_url=place.identity_url, tenant=place.tenant, region=place.region, **fields
    )


def test_a_mark_made_through_another_connection_to_the_same_provider_account_protects(here):
    started_before = started(here)
    records.protect_server(
        account=here.account,
        connection=same_place(here),
        server_id="srv-06",
        server_name="web-06",
        reason="It holds the licence.",
        actor=here.manager,
    )
    assert driver.facts(started_before)["protected"] == ("srv-06",)
    assert started_before.command_seq < Run.objects.get(pk=started_before.pk).command_seq
    assert known.known_for(here.connection, ["71"], None, at=timezone.now()).protected == {
        "srv-06": "It holds the licence."
    }


@pytest.mark.parametrize("is_shown", [True, False])
def test_anothers_mark_protects_where_the_provider_showed_them_the_server(here, is_shown):
    run = started(here)
    theirs = Account.objects.create(name="Another customer", number="300", team=here.team)
    connection = same_place(here, account=theirs)
    ProtectedServer.objects.create(
        account=theirs,
        connection=connection,
        server_id="srv-06",
        server_name="web-06",
        reason="Our own words.",
        marked_by=here.manager,
        checked_at=timezone.now() if is_shown else None,
    )
    found = known.known_for(here.connection, ["71"], None, at=timezone.now()).protected
    assert found == ({"srv-06": known.PROTECTED_BY_ANOTHER} if is_shown else {})
    assert driver.facts(run)["protected"] == (("srv-06",) if is_shown else ())


def test_a_standstill_on_another_connection_to_the_same_pool_holds_its_runs_and_starts_none(here):
    other = factories.connection(
        here.account, "Another key", tenant="123456", region="DFW", username="second"
    )
    elsewhere = factories.connection(here.account, "London", tenant="123456", region="LON")
    run = started(here)
    scopes = Run.objects.get(ref=run.ref).scopes
    assert f"connection:{other.ref}" in scopes
    assert f"connection:{here.connection.ref}" in scopes
    assert f"connection:{elsewhere.ref}" not in scopes


def test_a_connection_of_another_account_to_the_same_pool_holds_nothing_of_this_one(here):
    theirs = factories.connection(factories.account("Elsewhere"), "Theirs", tenant="123456", region="DFW")
    run = started(here)
    assert f"connection:{theirs.ref}" not in Run.objects.get(ref=run.ref).scopes


def test_a_plan_reads_what_servers_of_its_own_size_carry(here):
    Ceiling.objects.all().delete()
    factories.ceiling(here.connection, rps=90.0, flavor="general1-4", at=timezone.now() - timedelta(days=2))
    factories.ceiling(here.connection, rps=360.0, flavor="general1-16", at=timezone.now() - timedelta(days=1))
    plan = drafted(here)
    assert services.draw(plan, here.pool).data.ceiling_rps == 90.0
    large = tuple(replace(one, flavor_id="general1-16") for one in here.pool.servers)
    assert services.draw(plan, replace(here.pool, servers=large)).data.ceiling_rps == 360.0
