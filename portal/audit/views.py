"""Pages of the installation's own record, for operators. An account's is on the account's pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from portal.access import Permission, PortalView
from portal.audit.download import download_installation
from portal.audit.filters import NAMES, filter_of
from portal.audit.selectors import entries_of_installation
from portal.paging import keyset


class InstallationActivity(PortalView):
    """What is on record and belongs to no account: log-ins, users, teams, tokens, refusals."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the newest first; filters stand in the address."""
        wanted = filter_of(request.GET)
        page = keyset(
            wanted.rows(entries_of_installation()),
            request,
            order="-id",
            filters={"installation": True, **wanted.named()},
            late=bool(wanted.named()),
        )
        return self.render(
            "audit/installation.html",
            page=page,
            asked={name: request.GET.get(name, "") for name in NAMES},
            is_narrowed=bool(wanted.named()),
            nav_key="installation",
        )


class InstallationActivityDownload(PortalView):
    """The same as CSV, with a reason that stays on record."""

    permission = Permission.OPERATE

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Stream the file; without a reason the sentence says that it is missing."""
        return download_installation(
            filter_of(request.POST),
            actor=self.user,
            reason=request.POST.get("reason", "")[:500],
            may_read_on=self.reads_on(),
        )
