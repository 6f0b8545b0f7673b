"""The API's addresses of reaching people."""

from __future__ import annotations

from django.urls import path

from accounts.reach import api

urlpatterns = [
    path("accounts/<uuid:account_ref>/reaches", api.ReachListApi.as_view(), name="api-reaches"),
    path("reaches/<uuid:reach_ref>", api.ReachApi.as_view(), name="api-reach"),
    path("reaches/<uuid:reach_ref>/stop", api.ReachStopApi.as_view(), name="api-reach-stop"),
    path("reach-tries/<uuid:try_ref>/outcome", api.ReachOutcomeApi.as_view(), name="api-reach-outcome"),
]
