"""What was written for launch managers alone, as customers read it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from portal.runs.plain import for_reader, plain

ROOT = Path(__file__).resolve().parents[2]
OURS = re.compile(
    r"\b(floor|ceiling|headroom|soak|halt|halts|halted|abort\w*|roll(?:ed|ing|s)?[ -]back|nodes?|probes?|verdicts?|"
    r"drain|drains|drained|draining)\b"
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("The run is being aborted.", "The run is being stopped here."),
        ("The run is being rolled back already.", "The run is being undone already."),
        ("Only 2 servers serve; the floor is 3.", "Only 2 servers serve; it is never fewer than 3."),
        (
            "Confirm that it is right as it is now, or abort.",
            "Confirm that it is right as it is now, or stop it.",
        ),
        (
            "The run would halt again at once. Probes fail: home.",
            "The run would pause for safety again at once. Checks fail: home.",
        ),
        ("Lena asked: roll back.", "Lena asked: undo."),
        ("Drain web-06 on web.", "web-06 takes no new connections on web."),
        ("web-06 is put back into the pool.", "web-06 is put back into the pool."),
    ],
)
def test_words_of_ours_become_theirs(ours, theirs):
    assert plain(ours) == theirs
    assert plain(theirs) == theirs


@pytest.mark.parametrize(
    "name", ["node-3", "node3", "probe.example.com", "10.0.0.1/nodes", "my_drain", "soak-1"]
)
def test_a_name_that_holds_such_a_word_stays_as_it_is(name):
    assert plain(f"{name} serves again; look at {name}.") == f"{name} serves again; look at {name}."


def test_a_sentence_of_their_own_is_preferred():
    assert for_reader("It halted.", "Paused for safety.", for_customer=True) == "Paused for safety."
    assert for_reader("It halted.", "", for_customer=True) == "It paused for safety."
    assert for_reader("It halted.", "Paused for safety.", for_customer=False) == "It halted."


def answers():
    """Yield each text that a command of a scale-down is answered with, as far as it stands in the source."""
    for answer in ast.walk(ast.parse((ROOT / "scaledown/commands.py").read_text())):
        if isinstance(answer, ast.Return):
            for part in ast.walk(answer):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                    yield part.value


def test_no_answer_to_a_command_reaches_a_customer_in_our_words():
    found = sorted(set(answers()))
    assert len(found) > 40
    left = {says: plain(says) for says in found if OURS.search(plain(says))}
    assert not left
