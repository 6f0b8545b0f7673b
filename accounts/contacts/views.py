"""Pages of an account's contacts: read input, call one service, answer."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.contact_files.exporting import FORMATS, export_contacts
from accounts.contacts import selectors, services
from accounts.contacts.forms import ContactForm
from accounts.erasure import erase_contact
from accounts.models import Account, Contact, ContactRole
from accounts.views import AccountPage, query_string
from portal.access import Permission
from portal.errors import Refused
from portal.lists import ListAsked
from portal.paging import keyset


class ContactList(AccountPage):
    """Whom to call, in which order."""

    permission = Permission.CONTACT_VIEW
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the list; filters and order stand in the address."""
        account = self.find(Account, account_ref)
        today = timezone.now().date()
        rows, asked = contacts_asked(account, request, today=today)
        page = keyset(rows, request, order=asked.order)
        return self.show(
            "accounts/contact_list.html",
            page=page,
            contacts=selectors.with_freshness(page.rows, today=today),
            asked=asked,
            is_narrowed=bool(asked.text or any(asked.filters.values())),
            roles=ContactRole.choices,
            freshness=selectors.FRESHNESS,
            query_string=query_string(request),
        )


def contacts_asked(
    account: Account, request: HttpRequest, *, today: date
) -> tuple[QuerySet[Contact], ListAsked]:
    """Return those contacts of an account that the address asks for, and what it asks."""
    asked = ListAsked.of(
        request.GET.dict(), filters=selectors.CONTACT_FILTERS, orders=selectors.CONTACT_ORDERS
    )
    rows = Contact.objects.filter(account=account)
    return selectors.contacts_narrowed(rows, asked, today=today), asked


class ContactListCsv(AccountPage):
    """The contacts of an account as a file, with the reason on record."""

    permission = Permission.EXPORT
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Ask what the file is for."""
        return self._ask(self.find(Account, account_ref))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponseBase:
        """Put the export on record, then give the file."""
        account = self.find(Account, account_ref)
        rows, asked = contacts_asked(account, request, today=timezone.now().date())
        try:
            return export_contacts(
                account,
                actor=self.user,
                reason=request.POST.get("reason", "")[:1000],
                format=self._format(),
                rows=rows,
                asked=asked,
            )
        except Refused as refusal:
            return self._ask(account, problem=refusal.says, status=422)

    def _format(self) -> str:
        asked = self.request.GET.get("format", "")
        return asked if asked in FORMATS else next(iter(FORMATS))

    def _ask(self, account: Account, *, problem: str = "", status: int = 200) -> HttpResponse:
        rows, _ = contacts_asked(account, self.request, today=timezone.now().date())
        count = rows.count()
        query = query_string(self.request)
        back = reverse("accounts:contact-list", args=[account.ref])
        return self.show(
            "components/confirm_page.html",
            title=f"Export contacts of {account.name}?",
            text=(
                f"The file holds names, mail addresses and phone numbers of {count} {'person' if count == 1 else 'people'}. "
                "It is for support and nothing else. The export, your name and the reason stay on record."
            ),
            action=self.request.get_full_path(),
            button=f"Export as {FORMATS[self._format()]}",
            tone="primary",
            reason="required",
            problem=problem,
            back_label="Contacts",
            back_url=f"{back}?{query}" if query else back,
            status=status,
        )


class ContactAdd(AccountPage):
    """Add a person to call."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the empty form."""
        account = self.find(Account, account_ref)
        return self._form(ContactForm(initial={"time_zone": account.time_zone}))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Add, or show what is wrong with what was typed."""
        account = self.find(Account, account_ref)
        form = ContactForm(request.POST, instance=Contact(account=account))
        if form.is_valid():
            try:
                contact = services.add_contact(account, form.cleaned_data, actor=self.user)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{contact.name} was added, not confirmed yet.")
                return redirect("accounts:contact-list", account_ref=account.ref)
        return self._form(form, status=422)

    def _form(self, form: ContactForm, status: int = 200) -> HttpResponse:
        return self.show("accounts/contact_form.html", form=form, status=status, contact=None)


class ContactEdit(AccountPage):
    """Change a person to call."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def get(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Show the form."""
        contact = self.find(Contact, contact_ref)
        return self.show("accounts/contact_form.html", form=ContactForm(instance=contact), contact=contact)

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Change, or show what is wrong."""
        contact = self.find(Contact, contact_ref)
        form = ContactForm(request.POST, instance=Contact.objects.get(pk=contact.pk))
        if form.is_valid():
            try:
                services.change_contact(contact, form.cleaned_data, actor=self.user)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{form.cleaned_data['name']} was changed.")
                return redirect("accounts:contact-list", account_ref=self.account.ref)
        return self.show("accounts/contact_form.html", form=form, contact=contact, status=422)


class ContactConfirm(AccountPage):
    """Note that a contact is still right."""

    permission = Permission.CONTACT_EDIT

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Confirm it, with today's date in the account's name."""
        contact = self.find(Contact, contact_ref)
        services.confirm_contact(contact, actor=self.user, on=timezone.now().date())
        messages.success(request, f"{contact.name} is confirmed as of today.")
        return redirect("accounts:contact-list", account_ref=self.account.ref)


class ContactRemove(AccountPage):
    """Remove a contact, after asking on a page of its own."""

    permission = Permission.CONTACT_EDIT

    def get(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Ask."""
        contact = self.find(Contact, contact_ref)
        return self.show(
            "components/confirm_page.html",
            title=f"Remove {contact.name}?",
            text=f"{contact.name} will not be called any more and is gone from the list of {self.account.name}.",
            action=request.path,
            button=f"Remove {contact.name}",
            back_label="Contacts",
            back_url=reverse("accounts:contact-list", args=[self.account.ref]),
        )

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Remove it."""
        contact = self.find(Contact, contact_ref)
        services.remove_contact(contact, actor=self.user)
        messages.success(request, f"{contact.name} was removed.")
        return redirect("accounts:contact-list", account_ref=self.account.ref)


class ContactErase(AccountPage):
    """Erase a contact for good, after asking on a page of its own."""

    permission = Permission.ERASE

    def get(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Ask, and for the reason."""
        return self._ask(self.find(Contact, contact_ref))

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Erase, if the name was typed; without a reason the sentence says that it is missing."""
        contact = self.find(Contact, contact_ref)
        reason = request.POST.get("reason", "")[:500]
        if " ".join(request.POST.get("typed_name", "").split()) != " ".join(contact.name.split()):
            return self._ask(
                contact, problem=f"Type {contact.name} to erase. Nobody was erased.", reason=reason
            )
        erase_contact(self.account, contact.ref, actor=self.user, reason=reason)
        messages.success(request, "The person was erased for good.")
        return redirect("accounts:contact-list", account_ref=self.account.ref)

    def _ask(self, contact: Contact, *, problem: str = "", reason: str = "") -> HttpResponse:
        return self.show(
            "components/confirm_page.html",
            title=f"Erase {contact.name} for good?",
            text="Name, mail address, phone number and notes go, and nobody can read them in the activity any more: "
            "it says “erased person” there. It cannot be undone. To keep on record who it was, remove the contact instead.",
            action=self.request.path,
            button=f"Erase {contact.name} for good",
            type_name=contact.name,
            reason="required",
            reason_typed=reason,
            problem=problem,
            back_label="Contacts",
            back_url=reverse("accounts:contact-list", args=[self.account.ref]),
            status=422 if problem else 200,
        )
