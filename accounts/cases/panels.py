"""What cases hand in: the dashboard's panel, the account's entry and button, the purposes of their mails."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accounts.cases import mailing, selectors, services
from accounts.cases.models import SupportCase
from portal.access import Permission, visible_to
from portal.account_sections import Section, Tab, register_action, register_section
from portal.dashboard import Panel, register_panel
from portal.notify.registry import Kind, Purpose, register_purpose, register_reply_to
from portal.palette import Entry, register_finder
from portal.runs import registry as runs
from portal.search import beginning_of_reference

_SHOWN = 20


def _dashboard(user: Any) -> dict[str, Any] | None:
    cases = selectors.open_cases_for(user, limit=_SHOWN)
    more, more_of = selectors.not_shown(cases)
    return (
        {
            "cases": cases,
            "plain_words": not user.is_in_a_team,
            "with_account": True,
            "more": more,
            "more_of": more_of,
        }
        if cases
        else None
    )


def _of_account(user: Any, account: Any) -> dict[str, Any] | None:
    cases = selectors.open_cases_of(account)[:_SHOWN]
    return {"cases": cases, "plain_words": not user.is_in_a_team} if cases else None


def _find_cases(user: Any, text: str, limit: int) -> list[Entry]:
    """Find by number: a summary may be sealed for whom it names, so no text of it is looked into."""
    reference = beginning_of_reference(text, may_be_digits=True)
    if reference is None:
        return []
    rows = visible_to(user, SupportCase.objects.all(), Permission.CASE_VIEW).filter(ref__range=reference)
    return [
        Entry(f"{row}: {row.summary}", services.url_of(row), f"support case of {row.account}")
        for row in rows.select_related("account").order_by("-pk")[:limit]
    ]


def register() -> None:
    """Register everything; called once when the app is ready."""
    for purpose in (
        Purpose("case_opened", Kind.NOTICE, "A support case was opened"),
        Purpose("case_danger", Kind.EMERGENCY, "A support case: a site is in danger"),
        Purpose("case_changed", Kind.NOTICE, "Something was said on a support case"),
    ):
        register_purpose(purpose)
    register_finder("cases", _find_cases, order=35)
    register_reply_to("case", mailing.reply_address_of)
    register_panel(
        Panel("cases", "Open support cases", "accounts/cases/_dashboard_cases.html", _dashboard, order=15)
    )
    register_section(
        Section(
            "cases",
            "Open support cases",
            "accounts/cases/_account_cases.html",
            _of_account,
            Permission.CASE_VIEW,
            order=20,
        )
    )
    register_action(
        Tab(
            "support",
            "Contact support",
            lambda account: reverse("accounts:case-open", args=[account.ref]),
            Permission.CASE_OPEN,
            order=90,
        )
    )
    runs.listen(_heard)


def _heard(run: Any, change: Any) -> None:
    services.open_for_halted_run(run, change)
