"""Drawing up a profile, asking for its approval, running it, and what is kept of a run. Each change is one function.

    draft(account, {...}, actor=user) -> LoadProfile        change(profile, {...}, actor=user)
    submit(profile, actor=user)                             the provider's approval; the customer decides
    decide(profile, Verdict.APPROVE, actor=user, seen_digest="…"), withdraw(profile, actor=user, reason="…")
    start(profile, actor=user, seen_digest="…", reason="…") -> LoadRun
    abort(load, actor=user)
    close(load, RunEnding.…, "…") -> LoadRun                by the worker, or by the engine where the worker was lost

All raise Refused with a sentence.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import httpx
import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.calendar.locks import locks_on
from accounts.calendar.selectors import freezes_at
from accounts.changes import check_active, check_no_pin
from accounts.clouds import look_at
from accounts.members import lock_account
from accounts.models import Account, CloudConnection
from accounts.networks import networks_of
from capacity.baselines.compared import follow
from capacity.benchmarks.models import Benchmark, BenchmarkFile
from capacity.hosts import services as hosts
from capacity.hosts.places import place_of
from capacity.loads import result as results
from capacity.loads.models import LoadProfile, LoadRun, LoadSecond, ProfileStatus, RunEnding
from capacity.loads.pins import proven_pins
from capacity.loads.profile import (
    Asked,
    Caps,
    Profile,
    Shape,
    Stops,
    check,
    digest_of,
    from_plain,
    most_users,
    to_plain,
)
from portal import access, egress
from portal.access import Permission
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalRequest, ApprovalStatus, Side
from portal.approvals.models import Verdict as Decision
from portal.audit.services import record, snapshot
from portal.cloud.protocol import Cloud
from portal.cloud.types import Balancer, CloudIdentity
from portal.errors import NotPermitted, Refused, StaleState, Trouble
from portal.events.services import emit
from portal.rows import check_row
from portal.runs import services as runs
from portal.runs.wake import hand_over
from portal.texts import made_sound_deep

if TYPE_CHECKING:
    from accounts.models import User

log = structlog.get_logger(__name__)

SUBJECT = "capacity.profile"
KIND = "benchmark"
ASKED_FOR = timedelta(days=30)
VALID = timedelta(days=90)
SECONDS_KEPT = timedelta(days=30)
MOST_OF_ACCOUNT = 200
LONGEST_LOOK_S = 8.0
"""Whoever starts a load waits for what the pool says of addresses: not for long."""
FIELDS = (
    "name",
    "requests",
    "shape",
    "stops",
    "max_users",
    "max_requests_per_s",
    "think_s",
    "headers",
    "secret_headers",
    "connection",
    "balancer_id",
)
# Sent by the generator itself, or about the connection and not about the page.
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te"}
)


def caps() -> Caps:
    """Return what the operator allows of any profile."""
    return Caps(
        users=int(settings.LOADS["MAX_USERS"]),
        requests_per_s=settings.LOADS["MAX_REQUESTS_PER_S"],
        duration_s=int(settings.LOADS["MAX_S"]),
    )


# --- profiles ------------------------------------------------------------------------------------------


@transaction.atomic
def draft(account: Account, fields: Mapping[str, Any], *, actor: User) -> LoadProfile:
    """Draw up a profile. Nothing is asked anywhere."""
    locked = lock_account(account)
    check_active(locked)
    if LoadProfile.objects.filter(account=locked).count() >= MOST_OF_ACCOUNT:
        raise Refused(f"An account has at most {MOST_OF_ACCOUNT} profiles.", code="too_many")
    row = LoadProfile(account=locked, made_by=actor)
    _fill(row, fields)
    row.save(force_insert=True)
    record("profile.drafted", actor=actor, account=locked, subject=row, after=_on_record(row))
    return row


@transaction.atomic
def change(profile: LoadProfile, fields: Mapping[str, Any], *, actor: User) -> LoadProfile:
    """Change a draft; secret headers that are not given stay as they are."""
    row = _locked(profile)
    check_active(row.account)
    if row.status != ProfileStatus.DRAFT:
        raise StaleState(
            "It was submitted, so it stays as it is. Make a copy to change it.", code="not_a_draft"
        )
    before = _on_record(row)
    _fill(row, fields)
    row.save()
    record(
        "profile.changed",
        actor=actor,
        account=row.account,
        subject=row,
        before=before,
        after=_on_record(row),
    )
    return row


def _fill(row: LoadProfile, fields: Mapping[str, Any]) -> None:
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise ValueError(f"A profile has no {', '.join(sorted(unknown))}.")
    row.name = " ".join(str(fields["name"]).split())
    row.connection, row.balancer_id = fields.get("connection"), fields.get("balancer_id", "")
    if row.connection is not None and row.connection.account_id != row.account.pk:
        raise Refused("This cloud connection is of another account.", code="other_account")
    headers = _checked_headers(fields.get("headers") or ())
    secret = fields.get("secret_headers")
    if secret is not None:
        row.secret_headers = json.dumps(dict(_checked_headers(secret)), sort_keys=True) if secret else ""
    names = tuple(sorted(secrets_of(row)))
    rules = egress.rules_from_settings(networks_of(row.account))
    wanted = Profile(
        requests=tuple(
            Asked(str(one["method"]), _address(one["url"], rules), int(one["weight"]))
            for one in fields["requests"]
        ),
        shape=Shape(**fields["shape"]),
        stops=Stops(**fields["stops"]),
        max_users=int(fields["max_users"]),
        max_requests_per_s=float(fields["max_requests_per_s"]),
        think_s=float(fields.get("think_s") or 0.0),
        headers=headers,
        secret_headers=names,
        secret_digest=_keyed(row.secret_headers) if names else "",
        balancer_key=_balancer_key(row),
    )
    wanted = replace(wanted, shape=replace(wanted.shape, level=float(wanted.shape.level)))
    check(wanted, caps())
    check_no_pin(row.name, *(one.url for one in wanted.requests), *(value for _, value in headers))
    row.content = to_plain(wanted)
    row.digest = digest_of(approved_content(row))
    check_row(row)


def _address(typed: str, rules: egress.Rules) -> str:
    """Return an address in the spelling in which it is asked for. Raises Refused for one that the portal never asks."""
    place_of(typed)
    egress.check_url(typed, rules=rules)
    return str(httpx.URL(typed).copy_with(fragment=None))


def approved_content(row: LoadProfile) -> dict[str, Any]:
    """Return all that an approval of a profile is of."""
    return {**row.content, "account": str(row.account.ref), "name": row.name, "profile": str(row.ref)}


def _checked_headers(given: Any) -> tuple[tuple[str, str], ...]:
    found = []
    for name, value in dict(given).items():
        is_name = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if not is_name or len(name) > 100 or name.lower() in _OWN_HEADERS:
            raise Refused(f"{name[:100]!r} is no header that a profile can set.", code="bad_header")
        if len(value) > 4000 or not value.isascii() or not value.isprintable():
            raise Refused(f"The header {name} has a value that cannot be sent.", code="bad_header")
        found.append((name, value))
    return tuple(sorted(found))


def secrets_of(row: LoadProfile) -> dict[str, str]:
    """Return the secret headers in the clear: for the generator, and to be kept when a draft is changed."""
    found: dict[str, str] = json.loads(row.secret_headers) if row.secret_headers else {}
    return found


def _keyed(text: str) -> str:
    return hmac.new(
        settings.SECRET_KEY.encode(), b"load-headers:" + text.encode(), hashlib.sha256
    ).hexdigest()


def _balancer_key(row: LoadProfile) -> str:
    mine = row.connection
    if mine is None:
        return ""
    return CloudIdentity(mine.provider, mine.identity_url, mine.tenant, mine.region).key(
        "lb", row.balancer_id
    )


@transaction.atomic
def submit(profile: LoadProfile, *, actor: User, reason: str = "") -> LoadProfile:
    """Ask for approval of exactly this profile; submitting is the provider side's own."""
    row = _locked(profile)
    check_active(row.account)
    _may(actor, Permission.LOAD_SUBMIT, row.account)
    if row.status != ProfileStatus.DRAFT:
        raise StaleState("It was submitted before.", code="not_a_draft")
    check_no_pin(reason)
    now = timezone.now()
    row.valid_until = now + VALID
    row.request = approvals.submit(
        account=row.account,
        subject_type=SUBJECT,
        subject_ref=row.ref,
        title=f"Load on the site: {row.name}",
        digest=row.digest,
        author=row.made_by,
        actor=actor,
        at=now,
        expires_at=now + ASKED_FOR,
        reason=reason,
    )
    row.status = ProfileStatus.AWAITING
    row.save()
    record("profile.submitted", actor=actor, account=row.account, subject=row, after=_on_record(row))
    return row


