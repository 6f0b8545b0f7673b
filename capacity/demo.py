"""A benchmark for the demo: a step test that Locust might have written, with the simulator's own ceiling of 90 a server."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from capacity.benchmarks.services import take_in

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection, User

NODES = 6
MOST_RPS = 90.0 * NODES
STEP_S, EVERY_S = 60, 5
USERS = (30, 60, 90, 120, 150, 180, 210)
ANSWERS_MS = 120.0
THINKS_MS = 200.0
_HEAD = (
    "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%,"
    "Total Request Count,Total Failure Count,Total Median Response Time,Total Average Response Time,"
    "Total Min Response Time,Total Max Response Time,Total Average Content Size"
)
_SPREAD = (1.0, 1.1, 1.2, 1.3, 1.6, 2.0, 2.6, 3.2, 5.0, 6.0, 7.0)


def step_test(begins: datetime) -> bytes:
    """Return a Locust history of users who think for 200 ms: the rate rises until six servers carry no more.

    Beyond that the answers take longer (users = rate x (answer + thinking), Little's law) and some fail.
    """
    lines, requests, failures, slowest = [_HEAD], 0, 0, 0.0
    at = begins
    for users in USERS:
        wanted = users / ((ANSWERS_MS + THINKS_MS) / 1000)
        rate = min(wanted, MOST_RPS)
        median = max(ANSWERS_MS, users / rate * 1000 - THINKS_MS)
        failing = max(0.0, wanted - MOST_RPS) * 0.02
        for _ in range(STEP_S // EVERY_S):
            at += timedelta(seconds=EVERY_S)
            requests += round(rate * EVERY_S)
            failures += round(failing * EVERY_S)
            slow = [median * factor for factor in _SPREAD]
            slowest = max(slowest, slow[-1])
            lines.append(
                f"{int(at.timestamp())},{users},,Aggregated,{rate:.6f},{failing:.6f},"
                + ",".join(f"{value:.0f}" for value in slow)
                + f",{requests},{failures},{ANSWERS_MS:.0f},{ANSWERS_MS * 1.2:.1f},31.0,{slowest:.1f},4210.0"
            )
    return ("\n".join(lines) + "\n").encode()


def load(account: Account, connection: CloudConnection, balancer_id: str, *, actor: User) -> None:
    """Take the benchmark in once; another time it is there."""
    if account.benchmarks.exists():
        return
    begins = (timezone.now() - timedelta(days=18)).replace(hour=6, minute=30, second=0, microsecond=0)
    take_in(
        account,
        step_test(begins),
        file_name="steps_stats_history.csv",
        title="Six servers, step by step",
        actor=actor,
        connection=connection,
        balancer_id=balancer_id,
        node_count=NODES,
        flavor="general1-4",
        software="shop 4.12",
        mix="70 % cached, 25 % search, 5 % checkout",
        reason="What a server carries before the autumn launch.",
    )
