"""The API's addresses for support cases."""

from __future__ import annotations

from django.urls import URLPattern, path

from accounts.cases import api

urlpatterns: list[URLPattern] = [
    path("accounts/<uuid:account_ref>/cases", api.CaseListApi.as_view(), name="api-cases"),
    path("cases/<uuid:case_ref>", api.CaseApi.as_view(), name="api-case"),
    path("cases/<uuid:case_ref>/entries", api.EntryListApi.as_view(), name="api-case-entries"),
    path("cases/<uuid:case_ref>/replies", api.ReplyApi.as_view(), name="api-case-replies"),
    path("cases/<uuid:case_ref>/status", api.StatusApi.as_view(), name="api-case-status"),
    path("cases/<uuid:case_ref>/orders", api.SpokenOrderApi.as_view(), name="api-case-orders"),
    path("case-attachments/<uuid:attachment_ref>", api.AttachmentApi.as_view(), name="api-case-attachment"),
    path("support/mail", api.MailApi.as_view(), name="api-support-mail"),
]