@transaction.atomic
def decide(
    profile: LoadProfile, verdict: Decision, *, actor: User, seen_digest: str, reason: str = ""
) -> LoadProfile:
    """Approve or reject for the customer exactly what was seen."""
    if profile.request is None:
        raise StaleState("It was not submitted yet.", code="not_open")
    approvals.decide(
        profile.request,
        actor=actor,
        side=Side.CUSTOMER,
        decision=verdict,
        seen_digest=seen_digest,
        reason=reason,
        at=timezone.now(),
    )
    return _locked(profile)


@transaction.atomic
def withdraw(profile: LoadProfile, *, actor: User, reason: str) -> LoadProfile:
    """Let a profile be run no more, with a reason. A run that goes on is not ended by it: abort that."""
    _may(actor, Permission.LOAD_SUBMIT, profile.account)
    check_active(profile.account)
    check_no_pin(reason)
    if profile.request is None:
        raise StaleState("It was not submitted yet.", code="not_open")
    approvals.withdraw(
        profile.request, actor=actor, reason=reason, while_in=[ApprovalStatus.OPEN, ApprovalStatus.APPROVED]
    )
    return _locked(profile)


def was_decided(request: ApprovalRequest) -> None:
    """Note what became of what was asked; called in the deciding transaction."""
    row = (
        LoadProfile.objects.select_for_update(of=("self",))
        .select_related("account")
        .get(ref=request.subject_ref)
    )
    if request.status == ApprovalStatus.APPROVED and digest_of(approved_content(row)) != request.digest:
        raise Refused(
            "What is stored is not what was shown, so nothing was approved. Tell the operator of the portal.",
            code="digest_broken",
        )
    row.status = request.status
    row.save(update_fields=["status", "updated_at"])


