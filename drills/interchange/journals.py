"""Journals of the Chaos Toolkit: written from a drill that is over, and read without what names machines and people. Pure.

    export_journal(plan, progress, status) -> dict
    import_journal(bytes or dict) -> ImportedJournal

`completed` does not mean that it went well: `deviated` is read first (reference A7). Of a run that another program wrote, what the
activities gave back and the traces of their errors are dropped: they hold whole pages, paths and names of machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drills.figures import Judged, Verdict, figures_of, verdict_of
from drills.interchange import reading
from drills.interchange.chaostoolkit import (
    EXTENSION,
    MOST_ACTIVITIES,
    Imported,
    export_experiment,
    import_experiment,
    probe_activities,
)
from drills.interchange.drafts import LONGEST_LINE, LONGEST_NAME
from drills.interchange.reading import Json, bad, line, moment_of, object_of, objects_of
from drills.types import DrillPlan, Ending, MarkKind, Progress, Seen, StepState, StepWay
from portal.runs.types import RunStatus

MOST_LOOKS = 10_000

# --- written ----------------------------------------------------------------------------------------------


def export_journal(plan: DrillPlan, progress: Progress, status: RunStatus) -> Json | None:
    """Return the journal of a drill; None while it is not over. It names neither machines nor people.

    Looks are those that are kept, the newest ten minutes or so. The portal's own result and figures stand in `steady-state`.
    """
    verdict = verdict_of(plan, progress, status)
    if verdict is None:
        return None
    began, ended = _from_to(plan, progress)
    experiment = export_experiment(plan)
    since = progress.injected_at
    return {
        "experiment": experiment,
        "status": _status(progress, verdict),
        "deviated": _deviated(plan, progress, verdict),
        "start": began.isoformat(),
        "end": ended.isoformat(),
        "duration": (ended - began).total_seconds(),
        "steady_states": {
            "before": _newest(plan, [one for one in progress.seen if since is None or one.at < since]),
            "during": [_state(plan, [one]) for one in progress.seen if since is not None and one.at >= since],
            "after": None
            if since is None
            else _newest(plan, [one for one in progress.seen if one.at >= since]),
        },
        "run": [_step(plan, experiment, one, ended) for one in progress.steps if one.began_at is not None],
        "rollbacks": list(_rollbacks(progress, experiment, ended)),
        EXTENSION: {
            "format": 1,
            "result": verdict.result.value,
            "figures": [
                {
                    "name": one.name,
                    "unit": one.unit.value,
                    "value": one.value,
                    "limit": one.limit,
                    "met": one.met,
                }
                for one in figures_of(plan, progress)
            ],
        },
    }


def _from_to(plan: DrillPlan, progress: Progress) -> tuple[datetime, datetime]:
    """Return when a drill began and ended; one that was never begun did so at its end."""
    ended = progress.ended_at or max((one.at for one in progress.seen), default=None)
    began = progress.began_at or ended or plan.not_before
    return began, max(began, ended or began)


_BROKE = frozenset({Ending.REFUSED, Ending.NOT_COME_BACK})


def _status(progress: Progress, verdict: Verdict) -> str:
    """Return how the run went in the toolkit's words: *aborted* never got to its method, *failed* had a part that broke."""
    if progress.injected_at is None:
        return "aborted"
    if progress.ending in _BROKE:
        return "failed"
    return "interrupted" if verdict.result in {Judged.STOPPED, Judged.INVALID} else "completed"


def _deviated(plan: DrillPlan, progress: Progress, verdict: Verdict) -> bool:
    """Whether the hypothesis was missed. What could not be measured counts as missed, for it was not seen to hold."""
    if verdict.result is Judged.NOT_MET or progress.ending is Ending.STOP_CONDITION:
        return True
    # Of an incident that is real, the drill's figures say nothing.
    is_real = progress.ending is Ending.REAL
    return not is_real and any(one.met is False for one in figures_of(plan, progress))


def _newest(plan: DrillPlan, seen: Iterable[Seen]) -> Json | None:
    newest = {one.probe: one for one in seen}
    return _state(plan, list(newest.values()), needed=len(plan.probes)) if newest else None


def _state(plan: DrillPlan, seen: list[Seen], *, needed: int = 1) -> Json:
    return {
        "steady_state_met": len(seen) >= needed and all(one.ok is True for one in seen),
        "probes": [_answer(plan, one) for one in seen],
    }


def _answer(plan: DrillPlan, seen: Seen) -> Json:
    probe = next((one for one in plan.probes if one.name == seen.probe), None)
    activity = {"type": "probe", "name": seen.probe} if probe is None else probe_activities(probe)[0]
    lasted_s = (seen.latency_ms or 0.0) / 1000
    return {
        "activity": activity,
        # What could not be asked has failed; what answered wrongly was asked all right.
        "status": "failed" if seen.ok is None else "succeeded",
        "start": seen.at.isoformat(),
        "end": _later(seen.at, lasted_s),
        "duration": lasted_s,
        "output": None,
        "tolerance_met": seen.ok is True,
    }


def _later(at: datetime, seconds: float) -> str:
    return (at + timedelta(seconds=seconds)).isoformat()


def _result(activity: Json, succeeded: bool, began: datetime, ended: datetime, output: str) -> Json:
    return {
        "activity": activity,
        "status": "succeeded" if succeeded else "failed",
        "start": began.isoformat(),
        "end": max(began, ended).isoformat(),
        "duration": max(0.0, (ended - began).total_seconds()),
        "output": output,
    }


