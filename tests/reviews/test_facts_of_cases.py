"""What support cases say of how accounts stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.cases.facts import CasesKnown, judge_cases
from accounts.facts import Grade, ask
from accounts.models import Account
from tests import factories as make

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seen", "grade", "word"),
    [
        (None, Grade.UNKNOWN, ""),
        (CasesKnown(0, 0, 0, None), Grade.GREEN, "No support case"),
        (
            CasesKnown(1, 0, 0, NOW - timedelta(days=1)),
            Grade.AMBER,
            "1 support case is open, the oldest for 1 day",
        ),
        (CasesKnown(1, 0, 0, NOW), Grade.AMBER, "open, the oldest for less than a day."),
        (CasesKnown(2, 0, 1, NOW - timedelta(days=8)), Grade.AMBER, "for 8 days"),
        (CasesKnown(2, 1, 0, NOW), Grade.RED, "in 1 the site is in danger"),
    ],
)
def test_an_open_case_is_amber_and_one_with_the_site_in_danger_red(seen, grade, word):
    found = judge_cases(seen, NOW)
    assert found.grade is grade
    assert word in found.says


@pytest.mark.django_db
def test_each_account_has_its_own_cases():
    account, other = make.account(), make.account()
    make.case(account)
    found = ask(Account.objects.all(), timezone.now(), keys={"cases"})
    assert dict(found[account.pk]["cases"].parts)["open"] == 1
    assert found[other.pk]["cases"].grade is Grade.GREEN
