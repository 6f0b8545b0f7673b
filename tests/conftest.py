"""What every test may use. The services start in tests/plugin.py."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# A busy machine draws slowly; that is no fault of what is tested. CI keeps its own profile's order of examples.
settings.register_profile(
    "ours",
    parent=settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ours")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that two processes end together (`--dist worksteal` halves this list).

    One begins with the browsers' stories, which share a portal; the other with what mostly waits for processes that
    were killed. Each gives up the end of its half, many short tests, to the one that is done first. The matrix of access,
    ten to twenty seconds a test, comes right behind the stories: at the end one process would wait for the other's.
    """
    stories = [one for one in items if "tests/browser/" in one.nodeid]
    waiting = [one for one in items if one.get_closest_marker("process") and one not in stories]
    apart = {*stories, *waiting}
    rest = [one for one in items if one not in apart]
    rest.sort(key=lambda one: "tests/test_access_matrix.py" not in one.nodeid)
    middle = max(len(items) // 2 - len(stories), 0)
    items[:] = stories + rest[:middle] + waiting + rest[middle:]
