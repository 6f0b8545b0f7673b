"""Whom to call for a role, in which order, at a moment."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from accounts.contacts import selectors, services
from accounts.contacts.models import ContactUse, RoleDuty, Rotation, RotationMember
from accounts.models import Contact
from portal.errors import Refused
from tests import factories as make

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def account():
    return make.account()


def names(account, role="emergency", at=NOW, **more):
    return [one.contact.name for one in selectors.call_order(account, role, at, **more)]


def test_each_role_has_an_order_of_its_own(account):
    make.contact(
        account, "Ada", roles=["primary", "emergency"], escalation_order=1, role_orders={"emergency": 3}
    )
    make.contact(account, "Bo", roles=["primary", "emergency"], escalation_order=2)
    assert names(account, "primary") == ["Ada", "Bo"]
    assert names(account, "emergency") == ["Bo", "Ada"]


def test_whoever_the_rotation_has_on_duty_comes_first_and_counts_as_reachable(account):
    ada = make.contact(account, "Ada", roles=["emergency"], escalation_order=1)
    bo, cy = (make.contact(account, name, roles=[]) for name in ("Bo", "Cy"))
    turns = Rotation.objects.create(
        account=account, name="On call", starts_on=date(2026, 11, 16), hand_overs=[{"day": 0, "at": "09:00"}]
    )
    for place, contact in enumerate((bo, cy)):
        RotationMember.objects.create(rotation=turns, place=place, contact=contact)
    RoleDuty.objects.create(account=account, role="emergency", rotation=turns)
    assert names(account, at=NOW - timedelta(days=7)) == ["Bo", "Cy", "Ada"]
    order = selectors.call_order(account, "emergency", NOW)
    assert [one.contact.name for one in order] == ["Cy", "Bo", "Ada"]
    assert [(one.is_on_duty, one.is_reachable_now) for one in order] == [
        (True, True),
        (False, None),
        (False, None),
    ]
    assert order[2].contact == ada
    assert order[2].place == 3


def test_who_cannot_be_called_keeps_the_place_and_says_why(account):
    make.contact(account, "Ada", roles=["emergency"], valid_until=date(2026, 11, 22))
    make.contact(account, "Bo", roles=["emergency"], valid_from=date(2026, 12, 1))
    make.contact(account, "Cy", roles=["emergency"], phone="", bouncing_since=NOW)
    make.contact(account, "Dee", roles=["emergency"], bouncing_since=NOW)
    order = selectors.call_order(account, "emergency", NOW)
    assert [one.why_not for one in order] == [
        "not valid since 2026-11-22",
        "valid only from 2026-12-01",
        "mail comes back, and there is no number",
        "",
    ]
    assert [(one.is_expired, one.is_bouncing) for one in order] == [
        (True, False), (True, False), (False, True), (False, True)
    ]  # fmt: skip
    assert order[3].email == ""
    assert order[3].can_be_called


def test_who_is_named_for_the_server_comes_before_those_for_everything(account):
    make.contact(account, "Ada", roles=["emergency"], escalation_order=1)
    other = [{"kind": "server", "id": "s-1", "label": "db"}]
    make.contact(account, "Bo", roles=["emergency"], escalation_order=1, responsible_for=other)
    named = [{"kind": "load_balancer", "id": "71", "label": "shop"}]
    make.contact(account, "Cy", roles=["emergency"], escalation_order=9, responsible_for=named)
    assert names(account) == ["Ada", "Bo", "Cy"]
    assert names(account, about="71") == ["Cy", "Ada", "Bo"]


def test_the_order_needs_as_many_queries_for_many_as_for_one(account, django_assert_num_queries):
    for number in range(12):
        make.contact(account, f"Person {number}", roles=["emergency"])
    with django_assert_num_queries(3):
        assert len(selectors.call_order(account, "emergency", NOW)) == 12


def test_a_changed_number_has_no_proof_any_more(account):
    manager = make.launch_manager(account.team)
    ada = make.contact(account, "Ada", roles=["emergency"])
    assert [one.is_proven for one in selectors.call_order(account, "emergency", NOW)] == [False]
    services.prove_channel(ada, kind="phone", value=ada.phone, how="call", actor=manager)
    assert [one.is_proven for one in selectors.call_order(account, "emergency", NOW)] == [True]
    services.change_contact(ada, {"phone": "+46701111111"}, actor=manager)
    assert [one.is_proven for one in selectors.call_order(account, "emergency", NOW)] == [False]
    services.change_contact(ada, {"phone": "+46701234567"}, actor=manager)
    assert [one.is_proven for one in selectors.call_order(account, "emergency", NOW)] == [True]


def test_a_shared_mailbox_proves_the_mailbox_and_not_a_person(account):
    manager = make.launch_manager(account.team)
    desk = make.contact(account, "Service desk", roles=["emergency"], is_shared_mailbox=True)
    services.prove_channel(desk, kind="mail", value=desk.email, how="link", actor=None)
    assert not selectors.call_order(account, "emergency", NOW)[0].is_proven
    services.prove_channel(desk, kind="phone", value=desk.phone, how="call", actor=manager)
    assert selectors.call_order(account, "emergency", NOW)[0].is_proven


def test_a_doubtful_proof_counts_for_nothing(account):
    ada = make.contact(account, "Ada", roles=["emergency"])
    services.prove_channel(ada, kind="mail", value=ada.email, how="link", actor=None, is_doubtful=True)
    assert not selectors.call_order(account, "emergency", NOW)[0].is_proven


def test_a_call_is_logged_by_a_named_person_and_only_about_a_number_that_stands(account):
    ada = make.contact(account, "Ada")
    with pytest.raises(Refused, match="person who made it"):
        services.prove_channel(ada, kind="phone", value=ada.phone, how="call", actor=None)
    with pytest.raises(Refused, match="changed meanwhile"):
        services.prove_channel(
            ada, kind="phone", value="+46700000000", how="call", actor=make.launch_manager(account.team)
        )
    assert ada.proofs.count() == 0


def test_every_use_is_one_row_however_many_people(account, django_assert_max_num_queries):
    manager = make.launch_manager(account.team)
    people = [make.contact(account, f"Person {number}") for number in range(30)]
    other = make.contact(account, "Not used")
    selectors.record_use(people[:1], account=account, purpose_reason="warm", actor=manager)
    with django_assert_max_num_queries(8):
        selectors.record_use(people, account=account, purpose_reason="Called about Person 3", actor=manager)
    assert ContactUse.objects.count() == 2
    used = selectors.uses_of(people[3]).get()
    assert (used.by_name, used.reason) == ("Jonas Berg", "Called about Person 3")
    assert not selectors.uses_of(other).exists()
    # What is kept names nobody in the clear.
    assert "Jonas" not in ContactUse.objects.sealed().latest("pk").by_name


def test_a_use_without_a_reason_is_refused(account):
    with pytest.raises(Refused, match="what the contact data is for"):
        selectors.record_use([make.contact(account)], account=account, purpose_reason=" ", actor=None)
    assert selectors.record_use([], account=account, purpose_reason="call", actor=None) is None
    assert selectors.record_use(
        Contact.objects.filter(account=account), account=account, purpose_reason="all", actor=None
    ).contact_ids
