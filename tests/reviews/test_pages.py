"""Reviews as people and programs meet them: pages, API, the Monday list, a team's quarter."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Contact
from accounts.reviews import services
from accounts.reviews.models import ActionItem, Review, ReviewItem, ReviewSnapshot, Standing
from accounts.reviews.standing import look_at_all
from portal.approvals.models import Side
from tests import factories as make
from tests.reviews.test_services import Here

pytestmark = pytest.mark.django_db


@pytest.fixture
def here():
    return Here()


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def page(name, *refs):
    return reverse(f"accounts:{name}", args=[getattr(ref, "ref", ref) for ref in refs])


def text(response):
    return " ".join(response.content.decode().split())


def test_a_review_goes_from_beginning_to_signed_on_the_pages(here):
    services.call_off_review(here.review, reason="x", actor=here.manager)
    manager, admin = as_(here.manager), as_(here.admin)
    begun = manager.post(
        page("review-begin", here.account),
        {"held_on": str(timezone.now().date()), "owner": here.manager.ref, "participant": here.contact.ref},
    )
    review = Review.objects.get(status="open")
    assert begun["Location"] == page("review-detail", review)
    shown = text(manager.get(page("review-detail", review)))
    assert "Maja Lindgren" in shown
    assert "Not answered yet: Baseline" in shown
    for item in ReviewItem.objects.filter(review=review, key__in=[one.key for one in _by_hand()]):
        answered = manager.post(
            page("review-item", item), {"grade": "amber", "reason": f"See <b>{item.key}</b>"}
        )
        assert answered.status_code == 302
    bad = manager.post(page("review-item", review.items.get(key="growth")), {"grade": "red", "reason": ""})
    assert bad.status_code == 422
    assert "Say why" in text(bad)
    for client, name in ((manager, "review-sign-provider"), (admin, "review-sign")):
        asked = client.get(page(name, review))
        seen = asked.context["seen"]
        assert client.post(page(name, review), {"seen": seen}).status_code == 302
    signed = text(admin.get(page("review-detail", review)))
    assert "signed by both" in signed
    assert "See &lt;b&gt;baseline&lt;/b&gt;" in signed
    assert "This is not what was signed" not in signed
    assert "Ada Admin" in signed


def _by_hand():
    from accounts.reviews.template import BY_HAND, STANDARD

    # What has a fact that knows nothing of this account is answered by hand, too.
    return (*BY_HAND, *(one for one in STANDARD if one.key in {"baseline", "growth", "fire_drill"}))


def test_what_was_signed_long_ago_is_marked_as_out_of_date(here, monkeypatch):
    here.sign_both()
    assert "out of date" not in text(as_(here.admin).get(page("review-detail", here.review)))
    later = timezone.now() + timedelta(days=100)
    monkeypatch.setattr("accounts.reviews.views.timezone.now", lambda: later)
    assert "Some of it is out of date" in text(as_(here.admin).get(page("review-detail", here.review)))


def test_signing_something_else_than_what_was_shown_is_refused(here):
    here.answer_all()
    manager = as_(here.manager)
    seen = manager.get(page("review-sign-provider", here.review)).context["seen"]
    services.answer_item(here.item("growth"), {"notes": "x"}, actor=here.manager)
    refused = manager.post(page("review-sign-provider", here.review), {"seen": seen})
    assert refused.status_code == 409
    assert "not the review that you were shown" in text(refused)


def test_two_signed_reviews_stand_side_by_side(here):
    here.sign_both()
    first = here.review
    Contact.objects.update(roles=[])
    here.review = services.open_review(here.account, held_on=timezone.now().date(), actor=here.manager)
    here.sign_both()
    shown = text(as_(here.admin).get(page("review-compare", here.review)))
    assert "0 better, 1 worse" in shown
    assert "for emergencies: 1 → 0" in shown
    other = as_(here.admin).get(page("review-compare", first), {"with": str(here.review.ref)})
    assert "0 better, 1 worse" in text(other)
    assert as_(here.admin).get(page("review-compare", first)).status_code == 422
    foreign = Here()
    foreign.sign_both()
    assert as_(here.admin).get(page("review-compare", first), {"with": foreign.review.ref}).status_code == 404


def test_five_action_items_are_shown_first_and_more_are_said(here):
    for number in range(6):
        make.action(here.account, here.admin, title=f"Thing {number}", due_in=number - 1)
    shown = text(as_(here.admin).get(page("review-list", here.account)))
    assert "More than five at once" in shown
    assert "Thing 4" in shown
    assert "Thing 5" not in shown
    assert "overdue" in shown


def test_an_action_item_is_added_changed_closed_and_opened_again_on_its_page(here):
    admin = as_(here.admin)
    due = str(timezone.now().date() + timedelta(days=9))
    wrong = admin.post(page("action-add", here.account), {"title": "", "owner": "user:nobody", "due_on": due})
    assert wrong.status_code == 422
    admin.post(
        page("action-add", here.account),
        {"title": "Read a backup back", "owner": f"contact:{here.contact.ref}", "due_on": due},
    )
    action = ActionItem.objects.get()
    assert action.owner_contact == here.contact
    at = page("action-detail", action)
    admin.post(at, {"title": "Read two", "owner": f"user:{here.admin.ref}", "due_on": due})
    action.refresh_from_db()
    assert (action.owner_user, action.owner_contact) == (here.admin, None)
    dropped = admin.post(at, {"what": "close", "state": "dropped"})
    assert dropped.status_code == 422
    admin.post(at, {"what": "close", "state": "done", "outcome": "Both are fine."})
    assert "Both are fine." in text(admin.get(at))
    admin.post(at, {"what": "reopen"})
    assert ActionItem.objects.get().state == "open"
    viewer = as_(make.member(here.account, "viewer"))
    assert "Close it" not in text(viewer.get(at))


def test_the_scorecard_says_each_rule_and_what_it_rests_on(here):
    shown = text(as_(here.admin).get(page("account-detail", here.account)))
    assert "Rule: An account has two admins." in shown
    assert "by hand" in shown
    assert "What it rests on" in shown


# --- the week -----------------------------------------------------------------------------------------------


def test_the_monday_list_is_ordered_by_risk_says_what_to_do_and_asks_again(here):
    other = make.account("Of another team")
    late = make.action(here.account, here.admin, due_in=-2)
    look_at_all(timezone.now())
    manager = as_(here.manager)
    shown = text(manager.get(page("monday")))
    assert "Lindgren Outdoor" in shown
    assert other.name not in shown
    assert "Look at who has access" in shown
    for role in ("viewer", "admin"):
        customer = as_(make.member(here.account, role))
        assert customer.get(page("monday")).status_code == 404
        assert customer.get(page("monday-csv")).status_code == 404
        assert "Monday list" not in text(customer.get("/"))
    assert 'href="/monday/"' in manager.get("/").content.decode()
    services.close_action(late, state="done", actor=here.admin)
    again = manager.get(page("monday"), {"about": "actions"})
    assert [line.is_done for line in again.context["lines"]] == [True]
    assert "since the last look" in text(again)
    risks = list(Standing.objects.order_by("-risk", "-pk").values_list("grade", flat=True))
    assert risks == sorted(risks, key=["red", "amber", "unknown"].index)


def test_the_monday_list_costs_the_same_for_few_and_for_many(here):
    manager = as_(here.manager)

    def cost():
        look_at_all(timezone.now())
        manager.get(page("monday"))
        with CaptureQueriesContext(connection) as seen:
            assert manager.get(page("monday")).status_code == 200
        return len(seen)

    make.account(of=here.account.team)
    few = cost()
    for _ in range(8):
        make.account(of=here.account.team)
    assert cost() == few <= 40


@pytest.mark.django_db(transaction=True)
def test_the_monday_list_is_a_file_with_guarded_cells():
    here = Here()
    here.account.name = "=cmd()"
    here.account.save()
    look_at_all(timezone.now())
    answer = as_(here.manager).get(page("monday-csv"), {"grade": "all"})

    async def read():
        return b"".join([chunk async for chunk in answer.streaming_content])

    rows = list(csv.DictReader(io.StringIO(asyncio.run(read()).decode())))
    assert rows[0]["account"].startswith("'=cmd")
    assert {row["grade"] for row in rows} <= {"red", "amber", "unknown"}
    assert all(row["rule"] and row["link"].startswith("http") for row in rows)


def test_the_dashboard_shows_the_worst_account_first_with_what_is_amiss(here):
    calm = make.account("A calm one", of=here.account.team)
    make.proven(make.contact(calm, roles=["emergency"]))
    make.action(here.account, here.admin, due_in=-2)
    look_at_all(timezone.now())
    shown = text(as_(here.manager).get(reverse("dashboard")))
    assert "1 action item is overdue" in shown
    assert shown.index("Lindgren Outdoor") < shown.index("A calm one")
    assert "Monday list" in shown


def test_a_lead_reads_the_teams_quarter(here):
    lead = make.launch_manager(here.account.team, "Lea Lead", role="lead")
    here.sign_both()
    make.account("Never reviewed", of=here.account.team)
    shown = text(as_(lead).get(page("team-quarter", here.account.team)))
    assert "1 of 2 accounts have none" in shown
    assert "Never reviewed" in shown
    assert "Drills held" in shown
    assert as_(here.manager).get(page("team-quarter", here.account.team)).status_code == 403
    before = as_(lead).get(page("team-quarter", here.account.team), {"quarter": "2020-1"})
    assert "2 of 2 accounts have none" in text(before)


def test_a_lead_adds_items_that_the_next_review_has(here):
    lead = as_(make.launch_manager(here.account.team, role="lead"))
    at = page("team-review-items", here.account.team)
    kept = lead.post(at, {"version": 0, "items": "Certificates | Until when do they hold?\n\nDomains"})
    assert kept.status_code == 302
    assert "Certificates | Until when do they hold?" in text(lead.get(at))
    stale = lead.post(at, {"version": 0, "items": ""})
    assert stale.status_code == 409
    services.call_off_review(here.review, reason="x", actor=here.manager)
    review = services.open_review(here.account, held_on=timezone.now().date(), actor=here.manager)
    assert list(review.items.order_by("-position").values_list("title", flat=True)[:2]) == [
        "Domains",
        "Certificates",
    ]


# --- the API ------------------------------------------------------------------------------------------------


class Api:
    def __init__(self, user):
        self.client, self.headers = Client(), make.bearer(make.token(user))

    def __call__(self, method, url, body=None, **more):
        send = getattr(self.client, method)
        if method == "get":
            return send(url, body or {}, **self.headers)
        return send(url, json.dumps(body or {}), content_type="application/json", **self.headers, **more)


def key(name):
    return {"HTTP_IDEMPOTENCY_KEY": name}


def test_a_whole_review_by_the_api(here):
    services.call_off_review(here.review, reason="x", actor=here.manager)
    manager, admin = Api(here.manager), Api(here.admin)
    base = f"/api/v1/accounts/{here.account.ref}"
    begun = manager("post", f"{base}/reviews", {"held_on": str(timezone.now().date())}, **key("begin"))
    assert begun.status_code == 201, begun.content
    review = begun.json()
    again = manager("post", f"{base}/reviews", {"held_on": str(timezone.now().date())}, **key("begin"))
    assert again.json()["ref"] == review["ref"]
    url, etag = f"/api/v1/reviews/{review['ref']}", begun["ETag"]
    for item in review["items"]:
        if item["by"] == "live":
            continue
        answered = manager(
            "patch", f"/api/v1/review-items/{item['ref']}", {"grade": "green"}, HTTP_IF_MATCH=etag
        )
        assert answered.status_code == 200, answered.content
        etag = answered["ETag"]
    stale = manager("patch", url, {"held_on": "2026-12-01"}, HTTP_IF_MATCH='"old"')
    assert stale.status_code == 412
    seen = manager("get", url).json()["seen"]
    first = manager("post", f"{url}/sign-for-provider", {"seen": seen}, **key("one"))
    assert first.status_code == 200, first.content
    refused = admin("post", f"{url}/sign", {"seen": seen}, **key("two"))
    assert refused.status_code == 409
    seen = admin("get", url).json()["seen"]
    done = admin("post", f"{url}/sign", {"seen": seen}, **key("three")).json()
    assert done["status"] == "signed"
    assert [one["side"] for one in done["signatures"]] == ["provider", "customer"]
    assert ReviewSnapshot.objects.get().digest == done["digest"] == done["seen"]
    listed = admin("get", f"{base}/reviews").json()["results"]
    assert [one["status"] for one in listed] == ["signed", "called_off"]
    assert manager("get", f"{base}/review-schedule").json()["next_on"] == str(
        timezone.now().date() + timedelta(days=90)
    )


def test_action_items_scorecard_and_monday_list_by_the_api(here):
    admin, manager = Api(here.admin), Api(here.manager)
    base = f"/api/v1/accounts/{here.account.ref}"
    due = str(timezone.now().date() + timedelta(days=4))
    made = admin("post", f"{base}/actions", {"title": "x", "owner_user": str(here.admin.ref), "due_on": due})
    assert made.status_code == 201, made.content
    ref = made.json()["ref"]
    changed = admin(
        "patch",
        f"/api/v1/actions/{ref}",
        {"owner_contact": str(here.contact.ref)},
        HTTP_IF_MATCH=made["ETag"],
    ).json()
    assert (changed["owner_user"], changed["owner_contact"]["name"]) == (None, "Maja Lindgren")
    closed = admin(
        "post", f"/api/v1/actions/{ref}/close", {"state": "done", "seen_state": "open"}, **key("close")
    )
    assert closed.json()["state"] == "done"
    late = admin(
        "post", f"/api/v1/actions/{ref}/close", {"state": "dropped", "seen_state": "open"}, **key("late")
    )
    assert late.status_code == 409
    assert admin("get", f"{base}/actions", {"state": "open"}).json()["results"] == []
    card = admin("get", f"{base}/scorecard").json()
    assert sum(card["counts"].values()) == len(card["lines"])
    assert all(line["rule"] for line in card["lines"])
    assert "unknown" in {line["grade"] for line in card["lines"]}
    look_at_all(timezone.now())
    week = manager("get", "/api/v1/monday").json()["results"]
    assert week
    assert {one["account"]["name"] for one in week} == {"Lindgren Outdoor"}
    assert admin("get", "/api/v1/monday").json()["results"] == []
    assert manager("get", "/api/v1/monday", {"grade": "pink"}).status_code == 422


def test_signed_reviews_are_compared_by_the_api(here):
    here.sign_both()
    first = here.review
    assert Side.CUSTOMER.value in {one.side for one in first.signatures.all()}
    here.review = services.open_review(here.account, held_on=timezone.now().date(), actor=here.manager)
    assert Api(here.admin)("get", f"/api/v1/reviews/{here.review.ref}/comparison").status_code == 422
    here.sign_both()
    found = Api(here.admin)("get", f"/api/v1/reviews/{here.review.ref}/comparison").json()
    assert (found["older"], found["newer"]) == (str(first.ref), str(here.review.ref))
    assert {one["change"] for one in found["items"]} == {"same"}


def test_a_program_that_misspells_a_quarter_is_told():
    team = make.team()
    bearer = make.bearer(make.token(make.launch_manager(team, role="lead")))
    for wrong in ("2026-9", "abc", "2026-0"):
        answer = Client().get(f"/api/v1/teams/{team.ref}/quarter?quarter={wrong}", **bearer)
        assert answer.status_code == 422, wrong
    assert Client().get(f"/api/v1/teams/{team.ref}/quarter?quarter=2026-3", **bearer).status_code == 200
