"""The API of a team's scenarios: the same services as the pages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Team
from drills.scenarios import examples, selectors, services
from drills.scenarios.comparing import differences
from drills.scenarios.models import ScenarioVersion
from drills.scenarios.selectors import BUILT_IN_NUMBER, Shown
from drills.scenarios.serializers import (
    ScenarioChangeIn,
    ScenarioComparisonOut,
    ScenarioCopyIn,
    ScenarioHeadOut,
    ScenarioIn,
    ScenarioLibraryOut,
    ScenarioListedIn,
    ScenarioOut,
    ScenarioSeenIn,
)
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import Malformed
from portal.lists import ListAsked, filter_parameter

TAG = "scenarios"


class ScenarioAPIView(PortalAPIView, abstract=True):
    """What stands below a team's scenarios."""

    def scenario(self, team_ref: UUID, key: str, number: int | None = None) -> Shown:
        """Return a scenario of a team of the caller's, or one of its versions; 404 where there is none."""
        team = self.find_in_team(Team, team_ref)
        found = selectors.scenario(team, key, number)
        if found is None:
            raise Http404("There is no such scenario of this team.")
        return found

    def answer(self, made: ScenarioVersion | None, now: Shown, *, status: int = 200) -> Response:
        """Return the version that was made; where none was, the present one."""
        one = now if made is None else selectors.shown([made])[0]
        return self.show(ScenarioOut, one, status=status)


class ScenarioLibraryApi(ScenarioAPIView):
    """The scenarios of a team."""

    permission = Permission.SCENARIO_VIEW
    write_permission = Permission.SCENARIO_EDIT

    @documented(
        "scenarios_list",
        ScenarioLibraryOut,
        summary="List a team's scenarios for fire drills",
        example={"scenarios": [examples.HEAD]},
        parameters=[filter_parameter("show", ["all"], "With `all` also those that are off the list.")],
        tag=TAG,
    )
    def get(self, request: Request, team_ref: UUID) -> Response:
        """All of them at once: there are few. The team's newest wording stands before the portal's."""
        team = self.find_in_team(Team, team_ref)
        asked = ListAsked.of(
            self.request.query_params, filters={"show": ["all"]}, orders=["usual"], strict=True
        )
        found = selectors.library(team, with_unlisted=bool(asked.filters["show"]))
        return self.show(ScenarioLibraryOut, {"scenarios": found})

    @documented(
        "scenarios_write",
        ScenarioOut,
        summary="Write a scenario of the team's own",
        request=ScenarioIn,
        status=201,
        once=True,
        example={**examples.WHOLE, "number": 1},
        request_example={"content": examples.CONTENT, "note": "Asked for after the last review."},
        tag=TAG,
    )
    def post(self, request: Request, team_ref: UUID) -> Response:
        """Its key is made from its title. A rule that it breaks is 422 with the sentence that says which."""
        team = self.find_in_team(Team, team_ref)
        data = self.read(ScenarioIn)

        def effect() -> Response:
            made = services.write_scenario(team, data["content"], actor=self.user, note=data.get("note", ""))
            return self.show(ScenarioOut, selectors.shown([made])[0], status=201)

        return self.once(effect)


class ScenarioApi(ScenarioAPIView):
    """One scenario as the team has it now."""

    permission = Permission.SCENARIO_VIEW

    @documented("scenarios_read", ScenarioOut, summary="Read a scenario", example=examples.WHOLE, tag=TAG)
    def get(self, request: Request, team_ref: UUID, scenario_key: str) -> Response:
        """The team's newest version, or the wording that comes with the portal."""
        return self.show(ScenarioOut, self.scenario(team_ref, scenario_key))


class ScenarioVersionsApi(ScenarioAPIView):
    """The versions of a scenario."""

    permission = Permission.SCENARIO_VIEW
    write_permission = Permission.SCENARIO_EDIT

    @documented(
        "scenario_versions_list",
        ScenarioHeadOut,
        summary="List the versions of a scenario",
        paged=True,
        example=examples.HEAD,
        tag=TAG,
    )
    def get(self, request: Request, team_ref: UUID, scenario_key: str) -> Response:
        """The newest first. Version 0, which comes with the portal, is read by its number and is not in the list."""
        team = self.find_in_team(Team, team_ref)
        rows = selectors.versions(team, scenario_key)
        answer = self.page(rows, _VersionRow, order="-number", filters={"team": team.pk, "key": scenario_key})
        if not answer.data["results"] and selectors.of_library(scenario_key) is None:
            raise Http404("There is no such scenario of this team.")
        return answer

    @documented(
        "scenario_versions_add",
        ScenarioOut,
        summary="Change a scenario: make a new version of it",
        request=ScenarioChangeIn,
        command=True,
        example=examples.WHOLE,
        request_example={"content": examples.CONTENT, "seen": 1, "note": "Our own waiting times."},
        tag=TAG,
    )
    def post(self, request: Request, team_ref: UUID, scenario_key: str) -> Response:
        """409 where `seen` is not the newest version. Where nothing differs no version is made, and the present one is answered."""
        now = self.scenario(team_ref, scenario_key)
        data = self.read(ScenarioChangeIn)
        return self.once(
            lambda: self.answer(
                services.change_scenario(
                    self.team,
                    scenario_key,
                    data["content"],
                    seen=data["seen"],
                    actor=self.user,
                    note=data.get("note", ""),
                ),
                now,
            ),
            required=True,
        )


