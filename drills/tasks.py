"""The tasks of drills, from the parts that they belong to."""

from __future__ import annotations

from drills.told.tasks import ask as ask
from drills.told.tasks import tell as tell
