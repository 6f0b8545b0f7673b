"""The numbers of a verdict as people read them."""

from __future__ import annotations

import pytest

from scaledown.figures import figures_of, percent
from tests.scaledown.test_verify import COMPARING, OBJECTIVE, compared, replace, verdict


def rows(numbers, *, for_customer=False):
    return {row.label: row for row in figures_of(numbers, for_customer=for_customer)}


def test_a_whole_verdict_is_shown_in_the_order_in_which_it_was_judged():
    plan = replace(COMPARING, objective=OBJECTIVE)
    found = rows(compared(plan, serving=5, probes_slow=1, probes_unknown=1).numbers)
    assert list(found) == [
        "Checks of the site",
        "Load per node",
        "Traffic at that time",
        "At the next peak, at this size",
        "home, held against answers before the first server",
    ]
    checks = found["Checks of the site"]
    assert checks.seen == "10 of 11 good, 1 too slow, 1 could not be made"
    assert checks.allowed == "10 % may fail, 0.1 % promised"
    assert checks.visible == "24 % failing"
    assert found["Load per node"].allowed == "80.0 requests/s"
    assert found["At the next peak, at this size"].seen == "80 % of the ceiling"
    last = found["home, held against answers before the first server"]
    assert last.allowed == "30 % slower"
    assert last.visible.endswith("% slower")


def test_customers_read_plainer_words():
    found = rows(compared(serving=5).numbers, for_customer=True)
    assert "Load of each server" in found
    assert found["At the next peak, at this size"].seen == "80 % of the most each can carry"


def test_what_is_no_evidence_or_too_small_is_said():
    assert "too little to tell" in rows(verdict(pool_rps=40.0, serving=5).numbers)["Load per node"].seen
    assert "too few answers" in list(rows(compared(count=4).numbers).values())[-1].seen


def test_a_verdict_of_an_earlier_release_shows_what_it_has_and_no_zeros():
    old = {"probes_ok": 10, "probes_failed": 0, "load_highest_rps": None, "share_of_peak": None}
    (only,) = figures_of(old, for_customer=False)
    assert (only.seen, only.allowed, only.visible) == ("10 of 10 good", "", "")
    assert figures_of({}, for_customer=False) == ()


@pytest.mark.parametrize(
    ("share", "signed", "text"),
    [
        (0.01, False, "1 %"),
        (0.001, False, "0.1 %"),
        (0.126, False, "13 %"),
        (1.0, False, "100 %"),
        (0.04, True, "4 % slower"),
        (-0.04, True, "4 % faster"),
        (0.0, True, "no slower"),
    ],
)
def test_shares_are_read_as_percentages(share, signed, text):
    assert percent(share, signed=signed) == text
