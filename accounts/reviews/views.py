"""Pages of reviews, action items, the Monday list and a team's quarter: read input, call one service, answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.facts import facts
from accounts.models import Account, Team
from accounts.reviews import quarter, selectors, services
from accounts.reviews.content import compare, is_intact
from accounts.reviews.forms import (
    ActionForm,
    AnswerForm,
    CloseForm,
    ReviewForm,
    ScheduleForm,
    TeamItemsForm,
)
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
from accounts.views import AccountPage
from portal.access import Permission, PortalView
from portal.approvals.models import Side
from portal.csvfile import csv_response
from portal.errors import NotPermitted, Refused, StaleState
from portal.paging import keyset

SNAPSHOTS_SHOWN = 12


def add_refusal(form: Any, refusal: Refused) -> None:
    """Put a refusal beside what was typed; a missing right or a changed state is a page of its own."""
    if isinstance(refusal, NotPermitted | StaleState):
        raise refusal
    form.add_error(None, refusal.says)


class ReviewPage(AccountPage, abstract=True):
    """A page below an account's reviews."""

    tab = "reviews"


class ReviewList(ReviewPage):
    """Reviews of an account: the open one, what was signed, when the next one is due, and what is to be done."""

    permission = Permission.REVIEW_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them; eight queries and those of the page around it."""
        account = self.find(Account, account_ref)
        rows = selectors.reviews_of(account)
        actions = selectors.actions_of(account, state=ActionState.OPEN).order_by("due_on", "pk")
        page = keyset(rows.exclude(status=ReviewStatus.OPEN), request, order="-id", filters={"a": account.pk})
        return self.show(
            "accounts/reviews/review_list.html",
            open_review=rows.filter(status=ReviewStatus.OPEN).first(),
            page=page,
            schedule=selectors.schedule_of(account),
            actions=with_origins(list(actions[: selectors.FIRST_SHOWN]), self.user),
            action_count=actions.count(),
            today=timezone.now().date(),
        )


class ReviewBegin(ReviewPage):
    """Begin a review."""

    permission = Permission.REVIEW_EDIT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form, with today and oneself."""
        account = self.find(Account, account_ref)
        today = timezone.now().astimezone(ZoneInfo(account.time_zone)).date()
        initial = {"held_on": today, "owner": self.user.ref}
        return self._form(ReviewForm(account=account, initial=initial))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Begin it and go there."""
        account = self.find(Account, account_ref)
        form = ReviewForm(request.POST, account=account)
        if form.is_valid():
            try:
                review = services.open_review(account, actor=self.user, **form.cleaned_data)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                return redirect("accounts:review-detail", review_ref=review.ref)
        return self._form(form, status=422)

    def _form(self, form: ReviewForm, *, status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/reviews/review_form.html",
            form=form,
            title="Begin a review",
            lede="Its items come from the template. What the portal knows is filled in from live data.",
            button="Begin the review",
            back_url=reverse("accounts:review-list", args=[self.account.ref]),
            status=status,
        )


class ReviewChange(ReviewPage):
    """Change date, owner or participant."""

    permission = Permission.REVIEW_EDIT

    def get(self, request: HttpRequest, review_ref: UUID) -> HttpResponse:
        """Show the form."""
        review = self.find(Review.objects.select_related("owner", "participant"), review_ref)
        initial = {
            "held_on": review.held_on,
            "owner": review.owner.ref,
            "participant": review.participant.ref if review.participant else None,
        }
        return self._form(review, ReviewForm(account=self.account, initial=initial))

    def post(self, request: HttpRequest, review_ref: UUID) -> HttpResponse:
        """Keep it."""
        review = self.find(Review, review_ref)
        form = ReviewForm(request.POST, account=self.account)
        if form.is_valid():
            try:
                services.change_review(review, form.cleaned_data, actor=self.user)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                return redirect("accounts:review-detail", review_ref=review.ref)
        return self._form(review, form, status=422)

    def _form(self, review: Review, form: ReviewForm, *, status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/reviews/review_form.html",
            form=form,
            title=f"Change the review of {review.held_on}",
            lede="What one side has signed already does not stand after a change.",
            button="Keep the changes",
            back_url=services.review_path(review),
            status=status,
        )


class ReviewDetail(ReviewPage):
    """One review: open, as it stands now; signed, as it was signed, with what is over by now."""

    permission = Permission.REVIEW_VIEW

    def get(self, request: HttpRequest, review_ref: UUID) -> HttpResponse:
        """Show it."""
        review = self.find(Review.objects.select_related("owner", "participant", "account__team"), review_ref)
        if review.status == ReviewStatus.SIGNED:
            return self._signed(review)
        now = timezone.now()
        current = selectors.review_now(review, now)
        signatures = selectors.signatures_of(review)
        return self.show(
            "accounts/reviews/review_open.html",
            review=review,
            items=list(zip(current.rows, current.items, strict=True)),
            unanswered=[one.title for one in current.items if not one.is_answered],
            actions=with_origins(current.actions[: selectors.FIRST_SHOWN], self.user),
            action_count=len(current.actions),
            signatures=signatures,
            in_force=[one for one in signatures if one.voided_at is None],
            has_turned=review.frozen is not None and review.frozen.get("fingerprint") != current.fingerprint,
            today=now.date(),
            is_open=review.status == ReviewStatus.OPEN,
            why_not={
                side.value: services.why_not_sign(review, current, side=side, actor=self.user, now=now)
                for side, needed in (
                    (Side.CUSTOMER, Permission.SIGN_OFF),
                    (Side.PROVIDER, Permission.REVIEW_SIGN),
                )
                if needed in self.granted
            },
        )

    def _signed(self, review: Review) -> HttpResponse:
        now = timezone.now()
        stored = ReviewSnapshot.objects.sealed().get(review=review)
        intact = is_intact(stored.data, stored.digest)
        snapshot = ReviewSnapshot.objects.get(review=review)
        others = selectors.snapshots_of(self.account).exclude(pk=snapshot.pk)[:SNAPSHOTS_SHOWN]
        items = selectors.with_expiry(review, snapshot.data, now)
        return self.show(
            "accounts/reviews/review_signed.html",
            review=review,
            snapshot=snapshot,
            data=snapshot.data,
            items=items,
            expired=sum(1 for one in items if one["is_over"]),
            is_intact=intact,
            signatures=[one for one in selectors.signatures_of(review) if one.voided_at is None],
            others=others,
        )


class ReviewCompare(ReviewPage):
    """Two signed reviews of one account side by side."""

    permission = Permission.REVIEW_VIEW

    def get(self, request: HttpRequest, review_ref: UUID) -> HttpResponse:
        """Compare with the one that `with` names, else with the one before."""
        review = self.find(Review, review_ref)
        one, other = compared(self.account, review, request.GET.get("with", ""))
        return self.show(
            "accounts/reviews/review_compare.html",
            review=review,
            older=one,
            newer=other,
            comparison=compare(one.data, other.data),
            others=selectors.snapshots_of(self.account)[: SNAPSHOTS_SHOWN * 4],
        )


def compared(account: Account, review: Review, other: str) -> tuple[ReviewSnapshot, ReviewSnapshot]:
    """Return the snapshots of a review and of another one of the same account, the older first; 404 where one is missing."""
    rows = ReviewSnapshot.objects.filter(account=account)
    here = rows.filter(review=review).first()
    if here is None:
        raise Refused("Only what both sides signed can be compared.", code="not_signed")
    if other:
        try:
            there = rows.filter(review__ref=UUID(other)).first()
        except ValueError:
            there = None
    else:
        there = rows.filter(no__lt=here.no).order_by("-no").first()
        if there is None:
            raise Refused("There is no earlier signed review to compare with.", code="nothing_to_compare")
    if there is None:
        raise Http404("There is no such signed review of this account.")
    return (there, here) if there.no <= here.no else (here, there)


class ItemAnswer(ReviewPage):
    """Answer one item, or write notes on it."""

    permission = Permission.REVIEW_EDIT

    def get(self, request: HttpRequest, review_item_ref: UUID) -> HttpResponse:
        """Show the item with what is known of it."""
        item = self._found(review_item_ref)
        return self._form(item, lambda live: AnswerForm(item=item, is_live=live))

    def post(self, request: HttpRequest, review_item_ref: UUID) -> HttpResponse:
        """Keep the answer."""
        item = self._found(review_item_ref)
        live = self._live(item)
        form = AnswerForm(request.POST, item=item, is_live=live.by == "live")
        if form.is_valid():
            try:
                services.answer_item(item, form.cleaned_data, actor=self.user)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                return redirect(f"{services.review_path(item.review)}#item-{item.key}")
        return self._form(item, lambda _: form, status=422)

    def _found(self, ref: UUID) -> ReviewItem:
        return self.find(ReviewItem.objects.select_related("review__owner", "review__participant"), ref)

    def _live(self, item: ReviewItem) -> Any:
        current = selectors.review_now(item.review, timezone.now())
        return next(one for one in current.items if one.key == item.key)

    def _form(self, item: ReviewItem, make: Any, *, status: int = 200) -> HttpResponse:
        live = self._live(item)
        return self.show(
            "accounts/reviews/item_form.html",
            item=item,
            live=live,
            form=make(live.by == "live"),
            review=item.review,
            status=status,
        )


class _Sign(ReviewPage, abstract=True):
    side: Side
    tab = "reviews"

    def get(self, request: HttpRequest, review_ref: UUID) -> HttpResponse:
        """Ask, and say what is signed."""
        return self._ask(self._found(review_ref))

    def post(self, request: HttpRequest, review_ref: UUID) -> HttpResponse:
        """Sign what was shown."""
        review = self._found(review_ref)
        try:
            signed = services.sign_review(
                review, side=self.side, actor=self.user, seen=request.POST.get("seen", "")
            )
        except (NotPermitted, StaleState):
            raise
        except Refused as refusal:
            return self._ask(review, problem=refusal.says, status=422)
        messages.success(
            request,
            "Both sides have signed. The review is kept as it is, and the next one has its date."
            if signed.status == ReviewStatus.SIGNED
            else "You have signed. The other side is asked now.",
        )
        return redirect("accounts:review-detail", review_ref=review.ref)

    def _found(self, ref: UUID) -> Review:
        return self.find(Review.objects.select_related("owner", "participant"), ref)

    def _ask(self, review: Review, *, problem: str = "", status: int = 200) -> HttpResponse:
        now = timezone.now()
        current = selectors.review_now(review, now)
        return self.show(
            "accounts/reviews/review_sign.html",
            review=review,
            items=current.items,
            seen=services.seen_now(review, now),
            why_not=services.why_not_sign(review, current, side=self.side, actor=self.user, now=now),
            side=self.side,
            problem=problem,
            status=status,
        )


class ReviewSign(_Sign):
    """Sign for the customer."""

    permission = Permission.SIGN_OFF
    side = Side.CUSTOMER


class ReviewSignProvider(_Sign):
    """Sign for the provider."""

    permission = Permission.REVIEW_SIGN
    side = Side.PROVIDER


class ReviewCallOff(ReviewPage):
    """Call an open review off."""

    permission = Permission.REVIEW_EDIT

    def get(self, request: HttpRequest, review_ref: UUID) -> HttpResponse:
        """Ask."""
        return self._ask(self.find(Review, review_ref))

    def post(self, request: HttpRequest, review_ref: UUID) -> HttpResponse:
        """Call it off."""
        review = self.find(Review, review_ref)
        try:
            services.call_off_review(review, reason=request.POST.get("reason", "")[:1000], actor=self.user)
        except StaleState:
            raise
        except Refused as refusal:
            return self._ask(review, problem=refusal.says, status=422)
        messages.success(request, "The review is called off. Its action items stay.")
        return redirect("accounts:review-list", account_ref=self.account.ref)

    def _ask(self, review: Review, *, problem: str = "", status: int = 200) -> HttpResponse:
        return self.show(
            "components/confirm_page.html",
            title=f"Call the review of {review.held_on} off?",
            text="What was answered stays readable and counts for nothing. Action items stay open.",
            action=self.request.path,
            button="Call the review off",
            reason="required",
            problem=problem,
            back_label=str(review),
            back_url=services.review_path(review),
            status=status,
        )


class ScheduleChange(ReviewPage):
    """How often an account is reviewed."""

    permission = Permission.REVIEW_EDIT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show it."""
        account = self.find(Account, account_ref)
        schedule = selectors.schedule_of(account)
        initial = {"interval_days": schedule.interval_days, "next_on": schedule.next_on}
        return self._form(ScheduleForm(initial=initial))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Keep it."""
        account = self.find(Account, account_ref)
        form = ScheduleForm(request.POST)
        if form.is_valid():
            try:
                services.set_schedule(account, actor=self.user, **form.cleaned_data)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                return redirect("accounts:review-list", account_ref=account.ref)
        return self._form(form, status=422)

    def _form(self, form: ScheduleForm, *, status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/reviews/review_form.html",
            form=form,
            title="How often reviews are due",
            lede="The next date is counted from the day on which a signed review was held.",
            button="Keep it so",
            back_url=reverse("accounts:review-list", args=[self.account.ref]),
            status=status,
        )


# --- action items ------------------------------------------------------------------------------------------


class ActionList(ReviewPage):
    """What is to be done, by whom and by when."""

    permission = Permission.REVIEW_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show those that are open, or with `state` others."""
        account = self.find(Account, account_ref)
        state = request.GET.get("state", "open")
        state = state if state in (*ActionState.values, "all") else "open"
        rows = selectors.actions_of(account, state="" if state == "all" else state)
        page = keyset(rows, request, order="due_on", filters={"a": account.pk})
        with_origins(page.rows, self.user)
        return self.show(
            "accounts/reviews/action_list.html",
            page=page,
            state=state,
            states=(*ActionState.values, "all"),
            today=timezone.now().date(),
        )


