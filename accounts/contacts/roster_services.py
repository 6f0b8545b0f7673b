"""Rotations, other parties and the support PIN's readiness: each change on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.changes import apply_changes, check_active, check_no_pin
from accounts.contacts.models import OtherParty, RoleDuty, Rotation, RotationMember, SupportPin
from accounts.contacts.rotation import MOST_HAND_OVERS, hand_overs_of, kept
from accounts.members import lock_account
from accounts.models import Account, Contact, ContactRole, Team, TeamMembership, User
from portal.audit.services import record, snapshot
from portal.errors import Refused
from portal.events.services import emit
from portal.rows import check_row

ROTATION_FIELDS = ("name", "time_zone", "starts_on", "hand_overs")
PARTY_FIELDS = ("kind", "name", "customer_number", "phone", "email", "url", "how_to_reach")
MOST_MEMBERS = 30
MOST_ROTATIONS, MOST_PARTIES = 20, 50
EARLIEST = date(2000, 1, 1)


# --- rotations of an account -------------------------------------------------------------------------------


@transaction.atomic
def set_rotation(
    account: Account,
    fields: Mapping[str, Any],
    *,
    members: Sequence[Contact],
    roles: Sequence[str],
    actor: User,
    rotation: Rotation | None = None,
) -> Rotation:
    """Make a rotation of an account's contacts, or change one: its times, its members in order, the roles that use it.

    Raises Refused for members of another account, more than 30, none, and for a role that another rotation has.
    """
    lock_account(account)
    check_active(account)
    is_new = rotation is None
    row = (
        Rotation(account=account)
        if rotation is None
        else Rotation.objects.select_for_update().get(pk=rotation.pk)
    )
    before = {} if is_new else _seen(row)
    apply_changes(row, fields, ROTATION_FIELDS)
    _check(row)
    if is_new and Rotation.objects.filter(account=account).count() >= MOST_ROTATIONS:
        raise Refused(
            f"An account has at most {MOST_ROTATIONS} rotations. Change one of them.", code="too_many"
        )
    if not 1 <= len(members) <= MOST_MEMBERS:
        raise Refused(f"A rotation has 1 to {MOST_MEMBERS} members, each once.", code="bad_members")
    _check_once(members)
    if any(member.account_id != account.pk for member in members):
        raise Refused("A rotation has contacts of its own account only.", code="bad_members")
    if not set(roles) <= set(ContactRole.values):
        raise Refused("There is no such role.", code="bad_role")
    taken = RoleDuty.objects.filter(account=account, role__in=roles).exclude(rotation_id=row.pk)
    if (other := taken.select_related("rotation").first()) is not None:
        raise Refused(f"{other.role} has the rotation “{other.rotation}” already.", code="role_taken")
    row.save()
    RotationMember.objects.filter(rotation=row).delete()
    RotationMember.objects.bulk_create(
        RotationMember(rotation=row, place=place, contact=contact) for place, contact in enumerate(members)
    )
    RoleDuty.objects.filter(rotation=row).exclude(role__in=roles).delete()
    for role in roles:
        RoleDuty.objects.get_or_create(account=account, role=role, rotation=row)
    happened = "added" if is_new else "changed"
    record(f"rotation.{happened}", actor=actor, account=account, subject=row, before=before, after=_seen(row))
    emit(f"rotation.{happened}", account=account, subject=row, data={"roles": sorted(roles)}, actor=actor)
    return row


def _check_once(members: Sequence[Any]) -> None:
    for place, one in enumerate(members):
        if one in members[:place]:
            raise Refused(
                f"{one.name} stands twice in the list. Everybody has one place: take one of the two out.",
                code="bad_members",
            )


def _check(row: Rotation) -> None:
    latest = timezone.now().date() + timedelta(days=3 * 366)
    if not EARLIEST <= row.starts_on <= latest:
        raise Refused(f"Begins on: a date from {EARLIEST} up to three years ahead.", code="bad_date")
    row.hand_overs = kept(hand_overs_of(row.hand_overs))
    if len(row.hand_overs) > MOST_HAND_OVERS:
        # Whoever asks who is on duty goes through all of them.
        raise Refused(
            f"A rotation has at most {MOST_HAND_OVERS} hand-overs a week. Choose fewer times.",
            code="bad_hand_overs",
        )
    row.name = " ".join(row.name.split())
    check_row(row)


def _seen(row: Rotation) -> dict[str, Any]:
    """Return a rotation as it stands on record: its members by reference, so that no name is kept."""
    places = row.places.select_related("contact", "user").order_by("place")
    return {
        **snapshot(row, ROTATION_FIELDS),
        "members": [
            str(member.ref) for place in places if (member := place.contact or place.user) is not None
        ],
        "roles": sorted(row.role_duties.values_list("role", flat=True)),
    }


@transaction.atomic
def remove_rotation(rotation: Rotation, *, actor: User) -> None:
    """Remove an account's rotation; its roles are called in the order of their contacts again."""
    assert rotation.account is not None
    account = rotation.account
    lock_account(account)
    check_active(account)
    record("rotation.removed", actor=actor, account=account, subject=rotation, before=_seen(rotation))
    emit("rotation.removed", account=account, subject=rotation, actor=actor)
    rotation.delete()


