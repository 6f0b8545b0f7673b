"""A purpose of each kind, with the templates of the tests' own (tests/notify/mail)."""

from __future__ import annotations

import pytest

from portal.notify import registry
from portal.notify.registry import Kind, Purpose

PURPOSES = {
    kind: Purpose(f"test_{kind.value}", kind, f"A {kind.value}", is_secret=kind is Kind.PERSONAL)
    for kind in Kind
}


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """Every kind of message, all written by the templates of `mail_returned`."""
    from portal.notify import compose

    own = compose.load_templates
    monkeypatch.setattr(
        compose,
        "load_templates",
        lambda name: own("mail_returned" if name.startswith("test_") else name),
    )
    for purpose in PURPOSES.values():
        registry.register_purpose(purpose)
    yield
    for purpose in PURPOSES.values():
        registry.forget_purpose(purpose.name)
