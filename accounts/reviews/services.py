"""Each change of a review, its items, its signatures and the action items, one function each, in one transaction.

    open_review(account, held_on=…, actor=user) -> Review
    answer_item(item, {"grade": "amber", "reason": "…"}, actor=user)
    sign_review(review, side=Side.CUSTOMER, actor=user, seen=digest) -> Review
    add_action(account, {…}, actor=user) -> ActionItem

Everything that a signature would cover goes by `_changed`: it takes back what was signed by one side only. The lock is the
account's row, then what belongs to it. All raise Refused, NotPermitted or StaleState with a sentence for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from accounts.members import lock_account
from accounts.models import Account, AccountStatus, Contact, Team, User
from accounts.reviews import selectors
from accounts.reviews.content import FORMAT, digest_of, to_plain
from accounts.reviews.grades import BY_HAND
from accounts.reviews.models import (
    ActionItem,
    ActionState,
    Review,
    ReviewItem,
    ReviewSchedule,
    ReviewSignature,
    ReviewSnapshot,
    ReviewStatus,
    ReviewTemplate,
)
from accounts.reviews.template import STANDARD_VERSION, checked_items, items_for
from accounts.texts import people_in
from portal.access import TEAM_ROLES, Permission, permissions_on, roles_on
from portal.approvals.models import Side
from portal.audit.services import record
from portal.audit.subjects import Sealer
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.services import emit
from portal.notify.registry import Urgency, audience
from portal.notify.services import tell, tell_all

LONGEST_NOTE = 4000
LONGEST_TITLE = 200
LONGEST_AHEAD = timedelta(days=730)
REMIND_AHEAD = timedelta(days=7)


def _active(account: Account) -> Account:
    locked = lock_account(account)
    if locked.status == AccountStatus.ARCHIVED:
        raise Refused(f"{locked.name} is archived: it can be read, not changed.", code="archived")
    return locked


def _locked(review: Review) -> Review:
    _active(review.account)
    return (
        Review.objects.select_for_update(of=("self",))
        .select_related("account", "owner", "participant")
        .get(pk=review.pk)
    )


def _check_open(review: Review) -> None:
    if review.status != ReviewStatus.OPEN:
        raise StaleState(
            f"This review is {ReviewStatus(review.status).label}: it can be read, not changed.",
            code="review_over",
        )


def _sealed(account: Account, text: str) -> str:
    """Return a text that people typed, with whom it names as tokens of their own keys."""
    return Sealer(people_in(account, text)).text(text)


def _note(text: Any, longest: int = LONGEST_NOTE) -> str:
    found = str(text or "").strip()
    if len(found) > longest:
        raise Refused(f"At most {longest} characters. Nothing was changed.", code="too_long")
    return found


# --- reviews -----------------------------------------------------------------------------------------------


@transaction.atomic
def open_review(
    account: Account,
    *,
    held_on: date,
    actor: User,
    owner: User | None = None,
    participant: Contact | None = None,
) -> Review:
    """Begin a review with the items of today's template; action items that are open are carried into it.

    Raises Refused while another one is open, for an owner who is no launch manager of the account, or for a date that
    is out of reach.
    """
    locked = _active(account)
    _check_date(held_on)
    own = newest_template(locked.team)
    review = Review(
        account=locked,
        held_on=held_on,
        owner=_owner(locked, owner or actor),
        participant=_participant(locked, participant),
        template={"standard": STANDARD_VERSION, "team": own.version if own is not None else 0},
        created_by=actor,
    )
    try:
        with transaction.atomic():
            review.save()
    except IntegrityError:
        raise StaleState(
            "There is an open review of this account. Finish it, or call it off, before the next one.",
            code="review_open",
        ) from None
    ReviewItem.objects.bulk_create(
        ReviewItem(review=review, position=place, key=item.key, title=item.title, question=item.question)
        for place, item in enumerate(items_for(own.items if own is not None else []), start=1)
    )
    record(
        "review.opened",
        actor=actor,
        account=locked,
        subject=review,
        after={"held_on": held_on, "template": review.template},
        people=[review.owner, review.participant],
    )
    emit("review.opened", account=locked, subject=review, data={"held_on": str(held_on)}, actor=actor)
    return review


def _check_date(day: date) -> None:
    if abs(day - timezone.now().date()) > LONGEST_AHEAD:
        raise Refused("A date within two years of today.", code="bad_date")


def _owner(account: Account, user: User) -> User:
    if not roles_on(user, account) & set(TEAM_ROLES):
        raise Refused(f"A review is held by a launch manager of {account.name}.", code="no_launch_manager")
    return user


def _participant(account: Account, contact: Contact | None) -> Contact | None:
    if contact is not None and contact.account_id != account.pk:
        raise Refused("There is no such contact in this account.", code="no_contact")
    return contact


@transaction.atomic
def change_review(review: Review, changes: Mapping[str, Any], *, actor: User) -> Review:
    """Change date, owner or participant of an open review. What one side signed already does not stand any more."""
    locked = _locked(review)
    _check_open(locked)
    unknown = set(changes) - {"held_on", "owner", "participant"}
    if unknown:
        raise Refused(f"These cannot be changed here: {', '.join(sorted(unknown))}.", code="unknown_field")
    before = {"held_on": locked.held_on, "owner": locked.owner, "participant": locked.participant}
    if "held_on" in changes:
        _check_date(changes["held_on"])
        locked.held_on = changes["held_on"]
    if "owner" in changes:
        locked.owner = _owner(locked.account, changes["owner"])
    if "participant" in changes:
        locked.participant = _participant(locked.account, changes["participant"])
    after = {"held_on": locked.held_on, "owner": locked.owner, "participant": locked.participant}
    if before == after:
        return locked
    locked.save(update_fields=["held_on", "owner", "participant", "updated_at"])
    record(
        "review.changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={name: str(value or "") for name, value in before.items()},
        after={name: str(value or "") for name, value in after.items()},
        people=[*before.values(), *after.values()],
    )
    _changed(locked, "The review was changed.")
    emit("review.changed", account=locked.account, subject=locked, actor=actor)
    return locked


ANSWER_FIELDS = ("grade", "reason", "notes")


@transaction.atomic
def answer_item(item: ReviewItem, changes: Mapping[str, Any], *, actor: User) -> ReviewItem:
    """Answer an item by hand, or write notes on it. Amber and red need a reason; what live data answers takes notes only.

    Raises Refused with the sentence what is missing, StaleState once the review is over.
    """
    review = _locked(item.review)
    _check_open(review)
    stored = (
        ReviewItem.objects.sealed().select_for_update(of=("self",)).select_related("review").get(pk=item.pk)
    )
    unknown = set(changes) - set(ANSWER_FIELDS)
    if unknown:
        raise Refused(f"These cannot be changed here: {', '.join(sorted(unknown))}.", code="unknown_field")
    grade = str(changes.get("grade", stored.grade) or "")
    if grade not in ("", *BY_HAND):
        raise Refused(
            "An answer is green, amber or red. Who does not know answers nothing.", code="bad_grade"
        )
    reason = _sealed(review.account, _note(changes["reason"], 1000)) if "reason" in changes else stored.reason
    notes = _sealed(review.account, _note(changes["notes"])) if "notes" in changes else stored.notes
    if grade != stored.grade and grade and selectors.measures(stored.key):
        now = timezone.now()
        live = {one.key: one for one in selectors.review_now(review, now).items}[stored.key]
        if live.by == "live":
            raise Refused(
                f"“{stored.title}” is answered from live data: {live.says} Write a note, or mend what it says.",
                code="answered_live",
            )
    if grade in ("amber", "red") and not reason:
        raise Refused(f"Say why “{stored.title}” is {grade}.", code="reason_missing")
    if (grade, reason, notes) == (stored.grade, stored.reason, stored.notes):
        return ReviewItem.objects.select_related("review__account").get(pk=stored.pk)
    now = timezone.now()
    is_new = grade != stored.grade or reason != stored.reason
    # By an update: what was read is what is stored, tokens and all.
    ReviewItem.objects.filter(pk=stored.pk).update(
        grade=grade,
        reason=reason,
        notes=notes,
        updated_at=now,
        **(
            {"answered_by": actor if grade else None, "answered_at": now if grade else None} if is_new else {}
        ),
    )
    record(
        "review.answered",
        actor=actor,
        account=review.account,
        subject=review,
        subject_label=f"{review}: {stored.title}",
        before={"grade": stored.grade, "answer": stored.reason, "notes": stored.notes},
        after={"grade": grade, "answer": reason, "notes": notes},
    )
    _changed(review, f"The answer to “{stored.title}” was changed.")
    emit(
        "review.answered",
        account=review.account,
        subject=review,
        data={"item": stored.key, "grade": grade},
        actor=actor,
    )
    return ReviewItem.objects.select_related("review__account").get(pk=stored.pk)


def _changed(review: Review, why: str) -> None:
    """Take back what one side signed: the other one would sign something else. Its signer is told."""
    held = list(ReviewSignature.objects.filter(review=review, voided_at__isnull=True).select_related("by"))
    now = timezone.now()
    Review.objects.filter(pk=review.pk).update(frozen=None, digest="", good_until=None, updated_at=now)
    review.frozen, review.digest, review.good_until = None, "", None
    if not held:
        return
    ReviewSignature.objects.filter(pk__in=[one.pk for one in held]).update(
        voided_at=now, voided_because=why[:300]
    )
    for one in held:
        record(
            "review.signature_void",
            account=review.account,
            subject=review,
            after={"side": one.side, "digest": one.digest},
            reason=why,
            people=[one.by],
        )
        tell(
            "review_void",
            to=one.by,
            subject_ref=f"review:{review.ref}",
            period=one.digest[:16],
            account=review.account,
            context={"why": why, "held_on": str(review.held_on), "url": review_path(review)},
            reason="a review that was signed was changed",
        )
    emit("review.signature_void", account=review.account, subject=review)


def _changed_open_review(account: Account, why: str) -> None:
    review = Review.objects.filter(account=account, status=ReviewStatus.OPEN).first()
    if review is not None and review.frozen is not None:
        _changed(review, why)


def review_path(review: Review) -> str:
    """Return the address of a review's page."""
    return reverse("accounts:review-detail", args=[review.ref])


