"""Roles in the database: given, changed, taken; what it means for runs, sessions, tokens and streams at once."""

from __future__ import annotations

import asyncio

import pytest
from django.db import transaction
from django.test import Client

from accounts import members
from accounts.models import ApiToken, Membership, TeamMembership, User
from capacity.counts import CountReading
from capacity.probes import ProbeResult
from portal.audit.models import AuditEntry
from portal.cloud.types import Watched
from portal.errors import NotPermitted, Refused
from portal.runs import registry
from portal.runs.engine import Engine
from portal.runs.models import Run
from portal.runs.store_pg import PgStore
from portal.runs.threads import StoreThreads
from scaledown import driver, services
from scaledown.driver import ScaledownKind
from tests import factories as make
from tests.runs.test_store_pg import in_thread, until_waiting
from tests.scaledown.rows import desk as scaledown_desk
from tests.scaledown.rows import fresh_pool
from tests.scaledown.test_services import approved


class Desk:
    """An account with two admins and a team with two leads."""

    def __init__(self):
        self.team = make.team()
        self.account = make.account("Lindgren Outdoor", of=self.team)
        self.maja, self.tom = (make.member(self.account, "admin", name) for name in ("Maja", "Tom"))
        self.lena, self.rolf = (make.launch_manager(self.team, name, "lead") for name in ("Lena", "Rolf"))


@pytest.fixture
def desk(db):
    return Desk()


def roles(desk):
    return dict(Membership.objects.filter(account=desk.account).values_list("user__name", "role"))


# giving, changing, taking


@pytest.mark.django_db
def test_a_role_is_given_by_name_and_on_record(desk):
    user = make.user("Vera")
    made = members.grant_role(desk.account, user, "approver", actor=desk.maja)
    assert (made.role, made.granted_by) == ("approver", desk.maja)
    entry = AuditEntry.objects.get(what="member.granted")
    assert (entry.actor_name, entry.subject_label) == ("Maja", "Vera: approver")


@pytest.mark.django_db
def test_an_admin_who_steps_down_has_not_given_the_role_to_themself(desk):
    members.grant_role(desk.account, desk.tom, "approver", actor=desk.maja)
    members.grant_role(desk.account, desk.tom, "admin", actor=desk.maja)
    made = members.grant_role(desk.account, desk.tom, "approver", actor=desk.tom)
    assert (made.role, made.granted_by) == ("approver", desk.maja)


@pytest.mark.django_db
def test_everybody_may_leave_and_the_last_admin_may_not(desk):
    viewer = make.member(desk.account, "viewer", "Vera")
    members.remove_member(desk.account, viewer, actor=viewer)
    members.remove_member(desk.account, desk.tom, actor=desk.tom)
    with pytest.raises(Refused, match="last admin"):
        members.remove_member(desk.account, desk.maja, actor=desk.maja)
    assert roles(desk) == {"Maja": "admin"}


@pytest.mark.django_db
def test_an_admin_whose_log_in_is_off_keeps_no_account_going(desk):
    User.objects.filter(pk=desk.tom.pk).update(is_active=False)
    with pytest.raises(Refused, match="last admin"):
        members.grant_role(desk.account, desk.maja, "viewer", actor=desk.maja)


@pytest.mark.django_db
def test_a_launch_manager_takes_no_approver_away(desk):
    manager = make.launch_manager(desk.team)
    approver = make.member(desk.account, "approver", "Astrid")
    with pytest.raises(NotPermitted, match="above your own"):
        members.remove_member(desk.account, approver, actor=manager)
    members.remove_member(desk.account, approver, actor=desk.lena)


@pytest.mark.django_db
def test_who_is_on_one_side_does_not_get_onto_the_other(desk):
    with pytest.raises(Refused, match="both sides"):
        members.grant_role(desk.account, desk.lena, "viewer", actor=desk.maja)
    with pytest.raises(Refused, match="both sides"):
        members.add_to_team(desk.team, desk.maja, "launch_manager", actor=desk.lena)
    # Elsewhere they may stand on the other side.
    assert members.grant_role(make.account(), desk.lena, "viewer", actor=None)


@pytest.mark.django_db
def test_the_last_lead_stays(desk):
    members.remove_from_team(desk.team, desk.rolf, actor=desk.lena)
    with pytest.raises(Refused, match="last lead"):
        members.remove_from_team(desk.team, desk.lena, actor=desk.lena)
    with pytest.raises(Refused, match="last lead"):
        members.add_to_team(desk.team, desk.lena, "launch_manager", actor=desk.lena)
    assert AuditEntry.objects.get(what="team.removed").before["user"] == desk.rolf.email


