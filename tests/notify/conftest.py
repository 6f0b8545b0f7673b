"""A purpose of each kind, written by templates of the portal's own."""

from __future__ import annotations

import pytest

from portal.notify import compose, registry
from portal.notify.registry import Kind, Purpose

_own = compose.load_templates

PURPOSES = {
    kind: Purpose(f"test_{kind.value}", kind, f"A {kind.value}", is_secret=kind is Kind.PERSONAL)
    for kind in Kind
}


def templates_of(name):
    """The tests' purposes are all written by the templates of `mail_returned`."""
    return _own("mail_returned" if name.startswith("test_") else name)


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """A purpose of every kind of message."""
    monkeypatch.setattr(compose, "load_templates", templates_of)
    for purpose in PURPOSES.values():
        registry.register_purpose(purpose)
    yield
    for purpose in PURPOSES.values():
        registry.forget_purpose(purpose.name)
