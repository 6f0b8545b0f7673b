"""The API of scorecards, reviews, action items, the Monday list and a team's quarter: the same services as the pages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.members import who_reach
from accounts.models import Account, Contact, Team, User
from accounts.reviews import examples, quarter, selectors, services
from accounts.reviews.content import compare
from accounts.reviews.models import (
    ActionItem,
    ActionState,
    Review,
    ReviewItem,
    ReviewSnapshot,
    ReviewStatus,
    Standing,
)
from accounts.reviews.origins import with_origins
from accounts.reviews.serializers import (
    ActionIn,
    ActionOut,
    AnswerIn,
    CallOffIn,
    CloseIn,
    ComparisonOut,
    ItemOut,
    MondayOut,
    QuarterOut,
    ReviewIn,
    ReviewOut,
    ReviewWholeOut,
    ScheduleIn,
    ScheduleOut,
    ScorecardOut,
    SignatureOut,
    SignIn,
    TemplateIn,
    TemplateOut,
)
from accounts.reviews.template import STANDARD
from accounts.reviews.views import compared
from portal.access import Permission
from portal.api import PortalAPIView, documented, etag_of
from portal.approvals.models import Side
from portal.errors import Refused
from portal.lists import ListAsked, filter_parameter


def _parts(parts: Any) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in parts]


def _scorecard(account: Account) -> dict[str, Any]:
    found = selectors.scorecard_of(account, timezone.now())
    return {
        "account": account.ref,
        "looked_at": found.looked_at,
        "counts": dict(found.counts),
        "lines": [
            {
                **asdict(line.finding),
                "key": line.key,
                "title": line.fact.title,
                "parts": _parts(line.finding.parts),
                "action": "" if line.finding.is_good else line.fact.act.label,
                "path": "" if line.finding.is_good else line.url,
            }
            for line in found.lines
        ],
    }


class ScorecardApi(PortalAPIView):
    """How an account stands."""

    permission = Permission.REVIEW_VIEW

    @documented(
        "scorecard_read",
        ScorecardOut,
        summary="Read how an account stands",
        example=examples.SCORECARD,
        tag="reviews",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """From a fresh look, the worst first. There is no single figure: each line has its rule and what it rests on."""
        account = self.find(Account, account_ref)
        return self.show(ScorecardOut, _scorecard(account))


class MondayApi(PortalAPIView):
    """The week over all accounts of your teams."""

    permission = Permission.TEAM_WEEK

    @documented(
        "monday_list",
        MondayOut,
        summary="List what needs somebody this week, over all accounts of your teams",
        paged=True,
        example=examples.MONDAY,
        parameters=[
            filter_parameter("grade", selectors.GRADES_SHOWN, "`open`, if not given, is red and amber."),
            OpenApiParameter("about", OpenApiTypes.STR, description="Only lines about this fact."),
        ],
        tag="reviews",
    )
    def get(self, request: Request) -> Response:
        """Ordered by risk, as last looked at; a worker looks every five minutes. Nothing for whoever is in no team."""
        self.visible(Standing)
        asked = ListAsked.of(
            self.request.query_params,
            filters={"grade": selectors.GRADES_SHOWN},
            orders=["-risk"],
            strict=True,
        )
        rows = selectors.monday_lines(
            self.user,
            grade=asked.filters["grade"] or "open",
            key=str(self.request.query_params.get("about", ""))[:40],
        )
        return self.page(rows, MondayOut, order="-risk")


class ReviewListApi(PortalAPIView):
    """Reviews of an account."""

    permission = Permission.REVIEW_VIEW
    write_permission = Permission.REVIEW_EDIT

    @documented(
        "reviews_list",
        ReviewOut,
        summary="List an account's reviews, the newest first",
        paged=True,
        example=examples.REVIEW,
        tag="reviews",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """The open one, the signed ones, and those that were called off."""
        account = self.find(Account, account_ref)
        rows = selectors.reviews_of(account).select_related("account")
        return self.page(rows, ReviewOut, order="-id", filters={"account": account.pk})

    @documented(
        "reviews_begin",
        ReviewWholeOut,
        summary="Begin a review",
        request=ReviewIn,
        status=201,
        once=True,
        example=examples.REVIEW_WHOLE,
        request_example=examples.REVIEW_IN,
        tag="reviews",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Its items come from the template of the account's team. 409 while another one is open."""
        account = self.find(Account, account_ref)
        wanted = _review_fields(account, self.read(ReviewIn))
        return self.once(
            lambda: whole(self, services.open_review(account, actor=self.user, **wanted), status=201)
        )


