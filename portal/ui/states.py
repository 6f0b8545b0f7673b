"""The one list of states that pages show: their words, their plain words, their tone and their shape.

Colour is never the only carrier: each state has a word, and within one family no two states of
different tone share a shape. Customers read the plain words (`product.md`, "Words").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StateLook:
    """How one state is shown. `tone` is a CSS suffix, `shape` a key of `portal.ui.icons.SHAPES`."""

    word: str
    plain: str
    tone: str
    shape: str


def _look(word: str, plain: str, tone: str, shape: str) -> StateLook:
    return StateLook(word, plain, tone, shape)


LOOKS: dict[str, StateLook] = {
    # plans
    "draft": _look("draft", "draft", "idle", "ring"),
    "awaiting_approval": _look("awaiting approval", "waiting for approval", "wait", "clock"),
    "approved": _look("approved", "approved", "good", "check"),
    "rejected": _look("rejected", "turned down", "bad", "cross"),
    "expired": _look("expired", "out of date", "idle", "minus"),
    "voided": _look("voided", "no longer valid", "bad", "diamond"),
    "used": _look("used", "begun", "idle", "dot"),
    # what a colleague is asked about a run
    "accepted": _look("accepted", "accepted", "good", "check"),
    "declined": _look("declined", "declined", "bad", "cross"),
    "withdrawn": _look("withdrawn", "withdrawn", "idle", "back"),
    "overtaken": _look("overtaken", "overtaken", "idle", "dot"),
    # what was detected in a metric
    "proposed": _look("was it an event?", "was it an event?", "wait", "diamond"),
    "named": _look("an event", "an event", "idle", "check"),
    "dismissed": _look("no event", "no event", "idle", "minus"),
    # runs
    "scheduled": _look("scheduled", "will start later", "idle", "clock"),
    "running": _look("running", "in progress", "move", "play"),
    "paused": _look("paused", "paused", "wait", "pause"),
    "halted": _look("halted", "paused for safety", "bad", "octagon"),
    "rolling_back": _look("rolling back", "being undone", "move", "half"),
    "growing": _look("growing again", "growing again", "move", "half"),
    "completed": _look("completed", "finished", "good", "check"),
    "aborted": _look("aborted", "stopped here", "idle", "cross"),
    "rolled_back": _look("rolled back", "undone", "idle", "back"),
    # the way of one server
    "queued": _look("queued", "waiting for its turn", "idle", "ring"),
    "draining": _look("draining", "connections are finishing", "move", "down"),
    "removing": _look("removing", "being taken out of service", "move", "half"),
    "verifying": _look("verifying", "checking that traffic keeps up", "move", "clock"),
    "held": _look("held", "out of service, kept for now", "wait", "pause"),
    "going_back": _look("going back", "going back into service", "move", "up"),
    "imaging": _look("imaging", "a copy is being made", "move", "half"),
    "deleting": _look("deleting", "being deleted", "move", "diamond"),
    "confirming": _look("confirming", "last check", "move", "clock"),
    "retired": _look("retired", "deleted, all well", "good", "check"),
    "skipped": _look("skipped", "left in service", "idle", "minus"),
    "restored": _look("restored", "back in service", "good", "back"),
    "recreating": _look("recreating", "being built anew", "move", "half"),
    "joining": _look("joining", "built anew, being checked", "move", "clock"),
    "recreated": _look("created anew", "back as a new server", "good", "back"),
    "gone": _look("gone", "no longer there", "wait", "triangle"),
    "left_out": _look("not put back", "out of service, we look at it", "bad", "cross"),
    # nodes, in the provider's own words
    "ENABLED": _look("ENABLED", "in service", "good", "dot"),
    "DRAINING": _look("DRAINING", "connections are finishing", "move", "down"),
    "DISABLED": _look("DISABLED", "switched off", "idle", "minus"),
    "ONLINE": _look("ONLINE", "healthy", "good", "dot"),
    "OFFLINE": _look("OFFLINE", "not answering", "bad", "cross"),
    # evidence
    "measured": _look("measured", "counted", "good", "dot"),
    "inferred": _look("inferred", "worked out", "wait", "half"),
    "timed": _look("timed", "by waiting time only", "idle", "clock"),
    # verdicts
    "passes": _look("passes", "traffic keeps up", "good", "check"),
    "fails": _look("fails", "traffic does not keep up", "bad", "cross"),
    "inconclusive": _look("inconclusive", "not enough to tell yet", "wait", "half"),
    # contacts and accounts
    "confirmed": _look("confirmed", "confirmed", "good", "check"),
    "due": _look("due for confirmation", "please confirm", "wait", "clock"),
    "stale": _look("stale", "out of date", "bad", "triangle"),
    "asked_now": _look("asked now", "asked now", "move", "clock"),
    "unconfirmed": _look("not confirmed", "not confirmed yet", "wait", "ring"),
    "bouncing": _look("mail comes back", "mail comes back", "bad", "cross"),
    "disowned": _look("says: this is not me", "says: this is not me", "bad", "cross"),
    "proven": _look("proven", "proven", "good", "check"),
    "unproven": _look("not proven", "not proven yet", "wait", "ring"),
    # how a measurement lies to a baseline
    "better": _look("better", "better", "good", "up"),
    "same": _look("the same", "the same", "good", "check"),
    "worse": _look("worse", "worse", "bad", "down"),
    "not_comparable": _look("not comparable", "not comparable", "idle", "minus"),
    "set_aside": _look("does not count", "does not count", "idle", "minus"),
    "invalid": _look("proves nothing", "proves nothing", "wait", "triangle"),
    "doubtful": _look("doubtful", "does not count", "wait", "half"),
    "on_duty": _look("on duty", "on duty", "good", "dot"),
    "covered": _look("covered", "covered", "good", "check"),
    "gaps": _look("somebody is missing", "somebody is missing", "bad", "triangle"),
    "may_begin": _look("may begin", "may begin", "good", "check"),
    "does_not_hold": _look("does not hold", "does not hold", "bad", "cross"),
    "may_not_begin": _look("may not begin", "may not begin", "bad", "octagon"),
    "active": _look("active", "active", "good", "dot"),
    "archived": _look("archived", "archived", "idle", "minus"),
    "pending": _look("waiting", "waiting", "wait", "clock"),
    "void": _look("no longer valid", "no longer valid", "idle", "minus"),
    "switched_off": _look("log-in switched off", "log-in switched off", "idle", "minus"),
    # support cases
    "waiting_customer": _look("waiting for the customer", "waiting for you", "wait", "clock"),
    "waiting_provider": _look("waiting for the provider", "waiting for the provider", "wait", "diamond"),
    "solved": _look("solved", "solved", "good", "check"),
    "closed": _look("closed", "closed", "idle", "minus"),
    # webhooks and their messages
    "failing": _look("failing", "failing", "wait", "triangle"),
    "switched_off_portal": _look("switched off", "switched off", "bad", "octagon"),
    # queries to Prometheus
    "pull_off": _look("switched off", "switched off", "idle", "minus"),
    "pull_failing": _look("fails", "fails", "bad", "octagon"),
    "pull_waiting": _look("not asked yet", "not asked yet", "idle", "clock"),
    "pull_empty": _look("answers without data", "answers without data", "wait", "triangle"),
    "pull_good": _look("comes in", "comes in", "good", "check"),
    # loads that the portal puts on
    "load_completed": _look("went to its end", "went to its end", "good", "check"),
    "load_aborted": _look("aborted", "aborted", "idle", "minus"),
    "load_stopped": _look("stopped at a limit", "stopped at a limit", "wait", "octagon"),
    "load_worker_lost": _look("its worker was lost", "ended early", "bad", "cross"),
    "load_failed": _look("did not begin", "did not begin", "bad", "cross"),
    # drills
    "table_top": _look("table-top", "talked through", "idle", "ring"),
    "announced": _look("announced", "announced", "move", "play"),
    "unannounced": _look("unannounced", "unannounced", "wait", "diamond"),
    "test": _look("test environment", "test environment", "idle", "half"),
    "production": _look("production", "production", "wait", "triangle"),
    "drill_met": _look("met its hypothesis", "met what was expected", "good", "check"),
    "drill_not_met": _look("not met", "did not meet what was expected", "bad", "cross"),
    "drill_stopped": _look("stopped", "stopped", "wait", "octagon"),
    "drill_invalid": _look("proves nothing", "proves nothing", "idle", "minus"),
    "step_open": _look("to come", "to come", "idle", "ring"),
    "step_doing": _look("in hand", "in hand", "move", "play"),
    "step_done": _look("done", "done", "good", "check"),
    "step_skipped": _look("left out", "left out", "idle", "minus"),
    "automated": _look("by the portal", "by the portal", "idle", "dot"),
    "by_hand": _look("by hand", "by hand", "idle", "half"),
    "talk": _look("talked through", "talked through", "idle", "ring"),
    "target_untouched": _look("in service", "in service", "good", "dot"),
    "target_hit": _look("disrupted", "out for the drill", "wait", "triangle"),
    "target_returning": _look("coming back", "coming back", "move", "up"),
    "target_back": _look("back in service", "back in service", "good", "check"),
    "out_of_date": _look("out of date", "out of date", "wait", "clock"),
    "finding_critical": _look("critical", "critical", "bad", "octagon"),
    "finding_major": _look("major", "major", "wait", "triangle"),
    "finding_minor": _look("minor", "minor", "idle", "ring"),
    "finding_good": _look("worked", "worked", "good", "check"),
    # hosts that load is put on
    "host_waiting": _look("not proven yet", "not proven yet", "idle", "clock"),
    "host_missing": _look("no proof found", "no proof found", "bad", "octagon"),
    "host_old": _look("proof too old", "proof too old", "wait", "triangle"),
    "host_proven": _look("proven", "proven", "good", "check"),
    "delivered": _look("delivered", "delivered", "good", "check"),
    "trying_again": _look("trying again", "trying again", "wait", "clock"),
    "not_delivered": _look("not delivered", "not delivered", "bad", "cross"),
    # entries of a calendar
    "freeze": _look("freeze", "freeze", "wait", "pause"),
    "event": _look("event", "event", "move", "play"),
    "drill": _look("drill", "drill", "idle", "triangle"),
    "review": _look("review", "review", "idle", "dot"),
    "window": _look("change window", "change window", "idle", "half"),
    "maintenance": _look("provider’s maintenance", "provider’s maintenance", "wait", "pause"),
    "lock": _look("change lock", "change lock", "wait", "pause"),
    # how a fact stands, and reviews
    "red": _look("red", "needs attention", "bad", "octagon"),
    "amber": _look("amber", "to be mended", "wait", "triangle"),
    "unknown": _look("not known", "not known", "idle", "ring"),
    "green": _look("green", "good", "good", "check"),
    "open": _look("open", "open", "move", "half"),
    "signed": _look("signed by both", "signed by both", "good", "check"),
    "called_off": _look("called off", "called off", "idle", "cross"),
    "done": _look("done", "done", "good", "check"),
    "dropped": _look("dropped", "dropped", "idle", "minus"),
    "overdue": _look("overdue", "overdue", "bad", "octagon"),
    # ranks of a halt
    "site_in_danger": _look("site in danger", "your site needs attention now", "bad", "octagon"),
    "decide_today": _look("decide today", "someone decides today", "wait", "triangle"),
    "safe_waiting": _look("safe, waiting", "safe, waits for an answer", "idle", "pause"),
}
ALIASES = {"safe, waiting": "safe_waiting", "safe": "safe_waiting"}


def look_of(value: str) -> StateLook:
    """Return how `value` is shown. A state that is not listed is shown as its own word, in the idle tone."""
    key = ALIASES.get(value, value)
    found = LOOKS.get(key)
    if found is not None:
        return found
    word = value.replace("_", " ")
    return StateLook(word, word, "idle", "ring")
