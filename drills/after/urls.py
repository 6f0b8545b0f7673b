"""Addresses of the pages of what follows a drill."""

from __future__ import annotations

from django.urls import path

from drills.after import views

urlpatterns = [
    path(
        "accounts/<uuid:account_ref>/drills/over-time/<slug:drill_scenario>/",
        views.DrillsOverTime.as_view(),
        name="drills-over-time",
    ),
    path("drills/<uuid:drill_ref>/report/", views.DrillReport.as_view(), name="drill-report"),
    path("drills/<uuid:drill_ref>/report/drill.pdf", views.DrillReportPdf.as_view(), name="drill-report-pdf"),
    path("drills/<uuid:drill_ref>/findings/new/", views.FindingNew.as_view(), name="finding-new"),
    path(
        "drills/<uuid:drill_ref>/findings/take-over/<slug:proposal_key>/",
        views.FindingTakeOver.as_view(),
        name="finding-take-over",
    ),
    path("drills/findings/<uuid:finding_ref>/change/", views.FindingChange.as_view(), name="finding-change"),
    path(
        "drills/findings/<uuid:finding_ref>/withdraw/",
        views.FindingWithdraw.as_view(),
        name="finding-withdraw",
    ),
    path("drills/findings/<uuid:finding_ref>/action/", views.FindingAct.as_view(), name="finding-act"),
]
