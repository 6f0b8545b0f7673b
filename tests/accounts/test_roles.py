"""Who may give, change and take which role: every rule by itself, and all of them together over any history."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from accounts.roles import NOBODY, Person, give_role, give_team_role, roles_to_give, switch_off, take_role
from accounts.roles import take_team_role as take_from_team
from portal.access import ACCOUNT_ROLES, TEAM_ROLES, Permission

ROLES = tuple(ACCOUNT_ROLES)
GIVERS = {
    **{role: Person(role=role) for role in ROLES},
    **{role: Person(team_role=role) for role in TEAM_ROLES},
    "stranger": NOBODY,
    "operator": Person(is_operator=True),
    "switched off": Person(role="admin", is_active=False),
}


def code(refused):
    return None if refused is None else refused.code


# giving a role to somebody new

NEW = {
    # giver: what each of viewer, editor, approver, admin answers where the account has an admin
    "viewer": ("no_right",) * 4,
    "editor": ("no_right",) * 4,
    "approver": ("no_right",) * 4,
    "admin": (None,) * 4,
    "launch_manager": (None, None, "role_above_own", "role_above_own"),
    "lead": (None, None, "role_above_own", "role_above_own"),
    "stranger": ("no_right",) * 4,
    "operator": ("no_right",) * 4,
    "switched off": ("no_right",) * 4,
}


@pytest.mark.parametrize("giver", NEW)
def test_what_each_may_give_to_somebody_new(giver):
    found = tuple(code(give_role(GIVERS[giver], NOBODY, role, other_admins=1)) for role in ROLES)
    assert found == NEW[giver]


@pytest.mark.parametrize("giver", NEW)
def test_the_first_admin_is_a_leads_to_give_and_nobody_elses(giver):
    found = code(give_role(GIVERS[giver], NOBODY, "admin", other_admins=0))
    assert (found is None) == (giver in {"lead", "admin"})
    # An approver is not: that is for the customer's own admin.
    assert code(give_role(GIVERS["lead"], NOBODY, "approver", other_admins=0)) == "role_above_own"


def test_a_form_offers_what_may_be_given():
    assert roles_to_give(GIVERS["admin"], other_admins=1) == ROLES
    assert roles_to_give(GIVERS["launch_manager"], other_admins=0) == ("viewer", "editor")
    assert roles_to_give(GIVERS["lead"], other_admins=0) == ("viewer", "editor", "admin")
    assert roles_to_give(GIVERS["approver"], other_admins=1) == ()


# changing and taking


@pytest.mark.parametrize(
    ("giver", "has", "to", "expected"),
    [
        ("admin", "admin", "viewer", None),
        ("admin", "viewer", "admin", None),
        ("launch_manager", "viewer", "editor", None),
        ("launch_manager", "approver", "viewer", "role_above_own"),
        ("launch_manager", "admin", "viewer", "role_above_own"),
        ("lead", "approver", "viewer", None),
        ("lead", "viewer", "approver", "role_above_own"),
        ("approver", "viewer", "editor", "no_right"),
    ],
)
def test_who_may_change_whose_role(giver, has, to, expected):
    assert code(give_role(GIVERS[giver], Person(role=has), to, other_admins=1)) == expected


@pytest.mark.parametrize(
    ("giver", "has", "expected"),
    [
        ("admin", "admin", None),
        ("launch_manager", "editor", None),
        ("launch_manager", "approver", "role_above_own"),
        ("lead", "approver", None),
        ("lead", "admin", None),
        ("editor", "viewer", "no_right"),
        ("stranger", "viewer", "no_right"),
        ("admin", "", "no_member"),
    ],
)
def test_who_may_remove_whom(giver, has, expected):
    assert code(take_role(GIVERS[giver], Person(role=has), other_admins=1)) == expected


@pytest.mark.parametrize("has", ROLES)
@pytest.mark.parametrize("to", ROLES)
def test_nobody_raises_the_own_role_and_everybody_may_step_down(has, to):
    me = Person(role=has)
    higher = ROLES.index(to) > ROLES.index(has)
    assert code(give_role(me, me, to, other_admins=1, is_self=True)) == ("own_role" if higher else None)


@pytest.mark.parametrize("role", TEAM_ROLES)
def test_whoever_works_for_the_team_gives_themself_no_customers_role(role):
    me = GIVERS[role]
    assert code(give_role(me, me, "viewer", other_admins=1, is_self=True)) == "own_role"


@pytest.mark.parametrize("giver", ["admin", "lead", None])
def test_the_last_admin_is_neither_demoted_nor_removed_nor_leaves(giver):
    last = Person(role="admin")
    by = GIVERS[giver] if giver else None
    assert code(give_role(by, last, "viewer", other_admins=0)) == "last_admin"
    assert code(take_role(by, last, other_admins=0)) == "last_admin"
    assert code(take_role(last, last, other_admins=0, is_self=True)) == "last_admin"
    assert take_role(by, last, other_admins=1) is None
    # Who cannot log in keeps no account going.
    assert take_role(by, Person(role="admin", is_active=False), other_admins=0) is None


@pytest.mark.parametrize("giver", ["admin", "lead", None])
def test_nobody_stands_on_both_sides(giver):
    by = GIVERS[giver] if giver else None
    assert code(give_role(by, Person(team_role="launch_manager"), "viewer", other_admins=1)) == "both_sides"


def test_nobody_of_a_customer_joins_the_team_that_looks_after_it():
    customer = Person(is_customer=True)
    for by in (GIVERS["lead"], None):
        assert code(give_team_role(by, customer, "lead", other_leads=1)) == "both_sides"


@pytest.mark.parametrize("by", [GIVERS["admin"], None])
def test_an_operator_gets_no_role(by):
    operator = Person(is_operator=True)
    assert code(give_role(by, operator, "viewer", other_admins=1)) == "operator"
    assert code(give_team_role(GIVERS["lead"] if by else None, operator, "lead", other_leads=1)) == "operator"


def test_there_are_no_other_roles():
    assert code(give_role(None, NOBODY, "owner", other_admins=1)) == "unknown_role"
    assert code(give_team_role(None, NOBODY, "admin", other_leads=1)) == "unknown_role"


# teams


@pytest.mark.parametrize("giver", [*GIVERS])
@pytest.mark.parametrize("role", TEAM_ROLES)
def test_only_a_lead_changes_who_is_in_the_team(giver, role):
    given = give_team_role(GIVERS[giver], NOBODY, role, other_leads=1)
    taken = take_from_team(GIVERS[giver], Person(team_role=role), other_leads=1)
    assert (code(given), code(taken)) == ((None, None) if giver == "lead" else ("no_right", "no_right"))


def test_the_last_lead_stays_and_a_launch_manager_does_not_become_one_by_themself():
    last = GIVERS["lead"]
    assert code(take_from_team(last, last, other_leads=0, is_self=True)) == "last_lead"
    assert code(give_team_role(None, last, "launch_manager", other_leads=0)) == "last_lead"
    assert take_from_team(last, last, other_leads=1, is_self=True) is None
    manager = GIVERS["launch_manager"]
    assert code(give_team_role(manager, manager, "lead", other_leads=1, is_self=True)) == "own_role"
    assert take_from_team(manager, manager, other_leads=1, is_self=True) is None


@pytest.mark.parametrize(
    ("leads", "customer", "is_self", "expected"),
    [
        ([True], False, False, None),
        ([True, True], False, False, None),
        ([False], False, False, "no_right"),
        ([], False, False, "no_right"),
        ([True, False], False, False, "not_yours_alone"),
        ([True], True, False, "not_yours_alone"),
        ([True], False, True, "own_log_in"),
    ],
)
def test_a_lead_switches_off_only_who_is_of_own_teams_alone(leads, customer, is_self, expected):
    assert code(switch_off(leads, has_customer_role=customer, is_self=is_self)) == expected


# any history

PEOPLE = st.sampled_from(["anna", "bo", "cy", "dan", "eva", "olof"])


class AnyHistory(RuleBasedStateMachine):
    """Six people do to each other whatever the rules let them; what must hold holds after every step."""

    @initialize()
    def begin(self):
        self.roles, self.team = {"anna": "admin"}, {"dan": "lead", "eva": "launch_manager"}
        self.off = set()

    def person(self, name):
        return Person(
            self.roles.get(name, ""),
            self.team.get(name, ""),
            name not in self.off,
            name == "olof",
            bool(self.roles.get(name)),
        )

    def count(self, table, role, but):
        return sum(1 for name, has in table.items() if has == role and name not in self.off | {but})

    @rule(by=PEOPLE, to=PEOPLE, role=st.sampled_from(ROLES))
    def grant(self, by, to, role):
        giver, receiver = self.person(by), self.person(to)
        others = self.count(self.roles, "admin", to)
        if give_role(giver, receiver, role, other_admins=others, is_self=by == to) is not None:
            return
        assert by != to or ROLES.index(role) <= ROLES.index(receiver.role), "raised the own role"
        first_admin = giver.team_role == "lead" and role == "admin" and others == 0
        assert ACCOUNT_ROLES[role] <= giver.may or first_admin or by == to, "gave more than they have"
        if role == "approver" and by != to:
            assert giver.role == "admin", "only an admin makes an approver"
        self.roles[to] = role

    @rule(by=PEOPLE, of=PEOPLE)
    def remove(self, by, of):
        others = self.count(self.roles, "admin", of)
        if take_role(self.person(by), self.person(of), other_admins=others, is_self=by == of) is None:
            assert by == of or Permission.MEMBER_EDIT in self.person(by).may
            del self.roles[of]

    @rule(by=PEOPLE, to=PEOPLE, role=st.sampled_from(tuple(TEAM_ROLES)))
    def join(self, by, to, role):
        others = self.count(self.team, "lead", to)
        refused = give_team_role(self.person(by), self.person(to), role, other_leads=others, is_self=by == to)
        if refused is None:
            assert self.team.get(by) == "lead" or by == to
            self.team[to] = role

    @rule(by=PEOPLE, of=PEOPLE)
    def leave(self, by, of):
        others = self.count(self.team, "lead", of)
        if take_from_team(self.person(by), self.person(of), other_leads=others, is_self=by == of) is None:
            del self.team[of]

    @invariant()
    def somebody_can_always_let_others_in(self):
        if not hasattr(self, "roles"):
            return
        assert "admin" in self.roles.values(), "the account has lost its last admin"
        assert "lead" in self.team.values(), "the team has lost its last lead"

    @invariant()
    def nobody_stands_on_both_sides_and_an_operator_on_none(self):
        if not hasattr(self, "roles"):
            return
        assert not self.roles.keys() & self.team.keys()
        assert "olof" not in self.roles
        assert "olof" not in self.team


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyHistory = AnyHistory.TestCase