def seen_now(review: Review, now: datetime) -> str:
    """Return what a signer is shown as a digest: of what was signed while that holds, else of what stands there now."""
    current = selectors.review_now(review, now, sealed=True).fingerprint
    if review.frozen is not None and review.frozen.get("fingerprint") == current:
        return review.digest
    return current


@transaction.atomic
def sign_review(review: Review, *, side: Side, actor: User, seen: str) -> Review:
    """Sign a review for one side. `seen` is the digest that the page or the API showed.

    The first signature freezes what it says; the second makes it a snapshot for good, and sets the date of the next one.
    Where live data turned meanwhile, or its signer lost the right, the earlier signature is void, and this one is the first
    of what stands there now.
    Raises StaleState for another digest than the present one, NotPermitted for who may not sign on this side,
    Refused while an item has no answer, and before the day on which it is held where the account is.
    """
    locked = _locked(review)
    _check_open(locked)
    role = _check_signer(locked.account, side, actor)
    now = timezone.now()
    current = selectors.review_now(locked, now, sealed=True)
    holds = locked.frozen is not None and locked.frozen.get("fingerprint") == current.fingerprint
    expected = locked.digest if holds else current.fingerprint
    if seen != expected:
        raise StaleState(
            "This is not the review that you were shown: something in it has changed. Nothing was signed. Look "
            "again, then sign.",
            code="digest_mismatch",
        )
    held = {
        one.side: one
        for one in ReviewSignature.objects.filter(review=locked, voided_at__isnull=True).select_related("by")
    }
    why = "What the review says has turned since."
    if holds and any(not _may_sign_still(locked.account, one) for one in held.values()):
        # What rests on somebody who has lost the right rests on nobody, as with approvals.
        holds, why = False, "Somebody who signed it may not sign it any more."
    if holds and side in held:
        return locked
    if any(one.by_id == actor.pk for one in held.values()) and holds:
        raise NotPermitted("Nobody signs for both sides.", code="both_sides")
    if not_yet := _not_yet(locked, current, now):
        is_early = locked.held_on > selectors.day_there(locked.account, now)
        raise Refused(f"{not_yet} Nothing was signed.", code="not_held_yet" if is_early else "unanswered")
    if not holds:
        _changed(locked, why)
        _freeze(locked, current, now)
        held = {}
    signature = ReviewSignature.objects.create(
        review=locked,
        side=side,
        by=actor,
        by_name=Sealer([actor]).name(actor),
        role=role,
        digest=locked.digest,
        at=now,
    )
    record(
        "review.signed",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"side": side.value, "digest": locked.digest, "role": role},
    )
    emit("review.signed", account=locked.account, subject=locked, data={"side": side.value}, actor=actor)
    if len(held) + 1 == len(Side.values):
        _complete(locked, signature, actor, now)
    else:
        _ask_other_side(locked, side)
    return locked


