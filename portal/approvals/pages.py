"""The page on which something that approval is asked for is turned down or withdrawn, the same for every app."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from portal.access import PortalView
from portal.errors import NotPermitted, Refused, form_status

LONGEST_REASON = 2000


class EndPage(PortalView, abstract=True):
    """Asks for the reason, then ends it. A subclass says whose rows they are, what it leaves, and how it is ended.

    It stands behind the page class of its app, which gives `show`. `row_url` names the row's own page, whose one
    argument is its `ref`; each row has `request` (None while nothing was asked) and `digest`, or a request's.
    """

    rows: ClassVar[QuerySet[Any]]
    row_url = heading = label = leaves = done = ""

    def end(self, row: Any, reason: str, digest: str) -> None:
        """End it. Raises Refused."""
        raise NotImplementedError

    def show(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page of the app's."""
        raise NotImplementedError

    def get(self, request: HttpRequest, **refs: UUID) -> HttpResponse:
        """Ask for the reason."""
        return self._ask(self._row(refs))

    def post(self, request: HttpRequest, **refs: UUID) -> HttpResponse:
        """End it; a refusal comes back with what was typed."""
        row = self._row(refs)
        reason = request.POST.get("reason", "")[:LONGEST_REASON]
        try:
            self.end(row, reason, request.POST.get("digest", ""))
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._ask(row, problem=refusal.says, typed=reason, status=form_status(refusal))
        messages.success(request, self.done)
        return redirect(self.row_url, row.ref)

    def _row(self, refs: dict[str, UUID]) -> Any:
        (ref,) = refs.values()
        # A queryset of the class keeps what it has read: each answer asks anew.
        return self.find(self.rows.all(), ref)

    def _ask(self, row: Any, *, problem: str = "", typed: str = "", status: int = 200) -> HttpResponse:
        asked = row.request
        return self.show(
            "approvals/end.html",
            status=status,
            row=row,
            row_url=self.row_url,
            title=asked.title if asked else str(row),
            digest=asked.digest if asked else row.digest,
            heading=self.heading,
            label=self.label,
            leaves=self.leaves,
            longest=LONGEST_REASON,
            problem=problem,
            typed=typed,
        )
