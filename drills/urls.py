"""Addresses of the pages of drills."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from drills.plans import home, script, views

app_name = "drills"
urlpatterns: list[URLPattern | URLResolver] = [
    path("drills/", home.DrillHome.as_view(), name="home"),
    path("accounts/<uuid:account_ref>/drills/", views.DrillList.as_view(), name="drill-list"),
    path("accounts/<uuid:account_ref>/drills/new/", views.DrillChoose.as_view(), name="drill-choose"),
    path(
        "accounts/<uuid:account_ref>/drills/new/<slug:drill_scenario>/",
        views.DrillNew.as_view(),
        name="drill-new",
    ),
    path("drills/<uuid:drill_ref>/", views.DrillDetail.as_view(), name="drill"),
    path("drills/<uuid:drill_ref>/change/", views.DrillEdit.as_view(), name="drill-edit"),
    path("drills/<uuid:drill_ref>/script/", script.DrillScript.as_view(), name="drill-script"),
    path("drills/<uuid:drill_ref>/submit/", views.DrillSubmit.as_view(), name="drill-submit"),
    path("drills/<uuid:drill_ref>/approve/", views.DrillApprove.as_view(), name="drill-approve"),
    path("drills/<uuid:drill_ref>/reject/", views.DrillReject.as_view(), name="drill-reject"),
    path("drills/<uuid:drill_ref>/withdraw/", views.DrillWithdraw.as_view(), name="drill-withdraw"),
    path("drills/<uuid:drill_ref>/copy/", views.DrillCopy.as_view(), name="drill-copy"),
    path(
        "drills/<uuid:drill_ref>/attest/<slug:check_key>/", views.DrillAttest.as_view(), name="drill-attest"
    ),
    path("drills/<uuid:drill_ref>/start/", views.DrillStart.as_view(), name="drill-start"),
    path("drills/<uuid:drill_ref>/live/", views.DrillLive.as_view(), name="drill-live"),
    path("drills/<uuid:drill_ref>/live/stream/", views.DrillStream.as_view(), name="drill-stream"),
    path(
        "drills/<uuid:drill_ref>/live/commands/<slug:drill_command>/",
        views.DrillCommand.as_view(),
        name="drill-command",
    ),
    path("", include("drills.exchange.urls")),
    path("", include("drills.after.urls")),
    path("", include("drills.scenarios.urls")),
]