def why_not_sign(
    review: Review, current: selectors.ReviewNow, *, side: Side, actor: User, now: datetime
) -> str:
    """Return why nobody, or not this person, signs this side of an open review now, or "": what `sign_review` would refuse."""
    held = {
        one.side: one.by_id for one in ReviewSignature.objects.filter(review=review, voided_at__isnull=True)
    }
    holds = review.frozen is not None and review.frozen.get("fingerprint") == current.fingerprint
    if holds and side in held:
        return "This side has signed. The other one is asked."
    if holds and actor.pk in held.values():
        return "Nobody signs for both sides."
    return _not_yet(review, current, now)


def _not_yet(review: Review, current: selectors.ReviewNow, now: datetime) -> str:
    if review.held_on > selectors.day_there(review.account, now):
        return f"This review is held on {review.held_on}. Sign on that day, or change the date."
    if open_items := [one.title for one in current.items if not one.is_answered]:
        named = ", ".join(open_items[:2])
        more = f" and {len(open_items) - 2} more" if len(open_items) > 2 else ""
        return f"Not answered yet: {named}{more}. Who does not know says so: amber, with the reason."
    return ""


def _check_signer(account: Account, side: Side, actor: User) -> str:
    """Return the role in which somebody signs; refuses who may not, or stands on the other side."""
    may, roles = permissions_on(actor, account), roles_on(actor, account)
    is_provider = bool(roles & set(TEAM_ROLES))
    if side == Side.CUSTOMER:
        if Permission.SIGN_OFF not in may or is_provider:
            raise NotPermitted(
                "An approver or admin of the customer signs here, who is no launch manager.",
                code="not_permitted",
            )
    elif Permission.REVIEW_SIGN not in may:
        raise NotPermitted("A launch manager of the account signs here.", code="not_permitted")
    order = ["lead", "launch_manager", "admin", "approver"]
    return next((role for role in order if role in roles), "")


