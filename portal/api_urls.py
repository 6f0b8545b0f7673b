"""Everything under /api/v1/. Apps add theirs here by name."""

from __future__ import annotations

from django.urls import include, path

from portal.approvals import api as approvals
from portal.audit import api as audit
from portal.notify import api as notify
from portal.views import Schema

urlpatterns = [
    path("schema/", Schema.as_view(), name="api-schema"),
    path("", include("accounts.api_urls")),
    path("", include("capacity.api_urls")),
    path("", include("scaledown.api_urls")),
    path("", include("drills.api_urls")),
    path("accounts/<uuid:account_ref>/audit", audit.AuditListApi.as_view(), name="api-audit"),
    path("accounts/<uuid:account_ref>/audit/export", audit.AuditExportApi.as_view(), name="api-audit-export"),
    path("audit", audit.InstallationAuditApi.as_view(), name="api-installation-audit"),
    path("me/notices", notify.NoticeListApi.as_view(), name="api-notices"),
    path("me/notices/read", notify.NoticesReadAllApi.as_view(), name="api-notices-read-all"),
    path("me/notices/<uuid:notice_ref>/read", notify.NoticeReadApi.as_view(), name="api-notice-read"),
    path("me/notice-preferences", notify.NoticePreferencesApi.as_view(), name="api-notice-preferences"),
    path("approvals", approvals.ApprovalListApi.as_view(), name="api-approvals"),
    path("approvals/<uuid:approval_ref>", approvals.ApprovalApi.as_view(), name="api-approval"),
    path(
        "approvals/<uuid:approval_ref>/approve", approvals.ApproveApi.as_view(), name="api-approval-approve"
    ),
    path("approvals/<uuid:approval_ref>/reject", approvals.RejectApi.as_view(), name="api-approval-reject"),
]
