"""Addresses of imports."""

from __future__ import annotations

from django.urls import path

from accounts.contact_files import views

urlpatterns = [
    path(
        "accounts/<uuid:account_ref>/contacts/take-in/",
        views.ContactImportBegin.as_view(),
        name="contact-import-begin",
    ),
    path("contact-imports/<uuid:import_ref>/", views.ContactImportPreview.as_view(), name="contact-import"),
    path(
        "contact-imports/<uuid:import_ref>/to-mend/",
        views.ContactImportProblems.as_view(),
        name="contact-import-problems",
    ),
    path(
        "contact-imports/<uuid:import_ref>/drop/",
        views.ContactImportDrop.as_view(),
        name="contact-import-drop",
    ),
]