# --- the team's own roster ---------------------------------------------------------------------------------


@transaction.atomic
def set_team_roster(
    team: Team,
    fields: Mapping[str, Any],
    *,
    members: Sequence[tuple[User, str]],
    number: str,
    bridge: str,
    actor: User,
) -> Rotation:
    """Say who of a team is on duty in turn, each with the number they answer, the team's own number and its bridge."""
    locked = Team.objects.select_for_update().get(pk=team.pk)
    row = Rotation.objects.filter(team=locked).first() or Rotation(team=locked)
    apply_changes(row, fields, ROTATION_FIELDS)
    _check(row)
    belongs = set(
        TeamMembership.objects.filter(team=locked, user__is_active=True).values_list("user", flat=True)
    )
    if not 1 <= len(members) <= MOST_MEMBERS:
        raise Refused(f"A roster has 1 to {MOST_MEMBERS} members, each once.", code="bad_members")
    _check_once([user for user, _ in members])
    if any(user.pk not in belongs for user, _ in members):
        raise Refused("A roster has active members of its own team only.", code="bad_members")
    before = {} if row.pk is None else _seen(row)
    row.save()
    RotationMember.objects.filter(rotation=row).delete()
    for place, (user, phone) in enumerate(members):
        one = RotationMember(rotation=row, place=place, user=user, phone=phone)
        check_row(one)
        one.save()
    check_no_pin(bridge)
    locked.duty_number, locked.bridge = number, " ".join(bridge.split())
    check_row(locked)
    locked.save(update_fields=["duty_number", "bridge"])
    record("team.roster_set", actor=actor, subject=locked, before=before, after=_seen(row))
    return row


# --- other parties -----------------------------------------------------------------------------------------


@transaction.atomic
def set_party(
    account: Account, fields: Mapping[str, Any], *, actor: User, party: OtherParty | None = None
) -> OtherParty:
    """Add another party that the account depends on, or change one."""
    lock_account(account)
    check_active(account)
    if party is None and OtherParty.objects.filter(account=account).count() >= MOST_PARTIES:
        raise Refused(
            f"An account has at most {MOST_PARTIES} other parties. Change one of them.", code="too_many"
        )
    row = (
        OtherParty(account=account)
        if party is None
        else OtherParty.objects.select_for_update().get(pk=party.pk)
    )
    before = {} if party is None else snapshot(row)
    apply_changes(row, fields, PARTY_FIELDS)
    check_no_pin(row.customer_number, row.how_to_reach, row.name)
    check_row(row)
    row.save()
    happened = "added" if party is None else "changed"
    record(f"party.{happened}", actor=actor, account=account, subject=row, before=before, after=snapshot(row))
    emit(f"party.{happened}", account=account, subject=row, data={"kind": row.kind}, actor=actor)
    return row


@transaction.atomic
def remove_party(party: OtherParty, *, actor: User) -> None:
    """Remove another party."""
    account = party.account
    lock_account(account)
    check_active(account)
    record("party.removed", actor=actor, account=account, subject=party, before=snapshot(party))
    emit("party.removed", account=account, subject=party, data={"kind": party.kind}, actor=actor)
    party.delete()


# --- the support PIN ---------------------------------------------------------------------------------------


@transaction.atomic
def set_support_pin(
    account: Account, *, is_ready: bool, actor: User, as_of: date | None = None
) -> SupportPin:
    """Note whether the support PIN is at hand, as of a day (today). The PIN itself is nowhere asked for."""
    lock_account(account)
    check_active(account)
    before = SupportPin.objects.filter(account=account).first()
    was = {} if before is None else {"is_ready": before.is_ready, "as_of": before.as_of}
    row, _ = SupportPin.objects.update_or_create(
        account=account, defaults={"is_ready": is_ready, "as_of": as_of or timezone.now().date()}
    )
    record(
        "support_pin.said",
        actor=actor,
        account=account,
        subject=account,
        before=was,
        after={"is_ready": row.is_ready, "as_of": row.as_of},
    )
    return row
