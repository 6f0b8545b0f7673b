"""Addresses of the pages of support cases."""

from __future__ import annotations

from django.urls import URLPattern, path

from accounts.cases import views

urlpatterns: list[URLPattern] = [
    path("accounts/<uuid:account_ref>/cases/", views.CaseList.as_view(), name="case-list"),
    path("accounts/<uuid:account_ref>/cases/open/", views.CaseOpen.as_view(), name="case-open"),
    path("cases/<uuid:case_ref>/", views.CaseDetail.as_view(), name="case-detail"),
    path("cases/<uuid:case_ref>/reply/", views.CaseReply.as_view(), name="case-reply"),
    path("cases/<uuid:case_ref>/status/", views.CaseStatusPage.as_view(), name="case-status"),
    path("cases/<uuid:case_ref>/severity/", views.CaseSeverityPage.as_view(), name="case-severity"),
    path("cases/<uuid:case_ref>/ticket/", views.CaseTicket.as_view(), name="case-ticket"),
    path("cases/<uuid:case_ref>/order/", views.CaseSpokenOrder.as_view(), name="case-order"),
    path(
        "case-attachments/<uuid:attachment_ref>/",
        views.CaseAttachmentPage.as_view(),
        name="case-attachment",
    ),
]
