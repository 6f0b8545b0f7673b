"""Every state of a run that people can come to: one for each reason to halt, phase, status, question and end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from portal.runs.types import Outcome, OutcomeKind, RunStatus
from scaledown.peak import is_watching
from scaledown.types import AtLimit, ImageRule, Phase
from tests.scaledown.halts import HALTS, Slow, change, halts, in_phase, with_probe
from tests.scaledown.machine_cases import START, Desk, a_plan
from tests.scaledown.test_growing import both_deleted, grow
from tests.scaledown.test_rolling_back import images_ready, one_deleted, until
from tests.scaledown.test_vital_in_watch import through as watched_with


def _over(desk: Desk, most: int = 900) -> Desk:
    return until(desk, lambda: desk.status.is_over, most=most)


def _commanded(desk: Desk, name: str, **args) -> Desk:
    assert desk.command(name, **args).accepted
    return desk


def _imaging() -> Desk:
    desk = Desk(a_plan(images=ImageRule.EACH, images_kept_s=86_400.0, floor=2))
    return desk.until_phase(Phase.IMAGING)


def _stopped() -> Desk:
    desk = Desk(a_plan(stop_s=600.0, floor=2))
    return desk.until(lambda: desk.way().stop is not None and desk.way().stop.stopped_at is not None)


def _joining() -> Desk:
    desk = one_deleted()
    desk.answers_directly = False
    _commanded(desk, "roll_back")
    return until(desk, lambda: desk.phase(6) is Phase.JOINING)


def _recreating() -> Desk:
    desk = one_deleted()
    desk.builds = "BUILD"
    _commanded(desk, "roll_back")
    return until(desk, lambda: desk.phase(6) is Phase.RECREATING)


def _confirming() -> Desk:
    desk = in_phase(Phase.DELETING)
    desk.probe_ok = None
    return desk.until_phase(Phase.CONFIRMING)


def _gone() -> Desk:
    desk = change(in_phase(Phase.HELD, hold_s=600.0), "srv-6", is_gone=True)
    desk.listing = tuple(f"srv-{n}" for n in range(1, 6))
    return desk.until(lambda: desk.phase(6) is Phase.GONE, most=100, after_s=5.0)


def _left_out() -> Desk:
    desk = change(in_phase(Phase.HELD, hold_s=600.0), "srv-6", status="ERROR")
    _commanded(desk, "abort")
    return desk.until(lambda: desk.phase(6) is Phase.LEFT_OUT, most=200, after_s=5.0)


def _unknown_count() -> Desk:
    desk = in_phase(Phase.DRAINING)
    desk.connections["srv-6"] = None
    for _ in range(4):
        desk.look()
    return desk


def _limit(at_limit: AtLimit) -> Desk:
    desk = in_phase(Phase.DRAINING, at_limit=at_limit)
    return desk.until(lambda: desk.phase(6) is not Phase.DRAINING, most=400)


def _go_on_at_the_limit() -> Desk:
    desk = halts(in_phase(Phase.DRAINING))
    return _commanded(desk, "go_on")


def _wait_at_the_limit() -> Desk:
    desk = halts(in_phase(Phase.DRAINING))
    return _commanded(desk, "wait")


def _paused() -> Desk:
    return _commanded(in_phase(Phase.DRAINING), "pause", when="now")


def _pausing_after() -> Desk:
    return _commanded(in_phase(Phase.DRAINING), "pause")


def _standstill() -> Desk:
    desk = in_phase(Phase.DRAINING)
    desk.standstill = "Everything is stopped."
    desk.look()
    return desk


def _frozen() -> Desk:
    desk = in_phase(Phase.HELD, hold_s=60.0)
    desk.freeze = "A freeze is in force until 2026-11-24 10:00 UTC."
    return desk.until(lambda: desk.now > START + timedelta(seconds=400), most=800)


def _nobody_in_charge() -> Desk:
    desk = Desk()
    desk.in_charge = None
    for _ in range(5):
        desk.look()
    return desk


def _approval_gone() -> Desk:
    desk = in_phase(Phase.HELD, hold_s=600.0)
    desk.approval_stands = False
    desk.look()
    return desk


def _blind() -> Desk:
    desk = in_phase(Phase.DRAINING)
    desk.visible = False
    for _ in range(5):
        desk.look()
    return desk


def _busy() -> Desk:
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "Too many requests.", after_s=5.0)
    for _ in range(20):
        desk.look()
    return desk


def _going_back() -> Desk:
    desk = in_phase(Phase.HELD, hold_s=600.0)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "Too many requests.", after_s=5.0)
    return _commanded(desk, "put_back", server="srv-6")


def _restored() -> Desk:
    desk = _commanded(in_phase(Phase.HELD, hold_s=600.0), "put_back", server="srv-6")
    return desk.until_phase(Phase.RESTORED)


def _skipped() -> Desk:
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    return _commanded(desk, "skip", server="srv-5")


def _deleting_slowly() -> Desk:
    desk = Slow(a_plan(floor=2)).until_phase(Phase.DELETING)
    desk.look(30.0)
    return desk


def _rehearsed() -> Desk:
    desk = Desk()
    desk.is_rehearsal = True
    desk.outcome = Outcome(OutcomeKind.WITHHELD, "", detail={"method": "PUT", "path": "/nodes", "body": None})
    return desk.until(lambda: desk.status.is_over, most=400)


def _window_waits() -> Desk:
    desk = Desk(a_plan(window_start=START + timedelta(hours=1), window_end=START + timedelta(hours=4)))
    for _ in range(3):
        desk.look()
    return desk


def _peak_watched() -> Desk:
    desk = Desk(a_plan(watch_until=START + timedelta(hours=6)))
    desk.until(lambda: is_watching(desk.progress), most=400)
    desk.look(10.0)
    return desk


def _peak_over() -> Desk:
    desk = _peak_watched()
    return desk.until(lambda: desk.status.is_over, most=3000, after_s=10.0)


def _peak_ended_early() -> Desk:
    return _commanded(_peak_watched(), "finish_here")


def _growing() -> Desk:
    desk = both_deleted()
    desk.builds = "BUILD"
    assert grow(desk, 1).accepted
    desk.look()
    return desk


def _grown() -> Desk:
    desk = both_deleted()
    assert grow(desk, 1).accepted
    return _over(desk)


def _rolled_back() -> Desk:
    return _over(_commanded(one_deleted(), "roll_back"))


def _rolled_back_in_part() -> Desk:
    return _over(_commanded(one_deleted(images=ImageRule.NONE), "roll_back"))


def _images_of_each() -> Desk:
    desk = Desk(a_plan(images=ImageRule.EACH, images_kept_s=86_400.0, floor=2))
    return until(desk, lambda: desk.status.is_over)


def _image_saving() -> Desk:
    desk = _imaging()
    desk.until(lambda: bool(desk.images))
    for _ in range(6):
        desk.look(5.0)
    images_ready(desk)
    return desk


def _counting() -> Desk:
    desk = in_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 14
    for _ in range(4):
        desk.look()
    return desk


def _no_progress() -> Desk:
    desk = in_phase(Phase.DRAINING, drain_limit_s=600.0)
    desk.connections["srv-6"] = 14
    for _ in range(90):
        desk.look()
    return desk


def _scheduled() -> Desk:
    return Desk()


def _others_first() -> Desk:
    desk = Desk()
    desk.is_behind = True
    return desk.until(
        lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "others_first"
    )


def _refused_command() -> Desk:
    desk = in_phase(Phase.DRAINING)
    assert not desk.command("resume").accepted
    return desk


STATES: Mapping[str, Callable[[], Desk]] = {
    **{f"halted: {code}": make for code, make in HALTS.items()},
    **{
        f"phase: {phase.value}": (lambda phase=phase: in_phase(phase))
        for phase in (Phase.DRAINING, Phase.REMOVING, Phase.VERIFYING, Phase.DELETING, Phase.RETIRED)
    },
    "phase: held": lambda: in_phase(Phase.HELD, hold_s=600.0),
    "phase: imaging": _imaging,
    "phase: imaging, an image is saved": _image_saving,
    "phase: confirming": _confirming,
    "phase: skipped": _skipped,
    "phase: restored": _restored,
    "phase: going back": _going_back,
    "phase: recreating": _recreating,
    "phase: joining": _joining,
    "phase: gone": _gone,
    "phase: left out": _left_out,
    "phase: held, stopped": _stopped,
    "phase: deleting, slowly": _deleting_slowly,
    "drain: counted": _counting,
    "drain: no progress": _no_progress,
    "drain: nothing counts": _unknown_count,
    "drain: cut at the limit": lambda: _limit(AtLimit.CUT),
    "drain: back at the limit": lambda: _limit(AtLimit.PUT_BACK),
    "drain: a person goes on at the limit": _go_on_at_the_limit,
    "drain: a person waits at the limit": _wait_at_the_limit,
    "status: scheduled": _scheduled,
    "status: scheduled, the window opens later": _window_waits,
    "status: nobody in charge": _nobody_in_charge,
    "status: paused": _paused,
    "status: pauses after this server": _pausing_after,
    "status: paused, the approval fell": _approval_gone,
    "status: standstill": _standstill,
    "status: a freeze holds": _frozen,
    "status: blind": _blind,
    "status: the provider is busy": _busy,
    "status: a command was refused": _refused_command,
    "status: growing": _growing,
    "status: others come first": _others_first,
    "peak: watched": _peak_watched,
    "peak: over": _peak_over,
    "peak: ended early": _peak_ended_early,
    "peak: a vital figure fell": lambda: halts(watched_with(_low()), most=60, after_s=10.0),
    "over: completed": lambda: _over(Desk(a_plan(floor=2))),
    "over: with images": _images_of_each,
    "over: aborted": lambda: _over(_commanded(in_phase(Phase.HELD, hold_s=600.0), "abort")),
    "over: aborted after a failed check": lambda: _over(
        _commanded(with_probe(in_phase(Phase.HELD, hold_s=600.0), False), "abort")
    ),
    "over: finished here": lambda: _over(
        _commanded(in_phase(Phase.RETIRED, pause_between_s=60.0), "finish_here")
    ),
    "over: rolled back": _rolled_back,
    "over: rolled back in part": _rolled_back_in_part,
    "over: grown again": _grown,
    "over: a rehearsal": _rehearsed,
}
"""By name. Whoever adds a reason to halt, or a phase, adds it here."""


def _low():
    from tests.scaledown.test_vital import seen

    return seen(many=30, times=0.2)
