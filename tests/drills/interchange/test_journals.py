"""Journals of the Chaos Toolkit, written from a drill and read from another program."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given

from drills.interchange.journals import export_journal, import_journal
from drills.types import Ending, MarkKind
from portal.errors import Refused
from portal.runs.types import RunStatus
from tests.drills.interchange.cases import DRILL, SECRETS, experiment, http, progress_of, stopped
from tests.drills.interchange.test_experiments import JSON, either

DONE, BROKEN_OFF = RunStatus.COMPLETED, RunStatus.ABORTED


def written(progress=None, status=DONE, plan=DRILL):
    return export_journal(plan, progress or progress_of(), status)


def test_a_drill_that_held_is_completed_without_deviation():
    found = written()
    assert (found["status"], found["deviated"], found["steady-state"]["result"]) == (
        "completed",
        False,
        "met",
    )
    assert (found["start"], found["end"], found["duration"]) == (
        "2026-03-03T09:59:00+00:00",
        "2026-03-03T10:04:20+00:00",
        320.0,
    )
    states = found["steady_states"]
    assert states["before"]["steady_state_met"] is True
    assert states["after"]["steady_state_met"] is True
    assert sum(not one["steady_state_met"] for one in states["during"]) == 2
    assert len(states["during"]) == 52
    assert [(one["status"], one["output"], one["duration"]) for one in found["run"]] == [
        ("succeeded", "step_done", 35.0),
        ("succeeded", "step_done", 7.0),
    ]
    assert [(one["status"], one["duration"]) for one in found["rollbacks"]] == [("succeeded", 35.0)]


def test_while_a_drill_goes_on_it_has_no_journal():
    assert written(status=RunStatus.RUNNING) is None


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (progress_of(worst_error_ratio=0.2), ("completed", True)),
        (progress_of(worst_error_ratio=None, asked=3, failed=0), ("completed", True)),
        (stopped(), ("interrupted", False)),
        (stopped(Ending.STOP_CONDITION), ("interrupted", True)),
        (stopped(Ending.REFUSED), ("failed", False)),
        (stopped(Ending.NOT_COME_BACK), ("failed", True)),
        (replace(stopped(Ending.REAL), worst_error_ratio=0.9), ("interrupted", False)),
        (
            progress_of(marks=(), targets=(), ending=Ending.NOT_STARTED, began_at=None, steps=()),
            ("aborted", False),
        ),
    ],
    ids=["missed", "unknown", "stopped", "condition", "refused", "not back", "real", "not started"],
)
def test_how_it_ended_is_said_in_the_toolkits_words(progress, expected):
    found = written(progress, BROKEN_OFF if progress.ending else DONE)
    assert (found["status"], found["deviated"]) == expected


def test_what_was_not_seen_undone_has_failed():
    progress = progress_of(marks=tuple(one for one in progress_of().marks if one.kind is not MarkKind.UNDONE))
    assert [one["status"] for one in written(progress)["rollbacks"]] == ["failed"]


def test_a_probe_that_never_answered_does_not_count_as_met():
    seen = tuple(one for one in progress_of().seen if one.probe == "home")
    assert written(progress_of(seen=seen))["steady_states"]["after"]["steady_state_met"] is False


@pytest.mark.parametrize("progress", [progress_of(), stopped(), stopped(Ending.LOST_SIGHT)])
def test_no_journal_names_machines_or_people(progress):
    text = json.dumps(written(progress, BROKEN_OFF if progress.ending else DONE))
    assert not [one for one in SECRETS if one in text]
    assert not {"platform", "node"} & set(written())


def test_a_journal_of_ours_is_read_back():
    found = import_journal(json.dumps(written()).encode())
    assert (found.status, found.deviated, found.held, found.duration_s) == ("completed", False, True, 320.0)
    assert found.experiment.is_ours
    assert len(found.during) == 52
    assert [one.succeeded for one in found.run] == [True, True]
    assert found.dropped == ("output",)


# --- everybody else's -------------------------------------------------------------------------------------


def ran(name="home", **more):
    return {
        "activity": http(name),
        "status": "succeeded",
        "start": "2026-03-03T10:00:00",
        "end": "2026-03-03T10:00:01+00:00",
        "duration": 1.0,
        "output": {"body": "hunter2"},
        **more,
    }


def journal(**more):
    return {
        "chaoslib-version": "1.44.0",
        "platform": "Linux-hunter2",
        "node": "hunter2.example",
        "experiment": experiment(http()),
        "start": "2026-03-03T10:00:00",
        "status": "completed",
        "deviated": False,
        "steady_states": {
            "before": {"steady_state_met": True, "probes": [ran(tolerance_met=True)]},
            "after": {"steady_state_met": True, "probes": [ran(tolerance_met=True)]},
            "during": [],
        },
        "run": [ran("drop it", status="failed", exception=["Traceback", "/home/hunter2"])],
        "rollbacks": [],
        "end": "2026-03-03T10:01:00+00:00",
        "duration": 60.0,
        **more,
    }


def test_machines_outputs_and_traces_are_dropped():
    found = import_journal(journal())
    assert found.dropped == ("platform", "node", "exception", "output")
    assert "hunter2" not in repr(found)
    assert found.began_at.isoformat() == "2026-03-03T10:00:00+00:00", "without a zone it is UTC"
    assert found.run[0].succeeded is False


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({}, True),
        ({"deviated": True}, False),
        ({"status": "failed", "deviated": True}, False),
        ({"status": "failed"}, None),
        ({"status": "interrupted"}, None),
        ({"steady_states": None}, None),
        ({"steady_states": {"before": None, "after": None}}, None),
        ({"steady_states": {"after": {"steady_state_met": False}}}, False),
        ({"steady_states": {"after": {"steady_state_met": None}}}, None),
    ],
)
def test_deviated_is_read_before_the_status(change, held):
    assert import_journal(journal(**change)).held is held


@pytest.mark.parametrize(
    "change",
    [
        {"experiment": None},
        {"experiment": {}},
        {"status": "done"},
        {"status": ["completed"]},
        {"deviated": "no"},
        {"deviated": None},
        {"start": "yesterday"},
        {"end": 3},
        {"start": "0001-01-01T00:00:00+14:00"},
        {"duration": -1},
        {"duration": True},
        {"duration": None},
        {"steady_states": []},
        {"steady_states": {"before": [1]}},
        {"steady_states": {"during": {}}},
        {"steady_states": {"after": {"steady_state_met": "yes"}}},
        {"run": [1]},
        {"run": [{}]},
        {"run": [ran(activity={})]},
        {"run": [ran(status="odd")]},
        {"run": [ran(status=[])]},
        {"run": [ran(tolerance_met=1)]},
        {"run": [ran(start=None)]},
        {"rollbacks": {}},
    ],
)
def test_a_journal_of_another_shape_is_refused(change):
    with pytest.raises(Refused, match="Nothing was kept"):
        import_journal(journal(**change))


@given(JSON, JSON)
def test_whatever_a_journal_holds_is_read_or_refused(first, second):
    for name in journal():
        either(lambda name=name: import_journal(journal(**{name: first})))
    either(lambda: import_journal(journal(run=[ran(activity=first, start=second, status=second)])))
    either(lambda: import_journal(first))
