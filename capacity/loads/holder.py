"""A worker's hold on one load: starts the generator, notes each second, ends it on the first reason to.

    hold(load_pk, holder="…") -> LoadRun | None     None where another worker has it, or it began before

The generator lives no longer than this process (`generator.Leash`), and no longer than this worker's right to it: each second is
noted together with the lease, in one UPDATE that a taken-away token refuses.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import Account, AccountStatus
from capacity.loads import services
from capacity.loads.models import LoadRun, LoadSecond, RunEnding
from capacity.loads.pins import proven_pins
from capacity.loads.profile import Profile, from_plain, why_stop
from portal.errors import Trouble
from portal.runs import services as runs
from portal.runs.models import RunCommand
from portal.runs.types import RunStatus

log = structlog.get_logger(__name__)

LEASE_S = 6.0
LOOK_S = 0.4
BEGINS_S = 20.0
ENDS_S = 1.5
SILENT_S = 4.0
"""A generator tells something each second: one that does not for so long is held up. Less than the lease, which its words renew."""
_MOST_LINE = 4 * 1024 * 1024
# Set by the worker's main process as it begins to stop, seen by its children: shared memory goes through the fork.
_stopping = mmap.mmap(-1, 1)


def worker_stops() -> None:
    """Have every load of this worker end: called in its main process."""
    _stopping[0] = 1


def worker_begins() -> None:
    """Forget that a worker stopped."""
    _stopping[0] = 0


@dataclass
class _Held:
    """One load in hand."""

    row: LoadRun
    profile: Profile
    token: int
    seconds: list[Mapping[str, Any]] = field(default_factory=list)
    is_done: bool = False
    parent: int = field(default_factory=os.getppid)


def hold(load_pk: int, *, holder: str) -> LoadRun | None:
    """Put a load on from its beginning to its end. A load begins once: what was begun before is left alone."""
    held = _take(load_pk, holder)
    if held is None:
        return None
    try:
        ending, says = _run(held)
    except Trouble as trouble:
        ending, says = RunEnding.FAILED, trouble.says
    return services.close(held.row, ending, says, token=held.token)


def _take(load_pk: int, holder: str) -> _Held | None:
    taken = LoadRun.objects.filter(pk=load_pk, began_at__isnull=True, ending="").update(
        holder=holder[:120],
        token=F("token") + 1,
        lease_until=Now() + timedelta(seconds=LEASE_S + BEGINS_S),
        began_at=Now(),
    )
    if not taken:
        return None
    row = LoadRun.objects.select_related("account", "profile", "run", "started_by").get(pk=load_pk)
    return _Held(row, from_plain(row.profile.content), row.token)


def _run(held: _Held) -> tuple[RunEnding, str]:
    why = _why_end(held)
    if why is not None:
        return why
    # It may have waited long behind another load: what its start asked holds for its beginning, too.
    services.check_begins(held.row)
    pins = proven_pins(held.row.account, held.profile)
    # Asking the addresses may have used up the time that was taken for the beginning.
    mine = LoadRun.objects.filter(pk=held.row.pk, token=held.token, ending="")
    if not mine.update(pins=pins, lease_until=Now() + timedelta(seconds=LEASE_S + BEGINS_S)):
        return RunEnding.WORKER_LOST, "Somebody else ended it."
    order = {
        "profile": held.row.profile.content,
        "pins": pins,
        "secret_headers": services.secrets_of(held.row.profile),
        "ca_file": settings.EGRESS_CA_FILE,
        "parent": os.getpid(),
    }
    with _started() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        _tell(process.stdin, json.dumps(order).encode() + b"\n")
        return _watch(held, process, process.stdin, process.stdout)


@contextlib.contextmanager
def _started() -> Any:
    process = subprocess.Popen(
        [sys.executable, "-m", "capacity.loads.generator"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=settings.BASE_DIR,
        # Nothing of ours: no key, no address of the database, no proxy.
        env={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(settings.BASE_DIR),
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _tell(stream: IO[bytes], words: bytes) -> None:
    # One that has ended is seen by the end of what it says.
    with contextlib.suppress(OSError):
        stream.write(words)
        stream.flush()


def _watch(
    held: _Held, process: subprocess.Popen[bytes], says: IO[bytes], hears: IO[bytes]
) -> tuple[RunEnding, str]:
    """Note what the generator tells until it ends, or until there is a reason to end it: then within two seconds."""
    lines, looked, stop_at = _Lines(hears.fileno()), 0.0, None
    heard_at, has_begun = time.monotonic(), False
    until = heard_at + BEGINS_S + held.profile.shape.duration_s
    why: tuple[RunEnding, str] | None = None
    while True:
        told, is_over = lines.read(0.1)
        for one in told:
            if not _note(held, one):
                return RunEnding.WORKER_LOST, "Somebody else ended it."
        now = time.monotonic()
        if told:
            heard_at, has_begun = now, True
        if is_over:
            break
        if why is None and now - looked >= LOOK_S:
            looked = now
            _tell(says, b".\n")
            why = (
                _why_end(held)
                or _why_lost(held)
                or _why_limit(held)
                # One that said that it is done may take its time to go.
                or (None if held.is_done else _why_silent(has_begun, now - heard_at))
            )
            if why is None and now > until:
                why = RunEnding.STOPPED, "The generator went on past its end."
            if why is not None:
                stop_at = now + ENDS_S
                _tell(says, b"stop\n")
        if stop_at is not None and now > stop_at:
            process.kill()
            stop_at = None
    if why is not None:
        return why
    if held.is_done:
        return RunEnding.COMPLETED, ""
    ending = RunEnding.WORKER_LOST if has_begun else RunEnding.FAILED
    return ending, f"The generator ended by itself ({process.wait()})."


class _Lines:
    """Whole lines of JSON from a pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""

    def read(self, wait_s: float) -> tuple[list[dict[str, Any]], bool]:
        """Return the lines that came within `wait_s`, and whether the other side has closed."""
        ready, _, _ = select.select([self._fd], [], [], wait_s)
        if not ready:
            return [], False
        part = os.read(self._fd, 65536)
        if not part:
            return [], True
        whole, _, self._rest = (self._rest + part).rpartition(b"\n")
        if len(self._rest) > _MOST_LINE:
            return [], True
        return [json.loads(line) for line in whole.splitlines() if line], False


