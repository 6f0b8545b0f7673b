"""Addresses for whoever was asked in a drill: without an app's name, since mails keep them."""

from __future__ import annotations

from django.urls import path

from drills.told import public_views

urlpatterns = [
    path("drill/<str:call_token>/", public_views.DrillAnswer.as_view(), name="drill-answer"),
]
