"""Pages on which contacts come in from a file and go out as one."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.contact_files import services
from accounts.contact_files.entries import MOST_BYTES
from accounts.contact_files.forms import FileForm
from accounts.contact_files.models import ContactImport
from accounts.models import Account
from accounts.views import AccountPage
from portal.access import Permission
from portal.csvfile import lines
from portal.errors import Refused, StaleState

SHOWN = 100
# More than this nobody mends in a browser.
MENDED_HERE = 200_000


class ContactImportBegin(AccountPage):
    """Choose a file of contacts."""

    permission = Permission.CONTACT_EDIT
    tab = "contacts"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Ask for the file; whoever has begun already is offered to go on."""
        account = self.find(Account, account_ref)
        return self._form(
            FileForm(), open=services.open_imports().filter(account=account, made_by=self.user).first()
        )

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Hold the file and show what it would change, or say what is wrong with it."""
        account = self.find(Account, account_ref)
        form = FileForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                held = services.begin_import(account, form.content(), actor=self.user)
            except Refused as refusal:
                form.refused(refusal.says)
            else:
                return redirect("accounts:contact-import", import_ref=held.ref)
        return self._form(form, status=422)

    def _form(self, form: FileForm, *, open: ContactImport | None = None, status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/contact_files/begin.html",
            form=form,
            open=open,
            most_mb=MOST_BYTES // 1024 // 1024,
            status=status,
        )


class OneImport(AccountPage, abstract=True):
    """A page of one import that is not decided yet."""

    tab = "contacts"

    def held(self, ref: UUID) -> ContactImport:
        """Return the import; 404 for one that is over."""
        return self.find(services.open_imports(), ref)


class ContactImportPreview(OneImport):
    """What a file would change, and what must be mended first."""

    permission = Permission.CONTACT_EDIT

    def get(self, request: HttpRequest, import_ref: UUID) -> HttpResponse:
        """Show it; nothing is taken in by looking."""
        return self._show(self.held(import_ref))

    def post(self, request: HttpRequest, import_ref: UUID) -> HttpResponse:
        """Take it in as it was seen."""
        held = self.held(import_ref)
        try:
            done = services.take_in(held, digest=request.POST.get("digest", ""), actor=self.user)
        except StaleState as stale:
            return self._show(held, problem=stale.says, status=409)
        except Refused as refusal:
            return self._show(held, problem=refusal.says, status=422)
        said = [f"{done.added} added", f"{done.changed} changed"]
        messages.success(
            request, f"The file was taken in: {', '.join(said)}. New channels are not proven yet."
        )
        return redirect("accounts:contact-list", account_ref=self.account.ref)

    def _show(self, held: ContactImport, *, problem: str = "", status: int = 200) -> HttpResponse:
        preview = services.preview_of(held)
        planned, text = preview.planned, held.text or ""
        return self.show(
            "accounts/contact_files/preview.html",
            held=held,
            preview=preview,
            problem=problem,
            added=planned.added[:SHOWN],
            changed=[(one, services.changes_shown(one)) for one in planned.changed[:SHOWN]],
            more_added=max(0, len(planned.added) - SHOWN),
            more_changed=max(0, len(planned.changed) - SHOWN),
            form=FileForm(initial={"text": text}) if len(text) <= MENDED_HERE else None,
            status=status,
        )


class ContactImportProblems(OneImport):
    """What must be mended, as a file to work through."""

    permission = Permission.CONTACT_EDIT

    def get(self, request: HttpRequest, import_ref: UUID) -> HttpResponse:
        """Give a line for each problem: where, which field, what to do."""
        preview = services.preview_of(self.held(import_ref))
        table = [
            ("line", "field", "what to do"),
            *((one.line, one.field, one.says) for one in preview.problems),
        ]
        response = HttpResponse(lines(table), content_type="text/csv; charset=utf-8; header=present")
        response["Content-Disposition"] = 'attachment; filename="contacts-to-mend.csv"'
        response["Cache-Control"] = "private, no-store"
        return response


class ContactImportDrop(OneImport):
    """Say no to an import."""

    permission = Permission.CONTACT_EDIT

    def post(self, request: HttpRequest, import_ref: UUID) -> HttpResponse:
        """Forget the file. Nothing was taken in."""
        services.drop_import(self.held(import_ref))
        messages.success(request, "Nothing was taken in, and the file is gone from here.")
        return redirect("accounts:contact-list", account_ref=self.account.ref)
