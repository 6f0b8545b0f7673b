"""Progress survives its way through the database, whatever is in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.frozen import replace
from scaledown.progress import (
    Progress,
    VerdictWay,
    VitalWay,
    new_progress,
    progress_from_plain,
    progress_to_plain,
)
from scaledown.types import Verdict
from tests.scaledown.machine_cases import START, Desk, a_plan

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))
st.register_type_strategy(datetime, TIMES)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
st.register_type_strategy(float, NUMBERS)
PLAIN = st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda x: st.lists(x, max_size=2))
NUMBERS_OF_A_VERDICT = st.dictionaries(st.text(max_size=5), PLAIN, max_size=2)
st.register_type_strategy(
    VerdictWay,
    st.builds(
        VerdictWay,
        verdict=st.sampled_from(Verdict),
        at=TIMES,
        window_since=TIMES,
        says=st.text(),
        customer_says=st.text(),
        numbers=NUMBERS_OF_A_VERDICT,
    ),
)
st.register_type_strategy(
    VitalWay,
    st.builds(
        VitalWay,
        name=st.text(max_size=5),
        numbers=NUMBERS_OF_A_VERDICT,
        fallen_most=st.none() | NUMBERS,
        fallen_most_at=st.none() | TIMES,
    ),
)


# Two whole progresses at once are large.
PROGRESSES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow]
)


@PROGRESSES
@given(st.data())
def test_progress_comes_back_from_json_as_it_was(data):
    progress = data.draw(st.from_type(Progress))
    stored = json.loads(json.dumps(progress_to_plain(progress)))
    assert progress_from_plain(stored) == progress


def test_a_whole_run_stores_and_reads_its_progress_at_every_step():
    desk = Desk(a_plan(hold_s=20.0))
    for _ in range(60):
        desk.look()
        assert progress_from_plain(json.loads(json.dumps(progress_to_plain(desk.progress)))) == desk.progress


def test_what_is_written_after_an_older_progress_is_what_it_is_written_alone():
    desk = Desk(a_plan(hold_s=20.0))
    old, plain = desk.progress, progress_to_plain(desk.progress)
    for _ in range(60):
        desk.look()
        plain = progress_to_plain(desk.progress, (old, plain))
        old = desk.progress
        assert plain == progress_to_plain(desk.progress)


@PROGRESSES
@given(st.data())
def test_any_progress_can_be_written_after_any_other(data):
    old, new = data.draw(st.from_type(Progress)), data.draw(st.from_type(Progress))
    before = json.dumps(progress_to_plain(old))
    plain = progress_to_plain(old)
    assert progress_to_plain(new, (old, plain)) == progress_to_plain(new)
    assert json.dumps(plain) == before


def test_progress_that_an_earlier_release_wrote_with_a_field_less_can_be_written_by_this_one():
    progress = new_progress(a_plan(), START)
    for name in ("asks_freeze", "told_beside_halt", "stuck"):
        older = progress_to_plain(progress)
        del older[name]
        read = progress_from_plain(older)
        changed = replace(read, says="Another word.")
        assert progress_to_plain(changed, (read, older)) == progress_to_plain(changed)
    older = progress_to_plain(progress)
    del older["servers"][0]["until"]
    read = progress_from_plain(older)
    first = replace(read.servers[0], says="Another word.")
    changed = replace(read, servers=(first, *read.servers[1:]))
    assert progress_to_plain(changed, (read, older)) == progress_to_plain(changed)


def test_parts_that_did_not_change_are_not_written_anew():
    progress = new_progress(a_plan(), START)
    plain = progress_to_plain(progress)
    first = replace(progress.servers[0], says="Another word.")
    changed = replace(progress, servers=(first, *progress.servers[1:]))
    after = progress_to_plain(changed, (progress, plain))
    assert after["servers"][0]["says"] == "Another word."
    assert after["servers"][1] is plain["servers"][1]
    assert after["kept"] is plain["kept"]


def test_a_new_run_has_every_server_waiting_for_its_turn():
    progress = new_progress(a_plan(), START)
    assert [way.phase.value for way in progress.servers] == ["queued", "queued"]
    assert progress.in_flight is None