def _may_sign_still(account: Account, signature: ReviewSignature) -> bool:
    try:
        _check_signer(account, Side(signature.side), signature.by)
    except NotPermitted:
        return False
    return True


def _freeze(review: Review, current: selectors.ReviewNow, now: datetime) -> None:
    """Keep what is signed as one value, its people as tokens."""
    named = [review.owner, review.participant]
    named += [one.owner_user or one.owner_contact for one in current.actions]
    sealer = Sealer(one for one in named if one is not None)
    data = {
        "format": FORMAT,
        "account": {"ref": str(review.account.ref), "name": review.account.name},
        "review": str(review.ref),
        "held_on": str(review.held_on),
        "owner": sealer.name(review.owner),
        "participant": sealer.name(review.participant) if review.participant else "",
        "template": review.template,
        "frozen_at": now.isoformat(),
        # From the last signature on; which day that makes is not known before (`Review.good_until`).
        "holds_days": selectors.schedule_of(review.account).interval_days,
        "items": [to_plain(one) for one in current.items],
        "actions": [
            {
                **selectors.plain_action(one),
                "owner": sealer.name(owner) if (owner := one.owner_user or one.owner_contact) else "",
            }
            for one in current.actions
        ],
        "fingerprint": current.fingerprint,
    }
    review.frozen, review.digest = data, digest_of(data)
    review.save(update_fields=["frozen", "digest", "updated_at"])


def _complete(review: Review, last: ReviewSignature, actor: User, now: datetime) -> None:
    """Both have signed: keep it for good, and set the date of the next one."""
    review.status, review.ended_at = ReviewStatus.SIGNED, now
    # From the day on which the second one signs: neither a date set ahead nor one long past moves the next review.
    review.good_until = selectors.good_until(review.account, now)
    review.save(update_fields=["status", "ended_at", "good_until", "updated_at"])
    newest = ReviewSnapshot.objects.filter(account=review.account).aggregate(newest=Max("no"))["newest"]
    ReviewSnapshot.objects.create(
        account=review.account,
        review=review,
        no=(newest or 0) + 1,
        held_on=review.held_on,
        digest=review.digest,
        data=review.frozen,
        signed_at=last.at,
    )
    schedule, _ = ReviewSchedule.objects.get_or_create(account=review.account)
    schedule.next_on = review.good_until
    schedule.save(update_fields=["next_on", "updated_at"])
    record(
        "review.completed",
        actor=actor,
        account=review.account,
        subject=review,
        after={"digest": review.digest, "next_on": review.good_until},
    )
    emit(
        "review.completed",
        account=review.account,
        subject=review,
        data={"next_on": str(review.good_until)},
        actor=actor,
    )


