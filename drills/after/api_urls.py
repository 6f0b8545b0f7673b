"""The addresses of the API of what follows a drill, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from drills.after import api, report_api

urlpatterns = [
    path(
        "accounts/<uuid:account_ref>/drills/over-time/<slug:drill_scenario>",
        report_api.DrillsOverTimeApi.as_view(),
        name="api-drills-over-time",
    ),
    path("drills/<uuid:drill_ref>/report", report_api.DrillReportApi.as_view(), name="api-drill-report"),
    path("drills/<uuid:drill_ref>/findings", api.FindingListApi.as_view(), name="api-drill-findings"),
    path(
        "drills/<uuid:drill_ref>/findings/proposed", api.ProposalListApi.as_view(), name="api-drill-proposals"
    ),
    path("drills/findings/<uuid:finding_ref>", api.FindingApi.as_view(), name="api-drill-finding"),
    path(
        "drills/findings/<uuid:finding_ref>/withdraw",
        api.FindingWithdrawApi.as_view(),
        name="api-drill-finding-withdraw",
    ),
    path(
        "drills/findings/<uuid:finding_ref>/actions",
        api.FindingActionApi.as_view(),
        name="api-drill-finding-action",
    ),
]
