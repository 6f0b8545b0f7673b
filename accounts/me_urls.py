"""Log-in, log-out and own settings; names without a prefix, since every page links to them."""

from __future__ import annotations

from django.urls import path

from accounts import views

urlpatterns = [
    path("login/", views.LogIn.as_view(), name="login"),
    path("logout/", views.LogOut.as_view(), name="logout"),
    path("me/", views.Me.as_view(), name="me"),
    path("me/tokens/make/", views.TokenMake.as_view(), name="token-make"),
    path("me/tokens/<uuid:token_ref>/revoke/", views.TokenRevoke.as_view(), name="token-revoke"),
]