def _user(account: Account, ref: UUID) -> User:
    """Return somebody with access to the account. Of everybody else, nothing is told but that they are not there."""
    found = who_reach(account).filter(ref=ref).first()
    if found is None:
        raise Refused("There is no such user with access to this account.", code="no_user")
    return found


def _review_fields(account: Account, data: dict[str, Any]) -> dict[str, Any]:
    found = dict(data)
    if data.get("owner") is not None:
        found["owner"] = _user(account, data["owner"])
    if data.get("participant") is not None:
        found["participant"] = Contact.objects.filter(account=account, ref=data["participant"]).first()
        if found["participant"] is None:
            raise Refused("There is no such contact in this account.", code="no_contact")
    return found


def whole(view: PortalAPIView, review: Review, *, status: int = 200) -> Response:
    """Answer one review with everything in it: as it stands now, or as it was signed."""
    now = timezone.now()
    row = Review.objects.select_related("account__team", "owner", "participant").get(pk=review.pk)
    if row.status == ReviewStatus.SIGNED:
        snapshot = ReviewSnapshot.objects.get(review=row)
        items = [{**one, "ref": None} for one in selectors.with_expiry(row, snapshot.data, now)]
        seen = row.digest
    else:
        current = selectors.review_now(row, now)
        items = [
            {**asdict(item), "ref": stored.ref, "is_over": False}
            for stored, item in zip(current.rows, current.items, strict=True)
        ]
        seen = services.seen_now(row, now)
    listed = [{**one, "parts": _parts(one["parts"])} for one in items]
    shown = {
        **ReviewOut(row, context=view.out_context()).data,
        "seen": seen,
        "items": ItemOut(listed, many=True).data,
        "signatures": SignatureOut(selectors.signatures_of(row), many=True).data,
    }
    return Response(shown, status=status, headers={"ETag": etag_of(row)})


class ReviewApi(PortalAPIView):
    """One review."""

    permission = Permission.REVIEW_VIEW
    write_permission = Permission.REVIEW_EDIT

    @documented(
        "reviews_read",
        ReviewWholeOut,
        summary="Read one review",
        example=examples.REVIEW_WHOLE,
        tag="reviews",
    )
    def get(self, request: Request, review_ref: UUID) -> Response:
        """An open one as it stands now; a signed one as it was signed, with what is over by now."""
        return whole(self, self.find(Review, review_ref))

    @documented(
        "reviews_change",
        ReviewWholeOut,
        summary="Change an open review",
        request=ReviewIn,
        if_match=True,
        example=examples.REVIEW_WHOLE,
        request_example={"held_on": "2026-12-02"},
        tag="reviews",
    )
    def patch(self, request: Request, review_ref: UUID) -> Response:
        """Date, owner, participant. What one side has signed already does not stand after a change."""
        review = self.find(Review, review_ref)
        wanted = _review_fields(self.account, self.read(ReviewIn, partial=True))

        def effect() -> Response:
            self.match(Review.objects.select_for_update().get(pk=review.pk))
            return whole(self, services.change_review(review, wanted, actor=self.user))

        return self.once(effect)


class ReviewItemApi(PortalAPIView):
    """One item of an open review."""

    permission = Permission.REVIEW_EDIT

    @documented(
        "review_items_answer",
        ReviewWholeOut,
        summary="Answer an item by hand, or write notes on it",
        request=AnswerIn,
        if_match=True,
        example=examples.REVIEW_WHOLE,
        request_example={"grade": "amber", "reason": "Measured in May, before the new search."},
        tag="reviews",
    )
    def patch(self, request: Request, review_item_ref: UUID) -> Response:
        """If-Match takes the ETag of the review. What live data answers takes notes only."""
        item = self.find(ReviewItem.objects.select_related("review"), review_item_ref)
        data = self.read(AnswerIn, partial=True)

        def effect() -> Response:
            self.match(Review.objects.select_for_update().get(pk=item.review_id))
            services.answer_item(item, data, actor=self.user)
            return whole(self, item.review)

        return self.once(effect)


