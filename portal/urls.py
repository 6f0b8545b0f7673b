"""Every address of the portal. Apps add theirs here by name."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from portal import views
from portal.audit import views as audit
from portal.ui.views import styleguide

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.Dashboard.as_view(), name="dashboard"),
    path("palette", views.Palette.as_view(), name="palette"),
    path("healthz", views.Alive.as_view(), name="healthz"),
    path("readyz", views.Ready.as_view(), name="readyz"),
    path("metrics", views.Metrics.as_view(), name="metrics"),
    path("installation/record/", audit.InstallationActivity.as_view(), name="installation-activity"),
    path(
        "installation/record/download/",
        audit.InstallationActivityDownload.as_view(),
        name="installation-activity-download",
    ),
    path("styleguide/", styleguide, name="styleguide"),
    path("", include("portal.notify.urls")),
    path("", include("accounts.me_urls")),
    path("", include("accounts.urls")),
    path("", include("accounts.reach.public_urls")),
    path("", include("drills.told.public_urls")),
    path("", include("capacity.urls")),
    path("", include("scaledown.urls")),
    path("", include("drills.urls")),
    path("api/docs/", views.Docs.as_view(), name="api-docs"),
    path("api/v1/", include("portal.api_urls")),
]

handler400 = "portal.views.bad_request"
handler403 = "portal.views.permission_denied"
handler404 = "portal.views.page_not_found"
handler500 = "portal.views.server_error"