def _ask_other_side(review: Review, signed: Side) -> None:
    to = "approvers" if signed == Side.PROVIDER else "launch_managers"
    tell_all(
        "review_asked",
        audience(to, review.account),
        subject_ref=f"review:{review.ref}",
        period=review.digest[:16],
        account=review.account,
        context={"held_on": str(review.held_on), "url": review_path(review)},
        reason="the other side has signed the review",
    )


@transaction.atomic
def call_off_review(review: Review, *, reason: str, actor: User) -> Review:
    """Call an open review off. A repeat changes nothing. Raises Refused without a reason."""
    locked = _locked(review)
    if locked.status == ReviewStatus.CALLED_OFF:
        return locked
    _check_open(locked)
    if not reason.strip():
        raise Refused("Say why the review is called off: it stays on the record.", code="reason_missing")
    _changed(locked, "The review was called off.")
    locked.status, locked.ended_at = ReviewStatus.CALLED_OFF, timezone.now()
    locked.save(update_fields=["status", "ended_at", "updated_at"])
    record("review.called_off", actor=actor, account=locked.account, subject=locked, reason=reason)
    emit("review.called_off", account=locked.account, subject=locked, actor=actor)
    return locked


@transaction.atomic
def set_schedule(
    account: Account, *, actor: User, interval_days: int | None = None, next_on: date | None = None
) -> ReviewSchedule:
    """Set how often an account is reviewed, and when next; what is not given stays."""
    locked = _active(account)
    schedule, _ = ReviewSchedule.objects.get_or_create(account=locked)
    before = {"interval_days": schedule.interval_days, "next_on": schedule.next_on}
    if interval_days is not None:
        if not 7 <= interval_days <= 730:
            raise Refused("A review is due every 7 to 730 days.", code="bad_interval")
        schedule.interval_days = interval_days
    if next_on is not None:
        _check_date(next_on)
        schedule.next_on = next_on
    after = {"interval_days": schedule.interval_days, "next_on": schedule.next_on}
    if before != after:
        schedule.save()
        record("review.scheduled", actor=actor, account=locked, subject=locked, before=before, after=after)
        emit("review.scheduled", account=locked, subject=locked, actor=actor)
        _changed_open_review(locked, "How often the account is reviewed was changed.")
    return schedule


def newest_template(team: Team) -> ReviewTemplate | None:
    """Return the items that a team adds, in their newest version; None if it adds none."""
    return ReviewTemplate.objects.filter(team=team).order_by("-version").first()


@transaction.atomic
def set_team_items(
    team: Team, items: Iterable[Mapping[str, Any]], *, actor: User, seen_version: int | None = None
) -> ReviewTemplate:
    """Make a new version of the items that a team adds to its reviews; reviews that began keep theirs."""
    Team.objects.select_for_update().get(pk=team.pk)
    newest = newest_template(team)
    version = newest.version if newest is not None else 0
    if seen_version is not None and seen_version != version:
        raise StaleState(
            "Somebody else changed the items meanwhile. Look again, then change them.", code="stale_items"
        )
    wanted = checked_items(items)
    if newest is not None and newest.items == wanted:
        return newest
    made = ReviewTemplate.objects.create(team=team, version=version + 1, items=wanted, made_by=actor)
    record(
        "review.items_set",
        actor=actor,
        subject=team,
        before={"items": [one["title"] for one in newest.items] if newest is not None else []},
        after={"items": [one["title"] for one in wanted], "version": made.version},
    )
    return made


# --- action items ------------------------------------------------------------------------------------------

ACTION_FIELDS = ("title", "owner_user", "owner_contact", "due_on")