# at the same instant


def at_once(first, second):
    """Do `first` in a transaction that is committed only when `second`, in another one, waits for it."""
    with transaction.atomic():
        first()
        thread, box = in_thread(second)
        until_waiting(thread)
    thread.join(10)
    return box


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_demote_each_other_at_once_one_wins():
    desk = Desk()
    box = at_once(
        lambda: members.grant_role(desk.account, desk.tom, "viewer", actor=desk.maja),
        lambda: members.grant_role(desk.account, desk.maja, "viewer", actor=desk.tom),
    )
    assert isinstance(box["error"], NotPermitted)
    assert roles(desk) == {"Maja": "admin", "Tom": "viewer"}


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_leave_at_once_one_stays():
    desk = Desk()
    box = at_once(
        lambda: members.remove_member(desk.account, desk.tom, actor=desk.tom),
        lambda: members.remove_member(desk.account, desk.maja, actor=desk.maja),
    )
    assert box["error"].code == "last_admin"
    assert roles(desk) == {"Maja": "admin"}


@pytest.mark.django_db(transaction=True)
def test_of_two_leads_who_remove_each_other_at_once_one_wins():
    desk = Desk()
    box = at_once(
        lambda: members.remove_from_team(desk.team, desk.rolf, actor=desk.lena),
        lambda: members.remove_from_team(desk.team, desk.lena, actor=desk.rolf),
    )
    assert isinstance(box["error"], NotPermitted)
    assert list(TeamMembership.objects.values_list("user__name", flat=True)) == ["Lena"]


@pytest.mark.django_db(transaction=True)
def test_of_two_leads_who_make_the_first_admin_at_once_one_wins():
    desk = Desk()
    account = make.account(of=desk.team)
    one, other = make.user("One"), make.user("Other")
    box = at_once(
        lambda: members.grant_role(account, one, "admin", actor=desk.lena),
        lambda: members.grant_role(account, other, "admin", actor=desk.rolf),
    )
    assert box["error"].code == "role_above_own"


@pytest.mark.django_db(transaction=True)
def test_nobody_gets_onto_both_sides_by_two_grants_at_once():
    desk = Desk()
    user = make.user("Both")
    box = at_once(
        lambda: members.grant_role(desk.account, user, "viewer", actor=desk.maja),
        lambda: members.add_to_team(desk.team, user, "launch_manager", actor=desk.lena),
    )
    assert box["error"].code == "both_sides"
    assert not TeamMembership.objects.filter(user=user).exists()


# what rests on an approval


class PoolCloud:
    """A provider that shows the pool as the plan has it, and takes no change."""

    call_deadline_s = 10.0

    def __init__(self):
        self.pool, self.sent = fresh_pool(), []

    async def show_balancer(self, balancer_id):
        return next(one for one in self.pool.balancers if one.id == balancer_id)

    async def show_server(self, server_id):
        return next(one for one in self.pool.servers if one.id == server_id)

    async def attached_volumes(self, server_id):
        return ()

    async def balancers_holding(self, address):
        return ()

    async def list_servers(self):
        return self.pool.servers

    async def watched(self):
        return Watched()

    def __getattr__(self, name):
        async def call(*args, not_after):
            self.sent.append(name)
            from portal.errors import TryLater

            raise TryLater("Busy.", after_s=1.0)

        return call


class LiveRun:
    """A scale-down that runs through the real engine, store and driver, one tick after another."""

    def __init__(self):
        self.desk = scaledown_desk()
        # Another lead, so that either may go.
        self.lead = make.launch_manager(self.desk.team, "Rolf", "lead")
        plan = approved(self.desk)
        self.ref = services.start_run(plan, actor=self.desk.lead, seen_digest=plan.digest).ref
        self.cloud = PoolCloud()
        self.tick()
        assert self.run.status == "running", self.run.halt_says

    @property
    def run(self):
        return Run.objects.get(ref=self.ref)

    def tick(self):
        async def probe(spec, at):
            return ProbeResult(spec.name, True, 200, 80.0, at)

        async def count(source, address, clock):
            return CountReading(3, 100, "in flight", "stub", "measured", clock())

        async def answers(url, networks):
            return True

        kind = ScaledownKind(cloud=lambda view: self.cloud, probe=probe, count=count, answers=answers)
        store = PgStore()
        Run.objects.update(next_tick_at="2026-01-01T00:00:00Z")
        views = store.claim_due(holder="test", limit=5, lease_s=15.0)
        for view in views:
            asyncio.run(self._carry_on(store, view, kind))

    async def _carry_on(self, store, view, kind):
        do = StoreThreads(1)
        try:
            await Engine(store, do=do).tick(view, kind)
        finally:
            do.close()


