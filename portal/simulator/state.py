"""A world in a file, written so that a crash at any moment leaves the old or the new one whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

from portal.simulator.world import World


def save(world: World, path: Path) -> None:
    """Write the world to `path`: a file beside it first, then an atomic rename."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(world.to_state(), file, separators=(",", ":"))
    os.replace(beside, path)


def load(path: Path) -> World | None:
    """Return the saved world; None if there is no file. Raises ValueError for a file that is not a world."""
    if not path.exists():
        return None
    try:
        return World.from_state(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ValueError(
            f"The saved world in {path} cannot be read ({problem}). Move the file away to begin with a new one."
        ) from problem