def _check_owner(account: Account, user: User | None, contact: Contact | None) -> None:
    if (user is None) == (contact is None):
        raise Refused("An action item belongs to one person: a user, or a contact.", code="one_owner")
    if user is not None and not roles_on(user, account):
        raise Refused("There is no such user with access to this account.", code="no_access")
    if contact is not None:
        if contact.account_id != account.pk:
            raise Refused("There is no such contact in this account.", code="no_contact")
        if not selectors.is_proven(contact, timezone.now().date()):
            raise Refused(
                f"{contact.name} is not proven and confirmed within 180 days, so nobody knows whether a reminder "
                "arrives. Have the contact proven and confirmed first.",
                code="contact_unproven",
            )


@transaction.atomic
def add_action(
    account: Account, fields: Mapping[str, Any], *, actor: User, review: Review | None = None
) -> ActionItem:
    """Give somebody something to do by a date. Raises Refused for an owner who is not proven or has no access."""
    locked = _active(account)
    title = _note(" ".join(str(fields.get("title", "")).split()), LONGEST_TITLE)
    if not title:
        raise Refused("Say what is to be done.", code="title_missing")
    due_on = fields["due_on"]
    _check_date(due_on)
    user, contact = fields.get("owner_user"), fields.get("owner_contact")
    _check_owner(locked, user, contact)
    review = review or Review.objects.filter(account=locked, status=ReviewStatus.OPEN).first()
    action = ActionItem.objects.create(
        account=locked,
        review=review,
        title=_sealed(locked, title),
        owner_user=user,
        owner_contact=contact,
        due_on=due_on,
        created_by=actor,
    )
    record(
        "action.added",
        actor=actor,
        account=locked,
        subject=action,
        subject_label=action.title,
        after={"title": action.title, "due_on": due_on, "owner": str(user or contact)},
        people=[user, contact],
    )
    _changed_open_review(locked, "An action item was added.")
    emit("action.added", account=locked, subject=action, data={"due_on": str(due_on)}, actor=actor)
    return ActionItem.objects.select_related("account", "owner_user", "owner_contact").get(pk=action.pk)


def _locked_action(action: ActionItem) -> ActionItem:
    _active(action.account)
    return (
        ActionItem.objects.sealed()
        .select_for_update(of=("self",))
        .select_related("account", "owner_user", "owner_contact")
        .get(pk=action.pk)
    )


@transaction.atomic
def change_action(action: ActionItem, changes: Mapping[str, Any], *, actor: User) -> ActionItem:
    """Change what is to be done, by whom or by when. Raises Refused once it is closed."""
    stored = _locked_action(action)
    if stored.state != ActionState.OPEN:
        raise StaleState("This action item is closed. Open it again first.", code="action_closed")
    unknown = set(changes) - set(ACTION_FIELDS)
    if unknown:
        raise Refused(f"These cannot be changed here: {', '.join(sorted(unknown))}.", code="unknown_field")
    values: dict[str, Any] = {}
    if "title" in changes:
        title = _note(" ".join(str(changes["title"]).split()), LONGEST_TITLE)
        if not title:
            raise Refused("Say what is to be done.", code="title_missing")
        values["title"] = _sealed(stored.account, title)
    if "due_on" in changes:
        _check_date(changes["due_on"])
        values["due_on"] = changes["due_on"]
    if "owner_user" in changes or "owner_contact" in changes:
        user, contact = changes.get("owner_user"), changes.get("owner_contact")
        _check_owner(stored.account, user, contact)
        values |= {"owner_user": user, "owner_contact": contact}
    before = _recorded(stored)
    old_owners = [stored.owner_user, stored.owner_contact]
    for name, value in values.items():
        setattr(stored, name, value)
    after = _recorded(stored)
    if before != after:
        ActionItem.objects.filter(pk=stored.pk).update(**values, updated_at=timezone.now(), reminded_at=None)
        record(
            "action.changed",
            actor=actor,
            account=stored.account,
            subject=stored,
            subject_label=stored.title,
            before=before,
            after=after,
            people=[*old_owners, stored.owner_user, stored.owner_contact],
        )
        _changed_open_review(stored.account, "An action item was changed.")
        emit("action.changed", account=stored.account, subject=stored, actor=actor)
    return ActionItem.objects.select_related("account", "owner_user", "owner_contact").get(pk=stored.pk)


def _recorded(action: ActionItem) -> dict[str, Any]:
    return {
        "title": action.title,
        "due_on": str(action.due_on),
        "owner": str(action.owner_user or action.owner_contact or ""),
    }


