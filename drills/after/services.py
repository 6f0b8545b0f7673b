"""Each change of what follows a drill, one function each, in one transaction.

    add(held, severity="major", text="…", evidence_key="figure:recovered", actor=user) -> DrillFinding
    take_over(held, "missed_recovered", actor=user)         what the figures proposed, as it stands, once
    change(finding, severity=…, text=…, actor=user), withdraw(finding, reason="…", actor=user)
    give_action(finding, {"title": …, "owner_user": …, "due_on": …}, actor=user) -> ActionItem

All raise Refused, NotPermitted or StaleState with a sentence for people, and record the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.changes import check_active, check_no_pin
from accounts.members import lock_account
from accounts.models import User
from accounts.reviews.models import ActionItem
from accounts.reviews.services import add_action
from drills import figures
from drills.after.evidence import Evidence, chosen_from
from drills.after.models import DrillFinding, FindingAction, FindingSeverity
from drills.after.proposals import proposed
from drills.plans.models import HeldDrill
from drills.plans.selectors import roles_in
from drills.plans.services import require
from drills.scenarios.types import DrillKind, Role
from drills.types import plan_from_plain, progress_from_plain
from portal import access
from portal.access import Permission
from portal.audit.services import record, snapshot
from portal.audit.subjects import Sealer, named_in
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.services import emit
from portal.rows import check_row
from portal.runs.models import JournalEntry, Run
from portal.runs.types import RunStatus

MOST_FINDINGS = 200
MOST_ACTIONS = 10
LONGEST_TEXT = 2000
LONGEST_EVIDENCE = 500


def _locked_held(held: HeldDrill) -> HeldDrill:
    found = (
        HeldDrill.objects.select_for_update(of=("self",))
        .select_related("drill__account__team", "drill__author", "drill__facilitator", "run")
        .get(pk=held.pk)
    )
    check_active(found.drill.account)
    return found


def _locked(finding: DrillFinding) -> DrillFinding:
    found = (
        DrillFinding.objects.sealed()
        .select_for_update(of=("self",))
        .select_related("held__drill__account__team", "held__run", "noted_by")
        .get(pk=finding.pk)
    )
    check_active(found.held.drill.account)
    if found.withdrawn_at is not None:
        raise StaleState("This finding is withdrawn: it can be read, not changed.", code="finding_withdrawn")
    return found


def _words(text: str, longest: int, missing: str) -> str:
    found = text.strip()
    if not found:
        raise Refused(missing, code="text_missing")
    if len(found) > longest:
        raise Refused(f"At most {longest} characters. Nothing was changed.", code="too_long")
    check_no_pin(found)
    return found


def _severity(value: str) -> str:
    if value not in FindingSeverity.values:
        raise Refused("A finding is critical, major, minor or good.", code="bad_severity")
    return value


def evidence_of(held: HeldDrill, key: str, says: str) -> Evidence:
    """Return what a finding is to rest on, sealed as it is kept. Raises Refused for what the drill does not have."""
    says = says.strip()
    if len(says) > LONGEST_EVIDENCE:
        raise Refused(f"At most {LONGEST_EVIDENCE} characters of evidence.", code="too_long")
    check_no_pin(says)
    if not key:
        return Evidence("", Sealer(named_in(held.drill.account, says)).text(says))
    run = Run.objects.get(pk=held.run.pk)
    plan, progress = plan_from_plain(run.plan), progress_from_plain(run.progress)
    kind, _, number = key.partition(":")
    lines = JournalEntry.objects.sealed().filter(run=run, seq=int(number)) if _is_line(kind, number) else ()
    found = chosen_from(key, figures.figures_of(plan, progress), figures.axis(plan, progress), lines)
    if found is None:
        raise Refused("The drill has no such figure, moment or line of its journal.", code="unknown_evidence")
    return found


def _is_line(kind: str, number: str) -> bool:
    return kind == "journal" and number.isascii() and number.isdigit() and len(number) <= 9


def _is_hidden(held: HeldDrill) -> bool:
    """Whether an event about this would tell who reacts that a drill is under way."""
    return held.drill.kind == DrillKind.UNANNOUNCED.value and held.ended_at is None


def _told(name: str, finding: DrillFinding, actor: User, **data: Any) -> None:
    if _is_hidden(finding.held):
        return
    emit(
        name,
        account=finding.held.drill.account,
        subject_type="finding",
        subject_ref=finding.ref,
        data={"drill": str(finding.held.drill.ref), "severity": finding.severity, **data},
        actor=actor,
    )


def _keep(
    held: HeldDrill, severity: str, text: str, evidence: Evidence, actor: User, proposal: str = ""
) -> DrillFinding:
    account = held.drill.account
    if held.findings.count() >= MOST_FINDINGS:
        raise Refused(f"A drill has at most {MOST_FINDINGS} findings.", code="too_many")
    role = roles_in(held.drill).get(str(actor.pk))
    finding = DrillFinding(
        held=held,
        severity=severity,
        text=Sealer(named_in(account, text)).text(text),
        evidence_key=evidence.key,
        evidence_says=evidence.says,
        evidence_at=evidence.at,
        proposal_key=proposal,
        noted_as="" if role is None else role.value,
        noted_by=actor,
        noted_at=timezone.now(),
    )
    check_row(finding)
    finding.save(force_insert=True)
    record(
        "finding.added",
        actor=actor,
        account=account,
        subject=finding,
        subject_label=text[:60],
        after=snapshot(finding, ("severity", "text", "evidence_says")),
    )
    _told("drill.finding_added", finding, actor)
    return finding


@transaction.atomic
def add(
    held: HeldDrill,
    *,
    severity: str,
    text: str,
    actor: User,
    evidence_key: str = "",
    evidence_says: str = "",
) -> DrillFinding:
    """Write down what a drill taught, while it runs or afterwards."""
    locked = _locked_held(held)
    require(actor, Permission.DRILL_NOTE, locked.drill.account)
    text = _words(text, LONGEST_TEXT, "Say what was found.")
    evidence = evidence_of(locked, evidence_key, evidence_says)
    return _keep(locked, _severity(severity), text, evidence, actor)


@transaction.atomic
def take_over(held: HeldDrill, key: str, *, actor: User) -> DrillFinding:
    """Take over a finding that the figures propose, as it stands. Asked for again it is the same one."""
    locked = _locked_held(held)
    require(actor, Permission.DRILL_NOTE, locked.drill.account)
    kept = locked.findings.filter(proposal_key=key).first() if key else None
    if kept is not None:
        return kept
    run = Run.objects.get(pk=locked.run.pk)
    proposals = proposed(plan_from_plain(run.plan), progress_from_plain(run.progress), RunStatus(run.status))
    found = next((one for one in proposals if one.key == key), None)
    if found is None:
        raise Refused("The figures propose no such finding.", code="unknown_proposal")
    return _keep(locked, found.severity, found.text, found.evidence, actor, found.key)


def check_may_change(finding: DrillFinding, actor: User) -> None:
    """Raise NotPermitted unless somebody wrote a finding, is the drill's reporter, or leads drills of the account."""
    account = finding.held.drill.account
    require(actor, Permission.DRILL_NOTE, account)
    is_theirs = finding.noted_by.pk == actor.pk or access.can(actor, Permission.DRILL_RUN, account)
    if not is_theirs and not finding.held.drill.parts.filter(user=actor, role=Role.REPORTER.value).exists():
        raise NotPermitted(
            "A finding is changed by who wrote it, by the drill’s reporter, or by who leads drills.",
            code="not_permitted",
        )


