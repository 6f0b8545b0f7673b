"""Commands for the shell: the first lead of an installation, cloud connections, the desk's demo."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account, CloudConnection, Membership, TeamMembership, User
from portal.access import Permission, can
from portal.audit.models import AuditEntry
from tests import factories as make

pytestmark = pytest.mark.django_db


def call(command, *args, **options):
    out = io.StringIO()
    call_command(command, *args, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def test_the_demo_can_be_loaded_twice_and_doubles_nothing(settings):
    settings.DESK_MODE, settings.SIMULATOR_URL = True, ""
    first = call("load_demo")
    counts = (User.objects.count(), Account.objects.count(), Membership.objects.count())
    assert call("load_demo") == first
    assert (User.objects.count(), Account.objects.count(), Membership.objects.count()) == counts
    assert "jonas@north.example" in first


def test_the_demos_known_password_never_reaches_a_production_portal(settings):
    settings.DESK_MODE = False
    with pytest.raises(CommandError, match="DESK_MODE only"):
        call("load_demo")
    assert not User.objects.exists()


def test_the_first_lead_is_made_from_the_shell(monkeypatch):
    monkeypatch.setenv("NEW_USER_PASSWORD", "steady-as-she-goes")
    call("create_user", "lena@north.example", "Lena Fors", team="North", role="lead")
    lead = TeamMembership.objects.get(role="lead")
    assert can(lead.user, Permission.STANDSTILL_LIFT, make.account(of=lead.team))


def test_a_weak_password_makes_no_user(monkeypatch):
    monkeypatch.setenv("NEW_USER_PASSWORD", "password")
    with pytest.raises(CommandError, match="too short"):
        call("create_user", "lena@north.example", "Lena Fors")
    assert not User.objects.exists()


def test_a_user_with_a_role_that_does_not_fit_is_not_made_at_all(monkeypatch):
    monkeypatch.setenv("NEW_USER_PASSWORD", "steady-as-she-goes")
    with pytest.raises(CommandError, match="launch_manager or lead"):
        call("create_user", "lena@north.example", "Lena Fors", team="North", role="viewer")
    assert not User.objects.exists()


def test_a_connection_takes_its_key_from_the_environment_and_prints_it_never(monkeypatch):
    monkeypatch.setenv("CLOUD_API_KEY", "the-secret-key")
    monkeypatch.setattr("accounts.management.commands.add_cloud_connection.check_url", lambda url: None)
    account = make.account()
    out = call(
        "add_cloud_connection",
        account.number,
        name="Shop",
        username="u",
        tenant="1",
        region="DFW",
        no_test=True,
    )
    assert "the-secret-key" not in out
    assert CloudConnection.objects.get(account=account).api_key == "the-secret-key"


def test_an_operator_switches_a_log_in_off_and_on_and_is_told_whom_that_leaves_alone():
    account = make.account("Lindgren Outdoor")
    admin = make.member(account, "admin")
    operator = make.user(is_operator=True)
    by = {"by": operator.email, "reason": "The laptop was stolen."}
    told = io.StringIO()
    call_command("deactivate_user", admin.email, stdout=told, **by)
    assert "Lindgren Outdoor has nobody left" in told.getvalue()
    admin.refresh_from_db()
    assert not admin.is_active
    assert AuditEntry.objects.get(what="user.switched_off").actor_ref == str(operator.ref)
    call_command("activate_user", admin.email, stdout=told, **by)
    admin.refresh_from_db()
    assert admin.is_active
    with pytest.raises(CommandError, match="no active operator"):
        call_command("deactivate_user", admin.email, by=admin.email, reason="x")
