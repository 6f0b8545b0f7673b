"""The API's addresses for webhooks."""

from __future__ import annotations

from django.urls import URLPattern, path

from accounts.webhooks import api

urlpatterns: list[URLPattern] = [
    path("accounts/<uuid:account_ref>/webhooks", api.WebhookListApi.as_view(), name="api-webhooks"),
    path("webhooks/<uuid:webhook_ref>", api.WebhookApi.as_view(), name="api-webhook"),
    path("webhooks/<uuid:webhook_ref>/pause", api.WebhookPauseApi.as_view(), name="api-webhook-pause"),
    path("webhooks/<uuid:webhook_ref>/resume", api.WebhookResumeApi.as_view(), name="api-webhook-resume"),
    path("webhooks/<uuid:webhook_ref>/rotate", api.WebhookRotateApi.as_view(), name="api-webhook-rotate"),
    path("webhooks/<uuid:webhook_ref>/test", api.WebhookTestApi.as_view(), name="api-webhook-test"),
    path("webhooks/<uuid:webhook_ref>/messages", api.DeliveryListApi.as_view(), name="api-webhook-messages"),
    path("webhook-messages/<uuid:delivery_ref>", api.DeliveryApi.as_view(), name="api-webhook-message"),
    path(
        "webhook-messages/<uuid:delivery_ref>/send",
        api.DeliverySendApi.as_view(),
        name="api-webhook-message-send",
    ),
]
