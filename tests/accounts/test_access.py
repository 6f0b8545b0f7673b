"""The one place that answers "may this user do that on this account?"."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.models import Account, Contact, Team
from portal.access import (
    ACCOUNT_ROLES,
    TEAM_ROLES,
    Can,
    Permission,
    can,
    permissions_on,
    roles_on,
    visible_to,
)
from tests import factories as make

P = Permission
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("lower", "higher"),
    [("viewer", "editor"), ("editor", "approver"), ("approver", "admin")],
)
def test_each_customer_role_may_all_that_the_one_below_may_and_more(lower, higher):
    assert ACCOUNT_ROLES[lower] < ACCOUNT_ROLES[higher]


def test_a_launch_manager_never_has_the_customers_approval_sign_off_or_erase():
    forbidden = {P.PLAN_APPROVE, P.STANDING_APPROVE, P.SIGN_OFF, P.ERASE}
    assert not forbidden & TEAM_ROLES["launch_manager"]
    assert not forbidden & TEAM_ROLES["lead"]


def test_only_a_lead_lifts_standstills_overrides_and_changes_the_team():
    only = {P.STANDSTILL_LIFT, P.OVERRIDE, P.TEAM_EDIT, P.ACCOUNT_ARCHIVE}
    assert only <= TEAM_ROLES["lead"]
    others = [TEAM_ROLES["launch_manager"], *ACCOUNT_ROLES.values()]
    assert not any(only & may for may in others)


def test_cloud_connections_are_for_launch_managers():
    assert P.CONNECTION_EDIT in TEAM_ROLES["launch_manager"]
    assert not any(P.CONNECTION_EDIT in may for may in ACCOUNT_ROLES.values())


def test_two_roles_add_up():
    account = make.account()
    user = make.member(account, "viewer")
    make.TeamMembership.objects.create(team=account.team, user=user, role="launch_manager")
    assert roles_on(user, account) == {"viewer", "launch_manager"}
    assert permissions_on(user, account) == ACCOUNT_ROLES["viewer"] | TEAM_ROLES["launch_manager"]


def test_is_superuser_grants_nothing():
    account = make.account()
    user = make.user()
    user.is_superuser = True
    user.is_staff = True
    assert not permissions_on(user, account)
    assert not visible_to(user, Account).exists()


def test_an_operator_sees_no_row_even_with_a_membership():
    account = make.account()
    user = make.member(account, "admin", is_operator=True)
    assert not visible_to(user, Account).exists()
    assert not permissions_on(user, account)
    assert can(user, P.OPERATE)


def test_a_user_who_was_switched_off_sees_nothing():
    account = make.account()
    user = make.member(account, "admin", is_active=False)
    assert not visible_to(user, Account).exists()
    assert not can(user, P.SIGNED_IN)


def test_rows_are_seen_through_the_account_that_they_belong_to():
    mine, theirs = make.account(), make.account()
    user = make.member(mine)
    own = make.contact(mine)
    make.contact(theirs)
    assert list(visible_to(user, Contact)) == [own]


def test_a_launch_manager_sees_all_accounts_of_own_teams_and_no_other():
    team = make.team()
    mine = {make.account(of=team), make.account(of=team)}
    make.account()
    assert set(visible_to(make.launch_manager(team), Account)) == mine


def test_a_list_for_a_permission_holds_only_accounts_where_one_has_it():
    reads, edits = make.account(), make.account()
    user = make.member(reads, "viewer")
    make.Membership.objects.create(account=edits, user=user, role="editor")
    assert set(visible_to(user, Account, P.ACCOUNT_VIEW)) == {reads, edits}
    assert list(visible_to(user, Account, P.CONTACT_EDIT)) == [edits]


def test_a_list_is_one_query(django_assert_num_queries):
    user = make.member(make.account())
    with django_assert_num_queries(1):
        list(visible_to(user, Account))


def test_a_model_that_does_not_say_its_account_is_refused():
    with pytest.raises(ImproperlyConfigured, match="account_path"):
        visible_to(make.user(), Team)


def test_a_template_that_asks_for_a_right_that_is_none_fails_loudly():
    with pytest.raises(ImproperlyConfigured, match="plan_aprove"):
        Can(frozenset())["plan_aprove"]


def test_a_template_reads_rights_by_name():
    shown = Can(frozenset({P.PLAN_APPROVE}))
    assert shown["plan_approve"]
    assert not shown["plan_submit"]
