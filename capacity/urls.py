"""Addresses of what is known of a pool."""

from __future__ import annotations

from django.urls import path

from capacity import views

app_name = "capacity"
urlpatterns = [
    path(
        "connections/<uuid:connection_ref>/pools/<slug:balancer_id>/",
        views.PoolKnown.as_view(),
        name="pool-known",
    ),
]
