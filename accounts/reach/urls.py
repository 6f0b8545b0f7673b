"""Addresses of reaching people."""

from __future__ import annotations

from django.urls import path

from accounts.reach import views

urlpatterns = [
    path("accounts/<uuid:account_ref>/reach/", views.ReachList.as_view(), name="reach-list"),
    path("accounts/<uuid:account_ref>/reach/start/", views.ReachStart.as_view(), name="reach-start"),
    path("reaches/<uuid:reach_ref>/", views.ReachDetail.as_view(), name="reach-detail"),
    path("reaches/<uuid:reach_ref>/stop/", views.ReachStop.as_view(), name="reach-stop"),
    path("reach-tries/<uuid:try_ref>/outcome/", views.ReachOutcome.as_view(), name="reach-outcome"),
]
