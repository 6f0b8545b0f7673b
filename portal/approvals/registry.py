"""Who learns of a decision: the app whose subject it is, in the same transaction.

    register("scaledown.plan", on_change=plan_was_decided)      # in AppConfig.ready()

`on_change(request)` is called after the request's status changed; what it raises undoes the decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portal.approvals.models import ApprovalRequest


@dataclass(frozen=True)
class Subject:
    """One kind of thing that asks for approval. `url_of` gives the page where it is shown, or ""; `is_untold` says whether the
    account's own programs are not to read of it (yet).
    """

    on_change: Callable[[ApprovalRequest], None]
    url_of: Callable[[ApprovalRequest], str] = lambda request: ""
    is_untold: Callable[[ApprovalRequest], bool] = lambda request: False


_subjects: dict[str, Subject] = {}


def register(
    subject_type: str,
    *,
    on_change: Callable[[ApprovalRequest], None],
    url_of: Callable[[ApprovalRequest], str] = lambda request: "",
    is_untold: Callable[[ApprovalRequest], bool] = lambda request: False,
) -> None:
    """Name what happens when a request of this type is approved, rejected, voided or expired."""
    _subjects[subject_type] = Subject(on_change, url_of, is_untold)


def registered() -> tuple[str, ...]:
    """Return the types of what asks for approval."""
    return tuple(sorted(_subjects))


def tell(request: ApprovalRequest) -> None:
    """Call the subject's app, inside the deciding transaction."""
    subject = _subjects.get(request.subject_type)
    if subject is not None:
        subject.on_change(request)


def url_of(request: ApprovalRequest) -> str:
    """Return the page of the request's subject, or ""."""
    subject = _subjects.get(request.subject_type)
    return subject.url_of(request) if subject is not None else ""


def is_untold(request: ApprovalRequest) -> bool:
    """Whether the account's own programs are not to read of the request's subject (yet)."""
    subject = _subjects.get(request.subject_type)
    return subject is not None and subject.is_untold(request)
