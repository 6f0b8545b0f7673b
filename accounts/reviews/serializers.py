"""Shape of the API's input and output for scorecards, reviews, action items and the Monday list."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.reviews.grades import BY_HAND, GRADES
from accounts.reviews.models import ActionState, ReviewStatus
from accounts.reviews.services import LONGEST_TITLE
from portal.approvals.models import Side

HAND_GRADES = ("", *BY_HAND)


class NamedOut(serializers.Serializer[Any]):
    """Somebody, or an account, by reference and name."""

    ref = serializers.UUIDField()
    name = serializers.CharField()


class PartOut(serializers.Serializer[Any]):
    """One figure that a finding rests on."""

    name = serializers.CharField()
    value = serializers.JSONField()


class FindingOut(serializers.Serializer[Any]):
    """One fact of an account: how it stands, by which rule, from when the evidence is and until when it holds."""

    key = serializers.CharField()
    title = serializers.CharField()
    grade = serializers.ChoiceField(choices=GRADES)
    says = serializers.CharField()
    rule = serializers.CharField()
    observed_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    by_hand = serializers.BooleanField()
    parts = PartOut(many=True)
    action = serializers.CharField(
        help_text="The one thing to do about it; empty where nothing is to be done."
    )
    path = serializers.CharField(help_text="The page on which it is done; empty where nothing is to be done.")


class ScorecardOut(serializers.Serializer[Any]):
    """How an account stands, line by line, the worst first. `counts` says how many stand how."""

    account = serializers.UUIDField()
    looked_at = serializers.DateTimeField()
    counts = serializers.DictField(child=serializers.IntegerField())
    lines = FindingOut(many=True)


class MondayOut(serializers.Serializer[Any]):
    """One line of the Monday list as last looked at."""

    account = NamedOut()
    key = serializers.CharField()
    grade = serializers.ChoiceField(choices=GRADES)
    says = serializers.CharField()
    rule = serializers.CharField()
    since = serializers.DateTimeField()
    observed_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    action = serializers.SerializerMethodField()
    path = serializers.SerializerMethodField()

    def get_action(self, row: Any) -> str:
        """Return the one thing to do about it."""
        from accounts.facts import fact_of

        fact = fact_of(row.key)
        return fact.act.label if fact is not None else ""

    def get_path(self, row: Any) -> str:
        """Return the page on which it is done."""
        from accounts.facts import fact_of

        fact = fact_of(row.key)
        return fact.act.url_of(row.account) if fact is not None else ""


class ItemOut(serializers.Serializer[Any]):
    """One item of a review: `by` is live, hand or nobody. `ref` is null once it is signed."""

    ref = serializers.UUIDField(allow_null=True)
    key = serializers.CharField()
    title = serializers.CharField()
    question = serializers.CharField()
    grade = serializers.ChoiceField(choices=GRADES)
    by = serializers.ChoiceField(choices=["live", "hand", "nobody"])
    says = serializers.CharField()
    rule = serializers.CharField()
    reason = serializers.CharField()
    notes = serializers.CharField()
    observed_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    is_over = serializers.BooleanField(help_text="Whether its evidence has expired by now.")
    parts = PartOut(many=True)


class SignatureOut(serializers.Serializer[Any]):
    """Who signed for which side, and whether that still counts."""

    side = serializers.ChoiceField(choices=Side.choices)
    by_name = serializers.CharField()
    role = serializers.CharField()
    digest = serializers.CharField()
    at = serializers.DateTimeField()
    voided_at = serializers.DateTimeField(allow_null=True)
    voided_because = serializers.CharField()


class ReviewOut(serializers.Serializer[Any]):
    """One review. A list gives its head; a single one has items, signatures and the digest to sign."""

    ref = serializers.UUIDField()
    account = serializers.SerializerMethodField()
    status = serializers.ChoiceField(choices=ReviewStatus.choices)
    held_on = serializers.DateField()
    owner = NamedOut()
    participant = NamedOut(allow_null=True)
    template = serializers.DictField(child=serializers.IntegerField())
    digest = serializers.CharField(help_text="SHA-256 of what was signed; empty while nobody has signed.")
    good_until = serializers.DateField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_account(self, review: Any) -> str:
        """Return the account's reference."""
        return str(review.account.ref)


class ReviewWholeOut(ReviewOut):
    """One review with everything in it."""

    seen = serializers.CharField(help_text="Send this to sign: it stands for exactly what this answer says.")
    items = ItemOut(many=True)
    signatures = SignatureOut(many=True)


class ReviewIn(serializers.Serializer[Any]):
    """A new review. `owner` is a launch manager's reference (yours if not given), `participant` a contact's."""

    held_on = serializers.DateField()
    owner = serializers.UUIDField(required=False)
    participant = serializers.UUIDField(required=False, allow_null=True)


