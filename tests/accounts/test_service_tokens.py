"""An account's service tokens, and from where a token may be used."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import members, tokens
from accounts.models import AccountRole, ApiToken, Membership, TeamMembership, TeamRole
from portal.access import SERVICE_ROLES, SERVICE_SCOPES, may_make_service_token, permissions_of
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk():
    class Desk:
        account = make.account("Lindgren Outdoor")
        admin = make.member(account, "admin", "Maja Lindgren")
        other = make.member(account, "admin", "Tom Berg")
        manager = make.launch_manager(account.team)
        lead = make.launch_manager(account.team, "Lena", role="lead")
        url = f"/api/v1/accounts/{account.ref}"

        def made(self, by=None, **fields):
            values = {
                "name": "warehouse",
                "role": "viewer",
                "scopes": ["accounts:read"],
                "expires_at": timezone.now() + timedelta(days=7),
                **fields,
            }
            return tokens.make_service_token(self.account, actor=by or self.admin, **values)

        def ask(self, secret, path="", address="192.0.2.7"):
            return Client(REMOTE_ADDR=address).get(self.url + path, **make.bearer(secret))

    return Desk()


def test_the_database_and_the_table_of_rights_know_the_same_roles():
    assert set(SERVICE_ROLES) == {*AccountRole.values, TeamRole.LAUNCH_MANAGER}


def test_it_is_shown_once_known_to_scanners_and_found_by_its_digest_alone(desk):
    _token, secret = desk.made()
    assert secret.startswith("ssa_")
    assert len(secret) == 47
    assert secret not in str(ApiToken.objects.values().get())
    assert desk.ask(secret).status_code == 200


def test_a_version_before_service_tokens_does_not_take_it_for_its_makers_own(desk):
    import hashlib

    token, secret = desk.made()
    assert token.digest != hashlib.sha256(secret.encode()).hexdigest()


def test_what_it_does_is_on_record_with_its_maker_and_its_prefix(desk):
    token, secret = desk.made(role="editor", scopes=["contacts:write"])
    answer = Client().post(
        f"{desk.url}/contacts",
        {"name": "Ada", "email": "ada@shop.example"},
        content_type="application/json",
        **make.bearer(secret),
    )
    assert answer.status_code == 201
    entry = AuditEntry.objects.get(what="contact.added")
    assert (entry.actor_name, entry.token_prefix) == ("Maja Lindgren", token.prefix)
    made = AuditEntry.objects.get(what="token.made")
    assert made.account_ref == desk.account.ref
    assert made.after["role"] == "editor"


@pytest.mark.parametrize("role", ["viewer", "editor", "approver", "admin", "launch_manager"])
@pytest.mark.parametrize("maker", ["admin", "manager", "lead"])
def test_nobody_makes_one_that_may_more_than_they(desk, maker, role):
    by = getattr(desk, maker)
    is_above = {"admin": {"launch_manager"}, "manager": {"approver", "admin"}, "lead": {"approver", "admin"}}
    assert (role not in is_above[maker]) == (role in tokens.service_roles(by, desk.account))
    if role in is_above[maker]:
        with pytest.raises(NotPermitted):
            desk.made(by, role=role)
    else:
        assert desk.made(by, role=role)[0].role == role


@pytest.mark.parametrize("role", ["viewer", "editor", "approver"])
def test_who_may_not_make_tokens_makes_none(desk, role):
    with pytest.raises(NotPermitted):
        desk.made(make.member(desk.account, role))


@pytest.mark.parametrize(
    "scope", ["me", "approvals:write", "reviews:write", "members:write", "tokens:write", "erase"]
)
def test_what_takes_a_person_is_no_scope_of_it(desk, scope):
    with pytest.raises(Refused, match="takes a person"):
        desk.made(role="admin", scopes=["accounts:read", scope])


def test_a_scope_that_its_role_does_not_reach_is_refused_with_the_sentence(desk):
    with pytest.raises(Refused, match="contacts:write"):
        desk.made(role="viewer", scopes=["accounts:read", "contacts:write"])


def test_it_stands_on_its_makers_side_and_may_less(desk):
    _, secret = desk.made(desk.manager, role="viewer", scopes=["accounts:read"])
    assert desk.ask(secret).json()["team_notes"] is None
    _, secret = desk.made(desk.manager, role="launch_manager", scopes=["accounts:read"])
    assert desk.ask(secret).json()["team_notes"] == ""


def demoted(desk):
    members.grant_role(desk.account, desk.admin, "editor", actor=desk.other)


def removed(desk):
    members.remove_member(desk.account, desk.admin, actor=desk.other)


def switched_off(desk):
    members.deactivate_user(desk.admin, actor=None, reason="left")


@pytest.mark.parametrize("happens", [demoted, removed, switched_off])
def test_it_ends_in_the_moment_in_which_its_maker_might_not_make_it_any_more(desk, happens):
    token, secret = desk.made()
    _, others = desk.made(desk.other)
    happens(desk)
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert desk.ask(secret).status_code == 401
    assert desk.ask(others).status_code == 200
    entry = AuditEntry.objects.get(what="token.revoked")
    assert entry.account_ref == desk.account.ref
    assert "Maja Lindgren" in entry.reason


def test_who_steps_into_another_role_that_may_make_it_keeps_it(desk):
    _token, secret = desk.made(desk.lead)
    make.launch_manager(desk.account.team, role="lead")
    members.add_to_team(desk.account.team, desk.lead, "launch_manager", actor=desk.lead)
    assert desk.ask(secret).status_code == 200
    members.remove_from_team(desk.account.team, desk.lead, actor=None)
    assert desk.ask(secret).status_code == 401


def test_a_change_that_nobody_announced_ends_it_all_the_same(desk):
    _, secret = desk.made()
    Membership.objects.filter(user=desk.admin).update(role="viewer")
    assert desk.ask(secret).status_code == 401
    assert AuditEntry.objects.get(what="token.refused").after["why"] == "maker may not"


def test_another_admin_ends_it_and_it_is_on_nobodys_own_page(desk):
    token, secret = desk.made()
    browser = make.log_in(desk.other)
    page = browser.get(f"/accounts/{desk.account.ref}/access/").content.decode()
    assert "warehouse" in page
    assert token.prefix in page
    assert list(make.log_in(desk.admin).get("/me/").context["tokens"]) == []
    assert browser.post(f"/me/tokens/{token.ref}/revoke/").status_code == 404
    assert browser.post(f"/service-tokens/{token.ref}/revoke/").status_code == 302
    assert desk.ask(secret).status_code == 401


def test_the_page_makes_one_and_the_removal_of_its_maker_says_that_it_ends(desk):
    browser = make.log_in(desk.admin)
    form = {
        "name": "warehouse",
        "role": "viewer",
        "scopes": ["accounts:read"],
        "days": 7,
        "networks": "192.0.2.0/24",
    }
    offered = dict(
        browser.get(f"/accounts/{desk.account.ref}/access/tokens/make/")
        .context["form"]
        .fields["scopes"]
        .choices
    )
    assert "contacts:write" in offered
    assert "connections:write" not in offered
    shown = browser.post(f"/accounts/{desk.account.ref}/access/tokens/make/", form)
    assert shown.status_code == 200
    assert shown["Cache-Control"] == "no-store"
    assert ApiToken.objects.get().networks == ["192.0.2.0/24"]
    member = Membership.objects.get(user=desk.admin)
    asked = make.log_in(desk.other).get(f"/members/{member.ref}/remove/").content.decode()
    assert "warehouse" in asked


def test_the_api_makes_lists_and_revokes_them(desk):
    api = {"content_type": "application/json", **make.bearer(make.token(desk.admin))}
    body = {"name": "w", "role": "viewer", "scopes": ["accounts:read"], "networks": ["2001:db8::/32"]}
    body["expires_at"] = (timezone.now() + timedelta(hours=2)).isoformat()
    made = Client().post(f"{desk.url}/service-tokens", body, **api)
    assert made.status_code == 201, made.content
    assert made.json()["made_by"]["name"] == "Maja Lindgren"
    listed = Client().get(f"{desk.url}/service-tokens", **api).json()["results"]
    assert [one["ref"] for one in listed] == [made.json()["ref"]]
    assert "token" not in listed[0]
    assert Client().delete(f"/api/v1/service-tokens/{made.json()['ref']}", **api).status_code == 204
    assert ApiToken.objects.get(role="viewer").revoked_at is not None


def test_a_service_token_made_with_a_token_ends_with_it(desk):
    secret = make.token(desk.admin)
    maker = ApiToken.objects.get()
    token, _ = desk.made(made_by=maker)
    tokens.revoke_token(maker, actor=desk.admin, at=timezone.now())
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert secret


def test_an_archived_account_gets_no_new_one(desk):
    from accounts import services

    services.archive_account(desk.account, reason="over", actor=desk.lead)
    with pytest.raises(Refused, match="archived"):
        desk.made()


def test_the_rule_is_the_table():
    for role in SERVICE_ROLES:
        may = permissions_of(frozenset({role}))
        assert may_make_service_token(may, role) == (role in {"admin", "launch_manager"})
    assert not may_make_service_token(permissions_of(frozenset({"lead"})), "lead")
    assert "me" not in SERVICE_SCOPES


# --- networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "is_let_in"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("::ffff:192.0.2.9", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("198.51.100.4", True),
        ("198.51.100.5", False),
        ("", False),
    ],
)
def test_a_token_is_good_from_its_networks_alone(desk, address, is_let_in):
    networks = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.4/32"]
    secret = make.token(desk.admin, networks=networks)
    answer = desk.ask(secret, address=address)
    assert answer.status_code == (200 if is_let_in else 401)
    if not is_let_in:
        unknown = desk.ask("ss_never_made", address=address).json()
        assert {**answer.json(), "request_id": ""} == {**unknown, "request_id": ""}
        entry = AuditEntry.objects.filter(what="token.refused").exclude(subject_ref="").get()
        assert entry.after["why"] == "elsewhere"
        assert ApiToken.objects.get().last_used_at is None


def test_a_service_token_from_elsewhere_is_refused_on_the_accounts_record(desk):
    _, secret = desk.made(networks=["192.0.2.0/24"])
    assert desk.ask(secret).status_code == 200
    assert desk.ask(secret, address="203.0.113.9").status_code == 401
    assert AuditEntry.objects.get(what="token.refused").account_ref == desk.account.ref


@pytest.mark.parametrize(
    "typed",
    ["0.0.0.0/0", "::/0", "192.0.2.1/24", "example.com", "192.0.2.0/33", "::ffff:192.0.2.0/120", "1.2.3"],
)
def test_what_is_no_network_is_refused(desk, typed):
    with pytest.raises(Refused) as refused:
        tokens.networks_of([typed])
    assert refused.value.code == "bad_network"


def test_networks_are_kept_once_each_and_an_address_is_one_of_one():
    assert tokens.networks_of([" 192.0.2.7 ", "192.0.2.7/32", "", "2001:db8::/32"]) == [
        "192.0.2.7/32",
        "2001:db8::/32",
    ]


def test_too_many_networks_are_refused():
    with pytest.raises(Refused, match="at most"):
        tokens.networks_of(f"192.0.2.{number}" for number in range(21))


def test_a_token_makes_none_that_is_good_from_elsewhere(desk):
    make.token(desk.admin, networks=["192.0.2.0/24"])
    maker = ApiToken.objects.get()
    ends = timezone.now() + timedelta(days=1)
    values = {"name": "x", "scopes": ["me"], "expires_at": ends, "made_by": maker}
    assert tokens.make_token(desk.admin, **values)[0].networks == ["192.0.2.0/24"]
    inside, _ = tokens.make_token(desk.admin, networks=["192.0.2.8/29"], **values)
    assert inside.networks == ["192.0.2.8/29"]
    for outside in ("192.0.0.0/16", "198.51.100.1", "2001:db8::1"):
        with pytest.raises(NotPermitted):
            tokens.make_token(desk.admin, networks=[outside], **values)


def test_every_page_that_would_end_service_tokens_names_them():
    account = make.account()
    admin, other = make.member(account, "admin"), make.member(account, "admin")
    lead = make.launch_manager(account.team, role="lead")
    manager = make.launch_manager(account.team)
    for person, role, name in (
        (other, "viewer", "nightly export"),
        (manager, "launch_manager", "drain watcher"),
    ):
        make.service_token(account, person, role=role)
        ApiToken.objects.filter(user=person).update(name=name)
    membership = Membership.objects.get(account=account, user=other)
    in_team = TeamMembership.objects.get(team=account.team, user=manager)
    for person, path, said in (
        (admin, f"/members/{membership.ref}/role/", "nightly export"),
        (admin, f"/members/{membership.ref}/remove/", "nightly export"),
        (other, f"/accounts/{account.ref}/leave/", "nightly export"),
        (lead, f"/team-members/{in_team.ref}/role/", "drain watcher"),
        (lead, f"/team-members/{in_team.ref}/remove/", "drain watcher"),
        (lead, f"/team-members/{in_team.ref}/switch-off/", "drain watcher"),
        (manager, f"/teams/{account.team.ref}/leave/", "drain watcher"),
    ):
        browser = Client()
        browser.force_login(person)
        make.prove(browser, person)
        assert said in browser.get(path).content.decode(), path
