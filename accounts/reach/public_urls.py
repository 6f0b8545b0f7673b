"""Addresses for whoever was asked, and for the gateway: without an app's name, since mails and receivers keep them."""

from __future__ import annotations

from django.urls import path

from accounts.reach import views

urlpatterns = [
    path("reach/<str:answer_token>/", views.ReachAnswer.as_view(), name="reach-answer"),
    path("hooks/reach/", views.GatewayHook.as_view(), name="reach-hook"),
]
