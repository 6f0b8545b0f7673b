"""The API's addresses for what is known of a pool, and for traffic events."""

from __future__ import annotations

from django.urls import path

from capacity import api

urlpatterns = [
    path(
        "connections/<uuid:connection_ref>/pools/<slug:balancer_id>",
        api.PoolKnownApi.as_view(),
        name="api-pool-known",
    ),
    path(
        "accounts/<uuid:account_ref>/traffic-events",
        api.TrafficEventListApi.as_view(),
        name="api-traffic-events",
    ),
]
