"""Each reason to halt: it has a rank, a sentence of its own in both wordings, and a button that leads on, safe ones first."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import pytest

from portal.runs import rules
from portal.runs.types import HaltRank, RunStatus
from scaledown.asking import Halted, question_of
from scaledown.offers import Situation, most_sensible_first, offers
from scaledown.turn import Turn
from scaledown.types import Phase
from scaledown.wording import Words
from tests.scaledown.halts import HALTS, ROOT, Codes, in_phase

CODES = Codes()
GUIDE = Path(ROOT / "docs/api.md").read_text().splitlines()
RANKS = {
    "in danger": HaltRank.SITE_IN_DANGER,
    "decide today": HaltRank.DECIDE_TODAY,
    "safe": HaltRank.SAFE_WAITING,
}
MAY_DIFFER = {
    "floor_broken": "in danger where no server serves, or probes fail as well",
    "start_without_answer": "in danger where the site needs the server",
    "traffic_not_keeping_up": "decide today where the figures alone are worse",
    "cannot_put_back": "in danger where the provider refuses it, or shows no effect",
}
"""Codes with more than one rank: the row of the guide names both."""
FALLBACKS = {says for pair in rules._BECAME.values() for says in pair}


@lru_cache
def halted(code):
    """The run as it is when a person comes to it: some looks later."""
    desk = HALTS[code]()
    assert desk.halt.code == code
    halt = desk.halt
    for _ in range(3):
        desk.look()
    assert desk.status is RunStatus.HALTED
    if desk.halt.code != code:
        desk.halt = halt
    return desk


def buttons(desk):
    situation = Situation(desk.status, desk.plan, desk.progress)
    return most_sensible_first(offers(situation), desk.halt.next_commands)


def asks(desk):
    at = desk.progress.stopped_at
    return question_of(desk.progress, Halted(desk.halt.rank, desk.now, at=at, in_charge="Lena"))


def guide():
    """Return the rows of the table in docs/api.md: the codes, and the ranks that they name."""
    begins = GUIDE.index("| `halt_code` | rank | why |")
    for line in GUIDE[begins + 2 :]:
        if not line.startswith("|"):
            return
        codes, ranks, why = (part.strip() for part in line.strip("|").split("|"))
        assert why
        yield {code.strip(" `") for code in codes.split(",")}, {r.strip() for r in re.split(",| or ", ranks)}


def test_there_is_a_run_for_every_code_in_the_source_and_no_other():
    assert set(HALTS) == CODES.halting()
    assert {
        "drain_limit",
        "in_doubt",
        "cannot_look",
        "autoscaled",
        "traffic_not_keeping_up",
    } <= CODES.halting()
    assert {"balancer", "sending", "delete_no_search", "stop_floor", "server_busy"} <= CODES.waiting()


def test_the_guide_lists_every_code_with_its_rank_and_no_other():
    rows = list(guide())
    listed = [code for codes, _ in rows for code in codes]
    assert sorted(listed) == sorted(HALTS)
    for codes, ranks in rows:
        named = {RANKS[rank] for rank in ranks}
        seen = {halted(code).halt.rank for code in codes}
        assert seen <= named, codes
        assert named == seen or codes & set(MAY_DIFFER), (codes, ranks)


@pytest.mark.parametrize("code", sorted(HALTS))
def test_it_is_said_to_both_readers_in_sentences_of_their_own(code):
    desk = halted(code)
    halt = desk.halt
    assert isinstance(halt.rank, HaltRank)
    for says in (halt.says, halt.customer_says):
        assert says not in FALLBACKS
        assert says.endswith(".")
        assert len(says.split()) > 4
        assert code not in says
        assert "_" not in says, "the name of a code"
        assert "srv-" not in says.replace("new server", "")
    assert halt.says != halt.customer_says
    assert "DRAINING" not in halt.customer_says
    assert "node" not in halt.customer_says.lower()


@pytest.mark.parametrize("code", sorted(HALTS))
def test_it_promises_nothing_that_the_question_or_the_buttons_say_otherwise(code):
    desk = halted(code)
    question, found = asks(desk), buttons(desk)
    names = {offer.name for offer in found}
    goes_back = [
        way for way in desk.progress.servers if way.put_back is not None or way.phase is Phase.RESTORED
    ]
    for says, otherwise in (
        (desk.halt.says, question.otherwise.says),
        (desk.halt.customer_says, question.otherwise.customer_says),
    ):
        said = says.lower()
        if "can be put back." in said or "can be put back;" in said:
            assert "put_back" in names
        if "put back by itself" in said or "putting back" in said:
            assert goes_back
        if "without an answer it is put back" in said:
            assert question.until is not None
        if "nothing is deleted" in said or "was not deleted" in said or "is not deleted" in said:
            assert "Nothing is deleted." in otherwise
        if "we try again" in said or "nothing is sent" in said:
            assert goes_back, "nothing is tried again while it is halted"
        if "not started" in said:
            assert not desk.sent
        assert "_" not in otherwise
    if question.until is not None:
        assert question.until > desk.now
    if desk.halt.rank is not HaltRank.SITE_IN_DANGER:
        assert "we call you" not in desk.halt.customer_says.lower()


STEPS_BACK = {"balancer_gone", "cannot_recreate", "pool_changed"}
"""Of the whole run only its end is named as safe: the sentence says what a person does first."""


@pytest.mark.parametrize("code", sorted(HALTS))
def test_something_leads_on_and_what_is_safe_comes_first(code):
    desk = halted(code)
    found = buttons(desk)
    assert found
    first = found[0]
    leads_on = {"resume", "wait", "finish_here", "put_back", "skip", "accept"} & {
        offer.name for offer in found
    }
    if code in STEPS_BACK:
        assert desk.halt.next_commands[-1] == "abort"
    else:
        assert leads_on, "only its end is offered"
        assert not first.is_dangerous
        assert first.name in desk.halt.next_commands or not leads_on & set(desk.halt.next_commands)
    dangers = [offer.is_dangerous for offer in found]
    assert dangers == sorted(dangers), "a dangerous one stands before a safe one"
    assert all(offer.leaves and offer.customer_leaves for offer in found)
    # Where it cannot go on, the page says why instead of the button.
    assert "resume" in {offer.name for offer in found} or desk.progress.cannot.get("resume")
    # What a halt names as safe is no dead end: it is offered, or the reason why not stands there.
    cannot = {key.split()[0] for key in desk.progress.cannot}
    for name in desk.halt.next_commands:
        assert name in {offer.name for offer in found} | cannot | {"finish_here"}, name


def test_the_first_button_at_the_drain_limit_cuts_nobody():
    assert [offer.name for offer in buttons(halted("drain_limit"))][:2] == ["wait", "put_back"]
    assert buttons(halted("delete_forbidden"))[0].name == "put_back"
    assert buttons(halted("peak_missed"))[0].name == "finish_here"
    assert [offer.name for offer in buttons(halted("image_failed"))][:2] == ["retry", "resume"]


@pytest.mark.parametrize("code", sorted(CODES.waiting()))
def test_a_wait_that_is_in_vain_halts_with_its_own_sentence(code):
    desk = in_phase(Phase.DRAINING)
    turn = Turn(desk.plan, desk.progress, desk.observation(), desk.people(), desk.facts(), desk.now)
    for _ in range(40):
        turn = Turn(turn.plan, turn.progress, turn.observation, turn.people, turn.facts, turn.after(60.0))
        turn.wait(code, Words("web-06 waits for something.", "Something is waited for."))
        if turn.new_halt is not None:
            break
    halt = turn.new_halt
    assert halt.code == f"waited_for_{code}"
    assert halt.says == "Waited 31 min in vain. web-06 waits for something."
    assert "_" not in halt.says + halt.customer_says
    assert halt.customer_says not in FALLBACKS
    desk.progress, desk.status, desk.halt = turn.progress, RunStatus.HALTED, halt
    desk.look()
    assert not buttons(desk)[0].is_dangerous
    assert "resume" in {offer.name for offer in buttons(desk)}
    assert "web-06 is put back into service" in asks(desk).otherwise.says
