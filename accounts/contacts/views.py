"""Pages of an account's contacts: read input, call one service, answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.contact_files.exporting import FORMATS, export_contacts
from accounts.contacts import asking, coverage, coverage_services, roster_services, selectors, services
from accounts.contacts.forms import (
    ContactForm,
    CoverageForm,
    OverrideForm,
    PartyForm,
    ProveForm,
    RosterForm,
    RotationForm,
    party_typed,
    rule_line,
    typed,
)
from accounts.contacts.hours import in_words, reachable_at, spans_of
from accounts.contacts.models import CoverageOverride, LinkFor, OtherParty, ProvenHow, Rotation, SupportPin
from accounts.contacts.proving import standings
from accounts.contacts.roster_services import MOST_PARTIES, MOST_ROTATIONS
from accounts.contacts.rotation import hand_overs_of, next_hand_over, on_duty_at
from accounts.contacts.rotation import in_words as turns_in_words
from accounts.erasure import erase_contact
from accounts.models import Account, Contact, ContactRole, Team
from accounts.views import AccountPage, query_string
from portal.access import Permission, PortalView
from portal.errors import Refused, StaleState
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
            contacts=selectors.with_proofs(selectors.with_freshness(page.rows, today=today)),
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
                may_read_on=self.reads_on(),
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
        return self._form(ContactForm(initial={"time_zone": account.time_zone, "escalation_order": 1}))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Add, or show what is wrong with what was typed."""
        account = self.find(Account, account_ref)
        form = ContactForm(request.POST)
        if form.is_valid():
            try:
                contact = services.add_contact(
                    account,
                    form.fields_of(),
                    actor=self.user,
                    all_the_same=bool(request.POST.get("all_the_same")),
                )
            except services.ThereAlready as there:
                return self._form(form, status=409, alike=there.contacts)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{contact.name} was added, not confirmed yet and not proven.")
                return redirect("accounts:contact-detail", contact_ref=contact.ref)
        return self._form(form, status=422)

    def _form(self, form: ContactForm, status: int = 200, alike: Sequence[Contact] = ()) -> HttpResponse:
        return self.show("accounts/contact_form.html", form=form, status=status, contact=None, alike=alike)


class ContactEdit(AccountPage):
    """Change a person to call."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def get(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Show the form."""
        contact = self.find(Contact, contact_ref)
        return self.show(
            "accounts/contact_form.html", form=ContactForm(initial=typed(contact)), contact=contact
        )

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Change, or show what is wrong."""
        contact = self.find(Contact, contact_ref)
        form = ContactForm(request.POST)
        if form.is_valid():
            try:
                services.change_contact(contact, form.fields_of(), actor=self.user)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{form.cleaned_data['name']} was changed.")
                return redirect("accounts:contact-detail", contact_ref=contact.ref)
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


SHOWN_OF_HISTORY = 20


class ContactDetail(AccountPage):
    """One contact: how to reach them now, what is proven, who confirmed, who used what is held."""

    permission = Permission.CONTACT_VIEW
    tab = "contacts"

    def get(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Show it, the number first."""
        contact = self.find(Contact, contact_ref)
        now = timezone.now()
        standing = standings([contact], with_names=True)[contact.pk]
        numbers = [
            (number, standing.phones.get(number))
            for number in (contact.phone, *contact.more_phones)
            if number
        ]
        return self.show(
            "accounts/contacts/detail.html",
            contact=contact,
            freshness=selectors.freshness_of(contact, today=now.date()),
            standing=standing,
            numbers=numbers,
            local_time=now.astimezone(ZoneInfo(contact.time_zone)),
            is_reachable=reachable_at(selectors.hours_of(contact), now),
            hours=in_words(contact.hours, spans_of(contact.weekly_hours)),
            prove_form=ProveForm(contact=contact) if contact.phone else None,
            proofs=contact.proofs.order_by("-pk")[:SHOWN_OF_HISTORY],
            confirmations=contact.confirmations.order_by("-pk")[:SHOWN_OF_HISTORY],
            uses=selectors.uses_of(contact)[:SHOWN_OF_HISTORY],
        )


