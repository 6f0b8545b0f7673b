"""Own notices and a desk's mailbox; names without a prefix, since every page links to them."""

from __future__ import annotations

from django.urls import path

from portal.notify import views

urlpatterns = [
    path("me/notices/", views.Notices.as_view(), name="notices"),
    path("me/notices/read/", views.NoticesReadAll.as_view(), name="notices-read-all"),
    path("me/notices/preferences/", views.NoticePreferences.as_view(), name="notice-preferences"),
    path("me/notices/<uuid:notice_ref>/read/", views.NoticeRead.as_view(), name="notice-read"),
    path("desk/mail/", views.DeskMail.as_view(), name="desk-mail"),
    path("desk/mail/<uuid:mail_ref>/", views.DeskMailMessage.as_view(), name="desk-mail-message"),
    path("desk/mail/<uuid:mail_ref>/html", views.DeskMailHtml.as_view(), name="desk-mail-html"),
]
