"""Two versions of a scenario side by side."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as some

from drills.scenarios import comparing
from drills.scenarios.comparing import Piece, differences
from drills.scenarios.types import Hypothesis
from tests.drills.scenarios.cases import INJECT, SMALL, TALK, with_step


def labels(older, newer):
    return [one.label for one in differences(older, newer)]


def said(older, newer):
    return [piece for one in differences(older, newer) for line in one.lines for piece in line.pieces]


def test_a_version_does_not_differ_from_itself():
    assert differences(SMALL, SMALL) == []


def test_a_word_that_was_changed_is_shown_within_its_sentence():
    newer = replace(SMALL, purpose="Does the shop stand it?")
    assert said(SMALL, newer) == [
        Piece("Does the "),
        Piece("site", is_gone=True),
        Piece("shop", is_new=True),
        Piece(" stand it?"),
    ]


def test_a_sentence_that_is_new_altogether_stands_whole_beside_the_old_one():
    newer = replace(SMALL, questions=("Which rows matter?",))
    assert [(piece.text, piece.is_gone, piece.is_new) for piece in said(SMALL, newer)] == [
        ("Who warms it up?", True, False),
        (" ", False, False),
        ("Which rows matter?", False, True),
    ]


def test_lines_that_came_and_went_are_marked_and_the_others_are_not():
    newer = replace(SMALL, risks=("It is slow.",), steps=(TALK, INJECT, replace(TALK, title="Talk")))
    found = {one.label: one for one in differences(SMALL, newer)}
    assert list(found) == ["Risks", "Script"]
    script = found["Script"].lines
    assert [line.is_same for line in script] == [True] * 6 + [False] * 3
    assert script[6].pieces == (Piece("Talk (talked through, facilitator, 2 minutes)", is_new=True),)


def test_every_field_is_compared():
    assert labels(SMALL, replace(SMALL, fewest_targets=2)) == ["What is hit"]
    assert labels(SMALL, with_step(injects=True)) == ["Script"]
    assert labels(SMALL, with_step(expected_s=121)) == ["Script"]
    assert labels(SMALL, replace(SMALL, hypothesis=Hypothesis(error_ratio=0.02))) == ["Hypothesis"]
    assert labels(SMALL, replace(SMALL, repeat_after_failure_days=20)) == ["Next drill"]


lines = some.lists(some.text("ab \n", max_size=20), max_size=4).map(tuple)


@given(lines, lines)
def test_both_versions_can_be_read_off_the_difference(before, after):
    found = differences(replace(SMALL, proves=before), replace(SMALL, proves=after))
    if before == after:
        assert found == []
        return
    pieces = [line.pieces for line in found[0].lines]
    older = "".join(piece.text for line in pieces for piece in line if not piece.is_new)
    newer = "".join(piece.text for line in pieces for piece in line if not piece.is_gone)
    assert older.replace(" ", "") == "".join(before).replace(" ", "")
    assert newer.replace(" ", "") == "".join(after).replace(" ", "")


def test_two_long_versions_are_compared_in_no_time():
    long = [("a " * 30 + f"{place % 7} " * 30 + "\n") * 16 for place in range(30)]
    older = replace(SMALL, steps=(INJECT, *(replace(TALK, text=text) for text in long)))
    newer = replace(SMALL, steps=(INJECT, *(replace(TALK, text=text.replace("a", "b")) for text in long)))
    begun = time.process_time()
    assert labels(older, newer) == ["Script"]
    assert time.process_time() - begun < 5
    assert comparing.MOST_PAIRS <= 3_000_000