class ContactProve(AccountPage):
    """Log a call: the person answered on this very number."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Keep it in one's own name."""
        contact = self.find(Contact, contact_ref)
        form = ProveForm(request.POST, contact=contact)
        if not form.is_valid():
            raise Refused("Choose the number on which they answered. Nothing was kept.", code="invalid")
        kind, _, value = form.cleaned_data["channel"].partition(":")
        services.prove_channel(
            contact,
            kind=kind,
            value=value,
            how=ProvenHow.CALL,
            actor=self.user,
            reason=form.cleaned_data["reason"],
        )
        messages.success(request, f"{value} is proven: {contact.name} answered on it.")
        return redirect("accounts:contact-detail", contact_ref=contact.ref)


class ContactAsk(AccountPage):
    """Mail a contact a link: prove the mailbox, confirm, or see what is held."""

    permission = Permission.CONTACT_EDIT

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Send it; the one before for the same ends."""
        contact = self.find(Contact, contact_ref)
        use = request.POST.get("use", "")
        if use not in LinkFor.values:
            raise Refused("Choose what the link is for. Nothing was sent.", code="invalid")
        asking.send_link(contact, use, actor=self.user)
        messages.success(
            request, f"A link was mailed to {contact.email}. It changes nothing until its button is pressed."
        )
        return redirect("accounts:contact-detail", contact_ref=contact.ref)


class ContactKeep(AccountPage):
    """Settle that the reader of a mailbox said: this is not me."""

    permission = Permission.CONTACT_EDIT

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Keep the contact as listed, with the reason."""
        contact = self.find(Contact, contact_ref)
        services.keep_contact(contact, actor=self.user, reason=request.POST.get("reason", "")[:300])
        messages.success(request, f"{contact.name} stays as listed; mail goes there again.")
        return redirect("accounts:contact-detail", contact_ref=contact.ref)


class ContactLinksRevoke(AccountPage):
    """Take back every open link of a contact."""

    permission = Permission.CONTACT_EDIT

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """They open nothing from now on."""
        contact = self.find(Contact, contact_ref)
        count = asking.revoke_links(contact, actor=self.user)
        messages.success(request, f"{count} {'link was' if count == 1 else 'links were'} taken back.")
        return redirect("accounts:contact-detail", contact_ref=contact.ref)


class ContactCode(AccountPage):
    """A code to read out on the phone."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def post(self, request: HttpRequest, contact_ref: UUID) -> HttpResponse:
        """Show it this once."""
        contact = self.find(Contact, contact_ref)
        code = asking.make_code(contact, actor=self.user)
        response = self.show("accounts/contacts/code.html", contact=contact, code=code)
        response["Cache-Control"] = "no-store"
        return response


class ContactConfirmList(AccountPage):
    """Confirm the whole list on one page."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show everybody with what is asked of them."""
        return self._page(self.find(Account, account_ref))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Confirm those who were ticked, in one's own name."""
        account = self.find(Account, account_ref)
        ticked = [text.partition(" ") for text in request.POST.getlist("contact")[:MOST_AT_ONCE]]
        try:
            # With each goes what was shown of it: somebody else may have changed it since.
            seen = {UUID(ref): digest for ref, _, digest in ticked}
        except ValueError:
            raise Refused("One of them is no contact. Nobody was confirmed.", code="no_contact") from None
        if not seen:
            return self._page(account, problem="Tick who is still right. Nobody was confirmed.", status=422)
        try:
            count = asking.confirm_list(
                account, list(seen), actor=self.user, on=timezone.now().date(), seen=seen
            )
        except StaleState as stale:
            return self._page(account, problem=stale.says, status=409, seen=seen)
        messages.success(
            request, f"{count} {'contact is' if count == 1 else 'contacts are'} confirmed as of today."
        )
        return redirect("accounts:contact-list", account_ref=account.ref)

    def _page(
        self, account: Account, *, problem: str = "", status: int = 200, seen: dict[UUID, str] | None = None
    ) -> HttpResponse:
        found = Contact.objects.filter(account=account).order_by("confirmed_on", "escalation_order", "pk")
        rows = selectors.with_freshness(list(found[:MOST_AT_ONCE]), today=timezone.now().date())
        for row in rows:
            row.seen = asking.seen_of(row)
            row.is_changed = seen is not None and seen.get(row.ref, row.seen) != row.seen
            row.is_ticked = not row.is_changed and (seen is None or row.ref in seen)
        return self.show(
            "accounts/contacts/confirm_list.html",
            contacts=rows,
            problem=problem,
            status=status,
        )


