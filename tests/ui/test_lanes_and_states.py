"""Each state has a word, plainer words for customers, a tone and a shape; a lane shows where a server is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from portal.ui.icons import SHAPES
from portal.ui.lanes import Lane, steps_of
from portal.ui.states import LOOKS, look_of
from portal.ui.views import FAMILIES


def test_every_state_has_words_a_tone_and_a_shape_that_exists():
    for key, look in LOOKS.items():
        assert look.word, key
        assert look.plain, key
        assert look.tone in {"good", "move", "wait", "bad", "idle"}, key
        assert look.shape in SHAPES, key


def test_the_style_guide_shows_every_state():
    assert {key for _, keys in FAMILIES for key in keys} == set(LOOKS)


def test_within_one_family_states_of_different_tone_differ_in_shape():
    for family, keys in FAMILIES:
        tones_of_shape: dict[str, set[str]] = {}
        for key in keys:
            tones_of_shape.setdefault(LOOKS[key].shape, set()).add(LOOKS[key].tone)
        mixed = {shape for shape, tones in tones_of_shape.items() if len(tones) > 1}
        assert not mixed, (family, mixed)


def test_a_customer_reads_paused_for_safety_where_a_run_has_halted():
    assert look_of("halted").plain == "paused for safety"
    assert look_of("restored").plain == "back in service"
    assert look_of("safe_waiting").plain == "safe, waits for an answer"


def test_a_state_that_is_not_listed_is_shown_as_its_own_word():
    assert look_of("waiting_for_paint").word == "waiting for paint"


def states_of(phase: str, **options) -> str:
    return " ".join(step.state for step in steps_of(phase, **options))


@pytest.mark.parametrize(
    ("phase", "options", "expected"),
    [
        ("queued", {}, "waiting todo todo todo todo todo todo todo"),
        ("draining", {}, "done current todo todo todo todo todo todo"),
        ("held", {}, "done done done done waiting todo todo todo"),
        ("verifying", {"halted": True}, "done done done failed todo todo todo todo"),
        ("deleting", {"with_hold": False}, "done done done done current todo todo"),
        ("retired", {}, "done done done done done done done done"),
        ("restored", {"left_at": "verifying"}, "done done done skipped skipped skipped skipped skipped"),
        ("skipped", {}, "skipped skipped skipped skipped skipped skipped skipped skipped"),
    ],
)
def test_the_track_shows_what_is_behind_and_what_is_ahead(phase, options, expected):
    assert states_of(phase, **options) == expected


def test_a_held_server_is_not_shown_as_in_flight():
    assert not Lane(ref="a", name="web-1", phase="held").is_now
    assert Lane(ref="a", name="web-1", phase="draining").is_now


def test_a_draining_server_without_a_count_still_shows_that_none_is_known():
    assert Lane(ref="a", name="web-1", phase="draining").counts
    assert not Lane(ref="a", name="web-1", phase="queued").counts
    assert Lane(ref="a", name="web-1", phase="held", connections=0, observed_at=datetime.now(UTC)).counts


def test_a_server_that_goes_back_is_called_so_and_not_by_where_it_stands():
    lane = Lane("srv-6", "web-06", "held", is_going_back=True)
    assert (lane.state, lane.is_now) == ("going_back", True)
    assert Lane("srv-6", "web-06", "held").state == "held"
    assert look_of("going_back").plain == "going back into service"
