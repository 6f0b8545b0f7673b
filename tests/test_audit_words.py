"""The activity page speaks to people: no raw field names, no row numbers, no Python."""

from __future__ import annotations

from portal.audit.words import Line, lines, what_words


def test_what_happened_is_a_sentence_of_the_product():
    assert what_words("plan.drafted") == "Plan drawn up"
    assert what_words("run.put_back") == "Told the run to put a server back"


def test_a_code_that_nobody_named_is_spelt_out():
    assert what_words("invitation.sent_again") == "Invitation sent again"


def test_what_was_chosen_is_shown_value_by_value_with_units():
    shown = lines(
        {}, {"inputs": {"soak_s": 15, "guard_share": 0.8, "window_end": None, "is_unattended": False}}
    )
    assert shown == [
        Line("watch time", "15 s"),
        Line("turns back at", "80 %"),
        Line("may run with nobody in charge", "no"),
    ]


def test_of_changed_choices_only_those_that_changed_are_shown_before_and_after():
    shown = lines({"inputs": {"soak_s": 15, "target": 3}}, {"inputs": {"soak_s": 30, "target": 3}})
    assert shown == [Line("watch time", "30 s", "15 s")]


def test_numbers_of_rows_say_nothing_and_are_left_out_but_a_changed_one_is_told():
    assert lines({}, {"account": 7, "ref": "0b9c", "event": 3}) == []
    assert lines({"event": 3}, {"event": 4}) == [Line("event", "another than before")]


def test_a_value_that_was_taken_away_is_not_set():
    assert lines({"note": "call first"}, {"note": ""}) == [Line("note", "not set", "call first")]


def test_moments_are_readable_and_words_lose_their_underscores():
    shown = lines({}, {"starts_at": "2026-11-12T08:00:00.123+00:00", "status": "awaiting_approval"})
    assert shown == [Line("starts", "2026-11-12 08:00:00 UTC"), Line("status", "awaiting approval")]


def test_a_very_long_value_is_cut():
    (line,) = lines({}, {"reason": "x" * 10_000})
    assert len(line.after) == 301
