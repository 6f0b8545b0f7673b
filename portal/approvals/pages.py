"""Pages of something that approval is asked for, the same for every app: its approval, and its end by a no or a withdrawal."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from portal.access import PortalView
from portal.approvals.models import ApprovalRequest, Side
from portal.approvals.services import may_decide
from portal.errors import NotPermitted, Refused, form_status

LONGEST_REASON = 2000
OVER = frozenset({"not_open", "expired"})
"""The codes of a refusal after which there is nothing left to ask."""


def asked_shown(asked: ApprovalRequest | None, reader: Any) -> dict[str, Any]:
    """Return what the page of something shows of its approval; `asked` is None while nothing was asked. Up to four queries."""
    is_open = asked is not None and asked.status == "open"
    why_not = may_decide(asked, reader, Side.CUSTOMER, at=timezone.now()) if asked and is_open else ""
    return {
        "asked": asked,
        "decisions": list(asked.decisions.order_by("at")) if asked else [],
        "is_open": is_open,
        "may_decide": is_open and not why_not,
        "why_not": why_not,
    }


class AskedPage(PortalView, abstract=True):
    """What approving and ending share. It stands behind the page class of its app.

    `row_url` names the row's own page, whose one argument is its `ref`; `done` is what is said there afterwards.
    """

    rows: ClassVar[QuerySet[Any]]
    row_url = done = ""

    def rows_known(self) -> QuerySet[Any]:
        """Return the rows that the reader may know of."""
        # A queryset of the class keeps what it has read: each answer asks anew.
        return self.rows.all()

    def row_of(self, refs: dict[str, UUID]) -> Any:
        """Return the row that the address names."""
        (ref,) = refs.values()
        return self.find(self.rows_known(), ref)

    def after(self, row: Any) -> HttpResponse:
        """Return where it goes on once it is done."""
        messages.success(self.request, self.done)
        return redirect(self.row_url, row.ref)


class ApprovePage(AskedPage, abstract=True):
    """The customer's yes to exactly what was seen; repeated, the same answer."""

    def approve(self, row: Any, digest: str) -> None:
        """Approve what has this digest. Raises Refused."""
        raise NotImplementedError

    def row_shown(self, row: Any, *, problem: str = "", status: int = 200) -> HttpResponse:
        """Return the page of the row, with why it was refused."""
        raise NotImplementedError

    def post(self, request: HttpRequest, **refs: UUID) -> HttpResponse:
        """Approve it; a refusal stands on the page of what was seen."""
        row = self.row_of(refs)
        try:
            self.approve(row, request.POST.get("digest", ""))
        except NotPermitted:
            raise
        except Refused as refusal:
            # Read again: whoever was faster decided it after this one was read, and then nothing is asked any more.
            return self.row_shown(self.row_of(refs), problem=refusal.says, status=form_status(refusal))
        return self.after(row)


class EndPage(AskedPage, abstract=True):
    """Asks for the reason, then ends it. A subclass says what it leaves, and how it is ended.

    The page class of its app gives `show`. Each row has `request` (None while nothing was asked) and `digest`, or a request's.
    """

    heading = label = leaves = ""

    def end(self, row: Any, reason: str, digest: str) -> None:
        """End it. Raises Refused."""
        raise NotImplementedError

    def show(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page of the app's."""
        raise NotImplementedError

    def get(self, request: HttpRequest, **refs: UUID) -> HttpResponse:
        """Ask for the reason."""
        return self._ask(self.row_of(refs))

    def post(self, request: HttpRequest, **refs: UUID) -> HttpResponse:
        """End it; a refusal comes back with what was typed."""
        row = self.row_of(refs)
        reason = request.POST.get("reason", "")[:LONGEST_REASON]
        try:
            self.end(row, reason, request.POST.get("digest", ""))
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._ask(
                row,
                problem=refusal.says,
                typed=reason,
                status=form_status(refusal),
                is_over=refusal.code in OVER,
            )
        return self.after(row)

    def _ask(
        self, row: Any, *, problem: str = "", typed: str = "", status: int = 200, is_over: bool = False
    ) -> HttpResponse:
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
            is_over=is_over,
        )
