"""The API's addresses for contacts as files."""

from __future__ import annotations

from django.urls import path

from accounts.contact_files import api

urlpatterns = [
    path(
        "accounts/<uuid:account_ref>/contacts/imports",
        api.ContactImportsApi.as_view(),
        name="api-contact-imports",
    ),
    path("contact-imports/<uuid:import_ref>", api.ContactImportApi.as_view(), name="api-contact-import"),
    path(
        "contact-imports/<uuid:import_ref>/take-in",
        api.ContactImportTakeInApi.as_view(),
        name="api-contact-import-take-in",
    ),
    path(
        "accounts/<uuid:account_ref>/contacts/export",
        api.ContactExportApi.as_view(),
        name="api-contact-export",
    ),
]