def _note(held: _Held, one: dict[str, Any]) -> bool:
    """Keep one line; False where this worker no longer holds the load."""
    mine = LoadRun.objects.filter(pk=held.row.pk, token=held.token, ending="")
    lease = Now() + timedelta(seconds=LEASE_S)
    kind = one.pop("kind", "")
    if kind == "hello":
        return bool(mine.update(generator=str(one["locust"])[:40], began_at=Now(), lease_until=lease))
    if kind == "end":
        held.is_done = bool(one["done"])
        return True
    with transaction.atomic():
        if not mine.update(lease_until=lease):
            return False
        LoadSecond.objects.create(load=held.row, number=len(held.seconds), told=one)
    held.seconds.append(one)
    return True


def _why_end(held: _Held) -> tuple[RunEnding, str] | None:
    """Return why a person, the engine or this worker's own end ends the load; None where nothing does."""
    if _stopping[0] or os.getppid() != held.parent:
        return RunEnding.WORKER_LOST, "The worker was stopped."
    run = held.row.run
    if RunCommand.objects.filter(run=run, name="abort").exists():
        return RunEnding.ABORTED, "A person aborted it."
    stands = runs.standstills_for(run.scopes)
    if stands:
        return RunEnding.ABORTED, f"Everything was stopped. {stands[0].says_to_all}"[:500]
    status = type(run).objects.values_list("status", flat=True).get(pk=run.pk)
    if RunStatus(status).is_over:
        return RunEnding.ABORTED, "The run is over."
    return None


def _why_lost(held: _Held) -> tuple[RunEnding, str] | None:
    if Account.objects.filter(pk=held.row.account_id, status=AccountStatus.ARCHIVED).exists():
        return RunEnding.ABORTED, "The account was archived."
    # Whoever removed the host, or saw that its proof is gone, was told that this ends the load there.
    gone = services.hosts_lost(held.row.account_id, held.profile)
    return (RunEnding.ABORTED, gone) if gone else None


def _why_limit(held: _Held) -> tuple[RunEnding, str] | None:
    why = why_stop(held.profile.stops, held.seconds)
    return (RunEnding.STOPPED, why) if why else None


def _why_silent(has_begun: bool, silent_s: float) -> tuple[RunEnding, str] | None:
    """Return why a load ends whose generator tells nothing: no stop limit could be held then."""
    if not has_begun:
        return (
            (RunEnding.FAILED, f"The generator did not begin within {BEGINS_S:g} s.")
            if silent_s > BEGINS_S
            else None
        )
    if silent_s <= SILENT_S:
        return None
    return (
        RunEnding.STOPPED,
        f"The generator stopped answering: it told nothing for {SILENT_S:g} s, as when a site sends an answer that never ends. "
        "What was asked in this time is not counted.",
    )


def waiting() -> Sequence[int]:
    """Return the loads that no worker has begun, the oldest first."""
    rows = LoadRun.objects.filter(began_at__isnull=True, ending="").order_by("pk")
    return list(rows.values_list("pk", flat=True)[:20])
