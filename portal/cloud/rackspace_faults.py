"""Rackspace's error answers → the four kinds of trouble. Pure.

Provider reference, sections 2.9 (shapes and texts), 3.5 (Nova's faults) and 9 (meaning, what a careful client
does). Texts are matched without regard to case and with an optional space in "load balancer", as the
provider's own autoscaler does. They serve for matching only and are never shown to people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from portal.cloud.rackspace_answers import Unreadable, json_object, parse_retry_after
from portal.cloud.types import BalancerStatus
from portal.errors import InDoubt, ProviderFailed, Refused, Trouble, TryLater

RETRY_CAP_S = 600.0
RATE_LIMIT_RETRY_S = 15.0
FAULT_RETRY_S = 5.0
BUSY_RETRY_S = 5.0  # "poll every 5 to 10 s", reference 2.2 and 9

_STATE_IN_QUOTES = re.compile(r"has a status of '([A-Za-z_-]+)'")
_NOT_ACTIVE = re.compile(r"not active|immutable", re.IGNORECASE)
_LAST_NODE = re.compile(
    r"one or more nodes must (be|remain) (configured as )?enabled"
    r"|must leave at least one node enabled|no enabled nodes available",
    re.IGNORECASE,
)
_DELETED = re.compile(r"(load ?balancer is (deleted|marked as deleted))", re.IGNORECASE)
_DUPLICATE = re.compile(r"duplicate nodes? detected", re.IGNORECASE)
_NODE_QUOTA = re.compile(r"nodes must not exceed", re.IGNORECASE)
_PRIMARY = re.compile(r"at least one primary node enabled", re.IGNORECASE)
_MONITOR = re.compile(r"must enable health monitoring", re.IGNORECASE)
_LIMIT_REACHED = re.compile(r"limit has been reached", re.IGNORECASE)
_LOCKED = re.compile(r"\block(ed)?\b", re.IGNORECASE)
# Bodies by which the provider itself says that it turned the request away before doing anything.
_TURNED_AWAY = re.compile(r"saturated with requests", re.IGNORECASE)
_TURNED_AWAY_ROOTS = frozenset({"serviceUnavailable", "serverCapacityUnavailable"})


@dataclass(frozen=True)
class Fault:
    """An error answer, opened: its texts in one, the root element or the type if it has one, when to come back.

    `kind` is the `type` of a flat fault: monitoring names its faults so (reference, 4).
    """

    status: int
    text: str = ""
    root: str = ""
    retry_after_s: float | None = None
    kind: str = ""

    @property
    def is_rate_limit(self) -> bool:
        """413 with root `overLimit`, or 429. A 413 without that root is a quota (reference, fact 9)."""
        return self.status == 429 or (self.status == 413 and self.root == "overLimit")

    @property
    def says_limit_reached(self) -> bool:
        """A 400 by which monitoring means its rate limit, besides 429 (reference, 4 and 9)."""
        return self.status == 400 and bool(_LIMIT_REACHED.search(self.text))

    @property
    def is_duplicate(self) -> bool:
        """The node that was to be added is there already (one imitation of the service says 413)."""
        return self.status in {413, 422} and bool(_DUPLICATE.search(self.text))

    @property
    def says_locked(self) -> bool:
        """A server's lock is given as the reason."""
        return bool(_LOCKED.search(self.text))

    @property
    def was_turned_away(self) -> bool:
        """A 503 in the provider's own words: the request was not begun. A gateway's 503 proves nothing."""
        return self.status == 503 and (
            self.root in _TURNED_AWAY_ROOTS or bool(_TURNED_AWAY.search(self.text))
        )


