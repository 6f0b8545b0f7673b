"""Shape of the API's input and output for scenarios. What a scenario itself may say is decided by `types`, not here."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from drills.scenarios import types
from drills.scenarios.selectors import Shown
from drills.scenarios.services import LONGEST_NOTE

STEP_KINDS = [one.value for one in types.StepKind]
INJECTIONS = [one.value for one in types.InjectionKind]
TARGETS = [one.value for one in types.Targets]
DRILL_KINDS = [one.value for one in types.DrillKind]
ENVIRONMENTS = [one.value for one in types.Environment]
ROLES = [one.value for one in types.Role]


def _lines() -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=types.LONGEST_LINE), max_length=types.MOST_LINES
    )


class ScenarioStepOut(serializers.Serializer[Any]):
    """One step of a script. Exactly one of a scenario `injects`."""

    kind = serializers.ChoiceField(choices=STEP_KINDS)
    title = serializers.CharField(max_length=types.LONGEST_TITLE)
    text = serializers.CharField(max_length=types.LONGEST_TEXT)
    role = serializers.ChoiceField(choices=ROLES)
    expected_s = serializers.IntegerField(min_value=types.SHORTEST_STEP_S, max_value=types.LONGEST_STEP_S)
    done_when = serializers.CharField(max_length=types.LONGEST_LINE)
    injects = serializers.BooleanField(required=False)


class ScenarioHypothesisOut(serializers.Serializer[Any]):
    """What should hold; null is not claimed. Times are whole seconds from the disruption."""

    error_ratio = serializers.FloatField(allow_null=True, required=False, min_value=0, max_value=1)
    p95_factor = serializers.FloatField(allow_null=True, required=False, min_value=1, max_value=100)
    acknowledged_s = serializers.FloatField(allow_null=True, required=False)
    informed_s = serializers.FloatField(allow_null=True, required=False)
    mitigated_s = serializers.FloatField(allow_null=True, required=False)
    recovered_s = serializers.FloatField(allow_null=True, required=False)
    data_lost_s = serializers.FloatField(allow_null=True, required=False)


class ScenarioCheckOut(serializers.Serializer[Any]):
    """One check of a server that has booted."""

    title = serializers.CharField(max_length=types.LONGEST_TITLE)
    text = serializers.CharField(max_length=types.LONGEST_LINE)


class ScenarioContent(serializers.Serializer[Any]):
    """A scenario in its plain form, as `docs/scenarios.md` describes it. `key` is made by the portal: what is sent is passed over."""

    format = serializers.IntegerField(min_value=types.FORMAT, max_value=types.FORMAT)
    key = serializers.CharField(required=False)
    title = serializers.CharField(max_length=types.LONGEST_TITLE)
    purpose = serializers.CharField(max_length=types.LONGEST_PURPOSE)
    injection = serializers.ChoiceField(choices=INJECTIONS)
    targets = serializers.ChoiceField(choices=TARGETS)
    fewest_targets = serializers.IntegerField(required=False, min_value=1, max_value=types.MOST_TARGETS)
    kinds = serializers.ListField(child=serializers.ChoiceField(choices=DRILL_KINDS))
    environments = serializers.ListField(child=serializers.ChoiceField(choices=ENVIRONMENTS))
    proves = _lines()
    does_not_prove = _lines()
    risks = _lines()
    prerequisites = _lines()
    steps = ScenarioStepOut(many=True)
    hypothesis = ScenarioHypothesisOut()
    questions = _lines()
    undo = serializers.CharField(max_length=types.LONGEST_TEXT)
    after_boot = ScenarioCheckOut(many=True, required=False)
    repeat_after_days = serializers.IntegerField(min_value=1, max_value=types.LONGEST_REPEAT_DAYS)
    repeat_after_failure_days = serializers.IntegerField(min_value=1, max_value=types.LONGEST_REPEAT_DAYS)


@extend_schema_field(ScenarioContent)
class ContentField(serializers.JSONField):
    """A scenario as it was sent: the serializer above describes it, `types.from_plain` reads it and says what is wrong."""


class ScenarioHeadOut(serializers.Serializer[Any]):
    """A scenario in a list. `number` 0 is the wording that comes with the portal, which nobody of the team made."""

    key = serializers.CharField(source="scenario.key")
    title = serializers.CharField(source="scenario.title")
    number = serializers.IntegerField()
    injection = serializers.ChoiceField(choices=INJECTIONS, source="scenario.injection.value")
    targets = serializers.ChoiceField(choices=TARGETS, source="scenario.targets.value")
    kinds = serializers.SerializerMethodField()
    environments = serializers.SerializerMethodField()
    expected_s = serializers.IntegerField(source="scenario.expected_s")
    is_listed = serializers.BooleanField(help_text="Whether it is offered for new drills of the team.")
    is_of_library = serializers.BooleanField(
        help_text="Whether the portal brings a scenario of this key, so that there is a version 0."
    )
    note = serializers.CharField(help_text="What was changed with this version, and why.")
    made_by = serializers.CharField(help_text="Empty for the portal's own, and for somebody who was erased.")
    made_at = serializers.DateTimeField(allow_null=True)
    digest = serializers.CharField(help_text="SHA-256 over its canonical JSON.")

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=DRILL_KINDS)))
    def get_kinds(self, one: Shown) -> list[str]:
        """Return how it may be held."""
        return [kind.value for kind in one.scenario.kinds]

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=ENVIRONMENTS)))
    def get_environments(self, one: Shown) -> list[str]:
        """Return where it may be held."""
        return [place.value for place in one.scenario.environments]


class ScenarioOut(ScenarioHeadOut):
    """A scenario with all that it says."""

    content = serializers.SerializerMethodField()

    @extend_schema_field(ScenarioContent)
    def get_content(self, one: Shown) -> dict[str, Any]:
        """Return its plain form."""
        return types.to_plain(one.scenario)


class ScenarioLibraryOut(serializers.Serializer[Any]):
    """All scenarios of a team: those that come with the portal in their order, then its own by title."""

    scenarios = ScenarioHeadOut(many=True)


class ScenarioIn(serializers.Serializer[Any]):
    """A new scenario."""

    content = ContentField()
    note = serializers.CharField(max_length=LONGEST_NOTE, required=False, allow_blank=True)


class ScenarioSeenIn(serializers.Serializer[Any]):
    """The number of the version that you read, and why it is changed."""

    seen = serializers.IntegerField(min_value=0, max_value=100_000)
    note = serializers.CharField(max_length=LONGEST_NOTE, required=False, allow_blank=True)


class ScenarioChangeIn(ScenarioSeenIn):
    """All of a scenario as it should read, and the number of the version that you read."""

    content = ContentField()


class ScenarioListedIn(ScenarioSeenIn):
    """Whether it is offered for new drills."""

    is_listed = serializers.BooleanField()


class ScenarioCopyIn(serializers.Serializer[Any]):
    """A title of its own for the copy; `number` is the version that is copied, the newest if not given."""

    title = serializers.CharField(max_length=types.LONGEST_TITLE)
    number = serializers.IntegerField(min_value=0, max_value=100_000, required=False)
    note = serializers.CharField(max_length=LONGEST_NOTE, required=False, allow_blank=True)


class ScenarioPieceOut(serializers.Serializer[Any]):
    """A stretch of text: `is_gone` stands in the older version alone, `is_new` in the newer one alone."""

    text = serializers.CharField(trim_whitespace=False)
    is_gone = serializers.BooleanField()
    is_new = serializers.BooleanField()


class ScenarioLineOut(serializers.Serializer[Any]):
    """One line of a field as it goes from one version to the other."""

    is_same = serializers.BooleanField()
    pieces = ScenarioPieceOut(many=True)


class ScenarioDifferenceOut(serializers.Serializer[Any]):
    """A field that differs, with all of its lines."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field of ours, not the label of one
    lines = ScenarioLineOut(many=True)


class ScenarioComparisonOut(serializers.Serializer[Any]):
    """Two versions side by side."""

    older = serializers.IntegerField()
    newer = serializers.IntegerField()
    differences = ScenarioDifferenceOut(many=True)
