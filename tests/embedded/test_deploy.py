"""What is promised about the containers holds in docker-compose.yml, the Dockerfile and the proxy's rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from portal.embedded.application import WORKERS

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ["migrate", "web", "worker-ticks", "worker-work", "worker-loads", "beat"]


def test_the_services_of_the_portal_are_all_there():
    assert set(SERVICES) == {*OURS, "proxy", "postgres", "valkey"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_cannot_change_itself_or_gain_rights(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate", "web"}))
def test_a_container_says_whether_it_is_healthy(name):
    assert SERVICES[name]["healthcheck"]["test"]


def test_only_the_proxy_is_reached_from_outside():
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["proxy"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == SERVICES["valkey"]["networks"] == ["inside"]


@pytest.mark.parametrize("name", ["web", "worker-ticks", "worker-work", "worker-loads", "beat"])
def test_nothing_serves_before_the_migrations_are_through(name):
    assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("queue", WORKERS)
def test_each_queue_has_a_worker_as_on_a_desk(queue):
    command = SERVICES[f"worker-{queue}"]["command"]
    assert command[command.index("-Q") + 1] == queue
    assert SERVICES[f"worker-{queue}"]["environment"]["WORKER_NAME"] == queue


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_a_container_is_one_that_the_portal_reads(name):
    read = (ROOT / "portal/settings.py").read_text()
    others = {"WORKER_NAME", "FORWARDED_ALLOW_IPS"}  # the health check's, and uvicorn's own
    for variable in SERVICES[name]["environment"]:
        assert f'"{variable}"' in read or variable in others, variable


def test_what_the_guide_says_can_be_set_reaches_the_containers():
    """A variable that is documented and not handed on is set in vain: REQUIRE_SECOND_FACTOR once was."""
    guide = (
        (ROOT / "docs/operations.md").read_text().split("## In production")[1].split("**Log-in through")[0]
    )
    rows = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert {"REQUIRE_SECOND_FACTOR", "OIDC_ISSUERS", "FIELD_KEYS"} <= documented
    # The names of the site and of the servers' own settings go into other variables; the image sets STATIC_ROOT.
    elsewhere = {"SITE_ADDRESS", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "STATIC_ROOT"}
    workers = {"TICKS_CONCURRENCY", "WORK_CONCURRENCY", "LOADS_CONCURRENCY", "METRICS_LISTEN"}
    for name in OURS:
        assert documented - elsewhere - workers - set(SERVICES[name]["environment"]) == set()
    text = (ROOT / "docker-compose.yml").read_text()
    assert all(f"{name}" in text for name in documented - {"STATIC_ROOT"})


@pytest.mark.parametrize("name", OURS)
def test_no_desk_setting_reaches_a_container(name):
    assert not {"DESK_MODE", "SIMULATOR_URL", "EGRESS_ALLOW"} & set(SERVICES[name]["environment"])


def test_no_secret_has_a_value_in_the_files():
    text = (ROOT / "docker-compose.yml").read_text()
    for secret in ("SECRET_KEY", "FIELD_KEYS", "AUDIT_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD"):
        assert re.search(rf"\$\{{{secret}:\?", text), secret


def test_the_image_runs_as_nobody_in_particular_and_leaves_the_desk_out():
    image = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER (?!0)\d+:\d+$", image.split("\nFROM ")[-1], re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {"portal/simulator", "portal/embedded"} <= set(ignored)
    assert "--require-hashes" in image


def test_event_streams_pass_the_proxy_as_they_come():
    rules = (ROOT / "deploy/Caddyfile").read_text()
    assert "flush_interval -1" in rules
    compressed = re.findall(r"header Content-Type (\S+)", rules)
    assert compressed
    assert not [kind for kind in compressed if "text/event-stream".startswith(kind.rstrip("*"))]


def test_a_worker_is_given_longer_to_end_than_its_lease_lasts():
    from django.conf import settings

    for queue in WORKERS:
        grace_s = int(SERVICES[f"worker-{queue}"]["stop_grace_period"].removesuffix("s"))
        assert grace_s > settings.RUNS["LEASE_S"]
