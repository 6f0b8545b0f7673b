"""A status page that counts no requests: nothing of what servers carry is known, and nothing waits for it for ever."""

from __future__ import annotations

import pytest

from capacity.counts import PARSERS, CountKind
from portal.runs.types import RunStatus
from scaledown import looks
from scaledown.types import COUNTS_REQUESTS, Phase
from tests.scaledown.machine_cases import Desk, a_plan

PAGES = {
    CountKind.NGINX_STUB_STATUS: "Active connections: 3 \nserver accepts handled requests\n 9 9 40 \n"
    "Reading: 0 Writing: 1 Waiting: 2 \n",
    CountKind.APACHE_STATUS: "Total Accesses: 40\nBusyWorkers: 1\nIdleWorkers: 9\nScoreboard: W_________\n",
    CountKind.PLAIN_NUMBER: "3",
}


@pytest.mark.parametrize("kind", CountKind)
def test_which_pages_count_requests(kind):
    counted = PARSERS[kind](PAGES[kind])
    assert counted.connections is not None
    assert (counted.requests_total is not None) is (kind in COUNTS_REQUESTS)


@pytest.mark.parametrize("guard", [{"ceiling_rps": 100.0}, {"fine_load_rps": 80.0}])
def test_a_run_whose_servers_answer_one_number_goes_its_way(guard):
    desk = Desk(a_plan(floor=2, count_kind="plain_number", **guard))
    desk.requests = {}
    assert not looks.guards_load(desk.plan)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=5000)
    assert {desk.phase(number) for number in (6, 5)} == {Phase.RETIRED}


@pytest.mark.parametrize(
    ("kind", "hint"), [("apache_status", "“ExtendedStatus On”"), ("nginx_stub_status", "web-03.")]
)
def test_whoever_waits_for_a_counter_that_is_not_there_reads_where_and_what_to_do(kind, hint):
    desk = Desk(a_plan(floor=2, count_kind=kind, ceiling_rps=100.0))
    desk.requests = dict.fromkeys(list(desk.servers)[:-1], 100)
    desk.until(lambda: desk.status is RunStatus.HALTED, most=2000)
    assert desk.halt.code == "waited_for_load"
    assert "no requests were counted on web-03" in desk.halt.says
    assert hint in desk.halt.says
