"""The scenarios that come with the portal: read once from `library/*.toml`, in the order in which a team would begin."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from drills.scenarios.types import Scenario, check, from_plain

FOLDER = Path(__file__).with_name("library")
# From what anybody can hold tomorrow to what needs a whole team.
ORDER = (
    "nobody_answers",
    "reboot_soft",
    "node_lost",
    "reboot_rolling",
    "reboot_hard",
    "host_failure",
    "several_servers",
    "restore_from_backup",
    "dns_change",
    "database_failover",
    "balancer_unreachable",
    "region_lost",
)


@cache
def built_in() -> Mapping[str, Scenario]:
    """Return the scenarios by their keys, in order. Raises Refused where a file breaks a rule: then the portal is broken."""
    return MappingProxyType({key: _read(FOLDER / f"{key}.toml") for key in ORDER})


def _read(path: Path) -> Scenario:
    scenario = from_plain(tomllib.loads(path.read_text("utf-8")))
    check(scenario)
    return scenario
