"""Both stores for one suite, and a toy world to run in."""

from __future__ import annotations

import pytest

from tests.runs.desks import MemoryDesk, PgDesk
from tests.runs.toy import ToyKind, ToyWorld


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.django_db)])
def desk(request):
    """A store with runs in it; the suite runs once per store."""
    if request.param == "memory":
        yield MemoryDesk()
        return
    yield PgDesk()
    from portal.runs import registry

    registry.forget_kind("toy")


@pytest.fixture
def memory():
    return MemoryDesk()


@pytest.fixture
def world():
    return ToyWorld()


@pytest.fixture
def kind(world):
    return ToyKind(world)
