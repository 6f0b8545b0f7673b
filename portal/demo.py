"""`make demo`: the main job through the HTTP API alone, on a portal of its own, beside a simulated provider.

First six servers become three, while in the middle the worker is killed with -9. Then traffic does not keep up
after the first server: it is put back before anything was deleted, and the run halts. Then traffic rises while a run
is halted: what was held goes back by itself. `ARGS=scaledown` tells of a calm run and of a roll back, too.

Steps go to standard output with their time, logs to standard error; the last line is one JSON object. What was
harmed comes from the simulator's own record of the truth, which the portal never sees.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from portal import demo_accounts, demo_capacity, demo_contacts, demo_drills, demo_scaledown
from portal.demo_desk import OVER, PASSWORD, DemoFailed, Provider, approved_plan, follow, open_desk, start
from portal.demo_people import StoryFailed
from portal.demo_scaledown import unavoidable_s
from portal.embedded.errors import CannotStart
from portal.embedded.handle import Held, start_portal

__all__ = [
    "OVER",
    "SPEED",
    "DemoFailed",
    "Said",
    "approved_plan",
    "follow",
    "main",
    "open_desk",
    "start",
    "start_portal",
    "unavoidable_s",
]

# Builds and deletes at the simulator go this much faster than at a real provider; drains do not.
SPEED = 10.0
# Seconds that the simulated balancer takes to apply a change.
PENDING_S = (0.5, 1.0)


class Said:
    """Prints steps with the time since the beginning."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)


@contextlib.contextmanager
def a_portal(say: Said, **env: str) -> Iterator[Held]:
    """Give a whole portal with a simulated provider, on free ports and in a directory of its own."""
    say("starting PostgreSQL, Valkey, the simulated provider, web and workers")
    with start_portal(
        scenario="launch",
        simulator_args=("--speed", f"{SPEED:g}", "--pending", *(f"{one:g}" for one in PENDING_S)),
        env={"LOG_FORMAT": "json", **env},
    ) as portal:
        say(f"the portal is up at {portal.url}; the provider's builds and deletes go {SPEED:g} times faster")
        yield portal


def short_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """What is told of scale-down where nothing is named; returns what came out, and whether it is as it must be."""
    return demo_scaledown.tell(open_desk(portal, say), demo_scaledown.SHORT)


def scaledown_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """Every story of scale-down; returns as `short_story`."""
    return demo_scaledown.tell(open_desk(portal, say), demo_scaledown.STORIES)


def accounts_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """Invitation, log-in with a second factor, role change, removal."""
    try:
        return demo_accounts.tell(portal.url, say, PASSWORD), True
    except StoryFailed as failure:
        raise DemoFailed(str(failure)) from failure


def contacts_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """Contacts proven and reached, a file taken in, a review signed, somebody erased."""
    try:
        return demo_contacts.tell(portal.url, say, PASSWORD), True
    except StoryFailed as failure:
        raise DemoFailed(str(failure)) from failure


def capacity_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """A step test becomes a baseline that both sides approve; newer runs are held against it; what is more than needed becomes
    an approved scale-down; the portal puts a load on itself."""
    try:
        site = demo_capacity.SiteOwner(portal.simulator_url, Provider(portal).publish)
        return demo_capacity.tell(portal.url, say, PASSWORD, site), True
    except StoryFailed as failure:
        raise DemoFailed(str(failure)) from failure


def drills_story(portal: Held, say: Said) -> tuple[dict[str, Any], bool]:
    """Every story of fire drills; returns as `short_story`."""
    return demo_drills.tell(open_desk(portal, say))


Story = Callable[[Held, Said], tuple[dict[str, Any], bool]]
STORIES: dict[str, Story] = {
    "scaledown": scaledown_story,
    "accounts": accounts_story,
    "contacts": contacts_story,
    "capacity": capacity_story,
    "drills": drills_story,
}


def main(arguments: list[str]) -> int:
    """Tell the stories that are named (a short form of the main job if none); the exit status says whether they went as they must.

    The last line is one JSON object: what came out of the story, or of each by its name where there are several.
    """
    stories = STORIES if arguments else {"short": short_story}
    wanted = list(stories) if "all" in arguments or not arguments else arguments
    if set(wanted) - set(stories):
        print(f"The stories are: {', '.join(STORIES)}, all.", file=sys.stderr)
        return 2
    say = Said()
    results: dict[str, dict[str, Any]] = {}
    good = True
    try:
        with a_portal(say) as portal:
            for name in wanted:
                began = time.monotonic()
                results[name], went_well = stories[name](portal, say)
                results[name]["seconds"] = round(time.monotonic() - began, 1)
                good = good and went_well
    except (DemoFailed, CannotStart, TimeoutError, httpx.HTTPError) as failure:
        print(f"The demo failed: {failure}", file=sys.stderr)
        print(json.dumps({"failed": str(failure)}))
        return 1
    say("everything went as it must" if good else "something did not go as it must")
    print(json.dumps(results if len(wanted) > 1 else results[wanted[0]]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
