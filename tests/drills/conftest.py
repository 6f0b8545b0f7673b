"""A desk with somebody to call."""

from __future__ import annotations

import pytest

from tests.drills.rows import desk


@pytest.fixture
def here(db, monkeypatch):
    one = desk()
    # Whether somebody can be called is shown in tests/contacts.
    monkeypatch.setattr("drills.plans.services.can_begin", lambda account, at: MayBegin())
    return one


class MayBegin:
    is_allowed = True
    gaps = ()