@transaction.atomic
def close_action(
    action: ActionItem, *, state: str, actor: User, outcome: str = "", seen_state: str = ""
) -> ActionItem:
    """Close an action item as done or dropped (which needs a reason), or open it again. A repeat changes nothing."""
    stored = _locked_action(action)
    if state not in ActionState.values:
        raise Refused("An action item is open, done or dropped.", code="bad_state")
    if seen_state and seen_state != stored.state:
        raise StaleState(f"This action item is {stored.state} by now.", code="state_changed")
    if state == stored.state:
        return ActionItem.objects.select_related("account", "owner_user", "owner_contact").get(pk=stored.pk)
    said = _sealed(stored.account, _note(outcome, 1000))
    if state == ActionState.DROPPED and not said:
        raise Refused("Say why it is dropped: it stays on the record.", code="reason_missing")
    now = timezone.now()
    is_closed = state != ActionState.OPEN
    ActionItem.objects.filter(pk=stored.pk).update(
        state=state,
        outcome=said,
        closed_at=now if is_closed else None,
        closed_by=actor if is_closed else None,
        updated_at=now,
        reminded_at=None,
    )
    record(
        f"action.{'opened' if not is_closed else state}",
        actor=actor,
        account=stored.account,
        subject=stored,
        subject_label=stored.title,
        before={"state": stored.state},
        after={"state": state},
        reason=said,
    )
    _changed_open_review(stored.account, "An action item was closed or opened again.")
    emit(
        "action.closed" if is_closed else "action.opened", account=stored.account, subject=stored, actor=actor
    )
    return ActionItem.objects.select_related("account", "owner_user", "owner_contact").get(pk=stored.pk)


def remind_owners(now: datetime, *, batch: int = 200) -> int:
    """Tell the owners of open action items: a week ahead, on the day, then once a week until they are closed.

    Each reminder is one row that is told once, whoever calls this how often. Returns how many were reminded.
    """
    today = now.date()
    rows = (
        ActionItem.objects.filter(state=ActionState.OPEN, due_on__lte=today + REMIND_AHEAD)
        .filter(account__status=AccountStatus.ACTIVE)
        .select_related("account", "owner_user", "owner_contact")
        .order_by("due_on", "pk")
    )
    told = 0
    # Each in a transaction of its own: one mail address that cannot be written to must not keep the others waiting.
    for action in rows.iterator(chunk_size=batch):
        told += _remind(action.pk, today, now)
    return told


@transaction.atomic
def _remind(pk: int, today: date, now: datetime) -> int:
    action = (
        ActionItem.objects.sealed()
        .select_for_update(of=("self",), skip_locked=True)
        .select_related("account", "owner_user", "owner_contact")
        .filter(pk=pk, state=ActionState.OPEN)
        .first()
    )
    if action is None:
        return 0
    stage = reminder_stage(action.due_on, today)
    if stage is None or (
        action.reminded_at and reminder_stage(action.due_on, action.reminded_at.date()) == stage
    ):
        return 0
    days = (action.due_on - today).days
    context: dict[str, Any] = {
        "what": action.title,
        "due_on": str(action.due_on),
        "days": days,
        "days_over": -days,
    }
    common: dict[str, Any] = {
        "subject_ref": f"action:{action.ref}",
        "period": f"{action.due_on}.{stage}",
        "account": action.account,
        "urgency": Urgency.TODAY if days < 0 else Urgency.NORMAL,
        "reason": "an action item of a steady-state review is due",
    }
    user, contact = action.owner_user, action.owner_contact
    if user is not None and user.is_active:
        context["url"] = reverse("accounts:action-detail", args=[action.ref])
        tell("action_due", to=user, context=context, **common)
    elif contact is not None and contact.takes_mail:
        context |= {"name": contact.name, "time_zone": contact.time_zone, "is_customer": True}
        tell("action_due", address=contact.email, person=contact, context=context, **common)
    else:
        # Nobody to write to: the launch managers know whom to call.
        tell_all("action_due", audience("launch_managers", action.account), context=context, **common)
    ActionItem.objects.filter(pk=action.pk).update(reminded_at=now)
    return 1


def reminder_stage(due_on: date, today: date) -> str | None:
    """Return which reminder is in force on a day: ahead, due, or the n-th week over. None before a week ahead. Pure."""
    days = (due_on - today).days
    if days > REMIND_AHEAD.days:
        return None
    if days > 0:
        return "ahead"
    return "due" if days > -7 else f"over{-days // 7}"
