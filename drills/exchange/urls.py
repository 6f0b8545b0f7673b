"""Addresses of the pages of drills that come in and go out as files."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from drills.exchange import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/<uuid:account_ref>/drills/import/", views.DrillImport.as_view(), name="drill-import"),
    path(
        "accounts/<uuid:account_ref>/drills/import/take/",
        views.DrillTakeOver.as_view(),
        name="drill-take-over",
    ),
    path(
        "drills/<uuid:drill_ref>/experiment/file/",
        views.DrillExperimentFile.as_view(),
        name="drill-experiment",
    ),
    path("drills/<uuid:drill_ref>/journal/file/", views.DrillJournalFile.as_view(), name="drill-journal"),
]
