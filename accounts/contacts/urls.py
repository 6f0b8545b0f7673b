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
    path("contacts/<uuid:contact_ref>/", views.ContactDetail.as_view(), name="contact-detail"),
    path("contacts/<uuid:contact_ref>/prove/", views.ContactProve.as_view(), name="contact-prove"),
    path("accounts/<uuid:account_ref>/coverage/", views.Coverage.as_view(), name="coverage"),
    path("accounts/<uuid:account_ref>/coverage/edit/", views.CoverageEdit.as_view(), name="coverage-edit"),
    path(
        "accounts/<uuid:account_ref>/coverage/override/", views.OverrideGive.as_view(), name="override-give"
    ),
    path("coverage-overrides/<uuid:override_ref>/end/", views.OverrideEnd.as_view(), name="override-end"),
    path("accounts/<uuid:account_ref>/support-pin/", views.SupportPinSay.as_view(), name="support-pin"),
    path("accounts/<uuid:account_ref>/duties/", views.Duties.as_view(), name="duties"),
    path("accounts/<uuid:account_ref>/rotations/add/", views.RotationEdit.as_view(), name="rotation-add"),
    path("rotations/<uuid:rotation_ref>/edit/", views.RotationEdit.as_view(), name="rotation-edit"),
    path("rotations/<uuid:rotation_ref>/remove/", views.RotationRemove.as_view(), name="rotation-remove"),
    path("accounts/<uuid:account_ref>/parties/add/", views.PartyEdit.as_view(), name="party-add"),
    path("parties/<uuid:party_ref>/edit/", views.PartyEdit.as_view(), name="party-edit"),
    path("parties/<uuid:party_ref>/remove/", views.PartyRemove.as_view(), name="party-remove"),
    path("teams/<uuid:team_ref>/roster/", views.TeamRoster.as_view(), name="team-roster"),
    path("contacts/<uuid:contact_ref>/keep/", views.ContactKeep.as_view(), name="contact-keep"),
    path("contacts/<uuid:contact_ref>/ask/", views.ContactAsk.as_view(), name="contact-ask"),
    path("contacts/<uuid:contact_ref>/code/", views.ContactCode.as_view(), name="contact-code"),
    path(
        "contacts/<uuid:contact_ref>/links/revoke/",
        views.ContactLinksRevoke.as_view(),
        name="contact-links-revoke",
    ),
    path(
        "accounts/<uuid:account_ref>/contacts/confirm/",
        views.ContactConfirmList.as_view(),
        name="contact-confirm-list",
    ),
]
