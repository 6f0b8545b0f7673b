"""Who may use which address. A new URL fails the matrix test until somebody writes down here who may use it.

Add a row for each (URL name, method):

    ("scaledown:plan-detail", "GET"): Row(VIEWERS),
    ("api-plan-start", "POST"): Row(TEAM, body={...}, headers=COMMAND),

and, for a new kind of reference in the route, say how to make one in `REFS`: it is made in `world.account`.

    REFS["plan_ref"] = lambda world: world.once("plan", lambda: make_plan(world.account).ref)

For account rows the matrix expects: strangers are sent to the log-in (pages) or told 401 (API); another
account's admin, another team's launch manager and an operator get 404; a role that is not in `may` gets 403;
one that is gets anything but 401, 403, 404 and 5xx (`answers` narrows or widens it).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.contact_files.services import begin_import
from accounts.contacts.asking import seen_of
from accounts.contacts.models import CoverageOverride, OtherParty, Rotation, RotationMember
from accounts.models import Membership, TeamMembership
from accounts.reach.models import ReachTry
from accounts.sessions import ref_of
from capacity.baselines import services as baselines
from capacity.baselines.models import MeasuredBaseline, PoolLimit
from capacity.benchmarks.models import Benchmark
from capacity.benchmarks.services import take_in
from capacity.demo import step_test
from capacity.hosts.services import add as add_host
from capacity.loads import services as loads
from capacity.loads.models import LoadRun
from capacity.metrics.models import Metric
from capacity.pulls.services import add as add_pull
from capacity.reports.models import DetectedEvent, GrowthReport, ServerPrice, SizedPool
from drills.after.models import DrillFinding
from drills.plans.choice import Around, build, choice_to_plain
from drills.plans.models import Drill, HeldDrill
from drills.scenarios.library import built_in
from drills.scenarios.services import write_scenario
from drills.scenarios.types import to_plain as scenario_to_plain
from drills.types import new_progress as drill_progress
from drills.types import plan_to_plain as drill_to_plain
from drills.types import progress_to_plain as drill_progress_to_plain
from portal.runs.models import Handover, Run, Standstill
from scaledown.canonical import plan_to_plain, to_plain
from scaledown.driver import GROWTH
from scaledown.models import Growth, Plan, ProtectedServer, ScaleUpRecord
from scaledown.progress import new_progress, progress_to_plain
from scaledown.types import GrowData, GrownServer
from tests import factories as make
from tests.capacity.benchmarks import data
from tests.drills.rows import a_choice
from tests.drills.scenarios.cases import plain as scenario_plain
from tests.scaledown.machine_cases import a_plan

VIEWERS = frozenset({"viewer", "editor", "approver", "admin", "launch_manager", "lead"})
EDITORS = VIEWERS - {"viewer"}
APPROVERS = EDITORS - {"editor"}
CUSTOMER_APPROVERS = frozenset({"approver", "admin"})
TEAM = frozenset({"launch_manager", "lead"})
IN_A_TEAM = frozenset({*TEAM, "other_launch_manager"})
EXPORTERS = frozenset({"admin", *TEAM})
LEADS = frozenset({"lead"})
ROLES = ("viewer", "editor", "approver", "admin", "launch_manager", "lead")
OUTSIDERS = ("other_admin", "other_launch_manager", "operator")
EVERYBODY = frozenset({*ROLES, *OUTSIDERS})

# Let in, and then told that it cannot be done as asked: enough to show who is let in.
PAST_THE_GATE = frozenset({200, 201, 202, 204, 302, 409, 422, 502, 503})
DIGEST = "a" * 64
COMMAND = {"HTTP_IDEMPOTENCY_KEY": "the-matrix"}
IF_MATCH = {"HTTP_IF_MATCH": "*"}


@dataclass(frozen=True)
class Row:
    """Who may use one address by one method.

    `kind`: *account* (a row of one account), *list* (rows of all accounts that one sees: everybody gets an
    answer, outsiders one without the account), *personal* (everybody who is logged in, as far as `may`),
    *public*. `body` and `headers` are what is sent; `answers` the statuses that those in `may` can get.
    """

    may: frozenset[str] = VIEWERS
    kind: str = "account"
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    answers: frozenset[int] = frozenset({200, 201, 202, 204, 302})
    denied: int = 403
    unseen_by: frozenset[str] = frozenset()
    """Roles on the account for whom it is not there either (404): what belongs to the team alone."""
    names_it: bool = False
    """Whether a stranger who holds its secret address reads the account's name there."""


_REACH = {"kind": "test", "role": "billing", "reason": "The matrix.", "message": "Please press the button."}
_REACH_FORM = {**_REACH, "wait_minutes": "5", "tries": "2"}
_FILE = "name,email\r\nMaja,maja@x.example\r\n"


def _seen(contact):
    return {"contacts": [str(contact.ref)], "seen": {str(contact.ref): seen_of(contact)}}


def _in_days(days: int) -> str:
    return str(timezone.now().date() + timedelta(days=days))


_CONTACT = {"name": "Ada", "email": "ada@shop.example", "time_zone": "UTC", "escalation_order": 1}
_PARTY = {"kind": "registrar", "name": "Nordic Names", "phone": "+46812000000"}
_PRICE = {"flavor": "general1-4", "an_hour": "0.36", "currency": "EUR"}
_CONNECTION = {
    "name": "Other",
    "provider": "rackspace",
    "identity_url": "https://identity.provider.example/v2.0",
    "username": "u",
    "api_key": "k",
    "tenant": "1",
    "region": "DFW",
}

_CASE = {"summary": "It does not drain", "severity": "safe_waiting"}


def _order(world: Any) -> dict[str, str]:
    contact = world.once("decider", lambda: make.contact(world.account, authority="technical"))
    return {
        "contact": str(contact.ref),
        "kind": "put_back",
        "order": "Put it back.",
        "check": "agreed_check",
    }


_WEBHOOK = {"url": "https://hooks.shop.example/in", "envelope": "standard"}