def open_fault(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Fault:
    """Return what an error answer says. Empty, plain-text and broken bodies are all normal here."""
    # Monitoring writes `Reply-After` (reference, 4: "sic").
    root, texts, when = "", [], headers.get("retry-after") or headers.get("reply-after")
    kind = ""
    try:
        data = json_object(body)
    except Unreadable:
        texts = [body[:500].decode("utf-8", errors="replace")]
    else:
        inner = data
        if len(data) == 1:
            only = next(iter(data))
            if isinstance(data[only], dict):
                root, inner = only, data[only]
        kind = inner["type"] if isinstance(inner.get("type"), str) else ""
        validation = inner.get("validationErrors")
        nested = validation.get("messages") if isinstance(validation, dict) else None
        for value in (inner.get("message"), nested, inner.get("details")):
            texts += [str(part) for part in value] if isinstance(value, list) else [str(value or "")]
        for key in ("retryAfter", "retryAt"):
            if when is None and isinstance(inner.get(key), str | int):
                when = str(inner[key])
    retry_after_s = parse_retry_after(when, now) if when is not None else None
    return Fault(
        status=status,
        text=" ".join(text for text in texts if text)[:1000],
        root=root,
        retry_after_s=None if retry_after_s is None else min(max(retry_after_s, 1.0), RETRY_CAP_S),
        kind=kind,
    )


def state_named(fault: Fault) -> BalancerStatus | None:
    """Return the balancer's state that a 422 names; None if it names none ("is not ACTIVE" does not)."""
    if _DELETED.search(fault.text):
        return BalancerStatus.DELETED
    named = _STATE_IN_QUOTES.search(fault.text)
    if named is None:
        return None
    word = named.group(1).upper().replace("-", "_")
    return BalancerStatus(word) if word in BalancerStatus.__members__ else BalancerStatus.UNKNOWN


def says_not_active(fault: Fault) -> bool:
    """Whether a 422 blames the balancer's state without naming it; a 422 without any text does too."""
    return not fault.text.strip() or bool(_NOT_ACTIVE.search(fault.text))


def balancer_not_writable(state: BalancerStatus | None, *, busy_after_s: float = BUSY_RETRY_S) -> Trouble:
    """Return why a balancer in this state took no change. None means that it exists no more."""
    match state:
        case BalancerStatus.ERROR:
            return Refused(
                "The load balancer is in an error state, so it took no change. It keeps serving as it was. "
                "The provider usually resets it within minutes; if not, the provider's support has to.",
                code="balancer_error",
            )
        case BalancerStatus.SUSPENDED:
            return Refused(
                "The provider has suspended this load balancer, so it took no change. "
                "Only the provider's support can lift that.",
                code="balancer_suspended",
            )
        case None | BalancerStatus.DELETED | BalancerStatus.PENDING_DELETE:
            return ProviderFailed(
                "The load balancer is deleted or being deleted, so nothing was changed.",
                code="balancer_deleted",
                status=422,
            )
        case _:
            return TryLater(
                "The load balancer is still applying an earlier change. Nothing was changed; "
                "the portal tries again by itself.",
                after_s=busy_after_s,
                code="balancer_busy",
            )


def rate_limited(fault: Fault) -> TryLater:
    """Return the trouble of a rate limit."""
    return TryLater(
        "The provider limits how often it may be asked. Nothing was changed; the portal waits and asks again.",
        after_s=fault.retry_after_s or RATE_LIMIT_RETRY_S,
        code="rate_limited",
    )


def unauthorized() -> ProviderFailed:
    """Return the trouble of a 401 that a fresh log-in did not cure."""
    return ProviderFailed(
        "The provider does not accept these credentials for this, even after a fresh log-in. Nothing was "
        "changed. Check the user's roles at the provider, or enter the API key again.",
        code="unauthorized",
        status=401,
    )


def trouble_of_login(fault: Fault) -> Trouble:
    """Return what a failed log-in means (reference, 1.3 and 9)."""
    match fault.status:
        case 401:
            return ProviderFailed(
                "The provider refused the log-in: user name or API key is wrong, or this user needs a second "
                "factor. Nothing was changed. Enter the API key again, or use a user without a second factor.",
                code="credentials_refused",
                status=401,
            )
        case 403:
            return ProviderFailed(
                "The provider refused the log-in: the user is disabled or must set up a second factor first. "
                "Nothing was changed.",
                code="user_disabled",
                status=403,
            )
        case 413 | 429:
            return rate_limited(fault)
        case status if status >= 500:
            return TryLater(
                "The provider's log-in service has trouble. Nothing was changed; the portal tries again.",
                after_s=fault.retry_after_s or FAULT_RETRY_S,
                code="provider_fault",
            )
        case 400:
            return ProviderFailed(
                "The provider did not understand the log-in. Nothing was changed. "
                "Check tenant and user name of the cloud connection.",
                code="login_not_understood",
                status=400,
            )
        case _:
            return ProviderFailed(
                "The log-in address does not answer like the provider's. Nothing was changed. "
                "Check the identity address of the cloud connection.",
                code="no_identity_service",
                status=fault.status,
            )


def trouble_of_read(fault: Fault) -> Trouble:
    """Return what an error answer to a read means. 404 and 410 are the caller's, who knows what was asked."""
    if fault.is_rate_limit:
        return rate_limited(fault)
    if fault.status >= 500:
        return TryLater(
            "The provider has trouble answering. The portal asks again by itself.",
            after_s=fault.retry_after_s or FAULT_RETRY_S,
            code="provider_fault",
        )
    if fault.status == 403:
        return ProviderFailed(
            "These credentials may not read this at the provider. Give the user a role that may read.",
            code="forbidden",
            status=403,
        )
    return _unexpected(fault)


def trouble_of_write(fault: Fault) -> Trouble:
    """Return what an error answer to a change means where no rule of the one change applies."""
    if fault.is_rate_limit:
        return rate_limited(fault)
    if fault.was_turned_away:
        return TryLater(
            "The provider is overloaded and turned the change away. Nothing was changed; the portal tries again.",
            after_s=fault.retry_after_s or FAULT_RETRY_S,
            code="provider_busy",
        )
    if fault.status == 501:
        return Refused(
            "The provider does not offer this change here. Nothing was changed.", code="unsupported"
        )
    if fault.status >= 500:
        return InDoubt(
            "The provider answered the change with a fault of its own. It may have been made or not; "
            "the portal looks before it does anything else.",
            code="provider_fault",
        )
    if fault.status == 403:
        return Refused(
            "The provider does not let these credentials make this change, or the server is locked. "
            "Nothing was changed. Give the user a role that may change it, or unlock the server.",
            code="forbidden",
        )
    if _LAST_NODE.search(fault.text):
        return Refused(
            "The provider refuses to take the last enabled node of this load balancer. Nothing was changed.",
            code="last_node",
        )
    if _PRIMARY.search(fault.text):
        return Refused(
            "The provider refuses this: only secondary nodes would be left enabled. Nothing was changed.",
            code="last_primary",
        )
    if _MONITOR.search(fault.text):
        return Refused(
            "The provider refuses this: the load balancer has secondary nodes but no health monitor. "
            "Nothing was changed. Set up a health monitor first.",
            code="needs_monitor",
        )
    if fault.status == 413:
        code = "node_quota" if _NODE_QUOTA.search(fault.text) else "quota"
        return Refused(
            "The provider's quota for this is used up. Nothing was changed. "
            "The provider's support can raise the quota.",
            code=code,
        )
    if fault.status == 400:
        return ProviderFailed(
            "The provider did not accept the form of this change. Nothing was changed.",
            code="bad_request",
            status=400,
        )
    return _unexpected(fault)


def trouble_of_monitoring(fault: Fault) -> Trouble:
    """Return why monitoring gave no points. Whatever it is, nothing is known of the server: never a zero (9)."""
    match fault.kind:
        case "agentNotConnected":
            return ProviderFailed(
                "The monitoring agent of this server is not connected to the provider, so there are no figures "
                "of it. Look at the agent on the server.",
                code="agent_not_connected",
                status=fault.status,
            )
        case "agentDoesNotExist":
            return ProviderFailed(
                "The provider knows no monitoring agent on this server, so there are no figures of it. "
                "Install the agent, or choose a check that needs none.",
                code="no_agent",
                status=fault.status,
            )
    if fault.status == 404:
        return ProviderFailed(
            "The provider's monitoring does not know this server, check or metric any more. "
            "Choose again from what it measures.",
            code="not_monitored",
            status=404,
        )
    return trouble_of_read(fault)


def _unexpected(fault: Fault) -> ProviderFailed:
    return ProviderFailed(
        f"The provider gave an answer that is not expected here (HTTP {fault.status}). Nothing was changed by it.",
        code="unexpected_answer",
        status=fault.status,
    )
