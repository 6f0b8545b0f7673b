"""What cases hand in: the dashboard's panel, the account's entry and button, the purposes of their mails."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accounts.cases import mailing, selectors, services
from portal.access import Permission
from portal.account_sections import Section, Tab, register_action, register_section
from portal.dashboard import Panel, register_panel
from portal.notify.registry import Kind, Purpose, register_purpose, register_reply_to
from portal.runs import registry as runs

_SHOWN = 20


def _is_customer_of(user: Any) -> bool:
    return not user.team_memberships.exists()


def _dashboard(user: Any) -> dict[str, Any] | None:
    cases = selectors.open_cases_for(user, limit=_SHOWN)
    return {"cases": cases, "plain_words": _is_customer_of(user), "with_account": True} if cases else None


def _of_account(user: Any, account: Any) -> dict[str, Any] | None:
    cases = selectors.open_cases_of(account)[:_SHOWN]
    return {"cases": cases, "plain_words": _is_customer_of(user)} if cases else None


def register() -> None:
    """Register everything; called once when the app is ready."""
    for purpose in (
        Purpose("case_opened", Kind.NOTICE, "A support case was opened"),
        Purpose("case_danger", Kind.EMERGENCY, "A support case: a site is in danger"),
        Purpose("case_changed", Kind.NOTICE, "Something was said on a support case"),
    ):
        register_purpose(purpose)
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