class _SignApi(PortalAPIView, abstract=True):
    side: Side

    def _sign(self, review_ref: UUID) -> Response:
        review = self.find(Review, review_ref)
        data = self.read(SignIn)
        return self.once(
            lambda: whole(
                self, services.sign_review(review, side=self.side, actor=self.user, seen=data["seen"])
            ),
            required=True,
        )


class ReviewSignApi(_SignApi):
    """Sign for the customer."""

    permission = Permission.SIGN_OFF
    side = Side.CUSTOMER

    @documented(
        "reviews_sign",
        ReviewWholeOut,
        summary="Sign a review for the customer",
        request=SignIn,
        command=True,
        example=examples.REVIEW_WHOLE,
        request_example={"seen": "a" * 64},
        tag="reviews",
    )
    def post(self, request: Request, review_ref: UUID) -> Response:
        """What was signed by both sides is kept for good. 409 where it is not what you read."""
        return self._sign(review_ref)


class ReviewSignProviderApi(_SignApi):
    """Sign for the provider."""

    permission = Permission.REVIEW_SIGN
    side = Side.PROVIDER

    @documented(
        "reviews_sign_for_provider",
        ReviewWholeOut,
        summary="Sign a review for the provider",
        request=SignIn,
        command=True,
        example=examples.REVIEW_WHOLE,
        request_example={"seen": "a" * 64},
        tag="reviews",
    )
    def post(self, request: Request, review_ref: UUID) -> Response:
        """The customer's approvers are asked then. 409 where it is not what you read."""
        return self._sign(review_ref)


class ReviewCallOffApi(PortalAPIView):
    """Call a review off."""

    permission = Permission.REVIEW_EDIT

    @documented(
        "reviews_call_off",
        ReviewWholeOut,
        summary="Call an open review off",
        request=CallOffIn,
        command=True,
        example={**examples.REVIEW_WHOLE, "status": "called_off"},
        request_example={"reason": "Moved to January."},
        tag="reviews",
    )
    def post(self, request: Request, review_ref: UUID) -> Response:
        """Its action items stay open."""
        review = self.find(Review, review_ref)
        data = self.read(CallOffIn)
        return self.once(
            lambda: whole(self, services.call_off_review(review, reason=data["reason"], actor=self.user)),
            required=True,
        )


class ReviewCompareApi(PortalAPIView):
    """Two signed reviews side by side."""

    permission = Permission.REVIEW_VIEW

    @documented(
        "reviews_compare",
        ComparisonOut,
        summary="Compare a signed review with another one of the account",
        example=examples.COMPARISON,
        parameters=[
            OpenApiParameter(
                "with", OpenApiTypes.UUID, description="The other review; the one before if not given."
            )
        ],
        tag="reviews",
    )
    def get(self, request: Request, review_ref: UUID) -> Response:
        """422 where one of them is not signed by both sides, or nothing comes before it."""
        review = self.find(Review, review_ref)
        older, newer = compared(self.account, review, str(self.request.query_params.get("with", "")))
        found = compare(older.data, newer.data)
        data = {
            "older": older.data["review"],
            "newer": newer.data["review"],
            "better": found.better,
            "worse": found.worse,
            "items": [asdict(pair) for pair in found.items],
            "actions_new": found.actions_new,
            "actions_gone": found.actions_gone,
            "actions_carried": found.actions_carried,
        }
        return self.show(ComparisonOut, data)


