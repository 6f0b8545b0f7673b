"""What every test may use. The services start in tests/plugin.py."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine draws slowly; that is no fault of what is tested. CI keeps its own profile's order of examples.
settings.register_profile(
    "ours",
    parent=settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ours")
