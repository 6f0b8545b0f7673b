"""What the portal costs over the unavoidable, twenty servers out of one pool, beside bare loops on the same provider.

The provider (`bench/provider.py`) answers in 5 ms; a node's connections are gone 1.0 s after its drain began. Shortest
drain, soak and hold are 0 in the plan, every other rule stays. *Unavoidable* are the time that a drain lasts at least and
5 ms for each call that the rules ask for one after another (`CALLS`); looks side by side are one. The bare loops do the
same job with a look every 100 or 20 ms and know no floor, no journal, no approval, no other hand, no lost answer.

Two rules of the portal take longer than those calls. No drain may end before the balancer's own time-out (1 s, the least
that it can have) plus a margin for connections kept alive. And nobody may reach a server past the balancer before it is
deleted, which two looks at its own figures some seconds apart show. The loops have no such rules; each is held against
its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from bench.provider import ANSWER_S, BALANCER, GONE_AFTER_S, OUT, STAY, address
from scaledown import silence
from scaledown.planner import KEEP_ALIVE_MARGIN_S

ROUNDS = 3
LOOPS_MS = (100, 20)
BALANCER_TIMEOUT_S = 1.0
DRAIN_S = max(GONE_AFTER_S, BALANCER_TIMEOUT_S + KEEP_ALIVE_MARGIN_S)
SILENT_S = silence.EVERY_S
LIMIT_S = 300.0
ZEROS = 3
CALLS = (
    "drain",
    "look: it drains",
    "count: none (1)",
    "count: none (2)",
    "count: none (3), with a last look at the pool",
    "remove the node",
    "look: it is out, the balancer is ready",
    "probe of the site without it (1)",
    "probe (2)",
    "probe (3): fewer tell nothing",
    "search for its addresses in every balancer, look at the server and its volumes",
    "delete the server",
    "look: not found",
    "look: not found again, nodes and probes as they should be, the next server, too",
)
"""What the rules ask for one after another, a server."""
CHANGES = ("drain", "remove the node", "delete the server")
SIDE_BY_SIDE = 3
"""What a look asks at once: balancer, server, and a count or a probe."""
LOOP_CALLS = 12
"""The same for a bare loop: no volumes, one look whether the server is gone."""


def unavoidable_s(waits_s: float, calls: int) -> float:
    """Return the seconds that one server takes at least."""
    return waits_s + calls * ANSWER_S


# --- the bare loop ---------------------------------------------------------------------------------------


class Loop:
    """A careful person's script."""

    def __init__(self, origin: str, tenant: str, every_s: float) -> None:
        self.http = httpx.Client(base_url=origin, timeout=20.0, trust_env=False)
        self.tenant, self.every_s = tenant, every_s

    def retire(self, numbers: list[int]) -> float:
        """Take the servers out one after another; return the seconds it took."""
        began = time.monotonic()
        for number in numbers:
            self._one(number)
        return time.monotonic() - began

    def _one(self, number: int) -> None:
        node = f"/lb/{self.tenant}/loadbalancers/{BALANCER}/nodes/{100 + number}"
        server = f"/nova/{self.tenant}/servers/srv-{number:02}"
        assert self._nodes()[100 + number] == "ENABLED"
        self.http.put(node, json={"node": {"condition": "DRAINING"}}).raise_for_status()
        self._until(lambda: self._nodes().get(100 + number) == "DRAINING")
        zeros = 0
        while True:
            zeros = zeros + 1 if self._open(number) == 0 else 0
            if zeros == ZEROS:
                break
            time.sleep(self.every_s)
        self.http.delete(node).raise_for_status()
        self._until(lambda: 100 + number not in self._nodes())
        self.http.get(f"/site/{self.tenant}").raise_for_status()
        held = self.http.get(
            f"/lb/{self.tenant}/loadbalancers", params={"nodeaddress": address(number)}
        ).json()["loadBalancers"]
        assert not held
        self.http.delete(server).raise_for_status()
        self._until(lambda: self.http.get(server).status_code == 404)

    def _nodes(self) -> dict[int, str]:
        said = self.http.get(f"/lb/{self.tenant}/loadbalancers/{BALANCER}").raise_for_status().json()
        return {node["id"]: node["condition"] for node in said["loadBalancer"]["nodes"]}

    def _open(self, number: int) -> int:
        text = self.http.get(f"/status/{self.tenant}/{address(number)}").raise_for_status().text
        found = re.search(r"Active connections: (\d+)", text)
        assert found is not None
        return int(found.group(1)) - 1

    def _until(self, holds: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + LIMIT_S
        while not holds():
            if time.monotonic() > ends_at:
                raise TimeoutError("The provider did not get there in time.")
            time.sleep(self.every_s)


# --- httpx alone ------------------------------------------------------------------------------------------


async def client_alone_s(origin: str, tenant: str) -> float:
    """Return the seconds that the listed calls take a server when nothing is done but to make them: the least for any
    engine on this machine that makes them with httpx."""
    path = f"/lb/{tenant}/loadbalancers/{BALANCER}"
    async with httpx.AsyncClient(base_url=origin, trust_env=False) as http:
        await asyncio.gather(*(http.get(path) for _ in range(SIDE_BY_SIDE)))
        began = time.monotonic()
        for call in CALLS * OUT:
            await asyncio.gather(*(http.get(path) for _ in range(1 if call in CHANGES else SIDE_BY_SIDE)))
        return (time.monotonic() - began) / OUT


# --- the portal ------------------------------------------------------------------------------------------


def approved_plan(origin: str, tenant: str, out: int = OUT, *, soak_s: float = 0.0) -> tuple[Any, Any]:
    """Return (plan, launch manager): a pool of its own, `out` servers of which go, approved by both sides.

    With a soak answers are held against those before the first server, too, as plans do by default.
    """
    from django.utils import timezone

    from accounts.models import Account, CloudConnection, Membership, Team, TeamMembership, User
    from capacity.models import Ceiling, CountSource, ForecastPeak, Probe, TrafficEvent
    from scaledown import records, services
    from scaledown.candidates import Choice
    from scaledown.pool import read_pool
    from scaledown.types import ImageRule

    team = Team.objects.create(name=f"Team {tenant}")
    people = {
        role: User.objects.create_user(f"{role}-{tenant}@example.com", name=role.title())
        for role in ("manager", "approver")
    }
    TeamMembership.objects.create(team=team, user=people["manager"], role="launch_manager")
    account = Account.objects.create(name=f"Shop {tenant}", number=tenant, team=team)
    Membership.objects.create(
        account=account, user=people["approver"], role="approver", granted_by=people["manager"]
    )
    connection = CloudConnection.objects.create(
        account=account,
        name="DFW",
        identity_url=f"{origin}/v2.0",
        username=f"bench{tenant}",
        api_key="key",
        tenant=tenant,
        region="DFW",
    )
    began = datetime(2026, 11, 12, 8, 0, tzinfo=UTC)
    event = TrafficEvent.objects.create(
        account=account, name="Launch", starts_at=began, ends_at=began + timedelta(days=2)
    )
    of_pool = {"account": account, "connection": connection, "balancer_id": str(BALANCER)}
    now = timezone.now() - timedelta(hours=1)
    Ceiling.objects.create(**of_pool, requests_per_s=10_000.0, source="measured", at=now)
    ForecastPeak.objects.create(**of_pool, requests_per_s=250.0, source="entered", at=now)
    Probe.objects.create(**of_pool, name="home", url=f"{origin}/site/{tenant}")
    CountSource.objects.create(
        **of_pool, kind="nginx_stub_status", url_template=f"{origin}/status/{tenant}/{{address}}"
    )
    entries = [
        records.AddedServer(f"srv-{number:02}", f"web-{number:02}", began + timedelta(minutes=number))
        for number in range(STAY + 1, STAY + out + 1)
    ]
    records.record_scale_up(event=event, connection=connection, actor=people["manager"], entries=entries)
    choice = Choice(
        balancer_ids=(str(BALANCER),),
        target=STAY + OUT - out,
        target_reason="Two carried it before the launch.",
        floor=STAY,
        min_drain_s=0.0,
        drain_limit_s=60.0,
        soak_s=soak_s or 0.001,  # a plan has one
        pause_between_s=0.0,
        stop_s=0.0,
        images=ImageRule.NONE,
        slower_allowed=0.3 if soak_s else None,
        no_vital_reason="Nothing is sold here.",
        reason="The launch is over.",
    )
    plan = services.draft_plan(
        account=account,
        connection=connection,
        actor=people["manager"],
        title="Measured",
        choice=choice,
        event=event,
    )
    pool = read_pool(connection, choice.balancer_ids)
    plan = services.submit_plan(plan, actor=people["manager"], pool=pool)
    plan = services.approve_plan(plan, actor=people["approver"], seen_digest=plan.digest)
    return plan, people["manager"]


def _portal_s(origin: str, tenant: str) -> tuple[float, dict[str, float]]:
    """Return the seconds from the first drain to the end of one run, and how often it was claimed."""
    from django.db.models import Min

    from portal.runs.models import Intent, Run
    from scaledown import services

    plan, manager = approved_plan(origin, tenant)
    run = services.start_run(plan, actor=manager, seen_digest=plan.digest)
    ends_at = time.monotonic() + LIMIT_S
    while run.ended_at is None:
        if time.monotonic() > ends_at or run.status == "halted":
            raise TimeoutError(f"The run is {run.status}: {run.halt_says or run.progress.get('says')}")
        time.sleep(0.25)
        run = Run.objects.get(pk=run.pk)
    if run.status != "completed":
        raise AssertionError(f"The run is {run.status}.")
    first = Intent.objects.filter(run=run).aggregate(first=Min("noted_at"))["first"]
    return (run.ended_at - first).total_seconds(), {"claims": float(run.token)}


@contextmanager
def process(*argv: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run Python with these arguments for as long as the block lasts."""
    root = Path(__file__).resolve().parent.parent
    child = subprocess.Popen(
        [sys.executable, *argv], env={**os.environ, **env}, cwd=root, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)


@contextmanager
def ticking(place: str, name: str, children: int) -> Iterator[subprocess.Popen[str]]:
    """Run a worker of ticks with so many children; the block begins when it takes work."""
    flag = Path(place) / name
    what = (
        f"-A portal.celery worker -Q ticks -c {children} -l ERROR -n {name}@bench -I portal.embedded.announce"
    )
    quiet = {"STEADY_READY_FILE": str(flag), "PYTHONWARNINGS": "ignore", "PROCESS_NAME": "ticks"}
    argv = ("-m", "celery", "-q", *what.split(), "--without-gossip", "--without-mingle")
    with process(*argv, env=quiet) as worker:
        while not flag.exists():
            time.sleep(0.05)
        yield worker


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _measure(rounds: int) -> dict[str, float]:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    os.environ.update(EGRESS_ALLOW=f"127.0.0.1:{port}", CLOUD_RATE_FACTOR="100000", LOG_LEVEL="ERROR")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    numbers = list(range(STAY + OUT, STAY, -1))
    took: dict[str, list[float]] = {"portal": [], **{f"loop_{ms}ms": [] for ms in LOOPS_MS}}
    claims: list[float] = []
    with (
        tempfile.TemporaryDirectory() as place,
        process("-m", "bench.provider", str(port), env={}) as provider,
    ):
        assert provider.stdout is not None
        provider.stdout.readline()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with ticking(place, "one", 2):
            for turn in range(rounds):
                seconds, more = _portal_s(origin, f"{1000 + turn}")
                took["portal"].append(seconds)
                claims.append(more["claims"])
                for ms in LOOPS_MS:
                    loop = Loop(origin, f"{ms}{turn:03}", ms / 1000)
                    took[f"loop_{ms}ms"].append(loop.retire(numbers))
        alone = statistics.median(
            asyncio.run(client_alone_s(origin, f"{9000 + turn}")) for turn in range(ROUNDS)
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        truth = httpx.get(f"{origin}/truth", trust_env=False).json()
    if truth["cut"] or truth["wrong"] or truth["twice"] or truth["deleted"] != rounds * OUT * len(took):
        raise AssertionError(f"Not as it must be: {truth}")
    for number, call in enumerate(CALLS, start=1):
        print(f"unavoidable, call {number}: {call}")
    print(f"unavoidable, by rule: a drain of {DRAIN_S:g} s, {SILENT_S:g} s of silence before a deletion")
    ours = unavoidable_s(DRAIN_S + SILENT_S, len(CALLS))
    theirs = unavoidable_s(GONE_AFTER_S, LOOP_CALLS)
    found = {
        "speed_servers": float(OUT),
        "speed_unavoidable_s_per_server": round(ours, 3),
        "speed_loop_unavoidable_s_per_server": round(theirs, 3),
        "speed_claims_per_server": round(statistics.median(claims) / OUT, 1),
        "speed_worker_cpu_s_per_run": round(
            (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / rounds, 2
        ),
    }
    over_alone = alone - unavoidable_s(0.0, len(CALLS))
    found["speed_client_alone_over_ms_per_server"] = round(over_alone * 1000, 1)
    for name, times in took.items():
        least = ours if name == "portal" else theirs
        over = statistics.median(times) / OUT - least
        found[f"speed_{name}_over_ms_per_server"] = round(over * 1000, 1)
    found["speed_portal_over_loop_100ms"] = round(
        found["speed_portal_over_ms_per_server"] / found["speed_loop_100ms_over_ms_per_server"], 3
    )
    return found


def main() -> None:
    """Print what is unavoidable, then the figures as one line of JSON."""
    print(json.dumps(_measure(int(os.environ.get("SPEED_ROUNDS", ROUNDS)))))


if __name__ == "__main__":
    main()
