"""A site on loopback, opened by name as on a desk."""

from __future__ import annotations

import pytest

from portal import txt
from tests.loads.site import Site
from tests.scaledown.rows import desk


@pytest.fixture
def site(settings, monkeypatch):
    one = Site()
    settings.EGRESS_ALLOW = [one.place]
    monkeypatch.setattr(txt, "txt_records", lambda name: ())
    yield one
    one.close()


@pytest.fixture
def here(db):
    return desk()