# --- runs ------------------------------------------------------------------------------------------------


def start(
    profile: LoadProfile,
    *,
    actor: User,
    seen_digest: str,
    reason: str = "",
    node_count: int | None = None,
    flavor: str = "",
    software: str = "",
) -> LoadRun:
    """Have a worker put the load on. Each host's proof is looked for now; freezes, change locks and other runs refuse it."""
    _may(actor, Permission.LOAD_START, profile.account)
    check_active(profile.account)
    check_no_pin(reason, flavor, software)
    profile = LoadProfile.objects.select_related("account", "connection", "request").get(pk=profile.pk)
    _check_startable(profile, seen_digest)
    content = from_plain(profile.content)
    # Asked before the transaction: it goes over the network.
    hosts.ensure(profile.account, (place_of(one.url) for one in content.requests), actor=actor)
    # It is what the beginning asks again; asked here, too, whoever starts is told at once.
    proven_pins(profile.account, content)
    tied = _tied_to_address(profile, content)
    with transaction.atomic():
        row = _locked(profile)
        check_active(lock_account(row.account))
        _check_startable(row, seen_digest)
        on = load_on(row.account)
        if on is not None:
            assert on.began_at is not None
            zone = ZoneInfo(actor.time_zone or "UTC")
            raise Refused(
                f"The load was not started. Another one, “{on.profile.name}”, is on since {on.began_at.astimezone(zone):%H:%M %Z}. "
                "Wait for its end or abort it, then start again.",
                code="load_on",
            )
        locks = locks_on(row.account, timezone.now())
        if locks:
            raise Refused(f"The load was not started. {locks[0].says}", code="change_locked")
        load = LoadRun(
            account=row.account,
            profile=row,
            reason=reason.strip(),
            node_count=node_count,
            flavor=flavor.strip(),
            software=software.strip(),
            tied_to_address=tied,
            started_by=actor,
        )
        load.run = runs.create_run(
            account=row.account,
            kind=KIND,
            plan_ref=load.ref,
            plan={"profile": str(row.ref), "content": row.content},
            digest=row.digest,
            resource_keys=_resource_keys(content),
            scopes=_scopes(row),
            title=f"Load on the site: {row.name}"[:200],
            actor=actor,
        )
        check_row(load)
        load.save(force_insert=True)
        record(
            "load.started",
            actor=actor,
            account=row.account,
            subject=load,
            after={"profile": str(row.ref), "plan_hash": row.digest, "run": str(load.run.ref)},
            reason=load.reason,
        )
        transaction.on_commit(wake)
    return load


