"""The addresses of the API of experiments and journals, below /api/v1/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from drills.exchange import api

urlpatterns: list[URLPattern | URLResolver] = [
    path(
        "accounts/<uuid:account_ref>/drills/import",
        api.ExperimentTakeApi.as_view(),
        name="api-drill-import",
    ),
    path(
        "accounts/<uuid:account_ref>/drills/import/look",
        api.ExperimentLookApi.as_view(),
        name="api-drill-import-look",
    ),
    path("drills/<uuid:drill_ref>/experiment", api.ExperimentFileApi.as_view(), name="api-drill-experiment"),
    path("drills/<uuid:drill_ref>/journal", api.JournalFileApi.as_view(), name="api-drill-journal"),
]