@transaction.atomic
def change(
    finding: DrillFinding,
    *,
    severity: str,
    text: str,
    actor: User,
    evidence_key: str | None = None,
    evidence_says: str = "",
) -> DrillFinding:
    """Change what was found. `evidence_key` None leaves what it rests on as it is."""
    stored = _locked(finding)
    check_may_change(stored, actor)
    account = stored.held.drill.account
    text = _words(text, LONGEST_TEXT, "Say what was found.")
    before = snapshot(stored, ("severity", "text", "evidence_says"))
    stored.severity = _severity(severity)
    stored.text = Sealer(named_in(account, text)).text(text)
    if evidence_key is not None and (evidence_key != stored.evidence_key or not evidence_key):
        evidence = evidence_of(stored.held, evidence_key, evidence_says)
        stored.evidence_key, stored.evidence_says, stored.evidence_at = (
            evidence.key,
            evidence.says,
            evidence.at,
        )
    check_row(stored)
    stored.save()
    record(
        "finding.changed",
        actor=actor,
        account=account,
        subject=stored,
        subject_label=text[:60],
        before=before,
        after=snapshot(stored, ("severity", "text", "evidence_says")),
    )
    _told("drill.finding_changed", stored, actor)
    return DrillFinding.objects.get(pk=stored.pk)


@transaction.atomic
def withdraw(finding: DrillFinding, *, reason: str, actor: User) -> DrillFinding:
    """Take a finding back. It stays to be read, with the reason; its action items stay as they are."""
    stored = _locked(finding)
    check_may_change(stored, actor)
    account = stored.held.drill.account
    reason = _words(reason, 1000, "Say why it is withdrawn: it stays on the record.")
    stored.withdrawn_at, stored.withdrawn_by = timezone.now(), actor
    stored.withdrawn_because = Sealer(named_in(account, reason)).text(reason)
    check_row(stored)
    stored.save()
    record("finding.withdrawn", actor=actor, account=account, subject=stored, reason=reason)
    _told("drill.finding_withdrawn", stored, actor)
    return DrillFinding.objects.get(pk=stored.pk)


@transaction.atomic
def give_action(finding: DrillFinding, fields: Mapping[str, Any], *, actor: User) -> ActionItem:
    """Give somebody something to do about a finding by a date: an action item as every other, linked to it."""
    account = lock_account(finding.held.drill.account)
    require(actor, Permission.ACTION_EDIT, account)
    check_no_pin(str(fields.get("title", "")))
    stored = _locked(finding)
    if stored.action_links.count() >= MOST_ACTIONS:
        raise Refused(f"A finding has at most {MOST_ACTIONS} action items.", code="too_many")
    action = add_action(account, fields, actor=actor)
    FindingAction.objects.create(finding=stored, action=action)
    return action
