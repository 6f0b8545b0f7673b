"""The models of drills, from the parts that they belong to."""

from __future__ import annotations

from drills.after.models import DrillFinding as DrillFinding
from drills.after.models import FindingAction as FindingAction
from drills.plans.models import Attestation as Attestation
from drills.plans.models import Drill as Drill
from drills.plans.models import DrillPerson as DrillPerson
from drills.plans.models import HeldDrill as HeldDrill
from drills.scenarios.models import ScenarioVersion as ScenarioVersion
from drills.told.models import DrillCall as DrillCall
from drills.told.models import DrillNotice as DrillNotice