class AnswerIn(serializers.Serializer[Any]):
    """An answer by hand. Amber and red need a reason; an empty grade takes the answer away."""

    grade = serializers.ChoiceField(choices=HAND_GRADES, required=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    notes = serializers.CharField(required=False, allow_blank=True, max_length=4000)


class SignIn(serializers.Serializer[Any]):
    """What is signed: `seen` of the answer that you read."""

    seen = serializers.CharField(max_length=64)


class CallOffIn(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=1000)


class ScheduleIn(serializers.Serializer[Any]):
    """How often an account is reviewed, and when next."""

    interval_days = serializers.IntegerField(min_value=7, max_value=730, required=False)
    next_on = serializers.DateField(required=False)


class ScheduleOut(serializers.Serializer[Any]):
    """How often an account is reviewed, and when next; null until a review is signed or somebody sets it."""

    interval_days = serializers.IntegerField()
    next_on = serializers.DateField(allow_null=True)


class PairOut(serializers.Serializer[Any]):
    """One item in both reviews. `change` is same, better, worse, new or left out."""

    key = serializers.CharField()
    title = serializers.CharField()
    change = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ComparisonOut(serializers.Serializer[Any]):
    """Two signed reviews side by side, the older one first."""

    older = serializers.UUIDField()
    newer = serializers.UUIDField()
    better = serializers.IntegerField()
    worse = serializers.IntegerField()
    items = PairOut(many=True)
    actions_new = serializers.ListField(child=serializers.JSONField())
    actions_gone = serializers.ListField(child=serializers.JSONField())
    actions_carried = serializers.ListField(child=serializers.JSONField())


class OriginOut(serializers.Serializer[Any]):
    """Out of what an action item came, and the page of it."""

    says = serializers.CharField()
    path = serializers.CharField()


class ActionOut(serializers.Serializer[Any]):
    """Something that somebody does by a date. Both owners are null where that contact is gone; `origin` where it came of nothing."""

    ref = serializers.UUIDField()
    account = serializers.SerializerMethodField()
    title = serializers.CharField()
    owner_user = NamedOut(allow_null=True)
    owner_contact = NamedOut(allow_null=True)
    due_on = serializers.DateField()
    state = serializers.ChoiceField(choices=ActionState.values)
    outcome = serializers.CharField()
    reminded_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    origin = OriginOut(allow_null=True, default=None)

    def get_account(self, action: Any) -> str:
        """Return the account's reference."""
        return str(action.account.ref)


class ActionIn(serializers.Serializer[Any]):
    """What is to be done, by one of `owner_user` and `owner_contact` (references), by when."""

    title = serializers.CharField(max_length=LONGEST_TITLE)
    owner_user = serializers.UUIDField(required=False, allow_null=True)
    owner_contact = serializers.UUIDField(required=False, allow_null=True)
    due_on = serializers.DateField()


class CloseIn(serializers.Serializer[Any]):
    """How an action item ended, or `open` to open it again. `seen_state` is the state that you read."""

    state = serializers.ChoiceField(choices=ActionState.values)
    seen_state = serializers.ChoiceField(choices=ActionState.values)
    outcome = serializers.CharField(required=False, allow_blank=True, max_length=1000)


class OwnItemIn(serializers.Serializer[Any]):
    """One item that a team adds. `key` is made from the title if not given."""

    key = serializers.CharField(max_length=40, required=False, allow_blank=True)
    title = serializers.CharField(max_length=80)
    question = serializers.CharField(max_length=300, required=False, allow_blank=True)


class TemplateOut(serializers.Serializer[Any]):
    """The items of a team's reviews: the standard ones and its own. `version` rises with each change."""

    version = serializers.IntegerField()
    standard = OwnItemIn(many=True)
    items = OwnItemIn(many=True)


class TemplateIn(serializers.Serializer[Any]):
    """The team's own items, all of them, and the version that you read."""

    version = serializers.IntegerField(min_value=0)
    items = OwnItemIn(many=True)


class QuarterFigureOut(serializers.Serializer[Any]):
    """One number; null is unknown, and `note` says why."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field of ours, not the label of one
    value = serializers.FloatField(allow_null=True)
    unit = serializers.CharField()
    note = serializers.CharField()


class QuarterPartOut(serializers.Serializer[Any]):
    """What one part of the portal knows of a quarter."""

    key = serializers.CharField()
    title = serializers.CharField()
    figures = QuarterFigureOut(many=True)
    rows_title = serializers.CharField()
    rows = serializers.DictField(child=serializers.IntegerField())


class QuarterOut(serializers.Serializer[Any]):
    """What a team did in a quarter."""

    name = serializers.CharField()
    since = serializers.DateField()
    until = serializers.DateField()
    accounts = serializers.IntegerField()
    accounts_without_review = serializers.IntegerField()
    parts = QuarterPartOut(many=True)