MOST_AT_ONCE = 200


# --- coverage ----------------------------------------------------------------------------------------------


class Coverage(AccountPage):
    """What the account must have in contacts, what is missing, and whether a run may begin now."""

    permission = Permission.CONTACT_VIEW
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show rules, gaps and overrides."""
        account = self.find(Account, account_ref)
        now = timezone.now()
        seen = selectors.coverage_seen(account, now)
        pin = SupportPin.objects.filter(account=account).first()
        return self.show(
            "accounts/contacts/coverage.html",
            seen=seen,
            preset=coverage.PRESETS.get(seen["preset"]),
            rules=[coverage.in_words(rule) for rule in seen["rules"]],
            overrides=CoverageOverride.objects.filter(account=account).order_by("-pk")[:SHOWN_OF_HISTORY],
            order=selectors.call_order(account, ContactRole.EMERGENCY, now),
            pin=pin,
            now=now,
        )


class CoverageEdit(AccountPage):
    """Choose the rules."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the present ones to choose from."""
        account = self.find(Account, account_ref)
        seen = selectors.coverage_seen(account, timezone.now())
        lines = "\n".join(rule_line(rule) for rule in seen["rules"])
        return self._form(CoverageForm(initial={"preset": seen["preset"] or "own", "rules": lines}))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Keep them, or show what is wrong."""
        account = self.find(Account, account_ref)
        form = CoverageForm(request.POST)
        if form.is_valid():
            preset, rules = form.cleaned_data["preset"], form.cleaned_data["rules"]
            try:
                coverage_services.set_coverage(
                    account,
                    preset="" if preset == "own" else preset,
                    rules=rules if preset == "own" else None,
                    actor=self.user,
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "The rules were kept.")
                return redirect("accounts:coverage", account_ref=account.ref)
        return self._form(form, status=422)

    def _form(self, form: CoverageForm, status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/contacts/form.html",
            form=form,
            status=status,
            title="Rules for contacts",
            lede="What this account must have, so that somebody can be reached. Gaps show on the dashboard and in the preview of a scale-down.",
            button="Keep the rules",
            back_label="Coverage",
            back_url=reverse("accounts:coverage", args=[self.account.ref]),
        )


class OverrideGive(AccountPage):
    """Let runs and drills begin although somebody is missing."""

    permission = Permission.OVERRIDE
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Ask why, and for how long."""
        self.find(Account, account_ref)
        return self._form(OverrideForm())

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Keep it on the record."""
        account = self.find(Account, account_ref)
        form = OverrideForm(request.POST)
        if form.is_valid():
            try:
                coverage_services.give_override(
                    account, reason=form.cleaned_data["reason"], expires_at=form.expires_at(), actor=self.user
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "It may begin all the same. The reason stays on the record.")
                return redirect("accounts:coverage", account_ref=account.ref)
        return self._form(form, status=422)

    def _form(self, form: OverrideForm, status: int = 200) -> HttpResponse:
        gaps = selectors.can_begin(self.account, timezone.now()).gaps
        return self.show(
            "accounts/contacts/form.html",
            form=form,
            status=status,
            title="Begin all the same?",
            lede="Somebody is missing who should be reachable. Your name and the reason stay on the record.",
            gaps=gaps,
            button="Let it begin",
            tone="danger",
            back_label="Coverage",
            back_url=reverse("accounts:coverage", args=[self.account.ref]),
        )


class OverrideEnd(AccountPage):
    """Take an override back."""

    permission = Permission.OVERRIDE

    def post(self, request: HttpRequest, override_ref: UUID) -> HttpResponse:
        """End it now."""
        row = self.find(CoverageOverride.objects.select_related("account"), override_ref)
        coverage_services.end_override(row, actor=self.user)
        messages.success(request, "The override holds no more.")
        return redirect("accounts:coverage", account_ref=self.account.ref)


class SupportPinSay(AccountPage):
    """Say whether the support PIN is at hand; the PIN itself is nowhere asked for."""

    permission = Permission.CONTACT_EDIT

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Keep yes or no, as of today."""
        account = self.find(Account, account_ref)
        said = request.POST.get("is_ready")
        if said not in ("yes", "no"):
            raise Refused("Say whether the PIN is at hand. Nothing was noted.", code="no_answer")
        roster_services.set_support_pin(account, is_ready=said == "yes", actor=self.user)
        messages.success(request, "Noted, as of today.")
        return redirect("accounts:coverage", account_ref=account.ref)


