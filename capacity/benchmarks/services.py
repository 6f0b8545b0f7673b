"""Taking in benchmarks, and saying that one does not count. Each change is one function, on record in its transaction.

    take_in(account, content, file_name="run.jtl", title="…", actor=user) -> (benchmark, is_new)
    describe(benchmark, actor=user, pool=(connection, "71"), node_count=6, …) -> Benchmark
    described_version(benchmark), locked(benchmark)    what somebody saw of it, and what it is now
    fill_in(benchmark, actor=user, node_count=6, …) -> (benchmark, what was missing, what stays)
    set_aside(benchmark, because="…", actor=user, with_baselines=True), count_again(benchmark, actor=user)

All raise Refused with a sentence for people; a file that cannot be read says in which line and what to do.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.changes import check_active, check_no_pin
from accounts.models import Account
from capacity.baselines.compared import follow
from capacity.benchmarks.models import Benchmark, BenchmarkFile
from capacity.benchmarks.selectors import resting_on, spelt
from capacity.importers import BenchmarkResult, parse
from capacity.models import Ceiling
from capacity.pool_names import pool_named
from capacity.reports.models import SizedPool
from capacity.services import size_anew
from capacity.versions import version_of
from portal.audit.services import record, snapshot
from portal.errors import Refused, StaleState
from portal.events.services import emit
from portal.rows import check_row
from portal.texts import made_sound_deep

if TYPE_CHECKING:
    from accounts.models import CloudConnection, User
    from capacity.baselines.models import MeasuredBaseline

MOST_BYTES = 16 * 1024 * 1024
"""The largest file that is kept. A longer one (a line for each request) has a summary by its own tool."""
TOO_LARGE = (
    f"The file has more than {MOST_BYTES >> 20} MB. Hand in the tool’s own summary of it (docs/benchmarks.md "
    "names the option for each tool)."
)
DESCRIBED = (
    "node_count",
    "flavor",
    "software",
    "mix",
    "reason",
    "ran_at",
    "generator_cpu",
    "generator_addresses",
    "tied_to_address",
    "was_aborted",
)
MEASURED_UNDER = ("node_count", "flavor", "software", "mix", "ran_at")
"""What a baseline was approved with: it stays as long as one rests on it."""
FUTURE = timedelta(minutes=5)
_LONGEST_NAME = 200
LEFT_WITHOUT = (
    "Where the benchmark does not count, one that waits cannot be approved. An approved one stays what newer measurements are "
    "held against until it is withdrawn or replaced, but plans read neither it nor what one server carries by it."
)


def take_in(
    account: Account,
    content: bytes,
    *,
    file_name: str,
    actor: User,
    title: str = "",
    connection: CloudConnection | None = None,
    balancer_id: str = "",
    **described: Any,
) -> tuple[Benchmark, bool]:
    """Keep what a file tells, with the file; returns the row and whether it is new.

    The same file again is the row that is there, whatever is said of it now: `fill_in` takes that. `described` are `DESCRIBED`; a moment that
    the file tells is not overwritten by what a person says.
    """
    check_active(account)
    if len(content) > MOST_BYTES:
        raise Refused(TOO_LARGE, code="too_large")
    if connection is not None and connection.account_id != account.pk:
        raise Refused("This cloud connection is of another account.", code="other_account")
    described = _checked(account, described)
    # Read before the transaction: the longest file takes seconds.
    found = parse(content, file_name)
    if found.started_at is not None and found.started_at > timezone.now() + FUTURE:
        # It would be the newest one, which sets the ceiling, until that day.
        began = found.started_at.astimezone(ZoneInfo(actor.time_zone or "UTC"))
        raise Refused(
            f"The file says that it began at {began:%Y-%m-%d %H:%M %Z}, which is in the future: the clock of the "
            "machine that wrote it was wrong. Set it, and run it again.",
            code="in_the_future",
        )
    packed = zlib.compress(content, 6)
    with transaction.atomic():
        # Handed in twice at the same moment, the second one waits here and finds the first.
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        known = _known(account, found, connection, balancer_id)
        if known is not None:
            return known, False
        row = _row(account, found, title=title, connection=connection, balancer_id=balancer_id)
        if described.get("mix"):
            # Once more: somebody else may have handed in the first one of it meanwhile.
            described["mix"] = spelt(account, described["mix"])
        for name, value in described.items():
            if name != "ran_at" or row.ran_at is None:
                setattr(row, name, value)
        row.taken_in_by, row.taken_in_at = actor, timezone.now()
        check_row(row)
        row.save()
        BenchmarkFile.objects.create(benchmark=row, packed=packed)
        record(
            "benchmark.taken_in",
            actor=actor,
            account=account,
            subject=row,
            after=_on_record(row),
            reason=row.reason,
        )
        _emit("taken_in", row, actor)
        follow(row)
    return row, True


@transaction.atomic
def describe(
    benchmark: Benchmark, *, actor: User, pool: tuple[CloudConnection, str] | None = None, **described: Any
) -> Benchmark:
    """Say, or mend, in which environment it ran, when and why. What the file tells of the time stays.

    `pool` is connection and load balancer; None leaves it as it is. One that something rests on stays. `MEASURED_UNDER` stays
    while a baseline that is approved, or waits for that, rests on it; a ceiling that was taken from it counts no more once it changes.
    """
    row = locked(benchmark)
    check_active(row.account)
    described = _checked(row.account, described, but=row)
    before, was = _on_record(row), {name: getattr(row, name) for name in MEASURED_UNDER}
    left, left_id = row.connection, row.balancer_id
    if pool is not None and (row.connection_id, row.balancer_id) != (pool[0].pk, pool[1]):
        _check_pool(row, *pool)
        row.connection, row.balancer_id = pool
    for name, value in described.items():
        if name == "ran_at" and row.result.get("started_at"):
            if value is not None and value != row.ran_at:
                raise Refused("The file tells when it began; that stays.", code="told_by_the_file")
            continue
        setattr(row, name, value)
    after = _on_record(row)
    if after == before:
        return row
    changed = {name for name, value in was.items() if getattr(row, name) != value}
    if changed and (resting := resting_on(row)):
        raise Refused(
            f"{rests_words(resting)} So servers, size, software, mix and time stay as they are. If one of them is "
            "wrong, have that baseline withdrawn, correct it here and propose a new one; or say that this benchmark does not count.",
            code="baseline_rests",
        )
    check_row(row)
    row.save()
    of_size = Q(connection=left, balancer_id=left_id) & (Q(flavor="") | Q(flavor__iexact=was["flavor"]))
    of_mix = Benchmark.objects.filter(of_size, mix=was["mix"], set_aside_at__isnull=True).exclude(pk=row.pk)
    others = Benchmark.objects.filter(of_size, mix=row.mix).exclude(pk=row.pk)
    if "mix" in changed and row.mix and was["mix"] and not of_mix.exists() and not others.exists():
        # Whoever chose it, for servers of this size, chose what is spelt so now; not where others were measured by that name.
        Ceiling.objects.filter(of_size | Q(benchmark=row), chosen_mix=was["mix"]).update(chosen_mix=row.mix)
    counting = Ceiling.objects.filter(benchmark=row, void_at__isnull=True)
    if any(was[name] not in (None, "") for name in changed & {"node_count", "flavor"}):
        # What one server carries by it was worked out for other servers. What was not said before contradicts nothing.
        counting.update(void_at=timezone.now())
    elif changed:
        # The figure is the same; what it belongs to is spelt as it is said now.
        counting.update(software=row.software, mix=row.mix)
        if row.flavor:
            # A run that says none may have been let count for one size.
            counting.update(flavor=row.flavor)
    record("benchmark.described", actor=actor, account=row.account, subject=row, before=before, after=after)
    # Both pools, always in one order: who judges all pools of an account waits, instead of one being broken off.
    both = Q(connection=row.connection_id, balancer_id=row.balancer_id) | Q(
        connection=left, balancer_id=left_id
    )
    list(SizedPool.objects.select_for_update(no_key=True).filter(both).order_by("pk").values_list("pk"))
    follow(row)
    if left is not None and (left, left_id) != (row.connection, row.balancer_id):
        # It says nothing of that pool any more.
        size_anew(left, left_id)
    return row


@transaction.atomic
def fill_in(
    benchmark: Benchmark, *, actor: User, pool: tuple[CloudConnection, str] | None = None, **described: Any
) -> tuple[Benchmark, list[str], list[str]]:
    """Take what is said of a file that is there already, where nothing was said before.

    Returns the row, the names of what was taken, and of what stays although something else was said (`pool` among them).
    """
    row = locked(benchmark)
    said = {
        name: value
        for name, value in described.items()
        # Not ticked is not said.
        if value not in (None, "") and not (name == "was_aborted" and not value)
    }
    new = {name: value for name, value in said.items() if getattr(row, name) in (None, "")}
    stays = [name for name, value in said.items() if name not in new and getattr(row, name) != value]
    takes_pool = pool is not None and not row.balancer_id
    if pool is not None and not takes_pool and (row.connection_id, row.balancer_id) != (pool[0].pk, pool[1]):
        stays.insert(0, "pool")
    if new or takes_pool:
        row = describe(row, actor=actor, pool=pool if takes_pool else None, **new)
    return row, [*(["pool"] if takes_pool else []), *new], stays


def described_version(row: Benchmark) -> str:
    """Return a text that is another one once somebody says something else of where and when it ran; the rest does not count."""
    at = row.ran_at.isoformat() if row.ran_at else None
    said = [getattr(row, name) for name in DESCRIBED if name != "ran_at"]
    return version_of(row.connection_id, row.balancer_id, at, *said)


def does_pool_stay(row: Benchmark) -> bool:
    """Return whether something rests on its pool: a baseline, a ceiling, a comparison. Up to three queries."""
    if not row.balancer_id:
        return False
    return (
        row.baselines.exists() or row.comparisons.exists() or Ceiling.objects.filter(benchmark=row).exists()
    )


def rests_words(resting: Sequence[MeasuredBaseline]) -> str:
    """Return which baselines rest on a benchmark, as a sentence."""
    named = " and ".join(f"version {one.version} ({one.get_status_display()})" for one in resting)
    return f"Baseline {named} of {pool_named(resting[0].connection, resting[0].balancer_id)} rests on this benchmark."


@transaction.atomic
def set_aside(benchmark: Benchmark, *, because: str, actor: User, with_baselines: bool = False) -> Benchmark:
    """Say that it does not count (the generator was the limit, the wrong pool), and why. It stays to be read.

    `with_baselines` says that whoever does so knows of the baselines that rest on it; without, one of those is Refused. Set
    aside before for the same reason it is the same answer; for another, StaleState: that one would be lost without a word.
    """
    row = locked(benchmark)
    check_active(row.account)
    because = because.strip()
    if not because:
        raise Refused("Say why it does not count: the next person reads it.", code="reason_missing")
    check_no_pin(because)
    if row.set_aside_at is not None and row.set_aside_because == because:
        return row
    if row.set_aside_at is not None:
        who = row.set_aside_by or "Somebody"
        raise StaleState(
            f"{who} set this aside already (“{row.set_aside_because}”). What you wrote was not kept. To give another reason, "
            "let it count again first.",
            code="aside_already",
        )
    resting = resting_on(row)
    if resting and not with_baselines:
        raise Refused(
            f"{rests_words(resting)} {LEFT_WITHOUT} Confirm that you know this.", code="baseline_rests"
        )
    row.set_aside_at, row.set_aside_by, row.set_aside_because = timezone.now(), actor, because
    check_row(row)
    row.save()
    record("benchmark.set_aside", actor=actor, account=row.account, subject=row, reason=because)
    _emit("set_aside", row, actor)
    follow(row)
    return row


@transaction.atomic
def count_again(benchmark: Benchmark, *, actor: User) -> Benchmark:
    """Let it count again."""
    row = locked(benchmark)
    check_active(row.account)
    if row.set_aside_at is None:
        return row
    again = Benchmark.objects.filter(
        account=row.account_id, sha256=row.sha256, set_aside_at__isnull=True
    ).first()
    if again is not None:
        raise Refused(
            f"This very file counts as “{again.title}” by now. Say that that one does not count first.",
            code="counts_elsewhere",
        )
    before = {"set_aside_because": row.set_aside_because}
    row.set_aside_at, row.set_aside_by, row.set_aside_because = None, None, ""
    row.save()
    record(
        "benchmark.counts_again",
        actor=actor,
        account=row.account,
        subject=row,
        before=before,
        after={"set_aside_because": ""},
    )
    _emit("counts_again", row, actor)
    follow(row)
    return row


def file_of(benchmark: Benchmark) -> bytes:
    """Return the file as it was handed in."""
    return zlib.decompress(bytes(benchmark.file.packed))


def _emit(what: str, row: Benchmark, actor: User) -> None:
    emit(
        f"benchmark.{what}",
        account_ref=row.account.ref,
        subject_type="benchmark",
        subject_ref=row.ref,
        data={
            "tool": row.tool,
            "requests_per_s": row.requests_per_s,
            "p95_ms": row.p95_ms,
            "error_ratio": row.error_ratio,
        },
        actor=actor,
    )


def locked(benchmark: Benchmark) -> Benchmark:
    """Return the benchmark as it is now, locked until the transaction ends."""
    found: Benchmark = (
        Benchmark.objects.select_for_update(of=("self",))
        .select_related("account", "connection", "taken_in_by", "set_aside_by")
        .get(pk=benchmark.pk)
    )
    return found


def _check_pool(row: Benchmark, connection: CloudConnection, balancer_id: str) -> None:
    if connection.account_id != row.account_id:
        raise Refused("This cloud connection is of another account.", code="other_account")
    if not balancer_id:
        raise Refused("A pool is named by its load balancer, too. Name both, or neither.", code="no_balancer")
    if does_pool_stay(row):
        raise Refused(
            "A baseline, a ceiling or a comparison rests on its pool, so that stays. Where it ran behind another pool, "
            "say that it does not count.",
            code="pool_stays",
        )


def _known(
    account: Account, found: BenchmarkResult, connection: CloudConnection | None, balancer_id: str
) -> Benchmark | None:
    """Return the row that this file is; not one that was set aside where the file is handed in of another pool."""
    rows = Benchmark.objects.select_related("account", "connection", "taken_in_by", "set_aside_by")
    of_file = rows.filter(account=account, sha256=found.provenance.sha256).order_by(
        F("set_aside_at").desc(nulls_first=True), "pk"
    )
    known = of_file.first()
    if known is None or known.set_aside_at is None or connection is None:
        return known
    return of_file.filter(connection=connection, balancer_id=balancer_id).first()


def _row(
    account: Account,
    found: BenchmarkResult,
    *,
    title: str,
    connection: CloudConnection | None,
    balancer_id: str,
) -> Benchmark:
    name = found.provenance.name[:_LONGEST_NAME]
    return Benchmark(
        account=account,
        connection=connection,
        balancer_id=balancer_id,
        title=title.strip() or f"{found.tool}: {name}"[:_LONGEST_NAME],
        tool=found.tool,
        format=found.provenance.format.value,
        # A label of a script may hold what no text of the portal may.
        result=made_sound_deep(found.as_plain()),
        ran_at=found.started_at,
        duration_s=found.duration_s,
        users=found.users,
        requests=found.requests,
        requests_per_s=found.requests_per_s,
        error_ratio=found.error_ratio,
        p50_ms=found.latency.at(50.0),
        p95_ms=found.latency.at(95.0),
        p99_ms=found.latency.at(99.0),
        file_name=name,
        sha256=found.provenance.sha256,
        size_bytes=found.provenance.size_bytes,
    )


def _checked(account: Account, described: dict[str, Any], *, but: Benchmark | None = None) -> dict[str, Any]:
    """Return what is said of a benchmark, its mix as the account spells it elsewhere. Raises Refused for what cannot be."""
    unknown = set(described) - set(DESCRIBED)
    if unknown:
        raise ValueError(f"A benchmark has no {', '.join(sorted(unknown))} to be described by.")
    check_no_pin(*(str(described.get(name) or "") for name in ("reason", "software", "mix", "flavor")))
    ran_at: datetime | None = described.get("ran_at")
    if ran_at is not None and ran_at > timezone.now() + FUTURE:
        raise Refused("It began in the future. Say when it was run.", code="in_the_future")
    mix = spelt(account, str(described.get("mix") or ""), but=but)
    return {**described, "mix": mix} if mix else described


def _on_record(row: Benchmark) -> dict[str, Any]:
    return {name: value for name, value in snapshot(row).items() if name != "result"}