ROWS: dict[tuple[str, str], Row] = {
    # the portal itself
    ("dashboard", "GET"): Row(EVERYBODY, "list"),
    ("palette", "GET"): Row(EVERYBODY, "list"),
    ("healthz", "GET"): Row(EVERYBODY, "public"),
    ("readyz", "GET"): Row(EVERYBODY, "public", answers=frozenset({200, 503})),
    ("metrics", "GET"): Row(frozenset({"operator"}), "personal"),
    ("installation-activity", "GET"): Row(frozenset({"operator"}), "personal"),
    ("installation-activity-download", "POST"): Row(
        frozenset({"operator"}), "personal", body={"reason": "Yearly review"}
    ),
    ("login", "GET"): Row(EVERYBODY, "public", answers=frozenset({200, 302})),
    ("login", "POST"): Row(EVERYBODY, "public", answers=frozenset({200, 302})),
    ("login", "PUT"): Row(EVERYBODY, "public", answers=frozenset({200, 302})),
    ("logout", "POST"): Row(EVERYBODY, "public", answers=frozenset({302})),
    ("me", "GET"): Row(EVERYBODY, "personal"),
    ("me", "POST"): Row(EVERYBODY, "personal", body={"name": "New", "time_zone": "UTC"}),
    ("login-second", "GET"): Row(EVERYBODY, "public", answers=frozenset({302})),
    ("login-second", "POST"): Row(EVERYBODY, "public", answers=frozenset({302})),
    ("oidc-begin", "POST"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("oidc-callback", "GET"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("password-reset-ask", "GET"): Row(EVERYBODY, "public"),
    ("password-reset-ask", "POST"): Row(EVERYBODY, "public", body={"email": "nobody@people.example"}),
    ("password-reset", "GET"): Row(EVERYBODY, "public", answers=frozenset({410})),
    ("password-reset", "POST"): Row(EVERYBODY, "public", answers=frozenset({410})),
    ("prove", "GET"): Row(EVERYBODY, "personal"),
    ("prove", "POST"): Row(EVERYBODY, "personal", body=lambda world: {"password": make.PASSWORD}),
    ("password-change", "GET"): Row(EVERYBODY, "personal"),
    ("password-change", "POST"): Row(EVERYBODY, "personal", answers=frozenset({422})),
    ("mail-change", "GET"): Row(EVERYBODY, "personal"),
    ("mail-change", "POST"): Row(EVERYBODY, "personal", body={"email": "somebody@new.example"}),
    ("mail-confirm", "GET"): Row(EVERYBODY, "personal", answers=frozenset({404})),
    ("mail-confirm", "POST"): Row(EVERYBODY, "personal", answers=frozenset({404})),
    ("second-factor", "GET"): Row(EVERYBODY, "personal"),
    ("app-add", "GET"): Row(EVERYBODY, "personal"),
    ("app-add", "POST"): Row(EVERYBODY, "personal", answers=frozenset({422})),
    ("key-add", "GET"): Row(EVERYBODY, "personal"),
    ("key-add", "POST"): Row(EVERYBODY, "personal", answers=frozenset({422})),
    ("recovery-codes", "GET"): Row(EVERYBODY, "personal"),
    ("recovery-codes", "POST"): Row(EVERYBODY, "personal", answers=frozenset({422})),
    ("factor-remove", "GET"): Row(frozenset({"admin"}), "personal", denied=404),
    ("factor-remove", "POST"): Row(frozenset({"admin"}), "personal", denied=404),
    ("oidc-unlink", "GET"): Row(frozenset({"admin"}), "personal", denied=404),
    ("oidc-unlink", "POST"): Row(frozenset({"admin"}), "personal", denied=404),
    ("session-end", "POST"): Row(frozenset({"admin"}), "personal", denied=404),
    ("sessions-end", "POST"): Row(EVERYBODY, "personal"),
    ("token-make", "GET"): Row(EVERYBODY, "personal"),
    ("token-make", "POST"): Row(EVERYBODY, "personal", body={"name": "x", "scopes": ["me"], "days": 7}),
    ("token-revoke", "POST"): Row(frozenset({"admin"}), "personal", denied=404),
    # notices: one's own; the notice of the world is the admin's. A desk's mailbox answers to this machine only,
    # and the callers of these tests are elsewhere
    ("notices", "GET"): Row(EVERYBODY, "personal"),
    ("notices-read-all", "POST"): Row(EVERYBODY, "personal"),
    ("notice-read", "POST"): Row(frozenset({"admin"}), "personal", denied=404),
    ("notice-preferences", "GET"): Row(EVERYBODY, "personal"),
    ("notice-preferences", "POST"): Row(
        EVERYBODY, "personal", body={"quiet_from": "21:00", "quiet_until": "07:00"}
    ),
    ("desk-mail", "GET"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("desk-mail-message", "GET"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("desk-mail-html", "GET"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("api-notices", "GET"): Row(EVERYBODY, "personal"),
    ("api-notices-read-all", "POST"): Row(EVERYBODY, "personal"),
    ("api-notice-read", "POST"): Row(frozenset({"admin"}), "personal", denied=404),
    ("api-notice-preferences", "GET"): Row(EVERYBODY, "personal"),
    ("api-notice-preferences", "PATCH"): Row(EVERYBODY, "personal", body={"mail_off": ["reminder"]}),
    # accounts
    ("accounts:account-list", "GET"): Row(VIEWERS, "list"),
    ("accounts:account-list-csv", "GET"): Row(VIEWERS, "list"),
    ("accounts:account-detail", "GET"): Row(VIEWERS),
    ("accounts:activity", "GET"): Row(VIEWERS),
    ("accounts:activity-download", "POST"): Row(
        frozenset({"admin"}) | TEAM, body={"reason": "Yearly review"}
    ),
    ("accounts:contact-list", "GET"): Row(VIEWERS),
    ("accounts:contact-list-csv", "GET"): Row(EXPORTERS),
    ("accounts:contact-list-csv", "POST"): Row(EXPORTERS, body={"reason": "moving to a new address book"}),
    ("accounts:reach-list", "GET"): Row(VIEWERS),
    ("accounts:reach-start", "POST"): Row(APPROVERS, body=_REACH_FORM, answers=frozenset({422})),
    ("accounts:reach-detail", "GET"): Row(VIEWERS),
    ("accounts:reach-stop", "POST"): Row(APPROVERS),
    ("accounts:reach-outcome", "POST"): Row(
        APPROVERS, body={"outcome": "voicemail"}, answers=frozenset({302, 409})
    ),
    ("drill-answer", "GET"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("drill-answer", "POST"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("reach-answer", "GET"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("reach-answer", "POST"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("reach-hook", "POST"): Row(EVERYBODY, "public", answers=frozenset({401})),
    ("api-reaches", "GET"): Row(VIEWERS),
    ("api-reaches", "POST"): Row(APPROVERS, body=_REACH, headers=COMMAND, answers=frozenset({422, 409})),
    ("api-reach", "GET"): Row(VIEWERS),
    ("api-reach-stop", "POST"): Row(APPROVERS, body={}, headers=COMMAND),
    ("api-reach-outcome", "POST"): Row(
        APPROVERS, body={"outcome": "voicemail"}, headers=COMMAND, answers=frozenset({200, 409})
    ),
    ("accounts:contact-import-begin", "GET"): Row(EDITORS),
    ("accounts:contact-import-begin", "POST"): Row(EDITORS, body={"text": _FILE}),
    ("accounts:contact-import", "GET"): Row(EDITORS),
    ("accounts:contact-import", "POST"): Row(EDITORS, body={"digest": "0" * 64}, answers=frozenset({409})),
    ("accounts:contact-import-problems", "GET"): Row(EDITORS),
    ("accounts:contact-import-drop", "POST"): Row(EDITORS),
    ("accounts:contact-add", "GET"): Row(EDITORS),
    ("accounts:contact-add", "POST"): Row(EDITORS, body=_CONTACT),
    ("accounts:contact-edit", "GET"): Row(EDITORS),
    ("accounts:contact-edit", "POST"): Row(EDITORS, body=_CONTACT),
    ("accounts:contact-confirm", "POST"): Row(EDITORS),
    ("accounts:contact-detail", "GET"): Row(VIEWERS),
    ("accounts:contact-ask", "POST"): Row(EDITORS, body={"use": "prove"}),
    ("accounts:contact-code", "POST"): Row(EDITORS),
    # There is nothing to settle: the row's own people are let in as far as that.
    ("accounts:contact-keep", "POST"): Row(EDITORS, answers=frozenset({422})),
    ("accounts:contact-links-revoke", "POST"): Row(EDITORS),
    ("accounts:contact-confirm-list", "GET"): Row(EDITORS),
    ("accounts:contact-confirm-list", "POST"): Row(EDITORS, answers=frozenset({422})),
    # the link is the key, and this one opens nothing
    ("contact-link", "GET"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("contact-link", "POST"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("mail-bounces", "POST"): Row(EVERYBODY, "public", answers=frozenset({404})),
    ("api-contact-ask", "POST"): Row(EDITORS, body={"use": "prove"}, headers=COMMAND),
    ("api-contact-keep", "POST"): Row(
        EDITORS, body={"reason": "Called."}, headers=COMMAND, answers=frozenset({422})
    ),
    ("api-contact-links-revoke", "POST"): Row(EDITORS, body={}, headers=COMMAND),
    ("api-contact-confirm-list", "POST"): Row(
        EDITORS,
        body=lambda world: _seen(world.once("contact", lambda: make.contact(world.account))),
        headers=COMMAND,
    ),
    ("accounts:contact-prove", "POST"): Row(EDITORS, body={"channel": "phone:+46701234567"}),
    ("accounts:coverage", "GET"): Row(VIEWERS),
    ("accounts:coverage-edit", "GET"): Row(EDITORS),
    ("accounts:coverage-edit", "POST"): Row(EDITORS, body={"preset": "small_shop"}),
    ("accounts:override-give", "GET"): Row(LEADS),
    ("accounts:override-give", "POST"): Row(LEADS, body={"reason": "We are on the bridge.", "hours": 4}),
    ("accounts:override-end", "POST"): Row(LEADS),
    ("accounts:support-pin", "POST"): Row(EDITORS, body={"is_ready": "yes"}),
    ("accounts:duties", "GET"): Row(VIEWERS),
    ("accounts:rotation-add", "GET"): Row(EDITORS),
    ("accounts:rotation-add", "POST"): Row(EDITORS, answers=frozenset({422})),
    ("accounts:rotation-edit", "GET"): Row(EDITORS),
    ("accounts:rotation-edit", "POST"): Row(EDITORS, answers=frozenset({422})),
    ("accounts:rotation-remove", "GET"): Row(EDITORS),
    ("accounts:rotation-remove", "POST"): Row(EDITORS),
    ("accounts:party-add", "GET"): Row(EDITORS),
    ("accounts:party-add", "POST"): Row(EDITORS, body=_PARTY),
    ("accounts:party-edit", "GET"): Row(EDITORS),
    ("accounts:party-edit", "POST"): Row(EDITORS, body=_PARTY),
    ("accounts:party-remove", "GET"): Row(EDITORS),
    ("accounts:party-remove", "POST"): Row(EDITORS),
    ("accounts:contact-erase", "GET"): Row(frozenset({"admin"})),
    ("accounts:contact-erase", "POST"): Row(
        frozenset({"admin"}), body={"reason": "Asked.", "typed_name": "Maja Lindgren"}
    ),
    ("accounts:contact-remove", "GET"): Row(EDITORS),
    ("accounts:contact-remove", "POST"): Row(EDITORS),
    ("accounts:connection-add", "GET"): Row(TEAM),
    ("accounts:connection-add", "POST"): Row(TEAM, body=_CONNECTION),
    ("accounts:connection-detail", "GET"): Row(VIEWERS),
    ("accounts:connection-test", "POST"): Row(TEAM),
    ("accounts:connection-discover", "GET"): Row(VIEWERS),
    # capacity
    ("capacity:pool-known", "GET"): Row(VIEWERS),
    ("capacity:pool-known", "POST"): Row(EDITORS, body={"ceiling_rps": "90", "ceiling_source": "bench"}),
    ("api-pool-known", "GET"): Row(VIEWERS),
    ("api-pool-known", "POST"): Row(EDITORS, body={"ceiling_rps": 90, "ceiling_source": "bench"}),
    ("api-samples", "POST"): Row(EDITORS, body={"samples": []}),
    ("api-metrics", "GET"): Row(VIEWERS),
    ("api-metric-vital", "POST"): Row(EDITORS, body={"is_vital": True}),
    ("api-metric-points", "GET"): Row(VIEWERS),
    ("api-traffic-events", "GET"): Row(VIEWERS),
    ("api-traffic-events", "POST"): Row(
        EDITORS,
        body={
            "name": "Sale",
            "starts_at": "2026-11-12T06:00:00Z",
            "ends_at": "2026-11-15T06:00:00Z",
        },
    ),
    ("api-traffic-event", "GET"): Row(VIEWERS),
    ("api-traffic-event", "PATCH"): Row(EDITORS, body={"name": "Sale"}, headers=IF_MATCH),
    ("api-traffic-event", "DELETE"): Row(EDITORS, headers=IF_MATCH, answers=PAST_THE_GATE),
    ("capacity:traffic-event", "GET"): Row(VIEWERS),
    ("capacity:traffic-event", "POST"): Row(EDITORS, body={"name": ""}, answers=PAST_THE_GATE),
    ("capacity:traffic-event-remove", "GET"): Row(EDITORS),
    ("capacity:traffic-event-remove", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    # the API
    ("api-docs", "GET"): Row(EVERYBODY, "public"),
    ("api-schema", "GET"): Row(EVERYBODY, "public"),
    ("api-me", "GET"): Row(EVERYBODY, "personal"),
    ("api-me", "PATCH"): Row(EVERYBODY, "personal", body={"name": "New"}),
    ("api-tokens", "GET"): Row(EVERYBODY, "personal"),
    ("api-tokens", "POST"): Row(EVERYBODY, "personal", body=lambda world: world.token_body),
    ("api-token", "DELETE"): Row(frozenset({"admin"}), "personal", denied=404),
    ("api-accounts", "GET"): Row(VIEWERS, "list"),
    ("api-account", "GET"): Row(VIEWERS),
    ("api-account", "PATCH"): Row(TEAM, body={"milestone": 3}, headers=IF_MATCH),
    ("api-contact-imports", "POST"): Row(EDITORS, body={"content": _FILE}),
    ("api-contact-import", "GET"): Row(EDITORS),
    ("api-contact-import", "DELETE"): Row(EDITORS),
    ("api-contact-import-take-in", "POST"): Row(
        EDITORS, body={"digest": "0" * 64}, headers=COMMAND, answers=frozenset({409})
    ),
    ("api-contact-export", "POST"): Row(EXPORTERS, body={"reason": "for the night shift"}),
    ("api-contacts", "GET"): Row(VIEWERS),
    ("api-contacts", "POST"): Row(EDITORS, body=_CONTACT),
    ("api-contact", "GET"): Row(VIEWERS),
    ("api-contact", "PATCH"): Row(EDITORS, body={"title": "New"}, headers=IF_MATCH),
    ("api-contact", "DELETE"): Row(EDITORS, headers=IF_MATCH),
    ("api-contact-erase", "POST"): Row(frozenset({"admin"}), body={"reason": "Asked."}, headers=COMMAND),
    ("api-contact-confirm", "POST"): Row(EDITORS, body={}, headers=COMMAND),
    ("api-contact-prove", "POST"): Row(
        EDITORS, body={"channel": "phone", "value": "+46701234567"}, headers=COMMAND
    ),
    ("api-call-order", "GET"): Row(VIEWERS),
    ("api-coverage", "GET"): Row(VIEWERS),
    ("api-coverage", "PATCH"): Row(EDITORS, body={"preset": "small_shop"}, headers=IF_MATCH),
    ("api-coverage-overrides", "GET"): Row(VIEWERS),
    ("api-coverage-overrides", "POST"): Row(
        LEADS,
        body=lambda world: {
            "reason": "On the bridge.",
            "expires_at": (timezone.now() + timedelta(hours=1)).isoformat(),
        },
        headers=COMMAND,
    ),
    ("api-coverage-override-end", "POST"): Row(LEADS, body={}, headers=COMMAND),
    ("api-rotations", "GET"): Row(VIEWERS),
    ("api-rotations", "POST"): Row(EDITORS, body=lambda world: _rotation_body(world)),
    ("api-rotation", "GET"): Row(VIEWERS),
    ("api-rotation", "PATCH"): Row(EDITORS, body={"name": "Nights"}, headers=IF_MATCH),
    ("api-rotation", "DELETE"): Row(EDITORS, headers=IF_MATCH),
    ("api-parties", "GET"): Row(VIEWERS),
    ("api-parties", "POST"): Row(EDITORS, body=_PARTY),
    ("api-party", "GET"): Row(VIEWERS),
    ("api-party", "PATCH"): Row(EDITORS, body={"name": "Other"}, headers=IF_MATCH),
    ("api-party", "DELETE"): Row(EDITORS, headers=IF_MATCH),
    ("api-support-pin", "GET"): Row(VIEWERS),
    ("api-support-pin", "POST"): Row(EDITORS, body={"is_ready": True}, headers=COMMAND),
    ("api-duty", "GET"): Row(VIEWERS),
    ("api-connections", "GET"): Row(VIEWERS),
    ("api-connections", "POST"): Row(TEAM, body=_CONNECTION),
    ("api-connection", "GET"): Row(VIEWERS),
    ("api-connection", "PATCH"): Row(TEAM, body={"name": "New"}, headers=IF_MATCH),
    ("api-connection-check", "POST"): Row(TEAM, body={}, headers=COMMAND),
    ("api-connection-discovery", "GET"): Row(VIEWERS),
    ("api-audit", "GET"): Row(VIEWERS),
    ("api-events", "GET"): Row(VIEWERS),
    ("api-audit-export", "POST"): Row(frozenset({"admin"}) | TEAM, body={"reason": "Yearly review"}),
    ("api-installation-audit", "GET"): Row(frozenset({"operator"}), "personal"),
    ("api-approvals", "GET"): Row(VIEWERS, "list"),
    ("api-approval", "GET"): Row(VIEWERS),
    # The launch managers decide for the provider's side, never for the customer's (tests of approvals).
    ("api-approval-approve", "POST"): Row(APPROVERS, body={"digest": DIGEST}, headers=COMMAND),
    ("api-approval-reject", "POST"): Row(
        APPROVERS, body={"digest": DIGEST, "reason": "too early"}, headers=COMMAND
    ),
}
_WHY = {"reason": "as agreed"}
_DRILL = {
    "title": "One node lost",
    "scenario_key": "node_lost",
    "choice": {"objective": "Nobody notices.", "kind": "announced", "environment": "test"},
}
_FOUND = {"severity": "minor", "text": "The runbook is old."}
CUSTOMERS = VIEWERS - TEAM
MANAGERS = TEAM | {"admin"}
_INVITED = {"email": "somebody@new.example", "role": "viewer"}
_SERVICE_TOKEN = {"name": "x", "role": "viewer", "scopes": ["accounts:read"]}
_TEAM_INVITED = {"email": "somebody@new.example", "role": "launch_manager"}
_ROSTER = lambda world: {  # noqa: E731
    "name": "Duty",
    "time_zone": "UTC",
    "starts_on": "2026-11-23",
    "hand_over_days": ["0"],
    "hand_over_at": "09:00",
    f"place_{world.people['lead'].pk}": "1",
}
_OPENED = {"name": "New", "number": "777", "time_zone": "UTC", "milestone": 1}
_JOIN = {"name": "Nina", "password": "quite-a-few-words", "password_again": "quite-a-few-words"}


def _of_team(may: frozenset[str] = TEAM, body: Any = None, headers: dict[str, str] | None = None) -> Row:
    return Row(may, body=body, headers=headers or {}, answers=PAST_THE_GATE, unseen_by=CUSTOMERS)


def _api_plan(may: frozenset[str], body: Any = None) -> Row:
    return Row(may, body=body or {}, headers=COMMAND, answers=PAST_THE_GATE)


_PULL = {
    "name": "requests_per_s",
    "base_url": "https://prometheus.example.com",
    "query": "sum(rate(http_requests_total[5m]))",
    "step_s": 60,
    "backfill_days": 1,
}


def _monitored(world: Any) -> dict[str, str]:
    chosen = {"entity_id": "en1", "check_id": "ch1", "metric": "rx_bytes"}
    return {"connection": str(_connection(world).ref), **chosen}


_PROFILE = {
    "name": "front page",
    "requests": [{"method": "GET", "url": "https://shop.example.com/", "weight": 1}],
    "shape": {"kind": "steady", "unit": "users", "level": 5, "duration_s": 60},
    "stops": {"error_ratio": 0.1, "window_s": 10},
    "max_users": 5,
    "max_requests_per_s": 20,
}
ROWS |= {
    ("api-benchmarks", "GET"): Row(VIEWERS),
    ("api-benchmarks", "POST"): Row(EDITORS, body={"content": "x"}, answers=PAST_THE_GATE),
    ("api-benchmark", "GET"): Row(VIEWERS),
    ("api-benchmark", "PATCH"): Row(EDITORS, body={"node_count": 6}, headers=IF_MATCH),
    ("api-benchmark-file", "GET"): Row(VIEWERS),
    ("api-benchmark-aside", "POST"): Row(EDITORS, body=_WHY),
    ("api-benchmark-count", "POST"): Row(EDITORS, body={}),
    ("capacity:metric-list", "GET"): Row(VIEWERS),
    ("capacity:metric", "GET"): Row(VIEWERS),
    ("capacity:metric-data", "GET"): Row(VIEWERS),
    ("capacity:metric-csv", "GET"): Row(VIEWERS),
    ("capacity:metric-vital", "POST"): Row(EDITORS, body={"vital": "1"}),
    ("capacity:growth-overview", "GET"): Row(VIEWERS),
    ("capacity:growth-overview", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:growth-ask", "POST"): Row(EDITORS),
    ("capacity:detected-list", "GET"): Row(VIEWERS),
    ("capacity:detected", "GET"): Row(VIEWERS),
    ("capacity:detected", "POST"): Row(EDITORS, body={"name": "Sale"}),
    ("capacity:prices", "GET"): Row(VIEWERS),
    ("capacity:prices", "POST"): Row(EDITORS, body=_PRICE),
    ("capacity:price-remove", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:sized-pool", "GET"): Row(VIEWERS),
    ("capacity:sized-pool", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:sized-pool-look", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:sized-pool-remove", "GET"): Row(EDITORS),
    ("capacity:sized-pool-remove", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:what-if", "GET"): Row(VIEWERS),
    ("api-growth-report", "GET"): Row(VIEWERS),
    ("api-growth-report", "POST"): Row(EDITORS, body={}),
    ("api-growth-reports", "GET"): Row(VIEWERS),
    ("api-detected-events", "GET"): Row(VIEWERS),
    ("api-detected-name", "POST"): Row(EDITORS, body={"name": "Sale"}, answers=PAST_THE_GATE),
    ("api-detected-dismiss", "POST"): Row(EDITORS, body={}, answers=PAST_THE_GATE),
    ("api-sized-pools", "GET"): Row(VIEWERS),
    ("api-sized-pools", "POST"): Row(EDITORS, body={}, answers=PAST_THE_GATE),
    ("api-sized-pool", "GET"): Row(VIEWERS),
    ("api-sized-pool", "PUT"): Row(EDITORS, body={}, headers=IF_MATCH, answers=PAST_THE_GATE),
    ("api-sized-pool", "DELETE"): Row(EDITORS, headers=IF_MATCH, answers=PAST_THE_GATE),
    ("api-sized-pool-look", "POST"): Row(EDITORS, body={}, answers=PAST_THE_GATE),
    ("api-what-if", "GET"): Row(VIEWERS),
    ("api-server-prices", "GET"): Row(VIEWERS),
    ("api-server-prices", "POST"): Row(EDITORS, body=_PRICE),
    ("api-server-price", "GET"): Row(VIEWERS),
    ("api-server-price", "DELETE"): Row(EDITORS, headers=IF_MATCH, answers=PAST_THE_GATE),
    ("scaledown:costs", "GET"): Row(VIEWERS),
    ("scaledown:cost-csv", "GET"): Row(VIEWERS),
    ("api-event-costs", "GET"): Row(VIEWERS),
    ("capacity:benchmark-list", "GET"): Row(VIEWERS),
    ("capacity:benchmark-list", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:benchmark", "GET"): Row(VIEWERS),
    ("capacity:benchmark", "POST"): Row(EDITORS, body={"node_count": "6"}, answers=PAST_THE_GATE),
    ("capacity:benchmark-aside", "GET"): Row(EDITORS),
    ("capacity:benchmark-aside", "POST"): Row(EDITORS, body=_WHY),
    ("capacity:benchmark-file", "GET"): Row(VIEWERS),
    ("api-pulls", "GET"): Row(VIEWERS),
    ("api-pulls", "POST"): Row(EDITORS, body=_PULL),
    ("api-pulls-monitoring", "GET"): Row(EDITORS, answers=PAST_THE_GATE),
    ("api-pulls-monitoring", "POST"): Row(EDITORS, body=_monitored, answers=PAST_THE_GATE),
    ("api-pull", "GET"): Row(VIEWERS),
    ("api-pull", "DELETE"): Row(EDITORS, headers=IF_MATCH),
    ("api-pull-switch", "POST"): Row(EDITORS, body={"is_on": False}, headers=COMMAND),
    ("api-pull-try", "POST"): Row(EDITORS, body={}, headers=COMMAND, answers=PAST_THE_GATE),
    ("capacity:pull-list", "GET"): Row(VIEWERS),
    ("capacity:pull-list", "POST"): Row(EDITORS, body=_PULL),
    ("capacity:pull-choose", "GET"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:pull-choose", "POST"): Row(EDITORS, body={}, answers=PAST_THE_GATE),
    ("capacity:pull-act", "POST"): Row(EDITORS, body={"act": "off"}),
    ("api-load-profiles", "GET"): Row(VIEWERS),
    ("api-load-profiles", "POST"): Row(EDITORS, body=_PROFILE),
    ("api-load-profile", "GET"): Row(VIEWERS),
    ("api-load-profile", "PUT"): Row(EDITORS, body=_PROFILE, headers=IF_MATCH),
    ("api-load-profile-submit", "POST"): Row(TEAM, body={}, headers=COMMAND),
    ("api-load-profile-withdraw", "POST"): Row(TEAM, body=_WHY, answers=PAST_THE_GATE),
    ("api-load-profile-start", "POST"): Row(
        TEAM, body={"digest": DIGEST}, headers=COMMAND, answers=PAST_THE_GATE
    ),
    ("api-load-runs", "GET"): Row(VIEWERS),
    ("api-load-run", "GET"): Row(VIEWERS),
    ("api-load-run-abort", "POST"): Row(EDITORS, body={}, headers=COMMAND),
    ("capacity:profile-list", "GET"): Row(VIEWERS),
    ("capacity:profile-new", "GET"): Row(EDITORS),
    ("capacity:profile-new", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:profile", "GET"): Row(VIEWERS),
    ("capacity:profile-edit", "GET"): Row(EDITORS),
    ("capacity:profile-edit", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("capacity:profile-submit", "POST"): Row(TEAM),
    ("capacity:profile-approve", "POST"): Row(CUSTOMER_APPROVERS, answers=PAST_THE_GATE),
    ("capacity:profile-reject", "GET"): Row(CUSTOMER_APPROVERS),
    ("capacity:profile-reject", "POST"): Row(CUSTOMER_APPROVERS, body=_WHY, answers=PAST_THE_GATE),
    ("capacity:profile-withdraw", "GET"): Row(TEAM),
    ("capacity:profile-withdraw", "POST"): Row(TEAM, body=_WHY, answers=PAST_THE_GATE),
    ("capacity:profile-start", "GET"): Row(TEAM),
    ("capacity:profile-start", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("capacity:load", "GET"): Row(VIEWERS),
    ("capacity:load-stream", "GET"): Row(VIEWERS),
    ("capacity:load-abort", "POST"): Row(EDITORS),
    ("api-drills", "GET"): Row(VIEWERS),
    ("api-drills", "POST"): Row(EDITORS, body=_DRILL, answers=PAST_THE_GATE),
    ("api-drill", "GET"): Row(VIEWERS),
    ("api-drill", "PUT"): Row(EDITORS, body=_DRILL, headers=IF_MATCH, answers=PAST_THE_GATE),
    ("api-drill-submit", "POST"): Row(TEAM, body={}, headers=COMMAND, answers=PAST_THE_GATE),
    ("api-drill-withdraw", "POST"): Row(EDITORS, body=_WHY, answers=PAST_THE_GATE | {403}),
    ("api-drill-attest", "POST"): Row(TEAM, body={"check_key": "alarms_on"}, answers=PAST_THE_GATE),
    ("api-drill-start", "POST"): Row(TEAM, body={"digest": DIGEST}, headers=COMMAND, answers=PAST_THE_GATE),
    ("api-drill-run", "GET"): Row(VIEWERS),
    ("api-drill-command", "POST"): Row(
        VIEWERS, body={"name": "note", "reason": "as agreed"}, headers=COMMAND, answers=PAST_THE_GATE
    ),
    ("api-drill-import", "POST"): Row(EDITORS, body={"experiment": {}}, answers=PAST_THE_GATE),
    ("api-drill-import-look", "POST"): Row(EDITORS, body={"experiment": {}}, answers=PAST_THE_GATE),
    ("api-drill-experiment", "GET"): Row(VIEWERS),
    # The drill of the table is under way, and a journal is of one that is over.
    ("api-drill-journal", "GET"): Row(VIEWERS, answers=frozenset({404})),
    ("drills:drill-import", "GET"): Row(EDITORS),
    ("drills:drill-import", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("drills:drill-take-over", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("drills:drill-experiment", "GET"): Row(VIEWERS),
    ("drills:drill-journal", "GET"): Row(VIEWERS, answers=frozenset({404})),
    ("api-drills-over-time", "GET"): Row(VIEWERS),
    # The drill of the matrix is under way.
    ("api-drill-report", "GET"): Row(VIEWERS, answers=frozenset({200, 409})),
    ("drills:drill-report-pdf", "GET"): Row(VIEWERS, answers=frozenset({200, 302})),
    ("drills:drills-over-time", "GET"): Row(VIEWERS),
    ("api-drill-findings", "GET"): Row(VIEWERS),
    ("api-drill-findings", "POST"): Row(VIEWERS, body=_FOUND),
    ("api-drill-proposals", "GET"): Row(VIEWERS),
    ("api-drill-proposals", "POST"): Row(VIEWERS, body={"key": "held"}, answers=PAST_THE_GATE),
    ("api-drill-finding", "GET"): Row(VIEWERS),
    # Whoever sees it may note; another's finding is changed by who leads drills.
    ("api-drill-finding", "PUT"): Row(
        VIEWERS, body=_FOUND, headers=IF_MATCH, answers=PAST_THE_GATE | {403, 404}
    ),
    ("api-drill-finding-withdraw", "POST"): Row(VIEWERS, body=_WHY, answers=PAST_THE_GATE | {403}),
    ("api-drill-finding-action", "POST"): Row(
        EDITORS, body={"title": "Do it", "due_on": "2026-12-14"}, answers=PAST_THE_GATE
    ),
    ("drills:finding-new", "GET"): Row(VIEWERS),
    ("drills:finding-new", "POST"): Row(VIEWERS, answers=PAST_THE_GATE),
    ("drills:finding-take-over", "POST"): Row(VIEWERS, answers=PAST_THE_GATE),
    ("drills:finding-change", "GET"): Row(VIEWERS, answers=PAST_THE_GATE | {403}),
    ("drills:finding-change", "POST"): Row(VIEWERS, answers=PAST_THE_GATE | {403}),
    ("drills:finding-withdraw", "GET"): Row(VIEWERS, answers=PAST_THE_GATE | {403}),
    ("drills:finding-withdraw", "POST"): Row(VIEWERS, body=_WHY, answers=PAST_THE_GATE | {403}),
    ("drills:finding-act", "GET"): Row(EDITORS),
    ("drills:finding-act", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("drills:drill-list", "GET"): Row(VIEWERS),
    ("drills:drill-choose", "GET"): Row(EDITORS),
    ("drills:drill-new", "GET"): Row(EDITORS),
    ("drills:drill-new", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("drills:drill", "GET"): Row(VIEWERS),
    ("drills:drill-edit", "GET"): Row(EDITORS),
    ("drills:drill-edit", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("drills:drill-script", "GET"): Row(EDITORS, answers=frozenset({200, 409})),
    ("drills:drill-script", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("drills:drill-submit", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("drills:drill-approve", "POST"): Row(CUSTOMER_APPROVERS, answers=PAST_THE_GATE),
    ("drills:drill-reject", "GET"): Row(CUSTOMER_APPROVERS),
    ("drills:drill-reject", "POST"): Row(CUSTOMER_APPROVERS, body=_WHY, answers=PAST_THE_GATE),
    ("drills:drill-withdraw", "GET"): Row(EDITORS),
    ("drills:drill-withdraw", "POST"): Row(EDITORS, body=_WHY, answers=PAST_THE_GATE | {403}),
    ("drills:drill-copy", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("drills:drill-attest", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("drills:drill-start", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("drills:drill-live", "GET"): Row(VIEWERS),
    ("drills:drill-stream", "GET"): Row(VIEWERS),
    # Who may ask for what is the service's: anybody may stop.
    ("drills:drill-command", "POST"): Row(VIEWERS, answers=PAST_THE_GATE),
    ("drills:drill-report", "GET"): Row(VIEWERS, answers=frozenset({200, 302})),
    ("api-networks", "GET"): Row(VIEWERS),
    ("api-hosts", "GET"): Row(VIEWERS),
    ("api-hosts", "POST"): Row(EDITORS, body={"place": "www.example.com"}),
    ("api-host", "GET"): Row(VIEWERS),
    ("api-host", "DELETE"): Row(EDITORS, headers=IF_MATCH),
    ("api-host-check", "POST"): Row(EDITORS, body={}, headers=COMMAND, answers=PAST_THE_GATE),
    ("capacity:host-list", "GET"): Row(VIEWERS),
    ("capacity:host-list", "POST"): Row(EDITORS, body={"host": "www.example.com"}),
    ("capacity:host-act", "POST"): Row(EDITORS, body={"act": "check"}),
    ("api-markers", "GET"): Row(VIEWERS),
    ("api-markers", "POST"): Row(EDITORS, body={"kind": "deployment", "title": "shop 4.2"}),
    ("capacity:marker-list", "GET"): Row(VIEWERS),
    ("capacity:marker-list", "POST"): Row(EDITORS, body={"kind": "deployment", "title": "shop 4.2"}),
    ("api-baselines", "GET"): Row(VIEWERS),
    ("api-baselines", "POST"): Row(TEAM, body={}, answers=PAST_THE_GATE),
    ("api-baseline", "GET"): Row(VIEWERS),
    ("api-baseline-comparisons", "GET"): Row(VIEWERS),
    ("api-baseline-withdraw", "POST"): Row(TEAM, body=_WHY, answers=PAST_THE_GATE),
    ("api-ceiling", "GET"): Row(VIEWERS),
    ("api-ceiling", "POST"): Row(EDITORS, body={}, answers=PAST_THE_GATE),
    ("api-pool-limit", "POST"): Row(
        EDITORS, body={"kind": "cache", "requests_per_s": 5.0, "source": "its owner"}
    ),
    ("api-pool-limit-kind", "DELETE"): Row(EDITORS, headers=IF_MATCH),
    ("capacity:baseline-list", "GET"): Row(VIEWERS),
    ("capacity:baseline-propose", "GET"): Row(TEAM),
    ("capacity:baseline-propose", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("capacity:baseline", "GET"): Row(VIEWERS),
    ("capacity:baseline-approve", "POST"): Row(
        CUSTOMER_APPROVERS, body={"digest": DIGEST}, answers=PAST_THE_GATE
    ),
    ("capacity:baseline-reject", "GET"): Row(CUSTOMER_APPROVERS),
    ("capacity:baseline-reject", "POST"): Row(
        CUSTOMER_APPROVERS, body={"digest": DIGEST, **_WHY}, answers=PAST_THE_GATE
    ),
    ("capacity:baseline-withdraw", "GET"): Row(TEAM),
    ("capacity:baseline-withdraw", "POST"): Row(TEAM, body=_WHY, answers=PAST_THE_GATE),
    ("capacity:benchmark-propose", "GET"): Row(TEAM),
    ("capacity:benchmark-propose", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("capacity:ceiling", "GET"): Row(VIEWERS),
    ("capacity:ceiling", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("styleguide", "GET"): Row(EVERYBODY, "public"),
    # scale-down's API
    ("api-scale-up-records", "GET"): Row(VIEWERS),
    ("api-scale-up-records", "POST"): Row(EDITORS, body={}, answers=PAST_THE_GATE),
    ("api-scale-up-reconstruct", "POST"): _api_plan(EDITORS),
    ("api-scale-up-record", "GET"): Row(VIEWERS),
    ("api-plans", "GET"): Row(VIEWERS),
    ("api-plans", "POST"): Row(EDITORS, body={}, answers=PAST_THE_GATE),
    ("api-plan", "GET"): Row(VIEWERS),
    ("api-plan", "PATCH"): Row(EDITORS, body={"title": "New"}, headers=IF_MATCH),
    ("api-plan-preview", "POST"): _api_plan(VIEWERS),
    ("api-plan-submit", "POST"): _api_plan(TEAM),
    ("api-plan-approve", "POST"): _api_plan(CUSTOMER_APPROVERS, {"digest": DIGEST}),
    ("api-plan-reject", "POST"): _api_plan(CUSTOMER_APPROVERS, {"digest": DIGEST, **_WHY}),
    ("api-plan-less", "POST"): _api_plan(EDITORS, {"digest": DIGEST, "soak_s": 900}),
    ("api-plan-void", "POST"): _api_plan(EDITORS, _WHY),
    ("api-plan-copy", "POST"): _api_plan(EDITORS),
    ("api-plan-start", "POST"): _api_plan(TEAM, {"status": "approved", "digest": DIGEST}),
    ("api-plan-rehearse", "POST"): _api_plan(TEAM),
    ("api-runs", "GET"): Row(VIEWERS, "list"),
    ("api-account-runs", "GET"): Row(VIEWERS),
    ("api-run", "GET"): Row(VIEWERS),
    ("api-run-commands", "GET"): Row(VIEWERS),
    ("api-run-commands", "POST"): _api_plan(
        APPROVERS, {"name": "pause", "status": "running", "digest": DIGEST}
    ),
    ("api-run-charge", "POST"): _api_plan(TEAM),
    ("api-run-charge-until", "POST"): _api_plan(TEAM),
    ("api-run-backup", "POST"): _api_plan(TEAM),
    ("api-run-backup-end", "POST"): _api_plan(TEAM),
    ("api-run-handovers", "GET"): Row(TEAM),
    ("api-run-handovers", "POST"): _api_plan(TEAM, lambda world: {"to": str(world.people["lead"].ref)}),
    ("api-handover", "GET"): Row(TEAM),
    ("api-handover-accept", "POST"): _api_plan(LEADS),
    ("api-handover-decline", "POST"): _api_plan(LEADS),
    ("api-handover-withdraw", "POST"): _api_plan(frozenset({"launch_manager"})),
    ("api-run-growths", "GET"): Row(VIEWERS),
    ("api-run-growths", "POST"): _api_plan(
        TEAM, {"servers": 1, "status": "running", "digest": DIGEST, **_WHY}
    ),
    ("api-growth", "GET"): Row(VIEWERS),
    ("api-growth-withdraw", "POST"): _api_plan(TEAM, _WHY),
    ("api-run-journal", "GET"): Row(VIEWERS),
    ("api-run-samples", "GET"): Row(VIEWERS),
    ("api-run-events", "GET"): Row(VIEWERS),
    ("api-run-report", "GET"): Row(VIEWERS, answers=PAST_THE_GATE),
    ("api-run-lessons", "POST"): Row(EDITORS, body={"text": "Earlier in the day."}, answers=PAST_THE_GATE),
    ("api-protected-servers", "GET"): Row(VIEWERS),
    ("api-protected-servers", "POST"): Row(TEAM, body={}, answers=PAST_THE_GATE),
    ("api-protected-server-lift", "POST"): _api_plan(TEAM, _WHY),
    ("api-standstills", "GET"): Row(VIEWERS),
    ("api-standstills", "POST"): _api_plan(APPROVERS, {"scope": "account", **_WHY}),
    ("api-standstill-lift", "POST"): _api_plan(LEADS, _WHY),
    # pages of scale-down
    ("scaledown:plan-list", "GET"): Row(VIEWERS),
    ("scaledown:plan-new", "GET"): Row(EDITORS),
    ("scaledown:plan-new", "POST"): Row(EDITORS, body={"title": "x"}, answers=PAST_THE_GATE),
    ("scaledown:record-list", "GET"): Row(VIEWERS),
    ("scaledown:record-list", "POST"): Row(EDITORS, body={"name": ""}, answers=PAST_THE_GATE),
    ("scaledown:record-detail", "GET"): Row(VIEWERS),
    ("scaledown:record-detail", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:protected", "GET"): Row(VIEWERS),
    ("scaledown:protected", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("scaledown:protected-lift", "GET"): Row(TEAM),
    ("scaledown:protected-lift", "POST"): Row(TEAM, body={"reason": "moved"}),
    ("scaledown:standstill", "GET"): Row(VIEWERS),
    ("scaledown:standstill", "POST"): Row(
        APPROVERS, body={"scope": "account", "reason": "Payments are down."}
    ),
    ("scaledown:standstill-lift", "POST"): Row(
        LEADS, body=lambda world: {"standstill": _standstill(world).ref, "reason": "They work."}
    ),
    ("scaledown:plan-detail", "GET"): Row(VIEWERS),
    ("scaledown:plan-purpose", "GET"): Row(EDITORS),
    ("scaledown:plan-purpose", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:plan-pool", "GET"): Row(EDITORS),
    ("scaledown:plan-pool", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:plan-safety", "GET"): Row(EDITORS),
    ("scaledown:plan-safety", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:plan-preview", "GET"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:plan-preview", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:plan-submit", "GET"): Row(EDITORS),
    ("scaledown:plan-submit", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("scaledown:plan-approve", "POST"): Row(
        CUSTOMER_APPROVERS, body={"digest": DIGEST}, answers=PAST_THE_GATE
    ),
    ("scaledown:plan-reject", "GET"): Row(CUSTOMER_APPROVERS),
    ("scaledown:plan-reject", "POST"): Row(
        CUSTOMER_APPROVERS, body={"digest": DIGEST}, answers=PAST_THE_GATE
    ),
    ("scaledown:plan-start", "GET"): Row(TEAM, answers=PAST_THE_GATE),
    ("scaledown:plan-start", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("scaledown:plan-rehearse", "POST"): Row(TEAM, answers=PAST_THE_GATE),
    ("scaledown:plan-less", "GET"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:plan-less", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:plan-void", "GET"): Row(EDITORS),
    ("scaledown:plan-void", "POST"): Row(EDITORS, body={"reason": "Too early."}),
    ("scaledown:plan-copy", "POST"): Row(EDITORS, answers=PAST_THE_GATE),
    ("scaledown:run-detail", "GET"): Row(VIEWERS),
    ("scaledown:run-stream", "GET"): Row(VIEWERS),
    ("scaledown:run-journal", "GET"): Row(VIEWERS),
    ("scaledown:run-charge", "GET"): Row(TEAM),
    ("scaledown:run-charge", "POST"): Row(TEAM),
    ("scaledown:handover-answer", "POST"): Row(LEADS, body={"act": "accept"}, answers=PAST_THE_GATE),
    ("scaledown:run-command", "GET"): Row(APPROVERS),
    ("scaledown:run-command", "POST"): Row(APPROVERS),
    ("scaledown:run-grow", "GET"): Row(TEAM),
    ("scaledown:run-grow", "POST"): Row(TEAM, body={"count": "1", **_WHY}, answers=PAST_THE_GATE),
    ("scaledown:growth", "GET"): Row(VIEWERS),
    ("scaledown:growth-approve", "POST"): Row(
        CUSTOMER_APPROVERS, body={"digest": DIGEST}, answers=PAST_THE_GATE
    ),
    ("scaledown:growth-reject", "GET"): Row(CUSTOMER_APPROVERS),
    ("scaledown:growth-reject", "POST"): Row(
        CUSTOMER_APPROVERS, body={"digest": DIGEST, **_WHY}, answers=PAST_THE_GATE
    ),
    ("scaledown:growth-withdraw", "GET"): Row(TEAM),
    ("scaledown:growth-withdraw", "POST"): Row(TEAM, body=_WHY),
    ("scaledown:run-report", "GET"): Row(VIEWERS),
    ("scaledown:run-lesson", "GET"): Row(VIEWERS),
    ("scaledown:run-lesson", "POST"): Row(EDITORS, body={"text": "Start earlier."}),
}

ROWS |= {
    # people
    ("accounts:access", "GET"): Row(VIEWERS),
    ("accounts:invite", "GET"): Row(MANAGERS),
    ("accounts:invite", "POST"): Row(MANAGERS, body=_INVITED),
    ("accounts:leave", "GET"): Row(VIEWERS),
    ("accounts:leave", "POST"): Row(VIEWERS, answers=PAST_THE_GATE),
    ("accounts:member-role", "GET"): Row(MANAGERS),
    ("accounts:member-role", "POST"): Row(MANAGERS, body={"role": "editor"}),
    ("accounts:member-remove", "GET"): Row(MANAGERS),
    ("accounts:member-remove", "POST"): Row(MANAGERS),
    ("accounts:invitation-revoke", "POST"): Row(MANAGERS),
    ("accounts:invitation-send", "POST"): Row(MANAGERS),
    ("accounts:account-settings", "GET"): Row(TEAM),
    ("accounts:account-settings", "POST"): Row(
        TEAM, body={"name": "New", "time_zone": "UTC", "milestone": 2}
    ),
    ("accounts:account-archive", "GET"): Row(LEADS),
    ("accounts:account-archive", "POST"): Row(LEADS, body=_WHY, answers=PAST_THE_GATE),
    ("accounts:account-reopen", "GET"): Row(LEADS),
    ("accounts:account-reopen", "POST"): Row(LEADS, body=_WHY),
    ("accounts:service-token-make", "GET"): Row(MANAGERS),
    ("accounts:service-token-make", "POST"): Row(MANAGERS, body={**_SERVICE_TOKEN, "days": 7}),
    ("accounts:service-token-revoke", "GET"): Row(MANAGERS),
    ("accounts:service-token-revoke", "POST"): Row(MANAGERS),
    ("api-service-tokens", "GET"): Row(MANAGERS),
    ("api-service-tokens", "POST"): Row(MANAGERS, body=lambda world: {**world.token_body, **_SERVICE_TOKEN}),
    ("api-service-token", "DELETE"): Row(MANAGERS),
    # support cases: whoever reads the account may call for help; nobody of the matrix opened its case
    ("accounts:case-list", "GET"): Row(),
    ("accounts:case-open", "GET"): Row(),
    ("accounts:case-open", "POST"): Row(body=_CASE),
    ("accounts:case-detail", "GET"): Row(),
    ("accounts:case-reply", "POST"): Row(EDITORS, body={"text": "We look at it."}),
    ("accounts:case-status", "POST"): Row(EDITORS, body={"status": "waiting_provider"}),
    ("accounts:case-severity", "POST"): Row(EDITORS, body={"severity": "decide_today"}),
    ("accounts:case-ticket", "POST"): Row(EDITORS, body={"ticket_url": "https://provider.example/1"}),
    ("accounts:case-order", "GET"): Row(TEAM),
    ("accounts:case-order", "POST"): Row(TEAM, body=lambda world: {**_order(world), "number": ""}),
    ("accounts:case-attachment", "GET"): Row(),
    ("api-cases", "GET"): Row(),
    ("api-cases", "POST"): Row(body=_CASE),
    ("api-case", "GET"): Row(),
    ("api-case", "PATCH"): Row(EDITORS, body={"severity": "decide_today"}, headers=IF_MATCH),
    ("api-case-entries", "GET"): Row(),
    ("api-case-replies", "POST"): Row(EDITORS, body={"text": "We look at it."}),
    ("api-case-status", "POST"): Row(
        EDITORS, body={"status": "waiting_provider", "seen": "open"}, headers=COMMAND
    ),
    ("api-case-orders", "POST"): Row(TEAM, body=lambda world: _order(world)),
    ("api-case-attachment", "GET"): Row(),
    ("api-support-mail", "POST"): Row(EVERYBODY, "public", answers=frozenset({404, 415})),
    # webhooks
    ("accounts:webhook-list", "GET"): Row(MANAGERS),
    ("accounts:webhook-add", "GET"): Row(MANAGERS),
    ("accounts:webhook-add", "POST"): Row(MANAGERS, body=_WEBHOOK),
    ("accounts:webhook-detail", "GET"): Row(MANAGERS),
    ("accounts:webhook-edit", "GET"): Row(MANAGERS),
    ("accounts:webhook-edit", "POST"): Row(MANAGERS, body=_WEBHOOK),
    ("accounts:webhook-rotate", "GET"): Row(MANAGERS),
    ("accounts:webhook-rotate", "POST"): Row(MANAGERS, body={"keep_old_hours": 1}),
    ("accounts:webhook-pause", "POST"): Row(MANAGERS),
    ("accounts:webhook-resume", "POST"): Row(MANAGERS),
    ("accounts:webhook-test", "POST"): Row(MANAGERS),
    ("accounts:webhook-remove", "GET"): Row(MANAGERS),
    ("accounts:webhook-remove", "POST"): Row(MANAGERS),
    ("accounts:webhook-message", "GET"): Row(MANAGERS),
    ("accounts:webhook-message-send", "POST"): Row(MANAGERS),
    ("api-webhooks", "GET"): Row(MANAGERS),
    ("api-webhooks", "POST"): Row(MANAGERS, body={"url": _WEBHOOK["url"]}),
    ("api-webhook", "GET"): Row(MANAGERS),
    ("api-webhook", "PATCH"): Row(MANAGERS, body={"types": ["run.halted"]}, headers=IF_MATCH),
    ("api-webhook", "DELETE"): Row(MANAGERS, headers=IF_MATCH),
    ("api-webhook-pause", "POST"): Row(MANAGERS, headers=COMMAND),
    ("api-webhook-resume", "POST"): Row(MANAGERS, headers=COMMAND),
    ("api-webhook-rotate", "POST"): Row(MANAGERS, headers=COMMAND),
    ("api-webhook-test", "POST"): Row(MANAGERS, headers=COMMAND),
    ("api-webhook-messages", "GET"): Row(MANAGERS),
    ("api-webhook-message", "GET"): Row(MANAGERS),
    ("api-webhook-message-send", "POST"): Row(MANAGERS, headers=COMMAND),
    ("join", "GET"): Row(EVERYBODY, "public", names_it=True),
    # Whoever is logged in with another address is refused; a stranger joins.
    ("join", "POST"): Row(EVERYBODY, "public", body=_JOIN, answers=frozenset({302, 403})),
    ("api-members", "GET"): Row(VIEWERS),
    ("api-leave", "POST"): Row(VIEWERS, body={}, headers=COMMAND, answers=PAST_THE_GATE),
    ("api-member", "GET"): Row(VIEWERS),
    ("api-member", "PATCH"): Row(MANAGERS, body={"role": "editor"}, headers=IF_MATCH),
    ("api-member", "DELETE"): Row(MANAGERS, headers=IF_MATCH),
    ("api-invitations", "GET"): Row(MANAGERS),
    ("api-invitations", "POST"): Row(MANAGERS, body=_INVITED, headers=COMMAND),
    ("api-invitation", "GET"): Row(MANAGERS),
    ("api-invitation", "DELETE"): Row(MANAGERS, headers=IF_MATCH),
    ("api-invitation-send", "POST"): Row(MANAGERS, body={}, headers=COMMAND),
    ("api-join", "POST"): Row(
        EVERYBODY,
        "public",
        body={"token": "ssi_of_the_matrix", "name": "Nina", "password": "quite-a-few-words"},
        answers=frozenset({201, 403, 422}),
        names_it=True,
    ),
    ("api-account-archive", "POST"): Row(LEADS, body=_WHY, headers=COMMAND, answers=PAST_THE_GATE),
    ("api-account-reopen", "POST"): Row(LEADS, body=_WHY, headers=COMMAND),
    # teams
    ("accounts:team-list", "GET"): Row(EVERYBODY, "personal"),
    ("accounts:team-detail", "GET"): _of_team(),
    ("accounts:team-roster", "GET"): _of_team(),
    ("accounts:team-roster", "POST"): _of_team(TEAM, _ROSTER),
    ("accounts:team-invite", "GET"): _of_team(LEADS),
    ("accounts:team-invite", "POST"): _of_team(LEADS, _TEAM_INVITED),
    ("accounts:team-leave", "GET"): _of_team(),
    ("accounts:team-leave", "POST"): _of_team(),
    ("accounts:account-open", "GET"): _of_team(),
    ("accounts:account-open", "POST"): _of_team(TEAM, _OPENED),
    ("accounts:team-member-role", "GET"): _of_team(LEADS),
    ("accounts:team-member-role", "POST"): _of_team(LEADS, {"role": "lead"}),
    ("accounts:team-member-remove", "GET"): _of_team(LEADS),
    ("accounts:team-member-remove", "POST"): _of_team(LEADS),
    ("accounts:team-member-switch-off", "GET"): _of_team(LEADS),
    ("accounts:team-member-switch-off", "POST"): _of_team(LEADS, _WHY),
    ("accounts:team-invitation-revoke", "POST"): _of_team(LEADS),
    ("accounts:team-invitation-send", "POST"): _of_team(LEADS),
    ("api-teams", "GET"): Row(EVERYBODY, "personal"),
    ("api-team", "GET"): _of_team(),
    ("api-team-accounts", "POST"): _of_team(TEAM, _OPENED),
    ("api-team-members", "GET"): _of_team(),
    ("api-team-leave", "POST"): _of_team(TEAM, {}, COMMAND),
    ("api-team-member", "GET"): _of_team(),
    ("api-team-member", "PATCH"): _of_team(LEADS, {"role": "lead"}, IF_MATCH),
    ("api-team-member", "DELETE"): _of_team(LEADS, None, IF_MATCH),
    ("api-team-member-switch-off", "POST"): _of_team(LEADS, _WHY, COMMAND),
    ("api-team-invitations", "GET"): _of_team(LEADS),
    ("api-team-invitations", "POST"): _of_team(LEADS, _TEAM_INVITED, COMMAND),
    ("api-team-invitation", "GET"): _of_team(LEADS),
    ("api-team-invitation", "DELETE"): _of_team(LEADS, None, IF_MATCH),
    ("api-team-invitation-send", "POST"): _of_team(LEADS, {}, COMMAND),
}


def _scenario(world: Any) -> Any:
    return world.once(
        "scenario",
        lambda: write_scenario(world.account.team, scenario_plain(), actor=world.people["lead"]),
    )


def _connection(world: Any) -> Any:
    return world.once("connection", lambda: make.connection(world.account))


def _plan(world: Any) -> Any:
    return world.once(
        "plan",
        lambda: Plan.objects.create(
            account=world.account,
            connection=_connection(world),
            title="web: back to 3",
            author=world.people["editor"],
        ),
    )


def _run(world: Any) -> Any:
    plan, now = a_plan(), timezone.now()
    return world.once(
        "run",
        lambda: Run.objects.create(
            account=world.account,
            kind="scaledown",
            plan_ref=_plan(world).ref,
            title="web: back to 3",
            plan=plan_to_plain(plan),
            progress=progress_to_plain(new_progress(plan, now)),
            digest=DIGEST,
            scopes=[],
            status="running",
            next_tick_at=now,
            created_by=world.people["launch_manager"],
        ),
    )


def _record(world: Any) -> Any:
    return world.once(
        "record",
        lambda: ScaleUpRecord.objects.create(
            account=world.account, connection=_connection(world), event=make.event(world.account)
        ),
    )


def _mark(world: Any) -> Any:
    return world.once(
        "mark",
        lambda: ProtectedServer.objects.create(
            account=world.account,
            connection=_connection(world),
            server_id="s-1",
            server_name="web-01",
            reason="Holds the licence.",
            marked_by=world.people["lead"],
        ),
    )


def _growth(world: Any) -> Any:
    """A question about the run's first server."""
    run, manager = _run(world), world.people["launch_manager"]
    data = GrowData(1, str(run.ref), DIGEST, (GrownServer("srv-6", "web-06", "general1-4", "img-1"),))

    def made() -> Growth:
        ref = uuid.uuid4()
        asked = make.approval(
            run.account, manager, digest=DIGEST, provider=manager, subject_type=GROWTH, subject_ref=ref
        )
        return Growth.objects.create(
            ref=ref,
            account=run.account,
            run=run,
            request=asked,
            data=to_plain(data),
            asked_by=manager,
            asked_at=asked.created_at,
        )

    return world.once("growth", made)


def _pull(world: Any) -> Any:
    def made() -> Any:
        fields = {**_PULL, "name": "orders_per_min"}
        return add_pull(world.account, fields, actor=world.people["editor"])

    return world.once("pull", made)


def _profile(world: Any) -> Any:
    return world.once("profile", lambda: loads.draft(world.account, _PROFILE, actor=world.people["editor"]))


def _load(world: Any) -> Any:
    """A load that waits for its worker; made after the scale-down, which tests take for the first run."""
    _run(world)

    def made() -> LoadRun:
        run = Run.objects.create(
            account=world.account,
            kind=loads.KIND,
            plan_ref=uuid.uuid4(),
            title="Load on the site",
            plan={},
            digest=DIGEST,
            scopes=[],
            status="running",
            next_tick_at=timezone.now(),
            created_by=world.people["launch_manager"],
        )
        return LoadRun.objects.create(
            ref=run.plan_ref,
            account=world.account,
            profile=_profile(world),
            run=run,
            started_by=world.people["launch_manager"],
        )

    return world.once("load", made)


def _host(world: Any) -> Any:
    return world.once(
        "host", lambda: add_host(world.account, "shop.example.com", actor=world.people["editor"])
    )


def _benchmark(world: Any) -> Any:
    def made() -> Benchmark:
        row, _ = take_in(world.account, data("wrk.txt"), file_name="wrk.txt", actor=world.people["lead"])
        return row

    return world.once("benchmark", made)


def _baseline(world: Any) -> Any:
    """A version that waits for the customer, of the pool of a step test of the demo."""

    def made() -> MeasuredBaseline:
        lead = world.people["lead"]
        run, _ = take_in(
            world.account,
            step_test(timezone.now() - timedelta(days=2)),
            file_name="steps_stats_history.csv",
            actor=lead,
            connection=_connection(world),
            balancer_id="71",
            node_count=6,
            flavor="general1-4",
            software="shop 4.12",
            mix="70 % cached",
        )
        return baselines.propose(
            baselines.from_benchmark(run),
            valid_until=timezone.now() + timedelta(days=30),
            reason="The matrix.",
            actor=lead,
        )

    return world.once("baseline", made)


def _handover(world: Any) -> Any:
    """What the launch manager asks the lead."""
    run, people = _run(world), world.people

    def made() -> Handover:
        now = timezone.now()
        return Handover.objects.create(
            run=run,
            role="in_charge",
            to=people["lead"],
            asked_by=people["launch_manager"],
            asked_at=now,
            expires_at=now + timedelta(hours=4),
        )

    return world.once("handover", made)


def _standstill(world: Any) -> Any:
    return world.once(
        "standstill",
        lambda: Standstill.objects.create(
            scope=f"account:{world.account.ref}",
            reason="Payments are down.",
            by=world.people["lead"],
            by_name="Lena",
        ),
    )


def _factor_ref(world: Any) -> Any:
    row = world.once("factor", lambda: make.key(world.people["admin"]))
    return ref_of("factor", row.pk)


def _link_ref(world: Any) -> Any:
    row = world.once("link", lambda: make.link(world.people["admin"]))
    return ref_of("link", row.pk)


def _session_ref(world: Any) -> Any:
    row = world.once("place", lambda: make.place(world.people["admin"]))
    return ref_of("session", row.session_key)


def _member(world: Any) -> Any:
    return Membership.objects.get(user=make.member(world.account, "viewer", "Somebody else"))


def _feed(world: Any) -> Any:
    return world.once("feed", lambda: make.feed(world.people["admin"], "ssf_of_the_matrix", world.account))


def _review(world: Any) -> Any:
    return world.once("review", lambda: make.review(world.account, world.people["launch_manager"]))


def _team_member(world: Any) -> Any:
    return TeamMembership.objects.get(user=make.launch_manager(world.account.team, "Somebody else"))


def _invited(world: Any) -> Any:
    return world.once(
        "invitation", lambda: make.invitation(world.account, world.people["admin"], "ssi_of_the_matrix")
    )


def _case(world: Any) -> Any:
    return world.once("case", lambda: make.case(world.account))


def _webhook(world: Any) -> Any:
    return world.once("webhook", lambda: make.endpoint(world.account))


ROWS |= {
    # reviews, action items, the week, a team's quarter
    ("accounts:monday", "GET"): Row(IN_A_TEAM, kind="personal", denied=404),
    ("accounts:monday-csv", "GET"): Row(IN_A_TEAM, kind="personal", denied=404),
    ("accounts:review-list", "GET"): Row(VIEWERS),
    ("accounts:review-begin", "GET"): Row(TEAM),
    ("accounts:review-begin", "POST"): Row(TEAM, body={}, answers=PAST_THE_GATE),
    ("accounts:review-schedule", "GET"): Row(TEAM),
    ("accounts:review-schedule", "POST"): Row(TEAM, body={"interval_days": 60}),
    ("accounts:review-detail", "GET"): Row(VIEWERS),
    ("accounts:review-change", "GET"): Row(TEAM),
    ("accounts:review-change", "POST"): Row(TEAM, body={}, answers=PAST_THE_GATE),
    ("accounts:review-compare", "GET"): Row(VIEWERS, answers=PAST_THE_GATE),
    ("accounts:review-sign", "GET"): Row(CUSTOMER_APPROVERS),
    ("accounts:review-sign", "POST"): Row(CUSTOMER_APPROVERS, body={}, answers=PAST_THE_GATE),
    ("accounts:review-sign-provider", "GET"): Row(TEAM),
    ("accounts:review-sign-provider", "POST"): Row(TEAM, body={}, answers=PAST_THE_GATE),
    ("accounts:review-call-off", "GET"): Row(TEAM),
    ("accounts:review-call-off", "POST"): Row(TEAM, body={"reason": "Moved to January."}),
    ("accounts:review-item", "GET"): Row(TEAM),
    ("accounts:review-item", "POST"): Row(TEAM, body={"grade": "green"}),
    ("accounts:action-list", "GET"): Row(VIEWERS),
    ("accounts:action-add", "GET"): Row(EDITORS),
    ("accounts:action-add", "POST"): Row(EDITORS, body={}, answers=PAST_THE_GATE),
    ("accounts:action-detail", "GET"): Row(VIEWERS),
    ("accounts:action-detail", "POST"): Row(EDITORS, body={"what": "close", "state": "done"}),
    ("accounts:team-quarter", "GET"): _of_team(LEADS),
    ("accounts:team-review-items", "GET"): _of_team(),
    ("accounts:team-review-items", "POST"): _of_team(LEADS, {"version": 0, "items": "Certificates"}),
    ("api-monday", "GET"): Row(kind="list"),
    ("api-scorecard", "GET"): Row(VIEWERS),
    ("api-reviews", "GET"): Row(VIEWERS),
    ("api-reviews", "POST"): Row(TEAM, body={"held_on": _in_days(1)}, answers=PAST_THE_GATE),
    ("api-review-schedule", "GET"): Row(VIEWERS),
    ("api-review-schedule", "POST"): Row(TEAM, body={"interval_days": 60}, headers=COMMAND),
    ("api-review", "GET"): Row(VIEWERS),
    ("api-review", "PATCH"): Row(TEAM, body={"held_on": _in_days(2)}, headers=IF_MATCH),
    ("api-review-sign", "POST"): Row(
        CUSTOMER_APPROVERS, body={"seen": "a" * 64}, headers=COMMAND, answers=PAST_THE_GATE
    ),
    ("api-review-sign-provider", "POST"): Row(
        TEAM, body={"seen": "a" * 64}, headers=COMMAND, answers=PAST_THE_GATE
    ),
    ("api-review-call-off", "POST"): Row(TEAM, body={"reason": "Moved."}, headers=COMMAND),
    ("api-review-compare", "GET"): Row(VIEWERS, answers=PAST_THE_GATE),
    ("api-review-item", "PATCH"): Row(TEAM, body={"grade": "green"}, headers=IF_MATCH),
    ("api-actions", "GET"): Row(VIEWERS),
    ("api-actions", "POST"): Row(
        EDITORS,
        body=lambda world: {
            "title": "Take an image",
            "owner_user": str(world.people["admin"].ref),
            "due_on": _in_days(9),
        },
    ),
    ("api-action", "GET"): Row(VIEWERS),
    ("api-action", "PATCH"): Row(EDITORS, body={"due_on": _in_days(3)}, headers=IF_MATCH),
    ("api-action-close", "POST"): Row(EDITORS, body={"state": "done", "seen_state": "open"}, headers=COMMAND),
    ("drills:home", "GET"): Row(EVERYBODY, "personal"),
    ("drills:scenario-home", "GET"): Row(EVERYBODY, "personal"),
    ("drills:scenario-list", "GET"): _of_team(),
    ("drills:scenario-new", "GET"): _of_team(),
    ("drills:scenario-new", "POST"): _of_team(TEAM, {"do": "add"}),
    ("drills:scenario", "GET"): _of_team(),
    ("drills:scenario-edit", "GET"): _of_team(),
    ("drills:scenario-edit", "POST"): _of_team(TEAM, {"do": "add"}),
    ("drills:scenario-copy", "GET"): _of_team(),
    ("drills:scenario-copy", "POST"): _of_team(TEAM, {"title": "Another"}),
    ("drills:scenario-listed", "GET"): _of_team(),
    ("drills:scenario-listed", "POST"): _of_team(),
    ("drills:scenario-compare", "GET"): _of_team(),
    ("drills:scenario-versions", "GET"): _of_team(),
    ("drills:scenario-version", "GET"): _of_team(),
    ("drills:scenario-go-back", "GET"): _of_team(),
    ("drills:scenario-go-back", "POST"): _of_team(),
    ("api-scenarios", "GET"): _of_team(),
    ("api-scenarios", "POST"): _of_team(TEAM, {"content": scenario_plain()}),
    ("api-scenario", "GET"): _of_team(),
    ("api-scenario-copy", "POST"): _of_team(TEAM, {"title": "Another"}, COMMAND),
    ("api-scenario-listed", "POST"): _of_team(TEAM, {"is_listed": False, "seen": 1}, COMMAND),
    ("api-scenario-compare", "GET"): _of_team(),
    ("api-scenario-versions", "GET"): _of_team(),
    ("api-scenario-versions", "POST"): _of_team(TEAM, {"content": scenario_plain(), "seen": 1}, COMMAND),
    ("api-scenario-version", "GET"): _of_team(),
    ("api-scenario-go-back", "POST"): _of_team(TEAM, {"seen": 1}, COMMAND),
    ("api-team-review-items", "GET"): _of_team(),
    ("api-team-review-items", "POST"): _of_team(LEADS, {"version": 0, "items": []}, COMMAND),
    ("api-team-quarter", "GET"): _of_team(LEADS),
}


def _rotation_body(world):
    member = world.once("contact", lambda: make.contact(world.account))
    turns = [{"day": 0, "at": "09:00"}]
    return {"name": "Days", "starts_on": "2026-11-23", "hand_overs": turns, "members": [str(member.ref)]}


def _rotation(world):
    member = world.once("contact", lambda: make.contact(world.account))
    row = Rotation.objects.create(
        account=world.account,
        name="On call",
        starts_on=timezone.now().date(),
        hand_overs=[{"day": 0, "at": "09:00"}],
    )
    RotationMember.objects.create(rotation=row, place=0, contact=member)
    return row


def _override(world):
    now = timezone.now()
    return CoverageOverride.objects.create(
        account=world.account,
        reason="On the bridge.",
        at=now,
        expires_at=now + timedelta(hours=1),
        by_ref="x",
        by_name="Lena",
    )


_ENTRY = {
    "kind": "freeze",
    "title": "No changes",
    "first_day": "2026-12-20",
    "last_day": "2026-12-24",
    "time_zone": "Europe/Berlin",
}
_ENTRY_IN = {
    "kind": "freeze",
    "title": "No changes",
    "starts_at": "2026-12-20T00:00:00Z",
    "ends_at": "2026-12-25T00:00:00Z",
    "time_zone": "Europe/Berlin",
}
_CALENDAR_EDITORS = APPROVERS

ROWS |= {
    # calendars and their feeds
    ("accounts:calendar", "GET"): Row(VIEWERS),
    ("accounts:calendar-add", "GET"): Row(_CALENDAR_EDITORS),
    ("accounts:calendar-add", "POST"): Row(_CALENDAR_EDITORS, body=_ENTRY),
    ("accounts:calendar-entry", "GET"): Row(VIEWERS),
    ("accounts:calendar-entry", "POST"): Row(_CALENDAR_EDITORS, body=_ENTRY),
    ("accounts:calendar-entry-cancel", "GET"): Row(_CALENDAR_EDITORS),
    ("accounts:calendar-entry-cancel", "POST"): Row(_CALENDAR_EDITORS, body={"reason": "Moved."}),
    ("accounts:team-calendar", "GET"): _of_team(),
    ("accounts:team-calendar-add", "GET"): _of_team(),
    ("accounts:team-calendar-add", "POST"): _of_team(TEAM, _ENTRY),
    ("accounts:team-calendar-entry", "GET"): _of_team(),
    ("accounts:team-calendar-entry", "POST"): _of_team(TEAM, _ENTRY),
    ("accounts:team-calendar-entry-cancel", "GET"): _of_team(),
    ("accounts:team-calendar-entry-cancel", "POST"): _of_team(TEAM, {"reason": "Moved."}),
    ("accounts:calendar-feeds", "GET"): Row(EVERYBODY, kind="personal"),
    ("accounts:calendar-feeds", "POST"): Row(EVERYBODY, kind="personal", body={}),
    ("accounts:calendar-feed-revoke", "POST"): Row(frozenset({"admin"}), kind="personal", denied=404),
    ("accounts:calendar-feed", "GET"): Row(EVERYBODY, kind="public", names_it=True),
    ("api-calendar", "GET"): Row(VIEWERS),
    ("api-calendar", "POST"): Row(_CALENDAR_EDITORS, body=_ENTRY_IN),
    ("api-change-lock", "GET"): Row(VIEWERS),
    ("api-change-lock", "POST"): Row(
        _CALENDAR_EDITORS, body={"title": "Deploying", "minutes": 1}, answers=PAST_THE_GATE
    ),
    ("api-calendar-entry", "GET"): Row(VIEWERS),
    ("api-calendar-entry", "PATCH"): Row(_CALENDAR_EDITORS, body={"title": "New"}, headers=IF_MATCH),
    ("api-calendar-entry-cancel", "POST"): Row(_CALENDAR_EDITORS, body={"reason": "Moved."}, headers=COMMAND),
    ("api-team-calendar", "GET"): _of_team(),
    ("api-team-calendar", "POST"): _of_team(TEAM, _ENTRY_IN),
    ("api-team-calendar-entry", "GET"): _of_team(),
    ("api-team-calendar-entry", "PATCH"): _of_team(TEAM, {"title": "New"}, IF_MATCH),
    ("api-team-calendar-entry-cancel", "POST"): _of_team(TEAM, {"reason": "Moved."}, COMMAND),
    ("api-calendar-feeds", "GET"): Row(EVERYBODY, kind="personal"),
    ("api-calendar-feeds", "POST"): Row(EVERYBODY, kind="personal", body={}),
    ("api-calendar-feed", "DELETE"): Row(frozenset({"admin"}), kind="personal", denied=404),
}


def _metric(world: Any) -> Metric:
    def made() -> Metric:
        row = Metric.objects.create(account=world.account, name="orders", source="api", kind="throughput")
        GrowthReport.objects.create(metric=row, asked_at=timezone.now())
        return row

    return world.once("metric", made)


def _detected(world: Any) -> DetectedEvent:
    now = timezone.now()
    return DetectedEvent.objects.create(
        account=world.account,
        metric=_metric(world),
        starts_at=now - timedelta(days=2),
        ends_at=now - timedelta(days=1),
        peak_at=now - timedelta(days=2),
        peak=9,
        expected=3,
        multiple=3,
        score=20,
        lead_in_s=0,
        is_over=True,
        found_at=now,
    )


def _sized_pool(world: Any) -> SizedPool:
    return SizedPool.objects.create(
        account=world.account,
        connection=_connection(world),
        balancer_id=uuid.uuid4().hex,
        name="web",
        metric=_metric(world),
    )


def _pool_limit(world: Any) -> PoolLimit:
    return PoolLimit.objects.create(
        account=world.account,
        connection=_connection(world),
        balancer_id="71",
        kind="partner",
        requests_per_s=5.0,
        source="its owner",
        at=timezone.now(),
    )


def _price(world: Any) -> ServerPrice:
    return ServerPrice.objects.create(
        account=world.account,
        flavor=uuid.uuid4().hex,
        an_hour="0.36",
        currency="EUR",
        at=timezone.now(),
    )


def _drill(world: Any) -> Any:
    """A drill under way, of which every page is there. Stopped ones of the matrix stay so."""
    return world.once("drill", lambda: _begun_drill(world))


def _begun_drill(world: Any) -> Any:
    # Beside the one of the world, whichever is made first.
    connection = make.connection(world.account, name="Drills, Dallas")
    drill = Drill.objects.create(
        account=world.account,
        connection=connection,
        title="One node lost",
        kind="announced",
        environment="test",
        scenario_key="node_lost",
        scenario_number=0,
        scenario=scenario_to_plain(built_in()["node_lost"]),
        inputs=choice_to_plain(a_choice()),
        facilitator=world.people["launch_manager"],
        author=world.people["launch_manager"],
    )
    plan = build(
        a_choice(), built_in()["node_lost"], 0, Around(str(world.account.ref), "", baseline_p95_ms=100.0)
    )
    drill.data, drill.digest, drill.status = drill_to_plain(plan), "b" * 64, "used"
    drill.save()
    run = Run.objects.create(
        account=world.account,
        kind="drill",
        plan_ref=drill.ref,
        title="Fire drill",
        plan=drill.data,
        digest=drill.digest,
        status="running",
        progress=drill_progress_to_plain(drill_progress(plan)),
        next_tick_at=timezone.now() + timedelta(days=1),
        created_by=world.people["launch_manager"],
    )
    HeldDrill.objects.create(drill=drill, run=run)
    return drill


def _finding(world: Any) -> Any:
    # Each one anew: what was withdrawn cannot be changed.
    return DrillFinding.objects.create(
        held=_drill(world).held,
        severity="minor",
        text="The runbook is old.",
        noted_by=world.people["launch_manager"],
        noted_at=timezone.now(),
    )


REFS: dict[str, Callable[[Any], Any]] = {
    "scenario_key": lambda world: _scenario(world).key,
    "scenario_number": lambda world: _scenario(world).number,
    "metric_ref": lambda world: _metric(world).ref,
    "detected_ref": lambda world: world.once("detected", lambda: _detected(world)).ref,
    # These are taken away by one of their addresses: each request has one of its own.
    "pool_ref": lambda world: _sized_pool(world).ref,
    "price_ref": lambda world: _price(world).ref,
    "link_token": lambda world: "ssk_of_nobody",
    "rotation_ref": lambda world: world.once("rotation", lambda: _rotation(world)).ref,
    "party_ref": lambda world: (
        world.once("party", lambda: OtherParty.objects.create(account=world.account, **_PARTY)).ref
    ),
    "override_ref": lambda world: world.once("override", lambda: _override(world)).ref,
    "slug": lambda world: "no-such-issuer",
    "user_ref": lambda world: world.people["admin"].ref,
    "key": lambda world: "c0ffee-not-a-key",
    "mail_link": lambda world: "of-nobody",
    "factor_ref": _factor_ref,
    "link_ref": _link_ref,
    "session_ref": _session_ref,
    "account_ref": lambda world: world.account.ref,
    "member_ref": lambda world: world.once("member", lambda: _member(world)).ref,
    "invitation_ref": lambda world: _invited(world).ref,
    "invitation_token": lambda world: _invited(world) and "ssi_of_the_matrix",
    "team_ref": lambda world: world.account.team.ref,
    "team_member_ref": lambda world: world.once("team_member", lambda: _team_member(world)).ref,
    "team_invitation_ref": lambda world: (
        world.once(
            "team_invitation",
            lambda: make.invitation(
                world.account.team, world.people["lead"], "ssi_to_the_team", role="launch_manager"
            ),
        ).ref
    ),
    "case_ref": lambda world: _case(world).ref,
    "attachment_ref": lambda world: world.once("attachment", lambda: make.attachment(_case(world))).ref,
    "webhook_ref": lambda world: _webhook(world).ref,
    "delivery_ref": lambda world: world.once("delivery", lambda: make.delivery(_webhook(world))).ref,
    "calendar_entry_ref": lambda world: (
        world.once("entry", lambda: make.calendar_entry(account=world.account)).ref
    ),
    "team_calendar_entry_ref": lambda world: (
        world.once("team_entry", lambda: make.calendar_entry(team=world.account.team)).ref
    ),
    "feed_ref": lambda world: _feed(world).ref,
    "feed_token": lambda world: _feed(world) and "ssf_of_the_matrix",
    "review_ref": lambda world: _review(world).ref,
    "review_item_ref": lambda world: _review(world).items.get(key="baseline").ref,
    "action_ref": lambda world: (
        world.once("action", lambda: make.action(world.account, world.people["admin"])).ref
    ),
    "contact_ref": lambda world: world.once("contact", lambda: make.contact(world.account)).ref,
    "call_token": lambda world: "of-nobody",
    "answer_token": lambda world: "of-nobody",
    "reach_ref": lambda world: make.reach(world.account, world.people["lead"]).ref,
    "try_ref": lambda world: (
        ReachTry.objects.get(step__reach=make.reach(world.account, world.people["lead"])).ref
    ),
    # Each one anew: what was decided about is gone.
    "import_ref": lambda world: begin_import(world.account, _FILE, actor=world.people["editor"]).ref,
    "balancer_id": lambda world: "71",
    "limit_kind": lambda world: _pool_limit(world).kind,
    "connection_ref": lambda world: _connection(world).ref,
    "plan_ref": lambda world: _plan(world).ref,
    "event_ref": lambda world: world.once("event", lambda: make.event(world.account)).ref,
    # a command that an approver may give while the run goes on
    "name": lambda world: "pause",
    "run_ref": lambda world: _run(world).ref,
    "record_ref": lambda world: _record(world).ref,
    "mark_ref": lambda world: _mark(world).ref,
    "growth_ref": lambda world: _growth(world).ref,
    "benchmark_ref": lambda world: _benchmark(world).ref,
    "baseline_ref": lambda world: _baseline(world).ref,
    "profile_ref": lambda world: _profile(world).ref,
    "drill_ref": lambda world: _drill(world).ref,
    "drill_scenario": lambda world: "node_lost",
    "check_key": lambda world: "alarms_on",
    "drill_command": lambda world: "note",
    "finding_ref": lambda world: _finding(world).ref,
    "proposal_key": lambda world: "held",
    "load_ref": lambda world: _load(world).ref,
    "host_ref": lambda world: _host(world).ref,
    "pull_ref": lambda world: _pull(world).ref,
    "handover_ref": lambda world: _handover(world).ref,
    "standstill_ref": lambda world: _standstill(world).ref,
    "notice_ref": lambda world: world.once("notice", lambda: make.notice(world.people["admin"])).ref,
    "mail_ref": lambda world: world.once("notice", lambda: make.notice(world.people["admin"])).ref,
    "service_token_ref": lambda world: world.once("service_token", world.service_token).ref,
    "token_ref": lambda world: world.once("own_token", world.token_of_admin).ref,
    "approval_ref": lambda world: (
        world.once("approval", lambda: make.approval(world.account, world.people["editor"])).ref
    ),
}