# --- rotations and other parties ---------------------------------------------------------------------------


class Duties(AccountPage):
    """Rotations of the account, and the other parties that it depends on."""

    permission = Permission.CONTACT_VIEW
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show who is on duty, and how to reach the others."""
        account = self.find(Account, account_ref)
        now = timezone.now()
        rows = list(selectors.rotations_of(account).order_by("name", "pk")[:MOST_ROTATIONS])
        for row in rows:
            turns = selectors.duty_listed(row)
            row.on_duty = on_duty_at(turns, now)  # type: ignore[attr-defined]
            row.next_turn = next_hand_over(turns, now)  # type: ignore[attr-defined]
            row.listed = turns.members  # type: ignore[attr-defined]
            row.times = turns_in_words(hand_overs_of(row.hand_overs))  # type: ignore[attr-defined]
        return self.show(
            "accounts/contacts/duties.html",
            rotations=rows,
            parties=OtherParty.objects.filter(account=account).order_by("name", "pk")[:MOST_PARTIES],
        )


class RotationEdit(AccountPage):
    """Add a rotation, or change one."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def get(
        self, request: HttpRequest, account_ref: UUID | None = None, rotation_ref: UUID | None = None
    ) -> HttpResponse:
        """Show the form."""
        row = self._row(account_ref, rotation_ref)
        return self._form(RotationForm(account=self.account, rotation=row), row)

    def post(
        self, request: HttpRequest, account_ref: UUID | None = None, rotation_ref: UUID | None = None
    ) -> HttpResponse:
        """Keep it, or show what is wrong."""
        row = self._row(account_ref, rotation_ref)
        form = RotationForm(request.POST, account=self.account, rotation=row)
        if form.is_valid():
            try:
                roster_services.set_rotation(
                    self.account,
                    form.turns(),
                    members=form.members(),
                    roles=form.cleaned_data["roles"],
                    actor=self.user,
                    rotation=row,
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "The rotation was kept.")
                return redirect("accounts:duties", account_ref=self.account.ref)
        return self._form(form, row, status=422)

    def _row(self, account_ref: UUID | None, rotation_ref: UUID | None) -> Rotation | None:
        if rotation_ref is not None:
            return self.find(Rotation.objects.select_related("account"), rotation_ref)
        assert account_ref is not None
        self.find(Account, account_ref)
        return None

    def _form(self, form: RotationForm, row: Rotation | None, status: int = 200) -> HttpResponse:
        return self.show("accounts/contacts/rotation_form.html", form=form, rotation=row, status=status)


class RotationRemove(AccountPage):
    """Remove a rotation, after asking on a page of its own."""

    permission = Permission.CONTACT_EDIT

    def get(self, request: HttpRequest, rotation_ref: UUID) -> HttpResponse:
        """Ask."""
        row = self.find(Rotation.objects.select_related("account"), rotation_ref)
        return _ask_remove(self, row.name, "Its roles are called in the order of their contacts again.")

    def post(self, request: HttpRequest, rotation_ref: UUID) -> HttpResponse:
        """Remove it."""
        row = self.find(Rotation.objects.select_related("account"), rotation_ref)
        roster_services.remove_rotation(row, actor=self.user)
        messages.success(request, f"{row.name} was removed.")
        return redirect("accounts:duties", account_ref=self.account.ref)