@pytest.fixture
def live(transactional_db):
    driver_kind = registry.registered(services.KIND)
    if driver_kind is None:
        registry.register_kind(services.KIND, ScaledownKind, facts=driver.facts, project=driver.project)
    return LiveRun()


def _removed_from_account(live):
    members.remove_member(live.desk.account, live.desk.approver, actor=live.desk.admin)


def _demoted(live):
    members.grant_role(live.desk.account, live.desk.approver, "viewer", actor=live.desk.admin)


def _removed_from_team(live):
    members.remove_from_team(live.desk.team, live.desk.manager, actor=live.desk.lead)


def _switched_off(live):
    members.deactivate_user(live.desk.manager, actor=live.desk.lead, reason="Left the company.")


def _switched_off_by_an_operator(live):
    members.deactivate_user(live.desk.approver, actor=None, reason="The laptop was stolen.")


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (_removed_from_account, "Approver"),
        (_demoted, "Approver"),
        (_removed_from_team, "Manager"),
        (_switched_off, "Manager"),
        (_switched_off_by_an_operator, "Approver"),
    ],
)
def test_a_live_run_is_paused_when_who_approved_it_may_no_longer(live, what, name):
    far_off = live.run
    Run.objects.update(next_tick_at="2030-01-01T00:00:00Z")
    what(live)
    run = live.run
    assert run.command_seq > far_off.command_seq, "a check in hand must refuse"
    assert run.next_tick_at.year < 2030, "the run must be looked at now"
    sent = list(live.cloud.sent)
    live.tick()
    assert live.run.status == "paused"
    assert f"rests on {name}" in str(list(live.run.journal.values_list("says", flat=True)))
    assert live.cloud.sent == sent


def test_the_runs_of_another_team_go_on(live):
    before = live.run.command_seq
    other = make.team()
    make.launch_manager(other, role="lead")
    members.remove_from_team(other, make.launch_manager(other), actor=None)
    assert live.run.command_seq == before
    live.tick()
    assert live.run.status == "running"


# log-ins


@pytest.mark.django_db
def test_a_log_in_that_is_switched_off_ends_sessions_and_tokens_and_stays_off_when_on_again(desk):
    manager = make.launch_manager(desk.team)
    browser = Client()
    browser.force_login(manager)
    secret = make.token(manager)
    assert browser.get("/accounts/").status_code == 200
    members.deactivate_user(manager, actor=desk.lena, reason="Left the company.")
    assert browser.get("/accounts/").status_code == 302
    assert Client().get("/api/v1/accounts", **make.bearer(secret)).status_code == 401
    members.activate_user(manager, actor=None, reason="Is back.")
    assert browser.get("/accounts/").status_code == 302
    assert Client().get("/api/v1/accounts", **make.bearer(secret)).status_code == 401
    entry = AuditEntry.objects.get(what="user.switched_off")
    assert (entry.reason, entry.after["keys_ended"]) == ("Left the company.", 1)


@pytest.mark.django_db
def test_a_lead_switches_off_nobody_with_a_role_elsewhere(desk):
    manager = make.launch_manager(desk.team)
    make.Membership.objects.create(account=make.account(), user=manager, role="viewer")
    with pytest.raises(Refused, match="operator"):
        members.deactivate_user(manager, actor=desk.lena, reason="Left.")
    with pytest.raises(NotPermitted):
        members.deactivate_user(desk.maja, actor=desk.lena, reason="Left.")
    members.deactivate_user(manager, actor=None, reason="Left.")
    assert not User.objects.get(pk=manager.pk).is_active


@pytest.mark.django_db
def test_switching_off_needs_a_reason_and_a_repeat_changes_nothing(desk):
    manager = make.launch_manager(desk.team)
    with pytest.raises(Refused, match="Say why"):
        members.deactivate_user(manager, actor=desk.lena, reason=" ")
    for _ in range(2):
        members.deactivate_user(manager, actor=desk.lena, reason="Left.")
    assert AuditEntry.objects.filter(what="user.switched_off").count() == 1


@pytest.mark.django_db
def test_a_token_of_who_was_removed_no_longer_reaches_the_account(desk):
    secret = make.token(desk.tom)
    url = f"/api/v1/accounts/{desk.account.ref}"
    assert Client().get(url, **make.bearer(secret)).status_code == 200
    members.remove_member(desk.account, desk.tom, actor=desk.maja)
    assert Client().get(url, **make.bearer(secret)).status_code == 404
    assert ApiToken.objects.get().revoked_at is None