class ActionAdd(ReviewPage):
    """Give somebody something to do."""

    permission = Permission.ACTION_EDIT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form."""
        account = self.find(Account, account_ref)
        today = timezone.now().date()
        initial = {"due_on": today + timedelta(days=14)}
        return self._form(ActionForm(account=account, today=today, initial=initial))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Add it."""
        account = self.find(Account, account_ref)
        form = ActionForm(request.POST, account=account, today=timezone.now().date())
        if form.is_valid():
            try:
                services.add_action(account, form.wanted(), actor=self.user)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                messages.success(request, "Added. Its owner is reminded until it is closed.")
                return redirect("accounts:action-list", account_ref=account.ref)
        return self._form(form, status=422)

    def _form(self, form: ActionForm, *, status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/reviews/review_form.html",
            form=form,
            title="Add an action item",
            lede="Its owner is reminded a week ahead, on the day, and every week until it is closed.",
            button="Add it",
            back_url=reverse("accounts:action-list", args=[self.account.ref]),
            status=status,
        )


class ActionDetail(ReviewPage):
    """One action item: read, close or change it."""

    permission = Permission.REVIEW_VIEW
    write_permission = Permission.ACTION_EDIT

    def get(self, request: HttpRequest, action_ref: UUID) -> HttpResponse:
        """Show it, with the forms for who may change it."""
        action = self._found(action_ref)
        return self._page(action, self._filled(action), CloseForm(initial={"state": "done"}))

    def post(self, request: HttpRequest, action_ref: UUID) -> HttpResponse:
        """Close it, open it again, or keep what was changed."""
        action = self._found(action_ref)
        change, close = self._filled(action), CloseForm(initial={"state": "done"})
        what = request.POST.get("what", "")
        try:
            if what == "reopen":
                services.close_action(action, state=ActionState.OPEN, actor=self.user)
                return redirect("accounts:action-detail", action_ref=action.ref)
            if what == "close":
                close = CloseForm(request.POST)
                if close.is_valid():
                    services.close_action(action, actor=self.user, **close.cleaned_data)
                    messages.success(request, "Closed. No reminder is sent any more.")
                    return redirect("accounts:action-list", account_ref=self.account.ref)
            else:
                change = ActionForm(request.POST, account=self.account, today=timezone.now().date())
                if change.is_valid():
                    services.change_action(action, change.wanted(), actor=self.user)
                    return redirect("accounts:action-detail", action_ref=action.ref)
        except Refused as refusal:
            add_refusal(close if what == "close" else change, refusal)
        return self._page(action, change, close, status=422)

    def _found(self, ref: UUID) -> ActionItem:
        return self.find(
            ActionItem.objects.select_related("owner_user", "owner_contact", "review", "closed_by"), ref
        )

    def _filled(self, action: ActionItem) -> ActionForm:
        owner = f"user:{action.owner_user.ref}" if action.owner_user else ""
        if action.owner_contact:
            owner = f"contact:{action.owner_contact.ref}"
        initial = {"title": action.title, "owner": owner, "due_on": action.due_on}
        return ActionForm(account=self.account, today=timezone.now().date(), initial=initial)

    def _page(
        self, action: ActionItem, change: ActionForm, close: CloseForm, *, status: int = 200
    ) -> HttpResponse:
        with_origins([action], self.user)
        return self.show(
            "accounts/reviews/action_detail.html",
            action=action,
            change=change,
            close=close,
            today=timezone.now().date(),
            status=status,
        )


