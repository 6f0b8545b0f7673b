"""Every type of event that there is, in groups: what a webhook can be limited to, and what the API's document lists.

A type that is not here is sent all the same; whoever adds one says here what it means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# group (the first part of a type) -> (title, {type: what happened})
CATALOGUE: dict[str, tuple[str, dict[str, str]]] = {
    "run": (
        "Runs",
        {
            "run.scheduled": "A run will start later.",
            "run.running": "A run began or goes on.",
            "run.paused": "A person paused a run.",
            "run.halted": "A run stopped by itself and a person must decide; `code` and `rank` say why and how bad.",
            "run.rolling_back": "A run is being undone.",
            "run.growing": "A run creates deleted servers again, as both sides approved.",
            "run.charge_changed": "Somebody else is in charge of a run, or its backup, or nobody is any more.",
            "run.completed": "A run is done.",
            "run.aborted": "A run was stopped for good.",
            "run.rolled_back": "A run was undone.",
            "run.peak_watch_begun": "A scale-down is through and stays open until the next peak has passed.",
            "run.peak_watch_over": "That peak has passed, or a person ended the watch (`early`); the figures tell how it went.",
        },
    ),
    "plan": (
        "Plans",
        {
            "plan.submitted": "A plan waits for approval.",
            "plan.decided": "One side approved or rejected a plan.",
            "plan.lessened": "A plan was changed to less, and its approvals stay; `was` is its digest before.",
            "plan.approved": "A plan has every approval that it needs.",
            "plan.rejected": "A plan was rejected.",
            "plan.voided": "A plan is no longer valid.",
            "plan.expired": "A plan ended without being used.",
        },
    ),
    "growth": (
        "Growing again",
        {
            "growth.submitted": "A run is to grow again, which waits for approval.",
            "growth.decided": "One side approved or rejected it.",
            "growth.approved": "Both sides approved it: the run creates the servers again.",
            "growth.rejected": "It was rejected.",
            "growth.voided": "It is no longer asked for.",
            "growth.expired": "Nobody decided in time.",
        },
    ),
    "profile": (
        "Profiles of load",
        {
            "profile.submitted": "A profile of load waits for approval.",
            "profile.decided": "One side approved or rejected it.",
            "profile.approved": "Both sides approved it: it may be run.",
            "profile.rejected": "It was rejected.",
            "profile.voided": "It was withdrawn.",
            "profile.expired": "Nobody decided in time.",
        },
    ),
    "event": (
        "Traffic events",
        {
            "event.added": "A traffic event was entered, planned or past.",
            "event.changed": "What is said of a traffic event was changed.",
            "event.removed": "A traffic event was called off.",
            "event.detected": "A metric left the band of what that hour of that weekday does; `multiple` of normal at its peak.",
            "event.named": "A person named what was detected: `event` is the traffic event.",
            "event.dismissed": "A person said that what was detected was no event.",
        },
    ),
    "benchmark": (
        "Benchmarks",
        {
            "benchmark.taken_in": "A benchmark was taken in.",
            "benchmark.set_aside": "A benchmark does not count any more.",
            "benchmark.counts_again": "A benchmark counts again.",
        },
    ),
    "drill": (
        "Fire drills",
        {
            "drill.submitted": "A fire drill waits for approval (not of an unannounced one, as the next five).",
            "drill.decided": "One side approved or rejected it.",
            "drill.approved": "Both sides approved it: it may be held.",
            "drill.rejected": "It was rejected.",
            "drill.voided": "It was withdrawn.",
            "drill.expired": "Nobody decided in time.",
            "drill.began": "A drill began; `kind`, `environment` and `scenario` say which.",
            "drill.ended": "A drill is over, with its `result`.",
            "drill.finding_added": "A finding of `drill` was written down, with its `severity`.",
            "drill.finding_changed": "A finding was changed.",
            "drill.finding_withdrawn": "A finding was withdrawn; it stays to be read.",
        },
    ),
    "marker": (
        "Changes of the site",
        {"marker.posted": "A deployment, or another change of the site, was announced."},
    ),
    "baseline": (
        "Baselines",
        {
            "baseline.submitted": "A baseline waits for approval.",
            "baseline.decided": "One side approved or rejected a baseline.",
            "baseline.approved": "Both sides approved a baseline: it is what its pool is held against.",
            "baseline.rejected": "A baseline was rejected.",
            "baseline.voided": "A baseline does not count any more, or is no longer asked for.",
            "baseline.expired": "Nobody decided about a baseline in time.",
            "baseline.worse": "Two measurements, one after the other, are worse than the baseline.",
        },
    ),
    "standstill": (
        "Stop everything",
        {
            "standstill.put": "Everything was stopped for a scope.",
            "standstill.lifted": "Work may go on in a scope.",
        },
    ),
    "contact": (
        "Contacts",
        {
            "contact.added": "A contact was added.",
            "contact.changed": "A contact was changed.",
            "contact.confirmed": "A contact was confirmed.",
            "contact.proven": "A contact answered on a mail address or number of theirs.",
            "contact.bounced": "A mail to a contact came back.",
            "contact.disowned": "Whoever reads a contact’s mailbox says: this is not me, or remove me.",
            "contact.removed": "A contact was removed.",
            "contact.erased": "A contact was erased for good.",
        },
    ),
    "coverage": (
        "Coverage by contacts",
        {
            "coverage.changed": "The rules for whom an account must have were changed.",
            "coverage.overridden": "A gap was overridden, with a reason.",
            "coverage.override_ended": "An override ended.",
        },
    ),
    "rotation": (
        "Rotations",
        {
            "rotation.added": "A rotation was added.",
            "rotation.changed": "A rotation was changed.",
            "rotation.removed": "A rotation was removed.",
        },
    ),
    "party": (
        "Other parties",
        {
            "party.added": "Another party was added.",
            "party.changed": "Another party was changed.",
            "party.removed": "Another party was removed.",
        },
    ),
    "contacts": ("Contacts as a file", {"contacts.imported": "A file of contacts was taken in."}),
    "reach": (
        "Reaching people",
        {
            "reach.started": "Somebody is to be reached: the first person was asked.",
            "reach.answered": "Somebody answered.",
            "reach.nobody": "Everybody on the list was asked, and nobody answered.",
            "reach.stopped": "Nobody is asked any more.",
        },
    ),
    "review": (
        "Reviews",
        {
            "review.opened": "A review was begun.",
            "review.changed": "A review was changed.",
            "review.answered": "An item of a review was answered.",
            "review.signed": "One side signed a review.",
            "review.signature_void": "A signature no longer counts: something changed after it.",
            "review.completed": "Both sides signed a review.",
            "review.called_off": "A review was called off.",
            "review.scheduled": "The next review got its date.",
        },
    ),
    "action": (
        "Action items",
        {
            "action.added": "An action item was added.",
            "action.changed": "An action item was changed.",
            "action.closed": "An action item is done or was dropped.",
            "action.opened": "An action item was opened again.",
        },
    ),
    "calendar": (
        "The calendar",
        {
            "calendar.entered": "Something was entered into the calendar.",
            "calendar.changed": "An entry of the calendar was changed.",
            "calendar.cancelled": "An entry of the calendar was called off.",
        },
    ),
    "invitation": (
        "Invitations",
        {
            "invitation.sent": "Somebody was invited, or invited again.",
            "invitation.accepted": "An invitation was accepted.",
            "invitation.revoked": "An invitation was taken back.",
        },
    ),
    "member": (
        "Access",
        {
            "member.granted": "Somebody got a role on the account, or another one.",
            "member.removed": "Somebody lost their role on the account.",
        },
    ),
    "account": (
        "The account itself",
        {
            "account.opened": "The account was opened.",
            "account.changed": "The account was changed, archived or opened again.",
            "account.erased": "The account was erased, with everybody it knew.",
        },
    ),
    "case": (
        "Support cases",
        {
            "case.opened": "A support case was opened, by a person or by a halted run.",
            "case.replied": "Somebody answered on a support case, on its page, by the API or by mail.",
            "case.changed": "A support case was moved, or its severity, ticket or orders changed.",
        },
    ),
    "webhook": (
        "Webhooks",
        {
            "webhook.added": "A webhook was added.",
            "webhook.changed": "A webhook was changed, paused or switched off; `state` says which.",
            "webhook.removed": "A webhook was removed.",
        },
    ),
}
_TYPE = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+")
_GROUP = re.compile(r"[a-z][a-z_]*\.\*")
LONGEST_TYPE = 60


def types_known() -> dict[str, str]:
    """Return every type with what it means, in the order of the groups."""
    return {name: says for _, types in CATALOGUE.values() for name, says in types.items()}


def is_filter(text: str) -> bool:
    """Whether a text names one type (`run.halted`) or one group (`run.*`)."""
    return len(text) <= LONGEST_TYPE and (_TYPE.fullmatch(text) or _GROUP.fullmatch(text)) is not None


def is_wanted(name: str, filters: Iterable[str]) -> bool:
    """Whether a type passes the filters; without any, everything does."""
    wanted = list(filters)
    return not wanted or any(
        name == one or (one.endswith(".*") and name.startswith(one[:-1])) for one in wanted
    )
