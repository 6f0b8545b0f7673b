"""Addresses of the pages of webhooks."""

from __future__ import annotations

from django.urls import URLPattern, path

from accounts.webhooks import views

urlpatterns: list[URLPattern] = [
    path("accounts/<uuid:account_ref>/webhooks/", views.WebhookList.as_view(), name="webhook-list"),
    path("accounts/<uuid:account_ref>/webhooks/add/", views.WebhookAdd.as_view(), name="webhook-add"),
    path("webhooks/<uuid:webhook_ref>/", views.WebhookDetail.as_view(), name="webhook-detail"),
    path("webhooks/<uuid:webhook_ref>/edit/", views.WebhookEdit.as_view(), name="webhook-edit"),
    path("webhooks/<uuid:webhook_ref>/rotate/", views.WebhookRotate.as_view(), name="webhook-rotate"),
    path("webhooks/<uuid:webhook_ref>/pause/", views.WebhookPause.as_view(), name="webhook-pause"),
    path("webhooks/<uuid:webhook_ref>/resume/", views.WebhookResume.as_view(), name="webhook-resume"),
    path("webhooks/<uuid:webhook_ref>/test/", views.WebhookTest.as_view(), name="webhook-test"),
    path("webhooks/<uuid:webhook_ref>/remove/", views.WebhookRemove.as_view(), name="webhook-remove"),
    path("webhook-messages/<uuid:delivery_ref>/", views.DeliveryDetail.as_view(), name="webhook-message"),
    path(
        "webhook-messages/<uuid:delivery_ref>/send/",
        views.DeliverySend.as_view(),
        name="webhook-message-send",
    ),
]
