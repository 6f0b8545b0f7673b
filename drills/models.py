"""The models of drills, from the parts that they belong to."""

from __future__ import annotations

from drills.scenarios.models import ScenarioVersion as ScenarioVersion