# --- over all accounts -------------------------------------------------------------------------------------


def week_asked(view: PortalView) -> tuple[Any, dict[str, str], list[Team]]:
    """Return the lines that the address asks for, what it asks, and the teams to choose from."""
    view.visible(Standing, Permission.TEAM_WEEK)
    params = view.request.GET
    teams = list(Team.objects.filter(memberships__user=view.user).order_by("name"))
    if not teams:
        # Like all that is a team's: whoever belongs to none finds nothing here.
        raise Http404("There is nothing here that you can see.")
    grade, team, key = params.get("grade", "open"), params.get("team", ""), params.get("about", "")
    asked = {
        "grade": grade if grade in selectors.GRADES_SHOWN else "open",
        "team": team if team in {str(one.ref) for one in teams} else "",
        "about": key if key in {fact.key for fact in facts()} else "",
    }
    rows = selectors.monday_lines(view.user, grade=asked["grade"], team=asked["team"], key=asked["about"])
    return rows, asked, teams


class Monday(PortalView):
    """The week over all accounts of the own teams, what is most at risk first, one thing to do a line."""

    permission = Permission.TEAM_WEEK

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a page of it, asked again; the number of queries is the same for 2 accounts and for 2,000."""
        rows, asked, teams = week_asked(self)
        page = keyset(rows, request, order="-risk")
        return self.render(
            "accounts/reviews/monday.html",
            page=page,
            lines=selectors.asked_again(page.rows, timezone.now()),
            asked=asked,
            teams=teams,
            grades=selectors.GRADES_SHOWN,
            abouts=[(fact.key, fact.title) for fact in facts()],
            looked_at=selectors.last_look(),
            query_string=_query(request),
            nav_key="monday",
        )


def _query(request: HttpRequest) -> str:
    kept = request.GET.copy()
    for name in ("cursor", "limit"):
        kept.pop(name, None)
    return kept.urlencode()


class MondayCsv(PortalView):
    """The Monday list as a file."""

    permission = Permission.TEAM_WEEK

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Give what the list shows with the same filters, all of its pages, as last looked at."""
        rows, _, _ = week_asked(self)
        known = {fact.key: fact for fact in facts()}
        header = ("account", "number", "team", "about", "grade", "says", "rule", "since", "action", "link")

        def cells(row: Standing) -> tuple[Any, ...]:
            fact = known.get(row.key)
            return (
                row.account.name,
                row.account.number,
                row.account.team.name,
                fact.title if fact else row.key,
                row.grade,
                row.says,
                row.rule,
                row.since,
                fact.act.label if fact else "",
                request.build_absolute_uri(fact.act.url_of(row.account)) if fact else "",
            )

        return csv_response("monday-list", header, cells, rows, order="-risk", may_read_on=self.reads_on())