def _tied_to_address(row: LoadProfile, content: Profile) -> bool | None:
    """Ask the provider whether the pool ties one address to one server, or allows it fewer connections than users come from it.

    None where that is not known: no pool was named, or it cannot be read. A load is not refused for it.
    """
    mine = row.connection
    if mine is None:
        return None

    async def look(cloud: Cloud) -> Balancer | None:
        async with asyncio.timeout(LONGEST_LOOK_S):
            return await cloud.show_balancer(row.balancer_id)

    try:
        found = look_at(mine, look)
    except Trouble as trouble:
        log.info("load_pool_unread", profile=str(row.ref), code=trouble.code)
        return None
    if found is None:
        return None
    # Each user keeps one connection to each host. Those of cookies and of TLS sessions are no matter: it keeps neither.
    connections = most_users(content) * len({place_of(one.url) for one in content.requests})
    is_limited = found.most_per_address is not None and found.most_per_address < connections
    # Where there is one node, whoever is tied goes nowhere that others would not.
    return is_limited or (found.session_persistence == "SOURCE_IP" and len(found.nodes) != 1)


def load_on(account: Account) -> LoadRun | None:
    """Return the load that is on an account's site just now, None for none. One query."""
    rows = LoadRun.objects.select_related("profile").defer("profile__secret_headers")
    return rows.filter(account=account, began_at__isnull=False, ending="").order_by("pk").first()


def wake() -> None:
    """Have a worker look for loads that wait. Lost, the beat asks again."""
    from capacity.tasks import hold_loads

    hand_over(hold_loads, "load_wake_lost")


def _check_startable(row: LoadProfile, seen_digest: str) -> None:
    if row.status != ProfileStatus.APPROVED or row.request is None:
        raise Refused("Only an approved profile is run.", code="not_approved")
    if seen_digest != row.digest or digest_of(approved_content(row)) != row.digest:
        raise StaleState("This is not what you were shown. Nothing was started.", code="digest_mismatch")
    asked = approvals.approved_request(SUBJECT, row.ref, row.digest)
    if asked is None:
        raise Refused("Nobody approved exactly this profile.", code="not_approved")
    if row.valid_until is None or row.valid_until <= timezone.now():
        raise Refused("The approval is too old. Make a copy and have that approved.", code="approval_old")
    says = approvals.removal_says(asked)
    if says:
        raise Refused(f"{says} Have it approved anew.", code="approval_gone")
    # What the operator allows may have become less since.
    check(from_plain(row.content), caps())


def check_begins(load: LoadRun) -> None:
    """Raise Refused where a load that was started may not begin any more: its approval or a host's proof is gone, or a freeze is on.

    Other runs are kept away by what this one claims, standstills by the holder.
    """
    row = LoadProfile.objects.select_related("account", "request").get(pk=load.profile_id)
    check_active(row.account)
    _check_startable(row, load.run.digest)
    freezes = freezes_at(row.account, timezone.now())
    if freezes:
        raise Refused(f"The load was not begun. {freezes[0].says}", code="change_locked")
    gone = hosts_lost(row.account_id, from_plain(row.content))
    if gone:
        raise Refused(gone, code="host_not_proven")


def hosts_lost(account_id: int, content: Profile) -> str:
    """Return why the hosts of a profile may have no load any more, "" where they may. One query."""
    return hosts.lost(account_id, (place_of(one.url) for one in content.requests))


def _resource_keys(content: Profile) -> list[str]:
    """Return what a run claims: its hosts, whoever proved them, and the balancer that scale-downs of the pool claim."""
    found = {f"load:{place_of(one.url)}" for one in content.requests}
    return sorted(found | ({content.balancer_key} if content.balancer_key else set()))


def _scopes(row: LoadProfile) -> list[str]:
    found = [f"team:{row.account.team.ref}", f"account:{row.account.ref}"]
    if row.connection is not None:
        mine = row.connection
        alike = CloudConnection.objects.filter(
            account=row.account, provider=mine.provider, tenant=mine.tenant, region=mine.region
        )
        found += [f"connection:{ref}" for ref in alike.order_by("pk").values_list("ref", flat=True)]
    return found


def abort(load: LoadRun, *, actor: User) -> None:
    """End the load: the worker sees it within half a second, whatever the engine does."""
    _may(actor, Permission.LOAD_ABORT, load.account)
    with transaction.atomic():
        runs.give_command(load.run, "abort", actor=actor)
        record("load.aborted", actor=actor, account=load.account, subject=load)


