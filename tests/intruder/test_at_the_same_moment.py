"""What two people do at the same moment: neither waits for the other for ever, and nobody meets a fault of ours."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.utils import timezone
from psycopg.errors import DeadlockDetected

from accounts import invitations, members, people_api, services
from accounts.models import CloudConnection, Invitation
from portal.approvals.models import ApprovalRequest
from portal.approvals.services import decide, submit
from portal.notify.services import tell
from portal.runs import registry
from portal.runs.models import Run
from tests import factories as make
from tests.runs.desks import PgDesk
from tests.runs.test_store_pg import in_thread, until_waiting

JSON = {"content_type": "application/json"}


@pytest.mark.django_db(transaction=True)
def test_an_invitation_that_is_taken_back_while_it_is_accepted_ends_one_way_or_the_other():
    account = make.account()
    admin = make.member(account, "admin")
    invitation = invitations.invite(account, email="vera@home.example", role="viewer", actor=admin)
    call = {**JSON, "HTTP_IF_MATCH": "*", **make.bearer(make.token(admin))}
    with transaction.atomic():
        members.lock_account(account)
        thread, box = in_thread(Client().delete, f"/api/v1/invitations/{invitation.ref}", **call)
        until_waiting(thread)
        # As accepting does: the account, then the invitation.
        Invitation.objects.select_for_update().get(pk=invitation.pk)
    thread.join(10)
    assert box["result"].status_code == 200, box["result"].content


@pytest.mark.django_db(transaction=True)
def test_a_decision_waits_for_the_account_before_it_holds_what_is_decided():
    account = make.account()
    manager, approver = make.launch_manager(account.team), make.member(account, "approver")
    asked = {"account": account, "subject_type": "toy", "subject_ref": account.ref, "title": "Toy"}
    request = submit(**asked, digest="a" * 64, author=manager, actor=manager, at=timezone.now())
    said = {"side": "customer", "decision": "approve", "seen_digest": "a" * 64, "at": timezone.now()}
    with transaction.atomic():
        members.lock_account(account)
        thread, box = in_thread(decide, request, actor=approver, **said)
        until_waiting(thread)
        ApprovalRequest.objects.select_for_update().get(pk=request.pk)
    thread.join(10)
    assert box["result"].status == "approved"


@pytest.mark.django_db(transaction=True)
def test_a_run_that_tells_its_people_does_not_collide_with_a_change_of_roles():
    desk = PgDesk()
    try:
        ref = desk.create()
        make.member(desk.account, "admin")
        user = make.member(desk.account, "viewer")
        with transaction.atomic():
            Run.objects.select_for_update().get(ref=ref)
            thread, box = in_thread(members.grant_role, desk.account, user, "editor", actor=None)
            until_waiting(thread)
            about = {"subject_ref": f"run:{ref}", "account": desk.account, "context": {}}
            tell("run_started", to=user, **about)
            with connection.cursor() as cursor:
                # What a commit would check as well.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        thread.join(10)
        assert box["result"].role == "editor"
    finally:
        registry.forget_kind("toy")


@pytest.mark.django_db(transaction=True)
def test_a_changed_connection_does_not_collide_with_a_plan_that_is_drawn_up_by_it():
    account = make.account()
    manager = make.launch_manager(account.team)
    held = make.connection(account)
    with transaction.atomic():
        # As a new plan does by its foreign keys: the account, then the connection.
        type(account).objects.select_for_update(no_key=True).get(pk=account.pk)
        thread, box = in_thread(services.change_connection, held, {"name": "New"}, actor=manager)
        thread.join(5)
        CloudConnection.objects.select_for_update().get(pk=held.pk)
    thread.join(10)
    assert box["result"].name == "New"


@pytest.fixture
def collides(monkeypatch):
    def collide(*args, **kwargs):
        raise OperationalError("deadlock detected") from DeadlockDetected()

    monkeypatch.setattr(people_api.members, "remove_member", collide)


@pytest.mark.django_db
def test_whoever_collides_all_the_same_reads_that_nothing_was_done(collides):
    account = make.account()
    viewer = make.member(account, "viewer")
    call = {**JSON, "HTTP_IDEMPOTENCY_KEY": "one", **make.bearer(make.token(viewer))}
    answer = Client().post(f"/api/v1/accounts/{account.ref}/leave", **call)
    assert answer.status_code == 503, answer.content
    assert answer["Retry-After"] == "1"
    assert "Nothing of yours was done" in answer.json()["detail"]
    browser = Client()
    browser.force_login(viewer)
    page = browser.post(f"/accounts/{account.ref}/leave/")
    assert page.status_code == 503
    assert "Nothing of yours was done" in page.content.decode()
