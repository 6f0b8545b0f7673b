"""Addresses of the pages of scenarios."""

from __future__ import annotations

from django.urls import path

from drills.scenarios import views

_ONE = "drills/scenarios/<uuid:team_ref>/<slug:scenario_key>/"

urlpatterns = [
    path("drills/scenarios/", views.ScenarioHome.as_view(), name="scenario-home"),
    path("drills/scenarios/<uuid:team_ref>/", views.ScenarioList.as_view(), name="scenario-list"),
    # Before the team, since any word may be the key of a scenario.
    path("drills/scenarios/new/<uuid:team_ref>/", views.ScenarioNew.as_view(), name="scenario-new"),
    path(_ONE, views.ScenarioDetail.as_view(), name="scenario"),
    path(f"{_ONE}change/", views.ScenarioEdit.as_view(), name="scenario-edit"),
    path(f"{_ONE}copy/", views.ScenarioCopy.as_view(), name="scenario-copy"),
    path(f"{_ONE}listed/", views.ScenarioListed.as_view(), name="scenario-listed"),
    path(f"{_ONE}compare/", views.ScenarioCompare.as_view(), name="scenario-compare"),
    path(f"{_ONE}versions/", views.ScenarioVersions.as_view(), name="scenario-versions"),
    path(
        f"{_ONE}versions/<int:scenario_number>/",
        views.ScenarioVersionDetail.as_view(),
        name="scenario-version",
    ),
    path(
        f"{_ONE}versions/<int:scenario_number>/go-back/",
        views.ScenarioGoBack.as_view(),
        name="scenario-go-back",
    ),
]