class ScheduleApi(PortalAPIView):
    """How often an account is reviewed."""

    permission = Permission.REVIEW_VIEW
    write_permission = Permission.REVIEW_EDIT

    @documented(
        "review_schedule_read",
        ScheduleOut,
        summary="Read how often an account is reviewed",
        example={"interval_days": 90, "next_on": "2027-02-28"},
        tag="reviews",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """And when next."""
        return self.show_plain(selectors.schedule_of(self.find(Account, account_ref)))

    @documented(
        "review_schedule_set",
        ScheduleOut,
        summary="Set how often an account is reviewed",
        request=ScheduleIn,
        command=True,
        example={"interval_days": 60, "next_on": "2027-01-29"},
        request_example={"interval_days": 60},
        tag="reviews",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """What is not given stays."""
        account = self.find(Account, account_ref)
        data = self.read(ScheduleIn)
        return self.once(
            lambda: self.show_plain(services.set_schedule(account, actor=self.user, **data)), required=True
        )

    def show_plain(self, schedule: Any) -> Response:
        """Answer with the schedule, which has no reference and no version of its own."""
        return Response({"interval_days": schedule.interval_days, "next_on": schedule.next_on})


# --- action items ------------------------------------------------------------------------------------------


class ActionListApi(PortalAPIView):
    """Action items of an account."""

    permission = Permission.REVIEW_VIEW
    write_permission = Permission.ACTION_EDIT

    @documented(
        "actions_list",
        ActionOut,
        summary="List an account's action items by due date",
        paged=True,
        example=examples.ACTION,
        parameters=[filter_parameter("state", ActionState.values, "Only those that are so.")],
        tag="reviews",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Those that are due first come first."""
        account = self.find(Account, account_ref)
        asked = ListAsked.of(
            self.request.query_params, filters={"state": ActionState.values}, orders=["due_on"], strict=True
        )
        rows = selectors.actions_of(account, state=asked.filters["state"])
        return self.page(
            rows,
            ActionOut,
            order="due_on",
            filters={"account": account.pk},
            shown=lambda found: with_origins(found, self.user),
        )

    @documented(
        "actions_add",
        ActionOut,
        summary="Give somebody something to do by a date",
        request=ActionIn,
        status=201,
        once=True,
        example=examples.ACTION,
        request_example=examples.ACTION_IN,
        tag="reviews",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """A user with access to the account, or a contact who is proven, and confirmed within 180 days."""
        account = self.find(Account, account_ref)
        wanted = action_fields(account, self.read(ActionIn))
        return self.once(
            lambda: self.show(ActionOut, services.add_action(account, wanted, actor=self.user), status=201)
        )


def action_fields(account: Account, data: dict[str, Any]) -> dict[str, Any]:
    """Return an `ActionIn` as the services take it. Raises Refused for somebody who is not of this account."""
    found = dict(data)
    if data.get("owner_user") is not None:
        found["owner_user"] = _user(account, data["owner_user"])
    if data.get("owner_contact") is not None:
        found["owner_contact"] = Contact.objects.filter(account=account, ref=data["owner_contact"]).first()
        if found["owner_contact"] is None:
            raise Refused("There is no such contact in this account.", code="no_contact")
    return found


class ActionApi(PortalAPIView):
    """One action item."""

    permission = Permission.REVIEW_VIEW
    write_permission = Permission.ACTION_EDIT

    @documented(
        "actions_read", ActionOut, summary="Read one action item", example=examples.ACTION, tag="reviews"
    )
    def get(self, request: Request, action_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(ActionOut, with_origins([self._found(action_ref)], self.user)[0])

    @documented(
        "actions_change",
        ActionOut,
        summary="Change an open action item",
        request=ActionIn,
        if_match=True,
        example=examples.ACTION,
        request_example={"due_on": "2026-12-21"},
        tag="reviews",
    )
    def patch(self, request: Request, action_ref: UUID) -> Response:
        """Only what is given is changed; a new owner is reminded anew."""
        action = self._found(action_ref)
        wanted = action_fields(self.account, self.read(ActionIn, partial=True))

        def effect() -> Response:
            self.match(ActionItem.objects.select_for_update(of=("self",)).get(pk=action.pk))
            changed = services.change_action(action, wanted, actor=self.user)
            return self.show(ActionOut, with_origins([changed], self.user)[0])

        return self.once(effect)

    def _found(self, ref: UUID) -> ActionItem:
        return self.find(ActionItem.objects.select_related("owner_user", "owner_contact"), ref)


class ActionCloseApi(PortalAPIView):
    """Close an action item."""

    permission = Permission.ACTION_EDIT

    @documented(
        "actions_close",
        ActionOut,
        summary="Close an action item, or open it again",
        request=CloseIn,
        command=True,
        example={**examples.ACTION, "state": "done"},
        request_example={"state": "done", "seen_state": "open", "outcome": "Taken on Monday, checked."},
        tag="reviews",
    )
    def post(self, request: Request, action_ref: UUID) -> Response:
        """Dropping one needs an outcome that says why. 409 where it is not in the state that you saw."""
        action = self.find(ActionItem, action_ref)
        data = self.read(CloseIn)
        return self.once(
            lambda: self.show(
                ActionOut,
                with_origins([services.close_action(action, actor=self.user, **data)], self.user)[0],
            ),
            required=True,
        )


# --- teams -------------------------------------------------------------------------------------------------


class TeamItemsApi(PortalAPIView):
    """The items of a team's reviews."""

    permission = Permission.TEAM_VIEW
    write_permission = Permission.TEAM_EDIT

    @documented(
        "team_review_items_read",
        TemplateOut,
        summary="Read the items of a team's reviews",
        example=examples.TEMPLATE,
        tag="reviews",
    )
    def get(self, request: Request, team_ref: UUID) -> Response:
        """The standard ones, and those that the team adds."""
        return self._answer(self.find_in_team(Team, team_ref))

    @documented(
        "team_review_items_set",
        TemplateOut,
        summary="Set the items that a team adds to its reviews",
        request=TemplateIn,
        command=True,
        example=examples.TEMPLATE,
        request_example={"version": 0, "items": [examples.OWN_ITEM]},
        tag="reviews",
    )
    def post(self, request: Request, team_ref: UUID) -> Response:
        """All of them; 409 where `version` is not the present one. Reviews that began keep theirs."""
        team = self.find_in_team(Team, team_ref)
        data = self.read(TemplateIn)

        def effect() -> Response:
            services.set_team_items(team, data["items"], actor=self.user, seen_version=data["version"])
            return self._answer(team)

        return self.once(effect, required=True)

    def _answer(self, team: Team) -> Response:
        newest = services.newest_template(team)
        standard = [{"key": one.key, "title": one.title, "question": one.question} for one in STANDARD]
        return Response(
            {
                "version": newest.version if newest is not None else 0,
                "standard": standard,
                "items": newest.items if newest is not None else [],
            }
        )


class TeamQuarterApi(PortalAPIView):
    """A team's quarter."""

    permission = Permission.TEAM_QUARTER

    @documented(
        "team_quarter_read",
        QuarterOut,
        summary="Read what a team did in a quarter",
        example=examples.QUARTER,
        parameters=[
            OpenApiParameter(
                "quarter", OpenApiTypes.STR, description="Like `2026-4`; the present one if not given."
            )
        ],
        tag="reviews",
    )
    def get(self, request: Request, team_ref: UUID) -> Response:
        """A figure that nobody can know is null, and says why."""
        team = self.find_in_team(Team, team_ref)
        wanted = str(self.request.query_params.get("quarter", ""))
        if wanted and not quarter.is_quarter(wanted):
            raise Refused("`quarter` is a year and a number from 1 to 4, like 2026-4.", code="bad_filter")
        found = quarter.quarter_of(team, timezone.now(), wanted)
        data = {
            "name": found.name,
            "since": found.since,
            "until": found.until,
            "accounts": found.accounts,
            "accounts_without_review": found.without_count,
            "parts": [
                {
                    "key": part.key,
                    "title": part.title,
                    "figures": [asdict(one) for one in shown.figures],
                    "rows_title": shown.rows_title,
                    "rows": dict(shown.rows),
                }
                for part, shown in found.parts
            ],
        }
        return self.show(QuarterOut, data)
