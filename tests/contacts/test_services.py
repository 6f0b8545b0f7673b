"""What each change of contacts, coverage, rotations and other parties does, and refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from accounts.contacts import coverage_services, roster_services, selectors, services
from accounts.contacts.models import ChannelProof, CoverageOverride, OtherParty, RoleConfirmation
from accounts.models import AccountStatus, Contact
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused
from portal.events.models import Event
from tests import factories as make

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FULL = {
    "name": "Maja Lindgren",
    "email": "maja@lindgren.example",
    "phone": "+46701234567",
    "more_phones": ["+46812345678", "+46701234567", "+46812345678"],
    "time_zone": "Europe/Stockholm",
    "hours": "weekly",
    "weekly_hours": [{"day": 0, "from": "08:00", "until": "17:00"}],
    "holidays_country": "SE",
    "days_off": [date(2026, 12, 23)],
    "roles": ["emergency", "primary"],
    "role_orders": {"emergency": 2, "billing": 1},
    "responsible_for": [{"kind": "server", "id": "s-1"}],
    "authority": "technical",
    "external_id": "hr-1",
}


@pytest.fixture
def account():
    return make.account()


@pytest.fixture
def manager(account):
    return make.launch_manager(account.team)


def test_a_contact_is_kept_in_full_and_tidied(account, manager):
    contact = services.add_contact(account, FULL, actor=manager)
    kept = Contact.objects.get(pk=contact.pk)
    assert kept.more_phones == ["+46812345678"]
    assert kept.role_orders == {"emergency": 2}  # no order for a role that the contact does not have
    assert kept.responsible_for == [{"kind": "server", "id": "s-1", "label": ""}]
    assert kept.authority == "technical"
    (entry,) = AuditEntry.objects.sealed().filter(what="contact.added")
    assert "+46812345678" not in str(entry.after)
    assert "hr-1" not in str(entry.after)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"more_phones": ["0812345678"]}, "more phones|Other numbers"),
        ({"phone": "", "more_phones": ["+46812345678"]}, "best number first"),
        ({"weekly_hours": []}, "Working hours"),
        ({"weekly_hours": [{"day": 9, "from": "08:00", "until": "17:00"}]}, "list of days"),
        ({"holidays_country": "XX"}, "not known here"),
        ({"role_orders": {"boss": 1}}, "order for a role"),
        ({"role_orders": {"primary": 0}}, "order for a role"),
        ({"responsible_for": [{"kind": "house", "id": "1"}]}, "Responsible for"),
        ({"valid_from": date(2026, 2, 1), "valid_until": date(2026, 1, 1)}, "last day is not before"),
        ({"authority": "boss"}, "not a valid choice|authority"),
        ({"notes": "Support PIN: 482913"}, "never keeps one"),
        ({"no_phone_because": "pin is 1234"}, "never keeps one"),
        ({"name": "Maja www.evil.example"}, "no web or mail address"),
        ({"purpose": "marketing"}, "cannot be changed here"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(account, manager, changes, says):
    with pytest.raises(Refused, match=says):
        services.add_contact(account, {**FULL, **changes}, actor=manager)
    assert not Contact.objects.exists()


def test_a_number_that_only_looks_like_a_pin_is_no_pin(account, manager):
    contact = services.add_contact(
        account, {**FULL, "notes": "Extension 4417, PIN is in the safe. Shipping 20261123."}, actor=manager
    )
    assert contact.notes.startswith("Extension")


def test_no_purpose_but_support_enters_the_database(account):
    make.contact(account)
    with pytest.raises(IntegrityError, match="contact_for_support_only"), transaction.atomic():
        Contact.objects.update(purpose="marketing")
    with pytest.raises(IntegrityError, match="contact_for_support_only"), transaction.atomic():
        make.contact(account, "Bo", purpose="newsletter")


def test_an_external_id_is_unique_in_an_account_and_may_be_the_same_in_another(account, manager):
    services.add_contact(account, FULL, actor=manager)
    services.add_contact(make.account(), FULL, actor=None)
    with pytest.raises(Refused, match="external id already"):
        services.add_contact(account, {**FULL, "name": "Bo"}, actor=manager, all_the_same=True)
    for name in ("Cy", "Dee"):
        services.add_contact(
            account,
            {"name": name, "email": "x@x.example", "external_id": ""},
            actor=manager,
            all_the_same=True,
        )


def test_no_phone_because_is_an_answer_until_there_is_one(account, manager):
    contact = services.add_contact(
        account, {"name": "Ada", "email": "a@a.example", "no_phone_because": "works at sea"}, actor=manager
    )
    changed = services.change_contact(contact, {"phone": "+46701234567"}, actor=manager)
    assert changed.no_phone_because == ""


def test_a_new_authority_needs_a_new_confirmation(account, manager):
    contact = services.add_contact(account, FULL, actor=manager)
    services.confirm_contact(contact, actor=manager, on=NOW.date())
    assert services.change_contact(contact, {"authority": "spend"}, actor=manager).confirmed_on is None
    assert RoleConfirmation.objects.get().by_name == manager.name


def test_a_doubtful_confirmation_is_kept_and_does_not_count(account):
    contact = make.contact(account)
    services.confirm_contact(contact, actor=None, on=NOW.date(), channel="link", is_doubtful=True)
    contact.refresh_from_db()
    assert contact.confirmed_on is None
    assert RoleConfirmation.objects.get().is_doubtful
    assert not Event.objects.filter(type="contact.confirmed").exists()


@pytest.mark.parametrize("table", ["channelproof", "roleconfirmation", "contactuse"])
def test_the_database_changes_no_proof_confirmation_or_use(account, manager, table):
    contact = make.contact(account)
    services.prove_channel(contact, kind="phone", value=contact.phone, how="call", actor=manager)
    services.confirm_contact(contact, actor=manager, on=NOW.date())
    selectors.record_use([contact], account=account, purpose_reason="call", actor=manager)
    change = f"UPDATE accounts_{table} SET at = now()"
    with (
        pytest.raises(DatabaseError, match="is never changed"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)


def test_a_proven_mailbox_does_not_bounce_any_more(account):
    contact = make.contact(account, bouncing_since=NOW, bounce_says="no such mailbox")
    services.prove_channel(contact, kind="mail", value=contact.email, how="link", actor=None)
    contact.refresh_from_db()
    assert (contact.bouncing_since, contact.bounce_says) == (None, "")


# --- coverage ----------------------------------------------------------------------------------------------


def covered(account, manager):
    for name, roles in (("Ada", ["primary"]), ("Bo", ["emergency"])):
        contact = make.contact(account, name, roles=roles, hours="around_the_clock")
        services.prove_channel(contact, kind="phone", value=contact.phone, how="call", actor=manager)


def test_gaps_close_as_contacts_are_added_and_proven(account, manager):
    now = timezone.now()
    assert [gap.code for gap in selectors.coverage_of(account, now)] == [
        "no_primary",
        "no_emergency",
        "no_backup",
    ]
    covered(account, manager)
    assert selectors.coverage_of(account, timezone.now()) == []
    assert selectors.can_begin(account, timezone.now()).is_allowed


def test_rules_of_ones_own_count_instead_of_the_preset(account, manager):
    covered(account, manager)
    coverage_services.set_coverage(account, preset="around_the_clock", actor=manager)
    codes = [gap.code for gap in selectors.coverage_of(account, timezone.now())]
    assert codes == ["no_technical", "no_emergency"]
    coverage_services.set_coverage(account, rules=[{"role": "primary", "count": 1}], actor=manager)
    assert selectors.coverage_of(account, timezone.now()) == []
    for wrong in ({"preset": "none"}, {}, {"preset": "standard", "rules": [{"role": "primary"}]}):
        with pytest.raises(Refused):
            coverage_services.set_coverage(account, **wrong, actor=manager)


def test_the_coverage_of_many_accounts_takes_the_same_queries_as_of_one(
    account, manager, django_assert_num_queries
):
    many = [account, *(make.account(of=account.team) for _ in range(5))]
    for one in many:
        covered(one, manager)
    with django_assert_num_queries(4):
        selectors.coverages_of([account], NOW)
    with django_assert_num_queries(4):
        selectors.coverages_of(many, NOW)


def test_a_lead_lets_it_begin_with_a_reason_that_stays(account):
    lead = make.launch_manager(account.team, "Lena", role="lead")
    end = timezone.now() + timedelta(hours=4)
    assert not selectors.can_begin(account, timezone.now()).is_allowed
    row = coverage_services.give_override(
        account, reason="On the bridge with them.", expires_at=end, actor=lead
    )
    found = selectors.can_begin(account, timezone.now())
    assert found.is_allowed
    assert [gap.code for gap in found.gaps] == ["no_primary", "no_backup"]
    assert not selectors.can_begin(account, end).is_allowed
    entry = AuditEntry.objects.get(what="coverage.overridden")
    assert (entry.reason, entry.actor_ref) == ("On the bridge with them.", str(lead.ref))
    coverage_services.end_override(row, actor=lead)
    assert not selectors.can_begin(account, timezone.now()).is_allowed
    assert CoverageOverride.objects.get().reason == "On the bridge with them."


def test_an_override_is_for_leads_for_a_reason_for_a_time_and_only_where_needed(account, manager):
    lead = make.launch_manager(account.team, "Lena", role="lead")
    end = timezone.now() + timedelta(hours=4)
    with pytest.raises(NotPermitted):
        coverage_services.give_override(account, reason="x", expires_at=end, actor=manager)
    for reason, when in ((" ", end), ("x", timezone.now()), ("x", timezone.now() + timedelta(days=15))):
        with pytest.raises(Refused):
            coverage_services.give_override(account, reason=reason, expires_at=when, actor=lead)
    covered(account, manager)
    with pytest.raises(Refused, match="Nothing is missing"):
        coverage_services.give_override(account, reason="x", expires_at=end, actor=lead)
    assert not CoverageOverride.objects.exists()


# --- rotations, parties, PIN -------------------------------------------------------------------------------

TURNS = {"name": "On call", "starts_on": date(2026, 11, 2), "hand_overs": [{"day": 0, "at": "09:00"}]}


def test_a_rotation_is_kept_with_its_members_and_roles(account, manager):
    ada, bo = (make.contact(account, name, roles=[]) for name in ("Ada", "Bo"))
    row = roster_services.set_rotation(account, TURNS, members=[ada, bo], roles=["emergency"], actor=manager)
    assert [one.contact.name for one in selectors.call_order(account, "emergency", NOW)] == ["Bo", "Ada"]
    roster_services.set_rotation(account, {}, members=[bo, ada], roles=[], actor=manager, rotation=row)
    assert selectors.call_order(account, "emergency", NOW) == []
    roster_services.remove_rotation(row, actor=manager)
    assert [one.what for one in AuditEntry.objects.filter(what__startswith="rotation").order_by("pk")] == [
        "rotation.added", "rotation.changed", "rotation.removed"
    ]  # fmt: skip


def test_a_rotation_takes_its_own_accounts_contacts_once_and_a_role_has_one(account, manager):
    ada, stranger = make.contact(account), make.contact(make.account())
    for members in ([], [ada, ada], [ada, stranger]):
        with pytest.raises(Refused):
            roster_services.set_rotation(account, TURNS, members=members, roles=[], actor=manager)
    roster_services.set_rotation(account, TURNS, members=[ada], roles=["emergency"], actor=manager)
    with pytest.raises(Refused, match="already"):
        roster_services.set_rotation(
            account, {**TURNS, "name": "B"}, members=[ada], roles=["emergency"], actor=manager
        )
    with pytest.raises(Refused, match="of this name already"):
        roster_services.set_rotation(account, TURNS, members=[ada], roles=[], actor=manager)


def test_the_customer_sees_who_of_the_team_is_on_duty_now_and_tonight(account, manager):
    other = make.launch_manager(account.team, "Lena Holm")
    roster_services.set_team_roster(
        account.team,
        {"name": "Duty", "time_zone": "UTC", "starts_on": date(2026, 11, 2),
         "hand_overs": [{"day": day, "at": at} for day in range(7) for at in ("08:00", "20:00")]},
        members=[(manager, "+46811111111"), (other, "")],
        number="+46810000000",
        bridge="+46810000001, room 71",
        actor=manager,
    )  # fmt: skip
    account.team.refresh_from_db()
    seen = selectors.team_duty(account, NOW)
    assert (seen.now.name, seen.now.phone, seen.now.ends) == (
        "Jonas Berg", "+46811111111", datetime(2026, 11, 23, 20, tzinfo=UTC)
    )  # fmt: skip
    assert (seen.tonight.name, seen.tonight.phone) == ("Lena Holm", "+46810000000")
    with pytest.raises(Refused, match="own team only"):
        roster_services.set_team_roster(
            account.team, {}, members=[(make.user(), "")], number="", bridge="", actor=manager
        )


def test_another_party_is_kept_with_a_way_to_reach_it(account, manager):
    with pytest.raises(Refused, match="how to reach them"):
        roster_services.set_party(account, {"kind": "cdn", "name": "Edge"}, actor=manager)
    with pytest.raises(Refused, match="never keeps one"):
        roster_services.set_party(
            account, {"kind": "cdn", "name": "Edge", "how_to_reach": "PIN 99123"}, actor=manager
        )
    row = roster_services.set_party(
        account, {"kind": "cdn", "name": "Edge", "phone": "+46812000000"}, actor=manager
    )
    roster_services.set_party(account, {"customer_number": "88-12"}, actor=manager, party=row)
    assert OtherParty.objects.get().customer_number == "88-12"
    roster_services.remove_party(row, actor=manager)
    assert not OtherParty.objects.exists()


def test_a_support_pin_is_at_hand_or_not_and_never_stored(account, manager):
    roster_services.set_support_pin(account, is_ready=True, actor=manager)
    row = roster_services.set_support_pin(account, is_ready=False, actor=manager)
    assert (row.is_ready, row.as_of) == (False, timezone.now().date())
    assert {field.name for field in row._meta.concrete_fields} == {"id", "account", "is_ready", "as_of"}


def test_an_archived_account_is_read_and_not_changed(account, manager):
    contact = make.contact(account)
    account.status = AccountStatus.ARCHIVED
    account.save()
    for act in (
        lambda: services.prove_channel(contact, kind="phone", value=contact.phone, how="call", actor=manager),
        lambda: coverage_services.set_coverage(account, preset="standard", actor=manager),
        lambda: roster_services.set_rotation(account, TURNS, members=[contact], roles=[], actor=manager),
        lambda: roster_services.set_party(
            account, {"kind": "cdn", "name": "E", "phone": "+46812000000"}, actor=manager
        ),
        lambda: roster_services.set_support_pin(account, is_ready=True, actor=manager),
    ):
        with pytest.raises(Refused, match="archived"):
            act()
    assert not ChannelProof.objects.exists()
