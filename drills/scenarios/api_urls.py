"""The API's addresses for scenarios."""

from __future__ import annotations

from django.urls import path

from drills.scenarios import api

_ONE = "teams/<uuid:team_ref>/scenarios/<slug:scenario_key>"

urlpatterns = [
    path("teams/<uuid:team_ref>/scenarios", api.ScenarioLibraryApi.as_view(), name="api-scenarios"),
    path(_ONE, api.ScenarioApi.as_view(), name="api-scenario"),
    path(f"{_ONE}/copy", api.ScenarioCopyApi.as_view(), name="api-scenario-copy"),
    path(f"{_ONE}/listed", api.ScenarioListedApi.as_view(), name="api-scenario-listed"),
    path(f"{_ONE}/comparison", api.ScenarioCompareApi.as_view(), name="api-scenario-compare"),
    path(f"{_ONE}/versions", api.ScenarioVersionsApi.as_view(), name="api-scenario-versions"),
    path(
        f"{_ONE}/versions/<int:scenario_number>",
        api.ScenarioVersionApi.as_view(),
        name="api-scenario-version",
    ),
    path(
        f"{_ONE}/versions/<int:scenario_number>/go-back",
        api.ScenarioGoBackApi.as_view(),
        name="api-scenario-go-back",
    ),
]
