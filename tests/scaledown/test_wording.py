"""Both readers get a sentence for everything that happens, and the customer's is the plainer one."""

from __future__ import annotations

import inspect
import re
from datetime import datetime

import pytest

from portal.cloud.types import BalancerStatus
from portal.runs.types import RunStatus
from scaledown import wording
from scaledown.types import Phase
from scaledown.wording import Words
from tests.scaledown.machine_cases import START, Desk, a_plan

VALUES = {
    BalancerStatus: BalancerStatus.ERROR,
    bool: True,
    str: "web-06",
    int: 3,
    float: 40.0,
    datetime: START,
    Words: Words("Orders fell by half.", "Your orders fell by half."),
}
OURS = re.compile(r"\b(floor|ceiling|soak|halt|node|DRAINING|ENABLED|digest|probe|lease)\b")


def _argument(name, annotation):
    for kind, value in VALUES.items():
        if annotation.startswith(kind.__name__):
            return value
    raise AssertionError(f"{name}: {annotation}")


SENTENCES = {
    name: function
    for name, function in inspect.getmembers(wording, inspect.isfunction)
    if inspect.signature(function).return_annotation == "Words" and function.__module__ == wording.__name__
}


@pytest.mark.parametrize("name", SENTENCES)
def test_every_sentence_is_said_to_both_readers_in_their_own_words(name):
    function = SENTENCES[name]
    args = {
        parameter.name: _argument(parameter.name, parameter.annotation)
        for parameter in inspect.signature(function).parameters.values()
    }
    words = function(**args)
    assert isinstance(words, Words)
    assert words.says.strip()
    assert words.customer_says.rstrip().endswith("."), words.customer_says
    assert not OURS.search(words.customer_says), words.customer_says
    assert "visitor" not in words.customer_says


def test_the_customer_is_never_told_that_the_site_is_up_without_a_look():
    for name, function in SENTENCES.items():
        assert "site is up" not in inspect.getsource(function), name


def test_one_connection_is_not_connections():
    assert wording.count_of(1) == "1 connection"
    assert wording.count_of(14) == "14 connections"
    assert "14 connections are finishing" in wording.going_down("web-07", 14, "measured").customer_says


def test_a_balancer_at_fault_is_not_said_to_be_applying_a_change():
    assert "applying" in wording.balancer_waits("web", BalancerStatus.PENDING_UPDATE).customer_says
    assert "takes no changes" in wording.balancer_waits("web", BalancerStatus.ERROR).customer_says


def test_one_server_is_not_servers():
    assert wording.aborted(1).says == "Aborted: 1 server was put back; nothing more is changed."
    assert wording.completed(1, 5).customer_says.startswith("Finished: 1 server is out of service")
    assert "1 server comes out" in wording.started(1, 5).says
    assert wording.aborted(0).says.startswith("Aborted: 0 servers were")


def test_without_a_count_the_customer_reads_how_long_we_wait_and_why():
    words = wording.drain_unknown("web-07", "nothing counts them here", 600.0)
    assert "We wait at most 10 min" in words.customer_says
    assert "nothing tells us how many" in words.customer_says


@pytest.mark.parametrize(("value", "text"), [(0.4, "0 s"), (40, "40 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations_read_as_people_say_them(value, text):
    assert wording.seconds(value) == text


def test_each_step_of_a_whole_run_says_what_is_true_to_both_readers():
    desk = Desk(a_plan(hold_s=20.0))
    phases = set()
    while desk.status is not RunStatus.COMPLETED:
        desk.look()
        assert desk.progress.says
        assert desk.progress.customer_says
        for way in desk.progress.servers:
            phases.add(way.phase)
            assert way.says, way.phase
            assert way.customer_says, way.phase
    assert phases >= {Phase.DRAINING, Phase.VERIFYING, Phase.HELD, Phase.DELETING, Phase.RETIRED}
    assert all(entry.customer_says for entry in desk.journal)


@pytest.mark.parametrize(("good", "said"), [(0, "0 probes good"), (1, "1 probe good"), (2, "2 probes good")])
def test_one_probe_is_no_probes(good, said):
    assert said in wording.watching("web-04", good, 0, 30.0).says
