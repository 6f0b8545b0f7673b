"""An audit entry in words for people: what was done, and each field before and after. The API keeps the raw values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WHAT = {
    "access.refused": "Was refused: a right is missing",
    "account.archived": "Account archived",
    "account.erased": "Account erased, with everybody it knew",
    "account.changed": "Account changed",
    "account.opened": "Account opened",
    "account.reopened": "Account opened again",
    "action.added": "Action item added",
    "action.changed": "Action item changed",
    "action.done": "Action item done",
    "action.dropped": "Action item dropped",
    "action.opened": "Action item opened again",
    "approval.approve": "Approved",
    "approval.asked": "Approval asked for",
    "approval.expired": "Approval ended without an answer",
    "approval.lessened": "Changed to less, approvals stay",
    "approval.reject": "Turned down",
    "approval.void": "Approval no longer counts",
    "audit.exported": "Audit downloaded",
    "case.mail_refused": "Mail for support cases refused: wrong secret",
    "case.mail_unverified": "Mail of somebody unknown kept on a support case",
    "case.moved": "Support case moved",
    "case.opened": "Support case opened",
    "case.replied": "Support case answered",
    "case.severity": "Support case graver or less grave",
    "case.spoken_order": "Spoken order written down",
    "case.ticket": "Provider's ticket linked to a support case",
    "baseline.entered": "Baseline entered",
    "calendar.cancelled": "Calendar entry called off",
    "calendar.changed": "Calendar entry changed",
    "calendar.entered": "Calendar entry made",
    "calendar.feed_made": "Calendar feed made",
    "calendar.feed_revoked": "Calendar feed revoked",
    "calendar.withdrawn": "Calendar entry taken from the customer's calendar",
    "detected.dismissed": "Said that what was detected was no event",
    "detected.named": "Named an event that was detected",
    "detected.reopened": "Asked anew about what was dismissed and became much more",
    "price.removed": "Price of a server taken away",
    "price.set": "Price of a server entered",
    "report.asked": "Growth report asked for",
    "sized_pool.added": "Pool sized by a metric",
    "sized_pool.changed": "By what a pool is sized changed",
    "sized_pool.removed": "Pool no longer sized",
    "metric.vital": "Vital figures of the account changed",
    "metric.begun": "First samples of a metric taken in",
    "ceiling.entered": "Most that one server carries entered",
    "connection.added": "Cloud connection added",
    "connection.changed": "Cloud connection changed",
    "connection.tested": "Cloud connection tested",
    "network.opened": "Private network opened for the account",
    "network.closed": "Private network closed for the account",
    "contact.added": "Contact added",
    "contact.changed": "Contact changed",
    "contact.confirmed": "Contact confirmed",
    "contact.confirmed_in_doubt": "Contact confirmed faster than a person reads, does not count",
    "contact.erased": "Contact erased for good",
    "contact.proven": "Contact proven on a channel",
    "contact.proven_in_doubt": "Contact proven faster than a person reads, does not count",
    "contact.bounced": "Mail to a contact came back",
    "contact.disowned": "Said by a person: this is not me, or remove me",
    "contact.kept": "Contact kept as listed, although its mailbox said: this is not me",
    "contact.link_sent": "Link mailed to a contact",
    "contact.links_revoked": "Links of a contact taken back",
    "contact.removed": "Contact removed",
    "contacts.exported": "Contacts exported",
    "count_source.set": "Connection count set up",
    "coverage.changed": "Rules for contacts changed",
    "coverage.overridden": "Let begin although contacts are missing",
    "coverage.override_ended": "Override for contacts taken back",
    "event.added": "Event added",
    "event.changed": "Event changed",
    "event.removed": "Event called off",
    "fine_load.entered": "Load that was fine entered",
    "forecast.entered": "Expected peak entered",
    "invitation.accepted": "Invitation accepted",
    "invitation.revoked": "Invitation taken back",
    "invitation.sent": "Invitation sent",
    "lesson.written": "Lesson written on a report",
    "login.done": "Logged in",
    "login.failed": "Log-in failed",
    "login.throttled": "Log-ins held back after too many tries",
    "logout.done": "Logged out",
    "member.granted": "Access given",
    "member.removed": "Access taken away",
    "oidc.linked": "Log-in through an organization linked",
    "oidc.refused": "Log-in through an organization refused",
    "oidc.unlinked": "Log-in through an organization unlinked",
    "party.added": "Other party added",
    "party.changed": "Other party changed",
    "party.removed": "Other party removed",
    "password.changed": "Password changed",
    "password.reset": "New password set by a mailed link",
    "password.reset_asked": "Link for a new password asked for",
    "password.reset_sent": "Link for a new password mailed",
    "password.reset_throttled": "Too many links for a new password asked for",
    "password.set": "First password set",
    "objective.entered": "Objective entered",
    "plan.drafted": "Plan drawn up",
    "plan.expired": "Plan ended without being used",
    "plan.lessened": "Plan changed to less",
    "plan.submitted": "Plan submitted for approval",
    "plan.voided": "Plan withdrawn",
    "probe.set": "Check of the site set up",
    "proof.failed": "Proof of identity refused",
    "recovery_codes.made": "Recovery codes made",
    "recovery_codes.used": "Recovery code used",
    "recovery_codes.viewed": "Recovery codes looked at",
    "review.answered": "Item of a review answered",
    "review.called_off": "Review called off",
    "review.changed": "Review changed",
    "review.completed": "Review signed by both sides",
    "scenario.changed": "Scenario for drills changed",
    "scenario.listed": "Scenario for drills put on the list again",
    "scenario.unlisted": "Scenario for drills taken off the list",
    "scenario.written": "Scenario for drills written",
    "review.items_set": "Items of the team's reviews changed",
    "review.opened": "Review begun",
    "review.scheduled": "Rhythm of reviews changed",
    "review.signature_void": "Signature of a review no longer counts",
    "review.signed": "Review signed",
    "rotation.added": "Rotation added",
    "rotation.changed": "Rotation changed",
    "rotation.removed": "Rotation removed",
    "run.abort": "Told the run to abort",
    "run.finish": "Told the run to finish here",
    "run.finish_here": "Told the run to finish here",
    "run.freeze_overridden": "Freeze overridden for a run",
    "run.go_on": "Told the run to go on at the drain limit",
    "benchmark.taken_in": "Took in a benchmark",
    "benchmark.described": "Said in which environment a benchmark ran",
    "benchmark.set_aside": "Said that a benchmark does not count",
    "baseline.proposed": "Proposed a baseline",
    "pool_limit.entered": "Entered what a pool carries at most",
    "pool_limit.taken_back": "Took back what a pool carries at most",
    "benchmark.counts_again": "Let a benchmark count again",
    "marker.posted": "Announced a change of the site",
    "profile.drafted": "Drew up a profile of load",
    "profile.changed": "Changed a profile of load",
    "profile.submitted": "Submitted a profile of load",
    "load.started": "Put load on the site",
    "drill.drafted": "Drew up a fire drill",
    "drill.changed": "Changed a fire drill",
    "drill.people_named": "Named who takes part in a fire drill",
    "drill.submitted": "Submitted a fire drill",
    "drill.withdrawn": "Withdrew a fire drill",
    "drill.attested": "Attested a check before a fire drill",
    "drill.started": "Began a fire drill",
    "drill.stop": "Stopped a fire drill",
    "drill.abort": "Stopped a fire drill",
    "drill.acknowledged": "Acknowledged a fire drill",
    "drill.real": "Said that a fire drill is real",
    "drill.undo_now": "Had a fire drill undone before its time",
    "drill.step_done": "Said that a step of a fire drill is done",
    "drill.step_skip": "Left out a step of a fire drill",
    "drill.mark": "Noted a moment of a fire drill",
    "drill.note": "Noted something in a fire drill",
    "drill.after_boot": "Attested checks after a boot",
    "finding.added": "Wrote down a finding of a fire drill",
    "finding.changed": "Changed a finding of a fire drill",
    "finding.withdrawn": "Withdrew a finding of a fire drill",
    "drill.undone_by_hand": "Said that a server of a fire drill is back",
    "drill.hard_reboot": "Had a server of a fire drill rebooted hard",
    "load.aborted": "Aborted a load",
    "host.added": "Entered a host to put load on",
    "host.proven": "Proved that a host is the account’s own",
    "host.lost": "Found the proof of a host gone",
    "host.removed": "Removed a host to put load on",
    "pull.added": "Entered a series to fetch",
    "pull.switched_on": "Switched the fetching of a series on",
    "pull.switched_off": "Switched the fetching of a series off",
    "pull.removed": "Removed a series that was fetched",
    "run.handover_asked": "Asked a colleague to take over a run",
    "run.handover_accepted": "Accepted what was asked about a run",
    "run.handover_declined": "Declined what was asked about a run",
    "run.handover_withdrawn": "Withdrew what was asked about a run",
    "run.backup_changed": "Changed the backup of a run",
    "run.charge_until_set": "Set until when they are in charge of a run",
    "run.growth_asked": "Asked for a run to grow again",
    "run.pause": "Told the run to pause",
    "run.put_back": "Told the run to put a server back",
    "run.rehearsed": "Rehearsal begun",
    "run.resume": "Told the run to go on",
    "run.retry": "Told the run to try again what failed",
    "run.roll_back": "Told the run to roll back",
    "run.skip": "Told the run to skip a server",
    "run.started": "Run started",
    "run.taken_charge": "Took charge of a run",
    "run.wait": "Told the run to wait longer",
    "scale_up.recorded": "Scale-up written down",
    "second_factor.added": "Second factor added",
    "second_factor.cloned": "Security key refused, it may have been copied",
    "second_factor.failed": "Second factor refused",
    "second_factor.removed": "Second factor removed",
    "second_factor.throttled": "Second factor held up after many tries",
    "second_factor.used": "Second factor used",
    "server.protected": "Server protected",
    "server.unprotected": "Protection of a server lifted",
    "session.all_ended": "Every session ended",
    "session.ended": "Session ended",
    "standstill.lifted": "Standstill lifted",
    "standstill.put": "Everything stopped",
    "support_pin.said": "Said whether the support PIN is at hand",
    "team.member": "Team member changed",
    "team.removed": "Taken out of the team",
    "team.roster_set": "Duty roster of the team set",
    "token.made": "API token made",
    "token.revoked": "API token revoked",
    "team_calendar.cancelled": "Calendar entry of the team alone called off",
    "team_calendar.changed": "Calendar entry of the team alone changed",
    "team_calendar.entered": "Calendar entry of the team alone made",
    "token.used": "API token used",
    "user.added": "User added",
    "user.changed": "User changed",
    "user.erased": "User erased for good",
    "user.mail_asked": "Another mail address asked for",
    "user.mail_changed": "Mail address changed",
    "user.switched_off": "Log-in switched off",
    "user.switched_on": "Log-in switched on again",
    "webhook.added": "Webhook added",
    "webhook.changed": "Webhook changed",
    "webhook.disabled": "Webhook switched off by the portal",
    "webhook.removed": "Webhook removed",
    "webhook.secret_rotated": "Secret of a webhook renewed",
    "webhook.sent_again": "Webhook message sent again",
    "webhook.tested": "Webhook tested",
}
FIELDS = {
    "accepted_grade": "evidence that is enough",
    "approved_at": "approved",
    "at_limit": "at the drain limit",
    "balancer_id": "load balancer",
    "balancer_ids": "load balancers",
    "drain_limit_s": "drain limit",
    "expected_status_high": "highest good status",
    "expected_status_low": "lowest good status",
    "expires_at": "ends",
    "floor": "never fewer than",
    "error_ratio": "share of requests that fail",
    "guard_share": "turns back at",
    "hold_s": "hold before delete",
    "hold_through_peak": "hold through the next peak",
    "expected_at": "expected at",
    "peak_watch": "watch the next peak",
    "stop_s": "stop before delete",
    "images": "image before delete",
    "images_kept_s": "images are kept for",
    "inputs": "what was chosen",
    "is_active": "may log in",
    "is_unattended": "may run with nobody in charge",
    "latency_limit_ms": "longest good answer",
    "latency_ms": "answers take at most",
    "latency_p50_ms": "half of the answers within",
    "latency_p95_ms": "95 of 100 answers within",
    "latency_share": "by that share of the answers",
    "lifted": "taken out although there before the event",
    "min_drain_s": "shortest drain",
    "must_contain": "answer must contain",
    "on_the_wire": "on its way at that moment",
    "pause_between_s": "pause between two servers",
    "plan_hash": "digest of the plan",
    "probe_failures_allowed": "checks that may fail",
    "requests_per_s": "requests per second",
    "seen_status": "state as it was shown",
    "slower_allowed": "how much slower answers may get",
    "soak_s": "watch time",
    "status_reason": "why it is so",
    "submitted_at": "submitted",
    "target": "servers that stay",
    "target_reason": "reason for this many",
    "timeout_s": "time-out",
    "vital": "vital figures",
    "vital_fall_allowed": "how far vital figures may fall",
    "no_vital_reason": "why no vital figure is watched",
    "url_template": "address of the count",
    "window_days": "on how many days",
    "window_end": "not after",
    "window_start": "not before",
    "window_weekends": "also on Saturdays and Sundays",
    "zeros_needed": "looks without connections",
}
# Rows point to each other by numbers that mean nothing to a reader, and references stand in addresses.
INTERNAL = frozenset(
    {
        "account",
        "author",
        "connection",
        "contacts",
        "copied_from",
        "data",
        "entered_by",
        "event",
        "freeze",
        "marked_by",
        "preview",
        "ref",
    }
)
_SHARES = frozenset(
    {
        "error_ratio",
        "guard_share",
        "latency_share",
        "probe_failures_allowed",
        "slower_allowed",
        "vital_fall_allowed",
    }
)
# What stands in a `status` or `decision` are the product's own words, written with underscores.
_WORDS = frozenset(
    {"accepted_grade", "at_limit", "decision", "kind", "order", "role", "side", "status", "phase"}
)
_MOST = 300


@dataclass(frozen=True)
class Line:
    """One field: `before` is None where there was no entry before."""

    label: str
    after: str
    before: str | None = None


def what_words(what: str) -> str:
    """Return what happened: `plan.drafted` is "Plan drawn up"; a code that nobody named is spelt out."""
    return WHAT.get(what) or what.replace(".", " ").replace("_", " ").capitalize()


def label_of(name: str) -> str:
    """Return a field's name as people say it; units move into the value."""
    if name in FIELDS:
        return FIELDS[name]
    for unit in ("_s", "_ms", "_at", "_rps"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Line]:
    """Return what changed, field by field, chosen values one by one; what says nothing to a reader is left out.

    A number that points to another row is left out when it was first set, and said to be another when it changed.
    """
    found: list[Line] = []
    for name in {**before, **after}:
        was, became = before.get(name), after.get(name)
        if name in INTERNAL:
            if name in before and name in after and name != "ref":
                found.append(Line(label_of(name), "another than before"))
        elif isinstance(became, Mapping) or isinstance(was, Mapping):
            found += _inner(was, became)
        elif name in before:
            found.append(Line(label_of(name), value_words(name, became), value_words(name, was)))
        elif became not in (None, ""):
            found.append(Line(label_of(name), value_words(name, became)))
    return found


def _inner(was: Any, became: Any) -> Iterable[Line]:
    old = was if isinstance(was, Mapping) else {}
    new = became if isinstance(became, Mapping) else {}
    if not old:
        return lines({}, new)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return lines({name: old.get(name) for name in changed}, {name: new.get(name) for name in changed})


def value_words(name: str, value: Any) -> str:
    """Return a value as people read it: units, yes and no, times in UTC, lists with commas."""
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(value_words("", one) for one in value)[:_MOST] or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{label_of(key)}: {value_words(key, one)}" for key, one in value.items())[:_MOST]
    if isinstance(value, (int, float)):
        return _number_words(name, value)
    text = str(value)
    if name in _WORDS:
        return text.replace("_", " ")
    if name.endswith(("_at", "_start", "_end")) or name == "at":
        return _moment_words(text)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"


def _number_words(name: str, value: float) -> str:
    if name in _SHARES:
        return f"{value * 100:g} %"
    for ending, unit in (("_ms", " ms"), ("_per_s", ""), ("_s", " s")):
        if name.endswith(ending):
            return f"{value:g}{unit}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _moment_words(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return text