class PartyEdit(AccountPage):
    """Add another party, or change one."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def get(
        self, request: HttpRequest, account_ref: UUID | None = None, party_ref: UUID | None = None
    ) -> HttpResponse:
        """Show the form."""
        row = self._row(account_ref, party_ref)
        return self._form(PartyForm(initial=party_typed(row) if row else None), row)

    def post(
        self, request: HttpRequest, account_ref: UUID | None = None, party_ref: UUID | None = None
    ) -> HttpResponse:
        """Keep it, or show what is wrong."""
        row = self._row(account_ref, party_ref)
        form = PartyForm(request.POST)
        if form.is_valid():
            try:
                roster_services.set_party(self.account, form.cleaned_data, actor=self.user, party=row)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{form.cleaned_data['name']} was kept.")
                return redirect("accounts:duties", account_ref=self.account.ref)
        return self._form(form, row, status=422)

    def _row(self, account_ref: UUID | None, party_ref: UUID | None) -> OtherParty | None:
        if party_ref is not None:
            return self.find(OtherParty.objects.select_related("account"), party_ref)
        assert account_ref is not None
        self.find(Account, account_ref)
        return None

    def _form(self, form: PartyForm, row: OtherParty | None, status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/contacts/form.html",
            form=form,
            status=status,
            title=row.name if row else "Add another party",
            lede="Whom else to call when the site is down: the agency, the DNS registrar, the CDN, the payment provider.",
            button="Keep it",
            back_label="Duty and other parties",
            back_url=reverse("accounts:duties", args=[self.account.ref]),
        )


class PartyRemove(AccountPage):
    """Remove another party, after asking on a page of its own."""

    permission = Permission.CONTACT_EDIT

    def get(self, request: HttpRequest, party_ref: UUID) -> HttpResponse:
        """Ask."""
        row = self.find(OtherParty.objects.select_related("account"), party_ref)
        return _ask_remove(self, row.name, "Nobody finds here any more how to reach them.")

    def post(self, request: HttpRequest, party_ref: UUID) -> HttpResponse:
        """Remove it."""
        row = self.find(OtherParty.objects.select_related("account"), party_ref)
        roster_services.remove_party(row, actor=self.user)
        messages.success(request, f"{row.name} was removed.")
        return redirect("accounts:duties", account_ref=self.account.ref)


def _ask_remove(page: AccountPage, name: str, text: str) -> HttpResponse:
    return page.show(
        "components/confirm_page.html",
        title=f"Remove {name}?",
        text=text,
        action=page.request.path,
        button=f"Remove {name}",
        back_label="Duty and other parties",
        back_url=reverse("accounts:duties", args=[page.account.ref]),
    )


class TeamRoster(PortalView):
    """Who of a team is on duty in turn; customers see it on their own page."""

    permission = Permission.ACCOUNT_EDIT

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show the form."""
        team = self.find_in_team(Team, team_ref)
        row = _roster_of(team)
        return self._form(RosterForm(team=team, rotation=row), team)

    def post(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Keep it, or show what is wrong."""
        team = self.find_in_team(Team, team_ref)
        form = RosterForm(request.POST, team=team, rotation=_roster_of(team))
        if form.is_valid():
            data = form.cleaned_data
            try:
                roster_services.set_team_roster(
                    team,
                    form.turns(),
                    members=form.members(),
                    number=data["number"],
                    bridge=data["bridge"],
                    actor=self.user,
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "The roster was kept. Customers see it on their page.")
                return redirect("accounts:team-detail", team_ref=team.ref)
        return self._form(form, team, status=422)

    def _form(self, form: RosterForm, team: Team, status: int = 200) -> HttpResponse:
        return self.render(
            "accounts/contacts/roster_form.html", form=form, team=team, nav_key="accounts", status=status
        )


def _roster_of(team: Team) -> Rotation | None:
    return Rotation.objects.filter(team=team).prefetch_related("places").first()
