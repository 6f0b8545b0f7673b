"""Reaching people over REST: start, follow, log how a call went, stop."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, ContactRole
from accounts.reach import selectors, services
from accounts.reach.escalation import BY_HAND, LONGEST_WAIT_S, MOST_TRIES, Outcome, Pace
from accounts.reach.models import (
    GatewayState,
    Reach,
    ReachKind,
    ReachResult,
    ReachState,
    ReachTry,
    ResultHow,
)
from accounts.reach.services import LONGEST_MESSAGE
from portal.access import Permission
from portal.api import PortalAPIView, documented

AT = "2026-11-23T12:10:00Z"
START: dict[str, Any] = {
    "kind": "test",
    "role": "emergency",
    "reason": "Before the campaign on Friday",
    "message": "This is a test. Please press the button.",
    "wait_s": 300,
    "tries": 2,
}
REACH: dict[str, Any] = {
    "ref": "6f4f8a3e-54ab-4f0e-a7d6-0a3a3fa0c3d1",
    "account": "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11",
    **START,
    "state": "answered",
    "started_at": AT,
    "ended_at": "2026-11-23T12:17:12Z",
    "by_name": "Jonas Berg",
    "updated_at": "2026-11-23T12:17:12Z",
}
PERSON: dict[str, Any] = {
    "place": 2,
    "contact": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712",
    "name": "Astrid Lund",
    "after_s": 132.0,
    "tries": [
        {
            "ref": "0f2d1f6c-9f32-43a5-8a07-1d7a7f1f7a55",
            "number": 1,
            "asked_at": "2026-11-23T12:15:00Z",
            "outcome": "acknowledged",
            "ended_at": "2026-11-23T12:17:12Z",
            "by_name": "",
            "doubtful_at": None,
            "is_mailed": True,
            "gateway": "none",
            "results": [
                {
                    "at": "2026-11-23T12:16:00Z",
                    "outcome": "voicemail",
                    "how": "person",
                    "by_name": "Jonas Berg",
                },
                {"at": "2026-11-23T12:17:12Z", "outcome": "acknowledged", "how": "link", "by_name": ""},
            ],
        }
    ],
    "not_tried": "",
}
SHEET: dict[str, Any] = {
    "asked": 2,
    "listed": 3,
    "people": [
        PERSON,
        {
            "place": 3,
            "contact": "5d0c2b4e-7a7b-4a55-9a52-4f1f0e3f9d10",
            "name": "Nils Ek",
            "after_s": None,
            "tries": [],
            "not_tried": "not asked: outside of their hours",
        },
    ],
}


class ReachIn(serializers.Serializer[Any]):
    """Whom to reach, what for, what they are told, and how long to wait."""

    kind = serializers.ChoiceField(choices=ReachKind.choices)
    role = serializers.ChoiceField(choices=ContactRole.choices)
    reason = serializers.CharField(max_length=LONGEST_MESSAGE)
    message = serializers.CharField(max_length=LONGEST_MESSAGE)
    wait_s = serializers.IntegerField(min_value=1, max_value=LONGEST_WAIT_S, default=300)
    tries = serializers.IntegerField(min_value=1, max_value=MOST_TRIES, default=2)
    with_asleep = serializers.BooleanField(default=False)


class ReachOut(serializers.ModelSerializer[Reach]):
    """One way down the order of call."""

    account = serializers.UUIDField(source="account.ref")

    class Meta:
        model = Reach
        fields: tuple[str, ...] = (
            "ref",
            "account",
            "kind",
            "role",
            "reason",
            "message",
            "wait_s",
            "tries",
            "state",
            "started_at",
            "ended_at",
            "by_name",
            "updated_at",
        )


class ReachResultOut(serializers.ModelSerializer[ReachResult]):
    """What was said of a try, by whom: a named person, or the link or the gateway for whoever was asked."""

    outcome = serializers.ChoiceField(choices=[one.value for one in BY_HAND] + [Outcome.ACKNOWLEDGED.value])
    how = serializers.ChoiceField(choices=ResultHow.values)

    class Meta:
        model = ReachResult
        fields = ("at", "outcome", "how", "by_name")


class ReachTryOut(serializers.ModelSerializer[ReachTry]):
    """One person asked once. `outcome` is the result that decides: the first answer; before one the newest that a person said, then the gateway.

    `by_name` is who logged it, "" where the person answered. `results` has everything that was said, the first first.
    """

    outcome = serializers.ChoiceField(choices=[one.value for one in Outcome])
    is_mailed = serializers.SerializerMethodField()
    gateway = serializers.ChoiceField(choices=GatewayState.values)
    results = ReachResultOut(source="told", many=True)

    class Meta:
        model = ReachTry
        fields = (
            "ref",
            "number",
            "asked_at",
            "outcome",
            "ended_at",
            "by_name",
            "doubtful_at",
            "is_mailed",
            "gateway",
            "results",
        )

    def get_is_mailed(self, one: ReachTry) -> bool:
        """Return whether a mail with a link went out."""
        return bool(one.mail_digest)


class ReachPersonOut(serializers.Serializer[Any]):
    """One person in the order, with each try. `after_s` is the time from the asking to their answer in seconds, null without one.

    `not_tried` says why this person was not asked: at once for who is left out ("not asked: outside of their hours"), whose
    places come after the others', else once it is over.
    """

    place = serializers.IntegerField(source="step.place")
    contact = serializers.UUIDField(source="step.contact_ref")
    name = serializers.CharField(source="step.contact_name")
    after_s = serializers.FloatField(allow_null=True)
    tries = ReachTryOut(many=True)
    not_tried = serializers.CharField()


class ReachDetailOut(ReachOut):
    """One way down the order of call, with everybody in it: `asked` until now, of `listed` who have the role."""

    _read_rows: list[selectors.Row] | None = None
    asked = serializers.SerializerMethodField()
    listed = serializers.SerializerMethodField()
    people = serializers.SerializerMethodField()

    class Meta(ReachOut.Meta):
        fields = (*ReachOut.Meta.fields, "asked", "listed", "people")

    def get_asked(self, reach: Reach) -> int:
        """Return how many were asked until now."""
        return selectors.counts_of(reach, self._rows(reach)).asked

    def get_listed(self, reach: Reach) -> int:
        """Return how many had the role when it began; who of them is not asked says `not_tried`."""
        return selectors.counts_of(reach, self._rows(reach)).listed

    def get_people(self, reach: Reach) -> list[dict[str, Any]]:
        """Return the people in their order."""
        return [dict(one) for one in ReachPersonOut(self._rows(reach), many=True).data]

    def _rows(self, reach: Reach) -> list[selectors.Row]:
        # One serializer shows one reach, whose people are read once.
        if self._read_rows is None:
            self._read_rows = selectors.rows_of(reach, timezone.now())
        return self._read_rows


class OutcomeIn(serializers.Serializer[Any]):
    """How a call went."""

    outcome = serializers.ChoiceField(choices=[one.value for one in BY_HAND])


class ReachListApi(PortalAPIView):
    """Reaches of an account."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_REACH

    @documented(
        "reaches_list",
        ReachOut,
        summary="List who was to be reached, newest first",
        paged=True,
        example=REACH,
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first; one of them shows each person and try."""
        account = self.find(Account, account_ref)
        rows = selectors.reaches_of(account).select_related("account")
        return self.page(rows, ReachOut, order="-id", filters={"account": account.pk})

    @documented(
        "reaches_start",
        ReachDetailOut,
        summary="Reach somebody: ask one person after the other until one answers",
        request=ReachIn,
        status=201,
        command=True,
        example={**REACH, **SHEET},
        request_example=START,
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """The first person is asked at once. 409 while another one of the account is under way, 422 if nobody can be asked."""
        account = self.find(Account, account_ref)
        data = self.read(ReachIn)
        pace = Pace(data.pop("wait_s"), data.pop("tries"))
        return self.once(
            lambda: self.show(
                ReachDetailOut,
                _read(services.start_reach(account, pace=pace, actor=self.user, **data)),
                status=201,
            ),
            required=True,
        )


class ReachApi(PortalAPIView):
    """One reach."""

    permission = Permission.CONTACT_VIEW

    @documented(
        "reaches_read",
        ReachDetailOut,
        summary="Follow one: who was asked when, who answered after how long",
        example={**REACH, **SHEET},
        tag="contacts",
    )
    def get(self, request: Request, reach_ref: UUID) -> Response:
        """Everybody in the order, with each try."""
        return self.show(ReachDetailOut, self.find(Reach, reach_ref))


class ReachOutcomeApi(PortalAPIView):
    """How a call went."""

    permission = Permission.CONTACT_REACH

    @documented(
        "reaches_outcome",
        ReachDetailOut,
        summary="Log how a call went: reached, voicemail, no answer, wrong number, refused",
        request=OutcomeIn,
        command=True,
        example={**REACH, **SHEET},
        request_example={"outcome": "voicemail"},
        tag="contacts",
    )
    def post(self, request: Request, try_ref: UUID) -> Response:
        """In your name. 409 once somebody answered, it was stopped, or the call was logged already."""
        one = self.find(ReachTry.objects.select_related("step"), try_ref)
        data = self.read(OutcomeIn)
        return self.once(
            lambda: self.show(
                ReachDetailOut, _read(services.log_outcome(one, data["outcome"], actor=self.user))
            ),
            required=True,
        )


class ReachStopApi(PortalAPIView):
    """Stop a reach."""

    permission = Permission.CONTACT_REACH

    @documented(
        "reaches_stop",
        ReachDetailOut,
        summary="Ask nobody any more",
        command=True,
        example={**REACH, "state": ReachState.STOPPED, **SHEET},
        tag="contacts",
    )
    def post(self, request: Request, reach_ref: UUID) -> Response:
        """A repeat changes nothing; whoever answered stays the one who answered."""
        reach = self.find(Reach, reach_ref)
        return self.once(
            lambda: self.show(ReachDetailOut, _read(services.stop_reach(reach, actor=self.user))),
            required=True,
        )


def _read(reach: Reach) -> Reach:
    """Return the row as it is read: services hold it with its sealed texts."""
    return Reach.objects.select_related("account").get(pk=reach.pk)
