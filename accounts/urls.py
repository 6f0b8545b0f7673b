"""Addresses of accounts, contacts and cloud connections."""

from __future__ import annotations

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("accounts/", views.AccountList.as_view(), name="account-list"),
    path("accounts/as.csv", views.AccountListCsv.as_view(), name="account-list-csv"),
    path("accounts/<uuid:account_ref>/", views.AccountDetail.as_view(), name="account-detail"),
    path("accounts/<uuid:account_ref>/activity/", views.Activity.as_view(), name="activity"),
    path("accounts/<uuid:account_ref>/contacts/", views.ContactList.as_view(), name="contact-list"),
    path(
        "accounts/<uuid:account_ref>/contacts/export/",
        views.ContactListCsv.as_view(),
        name="contact-list-csv",
    ),
    path("accounts/<uuid:account_ref>/contacts/add/", views.ContactAdd.as_view(), name="contact-add"),
    path("contacts/<uuid:contact_ref>/edit/", views.ContactEdit.as_view(), name="contact-edit"),
    path("contacts/<uuid:contact_ref>/confirm/", views.ContactConfirm.as_view(), name="contact-confirm"),
    path("contacts/<uuid:contact_ref>/remove/", views.ContactRemove.as_view(), name="contact-remove"),
    path(
        "accounts/<uuid:account_ref>/connections/add/", views.ConnectionAdd.as_view(), name="connection-add"
    ),
    path("connections/<uuid:connection_ref>/", views.ConnectionDetail.as_view(), name="connection-detail"),
    path("connections/<uuid:connection_ref>/test/", views.ConnectionTest.as_view(), name="connection-test"),
    path(
        "connections/<uuid:connection_ref>/discover/",
        views.ConnectionDiscover.as_view(),
        name="connection-discover",
    ),
]
