"""The addresses of the API of drills, below /api/v1/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from drills.plans import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/<uuid:account_ref>/drills", api.DrillListApi.as_view(), name="api-drills"),
    path("drills/<uuid:drill_ref>", api.DrillApi.as_view(), name="api-drill"),
    path("drills/<uuid:drill_ref>/submit", api.DrillSubmitApi.as_view(), name="api-drill-submit"),
    path("drills/<uuid:drill_ref>/withdraw", api.DrillWithdrawApi.as_view(), name="api-drill-withdraw"),
    path("drills/<uuid:drill_ref>/attestations", api.DrillAttestApi.as_view(), name="api-drill-attest"),
    path("drills/<uuid:drill_ref>/start", api.DrillStartApi.as_view(), name="api-drill-start"),
    path("drills/<uuid:drill_ref>/run", api.DrillStateApi.as_view(), name="api-drill-run"),
    path("drills/<uuid:drill_ref>/commands", api.DrillCommandApi.as_view(), name="api-drill-command"),
    path("", include("drills.exchange.api_urls")),
    path("", include("drills.after.api_urls")),
    path("", include("drills.scenarios.api_urls")),
]