class TeamQuarter(PortalView):
    """What a team did this quarter, for its leads."""

    permission = Permission.TEAM_QUARTER

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show runs, halts, harm, what was saved, leftovers, drills, and accounts without a review."""
        team = self.find_in_team(Team, team_ref)
        shown = quarter.quarter_of(team, timezone.now(), request.GET.get("quarter", ""))
        return self.render("accounts/reviews/team_quarter.html", team=team, quarter=shown, nav_key="accounts")


class TeamItems(PortalView):
    """The items that a team adds to its reviews."""

    permission = Permission.TEAM_VIEW
    write_permission = Permission.TEAM_EDIT

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show the standard ones and the own ones."""
        team = self.find_in_team(Team, team_ref)
        newest = services.newest_template(team)
        own = newest.items if newest is not None else []
        lines = [" | ".join(filter(None, (one["title"], one.get("question", "")))) for one in own]
        version = newest.version if newest is not None else 0
        return self._page(team, TeamItemsForm(initial={"items": "\n".join(lines), "version": version}), own)

    def post(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Keep a new version."""
        team = self.find_in_team(Team, team_ref)
        newest = services.newest_template(team)
        own = newest.items if newest is not None else []
        form = TeamItemsForm(request.POST)
        if form.is_valid():
            try:
                services.set_team_items(
                    team, form.wanted(own), actor=self.user, seen_version=form.cleaned_data["version"]
                )
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                messages.success(request, "Kept. Reviews that begin from now on have these items.")
                return redirect("accounts:team-review-items", team_ref=team.ref)
        return self._page(team, form, own, status=422)

    def _page(self, team: Team, form: TeamItemsForm, own: Any, *, status: int = 200) -> HttpResponse:
        from accounts.reviews.template import STANDARD

        return self.render(
            "accounts/reviews/team_items.html",
            team=team,
            form=form,
            own=own,
            standard=STANDARD,
            nav_key="accounts",
            status=status,
        )
