"""Alive, ready, metrics, and what a production portal must have."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisGone

from portal import alarms, checks
from portal.health import Finding
from portal.runs.models import Run, Standstill
from tests import factories as make

pytestmark = pytest.mark.django_db


def overdue_run(account, by):
    return Run.objects.create(
        account=account,
        kind="other",
        plan_ref=account.ref,
        title="web: back to 3",
        plan={},
        digest="a" * 64,
        status="running",
        created_by=by,
        next_tick_at=timezone.now() - timedelta(hours=1),
    )


def test_alive_asks_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert Client().get("/healthz").status_code == 200


def test_ready_names_each_thing():
    body = Client().get("/readyz").json()
    assert body["ready"] is True
    assert all(body[name]["ok"] for name in ("database", "redis", "migrations", "engine"))


def test_a_portal_without_redis_is_not_ready_and_says_so(monkeypatch):
    def gone(*args, **kwargs):
        raise RedisGone("away")

    monkeypatch.setattr("portal.health.cache.set", gone)
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json()["redis"] == {"ok": False, "says": "Redis does not answer."}


def test_a_portal_without_a_database_says_so_instead_of_failing(monkeypatch):
    class Gone:
        def cursor(self):
            raise DatabaseError("away")

    monkeypatch.setattr("portal.health.connection", Gone())
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json()["database"]["says"] == "PostgreSQL does not answer."


def test_a_sleeping_engine_is_red_for_the_team_and_only_own_runs_are_told_to_customers():
    account = make.account()
    manager = make.launch_manager(account.team)
    viewer, other = make.member(account), make.member(make.account())
    assert alarms.engine_asleep(manager) is None
    overdue_run(account, manager)
    assert alarms.engine_asleep(manager).overdue == 1
    assert alarms.engine_asleep(viewer).overdue == 1
    assert alarms.engine_asleep(other) is None
    assert Client().get("/readyz").json()["engine"]["ok"] is False
    browser = Client()
    browser.force_login(manager)
    assert "The engine is asleep" in browser.get("/").content.decode()


def scraped():
    text = Client(REMOTE_ADDR="127.0.0.1").get("/metrics").content.decode()
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("portal_"))


def test_a_sleeping_engine_is_seen_by_prometheus():
    account = make.account()
    assert set(scraped().values()) == {"1.0"}
    overdue_run(account, make.launch_manager(account.team))
    asleep = scraped()
    assert asleep['portal_ready{part="engine"}'] == "0.0"
    assert asleep['portal_ready{part="database"}'] == "1.0"


def test_metrics_leave_out_what_cannot_be_known(monkeypatch):
    monkeypatch.setattr("portal.gauges.findings", lambda: [Finding("database", False, "away")])
    seen = scraped()
    assert seen == {'portal_ready{part="database"}': "0.0"}


def test_a_standstill_is_shown_to_those_whom_it_touches():
    account = make.account("Lindgren Outdoor")
    manager, other = make.launch_manager(account.team), make.member(make.account())
    for scope in (f"account:{account.ref}", f"team:{account.team.ref}"):
        Standstill.objects.create(scope=scope, reason="Payments are down.", by=manager, by_name="Jonas")
    shown = {one.scope for one in alarms.standstills_for(manager)}
    assert shown == {"Lindgren Outdoor", f"all accounts of {account.team}"}
    assert alarms.standstills_for(other) == []


def test_metrics_are_for_operators_and_for_scrapers_on_this_machine():
    assert Client(REMOTE_ADDR="127.0.0.1").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="192.0.2.7").get("/metrics").status_code == 302
    behind = Client(REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="127.0.0.1")
    assert behind.get("/metrics").status_code == 302


@pytest.fixture
def collected(settings, monkeypatch, tmp_path):
    """Files are collected and both servers are named, as in a container."""
    settings.STATIC_ROOT = tmp_path
    (tmp_path / "staticfiles.json").write_text("{}")
    monkeypatch.setenv("DATABASE_URL", "postgres://portal@postgres/portal")
    monkeypatch.setenv("REDIS_URL", "redis://valkey/0")
    return tmp_path


def messages(settings, monkeypatch, **changes):
    monkeypatch.setattr("sys.argv", ["manage.py", "runserver"])
    good = {
        "DESK_MODE": False,
        "SECRET_KEY": "x" * 60,
        "AUDIT_KEY": "y" * 60,
        "ALLOWED_HOSTS": ["portal.example"],
        "EGRESS_ALLOW": [],
        "SIMULATOR_URL": "",
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN": False,
        "PUBLIC_URL": "https://portal.example",
        "EMAIL_URL": "smtp://portal:worthless@mail.example:587",
        "MAIL_FROM": "portal@portal.example",
        "IDENTITY_HOSTS": ["identity.provider.example"],
    }
    for name, value in {**good, **changes}.items():
        setattr(settings, name, value)
    return [message.msg for message in checks.check_environment(None)]


def test_a_portal_that_is_set_up_starts(settings, monkeypatch, collected):
    assert messages(settings, monkeypatch) == []
    checks.refuse_unless_ready()


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_a_server_that_is_not_named_is_said(settings, monkeypatch, collected, name):
    monkeypatch.delenv(name)
    assert [text.split()[0] for text in messages(settings, monkeypatch)] == [name]


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_an_address_of_another_kind_is_refused_without_repeating_it(settings, monkeypatch, collected, name):
    monkeypatch.setenv(name, "mysql://portal:a-password@db/portal")
    (says,) = messages(settings, monkeypatch)
    assert says.startswith(f"{name} is no address")
    assert "a-password" not in says


def test_files_that_are_not_collected_are_said(settings, monkeypatch, collected):
    (collected / "staticfiles.json").unlink()
    assert "collectstatic" in messages(settings, monkeypatch)[0]


def test_a_portal_that_is_not_ready_ends_with_a_line_for_each_thing(settings, monkeypatch, collected, capsys):
    messages(settings, monkeypatch, AUDIT_KEY="", SECRET_KEY="short")
    with pytest.raises(SystemExit):
        checks.refuse_unless_ready()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].split()[0] for line in lines] == ["SECRET_KEY", "AUDIT_KEY"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("AUDIT_KEY", ""),
        ("ALLOWED_HOSTS", ["*"]),
        ("FIELD_KEYS", []),
        ("FIELD_KEYS", ["no-fernet-key"]),
        ("SIMULATOR_URL", "http://127.0.0.1:1"),
        ("EGRESS_ALLOW", ["127.0.0.1:1"]),
        ("SESSION_COOKIE_SECURE", False),
        ("SECURE_SSL_REDIRECT", False),
        ("EGRESS_ALLOW_NETWORKS", ["10.0.0.0/33"]),
        ("EGRESS_CA_FILE", "/nowhere/authority.pem"),
        ("EGRESS_CA_FILE", __file__),
        ("PUBLIC_URL", ""),
        ("PUBLIC_URL", "http://portal.example"),
        ("EMAIL_URL", ""),
        ("EMAIL_URL", "http://mail.example"),
        ("EMAIL_URL", "smtp://mail.example:port"),
        ("EMAIL_PLAIN", True),
        ("MAIL_FROM", "the portal"),
        ("IDENTITY_HOSTS", []),
        ("MALFORMED", ["RUNS_LEASE_S is no number above 0. Set one such as 15, or leave it out."]),
    ],
)
def test_each_setting_that_is_missing_or_only_for_a_desk_is_refused_by_name(
    settings, monkeypatch, collected, name, value
):
    found = messages(settings, monkeypatch, **{name: value})
    assert len(found) == 1
    assert name in found[0] or "Secure" in found[0] or found == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNS_LEASE_S", "fast"),
        ("RUNS_BATCH", "-1"),
        ("CLOUD_RATE_FACTOR", "nan"),
        ("RUNS_TURN_S", "0"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_variable_that_cannot_be_read_is_said_in_a_sentence(name, value):
    env = {**os.environ, name: value, "DESK_MODE": "1"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"{name} is n" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_alarm_of_a_standstill_leads_to_where_it_is_lifted():
    account = make.account("Lindgren Outdoor")
    manager = make.launch_manager(account.team)
    for scope in ("all", f"team:{account.team.ref}", f"account:{account.ref}"):
        Standstill.objects.create(scope=scope, reason="Payments are down.", by=manager, by_name="Jonas")
    page = reverse("scaledown:standstill", args=[account.ref])
    assert [one.url for one in alarms.standstills_for(manager)] == [page, page, page]
    # An operator sees no account; there is the shell.
    assert [one.url for one in alarms.standstills_for(make.user(is_operator=True))] == [""]
    browser = Client()
    browser.force_login(manager)
    assert f'href="{page}">See the standstill' in browser.get("/").content.decode()


def test_the_page_of_the_api_names_its_language_and_has_a_heading_before_any_script_ran():
    text = Client().get("/api/docs/").content.decode()
    assert '<html lang="en">' in text
    assert text.count("<main") == text.count("<h1") == 1
    assert "/api/v1/schema/" in text
