"""A probe passes, fails with a sentence, or could not look; it never raises and never passes by mistake."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from capacity.probes import ProbeSpec, run_probe
from portal import egress
from portal.errors import ProviderFailed, Refused, TryLater

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SPEC = ProbeSpec("Front page", "https://shop.example.com/", must_contain="Basket", latency_limit_ms=500)


def probe(spec: ProbeSpec = SPEC, **more):
    seen = {"status": 200, "headers": {}, "body": b"<a>Basket</a>", "latency_ms": 120.0, **more}

    async def fetch(url: str, **how) -> egress.Response:
        assert (url, how["method"], how["timeout_s"]) == (spec.url, spec.method, spec.timeout_s)
        return egress.Response(**seen)

    return asyncio.run(run_probe(spec, AT, fetch=fetch))


def test_a_good_answer_passes_with_its_figures():
    result = probe()
    assert (result.ok, result.status, result.latency_ms, result.problem) == (True, 200, 120.0, None)
    assert (result.name, result.observed_at) == ("Front page", AT)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"status": 503}, "Front page answered with status 503; expected was 200 to 299."),
        ({"status": 302}, "Front page answered with status 302; expected was 200 to 299."),
        ({"body": b"Sorry"}, "Front page answered without the text that must be there."),
        ({"body": b""}, "Front page answered without the text that must be there."),
        ({"latency_ms": 500.1}, "Front page took 500 ms; at most 500 ms is allowed."),
        (
            {"status": 500, "latency_ms": 900.0},
            "Front page answered with status 500; expected was 200 to 299.",
        ),
    ],
)
def test_an_answer_that_is_not_as_expected_fails_with_a_sentence(answer, says):
    result = probe(**answer)
    assert result.ok is False
    assert result.problem == says
    assert result.status == answer.get("status", 200)


def test_the_limits_themselves_still_pass():
    assert probe(latency_ms=500.0).ok is True
    narrow = ProbeSpec(
        "Gone", "https://shop.example.com/old", expected_status_low=410, expected_status_high=410
    )
    assert probe(narrow, status=410).ok is True
    assert probe(narrow, status=404).problem == "Gone answered with status 404; expected was 410."


@pytest.mark.parametrize(
    ("trouble", "ok"),
    [
        (TryLater("No complete answer.", after_s=5, code="timeout"), False),
        (TryLater("No connection.", after_s=5, code="unreachable"), False),
        (ProviderFailed("No trusted certificate.", code="tls"), False),
        (Refused("A closed address.", code="closed_address"), None),
    ],
)
def test_an_error_is_a_failed_probe_and_a_closed_address_is_no_look_at_all(trouble, ok):
    async def fetch(url: str, **how):
        raise trouble

    result = asyncio.run(run_probe(SPEC, AT, fetch=fetch))
    assert result.ok is ok
    assert (result.status, result.latency_ms) == (None, None)
    assert result.problem == trouble.says