def _step(plan: DrillPlan, experiment: Json, way: StepWay, ended: datetime) -> Json:
    assert way.began_at is not None
    planned = plan.steps[way.number - 1]
    method = experiment["method"]
    activity = method[way.number - 1] if method else {"type": "action", "name": planned.title}
    return _result(
        activity, way.state is StepState.DONE, way.began_at, way.ended_at or ended, way.state.value
    )


def _rollbacks(progress: Progress, experiment: Json, ended: datetime) -> Iterable[Json]:
    began = [one.undo_from for one in progress.targets if one.undo_from is not None]
    if not began:
        return
    undone = progress.mark(MarkKind.UNDONE)
    activity = next(iter(experiment["rollbacks"]), {"type": "action", "name": "Undo"})
    yield _result(
        activity,
        undone is not None,
        min(began),
        undone.at if undone else ended,
        "undone" if undone else "not_seen_undone",
    )


# --- read -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """What became of one activity. `tolerance_met` None: nothing was claimed of it."""

    name: str
    kind: str
    succeeded: bool
    began_at: datetime
    ended_at: datetime
    duration_s: float
    tolerance_met: bool | None = None


@dataclass(frozen=True)
class SteadyState:
    """One look at all that the hypothesis claims. `met` None: it was not told."""

    met: bool | None
    probes: tuple[Ran, ...]


@dataclass(frozen=True)
class ImportedJournal:
    """A run that another program made. `dropped` names what was left out of it."""

    experiment: Imported
    status: str
    deviated: bool
    began_at: datetime
    ended_at: datetime
    duration_s: float
    before: SteadyState | None
    during: tuple[SteadyState, ...]
    after: SteadyState | None
    run: tuple[Ran, ...]
    rollbacks: tuple[Ran, ...]
    dropped: tuple[str, ...]

    @property
    def held(self) -> bool | None:
        """Whether the hypothesis held: only of a run that got to its end and looked at it afterwards; None is not known."""
        if self.deviated or (self.after is not None and self.after.met is False):
            return False
        is_whole = self.status == "completed" and self.after is not None and self.after.met is True
        return True if is_whole else None


_STATUSES = ("completed", "failed", "aborted", "interrupted")
_NAMES_MACHINES = ("platform", "node")


def import_journal(raw: bytes | Mapping[str, Any]) -> ImportedJournal:
    """Return a journal as it is shown, its experiment included. Raises Refused."""
    value = reading.read_object(raw)
    experiment = object_of(value, "experiment", "the journal")
    if experiment is None:
        raise bad("The journal has no `experiment`.")
    status, deviated = value.get("status"), value.get("deviated")
    if status not in _STATUSES:
        raise bad(f"The `status` of the journal is none of {', '.join(_STATUSES)}.")
    if not isinstance(deviated, bool):
        raise bad("The `deviated` of the journal is neither true nor false.")
    states = object_of(value, "steady_states", "the journal") or {}
    read = _Journal()
    before = read.state(object_of(states, "before", "`steady_states`"), "before")
    after = read.state(object_of(states, "after", "`steady_states`"), "after")
    during = tuple(
        found
        for one in objects_of(states, "during", "`steady_states`", MOST_LOOKS)
        if (found := read.state(one, "during")) is not None
    )
    run = read.activities(value, "run", "the journal")
    rollbacks = read.activities(value, "rollbacks", "the journal")
    return ImportedJournal(
        import_experiment(experiment),
        status,
        deviated,
        moment_of(value, "start", "the journal"),
        moment_of(value, "end", "the journal"),
        _duration(value, "the journal"),
        before,
        during,
        after,
        run,
        rollbacks,
        (*(name for name in _NAMES_MACHINES if name in value), *sorted(read.dropped)),
    )


def _duration(value: Json, called: str) -> float:
    found = value.get("duration")
    if isinstance(found, bool) or not isinstance(found, int | float) or found < 0:
        raise bad(f"The `duration` of {called} is no number of seconds.")
    return float(found)


class _Journal:
    """One journal while it is read."""

    def __init__(self) -> None:
        self.dropped: set[str] = set()

    def state(self, value: Json | None, called: str) -> SteadyState | None:
        if not value:
            return None
        met = value.get("steady_state_met")
        if met is not None and not isinstance(met, bool):
            raise bad(f"The `steady_state_met` of `{called}` is neither true nor false.")
        return SteadyState(met, self.activities(value, "probes", f"`{called}`"))

    def activities(self, holder: Json, name: str, called: str) -> tuple[Ran, ...]:
        found = objects_of(holder, name, called, MOST_ACTIVITIES)
        return tuple(self._ran(one, f"`{name}` of {called}") for one in found)

    def _ran(self, value: Json, called: str) -> Ran:
        activity = object_of(value, "activity", called)
        if activity is None:
            raise bad(f"A part of {called} has no `activity`.")
        name = activity.get("name", activity.get("ref"))
        kind, status, met = activity.get("type"), value.get("status"), value.get("tolerance_met")
        if not isinstance(name, str) or not line(name, LONGEST_LINE):
            raise bad(f"An activity of {called} has no name.")
        # An activity that was interrupted has none.
        if status not in (None, "succeeded", "failed", "aborted"):
            raise bad(f"The status of an activity of {called} is neither succeeded nor failed.")
        if met is not None and not isinstance(met, bool):
            raise bad(f"The `tolerance_met` of an activity of {called} is neither true nor false.")
        self.dropped |= {one for one in ("output", "exception") if value.get(one) is not None}
        return Ran(
            line(name, LONGEST_LINE),
            line(kind, LONGEST_NAME) if isinstance(kind, str) else "",
            status == "succeeded",
            moment_of(value, "start", called),
            moment_of(value, "end", called),
            _duration(value, called),
            met,
        )
