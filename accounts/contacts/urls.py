"""Addresses of contacts; accounts/urls.py includes them."""

from __future__ import annotations

from django.urls import path

from accounts.contacts import views

urlpatterns = [
    path("accounts/<uuid:account_ref>/contacts/", views.ContactList.as_view(), name="contact-list"),
    path(
        "accounts/<uuid:account_ref>/contacts/export/",
        views.ContactListCsv.as_view(),
        name="contact-list-csv",
    ),
    path("accounts/<uuid:account_ref>/contacts/add/", views.ContactAdd.as_view(), name="contact-add"),
    path("contacts/<uuid:contact_ref>/edit/", views.ContactEdit.as_view(), name="contact-edit"),
    path("contacts/<uuid:contact_ref>/confirm/", views.ContactConfirm.as_view(), name="contact-confirm"),
    path("contacts/<uuid:contact_ref>/erase/", views.ContactErase.as_view(), name="contact-erase"),
    path("contacts/<uuid:contact_ref>/remove/", views.ContactRemove.as_view(), name="contact-remove"),
]
