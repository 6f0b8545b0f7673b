"""What capacity hands in to the account's own page."""

from __future__ import annotations

from django.urls import reverse

from portal.access import Permission
from portal.account_sections import Tab, register_tab

GROUP = "Capacity"


def register() -> None:
    """Add the tabs. Called once, when the app is ready."""
    register_tab(
        Tab(
            "metrics",
            "Metrics",
            lambda account: reverse("capacity:metric-list", args=[account.ref]),
            Permission.SAMPLE_VIEW,
            order=32,
            group=GROUP,
        )
    )
    register_tab(
        Tab(
            "growth",
            "Growth and size",
            lambda account: reverse("capacity:growth-overview", args=[account.ref]),
            Permission.SAMPLE_VIEW,
            order=31,
            group=GROUP,
        )
    )
    register_tab(
        Tab(
            "benchmarks",
            "Benchmarks",
            lambda account: reverse("capacity:benchmark-list", args=[account.ref]),
            Permission.SAMPLE_VIEW,
            order=35,
            group=GROUP,
        )
    )
    register_tab(
        Tab(
            "markers",
            "Changes",
            lambda account: reverse("capacity:marker-list", args=[account.ref]),
            Permission.SAMPLE_VIEW,
            order=37,
            group=GROUP,
        )
    )
    register_tab(
        Tab(
            "baselines",
            "Baselines",
            lambda account: reverse("capacity:baseline-list", args=[account.ref]),
            Permission.SAMPLE_VIEW,
            order=36,
            group=GROUP,
        )
    )