class _VersionRow(ScenarioHeadOut):
    """A row as the head of what it holds."""

    def to_representation(self, row: Any) -> Any:
        return super().to_representation(selectors.shown([row])[0])


class ScenarioVersionApi(ScenarioAPIView):
    """One version of a scenario."""

    permission = Permission.SCENARIO_VIEW

    @documented(
        "scenario_versions_read",
        ScenarioOut,
        summary="Read a version of a scenario",
        example=examples.WHOLE,
        tag=TAG,
    )
    def get(self, request: Request, team_ref: UUID, scenario_key: str, scenario_number: int) -> Response:
        """As it was then. Version 0 is the wording that comes with the portal."""
        return self.show(ScenarioOut, self.scenario(team_ref, scenario_key, scenario_number))


class ScenarioGoBackApi(ScenarioAPIView):
    """Make an older version the newest one."""

    permission = Permission.SCENARIO_EDIT

    @documented(
        "scenario_versions_go_back",
        ScenarioOut,
        summary="Go back to a version of a scenario",
        request=ScenarioSeenIn,
        command=True,
        example=examples.WHOLE,
        request_example={"seen": 2, "note": "The old waiting times were right."},
        tag=TAG,
    )
    def post(self, request: Request, team_ref: UUID, scenario_key: str, scenario_number: int) -> Response:
        """As a new version with that content; what was written since stays. 409 where `seen` is not the newest version."""
        self.scenario(team_ref, scenario_key, scenario_number)
        data = self.read(ScenarioSeenIn)

        def effect() -> Response:
            made = services.go_back(
                self.team,
                scenario_key,
                scenario_number,
                seen=data["seen"],
                actor=self.user,
                note=data.get("note", ""),
            )
            return self.answer(made, self.scenario(team_ref, scenario_key))

        return self.once(effect, required=True)


class ScenarioListedApi(ScenarioAPIView):
    """Take a scenario off the team's list, or put it there again."""

    permission = Permission.SCENARIO_EDIT

    @documented(
        "scenarios_set_listed",
        ScenarioOut,
        summary="Take a scenario off the list, or put it there again",
        request=ScenarioListedIn,
        command=True,
        example=examples.WHOLE,
        request_example={"is_listed": False, "seen": 2, "note": "We have no load balancer."},
        tag=TAG,
    )
    def post(self, request: Request, team_ref: UUID, scenario_key: str) -> Response:
        """As a new version. Drills that have the scenario keep it. 409 where `seen` is not the newest version."""
        now = self.scenario(team_ref, scenario_key)
        data = self.read(ScenarioListedIn)
        return self.once(
            lambda: self.answer(
                services.set_listed(
                    self.team,
                    scenario_key,
                    data["is_listed"],
                    seen=data["seen"],
                    actor=self.user,
                    note=data.get("note", ""),
                ),
                now,
            ),
            required=True,
        )


class ScenarioCopyApi(ScenarioAPIView):
    """Begin a scenario with the content of another one."""

    permission = Permission.SCENARIO_EDIT

    @documented(
        "scenarios_copy",
        ScenarioOut,
        summary="Copy a scenario",
        request=ScenarioCopyIn,
        status=201,
        command=True,
        example={**examples.WHOLE, "number": 1},
        request_example={"title": "Nobody answers on a Sunday"},
        tag=TAG,
    )
    def post(self, request: Request, team_ref: UUID, scenario_key: str) -> Response:
        """The copy has a title and a key of its own, and goes its own way."""
        self.scenario(team_ref, scenario_key)
        data = self.read(ScenarioCopyIn)

        def effect() -> Response:
            made = services.copy_scenario(
                self.team,
                scenario_key,
                title=data["title"],
                number=data.get("number"),
                actor=self.user,
                note=data.get("note", ""),
            )
            return self.show(ScenarioOut, selectors.shown([made])[0], status=201)

        return self.once(effect, required=True)


class ScenarioCompareApi(ScenarioAPIView):
    """Two versions of a scenario side by side."""

    permission = Permission.SCENARIO_VIEW

    @documented(
        "scenarios_compare",
        ScenarioComparisonOut,
        summary="Compare two versions of a scenario",
        example=examples.COMPARISON,
        parameters=[
            OpenApiParameter("older", OpenApiTypes.INT, description="Version 0 if not given, else 1."),
            OpenApiParameter("newer", OpenApiTypes.INT, description="The newest version if not given."),
        ],
        tag=TAG,
    )
    def get(self, request: Request, team_ref: UUID, scenario_key: str) -> Response:
        """Only fields that differ, each with all of its lines."""
        now = self.scenario(team_ref, scenario_key)
        older = self._version("older", scenario_key, BUILT_IN_NUMBER if now.is_of_library else 1)
        newer = self._version("newer", scenario_key, now.number)
        found = differences(older.scenario, newer.scenario)
        return self.show(
            ScenarioComparisonOut, {"older": older.number, "newer": newer.number, "differences": found}
        )

    def _version(self, name: str, key: str, otherwise: int) -> Shown:
        text = str(self.request.query_params.get(name, ""))
        if text and not (text.isascii() and text.isdigit() and len(text) < 6):
            raise Malformed(f"`{name}` is the number of a version.", code="bad_version")
        found = selectors.scenario(self.team, key, int(text) if text else otherwise)
        if found is None:
            raise Http404("There is no such version of this scenario.")
        return found
