"""Invitations: by mail, once, while the inviter may still give the role; and nothing about who else is here."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts import invitations, members
from accounts.invitations import forget_old_sends
from accounts.models import Invitation, InvitationSent, Membership, TeamMembership, User
from accounts.tasks import tidy
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState, TooOften
from portal.events.models import Event
from portal.notify.models import Message
from portal.runs import registry
from portal.runs.models import Run
from portal.runs.services import create_run
from tests import factories as make
from tests.runs.test_store_pg import in_thread, until_waiting

PASSWORD = "quite-a-few-words"
REMOVE = 'Remove…<span class="visually-hidden"> {}</span>'


class Desk:
    """An account with its admin, its team with a lead, and what was mailed."""

    def __init__(self):
        self.team = make.team("Launch team North")
        self.account = make.account("Lindgren Outdoor", of=self.team)
        self.admin = make.member(self.account, "admin", "Maja Lindgren")
        self.lead = make.launch_manager(self.team, "Lena Fors", "lead")
        self.manager = make.launch_manager(self.team)

    def invite(self, email="vera@new.example", role="viewer", by=None, to=None, **fields):
        return invitations.invite(
            to or self.account, email=email, role=role, actor=by or self.admin, **fields
        )

    def token(self, invitation):
        """What the newest mail of an invitation carries."""
        from portal.notify.compose import unpack

        told = Message.objects.filter(subject_ref=f"invitation:{invitation.ref}").order_by("-pk").first()
        return unpack(told.context)["link_url"].rstrip("/").rpartition("/")[2]

    def join(self, token, browser=None, **data):
        return (browser or Client()).post(
            f"/join/{token}/",
            {"name": "Vera Holm", "password": PASSWORD, "password_again": PASSWORD, **data},
        )


@pytest.fixture
def desk(db):
    return Desk()


def logged_in(user):
    browser = Client()
    browser.force_login(user)
    return browser


# inviting


def test_an_invitation_is_mailed_and_its_token_is_stored_only_as_a_keyed_hash(desk):
    invitation = desk.invite()
    token = desk.token(invitation)
    assert token.startswith("ssi_")
    assert len(token) > 40
    stored = [str(getattr(invitation, field.attname)) for field in Invitation._meta.concrete_fields]
    assert not any(token in value for value in stored)
    assert not any(token in str(vars(entry)) for entry in AuditEntry.objects.all())
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(m)::text FROM notify_message m")
        assert not any(token in row for (row,) in cursor.fetchall())
    assert invitation.digest != __import__("hashlib").sha256(token.encode()).hexdigest()
    assert timedelta(days=6, hours=23) < invitation.expires_at - timezone.now() <= timedelta(days=7)


@pytest.mark.parametrize(
    ("who", "role"), [("manager", "approver"), ("manager", "admin"), ("lead", "approver"), ("lead", "admin")]
)
def test_nobody_invites_to_more_than_they_may_give(desk, who, role):
    with pytest.raises(NotPermitted, match="above your own"):
        desk.invite(role=role, by=getattr(desk, who))
    assert not Message.objects.exists()


def test_a_lead_invites_the_first_admin_and_the_approval_of_that_admin_says_so(desk):
    account = make.account("New customer", of=desk.team)
    invitation = desk.invite("anna@new.example", "admin", by=desk.lead, to=account)
    desk.join(desk.token(invitation))
    made = Membership.objects.get(account=account)
    assert (made.role, made.granted_by, made.granted_as) == ("admin", desk.lead, "lead")
    from portal.approvals import services as approvals

    request = make.approval(account, desk.manager)
    approvals.decide(
        request,
        actor=made.user,
        side="customer",
        decision="approve",
        seen_digest=request.digest,
        at=timezone.now(),
    )
    decision = request.decisions.get(side="customer")
    assert decision.rests_on == "The role admin was given by Lena Fors, lead of the provider's team."


def test_who_is_a_member_already_is_not_invited(desk):
    with pytest.raises(Refused, match="member already"):
        desk.invite(desk.admin.email.upper())
    with pytest.raises(Refused, match="both sides"):
        desk.invite(desk.manager.email)
    with pytest.raises(Refused, match="both sides"):
        desk.invite(desk.admin.email, "launch_manager", by=desk.lead, to=desk.team)


def test_inviting_a_user_of_the_portal_tells_nothing_about_them(desk):
    elsewhere = make.member(make.account(), "admin", "Nobody's business")
    operator = make.user(is_operator=True)
    browser, answers = logged_in(desk.admin), []
    for email in (elsewhere.email, operator.email, "really@new.example"):
        answer = browser.post(
            f"/accounts/{desk.account.ref}/access/invite/", {"email": email, "role": "viewer"}, follow=True
        )
        answers.append((answer.status_code, answer.redirect_chain))
        assert "Nobody's business" not in answer.content.decode()
    assert answers[0] == answers[1] == answers[2]
    assert Message.objects.filter(purpose="invitation").count() == 3


def test_inviting_again_ends_the_link_before(desk):
    first = desk.invite()
    old = desk.token(first)
    second = desk.invite(role="editor")
    assert invitations.invitation_of(old, now=timezone.now()) is None
    assert invitations.invitation_of(desk.token(second), now=timezone.now()) == second


def test_sending_again_makes_a_new_link_in_the_name_of_who_asks(desk):
    invitation = desk.invite(by=desk.manager)
    old = desk.token(invitation)
    again = invitations.send_again(invitation, actor=desk.admin)
    assert again.invited_by == desk.admin
    assert invitations.invitation_of(old, now=timezone.now()) is None
    assert invitations.invitation_of(desk.token(again), now=timezone.now()) == again


def test_there_is_a_limit_per_inviter_and_per_account(desk, monkeypatch):
    monkeypatch.setattr(invitations, "PER_INVITER_AN_HOUR", 3)
    monkeypatch.setattr(invitations, "PER_PLACE_A_DAY", 4)
    now = timezone.now()
    for number in range(3):
        desk.invite(f"n{number}@new.example", now=now)
    with pytest.raises(TooOften, match="3 invitations in an hour"):
        desk.invite("n3@new.example", now=now + timedelta(minutes=59))
    desk.invite("n3@new.example", by=desk.lead, now=now)
    with pytest.raises(TooOften, match="4 invitations in a day"):
        desk.invite("n4@new.example", by=desk.manager, now=now)
    desk.invite("n4@new.example", now=now + timedelta(hours=25))


def test_too_many_are_429_with_the_time_to_wait(desk, monkeypatch):
    monkeypatch.setattr(invitations, "PER_INVITER_AN_HOUR", 1)
    desk.invite()
    headers = make.bearer(make.token(desk.admin))
    answer = Client().post(
        f"/api/v1/accounts/{desk.account.ref}/invitations",
        {"email": "b@new.example", "role": "viewer"},
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY="k",
        **headers,
    )
    assert answer.status_code == 429
    assert 3500 < int(answer["Retry-After"]) <= 3600


# accepting


def test_opening_the_link_changes_nothing_and_says_who_invites_to_what(desk):
    invitation = desk.invite(role="approver")
    before = Invitation.objects.values().get()
    for _ in range(2):
        page = Client().get(f"/join/{desk.token(invitation)}/")
        text = page.content.decode()
        for word in ("Maja Lindgren", "Lindgren Outdoor", "approver", "vera@new.example"):
            assert word in text
        assert page["Referrer-Policy"] == "same-origin"
        assert page["Cache-Control"] == "no-store"
    assert Invitation.objects.values().get() == before
    assert not User.objects.filter(email="vera@new.example").exists()


def test_somebody_new_accepts_with_a_password_and_is_logged_in(desk):
    browser = Client()
    answer = desk.join(desk.token(desk.invite(role="editor")), browser)
    assert answer.status_code == 302
    assert answer["Location"] == f"/accounts/{desk.account.ref}/"
    assert browser.get(answer["Location"]).status_code == 200
    made = Membership.objects.get(user__email="vera@new.example")
    assert (made.role, made.granted_by, made.user.name) == ("editor", desk.admin, "Vera Holm")
    entry = AuditEntry.objects.get(what="member.granted")
    assert (entry.actor_name, entry.on_behalf_of_name) == ("Vera Holm", "Maja Lindgren")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"password": "short", "password_again": "short"}, "too short"),
        ({"password": "password1234", "password_again": "password1234"}, "too common"),
        ({"password_again": "something-else-entirely"}, "not the same"),
        ({"name": ""}, "required"),
    ],
)
def test_a_bad_password_is_refused_and_the_invitation_stays_open(desk, data, says):
    token = desk.token(desk.invite())
    answer = desk.join(token, **data)
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert desk.join(token).status_code == 302


def test_a_user_accepts_logged_in_with_that_address_and_no_other(desk):
    user, other = make.user("Vera Holm", email="vera@new.example"), make.user("Somebody else")
    token = desk.token(desk.invite())
    assert "Log in with vera@new.example" in Client().get(f"/join/{token}/").content.decode()
    assert desk.join(token).status_code == 422
    wrong = logged_in(other)
    assert "logged in with another address" in wrong.get(f"/join/{token}/").content.decode()
    refused = wrong.post(f"/join/{token}/")
    assert refused.status_code == 403
    assert "vera@new.example" in refused.content.decode()
    assert not Membership.objects.filter(user=other).exists()
    assert not any(token in str(vars(entry)) for entry in AuditEntry.objects.all())
    assert logged_in(user).post(f"/join/{token}/").status_code == 302
    assert Membership.objects.filter(user=user, role="viewer").exists()


def _used(desk, invitation, token):
    desk.join(token)


def _revoked(desk, invitation, token):
    invitations.revoke(invitation, actor=desk.admin)


def _expired(desk, invitation, token):
    Invitation.objects.update(expires_at=timezone.now())


def _inviter_removed(desk, invitation, token):
    other = make.member(desk.account, "admin")
    members.remove_member(desk.account, desk.admin, actor=other)


def _inviter_demoted(desk, invitation, token):
    other = make.member(desk.account, "admin")
    members.grant_role(desk.account, desk.admin, "viewer", actor=other)


def _inviter_switched_off(desk, invitation, token):
    members.deactivate_user(desk.admin, actor=None, reason="Left.")


def _archived(desk, invitation, token):
    from accounts.services import archive_account

    archive_account(desk.account, reason="The contract ended.", actor=desk.lead)


@pytest.mark.parametrize(
    "how", [_used, _revoked, _expired, _inviter_removed, _inviter_demoted, _inviter_switched_off, _archived]
)
def test_every_token_that_opens_nothing_gives_one_answer(desk, how):
    invitation = desk.invite()
    token = desk.token(invitation)
    how(desk, invitation, token)
    before = User.objects.count()
    made_up = Client().get("/join/ssi_made_up/")
    for answer in (Client().get(f"/join/{token}/"), desk.join(token)):
        assert answer.status_code == 404
        plain = [_without_id(one.content.decode()) for one in (answer, made_up)]
        assert plain[0] == plain[1]
        assert "send it again" in plain[0]
    assert User.objects.count() == before


def _without_id(text):
    import re

    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", text)


def test_a_second_first_admin_is_void_once_there_is_one(desk):
    account = make.account(of=desk.team)
    one = desk.invite("one@new.example", "admin", by=desk.lead, to=account)
    other = desk.invite("other@new.example", "admin", by=desk.lead, to=account)
    assert desk.join(desk.token(one)).status_code == 302
    assert desk.join(desk.token(other)).status_code == 404
    listed = invitations.shown(invitations.open_rows(account), now=timezone.now())
    assert [one.state for one in listed] == ["void"]


def test_an_operator_who_was_invited_gets_no_role(desk):
    operator = make.user("Olof", email="vera@new.example", is_operator=True)
    answer = logged_in(operator).post(f"/join/{desk.token(desk.invite())}/")
    assert answer.status_code == 422
    assert not Membership.objects.filter(user=operator).exists()


def test_a_lead_invites_into_the_team(desk):
    answer = desk.join(
        desk.token(desk.invite("nils@north.example", "launch_manager", by=desk.lead, to=desk.team))
    )
    assert answer["Location"] == f"/teams/{desk.team.ref}/"
    made = TeamMembership.objects.get(user__email="nils@north.example")
    assert (made.role, made.granted_by) == ("launch_manager", desk.lead)
    with pytest.raises(NotPermitted):
        desk.invite("b@north.example", "launch_manager", by=desk.manager, to=desk.team)


def test_what_happens_to_invitations_is_told_by_reference_alone(desk):
    invitation = desk.invite()
    desk.join(desk.token(invitation))
    invitations.revoke(desk.invite("other@new.example"), actor=desk.admin)
    told = list(Event.objects.filter(type__startswith="invitation.").order_by("pk"))
    assert [event.type.partition(".")[2] for event in told] == ["sent", "accepted", "sent", "revoked"]
    assert told[0].subject_ref == str(invitation.ref)
    assert "new.example" not in str([vars(event) for event in told])


def test_what_was_accepted_is_not_taken_back(desk):
    invitation = desk.invite()
    desk.join(desk.token(invitation))
    with pytest.raises(StaleState, match="Remove the member"):
        invitations.revoke(invitation, actor=desk.admin)
    with pytest.raises(StaleState):
        invitations.send_again(invitation, actor=desk.admin)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_accept_at_once_with_one_token_one_is_let_in():
    desk = Desk()
    token = desk.token(desk.invite())
    with transaction.atomic():
        invitations.accept_as_new(token, name="One", password=PASSWORD)
        thread, box = in_thread(invitations.accept_as_new, token, name="Two", password=PASSWORD)
        until_waiting(thread)
    thread.join(10)
    assert isinstance(box["error"], invitations.InvitationGone)
    assert User.objects.filter(email="vera@new.example").count() == 1


@pytest.mark.django_db(transaction=True)
def test_who_is_demoted_in_the_moment_of_the_acceptance_gives_nothing():
    desk = Desk()
    other = make.member(desk.account, "admin")
    token = desk.token(desk.invite(role="approver"))
    with transaction.atomic():
        members.grant_role(desk.account, desk.admin, "viewer", actor=other)
        thread, box = in_thread(invitations.accept_as_new, token, name="Two", password=PASSWORD)
        until_waiting(thread)
    thread.join(10)
    assert isinstance(box["error"], invitations.InvitationGone)
    assert not Membership.objects.filter(role="approver").exists()


# pages and API


@pytest.mark.parametrize("who", ["admin", "manager", "lead"])
def test_the_access_page_offers_what_each_may_do(desk, who):
    make.member(desk.account, "approver", "Astrid Lund")
    make.member(desk.account, "viewer", "Vera Holm")
    desk.invite("new@new.example")
    text = logged_in(getattr(desk, who)).get(f"/accounts/{desk.account.ref}/access/").content.decode()
    assert (REMOVE.format("Astrid Lund") in text) == (who != "manager")
    assert REMOVE.format("Vera Holm") in text
    assert "new@new.example" in text


def test_a_viewer_reads_names_and_roles_and_nothing_more(desk):
    viewer = make.member(desk.account, "viewer", "Vera Holm")
    desk.invite("new@new.example")
    text = logged_in(viewer).get(f"/accounts/{desk.account.ref}/access/").content.decode()
    assert "Maja Lindgren" in text
    assert "Lena Fors" in text
    assert desk.admin.email not in text
    assert "new@new.example" not in text
    answer = (
        Client().get(f"/api/v1/accounts/{desk.account.ref}/members", **make.bearer(make.token(viewer))).json()
    )
    assert {row["email"] for row in answer["results"]} == {None}


def test_the_lists_of_people_take_the_same_queries_for_few_and_for_many(desk, django_assert_num_queries):
    browser = logged_in(desk.admin)
    headers = make.bearer(make.token(desk.admin))
    pages = [
        lambda: browser.get(f"/accounts/{desk.account.ref}/access/"),
        lambda: Client().get(f"/api/v1/accounts/{desk.account.ref}/members", **headers),
        lambda: Client().get(f"/api/v1/accounts/{desk.account.ref}/invitations", **headers),
    ]
    desk.invite("first@new.example")
    from django.test.utils import CaptureQueriesContext

    counts = []
    for _round in range(2):
        for page in pages:
            page()
        counts.append([])
        for page in pages:
            with CaptureQueriesContext(connection) as taken:
                assert page().status_code == 200
            counts[-1].append(len(taken))
        for number in range(12):
            make.member(desk.account, "viewer", f"Viewer {number}")
            if number < 6:
                desk.invite(f"m{number}@new.example")
    assert counts[0] == counts[1]
    assert max(counts[1]) <= 22


def test_roles_are_changed_and_taken_by_the_api_with_the_version_that_was_read(desk):
    viewer = make.member(desk.account, "viewer", "Vera Holm")
    row = Membership.objects.get(user=viewer)
    client, headers = Client(), make.bearer(make.token(desk.admin))
    url = f"/api/v1/members/{row.ref}"
    body = {"data": {"role": "approver"}, "content_type": "application/json"}
    assert client.patch(url, **body, **headers).status_code == 428
    etag = client.get(url, **headers)["ETag"]
    changed = client.patch(url, **body, **headers, HTTP_IF_MATCH=etag)
    assert changed.json()["role"] == "approver"
    assert client.delete(url, **headers, HTTP_IF_MATCH=etag).status_code == 412
    assert client.delete(url, **headers, HTTP_IF_MATCH=changed["ETag"]).status_code == 204
    mine = f"/api/v1/members/{Membership.objects.get(user=desk.admin).ref}"
    refused = client.delete(mine, **headers, HTTP_IF_MATCH="*")
    assert refused.status_code == 422
    assert refused.json()["type"].endswith(":last-admin")


def test_an_invitation_is_accepted_by_the_api(desk):
    token = desk.token(desk.invite())
    client = Client()
    url, json = "/api/v1/invitations/accept", {"content_type": "application/json"}
    assert client.post(url, {"token": token}, **json).status_code == 401
    answer = client.post(url, {"token": token, "name": "Vera", "password": PASSWORD}, **json)
    assert answer.status_code == 201
    assert answer.json()["account"]["name"] == "Lindgren Outdoor"
    again = client.post(url, {"token": token, "name": "Vera", "password": PASSWORD}, **json)
    made_up = client.post(url, {"token": "ssi_x", "name": "Vera", "password": PASSWORD}, **json)
    assert again.status_code == made_up.status_code == 422
    assert again.json()["detail"] == made_up.json()["detail"]


def test_a_lead_opens_and_archives_accounts_but_not_while_a_run_is_open(desk, request):
    registry.forget_kind("toy")  # one that another test left
    registry.register_kind("toy", lambda: None)
    request.addfinalizer(lambda: registry.forget_kind("toy"))
    browser = logged_in(desk.lead)
    answer = browser.post(
        f"/teams/{desk.team.ref}/accounts/open/",
        {"name": "Harbor Books", "number": "654321", "time_zone": "UTC", "milestone": 1},
    )
    assert answer.status_code == 302
    archive = f"/accounts/{desk.account.ref}/archive/"
    run = Run.objects.create(
        account=desk.account,
        kind="toy",
        plan_ref=uuid.uuid4(),
        title="web: back to 3",
        plan={},
        progress={},
        digest="a" * 64,
        scopes=[],
        status="running",
        next_tick_at=timezone.now(),
        created_by=desk.lead,
    )
    refused = browser.post(archive, {"reason": "The contract ended."})
    assert refused.status_code == 422
    assert "web: back to 3" in refused.content.decode()
    Run.objects.filter(pk=run.pk).update(status="completed", next_tick_at=None, ended_at=timezone.now())
    assert browser.post(archive, {"reason": ""}).status_code == 422
    assert browser.post(archive, {"reason": "The contract ended."}).status_code == 302
    with pytest.raises(Refused, match="archived"):
        desk.invite()
    with pytest.raises(Refused, match="archived"):
        create_run(
            account=desk.account,
            kind="toy",
            plan_ref=uuid.uuid4(),
            plan={},
            digest="a" * 64,
            resource_keys=(),
            scopes=(),
            title="again",
            actor=desk.lead,
        )
    assert (
        browser.post(f"/accounts/{desk.account.ref}/reopen/", {"reason": "They are back."}).status_code == 302
    )
    assert desk.invite()


def test_a_token_of_an_invitation_is_cut_out_of_the_logs():
    from portal.logs import _without_keys

    event = {"event": "Not Found: /join/ssi_secret/", "request": "GET /join/ssi_secret/?x=1"}
    assert "secret" not in str(_without_keys(None, "", event))


@pytest.mark.django_db
def test_when_an_ended_invitation_was_sent_is_forgotten_after_thirty_days():
    account = make.account()
    lead, now = make.launch_manager(account.team, role="lead"), timezone.now()
    old, new = now - timedelta(days=31), now - timedelta(days=29)
    kept = []
    for number, ended in enumerate(({}, {"revoked_at": old}, {"accepted_at": old}, {"expires_at": old})):
        invitation = make.invitation(
            account, lead, f"ssi_{number}", email=f"p{number}@people.example", **ended
        )
        early = InvitationSent.objects.create(invitation=invitation, at=old)
        late = InvitationSent.objects.create(invitation=invitation, at=new)
        kept += [late.pk] if ended else [early.pk, late.pk]
    assert forget_old_sends(now, batch=2) == 2
    assert forget_old_sends(now) == 1
    assert sorted(InvitationSent.objects.values_list("pk", flat=True)) == sorted(kept)
    tidy()
    assert InvitationSent.objects.count() == len(kept)
