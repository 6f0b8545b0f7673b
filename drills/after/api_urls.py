"""The addresses of the API of what follows a drill, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from drills.after import api

urlpatterns = [
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
