"""Progress survives its way through the database, whatever is in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from scaledown.progress import Progress, VerdictWay, new_progress, progress_from_plain, progress_to_plain
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


@settings(max_examples=25, deadline=None)
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


def test_a_new_run_has_every_server_waiting_for_its_turn():
    progress = new_progress(a_plan(), START)
    assert [way.phase.value for way in progress.servers] == ["queued", "queued"]
    assert progress.in_flight is None
