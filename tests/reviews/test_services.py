"""Reviews from beginning to signed, on the database."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import time_machine
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone

from accounts.erasure import erase_contact
from accounts.models import Account, AccountStatus, Contact
from accounts.reviews import selectors, services
from accounts.reviews.content import is_intact
from accounts.reviews.models import (
    ActionItem,
    Review,
    ReviewItem,
    ReviewSchedule,
    ReviewSignature,
    ReviewSnapshot,
    ReviewStatus,
)
from accounts.reviews.selectors import review_now
from portal.approvals.models import Side
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.models import Event
from portal.notify.models import Message
from tests import factories as make

pytestmark = pytest.mark.django_db


def today():
    return timezone.now().date()


class Here:
    def __init__(self):
        self.account = make.account("Lindgren Outdoor")
        self.manager = make.launch_manager(self.account.team, "Jonas Berg")
        self.admin = make.member(self.account, "admin", "Ada Admin")
        self.contact = make.proven(make.contact(self.account, "Maja Lindgren", roles=["emergency"]))
        self.review = services.open_review(
            self.account, held_on=timezone.now().date(), actor=self.manager, participant=self.contact
        )

    def answer_all(self, grade="green"):
        live = {
            one.key for one in selectors.review_now(self.review, timezone.now()).items if one.by == "live"
        }
        for item in ReviewItem.objects.filter(review=self.review):
            # What has a fact that knows nothing of this account (no baseline, no drill) is answered by hand, too.
            if not selectors.measures(item.key) or (
                item.key in {"baseline", "growth", "fire_drill"} and item.key not in live
            ):
                services.answer_item(item, {"grade": grade}, actor=self.manager)
        self.review.refresh_from_db()

    def seen(self):
        return services.seen_now(Review.objects.get(pk=self.review.pk), timezone.now())

    def sign(self, side, actor):
        signed = services.sign_review(self.review, side=side, actor=actor, seen=self.seen())
        self.review.refresh_from_db()
        return signed

    def sign_both(self):
        self.answer_all()
        self.sign(Side.PROVIDER, self.manager)
        return self.sign(Side.CUSTOMER, self.admin)

    def item(self, key):
        return ReviewItem.objects.get(review=self.review, key=key)


@pytest.fixture
def here():
    return Here()


def test_a_review_begins_with_the_items_of_its_template_and_one_is_open_at_a_time(here):
    services.set_team_items(here.account.team, [{"title": "Certificates"}], actor=here.manager)
    assert here.review.items.count() == 9
    with pytest.raises(StaleState, match="open review"):
        services.open_review(here.account, held_on=today(), actor=here.manager)
    services.call_off_review(here.review, reason="Moved.", actor=here.manager)
    again = services.open_review(here.account, held_on=today(), actor=here.manager)
    assert again.items.count() == 10
    assert again.template == {"standard": 1, "team": 1}


def test_only_a_launch_manager_holds_it_and_only_this_accounts_contacts_take_part(here):
    services.call_off_review(here.review, reason="x", actor=here.manager)
    stranger = make.contact(make.account())
    with pytest.raises(Refused, match="launch manager"):
        services.open_review(here.account, held_on=today(), actor=here.manager, owner=here.admin)
    with pytest.raises(Refused, match="no such contact"):
        services.open_review(here.account, held_on=today(), actor=here.manager, participant=stranger)


def test_amber_and_red_need_a_reason_and_live_data_is_not_overruled(here):
    with pytest.raises(Refused, match="Say why"):
        services.answer_item(here.item("baseline"), {"grade": "red"}, actor=here.manager)
    services.answer_item(here.item("baseline"), {"grade": "red", "reason": "None."}, actor=here.manager)
    with pytest.raises(Refused, match="live data"):
        services.answer_item(here.item("contacts"), {"grade": "green"}, actor=here.manager)
    services.answer_item(here.item("contacts"), {"notes": "Ask Maja Lindgren."}, actor=here.manager)
    with pytest.raises(Refused, match="green, amber or red"):
        services.answer_item(here.item("growth"), {"grade": "unknown"}, actor=here.manager)


def test_both_sides_sign_the_same_and_what_they_signed_is_kept_for_good(here):
    services.answer_item(here.item("contacts"), {"notes": "Ask Maja Lindgren."}, actor=here.manager)
    services.add_action(
        here.account,
        {"title": "Call Maja Lindgren", "owner_contact": here.contact, "due_on": today() + timedelta(days=3)},
        actor=here.manager,
    )
    here.sign_both()
    assert here.review.status == ReviewStatus.SIGNED
    stored = ReviewSnapshot.objects.sealed().get()
    assert is_intact(stored.data, stored.digest)
    assert {one.digest for one in ReviewSignature.objects.all()} == {stored.digest}
    assert "Maja Lindgren" not in str(stored.data)
    opened = ReviewSnapshot.objects.get()
    assert opened.data["participant"] == "Maja Lindgren"
    assert opened.data["actions"][0]["owner"] == "Maja Lindgren"
    contacts = {one["key"]: one for one in opened.data["items"]}["contacts"]
    assert (contacts["by"], contacts["grade"], contacts["notes"]) == ("live", "green", "Ask Maja Lindgren.")
    assert contacts["observed_at"]
    assert contacts["expires_at"]
    schedule = ReviewSchedule.objects.get()
    assert schedule.next_on == here.review.held_on + timedelta(days=90)
    assert {"review.opened", "review.signed", "review.completed"} <= set(
        Event.objects.values_list("type", flat=True)
    )


def test_nobody_signs_a_review_before_it_is_held_where_the_account_is(here):
    here.account.time_zone = "Asia/Tokyo"
    here.account.save()
    with time_machine.travel("2026-11-27T14:00:00Z", tick=False):
        here.review = services.change_review(here.review, {"held_on": date(2026, 11, 28)}, actor=here.manager)
        here.answer_all()
        with pytest.raises(Refused, match="Sign on that day, or change the date"):
            here.sign(Side.PROVIDER, here.manager)
    assert not ReviewSignature.objects.exists()
    with time_machine.travel("2026-11-27T15:30:00Z", tick=False):
        here.sign(Side.PROVIDER, here.manager)


def test_a_review_holds_from_the_day_of_the_second_signature(here):
    held = here.review.held_on
    here.answer_all()
    here.sign(Side.PROVIDER, here.manager)
    with time_machine.travel(timezone.now() + timedelta(days=3), tick=False):
        here.sign(Side.CUSTOMER, here.admin)
    assert here.review.status == ReviewStatus.SIGNED
    until = held + timedelta(days=93)
    assert here.review.good_until == ReviewSchedule.objects.get().next_on == until
    # One day and no other, wherever it is read: what was signed first names none.
    data = ReviewSnapshot.objects.get().data
    assert ("good_until" in data, data["holds_days"]) == (False, 90)
    by_hand = [one for one in selectors.with_expiry(here.review, data, timezone.now()) if one["by"] == "hand"]
    assert by_hand
    assert {one["last_day"] for one in by_hand} == {until}
    browser = Client()
    browser.force_login(here.manager)
    shown = browser.get(f"/reviews/{here.review.ref}/").content.decode()
    assert f"holds until {until}" in shown
    assert f"Answers hold until</dt><dd>{until}" in shown
    assert f"until {until + timedelta(days=1)}" not in shown


@pytest.mark.parametrize("act", ["change", "delete"])
def test_the_database_refuses_to_change_what_was_signed(here, act):
    here.sign_both()
    rows = ReviewSnapshot.objects.all()
    with pytest.raises(DatabaseError, match="what was signed stays"), transaction.atomic():
        rows.update(no=7) if act == "change" else rows.delete()
    with pytest.raises(StaleState, match="signed"):
        services.answer_item(here.item("baseline"), {"grade": "green", "notes": "x"}, actor=here.manager)


def test_nobody_signs_what_has_an_open_item_or_is_not_what_they_saw(here):
    with pytest.raises(Refused, match="Not answered yet: Baseline"):
        here.sign(Side.PROVIDER, here.manager)
    here.answer_all()
    seen = here.seen()
    services.answer_item(here.item("growth"), {"notes": "Slow."}, actor=here.manager)
    with pytest.raises(StaleState, match="not the review that you were shown"):
        services.sign_review(here.review, side=Side.PROVIDER, actor=here.manager, seen=seen)
    assert not ReviewSignature.objects.exists()


def test_a_signature_that_would_be_refused_is_not_offered_and_the_page_says_why(here):
    browser = Client()

    def shown(who, path=""):
        browser.force_login(who)
        return browser.get(f"/reviews/{here.review.ref}/{path}").content.decode()

    provider, customer = f"/reviews/{here.review.ref}/sign-for-provider/", f"/reviews/{here.review.ref}/sign/"
    page = shown(here.manager)
    assert "Who does not know says so: amber, with the reason." in page
    assert provider not in page
    assert "It cannot be signed now" in shown(here.manager, "sign-for-provider/")
    here.answer_all()
    assert provider in shown(here.manager)
    assert "It cannot be signed now" not in shown(here.manager, "sign-for-provider/")
    here.sign(Side.PROVIDER, here.manager)
    page = shown(here.manager)
    assert "This side has signed. The other one is asked." in page
    assert provider not in page
    assert customer in shown(here.admin)


def test_what_is_archived_offers_no_change_and_says_so(here):
    Account.objects.filter(pk=here.account.pk).update(
        status=AccountStatus.ARCHIVED, archived_at=timezone.now()
    )
    browser = Client()
    browser.force_login(here.manager)
    for path, act in (
        (f"/reviews/{here.review.ref}/", "/change/"),
        (f"/accounts/{here.account.ref}/contacts/", "/contacts/add/"),
        (f"/contacts/{here.contact.ref}/", "Confirm as of today"),
        (f"/accounts/{here.account.ref}/calendar/", "/calendar/add/"),
        (f"/accounts/{here.account.ref}/reach/", "Ask the first person now"),
        (f"/accounts/{here.account.ref}/actions/", "/actions/add/"),
    ):
        shown = browser.get(path).content.decode()
        assert "It can be read, not changed." in shown, path
        assert act not in shown, path


def test_each_side_is_signed_by_its_own_people(here):
    here.answer_all()
    for side, who in (
        (Side.CUSTOMER, here.manager),
        (Side.PROVIDER, here.admin),
        (Side.CUSTOMER, make.member(here.account, "editor")),
        (Side.CUSTOMER, make.member(make.account(), "admin")),
    ):
        with pytest.raises(NotPermitted):
            here.sign(side, who)
    both = make.member(here.account, "admin", "Both")
    from accounts.models import TeamMembership

    TeamMembership.objects.create(team=here.account.team, user=both, role="launch_manager")
    with pytest.raises(NotPermitted):
        here.sign(Side.CUSTOMER, both)


@pytest.mark.parametrize(
    "change",
    [
        lambda here: services.answer_item(here.item("growth"), {"notes": "New."}, actor=here.manager),
        lambda here: services.change_review(
            here.review, {"held_on": today() - timedelta(days=1)}, actor=here.manager
        ),
        lambda here: services.add_action(
            here.account, {"title": "x", "owner_user": here.admin, "due_on": today()}, actor=here.admin
        ),
        lambda here: services.set_schedule(here.account, actor=here.manager, interval_days=30),
    ],
)
def test_what_changes_between_the_signatures_voids_the_first(here, change):
    here.answer_all()
    here.sign(Side.CUSTOMER, here.admin)
    assert here.review.digest
    change(here)
    here.review.refresh_from_db()
    assert here.review.digest == ""
    assert ReviewSignature.objects.get().voided_at is not None
    assert Message.objects.filter(purpose="review_void", user=here.admin).exists()
    # The other side alone does not complete it.
    here.sign(Side.PROVIDER, here.manager)
    assert here.review.status == ReviewStatus.OPEN
    here.sign(Side.CUSTOMER, here.admin)
    assert here.review.status == ReviewStatus.SIGNED


def test_live_data_that_turned_between_the_signatures_makes_the_second_one_the_first(here):
    here.answer_all()
    here.sign(Side.PROVIDER, here.manager)
    seen_before = here.review.digest
    Contact.objects.update(roles=[])
    with pytest.raises(StaleState):
        services.sign_review(here.review, side=Side.CUSTOMER, actor=here.admin, seen=seen_before)
    here.sign(Side.CUSTOMER, here.admin)
    assert here.review.status == ReviewStatus.OPEN
    assert [(one.side, one.voided_at is None) for one in ReviewSignature.objects.order_by("pk")] == [
        ("provider", False),
        ("customer", True),
    ]
    here.sign(Side.PROVIDER, here.manager)
    grades = {one["key"]: one["grade"] for one in ReviewSnapshot.objects.get().data["items"]}
    assert grades["contacts"] == "red"


def test_the_first_signature_asks_the_other_side_and_repeating_it_changes_nothing(here):
    here.answer_all()
    here.sign(Side.PROVIDER, here.manager)
    assert list(Message.objects.filter(purpose="review_asked").values_list("user__name", flat=True)) == [
        "Ada Admin"
    ]
    here.sign(Side.PROVIDER, here.manager)
    assert ReviewSignature.objects.count() == 1


def test_erasing_a_contact_leaves_the_digest_valid_and_names_nobody(here):
    services.answer_item(here.item("contacts"), {"notes": "Ask Maja Lindgren."}, actor=here.manager)
    services.add_action(
        here.account,
        {"title": "Call Maja Lindgren", "owner_contact": here.contact, "due_on": today()},
        actor=here.manager,
    )
    here.sign_both()
    erase_contact(here.account, here.contact.ref, actor=here.admin, reason="Asked.")
    stored = ReviewSnapshot.objects.sealed().get()
    assert is_intact(stored.data, stored.digest)
    assert "Maja" not in str(ReviewSnapshot.objects.get().data)
    assert "erased person" in ReviewSnapshot.objects.get().data["participant"]
    assert "Maja" not in ReviewItem.objects.get(key="contacts").notes
    action = ActionItem.objects.get()
    assert "Maja" not in action.title
    assert (action.owner_contact, action.owner_user) == (None, None)
    assert "Maja" not in str(list(AuditEntry.objects.values_list("after", "subject_label")))


def test_an_archived_account_is_read_and_not_changed(here):
    here.account.status = AccountStatus.ARCHIVED
    here.account.save()
    with pytest.raises(Refused, match="archived"):
        services.answer_item(here.item("growth"), {"notes": "x"}, actor=here.manager)
    with pytest.raises(Refused, match="archived"):
        services.add_action(
            here.account, {"title": "x", "owner_user": here.admin, "due_on": today()}, actor=here.admin
        )


def test_answers_by_hand_stand_on_the_scorecard_until_the_next_review(here):
    here.sign_both()
    now = timezone.now()
    card = {line.key: line.finding for line in selectors.scorecard_of(here.account, now).lines}
    assert (card["baseline"].grade.value, card["baseline"].by_hand) == ("green", True)
    later = {
        line.key: line.finding
        for line in selectors.scorecard_of(here.account, now + timedelta(days=92)).lines
    }
    assert later["baseline"].grade.value == "unknown"
    assert later["review"].grade.value == "red"


def test_open_action_items_are_carried_into_the_next_review(here):
    services.add_action(
        here.account, {"title": "Left", "owner_user": here.admin, "due_on": today()}, actor=here.manager
    )
    here.sign_both()
    nxt = services.open_review(here.account, held_on=today(), actor=here.manager)
    assert [one.title for one in review_now(nxt, timezone.now()).actions] == ["Left"]


# --- action items -------------------------------------------------------------------------------------------


def test_an_action_item_belongs_to_one_person_who_can_be_reminded(here):
    unproven = make.contact(here.account, "Never Confirmed")
    old = make.proven(make.contact(here.account, "Old"))
    Contact.objects.filter(pk=old.pk).update(confirmed_on=today() - timedelta(days=181))
    old.refresh_from_db()
    outsider = make.member(make.account(), "admin")
    for owner in (
        {},
        {"owner_user": here.admin, "owner_contact": here.contact},
        {"owner_contact": unproven},
        {"owner_contact": old},
        {"owner_user": outsider},
        {"owner_contact": make.contact(make.account(), confirmed_on=today())},
    ):
        with pytest.raises(Refused):
            services.add_action(here.account, {"title": "x", "due_on": today(), **owner}, actor=here.manager)
    made = services.add_action(
        here.account, {"title": "x", "due_on": today(), "owner_contact": here.contact}, actor=here.manager
    )
    assert made.review == here.review


def test_dropping_needs_a_reason_and_a_repeat_changes_nothing(here):
    action = make.action(here.account, here.admin)
    with pytest.raises(Refused, match="Say why"):
        services.close_action(action, state="dropped", actor=here.admin)
    services.close_action(action, state="done", actor=here.admin, outcome="Done.")
    at = services.close_action(action, state="done", actor=here.admin).closed_at
    assert ActionItem.objects.get().closed_at == at
    with pytest.raises(StaleState):
        services.change_action(action, {"title": "y"}, actor=here.admin)
    with pytest.raises(StaleState):
        services.close_action(action, state="open", actor=here.admin, seen_state="dropped")
    assert services.close_action(action, state="open", actor=here.admin).closed_at is None


def test_owners_are_reminded_once_a_stage_until_it_is_closed(here):
    now = timezone.now()
    mine = make.action(here.account, here.admin, due_in=5)
    theirs = make.action(here.account, title="By a contact", due_in=-1, owner_contact=here.contact)
    nobodys = make.action(here.account, title="Of nobody", due_in=0)
    make.action(here.account, here.admin, title="Far off", due_in=20)
    assert services.remind_owners(now) == 3
    assert services.remind_owners(now + timedelta(hours=1)) == 0
    told = Message.objects.filter(purpose="action_due")
    assert set(told.values_list("subject_ref", "user__name")) == {
        (f"action:{mine.ref}", "Ada Admin"),
        (f"action:{theirs.ref}", None),
        (f"action:{nobodys.ref}", "Jonas Berg"),
    }
    assert "Maja" not in str(told.get(user=None).context)
    services.close_action(mine, state="done", actor=here.admin)
    assert services.remind_owners(now + timedelta(days=6)) == 1
    assert services.remind_owners(now + timedelta(days=7)) == 1


def test_the_items_of_a_team_are_versions(here):
    made = services.set_team_items(here.account.team, [{"title": "One"}], actor=here.manager, seen_version=0)
    same = services.set_team_items(here.account.team, [{"title": "One"}], actor=here.manager, seen_version=1)
    assert made.pk == same.pk
    with pytest.raises(StaleState):
        services.set_team_items(here.account.team, [], actor=here.manager, seen_version=0)
    assert services.set_team_items(here.account.team, [], actor=here.manager).version == 2
