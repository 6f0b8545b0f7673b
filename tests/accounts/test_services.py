"""Changes to people, contacts, connections and tokens."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts import services, tokens
from accounts.contacts.selectors import freshness
from accounts.models import CloudConnection, Contact, Membership, User
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused
from tests import factories as make

pytestmark = pytest.mark.django_db
FIELDS = {"name": "Ada", "email": "ada@shop.example", "roles": ["technical"]}
CONNECTION = {
    "name": "Shop",
    "identity_url": "https://identity.provider.example/v2.0",
    "username": "u",
    "api_key": "very-secret-key",
    "tenant": "1",
    "region": "DFW",
}


# users and roles


def test_two_users_cannot_share_a_mail_address_in_another_case():
    make.user(email="a@x.example")
    with pytest.raises(Refused, match="already"):
        services.create_user(email="A@X.example", name="B", password=None)
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="A@X.example", name="B")


def test_nobody_gives_a_role_above_their_own():
    account = make.account()
    editor_who_manages = make.member(account, "admin")
    services.grant_role(account, make.user(), "admin", actor=editor_who_manages)
    manager = make.launch_manager(account.team)
    with pytest.raises(NotPermitted, match="above your own"):
        services.grant_role(account, make.user(), "approver", actor=manager)
    services.grant_role(account, make.user(), "editor", actor=manager)


def test_an_accounts_first_admin_comes_from_a_lead():
    account = make.account()
    lead = make.launch_manager(account.team, role="lead")
    services.grant_role(account, make.user(), "admin", actor=lead)
    with pytest.raises(NotPermitted):
        services.grant_role(account, make.user(), "admin", actor=lead)


def test_the_last_admin_cannot_be_demoted_or_removed():
    account = make.account()
    admin = make.member(account, "admin")
    with pytest.raises(Refused, match="last admin"):
        services.grant_role(account, admin, "viewer", actor=admin)
    with pytest.raises(Refused, match="last admin"):
        services.remove_member(account, admin, actor=admin)
    services.grant_role(account, make.user(), "admin", actor=admin)
    services.remove_member(account, admin, actor=admin)
    assert not Membership.objects.filter(user=admin).exists()


def test_an_operator_gets_no_role():
    account = make.account()
    with pytest.raises(Refused, match="operator"):
        services.grant_role(account, make.user(is_operator=True), "viewer", actor=None)


# contacts


def test_a_new_contact_is_unconfirmed_and_on_record():
    account = make.account()
    actor = make.member(account, "editor")
    contact = services.add_contact(account, FIELDS, actor=actor)
    assert contact.confirmed_on is None
    entry = AuditEntry.objects.get(what="contact.added")
    assert (entry.account_ref, entry.actor_name, entry.after["name"]) == (account.ref, actor.name, "Ada")


@pytest.mark.parametrize(
    ("field", "value", "stays"),
    [
        ("notes", "x", True),
        ("title", "x", True),
        ("email", "b@x.example", False),
        ("roles", ["billing"], False),
    ],
)
def test_what_was_confirmed_and_then_changed_needs_a_new_confirmation(field, value, stays):
    account = make.account()
    actor = make.member(account, "editor")
    contact = services.add_contact(account, FIELDS, actor=actor)
    services.confirm_contact(contact, actor=actor, on=date(2026, 11, 23))
    changed = services.change_contact(contact, {field: value}, actor=actor)
    assert (changed.confirmed_on is not None) is stays


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"phone": "030 1234"}, "phone"),
        ({"email": "", "phone": ""}, "reached"),
        ({"roles": ["boss"]}, "Roles"),
    ],
)
def test_a_contact_that_cannot_be_called_is_refused(changes, says):
    account = make.account()
    with pytest.raises(Refused, match=f"(?i){says}"):
        services.add_contact(account, {**FIELDS, **changes}, actor=None)


def test_the_database_takes_no_contact_for_another_purpose():
    contact = make.contact(make.account())
    with pytest.raises(IntegrityError), transaction.atomic():
        Contact.objects.filter(pk=contact.pk).update(purpose="marketing")


@pytest.mark.parametrize(
    ("age_days", "expected"),
    [(None, "unconfirmed"), (0, "confirmed"), (90, "confirmed"), (91, "due"), (180, "due"), (181, "stale")],
)
def test_freshness_has_edges_at_90_and_180_days(age_days, expected):
    today = date(2026, 11, 23)
    confirmed_on = None if age_days is None else today - timedelta(days=age_days)
    assert freshness(confirmed_on, today=today) == expected


def test_an_archived_account_is_read_only():
    account = make.account(status="archived")
    with pytest.raises(Refused, match="archived"):
        services.add_contact(account, FIELDS, actor=None)


# cloud connections


def test_the_key_is_encrypted_in_the_database_and_masked_in_the_audit():
    account = make.account()
    row = services.add_connection(account, CONNECTION, actor=None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key FROM accounts_cloudconnection WHERE id = %s", [row.pk])
        stored = cursor.fetchone()[0]
    assert "very-secret-key" not in stored
    assert CloudConnection.objects.get(pk=row.pk).api_key == "very-secret-key"
    entry = AuditEntry.objects.get(what="connection.added")
    assert "very-secret-key" not in str(entry.after)
    assert entry.after["api_key"] == "•••"


def test_a_new_key_shows_in_the_audit_as_changed_and_not_as_itself():
    account = make.account()
    row = services.add_connection(account, CONNECTION, actor=None)
    services.change_connection(row, {"api_key": "another-secret"}, actor=make.launch_manager(account.team))
    entry = AuditEntry.objects.get(what="connection.changed")
    assert entry.after == {"api_key": "•••"}


def test_a_stored_key_is_sent_to_no_other_endpoint():
    account = make.account()
    actor = make.launch_manager(account.team)
    row = services.add_connection(account, CONNECTION, actor=actor)
    elsewhere = {"identity_url": "https://collector.example/v2.0"}
    with pytest.raises(Refused, match="sent to no other"):
        services.change_connection(row, {**elsewhere, "api_key": ""}, actor=actor)
    assert CloudConnection.objects.get(pk=row.pk).identity_url == CONNECTION["identity_url"]
    moved = services.change_connection(row, {**elsewhere, "api_key": "the-new-one"}, actor=actor)
    assert (moved.identity_url, moved.api_key) == (elsewhere["identity_url"], "the-new-one")


@pytest.mark.parametrize(
    ("allowed", "url", "is_taken"),
    [
        ([], "https://identity.provider.example/v2.0", True),
        (["identity.provider.example"], "https://identity.provider.example/v2.0", True),
        (["identity.provider.example"], "https://IDENTITY.provider.example:8443/v2.0", True),
        (["identity.provider.example:443"], "https://identity.provider.example/v2.0", True),
        (["identity.provider.example:443"], "https://identity.provider.example:8443/v2.0", False),
        (["identity.provider.example"], "https://identity.provider.example.collector.example/v2.0", False),
        (["identity.provider.example"], "https://collector.example/identity.provider.example", False),
    ],
)
def test_a_connection_points_to_an_identity_service_that_the_operator_named(settings, allowed, url, is_taken):
    settings.IDENTITY_HOSTS = allowed
    account = make.account()
    actor = make.launch_manager(account.team)
    if is_taken:
        services.add_connection(account, {**CONNECTION, "identity_url": url}, actor=actor)
        return
    with pytest.raises(Refused, match=r"point to identity\.provider\.example"):
        services.add_connection(account, {**CONNECTION, "identity_url": url}, actor=actor)
    row = services.add_connection(
        account, {**CONNECTION, "identity_url": "https://identity.provider.example/v2.0"}, actor=actor
    )
    with pytest.raises(Refused, match=r"point to identity\.provider\.example"):
        services.change_connection(row, {"identity_url": url, "api_key": "another"}, actor=actor)


def test_page_and_api_say_which_identity_service_is_taken(settings):
    settings.IDENTITY_HOSTS = ["identity.provider.example"]
    account = make.account()
    browser = Client()
    browser.force_login(make.launch_manager(account.team))
    fields = {**CONNECTION, "identity_url": "https://collector.example/v2.0"}
    page = browser.post(f"/accounts/{account.ref}/connections/add/", fields)
    api = browser.post(
        f"/api/v1/accounts/{account.ref}/connections",
        fields,
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY="once",
    )
    assert page.status_code == 422
    assert api.status_code in (400, 422)
    for answer in (page, api):
        assert "point to identity.provider.example only" in answer.content.decode()
    assert not CloudConnection.objects.filter(account=account).exists()


def test_once_used_a_connection_keeps_where_it_points():
    account = make.account()
    actor = make.launch_manager(account.team)
    row = services.add_connection(account, CONNECTION, actor=actor)
    services.change_connection(row, {"region": "ORD"}, actor=actor)
    services.mark_connection_used(row, at=timezone.now())
    with pytest.raises(Refused, match="Add a new connection"):
        services.change_connection(row, {"region": "LON"}, actor=actor)
    assert services.change_connection(row, {"name": "Renamed"}, actor=actor).name == "Renamed"


@pytest.mark.parametrize("field", ["identity_url", "tenant", "region", "provider"])
def test_the_database_itself_keeps_a_used_connection_where_it_points(field):
    row = make.connection(make.account(), used_at=timezone.now())
    with pytest.raises(DatabaseError, match="keeps its provider"), transaction.atomic():
        CloudConnection.objects.filter(pk=row.pk).update(**{field: "elsewhere"})


# tokens


def test_a_token_is_stored_only_as_a_digest():
    user = make.user()
    token, secret = tokens.make_token(
        user, name="x", scopes=["me"], expires_at=timezone.now() + timedelta(days=1)
    )
    assert secret.startswith("ss_")
    assert len(secret) > 40
    values = [str(getattr(token, field.attname)) for field in token._meta.concrete_fields]
    assert not any(secret in value for value in values)
    assert not any(secret in str(entry.after) for entry in AuditEntry.objects.all())


@pytest.mark.parametrize("days", [-1, 0, 367])
def test_a_token_ends_between_now_and_a_year(days):
    now = datetime(2026, 11, 23, tzinfo=UTC)
    with pytest.raises(Refused, match="a year"):
        tokens.make_token(
            make.user(), name="x", scopes=["me"], expires_at=now + timedelta(days=days), now=now
        )


@pytest.mark.parametrize("scopes", [[], ["everything"]])
def test_a_token_needs_scopes_that_exist(scopes):
    with pytest.raises(Refused):
        tokens.make_token(make.user(), name="x", scopes=scopes, expires_at=timezone.now() + timedelta(days=1))


def test_revoking_twice_is_one_change():
    user = make.user()
    token, _ = tokens.make_token(user, name="x", scopes=["me"], expires_at=timezone.now() + timedelta(days=1))
    at = timezone.now()
    tokens.revoke_token(token, actor=user, at=at)
    again = tokens.revoke_token(token, actor=user, at=at + timedelta(hours=1))
    assert again.revoked_at == at
    assert AuditEntry.objects.filter(what="token.revoked").count() == 1