@transaction.atomic
def close(load: LoadRun, ending: RunEnding, says: str, *, token: int | None = None) -> LoadRun:
    """End a run once, and keep as a benchmark what came in so far. With `token`, only if that worker holds it still."""
    rows = LoadRun.objects.select_for_update(of=("self",)).select_related(
        "account", "profile__connection", "run", "started_by"
    )
    row = rows.get(pk=load.pk)
    if row.ending or (token is not None and row.token != token):
        return row
    row.ending, row.ending_says, row.ended_at = ending, says[:500], timezone.now()
    # Whoever still holds it is told so by the next thing that they write.
    row.token += 1
    seconds = [one.told for one in row.seconds.order_by("number")]
    if row.began_at is not None and any(one["requests"] for one in seconds):
        row.benchmark = _benchmark(row, seconds)
    row.save()
    return row


def forget_seconds(now: datetime) -> int:
    """Drop the seconds of runs that ended long ago: the files of their benchmarks have them. Returns how many went."""
    old = LoadSecond.objects.filter(load__ended_at__lt=now - SECONDS_KEPT)
    return old.delete()[0]


def _benchmark(row: LoadRun, seconds: list[dict[str, Any]]) -> Benchmark:
    """Keep what was measured as a benchmark like any other, with its seconds as the file."""
    assert row.began_at is not None
    content = from_plain(row.profile.content)
    head = {
        "kind": "run",
        "run": str(row.run.ref),
        "began_at": row.began_at.isoformat(),
        "locust": row.generator,
        "ending": row.ending,
        "profile": {**row.profile.content, "headers": [name for name, _ in content.headers]},
    }
    packed = results.file_of(head, seconds)
    name = f"run-{row.run.ref}.jsonl"
    was_short = row.ending != RunEnding.COMPLETED
    found = results.result_of(
        content,
        seconds,
        began_at=row.began_at,
        content=packed,
        name=name,
        generator=row.generator,
        notes=(f"It ended early. {row.ending_says}",) if was_short else (),
    )
    plain = made_sound_deep(found.as_plain())
    invalid = results.invalid_because(content, seconds)
    if invalid:
        plain["invalid"] = invalid
        plain["notes"] = [*plain["notes"], f"It proves nothing. {invalid}"]
    made = Benchmark(
        account=row.account,
        connection=row.profile.connection,
        balancer_id=row.profile.balancer_id,
        title=row.profile.name,
        reason=row.reason,
        tool=found.tool,
        format=found.provenance.format.value,
        result=plain,
        ran_at=row.began_at,
        duration_s=found.duration_s,
        users=found.users,
        requests=found.requests,
        requests_per_s=found.requests_per_s,
        error_ratio=found.error_ratio,
        p50_ms=found.latency.at(50.0),
        p95_ms=found.latency.at(95.0),
        p99_ms=found.latency.at(99.0),
        node_count=row.node_count,
        flavor=row.flavor,
        software=row.software,
        # The same profile is the same mix: what was asked for, by its approved spelling.
        mix=f"{row.profile.name} ({row.profile.digest[:8]})"[-200:],
        generator_cpu=results.busy_share(seconds),
        generator_addresses=1,
        tied_to_address=row.tied_to_address,
        was_aborted=was_short,
        file_name=name,
        sha256=found.provenance.sha256,
        size_bytes=len(packed),
        taken_in_by=row.started_by,
        taken_in_at=timezone.now(),
    )
    check_row(made)
    made.save()
    BenchmarkFile.objects.create(benchmark=made, packed=zlib.compress(packed, 6))
    after = {name: value for name, value in snapshot(made).items() if name != "result"}
    record(
        "benchmark.taken_in",
        actor=row.started_by,
        account=row.account,
        subject=made,
        after=after,
        reason=made.reason,
    )
    emit(
        "benchmark.taken_in",
        account_ref=row.account.ref,
        subject_type="benchmark",
        subject_ref=made.ref,
        data={
            "tool": made.tool,
            "requests_per_s": made.requests_per_s,
            "p95_ms": made.p95_ms,
            "error_ratio": made.error_ratio,
        },
        actor=row.started_by,
    )
    follow(made)
    return made


def _may(actor: User, permission: Permission, account: Account) -> None:
    if not access.can(actor, permission, account):
        raise NotPermitted(f"You may not {permission.says} for {account}.", code="not_permitted")


def _locked(profile: LoadProfile) -> LoadProfile:
    rows = LoadProfile.objects.select_for_update(of=("self",)).select_related(
        "account__team", "connection", "made_by", "request"
    )
    return rows.get(pk=profile.pk)


def _on_record(row: LoadProfile) -> dict[str, Any]:
    return {name: value for name, value in snapshot(row).items() if name != "secret_headers"}
