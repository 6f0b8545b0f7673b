"""What the lane component shows about one server on its way out of the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portal.ui.charts import PhaseStep, Point

WAY: tuple[tuple[str, str], ...] = (
    ("queued", "queued"),
    ("draining", "drain"),
    ("removing", "remove"),
    ("verifying", "verify"),
    ("held", "hold"),
    ("imaging", "image"),
    ("deleting", "delete"),
    ("confirming", "confirm"),
    ("retired", "retired"),
)
PLAIN: dict[str, str] = {
    "queued": "waiting",
    "draining": "finishing",
    "removing": "out",
    "verifying": "checked",
    "held": "kept",
    "imaging": "copied",
    "deleting": "deleted",
    "confirming": "last check",
    "retired": "done",
    "anew": "built anew",
}
"""The same stations as customers read them."""
ANEW = ("recreating", "joining", "recreated")
"""A server that was deleted and comes back as a new one: its way is over, and one more station follows."""
FINISHED = ("retired", "skipped", "restored", "gone", "recreated", "left_out")


@dataclass(frozen=True)
class Lane:
    """One server's lane. `connections` None means that no count is known; it is never shown as 0.

    `phase` is the phase it is in. A side exit (skipped, restored, gone, left out) names the last phase it was in
    as `left_at`; one on its way back (`is_going_back`) is called that. `sentence` says in one line what it waits for or does; `commands` are what
    `{% command %}` takes, one mapping each (`url`, `label` and its options).
    """

    ref: str
    name: str
    phase: str
    id_text: str = ""
    url: str = ""
    address: str = ""
    left_at: str = ""
    halted: bool = False
    is_going_back: bool = False
    connections: int | None = None
    points: Sequence[Point] = ()
    grade: str = ""
    source: str = ""
    observed_at: datetime | None = None
    sentence: str = ""
    since: datetime | None = None
    with_hold: bool = True
    with_image: bool = False
    is_plain: bool = False
    commands: Sequence[dict[str, Any]] = field(default=())

    @property
    def state(self) -> str:
        """What it is called: where it goes counts for more than where it stands."""
        return "going_back" if self.is_going_back else self.phase

    @property
    def is_done(self) -> bool:
        """Nothing more happens to this server in this run."""
        return self.phase in FINISHED

    @property
    def is_now(self) -> bool:
        """This server is on its way right now; a held one is not in flight."""
        return self.is_going_back or (not self.is_done and self.phase not in ("queued", "held"))

    @property
    def counts(self) -> bool:
        """Whether connections matter to the reader: it is draining, or was counted."""
        return self.connections is not None or bool(self.points) or self.phase == "draining"

    @property
    def steps(self) -> list[PhaseStep]:
        """Return the stations of the track with their states."""
        return steps_of(
            self.phase,
            left_at=self.left_at,
            halted=self.halted,
            with_hold=self.with_hold,
            with_image=self.with_image,
            is_plain=self.is_plain,
        )


def steps_of(
    phase: str,
    *,
    left_at: str = "",
    halted: bool = False,
    with_hold: bool = True,
    with_image: bool = False,
    is_plain: bool = False,
) -> list[PhaseStep]:
    """Return the stations of one server's way for its phase; a side exit stops at `left_at`. `is_plain`: for customers."""
    is_shown = {"held": with_hold, "imaging": with_image or "imaging" in (phase, left_at)}
    way = [(key, PLAIN[key] if is_plain else label) for key, label in WAY if is_shown.get(key, True)]
    keys = [key for key, _ in way]
    if phase in ANEW:
        state = "done" if phase == "recreated" else "failed" if halted else "current"
        return [
            *(PhaseStep(key, label, "done") for key, label in way),
            PhaseStep("anew", PLAIN["anew"] if is_plain else "anew", state),
        ]
    if phase == "retired":
        return [PhaseStep(key, label, "done") for key, label in way]
    at = left_at if phase in FINISHED else phase
    position = keys.index(at) if at in keys else 0
    steps = []
    for index, (key, label) in enumerate(way):
        if phase in FINISHED:
            state = "done" if index < position else "skipped"
        elif index < position:
            state = "done"
        elif index == position:
            state = "failed" if halted else "waiting" if phase in ("queued", "held") else "current"
        else:
            state = "todo"
        steps.append(PhaseStep(key, label, state))
    return steps
