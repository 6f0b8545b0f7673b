"""The API of an account's contacts: the same services as the pages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import examples
from accounts.contacts import selectors, services
from accounts.contacts.serializers import ContactIn, ContactOut
from accounts.erasure import erase_contact, was_contact_of
from accounts.models import Account, Contact
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.lists import ListAsked, filter_parameter, order_parameter, search_parameter

_CONTACT_LIST = [
    search_parameter("name, mail address or phone number"),
    filter_parameter("role", selectors.CONTACT_FILTERS["role"], "Only those who are called for this."),
    filter_parameter("freshness", selectors.FRESHNESS, "Only those whose confirmation is this fresh."),
    order_parameter(selectors.CONTACT_ORDERS),
]


class ContactListApi(PortalAPIView):
    """Contacts of an account."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_list",
        ContactOut,
        summary="List an account's contacts in their order of call",
        paged=True,
        example=examples.CONTACT,
        parameters=_CONTACT_LIST,
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """In the order of call unless `order` says otherwise."""
        account = self.find(Account, account_ref)
        rows = Contact.objects.filter(account=account).select_related("account")
        asked = ListAsked.of(
            self.request.query_params,
            filters=selectors.CONTACT_FILTERS,
            orders=selectors.CONTACT_ORDERS,
            strict=True,
        )
        rows = selectors.contacts_narrowed(rows, asked, today=timezone.now().date())
        return self.page(rows, ContactOut, order=asked.order, filters={"account": account.pk})

    @documented(
        "contacts_add",
        ContactOut,
        summary="Add a contact",
        request=ContactIn,
        status=201,
        once=True,
        example=examples.CONTACT,
        request_example=examples.CONTACT_IN,
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """A new contact is unconfirmed. Purpose is support and nothing else."""
        account = self.find(Account, account_ref)
        data = self.read(ContactIn)
        return self.once(
            lambda: self.show(ContactOut, services.add_contact(account, data, actor=self.user), status=201)
        )


class ContactApi(PortalAPIView):
    """One contact."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_read", ContactOut, summary="Read one contact", example=examples.CONTACT, tag="contacts"
    )
    def get(self, request: Request, contact_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(ContactOut, self.find(Contact, contact_ref))

    @documented(
        "contacts_change",
        ContactOut,
        summary="Change a contact",
        request=ContactIn,
        if_match=True,
        example=examples.CONTACT,
        request_example={"phone": "+493012345679"},
        tag="contacts",
    )
    def patch(self, request: Request, contact_ref: UUID) -> Response:
        """A new name, mail address, phone or role needs a new confirmation."""
        contact = self.find(Contact, contact_ref)
        data = self.read(ContactIn, partial=True)

        def effect() -> Response:
            locked = (
                Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
            )
            self.match(locked)
            return self.show(ContactOut, services.change_contact(locked, data, actor=self.user))

        return self.once(effect)

    @documented(
        "contacts_remove", None, summary="Remove a contact", status=204, if_match=True, tag="contacts"
    )
    def delete(self, request: Request, contact_ref: UUID) -> Response:
        """The audit keeps that there was one."""
        contact = self.find(Contact, contact_ref)

        def effect() -> Response:
            locked = (
                Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
            )
            self.match(locked)
            services.remove_contact(locked, actor=self.user)
            return Response(status=204)

        return self.once(effect)


class ContactConfirmApi(PortalAPIView):
    """Confirm a contact."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_confirm",
        ContactOut,
        summary="Confirm that a contact is still right",
        command=True,
        example=examples.CONTACT,
        tag="contacts",
    )
    def post(self, request: Request, contact_ref: UUID) -> Response:
        """Sets `confirmed_on` to today, in your name."""
        contact = self.find(Contact, contact_ref)
        return self.once(
            lambda: self.show(
                ContactOut,
                services.confirm_contact(contact, actor=self.user, on=timezone.now().date()),
            ),
            required=True,
        )


class EraseIn(serializers.Serializer[Any]):
    """Why somebody is erased."""

    reason = serializers.CharField(max_length=500)


class ContactEraseApi(PortalAPIView):
    """Erase a contact for good."""

    permission = Permission.ERASE

    @documented(
        "contacts_erase",
        None,
        summary="Erase a person for good, also one that was removed before",
        request=EraseIn,
        status=204,
        command=True,
        request_example={"reason": "Asked for it on 23 November."},
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID, contact_ref: UUID) -> Response:
        """It cannot be undone: nobody can read the person's name, mail address and phone number any more, in the audit either."""
        account = self.find(Account, account_ref)
        data = self.read(EraseIn)
        is_known = Contact.objects.filter(account=account, ref=contact_ref).exists()
        if not is_known and not was_contact_of(account, contact_ref):
            raise Http404("There is nothing here that you can see.")

        def effect() -> Response:
            erase_contact(account, contact_ref, actor=self.user, reason=data["reason"])
            return Response(status=204)

        return self.once(effect, required=True)
