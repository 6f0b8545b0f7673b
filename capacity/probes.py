"""A probe: one HTTP look at the customer's site, held against what was expected.

An error or a time-out is a failed probe with a sentence: the site was asked and did not answer as it should.
`ok=None` means that the portal could not look at all (the address is one that it does not ask).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from portal import egress
from portal.errors import ProviderFailed, Refused, TryLater

Fetch = Callable[..., Awaitable[egress.Response]]

MAX_BODY_BYTES = 512 * 1024


@dataclass(frozen=True)
class ProbeSpec:
    """What to ask and what a good answer is.

    Status inside `expected_status_low` to `expected_status_high` (both included), the text `must_contain` in
    the first 512 KiB of the body, the whole answer within `latency_limit_ms`; the last two only where given.
    `timeout_s` is the total time. `networks` are those that the operator opened for the account whose probe it is.
    """

    name: str
    url: str
    method: str = "GET"
    expected_status_low: int = 200
    expected_status_high: int = 299
    must_contain: str | None = None
    timeout_s: float = 5.0
    latency_limit_ms: float | None = None
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProbeResult:
    """What one probe saw. `status` and `latency_ms` are None where nothing was answered.

    `ok` None: the portal could not look, which says nothing about the site. `problem` is a sentence unless
    `ok` is True.
    """

    name: str
    ok: bool | None
    status: int | None
    latency_ms: float | None
    observed_at: datetime
    problem: str | None = None
    is_slow: bool = False
    """The answer was right and took longer than allowed, nothing else."""


async def run_probe(spec: ProbeSpec, at: datetime, *, fetch: Fetch = egress.fetch) -> ProbeResult:
    """Ask once and judge. `at` is the moment of asking. Never raises the four kinds of trouble."""

    def result(
        ok: bool | None,
        problem: str | None,
        status: int | None = None,
        latency_ms: float | None = None,
        *,
        is_slow: bool = False,
    ) -> ProbeResult:
        return ProbeResult(spec.name, ok, status, latency_ms, at, problem, is_slow)

    try:
        answer = await fetch(
            spec.url,
            method=spec.method,
            timeout_s=spec.timeout_s,
            max_bytes=MAX_BODY_BYTES,
            rules=egress.rules_from_settings(spec.networks),
            is_timed=True,
        )
    except Refused as closed:
        return result(None, closed.says)
    except (TryLater, ProviderFailed) as failure:
        return result(False, failure.says)
    problem = _problem(spec, answer)
    slow = None if problem is not None else _too_slow(spec, answer)
    return result(
        problem is None and slow is None,
        problem or slow,
        status=answer.status,
        latency_ms=answer.latency_ms,
        is_slow=slow is not None,
    )


def _problem(spec: ProbeSpec, answer: egress.Response) -> str | None:
    """Return what is wrong with an answer, but for its time, as a sentence; None if nothing is. Pure."""
    low, high = spec.expected_status_low, spec.expected_status_high
    if not low <= answer.status <= high:
        expected = str(low) if low == high else f"{low} to {high}"
        return f"{spec.name} answered with status {answer.status}; expected was {expected}."
    if spec.must_contain and spec.must_contain not in answer.text:
        return f"{spec.name} answered without the text that must be there."
    return None


def _too_slow(spec: ProbeSpec, answer: egress.Response) -> str | None:
    if spec.latency_limit_ms is not None and answer.latency_ms > spec.latency_limit_ms:
        return (
            f"{spec.name} took {answer.latency_ms:.0f} ms; at most {spec.latency_limit_ms:.0f} ms is allowed."
        )
    return None
