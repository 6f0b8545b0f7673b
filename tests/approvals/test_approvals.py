"""Two sides, one digest, nobody for both."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from portal.approvals import registry
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalDecision, ApprovalRequest
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState
from portal.notify.models import Message
from tests import factories as make

pytestmark = pytest.mark.django_db
DIGEST, OTHER = "a" * 64, "b" * 64


class Case:
    """An account with its people; `submit()` gives a request that waits for the customer."""

    def __init__(self):
        self.account = make.account()
        self.manager = make.launch_manager(self.account.team)
        self.admin = make.member(self.account, "admin")
        self.approver = make.member(self.account, "approver", granted_by=self.admin)
        self.editor = make.member(self.account, "editor")
        self.subject_ref = uuid.uuid4()
        self.now = timezone.now()

    def submit(self, author=None, **fields):
        values = {"digest": DIGEST, "actor": self.manager, "at": self.now, **fields}
        return approvals.submit(
            account=self.account,
            subject_type="test.subject",
            subject_ref=self.subject_ref,
            title="Shop: 6 servers to 3",
            author=author or self.manager,
            **values,
        )

    def decide(self, request, actor, side="customer", decision="approve", **fields):
        values = {"seen_digest": DIGEST, "at": self.now, **fields}
        return approvals.decide(request, actor=actor, side=side, decision=decision, **values)

    def is_approved(self, at=None, digest=DIGEST):
        return approvals.is_approved(
            "test.subject", self.subject_ref, digest, account=self.account, at=at or self.now
        )


@pytest.fixture
def case(db):
    return Case()


def test_submitting_is_the_providers_yes_and_waits_for_the_customer(case):
    request = case.submit()
    assert request.status == "open"
    assert [(d.side, d.by) for d in request.decisions.all()] == [("provider", case.manager)]
    assert not case.is_approved()


def test_both_sides_make_it_approved(case):
    request = case.decide(case.submit(), case.approver)
    assert request.status == "approved"
    assert case.is_approved()


def test_an_approval_is_of_one_digest_only(case):
    case.decide(case.submit(), case.approver)
    assert not case.is_approved(digest=OTHER)


def test_what_was_seen_must_be_what_is_asked(case):
    request = case.submit()
    with pytest.raises(StaleState, match="not what you were shown"):
        case.decide(request, case.approver, seen_digest=OTHER)
    assert request.decisions.count() == 1


def test_the_same_decision_again_gives_the_same_answer(case):
    request = case.submit()
    first = case.decide(request, case.approver)
    again = case.decide(request, case.approver)
    assert (again.status, again.closed_at) == (first.status, first.closed_at)
    assert ApprovalDecision.objects.filter(side="customer").count() == 1
    assert AuditEntry.objects.filter(what="approval.approve", actor_ref=str(case.approver.ref)).count() == 1


def test_submitting_again_with_the_same_digest_is_the_same_request(case):
    assert case.submit() == case.submit()
    assert ApprovalRequest.objects.count() == 1


def test_submitting_something_else_meanwhile_is_refused(case):
    case.submit()
    with pytest.raises(StaleState, match="still waiting"):
        case.submit(digest=OTHER)


def test_a_customer_cannot_submit(case):
    with pytest.raises(NotPermitted, match="Only a launch manager"):
        case.submit(actor=case.admin)
    assert not ApprovalRequest.objects.exists()


@pytest.mark.parametrize("who", ["editor", "viewer", "stranger"])
def test_only_an_approver_or_admin_decides_for_the_customer(case, who):
    people = {"editor": case.editor, "viewer": make.member(case.account), "stranger": make.user()}
    with pytest.raises(NotPermitted, match="approver or admin"):
        case.decide(case.submit(), people[who])


def test_a_launch_manager_never_counts_for_the_customer(case):
    both = make.launch_manager(case.account.team)
    make.Membership.objects.create(account=case.account, user=both, role="admin", granted_by=case.admin)
    with pytest.raises(NotPermitted, match="never for the customer"):
        case.decide(case.submit(), both)


def test_nobody_counts_for_both_sides_even_after_leaving_the_team(case):
    request = case.submit()
    case.manager.team_memberships.all().delete()
    make.Membership.objects.create(
        account=case.account, user=case.manager, role="approver", granted_by=case.admin
    )
    with pytest.raises(NotPermitted, match="both sides"):
        case.decide(request, case.manager)


def test_whoever_submitted_it_reads_what_it_waits_for(case):
    says = approvals.may_decide(case.submit(), case.manager, "customer", at=case.now)
    assert says == (
        "Your decision for the provider is given, and nobody counts for both sides. "
        "It waits for an approver or admin of the account."
    )


def test_the_database_itself_lets_nobody_count_for_both_sides(case):
    request = case.submit()
    with pytest.raises(IntegrityError), transaction.atomic():
        ApprovalDecision.objects.create(
            request=request,
            side="customer",
            decision="approve",
            digest=DIGEST,
            by=case.manager,
            by_name="x",
            role="admin",
            at=case.now,
        )


def test_the_author_does_not_approve_own_work(case):
    request = case.submit(author=case.approver)
    with pytest.raises(NotPermitted, match="drew this up"):
        case.decide(request, case.approver)
    assert case.decide(request, case.admin).status == "approved"


def test_a_role_granted_to_oneself_does_not_approve(case):
    selfish = make.member(case.account, "admin")
    make.Membership.objects.filter(user=selfish).update(granted_by=selfish)
    with pytest.raises(NotPermitted, match="gave yourself"):
        case.decide(case.submit(), selfish)


def test_a_rejection_needs_a_reason_and_ends_it(case):
    request = case.submit()
    with pytest.raises(Refused, match="Say why"):
        case.decide(request, case.approver, decision="reject", reason="  ")
    rejected = case.decide(request, case.approver, decision="reject", reason="Sale on Friday")
    assert (rejected.status, rejected.closed_reason) == ("rejected", "Sale on Friday")
    with pytest.raises(StaleState, match="nothing left to decide"):
        case.decide(request, case.admin)


@pytest.mark.parametrize(("after_s", "in_time"), [(-1, True), (0, False), (1, False)])
def test_a_decision_at_or_after_the_expiry_is_too_late(case, after_s, in_time):
    expires_at = case.now + timedelta(hours=1)
    request = case.submit(expires_at=expires_at)
    at = expires_at + timedelta(seconds=after_s)
    if in_time:
        assert case.decide(request, case.approver, at=at).status == "approved"
    else:
        with pytest.raises(StaleState, match="submitted anew"):
            case.decide(request, case.approver, at=at)


def test_an_approval_runs_out(case):
    expires_at = case.now + timedelta(hours=1)
    case.decide(case.submit(expires_at=expires_at), case.approver)
    assert case.is_approved(at=expires_at - timedelta(seconds=1))
    assert not case.is_approved(at=expires_at)


def test_what_nobody_decided_in_time_is_marked_expired_once(case):
    expires_at = case.now + timedelta(hours=1)
    request = case.submit(expires_at=expires_at)
    assert approvals.expire_due(expires_at - timedelta(seconds=1)) == 0
    assert approvals.expire_due(expires_at) == 1
    assert approvals.expire_due(expires_at) == 0
    request.refresh_from_db()
    assert request.status == "expired"


@pytest.mark.parametrize("how", ["removed", "demoted", "switched off"])
def test_an_approval_that_rests_on_somebody_who_lost_the_role_does_not_stand(case, how):
    request = case.decide(case.submit(), case.approver)
    if how == "removed":
        case.approver.memberships.all().delete()
    elif how == "demoted":
        case.approver.memberships.update(role="editor")
    else:
        type(case.approver).objects.filter(pk=case.approver.pk).update(is_active=False)
    assert approvals.rests_on_removed(ApprovalRequest.objects.get(pk=request.pk)) == (case.approver.name,)
    assert not case.is_approved()


def test_a_launch_manager_who_left_the_team_takes_the_providers_yes_along(case):
    case.decide(case.submit(), case.approver)
    case.manager.team_memberships.all().delete()
    assert not case.is_approved()


def test_who_approved_for_the_customer_does_not_start_it(case):
    request = case.decide(case.submit(), case.approver)
    approvals.check_starter(request, case.manager)
    with pytest.raises(NotPermitted, match="somebody else must start"):
        approvals.check_starter(request, case.approver)


def test_voiding_ends_an_approval_and_a_new_one_can_be_asked_for(case):
    request = case.decide(case.submit(), case.approver)
    approvals.void(request, reason="The pool changed.", at=case.now)
    assert not case.is_approved()
    assert case.submit(digest=OTHER).status == "open"


def test_the_subjects_app_learns_of_the_decision_and_can_undo_it(case, monkeypatch):
    told = []

    def on_change(request):
        told.append(request.status)
        raise Refused("The plan is gone.")

    monkeypatch.setitem(registry._subjects, "test.subject", registry.Subject(on_change))
    request = case.submit()
    with pytest.raises(Refused, match="gone"):
        case.decide(request, case.approver)
    assert told == ["approved"]
    request.refresh_from_db()
    assert request.status == "open"
    assert request.decisions.count() == 1


def test_a_decision_cannot_be_rewritten_or_removed(case):
    request = case.submit()
    with pytest.raises(DatabaseError, match="stays as it was given"), transaction.atomic():
        ApprovalDecision.objects.update(reason="never said")
    with pytest.raises(DatabaseError, match="stays as it was given"), transaction.atomic():
        ApprovalDecision.objects.all().delete()
    with pytest.raises(DatabaseError, match="asks for what it asked for"), transaction.atomic():
        ApprovalRequest.objects.filter(pk=request.pk).update(digest=OTHER)


def made_less(case, request, digest=OTHER, **fields):
    return approvals.lessen(
        request,
        digest=digest,
        changes=["Servers that come out: 2, not 3"],
        actor=case.manager,
        at=case.now,
        **fields,
    )


def test_what_was_made_less_stays_approved_and_who_approved_it_is_told(case):
    request = made_less(case, case.decide(case.submit(), case.approver), reason="One stays.")
    assert (request.status, request.digest, request.lessened_from) == ("approved", OTHER, [DIGEST])
    assert case.is_approved(digest=OTHER)
    assert approvals.approved_request("test.subject", case.subject_ref, OTHER) == request
    assert not case.is_approved(digest=DIGEST)
    assert {d.digest for d in request.decisions.all()} == {DIGEST}
    (told,) = Message.objects.filter(purpose="approval_lessened")
    assert told.user == case.approver
    assert AuditEntry.objects.filter(what="approval.lessened", after__plan_hash=OTHER).exists()


def test_what_waits_is_decided_as_it_is_now(case):
    request = made_less(case, case.submit())
    with pytest.raises(StaleState, match="not what you were shown"):
        case.decide(request, case.approver)
    assert case.decide(request, case.approver, seen_digest=OTHER).status == "approved"
    assert case.is_approved(digest=OTHER)
    told = {row.user for row in Message.objects.filter(purpose="approval_lessened")}
    assert told == {case.admin, case.approver}


def test_whoever_approved_more_gets_the_same_answer_again(case):
    request = made_less(case, case.decide(case.submit(), case.approver))
    assert case.decide(request, case.approver).status == "approved"


def test_what_does_not_stand_is_not_made_less(case):
    gone = approvals.void(case.submit(), reason="Too early.", at=case.now)
    with pytest.raises(StaleState, match="does not stand any more"):
        made_less(case, gone)


def test_a_yes_to_something_else_covers_nothing_without_a_step_from_it(case):
    request = made_less(case, case.decide(case.submit(), case.approver))
    for forged in ({"lessened_from": []}, {"digest": "c" * 64}, {"digest": DIGEST}):
        with pytest.raises(DatabaseError, match="asks for what it asked for"), transaction.atomic():
            ApprovalRequest.objects.filter(pk=request.pk).update(**forged)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        ApprovalRequest.objects.filter(pk=request.pk).update(lessened_from=[])
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert not case.is_approved(digest=OTHER)
    assert approvals.approved_request("test.subject", case.subject_ref, OTHER) is None


def test_the_page_says_before_the_click_why_one_cannot_decide(case):
    request = case.submit()
    assert approvals.may_decide(request, case.approver, "customer", at=case.now) == ""
    other = make.launch_manager(case.account.team, role="lead")
    assert "never for the customer" in approvals.may_decide(request, other, "customer", at=case.now)
