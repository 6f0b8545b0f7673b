"""What the network interfaces of a server carry, as the agent of Rackspace's Cloud Monitoring counts it. Only reads.

Source: provider reference, section 4 (`agent.network`: `rx_bytes` and `tx_bytes` are cumulative). A figure lags by at least one
period of its check, which is 30 s to half an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from portal.cloud.rackspace_monitoring import Monitoring
from portal.cloud.together import together
from portal.cloud.types import Interface, Monitored, MonitoredCheck, NetworkRate, Plotted, Resolution

KNOWN_FOR_S = 600.0
"""How long it is not asked again what is measured where."""
PERIOD_S = 60
"""The period of a check that names none."""
MOST_GAP = 3
"""Over how many periods without a point a counter's growth still tells a rate."""
_TYPE = "agent.network"
_COUNTERS = ("rx_bytes", "tx_bytes")


class NetworkFigures:
    """The figures of one provider account. Raises TryLater or ProviderFailed, as every read of a cloud does."""

    def __init__(self, monitoring: Monitoring, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monitoring = monitoring
        self._monotonic = monotonic
        self._known: dict[str, tuple[tuple[Monitored, MonitoredCheck], ...]] = {}
        self._known_at: float | None = None

    async def rates(self, server_id: str, *, begins: datetime, ends: datetime) -> tuple[Interface, ...]:
        """Return what each measured interface of a server carried, in order of time; none where nothing measures it."""
        checks = (await self._checks()).get(server_id, ())
        return tuple(await together(*(self._interface(*one, begins, ends) for one in checks)))

    async def _checks(self) -> dict[str, tuple[tuple[Monitored, MonitoredCheck], ...]]:
        now = self._monotonic()
        if self._known_at is None or now - self._known_at > KNOWN_FOR_S:
            self._known, self._known_at = interfaces(await self._monitoring.monitored()), now
        return self._known

    async def _interface(
        self, entity: Monitored, check: MonitoredCheck, begins: datetime, ends: datetime
    ) -> Interface:
        plots = await together(
            *(
                self._monitoring.plot(
                    entity.id, check.id, metric, begins=begins, ends=ends, resolution=Resolution.FULL
                )
                for metric in _COUNTERS
            )
        )
        period_s = check.period_s or PERIOD_S
        received, sent = (_growth(plot.points, period_s) for plot in plots)
        rates = tuple(
            NetworkRate(*between, received[between] + sent[between])
            for between in sorted(received.keys() & sent.keys())
        )
        return Interface(check.target or check.label, period_s, rates)


def interfaces(monitored: Iterable[Monitored]) -> dict[str, tuple[tuple[Monitored, MonitoredCheck], ...]]:
    """Return the checks of interfaces, with what they are of, by the id of the server; only of servers that have one."""
    known: dict[str, tuple[tuple[Monitored, MonitoredCheck], ...]] = {}
    for entity in monitored:
        found = [(entity, one) for one in entity.checks if one.type == _TYPE and not one.is_disabled]
        if entity.server_id is not None and found:
            known[entity.server_id] = (*known.get(entity.server_id, ()), *found)
    return known


def _growth(points: Sequence[Plotted], period_s: int) -> dict[tuple[datetime, datetime], float]:
    """Return by how much a cumulative counter grew each second between neighbouring points, by both moments.

    A counter that fell began anew (a reboot): that pair tells nothing, nor does one that is too far apart.
    """
    return {
        (before.at, after.at): (after.value - before.value) / (after.at - before.at).total_seconds()
        for before, after in pairwise(points)
        if after.value >= before.value and 0 < (after.at - before.at).total_seconds() <= MOST_GAP * period_s
    }
